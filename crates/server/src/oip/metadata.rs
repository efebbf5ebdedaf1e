//! What a model takes and answers, as the protocol shows it.

use axum::body::Bytes;
use stemson_mojo::{Kind, Model, Role};
use stemson_serving::{Deployment, Revision};

use super::INPUT;
use super::encode::OutputTensor;
use crate::json;

/// `{"name","version","extensions"}` of the server.
pub(super) fn server() -> Bytes {
    let version = env!("CARGO_PKG_VERSION");
    format!("{{\"name\":\"stemson\",\"version\":\"{version}\",\"extensions\":[]}}").into()
}

/// `{"name","versions","platform","inputs","outputs"}` of one revision.
///
/// Inputs are shown as one matrix where all columns are numeric, else column by column.
pub(super) fn model(deployment: &Deployment, revision: &Revision) -> Bytes {
    let model = revision.model();
    let mut out = b"{\"name\":".to_vec();
    json::write_str(&mut out, deployment.name().as_str());
    out.extend_from_slice(b",\"versions\":[");
    let warm = deployment.warm();
    let mut numbers: Vec<u64> = warm.revisions().map(|revision| revision.number()).collect();
    numbers.sort_unstable();
    json::write_list(&mut out, numbers, |out, number| json::write_str(out, &number.to_string()));
    out.extend_from_slice(b"],\"platform\":\"h2o_mojo\",\"inputs\":[");
    write_inputs(&mut out, model);
    out.extend_from_slice(b"],\"outputs\":[");
    json::write_list(&mut out, OutputTensor::all(model.category()), |out, output| {
        write_tensor(out, output.name(), output.datatype(model), output.width(model));
    });
    let parameters = format!(
        "],\"parameters\":{{\"digest\":\"{}\",\"number\":{},\"algorithm\":\"{}\",\
         \"category\":\"{}\"}}}}",
        revision.digest(),
        revision.number(),
        model.algorithm(),
        model.category().as_str(),
    );
    out.extend_from_slice(parameters.as_bytes());
    out.into()
}

fn write_inputs(out: &mut Vec<u8>, model: &Model) {
    let columns = model.schema().columns();
    let features = columns.iter().filter(|column| column.role == Role::Feature);
    if features.clone().all(|column| column.kind == Kind::Numeric) {
        write_tensor(out, INPUT, "FP64", Some(features.count()));
        for offset in columns.iter().filter(|column| column.role == Role::Offset) {
            out.push(b',');
            write_tensor(out, &offset.name, "FP64", None);
        }
        return;
    }
    json::write_list(out, columns, |out, column| {
        let datatype = match column.kind {
            Kind::Numeric => "FP64",
            Kind::Categorical => "BYTES",
        };
        write_tensor(out, &column.name, datatype, None);
    });
}

fn write_tensor(out: &mut Vec<u8>, name: &str, datatype: &str, width: Option<usize>) {
    out.extend_from_slice(b"{\"name\":");
    json::write_str(out, name);
    let width = width.map_or(String::new(), |width| format!(",{width}"));
    let rest = format!(",\"datatype\":\"{datatype}\",\"shape\":[-1{width}]}}");
    out.extend_from_slice(rest.as_bytes());
}
