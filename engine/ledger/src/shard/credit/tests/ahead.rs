//! Whoever asks for the headroom is told what the rule says then: at every line of every story one
//! unit more is refused as it was said, and at its end all of it is credited.

use super::{ASSETS, Checked, LIFETIME_SECONDS_MAX, NETWORK, World, key};
use crate::Headroom;
use crate::types::{
    Amount, AssetNumber, ChannelHasher, Outcome, Packed, PartyId, SignerKey, Verdict, Voucher,
};

/// A lane that no story uses.
const LANE: u64 = 1 << 40;

impl World {
    /// Who may be asked about, and in what; nobody knows the last of them.
    fn ahead(&self) -> Vec<(SignerKey, AssetNumber, PartyId)> {
        let (mut keys, mut payees): (Vec<_>, Vec<_>) =
            (self.payers.keys().copied().collect(), self.parties.iter().copied().collect());
        keys.push(key("zz"));
        payees.push(PartyId([0xee; 32]));
        let mut all = Vec::new();
        for key in &keys {
            let of = ASSETS.iter().flat_map(|(_, asset)| payees.iter().map(|to| (*asset, *to)));
            all.extend(of.map(|(asset, to)| (*key, asset, to)));
        }
        all
    }

    pub(super) fn shard_of(&self, key: SignerKey) -> usize {
        let count = u16::try_from(self.shards.len()).unwrap();
        self.payers.get(&key).map_or(0, |payer| payer.shard(count).into())
    }

    fn headroom(&self, (key, asset, payee): (SignerKey, AssetNumber, PartyId)) -> Headroom {
        let shard = &self.shards[self.shard_of(key)];
        let [to, any] = [Some(payee), None].map(|to| shard.headroom(key, (asset, to), self.at));
        assert!(any.left >= to.left || any.beyond == to.beyond, "a payee is one more limit");
        to
    }

    /// Has a channel of its own rise by so much.
    fn rise(
        &mut self,
        (signer, asset, payee): (SignerKey, AssetNumber, PartyId),
        lane: u64,
        cumulative: Amount,
    ) -> Outcome {
        let expires_at = self.at.seconds() + LIFETIME_SECONDS_MAX;
        let (at, signature) = (self.shard_of(signer), [7; 64]);
        let voucher = Voucher { signer, payee, asset, lane, expires_at, cumulative, signature };
        let packed = voucher.pack();
        let (voucher, hasher) = (Packed(&packed), ChannelHasher::new(NETWORK));
        let (channel, verdict) = (hasher.channel(voucher), Verdict::Valid);
        let checked = Checked { voucher, channel, verdict, rise: None, tree: None };
        let mut outcomes = Vec::new();
        self.lsn = self.lsn.next();
        self.shards[at].credit(self.lsn, self.at, &[checked], &mut outcomes);
        outcomes[0]
    }

    /// One unit more than there is room for is refused, and as it was said; that changes nothing.
    pub(super) fn as_the_headroom_says(&mut self) {
        for who in self.ahead() {
            let Headroom { left, beyond } = self.headroom(who);
            let Some(more) = left.0.checked_add(1) else { continue };
            let outcome = self.rise(who, LANE, Amount(more));
            // A channel too many is said before any sum is looked at.
            assert!(outcome == beyond || outcome == Outcome::TooManyChannels, "{outcome:?}");
        }
    }

    /// What there is room for is credited, and then there is none.
    pub(super) fn all_headroom_is_used(&mut self) {
        for (lane, who) in (LANE..).zip(self.ahead()) {
            let Headroom { left, .. } = self.headroom(who);
            if left == Amount(0) {
                continue;
            }
            let outcome = self.rise(who, lane, left);
            let credited = outcome == Outcome::Credited;
            assert!(credited || outcome == Outcome::TooManyChannels, "{left}: {outcome:?}");
            // No voucher can take all of what is more than a voucher can carry.
            if credited && left != Amount(u64::MAX) {
                assert_eq!(self.headroom(who).left, Amount(0));
            }
        }
    }
}
