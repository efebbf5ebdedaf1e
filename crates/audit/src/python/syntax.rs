//! Python as rules see it: a small tree of our own. The parser's types stay in `lower`.

use crate::source::Span;

/// An expression and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    /// All of it.
    pub span: Span,
    /// What it is.
    pub kind: ExprKind,
}

/// What an expression is; what no rule asks for is [`ExprKind::Other`] with its parts.
#[derive(Debug, Clone, PartialEq)]
pub enum ExprKind {
    /// `name`
    Name(Box<str>),
    /// `value.name`
    Attribute(Box<Expr>, Box<str>),
    /// `func(...)`
    Call(Box<Call>),
    /// `await value`
    Await(Box<Expr>),
    /// `yield value`
    Yield(Option<Box<Expr>>),
    /// `"text"`, with what the escapes stand for; implicit concatenation joined.
    Text(Box<str>),
    /// `f"..."`: texts and values in their order.
    Format(Vec<Expr>),
    /// A whole number; others are [`ExprKind::Other`].
    Number(u64),
    /// `True`, `False`
    Bool(bool),
    /// `None`
    None,
    /// `value[index]`
    Subscript(Box<(Expr, Expr)>),
    /// `{key: value, **rest}`; a rest has no key.
    Dict(Vec<(Option<Expr>, Expr)>),
    /// `[...]`, `(...)`, `{...}` without keys.
    List(Vec<Expr>),
    /// `left + right`, with the operator as it is written.
    Binary(Box<(Expr, Expr)>, &'static str),
    /// `a or b`, `a and b`
    Either(Vec<Expr>),
    /// `body if test else other`: body, other, test.
    Choice(Box<[Expr; 3]>),
    /// `left == right`, ...: all sides.
    Compare(Vec<Expr>),
    /// `not value`
    Not(Box<Expr>),
    /// `lambda: ...`, an index into [`Module::functions`].
    Lambda(usize),
    /// `(name := value)`
    Named(Box<(Expr, Expr)>),
    /// `*value`
    Starred(Box<Expr>),
    /// `element for target in iterable`: element (of a dict: key and value) and clauses.
    Comprehension(Vec<Expr>, Vec<Clause>),
    /// Its parts.
    Other(Vec<Expr>),
}

/// One `for ... in ... if ...` of a comprehension.
#[derive(Debug, Clone, PartialEq)]
pub struct Clause {
    /// `for target`
    pub target: Expr,
    /// `in iterable`
    pub iterable: Expr,
    /// `if ...`
    pub conditions: Vec<Expr>,
}

/// A call.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// What is called.
    pub func: Expr,
    /// By position.
    pub args: Vec<Expr>,
    /// By name; `**rest` has none.
    pub keywords: Vec<(Option<Box<str>>, Expr)>,
}

/// A statement and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Stmt {
    /// All of it.
    pub span: Span,
    /// What it is.
    pub kind: StmtKind,
}

/// What a statement is.
#[derive(Debug, Clone, PartialEq)]
pub enum StmtKind {
    /// A value that nobody takes.
    Expr(Expr),
    /// `a = b = value`, `a: annotation = value`, `a += value`.
    Assign {
        /// Left of each `=`.
        targets: Vec<Expr>,
        /// After `:`.
        annotation: Option<Expr>,
        /// Right of the last `=`.
        value: Option<Expr>,
    },
    /// `return value`
    Return(Option<Expr>),
    /// `yield` as a statement is an expression; this is `raise`, `assert`, `del`: their parts.
    Other(Vec<Expr>),
    /// `if`, and each `elif` as an `if` in the last body.
    If(Expr, Vec<Stmt>, Vec<Stmt>),
    /// `for target in iterable`, body and `else`.
    For {
        /// `async for`
        is_async: bool,
        /// The name in front of `in`.
        target: Expr,
        /// What is walked.
        iterable: Expr,
        /// Body, then `else`.
        body: Vec<Stmt>,
    },
    /// `while test`, body and `else`.
    While(Expr, Vec<Stmt>),
    /// `with item as name`.
    With {
        /// `async with`
        is_async: bool,
        /// Values and names.
        items: Vec<(Expr, Option<Expr>)>,
        /// Its body.
        body: Vec<Stmt>,
    },
    /// `try`: body; handlers, each with its type; `else`; `finally`.
    Try {
        /// Body.
        body: Vec<Stmt>,
        /// What is caught, and what then.
        handlers: Vec<(Option<Expr>, Vec<Stmt>)>,
        /// `else`, then `finally`.
        after: Vec<Stmt>,
    },
    /// `match subject`: subject and the body of each case.
    Match(Expr, Vec<Vec<Stmt>>),
    /// `def`, an index into [`Module::functions`].
    Function(usize),
    /// `class`, an index into [`Module::classes`].
    Class(usize),
    /// `import a.b as c`, `from a import b as c`.
    Import(Vec<Import>),
    /// `global`, `nonlocal`.
    Global(Vec<Box<str>>),
}

/// One name that an import binds.
#[derive(Debug, Clone, PartialEq)]
pub struct Import {
    /// Where it stands.
    pub span: Span,
    /// Dots in front: `from ..a import b` has 2.
    pub level: u32,
    /// `a.b`; empty in `from . import c`.
    pub module: Box<str>,
    /// The name taken from it; none for `import a.b`, `*` for all.
    pub symbol: Option<Box<str>>,
    /// The name that is bound here: `c` of `as c`, else the first part of `a.b`, or the symbol.
    pub name: Box<str>,
    /// Whether `as` renames a whole module: `import a.b as c` binds `a.b`, `import a.b` binds `a`.
    pub renamed: bool,
}

/// A parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Param {
    /// Its name.
    pub name: Box<str>,
    /// After `:`.
    pub annotation: Option<Expr>,
    /// After `=`.
    pub default: Option<Expr>,
    /// `*args` or `**kwargs`.
    pub is_rest: bool,
}

/// A function, a lambda, or the code of a module itself (the first).
#[derive(Debug, Clone, PartialEq)]
pub struct Function {
    /// Its name; `<module>`, `<lambda>`.
    pub name: Box<str>,
    /// `def name`, without decorators and body.
    pub span: Span,
    /// From the first decorator to the end of the body.
    pub whole: Span,
    /// The function that it stands in; none for the module.
    pub parent: Option<usize>,
    /// The class whose method it is.
    pub class: Option<usize>,
    /// `async def`
    pub is_async: bool,
    /// After `@`, outermost first.
    pub decorators: Vec<Expr>,
    /// By position, then by name.
    pub params: Vec<Param>,
    /// After `->`.
    pub returns: Option<Expr>,
    /// Its statements.
    pub body: Vec<Stmt>,
    /// The text that documents it.
    pub has_docstring: bool,
}

/// A class.
#[derive(Debug, Clone, PartialEq)]
pub struct Class {
    /// Its name.
    pub name: Box<str>,
    /// `class name`.
    pub span: Span,
    /// The function that it stands in.
    pub parent: usize,
    /// After `@`.
    pub decorators: Vec<Expr>,
    /// In parentheses.
    pub bases: Vec<Expr>,
    /// `metaclass=...` and others.
    pub keywords: Vec<(Option<Box<str>>, Expr)>,
    /// Its statements, methods among them.
    pub body: Vec<Stmt>,
}

/// A file of Python.
#[derive(Debug, Clone, PartialEq)]
pub struct Module {
    /// Index into `Facts::sources`.
    pub source: usize,
    /// The code of the module first, then all functions and lambdas in the order of the text.
    pub functions: Vec<Function>,
    /// All classes in the order of the text.
    pub classes: Vec<Class>,
    /// Comments: where each `#` stands.
    pub comments: Vec<Span>,
}

impl Expr {
    /// `a.b.c` of names alone.
    pub fn dotted(&self) -> Option<String> {
        match &self.kind {
            ExprKind::Name(name) => Some(name.to_string()),
            ExprKind::Attribute(value, name) => Some(format!("{}.{name}", value.dotted()?)),
            _ => None,
        }
    }

    /// The last name of `a.b.c`, of a call the callee's.
    pub fn last_name(&self) -> Option<&str> {
        match &self.kind {
            ExprKind::Name(name) | ExprKind::Attribute(_, name) => Some(name),
            ExprKind::Call(call) => call.func.last_name(),
            ExprKind::Await(value) => value.last_name(),
            ExprKind::Subscript(both) => both.0.last_name(),
            _ => None,
        }
    }

    /// Its text, if it is a literal.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            ExprKind::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Its call.
    pub fn call(&self) -> Option<&Call> {
        match &self.kind {
            ExprKind::Call(call) => Some(call),
            _ => None,
        }
    }

    /// Calls `visit` for each direct part, in the order in which they are computed.
    pub fn parts<'a>(&'a self, visit: &mut dyn FnMut(&'a Expr)) {
        match &self.kind {
            ExprKind::Attribute(value, _)
            | ExprKind::Await(value)
            | ExprKind::Not(value)
            | ExprKind::Starred(value) => visit(value),
            ExprKind::Yield(value) => {
                if let Some(value) = value {
                    visit(value);
                }
            }
            ExprKind::Call(call) => {
                visit(&call.func);
                call.args.iter().for_each(&mut *visit);
                call.keywords.iter().for_each(|(_, value)| visit(value));
            }
            ExprKind::Format(parts)
            | ExprKind::List(parts)
            | ExprKind::Either(parts)
            | ExprKind::Compare(parts)
            | ExprKind::Other(parts) => parts.iter().for_each(visit),
            ExprKind::Subscript(both) | ExprKind::Binary(both, _) | ExprKind::Named(both) => {
                visit(&both.0);
                visit(&both.1);
            }
            ExprKind::Dict(items) => {
                for (key, value) in items {
                    key.iter().for_each(&mut *visit);
                    visit(value);
                }
            }
            ExprKind::Choice(three) => three.iter().for_each(visit),
            ExprKind::Comprehension(elements, clauses) => {
                for clause in clauses {
                    visit(&clause.iterable);
                    clause.conditions.iter().for_each(&mut *visit);
                }
                elements.iter().for_each(visit);
            }
            ExprKind::Name(_)
            | ExprKind::Text(_)
            | ExprKind::Number(_)
            | ExprKind::Bool(_)
            | ExprKind::None
            | ExprKind::Lambda(_) => {}
        }
    }

    /// Calls `visit` for it and all inside of it, outer before inner; lambdas' bodies are not inside.
    pub fn walk<'a>(&'a self, visit: &mut dyn FnMut(&'a Expr)) {
        visit(self);
        self.parts(&mut |part| part.walk(visit));
    }
}

impl Call {
    /// The value given by name.
    pub fn keyword(&self, name: &str) -> Option<&Expr> {
        self.keywords.iter().find(|it| it.0.as_deref() == Some(name)).map(|it| &it.1)
    }

    /// The value given by name, or else by position.
    pub fn argument(&self, name: &str, position: usize) -> Option<&Expr> {
        self.keyword(name).or_else(|| self.args.get(position))
    }

    /// Whether `*args` or `**kwargs` may bring more.
    pub fn has_rest(&self) -> bool {
        self.keywords.iter().any(|it| it.0.is_none())
            || self.args.iter().any(|it| matches!(it.kind, ExprKind::Starred(_)))
    }
}

impl Stmt {
    /// Expressions of the statement itself, not of statements inside.
    pub fn exprs<'a>(&'a self, visit: &mut dyn FnMut(&'a Expr)) {
        match &self.kind {
            StmtKind::Expr(value) | StmtKind::If(value, ..) | StmtKind::While(value, _) => {
                visit(value);
            }
            StmtKind::Assign { targets, value, .. } => {
                value.iter().for_each(&mut *visit);
                targets.iter().for_each(visit);
            }
            StmtKind::Return(value) => value.iter().for_each(visit),
            StmtKind::Other(parts) => parts.iter().for_each(visit),
            StmtKind::For { target, iterable, .. } => {
                visit(iterable);
                visit(target);
            }
            StmtKind::With { items, .. } => {
                for (value, name) in items {
                    visit(value);
                    name.iter().for_each(&mut *visit);
                }
            }
            StmtKind::Try { handlers, .. } => {
                handlers.iter().filter_map(|it| it.0.as_ref()).for_each(visit);
            }
            StmtKind::Match(subject, _) => visit(subject),
            StmtKind::Function(_)
            | StmtKind::Class(_)
            | StmtKind::Import(_)
            | StmtKind::Global(_) => {}
        }
    }

    /// Bodies inside of it; those of functions and classes are not.
    pub fn bodies<'a>(&'a self, visit: &mut dyn FnMut(&'a [Stmt])) {
        match &self.kind {
            StmtKind::If(_, body, other) => {
                visit(body);
                visit(other);
            }
            StmtKind::For { body, .. } | StmtKind::While(_, body) | StmtKind::With { body, .. } => {
                visit(body);
            }
            StmtKind::Try { body, handlers, after } => {
                visit(body);
                handlers.iter().for_each(|it| visit(&it.1));
                visit(after);
            }
            StmtKind::Match(_, cases) => cases.iter().for_each(|it| visit(it)),
            _ => {}
        }
    }
}

/// Calls `visit` for every statement of a body and inside of it, in the order of the text.
pub fn walk_body<'a>(body: &'a [Stmt], visit: &mut dyn FnMut(&'a Stmt)) {
    for stmt in body {
        visit(stmt);
        stmt.bodies(&mut |inner| walk_body(inner, visit));
    }
}

impl Function {
    /// Every statement, but those of functions and classes inside.
    pub fn walk<'a>(&'a self, visit: &mut dyn FnMut(&'a Stmt)) {
        walk_body(&self.body, visit);
    }

    /// Every expression, but those of functions, classes and lambdas inside.
    pub fn exprs<'a>(&'a self, visit: &mut dyn FnMut(&'a Expr)) {
        self.walk(&mut |stmt| stmt.exprs(&mut |expr| expr.walk(visit)));
    }
}

impl Module {
    /// Functions that stand in a function, with their index: methods of its classes too.
    pub fn functions_in(&self, parent: usize) -> impl Iterator<Item = (usize, &Function)> {
        let all = self.functions.iter().enumerate();
        all.filter(move |(_, function)| function.parent == Some(parent))
    }
}
