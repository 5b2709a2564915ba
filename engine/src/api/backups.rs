//! Backups, and what a ledger waits for that was restored from one.

use super::held::Edge;
use super::messages::{asked, asks};
use super::proposals;
use super::status::invalid;
use crate::backup::{self, BackupError, Found, Made, Manifest, Ours, Shelved};
use crate::files;
use crate::ledger::{Caller, HoldEntry, Wish};
use crate::limits::BACKUP_LOOK_WAIT;
use crate::pipeline;
use crate::settle::Engine;
use bytes::Bytes;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tallystick_proto::v1;
use tonic::{Code, Status};

asks! {
    ReleaseHoldRequest "ReleaseHold",
}

/// Where backups are made, and the newest one. Cheap to clone.
#[derive(Clone, Default)]
pub struct Backups(Arc<Inner>);

#[derive(Default)]
struct Inner {
    data_dir: PathBuf,
    /// Backups may be made here, and below.
    root: Option<PathBuf>,
    last: Mutex<Option<v1::Backup>>,
    /// Whoever has it looks whether that is still there.
    looking: Arc<tokio::sync::Mutex<()>>,
}

impl Backups {
    /// Of a data directory, with the newest backup in the folder where they may be made.
    #[must_use]
    pub fn new(data_dir: &Path, root: Option<&Path>) -> Self {
        let newest = root.map(backup::newest).transpose().unwrap_or_else(|error| {
            tracing::warn!("it is not known which backups there are: {error}");
            None
        });
        let last =
            newest.flatten().map(|Found { folder, manifest }| message(&folder, &manifest, 0));
        let (data_dir, root) = (data_dir.to_owned(), root.map(Path::to_owned));
        let looking = Arc::default();
        Self(Arc::new(Inner { data_dir, root, last: Mutex::new(last), looking }))
    }

    /// Where they may be made; empty: nowhere.
    pub(super) fn dir(&self) -> String {
        self.0.root.as_ref().map(|root| root.display().to_string()).unwrap_or_default()
    }

    /// The newest one: if that was removed, the newest in the folder where they may be made. A disk
    /// that does not answer is not waited for; then it is the newest that is known.
    pub(super) async fn last(&self) -> Option<v1::Backup> {
        if let (true, Ok(turn)) = (self.0.root.is_some(), self.0.looking.clone().try_lock_owned()) {
            let own = self.clone();
            let looked = tokio::task::spawn_blocking(move || {
                own.look();
                drop(turn);
            });
            // What it finds later is known the next time.
            let _ = tokio::time::timeout(BACKUP_LOOK_WAIT, looked).await;
        }
        self.known().clone()
    }

    fn known(&self) -> MutexGuard<'_, Option<v1::Backup>> {
        self.0.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds another one in place of the newest if that is gone.
    fn look(&self) {
        let (Some(root), known) = (&self.0.root, self.known().clone()) else { return };
        if known.as_ref().is_some_and(|known| backup::is_one(Path::new(&known.folder))) {
            return;
        }
        // A disk that is not mounted has none, and neither has a folder that cannot be read.
        let newest = backup::newest(root).ok().flatten();
        let newest = newest.map(|Found { folder, manifest }| message(&folder, &manifest, 0));
        let mut last = self.known();
        // One may just have been made.
        if *last == known {
            *last = newest;
        }
    }

    /// Takes note of what came of making one.
    fn made(&self, made: Result<Made, BackupError>) -> Result<v1::Backup, Status> {
        let Made { folder, manifest, new_bytes, missing } = made.map_err(|error| failed(&error))?;
        for why in &missing {
            tracing::warn!("an archive is not in the backup: {why}");
        }
        let message = message(&folder, &manifest, new_bytes);
        tracing::info!(
            folder = message.folder,
            lsn = message.lsn,
            bytes = message.bytes,
            new_bytes,
            "a backup was made"
        );
        *self.known() = Some(message.clone());
        Ok(message)
    }

    /// The folder that is asked for, if the configuration allows it: the engine writes there with
    /// its own rights, so nobody else chooses.
    fn shelf(&self, to: &str) -> Result<PathBuf, Status> {
        let root = self.0.root.as_ref().ok_or_else(|| {
            Status::failed_precondition(
                "no backup is made, since the configuration does not say where: set backup_dir, best to a \
                 folder of another disk, and restart",
            )
        })?;
        if to.is_empty() {
            return Ok(root.clone());
        }
        let (to, outside) = (Path::new(to), || {
            let root = root.display();
            invalid(format!(
                "backups are made in {root} or below it (backup_dir): name such a folder"
            ))
        });
        let climbs = to.components().any(|part| part == Component::ParentDir);
        // Nor by way of links.
        if climbs || !to.starts_with(root) || !files::is_within(to, root) {
            return Err(outside());
        }
        if files::is_within(to, &self.0.data_dir) {
            return Err(invalid(format!(
                "{} lies in the ledger itself: name another",
                to.display()
            )));
        }
        let shelves = to.ancestors().take_while(|path| path.starts_with(root));
        match shelves.into_iter().find(|path| backup::is_one(path)) {
            Some(of) => Err(invalid(format!(
                "{} is a backup, or was to become one, and nothing else goes into it: name a folder beside it",
                of.display()
            ))),
            None => Ok(to.to_owned()),
        }
    }
}

/// Makes one.
pub(super) async fn create(
    engine: &Engine,
    edge: &Edge,
    turn: Arc<tokio::sync::Mutex<()>>,
    request: v1::CreateBackupRequest,
) -> Result<v1::Backup, Status> {
    let backups = edge.backups.clone();
    let shelf = backups.shelf(&request.to)?;
    let turn = turn.try_lock_owned().map_err(|_| {
        Status::unavailable("a backup is just being made, or a party erased; try again later")
    })?;
    let ours = Ours {
        data_dir: backups.0.data_dir.clone(),
        log: engine.log_shared(),
        vault: engine.vault().clone(),
        network: engine.network(),
        at: pipeline::now(),
        archives: Shelved::default(),
    };
    let (own, of) = (engine.clone(), ours.clone());
    let linking = tokio::spawn(async move {
        let linked = own.while_key_stays(move |key| backup::link(&of, key)).await;
        (linked, turn)
    });
    let (linked, turn) = linking.await.expect("linking does not panic");
    let linked = linked.map_err(|error| failed(&error))?;
    // All that had left when it was linked is among these.
    let ours = match engine.archive().archives() {
        Some(dir) => {
            let archives = Shelved { dir: dir.to_owned(), filed: engine.filed().await? };
            Ours { archives, ..ours }
        }
        None => ours,
    };
    // It holds no way in to the pipeline: a stop does not wait for it, the next start cleans up.
    let made = tokio::task::spawn_blocking(move || {
        let made = backup::create(&ours, linked, &shelf);
        drop(turn);
        backups.made(made)
    });
    made.await.expect("making a backup does not panic")
}

/// Lets payments leave again. The answer is that of the first time, also to a retry.
pub(super) async fn release(
    engine: &Engine,
    caller: Caller,
    message: v1::ReleaseHoldRequest,
) -> Result<v1::Hold, Status> {
    let (request, message) = asked(message)?;
    let wish = Wish::ReleaseHold { reason: message.reason };
    let done = engine.tell(wish.by(caller, request)).await?;
    engine.nudge();
    let entry = engine.ask(|control| Ok(control.restored().cloned())).await?;
    let entry = entry.map(|entry| hold(&entry)).unwrap_or_default();
    Ok(v1::Hold { proposal: proposals::of(engine, &done), ..entry })
}

/// The last copy that the ledger was restored from.
pub(super) fn hold(entry: &HoldEntry) -> v1::Hold {
    let released = entry.released.as_ref();
    v1::Hold {
        restored_lsn: entry.lsn.0,
        restored_at_us: entry.at.0,
        instance: Bytes::copy_from_slice(&entry.of.instance.0),
        backup: Bytes::copy_from_slice(&entry.of.backup.0),
        position: entry.of.position.0,
        released_lsn: released.map_or(0, |(lsn, ..)| lsn.0),
        released_at_us: released.map_or(0, |(_, at, _)| at.0),
        released_by: released.map(|(.., by)| by.clone()).unwrap_or_default(),
        proposal: Bytes::new(),
    }
}

fn message(folder: &Path, manifest: &Manifest, new_bytes: u64) -> v1::Backup {
    let digest = manifest.tail().map(|tail| Bytes::copy_from_slice(&tail.link.0));
    v1::Backup {
        folder: folder.display().to_string(),
        lsn: manifest.position.lsn,
        digest: digest.unwrap_or_default(),
        created_at_us: manifest.created_at_us,
        files: manifest.count(),
        bytes: manifest.bytes(),
        new_bytes,
    }
}

fn failed(error: &BackupError) -> Status {
    tracing::error!("no backup was made: {error}");
    let code = match error {
        BackupError::Full { .. } => Code::ResourceExhausted,
        BackupError::OtherNetwork { .. } => Code::FailedPrecondition,
        BackupError::NoManifest { .. }
        | BackupError::None { .. }
        | BackupError::Manifest { .. }
        | BackupError::Format { .. }
        | BackupError::Damaged { .. }
        | BackupError::OtherRootKey { .. }
        | BackupError::NoRootKey { .. }
        | BackupError::NotEmpty { .. }
        | BackupError::NoArchiveDir { .. }
        | BackupError::Differs(_)
        | BackupError::Audit(_)
        | BackupError::Journal(_)
        | BackupError::Secret(_)
        | BackupError::File { .. } => Code::Internal,
    };
    Status::new(code, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_is_made_where_the_configuration_says_and_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let (root, other) = (dir.path().join("backups"), dir.path().join("other"));
        std::fs::create_dir(&root).unwrap();
        std::fs::create_dir(&other).unwrap();
        std::os::unix::fs::symlink(&other, root.join("way-out")).unwrap();
        let backups = Backups::new(&dir.path().join("data"), Some(&root));
        let shelf = |to: &Path| backups.shelf(&to.display().to_string());
        assert_eq!(backups.shelf("").unwrap(), root);
        assert_eq!(shelf(&root.join("weekly/a")).unwrap(), root.join("weekly/a"));
        for to in [
            other.clone(),
            dir.path().to_owned(),
            root.join("../other"),
            root.join("way-out/a"),
            PathBuf::from("backups"),
            dir.path().join("backups-of-others"),
        ] {
            let refused = shelf(&to).unwrap_err();
            assert!(refused.message().contains("backup_dir"), "{}: {refused}", to.display());
        }
        let none = Backups::new(dir.path(), None);
        assert!(none.shelf("").unwrap_err().message().contains("set backup_dir"));
        // A backup holds what its manifest names: another one in it would spoil it.
        for of in ["a/manifest.json", "weekly/.partial-b/x", "weekly/.gone-c/x"] {
            let file = root.join(of);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, "{}").unwrap();
            let to = file.parent().unwrap().join("below");
            let refused = shelf(&to).unwrap_err();
            assert!(refused.message().contains("name a folder beside it"), "{of}: {refused}");
        }
        assert!(shelf(&root.join("weekly")).is_ok());
    }
}
