//! `batch report`: where a batch stands, and what an operator must do now.

use super::CliError;
use super::batch::{OneBatch, batch_cells, resolve};
use super::client::Session;
use super::output::{Cell, Record};
use tallystick_proto::v1::{
    LegProposal, LegState, LegSum, Reconciliation, SubmissionAttempt, SubmissionSums,
};

/// Prints the reconciliation of a batch.
///
/// # Errors
/// When the call fails.
pub async fn run(session: &mut Session, one: OneBatch) -> Result<(), CliError> {
    let answer = session.operator().get_reconciliation(resolve(session, one).await?).await;
    let report = answer.map_err(|status| session.failed(status))?.into_inner();
    let json = session.out.is_json();
    session.print(&record(report, json)).await
}

fn record(report: Reconciliation, json: bool) -> Record {
    let batch = report.batch.unwrap_or_default();
    let asset = batch.asset;
    let unknown = report.unknown.unwrap_or_default();
    let sentence = |text: String| Record(vec![("do", Cell::Text(text))]);
    let todo = report.todo.into_iter().map(sentence).collect();
    let trouble = |text: String| Record(vec![("trouble", Cell::Text(text))]);
    let submission = |of| submission_record(of, asset, json);
    let Record(mut cells) = batch_cells(batch);
    cells.extend([
        ("at_us", Cell::Micros(report.at_us)),
        ("pay_ins", sums(report.pay_ins, asset)),
        ("pay_outs", sums(report.pay_outs, asset)),
        ("in_flight", Cell::Money(report.in_flight, asset)),
        ("held_back_legs", Cell::Count(report.held_back_legs)),
        ("held_back", Cell::Money(report.held_back, asset)),
        ("unknown_under_an_hour", Cell::Count(unknown.under_an_hour)),
        ("unknown_under_a_day", Cell::Count(unknown.under_a_day)),
        ("unknown_older", Cell::Count(unknown.older)),
        ("unknown_oldest_us", Cell::Micros(unknown.oldest_us)),
        ("parties", Cell::Count(report.parties)),
        ("parties_released", Cell::Count(report.parties_released)),
        ("exposure_released", Cell::Money(report.exposure_released, asset)),
        ("submissions", Cell::Records(report.submissions.into_iter().map(submission).collect())),
        ("proposals", Cell::Records(report.proposals.into_iter().map(proposal_record).collect())),
        ("troubles", Cell::Records(report.troubles.into_iter().map(trouble).collect())),
        ("todo", Cell::Records(todo)),
    ]);
    Record(cells)
}

fn state(state: LegState) -> Cell {
    Cell::Text(super::state_name(state.as_str_name(), "LEG_STATE_"))
}

fn sums(sums: Vec<LegSum>, asset: u32) -> Cell {
    let one = |sum: LegSum| {
        Record(vec![
            ("state", state(sum.state())),
            ("legs", Cell::Count(sum.legs)),
            ("sum", Cell::Money(sum.sum, asset)),
        ])
    };
    Cell::Records(sums.into_iter().map(one).collect())
}

fn submission_record(of: SubmissionSums, asset: u32, json: bool) -> Record {
    let last = of.attempts.last().cloned().unwrap_or_default();
    let mut cells = vec![
        ("number", Cell::Count(of.number.into())),
        ("name", Cell::Text(last.name)),
        ("legs", Cell::Count(of.legs)),
        ("sum", Cell::Money(of.sum, asset)),
        ("by_state", sums(of.by_state, asset)),
        ("sent_at_us", Cell::Micros(last.at_us)),
    ];
    if json {
        let attempts = of.attempts.into_iter().map(attempt_record).collect();
        cells.push(("attempts", Cell::Records(attempts)));
    } else {
        let count = u64::try_from(of.attempts.len()).expect("a length fits 64 bits");
        cells.extend([
            ("attempts", Cell::Count(count)),
            ("bytes", Cell::Count(last.bytes)),
            ("digest", Cell::Hex(last.digest)),
        ]);
    }
    Record(cells)
}

fn attempt_record(attempt: SubmissionAttempt) -> Record {
    Record(vec![
        ("name", Cell::Text(attempt.name)),
        ("digest", Cell::Hex(attempt.digest)),
        ("bytes", Cell::Count(attempt.bytes)),
        ("lsn", Cell::Count(attempt.lsn)),
        ("at_us", Cell::Micros(attempt.at_us)),
    ])
}

/// One operator's word about an UNKNOWN leg.
pub(super) fn proposal_record(proposal: LegProposal) -> Record {
    Record(vec![
        ("key", Cell::Text(proposal.key.clone())),
        ("operator", Cell::Text(proposal.operator.clone())),
        ("state", state(proposal.state())),
        ("rail_reference", Cell::Text(proposal.rail_reference)),
        ("evidence", Cell::Text(proposal.evidence)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use tallystick_proto::v1::Batch;

    #[test]
    fn a_report_has_the_batch_its_sums_and_what_to_do() {
        let sum = LegSum { state: LegState::Sent.into(), legs: 2, sum: "30".into() };
        let report = Reconciliation {
            batch: Some(Batch { asset: 978, ..Default::default() }),
            pay_ins: vec![sum.clone()],
            submissions: vec![SubmissionSums {
                sum: "30".into(),
                by_state: vec![sum],
                attempts: vec![SubmissionAttempt { name: "a.xml".into(), ..Default::default() }],
                ..Default::default()
            }],
            todo: vec!["Nothing.".into()],
            ..Default::default()
        };
        let json = record(report, true).json();
        assert_eq!(json["pay_ins"][0]["state"], "sent");
        assert_eq!(json["submissions"][0]["attempts"][0]["name"], "a.xml");
        assert_eq!((&json["todo"][0]["do"], &json["asset"]), (&"Nothing.".into(), &978.into()));
    }
}
