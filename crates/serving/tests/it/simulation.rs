//! Deployments by seed: swaps, rollbacks, canaries, shadows, crashes, in any order.
//!
//! A plain model of the rules says what must come out of each step; the journal forgets, refuses
//! and outlives. A seed that fails is printed; `STEMSON_SEED=N` plays it alone, with its steps.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, SystemTime};

use stemson_mojo::{Digest, LoadOptions, Model};
use stemson_serving::{
    Candidate, Change, Chosen, Deployment, DeploymentState, Deployments, Event, Journal,
    JournalError, ModelName, Prepared, Revision, RollbackRefusal, Selector, Share, Swap,
    SwapRefusal, TrialLimits,
};

use crate::deployment::corpus;

const SEEDS: u64 = 10_000;
const STEPS: usize = 24;

/// `SplitMix64`.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// In [0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// What the disk does with the next change.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Keep,
    /// It is full; the process lives.
    Refuse,
    /// The process is killed, and the change was not there yet.
    LoseAndDie,
    /// The process is killed when the change is just there.
    KeepAndDie,
}

type Kept = BTreeMap<ModelName, (DeploymentState, Vec<Event>)>;

#[derive(Debug)]
struct Disk {
    kept: Mutex<Kept>,
    fate: Mutex<Fate>,
}

impl Journal for Disk {
    fn record(
        &self,
        name: &ModelName,
        state: &DeploymentState,
        event: &Event,
    ) -> Result<(), JournalError> {
        let fate = *self.fate.lock().expect("no panic before");
        if matches!(fate, Fate::Keep | Fate::KeepAndDie) {
            let mut kept = self.kept.lock().expect("no panic before");
            let place = kept.entry(name.clone()).or_insert_with(|| (state.clone(), Vec::new()));
            place.0 = state.clone();
            place.1.push(event.clone());
        }
        if fate == Fate::Keep { Ok(()) } else { Err(JournalError(format!("{fate:?}"))) }
    }
}

/// Three models that callers cannot tell apart, and one that they can.
fn models() -> &'static [Arc<Model>; 4] {
    static MODELS: OnceLock<[Arc<Model>; 4]> = OnceLock::new();
    MODELS.get_or_init(|| {
        let artifacts = [
            &corpus!("gbm_bernoulli")[..],
            corpus!("gbm_platt"),
            corpus!("gbm_isotonic"),
            corpus!("gbm_gaussian"),
        ];
        artifacts.map(|bytes| {
            Arc::new(Model::load(bytes, &LoadOptions::default()).expect("a corpus model loads"))
        })
    })
}

const ODD: usize = 3;

/// The rules, said once more: artifacts by index, revisions by number.
#[derive(Debug, Clone, PartialEq)]
struct Rules {
    /// Artifact of each number.
    known: Vec<usize>,
    current: u64,
    previous: Option<u64>,
    canary: Option<u64>,
    shadow: Option<u64>,
}

impl Rules {
    fn number(&mut self, artifact: usize) -> u64 {
        match self.known.iter().position(|known| *known == artifact) {
            Some(at) => at as u64 + 1,
            None => {
                self.known.push(artifact);
                self.known.len() as u64
            }
        }
    }

    fn artifact(&self, number: u64) -> usize {
        self.known[number as usize - 1]
    }

    fn succeed(&mut self, number: u64) {
        self.previous = Some(self.current);
        self.current = number;
        self.canary = None;
        self.shadow = self.shadow.filter(|shadow| *shadow != number);
    }

    fn is_drop_in(&self, artifact: usize) -> bool {
        (self.artifact(self.current) == ODD) == (artifact == ODD)
    }

    fn is_warm(&self, number: u64) -> bool {
        self.current == number || [self.previous, self.canary, self.shadow].contains(&Some(number))
    }

    /// What a step makes of it; none if the step is refused. Says whether anything changes.
    fn after(&self, step: Step) -> Option<(Self, bool)> {
        let mut next = self.clone();
        match step {
            Step::Swap(artifact, force) => {
                if artifact == self.artifact(self.current) {
                    return Some((next, false));
                }
                if !force && !self.is_drop_in(artifact) {
                    return None;
                }
                let number = next.number(artifact);
                next.succeed(number);
            }
            Step::Back(number) => {
                if number == self.current {
                    return Some((next, false));
                }
                next.succeed(number);
            }
            Step::Rollback(to) => {
                let wanted = to.or(self.previous)?;
                if wanted == self.current {
                    return Some((next, false));
                }
                if !self.is_warm(wanted) {
                    return None;
                }
                next.succeed(wanted);
            }
            Step::Canary(artifact) | Step::Shadow(artifact) => {
                if artifact == self.artifact(self.current) || !self.is_drop_in(artifact) {
                    return None;
                }
                let number = Some(next.number(artifact));
                let is_canary = matches!(step, Step::Canary(_));
                *(if is_canary { &mut next.canary } else { &mut next.shadow }) = number;
            }
            Step::Promote => next.succeed(self.canary?),
            Step::Abort => {
                self.canary?;
                next.canary = None;
            }
            Step::StopShadow => {
                self.shadow?;
                next.shadow = None;
            }
        }
        Some((next, true))
    }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    /// Artifact, and whether another schema is allowed.
    Swap(usize, bool),
    /// A number that was there before, loaded again.
    Back(u64),
    Rollback(Option<u64>),
    Canary(usize),
    Shadow(usize),
    Promote,
    Abort,
    StopShadow,
}

impl Step {
    fn draw(random: &mut Random, known: usize) -> Self {
        let artifact = random.below(4);
        let number = random.below(known) as u64 + 1;
        match random.below(12) {
            0..=2 => Self::Swap(artifact, random.below(3) == 0),
            3 => Self::Back(number),
            4 => Self::Rollback(None),
            5 => Self::Rollback(Some(number)),
            6 | 7 => Self::Canary(artifact),
            8 => Self::Shadow(artifact),
            9 => Self::Promote,
            10 => Self::Abort,
            _ => Self::StopShadow,
        }
    }
}

/// Why a step came to nothing.
#[derive(Debug)]
enum Nothing {
    Refused,
    NotKept,
}

impl From<SwapRefusal> for Nothing {
    fn from(refusal: SwapRefusal) -> Self {
        if matches!(refusal, SwapRefusal::Journal(_)) { Self::NotKept } else { Self::Refused }
    }
}

impl From<RollbackRefusal> for Nothing {
    fn from(refusal: RollbackRefusal) -> Self {
        if matches!(refusal, RollbackRefusal::Journal(_)) { Self::NotKept } else { Self::Refused }
    }
}

fn candidate(artifact: usize) -> Candidate {
    Candidate {
        model: Arc::clone(&models()[artifact]),
        ns_per_row: 1_000.0,
        prepared: Prepared::default(),
    }
}

fn change(step: usize, allow_schema_change: bool) -> Change {
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(step as u64);
    Change { at, by: "simulation".to_owned(), allow_schema_change }
}

/// One process after the other on one disk.
struct World {
    disk: Arc<Disk>,
    deployment: Deployments,
    rules: Rules,
    /// Requests under way, of this process.
    requests: Vec<Chosen>,
    /// Every revision that this process ever had.
    seen: Vec<Weak<Revision>>,
}

fn name() -> ModelName {
    "m".parse().expect("a name")
}

impl World {
    fn new(first: usize) -> Self {
        let disk = Disk { kept: Mutex::default(), fate: Mutex::new(Fate::Keep) };
        let disk = Arc::new(disk);
        let deployment = Deployments::with_journal(Arc::clone(&disk) as Arc<dyn Journal>);
        drop(deployment.swap(&name(), candidate(first), change(0, false)).expect("the first one"));
        let rules =
            Rules { known: vec![first], current: 1, previous: None, canary: None, shadow: None };
        Self { disk, deployment, rules, requests: Vec::new(), seen: Vec::new() }
    }

    fn deployment(&self) -> Arc<Deployment> {
        self.deployment.find(&name()).expect("deployed")
    }

    fn apply(&self, at: usize, step: Step) -> Result<Swap, Nothing> {
        let deployment = self.deployment();
        let limits = TrialLimits::default();
        Ok(match step {
            Step::Swap(artifact, force) => {
                deployment.swap(candidate(artifact), change(at, force))?
            }
            Step::Back(number) => {
                let artifact = self.rules.artifact(number);
                deployment.bring_back(candidate(artifact), change(at, true))?
            }
            Step::Rollback(to) => {
                let to = to.map(Selector::Number);
                deployment.rollback(to.as_ref(), change(at, false))?
            }
            Step::Canary(artifact) => {
                let share = Share::from_ratio(0.5).expect("a share");
                deployment.start_canary(candidate(artifact), share, limits, change(at, false))?
            }
            Step::Shadow(artifact) => {
                deployment.start_shadow(candidate(artifact), change(at, false))?
            }
            Step::Promote => deployment.promote(change(at, false))?,
            Step::Abort => deployment.abort(None, None, change(at, false))?,
            Step::StopShadow => deployment.stop_shadow(change(at, false))?,
        })
    }

    /// A new process on the old disk.
    fn restart(&mut self) {
        self.requests.clear();
        self.seen.clear();
        let journal = Arc::clone(&self.disk) as Arc<dyn Journal>;
        self.deployment = Deployments::with_journal(Arc::clone(&journal));
        let kept: Kept = self.disk.kept.lock().expect("no panic before").clone();
        for (name, (state, events)) in kept {
            let models = state.known.iter().map(|known| {
                let model = models().iter().find(|model| model.digest() == known.digest);
                let model = Arc::clone(model.expect("one of ours"));
                (
                    known.number,
                    Candidate { model, ns_per_row: 1_000.0, prepared: Prepared::default() },
                )
            });
            let (models, limits) = (models.collect(), TrialLimits::default());
            let journal = Arc::clone(&journal);
            let restored = Deployment::restore(name, state, events, models, limits, journal);
            self.deployment.adopt(Arc::new(restored.expect("it answered before")));
        }
    }

    /// What must hold whatever has happened.
    fn check(&mut self) {
        let deployment = self.deployment();
        let state = deployment.state();
        let kept = self.disk.kept.lock().expect("no panic before")[&name()].clone();
        assert_eq!((&state, &deployment.events()), (&kept.0, &kept.1), "what is seen is kept");
        let digest = |artifact: &usize| models()[*artifact].digest();
        let known: Vec<Digest> = state.known.iter().map(|known| known.digest).collect();
        assert_eq!(known, self.rules.known.iter().map(digest).collect::<Vec<_>>());
        let found = Rules {
            known: self.rules.known.clone(),
            current: state.current,
            previous: state.previous,
            canary: state.canary.map(|(number, _)| number),
            shadow: state.shadow,
        };
        assert_eq!(found, self.rules);
        let warm = deployment.warm();
        for revision in warm.revisions() {
            assert!(self.rules.is_warm(revision.number()), "{} is warm", revision.number());
            assert_eq!(revision.digest(), known[revision.number() as usize - 1]);
            if self.seen.iter().all(|seen| seen.as_ptr() != Arc::as_ptr(revision)) {
                self.seen.push(Arc::downgrade(revision));
            }
        }
        // Whoever is not warm and has no request is freed.
        for revision in self.seen.iter().filter_map(Weak::upgrade) {
            let is_held = warm.revisions().any(|warm| Arc::ptr_eq(warm, &revision))
                || self.requests.iter().any(|chosen| {
                    Arc::ptr_eq(&chosen.revision, &revision)
                        || chosen.shadow.as_ref().is_some_and(|s| Arc::ptr_eq(s, &revision))
                        // The trial of a request holds the canary that it is compared for.
                        || chosen.canary() == Some(revision.digest())
                });
            assert!(is_held, "revision {} leaks", revision.number());
        }
    }

    fn serve(&mut self, random: &mut Random) {
        let key = random.next();
        let deployment = self.deployment();
        let (chosen, again) = (deployment.choose(key), deployment.choose(key));
        assert!(Arc::ptr_eq(&chosen.revision, &again.revision), "one key, one revision");
        let number = chosen.revision.number();
        assert!(
            number == self.rules.current || Some(number) == self.rules.canary,
            "{number} answers: {:?}",
            self.rules
        );
        self.requests.push(chosen);
        if self.requests.len() > 3 {
            let over = random.below(self.requests.len());
            self.requests.swap_remove(over);
        }
    }
}

#[expect(clippy::print_stdout, reason = "for whoever plays one seed alone")]
fn play(seed: u64, tell: bool) {
    let mut random = Random(seed);
    let mut world = World::new(random.below(3));
    world.check();
    for at in 1..=STEPS {
        world.serve(&mut random);
        let step = Step::draw(&mut random, world.rules.known.len());
        let fate = match random.below(12) {
            0 => Fate::Refuse,
            1 => Fate::LoseAndDie,
            2 => Fate::KeepAndDie,
            _ => Fate::Keep,
        };
        *world.disk.fate.lock().expect("no panic before") = fate;
        let expected = world.rules.after(step);
        let found = world.apply(at, step);
        if tell {
            println!("{at}: {step:?}, {fate:?}: {:?}", found.as_ref().map(|swap| swap.outcome));
        }
        let is_kept = matches!(fate, Fate::Keep | Fate::KeepAndDie);
        match (expected, found) {
            (None, Err(Nothing::Refused)) => {}
            (Some((_, false)), Ok(swap)) => assert!(swap.retired.is_empty()),
            (Some((next, true)), Ok(swap)) => {
                assert_eq!(fate, Fate::Keep);
                for retired in &swap.retired {
                    assert!(!next.is_warm(retired.number()), "{} is wanted", retired.number());
                }
                world.rules = next;
            }
            (Some((next, true)), Err(Nothing::NotKept)) => {
                assert_ne!(fate, Fate::Keep);
                if is_kept {
                    world.rules = next;
                }
            }
            (expected, found) => panic!("step {at}, {step:?}: {found:?} instead of {expected:?}"),
        }
        if matches!(fate, Fate::LoseAndDie | Fate::KeepAndDie) {
            world.restart();
        }
        world.check();
    }
}

#[test]
fn every_seed_keeps_the_rules() {
    if let Ok(seed) = std::env::var("STEMSON_SEED") {
        return play(seed.parse().expect("a number"), true);
    }
    for seed in 0..SEEDS {
        let played = std::panic::catch_unwind(|| play(seed, false));
        assert!(played.is_ok(), "seed {seed} fails: STEMSON_SEED={seed} plays it alone");
    }
}
