//! The bytes of calls.

use super::super::object::Kind;
use super::*;
use crate::tests::window;
use proptest::prelude::*;
use std::convert::Infallible;
use tallystick_ledger::Obligation;

/// `TALLYSTICK_GOLDEN=write` writes the golden files anew: read the difference before you commit
/// it.
fn assert_golden(name: &str, bytes: &[u8]) {
    let path = format!("{}/src/card/golden/{name}.call", env!("CARGO_MANIFEST_DIR"));
    if std::env::var("TALLYSTICK_GOLDEN").as_deref() == Ok("write") {
        std::fs::write(&path, bytes).unwrap();
    }
    let kept = std::fs::read(&path).unwrap_or_default();
    let text = String::from_utf8_lossy(bytes);
    assert!(kept == bytes, "{path} differs from what is made now:\n{text}");
}

#[test]
fn the_bytes_of_every_kind_of_call_are_the_golden_ones() {
    assert_golden("payment_intent", charge().as_bytes());
    assert_golden("transfer", transfer().as_bytes());
    assert_golden("payout", payout().as_bytes());
    assert_golden("refund", giving_back().as_bytes());
}

#[test]
fn the_body_is_what_any_reader_of_forms_reads() {
    let body = String::from_utf8(charge().body().to_vec()).unwrap();
    let of = |name: &str| {
        let mut pairs = body.split('&').map(|pair| pair.split_once('=').unwrap());
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
    };
    let long = format!("Tallystick+batch+{}+leg+{KEY}", "ab".repeat(8));
    for (name, value) in [
        ("amount", "1234"),
        ("currency", "eur"),
        ("confirm", "true"),
        ("off_session", "true"),
        ("customer", "cus_1A"),
        ("payment_method", "pm_1B"),
        ("payment_method_types%5B0%5D", "card"),
        ("metadata%5Bleg_key%5D", KEY),
        ("metadata%5Bbatch%5D", &"ab".repeat(32)),
        ("description", &long),
    ] {
        assert_eq!(of(name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(charge().key(), KEY);
}

#[test]
fn a_refund_has_a_key_of_its_own_and_finds_its_leg() {
    let call = giving_back();
    assert_eq!(call.key(), format!("{KEY}-refund"));
    assert_eq!(call.leg_key(), KEY);
    assert_eq!((call.amount(), call.currency()), (Some(1234), Some("eur")));
    let out = leg(PartyId::CLEARING, party(2), 12_340_000);
    let error = refund(&out, &content(vec![]), "pi_1", API_VERSION).unwrap_err();
    assert_eq!(error, Inexpressible::NotThroughClearing);
}

#[test]
fn a_leg_that_cannot_leave_says_why() {
    let refused = |from, to, units| {
        let leg = leg(from, to, units);
        request(&leg, &content(vec![leg.clone()]), API_VERSION).unwrap_err()
    };
    let clearing = PartyId::CLEARING;
    let (four, nine) = (party(4), party(9));
    let error = refused(four, clearing, 1_000_000);
    assert_eq!(error, Inexpressible::NoToken { party: four, field: "customer" });
    let error = refused(clearing, party(1), 1_000_000);
    assert_eq!(error, Inexpressible::NoToken { party: party(1), field: "payout" });
    assert_eq!(refused(nine, clearing, 1_000_000), Inexpressible::NoAccount(nine));
    assert_eq!(refused(clearing, nine, 1_000_000), Inexpressible::NoAccount(nine));
    for units in [0, 1, 10_001, u128::MAX] {
        assert_eq!(refused(party(1), clearing, units), Inexpressible::Amount(Total(units)));
    }
    for (from, to) in [(party(1), party(2)), (clearing, clearing)] {
        assert_eq!(refused(from, to, 1_000_000), Inexpressible::NotThroughClearing);
    }
}

#[test]
fn a_batch_whose_parties_lack_tokens_names_them_before_it_is_kept() {
    let clearing = PartyId::CLEARING;
    let good = [leg(party(1), clearing, 1_000_000), leg(clearing, party(2), 1_000_000)];
    assert_eq!(check_batch(&content(good.to_vec())), Ok(()));
    for (from, to, lacking) in [
        (party(4), clearing, party(4)),
        (clearing, party(1), party(1)),
        (party(9), clearing, party(9)),
        (clearing, party(9), party(9)),
    ] {
        let legs = [&good[..], &[leg(from, to, 1_000_000)]].concat();
        let error = check_batch(&content(legs)).unwrap_err().to_string();
        assert!(error.contains(&lacking.to_string()) && error.contains("1 part"), "{error}");
    }
}

#[test]
fn a_batch_needs_the_accounts_of_debtors_too_because_the_rail_collects() {
    let owed = Obligation { payer: party(1), payee: party(2), amount: Total(5_000_001) };
    let window = window(&asset(), CUT_AT, [owed].into_iter());
    let policy = policy(&asset(), &[("account".into(), "acct_c".into())]).unwrap();
    let compute = |known: &[u8]| {
        let account = |id| {
            let known = known.iter().any(|number| party(*number) == id);
            known.then(|| accounts()[&id].clone())
        };
        crate::opened::compute(std::slice::from_ref(&window), &asset(), &policy, account, |_| {
            Total::ZERO
        })
    };
    let content = compute(&[1, 2]).unwrap();
    assert_eq!(check_batch(&content), Ok(()));
    let amounts: Vec<_> = content.legs.iter().map(|leg| leg.payment.amount).collect();
    assert_eq!(amounts, [Total(5_000_000), Total(5_000_000)]);
    for (known, missing) in [([1], party(2)), ([2], party(1))] {
        let error = compute(&known).unwrap_err().to_string();
        assert!(error.contains(&missing.to_string()), "{error}");
    }
}

#[test]
fn a_batch_is_exported_as_csv_and_json_without_a_file_for_a_bank() {
    let leg = leg(party(1), PartyId::CLEARING, 12_340_000);
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let Ok(()) = crate::export(&content(vec![leg]), &mut |name, piece: &[u8]| {
        files.entry(name.into()).or_default().extend_from_slice(piece);
        Ok::<(), Infallible>(())
    });
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(names, ["abababababababab.legs.csv", "abababababababab.legs.json"]);
    let text = String::from_utf8_lossy(&files[names[0]]).into_owned();
    assert!(text.contains(",pay_in,0,12340000,12.34,EUR,"), "{text}");
}

#[test]
fn journaled_bytes_are_read_back_and_others_are_not() {
    for call in [charge(), transfer(), payout(), giving_back()] {
        assert_eq!(CallBytes::from_bytes(call.as_bytes().to_vec()), Ok(call.clone()));
        let text = String::from_utf8(call.as_bytes().to_vec()).unwrap();
        for (part, other) in [
            ("card call 1", "card call 2"),
            ("POST /v1/", "POST /v2/"),
            ("POST ", "GET "),
            ("Idempotency-Key: ", "Idempotency-Key: \u{1}"),
            ("Idempotency-Key: ", "X-Key: "),
            ("urlencoded", "urlencoded; charset=utf-8"),
            ("amount=1234", "amount=-1"),
            ("%5Bleg_key%5D", "%5Bkey%5D"),
            ("%5Bleg_key%5D", "[leg_key]"),
            ("\n\n", "\nAuthorization: Bearer x\n\n"),
            ("\n\n", "\n"),
        ] {
            assert!(text.contains(part), "{part:?}");
            let bytes = text.replacen(part, other, 1).into_bytes();
            let length = bytes.len();
            let error = CallBytes::from_bytes(bytes).unwrap_err();
            assert_eq!(error.bytes, length, "{part:?}");
        }
        let long = format!("{text}{}", "a".repeat(9_000)).into_bytes();
        assert_eq!(CallBytes::from_bytes(long).unwrap_err().what, "they are too many");
    }
}

#[test]
fn a_lookup_asks_for_the_party_since_the_leg_was_sent() {
    let at = Timestamp(1_795_822_245_000_000);
    assert_eq!(
        charge().list_path(at, None),
        "/v1/payment_intents?created%5Bgte%5D=1795818645&customer=cus_1A\
         &expand%5B%5D=data.latest_charge&limit=100"
    );
    assert_eq!(
        transfer().list_path(at, Some("tr_9")),
        format!("/v1/transfers?transfer_group={KEY}&limit=100&starting_after=tr_9")
    );
    assert_eq!(
        payout().list_path(at, None),
        "/v1/payouts?created%5Bgte%5D=1795818645&destination=card_3A&limit=100"
    );
    assert_eq!(
        giving_back().list_path(Timestamp(0), None),
        "/v1/refunds?payment_intent=pi_3MtwBw&limit=100"
    );
    assert!(charge().list_path(Timestamp(i64::MIN), None).contains("=0&"));
    assert_eq!(charge().read_path("pi_1"), "/v1/payment_intents/pi_1?expand%5B%5D=latest_charge");
    assert_eq!(payout().read_path("po_1"), "/v1/payouts/po_1");
    assert_eq!(Kind::ALL.map(Kind::name).len(), 4);
}

proptest! {
    #[test]
    fn any_bytes_are_a_call_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = CallBytes::from_bytes(bytes);
    }

    #[test]
    fn a_damaged_call_is_refused_or_is_what_it_says(at in 0usize..400, byte in any::<u8>()) {
        let mut bytes = charge().as_bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(call) = CallBytes::from_bytes(bytes.clone()) {
            prop_assert_eq!(call.as_bytes(), &bytes[..]);
            prop_assert!(call.amount().is_some());
        }
    }
}
