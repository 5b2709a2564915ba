//! `signer budget`: how much a key may spend in an hour, a day, a month, or at all.
//!
//! Owns how budgets are written on the command line.

use super::client::Session;
use super::ids::Named;
use super::output::{Cell, Record, hex};
use super::{CliError, RequestArgs};
use crate::limits::REQUEST_ID_BYTES_MAX;
use crate::types::{PartyId, SignerKey};
use bytes::Bytes;
use clap::{Args, Subcommand};
use tallystick_proto::v1::{
    Budget, BudgetPeriod, BudgetStanding, Budgets, GetBudgetsRequest, SetBudgetsRequest,
};

/// `tallystick signer budget ...`
#[derive(Debug, Subcommand)]
pub enum BudgetCommand {
    /// Replace all budgets of a key; what was used of one that stays still counts
    #[command(after_help = "Example (5.00 EUR a day, of which 1.00 to one payee, where EUR has \
        scale 6):\n  tallystick signer budget set 8f31aa02 --budget 978=5000000/day --budget \
        978=1000000/day@5a3e77c0")]
    Set(BudgetSet),
    /// List a key's budgets with what is used of each
    #[command(after_help = "Example:\n  tallystick signer budget list 8f31aa02")]
    List {
        /// The key, or its first 8 or more digits
        key: Named<SignerKey>,
    },
}

/// `tallystick signer budget set`
#[derive(Debug, Args)]
pub struct BudgetSet {
    /// The key, or its first 8 or more digits
    key: Named<SignerKey>,
    #[command(flatten)]
    budgets: BudgetArgs,
    /// Take all budgets away
    #[arg(long, conflicts_with = "budgets", required_unless_present = "budgets")]
    none: bool,
    #[command(flatten)]
    request: RequestArgs,
}

/// Budgets of a key.
#[derive(Debug, Args)]
pub struct BudgetArgs {
    /// Most that the key may spend of an asset in an hour, a day or a month (UTC), or in total, in
    /// asset units; of all that it pays, or of what it pays one party; may be repeated
    #[arg(long = "budget", value_name = "ASSET=AMOUNT/PERIOD[@PAYEE]", value_parser = parse_budget)]
    budgets: Vec<Wanted>,
}

/// A budget as it is typed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    asset: u32,
    amount: u64,
    period: BudgetPeriod,
    payee: Option<Named<PartyId>>,
}

/// The words for periods.
const PERIODS: [(&str, BudgetPeriod); 4] = [
    ("hour", BudgetPeriod::Hour),
    ("day", BudgetPeriod::Day),
    ("month", BudgetPeriod::Month),
    ("total", BudgetPeriod::Total),
];

/// Reads `978=5000000/day` and `978=5000000/day@5a3e77c0`.
fn parse_budget(text: &str) -> Result<Wanted, String> {
    let bad = || {
        format!(
            "expected ASSET=AMOUNT/PERIOD or ASSET=AMOUNT/PERIOD@PAYEE in asset units, where PERIOD is hour, day, \
             month or total, like 978=5000000/day, got {text:?}"
        )
    };
    let (budget, payee) = match text.split_once('@') {
        Some((budget, payee)) => (budget, Some(payee.parse()?)),
        None => (text, None),
    };
    let (asset, rest) = budget.split_once('=').ok_or_else(bad)?;
    let (amount, period) = rest.split_once('/').ok_or_else(bad)?;
    let (asset, amount) = (asset.parse(), amount.parse());
    let period = PERIODS.iter().find(|(word, _)| *word == period);
    match (asset, amount, period) {
        (Ok(asset), Ok(amount), Some(&(_, period))) => Ok(Wanted { asset, amount, period, payee }),
        _ => Err(bad()),
    }
}

impl BudgetArgs {
    /// The budgets as messages hold them.
    ///
    /// # Errors
    /// When a payee is not found.
    pub(super) async fn messages(&self, session: &Session) -> Result<Vec<Budget>, CliError> {
        let mut budgets = Vec::new();
        for Wanted { asset, amount, period, payee } in &self.budgets {
            let payee = match payee {
                Some(payee) => payee.bytes(session).await?,
                None => Bytes::new(),
            };
            let (asset, period, amount) = (*asset, (*period).into(), *amount);
            budgets.push(Budget { asset, period, payee, amount });
        }
        Ok(budgets)
    }
}

/// Replaces a key's budgets.
///
/// # Errors
/// When the call fails.
pub(super) async fn set(
    session: &mut Session,
    request_id: String,
    signer: Bytes,
    budgets: Vec<Budget>,
) -> Result<Budgets, CliError> {
    let request = SetBudgetsRequest { request_id: request_id.clone(), signer, budgets };
    let answer = session.operator().set_budgets(request).await;
    Ok(answer.map_err(|status| session.failed_change(status, &request_id))?.into_inner())
}

/// Under which request the budgets of a key are set that is added under this one.
///
/// # Errors
/// When it would be too long: nothing is done then.
pub(super) fn request_id(added: &str, budgets: &[Budget]) -> Result<String, CliError> {
    let id = format!("{added}/budgets");
    if budgets.is_empty() || id.len() <= REQUEST_ID_BYTES_MAX {
        return Ok(id);
    }
    let most = REQUEST_ID_BYTES_MAX - "/budgets".len();
    Err(CliError::Input(format!("with --budget, --request-id may have {most} bytes at most")))
}

/// A key was added and its budgets were not: that must be known at once.
pub(super) fn not_set(signer: &[u8], error: &CliError) -> CliError {
    let key = hex(signer);
    CliError::Failed(format!(
        "the key was added, but has no budget yet: set them with `tallystick signer budget set {key}`, or revoke it: \
         {error}"
    ))
}

/// Runs `tallystick signer budget ...`.
///
/// # Errors
/// When the call fails.
pub async fn run(session: &mut Session, command: BudgetCommand) -> Result<(), CliError> {
    let budgets = match command {
        BudgetCommand::Set(BudgetSet { key, budgets, none: _, request }) => {
            let (request_id, signer) = (request.id()?, key.bytes(session).await?);
            let budgets = budgets.messages(session).await?;
            set(session, request_id, signer, budgets).await?
        }
        BudgetCommand::List { key } => {
            let request = GetBudgetsRequest { signer: key.bytes(session).await? };
            let answer = session.operator().get_budgets(request).await;
            answer.map_err(|status| session.failed(status))?.into_inner()
        }
    };
    session.print(&budgets_record(budgets)).await
}

fn budgets_record(Budgets { signer, party_id, budgets }: Budgets) -> Record {
    let budgets = budgets.into_iter().map(standing_record).collect();
    Record(vec![
        ("signer", Cell::Id(signer)),
        ("party_id", Cell::Party(party_id)),
        ("budgets", Cell::Records(budgets)),
    ])
}

fn standing_record(standing: BudgetStanding) -> Record {
    let BudgetStanding { budget, used, since_us, warned } = standing;
    let budget = budget.unwrap_or_default();
    let word = PERIODS.iter().find(|(_, period)| *period == budget.period());
    let word = word.map_or("unknown", |(word, _)| word);
    Record(vec![
        ("asset", Cell::Count(budget.asset.into())),
        ("period", Cell::Text(word.to_owned())),
        ("payee", Cell::Party(budget.payee)),
        ("amount", Cell::Money(budget.amount.to_string(), budget.asset)),
        ("used", Cell::Money(used.to_string(), budget.asset)),
        ("since_us", Cell::Micros(since_us)),
        ("warned", Cell::Flag(warned)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_an_asset_units_a_period_and_perhaps_a_payee() {
        let day = |payee| Wanted { asset: 978, amount: 5, period: BudgetPeriod::Day, payee };
        assert_eq!(parse_budget("978=5/day"), Ok(day(None)));
        let payee = Some("5a3e77c0".parse().unwrap());
        assert_eq!(parse_budget("978=5/day@5a3e77c0"), Ok(day(payee)));
        for (word, period) in PERIODS {
            assert_eq!(parse_budget(&format!("978=5/{word}")).unwrap().period, period);
        }
        for bad in [
            "",
            "978",
            "978=5",
            "978=5/",
            "978=5/week",
            "EUR=5/day",
            "978=1.5/day",
            "978=-1/day",
            "978=5/day@",
            "978=5/day@5a",
            "978=18446744073709551616/day",
            "978=5/Day",
        ] {
            assert!(parse_budget(bad).is_err(), "{bad}");
        }
    }
}
