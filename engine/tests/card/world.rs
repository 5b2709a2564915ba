//! A provider, a client of it, and legs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tallystick::ledger::{Account, BatchHead, Leg, OpenBatch, Payment, Rail};
use tallystick::rails::card::{
    API_VERSION, Answer, CallBytes, CardConfig, Client, Secret, request,
};
use tallystick::rails::{self, check_account};
use tallystick::types::{
    AssetDef, AssetNumber, BatchId, LegKeys, PartyId, SettlementModel, Timestamp, Total,
    WindowNumber,
};
use tallystick_tests::psp::{Options, Psp};

pub const SECRET_KEY: &str = "sk_test_4eC39HqLyjWDarjtT1zdp7dc";
pub const WEBHOOK_SECRET: &str = "whsec_5WbX5kEWLlfzsGNjH64I8lOOqUB6e8FH";
/// Longer than any answer takes here, however busy the machine is.
pub const PATIENT: Duration = Duration::from_secs(30);
/// For whoever calls what is slow: shorter than slow in any case.
pub const IMPATIENT: Duration = Duration::from_millis(300);

pub fn options() -> Options {
    let mut options = Options::new(SECRET_KEY);
    // Slow is until the test says `hurry`.
    options.faults.slow_millis = 600_000;
    options.faults.retry_after = 0;
    options.hooks.secret = WEBHOOK_SECRET.into();
    options
}

pub fn psp() -> Psp {
    Psp::start(options()).unwrap()
}

pub fn config(url: &str) -> CardConfig {
    CardConfig {
        base_url: url.into(),
        secret_key: Secret::new(SECRET_KEY.into()),
        webhook_secret: Secret::new(WEBHOOK_SECRET.into()),
        timeout: PATIENT,
        api_version: API_VERSION.into(),
    }
}

pub fn client(psp: &Psp) -> Client {
    Client::new(config(&psp.url())).unwrap()
}

/// One that gives up soon.
pub fn impatient(psp: &Psp) -> Client {
    Client::new(CardConfig { timeout: IMPATIENT, ..config(&psp.url()) }).unwrap()
}

pub fn asset() -> AssetDef {
    let model = SettlementModel::Multilateral;
    AssetDef { number: AssetNumber(978), code: "EUR".into(), scale: 6, model }
}

fn party_id(number: u16) -> PartyId {
    let mut id = PartyId([0x51; 32]);
    id.0[30..].copy_from_slice(&number.to_be_bytes());
    id
}

/// One party and its leg.
pub struct Party {
    number: u16,
    fields: BTreeMap<String, String>,
    cents: i64,
}

/// A party with that account, which pays in so many cents or, if they are negative, is paid.
pub fn party(number: u16, fields: &[(&str, &str)], cents: i64) -> Party {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Party { number, fields: fields.iter().map(own).collect(), cents }
}

/// A batch with one leg for each party.
pub fn batch(parties: &[Party]) -> OpenBatch {
    let asset = asset();
    let clearing = BTreeMap::from([("account".to_owned(), "acct_clearing".to_owned())]);
    let clearing = rails::check_clearing(Rail::Card, &clearing).unwrap();
    let policy = rails::policy(Rail::Card, &asset, &clearing).unwrap();
    let keys = LegKeys::new(BatchId([0xcd; 32]));
    let mut content = OpenBatch {
        head: Arc::new(BatchHead {
            id: BatchId([0xcd; 32]),
            windows: vec![WindowNumber(1)],
            cut_at: Timestamp(1_795_822_245_123_456),
            asset,
            policy,
            leg_count: u64::try_from(parties.len()).unwrap(),
            pay_in_count: 0,
            pay_in_total: Total::ZERO,
            total: Total::ZERO,
            carried: Total::ZERO,
            carries: Vec::new(),
            prefunded: Vec::new(),
        }),
        legs: Arc::default(),
        accounts: Arc::default(),
    };
    for Party { number, fields, cents } in parties {
        let party = party_id(*number);
        let fields = check_account("card", fields).unwrap().fields;
        Arc::make_mut(&mut content.accounts)
            .insert(party, Account { name: format!("Agent {number}"), fields });
        let amount = Total(u128::from(cents.unsigned_abs()) * 10_000);
        let clearing = PartyId::CLEARING;
        let (from, to) = if *cents > 0 { (party, clearing) } else { (clearing, party) };
        let key = keys.key(from, to, 0);
        Arc::make_mut(&mut content.legs)
            .push(Leg { key, payment: Payment { from, to, amount, part: 0 } });
    }
    content
}

pub fn calls(content: &OpenBatch) -> Vec<CallBytes> {
    let call = |leg| request(leg, content, API_VERSION).unwrap();
    content.legs.iter().map(call).collect()
}

/// The call of one leg: 12.34 EUR.
pub fn call(fields: &[(&str, &str)], cents: i64) -> CallBytes {
    calls(&batch(&[party(1, fields, cents)])).remove(0)
}

pub const DEBTOR: [(&str, &str); 2] = [("customer", "cus_1A"), ("payment_method", "pm_1B")];

pub fn charge() -> CallBytes {
    call(&DEBTOR, 1_234)
}

/// An answer in one word.
pub fn word(answer: &Answer) -> &'static str {
    match answer {
        Answer::Accepted { .. } => "accepted",
        Answer::Confirmed { .. } => "confirmed",
        Answer::Open { .. } => "open",
        Answer::Rejected { .. } => "rejected",
        Answer::Returned { .. } => "returned",
        Answer::Unknown { alarm: false, .. } => "unknown",
        Answer::Unknown { alarm: true, .. } => "alarm",
        Answer::Later { .. } => "later",
        Answer::Halt { .. } => "halt",
    }
}

pub fn reference(answer: &Answer) -> String {
    answer.report("").map(|report| report.reference).unwrap_or_default()
}

pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp(i64::try_from(since.as_micros()).unwrap())
}

/// Polls until `done`, for a minute at most.
pub fn until(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(60), "it did not happen: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
