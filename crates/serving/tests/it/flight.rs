//! Single-flight through its face: what one thread can see of it.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use stemson_serving::cache::{Flights, Follow, Lead, Lost, Ticket};

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn lead(flights: &Arc<Flights<u32, u32>>, key: u32) -> Lead<u32, u32> {
    match flights.join(key, || None) {
        Ticket::Lead(lead) => lead,
        other => panic!("{other:?}"),
    }
}

fn follow(flights: &Arc<Flights<u32, u32>>, key: u32) -> Follow<u32> {
    match flights.join(key, || None) {
        Ticket::Follow(follow) => follow,
        other => panic!("{other:?}"),
    }
}

fn poll(follow: &mut Follow<u32>, woken: &Arc<Woken>) -> Poll<Result<u32, Lost>> {
    let waker = Waker::from(Arc::clone(woken));
    pin!(follow).poll(&mut Context::from_waker(&waker))
}

#[test]
fn all_that_follow_are_woken_when_it_lands_and_not_before() {
    let flights = Flights::new();
    let leader = lead(&flights, 1);
    let woken = Arc::<Woken>::default();
    let mut followers: Vec<_> = (0..100).map(|_| follow(&flights, 1)).collect();
    for follower in &mut followers {
        assert!(poll(follower, &woken).is_pending());
    }
    drop(lead(&flights, 2));
    assert_eq!(woken.0.load(Ordering::Relaxed), 0, "another key");
    leader.land(7);
    assert_eq!(woken.0.load(Ordering::Relaxed), 100);
    for follower in &mut followers {
        assert_eq!(poll(follower, &woken), Poll::Ready(Ok(7)));
    }
    assert!(flights.is_empty());
}

#[test]
fn a_value_that_is_known_needs_no_flight() {
    let flights = Flights::<u32, u32>::new();
    assert!(matches!(flights.join(1, || Some(7)), Ticket::Known(7)));
    assert!(flights.is_empty());
    let _leader = lead(&flights, 1);
    assert!(matches!(flights.join(1, || unreachable!("somebody leads")), Ticket::Follow(_)));
}

#[test]
fn a_panic_is_told_to_all_and_forgotten() {
    let flights = Flights::new();
    let leader = lead(&flights, 1);
    let mut follower = follow(&flights, 1);
    let woken = Arc::<Woken>::default();
    assert!(poll(&mut follower, &woken).is_pending());
    let work = std::panic::AssertUnwindSafe(|| {
        let _leader = leader;
        std::panic::resume_unwind(Box::new("a mistake of ours"));
    });
    assert!(std::panic::catch_unwind(work).is_err());
    assert_eq!(poll(&mut follower, &woken), Poll::Ready(Err(Lost)));
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    lead(&flights, 1).land(8);
}

#[test]
fn the_leaders_caller_may_go_while_somebody_follows() {
    let flights = Flights::new();
    let leader = lead(&flights, 1);
    // Its own caller, which goes away, and somebody else.
    let own = leader.follow();
    let mut other = follow(&flights, 1);
    drop(own);
    let leader = leader.leave_if_alone().expect("somebody waits");
    leader.land(7);
    assert_eq!(poll(&mut other, &Arc::default()), Poll::Ready(Ok(7)));

    let leader = lead(&flights, 1);
    let own = leader.follow();
    let leader = leader.leave_if_alone().expect("its caller waits");
    drop(own);
    assert!(leader.leave_if_alone().is_none(), "nobody is left");
    assert!(flights.is_empty());
}
