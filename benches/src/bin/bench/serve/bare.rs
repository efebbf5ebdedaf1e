//! `bench bare ADDRESS MODEL.zip`: the least that a server can be, to compare with: one route of
//! axum, serde's JSON, a thread. No checks, metrics, limits, deadlines or names.

use std::fs;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde::{Deserialize, Serialize};
use stemson_mojo::{Batch, LoadOptions, Model, Options, Output};

use super::stemson::infer_path;
use crate::Failure;

/// First argument of the program by which it becomes this server.
pub(crate) const WORD: &str = "bare";

#[derive(Deserialize)]
struct Request {
    inputs: Vec<Input>,
}

#[derive(Deserialize)]
struct Input {
    data: Vec<f64>,
}

#[derive(Serialize)]
struct Response {
    model_name: &'static str,
    outputs: [Tensor; 1],
}

#[derive(Serialize)]
struct Tensor {
    name: &'static str,
    shape: [usize; 1],
    datatype: &'static str,
    data: Vec<f64>,
}

fn infer(batch: &Mutex<Batch>, request: &Request) -> Response {
    let mut batch = batch.lock().unwrap_or_else(PoisonError::into_inner);
    batch.clear();
    batch.push_raw(request.inputs.first().map_or(&[], |input| &input.data));
    batch.score();
    let value = |row| match batch.output(row) {
        Ok(Output::Value(value)) => value,
        _ => f64::NAN,
    };
    let data: Vec<f64> = (0..batch.len()).map(value).collect();
    let tensor = Tensor { name: "predict", shape: [data.len()], datatype: "FP64", data };
    Response { model_name: "m", outputs: [tensor] }
}

pub(crate) fn serve(words: &[&str]) -> Result<(), Failure> {
    let [address, model] = words else { return Err("bare ADDRESS MODEL.zip expected".into()) };
    let model = Arc::new(Model::load(&fs::read(model)?, &LoadOptions::default())?);
    let batch = Arc::new(Mutex::new(Batch::new(model, Options::default())));
    let router = Router::new()
        .route("/v2/health/ready", get(|| async {}))
        .route(
            &infer_path(),
            post(async |State(batch): State<Arc<Mutex<Batch>>>, request: Json<Request>| {
                Json(infer(&batch, &request))
            }),
        )
        .with_state(batch);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(accept(address, router))
}

async fn accept(address: &str, router: Router) -> Result<(), Failure> {
    let listener = tokio::net::TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}
