//! What leaves gives its memory back.

use std::fs;
use std::time::{Duration, Instant};

use crate::serve::{Serving, ask};
use crate::{Folder, case};

/// Some 20 MB where it is loaded.
const BIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../benches/models/drf50d20/model.zip");

fn swap(serving: &Serving, name: &str, artifact: &[u8]) {
    let path = format!("/admin/models/{name}/swap?allow_schema_change=true");
    let (status, answer) = ask(&serving.admin, "POST", &path, artifact);
    assert_eq!(status, 200, "{answer}");
}

fn predict(serving: &Serving, name: &str) -> u16 {
    let path = format!("/v1/models/{name}:predict");
    ask(&serving.http, "POST", &path, br#"{"instances":[{}]}"#).0
}

/// What the server counts as the memory of all models, KiB.
fn model_kib(serving: &Serving) -> u64 {
    let metrics = ask(&serving.admin, "GET", "/metrics", b"").1;
    let lines = metrics.as_str().unwrap().lines();
    let models = lines.filter(|line| line.starts_with("stemson_model_bytes{"));
    models.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap() / 1024).sum()
}

/// Waits until no more than this is resident; gives what is at last.
fn settles(serving: &Serving, most_kib: u64) -> u64 {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let resident = serving.resident_kib();
        if resident <= most_kib || Instant::now() > deadline {
            return resident;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn models_that_leave_give_their_memory_back() {
    let folder = Folder::new();
    let (big, small) = (fs::read(BIG).unwrap(), ["gbm_bernoulli", "gbm_platt", "gbm_isotonic"]);
    let small = small.map(|id| fs::read(case(id, "model.zip")).unwrap());
    // What is freed leaves at once, so that what stays is what somebody holds. By itself the allocator of
    // glibc keeps up to twice the largest block that was ever freed.
    let environment = [("MALLOC_TRIM_THRESHOLD_", "131072")];
    let serving = Serving::start_in(&folder, &[], &environment);
    swap(&serving, "m", &small[0]);
    assert_eq!(predict(&serving, "m"), 200);
    let (before, without) = (serving.resident_kib(), model_kib(&serving));

    for round in 1..=3 {
        swap(&serving, "big", &big);
        assert_eq!(predict(&serving, "big"), 200);
        let (loaded, model) = (serving.resident_kib(), model_kib(&serving) - without);
        let (status, answer) = ask(&serving.http, "POST", "/v2/repository/models/big/unload", b"");
        assert_eq!(status, 200, "{answer}");
        let after = settles(&serving, before + model / 4);
        eprintln!(
            "unloaded {round}: model {model} KiB; resident {before}, {loaded}, then {after} KiB"
        );
        assert!(after <= before + model / 4, "{model} KiB: {before}, {loaded}, {after} KiB");
        assert_eq!(predict(&serving, "big"), 404);
    }
    // It comes back as it was.
    let (status, answer) = ask(&serving.http, "POST", "/v2/repository/models/big/load", b"");
    assert_eq!((status, predict(&serving, "big")), (200, 200), "{answer}");

    // Two swaps later it is not the previous one either.
    let (loaded, model) = (serving.resident_kib(), model_kib(&serving) - without);
    swap(&serving, "big", &small[1]);
    swap(&serving, "big", &small[2]);
    let after = settles(&serving, before + model / 4);
    eprintln!("swapped: model {model} KiB; resident {before}, {loaded}, then {after} KiB");
    assert!(after <= before + model / 4, "{model} KiB: {before}, {loaded}, {after} KiB");
}
