//! Developer commands: `cargo xtask test | generate | fuzz | ci | bench`.
//!
//! Each command is a list of steps that are ordinary cargo calls, so that whoever prefers can type
//! them. Never a step that only exists here: a rule about the code is a test (`tests/tidy.rs`).
#![expect(clippy::print_stderr, reason = "talks to a developer in a terminal")]

mod fuzz;
mod images;
mod interpreters;
mod release;
mod setup;
mod step;
mod wheel;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use step::{Failed, Step};

const USAGE: &str = "\
Developer commands.

Usage: cargo xtask COMMAND

  test [--all]   sets up what the tests need, then runs them all; --all: the long ones too
  platforms      the corpus on musl and, emulated, on aarch64: the same bits (part of test)
  wheel [TARGET ...]   the Python wheels of all platforms, audited
  wheel test [NAME ...]   builds a wheel for here and tests it (part of test); NAME: the long tests of
                 one environment, as wheel-spark4
  miri           kernels step by step, nothing read or written that is not theirs (part of test --all)
  images         which wheel and binary runs on which base image (part of test --all)
  generate       writes the files that tests compare with what the code says
  fuzz [--time S] [TARGET ...]   libFuzzer on every parser, up to S seconds each (600)
  ci             format, lints, documentation, licences, tests: what must be green
  release [TARGET ...]   static binaries in archives, checksums, a bill of materials
  bench [NAME ...] [--quick]   figures beside rivals', into docs/performance.md; no NAME: the list
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["test"] => test(false),
        ["test", "--all"] => test(true),
        ["platforms"] => platforms(),
        ["wheel", "test"] => wheel::test(false),
        ["wheel", "test", names @ ..] => wheel::test_in(names),
        ["wheel", targets @ ..] => wheel::release(targets),
        ["miri"] => miri(),
        ["images"] => images::run(),
        ["generate"] => generate(),
        ["fuzz", "--time", seconds, targets @ ..] => fuzz::run(seconds, targets),
        ["fuzz", targets @ ..] => fuzz::run("600", targets),
        ["ci"] => ci(),
        ["release", targets @ ..] => release::run(targets),
        ["bench", names @ ..] => bench(names),
        [] | ["help" | "--help" | "-h"] => {
            eprint!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        unknown => {
            eprintln!("error: `cargo xtask {}` is not a command\n\n{USAGE}", unknown.join(" "));
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            eprintln!("error: {failed}");
            ExitCode::FAILURE
        }
    }
}

/// The checkout this program was built in.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the checkout")
}

/// A program that the same profile of the same target folder holds beside this one.
fn built(name: &str) -> PathBuf {
    let here = std::env::current_exe().unwrap_or_default();
    here.with_file_name(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

/// The folder of built files that this program lies in.
fn target() -> PathBuf {
    let here = std::env::current_exe().unwrap_or_default();
    here.ancestors().nth(2).map(Path::to_owned).unwrap_or_default()
}

/// The doc-tests first, so that the last line is the summary of the big run.
fn test(all: bool) -> Result<(), Failed> {
    let runner = setup::tests()?;
    // The product tests drive the binary, which cargo would not build for them.
    Step::new("build", "cargo build --workspace --bins --tests").run()?;
    let doctests = Step::new("doc-tests", "cargo test --workspace --doc --quiet").run();
    let command = match (runner, all) {
        (setup::Runner::Nextest, false) => "cargo nextest run --workspace --no-fail-fast",
        (setup::Runner::Nextest, true) => {
            "cargo nextest run --workspace --no-fail-fast --run-ignored all"
        }
        (setup::Runner::Cargo, false) => {
            "cargo test --workspace --lib --bins --tests --no-fail-fast"
        }
        (setup::Runner::Cargo, true) => {
            "cargo test --workspace --lib --bins --tests --no-fail-fast -- --include-ignored"
        }
    };
    let platforms = platforms();
    let wheel = wheel::test(all);
    let tests = Step::new("tests", command).env("STEMSON_BIN", built("stemson")).silent_end().run();
    let (miri, images) = if all { (miri(), images::run()) } else { (Ok(()), Ok(())) };
    doctests.and(platforms).and(wheel).and(miri).and(images).and(tests)
}

/// Portable kernels and those for AVX2 under an interpreter, which a nightly compiler brings. It knows
/// nothing of AVX-512.
fn miri() -> Result<(), Failed> {
    const NIGHTLY: &str = "nightly-2026-10-30";
    let parts = ["--profile", "minimal", "--component", "miri", "--component", "rust-src"];
    let install = Step::new("nightly", "rustup toolchain install").arguments(&[NIGHTLY]);
    install.arguments(&parts).run()?;
    let test =
        ["cargo", "miri", "test", "--package", "stemson-mojo", "--lib", "--", "small_forests"];
    Step::new("miri", "rustup run")
        .arguments(&[NIGHTLY])
        .arguments(&test)
        .env("RUSTFLAGS", "-Ctarget-feature=+avx2,+popcnt")
        .env("MIRIFLAGS", "-Zmiri-disable-isolation")
        .run()
}

/// The test whose page holds a fingerprint of all answers, on machines of another kind.
fn platforms() -> Result<(), Failed> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        eprintln!("==> platforms: skipped, needs Linux on x86-64");
        return Ok(());
    }
    setup::platforms()?;
    let test = |target: &str| {
        format!("cargo test --package stemson-mojo --test it --target {target} -- corpus::")
    };
    Step::new("musl", &test("x86_64-unknown-linux-musl")).run()?;
    Step::new("aarch64", &test("aarch64-unknown-linux-gnu"))
        .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "aarch64-linux-gnu-gcc")
        .env(
            "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER",
            "qemu-aarch64 -L /usr/aarch64-linux-gnu",
        )
        .run()
}

/// Committed files that come from the code. A test of each fails when it is stale.
fn generate() -> Result<(), Failed> {
    setup::cbindgen()?;
    Step::new("header", "cbindgen --config crates/capi/cbindgen.toml")
        .arguments(&["--output", "crates/capi/include/stemson.h", "crates/capi"])
        .run()?;
    for (page, command) in [
        ("docs/exactness.md", "cargo test --package stemson-mojo --test it -- corpus::"),
        (
            "crates/server/src/grpc/messages.rs",
            "cargo test --package stemson-server --test it -- proto::",
        ),
        ("crates/capi/include/stemson.h", "cargo test --package stemson-capi -- the_header"),
        ("docs/reference/metrics.md", "cargo test --package stemson-server --lib metrics::"),
        ("api/openapi.json", "cargo test --package stemson-server --lib openapi::"),
    ] {
        Step::new(page, command).env("STEMSON_GENERATE", "1").run()?;
    }
    Ok(())
}

/// Everything is run even if something fails early: one look at the log shows all there is to mend.
fn ci() -> Result<(), Failed> {
    // Everything after this may rely on the committed versions.
    Step::new("lock", "cargo metadata --locked --format-version 1").quiet().run()?;
    let mut outcomes = vec![
        Step::new("fmt", "cargo fmt --all -- --check").run(),
        Step::new("clippy", "cargo clippy --workspace --all-targets -- -D warnings").run(),
        Step::new("docs", "cargo doc --workspace --no-deps")
            .env("RUSTDOCFLAGS", "-Dwarnings")
            .run(),
    ];
    outcomes.push(
        setup::cargo_deny()
            .and_then(|()| Step::new("deny", "cargo deny check bans licenses sources").run()),
    );
    outcomes.push(test(false));
    outcomes.into_iter().collect()
}

/// Benchmarks live in the package `stemson-benches`; here they are only built and called.
fn bench(names: &[&str]) -> Result<(), Failed> {
    let build = "cargo build --release --package stemson-benches --bins";
    // The wheel is measured without the program, which takes long to build.
    let is_wheel = names.iter().all(|name| ["python", "--quick"].contains(name));
    if !names.is_empty() {
        let program: &[&str] = if is_wheel { &[] } else { &["--package", "stemson"] };
        Step::new("build", build).arguments(program).run()?;
    }
    if names.iter().any(|name| ["python", "all"].contains(name)) {
        wheel::bench()?;
    }
    let call = "cargo run --quiet --release --package stemson-benches --bin bench --";
    Step::new("bench", call).arguments(names).silent_end().run()
}
