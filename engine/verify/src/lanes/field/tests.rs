use super::super::vector::LANES;
use super::super::words::from_lanes;
use super::*;
use crate::model;

/// Every combination of what a carried limb can be: nothing, one, full, just over, the most.
fn extremes() -> Vec<[u64; 5]> {
    let mut all = model::extreme_limbs(&[0, 1, MASK, (1 << 51) + 19 * (1 << 12), (1 << 52) - 2]);
    all.iter_mut().for_each(|limbs| limbs[0] = limbs[0].min((1 << 52) - 38));
    let mut random = model::random(51);
    all.extend((0..1_000).map(|_| [(); 5].map(|()| random() & MASK)));
    all.resize(all.len().next_multiple_of(LANES), [0; 5]);
    all
}

fn load(cpu: Cpu, elements: &[[u64; 5]]) -> Field {
    let limb = |i: usize| cpu.load(&std::array::from_fn(|lane| elements[lane][i]));
    Field::new([limb(0), limb(1), limb(2), limb(3), limb(4)])
}

fn limbs(vectors: [Vector; 5]) -> [[u64; 5]; LANES] {
    let rows = vectors.map(Vector::lanes);
    std::array::from_fn(|lane| rows.map(|row| row[lane]))
}

fn packed(field: Field) -> [[u64; 4]; LANES] {
    let rows = field.pack().map(Vector::lanes);
    std::array::from_fn(|lane| rows.map(|row| row[lane]))
}

fn assert_same(field: Field, expected: impl Fn(usize) -> [u64; 4], what: &str) {
    for (lane, got) in packed(field).into_iter().enumerate() {
        assert_eq!(got, expected(lane), "{what}, lane {lane}");
    }
}

#[test]
fn products_and_sums_are_the_model_s_up_to_the_largest_limbs() {
    let Some(cpu) = Cpu::detect() else { return };
    let all = extremes();
    let turned: Vec<_> = all.iter().cycle().skip(1_567).take(all.len()).copied().collect();
    for (a, b) in all.chunks(LANES).zip(turned.chunks(LANES)) {
        let (x, y) = (load(cpu, a), load(cpu, b));
        let value = |limbs: &[[u64; 5]], lane: usize| model::from_limbs(limbs[lane]);
        assert_same(x, |i| value(a, i), "packed");
        assert_same(x.mul_carry(y), |i| model::mul(value(a, i), value(b, i)), "product");
        let again = x.times(&y.prepare()).carry();
        assert_same(again, |i| model::mul(value(a, i), value(b, i)), "prepared product");
        assert_same(x.square().carry(), |i| model::mul(value(a, i), value(a, i)), "square");
        assert_same(x.plus(y), |i| model::add(value(a, i), value(b, i)), "sum");
        let minus = |i| model::add(value(a, i), model::negate(value(b, i)));
        assert_same(x.minus(y), minus, "difference");
        assert_same(x.negate(), |i| model::negate(value(a, i)), "negative");
        let chosen = |i| if i % 2 == 0 { value(b, i) } else { value(a, i) };
        assert_same(x.select(0b0101_0101, y), chosen, "selected");
    }
}

#[test]
fn results_stay_within_the_bounds_that_are_stated() {
    let Some(cpu) = Cpu::detect() else { return };
    let most =
        |limbs: [Vector; 5]| limbs.iter().flat_map(|v| v.lanes()).max().expect("there are limbs");
    for a in extremes().chunks(LANES) {
        let x = load(cpu, a);
        let product = x.mul(load(cpu, &[[(1 << 52) - 38; 5]; LANES]));
        assert!(most(product.0) < 267 << 52);
        let prepared = load(cpu, &[[(1 << 52) - 38; 5]; LANES]).prepare();
        assert!(most(x.times(&prepared).0) < 195 << 52);
        assert!(most(x.square().0) < 267 << 52);
        assert!(most(product.carry().0) < (1 << 51) + 19 * (1 << 12));
    }
    let full = Sum::new([cpu.splat(u64::MAX >> 1); 5]);
    let [first, others @ ..] = limbs(full.carry().0)[0];
    assert_eq!(first, MASK + 19 * 4_095);
    assert_eq!(others, [MASK + 4_095; 4]);
    // What doubling subtracts from: the sum of two squares.
    let least = Field::zero(cpu).sum().minus(Sum::new([cpu.splat(267 << 52); 5]));
    assert!(most(least.0) < 1 << 61);
    let largest = Sum::new([cpu.splat(534 << 52); 5]).minus(Field::zero(cpu).sum());
    assert!(most(largest.0) < 1 << 63);
}

#[test]
fn packing_is_canonical_around_p_and_unpacking_undoes_it() {
    let Some(cpu) = Cpu::detect() else { return };
    let near = |low: u64| [low, MASK, MASK, MASK, MASK];
    let cases = [
        near(P0 - 1),
        near(P0),
        near(P0 + 1),
        near(MASK),
        near(MASK + 1),
        near((1 << 52) - 38),
        [0; 5],
        [1 << 51; 5],
    ];
    let x = load(cpu, &cases);
    assert_same(x, |lane| model::from_limbs(cases[lane]), "packed");
    assert_eq!(packed(Field::unpack(x.pack())), packed(x));
}

#[test]
fn negating_a_canonical_element_needs_no_carry() {
    let Some(cpu) = Cpu::detect() else { return };
    let mut random = model::random(7);
    for _ in 0..100 {
        let rows = [(); LANES].map(|()| model::reduce([(); 4].map(|()| random())));
        let x = Field::unpack(from_lanes(cpu, rows)).negate_canonical(0b1111_0000);
        assert_same(x, |i| if i < 4 { rows[i] } else { model::negate(rows[i]) }, "negative");
    }
}

#[test]
fn powers_are_the_model_s() {
    let Some(cpu) = Cpu::detect() else { return };
    let elements: Vec<_> = extremes().into_iter().step_by(531).take(LANES).collect();
    let x = load(cpu, &elements);
    let value = |lane: usize| model::from_limbs(elements[lane]);
    // p - 2, and (p - 5) / 8 = 2^252 - 3.
    let inverse = [model::P[0] - 2, model::P[1], model::P[2], model::P[3]];
    let p58 = [u64::MAX - 2, u64::MAX, u64::MAX, u64::MAX >> 4];
    assert_same(x.invert(), |lane| model::power(value(lane), inverse), "inverse");
    let [first, second] = Field::power_p58([x, x.square().carry()]);
    let power = |lane: usize| model::power(value(lane), p58);
    assert_same(first, power, "power");
    assert_same(second, |lane| model::mul(power(lane), power(lane)), "power of the second");
}
