//! `party` and `signer`: who pays and is paid, and which keys sign for them.
//!
//! Owns how settlement accounts and caps are written on the command line.

use super::client::Session;
use super::output::{Cell, Record};
use super::{CliError, RequestArgs};
use crate::types::{PartyId, SignerKey};
use clap::{Args, Subcommand};
use std::collections::BTreeMap;
use tallystick_proto::v1::{
    AddSignerRequest, Cap, ErasePartyRequest, GetPartyRequest, Party, RevokeSignerRequest,
    SettlementAccount, Signer, UpsertPartyRequest,
};

const ADD_HELP: &str = "\
Example:
  tallystick party add --name 'Example GmbH' \\
    --account iso20022:iban=DE89370400440532013000,bic=COBADEFFXXX

An id that is registered gets the new name and accounts instead of its old ones. A value that holds
a comma can be given with `tallystick import`.";

/// `tallystick party ...`
#[derive(Debug, Subcommand)]
pub enum PartyCommand {
    /// Register a party, or replace its name and accounts
    #[command(after_help = ADD_HELP)]
    Add(PartyAdd),
    /// Show a party
    #[command(after_help = "Example:\n  tallystick party show 5a..64 hexadecimal digits..00")]
    Show {
        /// The party, 64 hexadecimal digits
        #[arg(value_name = "ID")]
        party: PartyId,
    },
    /// Let a party neither pay nor be paid
    #[command(after_help = "Example:\n  tallystick party suspend 5a..64 hexadecimal digits..00")]
    Suspend(PartyFlag),
    /// Let a suspended party pay and be paid again
    #[command(after_help = "Example:\n  tallystick party resume 5a..64 hexadecimal digits..00")]
    Resume(PartyFlag),
    /// Make a party's name and accounts unreadable, everywhere and for ever
    #[command(after_help = ERASE_HELP)]
    Erase(PartyErase),
}

const ERASE_HELP: &str = "\
Example:
  tallystick party suspend 5a..64 hexadecimal digits..00
  tallystick window close          and batch and settle what was owed up to here
  tallystick party erase 5a..64 hexadecimal digits..00 --yes

It is refused while anything may still be owed to the party or by it. Files that have left (the
outbox, the inbox, exports of batches) and copies of the data directory are yours to look after:
see \"Erasing a party\" in docs/OPERATIONS.md.";

/// `tallystick party add`
#[derive(Debug, Args)]
pub struct PartyAdd {
    /// The party, 64 hexadecimal digits [default: a new one, made from the request id]
    #[arg(long, value_name = "HEX")]
    id: Option<PartyId>,
    /// Its name, for people and rails
    #[arg(long)]
    name: String,
    /// Where money goes to or comes from on a rail; may be repeated
    #[arg(long = "account", value_name = "RAIL:FIELD=VALUE,...", value_parser = parse_account)]
    accounts: Vec<AccountArg>,
    /// Let it neither pay nor be paid yet
    #[arg(long)]
    suspended: bool,
    /// Register a party anew that was erased: money has come back that must reach it
    #[arg(long)]
    reopen: bool,
    #[command(flatten)]
    request: RequestArgs,
}

/// `tallystick party suspend|resume`
#[derive(Debug, Args)]
pub struct PartyFlag {
    /// The party, 64 hexadecimal digits
    #[arg(value_name = "ID")]
    party: PartyId,
    #[command(flatten)]
    request: RequestArgs,
}

/// `tallystick party erase`
#[derive(Debug, Args)]
pub struct PartyErase {
    /// The party, 64 hexadecimal digits
    #[arg(value_name = "ID")]
    party: PartyId,
    /// How what was left of its deposits was given back, if something was left
    #[arg(long, value_name = "TEXT", default_value = "")]
    deposits: String,
    /// It cannot be undone: without this nothing is done
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    request: RequestArgs,
}

/// `tallystick signer ...`
#[derive(Debug, Subcommand)]
pub enum SignerCommand {
    /// Let a key sign vouchers for a party
    #[command(after_help = "Example:\n  tallystick signer add --party 5a..00 --key 8f..31 --cap \
        978=5000000\n\nA key signs for one party for ever; caps are in asset units.")]
    Add(SignerAdd),
    /// Let a key sign no more, for ever
    #[command(after_help = "Example:\n  tallystick signer revoke 8f..64 hexadecimal digits..31")]
    Revoke {
        /// The key, 64 hexadecimal digits
        key: SignerKey,
        #[command(flatten)]
        request: RequestArgs,
    },
}

/// `tallystick signer add`
#[derive(Debug, Args)]
pub struct SignerAdd {
    /// For whom it signs, 64 hexadecimal digits
    #[arg(long, value_name = "ID")]
    party: PartyId,
    /// The ed25519 public key, 64 hexadecimal digits
    #[arg(long, value_name = "HEX")]
    key: SignerKey,
    /// Most that the key may ever spend of an asset, in asset units; may be repeated
    #[arg(long = "cap", value_name = "ASSET=AMOUNT", value_parser = parse_cap)]
    caps: Vec<Cap>,
    #[command(flatten)]
    request: RequestArgs,
}

/// One `--account`: a rail and fields of the account there.
#[derive(Debug, Clone, PartialEq, Eq)]
struct AccountArg {
    rail: String,
    fields: BTreeMap<String, String>,
}

/// Reads `iso20022:iban=DE..,bic=..`.
fn parse_account(text: &str) -> Result<AccountArg, String> {
    let bad = |what: &str| format!("{what}; expected RAIL:FIELD=VALUE,FIELD=VALUE");
    let (rail, rest) = text.split_once(':').ok_or_else(|| bad("no ':' after the rail"))?;
    if rail.is_empty() {
        return Err(bad("the rail's name is empty"));
    }
    let mut fields = BTreeMap::new();
    for part in rest.split(',') {
        let (field, value) =
            part.split_once('=').ok_or_else(|| bad(&format!("{part:?} has no '='")))?;
        if field.is_empty() || value.is_empty() {
            return Err(bad(&format!("{part:?} lacks its field or its value")));
        }
        if fields.insert(field.to_owned(), value.to_owned()).is_some() {
            return Err(bad(&format!("field {field:?} is given twice")));
        }
    }
    Ok(AccountArg { rail: rail.to_owned(), fields })
}

/// Reads `978=5000000`.
fn parse_cap(text: &str) -> Result<Cap, String> {
    let bad = || format!("expected ASSET=AMOUNT in asset units, like 978=5000000, got {text:?}");
    let (asset, amount) = text.split_once('=').ok_or_else(bad)?;
    Ok(Cap { asset: asset.parse().map_err(|_| bad())?, amount: amount.parse().map_err(|_| bad())? })
}

/// All `--account`s as one map; those of one rail add up.
fn join_accounts(args: Vec<AccountArg>) -> Result<BTreeMap<String, SettlementAccount>, CliError> {
    let mut accounts = BTreeMap::<String, SettlementAccount>::new();
    for AccountArg { rail, fields } in args {
        let account = accounts.entry(rail.clone()).or_default();
        for (field, value) in fields {
            if account.fields.insert(field.clone(), value).is_some() {
                let error = format!("--account gives field {field:?} of rail {rail} twice");
                return Err(CliError::Input(error));
            }
        }
    }
    Ok(accounts)
}

/// A new party's id: random, since the request id is; the same when the request is repeated.
fn fresh_party(request_id: &str) -> PartyId {
    PartyId(blake3::derive_key("tallystick 2026-11 new party id v1", request_id.as_bytes()))
}

/// Runs `tallystick party ...`.
///
/// # Errors
/// When the call fails.
pub async fn run_party(session: &mut Session, command: PartyCommand) -> Result<(), CliError> {
    let party = match command {
        PartyCommand::Add(args) => {
            let request_id = args.request.id()?;
            let id = args.id.unwrap_or_else(|| fresh_party(&request_id));
            let party = Party {
                party_id: id.0.to_vec().into(),
                name: args.name,
                suspended: args.suspended,
                accounts: join_accounts(args.accounts)?,
                erased: false,
            };
            upsert(session, request_id, party, args.reopen).await?
        }
        PartyCommand::Show { party } => get(session, party).await?,
        PartyCommand::Suspend(args) => set_suspended(session, args, true).await?,
        PartyCommand::Resume(args) => set_suspended(session, args, false).await?,
        PartyCommand::Erase(args) => erase(session, args).await?,
    };
    session.print(&party_record(party)).await
}

async fn get(session: &Session, party: PartyId) -> Result<Party, CliError> {
    let request = GetPartyRequest { party_id: party.0.to_vec().into() };
    let answer = session.operator().get_party(request).await;
    Ok(answer.map_err(|status| session.failed(status))?.into_inner())
}

async fn upsert(
    session: &Session,
    request_id: String,
    party: Party,
    reopen: bool,
) -> Result<Party, CliError> {
    let request = UpsertPartyRequest { request_id: request_id.clone(), party: Some(party), reopen };
    let answer = session.operator().upsert_party(request).await;
    Ok(answer.map_err(|status| session.failed_change(status, &request_id))?.into_inner())
}

async fn set_suspended(
    session: &Session,
    args: PartyFlag,
    suspended: bool,
) -> Result<Party, CliError> {
    let party = get(session, args.party).await?;
    if party.suspended == suspended {
        return Ok(party);
    }
    let party = Party { suspended, erased: false, ..party };
    upsert(session, args.request.id()?, party, false).await
}

async fn erase(session: &Session, args: PartyErase) -> Result<Party, CliError> {
    if !args.yes {
        return Err(CliError::Input(format!(
            "the name and accounts of party {} would be unreadable for ever, also in what was recorded so far; say \
             --yes if that is meant",
            args.party
        )));
    }
    let request_id = args.request.id()?;
    let request = ErasePartyRequest {
        request_id: request_id.clone(),
        party_id: args.party.0.to_vec().into(),
        deposits: args.deposits,
    };
    let answer = session.operator().erase_party(request).await;
    Ok(answer.map_err(|status| session.failed_change(status, &request_id))?.into_inner())
}

/// Runs `tallystick signer ...`.
///
/// # Errors
/// When the call fails.
pub async fn run_signer(session: &mut Session, command: SignerCommand) -> Result<(), CliError> {
    let signer = match command {
        SignerCommand::Add(SignerAdd { party, key, caps, request }) => {
            let request_id = request.id()?;
            let signer = Signer {
                signer: key.0.to_vec().into(),
                party_id: party.0.to_vec().into(),
                revoked: false,
                caps,
            };
            let request = AddSignerRequest { request_id: request_id.clone(), signer: Some(signer) };
            let answer = session.operator().add_signer(request).await;
            answer.map_err(|status| session.failed_change(status, &request_id))?.into_inner()
        }
        SignerCommand::Revoke { key, request } => {
            let request_id = request.id()?;
            let request = RevokeSignerRequest {
                request_id: request_id.clone(),
                signer: key.0.to_vec().into(),
            };
            let answer = session.operator().revoke_signer(request).await;
            answer.map_err(|status| session.failed_change(status, &request_id))?.into_inner()
        }
    };
    session.print(&signer_record(signer)).await
}

fn party_record(party: Party) -> Record {
    let accounts = party.accounts.into_iter().map(|(rail, account)| (rail, account.fields));
    Record(vec![
        ("party_id", Cell::Hex(party.party_id)),
        ("name", Cell::Text(party.name)),
        ("suspended", Cell::Flag(party.suspended)),
        ("accounts", Cell::Accounts(accounts.collect())),
        ("erased", Cell::Flag(party.erased)),
    ])
}

fn signer_record(signer: Signer) -> Record {
    let caps = signer.caps.iter().map(|cap| {
        Record(vec![
            ("asset", Cell::Count(cap.asset.into())),
            ("amount", Cell::Money(cap.amount.to_string(), cap.asset)),
        ])
    });
    Record(vec![
        ("signer", Cell::Hex(signer.signer.clone())),
        ("party_id", Cell::Hex(signer.party_id.clone())),
        ("revoked", Cell::Flag(signer.revoked)),
        ("caps", Cell::Records(caps.collect())),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_a_rail_and_fields() {
        let account = parse_account("iso20022:iban=DE89,bic=COBA").unwrap();
        assert_eq!(account.rail, "iso20022");
        assert_eq!(account.fields["iban"], "DE89");
        assert_eq!(account.fields["bic"], "COBA");
        assert_eq!(parse_account("evm:address=a=b").unwrap().fields["address"], "a=b");
        for bad in ["", "iso20022", ":iban=X", "iso20022:", "x:iban", "x:=1", "x:a=", "x:a=1,a=2"] {
            assert!(parse_account(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn accounts_of_one_rail_add_up_but_never_contradict() {
        let args = |texts: &[&str]| {
            join_accounts(texts.iter().map(|text| parse_account(text).unwrap()).collect())
        };
        let joined = args(&["iso20022:iban=X", "iso20022:bic=Y", "evm:address=Z"]).unwrap();
        assert_eq!((joined.len(), joined["iso20022"].fields.len()), (2, 2));
        assert!(args(&["iso20022:iban=X", "iso20022:iban=Y"]).is_err());
    }

    #[test]
    fn caps_are_an_asset_and_units() {
        assert_eq!(parse_cap("978=5").unwrap(), Cap { asset: 978, amount: 5 });
        for bad in ["", "978", "EUR=5", "978=", "978=1.5", "978=-1", "978=18446744073709551616"] {
            assert!(parse_cap(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_repeated_request_makes_the_same_party() {
        assert_eq!(fresh_party("a"), fresh_party("a"));
        assert_ne!(fresh_party("a"), fresh_party("b"));
    }

    #[test]
    fn a_party_in_json_has_the_names_of_the_contract() {
        let account = SettlementAccount { fields: [("iban".into(), "DE".into())].into() };
        let party = Party {
            party_id: vec![1; 32].into(),
            name: "N".into(),
            suspended: true,
            accounts: [("iso20022".into(), account)].into(),
            erased: false,
        };
        let expected = serde_json::json!({
            "party_id": "01".repeat(32), "name": "N", "suspended": true,
            "accounts": {"iso20022": {"iban": "DE"}}, "erased": false,
        });
        assert_eq!(party_record(party).json(), expected);
    }
}
