//! What an operator must do now about a batch: sentences that name the command to type, the most
//! urgent first. Owns the words; counts nothing, and never decides.

use super::{OpenProposal, Reconciliation, SubmissionSums, Sums, WindowFacts};
use crate::ledger::{Attempt, BatchState, Caller, LegState, WindowState};
use crate::limits::FILES_SHOWN;
use crate::rails::{self, Awaits};
use crate::types::{AssetNumber, Total};

impl Reconciliation {
    /// What an operator must do now, most urgent first; never empty.
    #[must_use]
    pub fn todo(&self) -> Vec<String> {
        let mut todo: Vec<String> = Vec::new();
        for trouble in &self.again {
            todo.push(self.again_paid_todo(trouble));
        }
        for trouble in &self.troubles {
            // An answer or a list waits; the batch goes on.
            let rest = trouble.starts_with("inbox of ") || trouble.starts_with("list of troubles");
            todo.push(if rest {
                format!("See to the {trouble}.")
            } else {
                format!("Blocked: {trouble}. Fix this first.")
            });
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
        todo.extend(self.submissions.iter().filter_map(|of| self.failed_todo(of)));
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
                let of = self.without_suspended(state, pay_in, of);
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
        of.without(self.held_back)
    }

    /// What waits for a payee who is suspended is told of as a trouble, and waits for nothing else.
    fn without_suspended(&self, state: LegState, pay_in: bool, of: Sums) -> Sums {
        if state == LegState::Ready && !pay_in { of.without(self.suspended) } else { of }
    }

    /// What the batch pays was paid before, if a rail is right.
    fn again_paid_todo(&self, trouble: &str) -> String {
        let before = match self.state {
            BatchState::Computed => "before you approve it",
            BatchState::Approved
            | BatchState::Submitting
            | BatchState::Settled
            | BatchState::SettledWithCarry
            | BatchState::Aborted => "now",
        };
        format!(
            "Batch {} pays again what the rail says it had paid: look into it {before} (docs/OPERATIONS.md, \
             \"Reported rejected, but paid\"): {trouble}",
            self.batch
        )
    }

    /// What must not be paid any more of a file of which legs are owed again.
    fn failed_todo(&self, of: &SubmissionSums) -> Option<String> {
        let name = self.file_name(of)?;
        let failed = of.failed_legs();
        if failed.legs == 0 || of.is_held {
            return None;
        }
        let file = self.folders.home(name).join(name).display().to_string();
        if failed.legs == of.all.legs {
            let kept = self.folders.withdrawn(name).display().to_string();
            return Some(format!(
                "Nobody may hand in or ask for what stands in {name}: all its legs are owed again, and the engine \
                 moves it to {kept} if it is still there. If a bank was given it before, make sure that nothing of it \
                 is executed."
            ));
        }
        let keys = of.failed.join(", ");
        let more = failed.legs.saturating_sub(count(of.failed.len()));
        let more = if more > 0 {
            format!(" and {more} more (`tallystick leg list {}`)", self.batch)
        } else {
            String::new()
        };
        let (legs, them) =
            (self.legs(of.pay_in, failed), if failed.legs == 1 { "it" } else { "them" });
        let rest = if of.pay_in {
            format!("ask nobody for {them} any more.")
        } else if of.by_state.contains_key(&LegState::Sent) {
            format!(
                "pay none of {them} by hand. If nobody has handed the file in yet, do not: report all its other legs \
                 rejected, too, and it is taken out of the outbox; if the bank has it, make sure that it does not \
                 execute {them}."
            )
        } else {
            format!(
                "pay none of {them} by hand, and make sure that the bank does not execute {them}."
            )
        };
        Some(format!("{file} names {legs} owed again ({keys}{more}): {rest}"))
    }

    /// The name of a submission that is a file.
    fn file_name<'a>(&self, of: &'a SubmissionSums) -> Option<&'a str> {
        let name = &*of.attempts.last()?.name;
        rails::is_file(self.rail, name).then_some(name)
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
        format!("{} {one}{many} of {}", of.legs, self.money(of.sum))
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
            LegState::Accepted if rails::is_acknowledged(self.rail, pay_in) => Some(format!(
                "Wait for the bank's word about {legs}, which it has taken on: put what it answers into \
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
                "{legs} {} {}; see why: `tallystick leg list {batch} --json`. The amount is owed in a later \
                 window. If an account is wrong, correct it with `tallystick party update PARTY --account \
                 RAIL:FIELD=VALUE` before that window is batched.",
                if of.legs == 1 { "was" } else { "were" },
                state.name().to_ascii_lowercase()
            )),
        }
    }

    fn awaited_todo(&self, legs: &str, pay_in: bool) -> String {
        let batch = &self.batch;
        let side = if pay_in { "--pay-ins" } else { "--pay-outs" };
        let report =
            format!("`tallystick leg report {batch} {side} --word confirmed --reference REF`");
        let (files, inbox) = (self.files(pay_in), self.folders.inbox.display());
        match rails::awaits(self.rail, pay_in) {
            Awaits::Statement => format!(
                "Wait for {legs} on the clearing account ({files} says who is to pay what, and is not for the \
                 bank): put the bank's statement (camt.053 or camt.054) into {inbox}, or type {report}; \
                 `--key KEY --word rejected --reason TEXT` for who does not pay."
            ),
            Awaits::Chain => format!(
                "Wait for {legs} at the clearing address ({files} says who is to pay what): when the chain \
                 shows them, type {report}; `--key KEY --word rejected --reason TEXT` for who does not pay."
            ),
            Awaits::Bank => match self.to_upload(pay_in) {
                Some(files) => format!(
                    "Upload {files} to the bank if nobody did, once, and put what it answers about {legs} into \
                     {inbox}, or type {report}."
                ),
                None if self.is_held(pay_in) => {
                    format!("Nothing to upload of {legs} yet: the file has not left the engine.")
                }
                None => format!(
                    "Put what the bank answers about {legs} into {inbox}, or type {report}."
                ),
            },
            Awaits::Engine(does) => format!("Nothing for {legs}: the engine {does}."),
        }
    }

    /// The files of one side whose legs are on their way, by name.
    fn files(&self, pay_in: bool) -> String {
        self.to_upload(pay_in).unwrap_or_else(|| "the batch's files".to_owned())
    }

    /// Whether a file of one side has not left.
    fn is_held(&self, pay_in: bool) -> bool {
        self.submissions.iter().any(|of| of.pay_in == pay_in && of.is_held)
    }

    /// The same that have left and that somebody may hand in: all that they name is to be paid.
    fn to_upload(&self, pay_in: bool) -> Option<String> {
        let moving = |of: &&SubmissionSums| {
            let whole = of.pay_in || of.failed_legs().legs == 0;
            let on_its_way = of.by_state.keys().any(|state| state.is_in_flight());
            of.pay_in == pay_in && !of.is_held && whole && on_its_way
        };
        let own = || self.submissions.iter().filter(moving).filter_map(|of| of.attempts.last());
        let path = |attempt: &Attempt| {
            self.folders.home(&attempt.name).join(&*attempt.name).display().to_string()
        };
        let mut named: Vec<String> = own().take(FILES_SHOWN).map(path).collect();
        let more = own().count().saturating_sub(FILES_SHOWN);
        if more > 0 {
            named.push(format!("{more} more of this batch's in the same folder"));
        }
        (!named.is_empty()).then(|| named.join(", "))
    }

    fn batch_todo(&self) -> String {
        let batch = &self.batch;
        let abort = format!("`tallystick batch abort {batch} --reason TEXT`");
        match self.state {
            BatchState::Computed if self.by.four_eyes && self.by.operator == Caller::SCHEDULE => {
                format!(
                    "Compare the sums, then approve with `tallystick batch approve {batch}` (any operator may), or \
                     {abort}."
                )
            }
            BatchState::Computed if self.by.four_eyes => format!(
                "Another operator than {} must compare the sums, then approve with `tallystick batch approve \
                 {batch}`, or {abort}.",
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
            BatchState::SettledWithCarry if self.held_back.legs > 0 => {
                let (was, its) =
                    if self.held_back.legs == 1 { ("was", "its") } else { ("were", "their") };
                format!(
                    "{} {was} held back: {its} pay-ins have not arrived. {}",
                    self.legs(false, self.held_back),
                    self.owed_todo()
                )
            }
            BatchState::SettledWithCarry => self.owed_todo(),
            BatchState::Aborted => self.again_todo(),
        }
    }

    /// Where what failed is owed now.
    fn owed_todo(&self) -> String {
        let numbers: Vec<String> = self.owed_in.iter().map(ToString::to_string).collect();
        match numbers.as_slice() {
            [one] => {
                format!("What failed is owed in window {one} now: settle that window as usual.")
            }
            several => format!(
                "What failed is owed in windows {} now: settle those windows as usual.",
                several.join(", ")
            ),
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

impl Sums {
    fn without(self, other: Self) -> Self {
        let legs = self.legs.saturating_sub(other.legs);
        Self { legs, sum: self.sum.checked_minus(other.sum).unwrap_or_default() }
    }
}

impl SubmissionSums {
    /// Those of its legs that are owed again.
    fn failed_legs(&self) -> Sums {
        let failed = self.by_state.iter().filter(|(state, _)| state.is_owed_again());
        failed.fold(Sums::default(), |all, (_, of)| Sums {
            legs: all.legs + of.legs,
            sum: all.sum.plus(of.sum),
        })
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).expect("a length fits 64 bits")
}

#[cfg(test)]
mod tests;
