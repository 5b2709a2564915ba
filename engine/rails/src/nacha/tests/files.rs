//! Whatever is owed: each leg is in one file, once, and all files are sound.

use super::*;
use crate::opened::compute;
use jiff::civil::date;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;
use tallystick_ledger::Refusal;

/// Asserts of all files of a batch what none of them says alone.
pub fn assert_sound(content: &OpenBatch, limits: &Limits) -> Vec<slicer::File> {
    let parts = files_within(content, 0, limits).unwrap();
    let files: Vec<_> = rendered(content, limits).iter().map(|text| slicer::slice(text)).collect();
    assert_eq!(files.len(), parts.len());
    let mut next = 0;
    for (file, part) in files.iter().zip(&parts) {
        assert_eq!(part.legs().start, next, "files have the legs in their order");
        next = part.legs().end;
        assert_eq!(file.modifier, part.modifier().to_string());
        assert!(part.legs().len() <= limits.file_legs);
        let own: Vec<_> = file.entries().filter(|entry| entry.information.is_some()).collect();
        let legs = &content.legs[part.legs()];
        assert_eq!(own.len(), legs.len());
        for (entry, leg) in own.iter().zip(legs) {
            assert_leg(content, entry, leg, part);
        }
        for batch in &file.batches {
            let offsets: Vec<_> =
                batch.entries.iter().filter(|entry| entry.information.is_none()).collect();
            let [offset] = offsets[..] else { panic!("one offset entry a batch") };
            assert_eq!(offset, batch.entries.last().unwrap());
            assert_eq!(offset.account, "9876543210");
            assert!(offset.id.starts_with("OFFSET-") && !is_rail_id(&offset.id));
            assert_eq!(offset.is_debit(), part.flow() == Flow::PayOuts);
            assert!(batch.entries.len() - 1 <= limits.batch_legs);
        }
    }
    assert_eq!(next, content.legs.len());
    let modifiers: BTreeSet<_> = files.iter().map(|file| &file.modifier).collect();
    assert_eq!(modifiers.len(), files.len());
    files
}

fn assert_leg(
    content: &OpenBatch,
    entry: &slicer::Entry,
    leg: &tallystick_ledger::Leg,
    part: &FilePart,
) {
    let pay_in = leg.payment.to == PartyId::CLEARING;
    assert_eq!(part.flow(), if pay_in { Flow::PayIns } else { Flow::PayOuts });
    let party = if pay_in { leg.payment.from } else { leg.payment.to };
    let number = u32::from(number(party));
    let savings = number.is_multiple_of(3);
    let code = match (pay_in, savings) {
        (true, false) => "27",
        (true, true) => "37",
        (false, false) => "22",
        (false, true) => "32",
    };
    assert_eq!(entry.code, code);
    assert_eq!(entry.routing, routing(number));
    assert_eq!(entry.account, format!("ACC-{number}"));
    assert_eq!(entry.cents, cents_of(content, leg.payment.amount));
    assert_eq!(entry.id, rail_id(&leg.key));
    let information = entry.information.as_deref().unwrap();
    let parts: Vec<&str> = information.split('*').collect();
    assert_eq!(parts[..3], ["TRN", "1", leg.key.as_str()]);
}

#[test]
fn a_batch_without_legs_has_no_file() {
    let content = small(&[(1, 2, 9_999)]);
    assert!(content.legs.is_empty() && content.head.carries.len() == 2);
    assert_eq!(files(&content, 0), Ok(Vec::new()));
}

#[test]
fn files_and_batches_of_entries_are_cut_at_their_limits() {
    let owed: Vec<_> = (0..25u16).map(|i| (100 + i, 1, 1_000_000)).collect();
    let content = small(&owed);
    let limits = Limits { file_legs: 10, file_cents: 10_000, batch_legs: 4 };
    let files = assert_sound(&content, &limits);
    let shape: Vec<Vec<usize>> = files
        .iter()
        .map(|file| file.batches.iter().map(|batch| batch.entries.len() - 1).collect())
        .collect();
    assert_eq!(shape, [vec![4, 4, 2], vec![4, 4, 2], vec![4, 1], vec![1]]);
}

#[test]
fn no_total_of_a_file_needs_more_than_twelve_digits() {
    // 150 parties pay 99,999,999.99 each: more than the 9,999,999,999.99 of one file.
    let owed: Vec<_> = (0..150u16).map(|i| (100 + i, 1, 99_999_999_990_000)).collect();
    let content = small(&owed);
    let files = assert_sound(&content, &LIMITS);
    let (ins, outs): (Vec<_>, Vec<_>) =
        files.iter().partition(|file| file.entries().next().unwrap().is_debit());
    assert_eq!((ins.len(), outs.len()), (2, 2));
    assert_eq!(ins[0].batches.len(), 100);
    let moved: u128 = ins.iter().flat_map(|file| file.entries()).map(|entry| entry.cents).sum();
    assert_eq!(moved, 2 * 150 * 9_999_999_999);
}

#[test]
fn the_entry_hash_keeps_its_last_ten_digits() {
    // Every bank's number is about 2.1 million: 5,000 of them are more than ten digits.
    let owed: Vec<_> = (0..5_000u16).map(|i| (100 + i, 1, 10_000)).collect();
    let content = small(&owed);
    let files = assert_sound(&content, &LIMITS);
    let sum: u128 = files[0].entries().map(|e| e.routing[..8].parse::<u128>().unwrap()).sum();
    assert!(sum > 10_000_000_000, "{sum}");
}

#[test]
fn same_day_entries_are_at_most_a_million_dollars_offsets_too() {
    let owed = [(1, 2, 2_500_000_000_000), (3, 2, 1_000_000)];
    let content = batch(&asset(6), &clearing(true), CUT_AT, &owed, &plain);
    let files = assert_sound(&content, &LIMITS);
    assert!(files.iter().flat_map(|f| f.entries()).all(|e| e.cents <= 100_000_000));
    assert_eq!(files[0].batches.len(), 3);
    // The cut is on a Monday; its pay-ins are confirmed on Wednesday.
    let effective: Vec<_> = files.iter().map(|file| file.batches[0].effective.as_str()).collect();
    assert_eq!(effective, ["261123", "261125"]);
}

#[test]
fn dates_skip_weekends_and_holidays() {
    let at = |text: &str| Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_microsecond());
    for (cut, same_day, ins, outs) in [
        // Wednesday before Thanksgiving.
        ("2026-11-25T23:59:59Z", false, date(2026, 11, 27), date(2026, 12, 2)),
        ("2026-11-25T23:59:59Z", true, date(2026, 11, 25), date(2026, 11, 30)),
        ("2026-11-26T00:00:00Z", true, date(2026, 11, 27), date(2026, 12, 1)),
        // Saturday.
        ("2026-12-19T12:00:00Z", false, date(2026, 12, 21), date(2026, 12, 24)),
        ("2026-12-19T12:00:00Z", true, date(2026, 12, 21), date(2026, 12, 23)),
    ] {
        let owed = [(1, 2, 1_000_000)];
        let content = batch(&asset(6), &clearing(same_day), at(cut), &owed, &plain);
        let parts = files(&content, 0).unwrap();
        assert_eq!([parts[0].effective(), parts[1].effective()], [ins, outs], "{cut} {same_day}");
        assert!(settled_on(parts[0].effective()) <= parts[1].effective());
    }
}

#[test]
fn a_day_has_thirty_six_files_and_no_more() {
    let content = small(&[(1, 2, 1_000_000)]);
    let modifiers = |earlier| {
        let parts = files(&content, earlier)?;
        Ok(parts.iter().map(FilePart::modifier).collect::<String>())
    };
    assert_eq!(modifiers(0).as_deref(), Ok("AB"));
    assert_eq!(modifiers(25).as_deref(), Ok("Z0"));
    assert_eq!(modifiers(34).as_deref(), Ok("89"));
    for earlier in [35, 36, 1_000, usize::MAX] {
        assert_eq!(modifiers(earlier), Err(Unfit::TooManyFiles { needed: 2, earlier }));
    }
}

#[test]
fn two_legs_with_one_identification_number_are_refused() {
    let mut content = small(&[(1, 2, 1_000_000), (3, 2, 1_000_000)]);
    let key = content.legs[0].key.clone();
    Arc::make_mut(&mut content.legs)[1].key = key.clone();
    let same = Unfit::SameId { first: key.clone(), second: key };
    assert_eq!(files(&content, 0), Err(same));
}

#[test]
fn identification_numbers_are_for_ever_and_differ() {
    assert_eq!(rail_id("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"), "ODZTOSPY42AWIN6");
    let ids: BTreeSet<String> = (0..100_000).map(|n| rail_id(&n.to_string())).collect();
    assert_eq!(ids.len(), 100_000);
    assert!(ids.iter().all(|id| is_rail_id(id)));
}

#[test]
fn legs_and_accounts_that_cannot_be_carried_are_refused_with_the_reason() {
    let good = small(&[(1, 2, 1_000_000)]);
    let refused = |change: &dyn Fn(&mut OpenBatch)| {
        let mut content = good.clone();
        change(&mut content);
        let why = files(&content, 0).unwrap_err();
        let refusal = super::super::super::check_batch(&content).unwrap_err();
        assert!(matches!(refusal, Refusal::RailUnfit { rail: "nacha", .. }));
        assert!(refusal.to_string().contains(&why.to_string()));
        why
    };
    assert_eq!(super::super::super::check_batch(&good), Ok(()));
    let pair = refused(&|c| Arc::make_mut(&mut c.legs)[0].payment.to = party(2));
    assert!(matches!(pair, Unfit::Pair { .. }), "{pair}");
    for key in ["", "A*B", "A\\B", "A B", "Ä", &"A".repeat(36)] {
        let bad = refused(&|c| Arc::make_mut(&mut c.legs)[0].key = key.into());
        assert!(matches!(bad, Unfit::Key { .. }), "{bad}");
    }
    for amount in [0, 1, 10_001, 100_000_000_000_000] {
        let bad = refused(&|c| Arc::make_mut(&mut c.legs)[0].payment.amount = Total(amount));
        assert!(matches!(bad, Unfit::Amount { .. }), "{bad}");
    }
    let unchecked = refused(&|c| {
        let account = Arc::make_mut(&mut c.accounts).get_mut(&party(1)).unwrap();
        account.fields = vec![("account".into(), "12 34".into()), ("routing".into(), routing(1))];
    });
    assert_eq!(unchecked, Unfit::AccountUnchecked { party: party(1) });
    let opaque = refused(&|c| {
        let account = Arc::make_mut(&mut c.accounts).get_mut(&party(2)).unwrap();
        account.fields = vec![("iban".into(), "DE89370400440532013000".into())];
    });
    assert!(matches!(opaque, Unfit::Account { .. }) && !opaque.to_string().contains("DE89"));
    let clearing = refused(&|c| {
        Arc::make_mut(&mut c.head).policy.clearing.remove(0);
    });
    assert!(matches!(clearing, Unfit::Clearing(_)), "{clearing}");
}

#[test]
fn a_party_that_pays_in_needs_an_account() {
    let content = small(&[(1, 2, 1_000_000)]);
    let policy = &content.head.policy;
    let owed = Obligation { payer: party(1), payee: party(2), amount: Total(1_000_000) };
    let window = window(&asset(6), CUT_AT, [owed].into_iter());
    let known = |id: PartyId| (id == party(2)).then(|| account(id, "Two"));
    let error = compute(&[window], &asset(6), policy, known, |_| Total::ZERO).unwrap_err();
    assert!(matches!(error, Refusal::AccountsMissing { rail: "nacha", count: 1, .. }), "{error}");
    assert_eq!(content.head.policy.rail, Rail::Nacha);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_files_move_exactly_what_the_batch_says(
        owed in prop::collection::vec((0u16..40, 0u16..40, 1u128..=u128::from(u64::MAX)), 1..60),
        scale in 0u32..=18,
        same_day: bool,
        file_legs in 1usize..40,
        batch_legs in 1usize..40,
        name in "\\PC{0,40}",
    ) {
        let asset = asset(scale);
        let clearing = clearing(same_day);
        let most = policy(&asset, &clearing).unwrap().most.0;
        // At most a few parts a payment and 36 files, so that a case stays small.
        let owed: Vec<_> = owed
            .into_iter()
            .filter(|(payer, payee, _)| payer != payee)
            .map(|(payer, payee, amount)| (payer, payee, 1 + amount % most.saturating_mul(2)))
            .collect();
        let mut net: BTreeMap<u16, i128> = BTreeMap::new();
        for &(from, to, amount) in &owed {
            let amount = i128::try_from(amount).unwrap();
            *net.entry(from).or_default() -= amount;
            *net.entry(to).or_default() += amount;
        }
        prop_assume!(net.values().any(|&net| net != 0));
        let content = batch(&asset, &clearing, CUT_AT, &owed, &|_| name.clone());
        let file_legs = file_legs.max(content.legs.len() / 30 + 1);
        let limits = Limits { file_legs, batch_legs, ..LIMITS };
        let files = assert_sound(&content, &limits);
        let credits = |file: &&slicer::File| !file.entries().next().unwrap().is_debit();
        let moved = |of: &dyn Fn(&&slicer::File) -> bool| -> u128 {
            let files = files.iter().filter(of);
            files.flat_map(|f| f.entries()).filter(|e| e.is_debit()).map(|e| e.cents).sum()
        };
        let paid_out = moved(&credits);
        let paid_in = moved(&|file| !credits(file));
        prop_assert_eq!(paid_out, cents_of(&content, content.head.total));
        prop_assert_eq!(paid_in, cents_of(&content, content.head.pay_in_total));
        let due: i128 = net.values().filter(|&&net| net > 0).sum();
        prop_assert_eq!(content.head.total.0 + content.head.carried.0, due.unsigned_abs());
    }
}
