//! Answers that are packed: ZIP archives, in which banks deliver a day's files, and gzip.
//!
//! Owns how a packed file is told from a plain one, and that no archive unpacks to more than an
//! answer may have: not in bytes, not in files. Writes nothing to disk, and never knows what an
//! answer says.

use crate::limits::{ANSWER_BYTES_MAX, ANSWER_FILES_MAX, ANSWER_PACKED_BYTES_MAX, TEXT_BYTES_MAX};
use flate2::bufread::MultiGzDecoder;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use zip::read::{Config, ZipFileEntry};
use zip::result::ZipError;
use zip::unstable::read::ZipIterable;
use zip::{CompressionMethod, ZipReadOptions};

/// How a file is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    Plain,
    Gzip,
    Zip,
}

/// Endings of what banks put beside a file for people, or to check it.
const BESIDE: [&str; 6] = [".pdf", ".p7s", ".sig", ".asc", ".md5", ".sha256"];

impl Packing {
    /// Of a file, by its first bytes.
    pub fn of(file: &mut File) -> io::Result<Self> {
        let mut first = Vec::new();
        file.by_ref().take(4).read_to_end(&mut first)?;
        file.rewind()?;
        Ok(Self::begun(&first))
    }

    fn begun(first: &[u8]) -> Self {
        match first {
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Self::Zip,
            [0x1f, 0x8b, ..] => Self::Gzip,
            [..] => Self::Plain,
        }
    }

    /// Bytes that such a file may have.
    pub fn bytes_max(self) -> usize {
        match self {
            Self::Plain => ANSWER_BYTES_MAX,
            Self::Gzip | Self::Zip => ANSWER_PACKED_BYTES_MAX,
        }
    }
}

/// What is in a gzip file.
pub(super) fn gzip(packed: impl BufRead) -> impl BufRead {
    let left = Left::new();
    BufReader::new(Within { input: MultiGzDecoder::new(packed), left })
}

/// What is in one file of an archive, or why it cannot be read.
pub(super) type Content<'a> = Result<&'a mut dyn BufRead, String>;

/// Hands every file in an archive to `take`, by a name that can be shown: its content, or why it
/// cannot be read. Gives how many there were, or why the archive cannot be read.
pub(super) fn zip<E>(
    file: &mut File,
    take: &mut dyn FnMut(&str, Content<'_>) -> Result<(), E>,
) -> Result<Result<usize, String>, E>
where
    E: From<io::Error>,
{
    let archive = ZipIterable::try_new(BufReader::new(file), Config::default());
    let mut archive = match archive {
        Ok(archive) if archive.len() > ANSWER_FILES_MAX => {
            let many = format!("the archive holds more than {ANSWER_FILES_MAX} files: unpack it");
            return Ok(Err(many));
        }
        Ok(archive) => archive,
        Err(error) => return Ok(Err(refusal(error)?)),
    };
    let files = match archive.files() {
        Ok(files) => files,
        Err(error) => return Ok(Err(refusal(error)?)),
    };
    let (mut left, mut taken) = (Left::new(), 0);
    while let Some(entry) = files.next() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => return Ok(Err(refusal(error)?)),
        };
        let Some(name) = wanted(&entry) else { continue };
        taken += 1;
        if let Some(why) = unread(&entry) {
            take(&name, Err(why))?;
            continue;
        }
        let content = match entry.with_reader(files.reader_mut(), ZipReadOptions::new()) {
            Ok(content) => content,
            Err(error) => {
                take(&name, Err(refusal(error)?))?;
                continue;
            }
        };
        let mut content = BufReader::new(Within { input: content, left: left.take() });
        match content.fill_buf().map(Packing::begun) {
            Ok(Packing::Plain) => take(&name, Ok(&mut content))?,
            Ok(Packing::Gzip | Packing::Zip) => {
                take(&name, Err("it is packed once more: unpack it first".to_owned()))?;
            }
            Err(error) => take(&name, Err(error.to_string()))?,
        }
        left = content.into_inner().left;
    }
    Ok(Ok(taken))
}

/// The name of what is to be read; none of folders, of what systems leave in archives, and of what
/// banks put beside a file.
fn wanted(entry: &ZipFileEntry<'_>) -> Option<String> {
    let name = String::from_utf8_lossy(entry.name_raw());
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default().to_lowercase();
    let is_left = name.starts_with("__MACOSX") || last.starts_with('.') || last == "thumbs.db";
    if entry.is_dir() || is_left || BESIDE.iter().any(|ending| last.ends_with(ending)) {
        return None;
    }
    let shown = name.chars().map(|c| if c.is_control() { '?' } else { c });
    Some(shown.take(TEXT_BYTES_MAX / 4).collect())
}

/// Why a file in an archive is not even tried.
fn unread(entry: &ZipFileEntry<'_>) -> Option<String> {
    if entry.encrypted() {
        return Some("it needs a password: unpack it first".to_owned());
    }
    let kind = entry.compression();
    let is_known = matches!(kind, CompressionMethod::Stored | CompressionMethod::Deflated);
    (!is_known).then(|| format!("it is packed by {kind}, which is not read here: unpack it first"))
}

/// What is wrong with an archive, or that the disk cannot be read.
fn refusal(error: ZipError) -> Result<String, io::Error> {
    let ZipError::Io(error) = error else {
        return Ok(format!("the archive cannot be read: {error}; fetch it again, or unpack it"));
    };
    let is_content = matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof
            | io::ErrorKind::InvalidData
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::Unsupported
    );
    if !is_content {
        return Err(error);
    }
    Ok(format!("the archive is damaged or cut off: {error}; fetch it again"))
}

/// Bytes that may still be unpacked.
#[derive(Debug)]
struct Left(usize);

impl Left {
    fn new() -> Self {
        Self(ANSWER_BYTES_MAX)
    }

    fn take(&mut self) -> Self {
        Self(std::mem::take(&mut self.0))
    }
}

/// What is unpacked, as far as there is room for it.
struct Within<R> {
    input: R,
    left: Left,
}

impl<R: Read> Read for Within<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(into)?;
        let left = self.left.0.checked_sub(count).ok_or_else(|| {
            let text = format!("unpacked it has more than {ANSWER_BYTES_MAX} bytes");
            io::Error::new(io::ErrorKind::FileTooLarge, text)
        })?;
        self.left = Left(left);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    fn archive(files: &[(&str, &[u8])]) -> File {
        let mut zip = ZipWriter::new(tempfile::tempfile().unwrap());
        for (at, (name, content)) in files.iter().enumerate() {
            let kind = [CompressionMethod::Deflated, CompressionMethod::Stored][at % 2];
            let options = SimpleFileOptions::default().compression_method(kind);
            if name.ends_with('/') {
                zip.add_directory(*name, options).unwrap();
            } else {
                zip.start_file(*name, options).unwrap();
                zip.write_all(content).unwrap();
            }
        }
        let mut file = zip.finish().unwrap();
        file.rewind().unwrap();
        file
    }

    /// Names with their content, or with what is wrong.
    fn read(file: &mut File) -> Result<Vec<(String, String)>, String> {
        let mut all = Vec::new();
        let done = zip(file, &mut |name, content| {
            let mut text = String::new();
            let text = match content {
                Ok(content) => match content.read_to_string(&mut text) {
                    Ok(_) => text,
                    Err(error) => error.to_string(),
                },
                Err(why) => why,
            };
            all.push((name.to_owned(), text));
            Ok::<(), io::Error>(())
        });
        done.unwrap().map(|count| {
            assert_eq!(count, all.len());
            all
        })
    }

    #[test]
    fn every_file_of_an_archive_is_handed_out_and_what_is_beside_them_is_not() {
        let inner = b"PK\x03\x04 and so on";
        let mut file = archive(&[
            ("a.xml", b"<a/>"),
            ("days/", b""),
            ("days/b.xml", b"<b/>"),
            ("__MACOSX/._a.xml", b"x"),
            ("days/.DS_Store", b"x"),
            ("days/STATEMENT.PDF", b"%PDF"),
            ("c.zip", inner),
            ("d.gz", b"\x1f\x8b"),
            ("empty", b""),
        ]);
        assert_eq!(Packing::of(&mut file).unwrap(), Packing::Zip);
        let again = "it is packed once more: unpack it first".to_owned();
        let wanted = [
            ("a.xml", "<a/>"),
            ("days/b.xml", "<b/>"),
            ("c.zip", &*again),
            ("d.gz", &*again),
            ("empty", ""),
        ];
        let wanted = wanted.map(|(name, text)| (name.to_owned(), text.to_owned()));
        assert_eq!(read(&mut file).unwrap(), wanted);
        assert_eq!(read(&mut archive(&[])).unwrap(), []);
    }

    #[test]
    fn a_damaged_archive_is_refused_and_a_damaged_file_in_it_is_not_read() {
        let mut whole = Vec::new();
        archive(&[("a.xml", b"<a/>"), ("b.xml", b"<b/> and more")])
            .read_to_end(&mut whole)
            .unwrap();
        let write = |bytes: &[u8]| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(bytes).unwrap();
            file.rewind().unwrap();
            file
        };
        for length in (4..whole.len()).step_by(7) {
            assert!(read(&mut write(&whole[..length])).is_err(), "cut at {length}");
        }
        let at = whole.windows(4).position(|bytes| bytes == b"<b/>").unwrap();
        whole[at + 1] = b'c';
        let all = read(&mut write(&whole)).unwrap();
        assert_eq!(all[0].1, "<a/>");
        assert!(!all[1].1.contains('<'), "its check sum does not hold: {:?}", all[1]);
    }

    /// Ten files of zeros that each fit, and together do not.
    #[test]
    fn an_archive_unpacks_to_no_more_than_an_answer_may_have() {
        let names: Vec<String> = (0..=ANSWER_FILES_MAX).map(|n| n.to_string()).collect();
        let files: Vec<(&str, &[u8])> = names.iter().map(|name| (&**name, &b""[..])).collect();
        assert!(read(&mut archive(&files)).unwrap_err().contains("more than 1000 files"));
        let (mut left, zeros) = (Left(10), [0u8; 4]);
        for fits in [true, true, false, false] {
            let mut input = Within { input: &zeros[..], left: left.take() };
            assert_eq!(input.read_to_end(&mut Vec::new()).is_ok(), fits);
            left = input.left;
        }
    }

    #[test]
    fn gzip_is_read_whole_and_in_several_members() {
        let packed = |text: &[u8]| {
            let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
            gz.write_all(text).unwrap();
            gz.finish().unwrap()
        };
        let both = [packed(b"<a>"), packed(b"</a>")].concat();
        assert_eq!(Packing::begun(&both), Packing::Gzip);
        let mut text = String::new();
        gzip(&*both).read_to_string(&mut text).unwrap();
        assert_eq!(text, "<a></a>");
        assert!(gzip(&both[..both.len() - 3]).read_to_string(&mut text).is_err());
    }
}
