//! The lanes backend: eight signatures side by side in AVX-512 IFMA registers, tables per key.
//!
//! Owns the doors from plain code into code that is compiled for these instructions. What is
//! behind them stands in files of its own; all but `vector` and `field` serve the `avx2` backend as
//! well.

mod batch;
mod build;
mod field;
mod group;
mod places;
mod point;
mod power;
mod scalar;
mod sha512;
mod vector;
mod words;

use crate::Verdict;
use crate::key::Key;
use crate::memory::Room;
use crate::table::{Entry, Shape};
use crate::verifier::Job;
use group::{Computed, Group};
use places::Pick;
use vector::{Cpu, Mask};

pub(crate) use batch::Scratch;

/// Whether this machine can run it.
pub(crate) fn is_available() -> bool {
    Cpu::detect().is_some()
}

/// One verdict for each job, appended in order.
pub(crate) fn check(
    scratch: &mut Scratch,
    jobs: &[Job<'_>],
    base: &[Entry],
    verdicts: &mut Vec<Verdict>,
) {
    let cpu = Cpu::detect().expect("the verifier refuses this backend where it cannot run");
    // SAFETY: a `Cpu` exists only where the instructions do.
    #[allow(unsafe_code)]
    unsafe {
        check_on(cpu, scratch, jobs, base, verdicts);
    }
}

/// The tables of the negatives of up to eight keys; `None` for a key that is no point.
pub(crate) fn build(scratch: &mut Scratch, keys: &[&Key], shape: Shape) -> Vec<Option<Room>> {
    let cpu = Cpu::detect().expect("the verifier refuses this backend where it cannot run");
    // SAFETY: a `Cpu` exists only where the instructions do.
    #[allow(unsafe_code)]
    unsafe {
        build_on(cpu, scratch, keys, shape)
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512ifma,avx512vbmi2")]
fn check_on(
    cpu: Cpu,
    scratch: &mut Scratch,
    jobs: &[Job<'_>],
    base: &[Entry],
    verdicts: &mut Vec<Verdict>,
) {
    batch::check(cpu, scratch, jobs, base, verdicts);
}

/// `group::compute`. Inlined where it is called, it came out half as fast.
#[inline(always)]
fn compute<'a>(
    cpu: Cpu,
    group: &Group<'a>,
    keys: Mask,
    base: &'a [Entry],
    picks: &mut Vec<Pick<'a>>,
) -> Computed {
    // SAFETY: a `Cpu` exists only where the instructions do.
    #[allow(unsafe_code)]
    unsafe {
        compute_on(cpu, group, keys, base, picks)
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512ifma,avx512vbmi2")]
#[inline(never)]
fn compute_on<'a>(
    cpu: Cpu,
    group: &Group<'a>,
    keys: Mask,
    base: &'a [Entry],
    picks: &mut Vec<Pick<'a>>,
) -> Computed {
    group::compute(cpu, group, keys, base, picks)
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512ifma,avx512vbmi2")]
fn build_on(cpu: Cpu, scratch: &mut Scratch, keys: &[&Key], shape: Shape) -> Vec<Option<Room>> {
    build::build(cpu, &mut scratch.building, keys, shape)
}
