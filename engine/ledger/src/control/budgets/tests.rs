//! Which budgets may be set, and of which somebody may be warned.

use crate::budget::{Budget, BudgetKey, BudgetUse, Period};
use crate::control::{Control, Decision};
use crate::event::Genesis;
use crate::fixture;
use crate::fund::tests::unlinked;
use crate::limits::BUDGETS_MAX;
use crate::types::{
    Amount, AssetDef, AssetNumber, Digest, FitKey, Lsn, NetworkId, PartyId, SettlementModel,
    SignerKey, Timestamp,
};
use crate::{BudgetMisfit, Caller, Command, Refusal, Request, Wish};

const ASSET: AssetNumber = AssetNumber(978);
const PARTY: PartyId = PartyId([2; 32]);
const PAYEE: PartyId = PartyId([4; 32]);
const KEY: SignerKey = SignerKey([3; 32]);

struct World {
    control: Control,
    lsn: u64,
}

impl World {
    fn new() -> Self {
        let genesis = Genesis { network: NetworkId([1; 32]), lifetime_seconds_max: 60 };
        let mut world = Self { control: Control::new(genesis, unlinked(Lsn(1))), lsn: 1 };
        let model = SettlementModel::Bilateral;
        let asset = AssetDef { number: ASSET, code: "EUR".into(), scale: 2, model };
        world.wish(Wish::CreateAsset { asset }).unwrap();
        for party in [PARTY, PAYEE] {
            world.wish(Wish::UpsertParty(fixture::upsert(party, "P", false))).unwrap();
        }
        let signer = FitKey::checked(KEY);
        world.wish(Wish::AddSigner { signer, party: PARTY, caps: Vec::new() }).unwrap();
        world
    }

    fn wish(&mut self, wish: Wish) -> Result<(), Refusal> {
        self.lsn += 1;
        let command = if wish.is_the_engines() {
            Command::own(wish)
        } else {
            let request = Request { id: format!("r{}", self.lsn), content: Digest([1; 32]) };
            wish.by(Caller::grpc("ann".into()), request)
        };
        let Decision::New(fact, made) = self.control.decide(command, Timestamp(7))? else {
            return Ok(());
        };
        self.control.apply(unlinked(Lsn(self.lsn)), Timestamp(7), &fact, made);
        Ok(())
    }

    fn set(&mut self, budgets: &[Budget]) -> Result<(), Refusal> {
        self.wish(Wish::SetBudgets { signer: KEY, budgets: budgets.to_vec() })
    }

    fn warn(&mut self, uses: &[BudgetUse]) -> Result<(), Refusal> {
        self.wish(Wish::WarnBudgets(uses.to_vec()))
    }
}

fn budget(period: Period, payee: Option<PartyId>, amount: u64) -> Budget {
    Budget { key: BudgetKey { asset: ASSET, period, payee }, amount: Amount(amount) }
}

fn used(budget: Budget, number: i64, used: u64) -> BudgetUse {
    BudgetUse { signer: KEY, budget, number, used: Amount(used) }
}

#[test]
fn budgets_are_of_a_key_that_signs_and_of_what_there_is_and_each_for_something_else() {
    let mut world = World::new();
    let day = budget(Period::Day, None, 5);
    let unknown = SignerKey([9; 32]);
    let wish = Wish::SetBudgets { signer: unknown, budgets: vec![day] };
    assert_eq!(world.wish(wish), Err(Refusal::UnknownSigner(unknown)));
    let many: Vec<Budget> = (0..=u64::try_from(BUDGETS_MAX).unwrap()).map(|_| day).collect();
    assert_eq!(world.set(&many), Err(BudgetMisfit::TooMany(BUDGETS_MAX).into()));
    let twice = [budget(Period::Day, None, 4), day];
    assert_eq!(world.set(&twice), Err(BudgetMisfit::Repeat.into()));
    let order = [budget(Period::Hour, None, 4), day];
    assert_eq!(world.set(&order), Err(BudgetMisfit::Repeat.into()));
    let nobody = PartyId([8; 32]);
    let table = [
        (budget(Period::Day, Some(nobody), 5), Err(Refusal::UnknownParty(nobody))),
        (budget(Period::Day, Some(PARTY), 5), Err(BudgetMisfit::ForSelf.into())),
        (budget(Period::Day, Some(PAYEE), 5), Ok(())),
        (budget(Period::Total, None, 0), Ok(())),
    ];
    for (one, wanted) in table {
        assert_eq!(world.set(&[one]), wanted, "{one:?}");
    }
    let other = AssetNumber(1);
    let key = BudgetKey { asset: other, ..day.key };
    assert_eq!(world.set(&[Budget { key, ..day }]), Err(Refusal::UnknownAsset(other)));
    assert_eq!(world.control.budgets(KEY).unwrap().len(), 1, "what was refused changed nothing");
    assert_eq!(world.set(&[]), Ok(()));
    assert_eq!(world.control.budgets(KEY), Ok(&[][..]));
    world.wish(Wish::RevokeSigner { signer: KEY }).unwrap();
    assert_eq!(world.set(&[day]), Err(Refusal::SignerRevoked(KEY)));
}

#[test]
fn an_owner_is_warned_once_a_period_of_a_budget_that_there_is() {
    let mut world = World::new();
    let (day, hour) = (budget(Period::Day, None, 50), budget(Period::Hour, Some(PAYEE), 10));
    world.set(&[day, hour]).unwrap();
    let warned = |world: &World| -> Vec<Option<i64>> {
        world.control.budgets(KEY).unwrap().iter().map(|entry| entry.warned).collect()
    };
    let moved = Err(Refusal::Budgets(BudgetMisfit::Moved));
    assert_eq!(world.warn(&[used(day, 7, 39)]), moved, "too little is used");
    assert_eq!(world.warn(&[used(budget(Period::Day, None, 51), 7, 49)]), moved, "it was set anew");
    assert_eq!(world.warn(&[used(hour, 9, 9), used(day, 7, 40)]), moved, "in no order");
    assert_eq!(world.warn(&[used(day, 7, 40); 2]), moved, "twice");
    assert_eq!(warned(&world), [None, None]);
    world.warn(&[used(day, 7, 40), used(hour, 9, 9)]).unwrap();
    assert_eq!(warned(&world), [Some(7), Some(9)]);
    assert_eq!(world.warn(&[used(day, 7, 50)]), moved);
    assert_eq!(world.warn(&[used(day, 6, 50)]), moved);
    world.warn(&[used(day, 8, 50)]).unwrap();
    // Set anew, with another amount for one of them.
    let more = budget(Period::Hour, Some(PAYEE), 11);
    world.set(&[day, more]).unwrap();
    assert_eq!(warned(&world), [Some(8), None]);
    world.warn(&[used(more, 9, 9)]).unwrap();
    // Nobody but the engine warns.
    let request = Request { id: "r".into(), content: Digest([1; 32]) };
    let wish = Wish::WarnBudgets(vec![used(day, 9, 50)]);
    let command = wish.by(Caller::grpc("ann".into()), request);
    assert!(matches!(world.control.decide(command, Timestamp(7)), Err(Refusal::EnginesOwn { .. })));
}
