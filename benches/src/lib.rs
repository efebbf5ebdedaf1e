//! What benchmarks need: rows to score, in any number, and what a process costs.
//!
//! The benchmarks themselves are `src/bin/bench`; `cargo xtask bench NAME` builds and runs them.

pub mod cost;
pub mod rows;
