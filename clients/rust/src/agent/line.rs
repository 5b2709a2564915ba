//! A line of a lanes file: the same ones that the packages in Python and JavaScript keep, so that
//! an agent can move from one language to another.
//!
//! ```json
//! {"tallystick":"lanes 2","network":"<64 hex>","signer":"<64 hex>"}
//! {"sign":"<identifier>","at":["<payee>",978,"<expiry>","<lane>"],"amount":"7","total":"7"}
//! {"held":"7","at":["<payee>",978,"<expiry>","<lane>"],"paid":"<identifier>"}
//! {"void":"<identifier>"}
//! {"over":"<identifier>","paid":true}
//! {"gone":"7","asset":978}
//! ```
//!
//! The first says whose lanes they are. Then: a payment was signed (`most` if more was signed on
//! the lane before; `paid` or `void` if that is known of it); the engine holds this for the lane,
//! by its answer to the payment `paid` if there is one; a payment was not charged and never can be;
//! the channel of a payment is over (`paid` or `void` if that is known of it), so that its request
//! is not paid anew unless it is void; so much was signed on channels that are over. Version 1 has
//! no `over`, and is the same else.

use crate::voucher::Channel;
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use serde::{Deserialize, Serialize};

/// A line but the first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Line {
    /// A payment was signed.
    Sign {
        sign: String,
        at: At,
        amount: Number,
        total: Number,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        most: Option<Number>,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        paid: bool,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        void: bool,
    },
    /// The engine holds this for the lane, by its answer to this payment.
    Held {
        held: Number,
        at: At,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        paid: Option<String>,
    },
    /// The channel of a payment is over.
    Over {
        over: String,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        paid: bool,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        void: bool,
    },
    /// A payment was not charged, and never can be.
    Void { void: String },
    /// What was signed on channels that are over; budgets go on counting it.
    Gone { gone: Number, asset: u32 },
}

/// Which channel: payee, asset, expiry, lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Raw", into = "Raw")]
pub(crate) struct At(pub Channel);

type Raw = (String, u32, String, String);

impl From<At> for Raw {
    fn from(At(of): At) -> Self {
        let payee = HEXLOWER.encode(&of.payee);
        (payee, of.asset, of.expires_at.to_string(), of.lane.to_string())
    }
}

impl TryFrom<Raw> for At {
    type Error = String;

    fn try_from((payee, asset, expires_at, lane): Raw) -> Result<Self, String> {
        let bytes = HEXLOWER_PERMISSIVE.decode(payee.as_bytes()).ok();
        let payee = bytes.and_then(|bytes| bytes.try_into().ok());
        let payee: [u8; 32] = payee.ok_or("a payee is 64 hexadecimal digits")?;
        let bad = |_| "expiry and lane are whole numbers".to_owned();
        let expires_at = expires_at.parse().map_err(bad)?;
        Ok(Self(Channel { payee, asset, expires_at, lane: lane.parse().map_err(bad)? }))
    }
}

/// A number as text: JavaScript's own numbers end at 53 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Number(pub u128);

impl Number {
    /// As a total, which has 64 bits.
    pub fn total(self) -> Option<u64> {
        self.0.try_into().ok()
    }
}

impl From<u64> for Number {
    fn from(number: u64) -> Self {
        Self(number.into())
    }
}

impl From<Number> for String {
    fn from(Number(number): Number) -> Self {
        number.to_string()
    }
}

impl TryFrom<String> for Number {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_written_as_in_python_and_javascript() {
        let payee = "07".repeat(32);
        let at = format!(r#"["{payee}",978,"1800000000","18446744073709551615"]"#);
        for text in [
            format!(r#"{{"sign":"tly_1","at":{at},"amount":"7","total":"12"}}"#),
            format!(r#"{{"sign":"t","at":{at},"amount":"7","total":"9","most":"12","void":true}}"#),
            format!(r#"{{"held":"12","at":{at}}}"#),
            format!(r#"{{"held":"12","at":{at},"paid":"tly_1"}}"#),
            r#"{"void":"tly_1"}"#.to_owned(),
            r#"{"over":"tly_1"}"#.to_owned(),
            r#"{"over":"tly_1","paid":true}"#.to_owned(),
            r#"{"over":"tly_1","void":true}"#.to_owned(),
            r#"{"gone":"340282366920938463463374607431768211455","asset":978}"#.to_owned(),
        ] {
            let line: Line = serde_json::from_str(&text).unwrap();
            assert_eq!(serde_json::to_string(&line).unwrap(), text);
        }
        for bad in [r#"{"held":"x","at":["07",1,"1","1"]}"#, r#"{"held":7,"at":[]}"#, "{}"] {
            assert!(serde_json::from_str::<Line>(bad).is_err(), "{bad}");
        }
    }
}
