//! The program as a shell sees it: which source of settings wins, and the exit codes.

use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

/// The program, without the settings of whoever runs the tests.
fn tallystick(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tallystick"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TALLYSTICK_") {
            command.env_remove(name);
        }
    }
    command.args(args);
    command
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// An address at which nothing listens.
fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn flags_win_over_the_environment_and_it_over_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("t.toml");
    std::fs::write(
        &file,
        "shards = 3\nverify_threads = 3\nlog = \"warn\"\nverify_table_bytes = \"1MiB\"\n",
    )
    .unwrap();
    let args = ["serve", "--print-config", "--shards", "1", "--config", file.to_str().unwrap()];
    let mut command = tallystick(&args);
    command.env("TALLYSTICK_SHARDS", "2").env("TALLYSTICK_VERIFY_THREADS", "2");
    command.env("TALLYSTICK_VERIFY_TABLE_BYTES", "3072KiB");
    let printed = stdout(&command.output().unwrap());
    for line in [
        "shards = 1",
        "verify_threads = 2",
        "verify_backend = \"auto\"",
        "verify_table_bytes = \"3MiB\"",
        "log = \"warn\"",
        "listen = \"127.0.0.1:7450\"",
    ] {
        assert!(printed.lines().any(|printed| printed == line), "{line}: {printed}");
    }
}

#[test]
fn wrong_configuration_exits_with_2_and_names_the_key() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("t.toml");
    std::fs::write(&file, "listen = \"0.0.0.0:7450\"\n").unwrap();
    let from_file = tallystick(&["serve", "--config", file.to_str().unwrap()]).output().unwrap();
    let from_flag = tallystick(&["serve", "--listen", "0.0.0.0:7450"]).output().unwrap();
    let missing = tallystick(&["serve", "--config", "/nowhere/t.toml"]).output().unwrap();
    for (output, part) in
        [(from_file, "listen"), (from_flag, "0.0.0.0:7450 can be"), (missing, "/nowhere/t.toml")]
    {
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(stderr(&output).contains(part), "{output:?}");
    }
}

#[test]
fn without_an_engine_the_exit_code_is_3_and_the_address_is_named() {
    let server = free_address();
    for args in [&["status"][..], &["window", "close"], &["asset", "list", "--json"]] {
        let output = tallystick(args).env("TALLYSTICK_SERVER", &server).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        assert!(stderr(&output).contains(&format!("no engine at http://{server}")), "{output:?}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn wrong_usage_exits_with_2() {
    for args in [
        &["party", "show", "ab"][..],
        &["status", "--server", "no sense"],
        &["batch", "show", "abc"],
        &[
            "asset",
            "add",
            "--number",
            "1",
            "--code",
            "EUR",
            "--scale",
            "19",
            "--model",
            "bilateral",
        ],
        &["voucher", "sign", "--key-file", "k", "--cumulative", "1", "--asset", "1"],
    ] {
        let output = tallystick(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
    }
}

#[test]
fn a_closed_pipe_ends_the_program_quietly() {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("k");
    for args in [
        &["serve", "--print-config"][..],
        &["voucher", "keygen", "--json", "--out", key.to_str().unwrap()],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let child = tallystick(args).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{args:?}");
    }
}
