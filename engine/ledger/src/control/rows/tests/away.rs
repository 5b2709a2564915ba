//! Legs that leave memory and come back.

use super::*;

/// A batch of one pay-in and one pay-out, both of which have ended.
fn settled() -> World {
    let mut world = World { books: Books::new(), kept: Kept::default(), last: None, requests: 0 };
    let steps = [Step::Close(vec![(1, 2, 5_000)]), Step::Compute, Step::Approve];
    steps.into_iter().for_each(|step| world.step(step));
    for leg in 0..2 {
        world.step(Step::Legs(OfLegs::Submit));
        world.step(Step::Legs(OfLegs::Move(leg, LegState::Confirmed)));
    }
    world
}

/// Every leg of every batch of all time was held for ever.
#[test]
fn legs_of_a_batch_that_is_over_leave_memory_when_a_checkpoint_holds_them_and_not_before() {
    let mut world = settled();
    let batch = world.last.unwrap();
    let legs = |world: &World| world.books.control.batch(batch).unwrap().legs.clone();
    assert!(legs(&world).have_ended());
    save(&mut world);
    assert!(world.books.control.let_go().is_empty(), "its exposure is not released");
    world.step(Step::Legs(OfLegs::Release));
    world.step(Step::Legs(OfLegs::Move(0, LegState::Returned)));
    assert!(world.books.control.let_go().is_empty(), "no checkpoint holds the return");
    save(&mut world);
    assert_eq!(world.books.control.let_go().len(), 1);
    assert!(legs(&world).is_away(0));
    // Where they stand is known all the same, and what failed.
    let states: Vec<LegState> = legs(&world).states().collect();
    assert_eq!(states, [LegState::Returned, LegState::Confirmed]);
    assert!(legs(&world).owed_in(0).is_some() && legs(&world).owed_in(1).is_none());
    assert_same(&world);
    // A return a month later, and an answer that comes twice.
    world.step(Step::Legs(OfLegs::Move(1, LegState::Returned)));
    world.step(Step::Legs(OfLegs::Move(1, LegState::Returned)));
    let reference = legs(&world).facts(1).unwrap().reference.clone();
    assert_eq!((&*reference, legs(&world).count(LegState::Returned)), ("R1", 2));
    assert!(world.books.control.let_go().is_empty(), "it has changed");
    save(&mut world);
    assert_eq!(world.books.control.let_go().len(), 1);
    assert_same(&world);
}

#[test]
#[should_panic = "is not here"]
fn what_is_not_in_memory_is_never_taken_for_what_is_not_known() {
    let mut world = settled();
    world.step(Step::Legs(OfLegs::Release));
    assert!(world.books.control.batch(world.last.unwrap()).unwrap().is_over());
    save(&mut world);
    drop(world.books.control.let_go());
    let _ = world.books.control.batch(world.last.unwrap()).unwrap().legs.facts(0);
}
