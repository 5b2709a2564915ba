//! What the engine holds, compared with what it must hold. Owns the comparisons; changes nothing.

use crate::clients::OPERATORS;
use crate::disk::Disk;
use crate::fold;
use crate::model::{self, BatchState, Decided, State, Window, word};
use crate::world::{Channel, World};
use std::collections::BTreeMap;
use std::fmt::Debug;
use tallystick::ledger::event::WindowSealed;
use tallystick::ledger::{
    BatchContent, BatchHead, Caller, Control, Exposure, Obligation, Refusal, Role, SealedWindow,
    Shard, Via, WindowTotals,
};
use tallystick::pipeline::Done;
use tallystick::types::{AssetNumber, BatchId, PartyId};

/// Nothing, or what is wrong.
pub type Checked = Result<(), String>;

/// Two things that must be the same.
pub fn same<T: PartialEq + Debug>(what: impl Fn() -> String, found: &T, wanted: &T) -> Checked {
    if found == wanted {
        return Ok(());
    }
    Err(format!("{}: the engine has {found:?}, the model {wanted:?}", what()))
}

/// Something that must hold.
pub fn ensure(holds: bool, what: impl Fn() -> String) -> Checked {
    if holds { Ok(()) } else { Err(what()) }
}

/// An answer to commands, in the model's words.
#[must_use]
pub fn decided(done: &[Result<Done, Refusal>]) -> Vec<Decided> {
    let one = |done: &Result<Done, Refusal>| match done {
        Ok(Done::Now(lsn)) => Decided::Now(lsn.0),
        Ok(Done::Before(lsn)) => Decided::Before(lsn.0),
        Err(refusal) => Decided::Refused(word(refusal)),
    };
    done.iter().map(one).collect()
}

/// An exposure, in the model's words.
#[must_use]
pub fn exposure(found: Exposure) -> model::Exposure {
    let Exposure { limit, prefund, unsettled } = found;
    model::Exposure { limit: limit.0, prefund: prefund.0, unsettled: unsettled.0 }
}

/// The whole control state.
///
/// # Errors
/// The first difference.
pub fn control(found: &Control, wanted: &State, disk: &Disk) -> Checked {
    same(|| "the last event".into(), &found.applied().0, &wanted.applied)?;
    same(|| "changes of accounts".into(), &found.directory_version(), &wanted.directory)?;
    let key = wanted.keys.last().map(|(key, _)| *key);
    same(|| "the engine's key".into(), &found.engine_key(), &key)?;
    for (key, lsn) in &wanted.keys {
        let set = found.engine_key_set_by(tallystick::types::Lsn(*lsn));
        same(|| format!("the key that record {lsn} set"), &set, &Some(*key))?;
    }
    let assets: Vec<_> = found.assets().cloned().collect();
    same(|| "assets".into(), &assets, &wanted.assets.values().cloned().collect())?;
    let counts = (wanted.parties.len(), wanted.signers.len());
    same(|| "parties and signers".into(), &found.counts(), &counts)?;
    for (id, party) in &wanted.parties {
        let entry = found.party(*id).map_err(|refusal| refusal.to_string())?;
        let (name, accounts) = (entry.name.clone(), entry.accounts.clone());
        let (suspended, erased, erasures) = (entry.suspended, entry.is_erased(), entry.erasures);
        let entry = model::Party { name, suspended, accounts, erased, erasures };
        same(|| format!("party {id}"), &entry, party)?;
    }
    for (key, signer) in &wanted.signers {
        let entry = found.signer(*key).map_err(|refusal| refusal.to_string())?;
        let (party, revoked, caps) = (entry.party, entry.revoked, entry.caps.clone());
        same(|| format!("signer {key}"), &model::Signer { party, revoked, caps }, signer)?;
    }
    for key in wanted.signers.keys() {
        let held = found.budgets(*key).map_err(|refusal| refusal.to_string())?;
        same(|| format!("budgets of {key}"), &held.to_vec(), &wanted.entries(*key))?;
    }
    same(|| "request ids".into(), &found.request_count(), &wanted.requests.len())?;
    for ((whose, id), (content, lsn, _)) in &wanted.requests {
        let request = tallystick::ledger::Request { id: id.clone(), content: *content };
        let caller = match whose.clone() {
            Some(name) => Caller { name, role: Role::Party, via: Via::Key },
            None => Caller::engine(),
        };
        let answered = found.answered_to(&caller, &request).map(|lsn| lsn.map(|lsn| lsn.0));
        same(|| format!("the answer to request {id}"), &answered, &Ok(Some(*lsn)))?;
    }
    let open = found.troubles().open().map(|one| (one.number, model::Told::new(&one.of)));
    same(|| "troubles".into(), &open.collect(), &wanted.troubles)?;
    identities(found, wanted)?;
    endpoints(found, wanted)?;
    proposals(found, wanted)?;
    for operator in OPERATORS {
        let what = || format!("the key of {operator:?}");
        let key = found.operator_keys().current(operator);
        same(what, &key, &wanted.own.get(operator).copied())?;
    }
    for id in wanted.batches.keys() {
        let again = found.paid_again(*id).iter().map(|trouble| trouble.number).collect();
        same(|| format!("what batch {id} pays again"), &again, &wanted.paid_again(*id))?;
    }
    windows(found, wanted)?;
    batches(found, wanted, disk)
}

fn identities(found: &Control, wanted: &State) -> Checked {
    let known = |(_, of): (tallystick::types::Lsn, &tallystick::ledger::Identity)| {
        let (role, credential) = (of.role, of.credential.clone());
        let (parties, until) = (of.scope.parties.clone(), of.expires_at.map(|at| at.0));
        let revoked = of.revoked.is_some();
        let (maker, past) = (of.maker.clone(), of.past.clone());
        let changed = of.changed.0;
        let known =
            model::Known { role, credential, parties, until, revoked, maker, past, changed };
        (of.name.clone(), known)
    };
    let found: BTreeMap<String, model::Known> = found.identities().all().map(known).collect();
    same(|| "identities".into(), &found, &wanted.identities)
}

/// Where parties are told over HTTP.
fn endpoints(found: &Control, wanted: &State) -> Checked {
    let one = |(lsn, of): (tallystick::types::Lsn, &tallystick::ledger::Endpoint)| {
        let former = of.former.as_ref().map(|former| (former.secret.clone(), former.until.0));
        let (url, secret, topics) = (of.url.clone(), of.secret.clone(), of.topics.clone());
        let (party, by, added_at) = (of.party, (of.by.clone(), of.by_owner), of.added_at.0);
        (lsn.0, model::Endpoint { party, url, secret, former, topics, by, added_at })
    };
    let found: BTreeMap<u64, model::Endpoint> = found.endpoints().all().map(one).collect();
    same(|| "webhooks".into(), &found, &wanted.endpoints)
}

/// What was proposed and waits for another.
fn proposals(found: &Control, wanted: &State) -> Checked {
    let eyes = found.eyes();
    let stands = (eyes.are_on(), eyes.had_two());
    same(|| "four eyes".into(), &stands, &(wanted.eyes.on, wanted.eyes.two))?;
    let one = |(lsn, of): (tallystick::types::Lsn, &tallystick::ledger::eyes::Proposal)| {
        let (proposer, event) = (of.proposer.clone(), of.change.event());
        let of = model::Waiting { id: of.id, proposer, at: of.at.0, event, before: of.before };
        (lsn.0, of)
    };
    let open: BTreeMap<u64, model::Waiting> = eyes.all().map(one).collect();
    same(|| "proposals".into(), &open, &wanted.eyes.open)
}

fn windows(found: &Control, wanted: &State) -> Checked {
    for (party, asset) in wanted.deposits.keys() {
        let free = found.free_prefund(*party, AssetNumber(*asset)).0;
        let what = || format!("what is free of the deposits of {party} in {asset}");
        same(what, &free, &wanted.free(*party, *asset))?;
    }
    same(|| "windows".into(), &found.windows().len(), &wanted.windows.len())?;
    for ((entry, window), number) in found.windows().zip(&wanted.windows).zip(1u64..) {
        let what = |of: &'static str| move || format!("{of} of window {number}");
        same(what("the number"), &entry.number.0, &number)?;
        same(what("the first record"), &entry.first_lsn.0, &window.first_lsn)?;
        let cut = entry.cut.map(|(lsn, at)| (lsn.0, at.0));
        same(what("the cut"), &cut, &window.cut)?;
        same(what("the seal"), &entry.sealed.is_some(), &window.sealed)?;
        let live: BTreeMap<u32, BatchId> =
            entry.live.iter().map(|(asset, batch)| (asset.0, *batch)).collect();
        same(what("the live batches"), &live, &window.live)?;
        let settled = entry.settled.iter().map(|asset| asset.0).collect();
        same(what("the settled assets"), &settled, &window.settled)?;
        same(what("the dispute"), &entry.dispute.is_some(), &window.disputed)?;
        same(what("the archive"), &entry.archive.is_some(), &window.archived)?;
        if !window.sealed {
            let carried = entry.carried.iter();
            let carried = carried.map(|(asset, o)| ((asset.0, o.payer, o.payee), o.amount.0));
            same(what("the carry"), &carried.collect(), &window.carried)?;
        }
        if let Some(seal) = &entry.sealed {
            sealed(seal, window)?;
        }
    }
    Ok(())
}

fn batches(found: &Control, wanted: &State, disk: &Disk) -> Checked {
    same(|| "batches".into(), &found.batch_count(), &wanted.batches.len())?;
    for (id, (state, batch, lsn)) in &wanted.batches {
        let entry = found.batch(*id).map_err(|refusal| refusal.to_string())?;
        let now = match entry.state() {
            tallystick::ledger::BatchState::Computed => BatchState::Computed,
            tallystick::ledger::BatchState::Approved => BatchState::Approved,
            tallystick::ledger::BatchState::Submitting => BatchState::Submitting,
            tallystick::ledger::BatchState::Settled => BatchState::Settled,
            tallystick::ledger::BatchState::SettledWithCarry => BatchState::SettledWithCarry,
            tallystick::ledger::BatchState::Aborted => BatchState::Aborted,
        };
        same(|| format!("the state of batch {id}"), &now, state)?;
        same(|| format!("the record of batch {id}"), &entry.computed_lsn.0, lsn)?;
        let by = (entry.by.operator.clone(), entry.by.four_eyes);
        let wanted = (batch.creator.clone(), batch.four_eyes);
        same(|| format!("who computed batch {id}"), &by, &wanted)?;
        let approver = entry.approved.as_ref().map(|of| of.operator.clone());
        same(|| format!("who approved batch {id}"), &approver, &batch.approver)?;
        head(&entry.head, batch)?;
        crate::settled::progress(entry, &fold::whole(disk, *id, &entry.legs), batch)?;
    }
    for (lsn, id) in &wanted.computed {
        let made = found.batch_computed_by(tallystick::types::Lsn(*lsn));
        same(|| format!("the batch that record {lsn} computed"), &made, &Some(*id))?;
    }
    Ok(())
}

/// What the shards hold, all together.
///
/// # Errors
/// The first difference.
pub fn shards(found: &[&Shard], wanted: &State, world: &World) -> Checked {
    let count = u16::try_from(found.len()).expect("shards are few");
    let of = |party: &PartyId| found[usize::from(party.shard(count))];
    let now = wanted.last.1.div_euclid(1_000_000);
    let mut gone = 0;
    for (key, held) in &wanted.channels {
        let shard = of(&held.payer);
        let may_be_forgotten = held.window < wanted.open() && key.expires_at <= now;
        if may_be_forgotten && shard.newest(world.id(key)).is_none() {
            gone += 1;
            continue;
        }
        channel(shard, world, key, held)?;
    }
    let channels: usize = found.iter().map(|shard| shard.channels()).sum();
    same(|| "channels".into(), &channels, &(wanted.channels.len() - gone))?;
    for (&(party, asset), owes) in &wanted.exposures {
        let held = exposure(of(&party).exposure(party, AssetNumber(asset)));
        same(|| format!("exposure of {party} in {asset}"), &held, owes)?;
    }
    for (key, signer) in &wanted.signers {
        for cap in &signer.caps {
            let used = wanted.used.get(&(*key, cap.asset.0)).copied().unwrap_or(0);
            let held = of(&signer.party).cap_used(*key, cap.asset).map(|used| used.0);
            same(|| format!("cap use of {key} in {}", cap.asset), &held, &Some(used))?;
        }
    }
    for (key, signer) in &wanted.signers {
        let mut uses = of(&signer.party).budgets_used(*key);
        uses.retain(|one| one.used.0 > 0);
        same(|| format!("what {key} used of its budgets"), &uses, &wanted.uses(*key))?;
    }
    let mut near: Vec<_> = found.iter().flat_map(|one| one.budgets_near(usize::MAX)).collect();
    near.sort_unstable();
    same(|| "budgets to warn of".into(), &near, &wanted.near())?;
    for (lsn, (party, asset, owes)) in &wanted.answers {
        let held = of(party).exposure_at(tallystick::types::Lsn(*lsn)).map(exposure);
        same(|| format!("the answer of record {lsn} to {party} in {asset}"), &held, &Some(*owes))?;
    }
    let credited = wanted.windows.last().map_or(0, |window| window.credited);
    let found: u64 = found.iter().map(|shard| shard.credited()).sum();
    same(|| "vouchers credited in the open window".into(), &found, &credited)
}

/// What a shard holds for one channel, which it must.
///
/// # Errors
/// The difference.
pub fn channel(shard: &Shard, world: &World, key: &Channel, wanted: &model::Held) -> Checked {
    let id = world.id(key);
    let state = shard.channel(id);
    let total = (state.total.0, state.lsn.0);
    same(
        || format!("total and record of {key:?}"),
        &total,
        &(wanted.newest.cumulative, wanted.lsn),
    )?;
    let newest = shard.newest(id).ok_or_else(|| format!("channel {key:?} has no voucher"))?;
    let found = (newest.payer, newest.before.0, newest.lsn.0);
    same(|| format!("evidence of {key:?}"), &found, &(wanted.payer, wanted.before, wanted.lsn))?;
    same(|| format!("voucher of {key:?}"), &newest.voucher, &wanted.newest.packed)
}

fn by_pair(owed: &[Obligation]) -> BTreeMap<(PartyId, PartyId), u128> {
    owed.iter().map(|o| ((o.payer, o.payee), o.amount.0)).collect()
}

/// A window as it was netted, all of it.
///
/// # Errors
/// The first difference.
pub fn window(found: &SealedWindow, wanted: &Window) -> Checked {
    let number = found.number;
    let what = |of: &str| format!("{of} of window {number}");
    same(|| what("vouchers"), &found.credited, &wanted.credited)?;
    let cut = Some((found.cut_lsn.0, found.cut_at.0));
    same(|| what("the cut"), &cut, &wanted.cut)?;
    same(|| what("the first record"), &found.first_lsn.0, &wanted.first_lsn)?;
    let assets: Vec<u32> = found.assets.keys().map(|asset| asset.0).collect();
    same(|| what("the assets"), &assets, &wanted.assets())?;
    for (asset, of) in &found.assets {
        let what = |part: &str| format!("{part} in asset {asset} of window {number}");
        let owed = wanted.owed.iter().filter(|((in_asset, ..), _)| *in_asset == asset.0);
        let owed = owed.map(|(&(_, payer, payee), amount)| ((payer, payee), *amount)).collect();
        same(|| what("obligations"), &by_pair(&of.obligations), &owed)?;
        ensure(of.obligations.is_sorted(), || what("the order of obligations"))?;
        let mut carried: Vec<_> =
            of.carried.iter().map(|o| ((asset.0, o.payer, o.payee), o.amount.0)).collect();
        let carry = wanted.carried.iter().filter(|((in_asset, ..), _)| *in_asset == asset.0);
        let mut carry: Vec<_> = carry.copied().collect();
        carried.sort_unstable();
        carry.sort_unstable();
        same(|| what("the carry"), &carried, &carry)?;
        same(|| what("net obligations"), &by_pair(&of.net), &wanted.net(asset.0))?;
        let positions = of.positions.iter().map(|p| (p.party, p.net.0)).collect();
        same(|| what("positions"), &positions, &wanted.positions(asset.0))?;
        let sum: i128 = of.positions.iter().map(|position| position.net.0).sum();
        ensure(sum == 0, || format!("positions sum to {sum}: {}", what("")))?;
    }
    Ok(())
}

/// What the seal of a window says of it.
///
/// # Errors
/// The first difference.
pub fn sealed(found: &WindowSealed, wanted: &Window) -> Checked {
    let number = found.window;
    same(|| format!("sealed vouchers of window {number}"), &found.credited, &wanted.credited)?;
    let assets: Vec<u32> = found.assets.iter().map(|seal| seal.asset.0).collect();
    same(|| format!("sealed assets of window {number}"), &assets, &wanted.assets())?;
    for seal in &found.assets {
        let asset = seal.asset.0;
        let amounts = wanted.owed.iter().filter(|((in_asset, ..), _)| *in_asset == asset);
        let amounts: Vec<u128> = amounts.map(|(_, amount)| *amount).collect();
        let carried = wanted.carried.iter().filter(|((in_asset, ..), _)| *in_asset == asset);
        let carried: u128 = carried.map(|(_, amount)| amount).sum();
        let (net, positions) = (wanted.net(asset), wanted.positions(asset));
        let length = |n: usize| u64::try_from(n).expect("a length fits 64 bits");
        let totals = (
            [length(amounts.len()), length(net.len()), length(positions.len())],
            [
                amounts.iter().sum(),
                net.values().sum(),
                positions.values().filter(|net| **net > 0).map(|net| net.unsigned_abs()).sum(),
                carried,
            ],
        );
        let WindowTotals { pairs, gross, net_pairs, net_bilateral, positions, net_multilateral } =
            seal.totals;
        let sums = [gross, net_bilateral, net_multilateral, seal.carried_in].map(|sum| sum.0);
        let found = ([pairs, net_pairs, positions], sums);
        same(|| format!("totals in asset {asset} of window {number}"), &found, &totals)?;
    }
    Ok(())
}

/// A batch without its legs.
///
/// # Errors
/// The first difference.
pub fn head(found: &BatchHead, wanted: &model::Batch) -> Checked {
    let what = |of: &str| format!("{of} of batch {}", found.id);
    let windows: Vec<u64> = found.windows.iter().map(|window| window.0).collect();
    same(|| what("windows"), &windows, &wanted.windows)?;
    same(|| what("the asset"), &found.asset.number.0, &wanted.asset)?;
    let ins = wanted.payments.iter().filter(|(_, to, ..)| *to == PartyId::CLEARING);
    let sum: u128 = wanted.payments.iter().map(|(_, _, amount, _)| amount).sum();
    let sum_in: u128 = ins.clone().map(|(_, _, amount, _)| amount).sum();
    let carried = wanted.carries.iter().filter(|((_, payee), _)| *payee != PartyId::CLEARING);
    let sums = [sum - sum_in, sum_in, carried.map(|(_, amount)| amount).sum()];
    let found_sums = [found.total, found.pay_in_total, found.carried].map(|sum| sum.0);
    same(|| what("sums"), &found_sums, &sums)?;
    let counts = [wanted.payments.len(), ins.count()];
    let counts = counts.map(|n| u64::try_from(n).expect("a length fits 64 bits"));
    same(|| what("legs"), &[found.leg_count, found.pay_in_count], &counts)?;
    let prefunded = found.prefunded.iter().map(|(party, amount)| (*party, amount.0)).collect();
    same(|| what("what deposits pay"), &prefunded, &wanted.prefunded)?;
    same(|| what("carries"), &by_pair(&found.carries), &wanted.carries)
}

/// A batch with its legs.
///
/// # Errors
/// The first difference.
pub fn content(found: &BatchContent, wanted: &model::Batch) -> Checked {
    head(&found.head, wanted)?;
    let payments: Vec<model::Payment> = found
        .legs
        .iter()
        .map(|leg| (leg.payment.from, leg.payment.to, leg.payment.amount.0, leg.payment.part))
        .collect();
    same(|| format!("payments of batch {}", found.head.id), &payments, &wanted.payments)
}
