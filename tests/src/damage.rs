//! What may happen to files between two starts: copies, flipped bits. Knows nothing of their
//! content.

use std::path::{Path, PathBuf};

/// Copies a folder of files, one level of folders deep or more.
pub fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a temporary folder");
    for entry in std::fs::read_dir(from).expect("the folder exists") {
        let entry = entry.expect("the folder can be read");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("the folder can be read").is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a file can be copied");
        }
    }
}

/// The files in `dir` whose names satisfy `wanted`, that are not empty, by name.
#[must_use]
pub fn files(dir: &Path, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).expect("the folder exists");
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.expect("the folder can be read").path()).collect();
    paths.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        path.metadata().is_ok_and(|metadata| metadata.len() > 0) && wanted(&name)
    });
    paths.sort();
    paths
}

/// Flips one bit of a file.
pub fn flip_bit(path: &Path, byte: usize, bit: u8) {
    let mut bytes = std::fs::read(path).expect("the file exists");
    bytes[byte] ^= 1 << bit;
    std::fs::write(path, bytes).expect("the file can be written");
}
