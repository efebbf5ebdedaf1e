//! The room through its face.

mod canary;
mod deployment;
mod gate;
mod simulation;
