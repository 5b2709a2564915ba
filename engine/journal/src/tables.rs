//! The tables: what is kept beside the log, by ordered keys. Checkpoints, sealed windows and
//! batches lie in them; of frames the log is needed only from the last checkpoint on.
//!
//! Never looks into a value. Pages are neither durable nor read back when they were put, but when
//! their table was synced; what is committed is durable at once, and may speak of pages that were
//! synced before.

use super::JournalError;

/// A table. Names are for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Segments of the shards' state, and changes of the control state's rows.
    Checkpoints,
    /// Rows of the control state.
    Control,
    /// What was owed in sealed windows, with its evidence.
    Windows,
    /// What batches carry, and the accounts that they were computed from.
    Batches,
    /// The exact bytes of calls that were or will be made for legs.
    Calls,
    /// Legs by what their rail calls them.
    Legs,
    /// Each party's own key, under the root key.
    PartyKeys,
    /// What was brought under which payment identifier, and what came of it.
    Payments,
    /// Small entries that are durable at once.
    Meta,
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 9] = [
        Self::Checkpoints,
        Self::Control,
        Self::Windows,
        Self::Batches,
        Self::Calls,
        Self::Legs,
        Self::PartyKeys,
        Self::Payments,
        Self::Meta,
    ];

    /// Its name in the directory.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Checkpoints => "checkpoints",
            Self::Control => "control",
            Self::Windows => "windows",
            Self::Batches => "batches",
            Self::Calls => "calls",
            Self::Legs => "legs",
            Self::PartyKeys => "party_keys",
            Self::Payments => "payments",
            Self::Meta => "meta",
        }
    }

    /// Whether a page follows from no record: whoever has all records and not the page cannot make
    /// it again, and an engine that goes on with the ledger needs it.
    #[must_use]
    pub fn is_underived(self, key: &[u8]) -> bool {
        match self {
            Self::Calls | Self::PartyKeys | Self::Payments => true,
            Self::Meta => META_OF_LEDGER.iter().any(|begin| key.starts_with(begin)),
            Self::Checkpoints | Self::Control | Self::Windows | Self::Batches | Self::Legs => false,
        }
    }
}

/// How those entries of `Meta` begin that no record leads to, and that are true of a ledger and not
/// of a directory: which root key its names are sealed under, and how far endpoints were told.
pub const META_OF_LEDGER: [&[u8]; 2] = [b"root", b"webhook "];

/// Takes a key and its value.
pub type VisitPage<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), JournalError> + 'a;

/// Ordered tables beside the log. Shared between threads: whoever writes a key is the only one that
/// does.
///
/// `conformance` holds every implementation to what is said here.
pub trait Tables: Send + Sync {
    /// Puts a page, in the place of one that had its key. Durable, and sure to be read back, only
    /// after `sync`.
    ///
    /// # Errors
    /// `JournalError` of the storage below.
    fn put(&self, table: Table, key: &[u8], page: &[u8]) -> Result<(), JournalError>;

    /// Makes durable what was put into a table.
    ///
    /// # Errors
    /// `JournalError` of the storage below.
    fn sync(&self, table: Table) -> Result<(), JournalError>;

    /// Puts a small entry into `Table::Meta`, durably.
    ///
    /// # Errors
    /// `JournalError` of the storage below.
    fn commit(&self, key: &[u8], entry: &[u8]) -> Result<(), JournalError>;

    /// One page, if it is there.
    ///
    /// # Errors
    /// `JournalError` of the storage below.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, JournalError> {
        let (mut found, mut end) = (None, key.to_vec());
        end.push(0);
        self.scan(table, key, &end, &mut |_, page| {
            found = Some(page.to_vec());
            Ok(())
        })?;
        Ok(found)
    }

    /// Visits the pages with keys from `from` up to and without `to`, in order.
    ///
    /// # Errors
    /// `JournalError` of the visitor or of the storage.
    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        visit: &mut VisitPage<'_>,
    ) -> Result<(), JournalError>;

    /// Forgets the pages with keys from `from` up to and without `to`, which is itself no key;
    /// those that were not synced too. Sure to last only after `sync`.
    ///
    /// # Errors
    /// `JournalError` of the storage below.
    fn remove(&self, table: Table, from: &[u8], to: &[u8]) -> Result<(), JournalError>;

    /// Gives the disk back what was removed of the pages with keys from `from` up to and without
    /// `to`: what lies between is written anew. Changes nothing that can be read, and takes its
    /// time; where there is no disk there is nothing to do.
    ///
    /// # Errors
    /// `JournalError` of the storage below.
    fn reclaim(&self, _table: Table, _from: &[u8], _to: &[u8]) -> Result<(), JournalError> {
        Ok(())
    }

    /// Forgets one page so that its bytes are in no file any more, logs and tables alike. Durable
    /// when it returns. It takes its time: what lies beside the page is written anew.
    ///
    /// # Errors
    /// `JournalError` of the storage below.
    fn destroy(&self, table: Table, key: &[u8]) -> Result<(), JournalError>;

    /// Free bytes on the disk that they lie on, with the log where it is embedded; `None` where
    /// that means nothing, or cannot be told.
    fn free_bytes(&self) -> Option<u64>;
}
