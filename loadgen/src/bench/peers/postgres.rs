//! `PostgreSQL` as one would build a clearing house on it: vouchers in a table in which a payer's
//! nonce is unique, net positions upserted in the same transaction, batches of 1,000 by `COPY`, two
//! connections, every commit durable. It gets the engine's own plan as unsigned rows.

use crate::bench::{float, fresh, remove, rested};
use crate::error::Error;
use crate::plan::Planned;
use crate::setup::per_second;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Vouchers of a transaction.
const BATCH: usize = 1_000;
/// Vouchers a second for which text is made ahead: more than it does here on two connections.
const PER_SECOND: usize = 300_000;
/// Its own settings otherwise: durable commits.
const SETTINGS: &str = "shared_buffers=1GB max_wal_size=8GB unix_socket_directories=. \
                        listen_addresses=''";
const SCHEMA: &str = "
    CREATE TABLE vouchers (payer int NOT NULL, nonce bigint NOT NULL, payee int NOT NULL,
        asset int NOT NULL, amount bigint NOT NULL, UNIQUE (payer, nonce));
    CREATE TABLE net_positions (payer int, payee int, asset int, amount numeric NOT NULL,
        PRIMARY KEY (payer, payee, asset));";
const PREPARE: &str = "
    CREATE TEMPORARY TABLE incoming (payer int, nonce bigint, payee int, asset int, amount bigint)
        ON COMMIT DELETE ROWS;\n";
const COMMIT: &str = "\\.
INSERT INTO vouchers SELECT * FROM incoming;
INSERT INTO net_positions SELECT payer, payee, asset, sum(amount) FROM incoming GROUP BY 1, 2, 3
    ORDER BY 1, 2, 3 ON CONFLICT (payer, payee, asset)
    DO UPDATE SET amount = net_positions.amount + EXCLUDED.amount;
COMMIT;
\\echo committed
";

/// Where its programs are, and who runs them.
pub struct Postgres {
    bin: PathBuf,
    dir: PathBuf,
    /// Its server does not run as root: then the user that Debian's package makes.
    user: Option<(u32, u32)>,
}

impl Postgres {
    /// `None` where it is not installed, or there is nobody to run it.
    pub fn find(dir: &Path) -> Option<Self> {
        let path = std::env::var_os("PATH")?;
        let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let mut places = std::env::split_paths(&path).collect::<Vec<_>>();
        places.extend(debian.map(|version| version.path().join("bin")));
        let bin = places.into_iter().find(|bin| {
            ["initdb", "pg_ctl", "psql"].iter().all(|program| bin.join(program).is_file())
        })?;
        let user = if rustix::process::geteuid().is_root() {
            let users = std::fs::read_to_string("/etc/passwd").ok()?;
            Some(ids(&users, "postgres")?)
        } else {
            None
        };
        Some(Self { bin, dir: std::path::absolute(dir).ok()?, user })
    }

    /// Vouchers a second on a new cluster.
    ///
    /// # Errors
    /// When it cannot be started, or refuses a row.
    pub fn turn(&self, streams: &[Vec<Planned>], time: Duration) -> Result<f64, Error> {
        fresh(&self.dir)?;
        rested(&self.dir)?;
        if let Some((user, group)) = self.user {
            let failed =
                |source| Error::File { doing: "cannot give away", path: self.dir.clone(), source };
            chown(&self.dir, Some(user), Some(group)).map_err(failed)?;
        }
        self.run("initdb", &["-D", "cluster", "-A", "trust", "-U", "bench"])?;
        let settings: String = SETTINGS.split_whitespace().fold(String::new(), |mut all, one| {
            write!(all, " -c {one}").expect("a string takes everything");
            all
        });
        let start = ["-D", "cluster", "-w", "-l", "log", "-o", &settings, "start"];
        self.run("pg_ctl", &start)?;
        let measured = self.load(streams, time);
        self.run("pg_ctl", &["-D", "cluster", "-w", "-m", "immediate", "stop"])?;
        remove(&self.dir)?;
        measured
    }

    fn load(&self, streams: &[Vec<Planned>], time: Duration) -> Result<f64, Error> {
        let socket = self.socket();
        self.run("psql", &["-X", "-q", "-h", &socket, "-U", "bench", "-c", SCHEMA, "postgres"])?;
        let seconds = usize::try_from(time.as_secs()).unwrap_or(usize::MAX);
        let most = (PER_SECOND / streams.len()).saturating_mul(seconds);
        let texts: Vec<Vec<String>> =
            streams.iter().map(|stream| batches(&stream[..most.min(stream.len())])).collect();
        let started = Instant::now();
        let done: Vec<Result<(u64, Duration), Error>> = std::thread::scope(|scope| {
            let connections: Vec<_> = texts
                .iter()
                .map(|texts| scope.spawn(move || self.connection(texts, started, time)))
                .collect();
            let joined = connections.into_iter().map(|thread| thread.join());
            joined.map(|done| done.expect("a connection does not panic")).collect()
        });
        let done = done.into_iter().collect::<Result<Vec<_>, Error>>()?;
        let batches: u64 = done.iter().map(|(batches, _)| batches).sum();
        let took = done.iter().map(|(_, took)| *took).max().unwrap_or_default();
        Ok(float(per_second(batches * u64::try_from(BATCH).expect("it is small"), took)))
    }

    /// One connection: how many batches it committed, and when the last one.
    fn connection(
        &self,
        texts: &[String],
        started: Instant,
        time: Duration,
    ) -> Result<(u64, Duration), Error> {
        let failed = |why: &dyn std::fmt::Display| Error::Engine(format!("psql: {why}"));
        let socket = self.socket();
        let options =
            ["-X", "-q", "-h", &socket, "-U", "bench", "-v", "ON_ERROR_STOP=1", "postgres"];
        let mut command = self.command("psql", &options);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut psql: Child = command.spawn().map_err(|error| failed(&error))?;
        let mut input = psql.stdin.take().expect("it was asked for");
        let output = BufReader::new(psql.stdout.take().expect("it was asked for"));
        let reader = std::thread::spawn(move || {
            let (mut count, mut last) = (0, Duration::ZERO);
            for line in output.lines().map_while(Result::ok) {
                assert_eq!(line, "committed", "psql says nothing else");
                (count, last) = (count + 1, started.elapsed());
            }
            (count, last)
        });
        let mut written = input.write_all(PREPARE.as_bytes());
        for text in texts {
            if written.is_err() || started.elapsed() >= time {
                break;
            }
            written = input.write_all(text.as_bytes());
        }
        drop(input);
        let ended = psql.wait().map_err(|error| failed(&error))?;
        let done = reader.join().expect("the reader does not panic");
        match (ended.success(), written) {
            (true, Ok(())) => Ok(done),
            (true, Err(error)) => Err(failed(&error)),
            (false, _) => Err(failed(&ended)),
        }
    }

    /// Where the server listens: in its cluster, and nowhere else.
    fn socket(&self) -> String {
        self.dir.join("cluster").display().to_string()
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.args(arguments).current_dir(&self.dir);
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<(), Error> {
        let mut command = self.command(program, arguments);
        // The server that is started keeps what it is given: it must not be a pipe of ours.
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let status = command.status();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(Error::Engine(format!("{program} ended with {status}"))),
            Err(error) => Err(Error::Engine(format!("cannot run {program}: {error}"))),
        }
    }
}

/// User and group of a line of /etc/passwd.
fn ids(users: &str, name: &str) -> Option<(u32, u32)> {
    let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// A stream's vouchers as transactions of psql; the rest that fills none is left out.
fn batches(planned: &[Planned]) -> Vec<String> {
    let mut nonces: HashMap<u32, u64> = HashMap::new();
    let batch = |vouchers: &[Planned]| {
        let mut text = String::from("BEGIN;\nCOPY incoming FROM STDIN;\n");
        for voucher in vouchers {
            let Planned { payer, payee, .. } = voucher;
            let nonce = nonces.entry(*payer).or_default();
            *nonce += 1;
            let amount = 1 + voucher.cumulative % crate::plan::RISE_MAX;
            writeln!(text, "{payer}\t{nonce}\t{payee}\t978\t{amount}")
                .expect("a string takes everything");
        }
        text.push_str(COMMIT);
        text
    };
    planned.chunks_exact(BATCH).map(batch).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{deal, draw, tests::small};

    #[test]
    fn the_user_is_found() {
        let users = "root:x:0:0:root:/root:/bin/bash\npostgres:x:101:104::/var/lib/pg:/bin/bash\n";
        assert_eq!(ids(users, "postgres"), Some((101, 104)));
        assert_eq!(ids(users, "post"), None);
    }

    #[test]
    fn a_payers_nonces_are_unique() {
        let (crowd, traffic) = small(3, 3_500);
        let dealt = deal(&draw(&crowd, &traffic), crowd.payers(), 1);
        let texts = batches(&dealt[0]);
        assert_eq!(texts.len(), 3);
        let rows = texts.iter().flat_map(|text| text.lines()).filter(|line| line.contains('\t'));
        let keys: Vec<String> =
            rows.map(|row| row.split('\t').take(2).collect::<Vec<_>>().join(" ")).collect();
        let unique: std::collections::BTreeSet<_> = keys.iter().collect();
        assert_eq!((keys.len(), unique.len()), (3_000, 3_000));
    }
}
