//! Signers, their signatures, and a verifier that works through them as the engine does.

use ed25519_dalek::ed25519::signature::Signer as _;
use ed25519_dalek::{Signature, SigningKey, VerifyingKey};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::thread;
use tallystick_verify::{Backend, Check, Key, Options, Scratch, Verdict, Verifier};

/// Bytes that a voucher's signature is over.
pub const MESSAGE_BYTES: usize = 50;
/// Signatures in one call.
pub const BATCH: usize = 256;

/// One signature, of the key with that index.
#[derive(Clone)]
pub struct Signed {
    pub who: usize,
    pub message: [u8; MESSAGE_BYTES],
    pub signature: [u8; 64],
    pub verdict: Verdict,
}

/// Keys, and signatures in the order in which they come.
pub struct Crowd {
    pub keys: Vec<[u8; 32]>,
    pub signed: Vec<Signed>,
}

impl Crowd {
    /// As many keys, and a signature by each that `order` names, as often as it does.
    pub fn new(keys: usize, order: &[usize]) -> Self {
        let signers: Vec<usize> = (0..keys).collect();
        let keys = in_parallel(&signers, |_, who| signer(*who).verifying_key().to_bytes());
        // Making a signer costs as much as a signature, so it is not made twice where it need not
        // be.
        let cached: Vec<SigningKey> = if keys.len() < order.len() {
            in_parallel(&signers, |_, who| signer(*who))
        } else {
            Vec::new()
        };
        let signed = in_parallel(order, |place, who| {
            let mut message = [0; MESSAGE_BYTES];
            ChaCha8Rng::seed_from_u64(place as u64).fill(&mut message[..]);
            let signer = cached.get(*who).cloned().unwrap_or_else(|| signer(*who));
            let signature = signer.sign(&message).to_bytes();
            Signed { who: *who, message, signature, verdict: Verdict::Valid }
        });
        Self { keys, signed }
    }

    pub fn register(&self) -> Vec<Key> {
        self.keys.iter().map(|key| Key::new(*key)).collect()
    }

    /// What dalek wants: keys decoded beforehand, as a program that knows its signers has them.
    pub fn for_dalek(&self) -> Dalek<'_> {
        let decode = |key| VerifyingKey::from_bytes(key).expect("it is a proper key");
        let keys: Vec<VerifyingKey> = self.keys.iter().map(decode).collect();
        Dalek {
            messages: self.signed.iter().map(|one| &one.message[..]).collect(),
            signatures: self.signed.iter().map(|one| one.signature.into()).collect(),
            keys: self.signed.iter().map(|one| keys[one.who]).collect(),
        }
    }
}

/// The same signatures in dalek's terms.
pub struct Dalek<'a> {
    pub messages: Vec<&'a [u8]>,
    pub signatures: Vec<Signature>,
    pub keys: Vec<VerifyingKey>,
}

impl Dalek<'_> {
    pub fn strict(&self, i: usize) -> bool {
        self.keys[i].verify_strict(self.messages[i], &self.signatures[i]).is_ok()
    }
}

fn signer(who: usize) -> SigningKey {
    let mut seed = [7; 32];
    seed[..8].copy_from_slice(&(who as u64).to_le_bytes());
    SigningKey::from_bytes(&seed)
}

fn in_parallel<A: Sync, B: Send>(list: &[A], make: impl Fn(usize, &A) -> B + Sync) -> Vec<B> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let part = list.len().div_ceil(threads).max(1);
    let make = &make;
    let work = move |nth: usize, list: &[A]| -> Vec<B> {
        list.iter().enumerate().map(|(i, one)| make(nth * part + i, one)).collect()
    };
    thread::scope(|scope| {
        let parts = list.chunks(part).enumerate();
        let workers: Vec<_> =
            parts.map(|(nth, part)| scope.spawn(move || work(nth, part))).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("no panic")).collect()
    })
}

/// A verifier of that backend.
pub fn verifier(backend: Backend, table_bytes: usize) -> Verifier {
    Verifier::new(Options { backend: Some(backend), table_bytes }).expect("it is available")
}

/// One thread that works through signatures: `check`, then `learn`, and every verdict is looked at.
pub struct Work<'a> {
    verifier: &'a Verifier,
    checks: Vec<Check<'a>>,
    expected: Vec<Verdict>,
    scratch: Scratch,
    verdicts: Vec<Verdict>,
    at: usize,
}

impl<'a> Work<'a> {
    pub fn new(verifier: &'a Verifier, keys: &'a [Key], signed: &'a [Signed]) -> Self {
        let check = |one: &'a Signed| Check {
            key: &keys[one.who],
            message: &one.message,
            signature: &one.signature,
        };
        Self {
            verifier,
            checks: signed.iter().map(check).collect(),
            expected: signed.iter().map(|one| one.verdict).collect(),
            scratch: Scratch::default(),
            verdicts: Vec::new(),
            at: 0,
        }
    }

    /// The next batch; how many signatures that was.
    pub fn step(&mut self, batch: usize) -> usize {
        let end = (self.at + batch).min(self.checks.len());
        let checks = &self.checks[self.at..end];
        self.verifier.check(&mut self.scratch, checks, &mut self.verdicts);
        self.verifier.learn(&mut self.scratch, checks, &self.verdicts);
        assert_eq!(self.verdicts, self.expected[self.at..end], "a verdict is wrong");
        self.at = end % self.expected.len();
        checks.len()
    }

    /// All of it once.
    pub fn pass(&mut self) {
        self.at = 0;
        while self.step(BATCH) > 0 && self.at > 0 {}
    }
}

/// Passes without a new table after which there will be none: hot ones take long to be earned.
const STILL: usize = 8;

/// Works through all, again and again, until the tables that there are do not get more.
pub fn settle(verifier: &Verifier, work: &mut [Work<'_>], passes: usize) {
    let mut before = None;
    let mut still = 0;
    for _ in 0..passes {
        thread::scope(|scope| work.iter_mut().for_each(|one| drop(scope.spawn(|| one.pass()))));
        let status = verifier.status();
        assert_eq!(status.alarms, 0, "a valid signature was rejected");
        let now = Some((status.small.tables, status.large.tables, status.hot.tables));
        still = if now == before { still + 1 } else { 0 };
        if still == STILL {
            break;
        }
        before = now;
    }
}
