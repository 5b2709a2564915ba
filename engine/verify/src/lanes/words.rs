//! Elements as words, the same for all vectors: to and from limbs of 51 bits, comparison, rows of
//! lanes.

use super::vector::{Cpu, LANES, Mask, Vector};

/// The low 51 bits.
pub(super) const MASK: u64 = (1 << 51) - 1;

/// Whether no lane of any limb is more. Not inlined: assertions would be most of the code.
#[inline(never)]
pub(super) fn at_most(limbs: &[Vector], bound: u64) -> bool {
    limbs.iter().all(|limb| limb.lanes().iter().all(|lane| *lane <= bound))
}

/// The canonical form of limbs of 51 bits, the first at most 2^52 - 38, the others at most
/// 2^52 - 2: 255 bits in four words.
#[inline(always)]
pub(super) fn pack(limbs: [Vector; 5]) -> [Vector; 4] {
    let [mut a, mut b, mut c, mut d, mut e] = limbs;
    let cpu = a.cpu();
    let (mask, c19) = (cpu.splat(MASK), cpu.splat(19));
    // Limbs 1 to 4 are below 2^51 then, limb 0 below 2^51 + 38: a value below 2^255 + 38 < 2 p.
    b = b.add(a.shr::<51>());
    c = c.add(b.shr::<51>());
    d = d.add(c.shr::<51>());
    e = e.add(d.shr::<51>());
    a = a.and(mask).add_low(e.shr::<51>(), c19);
    (b, c, d, e) = (b.and(mask), c.and(mask), d.and(mask), e.and(mask));
    // 1 if the value is p or more: then adding 19 carries out of bit 255.
    let q = a.add(c19).shr::<51>().add(b).shr::<51>().add(c).shr::<51>();
    let q = q.add(d).shr::<51>().add(e).shr::<51>();
    a = a.add_low(q, c19);
    b = b.add(a.shr::<51>());
    c = c.add(b.shr::<51>());
    d = d.add(c.shr::<51>());
    e = e.add(d.shr::<51>());
    let (a, b, c, d, e) = (a.and(mask), b.and(mask), c.and(mask), d.and(mask), e.and(mask));
    [
        a.or(b.shl::<51>()),
        b.shr::<13>().or(c.shl::<38>()),
        c.shr::<26>().or(d.shl::<25>()),
        d.shr::<39>().or(e.shl::<12>()),
    ]
}

/// Four words as limbs of 51 bits; bit 255 is left out.
#[inline(always)]
pub(super) fn unpack(words: [Vector; 4]) -> [Vector; 5] {
    let [w0, w1, w2, w3] = words;
    let mask = w0.cpu().splat(MASK);
    [
        w0.and(mask),
        w0.shr_with::<51>(w1).and(mask),
        w1.shr_with::<38>(w2).and(mask),
        w2.shr_with::<25>(w3).and(mask),
        w3.shr::<12>().and(mask),
    ]
}

/// Where two packed numbers are equal.
#[inline(always)]
pub(super) fn equal(a: [Vector; 4], b: [Vector; 4]) -> Mask {
    a[0].equal(b[0]) & a[1].equal(b[1]) & a[2].equal(b[2]) & a[3].equal(b[3])
}

/// Words lane by lane, as words side by side.
#[inline(always)]
pub(super) fn from_lanes(cpu: Cpu, rows: [[u64; 4]; LANES]) -> [Vector; 4] {
    let mut words = [[0; LANES]; 4];
    for (lane, row) in rows.iter().enumerate() {
        for (word, value) in words.iter_mut().zip(row) {
            word[lane] = *value;
        }
    }
    [cpu.load(&words[0]), cpu.load(&words[1]), cpu.load(&words[2]), cpu.load(&words[3])]
}
