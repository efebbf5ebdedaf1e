//! The messages of a call on the wire: five bytes of head, then the message, compressed or not.
//!
//! tonic has this too, but decompresses where it reads, which here is the reactor. These messages
//! stay compressed until somebody who may take the time opens them.

use std::convert::Infallible;
use std::io::{self, Read as _, Write as _};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;
use bytes::Buf as _;
use flate2::read::{GzDecoder, ZlibDecoder};
use flate2::write::{GzEncoder, ZlibEncoder};
use futures_util::{Stream, StreamExt as _};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use tonic::Status;

use crate::error::Refusal;
use crate::intake::{Budget, Growing};

/// Bytes before a message: whether it is compressed, and its length.
const HEAD_BYTES: usize = 5;

/// Bytes of a message from which compressing it is worth the time.
const COMPRESSED_BYTES_MIN: usize = 1 << 10;

/// Taken in advance for an answer: most are shorter.
const ROOM_BYTES: usize = 512;

/// Headers that an answer may have by the time it is sent.
const HEADERS: usize = 8;

const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");

/// How a message is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    Gzip,
    /// What HTTP calls so: with the head and tail of zlib.
    Deflate,
}

impl Compression {
    fn parse(name: &str) -> Option<Self> {
        match name {
            "gzip" => Some(Self::Gzip),
            "deflate" => Some(Self::Deflate),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }

    /// The message that was compressed, `bytes_max` at most.
    pub(super) fn open(self, bytes: &[u8], bytes_max: usize) -> Result<Vec<u8>, Refusal> {
        let opened = self.inflate(bytes, bytes_max.saturating_add(1))?;
        if opened.len() > bytes_max {
            return Err(too_large(bytes_max));
        }
        Ok(opened)
    }

    /// Up to `bytes_max` bytes of it.
    fn inflate(self, bytes: &[u8], bytes_max: usize) -> Result<Vec<u8>, Refusal> {
        let mut out = Vec::new();
        let limit = bytes_max as u64;
        let read = match self {
            _ if bytes.is_empty() => return Ok(out),
            Self::Gzip => GzDecoder::new(bytes).take(limit).read_to_end(&mut out),
            Self::Deflate => ZlibDecoder::new(bytes).take(limit).read_to_end(&mut out),
        };
        read.map_err(|cause| {
            let name = self.name();
            Refusal::BadField(format!("the message cannot be read as {name}: {cause}"))
        })?;
        Ok(out)
    }
}

/// A message as it came.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(super) bytes: Bytes,
    pub(super) compression: Option<Compression>,
}

impl Message {
    /// The message itself.
    pub(super) fn into_bytes(self, bytes_max: usize) -> Result<Bytes, Refusal> {
        match self.compression {
            None => Ok(self.bytes),
            Some(compression) => Ok(compression.open(&self.bytes, bytes_max)?.into()),
        }
    }

    /// Its beginning: of a compressed one at most `bytes_max` bytes. The flag: whether that is all.
    pub(super) fn beginning(&self, bytes_max: usize) -> Result<(Bytes, bool), Refusal> {
        let Some(compression) = self.compression else {
            return Ok((self.bytes.clone(), true));
        };
        let bytes = compression.inflate(&self.bytes, bytes_max.saturating_add(1))?;
        let is_all = bytes.len() <= bytes_max;
        Ok((bytes.into(), is_all))
    }
}

fn too_large(bytes_max: usize) -> Refusal {
    Refusal::BodyTooLarge { bytes_max: bytes_max as u64, limit: "body_mib" }
}

/// A message that has begun to come.
#[derive(Debug)]
pub(super) struct Begun {
    /// How long it will be.
    pub(super) bytes: usize,
    pub(super) compression: Option<Compression>,
    /// What is there of it, and may be of the next one.
    pub(super) beginning: Bytes,
}

/// The messages that a caller sends.
#[derive(Debug)]
pub(super) struct Inbound {
    body: Body,
    compression: Option<Compression>,
    bytes_max: usize,
    /// Came, and is not used yet.
    rest: Bytes,
    /// The same while it grows to what is needed.
    growing: Growing,
}

impl Inbound {
    /// `bytes_max`: of a message. `budget`: of all, if it counts.
    pub(super) fn new(
        headers: &HeaderMap,
        body: Body,
        bytes_max: usize,
        budget: Option<&Budget>,
    ) -> Result<Self, Refusal> {
        let name = headers.get(ENCODING).map(|value| value.to_str().unwrap_or("?"));
        let compression = match name {
            None | Some("identity") => None,
            Some(name) => Some(Compression::parse(name).ok_or_else(|| {
                Refusal::MediaType(format!(
                    "{ENCODING} is `{name}`, expected identity, gzip or deflate"
                ))
            })?),
        };
        let growing = Growing::new(budget.cloned());
        Ok(Self { body, compression, bytes_max, rest: Bytes::new(), growing })
    }

    /// The only message of a call that has one.
    pub(super) async fn only(mut self) -> Result<Message, Refusal> {
        let incomplete = |why: &str| Refusal::BodyIncomplete(why.to_owned());
        let message = self.next().await?.ok_or_else(|| incomplete("there is no message"))?;
        match self.next().await? {
            None => Ok(message),
            Some(_) => Err(Refusal::BadField("the call takes one message, not several".to_owned())),
        }
    }

    /// The next message when it has begun to come; it is not taken. None: none will come.
    pub(super) async fn begin(&mut self) -> Result<Option<Begun>, Refusal> {
        if !self.fill(HEAD_BYTES).await? {
            return Ok(None);
        }
        let (flag, len) = (self.rest[0], &self.rest[1..HEAD_BYTES]);
        let len = len.iter().fold(0, |len, byte| len << 8 | usize::from(*byte));
        if len > self.bytes_max {
            return Err(too_large(self.bytes_max));
        }
        let compression = match flag {
            0 => None,
            1 => Some(self.compression.ok_or_else(|| {
                Refusal::BadField(format!("a message is compressed, and {ENCODING} is missing"))
            })?),
            _ => return Err(Refusal::BadField("the head of a message is none".to_owned())),
        };
        Ok(Some(Begun { bytes: len, compression, beginning: self.rest.slice(HEAD_BYTES..) }))
    }

    /// The next message. Asking again goes on where an abandoned asking stood.
    pub(super) async fn next(&mut self) -> Result<Option<Message>, Refusal> {
        let Some(Begun { bytes, compression, .. }) = self.begin().await? else {
            return Ok(None);
        };
        self.fill(HEAD_BYTES + bytes).await?;
        self.rest.advance(HEAD_BYTES);
        Ok(Some(Message { bytes: self.rest.split_to(bytes), compression }))
    }

    /// Waits until so many bytes are there. False: there are none, and none will come.
    async fn fill(&mut self, bytes: usize) -> Result<bool, Refusal> {
        if self.rest.len() >= bytes {
            return Ok(true);
        }
        if self.growing.is_empty() && !self.rest.is_empty() {
            self.growing.expect(bytes);
            self.growing.push(&std::mem::take(&mut self.rest))?;
        }
        loop {
            if self.growing.len() >= bytes {
                self.rest = self.growing.take();
                return Ok(true);
            }
            let frame = match self.body.frame().await {
                Some(Ok(frame)) => frame,
                Some(Err(cause)) => return Err(Refusal::BodyIncomplete(cause.to_string())),
                None if self.growing.is_empty() => return Ok(false),
                None => {
                    let why = "the call ends within a message";
                    return Err(Refusal::BodyIncomplete(why.to_owned()));
                }
            };
            let Ok(data) = frame.into_data() else {
                continue;
            };
            if self.growing.is_empty() && data.len() >= bytes {
                // The usual case: nothing is copied.
                self.rest = data;
                return Ok(true);
            }
            if self.growing.is_empty() {
                self.growing.expect(bytes);
            }
            self.growing.push(&data)?;
        }
    }
}

/// How answers to a message go: as it came, if the caller reads that.
pub(super) fn reply_compression(headers: &HeaderMap) -> Option<Compression> {
    let ours = headers.get(ENCODING)?.to_str().ok()?;
    let accepted = headers.get(ACCEPT_ENCODING)?.to_str().ok()?;
    accepted.split(',').any(|name| name.trim() == ours).then(|| Compression::parse(ours))?
}

/// A message of our own, to be written to: room for its head.
pub(super) fn begin() -> Vec<u8> {
    let mut message = Vec::with_capacity(ROOM_BYTES);
    message.resize(HEAD_BYTES, 0);
    message
}

/// Completes what [`begin`] began.
pub(super) fn finish(mut message: Vec<u8>, compression: Option<Compression>) -> Bytes {
    if let Some(compression) = compression
        && message.len() >= COMPRESSED_BYTES_MIN
        && let Ok(compressed) = compress(&message[HEAD_BYTES..], compression)
        && compressed.len() < message.len()
    {
        message = compressed;
        message[0] = 1;
    }
    let len = u32::try_from(message.len() - HEAD_BYTES).unwrap_or(u32::MAX);
    message[1..HEAD_BYTES].copy_from_slice(&len.to_be_bytes());
    message.into()
}

fn compress(message: &[u8], compression: Compression) -> io::Result<Vec<u8>> {
    let level = flate2::Compression::fast();
    match compression {
        Compression::Gzip => {
            let mut encoder = GzEncoder::new(begin(), level);
            encoder.write_all(message)?;
            encoder.finish()
        }
        Compression::Deflate => {
            let mut encoder = ZlibEncoder::new(begin(), level);
            encoder.write_all(message)?;
            encoder.finish()
        }
    }
}

/// The answer to a call that has one: a message that [`finish`] completed.
pub(super) fn unary(message: Bytes, compression: Option<Compression>) -> Response {
    let frames = [Frame::data(message), Frame::trailers(ok())].map(Ok::<_, Infallible>);
    // A stream, of which nobody asks how long it is: no call has a `content-length`.
    response(Body::new(StreamBody::new(futures_util::stream::iter(frames))), compression)
}

/// The answer to a call that has any number; ends with the first that is a status.
pub(super) fn stream(
    messages: impl Stream<Item = Result<Bytes, Status>> + Send + 'static,
    compression: Option<Compression>,
) -> Response {
    let messages = Some(Box::pin(messages));
    let frames = futures_util::stream::unfold(messages, async |messages| {
        let mut messages = messages?;
        let (frame, rest) = match messages.next().await {
            Some(Ok(message)) => (Frame::data(message), Some(messages)),
            Some(Err(status)) => (Frame::trailers(trailers(&status)), None),
            None => (Frame::trailers(ok()), None),
        };
        Some((Ok::<_, Infallible>(frame), rest))
    });
    response(Body::new(StreamBody::new(frames)), compression)
}

/// The end of a call that went well.
fn ok() -> HeaderMap {
    HeaderMap::from_iter([(STATUS, HeaderValue::from_static("0"))])
}

fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(2);
    // A status of ours has nothing that a header cannot hold.
    drop(status.add_header(&mut trailers));
    trailers
}

fn response(body: Body, compression: Option<Compression>) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.reserve(HEADERS);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity,gzip,deflate"));
    if let Some(compression) = compression {
        headers.insert(ENCODING, HeaderValue::from_static(compression.name()));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inbound(chunks: &[&[u8]], encoding: Option<&str>) -> Result<Inbound, Refusal> {
        let chunks: Vec<_> =
            chunks.iter().map(|chunk| Ok::<_, io::Error>(chunk.to_vec())).collect();
        let body = Body::from_stream(futures_util::stream::iter(chunks));
        let mut headers = HeaderMap::new();
        if let Some(encoding) = encoding {
            headers.insert(ENCODING, HeaderValue::from_str(encoding).expect("a header"));
        }
        Inbound::new(&headers, body, 100, None)
    }

    async fn all(chunks: &[&[u8]], encoding: Option<&str>) -> Result<Vec<Vec<u8>>, &'static str> {
        let code = |refusal: Refusal| refusal.status().1;
        let mut inbound = inbound(chunks, encoding).map_err(code)?;
        let mut messages = Vec::new();
        while let Some(message) = inbound.next().await.map_err(code)? {
            messages.push(message.into_bytes(100).map_err(code)?.to_vec());
        }
        Ok(messages)
    }

    #[tokio::test]
    async fn messages_are_found_however_they_are_cut() {
        let wire =
            [&[0, 0, 0, 0, 3][..], b"abc", &[0, 0, 0, 0, 0], &[0, 0, 0, 0, 1], b"d"].concat();
        let expected = Ok(vec![b"abc".to_vec(), Vec::new(), b"d".to_vec()]);
        for size in 1..=wire.len() {
            let chunks: Vec<&[u8]> = wire.chunks(size).collect();
            assert_eq!(all(&chunks, None).await, expected, "{size}");
        }
        assert_eq!(all(&[], None).await, Ok(Vec::new()));
    }

    #[tokio::test]
    async fn what_is_no_message_is_refused() {
        for (wire, code) in [
            (&[0, 0, 0][..], "body_incomplete"),
            (&[0, 0, 0, 0, 2, 1], "body_incomplete"),
            (&[0, 0, 0, 0, 101], "body_too_large"),
            (&[0, 255, 255, 255, 255], "body_too_large"),
            (&[1, 0, 0, 0, 0], "bad_field"),
            (&[7, 0, 0, 0, 0], "bad_field"),
        ] {
            assert_eq!(all(&[wire], None).await, Err(code), "{wire:?}");
        }
        assert_eq!(all(&[], Some("snappy")).await, Err("media_type"));
        let garbage = [1, 0, 0, 0, 2, 1, 2];
        assert_eq!(all(&[&garbage], Some("gzip")).await, Err("bad_field"));
    }

    #[tokio::test]
    async fn compressed_messages_stay_within_their_bound() {
        let compressed = |message: &[u8], compression| {
            let mut wire = compress(message, compression).expect("memory");
            let len = wire.len() - HEAD_BYTES;
            wire[0] = 1;
            wire[4] = u8::try_from(len).expect("short");
            wire
        };
        for (compression, name) in [(Compression::Gzip, "gzip"), (Compression::Deflate, "deflate")]
        {
            let good = compressed(&[7; 100], compression);
            assert_eq!(all(&[&good], Some(name)).await, Ok(vec![vec![7; 100]]), "{name}");
            let bomb = compressed(&[7; 10_000], compression);
            assert_eq!(all(&[&bomb], Some(name)).await, Err("body_too_large"), "{name}");
            let cut = &good[..good.len() - 1];
            let cut = [&[1, 0, 0, 0, cut.len() as u8 - 5][..], &cut[5..]].concat();
            let found = all(&[&cut], Some(name)).await;
            assert!(matches!(found, Err("bad_field")), "{name}: {found:?}");
        }
    }

    #[test]
    fn answers_are_compressed_where_it_pays() {
        let message = |n: usize| {
            let mut out = begin();
            out.resize(HEAD_BYTES + n, 7);
            finish(out, Some(Compression::Gzip))
        };
        assert_eq!(message(3)[..], [0, 0, 0, 0, 3, 7, 7, 7]);
        let big = message(10_000);
        assert_eq!((big[0], big.len() < 200), (1, true));
        let bytes = big.slice(HEAD_BYTES..);
        let back = Message { bytes, compression: Some(Compression::Gzip) };
        assert_eq!(back.into_bytes(10_000).map(|bytes| bytes.len()).ok(), Some(10_000));
    }
}
