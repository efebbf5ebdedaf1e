//! What a machine must have before a command can run, found or installed.
//!
//! A machine with nothing but Rust must pass `cargo xtask test`: what a test needs besides is a
//! [`Need`] here, with the way to get it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::step::{Failed, Step};

/// Who runs the tests.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Runner {
    /// cargo-nextest: one process per test, all cores.
    Nextest,
    /// cargo's own, which is always there.
    Cargo,
}

/// A program that may be missing.
struct Need {
    name: &'static str,
    /// A call that succeeds where it is there.
    probe: &'static str,
    /// Calls that bring it, in order.
    install: &'static [&'static str],
}

const CARGO_DENY: Need = Need {
    name: "cargo-deny",
    probe: "cargo deny --version",
    install: &["cargo install cargo-deny --version 0.20.2 --locked"],
};

const AARCH64_GCC: Need = Need {
    name: "aarch64-linux-gnu-gcc",
    probe: "aarch64-linux-gnu-gcc --version",
    install: &[
        "apt-get update -qq",
        "apt-get install -y -qq gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
    ],
};

const QEMU: Need = Need {
    name: "qemu-user",
    probe: "qemu-aarch64 --version",
    install: &["apt-get update -qq", "apt-get install -y -qq qemu-user"],
};

const CBINDGEN: Need = Need {
    name: "cbindgen",
    probe: "cbindgen --version",
    install: &["cargo install cbindgen --version 0.29.2 --locked"],
};

/// libFuzzer is C++ and comes as source.
const FUZZER: &[Need] = &[
    Need {
        name: "cargo-fuzz",
        probe: "cargo fuzz --version",
        install: &["cargo install cargo-fuzz --version 0.13.2 --locked"],
    },
    Need {
        name: "c++",
        probe: "c++ --version",
        install: &["apt-get update -qq", "apt-get install -y -qq g++"],
    },
];

/// Servers, clients and libraries that tests talk to.
const TESTS: &[Need] = &[
    Need {
        name: "postgresql",
        probe: "sh -c command${IFS}-v${IFS}initdb||ls${IFS}/usr/lib/postgresql/*/bin/initdb",
        install: &["apt-get update -qq", "apt-get install -y -qq postgresql"],
    },
    Need {
        name: "redis-server",
        probe: "redis-server --version",
        install: &["apt-get update -qq", "apt-get install -y -qq redis-server"],
    },
    Need {
        name: "python3-venv",
        probe: "python3 -m ensurepip --version",
        install: &["apt-get update -qq", "apt-get install -y -qq python3 python3-venv"],
    },
];

/// Targets of what is shipped, and compilers for the few lines of C and assembly in them.
const RELEASE: &[Need] = &[
    Need {
        name: "targets",
        probe: "rustup target add x86_64-unknown-linux-musl aarch64-unknown-linux-musl",
        install: &[],
    },
    Need {
        name: "musl-tools",
        probe: "musl-gcc --version",
        install: &["apt-get update -qq", "apt-get install -y -qq musl-tools"],
    },
    AARCH64_GCC,
];

/// Targets, and an emulator with a linker for the one that is not this processor's.
const PLATFORMS: &[Need] = &[
    Need {
        name: "targets",
        probe: "rustup target add x86_64-unknown-linux-musl aarch64-unknown-linux-gnu",
        install: &[],
    },
    QEMU,
    AARCH64_GCC,
];

/// Makers of roots, and a compiler for those with musl.
const IMAGES: &[Need] = &[
    Need {
        name: "debootstrap",
        probe: "debootstrap --version",
        install: &["apt-get update -qq", "apt-get install -y -qq debootstrap"],
    },
    Need {
        name: "musl-tools",
        probe: "musl-gcc --version",
        install: &["apt-get update -qq", "apt-get install -y -qq musl-tools make"],
    },
    QEMU,
];

/// A compiler, and the libraries that pip and pandas ask of an interpreter.
const PYTHON_BUILD: Need = Need {
    name: "python-build",
    probe: "dpkg-query --show gcc make zlib1g-dev libssl-dev libffi-dev libbz2-dev liblzma-dev",
    install: &[
        "apt-get update -qq",
        "apt-get install -y -qq gcc make zlib1g-dev libssl-dev libffi-dev libbz2-dev liblzma-dev",
    ],
};

/// Brings what the tests need, and says who runs them.
pub(crate) fn tests() -> Result<Runner, Failed> {
    TESTS.iter().try_for_each(bring)?;
    // Apart, for they do not agree on pandas.
    python("requirements.txt", "tests-python")?;
    python("clients.txt", "tests-clients")?;
    Ok(if answers("cargo nextest --version") { Runner::Nextest } else { Runner::Cargo })
}

/// The Python packages of a list that tests need, in an environment of their own.
fn python(list: &str, name: &'static str) -> Result<(), Failed> {
    let list = crate::root().join("crates/cli/tests/apps").join(list);
    environment(name, &["--requirement", &list.to_string_lossy()]).map(drop)
}

/// An environment of Python's with these packages beside the built files, made anew when they change or
/// when it has lost its interpreter.
pub(crate) fn environment(name: &'static str, packages: &[&str]) -> Result<PathBuf, Failed> {
    environment_of(Path::new("python3"), name, packages)
}

/// The same of another interpreter.
pub(crate) fn environment_of(
    python: &Path,
    name: &'static str,
    packages: &[&str],
) -> Result<PathBuf, Failed> {
    let folder = crate::target().join(name);
    let mark = folder.join("installed.txt");
    let failed = |cause: std::io::Error| Failed::new(name, cause.to_string());
    let mut wanted = packages.join("\n").into_bytes();
    if let ["--requirement", list] = packages {
        wanted.extend(std::fs::read(list).map_err(failed)?);
    }
    let is_there = folder.join("bin/python").exists();
    if is_there && std::fs::read(&mark).is_ok_and(|there| there == wanted) {
        return Ok(folder);
    }
    let path = folder.to_string_lossy().into_owned();
    let venv = [&python.to_string_lossy(), "-m", "venv", "--clear", &path];
    Step::new(name, "env").arguments(&venv).run()?;
    let pip = [&format!("{path}/bin/python"), "-m", "pip", "install", "--quiet"];
    Step::new(name, "env").arguments(&pip).arguments(packages).run()?;
    std::fs::write(&mark, wanted).map_err(failed)?;
    Ok(folder)
}

/// Brings what it takes to run tests as on other machines.
pub(crate) fn platforms() -> Result<(), Failed> {
    PLATFORMS.iter().try_for_each(bring)
}

/// Brings what it takes to build what is shipped.
pub(crate) fn release() -> Result<(), Failed> {
    RELEASE.iter().try_for_each(bring)
}

/// Brings what compiles Python.
pub(crate) fn python_build() -> Result<(), Failed> {
    bring(&PYTHON_BUILD)
}

/// Brings cargo-deny, the judge of licences and origins.
pub(crate) fn cargo_deny() -> Result<(), Failed> {
    bring(&CARGO_DENY)
}

/// Brings cbindgen, which writes the header of the C library.
pub(crate) fn cbindgen() -> Result<(), Failed> {
    bring(&CBINDGEN)
}

/// Brings cargo-fuzz and what it compiles libFuzzer with.
pub(crate) fn fuzzer() -> Result<(), Failed> {
    FUZZER.iter().try_for_each(bring)
}

/// Brings what makes roots of files.
pub(crate) fn images() -> Result<(), Failed> {
    IMAGES.iter().try_for_each(bring)
}

fn bring(need: &Need) -> Result<(), Failed> {
    if answers(need.probe) {
        return Ok(());
    }
    need.install.iter().try_for_each(|line| Step::new(need.name, line).run())?;
    if !answers(need.probe) {
        let why = format!("installed, but `{}` still fails", need.probe);
        return Err(Failed::new(need.name, why));
    }
    Ok(())
}

fn answers(line: &str) -> bool {
    let mut words = line.split_whitespace();
    Command::new(words.next().unwrap_or_default())
        .args(words)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
