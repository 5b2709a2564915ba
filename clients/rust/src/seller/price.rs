//! What a route costs, and what a buyer is told of it. People write decimals; what is asked for are
//! whole units of an asset, and nothing is ever rounded.

use super::desk::Asset;
use super::{Inner, SCHEME};
use axum::extract::{OriginalUri, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use data_encoding::BASE64;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// How long a buyer's payment is waited for, in seconds, as x402's own servers say.
const SECONDS: u64 = 300;
/// What the engine said of a payment that it refused; a buyer may hand it back.
pub(super) const SAID: &str = "tallystick";

/// A price, to be laid on a route. Cheap to clone.
#[derive(Clone)]
pub struct Price {
    pub(super) seller: Arc<Inner>,
    terms: Arc<Terms>,
}

#[derive(Clone)]
struct Terms {
    requirements: Value,
    description: String,
    mime_type: String,
}

impl Price {
    pub(super) fn new(seller: Arc<Inner>, price: &str) -> Result<Self, String> {
        let (amount, code) = parse(price)?;
        let asset = asset(&seller.assets, code)?;
        let units = units(amount, asset)?;
        if units == 0 {
            return Err(format!("a price of {price} is nothing: leave the route free"));
        }
        let requirements = json!({
            "scheme": SCHEME,
            "network": seller.network,
            "amount": units.to_string(),
            "asset": asset.code,
            "payTo": seller.pay_to,
            "maxTimeoutSeconds": SECONDS,
            "extra": {
                "networkId": seller.network_id,
                "assetNumber": asset.number,
                "scale": asset.scale,
            },
        });
        let (description, mime_type) = (String::new(), String::new());
        Ok(Self { seller, terms: Arc::new(Terms { requirements, description, mime_type }) })
    }

    /// What is sold, in words for the buyer.
    #[must_use]
    pub fn description(mut self, text: &str) -> Self {
        text.clone_into(&mut Arc::make_mut(&mut self.terms).description);
        self
    }

    /// Of which kind the answer is: `application/json`.
    #[must_use]
    pub fn mime_type(mut self, kind: &str) -> Self {
        kind.clone_into(&mut Arc::make_mut(&mut self.terms).mime_type);
        self
    }

    /// What must be paid, as x402 has it.
    pub(super) fn requirements(&self) -> &Value {
        &self.terms.requirements
    }

    /// Whether this is what a buyer accepted. What a refusal told may have been added to it.
    pub(super) fn is(&self, accepted: &Value) -> bool {
        let mut accepted = accepted.clone();
        if let Some(extra) = accepted.get_mut("extra").and_then(Value::as_object_mut) {
            extra.remove(SAID);
        }
        accepted == self.terms.requirements
    }

    /// The answer 402: what must be paid, why what was brought does not do, and what the engine
    /// said of it.
    pub(super) fn required(
        &self,
        url: &str,
        why: &str,
        said: Option<Map<String, Value>>,
    ) -> Response {
        let Terms { requirements, description, mime_type } = &*self.terms;
        let mut requirements = requirements.clone();
        let message = said.as_ref().and_then(|said| said.get("message").cloned());
        if let Some(said) = said {
            requirements["extra"][SAID] = Value::Object(said);
        }
        let required = json!({
            "x402Version": 2,
            "error": why,
            "resource": {"url": url, "description": description, "mimeType": mime_type},
            "accepts": [requirements],
        });
        // Programs read the header. This is for a person.
        let body = json!({"error": why, "message": message});
        let head = [("payment-required", encoded(&required)), ("cache-control", no_store())];
        (StatusCode::PAYMENT_REQUIRED, head, axum::Json(body)).into_response()
    }
}

/// A JSON value as x402 puts it into a header.
pub(super) fn encoded(value: &Value) -> HeaderValue {
    let text = BASE64.encode(value.to_string().as_bytes());
    HeaderValue::try_from(text).expect("base64 is plain text")
}

pub(super) fn no_store() -> HeaderValue {
    HeaderValue::from_static("no-store")
}

/// Where a request came to: its method, and its whole address as the buyer wrote it.
pub(super) fn address(request: &Request) -> (String, String) {
    let uri = request.extensions().get::<OriginalUri>().map_or(request.uri(), |uri| &uri.0);
    let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST).or(uri.authority().map(|host| host.as_str()));
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let scheme = match request.headers().get("x-forwarded-proto") {
        Some(scheme) if scheme == "https" => "https",
        Some(_) | None => "http",
    };
    let url = format!("{scheme}://{}{path}", host.unwrap_or("localhost"));
    (request.method().to_string(), url)
}

fn parse(price: &str) -> Result<(&str, &str), String> {
    let wrong = || format!("{price:?} is no price: write it as in \"0.0001 EUR\"");
    let text = price.trim();
    let (dollars, text) = match text.strip_prefix('$') {
        Some(rest) => (true, rest.trim_start()),
        None => (false, text),
    };
    let mut words = text.split_whitespace();
    let (amount, code) = (words.next().ok_or_else(wrong)?, words.next());
    if words.next().is_some() || dollars && code.is_some() {
        return Err(wrong());
    }
    Ok((amount, code.unwrap_or("USD")))
}

/// An asset by its code, or by its number.
fn asset<'a>(assets: &'a [Asset], code: &str) -> Result<&'a Asset, String> {
    let number = code.parse().ok();
    let mut found = assets.iter().filter(|of| of.code == code || Some(of.number) == number);
    match (found.next(), found.next()) {
        (Some(asset), None) => Ok(asset),
        (Some(one), Some(_)) => Err(format!(
            "the network has several assets {code}: name the one by its number, as in \"1 {}\"",
            one.number
        )),
        (None, _) => {
            let known: Vec<&str> = assets.iter().map(|asset| asset.code.as_str()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            Err(format!("the network has no asset {code}; it has {known}"))
        }
    }
}

fn units(text: &str, of: &Asset) -> Result<u64, String> {
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let (before, after) = text.split_once('.').unwrap_or((text, "0"));
    if !is_digits(before) || !is_digits(after) {
        return Err(format!("{text:?} is no amount: write it as in 0.0001"));
    }
    let after = after.trim_end_matches('0');
    let scale = usize::try_from(of.scale).unwrap_or(usize::MAX);
    if after.len() > scale {
        return Err(format!(
            "{text} {} has more digits than the asset's {scale}: nothing is rounded here",
            of.code
        ));
    }
    let digits = format!("{before}{after}{}", "0".repeat(scale - after.len()));
    digits.parse().map_err(|_| format!("{text} {} is more than a payment can be", of.code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn euro(scale: u32) -> Asset {
        Asset { code: "EUR".into(), number: 978, scale }
    }

    #[test]
    fn prices_are_whole_units_and_never_rounded() {
        for (text, scale, wanted) in [
            ("0.0001", 6, 100),
            ("1", 6, 1_000_000),
            ("1.50", 2, 150),
            ("7.000", 0, 7),
            ("18446744073709551615", 0, u64::MAX),
        ] {
            assert_eq!(units(text, &euro(scale)), Ok(wanted), "{text}");
        }
        for (text, part) in [
            ("0.001", "more digits"),
            ("1e3", "no amount"),
            ("-1", "no amount"),
            (".5", "no amount"),
            ("5.", "no amount"),
            ("1.2.3", "no amount"),
            ("184467440737095516.16", "more than"),
        ] {
            let error = units(text, &euro(2)).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn a_price_names_its_asset_or_is_in_dollars() {
        assert_eq!(parse("0.0001 EUR"), Ok(("0.0001", "EUR")));
        assert_eq!(parse(" $0.01 "), Ok(("0.01", "USD")));
        assert_eq!(parse("0.01"), Ok(("0.01", "USD")));
        for bad in ["", "$", "$1 EUR", "1 EUR more"] {
            assert!(parse(bad).unwrap_err().contains("0.0001 EUR"), "{bad:?}");
        }
        let assets = [euro(6), Asset { code: "XAU".into(), ..euro(3) }];
        assert_eq!(asset(&assets, "EUR").map(|asset| asset.scale), Ok(6));
        assert!(asset(&assets, "USD").unwrap_err().contains("it has EUR, XAU"));
        let two = [Asset { number: 1, ..euro(2) }, euro(6)];
        assert!(asset(&two, "EUR").unwrap_err().contains("as in \"1 1\""));
        assert_eq!(asset(&two, "978").map(|asset| asset.scale), Ok(6));
    }
}
