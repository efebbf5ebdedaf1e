//! JSON at the edges: what is skipped, what is said about mistakes, how answers are written.

use std::borrow::Cow;
use std::fmt;
use std::io::Write as _;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::coding::Coding;
use crate::error::Refusal;

/// Reads a whole body with a seed.
pub(crate) fn read<'de, S: DeserializeSeed<'de>>(
    body: &'de [u8],
    seed: S,
) -> Result<S::Value, Refusal> {
    let text = std::str::from_utf8(body).map_err(|cause| {
        let at = cause.valid_up_to();
        Refusal::MalformedJson(format!("the body is not JSON: no UTF-8 at byte {at}"))
    })?;
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = seed.deserialize(&mut reader).map_err(|cause| refusal(&cause))?;
    reader.end().map_err(|cause| refusal(&cause))?;
    Ok(value)
}

/// Reads a whole body that is an object.
pub(crate) fn object<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Result<T, Refusal> {
    // What is derived takes a list of the members' values, too.
    if body.trim_ascii_start().starts_with(b"[") {
        return Err(Refusal::BadField("the body is a list, expected an object".to_owned()));
    }
    serde_json::from_slice(body).map_err(|cause| refusal(&cause))
}

/// What the reader found, with line and column.
pub(crate) fn refusal(cause: &serde_json::Error) -> Refusal {
    if cause.is_data() {
        Refusal::BadField(cause.to_string())
    } else {
        Refusal::MalformedJson(format!("the body is not JSON: {cause}"))
    }
}

/// Reads over a value that nobody asked for, not deeper than `depth` levels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Skip {
    pub(crate) depth: usize,
}

impl Skip {
    /// One level down.
    pub(crate) fn deeper<E: de::Error>(self) -> Result<Self, E> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Self { depth }),
            None => Err(E::custom("nested too deep ([limits] depth)")),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Skip {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Skip {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let below = self.deeper()?;
        while seq.next_element_seed(below)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let below = self.deeper()?;
        while map.next_key::<IgnoredAny>()?.is_some() {
            map.next_value_seed(below)?;
        }
        Ok(())
    }
}

/// Text, borrowed where it stands in the body as it is.
pub(crate) struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// Text in quotes.
pub(crate) fn write_str(out: &mut Vec<u8>, text: &str) {
    // Writing text to memory cannot fail.
    drop(serde_json::to_writer(out, text));
}

/// The shortest number that parses back to the same bits; what JSON cannot say as text.
pub(crate) fn write_f64(out: &mut Vec<u8>, number: f64) {
    if number.is_finite() {
        out.extend_from_slice(ryu::Buffer::new().format_finite(number).as_bytes());
    } else if number.is_nan() {
        out.extend_from_slice(b"\"NaN\"");
    } else if number > 0.0 {
        out.extend_from_slice(b"\"Infinity\"");
    } else {
        out.extend_from_slice(b"\"-Infinity\"");
    }
}

/// Digits, words: what needs no quotes or stands in them.
pub(crate) fn write_display(out: &mut Vec<u8>, value: &dyn fmt::Display) {
    // Writing to memory cannot fail.
    drop(write!(out, "{value}"));
}

/// Writes `items` with commas between them.
pub(crate) fn write_list<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut Vec<u8>, T),
) {
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(out, item);
    }
}

/// The shortest number that parses back to the same bits of a 32-bit float.
pub(crate) fn write_f32(out: &mut Vec<u8>, number: f32) {
    if number.is_finite() {
        out.extend_from_slice(ryu::Buffer::new().format_finite(number).as_bytes());
    } else {
        write_f64(out, number.into());
    }
}

/// The body of a good answer, and what its head says of it.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) body: Bytes,
    pub(crate) content_type: &'static str,
    /// Bytes of JSON before those of the tensors, where there are such.
    pub(crate) json_bytes: Option<usize>,
    /// How the body is compressed.
    pub(crate) coding: Option<Coding>,
}

impl Wire {
    pub(crate) fn json(body: Bytes) -> Self {
        Self { body, content_type: "application/json", json_bytes: None, coding: None }
    }
}

impl IntoResponse for Wire {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        if let Some(bytes) = self.json_bytes {
            headers.insert(JSON_BYTES, HeaderValue::from(bytes));
        }
        if let Some(coding) = self.coding {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
            headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        }
        response
    }
}

/// How many bytes of a body are JSON; the rest are the tensors'.
pub(crate) const JSON_BYTES: HeaderName =
    HeaderName::from_static("inference-header-content-length");

/// An answer whose body is JSON.
pub(crate) fn response(status: StatusCode, body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn code(body: &[u8], depth: usize) -> &'static str {
        read(body, Skip { depth }).map_or_else(|refusal| refusal.status().1, |()| "ok")
    }

    #[test]
    fn mistakes_are_told_apart() {
        assert_eq!(code(b"{\"a\":[1,-2,1.5,true,null,\"x\\n\"]}", 2), "ok");
        assert_eq!(code(b"[[1]]", 1), "bad_field");
        for bad in [&b""[..], b"{", b"[1,]", b"nope", b"\xff", b"{} {}", b"[1e400]", b"[NaN]"] {
            assert_eq!(code(bad, 8), "malformed_json", "{bad:?}");
        }
        let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
        assert_eq!(code(&deep, 32), "bad_field");
    }

    #[test]
    fn numbers_parse_back_to_the_same_bits() {
        let spell = |number: f64| {
            let mut out = Vec::new();
            write_f64(&mut out, number);
            String::from_utf8(out).expect("ASCII")
        };
        for number in [0.0, -0.0, 5.0, 0.1, 1e-7, 1e300, f64::MIN_POSITIVE, 5e-324] {
            let back: f64 = serde_json::from_str(&spell(number)).expect("a number");
            assert_eq!(back.to_bits(), number.to_bits(), "{number}");
        }
        assert_eq!(spell(f64::NAN), "\"NaN\"");
        assert_eq!(spell(f64::NEG_INFINITY), "\"-Infinity\"");
    }
}
