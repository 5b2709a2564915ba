//! What an operator is told in every state of batches, windows and legs.

use super::*;
use crate::ledger::{By, Rail};
use crate::settle::desk::Folders;
use crate::settle::reconcile::{Ages, ByState};
use crate::types::{AssetDef, Digest, Lsn, SettlementModel, Timestamp, WindowNumber};

const BATCHES: [BatchState; 6] = [
    BatchState::Computed,
    BatchState::Approved,
    BatchState::Submitting,
    BatchState::Settled,
    BatchState::SettledWithCarry,
    BatchState::Aborted,
];

fn at(state: BatchState, rail: Rail) -> Reconciliation {
    Reconciliation {
        batch: "0123456789abcdef".into(),
        state,
        by: By { operator: "ann".into(), four_eyes: false },
        rail,
        asset: AssetDef {
            number: AssetNumber(978),
            code: "EUR".into(),
            scale: 2,
            model: SettlementModel::Multilateral,
        },
        windows: vec![WindowFacts {
            number: WindowNumber(7),
            state: WindowState::Batched,
            dispute: None,
        }],
        pay_ins: ByState::new(),
        pay_outs: ByState::new(),
        submissions: Vec::new(),
        unknown: Ages::default(),
        proposals: Vec::new(),
        owed_in: [WindowNumber(8)].into(),
        held_back: Sums::default(),
        suspended: Sums::default(),
        parties: 0,
        released: 0,
        released_sum: Total::ZERO,
        troubles: Vec::new(),
        kept: Vec::new(),
        again: Vec::new(),
        folders: Folders {
            outbox: "/srv/out".into(),
            pay_ins: "/srv/pay-ins".into(),
            inbox: "/srv/in".into(),
        },
    }
}

fn text(reconciliation: &Reconciliation) -> String {
    let todo = reconciliation.todo();
    assert!(!todo.is_empty());
    for sentence in &todo {
        assert!(sentence.ends_with('.'), "{sentence}");
        assert!(sentence.matches('`').count().is_multiple_of(2), "{sentence}");
    }
    todo.join("\n")
}

fn some(legs: u64, sum: u128) -> Sums {
    Sums { legs, sum: Total(sum) }
}

#[test]
fn every_state_of_a_batch_says_what_is_next() {
    let said = |state| text(&at(state, Rail::Iso20022));
    for (state, part) in [
        (BatchState::Computed, "`tallystick batch approve 0123456789abcdef`"),
        (BatchState::Approved, "Nothing"),
        (BatchState::Submitting, "`tallystick batch report 0123456789abcdef`"),
        (BatchState::Settled, "Nothing"),
        (BatchState::SettledWithCarry, "owed in window 8 now: settle that window as usual"),
        (BatchState::Aborted, "batch create --window 7 --asset 978 --rail iso20022`"),
    ] {
        assert!(said(state).contains(part), "{}", said(state));
    }
    let mut computed = at(BatchState::Computed, Rail::Nacha);
    computed.by.four_eyes = true;
    assert!(text(&computed).contains("Another operator than ann"), "{}", text(&computed));
    let mut stuck = at(BatchState::Approved, Rail::Evm);
    stuck.troubles.push("rail evm is not set up".into());
    let said = text(&stuck);
    assert!(
        said.starts_with("Blocked: rail evm is not set up. Fix this first.")
            && said.contains("batch abort"),
        "{said}"
    );
    let mut held = at(BatchState::SettledWithCarry, Rail::Evm);
    held.held_back = some(2, 500);
    assert!(
        text(&held)
            .contains("2 pay-outs of 5.00 EUR were held back: their pay-ins have not arrived."),
        "{}",
        text(&held)
    );
}

#[test]
fn a_disputed_window_comes_first_and_no_other_state_of_a_window_asks_for_anything() {
    for state in
        [WindowState::Open, WindowState::Closed, WindowState::Batched, WindowState::Settled]
    {
        let mut batch = at(BatchState::Computed, Rail::Iso20022);
        batch.windows[0].state = state;
        assert!(!text(&batch).contains("Window 7"), "{state:?}");
    }
    let mut batch = at(BatchState::Computed, Rail::Iso20022);
    batch.windows[0].state = WindowState::Disputed;
    batch.windows[0].dispute = Some("ann says no".into());
    let said = text(&batch);
    assert!(said.starts_with("Window 7 is disputed (ann says no)"), "{said}");
    assert!(said.contains("`tallystick window release 7 --reason TEXT`"), "{said}");
}

#[test]
fn every_state_of_a_leg_on_every_rail_is_spoken_of_or_needs_nothing() {
    for rail in Rail::ALL {
        for state in LegState::ALL {
            for pay_in in [true, false] {
                let mut batch = at(BatchState::Submitting, rail);
                batch.submissions.push(submission("b.0.xml", pay_in, LegState::Sent));
                let side = if pay_in { &mut batch.pay_ins } else { &mut batch.pay_outs };
                side.insert(state, some(3, 1_234));
                let said = text(&batch);
                let name = if pay_in { "3 pay-ins of 12.34 EUR" } else { "3 pay-outs of" };
                let silent = state == LegState::Confirmed;
                assert_eq!(said.contains(name), !silent, "{rail:?} {state:?}: {said}");
                let part = match state {
                    LegState::Ready => "Nothing for",
                    // The bank has it: nobody hands it in again.
                    LegState::Accepted if (rail, pay_in) == (Rail::Iso20022, false) => {
                        "inbox/iso20022"
                    }
                    LegState::Sent | LegState::Accepted => match (rail, pay_in) {
                        (Rail::Iso20022 | Rail::Evm, true) => "leg report",
                        (Rail::Iso20022 | Rail::Nacha, _) => "to the bank if nobody did, once",
                        (Rail::Card, _) | (Rail::Evm, false) => "Nothing for",
                    },
                    LegState::Unknown => "leg resolve",
                    LegState::Confirmed => "batch report",
                    LegState::Rejected | LegState::Returned => "party update PARTY",
                };
                assert!(said.contains(part), "{rail:?} {state:?} {pay_in}: {said}");
            }
        }
    }
}

fn submission(name: &str, pay_in: bool, state: LegState) -> SubmissionSums {
    let attempt = Attempt {
        lsn: Lsn(1),
        at: Timestamp(1),
        digest: Digest::ZERO,
        bytes: 1,
        name: name.into(),
    };
    let by_state = ByState::from([(state, some(1, 100))]);
    let all = some(1, 100);
    SubmissionSums {
        all,
        by_state,
        attempts: vec![attempt],
        pay_in,
        is_held: false,
        failed: Vec::new(),
    }
}

/// The report said what kept the file in its staging folder, and told to upload it beside that.
#[test]
fn nobody_is_told_to_upload_a_file_that_has_not_left() {
    let mut batch = at(BatchState::Submitting, Rail::Iso20022);
    batch.pay_outs.insert(LegState::Sent, some(2, 200));
    batch.submissions = vec![submission("b.0.pain.001.xml", false, LegState::Sent)];
    batch.submissions[0].is_held = true;
    let said = text(&batch);
    assert!(!said.contains("Upload") && said.contains("Nothing to upload"), "{said}");
    batch.submissions.push(submission("b.1.pain.001.xml", false, LegState::Sent));
    let said = text(&batch);
    assert!(said.contains("Upload /srv/out/b.1.pain.001.xml to the bank"), "{said}");
}

#[test]
fn a_file_whose_legs_are_all_owed_again_is_handed_in_by_nobody() {
    for rail in [Rail::Iso20022, Rail::Nacha] {
        let mut batch = at(BatchState::SettledWithCarry, rail);
        batch.submissions = vec![submission("b.0.x", false, LegState::Rejected)];
        let said = text(&batch);
        assert!(said.contains("Nobody may hand in or ask for what stands in b.0.x"), "{said}");
        assert!(said.contains("/srv/out/.withdrawn"), "{said}");
    }
    let mut batch = at(BatchState::SettledWithCarry, Rail::Evm);
    batch.submissions = vec![
        submission("b.0.pay-ins.csv", true, LegState::Rejected),
        submission("nonce 7 0xab", false, LegState::Rejected),
    ];
    let said = text(&batch);
    assert!(said.contains("/srv/pay-ins/.withdrawn") && !said.contains("nonce"), "{said}");
}

#[test]
fn of_a_file_of_which_some_legs_are_owed_again_it_is_said_which_must_not_be_paid() {
    let mut batch = at(BatchState::Submitting, Rail::Iso20022);
    batch.pay_outs.insert(LegState::Sent, some(1, 100));
    batch.pay_outs.insert(LegState::Rejected, some(2, 300));
    let mut file = submission("b.0.pain.001.xml", false, LegState::Sent);
    file.by_state.insert(LegState::Rejected, some(2, 300));
    (file.all, file.failed) = (some(3, 400), vec!["K1".into()]);
    batch.submissions = vec![file];
    let said = text(&batch);
    let part = "/srv/out/b.0.pain.001.xml names 2 pay-outs of 3.00 EUR owed again (K1 and 1 more";
    assert!(said.contains(part) && said.contains("pay none of them by hand"), "{said}");
    assert!(!said.contains("Upload"), "as it is, it must not be handed in: {said}");
}

#[test]
fn what_waits_for_a_suspended_payee_waits_for_no_cover() {
    let mut batch = at(BatchState::Submitting, Rail::Iso20022);
    batch.pay_outs.insert(LegState::Ready, some(1, 100));
    batch.suspended = some(1, 100);
    batch.troubles.push("1 pay-out of 1.00 EUR waits because its payee is suspended".into());
    let said = text(&batch);
    assert!(!said.contains("they leave when confirmed pay-ins cover them"), "{said}");
}

#[test]
fn a_batch_that_pays_again_says_so_first() {
    for (state, when) in
        [(BatchState::Computed, "before you approve it"), (BatchState::Submitting, "now")]
    {
        let mut batch = at(state, Rail::Card);
        batch.again.push("trouble 4 (s.xml): leg K is REJECTED, and the rail says paid.".into());
        let said = text(&batch);
        assert!(said.starts_with("Batch 0123456789abcdef pays again"), "{said}");
        assert!(said.contains(when) && said.contains("trouble 4"), "{said}");
    }
}

/// "Bring the files in outbox/iso20022 to the bank" sent people there with the list of pay-ins, and
/// with files of other batches.
#[test]
fn the_files_for_the_bank_are_named_and_those_that_have_ended_are_not() {
    let mut batch = at(BatchState::Submitting, Rail::Iso20022);
    batch.pay_ins.insert(LegState::Sent, some(1, 100));
    batch.pay_outs.insert(LegState::Sent, some(1, 100));
    batch.submissions = vec![
        submission("b.0.pay-ins.csv", true, LegState::Sent),
        submission("b.1.pain.001.xml", false, LegState::Confirmed),
        submission("b.2.pain.001.xml", false, LegState::Sent),
    ];
    let said = text(&batch);
    assert!(said.contains("Upload /srv/out/b.2.pain.001.xml to the bank"), "{said}");
    assert!(
        said.contains(
            "/srv/pay-ins/b.0.pay-ins.csv says who is to pay what, and is not for the bank"
        ),
        "{said}"
    );
    assert!(!said.contains("b.1.pain.001.xml"), "{said}");
    let many = (3..20).map(|n| submission(&format!("b.{n}.xml"), false, LegState::Sent));
    batch.submissions.extend(many);
    let said = text(&batch);
    assert!(said.contains("b.11.xml, 8 more of this batch's in the same folder"), "{said}");
}

#[test]
fn legs_that_wait_are_spoken_of_only_while_legs_leave() {
    for state in BATCHES {
        let mut batch = at(state, Rail::Iso20022);
        batch.pay_outs.insert(LegState::Ready, some(1, 100));
        let spoken = text(&batch).contains("1 pay-out of 1.00 EUR");
        assert_eq!(spoken, state == BatchState::Submitting, "{state:?}");
    }
}

#[test]
fn a_pay_out_that_was_held_back_is_not_taken_for_one_that_the_bank_rejected() {
    let mut batch = at(BatchState::SettledWithCarry, Rail::Iso20022);
    batch.pay_outs.insert(LegState::Rejected, some(2, 500));
    batch.held_back = some(2, 500);
    assert!(!text(&batch).contains("see why"), "{}", text(&batch));
    batch.pay_outs.insert(LegState::Rejected, some(3, 900));
    assert!(
        text(&batch).contains("1 pay-out of 4.00 EUR was rejected; see why"),
        "{}",
        text(&batch)
    );
}

#[test]
fn a_proposal_names_the_command_that_agrees_with_it() {
    let mut batch = at(BatchState::Submitting, Rail::Card);
    batch.proposals.push(OpenProposal {
        key: "K1".into(),
        operator: "ann".into(),
        to: LegState::Confirmed,
        reference: "R 1".into(),
        evidence: "mail of the 3rd".into(),
    });
    let said = text(&batch);
    let command = "`tallystick leg resolve 0123456789abcdef K1 --word confirmed --reference 'R 1'";
    assert!(said.contains(command), "{said}");
}

#[test]
fn money_in_flight_is_what_neither_rests_nor_has_ended() {
    let mut batch = at(BatchState::Submitting, Rail::Nacha);
    for (place, state) in (0..).zip(LegState::ALL) {
        batch.pay_ins.insert(state, some(1, 10u128.pow(place)));
        batch.pay_outs.insert(state, some(1, 10u128.pow(place)));
    }
    // SENT, ACCEPTED and UNKNOWN of both sides.
    assert_eq!(batch.in_flight(), Total(2_220));
}
