//! Writes seeds for the fuzz targets into `fuzz/corpus/<target>`, out of the corpus of MOJOs.
//!
//! libFuzzer adds what it finds to the same folders; seeds of the same name are written again.

use std::fs;
use std::path::{Path, PathBuf};

use stemson_fuzz::{MODELS, entries, join};

/// Larger seeds only slow the fuzzer down.
const BYTES_MAX: usize = 64 << 10;

struct Seeds {
    folder: PathBuf,
}

impl Seeds {
    fn add(&self, target: &str, name: &str, bytes: &[u8]) {
        if bytes.len() > BYTES_MAX {
            return;
        }
        let folder = self.folder.join(target);
        fs::create_dir_all(&folder).expect("the folder of seeds can be made");
        fs::write(folder.join(name.replace('/', "-")), bytes).expect("a seed can be written");
    }
}

fn main() {
    let seeds = Seeds { folder: Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus") };
    for (place, (case, mojo)) in (0_u8..).zip(MODELS) {
        seeds.add("archive", case, mojo);
        let entries = entries(usize::from(place));
        let data = |name: &str| entries.iter().find(|entry| entry.name == name).map(|it| &it.data);
        let piece = |name: &str| data(name).map(Vec::as_slice).unwrap_or_default();
        for (number, entry) in (0_u8..=255).zip(&entries) {
            let seed = [&[place, number][..], &entry.data].concat();
            if !entry.name.starts_with("experimental/") {
                seeds.add("model", &format!("{case}-{}", entry.name), &seed);
            }
            let aux = entry.name.replace(".bin", "_aux.bin");
            if let Some(tree) = entry.name.strip_prefix("trees/")
                && aux != entry.name
            {
                let tree = format!("{case}-{tree}");
                if *case == "extisofor" {
                    seeds.add("eif", &tree, &entry.data);
                } else if !tree.ends_with("_aux.bin") {
                    for version in 0..6 {
                        let seed = join(&entry.data, piece(&aux));
                        let seed = [&[version][..], &seed].concat();
                        seeds.add("tree", &format!("{version}-{tree}"), &seed);
                    }
                }
            }
        }
        seeds.add("model_ini", case, &[&[place], piece("model.ini")].concat());
        if data("boosterBytes").is_some() {
            for form in 0..32_u8 {
                let seed = join(piece("auxNodeWeights"), piece("boosterBytes"));
                let seed = [&[form][..], &seed].concat();
                seeds.add("booster", &format!("{case}-{form}"), &seed);
            }
        }
        let maps = "feature_engineering/target_encoding";
        if data(&format!("{maps}/encoding_map.ini")).is_some() {
            let map = piece_of(piece(&format!("{maps}/encoding_map.ini")));
            let columns = piece(&format!("{maps}/input_encoding_columns_map.ini"));
            let name = "te_column_name_to_missing_values_presence.ini";
            let rest = join(piece(&format!("{maps}/{name}")), map);
            for form in 0..16_u8 {
                let seed = [&[form][..], &join(columns, &rest)].concat();
                seeds.add("target_encoder", &format!("{case}-{form}"), &seed);
            }
        }
        if data("vocabulary").is_some() {
            let seed = [&[44, 8][..], &join(piece("vocabulary"), piece("vectors"))].concat();
            seeds.add("word2vec", case, &seed);
        }
    }
    rows(&seeds);
    requests(&seeds);
    grpc(&seeds);
    python(&seeds);
}

/// The first sections of a long map.
fn piece_of(map: &[u8]) -> &[u8] {
    &map[..map.len().min(8 << 10)]
}

/// Numbers and rows are short enough to stand here.
fn rows(seeds: &Seeds) {
    let numbers = [
        "1",
        "-0.0",
        "1e400",
        "4.9E-324",
        " 3.5 ",
        "0x1p3",
        "0x.8P-2d",
        "1d",
        "2.5f",
        "NaN",
        "+Infinity",
        "nan",
        "1_000",
        "1e",
        ".",
        "5.",
        ".5",
        "9007199254740993",
        "1e-999999999999",
        "2.2250738585072011e-308",
        "1.7976931348623159e308",
    ];
    for (place, number) in numbers.iter().enumerate() {
        seeds.add("number", &place.to_string(), number.as_bytes());
    }
    let csv = [
        "x1,x2,c3\n1,2,a\n,NA,\"b \"\"c\"\"\"\n",
        "x1,x2,tf,c12,c60\r\n1e5,0x1p3,true,m04,k17\r\n\r\n-1,\"2\n3\",,x,\r\n",
        "x1;c3\n1;a\n",
        "\u{feff}x1,x2\n1,2",
    ];
    let jsonl = [
        r#"{"x1": 1, "x2": "2.5", "c3": "a", "k": null, "flag": true}"#,
        "{\"x1\": 1e400}\n\n{\"c3\": \"\\u00e4\\ud83d\\ude00\\n\"}\n",
        r#"{}"#,
        r#"{"x1": -0.5E-3, "x1": 2, "other": "z"}"#,
    ];
    for form in 0..16_u8 {
        for (place, text) in csv.iter().enumerate() {
            let seed = [&[form], text.as_bytes()].concat();
            seeds.add("csv_rows", &format!("{form}-{place}"), &seed);
        }
        for (place, text) in jsonl.iter().enumerate() {
            let seed = [&[form], text.as_bytes()].concat();
            seeds.add("json_rows", &format!("{form}-{place}"), &seed);
        }
    }
}

/// Bodies of requests.
fn requests(seeds: &Seeds) {
    let bodies = [
        r#"{"instances":[{"x1":1.5,"c3":"red"},[1,2,3],null],"strict":true,"contributions":true}"#,
        r#"{"inputs":[{"name":"x1","shape":[2,1],"datatype":"FP64","data":[[1],[null]]}],
            "outputs":[{"name":"predict"}],"parameters":{"leaf_assignment":"ids","timeout":9}}"#,
        r#"{"inputs":[{"name":"row","shape":[1],"datatype":"BYTES","data":["{\"a\":\"w10\"}"]}]}"#,
        r#"{"dataframe_split":{"data":[[1,"red"]],"columns":["x1","c3"]},"params":{"staged":true}}"#,
        r#"{"inputs":{"x1":[1,2],"c3":["red",null]}}"#,
        r#"{"parameters":{"config":"{}","file:1/model.zip":"UEs="}}"#,
        "x1,c3\n1.5,red\n",
    ];
    for form in 0..16_u8 {
        for (place, body) in bodies.iter().enumerate() {
            let seed = [&[form, 0], body.as_bytes()].concat();
            seeds.add("rest_bodies", &format!("{form}-{place}"), &seed);
        }
    }
    let tensor = r#"{"inputs":[{"name":"c3","shape":[1],"datatype":"BYTES","parameters":
        {"binary_data_size":7}},{"name":"x1","shape":[1],"datatype":"FP16","parameters":
        {"binary_data_size":2}}],"parameters":{"binary_data_output":true}}"#;
    let bytes = [tensor.as_bytes(), &[3, 0, 0, 0], b"red", &[0, 60]].concat();
    let len = u16::try_from(tensor.len()).unwrap_or(u16::MAX);
    seeds.add("binary_tensors", "both", &[&len.to_le_bytes()[..], &bytes].concat());
    seeds.add("binary_tensors", "raw", &[&[0; 2][..], &[0; 96]].concat());
}

/// A field of a message in protobuf: a text, or a message itself.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let len = u8::try_from(content.len()).unwrap_or(127).min(127);
    [&[number << 3 | 2, len][..], &content[..usize::from(len)]].concat()
}

/// Messages of gRPC: predictions typed and raw, with options, and names.
fn grpc(seeds: &Seeds) {
    let tensor = |name: &str, datatype: &str, contents: &[u8]| {
        let head = [field(1, name.as_bytes()), field(2, datatype.as_bytes()), field(3, &[1])];
        field(5, &[head.concat(), contents.to_vec()].concat())
    };
    let model = field(1, b"gbm_bernoulli");
    let number = tensor("x1", "FP64", &field(5, &field(7, &1.5_f64.to_le_bytes())));
    let level = tensor("c3", "BYTES", &field(5, &field(8, b"red")));
    let bare = tensor("x1", "FP32", &[]);
    let option = field(4, &[field(1, b"contributions"), field(2, &[8, 1])].concat());
    let raw = field(7, &1.5_f32.to_le_bytes());
    let row = tensor("row", "BYTES", &field(5, &field(8, br#"{"x1":1,"c3":"red"}"#)));
    let messages = [
        [model.clone(), field(3, b"id"), number, level].concat(),
        [model.clone(), option, bare, raw].concat(),
        [model.clone(), row].concat(),
        [field(1, b"kmeans_mixed"), field(2, b"1")].concat(),
        model,
    ];
    for method in 0..12_u8 {
        for (place, message) in messages.iter().enumerate() {
            let seed = [&[method, 0, 1], &message[..]].concat();
            seeds.add("grpc", &format!("{method}-{place}"), &seed);
        }
    }
    let two = [&messages[0][..], &messages[0]].concat();
    seeds.add("grpc", "two", &[&[1, 0, 2], &two[..]].concat());
}

/// The examples of the rules' pages.
fn python(seeds: &Seeds) {
    for rule in stemson_audit::rules() {
        for (place, fence) in rule.body.split("```python ").skip(1).enumerate() {
            let text = fence.split("```").next().and_then(|it| it.split_once('\n'));
            let text = text.map_or("", |it| it.1).replace("  <-- found", "");
            seeds.add("python", &format!("{}-{place}", rule.id), text.as_bytes());
        }
    }
}
