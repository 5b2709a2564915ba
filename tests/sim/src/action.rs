//! What may happen next in a run: by the hands of clients and operators, by a step of the engine,
//! or by the machine under it.

/// What may happen next, and how often in an ordinary run. Each seed stresses some of it and leaves
/// some of it out.
pub const ACTIONS: [(Action, u32); 27] = [
    (Action::Frame, 140),
    (Action::Commands, 50),
    (Action::Batch, 40),
    (Action::Rail, 200),
    (Action::Question, 30),
    (Action::Read, 10),
    (Action::Rotate, 6),
    (Action::Pay, 40),
    (Action::Till, 120),
    (Action::Erase, 12),
    (Action::Archive, 12),
    (Action::AskCheckpoint, 12),
    (Action::Again, 40),
    (Action::Check, 200),
    (Action::TakeFrame, 200),
    (Action::TakeAsk, 150),
    (Action::HandOn, 120),
    (Action::Append, 120),
    (Action::Apply, 700),
    (Action::Copy, 250),
    (Action::Keep, 150),
    (Action::Seal, 150),
    (Action::Poll, 200),
    (Action::Clock, 20),
    (Action::Settle, 5),
    (Action::Kill, 5),
    (Action::Stop, 3),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A client sends a frame.
    Frame,
    /// An operator asks for commands.
    Commands,
    /// An operator asks for a batch.
    Batch,
    /// The settler goes on with a batch, or a rail says something.
    Rail,
    /// A question to a shard.
    Question,
    /// A read of the control state.
    Read,
    /// An operator asks for a new key of the engine.
    Rotate,
    /// A seller brings a payment under an identifier.
    Pay,
    /// What is done for payments goes one step on.
    Till,
    /// An operator wants a party's name and accounts erased.
    Erase,
    /// The evidence of a settled window leaves for an archive.
    Archive,
    /// Somebody wants a checkpoint.
    AskCheckpoint,
    /// What was not answered before the engine died is asked again.
    Again,
    /// A verify worker takes some chunks.
    Check,
    /// The sequencer takes a frame.
    TakeFrame,
    /// The sequencer takes an ask.
    TakeAsk,
    /// The sequencer hands on a group.
    HandOn,
    /// The journal makes one durable.
    Append,
    /// A shard applies an item.
    Apply,
    /// A shard copies some channels that leave it.
    Copy,
    /// The keeper goes on.
    Keep,
    /// The sealer goes on.
    Seal,
    /// Somebody looks whether their call was answered.
    Poll,
    /// A clock is set.
    Clock,
    /// Everything under way is finished, and everything is compared.
    Settle,
    /// The process is killed between two steps.
    Kill,
    /// The engine is stopped in good order.
    Stop,
}
