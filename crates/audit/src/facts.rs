//! What is known about a repository: every text, parsed once, for all rules.

use crate::finding::Remark;
use crate::python;
use crate::source::Source;

/// All facts. A room of rules adds its own field here and fills it in [`Facts::new`].
#[derive(Debug)]
pub struct Facts {
    /// By path.
    pub sources: Vec<Source>,
    /// Python: every module that parses.
    pub python: Vec<python::Module>,
    /// What does not parse.
    pub remarks: Vec<Remark>,
}

impl Facts {
    /// Parses all texts on `threads` threads, at least 1.
    pub fn new(sources: Vec<Source>, threads: usize) -> Self {
        let (python, remarks) = python::parse_all(&sources, threads);
        Self { sources, python, remarks }
    }
}
