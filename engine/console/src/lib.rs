//! The pages of the console, embedded: every file with its type and its digest, plain and packed.
//! Knows nothing else; who may have one, and by which rules, is the engine's to say.

#![forbid(unsafe_code)]

/// One file, as a browser gets it.
#[derive(Debug)]
pub struct File {
    /// Where it is, e.g. `/app/main.js`.
    pub path: &'static str,
    /// Its media type.
    pub kind: &'static str,
    /// Its entity tag, quoted: a digest of its bytes.
    pub etag: &'static str,
    /// Its bytes.
    pub plain: &'static [u8],
    /// The same as brotli, where that is smaller.
    pub brotli: Option<&'static [u8]>,
    /// The same as gzip, where that is smaller.
    pub gzip: Option<&'static [u8]>,
}

/// All of them, by path.
pub static FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// The file at a path; the first page at `/`.
#[must_use]
pub fn file(path: &str) -> Option<&'static File> {
    let path = if path == "/" { "/index.html" } else { path };
    FILES.iter().find(|file| file.path == path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn there_is_a_first_page_and_each_file_is_there_once() {
        let first = file("/").expect("a first page");
        assert_eq!((first.path, first.kind), ("/index.html", "text/html; charset=utf-8"));
        let paths: BTreeSet<&str> = FILES.iter().map(|file| file.path).collect();
        assert_eq!(paths.len(), FILES.len());
        assert!(file("/Cargo.toml").is_none() && file("/src/lib.rs").is_none());
        for file in FILES {
            let packed = [file.brotli, file.gzip];
            assert!(packed.iter().flatten().all(|bytes| bytes.len() < file.plain.len()));
            assert_eq!(file.etag.len(), 34, "{}", file.path);
        }
    }
}
