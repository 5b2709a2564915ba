//! Writes what is made of the table of metrics: `docs/METRICS.md` and the dashboards. A test
//! compares them with the table.

use std::path::Path;
use tallystick::metrics;

fn main() -> std::io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (path, text) in metrics::files() {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().expect("a file lies in a folder"))?;
        std::fs::write(&path, text)?;
        println!("{}", path.display());
    }
    Ok(())
}
