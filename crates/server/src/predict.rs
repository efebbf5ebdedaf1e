//! The way of one prediction, the same for every protocol.
//!
//! decode -> rows -> inline if cheap, else admission and the compute lane -> encode. A body too
//! big to be decoded on the reactor is admitted by its bytes, and takes the whole way on the lane.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use stemson_mojo::Batch;
use stemson_serving::{ModelName, Revision, Work};
use tokio::sync::oneshot;

use crate::ask::Ask;
use crate::cache::{Asked, Flown, Lacking, Landed, Looked, PredictionCache};
use crate::config::Limits;
use crate::context::{Admitted, Context};
use crate::error::Refusal;
use crate::lane::{Lane, Task};
use crate::rows::{First, Rows, Scored};

/// Predicted time of scoring up to which the reactor does it itself.
pub(crate) const INLINE_TIME: Duration = Duration::from_micros(50);

/// Rows of a request up to which equal requests share their computation, and Redis is asked. Larger
/// ones look into memory, piece by piece, where they are computed.
const SHARED_ROWS_MAX: usize = 256;

/// The same of their places, whose hashes the reactor makes: about 60 us.
const SHARED_CELLS_MAX: usize = 1 << 13;

/// Bytes of kept answers up to which the reactor writes them out itself: about 100 us.
const INLINE_ANSWER_BYTES: usize = 16 << 10;

/// A guess: a number of 8 bytes takes some 60 ns to be written in decimal.
const NS_PER_ANSWER_BYTE: u64 = 8;

/// How long a body keeps its place in the queue until it is there: one that comes from nearby is.
const RESERVED_TIME: Duration = Duration::from_millis(20);

/// Bytes of a body up to which the reactor decodes it itself: about 100 us. `Rows::on_reactor` bounds
/// what becomes of them.
pub(crate) const INLINE_BODY_BYTES: usize = 32 << 10;

/// What a protocol knows of one request: how to read its body, and how to answer.
pub(crate) trait Call: Send + 'static {
    /// The answer as the protocol sends it.
    type Reply: Send + 'static;

    /// Whether the reactor may decode this body: it takes it a tenth of a millisecond at most.
    fn is_small(&self, body: &[u8]) -> bool {
        body.len() <= INLINE_BODY_BYTES
    }

    /// How many bytes this body costs.
    fn weight(&self, body: &[u8]) -> usize {
        body.len()
    }

    /// Reads the body into `rows`.
    fn decode(&mut self, body: &[u8], rows: &mut Rows) -> Result<(), Refusal>;

    /// Looks at a large body for the time that it allows, and takes no time for it: what it finds is
    /// what [`Call::timeout`] says until the body is decoded.
    fn peek(&mut self, _body: &[u8]) {}

    /// The time that the body allows, once it is decoded.
    fn timeout(&self) -> Option<Duration> {
        None
    }

    /// The answer.
    fn encode(&self, scored: &Scored) -> Result<Self::Reply, Refusal>;
}

/// How long a caller waits, as far as it is known before the body is read; from the request's head
/// on.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Patience {
    /// For the answer to this request.
    pub(crate) timeout: Option<Duration>,
    /// For the stream that the request came by. Not longer, and no reason to take so long.
    pub(crate) stream: Option<Duration>,
}

/// When a request came, and how long its head allows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    pub(crate) arrival: Instant,
    /// When the body had come in.
    pub(crate) complete: Instant,
    pub(crate) patience: Patience,
    /// Holds where the caller says nothing; counts from the end of the body, which may be long in
    /// coming.
    pub(crate) slo: Duration,
    /// Whether somebody else is to answer the first row too.
    pub(crate) wants_raw: bool,
}

/// An answer, and what it took.
#[derive(Debug)]
pub(crate) struct Answer<R> {
    pub(crate) reply: R,
    pub(crate) rows: usize,
    pub(crate) first: First,
    /// How long it waited for the lane; none if it did not need it.
    pub(crate) queued: Option<Duration>,
    /// Time of scoring, of all threads together.
    pub(crate) computed: Duration,
    pub(crate) decoding: Duration,
    pub(crate) encoding: Duration,
    /// What the cache did, if it was asked.
    pub(crate) looked: Option<Looked>,
}

/// What becomes of a request.
pub(crate) type Outcome<R> = Result<Answer<R>, Refusal>;

impl Clock {
    /// The tighter of what head and body allow.
    fn allowed(&self, body: Option<Duration>) -> Duration {
        let Patience { timeout, stream } = self.patience;
        let own = [timeout, body].into_iter().flatten().min().unwrap_or_else(|| {
            self.slo.saturating_add(self.complete.saturating_duration_since(self.arrival))
        });
        stream.map_or(own, |stream| stream.min(own))
    }

    fn deadline(&self, allowed: Duration) -> Instant {
        // A deadline that the clock cannot hold is one that nobody lives to see.
        const FAR: Duration = Duration::from_hours(24 * 365);
        self.arrival.checked_add(allowed.min(FAR)).unwrap_or(self.arrival)
    }
}

/// A body that is still to come, and for how long its caller waits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Coming {
    pub(crate) bytes: usize,
    /// How many bytes it will cost.
    pub(crate) weight: usize,
    pub(crate) patience: Patience,
}

/// A place in the queue that is taken before the body is there.
#[derive(Debug)]
pub(crate) struct Place {
    admitted: Admitted,
    deadline: Instant,
}

/// Refuses a body that would be late before it is read: to take it in would cost those who were
/// admitted their time. Its length tells what it will cost. None: it is too small to need a place.
pub(crate) fn reserve(
    context: &Context,
    model: &ModelName,
    revision: &Revision,
    coming: Option<Coming>,
    clock: impl FnOnce(Patience) -> Clock,
) -> Result<Option<Place>, Refusal> {
    let Some(coming) = coming.filter(|coming| coming.bytes > INLINE_BODY_BYTES) else {
        return Ok(None);
    };
    let clock = clock(coming.patience);
    let deadline = clock.deadline(clock.allowed(None));
    let work = Work::whole(revision.byte_cost().predict(coming.weight));
    let flow = context.models.flow(model.as_str());
    let admitted = context.gate.offer(flow, Instant::now(), work, deadline)?;
    Ok(Some(Place { admitted, deadline }))
}

/// Waits for the body, and keeps its place meanwhile, but not for long: nobody shall hold a place
/// with a promise.
pub(crate) async fn hold<T>(
    place: Option<Place>,
    body: impl Future<Output = Result<T, Refusal>>,
) -> Result<(T, Option<Place>), Refusal> {
    if place.is_none() {
        return Ok((body.await?, None));
    }
    let mut body = pin!(body);
    if let Ok(body) = tokio::time::timeout(RESERVED_TIME, &mut body).await {
        return Ok((body?, place));
    }
    drop(place);
    Ok((body.await?, None))
}

/// Answers a request with one revision of `model`. With the body comes its place, if it has one.
pub(crate) async fn predict<C: Call>(
    context: &Context,
    model: &ModelName,
    revision: Arc<Revision>,
    mut call: C,
    (body, place): (Bytes, Option<Place>),
    clock: Clock,
) -> Outcome<C::Reply> {
    if !call.is_small(&body) {
        return on_lane_whole(context, model, revision, call, (body, place), clock).await;
    }
    drop(place);
    let mut rows = Rows::on_reactor(revision, context.limits());
    let begun = Instant::now();
    match call.decode(&body, &mut rows) {
        // Few bytes were many rows.
        Err(_) if rows.has_outgrown() => {
            let revision = Arc::clone(rows.revision());
            drop(rows);
            return on_lane_whole(context, model, revision, call, (body, None), clock).await;
        }
        decoded => decoded?,
    }
    let decoding = begun.elapsed();
    drop(body);
    let allowed = clock.allowed(call.timeout());
    let deadline = clock.deadline(allowed);
    let asked = context.asked(model, &rows);
    let flow = context.models.flow(model.as_str());
    let is_shared = rows.len() <= SHARED_ROWS_MAX && rows.cells() <= SHARED_CELLS_MAX;
    if let Some(asked) = asked.as_ref().filter(|_| is_shared) {
        let wants_raw = clock.wants_raw;
        let (asked, within) = (asked.clone(), Within { allowed, deadline, wants_raw, flow });
        return share(context, call, rows, asked, decoding, within).await;
    }
    let cost = rows.cost();
    let work = Work { cost: cost.predict(rows.len()), piece: cost.predict(rows.piece_len()) };
    if work.cost <= INLINE_TIME && asked.is_none() {
        return score_inline(&call, rows, decoding, clock.wants_raw);
    }
    let admitted = context.gate.offer(flow, Instant::now(), work, deadline)?;
    let revision = rows.revision();
    let (job, answer) = Job::new(context, revision, call, admitted, clock, (allowed, deadline));
    job.state().decoding = decoding;
    for (cost, task) in job.pieces(rows, asked) {
        context.lane.push(flow, cost, task);
    }
    drop(job);
    match tokio::time::timeout_at(deadline.into(), answer).await {
        Ok(answer) => answer.unwrap_or(Err(Refusal::Panicked)),
        Err(_) => Err(Refusal::DeadlineMissed { timeout: allowed }),
    }
}

fn score_inline<C: Call>(
    call: &C,
    rows: Rows,
    decoding: Duration,
    wants_raw: bool,
) -> Outcome<C::Reply> {
    let revision = Arc::clone(rows.revision());
    let (n, ask) = (rows.len(), rows.ask());
    let mut pieces = rows.into_pieces();
    let computed = pieces.iter_mut().map(|piece| score(piece, &revision, ask)).sum();
    let scored = Scored::new(revision, ask, pieces);
    let begun = Instant::now();
    let reply = call.encode(&scored)?;
    let encoding = begun.elapsed();
    let first = scored.first(wants_raw);
    Ok(Answer { reply, rows: n, first, queued: None, computed, decoding, encoding, looked: None })
}

/// Scores a piece, and learns what it costs.
fn score(piece: &mut Batch, revision: &Revision, ask: Ask) -> Duration {
    let begun = Instant::now();
    piece.score();
    let took = begun.elapsed();
    revision.cost_of(ask.options).observe(piece.len(), took);
    took
}

/// How long a request may take, and until when.
#[derive(Debug, Clone, Copy)]
struct Within {
    allowed: Duration,
    deadline: Instant,
    wants_raw: bool,
    /// Whose share of the lane it takes.
    flow: usize,
}

/// Looks for the answers of a few rows, and has computed what nobody has.
async fn share<C: Call>(
    context: &Context,
    call: C,
    rows: Rows,
    asked: Asked,
    decoding: Duration,
    within: Within,
) -> Outcome<C::Reply> {
    let (revision, n, ask) = (Arc::clone(rows.revision()), rows.len(), rows.ask());
    let piece_rows_max = rows.piece_rows_max();
    let flown = Flown::begin(asked, Arc::clone(&revision), ask, rows.into_pieces());
    let landed = if flown.is_quick() {
        flown.compute()
    } else {
        let landed = flown.fly(context, piece_rows_max, (within.flow, within.deadline)).await;
        landed.map_err(|lacking| match lacking {
            Lacking::Time => Refusal::DeadlineMissed { timeout: within.allowed },
            Lacking::Capacity(refusal) => refusal,
            Lacking::Panic => Refusal::Panicked,
        })?
    };
    let Landed { pieces, looked, queued, kept_bytes } = landed;
    let (scored, computed) = (Scored::new(revision, ask, pieces), looked.computed);
    let first = scored.first(within.wants_raw);
    let begun = Instant::now();
    let reply = if kept_bytes <= INLINE_ANSWER_BYTES {
        call.encode(&scored)?
    } else {
        encode_on_lane(context, call, scored, kept_bytes, within).await?
    };
    let (encoding, looked) = (begun.elapsed(), Some(looked));
    Ok(Answer { reply, rows: n, first, queued, computed, decoding, encoding, looked })
}

/// Writes an answer that cost nothing to compute and is too long for the reactor all the same.
async fn encode_on_lane<C: Call>(
    context: &Context,
    call: C,
    scored: Scored,
    bytes: usize,
    Within { allowed, deadline, flow, .. }: Within,
) -> Result<C::Reply, Refusal> {
    let cost = Duration::from_nanos(NS_PER_ANSWER_BYTE.saturating_mul(bytes as u64));
    let admitted = context.gate.offer(flow, Instant::now(), Work::whole(cost), deadline)?;
    let (reply, encoded) = oneshot::channel();
    let task = Box::new(move || {
        // Nobody may be left to hear it.
        if !reply.is_closed() {
            drop(reply.send(call.encode(&scored)));
        }
        drop(admitted);
    });
    context.lane.push(flow, cost, task);
    match tokio::time::timeout_at(deadline.into(), encoded).await {
        Ok(encoded) => encoded.unwrap_or(Err(Refusal::Panicked)),
        Err(_) => Err(Refusal::DeadlineMissed { timeout: allowed }),
    }
}

/// Everything on the lane, the decoding too.
async fn on_lane_whole<C: Call>(
    context: &Context,
    model: &ModelName,
    revision: Arc<Revision>,
    mut call: C,
    (body, place): (Bytes, Option<Place>),
    clock: Clock,
) -> Outcome<C::Reply> {
    call.peek(&body);
    let allowed = clock.allowed(call.timeout());
    let deadline = clock.deadline(allowed);
    let work = Work::whole(revision.byte_cost().predict(call.weight(&body)));
    let flow = context.models.flow(model.as_str());
    let admitted = match place {
        Some(place) if place.deadline <= deadline => place.admitted,
        // The body allows less time than its head did.
        place => {
            drop(place);
            context.gate.offer(flow, Instant::now(), work, deadline)?
        }
    };
    let (job, answer) = Job::new(context, &revision, call, admitted, clock, (allowed, deadline));
    let cache = context.cache.clone().map(|cache| (cache, model.clone()));
    let charged = work.cost;
    context.lane.push(flow, charged, Box::new(move || job.decode(&body, clock, cache, charged)));
    // No timer here: only the body says how long the caller waits. The job looks at the clock
    // before each of its pieces.
    answer.await.unwrap_or(Err(Refusal::Panicked))
}

/// A request on the lane. When its last task is gone, so is whoever could answer.
struct Job<C: Call> {
    revision: Arc<Revision>,
    limits: Limits,
    lane: Lane,
    admitted: Admitted,
    pushed_at: Instant,
    /// Nanoseconds of scoring, so far.
    computed_ns: AtomicU64,
    state: Mutex<State<C>>,
}

struct State<C: Call> {
    call: C,
    answer: Option<oneshot::Sender<Outcome<C::Reply>>>,
    allowed: Duration,
    deadline: Instant,
    ask: Ask,
    wants_raw: bool,
    /// When the first task began.
    begun_at: Option<Instant>,
    /// Weight of a body that was decoded here.
    weight: Option<usize>,
    decoding: Duration,
    /// How the cache is used, if it is.
    asked: Option<Asked>,
    looked: Option<Looked>,
    /// In their order, as they are done.
    scored: Vec<Option<Batch>>,
    missing: usize,
}

impl<C: Call> Job<C> {
    fn new(
        context: &Context,
        revision: &Arc<Revision>,
        call: C,
        admitted: Admitted,
        clock: Clock,
        (allowed, deadline): (Duration, Instant),
    ) -> (Arc<Self>, oneshot::Receiver<Outcome<C::Reply>>) {
        let (answer, receiver) = oneshot::channel();
        let state = State {
            call,
            answer: Some(answer),
            allowed,
            deadline,
            ask: Ask::default(),
            wants_raw: clock.wants_raw,
            begun_at: None,
            weight: None,
            decoding: Duration::ZERO,
            asked: None,
            looked: None,
            scored: Vec::new(),
            missing: 0,
        };
        let job = Self {
            revision: Arc::clone(revision),
            limits: context.limits(),
            lane: context.lane.clone(),
            admitted,
            pushed_at: Instant::now(),
            computed_ns: AtomicU64::new(0),
            state: Mutex::new(state),
        };
        (Arc::new(job), receiver)
    }

    /// One task for each piece of `rows`; without rows one that answers.
    fn pieces(self: &Arc<Self>, rows: Rows, asked: Option<Asked>) -> Vec<(Duration, Task)> {
        let ask = rows.ask();
        let mut pieces = rows.into_pieces();
        if pieces.is_empty() {
            pieces.push(self.revision.batch(ask.options));
        }
        {
            let mut state = self.state();
            state.ask = ask;
            state.asked = asked;
            state.scored.resize_with(pieces.len(), || None);
            state.missing = pieces.len();
        }
        let cost = self.revision.cost_of(ask.options);
        let task = |(index, piece): (usize, Batch)| -> (Duration, Task) {
            let job = Arc::clone(self);
            (cost.predict(piece.len()), Box::new(move || job.score(index, piece)))
        };
        pieces.into_iter().enumerate().map(task).collect()
    }

    fn decode(
        self: Arc<Self>,
        body: &[u8],
        clock: Clock,
        cache: Option<(Arc<PredictionCache>, ModelName)>,
        charged: Duration,
    ) {
        if !self.goes_on() {
            return;
        }
        let begun = Instant::now();
        let mut rows = Rows::new(Arc::clone(&self.revision), self.limits);
        let decoded = {
            let mut state = self.state();
            let decoded = state.call.decode(body, &mut rows);
            state.allowed = clock.allowed(state.call.timeout());
            state.deadline = clock.deadline(state.allowed);
            // By now it knows the length of what was compressed.
            state.weight = Some(state.call.weight(body));
            state.decoding = begun.elapsed();
            decoded
        };
        match decoded {
            Ok(()) => {
                // Until now its bytes were all that was known of it: an explained row takes a thousand
                // times as long as a plain one.
                self.admitted.amend(rows.cost().predict(rows.len()));
                let asked = cache.and_then(|(cache, model)| cache.ask(&model, &rows));
                let mut pieces = self.pieces(rows, asked);
                let spent = begun.elapsed();
                charge_once(&mut pieces, charged.saturating_sub(spent));
                self.lane.push_front(self.admitted.flow, pieces);
            }
            Err(refusal) => self.answer(Err(refusal)),
        }
    }

    fn score(self: Arc<Self>, index: usize, mut piece: Batch) {
        if !self.goes_on() {
            return;
        }
        let (ask, asked) = {
            let state = self.state();
            (state.ask, state.asked.clone())
        };
        let cost = self.revision.cost_of(ask.options).predict(piece.len());
        let took = if let Some(asked) = asked {
            let flown = Flown::begin(asked, Arc::clone(&self.revision), ask, vec![piece]);
            let Landed { mut pieces, looked, .. } = flown.compute();
            self.state().looked.get_or_insert_default().add(&looked);
            // The one that it was given.
            let Some(scored) = pieces.pop() else { return };
            piece = scored;
            looked.computed
        } else {
            score(&mut piece, &self.revision, ask)
        };
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.computed_ns.fetch_add(ns, Ordering::Relaxed);
        let is_last = {
            let mut state = self.state();
            if let Some(place) = state.scored.get_mut(index) {
                *place = Some(piece);
            }
            state.missing -= 1;
            state.missing == 0
        };
        if is_last {
            self.finish();
        } else {
            self.admitted.progress(cost);
        }
    }

    fn finish(&self) {
        let mut state = self.state();
        if Instant::now() >= state.deadline {
            let timeout = state.allowed;
            drop(state);
            return self.answer(Err(Refusal::DeadlineMissed { timeout }));
        }
        let pieces = state.scored.drain(..).flatten().collect();
        let scored = Scored::new(Arc::clone(&self.revision), state.ask, pieces);
        let begun = Instant::now();
        let reply = state.call.encode(&scored);
        let computed = Duration::from_nanos(self.computed_ns.load(Ordering::Relaxed));
        let (decoding, encoding) = (state.decoding, begun.elapsed());
        let looked = state.looked;
        // What explanations cost says nothing of the next body, nor what was kept of the rows.
        let is_plain = state.ask.explanations().next().is_none()
            && looked.is_none_or(|looked| looked.cached() == 0);
        if let Some(bytes) = state.weight.filter(|_| is_plain) {
            self.revision.byte_cost().observe(bytes, decoding + computed + encoding);
        }
        let first = scored.first(state.wants_raw);
        let queued = state.begun_at.map(|at| at.duration_since(self.pushed_at));
        drop(state);
        let rows = scored.len();
        self.answer(reply.map(|reply| Answer {
            reply,
            rows,
            first,
            queued,
            computed,
            decoding,
            encoding,
            looked,
        }));
    }

    /// Whether the answer is still wanted, and can still come in time.
    fn goes_on(&self) -> bool {
        let now = Instant::now();
        let mut state = self.state();
        // What would end too late takes the time of those who wait behind it.
        let needs = self.admitted.time_in_company();
        state.begun_at.get_or_insert(now);
        // Answered already, or the caller has gone away.
        if state.answer.as_ref().is_none_or(oneshot::Sender::is_closed) {
            return false;
        }
        if now + needs < state.deadline {
            return true;
        }
        let timeout = state.allowed;
        drop(state);
        self.answer(Err(Refusal::DeadlineMissed { timeout }));
        false
    }

    fn answer(&self, answer: Outcome<C::Reply>) {
        let sender = self.state().answer.take();
        if let Some(sender) = sender {
            // Nobody may be left to hear it.
            drop(sender.send(answer));
        }
    }

    fn state(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of what a flow is charged for pieces of work, takes away what it has been charged for them in
/// advance.
fn charge_once<T>(pieces: &mut [(Duration, T)], mut in_advance: Duration) {
    for (cost, _) in pieces {
        let part = in_advance.min(*cost);
        in_advance -= part;
        *cost -= part;
    }
}

#[cfg(test)]
mod tests {
    use stemson_serving::FairQueue;

    use super::*;

    #[test]
    fn a_body_on_the_lane_is_charged_once() {
        let ms = Duration::from_millis;
        // What is left of the charge for a body whose rows take 3 x 4 ms, and of its pieces then.
        for (in_advance, expected) in
            [(0, [4, 4, 4]), (3, [1, 4, 4]), (6, [0, 2, 4]), (12, [0, 0, 0]), (50, [0, 0, 0])]
        {
            let mut pieces = [(ms(4), ()); 3];
            charge_once(&mut pieces, ms(in_advance));
            assert_eq!(pieces.map(|(cost, ())| cost), expected.map(ms), "{in_advance}");
        }
        // Two models of one weight, one with bodies that are decoded here, the other's were before:
        // each has half of the lane.
        let one = std::num::NonZeroU32::MIN;
        let mut queue = FairQueue::new(&[one, one]);
        for _ in 0..100 {
            queue.push_back(0, ms(13), (0, true));
            (0..3).for_each(|_| queue.push_back(1, ms(4), (1, false)));
        }
        let mut spent = [ms(0); 2];
        while spent.iter().sum::<Duration>() < ms(1_000) {
            let Some((flow, is_body)) = queue.pop() else { break };
            spent[flow] += if is_body { ms(1) } else { ms(4) };
            if is_body {
                let mut pieces = [(ms(4), (flow, false)); 3];
                charge_once(&mut pieces, ms(12));
                pieces.into_iter().for_each(|(cost, piece)| queue.push_front(flow, cost, piece));
            }
        }
        assert!(spent[0].abs_diff(spent[1]) <= ms(13), "{spent:?}");
    }

    #[test]
    fn the_tightest_of_what_a_caller_allows_counts_else_the_slo_from_the_end_of_the_body() {
        let s = Duration::from_secs;
        let arrival = Instant::now();
        for (timeout, stream, body, expected) in [
            (None, None, None, s(3)),
            (Some(s(9)), None, None, s(9)),
            (None, None, Some(s(8)), s(8)),
            (Some(s(9)), None, Some(s(8)), s(8)),
            (Some(s(1)), None, Some(s(8)), s(1)),
            // A stream bounds its requests, and neither gives nor takes time otherwise.
            (None, Some(s(60)), None, s(3)),
            (None, Some(s(60)), Some(s(8)), s(8)),
            (None, Some(s(2)), Some(s(8)), s(2)),
            (None, Some(s(2)), None, s(2)),
        ] {
            let clock = Clock {
                arrival,
                complete: arrival + s(2),
                patience: Patience { timeout, stream },
                slo: s(1),
                wants_raw: false,
            };
            let allowed = clock.allowed(body);
            assert_eq!(allowed, expected, "{clock:?} {body:?}");
            assert_eq!(clock.deadline(allowed), arrival + expected);
        }
    }
}
