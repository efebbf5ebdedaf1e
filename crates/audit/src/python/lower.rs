//! From the parser's tree to ours. The only file that knows the parser, whose interface may change
//! with every release.

use ruff_python_ast as ast;
use ruff_python_parser::parse_module;
use ruff_text_size::{Ranged, TextRange};

use super::syntax::{
    Call, Class, Clause, Expr, ExprKind, Function, Import, Module, Param, Stmt, StmtKind,
};
use crate::source::Span;

/// A text that is no Python: what the parser says, and at which byte.
pub(super) struct SyntaxError {
    pub(super) at: u32,
    pub(super) message: String,
}

/// Reads the text of `Facts::sources[source]`, which is not too deep.
pub(super) fn module(text: &str, source: usize) -> Result<Module, SyntaxError> {
    let parsed = parse_module(text).map_err(|cause| SyntaxError {
        at: cause.location.start().to_u32(),
        message: cause.error.to_string(),
    })?;
    let comments = parsed.tokens().iter().filter(|token| token.kind().is_comment());
    let comments = comments.map(|token| span(token.range())).collect();
    let tree = parsed.syntax();
    let mut lower = Lower { functions: Vec::new(), classes: Vec::new(), parent: None, class: None };
    let whole = span(tree.range());
    lower.functions.push(Function {
        name: "<module>".into(),
        span: Span::default(),
        whole,
        parent: None,
        class: None,
        is_async: false,
        decorators: Vec::new(),
        params: Vec::new(),
        returns: None,
        body: Vec::new(),
        has_docstring: has_docstring(&tree.body),
    });
    lower.parent = Some(0);
    let body = lower.body(&tree.body);
    if let Some(first) = lower.functions.first_mut() {
        first.body = body;
    }
    Ok(Module { source, functions: lower.functions, classes: lower.classes, comments })
}

fn span(range: TextRange) -> Span {
    Span { start: range.start().to_u32(), end: range.end().to_u32() }
}

fn has_docstring(body: &[ast::Stmt]) -> bool {
    matches!(body.first(), Some(ast::Stmt::Expr(first)) if first.value.is_string_literal_expr())
}

struct Lower {
    functions: Vec<Function>,
    classes: Vec<Class>,
    /// The function that is being read.
    parent: Option<usize>,
    /// The class that is being read, while no function inside of it is.
    class: Option<usize>,
}

impl Lower {
    fn body(&mut self, body: &[ast::Stmt]) -> Vec<Stmt> {
        body.iter().filter_map(|stmt| self.stmt(stmt)).collect()
    }

    fn stmt(&mut self, stmt: &ast::Stmt) -> Option<Stmt> {
        let kind = match stmt {
            ast::Stmt::FunctionDef(it) => self.function(it),
            ast::Stmt::ClassDef(it) => self.class(it),
            ast::Stmt::Return(it) => StmtKind::Return(it.value.as_deref().map(|it| self.expr(it))),
            ast::Stmt::Assign(it) => StmtKind::Assign {
                targets: self.exprs(&it.targets),
                annotation: None,
                value: Some(self.expr(&it.value)),
            },
            ast::Stmt::AugAssign(it) => StmtKind::Assign {
                targets: vec![self.expr(&it.target)],
                annotation: None,
                value: Some(self.expr(&it.value)),
            },
            ast::Stmt::AnnAssign(it) => StmtKind::Assign {
                targets: vec![self.expr(&it.target)],
                annotation: Some(self.expr(&it.annotation)),
                value: it.value.as_deref().map(|it| self.expr(it)),
            },
            ast::Stmt::For(it) => StmtKind::For {
                is_async: it.is_async,
                iterable: self.expr(&it.iter),
                target: self.expr(&it.target),
                body: self.bodies(&it.body, &it.orelse),
            },
            ast::Stmt::While(it) => {
                StmtKind::While(self.expr(&it.test), self.bodies(&it.body, &it.orelse))
            }
            ast::Stmt::If(it) => self.condition(it),
            ast::Stmt::With(it) => StmtKind::With {
                is_async: it.is_async,
                items: it.items.iter().map(|item| self.with_item(item)).collect(),
                body: self.body(&it.body),
            },
            ast::Stmt::Match(it) => StmtKind::Match(
                self.expr(&it.subject),
                it.cases.iter().map(|case| self.body(&case.body)).collect(),
            ),
            ast::Stmt::Try(it) => self.attempt(it),
            ast::Stmt::Raise(it) => StmtKind::Other(
                [&it.exc, &it.cause].into_iter().flatten().map(|it| self.expr(it)).collect(),
            ),
            ast::Stmt::Assert(it) => StmtKind::Other(
                [Some(&it.test), it.msg.as_ref()]
                    .into_iter()
                    .flatten()
                    .map(|it| self.expr(it))
                    .collect(),
            ),
            ast::Stmt::Delete(it) => StmtKind::Other(self.exprs(&it.targets)),
            ast::Stmt::Import(it) => StmtKind::Import(it.names.iter().map(whole_module).collect()),
            ast::Stmt::ImportFrom(it) => StmtKind::Import(from_module(it)),
            ast::Stmt::Global(it) => StmtKind::Global(names(&it.names)),
            ast::Stmt::Nonlocal(it) => StmtKind::Global(names(&it.names)),
            ast::Stmt::Expr(it) => StmtKind::Expr(self.expr(&it.value)),
            ast::Stmt::TypeAlias(_)
            | ast::Stmt::Pass(_)
            | ast::Stmt::Break(_)
            | ast::Stmt::Continue(_)
            | ast::Stmt::IpyEscapeCommand(_) => return None,
        };
        Some(Stmt { span: span(stmt.range()), kind })
    }

    fn bodies(&mut self, body: &[ast::Stmt], other: &[ast::Stmt]) -> Vec<Stmt> {
        let mut body = self.body(body);
        body.extend(self.body(other));
        body
    }

    fn with_item(&mut self, item: &ast::WithItem) -> (Expr, Option<Expr>) {
        let value = self.expr(&item.context_expr);
        (value, item.optional_vars.as_deref().map(|name| self.expr(name)))
    }

    fn condition(&mut self, it: &ast::StmtIf) -> StmtKind {
        let test = self.expr(&it.test);
        let body = self.body(&it.body);
        // In the order of the text, because functions are numbered as they come.
        let clauses: Vec<(Span, Option<Expr>, Vec<Stmt>)> = it
            .elif_else_clauses
            .iter()
            .map(|clause| {
                let test = clause.test.as_ref().map(|test| self.expr(test));
                (span(clause.range()), test, self.body(&clause.body))
            })
            .collect();
        let other =
            clauses.into_iter().rev().fold(Vec::new(), |other, (span, test, body)| match test {
                Some(test) => vec![Stmt { span, kind: StmtKind::If(test, body, other) }],
                None => body,
            });
        StmtKind::If(test, body, other)
    }

    fn attempt(&mut self, it: &ast::StmtTry) -> StmtKind {
        let body = self.body(&it.body);
        let handlers = it.handlers.iter().map(|handler| {
            let ast::ExceptHandler::ExceptHandler(handler) = handler;
            let caught = handler.type_.as_deref().map(|it| self.expr(it));
            (caught, self.body(&handler.body))
        });
        let handlers = handlers.collect();
        StmtKind::Try { body, handlers, after: self.bodies(&it.orelse, &it.finalbody) }
    }

    fn function(&mut self, it: &ast::StmtFunctionDef) -> StmtKind {
        let decorators = it.decorator_list.iter().map(|it| self.expr(&it.expression)).collect();
        let params = self.params(&it.parameters);
        let returns = it.returns.as_deref().map(|it| self.expr(it));
        let index = self.functions.len();
        self.functions.push(Function {
            name: it.name.as_str().into(),
            span: span(it.name.range()),
            whole: span(it.range()),
            parent: self.parent,
            class: self.class,
            is_async: it.is_async,
            decorators,
            params,
            returns,
            body: Vec::new(),
            has_docstring: has_docstring(&it.body),
        });
        self.inside(index, |lower| lower.body(&it.body));
        StmtKind::Function(index)
    }

    /// Reads the body of function `index`.
    fn inside(&mut self, index: usize, read: impl FnOnce(&mut Self) -> Vec<Stmt>) {
        let around = (self.parent.replace(index), self.class.take());
        let body = read(self);
        (self.parent, self.class) = around;
        if let Some(function) = self.functions.get_mut(index) {
            function.body = body;
        }
    }

    fn class(&mut self, it: &ast::StmtClassDef) -> StmtKind {
        let decorators = it.decorator_list.iter().map(|it| self.expr(&it.expression)).collect();
        let (bases, keywords) =
            it.arguments.as_deref().map_or_else(Default::default, |it| self.arguments(it));
        let index = self.classes.len();
        self.classes.push(Class {
            name: it.name.as_str().into(),
            span: span(it.name.range()),
            parent: self.parent.unwrap_or(0),
            decorators,
            bases,
            keywords,
            body: Vec::new(),
        });
        let around = self.class.replace(index);
        let body = self.body(&it.body);
        self.class = around;
        if let Some(class) = self.classes.get_mut(index) {
            class.body = body;
        }
        StmtKind::Class(index)
    }

    fn params(&mut self, it: &ast::Parameters) -> Vec<Param> {
        let mut all = Vec::with_capacity(it.len());
        for param in it.posonlyargs.iter().chain(&it.args).chain(&it.kwonlyargs) {
            let default = param.default.as_deref().map(|it| self.expr(it));
            all.push(self.param(&param.parameter, default, false));
        }
        for rest in [&it.vararg, &it.kwarg].into_iter().flatten() {
            let rest = self.param(rest, None, true);
            all.push(rest);
        }
        all
    }

    fn param(&mut self, it: &ast::Parameter, default: Option<Expr>, is_rest: bool) -> Param {
        let annotation = it.annotation.as_deref().map(|it| self.expr(it));
        Param { name: it.name.as_str().into(), annotation, default, is_rest }
    }

    #[expect(clippy::type_complexity, reason = "as in `Call`")]
    fn arguments(&mut self, it: &ast::Arguments) -> (Vec<Expr>, Vec<(Option<Box<str>>, Expr)>) {
        let args = it.args.iter().map(|it| self.expr(it)).collect();
        let keywords = it.keywords.iter().map(|keyword| {
            let name = keyword.arg.as_ref().map(|name| name.as_str().into());
            (name, self.expr(&keyword.value))
        });
        (args, keywords.collect())
    }

    fn exprs(&mut self, list: &[ast::Expr]) -> Vec<Expr> {
        list.iter().map(|it| self.expr(it)).collect()
    }

    fn boxed(&mut self, left: &ast::Expr, right: &ast::Expr) -> Box<(Expr, Expr)> {
        let left = self.expr(left);
        Box::new((left, self.expr(right)))
    }

    fn expr(&mut self, expr: &ast::Expr) -> Expr {
        let kind = match expr {
            ast::Expr::Name(it) => ExprKind::Name(it.id.as_str().into()),
            ast::Expr::Attribute(it) => {
                ExprKind::Attribute(Box::new(self.expr(&it.value)), it.attr.as_str().into())
            }
            ast::Expr::Call(it) => {
                let func = self.expr(&it.func);
                let (args, keywords) = self.arguments(&it.arguments);
                ExprKind::Call(Box::new(Call { func, args, keywords }))
            }
            ast::Expr::Await(it) => ExprKind::Await(Box::new(self.expr(&it.value))),
            ast::Expr::StringLiteral(it) => ExprKind::Text(it.value.to_str().into()),
            ast::Expr::FString(it) => ExprKind::Format(self.format(&it.value)),
            ast::Expr::NumberLiteral(it) => match &it.value {
                ast::Number::Int(number) => {
                    number.as_u64().map_or(ExprKind::Other(Vec::new()), ExprKind::Number)
                }
                _ => ExprKind::Other(Vec::new()),
            },
            ast::Expr::BooleanLiteral(it) => ExprKind::Bool(it.value),
            ast::Expr::NoneLiteral(_) => ExprKind::None,
            ast::Expr::Subscript(it) => ExprKind::Subscript(self.boxed(&it.value, &it.slice)),
            ast::Expr::Dict(it) => ExprKind::Dict(
                it.items
                    .iter()
                    .map(|item| {
                        let key = item.key.as_ref().map(|key| self.expr(key));
                        (key, self.expr(&item.value))
                    })
                    .collect(),
            ),
            ast::Expr::List(it) => ExprKind::List(self.exprs(&it.elts)),
            ast::Expr::Tuple(it) => ExprKind::List(self.exprs(&it.elts)),
            ast::Expr::Set(it) => ExprKind::List(self.exprs(&it.elts)),
            ast::Expr::BinOp(it) => {
                ExprKind::Binary(self.boxed(&it.left, &it.right), it.op.as_str())
            }
            ast::Expr::BoolOp(it) => ExprKind::Either(self.exprs(&it.values)),
            ast::Expr::If(it) => {
                let test = self.expr(&it.test);
                ExprKind::Choice(Box::new([self.expr(&it.body), self.expr(&it.orelse), test]))
            }
            ast::Expr::Compare(it) => {
                let mut sides = vec![self.expr(&it.left)];
                sides.extend(self.exprs(&it.comparators));
                ExprKind::Compare(sides)
            }
            ast::Expr::UnaryOp(it) if it.op == ast::UnaryOp::Not => {
                ExprKind::Not(Box::new(self.expr(&it.operand)))
            }
            ast::Expr::Named(it) => ExprKind::Named(self.boxed(&it.target, &it.value)),
            ast::Expr::Starred(it) => ExprKind::Starred(Box::new(self.expr(&it.value))),
            ast::Expr::Yield(it) => {
                ExprKind::Yield(it.value.as_deref().map(|it| Box::new(self.expr(it))))
            }
            ast::Expr::Lambda(it) => ExprKind::Lambda(self.lambda(it)),
            _ => self.rare(expr),
        };
        Expr { span: span(expr.range()), kind }
    }

    /// What no rule asks for by name.
    fn rare(&mut self, expr: &ast::Expr) -> ExprKind {
        let parts: Vec<Expr> = match expr {
            ast::Expr::ListComp(it) => return self.comprehension(&[&it.elt], &it.generators),
            ast::Expr::SetComp(it) => return self.comprehension(&[&it.elt], &it.generators),
            ast::Expr::Generator(it) => return self.comprehension(&[&it.elt], &it.generators),
            ast::Expr::DictComp(it) => {
                let mut elements: Vec<&ast::Expr> = it.key.as_deref().into_iter().collect();
                elements.push(&it.value);
                return self.comprehension(&elements, &it.generators);
            }
            ast::Expr::UnaryOp(it) => vec![self.expr(&it.operand)],
            ast::Expr::YieldFrom(it) => vec![self.expr(&it.value)],
            ast::Expr::Slice(it) => {
                let bounds = [&it.lower, &it.upper, &it.step];
                bounds.into_iter().flatten().map(|it| self.expr(it)).collect()
            }
            _ => Vec::new(),
        };
        ExprKind::Other(parts)
    }

    fn comprehension(
        &mut self,
        elements: &[&ast::Expr],
        clauses: &[ast::Comprehension],
    ) -> ExprKind {
        let clauses = clauses.iter().map(|it| Clause {
            target: self.expr(&it.target),
            iterable: self.expr(&it.iter),
            conditions: self.exprs(&it.ifs),
        });
        let clauses = clauses.collect();
        ExprKind::Comprehension(elements.iter().map(|it| self.expr(it)).collect(), clauses)
    }

    fn lambda(&mut self, it: &ast::ExprLambda) -> usize {
        let params = it.parameters.as_deref().map_or_else(Vec::new, |it| self.params(it));
        let index = self.functions.len();
        let whole = span(it.range());
        self.functions.push(Function {
            name: "<lambda>".into(),
            span: whole,
            whole,
            parent: self.parent,
            class: None,
            is_async: false,
            decorators: Vec::new(),
            params,
            returns: None,
            body: Vec::new(),
            has_docstring: false,
        });
        self.inside(index, |lower| {
            let value = lower.expr(&it.body);
            vec![Stmt { span: value.span, kind: StmtKind::Return(Some(value)) }]
        });
        index
    }

    fn format(&mut self, value: &ast::FStringValue) -> Vec<Expr> {
        let mut parts = Vec::new();
        for part in value {
            match part {
                ast::FStringPart::Literal(it) => parts.push(Expr {
                    span: span(it.range()),
                    kind: ExprKind::Text(it.value.as_ref().into()),
                }),
                ast::FStringPart::FString(it) => {
                    for element in &it.elements {
                        parts.push(match element {
                            ast::InterpolatedStringElement::Literal(it) => Expr {
                                span: span(it.range()),
                                kind: ExprKind::Text(it.value.as_ref().into()),
                            },
                            ast::InterpolatedStringElement::Interpolation(it) => {
                                self.expr(&it.expression)
                            }
                        });
                    }
                }
            }
        }
        parts
    }
}

fn names(list: &[ast::Identifier]) -> Vec<Box<str>> {
    list.iter().map(|name| name.as_str().into()).collect()
}

fn whole_module(alias: &ast::Alias) -> Import {
    let module = alias.name.as_str();
    let first = module.split('.').next().unwrap_or(module);
    Import {
        span: span(alias.range()),
        level: 0,
        module: module.into(),
        symbol: None,
        name: alias.asname.as_ref().map_or(first, |name| name.as_str()).into(),
        renamed: alias.asname.is_some(),
    }
}

fn from_module(it: &ast::StmtImportFrom) -> Vec<Import> {
    let module = it.module.as_ref().map_or("", |module| module.as_str());
    let import = |alias: &ast::Alias| Import {
        span: span(alias.range()),
        level: it.level,
        module: module.into(),
        symbol: Some(alias.name.as_str().into()),
        name: alias.asname.as_ref().unwrap_or(&alias.name).as_str().into(),
        renamed: alias.asname.is_some(),
    };
    it.names.iter().map(import).collect()
}
