//! Reading an evidence export: first every section once, so that the file is known to be whole and
//! where what is in it; then its parts as they are asked for.
//!
//! Never says whether what the file holds is true.

use super::export::{
    Counts, FILE_HEAD, FILE_HEAD_2, Kind, SECTION_HEAD_BYTES, SignedEnd, first_link,
};
use super::records::{RECORD_HEAD_BYTES, lsn_of, records};
use super::rows::{CARRIED_BYTES, OBLIGATION_BYTES};
use crate::files;
use crate::ledger::event::ArchiveId;
use crate::ledger::pieces;
use crate::limits::{EXPORT_CHUNK_BYTES, RECORD_BYTES_MAX};
use crate::types::{AssetNumber, Digest, Lsn, NetworkId, SectionHasher, WindowNumber};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// Longest body of a section: one record, or a chunk of rows.
const SECTION_BYTES_MAX: usize = RECORD_BYTES_MAX + RECORD_HEAD_BYTES;
const _: () = assert!(SECTION_BYTES_MAX > EXPORT_CHUNK_BYTES);

/// Why a file cannot be read as an export.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ReadError {
    #[error("{}", files::why(path, why))]
    File { path: PathBuf, why: io::Error },
    #[error("{}: {why}, at byte {at}; fetch the export again", .path.display())]
    Damaged { path: PathBuf, at: u64, why: String },
    #[error("{} {why}", .path.display())]
    Other { path: PathBuf, why: &'static str },
}

/// Whether a file that begins so is meant as an export, of whatever version.
#[must_use]
pub fn is_export(begin: &[u8]) -> bool {
    begin.starts_with(&FILE_HEAD[..8])
}

/// Takes the bytes of a record and the position that it names.
pub type VisitRecord<'a, E> = dyn FnMut(Lsn, &[u8]) -> Result<(), E> + 'a;

/// A part of an asset of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Rows of obligations.
    Obligations,
    /// Rows of carries.
    Carried,
    /// Pieces of evidence.
    Evidence,
}

impl Part {
    /// How many rows or pieces a body holds; `None` where it ends within one.
    #[must_use]
    pub fn count(self, body: &[u8]) -> Option<usize> {
        let row_bytes = match self {
            Self::Obligations => OBLIGATION_BYTES,
            Self::Carried => CARRIED_BYTES,
            Self::Evidence => {
                return pieces(body).try_fold(0, |count, piece| piece.and(Some(count + 1)));
            }
        };
        body.len().is_multiple_of(row_bytes).then_some(body.len() / row_bytes)
    }
}

/// Where a section's body is.
#[derive(Debug, Clone, Copy)]
struct Place {
    at: u64,
    length: usize,
    /// Rows or pieces in it.
    rows: usize,
}

/// One asset of a window in the file.
#[derive(Debug, Default)]
pub struct AssetIndex {
    said: [u64; 3],
    found: [u64; 3],
    places: [Vec<Place>; 3],
}

/// One window in the file.
#[derive(Debug, Default)]
pub struct WindowIndex {
    /// Its assets.
    pub assets: BTreeMap<AssetNumber, AssetIndex>,
    said: u32,
}

/// An export whose sections are all there and undamaged.
#[derive(Debug)]
pub struct ExportFile {
    path: PathBuf,
    file: File,
    network: NetworkId,
    events: Vec<Place>,
    first: Option<Lsn>,
    windows: BTreeMap<WindowNumber, WindowIndex>,
    counts: Counts,
    end: SignedEnd,
    id: ArchiveId,
}

impl ExportFile {
    /// Opens a file and reads all of it once.
    ///
    /// # Errors
    /// `ReadError` with the first byte of the section that is not as it must be.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let failed = |why| ReadError::File { path: path.to_owned(), why };
        let file = File::open(path).map_err(failed)?;
        let input = BufReader::with_capacity(1 << 20, file.try_clone().map_err(failed)?);
        let mut scan =
            Scan { path, input, at: 0, link: Digest::ZERO, hasher: SectionHasher::default() };
        let mut index = Index::default();
        scan.input.seek(SeekFrom::Start(0)).map_err(failed)?;
        scan.file_head()?;
        while index.end.is_none() {
            let (kind, place, body) = scan.section()?;
            index.take(kind, place, &body).map_err(|why| scan.damaged(place.at, why))?;
        }
        scan.nothing_more()?;
        let Index { network, events, first, windows, counts, end, .. } = index;
        let network = network.expect("the first section names it");
        let end = end.expect("the last section holds it");
        let id = ArchiveId { digest: scan.link, bytes: scan.at };
        Ok(Self { path: path.to_owned(), file, network, events, first, windows, counts, end, id })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The network of whose history it is.
    #[must_use]
    pub fn network(&self) -> NetworkId {
        self.network
    }

    /// How far its history goes, as the engine signed it. That it is so is for the reader to check.
    #[must_use]
    pub fn end(&self) -> &SignedEnd {
        &self.end
    }

    /// How much it holds.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The position that its first event names: 1, or it is an archive of events.
    #[must_use]
    pub fn first_event(&self) -> Option<Lsn> {
        self.first
    }

    /// The windows that it holds.
    #[must_use]
    pub fn windows(&self) -> &BTreeMap<WindowNumber, WindowIndex> {
        &self.windows
    }

    /// Visits the bytes of every record of an event, with the position that it names.
    ///
    /// # Errors
    /// Of the visitor, or when the file cannot be read.
    pub fn events<E: From<ReadError>>(&self, visit: &mut VisitRecord<'_, E>) -> Result<(), E> {
        for place in &self.events {
            let body = self.body(*place)?;
            for record in records(&body) {
                let record = record.map_err(|why| self.damaged(place.at, why))?;
                visit(lsn_of(record), record)?;
            }
        }
        Ok(())
    }

    /// What names it: the digest of its last section, which covers all before it, and its length.
    #[must_use]
    pub fn id(&self) -> ArchiveId {
        self.id
    }

    /// One piece of evidence of an asset by its number, from 0. `None` behind the last one.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn piece(
        &self,
        window: WindowNumber,
        asset: AssetNumber,
        number: u64,
    ) -> Result<Option<Vec<u8>>, ReadError> {
        let index = self.windows.get(&window).and_then(|window| window.assets.get(&asset));
        let places = index.map_or(&[][..], |index| &index.places[Part::Evidence as usize]);
        let mut skip = usize::try_from(number).unwrap_or(usize::MAX);
        for place in places {
            if skip < place.rows {
                let body = self.body(*place)?;
                return Ok(pieces(&body).nth(skip).flatten().map(<[u8]>::to_vec));
            }
            skip -= place.rows;
        }
        Ok(None)
    }

    /// The next rows of a part of an asset: those of its section number `section`, from 0. `None`
    /// after the last one.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn rows(
        &self,
        window: WindowNumber,
        asset: AssetNumber,
        part: Part,
        section: usize,
    ) -> Result<Option<Vec<u8>>, ReadError> {
        let index = self.windows.get(&window).and_then(|window| window.assets.get(&asset));
        let place = index.and_then(|index| index.places[part as usize].get(section));
        place.map(|place| self.body(*place)).transpose()
    }

    fn body(&self, place: Place) -> Result<Vec<u8>, ReadError> {
        let mut body = vec![0; place.length];
        let failed = |why| ReadError::File { path: self.path.clone(), why };
        self.file.read_exact_at(&mut body, place.at).map_err(failed)?;
        Ok(body)
    }

    fn damaged(&self, at: u64, why: String) -> ReadError {
        ReadError::Damaged { path: self.path.clone(), at, why }
    }
}

/// Goes through the sections and checks the chain of their digests.
struct Scan<'a> {
    path: &'a Path,
    input: BufReader<File>,
    at: u64,
    link: Digest,
    hasher: SectionHasher,
}

impl Scan<'_> {
    fn file_head(&mut self) -> Result<(), ReadError> {
        let mut head = [0; FILE_HEAD.len()];
        let begins = self.begins(&mut head)?;
        if begins == head.len() && [FILE_HEAD, FILE_HEAD_2].contains(&head) {
            self.link = first_link(&head);
            return Ok(());
        }
        let why = match &head[..begins] {
            [] => "is empty: fetch the export again",
            begins if [FILE_HEAD, FILE_HEAD_2].iter().any(|head| head.starts_with(begins)) => {
                "is cut off: fetch the export again"
            }
            begins if begins.starts_with(&FILE_HEAD[..8]) => {
                "has another version than this program reads: audit it with the version of the engine that \
                 made it"
            }
            [b'{', ..] => {
                "is no evidence export, but perhaps a proof or a receipt: `tallystick proof check FILE` \
                 checks one"
            }
            _ => {
                "is no evidence export: name a file that `tallystick evidence export` has written, or a data \
                 directory with --data-dir"
            }
        };
        Err(ReadError::Other { path: self.path.to_owned(), why })
    }

    /// The first bytes, as many as there are.
    fn begins(&mut self, head: &mut [u8]) -> Result<usize, ReadError> {
        let mut begins = 0;
        while begins < head.len() {
            match self.input.read(&mut head[begins..]) {
                Ok(0) => break,
                Ok(more) => begins += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(why) => return Err(ReadError::File { path: self.path.to_owned(), why }),
            }
        }
        self.at = u64::try_from(begins).expect("a head is short");
        Ok(begins)
    }

    fn section(&mut self) -> Result<(Kind, Place, Vec<u8>), ReadError> {
        let start = self.at;
        let mut head = [0; SECTION_HEAD_BYTES];
        self.fill(&mut head)?;
        let length = u32::from_le_bytes(*head.last_chunk().expect("8 bytes")) as usize;
        if length > SECTION_BYTES_MAX {
            return Err(self.damaged(start, format!("a section of {length} bytes")));
        }
        let place = Place { at: self.at, length, rows: 0 };
        let mut body = vec![0; length];
        self.fill(&mut body)?;
        let mut digest = [0; 32];
        self.fill(&mut digest)?;
        self.link = self.hasher.digest(self.link, &head, &body);
        if self.link.0 != digest {
            return Err(self.damaged(start, "a section's digest does not match its bytes".into()));
        }
        match Kind::from_byte(head[0]) {
            Some(kind) if head[1..4] == [0; 3] => Ok((kind, place, body)),
            Some(_) | None => Err(self.damaged(start, "a section of an unknown kind".into())),
        }
    }

    fn nothing_more(&mut self) -> Result<(), ReadError> {
        let mut more = [0; 1];
        match self.input.read(&mut more) {
            Ok(0) => Ok(()),
            Ok(_) => Err(self.damaged(self.at, "there is more after its end".into())),
            Err(why) => Err(ReadError::File { path: self.path.to_owned(), why }),
        }
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), ReadError> {
        match self.input.read_exact(bytes) {
            Ok(()) => {
                self.at += u64::try_from(bytes.len()).expect("a length fits 64 bits");
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(self.damaged(self.at, "the file is cut off".into()))
            }
            Err(why) => Err(ReadError::File { path: self.path.to_owned(), why }),
        }
    }

    fn damaged(&self, at: u64, why: String) -> ReadError {
        ReadError::Damaged { path: self.path.to_owned(), at, why }
    }
}

/// Takes sections in their order and finds out whether they make an export.
#[derive(Default)]
struct Index {
    network: Option<NetworkId>,
    named: Vec<WindowNumber>,
    events: Vec<Place>,
    first: Option<Lsn>,
    windows: BTreeMap<WindowNumber, WindowIndex>,
    window: Option<WindowNumber>,
    asset: Option<AssetNumber>,
    part: usize,
    counts: Counts,
    end: Option<SignedEnd>,
}

impl Index {
    fn take(&mut self, kind: Kind, place: Place, body: &[u8]) -> Result<(), String> {
        if (kind == Kind::Head) == self.network.is_some() {
            return Err("the first section, and no other, names the network".into());
        }
        match kind {
            Kind::Head => self.head(body),
            Kind::Events if self.window.is_some() => Err("events come before all windows".into()),
            Kind::Events => {
                for record in records(body) {
                    self.first.get_or_insert(lsn_of(record?));
                    self.counts.events += 1;
                }
                self.events.push(place);
                Ok(())
            }
            Kind::Window => self.begin_window(body),
            Kind::Asset => self.begin_asset(body),
            Kind::Obligations => self.rows(Part::Obligations, place, body),
            Kind::Carried => self.rows(Part::Carried, place, body),
            Kind::Evidence => self.rows(Part::Evidence, place, body),
            Kind::End => self.end(body),
        }
    }

    fn head(&mut self, body: &[u8]) -> Result<(), String> {
        let Some((network, windows)) = body.split_first_chunk::<32>() else {
            return Err("it names no network".into());
        };
        let (windows, rest) = windows.as_chunks::<8>();
        self.network = Some(NetworkId(*network));
        self.named = windows.iter().map(|n| WindowNumber(u64::from_le_bytes(*n))).collect();
        let ascending = self.named.is_sorted_by(|a, b| a < b);
        if ascending && rest.is_empty() { Ok(()) } else { Err("its windows do not ascend".into()) }
    }

    fn begin_window(&mut self, body: &[u8]) -> Result<(), String> {
        self.close_window()?;
        let (number, assets) = body.split_first_chunk::<8>().ok_or("a window without a number")?;
        let number = WindowNumber(u64::from_le_bytes(*number));
        let assets: [u8; 4] = assets.try_into().map_err(|_| "a window without its assets")?;
        let next = usize::try_from(self.counts.windows).ok().and_then(|n| self.named.get(n));
        if next != Some(&number) {
            return Err(format!("window {number} is not the next one that the head names"));
        }
        self.counts.windows += 1;
        self.window = Some(number);
        let said = u32::from_le_bytes(assets);
        self.windows.insert(number, WindowIndex { assets: BTreeMap::new(), said });
        Ok(())
    }

    fn close_window(&mut self) -> Result<(), String> {
        self.close_asset()?;
        let Some(number) = self.window else { return Ok(()) };
        let window = &self.windows[&number];
        if window.assets.len() == window.said as usize {
            return Ok(());
        }
        Err(format!("window {number} has not the assets that it says"))
    }

    fn begin_asset(&mut self, body: &[u8]) -> Result<(), String> {
        self.close_asset()?;
        let number = self.window.ok_or("an asset outside a window")?;
        let window = self.windows.get_mut(&number).expect("it was begun");
        let (asset, counts) = body.split_first_chunk::<4>().ok_or("an asset without a number")?;
        let asset = AssetNumber(u32::from_le_bytes(*asset));
        let (counts, rest) = counts.as_chunks::<8>();
        let counts: [[u8; 8]; 3] = counts.try_into().map_err(|_| "an asset without its counts")?;
        let said = counts.map(u64::from_le_bytes);
        let last = window.assets.last_key_value().map(|(last, _)| *last);
        if !rest.is_empty() || last.is_some_and(|last| last >= asset) {
            return Err("the assets of a window do not ascend".into());
        }
        window.assets.insert(asset, AssetIndex { said, ..AssetIndex::default() });
        (self.asset, self.part) = (Some(asset), 0);
        Ok(())
    }

    fn close_asset(&mut self) -> Result<(), String> {
        let Some(asset) = self.asset.take() else { return Ok(()) };
        let window = self.window.expect("an asset is of a window");
        let index = &self.windows[&window].assets[&asset];
        if index.said == index.found {
            let [obligations, carried, evidence] = index.found;
            self.counts.obligations += obligations;
            self.counts.carried += carried;
            self.counts.evidence += evidence;
            return Ok(());
        }
        let (said, found) = (index.said, index.found);
        Err(format!("asset {asset} of window {window} says it has {said:?} rows, it has {found:?}"))
    }

    fn rows(&mut self, part: Part, place: Place, body: &[u8]) -> Result<(), String> {
        let at = part as usize;
        let (Some(window), Some(asset)) = (self.window, self.asset) else {
            return Err("rows outside an asset".into());
        };
        let rows = part
            .count(body)
            .filter(|_| at >= self.part)
            .ok_or("rows in another order than obligations, carries, evidence, or cut")?;
        self.part = at;
        let window = self.windows.get_mut(&window).expect("it was begun");
        let index = window.assets.get_mut(&asset).expect("it was begun");
        index.found[at] += u64::try_from(rows).expect("a length fits 64 bits");
        index.places[at].push(Place { rows, ..place });
        Ok(())
    }

    fn end(&mut self, body: &[u8]) -> Result<(), String> {
        self.close_window()?;
        let all = u64::try_from(self.named.len()).ok() == Some(self.counts.windows);
        let (counts, signed) = body.split_at_checked(Counts::BYTES).unwrap_or_default();
        let signed = signed.try_into().map_err(|_| "it has no end that the engine signed")?;
        self.end = Some(SignedEnd::decode(signed));
        if all && counts == self.counts.encode() {
            return Ok(());
        }
        Err("it does not hold as much as its end says".into())
    }
}
