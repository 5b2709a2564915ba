//! The same engine under other loads than `agents`, in turn, and the ratios: every voucher a new
//! channel, many bad signatures, half of what it can do, and one voucher after the other on an
//! engine that does nothing else.

use super::options::Turns;
use super::pool::{Pool, Scenario};
use super::turn::{Turn, turn};
use super::{fresh, remove, report, rounded};
use crate::error::Error;
use crate::floods::{engine_binary, median};
use crate::print;
use clap::Args;
use serde_json::{Value, json};
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// How many vouchers come alone, one after the other.
const LONE: u64 = 500;
/// What the disk is given to be timed: about what the record of a lone voucher takes.
const RECORD: [u8; 512] = [7; 512];

/// Options of `mixes`.
#[derive(Debug, Clone, Args)]
pub struct MixesArgs {
    #[command(flatten)]
    turns: Turns,
}

/// What one round brought.
struct Round {
    agents: Turn,
    new_channels: Turn,
    bad: Turn,
    half: Turn,
    /// Of a lone voucher until its ack, and of the same disk's sync of a record, in microseconds.
    lone_us: f64,
    sync_us: f64,
}

/// Measures all of them. All books were equal, or it is an error.
///
/// # Errors
/// When an engine cannot be started or loaded, or its books are not ours.
pub async fn mixes(MixesArgs { turns: args }: &MixesArgs) -> Result<bool, Error> {
    fresh(&args.dir)?;
    let pool =
        |scenario: Scenario| Pool::sign(scenario, scenario.options(args.vouchers, args.seed));
    let pools = [
        pool(Scenario::Agents).await?,
        pool(Scenario::NewChannels).await?,
        pool(Scenario::Bad).await?,
    ];
    print(
        "| round | agents/s | new channels/s | ratio | bad/s | ratio | p99 at half of the maximum, ms | \
         a lone voucher, us | the disk's sync, us |\n|---|---|---|---|---|---|---|---|---|\n",
    );
    let mut rounds = Vec::new();
    for number in 0..args.rounds {
        let round = round(args, number, &pools).await?;
        print(&format!(
            "| {} | {:.0} | {:.0} | {:.3} | {:.0} | {:.3} | {:.1} | {:.0} | {:.0} |\n",
            number + 1,
            round.agents.per_second,
            round.new_channels.per_second,
            of_agents(&round, &round.new_channels),
            round.bad.per_second,
            of_agents(&round, &round.bad),
            round.half.p99_ms,
            round.lone_us,
            round.sync_us,
        ));
        rounds.push(round);
    }
    remove(&args.dir)?;
    report(&result(args, &rounds), args.report.as_deref())?;
    Ok(true)
}

#[allow(clippy::float_arithmetic)]
fn of_agents(round: &Round, mix: &Turn) -> f64 {
    mix.per_second / round.agents.per_second
}

/// Medians; a ratio is that of the rounds' own quotients.
#[allow(clippy::float_arithmetic)]
fn result(args: &Turns, rounds: &[Round]) -> Value {
    let middle = |of: fn(&Round) -> f64| median(rounds.iter().map(of).collect());
    let each = |round: &Round| {
        json!({
            "agents": round.agents.json(), "new_channels": round.new_channels.json(),
            "bad": round.bad.json(), "half": round.half.json(),
            "lone_us": round.lone_us, "sync_us": round.sync_us,
        })
    };
    json!({
        "agents": middle(|round| round.agents.per_second),
        "new_channels_ratio": rounded(middle(|round| of_agents(round, &round.new_channels)), 3),
        "bad_ratio": rounded(middle(|round| of_agents(round, &round.bad)), 3),
        "half_p99_ms": rounded(middle(|round| round.half.p99_ms), 2),
        "lone_us": rounded(middle(|round| round.lone_us), 0),
        "sync_us": rounded(middle(|round| round.sync_us), 0),
        "lone_beyond_sync_us": rounded(middle(|round| round.lone_us - round.sync_us), 0),
        "cpu_us": rounded(middle(|round| round.agents.cpu_us), 3),
        "cpu_verify_us": rounded(middle(|round| round.agents.verify_us), 3),
        "written_ratio": rounded(middle(|round| round.agents.written_ratio), 3),
        "seconds": args.seconds,
        "books_match": true,
        "rounds": rounds.iter().map(each).collect::<Vec<_>>(),
    })
}

/// All in turn; who begins changes, but half of the maximum comes behind the maximum.
async fn round(args: &Turns, number: u64, pools: &[Pool; 3]) -> Result<Round, Error> {
    let (binary, dir) = (engine_binary(args.engine.as_deref()), args.data());
    let (mut agents, mut half, mut new_channels, mut bad) = (None, None, None, None);
    for place in 0..3 {
        match (number + place) % 3 {
            0 => {
                let most = turn(&binary, &dir, &pools[0], None, args.time()).await?;
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                let rate = most.per_second as u64 / 2;
                half = Some(turn(&binary, &dir, &pools[0], Some(rate), args.time()).await?);
                agents = Some(most);
            }
            1 => new_channels = Some(turn(&binary, &dir, &pools[1], None, args.time()).await?),
            _ => bad = Some(turn(&binary, &dir, &pools[2], None, args.time()).await?),
        }
    }
    let had = |turn: Option<Turn>| turn.expect("each has a turn in every round");
    let (agents, half, new_channels, bad) = (had(agents), had(half), had(new_channels), had(bad));
    let (lone_us, sync_us) = (lone(&binary, &dir, &pools[1]).await?, sync(&args.dir)?);
    Ok(Round { agents, new_channels, bad, half, lone_us, sync_us })
}

/// The middle one of the times that vouchers take from the call to the ack, each by itself on an
/// engine that does nothing else, in microseconds.
async fn lone(binary: &Path, dir: &Path, pool: &Pool) -> Result<f64, Error> {
    let (mut engine, mut clients) = pool.engine(binary, dir).await?;
    let vouchers = &mut clients.vouchers[0];
    let mut times = Vec::new();
    for number in 0..LONE {
        let place = usize::try_from(number).expect("few are sent");
        let frame = pool.signed[0].frame(number, place..place + 1);
        let begun = Instant::now();
        let ack = vouchers.submit(frame).await;
        times.push(micros(begun.elapsed()));
        let ack = ack.map_err(|status| Error::Engine(status.message().to_owned()));
        if ack.map_err(|error| engine.explain(error))?.get_ref().credited != 1 {
            return Err(Error::Engine("a lone voucher was not credited".into()));
        }
    }
    engine.stop().await?;
    remove(dir)?;
    Ok(median(times))
}

/// The same of a record that is written behind the one before, and synced.
fn sync(dir: &Path) -> Result<f64, Error> {
    let path = dir.join("sync");
    let failed = |source| Error::File { doing: "cannot write", path: path.clone(), source };
    let mut file = File::create(&path).map_err(failed)?;
    let mut times = Vec::new();
    for _ in 0..LONE {
        let begun = Instant::now();
        file.write_all(&RECORD).and_then(|()| file.sync_data()).map_err(failed)?;
        times.push(micros(begun.elapsed()));
    }
    Ok(median(times))
}

#[allow(clippy::float_arithmetic)]
fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
