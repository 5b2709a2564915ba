//! What a backup says of itself: `docs/FORMATS.md`, "Backups".

use super::{BackupError, MANIFEST};
use crate::journal::Tail;
use crate::limits::BACKUP_MANIFEST_BYTES_MAX;
use crate::types::{Digest, Lsn, NetworkId, SignerKey, Timestamp};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Read as _;
use std::path::{Component, Path};
use std::str::FromStr;

/// The format that this version writes.
pub const FORMAT: &str = "tallystick-backup-2";
/// The one before, without archives, which it reads, too.
const FORMER: &str = "tallystick-backup-1";

/// Where the journal ends in a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// The last record.
    pub lsn: u64,
    /// Its digest.
    pub digest: String,
    /// The digest of the last event.
    pub event_digest: String,
}

/// A file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestFile {
    /// Its name in the folder of the ledger.
    pub name: String,
    /// How long it is.
    pub bytes: u64,
    /// BLAKE3 over it.
    pub blake3: String,
}

/// The manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// `FORMAT`.
    pub format: String,
    /// The version of the engine that made it.
    pub version: String,
    /// The deployment.
    pub network_id: String,
    /// When it was begun, by the clock of the machine, in microseconds since 1970.
    pub created_at_us: i64,
    /// Where the journal ends.
    pub position: Position,
    /// The engine's key in force, as everybody knows it.
    pub engine_key: String,
    /// Its secret half, sealed under the root key.
    pub engine_key_sealed: String,
    /// The files of the ledger, by name.
    pub files: Vec<ManifestFile>,
    /// The archives, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub archives: Vec<ManifestFile>,
    /// BLAKE3 over all of this with this field and the next empty: whether a disk has kept it.
    pub blake3: String,
    /// A keyed hash of all of this with this field empty, under the root key: who has not that can
    /// put no backup together that is taken.
    pub mark: String,
}

impl Manifest {
    /// Reads the manifest of a backup.
    ///
    /// # Errors
    /// When there is none, or it cannot be used.
    pub fn read(backup: &Path) -> Result<Self, BackupError> {
        let path = backup.join(MANIFEST);
        let file = File::open(&path).map_err(|error| {
            if error.kind() == std::io::ErrorKind::NotFound {
                return BackupError::NoManifest { dir: backup.to_owned() };
            }
            BackupError::file(&path)(error)
        })?;
        let mut text = String::new();
        let mut some = file.take(BACKUP_MANIFEST_BYTES_MAX);
        some.read_to_string(&mut text).map_err(BackupError::file(&path))?;
        let unfit = |why: String| BackupError::Manifest { dir: backup.to_owned(), why };
        let value: serde_json::Value =
            serde_json::from_str(&text).map_err(|error| unfit(error.to_string()))?;
        let of = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        if ![FORMER, FORMAT].contains(&&*of("format")) {
            let (dir, wanted, version) = (backup.to_owned(), FORMAT, of("version"));
            return Err(BackupError::Format { dir, found: of("format"), wanted, version });
        }
        let manifest: Self =
            serde_json::from_value(value).map_err(|error| unfit(error.to_string()))?;
        manifest.check().map_err(unfit)?;
        if manifest.sum() != manifest.blake3 {
            let why = "it is not what was written: its blake3 is another".to_owned();
            return Err(unfit(why));
        }
        Ok(manifest)
    }

    /// The manifest with its sum, and without a mark.
    #[must_use]
    pub fn summed(self) -> Self {
        Self { blake3: self.sum(), ..self }
    }

    fn sum(&self) -> String {
        let bare = Self { blake3: String::new(), mark: String::new(), ..self.clone() };
        blake3::hash(bare.text().as_bytes()).to_string()
    }

    /// Whether all of it can be what it says: no name leads out of the backup.
    fn check(&self) -> Result<(), String> {
        self.network()?;
        self.key()?;
        self.tail()?;
        let is_plain = |name: &str| {
            let mut parts = Path::new(name).components();
            matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None))
        };
        for files in [&self.files, &self.archives] {
            if let Some(file) = files.iter().find(|file| !is_plain(&file.name)) {
                return Err(format!("{:?} is no name of a file", file.name));
            }
            if !files.is_sorted_by(|a, b| a.name < b.name) {
                return Err("its files are out of order".to_owned());
            }
        }
        Ok(())
    }

    /// Its bytes in a file.
    #[must_use]
    pub fn text(&self) -> String {
        let text = serde_json::to_string_pretty(self).expect("plain data has a JSON form");
        text + "\n"
    }

    /// What its mark is over.
    #[must_use]
    pub fn marked(&self) -> Vec<u8> {
        Self { mark: String::new(), ..self.clone() }.text().into_bytes()
    }

    /// Names the backup, whatever its folder is called.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest(*blake3::hash(self.text().as_bytes()).as_bytes())
    }

    /// The deployment.
    ///
    /// # Errors
    /// That it is not said.
    pub fn network(&self) -> Result<NetworkId, String> {
        read("network_id", &self.network_id)
    }

    /// The engine's key.
    ///
    /// # Errors
    /// That it is not said.
    pub fn key(&self) -> Result<SignerKey, String> {
        read("engine_key", &self.engine_key)
    }

    /// Where the journal ends.
    ///
    /// # Errors
    /// That it is not said.
    pub fn tail(&self) -> Result<Tail, String> {
        let Position { lsn, digest, event_digest } = &self.position;
        let (link, event_link) =
            (read("position.digest", digest)?, read("position.event_digest", event_digest)?);
        Ok(Tail { lsn: Lsn(*lsn), link, event_link })
    }

    /// When it was made.
    #[must_use]
    pub fn created_at(&self) -> Timestamp {
        Timestamp(self.created_at_us)
    }

    /// Bytes of all files, linked or not.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().chain(&self.archives).map(|file| file.bytes).sum()
    }

    /// How many files it holds, linked or not.
    #[must_use]
    pub fn count(&self) -> u64 {
        u64::try_from(self.files.len() + self.archives.len()).expect("a length fits 64 bits")
    }

    /// A file of the ledger by its name.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<&ManifestFile> {
        of_name(&self.files, name)
    }

    /// An archive by its name.
    #[must_use]
    pub fn archive(&self, name: &str) -> Option<&ManifestFile> {
        of_name(&self.archives, name)
    }
}

fn of_name<'a>(files: &'a [ManifestFile], name: &str) -> Option<&'a ManifestFile> {
    let place = files.binary_search_by(|file| file.name.as_str().cmp(name)).ok()?;
    files.get(place)
}

impl From<Tail> for Position {
    fn from(tail: Tail) -> Self {
        let (digest, event_digest) = (tail.link.to_string(), tail.event_link.to_string());
        Self { lsn: tail.lsn.0, digest, event_digest }
    }
}

fn read<T: FromStr>(name: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("its {name} is not 64 hexadecimal digits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let file =
            |name: &str| ManifestFile { name: name.to_owned(), bytes: 3, blake3: "cc".repeat(32) };
        Manifest {
            format: FORMAT.to_owned(),
            version: "1.2.3".to_owned(),
            network_id: "aa".repeat(32),
            created_at_us: 7,
            position: Position { lsn: 9, digest: "01".repeat(32), event_digest: "02".repeat(32) },
            engine_key: "bb".repeat(32),
            engine_key_sealed: String::new(),
            files: vec![file("000004.sst"), file("CURRENT")],
            archives: Vec::new(),
            blake3: String::new(),
            mark: "dd".repeat(32),
        }
        .summed()
    }

    fn refusal(of: &Manifest) -> String {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(MANIFEST), of.text()).unwrap();
        Manifest::read(dir.path()).err().unwrap().to_string()
    }

    #[test]
    fn a_manifest_is_read_back_and_names_what_it_holds() {
        let dir = tempfile::tempdir().unwrap();
        let missing = Manifest::read(dir.path()).err().unwrap().to_string();
        assert!(missing.contains("no manifest.json"), "{missing}");
        let of = manifest();
        std::fs::write(dir.path().join(MANIFEST), of.text()).unwrap();
        let again = Manifest::read(dir.path()).unwrap();
        assert_eq!((again.digest(), &again), (of.digest(), &of));
        assert_eq!((again.bytes(), again.tail().unwrap().lsn), (6, Lsn(9)));
        assert!(again.file("CURRENT").is_some() && again.file("LOCK").is_none());
        // One of before, which knew of no archives.
        let before = Manifest { format: FORMER.to_owned(), ..of.clone() }.summed();
        assert!(!before.text().contains("archives"));
        std::fs::write(dir.path().join(MANIFEST), before.text()).unwrap();
        assert_eq!(Manifest::read(dir.path()).unwrap(), before);
        let other = Manifest { mark: String::new(), ..of.clone() };
        assert_eq!((other.marked(), other.digest() == of.digest()), (of.marked(), false));
    }

    #[test]
    fn no_name_leads_out_of_a_backup_and_another_format_is_said_to_be_one() {
        for name in ["../tallystick.key", "/etc/passwd", "a/b", "", ".."] {
            let mut of = manifest();
            of.files[0].name = name.to_owned();
            assert!(refusal(&of).contains("is no name of a file"), "{name}");
            let mut of = manifest();
            of.archives = vec![ManifestFile { name: name.to_owned(), ..of.files[0].clone() }];
            assert!(refusal(&of).contains("is no name of a file"), "{name}");
        }
        let mut of = manifest();
        of.files.swap(0, 1);
        assert!(refusal(&of).contains("out of order"));
        let other = Manifest { format: "tallystick-backup-3".to_owned(), ..manifest() };
        let text = refusal(&other);
        assert!(text.contains("tallystick-backup-3") && text.contains("1.2.3"), "{text}");
        let other = Manifest { network_id: "xyz".to_owned(), ..manifest() };
        assert!(refusal(&other).contains("network_id"));
        // What nothing in the files could contradict.
        let other = Manifest { engine_key_sealed: "00".to_owned(), ..manifest() };
        assert!(refusal(&other).contains("not what was written"));
    }
}
