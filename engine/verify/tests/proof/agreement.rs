//! Random cases: what nobody thought of.

use crate::common::bank::{Bank, agree};
use crate::common::forge::{Case, Signer, extreme_scalars};
use crate::common::twist::{Twist, below};
use proptest::prelude::*;
use std::sync::OnceLock;

struct Setting {
    signers: Vec<Signer>,
    banks: Vec<Bank>,
}

fn setting() -> &'static Setting {
    static SETTING: OnceLock<Setting> = OnceLock::new();
    SETTING.get_or_init(|| {
        let mut signers: Vec<Signer> = (0..30).map(Signer::numbered).collect();
        signers.extend(extreme_scalars().into_iter().take(10).map(Signer::from_scalar));
        let samples: Vec<Case> = signers.iter().map(|signer| signer.sign(b"sample")).collect();
        Setting { signers, banks: Bank::all(&samples) }
    })
}

/// Numbers from which a case is made.
fn dice() -> impl Strategy<Value = (usize, usize, u64, Vec<u8>)> {
    (0..40_usize, 0..Twist::ALL.len(), any::<u64>(), prop::collection::vec(any::<u8>(), 0..260))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn every_backend_agrees_with_dalek_on_random_batches(
        rolls in prop::collection::vec(dice(), 1..40),
    ) {
        let setting = setting();
        let cases: Vec<Case> = rolls
            .iter()
            .map(|(who, twist, dice, message)| {
                let signer = &setting.signers[*who];
                let other = &setting.signers[below(setting.signers.len(), *dice)];
                Twist::ALL[*twist].apply(&signer.sign(message), signer, &other.key, *dice)
            })
            .collect();
        agree(&setting.banks, &cases);
    }

    #[test]
    fn every_backend_agrees_with_dalek_on_random_bytes(
        who in 0..40_usize,
        halves: [[u8; 32]; 2],
        message in prop::collection::vec(any::<u8>(), 0..260),
    ) {
        let setting = setting();
        let key = setting.signers[who].key;
        agree(&setting.banks, &[Case::new(key, &message, halves[0], halves[1])]);
    }
}

#[test]
fn every_twist_does_what_its_name_says() {
    let signers: Vec<Signer> = (0..2).map(Signer::numbered).collect();
    let valid = signers[0].sign(b"a message");
    for twist in Twist::ALL {
        let mut accepted = 0;
        for dice in 0..200 {
            let case = twist.apply(&valid, &signers[0], &signers[1].key, dice);
            accepted += i32::from(case.dalek() == tallystick_verify::Verdict::Valid);
            assert!(twist == Twist::Valid || case != valid, "{twist:?} {dice}");
        }
        // Nonces 0 and -0 are the only small ones that make a bad signature: dice 0, 1, 64, 65, ...
        let expected = [(Twist::Valid, 200), (Twist::SmallNonce, 192)];
        let expected = expected.iter().find(|(other, _)| *other == twist).map_or(0, |(_, n)| *n);
        assert_eq!(accepted, expected, "{twist:?}");
    }
}
