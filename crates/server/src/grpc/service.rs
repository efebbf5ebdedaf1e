//! The calls beside predictions: each takes one small message and answers with one.

use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use prost::Message;

use super::frame::{self, Inbound};
use super::messages::{
    DataType, ModelConfig, ModelConfigRequest, ModelConfigResponse, ModelInput,
    ModelMetadataRequest, ModelMetadataResponse, ModelOutput, ModelParameter, ModelReadyRequest,
    ModelReadyResponse, ServerLiveRequest, ServerLiveResponse, ServerMetadataRequest,
    ServerMetadataResponse, ServerReadyRequest, ServerReadyResponse,
    model_metadata_response::TensorMetadata,
};
use stemson_serving::{Deployment, Revision};

use crate::admin;
use crate::auth::Caller;
use crate::context::{self, Context};
use crate::error::Refusal;
use crate::face::Face;
use crate::oip::{self, Datatype, NO_SHARED_MEMORY, TensorShape};

/// Bytes of a message that carries no tensors and no model.
const SMALL_BYTES_MAX: usize = 64 << 10;

/// Answers a call; none: there is no such method.
pub(super) async fn call(
    context: &Arc<Context>,
    method: &str,
    request: Request,
) -> Option<Result<Response, Refusal>> {
    let caller = Caller::of(request.extensions());
    let view = View { context, caller: &caller };
    Some(match method {
        "ServerLive" => {
            unary(request, async |_: ServerLiveRequest| Ok(ServerLiveResponse { live: true })).await
        }
        "ServerReady" => {
            let ready = context.is_ready();
            unary(request, async |_: ServerReadyRequest| Ok(ServerReadyResponse { ready })).await
        }
        "ModelReady" => {
            unary(request, async |asked| Ok(ModelReadyResponse { ready: view.is_ready(&asked) }))
                .await
        }
        "ServerMetadata" => {
            unary(request, async |_: ServerMetadataRequest| Ok(server_metadata())).await
        }
        "ModelMetadata" => unary(request, async |asked| view.model_metadata(&asked)).await,
        "ModelConfig" => unary(request, async |asked| view.model_config(&asked)).await,
        "ModelStatistics" => unary(request, async |asked| view.statistics(&asked)).await,
        "RepositoryIndex" => unary(request, async |asked| Ok(view.index(&asked))).await,
        "RepositoryModelLoad" => load(view, request).await,
        "RepositoryModelUnload" => unary(request, async |asked| view.unload(&asked)).await,
        "TraceSetting" => unary(request, async |asked| view.trace(asked)).await,
        "LogSettings" => unary(request, async |asked| view.log(asked)).await,
        "SystemSharedMemoryStatus"
        | "SystemSharedMemoryRegister"
        | "SystemSharedMemoryUnregister"
        | "CudaSharedMemoryStatus"
        | "CudaSharedMemoryRegister"
        | "CudaSharedMemoryUnregister" => Err(Refusal::NotImplemented(NO_SHARED_MEMORY.to_owned())),
        _ => return None,
    })
}

/// One small message, one answer.
async fn unary<Q: Message + Default, A: Message>(
    request: Request,
    answer: impl AsyncFnOnce(Q) -> Result<A, Refusal>,
) -> Result<Response, Refusal> {
    unary_within(SMALL_BYTES_MAX, None, request, answer).await
}

/// A load, whose message may carry the artifact.
async fn load(view: View<'_>, request: Request) -> Result<Response, Refusal> {
    let by = admin::by(&request);
    let artifact_bytes_max = usize::try_from(view.context.limits().artifact_bytes_max);
    let bytes_max = artifact_bytes_max.unwrap_or(usize::MAX).saturating_add(SMALL_BYTES_MAX);
    let upload = Some(view.context);
    unary_within(bytes_max, upload, request, async |asked| view.load(asked, by).await).await
}

async fn unary_within<Q: Message + Default, A: Message>(
    bytes_max: usize,
    upload: Option<&Context>,
    request: Request,
    answer: impl AsyncFnOnce(Q) -> Result<A, Refusal>,
) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let compression = frame::reply_compression(&parts.headers);
    let budget = upload.map(|context| &context.uploads);
    let message = Inbound::new(&parts.headers, body, bytes_max, budget)?.only().await?;
    // Of artifacts one after the other.
    let _turn = match upload {
        Some(context) => Some(context.turn().await?),
        None => None,
    };
    let message = if message.compression.is_some() && bytes_max > SMALL_BYTES_MAX {
        // It may take long.
        let opened = tokio::task::spawn_blocking(move || message.into_bytes(bytes_max)).await;
        opened.map_err(|_| Refusal::Panicked)??
    } else {
        message.into_bytes(bytes_max)?
    };
    let asked = Q::decode(message).map_err(|cause| {
        Refusal::BadField(format!("the message is not what the method takes: {cause}"))
    })?;
    let answer = answer(asked).await?;
    let mut out = frame::begin();
    answer.encode(&mut out).map_err(|_| Refusal::Panicked)?;
    Ok(frame::unary(frame::finish(out, compression), compression))
}

fn server_metadata() -> ServerMetadataResponse {
    ServerMetadataResponse {
        name: oip::SERVER.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        extensions: oip::EXTENSIONS.iter().map(|&name| name.to_owned()).collect(),
    }
}

/// What a caller sees.
#[derive(Clone, Copy)]
pub(super) struct View<'c> {
    pub(super) context: &'c Context,
    pub(super) caller: &'c Caller,
}

impl View<'_> {
    fn find(self, name: &str, version: &str) -> Result<(Arc<Deployment>, Arc<Revision>), Refusal> {
        self.caller.check_model(name)?;
        let deployment = self.context.deployment(name)?;
        let version = Some(version).filter(|version| !version.is_empty());
        let revision = context::revision(&deployment, version)?;
        Ok((deployment, revision))
    }

    fn is_ready(self, asked: &ModelReadyRequest) -> bool {
        self.find(&asked.name, &asked.version).is_ok() && self.context.is_ready()
    }

    fn model_metadata(
        self,
        asked: &ModelMetadataRequest,
    ) -> Result<ModelMetadataResponse, Refusal> {
        let (deployment, revision) = self.find(&asked.name, &asked.version)?;
        let shown = self.context.models.shown(&asked.name);
        let tensor = |TensorShape { name, datatype, shape }| TensorMetadata {
            name,
            datatype: datatype.name().to_owned(),
            shape,
        };
        let face = revision.prepared(Face::new);
        Ok(ModelMetadataResponse {
            name: asked.name.clone(),
            versions: oip::versions(&deployment).iter().map(u64::to_string).collect(),
            platform: oip::PLATFORM.to_owned(),
            inputs: oip::inputs(revision.model().schema(), shown).into_iter().map(tensor).collect(),
            outputs: oip::outputs(&face).map(tensor).collect(),
        })
    }

    fn model_config(self, asked: &ModelConfigRequest) -> Result<ModelConfigResponse, Refusal> {
        let (_, revision) = self.find(&asked.name, &asked.version)?;
        let shown = self.context.models.shown(&asked.name);
        let model = revision.model();
        let face = revision.prepared(Face::new);
        let input = |TensorShape { name, datatype, shape }| ModelInput {
            name,
            data_type: data_type(datatype).into(),
            dims: shape,
            // Whatever is not sent is absent.
            optional: true,
        };
        let output = |TensorShape { name, datatype, shape }| ModelOutput {
            name,
            data_type: data_type(datatype).into(),
            dims: shape,
        };
        let parameters = [
            ("digest", revision.digest().to_string()),
            ("algorithm", model.algorithm().to_owned()),
            ("category", model.category().as_str().to_owned()),
        ];
        let parameters = parameters
            .map(|(name, string_value)| (name.to_owned(), ModelParameter { string_value }))
            .into();
        let config = ModelConfig {
            name: asked.name.clone(),
            platform: oip::PLATFORM.to_owned(),
            backend: oip::SERVER.to_owned(),
            max_batch_size: 0,
            input: oip::inputs(model.schema(), shown).into_iter().map(input).collect(),
            output: oip::outputs(&face).map(output).collect(),
            default_model_filename: "model.zip".to_owned(),
            parameters,
        };
        Ok(ModelConfigResponse { config: Some(config) })
    }
}

fn data_type(datatype: Datatype) -> DataType {
    match datatype {
        Datatype::Bool => DataType::TypeBool,
        Datatype::Uint8 => DataType::TypeUint8,
        Datatype::Uint16 => DataType::TypeUint16,
        Datatype::Uint32 => DataType::TypeUint32,
        Datatype::Uint64 => DataType::TypeUint64,
        Datatype::Int8 => DataType::TypeInt8,
        Datatype::Int16 => DataType::TypeInt16,
        Datatype::Int32 => DataType::TypeInt32,
        Datatype::Int64 => DataType::TypeInt64,
        Datatype::Fp16 => DataType::TypeFp16,
        Datatype::Bf16 => DataType::TypeBf16,
        Datatype::Fp32 => DataType::TypeFp32,
        Datatype::Fp64 => DataType::TypeFp64,
        Datatype::Bytes => DataType::TypeString,
    }
}
