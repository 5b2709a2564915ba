//! Threads for one large piece of work beside the pipeline. They give way to those who pay as the
//! thread does that starts them.

use crate::ledger::Hands;
use crate::limits::{SEAL_NICENESS, SEAL_THREADS_MAX};
use rustix::process::setpriority_process;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::{Mutex, PoisonError};

/// As many threads as there are cores, up to a bound.
pub struct Threads(usize);

impl Threads {
    /// For the thread that calls this, which gives way to all others from here on.
    #[must_use]
    pub fn giving_way() -> Self {
        // Where it cannot, who pays waits a little longer.
        let _ = setpriority_process(None, SEAL_NICENESS);
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self(cores.min(SEAL_THREADS_MAX))
    }
}

impl Hands for Threads {
    fn map<J: Send, T: Send>(&self, jobs: Vec<J>, work: impl Fn(J) -> T + Sync) -> Vec<T> {
        let threads = self.0.min(jobs.len());
        if threads < 2 {
            return jobs.into_iter().map(work).collect();
        }
        let mut done: Vec<Option<T>> = jobs.iter().map(|_| None).collect();
        // Each job with the place of what comes of it.
        let jobs = Mutex::new(jobs.into_iter().zip(&mut done));
        let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).next();
        let busy = || {
            while let Some((job, place)) = next() {
                *place = Some(work(job));
            }
        };
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(busy)).collect();
            busy();
            others.into_iter().for_each(|other| other.join().unwrap_or_else(|e| resume_unwind(e)));
        });
        drop(jobs);
        done.into_iter().map(|of| of.expect("every job was done")).collect()
    }

    fn both<A: Send, B>(
        &self,
        first: impl FnOnce() -> A + Send,
        second: impl FnOnce() -> B,
    ) -> (A, B) {
        std::thread::scope(|scope| {
            let first = scope.spawn(first);
            let second = second();
            (first.join().unwrap_or_else(|panic| resume_unwind(panic)), second)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn what_comes_of_jobs_is_in_their_order_with_any_number_of_threads() {
        for threads in [1, 2, 7] {
            let jobs: Vec<u64> = (0..1_000).collect();
            let squares: Vec<u64> = jobs.iter().map(|n| n * n).collect();
            assert_eq!(Threads(threads).map(jobs, |n| n * n), squares);
            assert_eq!(Threads(threads).map(Vec::<u64>::new(), |n| n), Vec::<u64>::new());
            assert_eq!(Threads(threads).both(|| 1, || 2), (1, 2));
        }
    }

    /// A wrong sum stops the engine, whichever thread finds it.
    #[test]
    fn a_panic_on_any_thread_is_one_of_the_caller() {
        let stops = |work: &dyn Fn()| catch_unwind(AssertUnwindSafe(work)).is_err();
        let fails = |n: u64| assert_ne!(n, 500, "the wrong one");
        assert!(stops(&|| drop(Threads(3).map((0..1_000).collect(), fails))));
        assert!(stops(&|| _ = Threads(3).both(|| fails(500), || ())));
        assert!(stops(&|| _ = Threads(3).both(|| (), || fails(500))));
        assert!(!stops(&|| drop(Threads(3).map((0..500).collect(), fails))));
    }
}
