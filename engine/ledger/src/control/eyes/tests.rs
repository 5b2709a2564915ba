//! Who may do what alone, who confirms what, and every way around it that was thought of.

use super::*;
use crate::control::Decision;
use crate::envelope::{Caller, Role, Via};
use crate::event::{CreditLimitSet, EyesEvent, EyesSet, Genesis, IdentityAdded, LedgerRestored};
use crate::fixture::{as_sealed, upsert};
use crate::fund::tests::unlinked;
use crate::identity::{Credential, IdentityMisfit, Scope};
use crate::limits::PROPOSAL_LIFE;
use crate::sealed::SealedOnRail;
use crate::types::{
    AssetDef, AssetNumber, FitKey, NetworkId, PartyId, SettlementModel, SignerKey, Total,
};
use crate::wish::{Keep, UpsertParty};
use crate::{Command, Request, Wish};

const PARTY: PartyId = PartyId([2; 32]);
const ASSET: AssetNumber = AssetNumber(978);
const NETWORK: NetworkId = NetworkId([1; 32]);

mod more;
mod owned;

struct World {
    control: Control,
    lsn: u64,
    now: Timestamp,
}

fn key(word: &str) -> Credential {
    Credential::Key(Digest(*blake3::hash(word.as_bytes()).as_bytes()))
}

fn added(name: &str, role: Role) -> IdentityAdded {
    let parties = if role == Role::Party { vec![PARTY] } else { Vec::new() };
    let (name, credential) = (name.to_owned(), key(name));
    let scope = Scope { parties, payees: Vec::new() };
    IdentityAdded { name, role, credential, scope, expires_at: None, rate: 0 }
}

fn add(name: &str, role: Role) -> Wish {
    Wish::AddIdentity(added(name, role))
}

fn rotate(name: &str, word: &str) -> Wish {
    Wish::RotateIdentity { name: name.to_owned(), credential: key(word) }
}

fn revoke(name: &str) -> Wish {
    Wish::RevokeIdentity { name: name.to_owned() }
}

fn limit(limit: u128) -> Wish {
    Wish::SetCreditLimit { party: PARTY, asset: ASSET, limit: Total(limit) }
}

fn deposit(amount: u128) -> Wish {
    let (amount, reference) = (Total(amount), "R1".to_owned());
    Wish::RecordDeposit { party: PARTY, asset: ASSET, amount, reference }
}

fn signer(n: u8) -> Wish {
    let signer = FitKey::checked(SignerKey([n; 32]));
    Wish::AddSigner { signer, party: PARTY, caps: Vec::new() }
}

/// The party with this account, and what else is said of it.
fn party(account: &str, suspended: bool) -> UpsertParty {
    let on = SealedOnRail { rail: "iso20022".into(), fields: as_sealed(account) };
    UpsertParty { accounts: vec![on], ..upsert(PARTY, "P", suspended) }
}

/// What came of a wish.
#[derive(Debug, PartialEq, Eq)]
enum Done {
    /// It stands.
    Stands,
    /// It waits for another.
    Waits(Digest),
}

impl World {
    /// A deployment with an asset and a party, before anybody has a name.
    fn bare() -> Self {
        let genesis = Genesis { network: NETWORK, lifetime_seconds_max: 60 };
        let control = Control::new(genesis, unlinked(Lsn(1)));
        let mut world = Self { control, lsn: 1, now: Timestamp(1_000) };
        let model = SettlementModel::Bilateral;
        let asset = AssetDef { number: ASSET, code: "EUR".into(), scale: 2, model };
        world.by("", Wish::CreateAsset { asset }).unwrap();
        world.by("", Wish::UpsertParty(party("a", false))).unwrap();
        world
    }

    /// The same with four eyes, and these operators in the configuration.
    fn with(operators: &[&str]) -> Self {
        let mut world = Self::bare();
        world.set(operators);
        world
    }

    fn set(&mut self, operators: &[&str]) {
        let operators = operators.iter().map(|&name| name.to_owned()).collect();
        self.engine(Wish::SetEyes(EyesSet { on: true, operators })).unwrap();
    }

    fn engine(&mut self, wish: Wish) -> Result<Done, Refusal> {
        self.command(Command::own(wish))
    }

    /// As the identity of this name, or else as an operator of the configuration.
    fn by(&mut self, name: &str, wish: Wish) -> Result<Done, Refusal> {
        let caller = match self.control.identities().named(name) {
            Ok(of) => Caller::identity(of),
            Err(_) => Caller::grpc(name.to_owned()),
        };
        let request = Request { id: format!("r{}", self.lsn), content: Digest([1; 32]) };
        self.command(wish.by(caller, request))
    }

    fn command(&mut self, command: Command) -> Result<Done, Refusal> {
        let Decision::New(fact, made) = self.control.decide(command, self.now)? else {
            panic!("each request is a new one")
        };
        self.lsn += 1;
        self.control.apply(unlinked(Lsn(self.lsn)), self.now, &fact, made);
        Ok(if let Event::Eyes(EyesEvent::Proposed(e)) = &fact.event {
            Done::Waits(e.proposal)
        } else {
            Done::Stands
        })
    }

    /// What a wish becomes that takes two.
    fn proposes(&mut self, name: &str, wish: Wish) -> Digest {
        match self.by(name, wish) {
            Ok(Done::Waits(proposal)) => proposal,
            other => panic!("it takes two: {other:?}"),
        }
    }

    fn confirms(&mut self, name: &str, proposal: Digest) -> Result<Done, Refusal> {
        self.by(name, Wish::ConfirmProposal { proposal, signed: None })
    }

    /// Two identities besides, whom the owner of the machine has let in.
    fn two() -> Self {
        let mut world = Self::with(&[]);
        for name in ["ann", "bob"] {
            world.engine(add(name, Role::Operator)).unwrap();
        }
        world
    }

    fn restored(&mut self) {
        let (instance, backup, position) = (Digest([1; 32]), Digest([2; 32]), Lsn(1));
        self.engine(Wish::BeginHold(LedgerRestored { instance, backup, position })).unwrap();
    }
}

fn same(proposal: Digest, proposer: &str) -> Result<Done, Refusal> {
    Err(EyesMisfit::SameConfirmer { proposal, proposer: proposer.to_owned() }.into())
}

fn not_own(name: &str, maker: &str) -> Result<Done, Refusal> {
    let (name, maker) = (name.to_owned(), maker.to_owned());
    Err(EyesMisfit::KeyOfAnother { name, maker }.into())
}

/// The table of `Call::takes`, row by row: what of each call one may do, and what takes two.
#[test]
fn what_takes_two_is_proposed_and_what_one_may_do_stands_at_once() {
    let mut world = World::two();
    world.engine(add("carl", Role::Operator)).unwrap();
    for (name, role) in [("fac", Role::Facilitator), ("aud", Role::Auditor), ("own", Role::Party)] {
        world.control.identities.add(
            Lsn(10_000 + world.lsn),
            crate::control::identity(Lsn(10_000 + world.lsn), &added(name, role), None),
        );
        world.lsn += 1;
    }
    world.restored();
    let renamed = UpsertParty { name: as_sealed("Q"), ..party("a", false) };
    let gone = UpsertParty { accounts: Vec::new(), ..party("a", false) };
    let other = UpsertParty { party: PartyId([9; 32]), ..party("x", false) };
    let release = Wish::ReleaseHold { reason: "looked".into() };
    let two = [
        limit(1),
        deposit(1),
        signer(7),
        Wish::UpsertParty(party("b", false)),
        Wish::UpsertParty(party("b", true)),
        Wish::UpsertParty(renamed),
        Wish::UpsertParty(gone),
        add("dan", Role::Operator),
        add("eve", Role::Approver),
        add("owner", Role::Party),
        rotate("bob", "bob-2"),
        rotate("own", "own-2"),
        release,
    ];
    for wish in two {
        let done = world.by("ann", wish.clone());
        assert!(matches!(done, Ok(Done::Waits(_))), "{wish:?}: {done:?}");
    }
    let one = [
        limit(0),
        Wish::UpsertParty(other),
        Wish::UpsertParty(party("a", false)),
        Wish::UpsertParty(party("a", true)),
        add("fac-2", Role::Facilitator),
        add("aud-2", Role::Auditor),
        rotate("fac", "fac-2-key"),
        rotate("aud", "aud-2-key"),
        rotate("ann", "ann-2"),
        revoke("carl"),
        Wish::CloseWindow,
    ];
    for wish in one {
        assert_eq!(world.by("ann", wish.clone()), Ok(Done::Stands), "{wish:?}");
    }
    // It is suspended now: to let it go on takes two.
    assert!(matches!(world.by("ann", Wish::UpsertParty(party("a", false))), Ok(Done::Waits(_))));
    // The owner of a party looks after its signers alone.
    assert_eq!(world.by("own", signer(8)), Ok(Done::Stands));
}

/// The classic fraud: one person changes an account, and is paid in another's place.
#[test]
fn an_account_changes_when_another_has_confirmed_it_and_as_it_was_shown() {
    let mut world = World::with(&["ann", "bob"]);
    let proposal = world.proposes("ann", Wish::UpsertParty(party("b", false)));
    let held = world.control.party(PARTY).unwrap().clone();
    assert_eq!(held.accounts[0].fields, as_sealed("a"), "nothing has changed");
    assert_eq!(world.confirms("ann", proposal), same(proposal, "ann"));
    assert_eq!(world.confirms("", proposal), same(proposal, "ann"), "who has no name is nobody");
    assert_eq!(world.confirms("bob", proposal), Ok(Done::Stands));
    let held = world.control.party(PARTY).unwrap().clone();
    assert_eq!(held.accounts[0].fields, as_sealed("b"));
    assert_eq!(world.confirms("bob", proposal), Err(EyesMisfit::NoProposal(proposal).into()));
    assert_eq!(world.control.eyes().all().count(), 0);
}

#[test]
fn the_record_of_a_confirmation_is_the_event_with_both_names() {
    let mut world = World::with(&["ann", "bob"]);
    let proposal = world.proposes("ann", limit(5));
    let request = Request { id: "c".into(), content: Digest([1; 32]) };
    let wish = Wish::ConfirmProposal { proposal, signed: None };
    let command = wish.by(Caller::grpc("bob".into()), request);
    let Decision::New(fact, _) = world.control.decide(command, world.now).unwrap() else {
        panic!("it is new")
    };
    let (party, asset, limit) = (PARTY, ASSET, Total(5));
    assert_eq!(fact.event, Event::from(CreditLimitSet { party, asset, limit }));
    let signature = UNSIGNED;
    let proposer = "ann".to_owned();
    assert_eq!(fact.confirms, Some(Confirmation { proposal, proposer, signature }));
    assert_eq!((fact.maker(), &*fact.envelope.caller.name), ("ann", "bob"));
}

/// The hole: one operator added an approver, and approved as them what they had made.
#[test]
fn nobody_makes_a_second_pair_of_eyes_alone() {
    // Not one who is the only one.
    let mut alone = World::with(&[]);
    for name in ["", "ann"] {
        for role in [Role::Operator, Role::Approver] {
            assert_eq!(
                alone.by(name, add("eve", role)),
                Err(EyesMisfit::FirstTwo.into()),
                "{name:?}"
            );
        }
        if name.is_empty() {
            alone.engine(add("ann", Role::Operator)).unwrap();
        }
    }
    // One does everything else alone as long as there never were two.
    assert_eq!(alone.by("ann", limit(5)), Ok(Done::Stands));
    assert!(!alone.control.eyes().had_two());
    // Not one of two either, and not as the one who is made.
    let mut world = World::two();
    let proposal = world.proposes("ann", add("eve", Role::Approver));
    assert_eq!(world.confirms("ann", proposal), same(proposal, "ann"));
    assert!(world.control.identities().named("eve").is_err());
    assert_eq!(world.confirms("bob", proposal), Ok(Done::Stands));
    // Ann has made eve's key, and may know it: until eve has made another, it counts for nothing.
    let by_ann = world.proposes("ann", limit(5));
    assert_eq!(world.confirms("eve", by_ann), not_own("eve", "ann"));
    assert_eq!(world.by("eve", rotate("eve", "her own")), Ok(Done::Stands));
    assert_eq!(world.confirms("eve", by_ann), Ok(Done::Stands));
}

/// To revoke is an emergency, and one may do it. It opens nothing.
#[test]
fn who_revokes_all_others_is_left_with_nothing_to_do_alone() {
    let mut world = World::two();
    assert_eq!(world.by("ann", revoke("bob")), Ok(Done::Stands));
    let proposal = world.proposes("ann", add("eve", Role::Operator));
    assert_eq!(world.confirms("ann", proposal), same(proposal, "ann"));
    assert!(matches!(world.by("ann", limit(5)), Ok(Done::Waits(_))));
    // The way out is on the machine.
    world.engine(add("cleo", Role::Operator)).unwrap();
    assert_eq!(world.confirms("cleo", proposal), Ok(Done::Stands));
    // The configuration is no way around it, either: with none in it, nobody proposes.
    let mut configured = World::with(&["ann", "bob"]);
    configured.set(&[]);
    assert_eq!(configured.by("", limit(5)), Err(EyesMisfit::NobodyProposes.into()));
    assert_eq!(configured.by("ann", limit(5)), Err(EyesMisfit::NobodyProposes.into()));
}

#[test]
fn a_name_is_one_persons_whether_configured_or_an_identity() {
    let mut world = World::with(&["ann", "bob"]);
    let taken = Err(Refusal::Identity(IdentityMisfit::NameTaken("bob".into())));
    assert_eq!(world.by("ann", add("bob", Role::Approver)), taken);
    // Nor after it was proposed, when the configuration has got such a name.
    let proposal = world.proposes("ann", add("cleo", Role::Approver));
    world.set(&["ann", "bob", "cleo"]);
    let taken = Err(Refusal::Identity(IdentityMisfit::NameTaken("cleo".into())));
    assert_eq!(world.confirms("bob", proposal), taken);
}

#[test]
fn facilitators_owners_auditors_and_the_schedule_confirm_nothing() {
    let mut world = World::two();
    for role in [Role::Facilitator, Role::Auditor, Role::Party] {
        let lsn = Lsn(20_000 + world.lsn);
        let of = crate::control::identity(lsn, &added(role.name(), role), None);
        world.control.identities.add(lsn, of);
        world.lsn += 1;
    }
    let proposal = world.proposes("ann", limit(5));
    for role in [Role::Facilitator, Role::Auditor, Role::Party] {
        let refused = world.confirms(role.name(), proposal);
        let (role, call) = (role.name(), "ConfirmProposal");
        assert_eq!(refused, Err(IdentityMisfit::NotAllowed { role, call }.into()));
    }
    let request = Request { id: "s".into(), content: Digest([1; 32]) };
    for caller in [Caller::schedule(), Caller::engine(), Caller::grpc(String::new())] {
        let wish = Wish::ConfirmProposal { proposal, signed: None };
        let refused = world.command(wish.by(caller, request.clone()));
        assert_eq!(refused, same(proposal, "ann"));
    }
    // An operator of a name that is not in the configuration is nobody.
    let wish = Wish::ConfirmProposal { proposal, signed: None };
    let stranger = Caller { name: "x".into(), role: Role::Operator, via: Via::Grpc };
    assert_eq!(world.command(wish.by(stranger, request)), same(proposal, "ann"));
}

#[test]
fn a_proposal_of_somebody_who_was_shut_out_is_not_confirmed() {
    let mut world = World::two();
    world.engine(add("cleo", Role::Operator)).unwrap();
    let proposal = world.proposes("ann", limit(5));
    assert_eq!(world.by("bob", revoke("ann")), Ok(Done::Stands));
    let gone = EyesMisfit::ProposerGone { proposal, proposer: "ann".into() };
    assert_eq!(world.confirms("bob", proposal), Err(gone.into()));
    let withdraw = Wish::WithdrawProposal { proposal, reason: "not his".into() };
    assert_eq!(world.by("cleo", withdraw.clone()), Ok(Done::Stands));
    assert_eq!(world.by("cleo", withdraw), Err(EyesMisfit::NoProposal(proposal).into()));
}

#[test]
fn a_proposal_ends_after_three_days_whether_anybody_looks_or_not() {
    let life = i64::try_from(PROPOSAL_LIFE.as_micros()).unwrap();
    let mut world = World::with(&["ann", "bob"]);
    let (first, at) = (world.proposes("ann", limit(5)), world.now);
    world.now = Timestamp(at.0 + life - 1);
    assert_eq!(world.control.eyes().open(world.now).count(), 1);
    let second = world.proposes("ann", limit(6));
    world.now = Timestamp(at.0 + life);
    assert_eq!(world.control.eyes().open(world.now).count(), 1);
    assert_eq!(world.confirms("bob", first), Err(EyesMisfit::ProposalOver(first).into()));
    assert_eq!(world.control.eyes().all().count(), 2, "it is forgotten with the next one");
    world.proposes("ann", limit(7));
    assert_eq!(world.confirms("bob", first), Err(EyesMisfit::NoProposal(first).into()));
    assert_eq!(world.confirms("bob", second), Ok(Done::Stands));
}

/// Whoever confirms was shown what was there before.
#[test]
fn what_changed_since_it_was_proposed_is_proposed_anew() {
    let mut world = World::with(&["ann", "bob"]);
    let first = world.proposes("ann", Wish::UpsertParty(party("b", false)));
    let second = world.proposes("ann", Wish::UpsertParty(party("c", false)));
    assert_eq!(world.confirms("bob", first), Ok(Done::Stands));
    assert_eq!(world.confirms("bob", second), Err(EyesMisfit::ChangedMeanwhile(second).into()));
    // That stays to be seen until it is taken away.
    assert!(world.control.eyes().named(second, world.now).is_ok());
    world.restored();
    let release = || Wish::ReleaseHold { reason: "looked".into() };
    let release = (world.proposes("ann", release()), world.proposes("ann", release()));
    assert_eq!(world.confirms("bob", release.0), Ok(Done::Stands));
    assert_eq!(
        world.confirms("bob", release.1),
        Err(EyesMisfit::ChangedMeanwhile(release.1).into())
    );
    // A rule that stands against it by then says so.
    let (one, two) = (world.proposes("ann", signer(7)), world.proposes("ann", signer(7)));
    assert_eq!(world.confirms("bob", one), Ok(Done::Stands));
    let gone = Wish::RevokeSigner { signer: SignerKey([7; 32]) };
    assert_eq!(world.by("ann", gone), Ok(Done::Stands));
    let revoked = Err(Refusal::SignerRevoked(SignerKey([7; 32])));
    assert_eq!(world.confirms("bob", two), revoked);
}

/// A change that leaves out what it keeps is proposed whole: nothing else slips in with it.
#[test]
fn what_a_change_keeps_is_as_it_was_when_it_was_proposed() {
    let mut world = World::with(&["ann", "bob"]);
    let keep = Keep { name: true, accounts: true, ..Keep::default() };
    let suspend = UpsertParty { keep: keep.clone(), ..party("a", true) };
    assert_eq!(world.by("ann", Wish::UpsertParty(suspend)), Ok(Done::Stands));
    let resume = UpsertParty { keep, ..party("a", false) };
    let proposal = world.proposes("ann", Wish::UpsertParty(resume));
    assert_eq!(world.confirms("bob", proposal), Ok(Done::Stands));
    assert!(!world.control.party(PARTY).unwrap().suspended);
}
