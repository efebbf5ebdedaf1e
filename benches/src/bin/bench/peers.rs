//! Other runtimes of trees, from the package index, and forests in the format of each.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::engine::Engine;
use crate::{Failure, cache, root};

/// Engines of `rivals/peers.py`: its word for each, what it is called, and what pip installs.
///
/// The versions are those that were measured first. lleaves calls what newer llvmlite has no more.
const PEERS: [(&str, &str, &[&str]); 6] = [
    ("lightgbm", "LightGBM 4.7.0", &["lightgbm==4.7.0", "scikit-learn==1.9.1"]),
    ("xgboost", "XGBoost 3.2.0", &["xgboost-cpu==3.2.0"]),
    ("onedal", "oneDAL 2026.2", &["scikit-learn-intelex==2026.2.0"]),
    ("onnxruntime", "ONNX Runtime 1.32.0", &["onnxruntime==1.32.0", "onnx==1.23.2"]),
    ("lleaves", "lleaves 1.3.0", &["lleaves==1.3.0", "llvmlite==0.44.0"]),
    ("tl2cgen", "tl2cgen 1.0.0", &["tl2cgen==1.0.0", "treelite==4.8.1"]),
];

/// A folder with one forest in all formats, and its size.
pub(crate) struct Forest {
    pub(crate) folder: PathBuf,
    pub(crate) trees: f64,
    pub(crate) nodes: f64,
    pub(crate) leaves: f64,
}

impl Forest {
    pub(crate) fn model(&self) -> PathBuf {
        self.folder.join("model.zip")
    }

    pub(crate) fn rows(&self) -> PathBuf {
        self.folder.join("rows.f64")
    }
}

pub(crate) struct Peers {
    python: PathBuf,
    loops: PathBuf,
}

impl Peers {
    /// Makes a Python environment under the target folder, and what `loops.c` holds.
    ///
    /// # Errors
    /// If there is no Python, or `LightGBM`, which grows the forests, does not install.
    pub(crate) fn find() -> Result<Self, Failure> {
        let folder = cache()?;
        let environment = folder.join("python");
        let python = environment.join("bin/python");
        if !python.is_file() {
            let mut make = Command::new("python3");
            run(make.args(["-m", "venv"]).arg(&environment), "a Python environment")?;
        }
        for (word, name, packages) in PEERS {
            let done = environment.join(format!("{word}.installed"));
            let wanted = packages.join(" ");
            if fs::read_to_string(&done).is_ok_and(|found| found == wanted) {
                continue;
            }
            let mut pip = Command::new(&python);
            pip.args(["-m", "pip", "install", "--quiet"]).args(packages);
            match run(&mut pip, name) {
                Ok(()) => fs::write(&done, wanted)?,
                Err(why) if word == "lightgbm" => return Err(why),
                // `start` will say that it is missing.
                Err(_) => {}
            }
        }
        let loops = folder.join("loops.so");
        let mut compiler = Command::new("cc");
        compiler.args(["-O2", "-shared", "-fPIC", "-o"]).arg(&loops);
        run(compiler.arg(root().join("benches/rivals/loops.c")), "loops.c")?;
        Ok(Self { python, loops })
    }

    /// Grows a forest of `rivals/forests.py`, or finds it grown by the same script.
    pub(crate) fn forest(&self, name: &str) -> Result<Forest, Failure> {
        let folder = cache()?.join("forests").join(name);
        let script = root().join("benches/rivals/forests.py");
        let (text, done) = (fs::read_to_string(&script)?, folder.join("grown-by.py"));
        if !fs::read_to_string(&done).is_ok_and(|by| by == text) {
            drop(fs::remove_dir_all(&folder)); // There may be none.
            let mut grow = Command::new(&self.python);
            run(grow.arg(&script).arg(&folder).arg(name), name)?;
            fs::write(&done, text)?;
        }
        let shape = fs::read_to_string(folder.join("shape.txt"))?;
        let numbers: Vec<f64> = shape.split_whitespace().filter_map(|it| it.parse().ok()).collect();
        let [trees, nodes, leaves] = numbers[..] else {
            return Err(format!("{name}: its shape is `{shape}`").into());
        };
        Ok(Forest { folder, trees, nodes, leaves })
    }

    /// A model whose level sets are numbers: `rivals/numeric.py`.
    pub(crate) fn numeric(&self, model: &Path, rows: &Path) -> Result<PathBuf, Failure> {
        let made = cache()?.join("numeric.zip");
        let mut make = Command::new(&self.python);
        make.arg(root().join("benches/rivals/numeric.py")).arg(model).arg(rows).arg(&made);
        run(&mut make, "numeric.zip").map(|()| made)
    }

    /// Starts the engines that are installed and have the forest in their format; why others are
    /// missing goes to `notes`. `mode`: `score` or `contributions`.
    pub(crate) fn start(
        &self,
        words: &[&str],
        mode: &str,
        forest: &Forest,
        notes: &mut Vec<String>,
    ) -> Vec<Engine> {
        let mut engines = Vec::new();
        for (word, name, _) in PEERS.iter().filter(|(word, ..)| words.contains(word)) {
            let mut command = Command::new(&self.python);
            command.arg(root().join("benches/rivals/peers.py")).arg(word);
            command.arg(&forest.folder).arg(&self.loops).arg(mode).stderr(Stdio::null());
            match Engine::start(name, command) {
                Ok(engine) => engines.push(engine),
                Err(_) => notes.push(format!("{name} skipped for {}", shown(&forest.folder))),
            }
        }
        engines
    }
}

fn shown(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Runs a command of the set-up; what it prints to standard error is shown.
pub(crate) fn run(command: &mut Command, what: &str) -> Result<(), Failure> {
    let status = command.stdout(Stdio::null()).status();
    let status = status.map_err(|cause| format!("{what}: {cause}"))?;
    if !status.success() {
        return Err(format!("{what} cannot be had: `{command:?}` ended with {status}").into());
    }
    Ok(())
}
