//! A statement as one table, in CSV.

use super::super::CliError;
use super::super::output::{AssetTexts, hex};
use super::{Statement, at, code, leg_state, no_formula, ways, whole, window_state};
use crate::types::Total;
use bytes::Bytes;
use serde::Serialize;
use tallystick_proto::v1::{FoundLeg, Obligation, StatementLine};

impl Statement {
    /// One table: a row a window, then a row a payment, then what batches carried on.
    pub(super) fn csv(&self, assets: &AssetTexts) -> Result<String, CliError> {
        let failed = |error: csv::Error| CliError::Failed(format!("cannot write CSV: {error}"));
        let mut out = csv::Writer::from_writer(Vec::new());
        let rows = self.lines.iter().map(|line| Row::of_window(line, assets));
        let payments =
            self.payments.iter().map(|found| Row::of_payment(found, &self.party, assets));
        let carried = self.carried_on.iter().map(|of| Row::of_carried_on(of, assets));
        let owed = self.owed.iter().flatten();
        let owed =
            owed.map(|(window, owed)| Row::of_other(*window, self.other(owed), owed, assets));
        rows.chain(owed)
            .chain(payments)
            .chain(carried)
            .try_for_each(|row| out.serialize(row))
            .map_err(failed)?;
        let bytes = out.into_inner().map_err(|error| failed(error.into_error().into()))?;
        Ok(String::from_utf8(bytes).expect("what was written was text"))
    }
}

/// A row of the table; what it is not about is empty. The names are the columns'.
#[derive(Default, Serialize)]
struct Row {
    kind: &'static str,
    at: String,
    window: Option<u64>,
    batch_id: String,
    asset: u32,
    code: String,
    sent: String,
    received: String,
    carried: String,
    net: String,
    pays: String,
    gets: String,
    state: String,
    key: String,
    reference: String,
    root: String,
    party: String,
}

impl Row {
    fn of_other(
        window: u64,
        (other, sent, received): (Bytes, String, String),
        owed: &Obligation,
        assets: &AssetTexts,
    ) -> Self {
        Self {
            kind: "with",
            window: Some(window),
            asset: owed.asset,
            code: code(owed.asset, assets),
            sent: whole(&sent, owed.asset, assets),
            received: whole(&received, owed.asset, assets),
            party: hex(&other),
            ..Self::default()
        }
    }

    fn of_window(line: &StatementLine, assets: &AssetTexts) -> Self {
        let money = |units: &str| whole(units, line.asset, assets);
        Self {
            kind: "window",
            at: at(line.cut_at_us),
            window: Some(line.window),
            batch_id: hex(&line.batch_id),
            asset: line.asset,
            code: code(line.asset, assets),
            sent: money(&line.sent),
            received: money(&line.received),
            carried: money(&line.carried),
            net: money(&line.net),
            state: window_state(line),
            root: hex(&line.root),
            ..Self::default()
        }
    }

    fn of_carried_on(
        ((batch, asset), amount): (&(Bytes, u32), &String),
        assets: &AssetTexts,
    ) -> Self {
        Self {
            kind: "carried_on",
            batch_id: hex(batch),
            asset: *asset,
            code: code(*asset, assets),
            carried: whole(amount, *asset, assets),
            ..Self::default()
        }
    }

    fn of_payment(found: &FoundLeg, party: &Bytes, assets: &AssetTexts) -> Self {
        let leg = found.leg.clone().unwrap_or_default();
        let (pays, gets) = ways(found, party);
        let money = |sum: Total| whole(&sum.to_string(), found.asset, assets);
        Self {
            kind: "payment",
            at: at(found.sent_at_us),
            batch_id: hex(&found.batch_id),
            asset: found.asset,
            code: code(found.asset, assets),
            pays: money(pays),
            gets: money(gets),
            state: leg_state(leg.state()),
            reference: no_formula(&leg.rail_reference),
            key: leg.key,
            ..Self::default()
        }
    }
}
