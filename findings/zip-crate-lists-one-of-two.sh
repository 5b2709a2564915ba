#!/bin/sh
# The usual way to go through a ZIP archive with the Rust crate `zip` gives one of two files that
# have the same name, without an error.
#
# Guess:    `ZipArchive::len()` is the number of entries, and `by_index(0..len)` gives each of them:
#           an archive may hold two files of one name (APPNOTE forbids it nowhere; a program that
#           adds "statement.xml" each day to one archive makes such a one).
# Happens:  the archive's entries are kept in a map by their names. Of two with one name the later is
#           listed, in the place of the first, and `len()` is one less. Nothing says so. Reading the
#           same bytes as a stream (`read_zipfile_from_stream`) gives all of them, and so do Python's
#           zipfile and Info-ZIP.
# Versions: crates.io zip 9.8.2 (default features off: entries that are stored). Seen 2026-11-29.
# Follows:  whoever takes a day's files from an archive books a part of them and believes it whole.
#           Compare the count with the end record's, or walk the central directory entry by entry
#           (`zip::unstable::read::ZipIterable`).
#
# Output seen:
#   ok: in the archive, by Python's zipfile: 3 entries, first second third
#   ok: by_index, over len(): 2 entries, second third
#   ok: read_zipfile_from_stream: 3 entries, first second third
set -eu

cannot() { echo "cannot run here: $1" >&2; exit 2; }
command -v python3 >/dev/null || cannot "no python3"
command -v cargo >/dev/null || cannot "no cargo"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 2' HUP INT TERM
cd "$dir"

mkdir src
cat >Cargo.toml <<'EOF'
[package]
name = "listing"
version = "0.0.0"
edition = "2021"
[dependencies]
zip = { version = "=9.8.2", default-features = false }
[workspace]
EOF
cat >src/main.rs <<'EOF'
use std::io::{Read, Seek};

fn main() {
    let mut file = std::fs::File::open("day.zip").unwrap();
    let mut archive = zip::ZipArchive::new(&mut file).unwrap();
    let mut listed = Vec::new();
    for index in 0..archive.len() {
        let mut text = String::new();
        archive.by_index(index).unwrap().read_to_string(&mut text).unwrap();
        listed.push(text);
    }
    drop(archive);
    file.rewind().unwrap();
    let mut streamed = Vec::new();
    while let Some(mut entry) = zip::read::read_zipfile_from_stream(&mut file).unwrap() {
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        streamed.push(text);
    }
    println!("{}\n{}", listed.join(" "), streamed.join(" "));
}
EOF
python3 - >by-python <<'EOF'
import warnings, zipfile
warnings.simplefilter("ignore")  # "Duplicate name": it writes it all the same
files = (("statement.xml", "first"), ("statement.xml", "second"), ("other.xml", "third"))
with zipfile.ZipFile("day.zip", "w") as archive:
    for name, text in files:
        archive.writestr(name, text)
with zipfile.ZipFile("day.zip") as archive:
    print(*(archive.read(entry).decode() for entry in archive.infolist()))
EOF
CARGO_TARGET_DIR=target cargo run -q >by-crate 2>log || { tail -5 log >&2; cannot "cargo failed"; }

status=0
is() { # what it is, what is stated, what was seen
  count=$(echo "$3" | wc -w)
  if [ "$2" = "$3" ]; then
    echo "ok: $1: $count entries, $3"
  else
    echo "CHANGED: $1: stated $2, seen $3"
    status=1
  fi
}
is "in the archive, by Python's zipfile" "first second third" "$(cat by-python)"
is "by_index, over len()" "second third" "$(sed -n 1p by-crate)"
is "read_zipfile_from_stream" "first second third" "$(sed -n 2p by-crate)"
exit $status
