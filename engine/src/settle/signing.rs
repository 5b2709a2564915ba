//! Signing what the engine says: with the key that the journal names.

use crate::pipeline::Intake;
use crate::sign::{EngineKey, Signed};
use crate::types::{SIGNATURE_BYTES, SignerKey, Statement};

/// Signs with the key that is in force now. If another comes into force before the statement is
/// journaled, the ledger refuses it with `EngineKeyMoved`, and it is signed again.
pub(super) fn signed(intake: &Intake, engine_key: &EngineKey, statement: &Statement) -> Signed {
    let in_force = intake.control().engine_key();
    match in_force {
        Some(key) => {
            engine_key.sign_as(key, statement).expect("the key in force was loaded at the start")
        }
        // The ledger takes this from an engine that never had a key: one that is never served.
        None => Signed { key: SignerKey::ZERO, signature: [0; SIGNATURE_BYTES] },
    }
}
