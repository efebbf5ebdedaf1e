//! Connections of the load generator: requests are bytes made beforehand, answers are read as far
//! as must be.
//!
//! HTTP/1.1 by hand over `httparse`: a client that costs more than the server would measure itself.

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper::{Request, header};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What a server is asked, ready to be sent.
#[derive(Debug, Clone)]
pub(super) enum Ask {
    /// A whole HTTP/1.1 request.
    Http(Bytes),
    /// A framed message for this method; the time that the caller allows, in ms.
    Grpc { path: &'static str, message: Bytes, timeout_ms: u64 },
}

/// The method of predictions.
pub(super) const MODEL_INFER: &str = "/inference.GRPCInferenceService/ModelInfer";

/// An answer: the status in the words of HTTP, and the body.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    /// The server takes nothing more on this line.
    pub(super) is_last: bool,
}

impl Ask {
    pub(super) fn get(path: &str) -> Self {
        Self::Http(format!("GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n").into())
    }

    /// `headers`: whole lines.
    pub(super) fn post(path: &str, headers: &[String], body: &[u8]) -> Self {
        let mut request = format!("POST {path} HTTP/1.1\r\nhost: bench\r\n");
        let length = format!("content-length: {}", body.len());
        for line in headers.iter().chain([&length, &String::new()]) {
            request.push_str(line);
            request.push_str("\r\n");
        }
        Self::Http([request.as_bytes(), body].concat().into())
    }

    pub(super) fn grpc(path: &'static str, message: &[u8], timeout_ms: u64) -> Self {
        let len = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
        let message = [&[0][..], &len, message].concat().into();
        Self::Grpc { path, message, timeout_ms }
    }

    pub(super) fn is_grpc(&self) -> bool {
        matches!(self, Self::Grpc { .. })
    }
}

/// A connection, or one of the calls that a connection of HTTP/2 carries at a time.
pub(super) enum Line {
    Http { stream: TcpStream, buffer: Vec<u8> },
    Grpc(http2::SendRequest<Full<Bytes>>),
}

impl Line {
    /// `carried`: how many calls at a time a connection of HTTP/2 carries.
    pub(super) async fn connect(
        address: SocketAddr,
        is_grpc: bool,
        carried: usize,
    ) -> io::Result<Vec<Self>> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        if !is_grpc {
            return Ok(vec![Self::Http { stream, buffer: Vec::with_capacity(4096) }]);
        }
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(1 << 20).initial_connection_window_size(16 << 20);
        let (sender, connection) =
            builder.handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        // Ends with the connection; what goes wrong there also fails the call.
        tokio::spawn(connection);
        Ok((0..carried).map(|_| Self::Grpc(sender.clone())).collect())
    }

    /// Sends a request and waits for the whole answer.
    pub(super) async fn ask(&mut self, ask: &Ask) -> io::Result<Answer> {
        match (self, ask) {
            (Self::Http { stream, buffer }, Ask::Http(request)) => {
                stream.write_all(request).await?;
                read(stream, buffer).await
            }
            (Self::Grpc(sender), Ask::Grpc { path, message, timeout_ms }) => {
                call(sender, path, message.clone(), *timeout_ms).await
            }
            _ => Err(io::Error::other("the request is of the other protocol")),
        }
    }
}

/// Reads one answer. Whatever a server sends without a length is none that can be measured.
async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Answer> {
    buffer.clear();
    let (status, body_at, len, is_last) = loop {
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut head = httparse::Response::new(&mut headers);
        let parsed = head.parse(buffer).map_err(io::Error::other)?;
        if let httparse::Status::Complete(body_at) = parsed {
            let header = |name: &str| {
                let found = head.headers.iter().find(|it| it.name.eq_ignore_ascii_case(name));
                found.and_then(|it| std::str::from_utf8(it.value).ok()).unwrap_or_default().trim()
            };
            let len = header("content-length").parse().unwrap_or(0_usize);
            let is_last = header("connection").eq_ignore_ascii_case("close");
            break (head.code.unwrap_or_default(), body_at, len, is_last);
        }
    };
    while buffer.len() < body_at + len {
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(Answer { status, body: buffer[body_at..body_at + len].to_vec(), is_last })
}

async fn call(
    sender: &mut http2::SendRequest<Full<Bytes>>,
    path: &str,
    message: Bytes,
    timeout_ms: u64,
) -> io::Result<Answer> {
    let request = Request::post(format!("http://bench{path}"))
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .header("grpc-timeout", format!("{timeout_ms}m"))
        .body(Full::new(message))
        .map_err(io::Error::other)?;
    sender.ready().await.map_err(io::Error::other)?;
    let answer = sender.send_request(request).await.map_err(io::Error::other)?;
    let status = answer.headers().get("grpc-status").cloned();
    let body = answer.into_body().collect().await.map_err(io::Error::other)?;
    let trailer = body.trailers().and_then(|it| it.get("grpc-status")).cloned();
    // The codes of gRPC that a server under load gives, as HTTP says them.
    let status = match status.or(trailer).as_ref().map(header::HeaderValue::as_bytes) {
        Some(b"0") => 200,
        Some(b"14" | b"8") => 503,
        Some(b"4") => 504,
        _ => 400,
    };
    let body = body.to_bytes();
    let body = body.get(5..).unwrap_or_default().to_vec();
    Ok(Answer { status, body, is_last: false })
}

/// A `ModelInferRequest` with one FP64 tensor `input` of `rows` rows, given as little-endian bytes.
pub(super) fn infer_message(model: &str, rows: usize, columns: usize, cells: &[u8]) -> Vec<u8> {
    const MODEL_NAME: u8 = 1;
    const INPUTS: u8 = 5;
    const RAW_INPUT_CONTENTS: u8 = 7;
    let mut shape = Vec::new();
    varint(&mut shape, rows as u64);
    varint(&mut shape, columns as u64);
    let mut tensor = Vec::new();
    // name, datatype, shape
    for (tag, bytes) in [(1, &b"input"[..]), (2, b"FP64"), (3, &shape)] {
        field(&mut tensor, tag, bytes);
    }
    let mut message = Vec::new();
    field(&mut message, MODEL_NAME, model.as_bytes());
    field(&mut message, INPUTS, &tensor);
    field(&mut message, RAW_INPUT_CONTENTS, cells);
    message
}

/// A field of bytes: tag, length, bytes.
fn field(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn varint(out: &mut Vec<u8>, mut n: u64) {
    while n > 0x7f {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_is_that_of_the_protocol() {
        let message = infer_message("m", 1, 200, &[9; 130]);
        let head = b"\x0a\x01m\x2a\x12\x0a\x05input\x12\x04FP64\x1a\x03\x01\xc8\x01\x3a\x82\x01";
        assert_eq!(message[..head.len()], head[..]);
        assert_eq!(message[head.len()..], [9; 130]);
    }

    #[tokio::test]
    async fn answers_are_read_however_they_are_cut() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("the test connects");
            for end in ["A: b", "Connection: close"] {
                let answer = format!("HTTP/1.1 503 No\r\nContent-Length: 5\r\n{end}\r\n\r\nhello");
                let mut request = [0; 256];
                assert_ne!(stream.read(&mut request).await.expect("the test asks"), 0);
                for byte in answer.bytes() {
                    stream.write_all(&[byte]).await.expect("the test reads");
                    tokio::task::yield_now().await;
                }
            }
        });
        let mut line = Line::connect(address, false, 1).await.expect("it listens").remove(0);
        for is_last in [false, true] {
            let answer = line.ask(&Ask::get("/")).await.expect("an answer");
            assert_eq!((answer.status, &*answer.body), (503, &b"hello"[..]));
            assert_eq!(answer.is_last, is_last);
        }
        assert!(line.ask(&Ask::get("/")).await.is_err(), "the other side has gone");
    }
}
