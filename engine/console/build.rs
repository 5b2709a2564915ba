//! Packs the pages, so that no start and no request does: a table of every file, plain, and as
//! brotli and gzip where that is smaller.

use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// What a browser is told of a file, by the end of its name. What has another end is not served:
/// licences and notes.
const KINDS: [(&str, &str); 9] = [
    ("html", "text/html; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
    ("ico", "image/x-icon"),
    ("woff2", "font/woff2"),
    ("webmanifest", "application/manifest+json"),
];
/// The folders that are looked into, with all below them.
const FOLDERS: [&str; 2] = ["app", "vendor"];

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    println!("cargo::rerun-if-changed=build.rs");
    let mut paths = Vec::new();
    for entry in fs::read_dir(&root)? {
        let path = entry?.path();
        if path.is_file() && kind(&path).is_some() {
            paths.push(path);
        }
    }
    for folder in FOLDERS {
        let folder = root.join(folder);
        println!("cargo::rerun-if-changed={}", folder.display());
        if folder.is_dir() {
            walk(&folder, &mut paths)?;
        }
    }
    paths.sort();
    let mut table = String::from("&[\n");
    for (number, path) in paths.iter().enumerate() {
        println!("cargo::rerun-if-changed={}", path.display());
        entry(&mut table, (&root, &out), number, path)?;
    }
    table.push(']');
    fs::write(out.join("files.rs"), table)?;
    Ok(())
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            walk(&path, found)?;
        } else if kind(&path).is_some() {
            found.push(path);
        }
    }
    Ok(())
}

fn kind(path: &Path) -> Option<&'static str> {
    let end = path.extension()?.to_str()?;
    KINDS.iter().find(|(of, _)| *of == end).map(|(_, kind)| *kind)
}

/// One file's line of the table.
fn entry(
    table: &mut String,
    (root, out): (&Path, &Path),
    number: usize,
    path: &Path,
) -> Result<(), Box<dyn Error>> {
    let plain = fs::read(path)?;
    let packed = |name: &str, bytes: Vec<u8>| -> Result<String, Box<dyn Error>> {
        if bytes.len() >= plain.len() {
            return Ok("None".to_owned());
        }
        let file = out.join(format!("{number}.{name}"));
        fs::write(&file, bytes)?;
        Ok(format!("Some(include_bytes!({:?}))", file.display().to_string()))
    };
    let (brotli, gzip) = (packed("br", brotli(&plain)?)?, packed("gz", gzip(&plain)?)?);
    let name = path.strip_prefix(root)?.to_str().ok_or("a file's name is not UTF-8")?;
    let name = format!("/{}", name.replace('\\', "/"));
    let etag = format!("\"{}\"", &blake3::hash(&plain).to_hex()[..32]);
    let kind = kind(path).expect("only such files are taken");
    let plain = path.display().to_string();
    writeln!(
        table,
        "    File {{ path: {name:?}, kind: {kind:?}, etag: {etag:?}, plain: include_bytes!({plain:?}), \
         brotli: {brotli}, gzip: {gzip} }},"
    )?;
    Ok(())
}

fn brotli(plain: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut packed = Vec::new();
    let settings = brotli::enc::BrotliEncoderParams { quality: 11, ..Default::default() };
    brotli::BrotliCompress(&mut &*plain, &mut packed, &settings)?;
    Ok(packed)
}

fn gzip(plain: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(plain)?;
    Ok(packer.finish()?)
}
