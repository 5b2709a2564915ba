//! What moves when: the story of a batch, step by step, with all that must be so in between.
//!
//! Steps: `close` closes the open window, in which this is owed; `batch` makes one of the window
//! that was closed last, and `approve` and `abort` are of it; `submit`, `rail` and `engine` are of
//! its legs; `release` lets the exposure of the parties at these places fall, and says what falls.
//! `no` before a step: it is refused like that.
//!
//! Facts: `is` the batch, `window` one of the windows, `open` what the open window owes by carry,
//! `again` what of the batch is owed again, `free` what it may pay out, `fund` what batches have
//! left over on the clearing account; `todo`, whether the engine has anything to do for the batch;
//! and `waits`, what waits for somebody: the batch, and windows that no batch has taken.

use super::*;

const SETTLED: &str = "
    close A>B:60 A>C:45
    window 1 CLOSED
    waits 1
    # Evidence leaves when all that it proves is settled, and not before.
    no archive 1 : WindowState
    no archive 2 : WindowOpen
    no archive 9 : UnknownWindow
    batch
    is COMPUTED
    window 1 BATCHED
    waits batch
    todo no
    approve
    is APPROVED
    waits
    todo yes
    # Leg 0 pays in 100 of A's 105, legs 1 and 2 pay out 60 and 40. Nothing has moved yet.
    open
    no abort-of-nothing UnknownBatch
    no release 0 : NotEnded
    no submit 1 : NotCovered
    submit 0
    is SUBMITTING
    # With the first leg the dust is owed anew, once; and nothing can be called off any more.
    open 0>C:5 A>0:5
    no abort BatchState
    free 0
    rail ACCEPTED 0
    free 0
    no release 0 : NotEnded
    rail CONFIRMED 0
    free 100
    # A has no other leg: what it owed falls by what is settled, and not by its dust.
    release 0 : A:100
    no release 0 : ReleasedBefore
    no release : NotEnded
    submit 1 2
    free 0
    open 0>C:5 A>0:5
    rail CONFIRMED 1 2
    is SETTLED
    window 1 SETTLED
    archive 1
    window 1 SETTLED
    no archive 1 : WindowState
    again 0
    fund 0
    todo yes
    release :
    todo no
    # The next window begins with the dust, and a batch of it has nothing that a rail could pay.
    close
    batch
    approve
    is SETTLED
    open 0>C:5 A>0:5
";

const PAY_IN_FAILS: &str = "
    close A>B:100 C>B:50
    batch
    approve
    # Legs 0 and 1 pay in 100 and 50, leg 2 pays out 150.
    submit 0 1
    rail CONFIRMED 0
    rail REJECTED 1
    again 50
    open C>0:50
    free 100
    no submit 2 : NotCovered
    # Each is released by what it has settled: C has settled nothing.
    release 0 1 : A:100 C:0
    engine REJECTED 2
    again 200
    open C>0:50 0>B:150
    is SETTLED_WITH_CARRY
    window 1 SETTLED
    fund 100
    release :
    # It all comes in the next one, which pays with what was left over.
    close
    window 2 CLOSED
    batch
    approve
    free 100
    submit 0
    no submit 1 : NotCovered
    rail CONFIRMED 0
    free 150
    fund 100
    submit 1
    fund 0
    rail CONFIRMED 1
    is SETTLED
    fund 0
    release 0 : C:50
    release :
";

const COMES_BACK: &str = "
    close A>B:100
    batch
    approve
    submit 0
    rail CONFIRMED 0
    submit 1
    rail CONFIRMED 1
    release 0 : A:100
    is SETTLED
    # The pay-out comes back: B is owed again by the clearing account, which has it; A owes nothing.
    rail RETURNED 1
    is SETTLED_WITH_CARRY
    open 0>B:100
    again 100
    fund 100
    no rail RETURNED 1 : LegState
    no rail CONFIRMED 1 : LegState
    # And so does the pay-in: A owes it to the clearing account, and nothing is left over.
    rail RETURNED 0
    open 0>B:100 A>0:100
    again 200
    fund 0
    # What had fallen rises with the return; it does not fall twice for one batch.
    no release 0 : ReleasedBefore
    close
    batch
    approve
    no submit 1 : NotCovered
    submit 0
    rail CONFIRMED 0
    submit 1
    rail CONFIRMED 1
    release 0 : A:100
    is SETTLED
    fund 0
";

const GIVEN_UP: &str = "
    close A>B:100
    batch
    waits batch
    abort
    is ABORTED
    window 1 CLOSED
    waits 1
    no approve BatchState
    no abort BatchState
    no submit 0 : BatchState
    # The same windows make the same batch: it is made once more, as if it were the first time.
    batch
    is COMPUTED
    window 1 BATCHED
    approve
    waits
    abort
    is ABORTED
    window 1 CLOSED
    waits 1
    open
    # While a window is disputed, no batch of it is made or approved.
    dispute 1
    window 1 DISPUTED
    no archive 1 : WindowDisputed
    no batch WindowDisputed
    no dispute 1 WindowDisputed
    undispute 1
    no undispute 1 WindowState
    batch
    dispute 1
    no approve WindowDisputed
    window 1 DISPUTED
    undispute 1
    window 1 BATCHED
    approve
    no dispute 1 WindowState
    # The open window and one that does not exist have nothing that could be wrong yet.
    no dispute 2 WindowOpen
    no dispute 9 UnknownWindow
    no undispute 2 WindowState
    no undispute 9 UnknownWindow
    submit 0
    no abort BatchState
    no dispute 1 WindowState
";

const SET_OFF: &str = "
    # A and B owe each other the same, and have no leg; C pays in for D.
    close A>B:10 B>A:10 C>D:50
    batch
    no release 0 : BatchState
    approve
    # Nothing of them could fail; but an abort would have the same debts settled once more.
    no release 0 : BatchState
    no release 0 1 : BatchState
    submit 0
    release 0 1 : A:10 B:10
    no release 2 : NotEnded
    rail REJECTED 0
    release 2 : C:0
    no release : NotEnded
    engine REJECTED 1
    release :
";

/// A batch, and what the story has said of it so far.
struct Story {
    world: World,
    made: bool,
}

impl Story {
    fn play(table: &str) {
        let mut world = World::new(Rail::Iso20022);
        // The story closes its own windows, from the first on.
        world.books = Books::new();
        let mut story = Self { world, made: false };
        for line in lines(table) {
            story.line(line);
        }
    }

    fn line(&mut self, whole: &str) {
        let mut line = Line::new(whole);
        let word = line.word();
        if word == "no" {
            let (before, rest) = (self.world_stands(), line.rest());
            let (step, wanted) = rest.rsplit_once(' ').expect("a step and a refusal");
            let refusal = self.step(step.trim_end_matches(" :")).expect_err(whole);
            assert_eq!(name(&refusal), wanted, "{whole}");
            assert_eq!(self.world_stands(), before, "{whole}");
        } else if !self.is_fact(word, &mut line, whole) {
            self.step(whole).unwrap_or_else(|refusal| panic!("{whole}: {refusal}"));
        }
    }

    fn world_stands(&self) -> String {
        if self.made { self.world.stands() } else { String::new() }
    }

    fn is_fact(&self, word: &str, line: &mut Line<'_>, whole: &str) -> bool {
        let control = &self.world.books.control;
        let batch = || self.world.entry().expect("a batch was made");
        match word {
            "is" => assert_eq!(batch().state().name(), line.word(), "{whole}"),
            "window" => {
                let window = control.window(WindowNumber(line.read())).unwrap();
                assert_eq!(window.state().name(), line.word(), "{whole}");
            }
            "open" => {
                let carried = control.open_window().carried.iter().map(|(_, carry)| carry);
                assert_eq!(told(carried), line.rest(), "{whole}");
            }
            "again" => assert_eq!(batch().legs.owed_again(), Total(line.read()), "{whole}"),
            "free" => {
                let free = control.free_to_pay(self.world.batch).unwrap();
                assert_eq!(free, Total(line.read()), "{whole}");
            }
            "todo" => {
                let found = control.settling_batches().contains(&self.world.batch);
                assert_eq!(if found { "yes" } else { "no" }, line.word(), "{whole}");
            }
            "waits" => {
                // What waits for somebody: batches to be approved, then windows to be batched.
                let batches = control.unapproved().filter(|of| of.head.id == self.world.batch);
                let asset = self.world.content().head.asset.number;
                let windows = control.unbatched(asset).map(|(window, _)| window.to_string());
                let batches = batches.map(|_| "batch".to_owned());
                let found: Vec<String> = batches.chain(windows).collect();
                assert_eq!(found.join(" "), line.rest(), "{whole}");
            }
            "fund" => assert_eq!(self.world.books.fund(), Net(line.read()), "{whole}"),
            _ => return false,
        }
        true
    }

    fn step(&mut self, whole: &str) -> Result<(), Refusal> {
        let mut line = Line::new(whole);
        let word = line.word();
        let world = &mut self.world;
        let wish = match word {
            "close" => {
                let owed = debts(&line.rest());
                let owed = owed.iter().map(|o| (o.payer.0[0], o.payee.0[0], o.amount.0));
                world.window = world.books.close(&owed.collect::<Vec<_>>());
                return Ok(());
            }
            "batch" => {
                let batch = world.create("ann", false)?;
                (world.batch, world.plan) = (batch, world.books.plan(batch));
                self.made = true;
                return Ok(());
            }
            "abort-of-nothing" => Wish::AbortBatch { batch: BatchId::ZERO, reason: String::new() },
            "approve" | "abort" => world.wish(word),
            "dispute" | "undispute" => {
                let (window, reason) = (WindowNumber(line.read()), "why".to_owned());
                match word {
                    "dispute" => Wish::DisputeWindow { window, reason },
                    _ => Wish::EndDispute { window, reason },
                }
            }
            "archive" => {
                let (window, digest) = (WindowNumber(line.read()), Digest::ZERO);
                let archive = ArchiveId { digest, bytes: 1 };
                let wish = Wish::ArchiveWindow(WindowArchived { window, archive });
                return world.ask("engine", wish).map(|_| ());
            }
            "release" => return self.release(&mut line, whole),
            _ => return self.legs(word, &mut line),
        };
        line.end();
        world.ask("bob", wish).map(|_| ())
    }

    fn release(&mut self, line: &mut Line<'_>, whole: &str) -> Result<(), Refusal> {
        let rest = line.rest();
        let (places, wanted) = rest.split_once(':').unwrap_or((&rest, ""));
        let places: Vec<u32> = places.split_whitespace().map(|at| at.parse().unwrap()).collect();
        let wish = self.world.release(&places);
        let event = self.world.ask("engine", wish)?;
        let Event::Leg(LegEvent::Released(e)) = event else { panic!("{event:?}") };
        let one = |release: &crate::event::Release| {
            format!("{}:{}", crate::fixture::table::letter(release.party), release.unsettled)
        };
        let found: Vec<String> = e.releases.iter().map(one).collect();
        assert_eq!(found.join(" "), wanted.trim(), "{whole}");
        Ok(())
    }

    fn legs(&mut self, word: &str, line: &mut Line<'_>) -> Result<(), Refusal> {
        let world = &mut self.world;
        let voice = match word {
            "submit" => None,
            "rail" => Some(Voice::Rail),
            "engine" => Some(Voice::Engine),
            _ => panic!("{word:?} is no step"),
        };
        let to = voice.map(|voice| (voice, line.word()));
        let legs: Vec<u32> = line.rest().split(' ').map(|leg| leg.parse().unwrap()).collect();
        let Some((voice, to)) = to else {
            let wish = world.submit(&legs, None);
            return world.ask("engine", wish).map(|_| ());
        };
        let to = LegState::ALL.into_iter().find(|state| state.name() == to).expect("a state");
        for leg in legs {
            let wish = world.moves(voice, leg, to);
            world.ask("engine", wish)?;
        }
        Ok(())
    }
}

#[test]
fn what_is_settled_falls_when_the_legs_have_ended_and_dust_is_owed_once() {
    Story::play(SETTLED);
}

#[test]
fn who_has_no_leg_is_released_when_the_batch_can_be_called_off_no_longer() {
    Story::play(SET_OFF);
}

#[test]
fn what_failed_is_owed_again_and_paid_with_what_is_left_over() {
    Story::play(PAY_IN_FAILS);
}

#[test]
fn what_comes_back_is_owed_again_after_the_batch_has_ended() {
    Story::play(COMES_BACK);
}

#[test]
fn a_batch_of_which_nothing_has_left_is_given_up_and_its_window_is_free_or_disputed() {
    Story::play(GIVEN_UP);
}
