//! The first paid request: an agent signs a voucher, and the engine says what became of it. The
//! lines in the README are these.

use std::error::Error;
use std::path::Path;
use tallystick_client::{Agent, AgentKey, AgentOptions, Credentials, Facilitator, Keep, Outcome};

/// Pays 1,500 units of asset 978.
///
/// # Errors
/// When nothing was paid, or nobody knows.
pub async fn pay(
    server: &str,
    dir: &Path,
    payee: [u8; 32],
) -> Result<Outcome, Box<dyn Error + Send + Sync>> {
    let facilitator = Facilitator::start(server, &Credentials::default())?;
    let network = facilitator.network().await?.network_id[..].try_into()?;
    let mut options = AgentOptions::new(AgentKey::read(&dir.join("agent.key"))?, network);
    options.lanes = Keep::File(dir.join("agent.lanes"));
    let agent = Agent::open(options)?;
    let payment = agent.pay(payee, 978, 1_500).await?;
    let answer = facilitator.bring(payment.voucher()).await?;
    println!("{}: {}", payment.transaction(), answer.outcome);
    payment.settle(answer.outcome)?;
    Ok(answer.outcome)
}

/// `first_payment HOST:PORT PAYEE`, beside `agent.key`.
#[allow(dead_code)]
#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [server, payee] = &args[..] else { return Err("usage: HOST:PORT PAYEE".into()) };
    let payee = data_encoding::HEXLOWER_PERMISSIVE.decode(payee.as_bytes())?;
    let payee = payee.try_into().map_err(|_| "a payee is 64 hexadecimal digits")?;
    pay(server, Path::new("."), payee).await?;
    Ok(())
}
