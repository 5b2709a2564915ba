//! Parts that the messages of banks share: the header, amounts, reasons.
//!
//! Owns how each is read. Never what it means for a leg.

use super::answer::{Money, Reason, Summary, add};
use super::codes::{is_code, is_id};
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

/// Reads one reason (of a status or of a return); further ones are added to the first. Of what has
/// not the form of a code it is known that it is words.
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
            "AddtlInf" => add(&mut one.words, "; ", &xml.text(name)?),
            _ => xml.skip()?,
        }
    }
    for (given, place) in [(code, &mut one.code), (proprietary, &mut one.proprietary)] {
        let given: String = given.unwrap_or_default();
        if is_code(&given) { add(place, "", &given) } else { add(&mut one.words, "; ", &given) }
    }
    one.is_duplicate = [&one.code, &one.proprietary].into_iter().any(|code| is_duplicate(code));
    if all.is_empty() {
        *all = one;
    } else {
        add(&mut all.words, "; ", &one.words);
        add(&mut all.further, "; ", &one.to_string());
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
                if found.is_empty() && is_id(&text) {
                    add(found, "", &text);
                }
            }
            Some(_) => xml.skip()?,
        }
    }
    Ok(())
}
