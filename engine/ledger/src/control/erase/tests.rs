//! When a party may be erased, and what may be asked of it after.

use super::super::{Control, Decision, Made};
use super::Needed;
use crate::event::{Event, Genesis, PartyErased, PartyUpserted, WindowCut, WindowSealed};
use crate::fixture::{as_sealed, upsert};
use crate::fund::tests::unlinked;
use crate::types::{
    AssetDef, AssetNumber, Digest, FitKey, Lsn, NetworkId, PartyId, SettlementModel, SignerKey,
    Timestamp, Total, WindowNumber,
};
use crate::window::{AssetSeal, Obligation, WindowTotals};
use crate::wish::UpsertParty;
use crate::{Caller, Envelope, Fact, Refusal, Request, Wish};

const ASSET: AssetNumber = AssetNumber(978);
const PARTY: PartyId = PartyId([2; 32]);
const OTHER: PartyId = PartyId([3; 32]);

struct World {
    control: Control,
    lsn: Lsn,
    requests: u64,
}

impl World {
    fn new() -> Self {
        let genesis = Genesis { network: NetworkId([1; 32]), lifetime_seconds_max: 60 };
        let control = Control::new(genesis, unlinked(Lsn(1)));
        let mut world = Self { control, lsn: Lsn(1), requests: 0 };
        let model = SettlementModel::Bilateral;
        let asset = AssetDef { number: ASSET, code: "EUR".into(), scale: 2, model };
        world.wish(Wish::CreateAsset { asset }).unwrap();
        world.party(PARTY, false).unwrap();
        world
    }

    fn wish(&mut self, wish: Wish) -> Result<Event, Refusal> {
        self.requests += 1;
        let request = Request { id: self.requests.to_string(), content: Digest([1; 32]) };
        let command = wish.by(Caller::grpc("ann".into()), request);
        let Decision::New(fact, made) = self.control.decide(command, Timestamp(7))? else {
            panic!("each request is new")
        };
        self.apply(&fact, made);
        Ok(fact.event)
    }

    fn apply(&mut self, fact: &Fact, made: Made) {
        self.lsn = self.lsn.next();
        self.control.apply(unlinked(self.lsn), Timestamp(7), fact, made);
    }

    fn party(&mut self, party: PartyId, suspended: bool) -> Result<Event, Refusal> {
        self.wish(Wish::UpsertParty(upsert(party, "P", suspended)))
    }

    fn erase(&mut self) -> Result<Event, Refusal> {
        self.erase_clear(&[])
    }

    fn erase_clear(&mut self, clear: &[WindowNumber]) -> Result<Event, Refusal> {
        let (party, deposits, clear) = (PARTY, String::new(), clear.to_vec());
        self.wish(Wish::EraseParty { party, deposits, clear })
    }

    /// Closes the open window and seals it; with something owed in it, or nothing.
    fn close(&mut self, owed: bool) -> WindowNumber {
        let window = self.control.open_window().number;
        let happens = |event| Fact::new(Envelope::own(), event);
        self.apply(&happens(Event::from(WindowCut { window })), Made::Nothing);
        let (root, carried_in, totals) = (Digest::ZERO, Total::ZERO, WindowTotals::default());
        let asset = AssetSeal {
            asset: ASSET,
            obligations_root: root,
            positions_root: root,
            carried_in,
            totals,
        };
        let assets = if owed { vec![asset] } else { Vec::new() };
        let (key, signature) = (SignerKey::ZERO, [0; 64]);
        let sealed = WindowSealed { window, root, credited: 0, assets, key, signature };
        self.apply(&happens(Event::from(sealed)), Made::Nothing);
        window
    }
}

#[test]
fn a_party_is_erased_when_it_is_suspended_and_every_window_up_to_then_is_settled() {
    let mut world = World::new();
    let first = world.close(false);
    assert_eq!(world.erase(), Err(Refusal::NotSuspended(PARTY)));
    world.party(PARTY, true).unwrap();
    let until = first.next();
    let needed = |window, state| Err(Refusal::StillNeeded { party: PARTY, window, state, until });
    assert_eq!(world.erase(), needed(until, "OPEN"));
    world.close(false);
    // What is open now began after it was suspended: nothing of it can be there.
    world.erase().unwrap();
    let entry = world.control.party(PARTY).unwrap();
    assert!(entry.is_erased() && entry.suspended && entry.accounts.is_empty());
    assert_eq!(world.control.erasures(PARTY), 1);
}

#[test]
fn a_window_in_which_something_is_owed_keeps_a_party_until_it_is_settled() {
    let mut world = World::new();
    world.party(PARTY, true).unwrap();
    let until = world.close(true);
    let refused = Refusal::StillNeeded { party: PARTY, window: until, state: "CLOSED", until };
    assert_eq!(world.erase(), Err(refused));
    // Somebody else's later windows do not.
    world.control.window_mut(until).settled.insert(ASSET);
    world.control.needed.settled(until, true);
    world.close(true);
    world.erase().unwrap();
}

/// An asset that no rail can settle kept everybody's name for ever.
#[test]
fn a_window_that_is_never_settled_keeps_nobody_who_does_not_stand_in_it() {
    let mut world = World::new();
    world.party(PARTY, true).unwrap();
    let open = world.control.open_window().number;
    assert!(world.erase_clear(&[open]).is_err(), "what is open may change");
    let window = world.close(true);
    assert_eq!(world.control.may_need(PARTY), [(window, vec![ASSET])]);
    assert_eq!(world.control.may_need(OTHER), []);
    assert!(world.erase_clear(&[window.next()]).is_err());
    world.erase_clear(&[window]).unwrap();
}

#[test]
fn what_comes_back_to_a_suspended_party_keeps_it_until_that_is_settled_too() {
    let (one, two, three) = (WindowNumber(1), WindowNumber(2), WindowNumber(3));
    let mut needed = Needed::from(one);
    let suspended = |party| {
        let name = as_sealed("P");
        PartyUpserted { party, name, suspended: true, accounts: Vec::new() }
    };
    needed.upserted(one, &suspended(PARTY));
    needed.opened(two);
    let of = |needed: &Needed| needed.of(PARTY).collect::<Vec<_>>();
    assert_eq!(of(&needed), [one]);
    needed.settled(one, true);
    assert_eq!(of(&needed), []);
    let owed = |payer, payee| Obligation { payer, payee, amount: Total(5) };
    let carry = |needed: &mut Needed, owed: Obligation| {
        for party in needed.of_those(two, [owed].iter()) {
            needed.carried(two, party);
        }
    };
    carry(&mut needed, owed(OTHER, PartyId::CLEARING));
    assert_eq!(of(&needed), [], "that is somebody else's");
    carry(&mut needed, owed(PartyId::CLEARING, PARTY));
    needed.opened(three);
    assert_eq!(of(&needed), [two]);
    // To be suspended once more does not make it forget.
    needed.upserted(three, &suspended(PARTY));
    assert_eq!(of(&needed), [two]);
    needed.settled(two, true);
    assert_eq!(of(&needed), []);
}

#[test]
fn deposits_that_are_left_keep_a_party_until_somebody_says_how_they_were_given_back() {
    let mut world = World::new();
    let (amount, reference) = (Total(9), String::new());
    world.wish(Wish::RecordDeposit { party: PARTY, asset: ASSET, amount, reference }).unwrap();
    world.party(PARTY, true).unwrap();
    world.close(false);
    let left = Refusal::DepositsLeft { party: PARTY, asset: ASSET, free: Total(9) };
    assert_eq!(world.erase(), Err(left));
    let deposits = "sent back on 3 March, R-17".to_owned();
    let clear = Vec::new();
    let event = world.wish(Wish::EraseParty { party: PARTY, deposits: deposits.clone(), clear });
    assert_eq!(event, Ok(Event::from(PartyErased { party: PARTY, deposits })));
}

#[test]
fn an_erased_party_takes_nothing_new_but_to_be_registered_anew() {
    let mut world = World::new();
    world.party(PARTY, true).unwrap();
    world.close(false);
    world.erase().unwrap();
    // Twice is the same.
    world.erase().unwrap();
    assert_eq!(world.control.erasures(PARTY), 1);
    let (party, asset, reference) = (PARTY, ASSET, String::new());
    let refused = Err(Refusal::PartyErased(PARTY));
    for wish in [
        Wish::UpsertParty(upsert(PARTY, "P", true)),
        Wish::AddSigner { signer: FitKey::checked(SignerKey([3; 32])), party, caps: Vec::new() },
        Wish::SetCreditLimit { party, asset, limit: Total(9) },
        Wish::RecordDeposit { party, asset, amount: Total(9), reference },
    ] {
        assert_eq!(world.wish(wish), refused);
    }
    let anew = |erasures| UpsertParty { reopen: true, erasures, ..upsert(PARTY, "Q", false) };
    // Sealed under the key that was destroyed.
    let late = world.wish(Wish::UpsertParty(anew(0)));
    assert_eq!(late, Err(Refusal::ErasedMeanwhile(PARTY)));
    world.wish(Wish::UpsertParty(anew(1))).unwrap();
    let entry = world.control.party(PARTY).unwrap();
    assert!(!entry.is_erased() && !entry.suspended);
    assert_eq!((&entry.name, entry.erasures), (&Some(as_sealed("Q")), 1));
}
