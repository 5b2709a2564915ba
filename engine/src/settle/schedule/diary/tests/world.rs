//! An engine in miniature: what a pipeline would do of the schedule's wishes, with the clock in the
//! test's hand.

use super::super::super::own;
use super::*;
use crate::ledger::Command;
use crate::types::History;

/// An engine with its clock in the test's hand.
pub struct World {
    pub control: Control,
    /// The wall clock, and how far that of the records is ahead of it.
    pub now: Timestamp,
    pub ahead: i64,
    pub entries: Vec<ScheduleEntry>,
    pub diary: Diary,
    /// What is owed in the open window, and in those that were closed.
    pub open: BTreeMap<AssetNumber, u128>,
    pub closed: BTreeMap<WindowNumber, BTreeMap<AssetNumber, u128>>,
    /// Assets in which a party has no account: no batch can be made.
    pub stuck: BTreeSet<AssetNumber>,
    /// Windows that net to nothing.
    pub idle: BTreeSet<WindowNumber>,
    lsn: u64,
}

impl World {
    pub fn new(entries: Vec<ScheduleEntry>) -> Self {
        let genesis = Genesis { network: NetworkId([1; 32]), lifetime_seconds_max: 1 };
        let diary = Diary::new(entries.len());
        let (open, closed, stuck, idle) = Default::default();
        let control = Control::new(genesis, History { lsn: Lsn(1), digest: Digest::ZERO });
        let (now, ahead, lsn) = (START, 0, 1);
        let mut world =
            Self { control, now, ahead, entries, diary, open, closed, stuck, idle, lsn };
        for number in [EUR, USD] {
            let model = SettlementModel::Bilateral;
            let asset = AssetDef { number, code: "EUR".into(), scale: 6, model };
            world.asked(&format!("asset {number}"), Wish::CreateAsset { asset });
        }
        world
    }

    /// What an operator asks for, who is refused nothing here.
    pub fn asked(&mut self, id: &str, wish: Wish) {
        let request = Request { id: id.to_owned(), content: Digest::ZERO };
        self.command(wish.by(Caller::grpc("ann".into()), request)).unwrap();
    }

    pub fn command(&mut self, command: Command) -> Result<(), Refusal> {
        match self.control.decide(command, Timestamp(7))? {
            Decision::New(fact, made) => {
                self.lsn += 1;
                // The records' clock never goes back.
                let at = Timestamp(self.now.0 + self.ahead);
                let record = History { lsn: Lsn(self.lsn), digest: Digest::ZERO };
                self.control.apply(record, at, &fact, made);
            }
            Decision::Repeat(_) => {}
        }
        Ok(())
    }

    pub fn credit(&mut self, asset: AssetNumber, amount: u128) {
        *self.open.entry(asset).or_default() += amount;
    }

    fn close(&mut self, request: Request) {
        let window = self.control.open_window().number;
        self.command(Wish::CloseWindow.by(Caller::schedule(), request)).unwrap();
        // A repeated request closes nothing.
        if self.control.open_window().number != window {
            self.closed.insert(window, std::mem::take(&mut self.open));
        }
    }

    /// Somebody else closes the window.
    pub fn close_by_hand(&mut self) {
        let window = self.control.open_window().number;
        self.close(own(&format!("by hand {window}")));
        self.seal();
    }

    /// Seals what is closed.
    pub fn seal(&mut self) {
        let closed: Vec<WindowNumber> = {
            let open = self.control.windows().filter(|w| w.cut.is_some());
            open.filter(|w| w.sealed.is_none()).map(|w| w.number).collect()
        };
        for window in closed {
            let seal = |asset: &AssetNumber| AssetSeal {
                asset: *asset,
                obligations_root: Digest::ZERO,
                positions_root: Digest::ZERO,
                carried_in: Total::ZERO,
                totals: WindowTotals::default(),
            };
            let assets = self.closed[&window].keys().map(seal).collect();
            let (root, key, signature) = (Digest::ZERO, SignerKey::ZERO, [0; 64]);
            let sealed = WindowSealed { window, root, credited: 1, assets, key, signature };
            self.command(Command::own(Wish::SealWindow(sealed))).unwrap();
        }
    }

    /// Looks at everything once and closes what is to be closed. Gives up after `steps` closes, as
    /// a crash would.
    pub fn turn(&mut self, mut steps: usize) {
        let open = self.control.open_window().number;
        let holds = self.open.values().any(|sum| *sum > 0);
        let gauge = |sum: &u128| Gauge { gross: Total(*sum), exposure: Total(*sum) };
        let gauges = self.open.iter().map(|(asset, sum)| (*asset, gauge(sum))).collect();
        let seen = Seen { now: self.now, open, holds, gauges: &gauges };
        for place in 0..self.entries.len() {
            let entry = self.entries[place].clone();
            let found = self.diary.look((place, &entry), &self.control, &seen);
            if let Some(cause) = found {
                if steps == 0 {
                    return;
                }
                steps -= 1;
                self.close(entry.close_request(cause, open));
                self.diary.closed((place, &entry), cause, open, self.now);
            }
        }
        for place in 0..self.entries.len() {
            let entry = self.entries[place].clone();
            let mut after = Lsn(0);
            while let Some(found) = entry.approvable(&self.control, after, self.now) {
                let (computed, batch) = (found.computed_lsn, found.head.id);
                after = computed;
                let request = own(&format!("approve {computed}"));
                let approve =
                    Wish::ApproveBatch { batch, signed: None }.by(Caller::schedule(), request);
                self.command(approve).unwrap();
            }
            let waits = entry.waits(&self.control, self.now);
            self.diary.approved(place, waits, false, self.now);
        }
    }

    /// Makes at most one batch; whether there was one to be made.
    pub fn batch(&mut self) -> bool {
        for place in 0..self.entries.len() {
            let entry = self.entries[place].clone();
            let next = self.diary.next_batch((place, &entry), &self.control, self.now);
            let Some(Making { request, windows }) = next else { continue };
            assert!(windows.len() <= BATCH_WINDOWS_MAX);
            if self.stuck.contains(&entry.asset) {
                self.diary.not_made(place, "party 7 has no account".into(), self.now);
            } else if windows.iter().all(|window| self.idle.contains(window)) {
                self.diary.nothing_in(place, &windows);
            } else {
                self.create(&request, &windows, entry.asset).unwrap();
                self.diary.made(place);
            }
            return true;
        }
        false
    }

    pub fn create(
        &mut self,
        request: &Request,
        windows: &[WindowNumber],
        asset: AssetNumber,
    ) -> Result<(), Refusal> {
        let sum = |window: &WindowNumber| self.closed[window].get(&asset).copied().unwrap_or(0);
        let total = Total(windows.iter().map(sum).sum());
        let named = format!("{asset} {windows:?}");
        let head = BatchHead {
            id: BatchId(content_digest("test batch", named.as_bytes()).0),
            windows: windows.to_vec(),
            cut_at: self.now,
            asset: self.control.asset(asset)?.clone(),
            policy: Policy {
                rail: Rail::Iso20022,
                unit: Total(1),
                least: Total(1),
                most: Total(1 << 60),
                clearing: Vec::new(),
            },
            leg_count: 1,
            pay_in_count: 0,
            pay_in_total: Total::ZERO,
            total,
            carried: Total::ZERO,
            carries: Vec::new(),
            prefunded: Vec::new(),
        };
        let create = CreateBatch {
            four_eyes: false,
            used: Arc::new(Used {
                head: Arc::new(head),
                accounts: Arc::default(),
                free: Vec::new(),
            }),
            history: Lsn(self.lsn),
            key: SignerKey::ZERO,
            signature: [0; 64],
            directory_version: self.control.directory_version(),
        };
        self.command(Wish::CreateBatch(create).by(Caller::schedule(), request.clone()))
    }

    pub fn abort(&mut self, batch: BatchId) {
        let lsn = self.lsn;
        let reason = "wrong rail".to_owned();
        self.asked(&format!("abort {lsn}"), Wish::AbortBatch { batch, reason });
    }

    /// Disputes a window, or ends its dispute.
    pub fn dispute(&mut self, window: WindowNumber, begins: bool) {
        let reason = "a stolen key".to_owned();
        let wish = if begins {
            Wish::DisputeWindow { window, reason }
        } else {
            Wish::EndDispute { window, reason }
        };
        self.asked(&format!("dispute {}", self.lsn), wish);
    }

    /// Everything that the schedule does at this moment.
    pub fn run(&mut self) {
        self.turn(usize::MAX);
        self.seal();
        while self.batch() {}
        self.turn(usize::MAX);
    }

    /// Lets time pass, looking every half minute.
    pub fn pass(&mut self, micros: i64) {
        let until = self.now.0 + micros;
        while self.now.0 < until {
            self.now.0 = (self.now.0 + MINUTE / 2).min(until);
            self.run();
        }
    }

    /// All that is not in the journal is lost.
    pub fn restart(&mut self) {
        self.diary = Diary::new(self.entries.len());
    }

    /// The windows of each batch in an asset that was not aborted, in the order in which they were
    /// made.
    pub fn batches(&self, asset: AssetNumber) -> Vec<Vec<u64>> {
        let all = self.control.batches().into_iter();
        let own = all.filter(|b| b.head.asset.number == asset && b.state() != BatchState::Aborted);
        own.map(|batch| batch.head.windows.iter().map(|window| window.0).collect()).collect()
    }

    pub fn trouble(&self, place: usize) -> String {
        let standing = self.diary.standing((place, &self.entries[place]), &self.control, self.now);
        standing.trouble.unwrap_or_default()
    }
}
