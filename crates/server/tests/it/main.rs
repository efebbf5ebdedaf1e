//! The room through its face: a real listener, a real client, real models.

mod admin;
mod auth;
mod categories;
mod drain;
mod front;
mod hostile;
mod oip;
mod rollout;
mod state;
mod swap;
mod v1;
mod wire;
