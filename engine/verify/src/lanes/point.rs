//! Eight points of the curve -x^2 + y^2 = 1 + d x^2 y^2 at once, in extended coordinates (X : Y : Z
//! : T), x = X/Z, y = Y/Z, T = XY/Z.
//!
//! Formulas: Hisil, Wong, Carter, Dawson, "Twisted Edwards Curves Revisited" (ASIACRYPT 2008), a =
//! -1, sections 3.1 (addition) and 3.3 (doubling). They are complete here (-1 is a square and d is
//! none modulo p), so no lane needs a special case, and Z is never 0. Not constant time: only
//! public data.

use super::field::{Field, Sum};
use super::vector::{Cpu, LANES, Mask, Vector, load_entries};
use super::words::equal;
use crate::table::Entry;

/// d = -121665 / 121666.
const D: [u64; 5] = [
    929_955_233_495_203,
    466_365_720_129_213,
    1_662_059_464_998_953,
    2_033_849_074_728_123,
    1_442_794_654_840_575,
];
/// 2 d.
const D2: [u64; 5] = [
    1_859_910_466_990_425,
    932_731_440_258_426,
    1_072_319_116_312_658,
    1_815_898_335_770_999,
    633_789_495_995_903,
];
/// 2^((p - 1) / 4), a square root of -1.
const SQRT_M1: [u64; 5] = [
    1_718_705_420_411_056,
    234_908_883_556_509,
    2_233_514_472_574_048,
    2_117_202_627_021_982,
    765_476_049_583_133,
];

/// Eight points.
#[derive(Clone, Copy)]
pub(super) struct Point {
    x: Sum,
    y: Sum,
    z: Sum,
    t: Field,
}

/// Eight affine points as a table holds them: y + x, y - x, 2dxy.
#[derive(Clone, Copy)]
pub(super) struct Niels {
    y_plus_x: Field,
    y_minus_x: Field,
    xy2d: Field,
}

/// Eight points ready to be added: Y + X, Y - X, 2Z, 2dT.
#[derive(Clone, Copy)]
pub(super) struct Projective {
    y_plus_x: Field,
    y_minus_x: Field,
    z2: Field,
    t2d: Field,
}

/// Eight points on their way into tables, Z not divided out yet: Y + X, Y - X, T, Z.
#[derive(Debug, Clone, Copy)]
pub(super) struct Multiple {
    y_plus_x: Field,
    y_minus_x: Field,
    t: Field,
    z: Field,
}

impl Multiple {
    /// No point.
    #[inline(always)]
    pub fn zero(cpu: Cpu) -> Self {
        let zero = Field::zero(cpu);
        Self { y_plus_x: zero, y_minus_x: zero, t: zero, z: zero }
    }

    #[inline(always)]
    pub fn z(&self) -> Field {
        self.z
    }

    /// The words of an entry, given 1 / Z.
    #[inline(always)]
    pub fn entry_words(&self, inverse: Field) -> [[Vector; 4]; 3] {
        let d2_inverse = inverse.mul_carry(Field::splat(inverse.cpu(), D2));
        let inverse = inverse.prepare();
        [
            self.y_plus_x.times(&inverse).carry().pack(),
            self.y_minus_x.times(&inverse).carry().pack(),
            self.t.mul_carry(d2_inverse).pack(),
        ]
    }
}

impl Niels {
    /// One entry a lane, negated where the mask is set: -(x, y) = (-x, y) swaps the sums and
    /// negates 2dxy.
    #[inline(always)]
    pub fn load(cpu: Cpu, entries: [&Entry; LANES], negative: Mask) -> Self {
        let [p, m, t] = load_entries(cpu, entries);
        Self {
            y_plus_x: Field::unpack([
                p[0].blend(negative, m[0]),
                p[1].blend(negative, m[1]),
                p[2].blend(negative, m[2]),
                p[3].blend(negative, m[3]),
            ]),
            y_minus_x: Field::unpack([
                m[0].blend(negative, p[0]),
                m[1].blend(negative, p[1]),
                m[2].blend(negative, p[2]),
                m[3].blend(negative, p[3]),
            ]),
            xy2d: Field::unpack(t).negate_canonical(negative),
        }
    }
}

impl Point {
    #[inline(always)]
    pub fn from_affine(x: Field, y: Field) -> Self {
        let one = Field::one(x.cpu());
        Self { x: x.sum(), y: y.sum(), z: one.sum(), t: x.mul_carry(y) }
    }

    /// A point of a table: 4x, 4y, Z = 4. One multiplication, where adding it to the neutral
    /// element takes seven.
    #[inline(always)]
    pub fn from_niels(n: &Niels) -> Self {
        let (p, m) = (n.y_plus_x.sum(), n.y_minus_x.sum());
        let (x2, y2) = (p.minus(m).carry(), p.plus(m).carry());
        let four = Field::one(x2.cpu()).sum().twice().twice();
        Self { x: x2.sum().twice(), y: y2.sum().twice(), z: four, t: x2.mul_carry(y2) }
    }

    /// p + n: 7 multiplications; 6 without T, of which doublings and coordinates make no use.
    #[inline(always)]
    pub fn add_niels<const WITH_T: bool>(self, n: &Niels) -> Self {
        let a = self.y.minus(self.x).carry().mul(n.y_minus_x);
        let b = self.y.plus(self.x).carry().mul(n.y_plus_x);
        let c = n.xy2d.mul(self.t);
        let d = self.z.twice();
        finish_addition::<WITH_T>(a, b, c, d)
    }

    /// p + q: 8 multiplications.
    #[inline(always)]
    pub fn add(self, q: &Projective) -> Self {
        let a = self.y.minus(self.x).carry().mul(q.y_minus_x);
        let b = self.y.plus(self.x).carry().mul(q.y_plus_x);
        let c = q.t2d.mul(self.t);
        let d = self.z.carry().mul(q.z2);
        finish_addition::<true>(a, b, c, d)
    }

    /// 2 p: 4 squarings and 4 multiplications; 3 without T. All of E, F, G, H have the other sign
    /// than in the paper, which changes no product of two.
    #[inline(always)]
    pub fn double<const WITH_T: bool>(self) -> Self {
        let a = self.x.carry().square();
        let b = self.y.carry().square();
        let zz = self.z.carry().square();
        let s = self.x.plus(self.y).carry().square();
        let h = a.plus(b);
        let e = h.minus(s).carry();
        let g = a.minus(b).carry();
        let f = zz.twice().plus(g.sum()).carry().prepare();
        let h = h.carry().prepare();
        Self {
            x: e.times(&f),
            y: g.times(&h),
            z: g.times(&f),
            t: if WITH_T { e.times(&h).carry() } else { self.t },
        }
    }

    /// 2^n p with T, n at least 1.
    #[inline(always)]
    pub fn double_times(self, n: usize) -> Self {
        let mut p = self;
        for _ in 1..n {
            p = p.double::<false>();
        }
        p.double::<true>()
    }

    #[inline(always)]
    pub fn projective(self) -> Projective {
        let d2 = Field::splat(self.t.cpu(), D2);
        Projective {
            y_plus_x: self.y.plus(self.x).carry(),
            y_minus_x: self.y.minus(self.x).carry(),
            z2: self.z.twice().carry(),
            t2d: self.t.mul_carry(d2),
        }
    }

    /// For a table.
    #[inline(always)]
    pub fn multiple(self) -> Multiple {
        Multiple {
            y_plus_x: self.y.plus(self.x).carry(),
            y_minus_x: self.y.minus(self.x).carry(),
            t: self.t,
            z: self.z.carry(),
        }
    }

    /// X, Y and Z, carried.
    #[inline(always)]
    pub fn coordinates(self) -> (Field, Field, Field) {
        (self.x.carry(), self.y.carry(), self.z.carry())
    }

    /// The points with these encodings (RFC 8032, section 5.1.3), and where there is one; elsewhere
    /// the neutral element stands, so that no lane spoils what it shares with others. y must be
    /// canonical.
    #[inline(always)]
    pub fn decompress(words: [Vector; 4]) -> (Self, Mask) {
        let [power] = Field::power_p58([Self::radicand(words)]);
        Self::with_power(words, power)
    }

    /// The same of two eights, for less than twice the time.
    #[inline(always)]
    pub fn decompress_two([first, second]: [[Vector; 4]; 2]) -> [(Self, Mask); 2] {
        let radicands = [Self::radicand(first), Self::radicand(second)];
        let [of_first, of_second] = Field::power_p58(radicands);
        [Self::with_power(first, of_first), Self::with_power(second, of_second)]
    }

    /// y, and u and v with x^2 = u / v.
    #[inline(always)]
    fn fraction(words: [Vector; 4]) -> (Field, Field, Field) {
        let cpu = words[0].cpu();
        let one = Field::one(cpu);
        let y = Field::unpack(words);
        let yy = y.square().carry();
        (y, yy.minus(one), yy.mul_carry(Field::splat(cpu, D)).plus(one))
    }

    /// u v^7.
    #[inline(always)]
    fn radicand(words: [Vector; 4]) -> Field {
        let (_, u, v) = Self::fraction(words);
        let v3 = v.square().carry().mul_carry(v);
        u.mul_carry(v3.square().carry().mul_carry(v))
    }

    /// `decompress`, given (u v^7)^((p - 5) / 8).
    #[inline(always)]
    fn with_power(words: [Vector; 4], power: Field) -> (Self, Mask) {
        let cpu = words[0].cpu();
        let one = Field::one(cpu);
        let sign = words[3].negative();
        let (y, u, v) = Self::fraction(words);
        // x = u v^3 (u v^7)^((p - 5) / 8), times sqrt(-1) if v x^2 = -u.
        let v3 = v.square().carry().mul_carry(v);
        let x = power.mul_carry(u).mul_carry(v3);
        let vxx = v.mul_carry(x.square().carry()).pack();
        let direct = equal(vxx, u.pack());
        let turned = equal(vxx, u.negate().pack());
        let x = x.select(turned & !direct, x.mul_carry(Field::splat(cpu, SQRT_M1)));
        let packed = x.pack();
        let odd = packed[0].shl::<63>().negative();
        let x = x.select(odd ^ sign, x.negate());
        let x_is_zero = equal(packed, [cpu.splat(0); 4]);
        let is_point = (direct | turned) & !(x_is_zero & sign);
        let x = Field::zero(cpu).select(is_point, x);
        let y = one.select(is_point, y);
        (Self::from_affine(x, y), is_point)
    }

    /// -p.
    #[inline(always)]
    pub fn negate(self) -> Self {
        Self { x: self.x.carry().negate().sum(), t: self.t.negate(), ..self }
    }
}

/// What both additions end with: E = B - A, F = D - C, G = D + C, H = B + A.
#[inline(always)]
fn finish_addition<const WITH_T: bool>(a: Sum, b: Sum, c: Sum, d: Sum) -> Point {
    let e = b.minus(a).carry();
    let g = d.plus(c).carry();
    let f = d.minus(c).carry().prepare();
    let h = b.plus(a).carry().prepare();
    let t = if WITH_T { e.times(&h).carry() } else { e };
    Point { x: e.times(&f), y: g.times(&h), z: g.times(&f), t }
}

/// A point's encoding (RFC 8032, section 5.1.2), given 1 / Z.
#[inline(always)]
pub(super) fn encode(x: Field, y: Field, inverse: Field) -> [Vector; 4] {
    let [w0, w1, w2, w3] = y.mul_carry(inverse).pack();
    let sign = x.mul_carry(inverse).pack()[0].shl::<63>();
    [w0, w1, w2, w3.or(sign)]
}

#[cfg(test)]
mod tests {
    use super::super::words::from_lanes;
    use super::*;
    use crate::{model, scalar};
    use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
    use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
    use curve25519_dalek::{Scalar, traits::Identity as _};

    /// Points of every kind: of small order, of prime order, of both.
    fn points() -> Vec<EdwardsPoint> {
        let mut random = model::random(25519);
        let mut all = EIGHT_TORSION.to_vec();
        for torsion in EIGHT_TORSION {
            let k = Scalar::from(random());
            all.extend([k * ED25519_BASEPOINT_POINT, k * ED25519_BASEPOINT_POINT + torsion]);
        }
        all
    }

    fn load(cpu: Cpu, points: &[EdwardsPoint; LANES]) -> Point {
        let (loaded, is_point) =
            Point::decompress(from_lanes(cpu, points.map(|p| scalar::words(&p.compress().0))));
        assert_eq!(is_point, 0xff);
        loaded
    }

    fn assert_same(point: Point, expected: [EdwardsPoint; LANES], what: &str) {
        let (x, y, z) = point.coordinates();
        let words = encode(x, y, z.invert()).map(Vector::lanes);
        for (lane, expected) in expected.into_iter().enumerate() {
            let got = words.map(|word| word[lane]);
            assert_eq!(got, scalar::words(&expected.compress().0), "{what}, lane {lane}");
        }
    }

    #[test]
    fn sums_doubles_and_negatives_are_dalek_s_for_points_of_every_kind() {
        let Some(cpu) = Cpu::detect() else { return };
        let all = points();
        for (i, first) in all.iter().enumerate() {
            for eight in all.chunks_exact(LANES) {
                let q: [EdwardsPoint; LANES] = eight.try_into().unwrap();
                let (p, loaded) = ([*first; LANES], load(cpu, &[*first; LANES]));
                let other = load(cpu, &q);
                let sum = std::array::from_fn(|lane| p[lane] + q[lane]);
                assert_same(loaded.add(&other.projective()), sum, &format!("{i} plus"));
                let both = loaded.double_times(1).add(&other.double_times(3).projective());
                let expected =
                    std::array::from_fn(|lane| p[lane] + p[lane] + q[lane].mul_by_cofactor());
                assert_same(both, expected, &format!("{i} doubled"));
                assert_same(other.negate(), q.map(|q| -q), "negative");
                let none = other.add(&other.negate().projective());
                assert_same(none, [EdwardsPoint::identity(); LANES], "none");
            }
        }
    }

    #[test]
    fn entries_are_added_and_taken_away_lane_by_lane() {
        let Some(cpu) = Cpu::detect() else { return };
        for (first, eight) in points().into_iter().zip(points().chunks_exact(LANES).cycle()) {
            let q: [EdwardsPoint; LANES] = eight.try_into().unwrap();
            let other = load(cpu, &q);
            let words = other.multiple().entry_words(other.coordinates().2.invert());
            let row = |i: usize, lane: usize| words[i].map(|word| word.lanes()[lane]);
            let entries: [Entry; LANES] =
                std::array::from_fn(|lane| Entry::new(row(0, lane), row(1, lane), row(2, lane)));
            for negative in [0b1010_1010, 0, 0xff] {
                let niels = Niels::load(cpu, entries.each_ref(), negative);
                let expected = std::array::from_fn(|lane| {
                    if negative >> lane & 1 == 1 { first - q[lane] } else { first + q[lane] }
                });
                let first = load(cpu, &[first; LANES]);
                assert_same(first.add_niels::<true>(&niels), expected, "sum");
                assert_same(first.add_niels::<false>(&niels), expected, "sum without T");
                let twice = Point::from_niels(&niels).add_niels::<true>(&niels);
                let doubled =
                    first.add_niels::<false>(&niels).double_times(1).add_niels::<true>(&niels);
                let q =
                    std::array::from_fn(
                        |lane| if negative >> lane & 1 == 1 { -q[lane] } else { q[lane] },
                    );
                assert_same(Point::from_niels(&niels), q, "of a table");
                assert_same(twice, q.map(|q| q + q), "with its T");
                let all = std::array::from_fn(|lane| expected[lane] + expected[lane] + q[lane]);
                assert_same(doubled, all, "doubled without T");
            }
        }
    }

    #[test]
    fn an_encoding_is_a_point_where_dalek_says_so() {
        let Some(cpu) = Cpu::detect() else { return };
        let mut random = model::random(5);
        let mut points = 0;
        for _ in 0..200 {
            let rows = [(); LANES].map(|()| {
                let mut words = model::reduce([(); 4].map(|()| random()));
                words[3] |= random() & 1 << 63;
                words
            });
            let (point, is_point) = Point::decompress(from_lanes(cpu, rows));
            let expected = rows.map(|row| {
                let bytes: Vec<u8> = row.iter().flat_map(|word| word.to_le_bytes()).collect();
                CompressedEdwardsY(bytes.try_into().unwrap()).decompress()
            });
            for (lane, expected) in expected.iter().enumerate() {
                assert_eq!(is_point >> lane & 1 == 1, expected.is_some());
                points += usize::from(expected.is_some());
            }
            let mut turned = rows;
            turned.rotate_left(3);
            let two = [from_lanes(cpu, rows), from_lanes(cpu, turned)];
            let [first, second] = Point::decompress_two(two);
            assert_eq!((first.1, second.1), (is_point, is_point.rotate_right(3)));
            let expected_point = |i: usize| expected[i % LANES].unwrap_or(EdwardsPoint::identity());
            assert_same(first.0, std::array::from_fn(expected_point), "first of two");
            assert_same(second.0, std::array::from_fn(|i| expected_point(i + 3)), "second of two");
            // A lane that is none holds the neutral element: it cannot spoil a shared inversion.
            assert_same(point, expected.map(|p| p.unwrap_or(EdwardsPoint::identity())), "point");
        }
        assert!((400..1_200).contains(&points), "about half of all encodings: {points}");
    }

    #[test]
    fn constants_are_what_they_are_defined_as() {
        let [d, d2, root] = [D, D2, SQRT_M1].map(model::from_limbs);
        let minus_one = model::negate([1, 0, 0, 0]);
        assert_eq!(model::mul(d, [121_666, 0, 0, 0]), model::negate([121_665, 0, 0, 0]));
        assert_eq!(d2, model::add(d, d));
        assert_eq!(model::mul(root, root), minus_one);
        // The additions are complete because d is no square: d^((p - 1) / 2) = -1.
        let half = [u64::MAX - 9, u64::MAX, u64::MAX, u64::MAX >> 2];
        assert_eq!(model::power(d, half), minus_one);
    }
}
