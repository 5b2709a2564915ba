//! The Rust library, on the real engine: what is paid is paid once, whoever is killed.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tallystick_client::wire::CloseWindowRequest;
use tallystick_client::{
    Agent, AgentKey, AgentOptions, Budget, Credentials, Facilitator, Keep, Operator, Outcome,
    StreamError, Way,
};
use tallystick_tests::wire::SettlementModel;
use tallystick_tests::{Deployment, Engine, Launch, World};
use tokio::sync::mpsc;

#[path = "../../clients/rust/examples/first_payment.rs"]
mod first_payment;

const PATIENCE: Duration = Duration::from_secs(120);

/// How often the engine is killed beside a client that is killed.
const BOTH: f64 = 0.25;

/// How often the engine, or a client, is killed: `TALLYSTICK_KILLS` says more.
fn kills(usually: usize) -> usize {
    let more = std::env::var("TALLYSTICK_KILLS").ok().and_then(|text| text.parse().ok());
    more.unwrap_or(usually)
}

/// Another one with `TALLYSTICK_SEED`.
fn seed(usually: u64) -> u64 {
    let other = std::env::var("TALLYSTICK_SEED").ok().and_then(|text| text.parse().ok());
    other.unwrap_or(usually)
}

fn write_key(dir: &Path, secret: &[u8; 32]) {
    let path = dir.join("agent.key");
    std::fs::write(&path, data_encoding::HEXLOWER.encode(secret)).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn options(of: &Deployment, dir: &Path) -> AgentOptions {
    let key = AgentKey::new(&of.world.payers[0].secret.to_bytes());
    let mut options = AgentOptions::new(key, of.world.network.0);
    options.lanes = Keep::File(dir.join("agent.lanes"));
    options
}

/// What the payer owes the payee in the open window, after closing it: by the library itself.
async fn owed(server: &str, of: &World) -> u128 {
    let operator = Operator::connect(server, &Credentials::default()).await.unwrap();
    let close = || {
        operator.change_as("close-once", |mut calls, request_id| async move {
            calls.close_window(CloseWindowRequest { request_id }).await
        })
    };
    let window = close().await.unwrap();
    assert_eq!(close().await.unwrap().number, window.number, "a change is made once");
    let owed = operator.obligations(window.number, World::PAIRS).await.unwrap();
    let pair = (of.payers[0].party.0, of.payees[0].0);
    assert!(owed.keys().all(|other| *other == pair), "{owed:?}");
    owed.get(&pair).copied().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readme_pays_its_first_request() {
    let readme = include_str!("../../clients/rust/README.md");
    let example = include_str!("../../clients/rust/examples/first_payment.rs");
    let body = example.split_once("let facilitator").unwrap().1.split_once("    Ok(").unwrap().0;
    for line in body.lines().skip(1) {
        assert!(readme.contains(line.trim()), "the README has not: {line}");
    }
    let mut of = Deployment::new(1, 1).await;
    of.world.clone().create_asset(&mut of.client, 978, SettlementModel::Bilateral).await;
    let dir = tempfile::tempdir().unwrap();
    write_key(dir.path(), &of.world.payers[0].secret.to_bytes());
    let pay = || first_payment::pay(of.engine.address(), dir.path(), of.world.payees[0].0);
    // The payer has no limit in this asset.
    assert_eq!(pay().await.unwrap().to_string(), "over limit");
    let party = of.world.payers[0].party;
    let limit = tallystick_tests::limit_request(party, 978, "10000");
    of.client.operator.set_credit_limit(limit).await.unwrap();
    for _ in 0..2 {
        assert_eq!(pay().await.unwrap(), Outcome::CREDITED);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_run_side_by_side_within_a_budget_and_a_stop_drains() {
    let of = Deployment::new(1, 1).await;
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(&of, dir.path());
    options.budgets = [(World::PAIRS, Budget { per_payment: Some(5), total: Some(64) })].into();
    let agent = Agent::open(options).unwrap();
    let facilitator = Facilitator::start(of.engine.address(), &Credentials::default()).unwrap();
    let payee = of.world.payees[0].0;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let (agent, facilitator) = (agent.clone(), facilitator.clone());
        tasks.spawn(async move {
            let payment = agent.pay(payee, World::PAIRS, 2).await.unwrap();
            let answer = facilitator.bring(payment.voucher()).await.unwrap();
            payment.settle(answer.outcome).unwrap();
            answer.outcome
        });
    }
    let outcomes = tasks.join_all().await;
    assert_eq!(outcomes, [Outcome::CREDITED; 32]);
    for (amount, part) in [(6, "at once"), (1, "is used up"), (0, "above 0")] {
        let refused = agent.pay(payee, World::PAIRS, amount).await.err().unwrap();
        assert!(refused.to_string().contains(part), "{refused}");
    }
    let count = agent.lanes();
    assert!(count.free >= 1 && count.free <= 32 && count.out + count.in_doubt == 0, "{count:?}");
    facilitator.stop(PATIENCE).await.unwrap();
    let voucher = of.world.voucher(0, 0, 7, 1).pack();
    assert_eq!(facilitator.send_packed(voucher).await.err(), Some(StreamError::Stopped));
    assert_eq!(owed(of.engine.address(), &of.world).await, 64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_engine_loses_no_payment_and_counts_none_twice() {
    let of = Deployment::new(1, 1).await;
    let world = of.world.clone();
    let dir = tempfile::tempdir().unwrap();
    let agent = Agent::open(options(&of, dir.path())).unwrap();
    let data = of.data();
    // Two addresses, of which one is the engine's at a time.
    let first = of.engine.address().to_owned();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addresses = [first.clone(), free.local_addr().unwrap().to_string()];
    drop(free);
    let way = |server: &String| Way::prepare(server, &Credentials::default()).unwrap();
    let facilitator = Facilitator::over(addresses.iter().map(way).collect());
    let (paid, mut seen) = mpsc::unbounded_channel();
    let stop = Arc::new(tokio::sync::Notify::new());
    let mut payers = tokio::task::JoinSet::new();
    for task in 0..8u64 {
        let (agent, facilitator, paid) = (agent.clone(), facilitator.clone(), paid.clone());
        let (stop, payee) = (stop.clone(), world.payees[0].0);
        payers.spawn(async move {
            let mut rng = ChaCha8Rng::seed_from_u64(task);
            let (mut sum, mut again) = (0u128, 0u32);
            let mut stopped = std::pin::pin!(stop.notified());
            stopped.as_mut().enable();
            loop {
                let amount = rng.random_range(1..1_000u64);
                let payment = agent.pay(payee, World::PAIRS, amount).await.unwrap();
                let answer = facilitator.bring(payment.voucher()).await.unwrap();
                // The lane is this payment's alone: a sending before the crash is told as credited.
                assert_eq!(answer.outcome, Outcome::CREDITED);
                payment.confirm().unwrap();
                sum += u128::from(amount);
                again += u32::from(answer.was_sent_again);
                paid.send(()).ok();
                if tokio::time::timeout(Duration::ZERO, stopped.as_mut()).await.is_ok() {
                    return (sum, again);
                }
            }
        });
    }
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let Deployment { client, mut engine, dir: _data, .. } = of;
    drop(client);
    for kill in 0..kills(8) {
        for _ in 0..rng.random_range(1..200) {
            seen.recv().await.unwrap();
        }
        engine.kill9();
        let listen = addresses[(kill + 1) % 2].clone();
        let launch = Launch::new(&data).args(&["--listen", &listen]);
        engine = tokio::task::spawn_blocking(move || launch.start()).await.unwrap();
    }
    stop.notify_waiters();
    let done = payers.join_all().await;
    facilitator.stop(PATIENCE).await.unwrap();
    let sum: u128 = done.iter().map(|(sum, _)| sum).sum();
    assert!(done.iter().any(|(_, again)| *again > 0), "no kill met a frame");
    assert_eq!(agent.signed(World::PAIRS), sum);
    assert_eq!(owed(engine.address(), &world).await, sum);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_clients_and_engines_pay_every_request_once() {
    let kills = kills(12);
    // More than are paid until the last kill.
    let requests = u32::try_from(kills * 35).unwrap();
    let of = Deployment::new(1, 1).await;
    let dir = tempfile::tempdir().unwrap();
    write_key(dir.path(), &of.world.payers[0].secret.to_bytes());
    let mut rng = ChaCha8Rng::seed_from_u64(seed(5));
    let data = of.data();
    let Deployment { client, world, mut engine, dir: _data, .. } = of;
    drop(client);
    let address = engine.address().to_owned();
    let mut paid: BTreeSet<u32> = BTreeSet::new();
    let mut signed = None;
    for life in 0..=kills {
        let told: Vec<String> = paid.iter().map(u32::to_string).collect();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tallystick-agent"));
        command.args(["--server", &address, "--asset", &World::PAIRS.to_string()]);
        command.args(["--payee", &data_encoding::HEXLOWER.encode(&world.payees[0].0)]);
        command.arg("--dir").arg(dir.path()).args(["--requests", &requests.to_string()]);
        command.args(["--paid", &told.join(",")]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // The last life ends by itself.
        let until = if life < kills { rng.random_range(0..40) } else { usize::MAX };
        let engine_ends = (life < kills && rng.random_bool(BOTH)).then(|| rng.random_range(0..40));
        for (lived, line) in lines.by_ref().take(until).enumerate() {
            let line = line.unwrap();
            if engine_ends == Some(lived) {
                engine = started_again(engine, &data, &address).await;
            }
            match line.split_once(' ').unwrap() {
                ("paid", number) => assert!(paid.insert(number.parse().unwrap()), "{line}"),
                (_, sum) => signed = Some(sum.parse::<u128>().unwrap()),
            }
        }
        if life < kills {
            child.kill().unwrap();
        }
        if engine_ends.is_some_and(|lived| lived >= until) {
            engine = started_again(engine, &data, &address).await;
        }
        let ended = child.wait().unwrap();
        assert!(life < kills || ended.success(), "{ended}");
    }
    assert_eq!(paid.len(), usize::try_from(requests).unwrap());
    let sum = u128::from(requests) * u128::from(requests + 1) / 2;
    // What was signed and not held when it was asked about may be signed anew on another lane.
    assert_eq!(owed(&address, &world).await, sum);
    assert!(signed.unwrap() >= sum, "{signed:?}");
}

/// The engine is killed, and serves again at the same address.
async fn started_again(engine: Engine, data: &Path, address: &str) -> Engine {
    let launch = Launch::new(data).args(&["--listen", address]);
    let again = move || {
        engine.kill9();
        launch.start()
    };
    tokio::task::spawn_blocking(again).await.unwrap()
}
