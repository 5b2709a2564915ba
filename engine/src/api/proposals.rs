//! What takes two: proposals as they are shown, confirmed and withdrawn, and how an answer says
//! that what was asked for is one.

use super::messages::{asked, asked_signed, asks, bytes, id};
use super::status::storage;
use crate::journal::{Chain, Entry};
use crate::ledger::event::{Change, EyesEvent, IdentityAdded, PartyUpserted};
use crate::ledger::eyes::Proposal;
use crate::ledger::{
    Caller, Control, Credential, Event, RailAccount, Refusal, Role, SealedOnRail, SealedText, Wish,
};
use crate::pipeline::{Done, now};
use crate::settle::{Engine, NotRead};
use crate::types::{AssetNumber, Digest, Lsn, PartyId, Timestamp};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use tallystick_proto::v1;
use tonic::Status;

asks! {
    ConfirmProposalRequest "ConfirmProposal" signature,
    WithdrawProposalRequest "WithdrawProposal",
}

/// The proposal that a command has become, if it has; empty where it stands at once.
pub(super) fn made_by(engine: &Engine, lsn: Lsn) -> Bytes {
    let made = engine.standing(|control| Ok(control.eyes().made_by(lsn).map(|of| of.id)));
    made.ok().flatten().map(|id| bytes(&id.0)).unwrap_or_default()
}

/// The same of what was done.
pub(super) fn of(engine: &Engine, done: &Done) -> Bytes {
    made_by(engine, done.lsn())
}

/// What a retry is told whose proposal is over.
pub(super) fn ended() -> Status {
    Status::failed_precondition(
        "this request proposed a change, and that proposal is over: `tallystick history --request-id ID` shows it, \
         and what came after it what became of it",
    )
}

/// Which of these records proposed something that is over and never happened: it was withdrawn, or
/// has expired. What became of it, the journal alone says.
pub(super) async fn gone(engine: &Engine, lsns: BTreeSet<Lsn>) -> Result<BTreeSet<Lsn>, Status> {
    let found = engine.ask(|control| {
        let open: BTreeSet<Lsn> = control.eyes().open(now()).map(|(lsn, _)| lsn).collect();
        Ok((control.history().lsn, control.eyes().row().is_some(), open))
    });
    let (last, ever, open) = found.await?;
    let Some(first) = lsns.first().copied().filter(|_| ever) else { return Ok(BTreeSet::new()) };
    let engine = engine.clone();
    let read = tokio::task::spawn_blocking(move || {
        let (chain, mut over) = (Chain::start(), BTreeMap::new());
        engine.archive().events_between(first, last, &mut |lsn, bytes| {
            let record = chain.single(lsn, bytes)?;
            let Entry::Fact(fact) = record.entry()? else { return Ok(()) };
            if let Some(of) = &fact.confirms {
                over.remove(&of.proposal);
            } else if let Event::Eyes(EyesEvent::Proposed(e)) = &fact.event
                && lsns.contains(&lsn)
                && !open.contains(&lsn)
            {
                over.insert(e.proposal, lsn);
            }
            Ok(())
        })?;
        Ok(over.into_values().collect())
    });
    read.await.expect("reading does not panic").map_err(|error: NotRead| error.into())
}

/// Those that wait for another, oldest first.
pub(super) async fn list(engine: &Engine) -> Result<Vec<v1::Proposal>, Status> {
    let at = now();
    let open = engine.ask(|control| {
        let open = control.eyes().open(at);
        Ok(open.map(|(lsn, of)| Looked::at(control, lsn, of, at)).collect::<Vec<_>>())
    });
    let open = open.await?;
    let mut messages = Vec::with_capacity(open.len());
    for looked in open {
        let why = looked.void.clone();
        let state = if why.is_empty() { "open" } else { "void" };
        messages.push(v1::Proposal { why, ..looked.message(engine, state).await? });
    }
    Ok(messages)
}

/// Has one happen. To a retry it is said that it has.
pub(super) async fn confirm(
    engine: &Engine,
    caller: Caller,
    message: v1::ConfirmProposalRequest,
) -> Result<v1::Proposal, Status> {
    let (request, message, signature) = asked_signed(message)?;
    let proposal: Digest = id(&message.proposal, "proposal")?;
    let shown = look(engine, proposal, "confirmed").await?;
    engine.confirm_proposal(caller.asks(request), proposal, signature).await?;
    // A hold that is released lets payments leave.
    engine.nudge();
    Ok(shown)
}

/// Takes one away. To a retry it is said that it is gone.
pub(super) async fn withdraw(
    engine: &Engine,
    caller: Caller,
    message: v1::WithdrawProposalRequest,
) -> Result<v1::Proposal, Status> {
    let (request, message) = asked(message)?;
    let proposal: Digest = id(&message.proposal, "proposal")?;
    let shown = look(engine, proposal, "withdrawn").await?;
    let reason = message.reason;
    engine.tell(Wish::WithdrawProposal { proposal, reason }.by(caller, request)).await?;
    Ok(shown)
}

/// A proposal as it stands before it ends; of one that has ended, its name.
async fn look(engine: &Engine, id: Digest, state: &str) -> Result<v1::Proposal, Status> {
    let found = engine.ask(|control| {
        let place = control.eyes().place(id);
        let found = place.and_then(|lsn| Some((lsn, control.eyes().made_by(lsn)?)));
        Ok(found.map(|(lsn, of)| Looked::at(control, lsn, of, now())))
    });
    match found.await? {
        Some(looked) => looked.message(engine, state).await,
        None => {
            let (proposal, state) = (bytes(&id.0), state.to_owned());
            Ok(v1::Proposal { proposal, state, ..Default::default() })
        }
    }
}

/// What the control state says of a proposal at one moment.
struct Looked {
    lsn: Lsn,
    of: Proposal,
    /// Of a party that it changes: what it is now.
    party: Option<(Option<SealedText>, Vec<SealedOnRail>, bool)>,
    /// Of an identity whose key it changes.
    credential: Option<Credential>,
    /// Why nobody can confirm it any more; empty while somebody can.
    void: String,
}

impl Looked {
    fn at(control: &Control, lsn: Lsn, of: &Proposal, at: Timestamp) -> Self {
        let party = if let Change::Party(e) = &of.change { Some(e.party) } else { None };
        let party = party.and_then(|party| control.party(party).ok());
        let party = party.map(|held| (held.name.clone(), held.accounts.clone(), held.suspended));
        let named = if let Change::Credential(e) = &of.change { Some(&*e.name) } else { None };
        let held = named.and_then(|name| control.identities().named(name).ok());
        let credential = held.map(|held| held.credential.clone());
        let void = control.check_confirmable(of, at).err();
        let void = void.map(|misfit| misfit.to_string()).unwrap_or_default();
        Self { lsn, of: of.clone(), party, credential, void }
    }

    async fn message(self, engine: &Engine, state: &str) -> Result<v1::Proposal, Status> {
        let fields = self.fields(engine).await?;
        let event = self.of.change.event();
        let about = event.about();
        Ok(v1::Proposal {
            proposal: bytes(&self.of.id.0),
            proposer: self.of.proposer.clone(),
            proposed_at_us: self.of.at.0,
            expires_at_us: self.of.expires_at().0,
            lsn: self.lsn.0,
            kind: event.kind_name().to_owned(),
            party_id: about.party.map(|party| bytes(&party.0)).unwrap_or_default(),
            asset: about.asset.map(|asset| asset.0),
            fields,
            state: state.to_owned(),
            why: String::new(),
        })
    }

    async fn fields(&self, engine: &Engine) -> Result<Vec<v1::ProposedField>, Status> {
        Ok(match &self.of.change {
            Change::Party(e) => {
                let (engine, e, party) = (engine.clone(), e.clone(), self.party.clone());
                let shown = move || party_fields(&engine, &e, party);
                let shown = tokio::task::spawn_blocking(shown).await;
                shown.expect("opening does not panic")?
            }
            Change::Limit(e) => {
                let (limit, _) = money(engine, e.party, e.asset).await?;
                vec![sum("limit", limit, e.limit.to_string())]
            }
            Change::Deposit(e) => {
                let (_, prefund) = money(engine, e.party, e.asset).await?;
                vec![
                    sum("deposits left", prefund, String::new()),
                    sum("deposit", String::new(), e.amount.to_string()),
                    new("reference", e.reference.clone()),
                ]
            }
            Change::Signer(e) => {
                let caps = e.caps.iter().map(|cap| format!("{} of {}", cap.amount.0, cap.asset));
                let caps = caps.collect::<Vec<_>>().join(", ");
                vec![new("signer", e.signer.to_string()), new("caps", caps)]
            }
            Change::Identity(e) => identity_fields(e),
            Change::Credential(e) => vec![
                new("identity", e.name.clone()),
                field(
                    "known by",
                    self.credential.as_ref().map(known_by).unwrap_or_default(),
                    known_by(&e.credential),
                ),
            ],
            Change::OperatorKey(e) => {
                let operator = e.operator.clone();
                let key = engine.standing(|c| Ok(c.operator_keys().current(&operator)));
                let key = key.ok().flatten().map(|key| key.to_string()).unwrap_or_default();
                vec![new("operator", e.operator.clone()), field("key", key, String::new())]
            }
            Change::Hold(e) => vec![new("reason", e.reason.clone())],
        })
    }
}

/// A party's limit, and what is left of its deposits.
async fn money(
    engine: &Engine,
    party: PartyId,
    asset: AssetNumber,
) -> Result<(String, String), Status> {
    let exposure = engine.exposure(party, asset).await?;
    Ok((exposure.limit.to_string(), exposure.prefund.to_string()))
}

fn field(name: impl Into<String>, before: String, after: String) -> v1::ProposedField {
    v1::ProposedField { name: name.into(), before, after, money: false }
}

fn new(name: &str, after: String) -> v1::ProposedField {
    field(name, String::new(), after)
}

fn sum(name: &str, before: String, after: String) -> v1::ProposedField {
    v1::ProposedField { money: true, ..field(name, before, after) }
}

/// By what somebody is known. An API key is nobody's to see.
fn known_by(credential: &Credential) -> String {
    match credential {
        Credential::Key(digest) => {
            let digest = digest.to_string();
            format!("an API key with the digest {}", &digest[..16])
        }
        Credential::Signed(key) => format!("the public key {key}"),
        Credential::Certificate(name) => format!("the certificate {name}"),
    }
}

fn identity_fields(e: &IdentityAdded) -> Vec<v1::ProposedField> {
    let mut fields = vec![
        new("identity", e.name.clone()),
        new("role", e.role.name().to_owned()),
        new("known by", known_by(&e.credential)),
    ];
    if e.role == Role::Party {
        let parties = e.scope.parties.iter().map(PartyId::to_string);
        fields.push(new("parties", parties.collect::<Vec<_>>().join(", ")));
    }
    fields
}

/// What of a party becomes another: only that.
fn party_fields(
    engine: &Engine,
    e: &PartyUpserted,
    held: Option<(Option<SealedText>, Vec<SealedOnRail>, bool)>,
) -> Result<Vec<v1::ProposedField>, Status> {
    let vault = engine.vault();
    let after = vault.show_party(e.party, Some(&e.name), &e.accounts).map_err(|e| storage(&e))?;
    let (name, accounts, suspended) = held.unwrap_or_default();
    let before = vault.show_party(e.party, name.as_ref(), &accounts).map_err(|e| storage(&e))?;
    let mut fields = Vec::new();
    if before.name != after.name {
        fields.push(field("name", before.name, after.name));
    }
    if suspended != e.suspended {
        let word = |suspended| if suspended { "yes" } else { "no" }.to_owned();
        fields.push(field("suspended", word(suspended), word(e.suspended)));
    }
    let (mut old, new) = (by_rail(&before.accounts), by_rail(&after.accounts));
    for (rail, text) in new {
        let was = old.remove(&rail).unwrap_or_default();
        if was != text {
            fields.push(field(format!("account on {rail}"), was, text));
        }
    }
    let gone = |(rail, was)| field(format!("account on {rail}"), was, String::new());
    fields.extend(old.into_iter().map(gone));
    Ok(fields)
}

fn by_rail(accounts: &[RailAccount]) -> BTreeMap<String, String> {
    let text = |account: &RailAccount| {
        let fields = account.fields.iter().map(|(name, value)| format!("{name}={value}"));
        (account.rail.clone(), fields.collect::<Vec<_>>().join(", "))
    };
    accounts.iter().map(text).collect()
}

/// How many are open now.
pub(super) fn open(control: &Control) -> Result<u64, Refusal> {
    Ok(u64::try_from(control.eyes().open(now()).count()).expect("a count fits 64 bits"))
}
