//! Replaying the records behind a checkpoint: one thread reads, checks and derives channels, one
//! thread a shard credits. A window that was sealed is sealed again, a batch that was computed is
//! computed again, and both must be what was journaled. Who follows the journal of another node
//! keeps both, as that node does, and makes checkpoints on the way.

use super::follow::Keeping;
use super::keep::{Keeper, Progress, Saved, Since};
use super::legs;
use super::recover::{State, damaged};
use crate::journal::checkpoint::Mark;
use crate::journal::{Chain, Entry, HEADER_BYTES, JournalError, RISE_BYTES, Record, Tables, kept};
use crate::ledger::control::{Control, Made};
use crate::ledger::event::{
    BatchComputed, BatchEvent, LegEvent, RegistryEvent, WindowEvent, WindowSealed,
};
use crate::ledger::shard::Checked;
use crate::ledger::{Event, Fact, Gathered, OneHand, SealedHead, SealedPart, Shard, seal};
use crate::limits::{COPY_CHANNELS, PAGE_QUEUE, REPLAY_QUEUE};
use crate::types::{
    Amount, BundleHasher, BundleTree, ChannelHasher, ChannelId, Lsn, Outcome, Packed, PartyId,
    Timestamp, VOUCHER_BYTES, Verdict, WindowNumber, bundles_within,
};
use crate::verify::Keys;
use crossbeam::channel::{Receiver, Sender, bounded, unbounded};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};
use std::thread::ScopedJoinHandle;

/// What the shards are told.
enum Work {
    Frame(Arc<Frame>),
    Event(Lsn, Arc<Event>),
    /// Hand out all that a checkpoint at this point needs.
    Save(Mark, Sender<Saved>),
}

/// A frame as it was journaled.
struct Frame {
    lsn: Lsn,
    at: Timestamp,
    vouchers: Vec<u8>,
    /// By how much each is to raise its total; none: by whatever it does.
    rises: Vec<Amount>,
    /// Of each voucher: its channel, and the shard of its payer.
    places: Vec<(ChannelId, u16)>,
    /// Of its bundles: the place behind the last entry, and the tree.
    trees: Vec<(usize, BundleTree)>,
}

impl Frame {
    /// The tree of the bundle of which this is an entry.
    fn tree(&self, place: usize, voucher: Packed<'_>) -> Option<&BundleTree> {
        voucher.seat()?;
        let at = self.trees.partition_point(|(end, _)| *end <= place);
        self.trees.get(at).map(|(_, tree)| tree)
    }
}

/// A replay under way.
pub(super) struct Replaying<'a> {
    control: Arc<RwLock<Control>>,
    keys: Keys,
    /// What is kept beside the records of others; none: it is here already.
    keeping: Option<Keeping<'a>>,
    tables: &'a dyn Tables,
    hasher: &'a ChannelHasher,
    bundles: BundleHasher,
    to_shards: Vec<Sender<Work>>,
    parts_out: Receiver<SealedPart>,
    parts: BTreeMap<WindowNumber, Vec<SealedPart>>,
    since: Since,
    vouchers: u64,
    /// The party of the signer seen last: agents send runs of vouchers.
    last: Option<([u8; 32], PartyId)>,
}

/// What a replay gives.
pub(super) struct Replayed {
    pub state: State,
    /// Windows that were cut and not sealed.
    pub unsealed: Vec<SealedPart>,
    /// What its records cost.
    pub since: Since,
    /// Vouchers that they held.
    pub vouchers: u64,
}

impl<'a> Replaying<'a> {
    /// Starts the shards' threads, has `feed` apply the records, and waits for the shards.
    pub fn run(
        state: State,
        tables: &'a dyn Tables,
        hasher: &'a ChannelHasher,
        feed: impl FnOnce(&mut Self) -> Result<(), JournalError>,
    ) -> Result<Replayed, JournalError> {
        let State { control, shards, keys } = state;
        let (parts_in, parts_out) = unbounded();
        std::thread::scope(|scope| {
            let (mut to_shards, mut threads) = (Vec::new(), Vec::new());
            for shard in shards {
                let (works_in, works) = bounded(REPLAY_QUEUE);
                let parts_in = parts_in.clone();
                to_shards.push(works_in);
                threads.push(scope.spawn(move || work(shard, &works, &parts_in)));
            }
            drop(parts_in);
            let mut replaying = Self {
                control: Arc::new(RwLock::new(control)),
                keys,
                keeping: None,
                tables,
                hasher,
                bundles: BundleHasher::new(hasher.network()),
                to_shards,
                parts_out,
                parts: BTreeMap::new(),
                since: Since::default(),
                vouchers: 0,
                last: None,
            };
            let fed = feed(&mut replaying);
            replaying.finish(threads, fed)
        })
    }

    fn finish(
        mut self,
        threads: Vec<ScopedJoinHandle<'_, Shard>>,
        fed: Result<(), JournalError>,
    ) -> Result<Replayed, JournalError> {
        self.to_shards.clear();
        let join = |thread: ScopedJoinHandle<'_, Shard>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        let shards = threads.into_iter().map(join).collect();
        fed?;
        let late = std::mem::take(&mut self.parts).into_values().flatten();
        let mut unsealed: Vec<SealedPart> = late.chain(self.parts_out.iter()).collect();
        // They came as the threads ran; they go on window by window.
        unsealed.sort_by_key(SealedPart::window);
        let control = Arc::into_inner(self.control).expect("nobody else has it any more");
        let control = control.into_inner().unwrap_or_else(PoisonError::into_inner);
        let state = State { control, shards, keys: self.keys };
        Ok(Replayed { state, unsealed, since: self.since, vouchers: self.vouchers })
    }

    /// From here on what follows from records of others is kept.
    pub fn keep(&mut self, keeping: Keeping<'a>) {
        self.keeping = Some(keeping);
    }

    /// The control state as of the last record.
    pub fn control(&self) -> &Arc<RwLock<Control>> {
        &self.control
    }

    fn write(&self) -> RwLockWriteGuard<'_, Control> {
        self.control.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a checkpoint at the end of `chain`, where it stands, if one is due: as `Order` does,
    /// but everything waits for it.
    pub fn checkpoint(
        &mut self,
        chain: &Chain,
        checkpoint_bytes: u64,
        (keeper, progress): (&mut Keeper, &Progress),
    ) -> Result<(), JournalError> {
        let mut control = self.write();
        if !self.since.is_due(checkpoint_bytes) || control.is_sealing() {
            return Ok(());
        }
        let everything = progress.begin().expect("the last one has ended");
        let window = control.open_window().number;
        let remembered = control.remembered_from();
        control.begin_save();
        drop(control);
        let (tail, at) = (chain.tail(), chain.at());
        let mark = Mark { everything, tail, at, window, remembered };
        self.since = Since::default();
        let (pages_in, pages) = bounded(PAGE_QUEUE);
        self.tell(|| Work::Save(mark, pages_in.clone()));
        drop(pages_in);
        pages.iter().try_for_each(|saved| keeper.page(&saved))?;
        while keeper.has_rows() {
            keeper.rows()?;
        }
        let commit = keeper.commit()?;
        tracing::info!(lsn = commit.tail.lsn.0, segment = commit.segment, "checkpoint");
        Ok(())
    }

    /// Applies one record.
    pub fn apply(&mut self, record: &Record<'_>) -> Result<(), JournalError> {
        self.since.add_bytes(HEADER_BYTES + record.body.len());
        match record.entry()? {
            Entry::Genesis(_) => Err(damaged(record.lsn, "a genesis record can only be the first")),
            Entry::Frame(vouchers) => {
                self.vouchers += u64::from(record.count);
                self.frame(record, vouchers, &[])
            }
            Entry::Charges(vouchers, rises) => {
                self.vouchers += u64::from(record.count);
                self.frame(record, vouchers, rises)
            }
            Entry::Bundles(vouchers) => {
                self.vouchers += u64::from(record.count);
                self.frame(record, &vouchers, &[])
            }
            Entry::Fact(fact) => self.fact(record, *fact),
        }
    }

    fn frame(
        &mut self,
        record: &Record<'_>,
        vouchers: &[[u8; VOUCHER_BYTES]],
        rises: &[[u8; RISE_BYTES]],
    ) -> Result<(), JournalError> {
        let count = u16::try_from(self.to_shards.len()).expect("shards fit 16 bits");
        let mut places = Vec::with_capacity(vouchers.len());
        let view = self.keys.view();
        for voucher in vouchers.iter().map(Packed) {
            let signer = voucher.signer();
            let party = match self.last {
                Some((key, party)) if key == signer.0 => party,
                Some(_) | None => {
                    let Some(key) = view.get(&signer) else {
                        let why = "it holds a voucher of an unregistered key";
                        return Err(damaged(record.lsn, why));
                    };
                    self.last = Some((signer.0, key.party()));
                    key.party()
                }
            };
            places.push((self.hasher.channel(voucher), party.shard(count)));
        }
        drop(view);
        let tree = |bundle: std::ops::Range<usize>| {
            let entries =
                bundle.clone().map(|at| (places[at].0, Packed(&vouchers[at]).cumulative()));
            (bundle.end, self.bundles.tree(entries))
        };
        let trees = bundles_within(vouchers, 0..vouchers.len()).map(tree).collect();
        let (lsn, at, vouchers) = (record.lsn, record.at, vouchers.as_flattened().to_vec());
        let rises = rises.iter().map(|rise| Amount(u64::from_le_bytes(*rise))).collect();
        let frame = Arc::new(Frame { lsn, at, vouchers, rises, places, trees });
        self.tell(|| Work::Frame(frame.clone()));
        Ok(())
    }

    fn fact(&mut self, record: &Record<'_>, fact: Fact) -> Result<(), JournalError> {
        let keeping = self.keeping.filter(|of| !of.is_own(record));
        let made = match &fact.event {
            Event::Window(WindowEvent::Sealed(sealed)) => {
                self.reseal(record.lsn, sealed, keeping.is_some())?;
                Made::Nothing
            }
            Event::Batch(BatchEvent::Computed(batch)) => {
                self.recompute(record.lsn, batch, keeping)?
            }
            Event::Leg(LegEvent::Moved(moved)) => {
                if let Some(keeping) = keeping {
                    let control = self.control.read().unwrap_or_else(PoisonError::into_inner);
                    keeping.beside.moved(&control, moved)?;
                }
                Made::Nothing
            }
            Event::Registry(RegistryEvent::SignerAdded(added)) => {
                self.keys.insert([(added.signer, added.party)]);
                Made::Nothing
            }
            Event::Registry(_)
            | Event::Budget(_)
            | Event::Access(_)
            | Event::Endpoint(_)
            | Event::Eyes(_)
            | Event::Key(_)
            | Event::Window(_)
            | Event::Batch(_)
            | Event::Leg(_)
            | Event::Trouble(_)
            | Event::Hold(_) => Made::Nothing,
        };
        self.since.add_event(&fact.event, &made);
        let mut control = self.write();
        let away = control.away_of_event(&fact.event);
        legs::bring(&mut control, self.tables, away)?;
        control.apply(record.history(), record.at, &fact, made);
        drop(control);
        let event = Arc::new(fact.event);
        self.tell(|| Work::Event(record.lsn, event.clone()));
        Ok(())
    }

    fn tell(&self, work: impl Fn() -> Work) {
        for shard in &self.to_shards {
            shard.send(work()).expect("a shard works until it is told no more");
        }
    }

    fn reseal(&mut self, lsn: Lsn, sealed: &WindowSealed, keep: bool) -> Result<(), JournalError> {
        let window = sealed.window;
        let cut = {
            let control = self.control.read().unwrap_or_else(PoisonError::into_inner);
            let not_cut = || damaged(lsn, format!("window {window} is sealed but was not cut"));
            let cut = control.cut(window).ok_or_else(not_cut)?;
            if control.window(window).is_ok_and(|entry| entry.sealed.is_some()) {
                return Err(damaged(lsn, format!("window {window} is sealed a second time")));
            }
            cut
        };
        while self.parts.get(&window).map_or(0, Vec::len) < self.to_shards.len() {
            let part = self.parts_out.recv().expect("the shards work until they are told no more");
            self.parts.entry(part.window()).or_default().push(part);
        }
        let parts = self.parts.remove(&window).unwrap_or_default();
        let again = match keep {
            true => kept::put_window(self.tables, Gathered::new(cut, parts), &OneHand)?,
            false => seal(cut, parts).window,
        };
        if (again.root, again.credited) == (sealed.root, sealed.credited)
            && again.seals().eq(&sealed.assets)
        {
            return Ok(());
        }
        let (root, now) = (sealed.root, again.root);
        let why = format!("window {window} was sealed under root {root} and now has {now}");
        Err(self.differs(lsn, why))
    }

    fn recompute(
        &self,
        lsn: Lsn,
        batch: &BatchComputed,
        keeping: Option<Keeping<'_>>,
    ) -> Result<Made, JournalError> {
        let wrong = |why: String| {
            self.differs(lsn, format!("batch {} cannot be computed again: {why}", batch.batch))
        };
        let control = self.control.read().unwrap_or_else(PoisonError::into_inner);
        let heads = control.settleable(&batch.windows, batch.asset);
        let heads = heads.map_err(|refusal| wrong(refusal.to_string()))?;
        let load = |head: &SealedHead| match head.owes(batch.asset) {
            true => kept::load_window(self.tables, head).map(Arc::new),
            // It may have left for an archive.
            false => Ok(Arc::new(head.without_assets())),
        };
        let windows = heads.iter().map(load).collect::<Result<Vec<_>, _>>()?;
        let content = control.recompute(batch, &windows).map_err(wrong)?;
        drop(control);
        let head = content.head.clone();
        keeping.map_or(Ok(()), |keeping| keeping.beside.batch(content))?;
        Ok(Made::Batch(head))
    }

    /// One's own records that do not fit are damaged; those of another node say that it does not
    /// agree.
    fn differs(&self, lsn: Lsn, why: String) -> JournalError {
        match self.keeping {
            Some(_) => JournalError::Differs { lsn, why },
            None => damaged(lsn, why),
        }
    }
}

/// One shard's thread: works until it is told no more, then gives the shard back.
fn work(mut shard: Shard, works: &Receiver<Work>, parts: &Sender<SealedPart>) -> Shard {
    let mut outcomes: Vec<Outcome> = Vec::new();
    for work in works {
        match work {
            Work::Frame(frame) => credit(&mut shard, &frame, &mut outcomes),
            Work::Event(lsn, event) => {
                let earlier = shard.apply(lsn, &event);
                // Nothing waits for a replay, so a closed window leaves at once.
                let left = shard.leave(usize::MAX);
                earlier.into_iter().chain(left).for_each(|part| drop(parts.send(part)));
            }
            Work::Save(mark, pages) => {
                let page = shard.save(mark.everything, mark.at, mark.remembered);
                // Who has stopped to take them has failed.
                let _ = pages.send(Saved { mark, page, last: false });
                while let Some((page, last)) = shard.saved(COPY_CHANNELS) {
                    let _ = pages.send(Saved { mark, page, last });
                }
            }
        }
    }
    shard
}

fn credit(shard: &mut Shard, frame: &Frame, outcomes: &mut Vec<Outcome>) {
    let vouchers = frame.vouchers.as_chunks::<VOUCHER_BYTES>().0.iter().map(Packed);
    let own: Vec<Checked<'_>> = vouchers
        .zip(&frame.places)
        .enumerate()
        .filter(|(_, (_, (_, of)))| *of == shard.index())
        .map(|(i, (voucher, &(channel, _)))| {
            let rise = frame.rises.get(i).copied();
            let tree = frame.tree(i, voucher);
            Checked { voucher, channel, verdict: Verdict::Valid, rise, tree }
        })
        .collect();
    shard.credit(frame.lsn, frame.at, &own, outcomes);
}
