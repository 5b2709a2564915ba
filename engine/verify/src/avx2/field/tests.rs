use super::super::vector::LANES;
use super::super::words::from_lanes;
use super::*;
use crate::model;

type Limbs = [u64; 10];

/// Every combination of nothing and the most, then limbs that are nothing, one, full, just over or
/// the most by chance, then random ones.
fn extremes() -> Vec<Limbs> {
    let most = |i: usize| if i.is_multiple_of(2) { EVEN_MOST } else { ODD_MOST };
    let full = |i: usize| if i.is_multiple_of(2) { EVEN } else { ODD };
    let mut random = model::random(26);
    let corner = |bits: usize| -> Limbs {
        std::array::from_fn(|i| if bits >> i & 1 == 1 { most(i) } else { 0 })
    };
    let mut all: Vec<Limbs> = (0..1 << 10).map(corner).collect();
    all.extend((0..2_000).map(|_| -> Limbs {
        let pick = |i: usize, dice: u64| {
            [0, 1, full(i), full(i) + (1 << 17), most(i)][usize::try_from(dice % 5).unwrap()]
        };
        std::array::from_fn(|i| pick(i, random()))
    }));
    all.extend((0..1_000).map(|_| -> Limbs { std::array::from_fn(|i| random() & full(i)) }));
    all.resize(all.len().next_multiple_of(LANES), [0; 10]);
    all
}

fn load_limbs(cpu: Cpu, elements: &[Limbs]) -> [Vector; 10] {
    std::array::from_fn(|i| cpu.load(&std::array::from_fn(|lane| elements[lane][i])))
}

fn load(cpu: Cpu, elements: &[Limbs]) -> Field {
    Field::new(load_limbs(cpu, elements))
}

fn value(limbs: &Limbs) -> [u64; 4] {
    model::from_limbs(std::array::from_fn(|i| limbs[2 * i] + (limbs[2 * i + 1] << 26)))
}

/// `field` must have come out of a carry.
fn assert_same(field: Field, expected: impl Fn(usize) -> [u64; 4], what: &str) {
    let rows = field.pack().map(Vector::lanes);
    for lane in 0..LANES {
        assert_eq!(rows.map(|row| row[lane]), expected(lane), "{what}, lane {lane}");
    }
}

#[test]
fn products_and_sums_are_the_model_s_up_to_the_largest_limbs() {
    let Some(cpu) = Cpu::detect() else { return };
    let all = extremes();
    let turned: Vec<_> = all.iter().cycle().skip(1_567).take(all.len()).copied().collect();
    for (a, b) in all.chunks(LANES).zip(turned.chunks(LANES)) {
        let (x, y) = (load(cpu, a), load(cpu, b));
        let (a, b) = (|i: usize| value(&a[i]), |i: usize| value(&b[i]));
        assert_same(x.sum().carry(), a, "carried");
        assert_same(x.mul_carry(y), |i| model::mul(a(i), b(i)), "product");
        assert_same(x.times(&y.prepare()).carry(), |i| model::mul(a(i), b(i)), "prepared product");
        assert_same(x.square().carry(), |i| model::mul(a(i), a(i)), "square");
        assert_same(x.plus(y), |i| model::add(a(i), b(i)), "sum");
        assert_same(x.minus(y), |i| model::add(a(i), model::negate(b(i))), "difference");
        assert_same(x.negate(), |i| model::negate(a(i)), "negative");
        let chosen = x.select(0b0101_0101, y).sum().carry();
        assert_same(chosen, |i| if i % 2 == 0 { b(i) } else { a(i) }, "selected");
    }
}

#[test]
fn results_stay_within_the_bounds_that_are_stated() {
    let Some(cpu) = Cpu::detect() else { return };
    let most: Limbs = std::array::from_fn(|i| if i % 2 == 0 { EVEN_MOST } else { ODD_MOST });
    let most = load(cpu, &[most; LANES]);
    for a in extremes().chunks(LANES) {
        let x = load(cpu, a);
        for product in [x.mul(most), x.times(&most.prepare()), x.square()] {
            assert!(within(&product.0, EVEN_PRODUCT - 1, ODD_PRODUCT - 1));
            let carried = product.carry().0;
            assert!(within(&carried, EVEN + (1 << 13), ODD + (1 << 17)));
        }
    }
    let full = Sum::new([cpu.splat(u64::MAX >> 1); 10]).carry();
    assert!(within(&full.0, EVEN + (1 << 13), ODD + (1 << 17)));
    // What doubling subtracts, and what it subtracts from: a square, and the sum of two.
    let bound = |i: usize| if i.is_multiple_of(2) { EVEN_PRODUCT } else { ODD_PRODUCT };
    let one: [Vector; 10] = std::array::from_fn(|i| cpu.splat(bound(i)));
    let (one, two) = (Sum::new(one), Sum::new(one).twice());
    let least = Field::zero(cpu).sum().minus(one);
    assert!(at_most(&least.0, 1 << 62), "no limb went below 0");
    let largest = two.minus(Field::zero(cpu).sum());
    assert!(at_most(&largest.0, (1 << 63) - 1));
}

#[test]
fn packing_is_canonical_around_p_and_unpacking_undoes_it() {
    let Some(cpu) = Cpu::detect() else { return };
    let near = |low: u64| -> Limbs {
        std::array::from_fn(|i| {
            if i == 0 {
                low
            } else if i % 2 == 0 {
                EVEN
            } else {
                ODD
            }
        })
    };
    let mut over = near(EVEN);
    over[1] = ODD + (1 << 17);
    let cases =
        [near(P0 - 1), near(P0), near(P0 + 1), near(EVEN), near(EVEN + 1), over, [0; 10], [1; 10]];
    let x = load(cpu, &cases);
    assert_same(x, |lane| value(&cases[lane]), "packed");
    assert_same(Field::unpack(x.pack()), |lane| value(&cases[lane]), "unpacked");
}

#[test]
fn negating_a_canonical_element_needs_no_carry() {
    let Some(cpu) = Cpu::detect() else { return };
    let mut random = model::random(7);
    for _ in 0..100 {
        let rows = [(); LANES].map(|()| model::reduce([(); 4].map(|()| random())));
        let x = Field::unpack(from_lanes(cpu, rows)).negate_canonical(0b1111_0000);
        let expected = |i: usize| if i < 4 { rows[i] } else { model::negate(rows[i]) };
        assert_same(x.sum().carry(), expected, "negative");
    }
}

#[test]
fn powers_are_the_model_s() {
    let Some(cpu) = Cpu::detect() else { return };
    let elements: Vec<_> = extremes().into_iter().step_by(397).take(LANES).collect();
    let x = load(cpu, &elements);
    // p - 2, and (p - 5) / 8 = 2^252 - 3.
    let inverse = [model::P[0] - 2, model::P[1], model::P[2], model::P[3]];
    let p58 = [u64::MAX - 2, u64::MAX, u64::MAX, u64::MAX >> 4];
    assert_same(x.invert(), |lane| model::power(value(&elements[lane]), inverse), "inverse");
    let [first, second] = Field::power_p58([x, x.square().carry()]);
    let power = |lane: usize| model::power(value(&elements[lane]), p58);
    assert_same(first, power, "power");
    assert_same(second, |lane| model::mul(power(lane), power(lane)), "power of the second");
}
