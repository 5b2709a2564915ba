//! Answers of the rails that work with files, whatever their format: read whole, then asked about one file
//! that was sent after the other.
//!
//! Owns how what a rail says is matched with the legs of a file. Never decides whether a leg moves.

use super::{LegReport, Part, iso20022, nacha};
use crate::ledger::{BatchContent, Rail};
use std::collections::HashMap;

/// One answer, read.
pub struct Answer {
    of: Of,
    notes: Vec<String>,
}

enum Of {
    Iso20022(Vec<Open<iso20022::Report>>),
    Nacha(Vec<Open<LegReport>>),
}

/// What is said, and whether a file was found that it is about.
struct Open<T> {
    said: T,
    found: bool,
}

impl Answer {
    /// Reads an answer whole. `batches` are those that it may be about.
    ///
    /// # Errors
    /// A text that says what is wrong with it, and where.
    pub fn read<'a>(
        rail: Rail,
        bytes: &[u8],
        batches: impl Iterator<Item = &'a std::sync::Arc<BatchContent>>,
    ) -> Result<Self, String> {
        let mut notes = Vec::new();
        let of = match rail {
            Rail::Iso20022 => {
                let answer = iso20022::read(bytes).map_err(|error| error.to_string())?;
                notes.extend(answer.summary.notes.iter().map(|note| format!("{note:?}")));
                Of::Iso20022(answer.reports.into_iter().map(open).collect())
            }
            Rail::Nacha => {
                let mut scales = HashMap::new();
                for content in batches {
                    let ids = content.legs.iter().map(|leg| nacha::rail_id(&leg.key));
                    scales.extend(ids.map(|id| (id, content.head.asset.scale)));
                }
                let scale = |id: &str| scales.get(id).copied();
                let answer = nacha::read(bytes, &scale).map_err(|error| error.to_string())?;
                notes.extend(answer.notes.iter().map(nacha_note));
                Of::Nacha(answer.reports.into_iter().map(open).collect())
            }
            Rail::Card | Rail::Evm => return Err("this rail answers calls, not with files".into()),
        };
        Ok(Self { of, notes })
    }

    /// Tells what it says of the legs of one file, by their place in it.
    pub fn about(&mut self, part: &Part, tell: &mut dyn FnMut(usize, LegReport)) {
        let places: HashMap<String, usize> = match &self.of {
            Of::Iso20022(_) => by(part, str::to_owned),
            Of::Nacha(_) => by(part, nacha::rail_id),
        };
        match &mut self.of {
            Of::Iso20022(reports) => {
                let mut legs = iso20022::Legs::new(part.content(), part.number());
                for report in reports {
                    let told = legs.take(&report.said, &mut |leg| {
                        if let Some(place) = places.get(&leg.key) {
                            tell(*place, leg);
                        }
                    });
                    match told {
                        Ok(told) => report.found |= told > 0,
                        Err(misfit) => {
                            report.found = true;
                            self.notes.push(misfit.to_string());
                        }
                    }
                }
            }
            Of::Nacha(reports) => {
                for report in reports.iter_mut().filter(|report| !report.found) {
                    if let Some(place) = places.get(&report.said.key) {
                        report.found = true;
                        tell(*place, report.said.clone());
                    }
                }
            }
        }
    }

    /// What a person should see, also of legs that nobody knows.
    pub fn notes(&self) -> impl Iterator<Item = String> + '_ {
        let unknown: Vec<String> = match &self.of {
            Of::Iso20022(reports) => {
                let open = reports.iter().filter(|report| !report.found);
                open.map(|report| format!("nothing is known of {:?}", report.said.scope)).collect()
            }
            Of::Nacha(reports) => {
                let open = reports.iter().filter(|report| !report.found);
                open.map(|report| format!("nothing is known of entry {}", report.said.key))
                    .collect()
            }
        };
        self.notes.iter().cloned().chain(unknown)
    }
}

fn nacha_note(note: &nacha::Note) -> String {
    let nacha::Note { kind, line, id, code, text, .. } = note;
    format!("line {line}: {kind:?} {code} for entry {id}: {text}")
}

fn open<T>(said: T) -> Open<T> {
    Open { said, found: false }
}

fn by(part: &Part, name: impl Fn(&str) -> String) -> HashMap<String, usize> {
    part.content().legs.iter().enumerate().map(|(place, leg)| (name(&leg.key), place)).collect()
}
