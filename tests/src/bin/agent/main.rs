//! An agent that pays a number of requests, each under a key of its own, and says each one that is
//! paid on a line of standard output. It is killed, and begins again with the same lanes: who is
//! told a key as paid does not ask for it again.

#![forbid(unsafe_code)]

use clap::Parser;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tallystick_client::{
    Agent, AgentKey, AgentOptions, Credentials, Facilitator, Keep, Outcome, Way,
};

#[derive(Debug, Parser)]
#[command(about = "Pays requests as an agent that may be killed at any moment")]
struct Args {
    /// The engine.
    #[arg(long)]
    server: String,
    /// Where the key and the lanes are.
    #[arg(long)]
    dir: PathBuf,
    /// Whom to pay.
    #[arg(long)]
    payee: String,
    /// In which asset.
    #[arg(long)]
    asset: u32,
    /// How many requests there are.
    #[arg(long)]
    requests: u32,
    /// Those that were told as paid, with commas between.
    #[arg(long, default_value = "")]
    paid: String,
    /// How many are paid at once.
    #[arg(long, default_value_t = 4)]
    at_once: usize,
}

#[tokio::main]
async fn main() {
    let args = Args::parse();
    let credentials = Credentials::default();
    let facilitator = Facilitator::start(&args.server, &credentials).expect("an address");
    let network = facilitator.network().await.expect("the engine serves").network_id;
    let key = AgentKey::read(&args.dir.join("agent.key")).expect("its key");
    let network = network[..].try_into().expect("32 bytes");
    let mut options = AgentOptions::new(key, network);
    options.lanes = Keep::File(args.dir.join("agent.lanes"));
    options.ask = Some(Way::prepare(&args.server, &credentials).expect("an address"));
    let agent = Agent::open(options).expect("lanes");
    let payee = data_encoding::HEXLOWER.decode(args.payee.as_bytes()).expect("hexadecimal");
    let payee = payee.try_into().expect("32 bytes");
    let paid: BTreeSet<u32> = args.paid.split(',').flat_map(str::parse).collect();
    let open = (0..args.requests).filter(move |number| !paid.contains(number));
    let open = Arc::new(Mutex::new(open));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..args.at_once {
        let (agent, facilitator, open) = (agent.clone(), facilitator.clone(), open.clone());
        tasks.spawn(async move {
            loop {
                let next = open.lock().expect("nobody panics with it").next();
                let Some(number) = next else { return };
                request(&agent, &facilitator, payee, args.asset, number).await;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no request fails");
    }
    println!("signed {}", agent.signed(args.asset));
}

/// One request: its amount follows from its number.
async fn request(
    agent: &Agent,
    facilitator: &Facilitator,
    payee: [u8; 32],
    asset: u32,
    number: u32,
) {
    let key = format!("request-{number:08}");
    loop {
        let payment = agent.pay_once(&key, payee, asset, u64::from(number) + 1).await;
        let payment = payment.expect("nothing stands against it");
        let answer = facilitator.bring(payment.voucher()).await.expect("the engine serves");
        match answer.outcome {
            Outcome::CREDITED => payment.confirm().expect("lanes are kept"),
            // Sent again after a crash: the first one had arrived, or another one of its lane.
            Outcome::STALE => {
                if !payment.find_out().await.expect("the engine serves, and can tell") {
                    continue;
                }
            }
            other => panic!("{number}: {other}"),
        }
        break;
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "paid {number}").and_then(|()| out.flush()).expect("somebody reads");
}
