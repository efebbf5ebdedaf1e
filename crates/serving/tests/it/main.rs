//! The room through its face.

mod deployment;
mod gate;
