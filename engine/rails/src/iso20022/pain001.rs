//! The file: pain.001.001.09, customer credit transfer initiation.
//!
//! Owns its structure. Every leg that is not a pay-in becomes one transaction whose EndToEndId is
//! the leg's key; the transactions of one debtor are one payment information block. Written from
//! front to back, never held in memory. `docs/RAIL-ISO20022.md` says why each field is what it is.

use super::account::{BankAccount, Clearing};
use super::calendar;
use super::currency::Amounts;
use super::ids::Ids;
use super::text;
use quick_xml::Writer;
use quick_xml::escape::escape;
use quick_xml::events::{BytesDecl, BytesText, Event};
use std::io::{self, BufWriter, Write};
use tallystick_ledger::types::{PartyId, Total};
use tallystick_ledger::{Leg, OpenBatch};

const NAMESPACE: &str = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09";

/// Digits that a control sum may have (type DecimalNumber).
const CONTROL_SUM_DIGITS_MAX: usize = 18;

/// Buffered here, so that the many small pieces of an element cost no call through `dyn` each.
type Xml<'a> = Writer<BufWriter<&'a mut dyn Write>>;

/// Writes the file of a batch that pays somebody.
///
/// Panics when the batch contradicts itself: a file that does not say what is owed must not exist.
pub fn render(content: &OpenBatch, number: u32, out: &mut dyn Write) -> io::Result<()> {
    let file = File::new(content, number)?;
    let mut xml = Writer::new_with_indent(BufWriter::new(out), b' ', 1);
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let document = xml.create_element("Document").with_attribute(("xmlns", NAMESPACE));
    document.write_inner_content(|xml| {
        group(xml, "CstmrCdtTrfInitn", |xml| {
            file.group_header(xml)?;
            for (index, legs) in by_debtor(file.payouts).enumerate() {
                file.payment_information(xml, index + 1, legs)?;
            }
            Ok(())
        })
    })?;
    xml.get_mut().write_all(b"\n")?;
    xml.get_mut().flush()
}

/// The payment information blocks: legs of one debtor, which follow each other. The first is number
/// 1.
pub fn by_debtor(payouts: &[Leg]) -> impl Iterator<Item = &[Leg]> {
    payouts.chunk_by(|a, b| a.payment.from == b.payment.from)
}

/// What is the same in the whole file.
struct File<'a> {
    content: &'a OpenBatch,
    /// The legs that are transactions, ordered by debtor.
    payouts: &'a [Leg],
    clearing: Clearing<'a>,
    amounts: Amounts,
    currency: &'a str,
    ids: Ids,
    execution_date: String,
    /// What creditors read.
    remittance: String,
}

impl<'a> File<'a> {
    fn new(content: &'a OpenBatch, number: u32) -> io::Result<Self> {
        let first = content.legs.partition_point(|leg| leg.payment.is_pay_in());
        let payouts = &content.legs[first..];
        assert!(!payouts.is_empty(), "the schema knows no file without a transaction");
        assert!(payouts.iter().all(|leg| !leg.payment.is_pay_in()), "pay-ins come first");
        assert_eq!(sum(payouts), content.head.total, "the legs pay the batch's total");
        let currency =
            content.head.asset.currency().expect("policy() lets only currencies into a batch");
        let date = calendar::execution_date(content.head.cut_at, currency == "EUR");
        let clearing = Clearing::read(&content.head.policy.clearing);
        let no_clearing = || io::Error::other("the batch's clearing account has no iban or name");
        Ok(Self {
            content,
            payouts,
            clearing: clearing.ok_or_else(no_clearing)?,
            amounts: super::amounts(content),
            currency,
            ids: Ids::new(content.head.id, number),
            execution_date: date.to_string(),
            remittance: remittance(content),
        })
    }

    fn group_header(&self, xml: &mut Xml<'_>) -> io::Result<()> {
        group(xml, "GrpHdr", |xml| {
            leaf(xml, "MsgId", &self.ids.message())?;
            leaf(xml, "CreDtTm", &calendar::instant_text(self.content.head.cut_at))?;
            self.control(xml, self.payouts)?;
            group(xml, "InitgPty", |xml| leaf(xml, "Nm", &text::name(self.clearing.name)))
        })
    }

    /// Number and sum of the transactions, which banks compare with what they find.
    fn control(&self, xml: &mut Xml<'_>, legs: &[Leg]) -> io::Result<()> {
        leaf(xml, "NbOfTxs", &legs.len().to_string())?;
        let sum = self.amounts.text(sum(legs));
        // Beyond it only in 10^15 units of a currency with 3 or 4 digits; the element may be
        // absent.
        if sum.bytes().filter(u8::is_ascii_digit).count() <= CONTROL_SUM_DIGITS_MAX {
            leaf(xml, "CtrlSum", &sum)?;
        }
        Ok(())
    }

    /// The transactions of one debtor.
    fn payment_information(
        &self,
        xml: &mut Xml<'_>,
        number: usize,
        legs: &[Leg],
    ) -> io::Result<()> {
        let euro = self.currency == "EUR";
        let (name, BankAccount { iban, bic }) = self.party(legs[0].payment.from)?;
        group(xml, "PmtInf", |xml| {
            leaf(xml, "PmtInfId", &self.ids.block(number))?;
            leaf(xml, "PmtMtd", "TRF")?;
            // One entry a transaction on the debtor's statement: each leg's own proof of payment.
            leaf(xml, "BtchBookg", "false")?;
            self.control(xml, legs)?;
            if euro {
                group(xml, "PmtTpInf", |xml| group(xml, "SvcLvl", |xml| leaf(xml, "Cd", "SEPA")))?;
            }
            group(xml, "ReqdExctnDt", |xml| leaf(xml, "Dt", &self.execution_date))?;
            group(xml, "Dbtr", |xml| leaf(xml, "Nm", &text::name(name)))?;
            account(xml, "DbtrAcct", iban)?;
            group(xml, "DbtrAgt", |xml| match bic {
                Some(bic) => institution(xml, bic),
                None => group(xml, "FinInstnId", |xml| {
                    group(xml, "Othr", |xml| leaf(xml, "Id", text::NOT_PROVIDED))
                }),
            })?;
            leaf(xml, "ChrgBr", if euro { "SLEV" } else { "SHAR" })?;
            legs.iter().try_for_each(|leg| self.transaction(xml.get_mut(), leg))
        })
    }

    /// One transaction. Nearly all of a large file is this, so its tags are written as text: the
    /// bytes that the XML writer makes element by element, in less than half the time. Only the
    /// name can hold what XML escapes: ids, codes and the remittance text are letters and digits.
    fn transaction(&self, out: &mut impl Write, leg: &Leg) -> io::Result<()> {
        let (name, BankAccount { iban, bic }) = self.party(leg.payment.to)?;
        let tags: [&str; 3] = [
            "\n   <CdtTrfTxInf>\n    <PmtId>\n     <EndToEndId>",
            "</EndToEndId>\n    </PmtId>\n    <Amt>\n     <InstdAmt Ccy=\"",
            "</InstdAmt>\n    </Amt>",
        ];
        let amount = self.amounts.text(leg.payment.amount);
        for piece in [tags[0], &leg.key, tags[1], self.currency, "\">", &amount, tags[2]] {
            out.write_all(piece.as_bytes())?;
        }
        if let Some(bic) = bic {
            let open = "\n    <CdtrAgt>\n     <FinInstnId>\n      <BICFI>";
            let close = "</BICFI>\n     </FinInstnId>\n    </CdtrAgt>";
            for piece in [open, bic, close] {
                out.write_all(piece.as_bytes())?;
            }
        }
        let tags = [
            "\n    <Cdtr>\n     <Nm>",
            "</Nm>\n    </Cdtr>\n    <CdtrAcct>\n     <Id>\n      <IBAN>",
            "</IBAN>\n     </Id>\n    </CdtrAcct>\n    <RmtInf>\n     <Ustrd>",
            "</Ustrd>\n    </RmtInf>\n   </CdtTrfTxInf>",
        ];
        let name = text::name(name);
        let name = escape(&name);
        for piece in [tags[0], &name, tags[1], iban, tags[2], &self.remittance, tags[3]] {
            out.write_all(piece.as_bytes())?;
        }
        Ok(())
    }

    /// A party's name and its account.
    fn party(&self, party: PartyId) -> io::Result<(&'a str, BankAccount<'a>)> {
        if party == PartyId::CLEARING {
            return Ok((self.clearing.name, self.clearing.account));
        }
        let held = self.content.accounts.get(&party);
        let read = held.and_then(|held| Some((&*held.name, BankAccount::read(&held.fields)?)));
        read.ok_or_else(|| io::Error::other(format!("the batch holds no account of {party}")))
    }
}

fn sum(legs: &[Leg]) -> Total {
    legs.iter().fold(Total::ZERO, |sum, leg| sum.plus(leg.payment.amount))
}

/// "Tallystick windows 1-3 asset 978 batch 0123456789abcdef": at most 140 characters, and of the
/// set.
fn remittance(content: &OpenBatch) -> String {
    let (first, last) = match content.head.windows.as_slice() {
        [first, .., last] => (first, last),
        [one] => (one, one),
        [] => panic!("a batch settles at least one window"),
    };
    let count = content.head.windows.len();
    let run = last.0 - first.0 + 1 == u64::try_from(count).expect("a length fits 64 bits");
    let windows = match (count, run) {
        (1, _) => format!("window {first}"),
        (_, true) => format!("windows {first}-{last}"),
        (_, false) => format!("{count} windows {first}-{last}"),
    };
    let (asset, batch) = (content.head.asset.number, super::super::short_id(content));
    format!("Tallystick {windows} asset {asset} batch {batch}")
}

fn account(xml: &mut Xml<'_>, name: &str, iban: &str) -> io::Result<()> {
    group(xml, name, |xml| group(xml, "Id", |xml| leaf(xml, "IBAN", iban)))
}

fn institution(xml: &mut Xml<'_>, bic: &str) -> io::Result<()> {
    group(xml, "FinInstnId", |xml| leaf(xml, "BICFI", bic))
}

fn group<'w>(
    xml: &mut Xml<'w>,
    name: &str,
    inner: impl FnOnce(&mut Xml<'w>) -> io::Result<()>,
) -> io::Result<()> {
    xml.create_element(name).write_inner_content(inner)?;
    Ok(())
}

fn leaf(xml: &mut Xml<'_>, name: &str, value: &str) -> io::Result<()> {
    xml.create_element(name).write_text_content(BytesText::new(value))?;
    Ok(())
}
