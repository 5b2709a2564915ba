//! A data directory as the source of an audit: its events, the windows and batches kept beside
//! them, the frames that are still there, and the last checkpoint.

use super::difference::{AuditError, Difference};
use super::events::Audit;
use super::registry::Registry;
use super::source::{End, Source, Visit};
use crate::journal::{
    Chain, Entry, Journal, JournalError, Log, Tables, Tail, checkpoint, kept, replay, rocks,
};
use crate::ledger::event::{ArchiveId, WindowArchived, WindowEvent};
use crate::ledger::{Event, Held};
use crate::limits::VERIFY_BATCH;
use crate::past::Past;
use crate::proof::{ExportFile, Part, archive_name};
use crate::types::{
    Amount, AssetNumber, Branch, BundleHasher, ChannelHasher, ChannelId, Lsn, NetworkId, Packed,
    SignerKey, VOUCHER_BYTES, WindowNumber, bundles_within,
};
use crate::verify::{Check, Scratch, SignatureVerdict, Verifier};
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A journal, opened for reading.
pub struct Directory {
    log: Arc<dyn Log>,
    tables: Arc<dyn Tables>,
    /// The folder of the archives.
    dir: Option<PathBuf>,
    /// The sealed windows whose evidence is there, with their assets.
    windows: BTreeMap<WindowNumber, Vec<AssetNumber>>,
    /// The archives of those whose evidence has left, and whether all else has.
    archives: BTreeMap<WindowNumber, (ExportFile, bool)>,
}

impl Directory {
    /// Opens a data directory for reading, with the folder of its archives, if it is given. No
    /// engine may run on it meanwhile.
    ///
    /// # Errors
    /// When an engine runs on it, or it cannot be read.
    pub fn open(dir: &Path, archives: Option<&Path>) -> Result<Self, AuditError> {
        Self::new(&rocks::open_read_only(dir)?, archives)
    }

    /// Of a journal that nobody writes meanwhile. Windows whose evidence has left, and whose
    /// archive is not in `archives`, are not among its windows.
    ///
    /// # Errors
    /// When its events, or an archive, cannot be read.
    pub fn new<L: Log>(journal: &Journal<L>, archives: Option<&Path>) -> Result<Self, AuditError> {
        let (log, tables) = (journal.log.shared(), journal.tables.clone());
        let (mut chain, mut windows) = (Chain::start(), BTreeMap::new());
        let mut archived = Vec::new();
        let past = Past { log: &*log, tables: &*tables, archives };
        past.events_between(Lsn(1), Lsn(u64::MAX), &mut |lsn, bytes| {
            let Entry::Fact(fact) = chain.follow_event(lsn, bytes)?.entry()? else { return Ok(()) };
            if let Event::Window(event) = &fact.event {
                match event {
                    WindowEvent::Sealed(seal) => {
                        let assets = seal.assets.iter().map(|seal| seal.asset).collect();
                        windows.insert(seal.window, assets);
                    }
                    WindowEvent::Archived(e) => archived.push(*e),
                    WindowEvent::Cut(_)
                    | WindowEvent::Disputed(_)
                    | WindowEvent::DisputeEnded(_) => {}
                }
            }
            Ok(())
        })?;
        let mut files = BTreeMap::new();
        for WindowArchived { window, archive } in archived {
            match archives.map(|dir| dir.join(archive_name(window))).filter(|path| path.exists()) {
                Some(path) => {
                    let all = !kept::has_owed(&*tables, window).map_err(kept_error)?;
                    files.insert(window, (archive_of(&path, window, archive)?, all));
                }
                // What a stop left here, or a start brought back, is as good.
                None if kept::has_evidence(&*tables, window).map_err(kept_error)? => {}
                None => drop(windows.remove(&window)),
            }
        }
        let dir = archives.map(Path::to_owned);
        Ok(Self { log, tables, dir, windows, archives: files })
    }
}

impl Directory {
    /// Where the journal ends, as its records and its checkpoint say.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn tail(&self) -> Result<Tail, JournalError> {
        let mut chain = match checkpoint::committed(&*self.tables)? {
            None => Chain::start(),
            Some(commit) => Chain::after(commit.tail, commit.at),
        };
        replay(&*self.log, &mut chain, &mut |_| Ok(()))?;
        Ok(chain.tail())
    }
}

impl Source for Directory {
    fn windows(&self) -> Vec<WindowNumber> {
        self.windows.keys().copied().collect()
    }

    fn evidence(&self) -> u64 {
        0
    }

    fn events(&self, visit: &mut Visit<'_>) -> Result<(), AuditError> {
        let mut ended = None;
        let past = Past { log: &*self.log, tables: &*self.tables, archives: self.dir.as_deref() };
        let read = past.events_between(Lsn(1), Lsn(u64::MAX), &mut |lsn, bytes| {
            visit(lsn, bytes).map_err(|error| {
                // The journal only knows its own errors; the audit's is handed round it.
                let why = error.to_string();
                ended = Some(error);
                JournalError::Storage(why)
            })
        });
        match ended {
            Some(error) => Err(error),
            None => Ok(read?),
        }
    }

    fn ends(&self) -> &[End] {
        &[]
    }

    fn assets(&self, window: WindowNumber) -> Vec<AssetNumber> {
        self.windows.get(&window).cloned().unwrap_or_default()
    }

    fn rows(
        &self,
        window: WindowNumber,
        asset: AssetNumber,
        part: Part,
        piece: usize,
    ) -> Result<Option<Vec<u8>>, AuditError> {
        if let Some((file, all)) = self.archives.get(&window)
            && (*all || part == Part::Evidence)
        {
            return Ok(file.rows(window, asset, part, piece)?);
        }
        let section = match part {
            Part::Obligations => kept::OBLIGATIONS,
            Part::Carried => kept::CARRIED,
            Part::Evidence => kept::EVIDENCE,
        };
        let page = kept::page(&*self.tables, window, section, asset, piece)?;
        match page {
            Some(page) if part.count(&page).is_none() => {
                let difference = Difference::new("what is kept of it", "whole rows", page.len());
                Err(difference.window(window).asset(asset).into())
            }
            page => Ok(page),
        }
    }

    fn network(&self) -> Option<NetworkId> {
        None
    }

    fn directory(&self) -> Option<&Directory> {
        Some(self)
    }
}

/// The archive of a window, if it is the one that was journaled.
fn archive_of(path: &Path, window: WindowNumber, id: ArchiveId) -> Result<ExportFile, AuditError> {
    let file = ExportFile::open(path)?;
    if file.id() == id {
        return Ok(file);
    }
    let what = format!("the digest of {}", path.display());
    Err(Difference::new(&what, id.digest, file.id().digest).window(window).into())
}

/// Checks the frames and the checkpoint of a directory whose events and windows were found to be
/// right.
pub(super) fn check(audit: &mut Audit<'_>, directory: &Directory) -> Result<(), AuditError> {
    let tables = &*directory.tables;
    for (batch, carries) in audit.known_carries() {
        let head = kept::load_batch_head(tables, batch).map_err(kept_error)?;
        if head.carries != carries {
            let (expected, found) = (format!("{carries:?}"), format!("{:?}", head.carries));
            let difference = Difference::new("what is kept of its carries", expected, found);
            return Err(difference.batch(batch).into());
        }
    }
    let commit = checkpoint::committed(tables).map_err(kept_error)?;
    let start = match &commit {
        None => Chain::start(),
        Some(commit) => {
            check_checkpoint(audit, directory, commit)?;
            Chain::after(commit.tail, commit.at)
        }
    };
    check_frames(audit, directory, start)?;
    if commit.is_some() {
        audit.not_checked.push(
            "frames below the last checkpoint, if any are left: what they credited is evidence"
                .into(),
        );
    }
    Ok(())
}

/// What is kept beside the journal and does not fit it is a difference, not a failure to read.
fn kept_error(error: JournalError) -> AuditError {
    match error {
        JournalError::Storage(why) => {
            Difference::new("what is kept beside the journal", "what was written", why).into()
        }
        other @ (JournalError::Stream(_)
        | JournalError::Fenced(_)
        | JournalError::Differs { .. }
        | JournalError::Locked { .. }
        | JournalError::NotAJournal { .. }
        | JournalError::NoJournal { .. }
        | JournalError::NotAFolder { .. }
        | JournalError::CurrentLost { .. }
        | JournalError::OtherNetwork { .. }
        | JournalError::OtherFormat { .. }
        | JournalError::Damaged { .. }) => other.into(),
    }
}

/// Every channel of the checkpoint must be as its voucher says, and as the sealed windows say.
fn check_checkpoint(
    audit: &mut Audit<'_>,
    directory: &Directory,
    commit: &checkpoint::Commit,
) -> Result<(), AuditError> {
    let registry = &audit.registry;
    let payer = |signer: SignerKey| registry.signers.get(&signer).map(|signer| signer.party);
    let mut signatures = Signatures::new(audit);
    let mut ended: Option<AuditError> = None;
    let hasher = audit.hasher.as_ref().expect("genesis was first");
    // A channel may stand in several segments; the last one counts.
    let mut newest: HashMap<ChannelId, Newest> = HashMap::new();
    let read = checkpoint::load(&*directory.tables, commit, &payer, &mut |page| {
        newest.extend(page.channels.iter().map(|held| Newest::of(hasher, held)));
        let vouchers = page.channels.iter().map(|held| Found {
            voucher: held.evidence.voucher,
            branch: held.evidence.branch.clone(),
            lsn: None,
        });
        signatures.add(vouchers).map_err(|difference| {
            ended = Some(difference.into());
            JournalError::Storage(String::new())
        })
    });
    match ended {
        Some(error) => return Err(error),
        None => read.map_err(kept_error)?,
    }
    signatures.check()?;
    for (channel, held) in &newest {
        check_held(audit, commit.window, *channel, held)?;
    }
    let checked = signatures.checked;
    audit.counts.voucher_signatures += checked;
    Ok(())
}

/// What a checkpoint says of a channel last.
struct Newest {
    window: WindowNumber,
    total: Amount,
    before: Amount,
    lsn: Lsn,
}

impl Newest {
    fn of(hasher: &ChannelHasher, held: &Held) -> (ChannelId, Self) {
        let voucher = held.evidence.voucher();
        let (total, before, lsn) = (voucher.cumulative(), held.evidence.before, held.evidence.lsn);
        (hasher.channel(voucher), Self { window: held.window, total, before, lsn })
    }
}

/// The total that a channel had at the end of the last sealed window must be the one in the
/// checkpoint, or the one from which the window goes on that was `open` at the checkpoint. If that
/// window was sealed since, the total can only have risen.
fn check_held(
    audit: &Audit<'_>,
    open: WindowNumber,
    channel: ChannelId,
    held: &Newest,
) -> Result<(), Difference> {
    let Some((sealed, window)) = audit.totals.total(channel) else { return Ok(()) };
    let (found, agrees) = match held.window.cmp(&window) {
        // The window was sealed after the checkpoint.
        Ordering::Less => return Ok(()),
        Ordering::Equal if held.window == open => (held.total, held.total <= sealed),
        Ordering::Equal => (held.total, held.total == sealed),
        Ordering::Greater => (held.before, held.before == sealed && held.window == open),
    };
    if agrees {
        return Ok(());
    }
    let difference = Difference::new("the checkpoint's total", sealed, found);
    Err(difference.window(window).channel(channel).lsn(held.lsn))
}

/// Every frame from the checkpoint on: its place in the chain of all records, and every signature
/// in it.
fn check_frames(
    audit: &mut Audit<'_>,
    directory: &Directory,
    mut chain: Chain,
) -> Result<(), AuditError> {
    let mut signatures = Signatures::new(audit);
    let (mut frames, mut ended) = (0, None);
    let read = replay(&*directory.log, &mut chain, &mut |record| {
        let entry = record.entry()?;
        let vouchers = match &entry {
            Entry::Frame(vouchers) | Entry::Charges(vouchers, _) => vouchers,
            Entry::Bundles(vouchers) => &vouchers[..],
            Entry::Genesis(_) | Entry::Fact(_) => return Ok(()),
        };
        frames += 1;
        signatures.frame(vouchers, record.lsn).map_err(|difference| {
            ended = Some(difference);
            JournalError::Storage(String::new())
        })
    });
    match ended {
        Some(difference) => return Err(difference.into()),
        None => read?,
    }
    signatures.check()?;
    let checked = signatures.checked;
    audit.counts.frames += frames;
    audit.counts.voucher_signatures += checked;
    Ok(())
}

/// Vouchers that are checked together, by all threads.
const TOGETHER: usize = 16_384;

/// A voucher, or an entry with its branch, and the record that holds it, if it is known.
struct Found {
    voucher: [u8; VOUCHER_BYTES],
    branch: Option<Box<Branch>>,
    lsn: Option<Lsn>,
}

/// Checks signatures of vouchers by what is registered, many at once.
struct Signatures<'a, 'b> {
    audit: &'a Audit<'b>,
    pending: Vec<Found>,
    checked: u64,
}

impl<'a, 'b> Signatures<'a, 'b> {
    fn new(audit: &'a Audit<'b>) -> Self {
        Self { audit, pending: Vec::with_capacity(TOGETHER), checked: 0 }
    }

    fn hasher(&self) -> &'a ChannelHasher {
        self.audit.hasher.as_ref().expect("the first record is genesis")
    }

    fn add(&mut self, found: impl Iterator<Item = Found>) -> Result<(), Difference> {
        self.pending.extend(found);
        if self.pending.len() < TOGETHER { Ok(()) } else { self.check() }
    }

    /// Adds the vouchers of a frame, and of its bundles one entry each: it has the signature of
    /// all.
    fn frame(&mut self, vouchers: &[[u8; VOUCHER_BYTES]], lsn: Lsn) -> Result<(), Difference> {
        let (channels, lsn) = (self.hasher(), Some(lsn));
        let singles = vouchers.iter().filter(|voucher| Packed(voucher).seat().is_none());
        self.pending.extend(singles.map(|voucher| Found { voucher: *voucher, branch: None, lsn }));
        let hasher = BundleHasher::new(channels.network());
        let first = |bundle: std::ops::Range<usize>| {
            let voucher = vouchers[bundle.start];
            let of = |entry: &[u8; VOUCHER_BYTES]| {
                (channels.channel(Packed(entry)), Packed(entry).cumulative())
            };
            let tree = hasher.tree(vouchers[bundle].iter().map(of));
            let seat = Packed(&voucher).seat().expect("a bundle begins with an entry");
            Found { voucher, branch: Some(Box::new(tree.branch(seat))), lsn }
        };
        self.add(bundles_within(vouchers, 0..vouchers.len()).map(first))
    }

    /// Checks what waits, each thread a share of it; the first difference by order counts.
    fn check(&mut self) -> Result<(), Difference> {
        let audit = self.audit;
        let share = self.pending.len().div_ceil(audit.settings.threads.max(1)).max(VERIFY_BATCH);
        let hasher = self.hasher();
        let known = &Known { registry: &audit.registry, hasher, verifier: audit.verifier };
        std::thread::scope(|scope| {
            let start = |share| scope.spawn(move || check_share(known, share));
            let shares: Vec<_> = self.pending.chunks(share).map(start).collect();
            let join = |share: std::thread::ScopedJoinHandle<'_, Result<(), Difference>>| {
                share.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            shares.into_iter().map(join).collect::<Result<Vec<()>, Difference>>()
        })?;
        self.checked += u64::try_from(self.pending.len()).expect("a length fits 64 bits");
        self.pending.clear();
        Ok(())
    }
}

/// What a thread needs to know.
struct Known<'a> {
    registry: &'a Registry,
    hasher: &'a ChannelHasher,
    verifier: &'a Verifier,
}

/// Checks some vouchers, one after the other.
fn check_share(known: &Known<'_>, vouchers: &[Found]) -> Result<(), Difference> {
    let (mut scratch, mut verdicts) = (Scratch::default(), Vec::new());
    let bundles = BundleHasher::new(known.hasher.network());
    let of = |difference: Difference, channel, lsn: Option<Lsn>| {
        let difference = difference.channel(channel);
        match lsn {
            Some(lsn) => difference.lsn(lsn),
            None => difference,
        }
    };
    for some in vouchers.chunks(VERIFY_BATCH) {
        let mut signed = Vec::with_capacity(some.len());
        for Found { voucher, branch, lsn } in some {
            let voucher = Packed(voucher);
            let channel = known.hasher.channel(voucher);
            let Some(signer) = known.registry.signers.get(&voucher.signer()) else {
                let difference =
                    Difference::new("the signer", "a registered one", voucher.signer());
                return Err(of(difference, channel, *lsn));
            };
            let Some(text) = bundles.signed(voucher, channel, branch.as_deref()) else {
                let difference = Difference::new("the voucher's reserved bytes", 0, "others");
                return Err(of(difference, channel, *lsn));
            };
            let fit = signer.check_fit(voucher.signer());
            fit.map_err(|difference| of(difference, channel, *lsn))?;
            signed.push((signer, channel, text, voucher.signature(), *lsn));
        }
        let mut checks: Vec<Check<'_>> = Vec::with_capacity(signed.len());
        for (signer, _, message, signature, _) in &signed {
            checks.push(Check { key: &signer.key, message: message.bytes(), signature });
        }
        known.verifier.check(&mut scratch, &checks, &mut verdicts);
        known.verifier.learn(&mut scratch, &checks, &verdicts);
        if let Some(bad) = verdicts.iter().position(|v| *v != SignatureVerdict::Valid) {
            let difference = Difference::new("the voucher's signature", "valid", "not valid");
            return Err(of(difference, signed[bad].1, signed[bad].4));
        }
    }
    Ok(())
}
