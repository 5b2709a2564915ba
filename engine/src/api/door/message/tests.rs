use super::super::Origins;
use super::super::table::Table;
use super::*;
use crate::limits::OPEN_CALLS;
use std::convert::Infallible;
use std::future::poll_fn;

/// A body that arrives in these pieces, and then, unless it has ended, not on.
struct Pieces {
    pieces: VecDeque<Bytes>,
    ends: bool,
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.pieces.pop_front() {
            Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            None if self.ends => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

fn message(byte: u8, length: usize) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.extend(u32::try_from(length).unwrap().to_be_bytes());
    bytes.resize(HEAD + length, byte);
    bytes
}

fn messages(
    bytes: &[u8],
    cut: usize,
    ends: bool,
    unfinished: &Arc<Unfinished>,
) -> Messages<Pieces> {
    let pieces = bytes.chunks(cut).map(Bytes::copy_from_slice).collect();
    let guest = Arc::new(Table::new(1, Origins::new(None))).admit([127, 0, 0, 1].into()).unwrap();
    let (_, stopping) = watch::channel(false);
    Messages::new(Pieces { pieces, ends }, Kind::Frames, guest, unfinished.clone(), stopping)
}

/// What goes on until nothing more does for now, and whether it ended.
async fn gone_on(messages: &mut Messages<Pieces>) -> (Vec<u8>, Option<Result<(), Status>>) {
    let mut all = Vec::new();
    loop {
        let mut polled = Poll::Pending;
        poll_fn(|cx| {
            polled = Pin::new(&mut *messages).poll_frame(cx);
            Poll::Ready(())
        })
        .await;
        match polled {
            Poll::Pending => return (all, None),
            Poll::Ready(None) => return (all, Some(Ok(()))),
            Poll::Ready(Some(Err(status))) => return (all, Some(Err(status))),
            Poll::Ready(Some(Ok(frame))) => all.extend(frame.into_data().unwrap()),
        }
    }
}

#[tokio::test]
async fn only_whole_messages_go_on_however_they_are_cut() {
    let unfinished = Arc::<Unfinished>::default();
    let lengths = [0, 1, 7, 160, 4_090, 4_091, 5_000, 70_000, 3];
    let all: Vec<Vec<u8>> = (1..).zip(lengths).map(|(n, length)| message(n, length)).collect();
    let whole = all.concat();
    for cut in [1, 2, 5, 6, 13, 168, 4_096, 16_384, whole.len()] {
        let mut messages = messages(&whole, cut, true, &unfinished);
        let (bytes, end) = gone_on(&mut messages).await;
        assert!(bytes == whole && matches!(end, Some(Ok(()))), "cut to {cut}");
    }
    // All but the last byte: the last message stays, the others have gone on.
    let mut messages = messages(&whole[..whole.len() - 1], 1_000, false, &unfinished);
    let (bytes, end) = gone_on(&mut messages).await;
    assert!(bytes == whole[..whole.len() - 8] && end.is_none());
    assert_eq!(unfinished.held().bytes, 0, "what has gone on holds no room");
}

#[tokio::test]
async fn what_is_cut_short_goes_on_and_what_is_too_long_is_not_kept() {
    let unfinished = Arc::<Unfinished>::default();
    let (bytes, end) = gone_on(&mut messages(&message(1, 9)[..8], 3, true, &unfinished)).await;
    assert!(bytes == message(1, 9)[..8] && matches!(end, Some(Ok(()))));
    let long = message(1, Kind::Frames.message_bytes_max() + 1);
    for cut in [3, 100, long.len()] {
        let (bytes, end) = gone_on(&mut messages(&long, cut, true, &unfinished)).await;
        assert!(bytes == long[..HEAD] && matches!(end, Some(Ok(()))), "its head says it all");
    }
}

/// Messages of which the last byte never came were kept for ever, 4 MiB each, on any number of
/// streams.
#[tokio::test]
async fn unfinished_messages_have_one_bound_and_the_first_one_goes() {
    let unfinished = Arc::<Unfinished>::default();
    let length = Kind::Frames.message_bytes_max();
    let bytes = &message(7, length)[..length];
    let fit = UNFINISHED_BYTES_MAX / length;
    let mut held: VecDeque<Messages<Pieces>> = VecDeque::new();
    for number in 0..3 * fit {
        let mut new = messages(bytes, 16_384, false, &unfinished);
        let (gone, end) = gone_on(&mut new).await;
        assert!(gone.is_empty() && end.is_none(), "{number}");
        held.push_back(new);
        assert!(unfinished.held().bytes <= UNFINISHED_BYTES_MAX);
    }
    // Those that began first are lost, those that began last are not.
    let (_, end) = gone_on(&mut held[0]).await;
    assert!(end.unwrap().is_err_and(|s| s.code() == tonic::Code::ResourceExhausted));
    assert!(gone_on(held.back_mut().unwrap()).await.1.is_none());
    let small = message(1, 160);
    let (gone, _) = gone_on(&mut messages(&small, 100, false, &unfinished)).await;
    assert!(gone == small, "a small message waits for nobody");
    drop(held);
    assert_eq!(unfinished.held().bytes, 0);
}

#[tokio::test]
async fn what_is_only_announced_costs_nothing() {
    let unfinished = Arc::<Unfinished>::default();
    let announced = &message(1, 800_000)[..HEAD + 100];
    let mut held: Vec<Messages<Pieces>> =
        (0..1_000).map(|_| messages(announced, HEAD, false, &unfinished)).collect();
    for one in &mut held {
        assert!(gone_on(one).await.1.is_none());
    }
    assert_eq!(unfinished.held().bytes, 0);
}

/// Every stream read one full frame and held it for as long as its source had to wait: 640 KiB on
/// each of sixteen thousand streams.
#[tokio::test]
async fn of_one_connection_only_some_large_messages_are_read_until_they_have_come_in() {
    let unfinished = Arc::<Unfinished>::default();
    let places = Arc::new(tokio::sync::Semaphore::new(1));
    let new = |bytes: &[u8]| {
        let way = Large::of(&places);
        (messages(bytes, 16_384, false, &unfinished).few(Some(way.clone())), way)
    };
    let large = [message(1, 70_000), message(2, 70_000)].concat();
    let (mut first, first_way) = new(&large);
    let (mut second, second_way) = new(&large);
    assert!(gone_on(&mut first).await.0 == large);
    for _ in 0..2 {
        assert!(gone_on(&mut second).await.0.is_empty(), "the first has not come in");
    }
    let (mut small, _way) = new(&message(3, 4_000));
    assert_eq!(gone_on(&mut small).await.0.len(), HEAD + 4_000, "a small one waits for nobody");
    first_way.done();
    assert!(gone_on(&mut second).await.0 == large);
    second_way.done();
    // Whoever goes away in the middle of one gives its place back, and so does one who is given up.
    let (mut third, third_way) = new(&large[..50_000]);
    assert!(gone_on(&mut third).await.0.is_empty() && places.available_permits() == 0);
    third.give_up();
    assert_eq!(places.available_permits(), 1);
    drop((third, third_way));
    let (mut fourth, fourth_way) = new(&large[..50_000]);
    assert!(gone_on(&mut fourth).await.0.is_empty() && places.available_permits() == 0);
    drop((fourth, fourth_way));
    assert_eq!(places.available_permits(), 1);
}

/// One call with a thousand questions after the other had the engine's threads to itself.
#[tokio::test]
async fn messages_that_anybody_may_send_go_on_at_a_pace_and_too_many_end_their_call() {
    let unfinished = Arc::<Unfinished>::default();
    let burst = usize::try_from(OPEN_CALLS.burst).unwrap();
    let minute = usize::try_from(OPEN_CALLS.count).unwrap() * 60;
    let question = message(1, 16);
    let all = question.repeat(burst + minute);
    // Whole and in pieces.
    for cut in [question.len() * 8, 7] {
        let mut messages = messages(&all, cut, false, &unfinished).at_the_pace_of_all();
        let (bytes, end) = gone_on(&mut messages).await;
        let gone = bytes.len() / question.len();
        assert!(gone >= burst && bytes.len() < all.len() && end.is_none(), "{gone} at once");
    }
    let mut too_many = messages(&question, 7, false, &unfinished).at_the_pace_of_all();
    too_many.guest.open_messages(burst + minute).expect("a burst comes in whole");
    let (bytes, end) = gone_on(&mut too_many).await;
    assert!(bytes.is_empty());
    let end = end.unwrap().unwrap_err();
    assert_eq!(end.code(), tonic::Code::ResourceExhausted);
    assert!(end.metadata().contains_key("grpc-retry-pushback-ms"));
}
