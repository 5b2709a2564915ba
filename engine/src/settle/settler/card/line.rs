//! The line to the provider: threads that make calls and look legs up, so that a call that takes its time
//! keeps neither other calls nor other rails, webhooks or a stop waiting.
//!
//! Owns the threads. Journals nothing and decides nothing but one thing: **a call is made only while the
//! journal has its leg SENT at that moment**. A leg has one order under way at most.

use crate::ledger::{Control, LegState};
use crate::limits::CALLS_UNDER_WAY_MAX;
use crate::rails::card::{Answer, CallBytes, Client, Found};
use crate::types::{BatchId, Timestamp};
use crossbeam::channel::{Receiver, Sender, bounded};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// What the threads are to do for a leg.
pub struct Order {
    pub batch: BatchId,
    pub leg: u32,
    pub call: Arc<CallBytes>,
    pub task: Task,
}

/// One of two things.
pub enum Task {
    /// Make the call, which is journaled as SENT.
    Call,
    /// Ask what became of it.
    LookUp {
        /// The provider's own reference, if one is known.
        reference: String,
        first_sent: Timestamp,
    },
}

/// What came of an order.
pub struct Done {
    pub batch: BatchId,
    pub leg: u32,
    pub call: Arc<CallBytes>,
    pub came: Came,
}

/// The answer.
pub enum Came {
    /// To a call.
    Called(Answer),
    /// To a look-up.
    Found(Found),
    /// There is none: nothing was asked. The leg was not SENT any more, or nothing is to be asked now.
    NotMade,
}

/// The threads, from the settler's side.
pub struct Line {
    orders: Sender<Order>,
    done: Receiver<Done>,
    refused: Arc<AtomicBool>,
    /// Legs with an order under way, and whether they are looked up.
    busy: HashMap<(BatchId, u32), bool>,
    /// How many of them are.
    looking: usize,
}

impl Line {
    /// Starts so many threads. They end when the line is dropped, each after the call that it is at; nobody
    /// waits for that.
    pub fn start(client: &Arc<Client>, threads: usize, control: &Arc<RwLock<Control>>) -> Self {
        let (orders, ordered) = bounded(CALLS_UNDER_WAY_MAX);
        let (doing, done) = bounded(CALLS_UNDER_WAY_MAX);
        let refused = Arc::new(AtomicBool::new(false));
        for _ in 0..threads {
            let caller = Caller {
                client: client.clone(),
                control: control.clone(),
                refused: refused.clone(),
                ordered: ordered.clone(),
                doing: doing.clone(),
            };
            let thread = std::thread::Builder::new().name("provider".to_owned());
            thread.spawn(move || caller.serve()).expect("the system can start a thread");
        }
        Self { orders, done, refused, busy: HashMap::new(), looking: 0 }
    }

    /// Orders something for a leg that has nothing under way.
    pub fn order(&mut self, order: Order) {
        assert!(self.busy.len() < CALLS_UNDER_WAY_MAX, "there is room for it");
        let looks = matches!(order.task, Task::LookUp { .. });
        assert!(self.busy.insert((order.batch, order.leg), looks).is_none(), "one order a leg");
        self.looking += usize::from(looks);
        // The threads end with this line only: a panic over there stops the process.
        self.orders.send(order).expect("the threads outlive their line");
    }

    /// Where what was done arrives: each is to be handed to `take`.
    pub fn done(&self) -> &Receiver<Done> {
        &self.done
    }

    /// Takes note of what was done.
    pub fn take(&mut self, done: &Done) {
        let looks = self.busy.remove(&(done.batch, done.leg)).expect("it was ordered, once");
        self.looking -= usize::from(looks);
    }

    /// Orders that are under way: calls, and look-ups.
    pub fn under_way(&self) -> (usize, usize) {
        (self.busy.len() - self.looking, self.looking)
    }

    /// Whether anything is under way for this batch.
    pub fn is_at(&self, batch: BatchId) -> bool {
        self.busy.keys().any(|(of, _)| *of == batch)
    }

    /// Whether the provider is asked anything. What waits for its turn while it is not, comes back.
    pub fn allow(&self, is_allowed: bool) {
        self.refused.store(!is_allowed, Ordering::Relaxed);
    }
}

struct Caller {
    client: Arc<Client>,
    control: Arc<RwLock<Control>>,
    /// The provider refuses our key or URL, or the engine stops: nothing more is asked of it.
    refused: Arc<AtomicBool>,
    ordered: Receiver<Order>,
    doing: Sender<Done>,
}

impl Caller {
    fn serve(self) {
        for Order { batch, leg, call, task } in &self.ordered {
            let came = match task {
                Task::Call if self.may_leave(batch, leg) => Came::Called(self.client.send(&call)),
                Task::LookUp { reference, first_sent } if self.may_ask() => {
                    Came::Found(self.client.lookup(&call, &reference, first_sent))
                }
                Task::Call | Task::LookUp { .. } => Came::NotMade,
            };
            if let Came::Called(Answer::Halt { .. }) | Came::Found(Found::Halt { .. }) = &came {
                self.refused.store(true, Ordering::Relaxed);
            }
            if self.doing.send(Done { batch, leg, call, came }).is_err() {
                return;
            }
        }
    }

    /// A call takes its time to come to its turn: webhooks may have moved its leg meanwhile.
    fn may_leave(&self, batch: BatchId, leg: u32) -> bool {
        let control = self.control.read().unwrap_or_else(PoisonError::into_inner);
        let state = control.batch(batch).map(|entry| entry.legs.state(leg));
        self.may_ask() && state == Ok(LegState::Sent)
    }

    fn may_ask(&self) -> bool {
        !self.refused.load(Ordering::Relaxed)
    }
}
