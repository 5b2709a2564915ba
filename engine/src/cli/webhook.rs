//! `webhook`: where a party is told over HTTP what happens to it. Secrets are made here, and
//! printed once: the engine seals them, and never answers them.

use super::client::{self, Session};
use super::ids::Named;
use super::output::{Cell, Record};
use super::voucher::write_secret;
use super::{CliError, RequestArgs};
use crate::types::PartyId;
use bytes::Bytes;
use clap::{Args, Subcommand};
use data_encoding::BASE64;
use std::path::{Path, PathBuf};
use tallystick_proto::v1::{
    AddWebhookRequest, ListWebhooksRequest, RemoveWebhookRequest, ReplayWebhookRequest,
    RotateWebhookRequest, TestWebhookRequest, Webhook,
};

/// `tallystick webhook ...`
#[derive(Debug, Subcommand)]
pub enum WebhookCommand {
    /// Have a party told over HTTP what happens to it; the secret that signs it is printed once
    #[command(after_help = ADD_HELP)]
    Add(AddArgs),
    /// List where parties are told, and how that goes
    #[command(after_help = "Examples:\n  tallystick webhook list\n  tallystick webhook list \
        --party 5a3e77c0 --json\n\nWithout secrets: nobody can show them again.")]
    List {
        /// Of this party: its id, or its first 8 or more digits [default: of all]
        #[arg(long, value_name = "ID")]
        party: Option<Named<PartyId>>,
    },
    /// Have a party told no more in one place
    #[command(after_help = "Example:\n  tallystick webhook remove 4711")]
    Remove {
        /// Its number, as `webhook list` shows it
        webhook: u64,
        #[command(flatten)]
        request: RequestArgs,
    },
    /// Give a webhook another secret; for a day the one before it signs, too
    #[command(after_help = "Example:\n  tallystick webhook rotate 4711 --out hook.secret\n\nA \
        webhook that stopped because its owner's identity was revoked goes on.")]
    Rotate(RotateArgs),
    /// Have a webhook told again from a position, or have one that is paused go on
    #[command(
        after_help = "Examples:\n  tallystick webhook replay 4711 --from 1200\n  tallystick \
        webhook replay 4711\n\nWhat is told again has the same ids and the same bodies. Positions are \
        in each message (data.lsn) and in `tallystick history`."
    )]
    Replay {
        /// Its number, as `webhook list` shows it
        webhook: u64,
        /// From this record of the journal on [default: where it stopped]
        #[arg(long, value_name = "LSN", value_parser = clap::value_parser!(u64).range(1..))]
        from: Option<u64>,
    },
    /// Send a message of type webhook.test now, and say what came of it
    #[command(after_help = "Example:\n  tallystick webhook test 4711\n\nExits with 1 when the \
        receiver did not answer with a 2xx.")]
    Test {
        /// Its number, as `webhook list` shows it
        webhook: u64,
    },
}

const ADD_HELP: &str = "\
Examples:
  tallystick webhook add --party 5a3e77c0 --url https://shop.example/hooks
  tallystick webhook add --party 5a3e77c0 --url https://shop.example/hooks --type leg.confirmed
    --type leg.returned --out hook.secret --json

Types: window.closed (what the party was paid, and owes, in a window), leg.confirmed and
leg.returned (payments to it or by it), budget.reached (80 % of a budget of one of its keys).
docs/WEBHOOKS.md shows what is sent, and how a receiver checks it.";

/// `tallystick webhook add`
#[derive(Debug, Args)]
pub struct AddArgs {
    /// Which party is told: its id, or its first 8 or more digits
    #[arg(long, value_name = "ID")]
    party: Named<PartyId>,
    /// Where: https://
    #[arg(long)]
    url: String,
    /// What it is told of; may be repeated [default: everything]
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    #[command(flatten)]
    secret: SecretArgs,
    #[command(flatten)]
    request: RequestArgs,
}

/// `tallystick webhook rotate`
#[derive(Debug, Args)]
pub struct RotateArgs {
    /// Its number, as `webhook list` shows it
    webhook: u64,
    /// The secret before it counts no more: for one that others have
    #[arg(long)]
    at_once: bool,
    #[command(flatten)]
    secret: SecretArgs,
    #[command(flatten)]
    request: RequestArgs,
}

/// Where the secret goes.
#[derive(Debug, Args)]
pub struct SecretArgs {
    /// File for the secret, readable by its owner only; never overwritten [default: it is printed]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl SecretArgs {
    /// A new secret, as Standard Webhooks writes it.
    fn make(&self) -> Result<String, CliError> {
        let text = format!("whsec_{}", BASE64.encode(&client::random::<32>()?));
        if let Some(out) = &self.out {
            write_secret(out, &text)?;
        }
        Ok(text)
    }

    /// It is shown here, and nowhere else.
    fn cell(&self, text: String) -> (&'static str, Cell) {
        match &self.out {
            Some(file) => ("secret_file", Cell::Text(Path::display(file).to_string())),
            None => ("secret", Cell::Text(text)),
        }
    }
}

const COLUMNS: [&str; 7] = ["webhook", "party_id", "url", "types", "state", "next_lsn", "reason"];

/// Runs `tallystick webhook ...`.
///
/// # Errors
/// When the call fails, or a test is not answered with a 2xx.
pub async fn run(session: &mut Session, command: WebhookCommand) -> Result<(), CliError> {
    match command {
        WebhookCommand::Add(args) => add(session, args).await,
        WebhookCommand::Rotate(args) => rotate(session, args).await,
        WebhookCommand::List { party } => {
            let party_id = match party {
                Some(party) => party.bytes(session).await?,
                None => Bytes::new(),
            };
            let answer = session.operator().list_webhooks(ListWebhooksRequest { party_id }).await;
            let answer = answer.map_err(|status| session.failed(status))?.into_inner();
            let rows: Vec<Record> = answer.webhooks.into_iter().map(record).collect();
            session.print_rows(&rows, &COLUMNS).await
        }
        WebhookCommand::Remove { webhook, request } => {
            let request_id = request.id()?;
            let asked = RemoveWebhookRequest { request_id: request_id.clone(), webhook };
            let answer = session.operator().remove_webhook(asked).await;
            let answer = answer.map_err(|status| session.failed_change(status, &request_id))?;
            session.print(&record(answer.into_inner())).await
        }
        WebhookCommand::Replay { webhook, from } => {
            let asked = ReplayWebhookRequest { webhook, from_lsn: from.unwrap_or(0) };
            let answer = session.operator().replay_webhook(asked).await;
            let answer = answer.map_err(|status| session.failed(status))?;
            session.print(&record(answer.into_inner())).await
        }
        WebhookCommand::Test { webhook } => test(session, webhook).await,
    }
}

async fn add(session: &mut Session, args: AddArgs) -> Result<(), CliError> {
    let AddArgs { party, url, types, secret: to, request } = args;
    let (request_id, party_id) = (request.id()?, party.bytes(session).await?);
    let secret = to.make()?;
    let (id, text) = (request_id.clone(), secret.clone());
    let asked = AddWebhookRequest { request_id: id, party_id, url, secret: text, types };
    let answer = session.operator().add_webhook(asked).await;
    let answer = answer.map_err(|status| session.failed_change(status, &request_id))?;
    let mut record = record(answer.into_inner());
    record.0.push(to.cell(secret));
    session.print(&record).await
}

async fn rotate(session: &mut Session, args: RotateArgs) -> Result<(), CliError> {
    let RotateArgs { webhook, at_once, secret: to, request } = args;
    let (request_id, secret) = (request.id()?, to.make()?);
    let (id, text) = (request_id.clone(), secret.clone());
    let asked = RotateWebhookRequest { request_id: id, webhook, secret: text, at_once };
    let answer = session.operator().rotate_webhook(asked).await;
    let answer = answer.map_err(|status| session.failed_change(status, &request_id))?;
    let mut record = record(answer.into_inner());
    record.0.push(to.cell(secret));
    session.print(&record).await
}

async fn test(session: &mut Session, webhook: u64) -> Result<(), CliError> {
    let answer = session.operator().test_webhook(TestWebhookRequest { webhook }).await;
    let answer = answer.map_err(|status| session.failed(status))?.into_inner();
    let (delivered, outcome) = (answer.delivered, answer.outcome.clone());
    session
        .print(&Record(vec![
            ("delivered", Cell::Flag(delivered)),
            ("outcome", Cell::Text(answer.outcome)),
            ("webhook_id", Cell::Text(answer.webhook_id)),
        ]))
        .await?;
    match delivered {
        true => Ok(()),
        false => Err(CliError::Failed(format!("the test was not delivered: {outcome}"))),
    }
}

fn record(of: Webhook) -> Record {
    Record(vec![
        ("webhook", Cell::Count(of.webhook)),
        ("party_id", Cell::Party(of.party_id)),
        ("url", Cell::Text(of.url)),
        ("types", Cell::Text(of.types.join(","))),
        ("state", Cell::Text(of.state)),
        ("added_by", Cell::Text(of.added_by)),
        ("added_at_us", Cell::Micros(of.added_at_us)),
        ("next_lsn", Cell::Count(of.next_lsn)),
        ("failures", Cell::Count(of.failures.into())),
        ("failing_since_us", Cell::Micros(of.failing_since_us)),
        ("next_try_us", Cell::Micros(of.next_try_us)),
        ("reason", Cell::Text(of.reason)),
        ("former_until_us", Cell::Micros(of.former_until_us)),
    ])
}
