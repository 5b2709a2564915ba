//! Writes what a bank books, as camt.054.001.08: the demo's bank has no other way to say it.
//!
//! Owns the document. Plain text, and nothing of the engine: what reads it is what is shown to
//! work.

use std::fmt::Write as _;

/// Which way money went on the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Somebody paid in.
    Credit,
    /// A payment of the account's owner was made.
    Debit,
}

/// A booked entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What the payer wrote: a leg's key.
    pub id: String,
    /// In cents.
    pub cents: u128,
}

/// A notification of booked entries on one account. `name` tells it and its entries from others,
/// `day` is `2026-11-30`.
#[must_use]
pub fn notification(
    name: &str,
    day: &str,
    iban: &str,
    currency: &str,
    way: Way,
    entries: &[Entry],
) -> String {
    let (way, family) = match way {
        Way::Credit => ("CRDT", "RCDT"),
        Way::Debit => ("DBIT", "ICDT"),
    };
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:camt.054.001.08\">\n \
         <BkToCstmrDbtCdtNtfctn>\n  \
         <GrpHdr><MsgId>{name}</MsgId><CreDtTm>{day}T12:00:00Z</CreDtTm></GrpHdr>\n  \
         <Ntfctn>\n   <Id>{name}</Id>\n   \
         <Acct><Id><IBAN>{iban}</IBAN></Id><Ccy>{currency}</Ccy></Acct>\n"
    );
    for (place, Entry { id, cents }) in (1u64..).zip(entries) {
        let (whole, part) = (cents / 100, cents % 100);
        writeln!(
            out,
            "   <Ntry><Amt Ccy=\"{currency}\">{whole}.{part:02}</Amt><CdtDbtInd>{way}</CdtDbtInd>\
             <Sts><Cd>BOOK</Cd></Sts><BookgDt><Dt>{day}</Dt></BookgDt>\
             <AcctSvcrRef>{name}-{place}</AcctSvcrRef>\
             <BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>{family}</Cd><SubFmlyCd>ESCT</SubFmlyCd></Fmly></Domn>\
             </BkTxCd><NtryDtls><TxDtls><Refs><EndToEndId>{id}</EndToEndId></Refs></TxDtls></NtryDtls>\
             </Ntry>"
        )
        .expect("a string takes everything");
    }
    out.push_str("  </Ntfctn>\n </BkToCstmrDbtCdtNtfctn>\n</Document>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_says_who_how_much_which_way_and_that_it_is_booked() {
        let entry = |id: &str, cents| Entry { id: id.into(), cents };
        let entries = [entry("KEY1", 123_405), entry("KEY2", 7)];
        let of = |way| notification("DEMO", "2026-11-30", "DE36", "EUR", way, &entries);
        let text = of(Way::Credit);
        for part in [
            "<Amt Ccy=\"EUR\">1234.05</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts>",
            "<AcctSvcrRef>DEMO-1</AcctSvcrRef>",
            "<EndToEndId>KEY1</EndToEndId>",
            "<Amt Ccy=\"EUR\">0.07</Amt>",
            "<AcctSvcrRef>DEMO-2</AcctSvcrRef>",
            "<IBAN>DE36</IBAN>",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert_eq!(of(Way::Debit).matches("<CdtDbtInd>DBIT</CdtDbtInd>").count(), 2);
    }
}
