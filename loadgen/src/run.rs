//! One run, step by step: terms, setup, plan, signatures, sending, closing, comparison.
//!
//! Shared by `run` and `demo`; knows nothing of how the engine came to be or what is settled later.

use crate::args::RunArgs;
use crate::baseline::{self, Baseline};
use crate::books::{Books, Differences};
use crate::crowd::Crowd;
use crate::error::Error;
use crate::plan;
use crate::progress::Progress;
use crate::setup::{self, Clients};
use crate::sign::{self, Signed, Terms};
use crate::stream::{self, Answers, Sending};
use crate::window::Sealed;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tallystick_client::Way;
use tallystick_client::voucher::Network;
use tallystick_proto::v1::Status;

/// Everything that a run brought to light.
pub struct Run {
    /// Who took part.
    pub crowd: Arc<Crowd>,
    /// The connections, for whoever goes on from here.
    pub clients: Clients,
    /// What must be owed.
    pub books: Books,
    /// How many vouchers were sent.
    pub vouchers: u64,
    /// What came back.
    pub answers: Answers,
    /// How long signing took.
    pub signing: Duration,
    /// Parties registered a second; `None` without setup.
    pub import_rate: Option<u64>,
    /// Plain signature checking; `None` unless asked for.
    pub baseline: Option<Baseline>,
    /// The engine right before and right after sending.
    pub status: (Status, Status),
    /// What the engine sealed; `None` when the window was not closed.
    pub sealed: Option<Sealed>,
    /// How that differs from our books, and what was answered otherwise than expected.
    pub differences: Differences,
}

/// Does the whole run.
///
/// # Errors
/// When it cannot be carried through; differences between the books are a result, not an error.
pub async fn execute(args: &RunArgs) -> Result<Run, Error> {
    args.check().map_err(Error::Usage)?;
    let way = Way::prepare(&args.server, &args.credentials)?;
    let mut clients = setup::connect(&way, usize::from(args.connections)).await?;
    let both = args.crowd.both().map_err(Error::Usage)?;
    let (crowd, planned, books) = plan_ahead(args.clone(), both).await;
    let crowd = Arc::new(crowd);
    let terms = agree(args, &mut clients).await?;
    let import_rate = match args.no_setup {
        true => None,
        false => {
            clients.create_asset(args).await?;
            Some(clients.import(&crowd, args.asset).await?)
        }
    };
    let credited = |voucher: &&plan::Planned| voucher.kind == plan::Kind::Credited;
    if let Some(first) = planned.iter().flatten().find(credited) {
        clients.check_unused(&terms.fields(&crowd, first)).await?;
    }
    let started = Instant::now();
    let signed = sign_ahead(crowd.clone(), terms.clone(), Arc::new(planned)).await;
    let signing = started.elapsed();
    let baseline = match args.baseline {
        false => None,
        true => {
            let time = Duration::from_secs(args.baseline_seconds);
            Some(measure_baseline(terms.clone(), signed.clone(), time).await)
        }
    };
    let tag = format!("{}-{}-{}", crowd.tag(), args.traffic.run, terms.expires_at);
    let first_window = first_window(args, &mut clients, &tag).await?;
    let before = clients.status().await?;
    let answers = send(args, &clients, &signed).await?;
    let after = clients.status().await?;
    let mut differences = Differences::default();
    if let Some(first) = &answers.first_unexpected {
        differences.add(|| format!("{} unexpected outcomes; {first}", answers.unexpected));
    }
    let mut sealed = None;
    if args.close {
        let last = clients.close_window(&tag, after.open_window).await?.number;
        let found = clients.sealed(first_window, last, args.asset).await?;
        found.compare(&books, args.asset, &mut differences)?;
        sealed = Some(found);
    }
    Ok(Run {
        crowd,
        clients,
        books,
        vouchers: args.traffic.vouchers,
        answers,
        signing,
        import_rate,
        baseline,
        status: (before, after),
        sealed,
        differences,
    })
}

/// Draws crowd, vouchers and books, off the runtime's threads.
async fn plan_ahead(args: RunArgs, both: u32) -> (Crowd, Vec<Vec<plan::Planned>>, Books) {
    let work = move || {
        let crowd = Crowd::draw(&args.crowd, both);
        let vouchers = plan::draw(&crowd, &args.traffic);
        let dealt = plan::deal(&vouchers, crowd.payers(), args.streams());
        let books = Books::of(&crowd, &dealt);
        (crowd, dealt, books)
    };
    tokio::task::spawn_blocking(work).await.expect("planning does not panic")
}

/// Asks for the network's terms and checks that the options keep to them.
async fn agree(args: &RunArgs, clients: &mut Clients) -> Result<Terms, Error> {
    let network = clients.network().await?;
    let id = <[u8; 32]>::try_from(network.network_id.as_ref());
    let id =
        id.map_err(|_| Error::Engine("the engine's network id is not 32 bytes long".into()))?;
    if u32::from(args.frame) > network.frame_vouchers_max {
        return Err(Error::Usage(format!(
            "--frame is {}, but this engine takes at most {} vouchers in a frame",
            args.frame, network.frame_vouchers_max
        )));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let expires_at = args.traffic.expires_at.unwrap_or_else(|| tomorrow(now));
    let most = network.voucher_lifetime_seconds_max;
    if expires_at <= now || expires_at.saturating_sub(now) > most {
        return Err(Error::Usage(format!(
            "--expires-at is {expires_at}, which is not within {most} s from now ({now})"
        )));
    }
    let bundle = usize::from(args.traffic.bundle);
    if bundle > 1 && u32::from(args.traffic.bundle) > network.bundle_entries_max {
        return Err(Error::Usage(format!(
            "--bundle is {bundle}, but this engine takes bundles of up to {} entries",
            network.bundle_entries_max
        )));
    }
    let network = Network::new(id);
    Ok(Terms { network, asset: args.asset, expires_at, run: args.traffic.run, bundle })
}

/// In a day, rounded up to the hour.
pub fn tomorrow(now: i64) -> i64 {
    const HOUR: i64 = 3_600;
    (now / HOUR + 25) * HOUR
}

/// Signs what is planned, off the runtime's threads.
pub async fn sign_ahead(
    crowd: Arc<Crowd>,
    terms: Terms,
    planned: Arc<Vec<Vec<plan::Planned>>>,
) -> Vec<Signed> {
    let work = move || {
        let count: usize = planned.iter().map(Vec::len).sum();
        let count = u64::try_from(count).expect("a count fits 64 bits");
        let progress = Progress::new("sign", "vouchers", count);
        let signed = sign::sign(&crowd, &terms, &planned, &progress);
        progress.finish();
        signed
    };
    tokio::task::spawn_blocking(work).await.expect("signing does not panic")
}

async fn measure_baseline(terms: Terms, signed: Vec<Signed>, time: Duration) -> Baseline {
    let work = move || baseline::measure(&terms, &signed, time);
    tokio::task::spawn_blocking(work).await.expect("measuring does not panic")
}

async fn send(args: &RunArgs, clients: &Clients, signed: &[Signed]) -> Result<Answers, Error> {
    let (stop, timeline) = (Arc::default(), false);
    let (frame, depth, rate) = (usize::from(args.frame), args.depth(), args.rate);
    let sending = Sending { frame, depth, rate, stop, timeline };
    let progress = Arc::new(Progress::new("send", "vouchers", args.traffic.vouchers));
    let answers = stream::send_all(clients, signed, sending, progress.clone()).await;
    progress.finish();
    answers
}

/// The first window that holds vouchers of this run. What others left in the open window would
/// stand in the way of the comparison, so such a window is closed first.
async fn first_window(args: &RunArgs, clients: &mut Clients, tag: &str) -> Result<u64, Error> {
    let status = clients.status().await?;
    match args.close && status.window_vouchers > 0 {
        false => Ok(status.open_window),
        true => {
            let tag = format!("{tag}-before");
            Ok(clients.close_window(&tag, status.open_window).await?.number + 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::tomorrow;

    #[test]
    fn vouchers_live_for_a_day_up_to_the_next_hour() {
        assert_eq!(tomorrow(0), 25 * 3_600);
        assert_eq!(tomorrow(3_599), 25 * 3_600);
        assert_eq!(tomorrow(3_600), 26 * 3_600);
    }
}
