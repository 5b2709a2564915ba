//! What a log keeps, and what of it goes when it is told that it may.

use super::{Chain, EVENT, Lsn, Place, Records, filled, read, read_events, those};
use crate::Log as _;
use std::collections::BTreeMap;

pub(super) fn a_trim_takes_frames_and_nothing_else(place: &mut impl Place) {
    let (mut journal, mut chain, mut records) = (place.open(), Chain::start(), Vec::new());
    for round in 0..3 {
        records.extend(filled(&mut journal.log, &mut chain));
        let to = Lsn(chain.tail().lsn.0 - round);
        journal.log.shared().trim(to).unwrap();
        if round > 0 {
            journal.log.shared().reclaim(to).unwrap();
        }
        for _ in 0..2 {
            let found = read(&journal.log, 0);
            assert!(found.is_sorted_by(|a, b| a.0 < b.0), "in order, each once");
            let all: BTreeMap<_, _> = those(&records, |_| true).into_iter().collect();
            assert!(found.iter().all(|(lsn, bytes)| all[lsn] == *bytes), "as they were written");
            let kept = those(&records, |framed| framed.kind() == EVENT || framed.lsn > to);
            assert!(kept.iter().all(|record| found.contains(record)), "all that is needed");
            let events = those(&records, |framed| framed.kind() == EVENT);
            assert_eq!(read_events(&journal.log, u64::MAX), events);
            journal = place.again(journal);
        }
    }
}

pub(super) fn events_that_were_let_go_are_gone_but_the_first_record(place: &mut impl Place) {
    let (mut journal, mut chain, mut records) = (place.open(), Chain::start(), Vec::new());
    journal.log.let_go(Lsn(0)).unwrap();
    for round in 0..3 {
        records.extend(filled(&mut journal.log, &mut chain));
        let to = Lsn(chain.tail().lsn.0 - round);
        let shared = journal.log.shared();
        shared.trim(to).unwrap();
        (0..2).for_each(|_| shared.let_go(to).unwrap());
        drop(shared);
        for _ in 0..2 {
            let kept = those(&records, |framed| framed.lsn == Lsn(1) || framed.lsn > to);
            let events: Records = kept.iter().filter(|of| of.1[2] == EVENT).cloned().collect();
            assert_eq!(read_events(&journal.log, u64::MAX), events, "round {round}");
            assert_eq!(read(&journal.log, to.0 + 1), those(&records, |framed| framed.lsn > to));
            assert_eq!(journal.log.resync().unwrap(), chain.tail());
            journal = place.again(journal);
        }
    }
}
