//! What the stream must be like, so that an ack means what a journal promises; and how the engine
//! makes one.

use super::limits::{PAYLOAD_LEAST, REPLICAS_LEAST};
use super::settings::Settings;
use async_nats::jetstream::kv;
use async_nats::jetstream::stream::{
    Compression, Config, Info, PersistenceMode, RetentionPolicy, StorageType,
};
use std::time::Duration;

/// Window in which the servers look for known ids: none are sent, and it cannot be turned off.
const DUPLICATES: Duration = Duration::from_secs(1);

/// The stream as the engine makes it.
pub(super) fn stream(settings: &Settings) -> Config {
    Config {
        name: settings.stream.clone(),
        description: Some("Tallystick's journal: never delete, purge or edit it".into()),
        subjects: vec![settings.subject()],
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        num_replicas: REPLICAS_LEAST,
        max_messages: -1,
        max_messages_per_subject: -1,
        max_bytes: -1,
        max_consumers: -1,
        duplicate_window: DUPLICATES,
        deny_delete: true,
        deny_purge: true,
        allow_direct: true,
        compression: Some(Compression::None),
        ..Config::default()
    }
}

/// The bucket of the epoch as the engine makes it.
pub(super) fn bucket(settings: &Settings) -> kv::Config {
    kv::Config {
        bucket: settings.bucket(),
        description: "Who owns Tallystick's journal".into(),
        history: 1,
        storage: StorageType::File,
        num_replicas: REPLICAS_LEAST,
        ..kv::Config::default()
    }
}

/// The one subject of a stream that is fit.
///
/// # Errors
/// What is wrong with it, and what to do.
pub(super) fn check(info: &Info) -> Result<String, String> {
    let of = &info.config;
    let edit = "make a new stream, or let the engine make it (serve --init)";
    let wrong = |why: String| Err(format!("{why}; {edit}"));
    if of.storage != StorageType::File {
        return wrong("it is kept in memory".into());
    }
    if of.persist_mode == Some(PersistenceMode::Async) {
        return wrong("with persist_mode async its acks come before anything is on disk".into());
    }
    check_replicas(of.num_replicas)?;
    if of.retention != RetentionPolicy::Limits {
        return wrong("its retention is not by limits, so messages go when they were read".into());
    }
    let limits = [
        (of.max_age > Duration::ZERO, "max_age"),
        (of.max_bytes > 0, "max_bytes"),
        (of.max_messages > 0, "max_msgs"),
        (of.max_messages_per_subject > 0, "max_msgs_per_subject"),
    ];
    if let Some((_, name)) = limits.iter().find(|(limited, _)| *limited) {
        return wrong(format!("{name} discards messages, or stops all appends"));
    }
    if usize::try_from(of.max_message_size).is_ok_and(|most| (1..PAYLOAD_LEAST).contains(&most)) {
        return wrong(format!(
            "max_msg_size is {}, and the largest record needs {PAYLOAD_LEAST}",
            of.max_message_size
        ));
    }
    if !of.deny_delete || !of.deny_purge {
        return wrong("messages may be deleted: deny_delete and deny_purge must be set".into());
    }
    let others = [
        (of.sealed, "it is sealed"),
        (of.no_ack, "no_ack: nothing is acknowledged"),
        (of.allow_rollup, "allow_rollup_hdrs: a message may take the place of all others"),
        (of.allow_message_ttl, "allow_msg_ttl: messages may end by themselves"),
        (of.mirror.is_some() || of.sources.is_some(), "it is filled from another stream"),
        (of.subject_transform.is_some(), "it changes subjects"),
        (!of.allow_direct, "allow_direct is not set, so replicas cannot be asked one by one"),
    ];
    if let Some((_, why)) = others.iter().find(|(found, _)| *found) {
        return wrong((*why).to_owned());
    }
    match &of.subjects[..] {
        [one] if !one.contains(['*', '>']) => Ok(one.clone()),
        _ => wrong("it must have one subject, without wildcards".into()),
    }
}

/// Whether the bucket of the epoch is fit.
///
/// # Errors
/// What is wrong.
pub(super) fn check_bucket(of: &Config) -> Result<(), String> {
    check_replicas(of.num_replicas)?;
    if of.storage != StorageType::File || of.persist_mode == Some(PersistenceMode::Async) {
        return Err(
            "it is not kept on disk, so that an epoch could come again; make a new one with \
                    file storage"
                .into(),
        );
    }
    Ok(())
}

/// Whether a stream has enough replicas.
///
/// # Errors
/// What is wrong.
fn check_replicas(found: usize) -> Result<(), String> {
    if found >= REPLICAS_LEAST {
        return Ok(());
    }
    Err(format!(
        "it has {found} replicas, and needs {REPLICAS_LEAST}, so that any one server may be lost; add servers, then \
         `nats stream edit --replicas {REPLICAS_LEAST}`"
    ))
}
