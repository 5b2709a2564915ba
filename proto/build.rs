//! Compiles the .proto files in pure Rust (no protoc needed on the machine).

use prost::Message as _;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["tallystick/v1/vouchers.proto", "tallystick/v1/operator.proto"];
    let descriptors = protox::compile(files, ["."])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        // `bytes` fields become slices of the receive buffer: vouchers are not copied on the way
        // in.
        .bytes(".")
        // Ordered maps, so that equal messages encode to equal bytes.
        .btree_map(".")
        .compile_fds(descriptors)?;
    println!("cargo::rerun-if-changed=tallystick");
    Ok(())
}
