//! The bucket of whoever takes part: small entries by name, each with a revision that rises. All of
//! them are read from the bucket's leader: one that nobody leads says nothing, so that what stands
//! still there is never taken for somebody who does.

use super::error::StreamError;
use super::fit;
use super::link::{Link, why};
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use std::error::Error as _;
use std::time::{Duration, SystemTime};
use tokio::runtime::Handle;
use tokio::task::block_in_place;
use tokio_stream::StreamExt as _;

/// An entry as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its revision: no two entries of the bucket ever have the same.
    pub revision: u64,
    /// What it says.
    pub value: Vec<u8>,
    /// For how long it has been there, by this machine's clock and the servers'.
    pub age: Duration,
}

impl Link {
    /// Waits for an answer, on whatever thread: one of those that drive tasks gives its own to
    /// others meanwhile.
    pub(super) fn wait<F: Future>(&self, answer: F) -> F::Output {
        match Handle::try_current() {
            Ok(_) => block_in_place(|| self.runtime.block_on(answer)),
            Err(_) => self.runtime.block_on(answer),
        }
    }

    /// Makes the bucket, if there is none.
    ///
    /// # Errors
    /// When it cannot be had, or is not fit.
    pub fn have_bucket(&self) -> Result<(), StreamError> {
        let name = self.settings().bucket();
        let unfit = |why: String| StreamError::Epoch { bucket: name.clone(), last: 0, why };
        self.wait(async {
            let store = match self.api.get_key_value(&name).await {
                Ok(store) => store,
                Err(_) => {
                    let made = self.api.create_key_value(fit::bucket(self.settings())).await;
                    made.map_err(|error| unfit(why(&error)))?
                }
            };
            fit::check_bucket(&store.stream.cached_info().config).map_err(unfit)
        })
    }

    /// One entry, if it is there.
    ///
    /// # Errors
    /// `Request` when the bucket's leader does not say.
    pub fn entry(&self, key: &str) -> Result<Option<Held>, StreamError> {
        let (name, subject) = (self.bucket_stream(), self.subject_of(key));
        self.wait(async {
            let stream = self.appends.get_stream_no_info(&name).await;
            let stream =
                stream.map_err(|error| self.failed("its bucket cannot be read", &error))?;
            match stream.get_last_raw_message_by_subject(&subject).await {
                Ok(found) => {
                    let since = SystemTime::from(found.time);
                    let age = SystemTime::now().duration_since(since).unwrap_or_default();
                    Ok(Some(Held { revision: found.sequence, value: found.payload.to_vec(), age }))
                }
                Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
                Err(error) => Err(self.failed("its bucket cannot be read", &error)),
            }
        })
    }

    /// Every entry whose key begins with `kind` and a dot; the rest of the key with each.
    ///
    /// # Errors
    /// As for `entry`.
    pub fn entries(&self, kind: &str) -> Result<Vec<(String, Held)>, StreamError> {
        let (name, before) = (self.bucket_stream(), self.subject_of(kind));
        let names: Vec<String> = self.wait(async {
            let stream = self.appends.get_stream_no_info(&name).await;
            let stream =
                stream.map_err(|error| self.failed("its bucket cannot be read", &error))?;
            let listed = stream.info_with_subjects(format!("{before}.*")).await;
            let mut listed =
                listed.map_err(|error| self.failed("its bucket cannot be listed", &error))?;
            let mut names = Vec::new();
            while let Some(one) = listed.next().await {
                let (subject, _) =
                    one.map_err(|error| self.failed("its bucket cannot be listed", &error))?;
                names.extend(subject.strip_prefix(&format!("{before}.")).map(str::to_owned));
            }
            Ok::<_, StreamError>(names)
        })?;
        let mut found = Vec::with_capacity(names.len());
        for name in names {
            let held = self.entry(&format!("{kind}.{name}"))?;
            found.extend(held.map(|held| (name, held)));
        }
        Ok(found)
    }

    /// Puts an entry, in the place of whatever is there, or only of the one with the revision
    /// `expected` (0: of none). Its revision; `None` when another one was there.
    ///
    /// # Errors
    /// `Request`: then nobody knows whether it was put.
    pub fn put_entry(
        &self,
        key: &str,
        value: &[u8],
        expected: Option<u64>,
    ) -> Result<Option<u64>, StreamError> {
        let mut publish = PublishMessage::build().payload(value.to_vec().into());
        if let Some(expected) = expected {
            publish = publish.expected_last_subject_sequence(expected);
        }
        let subject = self.subject_of(key);
        let put = self.wait(async {
            let sent = self.appends.send_publish(subject, publish).await?;
            sent.await
        });
        match put {
            Ok(ack) => Ok(Some(ack.sequence)),
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => Ok(None),
            Err(error) => {
                let below = error.source().map_or_else(|| error.to_string(), ToString::to_string);
                let what = format!("entry {key} of bucket {}", self.settings().bucket());
                Err(StreamError::Request { what, why: below })
            }
        }
    }

    /// The last message of the journal's stream, as its leader says at once.
    pub(super) fn last_now(&self) -> Result<u64, StreamError> {
        let described = self.wait(self.appends.get_stream(&self.settings().stream));
        let described =
            described.map_err(|error| self.failed("the servers do not describe it", &error))?;
        Ok(described.cached_info().state.last_sequence)
    }

    /// How many messages of the stream did not count.
    #[must_use]
    pub fn void(&self) -> u64 {
        self.vitals.void()
    }

    fn bucket_stream(&self) -> String {
        format!("KV_{}", self.settings().bucket())
    }

    fn subject_of(&self, key: &str) -> String {
        format!("$KV.{}.{key}", self.settings().bucket())
    }
}
