//! What is seen: one list of lines for the terminal and for `--once`, in two columns where there is
//! room for them.

use super::state::{Link, Top, rate, refused};
use crate::cli::output::{printable, time_text};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style, Stylize as _};
use ratatui::text::{Line, Span};
use std::collections::VecDeque;
use tallystick_proto::v1::{Now, Spread};

/// From so many columns on there are two: each has room for the longest row of figures.
const WIDE: u16 = 134;
/// Between two columns.
const GAP: usize = 3;
/// Columns of a bar, and of the name before it.
const BAR: usize = 16;
const NAME: usize = 18;
/// Outcomes that are shown, those that came most.
const OUTCOMES: usize = 8;
/// A second of which nothing was told.
const NOTHING: char = '·';
const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

const KEYS: [&str; 7] = [
    "q, Ctrl C  end",
    "p, space   pause, and go on",
    "down, up   what there is no room for",
    "?, h       this help",
    "Ctrl L     draw it anew",
    "Ctrl Z     stop, until `fg`",
    "any other  close it",
];

/// Draws it, from the line on to which somebody has gone down. Below each other charts go first
/// where there is little room; the last line is the one of the keys, and counts the lines below.
pub(super) fn draw(top: &mut Top, area: Rect, buf: &mut Buffer, colours: bool) {
    let room = usize::from(area.height.saturating_sub(1));
    let mut all = if top.help { help() } else { lines(top, area.width, true) };
    if all.len() > room && area.width < WIDE && !top.help {
        all = lines(top, area.width, false);
    }
    let most = all.len().saturating_sub(room);
    top.down = top.down.min(most);
    for (y, line) in (area.y..).zip(all.iter().skip(top.down).take(room)) {
        buf.set_line(area.x, y, line, area.width);
    }
    if area.height > 0 {
        let mut keys = vec![" q end   p pause   ? help".dim()];
        match most - top.down {
            0 if most > 0 => keys.push("   up: what is above".into()),
            0 => {}
            below => keys.push(format!("   down: {below} more lines").yellow()),
        }
        buf.set_line(area.x, area.bottom() - 1, &Line::from(keys), area.width);
    }
    if !colours {
        for cell in &mut buf.content {
            cell.fg = Color::Reset;
            cell.bg = Color::Reset;
        }
    }
}

/// The same as text.
pub(super) fn text(top: &Top, width: u16) -> String {
    let mut text = String::new();
    for line in lines(top, width, true) {
        let line: String = line.spans.iter().map(|span| span.content.as_ref()).collect();
        let cut: String = line.chars().take(width.into()).collect();
        text.push_str(cut.trim_end());
        text.push('\n');
    }
    text
}

fn help() -> Vec<Line<'static>> {
    let keys = KEYS.map(|key| Line::from(format!("  {key}")));
    [Line::from(" Keys".bold()), Line::default()].into_iter().chain(keys).collect()
}

fn lines(top: &Top, width: u16, with_charts: bool) -> Vec<Line<'static>> {
    let mut all = vec![head(top)];
    let Some(of) = &top.figures else { return all };
    let of_owner = top.owner.as_ref().map(|owner| format!(" of {},", printable(owner)));
    all.push(Line::from(
        format!(
            "{} record {}, checked by {} on {} threads",
            of_owner.unwrap_or_default(),
            count(of.durable_lsn),
            printable(&of.verify_backend_text),
            of.verify_threads
        )
        .dim(),
    ));
    all.push(Line::default());
    all.extend(alarms(of, width.into()));
    let is_wide = width >= WIDE;
    let column = if is_wide { (usize::from(width) - GAP) / 2 } else { width.into() };
    match with_charts {
        true => all.extend(both(is_wide, column, figures(of), charts(top, column))),
        false => all.extend(figures(of)),
    }
    all.push(Line::default());
    all.extend(both(is_wide, column, outcomes(of), queues(of)));
    all
}

/// Beside each other, or below.
fn both(
    is_wide: bool,
    column: usize,
    left: Vec<Line<'static>>,
    right: Vec<Line<'static>>,
) -> Vec<Line<'static>> {
    if !is_wide {
        let between = [Line::default()];
        return left.into_iter().chain(between).chain(right).collect();
    }
    let rows = left.len().max(right.len());
    let (mut left, mut right) = (left.into_iter(), right.into_iter());
    let row = |_| {
        let (mut one, other) = (left.next().unwrap_or_default(), right.next().unwrap_or_default());
        one.spans.push(Span::raw(" ".repeat((column + GAP).saturating_sub(one.width()))));
        one.spans.extend(other.spans);
        one
    };
    (0..rows).map(row).collect()
}

fn head(top: &Top) -> Line<'static> {
    let state = match (&top.link, top.paused) {
        (Link::Away(why), _) => format!("no answer: {}", printable(why)).red().bold(),
        (Link::Live, true) => "paused".yellow().bold(),
        (Link::Live, false) => "live".green(),
    };
    let at = top.figures.as_ref().map_or(0, |of| of.at_us);
    // To the second: nothing comes faster.
    let time = time_text(Some(at - at.rem_euclid(1_000_000)));
    Line::from(vec![
        " tallystick ".bold(),
        Span::raw(printable(&top.server)),
        format!("  {time}  ").dim(),
        state,
    ])
}

/// What a person must see first.
fn alarms(of: &Now, width: usize) -> Vec<Line<'static>> {
    let mut all: Vec<Line> = Vec::new();
    for text in &of.alarms {
        let colour = if text.contains("wait for a person") { Color::Yellow } else { Color::Red };
        let rows = wrapped(&printable(text), width.saturating_sub(3).max(20));
        let row = |(place, text): (usize, String)| {
            let before = if place == 0 { " ! " } else { "   " };
            Line::from(Span::styled(format!("{before}{text}"), Style::new().fg(colour).bold()))
        };
        all.extend(rows.into_iter().enumerate().map(row));
    }
    if of.proposals_open > 0 {
        let text = format!(
            " ! waiting for a second person: {} proposed (`tallystick proposal list`)",
            of.proposals_open
        );
        all.push(Line::from(text.yellow()));
    }
    if all.is_empty() {
        all.push(Line::from(" all is well".green()));
    }
    all.push(Line::default());
    all
}

fn figures(of: &Now) -> Vec<Line<'static>> {
    let (ack, sync) = (of.ack.unwrap_or_default(), of.sync.unwrap_or_default());
    let since = match of.window_since_us {
        0 => "the first one".to_owned(),
        at => format!("open for {}", age(of.at_us.saturating_sub(at))),
    };
    let row = |name: &str, value: String, more: String| {
        let value = format!("{value:>12}  ");
        Line::from(vec![Span::raw(format!(" {name:NAME$}")), value.bold(), more.dim()])
    };
    let more = format!("{} stale, {} refused", count(rate(of, "stale")), count(refused(of)));
    vec![
        row("credited a second", count(rate(of, "credited")), more),
        row("ack, p99", micros(ack.p99_us), others(ack)),
        row(
            "groups a second",
            count(of.groups_per_second),
            format!("fsync p99 {}", micros(sync.p99_us)),
        ),
        row("open window", count(of.open_window), since),
        row("disk, free", bytes(of.disk_free_bytes), reserve(of)),
        row("memory", bytes(of.memory_bytes), format!("up for {}", age(of.uptime_us))),
    ]
}

fn reserve(of: &Now) -> String {
    let reserve = bytes(Some(of.disk_reserve_bytes));
    match of.disk_low {
        true => format!("TOO LITTLE: vouchers are refused below {reserve}"),
        false => format!("vouchers are taken above {reserve}"),
    }
}

fn others(of: Spread) -> String {
    format!("p50 {}, p99.9 {}", micros(of.p50_us), micros(of.p999_us))
}

/// The last minutes, as far as there is room: each step is a share of the highest that is seen.
/// A second of which nothing was told has a sign of its own.
fn charts(top: &Top, column: usize) -> Vec<Line<'static>> {
    let room = column.saturating_sub(2).max(8);
    let chart = |values: &VecDeque<Option<u64>>| -> (u64, String) {
        let shown = values.iter().skip(values.len().saturating_sub(room));
        let most = shown.clone().copied().flatten().max().unwrap_or(0);
        let step = |value: &Option<u64>| match value {
            None => NOTHING,
            Some(0) => ' ',
            Some(value) => {
                let eighths = u128::from(*value) * 8 / u128::from(most.max(1));
                STEPS[usize::try_from(eighths).unwrap_or(8).clamp(1, 8) - 1]
            }
        };
        (most, shown.map(step).collect())
    };
    let ((credited, credits), (slowest, acks)) = (chart(&top.credited), chart(&top.acks));
    vec![
        Line::from(format!(" credited a second, up to {}", count(credited)).dim()),
        Line::from(format!(" {credits}").green()),
        Line::default(),
        Line::from(format!(" ack p99, up to {}", micros(Some(slowest))).dim()),
        Line::from(format!(" {acks}").cyan()),
    ]
}

fn outcomes(of: &Now) -> Vec<Line<'static>> {
    let mut all: Vec<_> = of.outcomes.iter().collect();
    // In the order of what there was since the start, so that rows do not change places.
    all.sort_by(|a, b| b.total.cmp(&a.total).then(a.outcome.cmp(&b.outcome)));
    let title = format!(" {:NAME$}{:>12}  {:>16}", "outcome", "a second", "since the start");
    let rows = all.into_iter().take(OUTCOMES).map(|of| {
        let (name, total) = (of.outcome.replace('_', " "), count(of.total));
        let rate = format!("{:>12}  ", count(of.per_second));
        Line::from(vec![
            Span::raw(format!(" {name:NAME$}")),
            rate.bold(),
            format!("{total:>16}").dim(),
        ])
    });
    let mut lines = vec![Line::from(title.dim())];
    lines.extend(rows);
    if lines.len() == 1 {
        lines.push(Line::from(" no voucher yet"));
    }
    lines
}

fn queues(of: &Now) -> Vec<Line<'static>> {
    let title = format!(" {:NAME$}{:>9}  {:BAR$}", "queue", "depth", "full");
    let rows = of.queues.iter().map(|queue| {
        let hundredths =
            (u128::from(queue.depth) * 100).checked_div(queue.bound.into()).unwrap_or(0);
        let hundredths = usize::try_from(hundredths).unwrap_or(100).min(100);
        let (full, colour) = (
            hundredths * BAR / 100,
            match hundredths {
                91.. => Color::Red,
                61.. => Color::Yellow,
                _ => Color::Green,
            },
        );
        let bar = format!("{}{}", "█".repeat(full), "·".repeat(BAR - full));
        Line::from(vec![
            Span::raw(format!(" {:NAME$}{:>9}  ", queue.name, count(queue.depth))),
            Span::styled(bar, Style::new().fg(colour)),
            Span::raw(format!(" {hundredths:>3} %")),
        ])
    });
    [Line::from(title.dim())].into_iter().chain(rows).collect()
}

/// In rows of at most so many letters, between words.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut rows = vec![String::new()];
    for word in text.split_whitespace() {
        let last = rows.last_mut().expect("there is one");
        if !last.is_empty() && last.chars().count() + 1 + word.chars().count() > width {
            rows.push(word.to_owned());
            continue;
        }
        if !last.is_empty() {
            last.push(' ');
        }
        last.push_str(word);
    }
    rows
}

/// With commas between thousands.
fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Microseconds, in the unit that people read.
fn micros(of: Option<u64>) -> String {
    match of {
        None => "-".to_owned(),
        Some(micros @ 0..1_000) => format!("{micros} us"),
        Some(micros @ 1_000..1_000_000) => {
            format!("{}.{:02} ms", micros / 1_000, micros % 1_000 / 10)
        }
        Some(micros) => format!("{}.{:02} s", micros / 1_000_000, micros % 1_000_000 / 10_000),
    }
}

fn bytes(of: Option<u64>) -> String {
    let Some(bytes) = of else { return "-".to_owned() };
    let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.iter().find(|(_, size)| bytes >= *size) {
        Some((unit, size)) => format!("{}.{} {unit}", bytes / size, bytes % size * 10 / size),
        None => format!("{bytes} B"),
    }
}

/// A time in its largest unit, and the next one.
fn age(micros: i64) -> String {
    let seconds = micros.max(0) / 1_000_000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (1.., ..) => format!("{days} d {} h", hours % 24),
        (_, 1.., _) => format!("{hours} h {} min", minutes % 60),
        (.., 1..) => format!("{minutes} min {} s", seconds % 60),
        _ => format!("{seconds} s"),
    }
}

#[cfg(test)]
mod tests;
