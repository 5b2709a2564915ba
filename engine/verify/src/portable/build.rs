//! Builds tables: the odd multiples of one point in the format of `table.rs`. Owns nothing of who
//! gets a table or what it is used for.

use super::field::invert_all;
use super::point::{Niels, Point};
use crate::scalar::words;
use crate::table::{Entry, Shape};

/// The encoding of the negative point.
pub(crate) fn negated(mut key: [u8; 32]) -> [u8; 32] {
    key[31] ^= 0x80;
    key
}

/// The table of the negative of the point with this encoding; `None` if it encodes no point.
pub(crate) fn build(key: &[u8; 32], shape: Shape) -> Option<Box<[Entry]>> {
    let points = multiples(Point::decode(&words(key))?.negate(), shape);
    let denominators: Vec<_> = points.iter().map(|point| point.z).collect();
    let inverses = invert_all(&denominators);
    let affine = points.iter().zip(inverses).map(|(p, inverse)| (p.x * inverse, p.y * inverse));
    Some(affine.map(|(x, y)| Niels::pack(x, y)).collect())
}

/// Block after block, the odd multiples of 2^(window * stride * block) times the point.
fn multiples(mut point: Point, shape: Shape) -> Vec<Point> {
    let mut points = Vec::with_capacity(shape.entries());
    for block in 0..shape.blocks() {
        if block > 0 {
            point = doubled(point, shape.window * shape.stride);
        }
        let twice = doubled(point, 1).cached();
        let mut multiple = point;
        points.push(multiple);
        for _ in 1..shape.block_entries() {
            multiple = multiple.add(&twice).point();
            points.push(multiple);
        }
    }
    points
}

/// Times 2^n, n > 0.
fn doubled(point: Point, n: usize) -> Point {
    let first = point.projective().double();
    (1..n).fold(first, |double, _| double.projective().double()).point()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::portable::point::tests::encode_entry;
    use curve25519_dalek::constants::{ED25519_BASEPOINT_COMPRESSED, ED25519_BASEPOINT_POINT};
    use curve25519_dalek::edwards::CompressedEdwardsY;
    use curve25519_dalek::{EdwardsPoint, Scalar};

    /// Compares every n-th entry, and the first and the last of each block.
    fn assert_holds_multiples(table: &[Entry], mut point: EdwardsPoint, shape: Shape, n: usize) {
        assert_eq!(table.len(), shape.entries());
        let mut compared = 0;
        for (number, block) in table.chunks_exact(shape.block_entries()).enumerate() {
            let twice = point + point;
            let mut multiple = point;
            for (i, entry) in block.iter().enumerate() {
                if i % n == 0 || i + 1 == block.len() {
                    let expected = words(&multiple.compress().0);
                    assert_eq!(encode_entry(entry), expected, "block {number}, entry {i}");
                    compared += 1;
                }
                multiple += twice;
            }
            for _ in 0..shape.window * shape.stride {
                point += point;
            }
        }
        assert!(compared >= 2 * shape.blocks());
    }

    #[test]
    fn tables_of_keys_hold_the_odd_multiples_of_the_negative_point() {
        for secret in [1_u64, 2, 0xdead_beef] {
            let key = ED25519_BASEPOINT_POINT * Scalar::from(secret);
            for shape in [Shape::TINY, Shape::SMALL, Shape::LARGE, Shape::HOT] {
                let table = build(&key.compress().0, shape).expect("it is a point");
                assert_holds_multiples(&table, -key, shape, 1);
            }
        }
    }

    #[test]
    fn the_base_point_s_table_holds_its_odd_multiples() {
        let table = build(&negated(ED25519_BASEPOINT_COMPRESSED.0), Shape::BASE);
        let table = table.expect("it is a point");
        assert_holds_multiples(&table, ED25519_BASEPOINT_POINT, Shape::BASE, 37);
    }

    #[test]
    fn only_points_have_a_table() {
        let mut found = [0, 0];
        for y in 0..64 {
            let key = [y; 32];
            let is_point = CompressedEdwardsY(key).decompress().is_some();
            assert_eq!(build(&key, Shape::TINY).is_some(), is_point);
            found[usize::from(is_point)] += 1;
        }
        assert!(found[0] > 0 && found[1] > 0, "{found:?}");
    }

    #[test]
    fn the_negated_encoding_is_dalek_s() {
        let encoding = |point: EdwardsPoint| point.compress().0;
        let point = ED25519_BASEPOINT_POINT * Scalar::from(7_u8);
        assert_eq!(negated(encoding(point)), encoding(-point));
        assert_eq!(negated(encoding(-point)), encoding(point));
    }
}
