//! From what was seen to who is to blame.
//!
//! A callback's time is taken apart: waiting for a processor (the machine), for the interpreter
//! lock that another thread holds (the price of threads), garbage collection, and the rest. Only
//! the rest is the callback's own, and only a rest above the threshold is a block. Whose it is say
//! the stacks that were sampled meanwhile: the innermost line of the application.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::sampler::{Doing, Frame, Sample, Seen};
use super::tape::Call;

/// What holds the loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Computes with the global interpreter lock: Python code, or C code that keeps it.
    HoldsGil,
    /// Computes without it, as `NumPy` does.
    ReleasesGil,
    /// Computes; whether with the lock could not be seen.
    Computes,
    /// Waits: for time, a socket, a lock.
    Sleeps,
}

impl Kind {
    fn words(self) -> &'static str {
        match self {
            Self::HoldsGil => "computes and holds the GIL",
            Self::ReleasesGil => "computes and releases the GIL",
            Self::Computes => "computes",
            Self::Sleeps => "waits",
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.words())
    }
}

/// One place on the way to what blocked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hop {
    /// Below the application's folder where it lies there.
    pub path: String,
    /// From 1.
    pub line: i64,
    /// The function's name.
    pub function: String,
}

/// A function that held the loop for longer than the threshold.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// How it held the loop.
    pub kind: Kind,
    /// The application's lines, innermost first. Empty where a library held the loop and no line
    /// of the application was on the stack.
    pub chain: Vec<Hop>,
    /// The innermost line, where that is a library's.
    pub library: Option<Hop>,
    /// How often.
    pub blocks: usize,
    /// Of all blocks together, milliseconds.
    pub total_ms: f64,
    /// Of the longest, milliseconds.
    pub max_ms: f64,
    /// What to do.
    pub fix: &'static str,
}

/// Lateness that is not the application's, and what could not be told.
#[derive(Debug, Default, Clone, Copy, Serialize)]
pub struct Aside {
    /// Waiting for a processor, milliseconds.
    pub run_queue_ms: f64,
    /// Waiting for the interpreter lock of a thread that was rightly given the work, milliseconds.
    pub gil_ms: f64,
    /// Garbage collection, milliseconds.
    pub collector_ms: f64,
    /// Blocks of which no stack was seen.
    pub unseen: usize,
    /// Blocks seen once only and not long enough to be sure of.
    pub unsure: usize,
}

/// Which files are the application's.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) foreign: Vec<String>,
    pub(super) own: Option<String>,
    /// What paths are shown below of.
    pub(super) base: String,
}

impl Places {
    fn is_own(&self, file: &str) -> bool {
        let is_foreign = |file: &str| self.foreign.iter().any(|folder| below(file, folder));
        match &self.own {
            _ if !is_code(file) => false,
            Some(own) if is_foreign(own) => below(file, own),
            _ => !is_foreign(file) && !file.contains("/site-packages/"),
        }
    }

    fn hop(&self, frame: &Frame) -> Hop {
        let short = frame.file.strip_prefix(&self.base).map(|rest| rest.trim_start_matches('/'));
        let packaged = frame.file.rsplit_once("/site-packages/").map(|(_, rest)| rest);
        let path = short.filter(|_| self.is_own(&frame.file)).or(packaged).unwrap_or(&frame.file);
        Hop {
            path: path.to_owned(),
            line: frame.line,
            function: plain_name(&frame.function).to_owned(),
        }
    }
}

fn below(file: &str, folder: &str) -> bool {
    file.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// Blocks of one function.
#[derive(Default)]
struct Group {
    /// Milliseconds by kind.
    kinds: BTreeMap<Kind, f64>,
    /// How often each stack was seen.
    stacks: Vec<(Vec<Frame>, usize)>,
    blocks: usize,
    samples: usize,
    max_ms: f64,
}

impl Group {
    fn add(&mut self, kind: Kind, ms: f64, samples: &[(&Sample, f64)]) {
        *self.kinds.entry(kind).or_default() += ms;
        self.blocks += 1;
        self.max_ms = self.max_ms.max(ms);
        self.samples += samples.len();
        for (sample, _) in samples {
            match self.stacks.iter_mut().find(|(frames, _)| *frames == sample.frames) {
                Some((_, count)) => *count += 1,
                None => self.stacks.push((sample.frames.clone(), 1)),
            }
        }
    }

    /// One late callback may be an accident of the machine that nothing counts.
    fn is_sure(&self, threshold_ms: f64) -> bool {
        self.blocks > 1 || self.max_ms >= 3.0 * threshold_ms && self.samples > 2
    }
}

/// Names what held the loop.
///
/// `singly`: whether callbacks were timed one by one. Where only beats were, one late beat may be the
/// sum of many short stays in a library, so libraries are not named without a line of the
/// application.
pub(super) fn judge(
    seen: &Seen,
    threshold: Duration,
    places: &Places,
    singly: bool,
) -> (Vec<Finding>, Aside) {
    let threshold_ms = threshold.as_secs_f64() * 1e3;
    let mut aside = Aside::default();
    let mut groups: BTreeMap<(String, String), Group> = BTreeMap::new();
    for call in &seen.calls {
        let from = seen.samples.partition_point(|sample| sample.at < call.began);
        let to = seen.samples.partition_point(|sample| sample.at <= call.ended);
        let samples = seen.samples.get(from..to).unwrap_or_default();
        let parts = Parts::of(call, samples);
        aside.run_queue_ms += parts.run_queue;
        aside.gil_ms += parts.gil;
        aside.collector_ms += parts.collector;
        if parts.own < threshold_ms {
            continue;
        }
        // A callback may hold the loop in several functions, one after the other; and where only
        // beats are seen, several callbacks stand between two.
        let functions = by_function(call, samples, places);
        let weight =
            |of_key: &[(&Sample, f64)]| of_key.iter().map(|(_, weight)| weight).sum::<f64>();
        let all: f64 = functions.values().map(|of_key| weight(of_key)).sum();
        aside.unseen += usize::from(functions.is_empty());
        for (key, of_key) in functions {
            let ms = parts.own * weight(&of_key) / all;
            if ms >= threshold_ms && (singly || places.is_own(&key.0)) {
                groups.entry(key).or_default().add(parts.kind(&of_key), ms, &of_key);
            }
        }
    }
    let (sure, unsure): (Vec<Group>, Vec<Group>) =
        groups.into_values().partition(|group| group.is_sure(threshold_ms));
    aside.unsure = unsure.len();
    let mut findings: Vec<Finding> = sure.into_iter().map(|group| finding(group, places)).collect();
    findings.sort_by(|a, b| b.total_ms.total_cmp(&a.total_ms));
    (findings, aside)
}

/// Where a callback's time went, milliseconds.
struct Parts {
    run_queue: f64,
    gil: f64,
    collector: f64,
    cpu: f64,
    cpu_of_all: f64,
    own: f64,
}

impl Parts {
    fn of(call: &Call, samples: &[Sample]) -> Self {
        let ms = |ns: u64| ns as f64 / 1e6;
        let wall = ms(call.ended.saturating_sub(call.began));
        let run_queue = ms(call.run_queue).min(wall);
        let collector = ms(call.collector).min(wall - run_queue);
        let cpu = (ms(call.cpu) - collector).clamp(0.0, wall - run_queue - collector);
        let off = wall - run_queue - collector - cpu;
        let of = |doing: Doing| samples.iter().filter(|it| it.doing == doing).count() as f64;
        let contended = of(Doing::Contended);
        let waiting = contended + of(Doing::Lock) + of(Doing::Waiting);
        let gil = if contended > 0.0 { off * contended / waiting } else { 0.0 };
        let own = wall - run_queue - collector - gil;
        Self { run_queue, gil, collector, cpu, cpu_of_all: ms(call.cpu_of_all), own }
    }

    /// What most of a function's time says. A lock may be one of a library's own threads, which
    /// compute meanwhile.
    fn kind(&self, samples: &[(&Sample, f64)]) -> Kind {
        let of = |doing: Doing| -> f64 {
            samples.iter().filter(|(it, _)| it.doing == doing).map(|(_, weight)| weight).sum()
        };
        let (mut free, mut waiting) = (of(Doing::Free), of(Doing::Waiting));
        let lock = if self.cpu_of_all >= self.own / 2.0 { &mut free } else { &mut waiting };
        *lock += of(Doing::Lock);
        let locked = of(Doing::Locked);
        if locked + free + waiting == 0.0 {
            return if self.cpu < self.own / 2.0 { Kind::Sleeps } else { Kind::Computes };
        }
        if waiting > locked.max(free) {
            Kind::Sleeps
        } else if free > locked {
            Kind::ReleasesGil
        } else {
            Kind::HoldsGil
        }
    }
}

/// The function that each sample was in, of the application's the innermost, else of the libraries',
/// with what its samples weigh.
fn by_function<'s>(
    call: &Call,
    samples: &'s [Sample],
    places: &Places,
) -> BTreeMap<(String, String), Vec<(&'s Sample, f64)>> {
    let mut functions: BTreeMap<_, Vec<(&Sample, f64)>> = BTreeMap::new();
    for (sample, weight) in samples.iter().zip(weights(call, samples)) {
        let own = sample.frames.iter().find(|frame| places.is_own(&frame.file));
        let outside = || sample.frames.iter().find(|frame| is_code(&frame.file));
        if let Some(frame) = own.or_else(outside)
            && weight > 0.0
        {
            let key = (frame.file.clone(), plain_name(&frame.function).to_owned());
            functions.entry(key).or_default().push((sample, weight));
        }
    }
    functions
}

/// The time that each sample stands for: of a thread that runs what it has run since the one before,
/// of one that waits what has passed. One that is ready and has no processor counts nothing, and may
/// be seen often: it is where another thread was woken.
fn weights(call: &Call, samples: &[Sample]) -> Vec<f64> {
    let begin = samples.first().map_or(0, |first| {
        first.cpu.saturating_sub(call.cpu.min(first.at.saturating_sub(call.began)))
    });
    let mut before = (call.began, begin);
    let weigh = |sample: &Sample| {
        let passed = sample.at.saturating_sub(before.0) as f64;
        let ran = sample.cpu.saturating_sub(before.1) as f64;
        before = (sample.at, sample.cpu);
        match sample.doing {
            Doing::Contended => 0.0,
            Doing::Locked | Doing::Free | Doing::Unknown => ran,
            Doing::Lock | Doing::Waiting => (passed - ran).max(0.0),
        }
    };
    let weights: Vec<f64> = samples.iter().map(weigh).collect();
    if weights.iter().any(|weight| *weight > 0.0) {
        return weights;
    }
    // The clock of the thread is not to be had, or did not tick: all are equal.
    samples.iter().map(|it| f64::from(u8::from(it.doing != Doing::Contended))).collect()
}

/// A file, and not ours.
fn is_code(file: &str) -> bool {
    !file.starts_with('<') && !file.ends_with("stemson_event_loop.py")
}

/// A function's name without the comprehensions inside of it.
fn plain_name(name: &str) -> &str {
    name.find(".<locals>.<").map_or(name, |end| &name[..end])
}

fn finding(group: Group, places: &Places) -> Finding {
    let total_ms = group.kinds.values().sum();
    let kind =
        group.kinds.iter().max_by(|a, b| a.1.total_cmp(b.1)).map_or(Kind::Computes, |k| *k.0);
    let stack = group.stacks.into_iter().max_by_key(|(_, count)| *count);
    let frames = stack.map(|(frames, _)| frames).unwrap_or_default();
    let own = frames.iter().filter(|frame| places.is_own(&frame.file));
    let mut chain: Vec<Hop> = own.map(|frame| places.hop(frame)).collect();
    chain.dedup_by(|outer, inner| outer.path == inner.path && outer.function == inner.function);
    let outside = frames.iter().find(|frame| is_code(&frame.file));
    let library = outside.filter(|frame| !places.is_own(&frame.file));
    let fix = fix(kind, &frames, chain.is_empty());
    Finding {
        kind,
        chain,
        library: library.map(|frame| places.hop(frame)),
        blocks: group.blocks,
        total_ms,
        max_ms: group.max_ms,
        fix,
    }
}

/// What to do, by the library that is on the stack and by the kind.
fn fix(kind: Kind, frames: &[Frame], framework: bool) -> &'static str {
    const LIBRARIES: &[(&str, &str)] = &[
        ("redis/", "use redis.asyncio and await the command"),
        ("psycopg2/", "use asyncpg, or psycopg's AsyncConnection, and await the query"),
        ("psycopg/", "use psycopg's AsyncConnection or asyncpg, and await the query"),
        ("pymysql/", "use an asynchronous driver (asyncmy, aiomysql) and await the query"),
        ("pymongo/", "use pymongo's AsyncMongoClient and await the call"),
        ("sqlalchemy/", "use create_async_engine and AsyncSession, and await the query"),
        ("requests/", "use httpx.AsyncClient and await the request"),
        ("urllib3/", "use httpx.AsyncClient and await the request"),
        ("httpx/_client.py", "use httpx.AsyncClient and await the request"),
        ("http/client.py", "use httpx.AsyncClient and await the request"),
        (
            "h2o/",
            "h2o starts a JVM or asks a cluster in each call: score the MOJO with Stemson instead, \
             or `await asyncio.to_thread(...)`",
        ),
    ];
    let on_stack = |part: &str| {
        let at = |file: &str| file.contains(&format!("/{part}"));
        frames.iter().take(24).any(|frame| at(&frame.file))
    };
    if let Some((_, fix)) = LIBRARIES.iter().find(|(part, _)| on_stack(part)) {
        return fix;
    }
    match kind {
        _ if framework => {
            "a library did this on the loop on the route's behalf: answer with less, or build the \
             response in `await asyncio.to_thread(...)` and return it ready"
        }
        Kind::Sleeps => {
            "await what it waits for (asyncio.sleep, an asynchronous driver), or hand it over: \
             `await asyncio.to_thread(f, ...)`"
        }
        Kind::ReleasesGil => {
            "hand it over: `await asyncio.to_thread(f, ...)` or `loop.run_in_executor(pool, f, ...)`; \
             the function is passed, not called"
        }
        Kind::HoldsGil | Kind::Computes => {
            "hand it over: `await loop.run_in_executor(pool, f, ...)`, with a ProcessPoolExecutor \
             where it is Python code, as threads share one GIL; models: score the MOJO with Stemson"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn places() -> Places {
        Places {
            foreign: vec![
                "/usr/lib/python3.11".to_owned(),
                "/app/.venv/lib/site-packages".to_owned(),
            ],
            own: Some("/app/src".to_owned()),
            base: "/app".to_owned(),
        }
    }

    fn sample(at: u64, doing: Doing, stack: &[(&str, i64, &str)]) -> Sample {
        let frame = |(file, line, function): &(&str, i64, &str)| Frame {
            file: (*file).to_owned(),
            line: *line,
            function: (*function).to_owned(),
        };
        Sample { at: at * MS, doing, cpu: 0, frames: stack.iter().map(frame).collect() }
    }

    const BUSY: &[(&str, i64, &str)] = &[
        ("/app/src/work.py", 3, "busy"),
        ("/app/src/main.py", 9, "route"),
        ("/app/.venv/lib/site-packages/fastapi/routing.py", 1, "app"),
        ("/usr/lib/python3.11/asyncio/events.py", 80, "_run"),
    ];
    const DRIVER: &[(&str, i64, &str)] = &[
        ("/app/.venv/lib/site-packages/redis/connection.py", 7, "read"),
        ("/app/src/main.py", 12, "cached"),
    ];

    /// `blocks` callbacks of 40 ms; cpu, run queue, collector in ms; what the samples saw.
    fn check(
        blocks: u64,
        cpu: u64,
        run_queue: u64,
        collector: u64,
        saw: &[Sample],
    ) -> (Vec<Finding>, Aside) {
        let mut seen = Seen::default();
        for block in 0..blocks {
            let began = block * 100 * MS;
            seen.calls.push(Call {
                began,
                ended: began + 40 * MS,
                cpu: cpu * MS,
                cpu_of_all: cpu * MS,
                run_queue: run_queue * MS,
                collector: collector * MS,
            });
            seen.samples.extend(saw.iter().cloned().map(|mut sample| {
                sample.at += began;
                sample
            }));
        }
        judge(&seen, Duration::from_millis(10), &places(), true)
    }

    #[test]
    fn names_the_line_and_the_way_to_it() {
        let (findings, _) =
            check(3, 39, 0, 0, &[sample(5, Doing::Locked, BUSY), sample(9, Doing::Locked, BUSY)]);
        let [finding] = findings.as_slice() else { panic!("{findings:?}") };
        assert_eq!(finding.kind, Kind::HoldsGil);
        let hops: Vec<_> = finding.chain.iter().map(|hop| (hop.path.as_str(), hop.line)).collect();
        assert_eq!(hops, [("src/work.py", 3), ("src/main.py", 9)]);
        assert_eq!((finding.blocks, finding.max_ms), (3, 40.0));
    }

    #[test]
    fn tells_the_kinds_apart() {
        for (cpu, doing, stack, kind) in [
            (39, Doing::Locked, BUSY, Kind::HoldsGil),
            (39, Doing::Free, BUSY, Kind::ReleasesGil),
            (39, Doing::Unknown, BUSY, Kind::Computes),
            (1, Doing::Waiting, DRIVER, Kind::Sleeps),
            (1, Doing::Lock, BUSY, Kind::Sleeps),
            (39, Doing::Lock, BUSY, Kind::ReleasesGil),
        ] {
            let (findings, _) = check(2, cpu, 0, 0, &[sample(5, doing, stack)]);
            assert_eq!(findings.iter().map(|f| f.kind).collect::<Vec<_>>(), [kind]);
        }
    }

    #[test]
    fn a_driver_is_named_and_its_asynchronous_twin() {
        let (findings, _) = check(2, 1, 0, 0, &[sample(5, Doing::Waiting, DRIVER)]);
        assert_eq!(findings[0].library.as_ref().unwrap().path, "redis/connection.py");
        assert_eq!(findings[0].chain[0].path, "src/main.py");
        assert!(findings[0].fix.contains("redis.asyncio"));
    }

    #[test]
    fn does_not_blame_the_application_for_others() {
        let contended = [sample(5, Doing::Contended, BUSY), sample(9, Doing::Contended, BUSY)];
        for (what, cpu, run_queue, collector, saw) in [
            ("the machine", 2, 35, 0, &[sample(5, Doing::Locked, BUSY)][..]),
            ("the collector", 39, 0, 34, &[sample(5, Doing::Locked, BUSY)]),
            ("a thread with the GIL", 2, 0, 0, &contended),
            ("nobody knows", 39, 0, 0, &[]),
        ] {
            let (findings, aside) = check(4, cpu, run_queue, collector, saw);
            assert!(findings.is_empty(), "{what}: {findings:?}");
            let noted = aside.run_queue_ms + aside.gil_ms + aside.collector_ms;
            assert!(noted > 100.0 || aside.unseen == 4, "{what}: {aside:?}");
        }
    }

    /// A thread that is woken takes the processor where it was woken.
    #[test]
    fn a_stack_that_stands_without_a_processor_counts_nothing() {
        let woken: &[_] = &[("/app/src/main.py", 20, "hands_over")];
        let mut saw = [2, 10, 20, 30].map(|at| sample(at, Doing::Free, woken)).to_vec();
        saw.extend([34, 38].map(|at| sample(at, Doing::Locked, BUSY)));
        for (sample, cpu) in saw.iter_mut().zip([1, 1, 1, 1, 8, 16]) {
            sample.cpu = cpu * MS;
        }
        let (findings, _) = check(3, 16, 24, 0, &saw);
        let names: Vec<_> = findings.iter().map(|it| it.chain[0].function.as_str()).collect();
        assert_eq!(names, ["busy"]);
    }

    #[test]
    fn once_is_not_enough_unless_it_is_long() {
        let (findings, aside) = check(1, 39, 15, 0, &[sample(5, Doing::Locked, BUSY)]);
        assert!(findings.is_empty());
        assert_eq!(aside.unsure, 1);
        let saw = [5, 9, 13].map(|at| sample(at, Doing::Locked, BUSY));
        assert_eq!(check(1, 39, 0, 0, &saw).0.len(), 1);
    }

    #[test]
    fn an_application_that_is_installed_is_its_own() {
        let places = Places {
            foreign: vec!["/usr/lib/python3.11".to_owned(), "/v/lib/site-packages".to_owned()],
            own: Some("/v/lib/site-packages/shop".to_owned()),
            base: "/".to_owned(),
        };
        for (file, own) in [
            ("/v/lib/site-packages/shop/api.py", true),
            ("/v/lib/site-packages/shopping/api.py", false),
            ("/v/lib/site-packages/fastapi/routing.py", false),
            ("<frozen importlib._bootstrap>", false),
        ] {
            assert_eq!(places.is_own(file), own, "{file}");
        }
    }
}
