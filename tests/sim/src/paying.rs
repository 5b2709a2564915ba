//! Payments under identifiers: a few of those, and a few vouchers, so that the same is brought
//! again, by others, and across the deaths of the engine. Owns who is told what: that a charge is
//! told to one identifier alone, and what was told once stays so.

use crate::check::{ensure, same};
use crate::clock::DAY;
use crate::dice::Dice;
use crate::life::{Halt, Heard, Life, Owner, SOURCES, died};
use crate::model::Model;
use crate::run::Run;
use crate::task;
use crate::world::{Channel, Sent};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use tallystick::journal::JournalError;
use tallystick::ledger::Evidence;
use tallystick::pipeline::{Aim, Busy, Intake};
use tallystick::settle::{Charges, Claim, ClaimStep, Claims, NotBrought};
use tallystick::types::{Amount, Digest, Lsn, Outcome, Packed, Timestamp, content_digest};
use tokio::sync::oneshot;

/// Identifiers that are taken again and again; most are new.
const IDENTIFIERS: u64 = 10;
/// What was brought, at most, of which some is brought again.
const JOBS: usize = 40;
/// Of what was under way at a death, so much comes again at most, twice each.
const DIED: usize = 8;

/// Something that was brought.
#[derive(Clone)]
pub struct Job {
    identifier: Digest,
    sent: Rc<Sent>,
    amount: u64,
}

/// What is told of a voucher: its outcome and record.
type Told = (Outcome, Lsn);

/// A voucher that is to be charged, or only to be looked at.
struct Wanted {
    voucher: [u8; 160],
    amount: u64,
    is_asked: bool,
    reply: oneshot::Sender<Told>,
}

/// Of a frame of payments.
pub struct Charged {
    /// What each is to raise its total by.
    pub amounts: Vec<u64>,
    /// Nothing is to change.
    pub is_asked: bool,
    replies: Vec<oneshot::Sender<Told>>,
}

impl Charged {
    /// What is wanted of the vouchers.
    #[must_use]
    pub fn aim(&self) -> Aim {
        let amounts = self.amounts.iter().map(|amount| Amount(*amount)).collect();
        if self.is_asked { Aim::Ask(amounts) } else { Aim::Charge(amounts) }
    }

    /// Tells who brought them.
    pub fn tell(self, lsn: Lsn, outcomes: &[u8]) {
        for (reply, outcome) in self.replies.into_iter().zip(outcomes) {
            let outcome = Outcome::from_byte(*outcome).expect("a known outcome");
            // Whoever waited may be gone.
            let _ = reply.send((outcome, lsn));
        }
    }
}

/// The ledger as the till sees it: frames are made of what is wanted, one step later.
#[derive(Clone)]
struct Ledger {
    intake: Intake,
    wanted: Arc<Mutex<Vec<Wanted>>>,
}

impl Ledger {
    async fn get(&self, claim: &Claim, is_asked: bool) -> Result<Told, Busy> {
        let (reply, told) = oneshot::channel();
        let (voucher, amount) = (claim.voucher, claim.amount.0);
        let one = Wanted { voucher, amount, is_asked, reply };
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).push(one);
        told.await.map_err(|_| Busy::Stopping)
    }
}

impl Charges for Ledger {
    type Got = Told;

    async fn look(&self, claim: &Claim) -> Result<Told, Busy> {
        self.get(claim, true).await
    }

    async fn charge(&self, claim: &Claim) -> Result<Told, Busy> {
        self.get(claim, false).await
    }

    async fn newest(&self, claim: &Claim) -> Result<Option<Evidence>, Busy> {
        let voucher = Packed(&claim.voucher);
        let Some(payer) = self.intake.payer_of(voucher.signer()) else { return Ok(None) };
        self.intake.newest(payer, self.intake.hasher().channel(voucher)).await
    }

    fn now(&self) -> i64 {
        self.intake.meters().time().seconds()
    }

    fn outcome(got: &Told) -> Told {
        *got
    }

    fn known(lsn: Lsn, _: Amount) -> Told {
        (Outcome::Credited, lsn)
    }
}

type Paying = task::Calling<Result<Told, NotBrought>>;

/// The till: the engine's claims, and who brings what.
pub struct Till {
    claims: Arc<Claims>,
    step: ClaimStep,
    ledger: Ledger,
    /// A start that is not through: nobody pays before.
    resuming: Option<task::Calling<()>>,
    paying: Vec<(Job, Paying)>,
    /// By the bytes of vouchers.
    sent: BTreeMap<[u8; 160], Rc<Sent>>,
}

impl Till {
    /// How many payments are under way.
    #[must_use]
    pub fn busy(&self) -> usize {
        self.paying.len() + usize::from(self.resuming.is_some())
    }
}

/// What sellers were told, in whatever life.
#[derive(Default)]
pub struct Sold {
    /// By identifier: the voucher that it paid by, and the record.
    paid: BTreeMap<Digest, ([u8; 160], u64)>,
    /// By voucher: under which identifier.
    by: BTreeMap<[u8; 160], Digest>,
    /// Everything that was brought under each.
    brought: BTreeMap<Digest, Vec<([u8; 160], u64)>>,
    /// When each was brought first, as far as it must be known.
    since: BTreeMap<Digest, Timestamp>,
}

impl Sold {
    /// What became of an identifier is kept for a day at least. From half of one on it may be taken
    /// for a new one, so that it does not matter how long this payment takes.
    fn is_brought(&mut self, job: &Job, now: Timestamp) {
        let since = self.since.entry(job.identifier).or_insert(now);
        if now.0 - since.0 > DAY / 2 {
            *since = now;
            self.paid.remove(&job.identifier);
        }
        let brought = self.brought.entry(job.identifier).or_default();
        brought.push((job.sent.packed, job.amount));
    }
}

impl Run<'_> {
    /// Claims are opened, and those that are left are looked up.
    pub(crate) fn open_till(&mut self) -> Result<(), JournalError> {
        let intake = self.life().intake.clone();
        let (claims, step) = Claims::stepped(&intake)?;
        let claims = Arc::new(claims);
        let ledger = Ledger { intake, wanted: Arc::default() };
        let (held, asks) = (claims.clone(), ledger.clone());
        let resuming = Some(Box::pin(async move { held.resume(&asks).await }) as task::Calling<()>);
        let sent = self.jobs.iter().map(|job| (job.sent.packed, job.sent.clone())).collect();
        let till = Till { claims, step, ledger, resuming, paying: Vec::new(), sent };
        self.life().till = Some(till);
        Ok(())
    }

    /// The process died with these under way: somebody else brings the same, and then they come
    /// again.
    pub(crate) fn payments_died(&mut self, till: Till) {
        for (job, _) in till.paying {
            let other = Job { identifier: identifier(&mut self.dice), ..job.clone() };
            self.died_paying.extend([job, other]);
        }
        let many = self.died_paying.len().saturating_sub(DIED);
        self.died_paying.drain(..many);
    }

    /// The next of them, where nobody else pays at the moment. False where there is none.
    pub(crate) fn pay_again(&mut self) -> Result<bool, Halt> {
        let is_quiet = self.life().till.as_ref().is_some_and(|till| till.busy() == 0);
        if is_quiet && let Some(job) = self.died_paying.pop() {
            return self.bring(job).map(|()| true);
        }
        Ok(false)
    }

    /// A seller brings a payment: a new one, or one that was brought before, by the same identifier
    /// or by another.
    pub(crate) fn pay(&mut self) -> Result<(), Halt> {
        if self.dice.percent(70) && self.pay_again()? {
            return Ok(());
        }
        let Self { dice, model, world, jobs, clocks, .. } = self;
        let again = !jobs.is_empty() && dice.percent(60);
        let held = |channel: &Channel| {
            model.now.channels.get(channel).map_or(0, |held| held.newest.cumulative)
        };
        let job = if again {
            let job = dice.pick(jobs).clone();
            if dice.percent(50) { job } else { Job { identifier: identifier(dice), ..job } }
        } else {
            let pays = |sent: &Sent, amount| model.would_pay(clocks.wall, sent, amount);
            let (sent, amount) = world.payment(dice, held, pays);
            Job { identifier: identifier(dice), sent, amount }
        };
        self.bring(job)
    }

    fn bring(&mut self, job: Job) -> Result<(), Halt> {
        let Self { dice, jobs, figures, heard, .. } = self;
        if jobs.len() < JOBS {
            jobs.push(job.clone());
        } else {
            let place = dice.place(JOBS);
            jobs[place] = job.clone();
        }
        figures.operations += 1;
        let life = self.life.as_mut().expect("the engine runs between two steps");
        heard.sold.is_brought(&job, life.intake.meters().time());
        let till = life.till.as_mut().expect("it is open");
        till.sent.insert(job.sent.packed, job.sent.clone());
        let (claims, ledger, identifier) =
            (till.claims.clone(), till.ledger.clone(), job.identifier);
        let claim = Claim { voucher: job.sent.packed, amount: Amount(job.amount) };
        let paying = async move { claims.once(&ledger, identifier, &claim, || ()).await };
        till.paying.push((job.clone(), Box::pin(paying)));
        self.tell(|| format!("{} is brought under {}", job.sent.cumulative, job.identifier));
        Ok(())
    }
}

fn identifier(dice: &mut Dice) -> Digest {
    let most = if dice.percent(25) { IDENTIFIERS } else { u64::MAX };
    content_digest("simulated identifier", &dice.below(most).to_le_bytes())
}

/// The kinds of steps: claims are written, frames are made, a start looks up what was left,
/// somebody is told.
pub const STEPS: u64 = 4;

/// The first step from one kind on that moves anything; where it wrote claims, the process may die
/// after so many boundaries. False when nothing moved.
///
/// # Errors
/// `Died` or `Wrong`.
pub fn any(
    life: &mut Life,
    model: &Model,
    heard: &mut Heard,
    (first, most, moves): (u64, usize, bool),
    dies: Option<u64>,
) -> Result<bool, Halt> {
    for kind in (first..first + STEPS).map(|kind| kind % STEPS) {
        if step(life, model, heard, (kind, most, moves))? {
            dies.filter(|_| kind == 0).inspect(|boundaries| life.disk.dies_soon(*boundaries));
            return Ok(true);
        }
    }
    Ok(false)
}

/// One step of what is done for payments. False when nothing moved.
///
/// # Errors
/// `Died` or `Wrong`.
pub fn step(
    life: &mut Life,
    model: &Model,
    heard: &mut Heard,
    (kind, most, moves): (u64, usize, bool),
) -> Result<bool, Halt> {
    let Some(mut till) = life.till.take() else { return Ok(false) };
    let before = life.stepper.sequencer_waiting().1;
    let moved = match kind {
        0 => {
            let waits = till.step.waiting();
            let turned = till.step.turn(most, moves);
            turned.map(|()| waits > 0).map_err(|error| died(&life.disk, &error))
        }
        1 => Ok(frame(life, &till, most)),
        2 => Ok(resumed(&mut till)),
        _ => told(life, &mut till, model, heard),
    };
    let asked = life.stepper.sequencer_waiting().1 - before;
    life.owners.extend(std::iter::repeat_n(Owner::Teller, asked));
    life.till = Some(till);
    Ok(moved? || asked > 0)
}

fn resumed(till: &mut Till) -> bool {
    let Some(resuming) = &mut till.resuming else { return false };
    let done = task::poll(resuming).is_some();
    if done {
        till.resuming = None;
    }
    done
}

/// Vouchers that are wanted become a frame.
fn frame(life: &mut Life, till: &Till, most: usize) -> bool {
    let mut wanted = till.ledger.wanted.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(is_asked) = wanted.first().map(|one| one.is_asked) else { return false };
    let count = wanted.iter().take_while(|one| one.is_asked == is_asked).count().min(most);
    let hand: Vec<Wanted> = wanted.drain(..count).collect();
    drop(wanted);
    let vouchers = hand.iter().map(|one| till.sent[&one.voucher].clone()).collect();
    let amounts = hand.iter().map(|one| one.amount).collect();
    let replies = hand.into_iter().map(|one| one.reply).collect();
    let source = usize::from(is_asked) % SOURCES;
    life.submit(source, vouchers, Some(Charged { amounts, is_asked, replies }));
    true
}

/// Sellers look whether they were answered.
fn told(life: &Life, till: &mut Till, model: &Model, heard: &mut Heard) -> Result<bool, Halt> {
    if till.resuming.is_some() {
        return Ok(false);
    }
    let mut moved = false;
    let paying = std::mem::take(&mut till.paying);
    for (job, mut calling) in paying {
        match task::poll(&mut calling) {
            None => till.paying.push((job, calling)),
            Some(answer) => {
                moved = true;
                is_right(life, &job, &answer, model, heard)?;
            }
        }
    }
    Ok(moved)
}

/// Whether what a seller is told fits all that was told before, and the ledger.
fn is_right(
    life: &Life,
    job: &Job,
    answer: &Result<Told, NotBrought>,
    model: &Model,
    heard: &mut Heard,
) -> Result<(), Halt> {
    let (id, voucher) = (job.identifier, job.sent.packed);
    let what = || format!("{} under {id}", job.sent.cumulative);
    let before = heard.sold.paid.get(&id).copied();
    let word = match answer {
        Ok((Outcome::Credited, lsn)) => {
            heard.told(&life.disk, lsn.0, || format!("payment of {}", what()))?;
            let owner = *heard.sold.by.entry(voucher).or_insert(id);
            ensure(owner == id, || {
                format!("{} is told as charged, and was told so under {owner}", what())
            })?;
            let paid = *heard.sold.paid.entry(id).or_insert((voucher, lsn.0));
            same(what, &(voucher, lsn.0), &paid)?;
            let held = model.now.channels.get(&job.sent.channel);
            let held = held.ok_or_else(|| format!("{} is charged on no channel", what()))?;
            let (total, newest) = (job.sent.cumulative, held.newest.cumulative);
            ensure(total <= newest, || format!("{} is charged, {newest} is there", what()))?;
            let is_newest = total == newest;
            ensure(!is_newest || (held.newest.packed, held.lsn) == (voucher, lsn.0), || {
                format!("{} is charged by record {}, not {}", what(), held.lsn, lsn.0)
            })?;
            "PaymentMade".to_owned()
        }
        Ok((outcome, _)) => {
            // Whoever brings it for another amount is told that the identifier is another's.
            let was = before.is_some_and(|(paid, _)| paid == voucher);
            ensure(!was, || format!("{} was charged, and now is {outcome:?}", what()))?;
            format!("Payment{outcome:?}")
        }
        Err(NotBrought::Reused) => {
            let others = heard.sold.brought[&id].iter().any(|one| *one != (voucher, job.amount));
            ensure(others, || format!("{} is told as another's, and there is none", what()))?;
            "PaymentReused".to_owned()
        }
        Err(why @ (NotBrought::Lost | NotBrought::BeingCharged)) => format!("Payment{why:?}"),
        Err(NotBrought::Busy(busy)) => return Err(format!("{}: {busy}", what()).into()),
    };
    heard.answers.update(word.as_bytes());
    heard.word(word);
    Ok(())
}
