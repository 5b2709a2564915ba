//! What the engine signs with its own key: statements, each a digest of what it says.
//!
//! Owns their contexts and their bytes. Never holds a key, never signs, never checks a signature.

use super::digest::Context;
use super::{BatchId, Digest, Lsn, NetworkId, SignerKey, Timestamp, VOUCHER_BYTES, WindowNumber};

const WINDOW_CONTEXT: &str = "tallystick 2026-11 window statement v1";
const BATCH_CONTEXT: &str = "tallystick 2026-11 batch statement v1";
const RECEIPT_CONTEXT: &str = "tallystick 2026-11 receipt v1";
const KEY_CONTEXT: &str = "tallystick 2026-11 key statement v1";

/// The digest that is signed, as 32 bytes. Only the functions below make one, each in a context of
/// its own, so that no signature over one kind of statement says anything of another kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement(Digest);

impl Statement {
    /// The bytes that are signed.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0.0
    }
}

fn statement(context: &str, parts: &[&[u8]]) -> Statement {
    Statement(Context::new(context).hash(parts))
}

/// "This is what the window was, and this its root."
#[must_use]
pub fn window_statement(
    network: NetworkId,
    window: WindowNumber,
    root: Digest,
    cut_lsn: Lsn,
    cut_at: Timestamp,
    credited: u64,
) -> Statement {
    statement(
        WINDOW_CONTEXT,
        &[
            &network.0,
            &window.0.to_le_bytes(),
            &root.0,
            &cut_lsn.0.to_le_bytes(),
            &cut_at.0.to_le_bytes(),
            &credited.to_le_bytes(),
        ],
    )
}

/// "This batch is mine": its id is the hash of all its content.
#[must_use]
pub fn batch_statement(network: NetworkId, batch: BatchId) -> Statement {
    statement(BATCH_CONTEXT, &[&network.0, &batch.0])
}

/// "This voucher is credited, by the record `lsn`; I said so at `at`."
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
        let window = window_statement(network, number, Digest([2; 32]), lsn, at, 5);
        let mut all = vec![hex(window)];
        all.push(hex(batch_statement(network, BatchId([2; 32]))));
        all.push(hex(receipt_statement(network, &[2; VOUCHER_BYTES], lsn, at)));
        all.push(hex(key_statement(network, SignerKey([2; 32]))));
        assert_eq!(all, GOLDEN);
    }

    /// Made by another program (Python, blake3).
    const GOLDEN: [&str; 4] = [
        "09326eb475c1401d13bf84c9c756a42a71f6494a932a2088bc99ad3233d427b5",
        "8aac5ba96e23c4191f3d5e2e2c57f6f35a774d8314ee96fc77d59878fd75a278",
        "df3a061bfd5cd4bc472a7becfc798715c6fc00f4e9e855ef64a3a2700672f86a",
        "5908ade8b30f2d547ee4e306bd52469171626f4fc7391672901eb2a742d9fc7a",
    ];
}
