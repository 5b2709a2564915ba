//! x402 over HTTP: what a facilitator of the scheme `batch-settlement` answers. A seller's server
//! asks whether a payment is good (`/verify`) and has it made (`/settle`).
//!
//! Owns the translation between x402's words and the engine's. Holds no rule of money: a payment is
//! a voucher with the amount that it is for, and whether it is credited is the shard's to decide.
//! `docs/X402.md` is the contract.

mod counted;
mod gather;
mod identified;
mod lanes;
mod messages;
mod read;
mod reasons;

use super::access::{Access, Denied, Entrant, Screened};
use super::door::{Asked, Peer};
use super::limited;
use super::receipts::{self, Credited};
use crate::ledger::{Call, Refusal};
use crate::limits::{RATE_HELD_MAX, WEBHOOK_RETRY_SECONDS};
use crate::metrics::Page;
use crate::pipeline::{self, NotDone};
use crate::proof::{Hex, Receipt};
use crate::settle::{Claims, Engine};
use crate::types::{Amount, AssetDef, AssetNumber, ChannelId, Outcome, Packed};
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use counted::Counted;
use gather::{By, Gatherer, Got, Way};
use lanes::{Asker, NoAnswer};
use messages::{Asset, Assets, Extra, Settled, Signers, Supported, SupportedKind, Verified, Wrong};
use read::{Charge, SCHEME_SPOKEN, VERSION_SPOKEN};
use reasons::{BUSY, REUSED, Reason, Refused};
use serde::Serialize;
use std::sync::Arc;
use std::time::Instant;
use tonic::Status;

/// Hexadecimal digits of the network's id in its name in x402.
const NETWORK_DIGITS: usize = 32;

/// Room for an answer with a receipt in it.
const ANSWER_BYTES: usize = 2_048;

/// The extensions that are understood.
const EXTENSIONS: [&str; 1] = ["payment-identifier"];

/// The facilitator.
pub struct X402 {
    engine: Engine,
    access: Access,
    gatherer: Gatherer,
    claims: Claims,
    counted: Counted,
    /// The network, as x402 calls it.
    network: String,
}

/// A payment that was looked at by the ledger, or refused before.
struct Looked {
    charge: Option<(Charge, ChannelId)>,
    found: Result<Got, Refused>,
}

impl X402 {
    /// On this engine, for those whom `access` lets in. Nobody has vouchers charged before it is
    /// there: it finds out what became of payments that were under way when the engine ended.
    pub async fn new(engine: Engine, access: Access) -> Self {
        let mut id = engine.network().to_string();
        id.truncate(NETWORK_DIGITS);
        let network = format!("tallystick:{id}");
        let (gatherer, claims) = (Gatherer::new(engine.clone()), Claims::start(&engine));
        identified::resume(&engine, &gatherer, &claims).await;
        let counted = Counted::default();
        Self { gatherer, claims, counted, engine, access, network }
    }

    /// Answers one request.
    pub async fn answer(self: Arc<Self>, asked: Asked) -> Response {
        let Asked { head, body, peer } = asked;
        let peer = Some(&peer);
        let path = head.uri.path().trim_matches('/');
        let (first, rest) = path.split_once('/').unwrap_or((path, ""));
        let (get, post) = (head.method == Method::GET, head.method == Method::POST);
        match (first, rest) {
            ("supported", "") if get => self.supported(),
            ("verify", "") if post => self.verify(&head.headers, peer, &body).await,
            ("settle", "") if post => self.settle(&head.headers, peer, &body).await,
            ("channel", id) if get && !id.is_empty() => self.channel(&head.headers, peer, id).await,
            ("channels", "") if post => self.channels(&head.headers, peer, &body).await,
            ("status", of) if get && !of.is_empty() => self.status(&head.headers, peer, of).await,
            _ => {
                let why = "there is GET /supported, /channel/ID, /status/ID, and POST /verify, /settle, /channels";
                wrong(StatusCode::METHOD_NOT_ALLOWED, why)
            }
        }
    }

    /// What is supported: never nothing, or a seller's server ends at its start.
    fn supported(&self) -> Response {
        let assets = self.control(|control| {
            let asset = |asset: &AssetDef| Asset {
                code: asset.code.clone(),
                number: asset.number.0,
                scale: asset.scale,
            };
            control.assets().map(asset).collect()
        });
        let kind = SupportedKind {
            version: VERSION_SPOKEN,
            scheme: SCHEME_SPOKEN,
            network: self.network.clone(),
            extra: Assets { network_id: Hex(self.engine.network().0), assets },
        };
        let signers = Signers { engine: [Hex(self.engine.key().public().0)] };
        json(StatusCode::OK, &Supported { kinds: [kind], extensions: &EXTENSIONS, signers })
    }

    async fn verify(
        self: &Arc<Self>,
        headers: &HeaderMap,
        peer: Option<&Peer>,
        body: &Bytes,
    ) -> Response {
        let entrant = match self.bringer(headers, peer).await {
            Ok(entrant) => entrant,
            Err(refused) => return *refused,
        };
        let begun = Instant::now();
        let Looked { charge, found } = self.look(&entrant, body, Way::Ask).await;
        let extra = self.extra(charge.as_ref(), &found);
        let payer = self.payer(charge.as_ref());
        let refused = found.and_then(accepted).err();
        let status = status(refused.as_ref());
        let (invalid_reason, invalid_message) = words(refused);
        let is_valid = invalid_reason.is_none();
        self.counted.times(Way::Ask).note(begun.elapsed());
        json(status, &Verified { is_valid, invalid_reason, invalid_message, payer, extra })
    }

    async fn settle(
        self: &Arc<Self>,
        headers: &HeaderMap,
        peer: Option<&Peer>,
        body: &Bytes,
    ) -> Response {
        let entrant = match self.bringer(headers, peer).await {
            Ok(entrant) => entrant,
            Err(refused) => return *refused,
        };
        let begun = Instant::now();
        let Looked { charge, found } = self.look(&entrant, body, Way::Charge).await;
        let mut extra = self.extra(charge.as_ref(), &found);
        let payer = self.payer(charge.as_ref());
        let mut done = found.and_then(accepted);
        let (mut transaction, mut amount) = (String::new(), None);
        if let (Ok(got), Some((charge, channel)), Some(extra)) = (&mut done, &charge, &mut extra) {
            transaction = commitment(*channel, charge.cumulative);
            amount = Some(charge.amount.0.to_string());
            // Without one it is charged all the same: `/status` gives the receipt later.
            extra.receipt = match got.receipt.take() {
                Some(receipt) => Some(receipt),
                None => receipt(
                    &self.engine,
                    Credited { voucher: charge.voucher, branch: None, lsn: got.lsn },
                )
                .await
                .ok()
                .map(Box::new),
            };
        }
        let refused = done.err();
        let status = status(refused.as_ref());
        let (error_reason, error_message) = words(refused);
        let (success, network) = (error_reason.is_none(), self.network.clone());
        self.counted.times(Way::Charge).note(begun.elapsed());
        let settled = Settled {
            success,
            error_reason,
            error_message,
            payer,
            transaction,
            network,
            amount,
            extra,
        };
        json(status, &settled)
    }

    /// Who brings a payment, once its rate lets it: each question and each charge counts as one
    /// voucher.
    async fn bringer(
        &self,
        headers: &HeaderMap,
        peer: Option<&Peer>,
    ) -> Result<Entrant, Box<Response>> {
        let admitted = self.access.admit_to(Call::Submit, headers, peer);
        let entrant = admitted.map_err(|denied| Box::new(refuse(&denied)))?;
        if let Some(own) = &entrant.allowance {
            let brought = own.brought(1, RATE_HELD_MAX).await;
            brought.map_err(|busy| Box::new(too_many(&busy)))?;
        }
        Ok(entrant)
    }

    /// Has a payment looked at by the ledger, or made.
    async fn look(self: &Arc<Self>, entrant: &Entrant, body: &Bytes, way: Way) -> Looked {
        let asset = |code: &str, number: Option<AssetNumber>| {
            self.control(|control| {
                let is_it = |of: &&AssetDef| {
                    of.code == code && number.is_none_or(|number| of.number == number)
                };
                let mut found = control.assets().filter(is_it);
                found.next().filter(|_| found.next().is_none()).map(|of| of.number)
            })
        };
        let charge = match read::charge(body, &self.network, asset) {
            Ok(charge) => charge,
            Err(refused) => return Looked { charge: None, found: self.not_brought(way, refused) },
        };
        let channel = self.engine.hasher().channel(Packed(&charge.voucher));
        let screened = entrant.own().screen(&self.engine, gather::alone(&charge.voucher).into());
        let found = match screened {
            Screened { kept_back: Some(kept), .. } => {
                let outcome = kept.first().and_then(|byte| Outcome::from_byte(*byte));
                let reason = outcome.and_then(Reason::of).unwrap_or(BUSY);
                self.not_brought(way, Refused::new(reason))
            }
            Screened { kept_back: None, .. } => self.bring(entrant, way, &charge).await,
        };
        Looked { charge: Some((charge, channel)), found }
    }

    /// It is refused before anything is asked of the ledger.
    fn not_brought(&self, way: Way, refused: Refused) -> Result<Got, Refused> {
        let found = Err(refused);
        self.counted.note(way, &found);
        found
    }

    /// Puts what is counted of payments on the page.
    pub fn put(&self, page: &mut Page) {
        self.counted.put(page, &self.claims);
    }

    /// How the channel stands, where that is known.
    fn extra(
        &self,
        charge: Option<&(Charge, ChannelId)>,
        found: &Result<Got, Refused>,
    ) -> Option<Extra> {
        let ((charge, channel), Ok(got)) = (charge?, found) else { return None };
        let fits = !matches!(got.outcome, Outcome::WrongAmount | Outcome::Stale);
        let expected = got.total.checked_add(charge.amount).filter(|_| !fits);
        Some(Extra {
            channel: Hex(channel.0),
            charged: got.total.0.to_string(),
            expected: expected.map(|total| total.0.to_string()),
            receipt: None,
        })
    }

    fn payer(&self, charge: Option<&(Charge, ChannelId)>) -> Option<Hex<32>> {
        let (charge, _) = charge?;
        self.engine.payer_of(charge.signer).map(|party| Hex(party.0))
    }

    async fn channel(&self, headers: &HeaderMap, peer: Option<&Peer>, id: &str) -> Response {
        match self.asker(Call::GetChannel, headers, peer).await {
            Ok(asker) => told(lanes::one(&self.engine, &asker, id).await),
            Err(refused) => *refused,
        }
    }

    async fn channels(&self, headers: &HeaderMap, peer: Option<&Peer>, body: &Bytes) -> Response {
        match self.asker(Call::GetChannel, headers, peer).await {
            Ok(asker) => told(lanes::several(&self.engine, &asker, body).await),
            Err(refused) => *refused,
        }
    }

    async fn status(&self, headers: &HeaderMap, peer: Option<&Peer>, of: &str) -> Response {
        let Some(parts) = of.split_once(':') else {
            return match self.caller(Call::GetReceipt, headers, peer).await {
                Ok(entrant) => told(self.identified(&By::of(&entrant), of).await),
                Err(refused) => *refused,
            };
        };
        match self.asker(Call::GetReceipt, headers, peer).await {
            Ok(asker) => told(lanes::commitment(&self.engine, &asker, parts).await),
            Err(refused) => *refused,
        }
    }

    /// Who asks about channels, once their pace lets them.
    async fn asker(
        &self,
        call: Call,
        headers: &HeaderMap,
        peer: Option<&Peer>,
    ) -> Result<Asker, Box<Response>> {
        match self.access.agent(headers) {
            Some(key) => Ok(Asker::Agent(key)),
            None => self.caller(call, headers, peer).await.map(|it| Asker::Caller(it.own())),
        }
    }

    /// Who makes a call that is a question, once their pace lets them.
    async fn caller(
        &self,
        call: Call,
        headers: &HeaderMap,
        peer: Option<&Peer>,
    ) -> Result<Entrant, Box<Response>> {
        let admitted = self.access.admit_to(call, headers, peer);
        let entrant = admitted.map_err(|denied| Box::new(refuse(&denied)))?;
        if let Some(own) = &entrant.allowance {
            let at = own.call(call).map_err(|busy| Box::new(too_many(&busy)))?;
            let held = self.access.held(&entrant, at).await;
            let left = |told: Status| Box::new(wrong(StatusCode::UNAUTHORIZED, told.message()));
            held.map_err(left)?;
        }
        Ok(entrant)
    }

    fn control<T>(&self, look: impl FnOnce(&crate::ledger::Control) -> T) -> T {
        match self.engine.standing(|control| Ok::<T, Refusal>(look(control))) {
            Ok(found) => found,
            Err(_) => unreachable!("nothing refuses a look"),
        }
    }
}

/// What a payment is called once it is made.
fn commitment(channel: ChannelId, cumulative: Amount) -> String {
    format!("{channel}:{}", cumulative.0)
}

/// The engine's word that a voucher was credited.
async fn receipt(engine: &Engine, credited: Credited) -> Result<Receipt, NotDone> {
    let signed = receipts::sign(engine, &[credited]).await?;
    // None while the key changes.
    Ok(signed.and_then(|mut signed| signed.pop()).ok_or(pipeline::Busy::Full)?)
}

fn accepted(got: Got) -> Result<Got, Refused> {
    match Reason::of(got.outcome) {
        None => Ok(got),
        Some(reason) => {
            let message = format!("{}{}", reason.text, reason.more(got.outcome));
            Err(Refused { reason, message })
        }
    }
}

fn words(refused: Option<Refused>) -> (Option<&'static str>, Option<String>) {
    refused.map(|Refused { reason, message }| (reason.word, message)).unzip()
}

/// Refusals are answers, too: with 200, or some clients do not read them.
fn status(refused: Option<&Refused>) -> StatusCode {
    match refused.map(|refused| refused.reason) {
        Some(BUSY) => StatusCode::SERVICE_UNAVAILABLE,
        Some(REUSED) => StatusCode::CONFLICT,
        Some(_) | None => StatusCode::OK,
    }
}

fn told<T: Serialize>(answer: Result<T, NoAnswer>) -> Response {
    match answer {
        Ok(answer) => json(StatusCode::OK, &answer),
        Err(NoAnswer::Wrong(why)) => wrong(StatusCode::BAD_REQUEST, &why),
        Err(NoAnswer::Later(why)) => wrong(StatusCode::SERVICE_UNAVAILABLE, &why),
    }
}

fn refuse(denied: &Denied) -> Response {
    if denied.is_for_want_of_a_right() {
        return wrong(StatusCode::FORBIDDEN, &denied.to_string());
    }
    let mut answer = wrong(StatusCode::UNAUTHORIZED, &denied.to_string());
    answer.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    answer
}

/// Somebody has had their share: with when to come again.
fn too_many(busy: &Status) -> Response {
    let after = limited::after(busy).as_millis().div_ceil(1_000).max(1);
    let mut answer = wrong(StatusCode::TOO_MANY_REQUESTS, busy.message());
    let after = u32::try_from(after).unwrap_or(u32::MAX);
    answer.headers_mut().insert(header::RETRY_AFTER, after.into());
    answer
}

fn wrong(status: StatusCode, error: &str) -> Response {
    json(status, &Wrong { error })
}

fn json(status: StatusCode, answer: &impl Serialize) -> Response {
    let mut bytes = Vec::with_capacity(ANSWER_BYTES);
    serde_json::to_writer(&mut bytes, answer).expect("these are plain texts and numbers");
    let mut answer = Response::new(Body::from(bytes));
    *answer.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        answer.headers_mut().insert(header::RETRY_AFTER, WEBHOOK_RETRY_SECONDS.into());
    }
    answer
}
