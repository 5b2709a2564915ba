use super::*;
use crate::model;

#[test]
fn transposing_swaps_rows_and_lanes() {
    let Some(cpu) = Cpu::detect() else { return };
    let rows: [[u64; 8]; 8] =
        std::array::from_fn(|r| std::array::from_fn(|l| 10 * r as u64 + l as u64));
    let turned = transpose(rows.each_ref().map(|row| cpu.load(row)));
    for (i, row) in turned.into_iter().enumerate() {
        assert_eq!(row.lanes(), std::array::from_fn(|j| rows[j][i]));
    }
    assert_eq!(cpu.splat(0x0102_0304_0506_0708).swap_bytes().lanes(), [0x0807_0605_0403_0201; 8]);
}

#[test]
fn each_lane_gets_its_own_entry() {
    let Some(cpu) = Cpu::detect() else { return };
    let entries: [Entry; 8] = std::array::from_fn(|lane| {
        let word = |i: u64| 100 * lane as u64 + i;
        Entry::new([0, 1, 2, 3].map(word), [4, 5, 6, 7].map(word), [8, 9, 10, 11].map(word))
    });
    let loaded = load_entries(cpu, entries.each_ref());
    for (i, row) in loaded.into_iter().flatten().enumerate() {
        assert_eq!(row.lanes(), std::array::from_fn(|lane| 100 * lane as u64 + i as u64));
    }
}

/// What each word of the result should be.
fn assert_words(what: &str, got: Vector, expected: impl Fn(usize) -> u64) {
    assert_eq!(got.lanes(), std::array::from_fn(expected), "{what}");
}

#[test]
fn every_operation_is_what_it_says_word_by_word() {
    let Some(cpu) = Cpu::detect() else { return };
    let mut random = model::random(64);
    let special = [0, 1, u64::MAX, 1 << 63, (1 << 52) - 1, 1 << 52, (1 << 51) - 1, u64::MAX >> 1];
    for round in 0..200 {
        let mut words = || -> [u64; LANES] {
            [(); LANES].map(|()| {
                if random().is_multiple_of(4) {
                    special[usize::try_from(random() % 8).unwrap()]
                } else {
                    random()
                }
            })
        };
        let (a, b, c) = (words(), words(), words());
        let (x, y, z) = (cpu.load(&a), cpu.load(&b), cpu.load(&c));
        assert_words("add", x.add(y), |i| a[i].wrapping_add(b[i]));
        assert_words("sub", x.sub(y), |i| a[i].wrapping_sub(b[i]));
        assert_words("and", x.and(y), |i| a[i] & b[i]);
        assert_words("or", x.or(y), |i| a[i] | b[i]);
        assert_words("xor", x.xor(y), |i| a[i] ^ b[i]);
        assert_words("parity", x.ternary::<0x96>(y, z), |i| a[i] ^ b[i] ^ c[i]);
        assert_words("choice", x.ternary::<0xca>(y, z), |i| (a[i] & b[i]) | (!a[i] & c[i]));
        let majority = |i: usize| (a[i] & b[i]) | (a[i] & c[i]) | (b[i] & c[i]);
        assert_words("majority", x.ternary::<0xe8>(y, z), majority);
        assert_words("shift down", x.shr::<51>(), |i| a[i] >> 51);
        assert_words("shift up", x.shl::<20>(), |i| a[i] << 20);
        let signed = |i: usize| (a[i].cast_signed() >> 52).cast_unsigned();
        assert_words("signed shift", x.shr_signed::<52>(), signed);
        assert_words("rotation", x.rotate::<41>(), |i| a[i].rotate_right(41));
        assert_words("with another", x.shr_with::<38>(y), |i| a[i] >> 38 | b[i] << 26);
        let wide = |i: usize| u128::from(b[i]) << 64 | u128::from(a[i]);
        for bits in [0, 1, 44, 63] {
            let low = |i: usize| crate::scalar::low(wide(i) >> bits);
            assert_words("by", x.shr_by(y, cpu.splat(bits)), low);
        }
        let product =
            |i: usize| u128::from(a[i] & ((1 << 52) - 1)) * u128::from(b[i] & ((1 << 52) - 1));
        let low = |i: usize| crate::scalar::low(product(i)) & ((1 << 52) - 1);
        let high = |i: usize| crate::scalar::low(product(i) >> 52);
        assert_words("low half", z.add_low(x, y), |i| c[i].wrapping_add(low(i)));
        assert_words("high half", z.add_high(x, y), |i| c[i].wrapping_add(high(i)));
        let mask = a[0].to_le_bytes()[0];
        let blended = |i: usize| if mask >> i & 1 == 1 { b[i] } else { a[i] };
        assert_words("blend", x.blend(mask, y), blended);
        let bit = |i: usize, is: bool| u8::from(is) << i;
        let sign = (0..LANES).map(|i| bit(i, a[i] >> 63 == 1)).sum::<u8>();
        assert_eq!(x.negative(), sign);
        let mut partly = a;
        partly[round % LANES] = !partly[round % LANES];
        assert_eq!(x.equal(cpu.load(&partly)), !(1 << (round % LANES)));
        assert_words("bytes", x.swap_bytes(), |i| a[i].swap_bytes());
    }
}
