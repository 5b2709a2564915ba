//! The desk that pays chunks on one chain: looks, signs, sends.
//!
//! Owns which questions are asked in which order, and what must hold before anything is signed.
//! Each call does one thing and returns; the caller journals a signed transaction before it is
//! sent, and calls again. Keeps nothing between calls.

use super::abi::{self, BatchPayout, Refused, Token};
use super::account::Clearing;
use super::address::{self, Address};
use super::chunk::Chunk;
use super::config::{ConfigError, EvmConfig, Finality};
use super::fees::{AboveCap, Fees};
use super::judge::{ChunkState, Mined, Next, Seen, View, Why, in_line, judge};
use super::key::{KeyError, Signer};
use super::node::{At, Called, SendWord};
use super::nonces::{NonceTrouble, Nonces};
use super::rpc::{Rpc, RpcFailure};
use super::tx::{self, SignedTx, Terms, TxError};
use alloy_primitives::{B256, U256};
use alloy_sol_types::SolCall;

/// One key, one contract, one node.
pub struct Desk {
    rpc: Rpc,
    signer: Signer,
    clearing: Clearing,
    config: EvmConfig,
}

/// Why the desk does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A setting is out of its bounds.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is no usable key.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Why nothing must be sent: what is deployed is not what is configured, or cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// The node does not answer.
    #[error(transparent)]
    Rpc(#[from] RpcFailure),
    /// Another chain.
    #[error("the node is on chain {found}, the clearing account on {wanted}")]
    Chain {
        /// As configured.
        wanted: u64,
        /// The node's.
        found: u64,
    },
    /// What is at the address does not answer as it must.
    #[error("at {address} is no {what}: `{call}` is not answered")]
    NotA {
        /// Where.
        address: String,
        /// What should be there.
        what: &'static str,
        /// What was asked.
        call: &'static str,
    },
    /// It answers something else than is configured.
    #[error("{what} of {address} is {found}, configured is {wanted}")]
    Differs {
        /// Whose.
        address: String,
        /// Which property.
        what: &'static str,
        /// As configured.
        wanted: String,
        /// As found.
        found: String,
    },
    /// Somebody else signs with the key.
    #[error(transparent)]
    Nonces(#[from] NonceTrouble),
}

/// What payments are made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Funds {
    /// What the contract holds, in token units.
    pub tokens: U256,
    /// What the key's address holds of the chain's coin, in wei: it pays for gas.
    pub coin: U256,
}

/// A transaction to sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// What for.
    pub why: Why,
    /// Its terms.
    pub terms: Terms,
}

/// The one thing to do for a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Look again later.
    Wait,
    /// Send the transaction at this place of the book again, the same bytes.
    Send(usize),
    /// Sign this, journal the bytes, then send them.
    Sign(Plan),
    /// Nothing can be done until somebody acts; it is tried again at every look.
    Blocked(Blocked),
    /// It is paid for good.
    Done,
}

/// What keeps a chunk from being paid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Blocked {
    /// The contract would refuse it.
    #[error("{0}")]
    Contract(Refused),
    /// Gas is dearer than the cap.
    #[error("{0}")]
    Fees(AboveCap),
    /// It was signed so often that once more does not help.
    #[error("the chunk was signed {0} times and is not paid; look at its transactions")]
    SignedOften(usize),
}

/// What a look gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// Where the chunk stands.
    pub state: ChunkState,
    /// What to do.
    pub act: Act,
}

impl Desk {
    /// Opens the desk: checks the settings and reads the key. Asks no node.
    ///
    /// # Errors
    /// `OpenError` that says which setting or file is wrong.
    pub fn open(config: EvmConfig, clearing: Clearing) -> Result<Self, OpenError> {
        config.check()?;
        let signer = Signer::read(&config.key_file)?;
        Ok(Self { rpc: Rpc::new(&config), signer, clearing, config })
    }

    /// The address that owns the contract and pays for gas.
    #[must_use]
    pub fn address(&self) -> Address {
        self.signer.address()
    }

    /// Compares what is deployed with what is configured: chain, token, decimals, owner; and the
    /// journaled nonces with the chain's. Once at start, before anything is signed.
    ///
    /// # Errors
    /// `Misfit` that says what differs.
    pub fn check_deployment(&self, nonces: &Nonces) -> Result<(), Misfit> {
        let Clearing { chain_id: wanted, contract, token, decimals, .. } = self.clearing;
        let found = self.rpc.chain_id()?;
        if found != wanted {
            return Err(Misfit::Chain { wanted, found });
        }
        let is_token =
            self.property(contract, "BatchPayout", "token", &BatchPayout::tokenCall {})?;
        same(contract, "the token", address::text(token), address::text(is_token))?;
        let owner = self.property(contract, "BatchPayout", "owner", &BatchPayout::ownerCall {})?;
        same(contract, "the owner", address::text(self.address()), address::text(owner))?;
        let digits = self.property(token, "ERC-20 token", "decimals", &Token::decimalsCall {})?;
        same(token, "the number of decimals", decimals.to_string(), digits.to_string())?;
        let used = self.rpc.count(self.address(), At::Latest)?;
        let pending = self.rpc.count(self.address(), At::Pending)?;
        Ok(nonces.check(used, pending)?)
    }

    /// What there is to pay with.
    ///
    /// # Errors
    /// `Misfit` if the token or the node does not answer.
    pub fn funds(&self) -> Result<Funds, Misfit> {
        let Clearing { contract, token, .. } = self.clearing;
        let balance = Token::balanceOfCall { holder: contract };
        let tokens = self.property(token, "ERC-20 token", "balanceOf", &balance)?;
        Ok(Funds { tokens, coin: self.rpc.coin(self.address())? })
    }

    /// The chain and the key now; one for all looks of a round.
    ///
    /// # Errors
    /// `RpcFailure`.
    pub fn view(&self) -> Result<View, RpcFailure> {
        let method = "eth_getBlockByNumber";
        // Heights first: what is mined is looked up later and cannot be older than they are.
        let (safe, last) = match self.config.finality {
            Finality::Tags => (self.height(At::Safe)?, self.height(At::Finalized)?),
            Finality::Depth { .. } => (None, None),
        };
        let head = self.rpc.block(At::Latest)?;
        let head = head.ok_or_else(|| Rpc::nonsense(method, "no newest block"))?;
        let (safe, last) = match self.config.finality {
            Finality::Tags => (safe, last),
            Finality::Depth { safe, last } => {
                (head.number.checked_sub(safe), head.number.checked_sub(last))
            }
        };
        let used = self.rpc.count(self.address(), At::Latest)?;
        Ok(View { head, safe, last, used })
    }

    /// Why a chunk that stands there would wait for ever, if the node never names the block that it
    /// waits for.
    #[must_use]
    pub fn waits_for_ever(&self, view: &View, state: &ChunkState) -> Option<&'static str> {
        match (self.config.finality, state) {
            (Finality::Depth { .. }, _) => None,
            (Finality::Tags, ChunkState::Mined(_) | ChunkState::Safe(_)) if view.last.is_none() => {
                Some(
                    "the node names no block that is final, so nothing that was paid becomes CONFIRMED: set \
                     `depth = { safe = 12, last = 64 }` (or what suits the chain) in [rail.evm], or use a node \
                     that knows `finalized`; on a chain that has only begun it ends by itself",
                )
            }
            (Finality::Tags, ChunkState::Void) if view.safe.is_none() => Some(
                "the node names no block that is safe, so a transaction that had no effect is not replaced: set \
                 `depth = { safe = 12, last = 64 }` (or what suits the chain) in [rail.evm], or use a node that \
                 knows `safe`; on a chain that has only begun it ends by itself",
            ),
            (
                Finality::Tags,
                ChunkState::New
                | ChunkState::Signed
                | ChunkState::Sent
                | ChunkState::Mined(_)
                | ChunkState::Safe(_)
                | ChunkState::Final(_)
                | ChunkState::Gone { .. }
                | ChunkState::Void,
            ) => None,
        }
    }

    /// Looks what became of a chunk, and says what to do. `book` holds its journaled transactions
    /// in the order of signing, `was` the state at the last look (`New` after a start).
    ///
    /// # Errors
    /// `RpcFailure`: nothing is known that was not known before.
    pub fn look(
        &self,
        view: &View,
        chunk: &Chunk,
        book: &[SignedTx],
        nonces: &Nonces,
        was: &ChunkState,
    ) -> Result<Look, RpcFailure> {
        let seen = self.seen(view, chunk, book)?;
        let (state, next) = judge(was, book, nonces, view, &seen, self.config.bump_after);
        let act = match next {
            Next::Wait => Act::Wait,
            Next::Send(place) => Act::Send(place),
            Next::Done => Act::Done,
            Next::GiveUp => Act::Blocked(Blocked::SignedOften(book.len())),
            Next::Sign { why, or_send } => {
                let act = self.plan(view, chunk, book, nonces, why)?;
                match (act, or_send) {
                    (Act::Blocked(Blocked::Fees(_)), Some(place)) => Act::Send(place),
                    (act, _) => act,
                }
            }
        };
        Ok(Look { state, act })
    }

    /// Signs what was planned: the same plan, the same bytes. Journal them before they are sent.
    #[must_use]
    pub fn sign(&self, view: &View, chunk: &Chunk, plan: &Plan) -> SignedTx {
        tx::sign(&self.signer, chunk, &plan.terms, view.head.number)
    }

    /// Reads a journaled transaction back and checks that it pays `chunk` with this key.
    ///
    /// # Errors
    /// `TxError` if it does not: the journal is of another key, contract or batch.
    pub fn read_back(
        &self,
        chunk: &Chunk,
        raw: Vec<u8>,
        at_block: u64,
    ) -> Result<SignedTx, TxError> {
        let tx = SignedTx::read(raw, at_block)?;
        tx.check(chunk, self.address(), self.clearing.chain_id, self.clearing.contract)?;
        Ok(tx)
    }

    /// Sends a journaled transaction; any number of times, it pays at most once.
    ///
    /// # Errors
    /// `RpcFailure`: it may or may not have arrived; the next look shows it.
    pub fn send(&self, tx: &SignedTx) -> Result<SendWord, RpcFailure> {
        self.rpc.send_raw(tx.raw(), tx.hash())
    }

    fn height(&self, at: At) -> Result<Option<u64>, RpcFailure> {
        match self.rpc.block(at) {
            Ok(block) => Ok(block.map(|block| block.number)),
            // A young chain has no such block yet, and says so in an error.
            Err(RpcFailure::Refused { .. }) => Ok(None),
            Err(failure @ (RpcFailure::NeverLeft { .. } | RpcFailure::Unknown { .. })) => {
                Err(failure)
            }
        }
    }

    fn seen(&self, view: &View, chunk: &Chunk, book: &[SignedTx]) -> Result<Seen, RpcFailure> {
        // Only what has a used nonce can be mined.
        for tx in book.iter().rev().filter(|tx| tx.terms().nonce < view.used) {
            if let Some(mined) = self.mined(chunk, tx.hash())? {
                return Ok(Seen { paid: Some(mined), ..Seen::default() });
            }
        }
        if let Some(place) = in_line(book, view.used) {
            let held = self.rpc.knows(book[place].hash())?;
            return Ok(Seen { held, ..Seen::default() });
        }
        // Nothing of ours can be mined any more. Perhaps the contract remembers a transaction that
        // the journal does not.
        if let Some(mined) = self.remembered(chunk)? {
            return Ok(Seen { paid: Some(mined), ..Seen::default() });
        }
        let used_safe = match view.safe {
            Some(height) if !book.is_empty() => {
                Some(self.rpc.count(self.address(), At::Number(height))?)
            }
            Some(_) | None => None,
        };
        Ok(Seen { used_safe, ..Seen::default() })
    }

    /// What a transaction did for the chunk, if it is in the chain and paid it.
    fn mined(&self, chunk: &Chunk, tx: B256) -> Result<Option<Mined>, RpcFailure> {
        let Some(receipt) = self.rpc.receipt(tx)? else { return Ok(None) };
        if !receipt.success {
            return Ok(None);
        }
        let items = abi::items_of(&receipt, self.clearing.contract, chunk)
            .map_err(|nonsense| Rpc::nonsense("eth_getTransactionReceipt", nonsense.0))?;
        Ok(items.map(|items| Mined { tx, block: receipt.block, items }))
    }

    /// The transaction that the contract remembers for the chunk's id: it keeps the block's number.
    fn remembered(&self, chunk: &Chunk) -> Result<Option<Mined>, RpcFailure> {
        let nonsense = |what| Rpc::nonsense("eth_call", what);
        let contract = self.clearing.contract;
        let call = BatchPayout::paidInCall { batchId: chunk.id };
        let Called::Returned(answer) = self.rpc.ask(None, contract, &call.abi_encode(), None)?
        else {
            return Err(nonsense("`paidIn` reverts: no BatchPayout there"));
        };
        let block = BatchPayout::paidInCall::abi_decode_returns_validate(&answer)
            .map_err(|_| nonsense("`paidIn` gives no number"))?;
        if block == U256::ZERO {
            return Ok(None);
        }
        let height = u64::try_from(block).map_err(|_| nonsense("a block beyond 64 bits"))?;
        let missing = || Rpc::nonsense("eth_getLogs", "the contract paid, but no event says so");
        let tx = self.rpc.find(height, contract, &abi::paid_topics(chunk.id))?;
        self.mined(chunk, tx.ok_or_else(missing)?)?.ok_or_else(missing).map(Some)
    }

    /// The transaction to sign, unless the contract would refuse it or gas is too dear.
    fn plan(
        &self,
        view: &View,
        chunk: &Chunk,
        book: &[SignedTx],
        nonces: &Nonces,
        why: Why,
    ) -> Result<Act, RpcFailure> {
        let gas = chunk.gas();
        let (nonce, old) = match why {
            Why::Bump(place) => (book[place].terms().nonce, Some(book[place].terms().fees)),
            Why::First | Why::Again | Why::Hole => {
                if let Some(blocked) = self.refused(chunk, gas)? {
                    return Ok(blocked);
                }
                (nonces.next(view.used), None)
            }
        };
        let market = self.rpc.market()?;
        let fees: Result<Fees, AboveCap> = match old {
            Some(old) => self.config.fees.bump(old, &market),
            None => self.config.fees.quote(&market),
        };
        let Clearing { chain_id, contract, .. } = self.clearing;
        Ok(match fees {
            Ok(fees) => {
                Act::Sign(Plan { why, terms: Terms { chain_id, contract, nonce, fees, gas } })
            }
            Err(above) => Act::Blocked(Blocked::Fees(above)),
        })
    }

    /// What the contract would say to the chunk now.
    fn refused(&self, chunk: &Chunk, gas: u64) -> Result<Option<Act>, RpcFailure> {
        let from = Some(self.address());
        let called = self.rpc.ask(from, self.clearing.contract, &chunk.calldata(), Some(gas))?;
        Ok(match called {
            Called::Returned(_) => None,
            Called::Reverted(data) => Some(match abi::refusal(&data) {
                // Paid since it was looked for: the next look finds it.
                Refused::AlreadyPaid => Act::Wait,
                refused @ (Refused::Underfunded { .. }
                | Refused::NotOwner
                | Refused::GasTooLow
                | Refused::Other(_)) => Act::Blocked(Blocked::Contract(refused)),
            }),
        })
    }

    /// Asks a contract for one of its properties.
    fn property<C: SolCall>(
        &self,
        address: Address,
        what: &'static str,
        call: &'static str,
        asked: &C,
    ) -> Result<C::Return, Misfit> {
        let answer = self.rpc.ask(None, address, &asked.abi_encode(), None)?;
        let not_a = || Misfit::NotA { address: address::text(address), what, call };
        match answer {
            Called::Returned(bytes) => C::abi_decode_returns_validate(&bytes).map_err(|_| not_a()),
            Called::Reverted(_) => Err(not_a()),
        }
    }
}

fn same(address: Address, what: &'static str, wanted: String, found: String) -> Result<(), Misfit> {
    match wanted == found {
        true => Ok(()),
        false => Err(Misfit::Differs { address: address::text(address), what, wanted, found }),
    }
}
