//! What one call costs, by the number of signatures in it: every available backend with hot keys,
//! and dalek. `verify.rs` compares methods under the same load; this shows the change of one from
//! another day.

mod common;

use common::{Crowd, Work, settle, verifier};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::time::Duration;
use tallystick_verify::{Backend, Options};

const KEYS: usize = 64;
const SIGNATURES: usize = 4_096;
const SIZES: [usize; 4] = [1, 8, 64, 256];

fn calls(c: &mut Criterion) {
    let order: Vec<usize> = (0..SIGNATURES).map(|i| i % KEYS).collect();
    let crowd = Crowd::new(KEYS, &order);
    for backend in Backend::ALL.into_iter().filter(|backend| backend.is_available()) {
        let verifier = verifier(backend, Options::TABLE_BYTES_DEFAULT);
        let keys = crowd.register();
        let mut work = [Work::new(&verifier, &keys, &crowd.signed)];
        settle(&verifier, &mut work, 40);
        let mut group = c.benchmark_group(format!("verify/{backend}"));
        for size in SIZES {
            group.throughput(Throughput::Elements(size as u64));
            group.bench_function(size.to_string(), |b| b.iter(|| work[0].step(size)));
        }
        group.finish();
    }
    let dalek = crowd.for_dalek();
    let mut next = (0..SIGNATURES).cycle();
    let mut group = c.benchmark_group("verify/dalek");
    group.throughput(Throughput::Elements(1));
    group.bench_function("strict", |b| {
        b.iter(|| assert!(next.next().is_some_and(|i| dalek.strict(i))));
    });
    #[cfg(feature = "dalek-batch")]
    for size in [64, 256, 1_024, 4_096] {
        group.throughput(Throughput::Elements(size as u64));
        group.bench_function(format!("batch/{size}"), |b| {
            b.iter(|| {
                ed25519_dalek::verify_batch(
                    &dalek.messages[..size],
                    &dalek.signatures[..size],
                    &dalek.keys[..size],
                )
                .expect("they are valid")
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = parts;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1));
    targets = calls
}
criterion_main!(parts);
