//! How long checks take, by which one that hangs is told from one that works: a loop without an end is a common
//! mistake of small models, and the time limit of a check is for its whole work.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A check that took a second may print nothing for so many.
const TIMES: u32 = 10;

/// The longest time that each command took so far, of those that came to their end. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Paces(Arc<Mutex<BTreeMap<Vec<String>, Duration>>>);

impl Paces {
    /// For how long this command may print nothing, but `least` in any case; `None` for one that never ended: it may
    /// have to build everything first.
    pub fn patience(&self, argv: &[String], least: Duration) -> Option<Duration> {
        self.known().get(argv).map(|took| (*took * TIMES).max(least))
    }

    /// Notes how long it took to its end.
    pub fn note(&self, argv: &[String], took: Duration) {
        let mut known = self.known();
        let longest = known.entry(argv.to_vec()).or_default();
        *longest = took.max(*longest);
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<Vec<String>, Duration>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_follows_the_longest_time() {
        let (paces, second) = (Paces::default(), Duration::from_secs(1));
        let argv = ["make".to_owned()];
        assert_eq!(paces.patience(&argv, second), None);
        paces.note(&argv, second * 4);
        paces.note(&argv, second / 100);
        assert_eq!(paces.clone().patience(&argv, second), Some(second * 40));
        assert_eq!(paces.patience(&argv, second * 60), Some(second * 60));
        assert_eq!(paces.patience(&[], second), None);
    }
}
