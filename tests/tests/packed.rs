//! What is packed for whoever runs the engine as a service: the unit, the settings that come with
//! it, and what the engine tells the program that started it.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use tallystick_tests::{Launch, binary};

fn dist() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../dist")
}

/// A manager that waits for it knows when clients are served, and that a stop is under way.
#[test]
fn a_service_manager_is_told_when_the_engine_serves_and_when_it_stops() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    let variable = format!("NOTIFY_SOCKET={}", path.display());
    let engine = Launch::new(&dir.path().join("data")).under(&["env", &variable]).start();
    let mut told = [0; 256];
    let mut next = || {
        let length = manager.recv(&mut told).unwrap();
        std::str::from_utf8(&told[..length]).unwrap().trim().to_owned()
    };
    assert_eq!(next(), "READY=1");
    engine.terminate();
    assert_eq!(next(), "STOPPING=1");
}

/// An example that the program does not take is worse than none.
#[test]
fn every_file_of_settings_that_is_packed_is_taken() {
    let mut files = vec![dist().join("tallystick.toml")];
    let examples = dist().join("examples").read_dir().unwrap().map(|file| file.unwrap().path());
    files.extend(examples.filter(|file| file.extension().is_some_and(|of| of == "toml")));
    assert!(files.len() > 2);
    for file in files {
        let mut serve = Command::new(binary("TALLYSTICK_BIN", "tallystick"));
        let shown =
            serve.args(["serve", "--print-config", "--config"]).arg(&file).output().unwrap();
        let error = String::from_utf8(shown.stderr).unwrap();
        assert!(shown.status.success(), "{}: {error}", file.display());
        let text = String::from_utf8(shown.stdout).unwrap();
        assert!(text.contains("/var/lib/tallystick"), "{text}");
    }
}

/// The unit starts what the package installs, with the settings that it installs.
#[test]
fn the_unit_and_the_package_name_the_same_files() {
    let read = |name: &str| std::fs::read_to_string(dist().join(name)).unwrap();
    let (unit, build) = (read("tallystick.service"), read("build"));
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    assert_eq!(start, "/usr/bin/tallystick serve --config /etc/tallystick/tallystick.toml");
    for place in ["\"$deb/usr/bin/\"", "\"$deb/etc/tallystick/\"", "\"$deb/lib/systemd/system/\""] {
        assert!(build.contains(place), "{place}");
    }
    assert!(build.contains("echo /etc/tallystick/tallystick.toml >\"$deb/DEBIAN/conffiles\""));
}

/// A threat whose test is gone would look defended.
#[test]
fn every_test_that_the_threat_model_names_exists() {
    let root = dist().join("..");
    let text = std::fs::read_to_string(root.join("docs/SECURITY.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with('|')).filter_map(|line| {
        let tests = line.trim_end_matches(['|', ' ']).rsplit('|').next()?;
        tests.contains('`').then_some(tests)
    });
    let named: Vec<&str> = rows.flat_map(|tests| tests.split('`').skip(1).step_by(2)).collect();
    assert!(named.len() > 30, "{named:?}");
    let mut sources = String::new();
    read_all(&root.join("engine"), &mut sources);
    read_all(&root.join("tests"), &mut sources);
    for name in named {
        assert!(sources.contains(&format!("fn {name}(")), "{name} is in docs/SECURITY.md alone");
    }
}

fn read_all(folder: &Path, into: &mut String) {
    for entry in folder.read_dir().unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() && !entry.ends_with("node_modules") {
            read_all(&entry, into);
        } else if entry.extension().is_some_and(|of| of == "rs") {
            into.push_str(&std::fs::read_to_string(&entry).unwrap());
        }
    }
}
