//! What becomes of vouchers: acks, their order, every outcome, the limits of a frame.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tallystick_tests::Outcome::{
    BadSignature, Credited, Expired, LifetimeTooLong, Malformed, OverLimit, OverSignerCap,
    RevokedSigner, SelfPayment, Stale, SuspendedParty, UnknownAsset, UnknownPayee, UnknownSigner,
};
use tallystick_tests::wire::{self, Frame, GetChannelRequest, RevokeSignerRequest};
use tallystick_tests::{
    Deployment, Outcome, Signer, SignerKey, VOUCHER_BYTES, Voucher, World, frame, limit_request,
    outcomes, party_id, party_request, refused, request_id, signer_request,
};
use tonic::Code;

fn structured(voucher: &Voucher) -> wire::Voucher {
    wire::Voucher {
        signer: voucher.signer.0.to_vec().into(),
        payee: voucher.payee.0.to_vec().into(),
        asset: voucher.asset,
        lane: voucher.lane,
        expires_at: voucher.expires_at,
        cumulative: voucher.cumulative,
        signature: voucher.signature.to_vec().into(),
    }
}

fn channel_of(voucher: &Voucher) -> GetChannelRequest {
    let wire::Voucher { signer, payee, asset, lane, expires_at, .. } = structured(voucher);
    GetChannelRequest { signer, payee, asset, lane, expires_at }
}

#[tokio::test]
async fn a_stream_gets_one_ack_per_frame_in_frame_order() {
    let mut d = Deployment::new(3, 2).await;
    let mut frames = Vec::new();
    for id in 0..400u64 {
        let vouchers: Vec<Voucher> = (0..id % 7)
            .map(|lane| d.world.voucher(usize::try_from(id % 3).unwrap(), 0, lane, id + 1))
            .collect();
        // Ids need not be unique or ascending: they are echoed.
        frames.push(frame(id / 2 * 7, &vouchers));
    }
    let acks = d.client.stream(frames.clone()).await;
    assert_eq!(acks.len(), frames.len());
    let (mut last, mut places) = (0, std::collections::HashSet::new());
    for (ack, frame) in acks.iter().zip(&frames) {
        assert_eq!(ack.frame_id, frame.frame_id);
        assert_eq!(ack.outcomes.len() * VOUCHER_BYTES, frame.packed.len());
        assert!(outcomes(ack).iter().all(|outcome| *outcome == Credited), "{ack:?}");
        if ack.outcomes.is_empty() {
            assert_eq!(ack.lsn, 0, "nothing of an empty frame is journaled");
            assert!(ack.position.is_empty(), "no place is none");
        } else {
            assert!(ack.lsn > last, "each frame has its own record, in order");
            assert!(places.insert(ack.position.clone()), "and its own place");
            last = ack.lsn;
        }
    }
    let status = d.client.operator.get_status(wire::GetStatusRequest {}).await.unwrap();
    assert!(status.get_ref().durable_lsn >= last);
}

#[tokio::test]
async fn packed_vouchers_come_before_structured_ones() {
    let mut d = Deployment::new(1, 1).await;
    let of = |lane, cumulative| d.world.voucher(0, 0, lane, cumulative);
    let mut mixed = frame(1, &[of(0, 10), of(1, 5)]);
    mixed.vouchers = vec![structured(&of(0, 5)), structured(&of(1, 10)), structured(&of(2, 1))];
    let ack = d.client.vouchers.submit(mixed).await.unwrap().into_inner();
    assert_eq!(outcomes(&ack), [Credited, Credited, Stale, Credited, Credited]);
}

#[tokio::test]
async fn frames_beyond_the_limits_are_refused_whole() {
    let mut d = Deployment::new(1, 1).await;
    let one = d.world.voucher(0, 0, 0, 7);
    let full = vec![one.clone(); 4_096];
    let mut long = frame(1, &full);
    long.vouchers.push(structured(&one));
    let submitted = d.client.vouchers.submit(long.clone()).await;
    refused(submitted, Code::InvalidArgument, "4096");
    let mut cut = frame(2, &[one.clone(), one.clone()]);
    cut.packed = cut.packed.slice(..VOUCHER_BYTES + 1);
    refused(d.client.vouchers.submit(cut.clone()).await, Code::InvalidArgument, "160");

    for (bad, limit) in [(long, "4096"), (cut, "160")] {
        let frames = tokio_stream::iter([frame(9, &[]), bad]);
        let mut acks = d.client.vouchers.stream(frames).await.unwrap().into_inner();
        // The frame before is still answered; the stream then ends with the reason.
        assert_eq!(acks.message().await.unwrap().unwrap().frame_id, 9);
        refused(acks.message().await, Code::InvalidArgument, limit);
    }
    let channel = d.client.vouchers.get_channel(channel_of(&one)).await.unwrap().into_inner();
    assert_eq!((channel.cumulative, channel.lsn), (0, 0), "nothing of them was credited");
    assert_eq!(d.client.pay(&full).await[..2], [Credited, Stale], "4,096 are a frame");
}

#[tokio::test]
async fn malformed_vouchers_do_not_disturb_their_neighbours() {
    let mut d = Deployment::new(1, 1).await;
    let of = |lane| d.world.voucher(0, 0, lane, 1);
    let mut bytes: Vec<u8> =
        [of(0), of(1), of(2), of(3), of(4)].iter().flat_map(Voucher::pack).collect();
    for (voucher, reserved) in [(1, 68), (2, 71), (3, 69)] {
        bytes[voucher * VOUCHER_BYTES + reserved] = 1;
    }
    let good = structured(&of(5));
    let vouchers = vec![
        wire::Voucher { signer: good.signer.slice(..31), ..good.clone() },
        wire::Voucher { payee: [good.payee.as_ref(), &[0]].concat().into(), ..good.clone() },
        wire::Voucher { signature: good.signature.slice(..63), ..good.clone() },
        wire::Voucher::default(),
        good,
    ];
    let ack = d
        .client
        .vouchers
        .submit(Frame { frame_id: 3, packed: bytes.into(), vouchers, ..Frame::default() })
        .await;
    let told = outcomes(&ack.unwrap().into_inner());
    let packed = [Credited, Malformed, Malformed, Malformed, Credited];
    let structured = [Malformed, Malformed, Malformed, Malformed, Credited];
    assert_eq!(told, [packed, structured].concat());
}

#[tokio::test]
async fn every_outcome_is_given_to_the_voucher_that_deserves_it() {
    let mut d = Deployment::new(6, 2).await;
    let world = d.world.clone();
    let [payer, payee] = [world.payers[0].party, world.payees[0]];
    let capped = Signer::new("capped", payer);
    d.client.operator.add_signer(signer_request(&capped, &[(World::PAIRS, 100)])).await.unwrap();
    let revoked = world.payers[1].key();
    let revoke =
        RevokeSignerRequest { request_id: request_id("r"), signer: revoked.0.to_vec().into() };
    d.client.operator.revoke_signer(revoke).await.unwrap();
    for party in [world.payers[2].party, world.payees[1]] {
        let mut request = party_request(party, 77);
        request.party.as_mut().unwrap().suspended = true;
        d.client.operator.upsert_party(request).await.unwrap();
    }
    let limit = limit_request(world.payers[3].party, World::PAIRS, "10");
    d.client.operator.set_credit_limit(limit).await.unwrap();

    let signed = |voucher: Voucher, with: &Signer| with.sign(world.network, voucher);
    let of = |payer, cumulative| world.voucher(payer, 0, 0, cumulative);
    let plain = |cumulative| world.unsigned(payee, World::PAIRS, 0, cumulative);
    let mut forged = of(0, 1_000);
    forged.signature[3] ^= 1;
    let mut other_key = of(0, 1_001);
    other_key.signer = world.payers[4].key();
    let stranger = Signer::new("stranger", payer);
    let lifetime = d.client.vouchers.get_network(wire::GetNetworkRequest {}).await.unwrap();
    let lifetime = lifetime.into_inner().voucher_lifetime_seconds_max;
    let expiring = |expires_at| signed(Voucher { expires_at, ..plain(1) }, &world.payers[0]);
    let now = world.expires_at - 86_400;
    let mut reserved = of(5, 1).pack();
    reserved[70] = 9;

    let cases = [
        (of(0, 10), Credited),
        (of(0, 10), Stale),
        (of(0, 9), Stale),
        (forged, BadSignature),
        (other_key, BadSignature),
        (signed(plain(1), &stranger), UnknownSigner),
        (of(1, 1), RevokedSigner),
        (world.pay(0, party_id("nobody"), World::PAIRS, 0, 1), UnknownPayee),
        (world.pay(0, payee, 999, 0, 1), UnknownAsset),
        (world.pay(0, payer, World::PAIRS, 0, 1), SelfPayment),
        (expiring(now), Expired),
        (expiring(0), Expired),
        (expiring(i64::MIN), Expired),
        (expiring(i64::MAX), LifetimeTooLong),
        // Far enough beyond the limit that the clock cannot catch up while the test runs.
        (expiring(now + lifetime + 86_400), LifetimeTooLong),
        (signed(plain(101), &capped), OverSignerCap),
        (signed(plain(100), &capped), Credited),
        (of(3, 11), OverLimit),
        (of(3, 10), Credited),
        (of(2, 1), SuspendedParty),
        (world.voucher(0, 1, 0, 1), SuspendedParty),
    ];
    let (vouchers, wanted): (Vec<Voucher>, Vec<Outcome>) = cases.into_iter().unzip();
    assert_eq!(d.client.pay(&vouchers).await, wanted, "in one frame");
    let ack =
        d.client.vouchers.submit(Frame { packed: reserved.to_vec().into(), ..Frame::default() });
    let malformed = outcomes(&ack.await.unwrap().into_inner());
    assert_eq!(malformed, [Malformed]);
    let reached: std::collections::BTreeSet<Outcome> =
        wanted.iter().chain(&malformed).copied().collect();
    assert_eq!(reached.len(), 14, "{reached:?}");

    // One at a time, everything that raised a total is stale now, the rest is as before.
    for (voucher, outcome) in vouchers.iter().zip(wanted) {
        let again = if outcome == Credited { Stale } else { outcome };
        assert_eq!(d.client.pay(std::slice::from_ref(voucher)).await, [again], "{voucher:?}");
    }
}

#[tokio::test]
async fn malleable_signatures_are_bad() {
    // The group's order L, little endian: S + L verifies wherever S is not checked to be below L.
    let order = data_encoding::HEXLOWER
        .decode(b"edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
        .unwrap();
    let mut d = Deployment::new(1, 1).await;
    let good = d.world.voucher(0, 0, 0, 1);
    let mut raised = good.clone();
    let mut carry = 0;
    for (byte, add) in raised.signature[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    let mut small_r = good.clone();
    small_r.signature[..32].copy_from_slice(&[1; 32]);
    small_r.signature[1..32].fill(0);
    let zero = Voucher { signature: [0; 64], ..good.clone() };
    let ones = Voucher { signature: [0xff; 64], ..good.clone() };
    let told = d.client.pay(&[raised, small_r, zero, ones, good]).await;
    assert_eq!(told, [BadSignature, BadSignature, BadSignature, BadSignature, Credited]);
}

#[tokio::test]
async fn a_voucher_of_nothing_is_stale_and_an_empty_frame_is_not_journaled() {
    let mut d = Deployment::new(1, 1).await;
    let nothing = d.world.voucher(0, 0, 0, 0);
    let mut unsigned = d.world.voucher(0, 0, 1, 0);
    unsigned.signature = [0; 64];
    assert_eq!(d.client.pay(&[nothing, unsigned]).await, [Stale, Stale]);
    let ack = d.client.submit(&[]).await;
    assert_eq!((ack.lsn, ack.outcomes.len(), ack.credited + ack.stale + ack.rejected), (0, 0, 0));
}

#[tokio::test]
async fn a_full_frame_on_one_channel_is_credited_voucher_by_voucher() {
    let mut d = Deployment::new(1, 1).await;
    let up: Vec<Voucher> = (1..=4_096).map(|total| d.world.voucher(0, 0, 0, total)).collect();
    let down: Vec<Voucher> =
        (1..=4_096).rev().map(|total| d.world.voucher(0, 0, 1, total)).collect();
    let acks = d.client.stream(vec![frame(1, &up), frame(2, &up), frame(3, &down)]).await;
    assert_eq!((acks[0].credited, acks[0].stale, acks[0].rejected), (4_096, 0, 0));
    assert_eq!((acks[1].credited, acks[1].stale, acks[1].rejected), (0, 4_096, 0));
    assert_eq!(outcomes(&acks[2])[..3], [Credited, Stale, Stale]);
    assert_eq!((acks[2].credited, acks[2].stale, acks[2].rejected), (1, 4_095, 0));
    let window = d.client.close_window().await;
    assert_eq!(window.vouchers_credited, 4_097);
    let owed = d.client.obligations(1, World::PAIRS).await;
    assert_eq!(owed.len(), 1);
    assert_eq!(owed[0].amount, "8192");
}

#[tokio::test]
async fn obligations_grow_beyond_64_bits() {
    let mut d = Deployment::new(1, 1).await;
    let largest = 10u128.pow(36).to_string();
    let limit = limit_request(d.world.payers[0].party, World::PAIRS, &largest);
    d.client.operator.set_credit_limit(limit).await.unwrap();
    let vouchers: Vec<Voucher> = (0..5).map(|lane| d.world.voucher(0, 0, lane, u64::MAX)).collect();
    assert_eq!(d.client.pay(&vouchers).await, [Credited; 5]);
    d.client.close_window().await;
    let owed = d.client.obligations(1, World::PAIRS).await;
    assert_eq!(owed[0].amount, (5 * u128::from(u64::MAX)).to_string());
    tallystick_tests::check_money_sums(&mut d.client, 1, World::PAIRS).await;
}

#[tokio::test]
async fn an_older_voucher_counts_where_the_newest_is_over_the_limit() {
    let mut d = Deployment::new(1, 1).await;
    let limit = limit_request(d.world.payers[0].party, World::PAIRS, "100");
    d.client.operator.set_credit_limit(limit).await.unwrap();
    let of = |cumulative| d.world.voucher(0, 0, 0, cumulative);
    let mut forged = of(90);
    forged.signature[40] ^= 4;
    let vouchers = [of(50), of(200), of(80), forged, of(81), of(100), of(101)];
    let wanted = [Credited, OverLimit, Credited, BadSignature, Credited, Credited, OverLimit];
    assert_eq!(d.client.pay(&vouchers).await, wanted);
    let channel = d.client.vouchers.get_channel(channel_of(&vouchers[0])).await.unwrap();
    assert_eq!(channel.get_ref().cumulative, 100);
}

#[tokio::test]
async fn a_channel_is_asked_for_with_whole_ids() {
    let mut d = Deployment::new(1, 1).await;
    let good = channel_of(&d.world.voucher(0, 0, 0, 1));
    let never = d.client.vouchers.get_channel(good.clone()).await.unwrap().into_inner();
    assert_eq!((never.cumulative, never.lsn, never.channel_id.len()), (0, 0, 32));
    assert!(never.position.is_empty());
    let paid = [d.world.voucher(0, 0, 0, 1)];
    let [ack] = &d.client.stream(vec![frame(1, &paid)]).await[..] else { panic!("one ack") };
    let channel = d.client.vouchers.get_channel(channel_of(&paid[0])).await.unwrap().into_inner();
    let receipt = d.client.vouchers.get_receipt(channel_of(&paid[0])).await.unwrap().into_inner();
    assert!(!ack.position.is_empty(), "a program may keep where its voucher is, and compare it");
    assert_eq!([&channel.position, &receipt.position], [&ack.position; 2]);
    let short = GetChannelRequest { signer: good.signer.slice(1..), ..good.clone() };
    refused(d.client.vouchers.get_channel(short).await, Code::InvalidArgument, "signer");
    let short = GetChannelRequest { payee: bytes::Bytes::new(), ..good };
    refused(d.client.vouchers.get_channel(short).await, Code::InvalidArgument, "payee");
}

#[tokio::test]
async fn a_signer_is_known_only_by_its_own_key() {
    let mut d = Deployment::new(1, 1).await;
    // A bit away from a registered key is another key.
    let mut voucher = d.world.voucher(0, 0, 0, 1);
    voucher.signer = SignerKey({
        let mut key = voucher.signer.0;
        key[0] ^= 1;
        key
    });
    assert_eq!(d.client.pay(&[voucher]).await, [UnknownSigner]);
}

#[tokio::test]
async fn bytes_that_mean_nothing_are_answered_voucher_by_voucher() {
    let mut d = Deployment::new(1, 1).await;
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let good = d.world.voucher(0, 0, 0, 1_000).pack();
    for round in 0..40 {
        let mut packed = vec![0; rng.random_range(1..64) * VOUCHER_BYTES];
        rng.fill(&mut packed[..]);
        for voucher in packed.chunks_mut(VOUCHER_BYTES) {
            // Half of them begin as a real voucher with some bytes overwritten.
            if rng.random_bool(0.5) {
                let from = rng.random_range(0..VOUCHER_BYTES);
                voucher[..from].copy_from_slice(&good[..from]);
            }
        }
        let count = packed.len() / VOUCHER_BYTES;
        let frame = Frame { frame_id: round, packed: packed.into(), ..Frame::default() };
        let ack = d.client.vouchers.submit(frame).await.unwrap().into_inner();
        assert_eq!((outcomes(&ack).len(), ack.credited), (count, 0));
        assert_eq!(ack.lsn, 0, "nothing without a valid signature is journaled");
    }
}

/// After a lost ack a client sends again. A key that was revoked meanwhile, or a party that was
/// suspended, is found before the total is looked at: the answer says nothing of what was credited,
/// `GetChannel` does.
#[tokio::test]
async fn a_voucher_that_was_credited_is_found_by_its_channel_when_its_key_is_revoked() {
    let mut d = Deployment::new(1, 1).await;
    let (paid, never) = (d.world.voucher(0, 0, 0, 5), d.world.voucher(0, 0, 1, 5));
    assert_eq!(d.client.pay(std::slice::from_ref(&paid)).await, [Credited]);
    let suspended = |suspended| {
        let mut request = party_request(d.world.payees[0], 1_001);
        request.party.as_mut().expect("a party").suspended = suspended;
        request
    };
    d.client.operator.upsert_party(suspended(true)).await.unwrap();
    assert_eq!(d.client.pay(&[paid.clone(), never.clone()]).await, [SuspendedParty; 2]);
    d.client.operator.upsert_party(suspended(false)).await.unwrap();
    assert_eq!(d.client.pay(std::slice::from_ref(&paid)).await, [Stale]);
    let signer = paid.signer.0.to_vec().into();
    let revoke = RevokeSignerRequest { request_id: request_id("revoke"), signer };
    d.client.operator.revoke_signer(revoke).await.unwrap();
    assert_eq!(d.client.pay(&[paid.clone(), never.clone()]).await, [RevokedSigner; 2]);
    let mut d = d.restart(&[]).await;
    for (voucher, total) in [(paid, 5), (never, 0)] {
        let held = d.client.vouchers.get_channel(channel_of(&voucher)).await.unwrap().into_inner();
        assert_eq!((held.cumulative, held.known), (total, total > 0), "{held:?}");
    }
}
