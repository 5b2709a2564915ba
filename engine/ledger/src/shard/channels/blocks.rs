//! A list that grows block by block: what is in it is never moved, so that no push takes longer
//! than others.

use std::ops::{Index, IndexMut};

/// Things of one block, as a power of two.
const BLOCK_BITS: u32 = 14;
const BLOCK: usize = 1 << BLOCK_BITS;

/// The list.
pub(super) struct Blocks<T>(Vec<Vec<T>>);

impl<T> Blocks<T> {
    pub fn new() -> Self {
        Self(Vec::new())
    }

    pub fn len(&self) -> usize {
        self.0.last().map_or(0, |last| (self.0.len() - 1) * BLOCK + last.len())
    }

    pub fn push(&mut self, thing: T) {
        match self.0.last_mut() {
            Some(last) if last.len() < BLOCK => last.push(thing),
            Some(_) | None => {
                let mut block = Vec::with_capacity(BLOCK);
                block.push(thing);
                self.0.push(block);
            }
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flatten()
    }
}

impl<T> Index<usize> for Blocks<T> {
    type Output = T;

    #[inline]
    fn index(&self, at: usize) -> &T {
        &self.0[at >> BLOCK_BITS][at % BLOCK]
    }
}

impl<T> IndexMut<usize> for Blocks<T> {
    #[inline]
    fn index_mut(&mut self, at: usize) -> &mut T {
        &mut self.0[at >> BLOCK_BITS][at % BLOCK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_list() {
        let (mut blocks, count) = (Blocks::new(), 2 * BLOCK + 3);
        for n in 0..count {
            assert_eq!(blocks.len(), n);
            blocks.push(n);
        }
        assert!(blocks.iter().copied().eq(0..count));
        blocks[BLOCK] = 7;
        assert_eq!(
            (blocks[BLOCK - 1], blocks[BLOCK], blocks[BLOCK + 1]),
            (BLOCK - 1, 7, BLOCK + 1)
        );
    }
}
