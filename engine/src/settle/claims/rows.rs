//! The rows of table `payments`, and the marks of those without an end.
//!
//! A start must find what has no end among the rows of two days. So each claim has a **mark**
//! behind all rows, under a number that rises. Marks are moved on once a second: those that are
//! needed still are put anew, and everything before them goes, as one range. What is left are the
//! marks of two seconds.

use super::{Claim, Ended};
use crate::journal::{JournalError, Table, Tables};
use crate::limits::CLAIM_PERIOD_SECONDS;
use crate::types::{Amount, Digest, Lsn, Timestamp, VOUCHER_BYTES};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A row: the claim, what came of it, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The claim.
    pub claim: Claim,
    /// `None`: the engine ended before that was written.
    pub ended: Option<Ended>,
    pub(super) period: u64,
    /// It has a mark. A claim without an end and without a mark was never durable with it, so its
    /// voucher was never fed; or nothing could be found out of it. Not written down.
    pub(super) marked: bool,
}

const OPEN: u8 = 1;
const CHARGED: u8 = 2;
const REFUSED: u8 = 3;
const ROW_BYTES: usize = 1 + VOUCHER_BYTES + 3 * 8;

impl Row {
    fn bytes(&self) -> [u8; ROW_BYTES] {
        let (state, lsn, total) = match self.ended {
            None => (OPEN, Lsn(0), Amount(0)),
            Some(Ended::Charged(lsn, total)) => (CHARGED, lsn, total),
            Some(Ended::Refused) => (REFUSED, Lsn(0), Amount(0)),
        };
        let mut out = [0; ROW_BYTES];
        out[0] = state;
        let (voucher, numbers) = out[1..].split_at_mut(VOUCHER_BYTES);
        voucher.copy_from_slice(&self.claim.voucher);
        for (place, number) in numbers.chunks_mut(8).zip([self.claim.amount.0, lsn.0, total.0]) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        out
    }

    fn read(period: u64, bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; ROW_BYTES] = bytes.try_into().ok()?;
        let (voucher, numbers) = bytes[1..].split_first_chunk::<VOUCHER_BYTES>()?;
        let ([amount, lsn, total], []) = numbers.as_chunks::<8>() else { return None };
        let [amount, lsn, total] = [amount, lsn, total].map(|it| u64::from_le_bytes(*it));
        let ended = match bytes[0] {
            OPEN => None,
            CHARGED => Some(Ended::Charged(Lsn(lsn), Amount(total))),
            REFUSED => Some(Ended::Refused),
            _ => return None,
        };
        let claim = Claim { voucher: *voucher, amount: Amount(amount) };
        Some(Self { claim, ended, period, marked: false })
    }
}

/// Stands before marks, in the place of a period. Alone it says that every row without an end has
/// one.
const MARK: [u8; 8] = [u8::MAX; 8];
/// Behind every key.
const LAST: [u8; 41] = [u8::MAX; 41];

/// An identifier, and in which period its row lies.
type Place = (Digest, u64);

/// Every row.
pub(super) struct Rows {
    tables: Arc<dyn Tables>,
    /// What has no end, by its mark, and the other way round.
    open: BTreeMap<u64, Place>,
    marks: HashMap<Digest, u64>,
    next: u64,
    /// Marks before this one were there when they were last moved on.
    past: u64,
    /// Everything before this period is gone.
    swept: u64,
}

impl Rows {
    /// The rows in a data directory, and those without an end that still count.
    pub fn open(
        tables: Arc<dyn Tables>,
        period: u64,
    ) -> Result<(Self, Vec<(Digest, Row)>), JournalError> {
        let (open, marks) = (BTreeMap::new(), HashMap::new());
        let mut this = Self { tables, open, marks, next: 0, past: 0, swept: 0 };
        let places = match this.tables.get(Table::Payments, &MARK)? {
            Some(_) => this.marked()?,
            None => this.unmarked(period)?,
        };
        this.past = this.next;
        let mut left = Vec::new();
        for (identifier, period) in places {
            let Some(row) = this.at(identifier, period)? else { continue };
            if row.ended.is_none() && !this.marks.contains_key(&identifier) {
                this.mark(identifier, period)?;
                left.push((identifier, row));
            }
        }
        this.tables.put(Table::Payments, &MARK, &[])?;
        this.sync()?;
        Ok((this, left))
    }

    /// What has a mark. The newest of an identifier comes first.
    fn marked(&mut self) -> Result<Vec<Place>, JournalError> {
        let (mut places, mut next) = (Vec::new(), 0);
        self.tables.scan(Table::Payments, &MARK, &LAST, &mut |key, place| {
            let number =
                key.split_first_chunk::<8>().map(|(_, number)| <[u8; 8]>::try_from(number));
            let Some(Ok(number)) = number else { return Ok(()) };
            next = u64::from_be_bytes(number) + 1;
            let wrong = || JournalError::Storage("the mark of a payment is not of its form".into());
            let (period, identifier) = place.split_first_chunk::<8>().ok_or_else(wrong)?;
            let identifier = Digest(identifier.try_into().map_err(|_| wrong())?);
            places.push((identifier, u64::from_be_bytes(*period)));
            Ok(())
        })?;
        self.next = next;
        places.reverse();
        Ok(places)
    }

    /// Every row that counts, as engines before marks left them.
    fn unmarked(&self, period: u64) -> Result<Vec<Place>, JournalError> {
        let (from, mut places) = (period.saturating_sub(1).to_be_bytes(), Vec::new());
        self.tables.scan(Table::Payments, &from, &MARK, &mut |key, bytes| {
            let Some((period, identifier)) = key.split_first_chunk::<8>() else { return Ok(()) };
            let (period, identifier) = (u64::from_be_bytes(*period), identifier.try_into());
            if let (Ok(identifier), Some(row)) = (identifier, Row::read(period, bytes))
                && row.ended.is_none()
            {
                places.push((Digest(identifier), period));
            }
            Ok(())
        })?;
        places.reverse();
        Ok(places)
    }

    /// Writes a claim down. A mark is there before its row.
    pub fn begin(&mut self, identifier: Digest, row: &Row) -> Result<(), JournalError> {
        self.mark(identifier, row.period)?;
        self.put(identifier, row)
    }

    /// Writes down what came of one.
    pub fn end(&mut self, identifier: Digest, row: &Row) -> Result<(), JournalError> {
        self.leave(identifier);
        self.put(identifier, row)
    }

    /// Nothing can be found out of one any more: a start need not look for it.
    pub fn leave(&mut self, identifier: Digest) {
        if let Some(mark) = self.marks.remove(&identifier) {
            self.open.remove(&mark);
        }
    }

    /// How many have no end, and a mark.
    pub fn open_count(&self) -> usize {
        self.open.len()
    }

    /// The row of an identifier, if there is one that counts.
    pub fn get(&self, identifier: Digest, period: u64) -> Result<Option<Row>, JournalError> {
        let row = match self.at(identifier, period)? {
            Some(row) => Some(row),
            None => self.at(identifier, period.saturating_sub(1))?,
        };
        Ok(row.map(|row| Row { marked: self.marks.contains_key(&identifier), ..row }))
    }

    /// Puts the older marks that are needed still anew, and forgets all that are older. Before a
    /// sync: then what ended meanwhile is durable with it.
    pub fn move_marks(&mut self) -> Result<(), JournalError> {
        let from = std::mem::replace(&mut self.past, self.next);
        if from == self.past {
            return Ok(());
        }
        let newer = self.open.split_off(&from);
        for (identifier, period) in std::mem::replace(&mut self.open, newer).into_values() {
            self.mark(identifier, period)?;
        }
        match from {
            0 => Ok(()),
            _ => self.tables.remove(Table::Payments, &mark(0), &mark(from)),
        }
    }

    /// Forgets what is older than the period before this one.
    pub fn sweep(&mut self, period: u64) -> Result<(), JournalError> {
        let keep = period.saturating_sub(1);
        if self.swept < keep {
            self.swept = keep;
            self.open.retain(|_, (_, period)| *period >= keep);
            self.marks.retain(|_, mark| self.open.contains_key(mark));
            self.tables.remove(Table::Payments, &[], &keep.to_be_bytes())?;
        }
        Ok(())
    }

    /// Makes it durable.
    pub fn sync(&self) -> Result<(), JournalError> {
        self.tables.sync(Table::Payments)
    }

    fn mark(&mut self, identifier: Digest, period: u64) -> Result<(), JournalError> {
        let number = self.next;
        self.next += 1;
        self.open.insert(number, (identifier, period));
        if let Some(before) = self.marks.insert(identifier, number) {
            self.open.remove(&before);
        }
        let place = key(period, identifier);
        self.tables.put(Table::Payments, &mark(number), &place)
    }

    fn put(&self, identifier: Digest, row: &Row) -> Result<(), JournalError> {
        self.tables.put(Table::Payments, &key(row.period, identifier), &row.bytes())
    }

    fn at(&self, identifier: Digest, period: u64) -> Result<Option<Row>, JournalError> {
        let found = self.tables.get(Table::Payments, &key(period, identifier))?;
        let wrong = || JournalError::Storage("a payment's row is not of its form".into());
        found.map(|bytes| Row::read(period, &bytes).ok_or_else(wrong)).transpose()
    }
}

/// In which one a moment lies.
pub(super) fn period(at: Timestamp) -> u64 {
    u64::try_from(at.seconds() / CLAIM_PERIOD_SECONDS).unwrap_or(0)
}

fn key(period: u64, Digest(identifier): Digest) -> [u8; 40] {
    let mut key = [0; 40];
    key[..8].copy_from_slice(&period.to_be_bytes());
    key[8..].copy_from_slice(&identifier);
    key
}

fn mark(number: u64) -> [u8; 16] {
    let mut key = [u8::MAX; 16];
    key[8..].copy_from_slice(&number.to_be_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::memory::Memory;

    const NOW: u64 = 20_000;

    fn row(amount: u64, period: u64) -> Row {
        let claim = Claim { voucher: [7; VOUCHER_BYTES], amount: Amount(amount) };
        Row { claim, ended: None, period, marked: false }
    }

    fn reopen(tables: &Arc<Memory>) -> (Rows, Vec<Digest>) {
        let (rows, left) = Rows::open(tables.clone(), NOW).unwrap();
        let mut left: Vec<_> = left.into_iter().map(|(identifier, _)| identifier).collect();
        left.sort();
        (rows, left)
    }

    fn marks(tables: &Memory) -> usize {
        let mut count = 0;
        let mut visit = |_: &[u8], _: &[u8]| {
            count += 1;
            Ok(())
        };
        tables.scan(Table::Payments, &mark(0), &LAST, &mut visit).unwrap();
        count
    }

    #[test]
    fn a_start_finds_what_has_no_end_and_few_marks_beside_it() {
        let tables = Arc::new(Memory::default());
        let (mut rows, left) = reopen(&tables);
        assert_eq!(left, []);
        let now = NOW;
        let id = |n: u32| content(n);
        for n in 0..1_000 {
            rows.begin(id(n), &row(5, now)).unwrap();
            if n % 100 != 7 {
                let ended = Some(Ended::Charged(Lsn(n.into()), Amount(5)));
                rows.end(id(n), &Row { ended, ..row(5, now) }).unwrap();
            }
            if n % 50 == 0 {
                rows.move_marks().unwrap();
            }
            rows.sync().unwrap();
        }
        assert!(marks(&tables) <= 2 * (50 + 10), "{}", marks(&tables));
        let mut open: Vec<_> = (0..10).map(|n| id(n * 100 + 7)).collect();
        open.sort();
        for _ in 0..3 {
            let (mut rows, left) = reopen(&tables);
            assert_eq!(left, open);
            rows.move_marks().unwrap();
            rows.sync().unwrap();
        }
        let (mut rows, _) = reopen(&tables);
        assert_eq!(
            rows.get(id(8), now).unwrap().unwrap().ended,
            Some(Ended::Charged(Lsn(8), Amount(5)))
        );
        rows.end(open[0], &Row { ended: Some(Ended::Refused), ..row(5, now) }).unwrap();
        // Brought again, as something else.
        rows.begin(open[0], &row(6, now)).unwrap();
        rows.end(open[1], &Row { ended: Some(Ended::Refused), ..row(5, now) }).unwrap();
        rows.sync().unwrap();
        open.remove(1);
        assert_eq!(reopen(&tables).1, open);
        // Two periods later nothing of it counts.
        rows.sweep(now + 2).unwrap();
        rows.sync().unwrap();
        assert_eq!(reopen(&tables).1, []);
    }

    #[test]
    fn what_nothing_can_be_found_out_of_is_looked_for_once() {
        let tables = Arc::new(Memory::default());
        let (mut rows, _) = reopen(&tables);
        let now = NOW;
        rows.begin(content(1), &row(5, now)).unwrap();
        rows.begin(content(2), &row(5, now)).unwrap();
        rows.sync().unwrap();
        let (mut rows, left) = reopen(&tables);
        assert_eq!((left.len(), rows.open_count()), (2, 2));
        rows.leave(content(1));
        assert_eq!(rows.open_count(), 1);
        // Others come and go, and marks move on.
        for n in 3..6 {
            rows.begin(content(n), &row(5, now)).unwrap();
            rows.move_marks().unwrap();
            let ended = Some(Ended::Charged(Lsn(9), Amount(5)));
            rows.end(content(n), &Row { ended, ..row(5, now) }).unwrap();
        }
        rows.sync().unwrap();
        assert_eq!(reopen(&tables).1, [content(2)]);
        // It stays what it was: of no known end.
        assert_eq!(rows.get(content(1), now).unwrap(), Some(row(5, now)));
    }

    #[test]
    fn rows_of_an_engine_that_had_no_marks_are_looked_through_once() {
        let tables = Arc::new(Memory::default());
        let now = NOW;
        for (n, ended) in [(1, None), (2, Some(Ended::Refused)), (3, None)] {
            let bytes = Row { ended, ..row(5, now) }.bytes();
            tables.put(Table::Payments, &key(now, content(n)), &bytes).unwrap();
        }
        tables.sync(Table::Payments).unwrap();
        let mut open = vec![content(1), content(3)];
        open.sort();
        for _ in 0..2 {
            assert_eq!(reopen(&tables).1, open);
        }
        // From here on it goes by marks.
        tables.put(Table::Payments, &key(now, content(4)), &row(5, now).bytes()).unwrap();
        tables.sync(Table::Payments).unwrap();
        assert_eq!(reopen(&tables).1, open);
    }

    fn content(n: u32) -> Digest {
        crate::types::content_digest("test", &n.to_le_bytes())
    }
}
