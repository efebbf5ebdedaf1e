//! `keys.toml`: who may call, by the SHA-256 of what they show.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use stemson_mojo::Digest;
use stemson_serving::ModelName;
use subtle::ConstantTimeEq as _;
use toml::value::{Datetime, Offset};

use super::{Identity, Scopes};

/// Bytes of a key file that is read.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Why a key file is not taken.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The file cannot be read.
    #[error("{}: cannot read the keys", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        cause: std::io::Error,
    },
    /// The file is not of the form of a key file; says where.
    #[error("{}: {message}", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what was expected.
        message: String,
    },
}

/// The keys of one file.
#[derive(Debug, Default)]
pub(crate) struct Keyring {
    /// By the first bytes of the digest; the whole digest is compared in constant time.
    by_prefix: HashMap<u64, Vec<(Digest, Arc<Identity>)>>,
    by_id: HashMap<Arc<str>, Arc<Identity>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    key: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    sha256: Option<String>,
    scopes: Vec<String>,
    models: Option<Vec<String>>,
    rate_per_second: Option<f64>,
    expires: Option<Datetime>,
}

impl Keyring {
    pub(crate) fn read(path: &Path) -> Result<Self, KeysError> {
        let text =
            read_bounded(path).map_err(|cause| KeysError::Read { path: path.to_owned(), cause })?;
        Self::parse(&text)
            .map_err(|message| KeysError::Malformed { path: path.to_owned(), message })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|bad| {
            // The parser shows the line, and in it there may be a secret.
            let before = bad.span().and_then(|span| text.get(..span.start)).unwrap_or("");
            let line = before.matches('\n').count() + 1;
            format!("line {line}: {}", bad.message())
        })?;
        if file.key.is_empty() {
            return Err("no `[[key]]`: nobody could call".to_owned());
        }
        let mut keys = Self::default();
        for (index, entry) in file.key.into_iter().enumerate() {
            let shown = format!("key {} (`{}`)", index + 1, entry.id);
            keys.add(entry).map_err(|message| format!("{shown}: {message}"))?;
        }
        Ok(keys)
    }

    fn add(&mut self, entry: Entry) -> Result<(), String> {
        let Entry { id, sha256, scopes, models, rate_per_second, expires } = entry;
        if id.is_empty() || id.len() > 128 || id.chars().any(char::is_control) {
            return Err("`id` must have 1 to 128 characters that can be seen".to_owned());
        }
        let digest = sha256.as_deref().map(str::parse::<Digest>).transpose();
        // The text is not shown: it may be the key itself.
        let digest = digest.map_err(|_| {
            "`sha256` must be 64 hexadecimal digits: printf %s \"$KEY\" | sha256sum".to_owned()
        })?;
        for model in models.iter().flatten() {
            model.parse::<ModelName>().map_err(|bad| format!("`models`: {bad}"))?;
        }
        if rate_per_second.is_some_and(|rate| !(rate > 0.0 && rate.is_finite())) {
            return Err("`rate_per_second` must be above 0".to_owned());
        }
        let identity = Arc::new(Identity {
            id: id.into(),
            scopes: Scopes::parse(scopes.iter().map(String::as_str))?,
            models,
            expires: expires.map(|expires| unix_seconds(&expires)).transpose()?,
            rate_per_second,
        });
        if self.by_id.insert(Arc::clone(&identity.id), Arc::clone(&identity)).is_some() {
            return Err("stands twice: an `id` is one caller's".to_owned());
        }
        if let Some(digest) = digest {
            let same = self.by_prefix.entry(prefix(&digest)).or_default();
            if same.iter().any(|(other, _)| *other == digest) {
                return Err("has the `sha256` of another key".to_owned());
            }
            same.push((digest, identity));
        }
        Ok(())
    }

    /// Whose secret it is.
    pub(crate) fn find(&self, secret: &str) -> Option<Arc<Identity>> {
        let digest = Digest::of(secret.as_bytes());
        let mut found = None;
        for (known, identity) in self.by_prefix.get(&prefix(&digest))? {
            if bool::from(known.as_bytes().ct_eq(digest.as_bytes())) {
                found = Some(Arc::clone(identity));
            }
        }
        found
    }

    /// The key that a client certificate stands for.
    pub(crate) fn by_id(&self, id: &str) -> Option<Arc<Identity>> {
        self.by_id.get(id).cloned()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }
}

impl Scopes {
    pub(super) fn parse<'w>(words: impl Iterator<Item = &'w str>) -> Result<Self, String> {
        let mut scopes = Self::default();
        for word in words {
            match word {
                "predict" => scopes.predict = true,
                "read" => scopes.read = true,
                "admin" => scopes.admin = true,
                other => {
                    return Err(format!(
                        "`scopes`: `{other}` is none, expected predict, read or admin"
                    ));
                }
            }
        }
        if scopes == Self::default() {
            return Err("`scopes` is empty, expected predict, read or admin".to_owned());
        }
        Ok(scopes)
    }
}

/// The text of a file that is not larger than it may be.
pub(crate) fn read_bounded(path: &Path) -> std::io::Result<String> {
    use std::io::{Error, ErrorKind, Read as _};
    let mut text = String::new();
    std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(Error::new(ErrorKind::FileTooLarge, "larger than 16 MiB"));
    }
    Ok(text)
}

fn prefix(digest: &Digest) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *digest.as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// Seconds since 1970, of a date (its beginning, UTC) or a date with time and offset.
fn unix_seconds(at: &Datetime) -> Result<u64, String> {
    let expected =
        || "`expires` must be a date such as 2027-01-31 or 2027-01-31T12:00:00Z".to_owned();
    let date = at.date.ok_or_else(expected)?;
    let offset = match (&at.time, at.offset) {
        (Some(_), Some(Offset::Custom { minutes })) => i64::from(minutes) * 60,
        (Some(_), Some(Offset::Z)) | (None, None) => 0,
        _ => return Err(expected()),
    };
    let time = at.time.as_ref().map_or(0, |time| {
        i64::from(time.hour) * 3_600
            + i64::from(time.minute) * 60
            + i64::from(time.second.unwrap_or(0))
    });
    // Years begin in March, so that the leap day ends one; 1970-01-01 is day 719,468.
    let (year, month) = (i64::from(date.year), i64::from(date.month));
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (153 * month + 2) / 5
        + i64::from(date.day)
        - 1
        - 719_468;
    Ok(u64::try_from(days * 86_400 + time - offset).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sha256(secret: &str) -> String {
        Digest::of(secret.as_bytes()).to_string()
    }

    #[test]
    fn a_key_is_found_by_what_is_shown_and_by_its_name() {
        let text = format!(
            "[[key]]\nid = \"ops\"\nsha256 = \"{}\"\nscopes = [\"admin\", \"read\"]\n\
             [[key]]\nid = \"shop\"\nsha256 = \"{}\"\nscopes = [\"predict\"]\n\
             models = [\"churn\"]\nrate_per_second = 2.5\nexpires = 2027-01-31\n\
             [[key]]\nid = \"card\"\nscopes = [\"read\"]\n",
            sha256("one"),
            sha256("two").to_ascii_uppercase(),
        );
        let keys = Keyring::parse(&text).expect("good keys");
        assert_eq!(keys.len(), 3);
        let ops = keys.find("one").expect("ops");
        assert!(ops.scopes.admin && ops.scopes.read && !ops.scopes.predict);
        let shop = keys.find("two").expect("shop");
        assert_eq!(shop.models.as_deref(), Some(&["churn".to_owned()][..]));
        assert_eq!((shop.rate_per_second, shop.expires), (Some(2.5), Some(1_801_353_600)));
        assert_eq!(keys.find("three"), None);
        assert_eq!(keys.find(""), None);
        assert_eq!(&*keys.by_id("card").expect("card").id, "card");
    }

    #[test]
    fn mistakes_are_named_and_secrets_are_not() {
        let key = |rest: &str| format!("[[key]]\nid = \"a\"\n{rest}");
        let good = sha256("x");
        for (text, words) in [
            (String::new(), "no `[[key]]`"),
            (key("sha256 = \"hunter2\"\nscopes = [\"read\"]"), "64 hexadecimal digits"),
            (key("scopes = []"), "`scopes` is empty"),
            (key("scopes = [\"write\"]"), "`write` is none"),
            (key("scopes = [\"read\"]\nmodels = [\"a b\"]"), "no model name"),
            (key("scopes = [\"read\"]\nrate_per_second = 0.0"), "above 0"),
            (key("scopes = [\"read\"]\nexpires = 12:00:00"), "must be a date"),
            (key("scopes = [\"read\"]\nexpires = 2027-01-31T12:00:00"), "must be a date"),
            (key("scopes = [\"read\"]\nscope = 1"), "unknown field `scope`"),
            (key("key = \"hunter2\""), "line 3: unknown field `key`"),
            (key("sha256 = hunter2"), "line 3"),
            (key("scopes = [\"read\"]\n") + &key("scopes = [\"read\"]"), "stands twice"),
            (
                format!(
                    "[[key]]\nid = \"a\"\nsha256 = \"{good}\"\nscopes = [\"read\"]\n\
                     [[key]]\nid = \"b\"\nsha256 = \"{good}\"\nscopes = [\"read\"]"
                ),
                "key 2 (`b`): has the `sha256` of another key",
            ),
        ] {
            let message = Keyring::parse(&text).expect_err(&text);
            assert!(message.contains(words), "{text}: {message}");
            assert!(!message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn dates_are_counted_as_everybody_counts_them() {
        for (text, seconds) in [
            ("1970-01-01", 0),
            ("2000-02-29", 951_782_400),
            ("2023-11-14T22:13:20Z", 1_700_000_000),
            ("2023-11-14T23:13:20+01:00", 1_700_000_000),
            ("1960-01-01", 0),
        ] {
            let at: Datetime = text.parse().expect(text);
            assert_eq!(unix_seconds(&at), Ok(seconds), "{text}");
        }
    }
}
