//! Whether two control states are the same: what a start brought back, and what the events add up
//! to. For the simulator and for tests.

use crate::control::{BatchEntry, Control};
use crate::legs::Legs;
use crate::types::BatchId;

impl Control {
    /// What differs first between two states, if anything does. Which rows a checkpoint holds,
    /// and which parties changed last, is each process's own. `whole` gives legs with the pages
    /// that are away.
    #[must_use]
    pub fn difference(
        &self,
        other: &Self,
        whole: &dyn Fn(BatchId, &Legs) -> Legs,
    ) -> Option<&'static str> {
        let legs = |of: &Self| {
            let all = of.batches.iter();
            all.map(|(id, entry)| whole(*id, &entry.legs)).collect::<Vec<Legs>>()
        };
        let bare = |of: &Self| {
            let all = of.batches.values().cloned();
            all.map(|entry| BatchEntry { legs: Legs::ready(0), ..entry }).collect::<Vec<_>>()
        };
        // Whoever adds a field must say here whether it is compared.
        let Self {
            genesis,
            history,
            assets,
            parties,
            signers,
            budgets,
            changes,
            deposits,
            pledged,
            funds,
            requests,
            engine_keys,
            operator_keys,
            identities,
            endpoints,
            windows,
            batches,
            deeds,
            waiting,
            troubles,
            suspended,
            suspensions,
            needed,
            hold,
            eyes,
            rows: _,
            ended: _,
        } = self;
        let same = [
            ("the genesis record", *genesis == other.genesis),
            ("the last event", *history == other.history),
            ("assets", *assets == other.assets),
            ("parties", *parties == other.parties),
            ("signers", *signers == other.signers),
            ("budgets", *budgets == other.budgets),
            ("the directory's version", changes.version() == other.changes.version()),
            ("deposits", *deposits == other.deposits),
            ("what is pledged of deposits", *pledged == other.pledged),
            ("what is left on clearing accounts", *funds == other.funds),
            ("request ids", requests.is_same(&other.requests)),
            ("the engine's keys", *engine_keys == other.engine_keys),
            ("operators' keys", *operator_keys == other.operator_keys),
            ("identities", *identities == other.identities),
            ("webhooks", *endpoints == other.endpoints),
            ("windows", *windows == other.windows),
            ("batches", batches.keys().eq(other.batches.keys()) && bare(self) == bare(other)),
            ("legs", legs(self) == legs(other)),
            ("deeds", *deeds == other.deeds),
            ("what waits, or troubles", *waiting == other.waiting && *troubles == other.troubles),
            ("suspensions", *suspended == other.suspended && *suspensions == other.suspensions),
            ("what keeps parties from being erased", *needed == other.needed),
            ("the hold, or what was proposed", *hold == other.hold && *eyes == other.eyes),
        ];
        same.into_iter().find(|(_, same)| !same).map(|(what, _)| what)
    }
}
