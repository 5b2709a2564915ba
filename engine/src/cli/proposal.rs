//! `proposal`: what one has proposed and another confirms. Owns how a proposal is named by its
//! first digits, and what is said of a change that has become one.

use super::client::Session;
use super::operator_key::{SignWith, signature};
use super::output::{Cell, Record, hex};
use super::{CliError, RequestArgs};
use crate::types::{Digest, confirmation_statement};
use bytes::Bytes;
use clap::{Args, Subcommand};
use tallystick_proto::v1::{
    ConfirmProposalRequest, ListProposalsRequest, Proposal, ProposedField, WithdrawProposalRequest,
};

/// Fewest digits of an id that name a proposal.
const DIGITS: usize = 8;

/// `tallystick proposal ...`
#[derive(Debug, Subcommand)]
pub enum ProposalCommand {
    /// List what was proposed and waits for another, oldest first, and what nobody can confirm any
    /// more (`void`)
    #[command(after_help = "Example:\n  tallystick proposal list")]
    List,
    /// Show what a proposal changes, from what to what
    #[command(after_help = "Example:\n  tallystick proposal show 5a3e77c0")]
    Show(OneProposal),
    /// Have what another has proposed happen: just that, or nothing
    #[command(
        after_help = "Examples:\n  tallystick proposal confirm 5a3e77c0\n  tallystick proposal confirm \
        5a3e77c0 9b01c2d3 --sign-with bob.key\n\nLook first (`proposal show`): for an account, ask its owner \
        by a way that you know, not by what came with the change."
    )]
    Confirm(ConfirmArgs),
    /// Take proposals away; nothing changes
    #[command(
        after_help = "Example:\n  tallystick proposal withdraw 5a3e77c0 --reason 'not asked for'"
    )]
    Withdraw(WithdrawArgs),
}

/// Names one.
#[derive(Debug, Args)]
pub struct OneProposal {
    /// Its id, or its first 8 or more digits
    #[arg(value_name = "ID")]
    id: String,
}

/// `tallystick proposal confirm`
#[derive(Debug, Args)]
pub struct ConfirmArgs {
    /// Their ids, or their first 8 or more digits
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    #[command(flatten)]
    sign_with: SignWith,
    #[command(flatten)]
    request: RequestArgs,
}

/// `tallystick proposal withdraw`
#[derive(Debug, Args)]
pub struct WithdrawArgs {
    /// Their ids, or their first 8 or more digits
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    /// Why, for the record
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    #[command(flatten)]
    request: RequestArgs,
}

const COLUMNS: [&str; 7] =
    ["proposal", "state", "proposer", "expires_at_us", "kind", "party_id", "changes"];

/// Of a change that has become a proposal, the cell that names it; and it is said what must follow.
pub fn cell(proposal: Bytes) -> Option<(&'static str, Cell)> {
    if proposal.is_empty() {
        return None;
    }
    super::note(&format!(
        "note: proposed, nothing has changed yet; another must confirm: tallystick proposal confirm {}",
        hex(&proposal)
    ));
    Some(("proposal", Cell::Hex(proposal)))
}

/// Runs `tallystick proposal ...`.
///
/// # Errors
/// When the call fails, or an id names none or several.
pub async fn run(session: &mut Session, command: ProposalCommand) -> Result<(), CliError> {
    match command {
        ProposalCommand::List => {
            let open = all(session).await?;
            let rows: Vec<Record> = open.into_iter().map(record).collect();
            session.print_rows(&rows, &COLUMNS).await
        }
        ProposalCommand::Show(OneProposal { id }) => {
            let open = all(session).await?;
            let found = named(open, &id)?;
            let found = found.ok_or_else(|| {
                CliError::Failed(format!(
                    "no open proposal begins with {id}: it was confirmed, withdrawn, or has expired"
                ))
            })?;
            session.print(&record(found)).await
        }
        ProposalCommand::Confirm(args) => confirm(session, args).await,
        ProposalCommand::Withdraw(args) => withdraw(session, args).await,
    }
}

async fn confirm(session: &mut Session, args: ConfirmArgs) -> Result<(), CliError> {
    let (first, key) = (args.request.id()?, args.sign_with.key()?);
    let network = session.network_id().await?;
    for (place, proposal) in ids(session, &args.ids).await?.into_iter().enumerate() {
        let over = || confirmation_statement(network, Digest(proposal));
        let signature = signature(key.as_ref(), over);
        let (request_id, proposal) = (nth(&first, place), Bytes::copy_from_slice(&proposal));
        let asked = ConfirmProposalRequest { request_id: request_id.clone(), proposal, signature };
        let answer = session.operator().confirm_proposal(asked).await;
        let done = answer.map_err(|status| session.failed_change(status, &request_id))?;
        session.print(&record(done.into_inner())).await?;
    }
    Ok(())
}

async fn withdraw(session: &mut Session, args: WithdrawArgs) -> Result<(), CliError> {
    let first = args.request.id()?;
    for (place, proposal) in ids(session, &args.ids).await?.into_iter().enumerate() {
        let (request_id, reason) = (nth(&first, place), args.reason.clone());
        let proposal = Bytes::copy_from_slice(&proposal);
        let asked = WithdrawProposalRequest { request_id: request_id.clone(), proposal, reason };
        let answer = session.operator().withdraw_proposal(asked).await;
        let done = answer.map_err(|status| session.failed_change(status, &request_id))?;
        session.print(&record(done.into_inner())).await?;
    }
    Ok(())
}

/// Each of several has a request of its own: the same again when the command is repeated.
fn nth(first: &str, place: usize) -> String {
    if place == 0 { first.to_owned() } else { format!("{first}-{place}") }
}

/// Those that are open.
pub(super) async fn all(session: &Session) -> Result<Vec<Proposal>, CliError> {
    let answer = session.operator().list_proposals(ListProposalsRequest {}).await;
    let mut rows = answer.map_err(|status| session.failed(status))?.into_inner();
    let mut open = Vec::new();
    while let Some(one) = rows.message().await.map_err(|status| session.failed(status))? {
        open.push(one);
    }
    Ok(open)
}

/// What is named, in full. A whole id is taken as it is: whoever repeats a command may name one
/// that is over.
async fn ids(session: &Session, texts: &[String]) -> Result<Vec<[u8; 32]>, CliError> {
    let (mut found, mut open) = (Vec::new(), None);
    for text in texts {
        if let Ok(Digest(whole)) = text.parse() {
            found.push(whole);
            continue;
        }
        if open.is_none() {
            open = Some(all(session).await?);
        }
        let one = named(open.clone().unwrap_or_default(), text)?;
        let id = one.and_then(|one| <[u8; 32]>::try_from(one.proposal.as_ref()).ok());
        found.push(id.ok_or_else(|| {
            CliError::Failed(format!(
                "no open proposal begins with {text}: it was confirmed, withdrawn, or has expired; \
                 `tallystick proposal list` shows those there are"
            ))
        })?);
    }
    Ok(found)
}

/// The one whose id begins so.
fn named(open: Vec<Proposal>, text: &str) -> Result<Option<Proposal>, CliError> {
    let wanted = text.to_ascii_lowercase();
    if wanted.len() < DIGITS || !wanted.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(CliError::Input(format!(
            "expected a proposal's id, or its first {DIGITS} or more digits, got {text:?}"
        )));
    }
    let mut all = open.into_iter().filter(|one| hex(&one.proposal).starts_with(&wanted));
    match (all.next(), all.next()) {
        (found, None) => Ok(found),
        _ => Err(CliError::Input(format!("several proposals begin with {text}; give more digits"))),
    }
}

/// As it is printed.
pub(super) fn record(of: Proposal) -> Record {
    let asset = of.asset;
    let change = |field: ProposedField| {
        let text = |text: String| match asset.filter(|_| field.money && !text.is_empty()) {
            Some(asset) => Cell::Money(text, asset),
            None => Cell::Text(text),
        };
        let (before, after) = (text(field.before.clone()), text(field.after.clone()));
        Record(vec![("field", Cell::Text(field.name)), ("before", before), ("after", after)])
    };
    let mut cells = vec![("proposal", Cell::Id(of.proposal)), ("state", Cell::Text(of.state))];
    if !of.why.is_empty() {
        cells.push(("why", Cell::Text(of.why)));
    }
    cells.extend([
        ("proposer", Cell::Text(of.proposer)),
        ("proposed_at_us", Cell::Micros(of.proposed_at_us)),
        ("expires_at_us", Cell::Micros(of.expires_at_us)),
        ("lsn", Cell::Count(of.lsn)),
        ("kind", Cell::Text(of.kind)),
    ]);
    if !of.party_id.is_empty() {
        cells.push(("party_id", Cell::Party(of.party_id)));
    }
    cells.extend(asset.map(|asset| ("asset", Cell::Count(asset.into()))));
    cells.push(("changes", Cell::Records(of.fields.into_iter().map(change).collect())));
    Record(cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(first: u8) -> Proposal {
        Proposal { proposal: vec![first; 32].into(), ..Default::default() }
    }

    #[test]
    fn a_proposal_is_named_by_its_first_digits() {
        let open = || vec![one(0xab), one(0xcd), Proposal { lsn: 7, ..one(0xcd) }];
        let found = named(open(), "ABABABAB").unwrap().unwrap();
        assert_eq!(found, one(0xab));
        assert!(named(open(), "cdcdcdcd").is_err(), "two begin so");
        assert_eq!(named(open(), "ffffffff").unwrap(), None);
        for bad in ["", "abababa", "not digits"] {
            assert!(named(open(), bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn each_of_several_has_a_request_of_its_own() {
        assert_eq!([nth("r", 0), nth("r", 1), nth("r", 2)], ["r", "r-1", "r-2"]);
    }

    #[test]
    fn a_sum_is_money_and_an_account_is_text() {
        let field = |name: &str, before: &str, after: &str, money| ProposedField {
            name: name.into(),
            before: before.into(),
            after: after.into(),
            money,
        };
        let fields = vec![field("limit", "100", "500000", true)];
        let of = Proposal { asset: Some(978), fields, ..one(1) };
        let json = record(of).json();
        let wanted = serde_json::json!([{"field": "limit", "before": "100", "after": "500000"}]);
        assert_eq!(json["changes"], wanted);
    }
}
