//! Transactions: EIP-1559, signed, as bytes.
//!
//! Owns their encoding, their signature (deterministic, RFC 6979) and their reading back from the
//! journal. The bytes are journaled before they leave and are all that is kept: hash, nonce and
//! fees follow from them. Never sends anything, never chooses a nonce or a fee.

use super::chunk::Chunk;
use super::fees::Fees;
use super::key::Signer;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_rlp::{Decodable as _, RlpDecodable, RlpEncodable};
use k256::ecdsa::{RecoveryId, Signature, VerifyingKey};

/// First byte of an EIP-1559 transaction.
const TYPE: u8 = 2;

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq, RlpEncodable)]
struct Unsigned {
    chain_id: u64,
    nonce: u64,
    tip: u128,
    max_fee: u128,
    gas: u64,
    to: Address,
    value: U256,
    data: Bytes,
    access_list: Vec<U256>,
}

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq, RlpEncodable, RlpDecodable)]
struct Signed {
    chain_id: u64,
    nonce: u64,
    tip: u128,
    max_fee: u128,
    gas: u64,
    to: Address,
    value: U256,
    data: Bytes,
    access_list: Vec<U256>,
    odd_y: u8,
    r: U256,
    s: U256,
}

/// What a chunk's transaction is made of, beside the chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// The chain that it is valid on.
    pub chain_id: u64,
    /// The contract that it calls.
    pub contract: Address,
    /// Its place among the key's transactions.
    pub nonce: u64,
    /// What it offers for gas.
    pub fees: Fees,
    /// How much gas it may use.
    pub gas: u64,
}

/// A signed transaction: its bytes, and what they say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedTx {
    raw: Vec<u8>,
    at_block: u64,
    hash: B256,
    terms: Terms,
    from: Address,
    data: Bytes,
}

/// Why bytes are not one of this rail's transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TxError {
    /// Not the form of one.
    #[error("the bytes are no EIP-1559 transaction")]
    Form,
    /// The signature is not valid, or not the only valid one for its key and message.
    #[error("the transaction's signature is not valid")]
    Signature,
    /// It carries coins or an access list, which this rail never does.
    #[error("the transaction is none that this rail makes")]
    Foreign,
    /// It does something else than what it is journaled for.
    #[error("the transaction does not pay this chunk with this key through this contract")]
    OtherChunk,
}

/// Signs the transaction that pays `chunk`: the same input, the same bytes. `at_block` is the
/// newest block at that time: fees are raised by how long it is ago.
#[must_use]
pub fn sign(signer: &Signer, chunk: &Chunk, terms: &Terms, at_block: u64) -> SignedTx {
    let Terms { chain_id, contract, nonce, fees, gas } = *terms;
    let data = Bytes::from(chunk.calldata());
    let unsigned = Unsigned {
        chain_id,
        nonce,
        tip: fees.tip,
        max_fee: fees.max,
        gas,
        to: contract,
        value: U256::ZERO,
        data: data.clone(),
        access_list: Vec::new(),
    };
    let (signature, odd_y) = signer.sign(keccak256(typed(&unsigned)));
    let (r, s) = signature.split_bytes();
    let (r, s) = (U256::from_be_slice(&r), U256::from_be_slice(&s));
    let access_list = Vec::new();
    let (to, value, tip, max_fee) = (contract, U256::ZERO, fees.tip, fees.max);
    let raw = typed(&Signed {
        chain_id,
        nonce,
        tip,
        max_fee,
        gas,
        to,
        value,
        data,
        access_list,
        odd_y,
        r,
        s,
    });
    // Read back what was just made: a transaction that cannot be read must never leave.
    SignedTx::read(raw, at_block).expect("a transaction that was just signed is one")
}

fn typed(fields: &impl alloy_rlp::Encodable) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + fields.length());
    out.push(TYPE);
    fields.encode(&mut out);
    out
}

impl SignedTx {
    /// Reads a transaction from its bytes, as the journal holds them, and recovers who signed it.
    ///
    /// # Errors
    /// `TxError` if they are none that `sign` made.
    pub fn read(raw: Vec<u8>, at_block: u64) -> Result<Self, TxError> {
        let [TYPE, body @ ..] = raw.as_slice() else { return Err(TxError::Form) };
        let mut rest = body;
        let signed = Signed::decode(&mut rest).map_err(|_| TxError::Form)?;
        if !rest.is_empty() || typed(&signed) != raw {
            return Err(TxError::Form);
        }
        if signed.value != U256::ZERO || !signed.access_list.is_empty() || signed.odd_y > 1 {
            return Err(TxError::Foreign);
        }
        let from = signed.recover()?;
        let Signed { chain_id, nonce, tip, max_fee, gas, to, data, .. } = signed;
        let fees = Fees { tip, max: max_fee };
        let terms = Terms { chain_id, contract: to, nonce, fees, gas };
        let hash = keccak256(&raw);
        Ok(Self { raw, at_block, hash, terms, from, data })
    }

    /// Checks that it pays `chunk` from that address through that contract.
    ///
    /// # Errors
    /// `TxError::OtherChunk` if it does not.
    pub fn check(
        &self,
        chunk: &Chunk,
        from: Address,
        chain_id: u64,
        contract: Address,
    ) -> Result<(), TxError> {
        let ours = (self.from, self.terms.chain_id, self.terms.contract);
        let fits = ours == (from, chain_id, contract) && self.data == chunk.calldata();
        if fits { Ok(()) } else { Err(TxError::OtherChunk) }
    }

    /// The bytes that are journaled and sent.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// What the chain knows it by.
    #[must_use]
    pub fn hash(&self) -> B256 {
        self.hash
    }

    /// The newest block when it was signed; journaled beside the bytes.
    #[must_use]
    pub fn at_block(&self) -> u64 {
        self.at_block
    }

    /// Nonce, fees, gas, chain and contract.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.terms
    }
}

impl Signed {
    fn recover(&self) -> Result<Address, TxError> {
        let unsigned = Unsigned {
            chain_id: self.chain_id,
            nonce: self.nonce,
            tip: self.tip,
            max_fee: self.max_fee,
            gas: self.gas,
            to: self.to,
            value: self.value,
            data: self.data.clone(),
            access_list: Vec::new(),
        };
        let (r, s) = (self.r.to_be_bytes::<32>(), self.s.to_be_bytes::<32>());
        let signature = Signature::from_scalars(r, s).map_err(|_| TxError::Signature)?;
        // EIP-2: of the two valid signatures only the one with the lower s counts.
        if signature.normalize_s() != signature {
            return Err(TxError::Signature);
        }
        let recovery = RecoveryId::new(self.odd_y == 1, false);
        let digest = keccak256(typed(&unsigned));
        let key = VerifyingKey::recover_from_prehash(digest.as_slice(), &signature, recovery);
        Ok(super::key::address_of(&key.map_err(|_| TxError::Signature)?))
    }
}
