//! What a monitor sees: answers over HTTP, and the page of metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Bounds every request. A bound, not an expectation.
const PATIENCE: Duration = Duration::from_secs(120);

/// An answer over HTTP.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// When to ask again, if it says so.
    pub retry_after: Option<String>,
    /// Its body.
    pub text: String,
}

fn agent() -> ureq::Agent {
    let settings = ureq::Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .proxy(None)
        .http_status_as_error(false);
    settings.build().into()
}

fn answer(sent: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Answer {
    let mut response = sent.expect("somebody answers");
    let again = response.headers().get("retry-after");
    let retry_after = again.map(|value| value.to_str().expect("a number").to_owned());
    let text = response.body_mut().read_to_string().expect("an answer is text");
    Answer { status: response.status().as_u16(), retry_after, text }
}

/// Asks for `path` at an address, perhaps with a token.
#[must_use]
pub fn get(address: &str, path: &str, token: Option<&str>) -> Answer {
    let mut request = agent().get(format!("http://{address}{path}"));
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    answer(request.call())
}

/// Posts a text to `path` at an address.
#[must_use]
pub fn post(address: &str, path: &str, text: &str) -> Answer {
    answer(agent().post(format!("http://{address}{path}")).send(text))
}

/// The page of metrics.
#[derive(Debug, Clone)]
pub struct Page {
    /// Its text.
    pub text: String,
    samples: BTreeMap<String, String>,
}

impl Page {
    /// Reads the page of the engine at this address. Panics when it is not to be had.
    #[must_use]
    pub fn of(address: &str) -> Self {
        let Answer { status, text, .. } = get(address, "/metrics", None);
        assert_eq!(status, 200, "{text}");
        Self::read(text)
    }

    /// Reads a page.
    #[must_use]
    pub fn read(text: String) -> Self {
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let samples = samples.map(|line| {
            let (name, value) = line.rsplit_once(' ').expect("a name and a value");
            assert!(value.parse::<f64>().is_ok(), "{line} holds no number");
            (name.to_owned(), value.to_owned())
        });
        let samples: Vec<(String, String)> = samples.collect();
        let count = samples.len();
        let samples: BTreeMap<String, String> = samples.into_iter().collect();
        assert_eq!(samples.len(), count, "no series is there twice");
        Self { text, samples }
    }

    /// The value of a series. Panics when there is none.
    #[must_use]
    pub fn value(&self, series: &str) -> &str {
        let found = self.samples.get(series);
        found.unwrap_or_else(|| panic!("{series} is not in\n{}", self.text))
    }

    /// The same as a whole number.
    #[must_use]
    pub fn count(&self, series: &str) -> u64 {
        self.value(series).parse().expect("a whole number")
    }

    /// The names of all series, without the prefix that all have.
    pub fn series(&self) -> impl Iterator<Item = &str> {
        self.samples.keys().map(String::as_str)
    }

    /// Every metric with its type.
    #[must_use]
    pub fn metrics(&self) -> BTreeSet<(String, String)> {
        let types = self.text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let types = types.map(|line| line.split_once(' ').expect("a name and a type"));
        types.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
    }
}
