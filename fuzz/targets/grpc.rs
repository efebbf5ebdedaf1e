//! Messages to every method of gRPC, whole, cut, compressed, several at a time: a status, and no panic.
#![no_main]

use stemson_fuzz::{call, choose};

const METHODS: &[&str] = &[
    "/inference.GRPCInferenceService/ModelInfer",
    "/inference.GRPCInferenceService/ModelStreamInfer",
    "/inference.GRPCInferenceService/ModelMetadata",
    "/inference.GRPCInferenceService/ModelReady",
    "/inference.GRPCInferenceService/ModelConfig",
    "/inference.GRPCInferenceService/ModelStatistics",
    "/inference.GRPCInferenceService/RepositoryIndex",
    "/inference.GRPCInferenceService/RepositoryModelLoad",
    "/inference.GRPCInferenceService/TraceSetting",
    "/inference.GRPCInferenceService/LogSettings",
    "/grpc.health.v1.Health/Check",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
];

const HEADERS: &[&[(&str, &str)]] = &[
    &[],
    &[("grpc-encoding", "gzip"), ("grpc-accept-encoding", "gzip")],
    &[("grpc-encoding", "deflate")],
    &[("grpc-timeout", "1S")],
    &[("triton_grpc_error", "true")],
];

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let [method, headers, framing, rest @ ..] = data else { return };
    // As it comes, or cut into so many messages, some of which may say that they are compressed.
    let body = match framing & 3 {
        0 => rest.to_vec(),
        n => {
            let messages = rest.chunks(rest.len().div_ceil(usize::from(n)).max(1));
            let framed = messages.enumerate().flat_map(|(place, message)| {
                let flag = framing >> (2 + place) & 1;
                let len = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
                [&[flag][..], &len, message].concat()
            });
            framed.collect()
        }
    };
    call(choose(*method, METHODS), choose(*headers, HEADERS), body);
});
