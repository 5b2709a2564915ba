//! What others on this machine may see: files, secrets, and the memory of this process.

use crate::files;
use rustix::fs::Mode;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Rights of the owner's group and of others.
const NOT_THE_OWNER: u32 = 0o077;
/// The right of the group or of others to write.
const WRITE_BY_OTHERS: u32 = 0o022;

/// Closes up: what this process makes from now on is its owner's only, and no core ever holds its
/// keys.
pub(super) fn close_up() {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
            tracing::warn!(%error, "a core of this process would hold its keys: forbid cores (ulimit -c 0)");
        }
    }
}

/// Says what stands open of the folders that the engine works with. What somebody made so is not
/// changed: who brings files to the bank may need it.
pub(super) fn look_at(data_dir: &Path, inboxes: impl Iterator<Item = impl AsRef<Path>>) {
    if mode(data_dir).is_ok_and(|mode| mode & NOT_THE_OWNER != 0) {
        tracing::warn!(
            dir = %data_dir.display(),
            "others may look into the data directory, which holds names and account numbers: chmod 700 it"
        );
    }
    for inbox in inboxes {
        let inbox = inbox.as_ref();
        if mode(inbox).is_ok_and(|mode| mode & WRITE_BY_OTHERS != 0) {
            tracing::warn!(
                inbox = %inbox.display(),
                "others may write into an inbox, whose files say what was paid: take that right from \
                 everybody but who brings the bank's files"
            );
        }
    }
}

fn mode(path: &Path) -> io::Result<u32> {
    Ok(fs::metadata(path)?.permissions().mode())
}

/// The first line of a file that nobody but its owner may read. One that stands open is closed, and
/// that is said; one that cannot be closed is refused. No error ever shows it.
pub(super) fn secret(path: &Path) -> Result<String, String> {
    let unreadable = |error: io::Error| format!("the secret {}", files::why(path, &error));
    if mode(path).map_err(unreadable)? & NOT_THE_OWNER != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(|error| {
            format!(
                "others may read {}, which holds a secret, and it cannot be closed ({error}): chmod 600 \
                 it, and think about a new secret",
                path.display()
            )
        })?;
        tracing::warn!(
            path = %path.display(),
            "others could read this secret until now; it is closed (chmod 600): think about a new one"
        );
    }
    let text = fs::read_to_string(path).map_err(unreadable)?;
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The provider's secrets were taken from files that everybody could read, and even write,
    /// without a word.
    #[test]
    fn a_secret_that_others_may_read_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("card.key");
        fs::write(&path, "sk_live_1\nmore\n").unwrap();
        for open in [0o644, 0o640, 0o604, 0o666, 0o600] {
            fs::set_permissions(&path, fs::Permissions::from_mode(open)).unwrap();
            assert_eq!(secret(&path).unwrap(), "sk_live_1");
            assert_eq!(mode(&path).unwrap() & 0o777, 0o600);
        }
        assert!(secret(&dir.path().join("none")).unwrap_err().contains("does not exist"));
    }
}
