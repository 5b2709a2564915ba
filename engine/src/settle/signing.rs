//! Signing what the engine says: with the key that the journal names; and how one follows another.

use super::engine::Engine;
use crate::ledger::{Caller, Request, Wish};
use crate::pipeline::{Done, Intake, NotDone};
use crate::sign::{EngineKey, EngineKeyError, Signed};
use crate::types::{Lsn, SIGNATURE_BYTES, SignerKey, Statement};

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

/// Why no new key comes into force.
#[derive(Debug, thiserror::Error)]
pub enum NotRotated {
    /// The rules refuse it, or the pipeline does not take it.
    #[error(transparent)]
    NotDone(#[from] NotDone),
    /// Its file.
    #[error(transparent)]
    Key(#[from] EngineKeyError),
    /// The other nodes could not take over from it.
    #[error("the keys of the other nodes cannot be named by the new one: {0}; try again later")]
    NotNamed(String),
}

impl Engine {
    /// Puts a new key of the engine in force; returns it with its record. The answer is that of the
    /// first time.
    ///
    /// # Errors
    /// `NotRotated`: the old key stays in force.
    pub async fn rotate_key(
        &self,
        caller: Caller,
        request: Request,
    ) -> Result<(SignerKey, Lsn), NotRotated> {
        let _alone = self.rotating().lock().await;
        let before = self.ask(|control| control.answered(&request)).await?;
        let lsn = match before {
            Some(lsn) => lsn,
            None => self.rotate(caller, request).await?,
        };
        let key = self.ask(|control| Ok(control.engine_key_set_by(lsn))).await?;
        Ok((key.expect("the request set a key"), lsn))
    }

    /// Has something done while no other key comes into force, beside the network threads.
    pub async fn while_key_stays<T: Send + 'static>(
        &self,
        work: impl FnOnce(&EngineKey) -> T + Send + 'static,
    ) -> T {
        let _alone = self.rotating().lock().await;
        let key = self.key().clone();
        tokio::task::spawn_blocking(move || work(&key)).await.expect("such work does not panic")
    }

    async fn rotate(&self, caller: Caller, request: Request) -> Result<Lsn, NotRotated> {
        let network = self.network();
        let next = self.with_key(move |key| key.prepare(network)).await?;
        let engine = self.clone();
        let name =
            move || engine.node().map_or(Ok(()), |node| (node.names)(engine.key(), next.key));
        let named = tokio::task::spawn_blocking(name).await;
        if let Err(why) = named.expect("naming does not panic") {
            self.with_key(EngineKey::discard).await?;
            return Err(NotRotated::NotNamed(why));
        }
        let wish = Wish::SetEngineKey { key: next.key, proof: next.signature };
        let told = self.tell(wish.by(caller, request)).await;
        match told {
            Ok(Done::Now(_)) => self.with_key(EngineKey::adopt).await?,
            Ok(Done::Before(_)) | Err(_) => self.with_key(EngineKey::discard).await?,
        }
        Ok(told?.lsn())
    }

    /// Beside the network threads: files are written.
    async fn with_key<T: Send + 'static>(
        &self,
        work: impl FnOnce(&EngineKey) -> Result<T, EngineKeyError> + Send + 'static,
    ) -> Result<T, EngineKeyError> {
        let key = self.key().clone();
        tokio::task::spawn_blocking(move || work(&key)).await.expect("keys do not panic")
    }
}
