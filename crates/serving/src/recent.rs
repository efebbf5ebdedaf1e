//! The rows that are asked most lately, to warm the next model with.

use std::hash::{DefaultHasher, Hasher as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Raw rows of one revision, those that are asked most.
///
/// Every eighth request leaves a row. They are counted by Space-Saving (Metwally, Agrawal, El Abbadi,
/// ICDT 2005): a row that has no place takes that of the coldest, and its count. Counts are halved now
/// and then, so that what was hot once makes room.
#[derive(Debug, Default)]
pub struct Recent {
    offered: AtomicU64,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    rows: Vec<Counted>,
    seen: u64,
}

#[derive(Debug)]
struct Counted {
    hash: u64,
    count: u64,
    row: Box<[f64]>,
}

/// Rows that are kept at most.
const KEPT_MAX: usize = 256;

/// Bytes of them at most, where so many rows have more.
const KEPT_BYTES: usize = 512 << 10;

/// One request of so many leaves a row.
const EVERY: u64 = 8;

/// Rows that are left until all counts are halved.
const HALVED_AFTER: u64 = 4_096;

/// Places of a row that is kept.
const PLACES_MAX: usize = 4_096;

impl Recent {
    /// Shows a raw row in model order, NaN = missing. Mostly nothing happens; never waits.
    pub fn offer(&self, row: &[f64]) {
        let offered = self.offered.fetch_add(1, Ordering::Relaxed);
        if !offered.is_multiple_of(EVERY) || row.len() > PLACES_MAX {
            return;
        }
        if let Ok(mut kept) = self.kept.try_lock() {
            kept.count(row);
        }
    }

    /// The rows, each once, the hottest first.
    pub fn rows(&self) -> Vec<Box<[f64]>> {
        let mut rows: Vec<(u64, Box<[f64]>)> = {
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.rows.iter().map(|kept| (kept.count, kept.row.clone())).collect()
        };
        rows.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        rows.into_iter().map(|(_, row)| row).collect()
    }
}

impl Kept {
    fn count(&mut self, row: &[f64]) {
        self.seen += 1;
        if self.seen.is_multiple_of(HALVED_AFTER) {
            self.rows.iter_mut().for_each(|kept| kept.count /= 2);
        }
        let hash = hash(row);
        let is_same = |kept: &&mut Counted| {
            kept.hash == hash && bits(&kept.row).eq(bits(row)) && kept.row.len() == row.len()
        };
        if let Some(kept) = self.rows.iter_mut().find(is_same) {
            kept.count += 1;
            return;
        }
        let places = (KEPT_BYTES / (8 * row.len().max(1))).clamp(1, KEPT_MAX);
        if self.rows.len() < places {
            self.rows.push(Counted { hash, count: 1, row: row.into() });
        } else if let Some(coldest) = self.rows.iter_mut().min_by_key(|kept| kept.count) {
            (coldest.hash, coldest.count) = (hash, coldest.count + 1);
            if coldest.row.len() == row.len() {
                coldest.row.copy_from_slice(row);
            } else {
                coldest.row = row.into();
            }
        }
    }
}

fn bits(row: &[f64]) -> impl Iterator<Item = u64> + '_ {
    row.iter().map(|x| x.to_bits())
}

fn hash(row: &[f64]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bits(row).for_each(|bits| hasher.write_u64(bits));
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As many requests with this row as leave it once.
    fn leave(recent: &Recent, row: &[f64]) {
        (0..EVERY).for_each(|_| recent.offer(row));
    }

    #[test]
    fn what_is_asked_most_comes_first_whatever_else_is_asked() {
        let recent = Recent::default();
        for n in 0..3 * KEPT_MAX {
            leave(&recent, &[-1.0, f64::NAN]);
            if n.is_multiple_of(2) {
                leave(&recent, &[-0.0]);
            }
            leave(&recent, &[n as f64]);
        }
        let rows = recent.rows();
        assert_eq!(rows.len(), KEPT_MAX);
        assert!(rows[0][0] == -1.0 && rows[0][1].is_nan(), "{:?}", rows[0]);
        assert_eq!(rows[1][0].to_bits(), (-0.0_f64).to_bits());
        let newest = (3 * KEPT_MAX - 1) as f64;
        assert!(rows.iter().any(|row| row[0] == newest), "what is new has a place");
    }

    #[test]
    fn what_was_hot_once_makes_room() {
        let recent = Recent::default();
        for _ in 0..KEPT_MAX {
            leave(&recent, &[1.0]);
        }
        for _ in 0..20 * HALVED_AFTER {
            leave(&recent, &[2.0]);
        }
        assert_eq!(recent.rows()[0][0], 2.0);
        for n in 0..2 * KEPT_MAX {
            leave(&recent, &[3.0 + n as f64]);
        }
        assert!(recent.rows().iter().all(|row| row[0] != 1.0));
    }

    #[test]
    fn wide_rows_are_few_and_the_widest_none() {
        let recent = Recent::default();
        for n in 0..KEPT_MAX {
            leave(&recent, &vec![n as f64; PLACES_MAX]);
        }
        assert_eq!(recent.rows().len(), KEPT_BYTES / (8 * PLACES_MAX));
        let recent = Recent::default();
        leave(&recent, &vec![0.0; PLACES_MAX + 1]);
        assert!(recent.rows().is_empty());
    }
}
