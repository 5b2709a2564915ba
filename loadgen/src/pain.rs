//! A second look at the bank's files: counts, sums and ids, read from the XML's text alone.
//!
//! Plain text search on purpose: it shares nothing with whoever wrote the file.

use std::collections::BTreeMap;

/// What tells a pain.001 file from others.
const NAMESPACE: &str = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09";
/// Longest id of a payment.
const END_TO_END_ID_MAX: usize = 35;

/// What a pain.001 file says, and what its payments add up to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Payments {
    /// Payments in it.
    pub count: u64,
    /// Their sum, in cents.
    pub cents: u128,
    /// Per account of a creditor, its payments in cents.
    pub by_iban: BTreeMap<String, u128>,
    /// Per id, its payment in cents.
    pub by_id: BTreeMap<String, u128>,
}

impl Payments {
    /// Reads a file; `None` when it is not a pain.001.
    ///
    /// # Errors
    /// A sentence that says where the file contradicts itself.
    pub fn read(xml: &str) -> Result<Option<Self>, String> {
        if !xml.contains(NAMESPACE) {
            return Ok(None);
        }
        let mut found = Self::default();
        for payment in elements(xml, "CdtTrfTxInf") {
            let id = one(payment, "EndToEndId")?;
            let cents = cents(one(payment, "InstdAmt")?)?;
            let iban = one(one(payment, "CdtrAcct")?, "IBAN")?;
            if id.is_empty() || id.len() > END_TO_END_ID_MAX {
                return Err(format!("EndToEndId {id:?} is not 1 to {END_TO_END_ID_MAX} long"));
            }
            if found.by_id.insert(id.to_owned(), cents).is_some() {
                return Err(format!("EndToEndId {id} stands twice"));
            }
            found.count += 1;
            found.cents += cents;
            *found.by_iban.entry(iban.to_owned()).or_default() += cents;
        }
        let header = one(xml, "GrpHdr")?;
        found.agrees_with("GrpHdr", [header].into_iter())?;
        // A block's own figures stand before its first payment.
        let blocks = elements(xml, "PmtInf");
        found.agrees_with("PmtInf", blocks.map(|b| b.split("<CdtTrfTxInf").next().unwrap_or(b)))?;
        Ok(Some(found))
    }

    /// Checks NbOfTxs and CtrlSum, summed over the parts of one level.
    fn agrees_with<'a>(
        &self,
        level: &str,
        parts: impl Iterator<Item = &'a str>,
    ) -> Result<(), String> {
        let (mut count, mut sum) = (0, 0);
        for part in parts {
            let text = one(part, "NbOfTxs")?;
            count +=
                text.parse::<u64>().map_err(|_| format!("NbOfTxs {text:?} is not a number"))?;
            sum += cents(one(part, "CtrlSum")?)?;
        }
        if (count, sum) != (self.count, self.cents) {
            let (payments, cents) = (self.count, self.cents);
            return Err(format!(
                "{level} says {count} payments of {sum} cents; there are {payments} of {cents}"
            ));
        }
        Ok(())
    }

    /// The payments of one more file.
    ///
    /// # Errors
    /// When an id stands in both.
    pub fn add(&mut self, other: Self) -> Result<(), String> {
        self.count += other.count;
        self.cents += other.cents;
        for (iban, cents) in other.by_iban {
            *self.by_iban.entry(iban).or_default() += cents;
        }
        for (id, cents) in other.by_id {
            if self.by_id.contains_key(&id) {
                return Err(format!("EndToEndId {id} stands in two files"));
            }
            self.by_id.insert(id, cents);
        }
        Ok(())
    }
}

/// The inner texts of the elements of that name; elements of one name never nest here.
fn elements<'a>(xml: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    let (open, close) = (format!("<{name}"), format!("</{name}>"));
    let mut rest = xml;
    std::iter::from_fn(move || {
        loop {
            let after = &rest[rest.find(&open)? + open.len()..];
            rest = after;
            // `<IBAN` must not find `<IBANs`.
            if !after.starts_with(['>', ' ', '\n']) {
                continue;
            }
            let inner = &after[after.find('>')? + 1..];
            let end = inner.find(&close)?;
            rest = &inner[end + close.len()..];
            return Some(inner[..end].trim());
        }
    })
}

/// The inner text of the first element of that name.
fn one<'a>(xml: &'a str, name: &'a str) -> Result<&'a str, String> {
    elements(xml, name).next().ok_or_else(|| format!("an element {name} is missing"))
}

/// `12.34` in cents.
fn cents(text: &str) -> Result<u128, String> {
    let bad = || format!("{text:?} is not an amount with at most two decimals");
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = whole.bytes().chain(part.bytes()).all(|b| b.is_ascii_digit());
    if whole.is_empty() || part.len() > 2 || !digits {
        return Err(bad());
    }
    format!("{whole}{part:0<2}").parse().map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(group: &str, block: &str, second: &str) -> String {
        format!(
            "<Document xmlns=\"{NAMESPACE}\"><CstmrCdtTrfInitn><GrpHdr><MsgId>M</MsgId>{group}\
             </GrpHdr><PmtInf>{block}<DbtrAcct><Id><IBAN>DE00</IBAN></Id></DbtrAcct>\
             <CdtTrfTxInf><PmtId><EndToEndId>a</EndToEndId></PmtId>\
             <Amt><InstdAmt Ccy=\"EUR\">1.50</InstdAmt></Amt>\
             <CdtrAcct><Id><IBAN>DE1</IBAN></Id></CdtrAcct></CdtTrfTxInf>\
             <CdtTrfTxInf><PmtId><EndToEndId>{second}</EndToEndId></PmtId>\
             <Amt><InstdAmt Ccy=\"EUR\">2</InstdAmt></Amt>\
             <CdtrAcct><Id><IBAN>DE1</IBAN></Id></CdtrAcct></CdtTrfTxInf></PmtInf>\
             </CstmrCdtTrfInitn></Document>"
        )
    }

    const SUMS: &str = "<NbOfTxs>2</NbOfTxs><CtrlSum>3.50</CtrlSum>";

    #[test]
    fn a_sound_file_is_read() {
        let found = Payments::read(&file(SUMS, SUMS, "b")).unwrap().unwrap();
        assert_eq!((found.count, found.cents), (2, 350));
        assert_eq!(found.by_iban, BTreeMap::from([("DE1".to_owned(), 350)]));
        let by_id = [("a", 150), ("b", 200)].map(|(id, cents)| (id.to_owned(), cents));
        assert_eq!(found.by_id, BTreeMap::from(by_id));
        assert_eq!(Payments::read("<Document/>"), Ok(None));
    }

    #[test]
    fn files_that_contradict_themselves_are_refused() {
        let wrong_sum = "<NbOfTxs>2</NbOfTxs><CtrlSum>3.51</CtrlSum>";
        let wrong_count = "<NbOfTxs>3</NbOfTxs><CtrlSum>3.50</CtrlSum>";
        for wrong in [wrong_sum, wrong_count, "<NbOfTxs>2</NbOfTxs>", ""] {
            assert!(Payments::read(&file(wrong, SUMS, "b")).is_err());
            assert!(Payments::read(&file(SUMS, wrong, "b")).is_err());
        }
        assert!(Payments::read(&file(SUMS, SUMS, "a")).is_err());
        assert!(Payments::read(&file(SUMS, SUMS, &"x".repeat(36))).is_err());
    }

    #[test]
    fn amounts_have_at_most_two_decimals() {
        assert_eq!(cents("0.01"), Ok(1));
        assert_eq!(cents("12.3"), Ok(1_230));
        assert_eq!(cents("7"), Ok(700));
        for text in ["", ".5", "1.234", "-1", "1e3", "+1"] {
            assert!(cents(text).is_err(), "{text}");
        }
    }
}
