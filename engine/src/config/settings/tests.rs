//! Settings: which source wins, and what is said of what is mistyped.

use super::*;

fn file(text: &str) -> Result<Settings, String> {
    Settings::from_toml(text, Path::new("t.toml")).map_err(|error| error.to_string())
}

#[test]
fn nothing_given_gives_the_defaults() {
    let config = Settings::default().resolve(8);
    assert_eq!(config.data_dir, Path::new("./tallystick-data"));
    assert_eq!(config.listen.to_string(), "127.0.0.1:7450");
    assert_eq!((config.shards, config.verify_threads), (4, 8));
    assert_eq!((config.verify_backend, config.verify_table_bytes), (None, 256 << 20));
    assert_eq!((config.window_every, config.log.as_str()), (None, "info"));
    assert_eq!(Settings::default().resolve(1).shards, 1);
    assert_eq!(Settings::default().resolve(1_000).shards, limits::SHARDS_MAX);
}

/// What an operator types at first, and what the answer says to do.
#[test]
fn what_is_mistyped_is_answered_with_what_to_type() {
    let entry = "[[schedule]]\nclose = \"0 17 * * *\"\n";
    for (text, wanted) in [
        (
            "[[schedule]]\nasset = \"EUR\"\n".to_owned(),
            "an asset is named by its number, without quotes (978 for EUR), got \"EUR\"; `tallystick asset list` \
             shows the numbers",
        ),
        (
            "[[schedule]]\nasset = 978\nclose = \"hourly\"\n".into(),
            "expected a cron expression in UTC like \"0 17 * * MON-FRI\", or \"0 * * * *\" for every hour (minute, \
             hour, day, month, weekday; perhaps a second before them), got \"hourly\"\n",
        ),
        (
            format!("{entry}asset = 978\nbatch_rail = \"sepa\"\n"),
            "there is no rail \"sepa\"; the rails are iso20022, nacha, card, evm; for sepa use iso20022",
        ),
        (
            format!("{entry}asset = 978\nclose_when_gross_over = \"1.50\"\n"),
            "expected a whole number of asset units, digits only, got \"1.50\"",
        ),
        (
            format!("four_eyes = false\n\n{entry}asset = 978\napprove_below = 5\n"),
            "in the configuration file t.toml, line 6: schedule[0].approve_below is alone; expected batch_rail \
             with it",
        ),
        (
            "log = \"warn\"\n\n[clearing.iso20022]\nname = \"N\"\niban = \"DE00\"\n".into(),
            "in the configuration file t.toml, line 3: clearing.iso20022 is not usable; expected an account: ",
        ),
    ] {
        let said = file(&text).unwrap_err();
        assert!(said.contains(wanted), "{text}: {said}");
    }
    // An amount may be a number where it fits one.
    let of = |amount: &str| {
        let text = format!("{entry}asset = 978\nclose_when_gross_over = {amount}\n");
        file(&text).unwrap().resolve(1).schedule[0].gross_over
    };
    assert_eq!((of("100000000"), of("\"100000000\"")), (of("\"100000000\""), of("100000000")));
    assert_eq!(of("100000000").unwrap().to_string(), "100000000");
}

#[test]
fn flags_win_over_the_file_and_the_file_over_defaults() {
    let flags = Settings {
        shards: "2".parse().ok(),
        window_every: Some(Every(None)),
        ..Settings::default()
    };
    let text = "shards = 3\nlog = \"warn\"\nwindow_every = \"60s\"\nverify_threads = 5\n";
    let config = flags.or(file(text).unwrap()).resolve(8);
    assert_eq!((config.shards, config.verify_threads), (2, 5));
    assert_eq!((config.log.as_str(), config.window_every), ("warn", None));
}

#[test]
fn errors_name_the_file_the_key_and_what_is_expected() {
    for (text, parts) in [
        ("shards = 65", &["t.toml", "shards", "1 to 64"][..]),
        ("shards = \"two\"", &["t.toml", "shards", "expected a whole number, without quotes"]),
        ("verify_threads = 0", &["t.toml", "verify_threads", "1 to 1024"]),
        ("verify_backend = \"fast\"", &["verify_backend", "auto, lanes, avx2, portable"]),
        ("verify_table_bytes = \"1 MB\"", &["verify_table_bytes", "like 192MiB"]),
        ("verify_table_bytes = \"65GiB\"", &["verify_table_bytes", "at most 64GiB"]),
        ("voucher_lifetime_max_seconds = -1", &["voucher_lifetime_max_seconds", "1 to"]),
        ("shard = 1", &["t.toml", "unknown field `shard`", "`shards`"]),
        ("listen = \"localhost:7450\"", &["listen", "like 127.0.0.1:7450"]),
        ("listen = 7450", &["listen", "[[listen]]"]),
        (
            "[[listen]]\naddress = \"127.0.0.1:1\"\nkind = \"grpc\"\ntls = { cert = \"c\" }",
            &["t.toml", "missing field `key`"],
        ),
        ("[[listen]]\naddress = \"127.0.0.1:1\"\nkind = \"ftp\"", &["grpc", "http"]),
        (
            "[[listen]]\naddress = \"127.0.0.1:1\"\nkind = \"http\"",
            &["listen", "one of kind \"grpc\""],
        ),
        (
            "listen_http = \"127.0.0.1:2\"\n[[listen]]\naddress = \"127.0.0.1:1\"\nkind = \"grpc\"\n\
             [[listen]]\naddress = \"127.0.0.1:2\"\nkind = \"http\"",
            &["listen", "not both"],
        ),
        ("network_id = \"ab\"", &["network_id", "expected 64 hexadecimal digits"]),
        ("window_every = \"1\"", &["window_every", "like 500ms, 60s, 5m or 1h"]),
        ("window_every = \"1ms\"", &["window_every", "between 100ms and 31d"]),
        ("log = \"loud,=\"", &["log", "expected a level"]),
        ("[clearing.iso20022]\niban = 7", &["iban", "expected a string"]),
        (
            "four_eyes = true\n[operators]\nann = \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"",
            &["t.toml", "four_eyes", "at least two operators"],
        ),
        ("[operators]\nann = \"secret\"", &["ann", "operator token"]),
        ("[[schedule]]\nasset = 1\nclose = \"17:00\"", &["close", "cron expression"]),
        ("[[schedule]]\nclose = \"0 17 * * *\"", &["schedule[0].asset", "number of an asset"]),
        ("[[schedule]]\nasset = 1", &["schedule[0].asset", "close_when_gross_over"]),
        (
            "[[schedule]]\nasset = 1\nclose_when_gross_over = \"1.5\"",
            &["close_when_gross_over", "whole number of asset units"],
        ),
        (
            "[[schedule]]\nasset = 1\nclose = \"0 17 * * *\"\napprove_below = \"5\"",
            &["schedule[0].approve_below", "batch_rail"],
        ),
        (
            "[[schedule]]\nasset = 1\nclose = \"0 17 * * *\"\napprove_below_per_day = \"5\"",
            &["schedule[0].approve_below_per_day", "approve_below with it"],
        ),
        (
            "[[schedule]]\nasset = 1\nclose = \"0 17 * * *\"\nbatch_rail = \"nacha\"\n\
             approve_below = \"5\"\napprove_below_per_day = \"4\"",
            &["schedule[0].approve_below_per_day", "at least approve_below, which is 5"],
        ),
        (
            "[[schedule]]\nasset = 1\nclose = \"0 17 * * *\"\nbatch_rail = \"pigeon\"",
            &["batch_rail", "iso20022, nacha, card, evm"],
        ),
        ("shards = ", &["t.toml", "line 1"]),
    ] {
        let error = file(text).unwrap_err();
        for part in parts {
            assert!(error.contains(part), "{text:?} gives {error:?} without {part:?}");
        }
    }
    let long = format!("[clearing.iso20022]\nname = \"{}\"", "x".repeat(257));
    assert!(file(&long).unwrap_err().contains("clearing.iso20022.name is 257 bytes long"));
}

/// A token that was pasted where its digest belongs ended in the log, with the whole line.
#[test]
fn what_stands_for_an_operator_is_never_shown() {
    for text in [
        "[operators]\nann = \"SECRET\"",
        "[operators]\nbob = \"SECRET\"\nann = 'SECRET'\n[rail.evm]\n",
        "[operators]\nann = \"SECRET",
        "[operators]\nann = SECRET",
        "[operators]\n\"SECRET\"",
        "operators.ann = \"SECRET\"",
        "operators = { ann = \"SECRET\" }",
        "[operators.ann]\ntoken = \"SECRET\"",
    ] {
        let error = file(text).unwrap_err();
        assert!(error.contains("BLAKE3") && error.contains("line "), "{error}");
        assert!(!error.contains("SECRET"), "{error}");
    }
    assert!(file("[operators]\nann = \"x\"").unwrap_err().contains("line 2, [operators]: ann is"));
}

#[test]
fn operators_have_names_and_tokens_of_their_own() {
    let digest = |byte: &str| byte.repeat(32);
    let (a, b) = (digest("aa"), digest("bb"));
    let two = file(&format!("four_eyes = true\n[operators]\nann = \"{a}\"\nbob = \"{b}\""));
    let config = two.unwrap().resolve(1);
    assert!(config.four_eyes && config.operators.len() == 2);
    for (text, part) in [
        (format!("[operators]\nann = \"{a}\"\nbob = \"{a}\""), "token of its own"),
        (format!("[operators]\nschedule = \"{a}\""), "engine's own name"),
        (format!("[operators]\n\"a b\" = \"{a}\""), "not a name"),
        (format!("four_eyes = true\n[operators]\nann = \"{a}\""), "at least two"),
    ] {
        let error = file(&text).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
}

/// A bound for one batch alone bounds nothing: without one for the day, it is the day's too.
#[test]
fn what_is_approved_by_itself_always_has_a_bound_for_the_day() {
    let entry = |per_day: &str| {
        let text = format!(
            "[[schedule]]\nasset = 1\nclose = \"0 17 * * *\"\nbatch_rail = \"nacha\"\n\
             approve_below = \"5\"\n{per_day}"
        );
        let schedule = file(&text).unwrap().resolve(1).schedule;
        schedule[0].approve_below_per_day.map(|below| below.0)
    };
    assert_eq!(entry(""), Some(5));
    assert_eq!(entry("approve_below_per_day = \"50\"\n"), Some(50));
}

#[test]
fn printed_settings_are_read_back_as_the_same() {
    let text = "data_dir = \"/d\"\nroot_key_file = \"/k\"\nbackup_dir = \"/b\"\nlisten = \"[::1]:0\"\n\
        ready_file = \"r\"\nshards = 7\nverify_threads = 9\nverify_backend = \"portable\"\nverify_table_bytes = \"0\"\n\
        checkpoint_bytes = \"64MiB\"\ndisk_reserve_bytes = \"1GiB\"\n\
        window_every = \"90s\"\nvoucher_lifetime_max_seconds = 60\n\
        log = \"warn\"\nfour_eyes = false\n[console]\nlisten = \"127.0.0.1:7480\"\n\
        tls = { cert = \"c.pem\", key = \"k.pem\" }\n[clearing.iso20022]\nname = \"N\"\niban = \"DE02120300000000202051\"\n\
        [[schedule]]\nasset = 978\nclose = \"0 17 * * *\"\nclose_when_gross_over = \"5\"\n\
        close_when_exposure_over = \"4\"\nbatch_rail = \"nacha\"\napprove_below = \"3\"\n";
    let network = format!("network_id = \"{}\"\n", "ab".repeat(32));
    let operators = format!("[operators]\nann = \"{}\"\n", "cd".repeat(32));
    for text in [String::new(), network + text + &operators] {
        let config = file(&text).unwrap().resolve(4);
        let http = Settings { listen_http: "127.0.0.1:9".parse().ok(), ..Settings::default() };
        let served = http.or(file(&text).unwrap()).resolve(4);
        assert_eq!(file(&served.to_toml()).unwrap().resolve(1), served);
        let again = file(&config.to_toml()).unwrap().resolve(1);
        assert_eq!(again, config);
    }
}

#[test]
fn the_example_file_is_valid_with_and_without_its_comments() {
    let example = include_str!("../../../../docs/tallystick.example.toml");
    file(example).unwrap();
    // Lines of the form `#key = value` are settings that are off by default.
    let all = example.lines().map(|line| line.strip_prefix('#').unwrap_or(line));
    let all: Vec<&str> = all.filter(|line| !line.starts_with(' ')).collect();
    let settings = file(&all.join("\n")).unwrap();
    assert!(settings.network_id.is_some() && settings.clearing.unwrap().contains_key("iso20022"));
}
