//! A few of the rows that came lately, to warm the next model with.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Raw rows of one revision: every eighth request leaves one, the newest push out the oldest, so
/// what is asked often stands here often.
#[derive(Debug, Default)]
pub struct Recent {
    offered: AtomicU64,
    kept: Mutex<Vec<Box<[f64]>>>,
}

/// Rows that are kept.
const KEPT_MAX: u64 = 64;

/// One request of so many leaves a row.
const EVERY: u64 = 8;

/// Places of a row that is kept.
const PLACES_MAX: usize = 4_096;

impl Recent {
    /// Shows a raw row in model order, NaN = missing. Mostly nothing happens; never waits.
    pub fn offer(&self, row: &[f64]) {
        let offered = self.offered.fetch_add(1, Ordering::Relaxed);
        if !offered.is_multiple_of(EVERY) || row.len() > PLACES_MAX {
            return;
        }
        let Ok(mut kept) = self.kept.try_lock() else {
            return;
        };
        let at = (offered / EVERY % KEPT_MAX) as usize;
        match kept.get_mut(at) {
            Some(place) if place.len() == row.len() => place.copy_from_slice(row),
            Some(place) => *place = row.into(),
            None => kept.push(row.into()),
        }
    }

    /// The rows, in no order.
    pub fn rows(&self) -> Vec<Box<[f64]>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_newest_and_no_more_than_its_places() {
        let recent = Recent::default();
        for n in 0..EVERY * KEPT_MAX * 3 {
            recent.offer(&[n as f64, f64::NAN]);
        }
        let rows = recent.rows();
        assert_eq!(rows.len() as u64, KEPT_MAX);
        assert!(rows.iter().all(|row| row[0] >= (EVERY * KEPT_MAX * 2) as f64), "{rows:?}");
        recent.offer(&vec![0.0; PLACES_MAX + 1]);
        assert_eq!(recent.rows().len() as u64, KEPT_MAX);
    }
}
