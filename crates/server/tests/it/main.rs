//! The room through its face: a real listener, a real client, real models.

mod admin;
mod auth;
mod cache;
mod categories;
mod download;
mod drain;
mod extensions;
mod front;
mod grpc;
mod hostile;
#[path = "../../src/grpc/messages.rs"]
#[allow(
    clippy::all,
    clippy::pedantic,
    dead_code,
    unreachable_pub,
    reason = "generated, of the whole protocol"
)]
#[rustfmt::skip]
mod messages;
mod mlflow;
mod oip;
mod openapi;
mod prediction_log;
mod proto;
mod random;
mod redis;
mod rollout;
mod slow;
mod state;
mod swap;
mod tls;
mod v1;
mod warm;
mod wire;
