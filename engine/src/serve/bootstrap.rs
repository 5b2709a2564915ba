//! What is journaled at a start before anybody is let in: the engine's first key, or that of a node
//! that has taken over, and the operator whom the owner of the machine asked for. And whether
//! anybody knows who operates an engine that others can reach.

use super::ServeError;
use super::node::Follows;
use crate::config::{Bootstrap, Config, RailSettings};
use crate::faults;
use crate::ledger::event::{EyesSet, IdentityAdded};
use crate::ledger::{Command, Credential, IdentityMisfit, Refusal, Role, Scope, Wish};
use crate::pipeline::NotDone;
use crate::settle::Engine;
use crate::types::Digest;

/// An engine that others can reach has operators, or nothing is opened.
///
/// # Errors
/// `NobodyOperates`; `Bootstrap` when the file that names the first one is no good.
pub(super) fn check_before(config: &Config, is_there: bool) -> Result<(), ServeError> {
    let first = read(config)?;
    // Who is in a journal is known once it is open.
    if is_there || !first.is_empty() { Ok(()) } else { check(config, false) }
}

fn check(config: &Config, has_identity: bool) -> Result<(), ServeError> {
    let has_operators = !config.operators.is_empty() || has_identity;
    let console = config.console.as_ref().map(|of| of.listen.0);
    let mut away = [config.listen].into_iter().chain(console).filter(|at| !at.ip().is_loopback());
    match away.next() {
        Some(addr) if !has_operators => Err(ServeError::NobodyOperates { addr }),
        Some(_) | None => Ok(()),
    }
}

fn read(config: &Config) -> Result<Vec<(String, Digest)>, ServeError> {
    let path = Bootstrap::path(&config.data_dir);
    Bootstrap::read(&config.data_dir).map_err(|why| ServeError::Bootstrap { path, why })
}

/// Journals what comes before everything else. Durable before anybody is served.
///
/// # Errors
/// `ServeError` that says what could not be journaled.
pub(super) fn first_records(
    engine: &Engine,
    config: &Config,
    first_key: bool,
    follows: Option<Follows>,
) -> Result<(), ServeError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime =
        runtime.map_err(|e| ServeError::System { what: "runtime", why: e.to_string() })?;
    if first_key {
        let key = engine.key().public();
        let command = Command::own(Wish::SetEngineKey { key, proof: [0; 64] });
        runtime.block_on(engine.tell(command)).map_err(ServeError::EngineKeyNotSet)?;
    }
    if let Some(Follows { key, proof }) = follows {
        let told = runtime.block_on(engine.tell(Command::own(Wish::SetEngineKey { key, proof })));
        told.map_err(ServeError::EngineKeyNotSet)?;
        engine.key().adopt()?;
        tracing::warn!(%key, "the engine signs with this node's key from here on");
    }
    let first = read(config)?;
    for (name, digest) in &first {
        // Whoever asked sees what cannot be, and the engine serves those who are known.
        let refused = |why: &dyn std::fmt::Display| {
            tracing::error!(
                %name, %why,
                "the owner of this machine asked for an operator who cannot be: nobody was let in; choose another \
                 name (`tallystick access bootstrap`)"
            );
        };
        if config.operators.contains_key(name) {
            refused(&"an operator of the configuration has this name");
            continue;
        }
        match runtime.block_on(engine.tell(first_operator(name, *digest))) {
            Ok(_) => tracing::warn!(%name, "the owner of this machine made an operator"),
            // The last start was cut off before the file was taken away.
            Err(NotDone::Refused(Refusal::Identity(IdentityMisfit::NameTaken(_))))
                if is_known(engine, name, &Credential::Key(*digest)) => {}
            Err(NotDone::Refused(why)) => refused(&why),
            Err(why) => return Err(unfit(config, why.to_string())),
        }
    }
    if !first.is_empty() {
        faults::point(|| "bootstrap-journaled");
        Bootstrap::remove(&config.data_dir).map_err(|why| unfit(config, why.to_string()))?;
    }
    check_names(engine, config)?;
    runtime.block_on(set_eyes(engine, config)).map_err(ServeError::EyesNotSet)?;
    check(config, engine.has_operators())
}

fn unfit(config: &Config, why: String) -> ServeError {
    ServeError::Bootstrap { path: Bootstrap::path(&config.data_dir), why }
}

fn first_operator(name: &str, digest: Digest) -> Command {
    Command::own(Wish::AddIdentity(IdentityAdded {
        name: name.to_owned(),
        role: Role::Operator,
        credential: Credential::Key(digest),
        scope: Scope::default(),
        expires_at: None,
        rate: 0,
    }))
}

/// Whether four eyes are on, and who counts by the configuration, is in the journal too: what takes
/// two follows from it. Said once for each change.
///
/// # Errors
/// When it is not journaled.
pub(super) async fn set_eyes(engine: &Engine, config: &Config) -> Result<(), NotDone> {
    let on = config.four_eyes;
    let names = config.operators.keys().filter(|_| on);
    let wanted = EyesSet { on, operators: names.cloned().collect() };
    match engine.ask(|control| Ok(control.eyes().is_set_so(&wanted))).await? {
        true => Ok(()),
        false => engine.tell(Command::own(Wish::SetEyes(wanted))).await.map(|_| ()),
    }
}

/// No operator of the configuration has the name of an identity, be it a revoked one: what the
/// journal says somebody did is one person's doing.
fn check_names(engine: &Engine, config: &Config) -> Result<(), ServeError> {
    for name in config.operators.keys() {
        let named = engine.standing(|control| Ok(control.identities().named(name).map(|_| ())?));
        if named.is_ok() {
            return Err(ServeError::NameTwice { name: name.clone() });
        }
    }
    Ok(())
}

/// Without operators the engine is open, which is meant for a first look. Where money can move,
/// that is said as what it is.
pub(super) fn say_who_may_operate(config: &Config, engine: &Engine) {
    if !config.operators.is_empty() || engine.has_operators() {
        return;
    }
    if engine.has_identities() {
        tracing::error!(
            "there are identities and no operators, so nobody can operate this engine: is [operators] missing in \
             the configuration? Otherwise make one (`tallystick access bootstrap`)"
        );
        return;
    }
    let open = "there are no operators: whoever reaches this address may operate the engine; make the first one \
                (`tallystick access bootstrap`), or set [operators]";
    if config.clearing.is_empty() && config.rail == RailSettings::default() {
        tracing::warn!("{open}");
    } else {
        tracing::error!(
            "rails are configured, so money can move, and {open} before you pay anyone"
        );
    }
}

fn is_known(engine: &Engine, name: &str, credential: &Credential) -> bool {
    let known = engine.standing(|control| {
        let of = control.identities().named(name)?;
        Ok(of.credential == *credential)
    });
    known.unwrap_or(false)
}
