//! Findings in words, and how much each weighs. Owns no rule about where a leg moves.

use super::{Finding, Place, Said, Sum, Weight};
use crate::leg::LegState;
use crate::types::Total;

impl Finding {
    /// Whether a person must act on it, and as what. `state` is where the leg stood.
    #[must_use]
    pub fn weight(&self, state: LegState) -> Weight {
        match self {
            Self::Beside(_) | Self::CameBack { .. } => Weight::Remark,
            Self::NoSum(_) | Self::OtherSum(_) | Self::OtherSide(_) | Self::OtherPlace(_) => {
                Weight::Misfit
            }
            Self::Surplus(_) => Weight::Surplus,
            // What was taken on, or has ended, stays so; of what nobody has answered yet a person
            // must ask.
            Self::Duplicate(_) => match state {
                LegState::Sent | LegState::Unknown => Weight::Contradiction,
                LegState::Ready
                | LegState::Accepted
                | LegState::Confirmed
                | LegState::Rejected
                | LegState::Returned => Weight::Remark,
            },
            Self::NotLeft(_) | Self::AtOdds(_) | Self::TooLate(_) => Weight::Contradiction,
        }
    }

    /// What a person reads: about the leg with this key, which stood at `state`. `scale` is the
    /// asset's.
    #[must_use]
    pub fn text(&self, key: &str, state: LegState, amount: Total, scale: u32) -> String {
        let own = amount.decimal(scale);
        let name = state.name();
        let said = |said: &Said| said.text(scale);
        match self {
            Self::NoSum(one) => format!(
                "leg {key} of {own}: the rail says {} and names no sum for it; nothing moved, see what \
                 the entry is and move the leg by hand",
                said(one)
            ),
            Self::OtherSum(one) => format!(
                "leg {key} is of {own}, and the rail says {}: nothing moved, find out what happened",
                said(one)
            ),
            Self::Beside(one) => {
                format!("leg {key} is of {own}; beside it: {}, mostly a fee for it", said(one))
            }
            Self::OtherSide(one) => format!(
                "leg {key} of {own} is {name}, and the rail reports the opposite movement, {}: a return \
                 that is not marked as one, a reversal that came back, or another account's file; nothing \
                 moved, see the entry and move the leg by hand",
                said(one)
            ),
            Self::OtherPlace(one) => format!(
                "leg {key} of {own}: the rail says {}, and that is not where its money moves; nothing \
                 moved, find out what the money is for",
                said(one)
            ),
            Self::Duplicate(one) => format!(
                "leg {key} is {name}, and the rail refuses it as handed in before ({}): that is about a \
                 second copy, and nothing moved; ask the rail what became of the first",
                said(one)
            ),
            Self::NotLeft(one) => format!(
                "leg {key} is {name} and has not left, and the rail says {}: nothing moved, find out what \
                 the rail has",
                said(one)
            ),
            Self::AtOdds(all) => {
                let all: Vec<String> = all.iter().map(|one| one.text(scale)).collect();
                format!(
                    "the answer contradicts itself about leg {key}, which was {name}: {}; ask the rail",
                    all.join(", and ")
                )
            }
            Self::TooLate(one) => format!(
                "leg {key} of {own} is {name}, and the rail says {}: nothing moved, find out what happened",
                said(one)
            ),
            Self::Surplus(one) => format!(
                "money for leg {key} of {own} moved once more: {}; see whether the rail did it twice, and \
                 claim it back or give it back",
                said(one)
            ),
            Self::CameBack { said: one, went, came } => format!(
                "leg {key} of {own}: the rail says {}; its money went {went} times and came back {came} \
                 times, and it is paid as long as it went more often",
                said(one)
            ),
        }
    }
}

impl Said {
    fn text(&self, scale: u32) -> String {
        let mut text = self.word.name().to_owned();
        match &self.sum {
            Sum::Unsaid => {}
            Sum::Units(units) => text.push_str(&format!(" {}", units.decimal(scale))),
            Sum::Alien(written) => text.push_str(&format!(" {written}")),
        }
        match &self.place {
            Place::Unsaid | Place::Ours => {}
            Place::Other(other) => text.push_str(&format!(" on {other}")),
        }
        let more = [self.reference.as_str(), self.reason.as_str()];
        let more: Vec<&str> = more.into_iter().filter(|text| !text.is_empty()).collect();
        if !more.is_empty() {
            text.push_str(&format!(" ({})", more.join(": ")));
        }
        text
    }
}
