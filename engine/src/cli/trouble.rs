//! `trouble`: what a person must see, until it is taken away.

use super::client::Session;
use super::ids::Named;
use super::output::{Cell, Record};
use super::{CliError, RequestArgs};
use crate::types::BatchId;
use clap::Subcommand;
use tallystick_proto::v1::{AckTroublesRequest, ListTroublesRequest, Trouble};

/// `tallystick trouble ...`
#[derive(Debug, Subcommand)]
pub enum TroubleCommand {
    /// List the troubles that are open, oldest first
    #[command(after_help = "Example:\n  tallystick trouble list --batch 5a8d39e3")]
    List {
        /// Only those about this batch: its id, or its first 8 or more digits
        #[arg(long, value_name = "BATCH")]
        batch: Option<Named<BatchId>>,
    },
    /// Take troubles away, once a person has dealt with them
    #[command(after_help = "Example:\n  tallystick trouble ack 3 4 --note 'the bank took it back'")]
    Ack {
        /// Their numbers: all of them are taken away, or none
        #[arg(required = true, value_name = "NUMBER")]
        numbers: Vec<u64>,
        /// What was done about them, for the record
        #[arg(long, value_name = "TEXT", default_value = "")]
        note: String,
        #[command(flatten)]
        request: RequestArgs,
    },
}

const LIST_COLUMNS: [&str; 5] = ["number", "at_us", "kind", "source", "text"];

/// Runs one of them.
///
/// # Errors
/// When the call fails.
pub async fn run(session: &mut Session, command: TroubleCommand) -> Result<(), CliError> {
    match command {
        TroubleCommand::List { batch } => {
            let batch_id = match batch {
                Some(batch) => batch.bytes(session).await?,
                None => bytes::Bytes::new(),
            };
            let asked = ListTroublesRequest { batch_id };
            let answer = session.operator().list_troubles(asked).await;
            let rows = answer.map_err(|status| session.failed(status))?.into_inner();
            session.print_stream(rows, &LIST_COLUMNS, record).await
        }
        TroubleCommand::Ack { numbers, note, request } => {
            let request_id = request.id()?;
            let asked = AckTroublesRequest { request_id: request_id.clone(), numbers, note };
            let answer = session.operator().ack_troubles(asked).await;
            let left = answer.map_err(|status| session.failed_change(status, &request_id))?;
            let open = left.into_inner().open;
            session.print(&Record(vec![("open", Cell::Count(open))])).await
        }
    }
}

fn record(trouble: Trouble) -> Record {
    let kind = super::state_name(trouble.kind().as_str_name(), "TROUBLE_KIND_");
    Record(vec![
        ("number", Cell::Count(trouble.number)),
        ("at_us", Cell::Micros(trouble.at_us)),
        ("kind", Cell::Text(kind)),
        ("rail", Cell::Text(trouble.rail)),
        ("batch_id", Cell::Id(trouble.batch_id)),
        ("source", Cell::Text(trouble.source)),
        ("text", Cell::Text(trouble.text)),
    ])
}
