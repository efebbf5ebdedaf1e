//! Which file an import means: packages, relative imports, `src` layouts, several projects in one
//! repository.

use std::collections::{HashMap, HashSet};

use crate::source::Source;

/// Libraries, Python's own first of all, whose names win over a folder or a neighbour that has the same.
const LIBRARIES: &[&str] = &[
    "abc",
    "aifc",
    "aiohttp",
    "argparse",
    "array",
    "ast",
    "asynchat",
    "asyncio",
    "asyncore",
    "asyncpg",
    "atexit",
    "audioop",
    "base64",
    "bdb",
    "binascii",
    "bisect",
    "builtins",
    "bz2",
    "cProfile",
    "calendar",
    "catboost",
    "celery",
    "cgi",
    "cgitb",
    "chunk",
    "cmath",
    "cmd",
    "code",
    "codecs",
    "codeop",
    "collections",
    "colorsys",
    "compileall",
    "concurrent",
    "configparser",
    "contextlib",
    "contextvars",
    "copy",
    "copyreg",
    "crypt",
    "csv",
    "ctypes",
    "curses",
    "dataclasses",
    "datetime",
    "dbm",
    "decimal",
    "difflib",
    "dis",
    "distutils",
    "django",
    "doctest",
    "email",
    "encodings",
    "ensurepip",
    "enum",
    "errno",
    "fastapi",
    "faulthandler",
    "fcntl",
    "filecmp",
    "fileinput",
    "flask",
    "fnmatch",
    "fractions",
    "ftplib",
    "functools",
    "gc",
    "genericpath",
    "getopt",
    "getpass",
    "gettext",
    "glob",
    "graphlib",
    "grp",
    "gzip",
    "h2o",
    "hashlib",
    "heapq",
    "hmac",
    "html",
    "http",
    "httpx",
    "imaplib",
    "imghdr",
    "imp",
    "importlib",
    "inspect",
    "io",
    "ipaddress",
    "itertools",
    "joblib",
    "json",
    "keras",
    "keyword",
    "lightgbm",
    "linecache",
    "locale",
    "logging",
    "lzma",
    "mailbox",
    "mailcap",
    "marshal",
    "math",
    "mimetypes",
    "mmap",
    "modulefinder",
    "msilib",
    "msvcrt",
    "multiprocessing",
    "netrc",
    "nis",
    "nntplib",
    "nt",
    "ntpath",
    "nturl2path",
    "numbers",
    "numpy",
    "onnxruntime",
    "opcode",
    "operator",
    "optparse",
    "os",
    "ossaudiodev",
    "pandas",
    "pathlib",
    "pdb",
    "pickle",
    "pickletools",
    "pipes",
    "pkgutil",
    "platform",
    "plistlib",
    "polars",
    "poplib",
    "posix",
    "posixpath",
    "pprint",
    "profile",
    "pstats",
    "psycopg",
    "psycopg2",
    "pty",
    "pwd",
    "py_compile",
    "pyclbr",
    "pydoc",
    "pydoc_data",
    "pyexpat",
    "queue",
    "quopri",
    "random",
    "re",
    "readline",
    "redis",
    "reprlib",
    "requests",
    "resource",
    "rlcompleter",
    "runpy",
    "sanic",
    "sched",
    "secrets",
    "select",
    "selectors",
    "shelve",
    "shlex",
    "shutil",
    "signal",
    "site",
    "sklearn",
    "smtpd",
    "smtplib",
    "sndhdr",
    "socket",
    "socketserver",
    "spwd",
    "sqlalchemy",
    "sqlite3",
    "sre_compile",
    "sre_constants",
    "sre_parse",
    "ssl",
    "starlette",
    "stat",
    "statistics",
    "string",
    "stringprep",
    "struct",
    "subprocess",
    "sunau",
    "symtable",
    "sys",
    "sysconfig",
    "syslog",
    "tabnanny",
    "tarfile",
    "telnetlib",
    "tempfile",
    "tensorflow",
    "termios",
    "textwrap",
    "threading",
    "time",
    "timeit",
    "tkinter",
    "token",
    "tokenize",
    "tomllib",
    "torch",
    "trace",
    "traceback",
    "tracemalloc",
    "transformers",
    "tty",
    "types",
    "typing",
    "unicodedata",
    "unittest",
    "urllib",
    "uu",
    "uuid",
    "venv",
    "warnings",
    "wave",
    "weakref",
    "webbrowser",
    "winreg",
    "winsound",
    "wsgiref",
    "xdrlib",
    "xgboost",
    "mlflow",
    "prometheus_client",
    "xml",
    "xmlrpc",
    "zipapp",
    "zipfile",
    "zipimport",
    "zlib",
    "zoneinfo",
];

/// What a dotted name of a repository is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place<'a> {
    /// Index of a module.
    Module(usize),
    /// A folder without `__init__.py`, by its key.
    Folder(&'a str),
}

/// Modules by key: the path without `.py`, a package by its folder.
#[derive(Debug, Default)]
pub(super) struct Names {
    modules: HashMap<String, usize>,
    packages: HashSet<String>,
    folders: HashSet<String>,
    /// Folders in which packages lie.
    roots: Vec<String>,
    /// Folder of each module.
    homes: Vec<String>,
}

impl Names {
    /// `files`: the source of each module, in their order.
    pub(super) fn new<'s>(files: impl Iterator<Item = &'s Source>) -> Self {
        let mut names = Self::default();
        for (index, source) in files.enumerate() {
            let key = source.path.strip_suffix(".py").unwrap_or(&source.path);
            let home = folder(key);
            if let Some(package) = key.strip_suffix("__init__").filter(|_| name(key) == "__init__")
            {
                let package = package.trim_end_matches('/').to_owned();
                names.modules.insert(package.clone(), index);
                names.packages.insert(package);
            } else {
                names.modules.insert(key.to_owned(), index);
            }
            let mut above = Some(home);
            while let Some(inner) = above {
                if inner.is_empty() || !names.folders.insert(inner.to_owned()) {
                    break;
                }
                above = Some(folder(inner));
            }
            names.homes.push(home.to_owned());
        }
        let mut roots: Vec<String> = names
            .packages
            .iter()
            .map(|package| folder(package).to_owned())
            .filter(|folder| !names.packages.contains(folder))
            .collect();
        roots.sort();
        roots.dedup();
        names.roots = roots;
        names
    }

    /// What `import module` or `from (level dots)module import` in module `from` means here.
    pub(super) fn find(&self, from: usize, module: &str, level: u32) -> Option<Place<'_>> {
        let home = self.homes.get(from).map_or("", String::as_str);
        let tail = module.replace('.', "/");
        if level > 0 {
            let base = (1..level).fold(home, |at, _| folder(at));
            return self.place(&join(base, &tail));
        }
        let library = LIBRARIES.contains(&tail.split('/').next().unwrap_or(""));
        // How Python looks for it; how it is found where the service starts in its folder; a folder
        // without `__init__.py`, which any library of the same name goes before.
        let (mut inside, mut weak) = (None, None);
        let mut at = home;
        loop {
            match self.place(&join(at, &tail)) {
                found @ Some(Place::Module(_)) if !self.packages.contains(at) => return found,
                found @ Some(Place::Module(_)) if !library => inside = inside.or(found),
                found @ Some(Place::Folder(_)) if !library => weak = weak.or(found),
                _ => {}
            }
            if at.is_empty() {
                break;
            }
            at = folder(at);
        }
        let shared =
            |root: &&String| root.bytes().zip(home.bytes()).take_while(|(a, b)| a == b).count();
        let elsewhere = self.roots.iter().filter(|root| {
            !library && matches!(self.place(&join(root, &tail)), Some(Place::Module(_)))
        });
        let elsewhere =
            elsewhere.max_by_key(shared).and_then(|root| self.place(&join(root, &tail)));
        inside.or(elsewhere).or(weak)
    }

    /// The module or folder `name` inside of the one at `key`.
    pub(super) fn below(&self, key: &str, name: &str) -> Option<Place<'_>> {
        self.place(&join(key, name))
    }

    /// Key of the package that a module is, to look below it.
    pub(super) fn package(&self, module: usize, source: &Source) -> Option<&str> {
        let home = self.homes.get(module)?;
        (source.name() == "__init__.py").then_some(home)
    }

    fn place(&self, key: &str) -> Option<Place<'_>> {
        if let Some(index) = self.modules.get(key) {
            return Some(Place::Module(*index));
        }
        self.folders.get(key).map(|folder| Place::Folder(folder))
    }
}

fn folder(key: &str) -> &str {
    key.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn name(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or(key)
}

fn join(folder: &str, tail: &str) -> String {
    match (folder.is_empty(), tail.is_empty()) {
        (true, _) => tail.to_owned(),
        (_, true) => folder.to_owned(),
        _ => format!("{folder}/{tail}"),
    }
}
