//! The exact bytes of one call, as they are journaled before they leave.
//!
//! Owns their form (`docs/RAIL-CARD.md`, "The bytes of a call"). They hold all of the request but
//! what does not belong into a journal: the secret key. The same leg gives the same bytes.

use super::config::is_version;
use super::object::{Kind, LEG_KEY};
use form_urlencoded::Serializer;
use tallystick_ledger::limits::{CARD_CALL_BYTES_MAX, CARD_KEY_BYTES_MAX};
use tallystick_ledger::types::Timestamp;

/// The first line; another form gets another number.
const OPENING: &str = "tallystick card call 1";
const CONTENT_TYPE: &str = "application/x-www-form-urlencoded";
/// How far the provider's clock may be from this one when payments are listed by when they were
/// made.
const CLOCK_MARGIN_SECONDS: i64 = 3_600;
/// Objects on one page of a list: the most that the provider gives.
const PAGE: &str = "100";

/// One call, ready to be journaled and sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallBytes {
    bytes: Vec<u8>,
    kind: Kind,
    key: String,
    version: String,
    form: Vec<(String, String)>,
    body_at: usize,
}

/// Why bytes are no call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("these {bytes} bytes are no journaled card call: {what}")]
pub struct CallError {
    /// How many bytes.
    pub bytes: usize,
    /// What is wrong with them.
    pub what: &'static str,
}

impl CallBytes {
    /// The call that makes a `kind` with the parameters `form`. Panics if the parts cannot make
    /// one: they come from checked accounts and from the ledger.
    pub(super) fn new(kind: Kind, key: &str, version: &str, form: &[(&str, String)]) -> Self {
        let mut body = Serializer::new(String::new());
        for (name, value) in form {
            body.append_pair(name, value);
        }
        let bytes = format!(
            "{OPENING}\nPOST {}\nContent-Type: {CONTENT_TYPE}\nIdempotency-Key: {key}\n\
             Stripe-Version: {version}\n\n{}",
            kind.path(),
            body.finish()
        );
        Self::from_bytes(bytes.into_bytes()).expect("a call is made of checked parts")
    }

    /// Reads journaled bytes.
    ///
    /// # Errors
    /// `CallError` when they are not what this rail journals.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, CallError> {
        let wrong = |what| CallError { bytes: bytes.len(), what };
        if bytes.len() > CARD_CALL_BYTES_MAX {
            return Err(wrong("they are too many"));
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| wrong("they are no text"))?;
        let (head, body) = text.split_once("\n\n").ok_or_else(|| wrong("they have no body"))?;
        let lines: Vec<&str> = head.split('\n').collect();
        let [OPENING, post, content_type, key, version] = lines[..] else {
            return Err(wrong("the head is not that of a call"));
        };
        let after = |line: &'_ str, name: &str| line.strip_prefix(name).map(str::to_owned);
        let path = after(post, "POST ").ok_or_else(|| wrong("it is no POST"))?;
        let kind = Kind::ALL.into_iter().find(|kind| kind.path() == path);
        let kind = kind.ok_or_else(|| wrong("the path is none of this rail"))?;
        if after(content_type, "Content-Type: ").as_deref() != Some(CONTENT_TYPE) {
            return Err(wrong("the content type is another"));
        }
        let key = after(key, "Idempotency-Key: ").filter(|key| is_key(key));
        let key = key.ok_or_else(|| wrong("the idempotency key is missing or malformed"))?;
        let version = after(version, "Stripe-Version: ").filter(|version| is_version(version));
        let version = version.ok_or_else(|| wrong("the version is missing or malformed"))?;
        let form: Vec<_> = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
        let rendered = Serializer::new(String::new()).extend_pairs(&form).finish();
        if rendered != body {
            return Err(wrong("the body is not encoded as this rail does"));
        }
        let body_at = bytes.len() - body.len();
        let call = Self { bytes, kind, key, version, form, body_at };
        let complete = call.amount().is_some()
            && call.currency().is_some()
            && call.parameter(&format!("metadata[{LEG_KEY}]")).is_some();
        match complete {
            true => Ok(call),
            false => Err(CallError { bytes: call.bytes.len(), what: "a parameter is missing" }),
        }
    }

    /// The bytes to journal.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The idempotency key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The key of the leg.
    #[must_use]
    pub fn leg_key(&self) -> &str {
        self.parameter(&format!("metadata[{LEG_KEY}]")).unwrap_or_default()
    }

    /// Whether it pays somebody's card or bank account, which can send the money back.
    #[must_use]
    pub fn is_payout(&self) -> bool {
        self.kind == Kind::Payout
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn version(&self) -> &str {
        &self.version
    }

    pub(super) fn body(&self) -> &[u8] {
        &self.bytes[self.body_at..]
    }

    /// The headers of the request but for the secret key's.
    pub(super) fn headers(&self) -> [(&'static str, &str); 3] {
        [
            ("content-type", CONTENT_TYPE),
            ("idempotency-key", &self.key),
            ("stripe-version", &self.version),
        ]
    }

    /// What moves, in the provider's units.
    pub(super) fn amount(&self) -> Option<u64> {
        self.parameter("amount")?.parse().ok()
    }

    pub(super) fn currency(&self) -> Option<&str> {
        match self.kind {
            Kind::PaymentIntent | Kind::Transfer | Kind::Payout => self.parameter("currency"),
            // A refund has its payment's currency; it is kept beside, for whoever reads the call.
            Kind::Refund => self.parameter("metadata[currency]"),
        }
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Path and query that read one object.
    pub(super) fn read_path(&self, id: &str) -> String {
        let (path, expand) = (self.kind.path(), [("expand[]", "latest_charge")]);
        match self.kind {
            Kind::PaymentIntent => format!("{path}/{id}?{}", query(&expand)),
            Kind::Transfer | Kind::Payout | Kind::Refund => format!("{path}/{id}"),
        }
    }

    /// Path and query that list all among which the object of this call must be, if it exists,
    /// newest first; `after` is the last id of the page before.
    pub(super) fn list_path(&self, since: Timestamp, after: Option<&str>) -> String {
        let since = since.seconds().saturating_sub(CLOCK_MARGIN_SECONDS).max(0).to_string();
        let of = |name| self.parameter(name).unwrap_or_default();
        let mut pairs = match self.kind {
            Kind::PaymentIntent => vec![
                ("created[gte]", since.as_str()),
                ("customer", of("customer")),
                ("expand[]", "data.latest_charge"),
            ],
            Kind::Transfer => vec![("transfer_group", of("transfer_group"))],
            Kind::Payout => {
                vec![("created[gte]", since.as_str()), ("destination", of("destination"))]
            }
            Kind::Refund => vec![("payment_intent", of("payment_intent"))],
        };
        pairs.push(("limit", PAGE));
        pairs.extend(after.map(|id| ("starting_after", id)));
        format!("{}?{}", self.kind.path(), query(&pairs))
    }
}

fn query(pairs: &[(&str, &str)]) -> String {
    Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// Whether a text can be an idempotency key: it goes into a header.
fn is_key(text: &str) -> bool {
    let formed = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    (1..=CARD_KEY_BYTES_MAX).contains(&text.len()) && text.bytes().all(formed)
}
