//! The end of a run: everything is settled and compared, sums are drawn over the whole life of the
//! deployment, and other numbers of shards must lead to the same bytes.

use crate::check::{self, Checked, ensure, same};
use crate::clients::by;
use crate::life::Halt;
use crate::model::Pair;
use crate::run::Run;
use std::collections::BTreeMap;
use std::sync::Arc;
use tallystick::ledger::{BatchContent, Control, Refusal, SealedHead, SealedWindow, Wish};
use tallystick::settle::{Archive, EvidenceRequest, export, signed_end};
use tallystick::types::Timestamp;
use tallystick::vault::VaultError;
use tallystick::{audit, rails};

/// Everything that settles, as it is kept: windows, batches, and the files of batches.
#[derive(PartialEq)]
struct Picture {
    windows: Vec<Arc<SealedWindow>>,
    batches: Vec<Arc<BatchContent>>,
    files: BTreeMap<String, Vec<u8>>,
}

impl Run<'_> {
    /// Ends the run. With `audited`, the evidence is exported and audited too.
    ///
    /// # Errors
    /// What was wrong.
    pub fn finish(&mut self, audited: bool) -> Result<(), String> {
        self.fuses = 0;
        self.disk.arm(None);
        self.disk.may_die(false);
        self.ended(audited).map_err(|halt| match halt {
            Halt::Died => "the process died without a fuse".to_owned(),
            Halt::Wrong(what) => what,
        })
    }

    fn ended(&mut self, audited: bool) -> Result<(), Halt> {
        self.settle()?;
        self.last_batches()?;
        self.end_batches()?;
        let close = Wish::CloseWindow.by(by(""), self.clients.new_request());
        self.ask_commands(vec![close])?;
        self.settle()?;
        self.last_archives()?;
        self.compare()?;
        let picture = self.picture()?;
        self.nothing_lost(&picture)?;
        self.leg_keys_are_unique(&picture)?;
        if audited {
            self.audit()?;
        }
        let first = *self.dice.pick(&[1u16, 2, 3]);
        for shards in [first, 16] {
            self.restart_in_order(Some(shards))?;
            self.settle()?;
            self.compare()?;
            let again = self.picture()?;
            ensure(again == picture, || {
                format!("on {shards} shards windows, batches or files have other bytes")
            })?;
        }
        let Self { heard, disk, figures, .. } = self;
        for (name, bytes) in &picture.files {
            heard.answers.update(name.as_bytes()).update(bytes);
        }
        for window in &picture.windows {
            heard.answers.update(&window.root.0);
        }
        figures.boundaries = disk.deaths();
        figures.words = heard.words.clone();
        Ok(())
    }

    /// Some of what is settled leaves; the starts that follow must do without it.
    fn last_archives(&mut self) -> Result<(), Halt> {
        for _ in 0..self.dice.below(6) {
            self.archive()?;
            self.settle()?;
        }
        Ok(())
    }

    /// Loads everything that settles, and compares it.
    fn picture(&mut self) -> Result<Picture, String> {
        let heads = heads(&self.life().stepper.control())?;
        // Nothing from memory: what is kept must give it.
        let (intake, vault) = (self.life().intake.clone(), self.life().archive.vault().clone());
        let archive = Archive::new(&intake, vault, Some(self.shelf.path()));
        let mut windows = Vec::new();
        for sealed in &heads {
            let window = archive.window(sealed).map_err(|error| error.to_string())?;
            let number = window.number.0;
            let wanted = self.model.now.window(number);
            check::window(&window, wanted.ok_or_else(|| format!("window {number} is new"))?)?;
            windows.push(window);
        }
        let (mut batches, mut files) = (Vec::new(), BTreeMap::new());
        for (id, (_, wanted, _)) in &self.model.now.batches {
            let life = self.life.as_ref().expect("the engine runs");
            let head = life.stepper.control().batch(*id).map(|entry| entry.head.clone());
            let head = head.map_err(|refusal| refusal.to_string())?;
            let of = heads.iter().filter(|sealed| head.windows.contains(&sealed.head.number));
            let of: Vec<SealedHead> = of.cloned().collect();
            let content = archive.batch(&head, &of).map_err(|error| error.to_string())?;
            check::content(&content, wanted)?;
            let shown = archive.vault().show_batch(&content).map_err(|error| error.to_string())?;
            let written = rails::export(&shown, &mut |name, bytes| {
                let file: &mut Vec<u8> = files.entry(name.to_owned()).or_default();
                file.extend_from_slice(bytes);
                Ok::<(), ()>(())
            });
            written.expect("memory does not fail");
            let first = u32::try_from(content.head.pay_in_count).expect("legs are limited");
            let count = u32::try_from(content.legs.len()).expect("legs are limited");
            for side in [(0..first).collect::<Vec<u32>>(), (first..count).collect()] {
                for (number, legs) in (0..).zip(rails::split(&content, &side)) {
                    let open = match archive.vault().open_legs(&content, &legs) {
                        Ok(open) => open,
                        Err(VaultError::NoKey(party) | VaultError::OtherKey(party)) => {
                            // What has left has left; it cannot be made again.
                            ensure(self.model.now.erasures(party) > 0, || {
                                format!("the key of {party} is lost")
                            })?;
                            continue;
                        }
                        Err(error) => return Err(error.to_string()),
                    };
                    let part = rails::Part::new(&open, &legs, number);
                    let own = part.file().expect("a rail of files");
                    let file = files.entry(own.name()).or_default();
                    own.write(file).expect("memory does not fail");
                }
            }
            batches.push(content);
        }
        Ok(Picture { windows, batches, files })
    }

    /// Every rise of every channel is in exactly one window: all windows together owe what all
    /// channels have come to. Drawn from the windows as they are kept, and from the totals.
    fn nothing_lost(&self, picture: &Picture) -> Checked {
        let mut owed: BTreeMap<Pair, u128> = BTreeMap::new();
        for window in &picture.windows {
            for (asset, of) in &window.assets {
                for o in &of.obligations {
                    *owed.entry((asset.0, o.payer, o.payee)).or_default() += o.amount.0;
                }
            }
        }
        let mut totals: BTreeMap<Pair, u128> = BTreeMap::new();
        for (channel, held) in &self.model.now.channels {
            let total = u128::from(held.newest.cumulative);
            *totals.entry((channel.asset, held.payer, channel.payee)).or_default() += total;
        }
        same(|| "what all windows owe".to_owned(), &owed, &totals)?;
        Ok(())
    }

    /// A key of a leg is never used for another payment.
    fn leg_keys_are_unique(&self, picture: &Picture) -> Checked {
        let mut keys = BTreeMap::new();
        for batch in &picture.batches {
            for leg in batch.legs.iter() {
                let before = keys.insert(leg.key.clone(), (batch.head.id, leg.payment));
                ensure(before.is_none(), || format!("leg key {} is used twice", leg.key))?;
            }
        }
        Ok(())
    }

    /// The audit, which shares no sum with the ledger, finds nothing in an export.
    fn audit(&mut self) -> Checked {
        let (network, archive) = (self.world.network, self.life().archive.clone());
        let all = heads(&self.life().stepper.control())?;
        let archived = all.iter().filter_map(|sealed| Some((sealed.head.number, sealed.archive?)));
        let archived: Vec<_> = archived.collect();
        self.archives_are_right(&archived)?;
        let windows = all.into_iter().filter(|sealed| sealed.archive.is_none()).collect();
        let (last, key) = {
            let control = self.life().stepper.control();
            (control.history(), control.engine_key())
        };
        let end = signed_end(&self.life().key, key, network, last, Timestamp(0));
        let end = end.ok_or("the engine has not the key that is in force")?;
        let mut bytes = Vec::new();
        let request = EvidenceRequest { network, windows, events: true, end };
        export(&archive, &request, &mut bytes).map_err(|error| error.to_string())?;
        let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        let archives = archived.iter().map(|(window, _)| &self.archives[window]);
        let mut paths = Vec::new();
        for (name, content) in (0..).zip([&bytes].into_iter().chain(archives)) {
            let path = dir.path().join(format!("{name}"));
            std::fs::write(&path, content).map_err(|error| error.to_string())?;
            paths.push(path);
        }
        let files = audit::Files::open(&paths);
        let files = files.map_err(|error| error.to_string())?;
        let report = audit::audit(
            &files,
            audit::Settings {
                threads: 1,
                first_key: None,
                operator_keys: &[],
                receipts: &[],
                own_keys_since: None,
                progress: &|_| (),
            },
        );
        ensure(report.ok, || format!("the audit says: {report:?}"))?;
        self.heard.answers.update(&bytes);
        Ok(())
    }
}

/// Every sealed window; all but the open one are.
fn heads(control: &Control) -> Result<Vec<SealedHead>, String> {
    let closed = control.windows().filter(|window| window.cut.is_some());
    let heads = closed.map(|window| window.sealed_head());
    heads.collect::<Result<_, Refusal>>().map_err(|refusal| refusal.to_string())
}
