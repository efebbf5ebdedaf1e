//! POJOs: models that H2O writes as Java, as source or compiled.
//!
//! Source: what `model.download_pojo()` of H2O 3.46 writes, and the class file format (JVMS 4).

use memchr::memmem;

/// Bytes of a source that are read, at most: the head of the class stands at the beginning.
const SOURCE_BYTES_MAX: usize = 64 << 20;

const GEN_MODEL: &[u8] = b"hex/genmodel/GenModel";

/// Why the bytes are a compiled POJO, if they are one.
pub(super) fn class(bytes: &[u8]) -> Option<String> {
    let class = Class::read(bytes)?;
    let name = String::from_utf8_lossy(class.name).replace('/', ".");
    // H2O's own base classes are abstract.
    if class.parent == GEN_MODEL && !class.is_abstract {
        return Some(format!("class {name} extends hex.genmodel.GenModel"));
    }
    if class.holds(b"Lhex/genmodel/annotations/ModelPojo;") && !name.starts_with("hex.genmodel.") {
        return Some(format!("class {name} is annotated with ModelPojo"));
    }
    let is_tree = class.holds(b"score0") && class.holds(b"([D)D") && class.parent == OBJECT;
    let inside = name.contains("_Tree_") || name.contains("_Forest_");
    (is_tree && inside).then(|| format!("class {name} holds a tree of a POJO"))
}

const OBJECT: &[u8] = b"java/lang/Object";

/// What of a class file can tell.
struct Class<'a> {
    texts: Vec<&'a [u8]>,
    name: &'a [u8],
    parent: &'a [u8],
    is_abstract: bool,
}

impl<'a> Class<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(b"\xca\xfe\xba\xbe")?;
        take(&mut rest, 4)?; // versions
        let count = usize::from(number(&mut rest)?);
        // Texts, and for each class the place of its name.
        let mut texts: Vec<&[u8]> = vec![&[]; count];
        let mut classes = vec![0_usize; count];
        let mut index = 1;
        while index < count {
            let tag = take(&mut rest, 1)?[0];
            match tag {
                1 => {
                    let length = usize::from(number(&mut rest)?);
                    texts[index] = take(&mut rest, length)?;
                }
                7 => classes[index] = usize::from(number(&mut rest)?),
                8 | 16 | 19 | 20 => drop(take(&mut rest, 2)?),
                15 => drop(take(&mut rest, 3)?),
                3 | 4 | 9..=12 | 17 | 18 => drop(take(&mut rest, 4)?),
                // These take two places.
                5 | 6 => {
                    take(&mut rest, 8)?;
                    index += 1;
                }
                _ => return None,
            }
            index += 1;
        }
        let flags = number(&mut rest)?;
        let (this, parent) = (number(&mut rest)?, number(&mut rest)?);
        let named = |class: u16| {
            let name = classes.get(usize::from(class)).copied().unwrap_or(0);
            texts.get(name).copied().unwrap_or_default()
        };
        let (name, parent) = (named(this), named(parent));
        Some(Self { name, parent, is_abstract: flags & 0x0400 != 0, texts })
    }

    fn holds(&self, text: &[u8]) -> bool {
        self.texts.contains(&text)
    }
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(count)?;
    *rest = after;
    Some(taken)
}

fn number(rest: &mut &[u8]) -> Option<u16> {
    take(rest, 2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
}

/// Why the text is a POJO's source, if it is one.
///
/// It must begin as a Java file does, and have two of the three things that every POJO has. A page
/// that talks about POJOs, or a program that holds one in a string, has not.
pub(super) fn source(text: &[u8]) -> Option<String> {
    let text = text.get(..SOURCE_BYTES_MAX).unwrap_or(text);
    let wide = utf16(text);
    let text = wide.as_deref().unwrap_or(text);
    let escaped = memmem::find(text, b"\\u").is_some();
    let plain = if escaped { Some(unescape(text)) } else { None };
    let text = plain.as_deref().unwrap_or(text);
    if memmem::find(text, b"GenModel").is_none() && memmem::find(text, b"ModelPojo").is_none() {
        return None;
    }
    let tokens: Vec<&[u8]> = Tokens(text).collect();
    let begins =
        [&b"package"[..], b"import", b"@", b"public", b"final", b"class", b"abstract", b"strictfp"];
    if !begins.contains(tokens.first()?) {
        return None;
    }
    let has = |wanted: &[&[u8]]| tokens.windows(wanted.len()).any(|window| window == wanted);
    let extends = has(&[b"extends", b"GenModel"])
        || has(&[b"extends", b"hex", b".", b"genmodel", b".", b"GenModel"]);
    let annotated = has(&[b"@", b"ModelPojo"])
        || has(&[b"@", b"hex", b".", b"genmodel", b".", b"annotations", b".", b"ModelPojo"]);
    let scores = has(&[b"score0", b"(", b"double", b"[", b"]"])
        || has(&[b"score0", b"(", b"final", b"double", b"[", b"]"]);
    let found: Vec<&str> = [
        (extends, "`extends GenModel`"),
        (annotated, "`@ModelPojo`"),
        (scores, "`score0(double[]`"),
    ]
    .into_iter()
    .filter_map(|(found, what)| found.then_some(what))
    .collect();
    // H2O's own base class has it all, but is abstract.
    let own = has(&[b"abstract", b"class"]);
    (found.len() >= 2 && !own).then(|| format!("Java source with {}", found.join(" and ")))
}

/// UTF-16 with a byte order mark, as UTF-8.
fn utf16(text: &[u8]) -> Option<Vec<u8>> {
    let (read, rest): (fn([u8; 2]) -> u16, _) = match text {
        [0xff, 0xfe, rest @ ..] => (u16::from_le_bytes, rest),
        [0xfe, 0xff, rest @ ..] => (u16::from_be_bytes, rest),
        _ => return None,
    };
    let units = rest.chunks_exact(2).map(|pair| read([pair[0], pair[1]]));
    let text: String =
        char::decode_utf16(units).map(|letter| letter.unwrap_or('\u{fffd}')).collect();
    Some(text.into_bytes())
}

/// Java reads `\u0065` as `e` wherever it stands, with any number of `u`.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memmem::find(rest, b"\\u") {
        plain.extend_from_slice(&rest[..at]);
        let after = &rest[at + 1..];
        let us = after.iter().take_while(|byte| **byte == b'u').count();
        let digits = after.get(us..us + 4).and_then(|digits| std::str::from_utf8(digits).ok());
        let letter = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        match letter.and_then(char::from_u32) {
            Some(letter) => {
                plain.extend(letter.encode_utf8(&mut [0; 4]).bytes());
                rest = &after[us + 4..];
            }
            None => {
                plain.push(b'\\');
                rest = after;
            }
        }
    }
    plain.extend_from_slice(rest);
    plain
}

/// Words and signs, without comments, strings and blanks.
struct Tokens<'a>(&'a [u8]);

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let text = self.0.trim_ascii_start();
            let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
            let skipped = match text {
                [] => return None,
                [b'/', b'/', ..] => memchr::memchr2(b'\n', b'\r', text).unwrap_or(text.len()),
                [b'/', b'*', body @ ..] => {
                    memmem::find(body, b"*/").map_or(text.len(), |end| end + 4)
                }
                [quote @ (b'"' | b'\''), ..] => quoted(text, *quote),
                _ => 0,
            };
            if skipped == 0 {
                let word = |byte: &&u8| byte.is_ascii_alphanumeric() || b"_$".contains(byte);
                let length = text.iter().take_while(word).count().max(1);
                let (token, rest) = text.split_at(length);
                self.0 = rest;
                return Some(token);
            }
            self.0 = text.get(skipped..).unwrap_or_default();
        }
    }
}

/// Length of a literal; one that its line does not close is a sign.
fn quoted(text: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'\\' => at += 2,
            b'\n' => return 1,
            _ if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const POJO: &str = "/* made by H2O */\nimport hex.genmodel.GenModel;\nimport \
        hex.genmodel.annotations.ModelPojo;\n@ModelPojo(name=\"m\", algorithm=\"gbm\")\npublic class \
        m extends GenModel {\n  public final double[] score0( double[] data, double[] preds ) { \
        return preds; }\n}\n";

    #[test]
    fn source_is_known_in_disguise() {
        let check = |text: &str, expected: bool| {
            assert_eq!(source(text.as_bytes()).is_some(), expected, "{text}");
        };
        check(POJO, true);
        check(&POJO.replace("@ModelPojo", "// @ModelPojo"), true);
        check(&POJO.replace("extends GenModel", "extends /**/ hex .genmodel. GenModel"), true);
        check(&POJO.replace("extends", "\\uu0065xtends").replace("@ModelPojo", "@Old"), true);
        check(&format!("# POJO\n\n```java\n{POJO}```\n"), false);
        check(
            &format!(
                "package a;\nclass T {{ String s = \"{}\"; }}",
                POJO.replace(['\n', '"'], " ")
            ),
            false,
        );
        check("import hex.genmodel.GenModel;\nclass A { GenModel m; }", false);
        check(
            "package hex.genmodel;\npublic abstract class MojoModel extends GenModel { double[] score0(double[] a, double[] b); }",
            false,
        );
    }
}
