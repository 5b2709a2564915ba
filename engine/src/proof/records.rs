//! Records of events as they lie in a file, one after the other.

use crate::types::Lsn;

/// Bytes of a record's header, in which the body's length and the position are.
pub(super) const RECORD_HEAD_BYTES: usize = 128;

/// The position that a record names.
pub(super) fn lsn_of(record: &[u8]) -> Lsn {
    Lsn(u64::from_le_bytes(*record[8..].first_chunk().expect("a header")))
}

/// The records that a section holds one after the other, each cut by the length that it names.
pub(super) fn records(mut body: &[u8]) -> impl Iterator<Item = Result<&[u8], String>> {
    std::iter::from_fn(move || {
        if body.is_empty() {
            return None;
        }
        let length = body.get(28..32).and_then(|length| length.first_chunk());
        let length = length.map(|length| u32::from_le_bytes(*length) as usize + RECORD_HEAD_BYTES);
        let record = length.and_then(|length| body.split_at_checked(length));
        let Some((record, rest)) = record else {
            body = &[];
            return Some(Err("a record of an event is cut".into()));
        };
        body = rest;
        Some(Ok(record))
    })
}
