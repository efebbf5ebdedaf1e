//! Decides what a file is by its content, and looks into whatever holds other files.
//!
//! A way in for each kind: pickles, Java, H2O's own formats, archives, packed streams. Whatever is
//! none of them passes: the policy names what may not ship, and a file without a known magic is not
//! blamed for being unknown. Nothing is run, compiled or unpickled.

mod containers;
mod dangerous;
mod java;
mod mojo;
mod numpy;
mod pickle;
mod rule;
mod tar;
mod text;
mod unpack;
mod zip;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

pub use mojo::{Use, uses};
pub use rule::ArtifactRule;

use unpack::{Ending, Packing, Unpacked};

/// What a hostile file may ask for at most; a file that reaches a bound is blocked, and told which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a file that are looked into.
    pub file_bytes_max: usize,
    /// Bytes that all decompression in one file may bring forth together.
    pub unpacked_bytes_max: usize,
    /// Containers inside of each other.
    pub depth_max: usize,
    /// Members of one archive.
    pub members_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes_max: 1 << 30,
            unpacked_bytes_max: 1 << 30,
            depth_max: 8,
            members_max: 200_000,
        }
    }
}

/// What is wrong with one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Members on the way, outermost first.
    pub inside: Vec<String>,
    /// Which rule.
    pub rule: ArtifactRule,
    /// What was found.
    pub message: String,
}

/// What a file holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// At most one per rule: the first, with the number of others.
    pub faults: Vec<Fault>,
    /// MOJOs that may ship.
    pub mojos: u64,
}

/// Bytes that show what most files are.
const HEAD: usize = 64 << 10;

/// Judges a file, reading no more of it than needed: most are known by their head and tail.
///
/// # Errors
/// The file cannot be read.
pub fn judge_file(file: &mut File, limits: &Limits) -> io::Result<Judgement> {
    let length = file.metadata()?.len();
    let mut bytes = Vec::new();
    file.by_ref().take(HEAD as u64).read_to_end(&mut bytes)?;
    if (bytes.len() as u64) < length {
        let needed = wants_more(&bytes) || {
            let start = length.saturating_sub(zip::TAIL as u64);
            file.seek(SeekFrom::Start(start))?;
            let mut tail = Vec::new();
            file.by_ref().take(zip::TAIL as u64).read_to_end(&mut tail)?;
            zip::has_end(&tail)
        };
        if !needed {
            return Ok(Judgement::default());
        }
        file.seek(SeekFrom::Start(bytes.len() as u64))?;
        let more = (limits.file_bytes_max as u64).saturating_sub(bytes.len() as u64);
        file.by_ref().take(more).read_to_end(&mut bytes)?;
        let is_text = text::is_text(&bytes[..HEAD.min(bytes.len())]);
        if (bytes.len() as u64) < length && !is_text {
            let message = format!(
                "{length} bytes, of which {} are looked into (limit `file_bytes_max`)",
                limits.file_bytes_max
            );
            let fault = Fault { inside: Vec::new(), rule: ArtifactRule::Limit, message };
            return Ok(Judgement { faults: vec![fault], mojos: 0 });
        }
    }
    Ok(judge(&bytes, limits))
}

/// Judges bytes.
pub fn judge(bytes: &[u8], limits: &Limits) -> Judgement {
    let mut look = Look {
        limits,
        left: limits.unpacked_bytes_max,
        inside: Vec::new(),
        faults: Vec::new(),
        mojos: 0,
    };
    look.at(bytes);
    let mut faults: Vec<(Fault, usize)> = Vec::new();
    for fault in look.faults {
        match faults.iter_mut().find(|(first, _)| first.rule == fault.rule) {
            Some((_, more)) => *more += 1,
            None => faults.push((fault, 0)),
        }
    }
    let told = |(mut fault, more): (Fault, usize)| {
        if more > 0 {
            fault.message = format!("{} (and {more} more)", fault.message);
        }
        fault
    };
    Judgement { faults: faults.into_iter().map(told).collect(), mojos: look.mojos }
}

/// Whether what begins so must be read whole.
fn wants_more(head: &[u8]) -> bool {
    head.starts_with(b"PK")
        || head.starts_with(b"\xca\xfe\xba\xbe")
        || head.starts_with(b"\x93NUMPY")
        || head.starts_with(b"!<arch>\n")
        || head.starts_with(b"ZF0x")
        || h2o_version(head).is_some()
        || containers::opaque(head).is_some()
        || tar::is_tar(head)
        || Packing::of(head).is_some()
        || pickle::may_begin(head)
        || text::is_text(head)
}

/// The version in the head of an H2O binary model: `1c ed`, a length, the version as text.
fn h2o_version(bytes: &[u8]) -> Option<String> {
    let [0x1c, 0xed, _, rest @ ..] = bytes else { return None };
    let length =
        rest.iter().take_while(|it| it.is_ascii_alphanumeric() || b".-".contains(it)).count();
    let text = String::from_utf8_lossy(&rest[..length.min(40)]).into_owned();
    let is_version =
        text.starts_with(|c: char| c.is_ascii_digit()) && text.matches('.').count() >= 2;
    is_version.then_some(text)
}

/// A way through a file and all that it holds.
struct Look<'l> {
    limits: &'l Limits,
    /// Bytes that may still be unpacked.
    left: usize,
    inside: Vec<String>,
    faults: Vec<Fault>,
    mojos: u64,
}

impl Look<'_> {
    fn blame(&mut self, rule: ArtifactRule, message: impl Into<String>) {
        self.faults.push(Fault { inside: self.inside.clone(), rule, message: message.into() });
    }

    fn look_into(&mut self, name: String, bytes: &[u8]) {
        self.inside.push(name);
        if self.inside.len() > self.limits.depth_max {
            let depth = self.limits.depth_max;
            self.blame(
                ArtifactRule::Limit,
                format!("containers in containers beyond {depth} (limit `depth_max`)"),
            );
        } else {
            self.at(bytes);
        }
        self.inside.pop();
    }

    /// Looks at bytes. A file can be several things at once: a pickle with an archive behind it.
    fn at(&mut self, bytes: &[u8]) {
        if let Some(found) = pickle::examine(bytes) {
            self.pickle("Python pickle", &found);
        }
        if let Some(version) = h2o_version(bytes) {
            self.blame(ArtifactRule::H2oBinary, format!("binary model of H2O {version}"));
        }
        if let Some(why) = java::class(bytes) {
            self.blame(ArtifactRule::Pojo, why);
        }
        if let Some(objects) = numpy::objects(bytes) {
            match pickle::examine(objects) {
                Some(found) => self.pickle("NumPy array of objects, a pickle", &found),
                None => self.blame(ArtifactRule::Pickle, "NumPy array of objects, a pickle"),
            }
        }
        if let Some(name) = containers::opaque(bytes) {
            self.blame(
                ArtifactRule::Opaque,
                format!("a {name} container, which is not looked into"),
            );
        }
        self.zip(bytes);
        self.listed(bytes);
        self.packed(bytes);
        if text::is_text(&bytes[..HEAD.min(bytes.len())]) {
            if let Some(why) = java::source(bytes) {
                self.blame(ArtifactRule::Pojo, why);
            }
            if let Some(found) = text::base64_pickle(bytes) {
                self.pickle("Python pickle in base64", &found);
            }
        }
    }

    fn pickle(&mut self, what: &str, found: &pickle::Pickle) {
        let broken = if found.broken { ", more bytes behind it or broken off" } else { "" };
        let protocol = found.protocol;
        match &found.code {
            Some(code) => self.blame(
                ArtifactRule::PickleCode,
                format!("{what} (protocol {protocol}{broken}) that calls on {code}"),
            ),
            None => {
                let imports = found.imports;
                self.blame(
                    ArtifactRule::Pickle,
                    format!("{what} (protocol {protocol}{broken}), {imports} imports"),
                );
            }
        }
    }

    fn zip(&mut self, bytes: &[u8]) {
        // Inside of another container an archive may lie open; it is judged as a member there.
        let lies_inside = tar::is_tar(bytes)
            || bytes.starts_with(b"!<arch>\n")
            || Packing::of(bytes).is_some_and(Packing::has_magic);
        let zip = match zip::open(bytes, self.limits.members_max) {
            None => return,
            Some(Err(_)) if lies_inside => return,
            Some(Err(why)) => {
                let rule = if why.contains("members_max") {
                    ArtifactRule::Limit
                } else {
                    ArtifactRule::Opaque
                };
                return self.blame(rule, why);
            }
            Some(Ok(zip)) => zip,
        };
        let is_mojo = mojo::is_candidate(zip.members.iter().map(|member| member.name.as_str()));
        if is_mojo && !lies_inside {
            self.mojo(bytes, &zip);
        } else if !lies_inside {
            for problem in &zip.problems {
                self.blame(ArtifactRule::ZipMismatch, problem.clone());
            }
            for member in &zip.hidden {
                let name = &member.name;
                self.blame(
                    ArtifactRule::ZipMismatch,
                    format!("`{name}` is hidden: the directory does not list it"),
                );
            }
        }
        for member in zip.members.iter().chain(&zip.hidden) {
            self.member(member, is_mojo || lies_inside);
        }
        for gap in zip.gaps {
            if gap.len() < bytes.len() && !lies_inside {
                self.look_into("(between members)".to_owned(), gap);
            }
        }
    }

    fn mojo(&mut self, bytes: &[u8], zip: &zip::Zip<'_>) {
        match mojo::judge(bytes, self.limits.unpacked_bytes_max) {
            Ok(()) if zip.gaps.is_empty() => self.mojos += 1,
            Ok(()) => {
                let count: usize = zip.gaps.iter().map(|gap| gap.len()).sum();
                self.blame(
                    ArtifactRule::Mojo,
                    format!("MOJO with {count} bytes that belong to no entry"),
                );
            }
            Err(mojo::Fault::Load(cause)) => {
                let limits = ["entry_too_big", "total_too_big", "limit", "out_of_memory"];
                let rule = if limits.contains(&cause.kind()) {
                    ArtifactRule::Limit
                } else {
                    ArtifactRule::Mojo
                };
                self.blame(rule, format!("MOJO that cannot be loaded: {cause}"));
            }
            Err(mojo::Fault::Other(why)) => {
                self.blame(ArtifactRule::Mojo, format!("MOJO of which {why}"));
            }
        }
    }

    /// `judged`: the archive's own faults are said already.
    fn member(&mut self, member: &zip::Member<'_>, judged: bool) {
        let packing = match member.method {
            0 => {
                if let Some(why) = member.contradiction(member.data).filter(|_| !judged) {
                    self.blame(ArtifactRule::ZipMismatch, why);
                }
                self.look_into(member.name.clone(), member.data);
                return self.encrypted(member);
            }
            8 => Packing::Deflate,
            12 => Packing::Bzip2,
            14 => Packing::ZipLzma,
            93 => Packing::Zstd,
            95 => Packing::Xz,
            _ if judged => return,
            method => {
                let name = &member.name;
                return self.blame(
                    ArtifactRule::Opaque,
                    format!("`{name}` is packed with method {method}, which is not read"),
                );
            }
        };
        let Some(unpacked) = self.unpack(packing, member.data, &member.name) else { return };
        if !judged && !member.encrypted {
            if let Ending::Damaged(why) = &unpacked.end {
                self.blame(
                    ArtifactRule::ZipMismatch,
                    format!("`{}` cannot be unpacked: {why}", member.name),
                );
            } else if let Some(why) = member.contradiction(&unpacked.bytes) {
                self.blame(ArtifactRule::ZipMismatch, why);
            }
        }
        self.look_into(member.name.clone(), &unpacked.bytes);
        self.encrypted(member);
    }

    fn encrypted(&mut self, member: &zip::Member<'_>) {
        if member.encrypted {
            self.blame(ArtifactRule::Opaque, format!("`{}` is encrypted", member.name));
        }
    }

    fn listed(&mut self, bytes: &[u8]) {
        let members_max = self.limits.members_max;
        let listed = if tar::is_tar(bytes) {
            Some(("tar", tar::tar(bytes, members_max)))
        } else {
            containers::ar(bytes, members_max).map(|listed| ("ar", listed))
        };
        let Some((kind, listed)) = listed else { return };
        for (name, data) in listed.members {
            self.look_into(name, &data);
        }
        if !listed.rest.is_empty() && listed.rest.len() < bytes.len() {
            self.look_into("(behind the archive)".to_owned(), listed.rest);
        }
        if let Some(why) = listed.damage {
            let rule = if why.contains("members_max") {
                ArtifactRule::Limit
            } else {
                ArtifactRule::Opaque
            };
            self.blame(rule, format!("the {kind} archive cannot be read to its end: {why}"));
        }
    }

    fn packed(&mut self, bytes: &[u8]) {
        // joblib before 0.10: `ZF0x`, the length in hexadecimal digits and blanks, zlib.
        if bytes.starts_with(b"ZF0x") {
            let start = memchr::memchr(0x78, &bytes[4..]).map(|at| at + 4);
            if let Some(stream) = start.and_then(|start| bytes.get(start..)) {
                return self.stream(Packing::Zlib, stream);
            }
        }
        if let Some(packing) = Packing::of(bytes) {
            self.stream(packing, bytes);
        }
    }

    fn stream(&mut self, packing: Packing, bytes: &[u8]) {
        let name = packing.name();
        let Some(unpacked) = self.unpack(packing, bytes, name) else { return };
        if let Ending::Damaged(why) = &unpacked.end
            && packing.has_magic()
        {
            self.blame(
                ArtifactRule::Opaque,
                format!("the {name} stream cannot be unpacked: {why}"),
            );
        }
        if !unpacked.bytes.is_empty() {
            self.look_into(format!("({name})"), &unpacked.bytes);
        }
    }

    /// Unpacks within what is left; `None` if it was not enough.
    fn unpack(&mut self, packing: Packing, packed: &[u8], name: &str) -> Option<Unpacked> {
        let unpacked = unpack::unpack(packing, packed, self.left);
        if unpacked.end == Ending::Limit {
            let limit = self.limits.unpacked_bytes_max;
            self.left = 0;
            if packing.has_magic() || !unpacked.bytes.is_empty() {
                self.blame(
                    ArtifactRule::Limit,
                    format!(
                        "`{name}` unpacks to more than {limit} bytes (limit `unpacked_bytes_max`)"
                    ),
                );
            }
            return None;
        }
        self.left -= unpacked.bytes.len();
        Some(unpacked)
    }
}
