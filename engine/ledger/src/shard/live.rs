//! How many live channels each signer and each payer has: a channel costs its payer nothing, and
//! the engine memory for as long as it lives.
//!
//! A channel counts from the record that opens it to the first record at or after its expiry. That
//! depends on the journal alone, not on when a checkpoint happens to forget the channel, so any
//! replay, on any number of shards, counts the same.

use super::{Shard, SignerIndex};
use crate::limits::{PARTY_CHANNELS_MAX, SIGNER_CHANNELS_MAX};
use crate::types::Timestamp;

/// How many live channels there may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct ChannelsMax {
    pub of_signer: u32,
    pub of_party: u32,
}

impl ChannelsMax {
    /// As the credit rule has it.
    pub const RULE: Self = Self { of_signer: SIGNER_CHANNELS_MAX, of_party: PARTY_CHANNELS_MAX };
}

/// The channels that a signer opened last, as long as all expire at one time: most do, and the
/// count of each would be looked for in a tree.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Newest {
    expires_at: i64,
    count: u32,
}

impl Newest {
    /// How many of them expire at this time.
    fn at(self, expires_at: i64) -> u32 {
        if self.expires_at == expires_at { self.count } else { 0 }
    }
}

impl Shard {
    /// A signer has one live channel more.
    pub(super) fn count_channel(&mut self, signer: SignerIndex, expires_at: i64) {
        let held = &mut self.signers[signer as usize];
        held.channels += 1;
        self.parties[held.payer as usize].channels += 1;
        if held.newest.at(expires_at) > 0 {
            held.newest.count += 1;
            return;
        }
        let before = std::mem::replace(&mut held.newest, Newest { expires_at, count: 1 });
        if before.count > 0 {
            *self.expiring.entry((before.expires_at, signer)).or_default() += before.count;
        }
        // The tree knows of every time at which something of a signer expires.
        self.expiring.entry((expires_at, signer)).or_default();
    }

    /// Whether a signer, or its payer, has as many live channels as there may be. Those that have
    /// expired by now do not count, whether they are uncounted or not.
    pub(super) fn has_channels_enough(&self, signer: SignerIndex, at: Timestamp) -> bool {
        let payer = self.signers[signer as usize].payer;
        let of_signer = self.signers[signer as usize].channels;
        let of_party = self.parties[payer as usize].channels;
        let ChannelsMax { of_signer: signer_max, of_party: party_max } = self.channels_max;
        if of_signer < signer_max && of_party < party_max {
            return false;
        }
        let expired = self.expiring.range(..=(at.seconds(), SignerIndex::MAX));
        let (mut own, mut all) = (0, 0);
        for ((expires_at, of), count) in expired {
            let held = &self.signers[*of as usize];
            let count = count + held.newest.at(*expires_at);
            own += if *of == signer { count } else { 0 };
            all += if held.payer == payer { count } else { 0 };
        }
        of_signer - own >= signer_max || of_party - all >= party_max
    }

    /// Channels that have expired by now count no longer.
    pub(super) fn uncount_expired(&mut self, at: Timestamp) {
        let now = at.seconds();
        while let Some(first) = self.expiring.first_entry()
            && first.key().0 <= now
        {
            let ((expires_at, signer), channels) = first.remove_entry();
            let held = &mut self.signers[signer as usize];
            let channels = channels + held.newest.at(expires_at);
            if held.newest.expires_at == expires_at {
                held.newest.count = 0;
            }
            let less = |count: u32| count.checked_sub(channels).expect("each was counted once");
            held.channels = less(held.channels);
            let payer = &mut self.parties[held.payer as usize];
            payer.channels = less(payer.channels);
        }
    }

    /// Counts what a checkpoint brought back. What had expired by then is uncounted at the next
    /// record.
    pub(super) fn count_anew(&mut self) {
        self.expiring.clear();
        for signer in &mut self.signers {
            (signer.channels, signer.newest) = (0, Newest::default());
        }
        self.parties.iter_mut().for_each(|party| party.channels = 0);
        let held: Vec<_> = self.channels.all().map(|held| (held.signer, held.expires_at)).collect();
        held.into_iter().for_each(|(signer, expires_at)| self.count_channel(signer, expires_at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{AssetCreated, CreditLimitSet, PartyUpserted, SignerAdded, WindowCut};
    use crate::fixture::as_sealed;
    use crate::shard::Checked;
    use crate::types::{
        Amount, AssetDef, AssetNumber, ChannelHasher, Lsn, NetworkId, Outcome, Packed, PartyId,
        SettlementModel, SignerKey, Total, VOUCHER_BYTES, Verdict, Voucher, WindowNumber,
    };
    use crate::{Event, ShardPage};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const NETWORK: NetworkId = NetworkId([3; 32]);
    const ASSET: AssetNumber = AssetNumber(978);
    const MAX: ChannelsMax = ChannelsMax { of_signer: 3, of_party: 5 };

    fn payer(n: u8) -> PartyId {
        PartyId([n; 32])
    }

    /// Two keys for each of three payers.
    fn key(n: u8) -> SignerKey {
        SignerKey([100 + n; 32])
    }

    fn payer_of(signer: u8) -> PartyId {
        payer(1 + signer / 2)
    }

    fn founding(scale: u32) -> Vec<Event> {
        let model = SettlementModel::Bilateral;
        let asset = AssetDef { number: ASSET, code: "EUR".into(), scale, model };
        let mut events = vec![Event::from(AssetCreated { asset })];
        for n in [1, 2, 3, 9] {
            let (party, name) = (payer(n), as_sealed(""));
            let accounts = Vec::new();
            let event = PartyUpserted { party, name, suspended: false, accounts };
            events.push(Event::from(event));
            let limit = Total(u128::MAX >> 2);
            let event = CreditLimitSet { party, asset: ASSET, limit };
            events.push(Event::from(event));
        }
        for n in 0..6 {
            let (signer, party, caps) = (key(n), payer_of(n), Vec::new());
            events.push(Event::from(SignerAdded { signer, party, caps }));
        }
        events
    }

    fn founded(count: u16) -> Vec<Shard> {
        let mut shards: Vec<Shard> =
            (0..count).map(|index| Shard::new(index, count, NETWORK, i64::MAX)).collect();
        for shard in &mut shards {
            shard.channels_max = MAX;
            for (event, lsn) in founding(0).iter().zip(1..) {
                assert!(shard.apply(Lsn(lsn), event).is_none());
            }
        }
        shards
    }

    fn voucher(signer: u8, lane: u64, expires_at: i64, total: u64) -> [u8; VOUCHER_BYTES] {
        let (signer, payee, cumulative) = (key(signer), payer(9), Amount(total));
        let signature = [0; 64];
        Voucher { signer, payee, asset: ASSET, lane, expires_at, cumulative, signature }.pack()
    }

    /// Has it credited by the shard that owns its payer; every shard sees the record's time.
    fn credit(shards: &mut [Shard], lsn: u64, at: i64, signer: u8, packed: &[u8; 160]) -> Outcome {
        let count = u16::try_from(shards.len()).unwrap();
        let (at, voucher) = (Timestamp(at * 1_000_000), Packed(packed));
        let channel = ChannelHasher::new(NETWORK).channel(voucher);
        let own = [Checked { voucher, channel, verdict: Verdict::Valid, rise: None, tree: None }];
        let mut outcome = None;
        for shard in shards {
            let is_its_own = payer_of(signer).shard(count) == shard.index();
            let mut outcomes = Vec::new();
            shard.credit(Lsn(lsn), at, if is_its_own { &own } else { &[] }, &mut outcomes);
            outcome = outcome.or(outcomes.pop());
        }
        outcome.expect("one shard owns the payer")
    }

    /// The same shards after a checkpoint and a start from it.
    fn restarted(shards: &mut [Shard], at: i64, window: u64) -> Vec<Shard> {
        let mut pages: Vec<ShardPage> = Vec::new();
        for shard in shards.iter_mut() {
            drop(shard.leave(usize::MAX));
            pages.push(shard.save(true, Timestamp(at * 1_000_000), Lsn(0)));
            while let Some((page, last)) = shard.saved(2) {
                pages.push(page);
                if last {
                    break;
                }
            }
        }
        let credited = shards.iter().map(Shard::credited).sum();
        // Another number of shards each time.
        let mut again = founded(if shards.len() == 1 { 3 } else { 1 });
        for shard in &mut again {
            shard.restore_window(WindowNumber(window));
            pages.iter().for_each(|page| shard.restore(page).unwrap());
            shard.restored(WindowNumber(window), credited);
        }
        again
    }

    fn cut(number: u64) -> Event {
        let window = WindowNumber(number);
        Event::from(WindowCut { window })
    }

    #[derive(Debug, Clone)]
    enum Step {
        Pay { signer: u8, lane: u64, life: i64 },
        Pass(i64),
        Close,
        Restart,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            20 => (0u8..6, 0u64..12, 1i64..40)
                .prop_map(|(signer, lane, life)| Step::Pay { signer, lane, life }),
            5 => (1i64..20).prop_map(Step::Pass),
            1 => Just(Step::Close),
            1 => Just(Step::Restart),
        ];
        prop::collection::vec(step, 1..200)
    }

    proptest! {
        /// Against a list of channels that is counted anew for each voucher: over checkpoints that
        /// forget what has expired, over starts, on one shard and on several.
        #[test]
        fn live_channels_are_counted_and_limited(steps in steps()) {
            let (mut now, mut lsn, mut window) = (1_000, 100, 1);
            let mut held: BTreeMap<(u8, u64, i64), u64> = BTreeMap::new();
            let mut shards = founded(1);
            for step in steps {
                match step {
                    Step::Pay { signer, lane, life } => {
                        lsn += 1;
                        let channel = (signer, lane, now + life);
                        let live = |whose: &dyn Fn(u8) -> bool| {
                            let lives = |of: u8, expires: i64| whose(of) && expires > now;
                            held.keys().filter(|(of, _, expires)| lives(*of, *expires)).count()
                        };
                        let of_signer = live(&|of| of == signer);
                        let of_party = live(&|of| payer_of(of) == payer_of(signer));
                        let full = of_signer >= MAX.of_signer as usize
                            || of_party >= MAX.of_party as usize;
                        let known = held.contains_key(&channel);
                        let wanted = match full && !known {
                            true => Outcome::TooManyChannels,
                            false => Outcome::Credited,
                        };
                        let total = held.get(&channel).copied().unwrap_or(0) + 1;
                        let packed = voucher(signer, lane, now + life, total);
                        prop_assert_eq!(credit(&mut shards, lsn, now, signer, &packed), wanted);
                        if wanted == Outcome::Credited {
                            held.insert(channel, total);
                        }
                    }
                    Step::Pass(seconds) => now += seconds,
                    Step::Close => {
                        lsn += 1;
                        for shard in &mut shards {
                            drop(shard.apply(Lsn(lsn), &cut(window)));
                            drop(shard.leave(usize::MAX));
                        }
                        window += 1;
                    }
                    Step::Restart => shards = restarted(&mut shards, now, window),
                }
            }
        }
    }

    /// Forty channels of 2^64-1 units made a window that no batch could hold.
    #[test]
    fn nobody_owes_more_than_a_batch_can_settle_whatever_the_limit_says() {
        let mut shards = founded(1);
        let most = u64::try_from(crate::limits::UNSETTLED_WHOLE_MAX).unwrap();
        let mut pay =
            |lsn, lane, total| credit(&mut shards, lsn, 1_000, 0, &voucher(0, lane, 2_000, total));
        assert_eq!(pay(101, 1, u64::MAX), Outcome::OverLimit);
        assert_eq!(pay(102, 1, most - 5), Outcome::Credited);
        assert_eq!(pay(103, 2, 6), Outcome::OverLimit);
        assert_eq!(pay(104, 2, 5), Outcome::Credited);
        assert_eq!(pay(105, 3, 1), Outcome::OverLimit);
    }
}
