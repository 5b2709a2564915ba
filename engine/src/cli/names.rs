//! Names that a bank's file cannot carry as they are, and names that two parties have.
//!
//! Owns what whoever registers one is told. What leaves in place of a letter is the rail's.

use crate::limits::{ACH_NAME_CHARS, IMPORT_NAMES_MAX, SEPA_NAME_CHARS};
use bytes::Bytes;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use tallystick_proto::v1::Party;

/// Rails whose files carry names, in Latin letters alone, and how much of one.
const NAMING_RAILS: [(&str, usize); 2] = [("iso20022", SEPA_NAME_CHARS), ("nacha", ACH_NAME_CHARS)];

/// What to tell of a party whose name a bank's file does not carry as it is.
pub fn misfits(party: &Party) -> Vec<String> {
    let has_account = |(rail, _): &(&str, usize)| party.accounts.contains_key(*rail);
    let rails: Vec<(&str, usize)> = NAMING_RAILS.into_iter().filter(has_account).collect();
    let Some((first, _)) = rails.first() else { return Vec::new() };
    let (mut told, name) = (Vec::new(), party.name.trim());
    if !name.is_empty() && !name.chars().any(char::is_alphanumeric) {
        told.push(format!(
            "the name has no letter and no digit: nothing of it is left in files of {first}; give it as the bank has it"
        ));
    } else if name.chars().any(|c| c.is_alphanumeric() && !is_latin(c)) {
        told.push(format!(
            "files of {first} carry Latin letters alone, and others leave as full stops: a bank that checks the \
             payee's name cannot match this one; give the name in Latin letters, as the bank has it"
        ));
    }
    let chars: usize = name.chars().map(carried_chars).sum();
    for (rail, most) in rails.into_iter().filter(|(_, most)| chars > *most) {
        told.push(format!(
            "files of {rail} carry {most} characters of a name, and this one has {chars}: the rest is cut off; shorten \
             it yourself, as the bank has it"
        ));
    }
    told
}

fn is_latin(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, 'À'..='ſ' | 'Ș'..='ț' | 'ẞ')
}

/// How many characters a bank's file has for one.
fn carried_chars(c: char) -> usize {
    match c {
        // A mark that belongs to the letter before it.
        '\u{300}'..='\u{36f}' => 0,
        'Æ' | 'æ' | 'Œ' | 'œ' | 'ß' | 'ẞ' | 'Þ' | 'þ' => 2,
        _ => 1,
    }
}

/// Names that were met, to find those that two parties have.
#[derive(Debug, Default)]
pub struct Names(HashMap<String, (u64, Bytes)>);

impl Names {
    /// Takes a party of a line; gives the line of another party with the same name.
    pub fn meet(&mut self, line: u64, party: &Party) -> Option<u64> {
        let name = party.name.trim().to_lowercase();
        let is_full = self.0.len() >= IMPORT_NAMES_MAX;
        match self.0.entry(name) {
            Entry::Occupied(met) => {
                let (first, id) = met.get();
                (*id != party.party_id).then_some(*first)
            }
            Entry::Vacant(place) => {
                if !is_full && !party.name.trim().is_empty() {
                    place.insert((line, party.party_id.clone()));
                }
                None
            }
        }
    }
}

/// Whether two parties have one name, as people see it.
pub fn is_same(one: &str, other: &str) -> bool {
    one.trim().to_lowercase() == other.trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use tallystick_proto::v1::SettlementAccount;

    fn party(name: &str, rail: &str) -> Party {
        Party {
            name: name.to_owned(),
            accounts: BTreeMap::from([(rail.to_owned(), SettlementAccount::default())]),
            ..Party::default()
        }
    }

    /// Names in other letters leave as dots, and nobody was told before a bank refused them.
    #[test]
    fn whoever_has_a_name_that_a_bank_file_cannot_carry_is_told_at_registration() {
        for name in ["Müller & Søn", "Łódź Țepeș", "A 1", "", "« — » x", "GROẞE"] {
            assert!(misfits(&party(name, "iso20022")).is_empty(), "{name}");
        }
        for name in ["株式会社", "ООО Ромашка", "A株", "Αθήνα"] {
            assert_eq!(misfits(&party(name, "iso20022")).len(), 1, "{name}");
            assert!(misfits(&party(name, "nacha"))[0].contains("files of nacha"));
            assert!(misfits(&party(name, "card")).is_empty());
        }
        assert!(misfits(&party("« — »", "nacha"))[0].contains("nothing of it is left"));
    }

    #[test]
    fn a_name_that_is_cut_off_is_told_with_how_much_is_carried() {
        let long = "Johnson, Johnson and Sons of Ohio";
        let told = misfits(&party(long, "nacha"));
        assert!(told[0].contains("22 characters") && told[0].contains("has 33"), "{told:?}");
        assert!(misfits(&party(long, "iso20022")).is_empty());
        // Marks fall off, and some letters become two.
        let fits = ["x".repeat(70), format!("{}\u{301}", "x".repeat(70)), "ß".repeat(35)];
        assert!(fits.iter().all(|name| misfits(&party(name, "iso20022")).is_empty()));
        for name in ["x".repeat(71), "ß".repeat(36)] {
            assert_eq!(misfits(&party(&name, "iso20022")).len(), 1, "{name}");
        }
    }

    #[test]
    fn two_parties_of_one_name_are_found_and_one_that_is_told_twice_is_not() {
        let named = |id: u8, name: &str| Party {
            party_id: vec![id; 32].into(),
            name: name.to_owned(),
            ..Party::default()
        };
        let mut names = Names::default();
        for (line, id, name, met) in [
            (1, 1, "Müller", None),
            (2, 2, "Acme", None),
            (3, 1, "Müller", None),
            (4, 3, " MÜLLER ", Some(1)),
            (5, 4, "", None),
            (6, 5, "", None),
        ] {
            assert_eq!(names.meet(line, &named(id, name)), met, "{line}");
        }
    }
}
