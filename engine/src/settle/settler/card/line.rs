//! The line to the provider: threads that make calls and look legs up, so that a call that takes
//! its time keeps neither other calls nor other rails, webhooks or a stop waiting.
//!
//! Owns the threads. Journals nothing and decides nothing but one thing: **a call is made only
//! while the journal has its leg SENT at that moment**. A leg has one order under way at most.

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
    /// There is none: nothing was asked. The leg was not SENT any more, or nothing is to be asked
    /// now.
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
    /// Starts so many threads. Each ends after its current call once the line is dropped. Nothing
    /// joins them.
    pub fn start(client: &Arc<Client>, threads: usize, control: &Arc<RwLock<Control>>) -> Self {
        let (orders, ordered) = bounded(CALLS_UNDER_WAY_MAX);
        let (doing, done) = bounded(CALLS_UNDER_WAY_MAX);
        let refused = Arc::new(AtomicBool::new(false));
        for _ in 0..threads {
            let clerk = Clerk {
                client: client.clone(),
                control: control.clone(),
                refused: refused.clone(),
                ordered: ordered.clone(),
                doing: doing.clone(),
            };
            let thread = std::thread::Builder::new().name("provider".to_owned());
            thread.spawn(move || clerk.serve()).expect("the system can start a thread");
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

struct Clerk {
    client: Arc<Client>,
    control: Arc<RwLock<Control>>,
    /// The provider refuses our key or URL, or the engine stops: nothing more is asked of it.
    refused: Arc<AtomicBool>,
    ordered: Receiver<Order>,
    doing: Sender<Done>,
}

impl Clerk {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Genesis;
    use crate::rails::card::{API_VERSION, CardConfig, Secret};
    use crate::types::{Digest, History, Lsn, NetworkId};
    use std::net::TcpListener;
    use std::time::Duration;

    /// A line to a provider that counts who comes to it and answers nobody; the journal knows no
    /// batch.
    fn line(provider: &TcpListener) -> Line {
        let config = CardConfig {
            base_url: format!("http://{}", provider.local_addr().unwrap()),
            secret_key: Secret::new("sk_test_1".to_owned()),
            webhook_secret: Secret::new("whsec_1".to_owned()),
            timeout: Duration::from_secs(30),
            api_version: API_VERSION.to_owned(),
        };
        let genesis = Genesis { network: NetworkId([1; 32]), lifetime_seconds_max: 1 };
        let control = Arc::new(RwLock::new(Control::new(
            genesis,
            History { lsn: Lsn(1), digest: Digest::ZERO },
        )));
        Line::start(&Arc::new(Client::new(config).unwrap()), 2, &control)
    }

    fn order(line: &mut Line, leg: u32, task: Task) {
        let bytes = include_bytes!("../../../../rails/src/card/golden/transfer.call");
        let call = Arc::new(CallBytes::from_bytes(bytes.to_vec()).unwrap());
        line.order(Order { batch: BatchId([7; 32]), leg, call, task });
    }

    fn look_up() -> Task {
        Task::LookUp { reference: String::new(), first_sent: Timestamp(1) }
    }

    fn done(line: &mut Line) -> Done {
        let done = line.done().recv().unwrap();
        line.take(&done);
        done
    }

    #[test]
    fn a_call_of_which_the_journal_does_not_say_that_it_is_sent_is_never_made() {
        let provider = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut line = line(&provider);
        for leg in 0..9 {
            order(&mut line, leg, Task::Call);
        }
        assert_eq!(line.under_way(), (9, 0));
        for _ in 0..9 {
            assert!(matches!(done(&mut line).came, Came::NotMade));
        }
        assert_eq!((line.under_way(), line.is_at(BatchId([7; 32]))), ((0, 0), false));
        provider.set_nonblocking(true).unwrap();
        assert!(provider.accept().is_err(), "nobody has come");
    }

    #[test]
    fn nothing_is_asked_of_a_provider_that_refuses_everything() {
        let provider = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut line = line(&provider);
        line.allow(false);
        order(&mut line, 1, look_up());
        assert!(matches!(done(&mut line).came, Came::NotMade));
        line.allow(true);
        order(&mut line, 1, look_up());
        assert_eq!(line.under_way(), (0, 1));
        // It comes, and gets no answer: that proves nothing.
        drop(provider.accept().unwrap());
        assert!(matches!(done(&mut line).came, Came::Found(Found::Again { .. })));
    }
}
