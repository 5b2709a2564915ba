//! The credit rule, line by line: who pays whom with which total, and what comes of it.
//!
//! A table is a story that begins in a small network. `pay` is a frame of one voucher and `and`
//! adds one to it; every other line is an event, or what must be so by then. Each story is told to
//! one shard and to three, with the same outcomes.

mod ahead;
mod charges;
mod tables;

use super::super::live::ChannelsMax;
use super::super::{Checked, Shard};
use crate::budget::{Budget, BudgetKey, BudgetUse, Period};
use crate::event::{
    AssetCreated, BudgetsSet, BudgetsWarned, Cap, CreditLimitSet, DepositRecorded, Event,
    ExposureReleased, LegsMoved, PartyUpserted, Release, SignerAdded, SignerRevoked, WindowCut,
};
use crate::fixture::as_sealed;
use crate::fixture::table::{Line, lines, party, told};
use crate::leg::{LegMove, LegState, Mover};
use crate::seal::{Cut, SealedPart, seal};
use crate::types::{
    Amount, AssetDef, AssetNumber, BatchId, ChannelHasher, Digest, Lsn, NetworkId, Outcome, Packed,
    PartyId, SettlementModel, SignerKey, Timestamp, Total, VOUCHER_BYTES, Verdict, Voucher,
    WindowNumber,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

const NETWORK: NetworkId = NetworkId([3; 32]);
const LIFETIME_SECONDS_MAX: i64 = 1_000;

/// An asset by its code; `xxx` is never created.
const ASSETS: [(&str, AssetNumber); 4] = [
    ("eur", AssetNumber(978)),
    ("usd", AssetNumber(840)),
    ("tok", AssetNumber(1)),
    ("xxx", AssetNumber(999)),
];

fn asset(code: &str) -> AssetNumber {
    let found = ASSETS.iter().find(|(of, _)| *of == code);
    found.unwrap_or_else(|| panic!("{code:?} is no asset")).1
}

/// A key by two letters.
fn key(name: &str) -> SignerKey {
    let mut key = [0; 32];
    key[..2].copy_from_slice(name.as_bytes());
    SignerKey(key)
}

/// An outcome's word. In full, so that a new outcome is named here, and then needs a line.
fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Credited => "credited",
        Outcome::Stale => "stale",
        Outcome::Malformed => "malformed",
        Outcome::BadSignature => "bad-signature",
        Outcome::UnknownSigner => "unknown-signer",
        Outcome::RevokedSigner => "revoked-signer",
        Outcome::UnknownPayee => "unknown-payee",
        Outcome::UnknownAsset => "unknown-asset",
        Outcome::SelfPayment => "self-payment",
        Outcome::Expired => "expired",
        Outcome::LifetimeTooLong => "lifetime-too-long",
        Outcome::OverSignerCap => "over-signer-cap",
        Outcome::OverLimit => "over-limit",
        Outcome::SuspendedParty => "suspended-party",
        Outcome::TooManyChannels => "too-many-channels",
        Outcome::OverTotalBudget => "over-total-budget",
        Outcome::OverMonthBudget => "over-month-budget",
        Outcome::OverDayBudget => "over-day-budget",
        Outcome::OverHourBudget => "over-hour-budget",
        Outcome::OutOfScope => "out-of-scope",
        Outcome::WrongAmount => "wrong-amount",
    }
}

/// What was found of a voucher before the ledger sees it.
fn verdict(word: &str) -> Verdict {
    match word {
        "valid" => Verdict::Valid,
        "certain" => Verdict::Stale,
        "forged" => Verdict::BadSignature,
        "unknown" => Verdict::UnknownKey,
        "garbage" => Verdict::Malformed,
        _ => panic!("{word:?} is no verdict"),
    }
}

/// A voucher of a table.
struct Asked<'a> {
    line: &'a str,
    packed: [u8; VOUCHER_BYTES],
    verdict: Verdict,
    wanted: &'a str,
}

impl<'a> Asked<'a> {
    fn new(whole: &'a str) -> Self {
        let mut line = Line::new(whole);
        line.word();
        let voucher = Voucher {
            signer: key(line.word()),
            payee: party(line.word()),
            asset: asset(line.word()),
            lane: line.read(),
            expires_at: line.read(),
            cumulative: Amount(line.read()),
            signature: [7; 64],
        };
        let (verdict, wanted) = (verdict(line.word()), line.word());
        line.end();
        Self { line: whole, packed: voucher.pack(), verdict, wanted }
    }
}

/// The shards of a network, and what has happened.
struct World {
    shards: Vec<Shard>,
    payers: BTreeMap<SignerKey, PartyId>,
    parties: BTreeSet<PartyId>,
    lsn: Lsn,
    at: Timestamp,
    /// Windows whose evidence has not left, and the parts that have.
    cut: VecDeque<WindowNumber>,
    parts: Vec<SealedPart>,
    next: WindowNumber,
    seen: BTreeSet<Outcome>,
}

impl World {
    fn new(count: u16) -> Self {
        let shard = |index| Shard::new(index, count, NETWORK, LIFETIME_SECONDS_MAX);
        Self {
            shards: (0..count).map(shard).collect(),
            payers: BTreeMap::new(),
            parties: BTreeSet::new(),
            lsn: Lsn(1),
            at: Timestamp(0),
            cut: VecDeque::new(),
            parts: Vec::new(),
            next: WindowNumber(1),
            seen: BTreeSet::new(),
        }
    }

    fn happens(&mut self, event: &Event) {
        self.lsn = self.lsn.next();
        let lsn = self.lsn;
        self.parts.extend(self.shards.iter_mut().filter_map(|shard| shard.apply(lsn, event)));
    }

    fn play(&mut self, table: &str) {
        let mut rest = lines(table).peekable();
        while let Some(line) = rest.next() {
            self.as_the_headroom_says();
            if !line.starts_with("pay ") {
                self.step(line);
                continue;
            }
            let mut frame = vec![Asked::new(line)];
            while let Some(line) = rest.next_if(|line| line.starts_with("and ")) {
                frame.push(Asked::new(line));
            }
            self.frame(&frame);
        }
        assert!(self.cut.is_empty(), "a story tells of each window what was owed in it");
    }

    /// Each voucher goes to the shard of its payer. What is refused changes nothing.
    fn frame(&mut self, frame: &[Asked<'_>]) {
        self.as_asked_before(frame);
        self.lsn = self.lsn.next();
        let (before, count) = (self.books(), u16::try_from(self.shards.len()).unwrap());
        let owner = |asked: &Asked<'_>| {
            let payer = self.payers.get(&Packed(&asked.packed).signer());
            payer.map_or(0, |payer| payer.shard(count))
        };
        let hasher = ChannelHasher::new(NETWORK);
        let mut is_credited = false;
        for shard in &mut self.shards {
            let own: Vec<_> = frame.iter().filter(|one| owner(one) == shard.index()).collect();
            let checked = own.iter().map(|asked| {
                let (voucher, verdict) = (Packed(&asked.packed), asked.verdict);
                Checked {
                    voucher,
                    channel: hasher.channel(voucher),
                    verdict,
                    rise: None,
                    tree: None,
                }
            });
            let checked: Vec<Checked<'_>> = checked.collect();
            let mut outcomes = Vec::new();
            shard.credit(self.lsn, self.at, &checked, &mut outcomes);
            assert_eq!(outcomes.len(), own.len());
            for (asked, outcome) in own.iter().zip(outcomes) {
                assert_eq!(word(outcome), asked.wanted, "{}", asked.line);
                is_credited |= outcome == Outcome::Credited;
                self.seen.insert(outcome);
            }
        }
        if !is_credited {
            assert_eq!(self.books(), before, "what is refused changes nothing");
        }
    }

    /// All that a voucher can change.
    fn books(&self) -> String {
        let mut all = String::new();
        for shard in &self.shards {
            for (_, asset) in ASSETS {
                let owed = self.parties.iter().map(|party| shard.exposure(*party, asset));
                let used = self.payers.keys().map(|key| shard.cap_used(*key, asset));
                all += &format!("{:?} {:?}", owed.collect::<Vec<_>>(), used.collect::<Vec<_>>());
            }
            let gauges: Vec<_> = shard.gauges().collect();
            all += &format!("{} {} {gauges:?}", shard.channels(), shard.credited());
            for key in self.payers.keys() {
                all += &format!("{:?}", shard.budgets_used(*key));
            }
            all += &format!("{:?}", shard.budgets_near(usize::MAX));
        }
        all
    }

    fn owed(&self, party: PartyId, asset: AssetNumber) -> Total {
        self.shards
            .iter()
            .fold(Total::ZERO, |sum, shard| sum.plus(shard.exposure(party, asset).unsettled))
    }

    fn step(&mut self, whole: &str) {
        let mut line = Line::new(whole);
        match line.word() {
            "time" => {
                let (seconds, micros) = line.word().split_once('.').expect("seconds.micros");
                let (seconds, micros): (i64, i64) =
                    (seconds.parse().unwrap(), micros.parse().unwrap());
                self.at = Timestamp(seconds * 1_000_000 + micros);
            }
            "channels" => {
                let max = ChannelsMax { of_signer: line.read(), of_party: line.read() };
                self.shards.iter_mut().for_each(|shard| shard.channels_max = max);
            }
            "cut" => {
                let window = self.next;
                self.happens(&Event::from(WindowCut { window }));
                self.cut.push_back(window);
                self.next = window.next();
            }
            "left" => assert_eq!(self.left(), line.rest(), "{whole}"),
            "owes" => {
                let (party, asset) = (party(line.word()), asset(line.word()));
                assert_eq!(self.owed(party, asset), Total(line.read()), "{whole}");
            }
            "used" => {
                let (key, asset) = (key(line.word()), asset(line.word()));
                let used = self.shards.iter().find_map(|shard| shard.cap_used(key, asset));
                assert_eq!(used, Some(Amount(line.read())), "{whole}");
            }
            "near" => {
                let near: Vec<String> = self.near().into_iter().map(|(word, _)| word).collect();
                assert_eq!(near.join(" "), line.rest(), "{whole}");
            }
            "gauge" => {
                let asset = asset(line.word());
                let gauges = self.shards.iter().flat_map(Shard::gauges);
                let own: Vec<_> = gauges.filter(|(of, _)| *of == asset).collect();
                let gross = own.iter().fold(Total::ZERO, |sum, (_, one)| sum.plus(one.gross));
                let exposure = own.iter().map(|(_, one)| one.exposure).max().unwrap();
                assert_eq!((gross, exposure), (Total(line.read()), Total(line.read())), "{whole}");
            }
            kind => {
                let event = self.event(kind, &mut line);
                self.happens(&event);
            }
        }
        line.end();
    }

    /// Of which budgets owners are to be told, in words.
    fn near(&self) -> Vec<(String, Vec<BudgetUse>)> {
        let near = self.shards.iter().flat_map(|shard| shard.budgets_near(usize::MAX));
        let word = |of: BudgetUse| {
            let name = std::str::from_utf8(&of.signer.0[..2]).unwrap();
            let (used, key) = (of.used, of.budget.key);
            let (period, number) = (key.period.name(), of.number);
            (format!("{name}:{used}/{}/{period}{number}", of.budget.amount), vec![of])
        };
        near.map(word).collect()
    }

    /// What was owed in the oldest window that has not left.
    fn left(&mut self) -> String {
        let number = self.cut.pop_front().expect("a window was cut");
        let late = self.shards.iter_mut().filter_map(|shard| shard.leave(usize::MAX));
        self.parts.extend(late);
        let parts = self.parts.extract_if(.., |part| part.window() == number).collect::<Vec<_>>();
        assert_eq!(parts.len(), self.shards.len(), "each shard has its part");
        let (first_lsn, cut_lsn, carried) = (Lsn(1), self.lsn, Vec::new());
        let cut = Cut { number, first_lsn, cut_lsn, cut_at: self.at, carried };
        let sealed = seal(cut, parts).window;
        told(sealed.assets.values().flat_map(|of| &of.obligations))
    }

    fn event(&mut self, kind: &str, line: &mut Line<'_>) -> Event {
        match kind {
            "asset" => {
                let (number, scale) = (asset(line.word()), line.read());
                let (code, model) = ("EUR".into(), SettlementModel::Bilateral);
                let asset = AssetDef { number, code, scale, model };
                Event::from(AssetCreated { asset })
            }
            "party" | "resume" | "suspend" => {
                let (party, suspended) = (party(line.word()), kind == "suspend");
                self.parties.insert(party);
                let (name, accounts) = (as_sealed(""), Vec::new());
                Event::from(PartyUpserted { party, name, suspended, accounts })
            }
            "key" => {
                let (signer, party) = (key(line.word()), party(line.word()));
                self.payers.insert(signer, party);
                let rest = line.rest();
                let cap = |word: &str| {
                    let (code, amount) = word.split_once(':').expect("asset:amount");
                    Cap { asset: asset(code), amount: Amount(amount.parse().unwrap()) }
                };
                let caps = rest.split_whitespace().map(cap).collect();
                Event::from(SignerAdded { signer, party, caps })
            }
            "budgets" => {
                let signer = key(line.word());
                let budgets = line.rest().split_whitespace().map(budget).collect();
                Event::from(BudgetsSet { signer, budgets })
            }
            "warned" => {
                let uses = self.near().into_iter().flat_map(|(_, uses)| uses).collect();
                Event::from(BudgetsWarned { uses })
            }
            "revoke" => Event::from(SignerRevoked { signer: key(line.word()) }),
            "limit" | "deposit" | "returned" | "release" => {
                let (party, asset) = (party(line.word()), asset(line.word()));
                money(kind, party, asset, line)
            }
            _ => panic!("{kind:?} is no step"),
        }
    }
}

/// `eur:50/day` or, to one payee, `eur:50/day@B`.
fn budget(word: &str) -> Budget {
    let (code, rest) = word.split_once(':').expect("asset:amount/period");
    let (amount, rest) = rest.split_once('/').expect("amount/period");
    let (period, payee) = match rest.split_once('@') {
        Some((period, payee)) => (period, Some(party(payee))),
        None => (rest, None),
    };
    let period = Period::ALL.into_iter().find(|one| one.name() == period).expect("a period");
    let key = BudgetKey { asset: asset(code), period, payee };
    Budget { key, amount: Amount(amount.parse().unwrap()) }
}

fn money(kind: &str, party: PartyId, asset: AssetNumber, line: &mut Line<'_>) -> Event {
    let (batch, amount) = (BatchId::ZERO, Total(line.read()));
    match kind {
        "limit" => Event::from(CreditLimitSet { party, asset, limit: amount }),
        "deposit" => {
            let reference = String::new();
            Event::from(DepositRecorded { party, asset, amount, reference })
        }
        "release" => {
            let prefund = Total(line.read());
            let releases = vec![Release { place: 0, party, unsettled: amount, prefund }];
            Event::from(ExposureReleased { batch, asset, releases })
        }
        _ => {
            let (leg, to, reference, reason) =
                (0, LegState::Returned, String::new(), String::new());
            let (payer, payee) = (party, PartyId::CLEARING);
            let moves = vec![LegMove { leg, to, payer, payee, amount, reference, reason }];
            let (mover, evidence) = (Mover::Rail, Digest::ZERO);
            Event::from(LegsMoved { batch, asset, mover, evidence, moves, signature: [0; 64] })
        }
    }
}

/// Tells a story to one shard and to three; gives the outcomes that it had.
fn play(table: &str) -> BTreeSet<Outcome> {
    let mut seen = BTreeSet::new();
    for count in [1, 3] {
        let mut world = World::new(count);
        world.play(tables::NETWORK);
        world.play(table);
        world.all_headroom_is_used();
        seen.append(&mut world.seen);
    }
    seen
}

#[test]
fn only_a_known_key_pays_and_no_suspended_party_pays_or_is_paid() {
    play(tables::WHO);
}

#[test]
fn a_voucher_counts_until_the_second_in_which_it_expires_and_not_longer_than_the_network_allows() {
    play(tables::TIME);
}

#[test]
fn only_the_rise_of_a_channels_total_is_owed_and_only_once() {
    play(tables::TOTALS);
}

#[test]
fn each_window_owes_what_rose_in_it_and_no_voucher_counts_in_two() {
    play(tables::WINDOWS);
}

#[test]
fn nobody_owes_more_than_limit_and_deposits_or_than_any_party_may() {
    play(tables::LIMITS);
}

#[test]
fn no_key_credits_more_than_its_cap_for_as_long_as_it_lives() {
    play(tables::CAPS);
}

#[test]
fn no_key_credits_more_than_its_budgets_and_the_next_period_begins_at_nothing() {
    play(tables::BUDGETS);
}

#[test]
fn a_budget_that_is_set_anew_keeps_what_was_used_and_an_owner_is_told_once_a_period() {
    play(tables::CHANGES);
}

#[test]
fn a_new_channel_needs_room_with_its_key_and_its_party() {
    play(tables::CHANNELS);
}

#[test]
fn of_two_reasons_against_a_voucher_the_first_is_told() {
    play(tables::ORDER);
}

/// An outcome without a line is one of which nobody has said when it comes.
#[test]
fn every_outcome_of_the_rule_has_its_line() {
    let seen: BTreeSet<Outcome> = tables::ALL.iter().flat_map(|table| play(table)).collect();
    // Who sends it is the edge's to know.
    let of_the_rule = Outcome::ALL.into_iter().filter(|of| *of != Outcome::OutOfScope);
    assert_eq!(seen, of_the_rule.collect());
}

/// Whoever says that a voucher is stale has not looked at its signature.
#[test]
#[should_panic = "what is certainly stale raises no total"]
fn a_voucher_that_was_said_to_be_stale_and_is_not_stops_the_engine() {
    play("pay a1 B eur 1 2000 10 certain stale");
}
