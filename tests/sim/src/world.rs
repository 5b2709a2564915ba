//! Who and what there is in a run: parties, keys, assets, channels; and the vouchers that are
//! signed. Owns what clients know. Nothing here knows what the engine holds.

use crate::clock::{DAY, HOUR};
use crate::dice::Dice;
use crate::operators::Operators;
use ed25519_dalek::{Signer as _, SigningKey};
use std::collections::BTreeMap;
use std::rc::Rc;
use tallystick::ledger::{Rail, RailAccount};
use tallystick::rails;
use tallystick::settle::Clearing;
use tallystick::types::{
    Amount, AssetDef, AssetNumber, BundleHasher, ChannelHasher, ChannelId, NetworkId, PartyId,
    Seat, SettlementModel, SignerKey, VOUCHER_BYTES, Voucher, message, put_seat,
};

/// What tells one channel from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Channel {
    /// Who signs.
    pub signer: SignerKey,
    /// Who is paid.
    pub payee: PartyId,
    /// In what.
    pub asset: u32,
    /// Which lane.
    pub lane: u64,
    /// Until when, in seconds.
    pub expires_at: i64,
}

/// A voucher as a client sends it.
#[derive(Debug)]
pub struct Sent {
    /// Its bytes.
    pub packed: [u8; 160],
    /// Its channel.
    pub channel: Channel,
    /// The channel's total.
    pub cumulative: u64,
    /// Its reserved bytes are not zero.
    pub malformed: bool,
    /// Its signature was changed.
    pub forged: bool,
    /// It is an entry of a bundle.
    pub entry: bool,
}

/// An asset, with what a bank can do with it.
#[derive(Debug, Clone)]
pub struct Asset {
    /// Its definition.
    pub def: AssetDef,
    /// Smallest step and largest payment of a bank file, in asset units; `None`: banks do not move
    /// it.
    pub bank: Option<(u128, u128)>,
    /// What one voucher raises a total by, at most.
    pub rise_max: u64,
}

/// A key and for whom it signs.
pub struct Agent {
    secret: SigningKey,
    /// Its public half.
    pub key: SignerKey,
    /// Its party.
    pub party: PartyId,
}

/// Everything there is.
pub struct World {
    /// The deployment.
    pub network: NetworkId,
    /// Longest life of a voucher, in seconds.
    pub lifetime: i64,
    /// Parties; the last one never registers.
    pub parties: Vec<PartyId>,
    /// Keys; the last one never registers.
    pub agents: Vec<Agent>,
    /// Assets; the last one is never created.
    pub assets: Vec<Asset>,
    /// The channels that most vouchers are on.
    pub hot: Vec<Channel>,
    /// The operator's clearing account.
    pub clearing: Clearing,
    /// Operators' keys of their own.
    pub operators: Operators,
    hasher: ChannelHasher,
    secrets: BTreeMap<SignerKey, usize>,
    /// The highest total that was signed, by channel.
    signed: BTreeMap<Channel, u64>,
}

/// From here on lie the lanes that are paid by under identifiers.
const PAYING_LANES: u64 = 1_000_000;

/// When every run begins.
pub const BEGIN: i64 = 1_790_000_000_000_000;

impl World {
    /// A world of its own for each seed.
    #[must_use]
    pub fn new(dice: &mut Dice) -> Self {
        let network = NetworkId(dice.bytes32());
        let parties: Vec<PartyId> =
            (0..dice.between(3, 8)).map(|_| PartyId(dice.bytes32())).collect();
        let agents: Vec<Agent> = (0..dice.between(4, 10))
            .map(|_| {
                let secret = SigningKey::from_bytes(&dice.bytes32());
                let key = SignerKey(secret.verifying_key().to_bytes());
                Agent { secret, key, party: *dice.pick(&parties[..parties.len() - 1]) }
            })
            .collect();
        let secrets = agents.iter().map(|agent| agent.key).zip(0..).collect();
        let lifetime = 60 * DAY / 1_000_000;
        let mut world = Self {
            network,
            lifetime,
            parties,
            agents,
            assets: assets(),
            hot: Vec::new(),
            clearing: Clearing::from([(Rail::Iso20022, rails::placeholder(Rail::Iso20022))]),
            operators: Operators::new(network),
            hasher: ChannelHasher::new(network),
            secrets,
            signed: BTreeMap::new(),
        };
        world.hot = (0..dice.between(2, 24)).map(|_| world.channel(dice, BEGIN)).collect();
        world
    }

    /// Any channel, mostly a sensible one.
    fn channel(&self, dice: &mut Dice, now: i64) -> Channel {
        let agent = dice.pick(&self.agents[..self.agents.len() - 1]);
        let hours = [1, 2, 30, 50 * 24, 50 * 24, 50 * 24, 50 * 24];
        let parties = &self.parties[..self.parties.len() - 1];
        // Mostly somebody else.
        let others: Vec<PartyId> = parties.iter().copied().filter(|p| *p != agent.party).collect();
        let payee = if dice.percent(97) { dice.pick(&others) } else { dice.pick(parties) };
        Channel {
            signer: agent.key,
            payee: *payee,
            asset: dice.pick(&self.assets[..self.assets.len() - 1]).def.number.0,
            lane: dice.below(2),
            expires_at: (now + *dice.pick(&hours) * HOUR) / 1_000_000,
        }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self, channel: &Channel) -> ChannelId {
        let Channel { signer, payee, asset, lane, expires_at } = *channel;
        self.hasher.channel_of(signer, payee, AssetNumber(asset), lane, expires_at)
    }

    /// The asset of a number.
    #[must_use]
    pub fn asset(&self, number: u32) -> Option<&Asset> {
        self.assets.iter().find(|asset| asset.def.number.0 == number)
    }

    /// A client signs one more voucher. `now` in microseconds.
    pub fn sign(&mut self, dice: &mut Dice, now: i64) -> Rc<Sent> {
        let (seconds, place) = (now / 1_000_000, dice.place(self.hot.len()));
        if self.hot[place].expires_at <= seconds && dice.percent(30) {
            self.hot[place] = self.channel(dice, now);
        }
        let mut channel = match dice.below(40) {
            0 | 1 => self.channel(dice, now),
            2 => {
                // A short life, now and then one that is over or too long.
                let lives = [-1, 0, 1, 60, 3_600, 7_200, self.lifetime, self.lifetime + 1];
                Channel { expires_at: seconds + *dice.pick(&lives), ..self.hot[place] }
            }
            3.. => self.hot[place],
        };
        if dice.percent(2) {
            channel.signer = self.agents[self.agents.len() - 1].key;
        }
        if dice.percent(2) {
            channel.payee = self.parties[self.parties.len() - 1];
        }
        if dice.percent(1) {
            channel.asset = self.assets[self.assets.len() - 1].def.number.0;
        }
        if dice.percent(1) {
            channel.expires_at = *dice.pick(&[i64::MIN, 0, i64::MAX]);
        }
        let cumulative = self.cumulative(dice, &channel);
        let (malformed, forged) = (dice.percent(2), dice.percent(4));
        Rc::new(self.voucher(channel, cumulative, malformed, forged))
    }

    /// A payment on one of a few lanes that no frame of clients uses, with its amount: mostly on
    /// what the channel holds, and where it `pays` now.
    pub fn payment(
        &self,
        dice: &mut Dice,
        held: impl Fn(&Channel) -> u64,
        pays: impl Fn(&Sent, u64) -> bool,
    ) -> (Rc<Sent>, u64) {
        let count = self.hot.len();
        let (lane, amount) = (PAYING_LANES + dice.below(2), dice.between(1, 4));
        let on = |place: usize| Channel { lane, ..self.hot[place % count] };
        let is_paid = |channel: &Channel| {
            let cumulative = held(channel) + amount;
            let (packed, channel) = ([0; 160], *channel);
            let (malformed, forged, entry) = (false, false, false);
            pays(&Sent { packed, channel, cumulative, malformed, forged, entry }, amount)
        };
        let first = dice.place(count.min(3));
        let paid = (first..first + count).map(on).find(is_paid).filter(|_| dice.percent(90));
        let channel = paid.unwrap_or(on(first));
        let base = held(&channel) + if dice.percent(10) { dice.below(5) } else { 0 };
        let sent = self.voucher(channel, base + amount, false, dice.percent(3));
        (Rc::new(sent), if dice.percent(5) { amount + 1 } else { amount })
    }

    /// A client signs one more bundle: entries as vouchers are drawn, but of one signer. `now` in
    /// microseconds.
    pub fn bundle(&mut self, dice: &mut Dice, now: i64) -> Vec<Rc<Sent>> {
        let most = *dice.pick(&[1, 3, 3, 8, 8, 64]);
        let count = dice.place(most) + 1;
        let drawn: Vec<Rc<Sent>> = (0..count).map(|_| self.sign(dice, now)).collect();
        let signer = drawn[0].channel.signer;
        let channels = drawn.iter().map(|sent| Channel { signer, ..sent.channel });
        let channels: Vec<Channel> = channels.collect();
        let totals: Vec<u64> =
            channels.iter().map(|channel| self.cumulative(dice, channel)).collect();
        let entries = channels.iter().zip(&totals);
        let leaves = entries.map(|(channel, total)| (self.id(channel), Amount(*total)));
        let hasher = BundleHasher::new(self.network);
        let signed = hasher.message(signer, &hasher.tree(leaves));
        let (malformed, forged) = (dice.percent(3), dice.percent(6));
        let mut signature =
            self.agents[self.secrets[&signer]].secret.sign(signed.bytes()).to_bytes();
        signature[5] ^= u8::from(forged);
        let entry = |(place, (channel, total)): (usize, (&Channel, &u64))| {
            let Channel { signer, payee, asset, lane, expires_at } = *channel;
            let (asset, cumulative) = (AssetNumber(asset), Amount(*total));
            let entry = Voucher { signer, payee, asset, lane, expires_at, cumulative, signature };
            let mut packed = entry.pack();
            put_seat(&mut packed, Seat::new(place, count).expect("it is one of them"));
            if malformed {
                packed = [0xff; VOUCHER_BYTES];
            }
            let (channel, cumulative) = (*channel, *total);
            Rc::new(Sent { packed, channel, cumulative, malformed, forged, entry: true })
        };
        channels.iter().zip(&totals).enumerate().map(entry).collect()
    }

    /// The next total: mostly above the last one, sometimes the same or below.
    fn cumulative(&mut self, dice: &mut Dice, channel: &Channel) -> u64 {
        let rise_max = self.asset(channel.asset).map_or(10, |asset| asset.rise_max);
        let signed = self.signed.entry(*channel).or_default();
        match dice.below(40) {
            0..3 => *signed,
            3..5 => dice.below(signed.saturating_add(1).max(1)),
            5 => *dice.pick(&[0, 1, u64::MAX]),
            6.. => {
                let most = *dice.pick(&[3, 3, 10_000, 10_000, 1_000_000, rise_max]);
                *signed = signed.saturating_add(dice.between(1, most.min(rise_max)));
                *signed
            }
        }
    }

    fn voucher(&self, channel: Channel, cumulative: u64, malformed: bool, forged: bool) -> Sent {
        let Channel { signer, payee, asset, lane, expires_at } = channel;
        let signed = message(self.id(&channel), Amount(cumulative), expires_at);
        let agent = &self.agents[self.secrets[&signer]];
        let voucher = Voucher {
            signer,
            payee,
            asset: AssetNumber(asset),
            lane,
            expires_at,
            cumulative: Amount(cumulative),
            signature: agent.secret.sign(&signed).to_bytes(),
        };
        let mut packed = voucher.pack();
        // One of the reserved bytes: with some it says that it is an entry.
        let reserved = usize::try_from(cumulative % 4).expect("a small number");
        packed[68 + reserved] |= u8::from(malformed);
        packed[100] ^= u8::from(forged);
        Sent { packed, channel, cumulative, malformed, forged, entry: false }
    }

    /// A party's accounts: none, or one at a bank.
    #[must_use]
    pub fn accounts(&self, dice: &mut Dice) -> Vec<RailAccount> {
        let ibans =
            ["DE02120300000000202051", "DE89370400440532013000", "FR1420041010050500013M02606"];
        if dice.percent(8) {
            return Vec::new();
        }
        let fields = [("iban".to_owned(), (*dice.pick(&ibans)).to_owned())].into();
        vec![rails::check_account(Rail::Iso20022.name(), &fields).expect("a valid account")]
    }
}

/// Steps and largest payments are written down here, not asked of the engine: see
/// `docs/RAIL-ISO20022.md`.
fn assets() -> Vec<Asset> {
    let asset = |number, code: &str, scale, model, bank, rise_max| Asset {
        def: AssetDef { number: AssetNumber(number), code: code.to_owned(), scale, model },
        bank,
        rise_max,
    };
    use SettlementModel::{Bilateral, Multilateral};
    vec![
        asset(978, "EUR", 6, Multilateral, Some((10_000, 999_999_999_990_000)), 20_000_000),
        asset(840, "USD", 6, Bilateral, Some((10_000, 999_999_999_990_000)), 20_000_000),
        // So large that payments are split.
        asset(392, "JPY", 0, Multilateral, Some((1, 999_999_999)), 3_000_000_000),
        asset(8453, "eip155:8453/erc20:0x833589f", 6, Bilateral, None, 5_000_000),
        asset(4, "USD", 2, Bilateral, Some((1, 99_999_999_999)), 1_000),
    ]
}
