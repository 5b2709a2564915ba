//! A shop on axum and the Rust library: what it sells is paid for once, whatever is repeated, lost
//! or refused. Its buyers here are the Rust library's; those in JavaScript and Python are in
//! `clients/`.

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use axum::routing::get;
use data_encoding::{BASE64, HEXLOWER};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tallystick_client::{AgentKey, AgentOptions, Budget, Credentials, Seller, SellerError};
use tallystick_tests::buyer::{Between, Buyer, Lose};
use tallystick_tests::tls::Certs;
use tallystick_tests::x402::{ASSET, HTTP, House};
use tallystick_tests::{
    Cli, Client, Launch, Signer, World, add_euro, add_party, run_cli, signer_request,
};
use tokio::net::TcpListener;
use tokio::sync::Notify;

#[path = "../../clients/rust/examples/shop.rs"]
mod example;

/// In units of an asset with six digits.
const PRICE: u64 = 100;

fn payee(world: &World) -> String {
    HEXLOWER.encode(&world.payees[0].0)
}

/// A shop as its owner would build it, that counts what its handlers did.
struct Shop {
    url: String,
    made: Arc<AtomicU64>,
    /// Lets a handler of `/slow` go on.
    go: Arc<Notify>,
}

impl Shop {
    async fn at(facilitator: &str, house: &House) -> Self {
        let shop = Seller::open(facilitator, &payee(&house.world), &Credentials::default()).await;
        Self::of(&shop.unwrap()).await
    }

    async fn new(house: &House) -> Self {
        Self::at(&format!("http://{}", house.engine.http().unwrap()), house).await
    }

    async fn of(seller: &Seller) -> Self {
        let price = seller.price(&format!("0.0001 {ASSET}")).unwrap().description("goods");
        let (made, go) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
        let count = {
            let made = made.clone();
            move || made.fetch_add(1, Ordering::Relaxed) + 1
        };
        let (one, slow, fails) = (count.clone(), count.clone(), count);
        let released = go.clone();
        let item = get(move |Path(item): Path<String>| async move {
            ([("x-item", item), ("cache-control", "max-age=60".to_owned())], one().to_string())
        });
        let slow = get(move || async move {
            let count = slow();
            released.notified().await;
            count.to_string()
        });
        let fails = get(move || async move {
            fails();
            (StatusCode::SERVICE_UNAVAILABLE, "not today").into_response()
        });
        let paid = Router::new().route("/{item}", item.route_layer(price.clone()));
        let app = Router::new()
            .nest("/a", paid.clone())
            .nest("/b", paid)
            .route("/slow", slow.route_layer(price.clone()))
            .route("/fails", fails.route_layer(price))
            .route("/free", get(|| async { "free" }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, made, go }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readme_sells_its_first_request() {
    let readme = include_str!("../../clients/rust/README.md");
    let source = include_str!("../../clients/rust/examples/shop.rs");
    let body = source.split_once("+ Sync>> {\n").unwrap().1.split_once("    Ok(").unwrap().0;
    for line in body.lines() {
        assert!(readme.contains(line.trim()), "the README has not: {line}");
    }
    let dir = tempfile::tempdir().unwrap();
    let engine = Launch::new(&dir.path().join("data")).config(HTTP).start();
    let cli = Cli(&engine);
    let (buyer, seller) = ("a1".repeat(32), "b2".repeat(32));
    cli.lines(&add_euro("6", "bilateral"));
    for party in [&buyer, &seller] {
        cli.lines(&add_party(party, "x", "iso20022:iban=DE02120300000000202051"));
    }
    cli.lines(&["limit", "set", "--party", &buyer, "--asset", "978", "1000"]);
    let key = AgentKey::new(&[7; 32]);
    cli.lines(&["signer", "add", "--party", &buyer, "--key", &HEXLOWER.encode(&key.signer())]);
    let network = cli.one(&["status"])["network_id"].as_str().unwrap().to_owned();
    let network = HEXLOWER.decode(network.as_bytes()).unwrap().try_into().unwrap();

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/weather", listener.local_addr().unwrap());
    let facilitator = format!("http://{}", engine.http().unwrap());
    let sells = tokio::spawn(async move { example::sell(&facilitator, &seller, listener).await });
    let agent = Buyer::with(AgentOptions::new(key, network));
    // It listens from before it has asked the engine.
    let told = tokio::select! {
        told = agent.buy(&url) => told,
        ended = sells => panic!("{ended:?}"),
    };
    assert_eq!((told.status, told.body.as_str()), (200, "sunny"), "{told:?}");
    assert_eq!(told.settled["amount"], "100");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_pay_is_told_the_terms_and_who_does_has_a_receipt() {
    let mut house = House::new().await;
    let shop = Shop::new(&house).await;
    let buyer = Buyer::of(&house.world, 0);
    let free = buyer.ask(&shop.url("/free"), None).await;
    assert_eq!((free.status, free.body.as_str()), (200, "free"));
    let url = shop.url("/a/tea?milk=no");
    let first = buyer.ask(&url, None).await;
    assert_eq!((first.why(), first.cache.as_str()), ("Payment required", "no-store"));
    assert_eq!(first.required["x402Version"], 2);
    let resource = json!({"url": url, "description": "goods", "mimeType": ""});
    assert_eq!(first.required["resource"], resource);
    let id = HEXLOWER.encode(&house.world.network.0);
    let terms = json!({
        "scheme": "batch-settlement", "network": format!("tallystick:{}", &id[..32]), "amount": "100",
        "asset": "EUR", "payTo": payee(&house.world), "maxTimeoutSeconds": 300,
        "extra": {"networkId": id, "assetNumber": ASSET, "scale": 6},
    });
    assert_eq!(first.required["accepts"], json!([terms]));
    for total in [100, 200] {
        let told = buyer.buy(&url).await;
        assert_eq!(told.status, 200, "{told:?}");
        assert_eq!(told.cache, "max-age=60, private");
        assert_eq!(
            (&told.settled["success"], &told.settled["amount"]),
            (&json!(true), &json!("100"))
        );
        let transaction = told.settled["transaction"].as_str().unwrap();
        assert!(transaction.ends_with(&format!(":{total}")), "{transaction}");
        assert_eq!(told.settled["extra"]["receipt"]["format"], "tallystick receipt v2");
        let status = house.facilitator().get(&format!("/status/{transaction}")).await.1;
        assert_eq!(status["state"], "settled");
    }
    // What its handler does not do costs nothing.
    let told = buyer.buy(&shop.url("/fails")).await;
    assert_eq!((told.status, told.body.as_str(), &told.settled), (503, "not today", &Value::Null));
    assert_eq!(shop.made(), 3);
    assert_eq!(house.owed().await, 2 * PRICE);
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_two_at_once_are_all_paid() {
    let mut house = House::new().await;
    let shop = Shop::new(&house).await;
    let buyer = Buyer::of(&house.world, 0);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..32 {
        let (buyer, url) = (buyer.clone(), shop.url(&format!("/a/{number}")));
        tasks.spawn(async move { buyer.buy(&url).await.status });
    }
    assert_eq!(tasks.join_all().await, [200; 32]);
    let lanes = buyer.agent.lanes();
    assert!(lanes.free <= 32 && lanes.out + lanes.in_doubt == 0, "{lanes:?}");
    assert_eq!((shop.made(), house.owed().await), (32, 32 * PRICE));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_names_its_reason_and_nothing_is_served_or_owed() {
    let mut house = House::new().await;
    let shop = Shop::new(&house).await;
    let url = shop.url("/a/tea");
    // A budget at the engine lets two through.
    let capped = Signer::new("capped", house.world.payers[0].party);
    let budget = signer_request(&capped, &[(ASSET, 250)]);
    house.client.operator.add_signer(budget).await.unwrap();
    let options = |key: &Signer| {
        AgentOptions::new(AgentKey::new(&key.secret.to_bytes()), house.world.network.0)
    };
    let buyer = Buyer::with(options(&capped));
    let mut whys = Vec::new();
    for _ in 0..4 {
        let told = buyer.buy(&url).await;
        whys.push(if told.status == 200 { "ok".to_owned() } else { told.why().to_owned() });
    }
    assert_eq!(whys, ["ok", "ok", "insufficient_funds", "insufficient_funds"]);
    // One of the agent's own stops it before anything is signed.
    let mut small = options(&house.world.payers[0]);
    small.budgets = [(ASSET, Budget { per_payment: None, total: Some(99) })].into();
    let small = Buyer::with(small);
    let payee = house.world.payees[0].0;
    let refused = small.agent.pay(payee, ASSET, PRICE).await.err().unwrap();
    assert!(refused.to_string().contains("nothing was signed"), "{refused}");
    // A stranger's key, another amount, other terms, a forged signature, and no payment at all.
    let stranger = Buyer::with(options(&Signer::new("nobody", house.world.payers[0].party)));
    assert_eq!(stranger.buy(&url).await.why(), "unknown_signer");
    let first = buyer.ask(&url, None).await;
    let terms = first.terms().clone();
    let other = Buyer::of(&house.world, 1);
    let wrong = other.agent.pay(payee, ASSET, PRICE - 1).await.unwrap();
    let told = other.ask(&url, Some(wrong.x402_header(&terms))).await;
    assert_eq!(told.why(), "wrong_amount");
    let said = &told.terms()["extra"]["tallystick"];
    assert_eq!((&said["charged"], &said["expected"]), (&json!("0"), &json!("100")));
    assert!(said["message"].as_str().is_some_and(|text| text.contains("expected")), "{said}");
    // A buyer may hand that back within the terms.
    let good = other.sign(&terms).await;
    for (name, value) in [("amount", "1"), ("payTo", "ab"), ("asset", "USD")] {
        let mut cheaper = terms.clone();
        cheaper[name] = value.into();
        let told = other.ask(&url, Some(good.x402_header(&cheaper))).await;
        assert_eq!(told.why(), "No matching payment requirements");
    }
    let mut forged: Value =
        serde_json::from_slice(&BASE64.decode(good.x402_header(&terms).as_bytes()).unwrap())
            .unwrap();
    let signature = forged["payload"]["signature"].as_str().unwrap().to_owned();
    forged["payload"]["signature"] = format!("{}{}", &signature[..64], "0".repeat(64)).into();
    let forged = BASE64.encode(forged.to_string().as_bytes());
    assert_eq!(other.ask(&url, Some(forged)).await.why(), "bad_signature");
    for nonsense in ["x", "e30=", "bnVsbA=="] {
        let told = other.ask(&url, Some(nonsense.into())).await;
        assert!(
            ["the header PAYMENT-SIGNATURE", "No matching"]
                .iter()
                .any(|text| told.why().starts_with(text))
        );
    }
    assert_eq!(other.ask(&url, Some(good.x402_header(told.terms()))).await.status, 200);
    assert_eq!(shop.made(), 3);
    assert_eq!(house.owed().await, 3 * PRICE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_is_good_for_one_request_and_its_answer_can_be_had_again() {
    let mut house = House::new().await;
    let shop = Shop::new(&house).await;
    let buyer = Buyer::of(&house.world, 0);
    let url = shop.url("/a/tea?x");
    let terms = buyer.ask(&url, None).await.terms().clone();
    let payment = buyer.sign(&terms).await;
    let header = payment.x402_header(&terms);
    let first = buyer.ask(&url, Some(header.clone())).await;
    for _ in 0..2 {
        let again = buyer.ask(&url, Some(header.clone())).await;
        assert_eq!((again.status, &again.body), (200, &first.body), "{again:?}");
        assert_eq!(again.settled["transaction"], first.settled["transaction"]);
    }
    // The same path below another one counts as another request, too.
    for other in ["/a/tea?y", "/a/milk?x", "/b/tea?x"] {
        let told = buyer.ask(&shop.url(other), Some(header.clone())).await;
        assert_eq!(told.why(), "invalid_payload: this payment was for another request");
    }
    payment.confirm().unwrap();
    assert_eq!(shop.made(), 1);

    // Repeats that come while the first is served wait for it.
    let slow = shop.url("/slow");
    let payment = buyer.sign(&terms).await;
    let header = payment.x402_header(&terms);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (buyer, slow, header) = (buyer.clone(), slow.clone(), header.clone());
        tasks.spawn(async move {
            let told = buyer.ask(&slow, Some(header)).await;
            (told.status, told.body)
        });
    }
    shop.go.notify_one();
    assert_eq!(tasks.join_all().await, vec![(200, "2".to_owned()); 8]);
    payment.confirm().unwrap();
    assert_eq!((shop.made(), house.owed().await), (2, 2 * PRICE));
}

/// Else one payment buys any number of them, and of others at the same price.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_made_again_so_often_and_for_one_request_alone() {
    let mut house = House::new().await;
    let between = Between::new(house.engine.http().unwrap()).await;
    let shop = Seller::open(&between.url, &payee(&house.world), &Credentials::default()).await;
    let shop = shop.unwrap().repeats(2);
    let (made, fails) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (count, broken) = (made.clone(), fails.clone());
    let stream = get(move || async move {
        let number = count.fetch_add(1, Ordering::Relaxed);
        let parts = tokio_stream::iter([Ok::<_, Infallible>(format!("{number}"))]);
        match broken.load(Ordering::Relaxed) {
            0 => Body::from_stream(parts).into_response(),
            _ => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        }
    });
    let price = shop.price(&format!("0.0001 {ASSET}")).unwrap();
    let app = Router::new().route("/{film}", stream.route_layer(price));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/one", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let buyer = Buyer::of(&house.world, 0);
    let terms = buyer.ask(&url, None).await.terms().clone();
    let payment = buyer.sign(&terms).await;
    let header = payment.x402_header(&terms);
    let ask = async || buyer.ask(&url, Some(header.clone())).await;
    // What its handler does not do, and what is not known to be paid, is no answer.
    fails.store(1, Ordering::Relaxed);
    for _ in 0..4 {
        assert_eq!(ask().await.status, 503);
    }
    fails.store(0, Ordering::Relaxed);
    for _ in 0..4 {
        between.lose("/settle", Lose::Answer, 2);
        assert_eq!(ask().await.status, 402);
    }
    for number in 8..11 {
        let told = ask().await;
        assert_eq!((told.status, told.body), (200, number.to_string()));
        let other = buyer.ask(&url.replace("one", "two"), Some(header.clone())).await;
        assert_eq!(other.why(), "invalid_payload: this payment was for another request");
    }
    let told = ask().await;
    assert_eq!(told.why(), "already_answered");
    let said = &told.terms()["extra"]["tallystick"]["message"];
    assert_eq!(said, "its answer is made 3 times at most for one payment: pay anew");
    payment.confirm().unwrap();
    assert_eq!((made.load(Ordering::Relaxed), house.owed().await), (11, PRICE));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_lost_between_shop_and_engine_is_charged_once() {
    let mut house = House::new().await;
    let between = Between::new(house.engine.http().unwrap()).await;
    let shop = Shop::at(&between.url, &house).await;
    let buyer = Buyer::of(&house.world, 0);
    let url = shop.url("/a/tea");
    let mut paid = 0;
    for how in [Lose::Call, Lose::Answer, Lose::Connection] {
        between.lose("/settle", how, 1);
        let told = buyer.buy(&url).await;
        assert_eq!(told.status, 200, "{how:?} {told:?}");
        paid += 1;
    }
    // It is asked twice, not for ever. Then the buyer sends the very same again.
    for how in [Lose::Call, Lose::Answer, Lose::Connection] {
        let terms = buyer.ask(&url, None).await.terms().clone();
        let payment = buyer.sign(&terms).await;
        between.lose("/settle", how, 2);
        let lost = buyer.ask(&url, Some(payment.x402_header(&terms))).await;
        assert!(lost.why().starts_with("Facilitator settle failed"), "{how:?} {lost:?}");
        assert_eq!((&lost.required, &lost.settled["transaction"]), (&Value::Null, &json!("")));
        let told = buyer.ask(&url, Some(payment.x402_header(&terms))).await;
        assert_eq!(told.status, 200, "{how:?} {told:?}");
        payment.confirm().unwrap();
        paid += 1;
    }
    // Nobody is there to verify: the buyer is told, and nothing is served.
    let made = shop.made();
    between.lose("/verify", Lose::Call, 1);
    let told = buyer.buy(&url).await;
    assert!(told.why().starts_with("Facilitator verify failed (502)"), "{told:?}");
    between.lose("/verify", Lose::Connection, 2);
    assert!(buyer.buy(&url).await.why().starts_with("Facilitator verify failed: no engine at"));
    assert_eq!(shop.made(), made);
    assert_eq!(buyer.buy(&url).await.status, 200);
    assert_eq!(house.owed().await, (paid + 1) * PRICE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_engine_is_told_and_serves_on_when_it_is_back() {
    let house = House::new().await;
    let shop = Shop::new(&house).await;
    let buyer = Buyer::of(&house.world, 0);
    let url = shop.url("/a/tea");
    assert_eq!(buyer.buy(&url).await.status, 200);
    let House { client, world, engine, dir } = house;
    let (grpc, http) = (engine.address().to_owned(), engine.http().unwrap().to_owned());
    drop(client);
    engine.kill9();
    let told = buyer.buy(&url).await;
    assert!(told.why().contains(&format!("no engine at http://{http}")), "{told:?}");
    let config = format!("listen_http = {http:?}\n");
    let launch = Launch::new(&dir.path().join("data")).config(&config);
    let engine = launch.args(&["--listen", &grpc]).start();
    let client = Client::connect(&engine).await;
    let mut house = House { client, world, engine, dir };
    assert_eq!(buyer.buy(&url).await.status, 200);
    assert_eq!((shop.made(), house.owed().await), (2, 2 * PRICE));
}

#[tokio::test]
async fn what_cannot_be_sold_is_said_at_the_start() {
    let house = House::new().await;
    let url = format!("http://{}", house.engine.http().unwrap());
    let open = async |url: &str, pay_to: &str, token: Option<&str>| {
        let token = token.map(str::to_owned);
        let credentials = Credentials { token, ..Credentials::default() };
        Seller::open(url, pay_to, &credentials).await
    };
    let seller = payee(&house.world);
    let shop = open(&url, &seller, None).await.unwrap();
    assert!(shop.network().starts_with("tallystick:"));
    for (price, part) in [
        (format!("0.0000001 {ASSET}"), "more digits"),
        (format!("0 {ASSET}"), "leave the route free"),
        ("1 EUR".into(), "by its number"),
        ("1 USD".into(), "it has"),
        (format!("cheap {ASSET}"), "no amount"),
    ] {
        let error = shop.price(&price).err().unwrap().to_string();
        assert!(error.contains(part), "{price}: {error}");
    }
    for bad in ["bob", &seller.to_uppercase()] {
        assert!(matches!(open(&url, bad, None).await, Err(SellerError::PayTo(_))), "{bad}");
    }
    let grpc = format!("http://{}", house.engine.address());
    for (wrong, part) in [
        ("127.0.0.1:7451", "http://127.0.0.1:7451"),
        ("http://127.0.0.1:9", "listen_http"),
        (&grpc, "listen_http"),
    ] {
        let error = open(wrong, &seller, None).await.err().unwrap().to_string();
        assert!(error.contains(part), "{wrong}: {error}");
    }
}

const OPERATOR: &str = "the token of ann, whom the configuration names";

/// Over TLS, with the key of an identity, which signs a token for each call.
#[tokio::test(flavor = "multi_thread")]
async fn a_shop_that_the_engine_knows_sells_over_tls() {
    let House { client, world, engine, dir } = House::new().await;
    drop(client);
    engine.stop().await;
    let certs = Certs::make(&dir.path().join("certs"), &[]);
    let listen = |kind: &str, tls: &str| {
        format!("[[listen]]\naddress = \"127.0.0.1:0\"\nkind = \"{kind}\"\n{tls}")
    };
    let listener = listen("grpc", "") + &listen("http", &certs.setting(false));
    let digest = blake3::hash(OPERATOR.as_bytes()).to_hex();
    let config = format!("{listener}[operators]\nann = \"{digest}\"\n");
    let engine = Launch::new(&dir.path().join("data")).config(&config).start();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (ann, own) = (path("ann.token"), path("shop.json"));
    std::fs::write(&ann, OPERATOR).unwrap();
    std::fs::set_permissions(&ann, std::fs::Permissions::from_mode(0o600)).unwrap();
    let by_ann = ["--server", engine.address(), "--token-file", &ann, "--json"];
    let cli = |args: &[&str]| -> Value {
        let out = run_cli(&[args, &by_ann[..]].concat());
        assert!(out.status.success(), "{out:?}");
        serde_json::from_slice(&out.stdout).unwrap()
    };
    let made = cli(&["access", "keygen", "--name", "shop", "--out", &own]);
    let key = made["public_key"].as_str().unwrap();
    let add = ["access", "add", "--name", "shop", "--role", "facilitator", "--public-key", key];
    cli(&add);

    let http = engine.http().unwrap();
    let (url, plain) = (format!("https://{http}"), format!("http://{http}"));
    let (ca, known) = (Some(certs.path("ca.pem").into()), Some(own.into()));
    let seller = payee(&world);
    for (url, token_file, tls_ca, part) in [
        (&url, &None, &ca, "no credential is set"),
        (&url, &known, &None, "--tls-ca"),
        (&plain, &None, &None, "speaks TLS"),
    ] {
        let (token_file, tls_ca) = (token_file.clone(), tls_ca.clone());
        let credentials = Credentials { token_file, tls_ca, ..Credentials::default() };
        let error = Seller::open(url, &seller, &credentials).await.err().unwrap().to_string();
        assert!(error.contains(part), "{error}");
    }
    let credentials = Credentials { token_file: known, tls_ca: ca, ..Credentials::default() };
    let shop = Shop::of(&Seller::open(&url, &seller, &credentials).await.unwrap()).await;
    let told = Buyer::of(&world, 0).buy(&shop.url("/a/tea")).await;
    assert_eq!(told.status, 200, "{told:?}");
}
