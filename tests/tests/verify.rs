//! What checks signatures can be chosen, and the choice changes nothing but the speed.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::path::Path;
use tallystick_tests::Outcome::{BadSignature, Credited};
use tallystick_tests::wire::{Frame, GetStatusRequest, Status};
use tallystick_tests::{Client, Engine, Launch, Outcome, Voucher, World, frame, outcomes, run_cli};

const NETWORK: &str = "ba5eba11ba5eba11ba5eba11ba5eba11ba5eba11ba5eba11ba5eba11ba5eba11";
const PAYERS: usize = 3;

/// An engine that checks as `args` say, always on one thread and with the same world.
async fn engine(dir: &Path, args: &[&str]) -> (Engine, Client, World) {
    let common = ["--init", "--network-id", NETWORK, "--verify-threads", "1"];
    let engine = Engine::start(dir, &[&common[..], args].concat());
    let mut client = Client::connect(&engine).await;
    let world = World::register(&mut client, PAYERS, 1).await;
    (engine, client, world)
}

async fn status(client: &mut Client) -> Status {
    client.operator.get_status(GetStatusRequest {}).await.unwrap().into_inner()
}

/// Good vouchers, and one in eight with a bit of its signature flipped, in frames of all sizes;
/// enough of each payer that its key earns every table there is.
fn traffic(world: &World) -> (Vec<Frame>, Vec<Outcome>) {
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    let (mut frames, mut wanted) = (Vec::new(), Vec::new());
    let mut total = 0;
    for (id, size) in (0..).zip([1, 1, 2, 5, 1, 700, 1, 1, 1, 63, 1_500, 1, 64, 65, 1_500, 3, 1]) {
        let mut vouchers: Vec<Voucher> = Vec::new();
        for _ in 0..size {
            total += 1;
            let mut voucher = world.voucher(rng.random_range(0..PAYERS), 0, 0, total);
            let good = !rng.random_ratio(1, 8);
            if !good {
                voucher.signature[rng.random_range(0..64)] ^= 1 << rng.random_range(0..8);
            }
            wanted.push(if good { Credited } else { BadSignature });
            vouchers.push(voucher);
        }
        frames.push(frame(id, &vouchers));
    }
    (frames, wanted)
}

#[tokio::test]
async fn every_backend_gives_the_same_outcomes() {
    let dir = tempfile::tempdir().unwrap();
    let (engine_, mut client, world) = engine(&dir.path().join("auto"), &[]).await;
    let (frames, wanted) = traffic(&world);
    let fastest = status(&mut client).await.verify_backend;
    assert!(["lanes", "avx2", "portable"].contains(&&*fastest), "{fastest}");
    drop((engine_, client));

    let mut runs = vec![("auto", "192MiB"), ("portable", "1MiB"), ("reference", "1MiB")];
    runs.push(("portable", "0"));
    if fastest != "portable" {
        runs.extend([(&*fastest, "1MiB"), (&*fastest, "0")]);
    }
    if fastest == "lanes" {
        // Whatever has AVX-512 has AVX2.
        runs.push(("avx2", "1MiB"));
    }
    for (backend, bytes) in runs {
        let args = ["--verify-backend", backend, "--verify-table-bytes", bytes];
        let data = dir.path().join(format!("{backend}-{bytes}"));
        let (engine, mut client, _) = engine(&data, &args).await;
        let acks = client.stream(frames.clone()).await;
        let told: Vec<Outcome> = acks.iter().flat_map(outcomes).collect();
        assert!(told == wanted, "{args:?}: outcomes differ");

        let status = status(&mut client).await;
        let named = if backend == "auto" { &fastest } else { backend };
        assert_eq!(status.verify_backend, named);
        assert_eq!(status.verify_alarms, 0, "{args:?}");
        let tables = bytes != "0" && backend != "reference";
        assert_eq!(status.verify_tables.len(), 3, "small, large and hot");
        // So few signatures make no key hot, and there is no room for that in 1 MiB.
        for tier in &status.verify_tables[..2] {
            assert_eq!((tier.capacity > 0, tier.built > 0), (tables, tables), "{args:?}: {tier:?}");
        }
        // Each key has one: who gets a larger table gives the smaller one back.
        let held: u64 = status.verify_tables.iter().map(|tier| tier.tables).sum();
        assert_eq!(held, if tables { u64::try_from(PAYERS).unwrap() } else { 0 }, "{args:?}");
        assert_eq!(status.verify_rejects_confirmed > 0, backend != "reference", "{args:?}");
        people_are_told(&engine, &status);
    }
}

/// `status` shows people the backend in words, and no alarm where there is none.
fn people_are_told(engine: &Engine, status: &Status) {
    let shown = run_cli(&["status", "--server", engine.address()]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains(&format!("1 threads, {}", status.verify_backend_text)), "{shown}");
    assert!(status.verify_backend_text.starts_with(&status.verify_backend), "{shown}");
    assert!(!shown.contains("ALARM"), "{shown}");
    assert!(engine.stderr().contains(&status.verify_backend_text), "the start log names it too");
}

#[test]
fn the_vector_backend_is_refused_where_the_cpu_cannot_run_it() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let launch = Launch::new(&data).args(&["--verify-backend", "lanes"]);
    match launch.try_start() {
        Ok(engine) => assert!(engine.stderr().contains("lanes (8 at once"), "{}", engine.stderr()),
        Err(exit) => {
            assert!(exit.stderr.contains("this CPU cannot run the `lanes`"), "{}", exit.stderr);
            assert!(!data.exists(), "nothing is made before the settings are known to be good");
        }
    }
}
