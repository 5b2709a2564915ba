//! The simulator itself: that its seeds are what they say, and that they go through what they
//! should.

use std::collections::BTreeSet;
use std::sync::Mutex;
use tallystick_sim::{Call, Figures, Settings, Side, run_seed, verifier};

/// What clients and operators must have been told in some hundred seeds, apart from what nobody
/// can bring about in so small a world.
const ANSWERS: [&str; 106] = [
    "AccountsLeft",
    "AccountsMissing",
    "AssetCreated",
    "AssetDiffers",
    "BadSignature",
    "BatchAborted",
    "BatchApproved",
    "BatchCreated",
    "BatchState",
    "BudgetsMoved",
    "BudgetsRepeat",
    "BudgetsSet",
    "BudgetsWarned",
    "ClockRefused",
    "CreditLimitSet",
    "Credited",
    "DepositRecorded",
    "DepositsTooLarge",
    "DisputeBegun",
    "DisputeEnded",
    "DoneBefore",
    "EngineKeySet",
    "EventsArchived",
    "Expired",
    "ExposureReleased",
    "IdentityAdded",
    "IdentityChanged",
    "IdentityExpired",
    "IdentityOtherKind",
    "IdentityRevoked",
    "IdentityRotated",
    "IdentityTaken",
    "IdentityUnfit",
    "IdentityUnknown",
    "IdentityWasRevoked",
    "LegResolved",
    "LegState",
    "LegWord",
    "LegsMoved",
    "LegsSubmitted",
    "LifetimeTooLong",
    "Malformed",
    "MustSign",
    "NamelessKey",
    "NeedsTwo",
    "NoSuchLeg",
    "NotAllowed",
    "NotHisKey",
    "NotOwn",
    "NotUnknown",
    "NothingToSettle",
    "OperatorKey",
    "OperatorKeyRemoved",
    "OperatorKeySet",
    "OverDayBudget",
    "OverHourBudget",
    "OverLimit",
    "OverMonthBudget",
    "OverSignerCap",
    "OverTotalBudget",
    "PartyUnfit",
    "PartyUpserted",
    "PaymentBeingCharged",
    "PaymentExpired",
    "PaymentMade",
    "PaymentOverLimit",
    "PaymentReused",
    "PaymentStale",
    "PaymentWrongAmount",
    "RailUnfit",
    "ReleasedBefore",
    "RequestReused",
    "RevokedSigner",
    "SameOperator",
    "SealingBehind",
    "SelfPayment",
    "SignerAdded",
    "SignerDiffers",
    "SignerRevoked",
    "SignatureUnfit",
    "SignerWasRevoked",
    "Stale",
    "Submission",
    "SuspendedParty",
    "TroublesAcked",
    "TroublesRaised",
    "UnknownAsset",
    "UnknownBatch",
    "UnknownParty",
    "UnknownPayee",
    "UnknownSigner",
    "UnknownTrouble",
    "UnknownWindow",
    "WebhookAdded",
    "WebhookNotOf",
    "WebhookRemoved",
    "WebhookRotated",
    "WebhookTopics",
    "WebhookUnknown",
    "WindowArchived",
    "WindowClosed",
    "WindowDisputed",
    "WindowInBatch",
    "WindowOpen",
    "WindowState",
    "WindowUnsealed",
];

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let (verifier, settings) = (verifier(), Settings { audit_every: 4, ..Settings::default() });
    let mut digests = BTreeSet::new();
    for seed in 1..=12 {
        let digest = |()| run_seed(seed, &verifier, settings).expect("the seed passes").digest;
        let first = digest(());
        assert_eq!(digest(()), first, "seed {seed}");
        digests.insert(first);
    }
    assert_eq!(digests.len(), 12, "every seed is a run of its own");
}

#[test]
fn a_thousand_seeds_find_nothing_and_go_through_every_answer_and_every_boundary() {
    let (verifier, settings) = (verifier(), Settings::default());
    let sum = Mutex::new(Figures::default());
    std::thread::scope(|scope| {
        for half in [1..=500, 501..=1_000] {
            scope.spawn(|| {
                for seed in half {
                    let ran = run_seed(seed, &verifier, settings);
                    let ran = ran.unwrap_or_else(|failure| panic!("{failure:?}"));
                    sum.lock().expect("nobody panicked").add(&ran.figures);
                }
            });
        }
    });
    let sum = sum.into_inner().expect("nobody panicked");
    let missing: Vec<_> = ANSWERS.iter().filter(|word| !sum.words.contains_key(**word)).collect();
    assert!(missing.is_empty(), "never answered: {missing:?}");
    for call in Call::ALL {
        for side in [Side::Before, Side::After] {
            assert!(sum.boundaries.contains(&(call, side)), "never died {side:?} {call:?}");
        }
    }
    assert!(sum.crashes > 200 && sum.checkpoints > 200 && sum.windows > 200, "{sum:?}");
}
