//! Every rail of a configuration, asked what it is asked every day: nothing moves by it.

use super::folders::unfit;
use super::{Finding, is_open};
use crate::config::{Config, FolderSettings};
use crate::ledger::Rail;
use crate::rails::{card, evm};
use crate::serve::desks::{card_config, evm_config};
use std::path::{Path, PathBuf};

/// Looks at all that are configured, and at the folders of those that work with files.
pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let mut found = Vec::new();
    let evm_folders = config.rail.evm.as_ref().map(|evm| evm.folders.clone());
    for (rail, folders) in [
        (Rail::Iso20022, Some(&config.rail.iso20022)),
        (Rail::Nacha, Some(&config.rail.nacha)),
        (Rail::Evm, evm_folders.as_ref()),
    ] {
        found.extend(folders.map(|folders| files(rail, folders, &config.data_dir)));
    }
    found.extend(config.rail.card.as_ref().map(|_| of_card(config)));
    found.extend(config.rail.evm.as_ref().map(|_| of_evm(config)));
    found
}

/// Whether the engine can write where its files go and come from.
fn files(rail: Rail, folders: &FolderSettings, data_dir: &Path) -> Finding {
    let what = rail.name();
    let FolderSettings { outbox, pay_ins, inbox } = folders.clone();
    let own = |kind: &str| data_dir.join(kind).join(rail.name());
    let all: [PathBuf; 3] = [
        outbox.unwrap_or_else(|| own("outbox")),
        pay_ins.unwrap_or_else(|| own("pay-ins")),
        inbox.unwrap_or_else(|| own("inbox")),
    ];
    for folder in all {
        if let Some(error) = unfit(&folder) {
            let folder = folder.display();
            return Finding::critical(
                what,
                format!("nothing can be written into {folder}: {error}"),
            );
        }
    }
    Finding::ok(what, "its folders can be written")
}

/// Whoever reads a secret that stands open closes it, and a doctor changes nothing.
fn closed(secrets: &[&PathBuf]) -> Result<(), String> {
    match secrets.iter().find(|path| is_open(path)) {
        Some(path) => {
            Err(format!("it was not asked, since others may read {}: chmod 600 it", path.display()))
        }
        None => Ok(()),
    }
}

fn of_card(config: &Config) -> Finding {
    let what = Rail::Card.name();
    let ask = || {
        let settings = config.rail.card.as_ref().ok_or("it is not set up")?;
        closed(&[&settings.secret_key_file, &settings.webhook_secret_file])?;
        let (config, _) = card_config(settings)?;
        card::Client::new(config).map_err(|error| error.to_string())?.check()
    };
    match ask() {
        Ok(()) => Finding::ok(what, "the provider answers, and takes the key"),
        Err(why) => Finding::critical(what, why),
    }
}

fn of_evm(config: &Config) -> Finding {
    let what = Rail::Evm.name();
    let ask = || {
        let settings = config.rail.evm.as_ref().ok_or("it is not set up")?;
        closed(&settings.rpc_url_file.iter().collect::<Vec<_>>())?;
        let fields = config.clearing.get(what).cloned().unwrap_or_default();
        let fields: Vec<(String, String)> = fields.into_iter().collect();
        let clearing = evm::Clearing::read(&fields)
            .ok_or("[clearing.evm] is missing: chain_id, contract, token and decimals")?;
        let desk = evm::Desk::open(evm_config(settings)?, clearing).map_err(|e| e.to_string())?;
        match desk.check_deployment(&evm::Nonces::default()) {
            // Which nonces are ours, only the ledger knows.
            Ok(()) | Err(evm::Misfit::Nonces(_)) => {}
            Err(misfit) => return Err(misfit.to_string()),
        }
        let funds = desk.funds().map_err(|misfit| misfit.to_string())?;
        Ok::<_, String>((desk.address().to_string(), funds))
    };
    match ask() {
        Ok((address, funds)) if funds.coin.is_zero() => Finding::critical(
            what,
            format!("the node answers, but {address} holds no coin to pay for gas: send it some"),
        ),
        Ok((_, funds)) => Finding::ok(
            what,
            format!(
                "the node answers as configured; the contract holds {} token units",
                funds.tokens
            ),
        ),
        Err(why) => Finding::critical(what, why),
    }
}
