//! From `boosterBytes`, XGBoost's old binary format, to the arena.
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    clippy::expect_used
)]

use super::{
    Booster, COLD_LEFT, Covers, DEFAULT_LEFT, HOT, HOT_LEFT, LEAF, Node, Objective, OneHot, Trees,
    XGBoost,
};
use crate::cursor::{Cursor, Damage};
use crate::error::LoadError;
use crate::limits::Limits;
use crate::reader::Reader;
use crate::tree::shap;

const ENTRY: &str = "boosterBytes";

pub(super) fn xgboost(
    reader: &Reader<'_, '_>,
    mojo_version: f64,
    n_classes: usize,
    n_features: usize,
) -> Result<XGBoost, LoadError> {
    let one_hot = one_hot(reader, n_features, mojo_version)?;
    let bytes = reader.blob(ENTRY)?;
    let mut cursor = Cursor::new(&bytes);
    let head = head(&mut cursor).map_err(|damage| reader.damaged(ENTRY, &damage))?;
    let bad = |reason: String| reader.bad_entry(ENTRY, reason);
    let objective = Objective::parse(&head.objective)
        .ok_or_else(|| bad(format!("objective `{}` is not known", head.objective)))?;
    let outputs = head.outputs;
    let expected = if n_classes > 2 { n_classes } else { 1 };
    if outputs != expected {
        return Err(bad(format!("{outputs} outputs for {n_classes} classes")));
    }
    let has_offset = reader.ini().bool_or("has_offset", false)?;
    let covers = covers(reader, outputs)?;
    let mut source =
        Source { cursor, one_hot: &one_hot, limits: reader.limits(), covers: &covers, depth: 0 };
    let booster = match head.booster.as_str() {
        "gbtree" => source.trees(outputs, head.with_buffer, false).map(Booster::Trees),
        "dart" => source.trees(outputs, head.with_buffer, true).map(Booster::Trees),
        "gblinear" => source.linear(outputs, head.features),
        other => return Err(bad(format!("booster `{other}` is not known"))),
    }
    .map_err(|damage| reader.damaged(ENTRY, &damage))?;
    Ok(XGBoost {
        booster,
        objective,
        base_margin: if head.major >= 1 {
            objective.margin(head.base_score)
        } else {
            head.base_score
        },
        base_last: head.major < 1 || (head.major == 1 && head.minor <= 2),
        has_offset,
        outputs,
        one_hot,
    })
}

fn one_hot(
    reader: &Reader<'_, '_>,
    n_features: usize,
    mojo_version: f64,
) -> Result<OneHot, LoadError> {
    let ini = reader.ini();
    let bad = |key: &str, expected: String| LoadError::BadValue {
        key: key.to_owned(),
        found: crate::ini::shorten(ini.text(key).unwrap_or("missing")),
        expected,
    };
    let (cats, nums) = (ini.usize("cats")?, ini.usize("nums")?);
    let offsets: Vec<usize> = ini
        .ints("cat_offsets")?
        .into_iter()
        .map(usize::try_from)
        .collect::<Result<_, _>>()
        .map_err(|_| bad("cat_offsets", "numbers from 0".to_owned()))?;
    let is_first_zero = offsets.first() == Some(&0);
    if offsets.len() != cats.saturating_add(1) || !is_first_zero || !offsets.is_sorted() {
        return Err(bad("cat_offsets", format!("{cats} + 1 rising numbers from 0")));
    }
    let columns = cats.saturating_add(nums);
    // The first version let rows be short of numbers, in boosters other than gbtree.
    let may_be_short = mojo_version == 1.0 && ini.text("booster") != Some("gbtree");
    let short = may_be_short && n_features < columns && cats <= n_features;
    if columns != n_features && !short {
        return Err(bad(
            "nums",
            format!("{}, as there are {n_features} columns", n_features.saturating_sub(cats)),
        ));
    }
    let limit = reader.limits().columns_max;
    if nums > limit {
        return Err(LoadError::Limit {
            what: "`nums`".to_owned(),
            found: nums as u64,
            limit: limit as u64,
            name: "columns_max",
        });
    }
    Ok(OneHot {
        cat_offsets: offsets,
        nums,
        all_levels: ini.bool_or("use_all_factor_levels", false)?,
        sparse: ini.bool_or("sparse", false)?,
    })
}

/// Where the weights of nodes are to come from.
enum Cover {
    /// From nowhere, and why.
    None(String),
    /// From the booster: the sum of hessians.
    Booster,
    /// From `auxNodeWeights`: by tree and node.
    Own(Vec<Vec<f32>>),
}

fn covers(reader: &Reader<'_, '_>, outputs: usize) -> Result<Cover, LoadError> {
    const ENTRY: &str = "auxNodeWeights";
    if outputs != 1 {
        return Ok(Cover::None("there are no contributions for several classes".to_owned()));
    }
    if !reader.explanations() {
        let reason = "the model was loaded without what it needs (option `explanations`)";
        return Ok(Cover::None(reason.to_owned()));
    }
    if !reader.contains(ENTRY) {
        return Ok(Cover::Booster);
    }
    let bytes = reader.blob(ENTRY)?;
    Ok(own_weights(&mut Cursor::new(&bytes)).map_or_else(
        |damage| {
            let reason = format!("`{ENTRY}` is damaged at byte {}: {}", damage.at, damage.reason);
            reader.warn("bad_aux", format!("{reason}: there are no contributions"));
            Cover::None(reason)
        },
        Cover::Own,
    ))
}

/// `i32` trees, then for each an `i32` count of nodes and their weights as `f64`. Source:
/// `AuxNodeWeightsHelper`.
fn own_weights(cursor: &mut Cursor<'_>) -> Result<Vec<Vec<f32>>, Damage> {
    let mut trees = Vec::new();
    for _ in 0..count(cursor, "trees")? {
        let nodes = count(cursor, "nodes")?;
        let bytes = nodes.checked_mul(8).ok_or_else(|| cursor.damage("too many nodes"))?;
        let weights = cursor.take(bytes)?.chunks_exact(8);
        trees.push(
            weights.map(|c| f64::from_le_bytes(c.try_into().unwrap_or([0; 8])) as f32).collect(),
        );
    }
    Ok(trees)
}

struct Head {
    base_score: f32,
    features: usize,
    outputs: usize,
    with_buffer: bool,
    major: i32,
    minor: i32,
    objective: String,
    booster: String,
}

/// 136 bytes (before them, in old files, the word `binf`), then two strings.
fn head(cursor: &mut Cursor<'_>) -> Result<Head, Damage> {
    let mut ahead = cursor.clone();
    if ahead.take(4)? == b"binf" {
        *cursor = ahead;
    }
    let base_score = cursor.f32()?;
    let features = count(cursor, "features")?;
    let classes = count(cursor, "classes")?;
    let with_buffer = cursor.i32()? != 0;
    cursor.i32()?; // whether evaluation results follow the model
    let (major, minor) = (cursor.i32()?, cursor.i32()?);
    cursor.take(27 * 4)?;
    let objective = string(cursor)?;
    let booster = string(cursor)?;
    let outputs = classes.max(1);
    Ok(Head { base_score, features, outputs, with_buffer, major, minor, objective, booster })
}

fn count(cursor: &mut Cursor<'_>, what: &str) -> Result<usize, Damage> {
    let found = cursor.i32()?;
    usize::try_from(found).map_err(|_| cursor.damage(format!("{found} {what}")))
}

fn string(cursor: &mut Cursor<'_>) -> Result<String, Damage> {
    let length = cursor.u64()?;
    let length = usize::try_from(length).map_err(|_| cursor.damage("a string without end"))?;
    Ok(String::from_utf8_lossy(cursor.take(length)?).into_owned())
}

/// A node as it stands in the file.
#[derive(Clone, Copy)]
struct FileNode {
    left: i32,
    right: i32,
    column: u32,
    value: f32,
}

struct Source<'a> {
    cursor: Cursor<'a>,
    one_hot: &'a OneHot,
    limits: &'a Limits,
    covers: &'a Cover,
    depth: usize,
}

impl Source<'_> {
    fn trees(&mut self, outputs: usize, with_buffer: bool, dart: bool) -> Result<Trees, Damage> {
        let n_trees = count(&mut self.cursor, "trees")?;
        self.cursor.take(3 * 4)?; // roots, features, padding
        let buffer = self.cursor.u64()?;
        self.cursor.i32()?; // outputs, no longer in use
        let leaf_vector = count(&mut self.cursor, "values per leaf")?;
        self.cursor.take(32 * 4)?;
        let covers = match self.covers {
            Cover::None(reason) => Err(reason.clone()),
            Cover::Booster | Cover::Own(_) => Ok(Covers::default()),
        };
        let mut trees = Trees {
            nodes: Vec::new(),
            roots: vec![Vec::new(); outputs],
            weights: None,
            order: Vec::new(),
            depth: 0,
            covers,
            kernels: Box::default(),
        };
        let mut all_roots = Vec::new();
        for number in 0..n_trees {
            all_roots.push(self.tree(&mut trees, number)?);
        }
        trees.depth = self.depth;
        for &root in &all_roots {
            let output = count(&mut self.cursor, "as number of an output")?;
            trees.order.push((root, u32::try_from(output).unwrap_or(u32::MAX)));
            match trees.roots.get_mut(output) {
                Some(roots) => roots.push(root),
                None => return Err(self.cursor.damage(format!("a tree of output {output}"))),
            }
        }
        if with_buffer && buffer != 0 {
            let values = usize::try_from(buffer)
                .ok()
                .and_then(|n| n.checked_mul(outputs)?.checked_mul(leaf_vector.checked_add(1)?))
                .and_then(|n| n.checked_mul(8))
                .ok_or_else(|| self.cursor.damage("a prediction buffer without end"))?;
            self.cursor.take(values)?;
        }
        if dart && n_trees > 0 {
            let n = self.cursor.u64()?;
            let longest = trees.roots.iter().map(Vec::len).max().unwrap_or(0);
            if n < longest as u64 {
                return Err(self.cursor.damage(format!("{n} weights for {longest} trees")));
            }
            trees.weights = Some(self.floats(n)?);
        }
        trees.nodes.shrink_to_fit();
        Ok(trees)
    }

    fn floats(&mut self, n: u64) -> Result<Vec<f32>, Damage> {
        let bytes = usize::try_from(n).ok().and_then(|n| n.checked_mul(4));
        let bytes = bytes.ok_or_else(|| self.cursor.damage(format!("{n} numbers")))?;
        let taken = self.cursor.take(bytes)?;
        Ok(taken
            .chunks_exact(4)
            .map(|chunk| f32::from_le_bytes(chunk.try_into().unwrap_or([0; 4])))
            .collect())
    }

    fn linear(&mut self, outputs: usize, features: usize) -> Result<Booster, Damage> {
        self.cursor.take(34 * 4)?;
        let n = self.cursor.u64()?;
        let expected = features.checked_add(1).and_then(|rows| rows.checked_mul(outputs));
        let expected = expected.filter(|_| features <= self.one_hot.features());
        let Some(expected) = expected else {
            return Err(self.cursor.damage(format!(
                "{features} features, the model's columns make {}",
                self.one_hot.features()
            )));
        };
        // Of a booster that never learnt anything: their number is no more than a claim.
        let weights = if n == 0 && expected <= self.limits.columns_max {
            vec![0.0; expected]
        } else {
            self.floats(n)?
        };
        if weights.len() < expected {
            return Err(self.cursor.damage(format!("{n} weights, expected {expected}")));
        }
        Ok(Booster::Linear { weights, features })
    }

    /// Reads one tree and moves it into the arena, left children first.
    fn tree(&mut self, trees: &mut Trees, number: usize) -> Result<u32, Damage> {
        let nodes = &mut trees.nodes;
        self.cursor.i32()?; // roots
        let n = count(&mut self.cursor, "nodes")?;
        self.cursor.take(35 * 4)?; // deleted nodes, depth, features, leaf vector, reserved
        let mut file_nodes = Vec::new();
        for _ in 0..n {
            self.cursor.i32()?; // parent
            let (left, right) = (self.cursor.i32()?, self.cursor.i32()?);
            let (column, value) = (self.cursor.u32()?, self.cursor.f32()?);
            file_nodes.push(FileNode { left, right, column, value });
        }
        let statistics = n.checked_mul(16).ok_or_else(|| self.cursor.damage("too many nodes"))?;
        let statistics = self.cursor.take(statistics)?;
        let root = self.index(nodes)?;
        let mut seen = vec![false; n];
        // Number in the file of each node of the arena.
        let mut numbers = Vec::new();
        // Parent that waits for its right child, the child, its depth.
        let mut pending: Vec<(Option<u32>, i32, usize)> = vec![(None, 0, 0)];
        while let Some((parent, id, depth)) = pending.pop() {
            let index = self.index(nodes)?;
            let place = usize::try_from(id).ok();
            let fresh = place.and_then(|place| seen.get_mut(place)).filter(|seen| !**seen);
            let (Some(fresh), Some(node)) = (fresh, place.and_then(|place| file_nodes.get(place)))
            else {
                let reason = format!("node {id} is not there, or has two parents");
                return Err(self.cursor.damage(reason));
            };
            *fresh = true;
            if let Some(parent) = parent.and_then(|parent| nodes.get_mut(parent as usize)) {
                parent.right = index;
            }
            nodes.push(self.node(node, id)?);
            numbers.push(place.unwrap_or_default());
            if node.left != -1 {
                if depth >= self.limits.tree_depth_max {
                    let limit = self.limits.tree_depth_max;
                    return Err(self
                        .cursor
                        .damage(format!("deeper than {limit} (`tree_depth_max`)")));
                }
                let below = depth.saturating_add(1);
                self.depth = self.depth.max(below);
                pending.push((Some(index), node.right, below));
                pending.push((None, node.left, below));
            }
        }
        if let Ok(covers) = &mut trees.covers {
            match self.weights(statistics, number, &numbers, n) {
                Ok(weights) => {
                    let base = root as usize;
                    let own = trees.nodes.get(base..).unwrap_or_default().iter().enumerate();
                    let mean =
                        shap::mean(own.map(|(at, node)| node.or_children(at, base)), &weights);
                    covers.means.push(mean);
                    covers.nodes.extend(weights);
                }
                Err(reason) => trees.covers = Err(reason),
            }
        }
        Ok(root)
    }

    /// Weights of the nodes with these numbers, of `n` in the file.
    fn weights(
        &self,
        statistics: &[u8],
        tree: usize,
        numbers: &[usize],
        n: usize,
    ) -> Result<Vec<f32>, String> {
        // Gain, hessian, base weight, leaves.
        let hessians = statistics.chunks_exact(16).map(|record| match record {
            [_, _, _, _, a, b, c, d, ..] => f32::from_le_bytes([*a, *b, *c, *d]),
            _ => f32::NAN,
        });
        let mut all: Vec<f32> = hessians.collect();
        if let Cover::Own(trees) = self.covers {
            let own = trees.get(tree).map(Vec::as_slice).unwrap_or_default();
            if own.len() > n {
                return Err(format!("`auxNodeWeights` has {} nodes for {n}", own.len()));
            }
            // Where there are fewer, the booster's stay.
            all.iter_mut().zip(own).for_each(|(weight, own)| *weight = *own);
        }
        Ok(numbers.iter().map(|&number| all.get(number).copied().unwrap_or(f32::NAN)).collect())
    }

    fn index(&self, nodes: &[Node]) -> Result<u32, Damage> {
        if nodes.len() >= self.limits.nodes_max {
            return Err(self
                .cursor
                .damage(format!("more than {} nodes (`nodes_max`)", nodes.len())));
        }
        u32::try_from(nodes.len()).map_err(|_| self.cursor.damage("too many nodes"))
    }

    /// Decides what can be decided before a row is there.
    fn node(&self, node: &FileNode, number: i32) -> Result<Node, Damage> {
        if node.left == -1 {
            let right = number.cast_unsigned();
            return Ok(Node { test: node.value.to_bits(), right, column: 0, flags: LEAF });
        }
        let feature = (node.column & 0x7fff_ffff) as usize;
        let default_left = node.column >> 31 != 0;
        if feature >= self.one_hot.features() {
            return Err(self.cursor.damage(format!(
                "split on feature {feature}, the model's columns make {}",
                self.one_hot.features()
            )));
        }
        let column = |column: usize| {
            u32::try_from(column).map_err(|_| self.cursor.damage(format!("column {column}")))
        };
        let Some(cat) = self.one_hot.cat_of(feature) else {
            let number = feature.saturating_sub(self.one_hot.hots());
            let column = column(number.saturating_add(self.one_hot.cats()))?;
            let flags = if default_left { DEFAULT_LEFT } else { 0 };
            return Ok(Node { test: node.value.to_bits(), right: 0, column, flags });
        };
        let goes_left = |value: f32| if value.is_nan() { default_left } else { value < node.value };
        let mut flags = HOT;
        if goes_left(1.0) {
            flags |= HOT_LEFT;
        }
        if goes_left(self.one_hot.cold()) {
            flags |= COLD_LEFT;
        }
        Ok(Node { test: column(feature)?, right: 0, column: column(cat)?, flags })
    }
}
