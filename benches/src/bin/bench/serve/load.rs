//! Load: by a schedule that is fixed beforehand, or as fast as it goes.
//!
//! Open loop: a request is sent when it is due whether or not earlier ones are answered, and its
//! latency counts from then, so that a server that stalls is seen to stall. The generator keeps its
//! core busy between requests: timers of a runtime are a millisecond coarse. How far it fell behind
//! its own schedule is part of what was [`Seen`].

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::LocalSet;

use super::wire::{Ask, Line};
use crate::Failure;

/// Lines that are there before the first request.
const LINES: usize = 32;
/// Beyond so many the generator gives up on a request: it stands for all clients there are.
const LINES_MAX: usize = 4_000;
/// A client that has no answer by then has gone.
const PATIENCE: Duration = Duration::from_secs(2);
/// Calls that one connection of HTTP/2 carries at a time.
const CARRIED: usize = 8;
/// Health probes in a second.
const HEALTH_PER_SECOND: f64 = 100.0;

/// Requests per second, for so long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Phase {
    pub(super) per_second: f64,
    pub(super) lasts: Duration,
}

/// One request's fate; times since the beginning.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event {
    pub(super) due: Duration,
    pub(super) sent: Duration,
    pub(super) done: Duration,
    /// 0: no answer.
    pub(super) status: u16,
}

impl Event {
    pub(super) fn latency(&self) -> Duration {
        self.done.saturating_sub(self.due)
    }

    pub(super) fn is_good(&self) -> bool {
        self.status == 200
    }
}

/// What became of a load, in the order in which it was due.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) load: Vec<Event>,
    pub(super) health: Vec<Event>,
}

/// A server, what it is asked in turn, and beside that after its health.
pub(super) struct Load<'a> {
    pub(super) address: SocketAddr,
    pub(super) asks: &'a [Ask],
    /// Asked at another address where the protocols have one each.
    pub(super) health: (SocketAddr, Ask),
}

/// When requests are due: exponential gaps, the same for every server and run.
fn schedule(phases: &[Phase]) -> VecDeque<Duration> {
    let mut due = VecDeque::new();
    let (mut start, mut state) = (0.0, 0x9E37_79B9_7F4A_7C15_u64);
    for phase in phases {
        let end = start + phase.lasts.as_secs_f64();
        let mut at = start;
        loop {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let u = (state >> 11) as f64 / (1_u64 << 53) as f64;
            at -= (1.0 - u).ln() / phase.per_second;
            if at >= end {
                break;
            }
            due.push_back(Duration::from_secs_f64(at));
        }
        start = end;
    }
    due
}

/// Lines to one address that nobody uses at the moment.
struct Pool {
    address: SocketAddr,
    is_grpc: bool,
    idle: RefCell<Vec<Line>>,
    open: RefCell<usize>,
}

impl Pool {
    async fn new(address: SocketAddr, is_grpc: bool, lines: usize) -> Result<Rc<Self>, Failure> {
        let mut idle = Vec::new();
        while idle.len() < lines {
            idle.extend(Line::connect(address, is_grpc, CARRIED).await?);
        }
        let open = RefCell::new(idle.len());
        Ok(Rc::new(Self { address, is_grpc, idle: RefCell::new(idle), open }))
    }

    /// Sends on the line that was used last, or on a new one.
    async fn ask(&self, ask: &Ask) -> u16 {
        let idle = self.idle.borrow_mut().pop();
        let mut line = match idle {
            Some(line) => line,
            None if *self.open.borrow() >= LINES_MAX => return 0,
            None => match Line::connect(self.address, self.is_grpc, CARRIED).await {
                Ok(mut lines) => {
                    *self.open.borrow_mut() += lines.len();
                    let Some(line) = lines.pop() else { return 0 };
                    self.idle.borrow_mut().extend(lines);
                    line
                }
                Err(_) => return 0,
            },
        };
        let answer = tokio::time::timeout(PATIENCE, line.ask(ask)).await;
        let answer = answer.ok().and_then(Result::ok);
        if answer.as_ref().is_some_and(|it| !it.is_last) {
            self.idle.borrow_mut().push(line);
        } else {
            *self.open.borrow_mut() -= 1;
        }
        answer.map_or(0, |it| it.status)
    }
}

/// Drives `load` through the phases.
pub(super) fn drive(load: &Load<'_>, phases: &[Phase]) -> Result<Seen, Failure> {
    local(async {
        let is_grpc = load.asks.first().is_some_and(Ask::is_grpc);
        let (health_at, health) = load.health.clone();
        let pools = [
            Pool::new(load.address, is_grpc, LINES).await?,
            Pool::new(health_at, health.is_grpc(), 2).await?,
        ];
        let lasts: Duration = phases.iter().map(|it| it.lasts).sum();
        let mut due =
            [schedule(phases), schedule(&[Phase { per_second: HEALTH_PER_SECOND, lasts }])];
        let events: [Rc<RefCell<Vec<Event>>>; 2] = Default::default();
        let began = Instant::now();
        let mut asks = load.asks.iter().cycle();
        let mut sending = Vec::new();
        while due.iter().any(|it| !it.is_empty()) {
            let now = began.elapsed();
            for (stream, due) in due.iter_mut().enumerate() {
                while due.front().is_some_and(|at| *at <= now) {
                    let Some(at) = due.pop_front() else { break };
                    let ask = if stream == 0 { asks.next() } else { Some(&health) };
                    let (Some(ask), pool) = (ask.cloned(), Rc::clone(&pools[stream])) else {
                        break;
                    };
                    let events = Rc::clone(&events[stream]);
                    sending.push(tokio::task::spawn_local(async move {
                        let sent = began.elapsed();
                        let status = pool.ask(&ask).await;
                        let done = began.elapsed();
                        events.borrow_mut().push(Event { due: at, sent, done, status });
                    }));
                }
            }
            tokio::task::yield_now().await;
        }
        for task in sending {
            task.await?;
        }
        let [load, health] = events.map(|events| {
            let mut events = events.take();
            events.sort_by_key(|it| it.due);
            events
        });
        Ok(Seen { load, health })
    })
}

/// Asks on so many lines as fast as answers come, for a time; how many were good, and how long it
/// took.
pub(super) fn saturate(
    address: SocketAddr,
    asks: &[Ask],
    lines: usize,
    lasts: Duration,
) -> Result<(usize, Duration), Failure> {
    local(async {
        let is_grpc = asks.first().is_some_and(Ask::is_grpc);
        let pool = Pool::new(address, is_grpc, lines).await?;
        let began = Instant::now();
        let asks: Rc<[Ask]> = asks.into();
        let tasks: Vec<_> = (0..lines)
            .map(|line| {
                let (pool, asks) = (Rc::clone(&pool), Rc::clone(&asks));
                tokio::task::spawn_local(async move {
                    let mut good = 0;
                    let first = line * asks.len() / lines;
                    for ask in asks.iter().cycle().skip(first) {
                        if began.elapsed() >= lasts {
                            break;
                        }
                        good += usize::from(pool.ask(ask).await == 200);
                    }
                    good
                })
            })
            .collect();
        let mut good = 0;
        for task in tasks {
            good += task.await?;
        }
        Ok((good, began.elapsed()))
    })
}

/// One answer.
pub(super) fn once(address: SocketAddr, ask: &Ask) -> Result<(u16, Vec<u8>), Failure> {
    local(async {
        let mut lines = Line::connect(address, ask.is_grpc(), 1).await?;
        let line = lines.first_mut().ok_or("no line")?;
        let answer = tokio::time::timeout(Duration::from_secs(30), line.ask(ask)).await??;
        Ok((answer.status, answer.body))
    })
}

fn local<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, work)
}

/// The time below which the given share of `times` stayed, in ms.
pub(super) fn quantile_ms(times: impl IntoIterator<Item = Duration>, share: f64) -> f64 {
    let mut times: Vec<_> = times.into_iter().collect();
    times.sort_unstable();
    let place = (times.len() as f64 * share).ceil() as usize;
    times.get(place.saturating_sub(1)).map_or(f64::NAN, |it| it.as_secs_f64() * 1e3)
}

impl Seen {
    /// How far the generator was behind its schedule: 99 % of requests, and the last of them, in ms.
    pub(super) fn lateness_ms(&self) -> [f64; 2] {
        let late = || self.load.iter().map(|it| it.sent.saturating_sub(it.due));
        [quantile_ms(late(), 0.99), quantile_ms(late(), 1.0)]
    }

    /// Latency of good answers, in ms.
    pub(super) fn good_ms(&self, share: f64) -> f64 {
        quantile_ms(self.load.iter().filter(|it| it.is_good()).map(Event::latency), share)
    }

    /// Latency of the health probes, in ms; without an answer: as long as the generator waited.
    pub(super) fn health_ms(&self, share: f64) -> f64 {
        quantile_ms(self.health.iter().map(Event::latency), share)
    }

    /// Requests that were due within a span, since the beginning.
    pub(super) fn between(&self, from: Duration, until: Duration) -> &[Event] {
        let at = |time| self.load.partition_point(|it| it.due < time);
        &self.load[at(from)..at(until)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_is_fixed_and_has_the_rate() {
        let phase = |per_second, s| Phase { per_second, lasts: Duration::from_secs(s) };
        let due = schedule(&[phase(1_000.0, 10), phase(100.0, 10)]);
        assert_eq!(due, schedule(&[phase(1_000.0, 10), phase(100.0, 10)]));
        assert!(due.iter().is_sorted());
        let first = due.iter().filter(|it| it.as_secs() < 10).count();
        assert!((9_500..10_500).contains(&first), "{first}");
        assert!((900..1_100).contains(&(due.len() - first)), "{}", due.len());
    }

    #[test]
    fn quantiles() {
        let times = || (1..=100).map(Duration::from_millis);
        assert_eq!(quantile_ms(times(), 0.5), 50.0);
        assert_eq!(quantile_ms(times(), 0.99), 99.0);
        assert_eq!(quantile_ms(times(), 1.0), 100.0);
        assert!(quantile_ms([], 0.5).is_nan());
    }
}
