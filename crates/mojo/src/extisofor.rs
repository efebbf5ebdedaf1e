//! Extended Isolation Forest.
//!
//! Keys: `ntrees`, `sample_size`. `trees/tNN.bin`, little-endian: `i32` dimensions, then records of
//! an `i32` number, a byte, and for `N` two vectors of `f64` (the slope `n` and the intercept `p` of
//! a cut), for `L` an `i32` count of rows. The children of node `i` have the numbers `2i + 1` and
//! `2i + 2`, and stand somewhere behind it.
//!
//! A row goes left if the sum over all columns of `(x - p) * n` is not above 0; NaN goes right. A
//! leaf of `k` rows ends a path of its depth plus `c(k)`, the mean depth of a failed search in a
//! tree of `k`; a path that leads to no record has length -1. Writers fill the entry up with zeros,
//! in which genmodel stops with an exception: there every path must lead to a leaf.
//! `score = 2 ^ -(mean length / c(sample_size))`.
//! Source: `ExtendedIsolationForestMojoReader`, `ExtendedIsolationForestMojoModel`.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic,
    clippy::expect_used
)]

use std::collections::HashMap;

use crate::cursor::{Cursor, Damage};
use crate::error::LoadError;
use crate::math::{log, pow};
use crate::reader::Reader;

/// Euler's constant to the digits that H2O has.
const EULER: f64 = 0.577_215_664_9;

/// Trees that a row walks through at the same time: an addition waits for the one before it in its
/// own sum only.
const ABREAST: usize = 8;

/// Names of `preds`.
pub(crate) const OUTPUT_COLUMNS: [&str; 2] = ["anomaly_score", "mean_length"];

#[derive(Debug)]
pub(crate) struct ExtendedIsolationForest {
    nodes: Vec<Node>,
    /// Slopes and intercepts behind each other, `2 * width` per cut.
    cuts: Vec<f64>,
    /// Where each tree starts; `None` leads nowhere.
    roots: Vec<Option<u32>>,
    /// Length of the raw row.
    width: usize,
    /// `c(sample_size)`.
    scale: f64,
}

/// Children stand behind their parents: every walk ends.
#[derive(Debug, Clone, Copy)]
enum Node {
    /// What the leaf adds to the depth.
    Leaf(f64),
    Cut {
        /// Start in `cuts`.
        at: usize,
        left: Option<u32>,
        right: Option<u32>,
    },
}

/// A record as it stands in the file.
enum Record {
    Leaf(f64),
    Cut { at: usize },
}

impl ExtendedIsolationForest {
    pub(crate) fn read(reader: &Reader<'_, '_>, width: usize) -> Result<Self, LoadError> {
        let ini = reader.ini();
        let trees = ini.optional_usize("ntrees")?.unwrap_or(0);
        if trees == 0 {
            return Err(LoadError::BadValue {
                key: "ntrees".to_owned(),
                found: "0".to_owned(),
                expected: "at least one tree".to_owned(),
            });
        }
        let sample = ini.optional_usize("sample_size")?.unwrap_or(0);
        let mut forest = Self {
            nodes: Vec::new(),
            cuts: Vec::new(),
            roots: Vec::new(),
            width,
            scale: mean_depth(i64::try_from(sample).unwrap_or(i64::MAX)),
        };
        for tree in 0..trees {
            let entry = format!("trees/t{tree:02}.bin");
            let bytes = reader.blob(&entry)?;
            let root = forest
                .read_tree(&bytes, reader.limits().nodes_max)
                .map_err(|damage| reader.damaged(&entry, &damage))?;
            forest.roots.push(root);
        }
        forest.nodes.shrink_to_fit();
        forest.cuts.shrink_to_fit();
        Ok(forest)
    }

    fn read_tree(&mut self, bytes: &[u8], nodes_max: usize) -> Result<Option<u32>, Damage> {
        let mut cursor = Cursor::new(bytes);
        let dimensions = usize::try_from(cursor.i32()?).unwrap_or(0);
        if dimensions < self.width {
            let width = self.width;
            return Err(cursor.damage(format!("{dimensions} dimensions for {width} columns")));
        }
        let mut records = Vec::new();
        let mut filling: &[u8] = &[];
        while cursor.at() < bytes.len() {
            let rest = bytes.get(cursor.at()..).unwrap_or_default();
            if rest.iter().all(|&byte| byte == 0) {
                filling = rest;
                break;
            }
            if self.nodes.len().saturating_add(records.len()) >= nodes_max {
                return Err(cursor.damage(format!("more than {nodes_max} nodes (`nodes_max`)")));
            }
            let number = cursor.i32()?;
            let record = match cursor.u8()? {
                b'N' => {
                    let at = self.cuts.len();
                    // Slope, then intercept; what is beyond the row is never looked at.
                    for _ in 0..2 {
                        for column in 0..dimensions {
                            let value = f64::from_bits(cursor.u64()?);
                            if column < self.width {
                                self.cuts.push(value);
                            }
                        }
                    }
                    Record::Cut { at }
                }
                b'L' => Record::Leaf(mean_depth(i64::from(cursor.i32()?))),
                other => return Err(cursor.damage(format!("a node of type {other}"))),
            };
            records.push((number, record));
        }
        let too_many = || Cursor::new(bytes).damage("too many nodes");
        let base = u32::try_from(self.nodes.len()).map_err(|_| too_many())?;
        let end = u32::try_from(records.len()).ok().and_then(|n| base.checked_add(n));
        let end = end.ok_or_else(too_many)?;
        // Backwards, so that the nearest record behind a node is the one that its number finds.
        let mut nearest: HashMap<i32, u32> = HashMap::new();
        let mut nodes = Vec::with_capacity(records.len());
        for (index, (number, record)) in (base..end).zip(records).rev() {
            // Java's `int`: the numbers wrap in trees of more than 31 levels.
            let first = number.wrapping_mul(2);
            nodes.push(match record {
                Record::Leaf(rest) => Node::Leaf(rest),
                Record::Cut { at } => {
                    let left = nearest.get(&first.wrapping_add(1)).copied();
                    let right = nearest.get(&first.wrapping_add(2)).copied();
                    if (left.is_none() || right.is_none()) && !filling.is_empty() {
                        return Err(cursor.damage(format!("a child of node {number} is missing")));
                    }
                    Node::Cut { at, left, right }
                }
            });
            nearest.insert(number, index);
        }
        nodes.reverse();
        self.nodes.append(&mut nodes);
        let root = nearest.get(&0).copied();
        if root.is_none() && !filling.is_empty() {
            return Err(cursor.damage("node 0 is missing"));
        }
        Ok(root)
    }

    pub(crate) fn trees(&self) -> usize {
        self.roots.len()
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let slices = [
            size_of_val(self.nodes.as_slice()),
            size_of_val(self.cuts.as_slice()),
            size_of_val(self.roots.as_slice()),
        ];
        slices.iter().sum()
    }

    /// Fills `[score, mean length]`.
    pub(crate) fn score(&self, raw: &[f64], preds: &mut [f64]) {
        let sum = self.roots.chunks(ABREAST).fold(0.0, |sum, roots| {
            let lengths = self.lengths(roots, raw);
            lengths.iter().take(roots.len()).fold(sum, |sum, length| sum + length)
        });
        let mean = sum / self.roots.len() as f64;
        preds[0] = pow(2.0, -(mean / self.scale));
        preds[1] = mean;
    }

    /// Lengths of the paths through up to [`ABREAST`] trees, level by level.
    fn lengths(&self, roots: &[Option<u32>], raw: &[f64]) -> [f64; ABREAST] {
        let mut lengths = [-1.0; ABREAST];
        let mut next = [None; ABREAST];
        next.iter_mut().zip(roots).for_each(|(next, root)| *next = *root);
        let mut depth = 0.0;
        loop {
            let (mut cuts, mut any) = ([None; ABREAST], None);
            for ((next, cut), length) in next.iter().zip(&mut cuts).zip(&mut lengths) {
                match next.map(|at: u32| self.nodes[at as usize]) {
                    Some(Node::Cut { at, left, right }) => {
                        *cut = Some((at, left, right));
                        any = Some(at);
                    }
                    Some(Node::Leaf(rest)) => *length = depth + rest,
                    None => {}
                }
            }
            let Some(any) = any else { return lengths };
            // A path that has ended adds up what another does.
            let sides = self.sides(cuts.map(|cut| cut.map_or(any, |(at, ..)| at)), raw);
            for ((next, cut), side) in next.iter_mut().zip(cuts).zip(sides) {
                *next = cut.and_then(|(_, left, right)| if side <= 0.0 { left } else { right });
            }
            depth += 1.0;
        }
    }

    /// On which side of each cut the row lies: not above 0 is left.
    fn sides(&self, cuts: [usize; ABREAST], raw: &[f64]) -> [f64; ABREAST] {
        let raw = &raw[..self.width];
        let cuts = cuts.map(|at| {
            let (n, rest) = self.cuts[at..].split_at(raw.len());
            (n, &rest[..raw.len()])
        });
        let mut sums = [0.0; ABREAST];
        for (column, x) in raw.iter().enumerate() {
            for (sum, (n, p)) in sums.iter_mut().zip(cuts) {
                *sum += (x - p[column]) * n[column];
            }
        }
        sums
    }
}

/// `c(n)`: mean depth at which a search in a tree of `n` ends without success.
fn mean_depth(n: i64) -> f64 {
    match n {
        ..2 => 0.0,
        2 => 1.0,
        n => {
            let n = n as f64;
            2.0 * (log(n - 1.0) + EULER) - (2.0 * (n - 1.0)) / n
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition: one path.
    fn length(forest: &ExtendedIsolationForest, root: Option<u32>, raw: &[f64]) -> f64 {
        let mut depth = 0.0;
        let mut next = root;
        while let Some(at) = next {
            match forest.nodes[at as usize] {
                Node::Leaf(rest) => return depth + rest,
                Node::Cut { at, left, right } => {
                    let (n, p) = forest.cuts[at..].split_at(forest.width);
                    let terms = raw.iter().zip(p).zip(n);
                    let side = terms.fold(0.0, |sum, ((x, p), n)| sum + (x - p) * n);
                    next = if side <= 0.0 { left } else { right };
                    depth += 1.0;
                }
            }
        }
        -1.0
    }

    #[test]
    fn paths_abreast_are_as_long_as_alone() {
        let mut forest = empty(3);
        let mut seed = 7_u64;
        let mut random = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 40) as f64 / f64::from(1 << 23) - 1.0
        };
        for tree in 0..11_usize {
            let first = forest.nodes.len();
            // Whole trees of other depths, a child missing here and there.
            let n = (1_usize << (tree % 6)) - 1;
            for node in 0..=2 * n {
                let child =
                    |child: usize| (child % 13 != 5).then(|| u32::try_from(first + child).unwrap());
                forest.nodes.push(if node >= n {
                    Node::Leaf(mean_depth(i64::try_from(node % 5).unwrap()))
                } else {
                    let at = forest.cuts.len();
                    forest.cuts.extend((0..6).map(|_| random()));
                    Node::Cut { at, left: child(2 * node + 1), right: child(2 * node + 2) }
                });
            }
            forest.roots.push((tree != 4).then(|| u32::try_from(first).unwrap()));
        }
        for row in 0..200 {
            let nan = [random(), f64::NAN, random()];
            let raw = if row % 20 == 0 { nan } else { [random(), random(), random()] };
            for roots in forest.roots.chunks(ABREAST) {
                let lengths = forest.lengths(roots, &raw);
                for (found, &root) in lengths.into_iter().zip(roots) {
                    assert_eq!(found.to_bits(), length(&forest, root, &raw).to_bits());
                }
            }
        }
    }

    fn empty(width: usize) -> ExtendedIsolationForest {
        let (nodes, cuts, roots) = (Vec::new(), Vec::new(), Vec::new());
        ExtendedIsolationForest { nodes, cuts, roots, width, scale: 1.0 }
    }

    fn leaf(number: i32, rows: i32) -> Vec<u8> {
        [&number.to_le_bytes()[..], b"L", &rows.to_le_bytes()].concat()
    }

    fn cut(number: i32, n: f64, p: f64) -> Vec<u8> {
        [&number.to_le_bytes()[..], b"N", &n.to_le_bytes(), &p.to_le_bytes()].concat()
    }

    fn tree(records: &[Vec<u8>]) -> Vec<u8> {
        [1_i32.to_le_bytes().to_vec(), records.concat()].concat()
    }

    #[test]
    fn a_path_that_leads_nowhere_has_length_minus_one() {
        let mut forest = empty(1);
        // The right child is missing; the left one is there twice, and the nearer one counts.
        let bytes = tree(&[cut(0, 1.0, 0.0), leaf(1, 2), leaf(1, 0)]);
        let root = forest.read_tree(&bytes, 10).unwrap();
        assert_eq!(length(&forest, root, &[-1.0]), 2.0);
        assert_eq!(length(&forest, root, &[1.0]), -1.0);
        assert_eq!(length(&forest, root, &[f64::NAN]), -1.0);
        let filled = [bytes, vec![0; 7]].concat();
        let reason = forest.read_tree(&filled, 10).unwrap_err().reason;
        assert_eq!(reason, "a child of node 0 is missing");
        let filled = [tree(&[cut(0, 1.0, 0.0), leaf(1, 2), leaf(2, 2)]), vec![0; 7]].concat();
        assert!(forest.read_tree(&filled, 10).is_ok());
        let bytes = tree(&[leaf(1, 2), cut(0, 1.0, 0.0)]);
        let root = forest.read_tree(&bytes, 10).unwrap();
        assert_eq!(length(&forest, root, &[-1.0]), -1.0);
    }

    #[test]
    fn damage_has_a_place() {
        let whole = tree(&[cut(0, 1.0, 0.0), leaf(1, 2)]);
        for end in 0..whole.len() {
            let is_whole = end == 4 || end == 25;
            assert_eq!(empty(1).read_tree(&whole[..end], 10).is_ok(), is_whole, "{end} bytes");
        }
        assert_eq!(empty(2).read_tree(&whole, 10).unwrap_err().at, 4);
        assert!(empty(1).read_tree(&whole, 1).unwrap_err().reason.contains("nodes_max"));
        let mut odd = whole;
        odd[8] = b'X';
        assert_eq!(empty(1).read_tree(&odd, 10).unwrap_err().reason, "a node of type 88");
    }
}
