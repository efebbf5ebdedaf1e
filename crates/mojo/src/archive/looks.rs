//! What a file that is no zip looks like, by its first bytes: most are sent by mistake.

/// Bytes that are looked at in search of words.
const SAMPLE: usize = 4096;

/// First bytes, what they mean, what to do.
const MAGIC: &[(&[u8], &str, &str)] = &[
    (
        b"\x1c\xed",
        "an H2O binary model",
        "only H2O of the same version reads it; export a MOJO with `model.download_mojo()`",
    ),
    (b"\x1f\x8b", "gzip", "unpack it first"),
    (b"BZh", "bzip2", "unpack it first"),
    (b"\xfd7zXZ\0", "xz", "unpack it first"),
    (b"\x28\xb5\x2f\xfd", "zstd", "unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "repack it with `zip`"),
    (b"Rar!\x1a\x07", "a RAR archive", "repack it with `zip`"),
    (b"%PDF", "a PDF", MOJO_WANTED),
    (b"\x89PNG", "a PNG image", MOJO_WANTED),
    (b"\x89HDF\r\n\x1a\n", "HDF5 (a Keras model?)", MOJO_WANTED),
    (b"PAR1", "Parquet", "this is data; give it as the input, not as the model"),
    (b"ARROW1", "Arrow IPC", "this is data; give it as the input, not as the model"),
    (b"\xca\xfe\xba\xbe", "a Java class (a compiled POJO?)", MOJO_WANTED),
    (b"\xac\xed\x00\x05", "a serialised Java object", MOJO_WANTED),
    (b"\x7fELF", "a Linux program", MOJO_WANTED),
    (
        b"version https://git-lfs",
        "a Git LFS pointer",
        "it stands for the file; fetch the file itself with `git lfs pull`",
    ),
];

const MOJO_WANTED: &str = "a MOJO from H2O's `model.download_mojo()` is wanted";
const DOWNLOADED: &str = "the server answered with a page instead of the file; look at the URL \
                          and the login, and download it again";

/// What the bytes look like, and what to do about it.
pub(super) fn looks_like(bytes: &[u8]) -> (&'static str, &'static str) {
    if let Some((_, what, mend)) = MAGIC.iter().find(|(magic, ..)| bytes.starts_with(magic)) {
        return (what, mend);
    }
    // Pickle: the opcode PROTO and the protocols that there are with it.
    if let [0x80, 2..=5, ..] = bytes {
        return ("a Python pickle", MOJO_WANTED);
    }
    if bytes.get(257..262) == Some(b"ustar") {
        return ("a tar archive", "repack its files with `zip`");
    }
    let sample = bytes.get(..SAMPLE).unwrap_or(bytes);
    if sample.iter().all(|byte| *byte == 0) {
        return ("nothing but zeros", "an unfinished download or a bad disk; copy it again");
    }
    let Some(text) = as_text(sample) else { return ("unknown binary data", MOJO_WANTED) };
    let begins =
        |word: &str| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    if begins("<!doctype html") || begins("<html") {
        return ("an HTML page", DOWNLOADED);
    }
    if begins("<?xml") || begins("<Error>") {
        return ("XML", DOWNLOADED);
    }
    if begins("{") {
        return ("JSON", MOJO_WANTED);
    }
    if begins("[info]") {
        return ("the `model.ini` of an unpacked MOJO", "give the whole archive");
    }
    if text.contains("extends GenModel") {
        return ("an H2O POJO", MOJO_WANTED);
    }
    ("a text file", MOJO_WANTED)
}

/// The sample as text, without byte order mark and leading blanks.
fn as_text(sample: &[u8]) -> Option<&str> {
    let text = match std::str::from_utf8(sample) {
        Ok(text) => text,
        // The sample may end inside a letter.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(sample.get(..error.valid_up_to())?).ok()?
        }
        Err(_) => return None,
    };
    let blank = |letter: char| matches!(letter, '\t' | '\n' | '\r' | '\x0c');
    if text.chars().any(|letter| letter.is_control() && !blank(letter)) {
        return None;
    }
    Some(text.trim_start_matches('\u{feff}').trim_start())
}
