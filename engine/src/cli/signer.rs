//! `signer`: which keys sign for a party.
//!
//! Owns how caps are written on the command line.

use super::budget::{self, BudgetArgs, BudgetCommand};
use super::client::Session;
use super::headroom::{self, HeadroomArgs};
use super::ids::Named;
use super::output::{Cell, Record, hex};
use super::page::{self, PageArgs};
use super::proposal;
use super::{CliError, RequestArgs};
use crate::limits::PAGE_MAX;
use crate::types::{PartyId, SignerKey};
use bytes::Bytes;
use clap::{Args, Subcommand};
use tallystick_proto::v1::{
    AddSignerRequest, Cap, ListSignersRequest, RevokeSignerRequest, Signer,
};

/// `tallystick signer ...`
#[derive(Debug, Subcommand)]
pub enum SignerCommand {
    /// Let a key sign vouchers for a party
    #[command(after_help = "Example:\n  tallystick signer add --party 5a..00 --key 8f..31 --cap \
        978=5000000 --budget 978=100000/day\n\nA key signs for one party for ever; caps are for ever, \
        too, budgets can be changed; both are in asset units.")]
    Add(SignerAdd),
    /// How much a key may spend in an hour, a day, a month, or in total
    #[command(subcommand)]
    Budget(BudgetCommand),
    /// List keys: of all parties, or of one
    #[command(after_help = "Example:\n  tallystick signer list --party 5a3e77c0")]
    List(SignerList),
    /// Show how much keys may still spend
    #[command(after_help = headroom::HELP)]
    Headroom(HeadroomArgs),
    /// Stop accepting a key, permanently
    #[command(after_help = "Example:\n  tallystick signer revoke 8f31aa02")]
    Revoke {
        /// The key, or its first 8 or more digits
        key: Named<SignerKey>,
        #[command(flatten)]
        request: RequestArgs,
    },
}

/// `tallystick signer add`
#[derive(Debug, Args)]
pub struct SignerAdd {
    /// For whom it signs: the party's id, or its first 8 or more digits
    #[arg(long, value_name = "ID")]
    party: Named<PartyId>,
    /// The ed25519 public key, 64 hexadecimal digits
    #[arg(long, value_name = "HEX")]
    key: SignerKey,
    /// Most that the key may ever spend of an asset, in asset units; may be repeated
    #[arg(long = "cap", value_name = "ASSET=AMOUNT", value_parser = parse_cap)]
    caps: Vec<Cap>,
    #[command(flatten)]
    budgets: BudgetArgs,
    #[command(flatten)]
    request: RequestArgs,
}

/// `tallystick signer list`
#[derive(Debug, Args)]
pub struct SignerList {
    /// Only those that sign for this party: its id, or its first 8 or more digits
    #[arg(long, value_name = "ID")]
    party: Option<Named<PartyId>>,
    /// Only those behind this key: what the end of a page names
    #[arg(long, value_name = "KEY")]
    after: Option<SignerKey>,
    #[command(flatten)]
    page: PageArgs,
}

/// Reads `978=5000000`.
fn parse_cap(text: &str) -> Result<Cap, String> {
    let bad = || format!("expected ASSET=AMOUNT in asset units, like 978=5000000, got {text:?}");
    let (asset, amount) = text.split_once('=').ok_or_else(bad)?;
    Ok(Cap { asset: asset.parse().map_err(|_| bad())?, amount: amount.parse().map_err(|_| bad())? })
}

/// Runs `tallystick signer ...`.
///
/// # Errors
/// When the call fails.
pub async fn run(session: &mut Session, command: SignerCommand) -> Result<(), CliError> {
    let signer = match command {
        SignerCommand::List(args) => return list(session, args).await,
        SignerCommand::Headroom(args) => return headroom::run(session, args).await,
        SignerCommand::Budget(command) => return budget::run(session, command).await,
        SignerCommand::Add(SignerAdd { party, key, caps, budgets, request }) => {
            let (request_id, party_id) = (request.id()?, party.bytes(session).await?);
            // Whoever they name is found before anything is done.
            let budgets = budgets.messages(session).await?;
            let budgets_id = budget::request_id(&request_id, &budgets)?;
            let signer = key.0.to_vec().into();
            let signer = Signer { signer, party_id, caps, ..Signer::default() };
            let request = AddSignerRequest { request_id: request_id.clone(), signer: Some(signer) };
            let answer = session.operator().add_signer(request).await;
            let answer = answer.map_err(|status| session.failed_change(status, &request_id))?;
            let answer = answer.into_inner();
            if !budgets.is_empty() && !answer.proposal.is_empty() {
                super::note(&format!(
                    "note: budgets are for a key that is registered: once it is confirmed, say all of this again \
                     with --request-id {request_id}"
                ));
            } else if !budgets.is_empty() {
                // A call of its own, that the same repetition does again.
                let set = budget::set(session, budgets_id, answer.signer.clone(), budgets).await;
                set.map_err(|error| budget::not_set(&answer.signer, &error))?;
            }
            answer
        }
        SignerCommand::Revoke { key, request } => {
            let (request_id, signer) = (request.id()?, key.bytes(session).await?);
            let request = RevokeSignerRequest { request_id: request_id.clone(), signer };
            let answer = session.operator().revoke_signer(request).await;
            answer.map_err(|status| session.failed_change(status, &request_id))?.into_inner()
        }
    };
    session.print(&signer_record(signer)).await
}

async fn list(session: &mut Session, args: SignerList) -> Result<(), CliError> {
    let party_id = match args.party {
        Some(party) => party.bytes(session).await?,
        None => Bytes::new(),
    };
    let after = args.after.map(|key| Bytes::copy_from_slice(&key.0));
    let (mut after, mut left) = (after.unwrap_or_default(), args.page.begin());
    loop {
        let limit = left.ask(PAGE_MAX);
        let asked = ListSignersRequest { after: after.clone(), limit, party_id: party_id.clone() };
        let answer = session.operator().list_signers(asked).await;
        let answer = answer.map_err(|status| session.failed(status))?.into_inner();
        left.shown(answer.signers.len());
        let rows: Vec<Record> = answer.signers.into_iter().map(signer_record).collect();
        session.print_rows(&rows, &[]).await?;
        after = answer.next;
        if after.is_empty() {
            return Ok(());
        }
        if left.is_full() {
            page::tell_more("keys", "--after", &hex(&after));
            return Ok(());
        }
    }
}

fn signer_record(signer: Signer) -> Record {
    let caps = signer.caps.iter().map(|cap| {
        Record(vec![
            ("asset", Cell::Count(cap.asset.into())),
            ("amount", Cell::Money(cap.amount.to_string(), cap.asset)),
        ])
    });
    let mut record = Record(vec![
        ("signer", Cell::Id(signer.signer.clone())),
        ("party_id", Cell::Party(signer.party_id.clone())),
        ("revoked", Cell::Flag(signer.revoked)),
        ("caps", Cell::Records(caps.collect())),
    ]);
    record.0.extend(proposal::cell(signer.proposal.clone()));
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caps_are_an_asset_and_units() {
        assert_eq!(parse_cap("978=5").unwrap(), Cap { asset: 978, amount: 5 });
        for bad in ["", "978", "EUR=5", "978=", "978=1.5", "978=-1", "978=18446744073709551616"] {
            assert!(parse_cap(bad).is_err(), "{bad}");
        }
    }
}
