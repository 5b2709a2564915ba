//! The wire contract as Rust code, generated from the `.proto` files beside it. Nothing else.

#![forbid(unsafe_code)]

/// Package `tallystick.v1`: the services `Vouchers` and `Operator` and their messages.
#[allow(missing_docs, clippy::all, clippy::pedantic, unused_qualifications)]
#[rustfmt::skip]
pub mod v1 {
    tonic::include_proto!("tallystick.v1");
}

/// The encoded `FileDescriptorSet`, for gRPC reflection.
pub const FILE_DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
