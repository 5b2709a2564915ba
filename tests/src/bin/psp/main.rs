//! `tallystick-psp`: the test double of a payment service provider as a process of its own, for
//! tests that kill things. See `tests/src/psp/README.md`.

#![forbid(unsafe_code)]

use clap::Parser;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tallystick_tests::psp::{Fault, FaultOptions, HookOptions, Options, Psp};

/// A test double of a payment service provider. It moves no money.
#[derive(Parser)]
#[command(name = "tallystick-psp", version)]
struct Args {
    /// Loopback address to listen on; port 0 is any free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Secret key that callers must have.
    #[arg(long, default_value = "sk_test_double")]
    secret_key: String,
    /// Where the books are kept; in memory only without it.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// A fault and how many of a thousand calls it strikes, e.g. drop_after=20; any number of
    /// times.
    #[arg(long = "fault", value_parser = fault)]
    faults: Vec<(Fault, u16)>,
    /// Where chance starts.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long slow is.
    #[arg(long, default_value_t = 2_000)]
    slow_millis: u64,
    /// What Retry-After says, in seconds.
    #[arg(long, default_value_t = 1)]
    retry_after: u64,
    /// How long every read takes.
    #[arg(long, default_value_t = 0)]
    slow_reads_millis: u64,
    /// Receiver of webhooks.
    #[arg(long)]
    webhook_url: Option<String>,
    /// What webhooks are signed with.
    #[arg(long, default_value = "whsec_test_double")]
    webhook_secret: String,
    /// Of a thousand webhooks, how many come twice.
    #[arg(long, default_value_t = 0)]
    webhook_twice: u16,
    /// Each webhook is late by up to this.
    #[arg(long, default_value_t = 0)]
    webhook_delay_millis: u64,
    /// How long what is processing or pending stays so; without it, until POST /admin/settle.
    #[arg(long)]
    settle_millis: Option<u64>,
}

fn fault(text: &str) -> Result<(Fault, u16), String> {
    let (name, share) = text.split_once('=').ok_or("give it as NAME=PER_MILLE")?;
    let fault = <Fault as clap::ValueEnum>::from_str(name, false)?;
    Ok((fault, share.parse().map_err(|error| format!("{share:?}: {error}"))?))
}

fn main() -> ExitCode {
    let args = Args::parse();
    let options = Options {
        listen: args.listen,
        secret_key: args.secret_key,
        dir: args.dir,
        faults: FaultOptions {
            per_mille: args.faults.into_iter().collect(),
            seed: args.seed,
            slow_millis: args.slow_millis,
            retry_after: args.retry_after,
            slow_reads_millis: args.slow_reads_millis,
        },
        hooks: HookOptions {
            url: args.webhook_url,
            secret: args.webhook_secret,
            twice_per_mille: args.webhook_twice,
            delay_millis: args.webhook_delay_millis,
        },
        settle_after: args.settle_millis.map(Duration::from_millis),
    };
    match Psp::start(options) {
        Ok(psp) => {
            // Whoever started it reads the address from here.
            println!("listening on {}", psp.address());
            loop {
                std::thread::park();
            }
        }
        Err(error) => {
            eprintln!("tallystick-psp: {error}");
            ExitCode::FAILURE
        }
    }
}
