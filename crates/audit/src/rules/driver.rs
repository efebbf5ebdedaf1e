//! LE-PROC-02: drivers that do not belong into asynchronous code.

use super::Findings;
use crate::facts::Facts;
use crate::finding::{Edit, Fix};
use crate::python::syntax::{Import, Stmt, StmtKind};

/// Imports of `aioredis`, but where they are what is left when its successor is not there.
pub(crate) fn aioredis(facts: &Facts, findings: &mut Findings<'_>) {
    let own = |source: &str| source == "aioredis.py" || source.ends_with("/aioredis.py");
    if facts.sources.iter().any(|source| own(&source.path)) {
        return;
    }
    for module in &facts.python {
        for function in &module.functions {
            imports(&function.body, &mut |import| {
                if import.level > 0 || import.module.split('.').next() != Some("aioredis") {
                    return;
                }
                let message = "`aioredis` is abandoned, and does not import on Python 3.11 and newer; \
                     `redis.asyncio` is its successor";
                let finding = findings.add("aioredis", module.source, import.span, message);
                let source = &facts.sources[module.source];
                finding.fix = successor(source.line(source.line_of(import.span.start)), import);
            });
        }
    }
}

/// `import aioredis` alone on its line: the same name bound to the successor.
fn successor(line: &str, import: &Import) -> Option<Fix> {
    if line.trim() != "import aioredis" {
        return None;
    }
    let text = "from redis import asyncio as aioredis".to_owned();
    let start = import.span.start.checked_sub("import ".len() as u32)?;
    Some(Fix {
        what: "import redis.asyncio under the same name".to_owned(),
        safe: true,
        edits: vec![Edit { start, end: import.span.end, text }],
    })
}

/// All imports of a body, but those in the handlers of a `try`, and those under `if TYPE_CHECKING`.
fn imports<'a>(body: &'a [Stmt], visit: &mut dyn FnMut(&'a Import)) {
    for stmt in body {
        match &stmt.kind {
            StmtKind::Import(list) => list.iter().for_each(&mut *visit),
            StmtKind::Try { body, after, .. } => {
                imports(body, visit);
                imports(after, visit);
            }
            StmtKind::If(test, ..) if test.last_name() == Some("TYPE_CHECKING") => {}
            _ => stmt.bodies(&mut |inner| imports(inner, visit)),
        }
    }
}
