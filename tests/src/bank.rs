//! The bank as tests play it: its statements and reports, the inbox, the outbox, and what an
//! operator is told.

use crate::wire::{
    ApproveBatchRequest, Batch, GetBatchRequest, GetStatusRequest, Leg, LegReport, LegWord,
    Reconciliation, ReportLegsRequest,
};
use crate::{Client, Deployment, Outcome, World, iban, request_id};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// Bounds every wait; not an expectation.
const DEADLINE: Duration = Duration::from_secs(120);

/// Waits until something is so.
pub async fn until<T>(what: &str, mut found: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = found().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} does not come");
        tokio::task::yield_now().await;
    }
}

/// A batch of one leg from payer 0 to payee 0, not yet approved.
pub async fn computed(d: &mut Deployment, total: u64) -> Batch {
    assert_eq!(d.client.pay(&[d.world.voucher(0, 0, 0, total)]).await, [Outcome::Credited]);
    let window = d.client.close_window().await.number;
    d.client.create_batch(&[window], World::PAIRS).await.unwrap()
}

/// Approves a batch.
pub async fn approve(client: &mut Client, batch: &Batch) -> Batch {
    let (request_id, batch_id) = (request_id("approve"), batch.batch_id.clone());
    let request = ApproveBatchRequest { request_id, batch_id, ..Default::default() };
    client.operator.approve_batch(request).await.unwrap().into_inner()
}

/// What an operator says of legs.
#[must_use]
pub fn report(batch: &Batch, legs: &[Leg], word: LegWord) -> ReportLegsRequest {
    let one = |leg: &Leg| LegReport {
        key: leg.key.clone(),
        word: word.into(),
        rail_reference: String::new(),
        reason: "by hand".into(),
    };
    ReportLegsRequest {
        request_id: request_id("report"),
        batch_id: batch.batch_id.clone(),
        reports: legs.iter().map(one).collect(),
        evidence: Vec::new().into(),
        ..Default::default()
    }
}

/// All that an operator is shown without looking into folders or the log.
pub async fn told(client: &mut Client, batch: &Batch) -> String {
    let request = GetBatchRequest { batch_id: batch.batch_id.clone() };
    let of_batch = client.operator.get_reconciliation(request).await.unwrap().into_inner();
    let status = client.operator.get_status(GetStatusRequest {}).await.unwrap().into_inner();
    format!("{:?} {:?}", of_batch.troubles, status.troubles)
}

/// Plain files of a folder; none if it does not exist.
#[must_use]
pub fn names(folder: &Path) -> Vec<String> {
    let Ok(files) = fs::read_dir(folder) else { return Vec::new() };
    let files = files.map(|entry| entry.unwrap());
    let files = files.filter(|entry| entry.file_type().unwrap().is_file());
    let mut names: Vec<String> = files.map(|e| e.file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

/// Puts an answer into the inbox; gives the tray in which it ends, and what is noted beside it.
pub async fn answer(data: &Path, name: &str, text: &str) -> (&'static str, String) {
    answer_bytes(data, name, text.as_bytes()).await
}

/// The same, of a file that is no text.
pub async fn answer_bytes(data: &Path, name: &str, bytes: &[u8]) -> (&'static str, String) {
    let inbox = data.join("inbox/iso20022");
    fs::write(inbox.join(format!("{name}.part")), bytes).unwrap();
    fs::rename(inbox.join(format!("{name}.part")), inbox.join(name)).unwrap();
    let tray = until("a tray", async || {
        let there = |tray: &&&str| inbox.join(tray).join(name).exists();
        ["done", "refused"].iter().find(there).copied()
    });
    let tray = tray.await;
    let note = fs::read_to_string(inbox.join(tray).join(format!("{name}.txt")));
    (tray, note.unwrap_or_default())
}

/// One booked entry: sum, way, the bank's reference, the leg's key, and whether money comes back.
#[must_use]
pub fn entry(sum: &str, way: &str, reference: &str, key: &str, is_back: bool) -> String {
    let back = if is_back { "<RtrInf><Rsn><Cd>AC04</Cd></Rsn></RtrInf>" } else { "" };
    format!(
        "<Ntry><Amt Ccy=\"EUR\">{sum}</Amt><CdtDbtInd>{way}</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts>\
         <AcctSvcrRef>{reference}</AcctSvcrRef><NtryDtls><TxDtls><Refs><EndToEndId>{key}</EndToEndId>\
         </Refs><Amt Ccy=\"EUR\">{sum}</Amt>{back}</TxDtls></NtryDtls></Ntry>"
    )
}

/// A statement of an account with these entries.
#[must_use]
pub fn statement(account: &str, entries: &[String]) -> String {
    format!(
        "<Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:camt.053.001.08\"><BkToCstmrStmt><GrpHdr>\
         <MsgId>M</MsgId><CreDtTm>2026-11-30T08:00:00</CreDtTm></GrpHdr><Stmt><Id>S</Id><Acct><Id>\
         <IBAN>{account}</IBAN></Id></Acct>{}</Stmt></BkToCstmrStmt></Document>",
        entries.concat()
    )
}

/// The account of payer 0, from which the legs of a bilateral asset are paid.
#[must_use]
pub fn own_account() -> String {
    iban(1_000)
}

/// A report that the bank refuses the whole file with this message id.
#[must_use]
pub fn refusal(message: &str) -> String {
    format!(
        "<Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:pain.002.001.10\"><CstmrPmtStsRpt><GrpHdr><MsgId>M\
         </MsgId><CreDtTm>2026-11-30T08:00:00</CreDtTm></GrpHdr><OrgnlGrpInfAndSts><OrgnlMsgId>{message}\
         </OrgnlMsgId><OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId><GrpSts>RJCT</GrpSts><StsRsnInf><Rsn><Cd>FF01\
         </Cd></Rsn></StsRsnInf></OrgnlGrpInfAndSts></CstmrPmtStsRpt></Document>"
    )
}

/// The report on a batch.
pub async fn reconciled(client: &mut Client, batch: &Batch) -> Reconciliation {
    let request = GetBatchRequest { batch_id: batch.batch_id.clone() };
    client.operator.get_reconciliation(request).await.unwrap().into_inner()
}

/// A ZIP archive of these files, stored as they are: each with its header, then the list of them,
/// then the end (APPNOTE.TXT, 4.3).
#[must_use]
pub fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let (mut out, mut list) = (Vec::new(), Vec::new());
    let short = |number: usize| u16::try_from(number).unwrap().to_le_bytes();
    let long = |number: usize| u32::try_from(number).unwrap().to_le_bytes();
    for (name, content) in files {
        let at = long(out.len());
        let size = long(content.len());
        // Version, flags, method, time and date, check sum, both sizes, and the name's length.
        let what = [
            &short(20)[..],
            &[0; 8],
            &check_sum(content.as_bytes()).to_le_bytes(),
            &size,
            &size,
            &short(name.len()),
        ]
        .concat();
        let name = name.as_bytes();
        out.extend([b"PK\x03\x04", &what[..], &[0; 2], name, content.as_bytes()].concat());
        list.extend([b"PK\x01\x02", &short(20)[..], &what, &[0; 12], &at, name].concat());
    }
    let (count, start, size) = (short(files.len()), long(out.len()), long(list.len()));
    out.extend(list);
    out.extend([b"PK\x05\x06", &[0; 4][..], &count, &count, &size, &start, &[0; 2]].concat());
    out
}

/// CRC-32 as archives have it.
fn check_sum(bytes: &[u8]) -> u32 {
    let step = |sum: u32, _: u32| (sum >> 1) ^ if sum & 1 == 1 { 0xedb8_8320 } else { 0 };
    !bytes.iter().fold(!0, |sum, &byte| (0..8).fold(sum ^ u32::from(byte), step))
}
