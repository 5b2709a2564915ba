//! What measuring itself adds to the engine's work: everything that is counted for a frame, for a
//! batch of signatures and for a group of records, and nothing else. Compare it with what a
//! voucher costs (`docs/BENCHMARKS.md`, "What identities, metrics and the audit log cost").

use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use std::time::Instant;
use tallystick::pipeline::{Meters, OUTCOME_BYTES, Way};
use tallystick::types::Outcome;

/// A frame: four looks at the clock, its outcomes, and four times.
fn frame(meters: &Meters, outcomes: &[u8]) {
    let way = Way { born: Instant::now(), checked: Instant::now(), ordered: Instant::now() };
    let mut by_byte = [0; OUTCOME_BYTES];
    for outcome in black_box(outcomes) {
        by_byte[usize::from(*outcome)] += 1;
    }
    meters.answered(&by_byte, Some(way));
}

fn counting(c: &mut Criterion) {
    let meters = Meters::default();
    let mut group = c.benchmark_group("counting");
    for vouchers in [1, 256, 4_096] {
        let outcomes = vec![Outcome::Credited.byte(); vouchers];
        group.bench_function(format!("a frame of {vouchers}"), |b| {
            b.iter(|| frame(&meters, &outcomes));
        });
    }
    for signatures in [1, 256] {
        group.bench_function(format!("a batch of signatures: {signatures}"), |b| {
            b.iter(|| {
                let lap = meters.batch(black_box(signatures));
                lap.time(|| {});
                lap.time(|| {});
            });
        });
    }
    group.bench_function("a group of records", |b| b.iter(|| meters.syncing(|| ())));
    group.finish();
}

criterion_group!(benches, counting);
criterion_main!(benches);
