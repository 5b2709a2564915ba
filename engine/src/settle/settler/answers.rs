//! What comes back: answers in the inbox become moves of legs. What one answer says of a leg is
//! collected whole and weighed by the ledger; late, twice and out of order are harmless. What does
//! not fit is left alone, noted beside the answer, and a trouble for a person where it concerns our
//! money.
//!
//! Owns how a file is found, read, put away and tried again. What an answer costs depends on what
//! it names, not on what was settled before: legs are found by their names, one by one.

use super::hear::{Heard, Told};
use super::unpack::{self, Packing};
use super::{Run, Stuck};
use crate::ledger::{LegMove, LegStep, NewTrouble, Rail, TroubleKind, Wish};
use crate::limits::{ANSWER_NOTES_MAX, ANSWER_TROUBLES_MAX, ARCHIVE_TROUBLES_MAX, TROUBLES_SHOWN};
use crate::rails::{Answer, Known};
use crate::settle::archive::NotLoaded;
use crate::settle::desk::{FileDesk, Tray, Waiting};
use crate::types::{BatchId, Digest, FileHasher};
use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};

/// What one answer led to.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub moved: u64,
    pub known: u64,
    /// Movements that are somebody else's business.
    pub others: u64,
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
        self.trouble_with(trouble, "");
    }

    /// The same, with what is told beside the answer alone.
    pub fn trouble_with(&mut self, trouble: NewTrouble, aside: &str) {
        let between = if aside.is_empty() { "" } else { "; " };
        self.note(format!("{}{between}{aside}", trouble.text));
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

    /// Takes over what one file of an archive led to.
    fn add(&mut self, file: &str, of: Self) {
        of.notes.into_iter().for_each(|note| self.note(format!("{file}: {note}")));
        self.more_notes += of.more_notes;
        self.moved += of.moved;
        self.known += of.known;
        self.others += of.others;
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
        let mut file = desk.answer(name)?;
        let packing = Packing::of(&mut file)?;
        let most = packing.bytes_max();
        let mut outcome = Outcome::default();
        let bytes = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        let is_read = if bytes > most {
            let why = format!("it has more than {most} bytes; ask for smaller files");
            self.refuse(rail, name, &why, &mut outcome)?
        } else {
            match packing {
                Packing::Plain | Packing::Gzip => {
                    self.read_one(rail, file, packing, name, &mut outcome)?
                }
                Packing::Zip => self.read_archive(rail, file, name, &mut outcome)?,
            }
        };
        let tray = if is_read { Tray::Done } else { Tray::Refused };
        desk.put_away(name, tray, &outcome.text())?;
        if is_read {
            let Outcome { moved, known, others, notes, more_notes, .. } = outcome;
            let notes = u64::try_from(notes.len()).expect("a length fits 64 bits") + more_notes;
            let rail = rail.name();
            tracing::info!(rail, file = name, moved, known, others, notes, "answer read");
        }
        Ok(())
    }

    /// Reads a file that is one answer, from front to back, and digests it meanwhile. Gives whether
    /// it was taken in.
    fn read_one(
        &mut self,
        rail: Rail,
        file: File,
        packing: Packing,
        name: &str,
        outcome: &mut Outcome,
    ) -> Result<bool, Stuck> {
        let mut input = Digesting { file, hasher: FileHasher::default(), failed: None };
        let read = match packing {
            Packing::Gzip => self.parse(rail, unpack::gzip(BufReader::new(&mut input))),
            Packing::Plain | Packing::Zip => self.parse(rail, BufReader::new(&mut input)),
        };
        // What could not be read is no fault of its content.
        if let Some(error) = input.failed.take() {
            return Err(Stuck::Folder(error));
        }
        match read? {
            Ok(answer) => {
                self.take_in(rail, &answer, name, input.hasher.finish(), outcome)?;
                Ok(true)
            }
            Err(why) => self.refuse(rail, name, &why, outcome),
        }
    }

    /// Reads every file of an archive as an answer of its own. What they rest on is the archive.
    /// Gives whether one of them was taken in, or there was nothing to refuse.
    fn read_archive(
        &mut self,
        rail: Rail,
        mut file: File,
        name: &str,
        outcome: &mut Outcome,
    ) -> Result<bool, Stuck> {
        let digest = digest(&mut file)?;
        let (mut read, mut refused) = (0, 0);
        let done = unpack::zip(&mut file, &mut |inner, content| {
            let source = format!("{name}/{inner}");
            let parsed = match content {
                Ok(content) => self.parse(rail, content)?,
                Err(why) => Err(why),
            };
            let mut of = Outcome::default();
            match parsed {
                Ok(answer) => {
                    self.take_in(rail, &answer, &source, digest, &mut of)?;
                    read += 1;
                }
                Err(why) if refused < ARCHIVE_TROUBLES_MAX => {
                    refused += 1;
                    self.refuse(rail, &source, &why, &mut of)?;
                }
                Err(why) => {
                    refused += 1;
                    of.note(why);
                }
            }
            outcome.add(inner, of);
            Ok::<(), Stuck>(())
        })?;
        let more = refused.saturating_sub(ARCHIVE_TROUBLES_MAX);
        if more > 0 {
            let told = format!(
                "{more} more files of the archive {name} are refused: the note beside it has them"
            );
            self.raise(vec![of_file(TroubleKind::Refused, rail, name, told)])?;
        }
        match done {
            Ok(0) => self.refuse(rail, name, "the archive holds no file to read", outcome),
            Ok(_) => Ok(read > 0),
            Err(why) => {
                self.refuse(rail, name, &why, outcome)?;
                Ok(read > 0)
            }
        }
    }

    /// Has a person see that nothing of a file is taken in.
    fn refuse(
        &mut self,
        rail: Rail,
        source: &str,
        why: &str,
        outcome: &mut Outcome,
    ) -> Result<bool, Stuck> {
        tracing::warn!(rail = rail.name(), file = source, "an answer is refused: {why}");
        let told = format!(
            "the answer {source} is refused: {why}; nothing of it was taken in, and inbox/*/refused has it, \
             or inbox/*/done the archive if more is in it"
        );
        self.raise(vec![of_file(TroubleKind::Refused, rail, source, told)])?;
        outcome.note(why.to_owned());
        Ok(false)
    }

    /// Hears what an answer says, and journals what it leads to.
    fn take_in(
        &mut self,
        rail: Rail,
        answer: &Answer,
        source: &str,
        digest: Digest,
        outcome: &mut Outcome,
    ) -> Result<(), Stuck> {
        outcome.others += answer.others();
        let heard = Heard::collect(self, rail, answer, source, outcome)?;
        let records = heard.weigh(self, outcome)?;
        // Troubles first: of a leg that has moved, or whose booking is held, nobody finds them
        // again.
        let troubles = outcome.raised(rail, source);
        self.raise(troubles)?;
        self.journal_told(records, digest)
    }

    /// Journals what an answer led to. A batch that settles is held, and the ledger reads from it
    /// what a leg moves; one that has ended is not loaded for an answer.
    fn journal_told(&mut self, records: Vec<Told>, evidence: Digest) -> Result<(), Stuck> {
        for told in records {
            let (Told::Moves(batch, ..) | Told::Bookings(batch, _)) = told;
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
            // Of one that has ended nobody looks by itself.
            self.note_void(batch)?;
        }
        Ok(())
    }

    fn has_ended(&self, batch: BatchId) -> bool {
        self.engine.control().batch(batch).is_ok_and(|entry| entry.state().has_ended())
    }

    /// Reads an answer whole; the text says why it is refused.
    fn parse(&self, rail: Rail, input: impl BufRead) -> Result<Result<Answer, String>, Stuck> {
        let lost: RefCell<Option<NotLoaded>> = RefCell::default();
        let scale = |leg: &str| match self.scale_of(rail, leg) {
            Ok(scale) => scale,
            Err(error) => {
                lost.borrow_mut().get_or_insert(error);
                None
            }
        };
        let file = |id: &str| self.is_file(rail, id);
        let read = Answer::read(rail, input, Known { scale: &scale, file: &file });
        match lost.into_inner() {
            Some(error) => Err(error.into()),
            None => Ok(read),
        }
    }
}

/// Digests a file, and goes back to its beginning.
fn digest(file: &mut File) -> io::Result<Digest> {
    let mut hasher = FileHasher::default();
    let mut piece = vec![0; 64 << 10];
    loop {
        match file.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => hasher.update(&piece[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    file.rewind()?;
    Ok(hasher.finish())
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
    file: File,
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
