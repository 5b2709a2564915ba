//! The console from outside: who is logged in, for how long, and what keeps others out.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;
use tallystick_tests::console::{
    Browser, OPERATOR, OURS, add, ask, credential, key_of, launch, logins,
};
use tallystick_tests::keys::with;
use tallystick_tests::tls::{Certs, TLS13, handshake};
use tallystick_tests::wire::credential::Kind;
use tallystick_tests::wire::{
    AddIdentityRequest, Credential, RevokeIdentityRequest, Role, RotateIdentityRequest,
};
use tallystick_tests::{Cli, Client, Engine, Launch, party_id, party_request, request_id, until};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

fn engine() -> (Engine, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    (launch(&dir.path().join("data")).start(), dir)
}

#[test]
fn whoever_has_a_key_is_logged_in_until_they_log_out() {
    let (engine, dir) = engine();
    let mut browser = Browser::of(&engine);
    for path in ["/api/me", "/api/live"] {
        assert_eq!(
            (browser.get(path).status, browser.get(path).code().as_str()),
            (401, "UNAUTHENTICATED")
        );
    }
    assert_eq!(browser.call("GetStatus", "{}").status, 401);
    for wrong in ["nonsense", "", "tsk_aaaa", "nonsense\n\u{7}", &key_of("nobody")] {
        let reply = browser.login("token", wrong);
        assert_eq!((reply.status, reply.code().as_str()), (401, "UNAUTHENTICATED"), "{wrong:?}");
        assert!(browser.cookie.is_none());
    }
    let reply = browser.login("token", OPERATOR);
    assert_eq!(reply.status, 200, "{}", reply.text);
    let cookie = reply.header("set-cookie");
    let port = browser.address.rsplit(':').next().unwrap();
    assert!(cookie.starts_with(&format!("tallystick_{port}=")), "{cookie}");
    assert!(cookie.ends_with("; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict"), "{cookie}");
    assert_eq!(reply.header("cache-control"), "no-store");
    let me = browser.get("/api/me").json();
    assert_eq!((me["name"].as_str(), me["role"].as_str()), (Some("ann"), Some("operator")));
    assert!(me["expires"].as_i64().unwrap() > 1_700_000_000_000, "{me}");
    assert_eq!(me["network"].as_str().unwrap().len(), 64);
    let status = browser.call("GetStatus", "{}").json();
    assert_eq!((status["openWindow"].as_str(), status["operators"].as_i64()), (Some("1"), Some(1)));
    let stolen = browser.clone();
    assert_eq!(browser.post("/api/logout", "{}").status, 200);
    assert_eq!(stolen.get("/api/me").status, 401, "whoever has the cookie has nothing");
    let all = logins(dir.path(), 7);
    let of =
        |who: &str, call: &str, result: &str| (who.to_owned(), call.to_owned(), result.to_owned());
    assert!(all.contains(&of("ann", "ConsoleLogin", "OK")), "{all:?}");
    assert!(all.contains(&of("ann", "ConsoleLogout", "OK")), "{all:?}");
    assert_eq!(all.iter().filter(|of| of.2 == "UNAUTHENTICATED").count(), 5, "{all:?}");
    assert!(!engine.stderr().contains(OPERATOR), "{}", engine.stderr());
}

#[test]
fn a_link_logs_in_once_as_who_asked_for_it() {
    let (engine, dir) = engine();
    let token = dir.path().join("ann.token");
    std::fs::write(&token, OPERATOR).unwrap();
    let login = || {
        let token = token.to_str().unwrap();
        let said = Cli(&engine).one(&["console", "login", "--token-file", token]);
        let link = said["link"].as_str().unwrap().to_owned();
        let (address, code) = link.split_once("/#login=").expect("a link");
        assert_eq!(address, format!("http://{}", engine.console().unwrap()));
        code.to_owned()
    };
    let (code, mut browser) = (login(), Browser::of(&engine));
    assert_eq!(browser.login("code", &code).status, 200);
    assert_eq!(browser.get("/api/me").json()["name"], "ann");
    let again = Browser::of(&engine).login("code", &code);
    assert_eq!((again.status, again.code().as_str()), (401, "UNAUTHENTICATED"));
    assert!(again.text.contains("tallystick console login"), "{}", again.text);
    let here = browser.call("CreateConsoleLogin", "{}");
    assert_eq!(here.status, 404, "a login makes no other one, which would last longer");
    for wrong in ["{}", "[]", "{\"token\":1}", "{\"token\":\"a\",\"code\":\"b\"}", "{\"x\":\"\"}"] {
        let reply = Browser::of(&engine).post("/api/login", wrong);
        let expected = if wrong == "{}" { 401 } else { 400 };
        assert_eq!(reply.status, expected, "{wrong}: {}", reply.text);
    }
    // For those from elsewhere it has another name.
    let named = |name: &str| {
        let dir = tempfile::tempdir().unwrap();
        let tls = Certs::make(&dir.path().join("certs"), &[]).setting(false);
        let config = format!("[console]\nlisten = \"127.0.0.1:0\"\nname = \"{name}\"\n{tls}");
        let engine = Launch::new(&dir.path().join("data")).config(&config).start();
        let address = Cli(&engine).one(&["console", "login"])["address"].clone();
        let port = engine.console().unwrap().rsplit(':').next().unwrap().to_owned();
        (address.as_str().unwrap().to_owned(), port)
    };
    let (address, port) = named("clearing.example");
    assert_eq!(address, format!("https://clearing.example:{port}"));
    assert_eq!(named("clearing.example:443").0, "https://clearing.example:443");
    let without = Engine::start(&dir.path().join("other"), &[]);
    Cli(&without).fails(&["console", "login"], 1, "has no console");
}

/// Whom another site talks into it, asks for nothing here.
#[test]
fn only_pages_of_the_console_ask() {
    let (engine, _dir) = engine();
    let browser = Browser::logged_in(&engine, OPERATOR);
    let (address, cookie) = (browser.address.as_str(), browser.cookie.clone().unwrap());
    let cookie = ("cookie", cookie.as_str());
    let page = ("x-tallystick-login", browser.login.as_deref().unwrap());
    let own = format!("http://{address}");
    let port = address.rsplit(':').next().unwrap();
    let rebound = format!("evil.example:{port}");
    let call = ("POST", "/api/call/GetStatus");
    let ours = [OURS[0], OURS[1], page, cookie];
    assert_eq!(ask(address, call, &[&ours[..], &[("origin", &own)]].concat(), "{}").status, 200);
    assert_eq!(ask(address, call, &ours, "{}").status, 200);
    for headers in [
        &[OURS[0], cookie, ("origin", &*own)][..],
        &[OURS[1], cookie, ("origin", &own)],
        &[("content-type", "text/plain"), OURS[1], cookie],
        &[OURS[0], OURS[1], cookie, ("origin", "http://evil.example")],
        &[OURS[0], OURS[1], cookie, ("origin", "null")],
        &[OURS[0], OURS[1], cookie, ("host", &rebound), ("origin", &format!("http://{rebound}"))],
    ] {
        for path in ["/api/call/GetStatus", "/api/login", "/api/logout"] {
            let reply = ask(address, ("POST", path), &[headers, &[page]].concat(), "{}");
            assert_eq!((reply.status, reply.code().as_str()), (403, "PERMISSION_DENIED"));
        }
    }
    let read = ask(address, ("GET", "/api/me"), &[cookie, ("host", &rebound)], "");
    assert_eq!(read.status, 403, "a name that leads here is a stranger's");
    for (whose, status) in [("same-site", 403), ("cross-site", 403), ("same-origin", 200)] {
        let read = ask(address, ("GET", "/api/me"), &[cookie, page, ("sec-fetch-site", whose)], "");
        assert_eq!(read.status, status, "{whose}: another port is of the same site");
    }
    assert_eq!(browser.get("/api/me").status, 200);
}

#[test]
fn every_answer_says_what_a_page_may_do() {
    let (engine, _dir) = engine();
    let browser = Browser::logged_in(&engine, OPERATOR);
    let first = browser.get("/");
    assert_eq!((first.status, first.header("content-type")), (200, "text/html; charset=utf-8"));
    assert!(!first.text.contains("<script>") && !first.text.contains(" style="), "{}", first.text);
    let again = [("if-none-match", first.header("etag"))];
    assert_eq!(ask(&browser.address, ("GET", "/"), &again, "").status, 304);
    let statuses = [
        (first, 200),
        (browser.get("/nothing"), 404),
        (browser.get("/../Cargo.toml"), 404),
        (browser.get("/api/me"), 200),
        (browser.get("/api/nothing"), 404),
        (browser.call("Nothing", "{}"), 404),
        (browser.call("Import", "{}"), 501),
        (browser.call("GetBatch", "{"), 400),
        (browser.post("/", "{}"), 405),
    ];
    for (reply, status) in statuses {
        assert_eq!(reply.status, status, "{}", reply.text);
        let policy = reply.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"));
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        assert_eq!(reply.header("referrer-policy"), "no-referrer");
    }
}

#[test]
fn logins_have_a_pace() {
    let (engine, dir) = engine();
    let browser = Browser::logged_in(&engine, OPERATOR);
    let refused = until("there were too many", || {
        let reply = Browser::of(&engine).login("token", "wrong");
        (reply.status == 429).then_some(reply)
    });
    assert_eq!(refused.code(), "RESOURCE_EXHAUSTED");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert!(refused.json()["retryAfterMs"].as_u64().unwrap() >= 1, "{}", refused.text);
    let right = Browser::of(&engine).login("token", OPERATOR);
    assert_eq!(right.status, 429, "nobody finds out by guessing on");
    assert_eq!(browser.get("/api/me").status, 200, "who is logged in is not held up");
    let token = dir.path().join("ann.token");
    std::fs::write(&token, OPERATOR).unwrap();
    let said = Cli(&engine).one(&["console", "login", "--token-file", token.to_str().unwrap()]);
    let (_, code) = said["link"].as_str().unwrap().split_once("/#login=").unwrap();
    let by_link = Browser::of(&engine).login("code", code);
    assert_eq!(by_link.status, 200, "nobody guesses a link: {}", by_link.text);
    until("those that were put off are written down", || {
        let all = logins(dir.path(), 15);
        let put_off = all.iter().filter(|(_, _, result)| result == "RESOURCE_EXHAUSTED");
        (put_off.count() == 2).then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_revoked_or_gets_another_key_is_out() {
    let (engine, _dir) = engine();
    let mut client = Client::connect(&engine).await;
    let first = add(&mut client, "bob", Role::Auditor).await;
    add(&mut client, "eve", Role::Operator).await;
    let mut gone = Vec::new();
    for name in ["bob", "eve"] {
        let browser = Browser::logged_in(&engine, &key_of(name));
        let mut live = browser.live();
        assert_eq!(live.status, 200);
        live.next_named("now");
        gone.push((browser, live));
    }
    let ann = Browser::logged_in(&engine, OPERATOR);
    let rotated = RotateIdentityRequest {
        request_id: request_id("rotate"),
        name: "bob".to_owned(),
        credential: credential(&key_of("bob's next")),
    };
    client.operator.rotate_identity(with(&first, rotated)).await.unwrap();
    let revoked = RevokeIdentityRequest { request_id: request_id("x"), name: "eve".to_owned() };
    client.operator.revoke_identity(with(OPERATOR, revoked)).await.unwrap();
    for ((browser, mut live), why) in gone.into_iter().zip(["something else", "revoked"]) {
        let told = std::iter::from_fn(|| live.event()).last();
        let (event, said) = told.expect("it was told something");
        assert_eq!(event, "ended", "the last word says why: {said}");
        assert!(said["message"].as_str().unwrap().contains(why), "{said}");
        for reply in [browser.get("/api/me"), browser.call("GetStatus", "{}")] {
            assert_eq!((reply.status, reply.code().as_str()), (401, "UNAUTHENTICATED"));
        }
        assert_eq!(browser.live().status, 401);
    }
    assert_eq!(ann.get("/api/me").status, 200);
    let next = Browser::logged_in(&engine, &key_of("bob's next"));
    assert_eq!(next.get("/api/me").json()["role"], "auditor");
}

/// The engine is killed under an open page.
#[test]
fn a_restart_logs_nobody_out_and_nobody_in() {
    let dir = tempfile::tempdir().unwrap();
    let launch = launch(&dir.path().join("data"));
    let engine = launch.start();
    let (mut stays, mut goes) =
        (Browser::logged_in(&engine, OPERATOR), Browser::logged_in(&engine, OPERATOR));
    let mut live = stays.live();
    live.next_named("now");
    let before = stays.get("/api/me").json();
    assert_eq!(goes.post("/api/logout", "{}").status, 200);
    engine.kill9();
    while live.event().is_some() {}
    let engine = launch.start();
    for browser in [&mut stays, &mut goes] {
        // The port is another one, and with it the cookie's name.
        let cookie = browser.cookie.take().expect("it had one");
        let (_, value) = cookie.split_once('=').expect("a name and a value");
        let again = Browser::of(&engine);
        let port = again.address.rsplit(':').next().unwrap();
        browser.cookie = Some(format!("tallystick_{port}={value}"));
        browser.address = again.address;
    }
    assert_eq!(goes.get("/api/me").status, 401, "who has logged out stays so");
    let after = stays.get("/api/me").json();
    assert_eq!((&after["name"], &after["network"]), (&before["name"], &before["network"]));
    let now = stays.live().next_named("now");
    assert_eq!(now["window"]["number"], 1, "{now}");
    engine.terminate();
    let file = dir.path().join("data/console.json");
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o077, 0, "nobody else reads {}", file.display());
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_told_what_goes_on_and_that_something_has_changed() {
    let (engine, _dir) = engine();
    let mut client = Client::connect(&engine).await;
    let owner = add(&mut client, "fac", Role::Facilitator).await;
    let mut live = Browser::logged_in(&engine, OPERATOR).live();
    let mut bare = Browser::logged_in(&engine, &owner).live();
    let now = live.next_named("now");
    assert_eq!(now["queues"].as_array().unwrap().len(), 5, "{now}");
    for member in ["atMs", "uptimeMs", "memoryBytes", "position"] {
        assert!(now[member].as_u64().unwrap() > 0, "{member} in {now}");
    }
    let party = party_request(party_id("somebody"), 7);
    client.operator.upsert_party(with(OPERATOR, party)).await.unwrap();
    let changed = live.next_named("changed");
    let what: Vec<&str> =
        changed["what"].as_array().unwrap().iter().filter_map(|of| of.as_str()).collect();
    assert!(["windows", "batches", "legs", "parties"].iter().all(|of| what.contains(of)));
    assert_eq!(bare.status, 200);
    let now = bare.next_named("now");
    assert_eq!(now.as_object().unwrap().keys().collect::<Vec<_>>(), ["atMs"], "no right to more");
    // An engine that stops waits for no page.
    drop(client);
    engine.stop().await;
    while live.event().is_some() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_pages_are_told_and_those_that_go_make_room() {
    let (engine, _dir) = engine();
    let owner = add(&mut Client::connect(&engine).await, "fac", Role::Facilitator).await;
    let login = || Browser::logged_in(&engine, &owner);
    let (first, second) = (login(), login());
    let own: Vec<_> = (0..5).map(|_| first.live()).collect();
    assert!(own.iter().all(|live| live.status == 200));
    let refused = first.get("/api/live");
    assert_eq!(refused.status, 429, "of one login");
    assert!(refused.text.contains("5 pages of yours"), "{}", refused.text);
    let others: Vec<_> = (0..5).map(|_| second.live()).collect();
    assert!(others.iter().all(|live| live.status == 200));
    assert_eq!(login().live().status, 429, "of one name, by however many logins");
    assert_eq!(Browser::logged_in(&engine, OPERATOR).live().status, 200, "the desk has its own");
    drop(own);
    until("there is room", || (first.live().status == 200).then_some(()));
    assert_eq!(first.get("/api/me").status, 200, "pages are asked and answered all the while");
}

#[test]
fn what_is_too_large_is_refused_and_who_is_slow_holds_up_nobody() {
    let (engine, _dir) = engine();
    let browser = Browser::logged_in(&engine, OPERATOR);
    let large = format!("{{\"requestId\":\"{}\"}}", "x".repeat(70_000));
    let refused = browser.call("CloseWindow", &large);
    assert_eq!((refused.status, refused.code().as_str()), (413, "RESOURCE_EXHAUSTED"));
    assert!(refused.header("content-security-policy").starts_with("default-src 'none'"));
    let half = |text: &str| {
        let mut socket = TcpStream::connect(&browser.address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        socket.write_all(text.as_bytes()).unwrap();
        socket
    };
    let begun =
        "POST /api/call/GetStatus HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{";
    let mut slow: Vec<TcpStream> = (0..20).map(|_| half(begun)).collect();
    assert_eq!(browser.call("GetStatus", "{}").status, 200);
    let mut told = String::new();
    slow[0].read_to_string(&mut told).unwrap();
    assert!(told.starts_with("HTTP/1.1 408") && told.contains("DEADLINE_EXCEEDED"), "{told}");
    drop(engine);
}

/// Refused at its start like any listener that others can reach in plain text, or without anybody
/// who may come.
#[test]
fn a_console_that_others_reach_speaks_tls_to_people_who_are_known() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let said = Launch::new(&data).config("[console]\nlisten = \"0.0.0.0:0\"\n").refusal();
    assert!(said.contains("speaks plain text: give it a certificate"), "{said}");
    let named = "[console]\nlisten = \"127.0.0.1:0\"\nname = \"desk.example\"\n";
    let said = Launch::new(&data).config(named).refusal();
    assert!(said.contains("needs a certificate") && said.contains("localhost"), "{said}");
    let certs = Certs::make(dir.path(), &[]);
    let config = format!("[console]\nlisten = \"0.0.0.0:0\"\n{}", certs.setting(false));
    let said = Launch::new(&data).config(&config).refusal();
    assert!(said.contains("operator"), "{said}");
    let digest = blake3::hash(OPERATOR.as_bytes()).to_hex();
    let config = format!("{config}[operators]\nann = \"{digest}\"\n");
    let engine = Launch::new(&data).config(&config).start();
    assert!(engine.console().unwrap().starts_with("0.0.0.0:"));
    engine.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_a_certificate_logs_in_and_the_cookie_is_for_this_host_alone() {
    let dir = tempfile::tempdir().unwrap();
    let certs = Certs::make(&dir.path().join("certs"), &["desk"]);
    let digest = blake3::hash(OPERATOR.as_bytes()).to_hex();
    let tls = certs.setting(true);
    let config =
        format!("[console]\nlisten = \"127.0.0.1:0\"\n{tls}[operators]\nann = \"{digest}\"\n");
    let engine = Launch::new(&dir.path().join("data")).config(&config).start();
    let address = engine.console().unwrap();
    let ask = async |first: &str, cookie: &str, body: &str| {
        let desk = certs.client(Some("desk"), &[&TLS13], b"http/1.1");
        let mut stream = handshake(address, desk).await.unwrap();
        let length = body.len();
        let request = format!(
            "{first} HTTP/1.1\r\nhost: localhost\r\ncookie: {cookie}\r\ncontent-type: application/json\r\nx-tallystick-console: 1\r\n\
             origin: https://localhost\r\nconnection: close\r\ncontent-length: {length}\r\n"
        );
        let request = format!("{request}\r\n{body}");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // Whoever ends a connection may do so without a word.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    };
    let refused = ask("POST /api/login", "", "{}").await;
    assert!(refused.starts_with("HTTP/1.1 401"), "nobody has this name: {refused}");
    let request = AddIdentityRequest {
        request_id: request_id("identity"),
        name: "desk".to_owned(),
        role: Role::Auditor.into(),
        credential: Some(Credential { kind: Some(Kind::Certificate("desk".to_owned())) }),
        ..AddIdentityRequest::default()
    };
    let mut client = Client::connect(&engine).await;
    client.operator.add_identity(with(OPERATOR, request)).await.expect("it is added");
    let answer = ask("POST /api/login", "", "{}").await;
    let port = address.rsplit(':').next().unwrap();
    let set = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("a cookie");
    assert!(set.starts_with(&format!("__Host-tallystick_{port}=")), "{set}");
    assert!(set.ends_with("; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure"), "{set}");
    let cookie = set.split(';').next().unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    let said: serde_json::Value = serde_json::from_str(body).expect("JSON");
    let page = said["login"].as_str().expect("what its pages send");
    let me = ask("GET /api/me", &format!("{cookie}\r\nx-tallystick-login: {page}"), "").await;
    assert!(me.contains("\"role\":\"auditor\""), "{me}");
}
