//! The room through its face: a real listener, a real client, real models.

mod admin;
mod auth;
mod cache;
mod categories;
mod drain;
mod extensions;
mod front;
mod hostile;
mod mlflow;
mod oip;
mod random;
mod redis;
mod rollout;
mod slow;
mod state;
mod swap;
mod tls;
mod v1;
mod wire;
