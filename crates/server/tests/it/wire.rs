//! A server on free ports, and a client that speaks just enough HTTP/1.1.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;
use stemson_server::{Addresses, Config, GrpcListener, RunError, Server, ShutdownHandle};

/// The bytes of a model of the corpus.
pub(crate) fn artifact(case: &str) -> Vec<u8> {
    std::fs::read(case_folder(case).join("model.zip")).expect(case)
}

pub(crate) fn case_folder(case: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpora/mojo").join(case)
}

/// Free ports, two compute threads, time enough for a busy machine.
pub(crate) fn config() -> Config {
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    Config {
        http: any_port,
        grpc: GrpcListener::At(any_port),
        admin: any_port,
        compute_threads: 2,
        slo: Duration::from_mins(1),
        ..Config::default()
    }
}

/// A running server. Ends, and must end well, when it is dropped.
pub(crate) struct Serving {
    pub(crate) addresses: Addresses,
    pub(crate) shutdown: ShutdownHandle,
    thread: Option<JoinHandle<Result<(), RunError>>>,
}

impl Serving {
    /// Serves models of the corpus: name and case.
    pub(crate) fn start(config: Config, models: &[(&str, &str)]) -> Self {
        let server = Server::bind(config).expect("free ports");
        for (name, case) in models {
            drop(server.deploy(name, artifact(case), "test").expect(case));
        }
        let (addresses, shutdown) = (server.addresses(), ShutdownHandle::new());
        let handle = shutdown.clone();
        let thread = std::thread::spawn(move || server.run(&handle));
        Self { addresses, shutdown, thread: Some(thread) }
    }

    pub(crate) fn http(&self) -> Client {
        Client::connect(self.addresses.http)
    }

    pub(crate) fn admin(&self) -> Client {
        Client::connect(self.addresses.admin)
    }

    /// Waits for the end.
    pub(crate) fn join(mut self) -> Result<(), RunError> {
        let thread = self.thread.take().expect("it runs");
        thread.join().expect("the server does not panic")
    }

    /// Lets it run on, whatever happens to the test.
    pub(crate) fn abandon(mut self) {
        self.thread = None;
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.shutdown.begin();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.expect("the server does not panic").expect("it ends well");
            }
        }
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
    /// The body as it came.
    pub(crate) raw: Vec<u8>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|cause| panic!("{cause}: {self:?}"))
    }

    /// The body of a good answer.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        self.json()
    }

    /// Checks that it is an error of the usual form; gives its message.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, code: &str) -> String {
        let body = self.json();
        assert_eq!((self.status, body["code"].as_str()), (status, Some(code)), "{body}");
        assert_eq!(body["request_id"].as_str(), self.header("x-request-id"), "{body}");
        assert_eq!(self.header("content-type"), Some("application/json"));
        body["error"].as_str().expect("a message").to_owned()
    }
}

/// A connection that is kept.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the server listens");
        // A test that hangs tells nothing.
        stream.set_read_timeout(Some(Duration::from_mins(2))).expect("a timeout");
        stream.set_nodelay(true).expect("an option");
        Self { stream: BufReader::new(stream) }
    }

    pub(crate) fn get(&mut self, path: &str) -> Reply {
        self.send("GET", path, &[], b"")
    }

    pub(crate) fn post(&mut self, path: &str, body: impl AsRef<[u8]>) -> Reply {
        self.send("POST", path, &[], body.as_ref())
    }

    pub(crate) fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        self.begin(method, path, headers, body);
        self.finish()
    }

    /// Sends a request, and does not wait.
    pub(crate) fn begin(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: test\r\n");
        for (name, value) in headers {
            write!(head, "{name}: {value}\r\n").expect("memory");
        }
        write!(head, "content-length: {}\r\n\r\n", body.len()).expect("memory");
        let stream = self.stream.get_mut();
        stream.write_all(head.as_bytes()).expect("the server reads");
        // It may refuse before it has read everything.
        drop(stream.write_all(body));
    }

    /// Sends a body in chunks, without saying how long it is.
    pub(crate) fn begin_chunked(&mut self, path: &str, headers: &[(&str, &str)], body: &str) {
        let mut head = format!("POST {path} HTTP/1.1\r\nhost: test\r\n");
        for (name, value) in headers {
            write!(head, "{name}: {value}\r\n").expect("memory");
        }
        write!(head, "\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len()).expect("memory");
        self.stream.get_mut().write_all(head.as_bytes()).expect("the server reads");
    }

    /// Sends a request whose body never comes whole.
    pub(crate) fn begin_half(&mut self, path: &str) {
        self.write(&format!("POST {path} HTTP/1.1\r\nhost: test\r\ncontent-length: 100\r\n\r\n{{"));
    }

    /// Sends a part of a request.
    pub(crate) fn write(&mut self, part: &str) {
        self.stream.get_mut().write_all(part.as_bytes()).expect("the server reads");
    }

    /// Reads the answer.
    pub(crate) fn finish(&mut self) -> Reply {
        let mut line = String::new();
        let mut next = |line: &mut String| {
            line.clear();
            self.stream.read_line(line).expect("the server answers");
            line.trim_end().to_owned()
        };
        let status = next(&mut line);
        let status = status.split(' ').nth(1).unwrap_or_else(|| panic!("status: {status:?}"));
        let status = status.parse().expect("a status");
        let mut headers = Vec::new();
        loop {
            let header = next(&mut line);
            let Some((name, value)) = header.split_once(": ") else {
                break;
            };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let mut reply = Reply { status, headers, body: String::new(), raw: Vec::new() };
        let length = reply.header("content-length").map_or(0, |n| n.parse().expect("a length"));
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).expect("the whole body");
        reply.body = String::from_utf8_lossy(&body).into_owned();
        reply.raw = body;
        reply
    }

    /// Whether the server has closed the connection, once all that it sent is read.
    pub(crate) fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).is_ok() && rest.is_empty()
    }
}
