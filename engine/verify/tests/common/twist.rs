//! The ways to spoil a signature, or to make a strange valid one. Each is a function of the
//! signature, its signer and one number, so that a case can be made again.

use super::forge::{Case, Signer, bytes, edges, minus, non_canonical, plus_order, small_order};
use super::forge::{L, words};
use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::{EdwardsPoint, Scalar};
use sha2::{Digest as _, Sha512};
use std::sync::OnceLock;

/// What is done to a valid signature.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Twist {
    /// Nothing.
    Valid,
    /// One bit of R flips.
    FlipR,
    /// The sign bit of R flips.
    NegateR,
    /// One bit of s flips.
    FlipS,
    /// L - s for s.
    NegateS,
    /// A multiple of L is added to s.
    RaiseS,
    /// s becomes an edge.
    EdgeS,
    /// R becomes an edge.
    EdgeR,
    /// R becomes an edge, and s the answer for a known point.
    AnsweredEdgeR,
    /// One bit of the message flips.
    FlipMessage,
    /// The message loses or gains a byte.
    ResizeMessage,
    /// The key is another's.
    OtherKey,
    /// R becomes a point of small order, in any encoding.
    SmallR,
    /// The same, with s such that sB = kA.
    AnsweredSmallR,
    /// y >= p in R.
    NonCanonicalR,
    /// The same, with s such that sB = kA.
    AnsweredNonCanonicalR,
    /// R gains a component of order 2, 4 or 8.
    TorsionR,
    /// The same, hashed into k by the signer.
    MixedR,
    /// A nonce near 0: valid unless it is 0.
    SmallNonce,
    /// R is the negative of the point that comes out.
    OppositeR,
    /// R and s change places.
    Swap,
    /// Nothing of it is left.
    Noise,
}

impl Twist {
    pub const ALL: [Self; 22] = [
        Self::Valid,
        Self::FlipR,
        Self::NegateR,
        Self::FlipS,
        Self::NegateS,
        Self::RaiseS,
        Self::EdgeS,
        Self::EdgeR,
        Self::AnsweredEdgeR,
        Self::FlipMessage,
        Self::ResizeMessage,
        Self::OtherKey,
        Self::SmallR,
        Self::AnsweredSmallR,
        Self::NonCanonicalR,
        Self::AnsweredNonCanonicalR,
        Self::TorsionR,
        Self::MixedR,
        Self::SmallNonce,
        Self::OppositeR,
        Self::Swap,
        Self::Noise,
    ];

    /// The signature, twisted. `valid` is `signer.sign(message)`; `other` is another's key.
    pub fn apply(self, valid: &Case, signer: &Signer, other: &[u8; 32], dice: u64) -> Case {
        let message = &valid.message;
        let lists = lists();
        match self {
            Self::Valid => valid.clone(),
            Self::FlipR => valid.with_r(flipped(valid.r(), dice)),
            Self::NegateR => valid.with_r(flipped(valid.r(), 255)),
            Self::FlipS => valid.with_s(flipped(valid.s(), dice)),
            Self::NegateS => valid.with_s(bytes(minus(L, words(&valid.s())))),
            Self::RaiseS => valid.with_s(plus_order(valid.s(), dice % 15 + 1)),
            Self::EdgeS => valid.with_s(pick(&lists.edges, dice)),
            Self::EdgeR => valid.with_r(pick(&lists.edges, dice)),
            Self::AnsweredEdgeR => signer.answer(Scalar::ONE, pick(&lists.edges, dice), message),
            Self::FlipMessage => with_message(valid, flip_message, dice),
            Self::ResizeMessage => with_message(valid, resize_message, dice),
            Self::OtherKey => Case { key: *other, ..valid.clone() },
            Self::SmallR => valid.with_r(pick(&lists.small, dice)),
            Self::AnsweredSmallR => signer.answer(Scalar::ZERO, pick(&lists.small, dice), message),
            Self::NonCanonicalR => valid.with_r(pick(&lists.wide, dice)),
            Self::AnsweredNonCanonicalR => {
                signer.answer(Scalar::ZERO, pick(&lists.wide, dice), message)
            }
            Self::TorsionR => {
                let r = CompressedEdwardsY(valid.r()).decompress().expect("R was computed");
                valid.with_r((r + pick(&EIGHT_TORSION[1..], dice)).compress().0)
            }
            Self::MixedR => {
                signer.sign_mixed(signer.nonce(message), &pick(&EIGHT_TORSION[1..], dice), message)
            }
            Self::SmallNonce => {
                let nonce = Scalar::from(dice % 64 / 2);
                signer.sign_with(if dice & 1 == 0 { nonce } else { -nonce }, message)
            }
            Self::OppositeR => {
                let nonce = signer.nonce(message);
                signer.answer(-nonce, EdwardsPoint::mul_base(&nonce).compress().0, message)
            }
            Self::Swap => Case::new(valid.key, message, valid.s(), valid.r()),
            Self::Noise => {
                let noise = Sha512::digest(dice.to_le_bytes()).into();
                let mut case = Case { signature: noise, ..valid.clone() };
                // s is below L in every other case, else hardly ever.
                if dice & 1 == 0 {
                    case.signature[63] &= 0x0f;
                }
                case
            }
        }
    }
}

struct Lists {
    edges: Vec<[u8; 32]>,
    small: Vec<[u8; 32]>,
    wide: Vec<[u8; 32]>,
}

fn lists() -> &'static Lists {
    static LISTS: OnceLock<Lists> = OnceLock::new();
    LISTS.get_or_init(|| Lists { edges: edges(), small: small_order(), wide: non_canonical() })
}

/// A number below `end`.
pub fn below(end: usize, dice: u64) -> usize {
    let end = u64::try_from(end).expect("lengths fit 64 bits");
    usize::try_from(dice % end).expect("it is below a length")
}

fn pick<T: Copy>(list: &[T], dice: u64) -> T {
    list[below(list.len(), dice)]
}

fn flipped(mut bytes: [u8; 32], dice: u64) -> [u8; 32] {
    let bit = below(256, dice);
    bytes[bit / 8] ^= 1 << (bit % 8);
    bytes
}

fn with_message(valid: &Case, change: fn(&mut Vec<u8>, u64), dice: u64) -> Case {
    let mut case = valid.clone();
    change(&mut case.message, dice);
    case
}

fn flip_message(message: &mut Vec<u8>, dice: u64) {
    if message.is_empty() {
        message.push(0);
    } else {
        let bit = below(8 * message.len(), dice);
        message[bit / 8] ^= 1 << (bit % 8);
    }
}

fn resize_message(message: &mut Vec<u8>, dice: u64) {
    if dice & 1 == 0 || message.pop().is_none() {
        message.push(0x80);
    }
}
