//! Which code computes the predicate. All say the same of every signature; they differ in speed.

use std::fmt;
use std::str::FromStr;

/// How signatures are checked. Chosen once, at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Backend {
    /// Eight signatures at once in the lanes of AVX-512 IFMA, with tables per key.
    Lanes = 1,
    /// Eight signatures at once in pairs of AVX2 registers, with tables per key.
    Avx2 = 4,
    /// One after the other in plain 64-bit arithmetic, with tables per key.
    Portable = 2,
    /// `ed25519-dalek`'s `verify_strict`, one after the other, without tables.
    Reference = 3,
}

/// A backend that this machine cannot run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this CPU cannot run the `{0}` backend, which needs {needs}; choose `auto` or `portable`",
    needs = .0.needs()
)]
pub struct Unavailable(pub Backend);

impl Backend {
    /// Every backend, fastest first.
    pub const ALL: [Self; 4] = [Self::Lanes, Self::Avx2, Self::Portable, Self::Reference];

    /// The fastest backend that this machine can run.
    #[must_use]
    pub fn detect() -> Self {
        let fastest = Self::ALL.into_iter().find(|backend| backend.is_available());
        fastest.expect("two of them run everywhere")
    }

    /// Whether this machine can run it.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Lanes => crate::lanes::is_available(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => crate::avx2::is_available(),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Lanes | Self::Avx2 => false,
            Self::Portable | Self::Reference => true,
        }
    }

    /// Its name in settings, logs, status and benchmarks.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Lanes => "lanes",
            Self::Avx2 => "avx2",
            Self::Portable => "portable",
            Self::Reference => "reference",
        }
    }

    /// The same in a few words.
    #[must_use]
    pub fn description(self) -> &'static str {
        match self {
            Self::Lanes => "lanes (8 at once, AVX-512 IFMA)",
            Self::Avx2 => "avx2 (8 at once in halves, AVX2)",
            Self::Portable => "portable (plain u64, tables per key)",
            Self::Reference => "reference (ed25519-dalek verify_strict)",
        }
    }

    /// The instructions without which it does not run.
    fn needs(self) -> &'static str {
        match self {
            Self::Lanes => "AVX-512 F, BW, DQ, IFMA and VBMI2",
            Self::Avx2 => "AVX2",
            Self::Portable | Self::Reference => "nothing",
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
        found.ok_or_else(|| {
            format!("{name:?} is no backend; say lanes, avx2, portable or reference")
        })
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
        assert!(
            "fast".parse::<Backend>().unwrap_err().contains("lanes, avx2, portable or reference")
        );
    }

    #[test]
    fn a_missing_backend_says_what_it_needs() {
        assert!(
            Unavailable(Backend::Lanes)
                .to_string()
                .contains("`lanes` backend, which needs AVX-512 F")
        );
        assert!(
            Unavailable(Backend::Avx2).to_string().contains("`avx2` backend, which needs AVX2;")
        );
    }
}
