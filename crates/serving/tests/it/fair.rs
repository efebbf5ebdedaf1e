//! Shares of the queue, counted in work.

use std::num::NonZeroU32;
use std::time::Duration;

use proptest::prelude::*;
use stemson_serving::FairQueue;

fn queue(weights: &[u32]) -> FairQueue<usize> {
    let weights: Vec<NonZeroU32> = weights.iter().filter_map(|w| NonZeroU32::new(*w)).collect();
    FairQueue::new(&weights)
}

/// Work of each flow among the first items that are taken, while all have more waiting.
fn served(weights: &[u32], costs_us: &[u64], taken: usize) -> Vec<u64> {
    let mut queue = queue(weights);
    for _ in 0..taken {
        for (flow, cost) in costs_us.iter().enumerate() {
            queue.push_back(flow, Duration::from_micros(*cost), flow);
        }
    }
    let mut work = vec![0; weights.len()];
    for _ in 0..taken {
        let flow = queue.pop().expect("more is waiting");
        work[flow] += costs_us[flow];
    }
    work
}

#[test]
fn contended_work_is_shared_by_weight_whatever_its_pieces() {
    for (weights, costs, expected) in [
        (&[1, 1][..], &[1_000, 1_000][..], &[0.5, 0.5][..]),
        (&[3, 1], &[1_000, 1_000], &[0.75, 0.25]),
        // Small pieces and large ones.
        (&[1, 1], &[10, 1_000], &[0.5, 0.5]),
        (&[1, 4], &[10, 1_000], &[0.2, 0.8]),
        (&[1, 2, 5], &[300, 700, 1_000], &[0.125, 0.25, 0.625]),
    ] {
        let work = served(weights, costs, 20_000);
        let all: u64 = work.iter().sum();
        for (flow, share) in expected.iter().enumerate() {
            let found = work[flow] as f64 / all as f64;
            assert!((found - share).abs() < 0.01, "{weights:?} {costs:?}: {work:?}");
        }
    }
}

#[test]
fn who_was_idle_gets_a_share_and_no_more() {
    let mut queue = queue(&[1, 1]);
    let ms = Duration::from_millis(1);
    for _ in 0..1_000 {
        queue.push_back(0, ms, 0);
    }
    for _ in 0..500 {
        assert_eq!(queue.pop(), Some(0), "alone, it has all");
    }
    for _ in 0..500 {
        queue.push_back(1, ms, 1);
    }
    let next: Vec<usize> = (0..20).filter_map(|_| queue.pop()).collect();
    assert_eq!(next.iter().filter(|flow| **flow == 1).count(), 10, "{next:?}");
}

proptest! {
    #[test]
    fn nothing_is_lost_and_a_flow_keeps_its_order(
        weights in prop::collection::vec(1_u32..9, 1..5),
        pushed in prop::collection::vec((0_usize..5, 0_u64..2_000, any::<bool>()), 0..200),
    ) {
        let mut queue: FairQueue<(usize, usize)> = FairQueue::new(
            &weights.iter().filter_map(|w| NonZeroU32::new(*w)).collect::<Vec<_>>(),
        );
        let (mut taken, mut n) = (Vec::new(), 0);
        for (index, (flow, cost_us, is_pop)) in pushed.iter().enumerate() {
            let flow = flow % weights.len();
            queue.push_back(flow, Duration::from_micros(*cost_us), (flow, index));
            n += 1;
            if *is_pop {
                taken.extend(queue.pop());
            }
        }
        prop_assert_eq!(queue.len() + taken.len(), n);
        taken.extend(std::iter::from_fn(|| queue.pop()));
        prop_assert_eq!(taken.len(), n);
        for flow in 0..weights.len() {
            let order: Vec<usize> =
                taken.iter().filter(|(of, _)| *of == flow).map(|(_, index)| *index).collect();
            prop_assert!(order.is_sorted());
        }
        prop_assert!(queue.is_empty());
    }
}
