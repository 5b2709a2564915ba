//! Figures as people read them: thousands apart, money with its scale, times with their unit.
//! Integers only; knows nothing of what the figures mean.

/// `1234567` as `1,234,567`.
#[must_use]
pub fn count(number: impl Into<u128>) -> String {
    let digits = number.into().to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Asset units as a decimal number: `1234567` with scale 6 is `1.234567`.
#[must_use]
pub fn money(units: u128, scale: u32) -> String {
    match 10u128.checked_pow(scale) {
        None | Some(1) => count(units),
        Some(whole) => {
            let places = usize::try_from(scale).expect("a scale is small");
            format!("{}.{:0places$}", count(units / whole), units % whole)
        }
    }
}

/// Microseconds with the unit that suits them.
#[must_use]
pub fn micros(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} us"),
        1_000..1_000_000 => format!("{}.{:02} ms", us / 1_000, us % 1_000 / 10),
        _ => format!("{}.{:03} s", us / 1_000_000, us % 1_000_000 / 1_000),
    }
}

/// How much smaller `after` is than `before`: `-90.1 %`.
#[must_use]
pub fn shrink(before: u128, after: u128) -> String {
    let permille = before.saturating_sub(after).saturating_mul(1_000) / before.max(1);
    match permille {
        0 => "0.0 %".into(),
        _ => format!("-{}.{} %", permille / 10, permille % 10),
    }
}

/// Lines of a label and a text, the texts below each other.
#[derive(Default)]
pub struct Lines {
    out: String,
}

impl Lines {
    /// A heading.
    pub fn title(&mut self, text: &str) {
        if !self.out.is_empty() {
            self.out.push('\n');
        }
        self.plain(text);
    }

    /// A line on its own.
    pub fn plain(&mut self, text: &str) {
        self.out.push_str(text.trim_end());
        self.out.push('\n');
    }

    /// A label and what it says.
    pub fn line(&mut self, label: &str, text: impl AsRef<str>) {
        self.plain(&format!("  {label:<16}{}", text.as_ref()));
    }

    /// Something that was checked.
    pub fn check(&mut self, holds: bool, text: impl AsRef<str>) {
        let mark = if holds { '\u{2713}' } else { '\u{2717}' };
        self.plain(&format!("  {mark} {}", text.as_ref()));
    }

    /// All of it.
    #[must_use]
    pub fn finish(self) -> String {
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_readable() {
        assert_eq!(count(0u64), "0");
        assert_eq!(count(999u64), "999");
        assert_eq!(count(1_000u64), "1,000");
        assert_eq!(count(1_234_567u64), "1,234,567");
        assert_eq!(money(1_234_567, 6), "1.234567");
        assert_eq!(money(5, 6), "0.000005");
        assert_eq!(money(1_234_567, 0), "1,234,567");
        assert_eq!(money(1_234_567_890, 2), "12,345,678.90");
        assert_eq!(micros(999), "999 us");
        assert_eq!(micros(1_239), "1.23 ms");
        assert_eq!(micros(12_345_678), "12.345 s");
        assert_eq!(shrink(1_000, 99), "-90.1 %");
        assert_eq!(shrink(1_000, 1_000), "0.0 %");
        assert_eq!(shrink(0, 0), "0.0 %");
    }
}
