//! Two thousand legs through a provider that fails in every way at once.

use crate::driver::{Ended, State, drive, moved, note};
use crate::world::{
    Party, WEBHOOK_SECRET, batch, calls, client, impatient, now, options, party, until,
};
use std::collections::{BTreeMap, BTreeSet};
use tallystick::limits::WEBHOOK_AGE_MAX;
use tallystick::rails::card::{CallBytes, Found, Meaning, Says, Secret, verify};
use tallystick_tests::psp::{Fault, FaultOptions, Inbox, Movement, Psp};

const LEGS: u16 = 2_000;

/// How a leg must end: what the tokens of its party make of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Paid,
    Refused,
}

/// One party, and how its leg must end.
fn party_of(number: u16) -> (Party, End) {
    let cents = 100 + i64::from(number) * 7;
    if number.is_multiple_of(2) {
        let (method, end) = match number % 20 {
            0 => ("pm_declined_insufficient_funds_", End::Refused),
            2 => ("pm_processing_", End::Paid),
            4 if number % 100 == 4 => ("pm_processing_fails_", End::Refused),
            6 if number % 100 == 6 => ("pm_auth_", End::Refused),
            _ => ("pm_card_", End::Paid),
        };
        let method = format!("{method}{number}");
        // Several parties are one customer, so that lists are of more than one leg.
        let customer = format!("cus_c{}", number % 301);
        let fields = [("customer", &*customer), ("payment_method", &*method)];
        return (party(number, &fields, cents), end);
    }
    let (payout, end) = match number % 20 {
        1 => ("card_", End::Paid),
        3 if number % 100 == 3 => ("card_fails_", End::Refused),
        5 if number % 100 == 5 => ("acct_closed_", End::Refused),
        _ => ("acct_", End::Paid),
    };
    (party(number, &[("payout", &format!("{payout}p{number}"))], -cents), end)
}

fn legs() -> (Vec<CallBytes>, BTreeMap<String, End>) {
    let (parties, ends): (Vec<_>, Vec<_>) = (1..=LEGS).map(party_of).unzip();
    let calls = calls(&batch(&parties));
    let ends = calls.iter().map(|call| call.leg_key().to_owned()).zip(ends).collect();
    (calls, ends)
}

/// Applies every delivery to the legs, in that order.
fn applied(
    mut legs: BTreeMap<String, State>,
    references: &BTreeMap<String, String>,
    deliveries: &[tallystick_tests::psp::Delivery],
) -> BTreeMap<String, State> {
    let secret = Secret::new(WEBHOOK_SECRET.into());
    for delivery in deliveries {
        let event = verify(&delivery.payload, &delivery.signature, &secret, now(), WEBHOOK_AGE_MAX)
            .unwrap();
        if let Meaning::Report(report) = event.meaning
            && let Says::Word { word, reason, .. } = &report.says
        {
            let key = report.key.as_ref().or_else(|| references.get(&report.payment));
            let state = key.and_then(|key| legs.get_mut(key));
            let state = state.expect("an event of a leg that was sent");
            *state = moved(state, *word, reason);
        }
    }
    legs
}

fn assert_books(movements: &[Movement], calls: &[CallBytes], legs: &BTreeMap<String, State>) {
    let mut of_leg: BTreeMap<&str, Vec<&Movement>> = BTreeMap::new();
    for movement in movements {
        of_leg.entry(&movement.leg_key).or_default().push(movement);
    }
    let (mut total, mut booked) = (0, 0);
    for call in calls {
        let moved = of_leg.remove(call.leg_key()).unwrap_or_default();
        match &legs[call.leg_key()] {
            State::Confirmed => {
                assert_eq!(moved.len(), 1, "a confirmed leg was executed once");
                assert_eq!(moved[0].idempotency_key_or(call.key()), call.key());
                let text = String::from_utf8(call.as_bytes().to_vec()).unwrap();
                assert!(text.contains(&format!("amount={}&", moved[0].amount)), "{text}");
                assert!(text.contains(&moved[0].party), "{text}");
                assert_eq!(moved[0].currency, "eur");
                booked += moved[0].amount;
                let amount = text.split("amount=").nth(1).unwrap().split('&').next().unwrap();
                total += amount.parse::<u64>().unwrap();
            }
            State::Rejected(_) => assert_eq!(moved.len(), 0, "a rejected leg moved nothing"),
            state @ (State::Accepted | State::Returned) => panic!("a leg ends as {state:?}"),
        }
    }
    assert!(of_leg.is_empty(), "money moved for legs that nobody sent: {of_leg:?}");
    assert_eq!(total, booked);
}

trait KeyOr {
    fn idempotency_key_or<'a>(&'a self, other: &'a str) -> &'a str;
}

impl KeyOr for Movement {
    /// Payouts are booked when they arrive, which no call does: they carry no key.
    fn idempotency_key_or<'a>(&'a self, other: &'a str) -> &'a str {
        if self.idempotency_key.is_empty() { other } else { &self.idempotency_key }
    }
}

/// No token or secret is in anything that an answer said.
fn assert_discreet(ended: &Ended) {
    let kinds: BTreeSet<&str> = ended.reasons.iter().map(String::as_str).collect();
    for reason in kinds {
        for secret in ["sk_test", "cus_c", "pm_card_", "pm_declined", "acct_p", "whsec"] {
            assert!(!reason.contains(secret), "{reason}");
        }
    }
}

#[test]
fn two_thousand_legs_end_once_each_and_the_books_agree_whatever_fails() {
    let inbox = Inbox::start(50).unwrap();
    let mut options = options();
    // Slow answers cost a timeout each; everything else is cheap.
    let share = |fault: Fault| match fault {
        Fault::SlowBefore | Fault::SlowAfter => 10,
        Fault::DropBefore
        | Fault::RateLimit
        | Fault::Unavailable
        | Fault::DropAfter
        | Fault::ErrorAfter
        | Fault::GatewayAfter
        | Fault::BreakAfter
        | Fault::Twice => 40,
    };
    options.faults.per_mille = Fault::ALL.into_iter().map(|fault| (fault, share(fault))).collect();
    options.faults.seed = 20_261_125;
    options.faults.slow_millis = 1_000;
    options.hooks.url = Some(inbox.url());
    options.hooks.twice_per_mille = 300;
    options.hooks.delay_millis = 300;
    let psp = Psp::start(options).unwrap();

    let (calls, ends) = legs();
    let ended = drive(&impatient(&psp), calls.clone());
    assert_eq!(ended.legs.len(), usize::from(LEGS));
    assert!(ended.sent > u64::from(LEGS) && ended.looked > 0);
    let happened: Vec<Fault> = psp.fault_counts().into_iter().map(|(fault, _)| fault).collect();
    assert_eq!(
        happened,
        Fault::ALL.into_iter().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    );

    psp.settle();
    until("all events were taken", || psp.undelivered() == 0);
    let deliveries = inbox.deliveries();
    let different: BTreeSet<&[u8]> = deliveries.iter().map(|d| &d.payload[..]).collect();
    assert!(deliveries.len() > different.len(), "some came twice");
    let legs = applied(ended.legs.clone(), &ended.references, &deliveries);
    // In the opposite order they say the same.
    let backwards: Vec<_> = deliveries.iter().rev().cloned().collect();
    assert_eq!(applied(ended.legs.clone(), &ended.references, &backwards), legs);

    // What was declined late was told as something to ask about, and is given up by asking.
    psp.set_faults(FaultOptions::default());
    let (client, mut ended) = (client(&psp), Ended { legs, ..ended });
    for call in &calls {
        if ended.legs[call.leg_key()] != State::Accepted {
            continue;
        }
        let Found::Leg(answer) = client.lookup(call, "", now()) else { panic!("it is there") };
        assert!(note(&mut ended, call, &answer), "{answer:?}");
    }
    let legs = ended.legs.clone();
    for (key, end) in &ends {
        let paid = legs[key] == State::Confirmed;
        assert_eq!(paid, *end == End::Paid, "{key}: {:?}", legs[key]);
    }
    assert_books(&psp.movements(), &calls, &legs);
    assert_discreet(&ended);
}
