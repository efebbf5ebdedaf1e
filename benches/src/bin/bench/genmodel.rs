//! The rival and judge: h2o-genmodel, where Java and its jar can be had.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::engine::Engine;
use crate::{Failure, cache, root};

/// The release that judges the answers too.
const RELEASE: &str = "3.46.0.11";
/// Set it to a jar that holds `hex.genmodel.tools.PredictCsv` to use that one.
const JAR: &str = "H2O_GENMODEL_JAR";

pub(crate) struct Genmodel {
    jar: PathBuf,
    /// First line of `java -version`.
    pub(crate) java: String,
    /// For the report.
    pub(crate) name: String,
}

impl Genmodel {
    /// Finds Java and the jar; the jar is taken from the h2o wheel if nobody names one.
    ///
    /// # Errors
    /// What is missing, in words that can stand in the report.
    pub(crate) fn find() -> Result<Self, Failure> {
        let version = Command::new("java").arg("-version").output();
        let version = version.map_err(|cause| format!("no Java here ({cause})"))?;
        let text = String::from_utf8_lossy(&version.stderr).into_owned();
        let java = text.lines().next().unwrap_or("java").to_owned();
        let (jar, name) = match std::env::var_os(JAR) {
            Some(jar) => (PathBuf::from(jar), format!("genmodel ({JAR})")),
            None => (from_wheel()?, format!("genmodel {RELEASE}")),
        };
        if !jar.is_file() {
            return Err(format!("{} is no file ({JAR})", jar.display()).into());
        }
        Ok(Self { jar, java, name })
    }

    /// Starts `rivals/Genmodel.java`: modes `score`, `typed`, `contributions`, `load`.
    pub(crate) fn start(&self, mode: &str, model: &Path, rows: &Path) -> Result<Engine, Failure> {
        let mut command = Command::new("java");
        command.arg("-Xmx4g").arg("-cp").arg(&self.jar);
        command.arg(root().join("benches/rivals/Genmodel.java")).arg(mode).arg(model).arg(rows);
        Engine::start(&self.name, command)
    }

    /// The call of `PredictCsv`, with the heap that the h2o Python client gives it.
    pub(crate) fn predict_csv(&self, model: &Path, input: &Path, output: &Path) -> Command {
        let mut command = Command::new("java");
        command.arg("-Xmx4g").arg("-cp").arg(&self.jar).arg("hex.genmodel.tools.PredictCsv");
        command.arg("--mojo").arg(model).arg("--input").arg(input).arg("--output").arg(output);
        command.args(["--decimal", "--setConvertInvalidNum"]);
        command
    }
}

/// `h2o.jar` out of the wheel on the package index, kept for the next run.
fn from_wheel() -> Result<PathBuf, Failure> {
    let folder = cache()?;
    let jar = folder.join(format!("h2o-{RELEASE}.jar"));
    if jar.is_file() {
        return Ok(jar);
    }
    let requirement = format!("h2o=={RELEASE}");
    python(["-m", "pip", "download", "--quiet", "--no-deps", "--dest"], &folder, &requirement)?;
    let unpack = "import sys, glob, os, zipfile, shutil\n\
        folder, jar = sys.argv[1:]\n\
        wheel = glob.glob(os.path.join(folder, 'h2o-*.whl'))[0]\n\
        entry = zipfile.ZipFile(wheel).open('h2o/backend/bin/h2o.jar')\n\
        shutil.copyfileobj(entry, open(jar + '.part', 'wb'))\n\
        os.remove(wheel)\n\
        os.replace(jar + '.part', jar)\n";
    python(["-c", unpack], &folder, &jar)?;
    Ok(jar)
}

fn python<const N: usize>(
    arguments: [&str; N],
    folder: &Path,
    last: impl AsRef<std::ffi::OsStr>,
) -> Result<(), Failure> {
    let mut command = Command::new("python3");
    command.args(arguments).arg(folder).arg(last).stdout(Stdio::null());
    let what = "h2o.jar cannot be had from the package index";
    let status = command.status().map_err(|cause| format!("{what}: no python3 ({cause})"))?;
    if !status.success() {
        return Err(format!("{what}; name one by {JAR}").into());
    }
    Ok(())
}
