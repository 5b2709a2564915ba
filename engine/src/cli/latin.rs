//! Names that a bank's file cannot carry.
//!
//! Owns what whoever registers one is told. What leaves in place of a letter is the rail's.

use tallystick_proto::v1::Party;

/// Rails whose files carry Latin letters alone.
const LATIN_RAILS: [&str; 2] = ["iso20022", "nacha"];

/// What to tell of a party whose name a bank's file cannot carry.
pub fn dotted(party: &Party) -> Option<String> {
    let rail = LATIN_RAILS.into_iter().find(|rail| party.accounts.contains_key(*rail))?;
    let is_latin = |c: char| c.is_ascii_alphanumeric() || matches!(c, 'À'..='ſ' | 'Ș'..='ț' | 'ẞ');
    let lost = party.name.chars().any(|c| c.is_alphanumeric() && !is_latin(c));
    lost.then(|| {
        format!(
            "files of {rail} carry Latin letters alone, and others leave as full stops: a bank that checks the \
             payee's name cannot match this one; give the name in Latin letters, as the bank has it"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use tallystick_proto::v1::SettlementAccount;

    /// Names in other letters leave as dots, and nobody was told before a bank refused them.
    #[test]
    fn whoever_has_a_name_that_a_bank_file_cannot_carry_is_told_at_registration() {
        let party = |name: &str, rail: &str| Party {
            name: name.to_owned(),
            accounts: BTreeMap::from([(rail.to_owned(), SettlementAccount::default())]),
            ..Party::default()
        };
        for name in ["Müller & Søn", "Łódź Țepeș", "A 1", "", "« — »", "GROẞE"] {
            assert_eq!(dotted(&party(name, "iso20022")), None, "{name}");
        }
        for name in ["株式会社", "ООО Ромашка", "A株", "Αθήνα"] {
            assert!(dotted(&party(name, "iso20022")).is_some(), "{name}");
            assert!(dotted(&party(name, "nacha")).unwrap().contains("files of nacha"));
            assert_eq!(dotted(&party(name, "card")), None);
        }
    }
}
