//! What is kept of sealed windows and batches: rows in pages, described in `docs/FORMATS.md`.
//! Whoever loads a window nets it again; what comes out must have its root.
//!
//! | table | key | page |
//! |---|---|---|
//! | windows | window u64, section u8, asset u32, piece u32; big endian | rows of the section |
//! | batches | batch id, section u8, piece u32; big endian | rkyv of the section |
//! | calls | batch id, submission u32, attempt u32, piece u32; big endian | bytes of one call |

use super::{JournalError, Table, Tables};
use rkyv::rancor::Error as RkyvError;
use std::collections::BTreeMap;
use std::sync::Arc;
use tallystick_ledger::canary::{Bug, planted};
use tallystick_ledger::evidence::{EVIDENCE_BYTES, Evidence, pieces};
use tallystick_ledger::seal::{self, Gathered, Owed};
use tallystick_ledger::types::{
    AssetNumber, BatchId, Digest, PartyId, SignerKey, Total, VOUCHER_BYTES, WindowNumber,
};
use tallystick_ledger::{
    BatchContent, BatchHead, EvidenceDigest, Hands, Obligation, SealedAccount, SealedHead,
    SealedWindow,
};

/// Rows of obligations and carries in one page: some 200 KB.
const ROWS: usize = 2_000;
/// Pieces of evidence in one page, for the same size.
pub const PIECES: usize = 1_200;
/// Pieces of evidence, of one window, beyond which they lie in files of their own: some 3 MB.
const OWN_FILES_PIECES: usize = 16 * PIECES;
/// Accounts or carries in one page of a batch.
const BATCH_ROWS: usize = 1_000;

/// Section of a window: rows of obligations.
pub const OBLIGATIONS: u8 = 1;
/// Section of a window: rows of carries.
pub const CARRIED: u8 = 2;
/// Section of a window: pieces of evidence.
pub const EVIDENCE: u8 = 3;

const HEAD: u8 = 1;
pub(super) const ACCOUNTS: u8 = 2;

/// Payer, payee, amount u128.
const OWED_BYTES: usize = 32 + 32 + 16;
/// The same, how many pieces of evidence u32, their digest.
const ROW_BYTES: usize = OWED_BYTES + 4 + 32;

fn window_key(window: WindowNumber, section: u8, asset: AssetNumber, piece: usize) -> [u8; 17] {
    let mut key = [0; 17];
    key[..8].copy_from_slice(&window.0.to_be_bytes());
    key[8] = section;
    key[9..13].copy_from_slice(&asset.0.to_be_bytes());
    key[13..].copy_from_slice(&u32::try_from(piece).expect("pages fit 32 bits").to_be_bytes());
    key
}

/// Closes a window over its evidence and keeps both. Durable when it returns.
///
/// # Errors
/// `JournalError` of the storage.
pub fn put_window(
    tables: &dyn Tables,
    gathered: Gathered,
    hands: &impl Hands,
) -> Result<SealedWindow, JournalError> {
    let window = gathered.number();
    // A start before may have kept another content of it, when its cut was lost with the power.
    let (from, to) = (window.0.to_be_bytes(), window.next().0.to_be_bytes());
    if has_page(tables, &from, &to)? {
        tables.remove(Table::Windows, &from, &to)?;
    }
    // The evidence is most of it, and in order already. All of it goes into files before the rest:
    // files whose keys overlap would be written once more.
    let (put, sealed) =
        hands.both(|| put_evidence(tables, window, gathered.evidence()), || gathered.close(hands));
    put?;
    drop(gathered);
    put_owed(tables, &sealed)?;
    if !planted(Bug::SealBeforeSync) {
        tables.sync(Table::Windows)?;
    }
    Ok(sealed)
}

fn put_evidence(
    tables: &dyn Tables,
    window: WindowNumber,
    evidence: &[Evidence],
) -> Result<(), JournalError> {
    for evidence in evidence.chunk_by(|a, b| a.pair().0 == b.pair().0) {
        let asset = AssetNumber(evidence[0].pair().0);
        for (piece, evidence) in evidence.chunks(PIECES).enumerate() {
            let mut page = Vec::with_capacity(evidence.len() * EVIDENCE_BYTES);
            evidence.iter().for_each(|one| one.encode(&mut page));
            tables.put(Table::Windows, &window_key(window, EVIDENCE, asset, piece), &page)?;
        }
    }
    match evidence.len() > OWN_FILES_PIECES && !planted(Bug::SealBeforeSync) {
        true => tables.sync(Table::Windows),
        false => Ok(()),
    }
}

fn put_owed(tables: &dyn Tables, sealed: &SealedWindow) -> Result<(), JournalError> {
    let put = |section, asset, piece, page: &[u8]| {
        tables.put(Table::Windows, &window_key(sealed.number, section, asset, piece), page)
    };
    for (&asset, of) in &sealed.assets {
        let rows = of.obligations.chunks(ROWS).zip(of.evidence.chunks(ROWS));
        for (piece, (owed, evidence)) in rows.enumerate() {
            let mut page = Vec::with_capacity(owed.len() * ROW_BYTES);
            for (owed, evidence) in owed.iter().zip(evidence) {
                page.extend_from_slice(&owed_bytes(owed));
                page.extend_from_slice(&evidence.count.to_le_bytes());
                page.extend_from_slice(&evidence.digest.0);
            }
            put(OBLIGATIONS, asset, piece, &page)?;
        }
        for (piece, carried) in of.carried.chunks(ROWS).enumerate() {
            let page = carried.iter().map(owed_bytes).collect::<Vec<_>>().concat();
            put(CARRIED, asset, piece, &page)?;
        }
    }
    Ok(())
}

/// Loads a sealed window and nets it again.
///
/// # Errors
/// `Storage` when what is kept does not have the root that was journaled.
pub fn load_window(tables: &dyn Tables, sealed: &SealedHead) -> Result<SealedWindow, JournalError> {
    let number = sealed.head.number;
    let mut owed: BTreeMap<AssetNumber, Owed> = BTreeMap::new();
    scan_window(tables, number, OBLIGATIONS, None, &mut |asset, page| {
        let (rows, rest) = page.as_chunks::<ROW_BYTES>();
        whole(number, rest)?;
        let owed = owed.entry(asset).or_default();
        for row in rows {
            owed.obligations.push(owed_of(row));
            let count = u32::from_le_bytes(part(row, OWED_BYTES));
            let digest = Digest(part(row, OWED_BYTES + 4));
            owed.evidence.push(EvidenceDigest { count, digest });
        }
        Ok(())
    })?;
    scan_window(tables, number, CARRIED, None, &mut |asset, page| {
        let (rows, rest) = page.as_chunks::<OWED_BYTES>();
        whole(number, rest)?;
        owed.entry(asset).or_default().carried.extend(rows.iter().map(|row| owed_of(row)));
        Ok(())
    })?;
    let again = seal::close(sealed.head, owed);
    if again.root == sealed.seal.root {
        return Ok(again);
    }
    Err(changed(number, &format!("has root {}, was sealed under {}", again.root, sealed.seal.root)))
}

/// One page of what is kept of a window: the rows of a section. `None` after the last one.
///
/// # Errors
/// `JournalError` of the storage.
pub fn page(
    tables: &dyn Tables,
    window: WindowNumber,
    section: u8,
    asset: AssetNumber,
    piece: usize,
) -> Result<Option<Vec<u8>>, JournalError> {
    tables.get(Table::Windows, &window_key(window, section, asset, piece))
}

/// Whether any evidence of a window is kept here.
///
/// # Errors
/// `JournalError` of the storage.
pub fn has_evidence(tables: &dyn Tables, window: WindowNumber) -> Result<bool, JournalError> {
    let (from, to) = evidence_keys(window);
    has_page(tables, &from, &to)
}

/// Forgets the evidence of a window, which lies in an archive. Durable when it returns.
///
/// # Errors
/// `JournalError` of the storage.
pub fn forget_evidence(tables: &dyn Tables, window: WindowNumber) -> Result<(), JournalError> {
    let (from, to) = evidence_keys(window);
    tables.remove(Table::Windows, &from, &to)?;
    tables.sync(Table::Windows)
}

/// Gives the disk back what was forgotten of these windows.
///
/// # Errors
/// `JournalError` of the storage.
pub fn reclaim(
    tables: &dyn Tables,
    first: WindowNumber,
    last: WindowNumber,
) -> Result<(), JournalError> {
    tables.reclaim(Table::Windows, &first.0.to_be_bytes(), &last.next().0.to_be_bytes())
}

/// Whether anything that is owed in a window is kept here.
///
/// # Errors
/// `JournalError` of the storage.
pub fn has_owed(tables: &dyn Tables, window: WindowNumber) -> Result<bool, JournalError> {
    let first = |section| window_key(window, section, AssetNumber(0), 0);
    has_page(tables, &first(OBLIGATIONS), &first(EVIDENCE))
}

/// Forgets all that is kept of a window, which lies in an archive. Durable when it returns.
///
/// # Errors
/// `JournalError` of the storage.
pub fn forget_window(tables: &dyn Tables, window: WindowNumber) -> Result<(), JournalError> {
    let (from, to) = (window.0.to_be_bytes(), window.next().0.to_be_bytes());
    tables.remove(Table::Windows, &from, &to)?;
    tables.sync(Table::Windows)
}

/// The windows before `to` of which anything is kept here, ascending.
///
/// # Errors
/// `JournalError` of the storage.
pub fn windows_here(
    tables: &dyn Tables,
    to: WindowNumber,
) -> Result<Vec<WindowNumber>, JournalError> {
    let (mut found, mut from) = (Vec::new(), WindowNumber(0));
    while let Some(window) = first_window(tables, from, to)? {
        found.push(window);
        from = window.next();
    }
    Ok(found)
}

/// The first window from `from` on, and before `to`, of which anything is kept.
fn first_window(
    tables: &dyn Tables,
    from: WindowNumber,
    to: WindowNumber,
) -> Result<Option<WindowNumber>, JournalError> {
    let mut first = None;
    let (from, to) = (from.0.to_be_bytes(), to.0.to_be_bytes());
    let visited = tables.scan(Table::Windows, &from, &to, &mut |key, _| {
        first = key.first_chunk().map(|number| WindowNumber(u64::from_be_bytes(*number)));
        Err(enough())
    });
    if first.is_some() { Ok(first) } else { visited.map(|()| None) }
}

/// Whether there is a page between these keys.
fn has_page(tables: &dyn Tables, from: &[u8], to: &[u8]) -> Result<bool, JournalError> {
    let mut found = false;
    let visited = tables.scan(Table::Windows, from, to, &mut |_, _| {
        found = true;
        Err(enough())
    });
    if found { Ok(true) } else { visited.map(|()| false) }
}

/// Ends a visit that has seen what it wanted.
fn enough() -> JournalError {
    JournalError::Storage(String::new())
}

fn evidence_keys(window: WindowNumber) -> ([u8; 17], [u8; 17]) {
    let first = |section| window_key(window, section, AssetNumber(0), 0);
    (first(EVIDENCE), first(EVIDENCE + 1))
}

/// Whether a party pays or is paid by anything that is owed in one asset of a window.
///
/// # Errors
/// `Storage` when it cannot be read.
pub fn is_owed(
    tables: &dyn Tables,
    window: WindowNumber,
    asset: AssetNumber,
    party: PartyId,
) -> Result<bool, JournalError> {
    let mut found = false;
    let mut look = |row: &[u8]| {
        let Obligation { payer, payee, .. } = owed_of(row);
        found |= [payer, payee].contains(&party);
    };
    scan_window(tables, window, OBLIGATIONS, Some(asset), &mut |_, page| {
        let (rows, rest) = page.as_chunks::<ROW_BYTES>();
        rows.iter().for_each(|row| look(row));
        whole(window, rest)
    })?;
    scan_window(tables, window, CARRIED, Some(asset), &mut |_, page| {
        let (rows, rest) = page.as_chunks::<OWED_BYTES>();
        rows.iter().for_each(|row| look(row));
        whole(window, rest)
    })?;
    Ok(found)
}

/// Visits the evidence of one asset of a window, in order. `payer` gives the party of a signer.
///
/// # Errors
/// `Storage` when it cannot be read, or names a signer that is not registered.
pub fn scan_evidence(
    tables: &dyn Tables,
    window: WindowNumber,
    asset: AssetNumber,
    payer: &dyn Fn(SignerKey) -> Option<PartyId>,
    visit: &mut dyn FnMut(Evidence) -> Result<(), JournalError>,
) -> Result<(), JournalError> {
    scan_window(tables, window, EVIDENCE, Some(asset), &mut |_, page| {
        for piece in pieces(page) {
            let piece = piece.ok_or_else(|| cut(window))?;
            let signer = SignerKey(part(piece, EVIDENCE_BYTES - VOUCHER_BYTES));
            let payer = payer(signer)
                .ok_or_else(|| changed(window, &format!("names signer {signer}, unknown")))?;
            visit(Evidence::decode(piece, payer).ok_or_else(|| cut(window))?)?;
        }
        Ok(())
    })
}

/// Takes a page and the asset that it is of.
type VisitAsset<'a> = dyn FnMut(AssetNumber, &[u8]) -> Result<(), JournalError> + 'a;

fn scan_window(
    tables: &dyn Tables,
    window: WindowNumber,
    section: u8,
    asset: Option<AssetNumber>,
    visit: &mut VisitAsset<'_>,
) -> Result<(), JournalError> {
    let from = window_key(window, section, asset.unwrap_or(AssetNumber(0)), 0);
    let to = window_key(window, section, asset.unwrap_or(AssetNumber(u32::MAX)), u32::MAX as usize);
    let mut next = (AssetNumber(0), 0);
    tables.scan(Table::Windows, &from, &to, &mut |key, page| {
        let key: &[u8; 17] = key.try_into().map_err(|_| changed(window, "has a foreign key"))?;
        let asset = AssetNumber(u32::from_be_bytes(part(key, 9)));
        let piece = u32::from_be_bytes(part(key, 13));
        let expected = if next.0 == asset { next.1 } else { 0 };
        if piece != expected {
            return Err(changed(window, &format!("lacks page {expected} of asset {asset}")));
        }
        next = (asset, piece + 1);
        visit(asset, page)
    })
}

/// Keeps what a batch needs to be computed again. Durable when it returns.
///
/// # Errors
/// `JournalError` of the storage.
pub fn put_batch(tables: &dyn Tables, content: &BatchContent) -> Result<(), JournalError> {
    let id = content.head.id;
    let head = rkyv::to_bytes::<RkyvError>(&*content.head).map_err(|e| unfit(id, &e))?;
    tables.put(Table::Batches, &batch_key(id, HEAD, 0), &head)?;
    let mut accounts = content.accounts.iter();
    for piece in 0.. {
        let some = accounts.by_ref().take(BATCH_ROWS);
        let some: Vec<(PartyId, SealedAccount)> =
            some.map(|(of, own)| (*of, own.clone())).collect();
        if some.is_empty() {
            break;
        }
        let page = rkyv::to_bytes::<RkyvError>(&some).map_err(|e| unfit(id, &e))?;
        tables.put(Table::Batches, &batch_key(id, ACCOUNTS, piece), &page)?;
    }
    tables.sync(Table::Batches)
}

/// Loads the head of a batch.
///
/// # Errors
/// `Storage` when it is not there or has changed.
pub fn load_batch_head(tables: &dyn Tables, id: BatchId) -> Result<Arc<BatchHead>, JournalError> {
    let page = tables.get(Table::Batches, &batch_key(id, HEAD, 0))?;
    let Some(page) = page else { return Err(unfit(id, &"it is not kept")) };
    let head: BatchHead = rkyv::from_bytes::<_, RkyvError>(&page).map_err(|e| unfit(id, &e))?;
    if head.id == id { Ok(Arc::new(head)) } else { Err(unfit(id, &format!("holds {}", head.id))) }
}

/// Names the calls of one attempt at a submission.
#[derive(Debug, Clone, Copy)]
pub struct CallsOf {
    /// The batch.
    pub batch: BatchId,
    /// The submission's number, from 0.
    pub submission: u32,
    /// The attempt's number, from 0.
    pub attempt: u32,
}

impl CallsOf {
    /// Names one of them.
    #[must_use]
    pub fn key(self, piece: u32) -> [u8; 44] {
        let mut key = [0; 44];
        key[..32].copy_from_slice(&self.batch.0);
        key[32..36].copy_from_slice(&self.submission.to_be_bytes());
        key[36..40].copy_from_slice(&self.attempt.to_be_bytes());
        key[40..].copy_from_slice(&piece.to_be_bytes());
        key
    }
}

/// Keeps the bytes of calls, durably: nothing leaves before.
///
/// # Errors
/// `JournalError` of the storage.
pub fn put_calls<'a>(
    tables: &dyn Tables,
    of: CallsOf,
    calls: impl Iterator<Item = &'a [u8]>,
) -> Result<(), JournalError> {
    for (piece, call) in (0..).zip(calls) {
        tables.put(Table::Calls, &of.key(piece), call)?;
    }
    tables.sync(Table::Calls)
}

/// Loads the bytes of one call, or of one transaction.
///
/// # Errors
/// `Storage` when they are not there.
pub fn load_call(tables: &dyn Tables, of: CallsOf, piece: u32) -> Result<Vec<u8>, JournalError> {
    let lost = || unfit(of.batch, &format!("call {piece} of submission {} is lost", of.submission));
    tables.get(Table::Calls, &of.key(piece))?.ok_or_else(lost)
}

pub(super) fn batch_key(id: BatchId, section: u8, piece: usize) -> [u8; 37] {
    let mut key = [0; 37];
    key[..32].copy_from_slice(&id.0);
    key[32] = section;
    key[33..].copy_from_slice(&u32::try_from(piece).unwrap_or(u32::MAX).to_be_bytes());
    key
}

fn owed_bytes(owed: &Obligation) -> [u8; OWED_BYTES] {
    let mut row = [0; OWED_BYTES];
    row[..32].copy_from_slice(&owed.payer.0);
    row[32..64].copy_from_slice(&owed.payee.0);
    row[64..].copy_from_slice(&owed.amount.0.to_le_bytes());
    row
}

fn owed_of(row: &[u8]) -> Obligation {
    let (payer, payee) = (PartyId(part(row, 0)), PartyId(part(row, 32)));
    Obligation { payer, payee, amount: Total(u128::from_le_bytes(part(row, 64))) }
}

fn part<const N: usize>(row: &[u8], at: usize) -> [u8; N] {
    *row[at..].first_chunk().expect("fields lie within their row")
}

fn whole(window: WindowNumber, rest: &[u8]) -> Result<(), JournalError> {
    if rest.is_empty() { Ok(()) } else { Err(cut(window)) }
}

fn cut(window: WindowNumber) -> JournalError {
    changed(window, "ends within a row")
}

/// What is said of a window of which something is missing, or another than it was.
#[must_use]
pub fn lost(window: WindowNumber, why: &str) -> JournalError {
    changed(window, why)
}

fn changed(window: WindowNumber, why: &str) -> JournalError {
    JournalError::Storage(format!(
        "what is kept of window {window} {why}; restore the data directory from a copy"
    ))
}

pub(super) fn unfit(batch: BatchId, why: &dyn std::fmt::Display) -> JournalError {
    JournalError::Storage(format!(
        "what is kept of batch {batch} cannot be used: {why}; restore the data directory from a copy"
    ))
}
