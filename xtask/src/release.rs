//! `cargo xtask release`: static binaries in archives, with checksums and a list of what is in them.
//!
//! Everything lands in `target/release-files`: `stemson-<version>-<target>.tar.gz` (the binary, the
//! licence, the man page, completions), `stemson-<version>.cdx.json` (`CycloneDX` 1.6), `SHA256SUMS`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::setup;
use crate::step::{Failed, Step};

/// What is shipped.
const TARGETS: [&str; 2] = ["x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl"];

/// File in the archive, argument of `stemson generate`.
const GENERATED: [(&str, &str); 4] = [
    ("stemson.1", "man"),
    ("completions/stemson.bash", "bash"),
    ("completions/_stemson", "zsh"),
    ("completions/stemson.fish", "fish"),
];

/// Builds for the targets that are named, or for all.
pub(crate) fn run(targets: &[&str]) -> Result<(), Failed> {
    let targets = if targets.is_empty() { &TARGETS[..] } else { targets };
    if let Some(unknown) = targets.iter().find(|target| !TARGETS.contains(target)) {
        let why = format!("`{unknown}` is not shipped, expected {}", TARGETS.join(" or "));
        return Err(Failed::new("release", why));
    }
    setup::release()?;
    let version = env!("CARGO_PKG_VERSION");
    let folder = crate::target().join("release-files");
    fresh(&folder)?;
    // Pages and completions are text: a binary of this machine writes them.
    Step::new("build", "cargo build --package stemson").run()?;
    let mut files = Vec::new();
    for target in targets {
        let name = format!("stemson-{version}-{target}");
        let stage = folder.join(&name);
        build(target)?;
        let binary = crate::target().join(target).join("dist/stemson");
        stage_files(&stage, &binary)?;
        pack(&folder, &name)?;
        fs::remove_dir_all(&stage).map_err(|cause| Failed::new("release", cause))?;
        files.push(format!("{name}.tar.gz"));
    }
    let bill = format!("stemson-{version}.cdx.json");
    write(&folder.join(&bill), bill_of_materials(version)?.as_bytes())?;
    files.push(bill);
    let sums = Command::new("sha256sum").args(&files).current_dir(&folder).output();
    let sums = sums.map_err(|cause| Failed::new("sha256sum", cause))?;
    if !sums.status.success() {
        return Err(Failed::new("sha256sum", String::from_utf8_lossy(&sums.stderr)));
    }
    write(&folder.join("SHA256SUMS"), &sums.stdout)?;
    eprintln!("==> release: {}", folder.display());
    Ok(())
}

/// The binary of a target, as it is shipped.
pub(crate) fn build(target: &str) -> Result<(), Failed> {
    let line = format!(
        "cargo build --locked --profile dist --package stemson --target {target} --target-dir"
    );
    let folder = crate::target();
    Step::new("dist", &line)
        .arguments(&[&folder.to_string_lossy()])
        // One linker and one compiler of C for each processor; libc comes with the target.
        .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER", "rust-lld")
        .env("CC_aarch64_unknown_linux_musl", "aarch64-linux-gnu-gcc")
        .env("CC_x86_64_unknown_linux_musl", "musl-gcc")
        .run()
}

fn stage_files(stage: &Path, binary: &Path) -> Result<(), Failed> {
    let failed = |cause| Failed::new("release", cause);
    fs::create_dir_all(stage.join("completions")).map_err(failed)?;
    fs::copy(binary, stage.join("stemson")).map_err(failed)?;
    for name in ["LICENSE", "README.md", "CHANGELOG.md"] {
        fs::copy(crate::root().join(name), stage.join(name)).map_err(failed)?;
    }
    for (file, what) in GENERATED {
        let program = crate::target().join("debug/stemson");
        let page = Command::new(program).args(["generate", what]).output().map_err(failed)?;
        write(&stage.join(file), &page.stdout)?;
    }
    Ok(())
}

/// The same files give the same bytes: sorted, nobody's, of no time.
fn pack(folder: &Path, name: &str) -> Result<(), Failed> {
    let folder = folder.to_string_lossy();
    let line = "tar --create --gzip --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0";
    Step::new("pack", line)
        .env("GZIP", "-n")
        .arguments(&["--directory", &folder, "--file", &format!("{folder}/{name}.tar.gz"), name])
        .run()
}

fn fresh(folder: &Path) -> Result<(), Failed> {
    let made = fs::remove_dir_all(folder)
        .or_else(|cause| if folder.exists() { Err(cause) } else { Ok(()) })
        .and_then(|()| fs::create_dir_all(folder));
    made.map_err(|cause| Failed::new("release", cause))
}

fn write(path: &PathBuf, bytes: &[u8]) -> Result<(), Failed> {
    fs::write(path, bytes)
        .map_err(|cause| Failed::new("release", format!("{}: {cause}", path.display())))
}

/// What the binaries are made of: name, version, licence and checksum of every crate in them.
fn bill_of_materials(version: &str) -> Result<String, Failed> {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--package", "stemson", "--edges", "normal", "--prefix", "none"])
        .args(["--no-dedupe", "--format", "{p}|{l}|{r}"])
        .args(TARGETS.iter().flat_map(|target| ["--target", target]))
        .current_dir(crate::root())
        .output()
        .map_err(|cause| Failed::new("cargo tree", cause))?;
    if !tree.status.success() {
        return Err(Failed::new("cargo tree", String::from_utf8_lossy(&tree.stderr)));
    }
    let lock = fs::read_to_string(crate::root().join("Cargo.lock"))
        .map_err(|cause| Failed::new("Cargo.lock", cause))?;
    Ok(render_bill(version, &String::from_utf8_lossy(&tree.stdout), &checksums(&lock)))
}

/// Checksums by `name version`, of the crates that have one.
fn checksums(lock: &str) -> BTreeMap<String, String> {
    let mut sums = BTreeMap::new();
    for package in lock.split("[[package]]") {
        let value = |key: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(key))?;
            Some(line.trim_start_matches(" = ").trim_matches('"').to_owned())
        };
        if let (Some(name), Some(version), Some(sum)) =
            (value("name"), value("version"), value("checksum"))
        {
            sums.insert(format!("{name} {version}"), sum);
        }
    }
    sums
}

/// `tree`: a line `name vVERSION[ (...)]|licence|repository` each, with repetitions.
fn render_bill(version: &str, tree: &str, sums: &BTreeMap<String, String>) -> String {
    let mut components = BTreeMap::new();
    for line in tree.lines() {
        let mut parts = line.split('|');
        let mut words = parts.next().unwrap_or_default().split_whitespace();
        if let (Some(name), Some(version)) = (words.next(), words.next()) {
            let (licence, source) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
            let version = version.trim_start_matches('v');
            components.insert((name, version), (licence, source));
        }
    }
    let mut out = format!(
        "{{\n \"bomFormat\": \"CycloneDX\",\n \"specVersion\": \"1.6\",\n \"version\": 1,\n \
         \"metadata\": {{\"component\": {{\"type\": \"application\", \"name\": \"stemson\", \
         \"version\": {}}}}},\n \"components\": [",
        text(version)
    );
    let mut comma = "\n";
    for ((name, version), (licence, source)) in components {
        if name.starts_with("stemson") {
            continue;
        }
        // Writing to memory cannot fail.
        let _ = write!(
            out,
            "{comma}  {{\"type\": \"library\", \"name\": {}, \"version\": {}, \"purl\": {}",
            text(name),
            text(version),
            text(&format!("pkg:cargo/{name}@{version}"))
        );
        if !licence.is_empty() {
            // Old manifests write `/` where SPDX has `OR`.
            let licence = text(&licence.replace(" / ", " OR ").replace('/', " OR "));
            let _ = write!(out, ", \"licenses\": [{{\"expression\": {licence}}}]");
        }
        if let Some(sum) = sums.get(&format!("{name} {version}")) {
            let sum = text(sum);
            let _ = write!(out, ", \"hashes\": [{{\"alg\": \"SHA-256\", \"content\": {sum}}}]");
        }
        if !source.is_empty() {
            let source = text(source);
            let _ =
                write!(out, ", \"externalReferences\": [{{\"type\": \"vcs\", \"url\": {source}}}]");
        }
        out.push('}');
        comma = ",\n";
    }
    out + "\n ]\n}\n"
}

/// A JSON string.
fn text(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bill_names_every_crate_once_with_licence_and_checksum() {
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\n\
                    source = \"registry\"\nchecksum = \"abc\"\n\n[[package]]\nname = \"stemson\"\n\
                    version = \"0.1.0\"\n";
        let tree = "stemson v0.1.0 (/here)|Apache-2.0|\na v1.0.0|MIT/Apache-2.0|https://a.example\n\
                    b v2.0.0 (proc-macro)|MIT OR \"x\"|\na v1.0.0|MIT/Apache-2.0|https://a.example\n";
        let bill = render_bill("0.1.0", tree, &checksums(lock));
        let bill: serde_json::Value = serde_json::from_str(&bill).expect("JSON");
        assert_eq!(bill["specVersion"], "1.6");
        let components = bill["components"].as_array().expect("a list");
        assert_eq!(components.len(), 2, "{bill}");
        assert_eq!(components[0]["purl"], "pkg:cargo/a@1.0.0");
        assert_eq!(components[0]["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(components[0]["hashes"][0]["content"], "abc");
        assert_eq!(components[1]["licenses"][0]["expression"], "MIT OR \"x\"");
    }
}
