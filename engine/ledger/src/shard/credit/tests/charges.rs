//! Vouchers that come with the amount that they are for, in every story: what a voucher would be
//! answered is what it is answered then, a wrong amount is never credited, and asking changes
//! nothing.

use super::{Asked, Checked, NETWORK, World};
use crate::types::{Amount, ChannelHasher, Outcome, Packed};

/// Whether the rule comes to look at the amount.
fn comes_to_the_amount(outcome: Outcome) -> bool {
    match outcome {
        Outcome::Credited
        | Outcome::TooManyChannels
        | Outcome::OverSignerCap
        | Outcome::OverTotalBudget
        | Outcome::OverMonthBudget
        | Outcome::OverDayBudget
        | Outcome::OverHourBudget
        | Outcome::OverLimit => true,
        Outcome::Stale
        | Outcome::Malformed
        | Outcome::BadSignature
        | Outcome::UnknownSigner
        | Outcome::RevokedSigner
        | Outcome::UnknownPayee
        | Outcome::UnknownAsset
        | Outcome::SelfPayment
        | Outcome::Expired
        | Outcome::LifetimeTooLong
        | Outcome::SuspendedParty
        | Outcome::OutOfScope
        | Outcome::WrongAmount => false,
    }
}

impl World {
    /// Of each first voucher of a shard: what it would be answered, whatever amount it came with.
    pub(super) fn as_asked_before(&mut self, frame: &[Asked<'_>]) {
        let hasher = ChannelHasher::new(NETWORK);
        let before = self.books();
        let mut lsn = self.lsn;
        for place in 0..self.shards.len() {
            let owner = |one: &&Asked<'_>| self.shard_of(Packed(&one.packed).signer()) == place;
            let Some(first) = frame.iter().find(owner) else { continue };
            let (voucher, at) = (Packed(&first.packed), self.at);
            let channel = hasher.channel(voucher);
            let with =
                |rise| Checked { voucher, channel, verdict: first.verdict, rise, tree: None };
            let shard = &mut self.shards[place];
            let total = shard.channel(channel).total;
            let right = voucher.cumulative().rise_above(total).unwrap_or(Amount(1));
            let mut answers = Vec::new();
            let wrong = [right.0.wrapping_add(1), right.0 - 1, 0, !right.0].map(Amount);
            let wrong = wrong.map(|rise| with(Some(rise)));
            let [plain, asked] = [with(None), with(Some(right))];
            shard.would(at, &[plain, asked, wrong[0], wrong[1], wrong[2], wrong[3]], &mut answers);
            assert_eq!(answers[0], answers[1], "{}", first.line);
            let told = match comes_to_the_amount(answers[0]) {
                true => Outcome::WrongAmount,
                false => answers[0],
            };
            assert!(answers[2..].iter().all(|answer| *answer == told), "{}", first.line);
            assert_eq!(super::word(answers[0]), first.wanted, "{}", first.line);
            // And when it comes so, in a record of its own.
            lsn = lsn.next();
            shard.credit(lsn, at, &wrong, &mut answers);
            assert!(answers.iter().all(|answer| *answer == told), "{}", first.line);
        }
        self.lsn = lsn;
        assert_eq!(self.books(), before, "asking changes nothing, and a wrong amount neither");
        if !frame.is_empty() {
            self.seen.insert(Outcome::WrongAmount);
        }
    }
}
