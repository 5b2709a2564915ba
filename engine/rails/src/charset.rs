//! Text in whatever character set a bank writes it, made UTF-8 on its way in, in bounded memory.
//!
//! Owns which character set a file is in: what its first bytes say, then what its XML declaration
//! says. Where a file says UTF-8 or nothing and holds bytes that are none, these are read as
//! Western European (windows-1252): all that money depends on (keys, ids, sums, codes) is ASCII,
//! and means the same in both. Never knows a message.

use encoding_rs::{Decoder, Encoding, REPLACEMENT, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};
use std::io::{self, BufRead, Chain, Cursor, Read};

/// Bytes that are looked at to tell the character set: an XML declaration is shorter.
const HEAD_BYTES: u64 = 1_024;
/// Bytes of text that are decoded at once.
const PIECE_BYTES: usize = 16 << 10;

/// Input as UTF-8, without a byte order mark.
pub struct Utf8<R> {
    input: Chain<Cursor<Vec<u8>>, R>,
    decoder: Option<Decoder>,
    /// The beginning of a character whose end was not read yet.
    begun: Vec<u8>,
    text: Vec<u8>,
    at: usize,
    ended: bool,
}

impl<R: BufRead> Utf8<R> {
    /// Looks at the beginning of a file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(mut input: R) -> io::Result<Self> {
        let mut head = Vec::new();
        input.by_ref().take(HEAD_BYTES).read_until(b'>', &mut head)?;
        let (encoding, mark) = told(&head);
        head.drain(..mark);
        let decoder = encoding.filter(|encoding| *encoding != UTF_8);
        Ok(Self {
            input: Cursor::new(head).chain(input),
            decoder: decoder.map(Encoding::new_decoder_without_bom_handling),
            begun: Vec::new(),
            text: Vec::new(),
            at: 0,
            ended: false,
        })
    }

    fn refill(&mut self) -> io::Result<()> {
        self.at = 0;
        self.text.clear();
        while self.text.is_empty() && !self.ended {
            let bytes = self.input.fill_buf()?;
            self.ended = bytes.is_empty();
            let read = match &mut self.decoder {
                None => {
                    let mut all = std::mem::take(&mut self.begun);
                    all.extend_from_slice(bytes);
                    self.begun = lenient(&all, self.ended, &mut self.text);
                    bytes.len()
                }
                Some(decoder) => {
                    self.text.resize(PIECE_BYTES, 0);
                    let (_, read, written, _) =
                        decoder.decode_to_utf8(bytes, &mut self.text, self.ended);
                    self.text.truncate(written);
                    read
                }
            };
            self.input.consume(read);
        }
        Ok(())
    }
}

impl<R: BufRead> BufRead for Utf8<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.text.len() {
            self.refill()?;
        }
        Ok(&self.text[self.at..])
    }

    fn consume(&mut self, count: usize) {
        self.at = (self.at + count).min(self.text.len());
    }
}

impl<R: BufRead> Read for Utf8<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        read_of_buffer(self, into)
    }
}

/// How what has a buffer is read: as much as lies in it.
pub fn read_of_buffer(input: &mut impl BufRead, into: &mut [u8]) -> io::Result<usize> {
    let bytes = input.fill_buf()?;
    let count = bytes.len().min(into.len());
    into[..count].copy_from_slice(&bytes[..count]);
    input.consume(count);
    Ok(count)
}

/// Whether a name of a character set, as an XML declaration has it, is one that is read.
pub fn is_known(label: &str) -> bool {
    known(label).is_some()
}

fn known(label: &str) -> Option<&'static Encoding> {
    // Some stand for what no browser reads for fear of tricks.
    Encoding::for_label(label.as_bytes()).filter(|encoding| *encoding != REPLACEMENT)
}

/// What the first bytes say, and how many of them are only a mark.
fn told(head: &[u8]) -> (Option<&'static Encoding>, usize) {
    match head {
        [0xef, 0xbb, 0xbf, ..] => (Some(UTF_8), 3),
        [0xff, 0xfe, ..] => (Some(UTF_16LE), 2),
        [0xfe, 0xff, ..] => (Some(UTF_16BE), 2),
        // No text begins with a zero, and no bank's with a letter beyond Latin.
        [b' '..=b'~', 0, ..] => (Some(UTF_16LE), 0),
        [0, b' '..=b'~', ..] => (Some(UTF_16BE), 0),
        // It is written in ASCII, so that it cannot be UTF-16, whatever it says.
        [..] => (declared(head).filter(|it| *it != UTF_16LE && *it != UTF_16BE), 0),
    }
}

/// What an XML declaration says.
fn declared(head: &[u8]) -> Option<&'static Encoding> {
    let head = head.trim_ascii_start().strip_prefix(b"<?xml")?;
    let head: String = head.iter().map(|byte| char::from(*byte)).collect();
    let (_, value) = head.split_once("encoding")?;
    let value = value.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let (label, _) = value[1..].split_once(quote)?;
    known(label)
}

/// Puts bytes behind `text`: what is UTF-8 as it is, what is not as windows-1252. Gives back what
/// may be the beginning of a character, unless there is nothing more to come.
fn lenient(bytes: &[u8], is_last: bool, text: &mut Vec<u8>) -> Vec<u8> {
    let mut rest = bytes;
    loop {
        let error = match str::from_utf8(rest) {
            Ok(_) => {
                text.extend_from_slice(rest);
                return Vec::new();
            }
            Err(error) => error,
        };
        let (good, bad) = rest.split_at(error.valid_up_to());
        text.extend_from_slice(good);
        let wrong = match error.error_len() {
            Some(length) => length,
            None if is_last => bad.len(),
            None => return bad.to_vec(),
        };
        let (wrong, next) = bad.split_at(wrong);
        let (western, _) = WINDOWS_1252.decode_without_bom_handling(wrong);
        text.extend_from_slice(western.as_bytes());
        rest = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    fn read(bytes: &[u8], piece: usize) -> String {
        let mut text = String::new();
        let mut input = Utf8::open(BufReader::with_capacity(piece, bytes)).unwrap();
        input.read_to_string(&mut text).unwrap();
        text
    }

    /// A file in this character set that says so.
    fn declared(label: &str, text: &[u8]) -> Vec<u8> {
        let head = format!("<?xml version='1.0' encoding=\"{label}\"?>");
        [head.as_bytes(), text].concat()
    }

    /// A bank that wrote ISO-8859-1 was refused even when all was ASCII, and again after its file
    /// was converted, since it still said so.
    #[test]
    fn a_file_is_read_in_the_character_set_that_it_declares() {
        for (label, bytes, wanted) in [
            ("ISO-8859-1", &b"M\xfcller"[..], "Müller"),
            ("iso-8859-15", b"\xa4 M\xfcller", "€ Müller"),
            ("latin1", b"M\xfcller", "Müller"),
            ("windows-1252", b"\x80 M\xfcller", "€ Müller"),
            ("windows-1250", b"\x8aKODA", "ŠKODA"),
            ("US-ASCII", b"Muller", "Muller"),
            ("utf8", "Müller".as_bytes(), "Müller"),
            ("UTF-8", "Müller".as_bytes(), "Müller"),
            ("UTF-16", b"Muller", "Muller"),
            ("Shift_JIS", b"\x83\x5c", "ソ"),
        ] {
            for piece in [1, 7, 4_096] {
                let text = read(&declared(label, bytes), piece);
                assert!(text.ends_with(&format!("?>{wanted}")), "{label}: {text}");
                assert!(is_known(label));
            }
        }
        assert!(!is_known("EBCDIC") && !is_known("ISO-2022-KR") && !is_known(""));
    }

    #[test]
    fn marks_and_zeros_tell_what_no_declaration_does() {
        let wide = |text: &str, little: bool| -> Vec<u8> {
            let units = text.encode_utf16();
            units.flat_map(|u| if little { u.to_le_bytes() } else { u.to_be_bytes() }).collect()
        };
        let text = "<?xml version=\"1.0\" encoding=\"UTF-16\"?><a>Müller €</a>";
        for piece in [1, 5, 4_096] {
            assert_eq!(read(&[&b"\xef\xbb\xbf"[..], text.as_bytes()].concat(), piece), text);
            assert_eq!(read(&[&b"\xff\xfe"[..], &wide(text, true)].concat(), piece), text);
            assert_eq!(read(&[&b"\xfe\xff"[..], &wide(text, false)].concat(), piece), text);
            assert_eq!(read(&wide(text, true), piece), text);
            assert_eq!(read(&wide(text, false), piece), text);
        }
    }

    /// Banks send Latin letters in files that say UTF-8 or nothing.
    #[test]
    fn bytes_that_are_not_utf_8_are_western_wherever_the_pieces_are_cut() {
        for (bytes, wanted) in [
            (&b"M\xfcller"[..], "Müller"),
            (b"\xe2\x82\xac and \xe2\x82", "€ and â‚"),
            (b"\xe2\x82A\xffB\xc3\xbc", "â‚AÿBü"),
            (b"", ""),
            (b"\xc3", "Ã"),
        ] {
            for piece in 1..=bytes.len() + 1 {
                assert_eq!(read(bytes, piece), wanted, "{piece}");
            }
        }
        assert_eq!(
            read(&declared("UTF-8", b"\xe4"), 3),
            "<?xml version='1.0' encoding=\"UTF-8\"?>ä"
        );
    }
}
