//! What the engine signs with its own key: statements, each a digest of what it says.
//!
//! Those about a window, a batch and the end of an export hold the digest of an event. That digest
//! covers every event up to it, so whoever changes one of them, or leaves one out, needs the key.
//!
//! Owns their contexts and their bytes. Never holds a key, never signs, never checks a signature.

use super::digest::Context;
use super::{BatchId, Digest, Lsn, NetworkId, SignerKey, Timestamp, VOUCHER_BYTES, WindowNumber};

/// An event, and with it every event before it: its digest covers the digest of the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct History {
    /// The event's position.
    pub lsn: Lsn,
    /// Its record's digest.
    pub digest: Digest,
}

const WINDOW_CONTEXT: &str = "tallystick 2026-11 window statement v2";
const BATCH_CONTEXT: &str = "tallystick 2026-11 batch statement v2";
const RECEIPT_CONTEXT: &str = "tallystick 2026-11 receipt v1";
const RECEIPTS_CONTEXT: &str = "tallystick 2026-11 receipts v2";
const END_CONTEXT: &str = "tallystick 2026-11 export end v1";
const KEY_CONTEXT: &str = "tallystick 2026-11 key statement v1";

/// A voucher, the position of its record, and a time.
const RECEIPT_LEAF_BYTES: usize = VOUCHER_BYTES + 16;

/// The digest that is signed, as 32 bytes. Only the functions below, and those of what operators
/// sign (`said`), make one, each in a context of its own, so that no signature over one kind of
/// statement says anything of another kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement(Digest);

impl Statement {
    /// The bytes that are signed.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0.0
    }
}

pub(super) fn statement(context: &str, parts: &[&[u8]]) -> Statement {
    Statement(Context::new(context).hash(parts))
}

/// "This is what the window was, and this its root." `cut` is the record that closed it.
#[must_use]
pub fn window_statement(
    network: NetworkId,
    window: WindowNumber,
    root: Digest,
    cut: History,
    cut_at: Timestamp,
    credited: u64,
) -> Statement {
    statement(
        WINDOW_CONTEXT,
        &[
            &network.0,
            &window.0.to_le_bytes(),
            &root.0,
            &cut.lsn.0.to_le_bytes(),
            &cut.digest.0,
            &cut_at.0.to_le_bytes(),
            &credited.to_le_bytes(),
        ],
    )
}

/// "This batch is mine": its id is the hash of all its content. `operator` computed it, and with
/// `four_eyes` another one must approve it; `history` is what had happened when it was signed.
#[must_use]
pub fn batch_statement(
    network: NetworkId,
    batch: BatchId,
    history: History,
    operator: &str,
    four_eyes: bool,
) -> Statement {
    let length = u64::try_from(operator.len()).expect("a length fits 64 bits");
    statement(
        BATCH_CONTEXT,
        &[
            &network.0,
            &batch.0,
            &history.lsn.0.to_le_bytes(),
            &history.digest.0,
            &[u8::from(four_eyes)],
            &length.to_le_bytes(),
            operator.as_bytes(),
        ],
    )
}

/// "Up to this event, this is all that happened": the end of an export, signed at `at`.
#[must_use]
pub fn end_statement(network: NetworkId, last: History, at: Timestamp) -> Statement {
    let (lsn, at) = (last.lsn.0.to_le_bytes(), at.0.to_le_bytes());
    statement(END_CONTEXT, &[&network.0, &lsn, &last.digest.0, &at])
}

/// "This voucher is credited, by the record `lsn`; I said so at `at`." As receipts were signed
/// before several were at once: it is still checked.
#[must_use]
pub fn receipt_statement(
    network: NetworkId,
    voucher: &[u8; VOUCHER_BYTES],
    lsn: Lsn,
    at: Timestamp,
) -> Statement {
    let (lsn, at) = (lsn.0.to_le_bytes(), at.0.to_le_bytes());
    statement(RECEIPT_CONTEXT, &[&network.0, voucher, &lsn, &at])
}

/// A receipt's leaf in the tree of those that are signed at once: voucher, record, and when it was
/// said.
#[must_use]
pub fn receipt_leaf(
    voucher: &[u8; VOUCHER_BYTES],
    lsn: Lsn,
    at: Timestamp,
) -> [u8; RECEIPT_LEAF_BYTES] {
    let mut leaf = [0; RECEIPT_LEAF_BYTES];
    leaf[..VOUCHER_BYTES].copy_from_slice(voucher);
    leaf[VOUCHER_BYTES..VOUCHER_BYTES + 8].copy_from_slice(&lsn.0.to_le_bytes());
    leaf[VOUCHER_BYTES + 8..].copy_from_slice(&at.0.to_le_bytes());
    leaf
}

/// "The vouchers that are the leaves of this tree are credited": `root` is that of one or more
/// leaves as `receipt_leaf` makes them.
#[must_use]
pub fn receipts_statement(network: NetworkId, root: Digest) -> Statement {
    statement(RECEIPTS_CONTEXT, &[&network.0, &root.0])
}

/// "I sign with this key from now on", said with the key before it.
#[must_use]
pub fn key_statement(network: NetworkId, next: SignerKey) -> Statement {
    statement(KEY_CONTEXT, &[&network.0, &next.0])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Signed bytes are for ever.
    #[test]
    fn golden_statements() {
        let network = NetworkId([1; 32]);
        let hex = |s: Statement| data_encoding::HEXLOWER.encode(s.bytes());
        let (number, lsn, at) = (WindowNumber(3), Lsn(7), Timestamp(9));
        let history = History { lsn, digest: Digest([3; 32]) };
        let window = window_statement(network, number, Digest([2; 32]), history, at, 5);
        let mut all = vec![hex(window)];
        all.push(hex(batch_statement(network, BatchId([2; 32]), history, "ann", true)));
        all.push(hex(end_statement(network, history, at)));
        all.push(hex(receipt_statement(network, &[2; VOUCHER_BYTES], lsn, at)));
        all.push(hex(key_statement(network, SignerKey([2; 32]))));
        all.push(hex(receipts_statement(network, Digest([2; 32]))));
        assert_eq!(all, GOLDEN);
    }

    /// Made by another program (Python, blake3).
    const GOLDEN: [&str; 6] = [
        "87945d11fc2c2159e360ee70610c2c80794ed1fb3e2e7cf7d4b31ebdf99ba82e",
        "9ae79e023883c6cbd2190ac90ee32b40581ce48896c5a82108b4539593b54b90",
        "b4dcdb14c1c68e5e01fa17a830cc88eea848ec306ae4a0324265783c79704e3f",
        "df3a061bfd5cd4bc472a7becfc798715c6fc00f4e9e855ef64a3a2700672f86a",
        "5908ade8b30f2d547ee4e306bd52469171626f4fc7391672901eb2a742d9fc7a",
        "2d935a6c8c8a9af383631ca333095ee57adad1cdf27b37a72932168d86fd2b3c",
    ];
}
