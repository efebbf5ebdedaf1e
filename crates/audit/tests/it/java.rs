//! Java, as source and as class files.

use crate::forge::{Forge, Forged};
use crate::wrap::{gzip, tar};

/// A class file with no members: constant pool, names, nothing else.
pub(crate) fn class(name: &str, parent: &str, flags: u16, texts: &[&str]) -> Vec<u8> {
    let mut out = b"\xca\xfe\xba\xbe\0\0\x004".to_vec();
    out.extend((5 + 2 + texts.len() as u16).to_be_bytes());
    for text in [name, parent] {
        out.push(1);
        out.extend((text.len() as u16).to_be_bytes());
        out.extend(text.bytes());
    }
    out.extend([7, 0, 1, 7, 0, 2]);
    // A long takes two places.
    out.extend([5, 0, 0, 0, 0, 0, 0, 0, 9]);
    for text in texts {
        out.push(1);
        out.extend((text.len() as u16).to_be_bytes());
        out.extend(text.bytes());
    }
    out.extend(flags.to_be_bytes());
    out.extend([0, 3, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0]);
    out
}

const HEAD: &str = "/*\n  Licensed under the Apache License\n*/\nimport java.util.Map;\n\
    import hex.genmodel.GenModel;\nimport hex.genmodel.annotations.ModelPojo;\n\n";
const BODY: &str = " {\n  public hex.ModelCategory getModelCategory() { return null; }\n  \
    // Pass in data in a double[]\n  public final double[] score0( double[] data, double[] preds ) {\n\
    java.util.Arrays.fill(preds,0);\n    return preds;\n  }\n}\n";

pub(crate) fn source() -> String {
    format!(
        "{HEAD}@ModelPojo(name=\"gbm_pojo\", algorithm=\"gbm\")\npublic class gbm_pojo extends GenModel{BODY}"
    )
}

pub(crate) fn pojos() -> Vec<(&'static str, Vec<u8>)> {
    let source = source();
    let public = 0x21;
    let compiled = class("gbm_pojo", "hex/genmodel/GenModel", public, &["score0", "([D[D)[D"]);
    let tree = class("gbm_pojo_Tree_0_class_0", "java/lang/Object", 0x20, &["score0", "([D)D"]);
    let manifest = Forged::deflated("META-INF/MANIFEST.MF", b"Manifest-Version: 1.0\r\n\r\n");
    let jar = Forge::of([
        manifest.streamed(true, false),
        Forged::deflated("gbm_pojo.class", &compiled).streamed(true, false),
        Forged::deflated("gbm_pojo_Tree_0_class_0.class", &tree).streamed(true, false),
    ])
    .bytes();
    let wide = |text: &str| -> Vec<u8> {
        [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect()
    };
    vec![
        ("source", source.clone().into_bytes()),
        ("source without annotation", source.replace("@ModelPojo(", "// (").into_bytes()),
        (
            "source, full names",
            source.replace("extends GenModel", "extends hex.genmodel . GenModel").into_bytes(),
        ),
        (
            "source with comments",
            source.replace("extends GenModel", "extends/* x */GenModel").into_bytes(),
        ),
        (
            "source in escapes",
            source.replace("extends GenModel", "\\u0065xtends G\\uuu0065nModel").into_bytes(),
        ),
        (
            "source with blanks",
            source.replace("score0( double[]", "score0\n(\n double [ ]").into_bytes(),
        ),
        ("source in UTF-16", wide(&source)),
        ("source in a package", format!("package com.example;\n{source}").into_bytes()),
        ("class", compiled.clone()),
        (
            "annotated class",
            class("m", "a/Base", public, &["Lhex/genmodel/annotations/ModelPojo;"]),
        ),
        ("class of a tree", tree),
        ("jar", jar.clone()),
        ("jar in a zip", Forge::of([Forged::stored("lib/model.bin", &jar)]).bytes()),
        ("source in tar.gz", gzip(&tar(source.as_bytes()))),
        ("class in zip", Forge::of([Forged::deflated("a.txt", &compiled)]).bytes()),
    ]
}
