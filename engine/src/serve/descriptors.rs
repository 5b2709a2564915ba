//! How many files the process may have open: raised as far as the system allows, and refused where
//! the engine could not live with it.

use super::ServeError;
use crate::limits::{OPEN_FILES_ADVISED, OPEN_FILES_LEAST};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit that holds to the highest that this user may set. Gives the one that holds
/// then; `None`: there is none.
///
/// # Errors
/// `FewFiles` when the engine cannot work with so few.
pub(super) fn raise() -> Result<Option<u64>, ServeError> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Where the system does not let itself be asked so, what there is holds.
    let _kept = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let found = getrlimit(Resource::Nofile).current;
    match found {
        Some(found) if found < OPEN_FILES_LEAST => {
            Err(ServeError::FewFiles { found, least: OPEN_FILES_LEAST })
        }
        Some(_) | None => Ok(found),
    }
}

/// Says so where it is little.
pub(super) fn tell(limit: Option<u64>) {
    if let Some(limit) = limit.filter(|limit| *limit < OPEN_FILES_ADVISED) {
        tracing::warn!(
            limit,
            advised = OPEN_FILES_ADVISED,
            "few files may be open at once, so few connections are possible: raise the limit (ulimit -Hn, \
             or LimitNOFILE= of the service)"
        );
    }
}
