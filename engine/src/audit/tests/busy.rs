//! A deployment in which every kind of event of settlement came by, and a window was sealed after
//! them.

use super::made::{Change, EUR, Made, USD, party, voucher};
use crate::ledger::event::{
    CreditLimitSet, DepositRecorded, DisputeEnded, ExposureReleased, LegBooking, LegProposed,
    LegsBooked, LegsMoved, TroublesAcked, TroublesRaised, WindowDisputed,
};
use crate::ledger::{Event, LegMove, LegState, Mover, NewTrouble, Rail, TroubleKind, Way};
use crate::types::{BatchId, Digest, Total, WindowNumber};

impl Made {
    pub(super) fn busy() -> Self {
        Self::deployment(Change::default()).made_busy()
    }

    pub(super) fn made_busy(self) -> Self {
        let mut made = self;
        made.parties();
        made.disputes();
        let legs = made.batches[0].2.len();
        let all: Vec<u32> = (0..u32::try_from(legs).unwrap()).collect();
        made.moved(0, &all, LegState::Confirmed, Mover::Rail, "");
        made.held(made.batches[0].0);
        made.two_operators();
        made.window(vec![voucher(1, 2, EUR, 0, 1_234_570, 1_234_600)], Vec::new());
        made.troubles();
        made
    }

    fn parties(&mut self) {
        let (party, asset, limit) = (party(1), EUR, Total(5_000_000));
        let set = Event::from(CreditLimitSet { party, asset, limit });
        self.asked("ann", "limit", set);
        let (amount, reference) = (Total(7), "a transfer of Monday".to_owned());
        let deposit = DepositRecorded { party, asset, amount, reference };
        self.asked("ann", "deposit", Event::from(deposit));
    }

    fn disputes(&mut self) {
        let (window, reason) = (WindowNumber(2), "a sum looks wrong".to_owned());
        let disputed = WindowDisputed { window, reason };
        self.asked("ann", "dispute", Event::from(disputed));
        let ended = DisputeEnded { window, reason: "it is right".to_owned() };
        self.asked("ann", "end of it", Event::from(ended));
    }

    fn moved(&mut self, batch: usize, legs: &[u32], to: LegState, mover: Mover, operator: &str) {
        let (id, asset, payments) = self.batches[batch].clone();
        let one = |&leg: &u32| {
            let payment = payments[leg as usize];
            let (payer, payee, amount) = (payment.from, payment.to, payment.amount);
            let reference = "REF-1 of the bank".to_owned();
            LegMove { leg, to, payer, payee, amount, reference, reason: "booked".to_owned() }
        };
        let (moves, evidence) = (legs.iter().map(one).collect(), Digest([6; 32]));
        let (batch, signature) = (id, [0; 64]);
        let moved = Event::from(LegsMoved { batch, asset, mover, evidence, moves, signature });
        if operator.is_empty() {
            self.event(moved);
        } else {
            self.asked(operator, &format!("word of {operator}"), moved);
        }
    }

    /// A booking of what has ended, and the end of a batch's releases.
    fn held(&mut self, batch: BatchId) {
        let booking = LegBooking { leg: 0, way: Way::Came, reference: "R".to_owned() };
        let (evidence, bookings) = (Digest([5; 32]), vec![booking]);
        self.event(Event::from(LegsBooked { batch, evidence, bookings }));
        let (asset, releases) = (EUR, Vec::new());
        self.event(Event::from(ExposureReleased { batch, asset, releases }));
    }

    /// Two operators say what became of a leg that is not known.
    fn two_operators(&mut self) {
        let (batch, asset) = (self.batches[1].0, self.batches[1].1);
        assert_eq!(asset, USD);
        self.moved(1, &[0], LegState::Unknown, Mover::Engine, "");
        let proposed = LegProposed {
            batch,
            leg: 0,
            to: LegState::Confirmed,
            reference: "REF-1 of the bank".to_owned(),
            evidence: "a letter of the bank".to_owned(),
            signature: [0; 64],
        };
        self.asked("ann", "first word", Event::from(proposed));
        self.moved(1, &[0], LegState::Confirmed, Mover::Operator, "bob");
    }

    fn troubles(&mut self) {
        let trouble = NewTrouble {
            kind: TroubleKind::Surplus,
            rail: Rail::Iso20022,
            batch: None,
            leg: None,
            party: Some(party(2)),
            source: "a file".to_owned(),
            text: "too much".to_owned(),
        };
        self.event(Event::from(TroublesRaised { troubles: vec![trouble] }));
        let acked = TroublesAcked { troubles: vec![1], note: "sent back".to_owned() };
        self.asked("ann", "acked", Event::from(acked));
    }
}
