//! Names and accounts in a run: sealed by the engine's own vault before they are asked for, and
//! erased now and then. Owns the steps that the edge does around such a command, and what must hold
//! of the keys whenever the engine is back.

use crate::check::{Checked, ensure};
use crate::clients::by;
use crate::life::{Halt, Life, died};
use crate::run::Run;
use crate::task::{self, Call, Doing, Task};
use tallystick::journal::{Table, Tables as _};
use tallystick::ledger::{Command, RailAccount, Refusal, UpsertParty, Wish};
use tallystick::types::PartyId;
use tallystick::vault::{Plain, Standing, VaultError};

/// The tag of a row that holds a party's key (`docs/FORMATS.md`).
const KEYS: u8 = 1;

/// The field of every account here.
const FIELD: &str = "iban";

/// What an edge takes of a party, from a wish whose texts are not sealed yet.
fn plain(upsert: &UpsertParty) -> Plain {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let account = |on: &tallystick::ledger::SealedOnRail| RailAccount {
        rail: on.rail.clone(),
        fields: vec![(FIELD.to_owned(), text(on.fields.bytes()))],
    };
    let accounts = upsert.accounts.iter().map(account).collect();
    let (party, name, request_id) = (upsert.party, text(upsert.name.bytes()), String::new());
    Plain { party, name, accounts, request_id }
}

/// What a step that needs a key came to.
fn halt(life: &Life, error: &VaultError) -> Halt {
    match error {
        VaultError::Storage(error) => died(&life.disk, error),
        VaultError::Refused(_)
        | VaultError::Secret(_)
        | VaultError::BeingErased(_)
        | VaultError::NoKey(_)
        | VaultError::OtherKey(_) => Halt::Wrong(error.to_string()),
    }
}

impl Run<'_> {
    /// Asks for commands as the edge does: parties are sealed first, and one that was erased, or is
    /// just being, is refused there.
    pub(crate) fn ask_plain(&mut self, commands: Vec<Command>) -> Result<(), Halt> {
        let mut sealed = Vec::with_capacity(commands.len());
        for command in commands {
            match self.sealed(command)? {
                Ok(command) => sealed.push(command),
                Err(word) => self.heard.word(format!("{word} at the edge")),
            }
        }
        if sealed.is_empty() {
            return Ok(());
        }
        // Now and then somebody forgets to sign.
        match self.dice.percent(90) {
            true => self.ask_commands(sealed),
            false => self.ask_as_they_are(sealed),
        }
    }

    fn sealed(&mut self, command: Command) -> Result<Result<Command, &'static str>, Halt> {
        let Command { envelope, wish } = command;
        let Wish::UpsertParty(upsert) = wish else {
            return Ok(Ok(Command { envelope, wish }));
        };
        let life = self.life();
        let (plain, party, reopen) = (plain(&upsert), upsert.party, upsert.reopen);
        let standing = |_| {
            let control = life.stepper.control();
            control.check_open(party, reopen)?;
            let registered = control.party(party).is_ok_and(|entry| !entry.is_erased());
            Ok::<_, Refusal>(Standing { erasures: control.erasures(party), registered })
        };
        let sealed = life.archive.vault().seal_parties(&[plain], &standing);
        let sealed = sealed.map_err(|error| halt(life, &error))?.pop().expect("one was asked for");
        match sealed {
            Ok(sealed) => {
                let (name, accounts, erasures) = (sealed.name, sealed.accounts, sealed.erasures);
                let upsert = UpsertParty { name, accounts, erasures, ..upsert };
                Ok(Ok(Command { envelope, wish: Wish::UpsertParty(upsert) }))
            }
            Err(VaultError::BeingErased(_)) => Ok(Err("BeingErased")),
            Err(VaultError::Refused(refusal)) => Ok(Err(crate::model::word(&refusal))),
            Err(error) => Err(halt(life, &error)),
        }
    }

    /// One party at a time, as the engine's edge does it: mostly one that is suspended.
    pub(crate) fn erase(&mut self) -> Result<(), Halt> {
        let erasing =
            |task: &Task| matches!(task.call, Call::Commands { doing: Doing::Erases(_), .. });
        if self.life().tasks.iter().any(erasing) {
            return Ok(());
        }
        let parties = &self.world.parties[..self.world.parties.len() - 1];
        let suspended: Vec<PartyId> = parties
            .iter()
            .copied()
            .filter(|id| self.model.now.parties.get(id).is_some_and(|party| party.suspended))
            .collect();
        let from = if suspended.is_empty() || self.dice.percent(10) { parties } else { &suspended };
        let party = *self.dice.pick(from);
        let deposits = if self.dice.percent(70) { "sent back".to_owned() } else { String::new() };
        let request = self.clients.rotation(&mut self.dice);
        let life = self.life();
        let begun = life.archive.vault().begin_erasing(party);
        begun.map_err(|error| halt(life, &error))?;
        let clear = life.archive.clear_of(&life.intake, party);
        let clear = clear.map_err(|error| died(&life.disk, &error))?;
        let command = Wish::EraseParty { party, deposits, clear }.by(by(""), request);
        let call = task::commands(&life.intake, vec![command], Doing::Erases(party));
        self.call(call)
    }

    /// After every start no key is left that the journal says is destroyed, and each party that is
    /// not erased has its own.
    pub(crate) fn keys_are_right(&self) -> Checked {
        let mut rows = std::collections::BTreeMap::new();
        let scanned = self.disk.scan(Table::PartyKeys, &[KEYS], &[KEYS + 1], &mut |key, row| {
            let generation = row.first_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes));
            rows.extend(PartyId::from_slice(&key[1..]).zip(generation));
            Ok(())
        });
        scanned.map_err(|error| error.to_string())?;
        for (party, generation) in &rows {
            let erasures = self.model.now.erasures(*party);
            ensure(*generation >= erasures, || {
                format!("party {party} was erased {erasures} times and has key {generation}")
            })?;
        }
        for (id, party) in self.model.now.parties.iter().filter(|(_, party)| !party.erased) {
            let key = rows.get(id);
            ensure(key == Some(&party.erasures), || format!("party {id} has the key {key:?}"))?;
        }
        Ok(())
    }
}

/// The edge was told what became of an erasure.
pub fn erased(life: &Life, party: PartyId) -> Result<(), Halt> {
    let erasures = life.stepper.control().erasures(party);
    let finished = life.archive.vault().finish_erasing(party, erasures);
    finished.map_err(|error| halt(life, &error))
}
