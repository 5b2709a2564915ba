//! Which code computes the predicate. All say the same of every signature; they differ in speed.

use std::fmt;
use std::str::FromStr;

/// How signatures are checked. Chosen once, at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Backend {
    /// Eight signatures at once in the lanes of AVX-512 IFMA, with tables per key.
    Lanes = 1,
    /// One after the other in plain 64-bit arithmetic, with tables per key.
    Portable = 2,
    /// `ed25519-dalek`'s `verify_strict`, one after the other, without tables.
    Reference = 3,
}

/// A backend that this machine cannot run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this CPU cannot run the `{0}` backend, which needs AVX-512 F, BW, DQ, IFMA and VBMI2; \
     choose `auto` or `portable`"
)]
pub struct Unavailable(pub Backend);

impl Backend {
    /// Every backend, fastest first.
    pub const ALL: [Self; 3] = [Self::Lanes, Self::Portable, Self::Reference];

    /// The fastest backend that this machine can run.
    #[must_use]
    pub fn detect() -> Self {
        if Self::Lanes.is_available() { Self::Lanes } else { Self::Portable }
    }

    /// Whether this machine can run it.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Lanes => crate::lanes::is_available(),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Lanes => false,
            Self::Portable | Self::Reference => true,
        }
    }

    /// Its name in settings, logs, status and benchmarks.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Lanes => "lanes",
            Self::Portable => "portable",
            Self::Reference => "reference",
        }
    }

    /// The same in a few words.
    #[must_use]
    pub fn description(self) -> &'static str {
        match self {
            Self::Lanes => "lanes (8 at once, AVX-512 IFMA)",
            Self::Portable => "portable (plain u64, tables per key)",
            Self::Reference => "reference (ed25519-dalek verify_strict)",
        }
    }

    pub(crate) fn from_number(number: u8) -> Self {
        let found = Self::ALL.into_iter().find(|backend| *backend as u8 == number);
        found.expect("only backends' own numbers are stored")
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Backend {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|backend| backend.name() == name);
        found.ok_or_else(|| format!("{name:?} is no backend; say lanes, portable or reference"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lead_back_to_their_backend() {
        for backend in Backend::ALL {
            assert_eq!(backend.name().parse(), Ok(backend));
            assert_eq!(Backend::from_number(backend as u8), backend);
        }
        assert!("fast".parse::<Backend>().unwrap_err().contains("lanes, portable or reference"));
    }
}
