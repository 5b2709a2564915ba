use super::*;

fn config(dir: &Path) -> Config {
    let data_dir = dir.join("data");
    fs::create_dir(&data_dir).unwrap();
    Config { data_dir, ..Config::default() }
}

#[test]
fn a_secret_that_stands_open_is_critical_and_a_folder_that_does_is_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let chmod = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    chmod(&config.data_dir, 0o700);
    let worst = || permissions(&config).into_iter().max_by_key(|one| one.health).unwrap();
    assert_eq!(worst().health, Health::Ok);
    chmod(&config.data_dir, 0o755);
    assert_eq!(worst().health, Health::Warning);
    let key = config.data_dir.join("tallystick.key");
    fs::write(&key, "x").unwrap();
    chmod(&key, 0o640);
    let found = worst();
    assert!(found.health == Health::Critical && found.text.contains("tallystick.key"), "{found:?}");
    chmod(&key, 0o600);
    assert_eq!(worst().health, Health::Warning);
}

#[test]
fn no_backup_and_an_old_one_are_warnings() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    let look = |config: &Config| backups(config, now(), Duration::from_secs(60));
    assert!(look(&config).text.contains("set backup_dir"));
    config.backup_dir = Some(dir.path().join("backups"));
    let none = look(&config);
    assert!(none.health == Health::Warning && none.text.contains("backup create"), "{none:?}");
}

#[test]
fn archives_on_the_ledgers_disk_are_a_warning_and_what_is_no_folder_is_critical() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    let names = |config: &Config| {
        let found = folders::examine(config, false);
        found.into_iter().map(|one| (one.what, one.health)).collect::<Vec<_>>()
    };
    assert_eq!(names(&config), [("audit log", Health::Ok)]);
    config.archive_dir = Some(dir.path().join("archives"));
    fs::create_dir(dir.path().join("archives")).unwrap();
    assert_eq!(names(&config), [("archives", Health::Warning), ("audit log", Health::Ok)]);
    assert_eq!(fs::read_dir(dir.path().join("archives")).unwrap().count(), 0);
    fs::write(dir.path().join("file"), "").unwrap();
    config.archive_dir = Some(dir.path().join("file"));
    config.audit_log = Some(dir.path().join("file"));
    assert_eq!(names(&config), [("archives", Health::Critical), ("audit log", Health::Critical)]);
}

#[test]
fn folders_that_cannot_be_written_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    let all_well = rails::examine(&config);
    assert!(all_well.iter().all(|one| one.health == Health::Ok), "{all_well:?}");
    let file = dir.path().join("no-folder");
    fs::write(&file, "").unwrap();
    config.rail.iso20022.inbox = Some(file);
    let found = rails::examine(&config);
    let bad = found.iter().find(|one| one.health == Health::Critical).unwrap();
    assert!(bad.what == "iso20022" && bad.text.contains("no-folder"), "{bad:?}");
}
