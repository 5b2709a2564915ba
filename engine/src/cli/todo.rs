//! `todo`: what a person must do now, over all batches. Owns which sentence stands where; what is
//! to be done about one batch is the engine's to say.

use super::CliError;
use super::client::Session;
use super::output::{Cell, Record, hex};
use super::proposal;
use crate::limits::PAGE_MAX;
use bytes::Bytes;
use std::collections::BTreeSet;
use tallystick_proto::v1::{
    Batch, GetBatchRequest, GetStatusRequest, ListBatchesRequest, ListTroublesRequest,
    ListWebhooksRequest, Proposal, Status, Webhook,
};

/// Shown with `tallystick todo --help`.
pub const HELP: &str = "\
Example:
  tallystick todo

Says first what waits for a second person, then of every batch that has not ended what you must
do now, the oldest batch first, then what is open beside them: the schedule, what keeps the engine
from going on, webhooks that are paused, troubles. `batch report` says more of one batch.";

/// So many webhooks that are paused are told one by one.
const PAUSED_NAMED: usize = 10;

const COLUMNS: [&str; 4] = ["batch_id", "state", "since_us", "do"];

/// One thing to do.
struct Todo {
    /// The batch; empty for what is about none.
    batch_id: Bytes,
    state: String,
    since_us: i64,
    what: String,
}

impl Todo {
    fn of_engine(what: String) -> Self {
        Self { batch_id: Bytes::new(), state: String::new(), since_us: 0, what }
    }

    fn record(self) -> Record {
        Record(vec![
            ("batch_id", Cell::Id(self.batch_id)),
            ("state", Cell::Text(self.state)),
            ("since_us", Cell::Micros(self.since_us)),
            ("do", Cell::Text(self.what)),
        ])
    }
}

/// Runs `tallystick todo`.
///
/// # Errors
/// When a call fails.
pub async fn run(session: &mut Session) -> Result<(), CliError> {
    let limit = u32::try_from(PAGE_MAX).expect("a page is small");
    let asked = ListBatchesRequest { limit, open: true, ..Default::default() };
    let answer = session.operator().list_batches(asked).await;
    let mut rows = answer.map_err(|status| session.failed(status))?.into_inner();
    let mut batches = Vec::new();
    while let Some(batch) = rows.message().await.map_err(|status| session.failed(status))? {
        batches.push(batch);
    }
    let proposals = of_proposals(session).await?;
    let (open, mut none) = (batches.len(), proposals.is_empty());
    session.print_rows(&proposals, &COLUMNS).await?;
    let ids: BTreeSet<Bytes> = batches.iter().map(|batch| batch.batch_id.clone()).collect();
    for batch in batches {
        let rows = of_batch(session, batch).await?;
        none &= rows.is_empty();
        session.print_rows(&rows, &COLUMNS).await?;
    }
    if open == PAGE_MAX {
        super::note(&format!("note: these are the {PAGE_MAX} oldest batches that have not ended"));
    }
    let rows = of_engine(session, &ids).await?;
    none &= rows.is_empty();
    session.print_rows(&rows, &COLUMNS).await?;
    if none && !session.out.is_json() {
        session.out.line("Nothing to do.")?;
    }
    Ok(())
}

/// What waits for a second person.
async fn of_proposals(session: &Session) -> Result<Vec<Record>, CliError> {
    let open = proposal::all(session).await?;
    Ok(open.into_iter().map(|one| to_confirm(&one).record()).collect())
}

fn to_confirm(one: &Proposal) -> Todo {
    let (id, name) = (hex(&one.proposal), &one.proposer);
    let id = id.get(..16).unwrap_or(&id);
    if !one.why.is_empty() {
        let what = format!(
            "Withdraw what {name} proposed ({}) with `tallystick proposal withdraw {id}`: nobody can confirm it any \
             more ({}).",
            one.kind, one.why
        );
        return Todo { since_us: one.proposed_at_us, ..Todo::of_engine(what) };
    }
    let what = format!(
        "Look at what {name} proposes ({}) with `tallystick proposal show {id}`; if you are another, and it is right: \
         `tallystick proposal confirm {id}`.",
        one.kind
    );
    Todo { since_us: one.proposed_at_us, ..Todo::of_engine(what) }
}

/// What is to be done about one batch.
async fn of_batch(session: &Session, batch: Batch) -> Result<Vec<Record>, CliError> {
    let request = GetBatchRequest { batch_id: batch.batch_id.clone() };
    let answer = session.operator().get_reconciliation(request).await;
    let report = answer.map_err(|status| session.failed(status))?.into_inner();
    // The batch may have gone on since it was listed.
    let batch = report.batch.unwrap_or(batch);
    let state = super::state_name(batch.state().as_str_name(), "BATCH_STATE_");
    let since_us = match batch.approved_at_us {
        0 => batch.computed_at_us,
        approved => approved,
    };
    let one = |what: String| {
        let (batch_id, state) = (batch.batch_id.clone(), state.clone());
        Todo { batch_id, state, since_us, what }.record()
    };
    Ok(report.todo.into_iter().filter(|what| needs_somebody(what)).map(one).collect())
}

/// Whether a sentence asks for something: the engine also says what it does itself, and when to
/// look again.
fn needs_somebody(what: &str) -> bool {
    !what.starts_with("Nothing") && !what.starts_with("Look again")
}

/// What is open and about none of these batches.
async fn of_engine(session: &Session, batches: &BTreeSet<Bytes>) -> Result<Vec<Record>, CliError> {
    let answer = session.operator().get_status(GetStatusRequest {}).await;
    let status = answer.map_err(|status| session.failed(status))?.into_inner();
    let mut rows: Vec<Record> = standing(&status).into_iter().map(Todo::record).collect();
    if status.webhooks_paused > 0 {
        let answer = session.operator().list_webhooks(ListWebhooksRequest::default()).await;
        let webhooks = answer.map_err(|status| session.failed(status))?.into_inner().webhooks;
        rows.extend(paused(&webhooks).into_iter().map(Todo::record));
    }
    let answer = session.operator().list_troubles(ListTroublesRequest::default()).await;
    let mut troubles = answer.map_err(|status| session.failed(status))?.into_inner();
    while let Some(trouble) = troubles.message().await.map_err(|status| session.failed(status))? {
        if batches.contains(&trouble.batch_id) {
            // Told with its batch.
            continue;
        }
        let what = format!(
            "Look into trouble {} ({}): {} Then take it away with `tallystick trouble ack {} --note TEXT`.",
            trouble.number,
            trouble.source,
            with_point(&trouble.text),
            trouble.number
        );
        let (batch_id, since_us) = (trouble.batch_id, trouble.at_us);
        rows.push(Todo { batch_id, state: String::new(), since_us, what }.record());
    }
    Ok(rows)
}

/// What keeps the engine, its schedule or settlement from going on.
fn standing(status: &Status) -> Vec<Todo> {
    let mut all = Vec::new();
    if status.verify_alarms > 0 {
        let what = "Check this machine: valid signatures were rejected (`tallystick status`).";
        all.push(Todo::of_engine(what.into()));
    }
    let schedule = status.schedule.iter().filter(|entry| !entry.trouble.is_empty());
    all.extend(schedule.map(|entry| {
        let why = with_point(&entry.trouble);
        Todo::of_engine(format!("The schedule of asset {} is held up: {why}", entry.asset))
    }));
    let standing = status.standing.iter();
    all.extend(standing.map(|why| Todo::of_engine(format!("Blocked: {}", with_point(why)))));
    all
}

/// Webhooks that tell nobody anything until somebody has seen to their receivers.
fn paused(webhooks: &[Webhook]) -> Vec<Todo> {
    let mut all: Vec<&Webhook> = webhooks.iter().filter(|of| of.state == "paused").collect();
    all.sort_by_key(|of| of.failing_since_us);
    let rest = all.split_off(all.len().min(PAUSED_NAMED));
    let one = |of: &&Webhook| {
        let (webhook, why) = (of.webhook, with_point(&of.reason));
        let what = format!(
            "Webhook {webhook} to {} is paused: {why} Once its receiver works: `tallystick webhook replay {webhook}`.",
            of.url
        );
        Todo { since_us: of.failing_since_us, ..Todo::of_engine(what) }
    };
    let more = || {
        let count = rest.len();
        Todo::of_engine(format!("{count} more webhooks are paused: `tallystick webhook list`."))
    };
    all.iter().map(one).chain((!rest.is_empty()).then(more)).collect()
}

fn with_point(text: &str) -> String {
    if text.ends_with(['.', '!', '?']) { text.to_owned() } else { format!("{text}.") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tallystick_proto::v1::ScheduleStatus;

    #[test]
    fn what_the_engine_does_itself_is_nobodys_to_do() {
        for (what, wanted) in [
            ("Nothing: every leg is confirmed.", false),
            ("Nothing for 2 pay-ins of 3.00 EUR: the engine sends them.", false),
            ("Look again with `tallystick batch report 12`: it ends when every leg has.", false),
            ("Look into trouble 3.", true),
            ("Compare the sums, then type `tallystick batch approve 12`.", true),
        ] {
            assert_eq!(needs_somebody(what), wanted, "{what}");
        }
    }

    #[test]
    fn what_is_about_no_batch_is_said_too() {
        let late =
            ScheduleStatus { asset: 978, trouble: "no account".into(), ..Default::default() };
        let status = Status {
            verify_alarms: 1,
            schedule: vec![ScheduleStatus::default(), late],
            standing: vec!["inbox of iso20022: disk full".into()],
            ..Default::default()
        };
        let said: Vec<String> = standing(&status).into_iter().map(|todo| todo.what).collect();
        assert_eq!(
            said,
            [
                "Check this machine: valid signatures were rejected (`tallystick status`).",
                "The schedule of asset 978 is held up: no account.",
                "Blocked: inbox of iso20022: disk full.",
            ]
        );
        assert!(standing(&Status::default()).is_empty());
    }

    #[test]
    fn a_paused_webhook_is_told_with_what_to_do_and_only_so_many_of_them() {
        let webhook = |webhook: u64, state: &str| Webhook {
            webhook,
            state: state.into(),
            url: "https://shop.example/".into(),
            reason: "answered 500".into(),
            failing_since_us: 1_000 - i64::try_from(webhook).unwrap(),
            ..Default::default()
        };
        assert!(paused(&[webhook(3, "sending"), webhook(4, "failing")]).is_empty());
        let told = paused(&[webhook(3, "sending"), webhook(7, "paused")]);
        assert_eq!(
            told[0].what,
            "Webhook 7 to https://shop.example/ is paused: answered 500. Once its receiver works: \
             `tallystick webhook replay 7`."
        );
        let many: Vec<Webhook> = (1..=13).map(|number| webhook(number, "paused")).collect();
        let told = paused(&many);
        assert_eq!((told.len(), told[0].since_us), (11, 987));
        assert_eq!(told[10].what, "3 more webhooks are paused: `tallystick webhook list`.");
    }
}
