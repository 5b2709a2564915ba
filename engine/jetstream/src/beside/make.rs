//! What the streams beside the journal's must be like, and making them.

use super::super::error::StreamError;
use super::super::fit;
use super::super::limits::{PASSING_AGE, REPLICAS_LEAST};
use super::super::link::Link;
use super::super::settings::Settings;
use super::line::{Line, Place};
use async_nats::jetstream::stream::{Compression, Config, DiscardPolicy, StorageType};
use std::time::Duration;

/// Window in which the servers look for known ids: none are sent, and it cannot be turned off.
const DUPLICATES: Duration = Duration::from_secs(1);

/// The bucket of keys.
pub(super) fn bucket(link: &Link) -> String {
    format!("{}-beside", link.settings().stream)
}

/// The stream behind that bucket.
pub(super) fn keys_of(settings: &Settings) -> String {
    format!("KV_{}-beside", settings.stream)
}

/// How its subjects begin.
pub(super) fn keys_begin(link: &Link) -> String {
    format!("$KV.{}.", bucket(link))
}

/// The stream of what passes.
pub(super) fn passing_of(settings: &Settings) -> String {
    format!("{}-passing", settings.stream)
}

/// As the engine makes it. Pages are erased by number, so that messages may be deleted.
fn config(line: &Line) -> Config {
    let keys = line.stream.starts_with("KV_");
    let (per_subject, age) = if keys { (1, Duration::ZERO) } else { (-1, PASSING_AGE) };
    Config {
        name: line.stream.clone(),
        description: Some(
            "Kept beside Tallystick's journal: never delete, purge or edit it".into(),
        ),
        subjects: vec![format!("{}>", line.begin)],
        storage: StorageType::File,
        num_replicas: REPLICAS_LEAST,
        discard: DiscardPolicy::Old,
        max_messages: -1,
        max_messages_per_subject: per_subject,
        max_bytes: -1,
        max_consumers: -1,
        max_age: age,
        duplicate_window: DUPLICATES,
        deny_delete: !keys,
        deny_purge: true,
        allow_direct: true,
        allow_atomic_publish: keys,
        compression: Some(Compression::None),
        ..Config::default()
    }
}

/// The stream is there and fit; where it is not there, it is made by who may fill it. Whether it
/// was made.
///
/// # Errors
/// `NotFilled`, `Unfit`.
pub(super) fn sure(line: &Line, place: &mut Place, may_fill: bool) -> Result<bool, StreamError> {
    let mut info = line.link.info_of(&line.stream)?;
    let is_new = info.is_none();
    if is_new {
        if !may_fill {
            return Err(StreamError::NotFilled { bucket: bucket(&line.link) });
        }
        if place.at > 0 {
            tracing::warn!(stream = %line.stream, "it is not there any more, and is made and filled anew");
            *place = Place::start();
        }
        line.link.make(&config(line))?;
        info = line.link.info_of(&line.stream)?;
    }
    let stream = line.stream.clone();
    let info = info.ok_or_else(|| StreamError::Unfit {
        stream: stream.clone(),
        why: "it was made, and is not there".into(),
    })?;
    check(&info.config, line).map_err(|why| StreamError::Unfit { stream, why })?;
    Ok(is_new)
}

/// What is wrong with it.
fn check(of: &Config, line: &Line) -> Result<(), String> {
    fit::check_bucket(of)?;
    let wanted = config(line);
    let wrong = [
        (of.max_age != wanted.max_age, "max_age"),
        (of.max_bytes > 0, "max_bytes"),
        (of.max_messages > 0, "max_msgs"),
        (of.max_messages_per_subject != wanted.max_messages_per_subject, "max_msgs_per_subject"),
        (of.allow_atomic_publish != wanted.allow_atomic_publish, "allow_atomic"),
        (of.deny_delete != wanted.deny_delete, "deny_delete"),
        (of.allow_message_ttl, "allow_msg_ttl"),
        (!of.allow_direct, "allow_direct"),
        (of.subjects != wanted.subjects, "subjects"),
        (of.mirror.is_some() || of.sources.is_some(), "mirror or sources"),
    ];
    match wrong.iter().find(|(wrong, _)| *wrong) {
        None => Ok(()),
        Some((_, name)) => Err(format!(
            "{name} is not as the engine makes it: while the engine stands, and only where its owner's directory is \
             whole, remove this stream; the next start of that directory makes and fills it anew"
        )),
    }
}
