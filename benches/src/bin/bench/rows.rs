//! The bench models, and their rows as doubles in files of the cache.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;

use stemson_benches::rows::{Format, Generator};
use stemson_mojo::{LoadOptions, Model};

use crate::{Failure, cache, root};

pub(crate) const MODELS: [&str; 9] = [
    "gbm100d6",
    "gbm100d6_num",
    "gbm500d8",
    "gbm_multi5",
    "drf50d20",
    "xgb300d8",
    "glm1000",
    "dl2x200",
    "se3",
];

pub(crate) fn model(case: &str) -> PathBuf {
    root().join("benches/models").join(case).join("model.zip")
}

/// Rows 0 to `n` of the generator, seed 1, as raw rows.
pub(crate) fn raw_rows(case: &str, n: u64) -> Result<PathBuf, Failure> {
    let folder = cache()?.join("rows");
    fs::create_dir_all(&folder)?;
    let file = folder.join(format!("{case}-{n}.f64"));
    let model = Model::load(&fs::read(model(case))?, &LoadOptions::default())?;
    let mut out = BufWriter::new(File::create(&file)?);
    Generator::new(&model, 1).write(&mut out, Format::F64, 0, n)?;
    out.flush()?;
    Ok(file)
}
