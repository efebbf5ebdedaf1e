//! More than can be done: what is still answered, how soon the rest is refused, and whether health
//! checks notice.
//!
//! A request is so many rows of a forest, scored or explained, that it takes 5 to 50 ms of processor
//! time; how many is found at the start, and what they take is said. Scored rows come as tensors of 4
//! bytes a cell: ten times their capacity still is most of a gigabyte a second. Capacity is what two
//! callers get who ask again at once, before and after each load: the machine is faster at one time
//! than at another.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use super::Times;
use super::load::{Event, Load, Phase, Seen, drive, quantile_ms, saturate};
use super::rivals::RIVALS;
use super::server::{Cores, Server};
use super::stemson::{Rows, Setup, infer_path};
use super::wire::Ask;
use crate::Failure;
use crate::peers::Peers;
use crate::report::{Report, grouped};
use crate::rows::{model, raw_rows};

const CASE: &str = "gbm500d8";
const COLUMNS: usize = 40;
/// What the other server has.
const FOREST: &str = "gbm_100_d6";
const FOREST_COLUMNS: usize = 32;
/// Different requests.
const ASKS: usize = 8;
/// How much more than capacity.
const LOADS: [f64; 3] = [2.0, 5.0, 10.0];
/// What is done with the rows, how the request says so, its processor time and deadline in ms.
const REQUESTS: [(&str, &str, u64, u64); 3] = [
    ("explained", ",\"contributions\":true", 10, 250),
    ("explained", ",\"contributions\":true", 50, 500),
    ("scored", "", 5, 250),
];
/// Before and after the overload.
const CALM: f64 = 0.5;

/// A server, its requests of a given length, and how they are made.
struct Subject<'a> {
    server: &'a Server,
    title: String,
    ask: &'a dyn Fn(usize, usize) -> Vec<Ask>,
    service: Duration,
    deadline: Duration,
}

/// What is known of a load besides its requests.
struct Found<'a> {
    title: &'a str,
    /// Requests in a second.
    load: f64,
    /// So many times the capacity before it.
    times: f64,
    /// Good answers in a second that two callers got, the mean of before and after.
    capacity: f64,
    /// See [`first_thread`].
    first_thread: f64,
}

/// When the overload has settled: what its first moment finds is an empty queue.
fn settled(phases: &[Phase; 3]) -> Duration {
    phases[0].lasts + phases[1].lasts / 8
}

/// The share of its core that a server's first thread takes during the overload.
fn first_thread(server: &Server, phases: &[Phase; 3]) -> f64 {
    std::thread::sleep(settled(phases));
    let (begun, before) = (Instant::now(), server.first_thread());
    std::thread::sleep((phases[0].lasts + phases[1].lasts).saturating_sub(settled(phases)));
    let spent = server.first_thread().saturating_sub(before);
    spent.as_secs_f64() / begun.elapsed().as_secs_f64()
}

pub(super) fn run(
    report: &mut Report,
    cores: &Cores,
    scratch: &Path,
    times: Times,
) -> Result<(), Failure> {
    let mut text = String::from(
        "| overload | load | good answers, of capacity | late, of those let in | first thread's share of \
         the core | answered, p50, p99 ms | refused, p50, p99 ms | health p99 ms | recovered after s \
         | generator late p99, max ms |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    let rows = Rows::load(&raw_rows(CASE, 20_000)?, COLUMNS)?;
    let mut setup = Setup::new(scratch, model(CASE));
    // Every row is computed, however often it comes.
    "[cache]\nbackend = \"none\"".clone_into(&mut setup.config);
    let (server, _) = setup.start(cores)?;
    for (what, parameters, service_ms, deadline_ms) in REQUESTS {
        let timeout = [format!("x-request-timeout: {deadline_ms}")];
        let ask =
            |rows_each, n| rows.binary(&infer_path(), (rows_each, true), n, &timeout, parameters);
        let subject = Subject {
            server: &server,
            title: format!("stemson, {what}"),
            ask: &ask,
            service: Duration::from_millis(service_ms),
            deadline: Duration::from_millis(deadline_ms),
        };
        subject.measure(&LOADS, times, &mut text)?;
    }
    drop(server);
    if let Err(why) = beside(cores, scratch, times, &mut text) {
        report.note(format!("Overload beside others skipped: {why}"));
    }
    report.table(&text);
    Ok(())
}

/// The same for a server with an executor.
fn beside(cores: &Cores, scratch: &Path, times: Times, text: &mut String) -> Result<(), Failure> {
    let forest = Peers::find()?.forest(FOREST)?;
    let rows = Rows::load(&forest.rows(), FOREST_COLUMNS)?;
    let fastapi = &RIVALS[0];
    let server = fastapi.start(cores, scratch, &forest.folder.join("lightgbm.txt"))?;
    let ask = |rows_each, n| rows.http(&infer_path(), rows_each, n, &[]);
    let subject = Subject {
        server: &server,
        title: format!("{}, scored", fastapi.name),
        ask: &ask,
        service: Duration::from_millis(5),
        deadline: Duration::from_millis(250),
    };
    subject.measure(&LOADS[..1], times, text)
}

impl Subject<'_> {
    fn measure(&self, loads: &[f64], times: Times, text: &mut String) -> Result<(), Failure> {
        let (rows, service_ms) = self.calibrate(times)?;
        let asks = (self.ask)(rows, ASKS);
        let capacity = || {
            let (good, took) = saturate(self.server.http, &asks, 2, 2 * times.turn)?;
            Ok::<_, Failure>(good as f64 / took.as_secs_f64())
        };
        let title = format!(
            "{}: {} rows, {service_ms:.0} ms, deadline {} ms",
            self.title,
            grouped(rows as f64),
            self.deadline.as_millis()
        );
        let mut before = capacity()?;
        for load in loads {
            let phases = [
                Phase { per_second: CALM * before, lasts: times.overload / 4 },
                Phase { per_second: load * before, lasts: times.overload },
                Phase { per_second: CALM * before, lasts: times.overload },
            ];
            let health = (self.server.http, Ask::get("/v2/health/live"));
            let asked = Load { address: self.server.http, asks: &asks, health };
            let (seen, first_thread) = std::thread::scope(|scope| {
                let watch = scope.spawn(|| first_thread(self.server, &phases));
                (drive(&asked, &phases), watch.join())
            });
            let after = capacity()?;
            let found = Found {
                title: &title,
                load: load * before,
                times: *load,
                capacity: f64::midpoint(before, after),
                first_thread: first_thread.map_err(|_| "the watch panicked")?,
            };
            self.line(&found, &phases, &seen?, text)?;
            before = after;
        }
        Ok(())
    }

    /// Rows that take about as much processor time as wanted, and how much they take, in ms.
    fn calibrate(&self, times: Times) -> Result<(usize, f64), Failure> {
        // From one row: on a busy machine more of the dear ones may already be late.
        let (mut rows, mut took) = (1, 0.0);
        for step in 0..4 {
            let asks = (self.ask)(rows, ASKS);
            let before = self.server.processor();
            let (good, _) = saturate(self.server.http, &asks, 1, times.turn / 2)?;
            let spent = self.server.processor().saturating_sub(before);
            if good == 0 {
                return Err(format!("{}: no good answer to {rows} rows", self.title).into());
            }
            took = spent.as_secs_f64() / good as f64;
            if step < 3 {
                let wanted = rows as f64 * self.service.as_secs_f64() / took;
                rows = (wanted.round() as usize).clamp(1, 100_000);
            }
        }
        Ok((rows, took * 1e3))
    }

    fn line(
        &self,
        found: &Found<'_>,
        phases: &[Phase; 3],
        seen: &Seen,
        text: &mut String,
    ) -> Result<(), Failure> {
        let (begins, ends) = (phases[0].lasts, phases[0].lasts + phases[1].lasts);
        let settled = settled(phases);
        let is_in_time = |it: &&Event| it.is_good() && it.latency() <= self.deadline;
        let good = seen.load.iter().filter(is_in_time);
        let good = good.filter(|it| it.done >= settled && it.done < ends).count();
        let share = good as f64 / (ends.saturating_sub(settled)).as_secs_f64() / found.capacity;
        let during = || seen.between(settled, ends).iter();
        let let_in = during().filter(|it| it.status != 503).count().max(1);
        let late = during().filter(|it| it.status != 503 && !is_in_time(it)).count();
        let late = late as f64 / let_in as f64;
        let latency = |is: &dyn Fn(&Event) -> bool| {
            let at = |share| quantile_ms(during().filter(|it| is(it)).map(Event::latency), share);
            if during().any(is) {
                format!("{:.1}, {:.1}", at(0.5), at(0.99))
            } else {
                "none".to_owned()
            }
        };
        let probes = seen.health.iter().filter(|it| it.due >= begins && it.due < ends);
        let health = quantile_ms(probes.map(Event::latency), 0.99);
        let mut bad = seen.load.iter().filter(|it| it.due >= ends && !is_in_time(it));
        let last_bad = bad.next_back();
        let recovered = last_bad.map_or(Duration::ZERO, |it| it.due.saturating_sub(ends));
        let [behind, furthest] = seen.lateness_ms();
        writeln!(
            text,
            "| {} | {}x, {}/s | {:.0} % | {:.1} % | {:.0} % | {} | {} | {health:.1} | {:.1} \
             | {behind:.2}, {furthest:.1} |",
            found.title,
            found.times,
            grouped(found.load),
            100.0 * share,
            100.0 * late,
            100.0 * found.first_thread,
            latency(&Event::is_good),
            latency(&|it| it.status == 503),
            recovered.as_secs_f64(),
        )?;
        Ok(())
    }
}
