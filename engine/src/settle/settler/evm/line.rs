//! The line to the chain: a thread of its own that asks the node and sends, so that a node that is
//! slow or gone keeps neither other rails nor a stop waiting.
//!
//! Owns the thread. Journals nothing and decides nothing: it looks at the chunks that it is handed,
//! signs what is to be signed, and gives everything back; what was signed it sends when it is told
//! that it is durable. One order at a time.

use crate::faults;
use crate::limits::EVM_IN_FLIGHT_MAX;
use crate::rails::evm::{
    Act, Chunk, ChunkState, Desk, Nonces, Plan, RpcFailure, SendWord, SignedTx, View,
};
use crate::settle::settler::Nudge;
use crossbeam::channel::{Receiver, Sender, bounded};
use std::sync::Arc;

/// A chunk to look at.
pub struct Task {
    /// Its number in its batch.
    pub number: u32,
    pub chunk: Arc<Chunk>,
    pub book: Vec<SignedTx>,
    /// Its state at the last look.
    pub was: ChunkState,
}

/// What the thread is to do.
enum Order {
    /// One look at everything.
    Look(Round),
    /// What is durable leaves.
    Send(Vec<Leaving>),
}

/// One look at the chunks of a batch.
pub struct Round {
    /// Compare what is deployed with what is configured first.
    pub check: bool,
    pub nonces: Nonces,
    /// Chunks under way.
    pub open: Vec<Task>,
    /// Chunks of which nothing is signed, in the order of their numbers. Looked at while there is
    /// room, up to the first for which nothing can be signed.
    pub new: Vec<Task>,
}

/// A durable transaction that is to be sent.
pub struct Leaving {
    pub tx: SignedTx,
    /// It leaves for the first time.
    pub first: bool,
}

/// What came of an order.
pub enum Done {
    /// What was seen, or why nothing was.
    Looked(Result<Seen, String>),
    /// What stood in the way of what left, if anything did.
    Sent(Result<(), String>),
}

/// What a round has seen.
pub struct Seen {
    pub view: View,
    /// By chunk: how it stands, and what is to be done.
    pub chunks: Vec<(u32, Result<Found, RpcFailure>)>,
}

/// One chunk, looked at.
pub struct Found {
    pub state: ChunkState,
    pub todo: Todo,
}

/// What is to be done for a chunk: `Act` with the transaction signed.
pub enum Todo {
    Wait,
    /// Send the transaction at this place of the book again.
    Send(usize),
    /// Journal this, then send it.
    Journal(SignedTx),
    /// Why nothing can be done now.
    Blocked(String),
    Done,
}

/// The thread, from the settler's side.
pub struct Line {
    orders: Sender<Order>,
    done: Receiver<Done>,
    busy: bool,
}

impl Line {
    /// Starts the thread. It ends after its current order once the line is dropped; nothing joins
    /// it. It nudges whenever an order is done.
    pub fn start(desk: Arc<Desk>, nudge: Nudge) -> Self {
        let (orders, ordered) = bounded(1);
        let (doing, done) = bounded(1);
        let thread = std::thread::Builder::new().name("chain".to_owned());
        let thread = thread.spawn(move || serve(&desk, &ordered, &doing, &nudge));
        thread.expect("the system can start a thread");
        Self { orders, done, busy: false }
    }

    /// Has the chunks looked at. Not while it is busy.
    pub fn look(&mut self, round: Round) {
        self.order(Order::Look(round));
    }

    /// Sends. Not while it is busy.
    pub fn send(&mut self, leaving: Vec<Leaving>) {
        self.order(Order::Send(leaving));
    }

    fn order(&mut self, order: Order) {
        assert!(!self.busy, "one order at a time");
        self.busy = true;
        // It ends with this line only: a panic over there stops the process.
        self.orders.send(order).expect("the thread outlives its line");
    }

    /// What came of the order, once.
    pub fn done(&mut self) -> Option<Done> {
        let done = self.done.try_recv().ok()?;
        self.busy = false;
        Some(done)
    }
}

fn serve(desk: &Desk, ordered: &Receiver<Order>, doing: &Sender<Done>, nudge: &Nudge) {
    for order in ordered {
        let done = match order {
            Order::Look(round) => Done::Looked(look(desk, round)),
            Order::Send(leaving) => Done::Sent(send(desk, &leaving)),
        };
        if doing.send(done).is_err() {
            return;
        }
        nudge.nudge();
    }
}

fn look(desk: &Desk, round: Round) -> Result<Seen, String> {
    let Round { check, mut nonces, open, new } = round;
    if check {
        desk.check_deployment(&nonces).map_err(|misfit| misfit.to_string())?;
    }
    let view = desk.view().map_err(|failure| failure.to_string())?;
    let mut chunks = Vec::new();
    for task in open {
        // One chunk that cannot be seen does not keep the others.
        chunks.push((task.number, look_at(desk, &view, &mut nonces, &task)));
    }
    for task in new {
        if nonces.waiting(view.used) >= EVM_IN_FLIGHT_MAX {
            break;
        }
        let found = look_at(desk, &view, &mut nonces, &task);
        // Numbers have no gaps: those behind it wait as well.
        let last = !matches!(&found, Ok(Found { todo: Todo::Journal(_), .. }));
        chunks.push((task.number, found));
        if last {
            break;
        }
    }
    Ok(Seen { view, chunks })
}

fn look_at(
    desk: &Desk,
    view: &View,
    nonces: &mut Nonces,
    task: &Task,
) -> Result<Found, RpcFailure> {
    let look = desk.look(view, &task.chunk, &task.book, nonces, &task.was)?;
    let todo = match look.act {
        Act::Wait => Todo::Wait,
        Act::Send(place) => Todo::Send(place),
        Act::Sign(plan) => Todo::Journal(sign(desk, view, nonces, task, &plan)),
        Act::Blocked(why) => Todo::Blocked(why.to_string()),
        Act::Done => Todo::Done,
    };
    Ok(Found { state: look.state, todo })
}

fn sign(desk: &Desk, view: &View, nonces: &mut Nonces, task: &Task, plan: &Plan) -> SignedTx {
    nonces.signed(plan.terms.nonce);
    desk.sign(view, &task.chunk, plan)
}

/// Sends all; says what stood in the way of the first that may not have arrived.
fn send(desk: &Desk, leaving: &[Leaving]) -> Result<(), String> {
    let mut done = Ok(());
    for Leaving { tx, first } in leaving {
        let trouble = match desk.send(tx) {
            Ok(SendWord::Taken | SendWord::Known | SendWord::NonceUsed | SendWord::Underpriced) => {
                None
            }
            Ok(SendWord::NoCoin) => {
                Some("the key's address holds too little of the chain's coin for gas".to_owned())
            }
            Ok(SendWord::Refused(words)) => Some(format!("the node takes no transaction: {words}")),
            Err(failure) => Some(failure.to_string()),
        };
        if *first {
            faults::point(|| "submit-left");
        }
        done = done.and(trouble.map_or(Ok(()), Err));
    }
    done
}
