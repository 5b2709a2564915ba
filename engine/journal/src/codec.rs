//! What a record's body holds: a frame's vouchers as they came, or one event and who made it
//! happen, in rkyv's archived form (little endian, unaligned, 32-bit offsets). Kinds are for ever:
//! a changed struct is a new kind.

use super::JournalError;
use super::record::{CHARGES, Chain, FRAME, Framed, Record};
use rkyv::rancor::Error as RkyvError;
use rkyv::with::Inline;
use tallystick_ledger::event::{
    AccessEvent, BatchEvent, BudgetEvent, Genesis, HoldEvent, KeyEvent, LegEvent, RegistryEvent,
    TroubleEvent, WindowEvent,
};
use tallystick_ledger::types::{Lsn, Timestamp, VOUCHER_BYTES};
use tallystick_ledger::{Envelope, Event, Fact};

/// What a record holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry<'a> {
    /// The first record.
    Genesis(Genesis),
    /// Vouchers with valid signatures, packed, in the order in which they are credited.
    Frame(&'a [[u8; VOUCHER_BYTES]]),
    /// The same, and by how much each is to raise its channel's total: by anything else it is not
    /// credited.
    Charges(&'a [[u8; VOUCHER_BYTES]], &'a [[u8; RISE_BYTES]]),
    /// Everything else.
    Fact(Box<Fact>),
}

const GENESIS: u8 = 1;

/// Bytes of a rise: little endian.
pub const RISE_BYTES: usize = 8;

/// How a fact lies in a record: the envelope, then the fields of its kind.
#[derive(rkyv::Archive, rkyv::Serialize)]
struct Written<'a, E> {
    #[rkyv(with = Inline)]
    envelope: &'a Envelope,
    #[rkyv(with = Inline)]
    event: &'a E,
}

/// The same bytes, read back.
#[derive(rkyv::Archive, rkyv::Deserialize)]
struct Read<E> {
    envelope: Envelope,
    event: E,
}

macro_rules! events {
    ($($group:ident::$inner:ident { $($number:literal $variant:ident,)* })*) => {
        fn event_kind(event: &Event) -> u8 {
            match event {
                $($(Event::$group($inner::$variant(_)) => $number,)*)*
            }
        }

        fn fact_bytes(Fact { envelope, event }: &Fact) -> rkyv::util::AlignedVec {
            match event {
                $($(Event::$group($inner::$variant(event)) => {
                    rkyv::to_bytes::<RkyvError>(&Written { envelope, event })
                })*)*
            }
            .expect("plain data of bounded size can be archived")
        }

        fn fact_of(kind: u8, body: &[u8]) -> Option<Result<Fact, RkyvError>> {
            match kind {
                $($($number => {
                    let read = rkyv::from_bytes::<Read<_>, RkyvError>(body);
                    Some(read.map(|Read { envelope, event }| {
                        Fact { envelope, event: $inner::$variant(event).into() }
                    }))
                })*)*
                _ => None,
            }
        }
    };
}

events! {
    Registry::RegistryEvent {
        16 AssetCreated,
        18 SignerAdded,
        19 SignerRevoked,
        20 LimitSet,
        21 Deposited,
        23 PartyUpserted,
        24 PartyErased,
    }
    Key::KeyEvent {
        22 EngineSet,
        25 OperatorSet,
        26 OperatorRemoved,
    }
    Budget::BudgetEvent {
        80 Set,
        81 Warned,
    }
    Access::AccessEvent {
        90 Added,
        91 Revoked,
        92 Rotated,
    }
    Window::WindowEvent {
        32 Cut,
        34 Sealed,
        35 Disputed,
        36 DisputeEnded,
        100 Archived,
    }
    Batch::BatchEvent {
        54 Aborted,
        61 Computed,
        62 Approved,
    }
    Leg::LegEvent {
        58 Released,
        59 Submitted,
        60 Booked,
        63 Moved,
        67 Proposed,
    }
    Trouble::TroubleEvent {
        65 Acked,
        66 Raised,
    }
    Hold::HoldEvent {
        96 Begun,
        97 Released,
    }
}

impl Chain {
    /// Frames the genesis record.
    #[must_use]
    pub fn frame_genesis(&mut self, epoch: u32, at: Timestamp, genesis: &Genesis) -> Framed {
        let body = rkyv::to_bytes::<RkyvError>(genesis).expect("plain data can be archived");
        self.frame(epoch, at, GENESIS, 1, &[&body])
    }

    /// Frames a fact's record.
    #[must_use]
    pub fn frame_fact(&mut self, epoch: u32, at: Timestamp, fact: &Fact) -> Framed {
        self.frame(epoch, at, event_kind(&fact.event), 1, &[&fact_bytes(fact)])
    }

    /// Frames the record of `count` packed vouchers, given in parts.
    #[must_use]
    pub fn frame_vouchers(&mut self, epoch: u32, at: Timestamp, parts: &[&[u8]]) -> Framed {
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        assert!(bytes > 0 && bytes.is_multiple_of(VOUCHER_BYTES), "whole vouchers");
        let count = u32::try_from(bytes / VOUCHER_BYTES).expect("a frame is bounded");
        self.frame(epoch, at, FRAME, count, parts)
    }

    /// Frames the record of packed vouchers, given in parts, each with the rise that was asked for.
    #[must_use]
    pub fn frame_charges(
        &mut self,
        epoch: u32,
        at: Timestamp,
        parts: &[&[u8]],
        rises: &[u8],
    ) -> Framed {
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        assert!(bytes > 0 && bytes.is_multiple_of(VOUCHER_BYTES), "whole vouchers");
        let count = bytes / VOUCHER_BYTES;
        assert_eq!(rises.len(), count * RISE_BYTES, "one rise a voucher");
        let count = u32::try_from(count).expect("a frame is bounded");
        let mut all = parts.to_vec();
        all.push(rises);
        self.frame(epoch, at, CHARGES, count, &all)
    }
}

impl<'a> Record<'a> {
    /// Reads the body.
    ///
    /// # Errors
    /// `Damaged` when the body is not what its kind says. Since digests were checked before, only
    /// another version of the engine can have written such a record.
    pub fn entry(&self) -> Result<Entry<'a>, JournalError> {
        let damaged = |lsn: Lsn, why: String| JournalError::Damaged { lsn, why };
        match self.kind {
            GENESIS => rkyv::from_bytes::<Genesis, RkyvError>(self.body)
                .map(Entry::Genesis)
                .map_err(|error| damaged(self.lsn, error.to_string())),
            FRAME => {
                let (vouchers, rest) = self.body.as_chunks::<VOUCHER_BYTES>();
                if !rest.is_empty() || vouchers.len() != self.count as usize {
                    return Err(damaged(self.lsn, "it does not hold whole vouchers".into()));
                }
                Ok(Entry::Frame(vouchers))
            }
            CHARGES => {
                let count = self.count as usize;
                let parts = self.body.split_at_checked(count * VOUCHER_BYTES);
                match parts.map(|(vouchers, rises)| (vouchers.as_chunks(), rises.as_chunks())) {
                    Some(((vouchers, _), (rises, []))) if rises.len() == count => {
                        Ok(Entry::Charges(vouchers, rises))
                    }
                    Some(_) | None => {
                        let why = "it does not hold whole vouchers with their rises";
                        Err(damaged(self.lsn, why.into()))
                    }
                }
            }
            kind => match fact_of(kind, self.body) {
                Some(Ok(fact)) => Ok(Entry::Fact(Box::new(fact))),
                Some(Err(error)) => Err(damaged(self.lsn, error.to_string())),
                None => Err(damaged(self.lsn, format!("kind {kind} is unknown to this engine"))),
            },
        }
    }
}

impl Record<'_> {
    /// Whether the body is, byte for byte, how this fact is written. Reading alone lets some bytes
    /// be anything: those behind a short text, and those of what is not there.
    #[must_use]
    pub fn is_written_as(&self, fact: &Fact) -> bool {
        event_kind(&fact.event) == self.kind && fact_bytes(fact).as_slice() == self.body
    }

    /// The same of the first record.
    #[must_use]
    pub fn is_genesis_as(&self, genesis: &Genesis) -> bool {
        let bytes = rkyv::to_bytes::<RkyvError>(genesis).expect("plain data can be archived");
        self.kind == GENESIS && bytes.as_slice() == self.body
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tallystick_ledger::event::{
        ArchiveId, BatchApproved, BudgetsSet, BudgetsWarned, CreditLimitSet, HoldReleased,
        IdentityAdded, IdentityRevoked, IdentityRotated, LedgerRestored, LegBooking, LegProposed,
        LegsBooked, LegsMoved, OperatorKeyRemoved, OperatorKeySet, PartyErased, PartyUpserted,
        TroublesRaised, WindowArchived,
    };
    use tallystick_ledger::types::{
        Amount, AssetNumber, BatchId, Digest, PartyId, SignerKey, Total, WindowNumber,
    };
    use tallystick_ledger::{
        Budget, BudgetKey, BudgetUse, Caller, Credential, LegMove, LegState, Mover, NewTrouble,
        Period, Rail, Request, Role, Scope, SealedOnRail, SealedText, TroubleKind, Way,
    };

    fn by_ann(event: Event) -> Fact {
        let request = Request { id: "req-1".into(), content: Digest([7; 32]) };
        Fact { envelope: Caller::grpc("ann".into()).asks(request), event }
    }

    #[test]
    fn entries_are_read_back() {
        let sealed = |length: usize| SealedText::new((0..=255).cycle().take(length).collect());
        let events = [
            Event::from(PartyUpserted {
                party: PartyId([1; 32]),
                name: sealed(47),
                suspended: true,
                accounts: vec![SealedOnRail { rail: "iso20022".into(), fields: sealed(60) }],
            }),
            Event::from(PartyErased {
                party: PartyId([1; 32]),
                deposits: "sent back on 3 March".into(),
            }),
            Event::from(CreditLimitSet {
                party: PartyId([1; 32]),
                asset: AssetNumber(9),
                limit: Total(1 << 100),
            }),
        ];
        let (mut writer, mut reader) = (Chain::start(), Chain::start());
        for fact in events.map(by_ann) {
            let framed = writer.frame_fact(1, Timestamp(5), &fact);
            let record = reader.follow(framed.lsn, &framed.bytes).unwrap();
            assert!(record.is_written_as(&fact));
            assert_eq!(record.entry().unwrap(), Entry::Fact(Box::new(fact)));
        }
        let vouchers = [[3u8; VOUCHER_BYTES], [4u8; VOUCHER_BYTES]];
        let framed = writer.frame_vouchers(1, Timestamp(6), &[&vouchers[0], &vouchers[1]]);
        let record = reader.follow(framed.lsn, &framed.bytes).unwrap();
        assert_eq!(record.entry().unwrap(), Entry::Frame(&vouchers));
        let rises = [5u64.to_le_bytes(), u64::MAX.to_le_bytes()];
        let parts: [&[u8]; 2] = [&vouchers[0], &vouchers[1]];
        let framed = writer.frame_charges(1, Timestamp(6), &parts, rises.as_flattened());
        let record = reader.follow(framed.lsn, &framed.bytes).unwrap();
        assert_eq!((record.kind, record.count, record.body.len()), (3, 2, 2 * 168));
        assert_eq!(record.entry().unwrap(), Entry::Charges(&vouchers, &rises));
        // A byte too many or too few is no such record.
        for body in [&record.body[1..], &record.body[..335], &[record.body, &[0]].concat()] {
            assert!(Record { body, ..record }.entry().is_err());
        }
    }

    /// Persisted bytes are for ever: this is what version 1 wrote.
    #[test]
    fn golden_bytes_of_an_event() {
        let event = Event::from(CreditLimitSet {
            party: PartyId([0xaa; 32]),
            asset: AssetNumber(0x0102_0304),
            limit: Total(0x1122),
        });
        let request = Request { id: "r".into(), content: Digest([0xcc; 32]) };
        let envelope = Caller::grpc("ann".into()).asks(request);
        let hex = data_encoding::HEXLOWER.encode(&fact_bytes(&Fact { envelope, event }));
        // The operator `ann`, by gRPC, with a request.
        let (caller, id) = ("616e6effffffffff0102", "0172ffffffffffffff");
        let limit = format!("2211{}", "00".repeat(14));
        let golden = [caller, id, &"cc".repeat(32), &"aa".repeat(32), "04030201", &limit].concat();
        assert_eq!(hex, golden);
    }

    #[test]
    fn golden_bytes_of_a_party_and_of_its_end() {
        let (party, hex) = (PartyId([0xaa; 32]), |event: Event| {
            let fact = Fact { envelope: Envelope::own(), event };
            (event_kind(&fact.event), data_encoding::HEXLOWER.encode(&fact_bytes(&fact)))
        });
        let own = format!("{}0000{}", "ff".repeat(8), "00".repeat(41));
        let sealed = |byte: u8, count: usize| SealedText::new(vec![byte; count]);
        let (name, fields) = (sealed(0xee, 3), sealed(0xdd, 2));
        let accounts = vec![SealedOnRail { rail: "evm".into(), fields }];
        let upserted = PartyUpserted { party, name, suspended: true, accounts };
        let golden = [
            // Sealed bytes stand before what holds their places and numbers.
            "eeeeee",
            "dddd",
            "65766dffffffffff",
            "f6ffffff02000000",
            &own,
            &"aa".repeat(32),
            "98ffffff03000000",
            "01",
            "94ffffff01000000",
        ];
        assert_eq!(hex(Event::from(upserted)), (23, golden.concat()));
        let erased = PartyErased { party, deposits: "R".into() };
        let golden = [&own, &"aa".repeat(32), "52ffffffffffffff"];
        assert_eq!(hex(Event::from(erased)), (24, golden.concat()));
    }

    #[test]
    fn golden_bytes_of_what_operators_sign() {
        let (batch, hex) = (BatchId([0xbb; 32]), |event: Event| {
            let fact = Fact { envelope: Envelope::own(), event };
            (event_kind(&fact.event), data_encoding::HEXLOWER.encode(&fact_bytes(&fact)))
        });
        let own = format!("{}0000{}", "ff".repeat(8), "00".repeat(41));
        let (name, signature) = ("616e6effffffffff", [0x99; 64]);
        let (operator, key) = ("ann".to_owned(), SignerKey([0xaa; 32]));
        let set = OperatorKeySet { operator, key, possession: [0x88; 64], signature };
        let golden = [&own, name, &"aa".repeat(32), &"88".repeat(64), &"99".repeat(64)];
        assert_eq!(hex(Event::from(set)), (25, golden.concat()));
        let removed = OperatorKeyRemoved { operator: "ann".into(), signature };
        let golden = [&own, name, &"99".repeat(64)];
        assert_eq!(hex(Event::from(removed)), (26, golden.concat()));
        let approved = BatchApproved { batch, signature };
        let golden = [&*own, &"bb".repeat(32), &"99".repeat(64)];
        assert_eq!(hex(Event::from(approved)), (62, golden.concat()));
        let (to, reference, evidence) = (LegState::Confirmed, "R".to_owned(), "E".to_owned());
        let word = LegProposed { batch, leg: 7, to, reference, evidence, signature };
        let (r, e) = ("52ffffffffffffff", "45ffffffffffffff");
        let golden = [&*own, &"bb".repeat(32), "07000000", "05", r, e, &"99".repeat(64)];
        assert_eq!(hex(Event::from(word)), (67, golden.concat()));
        let moves = vec![LegMove {
            leg: 7,
            to,
            payer: PartyId([0xaa; 32]),
            payee: PartyId([0xcc; 32]),
            amount: Total(5),
            reference: "R".into(),
            reason: "E".into(),
        }];
        let (asset, mover, evidence) = (AssetNumber(978), Mover::Operator, Digest([0xee; 32]));
        let moved = LegsMoved { batch, asset, mover, evidence, moves, signature };
        let amount = format!("05{}", "00".repeat(15));
        let row = ["07000000", "05", &"aa".repeat(32), &"cc".repeat(32), &amount, r, e].concat();
        let list = "23ffffff01000000";
        let golden =
            [&*row, &own, &"bb".repeat(32), "d203000003", &"ee".repeat(32), list, &"99".repeat(64)];
        assert_eq!(hex(Event::from(moved)), (63, golden.concat()));
    }

    #[test]
    fn golden_bytes_of_budgets() {
        let hex = |event: Event| {
            let fact = Fact { envelope: Envelope::own(), event };
            (event_kind(&fact.event), data_encoding::HEXLOWER.encode(&fact_bytes(&fact)))
        };
        let own = format!("{}0000{}", "ff".repeat(8), "00".repeat(41));
        let (signer, payee) = (SignerKey([0xaa; 32]), PartyId([0xbb; 32]));
        let budget = |period, payee| Budget {
            key: BudgetKey { asset: AssetNumber(978), period, payee },
            amount: Amount(0x0102),
        };
        let set = BudgetsSet { signer, budgets: vec![budget(Period::Day, None)] };
        let amount = "0201000000000000";
        let row = ["d2030000", "03", "00", &"00".repeat(32), amount].concat();
        let golden = [&*row, &own, &"aa".repeat(32), "7fffffff01000000"];
        assert_eq!(hex(Event::from(set)), (80, golden.concat()));
        let budget = budget(Period::Hour, Some(payee));
        let uses = vec![BudgetUse { signer, budget, number: 0x0304, used: Amount(0x0506) }];
        let row = ["d2030000", "04", "01", &"bb".repeat(32), amount].concat();
        let used = "04030000000000000605000000000000";
        let golden = [&"aa".repeat(32), &*row, used, &own, "6fffffff01000000"];
        assert_eq!(hex(Event::from(BudgetsWarned { uses })), (81, golden.concat()));
    }

    #[test]
    fn golden_bytes_of_identities() {
        let hex = |event: Event| {
            let fact = Fact { envelope: Envelope::own(), event };
            (event_kind(&fact.event), data_encoding::HEXLOWER.encode(&fact_bytes(&fact)))
        };
        let own = format!("{}0000{}", "ff".repeat(8), "00".repeat(41));
        let (party, payee) = (PartyId([0xaa; 32]), PartyId([0xbb; 32]));
        let added = IdentityAdded {
            name: "fac".into(),
            role: Role::Facilitator,
            credential: Credential::Key(Digest([0xcc; 32])),
            scope: Scope { parties: vec![party], payees: vec![payee] },
            expires_at: Some(Timestamp(0x0102)),
            rate: 0x0304,
        };
        let golden = [
            // The two lists stand before what holds their places and numbers.
            &*"aa".repeat(32),
            &"bb".repeat(32),
            &own,
            "666163ffffffffff",
            "03",
            "00",
            &"cc".repeat(32),
            "63ffffff01000000",
            "7bffffff01000000",
            "010201000000000000",
            "04030000",
        ];
        assert_eq!(hex(Event::from(added)), (90, golden.concat()));
        let name = || "fac".to_owned();
        let revoked = IdentityRevoked { name: name() };
        assert_eq!(hex(Event::from(revoked)), (91, [&*own, "666163ffffffffff"].concat()));
        let key = Credential::Signed(SignerKey([0xdd; 32]));
        let rotated = IdentityRotated { name: name(), credential: key };
        let golden = [&*own, "666163ffffffffff", "01", &"dd".repeat(32)].concat();
        assert_eq!(hex(Event::from(rotated)), (92, golden));
        let certificate = Credential::Certificate("c".into());
        let rotated = IdentityRotated { name: name(), credential: certificate };
        let golden = [&*own, "666163ffffffffff", "02", "63ffffffffffffff", &"00".repeat(24)];
        assert_eq!(hex(Event::from(rotated)), (92, golden.concat()));
    }

    #[test]
    fn golden_bytes_of_an_archived_window() {
        let (window, digest) = (WindowNumber(0x0102), Digest([0xdd; 32]));
        let archive = ArchiveId { digest, bytes: 0x0304 };
        let event = Event::from(WindowArchived { window, archive });
        let fact = Fact { envelope: Envelope::own(), event };
        let own = format!("{}0000{}", "ff".repeat(8), "00".repeat(41));
        let golden = [&*own, "0201000000000000", &"dd".repeat(32), "0403000000000000"];
        let hex = data_encoding::HEXLOWER.encode(&fact_bytes(&fact));
        assert_eq!((event_kind(&fact.event), hex), (100, golden.concat()));
    }

    #[test]
    fn golden_bytes_of_a_restored_ledger_and_of_its_release() {
        let hex = |event: Event| {
            let fact = Fact { envelope: Envelope::own(), event };
            (event_kind(&fact.event), data_encoding::HEXLOWER.encode(&fact_bytes(&fact)))
        };
        let own = format!("{}0000{}", "ff".repeat(8), "00".repeat(41));
        let (instance, backup) = (Digest([0xaa; 32]), Digest([0xbb; 32]));
        let restored = LedgerRestored { instance, backup, position: Lsn(0x0102) };
        let golden = [&*own, &"aa".repeat(32), &"bb".repeat(32), "0201000000000000"];
        assert_eq!(hex(Event::from(restored)), (96, golden.concat()));
        let released = HoldReleased { restored: Lsn(0x0304), reason: "R".into() };
        let golden = [&*own, "0403000000000000", "52ffffffffffffff"];
        assert_eq!(hex(Event::from(released)), (97, golden.concat()));
    }

    #[test]
    fn golden_bytes_of_what_is_held_of_legs_and_of_a_trouble() {
        let (batch, hex) = (BatchId([0xbb; 32]), |event: Event| {
            let fact = Fact { envelope: Envelope::own(), event };
            (event_kind(&fact.event), data_encoding::HEXLOWER.encode(&fact_bytes(&fact)))
        });
        // The engine, on its own, without a request.
        let own = format!("{}0000{}", "ff".repeat(8), "00".repeat(41));
        let booking = LegBooking { leg: 0x0102, way: Way::Came, reference: "R".into() };
        let evidence = Digest([0xee; 32]);
        let booked = LegsBooked { batch, evidence, bookings: vec![booking] };
        let golden = [
            "0201000002",
            "52ffffffffffffff",
            &own,
            &"bb".repeat(32),
            &"ee".repeat(32),
            // From its own place to the list, and how many.
            "80ffffff",
            "01000000",
        ];
        assert_eq!(hex(Event::from(booked)), (60, golden.concat()));
        let trouble = NewTrouble {
            kind: TroubleKind::Surplus,
            rail: Rail::Card,
            batch: Some(batch),
            leg: Some(7),
            party: Some(PartyId([0xaa; 32])),
            source: "s".into(),
            text: "t".into(),
        };
        let raised = TroublesRaised { troubles: vec![trouble] };
        let golden = [
            "0303",
            "01",
            &"bb".repeat(32),
            "0107000000",
            "01",
            &"aa".repeat(32),
            "73ffffffffffffff",
            "74ffffffffffffff",
            &own,
            "74ffffff",
            "01000000",
        ];
        assert_eq!(hex(Event::from(raised)), (66, golden.concat()));
    }

    #[test]
    fn an_unknown_kind_and_a_cut_body_are_refused() {
        let mut writer = Chain::start();
        let framed = writer.frame(1, Timestamp(5), 99, 1, &[b"x"]);
        let record = Chain::start().follow(framed.lsn, &framed.bytes).unwrap();
        assert!(record.entry().unwrap_err().to_string().contains("kind 99"));
        let framed = Chain::start().frame(1, Timestamp(5), 18, 1, &[b"too short"]);
        let record = Chain::start().follow(framed.lsn, &framed.bytes).unwrap();
        assert!(matches!(record.entry(), Err(JournalError::Damaged { lsn: Lsn(1), .. })));
    }
}
