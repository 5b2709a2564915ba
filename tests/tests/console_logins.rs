//! Logins at the console, where several people and several listeners share a browser: a page does
//! nothing for anybody but whom it shows, and a cookie alone does nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use tallystick_tests::console::{Browser, OPERATOR, OURS, add, ask, key_of, launch, logins};
use tallystick_tests::keys::with;
use tallystick_tests::wire::{GetStatusRequest, RevokeIdentityRequest, Role};
use tallystick_tests::{Client, Engine, request_id, run_cli, until};
use tempfile::TempDir;

fn engine() -> (Engine, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    (launch(&dir.path().join("data")).start(), dir)
}

fn told(reply: &tallystick_tests::console::Reply) -> (u16, String) {
    (reply.status, reply.code())
}

async fn lsn(client: &mut Client) -> u64 {
    let status = client.operator.get_status(with(OPERATOR, GetStatusRequest {})).await;
    status.unwrap().into_inner().durable_lsn
}

/// One tab said carol, another one had logged in bob, and the first one's words were bob's.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_one_login_does_nothing_as_another_one() {
    let (engine, dir) = engine();
    let mut client = Client::connect(&engine).await;
    let carol = add(&mut client, "carol", Role::Operator).await;
    let bob = add(&mut client, "bob", Role::Operator).await;
    let mut browser = Browser::logged_in(&engine, &carol);
    let before = browser.clone();
    let mut live = before.live();
    live.next_named("now");
    assert_eq!(browser.login("token", &bob).status, 200);
    // The browser has one cookie; the first tab still sends what it was told.
    let mut tab = before.clone();
    tab.cookie.clone_from(&browser.cookie);
    let was = lsn(&mut client).await;
    let close = serde_json::json!({ "requestId": request_id("by whom") }).to_string();
    let aborted = (409, "ABORTED".to_owned());
    assert_eq!(told(&tab.call("CloseWindow", &close)), aborted);
    assert_eq!(told(&tab.get("/api/me")), aborted);
    assert_eq!(told(&tab.post("/api/logout", "{}")), aborted);
    assert_eq!(tab.live().status, 409);
    assert_eq!(lsn(&mut client).await, was, "nothing was done");
    // Whose login it was before has ended, and whatever was shown of it.
    while live.event().is_some() {}
    assert_eq!(told(&before.get("/api/me")), (401, "UNAUTHENTICATED".to_owned()));
    let me = browser.get("/api/me").json();
    assert_eq!(
        (me["name"].as_str(), me["login"].as_str()),
        (Some("bob"), browser.login.as_deref())
    );
    assert_eq!(browser.call("CloseWindow", &close).status, 200);
    let ended = ("carol".to_owned(), "ConsoleLogout".to_owned(), "OK".to_owned());
    assert!(logins(dir.path(), 3).contains(&ended));
    // A login that fails ends none.
    assert_eq!(browser.clone().login("token", "wrong").status, 401);
    assert_eq!(browser.get("/api/me").status, 200);
}

/// A browser sends cookies to every port of a host, and takes them from every port.
#[test]
fn a_cookie_alone_makes_no_call_and_is_told_nothing() {
    let (engine, _dir) = engine();
    let browser = Browser::logged_in(&engine, OPERATOR);
    let mut alone = browser.clone();
    alone.login = None;
    assert_eq!(told(&alone.call("GetStatus", "{}")), (403, "PERMISSION_DENIED".to_owned()));
    let me = alone.get("/api/me");
    assert_eq!(told(&me), (401, "UNAUTHENTICATED".to_owned()));
    assert!(!me.text.contains("ann") && !me.text.contains(browser.login.as_deref().unwrap()));
    assert_eq!(alone.live().status, 401);
    let in_query = format!("/api/me?login={}", browser.login.as_deref().unwrap());
    assert_eq!(alone.get(&in_query).status, 401, "only where no header can be sent");
    // Whatever else listens on this host sets cookies of the same name, which come first.
    let own = browser.cookie.clone().unwrap();
    let name = own.split('=').next().unwrap();
    let other = Browser::logged_in(&engine, OPERATOR).cookie.unwrap();
    let mut shadowed = browser.clone();
    for first in [format!("{name}=nothing"), other] {
        shadowed.cookie = Some(format!("{first}; {own}"));
        assert_eq!(shadowed.get("/api/me").status, 200);
        assert_eq!(shadowed.call("GetStatus", "{}").status, 200);
    }
    // Whoever is of the page alone has no login either.
    shadowed.cookie = None;
    assert_eq!(shadowed.get("/api/me").status, 401);
}

/// Pages look by themselves all day.
#[test]
fn looking_keeps_nobody_logged_in() {
    let (engine, _dir) = engine();
    let browser = Browser::logged_in(&engine, OPERATOR);
    let expires = || browser.get("/api/me").json()["expires"].as_i64().unwrap();
    let before = expires();
    let mut live = browser.live();
    live.next_named("now");
    live.next_named("now");
    assert_eq!(expires(), before);
    let (cookie, page) = (browser.cookie.clone().unwrap(), browser.login.clone().unwrap());
    let by_itself = [
        OURS[0],
        OURS[1],
        ("cookie", cookie.as_str()),
        ("x-tallystick-login", page.as_str()),
        ("x-tallystick-auto", "1"),
    ];
    let call = ("POST", "/api/call/GetStatus");
    assert_eq!(ask(&browser.address, call, &by_itself, "{}").status, 200);
    assert_eq!(expires(), before);
    until("what a person does counts", || {
        assert_eq!(browser.call("GetStatus", "{}").status, 200);
        (expires() > before).then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_ends_a_login_is_written_down() {
    let (engine, dir) = engine();
    let mut client = Client::connect(&engine).await;
    for name in ["eve", "mallory", "many"] {
        add(&mut client, name, Role::Auditor).await;
    }
    let shown = Browser::logged_in(&engine, &key_of("eve"));
    let asks = Browser::logged_in(&engine, &key_of("mallory"));
    let mut live = shown.live();
    live.next_named("now");
    for name in ["eve", "mallory"] {
        let of = RevokeIdentityRequest { request_id: request_id(name), name: name.to_owned() };
        client.operator.revoke_identity(with(OPERATOR, of)).await.unwrap();
    }
    while live.event().is_some() {}
    assert_eq!(asks.call("GetStatus", "{}").status, 401);
    assert_eq!(asks.call("GetStatus", "{}").status, 401);
    assert_eq!(Browser::of(&engine).post("/api/login", "{\"token\":").status, 400);
    for _ in 0..17 {
        let _ = Browser::logged_in(&engine, &key_of("many"));
    }
    let all = logins(dir.path(), 2 + 2 + 1 + 17 + 1);
    let count = |name: &str, call: &str, result: &str| {
        let is = |of: &&(String, String, String)| (&*of.0, &*of.1, &*of.2) == (name, call, result);
        all.iter().filter(is).count()
    };
    for name in ["eve", "mallory"] {
        assert_eq!(count(name, "ConsoleLogout", "UNAUTHENTICATED"), 1, "{name} in {all:?}");
    }
    assert_eq!(count("many", "ConsoleLogout", "RESOURCE_EXHAUSTED"), 1, "{all:?}");
    assert_eq!(count("", "ConsoleLogin", "INVALID_ARGUMENT"), 1, "{all:?}");
}

/// A facilitator whose calls were held back for being too many held all places, and the desk was
/// sent away.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_sees_its_own_alone_takes_no_call_of_the_desk() {
    let (engine, _dir) = engine();
    let mut client = Client::connect(&engine).await;
    let key = add(&mut client, "fac", Role::Facilitator).await;
    let (owner, ann) = (Browser::logged_in(&engine, &key), Browser::logged_in(&engine, OPERATOR));
    let (done, sent_away) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..24 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let reply = owner.call("GetChannel", "{}");
                    if reply.status == 429 && reply.text.contains("calls of pages at once") {
                        sent_away.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
        let crowded = || sent_away.load(Ordering::Relaxed).then_some(());
        until("the facilitator has all that it may", crowded);
        let statuses: Vec<u16> = (0..50).map(|_| ann.call("GetStatus", "{}").status).collect();
        done.store(true, Ordering::Relaxed);
        assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    });
}

/// It was no call, and so whoever sent it did so as often as they liked, and nobody saw it.
#[tokio::test(flavor = "multi_thread")]
async fn json_that_is_no_message_counts_as_its_call_and_has_a_line() {
    let (engine, dir) = engine();
    let mut client = Client::connect(&engine).await;
    let browser = Browser::logged_in(&engine, &add(&mut client, "fac", Role::Facilitator).await);
    let nonsense = || told(&browser.call("GetChannel", "{\"nonsense\":1}"));
    assert_eq!(nonsense(), (400, "INVALID_ARGUMENT".to_owned()));
    assert!((0..5_000).any(|_| nonsense().0 == 429), "it has the pace of calls");
    let data = dir.path().join("data").into_os_string().into_string().unwrap();
    let shown = |result: &str| {
        let args = ["audit-log", "--data-dir", &data, "--call", "GetChannel", "--json"];
        let results = ["--result", result, "--result", "OK"];
        let output = run_cli(&[&args[..], &results].concat());
        String::from_utf8(output.stdout).unwrap()
    };
    for result in ["INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"] {
        let line = until("the line is there", || shown(result).lines().next().map(str::to_owned));
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        let said = (&line["name"], &line["via"], &line["result"]);
        assert_eq!(said, (&"fac".into(), &"console".into(), &result.into()), "{line}");
    }
}

/// Of two the last counted, and whoever looked at the first saw another request.
#[test]
fn what_is_given_twice_is_refused() {
    let (engine, _dir) = engine();
    let browser = Browser::logged_in(&engine, OPERATOR);
    for (call, twice) in [
        ("ListWindows", r#"{"limit":1,"limit":2}"#),
        ("ListWindows", r#"{"newest_first":true,"newestFirst":false}"#),
        ("AddIdentity", r#"{"credential":{"certificate":"a","certificate":"b"}}"#),
    ] {
        let reply = browser.call(call, twice);
        assert_eq!(told(&reply), (400, "INVALID_ARGUMENT".to_owned()), "{twice}");
        assert!(reply.text.contains("is given twice"), "{}", reply.text);
    }
    assert_eq!(browser.call("ListWindows", r#"{"limit":1,"newest_first":true}"#).status, 200);
}
