//! From the bytes of `trees/tCC_GGG.bin` to the arena.
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic,
    clippy::expect_used
)]

use super::kernel::Kept;
use super::statistics::Statistics;
use super::{Forest, LEAF, NA_LEFT, NA_VS_REST, Node, Rules, SET, Set, Sets, Weights, shap};
use crate::cursor::{Cursor, Damage};
use crate::error::LoadError;
use crate::limits::Limits;
use crate::reader::Reader;

/// Column number of a tree that is one leaf.
const NO_COLUMN: u16 = 65_535;

/// Where the reader stands in a tree.
#[derive(Clone, Copy)]
struct Place {
    depth: usize,
    is_leaf: bool,
    /// The set that was tested last on the way from the root.
    last_set: Option<u32>,
}

/// A right child that has still to be read.
struct Pending {
    parent: usize,
    /// Where its bytes must start.
    at: usize,
    place: Place,
}

pub(super) fn forest(
    reader: &Reader<'_, '_>,
    mojo_version: f64,
    classes: usize,
    groups: usize,
    levels: &[Option<usize>],
    contributions: bool,
) -> Result<Forest, LoadError> {
    let mut forest = empty(mojo_version, groups, levels);
    refuse_explanations(&mut forest, reader, mojo_version, contributions);
    let (mut bytes, mut of_nodes) = (Vec::new(), Statistics::default());
    let names = reader.names_from("trees/t").into_iter().filter(|name| !name.ends_with("_aux.bin"));
    let stored_bytes = names.map(|name| reader.stored_size(name)).sum::<u64>();
    for class in 0..classes {
        let entry = |group: usize| format!("trees/t{class:02}_{group:03}.bin");
        let mut roots = Vec::new();
        // A class without any tree was not seen in training; one with holes is damaged.
        if has_trees(reader, class, groups) {
            for group in 0..groups {
                let name = entry(group);
                if !reader.contains(&name) {
                    let reason = "other trees of its class are there; export the model again";
                    return Err(reader.missing_entry(&name, reason));
                }
                reader.blob_into(&name, &mut bytes)?;
                let (root, end) = TreeReader::new(&bytes, &mut forest, reader.limits())
                    .read()
                    .map_err(|damage| reader.damaged(&name, &damage))?;
                roots.push(root);
                // genmodel does not look there either; H2O writes nothing there.
                if end < bytes.len() {
                    let extra = bytes.len().saturating_sub(end);
                    reader.warn(
                        "bytes_after_tree",
                        format!("`{name}`: {extra} bytes follow the tree"),
                    );
                }
                statistics(&mut forest, reader, &name, root, &mut bytes, &mut of_nodes)?;
                if forest.roots.is_empty() && roots.len() == 1 {
                    make_room(&mut forest, reader.stored_size(&name), stored_bytes);
                }
            }
        }
        forest.roots.push(roots);
    }
    if forest.trees() == 0 {
        let reason = "the MOJO holds no tree at all; export the model again";
        return Err(reader.missing_entry("trees/t00_000.bin", reason));
    }
    forest.nodes.shrink_to_fit();
    forest.sets.0.shrink_to_fit();
    if let Ok(weights) = &mut forest.weights {
        weights.nodes.shrink_to_fit();
    }
    Ok(forest)
}

/// Makes room for all trees as if they were like the first, so that the forest seldom moves while it
/// grows. Sizes are those of bytes that are there; room that stays empty takes no memory.
fn make_room(forest: &mut Forest, first: u64, all: u64) {
    fn of<T>(items: &mut Vec<T>, first: u64, all: u64) {
        let like = (items.len() as u128).saturating_mul(all.into()).checked_div(first.into());
        // Without it the forest grows by doubling.
        let _ = items.try_reserve_exact(like.and_then(|n| n.try_into().ok()).unwrap_or(0));
    }
    of(&mut forest.nodes, first, all);
    of(&mut forest.sets.0, first, all);
    if let Ok(weights) = &mut forest.weights {
        of(&mut weights.nodes, first, all);
    }
}

/// A forest without trees.
fn empty(mojo_version: f64, groups: usize, levels: &[Option<usize>]) -> Forest {
    let rules = match mojo_version {
        1.0 => Rules::Plain,
        1.1 => Rules::Ranges,
        _ => Rules::Domains,
    };
    Forest {
        nodes: Vec::new(),
        sets: Sets::default(),
        roots: Vec::new(),
        groups,
        levels: levels
            .iter()
            .map(|levels| levels.map_or(i64::MAX, |n| i64::try_from(n).unwrap_or(i64::MAX)))
            .collect(),
        rules,
        depth: 0,
        ids: Ok(()),
        weights: Ok(Weights { nodes: Vec::new(), means: Vec::new() }),
        kept: Kept::default(),
    }
}

/// Whether one of the class's trees is there. The numbers come from the file: what is looked at is
/// what the archive holds, not what `model.ini` claims.
fn has_trees(reader: &Reader<'_, '_>, class: usize, groups: usize) -> bool {
    let start = format!("trees/t{class:02}_");
    reader.names_from(&start).into_iter().any(|name| {
        let group = name.strip_prefix(start.as_str()).and_then(|rest| rest.strip_suffix(".bin"));
        let group = group.and_then(|group| group.parse().ok());
        group.is_some_and(|group: usize| {
            group < groups && name == format!("trees/t{class:02}_{group:03}.bin")
        })
    })
}

/// Says beforehand what the file, the algorithm or the caller rule out.
fn refuse_explanations(
    forest: &mut Forest,
    reader: &Reader<'_, '_>,
    mojo_version: f64,
    contributions: bool,
) {
    let too_old = |what: &str, first: &str| {
        format!("{what} need MOJO version {first} or later, this one is {mojo_version:.2}")
    };
    if !reader.explanations() {
        let reason = "the model was loaded without what it needs (option `explanations`)";
        forest.ids = Err(reason.to_owned());
        forest.weights = Err(reason.to_owned());
    } else if mojo_version < 1.2 {
        forest.ids = Err(too_old("leaf ids", "1.30"));
        forest.weights = Err(too_old("contributions", "1.20"));
    } else {
        if mojo_version < 1.3 {
            forest.ids = Err(too_old("leaf ids", "1.30"));
        }
        if !contributions {
            forest.weights = Err("there are no contributions for such models".to_owned());
        }
    }
}

/// Reads what explanations need about the tree that was read last, if they are still wanted.
///
/// Damage is no reason to refuse the model: its answers do not depend on it. `bytes` and `found` are
/// room for it.
fn statistics(
    forest: &mut Forest,
    reader: &Reader<'_, '_>,
    tree: &str,
    root: u32,
    bytes: &mut Vec<u8>,
    found: &mut Statistics,
) -> Result<(), LoadError> {
    if forest.ids.is_err() && forest.weights.is_err() {
        return Ok(());
    }
    let base = root as usize;
    let nodes = forest.nodes.get_mut(base..).unwrap_or_default();
    let name = tree.replace(".bin", "_aux.bin");
    let read = if reader.contains(&name) {
        reader.blob_into(&name, bytes)?;
        found.read(bytes, nodes, base).map_err(|damage| {
            format!("`{name}` is damaged at byte {}: {}", damage.at, damage.reason)
        })
    } else {
        Err(format!("`{name}` is missing from the MOJO"))
    };
    if let Err(reason) = read {
        reader.warn("bad_aux", format!("{reason}: there are no leaf ids, no contributions"));
        forest.ids = Err(reason.clone());
        forest.weights = Err(reason);
        return Ok(());
    }
    let Statistics { ids, weights } = found;
    for (node, id) in nodes.iter_mut().zip(ids) {
        if node.flags & LEAF != 0 {
            node.right = id.cast_unsigned();
        }
    }
    if let Ok(all) = &mut forest.weights {
        let places = nodes.iter().enumerate().map(|(place, node)| match node.flags & LEAF {
            0 => Err((place.saturating_add(1), (node.right as usize).saturating_sub(base))),
            _ => Ok(f32::from_bits(node.value)),
        });
        all.means.push(shap::mean(places, weights));
        all.nodes.extend_from_slice(weights);
    }
    Ok(())
}

struct TreeReader<'a> {
    cursor: Cursor<'a>,
    forest: &'a mut Forest,
    limits: &'a Limits,
    pending: Vec<Pending>,
}

impl<'a> TreeReader<'a> {
    fn new(bytes: &'a [u8], forest: &'a mut Forest, limits: &'a Limits) -> Self {
        Self { cursor: Cursor::new(bytes), forest, limits, pending: Vec::new() }
    }

    /// Reads one tree; its root's place, and where its bytes end. Iterative: depth costs no stack.
    fn read(mut self) -> Result<(u32, usize), Damage> {
        let root = self.next_index()?;
        let mut place = Place { depth: 0, is_leaf: false, last_set: None };
        loop {
            if place.is_leaf {
                let value = self.cursor.f32()?;
                self.push_leaf(value)?;
            } else if let Some(left) = self.split(place)? {
                place = left;
                continue;
            }
            let Some(next) = self.pending.pop() else { return Ok((root, self.cursor.at())) };
            if next.at != self.cursor.at() {
                return Err(self.cursor.damage(format!(
                    "the left subtree ends here, its parent says at byte {}",
                    next.at
                )));
            }
            let index = self.next_index()?;
            if let Some(parent) = self.forest.nodes.get_mut(next.parent) {
                parent.right = index;
            }
            place = next.place;
        }
    }

    fn next_index(&self) -> Result<u32, Damage> {
        let index = self.forest.nodes.len();
        if index >= self.limits.nodes_max {
            return Err(self.cursor.damage(format!("more than {index} nodes (limit `nodes_max`)")));
        }
        u32::try_from(index).map_err(|_| self.cursor.damage("too many nodes"))
    }

    fn push_leaf(&mut self, value: f32) -> Result<(), Damage> {
        self.next_index()?;
        self.forest.nodes.push(Node { value: value.to_bits(), right: 0, column: 0, flags: LEAF });
        Ok(())
    }

    /// Reads the head of a node; the place of its left child, or `None` for a tree of one leaf.
    fn split(&mut self, place: Place) -> Result<Option<Place>, Damage> {
        let kind = self.cursor.u8()?;
        let column = self.cursor.u16()?;
        if column == NO_COLUMN {
            let value = self.cursor.f32()?;
            self.push_leaf(value)?;
            return Ok(None);
        }
        if usize::from(column) >= self.forest.levels.len() {
            return Err(self.cursor.damage(format!(
                "split on column {column}, the model has {}",
                self.forest.levels.len()
            )));
        }
        let depth = place.depth.saturating_add(1);
        if depth > self.limits.tree_depth_max {
            let limit = self.limits.tree_depth_max;
            return Err(self.cursor.damage(format!("deeper than {limit} (`tree_depth_max`)")));
        }
        let direction = self.cursor.u8()?;
        let (value, flags, last_set) = self.test(kind, direction, place.last_set)?;
        let (left_is_leaf, left_bytes) = match kind & 0x33 {
            0x30 => (true, 4),
            // One byte of length for 0, two for 1, and so on.
            bytes @ 0..=3 => (false, self.cursor.uint(usize::from(bytes).saturating_add(1))?),
            other => return Err(self.cursor.damage(format!("left child of type {other}"))),
        };
        let right_at = self.cursor.at().checked_add(left_bytes);
        let at = right_at.ok_or_else(|| self.cursor.damage("left subtree too large"))?;
        let parent = self.forest.nodes.len();
        self.next_index()?;
        self.forest.depth = self.forest.depth.max(depth);
        self.forest.nodes.push(Node { value, right: 0, column, flags });
        let right = Place { depth, is_leaf: kind & 0x40 != 0, last_set };
        self.pending.push(Pending { parent, at, place: right });
        Ok(Some(Place { is_leaf: left_is_leaf, ..right }))
    }

    /// Value and flags of a node, and the set that counts as the last one below it.
    fn test(
        &mut self,
        kind: u8,
        direction: u8,
        last_set: Option<u32>,
    ) -> Result<(u32, u8, Option<u32>), Damage> {
        let is_set = kind & 0x0c != 0;
        let flags = match direction {
            1 => {
                // No set of its own: genmodel then checks the range of the one before.
                let stale = last_set.filter(|_| is_set);
                let flags = NA_VS_REST | if stale.is_some() { SET } else { 0 };
                return Ok((stale.unwrap_or(0), flags, last_set));
            }
            2 | 4 => NA_LEFT,
            0 | 3 | 5 => 0,
            other => return Err(self.cursor.damage(format!("direction {other}, expected 0 to 5"))),
        };
        let set = match kind & 0x0c {
            0x00 => return Ok((self.cursor.f32()?.to_bits(), flags, last_set)),
            0x08 => self.set(0, 32, 4)?,
            0x0c => self.offset_set()?,
            _ => return Err(self.cursor.damage("node type 4 is not in use")),
        };
        Ok((set, flags | SET, Some(set)))
    }

    fn offset_set(&mut self) -> Result<u32, Damage> {
        let first = self.cursor.u16()?;
        if self.forest.rules < Rules::Domains {
            // Up to 1.10 the length was counted in bytes.
            let bytes = self.cursor.u16()?;
            return self.set(first, u32::from(bytes).saturating_mul(8), usize::from(bytes));
        }
        let bits = self.cursor.i32()?;
        let Ok(bits) = u32::try_from(bits) else {
            return Err(self.cursor.damage(format!("a set of {bits} levels")));
        };
        let bytes = usize::try_from(bits.div_ceil(8)).unwrap_or(usize::MAX);
        self.set(first, bits, bytes)
    }

    fn set(&mut self, first: u16, len: u32, bytes: usize) -> Result<u32, Damage> {
        let set = Set { first, len, bytes: self.cursor.take(bytes)? };
        self.forest.sets.push(set).ok_or_else(|| self.cursor.damage("too many level sets"))
    }
}
