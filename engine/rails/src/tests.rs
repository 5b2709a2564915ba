//! What the files of whole batches must be: valid under the official schema, equal to the sums of
//! the ledger, the same bytes for ever.
//!
//! `xmllint` is the independent reader; the schema and its source are in `tests/schemas`.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use tallystick_ledger::types::{
    AssetNumber, Digest, Lsn, PartyId, SettlementModel, Timestamp, Total, WindowNumber,
};
use tallystick_ledger::{Account, AssetSeal, Obligation, SealedAsset, SealedWindow, WindowTotals};

pub(super) const BILATERAL: SettlementModel = SettlementModel::Bilateral;
pub(super) const MULTILATERAL: SettlementModel = SettlementModel::Multilateral;
const SCHEMA: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/schemas/pain.001.001.09.xsd");
/// 2026-11-27 is a Friday.
const CUT_AT: Timestamp = Timestamp(1_795_822_245_123_456);

pub(super) fn party(number: u16) -> PartyId {
    let mut id = PartyId::ZERO;
    id.0[0] = 0xa0;
    id.0[30..].copy_from_slice(&number.to_be_bytes());
    id
}

pub(super) fn asset(code: &str, scale: u32, model: SettlementModel) -> AssetDef {
    AssetDef { number: AssetNumber(978), code: code.into(), scale, model }
}

fn placeholder() -> Vec<(String, String)> {
    CLEARING_PLACEHOLDER.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}

/// A German account whose check digits are computed here, apart from the code that checks them.
fn iban(number: u128) -> String {
    let bban = 370_400_440_000_000_000 + number;
    format!("DE{:02}{bban:018}", 98 - (bban * 1_000_000 + 131_400) % 97)
}

fn account(party: PartyId, name: &str) -> Account {
    let number = u16::from_be_bytes([party.0[30], party.0[31]]);
    let mut fields = BTreeMap::from([("iban".to_owned(), iban(number.into()))]);
    if number.is_multiple_of(2) {
        fields.insert("bic".into(), "COBADEFFXXX".into());
    }
    let fields = check_account("iso20022", &fields).unwrap().fields;
    Account { name: name.into(), fields }
}

/// A sealed window of one asset in which only who owes whom in the end matters.
pub(super) fn window(
    asset: &AssetDef,
    cut_at: Timestamp,
    net: impl Iterator<Item = Obligation>,
) -> Arc<SealedWindow> {
    let seal = AssetSeal {
        asset: asset.number,
        obligations_root: Digest::ZERO,
        positions_root: Digest::ZERO,
        carried_in: Total::ZERO,
        totals: WindowTotals::default(),
    };
    let (net, positions) = (net.collect(), Vec::new());
    let (obligations, evidence, carried) = (Vec::new(), Vec::new(), Vec::new());
    let sealed = SealedAsset { obligations, evidence, carried, net, positions, seal };
    Arc::new(SealedWindow {
        number: WindowNumber(7),
        first_lsn: Lsn(1),
        cut_lsn: Lsn(2),
        cut_at,
        credited: 1,
        assets: BTreeMap::from([(asset.number, sealed)]),
        root: Digest([7; 32]),
    })
}

/// The batch of one window in which the first of each triple owes the second the third.
pub(super) fn batch(
    asset: &AssetDef,
    owed: &[(u16, u16, u128)],
    name: &dyn Fn(PartyId) -> String,
) -> OpenBatch {
    let net = owed.iter().map(|&(payer, payee, amount)| Obligation {
        payer: party(payer),
        payee: party(payee),
        amount: Total(amount),
    });
    let window = window(asset, CUT_AT, net);
    let policy = policy(Rail::Iso20022, asset, &placeholder()).unwrap();
    let account = |party| Some(account(party, &name(party)));
    opened::compute(&[window], asset, &policy, account, |_| Total::ZERO).unwrap()
}

pub(super) fn plain(party: PartyId) -> String {
    format!("Agent {}", party.0[31])
}

/// The records of a batch.
fn records(content: &OpenBatch) -> BTreeMap<String, String> {
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let Ok(()) = export(content, &mut |name, piece: &[u8]| {
        files.entry(name.into()).or_default().extend_from_slice(piece);
        Ok::<(), Infallible>(())
    });
    files.into_iter().map(|(name, bytes)| (name, String::from_utf8(bytes).unwrap())).collect()
}

/// The same, and what the bank would get if all of the batch left at once.
fn files(content: &OpenBatch) -> BTreeMap<String, String> {
    let mut files = records(content);
    if content.legs.iter().any(|leg| !leg.payment.is_pay_in()) {
        let mut bytes = Vec::new();
        iso20022::render_part(content, 0, &mut bytes).unwrap();
        let name = format!("{}.pain.001.xml", short_id(content));
        files.insert(name, String::from_utf8(bytes).unwrap());
    }
    files
}

/// An export once held the bank's file: the same payments as the file in the outbox, under a
/// message id of its own, so that a bank which goes by that id alone paid them twice.
#[test]
fn an_export_holds_nothing_that_a_bank_executes() {
    for model in [BILATERAL, MULTILATERAL] {
        let content = batch(&asset("EUR", 6, model), &OWED, &plain);
        let records = records(&content);
        let ends: Vec<&str> =
            records.keys().map(|name| name.split_once('.').expect("a file name").1).collect();
        assert_eq!(ends, ["legs.csv", "legs.json"]);
        for text in records.values() {
            assert!(!text.contains("<Document") && !text.contains("MsgId"), "{text}");
        }
    }
}

/// The list said whom to ask for money by 64 digits only, although the party's name and account
/// were known.
#[test]
fn a_list_of_pay_ins_names_who_is_to_pay() {
    let content = batch(&asset("EUR", 6, MULTILATERAL), &OWED, &plain);
    let pay_ins: Vec<u32> = (0..u32::try_from(content.head.pay_in_count).unwrap()).collect();
    let known = |of: PartyId| match of {
        // One has no account: the name is there all the same.
        one if one == party(1) => Some(Account { name: "Agent 1".into(), fields: Vec::new() }),
        other => Some(account(other, &plain(other))),
    };
    let part = Part::new(&content, &pay_ins, 0).naming(known);
    assert!(part.is_list() && part.file().unwrap().name().ends_with(PAY_INS_ENDING));
    let mut bytes = Vec::new();
    part.file().unwrap().write(&mut bytes).unwrap();
    let mut reader = csv::Reader::from_reader(bytes.as_slice());
    let columns = reader.headers().unwrap().clone();
    let at = |name: &str| columns.iter().position(|column| column == name).unwrap();
    let rows: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().unwrap();
    assert_eq!(rows.len(), pay_ins.len());
    for (row, leg) in rows.iter().zip(content.legs.iter()) {
        let payer = leg.payment.from;
        assert_eq!(&row[at("from_name")], plain(payer));
        let iban = account(payer, "").field("iban").unwrap_or_default().to_owned();
        assert_eq!(row[at("from_iban")], if payer == party(1) { String::new() } else { iban });
    }
    // What a bank executes is made from the batch alone.
    let paid: Vec<u32> = (u32::try_from(pay_ins.len()).unwrap()
        ..u32::try_from(content.legs.len()).unwrap())
        .collect();
    let part = Part::new(&content, &paid, 1).naming(|_| panic!("nobody is asked"));
    assert!(!part.is_list());
}

/// The file whose name ends so, if it was written.
fn file(content: &OpenBatch, end: &str) -> Option<String> {
    files(content).into_iter().find(|(name, _)| name.ends_with(end)).map(|(_, text)| text)
}

fn xml(content: &OpenBatch) -> String {
    file(content, ".pain.001.xml").expect("the batch pays somebody")
}

pub(super) fn xmllint(arguments: &[&str], file: &str) -> String {
    let child = Command::new("xmllint")
        .args(arguments)
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child =
        child.expect("xmllint is needed to test bank files: apt-get install libxml2-utils");
    child.stdin.take().unwrap().write_all(file.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let (out, err) = (output.stdout, String::from_utf8_lossy(&output.stderr).into_owned());
    assert!(output.status.success(), "xmllint {arguments:?}: {err}");
    String::from_utf8(out).unwrap().trim().to_owned()
}

fn xpath(expression: &str, file: &str) -> String {
    xmllint(&["--xpath", expression], file)
}

/// Asserts what neither the schema nor the writer's own sums can be trusted with.
fn assert_sound(content: &OpenBatch) {
    let file = xml(content);
    xmllint(&["--noout", "--schema", SCHEMA], &file);
    let payouts: Vec<_> = content.legs.iter().filter(|leg| !leg.payment.is_pay_in()).collect();
    let element = |name: &str| format!("//*[local-name()=\"{name}\"]");
    let (amount, header) = (element("InstdAmt"), element("GrpHdr"));
    // XPath counts in floating point: it sees a leg that is missing or wrong, the cents are below.
    let equal = |left: String, right: String| {
        format!("{left} - {right} < 0.01 and {right} - {left} < 0.01")
    };
    let in_header = |name: &str| format!("number({header}/*[local-name()=\"{name}\"])");
    let in_blocks = |name: &str| format!("sum({}/*[local-name()=\"{name}\"])", element("PmtInf"));
    let facts = [
        equal(format!("sum({amount})"), in_header("CtrlSum")),
        equal(in_blocks("CtrlSum"), in_header("CtrlSum")),
        equal(format!("count({})", element("CdtTrfTxInf")), payouts.len().to_string()),
        equal(in_header("NbOfTxs"), payouts.len().to_string()),
        equal(in_blocks("NbOfTxs"), payouts.len().to_string()),
    ];
    let facts = facts.join(" and ");
    assert_eq!(xpath(&facts, &file), "true", "{facts}");

    let values = |name: &str| -> Vec<&str> {
        let (open, close) = (format!("<{name}"), format!("</{name}>"));
        let rest = file.split(open.as_str()).skip(1);
        rest.map(|at| at.split_once('>').unwrap().1.split_once(&close).unwrap().0).collect()
    };
    let keys = values("EndToEndId");
    assert_eq!(keys, payouts.iter().map(|leg| leg.key.as_str()).collect::<Vec<_>>());
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len());
    let blocks = values("PmtInfId");
    assert_eq!(blocks.iter().collect::<BTreeSet<_>>().len(), blocks.len());
    assert!(keys.iter().chain(&blocks).chain(&values("MsgId")).all(|id| id.len() <= 35));
    assert!(!file.contains("<UETR"));
    // The sum again in integers, from the text.
    let digits = |text: &str| text.replace('.', "").parse::<u128>().unwrap();
    let written: u128 = values("InstdAmt").iter().map(|text| digits(text)).sum();
    assert_eq!(written, digits(values("CtrlSum")[0]));
    let policy = &content.head.policy;
    let point = |text: &str| text.split_once('.').map_or(0, |(_, part)| part.len());
    let scale = u32::try_from(point(values("CtrlSum")[0])).unwrap();
    assert_eq!(written * content.head.asset.whole().0, content.head.total.0 * 10u128.pow(scale));
    assert!(policy.unit <= policy.least && policy.least <= policy.most);
}

/// Who owes whom in the small batches below, in millionths of a euro: dust, a sum above the largest
/// payment, parties on both sides.
pub(super) const OWED: [(u16, u16, u128); 6] = [
    (1, 2, 12_345_678),
    (1, 3, 1_999_999_999_990_001),
    (2, 3, 10_000),
    (3, 4, 9_999),
    (4, 1, 5_000_000),
    (5, 6, 250_000),
];

fn nasty(party: PartyId) -> String {
    match party.0[31] % 8 {
        0 => "<Ä&\"Ö'> ]]> <!-- -->".into(),
        1 => "🤖🤖 robot 🤖".into(),
        2 => "é".repeat(128),
        3 => "a\0b\u{1}c\u{b}d\u{fffe}\u{85}\r\n\te".into(),
        4 => "=HYPERLINK(\"http://x\",\"y\"), \"quoted\"".into(),
        5 => " ".into(),
        6 => "x".repeat(300),
        _ => "株式会社 \u{202e}evil &amp; &#0;".into(),
    }
}

/// `TALLYSTICK_GOLDEN=write` writes the golden files anew: read the difference before you commit
/// it.
fn assert_golden(golden: &str, text: &str) {
    let path = format!("{}/src/golden/{golden}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var("TALLYSTICK_GOLDEN").as_deref() == Ok("write") {
        std::fs::write(&path, text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == text, "{path} differs from what is written now:\n{text}");
}

#[test]
fn small_batches_are_the_golden_files_byte_for_byte() {
    for (name, model) in [("bilateral", BILATERAL), ("multilateral", MULTILATERAL)] {
        let content = batch(&asset("EUR", 6, model), &OWED, &plain);
        let written = files(&content);
        let short = &content.head.id.to_string()[..16];
        let ends = ["legs.csv", "legs.json", "pain.001.xml"];
        let expected: Vec<String> = ends.iter().map(|end| format!("{short}.{end}")).collect();
        assert_eq!(written.keys().cloned().collect::<Vec<_>>(), expected);
        for end in ends {
            assert_golden(&format!("{name}.{end}"), &written[&format!("{short}.{end}")]);
        }
        assert_sound(&content);
    }
}

#[test]
fn files_with_1_and_2_and_1000_legs_are_valid_under_the_official_schema() {
    for model in [BILATERAL, MULTILATERAL] {
        for legs in [1u16, 2, 1_000] {
            let owed: Vec<_> = (0..legs)
                .map(|i| (1 + i % 7, 100 + i, 1_000_000 + u128::from(i) * 10_000))
                .collect();
            let content = batch(&asset("EUR", 6, model), &owed, &nasty);
            let payouts = content.legs.iter().filter(|leg| !leg.payment.is_pay_in()).count();
            assert_eq!(payouts, usize::from(legs));
            assert_sound(&content);
        }
    }
}

#[test]
fn currencies_of_every_number_of_digits_give_valid_files() {
    for (code, scale) in
        [("USD", 2), ("JPY", 0), ("JPY", 6), ("KWD", 6), ("CLF", 4), ("EUR", 0), ("EUR", 18)]
    {
        let asset = asset(code, scale, BILATERAL);
        let one = asset.whole().0;
        let content =
            batch(&asset, &[(1, 2, 3 * one), (2, 3, 2_000_000_000 * one), (4, 5, one)], &plain);
        assert_sound(&content);
        let file = xml(&content);
        assert_eq!(file.contains("<Cd>SEPA</Cd>"), code == "EUR");
        assert_eq!(file.contains("<ChrgBr>SLEV</ChrgBr>"), code == "EUR");
        assert_eq!(file.contains("<ChrgBr>SHAR</ChrgBr>"), code != "EUR");
    }
}

#[test]
fn a_control_sum_that_the_schema_cannot_hold_is_left_out() {
    let asset = asset("KWD", 3, BILATERAL);
    let mut content = batch(&asset, &[(1, 2, 1)], &plain);
    let mut leg = Arc::make_mut(&mut content.legs).remove(0);
    leg.payment.amount = content.head.policy.most;
    // A million legs of the largest amount are 10^18 thousandths: 19 digits.
    content.legs = Arc::new(vec![leg; 1_000_001]);
    Arc::make_mut(&mut content.head).total = Total(content.head.policy.most.0 * 1_000_001);
    let mut start = Vec::new();
    let mut take = |_: &str, piece: &[u8]| {
        start.extend_from_slice(piece);
        Err(())
    };
    let stopped = sink::file("f", &mut take, |out| iso20022::render_part(&content, 0, out));
    assert_eq!(stopped, Err(()));
    let start = String::from_utf8_lossy(&start);
    assert!(start.contains("<NbOfTxs>1000001</NbOfTxs>") && !start.contains("CtrlSum"));
}

#[test]
fn a_batch_that_pays_nobody_has_no_bank_file_and_says_so_in_the_others() {
    let content = batch(&asset("EUR", 6, BILATERAL), &[(1, 2, 9_999)], &plain);
    assert_eq!((content.legs.len(), content.head.carries.len()), (0, 1));
    let written = files(&content);
    assert_eq!(written.len(), 2);
    let json: serde_json::Value =
        serde_json::from_str(&file(&content, ".legs.json").unwrap()).unwrap();
    assert_eq!(json["carries"][0]["amount"], "0.009999");
    assert_eq!(json["control"]["legs"], 0);
}

#[test]
fn csv_is_read_back_with_every_leg_and_no_formula() {
    let owed: Vec<_> = (0..32).map(|i| (1 + i % 3, 100 + i, 1_000_000 + u128::from(i))).collect();
    for model in [BILATERAL, MULTILATERAL] {
        let content = batch(&asset("EUR", 6, model), &owed, &nasty);
        let text = file(&content, ".legs.csv").unwrap();
        assert_eq!(text.lines().count(), 1 + content.legs.len());
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let columns = reader.headers().unwrap().clone();
        let rows: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().unwrap();
        assert_eq!(rows.len(), content.legs.len());
        for (row, leg) in rows.iter().zip(content.legs.iter()) {
            let cell = |name: &str| &row[columns.iter().position(|column| column == name).unwrap()];
            assert_eq!(cell("key"), leg.key);
            assert_eq!(cell("amount_units"), leg.payment.amount.to_string());
            assert_eq!(cell("from"), leg.payment.from.to_string());
            assert_eq!(cell("to"), leg.payment.to.to_string());
            assert_eq!(cell("kind") == "pay_in", leg.payment.is_pay_in());
            assert!(row.iter().all(|cell| !cell.trim().starts_with(['=', '+', '-', '@'])));
        }
    }
}

#[test]
fn json_holds_every_leg_and_names_as_they_are() {
    let content = batch(&asset("EUR", 6, MULTILATERAL), &OWED, &nasty);
    let text = file(&content, ".legs.json").unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let legs = json["legs"].as_array().unwrap();
    assert_eq!(legs.len(), content.legs.len());
    assert_eq!(json["carries"].as_array().unwrap().len(), content.head.carries.len());
    assert_eq!(json["batch_id"], content.head.id.to_string());
    assert_eq!(json["total"]["amount_units"], content.head.total.to_string());
    for (line, leg) in legs.iter().zip(content.legs.iter()) {
        assert_eq!(line["key"], leg.key);
        assert_eq!(line["amount_units"], leg.payment.amount.to_string());
        if let Some(account) = content.accounts.get(&leg.payment.to) {
            assert_eq!(line["to"]["name"], account.name);
            assert_eq!(line["to"]["account"]["iban"], account.field("iban").unwrap());
        }
    }
}

#[test]
fn accounts_are_normalised_and_unknown_rails_and_fields_named() {
    let map = |fields: &[(&str, &str)]| -> BTreeMap<String, String> {
        fields.iter().map(|&(name, value)| (name.into(), value.into())).collect()
    };
    let iban = ("iban", "de89 3704 0044 0532 0130 00");
    let checked = check_account("iso20022", &map(&[iban, ("bic", "cobadeffxxx")])).unwrap();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let fields = [pair("bic", "COBADEFFXXX"), pair("iban", "DE89370400440532013000")];
    assert_eq!((checked.rail.as_str(), checked.fields.as_slice()), ("iso20022", fields.as_slice()));

    let error = |rail: &str, fields: &[(&str, &str)]| {
        check_account(rail, &map(fields)).unwrap_err().to_string()
    };
    assert!(error("sepa", &[iban]).contains("iso20022, nacha, card, evm"));
    assert!(error("iso20022", &[iban, ("name", "x")]).contains("iban and bic"));
    assert!(error("iso20022", &[]).contains("\"iban\" is missing"));
    assert!(error("iso20022", &[("iban", " ")]).contains("\"iban\" is missing"));
    for rail in Rail::ALL.map(Rail::name) {
        let card = error(rail, &[("iban", "4111 1111 1111 1111")]);
        assert!(card.contains("card") && !card.contains("4111"), "{card}");
    }
}

#[test]
fn the_clearing_account_is_checked_and_the_placeholder_is_known() {
    let fields: BTreeMap<_, _> = placeholder().into_iter().collect();
    assert_eq!(check_clearing(Rail::Iso20022, &fields), Ok(placeholder()));
    assert!(is_placeholder(&placeholder()));

    let mut real = fields.clone();
    real.insert("iban".into(), "DE89 3704 0044 0532 0130 00".into());
    assert!(!is_placeholder(&check_clearing(Rail::Iso20022, &real).unwrap()));
    for bad in ["", " ", "東京", "..."] {
        real.insert("name".into(), bad.into());
        assert!(check_clearing(Rail::Iso20022, &real).is_err(), "{bad:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is owed, the file pays exactly the batch's total, and total and carry are what was
    /// owed.
    #[test]
    fn the_file_pays_exactly_what_the_batch_says(
        owed in prop::collection::vec((0u16..40, 0u16..40, 1u128..=u128::from(u64::MAX)), 1..60),
        scale in 0u32..=18,
        code in prop::sample::select(vec!["EUR", "USD", "JPY", "KWD"]),
        multilateral: bool,
    ) {
        let model = if multilateral { MULTILATERAL } else { BILATERAL };
        let asset = asset(code, scale, model);
        let most = policy(Rail::Iso20022, &asset, &placeholder()).unwrap().most.0;
        // At most a few parts a payment, so that a case stays small.
        let owed: Vec<_> = owed
            .into_iter()
            .filter(|(payer, payee, _)| payer != payee)
            .map(|(payer, payee, amount)| (payer, payee, 1 + amount % most.saturating_mul(3)))
            .collect();
        prop_assume!(!owed.is_empty());
        let mut net: BTreeMap<u16, i128> = BTreeMap::new();
        for &(from, to, amount) in &owed {
            let amount = i128::try_from(amount).unwrap();
            *net.entry(from).or_default() -= amount;
            *net.entry(to).or_default() += amount;
        }
        prop_assume!(net.values().any(|&net| net != 0));
        let content = batch(&asset, &owed, &plain);
        if multilateral {
            let due: i128 = net.values().filter(|&&net| net > 0).sum();
            prop_assert_eq!(content.head.total.0 + content.head.carried.0, due.unsigned_abs());
        }
        if content.head.total > Total::ZERO {
            assert_sound(&content);
        }
    }
}

#[test]
fn a_part_with_all_payments_is_the_file_of_the_batch_and_parts_share_its_accounts() {
    let asset = asset("EUR", 2, MULTILATERAL);
    let owed = [(1, 2, 700), (1, 3, 900), (4, 3, 100), (1, 5, 300)];
    let content = batch(&asset, &owed, &plain);
    let first = u32::try_from(content.head.pay_in_count).unwrap();
    let paid: Vec<u32> = (first..u32::try_from(content.legs.len()).unwrap()).collect();
    let part = Part::new(&content, &paid, 0);
    let mut bytes = Vec::new();
    part.file().unwrap().write(&mut bytes).unwrap();
    assert_eq!(String::from_utf8(bytes).unwrap(), xml(&content));
    let split = split(&content, &paid);
    assert_eq!(split.concat(), paid);
    assert!(Arc::ptr_eq(&part.content().accounts, &content.accounts));
}
