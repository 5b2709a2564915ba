//! What everybody may ask of a rail, whichever it is: pure rules, one implementation a rail, each
//! in the rail's own folder. What a rail cannot do is absent here (`None`), and never a panic.
//!
//! Owns the questions, and no answer. Only `crate::rules` knows who answers: batches come to the
//! rules of their own rail, and to no other's.

use super::account::AccountError;
use super::answers::{Answer, Known, Sent};
use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};
use tallystick_ledger::batch::Payment;
use tallystick_ledger::limits::FILE_LEGS_MAX;
use tallystick_ledger::types::{AssetDef, Total};
use tallystick_ledger::{OpenBatch, Policy, Refusal};

/// Fields of a checked account as they are kept, ordered by name. Each rail reads them into a type
/// of its own where they come in.
pub type Fields = Vec<(String, String)>;

/// How a rail writes an amount.
pub type AmountText<'a> = Box<dyn Fn(Total) -> String + 'a>;

/// The rules of one rail.
pub trait RailRules: Sync {
    /// Checks and normalises a party's account.
    fn check_account(&self, fields: &BTreeMap<String, String>) -> Result<Fields, AccountError>;

    /// Checks and normalises the operator's clearing account.
    fn check_clearing(&self, fields: &BTreeMap<String, String>) -> Result<Fields, AccountError>;

    /// Whether a party's checked account is apart from the operator's. A bank moves money between
    /// any two accounts, and gives it back.
    fn check_apart(
        &self,
        _account: &[(String, String)],
        _clearing: &[(String, String)],
    ) -> Result<(), AccountError> {
        Ok(())
    }

    /// A clearing account for a first try-out; empty where nothing can be tried without a real one.
    fn placeholder(&self) -> &'static [(&'static str, &'static str)];

    /// What the rail can do with an asset.
    fn policy(&self, asset: &AssetDef, clearing: &[(String, String)]) -> Result<Policy, Refusal>;

    /// Why the rail cannot carry a computed batch, if it cannot.
    fn check_batch(&self, _content: &OpenBatch) -> Result<(), String> {
        Ok(())
    }

    /// What the rail calls a leg with this key.
    fn leg_name(&self, key: &str) -> String {
        key.to_owned()
    }

    /// The account that money leaves which goes from party to party, as the rail's answers name it.
    fn own_account<'a>(&self, _content: &'a OpenBatch, _payment: &Payment) -> &'a str {
        ""
    }

    /// How the amounts of a batch are written.
    fn amounts<'a>(&self, content: &'a OpenBatch) -> AmountText<'a> {
        Box::new(|sum| sum.decimal(content.head.asset.scale))
    }

    /// The files that it takes; `None` for a rail that is called.
    fn files(&self) -> Option<&'static dyn FileRules>;

    /// The files that it answers with; `None` for a rail that answers calls.
    fn answers(&self) -> Option<&'static dyn AnswerRules>;

    /// Whether what it says later may name a payment by its own reference only.
    fn is_known_by_reference(&self) -> bool {
        false
    }

    /// Whether a leg is SENT only while a call for it is being made.
    fn is_sent_in_calls(&self) -> bool {
        false
    }

    /// Who follows what has left, of pay-ins or of pay-outs.
    fn awaits(&self, pay_in: bool) -> Awaits;
}

/// What a rail that takes files makes of legs.
pub trait FileRules: Sync {
    /// Splits legs (their places, ascending: all of them pay-ins, or none) into what each file
    /// takes. The batch comes without its accounts.
    fn split(&self, _content: &OpenBatch, legs: &[u32]) -> Vec<Vec<u32>> {
        legs.chunks(FILE_LEGS_MAX).map(<[u32]>::to_vec).collect()
    }

    /// How the names of its files end.
    fn ending(&self) -> &'static str;

    /// Writes the legs of a part of a batch as its file with this number.
    fn write(&self, part: &OpenBatch, number: u32, out: &mut dyn Write) -> io::Result<()>;

    /// Whether it says of a file that it has taken it on, before it says what became of it.
    fn is_acknowledged(&self) -> bool;
}

/// What a rail that answers with files says.
pub trait AnswerRules: Sync {
    /// Reads an answer whole.
    fn read(&self, input: &mut dyn BufRead, known: Known<'_>) -> Result<Answer, String>;

    /// What an id in an answer says, if it may be that of a file of ours.
    fn sent(&self, _id: &str) -> Vec<Sent> {
        Vec::new()
    }
}

/// Who follows legs that have left, and where their end is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaits {
    /// A person hands files in at a bank, which answers with files.
    Bank,
    /// Payers pay by themselves; the bank's statement shows it.
    Statement,
    /// Payers pay by themselves; the chain shows it, and a person says so.
    Chain,
    /// The engine itself: what it does, in words.
    Engine(&'static str),
}
