//! Keys come and go: made before they are used, destroyed when the ledger has erased their party,
//! and not otherwise.

use super::*;
use crate::journal::Journal;
use crate::journal::memory::Memory;
use crate::ledger::ERASED;

const PARTY: PartyId = PartyId([1; 32]);
const NEW: Standing = Standing { erasures: 0, registered: false };
const REGISTERED: Standing = Standing { erasures: 0, registered: true };
const ERASED_ONCE: Standing = Standing { erasures: 1, registered: false };

/// How many rows are kept of keys and of what is being erased.
fn rows(journal: &Journal<Memory>) -> usize {
    let mut rows = 0;
    let mut count = |_: &[u8], _: &[u8]| {
        rows += 1;
        Ok(())
    };
    journal.tables.scan(Table::PartyKeys, &[0], &[0xff], &mut count).unwrap();
    rows
}

fn vault(journal: &Journal<Memory>) -> Vault {
    Vault::seeded(journal.tables.clone(), [9; 32])
}

fn plain(name: &str) -> Plain {
    let fields = vec![("iban".to_owned(), "DE02120300000000202051".to_owned())];
    let accounts = vec![RailAccount { rail: "iso20022".into(), fields }];
    Plain { party: PARTY, name: name.into(), accounts, request_id: "r".into() }
}

fn sealed(vault: &Vault, name: &str, standing: Standing) -> Result<SealedParty, VaultError> {
    vault.seal_parties(&[plain(name)], &|_| Ok(standing)).unwrap().pop().unwrap()
}

fn shown(vault: &Vault, sealed: &SealedParty) -> String {
    vault.show_party(PARTY, Some(&sealed.name), &sealed.accounts).unwrap().name
}

#[test]
fn a_key_is_durable_before_anything_is_sealed_under_it_and_stays_the_same() {
    let journal = Memory::journal();
    let first = sealed(&vault(&journal), "Ann", NEW).unwrap();
    let journal = journal.log.after_power_cut();
    let again = sealed(&vault(&journal), "Ann", REGISTERED).unwrap();
    assert_eq!((&first.name, &first.accounts), (&again.name, &again.accounts));
    assert_eq!(shown(&vault(&journal), &first), "Ann");
    let party = vault(&journal).show_party(PARTY, Some(&first.name), &first.accounts).unwrap();
    assert_eq!(party.accounts, plain("Ann").accounts);
}

#[test]
fn a_party_that_stands_twice_in_one_import_has_one_key() {
    let journal = Memory::journal();
    let vault = vault(&journal);
    let both = vault.seal_parties(&[plain("Ann"), plain("Bob")], &|_| Ok(NEW)).unwrap();
    let names = both.into_iter().map(|one| shown(&vault, &one.unwrap()));
    assert_eq!(names.collect::<Vec<_>>(), ["Ann", "Bob"]);
}

/// The id of a line that was imported is a hash of the line: of the name and the account in it.
#[test]
fn a_request_id_that_follows_from_the_text_is_recorded_as_nothing_that_can_be_guessed_at() {
    let journal = Memory::journal();
    let vault = vault(&journal);
    let recorded = |id: &str| {
        let plain = Plain { request_id: id.into(), ..plain("Ann") };
        let sealed = vault.seal_parties(&[plain], &|_| Ok(NEW)).unwrap().pop().unwrap();
        sealed.unwrap().request_id
    };
    let made = format!("import-{}", "ab".repeat(16));
    let blind = recorded(&made);
    assert!(blind.starts_with("import-") && blind.len() == made.len() && blind != made);
    assert_eq!(recorded(&made), blind, "a file that is imported again changes nothing more");
    assert_ne!(recorded("import-x"), blind);
    assert_eq!(recorded("bank-17"), "bank-17");
}

#[test]
fn a_registered_party_without_a_key_gets_no_other_in_its_place() {
    let journal = Memory::journal();
    let refused = sealed(&vault(&journal), "Ann", REGISTERED);
    assert!(matches!(refused, Err(VaultError::NoKey(PARTY))));
}

#[test]
fn a_key_is_destroyed_when_its_party_was_erased_since_and_what_was_sealed_says_so() {
    let journal = Memory::journal();
    let vault = vault(&journal);
    let first = sealed(&vault, "Ann", NEW).unwrap();
    vault.begin_erasing(PARTY).unwrap();
    // The ledger refused it.
    vault.finish_erasing(PARTY, 0).unwrap();
    assert_eq!(shown(&vault, &first), "Ann");
    vault.begin_erasing(PARTY).unwrap();
    // It is erased, and its key is still there: nothing is sealed under that any more.
    let refused = sealed(&vault, "Ann", ERASED_ONCE);
    assert!(matches!(refused, Err(VaultError::BeingErased(PARTY))));
    vault.finish_erasing(PARTY, 1).unwrap();
    assert_eq!(shown(&vault, &first), ERASED);
    assert_eq!(rows(&journal), 0);
    // Registered anew, it has a key that the old erasing does not touch.
    let second = sealed(&vault, "Ann", ERASED_ONCE).unwrap();
    assert_ne!(second.name, first.name);
    vault.finish_erasing(PARTY, 1).unwrap();
    assert_eq!((shown(&vault, &second), shown(&vault, &first)), ("Ann".into(), ERASED.into()));
}

#[test]
fn what_was_left_half_done_is_finished_at_the_next_start() {
    for (erasures, name) in [(1, ERASED), (0, "Ann")] {
        let journal = Memory::journal();
        let before = vault(&journal);
        let first = sealed(&before, "Ann", NEW).unwrap();
        before.begin_erasing(PARTY).unwrap();
        let journal = journal.log.after_power_cut();
        let after = vault(&journal);
        after.finish_all(&|_| erasures).unwrap();
        assert_eq!(shown(&after, &first), name);
        assert_eq!(rows(&journal), usize::from(erasures == 0), "nothing is left to do");
    }
}

#[test]
fn what_one_root_key_keeps_no_other_opens() {
    let journal = Memory::journal();
    let first = sealed(&vault(&journal), "Ann", NEW).unwrap();
    let other = Vault::seeded(journal.tables.clone(), [8; 32]);
    assert_eq!(shown(&other, &first), ERASED);
    let refused = sealed(&other, "Ann", REGISTERED);
    assert!(matches!(refused, Err(VaultError::OtherKey(PARTY))));
}
