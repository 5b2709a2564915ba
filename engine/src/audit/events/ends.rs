//! Up to where the engine's word goes: the signed ends of exports, and the events that statements
//! name.

use super::{Audit, Done};
use crate::audit::difference::Difference;
use crate::types::{History, Lsn, SignerKey, end_statement};

impl Audit<'_> {
    /// An event that came by, with all that its digest covers.
    pub(super) fn history_at(&self, lsn: Lsn) -> Option<History> {
        // The record that names it was the last that came by.
        let place = self.digests.binary_search_by_key(&lsn, |event| event.lsn).ok()?;
        self.digests.get(place).copied().filter(|event| event.lsn < self.last)
    }

    /// Whether the engine had this key, at any time.
    pub(in crate::audit) fn had_key(&self, key: SignerKey) -> bool {
        self.keys.all().any(|(_, held)| held == key)
    }

    /// Checks the ends that lie at this event.
    pub(super) fn end_at(&mut self, event: History) -> Done {
        for end in self.source.ends().iter().filter(|end| end.signed.last.lsn == event.lsn) {
            let (name, signed) = (&end.name, &end.signed);
            let located = |difference: Difference| difference.lsn(event.lsn);
            if signed.last.digest != event.digest {
                let what = format!("the last event of {name}");
                return Err(
                    located(Difference::new(&what, event.digest, signed.last.digest)).into()
                );
            }
            if let Err(misfit) = self.keys.check_signed(signed.key) {
                let what = format!("the key that signed the end of {name}");
                return Err(located(Difference::new(&what, "the engine's", misfit)).into());
            }
            let statement = end_statement(self.network(), signed.last, signed.at);
            let what = format!("the signature of the end of {name}");
            self.signed(signed.key, &statement, &signed.signature, &what).map_err(located)?;
            self.ends += 1;
        }
        Ok(())
    }

    /// Checks, after the last event, that every end was met, and that the history ends at its own.
    pub(super) fn all_ends_met(&self) -> Done {
        let ends = self.source.ends();
        if let Some(own) = ends.first().filter(|own| own.signed.last.lsn != self.last) {
            let what = format!("the last event of {}", own.name);
            return Err(Difference::new(&what, own.signed.last.lsn, self.last).into());
        }
        if let Some(other) = ends.iter().find(|end| end.signed.last.lsn > self.last) {
            let what = format!("the events of {}", other.name);
            let expected = format!("an end at or before record {}", self.last);
            return Err(Difference::new(&what, expected, other.signed.last.lsn).into());
        }
        if self.ends == ends.len() {
            return Ok(());
        }
        Err(Difference::new("the ends of the exports", "each at an event", "not").into())
    }
}
