//! Predictions: `ModelInfer`, and one after another in `ModelStreamInfer`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use axum::response::Response;
use futures_util::StreamExt as _;

use super::frame::{self, Compression, Inbound, Message};
use super::reply::{self, Echo};
use super::request::{self, Target};
use super::{status, timeout};
use crate::auth::Caller;
use crate::coding;
use crate::context::Context;
use crate::error::Refusal;
use crate::oip::{self, Output};
use crate::predict::{self, Call, Coming, Patience};
use crate::routes::{self, Asked};
use crate::rows::{Rows, Scored};

/// Bytes up to which the reactor opens a compressed message itself.
const OPEN_BYTES_MAX: usize = 16 << 10;

/// Requests of a stream that are worked on at a time.
const IN_FLIGHT_MAX: usize = 16;

/// How often a stream without a request looks whether the server drains.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// For how long a stream that is never without a request goes on while the server drains.
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// Says that errors end a stream, as clients of Triton may ask.
const ERRORS_END: HeaderName = HeaderName::from_static("triton_grpc_error");

/// `ModelInfer`.
pub(super) async fn unary(context: &Context, request: Request) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let timeout = timeout(&parts.headers)?;
    let compression = frame::reply_compression(&parts.headers);
    let mut inbound = inbound(context, &parts.headers, body)?;
    let form = Form { compression, is_streamed: false };
    let (arrival, patience) = (routes::arrival(&parts), Patience { timeout, stream: None });
    let answer = match early(&mut inbound).await? {
        Some((target, bytes)) => {
            let coming = Some(Coming { bytes, weight: bytes, patience });
            let body = async { Ok((inbound.only().await?.bytes, patience)) };
            ask(context, &parts, (target, None, form), (arrival, coming), body).await
        }
        None => {
            let message = inbound.only().await?;
            answer(context, &parts, message, (arrival, patience), form).await.1
        }
    };
    Ok(frame::unary(answer?, compression))
}

/// For whom a big message is, and how long it will be, while it is still coming. None: it is there,
/// or nobody can tell yet.
async fn early(inbound: &mut Inbound) -> Result<Option<(Target, usize)>, Refusal> {
    let Some(begun) = inbound.begin().await? else {
        return Ok(None);
    };
    if begun.compression.is_some() || begun.beginning.len() >= begun.bytes {
        return Ok(None);
    }
    Ok(Target::read(&begun.beginning, false).ok().map(|target| (target, begun.bytes)))
}

/// `ModelStreamInfer`: what is wrong with a request is said in its place; what is wrong with the
/// stream ends it.
pub(super) fn stream(context: Arc<Context>, request: Request) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let until = timeout(&parts.headers)?.and_then(|timeout| Instant::now().checked_add(timeout));
    let compression = frame::reply_compression(&parts.headers);
    let inbound = inbound(&context, &parts.headers, body)?;
    let errors_end = parts.headers.get(ERRORS_END).is_some_and(|value| value == "true");
    let source = Source { context: Arc::clone(&context), inbound, drains_since: None };
    let messages = futures_util::stream::unfold(Some(source), Source::next);
    let parts = Arc::new(parts);
    let answers = messages.map(move |message| {
        let (context, parts) = (Arc::clone(&context), Arc::clone(&parts));
        async move {
            let message = message.map_err(|refusal| status::of(&refusal))?;
            // The stream's deadline is no reason to give a request more time that asks for none.
            let now = Instant::now();
            let left = until.map(|until| until.saturating_duration_since(now));
            let patience = Patience { timeout: None, stream: left };
            let form = Form { compression, is_streamed: true };
            let caller = Caller::of(&parts.extensions);
            let (target, answer) = match context.auth.take_again(&caller) {
                Ok(()) => answer(&context, &parts, message, (now, patience), form).await,
                Err(refusal) => (Target::default(), Err(refusal)),
            };
            match answer {
                Ok(answer) => Ok(answer),
                Err(refusal) if errors_end => Err(status::of(&refusal)),
                Err(refusal) => Ok(in_place(&refusal, &target)),
            }
        }
    });
    Ok(frame::stream(answers.buffered(IN_FLIGHT_MAX), compression))
}

fn in_place(refusal: &Refusal, target: &Target) -> Bytes {
    let mut out = frame::begin();
    reply::write_error(&mut out, &refusal.message(), &target.model, &target.id);
    frame::finish(out, None)
}

fn inbound(context: &Context, headers: &HeaderMap, body: Body) -> Result<Inbound, Refusal> {
    Inbound::new(headers, body, context.limits().body_bytes_max, Some(&context.bodies))
}

/// Where the requests of a stream come from.
struct Source {
    context: Arc<Context>,
    inbound: Inbound,
    drains_since: Option<Instant>,
}

impl Source {
    /// The next request. While the server drains, a stream ends as soon as nothing comes.
    async fn next(source: Option<Self>) -> Option<(Result<Message, Refusal>, Option<Self>)> {
        let mut source = source?;
        loop {
            if !source.context.is_ready() {
                let since = *source.drains_since.get_or_insert_with(Instant::now);
                if since.elapsed() > DRAIN_TIME {
                    return Some((Err(Refusal::Draining), None));
                }
            }
            match tokio::time::timeout(LOOK_INTERVAL, source.inbound.next()).await {
                Ok(Ok(message)) => return Some((Ok(message?), Some(source))),
                Ok(Err(refusal)) => return Some((Err(refusal), None)),
                Err(_) if source.context.is_ready() => {}
                Err(_) => return Some((Err(Refusal::Draining), None)),
            }
        }
    }
}

/// How an answer goes.
#[derive(Debug, Clone, Copy)]
struct Form {
    compression: Option<Compression>,
    is_streamed: bool,
}

/// Answers one message; says beside it whom it was for, as far as that is known.
async fn answer(
    context: &Context,
    parts: &Parts,
    message: Message,
    (arrival, patience): (Instant, Patience),
    form: Form,
) -> (Target, Result<Bytes, Refusal>) {
    let found = message.beginning(OPEN_BYTES_MAX).and_then(|(beginning, is_all)| {
        let target = Target::read(&beginning, is_all)?;
        let message =
            if is_all { Message { bytes: beginning, compression: None } } else { message };
        Ok((target, message))
    });
    let (target, message) = match found {
        Ok(found) => found,
        Err(refusal) => return (Target::default(), Err(refusal)),
    };
    let Message { bytes, compression } = message;
    let body = std::future::ready(Ok((bytes, patience)));
    let what = (target.clone(), compression, form);
    let answer = ask(context, parts, what, (arrival, None), body).await;
    (target, answer)
}

/// Answers a message of which is known whom it is for.
async fn ask(
    context: &Context,
    parts: &Parts,
    (target, compression, form): (Target, Option<Compression>, Form),
    (arrival, coming): (Instant, Option<Coming>),
    body: impl Future<Output = Result<(Bytes, Patience), Refusal>>,
) -> Result<Bytes, Refusal> {
    let Target { model, version, .. } = target.clone();
    let version = Some(version.as_str()).filter(|version| !version.is_empty());
    let asked = Asked { model: &model, version, protocol: "grpc", arrival, coming, parts };
    let call = Infer {
        target,
        compression,
        form,
        is_raw: false,
        inflated_bytes: None,
        timeout: None,
        outputs: Vec::new(),
    };
    routes::answer(context, asked, call, body).await
}

/// One infer request.
struct Infer {
    target: Target,
    /// Of the message.
    compression: Option<Compression>,
    form: Form,
    is_raw: bool,
    /// Length of a message that was compressed, once it is known.
    inflated_bytes: Option<usize>,
    timeout: Option<Duration>,
    outputs: Vec<Output>,
}

impl Call for Infer {
    type Reply = Bytes;

    fn is_small(&self, body: &[u8]) -> bool {
        // What is compressed still was too big for the reactor.
        self.compression.is_none() && body.len() <= predict::INLINE_BODY_BYTES
    }

    fn weight(&self, body: &[u8]) -> usize {
        let growth = if self.compression.is_some() { coding::GROWTH } else { 1 };
        self.inflated_bytes.unwrap_or_else(|| body.len().saturating_mul(growth))
    }

    fn peek(&mut self, body: &[u8]) {
        if self.compression.is_none() {
            self.timeout = request::timeout(body);
        }
    }

    /// `body` is the message, whose bytes may be compressed still.
    fn decode(&mut self, body: &[u8], rows: &mut Rows) -> Result<(), Refusal> {
        let inflated = match self.compression {
            Some(compression) => Some(compression.open(body, rows.limits().body_bytes_max)?),
            None => None,
        };
        self.inflated_bytes = inflated.as_ref().map(Vec::len);
        let decoded = request::read(inflated.as_deref().unwrap_or(body), rows)?;
        if decoded.target.model != self.target.model
            || decoded.target.version != self.target.version
        {
            let why = "`model_name` and `model_version` stand behind the tensors: send them first";
            return Err(Refusal::BadField(why.to_owned()));
        }
        self.target = decoded.target;
        self.is_raw = decoded.is_raw;
        self.timeout = decoded.request.terms.timeout;
        self.outputs = oip::take(&decoded.request, rows)?;
        Ok(())
    }

    fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    fn encode(&self, scored: &Scored) -> Result<Bytes, Refusal> {
        if let Some(refusal) = scored.first_refused() {
            return Err(refusal);
        }
        let echo = Echo {
            model: &self.target.model,
            id: &self.target.id,
            is_raw: self.is_raw,
            is_streamed: self.form.is_streamed,
        };
        let mut out = frame::begin();
        reply::write(&mut out, echo, &self.outputs, scored);
        Ok(frame::finish(out, self.form.compression))
    }
}
