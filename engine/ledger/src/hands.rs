//! Who does a large piece of work: the ledger says which parts of it are independent, and whoever
//! calls it brings the threads. What comes of it is the same with any number of them.

/// Does independent parts of one work, perhaps several at once.
pub trait Hands: Sync {
    /// Does every job; gives what came of each, in the order of the jobs.
    fn map<J: Send, T: Send>(&self, jobs: Vec<J>, work: impl Fn(J) -> T + Sync) -> Vec<T>;

    /// Does two things.
    fn both<A: Send, B>(
        &self,
        first: impl FnOnce() -> A + Send,
        second: impl FnOnce() -> B,
    ) -> (A, B);
}

/// One thing after the other.
#[derive(Debug, Clone, Copy, Default)]
pub struct OneHand;

impl Hands for OneHand {
    fn map<J: Send, T: Send>(&self, jobs: Vec<J>, work: impl Fn(J) -> T + Sync) -> Vec<T> {
        jobs.into_iter().map(work).collect()
    }

    fn both<A: Send, B>(
        &self,
        first: impl FnOnce() -> A + Send,
        second: impl FnOnce() -> B,
    ) -> (A, B) {
        (first(), second())
    }
}
