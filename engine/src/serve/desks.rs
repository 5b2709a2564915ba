//! Opening the desks: from what is configured to what the settler works with. Reads the files that
//! hold secrets; asks no rail.

use super::privacy::secret;
use crate::config::{CardSettings, EvmSettings, FolderSettings, RailSettings};
use crate::ledger::Rail;
use crate::limits::CARD_THREADS_MAX;
use crate::rails::card::{self, CardConfig, Secret};
use crate::rails::evm::{self, EvmConfig, FeeRules, Finality};
use crate::settle::desks::{BankDesk, CardDesk, EvmDesk, Mailbox};
use crate::settle::{Desks, FileDesk, Folders};
use std::collections::BTreeMap;
use std::path::Path;

/// Wei in a gwei.
const GWEI: u128 = 1_000_000_000;

/// Why a desk does not open: which rail, and what to correct.
#[derive(Debug, thiserror::Error)]
#[error("rail {rail}: {why}; correct [rail.{rail}] in the configuration")]
pub struct NotOpened {
    rail: &'static str,
    why: String,
}

/// Every desk, and what rails say by themselves.
pub struct Opened {
    /// Of all rails that are set up.
    pub desks: Desks,
    /// What webhooks are signed with, and where they are handed in.
    pub hooks: Option<(Secret, Mailbox)>,
}

/// Opens every desk that is configured. Rails that work with files need no configuration: their
/// folders lie in `data_dir` unless named.
///
/// # Errors
/// `NotOpened` that names the rail and what is wrong.
pub fn open_desks(
    settings: &RailSettings,
    clearing: &BTreeMap<Rail, Vec<(String, String)>>,
    data_dir: &Path,
) -> Result<Opened, NotOpened> {
    let (mut desks, mut hooks) = (Desks::default(), None);
    let evm_folders = settings.evm.as_ref().map(|evm| evm.folders.clone()).unwrap_or_default();
    for (rail, folders) in [
        (Rail::Iso20022, &settings.iso20022),
        (Rail::Nacha, &settings.nacha),
        (Rail::Evm, &evm_folders),
    ] {
        let FolderSettings { outbox, pay_ins, inbox } = folders.clone();
        let own = |kind: &str| data_dir.join(kind).join(rail.name());
        let desk = FileDesk::open(Folders {
            outbox: outbox.unwrap_or_else(|| own("outbox")),
            pay_ins: pay_ins.unwrap_or_else(|| own("pay-ins")),
            inbox: inbox.unwrap_or_else(|| own("inbox")),
        });
        desks.put_files(rail, desk.map_err(|why| not_opened(rail, &why))?);
    }
    for rail in [Rail::Iso20022, Rail::Nacha] {
        desks.put(rail, BankDesk(rail));
    }
    if let Some(card) = &settings.card {
        let (config, threads) = card_config(card).map_err(|why| not_opened(Rail::Card, &why))?;
        let client = card::Client::new(config).map_err(|why| not_opened(Rail::Card, &why))?;
        let desk = CardDesk::new(client, threads);
        hooks = Some((desk.webhook_secret(), desk.mailbox()));
        desks.put(Rail::Card, desk);
    }
    if let Some(evm) = &settings.evm {
        let open = || -> Result<EvmDesk, String> {
            let fields = clearing.get(&Rail::Evm).map_or(&[][..], Vec::as_slice);
            let clearing = evm::Clearing::read(fields)
                .ok_or("[clearing.evm] is missing: chain_id, contract, token and decimals")?;
            let desk = evm::Desk::open(evm_config(evm)?, clearing).map_err(|e| e.to_string())?;
            Ok(EvmDesk::new(desk, evm.every.0))
        };
        desks.put(Rail::Evm, open().map_err(|why| not_opened(Rail::Evm, &why))?);
    }
    Ok(Opened { desks, hooks })
}

pub(super) fn card_config(settings: &CardSettings) -> Result<(CardConfig, usize), String> {
    let secret = |path: &Path| secret(path).map(Secret::new);
    if !(1..=CARD_THREADS_MAX).contains(&settings.threads) {
        return Err(format!("threads must be 1 to {}", CARD_THREADS_MAX));
    }
    let config = CardConfig {
        base_url: settings.base_url.clone(),
        secret_key: secret(&settings.secret_key_file)?,
        webhook_secret: secret(&settings.webhook_secret_file)?,
        timeout: settings.timeout.0,
        api_version: card::API_VERSION.to_owned(),
    };
    Ok((config, usize::from(settings.threads)))
}

pub(super) fn evm_config(settings: &EvmSettings) -> Result<EvmConfig, String> {
    let rpc_url = match (&settings.rpc_url_file, settings.rpc_url.as_str()) {
        (Some(path), "") => secret(path)?,
        (None, url) if !url.is_empty() => url.to_owned(),
        (Some(_), _) | (None, _) => return Err("give rpc_url or rpc_url_file, one of them".into()),
    };
    let finality = match settings.depth {
        None => Finality::Tags,
        Some(depth) => Finality::Depth { safe: depth.safe, last: depth.last },
    };
    let gwei = |gwei: u32| u128::from(gwei) * GWEI;
    Ok(EvmConfig {
        rpc_url,
        key_file: settings.key_file.clone(),
        finality,
        fees: FeeRules {
            cap: gwei(settings.max_fee_gwei),
            tip_cap: gwei(settings.max_tip_gwei.min(settings.max_fee_gwei)),
        },
        bump_after: settings.bump_after_blocks,
        connect_timeout: settings.timeout.0,
        call_timeout: settings.timeout.0,
    })
}

fn not_opened(rail: Rail, why: &dyn std::fmt::Display) -> NotOpened {
    NotOpened { rail: rail.name(), why: why.to_string() }
}
