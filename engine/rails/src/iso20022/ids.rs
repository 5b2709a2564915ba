//! The ids that a bank file carries and the bank's answers quote.
//!
//! Owns their form: MsgId, PmtInfId, EndToEndId. The writer and the readers have them from here, so
//! that what leaves is what is recognised.

use crate::Sent;
use tallystick_ledger::types::BatchId;

/// Hexadecimal digits of the batch id in a MsgId.
const MESSAGE_DIGITS: usize = 32;
/// Hexadecimal digits of the batch id in a PmtInfId.
const BLOCK_DIGITS: usize = 24;
/// Characters of a leg's key.
const KEY_CHARS: usize = 32;

/// Hexadecimal digits of the batch id in the ids of its second file and all later ones, which also
/// hold the file's number.
const LATER_MESSAGE_DIGITS: usize = 24;
const LATER_BLOCK_DIGITS: usize = 16;

/// The ids of one file, which has a number in its batch, from 0.
pub struct Ids {
    batch: String,
    number: u32,
}

impl Ids {
    /// Of this file.
    pub fn new(batch: BatchId, number: u32) -> Self {
        Self { batch: batch.to_string(), number }
    }

    /// The file's MsgId.
    pub fn message(&self) -> String {
        match self.number {
            0 => self.batch[..MESSAGE_DIGITS].to_owned(),
            later => format!("{}{later:08x}", &self.batch[..LATER_MESSAGE_DIGITS]),
        }
    }

    /// The PmtInfId of the block of that number, from 1.
    pub fn block(&self, number: usize) -> String {
        match self.number {
            0 => format!("{}-{number}", &self.batch[..BLOCK_DIGITS]),
            later => format!("{}-{later}.{number}", &self.batch[..LATER_BLOCK_DIGITS]),
        }
    }

    /// Whether an id is the file's. Some banks change small letters to capitals.
    pub fn is_message(&self, id: &str) -> bool {
        id.eq_ignore_ascii_case(&self.message())
    }

    /// The number of the block that an id names, if it is one of this file.
    pub fn block_number(&self, id: &str) -> Option<usize> {
        let (_, numbers) = id.split_once('-')?;
        let number = numbers.rsplit('.').next().unwrap_or(numbers);
        number.parse().ok().filter(|&number| id.eq_ignore_ascii_case(&self.block(number)))
    }
}

/// Whether a text has the form of a leg's key.
pub fn is_key(text: &str) -> bool {
    text.len() == KEY_CHARS && text.bytes().all(|b| matches!(b, b'A'..=b'Z' | b'2'..=b'7'))
}

/// What a text says if it is such an id. A MsgId can be read in two ways; only the batch knows
/// which.
pub fn sent(text: &str) -> Vec<Sent> {
    let text = text.to_ascii_lowercase();
    let hex = |text: &str, digits: usize| {
        text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit())
    };
    if hex(&text, MESSAGE_DIGITS) {
        let (digits, later) = text.split_at(LATER_MESSAGE_DIGITS);
        let first = Sent { digits: text.clone(), file: 0 };
        let later = u32::from_str_radix(later, 16).ok().filter(|file| *file > 0);
        let later = later.map(|file| Sent { digits: digits.to_owned(), file });
        return std::iter::once(first).chain(later).collect();
    }
    let Some((digits, numbers)) = text.split_once('-') else { return Vec::new() };
    let is_number = |number: &str| number.parse::<usize>().is_ok();
    let found = match numbers.split_once('.') {
        None => (hex(digits, BLOCK_DIGITS) && is_number(numbers)).then_some(0),
        Some((file, block)) => {
            let formed = hex(digits, LATER_BLOCK_DIGITS) && is_number(block);
            file.parse().ok().filter(|_| formed)
        }
    };
    found.map(|file| Sent { digits: digits.to_owned(), file }).into_iter().collect()
}

/// Whether a text has the form of an id that a file of ours carries.
pub fn is_sent(text: &str) -> bool {
    !sent(text).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sent;
    use tallystick_ledger::types::{LegKeys, PartyId};

    #[test]
    fn ids_are_recognised_as_they_were_written_and_in_capitals() {
        for file in [1, 7, u32::MAX] {
            let (ids, first) =
                (Ids::new(BatchId([0xab; 32]), file), Ids::new(BatchId([0xab; 32]), 0));
            assert!(ids.is_message(&ids.message().to_uppercase()) && is_sent(&ids.message()));
            assert!(!first.is_message(&ids.message()) && ids.message().len() == 32);
            let block = ids.block(9_999_999);
            assert!(block.len() <= 35 && is_sent(&block), "{block}");
            assert_eq!(ids.block_number(&block), Some(9_999_999));
            assert_eq!(first.block_number(&block), None);
        }
        let ids = Ids::new(BatchId([0xab; 32]), 0);
        assert!(ids.is_message(&ids.message()) && is_sent(&ids.message()));
        assert!(ids.is_message(&ids.message().to_uppercase()));
        for number in [1, 2, 10, 10_000_000] {
            let block = ids.block(number);
            assert!(block.len() <= 35 && is_sent(&block));
            assert_eq!(ids.block_number(&block), Some(number));
            assert_eq!(ids.block_number(&block.to_uppercase()), Some(number));
        }
        let message = ids.message();
        let digits = &message[..24];
        for other in ["", "-", "1", "-1", "x-1", "é-1", message.as_str()] {
            assert_eq!(ids.block_number(other), None, "{other}");
        }
        for number in ["", "+1", "01", "1 ", "-1", "99999999999999999999999"] {
            assert_eq!(ids.block_number(&format!("{digits}-{number}")), None, "{number}");
        }
        assert!(!ids.is_message(&ids.message()[1..]) && !is_sent("INV-1"));
    }

    #[test]
    fn an_id_leads_back_to_its_batch_and_file() {
        let batch = BatchId([0xab; 32]);
        for file in [0, 1, 7, u32::MAX] {
            let ids = Ids::new(batch, file);
            for id in [ids.message(), ids.block(3), ids.block(3).to_uppercase()] {
                let found = sent(&id);
                let own = |one: &&Sent| batch.to_string().starts_with(&one.digits);
                assert!(found.iter().filter(own).any(|one| one.file == file), "{id} {found:?}");
            }
        }
        for other in ["", "-", "INV-1", "0f1e-1", "NOTPROVIDED", "é-1"] {
            assert_eq!(sent(other), [], "{other}");
        }
    }

    #[test]
    fn keys_of_legs_have_the_form_of_keys() {
        let keys = LegKeys::new(BatchId([7; 32]));
        assert!((0..100).all(|part| is_key(&keys.key(PartyId::CLEARING, PartyId([1; 32]), part))));
        assert!(!is_key("NOTPROVIDED") && !is_key(&"1".repeat(32)) && !is_key(&"A".repeat(31)));
    }
}
