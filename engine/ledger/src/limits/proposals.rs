//! Limits of what one proposes and another confirms.

use super::{OPERATOR_NAME_BYTES_MAX, OPERATORS_MAX, RECORD_BYTES_MAX};
use std::time::Duration;

/// How long a proposal may be confirmed: what is proposed on a Friday evening finds somebody on
/// Monday. What waits for longer is looked at anew.
pub const PROPOSAL_LIFE: Duration = Duration::from_hours(72);
/// Proposals that may be open, some kilobytes each with the accounts of a party: an import of
/// accounts that a desk can look through in three days.
pub const PROPOSALS_MAX: usize = 4_096;
/// Proposals of one person that may be open: one alone leaves room for the others.
pub const PROPOSALS_OF_ONE_MAX: usize = 1_024;
const _: () = assert!(PROPOSALS_OF_ONE_MAX * 2 <= PROPOSALS_MAX);
const _: () = assert!(OPERATORS_MAX * (OPERATOR_NAME_BYTES_MAX + 16) + 1_024 <= RECORD_BYTES_MAX);
