//! The legs of a batch as CSV and as JSON: all of them, pay-ins too, for people and their programs.
//!
//! Owns the columns and members. Knows rails only by the fields of their accounts. Written from
//! front to back; only the JSON head (the batch without its legs) is ever held in memory.

use serde::{Serialize, Serializer};
use std::fmt::Display;
use std::io::{self, BufWriter, Write};
use tallystick_ledger::batch::field;
use tallystick_ledger::types::{BatchId, PartyId, SettlementModel, Total};
use tallystick_ledger::{BatchHead, Leg, Obligation, OpenBatch, Payment};

/// How the rail writes an amount; both files say it in the same words.
pub type AmountText<'a> = &'a dyn Fn(Total) -> String;

const COLUMNS: [&str; 14] = [
    "key",
    "kind",
    "part",
    "amount_units",
    "amount",
    "asset",
    "from",
    "from_name",
    "from_iban",
    "from_bic",
    "to",
    "to_name",
    "to_iban",
    "to_bic",
];

/// Writes the legs as CSV (RFC 4180, lines end in LF): a header, then one line a leg.
pub fn csv(content: &OpenBatch, amount: AmountText<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mut csv = csv::WriterBuilder::new().from_writer(out);
    csv.write_record(COLUMNS)?;
    for leg in content.legs.iter() {
        let Payment { from, to, amount: units, part } = leg.payment;
        let (from, to) = (Side::of(content, from), Side::of(content, to));
        csv.write_record([
            leg.key.as_str(),
            kind(&leg.payment),
            &part.to_string(),
            &units.to_string(),
            &amount(units),
            &content.head.asset.code,
            &from.party.to_string(),
            &cell(from.name),
            from.field("iban"),
            from.field("bic"),
            &to.party.to_string(),
            &cell(to.name),
            to.field("iban"),
            to.field("bic"),
        ])?;
    }
    csv.flush()
}

/// Free text in a cell: on one line, and never a formula for the program that opens the file.
fn cell(text: Option<&str>) -> String {
    let text = text.unwrap_or_default();
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.trim_start().starts_with(['=', '+', '-', '@']) { format!("'{line}") } else { line }
}

fn kind(payment: &Payment) -> &'static str {
    match (payment.from == PartyId::CLEARING, payment.is_pay_in()) {
        (_, true) => "pay_in",
        (true, false) => "pay_out",
        (false, false) => "pair",
    }
}

/// Writes the batch as one JSON object, one line a leg and a carry.
pub fn json(content: &OpenBatch, amount: AmountText<'_>, out: &mut dyn Write) -> io::Result<()> {
    // The many small pieces of an object cost no call through `dyn` each.
    let out = &mut BufWriter::new(out);
    // What is carried is mostly less than the rail can write: all digits of the asset.
    let full = |sum: Total| sum.decimal(content.head.asset.scale);
    let head = serde_json::to_string(&Head::of(content, amount, &full))?;
    let open = head.strip_suffix('}').expect("an object ends in a brace");
    out.write_all(open.as_bytes())?;
    let legs = content.legs.iter().map(|leg| LegLine::of(content, leg, amount));
    list(out, "legs", legs)?;
    let carries = content.head.carries.iter().map(|carry| CarryLine::of(carry, &full));
    list(out, "carries", carries)?;
    out.write_all(b"}\n")?;
    out.flush()
}

fn list<T: Serialize>(
    out: &mut impl Write,
    name: &str,
    items: impl Iterator<Item = T>,
) -> io::Result<()> {
    write!(out, ",\n\"{name}\":[")?;
    let mut between = "\n";
    for item in items {
        out.write_all(between.as_bytes())?;
        serde_json::to_writer(&mut *out, &item)?;
        between = ",\n";
    }
    out.write_all(b"\n]")
}

/// A sum: in asset units, and in whole units of the asset for people.
#[derive(Serialize)]
struct Money {
    amount_units: String,
    amount: String,
}

impl Money {
    fn of(sum: Total, amount: AmountText<'_>) -> Self {
        Self { amount_units: sum.to_string(), amount: amount(sum) }
    }
}

/// One end of a leg. Name and account are absent where the batch does not hold them: for a party
/// that pays in, which needs no account on the rail.
#[derive(Serialize)]
struct Side<'a> {
    #[serde(serialize_with = "as_text")]
    party: PartyId,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(serialize_with = "as_object", skip_serializing_if = "<[_]>::is_empty")]
    account: &'a [(String, String)],
}

impl<'a> Side<'a> {
    fn of(content: &'a OpenBatch, party: PartyId) -> Self {
        if party == PartyId::CLEARING {
            let account = content.head.policy.clearing.as_slice();
            return Self { party, name: field(account, "name"), account };
        }
        let known = content.accounts.get(&party);
        let name = known.map(|account| account.name.as_str());
        Self { party, name, account: known.map_or(&[], |account| &account.fields) }
    }

    fn field(&self, name: &str) -> &'a str {
        field(self.account, name).unwrap_or_default()
    }
}

#[derive(Serialize)]
struct LegLine<'a> {
    key: &'a str,
    kind: &'static str,
    part: u32,
    #[serde(flatten)]
    money: Money,
    from: Side<'a>,
    to: Side<'a>,
}

impl<'a> LegLine<'a> {
    fn of(content: &'a OpenBatch, leg: &'a Leg, amount: AmountText<'_>) -> Self {
        let Payment { from, to, amount: units, part } = leg.payment;
        Self {
            key: &leg.key,
            kind: kind(&leg.payment),
            part,
            money: Money::of(units, amount),
            from: Side::of(content, from),
            to: Side::of(content, to),
        }
    }
}

#[derive(Serialize)]
struct CarryLine {
    #[serde(serialize_with = "as_text")]
    payer: PartyId,
    #[serde(serialize_with = "as_text")]
    payee: PartyId,
    #[serde(flatten)]
    money: Money,
}

impl CarryLine {
    fn of(carry: &Obligation, amount: AmountText<'_>) -> Self {
        let money = Money::of(carry.amount, amount);
        Self { payer: carry.payer, payee: carry.payee, money }
    }
}

#[derive(Serialize)]
struct Asset<'a> {
    number: u32,
    code: &'a str,
    scale: u32,
    model: &'static str,
}

/// Number and sum of all legs in the file.
#[derive(Serialize)]
struct Control {
    legs: usize,
    sum: Money,
}

/// The batch without its legs and carries.
#[derive(Serialize)]
struct Head<'a> {
    #[serde(serialize_with = "as_text")]
    batch_id: BatchId,
    windows: Vec<u64>,
    cut_at: String,
    asset: Asset<'a>,
    rail: &'static str,
    #[serde(serialize_with = "as_object")]
    clearing: &'a [(String, String)],
    unit: Money,
    least: Money,
    most: Money,
    total: Money,
    carried: Money,
    pay_in_legs: usize,
    pay_in_total: Money,
    control: Control,
}

impl<'a> Head<'a> {
    fn of(content: &'a OpenBatch, amount: AmountText<'_>, full: AmountText<'_>) -> Self {
        let BatchHead { asset, policy, .. } = &*content.head;
        let pay_ins = || content.legs.iter().filter(|leg| leg.payment.is_pay_in());
        let pay_in_total = pay_ins().fold(Total::ZERO, |sum, leg| sum.plus(leg.payment.amount));
        let cut_at = jiff::Timestamp::from_microsecond(content.head.cut_at.0);
        Self {
            batch_id: content.head.id,
            windows: content.head.windows.iter().map(|window| window.0).collect(),
            cut_at: cut_at.expect("the clock of a record is before the year 9999").to_string(),
            asset: Asset {
                number: asset.number.0,
                code: &asset.code,
                scale: asset.scale,
                model: match asset.model {
                    SettlementModel::Bilateral => "bilateral",
                    SettlementModel::Multilateral => "multilateral",
                },
            },
            rail: policy.rail.name(),
            clearing: &policy.clearing,
            unit: Money::of(policy.unit, amount),
            least: Money::of(policy.least, amount),
            most: Money::of(policy.most, amount),
            total: Money::of(content.head.total, amount),
            carried: Money::of(content.head.carried, full),
            pay_in_legs: pay_ins().count(),
            pay_in_total: Money::of(pay_in_total, amount),
            control: Control {
                legs: content.legs.len(),
                sum: Money::of(content.head.total.plus(pay_in_total), amount),
            },
        }
    }
}

fn as_text<T: Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

fn as_object<S: Serializer>(fields: &&[(String, String)], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(fields.iter().map(|(name, value)| (name, value)))
}
