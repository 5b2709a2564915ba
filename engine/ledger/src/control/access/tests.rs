use super::*;
use crate::control::Decision;
use crate::event::Genesis;
use crate::fixture;
use crate::fund::tests::unlinked;
use crate::rights::Call;
use crate::types::{
    AssetDef, AssetNumber, Digest, FitKey, NetworkId, PartyId, SettlementModel, SignerKey, Total,
};
use crate::{Command, Credential, Request, Scope, Via};

const OWN: PartyId = PartyId([2; 32]);
const OTHER: PartyId = PartyId([4; 32]);
const KEY: SignerKey = SignerKey([3; 32]);
const OTHERS_KEY: SignerKey = SignerKey([5; 32]);

struct World {
    control: Control,
    lsn: u64,
    now: Timestamp,
}

fn credential(name: &str) -> Credential {
    Credential::Key(Digest(*blake3::hash(name.as_bytes()).as_bytes()))
}

fn added(name: &str, role: Role) -> IdentityAdded {
    let parties = if role == Role::Party { vec![OWN] } else { Vec::new() };
    let (name, credential) = (name.to_owned(), credential(name));
    let scope = Scope { parties, payees: Vec::new() };
    IdentityAdded { name, role, credential, scope, expires_at: None, rate: 0 }
}

impl World {
    fn new() -> Self {
        let genesis = Genesis { network: NetworkId([1; 32]), lifetime_seconds_max: 60 };
        let control = Control::new(genesis, unlinked(Lsn(1)));
        let mut world = Self { control, lsn: 1, now: Timestamp(1_000) };
        let ann = || Caller::grpc("ann".into());
        let model = SettlementModel::Bilateral;
        let asset = AssetDef { number: AssetNumber(978), code: "EUR".into(), scale: 2, model };
        world.wish(ann(), Wish::CreateAsset { asset }).unwrap();
        for (party, key) in [(OWN, KEY), (OTHER, OTHERS_KEY)] {
            let upsert = Wish::UpsertParty(fixture::upsert(party, "P", false));
            world.wish(ann(), upsert).unwrap();
            let signer = FitKey::checked(key);
            world.wish(ann(), Wish::AddSigner { signer, party, caps: Vec::new() }).unwrap();
        }
        for role in Role::OF_IDENTITIES {
            world.wish(ann(), Wish::AddIdentity(added(role.name(), role))).unwrap();
        }
        world
    }

    fn caller(&self, name: &str) -> Caller {
        Caller::identity(self.control.identities().named(name).unwrap())
    }

    fn wish(&mut self, caller: Caller, wish: Wish) -> Result<(), Refusal> {
        let request = Request { id: format!("r{}", self.lsn), content: Digest([1; 32]) };
        self.command(wish.by(caller, request))
    }

    fn command(&mut self, command: Command) -> Result<(), Refusal> {
        let Decision::New(fact, made) = self.control.decide(command, self.now)? else {
            return Ok(());
        };
        self.lsn += 1;
        self.control.apply(unlinked(Lsn(self.lsn)), self.now, &fact, made);
        Ok(())
    }
}

/// A wish for each call of which it does not matter here what it is about.
fn wishes() -> Vec<Wish> {
    let limit = Total(5);
    vec![
        Wish::SetCreditLimit { party: OWN, asset: AssetNumber(978), limit },
        Wish::UpsertParty(fixture::upsert(OWN, "P", false)),
        Wish::AddSigner { signer: FitKey::checked(KEY), party: OWN, caps: Vec::new() },
        Wish::SetBudgets { signer: KEY, budgets: Vec::new() },
        Wish::CloseWindow,
        Wish::AddIdentity(added("new", Role::Auditor)),
        Wish::RevokeIdentity { name: "auditor".into() },
        Wish::RevokeSigner { signer: KEY },
    ]
}

#[test]
fn each_role_may_want_what_the_table_says_and_nothing_else() {
    for role in Role::OF_IDENTITIES {
        for wish in wishes() {
            let mut world = World::new();
            let (caller, call) = (world.caller(role.name()), wish.call().unwrap());
            let before = world.control.history();
            let done = world.wish(caller, wish);
            match call.right(role) {
                Right::Allowed | Right::Own => assert_eq!(done, Ok(()), "{role:?} {call:?}"),
                Right::Refused => {
                    let (role, call) = (role.name(), call.name());
                    let not = IdentityMisfit::NotAllowed { role, call };
                    assert_eq!(done, Err(Refusal::Identity(not)));
                    assert_eq!(world.control.history(), before, "nothing has changed");
                }
            }
        }
    }
}

#[test]
fn the_owner_of_a_party_acts_for_its_own_signers_alone() {
    let mut world = World::new();
    let owner = world.caller("party");
    let new = FitKey::checked(SignerKey([9; 32]));
    let add = |party| Wish::AddSigner { signer: new, party, caps: Vec::new() };
    let of_others = [
        add(OTHER),
        Wish::RevokeSigner { signer: OTHERS_KEY },
        Wish::SetBudgets { signer: OTHERS_KEY, budgets: Vec::new() },
    ];
    for wish in of_others {
        let (name, role, call) = ("party".to_owned(), "party", wish.call().unwrap().name());
        let not = IdentityMisfit::NotOwn { name, role, call };
        assert_eq!(world.wish(owner.clone(), wish), Err(Refusal::Identity(not)));
    }
    let own = [
        add(OWN),
        Wish::SetBudgets { signer: KEY, budgets: Vec::new() },
        Wish::RevokeSigner { signer: KEY },
    ];
    for wish in own {
        assert_eq!(world.wish(owner.clone(), wish), Ok(()));
    }
}

#[test]
fn whoever_was_revoked_or_has_expired_or_got_another_key_does_nothing_more() {
    let ends = |world: &mut World, name: &str| {
        let end = Some(Timestamp(2_000));
        let one = IdentityAdded { expires_at: end, ..added(name, Role::Operator) };
        world.wish(Caller::grpc("ann".into()), Wish::AddIdentity(one)).unwrap();
    };
    let mut world = World::new();
    ends(&mut world, "short");
    let (short, operator) = (world.caller("short"), world.caller("operator"));
    let close = |world: &mut World, caller: &Caller| world.wish(caller.clone(), Wish::CloseWindow);
    assert_eq!(close(&mut world, &short), Ok(()));
    world.now = Timestamp(2_000);
    let expired = Refusal::Identity(IdentityMisfit::Expired("short".into()));
    assert_eq!(close(&mut world, &short), Err(expired));
    let unknown = Caller { name: "nobody".into(), ..operator.clone() };
    let other_way = Caller { via: Via::Signed, ..operator.clone() };
    let other_role = Caller { role: Role::Party, ..operator.clone() };
    for wrong in [&unknown, &other_way, &other_role] {
        assert!(close(&mut world, wrong).is_err(), "{wrong:?}");
    }
    // A request that was answered is answered to nobody who was revoked since.
    let request = Request { id: "again".into(), content: Digest([1; 32]) };
    let again = || Wish::CloseWindow.by(operator.clone(), request.clone());
    assert_eq!(world.command(again()), Ok(()));
    assert_eq!(world.command(again()), Ok(()));
    let revoke = Wish::RevokeIdentity { name: "operator".into() };
    world.wish(operator.clone(), revoke).unwrap();
    let revoked = Refusal::Identity(IdentityMisfit::Revoked("operator".into()));
    assert_eq!(world.command(again()), Err(revoked.clone()));
    assert_eq!(close(&mut world, &operator), Err(revoked));
}

#[test]
fn an_identity_gives_itself_another_key_and_nobody_else_one() {
    let mut world = World::new();
    for role in [Role::Facilitator, Role::Party, Role::Approver, Role::Auditor] {
        let caller = world.caller(role.name());
        let rotate = |name: &str| Wish::RotateIdentity {
            name: name.to_owned(),
            credential: credential(&format!("{name} of {}", role.name())),
        };
        assert!(world.wish(caller.clone(), rotate("operator")).is_err(), "{role:?}");
        assert_eq!(world.wish(caller, rotate(role.name())), Ok(()));
    }
}

#[test]
fn the_engine_lets_an_operator_in_by_itself_and_nobody_else() {
    let mut world = World::new();
    for role in Role::OF_IDENTITIES {
        let own = Command::own(Wish::AddIdentity(added("first", role)));
        assert_eq!(world.command(own).is_ok(), role == Role::Operator, "{role:?}");
    }
    let revoke = Command::own(Wish::RevokeIdentity { name: "first".into() });
    assert_eq!(world.command(revoke), Err(Refusal::NoRequestId));
}

#[test]
fn a_scope_names_parties_that_there_are() {
    let mut world = World::new();
    let unknown = PartyId([77; 32]);
    for (parties, payees) in [(vec![unknown], vec![]), (vec![], vec![OWN, unknown])] {
        let scope = Scope { parties, payees };
        let one = IdentityAdded { scope, ..added("wide", Role::Facilitator) };
        let refused = world.wish(Caller::grpc("ann".into()), Wish::AddIdentity(one));
        assert_eq!(refused, Err(Refusal::UnknownParty(unknown)));
    }
}

#[test]
fn every_wish_of_people_is_a_call_of_the_table_and_its_event_the_same() {
    let mut world = World::new();
    for wish in wishes() {
        let call = wish.call().unwrap();
        let request = Request { id: format!("r{}", world.lsn), content: Digest([1; 32]) };
        let command = wish.by(Caller::grpc("ann".into()), request);
        let Ok(Decision::New(fact, _)) = world.control.decide(command, world.now) else {
            panic!("{call:?} may be done")
        };
        assert_eq!(fact.event.call(), Some(call));
        world.lsn += 1;
    }
    assert!(Call::ALL.iter().all(|call| Call::at(call.path()) == Some(*call)));
}
