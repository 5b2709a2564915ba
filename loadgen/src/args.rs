//! The command line: options, their defaults and their bounds. Reads nothing else.

use crate::abuse::AbuseArgs;
use crate::backups::BackupArgs;
use crate::bench::close::CloseArgs;
use crate::bench::compare::CompareArgs;
use crate::bench::mixes::MixesArgs;
use crate::bench::overload::OverloadArgs;
use crate::bench::peers::PeersArgs;
use crate::bundles::BundlesArgs;
use crate::floods::FloodsArgs;
use crate::versus::TlsArgs;
use crate::x402::X402Args;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::str::FromStr;
use tallystick_client::Credentials;

/// Most vouchers of one run: beyond it a payer could reach its limit by honest vouchers alone, and
/// then the expected outcomes would be wrong. It is 160 GB of vouchers, so nobody is held up.
pub const VOUCHERS_MAX: u64 = 1_000_000_000;
/// Streams of one run: more than any engine has cores, few enough to start at once.
pub const STREAMS_MAX: usize = 4_096;
/// Parties of one run: what an engine registers at most.
pub const PARTIES_MAX: u32 = 1 << 24;
/// Frames under way on one stream when the loop is open and nothing is said: as many as an engine
/// reads ahead, so that a stall shows up as latency and not as a slower client.
pub const OPEN_LOOP_DEPTH: usize = 64;
/// The same for the closed loop: enough to keep an engine busy; more only makes frames wait longer.
pub const CLOSED_LOOP_DEPTH: usize = 4;

/// Makes, signs and streams vouchers, keeps its own books and compares them with the engine's.
#[derive(Debug, Parser)]
#[command(name = "tallystick-loadgen", version, about)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Load an engine that is already running.
    Run(Box<RunArgs>),
    /// Flood an engine on this machine, and measure an honest client beside the flood.
    Flood(FloodArgs),
    /// What the Internet tries, each against an engine of its own, beside an honest client.
    Abuse(AbuseArgs),
    /// Every flood in turn, each against an engine of its own, and a table of medians.
    Floods(FloodsArgs),
    /// What TLS costs: engines with and without it in turn, and medians.
    Tls(TlsArgs),
    /// The same load in vouchers and in bundles, on engines of their own, in turn.
    Bundles(BundlesArgs),
    /// What backups cost: engines with and without them in turn, and medians.
    Backup(BackupArgs),
    /// Payments over HTTP (x402): an engine and a facilitator of the reference SDK in turn.
    X402(X402Args),
    /// This engine and another one under the same load, in turn, and the ratios.
    Compare(CompareArgs),
    /// The same engine under other loads in turn, and the ratios; and one voucher after the other
    Mixes(MixesArgs),
    /// How long a window with many pairs takes from its cut to its batch, while ingest goes on.
    Close(CloseArgs),
    /// Twice what an engine can do, on an open loop.
    Overload(OverloadArgs),
    /// This engine and peers (`PostgreSQL`, `TigerBeetle`), in turn, and the ratios.
    Peers(PeersArgs),
    /// Start an engine, load it, settle the window and check every figure.
    Demo(DemoArgs),
}

/// Which legs settle the asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Model {
    /// One leg per net pair.
    Bilateral,
    /// One leg per party against the clearing account.
    Multilateral,
}

/// A share in millionths, written `2%` or `0.02`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(pub u32);

impl Share {
    /// One whole.
    pub const WHOLE: u32 = 1_000_000;
    /// Of all parties, those that both pay and are paid if nothing is said.
    const BOTH: Self = Self(100_000);
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is not a share; write a percentage (2%) or a part (0.02)");
        let (number, digits) = match text.strip_suffix('%') {
            Some(number) => (number, 4),
            None => (text, 6),
        };
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let decimal = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if (whole.is_empty() && part.is_empty()) || !decimal(whole) || !decimal(part) {
            return Err(bad());
        }
        if part.len() > digits {
            return Err(format!("{text:?} is finer than a millionth, which is the smallest share"));
        }
        let millionths = format!("{whole}{part:0<digits$}");
        match millionths.parse() {
            Ok(share) if share <= Self::WHOLE => Ok(Self(share)),
            Ok(_) | Err(_) => Err(format!("{text:?} is more than 100%")),
        }
    }
}

/// Options of `run`.
#[derive(Debug, Clone, Args)]
#[allow(clippy::struct_excessive_bools)]
pub struct RunArgs {
    /// Where the engine listens; https://HOST:PORT for one that speaks TLS. Of several nodes all of
    /// them, with commas between: the run goes on when another one takes over.
    #[arg(
        long,
        visible_alias = "target",
        env = "TALLYSTICK_SERVER",
        hide_env_values = true,
        default_value = "127.0.0.1:7450",
        value_name = "HOST:PORT[,HOST:PORT...]"
    )]
    pub server: String,
    #[command(flatten)]
    pub credentials: Credentials,
    #[command(flatten)]
    pub crowd: CrowdArgs,
    #[command(flatten)]
    pub traffic: TrafficArgs,
    /// Vouchers in one frame.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub frame: u16,
    /// TCP connections.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub connections: u16,
    /// Streams on each connection.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub streams_per_connection: u16,
    /// Frames under way on one stream [default: 4, with --rate 64].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub depth: Option<u16>,
    /// Vouchers a second over all streams (open loop). Without it each ack sends the next frame
    /// (closed loop).
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub rate: Option<u64>,
    /// Number of the asset.
    #[arg(long, default_value_t = 978)]
    pub asset: u32,
    /// Its code: ISO 4217 or CAIP-19.
    #[arg(long, default_value = "EUR")]
    pub asset_code: String,
    /// Its scale: amounts are integers in units of 10^-scale.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u8).range(0..=18))]
    pub scale: u8,
    /// Which legs settle it.
    #[arg(long, value_enum, default_value_t = Model::Multilateral)]
    pub model: Model,
    /// Asset, parties, signers and limits exist from an earlier run with the same seed and numbers.
    #[arg(long)]
    pub no_setup: bool,
    /// Close the window at the end; without it the obligations cannot be compared.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1,
        default_missing_value = "true", value_name = "BOOL")]
    pub close: bool,
    /// First measure plain ed25519-dalek `verify_strict` on the same vouchers, on one core and on
    /// all.
    #[arg(long)]
    pub baseline: bool,
    /// How long each of the two is measured.
    #[arg(long, value_name = "SECONDS", default_value_t = 1, requires = "baseline",
        value_parser = clap::value_parser!(u64).range(1..=60))]
    pub baseline_seconds: u64,
    /// Print one JSON object on standard output instead of the report.
    #[arg(long)]
    pub json: bool,
    /// Write the JSON object to this file, too.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// Who takes part.
#[derive(Debug, Clone, Args)]
pub struct CrowdArgs {
    /// Parties that pay.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub payers: u32,
    /// Parties that are paid.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub payees: u32,
    /// Share of all parties that both pay and are paid [default: 10%, or as many as there are].
    #[arg(long, value_name = "SHARE")]
    pub both: Option<Share>,
    /// Everything that is drawn derives from it: the same seed gives the same parties and vouchers.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// What they pay.
#[derive(Debug, Clone, Args)]
pub struct TrafficArgs {
    /// How many vouchers.
    #[arg(long, default_value_t = 100_000,
        value_parser = clap::value_parser!(u64).range(1..=VOUCHERS_MAX))]
    pub vouchers: u64,
    /// Channels per payer-payee pair.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub lanes: u32,
    /// How uneven parties are: exponent of the Zipf law by which payers and payees are drawn
    /// (0: all alike).
    #[arg(long, default_value_t = 1.0)]
    pub zipf: f64,
    /// Share of vouchers that repeat an earlier one.
    #[arg(long, default_value = "0.02", value_name = "SHARE")]
    pub stale: Share,
    /// Share of vouchers with one flipped bit in the signature.
    #[arg(long, default_value = "0.01", value_name = "SHARE")]
    pub bad_signature: Share,
    /// Share of vouchers that would take their payer over its credit limit.
    #[arg(long, default_value = "0.01", value_name = "SHARE")]
    pub over_limit: Share,
    /// Entries of a bundle: a payer signs so many totals at once; 1: vouchers.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub bundle: u16,
    /// When vouchers expire, in unix seconds [default: in a day, rounded up to the hour]. Part of
    /// every voucher: name it to get the same bytes at another time.
    #[arg(long, value_name = "SECONDS")]
    pub expires_at: Option<i64>,
    /// Number of this run. Each one uses channels of its own, so that the same seed can be sent
    /// again to the same engine.
    #[arg(long, default_value_t = 0)]
    pub run: u32,
}

/// What a flood is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FloodKind {
    /// A registered key, totals that would rise, a signature with a flipped bit.
    BadSignature,
    /// Vouchers that were credited before, once more.
    Stale,
    /// One credited voucher, as often as a frame holds.
    Replay,
    /// Good signatures, but beyond the payer's limit.
    OverLimit,
    /// As bad-signature, and no ack is ever read.
    Unread,
    /// A key that nobody registered.
    Unknown,
    /// Bytes that are no vouchers.
    Malformed,
    /// Frames of one voucher of an unknown key.
    Small,
}

/// Options of `flood`.
#[derive(Debug, Clone, Args)]
pub struct FloodArgs {
    /// Where the engine listens: on this machine, for nobody else's engine is to be flooded.
    #[arg(
        long,
        visible_alias = "target",
        default_value = "127.0.0.1:7450",
        value_name = "IP:PORT"
    )]
    pub server: std::net::SocketAddr,
    #[command(flatten)]
    pub credentials: Credentials,
    /// What the flood is made of.
    #[arg(long, value_enum)]
    pub kind: FloodKind,
    /// Connections of the flood; the honest client has one of its own.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub connections: u16,
    /// Streams on each of them.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub streams: u16,
    /// How long the flood lasts; the honest client is measured as long before it.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=120))]
    pub seconds: u64,
    /// Number of the asset, which is created if it is not there.
    #[arg(long, default_value_t = 978)]
    pub asset: u32,
    /// Print one JSON object on standard output instead of the report.
    #[arg(long)]
    pub json: bool,
}

/// Options of `demo`.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// The engine's binary [default: `tallystick` beside this one].
    #[arg(long, value_name = "PATH")]
    pub engine: Option<PathBuf>,
    /// Where everything goes. An earlier demo's folder is replaced; any other is left alone.
    #[arg(long, default_value = "target/demo")]
    pub dir: PathBuf,
    /// How many vouchers.
    #[arg(long, default_value_t = 1_000_000,
        value_parser = clap::value_parser!(u64).range(1..=VOUCHERS_MAX))]
    pub vouchers: u64,
    /// Seed of parties and vouchers.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Leave an engine at work on what the demo made, with a console to look at it.
    #[arg(long)]
    pub keep: bool,
}

/// The options of a run, alone.
#[derive(Debug, Parser)]
#[command(name = "tallystick-loadgen")]
struct Alone {
    #[command(flatten)]
    run: RunArgs,
}

impl RunArgs {
    /// What these words say, and the defaults for all else: for whoever makes runs of its own.
    ///
    /// # Panics
    /// When the words are no options of `run`: they are ours.
    #[must_use]
    pub fn of(words: impl IntoIterator<Item = String>) -> Self {
        let name = std::iter::once("tallystick-loadgen".to_owned());
        Alone::parse_from(name.chain(words)).run
    }

    /// All streams of the run.
    #[must_use]
    pub fn streams(&self) -> usize {
        usize::from(self.connections) * usize::from(self.streams_per_connection)
    }

    /// Frames under way on one stream.
    #[must_use]
    pub fn depth(&self) -> usize {
        match (self.depth, self.rate) {
            (Some(depth), _) => usize::from(depth),
            (None, Some(_)) => OPEN_LOOP_DEPTH,
            (None, None) => CLOSED_LOOP_DEPTH,
        }
    }

    /// What clap cannot see: bounds that hold between options.
    ///
    /// # Errors
    /// A sentence that names the options.
    pub fn check(&self) -> Result<(), String> {
        let TrafficArgs { stale, bad_signature, over_limit, zipf, .. } = &self.traffic;
        if stale.0 + bad_signature.0 + over_limit.0 > Share::WHOLE {
            return Err("--stale, --bad-signature and --over-limit exceed 100% together".into());
        }
        if !(zipf.is_finite() && (0.0..=10.0).contains(zipf)) {
            return Err("--zipf must lie between 0 and 10".into());
        }
        if self.streams() > STREAMS_MAX {
            return Err(format!(
                "--connections x --streams-per-connection is {}; at most {STREAMS_MAX} streams",
                self.streams()
            ));
        }
        let (frame, bundle) = (self.frame, self.traffic.bundle);
        if !frame.is_multiple_of(bundle) {
            return Err(format!("--frame is {frame}: it must hold whole bundles of {bundle}"));
        }
        if bundle > 1 && (self.crowd.payees < 2 || self.baseline) {
            return Err("--bundle needs two payees, and measures no --baseline".into());
        }
        self.crowd.both()?;
        if self.crowd.payers == 1 && self.crowd.payees == 1 && self.crowd.both()? == 1 {
            return Err("one party alone cannot pay itself; lower --both or add parties".into());
        }
        Ok(())
    }
}

impl CrowdArgs {
    /// How many parties both pay and are paid: the share is of all parties, so
    /// `both = share * (payers + payees - both)`.
    ///
    /// # Errors
    /// A sentence when there are too many parties, or fewer payers or payees than that.
    pub fn both(&self) -> Result<u32, String> {
        let heads = u64::from(self.payers) + u64::from(self.payees);
        if heads > u64::from(PARTIES_MAX) {
            return Err(format!("--payers and --payees are {heads}; at most {PARTIES_MAX}"));
        }
        let share = self.both.unwrap_or(Share::BOTH);
        let (share, whole) = (u64::from(share.0), u64::from(Share::WHOLE));
        let both = (share * heads + (whole + share) / 2) / (whole + share);
        let most = self.payers.min(self.payees);
        match u32::try_from(both) {
            Ok(both) if both <= most => Ok(both),
            Ok(_) | Err(_) if self.both.is_none() => Ok(most),
            Ok(_) | Err(_) => Err(format!(
                "--both asks for {both} parties that pay and are paid, but there are only {most}; \
                 lower it or raise --payers and --payees"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn shares_are_percentages_or_parts() {
        let good = [
            ("10%", 100_000),
            ("0.5%", 5_000),
            ("0.0001%", 1),
            ("100%", 1_000_000),
            ("0.02", 20_000),
            (".5", 500_000),
            ("1", 1_000_000),
            ("1.0", 1_000_000),
            ("0", 0),
            ("0%", 0),
        ];
        for (text, share) in good {
            assert_eq!(text.parse(), Ok(Share(share)), "{text}");
        }
        for text in ["", "%", ".", "1.1", "101%", "-1%", "2 %", "1e-2", "0.0000001", "0.00001%"] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_share_of_both_is_of_all_parties() {
        let crowd = |payers, payees, both: &str| CrowdArgs {
            payers,
            payees,
            both: Some(both.parse().unwrap()),
            seed: 1,
        };
        assert_eq!(crowd(10_000, 1_000, "10%").both(), Ok(1_000));
        assert_eq!(crowd(10_000, 1_000, "0").both(), Ok(0));
        assert_eq!(crowd(50, 50, "100%").both(), Ok(50));
        assert!(crowd(10_000, 1_000, "11%").both().is_err());
        // Without the option there is never too many: `--payers 100000` alone was refused.
        let unsaid = |payers, payees| CrowdArgs { both: None, ..crowd(payers, payees, "0") };
        assert_eq!(unsaid(10_000, 1_000).both(), Ok(1_000));
        assert_eq!(unsaid(100_000, 1_000).both(), Ok(1_000));
        assert_eq!(unsaid(100, 100).both(), Ok(18));
    }

    fn run(options: &str) -> RunArgs {
        RunArgs::of(options.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn the_window_is_closed_unless_told_otherwise() {
        assert!(run("").close);
        assert!(run("--close").close);
        assert!(!run("--close false").close);
    }

    #[test]
    fn depth_follows_the_loop() {
        assert_eq!(run("").depth(), CLOSED_LOOP_DEPTH);
        assert_eq!(run("--rate 1000").depth(), OPEN_LOOP_DEPTH);
        assert_eq!(run("--rate 1000 --depth 3").depth(), 3);
    }

    #[test]
    fn options_that_contradict_each_other_are_refused() {
        for options in [
            "--stale 60% --bad-signature 50%",
            "--zipf nan",
            "--zipf 11",
            "--connections 1024 --streams-per-connection 256",
            "--payers 1 --payees 1 --both 100%",
        ] {
            assert!(run(options).check().is_err(), "{options}");
        }
        assert_eq!(run("").check(), Ok(()));
    }
}
