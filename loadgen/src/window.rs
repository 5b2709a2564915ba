//! After the vouchers: closes the window, reads what the engine sealed and compares it with our
//! books.

use crate::books::{Books, Differences, Pair, PartyId, Totals, hex, pair_name};
use crate::error::Error;
use crate::setup::Clients;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tallystick_proto::v1::{
    CloseWindowRequest, GetWindowRequest, Obligation, Window, WindowAssetRequest, WindowState,
};

/// How long sealing may take before we give up.
const SEALING_MAX: Duration = Duration::from_secs(120);
/// How often we look whether a window is sealed.
const SEALING_LOOK: Duration = Duration::from_millis(20);

/// What the engine sealed, summed over the windows of the run.
#[derive(Debug, Default)]
pub struct Sealed {
    /// The windows themselves.
    pub windows: Vec<Window>,
    obligations: BTreeMap<Pair, u128>,
    net_obligations: BTreeMap<Pair, u128>,
    positions: BTreeMap<PartyId, i128>,
}

impl Clients {
    /// Closes the open window and waits until it is sealed. `tag` and the window's number make the
    /// request id.
    ///
    /// # Errors
    /// When a call fails or sealing takes too long.
    pub async fn close_window(&mut self, tag: &str, open: u64) -> Result<Window, Error> {
        let request = CloseWindowRequest { request_id: format!("loadgen-{tag}-close-{open}") };
        let answer = self.operator.close_window(request).await;
        let window = answer.map_err(|status| Error::call("CloseWindow", &status))?.into_inner();
        self.sealed_window(window.number).await
    }

    /// A closed window with its root.
    async fn sealed_window(&mut self, number: u64) -> Result<Window, Error> {
        let started = Instant::now();
        loop {
            let answer = self.operator.get_window(GetWindowRequest { number }).await;
            let window = answer.map_err(|status| Error::call("GetWindow", &status))?.into_inner();
            if !window.root.is_empty() && window.state() != WindowState::Open {
                return Ok(window);
            }
            if started.elapsed() > SEALING_MAX {
                let seconds = SEALING_MAX.as_secs();
                return Err(Error::Engine(format!(
                    "window {number} has no root {seconds} s after its close; see the engine's log"
                )));
            }
            tokio::time::sleep(SEALING_LOOK).await;
        }
    }

    /// Everything that the engine sealed in the windows `first` to `last`.
    ///
    /// # Errors
    /// When a call fails or an answer is malformed.
    pub async fn sealed(&mut self, first: u64, last: u64, asset: u32) -> Result<Sealed, Error> {
        let mut sealed = Sealed::default();
        for number in first..=last {
            sealed.windows.push(self.sealed_window(number).await?);
            let request = WindowAssetRequest { window: number, asset, ..Default::default() };
            self.add_obligations(request.clone(), &mut sealed.obligations).await?;
            self.add_net_obligations(request.clone(), &mut sealed.net_obligations).await?;
            self.add_positions(request, &mut sealed.positions).await?;
        }
        sealed.positions.retain(|_, net| *net != 0);
        Ok(sealed)
    }

    async fn add_obligations(
        &mut self,
        request: WindowAssetRequest,
        sums: &mut BTreeMap<Pair, u128>,
    ) -> Result<(), Error> {
        let failed = |status: tonic::Status| Error::call("ListObligations", &status);
        let answer = self.operator.list_obligations(request.clone()).await;
        let mut list = answer.map_err(failed)?.into_inner();
        let mut last = None;
        while let Some(obligation) = list.message().await.map_err(failed)? {
            let (pair, amount) = read(&obligation, request.asset)?;
            if last.replace(pair).is_some_and(|last| last >= pair) {
                return Err(malformed("ListObligations is not ordered by (payer, payee)"));
            }
            *sums.entry(pair).or_default() += amount;
        }
        Ok(())
    }

    async fn add_net_obligations(
        &mut self,
        request: WindowAssetRequest,
        sums: &mut BTreeMap<Pair, u128>,
    ) -> Result<(), Error> {
        let failed = |status: tonic::Status| Error::call("ListNetObligations", &status);
        let answer = self.operator.list_net_obligations(request.clone()).await;
        let mut list = answer.map_err(failed)?.into_inner();
        while let Some(obligation) = list.message().await.map_err(failed)? {
            let (pair, amount) = read(&obligation, request.asset)?;
            *sums.entry(pair).or_default() += amount;
        }
        Ok(())
    }

    async fn add_positions(
        &mut self,
        request: WindowAssetRequest,
        sums: &mut BTreeMap<PartyId, i128>,
    ) -> Result<(), Error> {
        let failed = |status: tonic::Status| Error::call("ListNetPositions", &status);
        let answer = self.operator.list_net_positions(request).await;
        let mut list = answer.map_err(failed)?.into_inner();
        while let Some(position) = list.message().await.map_err(failed)? {
            let net: i128 = number(&position.amount)?;
            *sums.entry(party_id(&position.party_id)?).or_default() += net;
        }
        Ok(())
    }
}

impl Sealed {
    /// Sum of all positions; zero, or money appeared or vanished.
    #[must_use]
    pub fn positions_sum(&self) -> i128 {
        self.positions.values().sum()
    }

    /// Whether earlier batches left something for these windows: then nets and positions hold more
    /// than this run's vouchers.
    #[must_use]
    pub fn carried_in(&self, asset: u32) -> bool {
        let totals = self.windows.iter().flat_map(|window| &window.totals);
        totals
            .filter(|totals| totals.asset == asset)
            .any(|totals| !matches!(totals.carried_in.as_str(), "" | "0"))
    }

    /// Compares everything with our books.
    ///
    /// # Errors
    /// When a figure of the engine is not a number.
    pub fn compare(
        &self,
        books: &Books,
        asset: u32,
        differences: &mut Differences,
    ) -> Result<(), Error> {
        // The few figures first: they tell what kind of difference it is, before the many pairs.
        let credited = self.windows.iter().map(|window| window.vouchers_credited).sum();
        differences.figure("vouchers credited in the window", books.credited, credited);
        differences.figure("sum of the net positions", 0, self.positions_sum());
        let carried_in = self.carried_in(asset);
        if let [window] = self.windows.as_slice()
            && !carried_in
        {
            self.compare_totals(&books.totals(), window, asset, differences)?;
        }
        differences.sums(&books.pairs, &self.obligations, pair_name);
        if carried_in {
            return Ok(());
        }
        let position_name = |party: &PartyId| format!("position {}", hex(party));
        differences.sums(&books.positions(), &self.positions, position_name);
        if self.windows.len() == 1 {
            // Nets of several windows do not add up to the net of all.
            let net_name = |pair: &Pair| format!("net {}", pair_name(pair));
            differences.sums(&books.net_pairs(), &self.net_obligations, net_name);
        }
        Ok(())
    }

    fn compare_totals(
        &self,
        ours: &Totals,
        window: &Window,
        asset: u32,
        differences: &mut Differences,
    ) -> Result<(), Error> {
        let Some(engine) = window.totals.iter().find(|totals| totals.asset == asset) else {
            if ours.pairs > 0 {
                differences.add(|| format!("totals of asset {asset}: the engine has none"));
            }
            return Ok(());
        };
        differences.figure("pairs", ours.pairs, engine.pairs);
        differences.figure("gross", ours.gross, number(&engine.gross)?);
        differences.figure("net pairs", ours.net_pairs, engine.net_pairs);
        differences.figure("bilateral net", ours.net_bilateral, number(&engine.net_bilateral)?);
        differences.figure("positions", ours.positions, engine.positions);
        let multilateral = number(&engine.net_multilateral)?;
        differences.figure("multilateral net", ours.net_multilateral, multilateral);
        Ok(())
    }
}

fn read(obligation: &Obligation, asset: u32) -> Result<(Pair, u128), Error> {
    if obligation.asset != asset {
        return Err(malformed("an obligation is in another asset than was asked for"));
    }
    let pair = (party_id(&obligation.payer)?, party_id(&obligation.payee)?);
    Ok((pair, number(&obligation.amount)?))
}

/// A party's id from an answer.
///
/// # Errors
/// When it is not 32 bytes long.
pub fn party_id(bytes: &[u8]) -> Result<PartyId, Error> {
    bytes.try_into().map_err(|_| malformed("a party id is not 32 bytes long"))
}

/// A decimal sum from an answer.
///
/// # Errors
/// When it is not a number.
pub fn number<T: std::str::FromStr>(text: &str) -> Result<T, Error> {
    text.parse().map_err(|_| malformed(&format!("{text:?} is not a sum")))
}

fn malformed(what: &str) -> Error {
    Error::Engine(format!("the engine's answer is malformed: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tallystick_proto::v1::WindowTotals;

    fn books() -> Books {
        let pairs = BTreeMap::from([(([1; 32], [2; 32]), 50), (([2; 32], [1; 32]), 20)]);
        Books { pairs, credited: 9 }
    }

    fn sealed() -> Sealed {
        let totals = WindowTotals {
            asset: 978,
            pairs: 2,
            gross: "70".into(),
            net_pairs: 1,
            net_bilateral: "30".into(),
            positions: 2,
            net_multilateral: "30".into(),
            carried_in: "0".into(),
        };
        Sealed {
            windows: vec![Window {
                vouchers_credited: 9,
                totals: vec![totals],
                ..Window::default()
            }],
            obligations: books().pairs,
            net_obligations: BTreeMap::from([(([1; 32], [2; 32]), 30)]),
            positions: BTreeMap::from([([1; 32], -30), ([2; 32], 30)]),
        }
    }

    fn compare(sealed: &Sealed) -> Differences {
        let mut differences = Differences::default();
        sealed.compare(&books(), 978, &mut differences).unwrap();
        differences
    }

    #[test]
    fn equal_books_have_no_difference() {
        assert_eq!(compare(&sealed()), Differences::default());
    }

    #[test]
    fn every_figure_of_the_engine_is_compared() {
        let tampered: [fn(&mut Sealed); 11] = [
            |s| *s.obligations.values_mut().next().unwrap() += 1,
            |s| *s.net_obligations.values_mut().next().unwrap() += 1,
            |s| *s.positions.values_mut().next().unwrap() += 1,
            |s| s.windows[0].vouchers_credited += 1,
            |s| s.windows[0].totals[0].pairs += 1,
            |s| s.windows[0].totals[0].gross = "71".into(),
            |s| s.windows[0].totals[0].net_pairs += 1,
            |s| s.windows[0].totals[0].net_bilateral = "31".into(),
            |s| s.windows[0].totals[0].positions += 1,
            |s| s.windows[0].totals[0].net_multilateral = "31".into(),
            |s| s.windows[0].totals.clear(),
        ];
        for (number, tamper) in tampered.into_iter().enumerate() {
            let mut sealed = sealed();
            tamper(&mut sealed);
            assert!(!compare(&sealed).none(), "case {number}");
        }
    }

    #[test]
    fn what_was_carried_in_is_not_held_against_the_nets() {
        let mut sealed = sealed();
        sealed.windows[0].totals[0].carried_in = "4".into();
        sealed.positions = BTreeMap::from([([1; 32], -34), ([2; 32], 30), ([0; 32], 4)]);
        assert!(compare(&sealed).none());
        sealed.positions.insert([0; 32], 5);
        assert!(!compare(&sealed).none());
    }
}
