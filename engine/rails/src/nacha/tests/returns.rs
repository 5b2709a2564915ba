//! Return files as a bank makes them: for tests only, and apart from the reader's code.

use super::slicer::Entry;

/// What comes back of one entry.
#[derive(Debug, Clone)]
pub struct Back {
    /// Transaction code.
    pub code: String,
    pub cents: u128,
    pub id: String,
    pub original_trace: String,
    /// "99" and an R code, or "98" and a C code.
    pub kind: &'static str,
    pub reason: String,
    /// Addenda information or corrected data.
    pub data: String,
}

impl Back {
    /// The return of an entry that was sent.
    pub fn of(entry: &Entry, reason: &str) -> Self {
        let code = match entry.code.as_str() {
            "22" => "21",
            "27" => "26",
            "32" => "31",
            "37" => "36",
            other => panic!("code {other}"),
        };
        Self {
            code: code.into(),
            cents: entry.cents,
            id: entry.id.clone(),
            original_trace: entry.trace.clone(),
            kind: "99",
            reason: reason.into(),
            data: String::new(),
        }
    }

    /// The notification of change for an entry that was sent.
    pub fn change(entry: &Entry, reason: &str, data: &str) -> Self {
        Self { cents: 0, kind: "98", data: data.into(), ..Self::of(entry, reason) }
    }
}

/// The originating bank, to which everything comes back.
const ODFI: &str = "121042882";

/// Writes a return file: one batch for each group.
pub fn file(groups: &[Vec<Back>]) -> String {
    let mut lines = vec![format!(
        "101 {ODFI} 0910000192611251200A094101{:<23}{:<23}{:8}",
        "TALLY CLEARING", "FIRST BANK", ""
    )];
    let mut trace = 0;
    let (mut records, mut debits, mut credits, mut hash) = (0, 0, 0, 0u128);
    for (index, group) in groups.iter().enumerate() {
        let number = index + 1;
        let class = if group.iter().any(|back| back.kind == "98") { "COR" } else { "CCD" };
        lines.push(format!(
            "5200{:<16}{:20}{:<10}{class}{:<10}{:6}2611253301{}{number:07}",
            "TALLY CLEARING", "", "1999999999", "SETTLEMENT", "", "02100002"
        ));
        let before = (records, debits, credits, hash);
        for back in group {
            trace += 1;
            if back.code.ends_with(['6', '7']) {
                debits += back.cents
            } else {
                credits += back.cents
            }
            records += 2;
            hash += ODFI[..8].parse::<u128>().unwrap();
            let own = format!("02100002{trace:07}");
            lines.push(format!(
                "6{}{ODFI}{:<17}{:010}{:<15}{:<22}  1{own}",
                back.code, "9876543210", back.cents, back.id, "SOMEBODY"
            ));
            let width = if back.kind == "98" { 29 } else { 44 };
            lines.push(format!(
                "7{}{}{}{:6}02100002{:<width$}{:gap$}{own}",
                back.kind,
                back.reason,
                back.original_trace,
                "",
                back.data,
                "",
                gap = 44 - width
            ));
        }
        lines.push(format!(
            "8200{:06}{:010}{:012}{:012}{:<10}{:25}{}{number:07}",
            records - before.0,
            (hash - before.3) % 10_000_000_000,
            debits - before.1,
            credits - before.2,
            "1999999999",
            "",
            "02100002"
        ));
    }
    let blocks = (lines.len() + 1).div_ceil(10);
    lines.push(format!(
        "9{:06}{blocks:06}{records:08}{:010}{debits:012}{credits:012}{:39}",
        groups.len(),
        hash % 10_000_000_000,
        ""
    ));
    lines.resize(blocks * 10, "9".repeat(94));
    assert!(lines.iter().all(|line| line.len() == 94));
    lines.join("\n") + "\n"
}
