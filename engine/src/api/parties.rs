//! Parties: their names and accounts are sealed where a message becomes a wish, and opened where an
//! answer is made. Nothing behind this file sees them in plain text.
//!
//! Owns what of a party's message is sealed, and the steps of erasing one. Decides nothing.

use super::access::Own;
use super::messages::{asked, asks, exposure_message, id, party_message};
use super::proposals;
use super::registration::Asked;
use super::status::{invalid, refused, storage};
use super::trail;
use crate::ledger::sealed::check_name;
use crate::ledger::{
    Caller, Control, Keep, RailAccount, Refusal, SealedOnRail, SealedText, UpsertParty, Wish,
};
use crate::pipeline::NotDone;
use crate::rails;
use crate::settle::{Clearing, Engine};
use crate::types::{AssetNumber, PartyId};
use crate::vault::{Plain, SealedParty, Standing, VaultError};
use data_encoding::HEXLOWER;
use std::sync::Arc;
use tallystick_proto::v1;
use tonic::Status;

asks! {
    ErasePartyRequest "EraseParty",
}

/// A party as it was asked for, checked and not sealed.
pub(super) struct PartyAsked {
    suspended: bool,
    reopen: bool,
    keep: Option<v1::Keep>,
    /// What is sealed of it.
    pub plain: Plain,
}

/// Checks what is asked of a party's name and accounts in plain text. `clearing` has the operator's
/// own accounts: no party's may be one of them.
pub(super) fn party_asked(
    message: v1::UpsertPartyRequest,
    clearing: &Clearing,
) -> Result<PartyAsked, Status> {
    let v1::UpsertPartyRequest { request_id, party, reopen, keep } = message;
    trail::is_request(&request_id);
    let v1::Party { party_id, name, suspended, accounts, erased, proposal: _, masked } =
        party.ok_or_else(|| invalid("party is missing"))?;
    let party: PartyId = id(&party_id, "party_id")?;
    if masked {
        return Err(invalid(
            "this is a party as the console shows it, with its name and accounts hidden: call RevealParty first, or              say in `keep` what stays, and leave `masked` out",
        ));
    }
    if erased {
        return Err(invalid("a party cannot be registered as erased; call EraseParty"));
    }
    if !keep.as_ref().is_some_and(|keep| keep.name) {
        check_name(&name).map_err(|r| refused(&r))?;
    }
    let removed = keep.iter().flat_map(|keep| &keep.remove_accounts);
    if let Some(rail) = removed.into_iter().find(|rail| accounts.contains_key(*rail)) {
        return Err(invalid(format!("the account on rail {rail:?} is both given and removed")));
    }
    let account = |(rail, account): (String, v1::SettlementAccount)| {
        let checked = rails::check_account(&rail, &account.fields)
            .and_then(|account| rails::check_apart(&account, clearing).map(|()| account));
        checked.map_err(|error| invalid(format!("account on rail {rail:?}: {error}")))
    };
    let accounts = accounts.into_iter().map(account).collect::<Result<Vec<RailAccount>, _>>()?;
    let plain = Plain { party, name, accounts, request_id };
    Ok(PartyAsked { suspended, reopen, keep, plain })
}

impl PartyAsked {
    /// What the ledger knows of it, or why it may not be registered.
    pub fn standing(&self, control: &Control) -> Result<Standing, Refusal> {
        let party = self.plain.party;
        control.check_open(party, self.reopen)?;
        let registered = control.party(party).is_ok_and(|entry| !entry.is_erased());
        Ok(Standing { erasures: control.erasures(party), registered })
    }

    /// The wish, once it is sealed. The request's content is the digest of what is sealed: a digest
    /// of a name would stay in the journal when the name is erased, and could be guessed at.
    pub fn wish(self, sealed: SealedParty) -> Result<Asked, Status> {
        let SealedParty { name, accounts, erasures, request_id } = sealed;
        let (suspended, reopen, party) = (self.suspended, self.reopen, self.plain.party);
        let hex = |text: &SealedText| HEXLOWER.encode(text.bytes());
        let account = |on: &SealedOnRail| {
            let fields = [(String::new(), hex(&on.fields))].into();
            (on.rail.clone(), v1::SettlementAccount { fields })
        };
        let content = v1::UpsertPartyRequest {
            request_id,
            party: Some(v1::Party {
                party_id: party.0.to_vec().into(),
                name: hex(&name),
                suspended,
                accounts: accounts.iter().map(account).collect(),
                erased: false,
                ..v1::Party::default()
            }),
            reopen,
            keep: self.keep.clone(),
        };
        let (request, _) = asked(content)?;
        let v1::Keep { name: keep_name, suspended: keep_suspended, accounts: rest, .. } =
            self.keep.clone().unwrap_or_default();
        let keep = Keep {
            name: keep_name,
            suspended: keep_suspended,
            accounts: rest,
            removed: self.keep.map(|keep| keep.remove_accounts).unwrap_or_default(),
        };
        let upsert = UpsertParty { party, name, suspended, accounts, reopen, erasures, keep };
        Ok((request, Wish::UpsertParty(upsert)))
    }
}

/// Seals parties, each on its own. Takes its time: new keys are made durable.
pub(super) fn seal(engine: &Engine, asked: Vec<PartyAsked>) -> Vec<Result<Asked, Status>> {
    let plain: Vec<Plain> = asked.iter().map(|one| one.plain.clone()).collect();
    let standing = |place: usize| engine.standing(|control| asked[place].standing(control));
    match engine.vault().seal_parties(&plain, &standing) {
        Ok(sealed) => {
            let wish =
                |(one, sealed): (PartyAsked, Result<SealedParty, VaultError>)| one.wish(sealed?);
            asked.into_iter().zip(sealed).map(wish).collect()
        }
        Err(error) => asked.iter().map(|_| Err(Status::from(&error))).collect(),
    }
}

/// Registers a party.
pub(super) async fn upsert(
    engine: &Engine,
    caller: Caller,
    message: v1::UpsertPartyRequest,
) -> Result<v1::Party, Status> {
    let keeps = message.keep.is_some();
    let asked = party_asked(message, engine.clearing())?;
    let here = engine.clone();
    let sealed = tokio::task::spawn_blocking(move || seal(&here, vec![asked]));
    let sealed = sealed.await.expect("sealing does not panic").pop();
    let (request, wish) = sealed.expect("one wish a party")?;
    let Wish::UpsertParty(UpsertParty { party, name, suspended, accounts, .. }) = wish.clone()
    else {
        unreachable!("a party is registered")
    };
    let done = engine.tell(wish.by(caller, request)).await?;
    let proposal = proposals::of(engine, &done);
    if !proposal.is_empty() {
        return Ok(v1::Party { proposal, ..get(engine, party).await? });
    }
    if keeps {
        // What was kept is known to the ledger alone.
        return get(engine, party).await;
    }
    show(engine, party, Some(name), accounts, suspended).await
}

/// What a party owes now, and what it may owe.
pub(super) async fn exposure(
    engine: &Engine,
    own: &Own,
    message: v1::GetExposureRequest,
) -> Result<v1::Exposure, Status> {
    let (party, asset) = (id(&message.party_id, "party_id")?, AssetNumber(message.asset));
    own.party(party)?;
    let known = engine.ask(|control| {
        control.party(party)?;
        control.asset(asset).map(|_| ())
    });
    known.await?;
    Ok(exposure_message(party, asset, engine.exposure(party, asset).await?))
}

/// A party as it is now.
pub(super) async fn get(engine: &Engine, party: PartyId) -> Result<v1::Party, Status> {
    let entry = engine.ask(|control| control.party(party).cloned()).await?;
    show(engine, party, entry.name, entry.accounts, entry.suspended).await
}

async fn show(
    engine: &Engine,
    party: PartyId,
    name: Option<SealedText>,
    accounts: Vec<SealedOnRail>,
    suspended: bool,
) -> Result<v1::Party, Status> {
    let (vault, flags) = (engine.vault().clone(), (suspended, name.is_none()));
    let shown =
        tokio::task::spawn_blocking(move || vault.show_party(party, name.as_ref(), &accounts));
    let shown = shown.await.expect("opening does not panic").map_err(|e| storage(&e))?;
    Ok(party_message(party, shown, flags))
}

/// Erases a party, one at a time: it is journaled, then its key is destroyed. Goes on when the
/// client does not wait for it; what a crash leaves half done, the next start finishes.
pub(super) async fn erase(
    engine: &Engine,
    turn: Arc<tokio::sync::Mutex<()>>,
    caller: Caller,
    message: v1::ErasePartyRequest,
) -> Result<v1::Party, Status> {
    let (request, message) = asked(message)?;
    let party: PartyId = id(&message.party_id, "party_id")?;
    let here = engine.clone();
    let erased = tokio::spawn(async move {
        let _turn = turn.lock_owned().await;
        let (looks, finishes) = (here.clone(), here.clone());
        let begun = tokio::task::spawn_blocking(move || {
            looks.vault().begin_erasing(party)?;
            Ok::<_, VaultError>(looks.clear_of(party)?)
        });
        let clear = begun.await.expect("it does not panic")?;
        let wish = Wish::EraseParty { party, deposits: message.deposits, clear };
        let done = here.tell(wish.by(caller, request)).await;
        // Whether it was journaled is not known: the next start looks.
        if let Err(NotDone::Busy(reason)) = done {
            return Err(reason.into());
        }
        let erasures = here.erasures(party);
        let finish = move || finishes.vault().finish_erasing(party, erasures);
        tokio::task::spawn_blocking(finish).await.expect("it does not panic")?;
        Ok::<_, Status>(done?)
    });
    erased.await.expect("erasing does not panic")?;
    get(engine, party).await
}
