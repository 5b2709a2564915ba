//! Who takes part: parties, their keys, names and bank accounts, all drawn from the seed.
//!
//! Knows nothing of vouchers or of the engine. The same numbers give the same parties, anywhere.

use crate::args::CrowdArgs;
use ed25519_dalek::SigningKey;
use rand::seq::SliceRandom as _;
use rand::{Rng, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

const CONTEXT: &str = "tallystick loadgen 2026-11 v1";

/// Index of a party; payers come first.
pub type Party = u32;

/// Everyone who takes part in a run.
pub struct Crowd {
    derive: Derive,
    ids: Vec<[u8; 32]>,
    signers: Vec<SigningKey>,
    payees: Vec<Party>,
    is_paid: Vec<bool>,
}

/// Derives every random value of a run from its seed.
#[derive(Clone)]
pub struct Derive(blake3::Hasher);

impl Derive {
    fn new(args: &CrowdArgs, both: u32) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        hasher.update(&args.seed.to_le_bytes());
        for number in [args.payers, args.payees, both] {
            hasher.update(&number.to_le_bytes());
        }
        Self(hasher)
    }

    /// 32 bytes for `what`, number `index`.
    #[must_use]
    pub fn bytes(&self, what: &str, index: u64) -> [u8; 32] {
        let mut hasher = self.0.clone();
        hasher.update(what.as_bytes());
        hasher.update(&index.to_le_bytes());
        *hasher.finalize().as_bytes()
    }

    /// A generator for `what`, number `index`.
    #[must_use]
    pub fn rng(&self, what: &str, index: u64) -> ChaCha8Rng {
        ChaCha8Rng::from_seed(self.bytes(what, index))
    }
}

impl Crowd {
    /// Draws the parties; `both` of them pay and are paid.
    #[must_use]
    pub fn draw(args: &CrowdArgs, both: u32) -> Self {
        let derive = Derive::new(args, both);
        let count = args.payers + args.payees - both;
        let ids = (0..count).map(|party| derive.bytes("party", u64::from(party))).collect();
        let mut rng = derive.rng("roles", 0);
        let mut payers: Vec<Party> = (0..args.payers).collect();
        payers.shuffle(&mut rng);
        let mut payees: Vec<Party> = payers[..index(both)].to_vec();
        payees.extend(args.payers..count);
        // The order of payees is their rank under the Zipf law: who both pays and is paid may be
        // large on one side and small on the other.
        payees.shuffle(&mut rng);
        let mut is_paid = vec![false; index(count)];
        for &payee in &payees {
            is_paid[index(payee)] = true;
        }
        let signers = signing_keys(&derive, args.payers);
        Self { derive, ids, signers, payees, is_paid }
    }

    /// How every other value of this run is drawn.
    #[must_use]
    pub fn derive(&self) -> &Derive {
        &self.derive
    }

    /// A short name of this crowd, part of every request id: other seeds or numbers give others.
    #[must_use]
    pub fn tag(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.derive.bytes("tag", 0)[..8])
    }

    /// Every party.
    pub fn parties(&self) -> impl ExactSizeIterator<Item = Party> + use<> {
        0..Party::try_from(self.ids.len()).expect("parties are counted in 32 bits")
    }

    /// How many parties pay.
    #[must_use]
    pub fn payers(&self) -> u32 {
        u32::try_from(self.signers.len()).expect("parties are counted in 32 bits")
    }

    /// Who is paid, by rank.
    #[must_use]
    pub fn payees(&self) -> &[Party] {
        &self.payees
    }

    /// The party's id.
    #[must_use]
    pub fn id(&self, party: Party) -> [u8; 32] {
        self.ids[index(party)]
    }

    /// The key that signs for the party; `None` when it does not pay.
    #[must_use]
    pub fn signer(&self, party: Party) -> Option<&SigningKey> {
        self.signers.get(index(party))
    }

    /// A name such as people give to agents and services.
    #[must_use]
    pub fn name(&self, party: Party) -> String {
        let mut rng = self.derive.rng("name", u64::from(party));
        let mut pick =
            |words: &[&'static str]| -> &'static str { words[index(rng.next_u32()) % words.len()] };
        let brand = pick(&BRANDS);
        let (work, kind) = match (self.signer(party).is_some(), self.is_paid[index(party)]) {
            (true, true) => (pick(&SERVICES), "Broker"),
            (true, false) => (pick(&ERRANDS), "Agent"),
            (false, _) => (pick(&SERVICES), "API"),
        };
        format!("{brand} {work} {kind} {party:05}")
    }

    /// A bank account of its own, with valid check digits. Bank codes are drawn, not real banks'.
    #[must_use]
    pub fn iban(&self, party: Party) -> String {
        let bank = 10_000_000 + self.derive.rng("bank", u64::from(party)).next_u64() % 80_000_000;
        german_iban(bank, 1_000_000_000 + u64::from(party))
    }
}

/// Key generation is the slow part of a large crowd, so every core takes a share.
fn signing_keys(derive: &Derive, payers: u32) -> Vec<SigningKey> {
    let cores = u32::try_from(cores()).unwrap_or(1);
    let share = payers.div_ceil(cores).max(1);
    std::thread::scope(|scope| {
        let shares = (0..payers).step_by(index(share)).map(|from| {
            let to = from.saturating_add(share).min(payers);
            scope.spawn(move || {
                let key = |party| SigningKey::from_bytes(&derive.bytes("key", u64::from(party)));
                (from..to).map(key).collect::<Vec<_>>()
            })
        });
        let threads: Vec<_> = shares.collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| -> Vec<SigningKey> {
            thread.join().expect("making a key cannot panic")
        };
        threads.into_iter().flat_map(join).collect()
    })
}

/// DE, two check digits, 8 digits of bank, 10 of account (ISO 13616; check digits by ISO 7064).
fn german_iban(bank: u64, account: u64) -> String {
    // "DE00" goes behind the number as 13 14 00; 98 minus the remainder are the check digits.
    let number = (u128::from(bank) * 10_000_000_000 + u128::from(account)) * 1_000_000 + 131_400;
    let check = 98 - number % 97;
    format!("DE{check:02}{bank:08}{account:010}")
}

/// How many cores there are.
#[must_use]
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A 32-bit number as an index.
#[must_use]
pub fn index(number: u32) -> usize {
    usize::try_from(number).expect("memory is addressed by at least 32 bits")
}

const BRANDS: [&str; 24] = [
    "Alder",
    "Beacon",
    "Cobalt",
    "Delta",
    "Ember",
    "Fjord",
    "Granite",
    "Harbor",
    "Indigo",
    "Juniper",
    "Keystone",
    "Lumen",
    "Meridian",
    "Northwind",
    "Orchard",
    "Pioneer",
    "Quartz",
    "Rowan",
    "Summit",
    "Tamarack",
    "Umber",
    "Vantage",
    "Willow",
    "Zephyr",
];
const ERRANDS: [&str; 12] = [
    "Booking",
    "Coding",
    "Compliance",
    "Data",
    "Logistics",
    "Mail",
    "Procurement",
    "Research",
    "Support",
    "Trading",
    "Travel",
    "Writing",
];
const SERVICES: [&str; 12] = [
    "Captcha",
    "Crawl",
    "Embedding",
    "Geocoding",
    "Inference",
    "Maps",
    "News",
    "OCR",
    "Search",
    "Speech",
    "Translation",
    "Weather",
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn crowd(seed: u64) -> Crowd {
        let args = CrowdArgs { payers: 40, payees: 20, both: Some("20%".parse().unwrap()), seed };
        Crowd::draw(&args, args.both().unwrap())
    }

    /// ISO 13616 as its text says it: move four characters, replace letters, divide by 97.
    fn iban_is_valid(iban: &str) -> bool {
        let (head, tail) = iban.split_at(4);
        let digits = format!("{tail}{head}").chars().fold(0u128, |rest, c| {
            let value = u128::from(c.to_digit(36).unwrap());
            (rest * if value > 9 { 100 } else { 10 } + value) % 97
        });
        iban.len() == 22 && digits == 1
    }

    #[test]
    fn a_known_iban_has_its_check_digits() {
        assert_eq!(german_iban(37_040_044, 532_013_000), "DE89370400440532013000");
    }

    #[test]
    fn every_party_has_its_own_valid_account_and_name() {
        let crowd = crowd(7);
        assert_eq!(crowd.parties().len(), 50);
        let ibans: BTreeSet<String> = crowd.parties().map(|party| crowd.iban(party)).collect();
        let names: BTreeSet<String> = crowd.parties().map(|party| crowd.name(party)).collect();
        assert_eq!((ibans.len(), names.len()), (50, 50));
        assert!(ibans.iter().all(|iban| iban_is_valid(iban)));
        assert!(names.iter().all(|name| name.len() <= 70 && name.is_ascii()));
    }

    #[test]
    fn as_many_parties_as_asked_pay_and_are_paid() {
        let crowd = crowd(7);
        let payees: BTreeSet<Party> = crowd.payees().iter().copied().collect();
        assert_eq!(payees.len(), 20);
        let both = payees.iter().filter(|&&party| crowd.signer(party).is_some()).count();
        assert_eq!(both, 10);
        let brokers = crowd.parties().filter(|&party| crowd.name(party).contains("Broker"));
        assert_eq!(brokers.count(), 10);
    }

    #[test]
    fn the_seed_decides_everything() {
        let (one, same, other) = (crowd(7), crowd(7), crowd(8));
        for party in one.parties() {
            assert_eq!(one.id(party), same.id(party));
            assert_eq!(one.name(party), same.name(party));
            assert_ne!(one.id(party), other.id(party));
        }
        let keys =
            |crowd: &Crowd| crowd.signers.iter().map(SigningKey::to_bytes).collect::<Vec<_>>();
        assert_eq!(keys(&one), keys(&same));
        assert_eq!(one.payees(), same.payees());
        assert_ne!(one.tag(), other.tag());
    }
}
