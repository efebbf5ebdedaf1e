//! Checks: functions over all facts. Each belongs to the pages of the rules that it reports.

mod blocks;
mod cache;
mod driver;
mod event_loop;
mod heap;
mod image;
mod members;
mod model_file;
mod pool;
mod schema;
mod vector;
mod versions;

use crate::facts::Facts;
use crate::finding::{Finding, Hop};
use crate::python::Program;
use crate::rule::rule;
use crate::source::Span;

/// A check reports findings of one or more rules.
pub(crate) type Check = fn(&Facts, &mut Findings<'_>);

/// All checks.
pub(crate) const CHECKS: &[Check] = &[
    driver::aioredis,
    cache::flush_on_deploy,
    schema::tables,
    schema::documents,
    vector::indexes,
    blocks::blocks,
    blocks::limits,
    image::images,
    versions::versions,
    heap::memory,
    members::members,
];

/// A check that follows calls.
pub(crate) type ProgramCheck = fn(&Program<'_>, &mut Findings<'_>);

/// All checks that follow calls.
pub(crate) const PROGRAM_CHECKS: &[ProgramCheck] = &[
    event_loop::blocking,
    event_loop::executor_called,
    event_loop::model_per_request,
    event_loop::liveness,
    pool::connection_per_request,
    pool::pool_unbounded,
    pool::pool_unvalidated,
    pool::pool_per_module,
    cache::predictions,
    cache::keys,
    cache::flush,
    model_file::pickle_load,
    model_file::pickle_export,
    model_file::pojo_export,
    model_file::jvm_in_request,
];

/// Whether a file holds tests, where blocking harms nobody.
pub(crate) fn is_test(path: &str) -> bool {
    let mut parts = path.rsplit('/');
    let name = parts.next().unwrap_or(path);
    name.starts_with("test_")
        || name.ends_with("_test.py")
        || name == "conftest.py"
        || parts.any(|folder| {
            matches!(folder, "test" | "testing" | "e2e")
                || folder == "tests"
                || folder.starts_with("tests_")
                || folder.ends_with("_tests")
        })
}

/// Where checks report.
pub(crate) struct Findings<'a> {
    facts: &'a Facts,
    pub(crate) list: Vec<Finding>,
}

impl<'a> Findings<'a> {
    pub(crate) fn new(facts: &'a Facts) -> Self {
        Self { facts, list: Vec::new() }
    }

    /// Reports `id` at a stretch of `facts.sources[source]`; the caller may set `chain`, `fix` and a
    /// lower `severity`.
    ///
    /// # Panics
    /// There is no page of that name, which is our mistake.
    pub(crate) fn add(
        &mut self,
        id: &str,
        source: usize,
        span: Span,
        message: impl Into<String>,
    ) -> &mut Finding {
        let rule = rule(id).unwrap_or_else(|| panic!("rule `{id}` has no page"));
        let source = &self.facts.sources[source];
        let (line, column) = source.place(span.start);
        let (end_line, end_column) = source.place(span.end.max(span.start));
        self.list.push(Finding {
            line,
            column,
            end_line,
            end_column,
            excerpt: source.line(line).trim().to_owned(),
            ..Finding::of_file(rule, source.path.clone(), message.into())
        });
        let last = self.list.len() - 1;
        &mut self.list[last]
    }

    /// A step of a chain.
    pub(crate) fn hop(&self, source: usize, span: Span, what: impl Into<String>) -> Hop {
        let source = &self.facts.sources[source];
        Hop { path: source.path.clone(), line: source.line_of(span.start), what: what.into() }
    }
}
