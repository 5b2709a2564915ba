//! A shop on axum, as its owner would build it on the Rust library, for buyers in other languages.
//! Says where it listens on a line of standard output; counts what its handlers did.

#![forbid(unsafe_code)]

use axum::routing::{get, post};
use axum::{Json, Router};
use clap::Parser;
use serde_json::json;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tallystick_client::{Credentials, Seller};
use tokio::net::TcpListener;

#[derive(Debug, Parser)]
#[command(about = "Sells over x402, on axum")]
struct Args {
    /// The engine's base URL for HTTP.
    #[arg(long)]
    facilitator: String,
    /// Who is paid: a party's id.
    #[arg(long)]
    pay_to: String,
    /// What each request costs.
    #[arg(long, default_value = "0.0001 EUR")]
    price: String,
    /// By what the engine knows the shop.
    #[arg(long)]
    token_file: Option<PathBuf>,
}

#[tokio::main]
async fn main() {
    let args = Args::parse();
    let credentials = Credentials { token_file: args.token_file, ..Credentials::default() };
    let shop = Seller::open(&args.facilitator, &args.pay_to, &credentials).await;
    let price = shop.and_then(|shop| shop.price(&args.price)).unwrap_or_else(|error| {
        eprintln!("{error}");
        std::process::exit(1);
    });
    let made = Arc::new(AtomicU64::new(0));
    let goods = {
        let made = made.clone();
        move || async move { Json(json!({"goods": made.fetch_add(1, Ordering::Relaxed) + 1})) }
    };
    let count = move || async move { Json(json!({"made": made.load(Ordering::Relaxed)})) };
    let paid = get(goods.clone()).merge(post(goods)).route_layer(price);
    let app = Router::new().route("/paid", paid).route("/made", get(count));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let mut out = std::io::stdout().lock();
    writeln!(out, "{address}").and_then(|()| out.flush()).expect("somebody reads");
    drop(out);
    axum::serve(listener, app).await.expect("it serves until it is ended");
}
