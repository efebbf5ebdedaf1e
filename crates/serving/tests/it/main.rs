//! The room through its face.

mod cache_simulation;
mod canary;
mod deployment;
mod fair;
mod flight;
mod gate;
mod simulation;
mod store;
