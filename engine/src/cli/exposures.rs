//! `party list --by exposure`: who is nearest their limit. Owns how the share that is used is
//! shown.

use super::CliError;
use super::client::Session;
use super::output::{Cell, Record, time_text};
use super::page::{self, PageArgs};
use crate::limits::PAGE_MAX;
use clap::Args;
use tallystick_proto::v1::{Exposure, ListExposuresRequest};

/// Shown with `tallystick party list --help`.
pub const LIST_HELP: &str = "\
Examples:
  tallystick party list
  tallystick party list --all --json
  tallystick party list --by exposure --asset 978 --limit 20

With --by exposure: by the share of its limit and deposits that a party owes, the largest first. The
engine sorts the first 100,000, and keeps that order for ten seconds. `beyond`: it owes and
may owe nothing. A list that takes longer says where another order begins.";

/// Of which asset, and from where on.
#[derive(Debug, Clone, Copy, Args)]
pub struct ExposuresArgs {
    /// With --by exposure: in which asset
    #[arg(long, value_name = "ASSET", required_if_eq("by", "exposure"),
        value_parser = super::asset::asset_number)]
    asset: Option<u32>,
    /// With --by exposure: leave so many out
    #[arg(long, value_name = "N", default_value_t = 0, requires = "asset")]
    skip: u64,
}

/// Lists them.
///
/// # Errors
/// When the call fails.
pub(super) async fn list(
    session: &mut Session,
    args: ExposuresArgs,
    page: PageArgs,
) -> Result<(), CliError> {
    let (asset, mut skip, mut left) = (args.asset.unwrap_or_default(), args.skip, page.begin());
    let mut order = None;
    loop {
        let limit = left.ask(PAGE_MAX);
        let asked = ListExposuresRequest { asset, limit, skip };
        let answer = session.operator().list_exposures(asked).await;
        let answer = answer.map_err(|status| session.failed(status))?.into_inner();
        let shown = answer.exposures.len();
        // An order lasts some seconds: the engine may have made another between two pages.
        if order.replace(answer.at_us).is_some_and(|before| before != answer.at_us) {
            super::note(&format!(
                "note: from row {} on this is another order, of {}: parties may be here twice, or not at \
                 all",
                skip + 1,
                time_text(Some(answer.at_us))
            ));
        }
        left.shown(shown);
        skip += u64::try_from(shown).expect("a page is small");
        let rows: Vec<Record> = answer.exposures.into_iter().map(record).collect();
        session
            .print_rows(&rows, &["party_id", "used", "unsettled", "credit_limit", "prefund"])
            .await?;
        if shown == 0 || skip >= answer.sorted {
            tell_unsorted(answer.total, answer.sorted);
            return Ok(());
        }
        if left.is_full() {
            page::tell_more("parties", "--skip", &skip.to_string());
            return Ok(());
        }
    }
}

/// Says on standard error how many parties are behind all that the engine sorts.
fn tell_unsorted(total: u64, sorted: u64) {
    if let Some(behind) = total.checked_sub(sorted).filter(|behind| *behind > 0) {
        super::note(&format!(
            "note: {behind} more parties of {total} are not shown: the engine sorts the {sorted} that are \
             nearest their limit"
        ));
    }
}

fn record(of: Exposure) -> Record {
    let used = used(&of);
    let money = |units: String| Cell::Money(units, of.asset);
    Record(vec![
        ("party_id", Cell::Party(of.party_id)),
        ("asset", Cell::Count(of.asset.into())),
        ("used", Cell::Text(used)),
        ("credit_limit", money(of.credit_limit)),
        ("prefund", money(of.prefund)),
        ("unsettled", money(of.unsettled)),
    ])
}

/// Per cent with two places, rounded down: who is at the limit has all of it. Whoever owes and may
/// owe nothing is beyond any share.
fn used(of: &Exposure) -> String {
    let units = |text: &str| text.parse::<u128>().unwrap_or(0);
    let most = units(&of.credit_limit).saturating_add(units(&of.prefund));
    let unsettled = units(&of.unsettled);
    let parts = match unsettled.checked_mul(10_000) {
        Some(times) => times.checked_div(most),
        None => unsettled.checked_div(most / 10_000),
    };
    match parts {
        Some(parts) => format!("{}.{:02} %", parts / 100, parts % 100),
        None if unsettled > 0 => "beyond".to_owned(),
        None => "0.00 %".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_rounded_down_and_who_may_owe_nothing_is_beyond_it() {
        let of = |credit_limit: &str, prefund: &str, unsettled: &str| {
            let [credit_limit, prefund, unsettled] =
                [credit_limit, prefund, unsettled].map(Into::into);
            used(&Exposure { credit_limit, prefund, unsettled, ..Exposure::default() })
        };
        assert_eq!(of("1000", "0", "930"), "93.00 %");
        assert_eq!(of("600", "400", "999"), "99.90 %");
        assert_eq!(of("3", "0", "2"), "66.66 %");
        assert_eq!(of("1", "0", "2"), "200.00 %");
        assert_eq!((of("0", "0", "2"), of("0", "0", "0")), ("beyond".into(), "0.00 %".into()));
        let most = u128::MAX.to_string();
        assert_eq!(of(&most, "0", &most), "100.00 %");
    }
}
