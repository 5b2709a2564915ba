//! What the benchmarks share: a small deployment, and frames of real signed vouchers for it.

#![forbid(unsafe_code)]

use ed25519_dalek::{Signer as _, SigningKey};
use tallystick::ledger::event::{AssetCreated, CreditLimitSet, PartyUpserted, SignerAdded};
use tallystick::ledger::{Caller, Event, Fact, Request, SealedText};
use tallystick::types::{
    Amount, AssetDef, AssetNumber, ChannelHasher, Digest, MONEY_MAX, NetworkId, PartyId,
    SettlementModel, SignerKey, Total, Voucher, message,
};

/// Vouchers in one frame of the benchmarks.
pub const FRAME: usize = 1_024;
/// Payers, each with one signer, and as many channels.
pub const PAYERS: usize = 10_000;
/// Payees.
pub const PAYEES: usize = 1_000;
/// The asset of all vouchers.
pub const ASSET: AssetNumber = AssetNumber(978);
/// The network of all vouchers.
pub const NETWORK: NetworkId = NetworkId([7; 32]);
/// When all vouchers expire.
pub const EXPIRES_AT: i64 = 2_000_000_000;
/// When all of them arrive: a day before.
pub const NOW_US: i64 = (EXPIRES_AT - 86_400) * 1_000_000;

/// A deployment: its keys, and the events that register everything.
pub struct World {
    keys: Vec<SigningKey>,
    /// Derives the channel ids.
    pub hasher: ChannelHasher,
}

impl Default for World {
    fn default() -> Self {
        let key = |n: usize| SigningKey::from_bytes(&id(b'k', n));
        Self { keys: (0..PAYERS).map(key).collect(), hasher: ChannelHasher::new(NETWORK) }
    }
}

fn id(kind: u8, n: usize) -> [u8; 32] {
    let mut id = [kind; 32];
    id[..8].copy_from_slice(&n.to_le_bytes());
    id
}

/// A cheap shuffle of small numbers, the same in every run.
fn scatter(n: usize) -> usize {
    n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20
}

impl World {
    /// The signer of payer `n`.
    #[must_use]
    pub fn signer(&self, n: usize) -> SignerKey {
        SignerKey(self.keys[n].verifying_key().to_bytes())
    }

    /// Payer `n`.
    #[must_use]
    pub fn payer(&self, n: usize) -> PartyId {
        PartyId(id(b'a', n))
    }

    /// Whom payer `n` pays.
    #[must_use]
    pub fn payee_of(&self, n: usize) -> PartyId {
        PartyId(id(b'b', n % PAYEES))
    }

    /// The facts that register the asset, all parties, signers and limits.
    #[must_use]
    pub fn facts(&self) -> Vec<Fact> {
        let asked = |(n, event): (usize, Event)| {
            let request = Request { id: format!("bench {n}"), content: Digest::ZERO };
            Fact::new(Caller::grpc(String::new()).asks(request), event)
        };
        self.events().into_iter().enumerate().map(asked).collect()
    }

    /// The same without who asked.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        let model = SettlementModel::Multilateral;
        let asset = AssetDef { number: ASSET, code: "EUR".into(), scale: 6, model };
        let mut events = vec![Event::from(AssetCreated { asset })];
        let payees = (0..PAYEES).map(|n| PartyId(id(b'b', n)));
        for party in (0..PAYERS).map(|n| self.payer(n)).chain(payees) {
            // As long as a sealed name is.
            let (name, suspended) = (SealedText::new(vec![7; 60]), false);
            let accounts = Vec::new();
            events.push(Event::from(PartyUpserted { party, name, suspended, accounts }));
        }
        for n in 0..PAYERS {
            let (party, signer) = (self.payer(n), self.signer(n));
            let (caps, limit) = (Vec::new(), Total(MONEY_MAX));
            events.push(Event::from(SignerAdded { signer, party, caps }));
            let asset = ASSET;
            events.push(Event::from(CreditLimitSet { party, asset, limit }));
        }
        events
    }

    /// Frame number `round`: scattered payers, each of their channels raised by every frame.
    #[must_use]
    pub fn frame(&self, round: usize) -> Vec<u8> {
        (0..FRAME).flat_map(|i| self.voucher(round, scatter(round * FRAME + i))).collect()
    }

    fn voucher(&self, round: usize, draw: usize) -> [u8; 160] {
        let payer = draw % PAYERS;
        let cumulative = Amount(u64::try_from(round + 1).expect("few rounds"));
        let mut voucher = Voucher {
            signer: self.signer(payer),
            payee: self.payee_of(payer),
            asset: ASSET,
            lane: 0,
            expires_at: EXPIRES_AT,
            cumulative,
            signature: [0; 64],
        };
        let Voucher { signer, payee, lane, .. } = voucher;
        let channel = self.hasher.channel_of(signer, payee, ASSET, lane, EXPIRES_AT);
        let signed = message(channel, cumulative, EXPIRES_AT);
        voucher.signature = self.keys[payer].sign(&signed).to_bytes();
        voucher.pack()
    }
}
