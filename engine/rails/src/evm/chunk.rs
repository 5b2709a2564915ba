//! A batch's pay-outs cut into transactions: which legs, packed how, under which id, for how much
//! gas.
//!
//! Owns the cut (deterministic: the same batch gives the same chunks for ever), the conversion from
//! asset units to token units, and the call's bytes. Never signs or sends.

use super::abi::BatchPayout::payCall;
use super::account::{Clearing, Payee};
use super::address::Address;
use alloy_primitives::{B256, U256};
use alloy_sol_types::SolCall as _;
use std::ops::Range;
use tallystick_ledger::limits::{EVM_AMOUNT_MAX, EVM_CHUNK_ITEMS, EVM_GAS_MAX};
use tallystick_ledger::types::{MONEY_MAX, PartyId, Total, evm_chunk_id};
use tallystick_ledger::{Leg, OpenBatch};

/// Gas beside the items: 57 k for the transaction, its id and its events (measured), and 218 k that
/// the contract wants to see before the last item; the rest is margin.
const GAS_BASE: u64 = 350_000;
/// Gas for one item: 26.4 k was measured for a recipient that is new to a plain token, 28.4 k for
/// USDC's; the rest is margin. What is not used is not paid.
const GAS_ITEM: u64 = 35_000;
const _: () = assert!(GAS_BASE + GAS_ITEM * EVM_CHUNK_ITEMS as u64 <= EVM_GAS_MAX);

/// Bytes of one packed item: address (20), amount (12), big endian.
pub const ITEM_BYTES: usize = 32;

/// What asset units are in token units, either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Units {
    /// Asset units in one token unit: more than one if the asset is finer than the token.
    divide: u128,
    /// Token units in one asset unit: more than one if the token is finer than the asset.
    multiply: u128,
}

impl Units {
    /// For an asset of that scale and a token of that many decimals (both bounded where they are
    /// registered).
    #[must_use]
    pub fn new(scale: u32, decimals: u32) -> Self {
        let power = |of: u32, over: u32| 10u128.pow(of.saturating_sub(over));
        Self { divide: power(scale, decimals), multiply: power(decimals, scale) }
    }

    /// Smallest step of a payment, in asset units.
    #[must_use]
    pub fn unit(&self) -> Total {
        Total(self.divide)
    }

    /// Largest payment that an item carries, in asset units; `None` if not even one unit fits.
    #[must_use]
    pub fn largest(&self) -> Option<Total> {
        let most = (EVM_AMOUNT_MAX / self.multiply).saturating_mul(self.divide).min(MONEY_MAX);
        (most > 0).then_some(Total(most - most % self.divide))
    }

    /// So many token units as asset units, rounded up; `None` beyond all payments.
    #[must_use]
    pub fn at_least(&self, token_units: u128) -> Option<Total> {
        token_units.div_ceil(self.multiply).checked_mul(self.divide).map(Total)
    }

    /// An amount in token units; `None` if it is no whole number of them or does not fit an item.
    #[must_use]
    pub fn to_token(&self, amount: Total) -> Option<u128> {
        let (whole, rest) = amount.split(self.unit());
        let token = (whole.0 / self.divide).checked_mul(self.multiply)?;
        (rest == Total::ZERO && (1..=EVM_AMOUNT_MAX).contains(&token)).then_some(token)
    }
}

/// One payment of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    /// Who is paid.
    pub to: Address,
    /// How much, in token units.
    pub amount: u128,
}

/// The pay-outs of one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Counts from 0 within the batch.
    pub number: u32,
    /// What the contract knows it by.
    pub id: B256,
    /// The legs it pays: their places in `OpenBatch::legs`.
    pub legs: Range<usize>,
    /// The payments, in the order of the legs.
    pub items: Vec<Item>,
    /// What they sum to, in token units.
    pub sum: u128,
}

/// Why a batch cannot be cut into chunks. Nothing of it was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// The clearing account of the batch is none of this rail.
    #[error("the batch names no contract; compute it again with [clearing.evm] set")]
    Clearing,
    /// An account was registered before its fields were checked.
    #[error("leg {key}: its party's account has no valid `address`; register it again")]
    Address {
        /// The leg's key.
        key: String,
    },
    /// The amount is no whole number of token units, or too large.
    #[error("leg {key}: its amount cannot be paid in this token; compute the batch again")]
    Amount {
        /// The leg's key.
        key: String,
    },
    /// The leg does not come from the clearing account.
    #[error("leg {key} is not paid from the clearing account; the asset must be multilateral")]
    Payer {
        /// The leg's key.
        key: String,
    },
}

/// The legs that each chunk pays, in order: all pay-outs, none of the pay-ins.
pub fn ranges(content: &OpenBatch) -> impl ExactSizeIterator<Item = Range<usize>> {
    let first = usize::try_from(content.head.pay_in_count).expect("legs in memory fit usize");
    let end = content.legs.len();
    let starts = (first..end).step_by(EVM_CHUNK_ITEMS);
    starts.map(move |start| start..(start + EVM_CHUNK_ITEMS).min(end))
}

/// Whether every pay-out of a batch can be sent.
///
/// # Errors
/// `ChunkError` that names the first leg which cannot be paid.
pub fn check_batch(content: &OpenBatch) -> Result<(), ChunkError> {
    ranges(content).zip(0..).try_for_each(|(legs, number)| cut(content, legs, number).map(drop))
}

/// Cuts one chunk out of a batch: the one of that number in `ranges`.
///
/// # Errors
/// `ChunkError` that names the leg which cannot be paid. Panics if there is no such chunk.
pub fn chunk(content: &OpenBatch, number: u32) -> Result<Chunk, ChunkError> {
    let index = usize::try_from(number).expect("a chunk's number fits usize");
    let legs = ranges(content).nth(index).expect("the batch has that chunk");
    cut(content, legs, number)
}

/// The chunk of all legs of a part of a batch, of which there are at most `EVM_CHUNK_ITEMS`, under
/// a number. No other legs of the batch may ever get the same: it is in the chunk's id.
///
/// # Errors
/// `ChunkError` that names the leg which cannot be paid.
pub fn chunk_of(part: &OpenBatch, number: u32) -> Result<Chunk, ChunkError> {
    assert!(part.legs.len() <= EVM_CHUNK_ITEMS, "a chunk is bounded");
    cut(part, 0..part.legs.len(), number)
}

fn cut(content: &OpenBatch, legs: Range<usize>, number: u32) -> Result<Chunk, ChunkError> {
    let clearing = Clearing::read(&content.head.policy.clearing).ok_or(ChunkError::Clearing)?;
    let units = Units::new(content.head.asset.scale, clearing.decimals);
    let items = content.legs[legs.clone()].iter().map(|leg| item(content, leg, &units));
    let items: Vec<Item> = items.collect::<Result<_, _>>()?;
    let sum = items.iter().try_fold(0u128, |sum, item| sum.checked_add(item.amount));
    let sum = sum.expect("400 sums of 96 bits fit 128");
    let id = B256::from(evm_chunk_id(content.head.id, number).0);
    Ok(Chunk { number, id, legs, items, sum })
}

fn item(content: &OpenBatch, leg: &Leg, units: &Units) -> Result<Item, ChunkError> {
    let key = || leg.key.clone();
    if leg.payment.from != PartyId::CLEARING {
        return Err(ChunkError::Payer { key: key() });
    }
    let account = content.accounts.get(&leg.payment.to);
    let payee = account.and_then(|account| Payee::read(&account.fields));
    let Payee { address } = payee.ok_or_else(|| ChunkError::Address { key: key() })?;
    let amount = units.to_token(leg.payment.amount);
    Ok(Item { to: address, amount: amount.ok_or_else(|| ChunkError::Amount { key: key() })? })
}

impl Chunk {
    /// The items as the contract reads them.
    #[must_use]
    pub fn packed(&self) -> Vec<u8> {
        let mut packed = Vec::with_capacity(self.items.len() * ITEM_BYTES);
        for item in &self.items {
            packed.extend_from_slice(item.to.as_slice());
            packed.extend_from_slice(&item.amount.to_be_bytes()[4..]);
        }
        packed
    }

    /// The call of `pay` that pays this chunk.
    #[must_use]
    pub fn calldata(&self) -> Vec<u8> {
        let (items, sum) = (self.packed().into(), U256::from(self.sum));
        payCall { batchId: self.id, items, sum }.abi_encode()
    }

    /// Gas that its transaction asks for: enough if every recipient is new to the token.
    #[must_use]
    pub fn gas(&self) -> u64 {
        let items = u64::try_from(self.items.len()).expect("a length fits 64 bits");
        GAS_BASE + GAS_ITEM * items
    }
}
