//! How the nodes of a cluster stand, and having the journal handed over: for whoever asks from a
//! command line. Goes to the servers alone, so that it answers whichever node lives.

use super::peers::{self, Entry};
use crate::config::Config;
use crate::jetstream::limits::{LEASE, TRANSFER_WAIT};
use crate::jetstream::{Lease, Link, StreamError, lease};
use crate::serve::doctor::{Finding, Health};
use crate::serve::store;
use std::time::{Duration, Instant};

fn one(health: Health, text: String) -> Finding {
    Finding { health, what: "cluster", text }
}

fn link(config: &Config) -> Result<Link, Finding> {
    let settings = store::stream(config).ok_or_else(|| {
        one(
            Health::Critical,
            "the journal is in the data directory, so there is no cluster: [journal] kind = \"jetstream\" makes one"
                .to_owned(),
        )
    })?;
    Link::connect(&settings).map_err(|error| one(Health::Critical, error.to_string()))
}

/// Who owns the journal, how old its lease is, and how every node stands.
#[must_use]
pub fn status(config: &Config) -> Vec<Finding> {
    match link(config).map(|link| look(&link)) {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => vec![one(Health::Critical, error.to_string())],
        Err(found) => vec![found],
    }
}

fn look(link: &Link) -> Result<Vec<Finding>, StreamError> {
    let (held, nodes) = (lease(link)?, peers::nodes(link)?);
    let mut found = vec![owner(held.as_ref())];
    let furthest = nodes.iter().map(|(entry, _)| entry.position).max().unwrap_or(0);
    let owner = held.map(|(lease, _)| lease.who.name);
    let mut standbys = 0;
    for (entry, age) in nodes {
        let is_owner = owner.as_ref() == Some(&entry.name);
        let text = line(&entry, age, furthest);
        let health = match (age > LEASE, &entry.cannot) {
            // Its lease says more.
            _ if is_owner => Health::Ok,
            (true, _) | (false, Some(_)) => Health::Warning,
            (false, None) => {
                standbys += 1;
                Health::Ok
            }
        };
        found.push(one(health, text));
    }
    if standbys == 0 {
        let text =
            "no node could take over now: start one more, and wait until it says that it can";
        found.push(one(Health::Warning, text.to_owned()));
    }
    Ok(found)
}

fn owner(held: Option<&(Lease, Duration)>) -> Finding {
    let Some((lease, age)) = held else {
        let text = "nobody has ever owned the journal: start a node";
        return one(Health::Critical, text.to_owned());
    };
    let (name, epoch, age) = (&lease.who.name, lease.epoch, *age);
    let at = lease.who.advertise.as_deref().unwrap_or("an address that it does not tell");
    let seconds = age.as_secs();
    if lease.free {
        let text =
            format!("{name} has let go of the journal, and nobody has taken it: start a node");
        return one(Health::Critical, text);
    }
    if age > LEASE * 2 {
        let text = format!(
            "{name} owned the journal (epoch {epoch}), and has said nothing for {seconds} s: nobody has taken over; \
             start a node, and look at what its log says"
        );
        return one(Health::Critical, text);
    }
    one(
        Health::Ok,
        format!("{name} at {at} owns the journal, epoch {epoch}, lease {seconds} s old"),
    )
}

fn line(entry: &Entry, age: Duration, furthest: u64) -> String {
    let Entry { name, advertise, state, position, void, cannot, .. } = entry;
    let at = advertise.as_deref().unwrap_or("an address that it does not tell");
    let mut text = format!("{name} at {at}: {state}, at record {position}");
    let behind = furthest.saturating_sub(*position);
    if behind > 0 {
        text += &format!(" ({behind} behind)");
    }
    if *void > 0 {
        text += &format!(", {void} messages of the stream were void");
    }
    if age > LEASE {
        text += &format!("; it has said nothing for {} s: start it again", age.as_secs());
    } else if let Some(why) = cannot {
        text += &format!("; it cannot take over: {why}");
    }
    text
}

/// Has the owner hand the journal over, to the node `to` or to whoever comes first, and waits until
/// that is done. The owner's process ends; started again, it stands by.
#[must_use]
pub fn transfer(config: &Config, to: Option<&str>) -> Vec<Finding> {
    let done = link(config).and_then(|link| {
        hand_over(&link, to).unwrap_or_else(|error| Err(one(Health::Critical, error.to_string())))
    });
    vec![done.unwrap_or_else(|found| found)]
}

fn hand_over(link: &Link, to: Option<&str>) -> Result<Result<Finding, Finding>, StreamError> {
    let wrong = |text: String| Ok(Err(one(Health::Critical, text)));
    let Some((held, age)) = lease(link)? else {
        return wrong("nobody owns the journal".to_owned());
    };
    if held.free || age > LEASE {
        return wrong(format!(
            "{} owns the journal no more: there is nothing to hand over",
            held.who.name
        ));
    }
    let can = |entry: &Entry, age: Duration| {
        entry.name != held.who.name && entry.cannot.is_none() && age <= LEASE
    };
    let nodes = peers::nodes(link)?;
    let able: Vec<&str> =
        nodes.iter().filter(|(of, age)| can(of, *age)).map(|(of, _)| &of.name[..]).collect();
    let fits = to.map_or(!able.is_empty(), |to| able.contains(&to));
    if !fits {
        let able = if able.is_empty() { "none".to_owned() } else { able.join(", ") };
        return wrong(format!(
            "nothing was done: {} could not take over now; nodes that could: {able}",
            to.unwrap_or("nobody else")
        ));
    }
    peers::ask_transfer(link, held.epoch, to)?;
    let deadline = Instant::now() + TRANSFER_WAIT;
    while Instant::now() < deadline {
        std::thread::sleep(crate::jetstream::limits::LEASE_LOOK);
        match lease(link) {
            Ok(Some((now, _))) if now.epoch > held.epoch && now.serves && !now.free => {
                let (name, epoch) = (now.who.name, now.epoch);
                return Ok(Ok(one(Health::Ok, format!("{name} owns the journal, epoch {epoch}"))));
            }
            Ok(_) | Err(_) => {}
        }
    }
    wrong(format!(
        "{} was asked to hand the journal over, and nobody else owns it after {} s: look at what both logs say",
        held.who.name,
        TRANSFER_WAIT.as_secs()
    ))
}
