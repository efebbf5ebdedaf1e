//! Python: modules of a repository as a tree of our own, without importing or running anything.
//!
//! Total and bounded: any text gives a module or a remark, within [`depth::DEPTH_MAX`] and on threads
//! whose stacks hold what that depth needs.

mod calls;
mod depth;
mod lower;
mod names;
mod project;
mod roots;
mod scopes;
mod sinks;
pub mod syntax;
mod value;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

pub use calls::{Calls, Site, is_cached};
pub use depth::DEPTH_MAX;
pub use project::Project;
pub use roots::{Root, Roots};
pub(crate) use sinks::{Blocks, Sink, sink, sink_by_name};
pub use syntax::Module;
pub use value::{ClassId, FunctionId, Value};

use crate::facts::Facts;
use crate::finding::Remark;
use crate::source::{Kind, Source};

/// The Python of a repository, linked: what checks of programs read.
pub(crate) struct Program<'a> {
    pub(crate) project: Project<'a>,
    pub(crate) calls: Calls<'a>,
    pub(crate) roots: Roots,
}

impl<'a> Program<'a> {
    pub(crate) fn new(facts: &'a Facts) -> Self {
        let project = Project::new(facts);
        let calls = Calls::new(&project);
        let roots = Roots::new(&project, &calls);
        Self { project, calls, roots }
    }
}

/// Stack of a thread that reads: what the deepest tree needs, four times over.
pub const STACK_BYTES: usize = 64 << 20;

/// Reads one text; `source` is its place in `Facts::sources`. Needs a stack of [`STACK_BYTES`].
pub fn parse(source: &Source, index: usize) -> Result<Module, Remark> {
    let remark = |line, message| Remark { path: source.path.clone(), line, message };
    if let Some(at) = depth::too_deep(&source.text) {
        let line = source.line_of(at as u32);
        let message = format!("not looked into: an expression deeper than {DEPTH_MAX}");
        return Err(remark(line, message));
    }
    lower::module(&source.text, index).map_err(|cause| {
        remark(source.line_of(cause.at), format!("does not parse: {}", cause.message))
    })
}

/// Reads all Python of `sources`, on `threads` threads.
pub(crate) fn parse_all(sources: &[Source], threads: usize) -> (Vec<Module>, Vec<Remark>) {
    let python: Vec<usize> =
        (0..sources.len()).filter(|index| sources[*index].kind == Kind::Python).collect();
    let next = AtomicUsize::new(0);
    let done = Mutex::new((Vec::new(), Vec::new()));
    let work = || {
        let (mut modules, mut remarks) = (Vec::new(), Vec::new());
        while let Some(index) = python.get(next.fetch_add(1, Ordering::Relaxed)) {
            match parse(&sources[*index], *index) {
                Ok(module) => modules.push(module),
                Err(remark) => remarks.push(remark),
            }
        }
        let mut all = done.lock().unwrap_or_else(PoisonError::into_inner);
        all.0.append(&mut modules);
        all.1.append(&mut remarks);
    };
    thread::scope(|scope| {
        for _ in 0..threads.clamp(1, python.len().max(1)) {
            let thread = thread::Builder::new().stack_size(STACK_BYTES);
            // Where no thread can be had, the others do its part.
            drop(thread.spawn_scoped(scope, work));
        }
    });
    let (mut modules, remarks) = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    modules.sort_by_key(|module| module.source);
    (modules, remarks)
}
