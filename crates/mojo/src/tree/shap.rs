//! Path-dependent TreeSHAP, with the additions and divisions of genmodel one by one.
//!
//! Lundberg, Erion, Lee: Consistent Individualized Feature Attribution for Tree Ensembles, 2018,
//! algorithm 2. All in `f32`, the branch that the row takes before the other one: the order is part
//! of the answer. Source: `TreeSHAP`.
//!
//! Without recursion; the caller bounds the depth with [`DEPTH_MAX`], as time grows with
//! leaves x depth² and the paths take 8 bytes x depth².

mod rows;

/// Trees with more edges between root and leaf have no contributions: a row's would take minutes.
pub(crate) const DEPTH_MAX: usize = 512;

/// A node.
pub(crate) enum Shape {
    /// The end, with its prediction.
    Leaf(f32),
    /// A test of a feature, and both children.
    Split { feature: usize, left: usize, right: usize },
}

/// Trees and rows to go through them.
pub(crate) trait Trees {
    fn shape(&self, node: usize) -> Shape;
    /// The way that a row takes.
    fn goes_right(&self, node: usize, row: usize) -> bool;
    /// How much of the training data passed through a node.
    fn weight(&self, node: usize) -> f32;
}

/// One feature on the way from the root, `feature` -1 for the start.
#[derive(Debug, Clone, Copy)]
struct Element {
    feature: i32,
    /// Share of the data that goes this way if the feature is unknown.
    zero: f32,
    /// 1 if the row goes this way, else 0.
    one: f32,
    weight: f32,
}

const START: Element = Element { feature: -1, zero: 0.0, one: 0.0, weight: 0.0 };

/// A node that is still to be visited.
#[derive(Debug)]
struct Visit {
    node: usize,
    /// Where the parent's path starts.
    parent: usize,
    /// Elements of the path before this node's own.
    depth: usize,
    zero: f32,
    one: f32,
    feature: i32,
}

/// Buffers of one thread.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    rows: rows::Scratch,
    /// The paths to a node and to all nodes above it, behind each other.
    path: Vec<Element>,
    visits: Vec<Visit>,
    /// `(depth - i) / (depth + 1)` of the path to a leaf.
    shares: Vec<f32>,
}

/// From so many rows on it pays to see what they have in common.
const ROWS_MIN: usize = 4;

/// Adds the contributions of one tree to `phi`, row-major, rows x `stride`, one place per feature.
///
/// # Panics
/// If `phi` has no place for a feature.
pub(crate) fn add(
    trees: &impl Trees,
    root: usize,
    phi: &mut [f32],
    stride: usize,
    scratch: &mut Scratch,
) {
    let pays = phi.len() / stride >= ROWS_MIN;
    if pays && rows::add(trees, root, phi, stride, &mut scratch.rows) {
        return;
    }
    for (row, phi) in phi.chunks_exact_mut(stride).enumerate() {
        add_row(trees, root, row, phi, scratch);
    }
}

/// The definition.
fn add_row(tree: &impl Trees, root: usize, row: usize, phi: &mut [f32], scratch: &mut Scratch) {
    let Scratch { path: paths, visits, shares, .. } = scratch;
    visits.clear();
    visits.push(Visit { node: root, parent: 0, depth: 0, zero: 1.0, one: 1.0, feature: -1 });
    while let Some(visit) = visits.pop() {
        let mut depth = visit.depth;
        let start = visit.parent + depth;
        if paths.len() <= start + depth {
            paths.resize(start + depth + 1, START);
        }
        paths.copy_within(visit.parent..start, start);
        let path = &mut paths[start..=start + depth];
        extend(path, visit.zero, visit.one, visit.feature);
        match tree.shape(visit.node) {
            Shape::Leaf(value) => {
                shares.clear();
                shares.extend(self::shares(depth));
                for (place, element) in path.iter().enumerate().skip(1) {
                    let weight = unwound_sum(path, shares, place);
                    phi[element.feature as usize] += weight * (element.one - element.zero) * value;
                }
            }
            Shape::Split { feature, left, right } => {
                let goes_right = tree.goes_right(visit.node, row);
                let (hot, cold) = if goes_right { (right, left) } else { (left, right) };
                let all = tree.weight(visit.node);
                // No data: genmodel takes both ways for equally likely.
                let share = |child| if all == 0.0 { 0.5 } else { tree.weight(child) / all };
                let (hot_share, cold_share) = (share(hot), share(cold));
                let (mut zero, mut one) = (1.0, 1.0);
                let feature = feature as i32;
                if let Some(place) = path.iter().position(|element| element.feature == feature) {
                    // Tested before: both tests become one.
                    (zero, one) = (path[place].zero, path[place].one);
                    unwind(path, place);
                    depth -= 1;
                }
                let below = |node, zero, one| Visit {
                    node,
                    parent: start,
                    depth: depth + 1,
                    zero,
                    one,
                    feature,
                };
                visits.push(below(cold, cold_share * zero, 0.0));
                visits.push(below(hot, hot_share * zero, one));
            }
        }
    }
}

/// `(depth - i) / (depth + 1)` for each place `i` of a path but the last.
fn shares(depth: usize) -> impl DoubleEndedIterator<Item = f32> + ExactSizeIterator {
    (0..depth).map(move |i| (depth - i) as f32 / (depth + 1) as f32)
}

/// Sets the last element of a path.
fn extend(path: &mut [Element], zero: f32, one: f32, feature: i32) {
    let depth = path.len() - 1;
    let weight = if depth == 0 { 1.0 } else { 0.0 };
    path[depth] = Element { feature, zero, one, weight };
    let length = (depth + 1) as f32;
    for i in (0..depth).rev() {
        path[i + 1].weight += one * path[i].weight * (i + 1) as f32 / length;
        path[i].weight = zero * path[i].weight * (depth - i) as f32 / length;
    }
}

/// Takes an element out of a path, whose last place is then free.
fn unwind(path: &mut [Element], place: usize) {
    let depth = path.len() - 1;
    let Element { zero, one, .. } = path[place];
    let length = (depth + 1) as f32;
    let mut next = path[depth].weight;
    for i in (0..depth).rev() {
        if one != 0.0 {
            let before = path[i].weight;
            path[i].weight = next * length / ((i + 1) as f32 * one);
            next = before - path[i].weight * zero * (depth - i) as f32 / length;
        } else if zero != 0.0 {
            path[i].weight = path[i].weight * length / (zero * (depth - i) as f32);
        } else {
            path[i].weight = 0.0;
        }
    }
    for i in place..depth {
        path[i] = Element { weight: path[i].weight, ..path[i + 1] };
    }
}

/// Sum of the weights that the path would have without an element.
///
/// `shares`: `(depth - i) / (depth + 1)` for each place `i` but the last.
fn unwound_sum(path: &[Element], shares: &[f32], place: usize) -> f32 {
    let Element { zero, one, .. } = path[place];
    let length = path.len() as f32;
    let mut next = path[path.len() - 1].weight;
    let mut total = 0.0;
    let rest = path.iter().zip(shares).enumerate().rev();
    if one != 0.0 {
        for (i, (element, share)) in rest {
            let weight = next * length / ((i + 1) as f32 * one);
            total += weight;
            next = element.weight - weight * zero * share;
        }
    } else if zero != 0.0 {
        for (_, (element, share)) in rest {
            total += (element.weight / zero) / share;
        }
    }
    // Neither: all weights are 0, or NaN in a damaged file, where genmodel stops.
    total
}

/// What a tree predicts on average over the training data.
///
/// `nodes`: leaf value, or the places of both children, which are behind their parent; `weights`:
/// one per node. All in `f32`, as in genmodel. Source: `TreeSHAP.treeMeanValue`.
pub(crate) fn mean(
    nodes: impl DoubleEndedIterator<Item = Result<f32, (usize, usize)>> + ExactSizeIterator,
    weights: &[f32],
) -> f32 {
    let mut means = vec![0.0_f32; weights.len()];
    let at = |values: &[f32], place: usize| values.get(place).copied().unwrap_or(0.0);
    for (place, node) in nodes.enumerate().rev() {
        let weight = at(weights, place);
        let mean = match node {
            _ if weight == 0.0 => 0.0,
            Ok(leaf) => leaf,
            Err((left, right)) => {
                (at(weights, left) * at(&means, left) + at(weights, right) * at(&means, right))
                    / weight
            }
        };
        if let Some(slot) = means.get_mut(place) {
            *slot = mean;
        }
    }
    at(&means, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A chain in which node `2k` tests feature `k % features` and goes on to the right.
    struct Chain {
        features: usize,
        levels: usize,
    }

    impl Trees for Chain {
        fn shape(&self, node: usize) -> Shape {
            if node % 2 == 1 || node == 2 * self.levels {
                return Shape::Leaf(node as f32);
            }
            Shape::Split { feature: node / 2 % self.features, left: node + 1, right: node + 2 }
        }

        fn goes_right(&self, _: usize, _: usize) -> bool {
            true
        }

        fn weight(&self, node: usize) -> f32 {
            if node % 2 == 1 { 1.0 } else { (self.levels - node / 2 + 1) as f32 }
        }
    }

    fn contributions(features: usize, levels: usize) -> (Vec<f32>, f32) {
        let tree = Chain { features, levels };
        let mut phi = vec![0.0; features];
        add(&tree, 0, &mut phi, features, &mut Scratch::default());
        let nodes: Vec<_> = (0..=2 * levels)
            .map(|node| match tree.shape(node) {
                Shape::Leaf(value) => Ok(value),
                Shape::Split { .. } => Err((node + 1, node + 2)),
            })
            .collect();
        let weights: Vec<f32> = (0..=2 * levels).map(|node| tree.weight(node)).collect();
        (phi, mean(nodes.into_iter(), &weights))
    }

    #[test]
    fn contributions_and_mean_make_the_answer() {
        for (features, levels) in [(1, 1), (1, 9), (3, 3), (3, 10), (12, 12)] {
            let (phi, mean) = contributions(features, levels);
            let sum = mean + phi.iter().sum::<f32>();
            let answer = 2.0 * levels as f32;
            assert!((sum - answer).abs() < 1e-4 * answer, "{features} {levels}: {sum}");
        }
    }

    #[test]
    fn the_deepest_tree_costs_no_stack() {
        let (phi, _) = contributions(DEPTH_MAX, DEPTH_MAX);
        assert_eq!(phi.len(), DEPTH_MAX);
    }

    #[test]
    fn a_feature_takes_all_that_it_alone_decides() {
        // Mean (1 + 2) / 2, answer 2.
        let (phi, mean) = contributions(1, 1);
        assert_eq!((phi[0], mean), (0.5, 1.5));
    }

    #[test]
    fn without_data_both_ways_are_equally_likely_and_the_mean_is_0() {
        struct NoData;
        impl Trees for NoData {
            fn shape(&self, node: usize) -> Shape {
                match node {
                    0 => Shape::Split { feature: 0, left: 1, right: 2 },
                    leaf => Shape::Leaf(leaf as f32),
                }
            }
            fn goes_right(&self, _: usize, _: usize) -> bool {
                false
            }
            fn weight(&self, _: usize) -> f32 {
                0.0
            }
        }
        let mut phi = [0.0];
        add(&NoData, 0, &mut phi, 1, &mut Scratch::default());
        // Half of what the row has more than its sibling.
        assert_eq!(phi, [-0.5]);
        assert_eq!(mean([Err((1, 2)), Ok(1.0), Ok(2.0)].into_iter(), &[0.0; 3]), 0.0);
        // A tree of one leaf has no weight.
        assert_eq!(mean([Ok(7.0)].into_iter(), &[0.0]), 0.0);
    }

    /// A tree drawn from a seed: `(feature, left, right)` or a leaf, and weights, some of them 0.
    struct Drawn {
        nodes: Vec<Result<f32, (usize, usize, usize)>>,
        weights: Vec<f32>,
    }

    fn drawn(seed: u64, features: usize, depth: usize) -> Drawn {
        let mut state = seed;
        let mut draw = move |n: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
            (state >> 33) % n
        };
        let mut tree = Drawn { nodes: vec![Ok(0.0)], weights: vec![1000.0] };
        let mut open = vec![(0, 0)];
        while let Some((node, level)) = open.pop() {
            let weight = tree.weights[node];
            if level == depth || (level > 1 && draw(5) == 0) {
                tree.nodes[node] = Ok(draw(2000) as f32 / 7.0 - 100.0);
                continue;
            }
            let left = tree.nodes.len();
            tree.nodes[node] = Err((draw(features as u64) as usize, left, left + 1));
            let share = if draw(8) == 0 { 0.0 } else { (weight * draw(100) as f32 / 99.0).floor() };
            for (child, weight) in [(left, share), (left + 1, weight - share)] {
                tree.nodes.push(Ok(0.0));
                tree.weights.push(weight);
                open.push((child, level + 1));
            }
        }
        tree
    }

    impl Trees for Drawn {
        fn shape(&self, node: usize) -> Shape {
            match self.nodes[node] {
                Ok(leaf) => Shape::Leaf(leaf),
                Err((feature, left, right)) => Shape::Split { feature, left, right },
            }
        }
        fn goes_right(&self, node: usize, row: usize) -> bool {
            (node * 31 + row * 17 + node * row) % 7 < 3
        }
        fn weight(&self, node: usize) -> f32 {
            self.weights[node]
        }
    }

    #[test]
    fn many_rows_have_the_bits_of_each() {
        let shapes = [(1, 3), (2, 9), (5, 6), (40, 6), (3, 12), (30, 11), (1, 0)];
        for (seed, (features, depth)) in (1..).zip(shapes) {
            let tree = drawn(seed, features, depth);
            for rows in [4, 16, 17, 64, 300] {
                let mut together = vec![0.25; rows * features];
                let mut scratch = Scratch::default();
                assert!(rows::add(&tree, 0, &mut together, features, &mut scratch.rows));
                for (row, together) in together.chunks_exact(features).enumerate() {
                    let mut phi = vec![0.25; features];
                    add_row(&tree, 0, row, &mut phi, &mut scratch);
                    let bits = |phi: &[f32]| phi.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                    let place = format!("{features} features, depth {depth}, row {row} of {rows}");
                    assert_eq!(bits(together), bits(&phi), "{place}");
                }
            }
        }
    }
}
