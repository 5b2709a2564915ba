//! What the data directory knows of the stream: where its copy stands, which epoch it opened, who
//! it is. Small entries of `Meta`, durable at once.

use super::beside::Place;
use super::error::StreamError;
use super::fold::Stand;
use tallystick_journal::{JournalError, Table, Tables};

const STAND: &[u8] = b"stream stand";
const OPENED: &[u8] = b"stream opened";
const NODE: &[u8] = b"stream node";
const RESTORED: &[u8] = b"stream restored";

fn of(error: JournalError) -> StreamError {
    StreamError::Copy(error)
}

fn unfit(what: &[u8]) -> StreamError {
    let what = String::from_utf8_lossy(what).into_owned();
    of(JournalError::Storage(format!("entry {what} cannot be read")))
}

/// Whether this directory is the copy of a stream: without its stream it must not go on.
///
/// # Errors
/// The storage's own failure.
pub fn is_copy(tables: &dyn Tables) -> Result<bool, JournalError> {
    Ok(tables.get(Table::Meta, NODE)?.is_some())
}

/// Where the copy stood when it was noted last: it may be further.
pub(super) fn stand(tables: &dyn Tables) -> Result<Option<Stand>, StreamError> {
    let bytes = tables.get(Table::Meta, STAND).map_err(of)?;
    let read = |bytes: Vec<u8>| {
        let whole = bytes[..].try_into().map_err(|_| unfit(STAND))?;
        Ok(Stand::read(whole))
    };
    bytes.map(read).transpose()
}

/// Notes where it stands. What was put into the copy before is durable then.
pub(super) fn note_stand(tables: &dyn Tables, stand: &Stand) -> Result<(), JournalError> {
    tables.commit(STAND, &stand.bytes())
}

/// The last epoch in which this directory opened the stream, or was about to.
pub(super) fn opened(tables: &dyn Tables) -> Result<u64, StreamError> {
    let bytes = tables.get(Table::Meta, OPENED).map_err(of)?;
    bytes.map_or(Ok(0), |bytes| {
        bytes[..].try_into().map(u64::from_le_bytes).map_err(|_| unfit(OPENED))
    })
}

pub(super) fn note_opened(tables: &dyn Tables, epoch: u64) -> Result<(), StreamError> {
    tables.commit(OPENED, &epoch.to_le_bytes()).map_err(of)
}

/// Who this directory is: drawn once.
pub(super) fn node(tables: &dyn Tables) -> Result<String, StreamError> {
    if let Some(known) = tables.get(Table::Meta, NODE).map_err(of)? {
        return String::from_utf8(known).map_err(|_| unfit(NODE));
    }
    let node = drawn()?;
    tables.commit(NODE, node.as_bytes()).map_err(of)?;
    Ok(node)
}

/// Sixteen hexadecimal digits by chance.
pub(super) fn drawn() -> Result<String, StreamError> {
    let mut drawn = [0; 8];
    let failed = |error: getrandom::Error| StreamError::Request {
        what: "randomness".into(),
        why: error.to_string(),
    };
    getrandom::fill(&mut drawn).map_err(failed)?;
    Ok(data_encoding::HEXLOWER.encode(&drawn))
}

/// What was noted of a restore, if it is news.
pub(super) fn new_restore(tables: &dyn Tables) -> Result<Option<Vec<u8>>, StreamError> {
    let noted = tallystick_journal::rocks::restored(tables).map_err(of)?;
    let known = tables.get(Table::Meta, RESTORED).map_err(of)?;
    Ok(noted.filter(|noted| known.as_ref() != Some(noted)))
}

pub(super) fn note_restore(tables: &dyn Tables, noted: &[u8]) -> Result<(), StreamError> {
    tables.commit(RESTORED, noted).map_err(of)
}

/// How far this directory has read a stream beside the journal's.
pub(super) fn place(tables: &dyn Tables, stream: &str) -> Result<Place, StreamError> {
    let key = place_key(stream);
    let Some(bytes) = tables.get(Table::Meta, &key).map_err(of)? else {
        return Ok(Place::start());
    };
    Place::of_bytes(&bytes).ok_or_else(|| unfit(&key))
}

/// Notes it. What was read is durable before.
pub(super) fn note_place(
    tables: &dyn Tables,
    stream: &str,
    place: &Place,
) -> Result<(), JournalError> {
    tables.commit(&place_key(stream), &place.bytes())
}

fn place_key(stream: &str) -> Vec<u8> {
    format!("stream place {stream}").into_bytes()
}
