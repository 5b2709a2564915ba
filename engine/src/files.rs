//! What keeps a file or a folder from being used, in words that say what to do.
//!
//! Owns these words, and which folder lies in which; opens nothing.

use std::io::{Error, ErrorKind};
use std::path::{Component, Path, PathBuf};

/// What is said of each kind of failure, behind the name.
const KINDS: [(ErrorKind, &str); 9] = [
    (ErrorKind::NotFound, "does not exist: check the name, and that its folder exists"),
    (
        ErrorKind::PermissionDenied,
        "may not be used by this user: name another file, or be another user",
    ),
    (ErrorKind::IsADirectory, "is a folder: name a file"),
    (
        ErrorKind::NotADirectory,
        "is a file, or stands behind one, where a folder is needed: check the name",
    ),
    (ErrorKind::AlreadyExists, "is a file, and a folder is needed: choose another name"),
    (ErrorKind::InvalidData, "is no text: is it the right file?"),
    (ErrorKind::InvalidFilename, "is longer than a name can be: choose another name"),
    (ErrorKind::ReadOnlyFilesystem, "lies where nothing can be written: name another place"),
    (ErrorKind::StorageFull, "does not fit on its disk: make room, or name another place"),
];

/// The name, and what is the matter with it.
#[must_use]
pub fn why(path: &Path, error: &Error) -> String {
    let known = KINDS.iter().find(|(kind, _)| *kind == error.kind());
    match known {
        Some((_, what)) => format!("{} {what}", path.display()),
        None => format!("{}: {error}", path.display()),
    }
}

/// Whether `path` is `folder`, or lies in it, by whatever way it is named. Neither need exist.
#[must_use]
pub fn is_within(path: &Path, folder: &Path) -> bool {
    real(path).starts_with(real(folder))
}

/// The path without links as far as there is something, and without steps up in what is not there
/// yet.
fn real(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let there = path.ancestors().find_map(|some| Some((some, some.canonicalize().ok()?)));
    let Some((some, mut real)) = there else { return path };
    for part in path.strip_prefix(some).expect("it is one of its ancestors").components() {
        if part == Component::ParentDir {
            real.pop();
        } else {
            real.push(part);
        }
    }
    real
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// Asked of the system itself, so that a kind that it names otherwise is noticed.
    #[test]
    fn what_is_no_file_and_what_is_no_folder_is_said_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let (file, folder) = (dir.path().join("file"), dir.path().join("folder"));
        fs::write(&file, [0xff, 0xfe]).unwrap();
        fs::create_dir(&folder).unwrap();
        let read = |path: &Path| why(path, &fs::read_to_string(path).unwrap_err());
        assert!(read(&folder).ends_with("folder is a folder: name a file"));
        assert!(read(&dir.path().join("none")).contains("none does not exist: check the name"));
        assert!(read(&file.join("x")).contains("stands behind one"));
        assert!(read(&file).ends_with("file is no text: is it the right file?"));
        assert!(read(&dir.path().join("x".repeat(300))).contains("longer than a name can be"));
        let made = why(&file, &fs::create_dir_all(&file).unwrap_err());
        assert!(made.contains("is a file, and a folder is needed"), "{made}");
        assert_eq!(why(Path::new("f"), &Error::other("why")), "f: why");
    }

    #[test]
    fn what_lies_in_a_folder_is_known_by_any_of_its_names() {
        let dir = tempfile::tempdir().unwrap();
        let (data, link) = (dir.path().join("data"), dir.path().join("link"));
        fs::create_dir(&data).unwrap();
        std::os::unix::fs::symlink(&data, &link).unwrap();
        for inside in [
            data.clone(),
            data.join("backups"),
            data.join("not/there/yet"),
            link.join("backups"),
            dir.path().join("other/../data/x"),
        ] {
            assert!(is_within(&inside, &data), "{}", inside.display());
            assert!(is_within(&inside, &link), "{}", inside.display());
        }
        for outside in [dir.path().join("data-2"), data.join("../backups"), link.join("../x")] {
            assert!(!is_within(&outside, &data), "{}", outside.display());
        }
    }
}
