//! What a model costs: time to the first answer, memory, time per row.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stemson_mojo::{Batch, Cell, LoadOptions, Model, Options};

use super::ArtifactError;
use super::report::Figures;

/// Rows that are asked one by one.
const ASKED_MAX: usize = 5_000;
/// And how long at most.
const TIME_MAX: Duration = Duration::from_millis(500);

pub(super) fn measure(path: &Path, model: &Arc<Model>) -> Result<Figures, ArtifactError> {
    let before = resident_bytes();
    let start = Instant::now();
    let read = std::fs::read(path);
    let bytes =
        read.map_err(|cause| ArtifactError::Read { path: path.display().to_string(), cause })?;
    // What loaded once loads again.
    let options = LoadOptions { genmodel_quirks: true, ..LoadOptions::default() };
    let cold =
        Model::load(&bytes, &options).map_err(|cause| ArtifactError::Rows(cause.to_string()))?;
    let mut batch = Batch::new(Arc::new(cold), Options::default());
    ask(&mut batch, 0);
    let cold_start = start.elapsed();
    drop(bytes);
    let resident = resident_bytes().zip(before).map(|(after, before)| after.saturating_sub(before));
    let mut times = Vec::with_capacity(ASKED_MAX);
    let end = Instant::now() + TIME_MAX;
    while times.len() < ASKED_MAX && (times.len() < 20 || Instant::now() < end) {
        let start = Instant::now();
        ask(&mut batch, times.len());
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let at = |share: f64| {
        let place = (times.len() as f64 * share) as usize;
        times[place.min(times.len() - 1)].as_secs_f64() * 1e6
    };
    Ok(Figures {
        cold_start_ms: cold_start.as_secs_f64() * 1e3,
        model_bytes: model.size().memory_bytes,
        resident_bytes: resident,
        rows_asked: times.len(),
        p50_us: at(0.5),
        p90_us: at(0.9),
        p99_us: at(0.99),
        max_us: at(1.0),
    })
}

/// One row, decoded, scored and read: numbers around zero, levels in turn.
fn ask(batch: &mut Batch, number: usize) {
    let model = Arc::clone(batch.model());
    let cell = |(place, column): (usize, &stemson_mojo::Column)| {
        let levels = column.levels.len();
        match levels {
            0 => Cell::Double(((number + place) % 17) as f64 * 0.25 - 2.0),
            levels => Cell::Level(((number + place) % levels) as u32),
        }
    };
    let row: Vec<Cell<'_>> = model.schema().columns().iter().enumerate().map(cell).collect();
    batch.clear();
    batch.push(&row);
    batch.score();
    let _ = black_box(batch.output(0).is_ok());
}

/// Resident memory of this process; `None` where the system does not tell.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}
