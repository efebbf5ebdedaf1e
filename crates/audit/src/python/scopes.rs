//! Which names a function, a module and a class bind, and to what.

use std::collections::HashMap;

use super::syntax::{Expr, ExprKind, Import, Module, Param, Stmt, StmtKind};

/// What a name is bound to; the last word is always an expression or a definition.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bound<'a> {
    /// `name = value`
    Value(&'a Expr),
    /// `name, other = value`: its part of that number.
    Part(&'a Expr, usize),
    /// `for name in value`
    Element(&'a Expr),
    /// `with value as name`
    Entered(&'a Expr),
    /// `name[...] = value`, `name.append(value)`
    Stored(&'a Expr),
    /// `name: annotation`
    Annotated(&'a Expr),
    /// A parameter and its position.
    Param(&'a Param),
    /// `def name`
    Function(usize),
    /// `class name`
    Class(usize),
    /// `import name`
    Import(&'a Import),
}

/// One binding, and the function in which its expression is to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Binding<'a> {
    pub(super) function: usize,
    pub(super) bound: Bound<'a>,
}

pub(super) type Names<'a> = HashMap<&'a str, Vec<Binding<'a>>>;

/// `base.name = value` where `base` is not the method's own object, or `base["name"] = value`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Store<'a> {
    pub(super) function: usize,
    pub(super) base: &'a Expr,
    pub(super) value: &'a Expr,
}

/// All bindings of a module.
#[derive(Debug, Default)]
pub(super) struct Scopes<'a> {
    /// By function.
    pub(super) names: Vec<Names<'a>>,
    /// By class: methods, attributes of the class, and what methods assign to `self`.
    pub(super) attributes: Vec<Names<'a>>,
    /// By the attribute's name.
    pub(super) stores: HashMap<&'a str, Vec<Store<'a>>>,
    /// `from module import *`
    pub(super) stars: Vec<&'a Import>,
}

impl<'a> Scopes<'a> {
    pub(super) fn new(module: &'a Module) -> Self {
        let mut scopes = Self {
            names: vec![HashMap::new(); module.functions.len()],
            attributes: vec![HashMap::new(); module.classes.len()],
            ..Self::default()
        };
        for (index, function) in module.functions.iter().enumerate() {
            for param in &function.params {
                scopes.bind(index, &param.name, Bound::Param(param));
            }
            let own =
                function.class.and_then(|class| Some((class, &*function.params.first()?.name)));
            let mut reader =
                Reader { module, scopes: &mut scopes, function: index, own, global: Vec::new() };
            reader.body(&function.body);
        }
        for (index, class) in module.classes.iter().enumerate() {
            for stmt in &class.body {
                scopes.class_stmt(index, class.parent, stmt);
            }
        }
        scopes
    }

    fn bind(&mut self, function: usize, name: &'a str, bound: Bound<'a>) {
        if let Some(names) = self.names.get_mut(function) {
            names.entry(name).or_default().push(Binding { function, bound });
        }
    }

    fn class_stmt(&mut self, class: usize, parent: usize, stmt: &'a Stmt) {
        let Some(names) = self.attributes.get_mut(class) else { return };
        let mut add = |name: &'a str, function: usize, bound| {
            names.entry(name).or_default().push(Binding { function, bound });
        };
        let StmtKind::Assign { targets, annotation, value } = &stmt.kind else { return };
        for target in targets {
            let ExprKind::Name(name) = &target.kind else { continue };
            if let Some(value) = value {
                add(name, parent, Bound::Value(value));
            }
            if let Some(annotation) = annotation {
                add(name, parent, Bound::Annotated(annotation));
            }
        }
    }
}

/// Reads the statements of one function.
struct Reader<'a, 's> {
    module: &'a Module,
    scopes: &'s mut Scopes<'a>,
    function: usize,
    /// Class and name of the object whose method this is.
    own: Option<(usize, &'a str)>,
    /// Names that belong to the module, or to the function around.
    global: Vec<&'a str>,
}

impl<'a> Reader<'a, '_> {
    fn body(&mut self, body: &'a [Stmt]) {
        for stmt in body {
            self.stmt(stmt);
            stmt.exprs(&mut |expr| {
                expr.walk(&mut |inner| self.expr(inner));
            });
            stmt.bodies(&mut |inner| self.body(inner));
        }
    }

    fn stmt(&mut self, stmt: &'a Stmt) {
        match &stmt.kind {
            StmtKind::Assign { targets, annotation, value } => {
                for target in targets {
                    if let Some(value) = value {
                        self.target(target, Bound::Value(value));
                    }
                    if let Some(annotation) = annotation {
                        self.target(target, Bound::Annotated(annotation));
                    }
                }
            }
            StmtKind::For { target, iterable, .. } => self.target(target, Bound::Element(iterable)),
            StmtKind::With { items, .. } => {
                for (value, name) in items {
                    if let Some(name) = name {
                        self.target(name, Bound::Entered(value));
                    }
                }
            }
            StmtKind::Function(index) => {
                if let Some(function) = self.module.functions.get(*index) {
                    self.name(&function.name, Bound::Function(*index));
                }
            }
            StmtKind::Class(index) => {
                if let Some(class) = self.module.classes.get(*index) {
                    self.name(&class.name, Bound::Class(*index));
                    // Methods' names were not known where the class was read.
                    self.methods(*index);
                }
            }
            StmtKind::Import(list) => {
                for import in list {
                    if import.symbol.as_deref() == Some("*") {
                        self.scopes.stars.push(import);
                    } else {
                        self.name(&import.name, Bound::Import(import));
                    }
                }
            }
            StmtKind::Global(names) => self.global.extend(names.iter().map(|name| &**name)),
            _ => {}
        }
    }

    fn methods(&mut self, class: usize) {
        let Some(it) = self.module.classes.get(class) else { return };
        for stmt in &it.body {
            let (name, bound): (&'a str, _) = match &stmt.kind {
                StmtKind::Function(index) => match self.module.functions.get(*index) {
                    Some(function) => (&function.name, Bound::Function(*index)),
                    None => continue,
                },
                StmtKind::Class(index) => match self.module.classes.get(*index) {
                    Some(inner) => {
                        self.methods(*index);
                        (&inner.name, Bound::Class(*index))
                    }
                    None => continue,
                },
                _ => continue,
            };
            if let Some(names) = self.scopes.attributes.get_mut(class) {
                names.entry(name).or_default().push(Binding { function: it.parent, bound });
            }
        }
    }

    fn expr(&mut self, expr: &'a Expr) {
        match &expr.kind {
            ExprKind::Named(both) => self.target(&both.0, Bound::Value(&both.1)),
            ExprKind::Comprehension(_, clauses) => {
                for clause in clauses {
                    self.target(&clause.target, Bound::Element(&clause.iterable));
                }
            }
            ExprKind::Call(call) => {
                // list.append(value), dict.setdefault(key, value)
                let ExprKind::Attribute(base, name) = &call.func.kind else { return };
                if ["append", "add", "put", "setdefault"].contains(&&**name)
                    && let (ExprKind::Name(_) | ExprKind::Attribute(..), Some(value)) =
                        (&base.kind, call.args.last())
                {
                    self.target(base, Bound::Stored(value));
                }
            }
            _ => {}
        }
    }

    fn target(&mut self, target: &'a Expr, bound: Bound<'a>) {
        match (&target.kind, bound) {
            (ExprKind::Name(name), _) => self.name(name, bound),
            (ExprKind::Attribute(base, name), _) => match (&base.kind, self.own) {
                (ExprKind::Name(object), Some((class, own))) if **object == *own => {
                    if let Some(names) = self.scopes.attributes.get_mut(class) {
                        let binding = Binding { function: self.function, bound };
                        names.entry(name).or_default().push(binding);
                    }
                }
                _ => {
                    if let Bound::Value(value) | Bound::Entered(value) = bound {
                        self.store(name, base, value);
                    }
                }
            },
            (ExprKind::Subscript(both), Bound::Value(value)) => {
                if let Some(key) = both.1.text() {
                    self.store(key, &both.0, value);
                }
                self.target(&both.0, Bound::Stored(value));
            }
            (ExprKind::List(parts), Bound::Value(value)) => {
                for (number, part) in parts.iter().enumerate() {
                    self.target(part, Bound::Part(value, number));
                }
            }
            (ExprKind::List(parts), Bound::Element(value)) => {
                for part in parts {
                    self.target(part, Bound::Element(value));
                }
            }
            (ExprKind::Starred(inner), _) => self.target(inner, bound),
            _ => {}
        }
    }

    fn store(&mut self, name: &'a str, base: &'a Expr, value: &'a Expr) {
        let store = Store { function: self.function, base, value };
        self.scopes.stores.entry(name).or_default().push(store);
    }

    fn name(&mut self, name: &'a str, bound: Bound<'a>) {
        let mut owners = vec![self.function];
        if self.global.contains(&name) {
            let parent = self.module.functions.get(self.function).and_then(|it| it.parent);
            owners = vec![0, parent.unwrap_or(0)];
            owners.dedup();
        }
        // What is stored in a container belongs to whoever made the container.
        if matches!(bound, Bound::Stored(_)) {
            let mut at = Some(self.function);
            while let Some(function) = at {
                if self.scopes.names.get(function).is_some_and(|names| names.contains_key(name)) {
                    owners = vec![function];
                    break;
                }
                at = self.module.functions.get(function).and_then(|it| it.parent);
                if at.is_none() {
                    owners = vec![0];
                }
            }
        }
        for owner in owners {
            if let Some(names) = self.scopes.names.get_mut(owner) {
                names.entry(name).or_default().push(Binding { function: self.function, bound });
            }
        }
    }
}
