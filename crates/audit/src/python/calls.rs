//! Who calls whom, and which calls compute where they stand.
//!
//! Only what is *called* is an edge: a function that is passed (to `run_in_executor`, `to_thread`,
//! `run_in_threadpool`, `BackgroundTasks`) runs elsewhere.

use std::collections::{HashMap, HashSet};

use super::project::{Project, is_property};
use super::syntax::{Call, Expr, ExprKind, Function, Stmt, StmtKind};
use super::value::{ClassId, FunctionId, Value};
use crate::source::Span;

/// One call, or one read of a property.
#[derive(Debug, Clone)]
pub struct Site<'a> {
    /// The function that it stands in.
    pub at: FunctionId,
    /// All of it, from the receiver to the closing parenthesis.
    pub expr: &'a Expr,
    /// The call; none for a property.
    pub call: Option<&'a Call>,
    /// What is called.
    pub target: Option<Value>,
    /// Whether its answer is awaited there.
    pub awaited: bool,
    /// Whether it stands below a condition that asks if something is not there yet.
    pub guarded: bool,
    /// Whether it stands in `with` of something that is called a lock or semaphore.
    pub locked: bool,
}

impl Site<'_> {
    /// The way into a library that is called.
    pub fn path(&self) -> Option<&str> {
        self.target.as_ref()?.path()
    }

    /// Where it stands.
    pub fn span(&self) -> Span {
        self.expr.span
    }
}

/// Calls of all functions.
#[derive(Debug)]
pub struct Calls<'a> {
    /// By module, then function, in the order in which they are computed.
    sites: Vec<Vec<Vec<Site<'a>>>>,
}

impl<'a> Calls<'a> {
    /// Finds all calls; the parameters of `project` know their callers afterwards.
    pub fn new(project: &Project<'a>) -> Self {
        let properties = properties(project);
        let first = Self::collect(project, &properties);
        let mut callers: HashMap<FunctionId, Vec<(FunctionId, &'a Call, usize)>> = HashMap::new();
        for site in first.all() {
            let Some(call) = site.call else { continue };
            for callee in first.callees(project, site) {
                let before = usize::from(project.function(callee).class.is_some());
                callers.entry(callee).or_default().push((site.at, call, before));
            }
        }
        project.set_callers(callers);
        Self::collect(project, &properties)
    }

    fn collect(project: &Project<'a>, properties: &HashSet<&'a str>) -> Self {
        let modules = project.facts.python.iter().enumerate();
        let sites = modules.map(|(index, module)| {
            let functions = module.functions.iter().enumerate();
            functions
                .map(|(function, it)| {
                    let at = FunctionId { module: index, function };
                    let mut walk =
                        Walk { project, properties, at, sites: Vec::new(), now: Now::default() };
                    walk.body(&it.body);
                    walk.sites
                })
                .collect()
        });
        Self { sites: sites.collect() }
    }

    /// Calls of one function.
    pub fn of(&self, id: FunctionId) -> &[Site<'a>] {
        &self.sites[id.module][id.function]
    }

    /// Calls of all functions.
    pub fn all(&self) -> impl Iterator<Item = &Site<'a>> {
        self.sites.iter().flatten().flatten()
    }

    /// All functions.
    pub fn functions(&self) -> impl Iterator<Item = FunctionId> + '_ {
        self.sites.iter().enumerate().flat_map(|(module, functions)| {
            (0..functions.len()).map(move |function| FunctionId { module, function })
        })
    }

    /// The functions of the repository that run when this call does.
    pub fn callees(&self, project: &Project<'a>, site: &Site<'a>) -> Vec<FunctionId> {
        let mut found = Vec::new();
        if let Some(target) = &site.target {
            found.extend(runs(project, target));
        }
        let (Some(call), Some(path)) = (site.call, site.path()) else { return found };
        // These call what they are given, where they stand or later on the same loop.
        let given = match path.rsplit('.').next().unwrap_or(path) {
            "map" | "filter" if path.len() < 7 => call.args.first(),
            "call_soon" | "call_soon_threadsafe" | "add_done_callback" => call.args.first(),
            "call_later" | "call_at" => call.args.get(1),
            "apply" | "applymap" | "transform" => call.args.first(),
            _ => None,
        };
        if let Some(value) = given.and_then(|value| project.value(site.at, value)) {
            found.extend(runs(project, &value));
        }
        found
    }
}

/// The function that runs when a value is called.
pub(super) fn runs(project: &Project<'_>, value: &Value) -> Option<FunctionId> {
    match value {
        Value::Function(id) => Some(*id),
        Value::Class(class) => project.method(*class, "__init__"),
        Value::Instance(class) => project
            .method(*class, "__call__")
            .or_else(|| project.method(*class, "forward").filter(|_| is_torch(project, *class))),
        Value::Partial(inner) => runs(project, inner),
        _ => None,
    }
}

fn is_torch(project: &Project<'_>, class: ClassId) -> bool {
    project.external_bases(class).iter().any(|base| base.starts_with("torch."))
}

/// Names of all properties, so that other attributes cost nothing.
fn properties<'a>(project: &Project<'a>) -> HashSet<&'a str> {
    let functions = project.facts.python.iter().flat_map(|module| &module.functions);
    functions.filter(|it| is_property(it)).map(|it| &*it.name).collect()
}

#[derive(Debug, Clone, Copy, Default)]
struct Now {
    guarded: bool,
    locked: bool,
}

struct Walk<'a, 'p> {
    project: &'p Project<'a>,
    properties: &'p HashSet<&'a str>,
    at: FunctionId,
    sites: Vec<Site<'a>>,
    now: Now,
}

impl<'a> Walk<'a, '_> {
    fn body(&mut self, body: &'a [Stmt]) {
        for stmt in body {
            self.stmt(stmt);
        }
    }

    fn stmt(&mut self, stmt: &'a Stmt) {
        let around = self.now;
        match &stmt.kind {
            StmtKind::If(test, body, other) => {
                self.expr(test, false);
                self.now.guarded |= asks_for_absence(test);
                self.body(body);
                // `if model: return model` ... `else: load`.
                self.now.guarded = around.guarded || asks_for_presence(test);
                self.body(other);
            }
            StmtKind::Try { body, handlers, after } => {
                self.body(body);
                self.now.guarded |= handlers.iter().any(|(caught, _)| {
                    let caught = caught.as_ref().and_then(Expr::last_name);
                    ["KeyError", "AttributeError", "LookupError"].contains(&caught.unwrap_or(""))
                });
                handlers.iter().for_each(|it| self.body(&it.1));
                self.now = around;
                self.body(after);
            }
            StmtKind::For { iterable, body, .. } => {
                self.expr(iterable, false);
                self.body(body);
            }
            StmtKind::While(test, body) => {
                self.expr(test, false);
                self.body(body);
            }
            StmtKind::With { items, body, .. } => {
                for (value, _) in items {
                    self.expr(value, false);
                    self.now.locked |= value.last_name().is_some_and(is_lock);
                }
                self.body(body);
            }
            StmtKind::Class(index) => {
                let module = self.project.module(self.at.module);
                if let Some(class) = module.classes.get(*index) {
                    self.body(&class.body);
                }
            }
            _ => {
                stmt.exprs(&mut |expr| self.expr(expr, false));
                stmt.bodies(&mut |inner| self.body(inner));
            }
        }
        self.now = around;
    }

    fn expr(&mut self, expr: &'a Expr, awaited: bool) {
        match &expr.kind {
            ExprKind::Await(value) => self.expr(value, true),
            ExprKind::Call(call) => {
                // The receiver first, then the arguments, then the call itself.
                match &call.func.kind {
                    ExprKind::Attribute(base, _) => self.expr(base, false),
                    ExprKind::Name(_) => {}
                    _ => self.expr(&call.func, false),
                }
                call.args.iter().for_each(|it| self.expr(it, false));
                call.keywords.iter().for_each(|it| self.expr(&it.1, false));
                let target = self.project.value(self.at, &call.func);
                self.site(expr, Some(call), target, awaited);
            }
            ExprKind::Attribute(base, name) => {
                self.expr(base, false);
                if self.properties.contains(&**name)
                    && let Some(Value::Instance(class)) = self.project.value(self.at, base)
                    && let Some(method) = self.property(class, name)
                {
                    self.site(expr, None, Some(Value::Function(method)), awaited);
                }
            }
            ExprKind::Choice(three) => {
                let around = self.now;
                self.expr(&three[2], false);
                self.now.guarded |= asks_for_absence(&three[2]) || asks_for_presence(&three[2]);
                self.expr(&three[0], awaited);
                self.expr(&three[1], awaited);
                self.now = around;
            }
            _ => expr.parts(&mut |part| self.expr(part, false)),
        }
    }

    /// The property itself, which `Project::value` answers with its result.
    fn property(&self, class: ClassId, name: &str) -> Option<FunctionId> {
        let module = self.project.module(class.module);
        let functions = module.functions.iter().enumerate();
        let mut own = functions.filter(|(_, it)| {
            it.class == Some(class.class) && *it.name == *name && is_property(it)
        });
        own.next().map(|(function, _)| FunctionId { module: class.module, function })
    }

    fn site(
        &mut self,
        expr: &'a Expr,
        call: Option<&'a Call>,
        target: Option<Value>,
        awaited: bool,
    ) {
        let Now { guarded, locked } = self.now;
        self.sites.push(Site { at: self.at, expr, call, target, awaited, guarded, locked });
    }
}

fn is_lock(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["lock", "semaphore", "mutex", "single_flight", "singleflight"]
        .iter()
        .any(|it| name.contains(it))
}

/// `if x is None`, `if not x`, `if key not in x`.
fn asks_for_absence(test: &Expr) -> bool {
    let mut found = false;
    test.walk(&mut |expr| {
        found |= match &expr.kind {
            ExprKind::Not(_) => true,
            ExprKind::Compare(sides) => {
                sides.iter().any(|side| matches!(side.kind, ExprKind::None))
                    || sides.len() == 2
                        && matches!(sides[0].kind, ExprKind::Text(_) | ExprKind::Name(_))
            }
            _ => false,
        };
    });
    found
}

/// `if x`, `if x is not None`, `if key in x`.
fn asks_for_presence(test: &Expr) -> bool {
    matches!(test.kind, ExprKind::Name(_) | ExprKind::Attribute(..) | ExprKind::Compare(_))
}

/// Whether a function caches what it gives: `@lru_cache`, `@cache`, `@cached(...)`.
pub fn is_cached(function: &Function) -> bool {
    function.decorators.iter().any(|it| {
        let name = it.last_name().unwrap_or("").to_ascii_lowercase();
        name.contains("cache") || name.contains("singleton") || name.contains("memo")
    })
}
