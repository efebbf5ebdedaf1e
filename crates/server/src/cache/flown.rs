//! The rows of one request while their answers are looked for: in memory, in other requests' flights,
//! in Redis, and at last on the compute lane.
//!
//! Whoever leads a row's flight hands the work on and follows like everybody else, so that nothing is
//! lost when its caller goes away, and a task drops rows that nobody waits for any more.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use stemson_mojo::Batch;
use stemson_serving::cache::{Follow, Key, Lead, Lost, Ticket};
use stemson_serving::{Revision, Work};

use super::remote::KEYS_MAX;
use super::{Asked, Looked, Outcome};
use crate::ask::Ask;
use crate::context::{Admitted, Context, SharedGate};
use crate::error::Refusal;
use crate::lane::{Lane, Task};
use crate::predict::INLINE_TIME;

/// How often a row looks for a leader: again if the first had less time than it has.
const ATTEMPTS_MAX: usize = 2;

/// Rows whose answers are being brought together.
pub(crate) struct Flown {
    asked: Asked,
    revision: Arc<Revision>,
    ask: Ask,
    pieces: Vec<Batch>,
    /// One per row, in their order.
    places: Vec<Place>,
    kept_bytes: usize,
    looked: Looked,
    /// None: no work was handed on.
    spent: Option<Arc<Spent>>,
}

/// What is known of a row's answer.
enum Place {
    /// It is refused already.
    Refused,
    Missing(Key),
    Following {
        follow: Follow<Outcome>,
        is_own: bool,
        key: Key,
    },
    Known(Outcome),
}

impl Place {
    fn is_missing(&self) -> bool {
        matches!(self, Self::Missing(_))
    }
}

/// What the work of one request took, of all its tasks together.
#[derive(Debug, Default)]
struct Spent {
    pushed_at: OnceLock<Instant>,
    begun_at: OnceLock<Instant>,
    computed_ns: AtomicU64,
    has_failed: AtomicBool,
}

/// Why there is no answer.
pub(crate) enum Lacking {
    /// It did not come before the deadline.
    Time,
    /// There was no capacity.
    Capacity(Refusal),
    /// A mistake of ours.
    Panic,
}

/// All answers are there.
pub(crate) struct Landed {
    pub(crate) pieces: Vec<Batch>,
    pub(crate) looked: Looked,
    /// How long the request's own work waited for the lane.
    pub(crate) queued: Option<Duration>,
    /// Bytes of the answers that were kept or brought in.
    pub(crate) kept_bytes: usize,
}

impl Flown {
    /// Looks into memory.
    pub(crate) fn begin(
        asked: Asked,
        revision: Arc<Revision>,
        ask: Ask,
        pieces: Vec<Batch>,
    ) -> Self {
        let (now, mut looked) = (Instant::now(), Looked::default());
        let mut places = Vec::with_capacity(pieces.iter().map(Batch::len).sum());
        for (piece, row) in each_row(&pieces) {
            let Some(key) = asked.namespace.key(piece, row) else {
                looked.bypassed += 1;
                places.push(Place::Refused);
                continue;
            };
            places.push(match asked.find(&key, piece, now) {
                Some(outcome) => {
                    looked.hit_memory += 1;
                    Place::Known(outcome)
                }
                None => Place::Missing(key),
            });
        }
        looked.looking = now.elapsed();
        Self { asked, revision, ask, pieces, places, kept_bytes: 0, looked, spent: None }
    }

    /// Whether this thread, which may be the reactor, computes what is missing at once.
    pub(crate) fn is_quick(&self) -> bool {
        let missing = self.missing();
        let cost = self.revision.cost_of(self.ask.options).predict(missing);
        missing == 0 || (cost <= INLINE_TIME && !self.asked.has_remote)
    }

    fn missing(&self) -> usize {
        self.places.iter().filter(|place| place.is_missing()).count()
    }

    /// Computes what is missing on this thread.
    pub(crate) fn compute(mut self) -> Landed {
        self.weigh();
        let cost = self.revision.cost_of(self.ask.options);
        let mut rest = self.places.as_slice();
        for piece in &mut self.pieces {
            let (places, after) = rest.split_at(piece.len());
            rest = after;
            // Rows that stand next to each other are scored together.
            for run in places.chunk_by(|a, b| a.is_missing() && b.is_missing()) {
                match &run[0] {
                    Place::Known(Outcome::Answer { bytes, .. }) if piece.put_answer(bytes) => {}
                    Place::Missing(_) => {
                        let first = piece.scored();
                        let begun = Instant::now();
                        piece.score_next(run.len());
                        let took = begun.elapsed();
                        cost.observe(run.len(), took);
                        self.looked.computed += took;
                        self.looked.missed += run.len() as u64;
                        for (row, place) in (first..).zip(run) {
                            if let Place::Missing(key) = place {
                                drop(self.asked.keep(key, piece, row, begun));
                            }
                        }
                    }
                    _ => piece.put_refusal(None),
                }
            }
        }
        self.land()
    }

    /// Brings in what is missing: follows whoever computes it already, and has the rest computed,
    /// in tasks of `piece_rows_max` rows.
    pub(crate) async fn fly(
        mut self,
        context: &Context,
        piece_rows_max: usize,
        (flow, deadline): (usize, Instant),
    ) -> Result<Landed, Lacking> {
        for attempt in 1..=ATTEMPTS_MAX {
            self.take_off(context, piece_rows_max, (flow, deadline));
            let arrived = self.follow(attempt == ATTEMPTS_MAX);
            match tokio::time::timeout_at(deadline.into(), arrived).await {
                Ok(arrived) => arrived?,
                Err(_) => return Err(Lacking::Time),
            }
            if self.missing() == 0 {
                break;
            }
        }
        self.weigh();
        let mut places = std::mem::take(&mut self.places).into_iter();
        for piece in &mut self.pieces {
            for place in places.by_ref().take(piece.len()) {
                match place {
                    Place::Known(Outcome::Answer { bytes, .. }) if piece.put_answer(&bytes) => {}
                    Place::Known(Outcome::Refused(error)) => {
                        piece.put_refusal(Some((*error).clone()));
                    }
                    _ => piece.put_refusal(None),
                }
            }
        }
        Ok(self.land())
    }

    /// Joins the flights of what is missing, and sends the rows that it leads on their way.
    fn take_off(
        &mut self,
        context: &Context,
        piece_rows_max: usize,
        (flow, deadline): (usize, Instant),
    ) {
        let mut leads = Vec::new();
        let mut batch = self.revision.batch(self.ask.options);
        let now = Instant::now();
        for (place, (piece, row)) in self.places.iter_mut().zip(each_row(&self.pieces)) {
            let Place::Missing(key) = *place else { continue };
            let known = || self.asked.find(&key, piece, now);
            *place = match self.asked.cache.flights.join(key, known) {
                Ticket::Known(outcome) => {
                    self.looked.hit_memory += 1;
                    Place::Known(outcome)
                }
                Ticket::Follow(follow) => Place::Following { follow, is_own: false, key },
                Ticket::Lead(lead) => {
                    let follow = lead.follow();
                    batch.push_row(piece, row);
                    leads.push(lead);
                    Place::Following { follow, is_own: true, key }
                }
            };
        }
        if leads.is_empty() {
            return self.revision.give_back(batch, self.ask.options);
        }
        let party = Party {
            asked: self.asked.clone(),
            revision: Arc::clone(&self.revision),
            ask: self.ask,
            gate: context.gate.clone(),
            lane: context.lane.clone(),
            piece_rows_max,
            flow,
            deadline,
            spent: Arc::clone(self.spent.get_or_insert_default()),
        };
        let computation = Computation { party: Arc::new(party), batch, leads };
        if self.asked.has_remote {
            drop(tokio::spawn(computation.look_and_start()));
        } else {
            computation.start();
        }
    }

    /// Waits for all that is followed. A leader that was shed or late had its own deadline: what it
    /// left is missing again, unless this was the last time.
    async fn follow(&mut self, is_last: bool) -> Result<(), Lacking> {
        for place in &mut self.places {
            let Place::Following { follow, is_own, key } = place else { continue };
            let (is_own, key) = (*is_own, *key);
            let outcome = follow.await.map_err(|Lost| Lacking::Panic)?;
            let lacking = match outcome {
                Outcome::Shed { retry_after, reason } => {
                    Some(Lacking::Capacity(Refusal::Shed { retry_after, reason }))
                }
                Outcome::Late => Some(Lacking::Time),
                Outcome::Answer { .. } | Outcome::Refused(_) => None,
            };
            if let Some(lacking) = lacking {
                if is_own || is_last {
                    return Err(lacking);
                }
                *place = Place::Missing(key);
                continue;
            }
            let is_remote = matches!(outcome, Outcome::Answer { is_remote: true, .. });
            let count = match (is_own, is_remote) {
                (false, _) => &mut self.looked.coalesced,
                (true, true) => &mut self.looked.hit_redis,
                (true, false) if has_failed(self.spent.as_deref()) => &mut self.looked.failed,
                (true, false) => &mut self.looked.missed,
            };
            *count += 1;
            *place = Place::Known(outcome);
        }
        Ok(())
    }

    fn weigh(&mut self) {
        let kept = self.places.iter().map(|place| match place {
            Place::Known(Outcome::Answer { bytes, .. }) => bytes.len(),
            _ => 0,
        });
        self.kept_bytes = kept.sum();
    }

    fn land(mut self) -> Landed {
        let mut queued = None;
        if let Some(Spent { pushed_at, begun_at, computed_ns, .. }) = self.spent.as_deref() {
            self.looked.computed += Duration::from_nanos(computed_ns.load(Ordering::Relaxed));
            let both = begun_at.get().zip(pushed_at.get());
            queued = both.map(|(begun, pushed)| begun.duration_since(*pushed));
        }
        let Self { pieces, looked, kept_bytes, .. } = self;
        Landed { pieces, looked, queued, kept_bytes }
    }
}

fn has_failed(spent: Option<&Spent>) -> bool {
    spent.is_some_and(|spent| spent.has_failed.load(Ordering::Relaxed))
}

fn each_row(pieces: &[Batch]) -> impl Iterator<Item = (&Batch, usize)> {
    pieces.iter().flat_map(|piece| (0..piece.len()).map(move |row| (piece, row)))
}

/// What the rows have in common that one request leads.
struct Party {
    asked: Asked,
    revision: Arc<Revision>,
    ask: Ask,
    gate: SharedGate,
    lane: Lane,
    piece_rows_max: usize,
    /// Whose share of the lane it takes.
    flow: usize,
    deadline: Instant,
    spent: Arc<Spent>,
}

/// Rows that a request leads, on their way without it.
struct Computation {
    party: Arc<Party>,
    batch: Batch,
    /// One per row.
    leads: Vec<Lead<Key, Outcome>>,
}

impl Computation {
    /// Asks Redis first.
    async fn look_and_start(self) {
        let Self { party, batch: all, leads } = self;
        let Some(remote) = &party.asked.cache.remote else { return };
        let keys: Vec<Key> = leads.iter().map(|lead| *lead.key()).collect();
        let mut found = Vec::with_capacity(keys.len());
        for keys in keys.chunks(KEYS_MAX) {
            match remote.find(&party.asked.namespace, keys, &party.asked.cache.worth).await {
                Ok(answers) => found.extend(answers),
                Err(_) => {
                    party.spent.has_failed.store(true, Ordering::Relaxed);
                    break;
                }
            }
        }
        found.resize(keys.len(), None);
        let mut rest = party.batch();
        let mut missing = Vec::new();
        let now = Instant::now();
        for (row, (lead, answer)) in leads.into_iter().zip(found).enumerate() {
            match answer.filter(|answer| all.fits_answer(answer)) {
                Some(bytes) => {
                    party.asked.cache.store.keep(*lead.key(), Arc::clone(&bytes), now);
                    lead.land(Outcome::Answer { bytes, is_remote: true });
                }
                None => {
                    rest.push_row(&all, row);
                    missing.push(lead);
                }
            }
        }
        party.revision.give_back(all, party.ask.options);
        if !missing.is_empty() {
            Self { party: Arc::clone(&party), batch: rest, leads: missing }.start();
        }
    }

    /// Computes at once, if it is cheap; else has it admitted and queued.
    fn start(self) {
        let party = Arc::clone(&self.party);
        let cost = party.revision.cost_of(party.ask.options);
        let (rows, piece) = (self.batch.len(), self.batch.len().min(party.piece_rows_max));
        let work = Work { cost: cost.predict(rows), piece: cost.predict(piece) };
        if work.cost <= INLINE_TIME {
            return self.compute(None);
        }
        match party.gate.offer(party.flow, Instant::now(), work, party.deadline) {
            Ok(admitted) => {
                party.spent.pushed_at.get_or_init(Instant::now);
                let admitted = Arc::new(admitted);
                for part in self.divide() {
                    let (admitted, rows) = (Arc::clone(&admitted), part.batch.len());
                    let task: Task = Box::new(move || part.compute(Some(&admitted)));
                    party.lane.push(party.flow, cost.predict(rows), task);
                }
            }
            Err(Refusal::Shed { retry_after, reason }) => {
                for lead in self.leads {
                    lead.land(Outcome::Shed { retry_after, reason });
                }
            }
            // The gate has no other word for no; leads that are dropped tell it.
            Err(_) => {}
        }
    }

    /// In pieces of a task each.
    fn divide(self) -> Vec<Self> {
        let Self { party, batch: all, leads } = self;
        if all.len() <= party.piece_rows_max {
            return vec![Self { party, batch: all, leads }];
        }
        let mut leads = leads.into_iter();
        let mut parts = Vec::new();
        for first in (0..all.len()).step_by(party.piece_rows_max) {
            let mut batch = party.batch();
            let rows = first..all.len().min(first + party.piece_rows_max);
            let leads = leads.by_ref().take(rows.len()).collect();
            rows.for_each(|row| batch.push_row(&all, row));
            parts.push(Self { party: Arc::clone(&party), batch, leads });
        }
        party.revision.give_back(all, party.ask.options);
        parts
    }

    fn compute(self, admitted: Option<&Admitted>) {
        let Self { party, mut batch, leads } = self;
        let asked = &party.asked;
        party.spent.begun_at.get_or_init(Instant::now);
        let keys: Vec<Key> = leads.iter().map(|lead| *lead.key()).collect();
        // Whoever asked may have gone away.
        let leads: Vec<_> = leads.into_iter().map(Lead::leave_if_alone).collect();
        if leads.iter().all(Option::is_none) {
            return;
        }
        if admitted.is_some_and(|admitted| party.is_late(admitted, &leads)) {
            return leads.into_iter().flatten().for_each(|lead| lead.land(Outcome::Late));
        }
        let cost = party.revision.cost_of(party.ask.options);
        let predicted = cost.predict(batch.len());
        let begun = Instant::now();
        batch.score();
        let took = begun.elapsed();
        cost.observe(batch.len(), took);
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        party.spent.computed_ns.fetch_add(ns, Ordering::Relaxed);
        let now = Instant::now();
        for (row, (key, lead)) in keys.iter().zip(leads).enumerate() {
            let outcome = match (asked.keep(key, &batch, row, now), batch.output(row)) {
                (Some(bytes), _) => {
                    if let Some(remote) = asked.cache.remote.as_ref().filter(|_| asked.has_remote) {
                        remote.keep(&asked.namespace, key, &bytes);
                    }
                    Outcome::Answer { bytes, is_remote: false }
                }
                (None, Err(error)) => Outcome::Refused(Arc::new(error.clone())),
                (None, Ok(_)) => unreachable!("what is answered can be written"),
            };
            if let Some(lead) = lead {
                lead.land(outcome);
            }
        }
        party.revision.give_back(batch, party.ask.options);
        if let Some(admitted) = admitted {
            admitted.progress(predicted);
        }
    }
}

impl Party {
    /// Whether this would end too late for its caller, and so take the time of those who wait behind it
    /// for nothing. Others may follow who have more time; past the deadline only they are left.
    fn is_late(&self, admitted: &Admitted, leads: &[Option<Lead<Key, Outcome>>]) -> bool {
        let now = Instant::now();
        now < self.deadline
            && now + admitted.time_in_company() >= self.deadline
            && leads.iter().flatten().all(|lead| lead.followers() == 1)
    }

    fn batch(&self) -> Batch {
        self.revision.batch(self.ask.options)
    }
}
