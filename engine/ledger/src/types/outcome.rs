//! What became of one voucher: the bytes of an ack. The numbers are those of `Outcome` in the
//! proto.

/// Answer to one voucher. The discriminants are on the wire for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Outcome {
    /// Raised the channel's total; the difference is now owed.
    Credited = 1,
    /// Valid or not, it changes nothing: the total is already at or above it.
    Stale = 2,
    /// Reserved bytes are not zero, or a field of a structured voucher has the wrong length.
    Malformed = 16,
    /// The signature is not valid under RFC 8032, strictly.
    BadSignature = 17,
    /// The key is not registered.
    UnknownSigner = 18,
    /// The key was revoked.
    RevokedSigner = 19,
    /// The payee is not registered.
    UnknownPayee = 20,
    /// The asset is not registered.
    UnknownAsset = 21,
    /// The signer's party is the payee.
    SelfPayment = 22,
    /// `expires_at` is not after the record's timestamp.
    Expired = 23,
    /// `expires_at` is further away than the network allows.
    LifetimeTooLong = 24,
    /// The key would credit more than its own cap.
    OverSignerCap = 25,
    /// The party would owe more than its credit limit and prefund, or than any party may.
    OverLimit = 26,
    /// The payer or the payee is suspended.
    SuspendedParty = 27,
    /// The channel would be a new one, and the key or its party has as many live ones as it may.
    TooManyChannels = 28,
    /// The key would credit more than a budget of it that never begins anew.
    OverTotalBudget = 29,
    /// The key would credit more than a budget of it for this month.
    OverMonthBudget = 30,
    /// The key would credit more than a budget of it for this day.
    OverDayBudget = 31,
    /// The key would credit more than a budget of it for this hour.
    OverHourBudget = 32,
    /// The payer or the payee is not in the scope of who sent it.
    OutOfScope = 33,
    /// It does not raise the channel's total by the amount that was asked for.
    WrongAmount = 34,
}

impl Outcome {
    /// Every outcome, in the order of their numbers.
    pub const ALL: [Self; 21] = [
        Self::Credited,
        Self::Stale,
        Self::Malformed,
        Self::BadSignature,
        Self::UnknownSigner,
        Self::RevokedSigner,
        Self::UnknownPayee,
        Self::UnknownAsset,
        Self::SelfPayment,
        Self::Expired,
        Self::LifetimeTooLong,
        Self::OverSignerCap,
        Self::OverLimit,
        Self::SuspendedParty,
        Self::TooManyChannels,
        Self::OverTotalBudget,
        Self::OverMonthBudget,
        Self::OverDayBudget,
        Self::OverHourBudget,
        Self::OutOfScope,
        Self::WrongAmount,
    ];

    /// Its name in metrics: that of the wire contract, in small letters.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Credited => "credited",
            Self::Stale => "stale",
            Self::Malformed => "malformed",
            Self::BadSignature => "bad_signature",
            Self::UnknownSigner => "unknown_signer",
            Self::RevokedSigner => "revoked_signer",
            Self::UnknownPayee => "unknown_payee",
            Self::UnknownAsset => "unknown_asset",
            Self::SelfPayment => "self_payment",
            Self::Expired => "expired",
            Self::LifetimeTooLong => "lifetime_too_long",
            Self::OverSignerCap => "over_signer_cap",
            Self::OverLimit => "over_limit",
            Self::SuspendedParty => "suspended_party",
            Self::TooManyChannels => "too_many_channels",
            Self::OverTotalBudget => "over_total_budget",
            Self::OverMonthBudget => "over_month_budget",
            Self::OverDayBudget => "over_day_budget",
            Self::OverHourBudget => "over_hour_budget",
            Self::OutOfScope => "out_of_scope",
            Self::WrongAmount => "wrong_amount",
        }
    }

    /// The byte in an ack.
    #[must_use]
    pub fn byte(self) -> u8 {
        self as u8
    }

    /// Reads the byte of an ack; `None` when no outcome has it.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.byte() == byte)
    }

    /// Whether this is a reject (neither credited nor stale).
    #[must_use]
    pub fn is_reject(self) -> bool {
        self.byte() >= Self::Malformed.byte()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcome_bytes_are_read_back() {
        for outcome in Outcome::ALL {
            assert_eq!(Outcome::from_byte(outcome.byte()), Some(outcome));
        }
        assert_eq!(Outcome::from_byte(0), None);
        assert_eq!(Outcome::from_byte(35), None);
    }
}
