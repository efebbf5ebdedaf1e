//! What a model takes and answers, as the protocol shows it.

use axum::body::Bytes;
use serde_json::{Value, json};
use stemson_mojo::{Column, Kind, Role, Schema};
use stemson_serving::{Deployment, Revision};

use super::datatype::Datatype;
use super::{EXTENSIONS, INPUT, PLATFORM, ROW, SERVER};
use crate::face::Face;
use crate::json;
use crate::models::{OipDatatype, OipLayout};

/// `{"name","version","extensions"}` of the server.
pub(super) fn server() -> Bytes {
    let version = env!("CARGO_PKG_VERSION");
    let mut out =
        format!("{{\"name\":\"{SERVER}\",\"version\":\"{version}\",\"extensions\":[").into();
    json::write_list(&mut out, EXTENSIONS, |out, name| json::write_str(out, name));
    out.extend_from_slice(b"]}");
    out.into()
}

/// The configuration of a revision in Triton's form. Batches have no dimension of their own: the
/// first one of each tensor is the rows.
pub(crate) fn config(deployment: &Deployment, revision: &Revision, shown: Shown) -> Value {
    let model = revision.model();
    let face = revision.prepared(Face::new);
    let tensor = |name: &str, datatype: Datatype, shape: &[i64]| {
        let word = if datatype == Datatype::Bytes { "STRING" } else { datatype.name() };
        json!({ "name": name, "data_type": format!("TYPE_{word}"), "dims": shape })
    };
    let inputs = inputs(model.schema(), shown);
    let text = |value: &str| json!({ "string_value": value });
    json!({
        "name": deployment.name().as_str(),
        "platform": PLATFORM,
        "backend": SERVER,
        "runtime": "",
        "version_policy": { "latest": { "num_versions": 1 } },
        "max_batch_size": 0,
        "input": inputs.iter().map(|i| tensor(&i.name, i.datatype, &i.shape)).collect::<Vec<_>>(),
        "output": face
            .outputs
            .iter()
            .filter(|output| output.is_usual)
            .map(|output| tensor(output.name, output.datatype, &output.shape()))
            .collect::<Vec<_>>(),
        "instance_group": [{ "name": deployment.name().as_str(), "kind": "KIND_CPU", "count": 1 }],
        "default_model_filename": "model.zip",
        "parameters": {
            "digest": text(&revision.digest().to_string()),
            "algorithm": text(model.algorithm()),
            "category": text(model.category().as_str()),
        },
    })
}

/// `{"name","versions","platform","inputs","outputs"}` of one revision.
///
/// Unless the configuration says otherwise, inputs are shown as one matrix where all columns are
/// numeric, else column by column.
pub(super) fn model(deployment: &Deployment, revision: &Revision, shown: Shown) -> Bytes {
    let model = revision.model();
    let mut out = b"{\"name\":".to_vec();
    json::write_str(&mut out, deployment.name().as_str());
    out.extend_from_slice(b",\"versions\":[");
    json::write_list(&mut out, versions(deployment), |out, number| {
        json::write_str(out, &number.to_string());
    });
    out.extend_from_slice(format!("],\"platform\":\"{PLATFORM}\",\"inputs\":[").as_bytes());
    let face = revision.prepared(Face::new);
    json::write_list(&mut out, inputs(model.schema(), shown), |out, input| {
        write_tensor(out, &input);
    });
    out.extend_from_slice(b"],\"outputs\":[");
    json::write_list(&mut out, outputs(&face), |out, output| write_tensor(out, &output));
    let on_request = face.outputs.iter().filter(|tensor| !tensor.is_usual);
    let on_request: Vec<&str> = on_request.map(|tensor| tensor.name).collect();
    let parameters = format!(
        "],\"parameters\":{{\"digest\":\"{}\",\"number\":{},\"algorithm\":\"{}\",\
         \"category\":\"{}\",\"outputs_on_request\":\"{}\"}}}}",
        revision.digest(),
        revision.number(),
        model.algorithm(),
        model.category().as_str(),
        on_request.join(" "),
    );
    out.extend_from_slice(parameters.as_bytes());
    out.into()
}

/// How the configuration wants the inputs of a model to be shown, where it says it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) layout: Option<OipLayout>,
    pub(crate) datatype: Option<OipDatatype>,
}

impl Shown {
    /// The layout in which the model is shown. One whose columns are the caller's own has rows only.
    pub(super) fn layout(self, schema: &Schema) -> OipLayout {
        if schema.is_open() {
            return OipLayout::Rows;
        }
        self.layout.unwrap_or_else(|| {
            if features(schema).all(|column| column.kind == Kind::Numeric) {
                OipLayout::Matrix
            } else {
                OipLayout::Columns
            }
        })
    }

    /// The datatype of numbers.
    pub(super) fn datatype(self) -> Datatype {
        match self.datatype {
            Some(OipDatatype::Fp32) => Datatype::Fp32,
            Some(OipDatatype::Fp64) | None => Datatype::Fp64,
        }
    }
}

/// A tensor as metadata shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TensorShape {
    pub(crate) name: String,
    pub(crate) datatype: Datatype,
    /// -1 for what depends on the request.
    pub(crate) shape: Vec<i64>,
}

/// The columns but the offset.
pub(crate) fn features(schema: &Schema) -> impl Iterator<Item = &Column> {
    schema.columns().iter().filter(|column| column.role == Role::Feature)
}

/// The numbers of the revisions that answer.
pub(crate) fn versions(deployment: &Deployment) -> Vec<u64> {
    let warm = deployment.warm();
    let mut numbers: Vec<u64> = warm.revisions().map(|revision| revision.number()).collect();
    numbers.sort_unstable();
    numbers
}

/// The outputs that a model gives without being asked for them.
pub(crate) fn outputs(face: &Face) -> impl Iterator<Item = TensorShape> {
    face.outputs.iter().filter(|tensor| tensor.is_usual).map(|tensor| TensorShape {
        name: tensor.name.to_owned(),
        datatype: tensor.datatype,
        shape: tensor.shape(),
    })
}

/// The inputs that a model shows.
pub(crate) fn inputs(schema: &Schema, shown: Shown) -> Vec<TensorShape> {
    let tensor =
        |name: &str, datatype, shape| TensorShape { name: name.to_owned(), datatype, shape };
    let column = |column: &Column| {
        let datatype = match column.kind {
            Kind::Numeric => shown.datatype(),
            Kind::Categorical => Datatype::Bytes,
        };
        tensor(&column.name, datatype, vec![-1])
    };
    match shown.layout(schema) {
        OipLayout::Rows => vec![tensor(ROW, Datatype::Bytes, vec![-1])],
        OipLayout::Columns => schema.columns().iter().map(column).collect(),
        OipLayout::Matrix => {
            let width = features(schema).count() as i64;
            let offsets = schema.columns().iter().filter(|column| column.role == Role::Offset);
            let matrix = tensor(INPUT, shown.datatype(), vec![-1, width]);
            std::iter::once(matrix).chain(offsets.map(column)).collect()
        }
    }
}

fn write_tensor(out: &mut Vec<u8>, tensor: &TensorShape) {
    out.extend_from_slice(b"{\"name\":");
    json::write_str(out, &tensor.name);
    let rest =
        format!(",\"datatype\":\"{}\",\"shape\":{:?}}}", tensor.datatype.name(), tensor.shape);
    // The list's own spelling is JSON's.
    out.extend_from_slice(rest.as_bytes());
}
