//! Proofs and receipts as JSON documents. Owns their members; bytes are lowercase hexadecimal, sums
//! are strings of decimal digits.

use crate::ledger::{EVIDENCE_BYTES, EVIDENCE_BYTES_WITH_PATH};
use crate::types::{Digest, MerklePath, Packed, Sibling};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::error::Category;

/// What a proof's member `format` says.
pub const PROOF_FORMAT: &str = "tallystick proof v2";
/// What that of a proof says that holds entries of bundles.
pub const PROOF_FORMAT_3: &str = "tallystick proof v3";
/// What a receipt's member `format` says.
pub const RECEIPT_FORMAT: &str = "tallystick receipt v2";
/// What that of a receipt of before says, which has no `path`.
pub const RECEIPT_FORMAT_1: &str = "tallystick receipt v1";

/// What that of a receipt for an entry of a bundle says.
pub const RECEIPT_FORMAT_3: &str = "tallystick receipt v3";

/// Bytes as lowercase hexadecimal digits, and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hex<const N: usize>(pub [u8; N]);

impl<const N: usize> Serialize for Hex<N> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        const { assert!(N <= EVIDENCE_BYTES, "a longer one needs more room") };
        // On the stack: a receipt has some ten of them.
        let mut digits = [0; 2 * EVIDENCE_BYTES];
        let digits = digits.get_mut(..2 * N).expect("it is no longer");
        data_encoding::HEXLOWER.encode_mut(&self.0, digits);
        out.serialize_str(std::str::from_utf8(digits).expect("digits are text"))
    }
}

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).ok();
        bytes.and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or_else(|| {
            let shown: String = text.chars().take(80).collect();
            let digits = 2 * N;
            serde::de::Error::custom(format!(
                "expected {digits} lowercase hexadecimal digits, got {shown:?}"
            ))
        })
    }
}

/// The bytes of a piece of evidence, in the same writing: as many as it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HexPiece(pub Vec<u8>);

impl HexPiece {
    /// Whether it is of an entry of a bundle.
    #[must_use]
    pub fn is_entry(&self) -> bool {
        let voucher = self.0.get(16..).and_then(|rest| rest.first_chunk());
        voucher.is_some_and(|voucher| Packed(voucher).seat().is_some())
    }
}

impl Serialize for HexPiece {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for HexPiece {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).ok();
        let lengths = EVIDENCE_BYTES..=EVIDENCE_BYTES_WITH_PATH;
        bytes.filter(|bytes| lengths.contains(&bytes.len())).map(Self).ok_or_else(|| {
            let shown: String = text.chars().take(80).collect();
            let digits = 2 * EVIDENCE_BYTES;
            serde::de::Error::custom(format!(
                "expected {digits} lowercase hexadecimal digits, or some more of an entry of a bundle, \
                 got {shown:?}"
            ))
        })
    }
}

/// A document that can be checked on its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// What one pair owes, or one party's position.
    Proof(Box<Proof>),
    /// That a voucher was credited.
    Receipt(Box<Receipt>),
}

/// A proof of a pair or a position in one asset of one window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// `PROOF_FORMAT`, or `PROOF_FORMAT_3`.
    pub format: String,
    /// The deployment.
    pub network_id: Hex<32>,
    /// The engine's key that signed the window.
    pub engine_key: Hex<32>,
    /// The window.
    pub window: WindowProof,
    /// The roots of every asset of the window, ascending.
    pub assets: Vec<AssetRoots>,
    /// The asset that the rest is about.
    pub asset: u32,
    /// The party's position, if that is what is proved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<PositionProof>,
    /// What the pair owes, or what makes up the position, in the order of the tree.
    pub pairs: Vec<PairProof>,
    /// For whom the signers of the vouchers below sign, ordered by signer.
    pub signers: Vec<SignerParty>,
}

/// A window and the engine's signature over it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowProof {
    /// Its number.
    pub number: u64,
    /// Its root.
    pub root: Hex<32>,
    /// The record that closed it.
    pub cut_lsn: u64,
    /// That record's digest.
    pub cut_digest: Hex<32>,
    /// When, in microseconds since 1970.
    pub cut_at_us: i64,
    /// Vouchers credited in it.
    pub credited: u64,
    /// The engine's signature over the window's statement.
    pub signature: Hex<64>,
}

/// The roots of one asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssetRoots {
    /// Its number.
    pub asset: u32,
    /// Root over obligations and carry.
    pub obligations_root: Hex<32>,
    /// Root over positions.
    pub positions_root: Hex<32>,
}

/// A position and its path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PositionProof {
    /// Whose.
    pub party_id: Hex<32>,
    /// Received minus sent, in decimal digits, perhaps with `-`.
    pub net: String,
    /// The digests beside the way from the leaf to the root.
    pub path: Vec<Step>,
}

/// One digest beside the way from a leaf to the root: on which side it is, and what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Hashed before what the way has given so far.
    Left(Hex<32>),
    /// Hashed after it.
    Right(Hex<32>),
}

/// Which kind of leaf a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowKind {
    /// Signed by the payer in this window.
    Obligation,
    /// Left by an earlier batch.
    Carried,
}

/// What one payer owes one payee, its path and its evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairProof {
    /// Obligation or carry.
    pub kind: RowKind,
    /// Who owes.
    pub payer: Hex<32>,
    /// Who is owed.
    pub payee: Hex<32>,
    /// How much, in decimal digits.
    pub amount: String,
    /// The digests beside the way from the leaf to the root.
    pub path: Vec<Step>,
    /// The evidence, in order; none for a carry.
    pub evidence: Vec<HexPiece>,
}

/// For whom a signer signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignerParty {
    /// The key.
    pub signer: Hex<32>,
    /// The party.
    pub party_id: Hex<32>,
}

/// The engine's word that a voucher was credited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// `RECEIPT_FORMAT`, or that of an entry of a bundle, or of before.
    pub format: String,
    /// The deployment.
    pub network_id: Hex<32>,
    /// The engine's key that signed.
    pub engine_key: Hex<32>,
    /// The newest voucher of the channel that was credited, packed.
    pub voucher: Hex<160>,
    /// Of an entry of a bundle: the digests from its leaf to the root that was signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle_path: Option<Vec<Hex<32>>>,
    /// The record that credited it.
    pub lsn: u64,
    /// When the receipt was made, in microseconds since 1970.
    pub at_us: i64,
    /// From its leaf to the root of all receipts that were signed at once: empty where it is the
    /// only one. `None` in a receipt of before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<Vec<Step>>,
    /// The engine's signature over the root's statement; over its own in a receipt of before.
    pub signature: Hex<64>,
}

impl Document {
    /// Reads a document.
    ///
    /// # Errors
    /// A text that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Named {
            format: String,
        }
        let named: Named = serde_json::from_str(text).map_err(|error| {
            let why = match error.classify() {
                Category::Data => "it has no member `format`",
                Category::Syntax | Category::Eof | Category::Io => "not JSON",
            };
            format!(
                "it is not a proof or a receipt ({why}): name a file that `tallystick proof` or `tallystick \
                 receipt` has written"
            )
        })?;
        let wrong = |e: serde_json::Error| format!("it is no {}: {e}", named.format);
        match named.format.as_str() {
            PROOF_FORMAT | PROOF_FORMAT_3 => {
                serde_json::from_str(text).map(Self::Proof).map_err(wrong)
            }
            RECEIPT_FORMAT | RECEIPT_FORMAT_1 | RECEIPT_FORMAT_3 => {
                serde_json::from_str(text).map(Self::Receipt).map_err(wrong)
            }
            other => Err(format!(
                "its format is {:?}; this program reads {PROOF_FORMAT:?}, {PROOF_FORMAT_3:?}, {RECEIPT_FORMAT:?} and {RECEIPT_FORMAT_3:?}",
                other.chars().take(80).collect::<String>()
            )),
        }
    }

    /// The document on one line, with a line end.
    #[must_use]
    pub fn text(&self) -> String {
        let text = match self {
            Self::Proof(proof) => serde_json::to_string(proof),
            Self::Receipt(receipt) => serde_json::to_string(receipt),
        };
        text.expect("plain data has a JSON form") + "\n"
    }
}

/// A path as it is written.
#[must_use]
pub fn write_path(path: &MerklePath) -> Vec<Step> {
    let step = |sibling: &Sibling| match *sibling {
        Sibling::Left(digest) => Step::Left(Hex(digest.0)),
        Sibling::Right(digest) => Step::Right(Hex(digest.0)),
    };
    path.0.iter().map(step).collect()
}

/// A path as it was written.
pub(super) fn read_path(path: &[Step]) -> MerklePath {
    let sibling = |step: &Step| match *step {
        Step::Left(digest) => Sibling::Left(Digest(digest.0)),
        Step::Right(digest) => Sibling::Right(Digest(digest.0)),
    };
    MerklePath(path.iter().map(sibling).collect())
}
