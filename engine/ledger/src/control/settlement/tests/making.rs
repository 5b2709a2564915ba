//! When a batch cannot be made, although it could be computed: what has changed since, or stands
//! against it.

use super::*;
use crate::control::{CreateBatch, Used};
use crate::fixture::table::party;
use crate::fixture::{as_sealed, upsert};
use crate::limits::{TROUBLES_MAX, TROUBLES_RECORD_MAX};
use crate::sealed::SealedOnRail;
use crate::types::{AssetNumber, PartyId, SignerKey};
use crate::wish::UpsertParty;
use crate::{BatchHead, NewTrouble, TroubleKind};

const MAKING: &str = "
    # what is so when it is to be made | what comes of it
    nothing-else                         made
    # Its windows: sealed, of its asset, in no other batch, and not disputed.
    window-unknown                       UnknownWindow
    window-open                          WindowOpen
    window-unsealed                      WindowUnsealed
    window-disputed                      WindowDisputed
    window-was-disputed                  made
    window-in-batch                      WindowInBatch
    asset-unknown                        UnknownAsset
    # What it was computed from: nobody else's changes matter.
    account-changed                      AccountsMoved
    account-of-another-rail              made
    other-party-changed                  made
    deposit-came                         AccountsMoved
    changed-before                       made
    # The key that signed it.
    key-rotated                          EngineKeyMoved
    # Somebody must look first: at payments of who takes part, or at a list that is full.
    paid-in-doubt                        InDoubt
    other-paid-in-doubt                  made
    other-rail-in-doubt                  made
    doubt-taken-away                     made
    troubles-full                        TroublesFull
";

fn with_account(letter: &str, rail: Rail, iban: &str) -> Wish {
    let accounts = vec![SealedOnRail { rail: rail.name().to_owned(), fields: as_sealed(iban) }];
    Wish::UpsertParty(UpsertParty { accounts, ..upsert(party(letter), letter, false) })
}

fn trouble(number: usize, rail: Rail, party: PartyId) -> NewTrouble {
    NewTrouble {
        kind: TroubleKind::Surplus,
        rail,
        batch: Some(BatchId::ZERO),
        leg: Some(0),
        party: Some(party),
        source: "answer".into(),
        text: format!("paid twice {number}"),
    }
}

/// A batch on cards that was computed from what A and B had registered, and is to be made now.
struct Making {
    world: World,
    create: CreateBatch,
}

impl Making {
    fn new() -> Self {
        let mut world = World::new(Rail::Card);
        for letter in ["A", "B", "C"] {
            world.ask("ann", with_account(letter, Rail::Card, "old")).unwrap();
        }
        let content = world.content();
        let account = |letter| {
            let party = party(letter);
            (party, world.books.control.account(party, Rail::Card).unwrap())
        };
        let used = Used {
            head: content.head.clone(),
            accounts: Arc::new([account("A"), account("B")].into_iter().collect()),
            free: vec![(party("A"), Total::ZERO)],
        };
        let create = CreateBatch {
            four_eyes: false,
            used: Arc::new(used),
            history: world.books.control.applied(),
            key: SignerKey::ZERO,
            signature: [0; 64],
            directory_version: world.books.control.directory_version(),
        };
        Self { world, create }
    }

    fn head(&mut self) -> &mut BatchHead {
        Arc::make_mut(&mut Arc::make_mut(&mut self.create.used).head)
    }

    fn wish(&mut self, wish: Wish) {
        let who = if wish.is_the_engines() { "engine" } else { "ann" };
        self.world.ask(who, wish).unwrap();
    }

    fn deposit(&mut self, letter: &str) {
        let (party, amount) = (party(letter), Total(1));
        let (asset, reference) = (self.head().asset.number, String::new());
        self.wish(Wish::RecordDeposit { party, asset, amount, reference });
    }

    fn doubt(&mut self, rail: Rail, letter: &str) {
        self.wish(Wish::RaiseTroubles(vec![trouble(0, rail, party(letter))]));
    }

    fn troubles_full(&mut self) {
        let all: Vec<NewTrouble> =
            (0..TROUBLES_MAX).map(|number| trouble(number, Rail::Evm, party("C"))).collect();
        for some in all.chunks(TROUBLES_RECORD_MAX) {
            self.wish(Wish::RaiseTroubles(some.to_vec()));
        }
    }

    fn dispute(&mut self) -> (WindowNumber, String) {
        let (window, reason) = (self.world.window, "why".to_owned());
        self.wish(Wish::DisputeWindow { window, reason: reason.clone() });
        (window, reason)
    }

    /// Has it be so, by what people and the engine do.
    fn happens(&mut self, what: &str) {
        let open = self.world.books.control.open_window().number;
        match what {
            "nothing-else" => {}
            "window-unknown" => self.head().windows = vec![WindowNumber(99)],
            "window-open" => self.head().windows = vec![open],
            "window-unsealed" => {
                self.wish(Wish::CloseWindow);
                self.head().windows = vec![open];
            }
            "window-disputed" => drop(self.dispute()),
            "window-was-disputed" => {
                let (window, reason) = self.dispute();
                self.wish(Wish::EndDispute { window, reason });
            }
            "window-in-batch" => drop(self.world.create("bob", false).unwrap()),
            "asset-unknown" => self.head().asset.number = AssetNumber(1),
            "account-changed" => self.wish(with_account("B", Rail::Card, "new")),
            "account-of-another-rail" => {
                let Wish::UpsertParty(mut upsert) = with_account("B", Rail::Card, "old") else {
                    unreachable!("it is one")
                };
                let rail = Rail::Iso20022.name().to_owned();
                upsert.accounts.push(SealedOnRail { rail, fields: as_sealed("") });
                self.wish(Wish::UpsertParty(upsert));
            }
            "other-party-changed" => {
                self.wish(with_account("C", Rail::Card, "new"));
                self.deposit("C");
            }
            "deposit-came" => self.deposit("A"),
            "changed-before" => {
                self.wish(with_account("B", Rail::Card, "new"));
                let control = &self.world.books.control;
                let account = control.account(party("B"), Rail::Card).unwrap();
                self.create.directory_version = control.directory_version();
                let used = Arc::make_mut(&mut self.create.used);
                Arc::make_mut(&mut used.accounts).insert(party("B"), account);
            }
            "key-rotated" => {
                let (key, proof) = (SignerKey([9; 32]), [0; 64]);
                drop(self.world.ask("engine", Wish::SetEngineKey { key, proof }).unwrap());
            }
            "paid-in-doubt" => self.doubt(Rail::Card, "B"),
            "other-paid-in-doubt" => self.doubt(Rail::Card, "C"),
            "other-rail-in-doubt" => self.doubt(Rail::Iso20022, "B"),
            "doubt-taken-away" => {
                self.doubt(Rail::Card, "B");
                self.wish(Wish::AckTroubles { troubles: vec![1], note: String::new() });
            }
            "troubles-full" => self.troubles_full(),
            _ => panic!("{what:?} is nothing that happens"),
        }
    }
}

#[test]
fn a_batch_is_made_as_long_as_what_it_was_computed_from_holds() {
    for row in lines(MAKING) {
        let mut line = Line::new(row);
        let (what, wanted) = (line.word(), line.word());
        line.end();
        let mut making = Making::new();
        making.happens(what);
        let before = making.world.stands();
        let found = making.world.ask("ann", Wish::CreateBatch(making.create));
        assert_eq!(making.world.stands() == before, found.is_err(), "{row}");
        let found = found.map_or_else(|refusal| name(&refusal), |event| fact(&event).to_owned());
        assert_eq!(found, wanted, "{row}");
    }
}
