//! One line of the audit log.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Who called, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// The name under which the call was let in; empty where nobody has one, or it was not let in.
    pub name: String,
    /// What it is to the engine: `operator`, `anyone`, and so on; empty if it was not let in.
    pub role: String,
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// When it came: RFC 3339, UTC, microseconds.
    pub at: String,
    /// Who called.
    #[serde(flatten)]
    pub who: Who,
    /// The name in the caller's certificate, where clients must have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// The address that it came from.
    pub from: String,
    /// `console` for a page's call; empty: gRPC.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub via: String,
    /// The call, e.g. `GetParty`.
    pub call: String,
    /// Its request id, if it has one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub request_id: String,
    /// The ids that it named, by field.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub about: BTreeMap<String, String>,
    /// `OK`, or the name of the status code; `CANCELLED` where the client went away.
    pub result: String,
    /// How long the answer took, or its first part, in microseconds.
    pub took_us: u64,
}

impl Line {
    /// As it stands in the file.
    pub(super) fn json(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).expect("plain data has a JSON form");
        bytes.push(b'\n');
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_and_is_read_back() {
        let line = Line {
            at: "2026-11-29T21:00:00.000001Z".into(),
            who: Who { name: "ann\nbob".into(), role: "operator".into() },
            certificate: None,
            from: "127.0.0.1:5".into(),
            via: "console".into(),
            call: "GetParty".into(),
            request_id: String::new(),
            about: [("party_id".to_owned(), "aa".to_owned())].into(),
            result: "OK".into(),
            took_us: 7,
        };
        let bytes = line.json();
        assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 1);
        let text = String::from_utf8(bytes).unwrap();
        let expected = "{\"at\":\"2026-11-29T21:00:00.000001Z\",\"name\":\"ann\\nbob\",\
                        \"role\":\"operator\",\"from\":\"127.0.0.1:5\",\"via\":\"console\",\"call\":\"GetParty\",\
                        \"about\":{\"party_id\":\"aa\"},\"result\":\"OK\",\"took_us\":7}\n";
        assert_eq!(text, expected);
        assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), line);
        // Of gRPC, and of engines before, nothing is said.
        let line = Line { via: String::new(), ..line };
        let text = expected.replace("\"via\":\"console\",", "");
        assert_eq!(line.json(), text.as_bytes());
        assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), line);
    }
}
