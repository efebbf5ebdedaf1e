//! What an expression is worth: a definition of the repository, or a path into a library.

use std::rc::Rc;

/// A function or lambda of the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FunctionId {
    /// Index into `Facts::python`.
    pub module: usize,
    /// Index into `Module::functions`; 0 is the module's own code.
    pub function: usize,
}

/// A class of the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassId {
    /// Index into `Facts::python`.
    pub module: usize,
    /// Index into `Module::classes`.
    pub class: usize,
}

/// A value, as far as it can be known without running anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A module of the repository.
    Module(usize),
    /// A folder of modules, by its key.
    Folder(Rc<str>),
    /// A function, or a method of some object.
    Function(FunctionId),
    /// A class.
    Class(ClassId),
    /// An object of a class.
    Instance(ClassId),
    /// What a library gives, by the way to it: `joblib.load`, `joblib.load()`,
    /// `redis.asyncio.Redis().pipeline()`, `models[]`.
    External(Rc<str>),
    /// `functools.partial(value, ...)`
    Partial(Box<Value>),
    /// A container of such values.
    Many(Box<Value>),
}

impl Value {
    /// A way into a library.
    pub fn external(path: impl AsRef<str>) -> Self {
        Self::External(path.as_ref().into())
    }

    /// The way, for what comes from a library.
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::External(path) => Some(path),
            _ => None,
        }
    }
}
