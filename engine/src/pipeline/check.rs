//! The verify workers: take chunks of vouchers, find channel, payer's shard and verdict of each.
//!
//! Takes the verdict on every signature, once, before the journal. Knows no rule of credit. Chunks
//! of different frames are checked together when they are queued together; no voucher ever waits
//! for company.

use super::fair::{Fair, Hand};
use super::frame::{Finding, Found, Frame, NO_TREE};
use super::known::Known;
use super::meters::Meters;
use super::seen::Seen;
use crate::canary::{Bug, planted};
use crate::limits::VERIFY_BATCH;
use crate::types::{
    BundleHasher, BundleTree, ChannelHasher, ChannelId, Packed, Signable, VOUCHER_BYTES, Verdict,
    message,
};
use crate::verify::{Check, Key, Keys, KeysView, Scratch, SignatureVerdict, Verifier, known};
use crossbeam::channel::Sender;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

/// A chunk to be checked: the frame and which of its chunks.
pub(super) type Chunk = (Arc<Frame>, u16);

/// What a worker needs.
pub(super) struct Worker {
    pub fair: Arc<Fair>,
    pub checked: Sender<Arc<Frame>>,
    pub keys: Arc<Keys>,
    pub hasher: ChannelHasher,
    pub bundles: BundleHasher,
    pub verifier: Arc<Verifier>,
    /// What is certain of the totals of each shard's channels.
    pub known: Arc<[Known]>,
    /// Whose signatures were checked when they were asked about.
    pub seen: Arc<Seen>,
    /// How many workers share the queue of chunks.
    pub workers: usize,
    pub meters: Arc<Meters>,
}

/// The chunks that are checked together, and what is kept from one batch to the next.
#[derive(Default)]
pub(super) struct Batch {
    pub hand: Hand,
    /// One for each voucher of all chunks, in their order.
    findings: Vec<Finding>,
    /// Of each chunk the trees of the bundles of which it has entries.
    trees: Vec<Vec<BundleTree>>,
    /// What was signed, where there is a signature to check.
    messages: Vec<Signable>,
    verdicts: Vec<SignatureVerdict>,
    scratch: Scratch,
}

/// A signature that is to be checked: of a voucher, or of a bundle.
struct Signed<'a> {
    /// Which of the batch's findings hang on it.
    places: Range<usize>,
    /// The voucher, or the first of the entries.
    voucher: Packed<'a>,
    key: &'a Key,
    frame: &'a Frame,
}

impl<'a> Signed<'a> {
    fn check(&self, message: &'a Signable) -> Check<'a> {
        let message = message.bytes();
        Check { key: self.key.key(), message, signature: self.voucher.signature() }
    }
}

const UNCHECKED: Finding =
    Finding { channel: ChannelId::ZERO, verdict: Verdict::Malformed, shard: 0, tree: NO_TREE };

impl Worker {
    /// Works until ingress is gone.
    pub fn run(self) {
        let mut batch = Batch::default();
        // This worker's share of what is queued, so that the others find work as well.
        while self.fair.take(self.workers, &mut batch.hand) {
            let open = self.check(&mut batch);
            batch.hand.chunks.clear();
            if !open {
                return;
            }
            // Batch after batch this thread would have its core for as long as the system lets it,
            // milliseconds in which whoever else has just woken waits.
            std::thread::yield_now();
        }
    }

    /// Checks a batch and hands each chunk's findings to its frame. False when the sequencer is
    /// gone.
    pub fn check(&self, batch: &mut Batch) -> bool {
        let Batch { hand: Hand { chunks, .. }, findings, trees, messages, verdicts, scratch } =
            batch;
        let view = self.keys.view();
        let signed = self.find(&view, chunks, (findings, trees), messages);
        let checks: Vec<Check<'_>> =
            signed.iter().zip(&*messages).map(|(signed, message)| signed.check(message)).collect();
        let lap = self.meters.batch(checks.len());
        lap.time(|| self.verifier.check(scratch, &checks, verdicts));
        for (signed, verdict) in signed.iter().zip(&*verdicts) {
            let verdict = known(*verdict);
            findings[signed.places.clone()].iter_mut().for_each(|of| of.verdict = verdict);
            if verdict == Verdict::Valid && signed.frame.is_question() {
                self.seen.note(signed.voucher);
            }
        }
        let open = self.hand_out(chunks, findings, trees);
        // Last, so that no verdict waits for the building of a table.
        lap.time(|| self.verifier.learn(scratch, &checks, verdicts));
        open
    }

    /// Finds what can be known of the batch's vouchers without their signatures; gives those whose
    /// signatures are to be checked.
    fn find<'a>(
        &self,
        view: &'a KeysView<'_>,
        chunks: &'a [Chunk],
        (findings, trees): (&mut Vec<Finding>, &mut Vec<Vec<BundleTree>>),
        messages: &mut Vec<Signable>,
    ) -> Vec<Signed<'a>> {
        let places = || {
            chunks.iter().flat_map(|(frame, index)| {
                frame.places(*index).zip(frame.chunk(*index)).map(|(at, of)| (&**frame, at, of))
            })
        };
        // First all keys, then the rest: a key is a cache miss, and misses that do not wait for
        // each other's hashing overlap.
        let mut keys: Vec<Option<&Key>> = Vec::with_capacity(VERIFY_BATCH);
        for (frame, at, voucher) in places() {
            let key = match keys.last() {
                Some(last) if frame.follows(at) => *last,
                Some(_) | None => view.get(&Packed(voucher).signer()),
            };
            keys.push(key);
        }
        let channels = self.hasher.channels(places().map(|(_, _, voucher)| Packed(voucher)));
        findings.clear();
        findings.resize(keys.len(), UNCHECKED);
        let shards = u16::try_from(self.known.len()).expect("shards are bounded");
        let mut signed = Vec::with_capacity(keys.len());
        for (place, ((frame, at, voucher), key)) in places().zip(&keys).enumerate() {
            if !frame.is_in_form(at) {
                continue;
            }
            let (finding, voucher) = (&mut findings[place], Packed(voucher));
            let Some(key) = *key else {
                finding.verdict = Verdict::UnknownKey;
                continue;
            };
            finding.channel = channels[place];
            finding.shard = key.party().shard(shards);
            if !frame.is_entry(at) {
                signed.push(Signed { places: place..place + 1, voucher, key, frame });
            }
        }
        // Again all together, for these are cache misses, too.
        signed.retain(|Signed { places, voucher, frame, .. }| {
            let finding = &mut findings[places.start];
            let known = &self.known[usize::from(finding.shard)];
            if known.is_stale(&finding.channel, voucher.cumulative()) {
                finding.verdict = Verdict::Stale;
            } else if frame.is_charge() && self.seen.has(*voucher) {
                finding.verdict = Verdict::Valid;
            } else {
                return true;
            }
            false
        });
        messages.clear();
        messages.extend(signed.iter().map(|Signed { places, voucher, .. }| {
            let channel = findings[places.start].channel;
            Signable::Voucher(message(channel, voucher.cumulative(), voucher.expires_at()))
        }));
        self.find_bundles((chunks, &keys), (findings, trees), (&mut signed, messages));
        signed
    }

    /// The same of bundles, each of which lies in one chunk.
    fn find_bundles<'a>(
        &self,
        (chunks, keys): (&'a [Chunk], &[Option<&'a Key>]),
        (findings, trees): (&mut [Finding], &mut Vec<Vec<BundleTree>>),
        (signed, messages): (&mut Vec<Signed<'a>>, &mut Vec<Signable>),
    ) {
        trees.clear();
        let (mut brought, mut entries) = (Vec::new(), Vec::new());
        let mut base = 0;
        for (chunk, (frame, index)) in chunks.iter().enumerate() {
            trees.push(Vec::new());
            let own = frame.places(*index);
            for bundle in frame.brought().bundles(own.clone()) {
                let places = base + bundle.start - own.start..base + bundle.end - own.start;
                let Some(key) = keys[places.start] else { continue };
                let packed = &frame.brought().all()[bundle];
                if self.are_stale(packed, &mut findings[places.clone()]) {
                    continue;
                }
                let start = entries.len();
                let of = packed.iter().zip(&findings[places.clone()]);
                entries.extend(of.map(|(entry, of)| (of.channel, Packed(entry).cumulative())));
                let signed = Signed { places, voucher: Packed(&packed[0]), key, frame };
                brought.push((chunk, start..entries.len(), signed));
            }
            base += own.len();
        }
        let grown =
            self.bundles.trees(&entries, brought.iter().map(|(_, within, _)| within.clone()));
        for ((chunk, _, bundle), tree) in brought.into_iter().zip(grown) {
            messages.push(self.bundles.message(bundle.voucher.signer(), &tree));
            let number = u8::try_from(trees[chunk].len()).expect("a chunk has few bundles");
            let number = if planted(Bug::TreeOfTheFirst) { 0 } else { number };
            findings[bundle.places.clone()].iter_mut().for_each(|of| of.tree = number);
            trees[chunk].push(tree);
            signed.push(bundle);
        }
    }

    /// Whether every entry of a bundle is certainly stale; then it is noted.
    fn are_stale(&self, entries: &[[u8; VOUCHER_BYTES]], findings: &mut [Finding]) -> bool {
        let known = &self.known[usize::from(findings[0].shard)];
        let is_stale = |(entry, of): (&[u8; VOUCHER_BYTES], &Finding)| {
            known.is_stale(&of.channel, Packed(entry).cumulative())
        };
        let stale = entries.iter().zip(&*findings).all(is_stale);
        if stale {
            findings.iter_mut().for_each(|of| of.verdict = Verdict::Stale);
        }
        stale
    }

    /// Gives each chunk its findings, and the sequencer each frame that this made complete. False
    /// when the sequencer is gone.
    fn hand_out(
        &self,
        chunks: &[Chunk],
        mut findings: &[Finding],
        trees: &mut [Vec<BundleTree>],
    ) -> bool {
        let now = Instant::now();
        for ((frame, index), trees) in chunks.iter().zip(trees) {
            let (own, others) = findings.split_at(frame.chunk(*index).len());
            findings = others;
            let found = Found { findings: own.into(), trees: std::mem::take(trees) };
            let last = frame.chunk_checked(*index, found, now);
            if last && self.checked.send(frame.clone()).is_err() {
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::Aim;
    use super::super::share::Source;
    use super::*;
    use crate::limits::VERIFY_CHUNK;
    use crate::types::{Amount, AssetNumber, NetworkId, PartyId, SignerKey, Voucher};
    use crate::verify::Options;
    use bytes::Bytes;
    use crossbeam::channel::{Receiver, unbounded};
    use ed25519_dalek::{Signer as _, SigningKey};
    use std::task::Poll;

    const NETWORK: NetworkId = NetworkId([7; 32]);
    const SHARDS: u16 = 4;

    fn payer(number: u8) -> PartyId {
        PartyId([number; 32])
    }

    fn secret(number: u8) -> SigningKey {
        SigningKey::from_bytes(&[number; 32])
    }

    /// A worker of several, the queue to it and the one from it. Keys 1 to 4 are registered.
    fn worker(workers: usize) -> (Worker, Receiver<Arc<Frame>>) {
        let (checked, frames) = unbounded();
        let keys = Arc::new(Keys::default());
        keys.insert((1..=4).map(|n| (SignerKey(secret(n).verifying_key().to_bytes()), payer(n))));
        let worker = Worker {
            fair: Fair::new(),
            checked,
            keys,
            hasher: ChannelHasher::new(NETWORK),
            bundles: BundleHasher::new(NETWORK),
            verifier: Arc::new(Verifier::new(Options::default()).unwrap()),
            known: Known::of_shards(usize::from(SHARDS), 64),
            seen: Arc::default(),
            workers,
            meters: Arc::default(),
        };
        (worker, frames)
    }

    /// A voucher and what a worker should find of it; every kind in turn.
    fn voucher(number: u64) -> ([u8; VOUCHER_BYTES], Finding) {
        let verdicts =
            [Verdict::Valid, Verdict::BadSignature, Verdict::UnknownKey, Verdict::Malformed];
        let verdict = verdicts[usize::try_from(number % 5).unwrap() % 4];
        let signer = u8::try_from(number % 4).unwrap() + 1;
        let secret = secret(if verdict == Verdict::UnknownKey { 99 } else { signer });
        let mut voucher = Voucher {
            signer: SignerKey(secret.verifying_key().to_bytes()),
            payee: payer(77),
            asset: AssetNumber(1),
            lane: number,
            expires_at: 5,
            cumulative: Amount(number + 1),
            signature: [0; 64],
        };
        let hasher = ChannelHasher::new(NETWORK);
        let channel = hasher.channel(Packed(&voucher.pack()));
        voucher.signature = secret.sign(&message(channel, voucher.cumulative, 5)).to_bytes();
        voucher.signature[5] ^= u8::from(verdict == Verdict::BadSignature);
        let mut packed = voucher.pack();
        packed[69] = u8::from(verdict == Verdict::Malformed);
        match verdict {
            Verdict::Valid | Verdict::BadSignature => (
                packed,
                Finding { channel, verdict, shard: payer(signer).shard(SHARDS), ..UNCHECKED },
            ),
            Verdict::UnknownKey | Verdict::Malformed => (packed, Finding { verdict, ..UNCHECKED }),
            Verdict::Stale => unreachable!("it is not among these"),
        }
    }

    /// A frame of such vouchers, queued.
    fn frame(
        worker: &Worker,
        ticket: u64,
        vouchers: impl Iterator<Item = u64>,
    ) -> (Arc<Frame>, Vec<Finding>) {
        worker.fair.trust(worker.fair.join(Source::Here(1)));
        frame_of(worker, Source::Here(1), ticket, vouchers)
    }

    fn frame_of(
        worker: &Worker,
        source: Source,
        ticket: u64,
        vouchers: impl Iterator<Item = u64>,
    ) -> (Arc<Frame>, Vec<Finding>) {
        let (vouchers, findings): (Vec<_>, Vec<Finding>) = vouchers.map(voucher).unzip();
        let line = worker.fair.join(source);
        let waiting = std::pin::pin!(worker.fair.admit(line, vouchers.len()));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let Poll::Ready(Some(permit)) = waiting.poll(&mut context) else { panic!("no room") };
        let (frame, _) =
            Frame::new(ticket, (Bytes::from(vouchers.concat()).into(), Aim::Credit), 1, permit);
        let frame = Arc::new(frame);
        worker.fair.push(frame.clone());
        (frame, findings)
    }

    fn found(frame: &Frame) -> Vec<Finding> {
        frame.findings().map(|(_, _, finding, _)| *finding).collect()
    }

    #[test]
    fn small_frames_are_checked_together_and_each_gets_its_own_verdicts() {
        let (worker, done) = worker(1);
        // Frames of one voucher, and some of several and of more than one chunk between them.
        let sizes = [1, 1, 1, 7, 1, 70, 1, 1, 1, 1, 3, 1];
        let mut next = 0;
        let mut frames = Vec::new();
        for (ticket, size) in (0..).zip(sizes) {
            frames.push(frame(&worker, ticket, next..next + size));
            next += size;
        }
        let findings = || frames.iter().flat_map(|(_, findings)| findings);
        let checked = [Verdict::Valid, Verdict::BadSignature];
        let signatures = findings().filter(|found| checked.contains(&found.verdict)).count();
        let mut batch = Batch::default();
        assert!(worker.fair.take(1, &mut batch.hand));
        assert_eq!(batch.hand.chunks.len(), sizes.len() + 1, "one frame has two chunks");
        assert!(worker.check(&mut batch));
        assert_eq!(worker.meters.verified(), u64::try_from(signatures).unwrap());
        // In their order, each complete.
        for (frame, findings) in frames {
            assert!(Arc::ptr_eq(&done.try_recv().unwrap(), &frame));
            assert_eq!(found(&frame), findings);
        }
        assert!(done.is_empty());
    }

    #[test]
    fn every_frame_is_answered_once_whatever_the_batches_were() {
        let (worker, done) = worker(3);
        let sizes = (0..40).map(|n| [1, 200, 64, 5][n % 4]);
        let frames: Vec<_> =
            (0..).zip(sizes).map(|(t, size)| frame(&worker, t, t..t + size)).collect();
        worker.fair.close();
        worker.run();
        let tickets: Vec<u64> = done.iter().map(|frame| frame.ticket).collect();
        assert_eq!(tickets, (0..40).collect::<Vec<_>>());
        for (frame, findings) in frames {
            assert_eq!(found(&frame), findings);
        }
    }

    #[test]
    fn what_is_known_to_be_stale_is_not_checked_whatever_its_signature() {
        let (worker, _done) = worker(1);
        // Number 5 is good, number 6 is forged: both in channels of their own.
        let of = |number| (voucher(number).1, Amount(number + 1));
        for (found, total) in [of(5), of(6)] {
            worker.known[usize::from(found.shard)].at_least(&found.channel, total);
        }
        let (frame, findings) = frame(&worker, 0, 5..8);
        let mut batch = Batch::default();
        assert!(worker.fair.take(1, &mut batch.hand) && worker.check(&mut batch));
        let stale = |found: &Finding| Finding { verdict: Verdict::Stale, ..*found };
        assert_eq!(found(&frame), [stale(&findings[0]), stale(&findings[1]), findings[2]]);
        assert_eq!(worker.meters.verified(), 0, "number 7 is of a key that nobody knows");
    }

    #[test]
    fn a_worker_takes_its_share_of_whole_chunks_and_waits_for_none() {
        // Frames of so many vouchers, so many of them queued, so many workers: chunks taken at
        // once.
        for (size, queued, workers, taken) in [
            (1, 1, 1, 1),
            (1, 10, 1, 10),
            (1, 10, 4, 3),
            (1, 4, 4, 1),
            (1, 1_000, 1, VERIFY_BATCH - VERIFY_CHUNK + 1),
            (64, 100, 2, VERIFY_BATCH / VERIFY_CHUNK),
            (64, 2, 2, 1),
        ] {
            let (worker, _done) = worker(workers);
            (0..queued).for_each(|ticket| drop(frame(&worker, ticket, 0..size)));
            let mut hand = Hand::default();
            assert!(worker.fair.take(workers, &mut hand));
            assert_eq!(hand.chunks.len(), taken, "{queued} frames of {size} for {workers} workers");
        }
    }

    /// Two workers were kept busy by one client's bad signatures.
    #[test]
    fn one_worker_at_a_time_has_something_of_who_is_doubted() {
        let (worker, _done) = worker(2);
        let fair = &worker.fair;
        let (doubted, _) = frame_of(&worker, Source::Here(2), 0, 0..640);
        let mut hands = [Hand::default(), Hand::default()];
        assert!(fair.take(2, &mut hands[0]));
        assert_eq!(hands[0].chunks.len(), 1, "one chunk, and no more");
        // For the other there is only what others bring.
        drop(frame(&worker, 1, 0..640));
        assert!(fair.take(2, &mut hands[1]));
        assert!(hands[1].chunks.iter().all(|(frame, _)| !Arc::ptr_eq(frame, &doubted)));
        let mut taken = 1 + hands[1].chunks.len();
        // The one that comes back takes the rest, one chunk of the doubted in each of its turns.
        fair.close();
        hands.iter_mut().for_each(|hand| hand.chunks.clear());
        while fair.take(2, &mut hands[0]) {
            let chunks = std::mem::take(&mut hands[0].chunks);
            let own = chunks.iter().filter(|(frame, _)| Arc::ptr_eq(frame, &doubted));
            assert!(own.count() <= 1);
            taken += chunks.len();
        }
        assert_eq!(taken, 20);
        assert!(!fair.take(2, &mut hands[1]), "nobody waits for what is done");
    }

    #[test]
    fn a_worker_ends_when_the_sequencer_is_gone() {
        let (worker, done) = worker(1);
        drop(done);
        drop(frame(&worker, 0, 0..1));
        // The queue stays open: only the sequencer's end can end it.
        worker.run();
    }
}
