//! Predictions over gRPC on one HTTP/2 connection that is kept: one call each, or all in one stream.

use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::{HeaderMap, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::messages::infer_parameter::ParameterChoice;
use crate::messages::model_infer_request::InferInputTensor;
use crate::messages::{
    InferTensorContents, ModelInferRequest, ModelInferResponse, ModelStreamInferResponse,
};

type Body = BoxBody<Bytes, std::convert::Infallible>;

/// A test that hangs tells nothing.
const PATIENCE: Duration = Duration::from_mins(1);

/// One row, `x1 = 1`, for the model `m`.
fn row() -> ModelInferRequest {
    let contents = InferTensorContents { fp64_contents: vec![1.0], ..Default::default() };
    let input = InferInputTensor {
        name: "x1".to_owned(),
        datatype: "FP64".to_owned(),
        shape: vec![1],
        contents: Some(contents),
        ..Default::default()
    };
    ModelInferRequest { model_name: "m".to_owned(), inputs: vec![input], ..Default::default() }
}

fn framed(message: &impl Message) -> Bytes {
    let message = message.encode_to_vec();
    let len = u32::try_from(message.len()).unwrap();
    [&[0][..], &len.to_be_bytes(), &message].concat().into()
}

/// A connection, and what it runs on.
struct Connection {
    runtime: Runtime,
    sender: SendRequest<Body>,
}

impl Connection {
    fn open(address: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let sender = runtime.block_on(async {
            let stream = tokio::net::TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let handshake = handshake(TokioExecutor::new(), TokioIo::new(stream));
            let (sender, connection) = handshake.await.unwrap();
            tokio::spawn(connection);
            sender
        });
        Self { runtime, sender }
    }

    fn call(
        &mut self,
        method: &str,
        body: Body,
    ) -> impl Future<Output = Result<Incoming, String>> + use<> {
        let request = Request::post(format!("http://test/inference.GRPCInferenceService/{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        let answer = self.sender.send_request(request.body(body).unwrap());
        async move {
            let answer = answer.await.map_err(|cause| cause.to_string())?;
            good(answer.headers())?;
            Ok(answer.into_body())
        }
    }
}

/// A status that is not OK is the message of the error.
fn good(headers: &HeaderMap) -> Result<(), String> {
    match headers.get("grpc-status") {
        Some(status) if status != "0" => Err(format!("{headers:?}")),
        _ => Ok(()),
    }
}

/// The next message of an answer; `None` at its good end.
async fn next(answer: &mut Incoming, bytes: &mut BytesMut) -> Result<Option<Bytes>, String> {
    loop {
        if let Some((head, rest)) = bytes.split_first_chunk::<5>()
            && let len = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize
            && rest.len() >= len
        {
            bytes.advance(5);
            return Ok(Some(bytes.split_to(len).freeze()));
        }
        let Some(frame) = answer.frame().await else { return Ok(None) };
        match frame.map_err(|cause| cause.to_string())?.into_data() {
            Ok(data) => bytes.extend_from_slice(&data),
            Err(frame) => good(frame.trailers_ref().ok_or("a frame that is neither")?)?,
        }
    }
}

fn digest(answer: &ModelInferResponse) -> Result<String, String> {
    let choice = answer.parameters.get("digest").and_then(|it| it.parameter_choice.clone());
    match choice {
        Some(ParameterChoice::StringParam(digest)) => Ok(digest),
        other => Err(format!("the digest is {other:?}")),
    }
}

async fn in_time<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    tokio::time::timeout(PATIENCE, work).await.map_err(|_| "no answer".to_owned())?
}

/// Calls of `ModelInfer`, one after the other: says which revision answers, by its digest.
pub(crate) fn unary(address: &str) -> impl FnMut() -> Result<String, String> + use<> {
    let mut connection = Connection::open(address);
    let request = framed(&row());
    move || {
        let answer = connection.call("ModelInfer", Full::new(request.clone()).boxed());
        connection.runtime.block_on(in_time(async {
            let (mut answer, mut bytes) = (answer.await?, BytesMut::new());
            let message = next(&mut answer, &mut bytes).await?.ok_or("no message")?;
            // A failure may still come behind it.
            if next(&mut answer, &mut bytes).await?.is_some() {
                return Err("two messages".to_owned());
            }
            let answer = ModelInferResponse::decode(message).map_err(|bad| bad.to_string())?;
            digest(&answer)
        }))
    }
}

/// One call of `ModelStreamInfer` that never ends: each request waits for its answer.
pub(crate) fn stream(address: &str) -> impl FnMut() -> Result<String, String> + use<> {
    let mut connection = Connection::open(address);
    let (requests, received): (UnboundedSender<Bytes>, _) = unbounded_channel();
    let body = futures_util::stream::unfold(received, async |mut received| {
        let frame = Frame::data(received.recv().await?);
        Some((Ok::<_, std::convert::Infallible>(frame), received))
    });
    let mut call = Some(connection.call("ModelStreamInfer", StreamBody::new(body).boxed()));
    let (request, mut open, mut bytes) = (framed(&row()), None, BytesMut::new());
    move || {
        requests.send(request.clone()).map_err(|_| "the stream has ended")?;
        connection.runtime.block_on(in_time(async {
            // Its head comes with the first answer.
            if let Some(call) = call.take() {
                open = Some(call.await?);
            }
            let answers = open.as_mut().ok_or("the stream never began")?;
            let message = next(answers, &mut bytes).await?.ok_or("the stream has ended")?;
            let answer =
                ModelStreamInferResponse::decode(message).map_err(|bad| bad.to_string())?;
            digest(answer.infer_response.as_ref().ok_or(answer.error_message)?)
        }))
    }
}
