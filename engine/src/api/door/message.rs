//! The messages of a call as they arrive: gRPC puts five bytes before each, a flag and its length.
//!
//! Owns what an unfinished message may cost: bytes are kept here, in blocks, until the message is
//! whole, and only then go on to whoever reads them. A message that takes too long, or began first
//! when there is no more room for unfinished ones, ends its call. Where only some may be `Large` at
//! once, others are not read on. Never looks into a message.

use super::call::{Kind, engine_stops, stopped};
use super::large::{Large, Waiting};
use super::open;
use super::table::Guest;
use crate::limits::{
    MESSAGE_BLOCK_BYTES, MESSAGE_FIRST_BLOCK_BYTES, MESSAGE_WAIT, PAUSE_MAX, REFUSAL_LARGE,
    UNFINISHED_BYTES_MAX,
};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use hyper::body::{Body as HttpBody, Frame};
use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use tokio::sync::watch;
use tonic::Status;

/// Bytes before each message.
const HEAD: usize = 5;

/// The unfinished messages of all connections, in the order in which they began.
#[derive(Default)]
pub(super) struct Unfinished(Mutex<Held>);

#[derive(Default)]
struct Held {
    bytes: usize,
    messages: BTreeMap<u64, Arc<Room>>,
    next: u64,
}

/// Until when nothing of a call goes on; and what ends it, if anything does.
type Pause = Pin<Box<dyn Future<Output = Result<(), Status>> + Send>>;

/// The room that one unfinished message has.
#[derive(Default)]
struct Room {
    bytes: AtomicUsize,
    lost: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Room {
    fn waker(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One message's room, given back when it is dropped.
struct Lease {
    of: Arc<Unfinished>,
    number: u64,
    room: Arc<Room>,
}

impl Unfinished {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(self: &Arc<Self>) -> Lease {
        let (mut held, room) = (self.held(), Arc::<Room>::default());
        let number = held.next;
        held.next += 1;
        held.messages.insert(number, room.clone());
        Lease { of: self.clone(), number, room }
    }
}

impl Lease {
    /// Takes more room. Who began first loses all of its own when there is none.
    fn grow(&self, bytes: usize) {
        let mut held = self.of.held();
        if self.room.lost.load(Ordering::Relaxed) {
            return;
        }
        held.bytes += bytes;
        self.room.bytes.fetch_add(bytes, Ordering::Relaxed);
        while held.bytes > UNFINISHED_BYTES_MAX {
            let Some((_, first)) = held.messages.pop_first() else { return };
            held.bytes -= first.bytes.load(Ordering::Relaxed);
            first.lost.store(true, Ordering::Relaxed);
            if let Some(waker) = first.waker().take() {
                waker.wake();
            }
        }
    }

    fn is_lost(&self) -> bool {
        self.room.lost.load(Ordering::Relaxed)
    }

    /// Who is to be woken when the room is lost.
    fn watch(&self, cx: &Context<'_>) {
        *self.room.waker() = Some(cx.waker().clone());
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut held = self.of.held();
        if held.messages.remove(&self.number).is_some() {
            held.bytes -= self.room.bytes.load(Ordering::Relaxed);
        }
    }
}

/// One message that is not whole yet.
struct Partial {
    blocks: VecDeque<BytesMut>,
    /// Bytes so far.
    length: usize,
    /// Its length with its head, once that is known.
    whole: Option<usize>,
    /// Room for all but the first block.
    lease: Option<Lease>,
}

impl Partial {
    fn new() -> Self {
        Self { blocks: VecDeque::new(), length: 0, whole: None, lease: None }
    }

    /// Takes up to `most` bytes of `data`.
    fn take(&mut self, data: &mut Bytes, most: usize, unfinished: &Arc<Unfinished>) {
        let mut left = data.len().min(most);
        self.length += left;
        while left > 0 {
            let room = self.blocks.back().map_or(0, |block| block.capacity() - block.len());
            if room == 0 {
                let block = self.new_block(unfinished);
                self.blocks.push_back(block);
                continue;
            }
            let piece = data.split_to(left.min(room));
            left -= piece.len();
            self.blocks.back_mut().expect("there is a block").put(piece);
        }
    }

    fn new_block(&mut self, unfinished: &Arc<Unfinished>) -> BytesMut {
        if self.blocks.is_empty() {
            let whole = self.whole.unwrap_or(MESSAGE_FIRST_BLOCK_BYTES);
            return BytesMut::with_capacity(whole.clamp(HEAD, MESSAGE_FIRST_BLOCK_BYTES));
        }
        self.lease.get_or_insert_with(|| unfinished.begin()).grow(MESSAGE_BLOCK_BYTES);
        BytesMut::with_capacity(MESSAGE_BLOCK_BYTES)
    }

    /// The length that the head announces, once it is there.
    fn announced(&self) -> Option<usize> {
        let head = self.blocks.front()?.get(..HEAD)?;
        Some(length(head))
    }
}

/// The length in a message's head.
fn length(mut head: &[u8]) -> usize {
    head.advance(1);
    usize::try_from(head.get_u32()).expect("32 bits fit")
}

/// The body of a request, of which only whole messages go on.
pub(super) struct Messages<B> {
    body: B,
    kind: Kind,
    guest: Guest,
    unfinished: Arc<Unfinished>,
    stopping: watch::Receiver<bool>,
    partial: Option<Partial>,
    /// Where only some messages may be large at once: the way to be one of them, and the wait for
    /// it.
    large: Option<Large>,
    place: Option<Waiting>,
    /// What came of a message that waits for its place.
    rest: Bytes,
    /// What goes on next.
    ready: VecDeque<Bytes>,
    /// Messages that are to be counted before they go on, of a call that anybody may make.
    owed: Option<usize>,
    /// Until what is too large may be refused, or so many may be read: nothing goes on before.
    pause: Option<Pause>,
    trailers: Option<Frame<Bytes>>,
    /// What ends the wait for the client.
    waiting: Option<Pin<Box<dyn Future<Output = Status> + Send>>>,
    ended: bool,
}

impl<B> Messages<B> {
    pub fn new(
        body: B,
        kind: Kind,
        guest: Guest,
        unfinished: Arc<Unfinished>,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        Self {
            body,
            kind,
            guest,
            unfinished,
            stopping,
            partial: None,
            large: None,
            place: None,
            rest: Bytes::new(),
            ready: VecDeque::new(),
            owed: None,
            pause: None,
            trailers: None,
            waiting: None,
            ended: false,
        }
    }

    /// Only some messages of the connection may be large at once.
    pub fn few(self, large: Option<Large>) -> Self {
        Self { large, ..self }
    }

    /// Of a call that anybody may make: its messages have the pace of all such calls.
    pub fn at_the_pace_of_all(self) -> Self {
        Self { owed: Some(0), ..self }
    }

    /// Whether a message of which so many bytes are there, and not all, must wait for its place.
    fn must_wait(&self, length: usize) -> bool {
        length > MESSAGE_FIRST_BLOCK_BYTES
            && self.large.as_ref().is_some_and(|large| !large.has_place())
    }

    /// Nobody will read on: what is there of a message is dropped.
    fn give_up(&mut self) {
        (self.partial, self.waiting, self.place) = (None, None, None);
        (self.rest, self.ended) = (Bytes::new(), true);
        self.large.iter().for_each(Large::done);
    }

    /// Takes what came. Whole messages at its begin go on as they are.
    fn feed(&mut self, mut data: Bytes) {
        if let Some(partial) = &mut self.partial {
            if partial.whole.is_none() {
                let missing = HEAD - partial.length;
                partial.take(&mut data, missing, &self.unfinished);
                let Some(announced) = partial.announced() else { return };
                if announced > self.kind.message_bytes_max() {
                    self.is_too_large();
                    return self.pass_on_and_end();
                }
                partial.whole = Some(HEAD + announced);
            }
            let (whole, length) = (partial.whole.expect("the head is there"), partial.length);
            if length + data.len() < whole && self.must_wait(length + data.len()) {
                self.rest = data;
                return;
            }
            let Some(partial) = &mut self.partial else { return };
            partial.take(&mut data, whole - length, &self.unfinished);
            if partial.length < whole {
                return;
            }
            self.pass_on();
        }
        let (mut whole, mut count) = (0, 0);
        while let Some(head) = data.get(whole..whole + HEAD) {
            let announced = length(head);
            if announced > self.kind.message_bytes_max() {
                // Whoever reads it refuses it, and says why.
                self.ready.push_back(data.split_to(whole + HEAD));
                self.ended = true;
                self.is_too_large();
                return;
            }
            if data.len() - whole < HEAD + announced {
                break;
            }
            whole += HEAD + announced;
            count += 1;
        }
        if whole > 0 {
            self.ready.push_back(data.split_to(whole));
            self.messages_came(count);
        }
        if self.must_wait(data.len()) {
            self.rest = data;
        } else if !data.is_empty() {
            let mut partial = Partial::new();
            if data.len() >= HEAD {
                partial.whole = Some(HEAD + length(&data[..HEAD]));
            }
            let all = data.len();
            partial.take(&mut data, all, &self.unfinished);
            self.partial = Some(partial);
        }
    }

    /// A message is, and will be refused by whoever reads its head. None of the rest is read.
    fn is_too_large(&mut self) {
        let (guest, stopping) = (self.guest.clone(), self.stopping.clone());
        self.pause = Some(Box::pin(async move {
            guest.refused(REFUSAL_LARGE, stopping).await;
            Ok(())
        }));
    }

    fn messages_came(&mut self, count: usize) {
        self.guest.sent();
        self.waiting = None;
        if let Some(owed) = &mut self.owed {
            *owed += count;
        }
    }

    /// What came and is to be counted, is: until when it is held.
    fn counted(&mut self) -> Option<Pause> {
        let count = self.owed.as_mut().map(std::mem::take).filter(|count| *count > 0)?;
        let (guest, stopping) = (self.guest.clone(), self.stopping.clone());
        Some(Box::pin(async move { open::messages(&guest, count, stopping).await }))
    }

    /// The message is whole. Its head goes first, so that the reader knows how much room it needs.
    fn pass_on(&mut self) {
        let Some(mut partial) = self.partial.take() else { return };
        if let Some(first) = partial.blocks.front_mut().filter(|first| first.len() > HEAD) {
            self.ready.push_back(first.split_to(HEAD).freeze());
        }
        self.ready.extend(partial.blocks.into_iter().map(BytesMut::freeze));
        self.messages_came(1);
    }

    fn pass_on_and_end(&mut self) {
        self.pass_on();
        self.ended = true;
    }

    /// Whether the wait for the client must end, and why.
    fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<Status> {
        if let Some(lease) = self.partial.as_ref().and_then(|partial| partial.lease.as_ref()) {
            lease.watch(cx);
            if lease.is_lost() {
                return Poll::Ready(Status::resource_exhausted(
                    "too many messages are on their way to the engine, and this one began first; send \
                     it again",
                ));
            }
        }
        if self.waiting.is_none() {
            let limit = match (self.kind, &self.partial) {
                (_, Some(_)) | (Kind::Vouchers | Kind::Single, None) => MESSAGE_WAIT,
                (Kind::Stream, None) => PAUSE_MAX,
                (Kind::Frames, None) => return Poll::Pending,
            };
            // A stream of frames ends by itself when the engine stops.
            let stopping = (self.kind != Kind::Frames).then(|| stopped(self.stopping.clone()));
            self.waiting = Some(Box::pin(async move {
                let stopped = async move {
                    match stopping {
                        Some(stopping) => stopping.await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = tokio::time::sleep(limit) => Status::deadline_exceeded(format!(
                        "no whole message came within {} s", limit.as_secs()
                    )),
                    () = stopped => engine_stops(),
                }
            }));
        }
        self.waiting.as_mut().map_or(Poll::Pending, |waiting| waiting.as_mut().poll(cx))
    }
}

impl<B> HttpBody for Messages<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        loop {
            if this.pause.is_none() {
                this.pause = this.counted();
            }
            if let Some(pause) = &mut this.pause {
                let over = ready!(pause.as_mut().poll(cx));
                this.pause = None;
                if let Err(status) = over {
                    this.give_up();
                    this.ready.clear();
                    return Poll::Ready(Some(Err(status)));
                }
            }
            if let Some(bytes) = this.ready.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            if this.ended {
                return Poll::Ready(this.trailers.take().map(Ok));
            }
            if let Some(large) = this.large.as_ref().filter(|_| !this.rest.is_empty()) {
                ready!(large.poll_place(&mut this.place, cx));
                // Its client is waited for from here on: until now it waited for us.
                this.waiting = None;
                let rest = std::mem::take(&mut this.rest);
                this.feed(rest);
                continue;
            }
            let Poll::Ready(came) = Pin::new(&mut this.body).poll_frame(cx) else {
                let why = ready!(this.poll_waiting(cx));
                this.give_up();
                return Poll::Ready(Some(Err(why)));
            };
            match came {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.feed(data),
                    Err(other) => this.trailers = Some(other),
                },
                Some(Err(error)) => {
                    this.give_up();
                    return Poll::Ready(Some(Err(Status::from_error(error.into()))));
                }
                None => {
                    // What is not whole goes on all the same: the reader says what is missing.
                    this.pass_on_and_end();
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let nothing = self.ready.is_empty() && self.partial.is_none() && self.rest.is_empty();
        let nothing = nothing && self.trailers.is_none();
        nothing && (self.ended || self.body.is_end_stream())
    }
}

#[cfg(test)]
mod tests;
