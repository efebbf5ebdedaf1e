//! The crate through its public face.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests open files, print what they counted, and fail by panicking"
)]

mod altered;
mod answers;
mod asked;
mod corpus;
mod cuts;
mod entries;
mod explain;
mod hostile;
mod load;
mod rows;
