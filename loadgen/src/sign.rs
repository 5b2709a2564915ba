//! Signs the planned vouchers on every core, ahead of sending, into the bytes that are sent.
//!
//! Signing costs as much as checking: a client that signs while it sends would measure itself.

use crate::crowd::{Crowd, cores};
use crate::plan::{Kind, Planned};
use crate::progress::Progress;
use bytes::Bytes;
use data_encoding::HEXLOWER;
use ed25519_dalek::Signer as _;
use std::ops::Range;
use std::sync::Mutex;
use tallystick_client::bundle::{self, ENTRY_BYTES, HEAD_BYTES};
use tallystick_client::voucher::{Fields, Network, SIGNATURE_AT, VOUCHER_BYTES};
use tallystick_proto::v1::Frame;

/// Vouchers, or entries of bundles, that a core signs at once: some 15 ms of work.
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
    /// Entries of a bundle; 1: vouchers.
    pub bundle: usize,
}

/// One stream's vouchers, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// Packed vouchers, 160 bytes each; or packed bundles, one after the other.
    pub packed: Bytes,
    /// Entries of a bundle, but perhaps the last one; 1: vouchers.
    pub bundle: usize,
    /// The outcome that each must have.
    pub expected: Vec<u8>,
}

impl Signed {
    /// Bytes of so many vouchers, or of bundles with so many entries.
    fn bytes_of(bundle: usize, count: usize) -> usize {
        match bundle {
            1 => count * VOUCHER_BYTES,
            size => count.div_ceil(size) * HEAD_BYTES + count * ENTRY_BYTES,
        }
    }

    /// One frame: the vouchers of these numbers, which are those of whole bundles.
    #[must_use]
    pub fn frame(&self, frame_id: u64, numbers: Range<usize>) -> Frame {
        let at = |number: usize| Self::bytes_of(self.bundle, number);
        if self.bundle == 1 {
            let packed = self.packed.slice(at(numbers.start)..at(numbers.end));
            return Frame { frame_id, packed, ..Frame::default() };
        }
        let ends = numbers.clone().step_by(self.bundle).map(|first| {
            let end = numbers.end.min(first + self.bundle);
            self.packed.slice(at(first)..at(end))
        });
        Frame { frame_id, packed_bundles: ends.collect(), ..Frame::default() }
    }

    /// What voucher or entry number `number` says, in words.
    #[must_use]
    pub fn describe(&self, number: usize) -> String {
        if self.bundle == 1 {
            let (fields, _) = Fields::unpack(&self.packed.as_chunks().0[number]);
            return fields.to_string();
        }
        let (bundle, entry) = (number / self.bundle, number % self.bundle);
        let start = Self::bytes_of(self.bundle, bundle * self.bundle);
        let entry = start + HEAD_BYTES + entry * ENTRY_BYTES;
        let hex = |from: usize, bytes| HEXLOWER.encode(&self.packed[from..from + bytes]);
        format!("entry of a bundle of signer {}, {}", hex(start, 32), hex(entry, ENTRY_BYTES))
    }
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

    /// Signs what one payer pays at once.
    fn sign_bundle(&self, crowd: &Crowd, planned: &[Planned], out: &mut [u8]) {
        let entries: Vec<Fields> = planned.iter().map(|one| self.fields(crowd, one)).collect();
        let signer = crowd.signer(planned[0].payer).expect("every payer has a signer");
        let message = bundle::message(&self.network, &entries).expect("entries of one payer");
        let mut signature = signer.sign(&message).to_bytes();
        if planned[0].kind == Kind::BadSignature {
            let bit = usize::try_from(planned[0].cumulative % 512).expect("less than 512");
            signature[bit / 8] ^= 1 << (bit % 8);
        }
        out.copy_from_slice(&bundle::pack(&entries, &signature));
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
    let bundle = terms.bundle;
    let bytes = |count| Signed::bytes_of(bundle, count);
    let chunk = (CHUNK / bundle).max(1) * bundle;
    let mut packed: Vec<Vec<u8>> =
        streams.iter().map(|planned| vec![0; bytes(planned.len())]).collect();
    let chunks = streams
        .iter()
        .zip(&mut packed)
        .flat_map(|(planned, packed)| planned.chunks(chunk).zip(packed.chunks_mut(bytes(chunk))));
    let chunks = Mutex::new(chunks);
    std::thread::scope(|scope| {
        for _ in 0..cores() {
            scope.spawn(|| {
                loop {
                    // In its own statement, so that the lock is released before the work begins.
                    let chunk = chunks.lock().expect("no thread panics with the lock").next();
                    let Some((planned, out)) = chunk else { break };
                    if bundle == 1 {
                        for (planned, out) in planned.iter().zip(out.as_chunks_mut().0) {
                            terms.sign(crowd, planned, out);
                        }
                    } else {
                        let outs = out.chunks_mut(bytes(bundle));
                        for (planned, out) in planned.chunks(bundle).zip(outs) {
                            terms.sign_bundle(crowd, planned, out);
                        }
                    }
                    progress.add(u64::try_from(planned.len()).expect("a chunk is small"));
                }
            });
        }
    });
    let expected = |planned: &Vec<Planned>| planned.iter().map(|p| p.kind.outcome()).collect();
    let signed = |(planned, packed): (&Vec<Planned>, Vec<u8>)| Signed {
        packed: Bytes::from(packed),
        bundle,
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
            bundle: usize::from(traffic.bundle),
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
