//! Who is logged in: by two random texts that the browser has and sends, of which only the digests
//! are kept; by what they are known; since when, and when they last asked for something.
//!
//! The one text is a cookie, which a browser also sends to whatever else listens on this host; the
//! other one is the pages' own, and no other listener's page sees it.
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
    /// Digest of what its pages send beside the cookie.
    pub page: Digest,
    /// Who it was, when it began; for the audit log.
    pub name: String,
    /// And as what.
    pub role: String,
    /// By what they are known.
    pub known: Known,
    /// When it began.
    pub began: Timestamp,
    /// When something was last asked for.
    pub seen: Timestamp,
}

/// A login that has begun.
pub(super) struct Begun {
    /// What the browser is to send as its cookie.
    pub cookie: Zeroizing<String>,
    /// What its pages are to send.
    pub page: Zeroizing<String>,
    /// Those that ended for it: there are no more than so many.
    pub ended: Vec<Session>,
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

/// A text that nobody guesses.
fn random() -> Result<Zeroizing<String>, getrandom::Error> {
    let mut random = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *random)?;
    Ok(Zeroizing::new(data_encoding::HEXLOWER.encode(&*random)))
}

impl Session {
    /// Whether its pages send this.
    pub fn is_of(&self, page: &str) -> bool {
        // Digests tell nobody what the text is like.
        token_digest(page) == self.page
    }

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

    /// Logs somebody in, of this name and role.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn begin(
        &self,
        known: Known,
        (name, role): (&str, &str),
        now: Timestamp,
    ) -> Result<Begun, getrandom::Error> {
        let (cookie, page) = (random()?, random()?);
        let mut held = self.held();
        held.by.retain(|_, session| !session.is_over(now));
        let own = held.by.iter().filter(|(_, of)| of.known == known);
        let own: Vec<(Timestamp, Digest)> = own.map(|(id, of)| (of.seen, *id)).collect();
        let mut ended = Vec::new();
        if own.len() >= SESSIONS_EACH_MAX {
            ended.extend(held.forget_oldest(own));
        }
        if held.by.len() >= SESSIONS_MAX {
            let all = held.by.iter().map(|(id, of)| (of.seen, *id)).collect();
            ended.extend(held.forget_oldest(all));
        }
        let session = Session {
            page: token_digest(&page),
            name: name.to_owned(),
            role: role.to_owned(),
            known,
            began: now,
            seen: now,
        };
        held.by.insert(token_digest(&cookie), session);
        self.note(&mut held, now);
        Ok(Begun { cookie, page, ended })
    }

    /// The login of whoever sends this cookie, if it goes on.
    pub fn find(&self, cookie: &str, now: Timestamp) -> Option<(Digest, Session)> {
        let id = token_digest(cookie);
        let held = self.held();
        let session = held.by.get(&id).filter(|session| !session.is_over(now))?;
        Some((id, session.clone()))
    }

    /// Somebody asks for something themselves: their login goes on for longer.
    pub fn asks(&self, id: &Digest, now: Timestamp) {
        let mut held = self.held();
        let Some(session) = held.by.get_mut(id) else { return };
        session.seen = now;
        if now.0.saturating_sub(held.noted.0) >= micros(SESSION_NOTED_EVERY) {
            self.note(&mut held, now);
        }
    }

    /// Whether a login goes on.
    pub fn goes_on(&self, id: &Digest, now: Timestamp) -> bool {
        self.held().by.get(id).is_some_and(|session| !session.is_over(now))
    }

    /// Ends a login. Answers with it, where it went on until now.
    pub fn end(&self, id: &Digest, now: Timestamp) -> Option<Session> {
        let mut held = self.held();
        let ended = held.by.remove(id)?;
        self.note(&mut held, now);
        Some(ended)
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
    fn forget_oldest(&mut self, among: Vec<(Timestamp, Digest)>) -> Option<Session> {
        let (_, id) = among.into_iter().min()?;
        self.by.remove(&id)
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

    const ANN: (&str, &str) = ("ann", "operator");

    fn begin(sessions: &Sessions, known: Known, at: i64) -> Zeroizing<String> {
        sessions.begin(known, ANN, Timestamp(at)).unwrap().cookie
    }

    fn key(byte: u8) -> Known {
        Known::By(Credential::Key(Digest([byte; 32])))
    }

    #[test]
    fn a_login_ends_when_nothing_is_asked_for_and_in_any_case() {
        let (sessions, _dir) = sessions();
        let text = begin(&sessions, key(1), 0);
        let (idle, life) = (micros(SESSION_IDLE), micros(SESSION_LIFE));
        let find = |at: i64, asks| {
            let found = sessions.find(&text, Timestamp(at));
            if let Some((id, _)) = found.as_ref().filter(|_| asks) {
                sessions.asks(id, Timestamp(at));
            }
            found.is_some()
        };
        assert!(find(idle - 1, false) && !find(idle, false), "looking keeps nobody logged in");
        let mut at = 0;
        while at < life {
            assert!(find(at, true), "after {at} us");
            at += idle - 1;
        }
        assert!(!find(life, true), "it has been long enough");
        assert!(sessions.find("another", Timestamp(0)).is_none());
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
        let begun = known.clone().map(|known| sessions.begin(known, ANN, Timestamp(5)).unwrap());
        let texts = begun.each_ref().map(|begun| begun.cookie.clone());
        let (gone, _) = sessions.find(&texts[0], Timestamp(6)).unwrap();
        assert!(sessions.end(&gone, Timestamp(7)).is_some_and(|of| of.name == "ann"));
        assert_eq!(sessions.end(&gone, Timestamp(7)), None, "once");
        let file = dir.path().join("console.json");
        let text = std::fs::read_to_string(&file).unwrap();
        let is_in = |of: &Begun| text.contains(of.cookie.as_str()) || text.contains(&*of.page);
        assert!(!begun.iter().any(is_in), "no text can be sent from it");
        let again = Sessions::load(file.clone(), Timestamp(8));
        for (begun, known) in begun.iter().zip(known).skip(1) {
            let (_, found) = again.find(&begun.cookie, Timestamp(9)).unwrap();
            assert!(found.is_of(&begun.page) && !found.is_of(&begun.cookie));
            assert_eq!((found.known, found.began), (known, Timestamp(5)));
        }
        assert!(again.find(&texts[0], Timestamp(9)).is_none(), "it was ended");
        std::fs::write(&file, "{").unwrap();
        assert!(Sessions::load(file, Timestamp(9)).held().by.is_empty());
    }

    #[test]
    fn of_one_key_there_are_so_many_logins_and_the_most_silent_goes() {
        let (sessions, _dir) = sessions();
        let other = begin(&sessions, key(9), 0);
        let texts: Vec<_> = (1..=16).map(|at| begin(&sessions, key(1), at)).collect();
        let last = sessions.begin(key(1), ANN, Timestamp(17)).unwrap();
        assert_eq!(last.ended.len(), 1, "that is said");
        let texts: Vec<_> = texts.into_iter().chain([last.cookie]).collect();
        let is = |text: &str| sessions.find(text, Timestamp(20)).is_some();
        assert!(!is(&texts[0]) && texts[1..].iter().all(|text| is(text)) && is(&other));
    }
}
