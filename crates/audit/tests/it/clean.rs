//! Files of twenty and more kinds that may ship.

use std::fs;

use crate::forge::{Forge, Forged};
use crate::wrap::{ar, bzip2, gzip, tar, xz, zlib, zstd};
use crate::{java, mojos};

fn npy(descr: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': (2,), }}\n");
    let mut out = b"\x93NUMPY\x01\0".to_vec();
    out.extend((header.len() as u16).to_le_bytes());
    out.extend(header.bytes());
    out.extend(data);
    out
}

fn jar(streamed: bool) -> Vec<u8> {
    let main =
        java::class("com/example/Main", "java/lang/Object", 0x21, &["hex/genmodel/GenModel"]);
    let base = java::class("hex/genmodel/MojoModel", "hex/genmodel/GenModel", 0x421, &[]);
    let entries = [
        Forged::deflated("META-INF/MANIFEST.MF", b"Manifest-Version: 1.0\r\n\r\n"),
        Forged::deflated("com/example/Main.class", &main),
        Forged::deflated("hex/genmodel/MojoModel.class", &base),
    ];
    let finish = |entry: Forged| if streamed { entry.streamed(true, false) } else { entry };
    Forge::of(entries.map(finish)).bytes()
}

fn wheel() -> Vec<u8> {
    Forge::of([
        Forged::deflated("croniter/__init__.py", b"import os\nos.getcwd()\n"),
        Forged::stored("croniter/_c.so", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0"),
        Forged::deflated(
            "croniter-1.0.dist-info/RECORD",
            b"croniter/__init__.py,sha256=abc,22\ncroniter/_c.so,sha256=def,16\n,,\n",
        ),
    ])
    .bytes()
}

/// Bytes that look random, the same ones each time.
pub(crate) fn noise(mut seed: u64, length: usize) -> Vec<u8> {
    std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as u8
    })
    .take(length)
    .collect()
}

/// Tensor bytes that begin like a scalar and STOP.
fn safetensors() -> Vec<u8> {
    let head = br#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    [&(head.len() as u64).to_le_bytes()[..], head, b"K\x01.\0\x80\x02N."].concat()
}

fn ubj() -> Vec<u8> {
    b"{L\0\0\0\0\0\0\0\x07learner{L\0\0\0\0\0\0\0\x07versionSL\0\0\0\0\0\0\0\x051.7.1}}".to_vec()
}

/// By name; none may be blocked.
pub(crate) fn files() -> Vec<(&'static str, Vec<u8>)> {
    let text = |text: &str| text.as_bytes().to_vec();
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0".to_vec();
    png.extend(zlib(&[0, 0, 0, 0, 0]));
    let npz = Forge::of([Forged::deflated("a.npy", &npy("'<f8'", &[0; 16]))]).bytes();
    let gif =
        b"GIF89a\x01\0\x01\0\x80\0\0\xff\xff\xff\0\0\0!\xf9\x04\x01\0\0\0\0,\0\0\0\0".to_vec();
    let sqlite = [&b"SQLite format 3\0\x10\0\x01\x01\0@  "[..], &[0; 100]].concat();
    let pojo_page = format!("# POJOs\n\n```java\n{}```\n", java::source());
    let base64 =
        "{\"image\":\"gAxkZGRkZGRkZGRkZGRkZGRkZGRkZGRk\",\"b\":\"gASVCgAAAAAAAAB9lIwBYZR\"}";
    vec![
        ("MOJO", mojos::bytes("gbm_platt")),
        ("MOJO, packed again", mojos::repacked()),
        ("MOJO in tar.gz", gzip(&tar(&mojos::bytes("glm_gaussian")))),
        ("jar", jar(false)),
        ("jar with descriptors", jar(true)),
        ("wheel", wheel()),
        ("empty zip", Forge::of([]).bytes()),
        ("npy", npy("'<f8'", &[0; 16])),
        ("npy with fields", npy("[('O', '<f8'), ('b', '<i4')]", &[0; 24])),
        ("npz", npz),
        ("parquet", [&b"PAR1\x15\x04\x15\x10\x15\x14"[..], &noise(1, 500), b"PAR1"].concat()),
        ("arrow", [&b"ARROW1\0\0"[..], &noise(2, 500), b"ARROW1"].concat()),
        ("safetensors", safetensors()),
        (
            "onnx",
            b"\x08\x07\x12\x07pytorch\x1a\x032.0:\x80\x02\n\x01x\x12\x01y\x1a\x03add".to_vec(),
        ),
        ("ubj", ubj()),
        ("XGBoost JSON", text("{\"learner\":{\"version\":[1,7,1]}}")),
        ("png", png),
        ("jpeg", [&b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01"[..], &noise(3, 300)].concat()),
        ("gif", gif),
        ("pdf", text("%PDF-1.4\n1 0 obj\n<< >>\nendobj\n%%EOF\n")),
        ("class", java::class("a/B", "java/lang/Object", 0x21, &["hex/genmodel/GenModel"])),
        ("Mach-O", [&b"\xca\xfe\xba\xbe\0\0\0\x02"[..], &noise(4, 300)].concat()),
        ("ELF", [&b"\x7fELF\x02\x01\x01\0"[..], &noise(5, 70_000)].concat()),
        ("static library", ar(b"\x7fELF\x01")),
        ("sqlite", sqlite),
        ("hdf5", [&b"\x89HDF\r\n\x1a\n"[..], &noise(6, 200)].concat()),
        ("csv.gz", gzip(b"a,b\n1,2\n")),
        ("csv.bz2", bzip2(b"a,b\n1,2\n")),
        ("csv.xz", xz(b"a,b\n1,2\n")),
        ("csv.zst", zstd(b"a,b\n1,2\n")),
        ("tar", tar(b"text")),
        ("python", text("import pickle\nc = 1\npickle.loads(b'cos\\nsystem\\n')\n")),
        ("RECORD", text("cos/system.py,sha256=abc,1\ncat,,\n.hidden\n")),
        (
            "Java that scores",
            text(
                "import hex.genmodel.*;\npublic class A { GenModel m; double[] score0(double[] r) { return r; } }",
            ),
        ),
        ("page about POJOs", pojo_page.into_bytes()),
        ("text that begins as zlib", text("x^2 + y^2 = z^2\n")),
        ("JSON with base64", text(base64)),
        ("short", b".".to_vec()),
        ("empty", Vec::new()),
        ("zeros", vec![0; 100_000]),
        ("N, a hundred thousand times", vec![b'N'; 100_000]),
        ("noise", noise(7, 200_000)),
        (
            "this source",
            fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/java.rs")).unwrap(),
        ),
    ]
}
