//! Settles the run's window on the bank rail and checks every leg and file against our own books.

use crate::args::RunArgs;
use crate::bank::{self, Played};
use crate::books::{Differences, PartyId, hex};
use crate::error::Error;
use crate::pain::Payments;
use crate::run::Run;
use crate::setup::RAIL;
use crate::window::{number, party_id};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use tallystick_proto::v1::{
    ApproveBatchRequest, Batch, BatchState, CreateBatchRequest, GetBatchRequest,
};

/// The clearing account in legs.
pub const CLEARING: PartyId = [0; 32];

/// Where the exported files go, in the demo's folder.
pub const EXPORT: &str = "export";

/// The settled batch and what was checked of it.
pub struct Settled {
    /// The batch, which has ended.
    pub batch: Batch,
    /// The files that the rail made.
    pub files: Vec<ExportedFile>,
    /// Payments and their sum in cents, counted again in the files.
    pub payments: u64,
    /// Their sum.
    pub cents: u128,
    /// What the bank did.
    pub played: Played,
    /// What was checked, in words.
    pub checks: Vec<String>,
}

/// One file of the rail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExportedFile {
    /// Its name in the folder `export`.
    pub name: String,
    /// Its size.
    pub bytes: usize,
}

/// One leg, as far as it is checked.
pub struct Leg {
    /// Its key.
    pub key: String,
    /// Who pays.
    pub from: PartyId,
    /// Who is paid.
    pub to: PartyId,
    /// How much, in asset units.
    pub amount: u128,
}

/// Creates and approves the batch, writes its files to `dir/export`, plays the bank, and checks all
/// of it.
///
/// # Errors
/// When a call fails or a check does not hold.
pub async fn settle(args: &RunArgs, run: &mut Run, dir: &Path) -> Result<Settled, Error> {
    let windows = run.sealed.as_ref().map_or(&[][..], |sealed| &sealed.windows);
    let tag = format!("{}-{}", run.crowd.tag(), args.traffic.run);
    let request = CreateBatchRequest {
        request_id: format!("loadgen-{tag}-batch"),
        windows: windows.iter().map(|window| window.number).collect(),
        asset: args.asset,
        rail: RAIL.to_owned(),
    };
    let operator = &mut run.clients.operator;
    let answer = operator.create_batch(request).await;
    let batch = answer.map_err(|status| Error::call("CreateBatch", &status))?.into_inner();
    let legs = list_legs(run, &batch).await?;
    let mut checks = Vec::new();
    check_legs(args, run, &batch, &legs, &mut checks)?;
    let request = ApproveBatchRequest {
        request_id: format!("loadgen-{tag}-approve"),
        batch_id: batch.batch_id.clone(),
        ..Default::default()
    };
    let answer = run.clients.operator.approve_batch(request).await;
    let batch = answer.map_err(|status| Error::call("ApproveBatch", &status))?.into_inner();
    match batch.state() {
        // Its first legs have left by then, unless the engine is slow.
        BatchState::Approved | BatchState::Submitting | BatchState::Settled => {}
        state @ (BatchState::Unspecified
        | BatchState::Computed
        | BatchState::SettledWithCarry
        | BatchState::Aborted) => {
            return Err(Error::Check(format!("the approved batch is {state:?}")));
        }
    }
    let contents = export_files(run, &batch).await?;
    let files = write_files(&contents, &dir.join(EXPORT))?;
    no_bank_file(&contents)?;
    let folders = (&*dir.join("data"), &*dir.join("bank"));
    let (played, payments, ended) = bank::play(args, run, &batch, &legs, folders).await?;
    check_files(args, run, &batch, &legs, &payments, &mut checks)?;
    checks.extend(ended);
    let batch = played.batch.clone();
    Ok(Settled { batch, files, payments: payments.count, cents: payments.cents, played, checks })
}

async fn list_legs(run: &mut Run, batch: &Batch) -> Result<Vec<Leg>, Error> {
    let failed = |status: tonic::Status| Error::call("ListLegs", &status);
    let request = GetBatchRequest { batch_id: batch.batch_id.clone() };
    let mut list = run.clients.operator.list_legs(request).await.map_err(failed)?.into_inner();
    let mut legs = Vec::new();
    while let Some(leg) = list.message().await.map_err(failed)? {
        legs.push(Leg {
            from: party_id(&leg.from)?,
            to: party_id(&leg.to)?,
            amount: number(&leg.amount)?,
            key: leg.key,
        });
    }
    Ok(legs)
}

/// One cent in asset units, which is what a bank can express.
///
/// # Errors
/// When the asset has no cents.
pub fn cent(args: &RunArgs) -> Result<u128, Error> {
    let finer = u32::from(args.scale).checked_sub(2);
    let finer =
        finer.ok_or_else(|| Error::Usage("a bank settles in cents; --scale >= 2".into()))?;
    Ok(10u128.pow(finer))
}

/// Every party's legs must be its own net position, down to the cent; the rest must be carried.
fn check_legs(
    args: &RunArgs,
    run: &Run,
    batch: &Batch,
    legs: &[Leg],
    checks: &mut Vec<String>,
) -> Result<(), Error> {
    let cent = cent(args)?;
    let signed = |amount: u128| i128::try_from(amount).expect("sums stay far below 2^127");
    let (mut expected, mut dust) = (BTreeMap::new(), 0);
    for (party, net) in run.books.positions() {
        let size = net.unsigned_abs();
        let whole = signed(size - size % cent);
        if whole > 0 {
            expected.insert(party, whole * net.signum());
        }
        if net > 0 {
            dust += size % cent;
        }
    }
    let mut paid: BTreeMap<PartyId, i128> = BTreeMap::new();
    let (mut pay_ins, mut pay_in_sum, mut pay_outs) = (0u64, 0u128, 0u128);
    for leg in legs {
        match (leg.from == CLEARING, leg.to == CLEARING) {
            (true, false) => pay_outs += leg.amount,
            (false, true) => {
                pay_ins += 1;
                pay_in_sum += leg.amount;
            }
            (true, true) | (false, false) => {
                return Err(Error::Check(format!("leg {} misses the clearing account", leg.key)));
            }
        }
        *paid.entry(leg.to).or_default() += signed(leg.amount);
        *paid.entry(leg.from).or_default() -= signed(leg.amount);
    }
    paid.remove(&CLEARING);
    let mut differences = Differences::default();
    differences.sums(&expected, &paid, |party| format!("legs of party {}", hex(party)));
    differences.figure("legs", usize::try_from(batch.legs).unwrap_or(usize::MAX), legs.len());
    differences.figure("pay-in legs", pay_ins, batch.pay_in_legs);
    differences.figure("pay-in total", pay_in_sum, number(&batch.pay_in_total)?);
    differences.figure("batch total", pay_outs, number(&batch.total)?);
    differences.figure("carried", dust, number(&batch.carried)?);
    let keys: BTreeSet<&str> = legs.iter().map(|leg| leg.key.as_str()).collect();
    differences.figure("different leg keys", legs.len(), keys.len());
    none(&differences)?;
    checks.push(format!(
        "{} legs are our own net positions, cent by cent; dust is carried, not lost",
        crate::text::count(batch.legs)
    ));
    Ok(())
}

async fn export_files(run: &mut Run, batch: &Batch) -> Result<BTreeMap<String, Vec<u8>>, Error> {
    let failed = |status: tonic::Status| Error::call("ExportBatch", &status);
    let request = GetBatchRequest { batch_id: batch.batch_id.clone() };
    let mut list = run.clients.operator.export_batch(request).await.map_err(failed)?.into_inner();
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    while let Some(chunk) = list.message().await.map_err(failed)? {
        files.entry(chunk.file_name).or_default().extend_from_slice(&chunk.content);
    }
    Ok(files)
}

fn write_files(
    contents: &BTreeMap<String, Vec<u8>>,
    export: &Path,
) -> Result<Vec<ExportedFile>, Error> {
    let file =
        |path: &Path, source| Error::File { doing: "cannot write", path: path.to_owned(), source };
    std::fs::create_dir_all(export).map_err(|source| file(export, source))?;
    let mut files = Vec::new();
    for (name, content) in contents {
        // A name is a name: nothing that the engine says leads out of the folder.
        if Path::new(name).file_name() != Some(name.as_ref()) {
            return Err(Error::Check(format!("the exported file {name:?} has no plain name")));
        }
        let path = export.join(name);
        std::fs::write(&path, content).map_err(|source| file(&path, source))?;
        files.push(ExportedFile { name: name.clone(), bytes: content.len() });
    }
    Ok(files)
}

/// An export is for the records: a second bank file would be money paid twice.
fn no_bank_file(contents: &BTreeMap<String, Vec<u8>>) -> Result<(), Error> {
    for (name, content) in contents {
        let bad = |what: String| Error::Check(format!("{name}: {what}"));
        let Ok(xml) = std::str::from_utf8(content) else { continue };
        if Payments::read(xml).map_err(bad)?.is_some() {
            return Err(bad("an export holds a file that a bank would execute".to_owned()));
        }
    }
    Ok(())
}

/// The pain.001 files that left must pay exactly the pay-out legs, each to its party's own account.
fn check_files(
    args: &RunArgs,
    run: &Run,
    batch: &Batch,
    legs: &[Leg],
    found: &Payments,
    checks: &mut Vec<String>,
) -> Result<(), Error> {
    let cent = cent(args)?;
    let mut by_iban: BTreeMap<String, u128> = BTreeMap::new();
    let ibans: BTreeMap<PartyId, String> =
        run.crowd.parties().map(|party| (run.crowd.id(party), run.crowd.iban(party))).collect();
    let pay_outs = || legs.iter().filter(|leg| leg.from == CLEARING);
    for leg in pay_outs() {
        let iban = ibans.get(&leg.to).cloned();
        let unknown = || Error::Check(format!("leg {} pays an unknown party", leg.key));
        *by_iban.entry(iban.ok_or_else(unknown)?).or_default() += leg.amount / cent;
    }
    let mut differences = Differences::default();
    differences.sums(&by_iban, &found.by_iban, |iban| format!("cents to {iban}"));
    differences.figure("NbOfTxs", batch.legs - batch.pay_in_legs, found.count);
    differences.figure("CtrlSum in cents", number::<u128>(&batch.total)? / cent, found.cents);
    let by_id = pay_outs().map(|leg| (leg.key.clone(), leg.amount / cent)).collect();
    differences.sums(&by_id, &found.by_id, |id| format!("cents for the leg {id}"));
    none(&differences)?;
    checks.push(format!(
        "pain.001 makes {} payments of {} {} in all: counts, sums, ids and accounts agree",
        crate::text::count(found.count),
        crate::text::money(found.cents, 2),
        args.asset_code
    ));
    Ok(())
}

/// Nothing may differ.
///
/// # Errors
/// What does.
pub fn none(differences: &Differences) -> Result<(), Error> {
    match differences.none() {
        true => Ok(()),
        false => Err(Error::Check(format!(
            "{} differences:\n    {}",
            differences.count,
            differences.first.join("\n    ")
        ))),
    }
}
