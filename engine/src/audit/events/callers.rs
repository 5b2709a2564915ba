//! Who made each event happen: a caller that there can be, who may do such a thing, with a request
//! where somebody asked and none where nobody did.

use crate::audit::difference::Difference;
use crate::ledger::event::{
    AccessEvent, BatchEvent, BudgetEvent, EyesEvent, HoldEvent, KeyEvent, LegEvent, TroubleEvent,
    WindowEvent,
};
use crate::ledger::{Caller, Envelope, Event, Mover, Role, Via};

/// Checks the envelope of an event.
pub(super) fn check(envelope: &Envelope, event: &Event) -> Result<(), Difference> {
    let Envelope { caller, request } = envelope;
    let Caller { name, role, via } = caller;
    let is_one = match (role, via) {
        (Role::Engine, Via::Engine) | (Role::Anyone, Via::Grpc) => name.is_empty(),
        (Role::Engine, Via::Schedule) => name == Caller::SCHEDULE,
        (Role::Operator, Via::Grpc) => !name.is_empty() && name != Caller::SCHEDULE,
        // What they are called and may do, is checked with the identities.
        (
            Role::Facilitator | Role::Party | Role::Operator | Role::Approver | Role::Auditor,
            Via::Key | Via::Signed | Via::Certificate,
        ) => true,
        _ => false,
    };
    if !is_one {
        return Err(Difference::new("who made it happen", "a caller", format!("{caller:?}")));
    }
    let expected = match via {
        Via::Schedule | Via::Grpc | Via::Key | Via::Signed | Via::Certificate => true,
        Via::Engine => false,
    };
    if request.is_some() != expected {
        let expected = if expected { "one of whoever asked" } else { "none" };
        return Err(Difference::new("the request", expected, format!("{request:?}")));
    }
    if may(*via, event) {
        return Ok(());
    }
    Err(Difference::new("who made it happen", "one who may", format!("{caller:?}")))
}

/// Whether such an event can come this way.
fn may(via: Via, event: &Event) -> bool {
    let is_call = via == Via::Grpc || via.is_of_identities();
    match event {
        Event::Window(WindowEvent::Sealed(_) | WindowEvent::Archived(_))
        | Event::Leg(LegEvent::Submitted(_) | LegEvent::Booked(_) | LegEvent::Released(_))
        | Event::Budget(BudgetEvent::Warned(_))
        | Event::Trouble(TroubleEvent::Raised(_))
        | Event::Eyes(EyesEvent::Set(_))
        | Event::Hold(HoldEvent::Begun(_)) => via == Via::Engine,
        Event::Leg(LegEvent::Moved(e)) => match e.mover {
            Mover::Engine | Mover::Rail | Mover::Books => via == Via::Engine,
            Mover::Operator => is_call,
        },
        // The first key is the engine's own; whether this is the first, is checked with the keys.
        Event::Key(KeyEvent::EngineSet(_)) => via != Via::Schedule,
        Event::Window(WindowEvent::Cut(_))
        | Event::Batch(BatchEvent::Computed(_) | BatchEvent::Approved(_)) => via != Via::Engine,
        // Whose name is empty has no own key; what is signed, and who is named, is checked
        // with the keys.
        Event::Key(KeyEvent::OperatorSet(_) | KeyEvent::OperatorRemoved(_))
        | Event::Registry(_)
        | Event::Endpoint(_)
        | Event::Budget(BudgetEvent::Set(_))
        | Event::Batch(BatchEvent::Aborted(_))
        | Event::Window(WindowEvent::Disputed(_) | WindowEvent::DisputeEnded(_))
        | Event::Leg(LegEvent::Proposed(_))
        | Event::Access(AccessEvent::Revoked(_) | AccessEvent::Rotated(_))
        | Event::Trouble(TroubleEvent::Acked(_))
        | Event::Eyes(EyesEvent::Proposed(_) | EyesEvent::Withdrawn(_))
        | Event::Hold(HoldEvent::Released(_)) => is_call,
        // Whoever has the machine lets the first operator in.
        Event::Access(AccessEvent::Added(e)) => {
            is_call || via == Via::Engine && e.role == Role::Operator
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Request;
    use crate::ledger::event::{TroublesRaised, WindowCut};
    use crate::types::{Digest, WindowNumber};

    #[test]
    fn a_caller_that_cannot_be_or_may_not_is_found() {
        let cut = || Event::from(WindowCut { window: WindowNumber(1) });
        let raised = || Event::from(TroublesRaised { troubles: Vec::new() });
        let request = || Request { id: "r".into(), content: Digest::ZERO };
        let named = |name: &str, role, via| Caller { name: name.into(), role, via };
        let asks = |caller: Caller| caller.asks(request());
        let silent = |caller| Envelope { caller, request: None };
        let table = [
            (asks(Caller::grpc("ann".into())), cut(), true),
            (asks(Caller::grpc(String::new())), cut(), true),
            (asks(Caller::schedule()), cut(), true),
            (Envelope::own(), raised(), true),
            (silent(Caller::grpc("ann".into())), cut(), false),
            (silent(Caller::schedule()), cut(), false),
            (Envelope::own(), cut(), false),
            (asks(Caller::engine()), cut(), false),
            (asks(Caller::engine()), raised(), false),
            (asks(Caller::grpc("ann".into())), raised(), false),
            (asks(named("", Role::Operator, Via::Grpc)), cut(), false),
            (asks(named("schedule", Role::Operator, Via::Grpc)), cut(), false),
            (asks(named("ann", Role::Anyone, Via::Grpc)), cut(), false),
            (asks(named("ann", Role::Engine, Via::Schedule)), cut(), false),
            (asks(named("ann", Role::Engine, Via::Grpc)), cut(), false),
            (asks(named("ann", Role::Operator, Via::Schedule)), cut(), false),
            (silent(named("ann", Role::Engine, Via::Engine)), raised(), false),
        ];
        for (envelope, event, fits) in table {
            let found = check(&envelope, &event);
            assert_eq!(found.is_ok(), fits, "{envelope:?} {event:?}: {found:?}");
        }
    }
}
