//! Parts that the messages of banks share: the header, amounts, reasons.
//!
//! Owns how each is read. Never what it means for a leg.

use super::account;
use super::answer::{Money, Reason, Summary, add};
use super::problem::ReadError;
use super::xml::Xml;
use std::io::BufRead;

/// Reads the header of the bank's message.
pub fn header<R: BufRead>(xml: &mut Xml<R>, summary: &mut Summary) -> Result<(), ReadError> {
    let (mut id, mut created) = (None, None);
    while let Some(name) = xml.child()? {
        match name {
            "MsgId" => xml.fill(&mut id, name)?,
            "CreDtTm" => xml.fill(&mut created, name)?,
            _ => xml.skip()?,
        }
    }
    let id: String = id.ok_or_else(|| xml.missing("MsgId", "GrpHdr"))?;
    add(&mut summary.id, "", &id);
    add(&mut summary.created, "", &created.unwrap_or_default());
    Ok(())
}

/// The amount in the element that was just opened.
pub fn money<R: BufRead>(xml: &mut Xml<R>, name: &'static str) -> Result<Money, ReadError> {
    let currency = xml.currency().to_owned();
    let text = xml.text(name)?;
    Money::parse(&text, &currency).ok_or_else(|| {
        let found = format!("{text} {currency}");
        xml.value(name, &found, "an amount of at most 18 digits with its currency in Ccy")
    })
}

/// Reads one reason (of a status or of a return); further ones are added to the text.
pub fn add_reason<R: BufRead>(xml: &mut Xml<R>, all: &mut Reason) -> Result<(), ReadError> {
    let mut one = Reason::default();
    let (mut code, mut proprietary) = (None, None);
    while let Some(name) = xml.child()? {
        match name {
            "Orgtr" => originator(xml, &mut one.originator)?,
            "Rsn" => {
                while let Some(name) = xml.child()? {
                    match name {
                        "Cd" => xml.fill(&mut code, name)?,
                        "Prtry" => xml.fill(&mut proprietary, name)?,
                        _ => xml.skip()?,
                    }
                }
            }
            "AddtlInf" => add(&mut one.text, "; ", &without_accounts(&xml.text(name)?)),
            _ => xml.skip()?,
        }
    }
    add(&mut one.code, "", &code.unwrap_or_default());
    add(&mut one.proprietary, "", &without_accounts(&proprietary.unwrap_or_default()));
    one.is_duplicate = [&one.code, &one.proprietary].into_iter().any(|code| is_duplicate(code));
    if all.is_empty() {
        *all = one;
    } else {
        add(&mut all.text, "; ", &one.to_string());
        all.is_duplicate |= one.is_duplicate;
    }
    Ok(())
}

/// Codes that say that the same message, block or transaction was handed in before: it is the
/// second one that is refused.
fn is_duplicate(code: &str) -> bool {
    matches!(code, "AM05" | "DU01" | "DU02" | "DU03" | "DU04" | "DU05")
}

/// The first id of an organisation, at any depth. Names, and the ids of persons, are left where
/// they are: what is told of a leg is journaled, and no erasing would reach it.
fn originator<R: BufRead>(xml: &mut Xml<R>, found: &mut String) -> Result<(), ReadError> {
    let mut open = 1;
    while open > 0 {
        match xml.child()? {
            None => open -= 1,
            Some("OrgId" | "Othr") => open += 1,
            // A party's own id is a group, that of an organisation a text.
            Some("Id") if open == 1 => open += 1,
            Some(name @ ("AnyBIC" | "BICOrBEI" | "LEI" | "Id")) => {
                let text = xml.text(name)?;
                if found.is_empty() {
                    add(found, "", &text);
                }
            }
            Some(_) => xml.skip()?,
        }
    }
    Ok(())
}

/// A text with every IBAN in it cut to its last characters, in groups or not: what is told of a leg
/// is journaled, and no erasing would reach it.
fn without_accounts(text: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric();
    let (mut told, mut rest) = (String::new(), text);
    while let Some(begin) = rest.find(is_part) {
        let (before, from) = rest.split_at(begin);
        told.push_str(before);
        let end = from.find(|c| !is_part(c)).unwrap_or(from.len());
        if let Some((iban, behind)) = iban_at_start(from) {
            told.push_str("an account that ends in ");
            told.push_str(&iban[iban.len() - SHOWN_CHARS..]);
            rest = behind;
        } else {
            told.push_str(&from[..end]);
            rest = &from[end..];
        }
    }
    told + rest
}

/// Characters of somebody's account that may be told.
const SHOWN_CHARS: usize = 4;
/// Longest IBAN.
const IBAN_CHARS_MAX: usize = 34;

/// An IBAN with which a text begins, whatever stands between its groups, and what is behind it.
fn iban_at_start(text: &str) -> Option<(String, &str)> {
    let mut plain = String::new();
    for (at, c) in text.char_indices() {
        let is_part = match plain.len() {
            0 | 1 => c.is_ascii_alphabetic(),
            2 | 3 => c.is_ascii_digit(),
            more => more < IBAN_CHARS_MAX && c.is_ascii_alphanumeric(),
        };
        if is_part {
            plain.push(c);
            if let Ok(iban) = account::iban(&plain) {
                return Some((iban, &text[at + 1..]));
            }
        } else if !matches!(c, ' ' | '-' | '.') {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Banks write into the reason of a return which account was meant. It was journaled with the
    /// leg, where erasing the party could not reach it.
    #[test]
    fn no_account_is_kept_of_what_a_bank_says_in_words() {
        for (text, told) in [
            ("account closed", "account closed"),
            ("DE89370400440532013000 closed", "an account that ends in 3000 closed"),
            (
                "IBAN: de89 3704 0044 0532 0130 00, closed",
                "IBAN: an account that ends in 3000, closed",
            ),
            ("(GB29-NWBK-6016-1331-9268-19)", "(an account that ends in 6819)"),
            ("\u{fc}ber DE89370400440532013000/X", "\u{fc}ber an account that ends in 3000/X"),
            ("DE89370400440532013001", "DE89370400440532013001"),
            ("AB12", "AB12"),
            ("AB12 \u{fc}", "AB12 \u{fc}"),
            ("", ""),
        ] {
            assert_eq!(without_accounts(text), told);
        }
    }
}
