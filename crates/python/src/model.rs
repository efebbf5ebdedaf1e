//! A model in Python.

use std::fs::File;
use std::io::BufWriter;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyMapping, PyString};
use stemson_batch::{BatchError, Compression, Format, Job, Source, Summary};
use stemson_mojo::{Batch, Cell, Kind, LoadOptions, Part, Role};

use crate::answers::{self, Answers};
use crate::columns::Columns;
use crate::errors;
use crate::options::Asked;
use crate::row::{Keys, Scalar, scalar, time_for_levels};
use crate::stream;

/// A MOJO, loaded. `stemson.Model` is its face.
#[pyclass(frozen, module = "stemson._native")]
#[derive(Debug)]
#[expect(clippy::struct_field_names, reason = "`Model` is its name in Python")]
pub(crate) struct Model {
    model: Arc<stemson_mojo::Model>,
    /// Names of the schema's columns.
    columns: Vec<Py<PyString>>,
    /// The form of rows for which nothing is asked.
    plain: Keys,
    /// Batches of one row, for whoever comes next.
    spare: Mutex<Vec<Batch>>,
}

/// Below this many rows one thread is enough: handing out takes longer.
const ROWS_PER_THREAD_MIN: usize = 2_000;

#[pymethods]
impl Model {
    /// Loads a model from the bytes of its zip file.
    #[new]
    fn new(py: Python<'_>, artifact: &Bound<'_, PyBytes>, genmodel_quirks: bool) -> PyResult<Self> {
        let bytes = artifact.as_bytes();
        let options = LoadOptions { genmodel_quirks, ..LoadOptions::default() };
        let loaded = py.detach(|| stemson_mojo::Model::load(bytes, &options));
        let model = Arc::new(loaded.map_err(|error| errors::load(py, &error))?);
        let names = model.schema().columns().iter();
        let columns = names.map(|column| PyString::intern(py, &column.name).unbind()).collect();
        let plain = keys(py, &model, &Asked::default().parts(py, &model)?, &[]);
        Ok(Self { model, columns, plain, spare: Mutex::default() })
    }

    /// SHA-256 of the artifact, 64 hex digits.
    #[getter]
    fn digest(&self) -> String {
        self.model.digest().to_string()
    }

    /// H2O's short name: `gbm`, `glm`, ...
    #[getter]
    fn algorithm(&self) -> &'static str {
        self.model.algorithm()
    }

    /// H2O's model category: `Binomial`, `Regression`, ...
    #[getter]
    fn category(&self) -> &'static str {
        self.model.category().as_str()
    }

    /// Facts: versions, sizes, what the model can explain, warnings.
    #[getter]
    fn info<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let model = &self.model;
        let info = PyDict::new(py);
        info.set_item("algorithm", model.algorithm())?;
        info.set_item("category", model.category().as_str())?;
        info.set_item("digest", self.digest())?;
        info.set_item("h2o_version", model.h2o_version())?;
        info.set_item("mojo_version", model.mojo_version())?;
        info.set_item("response", model.schema().response())?;
        info.set_item("labels", self.labels(py)?)?;
        info.set_item("offset", self.offset())?;
        info.set_item("default_threshold", model.default_threshold())?;
        info.set_item("trees", model.n_trees())?;
        info.set_item("is_exact", model.is_exact())?;
        let size = model.size();
        info.set_item("file_bytes", size.file_bytes)?;
        info.set_item("memory_bytes", size.memory_bytes)?;
        let offers = model.offers();
        let offered = PyDict::new(py);
        for (what, offer) in [
            ("contributions", &offers.contributions),
            ("leaf_paths", &offers.leaf_paths),
            ("leaf_ids", &offers.leaf_ids),
            ("staged", &offers.staged),
            ("distances", &offers.distances),
            ("calibrated", &offers.calibrated),
        ] {
            offered.set_item(what, offer.is_ok())?;
        }
        info.set_item("offers", offered)?;
        let warnings = model.warnings().iter().map(|warning| &warning.message);
        info.set_item("warnings", PyList::new(py, warnings)?)?;
        Ok(info)
    }

    /// The columns that the model takes, in its order: `(name, kind, levels, role)`.
    #[getter]
    fn columns<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let columns = self.model.schema().columns().iter().map(|column| {
            let role = if column.role == Role::Offset { "offset" } else { "feature" };
            (&column.name, column.kind.as_str(), &column.levels, role)
        });
        PyList::new(py, columns)
    }

    /// Their names.
    #[getter]
    fn names<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.columns.iter().map(|name| name.bind(py)))
    }

    /// Names of the classes; empty where there are none.
    #[getter]
    fn labels<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.model.labels())
    }

    /// The column that the model predicts.
    #[getter]
    fn response(&self) -> Option<&str> {
        self.model.schema().response()
    }

    /// The column that is added to the margin.
    #[getter]
    fn offset(&self) -> Option<&str> {
        let schema = self.model.schema();
        schema.offset().map(|index| schema.columns()[index].name.as_str())
    }

    /// Whether a row's columns are its words, whatever they are called: `Word2Vec`.
    #[getter]
    fn is_open(&self) -> bool {
        self.model.schema().is_open()
    }

    /// The decision threshold of a binomial model.
    #[getter]
    fn default_threshold(&self) -> Option<f64> {
        self.model.default_threshold()
    }

    /// Whether the model reads a column of this name.
    fn wants(&self, name: &str) -> bool {
        self.is_open() || self.model.schema().index_of(name).is_some()
    }

    /// Names of the columns of an answer with these explanations, the bias of contributions last.
    #[pyo3(signature = (*, contributions=false, leaf_assignment=None, staged=false, calibrated=false, distances=false))]
    #[expect(clippy::fn_params_excessive_bools, reason = "each is a keyword of its own in Python")]
    fn output_names<'py>(
        &self,
        py: Python<'py>,
        contributions: bool,
        leaf_assignment: Option<&str>,
        staged: bool,
        calibrated: bool,
        distances: bool,
    ) -> PyResult<Bound<'py, PyList>> {
        let asked =
            Asked::new(false, contributions, leaf_assignment, staged, calibrated, distances)?;
        keys(py, &self.model, &asked.parts(py, &self.model)?, &[]).list(py)
    }

    /// An empty frame of so many rows, to be filled and scored.
    fn frame(&self, rows: usize) -> Columns {
        Columns::new(Arc::clone(&self.model), rows)
    }

    /// Scores one row, a mapping from column to value.
    #[pyo3(signature = (row, *, strict=false, contributions=false, leaf_assignment=None, staged=false, calibrated=false, distances=false, row_index=0))]
    #[expect(clippy::fn_params_excessive_bools, reason = "each is a keyword of its own in Python")]
    #[expect(clippy::too_many_arguments, reason = "each is a keyword of its own in Python")]
    fn predict_row<'py>(
        &self,
        py: Python<'py>,
        row: &Bound<'py, PyAny>,
        strict: bool,
        contributions: bool,
        leaf_assignment: Option<&str>,
        staged: bool,
        calibrated: bool,
        distances: bool,
        row_index: u64,
    ) -> PyResult<Bound<'py, PyDict>> {
        let asked =
            Asked::new(strict, contributions, leaf_assignment, staged, calibrated, distances)?;
        let row = match row.cast::<PyDict>() {
            Ok(row) => row.clone(),
            Err(_) => as_dict(row)?,
        };
        let is_plain = asked == Asked::default();
        // Before the row is looked at: the model may not have what is asked for.
        let parts =
            if is_plain && !self.is_open() { None } else { Some(asked.parts(py, &self.model)?) };
        let spare = || self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let mut batch = (is_plain.then(|| spare().pop()).flatten())
            .unwrap_or_else(|| Batch::new(Arc::clone(&self.model), asked.options));
        batch.clear();
        batch.set_first_row(row_index);
        let answer = self.answer(&row, parts.as_deref(), &mut batch);
        if is_plain {
            spare().push(batch);
        }
        answer
    }

    /// Scores a frame: `Columns`, or anything with `__arrow_c_stream__`.
    #[pyo3(signature = (frame, *, strict=false, contributions=false, leaf_assignment=None, staged=false, calibrated=false, distances=false, complete=false, offset_column=None, na_words=Vec::new(), threads=None, row_index=0))]
    #[expect(clippy::fn_params_excessive_bools, reason = "each is a keyword of its own in Python")]
    #[expect(clippy::too_many_arguments, reason = "each is a keyword of its own in Python")]
    fn predict(
        &self,
        py: Python<'_>,
        frame: &Bound<'_, PyAny>,
        strict: bool,
        contributions: bool,
        leaf_assignment: Option<&str>,
        staged: bool,
        calibrated: bool,
        distances: bool,
        complete: bool,
        offset_column: Option<String>,
        na_words: Vec<String>,
        threads: Option<i64>,
        row_index: u64,
    ) -> PyResult<Answers> {
        let asked =
            Asked::new(strict, contributions, leaf_assignment, staged, calibrated, distances)?;
        let (schema, batches): (SchemaRef, Vec<RecordBatch>) = match frame.cast::<Columns>() {
            Ok(columns) => columns.borrow_mut().take(py)?,
            Err(_) => stream::import(frame)?,
        };
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        let cores = || thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let threads = match threads {
            // To ask for the cores takes longer than to score a few rows: files of the system say it.
            None if rows < 2 * ROWS_PER_THREAD_MIN => 1,
            None => cores().min(rows / ROWS_PER_THREAD_MIN),
            Some(threads @ ..1) => {
                let message = format!("threads is {threads}, expected 1 or more");
                return Err(PyValueError::new_err(message));
            }
            Some(threads) => usize::try_from(threads).unwrap_or(usize::MAX),
        };
        let job = Job {
            offset_column,
            na_words,
            complete,
            options: asked.options,
            calibrated: asked.calibrated,
            threads: NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN),
            ..Job::default()
        };
        let scored = py.detach(move || {
            // With the batches, which take long to free.
            let (schema, batches) = (schema, batches);
            stemson_batch::score_frame(&self.model, job, &schema, &batches, row_index)
        });
        let scored = scored.map_err(|error| errors::batch(py, &error))?;
        Ok(Answers { schema: scored.schema, tables: scored.tables, summary: scored.summary })
    }

    /// Scores a CSV file into another one: how many rows are refused, and the counts of converted
    /// values by column.
    #[pyo3(signature = (input, output, *, contributions=false, calibrated=false, na_words=Vec::new()))]
    fn predict_csv<'py>(
        &self,
        py: Python<'py>,
        input: &str,
        output: &str,
        contributions: bool,
        calibrated: bool,
        na_words: Vec<String>,
    ) -> PyResult<(u64, Bound<'py, PyDict>)> {
        let asked = Asked::new(false, contributions, None, false, calibrated, false)?;
        let scored = py.detach(|| self.score_csv(input, output, asked, na_words));
        let summary = scored.map_err(|error| errors::batch(py, &error))?;
        Ok((summary.refused, answers::converted(py, &summary)?))
    }
}

impl Model {
    /// Scores a file into another one.
    fn score_csv(
        &self,
        input: &str,
        output: &str,
        asked: Asked,
        na_words: Vec<String>,
    ) -> Result<Summary, BatchError> {
        let path = input.to_owned();
        let (compression, _) = Compression::of_name(input);
        let source = Source {
            name: input.to_owned(),
            format: Format::Csv,
            compression,
            open: Box::new(move || Ok(Box::new(File::open(path)?))),
            file: None,
        };
        let job = Job {
            inputs: vec![source],
            na_words,
            options: asked.options,
            output: Format::Csv,
            calibrated: asked.calibrated,
            threads: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            ..Job::default()
        };
        let output = File::create(output).map_err(|cause| BatchError::Write { cause })?;
        stemson_batch::run(&self.model, job, BufWriter::new(output), |_| {})
    }

    /// Scores a row in an empty batch. `parts`: where they are not those of `plain`.
    fn answer<'py>(
        &self,
        row: &Bound<'py, PyDict>,
        parts: Option<&[Part]>,
        batch: &mut Batch,
    ) -> PyResult<Bound<'py, PyDict>> {
        let py = row.py();
        self.push(row, batch)?;
        batch.score();
        batch.output(0).map_err(|error| errors::refused(py, error))?;
        match parts {
            None => self.plain.dict(py, batch, 0),
            Some(parts) => keys(py, &self.model, parts, batch.word_columns(0)).dict(py, batch, 0),
        }
    }

    /// Adds a row of Python's to a batch.
    fn push(&self, row: &Bound<'_, PyDict>, batch: &mut Batch) -> PyResult<()> {
        let py = row.py();
        if self.is_open() {
            let names = row.keys().iter().map(|key| key.extract::<String>());
            let names = names.collect::<PyResult<Vec<_>>>()?;
            let objects = row.values();
            let objects: Vec<_> = objects.iter().collect();
            let words: Vec<_> = (names.iter().zip(&objects))
                .map(|(name, object)| scalar(object, name))
                .collect::<PyResult<_>>()?;
            let cells: Vec<_> = (names.iter().zip(&words))
                .map(|(name, word)| match word {
                    Scalar::Text(_) => (name.as_str(), word.cell()),
                    _ => (name.as_str(), Cell::Absent),
                })
                .collect();
            batch.push_words(&cells);
            return Ok(());
        }
        let found = (self.columns.iter()).map(|name| row.get_item(name.bind(py)));
        let found = found.collect::<PyResult<Vec<_>>>()?;
        if found.iter().all(Option::is_none) && !found.is_empty() {
            return Err(self.foreign(py, row)?);
        }
        let columns = self.model.schema().columns();
        let values: Vec<_> = (found.iter().zip(columns))
            .map(|(value, column)| match value {
                Some(value) => match scalar(value, &column.name)? {
                    Scalar::Time(_) if column.kind == Kind::Categorical => {
                        Err(time_for_levels(py, &column.name))
                    }
                    scalar => Ok(scalar),
                },
                None => Ok(Scalar::Nothing),
            })
            .collect::<PyResult<_>>()?;
        let cells: Vec<_> = values.iter().map(Scalar::cell).collect();
        batch.push(&cells);
        Ok(())
    }

    /// A row that has no column of the model.
    fn foreign(&self, py: Python<'_>, row: &Bound<'_, PyDict>) -> PyResult<PyErr> {
        let first = self.model.schema().columns().first().map_or("", |column| &column.name);
        let keys = row.keys().repr()?.to_string();
        let keys: String = keys.chars().take(200).collect();
        let message =
            format!("the row has no column of the model: it has {keys}, expected `{first}`, ...");
        Ok(errors::input(py, &message))
    }
}

fn as_dict<'py>(row: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
    let py = row.py();
    if row.cast::<PyMapping>().is_ok() || row.hasattr("keys")? {
        let dict = PyDict::new(py);
        dict.call_method1("update", (row,))?;
        return Ok(dict);
    }
    let found = row.get_type().name()?.to_string();
    let message = format!("a row is a mapping from column to value, found {found}");
    Err(errors::input(py, &message))
}

/// The columns of an answer. `words`: of a row of words, which names its vectors.
fn keys(py: Python<'_>, model: &stemson_mojo::Model, parts: &[Part], words: &[String]) -> Keys {
    let names = |part: Part| {
        let names = model.part_columns(part);
        match part {
            Part::Embeddings => {
                let of_word =
                    |word: &String| names.iter().map(|n| format!("{word}_{n}")).collect::<Vec<_>>();
                words.iter().flat_map(of_word).collect()
            }
            _ => names,
        }
    };
    Keys::new(py, parts.iter().map(|part| (*part, names(*part))).collect())
}
