//! Draws what the benches found: reads the JSON that each left in a folder, copies it into another
//! one, and draws one SVG a figure beside it. `make bench-plots` says which folders.
//!
//! | file | drawn of it |
//! |---|---|
//! | `compare-*.json` | vouchers a second, percentiles of the acks' latency, CPU a stage |
//! | `peers.json` | vouchers or transfers a second of each |
//! | `close-*.json` | how long each step of a close took |

#![forbid(unsafe_code)]

use plotters::prelude::*;
use serde_json::Value;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// One bar: what it is, and how high.
type Bar = (String, f64);

/// Width of a figure, in pixels; it is as high as it has bars.
const WIDTH: u32 = 960;

/// What is drawn.
#[derive(Debug, PartialEq)]
struct Figure {
    name: String,
    title: String,
    unit: &'static str,
    bars: Vec<Bar>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [from, to] = arguments.as_slice() else {
        eprintln!("usage: tallystick-plots FOLDER_WITH_RESULTS FOLDER_FOR_FIGURES");
        return ExitCode::from(2);
    };
    match draw_all(Path::new(from), Path::new(to)) {
        Ok(files) => {
            files.iter().for_each(|file| println!("{}", file.display()));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Draws all figures of the results in a folder; gives the files that were written.
fn draw_all(from: &Path, to: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let entries = fs::read_dir(from).map_err(|error| {
        format!("{}: {error}; run a bench first, such as make bench-compare", from.display())
    })?;
    let mut results: Vec<PathBuf> =
        entries.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
    results.sort();
    fs::create_dir_all(to)?;
    let mut written = Vec::new();
    for path in results {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let Some(stem) = name.strip_suffix(".json") else { continue };
        let text = fs::read_to_string(&path)?;
        let result: Value =
            serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        let figures = figures(stem, &result);
        if figures.is_empty() {
            continue;
        }
        let copy = to.join(name);
        fs::write(&copy, format!("{result:#}\n"))?;
        written.push(copy);
        for figure in figures {
            let file = to.join(format!("{}.svg", figure.name));
            draw(&file, &figure)?;
            written.push(file);
        }
    }
    match written.is_empty() {
        true => Err(format!("{} holds no results that can be drawn", from.display()).into()),
        false => Ok(written),
    }
}

/// The figures of one result; none where it is not known.
fn figures(stem: &str, result: &Value) -> Vec<Figure> {
    let figure = |what: &str, title: &str, unit, bars: Vec<Bar>| {
        let (name, title) = (format!("{stem}{what}"), format!("{stem}: {title}"));
        (!bars.is_empty()).then_some(Figure { name, title, unit, bars })
    };
    let all = if stem.starts_with("compare-") {
        vec![
            figure("-throughput", "vouchers a second, round by round", "1/s", rounds(result)),
            figure("-latency", "latency of acks, medians", "ms", latencies(result)),
            figure("-cpu", "CPU a voucher by thread, medians", "us", stages(result)),
        ]
    } else if stem == "peers" {
        let names =
            [("Tallystick", "now"), ("TigerBeetle", "tigerbeetle"), ("PostgreSQL", "postgres")];
        vec![figure("-throughput", "vouchers or transfers a second", "1/s", fields(result, &names))]
    } else if stem.starts_with("close-") {
        let names = [("cut", "cut_ms"), ("root", "root_ms"), ("batch", "batch_ms")];
        vec![figure("-steps", "how long each step took", "ms", fields(result, &names))]
    } else {
        Vec::new()
    };
    all.into_iter().flatten().collect()
}

/// Fields that hold numbers, under names for people.
fn fields(result: &Value, names: &[(&str, &str)]) -> Vec<Bar> {
    let bar = |&(name, field): &(&str, &str)| Some((name.to_owned(), result[field].as_f64()?));
    names.iter().filter_map(bar).collect()
}

/// Both builds, with what each round found of them under a path.
fn of_builds<'a>(result: &'a Value, path: &str) -> [(&'static str, Vec<&'a Value>); 2] {
    let rounds = || result["rounds"].as_array().into_iter().flatten();
    ["before", "now"].map(|build| {
        let found = rounds().filter_map(|round| round[build].pointer(path)).collect();
        (build, found)
    })
}

fn rounds(result: &Value) -> Vec<Bar> {
    let [before, now] = of_builds(result, "/vouchers_per_second");
    let pairs = (1..).zip(before.1.into_iter().zip(now.1));
    let bars = pairs.flat_map(|(round, (before, now))| {
        let bar = |name: &str, value: &Value| Some((format!("{name} {round}"), value.as_f64()?));
        [bar("before", before), bar("now", now)]
    });
    bars.flatten().collect()
}

fn latencies(result: &Value) -> Vec<Bar> {
    let names = [("p50", "/ack_p50_ms"), ("p99", "/ack_p99_ms"), ("p99.9", "/ack_p999_ms")];
    let bars = names.iter().flat_map(|(name, path)| {
        of_builds(result, path)
            .map(|(build, values)| Some((format!("{name} {build}"), median(&values)?)))
    });
    bars.flatten().collect()
}

/// Each thread of both builds; what takes less than a hundredth of a microsecond is left out.
fn stages(result: &Value) -> Vec<Bar> {
    let [before, now] = of_builds(result, "/cpu_stages_us");
    let mut names: Vec<&String> = before
        .1
        .iter()
        .chain(&now.1)
        .flat_map(|of| of.as_object())
        .flat_map(|of| of.keys())
        .collect();
    names.sort();
    names.dedup();
    let bars = names.into_iter().flat_map(|name| {
        [&before, &now].map(|(build, values)| {
            let values: Vec<&Value> = values.iter().filter_map(|of| of.get(name)).collect();
            Some((format!("{name} {build}"), median(&values)?))
        })
    });
    bars.flatten().filter(|(_, micros)| *micros >= 0.01).collect()
}

/// The middle one, or the lower of the two.
fn median(values: &[&Value]) -> Option<f64> {
    let mut values: Vec<f64> = values.iter().filter_map(|value| value.as_f64()).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len().checked_sub(1)? / 2).copied()
}

/// One bar below the other, the first on top, so that names have room.
#[allow(clippy::float_arithmetic)]
fn draw(file: &Path, figure: &Figure) -> Result<(), Box<dyn Error>> {
    let count = figure.bars.len();
    let highest = figure.bars.iter().map(|(_, value)| *value).fold(0.0, f64::max);
    let height = 110 + 26 * u32::try_from(count)?;
    let area = SVGBackend::new(file, (WIDTH, height)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(&figure.title, ("sans-serif", 20))
        .margin(16)
        .x_label_area_size(40)
        .y_label_area_size(140)
        .build_cartesian_2d(0.0..highest * 1.15, (0..count.saturating_sub(1)).into_segmented())?;
    let name = |place: usize| figure.bars[count - 1 - place].0.clone();
    chart
        .configure_mesh()
        .disable_y_mesh()
        .light_line_style(TRANSPARENT)
        .y_labels(count)
        .y_label_formatter(&|place| match place {
            SegmentValue::CenterOf(place) => name(*place),
            SegmentValue::Exact(_) | SegmentValue::Last => String::new(),
        })
        .x_desc(figure.unit)
        .x_label_formatter(&|value| shown(*value))
        .draw()?;
    for (place, (name, value)) in figure.bars.iter().rev().enumerate() {
        // Both builds have a colour of their own, in every figure.
        let color = if name.contains("before") { Palette99::pick(1) } else { Palette99::pick(0) };
        let bar = Histogram::horizontal(&chart).style(color.filled()).margin(4);
        chart.draw_series(bar.data([(place, *value)]))?;
        let end = (*value, SegmentValue::CenterOf(place));
        let label = Text::new(shown(*value), (6, -6), ("sans-serif", 13));
        chart.draw_series([EmptyElement::at(end) + label])?;
    }
    Ok(area.present()?)
}

/// As people read it: some three digits.
fn shown(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn turn(rate: u64, p99: f64) -> Value {
        json!({
            "vouchers_per_second": rate, "ack_p50_ms": 1.0, "ack_p99_ms": p99,
            "cpu_stages_us": { "verify": 3.0, "idle": 0.001 },
        })
    }

    #[test]
    fn a_comparison_has_its_rounds_percentiles_and_stages() {
        let rounds = [(10, 20, 5.0), (12, 30, 9.0), (11, 25, 7.0)];
        let rounds: Vec<Value> = rounds
            .iter()
            .map(
                |&(before, now, p99)| json!({ "before": turn(before, p99), "now": turn(now, 1.0) }),
            )
            .collect();
        let figures = figures("compare-agents", &json!({ "rounds": rounds }));
        let bars: Vec<String> = figures
            .iter()
            .map(|figure| {
                let bars: Vec<String> =
                    figure.bars.iter().map(|(name, value)| format!("{name} {value}")).collect();
                format!("{}: {}", figure.name, bars.join(", "))
            })
            .collect();
        assert_eq!(
            bars,
            [
                "compare-agents-throughput: before 1 10, now 1 20, before 2 12, now 2 30, before 3 11, now 3 25",
                "compare-agents-latency: p50 before 1, p50 now 1, p99 before 7, p99 now 1",
                "compare-agents-cpu: verify before 3, verify now 3",
            ]
        );
    }

    #[test]
    fn figures_are_shown_with_as_many_digits_as_tell_something() {
        let all = [0.0, 0.6, 1.254, 47.83, 739_440.0];
        assert_eq!(all.map(shown), ["0", "0.60", "1.25", "47.8", "739440"]);
    }

    #[test]
    fn a_peer_that_was_not_here_has_no_bar() {
        let result = json!({ "now": 3.0, "tigerbeetle": null, "postgres": 2.0 });
        let [figure] = &figures("peers", &result)[..] else { panic!("one figure") };
        assert_eq!(figure.bars, [("Tallystick".to_owned(), 3.0), ("PostgreSQL".to_owned(), 2.0)]);
        assert_eq!(figures("verify", &result), []);
    }
}
