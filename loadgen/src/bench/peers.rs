//! This engine and its peers, in turn, several rounds, and the ratios: `TigerBeetle`'s own
//! benchmark, and `PostgreSQL` with a table of vouchers and net positions in one transaction. A
//! peer that is not on this machine is left out. Peers check no signature.

mod postgres;
mod tigerbeetle;

use super::options::Turns;
use super::pool::{Pool, Scenario};
use super::turn::{Turn, turn};
use super::{fresh, remove, report, rounded};
use crate::error::Error;
use crate::floods::{engine_binary, median};
use crate::print;
use clap::Args;
use postgres::Postgres;
use serde_json::{Value, json};
use std::path::PathBuf;
use tigerbeetle::TigerBeetle;

/// Options of `peers`.
#[derive(Debug, Clone, Args)]
pub struct PeersArgs {
    /// Where `PostgreSQL`'s cluster goes; it is removed afterwards. Its server runs as another user
    /// than root, who must get there: on the disk that is measured.
    #[arg(long, default_value = "/var/tmp/tallystick-peers")]
    pub postgres_dir: PathBuf,
    #[command(flatten)]
    pub turns: Turns,
}

/// What one round brought; `None` of a peer that is not here.
struct Round {
    now: Turn,
    tigerbeetle: Option<f64>,
    postgres: Option<f64>,
}

/// Measures all of them. All books were equal, or it is an error.
///
/// # Errors
/// When one of them cannot be started or loaded, or the engine's books are not ours.
pub async fn peers(args: &PeersArgs) -> Result<bool, Error> {
    fresh(&args.turns.dir)?;
    let (postgres, tigerbeetle) = (Postgres::find(&args.postgres_dir), TigerBeetle::find());
    let pool = Pool::sign(
        Scenario::Agents,
        Scenario::Agents.options(args.turns.vouchers, args.turns.seed),
    );
    let pool = pool.await?;
    print(
        "| round | Tallystick vouchers/s | TigerBeetle transfers/s | ratio | PostgreSQL vouchers/s | ratio |\n\
         |---|---|---|---|---|---|\n",
    );
    let mut rounds = Vec::new();
    for number in 0..args.turns.rounds {
        let round = round(args, number, &pool, postgres.as_ref(), tigerbeetle.as_ref()).await?;
        let cell = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.0}"));
        let ratio = |value| ratio(&round, value).map_or("-".into(), |value| format!("{value:.2}"));
        print(&format!(
            "| {} | {:.0} | {} | {} | {} | {} |\n",
            number + 1,
            round.now.per_second,
            cell(round.tigerbeetle),
            ratio(round.tigerbeetle),
            cell(round.postgres),
            ratio(round.postgres),
        ));
        rounds.push(round);
    }
    remove(&args.turns.dir)?;
    report(&result(args, &rounds), args.turns.report.as_deref())?;
    Ok(true)
}

/// Medians; a ratio is that of the rounds' own quotients.
fn result(args: &PeersArgs, rounds: &[Round]) -> Value {
    let middle = |of: &dyn Fn(&Round) -> Option<f64>| {
        let values: Option<Vec<f64>> = rounds.iter().map(of).collect();
        values.map(median)
    };
    let hundredths = |value: Option<f64>| value.map(|value| rounded(value, 2));
    let each = |round: &Round| {
        json!({
            "now": round.now.json(), "tigerbeetle": round.tigerbeetle, "postgres": round.postgres,
        })
    };
    json!({
        "tigerbeetle": middle(&|round| round.tigerbeetle),
        "postgres": middle(&|round| round.postgres),
        "now": middle(&|round| Some(round.now.per_second)),
        "ratio_tigerbeetle": hundredths(middle(&|round| ratio(round, round.tigerbeetle))),
        "ratio_postgres": hundredths(middle(&|round| ratio(round, round.postgres))),
        "seconds": args.turns.seconds,
        "books_match": true,
        "rounds": rounds.iter().map(each).collect::<Vec<_>>(),
    })
}

#[allow(clippy::float_arithmetic)]
fn ratio(round: &Round, peer: Option<f64>) -> Option<f64> {
    peer.map(|peer| round.now.per_second / peer)
}

/// All in turn; who begins changes.
async fn round(
    args: &PeersArgs,
    number: u64,
    pool: &Pool,
    postgres: Option<&Postgres>,
    tigerbeetle: Option<&TigerBeetle>,
) -> Result<Round, Error> {
    let time = args.turns.time();
    let (mut now, mut of_tigerbeetle, mut of_postgres) = (None, None, None);
    for place in 0..3 {
        match (number + place) % 3 {
            0 => {
                let binary = engine_binary(args.turns.engine.as_deref());
                let turn = turn(&binary, &args.turns.data(), pool, None, time).await?;
                now = Some(turn);
            }
            1 => {
                if let Some(peer) = tigerbeetle {
                    of_tigerbeetle = Some(peer.turn(&args.turns.dir.join("tigerbeetle"), time)?);
                }
            }
            _ => {
                if let Some(peer) = postgres {
                    of_postgres = Some(peer.turn(&pool.planned, time)?);
                }
            }
        }
    }
    let now = now.expect("the engine has a turn in every round");
    Ok(Round { now, tigerbeetle: of_tigerbeetle, postgres: of_postgres })
}
