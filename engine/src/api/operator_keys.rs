//! Operators' keys of their own: set, taken away and listed.

use super::messages::{asked_signed, asks, id, signature_of};
use super::proposals;
use super::status::invalid;
use crate::ledger::{Caller, OperatorKeyEntry, OperatorKeys};
use crate::settle::Engine;
use crate::types::{Lsn, SignerKey};
use bytes::Bytes;
use tallystick_proto::v1;
use tonic::Status;

asks! {
    SetOperatorKeyRequest "SetOperatorKey" signature,
    RemoveOperatorKeyRequest "RemoveOperatorKey" signature,
}

/// Has the caller sign with another key from now on. The answer is that of the first time, also to
/// a retry.
pub(super) async fn set(
    engine: &Engine,
    caller: Caller,
    message: v1::SetOperatorKeyRequest,
) -> Result<v1::OperatorKey, Status> {
    let (request, message, signature) = asked_signed(message)?;
    let key: SignerKey = id(&message.key, "key")?;
    let possession = signature_of(&message.possession, "possession")?;
    let lsn = engine.set_operator_key(caller.asks(request), key, possession, signature).await?;
    changed(engine, lsn).await
}

/// Takes an operator's key away. The answer is that of the first time, also to a retry.
pub(super) async fn remove(
    engine: &Engine,
    caller: Caller,
    message: v1::RemoveOperatorKeyRequest,
) -> Result<v1::OperatorKey, Status> {
    let (request, message, signature) = asked_signed(message)?;
    let key: SignerKey = id(&message.key, "key")?;
    if message.operator.is_empty() {
        return Err(invalid("operator is missing: say whose key is to go"));
    }
    let whose = (message.operator, key);
    let lsn = engine.remove_operator_key(caller.asks(request), whose, signature).await?;
    let proposal = proposals::made_by(engine, lsn);
    if !proposal.is_empty() {
        let held = engine.ask(|control| Ok(control.operator_keys().get(key).cloned())).await?;
        let held = held.map(|of| self::message(key, &of)).unwrap_or_default();
        return Ok(v1::OperatorKey { proposal, ..held });
    }
    changed(engine, lsn).await
}

/// All keys that there ever were, oldest first.
pub(super) async fn list(engine: &Engine) -> Result<Vec<v1::OperatorKey>, Status> {
    let all = engine.ask(|control| {
        let all = control.operator_keys().all();
        Ok(all.into_iter().map(|(key, of)| message(key, of)).collect())
    });
    Ok(all.await?)
}

/// The key that a record put in force, or took away, as it stood then.
async fn changed(engine: &Engine, lsn: Lsn) -> Result<v1::OperatorKey, Status> {
    let found = engine.ask(|control| {
        let keys: &OperatorKeys = control.operator_keys();
        // It proposed to take one away, and that is over.
        let Some(key) = keys.changed_by(lsn) else { return Ok(None) };
        let mut of = keys.get(key).expect("a key that was changed is known").clone();
        of.until = of.until.filter(|until| *until <= lsn);
        Ok(Some(message(key, &of)))
    });
    found.await?.ok_or_else(proposals::ended)
}

fn message(key: SignerKey, of: &OperatorKeyEntry) -> v1::OperatorKey {
    v1::OperatorKey {
        operator: of.operator.clone(),
        key: Bytes::copy_from_slice(&key.0),
        since_lsn: of.since.0,
        until_lsn: of.until.map_or(0, |lsn| lsn.0),
        proposal: Bytes::new(),
    }
}
