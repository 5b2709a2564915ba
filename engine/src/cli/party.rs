//! `party`: who pays and is paid.
//!
//! Owns how settlement accounts are written on the command line, and what of a party a change
//! leaves alone: all that is not named.

use super::client::Session;
use super::exposures::{self, ExposuresArgs};
use super::ids::{Id as _, Named};
use super::names;
use super::output::{Cell, Record, hex};
use super::page::{self, PageArgs};
use super::proposal;
use super::statement::{self, StatementArgs};
use super::{CliError, RequestArgs};
use crate::limits::PAGE_MAX;
use crate::types::PartyId;
use bytes::Bytes;
use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use std::collections::BTreeMap;
use tallystick_proto::v1::{
    ErasePartyRequest, FindIdsRequest, GetPartyRequest, IdKind, Keep, ListPartiesRequest, Party,
    SettlementAccount, UpsertPartyRequest,
};

const ADD_HELP: &str = "\
Example:
  tallystick party add --name 'Example GmbH' \\
    --account iso20022:iban=DE89370400440532013000,bic=COBADEFFXXX

For an id that is registered, what is named replaces what there was, and everything else stays: its
accounts on other rails, and whether it is suspended. --remove-account takes an account away. A
value that holds a comma can be given with `tallystick import`.";

const UPDATE_HELP: &str = "\
Examples:
  tallystick party update 5a3e77c0 --account iso20022:iban=DE89370400440532013000
  tallystick party update 5a3e77c0 --name 'Example AG' --remove-account evm

What is not named stays as it is.";

/// `tallystick party ...`
#[derive(Debug, Subcommand)]
pub enum PartyCommand {
    /// Register a party; of one that is registered, change what is named
    #[command(after_help = ADD_HELP)]
    Add(PartyAdd),
    /// Change a party's name or accounts
    #[command(after_help = UPDATE_HELP)]
    Update(PartyUpdate),
    /// List parties, in the order of their ids, or those nearest to their limit first
    #[command(after_help = exposures::LIST_HELP)]
    List(PartyList),
    /// Find parties by a part of their name, or by the first digits of their id
    #[command(after_help = "Example:\n  tallystick party find müller")]
    Find {
        /// A part of the name, in capitals or small letters, or the id's first 8 or more digits
        text: String,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Show a party
    #[command(after_help = "Example:\n  tallystick party show 5a3e77c0")]
    Show {
        /// The party's id, or its first 8 or more digits
        #[arg(value_name = "ID")]
        party: Named<PartyId>,
    },
    /// Show what a party sent and received, window by window, and the payments that settle it
    #[command(after_help = statement::HELP)]
    Statement(StatementArgs),
    /// Block a party: it can neither pay nor be paid
    #[command(after_help = "Example:\n  tallystick party suspend 5a3e77c0")]
    Suspend(PartyFlag),
    /// Unblock a suspended party
    #[command(after_help = "Example:\n  tallystick party resume 5a3e77c0")]
    Resume(PartyFlag),
    /// Make a party's name and accounts unreadable, everywhere and for ever
    #[command(after_help = ERASE_HELP)]
    Erase(PartyErase),
}

const ERASE_HELP: &str = "\
Example:
  tallystick party suspend 5a3e77c0
  tallystick window close          and batch and settle what was owed up to here
  tallystick party erase 5a3e77c0 --yes

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
    /// Take away its account on this rail; may be repeated
    #[arg(long = "remove-account", value_name = "RAIL")]
    removed: Vec<String>,
    /// Block it: it can neither pay nor be paid yet
    #[arg(long)]
    suspended: bool,
    /// Register a party anew that was erased: money has come back that must reach it
    #[arg(long)]
    reopen: bool,
    #[command(flatten)]
    request: RequestArgs,
}

/// `tallystick party update`
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("changes").required(true).multiple(true).args(["name", "accounts", "removed"]))]
pub struct PartyUpdate {
    /// The party's id, or its first 8 or more digits
    #[arg(value_name = "ID")]
    party: Named<PartyId>,
    /// Its new name
    #[arg(long)]
    name: Option<String>,
    /// Its new account on a rail, in place of the one there; may be repeated
    #[arg(long = "account", value_name = "RAIL:FIELD=VALUE,...", value_parser = parse_account)]
    accounts: Vec<AccountArg>,
    /// Take away its account on this rail; may be repeated
    #[arg(long = "remove-account", value_name = "RAIL")]
    removed: Vec<String>,
    #[command(flatten)]
    request: RequestArgs,
}

/// `tallystick party list`
#[derive(Debug, Args)]
pub struct PartyList {
    /// Only those whose name holds this, in capitals or small letters
    #[arg(long, value_name = "TEXT", default_value = "")]
    name: String,
    /// Only those behind this id: what the end of a page names
    #[arg(long, value_name = "ID")]
    after: Option<PartyId>,
    /// In this order
    #[arg(long, value_enum, value_name = "ORDER", default_value_t = Order::Id)]
    by: Order,
    #[command(flatten)]
    exposures: ExposuresArgs,
    #[command(flatten)]
    page: PageArgs,
}

/// Orders of a list of parties.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Order {
    /// By their ids
    Id,
    /// By how near their limit they are in an asset, the nearest first
    Exposure,
}

/// `tallystick party suspend|resume`
#[derive(Debug, Args)]
pub struct PartyFlag {
    /// The party's id, or its first 8 or more digits
    #[arg(value_name = "ID")]
    party: Named<PartyId>,
    #[command(flatten)]
    request: RequestArgs,
}

/// `tallystick party erase`
#[derive(Debug, Args)]
pub struct PartyErase {
    /// The party's id, or its first 8 or more digits
    #[arg(value_name = "ID")]
    party: Named<PartyId>,
    /// How what was left of its deposits was given back, if something was left
    #[arg(long, value_name = "TEXT", default_value = "")]
    deposits: String,
    /// It cannot be undone: without this nothing is done
    #[arg(long)]
    yes: bool,
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
        PartyCommand::Add(args) => add(session, args).await?,
        PartyCommand::Update(args) => update(session, args).await?,
        PartyCommand::List(args) => match args.by {
            Order::Id => return list(session, args.name, args.after, args.page).await,
            Order::Exposure => return exposures::list(session, args.exposures, args.page).await,
        },
        PartyCommand::Find { text, page } => return find(session, text, page).await,
        PartyCommand::Statement(args) => return statement::run(session, args).await,
        PartyCommand::Show { party } => get(session, party.find(session).await?).await?,
        PartyCommand::Suspend(args) => set_suspended(session, args, true).await?,
        PartyCommand::Resume(args) => set_suspended(session, args, false).await?,
        PartyCommand::Erase(args) => erase(session, args).await?,
    };
    session.print(&party_record(party)).await
}

async fn add(session: &Session, args: PartyAdd) -> Result<Party, CliError> {
    let request_id = args.request.id()?;
    let id = args.id.unwrap_or_else(|| fresh_party(&request_id));
    let accounts = join_accounts(args.accounts)?;
    let named: Vec<String> = accounts.keys().cloned().collect();
    let party = Party {
        party_id: id.0.to_vec().into(),
        name: args.name,
        suspended: args.suspended,
        accounts,
        ..Party::default()
    };
    let keep = Keep {
        name: false,
        suspended: !args.suspended,
        accounts: true,
        remove_accounts: args.removed,
    };
    let party = upsert(session, request_id, party, args.reopen, keep).await?;
    warn(session, &party).await;
    let stayed: Vec<&str> =
        party.accounts.keys().filter(|rail| !named.contains(rail)).map(String::as_str).collect();
    if !stayed.is_empty() {
        super::note(&format!(
            "note: the party was registered before; its account on {} stays (--remove-account takes one away)",
            stayed.join(" and ")
        ));
    }
    Ok(party)
}

async fn update(session: &Session, args: PartyUpdate) -> Result<Party, CliError> {
    let (request_id, party_id) = (args.request.id()?, args.party.bytes(session).await?);
    // A name is needed of one that is not registered, and then this is no update.
    let known = get_by(session, party_id.clone()).await?;
    let keep = Keep {
        name: args.name.is_none(),
        suspended: true,
        accounts: true,
        remove_accounts: args.removed,
    };
    let name = args.name.unwrap_or_default();
    let accounts = join_accounts(args.accounts)?;
    let party = Party { party_id: known.party_id, name, accounts, ..Party::default() };
    let party = upsert(session, request_id, party, false, keep).await?;
    warn(session, &party).await;
    Ok(party)
}

/// Tells of a name that a bank's file does not carry as it is, and of another party that has it.
async fn warn(session: &Session, party: &Party) {
    for text in names::misfits(party) {
        super::note(&format!("warning: {text}"));
    }
    let asked = ListPartiesRequest { name: party.name.clone(), limit: 10, ..Default::default() };
    // The party is registered: what cannot be looked up now is no reason to fail.
    let Ok(answer) = session.operator().list_parties(asked).await else { return };
    let is_other = |other: &&Party| {
        other.party_id != party.party_id && names::is_same(&other.name, &party.name)
    };
    if let Some(other) = answer.into_inner().parties.iter().find(is_other) {
        super::note(&format!(
            "warning: party {} has this name, too; whoever looks for one by its name finds both",
            hex(&other.party_id)
        ));
    }
}

async fn list(
    session: &mut Session,
    name: String,
    after: Option<PartyId>,
    page: PageArgs,
) -> Result<(), CliError> {
    let after = after.map(|party| Bytes::copy_from_slice(&party.0));
    let (mut after, mut left) = (after.unwrap_or_default(), page.begin());
    loop {
        let (limit, name) = (left.ask(PAGE_MAX), name.clone());
        let asked = ListPartiesRequest { after, limit, name, party_ids: Vec::new() };
        let answer = session.operator().list_parties(asked).await;
        let answer = answer.map_err(|status| session.failed(status))?.into_inner();
        left.shown(answer.parties.len());
        show_rows(session, answer.parties).await?;
        after = answer.next;
        if after.is_empty() {
            return Ok(());
        }
        if left.is_full() {
            page::tell_more("parties", "--after", &hex(&after));
            return Ok(());
        }
    }
}

async fn show_rows(session: &mut Session, parties: Vec<Party>) -> Result<(), CliError> {
    let rows: Vec<Record> = parties.into_iter().map(party_record).collect();
    session.print_rows(&rows, &["party_id", "name", "suspended", "accounts"]).await
}

async fn find(session: &mut Session, text: String, page: PageArgs) -> Result<(), CliError> {
    if text.parse::<Named<PartyId>>().is_ok() {
        let prefix = text.to_ascii_lowercase();
        let asked = FindIdsRequest { kind: IdKind::Party.into(), prefix, batch_id: Bytes::new() };
        let answer = session.operator().find_ids(asked).await;
        let found = answer.map_err(|status| session.failed(status))?.into_inner().found;
        if !found.is_empty() {
            let party_ids = found.into_iter().map(|found| found.id).collect();
            let asked = ListPartiesRequest { party_ids, ..Default::default() };
            let answer = session.operator().list_parties(asked).await;
            let parties = answer.map_err(|status| session.failed(status))?.into_inner().parties;
            return show_rows(session, parties).await;
        }
    }
    list(session, text, None, page).await
}

async fn get_by(session: &Session, party_id: Bytes) -> Result<Party, CliError> {
    let answer = session.operator().get_party(GetPartyRequest { party_id }).await;
    Ok(answer.map_err(|status| session.failed(status))?.into_inner())
}

async fn get(session: &Session, party: PartyId) -> Result<Party, CliError> {
    get_by(session, Bytes::copy_from_slice(&party.bytes())).await
}

async fn upsert(
    session: &Session,
    request_id: String,
    party: Party,
    reopen: bool,
    keep: Keep,
) -> Result<Party, CliError> {
    let (id, party, keep) = (request_id.clone(), Some(party), Some(keep));
    let request = UpsertPartyRequest { request_id: id, party, reopen, keep };
    let answer = session.operator().upsert_party(request).await;
    Ok(answer.map_err(|status| session.failed_change(status, &request_id))?.into_inner())
}

async fn set_suspended(
    session: &Session,
    args: PartyFlag,
    suspended: bool,
) -> Result<Party, CliError> {
    let party = get(session, args.party.find(session).await?).await?;
    if party.suspended == suspended {
        return Ok(party);
    }
    // Names nothing but this: whoever changes the party at the same moment is not undone.
    let party = Party { party_id: party.party_id, suspended, ..Party::default() };
    let keep = Keep { name: true, suspended: false, accounts: true, remove_accounts: Vec::new() };
    upsert(session, args.request.id()?, party, false, keep).await
}

async fn erase(session: &Session, args: PartyErase) -> Result<Party, CliError> {
    let party = args.party.find(session).await?;
    if !args.yes {
        return Err(CliError::Input(format!(
            "the name and accounts of party {party} would be unreadable for ever, also in what was recorded so far; say \
             --yes if that is meant"
        )));
    }
    let request_id = args.request.id()?;
    let request = ErasePartyRequest {
        request_id: request_id.clone(),
        party_id: party.0.to_vec().into(),
        deposits: args.deposits,
    };
    let answer = session.operator().erase_party(request).await;
    Ok(answer.map_err(|status| session.failed_change(status, &request_id))?.into_inner())
}

fn party_record(party: Party) -> Record {
    let accounts = party.accounts.into_iter().map(|(rail, account)| (rail, account.fields));
    let mut record = Record(vec![
        ("party_id", Cell::Id(party.party_id)),
        ("name", Cell::Text(party.name)),
        ("suspended", Cell::Flag(party.suspended)),
        ("accounts", Cell::Accounts(accounts.collect())),
        ("erased", Cell::Flag(party.erased)),
    ]);
    record.0.extend(proposal::cell(party.proposal));
    record
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
            ..Default::default()
        };
        let expected = serde_json::json!({
            "party_id": "01".repeat(32), "name": "N", "suspended": true,
            "accounts": {"iso20022": {"iban": "DE"}}, "erased": false,
        });
        assert_eq!(party_record(party).json(), expected);
    }
}
