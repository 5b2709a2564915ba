//! Killed at any moment, the engine loses nothing that it acked and invents nothing.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, VecDeque};
use tallystick_tests::Outcome::{Credited, Stale};
use tallystick_tests::wire::{
    Ack, CloseWindowRequest, Frame, GetChannelRequest, GetExposureRequest, RecordDepositRequest,
};
use tallystick_tests::{
    Client, Deployment, Engine, Voucher, World, check_money_sums, frame, outcomes, request_id,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

const PAYERS: usize = 4;
const PAYEES: usize = 3;
const LANES: u64 = 2;
const ROUNDS: u64 = 20;
/// Frames that a client has sent and not yet seen acked, at most.
const AHEAD: usize = 24;

type Key = (usize, usize, u64);

/// This test's own books: what was sent and what was acked, per channel.
struct Books {
    sent: BTreeMap<Key, u64>,
    acked: BTreeMap<Key, u64>,
    rng: ChaCha8Rng,
}

impl Books {
    fn new(seed: u64) -> Self {
        let rng = ChaCha8Rng::seed_from_u64(seed);
        Self { sent: BTreeMap::new(), acked: BTreeMap::new(), rng }
    }

    /// The next frame: totals that rise from what was sent last.
    fn frame(&mut self, world: &World, id: u64) -> (Frame, Vec<(Key, u64)>) {
        let mut keys = Vec::new();
        let mut vouchers: Vec<Voucher> = Vec::new();
        for _ in 0..self.rng.random_range(1..24) {
            let payer = self.rng.random_range(0..PAYERS);
            let payee = self.rng.random_range(0..PAYEES);
            let key = (payer, payee, self.rng.random_range(0..LANES));
            let total = self.sent.entry(key).or_default();
            *total += self.rng.random_range(1..1_000u64);
            vouchers.push(world.voucher(payer, payee, key.2, *total));
            keys.push((key, *total));
        }
        (frame(id, &vouchers), keys)
    }

    fn ack(&mut self, ack: &Ack, keys: &[(Key, u64)]) {
        assert_eq!(outcomes(ack).len(), keys.len());
        for ((key, total), outcome) in keys.iter().zip(outcomes(ack)) {
            // Lost frames are sent again below their successors, so a total may be old news.
            assert!([Credited, Stale].contains(&outcome), "{outcome:?}");
            let acked = self.acked.entry(*key).or_default();
            *acked = (*acked).max(*total);
        }
    }

    /// What the engine holds is at least what it acked and at most what was sent. From here on this
    /// client goes on from what the engine says, as a client that lost acks does.
    async fn compare(&mut self, client: &mut Client, world: &World) -> u64 {
        let mut sum = 0;
        for (key, sent) in &mut self.sent {
            let held = held(client, world, *key).await;
            let acked = self.acked.entry(*key).or_default();
            assert!(held >= *acked, "{key:?}: acked {acked}, held {held}: a credit was lost");
            assert!(held <= *sent, "{key:?}: sent {sent}, held {held}: a credit was invented");
            (*acked, *sent) = (held, held);
            sum += held;
        }
        sum
    }
}

async fn held(client: &mut Client, world: &World, (payer, payee, lane): Key) -> u64 {
    let request = GetChannelRequest {
        signer: world.payers[payer].key().0.to_vec().into(),
        payee: world.payees[payee].0.to_vec().into(),
        asset: World::PAIRS,
        lane,
        expires_at: world.expires_at,
    };
    client.vouchers.get_channel(request).await.expect("the engine answers").into_inner().cumulative
}

/// A stream with frames under way.
struct Load {
    frames: mpsc::Sender<Frame>,
    acks: Streaming<Ack>,
    unacked: VecDeque<Vec<(Key, u64)>>,
    next: u64,
}

impl Load {
    async fn open(client: &mut Client) -> Self {
        let (frames, stream) = mpsc::channel(AHEAD);
        let acks = client.vouchers.stream(ReceiverStream::new(stream)).await;
        let acks = acks.expect("the engine answers").into_inner();
        Self { frames, acks, unacked: VecDeque::new(), next: 0 }
    }

    /// Keeps `AHEAD` frames under way until `acks` more were acked.
    async fn run(&mut self, books: &mut Books, world: &World, acks: u64) {
        for _ in 0..acks {
            while self.unacked.len() < AHEAD {
                let (frame, keys) = books.frame(world, self.next);
                self.next += 1;
                self.frames.send(frame).await.expect("the stream is open");
                self.unacked.push_back(keys);
            }
            let ack = self.acks.message().await.expect("the engine lives").expect("a frame waits");
            self.take(books, &ack);
        }
    }

    fn take(&mut self, books: &mut Books, ack: &Ack) {
        assert_eq!(ack.frame_id, self.next - u64::try_from(self.unacked.len()).expect("bounded"));
        let keys = self.unacked.pop_front().expect("acks answer frames");
        books.ack(ack, &keys);
    }

    /// Takes the acks that still arrive once the other side has gone.
    async fn drain(mut self, books: &mut Books) {
        while let Ok(Some(ack)) = self.acks.message().await {
            self.take(books, &ack);
        }
    }
}

async fn owed_in_all_windows(client: &mut Client) -> u64 {
    let mut sum = 0;
    for window in client.windows().await {
        if window.cut_lsn > 0 {
            check_money_sums(client, window.number, World::PAIRS).await;
            for owed in client.obligations(window.number, World::PAIRS).await {
                sum += owed.amount.parse::<u64>().expect("small sums");
            }
        }
    }
    sum
}

#[tokio::test]
async fn what_was_acked_survives_twenty_kills_and_nothing_else_appears() {
    let mut d = Deployment::new(PAYERS, PAYEES).await;
    let world = d.world.clone();
    let data = d.data();
    let mut books = Books::new(20_261_123);
    let payer: bytes::Bytes = world.payers[0].party.0.to_vec().into();
    let mut engine = Some(d.engine);
    let mut closed = Vec::new();
    for round in 0..ROUNDS {
        let mut load = Load::open(&mut d.client).await;
        let acks = books.rng.random_range(0..80);
        load.run(&mut books, &world, acks).await;
        // Two operator calls are under way when the end comes; whether they took effect is unknown.
        let deposit = RecordDepositRequest {
            request_id: format!("deposit of round {round}"),
            party_id: payer.clone(),
            asset: World::PAIRS,
            amount: "1".into(),
            reference: String::new(),
        };
        let close = CloseWindowRequest { request_id: format!("close of round {round}") };
        let mut operator = d.client.operator.clone();
        let sent = deposit.clone();
        let first = tokio::spawn(async move { operator.record_deposit(sent).await.is_ok() });
        let mut operator = d.client.operator.clone();
        let sent = close.clone();
        let second = tokio::spawn(async move { operator.close_window(sent).await.is_ok() });
        let more = books.rng.random_range(0..3);
        load.run(&mut books, &world, more).await;
        engine.take().expect("one runs at a time").kill9();
        load.drain(&mut books).await;
        let answered = (first.await.unwrap(), second.await.unwrap());

        // Another number of shards each time: nothing may depend on it.
        let shards = (round % 5 + 1).to_string();
        let again = Engine::start(&data, &["--shards", &shards]);
        d.client = Client::connect(&again).await;
        engine = Some(again);
        books.compare(&mut d.client, &world).await;
        d.client.operator.record_deposit(deposit).await.expect("a retry is answered");
        let window = d.client.operator.close_window(close).await.expect("a retry is answered");
        closed.push(window.into_inner().number);
        let ask = GetExposureRequest { party_id: payer.clone(), asset: World::PAIRS };
        let exposure = d.client.operator.get_exposure(ask).await.unwrap().into_inner();
        assert_eq!(exposure.prefund, (round + 1).to_string(), "{answered:?} in round {round}");
    }
    let wanted: Vec<u64> = (1..=ROUNDS).collect();
    assert_eq!(closed, wanted, "each close closed one window");
    let sum = books.compare(&mut d.client, &world).await;
    d.client.close_window().await;
    assert_eq!(owed_in_all_windows(&mut d.client).await, sum, "what is owed is what was signed");
}

#[tokio::test]
async fn a_client_that_hangs_up_keeps_what_was_acked_and_gets_nothing_more_than_it_sent() {
    let mut d = Deployment::new(PAYERS, PAYEES).await;
    let world = d.world.clone();
    let mut books = Books::new(5);
    for _ in 0..10 {
        // A connection of its own, so that dropping it hangs up.
        let mut client = Client::connect(&d.engine).await;
        let mut load = Load::open(&mut client).await;
        let acks = books.rng.random_range(0..30);
        load.run(&mut books, &world, acks).await;
        drop(load);
        drop(client);
    }
    d.client.close_window().await;
    let mut d = d.restart(&[]).await;
    let sum = books.compare(&mut d.client, &world).await;
    d.client.close_window().await;
    assert_eq!(owed_in_all_windows(&mut d.client).await, sum);
}

#[tokio::test]
async fn a_kill_right_after_a_frame_is_acked_loses_nothing_of_it() {
    let mut d = Deployment::new(1, 1).await;
    for total in 1..=8 {
        let ack = d.client.submit(&[d.world.voucher(0, 0, 0, total)]).await;
        d.engine.kill9();
        d.engine = Engine::start(&d.dir.path().join("data"), &[]);
        d.client = Client::connect(&d.engine).await;
        assert_eq!(ack.credited, 1);
        assert_eq!(held(&mut d.client, &d.world, (0, 0, 0)).await, total);
    }
    let request_id = request_id("close");
    let window = d.client.operator.close_window(CloseWindowRequest { request_id }).await.unwrap();
    assert_eq!(window.get_ref().vouchers_credited, 8);
}

#[tokio::test]
async fn a_polite_stop_answers_what_is_under_way() {
    let mut d = Deployment::new(PAYERS, PAYEES).await;
    let world = d.world.clone();
    let data = d.data();
    let mut books = Books::new(9);
    let mut load = Load::open(&mut d.client).await;
    load.run(&mut books, &world, 20).await;
    // It ends with success although a stream is open.
    let stopped = tokio::spawn(d.engine.stop());
    load.drain(&mut books).await;
    stopped.await.expect("no panic");
    let engine = Engine::start(&data, &[]);
    let mut client = Client::connect(&engine).await;
    books.compare(&mut client, &world).await;
}
