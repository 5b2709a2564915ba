//! Handing out evidence: exports of windows and proofs, read from what is kept. Never holds up the
//! pipeline: it reads what never changes.

use super::archive::Archive;
use super::pieces::{NotRead, Pieces};
use crate::journal::{JournalError, kept};
use crate::ledger::SealedHead;
use crate::ledger::event::ArchiveId;
use crate::proof::{
    AssetRoots, ExportWriter, Hex, PartialProof, Proof, ProofMaker, SignedEnd, Wanted, WindowProof,
};
use crate::sign::{EngineKey, Signed};
use crate::types::{AssetNumber, History, Lsn, NetworkId, SignerKey, Timestamp, end_statement};
use std::io::Write;

/// Why nothing can be proved.
#[derive(Debug, thiserror::Error)]
pub enum NotProved {
    /// There is no leaf.
    #[error("{0}")]
    Nothing(String),
    /// What is kept cannot be read.
    #[error(transparent)]
    NotRead(#[from] NotRead),
}

impl From<JournalError> for NotProved {
    fn from(error: JournalError) -> Self {
        NotRead::from(error).into()
    }
}

/// Which windows are exported, and up to which record the events are given.
pub struct Request {
    /// The deployment.
    pub network: NetworkId,
    /// The sealed windows, ascending.
    pub windows: Vec<SealedHead>,
    /// Whether the events are given: an archive of a window leaves them to the export beside it.
    pub events: bool,
    /// The last event that is given, which is durable, and the engine's signature over it.
    pub end: SignedEnd,
}

/// The end of an export, signed with the key that is in force at its last event. `None` if this
/// engine holds no such key: another follows it at this very moment.
#[must_use]
pub fn signed_end(
    engine_key: &EngineKey,
    in_force: Option<SignerKey>,
    network: NetworkId,
    last: History,
    at: Timestamp,
) -> Option<SignedEnd> {
    let statement = end_statement(network, last, at);
    let Signed { key, signature } = engine_key.sign_as(in_force?, &statement)?;
    Some(SignedEnd { last, at, key, signature })
}

/// Writes an export, and gives what names it.
///
/// # Errors
/// When evidence is away or cannot be read, or `out` cannot be written (as `Storage`, with its
/// text).
pub fn export(archive: &Archive, request: &Request, out: impl Write) -> Result<ArchiveId, NotRead> {
    look(archive, &request.windows)?;
    let numbers: Vec<_> = request.windows.iter().map(|sealed| sealed.head.number).collect();
    let mut writer = ExportWriter::new(out, request.network, &numbers).map_err(failed)?;
    let last = request.end.last.lsn;
    if request.events {
        let mut write = |_: Lsn, record: &[u8]| writer.event(record).map_err(failed);
        archive.events_between(Lsn(1), last, &mut write)?;
    }
    for sealed in &request.windows {
        write_window(archive, sealed, &mut writer)?;
    }
    Ok(writer.finish(&request.end).map_err(failed)?.1)
}

/// Whether all evidence of these windows is at hand, before anything is written.
pub(super) fn look(archive: &Archive, windows: &[SealedHead]) -> Result<(), NotRead> {
    windows.iter().try_for_each(|sealed| Pieces::open(archive, sealed).map(|_| ()))
}

fn write_window(
    archive: &Archive,
    sealed: &SealedHead,
    writer: &mut ExportWriter<impl Write>,
) -> Result<(), NotRead> {
    let (window, pieces) = (archive.window(sealed)?, Pieces::open(archive, sealed)?);
    let assets = u32::try_from(window.assets.len()).expect("assets are limited");
    writer.window(window.number, assets).map_err(failed)?;
    for (&asset, of) in &window.assets {
        let length = |n: usize| u64::try_from(n).expect("a length fits 64 bits");
        let count = of.evidence.iter().map(|evidence| u64::from(evidence.count)).sum();
        let (obligations, carried) = (length(of.obligations.len()), length(of.carried.len()));
        writer.asset(asset, obligations, carried, count).map_err(failed)?;
        for (owed, evidence) in of.obligations.iter().zip(&of.evidence) {
            writer.obligation(owed, evidence).map_err(failed)?;
        }
        of.carried.iter().try_for_each(|carry| writer.carried(carry)).map_err(failed)?;
        for page in 0.. {
            let Some(rows) = pieces.page(asset, page)? else { break };
            for piece in crate::ledger::pieces(&rows) {
                let piece = piece.ok_or_else(|| kept::lost(window.number, "ends within a row"))?;
                writer.evidence(piece).map_err(failed)?;
            }
        }
    }
    Ok(())
}

fn failed(error: std::io::Error) -> JournalError {
    JournalError::Storage(error.to_string())
}

/// Proves a pair or a position.
///
/// # Errors
/// `Nothing` when there is nothing of it in the window, or when what is kept cannot be read.
pub fn prove(
    archive: &Archive,
    network: NetworkId,
    sealed: &SealedHead,
    asset: AssetNumber,
    wanted: Wanted,
) -> Result<Proof, NotProved> {
    let window = archive.window(sealed)?;
    let number = window.number;
    let nothing = || {
        NotProved::Nothing(match wanted {
            Wanted::Pair { payer, payee } => {
                format!("{payer} owes {payee} nothing in asset {asset} of window {number}")
            }
            Wanted::Position { party, .. } => format!(
                "the position of {party} in asset {asset} of window {number} is zero, and a zero \
                 position has no leaf; prove its pairs instead"
            ),
        })
    };
    let of = window.assets.get(&asset).ok_or_else(nothing)?;
    let mut maker = ProofMaker::new(number, asset, wanted);
    for (owed, evidence) in of.obligations.iter().zip(&of.evidence) {
        maker.obligation(owed, evidence);
    }
    of.carried.iter().for_each(|carry| maker.carried(carry));
    of.positions.iter().for_each(|position| maker.position(position));
    let mut selected: PartialProof = maker.finish().ok_or_else(nothing)?;
    let mut reader = Pieces::open(archive, sealed)?;
    for pair in 0..selected.pieces().len() {
        let range = selected.pieces()[pair].clone();
        let pieces =
            range.map(|piece| reader.piece(asset, piece)).collect::<Result<Vec<_>, _>>()?;
        selected.put(pair, pieces.into_iter());
    }
    let seal = &sealed.seal;
    let roots = seal.assets.iter().map(|seal| AssetRoots {
        asset: seal.asset.0,
        obligations_root: Hex(seal.obligations_root.0),
        positions_root: Hex(seal.positions_root.0),
    });
    let head = &sealed.head;
    let window = WindowProof {
        number: number.0,
        root: Hex(seal.root.0),
        cut_lsn: head.cut_lsn.0,
        cut_digest: Hex(sealed.cut_digest.0),
        cut_at_us: head.cut_at.0,
        credited: head.credited,
        signature: Hex(seal.signature),
    };
    Ok(selected.proof(network, seal.key, window, roots.collect()))
}
