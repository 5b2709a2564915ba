//! The files of certificates: which are refused at a start, what is said of those that end, how
//! some are made to try TLS out, and that no key is ever shown.

use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;
use tallystick_tests::tls::Certs;
use tallystick_tests::{Launch, run_cli, until};

fn said(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

#[test]
fn what_cannot_be_served_is_refused_before_anything_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let certs = Certs::make(&dir.path().join("certs"), &[]);
    let other = Certs::make(&dir.path().join("other"), &[]);
    let data = dir.path().join("data");
    let tls = |cert: &str, key: &str, more: &str| {
        format!(
            "[[listen]]\naddress = \"127.0.0.1:0\"\nkind = \"grpc\"\n\
             tls = {{ cert = {cert:?}, key = {key:?}{more} }}\n"
        )
    };
    let (cert, key, other_key) =
        (certs.path("server.pem"), certs.path("server.key"), other.path("server.key"));
    let none = certs.path("none.pem");
    let secret = std::fs::read_to_string(&key).unwrap();
    let secret =
        secret.lines().filter(|line| !line.starts_with("--")).collect::<Vec<_>>().join("\n");
    other.replace("no.key", &std::fs::read(&cert).unwrap());
    let open_key = other.path("server.key");
    std::fs::set_permissions(&open_key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let operators = format!("[operators]\nann = \"{}\"\n", "ab".repeat(32));
    let (away, here) = (&["--listen", "0.0.0.0:0"][..], &[][..]);
    let (one_way, mutual) = (certs.listener(false), certs.listener(true));
    for (config, args, wanted) in [
        (tls(&none, &key, ""), here, &["none.pem", "does not exist"][..]),
        (tls(&cert, &none, ""), here, &["none.pem", "does not exist"]),
        (tls(&cert, &other_key, ""), here, &["chmod 600", "mode 644"]),
        (tls(&key, &key, ""), here, &["holds no certificate"]),
        (tls(&cert, &other.path("no.key"), ""), here, &["holds no private key"]),
        (tls(&cert, &key, &format!(", client_ca = {none:?}")), here, &["client_ca", "none.pem"]),
        (String::new(), away, &["plain text", "[[listen]]"]),
        (operators.clone(), away, &["plain text"]),
        (mutual.clone(), away, &["there are no operators", "access bootstrap"]),
        (one_way.clone(), away, &["there are no operators", "[operators]"]),
        (format!("listen_http = \"0.0.0.0:0\"\n{operators}"), here, &["plain text", "0.0.0.0:0"]),
    ] {
        let text = Launch::new(&data).config(&config).args(args).refusal();
        for part in wanted {
            assert!(text.contains(part), "{config}: {text} without {part:?}");
        }
        assert!(!secret.lines().any(|line| text.contains(line)), "a key is shown: {text}");
        assert!(!data.exists(), "nothing is made before that is known: {config}");
    }
    std::fs::set_permissions(&open_key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let text = Launch::new(&data).config(&tls(&cert, &other_key, "")).refusal();
    assert!(text.contains("made together") && !data.exists(), "{text}");
}

/// As other servers do: clients refuse it, and what needs no client goes on.
#[tokio::test]
async fn a_certificate_that_has_ended_is_served_and_said_and_one_that_ends_soon_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let dated = |days: i64| Certs::dated(&dir.path().join(format!("dated{days}")), days);
    let (ended, soon) = (dated(-1), dated(9));
    for (certs, wanted) in [(&ended, "ended on"), (&soon, "days: put a new one")] {
        let launch = Launch::new(&dir.path().join("data"));
        let engine = launch.config(&certs.listener(false)).without_clearing().start();
        until("the log says so", || engine.stderr().contains(wanted).then_some(()));
        let ca = certs.path("ca.pem");
        let url = format!("https://{}", engine.address());
        let out = run_cli(&["status", "--server", &url, "--tls-ca", &ca]);
        match wanted {
            "ended on" => {
                assert_eq!(out.status.code(), Some(3), "{out:?}");
                assert!(said(&out).contains("has ended"), "{}", said(&out));
            }
            _ => assert!(out.status.success(), "{out:?}"),
        }
        engine.stop().await;
    }
}

#[test]
fn certificates_for_trying_out_are_private_short_lived_and_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("certs");
    let args = ["cert", "dev", "--out", out.to_str().unwrap(), "--json", "--client", "acme"];
    let made = run_cli(&args);
    assert!(made.status.success(), "{made:?}");
    assert!(said(&made).contains("for trying out only"), "{made:?}");
    let told: Value = serde_json::from_slice(&made.stdout).unwrap();
    assert!(told["config"].as_str().unwrap().contains("client_ca = "), "{told}");
    assert!(told["clients"].as_str().unwrap().contains("--tls-key"), "{told}");
    let mode = |name: &str| std::fs::metadata(out.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("server.key"), mode("acme.key"), mode("ca.pem")), (0o600, 0o600, 0o644));
    let before = contents(&out);
    let again = run_cli(&args);
    assert_eq!(again.status.code(), Some(1), "{again:?}");
    assert!(said(&again).contains("nothing is overwritten"), "{again:?}");
    assert_eq!(contents(&out), before);
}

fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let mut all: Vec<_> = entries
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, std::fs::read(entry.path()).unwrap())
        })
        .collect();
    all.sort();
    all
}

#[test]
fn printed_settings_name_the_files_of_certificates_and_show_no_key() {
    let dir = tempfile::tempdir().unwrap();
    let certs = Certs::make(&dir.path().join("certs"), &[]);
    let config = dir.path().join("tallystick.toml");
    std::fs::write(&config, certs.listener(true)).unwrap();
    let config = config.to_str().unwrap();
    let printed = run_cli(&["serve", "--config", config, "--print-config"]);
    let text = String::from_utf8(printed.stdout).unwrap();
    assert!(text.contains(&certs.path("server.key")) && text.contains("client_ca"), "{text}");
    let key = std::fs::read_to_string(certs.path("server.key")).unwrap();
    assert!(key.lines().all(|line| !text.contains(line)), "{text}");
}
