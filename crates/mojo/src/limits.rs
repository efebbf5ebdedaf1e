//! What a file may ask for at most.

/// Bounds that every reader keeps to; a file beyond one of them is refused with the bound's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Entries in the archive.
    pub entries_max: usize,
    /// Inflated bytes of one entry.
    pub entry_bytes_max: u64,
    /// Inflated bytes of all entries that are read.
    pub total_bytes_max: u64,
    /// Inflated over stored size, for entries above 1 MiB. Deflate reaches 1,032, on nothing but
    /// equal bytes: a bound above that would never speak.
    pub inflation_ratio_max: u64,
    /// Lines of text that are read, of all entries together: each level, word and key of `model.ini`
    /// is one, and takes 50 to 250 bytes more than in the file. H2O has at most 10,000,000 levels.
    pub lines_max: usize,
    /// Models inside models.
    pub submodel_depth_max: usize,
    /// Edges from the root of a tree to its deepest leaf.
    pub tree_depth_max: usize,
    /// Nodes of all trees together.
    pub nodes_max: usize,
    /// Columns of the model, the response included.
    pub columns_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries_max: 200_000,
            entry_bytes_max: 4 << 30,
            total_bytes_max: 8 << 30,
            inflation_ratio_max: 1_000,
            lines_max: 10_000_000,
            submodel_depth_max: 4,
            tree_depth_max: 4_096,
            nodes_max: 1 << 28,
            columns_max: 1_000_000,
        }
    }
}
