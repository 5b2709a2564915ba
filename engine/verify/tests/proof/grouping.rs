//! What a signature shares a group with never matters: good and bad in every lane, batches of every
//! size, keys with and without tables side by side, any order, any cut, any number of threads.

use crate::common::bank::{Bank, agree};
use crate::common::forge::{Case, Signer};
use crate::common::twist::Twist;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tallystick_verify::{Scratch, Verdict};

/// Valid signatures by keys in turn, and a bad one in the place of each.
fn pairs(count: usize, keys: u64) -> (Vec<Case>, Vec<Case>, Vec<Bank>) {
    let signers: Vec<Signer> = (0..keys).map(Signer::numbered).collect();
    let mut good = Vec::new();
    let mut bad = Vec::new();
    for (i, signer) in (0..count).zip(signers.iter().cycle()) {
        let valid = signer.sign(&[3; 50]);
        let twist = Twist::ALL[1 + i % (Twist::ALL.len() - 1)];
        // A small nonce is the one twist that mostly stays valid.
        let twist = if twist == Twist::SmallNonce { Twist::FlipS } else { twist };
        bad.push(twist.apply(&valid, signer, &signers[0].key, i as u64 * 2 + 6));
        good.push(valid);
    }
    let banks = Bank::all(&good);
    (good, bad, banks)
}

/// The verdicts are known, so dalek need not be asked each time.
fn expect(banks: &[Bank], cases: &[Case], is_bad: &dyn Fn(usize) -> bool) {
    for bank in banks {
        let verdicts = bank.verdicts(&mut Scratch::default(), cases);
        for (i, verdict) in verdicts.iter().enumerate() {
            let expected = if is_bad(i) { Verdict::Bad } else { Verdict::Valid };
            assert_eq!(*verdict, expected, "{bank}, {i} of {}: {}", cases.len(), cases[i].to_hex());
        }
    }
}

#[test]
fn good_and_bad_mix_in_every_lane() {
    let (good, bad, banks) = pairs(8, 8);
    assert_eq!((agree(&banks, &good), agree(&banks, &bad)), (8, 0));
    for mask in 0..256 {
        let is_bad = |i: usize| mask >> i & 1 == 1;
        let pick = |i: usize| if is_bad(i) { &bad[i] } else { &good[i] };
        let cases: Vec<Case> = (0..8).map(|i| pick(i).clone()).collect();
        expect(&banks, &cases, &is_bad);
    }
}

#[test]
fn batches_of_every_size_find_the_bad_one_wherever_it_is() {
    let (good, bad, banks) = pairs(257, 24);
    assert_eq!((agree(&banks, &good), agree(&banks, &bad)), (257, 0));
    // The reference has no groups; it said its part above.
    let banks: Vec<Bank> =
        banks.into_iter().filter(|bank| bank.backend.name() != "reference").collect();
    expect(&banks, &[], &|_| false);
    for size in (1..=70).chain(127..=130).chain(255..=257) {
        expect(&banks, &good[..size], &|_| false);
        // Every place in small batches; in larger ones the ends, and a place in each lane.
        let places =
            (0..size).filter(|i| size <= 20 || *i < 2 || i + 2 >= size || i % 9 == size % 9);
        // The banks take turns, so that each meets every size.
        for place in places {
            let mut cases = good[..size].to_vec();
            cases[place] = bad[place].clone();
            let bank = if size <= 20 {
                0..banks.len()
            } else {
                (place % banks.len())..(place % banks.len() + 1)
            };
            expect(&banks[bank], &cases, &|i| i == place);
        }
    }
}

fn random_cases(count: usize, seed: u64) -> (Vec<Case>, Vec<Case>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let signers: Vec<Signer> = (0..24).map(Signer::numbered).collect();
    let samples = signers.iter().map(|signer| signer.sign(b"sample")).collect();
    let cases = (0..count)
        .map(|_| {
            let signer = &signers[rng.random_range(0..signers.len())];
            let other = &signers[rng.random_range(0..signers.len())];
            let length: usize = rng.random_range(0..200);
            let message: Vec<u8> = (0..length).map(|_| rng.random()).collect();
            let twist =
                if rng.random() { Twist::Valid } else { Twist::ALL[rng.random_range(0..22)] };
            twist.apply(&signer.sign(&message), signer, &other.key, rng.random())
        })
        .collect();
    (samples, cases)
}

#[test]
fn order_and_cut_change_no_verdict() {
    let (samples, cases) = random_cases(600, 1);
    let banks = Bank::all(&samples);
    assert!(agree(&banks, &cases) > 200);
    let expected: Vec<Verdict> = cases.iter().map(Case::dalek).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    for bank in &banks {
        // One scratch through all of it: what a call leaves behind does not matter either.
        let mut scratch = Scratch::default();
        for chunk in [1, 3, 7, 8, 9, 64, 100, 600] {
            let mut order: Vec<usize> = (0..cases.len()).collect();
            order.shuffle(&mut rng);
            for places in order.chunks(chunk) {
                let cut: Vec<Case> = places.iter().map(|place| cases[*place].clone()).collect();
                let verdicts = bank.verdicts(&mut scratch, &cut);
                for (place, verdict) in places.iter().zip(verdicts) {
                    assert_eq!(
                        verdict,
                        expected[*place],
                        "{bank}, {chunk}: {}",
                        cases[*place].to_hex()
                    );
                }
            }
        }
    }
}

#[test]
fn threads_that_share_a_verifier_change_no_verdict() {
    let (samples, cases) = random_cases(512, 3);
    let expected: Vec<Verdict> = cases.iter().map(Case::dalek).collect();
    for bank in &Bank::all(&samples) {
        for threads in [1, 2, 5] {
            std::thread::scope(|scope| {
                for thread in 0..threads {
                    let (cases, expected) = (&cases, &expected);
                    scope.spawn(move || {
                        let mut scratch = Scratch::default();
                        // Each begins elsewhere and cuts otherwise.
                        let from = thread * 100;
                        for (cases, expected) in cases[from..]
                            .chunks(40 + thread)
                            .zip(expected[from..].chunks(40 + thread))
                        {
                            assert_eq!(bank.verdicts(&mut scratch, cases), expected, "{bank}");
                        }
                    });
                }
            });
        }
    }
}
