//! The portable backend: the strict predicate in plain 64-bit arithmetic, one signature after the
//! other, with a table per key. Owns the order of the checks; the same method as `lanes`, so each
//! can be read beside the other. Never decides who has a table.

mod build;
mod field;
mod point;
#[cfg(test)]
mod tests;

use crate::scalar::{self, Digits, SMALL_ORDER, words};
use crate::table::{Entry, Shape, Table};
use crate::verifier::Job;
use crate::{SIGNATURE_BYTES, Verdict, reference};
use field::invert_all;
use point::{Completed, Niels, Projective};
use sha2::{Digest, Sha512};
use std::hint::black_box;

pub(crate) use build::{build, negated};

/// A signature of which all is done but the division by Z.
struct Pending {
    job: usize,
    expected: [u64; 4],
    computed: Projective,
}

/// Says of each job whether its signature is valid, in order. `base` holds multiples of the base
/// point in `Shape::BASE`; jobs without a table are left to the reference.
pub(crate) fn check(jobs: &[Job<'_>], base: &[Entry], verdicts: &mut Vec<Verdict>) {
    assert_eq!(base.len(), Shape::BASE.entries(), "the base point's table has its own shape");
    let first = verdicts.len();
    let mut terms = Vec::new();
    let mut pending = Vec::with_capacity(jobs.len());
    for (job, Job { check, table }) in jobs.iter().enumerate() {
        let Some(table) = table else {
            verdicts.push(reference::check(check));
            continue;
        };
        verdicts.push(Verdict::Bad);
        let (expected, s) = halves(check.signature);
        if scalar::is_reduced(&s) && !SMALL_ORDER.contains(&expected) {
            let k = challenge(check.signature, check.key.bytes(), check.message);
            let computed = combine(&mut terms, (&s, base), (&k, table));
            pending.push(Pending { job, expected, computed });
        }
    }
    // A sound table never leads to Z = 0. From a damaged one it gives zero for 1/Z and with that
    // the encoding of a point of small order, which no R is here: bad, and no harm to the
    // neighbours.
    let denominators: Vec<_> = pending.iter().map(|pending| pending.computed.z).collect();
    for (pending, inverse) in pending.iter().zip(invert_all(&denominators)) {
        if pending.computed.encode(inverse) == pending.expected {
            verdicts[first + pending.job] = Verdict::Valid;
        }
    }
}

/// R and s.
fn halves(signature: &[u8; SIGNATURE_BYTES]) -> ([u64; 4], [u64; 4]) {
    let (halves, _) = signature.as_chunks::<32>();
    (words(&halves[0]), words(&halves[1]))
}

/// k = SHA-512(R || A || M) mod L.
fn challenge(signature: &[u8; SIGNATURE_BYTES], key: &[u8; 32], message: &[u8]) -> [u64; 4] {
    let digest = Sha512::new().chain_update(&signature[..32]).chain_update(key);
    scalar::reduce(&digest.chain_update(message).finalize().into())
}

/// R' = s B - k A, if all is well with the tables. `terms` is room that is used again and again.
fn combine<'a>(
    terms: &mut Vec<Term<'a>>,
    (s, base): (&[u64; 4], &'a [Entry]),
    (k, table): (&[u64; 4], &'a Table),
) -> Projective {
    let shape = table.tier.shape();
    terms.clear();
    terms.extend(choose(k, &table.entries, shape));
    let of_base = terms.len();
    terms.extend(choose(s, base, Shape::BASE));
    fetch(terms);
    let sum = add_all(Completed::identity(), &terms[..of_base], shape);
    add_all(sum, &terms[of_base..], Shape::BASE).projective()
}

/// One digit of a scalar: the entry to add, or to take away.
struct Term<'a> {
    entry: &'a Entry,
    negative: bool,
}

/// A table's entries for k times its point, in the order in which `add_all` takes them: digits of
/// the same index modulo the stride together, the highest first.
fn choose<'a>(
    k: &[u64; 4],
    entries: &'a [Entry],
    shape: Shape,
) -> impl Iterator<Item = Term<'a>> + use<'a> {
    let digits = Digits::new(k, shape);
    let indices = (0..shape.stride).rev().flat_map(move |step| {
        (0..shape.blocks()).map(move |block| (block, block * shape.stride + step))
    });
    indices.map(move |(block, digit)| {
        let (multiple, negative) = digits.get(digit);
        Term { entry: &entries[block * shape.block_entries() + multiple], negative }
    })
}

/// Brings all entries into the first cache, where tables seldom are. Read here, they are waited for
/// together; read one by one between additions, they took two fifths of all time.
fn fetch(terms: &[Term<'_>]) {
    black_box(terms.iter().fold(0, |all, term| all ^ Niels::touch(term.entry)));
}

/// Adds the terms of one table to a sum. Each step of the stride but the first doubles what is
/// there, so with more than one step the sum must be the identity.
#[inline(always)]
fn add_all(mut sum: Completed, terms: &[Term<'_>], shape: Shape) -> Completed {
    for (step, terms) in terms.chunks_exact(shape.blocks()).enumerate() {
        if step > 0 {
            for _ in 0..shape.window {
                sum = sum.projective().double();
            }
        }
        for Term { entry, negative } in terms {
            sum = sum.point().add_niels(&Niels::unpack(entry, *negative));
        }
    }
    sum
}
