//! `batch` and `leg`: settlement batches and the movements of money in them.
//!
//! Owns what people see of batches and legs.

use super::client::Session;
use super::export;
use super::ids::{KeyName, Named};
use super::operator_key::{SignWith, signature};
use super::output::{Cell, Record};
use super::page::{self, PageArgs};
use super::{CliError, RequestArgs, find, leg, payins, reconcile};
use crate::limits::PAGE_MAX;
use crate::types::{BatchId, approval_statement};
use clap::{Args, Subcommand};
use std::path::PathBuf;
use tallystick_proto::v1::{
    AbortBatchRequest, ApproveBatchRequest, Batch, CreateBatchRequest, GetBatchRequest, Leg,
    LegCount, ListBatchesRequest,
};

/// `tallystick batch ...`
#[derive(Debug, Subcommand)]
pub enum BatchCommand {
    /// Compute the batch that settles closed windows in one asset on one rail
    #[command(after_help = "Examples:\n  tallystick batch create --window 3 --asset 978 --rail \
        iso20022\n  tallystick batch create --window 3,4,5 --asset 978 --rail iso20022")]
    Create(BatchCreate),
    /// List batches, those that were computed last first
    #[command(
        after_help = "Examples:\n  tallystick batch list --open\n  tallystick batch list --all --json"
    )]
    List(BatchList),
    /// Show one batch
    #[command(after_help = "Example:\n  tallystick batch show 9c1f03ab")]
    Show(OneBatch),
    /// Approve a computed batch
    #[command(after_help = "Examples:\n  tallystick batch approve 9c1f03ab\n  tallystick \
        batch approve 9c1f03ab --sign-with ann.key")]
    Approve {
        #[command(flatten)]
        one: OneBatch,
        #[command(flatten)]
        sign_with: SignWith,
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
    /// Show whom to ask for money, with the words to ask in
    #[command(after_help = payins::HELP)]
    PayIns(OneBatch),
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
        /// The leg's key, or its first 8 or more letters
        key: KeyName,
    },
    /// Find payments: by party, name, amount, day, reference or key
    #[command(after_help = find::HELP)]
    Find(find::FindArgs),
    /// Record what the bank (or another rail) did with payments
    #[command(
        after_help = "Examples:\n  tallystick leg report 9c1f03ab --pay-ins --word confirmed \
        --reference 'statement 41'\n  tallystick leg report 9c1f03ab --key QZ5M3WVF7K2C4D6E7FGH2JKLMNPQRSTU \
        --word rejected --reason 'no such account'\n  tallystick leg report 9c1f03ab --csv bank.csv\n\n\
        What was sent and will not be paid is rejected; what was confirmed and came back is returned. Both \
        need --reason. A word that cannot be true of one leg refuses them all."
    )]
    Report(Box<leg::ReportArgs>),
    /// Record what became of an UNKNOWN leg; it moves when another operator says the same
    #[command(after_help = "Example:\n  tallystick leg resolve 9c1f03ab \
        QZ5M3WVF7K2C4D6E7FGH2JKLMNPQRSTU --word confirmed --reference ch_3P --evidence 'PSP ticket 17'")]
    Resolve(leg::ResolveArgs),
}

/// `tallystick batch list`
#[derive(Debug, Clone, Copy, Args)]
pub struct BatchList {
    /// Only those that nobody has approved yet, and those whose legs have not all ended
    #[arg(long)]
    open: bool,
    /// Only those that were computed before this record: what the end of a page names
    #[arg(long, value_name = "LSN")]
    before: Option<u64>,
    #[command(flatten)]
    page: PageArgs,
}

/// Names one batch.
#[derive(Debug, Clone, Args)]
pub struct OneBatch {
    /// The batch's id, or its first 8 or more digits
    #[arg(value_name = "BATCH")]
    pub(super) batch: Named<BatchId>,
}

/// `tallystick batch create`
#[derive(Debug, Args)]
pub struct BatchCreate {
    /// The closed windows; may be repeated
    #[arg(long = "window", value_name = "WINDOW", required = true, value_delimiter = ',',
        value_parser = super::window::window_number)]
    windows: Vec<u64>,
    /// The asset's number
    #[arg(long, value_name = "ASSET", value_parser = super::asset::asset_number)]
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
        BatchCommand::List(args) => list(session, args).await,
        BatchCommand::Show(one) => {
            let answer = operator.get_batch(resolve(session, one).await?).await;
            let batch = answer.map_err(|status| session.failed(status))?.into_inner();
            session.print(&batch_record(batch)).await
        }
        BatchCommand::Approve { one, sign_with, request } => {
            approve(session, one, &sign_with, &request).await
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
        BatchCommand::PayIns(one) => payins::run(session, one).await,
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

async fn approve(
    session: &mut Session,
    one: OneBatch,
    sign_with: &SignWith,
    request: &RequestArgs,
) -> Result<(), CliError> {
    let (request_id, key) = (request.id()?, sign_with.key()?);
    let GetBatchRequest { batch_id } = resolve(session, one).await?;
    let (network, batch) = (session.network_id().await?, batch_of(&batch_id)?);
    let signature = signature(key.as_ref(), || approval_statement(network, batch));
    let request = ApproveBatchRequest { request_id: request_id.clone(), batch_id, signature };
    let answer = session.operator().approve_batch(request).await;
    let batch = answer.map_err(|status| session.failed_change(status, &request_id))?;
    session.print(&batch_record(batch.into_inner())).await
}

/// A batch's id, as the engine tells it.
pub(super) fn batch_of(bytes: &[u8]) -> Result<BatchId, CliError> {
    BatchId::from_slice(bytes)
        .ok_or_else(|| CliError::Failed("the engine names no batch of 32 bytes".into()))
}

const LIST_COLUMNS: [&str; 8] =
    ["batch_id", "computed_at_us", "state", "windows", "rail", "legs", "total", "carried"];

async fn list(session: &mut Session, args: BatchList) -> Result<(), CliError> {
    let (mut before, mut left) = (args.before.unwrap_or(0), args.page.begin());
    loop {
        let (limit, open) = (left.ask(PAGE_MAX), args.open);
        let asked = ListBatchesRequest { limit: limit + 1, before, newest_first: true, open };
        let answer = session.operator().list_batches(asked).await;
        let mut rows = answer.map_err(|status| session.failed(status))?.into_inner();
        let mut found = Vec::new();
        while let Some(batch) = rows.message().await.map_err(|status| session.failed(status))? {
            found.push(batch);
        }
        let more = found.len() > limit as usize;
        found.truncate(limit as usize);
        before = found.last().map_or(0, |batch| batch.computed_lsn);
        left.shown(found.len());
        let rows: Vec<Record> = found.into_iter().map(batch_cells).collect();
        session.print_rows(&rows, &LIST_COLUMNS).await?;
        if !more {
            return Ok(());
        }
        if left.is_full() {
            page::tell_more("batches", "--before", &before.to_string());
            return Ok(());
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
        LegCommand::Find(args) => return find::run(session, args).await,
        LegCommand::Report(args) => return leg::report(session, *args).await,
        LegCommand::Resolve(args) => return leg::resolve_leg(session, args).await,
        LegCommand::Show { one, key } => (one, key),
    };
    let (asset, request) = with_asset(session, one).await?;
    let key = key.find(session, &request.batch_id).await?;
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

/// The request that names the batch.
pub(super) async fn resolve(session: &Session, one: OneBatch) -> Result<GetBatchRequest, CliError> {
    Ok(GetBatchRequest { batch_id: one.batch.bytes(session).await? })
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
        ("batch_id", Cell::Id(batch.batch_id)),
        ("state", Cell::Text(state)),
        ("computed_at_us", Cell::Micros(batch.computed_at_us)),
        ("windows", Cell::Counts(batch.windows)),
        ("asset", Cell::Count(asset.into())),
        ("rail", Cell::Text(batch.rail)),
        ("legs", Cell::Count(batch.legs)),
        ("total", Cell::Money(batch.total, asset)),
        ("pay_in_legs", Cell::Count(batch.pay_in_legs)),
        ("pay_in_total", Cell::Money(batch.pay_in_total, asset)),
        ("advanced", Cell::Money(batch.advanced, asset)),
        ("carried", Cell::Money(batch.carried, asset)),
        ("owed_again", Cell::Money(batch.owed_again, asset)),
        ("legs_by_state", Cell::Records(counts)),
        ("created_by", Cell::Text(batch.created_by)),
        ("four_eyes", Cell::Flag(batch.four_eyes)),
        ("computed_lsn", Cell::Count(batch.computed_lsn)),
        ("approved_by", Cell::Text(batch.approved_by)),
        ("approved_key", Cell::Hex(batch.approved_key)),
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
