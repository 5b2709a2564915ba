//! Points of the curve -x^2 + y^2 = 1 + d x^2 y^2 (RFC 8032, section 5.1). Owns the formulas; never
//! knows scalars or keys. All formulas are complete on this curve (-1 is a square, d is not: Hisil,
//! Wong, Carter, Dawson, "Twisted Edwards Curves Revisited", ASIACRYPT 2008, section 3.1), so no
//! point, not even the identity, is a special case.

use super::field::{Field, Sum};
use crate::table::Entry;

/// -121665/121666.
const D: Field = Field::unpack(&[
    0x75eb_4dca_1359_78a3,
    0x0070_0a4d_4141_d8ab,
    0x8cc7_4079_7779_e898,
    0x5203_6cee_2b6f_fe73,
]);

/// 2d.
const TWICE_D: Field = Field::unpack(&[
    0xebd6_9b94_26b2_f159,
    0x00e0_149a_8283_b156,
    0x198e_80f2_eef3_d130,
    0x2406_d9dc_56df_fce7,
]);

/// 2^((p-1)/4), a square root of -1.
const SQRT_MINUS_ONE: Field = Field::unpack(&[
    0xc4ee_1b27_4a0e_a0b0,
    0x2f43_1806_ad2f_e478,
    0x2b4d_0099_3dfb_d7a7,
    0x2b83_2480_4fc1_df0b,
]);

/// x = X/Z, y = Y/Z, T = XY/Z: what an addition starts from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point {
    pub x: Field,
    pub y: Field,
    pub z: Field,
    pub t: Field,
}

/// The same without T: all that a doubling or an encoding needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Projective {
    pub x: Field,
    pub y: Field,
    pub z: Field,
}

/// What an addition or a doubling leaves, before its last multiplications: X = EF, Y = GH, Z = FG,
/// T = EH. What comes next decides whether T is needed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Completed {
    e: Sum,
    f: Sum,
    g: Sum,
    h: Sum,
}

/// An affine point, prepared to be added often: an entry of a table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Niels {
    y_plus_x: Field,
    y_minus_x: Field,
    xy2d: Sum,
}

/// A point that is no affine one, prepared to be added several times.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cached {
    y_plus_x: Sum,
    y_minus_x: Sum,
    z: Field,
    t2d: Field,
}

impl Niels {
    /// The point of an entry, or its negative: of (x, y) that is (-x, y). Bits of the entry that no
    /// canonical number has are ignored. No branch: a sign is as good as a coin, and every second
    /// guess of the CPU would be wrong.
    #[inline(always)]
    pub fn unpack(entry: &Entry, negative: bool) -> Self {
        let sums = [entry.y_plus_x(), entry.y_minus_x()];
        Self {
            y_plus_x: Field::unpack(sums[usize::from(negative)]),
            y_minus_x: Field::unpack(sums[usize::from(!negative)]),
            xy2d: Field::unpack(&entry.xy2d).negate_if(negative),
        }
    }

    /// Reads a word of each of the two cache lines in which an entry lies.
    #[inline(always)]
    pub fn touch(entry: &Entry) -> u64 {
        entry.y_plus_x()[0] ^ entry.xy2d[3]
    }

    /// The entry of an affine point.
    pub fn pack(x: Field, y: Field) -> Entry {
        let xy2d = (x * y * TWICE_D).pack();
        Entry::new((y + x).carry().pack(), (y - x).carry().pack(), xy2d)
    }
}

impl Completed {
    pub fn identity() -> Self {
        let one = Field::ONE + Field::ZERO;
        Self { e: Field::ZERO + Field::ZERO, f: one, g: one, h: one }
    }

    #[inline(always)]
    pub fn point(self) -> Point {
        let Self { e, f, g, h } = self;
        Point { x: e * f, y: g * h, z: g * f, t: e * h }
    }

    #[inline(always)]
    pub fn projective(self) -> Projective {
        let Self { e, f, g, h } = self;
        Projective { x: e * f, y: g * h, z: g * f }
    }
}

impl Projective {
    /// Section 3.3, "dbl-2008-hwcd" with a = -1: 4 squarings here, and 3 or 4 multiplications to
    /// complete. F and H are taken with the opposite sign, which changes the sign of X, Y, Z and T
    /// alike and so leaves the point.
    #[inline(always)]
    pub fn double(self) -> Completed {
        let Self { x, y, z } = self;
        let xx = x.square();
        let yy = y.square();
        let zz = z.square();
        let both = xx + yy;
        Completed { e: (x + y).square() - both, f: zz + zz + xx - yy, g: yy - xx, h: both }
    }

    /// The encoding of RFC 8032, section 5.1.2, as words; `inverse` is 1/Z.
    pub fn encode(&self, inverse: Field) -> [u64; 4] {
        let mut words = (self.y * inverse).pack();
        words[3] |= u64::from((self.x * inverse).is_odd()) << 63;
        words
    }
}

impl Point {
    pub fn affine(x: Field, y: Field) -> Self {
        Self { x, y, z: Field::ONE, t: x * y }
    }

    /// The point with this encoding, if there is one; as liberal as dalek, which takes y + p for y
    /// and a negative zero. RFC 8032, section 5.1.3: x is the square root of u/v, u = y^2 - 1 and v
    /// = d y^2 + 1, for which u v^3 (u v^7)^((p-5)/8) is right up to a square root of -1.
    pub fn decode(encoding: &[u64; 4]) -> Option<Self> {
        let y = Field::unpack(encoding);
        let u = (y.square() - Field::ONE).carry();
        let v = (y.square() * D + Field::ONE).carry();
        let v3 = v.square() * v;
        let root = u * v3 * (u * v3.square() * v).power_p58();
        let check = v * root.square();
        let x = if (check - u).carry().is_zero() {
            root
        } else if (check + u).carry().is_zero() {
            root * SQRT_MINUS_ONE
        } else {
            return None;
        };
        let odd = encoding[3] >> 63 == 1;
        Some(Self::affine(if x.is_odd() == odd { x } else { x.negate() }, y))
    }

    pub fn negate(self) -> Self {
        Self { x: self.x.negate(), t: self.t.negate(), ..self }
    }

    pub fn projective(self) -> Projective {
        Projective { x: self.x, y: self.y, z: self.z }
    }

    pub fn cached(self) -> Cached {
        Cached {
            y_plus_x: self.y + self.x,
            y_minus_x: self.y - self.x,
            z: self.z,
            t2d: self.t * TWICE_D,
        }
    }

    /// Adds an affine point. Section 3.1, "add-2008-hwcd-3" with Z2 = 1 and the second point
    /// prepared: 3 multiplications here, 3 or 4 to complete.
    #[inline(always)]
    pub fn add_niels(self, other: &Niels) -> Completed {
        let a = (self.y - self.x) * other.y_minus_x;
        let b = (self.y + self.x) * other.y_plus_x;
        let c = self.t * other.xy2d;
        let z = self.z + self.z;
        Completed { e: b - a, f: z - c, g: z + c, h: b + a }
    }

    /// Adds any point: as `add_niels` with Z2, 4 multiplications here.
    #[inline(always)]
    pub fn add(self, other: &Cached) -> Completed {
        let a = (self.y - self.x) * other.y_minus_x;
        let b = (self.y + self.x) * other.y_plus_x;
        let c = self.t * other.t2d;
        let z = self.z * other.z;
        Completed { e: b - a, f: z + z - c, g: z + z + c, h: b + a }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::scalar::words;
    use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
    use curve25519_dalek::edwards::CompressedEdwardsY;
    use curve25519_dalek::{EdwardsPoint, Scalar};
    use proptest::prelude::*;

    fn small(n: u64) -> Field {
        Field::unpack(&[n, 0, 0, 0])
    }

    fn same(a: Field, b: Field) -> bool {
        (a - b).carry().is_zero()
    }

    fn encoding(point: &EdwardsPoint) -> [u64; 4] {
        words(&point.compress().0)
    }

    /// The encoding of a point, which must be whole.
    fn encode(point: &Point) -> [u64; 4] {
        assert!(same(point.x * point.y, point.z * point.t), "T is not XY/Z");
        point.projective().encode(point.z.invert())
    }

    /// The encoding of the point of an entry, which must be sound and canonical.
    pub fn encode_entry(entry: &Entry) -> [u64; 4] {
        let Niels { y_plus_x, y_minus_x, .. } = Niels::unpack(entry, false);
        let half = small(2).invert();
        let (x, y) = ((y_plus_x - y_minus_x) * half, (y_plus_x + y_minus_x) * half);
        assert_eq!(Niels::pack(x, y), *entry, "not canonical, or 2dxy is wrong");
        encode(&Point::affine(x, y))
    }

    /// The points of small order, and each of them with a point of large order.
    fn points() -> Vec<EdwardsPoint> {
        let large = ED25519_BASEPOINT_POINT * Scalar::from(0xfeed_5eed_u64);
        EIGHT_TORSION.into_iter().chain(EIGHT_TORSION.map(|point| large + point)).collect()
    }

    /// With another Z than 1.
    fn ours(point: &EdwardsPoint) -> Point {
        let Point { x, y, z, t } = Point::decode(&encoding(point)).expect("it is a point");
        let factor = small(0x1234_5678_9abc_def1);
        Point { x: x * factor, y: y * factor, z: z * factor, t: t * factor }
    }

    fn niels(point: &EdwardsPoint, negative: bool) -> Niels {
        let Point { x, y, .. } = Point::decode(&encoding(point)).expect("it is a point");
        Niels::unpack(&Niels::pack(x, y), negative)
    }

    #[test]
    fn the_constants_are_what_they_are_called() {
        assert!((D * small(121_666) + small(121_665)).carry().is_zero());
        assert!(same((D + D).carry(), TWICE_D));
        assert!((SQRT_MINUS_ONE.square() + Field::ONE).carry().is_zero());
    }

    #[test]
    fn doublings_are_dalek_s_for_points_of_every_order() {
        for point in points() {
            let twice = ours(&point).projective().double();
            assert_eq!(encode(&twice.point()), encoding(&(point + point)));
            let plane = twice.projective();
            assert_eq!(plane.encode(plane.z.invert()), encoding(&(point + point)));
            assert_eq!(encode(&ours(&point).negate()), encoding(&-point));
        }
    }

    #[test]
    fn additions_are_dalek_s_for_every_pair_of_points_equal_and_opposite_ones_too() {
        for a in points() {
            for b in points().into_iter().chain([a, -a]) {
                let sum = ours(&a).add(&ours(&b).cached()).point();
                assert_eq!(encode(&sum), encoding(&(a + b)));
                let sum = ours(&a).add_niels(&niels(&b, false)).point();
                assert_eq!(encode(&sum), encoding(&(a + b)));
                let difference = ours(&a).add_niels(&niels(&b, true)).point();
                assert_eq!(encode(&difference), encoding(&(a - b)));
            }
        }
        let identity = Completed::identity().point();
        assert_eq!(encode(&identity), [1, 0, 0, 0]);
    }

    /// Found or not as dalek does; and if found, the same point.
    fn assert_decoded_as_dalek_does(bytes: [u8; 32]) {
        let found = Point::decode(&words(&bytes)).map(|point| encode(&point));
        let dalek = CompressedEdwardsY(bytes).decompress().map(|point| encoding(&point));
        assert_eq!(found, dalek, "{bytes:x?}");
    }

    #[test]
    fn encodings_next_to_0_and_p_are_decoded_as_dalek_does() {
        for low in 0..=255 {
            for rest in [0, 0xff] {
                for high in [rest & 0x7f, rest | 0x80] {
                    let mut bytes = [rest; 32];
                    (bytes[0], bytes[31]) = (low, high);
                    assert_decoded_as_dalek_does(bytes);
                }
            }
        }
        points().iter().for_each(|point| assert_decoded_as_dalek_does(point.compress().0));
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_as_dalek_does(bytes: [u8; 32]) {
            assert_decoded_as_dalek_does(bytes);
        }
    }
}
