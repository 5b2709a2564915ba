//! Compares every backend with `ed25519_dalek`'s `verify_strict`, called directly, on random and
//! mutated signatures:
//!
//! ```sh
//! cargo run --release --locked -p tallystick-verify --example check -- --cases 1000000 --seed 1
//! ```
//!
//! The last line is JSON. Exits with 1 if one verdict differs; the case is printed in hex.

#[path = "../tests/common/mod.rs"]
#[allow(dead_code, reason = "shared with the tests and the fuzzer")]
mod common;

use common::bank::{Bank, Plan, Warmth};
use common::forge::{Case, Signer, extreme_scalars};
use common::twist::{Twist, below};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Instant;
use tallystick_verify::{Backend, Scratch, Verdict};

/// Cases that are made and compared together; a block depends on the seed and its number alone.
const BLOCK: u64 = 512;
/// Cases that are made from one signature.
const TWISTS_EACH: usize = 8;

fn main() -> ExitCode {
    match arguments() {
        Ok((cases, seed)) => run(cases, seed),
        Err(why) => {
            eprintln!("check: {why}\nusage: check [--cases N] [--seed S]");
            ExitCode::from(2)
        }
    }
}

fn arguments() -> Result<(u64, u64), String> {
    let (mut cases, mut seed) = (1_000_000, 1);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let target = match word.as_str() {
            "--cases" => &mut cases,
            "--seed" => &mut seed,
            _ => return Err(format!("{word:?} is no option")),
        };
        let number = words.next().and_then(|number| number.replace('_', "").parse().ok());
        *target = number.ok_or_else(|| format!("{word} takes a number"))?;
    }
    Ok((cases, seed))
}

/// What all threads share.
struct Comparison {
    seed: u64,
    cases: u64,
    signers: Vec<Signer>,
    banks: Vec<Bank>,
    started: Instant,
    next_block: AtomicU64,
    done: AtomicU64,
    stop: AtomicBool,
    disagreements: AtomicU64,
    spoken: Mutex<Instant>,
}

/// Cases and valid ones among them, for each twist; cases for each warmth.
#[derive(Default)]
struct Tally {
    twists: [(u64, u64); Twist::ALL.len()],
    warmth: [u64; Warmth::ALL.len()],
}

fn run(cases: u64, seed: u64) -> ExitCode {
    let mut signers: Vec<Signer> = (0..96).map(Signer::numbered).collect();
    signers.extend(extreme_scalars().into_iter().map(Signer::from_scalar));
    let samples: Vec<Case> = signers.iter().map(|signer| signer.sign(b"sample")).collect();
    // The reference is `verify_strict` itself; the tests compare it too.
    let banks: Vec<Bank> = [Backend::Lanes, Backend::Avx2, Backend::Portable]
        .into_iter()
        .filter(|backend| backend.is_available())
        .map(|backend| Bank::new(backend, Plan::Mixed, &samples))
        .collect();
    let comparison = Comparison {
        seed,
        cases,
        signers,
        banks,
        started: Instant::now(),
        next_block: AtomicU64::new(0),
        done: AtomicU64::new(0),
        stop: AtomicBool::new(false),
        disagreements: AtomicU64::new(0),
        spoken: Mutex::new(Instant::now()),
    };
    if !Backend::Lanes.is_available() {
        println!("This CPU cannot run the `lanes` backend: only the others are compared.");
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let tally = std::thread::scope(|scope| {
        let work = || scope.spawn(|| comparison.work());
        let workers: Vec<_> = (0..threads).map(|_| work()).collect();
        workers.into_iter().fold(Tally::default(), |tally, worker| {
            tally.plus(worker.join().expect("a worker does not panic"))
        })
    });
    comparison.report(&tally)
}

impl Comparison {
    /// Takes blocks until none is left.
    fn work(&self) -> Tally {
        let mut tally = Tally::default();
        let mut scratch = Scratch::default();
        while !self.stop.load(Relaxed) {
            let block = self.next_block.fetch_add(1, Relaxed);
            let Some(left) = self.cases.checked_sub(block * BLOCK).filter(|left| *left > 0) else {
                break;
            };
            let mut made = self.make(block);
            made.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            self.compare(block, &made, &mut scratch, &mut tally);
            self.done.fetch_add(made.len() as u64, Relaxed);
            self.progress();
        }
        tally
    }

    fn make(&self, block: u64) -> Vec<(Twist, Case)> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(block);
        let mut made = Vec::new();
        while (made.len() as u64) < BLOCK {
            let signer = &self.signers[rng.random_range(0..self.signers.len())];
            let length = if rng.random() { 50 } else { rng.random_range(0..300) };
            let mut message = vec![0; length];
            rng.fill(&mut message[..]);
            let valid = signer.sign(&message);
            made.push((Twist::Valid, valid.clone()));
            for _ in 1..TWISTS_EACH {
                let twist = Twist::ALL[rng.random_range(0..Twist::ALL.len())];
                let dice = rng.random();
                let other = &self.signers[below(self.signers.len(), dice >> 8)];
                made.push((twist, twist.apply(&valid, signer, &other.key, dice)));
            }
        }
        // Lanes are filled in order: twists must not always meet the same ones.
        let turn = rng.random_range(0..made.len());
        made.rotate_left(turn);
        made
    }

    fn compare(
        &self,
        block: u64,
        made: &[(Twist, Case)],
        scratch: &mut Scratch,
        tally: &mut Tally,
    ) {
        let cases: Vec<Case> = made.iter().map(|(_, case)| case.clone()).collect();
        let expected: Vec<Verdict> = cases.iter().map(Case::dalek).collect();
        for bank in &self.banks {
            let found = bank.ask(scratch, &cases);
            for ((case, found), expected) in cases.iter().zip(found).zip(&expected) {
                if found != *expected {
                    self.complain(bank, &format!("{found:?} for {expected:?}: {}", case.to_hex()));
                }
            }
            if !bank.is_sound() && !self.stop.swap(true, Relaxed) {
                self.find_wrong_reject(bank, block, &cases, &expected);
            }
        }
        for ((twist, case), expected) in made.iter().zip(expected) {
            let place = Twist::ALL.iter().position(|one| one == twist).expect("ALL has all");
            tally.twists[place].0 += 1;
            tally.twists[place].1 += u64::from(expected == Verdict::Valid);
            tally.warmth[self.banks[0].warmth(case) as usize] += 1;
        }
    }

    fn complain(&self, bank: &Bank, what: &str) {
        self.disagreements.fetch_add(1, Relaxed);
        println!("DISAGREEMENT {}: {what}", bank.backend);
    }

    /// The verifier corrected a wrong reject, so the verdicts do not show which one it was.
    fn find_wrong_reject(&self, bank: &Bank, block: u64, cases: &[Case], expected: &[Verdict]) {
        let samples: Vec<Case> = self.signers.iter().map(|signer| signer.sign(b"sample")).collect();
        let again = Bank::new(bank.backend, bank.plan, &samples);
        let valid = cases.iter().zip(expected).filter(|(_, verdict)| **verdict == Verdict::Valid);
        for (case, _) in valid {
            again.ask(&mut Scratch::default(), std::slice::from_ref(case));
            if !again.is_sound() {
                self.complain(bank, &format!("Bad for Valid: {}", case.to_hex()));
                return;
            }
        }
        let seed = self.seed;
        self.complain(
            bank,
            &format!("a wrong reject in seed {seed}, block {block}, not seen alone"),
        );
    }

    /// One line on a terminal, twice a second.
    fn progress(&self) {
        let Ok(mut spoken) = self.spoken.try_lock() else { return };
        if !std::io::stderr().is_terminal() || spoken.elapsed().as_millis() < 500 {
            return;
        }
        *spoken = Instant::now();
        let done = self.done.load(Relaxed).max(1);
        let left = u128::from(self.cases - done) * self.started.elapsed().as_millis()
            / u128::from(done)
            / 1_000;
        let (cases, wrong) = (self.cases, self.disagreements.load(Relaxed));
        eprint!("\r{done} of {cases} cases, {wrong} disagreements, {left} s left   ");
        let _ = std::io::stderr().flush();
    }

    fn report(&self, tally: &Tally) -> ExitCode {
        if std::io::stderr().is_terminal() {
            eprint!("\r{:70}\r", "");
        }
        println!("{:<24}{:>12}{:>12}", "kind of case", "cases", "valid");
        for (twist, (cases, valid)) in Twist::ALL.iter().zip(tally.twists) {
            println!("{:<24}{cases:>12}{valid:>12}", format!("{twist:?}"));
        }
        for (warmth, cases) in Warmth::ALL.iter().zip(tally.warmth) {
            println!("{:<24}{cases:>12}", format!("key with table {warmth:?}"));
        }
        let (cases, valid) =
            tally.twists.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let disagreements = self.disagreements.load(Relaxed);
        let backends: Vec<&str> = self.banks.iter().map(|bank| bank.backend.name()).collect();
        let [cold, small, large, hot] = tally.warmth;
        println!(
            "{{\"cases\":{cases},\"valid\":{valid},\"disagreements\":{disagreements},\
             \"backends\":{backends:?},\"cold\":{cold},\"small\":{small},\"large\":{large},\"hot\":{hot},\
             \"seed\":{},\"seconds\":{:.1}}}",
            self.seed,
            self.started.elapsed().as_secs_f64()
        );
        if disagreements == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

impl Tally {
    fn plus(mut self, other: Self) -> Self {
        for (sum, one) in self.twists.iter_mut().zip(other.twists) {
            sum.0 += one.0;
            sum.1 += one.1;
        }
        for (sum, one) in self.warmth.iter_mut().zip(other.warmth) {
            *sum += one;
        }
        self
    }
}
