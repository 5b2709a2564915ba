//! What an operator must do now about a batch: sentences that name the command to type, the most urgent
//! first. Owns the words; counts nothing, and never decides.

use super::{OpenProposal, Reconciliation, SubmissionSums, Sums, WindowFacts};
use crate::ledger::{Attempt, BatchState, LegState, Rail, WindowState};
use crate::types::{AssetNumber, Total};

/// Files that one sentence names: as many as a person carries by hand.
const FILES_NAMED_MAX: usize = 10;

impl Reconciliation {
    /// What an operator must do now, most urgent first; never empty.
    #[must_use]
    pub fn todo(&self) -> Vec<String> {
        let mut todo: Vec<String> = Vec::new();
        for trouble in &self.troubles {
            todo.push(format!("Remove what keeps it from going on: {trouble}."));
        }
        for trouble in &self.kept {
            todo.push(format!(
                "Look into {trouble} When it is settled, take it away with `tallystick trouble ack \
                 NUMBER --note TEXT`."
            ));
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
            LegState::Accepted if self.is_with_bank(pay_in) => Some(format!(
                "Await the bank's word about {legs}, which it has taken on: put what it answers into \
                 inbox/{}, or type `tallystick leg report {batch} --pay-outs --word confirmed --reference \
                 REF`.",
                self.rail.name()
            )),
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
                 (its name and all its accounts anew) before that window is batched.",
                state.name()
            )),
        }
    }

    /// Whether a bank was given a file with these.
    fn is_with_bank(&self, pay_in: bool) -> bool {
        match self.rail {
            Rail::Iso20022 => !pay_in,
            Rail::Nacha | Rail::Card | Rail::Evm => false,
        }
    }

    fn awaited_todo(&self, legs: &str, pay_in: bool) -> String {
        let batch = &self.batch;
        let side = if pay_in { "--pay-ins" } else { "--pay-outs" };
        let report =
            format!("`tallystick leg report {batch} {side} --word confirmed --reference REF`");
        let (files, inbox) = (self.files(pay_in), self.folders.inbox.display());
        match (self.rail, pay_in) {
            (Rail::Iso20022, true) => format!(
                "Await {legs} on the clearing account (who is to pay what stands in {files}, which is not for \
                 the bank): put the bank's statement (camt.053 or camt.054) into {inbox}, or type {report}; \
                 `--key KEY --word rejected --reason TEXT` for who does not pay."
            ),
            (Rail::Evm, true) => format!(
                "Await {legs} at the clearing address (who is to pay what stands in {files}): when the chain \
                 shows them, type {report}; `--key KEY --word rejected --reason TEXT` for who does not pay."
            ),
            (Rail::Iso20022 | Rail::Nacha, _) => format!(
                "Upload {files} to the bank if nobody did, once, and put what it answers about {legs} into \
                 {inbox}, or type {report}."
            ),
            (Rail::Card, _) => {
                format!("Nothing for {legs}: the engine asks the payment service provider.")
            }
            (Rail::Evm, false) => format!("Nothing for {legs}: the engine follows the chain."),
        }
    }

    /// The files of one side whose legs are on their way, by name.
    fn files(&self, pay_in: bool) -> String {
        let moving = |of: &&SubmissionSums| {
            of.pay_in == pay_in && of.by_state.keys().any(|state| state.is_in_flight())
        };
        let own = || self.submissions.iter().filter(moving).filter_map(|of| of.attempts.last());
        let path = |attempt: &Attempt| {
            self.folders.home(&attempt.name).join(&*attempt.name).display().to_string()
        };
        let mut named: Vec<String> = own().take(FILES_NAMED_MAX).map(path).collect();
        let more = own().count().saturating_sub(FILES_NAMED_MAX);
        if more > 0 {
            named.push(format!("{more} more of this batch's in the same folder"));
        }
        if named.is_empty() { "the batch's files".to_owned() } else { named.join(", ") }
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
            BatchState::Settled if !self.kept.is_empty() => {
                "Every leg is confirmed, but something was said that does not fit: see above."
                    .into()
            }
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
mod tests;
