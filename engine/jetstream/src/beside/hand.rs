//! What was put and not synced.

use super::super::limits::BESIDE_BATCH;
use super::change::Change;
use super::wire::Sending;
use std::collections::BTreeMap;
use tallystick_journal::Table;

/// Bytes of the longest key, far above any there is.
pub(super) const KEY_MAX: usize = 256;

/// The last page of each key; none where it is removed.
pub(super) type Pages = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// What is in the hand, of all tables that go through the servers.
#[derive(Default)]
pub(super) struct Hand {
    pages: BTreeMap<Table, Pages>,
    changes: Vec<Change>,
}

impl Hand {
    pub fn put(&mut self, table: Table, key: &[u8], page: &[u8]) {
        let (key, page) = (key.to_vec(), page.to_vec());
        if table == Table::Payments {
            self.changes.push(Change::Put { key, page });
        } else {
            self.pages.entry(table).or_default().insert(key, Some(page));
        }
    }

    /// Removes payments.
    pub fn remove(&mut self, from: &[u8], to: &[u8]) {
        self.changes.push(Change::Remove { from: from.to_vec(), to: to.to_vec() });
    }

    /// Removes the pages with these keys, and those that are in the hand.
    pub fn gone(&mut self, table: Table, from: &[u8], to: &[u8], here: Vec<Vec<u8>>) {
        let pages = self.pages.entry(table).or_default();
        let within = |key: &[u8]| from <= key && key < to;
        pages.iter_mut().filter(|(key, _)| within(key)).for_each(|(_, page)| *page = None);
        pages.extend(here.into_iter().map(|key| (key, None)));
    }

    pub fn forget(&mut self, table: Table, key: &[u8]) {
        self.pages.entry(table).or_default().remove(key);
    }

    /// Takes the pages of a table out of it.
    pub fn pages(&mut self, table: Table) -> Pages {
        self.pages.remove(&table).unwrap_or_default()
    }

    /// Takes the changes out of it.
    pub fn changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }
}

/// The first key behind another one.
pub(super) fn behind(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

/// Cuts messages into lots that are appended together.
pub(super) fn cut(messages: Vec<Sending>, most: usize) -> Vec<Vec<Sending>> {
    let mut lots: Vec<Vec<Sending>> = Vec::new();
    let mut bytes = 0;
    for message in messages {
        let size = message.1.len();
        match lots.last_mut() {
            Some(lot) if lot.len() < BESIDE_BATCH && bytes + size <= most => {
                bytes += size;
                lot.push(message);
            }
            _ => {
                bytes = size;
                lots.push(vec![message]);
            }
        }
    }
    lots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lots_are_bounded_and_lose_nothing() {
        let message = |n: usize| (n.to_string(), vec![7; n % 900].into());
        let messages: Vec<Sending> = (0..1_700).map(message).collect();
        let lots = cut(messages.clone(), 10_000);
        assert_eq!(lots.concat(), messages);
        let bytes = |lot: &Vec<Sending>| lot.iter().map(|of| of.1.len()).sum::<usize>();
        assert!(lots.iter().all(|lot| lot.len() <= BESIDE_BATCH && bytes(lot) <= 10_000));
        assert!(cut(Vec::new(), 9).is_empty());
        assert_eq!(cut(vec![message(899)], 9).len(), 1, "one that is larger stands alone");
    }

    #[test]
    fn what_is_removed_is_not_in_the_hand_and_what_is_put_behind_it_is() {
        let mut hand = Hand::default();
        hand.put(Table::Calls, &[1], b"a");
        hand.put(Table::Calls, &[3], b"b");
        hand.gone(Table::Calls, &[1], &[3], vec![vec![2]]);
        hand.put(Table::Calls, &[2], b"c");
        hand.put(Table::PartyKeys, &[2], b"d");
        let pages: Pages =
            [(vec![1], None), (vec![2], Some(b"c".to_vec())), (vec![3], Some(b"b".to_vec()))]
                .into();
        assert_eq!(hand.pages(Table::Calls), pages);
        assert!(hand.pages(Table::Calls).is_empty());
        hand.forget(Table::PartyKeys, &[2]);
        assert!(hand.pages(Table::PartyKeys).is_empty());
    }
}
