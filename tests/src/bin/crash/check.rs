//! Compares what an engine says after a start with the books.
//!
//! Two steps. First what was acked must be there, and nothing that was never asked for. Then every
//! call that was cut off is repeated, and after that the books and the engine must be equal.

use crate::books::{Books, Closed, Made, Op, same_batch, same_window};
use crate::load::{extra, perform};
use crate::pool::{PAYERS, Pool};
use rand::{RngExt as _, seq::IteratorRandom as _};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::sync::Arc;
use tallystick_tests::wire::{BatchState, GetChannelRequest, GetExposureRequest, GetPartyRequest};
use tallystick_tests::{Client, World, check_money_sums};

const ASSETS: [u32; 2] = [World::PAIRS, World::CLEARED];
/// Questions about channels that are under way at once.
const ASKERS: usize = 8;

/// Everything. `all`: every old window and batch is read again, not a few.
pub async fn check(
    client: &mut Client,
    pool: &Arc<Pool>,
    books: &mut Books,
    rng: &mut ChaCha8Rng,
    all: bool,
) {
    windows(client, books, true).await;
    batches(client, books, true).await;
    exposures(client, pool, books).await;
    let held = channels(client, pool, books, rng).await;
    repeat(client, pool, books).await;
    // Nothing is pending any more: what is there must be exactly what is in the books.
    windows(client, books, false).await;
    batches(client, books, false).await;
    exposures(client, pool, books).await;
    unsettled(client, pool, books, &held).await;
    parties(client, books).await;
    owed(client, pool, books, &held).await;
    old(client, books, rng, all).await;
}

/// `early`: calls that were cut off may or may not have been done.
async fn windows(client: &mut Client, books: &mut Books, early: bool) {
    let mut unknown = 0;
    let mut seen: BTreeMap<u64, _> = BTreeMap::new();
    for window in client.windows().await {
        if window.cut_lsn > 0 && !books.windows.contains_key(&window.number) {
            unknown += 1;
        }
        seen.insert(window.number, window);
    }
    for (number, known) in &books.windows {
        match seen.get(number) {
            Some(now) if same_window(&known.window, now) => {}
            Some(now) if now.cut_lsn > 0 => {
                books.found.changed(format!("window {:?} is now {now:?}", known.window));
            }
            now => books.found.lost(format!("closed window {number} is {now:?}")),
        }
    }
    let closes = books.pending.values().filter(|op| **op == Op::Close).count();
    if unknown > if early { closes } else { 0 } {
        books.found.doubled(format!("{unknown} closed windows of {closes} calls"));
    }
}

async fn batches(client: &mut Client, books: &mut Books, early: bool) {
    let (mut unknown, mut found) = (0, Vec::new());
    let mut seen: BTreeMap<Vec<u8>, _> = BTreeMap::new();
    for batch in client.batches().await {
        unknown += usize::from(!books.batches.contains_key(&batch.batch_id[..]));
        if seen.insert(batch.batch_id.to_vec(), batch).is_some() {
            books.found.doubled("a batch is listed twice".to_owned());
        }
    }
    for (id, known) in &books.batches {
        match seen.get(id) {
            None => books.found.lost(format!("batch {:?}", known.batch)),
            Some(now)
                if !same_batch(&known.batch, now) || !books.may_be(&known.batch, now.state()) =>
            {
                found.push(format!("batch {:?} is now {now:?}", known.batch));
            }
            Some(_) => {}
        }
    }
    found.into_iter().for_each(|text| books.found.changed(text));
    let creates = books.pending.values();
    let creates = creates.filter(|op| matches!(op, Op::Batch { .. })).count();
    if unknown > if early { creates } else { 0 } {
        books.found.doubled(format!("{unknown} batches of {creates} calls"));
    }
}

/// Prefunds and limits: what is known, or that and what is pending.
async fn exposures(client: &mut Client, pool: &Pool, books: &mut Books) {
    for payer in 0..PAYERS {
        for asset in ASSETS {
            let party_id = pool.world.payers[payer].party.0.to_vec().into();
            let ask = GetExposureRequest { party_id, asset };
            let now = client.operator.get_exposure(ask).await.expect("the engine answers");
            let now = now.into_inner();
            let mut prefunds = vec![books.prefund.get(&(payer, asset)).copied().unwrap_or(0)];
            let mut limits =
                vec![books.limit.get(&(payer, asset)).copied().unwrap_or(World::LIMIT)];
            for op in books.pending.values() {
                match *op {
                    Op::Deposit { payer: p, asset: a, amount } if (p, a) == (payer, asset) => {
                        prefunds.extend(prefunds.clone().iter().map(|sum| sum + amount));
                    }
                    Op::Limit { payer: p, asset: a, limit } if (p, a) == (payer, asset) => {
                        limits.push(limit);
                    }
                    Op::Deposit { .. }
                    | Op::Limit { .. }
                    | Op::Close
                    | Op::Batch { .. }
                    | Op::Approve { .. }
                    | Op::Abort { .. }
                    | Op::Party { .. }
                    | Op::Signer { .. }
                    | Op::Revoke { .. } => {}
                }
            }
            let prefund: u128 = now.prefund.parse().expect("digits");
            // A batch that was approved may have paid with deposits.
            if books.may_have_settled(asset) {
                if prefunds.iter().all(|sum| prefund > *sum) {
                    let text = format!("payer {payer}: deposits {prefund} of {prefunds:?}");
                    books.found.doubled(text);
                }
            } else if prefund < prefunds[0] {
                books.found.lost(format!("payer {payer}: deposits {prefund} of {prefunds:?}"));
            } else if !prefunds.contains(&prefund) {
                books.found.doubled(format!("payer {payer}: deposits {prefund} of {prefunds:?}"));
            }
            let limit: u128 = now.credit_limit.parse().expect("digits");
            if !limits.contains(&limit) {
                books.found.lost(format!("payer {payer}: limit {limit} of {limits:?}"));
            }
        }
    }
}

/// What each channel holds: at least what was acked, and a voucher that was sent. From here on the
/// next voucher follows what is held, or what was sent, as different clients do.
async fn channels(
    client: &Client,
    pool: &Arc<Pool>,
    books: &mut Books,
    rng: &mut ChaCha8Rng,
) -> Vec<u64> {
    let ask = |first: usize| {
        let (mut client, pool) = (client.clone(), pool.clone());
        tokio::spawn(async move {
            let mut held = Vec::new();
            for channel in pool.channels.iter().skip(first).step_by(ASKERS) {
                let request = GetChannelRequest {
                    signer: pool.world.payers[channel.payer].key().0.to_vec().into(),
                    payee: channel.payee.0.to_vec().into(),
                    asset: channel.asset,
                    lane: channel.lane,
                    expires_at: pool.world.expires_at,
                };
                let answer = client.vouchers.get_channel(request).await;
                held.push(answer.expect("the engine answers").into_inner().cumulative);
            }
            held
        })
    };
    let asked: Vec<_> = (0..ASKERS).map(ask).collect();
    let mut held = vec![0; pool.channels.len()];
    for (first, asked) in asked.into_iter().enumerate() {
        let found = asked.await.expect("the engine answers");
        held.iter_mut().skip(first).step_by(ASKERS).zip(found).for_each(|(at, now)| *at = now);
    }
    for (number, (channel, &now)) in pool.channels.iter().zip(&held).enumerate() {
        let Books { channels, found, .. } = &mut *books;
        let known = &mut channels[number];
        let acked = known.acked.checked_sub(1).map_or(0, |place| channel.totals[place]);
        let count =
            if now == 0 { Some(0) } else { channel.totals.binary_search(&now).ok().map(|p| p + 1) };
        if now < acked {
            found.lost(format!("channel {number} holds {now}, acked was {acked}"));
        }
        match count.filter(|count| *count <= known.sent) {
            None => found.doubled(format!("channel {number} holds {now}, which was never sent")),
            Some(count) => {
                known.acked = known.acked.max(count);
                known.next = if rng.random_bool(0.5) { count } else { known.next };
            }
        }
    }
    held
}

/// Repeats every call that was cut off.
async fn repeat(client: &mut Client, pool: &Pool, books: &mut Books) {
    for (id, op) in books.pending.clone() {
        // Twice: it may have been the first time or the second.
        for _ in 0..2 {
            match perform(client, pool, &id, &op).await {
                Ok(told) => books.told(&id, told),
                Err(status) => {
                    books.found.failure(format!("{op:?}, repeated: {}", status.message()));
                }
            }
        }
        books.pending.remove(&id);
    }
}

/// What every payer owes is the sum of its channels.
async fn unsettled(client: &mut Client, pool: &Pool, books: &mut Books, held: &[u64]) {
    for payer in 0..PAYERS {
        for asset in ASSETS {
            let party_id = pool.world.payers[payer].party.0.to_vec().into();
            let ask = GetExposureRequest { party_id, asset };
            let now = client.operator.get_exposure(ask).await.expect("the engine answers");
            let own = pool.channels.iter().zip(held);
            let own = own.filter(|(c, _)| c.payer == payer && c.asset == asset);
            let sum: u128 = own.map(|(_, total)| u128::from(*total)).sum();
            let unsettled = now.into_inner().unsettled;
            // Whose legs have all ended, or who has none, owes less once a batch was approved.
            let settled = unsettled.parse::<u128>().is_ok_and(|unsettled| unsettled < sum);
            if !(settled && books.may_have_settled(asset)) {
                compare(books, &format!("payer {payer} in asset {asset}"), &unsettled, sum);
            }
        }
    }
}

fn compare(books: &mut Books, what: &str, found: &str, sum: u128) {
    let found: u128 = found.parse().expect("sums are digits");
    let text = format!("{what} owes {found}, the channels hold {sum}");
    match found.cmp(&sum) {
        std::cmp::Ordering::Less => books.found.lost(text),
        std::cmp::Ordering::Greater => books.found.doubled(text),
        std::cmp::Ordering::Equal => {}
    }
}

/// Parties that were registered on the way are there: the last one stands for all before it.
async fn parties(client: &mut Client, books: &mut Books) {
    let Some(&number) = books.parties.last() else { return };
    let party_id = extra(number).party.0.to_vec().into();
    let party = client.operator.get_party(GetPartyRequest { party_id }).await;
    match party.map(|party| party.into_inner().name) {
        Ok(name) if name == format!("Party {} GmbH", 5_000 + number) => {}
        other => books.found.lost(format!("party {number}: {other:?}")),
    }
}

/// Closes the open window, so that all that is owed is in closed ones, and adds it up per pair.
async fn owed(client: &mut Client, pool: &Pool, books: &mut Books, held: &[u64]) {
    let id = format!("check-{}", books.windows.len());
    books.pending.insert(id.clone(), Op::Close);
    match perform(client, pool, &id, &Op::Close).await {
        Ok(told) => books.told(&id, told),
        Err(status) => return books.found.failure(format!("a close: {}", status.message())),
    }
    let unread = books.windows.iter().filter(|(_, closed)| closed.lists.is_none());
    for number in unread.map(|(number, _)| *number).collect::<Vec<u64>>() {
        for asset in ASSETS {
            check_money_sums(client, number, asset).await;
            for owed in client.obligations(number, asset).await {
                let pair = (owed.payer.to_vec(), owed.payee.to_vec(), asset);
                let amount: u128 = owed.amount.parse().expect("sums are digits");
                *books.owed.entry(pair).or_default() += amount;
            }
        }
        let lists = Some(lists(client, number).await);
        if let Some(closed) = books.windows.get_mut(&number) {
            closed.lists = lists;
        }
    }
    let mut sums: BTreeMap<_, u128> = BTreeMap::new();
    for (channel, total) in pool.channels.iter().zip(held) {
        let payer = pool.world.payers[channel.payer].party.0.to_vec();
        let pair = (payer, channel.payee.0.to_vec(), channel.asset);
        *sums.entry(pair).or_default() += u128::from(*total);
    }
    sums.retain(|_, sum| *sum > 0);
    for pair in books.owed.clone().into_keys().chain(sums.clone().into_keys()) {
        let (owed, sum) = (books.owed.get(&pair), sums.get(&pair).copied().unwrap_or(0));
        let owed = owed.copied().unwrap_or(0).to_string();
        compare(books, "a pair, in all windows,", &owed, sum);
    }
}

/// Windows and batches that were read before are the same, to the byte.
async fn old(client: &mut Client, books: &mut Books, rng: &mut ChaCha8Rng, all: bool) {
    let some = if all { usize::MAX } else { 3 };
    let windows: Vec<(u64, Closed)> = books.windows.clone().into_iter().sample(rng, some);
    for (number, known) in windows {
        let now = lists(client, number).await;
        if known.lists.is_some_and(|lists| lists != now) {
            books.found.changed(format!("the lists of window {number}"));
        }
    }
    let batches = books.batches.clone().into_values();
    for Made { batch, files } in batches.sample(rng, some) {
        // An aborted batch is not exported any more.
        if batch.state() == BatchState::Aborted {
            continue;
        }
        let mut digest = blake3::Hasher::new();
        for leg in client.legs(&batch).await {
            let never_changes = (leg.key, leg.from, leg.to, leg.amount);
            digest.update(format!("{never_changes:?}").as_bytes());
        }
        for (name, bytes) in client.export(&batch).await {
            digest.update(name.as_bytes()).update(&bytes);
        }
        let now = *digest.finalize().as_bytes();
        if files.is_some_and(|files| files != now) {
            books.found.changed(format!("the legs or files of {batch:?}"));
        }
        if let Some(made) = books.batches.get_mut(&batch.batch_id[..]) {
            made.files = Some(now);
        }
    }
}

/// A digest of everything that is listed of a closed window.
async fn lists(client: &mut Client, window: u64) -> [u8; 32] {
    let mut digest = blake3::Hasher::new();
    for asset in ASSETS {
        digest.update(format!("{:?}", client.obligations(window, asset).await).as_bytes());
        digest.update(format!("{:?}", client.net_obligations(window, asset).await).as_bytes());
        digest.update(format!("{:?}", client.net_positions(window, asset).await).as_bytes());
    }
    *digest.finalize().as_bytes()
}
