//! The console: who is logged in, for how long, and what its pages may ask for.

use super::Pace;
use std::time::Duration;

/// How long somebody stays logged in who asks for nothing: as long as a meeting.
pub const SESSION_IDLE: Duration = Duration::from_mins(30);
/// How long at most: a long day's work.
pub const SESSION_LIFE: Duration = Duration::from_hours(12);
/// Who may be logged in at once, 100 bytes each: more than any desk has people, with some browsers
/// each. Of more, who was silent for longest goes.
pub const SESSIONS_MAX: usize = 1_024;
/// Of these with one key: some browsers of a person.
pub const SESSIONS_EACH_MAX: usize = 16;
/// When somebody asks after so long, that is written down, so that a start of the engine knows how
/// long they were silent.
pub const SESSION_NOTED_EVERY: Duration = Duration::from_mins(1);
/// How long a one-time code for a login counts: from a terminal to a browser.
pub const LOGIN_CODE_LIFE: Duration = Duration::from_mins(5);
/// Codes that wait to be used, some 150 bytes each; of more the oldest goes.
pub const LOGIN_CODES_MAX: usize = 256;
/// Of these for one who asks.
pub const LOGIN_CODES_EACH_MAX: usize = 4;
/// Logins of one address, failed ones too: each is a line of the audit log, and a write to a disk.
pub const LOGINS: Pace = Pace { count: 1, per: Duration::from_secs(1), burst: 30 };
/// Failed ones of one address, which people make when they mistype: nobody guesses a key by them.
pub const LOGINS_FAILED: Pace = Pace { count: 1, per: Duration::from_secs(10), burst: 10 };
/// Items of a list in one answer to a page: more than anybody looks through.
pub const CONSOLE_ITEMS_MAX: usize = 1_000;
/// Bytes of such an answer, before it is JSON: a list of the widest items.
pub const CONSOLE_ANSWER_BYTES_MAX: usize = 4 << 20;
/// Calls of pages at once, of the desk: each holds an answer as JSON, some times as large as that.
pub const CONSOLE_CALLS_MAX: usize = 16;
/// The same of all others, who see their own alone: none of the desk waits for them.
pub const CONSOLE_CALLS_OWN_MAX: usize = 4;
/// Pages of the desk that are told of what goes on, at once.
pub const CONSOLES_MAX: usize = 48;
/// The same of all others.
pub const CONSOLES_OWN_MAX: usize = 16;
/// Of these of one login: some tabs, of the six connections that a browser opens.
pub const CONSOLES_EACH_MAX: usize = 5;
/// And of one name: two browsers full of them.
pub const CONSOLES_NAME_MAX: usize = 10;
/// How often they are told.
pub const CONSOLE_EVERY: Duration = Duration::from_secs(1);
/// Events that wait for a page; one that leaves more unread is told no more.
pub const CONSOLE_EVENTS_MAX: usize = 8;
/// Lines of the audit log that one call looks through: a tenth of a second, for those of one caller
/// among all others'.
pub const AUDIT_LINES_LOOK: usize = 20_000;
/// Bytes of it that are read at once, from behind.
pub const AUDIT_BLOCK_BYTES: u64 = 64 << 10;
/// How often it is noted what goes on, for whoever looks.
pub const NOW_EVERY: Duration = Duration::from_secs(1);
/// Who may watch that over gRPC at once, all of the desk: some people with some terminals each.
pub const WATCHES_MAX: usize = 16;
/// Figures in one answer to who watches: an hour of them, one line of the audit log.
pub const WATCH_FIGURES_MAX: u32 = 3_600;
