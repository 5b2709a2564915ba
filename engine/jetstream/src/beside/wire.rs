//! What the streams beside the journal's need of the servers and the journal's stream does not:
//! several messages in one append, reading over what is not there any more, erasing.

use super::super::copy;
use super::super::error::StreamError;
use super::super::limits::{
    ACK_WAIT, API_WAIT, BESIDE_READ, BESIDE_WAIT, MESSAGE_BYTES_MAX, START_WAIT,
};
use super::super::link::{Link, Sent, last_in, why};
use async_nats::header::{
    HeaderMap, NATS_BATCH_COMMIT, NATS_BATCH_ID, NATS_BATCH_SEQUENCE, NATS_EXPECTED_LAST_SEQUENCE,
    NATS_LAST_SEQUENCE, NATS_SEQUENCE, NATS_SUBJECT,
};
use async_nats::jetstream::stream::{Config, LastRawMessageErrorKind};
use bytes::Bytes;
use serde_json::Value;
use std::time::Instant;
use tokio::time::timeout;
use tokio_stream::StreamExt as _;

/// A message to be sent, and its subject.
pub(super) type Sending = (String, Bytes);

/// One that was found.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub seq: u64,
    pub subject: String,
    pub payload: Bytes,
}

/// The error code of a place that is another one than expected.
const WRONG_LAST: u64 = 10_071;
/// How a batch of messages ends that was read, and that nothing is there.
const END: u16 = 204;
const NOTHING: u16 = 404;

impl Link {
    /// Appends messages, all of them or none, behind `expected` and nowhere else. Where it is `At`,
    /// that is the last one's number.
    pub(super) fn send(&self, messages: &[Sending], expected: u64) -> Sent {
        if let [(subject, bytes)] = messages {
            return self.append(subject, bytes.clone(), Some(expected));
        }
        if self.client.connection_state() != async_nats::connection::State::Connected {
            return Sent::Unknown { why: "there is no connection".into(), silent: false };
        }
        // Each of them is synced.
        let patience = ACK_WAIT + BESIDE_WAIT * u32::try_from(messages.len()).unwrap_or(u32::MAX);
        let sent = async { timeout(patience, self.batch(messages, expected)).await };
        match self.wait(sent) {
            Ok(Ok(said)) => judged(&said, messages.len()),
            Ok(Err(why)) => Sent::Unknown { why, silent: false },
            Err(_) => Sent::Unknown { why: "no answer in time".into(), silent: true },
        }
    }

    /// What the servers answer to messages that they take together (an atomic batch).
    async fn batch(&self, messages: &[Sending], expected: u64) -> Result<Value, String> {
        // One that was sent before may be there in part, under its own name.
        let id = copy::drawn().map_err(|error| error.to_string())?;
        let last = messages.len();
        for (n, (subject, bytes)) in (1..).zip(messages) {
            let mut headers = HeaderMap::new();
            headers.insert(NATS_BATCH_ID, &id[..]);
            headers.insert(NATS_BATCH_SEQUENCE, n.to_string());
            if n == 1 {
                headers.insert(NATS_EXPECTED_LAST_SEQUENCE, expected.to_string());
            }
            let (subject, bytes) = (subject.clone(), bytes.clone());
            if n < last {
                let sent = self.client.publish_with_headers(subject, headers, bytes).await;
                sent.map_err(|error| why(&error))?;
                continue;
            }
            headers.insert(NATS_BATCH_COMMIT, "1");
            let said = self.client.request_with_headers(subject, headers, bytes).await;
            let said = said.map_err(|error| why(&error))?;
            return serde_json::from_slice(&said.payload).map_err(|error| error.to_string());
        }
        Err("nothing was sent".into())
    }

    /// Some of the messages of a stream from number `from` on, in order; none where whoever answers
    /// has none. What lies between them is there no more, or was never there.
    pub(super) fn next(&self, stream: &str, from: u64) -> Result<Vec<Found>, String> {
        self.wait(async {
            let (inbox, mut found) = (self.client.new_inbox(), Vec::new());
            let answers = self.client.subscribe(inbox.clone()).await;
            let mut answers = answers.map_err(|error| why(&error))?;
            let ask = serde_json::json!({
                "seq": from, "next_by_subj": ">", "batch": BESIDE_READ, "max_bytes": MESSAGE_BYTES_MAX,
            });
            let to = format!("$JS.API.DIRECT.GET.{stream}");
            let asked = self.client.publish_with_reply(to, inbox, ask.to_string().into()).await;
            asked.map_err(|error| why(&error))?;
            // What came before, as each answer says again: one that is lost on the way is noticed.
            let mut before = 0;
            loop {
                let answer = timeout(API_WAIT, answers.next()).await.map_err(|_| "no answer in time")?;
                let answer = answer.ok_or("the connection has ended")?;
                match answer.status.map(|status| status.as_u16()) {
                    None => {}
                    Some(NOTHING) => return Ok(found),
                    Some(END) if header(&answer.headers, NATS_LAST_SEQUENCE)? == before => {
                        return Ok(found);
                    }
                    Some(other) => {
                        let text = answer.description.unwrap_or_default();
                        return Err(format!("messages are not handed out: {other} {text}"));
                    }
                }
                let headers = answer.headers.as_ref();
                let subject = headers.and_then(|headers| headers.get(NATS_SUBJECT));
                let subject = subject.ok_or("a message came without its subject")?.to_string();
                let seq = header(&answer.headers, NATS_SEQUENCE)?;
                if header(&answer.headers, NATS_LAST_SEQUENCE)? != before || seq < from {
                    return Err("a message was lost on its way".into());
                }
                before = seq;
                found.push(Found { seq, subject, payload: answer.payload });
            }
        })
    }

    /// The last message under a subject, as the stream's leader has it.
    pub(super) fn last_under(&self, stream: &str, subject: &str) -> Result<Option<Found>, String> {
        self.wait(async {
            let stream = self.api.get_stream_no_info(stream).await.map_err(|error| why(&error))?;
            match stream.get_last_raw_message_by_subject(subject).await {
                Ok(of) => Ok(Some(Found {
                    seq: of.sequence,
                    subject: of.subject.to_string(),
                    payload: of.payload,
                })),
                Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
                Err(error) => Err(why(&error)),
            }
        })
    }

    /// Has a message's bytes overwritten by every server.
    pub(super) fn erase(&self, stream: &str, seq: u64) -> Result<(), String> {
        self.wait(async {
            let stream = self.api.get_stream_no_info(stream).await.map_err(|error| why(&error))?;
            match stream.delete_message(seq).await {
                Ok(true) => Ok(()),
                Ok(false) => Err("it is not erased".into()),
                Err(error) => Err(why(&error)),
            }
        })
    }

    /// Makes a stream. Where servers have just come up, one of them may be none yet to the others.
    pub(in super::super) fn make(&self, config: &Config) -> Result<(), StreamError> {
        let deadline = Instant::now() + START_WAIT;
        loop {
            let made = self.wait(self.api.create_stream(config.clone()));
            let Err(error) = made else { return Ok(()) };
            if Instant::now() > deadline {
                let what = format!("stream {}: it cannot be made", config.name);
                return Err(StreamError::Request { what, why: why(&error) });
            }
            self.pause(false);
        }
    }
}

/// What an answer to several messages means.
fn judged(said: &Value, count: usize) -> Sent {
    let (error, number) = (&said["error"], |name: &str| said[name].as_u64());
    let text = error["description"].as_str().unwrap_or_default();
    let refused = || Sent::Unknown { why: format!("it is refused ({said})"), silent: false };
    if error["err_code"].as_u64() == Some(WRONG_LAST) {
        return last_in(text).map_or_else(refused, |last| Sent::Moved { last });
    }
    match (number("seq"), number("count")) {
        (Some(seq), Some(counted)) if usize::try_from(counted) == Ok(count) => {
            Sent::At { seq, duplicate: said["duplicate"].as_bool().unwrap_or(false) }
        }
        _ => refused(),
    }
}

/// A number among the headers of an answer.
fn header(
    headers: &Option<HeaderMap>,
    name: async_nats::header::HeaderName,
) -> Result<u64, &'static str> {
    let value = headers.as_ref().and_then(|headers| headers.get(name));
    let number = value.and_then(|value| value.as_str().parse().ok());
    number.ok_or("a message came without its number")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_to_several_messages_is_taken_for_what_it_says() {
        let judged = |text: &str| judged(&serde_json::from_str(text).unwrap(), 3);
        let at = judged(r#"{"stream":"S","seq":9,"batch":"b","count":3}"#);
        assert!(matches!(at, Sent::At { seq: 9, duplicate: false }), "{at:?}");
        let moved = judged(
            r#"{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 11"},"stream":"S","seq":0}"#,
        );
        assert!(matches!(moved, Sent::Moved { last: 11 }), "{moved:?}");
        for unknown in [
            r#"{"stream":"S","seq":9,"batch":"b","count":2}"#,
            r#"{"error":{"code":400,"err_code":10176,"description":"atomic publish batch is incomplete"}}"#,
            r#"{"error":{"code":400,"err_code":10071,"description":"wrong last sequence"},"stream":"S","seq":0}"#,
            "{}",
        ] {
            let said = judged(unknown);
            assert!(matches!(said, Sent::Unknown { silent: false, .. }), "{said:?}");
        }
    }
}
