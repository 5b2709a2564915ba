//! What a service keeps for a connection from call to call.

use std::any::Any;
use std::sync::{Arc, OnceLock};

/// Something that is kept as long as a connection lasts, among the extensions of every request on
/// it.
#[derive(Clone, Default)]
pub struct Kept(Arc<OnceLock<Box<dyn Any + Send + Sync>>>);

impl Kept {
    /// Keeps what this makes, unless something is kept already.
    pub fn keep<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) {
        self.0.get_or_init(|| Box::new(make()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_kept_until_the_connection_is_gone() {
        let (kept, thing) = (Kept::default(), Arc::new(()));
        for _ in 0..3 {
            let call = kept.clone();
            call.keep(|| thing.clone());
        }
        assert_eq!(Arc::strong_count(&thing), 2);
        drop(kept);
        assert_eq!(Arc::strong_count(&thing), 1);
    }
}
