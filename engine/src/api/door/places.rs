//! Places for calls that are dear: so many at once, and of these half for one connection.

use super::ConnectionId;
use crate::limits::PLACES_SHARE;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tonic::{Request, Status};

/// Places of one kind. Cheap to clone.
#[derive(Clone)]
pub struct Places(Arc<Inner>);

struct Inner {
    what: &'static str,
    most: usize,
    taken: Mutex<BTreeMap<u64, usize>>,
}

/// One place, until it is dropped.
pub struct Place {
    of: Arc<Inner>,
    connection: u64,
}

impl Places {
    /// `most` places for `what`, as callers are told when there is none.
    #[must_use]
    pub fn new(what: &'static str, most: usize) -> Self {
        Self(Arc::new(Inner { what, most, taken: Mutex::default() }))
    }

    /// A place for this call.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED when all, or those of the call's connection, are taken.
    pub fn take<T>(&self, request: &Request<T>) -> Result<Place, Status> {
        let connection = request.extensions().get::<ConnectionId>().map_or(0, |id| id.0);
        self.take_for(connection)
    }

    fn take_for(&self, connection: u64) -> Result<Place, Status> {
        let Inner { what, most, .. } = &*self.0;
        let mut taken = self.0.taken();
        let own = taken.get(&connection).copied().unwrap_or(0);
        if taken.values().sum::<usize>() >= *most || own >= most / PLACES_SHARE {
            return Err(Status::resource_exhausted(format!(
                "the engine gives {most} {what} at once, and one connection {}; read those that you \
                 asked for, or try again later",
                most / PLACES_SHARE
            )));
        }
        taken.insert(connection, own + 1);
        Ok(Place { of: self.0.clone(), connection })
    }
}

impl Inner {
    fn taken(&self) -> MutexGuard<'_, BTreeMap<u64, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.of.taken();
        if let Some(own) = taken.get_mut(&self.connection) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.connection);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_connection_never_takes_all_places_and_what_is_left_is_free_again() {
        let places = Places::new("exports", 8);
        let first: Vec<Place> = (0..4).map(|_| places.take_for(1).unwrap()).collect();
        assert!(places.take_for(1).is_err_and(|s| s.code() == tonic::Code::ResourceExhausted));
        let others: Vec<Place> = (2..6).map(|id| places.take_for(id).unwrap()).collect();
        assert!(places.take_for(7).is_err());
        drop(first);
        assert!(places.take_for(7).is_ok());
        drop(others);
        assert!(places.0.taken().is_empty());
    }
}
