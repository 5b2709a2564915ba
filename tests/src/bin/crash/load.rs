//! What keeps the engine busy: streams of vouchers and operators, each until the engine is gone.
//!
//! Owns how a call is made. Every answer goes into the books; a lost connection is no answer.

use crate::books::{Books, Op, Told};
use crate::pool::{Channel, PAYERS, Pool};
use bytes::Bytes;
use rand::seq::IteratorRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tallystick_tests::wire::{
    AbortBatchRequest, ApproveBatchRequest, BatchState, CloseWindowRequest, CreateBatchRequest,
    Frame, RecordDepositRequest, RevokeSignerRequest,
};
use tallystick_tests::{
    Client, Outcome, Signer, World, limit_request, party_id, party_request, signer_request,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

/// Frames that a stream has sent and not yet seen acked, at most.
const AHEAD: usize = 4;
/// Vouchers in a frame, at most.
const FRAME: usize = 16;
/// Entries of a bundle, at most.
const BUNDLE: usize = 9;
/// Longest pause between two frames of a stream: what matters is how often the engine is killed,
/// not how much it holds then, and a start replays all of it.
const PAUSE: Duration = Duration::from_millis(4);

pub type Shared = Arc<Mutex<Books>>;

/// The books, for a moment. A task that panicked has said so elsewhere.
pub fn with<T>(books: &Shared, look: impl FnOnce(&mut Books) -> T) -> T {
    look(&mut books.lock().unwrap_or_else(PoisonError::into_inner))
}

/// A voucher of a frame: its channel and place in the pool, or one whose signature was spoilt.
#[derive(Debug, Clone, Copy)]
enum Sent {
    Good(usize, usize),
    Spoilt,
}

fn frame(pool: &Pool, books: &mut Books, rng: &mut ChaCha8Rng, id: u64) -> (Frame, Vec<Sent>) {
    let (mut packed, mut sent) = (Vec::new(), Vec::new());
    for _ in 0..rng.random_range(1..=FRAME) {
        let number = rng.random_range(0..pool.channels.len());
        let (channel, known) = (&pool.channels[number], &mut books.channels[number]);
        let spoilt = rng.random_range(0..100) == 0;
        // Mostly the next; sometimes an old one once more, as clients that lost an ack do.
        let again = known.next > 0 && rng.random_range(0..100) < 15;
        let place = if again { rng.random_range(0..known.next) } else { known.next };
        let Some(voucher) = channel.packed.get(place) else { continue };
        let at = packed.len();
        packed.extend_from_slice(voucher);
        if spoilt {
            packed[at + 96 + rng.random_range(0..64)] ^= 1 << rng.random_range(0..8);
            sent.push(Sent::Spoilt);
            continue;
        }
        known.next = known.next.max(place + 1);
        known.sent = known.sent.max(place + 1);
        sent.push(Sent::Good(number, place));
    }
    let packed_bundles = match rng.random_range(0..4) {
        0 => vec![bundle(pool, books, rng, &mut sent).into()],
        _ => Vec::new(),
    };
    (Frame { frame_id: id, packed: packed.into(), packed_bundles, ..Frame::default() }, sent)
}

/// A bundle of one payer: the next totals of some of its channels, or old ones once more. Signed
/// now, since which of them stand together is chosen here.
fn bundle(pool: &Pool, books: &mut Books, rng: &mut ChaCha8Rng, sent: &mut Vec<Sent>) -> Vec<u8> {
    let payer = rng.random_range(0..PAYERS);
    let own = (0..pool.channels.len()).filter(|&number| pool.channels[number].payer == payer);
    let count = rng.random_range(1..=BUNDLE);
    let spoilt = rng.random_range(0..30) == 0;
    let mut entries = Vec::new();
    for number in own.sample(rng, count) {
        let (channel, known) = (&pool.channels[number], &mut books.channels[number]);
        let newest = known.next.min(channel.totals.len() - 1);
        let again = newest > 0 && rng.random_range(0..100) < 15;
        let place = if again { rng.random_range(0..newest) } else { newest };
        let Channel { payee, asset, lane, .. } = *channel;
        entries.push(pool.world.unsigned(payee, asset, lane, channel.totals[place]));
        if spoilt {
            sent.push(Sent::Spoilt);
            continue;
        }
        known.next = known.next.max(place + 1);
        known.sent = known.sent.max(place + 1);
        sent.push(Sent::Good(number, place));
    }
    let mut packed = pool.world.bundle(payer, &entries);
    if spoilt {
        packed[32 + rng.random_range(0..64)] ^= 1 << rng.random_range(0..8);
    }
    packed
}

fn acked(books: &mut Books, sent: &[Sent], outcomes: &[u8]) {
    if sent.len() != outcomes.len() {
        books.found.failure(format!("{} outcomes for {} vouchers", outcomes.len(), sent.len()));
    }
    for (sent, outcome) in sent.iter().zip(outcomes) {
        let outcome = Outcome::try_from(i32::from(*outcome)).unwrap_or_default();
        match (*sent, outcome) {
            (Sent::Good(number, place), Outcome::Credited | Outcome::Stale) => {
                let known = &mut books.channels[number];
                known.acked = known.acked.max(place + 1);
                books.acked_vouchers += 1;
            }
            // The total is looked at before the signature.
            (Sent::Spoilt, Outcome::BadSignature | Outcome::Stale) => books.acked_vouchers += 1,
            (sent, outcome) => books.found.failure(format!("{sent:?} was answered {outcome:?}")),
        }
    }
}

/// Streams frames until the engine is gone.
pub async fn stream(mut client: Client, pool: Arc<Pool>, books: Shared, seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (frames, waiting) = mpsc::channel(AHEAD);
    let Ok(acks) = client.vouchers.stream(ReceiverStream::new(waiting)).await else { return };
    let (mut acks, mut unacked, mut next) = (acks.into_inner(), VecDeque::new(), 0);
    loop {
        while unacked.len() < AHEAD {
            let (frame, sent) = with(&books, |books| frame(&pool, books, &mut rng, next));
            if !sent.is_empty() && frames.send(frame).await.is_err() {
                // Acks may still be on their way.
                break;
            }
            if sent.is_empty() {
                break;
            }
            next += 1;
            unacked.push_back((next - 1, sent));
        }
        tokio::time::sleep(PAUSE.mul_f64(rng.random())).await;
        let Ok(Some(ack)) = acks.message().await else { return };
        let Some((id, sent)) = unacked.pop_front() else { return };
        with(&books, |books| {
            if ack.frame_id != id {
                books.found.failure(format!("frame {id} was due, {} was acked", ack.frame_id));
            }
            acked(books, &sent, &ack.outcomes);
        });
    }
}

/// Calls as an operator does, one after the other, until the engine is gone. `number` of `of`: who
/// may touch what, so that calls of two operators never depend on each other.
pub async fn operate(
    mut client: Client,
    pool: Arc<Pool>,
    books: Shared,
    seed: u64,
    (number, of): (u64, u64),
) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for call in 0u64.. {
        let id = format!("{seed:016x}-{number}-{call}");
        let op = with(&books, |books| {
            let op = choose(books, &mut rng, (number, of));
            books.pending.insert(id.clone(), op.clone());
            op
        });
        match perform(&mut client, &pool, &id, &op).await {
            Ok(told) => with(&books, |books| books.told(&id, told)),
            Err(status) if gone(&status) => return,
            Err(status) => {
                let text = format!("{op:?} was refused: {:?} {}", status.code(), status.message());
                with(&books, |books| books.found.failure(text));
                return;
            }
        }
    }
}

/// Whether the call may or may not have been done.
fn gone(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal)
}

fn choose(books: &mut Books, rng: &mut ChaCha8Rng, (number, of): (u64, u64)) -> Op {
    let payers = PAYERS as u64 / of;
    let payer = usize::try_from(number + of * rng.random_range(0..payers)).expect("few payers");
    let asset = if rng.random_bool(0.5) { World::PAIRS } else { World::CLEARED };
    let mine = |window: &u64| window % of == number;
    let free: Vec<_> = books.free.iter().filter(|(window, _)| mine(window)).copied().collect();
    let computed =
        books.batches.values().map(|made| &made.batch).filter(|batch| {
            batch.state() == BatchState::Computed && batch.windows.iter().all(mine)
        });
    let computed: Vec<Vec<u8>> = computed.map(|batch| batch.batch_id.to_vec()).collect();
    match rng.random_range(0..100) {
        0..12 => Op::Close,
        12..40 if !free.is_empty() => {
            let (window, asset) = free[rng.random_range(0..free.len())];
            Op::Batch { window, asset }
        }
        40..65 if !computed.is_empty() => {
            let batch = computed[rng.random_range(0..computed.len())].clone();
            if rng.random_bool(0.7) { Op::Approve { batch } } else { Op::Abort { batch } }
        }
        65..75 => Op::Limit { payer, asset, limit: World::LIMIT + rng.random_range(0..1_000) },
        75..82 => {
            books.last_party += 1;
            Op::Party { number: books.last_party }
        }
        // One's own parties only: two operators may do these side by side.
        82..88 if !books.parties.is_empty() => {
            let number = *books.parties.last().expect("not empty");
            if rng.random_bool(0.5) {
                Op::Signer { number }
            } else {
                Op::Deposit { payer, asset, amount: 3 }
            }
        }
        88..90 => Op::Revoke { number: 0 },
        _ => Op::Deposit { payer, asset, amount: rng.random_range(1..1_000) },
    }
}

/// The signer of a party that was made on the way; number 0 is registered at the start.
pub fn extra(number: u64) -> Signer {
    Signer::new(&format!("extra {number}"), party_id(&format!("extra {number}")))
}

/// Makes one call under its request id; a repeated call must be answered as the first.
pub async fn perform(client: &mut Client, pool: &Pool, id: &str, op: &Op) -> Result<Told, Status> {
    let (request_id, operator) = (id.to_owned(), &mut client.operator);
    let party = |payer: usize| Bytes::copy_from_slice(&pool.world.payers[payer].party.0);
    let batch_id = |batch: &[u8]| Bytes::copy_from_slice(batch);
    match op {
        Op::Close => {
            let window = operator.close_window(CloseWindowRequest { request_id }).await?;
            Ok(Told::Window(Box::new(window.into_inner())))
        }
        Op::Batch { window, asset } => {
            let (windows, rail) = (vec![*window], "iso20022".to_owned());
            let request = CreateBatchRequest { request_id, windows, asset: *asset, rail };
            match operator.create_batch(request).await {
                Ok(batch) => Ok(Told::Batch(Box::new(batch.into_inner()))),
                Err(status) if status.message().contains("nothing to settle") => Ok(Told::Refused),
                Err(status) => Err(status),
            }
        }
        Op::Approve { batch } => {
            let request =
                ApproveBatchRequest { request_id, batch_id: batch_id(batch), ..Default::default() };
            Ok(Told::Batch(Box::new(operator.approve_batch(request).await?.into_inner())))
        }
        Op::Abort { batch } => {
            let (batch_id, reason) = (batch_id(batch), "a test".to_owned());
            let request = AbortBatchRequest { request_id, batch_id, reason };
            Ok(Told::Batch(Box::new(operator.abort_batch(request).await?.into_inner())))
        }
        Op::Deposit { payer, asset, amount } => {
            let (party_id, amount) = (party(*payer), amount.to_string());
            let reference = String::new();
            let request =
                RecordDepositRequest { request_id, party_id, asset: *asset, amount, reference };
            operator.record_deposit(request).await.map(|_| Told::Nothing)
        }
        Op::Limit { payer, asset, limit } => {
            let party = pool.world.payers[*payer].party;
            let request = limit_request(party, *asset, &limit.to_string());
            let request = tallystick_tests::wire::SetCreditLimitRequest { request_id, ..request };
            operator.set_credit_limit(request).await.map(|_| Told::Nothing)
        }
        Op::Party { number } => {
            let request = party_request(extra(*number).party, 5_000 + number);
            let request = tallystick_tests::wire::UpsertPartyRequest { request_id, ..request };
            operator.upsert_party(request).await.map(|_| Told::Nothing)
        }
        Op::Signer { number } => {
            let request = signer_request(&extra(*number), &[]);
            let request = tallystick_tests::wire::AddSignerRequest { request_id, ..request };
            operator.add_signer(request).await.map(|_| Told::Nothing)
        }
        Op::Revoke { number } => {
            let signer = extra(*number).key().0.to_vec().into();
            let request = RevokeSignerRequest { request_id, signer };
            operator.revoke_signer(request).await.map(|_| Told::Nothing)
        }
    }
}
