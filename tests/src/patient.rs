//! Somebody who repeats what was not answered, as often as the engine dies at a fail point.
//!
//! Owns the engine's lives. Knows nothing of what is asked.

use crate::wire::{Batch, GetBatchRequest};
use crate::{Client, Engine, Launch};
use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::time::{Duration, Instant};
use tonic::{Code, Status};

/// Bounds every wait; not an expectation.
const DEADLINE: Duration = Duration::from_secs(120);

/// An engine that is started again whenever it dies, and whoever talks to it.
pub struct Patient {
    launch: Launch,
    engine: Option<Engine>,
    /// To the engine that lives now.
    pub client: Client,
    /// How often it died.
    pub deaths: u32,
}

impl Patient {
    /// With a variable of `tallystick-faults` set in its first life.
    pub async fn new(launch: Launch, fault: (&str, &str)) -> Self {
        let (engine, deaths) = match launch.clone().fault(fault.0, fault.1).try_start() {
            Ok(engine) => (engine, 0),
            Err(exit) => {
                assert_eq!(exit.status.signal(), Some(9), "{fault:?}: {}", exit.stderr);
                (launch.start(), 1)
            }
        };
        let client = Client::connect(&engine).await;
        Self { launch, engine: Some(engine), client, deaths }
    }

    /// Makes a call until it is answered.
    pub async fn call<T>(&mut self, call: impl AsyncFn(&mut Client) -> Result<T, Status>) -> T {
        loop {
            let status = match call(&mut self.client).await {
                Ok(answer) => return answer,
                Err(status) => status,
            };
            let gone = [Code::Unavailable, Code::Unknown, Code::Cancelled, Code::Internal];
            assert!(gone.contains(&status.code()), "{status:?}");
            let exit = self.engine.take().expect("one runs").ended();
            assert_eq!(exit.status.signal(), Some(9), "{}", exit.stderr);
            self.deaths += 1;
            let engine = self.launch.start();
            self.client = Client::connect(&engine).await;
            self.engine = Some(engine);
        }
    }

    /// A batch as it stands now.
    pub async fn batch(&mut self, batch: &Batch) -> Batch {
        let ask = GetBatchRequest { batch_id: batch.batch_id.clone() };
        self.call(async |client| client.operator.get_batch(ask.clone()).await).await.into_inner()
    }

    /// A batch as soon as it is as wanted.
    pub async fn until(&mut self, batch: &Batch, wanted: impl Fn(&Batch) -> bool) -> Batch {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let found = self.batch(batch).await;
            if wanted(&found) {
                return found;
            }
            assert!(Instant::now() < deadline, "gave up waiting: {found:?}");
        }
    }

    /// Has the engine pass the point that is armed: the last records are written behind the last
    /// answer.
    pub async fn until_dead_once(&mut self, batch: &Batch) {
        let deadline = Instant::now() + DEADLINE;
        while self.deaths == 0 {
            self.batch(batch).await;
            assert!(Instant::now() < deadline, "the point is not passed");
        }
        assert_eq!(self.deaths, 1);
    }

    /// Kills the engine for good.
    pub fn kill9(mut self) {
        self.engine.take().expect("one runs").kill9();
    }
}

/// How often each fail point was passed, as `TALLYSTICK_FAULT_LOG` tells.
#[must_use]
pub fn passed(log: &Path) -> BTreeMap<String, u32> {
    let mut passed = BTreeMap::new();
    for name in std::fs::read_to_string(log).unwrap_or_default().lines() {
        *passed.entry(name.to_owned()).or_default() += 1;
    }
    passed
}
