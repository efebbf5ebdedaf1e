//! Other servers, from the package index, each with the same forest by `LightGBM`.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::server::{Cores, Server, free_address};
use super::stemson::MODEL;
use crate::peers::run;
use crate::{Failure, cache, root};

/// A server by its name, what pip installs for it, and how it is started.
pub(super) struct Rival {
    pub(super) name: &'static str,
    packages: &'static [&'static str],
    start: fn(&Place<'_>) -> Result<Server, Failure>,
}

/// The versions are those that were measured first.
pub(super) const RIVALS: [Rival; 3] = [
    Rival {
        name: "FastAPI 0.165 + uvicorn",
        packages: &[
            "fastapi==0.165.0",
            "uvicorn==0.54.0",
            "uvloop==0.23.0",
            "httptools==0.9.0",
            "numpy==2.4.6",
            "lightgbm==4.7.0",
        ],
        start: fastapi,
    },
    Rival {
        name: "MLServer 1.7.1",
        packages: &["mlserver==1.7.1", "mlserver-lightgbm==1.7.1", "lightgbm==4.7.0"],
        start: mlserver,
    },
    Rival {
        name: "Triton (nvidia-pytriton 0.7.0)",
        packages: &["nvidia-pytriton==0.7.0", "lightgbm==4.7.0"],
        start: triton,
    },
];

/// Where a rival is started.
struct Place<'a> {
    name: &'static str,
    cores: &'a Cores,
    environment: PathBuf,
    scratch: PathBuf,
    forest: &'a Path,
}

impl Rival {
    /// Installs it if it is not there yet, and starts it with the forest of this file.
    ///
    /// # Errors
    /// It does not install or start here.
    pub(super) fn start(
        &self,
        cores: &Cores,
        scratch: &Path,
        forest: &Path,
    ) -> Result<Server, Failure> {
        let word = self.name.split(' ').next().unwrap_or(self.name).to_lowercase();
        let environment = environment(&word, self.packages)?;
        let scratch = scratch.join(word);
        drop(fs::remove_dir_all(&scratch)); // There may be none.
        fs::create_dir_all(&scratch)?;
        (self.start)(&Place { name: self.name, cores, environment, scratch, forest })
    }
}

/// A Python environment under the target folder with these packages.
fn environment(word: &str, packages: &[&str]) -> Result<PathBuf, Failure> {
    let folder = cache()?.join(format!("serve-{word}"));
    let (done, wanted) = (folder.join("installed.txt"), packages.join(" "));
    let is_there = folder.join("bin/python").exists();
    if is_there && fs::read_to_string(&done).is_ok_and(|found| found == wanted) {
        return Ok(folder);
    }
    let mut make = Command::new("python3");
    run(make.args(["-m", "venv", "--clear"]).arg(&folder), "a Python environment")?;
    let mut pip = Command::new(folder.join("bin/python"));
    run(pip.args(["-m", "pip", "install", "--quiet"]).args(packages), word)?;
    fs::write(done, wanted)?;
    Ok(folder)
}

impl Place<'_> {
    fn server(
        &self,
        mut command: Command,
        http: SocketAddr,
        grpc: Option<SocketAddr>,
    ) -> Result<Server, Failure> {
        // One core is what it gets; more threads would only wait for each other.
        command.env("OMP_NUM_THREADS", "1").current_dir(&self.scratch);
        let log = self.scratch.join("log.txt");
        let health = ("/v2/health/ready", log.as_path());
        Server::start(self.cores, self.name, command, (http, grpc), health, false)
    }
}

fn fastapi(place: &Place<'_>) -> Result<Server, Failure> {
    let http = free_address()?;
    let mut command = Command::new(place.environment.join("bin/uvicorn"));
    command.args(["serve_fastapi:app", "--no-access-log", "--app-dir"]);
    command.arg(root().join("benches/rivals")).args(["--port", &http.port().to_string()]);
    command.env("FOREST", place.forest).env("PYTHONDONTWRITEBYTECODE", "1");
    place.server(command, http, None)
}

fn mlserver(place: &Place<'_>) -> Result<Server, Failure> {
    let [http, grpc, metrics] = [free_address()?, free_address()?, free_address()?];
    let model = format!(
        "{{\"name\":\"{MODEL}\",\"implementation\":\"mlserver_lightgbm.LightGBMModel\",\
         \"parameters\":{{\"uri\":{:?}}}}}",
        place.forest.display().to_string()
    );
    let settings = format!(
        "{{\"host\":\"127.0.0.1\",\"http_port\":{},\"grpc_port\":{},\"metrics_port\":{},\
         \"parallel_workers\":0,\"debug\":false}}",
        http.port(),
        grpc.port(),
        metrics.port()
    );
    fs::write(place.scratch.join("model-settings.json"), model)?;
    fs::write(place.scratch.join("settings.json"), settings)?;
    let mut command = Command::new(place.environment.join("bin/mlserver"));
    command.args(["start", "."]);
    place.server(command, http, Some(grpc))
}

/// The server of the wheel by itself: the wheel's own Python interface costs a process more.
fn triton(place: &Place<'_>) -> Result<Server, Failure> {
    let python = place.environment.join("bin/python");
    let ask = "import sys, sysconfig; print(sysconfig.get_paths()['purelib'], \
               '%d.%d' % sys.version_info[:2])";
    let said = Command::new(&python).args(["-c", ask]).output()?.stdout;
    let said = String::from_utf8_lossy(&said).into_owned();
    let (packages, version) = said.trim().split_once(' ').ok_or("Python says no paths")?;
    let home = Path::new(packages).join("pytriton/tritonserver");
    let stub = "triton_python_backend_stub";
    let backends = home.join("backends");
    let made = home.join("python_backend_stubs").join(version).join(stub);
    fs::copy(made, backends.join("python").join(stub))?;
    let repository = place.scratch.join("models");
    let version = repository.join(MODEL).join("1");
    fs::create_dir_all(&version)?;
    fs::copy(root().join("benches/rivals/serve_triton.py"), version.join("model.py"))?;
    fs::copy(place.forest, version.join("lightgbm.txt"))?;
    fs::write(
        repository.join(MODEL).join("config.pbtxt"),
        "backend: \"python\"\nmax_batch_size: 128\n\
         input [{name: \"input\" data_type: TYPE_FP64 dims: [32]}]\n\
         output [{name: \"predict\" data_type: TYPE_FP64 dims: [1]}]\n\
         instance_group [{kind: KIND_CPU count: 1}]\n",
    )?;
    let [http, grpc, metrics] = [free_address()?, free_address()?, free_address()?];
    let mut command = Command::new(home.join("bin/tritonserver"));
    for (flag, at) in [("http", http), ("grpc", grpc), ("metrics", metrics)] {
        command.arg(format!("--{flag}-address=127.0.0.1"));
        command.arg(format!("--{flag}-port={}", at.port()));
    }
    command.arg("--model-repository").arg(&repository);
    command.arg(format!("--backend-directory={}", backends.display()));
    command.env("PACKAGES", packages);
    place.server(command, http, Some(grpc))
}
