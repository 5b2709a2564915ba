//! What clients and operators ask for, drawn at random: mostly what makes sense, sometimes what
//! must be refused. Knows the model's state, so that it can aim; never the engine's.

use crate::budgets;
use crate::dice::Dice;
use crate::endpoints;
use crate::eyes;
use crate::identities;
use crate::model::State;
use crate::task::Question;
use crate::world::{Sent, World};
use std::collections::BTreeMap;
use std::rc::Rc;
use tallystick::ledger::event::Cap;
use tallystick::ledger::{
    Caller, Command, Keep, NewTrouble, Rail, RailAccount, Request, SealedOnRail, SealedText,
    TroubleKind, UpsertParty, Wish,
};
use tallystick::settle::CreateBatch;
use tallystick::types::{
    Amount, AssetDef, AssetNumber, BatchId, Digest, FitKey, MONEY_MAX, PartyId, SettlementModel,
    Total, WindowNumber,
};

/// Vouchers in flight from one client that are kept to be sent again.
const REMEMBERED: usize = 64;

/// Two operators, and nobody.
pub const OPERATORS: [&str; 3] = ["anna", "ben", ""];

/// How often commands are drawn: assets, parties, signers, revocations, limits, deposits, closes,
/// approvals, aborts, disputes, ends of disputes, troubles that are raised and taken away,
/// operators' keys that are set and taken away, budgets, identities, four eyes, webhooks.
const KINDS: [u32; 19] = [4, 12, 10, 1, 16, 14, 12, 14, 6, 2, 4, 4, 3, 4, 2, 18, 16, 24, 10];
const CLOSE: usize = 6;
const IDENTITIES: usize = 16;
const EYES: usize = 17;
const ENDPOINTS: usize = 18;

/// Draws what is asked for, and remembers it for those who ask twice.
pub struct Clients {
    requests: u64,
    /// The configuration asks for four eyes.
    four_eyes: bool,
    /// How often each kind of command is drawn in this run.
    weights: Vec<u32>,
    frames: Vec<Vec<Rc<Sent>>>,
    commands: Vec<Vec<Command>>,
}

impl Clients {
    /// Before anything was asked.
    #[must_use]
    pub fn new(dice: &mut Dice) -> Self {
        let weights = KINDS.map(|weight| weight * *dice.pick(&[0, 1, 1, 1, 4]));
        let close = weights[CLOSE].max(KINDS[CLOSE] / 4);
        let weights = weights.iter().enumerate();
        let weights = weights.map(|(kind, weight)| if kind == CLOSE { close } else { *weight });
        let (frames, commands) = (Vec::new(), Vec::new());
        let four_eyes = dice.percent(40);
        Self { requests: 0, four_eyes, weights: weights.collect(), frames, commands }
    }

    /// Who computes a batch, and whether another one must approve it.
    fn by(&self, dice: &mut Dice) -> (Caller, bool) {
        let four_eyes = self.four_eyes && dice.percent(85);
        // The configuration asks for four eyes only where every operator has a name.
        let from = if four_eyes { &OPERATORS[..2] } else { &OPERATORS[..] };
        let place = dice.place(from.len());
        let caller = by(from[place]);
        (caller, four_eyes)
    }

    /// A new request; now and then with an id that was used for something else.
    fn request(&mut self, dice: &mut Dice) -> Request {
        self.requests += 1;
        let content = Digest(*blake3::hash(&self.requests.to_le_bytes()).as_bytes());
        let number = if dice.percent(1) { dice.between(1, self.requests) } else { self.requests };
        Request { id: format!("request-{number}"), content }
    }

    /// A frame of new vouchers, or one that was sent before.
    pub fn frame(&mut self, dice: &mut Dice, world: &mut World, now: i64) -> Vec<Rc<Sent>> {
        if dice.percent(12) && !self.frames.is_empty() {
            return dice.pick(&self.frames).clone();
        }
        let most = *dice.pick(&[1, 1, 3, 8, 8, 20]);
        // Two chunks of a frame are checked apart from each other.
        let size = if dice.percent(1) { dice.between(64, 140) } else { dice.between(1, most) };
        let mut frame: Vec<Rc<Sent>> = (0..size).map(|_| world.sign(dice, now)).collect();
        if dice.percent(10) {
            // Newest first: all but the first of a channel are stale.
            frame.reverse();
        }
        if dice.percent(30) {
            if dice.percent(60) {
                frame.clear();
            }
            for _ in 0..dice.between(1, 4) {
                frame.extend(world.bundle(dice, now));
            }
        }
        remember(&mut self.frames, dice, &frame);
        frame
    }

    /// Everything that a deployment begins with.
    pub fn founding(&mut self, dice: &mut Dice, world: &World) -> Vec<Command> {
        let mut commands = Vec::new();
        for asset in &world.assets[..world.assets.len() - 1] {
            commands.push(self.asset(dice, asset.def.clone()));
        }
        for party in &world.parties[..world.parties.len() - 1] {
            commands.push(self.party(dice, world, *party, (false, false), false));
            for asset in &world.assets[..world.assets.len() - 1] {
                if dice.percent(90) {
                    let limits = [50_000_000, 1_000_000_000, 20_000_000_000, 20_000_000_000];
                    commands.push(self.limit(dice, *party, asset.def.number, &limits));
                }
            }
        }
        for agent in &world.agents[..world.agents.len() - 1] {
            if dice.percent(90) {
                commands.push(self.signer(dice, world, agent.key, agent.party));
            }
        }
        commands
    }

    /// A few commands, each on its own; or some that were asked before.
    pub fn commands(&mut self, dice: &mut Dice, world: &World, state: &State) -> Vec<Command> {
        if dice.percent(10) && !self.commands.is_empty() {
            return dice.pick(&self.commands).clone();
        }
        let count = *dice.pick(&[1, 1, 1, 2, 5]);
        let commands: Vec<Command> = (0..count).map(|_| self.posed(dice, world, state)).collect();
        remember(&mut self.commands, dice, &commands);
        commands
    }

    fn posed(&mut self, dice: &mut Dice, world: &World, state: &State) -> Command {
        let kind = dice.weighted(&self.weights);
        let mut command = match kind {
            IDENTITIES => identities::any(self.request(dice), dice, world, state),
            ENDPOINTS => endpoints::any(self.request(dice), dice, world, state),
            EYES => eyes::any(self.request(dice), dice, (state, self.four_eyes)),
            kind => self.command(kind, dice, world, state),
        };
        eyes::named(&mut command, dice, state);
        identities::pose(&mut command, dice, state);
        command
    }

    fn command(&mut self, kind: usize, dice: &mut Dice, world: &World, state: &State) -> Command {
        let party = *dice.pick(&world.parties[..world.parties.len() - 1]);
        let asset = dice.pick(&world.assets).def.number;
        let whose = *dice.pick(&world.parties);
        match kind {
            0 => {
                let asset = dice.pick(&world.assets[..world.assets.len() - 1]).def.clone();
                let model = match asset.model {
                    SettlementModel::Bilateral => SettlementModel::Multilateral,
                    SettlementModel::Multilateral => SettlementModel::Bilateral,
                };
                let other = AssetDef { model, ..asset.clone() };
                let def = if dice.percent(30) { other } else { asset };
                self.asset(dice, def)
            }
            1 => {
                let erased = state.parties.get(&party).is_some_and(|party| party.erased);
                let flags = (dice.percent(12), erased && dice.percent(40));
                self.party(dice, world, party, flags, true)
            }
            2 => {
                let agent = dice.pick(&world.agents[..world.agents.len() - 1]);
                let party = if dice.percent(5) { party } else { agent.party };
                self.signer(dice, world, agent.key, party)
            }
            3 => {
                let some = if dice.percent(80) { &world.agents[..2] } else { &world.agents[..] };
                let (request, signer) = (self.request(dice), dice.pick(some).key);
                Wish::RevokeSigner { signer }.by(by(""), request)
            }
            4 => {
                let limits = [0, 1_000, 50_000_000, 1_000_000_000, 20_000_000_000];
                self.limit(dice, whose, asset, &limits)
            }
            5 => self.deposit(dice, whose, asset),
            6 => Wish::CloseWindow.by(by(""), self.request(dice)),
            7 => {
                let (request, batch) = (self.request(dice), any_batch(dice, state));
                let operator = *dice.pick(&OPERATORS);
                Wish::ApproveBatch { batch, signed: None }.by(by(operator), request)
            }
            8 => {
                let (request, batch) = (self.request(dice), any_batch(dice, state));
                Wish::AbortBatch { batch, reason: "simulated".to_owned() }.by(by(""), request)
            }
            9 => {
                let window = WindowNumber(dice.between(1, state.open() + 1));
                let (request, reason) = (self.request(dice), "simulated".to_owned());
                Wish::DisputeWindow { window, reason }.by(by(""), request)
            }
            10 => {
                let window = any_disputed(dice, state);
                let (request, reason) = (self.request(dice), "simulated".to_owned());
                Wish::EndDispute { window, reason }.by(by(""), request)
            }
            11 => {
                let count = 0..dice.between(1, 3);
                let troubles = count.map(|_| any_trouble(dice, state)).collect();
                Command::own(Wish::RaiseTroubles(troubles))
            }
            12 => {
                let (request, operator) = (self.request(dice), *dice.pick(&OPERATORS));
                let (troubles, note) = (any_open(dice, state), "simulated".to_owned());
                Wish::AckTroubles { troubles, note }.by(by(operator), request)
            }
            13 => world.operators.set(self.request(dice), dice, state),
            14 => world.operators.remove(self.request(dice), dice, state),
            _ => budgets::any(self.request(dice), dice, world, state),
        }
    }

    fn asset(&mut self, dice: &mut Dice, asset: AssetDef) -> Command {
        let request = self.request(dice);
        Wish::CreateAsset { asset }.by(by(""), request)
    }

    fn party(
        &mut self,
        dice: &mut Dice,
        world: &World,
        party: PartyId,
        (suspended, reopen): (bool, bool),
        is_change: bool,
    ) -> Command {
        let keep = if is_change { keep(dice) } else { Keep::default() };
        // Not sealed yet: the texts lie where what is sealed will.
        let text = |text: String| SealedText::new(text.into_bytes());
        let account = |RailAccount { rail, mut fields }| {
            let (_, value) = fields.pop().expect("an account has a field");
            SealedOnRail { rail, fields: text(value) }
        };
        let request = self.request(dice);
        let mut accounts: Vec<SealedOnRail> =
            world.accounts(dice).into_iter().map(account).collect();
        if dice.percent(20) {
            let other = RailAccount {
                rail: OTHER_RAIL.to_owned(),
                fields: vec![(String::new(), format!("account {}", dice.below(100)))],
            };
            accounts.push(account(other));
        }
        let name = text(format!("Party {}", dice.below(100)));
        let upsert = UpsertParty { party, name, suspended, accounts, reopen, erasures: 0, keep };
        Wish::UpsertParty(upsert).by(by(""), request)
    }

    fn signer(
        &mut self,
        dice: &mut Dice,
        world: &World,
        signer: tallystick::types::SignerKey,
        party: PartyId,
    ) -> Command {
        let mut caps = Vec::new();
        if dice.percent(30) {
            let assets = world.assets[..world.assets.len() - 1].iter();
            let mut assets: Vec<AssetNumber> = assets.map(|asset| asset.def.number).collect();
            assets.sort_unstable();
            for asset in assets {
                if dice.percent(60) {
                    let amount = *dice.pick(&[0, 1_000, 1_000_000, 100_000_000, u64::MAX]);
                    caps.push(Cap { asset, amount: Amount(amount) });
                }
            }
        }
        let request = self.request(dice);
        Wish::AddSigner { signer: FitKey::checked(signer), party, caps }.by(by(""), request)
    }

    fn limit(
        &mut self,
        dice: &mut Dice,
        party: PartyId,
        asset: AssetNumber,
        limits: &[u128],
    ) -> Command {
        let limit = *dice.pick(limits);
        let (request, limit) = (self.request(dice), Total(limit));
        Wish::SetCreditLimit { party, asset, limit }.by(by(""), request)
    }

    /// Boundless sums only where no bank has to move them leg by leg.
    fn deposit(&mut self, dice: &mut Dice, party: PartyId, asset: AssetNumber) -> Command {
        let boundless = asset.0 == 8453 && dice.percent(20);
        let amount = if boundless {
            *dice.pick(&[MONEY_MAX, MONEY_MAX - 1, MONEY_MAX / 2])
        } else {
            u128::from(dice.between(1, 10_000_000))
        };
        let (request, amount, reference) = (self.request(dice), Total(amount), String::new());
        Wish::RecordDeposit { party, asset, amount, reference }.by(by(""), request)
    }

    /// A batch: mostly of windows that can be settled, all of them or some, and sometimes of
    /// others.
    pub fn batch(&mut self, dice: &mut Dice, world: &World, state: &State) -> CreateBatch {
        let closed = (1..).zip(&state.windows).filter(|(_, window)| window.sealed);
        let owed = closed.flat_map(|(number, window)| {
            let assets = window.assets().into_iter();
            let free = assets.filter(|asset| !window.live.contains_key(asset));
            free.map(move |asset| (asset, number)).collect::<Vec<_>>()
        });
        let owed: Vec<(u32, u64)> = owed.collect();
        let (asset, mut windows) = if owed.is_empty() || dice.percent(10) {
            (dice.pick(&world.assets).def.number.0, vec![dice.between(1, state.open() + 1)])
        } else {
            let (asset, _) = *dice.pick(&owed);
            let of = owed.iter().filter(|(in_asset, _)| *in_asset == asset);
            (asset, of.map(|(_, number)| *number).collect())
        };
        let from = dice.place(windows.len().min(3));
        let windows = windows.split_off(from).into_iter().map(WindowNumber).collect();
        let request = self.request(dice);
        self.batch_of(dice, request, windows, asset)
    }

    fn batch_of(
        &self,
        dice: &mut Dice,
        request: Request,
        windows: Vec<WindowNumber>,
        asset: u32,
    ) -> CreateBatch {
        let (caller, four_eyes) = self.by(dice);
        let (asset, rail, least) = (AssetNumber(asset), Rail::Iso20022, Total::ZERO);
        CreateBatch { caller, request, four_eyes, windows, asset, rail, least }
    }

    /// One batch in each asset, of all windows that can be settled.
    pub fn last_batches(&mut self, dice: &mut Dice, state: &State) -> Vec<CreateBatch> {
        let mut free: BTreeMap<u32, Vec<WindowNumber>> = BTreeMap::new();
        for (number, window) in (1..).zip(&state.windows) {
            if window.sealed && !window.disputed {
                let assets = window.assets().into_iter();
                for asset in assets.filter(|asset| !window.live.contains_key(asset)) {
                    free.entry(asset).or_default().push(WindowNumber(number));
                }
            }
        }
        let ask = |(asset, windows): (u32, Vec<WindowNumber>)| {
            let request = self.new_request();
            self.batch_of(dice, request, windows, asset)
        };
        free.into_iter().map(ask).collect()
    }

    /// A request to put a new key of the engine in force.
    pub fn rotation(&mut self, dice: &mut Dice) -> Request {
        self.request(dice)
    }

    /// A request that was surely never made.
    pub fn new_request(&mut self) -> Request {
        self.requests += 1;
        let content = Digest(*blake3::hash(&self.requests.to_le_bytes()).as_bytes());
        Request { id: format!("request-{}", self.requests), content }
    }

    /// A question.
    pub fn question(&mut self, dice: &mut Dice, world: &World, state: &State) -> Question {
        let channel = *dice.pick(&world.hot);
        // The edge asks the shard of the party for which the key is registered.
        let signer = state.signers.get(&channel.signer);
        let payer = signer.map_or(world.parties[0], |signer| signer.party);
        match dice.below(4) {
            0 if signer.is_some() => Question::Channel(payer, channel, world.id(&channel)),
            1 if signer.is_some() => Question::Newest(payer, channel, world.id(&channel)),
            0..3 => Question::Exposure(payer, channel.asset),
            _ => {
                let answers: Vec<(u64, PartyId)> =
                    state.answers.iter().map(|(lsn, (party, ..))| (*lsn, *party)).collect();
                match answers.is_empty() {
                    true => Question::Exposure(payer, channel.asset),
                    false => {
                        let (lsn, party) = *dice.pick(&answers);
                        Question::ExposureAt(party, lsn)
                    }
                }
            }
        }
    }
}

/// Who calls under this name; an empty one is nobody's.
pub fn by(operator: &str) -> Caller {
    Caller::grpc(operator.to_owned())
}

/// A rail on which some parties have an account, and on which nothing is settled here.
const OTHER_RAIL: &str = "nacha";

/// What a change of a party leaves alone: mostly nothing, or something of each kind.
fn keep(dice: &mut Dice) -> Keep {
    if dice.percent(40) {
        return Keep::default();
    }
    let rails = [OTHER_RAIL, OTHER_RAIL, Rail::Iso20022.name()];
    let removed = if dice.percent(25) { vec![(*dice.pick(&rails)).to_owned()] } else { Vec::new() };
    let (name, suspended, accounts) = (dice.percent(50), dice.percent(60), dice.percent(60));
    Keep { name, suspended, accounts, removed }
}

fn any_batch(dice: &mut Dice, state: &State) -> BatchId {
    let batches: Vec<BatchId> = state.batches.keys().copied().collect();
    if batches.is_empty() || dice.percent(3) { BatchId::ZERO } else { *dice.pick(&batches) }
}

/// Mostly a window that is disputed.
fn any_disputed(dice: &mut Dice, state: &State) -> WindowNumber {
    let disputed = (1..).zip(&state.windows).filter(|(_, window)| window.disputed);
    let disputed: Vec<u64> = disputed.map(|(number, _)| number).collect();
    if disputed.is_empty() || dice.percent(10) {
        return WindowNumber(dice.between(1, state.open() + 1));
    }
    WindowNumber(*dice.pick(&disputed))
}

fn any_trouble(dice: &mut Dice, state: &State) -> NewTrouble {
    let kinds = [TroubleKind::Contradiction, TroubleKind::Misfit, TroubleKind::Surplus];
    let batch = dice.percent(80).then(|| any_batch(dice, state));
    let legs = batch.and_then(|batch| state.batches.get(&batch));
    let legs = legs.map_or(0, |(_, batch, _)| u64::try_from(batch.payments.len()).expect("few"));
    // Now and then about a leg: it holds the batch, or says that another pays again.
    let leg = (legs > 0 && dice.percent(30)).then(|| dice.below(legs));
    NewTrouble {
        kind: *dice.pick(&kinds),
        rail: *dice.pick(&Rail::ALL),
        batch,
        leg: leg.map(|leg| u32::try_from(leg).expect("legs are few")),
        party: None,
        source: "simulated".to_owned(),
        text: format!("simulated {}", dice.between(0, 9)),
    }
}

/// Mostly the numbers of troubles that are open.
fn any_open(dice: &mut Dice, state: &State) -> Vec<u64> {
    let open: Vec<u64> = state.troubles.keys().copied().collect();
    if open.is_empty() || dice.percent(10) {
        return vec![dice.between(0, state.raised + 1)];
    }
    let mut some: Vec<u64> = (0..dice.between(1, 3)).map(|_| *dice.pick(&open)).collect();
    some.sort_unstable();
    some.dedup();
    some
}

fn remember<T: Clone>(list: &mut Vec<T>, dice: &mut Dice, new: &T) {
    if list.len() < REMEMBERED {
        list.push(new.clone());
    } else {
        let place = dice.place(list.len());
        list[place] = new.clone();
    }
}
