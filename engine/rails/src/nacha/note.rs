//! What changes no leg and a person should read.
//!
//! Owns the kinds of notes, and how many are kept: what is somebody else's never takes the room of
//! what is ours.

use tallystick_ledger::limits::ANSWER_NOTES_MAX;
use tallystick_ledger::types::Total;

/// Notes on what is somebody else's that are kept: enough to see what the file is.
const OTHERS_KEPT: usize = 100;

/// Why a note is none of a leg's reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NoteKind {
    /// A notification of change: the entry went through, the account must be corrected before the
    /// next one (by the rules within six banking days).
    Change,
    /// Our bank's notification of change was refused.
    ChangeRefused,
    /// A return was dishonored by the originating bank: the bank settles it, or asks the operator.
    Dishonored,
    /// The receiving bank insists on a dishonored return.
    Contested,
    /// The clearing account's own entry came back: the whole batch of entries is in doubt.
    Offset,
    /// An entry came back in a batch of entries of ours, and its identification number is none of
    /// ours.
    Unnamed,
    /// An entry with a leg's identification number that is neither returned nor corrected, in a
    /// file that has returns of ours: whoever was paid knows the number, and may use it.
    Unreturned,
    /// The amount cannot be one of the leg's asset.
    Amount,
    /// The file has neither header nor control, so that nothing tells whether it is whole.
    Bare,
    /// The identification number is of no leg: another system's entry of the same company.
    Foreign,
    /// Entries of a batch that are neither returned nor corrected: somebody else's.
    Others,
}

/// What an operator should read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Why it changes no leg.
    pub kind: NoteKind,
    /// The line of the entry, or of the batch's header.
    pub line: usize,
    /// The entry's identification number: a leg's `rail_id`, or an offset entry's, or another's.
    pub id: String,
    /// What the batch's header says for the company's own use: the beginning of a batch's id.
    pub within: String,
    /// The entry's trace number, as it was sent.
    pub original_trace: String,
    /// The trace number of what came back.
    pub trace: String,
    /// The code, such as R67 or C01; of others' entries the class of their batch.
    pub code: String,
    /// What it says.
    pub text: &'static str,
    /// The amount, in cents.
    pub cents: Total,
    /// How many entries it is about.
    pub entries: u64,
    /// What else the bank wrote: corrected data for a change. May hold account numbers.
    pub data: String,
    /// For a change: the account's fields as they should be, as far as they can be read.
    pub corrected: Vec<(&'static str, String)>,
}

/// The notes of one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes {
    /// In the file's order.
    pub kept: Vec<Note>,
    /// How many more there are about what is ours.
    pub left_out: u64,
    /// Entries of somebody else's.
    pub others: u64,
    others_kept: usize,
}

impl Note {
    /// One entry of which nothing is known yet.
    pub(super) fn new() -> Self {
        Self {
            kind: NoteKind::Others,
            line: 0,
            id: String::new(),
            within: String::new(),
            original_trace: String::new(),
            trace: String::new(),
            code: String::new(),
            text: "",
            cents: Total::ZERO,
            entries: 1,
            data: String::new(),
            corrected: Vec::new(),
        }
    }
}

impl Notes {
    /// Keeps one, or counts it.
    pub(super) fn add(&mut self, note: Note) {
        if note.kind.is_others() {
            self.others += note.entries;
            if self.others_kept < OTHERS_KEPT {
                self.others_kept += 1;
                self.kept.push(note);
            }
        } else if self.kept.len() - self.others_kept < ANSWER_NOTES_MAX {
            self.kept.push(note);
        } else {
            self.left_out += 1;
        }
    }
}

impl NoteKind {
    fn is_others(self) -> bool {
        match self {
            Self::Foreign | Self::Others => true,
            Self::Change
            | Self::ChangeRefused
            | Self::Dishonored
            | Self::Contested
            | Self::Offset
            | Self::Unnamed
            | Self::Unreturned
            | Self::Amount
            | Self::Bare => false,
        }
    }
}
