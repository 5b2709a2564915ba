//! A shop whose one route is paid for over x402. The lines in the README are these.

use axum::{Router, routing::get};
use std::error::Error;
use tallystick_client::{Credentials, Seller};
use tokio::net::TcpListener;

/// Sells weather at this address, until it is dropped.
///
/// # Errors
/// When the engine does not answer, or nothing can be sold so.
pub async fn sell(
    facilitator: &str,
    seller: &str,
    listener: TcpListener,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let shop = Seller::open(facilitator, seller, &Credentials::default()).await?;
    let paid = get(|| async { "sunny" }).route_layer(shop.price("0.0001 EUR")?);
    let app = Router::new().route("/weather", paid);
    axum::serve(listener, app).await?;
    Ok(())
}

/// `shop http://HOST:PORT PARTY`, at 127.0.0.1:4021.
#[allow(dead_code)]
#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [facilitator, seller] = &args[..] else {
        return Err("usage: http://HOST:PORT PARTY".into());
    };
    sell(facilitator, seller, TcpListener::bind("127.0.0.1:4021").await?).await
}
