//! Lists by the page: how many entries a command shows, and what it says when there are more.

use clap::Args;

/// Entries that are shown if nothing is said: some screens.
const SHOWN: u32 = 100;

/// How much of a list is shown.
#[derive(Debug, Clone, Copy, Args)]
pub struct PageArgs {
    /// Show so many at most
    #[arg(long, value_name = "N", default_value_t = SHOWN, conflicts_with = "all",
        value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Show all there are
    #[arg(long)]
    all: bool,
}

/// How many are still to be shown.
#[derive(Debug, Clone, Copy)]
pub struct Left(Option<u32>);

impl PageArgs {
    /// Before the first is shown.
    #[must_use]
    pub fn begin(self) -> Left {
        Left((!self.all).then_some(self.limit))
    }
}

impl Left {
    /// How many to ask for next: as many as are left, and no more than `most`.
    #[must_use]
    pub fn ask(self, most: usize) -> u32 {
        let most = u32::try_from(most).expect("a page is small");
        self.0.map_or(most, |left| left.min(most))
    }

    /// Takes note that so many were shown.
    pub fn shown(&mut self, count: usize) {
        let count = u32::try_from(count).expect("a page is small");
        self.0 = self.0.map(|left| left.saturating_sub(count));
    }

    /// Whether all are shown that were asked for.
    #[must_use]
    pub fn is_full(self) -> bool {
        self.0 == Some(0)
    }
}

/// Says on standard error that there are more, and how they are seen.
pub fn tell_more(what: &str, option: &str, at: &str) {
    super::note(&format!("note: there are more {what}: {option} {at} shows the next, --all all"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_asks_for_what_is_left_and_all_for_whole_pages() {
        let mut left = PageArgs { limit: 600, all: false }.begin();
        assert_eq!((left.ask(500), left.is_full()), (500, false));
        left.shown(500);
        assert_eq!((left.ask(500), left.is_full()), (100, false));
        left.shown(100);
        assert!(left.is_full());
        let mut all = PageArgs { limit: 1, all: true }.begin();
        all.shown(500);
        assert_eq!((all.ask(500), all.is_full()), (500, false));
    }
}
