//! Signs the planned vouchers on every core, ahead of sending, into the bytes that are sent.
//!
//! Signing costs as much as checking: a client that signs while it sends would measure itself.

use crate::crowd::{Crowd, cores};
use crate::plan::{Kind, Planned};
use crate::progress::Progress;
use bytes::Bytes;
use ed25519_dalek::Signer as _;
use std::sync::Mutex;
use tallystick_client::voucher::{Fields, Network, SIGNATURE_AT, VOUCHER_BYTES};

/// Vouchers that a core signs at once: some 15 ms of work.
const CHUNK: usize = 512;

/// What every voucher of a run has in common.
#[derive(Clone)]
pub struct Terms {
    /// The network for which they are signed.
    pub network: Network,
    /// Number of the asset.
    pub asset: u32,
    /// When they expire.
    pub expires_at: i64,
    /// Number of the run.
    pub run: u32,
}

/// One stream's vouchers, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// Packed vouchers, 160 bytes each.
    pub packed: Bytes,
    /// The outcome that each must have.
    pub expected: Vec<u8>,
}

impl Terms {
    /// The fields of a planned voucher.
    ///
    /// # Panics
    /// When its payer has no signer: a plan draws payers only from those who have.
    #[must_use]
    pub fn fields(&self, crowd: &Crowd, planned: &Planned) -> Fields {
        let signer = crowd.signer(planned.payer).expect("every payer has a signer");
        Fields {
            signer: signer.verifying_key().to_bytes(),
            payee: crowd.id(planned.payee),
            asset: self.asset,
            lane: u64::from(self.run) << 32 | u64::from(planned.lane),
            expires_at: self.expires_at,
            cumulative: planned.cumulative,
        }
    }

    fn sign(&self, crowd: &Crowd, planned: &Planned, out: &mut [u8; VOUCHER_BYTES]) {
        let fields = self.fields(crowd, planned);
        let signer = crowd.signer(planned.payer).expect("every payer has a signer");
        let signature = signer.sign(&self.network.message(&fields)).to_bytes();
        fields.pack(&signature, out);
        match planned.kind {
            Kind::Credited | Kind::Stale | Kind::OverLimit => {}
            Kind::BadSignature => {
                // Any of the 512 bits, so that R and S are both tried.
                let bit = usize::try_from(planned.cumulative % 512).expect("less than 512");
                out[SIGNATURE_AT + bit / 8] ^= 1 << (bit % 8);
            }
        }
    }
}

/// Signs all streams' vouchers.
#[must_use]
pub fn sign(
    crowd: &Crowd,
    terms: &Terms,
    streams: &[Vec<Planned>],
    progress: &Progress,
) -> Vec<Signed> {
    let mut packed: Vec<Vec<u8>> =
        streams.iter().map(|planned| vec![0; planned.len() * VOUCHER_BYTES]).collect();
    let chunks = streams.iter().zip(&mut packed).flat_map(|(planned, packed)| {
        let (vouchers, _) = packed.as_chunks_mut::<VOUCHER_BYTES>();
        planned.chunks(CHUNK).zip(vouchers.chunks_mut(CHUNK))
    });
    let chunks = Mutex::new(chunks);
    std::thread::scope(|scope| {
        for _ in 0..cores() {
            scope.spawn(|| {
                loop {
                    // In its own statement, so that the lock is released before the work begins.
                    let chunk = chunks.lock().expect("no thread panics with the lock").next();
                    let Some((planned, out)) = chunk else { break };
                    for (planned, out) in planned.iter().zip(out) {
                        terms.sign(crowd, planned, out);
                    }
                    progress.add(u64::try_from(planned.len()).expect("a chunk is small"));
                }
            });
        }
    });
    let expected = |planned: &Vec<Planned>| planned.iter().map(|p| p.kind.outcome()).collect();
    let signed = |(planned, packed): (&Vec<Planned>, Vec<u8>)| Signed {
        packed: Bytes::from(packed),
        expected: expected(planned),
    };
    streams.iter().zip(packed).map(signed).collect()
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::plan;
    use crate::plan::tests::small;
    use ed25519_dalek::{Signature, VerifyingKey};
    use tallystick_client::voucher::outcome;

    /// The small crowd's vouchers, signed for a made-up network.
    pub fn signed(seed: u64, vouchers: u64, streams: usize) -> (Crowd, Terms, Vec<Signed>) {
        let (crowd, traffic) = small(seed, vouchers);
        let terms = Terms {
            network: Network::new([7; 32]),
            asset: 978,
            expires_at: traffic.expires_at.unwrap(),
            run: traffic.run,
        };
        let dealt = plan::deal(&plan::draw(&crowd, &traffic), crowd.payers(), streams);
        let signed = sign(&crowd, &terms, &dealt, &Progress::new("sign", "vouchers", vouchers));
        (crowd, terms, signed)
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        assert_eq!(signed(1, 700, 3).2, signed(1, 700, 3).2);
        assert_ne!(signed(1, 700, 3).2, signed(2, 700, 3).2);
    }

    #[test]
    fn exactly_the_bad_signatures_are_bad() {
        let (_, terms, signed) = signed(3, 1_500, 2);
        let mut seen = 0;
        for stream in &signed {
            let vouchers = stream.packed.as_chunks::<VOUCHER_BYTES>().0;
            assert_eq!(vouchers.len(), stream.expected.len());
            for (packed, &expected) in vouchers.iter().zip(&stream.expected) {
                let (fields, signature) = Fields::unpack(packed);
                let key = VerifyingKey::from_bytes(&fields.signer).unwrap();
                let signature = Signature::from_bytes(&signature);
                let valid = key.verify_strict(&terms.network.message(&fields), &signature).is_ok();
                assert_eq!(valid, expected != outcome::BAD_SIGNATURE);
                seen += 1;
            }
        }
        assert_eq!(seen, 1_500);
    }
}
