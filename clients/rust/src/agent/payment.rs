//! One payment, from its voucher to the word of what became of it.

use super::lanes::Signed;
use super::{Agent, PayError, now};
use crate::voucher::{Outcome, Voucher};
use data_encoding::{BASE64, HEXLOWER};
use std::io;

/// A payment whose voucher is signed. Send the voucher, then say what became of it: until then its
/// lane is out. Dropped without a word it is in doubt, which is always safe.
#[must_use = "say what became of it: `confirm`, `refused` or `in_doubt`"]
pub struct Payment {
    agent: Agent,
    id: String,
    amount: u64,
    voucher: Voucher,
    is_over: bool,
}

impl Payment {
    pub(super) fn new(agent: Agent, id: String, of: &Signed) -> Self {
        let inner = &agent.0;
        let fields = of.channel.fields(inner.key.signer(), of.total);
        let voucher = inner.key.sign(&inner.network, fields);
        Self { agent, id, amount: of.amount, voucher, is_over: false }
    }

    /// The voucher: what is to be sent.
    #[must_use]
    pub fn voucher(&self) -> &Voucher {
        &self.voucher
    }

    /// Its identifier, for x402's `payment-identifier`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// It as the header `PAYMENT-SIGNATURE` of x402 carries it, for the requirements out of the
    /// seller's 402 (one of `accepts`). Whether these are what is to be paid, and what this payment
    /// is of, is the caller's to check.
    #[must_use]
    pub fn x402_header(&self, accepted: &serde_json::Value) -> String {
        let payload = serde_json::json!({
            "x402Version": 2,
            "accepted": accepted,
            "payload": self.voucher.json(),
            "extensions": { "payment-identifier": { "info": { "required": false, "id": self.id } } },
        });
        BASE64.encode(payload.to_string().as_bytes())
    }

    /// What is paid, in units.
    #[must_use]
    pub fn amount(&self) -> u64 {
        self.amount
    }

    /// What a settlement of it is called: `CHANNEL:CUMULATIVE`.
    #[must_use]
    pub fn transaction(&self) -> String {
        let fields = &self.voucher.fields;
        let channel = self.agent.0.network.channel(fields);
        format!("{}:{}", HEXLOWER.encode(&channel), fields.cumulative)
    }

    /// The engine holds it, durably: an ack said so, or whoever brought it has its receipt.
    ///
    /// # Errors
    /// When the lanes cannot be kept any more.
    pub fn confirm(mut self) -> io::Result<()> {
        self.is_over = true;
        let paid = self.agent.0.lanes().paid(&self.id, now());
        self.agent.0.freed.notify_waiters();
        paid
    }

    /// The engine did not credit it: it said so of this payment, under its identifier. `held` is
    /// what it holds of the channel, where it was told (an x402 answer's `charged`); if not, what
    /// is known here counts. What was signed stays signed: the next payment of the lane asks for no
    /// more than both together. `Agent::pay_once` makes a new payment once this one can never be
    /// credited, and gives the very same one until then.
    ///
    /// # Errors
    /// When the lanes cannot be kept any more.
    pub fn refused(mut self, held: Option<u64>) -> io::Result<()> {
        let (known, most) = self.agent.0.lanes().bounds(&self.id).unwrap_or_default();
        let held = held.unwrap_or(known);
        if held > most {
            // More than was ever signed here is not our doing: never sign on top of it.
            self.is_over = true;
            self.agent.0.lanes().leave(&self.id);
            return Ok(());
        }
        self.known(held)?;
        self.agent.0.lanes().is_void(&self.id, true, now()).map(drop)
    }

    /// Nobody knows what became of it: its lane is used again when the engine has been asked. The
    /// same as to drop it.
    pub fn in_doubt(self) {}

    /// What the outcome of its voucher says of it.
    ///
    /// # Errors
    /// When the lanes cannot be kept any more.
    pub fn settle(self, outcome: Outcome) -> io::Result<()> {
        match outcome {
            Outcome::CREDITED => self.confirm(),
            // The engine looks at these before the total, or at a total that is not ours alone.
            Outcome::STALE
            | Outcome::REVOKED_SIGNER
            | Outcome::EXPIRED
            | Outcome::SUSPENDED_PARTY => {
                self.in_doubt();
                Ok(())
            }
            _ => self.refused(None),
        }
    }

    /// Asks the engine whether it holds it.
    ///
    /// # Errors
    /// When nobody can be asked, or does not answer; the payment is in doubt then. And when the
    /// engine holds this much, and nobody here knows whether by this payment or by another one on
    /// the same lane: the payee can tell, who brought it.
    pub async fn find_out(mut self) -> Result<bool, PayError> {
        let inner = self.agent.0.clone();
        let nobody = || PayError::Key("this agent was told of no engine to ask: set `ask`".into());
        let way = inner.way.as_ref().ok_or_else(nobody)?;
        let channel = self.voucher.fields.channel();
        let mut asking = inner.asking.lock().await;
        let found = inner.held(way, &mut asking, std::iter::once(channel)).await;
        if found.is_err() {
            *asking = None;
        }
        let held = found?.first().copied().unwrap_or(0);
        self.known(held)?;
        let mut lanes = inner.lanes();
        lanes.is_void(&self.id, false, now())?;
        let either = "this payment or another one of its lane was credited: ask the payee which";
        lanes.is_held(&self.id).ok_or_else(|| PayError::Key(either.into()))
    }

    fn known(&mut self, held: u64) -> io::Result<()> {
        self.is_over = true;
        let known = self.agent.0.lanes().known(&self.id, held, now());
        self.agent.0.freed.notify_waiters();
        known
    }
}

impl Drop for Payment {
    fn drop(&mut self) {
        if !self.is_over {
            self.agent.0.lanes().doubt(&self.id);
            self.agent.0.freed.notify_waiters();
        }
    }
}

/// A caller's own key as a payment identifier of x402: 16 to 128 characters, of those that there
/// may be. The packages in Python and JavaScript make the same of it.
pub(super) fn numbered(key: &str, at: u32) -> String {
    let fits = (13..=118).contains(&key.len())
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    let plain =
        if fits { key.to_owned() } else { format!("k{}", blake3::hash(key.as_bytes()).to_hex()) };
    format!("{:_<16}", format!("{plain}-{at}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_become_identifiers_as_in_the_other_packages() {
        assert_eq!(numbered("order-1234567", 1), "order-1234567-1_");
        assert_eq!(numbered("order-12345678901", 1), "order-12345678901-1");
        let ab = "k2dc99999a6aaef3f20349d2ed4057a2b54419545dabb809e6381de1bad8337e2-2";
        assert_eq!(numbered("ab", 2), ab);
        assert_ne!(numbered(&"x".repeat(500), 1), numbered(&"x".repeat(501), 1));
        assert!(numbered(&"x".repeat(500), 1_000).len() <= 128);
    }
}
