//! The herd at the end of an answer's life, and the hit rate by time to live, simulated: who computes
//! how often, and who waits.
//!
//! `cargo run --release -p stemson-serving --example herd` prints the tables of docs/guide/cache.md.
//!
//! Readers of one key come at random (Poisson) to one or more instances that share a store, as behind a
//! Redis; computing takes `cost`, the answer lives `ttl`. Time is simulated: nothing here waits.

#![expect(clippy::print_stdout, reason = "a program that prints tables")]

use std::collections::HashMap;
use std::time::{Duration, Instant};

use stemson_serving::cache::is_early_refresh;

const TTL: Duration = Duration::from_secs(10);
/// Lives of the answer that are simulated.
const LIVES: f64 = 500.0;

/// What keeps readers from computing the same.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Policy {
    Nothing,
    SingleFlight,
    /// `beta`, and whether there is single-flight too.
    Early(f64, bool),
    /// An answer that is read late in its life lives again: it cannot be stale.
    Renewed,
}

struct Figures {
    /// Computations per life.
    computations: f64,
    /// Most at a time.
    peak: usize,
    /// Share of readers that wait for a computation.
    waiting: f64,
}

struct Draws(u64);

impl Draws {
    /// Uniform in (0, 1); `SplitMix64`.
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64 + f64::EPSILON / 4.0
    }
}

fn simulate(policy: Policy, per_second: f64, cost: Duration, instances: usize) -> Figures {
    let mut draws = Draws(42);
    let start = some_time();
    let mut now = start;
    let mut expires = start;
    // Ends of what is being computed, by instance.
    let mut running: Vec<(Instant, usize)> = Vec::new();
    let (mut readers, mut waiting, mut computations, mut peak) = (0_u64, 0_u64, 0_u64, 0);
    let is_single =
        matches!(policy, Policy::SingleFlight | Policy::Early(_, true) | Policy::Renewed);
    while (now - start).as_secs_f64() < TTL.as_secs_f64() * LIVES {
        now += Duration::from_secs_f64(-draws.uniform().ln() / per_second);
        let instance = (draws.uniform() * instances as f64) as usize;
        for (end, _) in running.extract_if(.., |(end, _)| *end <= now) {
            expires = expires.max(end + TTL);
        }
        readers += 1;
        let is_fresh = now < expires;
        let is_refreshed = match policy {
            Policy::Early(beta, _) => is_early_refresh(now, expires, cost, beta, draws.uniform()),
            _ => false,
        };
        if is_fresh && policy == Policy::Renewed && expires - now < TTL / 10 {
            expires = now + TTL;
        }
        if is_fresh && !is_refreshed {
            continue;
        }
        // Whoever refreshes early answers at once with what there is.
        waiting += u64::from(!is_fresh);
        if is_single && running.iter().any(|(_, other)| *other == instance) {
            continue;
        }
        computations += 1;
        running.push((now + cost, instance));
        peak = peak.max(running.len());
    }
    Figures {
        computations: computations as f64 / LIVES,
        peak,
        waiting: waiting as f64 / readers as f64,
    }
}

#[expect(clippy::disallowed_methods, reason = "there is no other way to a first point in time")]
fn some_time() -> Instant {
    Instant::now()
}

/// Hours between two swaps, and hours that are simulated.
const HOURS: (f64, f64) = (1.0, 4.0);
const READS_PER_SECOND: f64 = 50.0;

/// How long answers live.
#[derive(Debug, Clone, Copy)]
struct Life {
    name: &'static str,
    hours: f64,
    /// Part of its life after which a read computes an answer anew, as if it could have aged.
    refreshed: Option<f64>,
    /// Whether a late read renews it.
    is_renewed: bool,
}

/// Share of reads that find an answer, and computations of what was known, per 1,000 reads.
fn hit_rate(life: Life, rows: usize) -> (f64, f64) {
    let mut draws = Draws(7);
    // Zipf: the k-th row is asked for 1 / k as often as the first.
    let mut sum = 0.0;
    let cumulative: Vec<f64> = (1..=rows)
        .map(|k| {
            sum += 1.0 / k as f64;
            sum
        })
        .collect();
    let mut kept: HashMap<usize, f64> = HashMap::new();
    let (mut now, mut revision) = (0.0, 0.0);
    let (mut reads, mut hits, mut again) = (0_u64, 0_u64, 0_u64);
    while now < HOURS.1 {
        now += -draws.uniform().ln() / (READS_PER_SECOND * 3_600.0);
        if (now / HOURS.0).floor() > revision {
            revision = (now / HOURS.0).floor();
            // Keys of its own: what was kept is not asked for any more.
            kept.clear();
        }
        let draw = draws.uniform() * sum;
        let row = cumulative.partition_point(|end| *end < draw);
        reads += 1;
        let left = kept.get(&row).map(|expires| expires - now);
        match left {
            Some(left) if left > 0.0 => {
                hits += 1;
                let age = 1.0 - left / life.hours;
                if life.refreshed.is_some_and(|part| age > part) {
                    again += 1;
                    kept.insert(row, now + life.hours);
                } else if life.is_renewed && age > 0.9 {
                    kept.insert(row, now + life.hours);
                }
            }
            known => {
                again += u64::from(known.is_some());
                kept.insert(row, now + life.hours);
            }
        }
    }
    (hits as f64 / reads as f64, again as f64 / reads as f64 * 1_000.0)
}

fn print_hit_rates() {
    println!(
        "\nHit rate, and computations of what was known per 1,000 reads; a swap each hour, \
         {READS_PER_SECOND} reads/s, rows by Zipf's law\n"
    );
    println!("| time to live | 1,000 rows | 100,000 rows | 1,000,000 rows |");
    println!("| --- | --- | --- | --- |");
    let life = |name, hours, refreshed, is_renewed| Life { name, hours, refreshed, is_renewed };
    for life in [
        life("1 minute", 1.0 / 60.0, None, false),
        life("6 minutes", 0.1, None, false),
        life("48 minutes (80 %), refreshed from 90 % of it on", 0.8, Some(0.9), false),
        life("48 minutes (80 %)", 0.8, None, false),
        life("6 minutes, renewed (as here)", 0.1, None, true),
        life("1 hour, renewed (the default here)", 1.0, None, true),
        life("1 day, renewed", 24.0, None, true),
    ] {
        let cells = [1_000, 100_000, 1_000_000].map(|rows| {
            let (hits, again) = hit_rate(life, rows);
            format!("{:.1} %, {again:.1}", hits * 100.0)
        });
        println!("| {} | {} |", life.name, cells.join(" | "));
    }
}

fn main() {
    print_herds();
    print_hit_rates();
}

fn print_herds() {
    let policies = [
        ("none", Policy::Nothing),
        ("single-flight", Policy::SingleFlight),
        ("XFetch", Policy::Early(1.0, false)),
        ("XFetch + single-flight", Policy::Early(1.0, true)),
        ("beta 2 + single-flight", Policy::Early(2.0, true)),
        ("renewed + single-flight", Policy::Renewed),
    ];
    println!("Computations per life of {} s (most at a time), readers that wait\n", TTL.as_secs());
    println!("| reads/s, cost, instances | policy | computations | peak | readers that wait |");
    println!("| --- | --- | --- | --- | --- |");
    for (per_second, cost_ms, instances) in
        [(1_000.0, 50, 1), (1_000.0, 50, 8), (100.0, 50, 1), (100.0, 50, 8), (1_000.0, 5, 8)]
    {
        for (name, policy) in policies {
            let cost = Duration::from_millis(cost_ms);
            let Figures { computations, peak, waiting } =
                simulate(policy, per_second, cost, instances);
            println!(
                "| {per_second}, {cost_ms} ms, {instances} | {name} | {computations:.2} | {peak} | {:.3} % |",
                waiting * 100.0
            );
        }
    }
}
