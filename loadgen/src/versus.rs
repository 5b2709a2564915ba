//! What TLS costs: the same load on an engine with TLS and on one without, in turn, several rounds,
//! and the medians. Who begins changes from round to round, so that a machine that gets slower or
//! faster favours neither.

use crate::args::{CrowdArgs, RunArgs, VOUCHERS_MAX};
use crate::engine::Engine;
use crate::error::Error;
use crate::floods::{engine_binary, median};
use crate::print;
use crate::report::Report;
use crate::run;
use clap::Args;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// What TLS may cost of the throughput.
const COST_MAX: f64 = 0.10;

/// The client's name in its certificate.
const CLIENT: &str = "loadgen";

/// Options of `tls`.
#[derive(Debug, Clone, Args)]
pub struct TlsArgs {
    /// The engine's binary [default: `tallystick` beside this one].
    #[arg(long, value_name = "PATH")]
    pub engine: Option<PathBuf>,
    /// Where certificates and the engines' data go; it is removed afterwards.
    #[arg(long, default_value = "target/tls")]
    pub dir: PathBuf,
    /// How often both take turns.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub rounds: u64,
    /// How many vouchers each engine gets in one turn.
    #[arg(long, default_value_t = 1_000_000,
        value_parser = clap::value_parser!(u64).range(1..=VOUCHERS_MAX))]
    pub vouchers: u64,
    #[command(flatten)]
    pub crowd: CrowdArgs,
    /// Vouchers in one frame.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub frame: u16,
    /// Clients show certificates, too.
    #[arg(long)]
    pub mutual: bool,
    /// Print one JSON object on standard output instead of the table.
    #[arg(long)]
    pub json: bool,
}

/// What one turn brought.
struct Turn {
    per_second: f64,
    p50_us: f64,
    p99_us: f64,
    /// The engine's CPU time for one voucher, in microseconds.
    cpu_us: f64,
}

/// Measures both, and says whether all books were equal.
///
/// # Errors
/// When an engine cannot be started, or a run cannot be carried through.
pub async fn versus(args: &TlsArgs) -> Result<bool, Error> {
    let file = |doing| move |source| Error::File { doing, path: args.dir.clone(), source };
    if args.dir.exists() {
        fs::remove_dir_all(&args.dir).map_err(file("cannot remove"))?;
    }
    fs::create_dir_all(&args.dir).map_err(file("cannot make"))?;
    certificates(args)?;
    if !args.json {
        print(
            "| round | plain vouchers/s | TLS vouchers/s | TLS / plain | plain p50 / p99 ms | TLS p50 / p99 ms | \
             engine's CPU us a voucher, plain / TLS |\n|---|---|---|---|---|---|---|\n",
        );
    }
    let (mut pairs, mut good) = (Vec::new(), true);
    for round in 0..args.rounds {
        let (plain, tls) = match round % 2 {
            0 => {
                let plain = turn(args, round, false, &mut good).await?;
                (plain, turn(args, round, true, &mut good).await?)
            }
            _ => {
                let tls = turn(args, round, true, &mut good).await?;
                (turn(args, round, false, &mut good).await?, tls)
            }
        };
        if !args.json {
            print(&line(&(round + 1).to_string(), &plain, &tls, ratio(&plain, &tls)));
        }
        pairs.push((plain, tls));
    }
    report(args, &pairs, good);
    fs::remove_dir_all(&args.dir).map_err(file("cannot remove"))?;
    Ok(good)
}

/// Prints the medians. The cost is the median of the rounds' own quotients.
#[allow(clippy::float_arithmetic)]
fn report(args: &TlsArgs, pairs: &[(Turn, Turn)], good: bool) {
    let of = |tls: bool, value: fn(&Turn) -> f64| {
        median(pairs.iter().map(|pair| value(if tls { &pair.1 } else { &pair.0 })).collect())
    };
    let middle = |tls| Turn {
        per_second: of(tls, |turn| turn.per_second),
        p50_us: of(tls, |turn| turn.p50_us),
        p99_us: of(tls, |turn| turn.p99_us),
        cpu_us: of(tls, |turn| turn.cpu_us),
    };
    let (plain, tls) = (middle(false), middle(true));
    let ratio = median(pairs.iter().map(|(plain, tls)| ratio(plain, tls)).collect());
    let cost = 1.0 - ratio;
    if args.json {
        let turn = |turn: &Turn| {
            json!({
                "vouchers_per_second": turn.per_second, "ack_p50_us": turn.p50_us,
                "ack_p99_us": turn.p99_us, "server_cpu_us_per_voucher": turn.cpu_us,
            })
        };
        let rounds: Vec<_> = pairs
            .iter()
            .map(|(plain, tls)| json!({ "plain": turn(plain), "tls": turn(tls) }))
            .collect();
        print(&format!(
            "{}\n",
            json!({
                "rounds": rounds, "plain": turn(&plain), "tls": turn(&tls), "cost": cost,
                "books_match": good, "vouchers": args.vouchers, "frame": args.frame, "mutual": args.mutual,
            })
        ));
        return;
    }
    print(&line("median", &plain, &tls, ratio));
    let word = if cost > COST_MAX { "above" } else { "within" };
    print(&format!(
        "TLS costs {:.1} % of the throughput, {word} the {:.0} % that it may\n",
        100.0 * cost,
        100.0 * COST_MAX
    ));
}

#[allow(clippy::float_arithmetic)]
fn ratio(plain: &Turn, tls: &Turn) -> f64 {
    tls.per_second / plain.per_second
}

#[allow(clippy::float_arithmetic)]
fn line(name: &str, plain: &Turn, tls: &Turn, ratio: f64) -> String {
    let millis = |turn: &Turn| format!("{:.1} / {:.1}", turn.p50_us / 1e3, turn.p99_us / 1e3);
    format!(
        "| {name} | {:.0} | {:.0} | {ratio:.3} | {} | {} | {:.2} / {:.2} |\n",
        plain.per_second,
        tls.per_second,
        millis(plain),
        millis(tls),
        plain.cpu_us,
        tls.cpu_us
    )
}

/// Certificates for an engine on this machine, as anybody makes them.
fn certificates(args: &TlsArgs) -> Result<(), Error> {
    let binary = engine_binary(args.engine.as_deref());
    let mut command = std::process::Command::new(&binary);
    command.args(["cert", "dev", "--client", CLIENT, "--out"]).arg(args.dir.join("certs"));
    let made = command.stdin(Stdio::null()).output();
    let made = made.map_err(|source| {
        Error::Engine(format!("cannot start {}: {source}; name it with --engine", binary.display()))
    })?;
    if made.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&made.stderr);
    Err(Error::Engine(format!("no certificates can be made: {}", said.trim())))
}

/// One load on an engine of its own.
async fn turn(args: &TlsArgs, round: u64, tls: bool, good: &mut bool) -> Result<Turn, Error> {
    let name = if tls { "tls" } else { "plain" };
    let dir = args.dir.join(format!("{name}-{round}"));
    let file = |doing| {
        let path = dir.clone();
        move |source| Error::File { doing, path, source }
    };
    fs::create_dir_all(&dir).map_err(file("cannot make"))?;
    let certs = args.dir.join("certs");
    let config = dir.join("tallystick.toml");
    if tls {
        let path = |name: &str| certs.join(name).display().to_string();
        let client_ca = match args.mutual {
            true => format!(", client_ca = {:?}", path("ca.pem")),
            false => String::new(),
        };
        let text = format!(
            "[[listen]]\naddress = \"127.0.0.1:0\"\nkind = \"grpc\"\n\
             tls = {{ cert = {:?}, key = {:?}{client_ca} }}\n",
            path("server.pem"),
            path("server.key")
        );
        fs::write(&config, text).map_err(file("cannot write"))?;
    }
    let binary = engine_binary(args.engine.as_deref());
    let mut engine = Engine::start(&binary, &dir, tls.then_some(&*config)).await?;
    let asked = run_args(args, &engine.grpc, tls.then_some(&*certs));
    let ran = run::execute(&asked).await.map_err(|error| engine.explain(error))?;
    let report = Report::new(&asked, &ran);
    drop(ran);
    engine.stop().await?;
    fs::remove_dir_all(&dir).map_err(file("cannot remove"))?;
    if !report.good() {
        print(&report.text());
        *good = false;
    }
    Ok(Turn {
        per_second: float(report.sent.vouchers_per_second),
        p50_us: float(report.sent.ack_p50_us),
        p99_us: float(report.sent.ack_p99_us),
        cpu_us: report.cost.server_cpu_us_per_voucher_total,
    })
}

/// A figure that fits 32 bits: a rate, an hour in microseconds.
fn float(figure: u64) -> f64 {
    u32::try_from(figure).map_or(f64::INFINITY, f64::from)
}

/// The options of one load: those of `run`, with ours.
fn run_args(args: &TlsArgs, address: &str, certs: Option<&Path>) -> RunArgs {
    let own = |name: &str, value: String| [name.to_owned(), value];
    let mut words: Vec<String> = Vec::new();
    words.extend(own("--vouchers", args.vouchers.to_string()));
    words.extend(own("--frame", args.frame.to_string()));
    match certs {
        None => words.extend(own("--server", format!("http://{address}"))),
        Some(certs) => {
            let path = |name: &str| certs.join(name).display().to_string();
            words.extend(own("--server", format!("https://{address}")));
            words.extend(own("--tls-ca", path("ca.pem")));
            if args.mutual {
                words.extend(own("--tls-cert", path(&format!("{CLIENT}.pem"))));
                words.extend(own("--tls-key", path(&format!("{CLIENT}.key"))));
            }
        }
    }
    RunArgs { crowd: args.crowd.clone(), ..RunArgs::of(words) }
}
