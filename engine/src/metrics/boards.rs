//! Dashboards for Grafana, made of the table: a row for each section, a panel for each metric.

use super::table::{ALL, Kind, Metric};
use serde_json::{Value, json};

/// What each dashboard shows: its file's name, its title, its sections.
const BOARDS: [(&str, &str, &[&str]); 2] = [
    (
        "traffic",
        "Tallystick: vouchers and the machine",
        &[
            "The process",
            "Vouchers",
            "Payments over HTTP",
            "Checking signatures",
            "Journal and disk",
            "The door",
        ],
    ),
    ("settlement", "Tallystick: windows and settlement", &["Windows", "Settlement"]),
];

/// A dashboard is 24 wide; so is a row of three panels.
const WIDTH: u32 = 8;
const HEIGHT: u32 = 7;
const ACROSS: u32 = 3;

/// The dashboards: the name of each one's file and its content.
pub(super) fn boards() -> Vec<(&'static str, String)> {
    BOARDS.into_iter().map(|(name, title, sections)| (name, board(name, title, sections))).collect()
}

fn board(name: &str, title: &str, sections: &[&str]) -> String {
    let (mut panels, mut y) = (Vec::new(), 0);
    for section in sections {
        panels.push(json!({
            "type": "row", "title": section, "collapsed": false, "id": panels.len() + 1,
            "gridPos": {"x": 0, "y": y, "w": WIDTH * ACROSS, "h": 1}, "panels": [],
        }));
        y += 1;
        let mut x = 0;
        for metric in ALL.iter().filter(|metric| metric.section == *section) {
            let place = json!({"x": x * WIDTH, "y": y, "w": WIDTH, "h": HEIGHT});
            panels.push(panel(metric, panels.len() + 1, &place));
            x = (x + 1) % ACROSS;
            y += if x == 0 { HEIGHT } else { 0 };
        }
        y += if x == 0 { 0 } else { HEIGHT };
    }
    let of = |name: &str, label: &str, query: &str| {
        json!({
            "name": name, "label": label, "type": "query", "query": query, "refresh": 2,
            "datasource": {"type": "prometheus", "uid": "${source}"},
        })
    };
    let source = json!({
        "name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus",
    });
    let engine = of("engine", "Engine", &format!("label_values({}, instance)", super::INFO.name));
    let board = json!({
        "uid": format!("tallystick-{name}"), "title": title, "tags": ["tallystick"],
        "schemaVersion": 38, "editable": true, "refresh": "30s", "timezone": "utc",
        "time": {"from": "now-6h", "to": "now"}, "templating": {"list": [source, engine]},
        "panels": panels,
    });
    let text = serde_json::to_string_pretty(&board).expect("plain values are JSON");
    format!("{text}\n")
}

fn panel(metric: &Metric, id: usize, place: &Value) -> Value {
    let queries = queries(metric);
    let targets: Vec<Value> = queries
        .iter()
        .zip(["A", "B"])
        .map(
            |((query, legend), name)| json!({"refId": name, "expr": query, "legendFormat": legend}),
        )
        .collect();
    json!({
        "type": "timeseries", "id": id, "title": title(metric), "description": metric.help,
        "datasource": {"type": "prometheus", "uid": "${source}"}, "gridPos": place,
        "fieldConfig": {"defaults": {"unit": unit(metric), "min": least(metric)}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}},
        "targets": targets,
    })
}

/// What is asked for, and what each line is called.
fn queries(metric: &Metric) -> Vec<(String, String)> {
    let Metric { name, kind, labels, .. } = metric;
    let of = "{instance=\"$engine\"}";
    let by = labels.join(", ");
    let legend: Vec<String> = labels.iter().map(|label| format!("{{{{{label}}}}}")).collect();
    let legend = if legend.is_empty() { "{{instance}}".to_owned() } else { legend.join(" ") };
    match kind {
        Kind::Counter => {
            vec![(format!("sum by ({by}) (rate({name}{of}[$__rate_interval]))"), legend)]
        }
        Kind::Gauge if name.ends_with("_timestamp_seconds") => {
            vec![(format!("{name}{of} * 1000"), legend)]
        }
        Kind::Gauge => vec![(format!("{name}{of}"), legend)],
        Kind::Histogram => {
            let by = labels.iter().copied().chain(["le"]).collect::<Vec<_>>().join(", ");
            let rate = format!("sum by ({by}) (rate({name}_bucket{of}[$__rate_interval]))");
            let part = |part: &str| {
                let quantile = format!("histogram_quantile({part}, {rate})");
                let legend = if labels.is_empty() { String::new() } else { format!(" {legend}") };
                (quantile, format!("{part}{legend}"))
            };
            vec![part("0.5"), part("0.99")]
        }
    }
}

/// The name without the prefix that all have, in words.
fn title(metric: &Metric) -> String {
    let name = metric.name.trim_start_matches("tallystick_").replace('_', " ");
    match metric.kind {
        Kind::Counter => format!("{} a second", name.trim_end_matches(" total")),
        Kind::Gauge | Kind::Histogram => name,
    }
}

fn unit(metric: &Metric) -> &'static str {
    let name = metric.name;
    match metric.kind {
        _ if name.ends_with("_timestamp_seconds") => "dateTimeAsIso",
        Kind::Counter if name.ends_with("_seconds_total") => "percentunit",
        Kind::Counter => "ops",
        Kind::Gauge | Kind::Histogram if name.ends_with("_seconds") => "s",
        Kind::Gauge | Kind::Histogram if name.ends_with("_bytes") => "bytes",
        Kind::Gauge | Kind::Histogram => "short",
    }
}

/// Where the axis begins: what can be below zero is shown so.
fn least(metric: &Metric) -> Value {
    let may_be_below = ["skew", "balance", "timestamp"];
    let is_below = may_be_below.iter().any(|part| metric.name.contains(part));
    if is_below { Value::Null } else { json!(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_a_panel_of_its_own_and_no_two_lie_on_each_other() {
        let boards: Vec<Value> =
            boards().iter().map(|(_, text)| serde_json::from_str(text).unwrap()).collect();
        let panels = || boards.iter().flat_map(|board| board["panels"].as_array().unwrap());
        for metric in ALL {
            let own = panels().filter(|panel| {
                panel["targets"].as_array().is_some_and(|targets| {
                    targets.iter().any(|target| {
                        let query = target["expr"].as_str().unwrap();
                        let at = query.find(metric.name).map(|at| at + metric.name.len());
                        at.is_some_and(|at| query[at..].starts_with(['{', '_']))
                            && !ALL.iter().any(|other| {
                                other.name.len() > metric.name.len() && query.contains(other.name)
                            })
                    })
                })
            });
            assert_eq!(own.count(), 1, "{}", metric.name);
        }
        for board in &boards {
            let mut places: Vec<String> = Vec::new();
            for panel in board["panels"].as_array().unwrap() {
                let place = format!("{},{}", panel["gridPos"]["x"], panel["gridPos"]["y"]);
                assert!(!places.contains(&place), "{place}");
                places.push(place);
            }
        }
    }
}
