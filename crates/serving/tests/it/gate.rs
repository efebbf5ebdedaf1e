//! Scripts for the gate: what happens when, and what it says.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use stemson_serving::{Gate, ShedReason, Verdict, Work};

/// What happens. Times in ms.
enum Step {
    /// Arrives at, costs (in one piece), may take until.
    Offer(u64, u64, u64),
    /// Arrives at, costs, in pieces of, may take until.
    Pieces(u64, u64, u64, u64),
    /// What is left of this cost takes that long, as is known now.
    Amend(u64, u64),
    /// A part of this cost is done.
    Progress(u64),
    /// A request is over, with this much of its cost not named before.
    Leave(u64),
}
use Step::{Amend, Leave, Offer, Pieces, Progress};

/// One line per event, and what the gate answers to it. The only place that builds a gate.
#[track_caller]
fn check(lanes: u32, requests_max: usize, script: &[(Step, &str)]) {
    let start = any_instant();
    let ms = Duration::from_millis;
    let mut gate = Gate::new(lanes, requests_max);
    for (line, (step, expected)) in script.iter().enumerate() {
        let mut offer = |at: u64, cost, piece, until: u64| {
            let work = Work { cost: ms(cost), piece: ms(piece) };
            match gate.offer(0, start + ms(at), work, start + ms(until)) {
                Verdict::Admit => "admit".to_owned(),
                Verdict::Shed { retry_after, reason } => {
                    format!("{} {}", reason.as_str(), retry_after.as_millis())
                }
            }
        };
        let found = match *step {
            Offer(at, cost, until) => offer(at, cost, cost, until),
            Pieces(at, cost, piece, until) => offer(at, cost, piece, until),
            Amend(rest, now_known) => {
                gate.amend(0, ms(rest), ms(now_known));
                String::new()
            }
            Progress(cost) => {
                gate.progress(0, ms(cost));
                String::new()
            }
            Leave(rest) => {
                gate.leave(0, ms(rest));
                String::new()
            }
        };
        assert_eq!(found, *expected, "line {line}");
    }
}

#[expect(clippy::disallowed_methods, reason = "an `Instant` can be had in no other way")]
fn any_instant() -> Instant {
    Instant::now()
}

#[test]
fn refuses_what_cannot_finish_in_time() {
    check(
        1,
        100,
        &[
            (Offer(0, 50, 50), "admit"),
            // A quarter of the wait is kept back.
            (Offer(0, 50, 112), "deadline 50"),
            (Offer(0, 50, 113), "admit"),
            (Offer(0, 50, 174), "deadline 100"),
            (Offer(0, 50, 175), "admit"),
        ],
    );
}

#[test]
fn takes_more_when_work_is_done() {
    check(
        1,
        100,
        &[
            (Offer(0, 80, 100), "admit"),
            (Offer(0, 40, 115), "deadline 80"),
            (Progress(20), ""),
            (Offer(0, 40, 115), "admit"),
            (Leave(60), ""),
            (Offer(50, 10, 110), "admit"),
            (Offer(50, 10, 110), "deadline 50"),
        ],
    );
}

#[test]
fn threads_share_the_queue_but_not_one_piece() {
    check(
        2,
        100,
        &[
            (Offer(0, 100, 100), "admit"),
            (Offer(0, 100, 163), "admit"),
            (Offer(0, 10, 100), "deadline 100"),
            (Leave(100), ""),
            (Leave(100), ""),
            (Offer(0, 20, 100), "admit"),
            (Pieces(0, 150, 1, 100), "admit"),
            (Pieces(0, 40, 30, 100), "deadline 85"),
            (Pieces(0, 20, 1, 117), "admit"),
        ],
    );
}

#[test]
fn an_empty_gate_lets_a_wrong_prediction_be_mended() {
    check(
        1,
        100,
        &[
            (Offer(0, 5_000, 100), "admit"),
            (Offer(0, 1, 100), "deadline 5000"),
            (Leave(5_000), ""),
            (Offer(0, 5_000, 100), "admit"),
        ],
    );
}

#[test]
fn work_may_turn_out_to_be_other_than_it_looked() {
    check(
        1,
        100,
        &[
            (Offer(0, 1, 1_000), "admit"),
            (Amend(1, 5_000), ""),
            (Offer(0, 1, 1_000), "deadline 5000"),
            (Progress(4_990), ""),
            (Offer(0, 1, 1_000), "admit"),
            (Amend(10, 0), ""),
            (Leave(0), ""),
            (Leave(1), ""),
            (Offer(0, 1, 1_000), "admit"),
            (Offer(0, 1, 2), "deadline 1"),
        ],
    );
}

#[test]
fn what_is_late_already_is_never_admitted() {
    check(1, 100, &[(Offer(100, 0, 99), "deadline 0"), (Offer(100, 1, 100), "deadline 0")]);
}

#[test]
fn the_queue_has_an_end() {
    check(
        1,
        2,
        &[
            (Offer(0, 1, 1_000), "admit"),
            (Offer(0, 1, 1_000), "admit"),
            (Offer(0, 1, 1_000), "queue_full 2"),
            (Leave(1), ""),
            (Offer(0, 1, 1_000), "admit"),
        ],
    );
}

#[test]
fn leaving_twice_does_not_wrap_around() {
    check(1, 1, &[(Leave(10), ""), (Offer(0, 1, 10), "admit"), (Offer(0, 1, 10), "queue_full 1")]);
}

/// Flows by weight 1 and 3, one thread: a flow waits for its own work, and of the other's for as
/// much as falls to it meanwhile.
#[test]
fn flows_are_admitted_by_their_share() {
    let weights: Vec<NonZeroU32> = [1, 3].into_iter().filter_map(NonZeroU32::new).collect();
    let mut gate = Gate::weighted(1, 8, &weights);
    let (now, ms) = (any_instant(), Duration::from_millis);
    let mut offer =
        |flow, cost, until: u64| gate.offer(flow, now, Work::whole(ms(cost)), now + ms(until));
    // The heavy one takes what it may: a quarter of the places is the light one's.
    for _ in 0..6 {
        assert_eq!(offer(1, 10, 100), Verdict::Admit);
    }
    let full = Verdict::Shed { retry_after: ms(60), reason: ShedReason::QueueFull };
    assert_eq!(offer(1, 10, 1_000), full);
    // 10 of its own, meanwhile 30 of the other's 60, and a quarter of that is kept back.
    let late = Verdict::Shed { retry_after: ms(30), reason: ShedReason::Deadline };
    assert_eq!(offer(0, 10, 47), late);
    assert_eq!(offer(0, 10, 48), Verdict::Admit);
    // The heavy one waits for its 50, and for all of the other's 10.
    gate.leave(1, ms(10));
    assert_eq!(gate.wait(1, ms(10)), ms(60));
    gate.leave(0, ms(10));
    assert_eq!(gate.wait(1, ms(10)), ms(50));
    assert_eq!(gate.requests(), 5);
}
