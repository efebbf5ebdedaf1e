//! The Python wheel: built, installed into an empty environment, and tested there.

use std::path::{Path, PathBuf};

use crate::step::{Failed, Step};

/// Builds wheels.
const MATURIN: &str = "maturin==1.16.0";

/// Links against the oldest systems that a wheel promises, and against musl; from the package index,
/// like maturin.
const ZIG: &str = "ziglang==0.15.2";

/// Platforms of the wheels that `cargo xtask wheel` makes: Rust's target, and Python's name of it.
const PLATFORMS: &[(&str, &str)] = &[
    ("x86_64-unknown-linux-gnu", "manylinux2014"),
    ("x86_64-unknown-linux-musl", "musllinux_1_2"),
    ("aarch64-unknown-linux-gnu", "manylinux2014"),
    ("aarch64-unknown-linux-musl", "musllinux_1_2"),
];

/// Where the packages of an environment are listed, and what it is called.
struct Environment {
    name: &'static str,
    requirements: &'static str,
    /// Marks of the tests that run in it.
    tests: &'static [&'static str],
}

const SHORT: Environment = Environment {
    name: "wheel-python",
    requirements: "crates/python/tests/requirements.txt",
    tests: &["-m", "not long and not engine"],
};

/// Each with what cannot be installed beside the others.
const LONG: &[Environment] = &[
    Environment {
        name: "wheel-python",
        requirements: "crates/python/tests/requirements.txt",
        tests: &["-m", "long"],
    },
    Environment {
        name: "wheel-h2o",
        requirements: "crates/python/tests/engines/h2o.txt",
        tests: &["engines/test_h2o.py"],
    },
    Environment {
        name: "wheel-spark3",
        requirements: "crates/python/tests/engines/spark3.txt",
        tests: &["engines/test_spark.py"],
    },
    Environment {
        name: "wheel-spark4",
        requirements: "crates/python/tests/engines/spark4.txt",
        tests: &["engines/test_spark.py"],
    },
    Environment {
        name: "wheel-ray",
        requirements: "crates/python/tests/engines/ray.txt",
        tests: &["engines/test_ray.py"],
    },
    Environment {
        name: "wheel-mlflow",
        requirements: "crates/python/tests/engines/mlflow.txt",
        tests: &["engines/test_mlflow.py"],
    },
];

/// Builds a wheel for this machine's Python and runs its tests; `all`: the long ones as well, in
/// environments with h2o, Spark, Ray and the rest.
pub(crate) fn test(all: bool) -> Result<(), Failed> {
    let folder = crate::target().join("wheels-test");
    let build = ["--profile", if all { "release" } else { "dev" }];
    // One wheel, so that its name need not be guessed.
    drop(std::fs::remove_dir_all(&folder));
    build_into(&folder, &build)?;
    let wheel = only_wheel(&folder)?;
    check(&SHORT, &wheel)?;
    types()?;
    if all {
        LONG.iter().try_for_each(|environment| check(environment, &wheel))?;
    }
    Ok(())
}

/// Release wheels of all platforms, in `target/wheels`.
pub(crate) fn release() -> Result<(), Failed> {
    let folder = crate::target().join("wheels");
    for (target, platform) in PLATFORMS {
        Step::new("wheel", "rustup target add").arguments(&[target]).run()?;
        let flags = ["--profile", "dist", "--zig", "--target", target, "--compatibility", platform];
        build_into(&folder, &flags)?;
    }
    Ok(())
}

fn build_into(folder: &Path, flags: &[&str]) -> Result<(), Failed> {
    let tools = if flags.contains(&"--zig") {
        environment("wheel-release-tools", &[MATURIN, ZIG])?
    } else {
        environment("wheel-tools", &[MATURIN])?
    };
    let maturin = tools.join("bin/maturin");
    let out = folder.to_string_lossy();
    let path = path_with(&tools.join("bin"));
    Step::new("wheel", &maturin.to_string_lossy())
        .arguments(&["build", "--manifest-path", "crates/python/Cargo.toml", "--out", &out])
        .arguments(flags)
        .env("PATH", path)
        .run()
}

/// Installs the wheel beside the packages that its tests need, and runs them.
fn check(what: &Environment, wheel: &str) -> Result<(), Failed> {
    let list = crate::root().join(what.requirements);
    let folder = environment(what.name, &["--requirement", &list.to_string_lossy()])?;
    let python = folder.join("bin/python").to_string_lossy().into_owned();
    let install = ["-m", "pip", "install", "--quiet", "--no-deps", "--force-reinstall", wheel];
    Step::new(what.name, &python).arguments(&install).run()?;
    Step::new(what.name, "env --chdir=crates/python/tests")
        .arguments(&[&python, "-m", "pytest", "--quiet", "--config-file=../pyproject.toml"])
        .arguments(what.tests)
        .run()
}

/// The package before mypy, and its stubs beside the library that is installed.
fn types() -> Result<(), Failed> {
    let python = crate::target().join("wheel-python/bin/python").to_string_lossy().into_owned();
    Step::new("types", "env --chdir=crates/python/python")
        .arguments(&[&python, "-m", "mypy", "--config-file=../pyproject.toml", "stemson"])
        .run()?;
    let stubs =
        ["--mypy-config-file=../pyproject.toml", "--ignore-missing-stub", "stemson._native"];
    Step::new("types", "env --chdir=crates/python/tests")
        .arguments(&[&python, "-m", "mypy.stubtest"])
        .arguments(&stubs)
        .run()
}

/// An environment of Python's with these packages, made anew when they change.
fn environment(name: &'static str, packages: &[&str]) -> Result<PathBuf, Failed> {
    let folder = crate::target().join(name);
    let mark = folder.join("installed.txt");
    let failed = |cause: std::io::Error| Failed::new(name, cause.to_string());
    let mut wanted = packages.join("\n").into_bytes();
    if let ["--requirement", list] = packages {
        wanted.extend(std::fs::read(list).map_err(failed)?);
    }
    if std::fs::read(&mark).is_ok_and(|there| there == wanted) {
        return Ok(folder);
    }
    let path = folder.to_string_lossy().into_owned();
    Step::new(name, "python3 -m venv --clear").arguments(&[&path]).run()?;
    Step::new(name, &format!("{path}/bin/python -m pip install --quiet"))
        .arguments(packages)
        .run()?;
    std::fs::write(&mark, wanted).map_err(failed)?;
    Ok(folder)
}

fn only_wheel(folder: &Path) -> Result<String, Failed> {
    let failed = |cause: std::io::Error| Failed::new("wheel", cause.to_string());
    let mut entries = std::fs::read_dir(folder).map_err(failed)?;
    match entries.next() {
        Some(entry) => Ok(entry.map_err(failed)?.path().to_string_lossy().into_owned()),
        None => Err(Failed::new("wheel", "maturin has built none")),
    }
}

/// maturin finds zig's Python module in its own environment.
fn path_with(first: &Path) -> std::ffi::OsString {
    let mut path = first.as_os_str().to_owned();
    if let Some(rest) = std::env::var_os("PATH") {
        path.push(":");
        path.push(rest);
    }
    path
}
