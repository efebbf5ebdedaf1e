//! What a store says that it holds, beside what the allocator says.

#[path = "../../../mojo/tests/it/hostile/memory.rs"]
#[allow(clippy::print_stderr, reason = "its last words")]
mod memory;

use std::sync::Arc;
use std::time::{Duration, Instant};

use stemson_mojo::{Batch, LoadOptions, Model, Options};
use stemson_serving::cache::{AnswerStore, Key, Namespace};

const MODEL: &[u8] = include_bytes!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../tests/corpora/mojo/gbm_bernoulli/model.zip"
));

fn keys(n: usize) -> Vec<Key> {
    let model = Arc::new(Model::load(MODEL, &LoadOptions::default()).expect("a model"));
    let name = "churn".parse().expect("a name");
    let namespace = Namespace::new(&name, model.digest(), Options::default(), false);
    let mut batch = Batch::new(Arc::clone(&model), Options::default());
    let rows: Vec<f64> = (0..n * model.raw_len()).map(|x| x as f64).collect();
    batch.push_raw(&rows);
    (0..n).map(|row| namespace.key(&batch, row).expect("a key")).collect()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "there is no other way to a first point in time")]
fn the_bytes_that_are_counted_are_the_bytes_that_are_held() {
    const MAX: u64 = 8 << 20;
    let (keys, now) = (keys(80_000), Instant::now());
    for len in [8, 40, 200, 1_000, 20_000] {
        let fill = || {
            let store = AnswerStore::new(MAX, Duration::from_hours(1));
            for key in &keys {
                store.keep(*key, vec![7; len].into(), now);
            }
            store
        };
        let (store, used) = memory::measure(0, fill);
        let size = store.size();
        println!("{len} bytes: {size:?}, {} at most by the allocator", used.peak_bytes);
        assert!(size.evictions > 0, "it is full");
        assert!(size.bytes > MAX * 8 / 10, "and uses what it may: {size:?}");
        assert!(used.peak_bytes as u64 <= MAX, "{len} bytes: {used:?}, {size:?}");
    }
}
