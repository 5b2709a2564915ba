//! What a record's body holds: a frame's vouchers as they came, or one event and who made it
//! happen, in rkyv's archived form (little endian, unaligned, 32-bit offsets). Kinds are for ever:
//! a changed struct is a new kind.

mod bundles;

use super::JournalError;
use super::record::{BUNDLES, CHARGES, Chain, FRAME, Framed, Record};
use rkyv::rancor::Error as RkyvError;
use rkyv::with::Inline;
use tallystick_ledger::event::{
    AccessEvent, BatchEvent, BudgetEvent, Confirmation, EndpointEvent, EyesEvent, Genesis,
    HoldEvent, KeyEvent, LegEvent, RegistryEvent, TroubleEvent, WindowEvent,
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
    /// Vouchers, and behind them the entries of bundles, all of each, in the bytes of vouchers.
    Bundles(Vec<[u8; VOUCHER_BYTES]>),
    /// Everything else.
    Fact(Box<Fact>),
}

const GENESIS: u8 = 1;
/// An event that was proposed by one and confirmed by another: its own kind, and its body.
const CONFIRMED: u8 = 112;

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

/// How a fact lies that was confirmed. What it would be on its own is part of it whole, with the
/// same envelope.
#[derive(rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
struct Confirmed {
    confirms: Confirmation,
    kind: u8,
    body: Vec<u8>,
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

        fn plain_bytes(Fact { envelope, event, .. }: &Fact) -> rkyv::util::AlignedVec {
            match event {
                $($(Event::$group($inner::$variant(event)) => {
                    rkyv::to_bytes::<RkyvError>(&Written { envelope, event })
                })*)*
            }
            .expect("plain data of bounded size can be archived")
        }

        fn plain_fact(kind: u8, body: &[u8]) -> Option<Result<Fact, RkyvError>> {
            match kind {
                $($($number => {
                    let read = rkyv::from_bytes::<Read<_>, RkyvError>(body);
                    Some(read.map(|Read { envelope, event }| {
                        Fact::new(envelope, $inner::$variant(event).into())
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
    Endpoint::EndpointEvent {
        120 Added,
        121 Removed,
        122 Rotated,
    }
    Eyes::EyesEvent {
        110 Set,
        111 Proposed,
        113 Withdrawn,
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

fn fact_kind(fact: &Fact) -> u8 {
    if fact.confirms.is_some() { CONFIRMED } else { event_kind(&fact.event) }
}

fn fact_bytes(fact: &Fact) -> rkyv::util::AlignedVec {
    let plain = plain_bytes(fact);
    let Some(confirms) = fact.confirms.clone() else { return plain };
    let confirmed = Confirmed { confirms, kind: event_kind(&fact.event), body: plain.to_vec() };
    rkyv::to_bytes::<RkyvError>(&confirmed).expect("plain data of bounded size can be archived")
}

fn fact_of(kind: u8, body: &[u8]) -> Option<Result<Fact, RkyvError>> {
    if kind != CONFIRMED {
        return plain_fact(kind, body);
    }
    let Confirmed { confirms, kind, body } = match rkyv::from_bytes::<_, RkyvError>(body) {
        Ok(confirmed) => confirmed,
        Err(error) => return Some(Err(error)),
    };
    let plain = plain_fact(kind, &body)?;
    Some(plain.map(|fact| Fact { confirms: Some(confirms), ..fact }))
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
        self.frame(epoch, at, fact_kind(fact), 1, &[&fact_bytes(fact)])
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
                let are_whole = rest.is_empty() && vouchers.len() == self.count as usize;
                if !are_whole || !bundles::are_vouchers(vouchers) {
                    return Err(damaged(self.lsn, "it does not hold whole vouchers".into()));
                }
                Ok(Entry::Frame(vouchers))
            }
            CHARGES => {
                let count = self.count as usize;
                let parts = self.body.split_at_checked(count * VOUCHER_BYTES);
                match parts.map(|(vouchers, rises)| (vouchers.as_chunks(), rises.as_chunks())) {
                    Some(((vouchers, _), (rises, [])))
                        if rises.len() == count && bundles::are_vouchers(vouchers) =>
                    {
                        Ok(Entry::Charges(vouchers, rises))
                    }
                    Some(_) | None => {
                        let why = "it does not hold whole vouchers with their rises";
                        Err(damaged(self.lsn, why.into()))
                    }
                }
            }
            BUNDLES => bundles::read(self.body, self.count).map(Entry::Bundles).ok_or_else(|| {
                damaged(self.lsn, "it does not hold whole vouchers and bundles".into())
            }),
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
        fact_kind(fact) == self.kind && fact_bytes(fact).as_slice() == self.body
    }

    /// The same of the first record.
    #[must_use]
    pub fn is_genesis_as(&self, genesis: &Genesis) -> bool {
        let bytes = rkyv::to_bytes::<RkyvError>(genesis).expect("plain data can be archived");
        self.kind == GENESIS && bytes.as_slice() == self.body
    }
}

#[cfg(test)]
mod tests;
