//! What a stranger might think of: small files that grow when they are read, lists that are gone
//! through again and again, models inside of themselves. Each is refused by name, or harmless.

use stemson_mojo::{LoadOptions, Model};

use super::exercise::exercise;
use super::memory;
use super::zip::{self, Entry};
use super::{campaign, claims};

/// The inflated entries of the largest case take a sixth of it.
const PEAK_BYTES_MAX: usize = 192 << 20;
const ALLOCATIONS_MAX: u64 = 3_000_000;

/// A model of the corpus that is changed at will.
struct Forged(Vec<Entry>);

impl Forged {
    fn of(algorithm: &str, case: &str) -> Self {
        let models = campaign::models(algorithm).into_iter();
        Self(models.into_iter().find(|model| model.0 == case).unwrap().1)
    }

    fn entry(mut self, name: &str, data: impl AsRef<[u8]>) -> Self {
        self.0.retain(|entry| entry.name != name);
        self.0.push(Entry::new(name, data.as_ref()));
        self
    }

    fn ini(mut self, change: impl FnOnce(&mut Vec<String>)) -> Self {
        claims::change_ini(&mut self.0, change);
        self
    }

    /// Another value in place of what the key has.
    fn value(self, key: &str, value: &str) -> Self {
        self.ini(|lines| {
            let line = lines.iter_mut().find(|line| line.starts_with(&format!("{key} = ")));
            *line.unwrap_or_else(|| panic!("no `{key}`")) = format!("{key} = {value}");
        })
    }

    /// Lines behind this one.
    fn lines(self, behind: &str, new: impl IntoIterator<Item = String>) -> Self {
        self.ini(|lines| {
            let at = lines.iter().position(|line| line == behind).unwrap() + 1;
            lines.splice(at..at, new);
        })
    }

    /// The same levels in every domain, as many as said.
    fn levels(self, n: usize, level: &str) -> Self {
        let names: Vec<String> = self.0.iter().map(|entry| entry.name.clone()).collect();
        let domains = names.iter().filter(|name| name.starts_with("domains/"));
        let domain = format!("{level}\n").repeat(n);
        let forged = self.ini(|lines| {
            let at = lines.iter().position(|line| line == "[domains]").unwrap() + 1;
            for line in lines[at..].iter_mut().filter(|line| line.contains(": ")) {
                let (column, file) = (line.split(':').next().unwrap(), line.rsplit(' ').next());
                *line = format!("{column}: {n} {}", file.unwrap());
            }
        });
        domains.fold(forged, |forged, name| forged.entry(name, &domain))
    }

    fn zip(mut self) -> Vec<u8> {
        self.0.iter_mut().for_each(Entry::deflate);
        zip::pack(&self.0)
    }
}

fn check(what: &str, forged: Forged, outcome: &str) {
    let mojo = forged.zip();
    let options = LoadOptions { genmodel_quirks: true, ..LoadOptions::default() };
    let (found, usage) = memory::measure(0, || exercise(&mojo, &options));
    assert_eq!(found, outcome, "{what}");
    assert!(usage.peak_bytes < PEAK_BYTES_MAX, "{what}: {usage:?}");
    assert!(usage.allocations < ALLOCATIONS_MAX, "{what}: {usage:?}");
}

fn glm() -> Forged {
    Forged::of("glm", "glm_binomial")
}

#[test]
fn text_of_millions_of_lines() {
    let n = 12_000_000;
    let lines = |line: &str| line.repeat(n);
    let te = || Forged::of("targetencoder", "te_multi");
    let folder = "feature_engineering/target_encoding";
    check("levels", glm().levels(n, ""), "limit");
    check("levels, of another number", glm().entry("domains/d000.txt", lines("\n")), "limit");
    check("columns", glm().lines("[columns]", [lines("\n")]), "limit");
    check(
        "columns of a name",
        glm().lines("[columns]", (0..1_000_001).map(|_| "a".into())),
        "limit",
    );
    let domains = (0..1_000_001).map(|_| "0: 3 d000.txt".to_owned());
    check("domains of one column", glm().lines("[domains]", domains), "limit");
    let words = Forged::of("word2vec", "word2vec")
        .value("vocab_size", &n.to_string())
        .value("vec_size", "1")
        .entry("vocabulary", lines("\n"))
        .entry("vectors", vec![0; n]);
    check("words, too few vectors", words, "bad_entry");
    check("sections", te().entry(&format!("{folder}/encoding_map.ini"), lines("[]\n")), "limit");
    let columns = format!("{folder}/input_encoding_columns_map.ini");
    check("blocks", te().entry(&columns, lines("\n")), "limit");
}

/// Names of one-hot columns are made of a column's and a level's.
#[test]
fn a_long_name_for_each_of_many_levels() {
    let name = "n".repeat(100_000);
    let renamed = |forged: Forged, levels| {
        let old = |lines: &mut Vec<String>| {
            let at = lines.iter().position(|line| line == "[columns]").unwrap() + 1;
            lines[at].clone_from(&name);
        };
        forged.ini(old).levels(levels, "l")
    };
    check("glm", renamed(glm(), 20_000), "bad_entry");
    check("xgboost", renamed(Forged::of("xgboost", "xgb_gaussian"), 20_000), "bad_entry");
    let autoencoder = Forged::of("deeplearning", "dl_autoencoder");
    check("autoencoder", renamed(autoencoder, 20_000), "bad_entry");
}

#[test]
fn messages_stay_short_and_do_not_steer_a_terminal() {
    let long = "\u{1b}[2J\u{7}x".repeat(100_000);
    let huge = format!("1{}", "0".repeat(500_000));
    let gbm = || Forged::of("gbm", "gbm_bernoulli");
    let table = [
        (glm().value("algorithm", &long), "algorithm"),
        (glm().value("mojo_version", &huge), "version"),
        (glm().value("category", &long), "bad_value"),
        (glm().value("link", &long), "bad_value"),
        (gbm().value("distribution", &long), "bad_value"),
        (gbm().value("link_function", &long), "bad_value"),
        (gbm().lines("[domains]", [format!("0: 3 {long}")]), "missing_entry"),
    ];
    for (forged, kind) in table {
        let refused = Model::load(&forged.zip(), &LoadOptions::default()).unwrap_err();
        assert_eq!(refused.kind(), kind);
        let message = refused.to_string();
        assert!(message.len() < 2_000, "{} bytes", message.len());
        assert!(!message.contains(char::is_control), "{message:?}");
    }
}

#[test]
fn models_inside_of_models() {
    let ensemble = || Forged::of("stackedensemble", "se_regression");
    check("itself", ensemble().value("submodel_dir_0", ""), "bad_entry");
    // An ensemble of which each model is again one, below the prefix of the last.
    let Forged(entries) = ensemble();
    let outer = entries.iter().find(|entry| entry.name == "model.ini").unwrap();
    let text = String::from_utf8(outer.data.to_vec()).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("submodel_")).collect();
    let nested = lines.join("\n") + "\n";
    let one = "[info]\nsubmodel_count = 1\nsubmodel_key_0 = m\nsubmodel_dir_0 = m/\n";
    let nested = nested.replacen("[info]\n", one, 1);
    let mut deep = ensemble().entry("model.ini", &nested);
    let mut prefix = String::new();
    for _ in 0..1_000 {
        prefix.push_str("m/");
        deep.0.push(Entry::new(&format!("{prefix}model.ini"), nested.as_bytes()));
    }
    deep.0.extend((1..6).flat_map(|depth| {
        let prefix = "m/".repeat(depth);
        let domains = entries.iter().filter(|entry| entry.name.starts_with("domains/"));
        domains.map(move |it| Entry::new(&format!("{prefix}{}", it.name), &it.data))
    }));
    check("a thousand deep", deep, "limit");
}
