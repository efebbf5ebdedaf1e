//! What a kernel needs to know of trees, whatever file they came from.

/// How the numbers of a raw row are rounded to `f32` before they are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rounding {
    /// Towards minus infinity: `floor32(d) >= t` exactly if `d >= f64::from(t)` (GBM and relatives).
    Down,
    /// To the nearest, as a cast does (`XGBoost`). `zero_is_missing`: zeros count as missing.
    Nearest { zero_is_missing: bool },
}

/// How a column's value becomes a code, the number by which sets and equality know a level.
///
/// The level is the value as Java's `(int) d`. Codes are `0..levels`, or two of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Coder {
    pub(crate) column: u32,
    /// Taken from the level.
    pub(crate) shift: u32,
    pub(crate) levels: u32,
    /// Code of what is below 0 after the shift, of what is `levels` and above, of NaN: at most
    /// `levels + 1`.
    pub(crate) below: u32,
    pub(crate) beyond: u32,
    pub(crate) missing: u32,
}

impl Coder {
    /// Number of codes.
    pub(crate) fn codes(&self) -> usize {
        self.levels as usize + 2
    }

    #[inline]
    pub(super) fn code(&self, value: f64) -> u32 {
        let level = i64::from(value as i32) - i64::from(self.shift);
        let code = if level < 0 {
            self.below
        } else if level >= i64::from(self.levels) {
            self.beyond
        } else {
            level as u32
        };
        if value.is_nan() { self.missing } else { code }
    }
}

/// A question to a row; `true` goes right.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Test {
    /// No row.
    Never,
    /// The rounded value is the threshold or above; `missing` is the answer for missing values.
    AtLeast { column: u32, threshold: f32, missing: bool },
    /// The value is missing.
    Missing { column: u32 },
    /// The code is in a set, see [`Source::set`].
    Member { column: u32, set: u32 },
    /// The code is this one.
    Equal { column: u32, code: u32 },
}

/// A node of one tree; the left child is the next node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Node {
    Leaf(f32),
    Split {
        test: Test,
        /// `false` goes right.
        inverted: bool,
        right: u32,
    },
}

/// Trees, class by class, in the order in which leaves are added up.
pub(crate) trait Source {
    fn rounding(&self) -> Rounding;

    /// The level from which on a column's value counts as missing in [`Test::AtLeast`] and
    /// [`Test::Missing`]; `i64::MAX` for never.
    fn limit(&self, column: u32) -> i64;

    /// The codes of a column, of use where a test asks for them.
    fn coder(&self, column: u32) -> Coder;

    /// Bytes that all sets may take, written out for every code.
    fn set_bytes_max(&self) -> usize;

    fn classes(&self) -> usize;

    /// Number of trees of a class.
    fn trees(&self, class: usize) -> usize;

    /// Appends the nodes of a tree, the root first, each child behind its parent.
    fn tree(&self, class: usize, tree: usize, nodes: &mut Vec<Node>);

    /// Sets the bit of each code in a set: code `c` is bit `c % 64` of word `c / 64`. `words` are
    /// zero and long enough for all codes of the column.
    fn set(&self, set: u32, words: &mut [u64]);
}

/// A tree as the forms are built from it: constant splits left out.
#[derive(Debug, Default)]
pub(super) struct Tree {
    nodes: Vec<Node>,
}

/// A node with both of its children.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fork {
    Leaf(f32),
    Split { test: Test, left: u32, right: u32 },
}

impl Tree {
    pub(super) fn read(&mut self, source: &impl Source, class: usize, tree: usize) {
        self.nodes.clear();
        source.tree(class, tree, &mut self.nodes);
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The node at a place, or the one that every row goes on to from there.
    pub(super) fn at(&self, place: u32) -> Fork {
        let mut at = place;
        loop {
            match self.nodes[at as usize] {
                Node::Leaf(value) => return Fork::Leaf(value),
                Node::Split { test: Test::Never, inverted, right } => {
                    at = if inverted { right } else { at + 1 };
                }
                Node::Split { test, inverted, right } => {
                    let (left, right) = if inverted { (right, at + 1) } else { (at + 1, right) };
                    return Fork::Split { test, left, right };
                }
            }
        }
    }

    /// Edges from the root to the deepest leaf, or `most` and one, if there are more than `most`.
    /// Calls `visit` with each test that has less than `most` edges above it.
    pub(super) fn depth_up_to(&self, most: usize, mut visit: impl FnMut(Test)) -> usize {
        let mut depth = 0;
        let mut pending = vec![(0, 0)];
        while let Some((place, above)) = pending.pop() {
            depth = depth.max(above);
            if above <= most
                && let Fork::Split { test, left, right } = self.at(place)
            {
                pending.extend([(left, above + 1), (right, above + 1)]);
                if above < most {
                    visit(test);
                }
            }
        }
        depth
    }

    /// All tests, those that no row comes to among them.
    pub(super) fn tests(&self) -> impl Iterator<Item = Test> {
        self.nodes.iter().filter_map(|node| match node {
            Node::Split { test, .. } => Some(*test),
            Node::Leaf(_) => None,
        })
    }
}

/// All tests of all trees.
pub(super) fn each_test(source: &impl Source, mut visit: impl FnMut(Test)) {
    each_tree(source, |tree| tree.tests().for_each(&mut visit));
}

/// All trees.
pub(super) fn each_tree(source: &impl Source, mut visit: impl FnMut(&Tree)) {
    let mut tree = Tree::default();
    for class in 0..source.classes() {
        for index in 0..source.trees(class) {
            tree.read(source, class, index);
            visit(&tree);
        }
    }
}
