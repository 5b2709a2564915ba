//! What operators sign with keys of their own: statements, each a digest of what it says, in a
//! context of its own, as the engine's are (`statement`).
//!
//! Owns their contexts and their bytes. Never holds a key, never signs, never checks a signature,
//! and knows nothing of where a leg may go.

use super::statement::{Statement, statement};
use super::{BatchId, Digest, NetworkId, SignerKey};

const APPROVAL_CONTEXT: &str = "tallystick 2026-11 operator approval v1";
const WORDS_CONTEXT: &str = "tallystick 2026-11 operator words v1";
const KEY_CONTEXT: &str = "tallystick 2026-11 operator key v1";
const REMOVAL_CONTEXT: &str = "tallystick 2026-11 operator key removal v1";
const CONFIRMATION_CONTEXT: &str = "tallystick 2026-11 operator confirmation v1";

/// What an operator says of one leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LegSaid<'a> {
    /// The leg's place among the batch's legs.
    pub leg: u32,
    /// Where it stands, by that: the number that the journal has for it.
    pub state: u8,
    /// The rail's own reference.
    pub reference: &'a str,
    /// Why; of an UNKNOWN leg, what the word rests on.
    pub reason: &'a str,
}

/// "The legs of this batch may leave."
#[must_use]
pub fn approval_statement(network: NetworkId, batch: BatchId) -> Statement {
    statement(APPROVAL_CONTEXT, &[&network.0, &batch.0])
}

/// "This became of these legs." In whichever order they are given, what is signed has them ordered
/// by leg; `evidence` is the digest of what the words rest on, zero for nothing.
#[must_use]
pub fn words_statement<'a>(
    network: NetworkId,
    batch: BatchId,
    evidence: Digest,
    words: impl IntoIterator<Item = LegSaid<'a>>,
) -> Statement {
    let mut words: Vec<LegSaid<'_>> = words.into_iter().collect();
    words.sort_by_key(|word| word.leg);
    let count = u32::try_from(words.len()).expect("words of one call are limited");
    let mut bytes = count.to_le_bytes().to_vec();
    for LegSaid { leg, state, reference, reason } in words {
        bytes.extend_from_slice(&leg.to_le_bytes());
        bytes.push(state);
        put(&mut bytes, reference);
        put(&mut bytes, reason);
    }
    statement(WORDS_CONTEXT, &[&network.0, &batch.0, &evidence.0, &bytes])
}

/// "I, this operator, sign with this key from now on": said with the new key, and with the one
/// before it, which is zero where there is none.
#[must_use]
pub fn operator_key_statement(
    network: NetworkId,
    operator: &str,
    next: SignerKey,
    before: Option<SignerKey>,
) -> Statement {
    let mut name = Vec::new();
    put(&mut name, operator);
    let before = before.unwrap_or(SignerKey::ZERO);
    statement(KEY_CONTEXT, &[&network.0, &name, &next.0, &before.0])
}

/// "This operator signs with this key no more."
#[must_use]
pub fn operator_removal_statement(network: NetworkId, operator: &str, key: SignerKey) -> Statement {
    let mut name = Vec::new();
    put(&mut name, operator);
    statement(REMOVAL_CONTEXT, &[&network.0, &name, &key.0])
}

/// "This proposal stands": its id covers what it changes, and who proposed it.
#[must_use]
pub fn confirmation_statement(network: NetworkId, proposal: Digest) -> Statement {
    statement(CONFIRMATION_CONTEXT, &[&network.0, &proposal.0])
}

fn put(bytes: &mut Vec<u8>, text: &str) {
    let length = u32::try_from(text.len()).expect("texts are limited");
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(leg: u32, reference: &'static str, reason: &'static str) -> LegSaid<'static> {
        LegSaid { leg, state: 5, reference, reason }
    }

    /// Signed bytes are for ever.
    #[test]
    fn golden_statements() {
        let (network, batch) = (NetworkId([1; 32]), BatchId([2; 32]));
        let hex = |s: Statement| data_encoding::HEXLOWER.encode(s.bytes());
        let words = [said(0, "R", ""), said(7, "", "why")];
        let (key, before) = (SignerKey([4; 32]), Some(SignerKey([5; 32])));
        let all = [
            hex(approval_statement(network, batch)),
            hex(words_statement(network, batch, Digest([3; 32]), words)),
            hex(operator_key_statement(network, "ann", key, None)),
            hex(operator_key_statement(network, "ann", key, before)),
            hex(operator_removal_statement(network, "ann", key)),
            hex(confirmation_statement(network, Digest([3; 32]))),
        ];
        assert_eq!(all, GOLDEN);
    }

    /// Made by another program (Python, blake3).
    const GOLDEN: [&str; 6] = [
        "8f437fc4d0bdd5b1c4dbed01b24a5c4c0760eb7149dee0b83e847312c91126f6",
        "ad13a79dbd01c62a61664374ff5ee0e8e1e31f1e5a35db09de17f7a1c40301df",
        "7df9efe925283c577277e38df73e06c7dd903991ffeb28b92bd6e61bd8189ccc",
        "209eb25d2a5a1b39ade185aea098f0491977c4a66f14e5d266d518feda52f775",
        "9a494247511bce9785f23c2fea070c6633a51c1e55443532315f4999720172e6",
        "5920a436ad3b7c2a8062461066f3fd242b6241fd316a01ebd6e9ff77f9378773",
    ];

    #[test]
    fn words_are_ordered_by_leg_and_no_part_of_them_can_stand_for_another() {
        let (network, batch, evidence) = (NetworkId([1; 32]), BatchId([2; 32]), Digest::ZERO);
        let of = |words: &[LegSaid<'static>]| {
            words_statement(network, batch, evidence, words.iter().copied())
        };
        let one = said(0, "R", "ab");
        assert_eq!(of(&[one, said(3, "", "")]), of(&[said(3, "", ""), one]));
        let others = [
            said(1, "R", "ab"),
            said(0, "Ra", "b"),
            said(0, "", "Rab"),
            LegSaid { state: 6, ..one },
        ];
        assert!(others.iter().all(|other| of(&[*other]) != of(&[one])));
        assert_ne!(of(&[one, one]), of(&[one]));
        assert_ne!(words_statement(network, batch, Digest([9; 32]), [one]), of(&[one]));
    }
}
