//! The rail `nacha`: ACH files of the United States (CCD entries), and the return files that come
//! back.
//!
//! Owns the fields of an account and of the clearing account, what can be settled, which legs are
//! in which file, the files, and what returns and notifications of change say. Never sends
//! anything, never decides what a return means for a leg: the engine does, by the leg's state.
//! `docs/RAIL-NACHA.md` tells operators all of it.

mod account;
mod calendar;
mod codes;
mod file;
mod lines;
mod money;
mod note;
mod plan;
mod read;
mod record;
mod rules;
mod text;

pub use account::CLEARING_PLACEHOLDER;
pub use calendar::{SETTLED_AFTER_BANKING_DAYS, settled_on};
pub use file::render;
pub use lines::ReadError;
pub use note::{Note, NoteKind, Notes};
pub use plan::{FilePart, Flow, Unfit, files};
pub use read::{Answer, Return, read};

pub(super) use rules::Nacha;

use money::amounts;

use tallystick_ledger::types::short_leg_digest;

const RAIL: &str = "nacha";

/// Characters of an entry's identification number.
const ID_CHARS: usize = 15;

/// What ACH knows a leg by: the 15 characters of its entry's individual identification number,
/// which a return and a notification of change repeat.
///
/// 75 bits of a digest of the leg's key in base32 (A-Z, 2-7). Two legs of one batch never share one
/// ([`files`] refuses that); that any two of 80 million legs do has a chance of about 1 in 10^7.
#[must_use]
pub fn rail_id(key: &str) -> String {
    let mut id = data_encoding::BASE32_NOPAD.encode(&short_leg_digest(key).0[..10]);
    id.truncate(ID_CHARS);
    id
}

/// Whether an identification number has the form of a leg's. Offset entries have a hyphen in
/// theirs.
fn is_rail_id(id: &str) -> bool {
    id.len() == ID_CHARS && id.bytes().all(|b| matches!(b, b'A'..=b'Z' | b'2'..=b'7'))
}

#[cfg(test)]
mod tests;
