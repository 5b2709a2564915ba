//! Puts there what a directory held before there were streams beside the journal's. Done again from
//! the start where it did not come to its end.

use super::super::error::StreamError;
use super::super::trying::Trying;
use super::change::{Change, Kind, seal};
use super::hand::cut;
use super::line::{Line, Place};
use super::wire::Sending;
use tallystick_journal::{JournalError, META_OF_LEDGER, Table, Tables};

/// Bytes of pages that are taken up at once.
const PIECE: usize = 8 << 20;
/// Behind every key.
const LAST: [u8; super::hand::KEY_MAX] = [u8::MAX; super::hand::KEY_MAX];

/// Lists of changes, each a message that fits.
pub(super) fn lists(line: &Line, epoch: u64, changes: &[Change]) -> Vec<Vec<Sending>> {
    let (most, subject) =
        (line.body_bytes_max(), format!("{}{}", line.begin, Table::Payments.name()));
    let (mut lists, mut body) = (Vec::new(), Vec::new());
    let mut done = |body: &mut Vec<u8>| {
        if !body.is_empty() {
            lists.push(vec![(subject.clone(), seal(Kind::Changes, epoch, &subject, body))]);
            body.clear();
        }
    };
    for change in changes {
        if body.len() + change.bytes() > most {
            done(&mut body);
        }
        change.write(&mut body);
    }
    done(&mut body);
    lists
}

/// Whether the stream has this page already, of a time when this did not come to its end. A newer
/// message in its place would leave its bytes where nobody can erase them any more.
fn is_there(line: &Line, subject: &str, page: &[u8]) -> Result<bool, StreamError> {
    let mut trying = Trying::new(&*line.link);
    let found = loop {
        match line.link.last_under(&line.stream, subject) {
            Ok(found) => break found,
            Err(why) => trying.wait(&*line.link, &why, false)?,
        }
    };
    let Some(found) = found else { return Ok(false) };
    let message = line.read(&found)?;
    Ok(message.kind == Kind::Page && message.body == page)
}

/// Puts all of it there; `again`: some of it may be there.
pub(super) fn fill(
    local: &dyn Tables,
    again: bool,
    (keys, keys_at): (&Line, &mut Place),
    (passing, passing_at): (&Line, &mut Place),
) -> Result<(), StreamError> {
    let (epoch, most) = (keys.own(keys_at)?, keys.body_bytes_max());
    let mut count = 0;
    for table in [Table::PartyKeys, Table::Calls] {
        count += pieces(local, table, (&[], &LAST), &mut |pages| {
            let mut messages = Vec::new();
            for (key, page) in pages {
                let subject = super::subject(&keys.begin, table, &key);
                if !again || !is_there(keys, &subject, &page)? {
                    let sealed = seal(Kind::Page, epoch, &subject, &page);
                    messages.push((subject, sealed));
                }
            }
            cut(messages, most).iter().try_for_each(|lot| keys.append(keys_at, lot))
        })?;
    }
    for begin in META_OF_LEDGER {
        let end = [begin, &[u8::MAX; 40]].concat();
        count += pieces(local, Table::Meta, (begin, &end), &mut |pages| {
            pages.into_iter().try_for_each(|(key, page)| {
                let subject = super::subject(&keys.begin, Table::Meta, &key);
                let sealed = seal(Kind::Page, epoch, &subject, &page);
                keys.append(keys_at, &[(subject, sealed)])
            })
        })?;
    }
    count += pieces(local, Table::Payments, (&[], &LAST), &mut |pages| {
        let changes = pages.into_iter().map(|(key, page)| Change::Put { key, page });
        let lists = lists(passing, epoch, &changes.collect::<Vec<_>>());
        lists.iter().try_for_each(|list| passing.append(passing_at, list))
    })?;
    let done = keys.filled();
    let sealed = seal(Kind::Page, epoch, &done, &[]);
    keys.append(keys_at, &[(done, sealed)])?;
    keys_at.filled = true;
    if count > 0 {
        tracing::info!(count, stream = %keys.stream, "what was kept beside the journal is with its servers now");
    }
    Ok(())
}

type Piece = Vec<(Vec<u8>, Vec<u8>)>;

/// Hands out the pages of a table, some at a time; how many there were.
fn pieces(
    local: &dyn Tables,
    table: Table,
    (from, to): (&[u8], &[u8]),
    take: &mut dyn FnMut(Piece) -> Result<(), StreamError>,
) -> Result<usize, StreamError> {
    let (mut from, mut count) = (from.to_vec(), 0);
    loop {
        let (mut pages, mut bytes, mut enough) = (Piece::new(), 0, false);
        let visited = local.scan(table, &from, to, &mut |key, page| {
            if bytes > PIECE {
                enough = true;
                return Err(JournalError::Storage(String::new()));
            }
            bytes += key.len() + page.len();
            pages.push((key.to_vec(), page.to_vec()));
            Ok(())
        });
        if !enough {
            visited.map_err(StreamError::Copy)?;
        }
        count += pages.len();
        if let Some((last, _)) = pages.last() {
            from = super::hand::behind(last);
            take(pages)?;
        }
        if !enough {
            return Ok(count);
        }
    }
}
