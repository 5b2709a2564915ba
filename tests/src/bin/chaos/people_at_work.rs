//! Operators who do not wait: they say what became of legs while the engine is still asking, say
//! what they may not say, look at troubles and take them away; and a provider that says what does
//! not fit and what cannot be.
//!
//! Owns what was planted and what was told. What the books must say of it is in `check`.

use crate::desk::Desk;
use crate::people::Rail;
use crate::provider::UNITS_PER_CENT;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tallystick_tests::wire::{
    Batch, BatchState, Leg, LegReport, LegState, LegWord, ReportLegsRequest, ResolveLegRequest,
};

/// What operators give as evidence; it stands as the reason of what they moved.
pub const EVIDENCE: &str = "an operator saw it done by hand";
/// What they name as the rail's reference.
const BY_HAND: &str = "by hand";
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(150);
/// A payee stays suspended so long.
const SUSPENDED: Duration = Duration::from_millis(700);
/// Of each kind, so much is planted in one batch: what is planted is settled by nobody but people.
const OF_BATCH: usize = 12;

/// What was planted, and what was told.
#[derive(Debug, Default)]
pub struct Planted {
    /// Of these legs something was said that cannot be true.
    pub contradicted: BTreeSet<String>,
    /// Of these something that does not fit.
    pub misfit: BTreeSet<String>,
    /// Words of one operator that the engine should have refused, and did not.
    pub taken: Vec<String>,
    /// What troubles said, and what became of words.
    pub told: BTreeSet<String>,
    pub resolved: u64,
    pub refused: u64,
    /// Legs that left while their payee was suspended.
    pub left: Vec<String>,
    pub suspended: u64,
    /// Of what each batch has had so far.
    counts: BTreeMap<Vec<u8>, [usize; 4]>,
    /// Who is suspended now.
    now: Vec<Suspension>,
}

/// A payee who is suspended, and its leg, which was READY when that was so.
#[derive(Debug, Clone)]
struct Suspension {
    batch: Vec<u8>,
    key: String,
    party: bytes::Bytes,
    since: Instant,
}

/// Cheap to clone.
pub type Shared = Arc<Mutex<Planted>>;

/// Never held across a wait.
pub fn held(shared: &Shared) -> MutexGuard<'_, Planted> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Planted {
    /// Whether some trouble names this leg.
    pub fn is_told(&self, key: &str) -> bool {
        self.told.iter().any(|text| text.contains(key))
    }

    /// What was planted and nobody was told of.
    pub fn unseen(&self) -> Vec<String> {
        let all = self.contradicted.iter().chain(&self.misfit);
        all.filter(|key| !self.is_told(key)).cloned().collect()
    }
}

/// Works until `stop`.
pub async fn work(
    mut desk: Desk,
    provider: Option<String>,
    shared: Shared,
    stop: Arc<AtomicBool>,
) -> Result<(), String> {
    while !stop.load(Ordering::Relaxed) {
        desk.look_at_troubles(&shared).await?;
        for batch in desk.batches().await? {
            if batch.state() == BatchState::Submitting && !stop.load(Ordering::Relaxed) {
                one(&mut desk, &batch, provider.as_deref(), &shared).await?;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    let all = std::mem::take(&mut held(&shared).now);
    for suspension in all {
        desk.suspend(&suspension.party, false).await?;
    }
    Ok(())
}

/// Payees are suspended while their legs wait, and are not any more a while later.
async fn suspend(
    desk: &mut Desk,
    batch: &Batch,
    legs: &[Leg],
    shared: &Shared,
) -> Result<(), String> {
    let id = batch.batch_id.to_vec();
    let state = |legs: &[Leg], key: &str| {
        legs.iter().find(|leg| leg.key == *key).map_or(LegState::Unspecified, Leg::state)
    };
    let own: Vec<Suspension> =
        held(shared).now.iter().filter(|one| one.batch == id).cloned().collect();
    for one in own {
        let now = state(legs, &one.key);
        // What nothing covers any more is rejected, and has not left.
        let left = !matches!(now, LegState::Ready | LegState::Rejected);
        if left {
            held(shared).left.push(one.key.clone());
        }
        if now != LegState::Ready || one.since.elapsed() > SUSPENDED {
            held(shared).now.retain(|held| held.key != one.key);
            desk.suspend(&one.party, false).await?;
        }
    }
    let count = held(shared).counts.entry(id.clone()).or_default()[3];
    let waits = legs
        .iter()
        .rev()
        .find(|leg| leg.state() == LegState::Ready && leg.from.iter().all(|byte| *byte == 0));
    let Some(leg) = waits.filter(|_| count < OF_BATCH) else { return Ok(()) };
    // A payee has a leg on each rail: the end of one suspension would be that of another.
    if held(shared).now.iter().any(|one| one.party == leg.to) {
        return Ok(());
    }
    desk.suspend(&leg.to, true).await?;
    held(shared).counts.entry(id.clone()).or_default()[3] += 1;
    // It may have left before: then nothing is to be seen of it.
    if state(&desk.raw_legs(batch).await?, &leg.key) == LegState::Ready {
        let (key, party, since) = (leg.key.clone(), leg.to.clone(), Instant::now());
        held(shared).now.push(Suspension { batch: id, key, party, since });
        held(shared).suspended += 1;
        return Ok(());
    }
    desk.suspend(&leg.to, false).await
}

async fn one(
    desk: &mut Desk,
    batch: &Batch,
    provider: Option<&str>,
    shared: &Shared,
) -> Result<(), String> {
    let legs = desk.raw_legs(batch).await?;
    let id = batch.batch_id.to_vec();
    suspend(desk, batch, &legs, shared).await?;
    let [said, wrong, alien, _] = *held(shared).counts.entry(id.clone()).or_default();
    if batch.rail == Rail::Evm.name() {
        return speak_out_of_turn(desk, batch, &legs, shared).await;
    }
    let unknown = legs.iter().find(|leg| leg.state() == LegState::Unknown);
    if let Some(leg) = unknown.filter(|_| said < OF_BATCH) {
        resolve(desk, batch, leg, said, shared).await?;
        held(shared).counts.entry(id.clone()).or_default()[0] += 1;
    }
    let Some(provider) = provider else { return Ok(()) };
    let pay_ins = || legs.iter().filter(|leg| leg.to.iter().all(|byte| *byte == 0));
    let mut declined = pay_ins()
        .filter(|leg| leg.state() == LegState::Rejected && leg.rail_reference.starts_with("pi_"));
    if let Some(leg) = declined.nth(wrong).filter(|_| wrong < OF_BATCH) {
        if say(provider, leg, &leg.rail_reference, "usd").await {
            held(shared).contradicted.insert(leg.key.clone());
        }
        held(shared).counts.entry(id.clone()).or_default()[1] += 1;
    }
    let mut left = pay_ins().filter(|leg| leg.state() != LegState::Ready);
    if let Some(leg) = left.nth(7 * alien).filter(|_| alien < OF_BATCH) {
        let (payment, currency) = match alien % 3 {
            0 => ("pi_foreign", "usd"),
            1 => (&*leg.rail_reference, "eur"),
            _ => ("pi_foreign", "eur"),
        };
        if say(provider, leg, payment, currency).await {
            held(shared).misfit.insert(leg.key.clone());
        }
        held(shared).counts.entry(id).or_default()[2] += 1;
    }
    Ok(())
}

/// Two operators say the same of a leg that the engine is asking about; by turns that it was paid
/// by hand, and that it was not paid.
async fn resolve(
    desk: &mut Desk,
    batch: &Batch,
    leg: &Leg,
    turn: usize,
    shared: &Shared,
) -> Result<(), String> {
    let paid = turn.is_multiple_of(2);
    let request = |operator: &str| ResolveLegRequest {
        request_id: format!("{operator} resolves {}", leg.key),
        batch_id: batch.batch_id.clone(),
        key: leg.key.clone(),
        word: if paid { LegWord::Confirmed } else { LegWord::Rejected }.into(),
        rail_reference: if paid { BY_HAND } else { "" }.to_owned(),
        evidence: EVIDENCE.to_owned(),
        ..Default::default()
    };
    for operator in ["ann", "bob"] {
        match desk.resolve(operator, request(operator)).await? {
            Some(_) => held(shared).resolved += 1,
            // It has moved meanwhile.
            None => {
                held(shared).refused += 1;
                return Ok(());
            }
        }
    }
    Ok(())
}

/// One operator says that a transaction which is under way was paid: it must be refused.
async fn speak_out_of_turn(
    desk: &mut Desk,
    batch: &Batch,
    legs: &[Leg],
    shared: &Shared,
) -> Result<(), String> {
    let under_way = |leg: &&Leg| {
        matches!(leg.state(), LegState::Sent | LegState::Accepted)
            && leg.from.iter().all(|byte| *byte == 0)
    };
    let Some(leg) = legs.iter().find(under_way) else { return Ok(()) };
    let report = LegReport {
        key: leg.key.clone(),
        word: LegWord::Confirmed.into(),
        rail_reference: BY_HAND.to_owned(),
        reason: EVIDENCE.to_owned(),
    };
    let request = ReportLegsRequest {
        request_id: format!("out of turn {}", leg.key),
        batch_id: batch.batch_id.clone(),
        reports: vec![report],
        evidence: bytes::Bytes::new(),
        ..Default::default()
    };
    match desk.report(request).await? {
        None => held(shared).refused += 1,
        Some(()) => {
            // It may have come to its end by the chain's own word just before.
            let now = desk.raw_legs(batch).await?.into_iter().find(|now| now.key == leg.key);
            if now.is_none_or(|now| now.reason == EVIDENCE) {
                held(shared).taken.push(leg.key.clone());
            }
        }
    }
    Ok(())
}

/// The provider says that a charge has succeeded. Whether it has taken this in.
async fn say(provider: &str, leg: &Leg, payment: &str, currency: &str) -> bool {
    let amount: u128 = leg.amount.parse().expect("sums are decimal digits");
    let cents = u64::try_from(amount / UNITS_PER_CENT).expect("small sums");
    let event = json!({"type": "payment_intent.succeeded", "object": {
        "id": payment, "object": "payment_intent", "amount": cents, "amount_received": cents,
        "currency": currency, "status": "succeeded", "metadata": {"leg_key": leg.key},
        "last_payment_error": null, "latest_charge": null,
    }});
    let url = format!("{provider}/admin/say");
    let said = tokio::task::spawn_blocking(move || {
        let settings = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(5)));
        let agent = ureq::Agent::from(settings.proxy(None).build());
        let body = event.to_string();
        agent.post(url).header("content-type", "application/json").send(body).is_ok()
    });
    said.await.unwrap_or(false)
}
