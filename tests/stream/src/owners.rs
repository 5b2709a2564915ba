//! Owners: each claims, opens, appends and is restarted, whatever the others do.

use super::dice::Dice;
use super::servers::{Servers, Stage};
use std::sync::Arc;
use std::time::Duration;
use tallystick_jetstream::{Owner, Stand, StreamError, Wire};
use tallystick_journal::{Chain, Framed, LogVitals};
use tallystick_ledger::types::{Digest, Lsn, Timestamp};

/// Kind of a record that is a frame.
const FRAME: u8 = 2;
/// Times that an owner is started.
const LIVES: usize = 4;
const GROUPS_MAX: usize = 12;
const PATIENCE: Duration = Duration::from_secs(1);

/// What one did.
#[derive(Default)]
pub struct Acts {
    /// The records of each group that was acked.
    pub acked: Vec<Vec<(Lsn, Digest)>>,
    /// How often it opened.
    pub opened: u64,
    /// What must not be.
    pub wrong: Vec<String>,
}

/// Has the next one move when it goes, also where it panics.
struct Leaving<'a>(&'a Stage, usize);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.leave(self.1);
    }
}

/// Runs one, over all its lives.
pub fn run(stage: &Arc<Stage>, actor: usize, mut dice: Dice) -> Acts {
    stage.begin(actor);
    let _leaving = Leaving(stage, actor);
    let (mut acts, mut stand) = (Acts::default(), Stand::START);
    for _ in 0..LIVES {
        // It may come back with its copy, or with an empty directory.
        if dice.percent(40) {
            stand = Stand::START;
        }
        // What ends a life is an error of the servers, or that another one has claimed.
        if let Ok(stood) = live(stage, actor, stand, &mut dice, &mut acts) {
            stand = stood;
        }
    }
    acts
}

/// One more, when all others have gone and the servers are sound: it goes on.
pub fn last(stage: &Arc<Stage>, mut dice: Dice) -> Result<Acts, String> {
    {
        let mut world = stage.world();
        world.calm = true;
        world.come_back();
    }
    let mut acts = Acts::default();
    let lived = live(stage, 0, Stand::START, &mut dice, &mut acts);
    lived.map_err(|error| format!("nobody can go on: {error}"))?;
    if acts.acked.is_empty() { Err("who came last appended nothing".into()) } else { Ok(acts) }
}

fn live(
    stage: &Arc<Stage>,
    actor: usize,
    stand: Stand,
    dice: &mut Dice,
    acts: &mut Acts,
) -> Result<Stand, StreamError> {
    let vitals = LogVitals::default();
    let servers = Arc::new(Servers { stage: stage.clone(), actor, vitals });
    let stand = follow(&*servers, stand)?;
    let mut owner =
        Owner::claim(servers, "subject", stand, &format!("n{actor}"), &mut |_, _, _| {})?;
    owner.open()?;
    let epoch = owner.epoch();
    acts.opened += 1;
    {
        let mut world = stage.world();
        world.opened = world.opened.max(epoch);
    }
    for _ in 0..=dice.place(GROUPS_MAX) {
        let opened = stage.world().opened;
        let group = group(&owner, dice);
        owner.append_group(&group)?;
        if opened > epoch {
            acts.wrong.push(format!("epoch {epoch} was acked after epoch {opened} had opened"));
        }
        acts.acked.push(group.iter().map(|of| (of.lsn, of.tail().link)).collect());
        if dice.percent(5) {
            owner.settle(&mut |found| {
                let lsn = found.first().map_or(Lsn(0), |of| of.lsn);
                Err(StreamError::Foreign { epoch, lsn })
            })?;
        }
    }
    Ok(owner.stand())
}

/// Follows the stream to where it ends now, before anything is claimed.
fn follow(servers: &dyn Wire, mut stand: Stand) -> Result<Stand, StreamError> {
    let from = stand;
    servers.read(from, servers.stored().unwrap_or(0), PATIENCE, &mut |seq, message| {
        stand.take(seq, message)?;
        Ok(())
    })?;
    Ok(stand)
}

fn group(owner: &Owner, dice: &mut Dice) -> Vec<Framed> {
    let mut chain = Chain::after(owner.stand().tail, Timestamp(7));
    let epoch = u32::try_from(owner.epoch()).expect("few claims");
    let mut record = || {
        let body = dice.number().to_le_bytes();
        chain.frame(epoch, Timestamp(7), FRAME, 1, &[&body])
    };
    let first = record();
    let more = record();
    if more.bytes[more.bytes.len() - 1].is_multiple_of(2) { vec![first, more] } else { vec![first] }
}
