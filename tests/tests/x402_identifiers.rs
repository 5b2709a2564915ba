//! Payment identifiers: one payment each, whatever is repeated, lost, killed or started again, and
//! an answer to what became of it.

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use tallystick_tests::bank::until;
use tallystick_tests::page::Page;
use tallystick_tests::x402::{Facilitator, House, pay};
use tallystick_tests::{Launch, Voucher};

fn identified(asks: &Facilitator, voucher: &Voucher, amount: u64, id: &str) -> String {
    let mut request = asks.request(voucher, amount);
    request["paymentPayload"]["extensions"] =
        json!({"payment-identifier": {"info": {"required": false, "id": id}, "schema": {}}});
    request.to_string()
}

async fn settle(asks: &Facilitator, voucher: &Voucher, amount: u64, id: &str) -> (u16, Value) {
    asks.post("/settle", identified(asks, voucher, amount, id)).await
}

async fn verify(asks: &Facilitator, voucher: &Voucher, amount: u64, id: &str) -> (u16, Value) {
    asks.post("/verify", identified(asks, voucher, amount, id)).await
}

async fn state(asks: &Facilitator, id: &str) -> Value {
    asks.get(&format!("/status/{id}")).await.1
}

const ONE: &str = "pay_0123456789abcdef";
const TWO: &str = "pay_fedcba9876543210";

#[tokio::test]
async fn the_same_identifier_and_payment_have_the_stored_answer_also_after_a_kill() {
    let mut house = House::new().await;
    let mut asks = house.facilitator();
    let voucher = pay(&house.world, 1, 40);
    assert_eq!(state(&asks, ONE).await, json!({"state": "not_seen"}));
    let (status, first) = settle(&asks, &voucher, 40, ONE).await;
    assert_eq!((status, &first["success"]), (200, &json!(true)), "{first}");
    for round in 0..3 {
        let (status, again) = settle(&asks, &voucher, 40, ONE).await;
        assert_eq!((status, &again["success"]), (200, &json!(true)), "{again}");
        for name in ["transaction", "amount", "payer"] {
            assert_eq!(again[name], first[name]);
        }
        assert_eq!(again["extra"]["receipt"]["lsn"], first["extra"]["receipt"]["lsn"]);
        assert_eq!(again["extra"]["charged"], "40");
        assert_eq!(verify(&asks, &voucher, 40, ONE).await.1["isValid"], true);
        let said = state(&asks, ONE).await;
        assert_eq!(
            (&said["state"], &said["transaction"]),
            (&json!("settled"), &first["transaction"])
        );
        assert_eq!(said["receipt"]["voucher"], HEXLOWER.encode(&voucher.pack()));
        // Another payment under it, and this one under another.
        for (other, amount) in [(pay(&house.world, 1, 41), 1), (pay(&house.world, 2, 40), 40)] {
            let (status, said) = settle(&asks, &other, amount, ONE).await;
            assert_eq!((status, &said["errorReason"]), (409, &json!("identifier_reused")));
            let (status, said) = verify(&asks, &other, amount, ONE).await;
            assert_eq!((status, &said["invalidReason"]), (409, &json!("identifier_reused")));
        }
        let (status, said) = settle(&asks, &voucher, 40, TWO).await;
        assert_eq!((status, &said["errorReason"]), (200, &json!("stale_voucher")));
        if round == 0 {
            house = house.killed().await;
        } else if round == 1 {
            // The channel goes on, and what was written of the first payment stands.
            asks.paid(&pay(&house.world, 1, 50), 10).await;
            let next = settle(&asks, &pay(&house.world, 1, 51), 1, TWO).await.1;
            assert_eq!(next["success"], true, "{next}");
            house = house.killed().await;
            break;
        }
        asks = house.facilitator();
    }
    asks = house.facilitator();
    assert_eq!(state(&asks, ONE).await["state"], "settled");
    assert_eq!(settle(&asks, &voucher, 40, ONE).await.1["success"], true);
    assert_eq!(house.owed().await, 51);
}

#[tokio::test]
async fn what_was_refused_frees_its_identifier() {
    let mut house = House::new().await;
    let asks = house.facilitator();
    let (_, said) = settle(&asks, &pay(&house.world, 1, 40), 39, ONE).await;
    assert_eq!(said["errorReason"], "wrong_amount");
    assert_eq!(state(&asks, ONE).await["state"], "not_seen");
    let again = said["extra"]["expected"].as_str().unwrap().parse().unwrap();
    let (status, said) = settle(&asks, &pay(&house.world, 1, again), 39, ONE).await;
    assert_eq!((status, &said["success"]), (200, &json!(true)), "{said}");
    assert_eq!(state(&asks, ONE).await["state"], "settled");
    for id in ["short", "with space in it 1234", &"x".repeat(129)] {
        let (_, said) = settle(&asks, &pay(&house.world, 2, 5), 5, id).await;
        assert_eq!(said["errorReason"], "invalid_payload", "{id}");
    }
    assert_eq!(house.owed().await, 39);
}

/// Repeats that come at once join the first.
#[tokio::test]
async fn repeats_at_once_are_one_payment() {
    let mut house = House::new().await;
    let asks = house.facilitator();
    for round in 0..5u64 {
        let id = format!("{ONE}_{round}");
        let all = (0..16u64).map(|n| {
            let (asks, id) = (asks.clone(), id.clone());
            // One in four brings something else under it.
            let voucher = pay(&house.world, 100 * round + n / 12, 7);
            tokio::spawn(async move { (n / 12, settle(&asks, &voucher, 7, &id).await) })
        });
        let (mut paid, mut refused) = ([0, 0], [0, 0]);
        for one in all.collect::<Vec<_>>() {
            let (which, (status, said)) = one.await.unwrap();
            let which = usize::try_from(which).unwrap();
            match status {
                200 if said["success"] == true => paid[which] += 1,
                409 => refused[which] += 1,
                _ => panic!("{status} {said}"),
            }
        }
        assert!((paid, refused) == ([12, 0], [0, 4]) || (paid, refused) == ([0, 4], [12, 0]));
    }
    assert_eq!(house.owed().await, 5 * 7);
}

/// Taken in by nobody, it has an end: else it would be looked for until the next start.
#[tokio::test]
async fn what_there_was_no_room_for_is_over_and_its_identifier_is_free() {
    let dir = tempfile::tempdir().unwrap();
    let full = |launch: Launch| launch.fault("TALLYSTICK_FAULT_DISK", "claim-written:1");
    let mut house = House::at(dir, full).await;
    let asks = house.facilitator();
    let voucher = pay(&house.world, 1, 40);
    let (status, said) = settle(&asks, &voucher, 40, ONE).await;
    assert_eq!((status, &said["errorReason"]), (503, &json!("try_again")), "{said}");
    assert_eq!(state(&asks, ONE).await["state"], "not_seen");
    assert_eq!(page(&house).await.count("tallystick_payment_claims_open"), 0);
    // Something else may be brought under it, and this under another.
    assert_eq!(settle(&asks, &pay(&house.world, 2, 7), 7, ONE).await.1["success"], true);
    assert_eq!(settle(&asks, &voucher, 40, TWO).await.1["success"], true);
    house = house.killed().await;
    let asks = house.facilitator();
    for (id, total) in [(ONE, ":7"), (TWO, ":40")] {
        let said = state(&asks, id).await;
        assert!(said["transaction"].as_str().unwrap().ends_with(total), "{said}");
    }
    assert_eq!(house.owed().await, 47);
}

/// What came of payments is on the page of metrics, each once.
#[tokio::test]
async fn payments_are_counted_by_what_came_of_them() {
    let house = House::new().await;
    let asks = house.facilitator();
    let voucher = pay(&house.world, 1, 40);
    assert_eq!(verify(&asks, &voucher, 40, ONE).await.1["isValid"], true);
    assert_eq!(settle(&asks, &voucher, 40, ONE).await.1["success"], true);
    for _ in 0..2 {
        assert_eq!(settle(&asks, &voucher, 40, ONE).await.1["success"], true);
    }
    assert_eq!(verify(&asks, &voucher, 40, ONE).await.1["isValid"], true);
    assert_eq!(settle(&asks, &voucher, 40, TWO).await.1["errorReason"], "stale_voucher");
    assert_eq!(settle(&asks, &pay(&house.world, 2, 3), 3, ONE).await.0, 409);
    assert_eq!(verify(&asks, &pay(&house.world, 3, 9), 8, TWO).await.1["isValid"], false);
    asks.post("/settle", "{}".to_owned()).await;
    // The end of a charge is written behind its answer.
    let ended = async || {
        let page = page(&house).await;
        (page.count("tallystick_payment_claims_open") == 0).then_some(page)
    };
    let page = until("every claim has an end", ended).await;
    let count = |call: &str, result: &str| {
        let labels = format!("{{call=\"{call}\",result=\"{result}\"}}");
        page.count(&format!("tallystick_payments_total{labels}"))
    };
    let results = ["made", "repeated", "stale_voucher", "identifier_reused", "wrong_amount"];
    assert_eq!(results.map(|result| count("settle", result)), [1, 2, 1, 1, 0]);
    let results = ["good", "repeated", "stale_voucher", "identifier_reused", "wrong_amount"];
    assert_eq!(results.map(|result| count("verify", result)), [1, 1, 0, 0, 1]);
    assert_eq!(page.count("tallystick_payment_seconds_count{call=\"verify\"}"), 3);
    assert_eq!(page.count("tallystick_payment_seconds_count{call=\"settle\"}"), 6);
    assert_eq!(page.count("tallystick_payment_joins"), 0);
}

async fn page(house: &House) -> Page {
    let address = house.engine.http().expect("it serves HTTP").to_owned();
    tokio::task::spawn_blocking(move || Page::of(&address)).await.unwrap()
}

/// A house whose engine kills itself at the first passage of a point, with the payment that led it
/// there: nobody had an answer.
async fn killed_at(point: &str) -> (House, Voucher) {
    let dir = tempfile::tempdir().unwrap();
    let house =
        House::at(dir, |launch| launch.fault("TALLYSTICK_FAULT", &format!("{point}:1"))).await;
    let asks = house.facilitator();
    let voucher = pay(&house.world, 1, 40);
    let body = identified(&asks, &voucher, 40, ONE);
    assert_eq!(asks.try_post("/settle", body).await, None);
    (house.killed().await, voucher)
}

/// Killed between the claim and the charge: nothing was charged, and whoever brings the voucher
/// first is charged, once.
#[tokio::test]
async fn killed_between_claim_and_charge_it_was_not_charged() {
    for first in [ONE, TWO] {
        let (mut house, voucher) = killed_at("claim-written").await;
        for restart in [false, true] {
            if restart {
                house = house.killed().await;
            }
            assert_eq!(state(&house.facilitator(), ONE).await["state"], "not_seen");
        }
        let asks = house.facilitator();
        assert_eq!(verify(&asks, &voucher, 40, ONE).await.1["isValid"], true);
        assert_eq!(settle(&asks, &voucher, 40, first).await.1["success"], true);
        let other = if first == ONE { TWO } else { ONE };
        assert_eq!(settle(&asks, &voucher, 40, other).await.1["errorReason"], "stale_voucher");
        for restart in [false, true] {
            if restart {
                house = house.killed().await;
            }
            let asks = house.facilitator();
            assert_eq!(state(&asks, first).await["state"], "settled");
            assert_eq!(state(&asks, other).await["state"], "not_seen");
            assert_eq!(settle(&asks, &voucher, 40, first).await.1["success"], true);
            let (_, said) = settle(&asks, &voucher, 40, other).await;
            assert_eq!(said["errorReason"], "stale_voucher");
        }
        assert_eq!(house.owed().await, 40);
    }
}

/// Killed between the charge and its end: it was charged, and each one is told so, also when the
/// channel has gone on.
#[tokio::test]
async fn killed_between_charge_and_its_end_it_was_charged() {
    let (mut house, voucher) = killed_at("claim-decided").await;
    let mut receipt = None;
    for round in 0..3 {
        let asks = house.facilitator();
        let said = state(&asks, ONE).await;
        assert_eq!(said["state"], "settled", "{said}");
        let lsn = said["receipt"]["lsn"].as_u64();
        assert_eq!(*receipt.get_or_insert(lsn), lsn);
        assert_eq!(verify(&asks, &voucher, 40, ONE).await.1["isValid"], true);
        let again = settle(&asks, &voucher, 40, ONE).await.1;
        assert_eq!(
            (&again["success"], again["extra"]["receipt"]["lsn"].as_u64()),
            (&json!(true), lsn)
        );
        assert_eq!(settle(&asks, &voucher, 40, TWO).await.1["errorReason"], "stale_voucher");
        if round == 1 {
            let next = settle(&asks, &pay(&house.world, 1, 50), 10, TWO).await.1;
            assert_eq!(next["success"], true, "{next}");
            let (status, said) = settle(&asks, &pay(&house.world, 1, 60), 10, ONE).await;
            assert_eq!((status, &said["errorReason"]), (409, &json!("identifier_reused")));
            break;
        }
        house = house.killed().await;
    }
    assert_eq!(house.owed().await, 50);
}

/// Killed again and again while payments are made: each identifier is answered, and was paid for
/// once.
#[tokio::test]
async fn whatever_is_killed_each_identifier_is_paid_once_and_answered() {
    let mut house = House::new().await;
    let (mut total, lanes) = (0, 8u64);
    let mut totals = [0u64; 8];
    for round in 0..4 {
        let asks = house.facilitator();
        let running: Vec<_> = (0..lanes)
            .map(|lane| {
                let (asks, world) = (asks.clone(), house.world.clone());
                let from = totals[usize::try_from(lane).unwrap()];
                tokio::spawn(async move {
                    for n in 1..=200u64 {
                        let id = format!("{ONE}_{round}_{lane}_{n}");
                        let body = identified(&asks, &pay(&world, lane, from + n * 3), 3, &id);
                        // Until the engine is gone.
                        let Some((status, said)) = asks.try_post("/settle", body).await else {
                            return n;
                        };
                        assert_eq!((status, &said["success"]), (200, &json!(true)), "{said}");
                    }
                    201
                })
            })
            .collect();
        // When some were made, and others are under way.
        let seen = format!("{ONE}_{round}_0_{}", 5 + round * 3);
        while state(&asks, &seen).await["state"] != "settled" {}
        house = house.killed().await;
        let asks = house.facilitator();
        for (lane, running) in (0..lanes).zip(running) {
            let (reached, from) = (running.await.unwrap(), totals[usize::try_from(lane).unwrap()]);
            for n in 1..reached {
                let id = format!("{ONE}_{round}_{lane}_{n}");
                assert_eq!(state(&asks, &id).await["state"], "settled", "{id}");
            }
            // The one whose answer was lost: it is told what became of it, and sent again it is
            // made once.
            let id = format!("{ONE}_{round}_{lane}_{reached}");
            let voucher = pay(&house.world, lane, from + reached * 3);
            let said = state(&asks, &id).await;
            assert!(["settled", "not_seen"].contains(&said["state"].as_str().unwrap()), "{said}");
            let (_, said) = settle(&asks, &voucher, 3, &id).await;
            assert_eq!(said["success"], true, "{said}");
            totals[usize::try_from(lane).unwrap()] = from + reached * 3;
            total += reached * 3;
        }
    }
    assert_eq!(house.owed().await, total);
}
