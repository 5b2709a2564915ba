//! Places for calls that are dear: so many at once for the desk, so many for all others, and of
//! these half for one who comes, by however many connections.

use super::ConnectionId;
use crate::api::limited::{Limit, refused};
use crate::limits::{PLACES_SHARE, RETRY_SOON};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tonic::{Request, Status};

/// Who takes a place, among the extensions of a request that was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// Its identity, if it has one: by the record that added it. Else it is its connection.
    pub identity: Option<u64>,
    /// It is of the desk: it sees everybody's affairs, and not only its own.
    pub is_desk: bool,
}

/// Places of one kind. Cheap to clone.
#[derive(Clone)]
pub struct Places(Arc<Inner>);

struct Inner {
    what: &'static str,
    /// For the desk, and for all others: who sees its own alone never takes the desk's.
    desk: Pool,
    others: Pool,
}

struct Pool {
    most: usize,
    taken: Mutex<BTreeMap<By, usize>>,
}

/// An identity or a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum By {
    Identity(u64),
    Connection(u64),
}

/// One place, until it is dropped.
pub struct Place {
    of: Arc<Inner>,
    is_desk: bool,
    by: By,
}

impl Places {
    /// Places for `what`, as callers are told when there is none: so many for the desk, and so many
    /// for all others.
    #[must_use]
    pub fn new(what: &'static str, desk: usize, others: usize) -> Self {
        let pool = |most| Pool { most, taken: Mutex::default() };
        Self(Arc::new(Inner { what, desk: pool(desk), others: pool(others) }))
    }

    /// A place for this call.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED when all, or those of whoever calls, are taken.
    pub fn take<T>(&self, request: &Request<T>) -> Result<Place, Status> {
        let connection = request.extensions().get().copied().unwrap_or(ConnectionId(0));
        let stranger = Holder { identity: None, is_desk: false };
        self.take_as(request.extensions().get().copied().unwrap_or(stranger), connection)
    }

    /// The same for whoever holds it, on this connection.
    ///
    /// # Errors
    /// As for `take`.
    pub fn take_as(&self, holder: Holder, connection: ConnectionId) -> Result<Place, Status> {
        let by = holder.identity.map_or(By::Connection(connection.0), By::Identity);
        self.take_for(by, holder.is_desk)
    }

    fn take_for(&self, by: By, is_desk: bool) -> Result<Place, Status> {
        let pool = self.0.pool(is_desk);
        let (most, share) = (pool.most, pool.most.div_ceil(PLACES_SHARE));
        let mut taken = pool.taken();
        let own = taken.get(&by).copied().unwrap_or(0);
        if taken.values().sum::<usize>() >= most || own >= share {
            let text = format!(
                "the engine gives {most} {} at once, and {share} to one who asks; read those that you \
                 asked for, or try again later",
                self.0.what
            );
            return Err(refused(Limit::Places, text, RETRY_SOON));
        }
        taken.insert(by, own + 1);
        Ok(Place { of: self.0.clone(), is_desk, by })
    }
}

impl Inner {
    fn pool(&self, is_desk: bool) -> &Pool {
        if is_desk { &self.desk } else { &self.others }
    }
}

impl Pool {
    fn taken(&self) -> MutexGuard<'_, BTreeMap<By, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.of.pool(self.is_desk).taken();
        if let Some(own) = taken.get_mut(&self.by) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.by);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_who_comes_never_takes_all_places_and_what_is_left_is_free_again() {
        let places = Places::new("exports", 8, 4);
        let take = |id| places.take_for(By::Connection(id), true);
        let first: Vec<Place> = (0..4).map(|_| take(1).unwrap()).collect();
        assert!(take(1).is_err_and(|s| s.code() == tonic::Code::ResourceExhausted));
        let others: Vec<Place> = (2..6).map(|id| take(id).unwrap()).collect();
        assert!(take(7).is_err());
        drop(first);
        assert!(take(7).is_ok());
        drop(others);
        assert!(places.0.desk.taken().is_empty());
    }

    /// Owners of parties, who see their own alone, held all places of the desk.
    #[test]
    fn whoever_sees_its_own_alone_takes_no_place_of_the_desk() {
        let places = Places::new("lists", 8, 4);
        let own = |id| places.take_for(By::Identity(id), false);
        let held: Vec<Place> = (0..4).map(|n| own(n / 2).unwrap()).collect();
        assert!(own(0).is_err(), "half of them for one");
        assert!(own(9).is_err(), "all are taken");
        assert!(places.take_for(By::Connection(0), true).is_ok(), "the desk has its own");
        drop(held);
        assert!(places.0.others.taken().is_empty());
    }
}
