//! `window`: closing windows and showing what is owed in them.

use super::client::Session;
use super::ids::Named;
use super::output::{Cell, Record};
use super::page::{self, PageArgs};
use super::{CliError, RequestArgs};
use crate::limits::PAGE_MAX;
use crate::types::PartyId;
use bytes::Bytes;
use clap::{Args, Subcommand};
use tallystick_proto::v1::{
    CloseWindowRequest, DisputeWindowRequest, EndDisputeRequest, GetWindowRequest,
    ListWindowsRequest, NetPosition, Obligation, Window, WindowAssetRequest, WindowTotals,
};

/// `tallystick window ...`
#[derive(Debug, Subcommand)]
pub enum WindowCommand {
    /// Close the open window; the next one opens at once
    #[command(after_help = "Example:\n  tallystick window close")]
    Close {
        #[command(flatten)]
        request: RequestArgs,
    },
    /// List windows, the newest first
    #[command(
        after_help = "Examples:\n  tallystick window list\n  tallystick window list --all --json"
    )]
    List {
        /// Only windows before this number
        #[arg(long, value_name = "N")]
        before: Option<u64>,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Show one window with its totals per asset
    #[command(after_help = "Example:\n  tallystick window show 3")]
    Show {
        /// The window's number
        #[arg(value_name = "WINDOW", value_parser = window_number)]
        window: u64,
    },
    /// Dispute a closed window: it cannot be batched, nor a batch of it approved
    #[command(
        after_help = "Example:\n  tallystick window dispute 3 --reason 'agent 8f31 was stolen'"
    )]
    Dispute {
        /// The window's number
        #[arg(value_name = "WINDOW", value_parser = window_number)]
        window: u64,
        /// Why, for the record
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        request: RequestArgs,
    },
    /// End the dispute of a window
    #[command(after_help = "Example:\n  tallystick window release 3 --reason 'the payer agreed'")]
    Release {
        /// The window's number
        #[arg(value_name = "WINDOW", value_parser = window_number)]
        window: u64,
        /// How it came out, for the record
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        request: RequestArgs,
    },
    /// List what each payer owes each payee
    #[command(
        after_help = "Examples:\n  tallystick window obligations 3 --asset 978 --net\n  tallystick window \
        obligations 3 --asset 978 --payee 7b00c3d1"
    )]
    Obligations {
        #[command(flatten)]
        of: OfWindow,
        /// Only what this party owes: its id, or its first 8 or more digits
        #[arg(long, value_name = "ID")]
        payer: Option<Named<PartyId>>,
        /// Only what this party is owed, likewise
        #[arg(long, value_name = "ID")]
        payee: Option<Named<PartyId>>,
        /// Set off per pair: one direction, one amount
        #[arg(long)]
        net: bool,
        #[command(flatten)]
        part: PartArgs,
    },
    /// List each party's net position: received minus sent
    #[command(after_help = "Example:\n  tallystick window positions 3 --asset 978")]
    Positions {
        #[command(flatten)]
        of: OfWindow,
        /// Only this party's: its id, or its first 8 or more digits
        #[arg(long, value_name = "ID", conflicts_with_all = ["limit", "skip"])]
        party: Option<Named<PartyId>>,
        #[command(flatten)]
        part: PartArgs,
    },
}

/// Which window, in which asset.
#[derive(Debug, Clone, Copy, Args)]
pub struct OfWindow {
    /// The window's number
    #[arg(value_name = "WINDOW", value_parser = window_number)]
    window: u64,
    /// The asset's number
    #[arg(long, value_name = "ASSET", value_parser = super::asset::asset_number)]
    asset: u32,
}

/// A part of such a list.
#[derive(Debug, Clone, Copy, Args)]
pub struct PartArgs {
    /// The largest amounts first, of positions whatever their sign [default: by ids]
    #[arg(long)]
    largest_first: bool,
    /// Show so many at most [default: all]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    limit: u32,
    /// Leave out so many first
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    skip: u64,
}

impl PartArgs {
    fn of(self, asked: WindowAssetRequest) -> WindowAssetRequest {
        let Self { largest_first, limit, skip } = self;
        WindowAssetRequest { largest_first, limit, skip, ..asked }
    }
}

impl OfWindow {
    fn request(self) -> WindowAssetRequest {
        WindowAssetRequest { window: self.window, asset: self.asset, ..Default::default() }
    }
}

/// Columns of a list of windows; the totals are in `show`.
const LIST_COLUMNS: [&str; 6] =
    ["number", "state", "cut_at_us", "first_lsn", "cut_lsn", "vouchers_credited"];

/// Runs `tallystick window ...`.
///
/// # Errors
/// When the call fails.
pub async fn run(session: &mut Session, command: WindowCommand) -> Result<(), CliError> {
    let mut operator = session.operator();
    match command {
        WindowCommand::Close { request } => {
            let request_id = request.id()?;
            let request = CloseWindowRequest { request_id: request_id.clone() };
            let answer = operator.close_window(request).await;
            let window = answer.map_err(|status| session.failed_change(status, &request_id))?;
            session.print(&window_record(window.into_inner())).await
        }
        WindowCommand::List { before, page } => list(session, before, page).await,
        WindowCommand::Show { window } => {
            let answer = operator.get_window(GetWindowRequest { number: window }).await;
            let window = answer.map_err(|status| session.failed(status))?.into_inner();
            session.print(&window_record(window)).await
        }
        WindowCommand::Dispute { window, reason, request } => {
            let request_id = request.id()?;
            let request =
                DisputeWindowRequest { request_id: request_id.clone(), number: window, reason };
            let answer = operator.dispute_window(request).await;
            let window = answer.map_err(|status| session.failed_change(status, &request_id))?;
            session.print(&window_record(window.into_inner())).await
        }
        WindowCommand::Release { window, reason, request } => {
            let request_id = request.id()?;
            let request =
                EndDisputeRequest { request_id: request_id.clone(), number: window, reason };
            let answer = operator.end_dispute(request).await;
            let window = answer.map_err(|status| session.failed_change(status, &request_id))?;
            session.print(&window_record(window.into_inner())).await
        }
        WindowCommand::Obligations { of, payer, payee, net, part } => {
            let (payer, payee) = (of_party(session, payer).await?, of_party(session, payee).await?);
            let of_pair = |party: &Option<Bytes>| party.clone().unwrap_or_default();
            let (payer, payee) = (of_pair(&payer), of_pair(&payee));
            let asked = part.of(WindowAssetRequest { payer, payee, ..of.request() });
            let answer = if net {
                operator.list_net_obligations(asked).await
            } else {
                operator.list_obligations(asked).await
            };
            let rows = answer.map_err(|status| session.failed(status))?.into_inner();
            let view = |owed| Some(obligation_record(owed));
            session.print_some(rows, &["payer", "payee", "amount"], view).await
        }
        WindowCommand::Positions { of, party, part } => {
            let party = of_party(session, party).await?;
            let answer = operator.list_net_positions(part.of(of.request())).await;
            let rows = answer.map_err(|status| session.failed(status))?.into_inner();
            let own = |position: &NetPosition| is_of(&party, &position.party_id);
            let view = |position| own(&position).then(|| position_record(position));
            session.print_some(rows, &["party_id", "amount"], view).await
        }
    }
}

/// The party that is asked for, if one is.
async fn of_party(
    session: &Session,
    party: Option<Named<PartyId>>,
) -> Result<Option<Bytes>, CliError> {
    match party {
        Some(party) => party.bytes(session).await.map(Some),
        None => Ok(None),
    }
}

/// Whether a row's party is the one that is asked for.
fn is_of(asked: &Option<Bytes>, party: &Bytes) -> bool {
    asked.as_ref().is_none_or(|asked| asked == party)
}

/// Reads the number of a window.
pub(super) fn window_number(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| {
        format!(
            "expected a window's number, like 3, got {text:?}; `tallystick window list` shows them, and several are \
             given as 1,2,3"
        )
    })
}

async fn list(session: &mut Session, before: Option<u64>, page: PageArgs) -> Result<(), CliError> {
    let (mut before, mut left) = (before.unwrap_or(0), page.begin());
    loop {
        let limit = left.ask(PAGE_MAX);
        let asked = ListWindowsRequest { limit, before, newest_first: true };
        let answer = session.operator().list_windows(asked).await;
        let mut rows = answer.map_err(|status| session.failed(status))?.into_inner();
        let mut found = Vec::new();
        while let Some(window) = rows.message().await.map_err(|status| session.failed(status))? {
            before = window.number;
            found.push(window_record(window));
        }
        left.shown(found.len());
        session.print_rows(&found, &LIST_COLUMNS).await?;
        // Windows count from 1.
        if found.is_empty() || before <= 1 {
            return Ok(());
        }
        if left.is_full() {
            page::tell_more("windows", "--before", &before.to_string());
            return Ok(());
        }
    }
}

fn window_record(window: Window) -> Record {
    let state = super::state_name(window.state().as_str_name(), "WINDOW_STATE_");
    Record(vec![
        ("number", Cell::Count(window.number)),
        ("state", Cell::Text(state)),
        ("dispute", Cell::Text(window.dispute)),
        ("cut_at_us", Cell::Micros(window.cut_at_us)),
        ("first_lsn", Cell::Count(window.first_lsn)),
        ("cut_lsn", Cell::Count(window.cut_lsn)),
        ("vouchers_credited", Cell::Count(window.vouchers_credited)),
        ("root", Cell::Hex(window.root)),
        ("archive_digest", Cell::Hex(window.archive_digest)),
        ("archive_bytes", Cell::Count(window.archive_bytes)),
        ("totals", Cell::Records(window.totals.into_iter().map(totals_record).collect())),
    ])
}

fn totals_record(totals: WindowTotals) -> Record {
    let asset = totals.asset;
    Record(vec![
        ("asset", Cell::Count(asset.into())),
        ("pairs", Cell::Count(totals.pairs)),
        ("gross", Cell::Money(totals.gross, asset)),
        ("carried_in", Cell::Money(totals.carried_in, asset)),
        ("net_pairs", Cell::Count(totals.net_pairs)),
        ("net_bilateral", Cell::Money(totals.net_bilateral, asset)),
        ("positions", Cell::Count(totals.positions)),
        ("net_multilateral", Cell::Money(totals.net_multilateral, asset)),
    ])
}

fn obligation_record(obligation: Obligation) -> Record {
    let asset = obligation.asset;
    Record(vec![
        ("payer", Cell::Party(obligation.payer)),
        ("payee", Cell::Party(obligation.payee)),
        ("asset", Cell::Count(asset.into())),
        ("amount", Cell::Money(obligation.amount, asset)),
    ])
}

fn position_record(position: NetPosition) -> Record {
    let asset = position.asset;
    Record(vec![
        ("party_id", Cell::Party(position.party_id)),
        ("asset", Cell::Count(asset.into())),
        ("amount", Cell::Money(position.amount, asset)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use tallystick_proto::v1::WindowState;

    #[test]
    fn a_window_in_json_has_its_state_in_words_and_its_sums_as_strings() {
        let totals = WindowTotals { asset: 978, pairs: 2, gross: "9".into(), ..Default::default() };
        let window = Window {
            number: 3,
            state: WindowState::Closed.into(),
            cut_at_us: 5,
            root: vec![0xaa; 2].into(),
            totals: vec![totals],
            ..Default::default()
        };
        let json = window_record(window).json();
        assert_eq!((&json["state"], &json["root"]), (&"closed".into(), &"aaaa".into()));
        assert_eq!((&json["cut_at_us"], &json["number"]), (&5.into(), &3.into()));
        assert_eq!(json["totals"][0]["gross"], "9");
        assert_eq!(json["totals"][0]["pairs"], 2);
    }
}
