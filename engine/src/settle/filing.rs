//! The archive of a window: a file that is written, durable, read back, and found to prove the
//! window's root, before anybody says that it is there.

use super::archive::Archive;
use super::evidence::{Request, export, look};
use super::pieces::{self, NotRead};
use super::retention::NotArchived;
use crate::ledger::event::ArchiveId;
use crate::ledger::seal;
use crate::ledger::{EvidenceDigest, SealedHead, piece_of};
use crate::proof::{ExportFile, Part, ReadError, archive_name};
use crate::types::{AssetNumber, EvidenceHasher, WindowNumber};
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::slice;

/// Writes the archive of a window and reads it back.
pub(super) fn write(
    archive: &Archive,
    dir: &Path,
    sealed: &SealedHead,
    request: &Request,
) -> Result<ArchiveId, NotArchived> {
    let window = sealed.head.number;
    let path = dir.join(archive_name(window));
    if path.exists() {
        return left_behind(path, sealed, request);
    }
    let lost = |error| match error {
        NotRead::Storage(why) => NotArchived::Lost { window, why },
        other @ NotRead::Away(_) => other.into(),
    };
    archive.window(sealed).map_err(lost)?;
    look(archive, slice::from_ref(sealed)).map_err(lost)?;
    let part = path.with_extension("part");
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| NotArchived::Written { path, source }
    };
    fs::create_dir_all(dir).map_err(failed(dir))?;
    let file = File::create(&part).map_err(failed(&part))?;
    let id = export(archive, request, BufWriter::new(&file)).map_err(|error| match error {
        // What is kept was read a moment ago: it is the file that cannot be written.
        NotRead::Storage(error) => {
            NotArchived::Written { path: part.clone(), source: io::Error::other(error.to_string()) }
        }
        other @ NotRead::Away(_) => other.into(),
    })?;
    file.sync_all().map_err(failed(&part))?;
    check(&part, id, sealed)?;
    fs::rename(&part, &path).map_err(failed(&path))?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed(dir))?;
    Ok(id)
}

/// What a stop before the record left. An archive is never written over: it may be all that is left
/// of another ledger's evidence.
fn left_behind(
    path: PathBuf,
    sealed: &SealedHead,
    request: &Request,
) -> Result<ArchiveId, NotArchived> {
    let own = |of: &ExportFile| {
        let ends_here = of.end().last.lsn <= request.end.last.lsn;
        of.network() == request.network && ends_here && check(&path, of.id(), sealed).is_ok()
    };
    match ExportFile::open(&path).ok().filter(own) {
        Some(of) => Ok(of.id()),
        None => Err(NotArchived::Another(path)),
    }
}

/// Whether an archive proves the window's root, and holds every piece that the root speaks of.
fn check(path: &Path, id: ArchiveId, sealed: &SealedHead) -> Result<(), NotArchived> {
    let (file, window) = (ExportFile::open(path)?, sealed.head.number);
    let misfit = |why| Err(NotArchived::NotProved(format!("window {window}"), why));
    if file.id() != id {
        return misfit("its digest is another");
    }
    let owed = pieces::owed(&file, window)?;
    for (asset, of) in &owed {
        if !proves(&file, window, *asset, &of.evidence)? {
            return misfit("a piece of evidence is another");
        }
    }
    if seal::close(sealed.head, owed).root != sealed.seal.root {
        return misfit("its root is another");
    }
    Ok(())
}

/// Whether the pieces of an asset are, in their order, those of which the obligations hold digests.
fn proves(
    file: &ExportFile,
    window: WindowNumber,
    asset: AssetNumber,
    digests: &[EvidenceDigest],
) -> Result<bool, ReadError> {
    let (hasher, mut pieces, mut section) = (EvidenceHasher::default(), Vec::new(), 0);
    for said in digests {
        let (mut end, mut count) = (0, 0);
        while count < said.count {
            if let Some((piece, _)) = piece_of(&pieces[end..]) {
                (end, count) = (end + piece.len(), count + 1);
                continue;
            }
            let Some(rows) = file.rows(window, asset, Part::Evidence, section)? else {
                return Ok(false);
            };
            pieces.extend_from_slice(&rows);
            section += 1;
        }
        if hasher.digest(std::iter::once(&pieces[..end])) != said.digest {
            return Ok(false);
        }
        pieces.drain(..end);
    }
    Ok(pieces.is_empty() && file.rows(window, asset, Part::Evidence, section)?.is_none())
}
