//! Keys that somebody else made: what is done with one before its owner has taken it over, and what
//! was prepared with one, or before a key was replaced, counts for nothing.

use super::*;
use crate::budget::{Budget, BudgetKey, Period};
use crate::envelope::Envelope;
use crate::event::ChangeProposed;
use crate::types::Amount;

fn budget() -> Wish {
    let key = BudgetKey { asset: ASSET, period: Period::Day, payee: None };
    let budgets = vec![Budget { key, amount: Amount(5) }];
    Wish::SetBudgets { signer: SignerKey([7; 32]), budgets }
}

impl World {
    /// Ann has added these, and bob has confirmed it: both may be who they say, and ann knows the
    /// keys.
    fn handed_out(names: &[(&str, Role)]) -> Self {
        let mut world = Self::two();
        for (name, role) in names {
            let proposal = world.proposes("ann", add(name, *role));
            assert_eq!(world.confirms("bob", proposal), Ok(Done::Stands));
        }
        world
    }

    fn takes_over(&mut self, name: &str) {
        let own = rotate(name, &format!("{name}'s own {}", self.lsn));
        assert_eq!(self.by(name, own), Ok(Done::Stands));
    }
}

/// The break-in: ann proposes as dora, whose key she made, waits until dora has taken her key over,
/// and confirms as herself.
#[test]
fn who_made_a_key_prepares_nothing_with_it() {
    let mut world = World::handed_out(&[("dora", Role::Operator), ("own", Role::Party)]);
    let by_bob = world.proposes("bob", limit(7));
    let release = Wish::WithdrawProposal { proposal: by_bob, reason: "no".into() };
    let own = SignerKey([9; 32]);
    let over = crate::types::operator_key_statement(NETWORK, "dora", own, None);
    let possession = Box::new(OperatorSignature::checked(over, own, [9; 64]));
    let nothing = [
        limit(5),
        deposit(1),
        signer(7),
        Wish::UpsertParty(party("b", false)),
        Wish::UpsertParty(party("b", true)),
        Wish::UpsertParty(UpsertParty { party: PartyId([9; 32]), ..party("x", true) }),
        add("eve", Role::Approver),
        add("fac", Role::Facilitator),
        rotate("bob", "made by ann"),
        Wish::SetOperatorKey { possession, signed: None },
        Wish::ConfirmProposal { proposal: by_bob, signed: None },
        release,
        Wish::CloseWindow,
    ];
    for wish in nothing {
        let done = world.by("dora", wish.clone());
        assert_eq!(done, not_own("dora", "ann"), "{wish:?}");
    }
    assert_eq!(world.control.eyes().all().count(), 1, "bob's");
    // The owner of a party: ann would sign for it.
    for wish in [signer(8), rotate("own", "own-2")] {
        let is_rotation = matches!(wish, Wish::RotateIdentity { .. });
        let wanted = if is_rotation { Ok(Done::Stands) } else { not_own("own", "ann") };
        assert_eq!(world.by("own", wish), wanted);
    }
    assert_eq!(world.by("own", signer(7)), Ok(Done::Stands), "it has its own key by now");
    assert_eq!(world.by("own", budget()), Ok(Done::Stands));
    // So has dora: from now on she counts.
    world.takes_over("dora");
    assert_eq!(world.confirms("dora", by_bob), Ok(Done::Stands));
}

#[test]
fn what_protects_is_done_with_any_key() {
    let mut world = World::handed_out(&[("dora", Role::Operator), ("own", Role::Party)]);
    let added = world.proposes("ann", signer(7));
    assert_eq!(world.confirms("bob", added), Ok(Done::Stands));
    assert_eq!(world.by("own", budget()), not_own("own", "ann"));
    let revoked = Wish::RevokeSigner { signer: SignerKey([7; 32]) };
    assert_eq!(world.by("own", revoked), Ok(Done::Stands));
    for wish in [limit(0), Wish::UpsertParty(party("a", true)), revoke("bob")] {
        assert_eq!(world.by("dora", wish.clone()), Ok(Done::Stands), "{wish:?}");
    }
    // To let a party go on does more than protect.
    let resumed = world.by("dora", Wish::UpsertParty(party("a", false)));
    assert_eq!(resumed, not_own("dora", "ann"));
}

/// Ann makes eve's key, makes zoe's as eve, and lets eve take over hers: zoe's is still known to
/// ann.
#[test]
fn a_chain_of_makers_gives_nobody_a_second_name() {
    let mut world = World::bare();
    world.engine(add("ann", Role::Operator)).unwrap();
    assert_eq!(world.by("ann", add("eve", Role::Operator)), Ok(Done::Stands), "they are off");
    assert_eq!(world.by("eve", add("zoe", Role::Approver)), Ok(Done::Stands));
    world.set(&[]);
    let proposal = world.proposes("ann", limit(5));
    assert_eq!(world.confirms("eve", proposal), not_own("eve", "ann"));
    assert_eq!(world.by("eve", add("yves", Role::Approver)), not_own("eve", "ann"));
    world.takes_over("eve");
    assert_eq!(world.confirms("zoe", proposal), not_own("zoe", "eve"));
    world.takes_over("zoe");
    assert_eq!(world.confirms("zoe", proposal), Ok(Done::Stands));
}

/// Without four eyes nothing of this is asked.
#[test]
fn as_long_as_one_may_do_it_all_a_key_is_a_key() {
    let mut world = World::bare();
    world.engine(add("ann", Role::Operator)).unwrap();
    assert_eq!(world.by("ann", add("eve", Role::Operator)), Ok(Done::Stands));
    for wish in [limit(5), signer(7), Wish::UpsertParty(party("b", false)), Wish::CloseWindow] {
        assert_eq!(world.by("eve", wish.clone()), Ok(Done::Stands), "{wish:?}");
    }
}

/// Who signs certificates says who somebody is.
#[test]
fn a_certificate_is_its_owners_from_the_first_day_on() {
    let mut world = World::two();
    let credential = Credential::Certificate("host".into());
    let wish = Wish::AddIdentity(IdentityAdded { credential, ..added("hans", Role::Operator) });
    let proposal = world.proposes("ann", wish);
    assert_eq!(world.confirms("bob", proposal), Ok(Done::Stands));
    let by_hans = world.proposes("hans", limit(5));
    assert_eq!(world.confirms("ann", by_hans), Ok(Done::Stands));
}

/// A key that somebody gave another is that somebody's, as long as the other has no newer one.
#[test]
fn nobody_rotates_anothers_key_and_confirms_as_them() {
    let mut world = World::two();
    world.engine(add("cleo", Role::Operator)).unwrap();
    let by_bob = world.proposes("bob", limit(4));
    let rotation = world.proposes("ann", rotate("bob", "made by ann"));
    assert_eq!(world.confirms("ann", rotation), same(rotation, "ann"));
    let by_ann = world.proposes("ann", deposit(5));
    assert_eq!(world.confirms("cleo", rotation), Ok(Done::Stands));
    assert_eq!(world.confirms("bob", by_ann), not_own("bob", "ann"));
    assert_eq!(world.by("bob", limit(6)), not_own("bob", "ann"));
    // Nor does what he proposed before stand: who he is now, nobody can tell.
    let gone = |proposal, proposer: &str| {
        Err(EyesMisfit::ProposerGone { proposal, proposer: proposer.into() }.into())
    };
    assert_eq!(world.confirms("ann", by_bob), gone(by_bob, "bob"));
    world.takes_over("bob");
    assert_eq!(world.confirms("ann", by_bob), gone(by_bob, "bob"));
    assert_eq!(world.confirms("bob", by_ann), Ok(Done::Stands));
    // The same of who replaces a key that was stolen.
    let stolen = world.proposes("ann", limit(9));
    world.takes_over("ann");
    assert_eq!(world.confirms("bob", stolen), gone(stolen, "ann"));
}

/// A journal of before holds a proposal by a key that another had made: it is replayed, and not
/// confirmed.
#[test]
fn what_was_proposed_when_nobody_asked_whose_key_it_was_is_not_confirmed() {
    let mut world = World::handed_out(&[("dora", Role::Operator)]);
    let event = CreditLimitSet { party: PARTY, asset: ASSET, limit: Total(5) };
    let (proposal, before, change) = (Digest([7; 32]), Digest::ZERO, Change::Limit(event));
    let caller = Caller::identity(world.control.identities().named("dora").unwrap());
    let request = Request { id: "before".into(), content: Digest([1; 32]) };
    let envelope = Envelope { caller, request: Some(request) };
    let fact = Fact::new(envelope, Event::from(ChangeProposed { proposal, change, before }));
    world.lsn += 1;
    world.control.apply(unlinked(Lsn(world.lsn)), world.now, &fact, Made::Nothing);
    let gone = EyesMisfit::ProposerGone { proposal, proposer: "dora".into() };
    for _ in 0..2 {
        for name in ["ann", "bob"] {
            assert_eq!(world.confirms(name, proposal), Err(gone.clone().into()));
        }
        world.takes_over("dora");
    }
}

/// A limit of 0 in an emergency was undone by a proposal from before it.
#[test]
fn a_limit_that_was_set_since_is_proposed_anew() {
    let mut world = World::with(&["ann", "bob"]);
    let (older, letter) = (world.proposes("ann", limit(7_000)), world.proposes("ann", deposit(7)));
    assert_eq!(world.by("bob", limit(0)), Ok(Done::Stands));
    let changed = |proposal| Err(EyesMisfit::ChangedMeanwhile(proposal).into());
    assert_eq!(world.confirms("bob", older), changed(older));
    assert!(world.control.eyes().named(older, world.now).is_ok(), "it stays to be seen");
    assert_eq!(world.confirms("bob", letter), Ok(Done::Stands), "that is about something else");
    let (one, two) = (world.proposes("ann", limit(8)), world.proposes("ann", limit(9)));
    assert_eq!(world.confirms("bob", two), Ok(Done::Stands));
    assert_eq!(world.confirms("bob", one), changed(one));
}

/// Bob has replaced his key himself since ann proposed to.
#[test]
fn a_key_that_was_replaced_since_is_not_replaced_again() {
    let mut world = World::two();
    world.engine(add("cleo", Role::Operator)).unwrap();
    let rotation = world.proposes("ann", rotate("bob", "made by ann"));
    world.takes_over("bob");
    let changed = Err(EyesMisfit::ChangedMeanwhile(rotation).into());
    assert_eq!(world.confirms("cleo", rotation), changed);
}
