//! What the engine does by itself, over kills and restarts: the real binary. When it does what is
//! shown with a clock in hand, beside the code (`settle/schedule/diary/tests.rs`).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tallystick_tests::Outcome::Credited;
use tallystick_tests::wire::{
    Batch, BatchState, GetStatusRequest, Party, ScheduleStatus, UpsertPartyRequest,
};
use tallystick_tests::{
    Client, Deployment, Engine, Launch, PartyId, World, party_id, party_request, request_id,
};

/// Bounds every wait; not an expectation.
const DEADLINE: Duration = Duration::from_secs(120);
const DAY_US: i64 = 24 * 3_600 * 1_000_000;

/// An engine with a schedule in a directory where everything is registered.
struct House {
    client: Client,
    world: World,
    engine: Engine,
    dir: tempfile::TempDir,
    config: String,
}

impl House {
    async fn new(schedule: &str) -> Self {
        let Deployment { client, world, engine, dir } = Deployment::new(1, 1).await;
        drop(client);
        engine.stop().await;
        let config = format!("[[schedule]]\nasset = {}\n{schedule}", World::PAIRS);
        let (engine, client) = Self::start(&dir, &config).await;
        Self { client, world, engine, dir, config }
    }

    async fn start(dir: &tempfile::TempDir, config: &str) -> (Engine, Client) {
        let engine = Launch::new(&dir.path().join("data")).config(config).start();
        let client = Client::connect(&engine).await;
        (engine, client)
    }

    /// Killed, and started again.
    async fn again(self) -> Self {
        let Self { client, world, engine, dir, config } = self;
        drop(client);
        engine.kill9();
        let (engine, client) = Self::start(&dir, &config).await;
        Self { client, world, engine, dir, config }
    }

    async fn entry(&mut self) -> ScheduleStatus {
        let status = self.client.operator.get_status(GetStatusRequest {}).await.unwrap();
        status.into_inner().schedule.remove(0)
    }

    /// Waits until the entry's trouble holds this.
    async fn until_trouble(&mut self, part: &str) -> ScheduleStatus {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let entry = self.entry().await;
            if entry.trouble.contains(part) {
                return entry;
            }
            assert!(Instant::now() < deadline, "no trouble of {part:?}: {entry:?}");
        }
    }

    /// Waits until there are so many batches.
    async fn until_batches(&mut self, count: usize) -> Vec<Batch> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let batches = self.client.batches().await;
            if batches.len() >= count {
                return batches;
            }
            assert!(Instant::now() < deadline, "{count} batches are not made");
        }
    }
}

fn without_account(party: PartyId) -> UpsertPartyRequest {
    let (party_id, name) = (party.0.to_vec().into(), "Newcomer".to_owned());
    let party = Party { party_id, name, ..Default::default() };
    UpsertPartyRequest {
        request_id: request_id("party"),
        party: Some(party),
        reopen: false,
        keep: None,
    }
}

/// The batch of a window could not be made, because a party had no account; then the engine was
/// killed. The trouble was gone from `status`, and the batch was made no more. Meanwhile the
/// threshold closed nothing any more.
#[tokio::test]
async fn what_the_schedule_could_not_do_is_not_forgotten_over_a_kill_and_keeps_no_window_open() {
    let schedule = "close_when_gross_over = \"1000\"\nbatch_rail = \"iso20022\"\n";
    let mut house = House::new(schedule).await;
    let newcomer = party_id("newcomer");
    house.client.operator.upsert_party(without_account(newcomer)).await.unwrap();
    let voucher = house.world.pay(0, newcomer, World::PAIRS, 0, 20_000);
    assert_eq!(house.client.pay(&[voucher]).await, [Credited]);
    house.until_trouble("account").await;
    // Two more windows close all the same.
    for (window, total) in [(2, 1_010_000), (3, 2_020_000)] {
        assert_eq!(house.client.pay(&[house.world.voucher(0, 0, 0, total)]).await, [Credited]);
        let deadline = Instant::now() + DEADLINE;
        while house.client.window(window).await.root.is_empty() {
            assert!(Instant::now() < deadline, "window {window} stays open");
        }
    }
    let mut house = house.again().await;
    house.until_trouble("account").await;
    assert!(house.client.batches().await.is_empty());
    house.client.operator.upsert_party(party_request(newcomer, 77)).await.unwrap();
    let mut house = house.again().await;
    let batches = house.until_batches(1).await;
    assert_eq!((&batches[0].windows, &*batches[0].created_by), (&vec![1, 2, 3], "schedule"));
    let deadline = Instant::now() + DEADLINE;
    while !house.entry().await.trouble.is_empty() {
        assert!(Instant::now() < deadline, "the trouble stays");
    }
}

/// `approve_below` looks at one batch only: with a threshold, batch after batch was approved and
/// nobody looked.
#[tokio::test]
async fn what_is_approved_in_a_day_stays_below_its_bound_over_kills_and_the_rest_waits() {
    let schedule = "close_when_gross_over = \"1000000\"\nbatch_rail = \"iso20022\"\n\
                    approve_below = \"5000000\"\napprove_below_per_day = \"4000000\"\n";
    let refusal = Launch::new(&tempfile::tempdir().unwrap().path().join("data"))
        .config(&format!("[[schedule]]\nasset = 1\n{schedule}"))
        .refusal();
    assert!(refusal.contains("approve_below_per_day"), "less than one batch: {refusal}");
    let schedule = schedule.replace("\"5000000\"", "\"2000000\"");
    let mut house = House::new(&schedule).await;
    for count in 1..=5 {
        let total = 1_500_000 * u64::try_from(count).unwrap();
        assert_eq!(house.client.pay(&[house.world.voucher(0, 0, 0, total)]).await, [Credited]);
        house.until_batches(count).await;
        if count % 2 == 0 {
            house = house.again().await;
        }
    }
    // Those of one day, which may have ended meanwhile.
    let entry = house.until_trouble("approve_below_per_day").await;
    let mut days: BTreeMap<i64, u128> = BTreeMap::new();
    for batch in house.client.batches().await {
        let waits = batch.state() == BatchState::Computed;
        assert_eq!(batch.approved_by, if waits { "" } else { "schedule" });
        if !waits {
            let total: u128 = batch.total.parse().unwrap();
            *days.entry(batch.approved_at_us.div_euclid(DAY_US)).or_default() += total;
        }
    }
    assert!(!days.is_empty() && days.values().all(|sum| *sum < 4_000_000), "{days:?}");
    assert!(days.values().any(|sum| *sum == 3_000_000), "two fit: {days:?}");
    assert_eq!(entry.approve_below_per_day, "4000000");
    drop(house.dir);
}

/// Each hour's dust made a batch that two people looked at. What comes to too little waits, over a
/// kill, too, and leaves with the window that brings it to enough; nothing of that is a trouble.
#[tokio::test]
async fn what_would_move_too_little_waits_for_a_later_window() {
    let schedule = "close_when_gross_over = \"1000\"\nbatch_rail = \"iso20022\"\n\
                    batch_min_total = \"3000000\"\n";
    let mut house = House::new(schedule).await;
    for (window, total) in [(1, 1_000_000), (2, 2_000_000), (3, 3_500_000)] {
        assert_eq!(house.client.pay(&[house.world.voucher(0, 0, 0, total)]).await, [Credited]);
        let deadline = Instant::now() + DEADLINE;
        while house.client.window(window).await.root.is_empty() {
            assert!(Instant::now() < deadline, "window {window} stays open");
        }
        if window == 2 {
            house = house.again().await;
        }
    }
    let batches = house.until_batches(1).await;
    assert_eq!((batches.len(), &batches[0].windows), (1, &vec![1, 2, 3]));
    assert_eq!((&*batches[0].total, &*batches[0].advanced), ("3500000", "0"));
    let entry = house.entry().await;
    assert_eq!((&*entry.trouble, &*entry.batch_min_total), ("", "3000000"));
    drop(house.dir);
}
