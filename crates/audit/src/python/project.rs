//! The modules of a repository as one program: what a name, an attribute and a call mean.
//!
//! Answers come from the text alone and are best guesses that err towards nothing: what cannot be
//! known is `None`. Bounded: each question has [`FUEL`] steps, each answer is kept.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::names::{Names, Place};
use super::scopes::{Binding, Bound, Scopes};
use super::syntax::{Call, Class, Expr, ExprKind, Function, Import, Module, Param, StmtKind};
use super::value::{ClassId, FunctionId, Value};
use crate::facts::Facts;
use crate::source::Source;

/// Steps from a name to its value; longer ways are not followed.
const FUEL: u32 = 40;

/// Longest way into a library that is kept.
const PATH_BYTES_MAX: usize = 240;

/// Functions that need no import.
const BUILTINS: &[&str] = &[
    "open",
    "input",
    "hash",
    "map",
    "filter",
    "getattr",
    "sorted",
    "list",
    "tuple",
    "dict",
    "set",
    "super",
    "print",
    "iter",
    "next",
    "enumerate",
    "zip",
    "reversed",
    "str",
    "repr",
    "id",
    "min",
    "max",
    "sum",
    "any",
    "all",
    "exec",
    "eval",
];

/// Where a parameter gets its value: who calls, with what, and how many arguments come before.
type Callers<'a> = HashMap<FunctionId, Vec<(FunctionId, &'a Call, usize)>>;

/// All modules, linked.
pub struct Project<'a> {
    /// What it is made from.
    pub facts: &'a Facts,
    names: Names,
    scopes: Vec<Scopes<'a>>,
    /// By address of the expression.
    values: RefCell<HashMap<usize, Option<Value>>>,
    results: RefCell<HashMap<FunctionId, Option<Value>>>,
    symbols: RefCell<HashMap<(usize, String), Option<Value>>>,
    callers: RefCell<Callers<'a>>,
}

impl<'a> Project<'a> {
    /// Links the modules of `facts`.
    pub fn new(facts: &'a Facts) -> Self {
        let files = facts.python.iter().map(|module| &facts.sources[module.source]);
        Self {
            facts,
            names: Names::new(files),
            scopes: facts.python.iter().map(Scopes::new).collect(),
            values: RefCell::default(),
            results: RefCell::default(),
            symbols: RefCell::default(),
            callers: RefCell::default(),
        }
    }

    /// Who calls whom is known now: parameters get their values from there.
    pub(super) fn set_callers(&self, callers: Callers<'a>) {
        *self.callers.borrow_mut() = callers;
        self.values.borrow_mut().clear();
        self.results.borrow_mut().clear();
        self.symbols.borrow_mut().clear();
    }

    /// A module.
    pub fn module(&self, index: usize) -> &'a Module {
        &self.facts.python[index]
    }

    /// The text of a module.
    pub fn source(&self, module: usize) -> &'a Source {
        &self.facts.sources[self.facts.python[module].source]
    }

    /// A function.
    pub fn function(&self, id: FunctionId) -> &'a Function {
        &self.facts.python[id.module].functions[id.function]
    }

    /// A class.
    pub fn class(&self, id: ClassId) -> &'a Class {
        &self.facts.python[id.module].classes[id.class]
    }

    /// `Model.predict`, `score`, `the module's code`: how a function is called in messages.
    pub fn label(&self, id: FunctionId) -> String {
        let function = self.function(id);
        match (&*function.name, function.class) {
            ("<module>", _) => "module".to_owned(),
            ("<lambda>", _) => "lambda".to_owned(),
            (name, Some(class)) => {
                format!("{}.{name}", self.class(ClassId { module: id.module, class }).name)
            }
            (name, None) => name.to_owned(),
        }
    }

    /// What `expr` is worth inside of function `at`.
    pub fn value(&self, at: FunctionId, expr: &'a Expr) -> Option<Value> {
        self.eval(at, expr, FUEL)
    }

    /// The way into a library that `expr` is, or the names as they are written.
    pub fn path(&self, at: FunctionId, expr: &'a Expr) -> Option<String> {
        match self.value(at, expr) {
            Some(Value::External(path)) => Some(path.to_string()),
            Some(_) => None,
            None => expr.dotted(),
        }
    }

    /// What a call of this function gives.
    pub fn result(&self, id: FunctionId) -> Option<Value> {
        self.result_of(id, FUEL)
    }

    /// The method or attribute `name` of an object.
    pub fn attribute(&self, value: &Value, name: &str) -> Option<Value> {
        self.attribute_of(value, name, FUEL)
    }

    /// The values of a class's bases that are not in the repository, its own bases' too.
    pub fn external_bases(&self, class: ClassId) -> Vec<Rc<str>> {
        let mut found = Vec::new();
        let mut open = vec![class];
        let mut seen = Vec::new();
        while let Some(id) = open.pop() {
            if seen.contains(&id) {
                continue;
            }
            seen.push(id);
            let class = self.class(id);
            let at = FunctionId { module: id.module, function: class.parent };
            for base in &class.bases {
                match self.value(at, base) {
                    Some(Value::Class(id)) => open.push(id),
                    Some(Value::External(path)) => found.push(path),
                    _ => found.extend(base.dotted().map(Rc::from)),
                }
            }
        }
        found
    }

    /// The expressions that a name or an attribute of the method's own object is bound to, and where
    /// they stand; through imports, and to a parameter's default.
    pub fn bound_values(&self, at: FunctionId, expr: &'a Expr) -> Vec<(FunctionId, &'a Expr)> {
        let (module, bindings) = match &expr.kind {
            ExprKind::Name(name) => (at.module, self.bindings(at, name)),
            ExprKind::Attribute(base, name) => match self.value(at, base) {
                Some(Value::Instance(id) | Value::Class(id)) => {
                    (id.module, self.scopes[id.module].attributes[id.class].get(&**name))
                }
                Some(Value::Module(module)) => (module, self.scopes[module].names[0].get(&**name)),
                _ => return Vec::new(),
            },
            _ => return Vec::new(),
        };
        let bindings = bindings.into_iter().flatten();
        let values = bindings.filter_map(|binding| {
            let at = FunctionId { module, function: binding.function };
            match binding.bound {
                Bound::Value(value) => Some((at, value)),
                Bound::Param(param) => Some((at, param.default.as_ref()?)),
                Bound::Import(import) => {
                    let symbol = import.symbol.as_deref()?;
                    let Place::Module(other) =
                        self.names.find(module, &import.module, import.level)?
                    else {
                        return None;
                    };
                    let there = self.scopes[other].names[0].get(symbol)?;
                    there.iter().find_map(|it| match it.bound {
                        Bound::Value(value) => {
                            Some((FunctionId { module: other, function: it.function }, value))
                        }
                        _ => None,
                    })
                }
                _ => None,
            }
        });
        values.collect()
    }

    /// What a name is bound to, in the nearest function around that binds it.
    fn bindings(&self, at: FunctionId, name: &str) -> Option<&Vec<Binding<'a>>> {
        let mut next = Some(at.function);
        while let Some(function) = next {
            if let Some(bindings) = self.scopes[at.module].names[function].get(name) {
                return Some(bindings);
            }
            next = self.module(at.module).functions[function].parent;
        }
        None
    }

    /// Names of all bases of a class, by which frameworks are known: also of those in the repository,
    /// with the folders that they lie in.
    pub fn base_names(&self, class: ClassId) -> Vec<String> {
        let mut found: Vec<String> =
            self.external_bases(class).iter().map(ToString::to_string).collect();
        let mut open = vec![class];
        for _ in 0..FUEL {
            let Some(id) = open.pop() else { break };
            let at = FunctionId { module: id.module, function: self.class(id).parent };
            for base in &self.class(id).bases {
                if let Some(Value::Class(base)) = self.value(at, base) {
                    let folder = self.source(base.module).path.replace('/', ".");
                    found.push(format!("{folder}.{}", self.class(base).name));
                    open.push(base);
                }
            }
        }
        found
    }

    fn eval(&self, at: FunctionId, expr: &'a Expr, fuel: u32) -> Option<Value> {
        let fuel = fuel.checked_sub(1)?;
        let key = std::ptr::from_ref(expr) as usize;
        if let Some(known) = self.values.borrow().get(&key) {
            return known.clone();
        }
        // Whoever asks for it on the way to its own answer gets none.
        self.values.borrow_mut().insert(key, None);
        let value = self.compute(at, expr, fuel);
        self.values.borrow_mut().insert(key, value.clone());
        value
    }

    fn compute(&self, at: FunctionId, expr: &'a Expr, fuel: u32) -> Option<Value> {
        let first = |parts: &'a [Expr]| parts.iter().find_map(|part| self.eval(at, part, fuel));
        match &expr.kind {
            ExprKind::Name(name) => self.name(at, name, fuel),
            ExprKind::Attribute(base, name) => self.member(at, base, name, fuel),
            ExprKind::Call(call) => self.call(at, call, fuel),
            ExprKind::Await(value) | ExprKind::Starred(value) => self.eval(at, value, fuel),
            ExprKind::Subscript(both) => self.item(at, &both.0, &both.1, fuel),
            ExprKind::Dict(items) => {
                let value = items.iter().find_map(|(_, value)| self.eval(at, value, fuel))?;
                Some(Value::Many(Box::new(value)))
            }
            ExprKind::List(parts) => Some(Value::Many(Box::new(first(parts)?))),
            ExprKind::Comprehension(elements, _) => {
                Some(Value::Many(Box::new(self.eval(at, elements.last()?, fuel)?)))
            }
            ExprKind::Either(parts) => first(parts),
            ExprKind::Choice(three) => first(&three[..2]),
            ExprKind::Named(both) => self.eval(at, &both.1, fuel),
            ExprKind::Lambda(function) => {
                Some(Value::Function(FunctionId { module: at.module, function: *function }))
            }
            _ => None,
        }
    }

    fn name(&self, at: FunctionId, name: &str, fuel: u32) -> Option<Value> {
        let module = self.module(at.module);
        let mut next = Some(at.function);
        while let Some(function) = next {
            if let Some(bindings) = self.scopes[at.module].names[function].get(name) {
                let owner = FunctionId { module: at.module, function };
                return bindings.iter().find_map(|it| self.bound(owner, it, fuel));
            }
            next = module.functions[function].parent;
        }
        let star = self.scopes[at.module].stars.iter().find_map(|import| {
            match self.names.find(at.module, &import.module, import.level)? {
                Place::Module(other) if other != at.module => self.symbol(other, name, fuel),
                _ => None,
            }
        });
        star.or_else(|| BUILTINS.contains(&name).then(|| Value::external(name)))
    }

    /// What a module binds to a name.
    fn symbol(&self, module: usize, name: &str, fuel: u32) -> Option<Value> {
        let fuel = fuel.checked_sub(1)?;
        let key = (module, name.to_owned());
        if let Some(known) = self.symbols.borrow().get(&key) {
            return known.clone();
        }
        // Modules import each other in circles: whoever asks on the way gets none.
        self.symbols.borrow_mut().insert(key.clone(), None);
        let value = self.find_symbol(module, name, fuel);
        self.symbols.borrow_mut().insert(key, value.clone());
        value
    }

    fn find_symbol(&self, module: usize, name: &str, fuel: u32) -> Option<Value> {
        let owner = FunctionId { module, function: 0 };
        if let Some(bindings) = self.scopes[module].names[0].get(name) {
            if let Some(value) = bindings.iter().find_map(|it| self.bound(owner, it, fuel)) {
                return Some(value);
            }
        } else if let Some(value) = self.scopes[module].stars.iter().find_map(|import| {
            match self.names.find(module, &import.module, import.level)? {
                Place::Module(other) if other != module => self.symbol(other, name, fuel),
                _ => None,
            }
        }) {
            return Some(value);
        }
        let package = self.names.package(module, self.source(module))?;
        self.names.below(package, name).map(place)
    }

    fn bound(&self, owner: FunctionId, binding: &Binding<'a>, fuel: u32) -> Option<Value> {
        let at = FunctionId { module: owner.module, function: binding.function };
        match binding.bound {
            Bound::Value(value) => self.eval(at, value, fuel),
            Bound::Part(value, number) => self.part(at, value, number, fuel),
            Bound::Element(value) => inside(&self.eval(at, value, fuel)?),
            Bound::Entered(value) => self.entered(self.eval(at, value, fuel)?, fuel),
            Bound::Stored(value) => Some(Value::Many(Box::new(self.eval(at, value, fuel)?))),
            Bound::Annotated(annotation) => self.annotated(at, annotation, fuel),
            Bound::Param(param) => self.param(owner, param, fuel),
            Bound::Function(function) => {
                Some(Value::Function(FunctionId { module: owner.module, function }))
            }
            Bound::Class(class) => Some(Value::Class(ClassId { module: owner.module, class })),
            Bound::Import(import) => self.import(owner.module, import, fuel),
        }
    }

    fn import(&self, module: usize, import: &Import, fuel: u32) -> Option<Value> {
        let outside = |path: &str| (import.level == 0).then(|| Value::external(path));
        let Some(symbol) = &import.symbol else {
            // `import a.b` binds `a`, `import a.b as c` binds `a.b`.
            let whole = if import.renamed { &*import.module } else { &*import.name };
            // That `a.b` is here matters, not whether `a` is.
            let here = self.names.find(module, &import.module, 0).is_some();
            let place = self.names.find(module, whole, 0).filter(|_| here);
            return place.map(self::place).or_else(|| outside(whole));
        };
        match self.names.find(module, &import.module, import.level) {
            Some(Place::Module(other)) => self.symbol(other, symbol, fuel),
            Some(Place::Folder(folder)) => self.names.below(folder, symbol).map(place),
            None => outside(&format!("{}.{symbol}", import.module)),
        }
    }

    fn part(&self, at: FunctionId, value: &'a Expr, number: usize, fuel: u32) -> Option<Value> {
        if let ExprKind::List(parts) = &value.kind {
            return self.eval(at, parts.get(number)?, fuel);
        }
        if let Some(call) = value_call(value)
            && let Some(Value::Function(function)) = self.eval(at, &call.func, fuel)
            && let Some(ExprKind::List(parts)) = self.returned(function).map(|it| &it.kind)
        {
            return self.eval(function, parts.get(number)?, fuel);
        }
        inside(&self.eval(at, value, fuel)?)
    }

    /// The last value that a function returns.
    fn returned(&self, id: FunctionId) -> Option<&'a Expr> {
        let mut last = None;
        self.function(id).walk(&mut |stmt| {
            if let StmtKind::Return(Some(value)) = &stmt.kind {
                last = Some(value);
            }
        });
        last
    }

    fn entered(&self, value: Value, fuel: u32) -> Option<Value> {
        let Value::Instance(_) = value else { return Some(value) };
        let mut enter = ["__enter__", "__aenter__"].iter();
        let enter = enter.find_map(|name| self.attribute_of(&value, name, fuel));
        match enter {
            Some(Value::Function(function)) => self.result_of(function, fuel).or(Some(value)),
            _ => Some(value),
        }
    }

    fn param(&self, owner: FunctionId, param: &'a Param, fuel: u32) -> Option<Value> {
        let function = self.function(owner);
        let position = function.params.iter().position(|it| std::ptr::eq(it, param))?;
        if let (Some(class), 0) = (function.class, position)
            && !function.decorators.iter().any(|it| it.last_name() == Some("staticmethod"))
        {
            let id = ClassId { module: owner.module, class };
            let is_class =
                function.decorators.iter().any(|it| it.last_name() == Some("classmethod"));
            return Some(if is_class { Value::Class(id) } else { Value::Instance(id) });
        }
        let around = FunctionId { function: function.parent.unwrap_or(0), ..owner };
        let annotation = param.annotation.as_ref();
        let given = param.default.as_ref().and_then(|default| self.depends(around, default, fuel));
        let annotated = annotation.and_then(|it| self.annotated(around, it, fuel));
        // Containers by position are not followed.
        if param.is_rest {
            return None;
        }
        given.or(annotated).or_else(|| self.by_callers(owner, position, &param.name, fuel))
    }

    /// `Depends(f)`: what `f` gives.
    fn depends(&self, at: FunctionId, default: &'a Expr, fuel: u32) -> Option<Value> {
        let call = default.call().filter(|call| {
            ["Depends", "Security", "Provide"].contains(&call.func.last_name().unwrap_or(""))
        })?;
        let given = self.eval(at, call.argument("dependency", 0)?, fuel)?;
        self.called(given, fuel)
    }

    fn by_callers(&self, id: FunctionId, position: usize, name: &str, fuel: u32) -> Option<Value> {
        let callers = self.callers.borrow().get(&id).cloned()?;
        callers.iter().take(8).find_map(|(at, call, before)| {
            let value =
                call.keyword(name).or_else(|| call.args.get(position.checked_sub(*before)?));
            self.eval(*at, value?, fuel / 2)
        })
    }

    fn annotated(&self, at: FunctionId, annotation: &'a Expr, fuel: u32) -> Option<Value> {
        let fuel = fuel.checked_sub(1)?;
        let object = |value| match value {
            Value::Class(class) => Some(Value::Instance(class)),
            Value::External(path) => {
                let opaque =
                    ["typing.", "collections.", "abc.", "str", "int", "float", "dict", "list"];
                (!opaque.iter().any(|it| path.starts_with(it))).then(|| external(&path, "()"))
            }
            _ => None,
        };
        match &annotation.kind {
            ExprKind::Name(_) | ExprKind::Attribute(..) => object(self.eval(at, annotation, fuel)?),
            ExprKind::Binary(both, "|") => {
                self.annotated(at, &both.0, fuel).or_else(|| self.annotated(at, &both.1, fuel))
            }
            ExprKind::Text(text) => {
                let mut words = text.split('.');
                let first = self.name(at, words.next()?, fuel)?;
                object(words.try_fold(first, |value, word| self.attribute_of(&value, word, fuel))?)
            }
            ExprKind::Subscript(both) => {
                let parts = match &both.1.kind {
                    ExprKind::List(parts) => parts.as_slice(),
                    _ => std::slice::from_ref(&both.1),
                };
                let many = |part| Some(Value::Many(Box::new(self.annotated(at, part, fuel)?)));
                match both.0.last_name()? {
                    "Optional" | "Union" | "ClassVar" | "Final" => {
                        parts.iter().find_map(|part| self.annotated(at, part, fuel))
                    }
                    "Annotated" => {
                        let given = parts.iter().find_map(|part| self.depends(at, part, fuel));
                        given.or_else(|| self.annotated(at, parts.first()?, fuel))
                    }
                    "AsyncGenerator" | "Generator" | "AsyncIterator" | "Iterator" | "Awaitable" => {
                        self.annotated(at, parts.first()?, fuel)
                    }
                    "List" | "list" | "Sequence" | "Dict" | "dict" | "Mapping" | "Tuple"
                    | "tuple" | "Set" | "set" | "Iterable" | "defaultdict" => many(parts.last()?),
                    _ => object(self.eval(at, &both.0, fuel)?),
                }
            }
            _ => None,
        }
    }

    fn member(&self, at: FunctionId, base: &'a Expr, name: &'a str, fuel: u32) -> Option<Value> {
        // `request.app.state.model`: one table for all applications of the repository.
        if base.last_name() == Some("state")
            && let Some(value) = self.stored(name, fuel, |store| store.last_name() == Some("state"))
        {
            return Some(value);
        }
        let value = self.eval(at, base, fuel)?;
        self.attribute_of(&value, name, fuel)
    }

    /// The first value that is stored under a name anywhere, at a base that pleases.
    fn stored(&self, name: &str, fuel: u32, pleases: impl Fn(&Expr) -> bool) -> Option<Value> {
        self.scopes.iter().enumerate().find_map(|(module, scopes)| {
            let stores = scopes.stores.get(name)?.iter().filter(|store| pleases(store.base));
            let mut values = stores.filter_map(|store| {
                self.eval(FunctionId { module, function: store.function }, store.value, fuel)
            });
            values.next()
        })
    }

    fn item(&self, at: FunctionId, base: &'a Expr, index: &'a Expr, fuel: u32) -> Option<Value> {
        // aiohttp keeps its objects in `app["name"]`, lifespans their state in a dictionary.
        if let (Some(name), Some("app" | "state")) = (index.text(), base.last_name())
            && let Some(value) =
                self.stored(name, fuel, |it| matches!(it.last_name(), Some("app" | "state")))
        {
            return Some(value);
        }
        match self.eval(at, base, fuel)? {
            Value::Class(class) => Some(Value::Class(class)),
            value => inside(&value),
        }
    }

    pub(super) fn attribute_of(&self, value: &Value, name: &str, fuel: u32) -> Option<Value> {
        let fuel = fuel.checked_sub(1)?;
        match value {
            Value::Module(module) => {
                self.symbol(*module, name, fuel).or_else(|| self.kept(value, name, fuel))
            }
            Value::Folder(folder) => self.names.below(folder, name).map(place),
            Value::Class(class) | Value::Instance(class) => self
                .of_class(*class, name, fuel)
                .or_else(|| self.kept(value, name, fuel))
                .or_else(|| {
                    let base = self.external_base(*class)?;
                    let object = if matches!(value, Value::Instance(_)) { "()" } else { "" };
                    Some(external(&external_path(&base, object), &format!(".{name}")))
                }),
            Value::External(path) => self.of_library(path, name, fuel),
            Value::Many(inner) => {
                ["values", "items", "get", "pop", "copy", "setdefault"].contains(&name).then(|| {
                    Value::Partial(Box::new(match name {
                        "get" | "pop" | "setdefault" => (**inner).clone(),
                        _ => value.clone(),
                    }))
                })
            }
            Value::Function(_) | Value::Partial(_) => None,
        }
    }

    /// An attribute of what a library gives. Applications and their states carry what the repository
    /// stores in them, whatever their library says.
    fn of_library(&self, path: &str, name: &str, fuel: u32) -> Option<Value> {
        let made = ["FastAPI()", "Starlette()", "Sanic()", "Application()"];
        let borrowed = [".app", ".state", ".ctx"].iter().any(|it| path.ends_with(it));
        if borrowed || made.iter().any(|it| path.ends_with(it)) {
            let holds = |base: &Expr| matches!(base.last_name(), Some("app" | "state" | "ctx"));
            if let Some(value) = self.stored(name, fuel, holds) {
                return Some(value);
            }
        }
        let goes_on = !borrowed || matches!(name, "app" | "state" | "ctx");
        goes_on.then(|| external(path, &format!(".{name}")))
    }

    /// What others store in an object or module: `holder.model = ...`.
    fn kept(&self, owner: &Value, name: &str, fuel: u32) -> Option<Value> {
        let same = |base: &Value| match (owner, base) {
            (Value::Class(a) | Value::Instance(a), Value::Class(b) | Value::Instance(b)) => a == b,
            _ => owner == base,
        };
        self.scopes.iter().enumerate().find_map(|(module, scopes)| {
            scopes.stores.get(name)?.iter().find_map(|store| {
                let at = FunctionId { module, function: store.function };
                let base = self.eval(at, store.base, fuel / 2)?;
                if same(&base) { self.eval(at, store.value, fuel / 2) } else { None }
            })
        })
    }

    fn external_base(&self, class: ClassId) -> Option<Rc<str>> {
        let skip = ["abc.", "typing.", "enum.", "object", "pydantic.", "dataclasses."];
        let bases = self.external_bases(class);
        bases.into_iter().find(|base| !skip.iter().any(|it| base.starts_with(it)))
    }

    /// A method, an attribute of the class, or what its methods assign; then those of its bases.
    fn of_class(&self, id: ClassId, name: &str, fuel: u32) -> Option<Value> {
        let fuel = fuel.checked_sub(1)?;
        let owner = FunctionId { module: id.module, function: self.class(id).parent };
        if let Some(bindings) = self.scopes[id.module].attributes[id.class].get(name) {
            let value = bindings.iter().find_map(|it| self.bound(owner, it, fuel));
            if let Some(Value::Function(method)) = value
                && is_property(self.function(method))
            {
                return self.result_of(method, fuel);
            }
            if value.is_some() {
                return value;
            }
        }
        let class = self.class(id);
        class.bases.iter().find_map(|base| match self.eval(owner, base, fuel)? {
            Value::Class(base) if base != id => self.of_class(base, name, fuel),
            _ => None,
        })
    }

    /// The method of a class or of its bases, as it is defined.
    pub fn method(&self, id: ClassId, name: &str) -> Option<FunctionId> {
        match self.of_class(id, name, FUEL) {
            Some(Value::Function(method)) => Some(method),
            _ => None,
        }
    }

    fn call(&self, at: FunctionId, call: &'a Call, fuel: u32) -> Option<Value> {
        if let Some("partial") = call.func.last_name()
            && let Some(first) = call.args.first()
        {
            return Some(Value::Partial(Box::new(self.eval(at, first, fuel)?)));
        }
        let func = self.eval(at, &call.func, fuel)?;
        match func.path() {
            Some("getattr") => {
                let object = self.eval(at, call.args.first()?, fuel)?;
                let name = call.args.get(1)?.text().unwrap_or("*");
                return self.attribute_of(&object, name, fuel);
            }
            Some("typing.cast") => return self.annotated(at, call.args.first()?, fuel),
            Some("super") => {
                let class = self.function(at).class?;
                let class = self.class(ClassId { module: at.module, class });
                let owner = FunctionId { module: at.module, function: class.parent };
                return match self.eval(owner, class.bases.first()?, fuel)? {
                    Value::Class(base) => Some(Value::Instance(base)),
                    Value::External(path) => Some(external(&path, "()")),
                    _ => None,
                };
            }
            Some("next" | "iter" | "list" | "tuple" | "sorted" | "reversed") => {
                return self.eval(at, call.args.first()?, fuel);
            }
            _ => {}
        }
        self.called(func, fuel)
    }

    fn called(&self, func: Value, fuel: u32) -> Option<Value> {
        let fuel = fuel.checked_sub(1)?;
        match func {
            Value::External(path) => Some(external(&path, "()")),
            Value::Class(class) => Some(Value::Instance(class)),
            Value::Function(function) => self.result_of(function, fuel),
            Value::Instance(class) => match self.of_class(class, "__call__", fuel) {
                Some(Value::Function(method)) => self.result_of(method, fuel),
                _ => Some(external(&external_path(&self.external_base(class)?, "()"), "()")),
            },
            Value::Partial(inner) => match *inner {
                // Methods of containers give what lies inside.
                inner @ (Value::Many(_) | Value::Instance(_)) => Some(inner),
                Value::External(path) if path.ends_with("()") => Some(Value::External(path)),
                inner => self.called(inner, fuel),
            },
            Value::Many(_) | Value::Module(_) | Value::Folder(_) => None,
        }
    }

    fn result_of(&self, id: FunctionId, fuel: u32) -> Option<Value> {
        let fuel = fuel.checked_sub(1)?;
        if let Some(known) = self.results.borrow().get(&id) {
            return known.clone();
        }
        self.results.borrow_mut().insert(id, None);
        let function = self.function(id);
        let mut given: Vec<&'a Expr> = Vec::new();
        function.walk(&mut |stmt| {
            if let StmtKind::Return(Some(value)) = &stmt.kind {
                given.push(value);
            }
            stmt.exprs(&mut |expr| {
                expr.walk(&mut |inner| {
                    if let ExprKind::Yield(Some(value)) = &inner.kind {
                        given.push(value);
                    }
                });
            });
        });
        let around = FunctionId { function: function.parent.unwrap_or(0), ..id };
        let value = given.into_iter().find_map(|value| self.eval(id, value, fuel));
        let value = value.or_else(|| self.annotated(around, function.returns.as_ref()?, fuel));
        self.results.borrow_mut().insert(id, value.clone());
        value
    }
}

/// Whether a method is read like an attribute.
pub(super) fn is_property(function: &Function) -> bool {
    let names = ["property", "cached_property"];
    function.decorators.iter().any(|it| it.last_name().is_some_and(|name| names.contains(&name)))
}

fn value_call(expr: &Expr) -> Option<&Call> {
    match &expr.kind {
        ExprKind::Await(value) => value.call(),
        _ => expr.call(),
    }
}

fn place(place: Place<'_>) -> Value {
    match place {
        Place::Module(module) => Value::Module(module),
        Place::Folder(folder) => Value::Folder(folder.into()),
    }
}

/// What lies in a container.
fn inside(value: &Value) -> Option<Value> {
    match value {
        Value::Many(inner) => Some((**inner).clone()),
        Value::External(path) => Some(external(path, "[]")),
        _ => None,
    }
}

fn external_path(path: &str, more: &str) -> String {
    // A way that goes in circles says nothing new.
    if path.len() + more.len() > PATH_BYTES_MAX { path.to_owned() } else { format!("{path}{more}") }
}

fn external(path: &str, more: &str) -> Value {
    Value::external(external_path(path, more))
}
