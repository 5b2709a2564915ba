//! Calls on their way: how an ask takes its place in the one order, and what its answer must be.

use crate::archiving;
use crate::check::{self, Checked, ensure, same};
use crate::clock::Clocks;
use crate::erasing;
use crate::life::{Halt, Heard, Life, Owner, died};
use crate::model::{Decided, Model, word};
use crate::settled;
use crate::task::{self, Call, Doing, Question, Told};
use std::collections::BTreeSet;
use tallystick::ledger::event::{LegEvent, RegistryEvent};
use tallystick::ledger::{BatchHead, Command, Event, LegState, Wish};
use tallystick::pipeline::{Asked, NotDone};
use tallystick::settle::{CreateBatch, NotLoaded};
use tallystick::types::PartyId;

/// What a call is, for whoever follows a run.
#[must_use]
pub fn text(call: &Call) -> String {
    match call {
        Call::Commands { commands, .. } => format!("{commands:?}"),
        Call::Batch { ask, .. } => format!("{ask:?}"),
        Call::Question { question, .. } => format!("{question:?}"),
        Call::Read { wanted, .. } => format!("read {wanted:?}"),
    }
}

/// The sequencer takes an ask: from here on it is known what must be answered. False when none
/// waits.
///
/// # Errors
/// `Wrong`.
pub fn take_ask(life: &mut Life, model: &mut Model, clocks: Clocks) -> Result<bool, Halt> {
    let Some(asked) = life.stepper.take_ask(clocks.reading()) else { return Ok(false) };
    let clock = life.times.at(clocks);
    let owner = life.owners.pop_front();
    let owner = owner.ok_or_else(|| format!("nobody asked for {asked:?}"))?;
    match asked {
        Asked::Checkpoint => {}
        Asked::Commands(commands) => {
            let mut all = Vec::with_capacity(commands.len());
            for command in &commands {
                all.push(decide(life, model, clock, command)?);
            }
            hand_to(life, model, owner, &commands, all)?;
        }
        Asked::Question => {
            if matches!(owner, Owner::Teller) {
                return Ok(true);
            }
            let Owner::Task(id) = owner else {
                return Err(Halt::Wrong(format!("{owner:?} asked a question")));
            };
            let call = life.tasks.iter_mut().find(|task| task.id == id).map(|task| &mut task.call);
            if let Some(Call::Question { question, wanted, .. }) = call {
                *wanted = Some(told(model, *question));
            }
        }
    }
    Ok(true)
}

fn decide(
    life: &mut Life,
    model: &mut Model,
    clock: i64,
    command: &Command,
) -> Result<Decided, Halt> {
    let wish = &command.wish;
    if let Wish::SealWindow(sealed) = wish {
        let window = model.now.window(sealed.window.0);
        check::sealed(sealed, window.ok_or_else(|| "an unknown window is sealed".to_owned())?)?;
    }
    let fact = model.now.fact(command);
    let decided = model.command(clock, command);
    let waits = |lsn: &u64| model.now.eyes.open.contains_key(lsn);
    if let (Decided::Now(lsn), Ok(Some(event))) = (decided, fact)
        && !waits(&lsn)
    {
        settled::event(&event, &model.now)?;
        let sets = sets(&event).into_iter().map(|of| (of, model.now.exposures[&of]));
        life.sets(lsn, sets.collect());
        if let Event::Leg(LegEvent::Submitted(e)) = event
            && let Some(party) = model.now.suspended_payee(&e).filter(|_| e.attempt == 0)
        {
            return Err(Halt::Wrong(format!("legs leave for {party}, which is suspended")));
        }
    }
    if let (Decided::Now(_), Wish::CreateBatch(create)) = (decided, wish) {
        check::head(create.head(), &model.now.batches[&create.head().id].1)?;
    }
    Ok(decided)
}

/// Whose exposure an event sets.
fn sets(event: &Event) -> BTreeSet<(PartyId, u32)> {
    match event {
        Event::Registry(RegistryEvent::LimitSet(e)) => [(e.party, e.asset.0)].into(),
        Event::Registry(RegistryEvent::Deposited(e)) => [(e.party, e.asset.0)].into(),
        Event::Leg(LegEvent::Moved(e)) => {
            let back = e.moves.iter().filter(|one| one.to == LegState::Returned);
            let payers = back.map(|one| one.payer).filter(|payer| *payer != PartyId::CLEARING);
            payers.map(|payer| (payer, e.asset.0)).collect()
        }
        Event::Leg(LegEvent::Released(e)) => {
            e.releases.iter().map(|one| (one.party, e.asset.0)).collect()
        }
        Event::Registry(
            RegistryEvent::AssetCreated(_)
            | RegistryEvent::PartyUpserted(_)
            | RegistryEvent::PartyErased(_)
            | RegistryEvent::SignerAdded(_)
            | RegistryEvent::SignerRevoked(_),
        )
        | Event::Leg(LegEvent::Submitted(_) | LegEvent::Booked(_) | LegEvent::Proposed(_))
        | Event::Budget(_)
        | Event::Access(_)
        | Event::Endpoint(_)
        | Event::Eyes(_)
        | Event::Key(_)
        | Event::Window(_)
        | Event::Batch(_)
        | Event::Trouble(_)
        | Event::Hold(_) => BTreeSet::new(),
    }
}

/// Whoever asked is to be answered so.
fn hand_to(
    life: &mut Life,
    model: &Model,
    owner: Owner,
    commands: &[Command],
    all: Vec<Decided>,
) -> Checked {
    match owner {
        // The first key: nothing can stand against it.
        Owner::Nobody => ensure(all.iter().all(|d| matches!(d, Decided::Now(_))), || {
            format!("{commands:?} must be {all:?}")
        }),
        Owner::Teller => Err(format!("a teller asked for {commands:?}")),
        Owner::Sealer => {
            life.sealer.decided(all[0]);
            Ok(())
        }
        Owner::Task(id) => {
            let task = life.tasks.iter_mut().find(|task| task.id == id);
            match task.map(|task| &mut task.call) {
                Some(Call::Commands { wanted, .. }) => *wanted = Some(all),
                Some(Call::Batch { refusals, .. }) => {
                    refusals.extend(all.iter().filter_map(|decided| match decided {
                        Decided::Refused(word) => Some(*word),
                        Decided::Now(_) | Decided::Before(_) => None,
                    }));
                }
                Some(Call::Question { .. } | Call::Read { .. }) | None => {
                    return Err(format!("nobody asked for {commands:?} at {}", model.now.last.0));
                }
            }
            Ok(())
        }
    }
}

/// What a shard must answer: what it holds at this point of the order.
fn told(model: &Model, question: Question) -> Told {
    let state = &model.now;
    match question {
        Question::Channel(_, channel, _) => match state.channels.get(&channel) {
            Some(held) => Told::Channel(held.newest.cumulative, held.lsn),
            None => Told::Channel(0, 0),
        },
        Question::Newest(_, channel, _) => Told::Newest(
            state
                .channels
                .get(&channel)
                .map(|held| (Box::new(held.newest.packed), held.before, held.lsn)),
        ),
        Question::Exposure(party, asset) => Told::Exposure(state.exposure(party, asset)),
        Question::ExposureAt(_, lsn) => {
            Told::Given(state.answers.get(&lsn).map(|(.., owes)| *owes))
        }
    }
}

/// A channel that has expired and was settled may be forgotten, and then is as if it never was.
fn forgotten(model: &Model, question: Question, found: &Told) -> bool {
    let channel = match question {
        Question::Channel(_, channel, _) | Question::Newest(_, channel, _) => channel,
        Question::Exposure(..) => return false,
        // It is forgotten with the next checkpoint, or later.
        Question::ExposureAt(_, lsn) => return !model.now.answers.contains_key(&lsn),
    };
    let held = &model.now.channels.get(&channel);
    let settled = held.is_some_and(|held| held.window < model.now.open());
    let expired = channel.expires_at <= model.now.last.1.div_euclid(1_000_000);
    let nothing = [Told::Channel(0, 0), Told::Newest(None)].contains(found);
    settled && expired && nothing
}

/// What was asked since there were `before` asks is the call's.
fn own(life: &mut Life, id: u64, before: usize) {
    let asked = life.stepper.sequencer_waiting().1 - before;
    life.owners.extend(std::iter::repeat_n(Owner::Task(id), asked));
}

/// Notes why a batch could be refused now.
fn refusals(life: &mut Life, place: usize, model: &Model) {
    let Call::Batch { ask, refusals, began, .. } = &mut life.tasks[place].call else { return };
    let began = *began.get_or_insert(model.now.directory);
    let CreateBatch { request, windows, asset, .. } = ask;
    let windows: Vec<u64> = windows.iter().map(|window| window.0).collect();
    let before = model.now.requests.get(&(None, request.id.clone()));
    refusals.extend(
        before.filter(|(content, ..)| *content != request.content).map(|_| "RequestReused"),
    );
    // It is computed again each time that something changed under it, and given up at the eighth.
    refusals.extend((model.now.directory >= began + 8).then_some("AccountsMoved"));
    refusals.extend(model.now.settleable(&windows, asset.0).err());
    refusals.extend(model.computable(&windows, asset.0).err());
}

/// Looks whether a call was answered. False when it was not, and asked nothing.
///
/// # Errors
/// `Died` or `Wrong`.
pub fn poll(
    life: &mut Life,
    place: usize,
    model: &Model,
    heard: &mut Heard,
    batches: &mut u64,
) -> Result<bool, Halt> {
    refusals(life, place, model);
    let before = life.stepper.sequencer_waiting().1;
    let id = life.tasks[place].id;
    let (disk, mut done_so) = (life.disk.clone(), None);
    let answered = match &mut life.tasks[place].call {
        Call::Commands { commands, doing, wanted, calling } => match task::poll(calling) {
            None => false,
            Some(done) => {
                let done = done.map_err(|busy| busy.to_string())?;
                let what = || format!("the answer to {commands:?}");
                let found = check::decided(&done);
                same(what, &Some(found.clone()), wanted)?;
                for (decided, command) in found.iter().zip(&*commands) {
                    heard.word(answer(decided, &command.wish));
                    if let Decided::Now(lsn) | Decided::Before(lsn) = decided {
                        heard.told(&disk, *lsn, || format!("call {id}"))?;
                    }
                }
                done_so = Some((*doing, matches!(found[..], [Decided::Now(_)])));
                true
            }
        },
        Call::Batch { ask, refusals, calling, .. } => match task::poll(calling) {
            None => false,
            Some(Ok(head)) => {
                heard.word("BatchCreated".to_owned());
                *batches += 1;
                batch_made(&head, ask, model, heard, &disk)?;
                true
            }
            Some(Err(NotLoaded::Storage(error))) => return Err(died(&disk, &error)),
            Some(Err(NotLoaded::NotDone(NotDone::Refused(refusal)))) => {
                let known = refusals.contains(word(&refusal));
                heard.word(word(&refusal).to_owned());
                ensure(known, || format!("{ask:?} is refused: {refusal}; not {refusals:?}"))?;
                true
            }
            Some(Err(error)) => return Err(error.to_string().into()),
        },
        Call::Question { question, wanted, calling } => match task::poll(calling) {
            None => false,
            Some(found) => {
                let found = found.map_err(|busy| busy.to_string())?;
                let wanted = wanted.as_ref().ok_or_else(|| "an early answer".to_owned())?;
                if !forgotten(model, *question, &found) {
                    same(|| format!("the answer to {question:?}"), &found, wanted)?;
                }
                true
            }
        },
        Call::Read { wanted, calling } => match task::poll(calling) {
            None => false,
            Some(found) => {
                let found = found.map_err(|busy| busy.to_string())?;
                heard.told(&disk, found.0, || format!("the reader of call {id}"))?;
                same(|| "what was read".to_owned(), &found, wanted)?;
                true
            }
        },
    };
    own(life, id, before);
    if answered {
        life.tasks.remove(place);
    }
    if let Some((doing, now)) = done_so {
        finish(life, doing, now)?;
    }
    Ok(answered || life.stepper.sequencer_waiting().1 > before)
}

/// What the edge does once it was told what became of its command: whether it was done now.
fn finish(life: &Life, doing: Doing, now: bool) -> Result<(), Halt> {
    match doing {
        Doing::Nothing => Ok(()),
        Doing::Rotates => {
            let done = if now { life.key.adopt() } else { life.key.discard() };
            done.map_err(|error| Halt::Wrong(error.to_string()))
        }
        Doing::Erases(party) => erasing::erased(life, party),
        Doing::Archives(window) if now => archiving::forgotten(life, window),
        Doing::Archives(_) => Ok(()),
    }
}

/// The word for what became of a command: that it was done, that it was done before, or why not.
fn answer(decided: &Decided, wish: &Wish) -> String {
    let done = match wish {
        Wish::CreateAsset { .. } => "AssetCreated",
        Wish::UpsertParty(_) => "PartyUpserted",
        Wish::EraseParty { .. } => "PartyErased",
        Wish::AddSigner { .. } => "SignerAdded",
        Wish::RevokeSigner { .. } => "SignerWasRevoked",
        Wish::SetBudgets { .. } => "BudgetsSet",
        Wish::WarnBudgets(_) => "BudgetsWarned",
        Wish::SetCreditLimit { .. } => "CreditLimitSet",
        Wish::RecordDeposit { .. } => "DepositRecorded",
        Wish::SetEngineKey { .. } => "EngineKeySet",
        Wish::SetOperatorKey { .. } => "OperatorKeySet",
        Wish::RemoveOperatorKey { .. } => "OperatorKeyRemoved",
        Wish::AddIdentity(_) => "IdentityAdded",
        Wish::RevokeIdentity { .. } => "IdentityWasRevoked",
        Wish::RotateIdentity { .. } => "IdentityChanged",
        Wish::AddEndpoint { .. } => "WebhookAdded",
        Wish::RemoveEndpoint { .. } => "WebhookRemoved",
        Wish::RotateEndpoint { .. } => "WebhookRotated",
        Wish::ApproveBatch { .. } => "BatchApproved",
        Wish::AbortBatch { .. } => "BatchAborted",
        Wish::ArchiveWindow(_) => "WindowArchived",
        Wish::DisputeWindow { .. } => "DisputeBegun",
        Wish::EndDispute { .. } => "DisputeEnded",
        Wish::MoveLegs { .. } | Wish::MoveEnded { .. } | Wish::ReportLegs { .. } => "LegsMoved",
        Wish::ResolveLeg { .. } => "LegResolved",
        Wish::BookLegs { .. } => "LegsBooked",
        Wish::ReleaseExposure { .. } => "ExposureReleased",
        Wish::RaiseTroubles(_) => "TroublesRaised",
        Wish::AckTroubles { .. } => "TroublesAcked",
        Wish::BeginHold(_) => "LedgerRestored",
        Wish::ReleaseHold { .. } => "HoldReleased",
        Wish::SetEyes(_) => "EyesSet",
        Wish::ConfirmProposal { .. } => "ProposalConfirmed",
        Wish::WithdrawProposal { .. } => "ProposalWithdrawn",
        Wish::CloseWindow => "WindowClosed",
        Wish::SealWindow(_) => "WindowSealed",
        Wish::CreateBatch(_) => "BatchCreated",
        Wish::SubmitLegs(_) => "LegsSubmitted",
    };
    match decided {
        Decided::Now(_) => done.to_owned(),
        Decided::Before(_) => "DoneBefore".to_owned(),
        Decided::Refused(word) => (*word).to_owned(),
    }
}

/// Whoever asked for a batch is told that it is there.
fn batch_made(
    head: &BatchHead,
    ask: &CreateBatch,
    model: &Model,
    heard: &mut Heard,
    disk: &crate::disk::Disk,
) -> Checked {
    let request = model.now.requests.get(&(None, ask.request.id.clone()));
    let (_, lsn, _) = request.ok_or_else(|| format!("batch {} was never in order", head.id))?;
    heard.told(disk, *lsn, || format!("the caller of batch {}", head.id))?;
    same(|| format!("the batch of record {lsn}"), &Some(&head.id), &model.now.computed.get(lsn))?;
    check::head(head, &model.now.batches[&head.id].1)
}
