//! The evidence of one asset of a window: every voucher by every rule that its evidence can show,
//! on all cores.
//!
//! The rows are handed out in order, many at once; whoever finds a difference stops the handing
//! out, and the first one by order counts, however the threads ran.

use super::difference::{AuditError, Difference};
use super::registry::{Registry, Signer};
use super::totals::{Rise, Totals};
use crate::ledger::{Evidence, EvidenceDigest, Obligation, piece_of, pieces};
use crate::limits::VERIFY_BATCH;
use crate::types::{
    AssetNumber, BundleHasher, ChannelHasher, ChannelId, EvidenceHasher, Lsn, Signable, Timestamp,
    Total, WindowNumber,
};
use crate::verify::{Check, Scratch, SignatureVerdict, Verifier};
use crossbeam::channel::{Receiver, bounded};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Pieces of evidence that a thread takes at once, if its rows have not more.
const CHUNK: usize = 4 * VERIFY_BATCH;
/// Chunks that wait for a thread: enough that none is idle.
const WAITING: usize = 16;

/// A row of an obligation.
pub(super) type Row = (Obligation, EvidenceDigest);

/// What is known of the window and the asset whose evidence is checked.
pub(super) struct Place<'a> {
    pub registry: &'a Registry,
    pub totals: &'a Totals,
    pub hasher: &'a ChannelHasher,
    pub verifier: &'a Verifier,
    pub lifetime_seconds_max: i64,
    pub window: WindowNumber,
    /// The last window before it whose evidence is not there; 0: none.
    pub gap: WindowNumber,
    pub first_lsn: Lsn,
    pub cut_lsn: Lsn,
    pub cut_at: Timestamp,
    pub asset: AssetNumber,
    pub asset_since: Lsn,
}

/// Rows with the bytes of their evidence.
struct Chunk<'a> {
    number: u64,
    rows: &'a [Row],
    pieces: Vec<u8>,
}

/// Gives the next bytes of evidence; `None` after the last.
pub(super) type Read<'a> = dyn FnMut() -> Result<Option<Vec<u8>>, AuditError> + 'a;

/// Checks the evidence of all rows of an asset; gives how many signatures that were.
pub(super) fn check(
    place: &Place<'_>,
    rows: &[Row],
    read: &mut Read<'_>,
    threads: usize,
    progress: &mut dyn FnMut(u64),
) -> Result<u64, AuditError> {
    let found: Mutex<BTreeMap<u64, Difference>> = Mutex::new(BTreeMap::new());
    let (chunks_in, chunks) = bounded::<Chunk<'_>>(WAITING);
    let handed_out = std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            let (chunks, found) = (chunks.clone(), &found);
            scope.spawn(move || work(place, &chunks, found));
        }
        drop(chunks);
        let stopped = || !found.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        let mut pieces: Vec<u8> = Vec::new();
        let (mut first, mut checked) = (0, 0u64);
        for number in 0.. {
            if first == rows.len() || stopped() {
                break;
            }
            let (end, count) = rows_of_a_chunk(rows, first);
            let (mut wanted, mut had) = (0, 0);
            while had < count {
                if let Some((piece, _)) = piece_of(&pieces[wanted..]) {
                    (wanted, had) = (wanted + piece.len(), had + 1);
                    continue;
                }
                let Some(more) = read()? else {
                    return Err(place
                        .difference("pieces of evidence of these rows", count, had)
                        .into());
                };
                pieces.extend_from_slice(&more);
            }
            let rest = pieces.split_off(wanted);
            let chunk = Chunk { number, rows: &rows[first..end], pieces };
            pieces = rest;
            if chunks_in.send(chunk).is_err() {
                break;
            }
            first = end;
            checked += u64::try_from(count).expect("a length fits 64 bits");
            progress(checked);
        }
        drop(chunks_in);
        if pieces.is_empty() && (stopped() || read()?.is_none()) {
            return Ok(checked);
        }
        Err(place.difference("pieces of evidence", "as many as the rows say", "more").into())
    });
    let first = found.into_inner().unwrap_or_else(PoisonError::into_inner).pop_first();
    match first {
        Some((_, difference)) => Err(difference.into()),
        None => handed_out,
    }
}

/// Where the chunk ends that begins with the row `first`, and how many pieces it has.
fn rows_of_a_chunk(rows: &[Row], first: usize) -> (usize, usize) {
    let (mut end, mut count) = (first, 0);
    while end < rows.len() && count < CHUNK {
        count += rows[end].1.count as usize;
        end += 1;
    }
    (end, count)
}

fn work(place: &Place<'_>, chunks: &Receiver<Chunk<'_>>, found: &Mutex<BTreeMap<u64, Difference>>) {
    let (hasher, scratch) = (EvidenceHasher::default(), Scratch::default());
    let bundles = BundleHasher::new(place.hasher.network());
    let mut worker = Worker { place, hasher, bundles, scratch };
    for chunk in chunks {
        if let Err(difference) = worker.chunk(&chunk) {
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            found.insert(chunk.number, difference);
        }
    }
}

struct Worker<'a> {
    place: &'a Place<'a>,
    hasher: EvidenceHasher,
    bundles: BundleHasher,
    scratch: Scratch,
}

/// A voucher whose signature is still to be checked.
struct Pending<'a> {
    signer: &'a Signer,
    channel: ChannelId,
    message: Signable,
    piece: Evidence,
}

impl<'a> Worker<'a> {
    fn chunk(&mut self, chunk: &Chunk<'_>) -> Result<(), Difference> {
        let pieces: Option<Vec<&[u8]>> = pieces(&chunk.pieces).collect();
        let pieces = pieces.expect("chunks are cut between pieces");
        let mut pending = Vec::with_capacity(pieces.len());
        let mut ended = Ok(());
        let mut at = 0;
        for (owed, evidence) in chunk.rows {
            let own = &pieces[at..at + evidence.count as usize];
            at += own.len();
            ended = self.row(owed, evidence, own, &mut pending);
            if ended.is_err() {
                break;
            }
        }
        // The signatures of all that come before a difference: one of them may be the first one.
        self.signatures(&pending)?;
        ended
    }

    /// Checks one obligation by its evidence, but for the signatures.
    fn row(
        &self,
        owed: &Obligation,
        evidence: &EvidenceDigest,
        pieces: &[&[u8]],
        pending: &mut Vec<Pending<'a>>,
    ) -> Result<(), Difference> {
        let differs = |what, expected: &dyn ToString, found: &dyn ToString| {
            let (expected, found) = (expected.to_string(), found.to_string());
            Err(self.place.difference(what, expected, found).pair(owed.payer, owed.payee))
        };
        let mut sum = Total::ZERO;
        let mut last: Option<Evidence> = None;
        for bytes in pieces {
            let Some(piece) = Evidence::decode(bytes, owed.payer) else {
                return differs("a piece of evidence", &"a whole one", &"another length");
            };
            if last.is_some_and(|last| last.channel_bytes() >= piece.channel_bytes()) {
                return differs("the order of evidence", &"channels that ascend", &"they do not");
            }
            last = Some(piece.clone());
            let pending_one = self.piece(owed, piece)?;
            match pending_one.piece.owed() {
                Some(rise) => sum = sum.plus(rise),
                None => return differs("a channel's rise", &"more than 0", &0),
            }
            pending.push(pending_one);
        }
        if sum != owed.amount {
            return differs("the obligation", &sum, &owed.amount);
        }
        let digest = self.hasher.digest(pieces.iter().copied());
        if digest != evidence.digest {
            return differs("the digest of its evidence", &digest, &evidence.digest);
        }
        Ok(())
    }

    /// Checks one piece of evidence, but for its signature.
    fn piece(&self, owed: &Obligation, piece: Evidence) -> Result<Pending<'a>, Difference> {
        let place = self.place;
        let voucher = piece.voucher();
        let channel = place.hasher.channel(voucher);
        let differs = |what, expected: &dyn ToString, found: &dyn ToString| {
            let (expected, found) = (expected.to_string(), found.to_string());
            let difference = place.difference(what, expected, found);
            Err(difference.pair(owed.payer, owed.payee).channel(channel).lsn(piece.lsn))
        };
        let Some(message) = self.bundles.signed(voucher, channel, piece.branch.as_deref()) else {
            return differs("the voucher's reserved bytes", &0, &"others");
        };
        if (voucher.payee(), voucher.asset()) != (owed.payee, place.asset) {
            return differs("the voucher's payee and asset", &"those of its row", &"others");
        }
        if piece.lsn < place.first_lsn || piece.lsn >= place.cut_lsn {
            let within = format!("within {} to before {}", place.first_lsn, place.cut_lsn);
            return differs("the record that credited it", &within, &piece.lsn);
        }
        let Some(signer) = place.registry.signers.get(&voucher.signer()) else {
            return differs("the voucher's signer", &"a registered one", &voucher.signer());
        };
        if signer.party != owed.payer {
            return differs("the party of the voucher's signer", &owed.payer, &signer.party);
        }
        if signer.since > piece.lsn || signer.revoked.is_some_and(|revoked| revoked < piece.lsn) {
            let (found, wanted) =
                (voucher.signer(), "one that was registered and not revoked then");
            return differs("the voucher's signer", &wanted, &found);
        }
        if let Err(unfit) = signer.check_fit(voucher.signer()) {
            return differs("the signer's key", &unfit.expected, &unfit.found);
        }
        for party in [owed.payer, owed.payee] {
            match place.registry.parties.get(&party) {
                Some(known) if known.since < piece.lsn && !known.suspended_at(piece.lsn) => {}
                Some(_) | None => {
                    return differs("a party", &"one registered, not suspended then", &party);
                }
            }
        }
        if owed.payer == owed.payee || place.asset_since > piece.lsn {
            return differs("the pair and the asset", &"two parties, one known asset", &"others");
        }
        self.lifetime(piece.lsn, voucher.expires_at()).map_err(|difference| {
            difference.pair(owed.payer, owed.payee).channel(channel).lsn(piece.lsn)
        })?;
        let (before, total, expires_at) =
            (piece.before, voucher.cumulative(), voucher.expires_at());
        let rise = Rise { before, total, expires_at };
        if let Err(held) = place.totals.rise(channel, rise, place.window, place.gap) {
            return differs("the channel's total before the window", &held, &before);
        }
        Ok(Pending { signer, channel, message, piece })
    }

    /// Whether the voucher was not expired and not of too long a life, as far as the times of the
    /// events around its record tell.
    fn lifetime(&self, lsn: Lsn, expires_at: i64) -> Result<(), Difference> {
        let place = self.place;
        // Mostly the window's end is enough to know.
        let surely_not_expired = expires_at > place.cut_at.seconds();
        let surely_not_long = expires_at <= place.lifetime_seconds_max;
        if surely_not_expired && surely_not_long {
            return Ok(());
        }
        let (low, high) = place.registry.seconds_around(lsn);
        if expires_at <= low {
            return Err(place.difference(
                "the voucher's expiry",
                format!("after {low}"),
                expires_at,
            ));
        }
        if expires_at.saturating_sub(high) > place.lifetime_seconds_max {
            let most = high.saturating_add(place.lifetime_seconds_max);
            return Err(place.difference(
                "the voucher's expiry",
                format!("up to {most}"),
                expires_at,
            ));
        }
        Ok(())
    }

    fn signatures(&mut self, pending: &[Pending<'_>]) -> Result<(), Difference> {
        let mut verdicts = Vec::with_capacity(VERIFY_BATCH);
        for some in pending.chunks(VERIFY_BATCH) {
            let check =
                |pending: &'_ Pending<'_>| pending.piece.voucher.last_chunk::<64>().copied();
            let signatures: Vec<[u8; 64]> =
                some.iter().map(|one| check(one).expect("a voucher ends with it")).collect();
            let checks: Vec<Check<'_>> = some
                .iter()
                .zip(&signatures)
                .map(|(one, signature)| Check {
                    key: &one.signer.key,
                    message: one.message.bytes(),
                    signature,
                })
                .collect();
            self.place.verifier.check(&mut self.scratch, &checks, &mut verdicts);
            self.place.verifier.learn(&mut self.scratch, &checks, &verdicts);
            let bad = verdicts.iter().position(|verdict| *verdict != SignatureVerdict::Valid);
            if let Some(bad) = bad {
                let Pending { channel, piece, .. } = &some[bad];
                let difference =
                    self.place.difference("the voucher's signature", "valid", "not valid");
                let pair = (piece.payer, piece.voucher().payee());
                return Err(difference.pair(pair.0, pair.1).channel(*channel).lsn(piece.lsn));
            }
        }
        Ok(())
    }
}

impl Place<'_> {
    /// A difference in this asset of this window.
    pub fn difference(
        &self,
        what: &str,
        expected: impl std::fmt::Display,
        found: impl std::fmt::Display,
    ) -> Difference {
        Difference::new(what, expected, found).window(self.window).asset(self.asset)
    }
}
