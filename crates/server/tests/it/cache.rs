//! The prediction cache: what it answers is what is computed, whatever becomes of its Redis.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use stemson_mojo::{LoadOptions, Model};
use stemson_server::{CacheBackend, CacheConfig, ClientTls, Config};

use crate::redis::{Manner, PrivateRedis, Proxy, free_port};
use crate::tls::Authority;
use crate::wire::{Client, Serving, artifact, case_folder, config};

/// Everything is kept, however cheap: the models of the corpus are.
fn cached(backend: &str) -> Config {
    let backend = CacheBackend::parse(backend).expect("a backend");
    let cache = CacheConfig {
        backend,
        min_cost: Duration::ZERO,
        redis_min_cost: Some(Duration::ZERO),
        check_every: Duration::from_millis(500),
        // The machine may be busy: none of these tests is about milliseconds.
        budget: Duration::from_millis(100),
        ..CacheConfig::default()
    };
    Config { cache, ..config() }
}

/// `SplitMix64`.
struct Draws(u64);

impl Draws {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % n as u64).expect("small")
    }
}

/// A model under test, and rows that come again and again.
struct Subject {
    case: String,
    rows: Vec<Value>,
}

impl Subject {
    fn new(case: &str, draws: &mut Draws) -> Self {
        let options = LoadOptions::default();
        let model = Arc::new(Model::load(&artifact(case), &options).expect(case));
        let row = |draws: &mut Draws| {
            let mut row = Map::new();
            for column in model.schema().columns() {
                let value = match draws.below(8) {
                    0 => continue,
                    1 => Value::Null,
                    2 => json!("no level of this column"),
                    _ if column.levels.is_empty() => json!(draws.below(4_000) as f64 / 64.0 - 20.0),
                    _ => json!(column.levels[draws.below(column.levels.len())]),
                };
                row.insert(column.name.clone(), value);
            }
            Value::Object(row)
        };
        Self { case: case.to_owned(), rows: (0..5).map(|_| row(draws)).collect() }
    }

    /// A request: path and body.
    fn request(&self, draws: &mut Draws) -> (String, String) {
        let rows: Vec<&Value> =
            (0..=draws.below(4)).map(|_| &self.rows[draws.below(self.rows.len())]).collect();
        let mut asked = Map::new();
        match draws.below(8) {
            0 => drop(asked.insert("contributions".to_owned(), true.into())),
            1 => drop(asked.insert("staged".to_owned(), true.into())),
            2 => drop(asked.insert("leaf_assignment".to_owned(), "paths".into())),
            3 => drop(asked.insert("leaf_assignment".to_owned(), "ids".into())),
            4 => drop(asked.insert("strict".to_owned(), true.into())),
            _ => {}
        }
        let name = self.name();
        if draws.below(3) == 0 {
            let texts: Vec<String> = rows.iter().map(ToString::to_string).collect();
            let input = json!({
                "name": "row", "shape": [rows.len()], "datatype": "BYTES", "data": texts
            });
            let body = json!({ "inputs": [input], "parameters": asked });
            return (format!("/v2/models/{name}/infer"), body.to_string());
        }
        asked.insert("instances".to_owned(), json!(rows));
        (format!("/v1/models/{name}:predict"), Value::Object(asked).to_string())
    }

    fn name(&self) -> String {
        self.case.replace('@', "-")
    }
}

/// The first case of each algorithm and category.
fn cases() -> Vec<String> {
    let index = fs::read_to_string(case_folder("index.csv")).expect("the list");
    let mut seen: Vec<String> = Vec::new();
    let mut cases = Vec::new();
    for line in index.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let kind = fields[1..3].join(" ");
        let loads = Model::load(&artifact(fields[0]), &LoadOptions::default()).is_ok();
        if loads && !seen.contains(&kind) {
            seen.push(kind);
            cases.push(fields[0].to_owned());
        }
    }
    cases
}

/// The sum of a metric's samples whose line has all these words.
fn metric(client: &mut Client, words: &[&str]) -> u64 {
    let text = client.get("/metrics").body;
    let lines = text.lines().filter(|line| words.iter().all(|word| line.contains(word)));
    lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
}

fn outcome(client: &mut Client, outcome: &str) -> u64 {
    metric(client, &["stemson_cache_requests_total{", &format!("outcome=\"{outcome}\"")])
}

/// Status and body; of a refusal all but the id of the request.
fn ask(client: &mut Client, path: &str, body: &str) -> (u16, Value) {
    let reply = client.post(path, body);
    let mut body = reply.json();
    if let Some(error) = body.as_object_mut().filter(|_| reply.status != 200) {
        error.remove("request_id");
    }
    (reply.status, body)
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_mins(1);
    while !is_so() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn what_is_kept_is_what_is_computed() {
    let mut draws = Draws(7);
    let cases = cases();
    assert!(cases.len() > 20, "{cases:?}");
    let subjects: Vec<Subject> = cases.iter().map(|case| Subject::new(case, &mut draws)).collect();
    let names: Vec<(String, &str)> =
        subjects.iter().map(|subject| (subject.name(), subject.case.as_str())).collect();
    let models: Vec<(&str, &str)> =
        names.iter().map(|(name, case)| (name.as_str(), *case)).collect();
    let redis = PrivateRedis::start(&[]);
    let servers = [cached("none"), cached("memory"), cached(&redis.url())]
        .map(|config| Serving::start(config, &models));
    let mut clients = servers.each_ref().map(Serving::http);
    let mut answered = 0;
    let mut requests = Vec::new();
    for n in 0..subjects.len() * 40 {
        let subject = &subjects[n % subjects.len()];
        let (path, body) = subject.request(&mut draws);
        let [computed, memory, remote] = clients.each_mut().map(|client| ask(client, &path, &body));
        assert_eq!(memory, computed, "memory: {path} {body}");
        assert_eq!(remote, computed, "Redis: {path} {body}");
        assert!(computed.0 < 500, "{computed:?}");
        answered += u64::from(computed.0 == 200);
        requests.push((path, body, computed));
    }
    assert!(answered > requests.len() as u64 / 2, "{answered} of {}", requests.len());
    let hits = outcome(&mut clients[1], "hit_memory");
    println!("{answered} requests answered, {hits} rows from memory");
    assert!(hits > answered, "{hits} rows from memory");

    // Another process with nothing in its memory, and the same Redis.
    let written = |client: &mut Client| metric(client, &["cache_redis_total", "written"]);
    wait_until("all is written", || {
        let (before, keys) = (written(&mut clients[2]), redis.keys().len() as u64);
        keys >= 5 && before >= keys && before == written(&mut clients[2])
    });
    let second = Serving::start(cached(&redis.url()), &models);
    let mut client = second.http();
    for (path, body, computed) in &requests {
        assert_eq!(ask(&mut client, path, body), *computed, "second process: {path} {body}");
    }
    let found = outcome(&mut client, "hit_redis");
    println!("{found} rows from Redis, {} keys there", redis.keys().len());
    assert!(found > 50, "{found} rows from Redis");
}

#[test]
fn a_swap_never_answers_from_the_other_revision() {
    let artifacts = [artifact("gbm_bernoulli"), artifact("gbm_platt")];
    let redis = PrivateRedis::start(&[]);
    let models = [("churn", "gbm_bernoulli")];
    let servers = [cached("none"), cached("memory"), cached(&redis.url())]
        .map(|config| Serving::start(config, &models));
    let mut clients = servers.each_ref().map(Serving::http);
    let mut draws = Draws(11);
    let subject = Subject { case: "churn".to_owned(), ..Subject::new("gbm_bernoulli", &mut draws) };
    for n in 0..300 {
        if draws.below(10) == 0 {
            let artifact = &artifacts[draws.below(2)];
            for server in &servers {
                server.admin().post("/admin/models/churn/swap", artifact).ok();
            }
        }
        let (path, body) = subject.request(&mut draws);
        let [computed, memory, remote] = clients.each_mut().map(|client| ask(client, &path, &body));
        assert_eq!(memory, computed, "request {n}, memory: {body}");
        assert_eq!(remote, computed, "request {n}, Redis: {body}");
    }
    assert!(outcome(&mut clients[1], "hit_memory") > 300);
}

/// Requests for rows that no other has, answered by a server with this backend as by one without;
/// and how many questions failed before the fault. `n` come before it, and `n` after.
#[expect(clippy::print_stdout, reason = "latencies are shown, not judged")]
fn under_fault(
    what: &str,
    url: &str,
    n: usize,
    fault: impl FnOnce(&mut Client),
) -> (Serving, Client, u64) {
    let models = [("churn", "gbm_bernoulli")];
    let (plain, server) =
        (Serving::start(cached("none"), &models), Serving::start(cached(url), &models));
    let (mut expected, mut client) = (plain.http(), server.http());
    let mut fault = Some(fault);
    let (mut longest, mut failed) = (Duration::ZERO, 0);
    for row in 0..2 * n {
        if row == n
            && let Some(fault) = fault.take()
        {
            failed = metric(&mut client, &["cache_redis_total", "\"failed\""]);
            fault(&mut client);
        }
        let body = json!({"instances": [{"x1": row as f64 / 8.0, "c3": "red"}]}).to_string();
        let path = "/v1/models/churn:predict";
        let computed = ask(&mut expected, path, &body);
        let begun = Instant::now();
        assert_eq!(ask(&mut client, path, &body), computed, "{what}, row {row}");
        if row >= n {
            longest = longest.max(begun.elapsed());
        }
    }
    let all = metric(&mut client, &["cache_redis_total", "\"failed\""]);
    println!(
        "{what}: longest request {longest:?}, {} questions failed, before {failed}",
        all - failed
    );
    (server, client, failed)
}

fn state(client: &mut Client, state: &str) -> bool {
    metric(client, &["stemson_cache_breaker{", &format!("\"{state}\"")]) == 1
}

/// After five failures it is left alone; signs of life in the background fail as well.
fn is_left_alone(client: &mut Client, before: u64) {
    let failed = metric(client, &["cache_redis_total", "\"failed\""]) - before;
    assert!(failed <= 5, "{failed} questions failed");
    assert!(outcome(client, "error") >= failed, "rows computed for want of an answer");
    assert!(!state(client, "closed"), "it is left alone");
}

#[test]
fn nobody_is_there() {
    let (_server, mut client, _) = under_fault(
        "down from the start",
        &format!("redis://127.0.0.1:{}", free_port()),
        20,
        |_| {},
    );
    is_left_alone(&mut client, 0);
}

#[test]
fn it_goes_away() {
    let mut redis = Some(PrivateRedis::start(&[]));
    let url = redis.as_ref().map(PrivateRedis::url).expect("it runs");
    let (_server, mut client, before) = under_fault("killed", &url, 50, |_| drop(redis.take()));
    is_left_alone(&mut client, before);
}

#[test]
fn it_stops_answering_and_comes_back() {
    let redis = PrivateRedis::start(&[]);
    let (_server, mut client, before) = under_fault("stopped", &redis.url(), 50, |_| redis.pause());
    is_left_alone(&mut client, before);
    redis.go_on();
    wait_until("it is asked again", || state(&mut client, "closed"));
    let written = metric(&mut client, &["cache_redis_total", "\"written\""]);
    let body = json!({"instances": [{"x1": 1e6}]}).to_string();
    ask(&mut client, "/v1/models/churn:predict", &body);
    wait_until("and written to", || {
        metric(&mut client, &["cache_redis_total", "\"written\""]) > written
    });
}

#[test]
fn it_is_slow() {
    let redis = PrivateRedis::start(&[]);
    let proxy = Proxy::start(redis.port(), Manner::Slow(Duration::from_millis(400)));
    let (_server, mut client, _) = under_fault("slow by 400 ms", &proxy.url(), 50, |_| {});
    assert!(outcome(&mut client, "error") <= 5, "after that it is left alone");
}

#[test]
fn it_breaks_connections() {
    let redis = PrivateRedis::start(&[]);
    let proxy = Proxy::start(redis.port(), Manner::Resetting);
    under_fault("resetting", &proxy.url(), 50, |_| {});
}

#[test]
fn it_is_full() {
    let redis = PrivateRedis::start(&["--maxmemory", "1", "--maxmemory-policy", "noeviction"]);
    let (_server, mut client, _) = under_fault("full", &redis.url(), 50, |_| {});
    wait_until("it says so", || metric(&mut client, &["cache_redis_total", "\"refused\""]) > 0);
    assert!(redis.keys().is_empty());
    assert!(state(&mut client, "closed"), "it answers questions");
}

#[test]
fn it_lies() {
    let redis = PrivateRedis::start(&[]);
    let n = 40;
    let (first, mut client, _) = under_fault("before it lies", &redis.url(), n, |_| {});
    wait_until("all is written", || redis.keys().len() == 2 * n);
    assert_eq!(metric(&mut client, &["cache_redis_total", "\"damaged\""]), 0);
    drop(client);
    drop(first);
    // Cut, changed, of another key, of another type, nonsense.
    let keys = redis.keys();
    let other: Vec<u8> = redis.run(&[b"GET", keys[0].as_bytes()]);
    for (n, key) in keys.iter().enumerate() {
        let mut value: Vec<u8> = redis.run(&[b"GET", key.as_bytes()]);
        match n % 5 {
            0 => value.truncate(value.len() - 1),
            1 => *value.last_mut().expect("an answer") ^= 1,
            2 => value.clone_from(&other),
            3 => {
                redis.run::<()>(&[b"DEL", key.as_bytes()]);
                redis.run::<()>(&[b"RPUSH", key.as_bytes(), b"no", b"string"]);
                continue;
            }
            _ => value = b"HTTP/1.1 200 OK".to_vec(),
        }
        redis.run::<()>(&[b"SET", key.as_bytes(), &value]);
    }
    let (_server, mut client, _) = under_fault("lying", &redis.url(), n, |_| {});
    let damaged = metric(&mut client, &["cache_redis_total", "\"damaged\""]);
    println!("{damaged} values were no answers");
    assert!(damaged >= n as u64, "{damaged}");
    assert_eq!(outcome(&mut client, "hit_redis"), 0);
}

/// Asks rows that nobody has asked, until it `is_so`.
fn ask_until(what: &str, serving: &Serving, mut is_so: impl FnMut(&mut Client) -> bool) {
    let (mut http, mut admin) = (serving.http(), serving.admin());
    let mut n = 0;
    wait_until(what, || {
        n += 1;
        let body = format!("{{\"instances\":[{{\"x1\":{n}}}]}}");
        http.post("/v1/models/churn:predict", body).ok();
        is_so(&mut admin)
    });
}

#[test]
fn redis_is_asked_over_tls() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, pem: &str| {
        let path = folder.path().join(name);
        fs::write(&path, pem).expect("a file");
        path
    };
    let (server, own) = (authority.card(&["localhost"], "redis"), authority.card(&[], "stemson"));
    let text = |path: std::path::PathBuf| path.to_str().expect("text").to_owned();
    let certificate = text(file("redis.pem", &server.certificate));
    let key = text(file("redis-key.pem", &server.key));
    let ca = file("ca.pem", &authority.pem());
    let port = free_port().to_string();
    let redis = PrivateRedis::start(&[
        "--tls-port",
        &port,
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &text(ca.clone()),
        "--tls-auth-clients",
        "yes",
    ]);
    let with = |tls: ClientTls| {
        let mut config = cached(&format!("rediss://localhost:{port}/0"));
        // A handshake takes its time on a busy machine.
        config.cache.budget = Duration::from_secs(1);
        config.cache.redis_tls = tls;
        config
    };
    let serve = |tls| Serving::start(with(tls), &[("churn", "gbm_bernoulli")]);
    let card = ClientTls {
        ca: Some(ca.clone()),
        certificate: Some(file("own.pem", &own.certificate)),
        key: Some(file("own-key.pem", &own.key)),
    };
    ask_until("answers are written", &serve(card.clone()), |_| redis.keys().len() >= 5);
    ask_until("they are found", &serve(card.clone()), |client| outcome(client, "hit_redis") > 0);
    // Predictions need none of it: nobody shows a certificate, or trusts this one.
    let written = redis.keys().len();
    let other_ca = Some(file("stranger.pem", &stranger.pem()));
    for tls in [
        ClientTls { ca: Some(ca), ..ClientTls::default() },
        ClientTls { ca: other_ca, ..card.clone() },
    ] {
        let failed = |client: &mut Client| metric(client, &["cache_redis_total", "\"failed\""]) > 0;
        ask_until("it is not answered", &serve(tls), failed);
    }
    assert_eq!(redis.keys().len(), written);

    let nowhere = Some(folder.path().join("none.pem"));
    for (tls, words) in [
        (ClientTls { ca: nowhere, ..ClientTls::default() }, "redis_ca: cannot read"),
        (ClientTls { key: None, ..card.clone() }, "together with redis_key"),
    ] {
        let error = stemson_server::Server::bind(with(tls)).expect_err(words);
        assert!(error.to_string().contains(words), "{error}");
    }
    let mut plain = cached(&redis.url());
    plain.cache.redis_tls = card;
    let error = stemson_server::Server::bind(plain).expect_err("it would not be encrypted");
    assert!(error.to_string().contains("rediss:// alone"), "{error}");
}

#[test]
fn a_model_is_left_out_where_somebody_says_so() {
    let cache = CacheConfig {
        min_cost: Duration::ZERO,
        except: vec!["plain".to_owned()],
        ..CacheConfig::default()
    };
    let serving = Serving::start(
        Config { cache, ..config() },
        &[("churn", "gbm_bernoulli"), ("plain", "gbm_bernoulli")],
    );
    let mut client = serving.http();
    for name in ["churn", "plain"] {
        for _ in 0..3 {
            client.post(&format!("/v1/models/{name}:predict"), r#"{"instances":[{"x1":1}]}"#).ok();
        }
        let kept = metric(&mut client, &["cache_requests_total{", name, "hit_memory"]);
        assert_eq!(kept, if name == "plain" { 0 } else { 2 }, "{name}");
    }
}

/// Written by the lane: it takes longer than the reactor has.
#[test]
fn long_answers_are_kept_as_well() {
    let serving = Serving::start(cached("memory"), &[("churn", "gbm_bernoulli")]);
    let mut client = serving.http();
    let rows: Vec<Value> = (0..200).map(|row| json!({"x1": row as f64 / 8.0})).collect();
    let body = json!({
        "instances": rows, "leaf_assignment": "paths", "staged": true, "contributions": true
    });
    let path = "/v1/models/churn:predict";
    let computed = ask(&mut client, path, &body.to_string());
    assert_eq!((computed.0, computed.1["predictions"].as_array().map(Vec::len)), (200, Some(200)));
    assert_eq!(ask(&mut client, path, &body.to_string()), computed);
    assert_eq!(outcome(&mut client, "hit_memory"), 200);
}

/// The long form of the herd: 1,000 requests a second for one row, while the model is swapped each
/// second for one that no process has seen. `cargo nextest run -p stemson-server --run-ignored only
/// herd_at_each_swap --no-capture`.
#[test]
#[ignore = "takes ten seconds, and both processors"]
fn herd_at_each_swap() {
    const SWAPS: u16 = 8;
    const CLIENTS: u32 = 8;
    const EVERY: Duration = Duration::from_millis(8);
    let model = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../benches/models/gbm500d8/model.zip");
    let base = fs::read(model).expect("a model");
    // Another comment of the archive, another digest.
    let numbered = |n: u16| {
        let mut bytes = base[..base.len() - 2].to_vec();
        bytes.extend_from_slice(&2_u16.to_le_bytes());
        bytes.extend_from_slice(&n.to_le_bytes());
        bytes
    };
    let serving = Serving::start(config(), &[]);
    let swap = |n: u16| {
        let path = "/admin/models/churn/swap";
        serving.admin().post(path, numbered(n)).ok()
    };
    drop(swap(0));
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let body = r#"{"instances":[{}],"contributions":true}"#;
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (serving, is_over) = (&serving, &is_over);
            scope.spawn(move || {
                let mut http = serving.http();
                let mut next = Instant::now() + EVERY / CLIENTS * client;
                while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                    std::thread::sleep(next.saturating_duration_since(Instant::now()));
                    next += EVERY;
                    http.post("/v1/models/churn:predict", body).ok();
                }
            });
        }
        for n in 1..=SWAPS {
            std::thread::sleep(Duration::from_secs(1));
            drop(swap(n));
        }
        std::thread::sleep(Duration::from_secs(1));
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    let mut client = serving.http();
    let [computed, shared, kept, bypassed] =
        ["miss", "coalesced", "hit_memory", "bypass"].map(|word| outcome(&mut client, word));
    let keys = f64::from(SWAPS) + 1.0;
    println!("{computed} computations of {keys} keys, {shared} shared, {kept} from memory");
    assert_eq!(bypassed, 0, "contributions of 500 trees are worth keeping");
    assert!(computed as f64 <= 1.1 * keys, "{computed} computations of {keys} keys");
    assert!(kept + shared > 1_000, "{kept} from memory, {shared} shared");
}
