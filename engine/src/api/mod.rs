//! gRPC: the services of the wire contract.
//!
//! Owns the translation between messages and the engine's own words, and which error gets which
//! status code. The only place, with `cli` and `serve`, that knows tonic. Holds no rule of money.

mod access;
mod audit_lines;
mod backups;
mod batches;
mod budgets;
mod console;
mod door;
mod endpoints;
mod evidence;
mod frames;
mod front;
mod headroom;
mod held;
mod history;
mod identities;
mod legs;
mod limited;
mod lists;
mod messages;
mod now;
mod operator;
mod operator_keys;
mod pace;
mod parties;
mod proposals;
mod read;
mod receipts;
mod reconcile;
mod registration;
mod settlement;
mod standby;
mod statement;
mod status;
mod trail;
mod troubles;
mod vouchers;
mod webhooks;
mod windows;
mod x402;

pub use access::{Access, Gated, Operators, Reach, Refused};
pub use backups::Backups;
pub use console::{Codes, Console, Setup as ConsoleSetup};
pub use door::{
    Answering, Asked, ConnectionId, Door, Keys, Origins, Peer, Protocol, Routing, Service, Site,
    TlsError, Visits,
};
pub use front::{Behind, Front};
pub use held::Edge;
pub use now::Now;
pub use operator::OperatorApi;
pub use standby::{Standby, Told};
pub use trail::Trail;
pub use vouchers::VouchersApi;
pub use webhooks::webhooks;
pub use x402::X402;
