//! Stemson as a server under test, and the requests that it is asked.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::server::{Cores, Server, free_address};
use super::wire::{self, Ask};
use crate::{Failure, program};

/// The name of the model everywhere.
pub(super) const MODEL: &str = "m";

/// What a server is started with.
#[derive(Debug, Clone)]
pub(super) struct Setup<'a> {
    pub(super) scratch: &'a Path,
    pub(super) model: PathBuf,
    /// Lines of the configuration besides listeners and model.
    pub(super) config: String,
    /// It may use all cores.
    pub(super) is_wide: bool,
}

impl<'a> Setup<'a> {
    pub(super) fn new(scratch: &'a Path, model: PathBuf) -> Self {
        Self { scratch, model, config: String::new(), is_wide: false }
    }

    /// Starts it with nothing kept from before. The address of the admin listener beside it.
    pub(super) fn start(&self, cores: &Cores) -> Result<(Server, std::net::SocketAddr), Failure> {
        let folder = self.scratch.join("stemson");
        drop(fs::remove_dir_all(&folder)); // There may be none.
        fs::create_dir_all(&folder)?;
        let [http, grpc, admin] = [free_address()?, free_address()?, free_address()?];
        let config = folder.join("stemson.toml");
        let model = self.model.display().to_string();
        let data = folder.join("data").display().to_string();
        let text = format!(
            "data_dir = {data:?}\n[server]\nhttp = \"{http}\"\ngrpc = \"{grpc}\"\nadmin = \"{admin}\"\n{}\n\
             [[model]]\nname = \"{MODEL}\"\npath = {model:?}\n",
            self.config,
        );
        fs::write(&config, text)?;
        let mut command = Command::new(program("stemson")?);
        command.arg("serve").arg("--config").arg(&config);
        let log = self.scratch.join("stemson.log");
        let at = (http, Some(grpc));
        let server =
            Server::start(cores, "stemson", command, at, ("/v2/health/ready", &log), self.is_wide)?;
        Ok((server, admin))
    }
}

/// Rows as the model sees them.
pub(super) struct Rows {
    pub(super) columns: usize,
    pub(super) cells: Vec<f64>,
}

impl Rows {
    pub(super) fn load(file: &Path, columns: usize) -> Result<Self, Failure> {
        let bytes = fs::read(file)?;
        // Four digits, and no missing values, which some of the others cannot be told.
        let tidy = |x: f64| if x.is_nan() { 0.0 } else { (x * 1e4).round() / 1e4 };
        let cells = bytes.as_chunks::<8>().0.iter().map(|it| tidy(f64::from_le_bytes(*it)));
        Ok(Self { columns, cells: cells.collect() })
    }

    /// Rows `n * rows..` and on, as often as there are any.
    fn part(&self, n: usize, rows: usize) -> impl Iterator<Item = f64> {
        let (first, len) = (n * rows * self.columns % self.cells.len(), rows * self.columns);
        self.cells[first..].iter().chain(self.cells.iter().cycle()).copied().take(len)
    }

    /// Different requests of so many rows each, by HTTP. `headers`: whole lines.
    pub(super) fn http(&self, path: &str, rows: usize, n: usize, headers: &[String]) -> Vec<Ask> {
        let ask = |n| {
            let data: Vec<_> = self.part(n, rows).map(|x| format!("{x}")).collect();
            let body = format!(
                "{{\"inputs\":[{{\"name\":\"input\",\"shape\":[{rows},{}],\"datatype\":\"FP64\",\
                 \"data\":[{}]}}]}}",
                self.columns,
                data.join(",")
            );
            let mut lines = vec!["content-type: application/json".to_owned()];
            lines.extend_from_slice(headers);
            Ask::post(path, &lines, body.as_bytes())
        };
        (0..n).map(ask).collect()
    }

    /// The same by HTTP with the tensor as bytes, of 4 each where they are `narrow`, else of 8.
    /// `parameters`: of the request, in JSON.
    pub(super) fn binary(
        &self,
        path: &str,
        (rows, narrow): (usize, bool),
        n: usize,
        headers: &[String],
        parameters: &str,
    ) -> Vec<Ask> {
        let datatype = if narrow { "FP32" } else { "FP64" };
        let ask = |n| {
            let tensor: Vec<u8> = if narrow {
                self.part(n, rows).flat_map(|x| (x as f32).to_le_bytes()).collect()
            } else {
                self.bytes(n, rows)
            };
            let head = format!(
                "{{\"parameters\":{{\"binary_data_output\":true{parameters}}},\"inputs\":[{{\
                 \"name\":\"input\",\"shape\":[{rows},{}],\"datatype\":\"{datatype}\",\
                 \"parameters\":{{\"binary_data_size\":{}}}}}]}}",
                self.columns,
                tensor.len()
            );
            let mut lines = vec![format!("inference-header-content-length: {}", head.len())];
            lines.extend_from_slice(headers);
            Ask::post(path, &lines, &[head.as_bytes(), &tensor].concat())
        };
        (0..n).map(ask).collect()
    }

    /// The same by gRPC.
    pub(super) fn grpc(&self, rows: usize, n: usize, timeout_ms: u64) -> Vec<Ask> {
        let ask = |n| {
            let message = wire::infer_message(MODEL, rows, self.columns, &self.bytes(n, rows));
            Ask::grpc(wire::MODEL_INFER, &message, timeout_ms)
        };
        (0..n).map(ask).collect()
    }

    fn bytes(&self, n: usize, rows: usize) -> Vec<u8> {
        self.part(n, rows).flat_map(f64::to_le_bytes).collect()
    }
}

/// Where predictions are asked for, in the protocol that all speak.
pub(super) fn infer_path() -> String {
    format!("/v2/models/{MODEL}/infer")
}
