//! What a caller may give: columns with their kinds and levels.

use std::collections::HashMap;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Numbers.
    Numeric,
    /// Levels of a domain.
    Categorical,
}

impl Kind {
    /// The word: `numeric` or `categorical`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Numeric => "numeric",
            Self::Categorical => "categorical",
        }
    }
}

/// What a column is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// An input of the model.
    Feature,
    /// Added to the margin; 0 where absent.
    Offset,
}

/// One input of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// As H2O wrote it.
    pub name: String,
    /// Feature or offset.
    pub role: Role,
    /// Numeric or categorical.
    pub kind: Kind,
    /// The levels of a categorical column, in domain order: a level's index is its place here.
    pub levels: Vec<String>,
}

/// The inputs of a model, in its order, and the name of what it predicts.
#[derive(Debug, Clone, Default)]
pub struct Schema {
    columns: Vec<Column>,
    by_name: HashMap<String, usize>,
    response: Option<String>,
    offset: Option<usize>,
    open: bool,
    /// Columns whose absence changes nothing; empty: there are none.
    optional: Vec<bool>,
}

impl Schema {
    pub(crate) fn new(columns: Vec<Column>, response: Option<String>) -> Self {
        // Of two columns of one name the later one gets the values, as in genmodel's map.
        let by_name = columns.iter().enumerate().map(|(i, c)| (c.name.clone(), i)).collect();
        let offset = columns.iter().position(|column| column.role == Role::Offset);
        Self { columns, by_name, response, offset, open: false, optional: Vec::new() }
    }

    pub(crate) fn open() -> Self {
        Self { open: true, ..Self::default() }
    }

    /// The columns of a caller's words, for a model whose schema is open: categorical, without
    /// levels.
    pub fn of_words(names: Vec<String>) -> Self {
        let column = |name| Column {
            name,
            role: Role::Feature,
            kind: Kind::Categorical,
            levels: Vec::new(),
        };
        Self { open: true, ..Self::new(names.into_iter().map(column).collect(), None) }
    }

    /// Whether the columns are the caller's own: there are none here, and a row has any number of
    /// cells, in the alphabetical order of their names. `Word2Vec`, where each text is a word.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// The columns in model order, the offset column (if there is one) last.
    ///
    /// Where the categories were encoded before training these are the columns before encoding.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    pub(crate) fn set_optional(&mut self, is_optional: impl FnMut(usize) -> bool) {
        self.optional = (0..self.columns.len()).map(is_optional).collect();
    }

    /// Whether a caller may well leave a column out: the model names it, but does without
    /// (interactions and stop times of a `CoxPH`).
    pub fn is_optional(&self, index: usize) -> bool {
        self.optional.get(index).is_some_and(|is_optional| *is_optional)
    }

    /// The place of a column in [`Schema::columns`].
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The column that the model predicts.
    pub fn response(&self) -> Option<&str> {
        self.response.as_deref()
    }

    /// The place of the offset column in [`Schema::columns`].
    pub fn offset(&self) -> Option<usize> {
        self.offset
    }
}
