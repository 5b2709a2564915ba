//! `batch` and `leg`: settlement batches and the movements of money in them.
//!
//! Owns how a batch is named by the first digits of its id.

use super::client::Session;
use super::export;
use super::output::{Cell, Record, hex};
use super::{CliError, RequestArgs, leg, reconcile};
use crate::types::BatchId;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::str::FromStr;
use tallystick_proto::v1::{
    AbortBatchRequest, ApproveBatchRequest, Batch, CreateBatchRequest, GetBatchRequest, Leg,
    LegCount, ListBatchesRequest,
};

/// Fewest digits that may stand for a batch: with 32 bits two of thousands of batches rarely meet,
/// and it is told when they do.
const PREFIX_DIGITS_MIN: usize = 8;

/// `tallystick batch ...`
#[derive(Debug, Subcommand)]
pub enum BatchCommand {
    /// Compute the batch that settles closed windows in one asset on one rail
    #[command(after_help = "Examples:\n  tallystick batch create --window 3 --asset 978 --rail \
        iso20022\n  tallystick batch create --window 3,4,5 --asset 978 --rail iso20022")]
    Create(BatchCreate),
    /// List all batches
    #[command(after_help = "Example:\n  tallystick batch list --json")]
    List,
    /// Show one batch
    #[command(after_help = "Example:\n  tallystick batch show 9c1f03ab")]
    Show(OneBatch),
    /// Approve a computed batch
    #[command(after_help = "Example:\n  tallystick batch approve 9c1f03ab")]
    Approve {
        #[command(flatten)]
        one: OneBatch,
        #[command(flatten)]
        request: RequestArgs,
    },
    /// Abort a batch of which nothing was sent; its windows can be batched anew
    #[command(after_help = "Example:\n  tallystick batch abort 9c1f03ab --reason 'wrong rail'")]
    Abort {
        #[command(flatten)]
        one: OneBatch,
        /// Why, for the record
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        request: RequestArgs,
    },
    /// Show where a batch stands, and what you must do now
    #[command(after_help = "Example:\n  tallystick batch report 9c1f03ab")]
    Report(OneBatch),
    /// List the legs of a batch
    #[command(after_help = "Example:\n  tallystick batch legs 9c1f03ab --json")]
    Legs(OneBatch),
    /// Write all legs of a batch as CSV and JSON, for your records
    #[command(
        after_help = "Example:\n  tallystick batch export 9c1f03ab --dir ./out\n\nNothing of it goes to a \
        bank: only the files in the engine's outbox do, each once. A file that exists with other content is \
        left alone unless --force is given."
    )]
    Export(BatchExport),
}

/// `tallystick leg ...`
#[derive(Debug, Subcommand)]
pub enum LegCommand {
    /// List the legs of a batch
    #[command(after_help = "Example:\n  tallystick leg list 9c1f03ab")]
    List(OneBatch),
    /// Show one leg
    #[command(after_help = "Example:\n  tallystick leg show 9c1f03ab \
        QZ5M3WVF7K2C4D6E7FGH2JKLMNPQRSTU")]
    Show {
        #[command(flatten)]
        one: OneBatch,
        /// The leg's idempotency key
        key: String,
    },
    /// Say what a rail did with legs, e.g. as the bank's own pages show it
    #[command(
        after_help = "Examples:\n  tallystick leg report 9c1f03ab --pay-ins --word confirmed \
        --reference 'statement 41'\n  tallystick leg report 9c1f03ab --key QZ5M3WVF7K2C4D6E7FGH2JKLMNPQRSTU \
        --word rejected --reason 'no such account'\n  tallystick leg report 9c1f03ab --csv bank.csv\n\n\
        What was sent and will not be paid is rejected; what was confirmed and came back is returned. Both \
        need --reason. A word that cannot be true of one leg refuses them all."
    )]
    Report(leg::ReportArgs),
    /// Say what became of an UNKNOWN leg; it moves when another operator says the same
    #[command(after_help = "Example:\n  tallystick leg resolve 9c1f03ab \
        QZ5M3WVF7K2C4D6E7FGH2JKLMNPQRSTU --word confirmed --reference ch_3P --evidence 'PSP ticket 17'")]
    Resolve(leg::ResolveArgs),
}

/// Names one batch.
#[derive(Debug, Clone, Args)]
pub struct OneBatch {
    /// The batch's id, or its first 8 or more digits
    #[arg(value_name = "BATCH")]
    pub(super) batch: BatchName,
}

/// `tallystick batch create`
#[derive(Debug, Args)]
pub struct BatchCreate {
    /// The closed windows; may be repeated
    #[arg(long = "window", value_name = "N", required = true, value_delimiter = ',')]
    windows: Vec<u64>,
    /// The asset's number
    #[arg(long, value_name = "N")]
    asset: u32,
    /// The rail that moves the money, e.g. iso20022
    #[arg(long)]
    rail: String,
    #[command(flatten)]
    request: RequestArgs,
}

/// `tallystick batch export`
#[derive(Debug, Args)]
pub struct BatchExport {
    #[command(flatten)]
    one: OneBatch,
    /// Where to write the files; created if it does not exist
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Replace files that exist with other content
    #[arg(long)]
    force: bool,
}

/// A batch id in full, or its first digits in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BatchName {
    Full(BatchId),
    Prefix(String),
}

impl FromStr for BatchName {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.to_ascii_lowercase();
        if let Ok(id) = digits.parse() {
            return Ok(Self::Full(id));
        }
        let usable = (PREFIX_DIGITS_MIN..64).contains(&digits.len());
        if !usable || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(format!("expected {PREFIX_DIGITS_MIN} to 64 hexadecimal digits"));
        }
        Ok(Self::Prefix(digits))
    }
}

/// Runs `tallystick batch ...`.
///
/// # Errors
/// When the call fails, or no or several batches have the name.
pub async fn run_batch(session: &mut Session, command: BatchCommand) -> Result<(), CliError> {
    let mut operator = session.operator();
    match command {
        BatchCommand::Create(BatchCreate { windows, asset, rail, request }) => {
            let request_id = request.id()?;
            let request =
                CreateBatchRequest { request_id: request_id.clone(), windows, asset, rail };
            let answer = operator.create_batch(request).await;
            let batch = answer.map_err(|status| session.failed_change(status, &request_id))?;
            session.print(&batch_record(batch.into_inner())).await
        }
        BatchCommand::List => {
            let answer = operator.list_batches(ListBatchesRequest {}).await;
            let rows = answer.map_err(|status| session.failed(status))?.into_inner();
            let columns = ["batch_id", "state", "windows", "rail", "legs", "total", "carried"];
            session.print_stream(rows, &columns, batch_cells).await
        }
        BatchCommand::Show(one) => {
            let answer = operator.get_batch(resolve(session, one).await?).await;
            let batch = answer.map_err(|status| session.failed(status))?.into_inner();
            session.print(&batch_record(batch)).await
        }
        BatchCommand::Approve { one, request } => {
            let request_id = request.id()?;
            let GetBatchRequest { batch_id } = resolve(session, one).await?;
            let request = ApproveBatchRequest { request_id: request_id.clone(), batch_id };
            let answer = operator.approve_batch(request).await;
            let batch = answer.map_err(|status| session.failed_change(status, &request_id))?;
            session.print(&batch_record(batch.into_inner())).await
        }
        BatchCommand::Abort { one, reason, request } => {
            let request_id = request.id()?;
            let GetBatchRequest { batch_id } = resolve(session, one).await?;
            let request = AbortBatchRequest { request_id: request_id.clone(), batch_id, reason };
            let answer = operator.abort_batch(request).await;
            let batch = answer.map_err(|status| session.failed_change(status, &request_id))?;
            session.print(&batch_record(batch.into_inner())).await
        }
        BatchCommand::Report(one) => reconcile::run(session, one).await,
        BatchCommand::Legs(one) => list_legs(session, one).await,
        BatchCommand::Export(BatchExport { one, dir, force }) => {
            let request = resolve(session, one).await?;
            let answer = operator.export_batch(request.clone()).await;
            let chunks = answer.map_err(|status| session.failed(status))?.into_inner();
            export::write(session, chunks, &dir, force).await?;
            let answer = operator.get_reconciliation(request).await;
            let report = answer.map_err(|status| session.failed(status))?.into_inner();
            super::note(&export::where_the_bank_files_are(&report));
            Ok(())
        }
    }
}

/// Runs `tallystick leg ...`.
///
/// # Errors
/// When the call fails, or there is no such batch or leg.
pub async fn run_leg(session: &mut Session, command: LegCommand) -> Result<(), CliError> {
    let (one, key) = match command {
        LegCommand::List(one) => return list_legs(session, one).await,
        LegCommand::Report(args) => return leg::report(session, args).await,
        LegCommand::Resolve(args) => return leg::resolve_leg(session, args).await,
        LegCommand::Show { one, key } => (one, key),
    };
    let (asset, request) = with_asset(session, one).await?;
    let answer = session.operator().list_legs(request).await;
    let mut legs = answer.map_err(|status| session.failed(status))?.into_inner();
    while let Some(leg) = legs.message().await.map_err(|status| session.failed(status))? {
        if leg.key == key {
            return session.print(&leg_record(leg, asset)).await;
        }
    }
    Err(CliError::Failed(format!(
        "the batch has no leg {key:?}; `tallystick leg list BATCH` shows those it has"
    )))
}

async fn list_legs(session: &mut Session, one: OneBatch) -> Result<(), CliError> {
    let (asset, request) = with_asset(session, one).await?;
    let answer = session.operator().list_legs(request).await;
    let rows = answer.map_err(|status| session.failed(status))?.into_inner();
    let columns = ["key", "from", "to", "amount", "state"];
    session.print_stream(rows, &columns, |leg| leg_record(leg, asset)).await
}

/// The batch's asset, which its legs do not repeat, and the request that names it.
pub(super) async fn with_asset(
    session: &Session,
    one: OneBatch,
) -> Result<(u32, GetBatchRequest), CliError> {
    let request = resolve(session, one).await?;
    let answer = session.operator().get_batch(request.clone()).await;
    let batch = answer.map_err(|status| session.failed(status))?.into_inner();
    Ok((batch.asset, request))
}

/// The request that names the batch: a prefix is looked up in the list of all batches.
pub(super) async fn resolve(session: &Session, one: OneBatch) -> Result<GetBatchRequest, CliError> {
    let prefix = match one.batch {
        BatchName::Full(id) => return Ok(GetBatchRequest { batch_id: id.0.to_vec().into() }),
        BatchName::Prefix(prefix) => prefix,
    };
    let answer = session.operator().list_batches(ListBatchesRequest {}).await;
    let mut batches = answer.map_err(|status| session.failed(status))?.into_inner();
    let mut found = Vec::new();
    while let Some(batch) = batches.message().await.map_err(|status| session.failed(status))? {
        if hex(&batch.batch_id).starts_with(&prefix) {
            found.push(batch.batch_id);
        }
    }
    match found.as_slice() {
        [batch_id] => Ok(GetBatchRequest { batch_id: batch_id.clone() }),
        [] => Err(CliError::Failed(format!(
            "no batch id begins with {prefix}; `tallystick batch list` shows all"
        ))),
        several => Err(CliError::Failed(format!(
            "{} batch ids begin with {prefix}; give more digits: {}",
            several.len(),
            several.iter().map(|id| hex(id)).collect::<Vec<_>>().join(", ")
        ))),
    }
}

/// A batch with what is open about it.
pub(super) fn batch_record(mut batch: Batch) -> Record {
    let troubles = std::mem::take(&mut batch.troubles);
    let trouble = |text: String| Record(vec![("trouble", Cell::Text(text))]);
    let Record(mut cells) = batch_cells(batch);
    cells.push(("troubles", Cell::Records(troubles.into_iter().map(trouble).collect())));
    Record(cells)
}

/// A batch alone: where it is listed or reported on, troubles are told elsewhere.
pub(super) fn batch_cells(batch: Batch) -> Record {
    let state = super::state_name(batch.state().as_str_name(), "BATCH_STATE_");
    let asset = batch.asset;
    let count = |count: &LegCount| {
        let state = super::state_name(count.state().as_str_name(), "LEG_STATE_");
        Record(vec![("state", Cell::Text(state)), ("legs", Cell::Count(count.legs))])
    };
    let counts = batch.legs_by_state.iter().map(count).collect();
    Record(vec![
        ("batch_id", Cell::Hex(batch.batch_id)),
        ("state", Cell::Text(state)),
        ("windows", Cell::Counts(batch.windows)),
        ("asset", Cell::Count(asset.into())),
        ("rail", Cell::Text(batch.rail)),
        ("legs", Cell::Count(batch.legs)),
        ("total", Cell::Money(batch.total, asset)),
        ("pay_in_legs", Cell::Count(batch.pay_in_legs)),
        ("pay_in_total", Cell::Money(batch.pay_in_total, asset)),
        ("carried", Cell::Money(batch.carried, asset)),
        ("owed_again", Cell::Money(batch.owed_again, asset)),
        ("legs_by_state", Cell::Records(counts)),
        ("created_by", Cell::Text(batch.created_by)),
        ("four_eyes", Cell::Flag(batch.four_eyes)),
        ("approved_by", Cell::Text(batch.approved_by)),
        ("approved_at_us", Cell::Micros(batch.approved_at_us)),
        ("aborted_by", Cell::Text(batch.aborted_by)),
        ("abort_reason", Cell::Text(batch.abort_reason)),
        ("ended_at_us", Cell::Micros(batch.ended_at_us)),
    ])
}

pub(super) fn leg_record(leg: Leg, asset: u32) -> Record {
    let state = super::state_name(leg.state().as_str_name(), "LEG_STATE_");
    let proposal = leg.proposal.into_iter().map(reconcile::proposal_record).collect();
    Record(vec![
        ("key", Cell::Text(leg.key)),
        ("from", Cell::Party(leg.from)),
        ("to", Cell::Party(leg.to)),
        ("amount", Cell::Money(leg.amount, asset)),
        ("state", Cell::Text(state)),
        ("rail_reference", Cell::Text(leg.rail_reference)),
        ("reason", Cell::Text(leg.reason)),
        ("proposal", Cell::Records(proposal)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use tallystick_proto::v1::{BatchState, LegState};

    #[test]
    fn batches_are_named_in_full_or_by_eight_digits_or_more() {
        let full = "ab".repeat(32);
        assert_eq!(full.parse(), Ok(BatchName::Full(full.parse().unwrap())));
        assert_eq!("ABCDEF01".parse(), Ok(BatchName::Prefix("abcdef01".into())));
        for bad in ["", "abcdef0", "abcdefgh", &"ab".repeat(33)] {
            assert!(bad.parse::<BatchName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn batches_and_legs_in_json_have_their_states_in_words() {
        let batch = Batch {
            state: BatchState::SettledWithCarry.into(),
            windows: vec![1, 2],
            total: "12".into(),
            ..Default::default()
        };
        let json = batch_record(batch).json();
        assert_eq!((&json["state"], &json["total"]), (&"settled_with_carry".into(), &"12".into()));
        assert_eq!(json["windows"], serde_json::json!([1, 2]));
        let leg =
            Leg { state: LegState::Ready.into(), from: vec![0; 32].into(), ..Default::default() };
        let json = leg_record(leg, 978).json();
        assert_eq!((&json["state"], &json["from"]), (&"ready".into(), &"00".repeat(32).into()));
    }
}
