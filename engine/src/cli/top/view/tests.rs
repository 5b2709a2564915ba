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
    assert!(text(&top(), 200).lines().count() < text(&top(), 80).lines().count());
    // Nothing panics however small it is.
    for (width, height) in [(0, 0), (1, 1), (7, 2), (30, 5)] {
        let area = Rect::new(0, 0, width, height);
        draw(&top(), area, &mut Buffer::empty(area), true);
        let _ = text(&top(), width);
    }
}

#[test]
fn without_colours_there_is_none_and_the_words_are_the_same() {
    let area = Rect::new(0, 0, 100, 30);
    let drawn = |top: &Top, colours| {
        let mut buf = Buffer::empty(area);
        draw(top, area, &mut buf, colours);
        let plain =
            buf.content.iter().all(|cell| (cell.fg, cell.bg) == (Color::Reset, Color::Reset));
        let text: String = buf.content.iter().map(|cell| cell.symbol()).collect();
        (plain, text)
    };
    let ((plain, one), (coloured, other)) = (drawn(&top(), false), drawn(&top(), true));
    assert!(plain && !coloured && one == other);
    assert!(one.contains("q end   p pause   ? help"));
    let mut paused = top();
    paused.pause();
    assert!(drawn(&paused, false).1.contains("paused"));
    paused.help = true;
    assert!(drawn(&paused, false).1.contains("pause, and go on"));
    paused.help = false;
    paused.link = Link::Away("no engine at x".into());
    assert!(drawn(&paused, false).1.contains("no answer: no engine at x"));
}

#[test]
fn a_chart_shows_the_newest_and_its_highest_step() {
    let mut top = top();
    top.credited = [5, 0, 1, 80].into();
    let rows: Vec<String> = charts(&top, 5).iter().map(ToString::to_string).collect();
    assert_eq!((rows[0].as_str(), rows[1].as_str()), (" credited a second, up to 80", " ▁ ▁█"));
    top.credited = (0..100).collect();
    let row = charts(&top, 22)[1].to_string();
    assert_eq!(row.chars().count(), 21, "{row}");
    assert!(row.ends_with('█'));
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
