//! Up to 16 signatures from the fuzzer's bytes, as one batch: every backend, with keys cold, with
//! small, large and mixed tables, says what `verify_strict` says.

#![no_main]

#[path = "../../tests/common/mod.rs"]
#[allow(dead_code, reason = "shared with the tests and the comparison")]
mod common;

use common::bank::{Bank, Plan, Warmth, agree};
use common::forge::{Case, Signer, extreme_scalars};
use common::twist::{Twist, below};
use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;
use tallystick_verify::{Backend, check_key};

const CASES_MAX: usize = 16;

struct Setting {
    signers: Vec<Signer>,
    banks: Vec<Bank>,
}

fn setting() -> &'static Setting {
    static SETTING: OnceLock<Setting> = OnceLock::new();
    SETTING.get_or_init(|| {
        let mut signers: Vec<Signer> = (0..16).map(Signer::numbered).collect();
        signers.extend(extreme_scalars().into_iter().step_by(3).map(Signer::from_scalar));
        let samples: Vec<Case> = signers.iter().map(|signer| signer.sign(b"sample")).collect();
        Setting { signers, banks: Bank::all(&samples) }
    })
}

/// The fuzzer's bytes, then zeros.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut taken = [0; N];
        let count = N.min(self.0.len());
        taken[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        taken
    }

    fn number(&mut self) -> usize {
        usize::from(u16::from_le_bytes(self.take()))
    }
}

/// A twisted signature of a known signer, then bytes of it changed at will.
fn twisted(bytes: &mut Bytes<'_>, signers: &[Signer]) -> Case {
    let signer = &signers[bytes.number() % signers.len()];
    let [fill, twist, changes] = bytes.take();
    let message = vec![fill; bytes.number() % 600];
    let dice = u64::from_le_bytes(bytes.take());
    let other = &signers[below(signers.len(), dice >> 8)];
    let twist = Twist::ALL[usize::from(twist) % Twist::ALL.len()];
    let mut case = twist.apply(&signer.sign(&message), signer, &other.key, dice);
    for _ in 0..changes % 4 {
        let [place, by] = bytes.take();
        case.signature[usize::from(place) % 64] ^= by;
    }
    case
}

/// Any bytes at all, under any key that passes registration.
fn raw(bytes: &mut Bytes<'_>) -> Option<Case> {
    let (key, r, s) = (bytes.take(), bytes.take(), bytes.take());
    let message: [u8; 24] = bytes.take();
    check_key(key).is_ok().then(|| Case::new(key, &message, r, s))
}

fuzz_target!(|input: &[u8]| {
    let setting = setting();
    let mut bytes = Bytes(input);
    let mut known = Vec::new();
    let mut all = Vec::new();
    while !bytes.0.is_empty() && all.len() < CASES_MAX {
        let [kind] = bytes.take();
        if kind % 8 == 7 {
            all.extend(raw(&mut bytes));
        } else {
            let case = twisted(&mut bytes, &setting.signers);
            all.push(case.clone());
            known.push(case);
        }
    }
    agree(&setting.banks, &known);
    if all.len() > known.len() {
        // Keys that nobody has seen before, beside known ones.
        let cold = |backend| Bank::new(backend, Plan::All(Warmth::Cold), &all);
        let tabled = [Backend::Lanes, Backend::Avx2, Backend::Portable].into_iter();
        let banks: Vec<Bank> = tabled.filter(|backend| backend.is_available()).map(cold).collect();
        agree(&banks, &all);
    }
});
