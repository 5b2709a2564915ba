//! What the rail's pure parts must be: equal to an independent implementation (viem), exact in
//! money, and unable to pay twice however chain, node and engine fail.

mod batch;
mod sim;
mod vectors;

use super::*;
use alloy_primitives::hex;

/// A key that is nobody's.
fn signer(number: u8) -> Signer {
    let mut secret = [0; 32];
    secret[31] = number;
    Signer::new(&secret).expect("small numbers are keys")
}

/// A chunk of `count` payments that no batch has.
fn loose_chunk(id: u8, count: usize) -> Chunk {
    let item = |place: usize| {
        let mut to = [id; 20];
        to[16..].copy_from_slice(&u32::try_from(place).unwrap().to_be_bytes());
        Item { to: to.into(), amount: 1 + u128::try_from(place).unwrap() }
    };
    let items: Vec<Item> = (0..count).map(item).collect();
    let sum = items.iter().map(|item| item.amount).sum();
    Chunk { number: id.into(), id: B256::repeat_byte(id), legs: 0..count, items, sum }
}
