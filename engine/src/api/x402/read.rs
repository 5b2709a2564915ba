//! From a request to the voucher in it: what can be said without the ledger.

use super::messages::{Asked, Glimpse, Payload, Requirements};
use super::reasons::{NETWORK, PAYLOAD, REQUIREMENTS, Refused, SCHEME, VERSION};
use crate::limits::PAYMENT_ID_LETTERS;
use crate::types::{
    Amount, AssetNumber, PartyId, SIGNATURE_BYTES, SignerKey, VOUCHER_BYTES, Voucher,
};
use data_encoding::HEXLOWER;
use std::borrow::Cow;

/// The version of x402 that is spoken.
pub(super) const VERSION_SPOKEN: u64 = 2;
/// The scheme.
pub(super) const SCHEME_SPOKEN: &str = "batch-settlement";

/// A payment that can be asked about.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Charge {
    pub voucher: [u8; VOUCHER_BYTES],
    pub payee: PartyId,
    pub signer: SignerKey,
    pub cumulative: Amount,
    /// By how much it is to raise its channel's total.
    pub amount: Amount,
    /// Under which identifier.
    pub identifier: Option<String>,
}

/// Reads a request. `asset` is the only asset with a code, and with a number if that is said.
pub(super) fn charge(
    body: &[u8],
    network: &str,
    asset: impl Fn(&str, Option<AssetNumber>) -> Option<AssetNumber>,
) -> Result<Charge, Refused> {
    let asked = serde_json::from_slice::<Asked<'_>>(body);
    let Asked { version, payment, requirements } =
        asked.map_err(|e| of_another(body, network, &e))?;
    if version != VERSION_SPOKEN || payment.version != VERSION_SPOKEN {
        return Err(Refused::new(VERSION));
    }
    for one in [&requirements, &payment.accepted] {
        check_kind(&one.scheme, &one.network, network)?;
    }
    let wrong = |why: &str| Refused::because(REQUIREMENTS, why);
    let Requirements { asset: code, pay_to, amount, extra, .. } = &requirements;
    if (code, pay_to) != (&payment.accepted.asset, &payment.accepted.pay_to) {
        return Err(wrong("asset and payTo must be those that the buyer accepted"));
    }
    let named = extra.as_ref().and_then(|extra| extra.number).map(AssetNumber);
    let number = asset(code, named).ok_or_else(|| {
        wrong("no asset here has this code, or several have: extra.assetNumber says which")
    })?;
    let payee = pay_to.parse::<PartyId>();
    let payee = payee.map_err(|_| wrong("payTo must be a party id, 64 hexadecimal digits"))?;
    let amount = decimal(amount).filter(|amount| *amount > 0);
    let amount = amount.ok_or_else(|| {
        wrong("amount must be a whole number of the asset's smallest units, above zero, in digits")
    })?;
    let voucher = voucher(&payment.payload)?;
    let identifier = payment.extensions.and_then(|it| it.identifier).and_then(|it| it.info.id);
    if identifier.as_deref().is_some_and(|id| !is_identifier(id)) {
        let why = "a payment identifier has 16 to 128 letters, digits, - and _";
        return Err(Refused::because(PAYLOAD, why));
    }
    if voucher.payee != payee || voucher.asset != number {
        return Err(Refused::because(PAYLOAD, "payee and asset must be those of the requirements"));
    }
    Ok(Charge {
        voucher: voucher.pack(),
        payee,
        signer: voucher.signer,
        cumulative: voucher.cumulative,
        amount: Amount(amount),
        identifier: identifier.map(Cow::into_owned),
    })
}

/// Why something is not of this form.
fn of_another(body: &[u8], network: &str, error: &serde_json::Error) -> Refused {
    let Glimpse { version, requirements } = serde_json::from_slice(body).unwrap_or_default();
    if version.is_some_and(|version| version != VERSION_SPOKEN) {
        return Refused::new(VERSION);
    }
    let (scheme, of) = (requirements.scheme.as_deref(), requirements.network.as_deref());
    let kind = check_kind(scheme.unwrap_or(SCHEME_SPOKEN), of.unwrap_or(network), network);
    kind.err().unwrap_or_else(|| Refused::because(PAYLOAD, &error.to_string()))
}

fn check_kind(scheme: &str, network: &str, own: &str) -> Result<(), Refused> {
    if scheme != SCHEME_SPOKEN {
        return Err(Refused::new(SCHEME));
    }
    if network != own {
        return Err(Refused::new(NETWORK));
    }
    Ok(())
}

fn voucher(payload: &Payload<'_>) -> Result<Voucher, Refused> {
    let wrong = |why: &str| Refused::because(PAYLOAD, why);
    let Payload { signer, payee, asset, lane, expires_at, cumulative, signature } = payload;
    let signature = HEXLOWER.decode(signature.as_bytes()).ok();
    let signature: Option<[u8; SIGNATURE_BYTES]> = signature.and_then(|it| it.try_into().ok());
    let number = |text: &str, name: &str| {
        decimal(text)
            .ok_or_else(|| wrong(&format!("{name} must be a number of 64 bits, in digits")))
    };
    Ok(Voucher {
        signer: signer.parse().map_err(|_| wrong("signer must be 64 hexadecimal digits"))?,
        payee: payee.parse().map_err(|_| wrong("payee must be 64 hexadecimal digits"))?,
        asset: AssetNumber(*asset),
        lane: number(lane, "lane")?,
        expires_at: *expires_at,
        cumulative: Amount(number(cumulative, "cumulative")?),
        signature: signature.ok_or_else(|| wrong("signature must be 128 hexadecimal digits"))?,
    })
}

/// Whether a text may be a payment identifier.
pub(super) fn is_identifier(text: &str) -> bool {
    let may = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    PAYMENT_ID_LETTERS.contains(&text.len()) && text.bytes().all(may)
}

/// A number in digits, and in no other way: no sign, no zero before it.
pub(super) fn decimal(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let shortest = text == "0" || !text.starts_with('0');
    (digits && shortest).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::super::reasons::Reason;
    use super::*;
    use serde_json::{Value, json};

    const HERE: &str = "tallystick:00";

    fn request() -> Value {
        let payee = "02".repeat(32);
        let requirements = json!({
            "scheme": "batch-settlement", "network": HERE, "amount": "100", "asset": "EUR",
            "payTo": payee, "maxTimeoutSeconds": 60, "extra": {"scale": 6, "assetNumber": 978},
        });
        let payload = json!({
            "signer": "01".repeat(32), "payee": payee, "asset": 978, "lane": "7",
            "expiresAt": 1_800_000_000, "cumulative": "300", "signature": "03".repeat(64),
        });
        json!({
            "x402Version": 2,
            "paymentPayload": {"x402Version": 2, "accepted": requirements, "payload": payload},
            "paymentRequirements": requirements,
        })
    }

    fn read(request: &Value) -> Result<Charge, Reason> {
        let asset = |code: &str, number: Option<AssetNumber>| {
            let number = number.unwrap_or(AssetNumber(978));
            (code == "EUR" && number == AssetNumber(978)).then_some(number)
        };
        charge(request.to_string().as_bytes(), HERE, asset).map_err(|refused| refused.reason)
    }

    #[test]
    fn a_payment_is_read() {
        let read = read(&request()).unwrap();
        assert_eq!((read.amount, read.cumulative), (Amount(100), Amount(300)));
        assert_eq!(read.payee, PartyId([2; 32]));
        assert_eq!(read.voucher[..32], [1; 32]);
        assert_eq!(read.voucher[96..], [3; 64]);
    }

    #[test]
    fn whatever_is_changed_is_refused_with_its_reason() {
        let at = |path: &str, value: Value, reason: Reason| {
            let mut request = request();
            *request.pointer_mut(path).unwrap() = value;
            assert_eq!(read(&request), Err(reason), "{path}");
        };
        let both = |name: &str, value: Value, reason: Reason| {
            let mut request = request();
            request["paymentRequirements"][name] = value.clone();
            request["paymentPayload"]["accepted"][name] = value;
            assert_eq!(read(&request), Err(reason), "{name}");
        };
        at("/x402Version", json!(1), VERSION);
        at("/x402Version", json!("2"), PAYLOAD);
        at("/paymentPayload/x402Version", json!(1), VERSION);
        at("/paymentRequirements/scheme", json!("exact"), SCHEME);
        at("/paymentPayload/accepted/scheme", json!("exact"), SCHEME);
        at("/paymentRequirements/network", json!("eip155:1"), NETWORK);
        both("asset", json!("USD"), REQUIREMENTS);
        both("payTo", json!("0x1234"), REQUIREMENTS);
        at("/paymentRequirements/asset", json!("USD"), REQUIREMENTS);
        for amount in ["0", "", "-1", "+1", "1.5", "01", "1e3", " 1", "18446744073709551616"] {
            both("amount", json!(amount), REQUIREMENTS);
        }
        at("/paymentRequirements/extra/assetNumber", json!(840), REQUIREMENTS);
        at("/paymentPayload/payload/asset", json!(840), PAYLOAD);
        at("/paymentPayload/payload/payee", json!("04".repeat(32)), PAYLOAD);
        for (name, value) in [
            ("signer", json!("01")),
            ("signer", json!(1)),
            ("lane", json!(7)),
            ("lane", json!("-7")),
            ("cumulative", json!("3e2")),
            ("cumulative", json!(300)),
            ("expiresAt", json!("1800000000")),
            ("expiresAt", json!(1.5)),
            ("signature", json!("03".repeat(63))),
            ("signature", json!("0x".to_owned() + &"03".repeat(63))),
        ] {
            at(&format!("/paymentPayload/payload/{name}"), value, PAYLOAD);
        }
        // The whole of another scheme, whose payload is of another form.
        let mut other = request();
        other["paymentRequirements"]["scheme"] = json!("exact");
        other["paymentPayload"]["payload"] = json!({"transaction": "abc"});
        assert_eq!(read(&other), Err(SCHEME));
        other["x402Version"] = json!(1);
        assert_eq!(read(&other), Err(VERSION));
        for body in ["", "{", "[]", "null", "7", "{\"x402Version\":2}"] {
            let refused = charge(body.as_bytes(), HERE, |_, _| None).unwrap_err();
            assert_eq!(refused.reason, PAYLOAD, "{body}");
        }
    }
}
