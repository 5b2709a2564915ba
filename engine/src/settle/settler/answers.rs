//! What comes back: answers in the inbox become moves of legs. What one answer says of a leg is
//! collected whole and weighed by the ledger; late, twice and out of order are harmless. What does
//! not fit is left alone, noted beside the answer, and a trouble for a person where it concerns our
//! money.
//!
//! Owns how a file is found, read, put away and tried again. What an answer costs depends on what
//! it names, not on what was settled before: legs are found by their names, one by one.

use super::hear::{Heard, Told};
use super::{Run, Stuck};
use crate::ledger::{LegMove, LegStep, NewTrouble, Rail, TroubleKind, Wish};
use crate::limits::{ANSWER_BYTES_MAX, ANSWER_NOTES_MAX, ANSWER_TROUBLES_MAX, TROUBLES_SHOWN};
use crate::rails::Answer;
use crate::settle::archive::NotLoaded;
use crate::settle::desk::{FileDesk, Tray, Waiting};
use crate::types::{BatchId, Digest, FileHasher};
use std::cell::RefCell;
use std::io::{self, BufReader, Read};

/// What one answer led to.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub moved: u64,
    pub known: u64,
    pub notes: Vec<String>,
    pub more_notes: u64,
    pub troubles: Vec<NewTrouble>,
    more_troubles: u64,
}

impl Outcome {
    pub fn note(&mut self, note: String) {
        if self.notes.len() < ANSWER_NOTES_MAX {
            self.notes.push(note);
        } else {
            self.more_notes += 1;
        }
    }

    /// Notes it, and has a person see it.
    pub fn trouble(&mut self, trouble: NewTrouble) {
        self.note(trouble.text.clone());
        if self.troubles.len() < ANSWER_TROUBLES_MAX {
            self.troubles.push(trouble);
        } else {
            self.more_troubles += 1;
        }
    }

    /// Those that are raised: the first, and one that says how many there are beside them.
    fn raised(&mut self, rail: Rail, file: &str) -> Vec<NewTrouble> {
        let mut troubles = std::mem::take(&mut self.troubles);
        if self.more_troubles > 0 {
            let text = format!(
                "{} more like these: the note beside the answer has them",
                self.more_troubles
            );
            troubles.push(of_file(TroubleKind::Other, rail, file, text));
        }
        troubles
    }

    fn text(&self) -> String {
        let mut text: String = self.notes.iter().flat_map(|note| [note, "\n"]).collect();
        if self.more_notes > 0 {
            text.push_str(&format!("and {} more\n", self.more_notes));
        }
        text
    }
}

impl Run {
    /// Reads what waits of every rail that has an inbox.
    pub(super) fn read_inboxes(&mut self) -> Result<(), Stuck> {
        for (rail, desk) in self.files.clone() {
            self.read_inbox(rail, &desk)?;
        }
        Ok(())
    }

    /// Reads every answer that waits. One that cannot be read or put away keeps no other waiting.
    fn read_inbox(&mut self, rail: Rail, desk: &FileDesk) -> Result<(), Stuck> {
        let place = format!("inbox of {}", rail.name());
        let Waiting { files, odd } = match desk.waiting() {
            Ok(waiting) => waiting,
            Err(error) => {
                self.troubles.set(&place, Some(Stuck::Folder(error).to_string()));
                return Ok(());
            }
        };
        let mut keeps: Vec<String> = odd.iter().map(|name| format!(
            "{name:?} is no ordinary file with a readable name, and is left alone: put the answer there \
             under a plain name"
        )).collect();
        for name in &files {
            if !self.later.is_due(rail, name) {
                continue;
            }
            match self.read_answer(rail, desk, name) {
                Ok(()) => self.later.forget(rail, name),
                Err(Stuck::Folder(error)) => self.later.put_off(rail, name, &error.to_string()),
                Err(full @ Stuck::TroublesFull) => {
                    self.later.put_off(rail, name, &full.to_string())
                }
                Err(stuck) => return Err(stuck),
            }
        }
        self.later.retain(rail, &files);
        keeps.extend(self.later.reasons(rail));
        let more = keeps.len().saturating_sub(TROUBLES_SHOWN);
        keeps.truncate(TROUBLES_SHOWN);
        let more = (more > 0).then(|| format!("and {more} more"));
        let text = keeps.into_iter().chain(more).collect::<Vec<_>>().join("; ");
        self.troubles.set(&place, Some(text).filter(|text| !text.is_empty()));
        Ok(())
    }

    fn read_answer(&mut self, rail: Rail, desk: &FileDesk, name: &str) -> Result<(), Stuck> {
        let (answer, digest) = match self.parse(rail, desk, name)? {
            Ok(read) => read,
            Err(text) => {
                tracing::warn!(rail = rail.name(), file = name, "an answer is refused: {text}");
                let tray = "inbox/*/refused has it, and nothing of it was taken in";
                let told = format!("the answer {name} is refused: {text}; {tray}");
                self.raise(vec![of_file(TroubleKind::Refused, rail, name, told)])?;
                desk.put_away(name, Tray::Refused, &format!("{text}\n"))?;
                return Ok(());
            }
        };
        let mut outcome = Outcome::default();
        let heard = Heard::collect(self, rail, &answer, name, &mut outcome)?;
        let records = heard.weigh(self, &mut outcome)?;
        // Troubles first: of a leg that has moved, or whose booking is held, nobody finds them
        // again.
        let troubles = outcome.raised(rail, name);
        self.raise(troubles)?;
        self.journal_told(records, digest)?;
        desk.put_away(name, Tray::Done, &outcome.text())?;
        let Outcome { moved, known, notes, more_notes, .. } = outcome;
        let notes = u64::try_from(notes.len()).expect("a length fits 64 bits") + more_notes;
        tracing::info!(rail = rail.name(), file = name, moved, known, notes, "answer read");
        Ok(())
    }

    /// Journals what an answer led to. A batch that settles is held, and the ledger reads from it
    /// what a leg moves; one that has ended is not loaded for an answer.
    fn journal_told(&self, records: Vec<Told>, evidence: Digest) -> Result<(), Stuck> {
        for told in records {
            let wish = match told {
                Told::Moves(batch, voice, moves) if self.has_ended(batch) => {
                    Wish::MoveEnded { batch, voice, evidence, moves }
                }
                Told::Moves(batch, voice, moves) => {
                    let content = self.engine.plan_here(batch)?.content().clone();
                    let steps = moves.into_iter().map(step).collect();
                    Wish::MoveLegs { content, voice, evidence, steps }
                }
                Told::Bookings(batch, bookings) => Wish::BookLegs { batch, evidence, bookings },
            };
            self.wish(wish)?;
        }
        Ok(())
    }

    fn has_ended(&self, batch: BatchId) -> bool {
        self.engine.control().batch(batch).is_ok_and(|entry| entry.state().has_ended())
    }

    /// Reads a file from front to back, and digests it.
    fn parse(
        &self,
        rail: Rail,
        desk: &FileDesk,
        name: &str,
    ) -> Result<Result<(Answer, Digest), String>, Stuck> {
        let file = desk.answer(name)?;
        let most = u64::try_from(ANSWER_BYTES_MAX).expect("a limit fits 64 bits");
        if file.metadata()?.len() > most {
            let why = format!("it has more than {ANSWER_BYTES_MAX} bytes; ask for smaller files");
            return Ok(Err(why));
        }
        let mut input = Digesting { file, hasher: FileHasher::default(), failed: None };
        let lost: RefCell<Option<NotLoaded>> = RefCell::default();
        let scale = |leg: &str| match self.scale_of(rail, leg) {
            Ok(scale) => scale,
            Err(error) => {
                lost.borrow_mut().get_or_insert(error);
                None
            }
        };
        let read = Answer::read(rail, BufReader::new(&mut input), &scale);
        if let Some(error) = lost.into_inner() {
            return Err(error.into());
        }
        // What could not be read is no fault of its content.
        if let Some(error) = input.failed.take() {
            return Err(Stuck::Folder(error));
        }
        Ok(read.map(|answer| (answer, input.hasher.finish())))
    }
}

/// A move, without what the ledger knows by itself.
fn step(of: LegMove) -> LegStep {
    let LegMove { leg, to, reference, reason, .. } = of;
    LegStep { leg, to, reference, reason }
}

/// A trouble about a file.
pub(super) fn of_file(kind: TroubleKind, rail: Rail, file: &str, text: String) -> NewTrouble {
    let (batch, leg, party) = (None, None, None);
    NewTrouble { kind, rail, batch, leg, party, source: file.to_owned(), text }
}

/// Digests what is read.
struct Digesting {
    file: std::fs::File,
    hasher: FileHasher,
    failed: Option<io::Error>,
}

impl Read for Digesting {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self.file.read(bytes) {
            Ok(read) => {
                self.hasher.update(&bytes[..read]);
                Ok(read)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let told = io::Error::new(error.kind(), error.to_string());
                self.failed = Some(error);
                Err(told)
            }
        }
    }
}
