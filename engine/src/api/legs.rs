//! Legs: listed as they stand, and what operators say of them.

use super::batches::content;
use super::door::Place;
use super::messages::{id, leg_message, request, text};
use super::read::Streamed;
use super::status::{busy, invalid, not_done, not_loaded, refused};
use crate::ledger::control::{Command, Control};
use crate::ledger::event::{LegProposed, LegsMoved};
use crate::ledger::{
    BatchContent, BatchPlan, Event, LegMove, LegState, LegWord, Legs, Mover, Proposal, Refusal,
    Request,
};
use crate::limits::{LIST_PAGE, MOVES_MAX, SETTLER_PATIENCE};
use crate::pipeline::Intake;
use crate::settle::{Archive, Nudge};
use crate::types::{BatchId, Digest, FileHasher, PartyId};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use tallystick_proto::v1;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

/// The legs of a batch as they stand, a page at a time: nobody waits for a long list to be copied, and a
/// client that does not read it holds one page.
pub(super) async fn list(
    intake: &Intake,
    archive: &Archive,
    place: Place,
    batch: BatchId,
) -> Result<Streamed<v1::Leg>, Status> {
    let content = content(intake, archive, batch, |_| Ok(())).await?;
    let (legs_in, legs) = mpsc::channel(LIST_PAGE);
    let intake = intake.clone();
    tokio::spawn(async move {
        let (_place, count) = (place, content.legs.len());
        for first in (0..count).step_by(LIST_PAGE) {
            let page = match page(&intake, &content, first..count.min(first + LIST_PAGE)).await {
                Ok(page) => page.into_iter().map(Ok).collect(),
                Err(status) => vec![Err(status)],
            };
            for leg in page {
                let failed = leg.is_err();
                // An error means that the client went away.
                if legs_in.send(leg).await.is_err() || failed {
                    return;
                }
            }
        }
    });
    Ok(Box::pin(ReceiverStream::new(legs)))
}

/// Some legs as they stand.
async fn page(
    intake: &Intake,
    content: &BatchContent,
    places: Range<usize>,
) -> Result<Vec<v1::Leg>, Status> {
    let found = intake.read(|control| {
        let legs = &control.batch(content.head.id)?.legs;
        let one = |leg: usize| {
            let place = u32::try_from(leg).expect("legs are limited");
            leg_message(&content.legs[leg], place, legs)
        };
        Ok(places.map(one).collect())
    });
    found.await.map_err(|b| busy(&b))?.map_err(|r: Refusal| refused(&r))
}

async fn legs_of(intake: &Intake, batch: BatchId) -> Result<Legs, Status> {
    let found = intake.read(|control| control.batch(batch).map(|entry| entry.legs.clone()));
    found.await.map_err(|b| busy(&b))?.map_err(|r| refused(&r))
}

/// A batch's plan, made beside the network threads.
pub(super) async fn plan(
    intake: &Intake,
    archive: &Archive,
    batch: BatchId,
) -> Result<Arc<BatchPlan>, Status> {
    let (intake, archive) = (intake.clone(), archive.clone());
    let plan = tokio::task::spawn_blocking(move || archive.plan(&intake, batch)).await;
    plan.expect("loading does not panic").map_err(|r| not_loaded(&r))
}

/// Whether a request was answered before, by whatever record.
async fn answered(intake: &Intake, request: &Request) -> Result<bool, Status> {
    let found = intake.read(|control: &Control| control.answered(request));
    let found = found.await.map_err(|b| busy(&b))?.map_err(|r| refused(&r))?;
    Ok(found.is_some())
}

fn word(value: i32) -> Result<LegWord, Status> {
    match v1::LegWord::try_from(value) {
        Ok(v1::LegWord::Accepted) => Ok(LegWord::Accepted),
        Ok(v1::LegWord::Confirmed) => Ok(LegWord::Confirmed),
        Ok(v1::LegWord::Rejected) => Ok(LegWord::Rejected),
        Ok(v1::LegWord::Returned) => Ok(LegWord::Returned),
        Ok(v1::LegWord::Unspecified) | Err(_) => Err(invalid(format!(
            "word {value} is not known; say ACCEPTED (1), CONFIRMED (2), REJECTED (3) or RETURNED (4)"
        ))),
    }
}

/// What came of an operator's words.
pub(super) struct Reported {
    pub batch: BatchId,
    /// How many legs moved; the others stood there already.
    pub moved: u64,
}

/// Moves legs as an operator says. What is known already is no error; what cannot be true refuses all.
pub(super) async fn report(
    intake: &Intake,
    archive: &Archive,
    nudge: &Nudge,
    operator: String,
    mut message: v1::ReportLegsRequest,
) -> Result<Reported, Status> {
    let request_id = std::mem::take(&mut message.request_id);
    let request = request(request_id, "ReportLegs", &message)?;
    let batch: BatchId = id(&message.batch_id, "batch_id")?;
    let count = message.reports.len();
    if count == 0 || count > MOVES_MAX {
        return Err(invalid(format!(
            "a call reports 1 to {MOVES_MAX} legs, this one has {count}; split it, with a request_id \
             for each part"
        )));
    }
    let evidence = match message.evidence.len() {
        0 => Digest::ZERO,
        _ => id::<Digest>(&message.evidence, "evidence")?,
    };
    if answered(intake, &request).await? {
        return Ok(Reported { batch, moved: 0 });
    }
    let plan = plan(intake, archive, batch).await?;
    let legs = legs_of(intake, batch).await?;
    let suspended = intake.read(|control| control.suspended().clone()).await;
    let suspended = suspended.map_err(|b| busy(&b))?;
    let moves = moves(&plan, &legs, &suspended, message.reports)?;
    let moved = u64::try_from(moves.len()).expect("a length fits 64 bits");
    if moved == 0 {
        return Ok(Reported { batch, moved });
    }
    // Nothing of these legs leaves until the word is journaled.
    let held = nudge.held().before(intake, batch, &moves).await;
    let held = held.map_err(Status::failed_precondition)?;
    record(
        intake,
        LegsMoved {
            request: Some(request),
            operator,
            batch,
            asset: plan.content().head.asset.number,
            mover: Mover::Operator,
            evidence,
            moves,
        },
    )
    .await?;
    drop(held);
    nudge.turn(SETTLER_PATIENCE).await;
    Ok(Reported { batch, moved })
}

async fn record(intake: &Intake, moved: LegsMoved) -> Result<(), Status> {
    let command = Command::Record(Event::LegsMoved(moved));
    intake.command(command).await.map(|_| ()).map_err(|r| not_done(&r))
}

/// What reports move, ordered by leg.
fn moves(
    plan: &BatchPlan,
    legs: &Legs,
    suspended: &BTreeSet<PartyId>,
    reports: Vec<v1::LegReport>,
) -> Result<Vec<LegMove>, Status> {
    let all = &plan.content().legs;
    let asked: HashSet<&str> = reports.iter().map(|report| &*report.key).collect();
    let found = (0..).zip(all).filter(|(_, leg)| asked.contains(&*leg.key));
    let places: HashMap<&str, u32> = found.map(|(at, leg)| (&*leg.key, at)).collect();
    let mut moves: BTreeMap<u32, LegMove> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for report in reports {
        let place = places.get(&*report.key).copied();
        let place = place.ok_or_else(|| no_leg(&report.key))?;
        if !seen.insert(place) {
            return Err(invalid(format!("leg {} is reported twice in one call", report.key)));
        }
        let reference = text(report.rail_reference, "rail_reference")?;
        let reason = text(report.reason, "reason")?;
        let (state, said) = (legs.state(place), word(report.word)?);
        check_reason(&report.key, said, &reason)?;
        // What waits for a suspended payee can be given up: it is owed again.
        let waits = state == LegState::Ready && suspended.contains(&all[place as usize].payment.to);
        if waits && said == LegWord::Rejected {
            moves.insert(place, leg_move(plan, place, LegState::Rejected, reference, reason));
        } else if let Some(to) = heard(&report.key, state, said)? {
            let rail = plan.content().head.policy.rail;
            if !rail.takes_word(&all[place as usize].payment, state, to) {
                return Err(still_asked(&report.key, state));
            }
            moves.insert(place, leg_move(plan, place, to, reference, reason));
        }
    }
    Ok(moves.into_values().collect())
}

/// What failed is owed again: why, must be on record.
fn check_reason(key: &str, word: LegWord, reason: &str) -> Result<(), Status> {
    match word {
        LegWord::Rejected | LegWord::Returned if reason.is_empty() => Err(invalid(format!(
            "leg {key} is said to be {} without a reason; say why (`--reason`): the amount is owed again",
            word_name(word)
        ))),
        LegWord::Accepted | LegWord::Confirmed | LegWord::Rejected | LegWord::Returned => Ok(()),
    }
}

/// Where an operator's word moves a leg; `None` when it says what is known. Stricter than with a rail's word,
/// which comes late and out of order: a person may have meant something else, and can be asked.
fn heard(key: &str, state: LegState, said: LegWord) -> Result<Option<LegState>, Status> {
    use LegState::{Accepted, Confirmed, Ready, Rejected, Returned, Sent, Unknown};
    let why = match (state, said) {
        (Sent | Unknown, LegWord::Accepted) => return Ok(Some(Accepted)),
        (Sent | Unknown | Accepted, LegWord::Confirmed) => return Ok(Some(Confirmed)),
        (Sent | Unknown | Accepted, LegWord::Rejected) => return Ok(Some(Rejected)),
        (Confirmed, LegWord::Returned) => return Ok(Some(Returned)),
        // It stands there, or has gone on from there.
        (Accepted | Confirmed, LegWord::Accepted)
        | (Confirmed, LegWord::Confirmed)
        | (Rejected, LegWord::Rejected)
        | (Returned, LegWord::Returned) => return Ok(None),
        (Ready, _) => "nothing of it has left",
        (Sent | Unknown | Accepted, LegWord::Returned) => {
            "nobody has said that it was paid; if it will not be, or came back at once, say rejected"
        }
        (Confirmed, LegWord::Rejected) => {
            "its money has moved; if it was sent back since, say returned"
        }
        (Rejected, LegWord::Accepted | LegWord::Confirmed | LegWord::Returned) => {
            "its amount is owed again already; if it was executed all the same, it may be paid twice"
        }
        (Returned, LegWord::Accepted | LegWord::Confirmed | LegWord::Rejected) => {
            "it was paid and sent back, and its amount is owed again already"
        }
    };
    Err(Status::failed_precondition(format!(
        "leg {key} is {} and cannot be {}: {why}; nothing was changed: find out what happened, and report the \
         others without it",
        state.name(),
        word_name(said)
    )))
}

fn still_asked(key: &str, state: LegState) -> Status {
    Status::failed_precondition(format!(
        "leg {key} is {}, and the engine asks its rail what becomes of it, or is just sending it: whatever was \
         said of it, it may still be paid; wait for the rail's word, `batch report` says what keeps it (a call \
         that stays without an answer becomes UNKNOWN, and two operators can say what became of it)",
        state.name()
    ))
}

fn word_name(word: LegWord) -> &'static str {
    match word {
        LegWord::Accepted => "accepted",
        LegWord::Confirmed => "confirmed",
        LegWord::Rejected => "rejected",
        LegWord::Returned => "returned",
    }
}

fn no_leg(key: &str) -> Status {
    let key: String = key.chars().take(80).collect();
    Status::not_found(format!("the batch has no leg {key:?}; `ListLegs` shows those it has"))
}

fn leg_move(
    plan: &BatchPlan,
    leg: u32,
    to: LegState,
    reference: String,
    reason: String,
) -> LegMove {
    let payment = plan.content().legs[leg as usize].payment;
    let (payer, payee, amount) = (payment.from, payment.to, payment.amount);
    LegMove { leg, to, payer, payee, amount, reference, reason }
}

/// One operator's word about an UNKNOWN leg: kept, or, when another said the same, done.
pub(super) async fn resolve(
    intake: &Intake,
    archive: &Archive,
    nudge: &Nudge,
    operator: String,
    mut message: v1::ResolveLegRequest,
) -> Result<v1::Leg, Status> {
    let request_id = std::mem::take(&mut message.request_id);
    let request = request(request_id, "ResolveLeg", &message)?;
    let batch: BatchId = id(&message.batch_id, "batch_id")?;
    let (word, reference) = (word(message.word)?, text(message.rail_reference, "rail_reference")?);
    let evidence = text(message.evidence, "evidence")?;
    if evidence.is_empty() {
        return Err(invalid(
            "evidence is missing: say what the word rests on, or where it is filed",
        ));
    }
    let plan = plan(intake, archive, batch).await?;
    let found = plan.content().legs.iter().position(|leg| leg.key == message.key);
    let place = found.ok_or_else(|| no_leg(&message.key))?;
    let leg = u32::try_from(place).expect("legs are limited");
    if !answered(intake, &request).await? {
        let legs = legs_of(intake, batch).await?;
        let to = resolvable(&legs, (batch, leg), &message.key, word)?;
        let said = Proposal { operator, to, reference, evidence };
        if agreed(&legs, leg, &message.key, &said)? {
            let Proposal { operator, to, reference, evidence } = said;
            let mut hasher = FileHasher::default();
            hasher.update(evidence.as_bytes());
            record(
                intake,
                LegsMoved {
                    request: Some(request),
                    operator,
                    batch,
                    asset: plan.content().head.asset.number,
                    mover: Mover::Operator,
                    evidence: hasher.finish(),
                    moves: vec![leg_move(&plan, leg, to, reference, evidence)],
                },
            )
            .await?;
            nudge.turn(SETTLER_PATIENCE).await;
        } else {
            let Proposal { operator, to, reference, evidence } = said;
            let proposed = LegProposed { request, operator, batch, leg, to, reference, evidence };
            let command = Command::Record(Event::LegProposed(proposed));
            intake.command(command).await.map_err(|r| not_done(&r))?;
        }
    }
    Ok(leg_message(&plan.content().legs[place], leg, &legs_of(intake, batch).await?))
}

/// Where a word moves a leg whose fate the rail cannot tell.
fn resolvable(
    legs: &Legs,
    (batch, leg): (BatchId, u32),
    key: &str,
    word: LegWord,
) -> Result<LegState, Status> {
    let state = legs.state(leg);
    if state != LegState::Unknown {
        return Err(Status::failed_precondition(format!(
            "leg {key} is {}; only what became of an UNKNOWN leg takes the word of two operators: say what \
             the rail did with ReportLegs",
            state.name()
        )));
    }
    heard(key, state, word)?.ok_or_else(|| {
        let (from, to) = (state.name(), word_name(word));
        refused(&Refusal::LegState { batch, leg, from, to })
    })
}

/// Whether another operator has said the same. Who repeats his own word is told that it takes another's.
fn agreed(legs: &Legs, leg: u32, key: &str, said: &Proposal) -> Result<bool, Status> {
    let Some(standing) = legs.proposed().get(&leg) else { return Ok(false) };
    if standing == said {
        return Err(Status::failed_precondition(format!(
            "leg {key} is UNKNOWN, and operator {} has said just this: it takes the word of another operator, \
             too",
            said.operator
        )));
    }
    let same = (standing.to, &standing.reference) == (said.to, &said.reference);
    Ok(same && standing.operator != said.operator)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: [LegWord; 4] =
        [LegWord::Accepted, LegWord::Confirmed, LegWord::Rejected, LegWord::Returned];

    /// `returned`, said of a payment that nobody had confirmed, made it REJECTED without a word; `confirmed`,
    /// said of one that was sent back, did nothing, without a word either.
    #[test]
    fn an_operators_word_moves_a_leg_to_what_it_says_or_says_what_is_known_or_is_refused() {
        for state in LegState::ALL {
            for said in WORDS {
                let to = match said {
                    LegWord::Accepted => LegState::Accepted,
                    LegWord::Confirmed => LegState::Confirmed,
                    LegWord::Rejected => LegState::Rejected,
                    LegWord::Returned => LegState::Returned,
                };
                match heard("K", state, said) {
                    Ok(Some(moved)) => {
                        assert_eq!(moved, to, "{state:?} {said:?}");
                        assert!(state.may_move(to, Mover::Operator), "{state:?} {said:?}");
                        assert_eq!(heard("K", to, said).unwrap(), None, "twice is once");
                    }
                    // What is known is the word itself, or that it was taken on before it was paid.
                    Ok(None) => assert!(
                        state == to || (state, said) == (LegState::Confirmed, LegWord::Accepted),
                        "{state:?} {said:?}"
                    ),
                    Err(status) => {
                        assert_ne!(state, to, "{said:?}");
                        let text = status.message();
                        assert!(text.contains(state.name()), "{text}");
                        assert!(text.contains("nothing was changed"), "{text}");
                    }
                }
            }
        }
        let text = heard("K", LegState::Sent, LegWord::Returned).unwrap_err();
        assert!(text.message().contains("say rejected"), "{text}");
        let text = heard("K", LegState::Confirmed, LegWord::Rejected).unwrap_err();
        assert!(text.message().contains("say returned"), "{text}");
        assert!(heard("K", LegState::Returned, LegWord::Confirmed).is_err());
    }

    #[test]
    fn what_failed_is_not_reported_without_a_reason() {
        for said in WORDS {
            let fails = matches!(said, LegWord::Rejected | LegWord::Returned);
            assert_eq!(check_reason("K", said, "").is_err(), fails, "{said:?}");
            assert!(check_reason("K", said, "no such account").is_ok());
        }
    }
}
