use super::*;
use tallystick_proto::v1::{OutcomeRate, QueueDepth};

fn now() -> Now {
    let outcome = |outcome: &str, per_second, total| OutcomeRate {
        outcome: outcome.to_owned(),
        per_second,
        total,
    };
    Now {
        at_us: 1_795_000_000_250_000,
        uptime_us: 3_725_000_000,
        outcomes: vec![outcome("credited", 12_345, 9_000_000), outcome("over_limit", 7, 12)],
        ack: Some(Spread { count: 9, p50_us: Some(800), p99_us: Some(4_567), p999_us: None }),
        queues: vec![QueueDepth { name: "frames".into(), depth: 950, bound: 1_000 }],
        disk_free_bytes: Some(3 << 30),
        disk_reserve_bytes: 1 << 20,
        verify_backend_text: "eight lanes".into(),
        open_window: 4,
        window_since_us: 1_795_000_000_250_000 - 61_000_000,
        alarms: vec!["the disk is nearly full\u{1b}[31m: make room on the disk".into()],
        ..Now::default()
    }
}

fn top() -> Top {
    let mut top = Top::new("127.0.0.1:7450");
    top.told(now());
    top
}

#[test]
fn all_of_it_is_there_on_a_wide_and_on_a_narrow_terminal() {
    let said = [
        "127.0.0.1:7450",
        "live",
        "12,345",
        "7 refused",
        "4.56 ms",
        "p50 800 us, p99.9 -",
        "open for 1 min 1 s",
        "3.0 GiB",
        "up for 1 h 2 min",
        "over limit",
        "9,000,000",
        "frames",
        "███████████████· ",
        " 95 %",
        "nearly full",
    ];
    for width in [200, 96, 80, 64] {
        let text = text(&top(), width);
        assert!(text.lines().all(|line| line.chars().count() <= width.into()), "{width}:\n{text}");
        for what in said {
            assert!(text.contains(what), "{what:?} is missing at {width}:\n{text}");
        }
        assert!(!text.contains('\u{1b}'), "what somebody wrote moves no cursor");
    }
    let mut top_of = top();
    top_of.owner = Some("10.0.0.2:7450".into());
    assert!(text(&top_of, 80).lines().nth(1).unwrap().starts_with(" of 10.0.0.2:7450, record "));
    assert!(text(&top(), 80).lines().nth(1).unwrap().starts_with(" record "));
    assert!(text(&top(), 200).lines().count() < text(&top(), 80).lines().count());
    // Nothing panics however small it is.
    for (width, height) in [(0, 0), (1, 1), (7, 2), (30, 5)] {
        let area = Rect::new(0, 0, width, height);
        draw(&mut top(), area, &mut Buffer::empty(area), true);
        let _ = text(&top(), width);
    }
}

#[test]
fn without_colours_there_is_none_and_the_words_are_the_same() {
    let area = Rect::new(0, 0, 100, 30);
    let drawn = |top: &mut Top, colours| {
        let mut buf = Buffer::empty(area);
        draw(top, area, &mut buf, colours);
        let plain =
            buf.content.iter().all(|cell| (cell.fg, cell.bg) == (Color::Reset, Color::Reset));
        let text: String = buf.content.iter().map(|cell| cell.symbol()).collect();
        (plain, text)
    };
    let ((plain, one), (coloured, other)) = (drawn(&mut top(), false), drawn(&mut top(), true));
    assert!(plain && !coloured && one == other);
    assert!(one.contains("q end   p pause   ? help"));
    let mut paused = top();
    paused.pause();
    assert!(drawn(&mut paused, false).1.contains("paused"));
    paused.help = true;
    assert!(drawn(&mut paused, false).1.contains("pause, and go on"));
    paused.help = false;
    paused.link = Link::Away("no engine at x".into());
    assert!(drawn(&mut paused, false).1.contains("no answer: no engine at x"));
}

#[test]
fn in_little_room_charts_go_first_and_the_rest_is_said_and_reached() {
    let mut top = top();
    let outcome = |n: u64| OutcomeRate { outcome: format!("o{n}"), per_second: n, total: n };
    let queue = |n: u64| QueueDepth { name: format!("queue{n}"), depth: n, bound: 9 };
    let figures = top.figures.as_mut().unwrap();
    figures.outcomes = (0..9).map(outcome).collect();
    figures.queues = (0..5).map(queue).collect();
    let drawn = |top: &mut Top, height| {
        let area = Rect::new(0, 0, 80, height);
        let mut buf = Buffer::empty(area);
        draw(top, area, &mut buf, false);
        buf.content.chunks(80).map(|row| row.iter().map(|cell| cell.symbol()).collect()).collect()
    };
    let all: Vec<String> = drawn(&mut top, 60);
    assert!(all.iter().any(|row| row.contains("ack p99, up to")));
    assert!(!all[59].contains("more lines"), "{}", all[59]);
    let mut seen: Vec<String> = drawn(&mut top, 24);
    assert!(seen.iter().all(|row| !row.contains("ack p99, up to")));
    assert!(seen[23].contains("q end") && seen[23].contains("down: 5 more lines"), "{seen:?}");
    assert!(seen.iter().all(|row| !row.contains("queue4")));
    // As far as there is something, and no further.
    top.down = 900;
    seen = drawn(&mut top, 24);
    assert_eq!(top.down, 5);
    assert!(seen[22].contains("queue4") && seen[23].contains("up: what is above"), "{seen:?}");
    drawn(&mut top, 60);
    assert_eq!(top.down, 0);
}

#[test]
fn a_chart_shows_the_newest_and_its_highest_step() {
    let mut top = top();
    top.credited = [Some(5), Some(0), None, Some(1), Some(80)].into();
    let rows: Vec<String> = charts(&top, 7).iter().map(ToString::to_string).collect();
    assert_eq!((rows[0].as_str(), rows[1].as_str()), (" credited a second, up to 80", " ▁ ·▁█"));
    top.credited = (0..100).map(Some).collect();
    let row = charts(&top, 22)[1].to_string();
    assert_eq!(row.chars().count(), 21, "{row}");
    assert!(row.ends_with('█'));
    // What is not seen any more is no measure of what is.
    top.credited = [9_000].into_iter().chain([4; 20]).map(Some).collect();
    let rows: Vec<String> = charts(&top, 22).iter().map(ToString::to_string).collect();
    assert_eq!(rows[0], " credited a second, up to 4");
    assert_eq!(rows[1], format!(" {}", "█".repeat(20)));
}

#[test]
fn numbers_are_as_people_read_them() {
    assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
    let times = [None, Some(999), Some(1_005), Some(2_345_678)].map(micros);
    assert_eq!(times, ["-", "999 us", "1.00 ms", "2.34 s"]);
    assert_eq!([900, 1_536, 5 << 30].map(|n| bytes(Some(n))), ["900 B", "1.5 KiB", "5.0 GiB"]);
    let times = [-1, 59, 61, 3_661, 90_061].map(|seconds: i64| age(seconds * 1_000_000));
    assert_eq!(times, ["0 s", "59 s", "1 min 1 s", "1 h 1 min", "1 d 1 h"]);
    assert_eq!(wrapped("a bb ccc dddddd", 4), ["a bb", "ccc", "dddddd"]);
}
