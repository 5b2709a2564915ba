//! A client as any other: the generated gRPC stubs, with the calls that many tests make.
//!
//! Owns connecting, request ids and reading streams to their end. Knows nothing of what is paid.

use crate::wire::operator_client::OperatorClient;
use crate::wire::vouchers_client::VouchersClient;
use crate::wire::{
    Ack, Batch, CloseWindowRequest, CreateBatchRequest, ExportChunk, Frame, GetBatchRequest,
    GetWindowRequest, Leg, LegState, NetPosition, Obligation, Window, WindowAssetRequest,
};
use crate::{Engine, Outcome, Voucher};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio_stream::StreamExt as _;
use tonic::transport::Channel;
use tonic::{Code, Response, Status, Streaming};

/// Bounds every wait for a batch; not an expectation.
const BATCH_DEADLINE: Duration = Duration::from_secs(120);

/// Both services of one engine.
#[derive(Debug, Clone)]
pub struct Client {
    /// What facilitators call.
    pub vouchers: VouchersClient<Channel>,
    /// What operators call.
    pub operator: OperatorClient<Channel>,
}

impl Client {
    /// Connects to a serving engine.
    pub async fn connect(engine: &Engine) -> Self {
        let endpoint = Channel::from_shared(format!("http://{}", engine.address()));
        let endpoint = endpoint.expect("the ready file holds an address");
        let channel = endpoint.connect().await.expect("a ready engine accepts connections");
        Self::over(channel)
    }

    /// On a connection that somebody else has made.
    #[must_use]
    pub fn over(channel: Channel) -> Self {
        Self {
            vouchers: VouchersClient::new(channel.clone()),
            operator: OperatorClient::new(channel),
        }
    }

    /// Submits vouchers packed, in one frame.
    pub async fn submit(&mut self, vouchers: &[Voucher]) -> Ack {
        let ack = self.vouchers.submit(frame(0, vouchers)).await;
        ack.expect("the engine answers").into_inner()
    }

    /// Submits vouchers in one frame, and gives their outcomes.
    pub async fn pay(&mut self, vouchers: &[Voucher]) -> Vec<Outcome> {
        outcomes(&self.submit(vouchers).await)
    }

    /// Sends frames over one stream without waiting for acks between, and gives all acks.
    pub async fn stream(&mut self, frames: Vec<Frame>) -> Vec<Ack> {
        let acks = self.vouchers.stream(tokio_stream::iter(frames)).await;
        all(acks).await
    }

    /// Closes the open window.
    pub async fn close_window(&mut self) -> Window {
        let request = CloseWindowRequest { request_id: request_id("close") };
        let window = self.operator.close_window(request).await;
        window.expect("a window can always be closed").into_inner()
    }

    /// One window.
    pub async fn window(&mut self, number: u64) -> Window {
        let window = self.operator.get_window(GetWindowRequest { number }).await;
        window.expect("the window exists").into_inner()
    }

    /// All windows, in the engine's order.
    pub async fn windows(&mut self) -> Vec<Window> {
        all(self.operator.list_windows(crate::wire::ListWindowsRequest::default()).await).await
    }

    /// Gross obligations of a window in one asset.
    pub async fn obligations(&mut self, window: u64, asset: u32) -> Vec<Obligation> {
        all(self
            .operator
            .list_obligations(WindowAssetRequest { window, asset, ..Default::default() })
            .await)
        .await
    }

    /// Net obligations of a window in one asset.
    pub async fn net_obligations(&mut self, window: u64, asset: u32) -> Vec<Obligation> {
        all(self
            .operator
            .list_net_obligations(WindowAssetRequest { window, asset, ..Default::default() })
            .await)
        .await
    }

    /// Net positions of a window in one asset.
    pub async fn net_positions(&mut self, window: u64, asset: u32) -> Vec<NetPosition> {
        all(self
            .operator
            .list_net_positions(WindowAssetRequest { window, asset, ..Default::default() })
            .await)
        .await
    }

    /// Asks for a batch over bank files.
    ///
    /// # Errors
    /// The engine's refusal.
    pub async fn create_batch(&mut self, windows: &[u64], asset: u32) -> Result<Batch, Status> {
        let request = CreateBatchRequest {
            request_id: request_id("batch"),
            windows: windows.to_vec(),
            asset,
            rail: "iso20022".into(),
        };
        Ok(self.operator.create_batch(request).await?.into_inner())
    }

    /// All batches, in the engine's order.
    pub async fn batches(&mut self) -> Vec<Batch> {
        all(self.operator.list_batches(crate::wire::ListBatchesRequest::default()).await).await
    }

    /// A batch's legs.
    pub async fn legs(&mut self, batch: &Batch) -> Vec<Leg> {
        all(self.operator.list_legs(named(batch)).await).await
    }

    /// A batch's files, by name.
    pub async fn export(&mut self, batch: &Batch) -> BTreeMap<String, Vec<u8>> {
        let files = self.try_export(batch).await;
        files.expect("the engine exports")
    }

    /// A batch's files, by name.
    ///
    /// # Errors
    /// The engine's refusal.
    pub async fn try_export(&mut self, batch: &Batch) -> Result<BTreeMap<String, Vec<u8>>, Status> {
        let chunks: Vec<ExportChunk> =
            try_all(self.operator.export_batch(named(batch)).await).await?;
        let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for chunk in chunks {
            files.entry(chunk.file_name).or_default().extend_from_slice(&chunk.content);
        }
        Ok(files)
    }
}

/// A batch by its id.
#[must_use]
pub fn named(batch: &Batch) -> GetBatchRequest {
    GetBatchRequest { batch_id: batch.batch_id.clone() }
}

/// Reads a stream to its end. Panics when it ends with an error.
async fn all<T>(stream: Result<Response<Streaming<T>>, Status>) -> Vec<T> {
    try_all(stream).await.expect("the engine answers")
}

/// Reads a stream to its end.
///
/// # Errors
/// That with which the call or the stream ends.
pub async fn try_all<T>(stream: Result<Response<Streaming<T>>, Status>) -> Result<Vec<T>, Status> {
    stream?.into_inner().collect().await
}

/// A frame of packed vouchers.
#[must_use]
pub fn frame(frame_id: u64, vouchers: &[Voucher]) -> Frame {
    let packed: Vec<u8> = vouchers.iter().flat_map(Voucher::pack).collect();
    Frame { frame_id, packed: packed.into(), ..Frame::default() }
}

/// An ack's outcomes, after checking its counts and that every byte is an outcome.
#[must_use]
pub fn outcomes(ack: &Ack) -> Vec<Outcome> {
    let read = |byte: &u8| match Outcome::try_from(i32::from(*byte)) {
        Ok(Outcome::Unspecified) | Err(_) => panic!("byte {byte} is no outcome: {ack:?}"),
        Ok(outcome) => outcome,
    };
    let outcomes: Vec<Outcome> = ack.outcomes.iter().map(read).collect();
    let count = |wanted: fn(&Outcome) -> bool| {
        u32::try_from(outcomes.iter().filter(|outcome| wanted(outcome)).count()).expect("bounded")
    };
    assert_eq!(ack.credited, count(|outcome| *outcome == Outcome::Credited));
    assert_eq!(ack.stale, count(|outcome| *outcome == Outcome::Stale));
    assert_eq!(ack.rejected, count(|outcome| *outcome >= Outcome::Malformed));
    outcomes
}

/// A request id that no other call of this process uses.
#[must_use]
pub fn request_id(what: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("{what}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Expects a call to be refused with `code` and a text that holds `part`.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(result: Result<T, Status>, code: Code, part: &str) {
    let status = result.expect_err("the call should be refused");
    let text = status.message();
    assert_eq!(status.code(), code, "{text}");
    assert!(
        text.to_lowercase().contains(&part.to_lowercase()),
        "{text:?} says nothing of {part:?}"
    );
    // An error says what to do as well; a bare word does not.
    assert!(text.len() > 12, "{text:?} is too short to help anybody");
}

/// Checks that what a window's lists say adds up: nets follow from gross and carry, positions from
/// nets, positions sum to zero, and the window's own figures are those of the lists.
pub async fn check_money_sums(client: &mut Client, window: u64, asset: u32) {
    let units = |text: &str| text.parse::<i128>().expect("sums are decimal digits");
    let gross = client.obligations(window, asset).await;
    let nets = client.net_obligations(window, asset).await;
    let positions = client.net_positions(window, asset).await;
    let mut by_party: BTreeMap<Vec<u8>, i128> = BTreeMap::new();
    for net in &nets {
        *by_party.entry(net.payer.to_vec()).or_default() -= units(&net.amount);
        *by_party.entry(net.payee.to_vec()).or_default() += units(&net.amount);
    }
    by_party.retain(|_, position| *position != 0);
    assert_eq!(by_party.values().sum::<i128>(), 0);
    let told = positions.iter().map(|p| (p.party_id.to_vec(), units(&p.amount)));
    assert_eq!(told.collect::<BTreeMap<_, _>>(), by_party);
    let window = client.window(window).await;
    if let Some(totals) = window.totals.iter().find(|totals| totals.asset == asset) {
        let sum = |list: &[Obligation]| list.iter().map(|o| units(&o.amount)).sum::<i128>();
        assert_eq!(totals.pairs, u64::try_from(gross.len()).expect("bounded"));
        assert_eq!(units(&totals.gross), sum(&gross));
        assert_eq!(totals.net_pairs, u64::try_from(nets.len()).expect("bounded"));
        assert_eq!(units(&totals.net_bilateral), sum(&nets));
        assert_eq!(totals.positions, u64::try_from(positions.len()).expect("bounded"));
        let moved: i128 = by_party.values().filter(|position| **position > 0).sum();
        assert_eq!(units(&totals.net_multilateral), moved);
    }
}

/// A batch as it stands now.
pub async fn get_batch(client: &mut Client, batch: &Batch) -> Batch {
    client.operator.get_batch(named(batch)).await.expect("the batch").into_inner()
}

/// A batch as soon as it is as wanted.
pub async fn until_batch(
    client: &mut Client,
    batch: &Batch,
    wanted: impl Fn(&Batch) -> bool,
) -> Batch {
    let deadline = Instant::now() + BATCH_DEADLINE;
    loop {
        let found = get_batch(client, batch).await;
        if wanted(&found) {
            return found;
        }
        assert!(Instant::now() < deadline, "gave up waiting: {found:?}");
    }
}

/// How many legs of a batch stand so.
#[must_use]
pub fn legs_at(batch: &Batch, state: LegState) -> u64 {
    let mut counts = batch.legs_by_state.iter();
    counts.find(|count| count.state() == state).map_or(0, |count| count.legs)
}
