//! Drives legs to their end as the engine does: one key and one set of bytes a leg, whatever
//! happens.

use crate::world::now;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tallystick::rails::card::{Answer, CallBytes, Client, Found};
use tallystick::rails::status::LegWord;
use tallystick::types::Timestamp;

/// Threads that send.
const LINES: usize = 8;
/// Attempts at one leg, questions included: a leg that needs more has not ended.
const ATTEMPTS_MAX: u32 = 200;
/// Longest pause before a leg's next turn: the provider here is not spared as a real one is.
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// Where a leg stands for the driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    Accepted,
    Confirmed,
    Rejected(String),
    Returned,
}

/// What driving came to.
#[derive(Debug, Default)]
pub struct Ended {
    pub legs: BTreeMap<String, State>,
    /// Leg of each reference that the provider gave.
    pub references: BTreeMap<String, String>,
    /// Every text that an answer came with.
    pub reasons: Vec<String>,
    pub sent: u64,
    pub looked: u64,
}

struct Task {
    call: CallBytes,
    first_sent: Timestamp,
    attempts: u32,
    unknown: u32,
    due: Instant,
}

/// Drives every leg until the provider has said what became of it.
pub fn drive(client: &Client, calls: Vec<CallBytes>) -> Ended {
    let task =
        |call| Task { call, first_sent: now(), attempts: 0, unknown: 0, due: Instant::now() };
    let queue: Mutex<VecDeque<Task>> = Mutex::new(calls.into_iter().map(task).collect());
    let ended = Mutex::new(Ended::default());
    std::thread::scope(|scope| {
        for _ in 0..LINES {
            scope.spawn(|| {
                loop {
                    let Some(mut task) = queue.lock().unwrap().pop_front() else { break };
                    if task.due > Instant::now() {
                        queue.lock().unwrap().push_back(task);
                        std::thread::sleep(Duration::from_millis(1));
                        continue;
                    }
                    task.attempts += 1;
                    assert!(task.attempts < ATTEMPTS_MAX, "a leg does not end");
                    let answer = step(client, &mut task, &ended);
                    if let Answer::Later { after, .. } = answer {
                        task.due = Instant::now() + after.min(PAUSE_MAX);
                    }
                    let mut ended = ended.lock().unwrap();
                    if !note(&mut ended, &task.call, &answer) {
                        queue.lock().unwrap().push_back(task);
                    }
                }
            });
        }
    });
    ended.into_inner().unwrap()
}

/// One attempt: sends, or asks after every second lost answer.
fn step(client: &Client, task: &mut Task, ended: &Mutex<Ended>) -> Answer {
    let look = task.unknown % 2 == 1;
    if look {
        ended.lock().unwrap().looked += 1;
        task.unknown += 1;
        match client.lookup(&task.call, "", task.first_sent) {
            Found::Leg(answer) => return answer,
            // Nothing was made, so nothing can be made twice; and if the call is still under way,
            // the key holds a second one off.
            Found::Absent => {}
            Found::Again { after, reason } => return Answer::Later { after, reason },
            Found::Halt { reason } => panic!("{reason}"),
        }
    }
    ended.lock().unwrap().sent += 1;
    let answer = client.send(&task.call);
    if matches!(answer, Answer::Unknown { .. }) {
        task.unknown += 1;
    }
    answer
}

/// Notes what became of a leg; whether that is an end for now.
pub fn note(ended: &mut Ended, call: &CallBytes, answer: &Answer) -> bool {
    let state = match answer {
        Answer::Accepted { .. } => State::Accepted,
        Answer::Confirmed { .. } => State::Confirmed,
        Answer::Returned { .. } => State::Returned,
        Answer::Rejected { reason, .. } => State::Rejected(reason.clone()),
        Answer::Unknown { reason, alarm } => {
            assert!(!alarm, "{reason}");
            ended.reasons.push(reason.clone());
            return false;
        }
        Answer::Later { reason, .. } => {
            ended.reasons.push(reason.clone());
            return false;
        }
        Answer::Halt { reason } => panic!("{reason}"),
        Answer::Open { .. } => panic!("the client has it given up"),
    };
    let report = answer.report(call.leg_key()).expect("it says what became of the leg");
    ended.reasons.push(report.reason);
    if !report.reference.is_empty() {
        ended.references.insert(report.reference, report.key.clone());
    }
    ended.legs.insert(report.key, state);
    true
}

/// The design's table: where a word moves a leg; no word moves it back.
pub fn moved(state: &State, word: LegWord, reason: &str) -> State {
    match (state, word) {
        (State::Accepted, LegWord::Accepted) => State::Accepted,
        (State::Accepted, LegWord::Confirmed) => State::Confirmed,
        (State::Accepted, LegWord::Rejected) => State::Rejected(reason.into()),
        // A payout that failed.
        (State::Accepted, LegWord::Returned) => State::Rejected(reason.into()),
        (State::Confirmed, LegWord::Returned) => State::Returned,
        (State::Confirmed, LegWord::Accepted | LegWord::Confirmed | LegWord::Rejected)
        | (State::Rejected(_) | State::Returned, _) => state.clone(),
    }
}
