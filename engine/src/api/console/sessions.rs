//! Who is logged in: by a random text that the browser has and sends, of which only the digest is
//! kept; by what they are known; since when, and when they last asked for something.
//!
//! Owns how long a login lasts. Kept in a file of the data directory, so that a start of the engine
//! logs nobody out; whoever has the file can log in as nobody.

use super::kept::{self, Row};
use crate::api::access::Known;
use crate::limits::{
    SESSION_IDLE, SESSION_LIFE, SESSION_NOTED_EVERY, SESSIONS_EACH_MAX, SESSIONS_MAX,
};
use crate::types::{Digest, Timestamp, token_digest};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use zeroize::Zeroizing;

/// A login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Session {
    /// By what they are known.
    pub known: Known,
    /// When it began.
    pub began: Timestamp,
    /// When something was last asked for.
    pub seen: Timestamp,
}

/// All of them.
pub(super) struct Sessions {
    file: PathBuf,
    held: Mutex<Held>,
}

struct Held {
    by: BTreeMap<Digest, Session>,
    /// When the file was last written, or that has failed.
    noted: Timestamp,
}

/// Microseconds of a time.
fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

impl Session {
    /// When it ends, if nothing more is asked for.
    pub fn ends(&self) -> Timestamp {
        let idle = self.seen.0.saturating_add(micros(SESSION_IDLE));
        Timestamp(idle.min(self.began.0.saturating_add(micros(SESSION_LIFE))))
    }

    /// Not before it began: the clock was set.
    fn is_over(&self, now: Timestamp) -> bool {
        now >= self.ends() || now < self.began
    }
}

impl Sessions {
    /// Those of this file, if there is one; none where it cannot be read: then all log in again.
    pub fn load(file: PathBuf, now: Timestamp) -> Self {
        let rows = kept::read(&file).unwrap_or_else(|error| {
            tracing::warn!(%error, file = %file.display(), "nobody is logged in to the console any more");
            Vec::new()
        });
        let mut by: BTreeMap<Digest, Session> = rows.into_iter().filter_map(Row::session).collect();
        by.retain(|_, session| !session.is_over(now));
        Self { file, held: Mutex::new(Held { by, noted: now }) }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs somebody in. Answers with what their browser is to send.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn begin(
        &self,
        known: Known,
        now: Timestamp,
    ) -> Result<Zeroizing<String>, getrandom::Error> {
        let mut random = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *random)?;
        let text = Zeroizing::new(data_encoding::HEXLOWER.encode(&*random));
        let mut held = self.held();
        held.by.retain(|_, session| !session.is_over(now));
        let own = held.by.iter().filter(|(_, of)| of.known == known);
        let own: Vec<(Timestamp, Digest)> = own.map(|(id, of)| (of.seen, *id)).collect();
        if own.len() >= SESSIONS_EACH_MAX {
            held.forget_oldest(own);
        }
        if held.by.len() >= SESSIONS_MAX {
            let all = held.by.iter().map(|(id, of)| (of.seen, *id)).collect();
            held.forget_oldest(all);
        }
        held.by.insert(token_digest(&text), Session { known, began: now, seen: now });
        self.note(&mut held, now);
        Ok(text)
    }

    /// The login of whoever sends this text, if it goes on. Where they ask for something
    /// themselves, it goes on for longer.
    pub fn find(&self, text: &str, asks: bool, now: Timestamp) -> Option<(Digest, Session)> {
        let id = token_digest(text);
        let mut held = self.held();
        let session = held.by.get_mut(&id).filter(|session| !session.is_over(now))?;
        if asks {
            session.seen = now;
        }
        let found = session.clone();
        if asks && now.0.saturating_sub(held.noted.0) >= micros(SESSION_NOTED_EVERY) {
            self.note(&mut held, now);
        }
        Some((id, found))
    }

    /// Whether a login goes on.
    pub fn goes_on(&self, id: &Digest, now: Timestamp) -> bool {
        self.held().by.get(id).is_some_and(|session| !session.is_over(now))
    }

    /// Ends a login.
    pub fn end(&self, id: &Digest, now: Timestamp) {
        let mut held = self.held();
        if held.by.remove(id).is_some() {
            self.note(&mut held, now);
        }
    }

    /// Writes all of them down. What cannot be written costs a login after the next start; but who
    /// has logged out must not be there again, so then the file goes.
    fn note(&self, held: &mut Held, now: Timestamp) {
        held.noted = now;
        let rows: Vec<Row> = held.by.iter().map(|(id, of)| Row::of(id, of)).collect();
        if let Err(error) = kept::write(&self.file, &rows) {
            let gone = std::fs::remove_file(&self.file);
            let kept = gone.is_err_and(|error| error.kind() != std::io::ErrorKind::NotFound);
            tracing::warn!(
                %error, kept, file = %self.file.display(),
                "who is logged in to the console cannot be written down: after a restart all log in again"
            );
        }
    }
}

impl Held {
    fn forget_oldest(&mut self, mut among: Vec<(Timestamp, Digest)>) {
        among.sort_unstable();
        if let Some((_, id)) = among.first() {
            self.by.remove(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Credential;

    fn sessions() -> (Sessions, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        (Sessions::load(dir.path().join("console.json"), Timestamp(0)), dir)
    }

    fn key(byte: u8) -> Known {
        Known::By(Credential::Key(Digest([byte; 32])))
    }

    #[test]
    fn a_login_ends_when_nothing_is_asked_for_and_in_any_case() {
        let (sessions, _dir) = sessions();
        let text = sessions.begin(key(1), Timestamp(0)).unwrap();
        let (idle, life) = (micros(SESSION_IDLE), micros(SESSION_LIFE));
        let find = |at: i64, asks| sessions.find(&text, asks, Timestamp(at)).is_some();
        assert!(find(idle - 1, false) && !find(idle, false), "looking keeps nobody logged in");
        let mut at = 0;
        while at < life {
            assert!(find(at, true), "after {at} us");
            at += idle - 1;
        }
        assert!(!find(life, true), "it has been long enough");
        assert!(sessions.find("another", true, Timestamp(0)).is_none());
        assert!(!find(-1, true), "the clock was set back: nobody knows how long it was");
    }

    #[test]
    fn a_start_logs_nobody_out_and_brings_nobody_back() {
        let (sessions, dir) = sessions();
        let known = [
            key(1),
            Known::Nobody,
            Known::Token(Digest([2; 32])),
            Known::By(Credential::Signed(crate::types::SignerKey([3; 32]))),
            Known::By(Credential::Certificate("ops.example".to_owned())),
        ];
        let texts = known.clone().map(|known| sessions.begin(known, Timestamp(5)).unwrap());
        let (gone, _) = sessions.find(&texts[0], true, Timestamp(6)).unwrap();
        sessions.end(&gone, Timestamp(7));
        let file = dir.path().join("console.json");
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(texts.iter().all(|of| !text.contains(of.as_str())), "no text can be sent from it");
        let again = Sessions::load(file.clone(), Timestamp(8));
        for (text, known) in texts.iter().zip(known).skip(1) {
            let (_, found) = again.find(text, false, Timestamp(9)).unwrap();
            assert_eq!((found.known, found.began), (known, Timestamp(5)));
        }
        assert!(again.find(&texts[0], false, Timestamp(9)).is_none(), "it was ended");
        std::fs::write(&file, "{").unwrap();
        assert!(Sessions::load(file, Timestamp(9)).held().by.is_empty());
    }

    #[test]
    fn of_one_key_there_are_so_many_logins_and_the_most_silent_goes() {
        let (sessions, _dir) = sessions();
        let other = sessions.begin(key(9), Timestamp(0)).unwrap();
        let begin = |at| sessions.begin(key(1), Timestamp(at)).unwrap();
        let texts: Vec<_> = (1..=17).map(begin).collect();
        let is = |text: &str| sessions.find(text, false, Timestamp(20)).is_some();
        assert!(!is(&texts[0]) && texts[1..].iter().all(|text| is(text)) && is(&other));
    }
}
