//! Taking part: the directory follows the stream until the journal is this node's, be that at once,
//! or after days of standing by. Then the start goes on as an owner's.

use super::peers::{self, Entry};
use super::{Holding, Owned, Waiting, advertised};
use crate::api::Told;
use crate::config::{ClusterSettings, Config, FolderSettings};
use crate::faults;
use crate::jetstream::limits::{FOLLOW_PAUSE, LEASE_LOOK, NODE_SAYS, UNHEARD_PAUSE, UNHEARD_SAY};
use crate::jetstream::{self, Beside, Candidate, Followed, Link, Settings, StreamError, StreamLog};
use crate::journal::{Journal, JournalError, Log, Table, Tables, rocks};
use crate::ledger::control::Control;
use crate::ledger::{Genesis, Rail};
use crate::pipeline::{Following, Keeping, Next, Recovered, Stands, follow, stop_at_once};
use crate::serve::doors::Doors;
use crate::serve::{ServeError, check_genesis, check_new, clearing, open_desks, vault};
use crate::settle::OthersBatches;
use crate::sign::{EngineKey, EngineKeyError};
use crate::types::{SignerKey, Timestamp};
use crate::vault::{ROOT_KEY_CHECK, Vault};
use std::cell::{OnceCell, RefCell};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Why a node does not take over.
const NOT_NAMED: &str = "the engine's key in force has not named this node's key as one that may follow it. The owner \
                         does so within seconds, while it runs; if its machine is lost, copy its file tallystick.key \
                         into this data directory";
/// The same, of one that is still reading.
const NOTHING_READ: &str = "it has not read the journal to its end yet";

/// The journal, once it is this node's.
pub(crate) struct Taken {
    /// The journal.
    pub journal: Journal<Box<dyn Log>>,
    /// What its records add up to.
    pub recovered: Recovered,
    /// Its epoch.
    pub epoch: u32,
    /// Whether it begins here.
    pub new: bool,
    /// What names are sealed with.
    pub vault: Vault,
    /// What goes on with it.
    pub owned: Owned,
}

/// Follows the stream until the journal is this node's; `None` when it was told to stop.
///
/// # Errors
/// `ServeError` that says why it cannot take part.
pub(crate) fn take_part(
    config: &Config,
    settings: &Settings,
    doors: &Doors,
    genesis: impl FnOnce() -> (Genesis, Timestamp),
) -> Result<Option<Taken>, ServeError> {
    if config.archive_dir.is_some() && config.cluster != ClusterSettings::default() {
        return Err(ServeError::ArchivesInCluster);
    }
    if config.cluster != ClusterSettings::default() {
        check_folders(config)?;
    }
    let copy = rocks::open(&config.data_dir)?;
    // What cannot be opened is found while the journal is still somebody's who serves.
    drop(open_desks(&config.rail, &clearing(config)?, &config.data_dir)?);
    let may_begin = check_new(config);
    let followed = match (jetstream::join(settings, copy, may_begin.is_ok()), may_begin) {
        (Err(StreamError::NoStream { records: 0, .. }), Err(no_ledger)) => return Err(no_ledger),
        (followed, _) => followed.map_err(JournalError::from)?,
    };
    faults::point(|| "start-opened");
    let own = followed.own().map_err(JournalError::from)?;
    let own = (u32::try_from(own.0).unwrap_or(u32::MAX), own.1);
    let (copy, tables) = (followed.copy(), followed.tables());
    let followed_beside = followed.beside().clone();
    let vault = OnceCell::new();
    let node = RefCell::new(Node::new(config, doors, followed, &vault)?);
    followed_beside.on_failure(|error| stop_at_once(error));
    let opener = || {
        // The keys that a record rests on were there before it.
        catch_up(&followed_beside)?;
        let unknown = || JournalError::Storage("the root key is not known here yet".to_owned());
        vault.get().cloned().ok_or_else(unknown)
    };
    let beside = OthersBatches::new(tables.clone(), &opener);
    let following = Following {
        shards: config.shards,
        checkpoint_bytes: config.checkpoint_bytes,
        keeping: Keeping { beside: &beside, own },
    };
    let mut failed = None;
    let followed = follow((copy, &tables), following, genesis, &mut |seen| {
        node.borrow_mut().next(seen).map_err(|error| {
            if let ServeError::Journal(error) = error {
                return error;
            }
            failed = Some(error);
            JournalError::Storage("the start has failed".to_owned())
        })
    });
    let followed = match (followed, failed) {
        (Err(_), Some(error)) => return Err(error),
        (followed, _) => followed?,
    };
    let Node { waiting, holding, link, name, new, .. } = node.into_inner();
    let Some((recovered, log, epoch)) = followed else {
        waiting.into_iter().for_each(Waiting::close);
        tracing::info!("stopped while it stood by");
        return Ok(None);
    };
    let log: Box<dyn Log> = Box::new(log);
    let vault = vault.into_inner().expect("it was opened before the journal was this node's");
    let holding = holding.expect("it holds the journal");
    let journal = Journal { log, tables };
    let owned = Owned { name, link, holding, waiting };
    Ok(Some(Taken { journal, recovered, epoch, new, vault, owned }))
}

/// Whether an error may be over in a moment: nobody leads the stream, or nobody is reached.
fn is_passing(error: &StreamError) -> bool {
    matches!(error, StreamError::NoAnswer { .. } | StreamError::Request { .. })
}

/// Copies what the servers keep beside the stream, however long it takes them to answer.
fn catch_up(beside: &Beside) -> Result<(), JournalError> {
    loop {
        match beside.follow() {
            Err(error) if is_passing(&error) => std::thread::sleep(UNHEARD_PAUSE),
            done => return Ok(done?),
        }
    }
}

/// Rails with files that are set up have folders that all nodes see: a file that one node has
/// staged is found, and let out or taken back, by the next owner; and so are the bank's answers.
fn check_folders(config: &Config) -> Result<(), ServeError> {
    let (rails, none) = (&config.rail, FolderSettings::default());
    for (rail, of) in [(Rail::Iso20022, &rails.iso20022), (Rail::Nacha, &rails.nacha)] {
        let own = |folder: &Option<PathBuf>| {
            folder.as_ref().is_none_or(|folder| folder.starts_with(&config.data_dir))
        };
        if *of != none && [&of.outbox, &of.pay_ins, &of.inbox].into_iter().any(own) {
            return Err(ServeError::FoldersInCluster { rail: rail.name() });
        }
    }
    Ok(())
}

/// Sets aside what lies in this node's own folders of files to be handed in: another node owns the
/// journal, and may have paid the same since, or may have said that it failed.
fn set_aside(data_dir: &Path) -> Result<(), ServeError> {
    let failed = |why: std::io::Error| ServeError::System { what: "folder", why: why.to_string() };
    for kind in ["outbox", "pay-ins"] {
        let (from, files) = (data_dir.join(kind), count(&data_dir.join(kind)));
        if files == 0 {
            continue;
        }
        let free = |n: &u32| !data_dir.join(format!("{kind}-set-aside-{n}")).exists();
        let n = (1..).find(free).expect("there are few");
        let to = data_dir.join(format!("{kind}-set-aside-{n}"));
        std::fs::rename(&from, &to).map_err(failed)?;
        tracing::error!(
            files, folder = %to.display(),
            "files that lay here to be handed in are set aside, since another node owns the journal: hand in none of \
             them before you have seen in the batch's report that its legs wait for it"
        );
    }
    Ok(())
}

/// Files in a folder and those below.
fn count(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let one = |entry: std::fs::DirEntry| match entry.file_type() {
        Ok(of) if of.is_dir() => count(&entry.path()),
        Ok(_) | Err(_) => 1,
    };
    entries.map(one).sum()
}

/// A node that may come to own the journal.
struct Node<'a> {
    config: &'a Config,
    doors: &'a Doors,
    name: String,
    tables: Arc<dyn Tables>,
    link: Arc<Link>,
    /// Until it claims.
    following: Option<(Followed, Candidate)>,
    /// From then on.
    holding: Option<Holding>,
    vault: &'a OnceCell<Vault>,
    waiting: Option<Waiting>,
    /// Whether it has said where it is.
    ready: bool,
    /// Whether the journal begins here.
    new: bool,
    /// Whether the lease may be claimed, as it was seen last.
    free: bool,
    looked: Option<Instant>,
    said: Option<Instant>,
    warned: Option<Instant>,
    /// Whether the stream was read a moment ago.
    heard: bool,
    /// Whether it was ever read to its end.
    at_end: bool,
    /// Why it could not take over, as it was seen last.
    cannot: Option<String>,
}

impl<'a> Node<'a> {
    fn new(
        config: &'a Config,
        doors: &'a Doors,
        followed: Followed,
        vault: &'a OnceCell<Vault>,
    ) -> Result<Self, ServeError> {
        let name = config.cluster.name.clone();
        let who = followed.who(name.unwrap_or_default(), advertised(config, None));
        let mut who = who.map_err(JournalError::from)?;
        if who.name.is_empty() {
            who.name = who.id.clone();
        }
        let (link, tables) = (followed.link().clone(), followed.tables());
        let candidate = Candidate::new(link.clone(), who.clone());
        Ok(Self {
            config,
            doors,
            name: who.name,
            tables,
            link,
            following: Some((followed, candidate)),
            holding: None,
            vault,
            waiting: None,
            ready: false,
            new: false,
            free: false,
            looked: None,
            said: None,
            warned: None,
            heard: false,
            at_end: false,
            cannot: Some(NOTHING_READ.to_owned()),
        })
    }

    /// What comes next: more records, or the journal itself.
    fn next(&mut self, seen: Stands<'_>) -> Result<Next<StreamLog>, ServeError> {
        loop {
            if self.waiting.as_ref().is_some_and(Waiting::is_signalled) {
                return Ok(Next::Stop);
            }
            if self.looked.is_none_or(|at| at.elapsed() >= LEASE_LOOK) {
                self.look(seen)?;
            }
            if self.said.is_none_or(|at| at.elapsed() >= NODE_SAYS) {
                self.said = Some(Instant::now());
                self.say(seen)?;
            }
            let (followed, _) = self.following.as_mut().expect("it follows until it claims");
            match followed.read_on() {
                Ok(true) => {
                    self.at_end |= followed.is_near();
                    self.hears();
                    return Ok(Next::More);
                }
                Ok(false) => {
                    self.hears();
                    self.at_end = true;
                }
                // Nobody leads the stream, or nobody is reached: that ends.
                Err(error) if is_passing(&error) => {
                    self.heard = false;
                    self.warn(&format!("the stream is not followed at the moment: {error}"));
                    std::thread::sleep(UNHEARD_PAUSE);
                    continue;
                }
                Err(error) => return Err(JournalError::from(error).into()),
            }
            if self.free
                && self.may_follow(seen)?
                && let Some(owned) = self.claim(seen)?
            {
                return Ok(owned);
            }
            std::thread::sleep(FOLLOW_PAUSE);
        }
    }

    /// The stream was read: what is beside it is read at once, too.
    fn hears(&mut self) {
        if !self.heard {
            (self.heard, self.said) = (true, None);
        }
    }

    fn warn(&mut self, text: &str) {
        if self.warned.is_none_or(|at| at.elapsed() >= UNHEARD_SAY) {
            self.warned = Some(Instant::now());
            tracing::warn!("{text}");
        }
    }

    /// Looks at the lease, and tells whoever asks.
    fn look(&mut self, seen: Stands<'_>) -> Result<(), ServeError> {
        self.looked = Some(Instant::now());
        let (followed, candidate) = self.following.as_mut().expect("it follows until it claims");
        self.free = candidate.look();
        let owner = candidate.owner().map(|of| of.who.clone());
        if self.waiting.is_none()
            && !self.free
            && let Some(owner) = &owner
        {
            if self.config.archive_dir.is_some() {
                return Err(ServeError::ArchivesInCluster);
            }
            if followed.is_restored().map_err(JournalError::from)? {
                return Err(ServeError::RestoredStandby { dir: self.config.data_dir.clone() });
            }
            set_aside(&self.config.data_dir)?;
            self.waiting = Some(Waiting::open(self.config, self.doors)?);
            tracing::info!(node = %self.name, owner = %owner.name, "standing by");
        }
        self.open_vault()?;
        let Some(waiting) = &self.waiting else { return Ok(()) };
        let genesis = seen.control.map(|control| control.genesis());
        waiting.parts.standby.tell(Told {
            network: genesis.map(|of| (of.network, of.lifetime_seconds_max)),
            owner: owner.as_ref().map(|of| of.name.clone()),
            address: owner.and_then(|of| of.advertise),
            position: seen.tail.lsn.0,
            cannot: self.cannot.clone(),
        });
        if let Some(genesis) = genesis.filter(|_| !self.ready && self.vault.get().is_some()) {
            check_genesis(self.config, genesis)?;
            waiting.ready(self.config, self.doors, genesis.network)?;
            self.ready = true;
        }
        Ok(())
    }

    /// Opens the vault of a journal that others have begun, once it is known which root key it has.
    fn open_vault(&self) -> Result<(), ServeError> {
        if self.vault.get().is_none() && self.tables.get(Table::Meta, ROOT_KEY_CHECK)?.is_some() {
            drop(self.vault.set(vault(self.config, &self.tables, false)?));
        }
        Ok(())
    }

    /// Tells the other nodes how this one stands, and with which key it would sign.
    fn say(&mut self, seen: Stands<'_>) -> Result<(), ServeError> {
        let (followed, _) = self.following.as_ref().expect("it follows until it claims");
        // Where nobody answers, looking at the lease comes first.
        let followed = if self.heard { followed.beside().follow() } else { Ok(()) };
        if let Err(error) = followed
            && !is_passing(&error)
        {
            return Err(JournalError::from(error).into());
        }
        let waiting = self.waiting.as_ref().map(|waiting| waiting.parts.listening.address);
        let mut entry = Entry {
            name: self.name.clone(),
            advertise: advertised(self.config, waiting),
            state: "standby".to_owned(),
            position: seen.tail.lsn.0,
            void: self.link.void(),
            ..Entry::default()
        };
        if let (Some(control), Some(vault)) = (seen.control, self.vault.get()) {
            let network = control.genesis().network;
            let key = self.candidate_key(control)?;
            entry = entry.with_key(vault, network, key);
            self.cannot = match control.engine_key() {
                _ if !self.at_end => Some(NOTHING_READ.to_owned()),
                None => None,
                Some(current) if EngineKey::is_here(&self.config.data_dir, current)? => None,
                Some(current) => {
                    let proof = peers::proof(&self.link, network, &self.name, (current, key));
                    (!matches!(proof, Ok(Some(_)))).then(|| NOT_NAMED.to_owned())
                }
            };
        }
        entry.cannot = self.cannot.clone();
        // Said again in a moment, where it cannot be said now.
        let _ = entry.publish(&self.link);
        Ok(())
    }

    fn candidate_key(&self, control: &Control) -> Result<SignerKey, EngineKeyError> {
        let was = |key| control.was_engine_key(key);
        EngineKey::candidate(&self.config.data_dir, control.engine_key(), &was)
    }

    /// Whether this node's key is the one in force, or may follow it.
    fn may_follow(&mut self, seen: Stands<'_>) -> Result<bool, ServeError> {
        let (followed, candidate) = self.following.as_ref().expect("it follows until it claims");
        if candidate.is_first() && followed.is_anothers().map_err(JournalError::from)? {
            self.warn(
                "the journal's owner is an engine of an earlier version, or none: start the newer one on the \
                 directory that wrote the journal last",
            );
            return Ok(false);
        }
        let Some(control) = seen.control else { return Ok(true) };
        check_genesis(self.config, control.genesis())?;
        let Some(current) = control.engine_key() else { return Ok(true) };
        if EngineKey::is_here(&self.config.data_dir, current)? {
            return Ok(true);
        }
        let (network, key) = (control.genesis().network, self.candidate_key(control)?);
        match peers::proof(&self.link, network, &self.name, (current, key)) {
            Ok(Some(_)) => Ok(true),
            Ok(None) => {
                self.warn(&format!("this node cannot take over: {NOT_NAMED}"));
                Ok(false)
            }
            Err(_) => Ok(false),
        }
    }

    /// Claims the stream, unless another node was faster.
    fn claim(&mut self, seen: Stands<'_>) -> Result<Option<Next<StreamLog>>, ServeError> {
        if seen.control.is_none() {
            check_new(self.config)?;
        }
        let (followed, mut candidate) = self.following.take().expect("it follows until it claims");
        // Also where it never stood by: another one owned the journal since this directory did.
        if followed.is_anothers().map_err(JournalError::from)? {
            set_aside(&self.config.data_dir)?;
        }
        // Where nobody says whether it is this one's, looking tells.
        if !candidate.take().unwrap_or(false) {
            (self.following, self.looked) = (Some((followed, candidate)), None);
            return Ok(None);
        }
        tracing::warn!(node = %self.name, lsn = seen.tail.lsn.0, "claiming the journal's stream");
        let holding = Holding::start(self.link.clone(), candidate.holds());
        let Journal { log, .. } = followed.claim().map_err(JournalError::from)?;
        let epoch = log.epoch()?;
        holding.owns(epoch.into());
        self.holding = Some(holding);
        if let Some(Waiting { parts, .. }) = &self.waiting {
            // It is this one from here on, and serves in a moment.
            let address = advertised(self.config, Some(parts.listening.address));
            parts.standby.tell(Told {
                owner: Some(self.name.clone()),
                address,
                ..parts.standby.told()
            });
        }
        self.new = log.is_empty()?;
        self.open_vault()?;
        if self.vault.get().is_none() {
            // Where it is made, it is durable before the first record.
            drop(self.vault.set(vault(self.config, &self.tables, self.new)?));
        }
        Ok(Some(Next::Own(log, epoch)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a node had staged when another one took over may have been paid since by that one.
    #[test]
    fn files_of_an_earlier_ownership_are_set_aside_and_never_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let staged = |n: u32| {
            let folder = dir.path().join("outbox/iso20022/.staging");
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(format!("{n}.xml")), "a file").unwrap();
        };
        set_aside(dir.path()).unwrap();
        for n in 1..=2 {
            staged(n);
            set_aside(dir.path()).unwrap();
            assert!(!dir.path().join("outbox").exists());
            let aside = dir.path().join(format!("outbox-set-aside-{n}/iso20022/.staging/{n}.xml"));
            assert!(aside.exists());
        }
        // Folders without files stay where they are.
        std::fs::create_dir_all(dir.path().join("outbox/iso20022")).unwrap();
        set_aside(dir.path()).unwrap();
        assert!(dir.path().join("outbox/iso20022").exists());
    }
}
