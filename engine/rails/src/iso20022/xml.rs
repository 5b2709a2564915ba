//! XML that comes from outside, read element by element in bounded memory.
//!
//! Owns what is refused before any meaning is looked for: what is not well-formed, has a document
//! type or an entity of its own, is too deep, too long or cut off, or goes on behind its end; and
//! where the document begins that a bank may have put into an envelope. Expands nothing. Knows no
//! message.

use super::problem::{Problem, ReadError};
use crate::charset::{self, Utf8};
use quick_xml::Error;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesDecl, BytesRef, BytesStart, Event};
use quick_xml::name::{Namespace, ResolveResult};
use quick_xml::reader::NsReader;
use std::io::{self, BufRead, Read};
use tallystick_ledger::limits::{
    ANSWER_ATTRIBUTES_MAX, ANSWER_DEPTH_MAX, ANSWER_EVENT_BYTES_MAX, ANSWER_TEXT_BYTES_MAX,
};

/// Longest piece of somebody else's text that an error shows.
const SHOWN_CHARS_MAX: usize = 60;

/// A document, from its first element on. Elements whose names are not asked for, or that are of
/// another namespace, are passed over with all they hold.
pub struct Xml<R> {
    reader: NsReader<Bounded<Utf8<R>>>,
    event: Vec<u8>,
    names: &'static [&'static str],
    /// The element that is the document.
    document: &'static str,
    /// Elements around it; `None` until it is found.
    around: Option<usize>,
    /// Whether it was read to its end.
    is_over: bool,
    root: String,
    namespace: String,
    depth: usize,
    stage: Stage,
    text: String,
    currency: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing was read.
    Start,
    /// Before the root element.
    Prolog,
    /// In the root element or behind it.
    Root,
}

enum Token {
    /// An element begins: its name, if it is one of those asked for.
    Open(Option<&'static str>),
    Close,
    /// Its text is in `Xml::text`.
    Text,
    End,
}

impl<R: BufRead> Xml<R> {
    /// Reads up to the element `document`, which is the root or stands in an envelope. `names` are
    /// the elements that are ever asked for, sorted.
    pub fn open(
        input: R,
        document: &'static str,
        names: &'static [&'static str],
    ) -> Result<Self, ReadError> {
        let unread = |error: io::Error| ReadError {
            line: 1,
            offset: 0,
            what: Problem::Input(error.to_string()),
        };
        let input = Utf8::open(input).map_err(unread)?;
        let mut reader = NsReader::from_reader(Bounded::new(input));
        let config = reader.config_mut();
        config.expand_empty_elements = true;
        config.check_comments = true;
        let mut xml = Self {
            reader,
            event: Vec::new(),
            names,
            document,
            around: None,
            is_over: false,
            root: String::new(),
            namespace: String::new(),
            depth: 0,
            stage: Stage::Start,
            text: String::new(),
            currency: String::new(),
        };
        loop {
            match xml.next()? {
                Token::Open(_) if xml.around.is_some() => return Ok(xml),
                Token::Open(_) | Token::Close | Token::Text => {}
                Token::End => {
                    let found = shown(&xml.root);
                    return Err(xml.error(Problem::Root { found, expected: document }));
                }
            }
        }
    }

    /// The namespace of the document, which is that of the message. A document without one has that
    /// of the element in it.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The next element within the open one. `None` closes it.
    pub fn child(&mut self) -> Result<Option<&'static str>, ReadError> {
        loop {
            match self.next()? {
                Token::Open(Some(name)) => return Ok(Some(name)),
                Token::Open(None) => self.skip()?,
                Token::Close => return Ok(None),
                Token::Text if is_blank(&self.text) => {}
                Token::Text => return Err(self.error(Problem::StrayText)),
                Token::End => return Err(self.error(Problem::Truncated)),
            }
        }
    }

    /// Passes over the rest of the open element.
    pub fn skip(&mut self) -> Result<(), ReadError> {
        let within = self.depth;
        while self.depth >= within {
            self.next()?;
        }
        Ok(())
    }

    /// The text of the element that was just opened, without white space around it; closes it.
    pub fn text(&mut self, name: &'static str) -> Result<String, ReadError> {
        let mut text = String::new();
        loop {
            match self.next()? {
                Token::Text => text.push_str(&self.text),
                Token::Close => return Ok(text.trim_ascii().to_owned()),
                Token::Open(_) => return Err(self.error(Problem::NotText(name))),
                Token::End => return Err(self.error(Problem::Truncated)),
            }
            if text.len() > ANSWER_TEXT_BYTES_MAX {
                return Err(self.error(Problem::TextTooLong(name)));
            }
        }
    }

    /// A code: the text of the element that was just opened, or of its child `Cd`, or of `Prtry`,
    /// which is the bank's own and no known code. `None` if it is empty. Closes it.
    pub fn code(&mut self, name: &'static str) -> Result<Option<String>, ReadError> {
        let (mut text, mut chosen) = (String::new(), None);
        loop {
            match self.next()? {
                Token::Text => text.push_str(&self.text),
                Token::Open(Some("Cd")) => self.fill(&mut chosen, "Cd")?,
                Token::Open(Some("Prtry")) => {
                    let own = self.text("Prtry")?;
                    self.once(&chosen, "Prtry")?;
                    chosen = Some(format!("Prtry {own}"));
                }
                Token::Open(_) => self.skip()?,
                Token::Close => break,
                Token::End => return Err(self.error(Problem::Truncated)),
            }
            if text.len() > ANSWER_TEXT_BYTES_MAX {
                return Err(self.error(Problem::TextTooLong(name)));
            }
        }
        match (text.trim_ascii(), chosen) {
            ("", chosen) => Ok(chosen),
            (text, None) => Ok(Some(text.to_owned())),
            (_, Some(_)) => Err(self.error(Problem::StrayText)),
        }
    }

    /// As `text`, into a place that must still be empty.
    pub fn fill(
        &mut self,
        place: &mut Option<String>,
        name: &'static str,
    ) -> Result<(), ReadError> {
        self.once(place, name)?;
        *place = Some(self.text(name)?);
        Ok(())
    }

    /// Refuses an element that stands for the second time.
    pub fn once<T>(&self, place: &Option<T>, name: &'static str) -> Result<(), ReadError> {
        if place.is_some() { Err(self.error(Problem::Twice(name))) } else { Ok(()) }
    }

    /// The attribute `Ccy` of the element that was just opened; empty without one.
    pub fn currency(&self) -> &str {
        &self.currency
    }

    /// Refuses a file that goes on behind its document, which is closed. An envelope may hold more
    /// than the document, but not a second one.
    pub fn finish(&mut self) -> Result<(), ReadError> {
        self.is_over = true;
        loop {
            let is_within = self.depth > 0;
            match self.next()? {
                Token::End => return Ok(()),
                Token::Open(_) | Token::Close | Token::Text if is_within => {}
                Token::Open(_) | Token::Close | Token::Text => {
                    return Err(self.error(Problem::Trailing));
                }
            }
        }
    }

    /// An error here.
    pub fn error(&self, what: Problem) -> ReadError {
        let Bounded { line, offset, .. } = *self.reader.get_ref();
        ReadError { line, offset, what }
    }

    /// That `element` cannot have this text.
    pub fn value(&self, element: &'static str, found: &str, expected: &'static str) -> ReadError {
        self.error(Problem::Value { element, found: shown(found), expected })
    }

    /// That `element` is missing in `within`.
    pub fn missing(&self, element: &'static str, within: &'static str) -> ReadError {
        self.error(Problem::Missing { element, within })
    }

    fn next(&mut self) -> Result<Token, ReadError> {
        // Taken out so that an event can be looked at while the position is changed.
        let mut buffer = std::mem::take(&mut self.event);
        let token = loop {
            buffer.clear();
            self.reader.get_mut().room = ANSWER_EVENT_BYTES_MAX;
            let event = self.reader.read_event_into(&mut buffer);
            let looked_at = match event {
                Err(error) => Err(self.fault(&error)),
                Ok(_) if self.reader.get_ref().odd => {
                    Err(Problem::Encoding("the file holds control characters".into()))
                }
                Ok(event) => self.token(event),
            };
            match looked_at {
                Ok(Some(token)) => break Ok(token),
                Ok(None) => {}
                Err(what) => break Err(self.error(what)),
            }
        };
        self.event = buffer;
        token
    }

    /// What an event means; `None` if nothing.
    fn token(&mut self, event: Event<'_>) -> Result<Option<Token>, Problem> {
        let first = self.stage == Stage::Start;
        if first {
            self.stage = Stage::Prolog;
        }
        match event {
            Event::Decl(decl) if first => declaration(&decl).map(|()| None),
            Event::Decl(_) => Err(Problem::Syntax("a second XML declaration".into())),
            Event::DocType(_) => Err(Problem::Doctype),
            Event::Comment(_) | Event::PI(_) => Ok(None),
            // White space in front of the declaration is no XML, and an exporter's habit.
            Event::Text(text) if first && is_blank(&text) => {
                self.stage = Stage::Start;
                Ok(None)
            }
            Event::Text(text) => self.characters(&text),
            Event::CData(text) => self.characters(&text),
            Event::GeneralRef(reference) => {
                let c = character(&reference)?;
                self.characters(c.encode_utf8(&mut [0; 4]))
            }
            Event::Start(start) => self.begin(&start).map(Some),
            Event::Empty(_) => Err(Problem::Syntax("an empty element was not expanded".into())),
            Event::End(_) => {
                let outer = self.depth.checked_sub(1);
                self.depth = outer.ok_or_else(|| Problem::Syntax("a stray end tag".into()))?;
                Ok(Some(Token::Close))
            }
            Event::Eof if self.depth > 0 => Err(Problem::Truncated),
            Event::Eof if self.stage == Stage::Prolog => Err(Problem::NotXml),
            Event::Eof => Ok(Some(Token::End)),
        }
    }

    fn characters(&mut self, text: &str) -> Result<Option<Token>, Problem> {
        if self.depth > 0 {
            self.text.clear();
            self.text.push_str(text);
            return Ok(Some(Token::Text));
        }
        match self.stage {
            _ if is_blank(text) => Ok(None),
            Stage::Start | Stage::Prolog => Err(Problem::NotXml),
            Stage::Root => Err(Problem::Trailing),
        }
    }

    fn begin(&mut self, start: &BytesStart<'_>) -> Result<Token, Problem> {
        if self.depth == 0 && self.stage == Stage::Root {
            return Err(Problem::Trailing);
        }
        if self.depth == ANSWER_DEPTH_MAX {
            return Err(Problem::TooDeep);
        }
        self.currency.clear();
        for (index, attribute) in start.attributes().enumerate() {
            let attribute = attribute.map_err(|error| Problem::Syntax(error.to_string()))?;
            if index == ANSWER_ATTRIBUTES_MAX {
                return Err(Problem::Attributes);
            }
            if attribute.key.as_ref() == "Ccy" {
                self.currency.push_str(&attribute.value);
            }
        }
        let (namespace, name) = self.reader.resolver().resolve_element(start.name());
        let namespace = match namespace {
            ResolveResult::Bound(Namespace(namespace)) => namespace,
            ResolveResult::Unbound => "",
            ResolveResult::Unknown(prefix) => {
                let text = format!("the prefix {:?} is not declared", shown(&prefix));
                return Err(Problem::Syntax(text));
            }
        };
        if self.depth == 0 {
            name.as_ref().clone_into(&mut self.root);
        }
        let is_document = name.as_ref() == self.document;
        if is_document && self.is_over {
            return Err(Problem::Several(self.document));
        }
        if is_document && self.around.is_none() {
            namespace.clone_into(&mut self.namespace);
            self.around = Some(self.depth);
        }
        // Some declare the namespace one element too late.
        let is_first = self.around.is_some_and(|around| self.depth == around + 1);
        if is_first && self.namespace.is_empty() {
            namespace.clone_into(&mut self.namespace);
        }
        let known = self.names.binary_search(&name.as_ref()).ok().map(|at| self.names[at]);
        let ours = self.around.is_some() && self.namespace == namespace;
        self.depth += 1;
        self.stage = Stage::Root;
        Ok(Token::Open(known.filter(|_| ours)))
    }

    fn fault(&self, error: &Error) -> Problem {
        match error {
            Error::Io(_) if self.reader.get_ref().room == 0 => Problem::TooLong,
            Error::Io(error) => Problem::Input(error.to_string()),
            // It names what it could not find the end of, or half a character.
            Error::Syntax(_) | Error::IllFormed(_) | Error::Encoding(_)
                if self.reader.get_ref().ended && self.depth > 0 =>
            {
                Problem::Truncated
            }
            Error::Encoding(_) => Problem::Encoding("the file is no text".into()),
            Error::Syntax(_)
            | Error::IllFormed(_)
            | Error::InvalidAttr(_)
            | Error::Escape(_)
            | Error::Namespace(_) => Problem::Syntax(shown(&error.to_string())),
        }
    }
}

fn declaration(decl: &BytesDecl<'_>) -> Result<(), Problem> {
    let version = decl.version().map_err(|error| Problem::Syntax(shown(&error.to_string())))?;
    if version != "1.0" {
        return Err(Problem::Syntax(format!("XML {} is not read, only 1.0", shown(&version))));
    }
    match decl.encoding().transpose() {
        Ok(Some(encoding)) if !charset::is_known(&encoding) => {
            Err(Problem::Encoding(format!("the file says that it is {}", shown(&encoding))))
        }
        Ok(_) => Ok(()),
        Err(error) => Err(Problem::Syntax(shown(&error.to_string()))),
    }
}

/// The character that a reference stands for.
fn character(reference: &BytesRef<'_>) -> Result<char, Problem> {
    let unknown = || Problem::Entity(shown(reference));
    if reference.is_char_ref() {
        let c = reference.resolve_char_ref().ok().flatten().ok_or_else(unknown)?;
        let allowed = !c.is_control() || matches!(c, '\t' | '\n' | '\r' | '\u{7f}'..='\u{9f}');
        return if allowed { Ok(c) } else { Err(unknown()) };
    }
    let text = resolve_predefined_entity(reference).ok_or_else(unknown)?;
    text.chars().next().ok_or_else(unknown)
}

/// The beginning of somebody else's text, for an error.
fn shown(text: &str) -> String {
    text.trim().chars().take(SHOWN_CHARS_MAX).collect()
}

fn is_blank(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n'))
}

/// Input of which a reader gets `room` bytes at most until it is given room again; counts bytes and
/// lines.
struct Bounded<R> {
    input: R,
    room: usize,
    offset: u64,
    line: u64,
    /// Whether there were control characters, which XML 1.0 does not have.
    odd: bool,
    ended: bool,
}

impl<R> Bounded<R> {
    fn new(input: R) -> Self {
        Self { input, room: 0, offset: 0, line: 1, odd: false, ended: false }
    }
}

impl<R: BufRead> BufRead for Bounded<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.room == 0 {
            return Err(io::Error::other("one event is too long"));
        }
        let bytes = self.input.fill_buf()?;
        self.ended = bytes.is_empty();
        Ok(&bytes[..bytes.len().min(self.room)])
    }

    fn consume(&mut self, count: usize) {
        // What is consumed lies in the buffer, so that nothing is read here.
        let bytes = self.input.fill_buf().unwrap_or_default();
        let bytes = &bytes[..count.min(bytes.len())];
        let (mut lines, mut odd) = (0u64, 0u64);
        for &byte in bytes {
            lines += u64::from(byte == b'\n');
            odd += u64::from(byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r'));
        }
        self.line += lines;
        self.odd |= odd > 0;
        self.offset += u64::try_from(count).unwrap_or_default();
        self.room = self.room.saturating_sub(count);
        self.input.consume(count);
    }
}

impl<R: BufRead> Read for Bounded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        charset::read_of_buffer(self, into)
    }
}
