//! Reconciliation: where a batch stands, and what an operator must do now. Pure: from the batch, where its
//! legs stand, its windows and the time. Decides nothing; its sentences name the command to type.

use crate::ledger::{
    Attempt, BatchEntry, BatchPlan, BatchState, By, LegState, Legs, Rail, WindowState,
};
use crate::types::{AssetDef, AssetNumber, Timestamp, Total, WindowNumber};
use std::collections::BTreeMap;

const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;
/// Digits of a batch's id in a sentence: enough for every command.
const BATCH_DIGITS: usize = 16;

/// How many legs, and over how much.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sums {
    /// How many.
    pub legs: u64,
    /// Over how much, in asset units.
    pub sum: Total,
}

/// Sums by state: those states in which there is a leg.
pub type ByState = BTreeMap<LegState, Sums>;

/// Since when legs have been UNKNOWN.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ages {
    /// For less than an hour.
    pub under_an_hour: u64,
    /// For an hour or more, and less than a day.
    pub under_a_day: u64,
    /// For a day or longer.
    pub older: u64,
    /// Since when the oldest has been.
    pub oldest: Option<Timestamp>,
}

/// What was handed to the rail at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmissionSums {
    /// All its legs: the control sum.
    pub all: Sums,
    /// By state.
    pub by_state: ByState,
    /// Every set of bytes.
    pub attempts: Vec<Attempt>,
}

/// One operator's open word about an UNKNOWN leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenProposal {
    /// The leg's key.
    pub key: String,
    /// Who.
    pub operator: String,
    /// Where it stands, in the operator's word.
    pub to: LegState,
    /// The rail's own reference.
    pub reference: String,
    /// The evidence.
    pub evidence: String,
}

/// A window of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowFacts {
    /// Its number.
    pub number: WindowNumber,
    /// Where it stands.
    pub state: WindowState,
    /// Why it is disputed, if it is.
    pub dispute: Option<String>,
}

/// Everything about a batch that an operator acts on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconciliation {
    /// The batch, as it is named in sentences.
    pub batch: String,
    /// Where it stands.
    pub state: BatchState,
    /// Who computed it.
    pub by: By,
    /// Its rail.
    pub rail: Rail,
    /// Its asset.
    pub asset: AssetDef,
    /// Its windows.
    pub windows: Vec<WindowFacts>,
    /// Legs towards the clearing account.
    pub pay_ins: ByState,
    /// All others.
    pub pay_outs: ByState,
    /// What was handed to the rail, in order.
    pub submissions: Vec<SubmissionSums>,
    /// Since when legs have been UNKNOWN.
    pub unknown: Ages,
    /// Operators' words about UNKNOWN legs.
    pub proposals: Vec<OpenProposal>,
    /// Legs that ended and never left.
    pub held_back: Sums,
    /// Parties that owed something in its windows.
    pub parties: u64,
    /// Of these, whose exposure has fallen.
    pub released: u64,
    /// What keeps it from going on.
    pub troubles: Vec<String>,
}

impl Sums {
    fn add(&mut self, amount: Total) {
        self.legs += 1;
        self.sum = self.sum.plus(amount);
    }
}

/// Where a batch stands at a time.
#[must_use]
pub fn reconcile(
    plan: &BatchPlan,
    entry: &BatchEntry,
    windows: Vec<WindowFacts>,
    troubles: Vec<String>,
    at: Timestamp,
) -> Reconciliation {
    let (content, legs) = (plan.content(), &entry.legs);
    let (mut pay_ins, mut pay_outs) = (ByState::new(), ByState::new());
    let mut held_back = Sums::default();
    let mut left = vec![false; content.legs.len()];
    let submissions = legs.submissions().iter().map(|submission| {
        submission.legs().for_each(|leg| left[leg as usize] = true);
        submission_sums(plan, legs, submission.legs(), submission.attempts.clone())
    });
    let submissions: Vec<SubmissionSums> = submissions.collect();
    for (leg, &state) in (0u32..).zip(legs.states()) {
        let payment = &content.legs[leg as usize].payment;
        let side = if payment.is_pay_in() { &mut pay_ins } else { &mut pay_outs };
        side.entry(state).or_default().add(payment.amount);
        if state.has_ended() && !left[leg as usize] {
            held_back.add(payment.amount);
        }
    }
    let key = |leg: u32| content.legs[leg as usize].key.clone();
    let proposals = legs.proposed().iter().map(|(leg, p)| OpenProposal {
        key: key(*leg),
        operator: p.operator.clone(),
        to: p.to,
        reference: p.reference.clone(),
        evidence: p.evidence.clone(),
    });
    let mut batch = content.head.id.to_string();
    batch.truncate(BATCH_DIGITS);
    Reconciliation {
        batch,
        state: entry.state(),
        by: entry.by.clone(),
        rail: content.head.policy.rail,
        asset: content.head.asset.clone(),
        windows,
        pay_ins,
        pay_outs,
        submissions,
        unknown: ages(legs.unknown_since().values().copied(), at),
        proposals: proposals.collect(),
        held_back,
        parties: u64::try_from(plan.parties()).expect("parties are limited"),
        released: legs.released(),
        troubles,
    }
}

fn submission_sums(
    plan: &BatchPlan,
    legs: &Legs,
    own: impl Iterator<Item = u32>,
    attempts: Vec<Attempt>,
) -> SubmissionSums {
    let (mut all, mut by_state) = (Sums::default(), ByState::new());
    for leg in own {
        let amount = plan.amount(leg);
        all.add(amount);
        by_state.entry(legs.state(leg)).or_default().add(amount);
    }
    SubmissionSums { all, by_state, attempts }
}

fn ages(since: impl Iterator<Item = Timestamp>, at: Timestamp) -> Ages {
    let mut ages = Ages::default();
    for since in since {
        match at.0.saturating_sub(since.0) {
            age if age < HOUR_US => ages.under_an_hour += 1,
            age if age < DAY_US => ages.under_a_day += 1,
            _older => ages.older += 1,
        }
        ages.oldest = Some(ages.oldest.map_or(since, |oldest| oldest.min(since)));
    }
    ages
}

impl Reconciliation {
    /// What is neither at rest nor ended.
    #[must_use]
    pub fn in_flight(&self) -> Total {
        let all = self.pay_ins.iter().chain(&self.pay_outs);
        let moving = all.filter(|(state, _)| state.is_in_flight());
        moving.fold(Total::ZERO, |sum, (_, of)| sum.plus(of.sum))
    }

    /// What an operator must do now, most urgent first; never empty.
    #[must_use]
    pub fn todo(&self) -> Vec<String> {
        let mut todo: Vec<String> = Vec::new();
        for trouble in &self.troubles {
            todo.push(format!("Remove what keeps it from going on: {trouble}."));
        }
        todo.extend(self.windows.iter().filter_map(|window| self.window_todo(window)));
        for proposal in &self.proposals {
            todo.push(self.proposal_todo(proposal));
        }
        // What may be lost comes before what is merely awaited.
        for state in [
            LegState::Unknown,
            LegState::Returned,
            LegState::Rejected,
            LegState::Sent,
            LegState::Accepted,
            LegState::Ready,
            LegState::Confirmed,
        ] {
            for (pay_in, side) in [(true, &self.pay_ins), (false, &self.pay_outs)] {
                let of = side.get(&state).copied().unwrap_or_default();
                let of = self.without_held_back(state, pay_in, of);
                if of.legs > 0 {
                    todo.extend(self.leg_todo(state, pay_in, of));
                }
            }
        }
        todo.push(self.batch_todo());
        todo
    }

    /// What was held back needs nothing that its own sentence does not say.
    fn without_held_back(&self, state: LegState, pay_in: bool, of: Sums) -> Sums {
        if state != LegState::Rejected || pay_in {
            return of;
        }
        let legs = of.legs.saturating_sub(self.held_back.legs);
        let sum = of.sum.checked_minus(self.held_back.sum).unwrap_or_default();
        Sums { legs, sum }
    }

    fn window_todo(&self, window: &WindowFacts) -> Option<String> {
        let number = window.number;
        match window.state {
            WindowState::Disputed => {
                let why = window.dispute.as_deref().unwrap_or_default();
                Some(format!(
                    "Window {number} is disputed ({why}): look into it, then end the dispute with \
                     `tallystick window release {number} --reason TEXT`, or give the batch up with \
                     `tallystick batch abort {} --reason TEXT`.",
                    self.batch
                ))
            }
            WindowState::Open
            | WindowState::Closed
            | WindowState::Batched
            | WindowState::Settled => None,
        }
    }

    fn proposal_todo(&self, proposal: &OpenProposal) -> String {
        let OpenProposal { key, operator, to, reference, evidence } = proposal;
        let word = to.name().to_ascii_lowercase();
        format!(
            "{operator} says that leg {key} is {} ({evidence}): another operator looks at the evidence \
             and says the same with `tallystick leg resolve {} {key} --word {word} --reference \
             '{reference}' --evidence TEXT`.",
            to.name(),
            self.batch
        )
    }

    fn money(&self, sum: Total) -> String {
        format!("{} {}", sum.decimal(self.asset.scale), self.asset.code)
    }

    fn legs(&self, pay_in: bool, of: Sums) -> String {
        let one = if pay_in { "pay-in" } else { "pay-out" };
        let many = if of.legs == 1 { "" } else { "s" };
        format!("{} {one}{many} over {}", of.legs, self.money(of.sum))
    }

    /// What to do about legs of one side that stand at one state.
    fn leg_todo(&self, state: LegState, pay_in: bool, of: Sums) -> Option<String> {
        let (legs, batch) = (self.legs(pay_in, of), &self.batch);
        match state {
            LegState::Ready => match self.state {
                BatchState::Submitting if pay_in => {
                    Some(format!("Nothing for {legs}: the engine sends them."))
                }
                BatchState::Submitting => Some(format!(
                    "Nothing for {legs}: they leave when confirmed pay-ins cover them."
                )),
                BatchState::Computed
                | BatchState::Approved
                | BatchState::Settled
                | BatchState::SettledWithCarry
                | BatchState::Aborted => None,
            },
            LegState::Sent | LegState::Accepted => Some(self.awaited_todo(&legs, pay_in)),
            LegState::Unknown => Some(format!(
                "Ask the rail what became of {legs} (UNKNOWN: {} for less than an hour, {} for less than a \
                 day, {} longer; `tallystick leg list {batch}` names them). If it answers to a person \
                 only, two operators type `tallystick leg resolve {batch} KEY --word confirmed \
                 --reference REF --evidence TEXT`, or `--word rejected`.",
                self.unknown.under_an_hour, self.unknown.under_a_day, self.unknown.older
            )),
            LegState::Confirmed => None,
            LegState::Rejected | LegState::Returned => Some(format!(
                "See why {legs} came to {} (`tallystick leg list {batch} --json`): the amount is owed in a \
                 later window. If an account is wrong, correct it with `tallystick party add --id PARTY` \
                 before that window is batched.",
                state.name()
            )),
        }
    }

    fn awaited_todo(&self, legs: &str, pay_in: bool) -> String {
        let batch = &self.batch;
        let side = if pay_in { "--pay-ins" } else { "--pay-outs" };
        let report =
            format!("`tallystick leg report {batch} {side} --word confirmed --reference REF`");
        match (self.rail, pay_in) {
            (Rail::Iso20022, true) => format!(
                "Await {legs} on the clearing account: put the bank's statement (camt.053 or camt.054) into \
                 inbox/iso20022, or type {report}; `--key KEY --word rejected --reason TEXT` for who does \
                 not pay."
            ),
            (Rail::Evm, true) => format!(
                "Await {legs} at the clearing address: when the chain shows them, type {report}; `--key KEY \
                 --word rejected --reason TEXT` for who does not pay."
            ),
            (Rail::Iso20022 | Rail::Nacha, _) => {
                let rail = self.rail.name();
                format!(
                    "Bring the files in outbox/{rail} to the bank if nobody did, and put what it answers \
                     about {legs} into inbox/{rail}, or type {report}."
                )
            }
            (Rail::Card, _) => {
                format!("Nothing for {legs}: the engine asks the payment service provider.")
            }
            (Rail::Evm, false) => format!("Nothing for {legs}: the engine follows the chain."),
        }
    }

    fn batch_todo(&self) -> String {
        let batch = &self.batch;
        let abort = format!("`tallystick batch abort {batch} --reason TEXT`");
        match self.state {
            BatchState::Computed if self.by.four_eyes => format!(
                "Another operator than {} compares the sums and types `tallystick batch approve {batch}`, \
                 or {abort}.",
                self.by.operator
            ),
            BatchState::Computed => format!(
                "Compare the sums, then type `tallystick batch approve {batch}`, or {abort}."
            ),
            BatchState::Approved if self.troubles.is_empty() => {
                "Nothing: its first legs are about to leave.".into()
            }
            BatchState::Approved => {
                format!("Nothing has left yet: it can still be given up with {abort}.")
            }
            BatchState::Submitting => format!(
                "Look again with `tallystick batch report {batch}`: the batch ends when every leg has."
            ),
            BatchState::Settled => "Nothing: every leg is confirmed.".into(),
            BatchState::SettledWithCarry if self.held_back.legs > 0 => format!(
                "Settle the window that what failed is owed in, like any other; {} were held back for \
                 lack of cover and are owed there too.",
                self.legs(false, self.held_back)
            ),
            BatchState::SettledWithCarry => {
                "Settle the window that what failed is owed in, like any other.".into()
            }
            BatchState::Aborted => self.again_todo(),
        }
    }

    fn again_todo(&self) -> String {
        let numbers: Vec<String> = self.windows.iter().map(|w| w.number.to_string()).collect();
        let AssetNumber(asset) = self.asset.number;
        format!(
            "Nothing of it will leave. Batch its windows anew with `tallystick batch create --window {} \
             --asset {asset} --rail {}`, unless that was done.",
            numbers.join(","),
            self.rail.name()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::SettlementModel;

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
            held_back: Sums::default(),
            parties: 0,
            released: 0,
            troubles: Vec::new(),
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
            (BatchState::SettledWithCarry, "Settle the window"),
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
        assert!(said.starts_with("Remove what keeps it") && said.contains("batch abort"), "{said}");
        let mut held = at(BatchState::SettledWithCarry, Rail::Evm);
        held.held_back = some(2, 500);
        assert!(text(&held).contains("2 pay-outs over 5.00 EUR were held back"), "{}", text(&held));
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
                    let side = if pay_in { &mut batch.pay_ins } else { &mut batch.pay_outs };
                    side.insert(state, some(3, 1_234));
                    let said = text(&batch);
                    let name = if pay_in { "3 pay-ins over 12.34 EUR" } else { "3 pay-outs over" };
                    let silent = state == LegState::Confirmed;
                    assert_eq!(said.contains(name), !silent, "{rail:?} {state:?}: {said}");
                    let part = match state {
                        LegState::Ready => "Nothing for",
                        LegState::Sent | LegState::Accepted => match (rail, pay_in) {
                            (Rail::Iso20022 | Rail::Evm, true) => "leg report",
                            (Rail::Iso20022 | Rail::Nacha, _) => "outbox/",
                            (Rail::Card, _) | (Rail::Evm, false) => "Nothing for",
                        },
                        LegState::Unknown => "leg resolve",
                        LegState::Confirmed => "batch report",
                        LegState::Rejected | LegState::Returned => "party add --id PARTY",
                    };
                    assert!(said.contains(part), "{rail:?} {state:?} {pay_in}: {said}");
                }
            }
        }
    }

    #[test]
    fn legs_that_wait_are_spoken_of_only_while_legs_leave() {
        for state in BATCHES {
            let mut batch = at(state, Rail::Iso20022);
            batch.pay_outs.insert(LegState::Ready, some(1, 100));
            let spoken = text(&batch).contains("1 pay-out over 1.00 EUR");
            assert_eq!(spoken, state == BatchState::Submitting, "{state:?}");
        }
    }

    #[test]
    fn a_pay_out_that_was_held_back_is_not_taken_for_one_that_the_bank_rejected() {
        let mut batch = at(BatchState::SettledWithCarry, Rail::Iso20022);
        batch.pay_outs.insert(LegState::Rejected, some(2, 500));
        batch.held_back = some(2, 500);
        assert!(!text(&batch).contains("See why"), "{}", text(&batch));
        batch.pay_outs.insert(LegState::Rejected, some(3, 900));
        assert!(text(&batch).contains("See why 1 pay-out over 4.00 EUR"), "{}", text(&batch));
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
        let command =
            "`tallystick leg resolve 0123456789abcdef K1 --word confirmed --reference 'R 1'";
        assert!(said.contains(command), "{said}");
    }

    #[test]
    fn ages_have_exact_bounds() {
        let now = Timestamp(10 * DAY_US);
        let before = |age: i64| Timestamp(now.0 - age);
        let since = [0, HOUR_US - 1, HOUR_US, DAY_US - 1, DAY_US, 3 * DAY_US].map(before);
        let wanted =
            Ages { under_an_hour: 2, under_a_day: 2, older: 2, oldest: Some(before(3 * DAY_US)) };
        assert_eq!(ages(since.into_iter(), now), wanted);
        assert_eq!(ages(std::iter::empty(), now), Ages::default());
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
}
