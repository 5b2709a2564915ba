//! A call of a page: from JSON to the message that it stands for, to the services that gRPC has,
//! and back. What there is to call, and what its messages hold, is read from the contract's own
//! descriptors.

use super::answers::{Told, json};
use super::login::Guest;
use super::mask::mask;
use super::once;
use super::{Console, Inner};
use crate::api::access::{Entrant, Known};
use crate::api::door::{Asked, ConnectionId, Peer, Places};
use crate::api::trail;
use crate::ledger::Call;
use crate::limits::{
    CONSOLE_ANSWER_BYTES_MAX, CONSOLE_CALLS_MAX, CONSOLE_CALLS_OWN_MAX, CONSOLE_ITEMS_MAX,
};
use axum::response::Response;
use bytes::{Buf as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use prost_reflect::prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Instant;
use tallystick_proto::v1::IdKind;
use tonic::body::Body;
use tonic::codegen::Service as _;
use tonic::{Code, Status};

/// Of the facilitators' service, what tells of one's own and of the network.
const OF_VOUCHERS: [&str; 4] = ["GetChannel", "GetReceipt", "GetHeadroom", "GetNetwork"];
/// Who is logged in makes no further logins of it: they would last longer. And what goes on is told
/// by `/api/live`: a call ends.
const NOT_HERE: [&str; 2] = ["CreateConsoleLogin", "WatchNow"];
/// What a message is preceded by: whether it is packed, and its length.
const PREFIX: usize = 5;

/// What can be called.
pub(super) struct Methods(BTreeMap<String, Method>);

struct Method {
    path: String,
    of: MethodDescriptor,
}

/// Places for calls: whoever sees its own alone takes none of the desk's.
pub(super) fn places() -> Places {
    Places::new("calls of pages", CONSOLE_CALLS_MAX, CONSOLE_CALLS_OWN_MAX)
}

impl Methods {
    /// Those of the services.
    pub fn of_services() -> Self {
        let pool = DescriptorPool::decode(tallystick_proto::FILE_DESCRIPTORS);
        let pool = pool.expect("the descriptors were made by the build");
        let mut all = BTreeMap::new();
        for service in pool.services() {
            let is_here = |name: &str| match service.name() {
                "Operator" => !NOT_HERE.contains(&name),
                _ => OF_VOUCHERS.contains(&name),
            };
            for of in service.methods().filter(|of| is_here(of.name())) {
                let path = format!("/{}/{}", service.full_name(), of.name());
                all.insert(of.name().to_owned(), Method { path, of });
            }
        }
        Self(all)
    }
}

/// A list, as far as it was read.
#[derive(Serialize)]
struct Items {
    items: Vec<DynamicMessage>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    more: bool,
}

impl Console {
    /// Makes a call for whoever is logged in.
    ///
    /// # Errors
    /// As the call, or when nobody is logged in.
    pub(super) async fn call(&self, method: &str, asked: Asked) -> Result<Response, Told> {
        let (guest, began) = (self.guest(&asked).await?, Instant::now());
        let Inner { methods, setup, calls, .. } = &*self.0;
        let Some(method) = methods.0.get(method) else {
            let why = format!("the console has no call {method:?}: see docs/CONSOLE.md");
            return Err(Told::of(Code::Unimplemented, why).status(404));
        };
        if method.of.is_client_streaming() {
            let why = "a call to which a stream is sent is not made here: use `tallystick` on a command line";
            return Err(Told::of(Code::Unimplemented, why));
        }
        let _place = calls.take_as(guest.entrant.holder(), connection(&guest))?;
        let message = match read(method, &asked.body) {
            Ok(message) => message,
            Err(told) => {
                return Err(self.misread(method.of.name(), &guest, &asked.peer, told).await);
            }
        };
        let is_shown = is_shown(method, &message);
        let mut services = setup.services.clone();
        let peer = asked.peer.clone();
        let Ok(answer) = services.call(request(method, &message, &guest, peer)).await;
        let answer = gather(&method.of, answer).await.map_err(Told::from);
        if answer.as_ref().is_err_and(|told| told.code() == Code::Unauthenticated) {
            self.ends(&guest.id, &asked.peer, Code::Unauthenticated, began).await;
        }
        let Items { mut items, more } = answer?;
        if !is_shown {
            items.iter_mut().for_each(mask);
        }
        match method.of.is_server_streaming() {
            true => Ok(json(&Items { items, more })),
            false => Ok(json(&items.pop().expect("one was gathered"))),
        }
    }
}

impl Console {
    /// JSON that is no message: it counts as the call that it was to be, and has its line.
    async fn misread(&self, call: &str, guest: &Guest, peer: &Peer, told: Told) -> Told {
        let began = Instant::now();
        let Entrant { caller, allowance, .. } = &guest.entrant;
        let of = Call::ALL.iter().copied().find(|of| of.name() == call);
        let counted = allowance.as_ref().zip(of).map_or(Ok(()), |(own, of)| own.call(of).map(drop));
        let told = counted.map_or_else(Told::from, |()| told);
        let who = (caller.name.as_str(), caller.role.name());
        trail::says(&self.0.setup.audit_log, peer, call, who, told.code(), began).await;
        told
    }
}

/// Whether an answer is shown as it is: who is asked for, or what is found that is no party.
fn is_shown(method: &Method, asked: &DynamicMessage) -> bool {
    match method.of.name() {
        "RevealParty" => true,
        "FindIds" => {
            let kind = asked.get_field_by_name("kind").and_then(|kind| kind.as_enum_number());
            kind != Some(IdKind::Party.into())
        }
        _ => false,
    }
}

/// The message that JSON stands for.
fn read(method: &Method, body: &Bytes) -> Result<DynamicMessage, Told> {
    let of = method.of.input();
    let read = || {
        once::check(body, &of)?;
        let mut text = serde_json::Deserializer::from_slice(body);
        let message = DynamicMessage::deserialize(of.clone(), &mut text);
        let message = message.and_then(|message| text.end().map(|()| message));
        message.map_err(|error| error.to_string())
    };
    read().map_err(|error| Told::of(Code::InvalidArgument, format!("no {}: {error}", of.name())))
}

/// As which connection a login comes. Connections count from 1.
fn connection(guest: &Guest) -> ConnectionId {
    let first = guest.id.0.first_chunk().expect("a digest is longer");
    ConnectionId(u64::from_be_bytes(*first) | 1 << 63)
}

/// A call as it would have come over gRPC, with who makes it.
fn request(method: &Method, message: &DynamicMessage, guest: &Guest, peer: Peer) -> Request<Body> {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(PREFIX + length);
    bytes.extend_from_slice(&[0]);
    let length = u32::try_from(length).expect("it is no longer than what was sent");
    bytes.extend_from_slice(&length.to_be_bytes());
    message.encode(&mut bytes).expect("the buffer grows");
    let mut request = Request::post(&method.path)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Body::new(Full::new(bytes.freeze())))
        .expect("a path and two headers");
    let known: Known = guest.session.known.clone();
    request.extensions_mut().insert(known);
    request.extensions_mut().insert(peer);
    request.extensions_mut().insert(connection(guest));
    request
}

/// The messages of an answer, or how it failed.
async fn gather(of: &MethodDescriptor, answer: hyper::Response<Body>) -> Result<Items, Status> {
    let (head, mut body) = answer.into_parts();
    if let Some(status) = Status::from_header_map(&head.headers) {
        return Err(status);
    }
    let is_list = of.is_server_streaming();
    let is_document = of.name().starts_with("Export") || of.name() == "GetProof";
    let (mut read, mut taken) = (BytesMut::new(), 0);
    let mut found = Items { items: Vec::new(), more: false };
    let too_large = || {
        let why = format!(
            "the answer is larger than {CONSOLE_ANSWER_BYTES_MAX} bytes, the most that a page gets: use \
             `tallystick` on a command line"
        );
        Status::resource_exhausted(why)
    };
    while let Some(frame) = body.frame().await {
        let frame = match frame?.into_data() {
            Ok(data) => {
                read.extend_from_slice(&data);
                None
            }
            Err(frame) => frame.into_trailers().ok(),
        };
        while let Some(message) = next(&mut read)? {
            taken += message.len();
            let is_full = taken > CONSOLE_ANSWER_BYTES_MAX;
            if is_full && (is_document || !is_list) {
                return Err(too_large());
            }
            if is_full || found.items.len() == CONSOLE_ITEMS_MAX {
                found.more = true;
                return Ok(found);
            }
            let message = DynamicMessage::decode(of.output(), message);
            found.items.push(message.map_err(|error| Status::internal(error.to_string()))?);
        }
        if read.len() > CONSOLE_ANSWER_BYTES_MAX {
            return Err(too_large());
        }
        if let Some(status) = frame.and_then(|trailers| Status::from_header_map(&trailers))
            && status.code() != Code::Ok
        {
            return Err(status);
        }
    }
    match is_list || found.items.len() == 1 {
        true => Ok(found),
        false => Err(Status::internal("the service gave no answer")),
    }
}

/// The next message, if all of it is there.
fn next(read: &mut BytesMut) -> Result<Option<Bytes>, Status> {
    let Some([packed, length @ ..]) = read.first_chunk::<PREFIX>() else { return Ok(None) };
    if *packed != 0 {
        return Err(Status::internal("the service packed an answer that nobody asked it to"));
    }
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    if read.len() - PREFIX < length {
        return Ok(None);
    }
    read.advance(PREFIX);
    Ok(Some(read.split_to(length).freeze()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_of_operators_is_here_but_those_that_last() {
        let methods = Methods::of_services();
        for call in Call::ALL {
            let is_here = match call.is_of_vouchers() {
                true => OF_VOUCHERS.contains(&call.name()),
                false => !NOT_HERE.contains(&call.name()),
            };
            let found = methods.0.get(call.name());
            assert_eq!(found.is_some(), is_here, "{call:?}");
            assert!(found.is_none_or(|found| found.path == call.path()));
        }
    }

    #[test]
    fn json_is_the_contracts_mapping_and_nothing_else() {
        let methods = Methods::of_services();
        let read = |text: &str| {
            let message = read(&methods.0["ListWindows"], &Bytes::copy_from_slice(text.as_bytes()));
            message.map(|message| serde_json::to_string(&message).unwrap())
        };
        let text = r#"{"limit":3,"before":"18446744073709551615","newestFirst":true}"#;
        assert_eq!(read(text).unwrap(), text);
        assert_eq!(read("{}").unwrap(), "{}");
        let twice = r#"{"newest_first":true,"newestFirst":false}"#;
        let of_another_form = ["", "[]", "{} {}", "{\"limit\":-1}", "{\"limit\":\"x\"}"];
        for wrong in [twice, "{\"limits\":3}"].into_iter().chain(of_another_form) {
            let told = read(wrong).unwrap_err();
            assert_eq!(told.code(), Code::InvalidArgument, "{wrong}");
        }
    }
}
