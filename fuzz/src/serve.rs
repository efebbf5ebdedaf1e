//! A server without sockets, for the targets that fuzz what comes over one.

use std::net::SocketAddr;
use std::sync::LazyLock;

use http::Request;
use http_body_util::BodyExt as _;
use stemson_server::{Config, Limits, Server};
use tokio::runtime::Runtime;

struct Room {
    server: Server,
    runtime: Runtime,
}

static ROOM: LazyLock<Room> = LazyLock::new(|| {
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let limits = Limits { rows_max: 1_000, cells_max: 1 << 20, ..Limits::default() };
    let config = Config {
        http: any_port,
        admin: any_port,
        compute_threads: 1,
        limits,
        ..Config::default()
    };
    let server = Server::bind(config).expect("free ports");
    for (name, artifact) in crate::MODELS {
        if matches!(*name, "gbm_bernoulli" | "word2vec" | "kmeans_mixed" | "glrm_quadratic") {
            drop(server.deploy(name, artifact.to_vec(), "fuzz").expect("a model of the corpus"));
        }
    }
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().build().expect("a runtime");
    Room { server, runtime }
});

/// Asks for an answer, which must be one: below 500, and JSON where it is a refusal.
///
/// # Panics
/// If it is not.
pub fn ask(path: &str, headers: &[(&str, &str)], body: &[u8]) -> u16 {
    let mut request = Request::post(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(body.to_vec().into()).expect("a request");
    ROOM.runtime.block_on(async {
        let (head, body) = ROOM.server.answer(request).await.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        let status = head.status.as_u16();
        assert!(status < 500, "{path}: {status} {}", String::from_utf8_lossy(&body));
        if status != 200 {
            let refusal: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
            assert!(refusal["error"].is_string(), "{refusal}");
        }
        status
    })
}

/// Calls a method over gRPC, which must end with a status that is no mistake of the server.
///
/// # Panics
/// If it does not.
pub fn call(method: &str, headers: &[(&str, &str)], body: Vec<u8>) -> u16 {
    let mut request = Request::post(method).header("content-type", "application/grpc");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(body.into()).expect("a request");
    ROOM.runtime.block_on(async {
        let (head, body) = ROOM.server.answer(request).await.into_parts();
        assert_eq!(head.status, 200, "{method}: gRPC says it in its own words");
        let body = body.collect().await.expect("a whole body");
        let status = head.headers.get("grpc-status");
        let status = status.or_else(|| body.trailers()?.get("grpc-status")).expect("a status");
        let status: u16 = status.to_str().ok().and_then(|it| it.parse().ok()).expect("a number");
        // UNKNOWN, INTERNAL, DATA_LOSS.
        assert!(![2, 13, 15].contains(&status), "{method}: {status} {:?}", head.headers);
        status
    })
}

/// One of some, by a byte of the input.
pub fn choose<T: Copy>(byte: u8, of: &[T]) -> T {
    of[usize::from(byte) % of.len()]
}
