//! A configuration that changes while the server runs, and what systemd hears.

use std::fs;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::serve::{Serving, ask};
use crate::{Folder, case};

/// A folder with two models.
fn folder() -> Folder {
    let folder = Folder::new();
    for (id, name) in [("gbm_bernoulli", "old.zip"), ("gbm_platt", "new.zip")] {
        fs::copy(case(id, "model.zip"), folder.path(name)).unwrap();
    }
    folder
}

fn model(name: &str, file: &str) -> String {
    format!("[[model]]\nname = \"{name}\"\npath = \"{file}\"\n")
}

/// Status of a prediction of so many rows.
fn predict(serving: &Serving, name: &str, rows: usize) -> u16 {
    let body = format!("{{\"instances\":[{}]}}", vec!["{}"; rows].join(","));
    ask(&serving.http, "POST", &format!("/v1/models/{name}:predict"), body.as_bytes()).0
}

fn reload(serving: &Serving) -> (u16, Value) {
    ask(&serving.admin, "POST", "/admin/reload", b"")
}

/// What a reload says of the configuration.
fn taken(serving: &Serving) -> Value {
    let (status, answer) = reload(serving);
    assert_eq!(status, 200, "{answer}");
    let reports = answer["reloaded"].as_array().unwrap();
    reports.iter().find(|report| report["what"] == "configuration").unwrap().clone()
}

#[test]
fn a_new_configuration_is_taken_up_without_a_restart() {
    let folder = folder();
    let write = |text: &str| folder.write("stemson.toml", text);
    let models = model("a", "old.zip") + &model("b", "old.zip");
    write(&format!("[limits]\nrows = 2\n[log]\nlevel = \"warn\"\n{models}"));
    let serving = Serving::start(&folder, &[]);
    assert_eq!((predict(&serving, "a", 2), predict(&serving, "a", 3)), (200, 413));
    assert_eq!(taken(&serving)["news"], "nothing has changed");

    let models = model("a", "new.zip") + &model("c", "old.zip");
    let limits = "[limits]\nrows = 3\nconnections = 9\n[server]\ncompute_threads = 1\n";
    write(&format!("{limits}[log]\nlevel = \"error\"\n{models}"));
    let report = taken(&serving);
    assert_eq!(report["outcome"], "done", "{report}");
    let news = report["news"].as_str().unwrap();
    for expected in [
        "[limits] rows",
        "[log] level",
        "a: revision 2 is current",
        "b: unloaded",
        "c: revision 1 is current",
    ] {
        assert!(news.split("; ").any(|it| it == expected), "{expected}: {news}");
    }
    assert_eq!(
        report["needs_restart"],
        json!(["[server] compute_threads", "[limits] connections"])
    );
    assert_eq!((predict(&serving, "a", 3), predict(&serving, "a", 4)), (200, 413));
    assert_eq!((predict(&serving, "b", 1), predict(&serving, "c", 1)), (404, 200));
    assert_eq!(ask(&serving.admin, "GET", "/admin/log", b"").1["level"], "error");

    // What is wrong changes nothing.
    for (text, words) in [
        ("[limits]\nrows = 0\n", "rows is 0, expected at least 1"),
        ("[limits]\nrws = 5\n", "unknown key `rws` in [limits]"),
        ("[limits\n", "is no TOML"),
        ("[admin]\nallowed_hosts = [\"x.example\"]\nhosts_ca = \"none.pem\"\n", "none.pem"),
    ] {
        write(text);
        let (status, answer) = reload(&serving);
        assert_eq!((status, &answer["code"]), (409, &json!("reload_refused")), "{answer}");
        assert!(answer["error"].as_str().unwrap().contains(words), "{answer}");
    }
    assert_eq!((predict(&serving, "a", 3), predict(&serving, "a", 4)), (200, 413));

    // A model that is not right leaves the others alone, and what answered answers on.
    folder.write("text.zip", "no model");
    write(&format!("[limits]\nrows = 4\n{}", model("a", "text.zip") + &model("c", "new.zip")));
    let report = taken(&serving);
    assert_eq!(report["outcome"], "partly", "{report}");
    assert!(report["problems"][0].as_str().unwrap().starts_with("a: "), "{report}");
    assert!(report["news"].as_str().unwrap().contains("c: revision 2 is current"), "{report}");
    assert_eq!((predict(&serving, "a", 4), predict(&serving, "c", 4)), (200, 200));

    // A signal does the same.
    write(&format!("[limits]\nrows = 5\n{}", model("a", "new.zip")));
    serving.signal("HUP");
    let deadline = Instant::now() + Duration::from_mins(1);
    while predict(&serving, "a", 5) != 200 || predict(&serving, "c", 1) != 404 {
        assert!(Instant::now() < deadline, "the signal is not heard");
    }
    let (_, metrics) = ask(&serving.admin, "GET", "/metrics", b"");
    let metrics = metrics.as_str().unwrap();
    for (outcome, n) in [("refused", 4), ("partly", 1)] {
        let labels = format!("{{what=\"configuration\",outcome=\"{outcome}\"}} {n}\n");
        assert!(metrics.contains(&format!("stemson_reloads_total{labels}")), "{labels}");
    }
}

/// Where systemd listens.
struct Systemd(UnixDatagram);

impl Systemd {
    /// The next message that is no sign of life.
    fn next(&self) -> String {
        loop {
            let message = self.any();
            if message != "WATCHDOG=1" {
                return message;
            }
        }
    }

    fn any(&self) -> String {
        let mut bytes = [0; 256];
        let n = self.0.recv(&mut bytes).expect("the server says something");
        String::from_utf8(bytes[..n].to_vec()).unwrap()
    }
}

#[test]
fn systemd_hears_how_far_the_server_is() {
    let folder = folder();
    let path = folder.path("notify");
    let name = format!("stemson-test-{}", std::process::id());
    let in_folder = SocketAddr::from_pathname(&path).unwrap();
    let in_no_folder = SocketAddr::from_abstract_name(&name).unwrap();
    for (address, said) in [(in_folder, path), (in_no_folder, format!("@{name}"))] {
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        socket.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        let systemd = Systemd(socket);
        let environment = [("NOTIFY_SOCKET", said.as_str()), ("WATCHDOG_USEC", "100000")];
        let serving = Serving::start_in(&folder, &["old.zip"], &environment);
        assert_eq!(systemd.next(), "READY=1");
        for _ in 0..3 {
            assert_eq!(systemd.any(), "WATCHDOG=1");
        }
        serving.signal("HUP");
        let reloading = systemd.next();
        let since = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect(&reloading);
        assert!(since.parse::<u64>().unwrap() > 0, "{reloading}");
        assert_eq!(systemd.next(), "READY=1", "the reload is over");
        serving.signal("TERM");
        assert_eq!(systemd.next(), "STOPPING=1");
        assert_eq!(serving.ended().0, Some(0));
    }
}

#[test]
fn a_watchdog_of_another_process_is_not_fed() {
    let folder = folder();
    let path = folder.path("notify");
    let systemd = Systemd(UnixDatagram::bind(&path).unwrap());
    systemd.0.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let environment =
        [("NOTIFY_SOCKET", path.as_str()), ("WATCHDOG_USEC", "1000"), ("WATCHDOG_PID", "1")];
    let serving = Serving::start_in(&folder, &["old.zip"], &environment);
    assert_eq!(systemd.any(), "READY=1");
    serving.signal("TERM");
    assert_eq!(systemd.any(), "STOPPING=1");
}
