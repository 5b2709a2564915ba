//! Writing a batch's records: under the names that the engine gives, never outside the directory,
//! never half, never over other content unless told to.

use super::CliError;
use super::client::Session;
use super::output::{Cell, Record};
use std::fs::{self, File};
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};
use tallystick_proto::v1::{ExportChunk, LegState, Reconciliation, SubmissionSums};
use tonic::Streaming;

/// Longest file name: what every file system takes.
const NAME_BYTES_MAX: usize = 255;

/// How the names of lists of pay-ins end, which left too and are for no bank.
const PAY_INS_ENDING: &str = ".pay-ins.csv";

/// Writes the files as their chunks arrive and prints where they are.
///
/// # Errors
/// When the call fails, a file cannot be written, or one exists with other content.
pub async fn write(
    session: &mut Session,
    mut chunks: Streaming<ExportChunk>,
    dir: &Path,
    force: bool,
) -> Result<(), CliError> {
    fs::create_dir_all(dir).map_err(CliError::file(dir))?;
    let mut open: Option<Download> = None;
    while let Some(chunk) = chunks.message().await.map_err(|status| session.failed(status))? {
        // A chunk without a name, or with the same one, continues the file.
        let name = match &open {
            Some(file) if chunk.file_name.is_empty() => file.name.clone(),
            Some(_) | None => safe_name(&chunk.file_name)?,
        };
        let mut file = match open.take() {
            Some(file) if file.name == name => file,
            Some(done) => {
                let record = done.finish(force)?;
                session.out.row(&record, &[], &Default::default())?;
                Download::start(dir, name)?
            }
            None => Download::start(dir, name)?,
        };
        file.add(&chunk.content)?;
        open = Some(file);
    }
    let last = open.ok_or_else(|| CliError::Failed("the batch has no files".into()))?;
    session.out.row(&last.finish(force)?, &[], &Default::default())
}

/// What people must know of files that look as if they could be handed in.
#[must_use]
pub fn where_the_bank_files_are(report: &Reconciliation) -> String {
    let rail = report.batch.as_ref().map(|batch| batch.rail.as_str()).unwrap_or_default();
    let names: Vec<String> = report
        .submissions
        .iter()
        .filter(|submission| !is_void(submission))
        .filter_map(|submission| submission.attempts.last())
        .filter(|attempt| !attempt.name.ends_with(PAY_INS_ENDING))
        .map(|attempt| format!("{}/{}", report.outbox, attempt.name))
        .collect();
    let records = "note: these files are records and no rail takes them";
    let has_left = report.submissions.iter().any(|submission| {
        submission.attempts.iter().any(|attempt| !attempt.name.ends_with(PAY_INS_ENDING))
    });
    match (rail, names.as_slice()) {
        ("iso20022" | "nacha", []) if has_left => format!(
            "{records}; what left for the bank must not be handed in any more: all of it is owed again, in a later \
             window"
        ),
        ("iso20022" | "nacha", []) => format!(
            "{records}; what goes to the bank will lie in {} on the engine's machine, each file once: nothing \
             of this batch has left yet",
            report.outbox
        ),
        ("iso20022" | "nacha", names) => format!(
            "{records}; only these go to the bank, each once (on the engine's machine, or wherever they were \
             taken): {}",
            names.join(", ")
        ),
        _called => format!("{records}; the engine itself has this rail execute the batch"),
    }
}

/// Whether all legs of a file are owed again: then it must not be handed in any more.
fn is_void(submission: &SubmissionSums) -> bool {
    let failed = [LegState::Rejected, LegState::Returned];
    let sums = &submission.by_state;
    !sums.is_empty() && sums.iter().all(|sum| failed.contains(&sum.state()))
}

/// The last component of the name; refused unless it is plain letters, digits, '.', '_' and '-'.
fn safe_name(given: &str) -> Result<String, CliError> {
    let name = given.rsplit(['/', '\\']).next().unwrap_or(given);
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len());
    if fits && !name.starts_with('.') && name.bytes().all(plain) {
        return Ok(name.to_owned());
    }
    Err(CliError::Failed(format!("the engine names a file {given:?}, which is no safe file name")))
}

/// A file on its way, under a temporary name until it is complete.
struct Download {
    name: String,
    target: PathBuf,
    temporary: PathBuf,
    file: File,
    bytes: u64,
    finished: bool,
}

impl Download {
    fn start(dir: &Path, name: String) -> Result<Self, CliError> {
        let temporary = dir.join(format!(".tallystick-{}.tmp", std::process::id()));
        let file = File::create(&temporary).map_err(CliError::file(&temporary))?;
        let target = dir.join(&name);
        Ok(Self { name, target, temporary, file, bytes: 0, finished: false })
    }

    fn add(&mut self, content: &[u8]) -> Result<(), CliError> {
        self.bytes += u64::try_from(content.len()).expect("a length fits 64 bits");
        self.file.write_all(content).map_err(CliError::file(&self.temporary))
    }

    /// Gives the file its name, unless another file has it.
    fn finish(mut self, force: bool) -> Result<Record, CliError> {
        self.file.sync_all().map_err(CliError::file(&self.temporary))?;
        let exists = self.target.symlink_metadata().is_ok();
        let state = if !exists {
            "written"
        } else if same_content(&self.temporary, &self.target)
            .map_err(CliError::file(&self.target))?
        {
            "unchanged"
        } else if force {
            "replaced"
        } else {
            return Err(CliError::Failed(format!(
                "{} exists with other content; move it away, or replace it with --force",
                self.target.display()
            )));
        };
        if state != "unchanged" {
            fs::rename(&self.temporary, &self.target).map_err(CliError::file(&self.target))?;
            self.finished = true;
        }
        Ok(Record(vec![
            ("file", Cell::Text(self.target.display().to_string())),
            ("bytes", Cell::Count(self.bytes)),
            ("state", Cell::Text(state.into())),
        ]))
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        if !self.finished {
            // Nothing can be done about a temporary file that cannot be removed.
            let _gone = fs::remove_file(&self.temporary);
        }
    }
}

/// Whether two files hold the same bytes.
fn same_content(a: &Path, b: &Path) -> std::io::Result<bool> {
    let (a, b) = (File::open(a)?, File::open(b)?);
    let (a_len, b_len) = (a.metadata()?.len(), b.metadata()?.len());
    if a_len != b_len {
        return Ok(false);
    }
    let (mut a, mut b) = (BufReader::new(a).bytes(), BufReader::new(b).bytes());
    loop {
        match (a.next().transpose()?, b.next().transpose()?) {
            (None, None) => return Ok(true),
            (x, y) if x == y => {}
            (Some(_) | None, Some(_) | None) => return Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_never_leave_the_directory() {
        assert_eq!(safe_name("pain.001-a_B.xml").unwrap(), "pain.001-a_B.xml");
        assert_eq!(safe_name("../../etc/passwd").unwrap(), "passwd");
        assert_eq!(safe_name("c:\\x.xml").unwrap(), "x.xml");
        for bad in ["", ".", "..", "a/", ".hidden", "a b", "ä", "a\0b", &"x".repeat(256)] {
            assert!(safe_name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn people_are_told_which_files_go_to_the_bank() {
        use tallystick_proto::v1::{Batch, LegSum, SubmissionAttempt};
        let mut report = Reconciliation {
            batch: Some(Batch { rail: "iso20022".into(), ..Default::default() }),
            outbox: "/data/outbox/iso20022".into(),
            ..Default::default()
        };
        let said = where_the_bank_files_are(&report);
        assert!(said.contains("/data/outbox/iso20022") && said.contains("nothing"), "{said}");
        let sent = |name: &str| SubmissionSums {
            attempts: vec![SubmissionAttempt { name: name.into(), ..Default::default() }],
            ..Default::default()
        };
        report.submissions = vec![sent("a.0.pay-ins.csv"), sent("a.1.pain.001.xml")];
        let said = where_the_bank_files_are(&report);
        assert!(said.ends_with(": /data/outbox/iso20022/a.1.pain.001.xml"), "{said}");
        let state = LegState::Rejected.into();
        report.submissions[1].by_state = vec![LegSum { state, legs: 1, sum: "1".into() }];
        let said = where_the_bank_files_are(&report);
        assert!(!said.contains("a.1.pain.001.xml"), "{said}");
    }

    #[test]
    fn other_content_is_replaced_only_by_force() {
        let dir = tempfile::tempdir().unwrap();
        let put = |content: &[u8], force| {
            let mut file = Download::start(dir.path(), "f.xml".into())?;
            file.add(content)?;
            let record = file.finish(force)?.json();
            Ok::<_, CliError>(record["state"].as_str().unwrap().to_owned())
        };
        assert_eq!(put(b"one", false).unwrap(), "written");
        assert_eq!(put(b"one", false).unwrap(), "unchanged");
        assert!(put(b"two", false).unwrap_err().to_string().contains("--force"));
        assert_eq!(fs::read(dir.path().join("f.xml")).unwrap(), b"one");
        assert_eq!(put(b"two", true).unwrap(), "replaced");
        assert_eq!(fs::read(dir.path().join("f.xml")).unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
