//! What is known about a repository: every text, parsed once, for all rules.

use crate::finding::{Finding, Remark};
use crate::platform::Platform;
use crate::python;
use crate::source::Source;

/// All facts. A room of rules adds its own field here and fills it in [`Facts::new`].
#[derive(Debug)]
pub struct Facts {
    /// By path.
    pub sources: Vec<Source>,
    /// Python: every module that parses.
    pub python: Vec<python::Module>,
    /// Manifests, images, schemas, packages, pipelines.
    pub(crate) platform: Platform,
    /// What the artifact policy found.
    pub artifacts: Vec<Finding>,
    /// What does not parse.
    pub remarks: Vec<Remark>,
}

impl Facts {
    /// Parses all texts on `threads` threads, at least 1. `artifacts`: what the artifact policy found.
    pub fn new(sources: Vec<Source>, artifacts: Vec<Finding>, threads: usize) -> Self {
        let (python, mut remarks) = python::parse_all(&sources, threads);
        let (platform, others) = Platform::new(&sources, &python);
        remarks.extend(others);
        Self { sources, python, platform, artifacts, remarks }
    }
}
