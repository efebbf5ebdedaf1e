//! The Python wheel: built, audited, installed into an empty environment, and tested there.

use std::path::Path;

use crate::interpreters;
use crate::setup::{environment, environment_of};
use crate::step::{Failed, Step};

/// Builds wheels.
const MATURIN: &str = "maturin==1.16.0";

/// Links against the oldest systems that a wheel promises, and against musl; from the package index,
/// like maturin.
const ZIG: &str = "ziglang==0.15.2";

/// Say which systems a wheel runs on, and which versions of Python.
const AUDITORS: &[&str] = &["auditwheel==6.8.2", "abi3audit==0.0.26"];

/// An interpreter without a global lock, which needs a wheel of its own: abi3 is not for it. No package
/// index has one, so the wheel is made where a machine has it.
const FREE_THREADED_SHIPPED: &str = "python3.14t";

/// Such an interpreter as `PyO3` is told of one that is not there: the code is compiled for it.
const FREE_THREADED_ABI: &str = "implementation=CPython\nversion=3.14\nshared=true\n\
     pointer_width=64\nbuild_flags=Py_GIL_DISABLED\nsuppress_build_script_link_lines=true\n";

/// What a wheel may weigh: it goes into every image and to every worker.
const WHEEL_BYTES_MAX: u64 = 8 << 20;

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

/// What `bench python` compares with.
const BENCH: Environment =
    Environment { name: "wheel-bench", requirements: "benches/rivals/wheel.txt", tests: &[] };

/// With an interpreter that has no global lock.
const FREE_THREADED: Environment = Environment {
    name: "wheel-free-threaded",
    requirements: "crates/python/tests/free-threaded.txt",
    tests: SHORT.tests,
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
    let wheel = if all { shipped()? } else { build("dev")? };
    check(&SHORT, &wheel)?;
    types()?;
    if all {
        LONG.iter().try_for_each(|environment| check(environment, &wheel))?;
        check_free_threaded()?;
    }
    Ok(())
}

/// The long tests of the environments that are named, with the wheel that is shipped: `wheel-spark4`.
pub(crate) fn test_in(names: &[&str]) -> Result<(), Failed> {
    let known: Vec<_> = LONG.iter().chain([&FREE_THREADED]).map(|it| it.name).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(name)) {
        let message = format!("no environment `{unknown}`, expected one of {}", known.join(", "));
        return Err(Failed::new("wheel", message));
    }
    let wanted: Vec<_> = LONG.iter().filter(|it| names.contains(&it.name)).collect();
    if !wanted.is_empty() {
        let wheel = shipped()?;
        wanted.into_iter().try_for_each(|environment| check(environment, &wheel))?;
    }
    if names.contains(&FREE_THREADED.name) { check_free_threaded() } else { Ok(()) }
}

/// The short tests once more, without a global lock; skipped where there is no such interpreter.
fn check_free_threaded() -> Result<(), Failed> {
    let Some(python) = interpreters::free_threaded() else { return Ok(()) };
    let wheel = build_free_threaded(&python)?;
    let python = install_of(&python, &FREE_THREADED, &wheel)?;
    run_tests(&FREE_THREADED, &python)
}

/// The wheel for here as it is shipped, which `images` and `release` need as well; where none is, one
/// of this machine's own.
fn shipped() -> Result<String, Failed> {
    let (target, _) = PLATFORMS[0];
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return build("release");
    }
    release(&[target])?;
    only_wheel(&crate::target().join("wheels").join(target))
}

/// The environment of `bench python`, with a release wheel.
pub(crate) fn bench() -> Result<(), Failed> {
    install(&BENCH, &build("release")?).map(drop)
}

/// Release wheels, in `target/wheels`: of the targets that are named, or of all platforms. Each is
/// audited, and what this machine can run is installed where there is nothing else, and asked.
pub(crate) fn release(targets: &[&str]) -> Result<(), Failed> {
    let all = crate::target().join("wheels");
    let auditors = environment("wheel-auditors", AUDITORS)?;
    let wanted = |target: &str| targets.is_empty() || targets.contains(&target);
    if let Some(unknown) = targets.iter().find(|it| PLATFORMS.iter().all(|known| known.0 != **it)) {
        return Err(Failed::new("wheel", format!("no wheel is made for `{unknown}`")));
    }
    if targets.is_empty() {
        compile_free_threaded()?;
    }
    for (target, platform) in PLATFORMS.iter().filter(|it| wanted(it.0)) {
        Step::new("wheel", "rustup target add").arguments(&[target]).run()?;
        let flags = ["--profile", "dist", "--zig", "--target", target, "--compatibility", platform];
        let folder = all.join(target);
        drop(std::fs::remove_dir_all(&folder));
        build_into(&folder, &flags)?;
        let wheel = only_wheel(&folder)?;
        audit(&auditors, &wheel, target.ends_with("-musl"))?;
        if *target == PLATFORMS[0].0 {
            ask(&wheel)?;
        }
        if is_there(FREE_THREADED_SHIPPED) {
            let folder = all.join(format!("{target}-{FREE_THREADED_SHIPPED}"));
            drop(std::fs::remove_dir_all(&folder));
            let flags = [&flags[..], &["--interpreter", FREE_THREADED_SHIPPED]].concat();
            build_into(&folder, &flags)?;
        }
    }
    Ok(())
}

/// A wheel for the interpreter without a global lock that can be had: Python 3.13, which was an
/// experiment. `PyO3` has 3.14 for its oldest, unless told for tests not to look; so this one is not
/// shipped.
fn build_free_threaded(python: &Path) -> Result<String, Failed> {
    let folder = crate::target().join("wheels-free-threaded");
    drop(std::fs::remove_dir_all(&folder));
    let python = python.to_string_lossy();
    maturin(&folder, &["--profile", "dev", "--interpreter", &python])?
        .env("UNSAFE_PYO3_SKIP_VERSION_CHECK", "1")
        .run()?;
    only_wheel(&folder)
}

/// Compiles for an interpreter without a global lock, whether there is one or not.
fn compile_free_threaded() -> Result<(), Failed> {
    let folder = crate::target().join("free-threaded");
    let abi = folder.join("pyo3.txt");
    std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::write(&abi, FREE_THREADED_ABI))
        .map_err(|cause| Failed::new("free-threaded", cause))?;
    // PyO3 says by a warning that abi3 is left out.
    Step::new("free-threaded", "cargo check --package stemson-python --target-dir")
        .arguments(&[&folder.to_string_lossy()])
        .env("PYO3_CONFIG_FILE", abi)
        .run()
}

/// What the wheel needs of the system and of Python, and what it weighs.
///
/// Of musl's wheels maturin itself says what they need: zig calls musl `libc.so`, as its loader
/// does; auditwheel knows it by Alpine's name alone, and takes this machine's file of that name for
/// it.
fn audit(tools: &Path, wheel: &str, is_musl: bool) -> Result<(), Failed> {
    let bytes = std::fs::metadata(wheel).map_err(|cause| Failed::new("wheel", cause))?.len();
    eprintln!("==> wheel: {wheel}: {bytes} bytes");
    if bytes > WHEEL_BYTES_MAX {
        return Err(Failed::new("wheel", format!("larger than {WHEEL_BYTES_MAX} bytes")));
    }
    if !is_musl {
        Step::new("audit", &tool(tools, "auditwheel")).arguments(&["show", wheel]).run()?;
    }
    Step::new("audit", &tool(tools, "abi3audit")).arguments(&["--strict", "--verbose", wheel]).run()
}

/// A program of an environment.
fn tool(environment: &Path, name: &str) -> String {
    environment.join("bin").join(name).to_string_lossy().into_owned()
}

/// Scores a row where nothing but the wheel is installed.
fn ask(wheel: &str) -> Result<(), Failed> {
    let folder = crate::target().join("wheel-alone");
    let path = folder.to_string_lossy().into_owned();
    Step::new("alone", "python3 -m venv --clear").arguments(&[&path]).run()?;
    let python = format!("{path}/bin/python");
    let install = ["-m", "pip", "install", "--quiet", "--no-index", wheel];
    Step::new("alone", &python).arguments(&install).run()?;
    Step::new("alone", &python).arguments(&[crate::images::QUESTION]).run()
}

fn is_there(program: &str) -> bool {
    let mut command = std::process::Command::new(program);
    command.arg("--version").output().is_ok_and(|found| found.status.success())
}

/// The one wheel for this machine's Python, in `target/wheels-test`.
fn build(profile: &str) -> Result<String, Failed> {
    let folder = crate::target().join("wheels-test");
    // One wheel, so that its name need not be guessed.
    drop(std::fs::remove_dir_all(&folder));
    build_into(&folder, &["--profile", profile])?;
    only_wheel(&folder)
}

fn build_into(folder: &Path, flags: &[&str]) -> Result<(), Failed> {
    maturin(folder, flags)?.run()
}

/// The call that builds a wheel.
fn maturin(folder: &Path, flags: &[&str]) -> Result<Step, Failed> {
    let tools = if flags.contains(&"--zig") {
        environment("wheel-release-tools", &[MATURIN, ZIG])?
    } else {
        environment("wheel-tools", &[MATURIN])?
    };
    let out = folder.to_string_lossy();
    let step = Step::new("wheel", &tool(&tools, "maturin"))
        .arguments(&["build", "--manifest-path", "crates/python/Cargo.toml", "--out", &out])
        .arguments(flags)
        .env("PATH", path_with(&tools.join("bin")));
    Ok(step)
}

/// Installs the wheel beside the packages that its tests need, and runs them.
fn check(what: &Environment, wheel: &str) -> Result<(), Failed> {
    run_tests(what, &install(what, wheel)?)
}

fn run_tests(what: &Environment, python: &str) -> Result<(), Failed> {
    Step::new(what.name, "env --chdir=crates/python/tests")
        .arguments(&[python, "-m", "pytest", "--quiet", "--config-file=../pyproject.toml"])
        .arguments(what.tests)
        .run()
}

/// Installs the wheel beside the packages of an environment, whose Python is returned.
fn install(what: &Environment, wheel: &str) -> Result<String, Failed> {
    install_of(Path::new("python3"), what, wheel)
}

/// The same of another interpreter.
fn install_of(interpreter: &Path, what: &Environment, wheel: &str) -> Result<String, Failed> {
    let list = crate::root().join(what.requirements);
    let packages = ["--requirement", &list.to_string_lossy()];
    let folder = environment_of(interpreter, what.name, &packages)?;
    let python = folder.join("bin/python").to_string_lossy().into_owned();
    let install = ["-m", "pip", "install", "--quiet", "--no-deps", "--force-reinstall", wheel];
    Step::new(what.name, &python).arguments(&install).run()?;
    Ok(python)
}

/// The package before mypy and pyright, and its stubs beside the library that is installed.
///
/// pyright comes as basedpyright, which brings its Node.js instead of fetching one.
fn types() -> Result<(), Failed> {
    let folder = crate::target().join(SHORT.name);
    let (python, pyright) = (tool(&folder, "python"), tool(&folder, "basedpyright"));
    Step::new("types", "env --chdir=crates/python")
        .arguments(&[&pyright, "--pythonpath", &python])
        .run()?;
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

/// The wheel that lies in a folder.
pub(crate) fn only_wheel(folder: &Path) -> Result<String, Failed> {
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
