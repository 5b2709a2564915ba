//! What may be registered: a table of wishes, each with the refusal that it meets.

use super::super::{Control, Decision};
use crate::event::{Cap, Genesis};
use crate::fixture::{self, as_sealed};
use crate::fund::tests::unlinked;
use crate::limits::{
    ACCOUNTS_MAX, CAPS_MAX, NAME_SEALED_MAX, REQUEST_ID_BYTES_MAX, TEXT_BYTES_MAX,
};
use crate::sealed::SealedOnRail;
use crate::types::{
    Amount, AssetDef, AssetError, AssetNumber, BatchId, Digest, FitKey, Lsn, MONEY_MAX, NetworkId,
    PartyId, SettlementModel, SignerKey, Timestamp, Total, WindowNumber,
};
use crate::{Caller, Command, Envelope, Keep, PartyMisfit, Refusal, Request, UpsertParty, Wish};

const ASSET: AssetNumber = AssetNumber(978);
const OTHER: AssetNumber = AssetNumber(840);
const PARTY: PartyId = PartyId([2; 32]);
const KEY: SignerKey = SignerKey([3; 32]);

/// A control state with an asset and a party, that does what it allows.
struct World {
    control: Control,
    lsn: Lsn,
}

impl World {
    fn new() -> Self {
        let genesis = Genesis { network: NetworkId([1; 32]), lifetime_seconds_max: 60 };
        let mut world = Self { control: Control::new(genesis, unlinked(Lsn(1))), lsn: Lsn(1) };
        world.wish(create(asset("EUR", 2))).unwrap();
        world.wish(upsert(PARTY, "P", Vec::new())).unwrap();
        world
    }

    fn wish(&mut self, wish: Wish) -> Result<(), Refusal> {
        self.command(wish.by(Caller::grpc("ann".into()), request()))
    }

    fn command(&mut self, command: Command) -> Result<(), Refusal> {
        let Decision::New(fact, made) = self.control.decide(command, Timestamp(7))? else {
            return Ok(());
        };
        self.lsn = self.lsn.next();
        self.control.apply(unlinked(self.lsn), Timestamp(7), &fact, made);
        Ok(())
    }
}

/// A new one each time.
fn request() -> Request {
    use std::sync::atomic::{AtomicU64, Ordering};
    static LAST: AtomicU64 = AtomicU64::new(0);
    let number = LAST.fetch_add(1, Ordering::Relaxed);
    Request { id: format!("r{number}"), content: Digest([1; 32]) }
}

fn asset(code: &str, scale: u32) -> AssetDef {
    AssetDef { number: ASSET, code: code.into(), scale, model: SettlementModel::Bilateral }
}

fn create(asset: AssetDef) -> Wish {
    Wish::CreateAsset { asset }
}

fn upsert(party: PartyId, name: &str, accounts: Vec<SealedOnRail>) -> Wish {
    Wish::UpsertParty(UpsertParty { accounts, ..fixture::upsert(party, name, false) })
}

fn account(rail: &str) -> SealedOnRail {
    SealedOnRail { rail: rail.into(), fields: as_sealed("") }
}

fn sign(party: PartyId, assets: &[u32]) -> Wish {
    let cap = |asset: &u32| Cap { asset: AssetNumber(*asset), amount: Amount(5) };
    let caps = assets.iter().map(cap).collect();
    Wish::AddSigner { signer: FitKey::checked(KEY), party, caps }
}

fn deposit(amount: u128, reference: &str) -> Wish {
    let (party, asset, reference) = (PARTY, ASSET, reference.to_owned());
    Wish::RecordDeposit { party, asset, amount: Total(amount), reference }
}

fn limit(party: PartyId, asset: AssetNumber) -> Wish {
    Wish::SetCreditLimit { party, asset, limit: Total(9) }
}

fn dispute(reason: &str) -> Wish {
    let reason = reason.to_owned();
    Wish::DisputeWindow { window: WindowNumber(1), reason }
}

fn ack(numbers: &[u64], note: &str) -> Wish {
    let (troubles, note) = (numbers.to_vec(), note.to_owned());
    Wish::AckTroubles { troubles, note }
}

fn abort(reason: &str) -> Wish {
    let reason = reason.to_owned();
    Wish::AbortBatch { batch: BatchId::ZERO, reason }
}

fn long(field: &'static str) -> Result<(), Refusal> {
    Err(Refusal::TextTooLong { field, length: TEXT_BYTES_MAX + 1, limit: TEXT_BYTES_MAX })
}

/// What nothing but the gRPC layer had refused: another edge, or a mistake in this one, would have
/// journaled it for ever.
#[test]
fn what_cannot_be_registered_is_refused_by_the_ledger_itself() {
    let (fits, over) = ("x".repeat(TEXT_BYTES_MAX), "x".repeat(TEXT_BYTES_MAX + 1));
    let accounts = |count: usize| (0..count).map(|n| account(&format!("rail {n}"))).collect();
    let caps: Vec<u32> = (0..=16).collect();
    assert_eq!(caps.len(), CAPS_MAX + 1);
    let code = AssetError::Code("euro".into());
    let unknown = PartyId([9; 32]);
    let (field, length, most) = ("name", NAME_SEALED_MAX + 1, NAME_SEALED_MAX);
    let not_sealed = Refusal::NotSealed { field, length, most };
    let table = [
        (create(asset("euro", 2)), Err(Refusal::AssetUnfit(code))),
        (create(asset("EUR", 99)), Err(Refusal::AssetUnfit(AssetError::Scale(99)))),
        (
            create(asset("EUR", 3)),
            Err(Refusal::AssetDiffers { asset: ASSET, held: "EUR, scale 2, bilateral".into() }),
        ),
        (create(asset("EUR", 2)), Ok(())),
        (upsert(PartyId::CLEARING, "P", Vec::new()), Err(PartyMisfit::Clearing.into())),
        (upsert(PARTY, &over, Vec::new()), Err(not_sealed)),
        (upsert(PARTY, &fits, accounts(ACCOUNTS_MAX)), Ok(())),
        (
            upsert(PARTY, "P", accounts(ACCOUNTS_MAX + 1)),
            Err(PartyMisfit::TooManyAccounts(8).into()),
        ),
        (upsert(PARTY, "P", vec![account("card"); 2]), Err(PartyMisfit::AccountsUnordered.into())),
        (sign(PARTY, &caps), Err(Refusal::TooManyCaps(CAPS_MAX))),
        (sign(PARTY, &[978, 978]), Err(Refusal::CapsRepeat)),
        (sign(unknown, &[978]), Err(Refusal::UnknownParty(unknown))),
        (sign(PARTY, &[840, 978]), Err(Refusal::UnknownAsset(OTHER))),
        (sign(PARTY, &[978]), Ok(())),
        (sign(PARTY, &[]), Err(Refusal::SignerDiffers(KEY))),
        (limit(unknown, ASSET), Err(Refusal::UnknownParty(unknown))),
        (limit(PARTY, OTHER), Err(Refusal::UnknownAsset(OTHER))),
        (deposit(0, ""), Err(Refusal::NoDeposit)),
        (deposit(1, &over), long("reference")),
        (deposit(1, &fits), Ok(())),
        (deposit(MONEY_MAX, ""), Err(Refusal::DepositsTooLarge(PARTY, ASSET))),
        (deposit(MONEY_MAX - 1, ""), Ok(())),
        (dispute(" "), Err(Refusal::NoReason)),
        (dispute(&over), long("reason")),
        (dispute("stolen"), Err(Refusal::WindowOpen(WindowNumber(1)))),
        (ack(&[], ""), Err(Refusal::AckNumbers(0))),
        (ack(&[1, 1], ""), Err(Refusal::AckNumbers(2))),
        (ack(&[1], &over), long("note")),
        (ack(&[1], ""), Err(Refusal::UnknownTrouble(1))),
        (abort(&over), long("reason")),
        (abort(""), Err(Refusal::UnknownBatch(BatchId::ZERO))),
    ];
    let mut world = World::new();
    for (wish, wanted) in table {
        let told = format!("{wish:?}");
        assert_eq!(world.wish(wish), wanted, "{told}");
    }
}

#[test]
fn a_request_that_cannot_be_remembered_is_none() {
    let mut world = World::new();
    let of = |id: String| {
        let request = Request { id, content: Digest([1; 32]) };
        create(asset("EUR", 2)).by(Caller::grpc("ann".into()), request)
    };
    let limit = REQUEST_ID_BYTES_MAX;
    let too_long = Refusal::TextTooLong { field: "request_id", length: limit + 1, limit };
    assert_eq!(world.command(of(String::new())), Err(Refusal::NoRequestId));
    assert_eq!(world.command(of("r".repeat(limit + 1))), Err(too_long));
    assert_eq!(world.command(of("r".repeat(limit))), Ok(()));
}

/// Only the gRPC layer kept callers from the engine's own request ids, and nothing kept them from
/// its doings.
#[test]
fn who_asks_and_with_which_request_decides_what_may_be_asked_for() {
    let id = |id: &str| Request { id: id.into(), content: Digest([1; 32]) };
    let close = |caller: Caller, request: &str| Wish::CloseWindow.by(caller, id(request));
    let troubles = || Wish::RaiseTroubles(Vec::new());
    let key = || Wish::SetEngineKey { key: KEY, proof: [0; 64] };
    let (ann, nobody) = (|| Caller::grpc("ann".into()), || Caller::grpc(String::new()));
    let silent =
        |caller: Caller, wish: Wish| Command { envelope: Envelope { caller, request: None }, wish };
    let own = |role: &'static str| Err(Refusal::EnginesOwn { role });
    let table = [
        (close(ann(), "c1"), Ok(())),
        (close(nobody(), "c2"), Ok(())),
        (close(Caller::schedule(), "tallystick/close/3"), Ok(())),
        (close(ann(), "tallystick/close/4"), Err(Refusal::RequestReserved)),
        (close(nobody(), "tallystick/close/4"), Err(Refusal::RequestReserved)),
        (silent(ann(), Wish::CloseWindow), Err(Refusal::NoRequestId)),
        (silent(Caller::schedule(), Wish::CloseWindow), Err(Refusal::NoRequestId)),
        (troubles().by(ann(), id("t1")), own("operator")),
        (troubles().by(nobody(), id("t2")), own("anyone")),
        (troubles().by(Caller::schedule(), id("t3")), own("engine")),
        (silent(ann(), troubles()), own("operator")),
        (silent(ann(), key()), Err(Refusal::NoRequestId)),
        (Command::own(key()), Ok(())),
    ];
    let mut world = World::new();
    for (command, wanted) in table {
        let told = format!("{command:?}");
        assert_eq!(world.command(command), wanted, "{told}");
    }
    let long = Caller::grpc("a".repeat(65));
    let refused = world.command(close(long, "c5"));
    let (field, length, limit) = ("operator", 65, 64);
    assert_eq!(refused, Err(Refusal::TextTooLong { field, length, limit }));
}

fn change(accounts: &[&str], keep: Keep) -> Wish {
    let accounts = accounts.iter().map(|rail| account(rail)).collect();
    Wish::UpsertParty(UpsertParty { accounts, keep, ..fixture::upsert(PARTY, "New", false) })
}

fn keep(words: &str, removed: &[&str]) -> Keep {
    let has = |word: &str| words.split(' ').any(|own| own == word);
    let removed = removed.iter().map(|rail| (*rail).to_owned()).collect();
    Keep { name: has("name"), suspended: has("suspended"), accounts: has("accounts"), removed }
}

/// Whoever changed a name once deleted the accounts with it, and resumed who was suspended.
#[test]
fn a_change_of_a_party_leaves_alone_what_it_says_that_it_keeps() {
    for (accounts, words, removed, wanted) in [
        (&["card"][..], "", &[][..], "New, free: card"),
        (&["card"], "accounts", &[], "New, free: card iso20022 nacha"),
        (&["nacha"], "name accounts", &[], "Old, free: iso20022 nacha"),
        (&[], "name suspended accounts", &[], "Old, suspended: iso20022 nacha"),
        (&[], "name suspended", &[], "Old, suspended: "),
        (&["evm"], "suspended accounts", &["nacha"], "New, suspended: evm iso20022"),
    ] {
        let mut world = World::new();
        let old = [account("iso20022"), account("nacha")].to_vec();
        let old = UpsertParty { accounts: old, ..fixture::upsert(PARTY, "Old", true) };
        world.wish(Wish::UpsertParty(old)).unwrap();
        world.wish(change(accounts, keep(words, removed))).unwrap();
        let entry = world.control.party(PARTY).unwrap();
        let name = if entry.name == Some(as_sealed("Old")) { "Old" } else { "New" };
        let state = if entry.suspended { "suspended" } else { "free" };
        let rails: Vec<&str> = entry.accounts.iter().map(|account| &*account.rail).collect();
        assert_eq!(format!("{name}, {state}: {}", rails.join(" ")), wanted);
        assert_eq!(world.control.suspended().contains(&PARTY), entry.suspended);
    }
}

#[test]
fn what_is_not_there_can_neither_be_kept_nor_removed() {
    let mut world = World::new();
    let stranger = PartyId([9; 32]);
    let of =
        |party, keep| Wish::UpsertParty(UpsertParty { keep, ..fixture::upsert(party, "N", false) });
    let kept = world.wish(of(stranger, keep("name accounts", &[])));
    assert_eq!(kept, Err(Refusal::UnknownParty(stranger)));
    let removed = world.wish(change(&[], keep("accounts", &["evm"])));
    assert_eq!(removed, Err(PartyMisfit::NoAccount { party: PARTY, rail: "evm".into() }.into()));
    // Nobody is there yet: what the change says is all there is.
    world.wish(of(stranger, keep("suspended accounts", &[]))).unwrap();
    assert!(!world.control.party(stranger).unwrap().suspended);
}
