//! The test double of a payment provider, by plain HTTP: what the tests of the card rail lean on
//! must itself hold.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tallystick_tests::psp::{Fault, Options, Psp};

const SECRET: &str = "sk_test_double";
const CHARGE: &str = "amount=1234&confirm=true&currency=eur&customer=cus_1A&off_session=true\
                      &payment_method=pm_1B&payment_method_types%5B0%5D=card\
                      &metadata%5Bleg_key%5D=LEG";

struct Answer {
    status: u16,
    replayed: bool,
    retry_after: Option<String>,
    body: Value,
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        .timeout_global(Some(Duration::from_secs(30)))
        .build()
        .into()
}

fn read(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Option<Answer> {
    let mut response = response.ok()?;
    let header = |name| response.headers().get(name).map(|v| v.to_str().unwrap().to_owned());
    let (replayed, retry_after) = (header("idempotent-replayed").is_some(), header("retry-after"));
    let status = response.status().as_u16();
    let text = response.body_mut().read_to_string().ok()?;
    Some(Answer {
        status,
        replayed,
        retry_after,
        body: serde_json::from_str(&text).unwrap_or_default(),
    })
}

/// Posts a form; `None` if no whole answer came.
fn post_as(secret: &str, url: &str, path: &str, key: &str, form: &str) -> Option<Answer> {
    let request = agent().post(format!("{url}{path}"));
    let request = request.header("authorization", format!("Bearer {secret}"));
    let request = if key.is_empty() { request } else { request.header("idempotency-key", key) };
    read(request.content_type("application/x-www-form-urlencoded").send(form))
}

fn post(url: &str, path: &str, key: &str, form: &str) -> Option<Answer> {
    post_as(SECRET, url, path, key, form)
}

fn charge(psp: &Psp, key: &str) -> Answer {
    post(&psp.url(), "/v1/payment_intents", key, CHARGE).expect("an answer")
}

fn get(url: &str, path: &str) -> Option<Answer> {
    let request = agent().get(format!("{url}{path}"));
    read(request.header("authorization", format!("Bearer {SECRET}")).call())
}

#[test]
fn a_key_makes_one_payment_and_without_a_key_every_call_makes_one() {
    let psp = Psp::start(Options::new(SECRET)).unwrap();
    let (first, again) = (charge(&psp, "k1"), charge(&psp, "k1"));
    assert_eq!((first.status, first.replayed), (200, false));
    assert_eq!((again.status, again.replayed), (200, true));
    assert_eq!(first.body, again.body);
    assert_eq!(psp.movements().len(), 1);

    for _ in 0..2 {
        assert_eq!(charge(&psp, "").status, 200);
    }
    assert_eq!(charge(&psp, "k2").status, 200);
    assert_eq!(psp.movements().len(), 4);

    psp.forget_keys();
    assert!(!charge(&psp, "k1").replayed);
    let ids: BTreeSet<String> = psp.movements().into_iter().map(|movement| movement.id).collect();
    assert_eq!(ids.len(), 5);
}

#[test]
fn a_key_with_another_call_is_an_error_and_moves_nothing() {
    let psp = Psp::start(Options::new(SECRET)).unwrap();
    assert_eq!(charge(&psp, "k1").status, 200);
    let more = CHARGE.replace("1234", "1235");
    let other = post(&psp.url(), "/v1/payment_intents", "k1", &more).unwrap();
    assert_eq!((other.status, &other.body["error"]["type"]), (400, &json!("idempotency_error")));
    let transfer = "amount=1234&currency=eur&destination=acct_1";
    let other = post(&psp.url(), "/v1/transfers", "k1", transfer).unwrap();
    assert_eq!(other.status, 400);
    assert_eq!(psp.movements().len(), 1);
}

#[test]
fn a_key_in_use_is_a_conflict_and_the_first_call_goes_on() {
    let mut options = Options::new(SECRET);
    options.faults.slow_millis = 600_000;
    let psp = Psp::start(options).unwrap();
    psp.fail_next(&[Fault::SlowBefore]);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| charge(&psp, "k1"));
        until("the first runs", || psp.running() == 1);
        let second = charge(&psp, "k1");
        assert_eq!(second.status, 409);
        assert_eq!(second.body["error"]["code"], "idempotency_key_in_use");
        until("the first ended", || {
            psp.hurry();
            first.is_finished()
        });
        assert_eq!(first.join().unwrap().status, 200);
    });
    assert!(charge(&psp, "k1").replayed);
    assert_eq!(psp.movements().len(), 1);
}

#[test]
fn what_is_refused_before_it_begins_is_not_kept_and_what_is_declined_is() {
    let psp = Psp::start(Options::new(SECRET)).unwrap();
    for (from, to, param) in [
        ("amount=1234", "amount=12.34", "amount"),
        ("amount=1234", "amount=29", "amount"),
        ("amount=1234", "amount=100000000", "amount"),
        ("amount=1234&", "", "amount"),
        ("currency=eur", "currency=EUR", "currency"),
        ("customer=cus_1A", "customer=1A", "customer"),
        ("confirm=true", "confirm=false", "confirm"),
        ("off_session", "off_sesion", "off_sesion"),
    ] {
        let form = CHARGE.replace(from, to);
        for _ in 0..2 {
            let refused = post(&psp.url(), "/v1/payment_intents", "k1", &form).unwrap();
            assert_eq!((refused.status, refused.replayed), (400, false), "{to}");
            assert_eq!(refused.body["error"]["param"], param, "{to}");
        }
    }
    let declined = CHARGE.replace("pm_1B", "pm_declined_lost_card_1");
    for replayed in [false, true] {
        let answer = post(&psp.url(), "/v1/payment_intents", "k2", &declined).unwrap();
        assert_eq!((answer.status, answer.replayed), (402, replayed));
        assert_eq!(answer.body["error"]["decline_code"], "lost_card");
    }
    assert_eq!(psp.movements(), []);
    assert_eq!(charge(&psp, "k1").status, 200);
}

#[test]
fn nobody_without_the_secret_key_moves_or_sees_anything() {
    let psp = Psp::start(Options::new(SECRET)).unwrap();
    let url = psp.url();
    let refused = post_as("sk_other", &url, "/v1/payment_intents", "k1", CHARGE).unwrap();
    assert_eq!(refused.status, 401);
    let seen = read(agent().get(format!("{url}/v1/payment_intents")).call()).unwrap();
    assert_eq!(seen.status, 401);
    assert_eq!(psp.movements(), []);
    let mut outside = Options::new(SECRET);
    outside.listen = "0.0.0.0:0".parse().unwrap();
    assert!(Psp::start(outside).is_err());
}

#[test]
fn every_fault_shows_as_itself() {
    for fault in Fault::ALL {
        let mut options = Options::new(SECRET);
        options.faults.slow_millis = 1;
        options.faults.retry_after = 7;
        let psp = Psp::start(options).unwrap();
        psp.fail_next(&[fault]);
        let answer = post(&psp.url(), "/v1/payment_intents", "k1", CHARGE);
        let status = answer.as_ref().map(|answer| answer.status);
        let (expected, executed) = match fault {
            Fault::DropBefore => (None, 0),
            Fault::RateLimit => (Some(429), 0),
            Fault::Unavailable => (Some(503), 0),
            Fault::DropAfter | Fault::BreakAfter => (None, 1),
            Fault::ErrorAfter => (Some(500), 1),
            Fault::GatewayAfter => (Some(502), 1),
            Fault::SlowBefore | Fault::SlowAfter | Fault::Twice => (Some(200), 1),
        };
        assert_eq!((status, psp.movements().len()), (expected, executed), "{fault:?}");
        let retry_after = answer.and_then(|answer| answer.retry_after);
        assert_eq!(retry_after.as_deref(), (fault == Fault::RateLimit).then_some("7"));
        assert_eq!(psp.fault_counts(), [(fault, 1)]);

        let again = charge(&psp, "k1");
        let kept = if fault == Fault::ErrorAfter { 500 } else { 200 };
        assert_eq!((again.status, again.replayed), (kept, executed == 1), "{fault:?}");
        assert_eq!(psp.movements().len(), 1, "{fault:?}");
    }
}

#[test]
fn a_payment_is_found_by_id_by_list_and_by_search() {
    let psp = Psp::start(Options::new(SECRET)).unwrap();
    let url = psp.url();
    let made: Vec<String> = (0..25)
        .map(|number| {
            let answer = charge(&psp, &format!("k{number}"));
            answer.body["id"].as_str().unwrap().to_owned()
        })
        .collect();
    let one =
        get(&url, &format!("/v1/payment_intents/{}?expand[]=latest_charge", made[3])).unwrap();
    assert_eq!(one.body["latest_charge"]["object"], "charge");
    assert_eq!(get(&url, "/v1/payment_intents/pi_none").unwrap().status, 404);
    assert_eq!(get(&url, &format!("/v1/transfers/{}", made[3])).unwrap().status, 404);

    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/payment_intents?customer=cus_1A&limit=10{after}");
        let page = get(&url, &path).unwrap().body;
        let ids =
            page["data"].as_array().unwrap().iter().map(|o| o["id"].as_str().unwrap().to_owned());
        seen.extend(ids);
        if page["has_more"] == false {
            break;
        }
        after = format!("&starting_after={}", seen.last().unwrap());
    }
    let newest_first: Vec<String> = made.iter().rev().cloned().collect();
    assert_eq!(seen, newest_first);
    let none = get(&url, "/v1/payment_intents?customer=cus_2").unwrap().body;
    assert_eq!(none["data"], json!([]));
    let query = "/v1/payment_intents/search?query=metadata%5B%27leg_key%27%5D:%27LEG%27";
    assert_eq!(get(&url, query).unwrap().body["data"].as_array().unwrap().len(), 25);
}

#[test]
fn a_line_that_was_cut_short_never_happened() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = Options::new(SECRET);
    options.dir = Some(dir.path().to_owned());
    let psp = Psp::start(options.clone()).unwrap();
    assert_eq!(charge(&psp, "k1").status, 200);
    assert_eq!(charge(&psp, "k2").status, 200);
    drop(psp);
    let file = dir.path().join("psp.jsonl");
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() - 10]).unwrap();

    let psp = Psp::start(options).unwrap();
    assert_eq!(psp.movements().len(), 1);
    assert!(charge(&psp, "k1").replayed);
    assert!(!charge(&psp, "k2").replayed);
    let ids: BTreeSet<String> = psp.movements().into_iter().map(|movement| movement.id).collect();
    assert_eq!(ids.len(), 2, "ids are not given twice");
}

/// The double as a process; killed when dropped.
struct Process(Child, String);

impl Process {
    fn start(dir: &std::path::Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tallystick-psp"))
            .args(["--secret-key", SECRET, "--fault", "twice=0", "--dir"])
            .arg(dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").expect("it says where");
        let url = format!("http://{address}");
        Self(child, url)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_killed_provider_remembers_what_it_answered() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path());
    let first = post(&process.1, "/v1/payment_intents", "k1", CHARGE).unwrap();
    drop(process);
    let process = Process::start(dir.path());
    let again = post(&process.1, "/v1/payment_intents", "k1", CHARGE).unwrap();
    assert!(again.replayed && again.body == first.body);
    let books = get(&process.1, "/books").unwrap().body;
    assert_eq!(books["sums"], json!({"charge": {"eur": {"count": 1, "amount": 1234}}}));
    assert_eq!(books["movements"][0]["leg_key"], "LEG");
}

/// Polls until `done`, for a minute at most.
fn until(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(60), "it did not happen: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_was_declined_can_be_paid_until_it_is_cancelled_and_what_was_paid_is_not_cancelled() {
    let psp = Psp::start(Options::new(SECRET)).unwrap();
    let url = psp.url();
    let declined = CHARGE.replace("pm_1B", "pm_auth_1");
    let payment = |key: &str| {
        let answer = post(&url, "/v1/payment_intents", key, &declined).unwrap();
        assert_eq!(answer.status, 402);
        answer.body["error"]["payment_intent"]["id"].as_str().unwrap().to_owned()
    };
    let cancel = |id: &str| {
        post(&url, &format!("/v1/payment_intents/{id}/cancel"), "", "").expect("an answer")
    };
    let (given_up, paid) = (payment("k1"), payment("k2"));
    let answer = cancel(&given_up);
    assert_eq!((answer.status, &answer.body["status"]), (200, &json!("canceled")));
    assert!(!psp.complete(&given_up) && psp.complete(&paid) && !psp.complete(&paid));
    for (id, status) in [(&given_up, "canceled"), (&paid, "succeeded")] {
        let answer = cancel(id);
        assert_eq!(answer.status, 400);
        assert_eq!(answer.body["error"]["code"], "payment_intent_unexpected_state");
        assert_eq!(answer.body["error"]["payment_intent"]["status"], status);
    }
    assert_eq!(cancel("pi_nobody").status, 404);
    let moved: Vec<String> = psp.movements().into_iter().map(|movement| movement.id).collect();
    assert_eq!(moved, [paid]);
}
