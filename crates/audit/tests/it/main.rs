//! The policy through its public face: a matrix made here, its payload inert and never run.
#![expect(clippy::unwrap_used, reason = "how a test fails")]

mod broken;
mod clean;
mod forge;
mod java;
mod limits;
mod matrix;
mod mojos;
mod pages;
mod pickles;
mod planted;
mod sarif;
mod tree;
mod wrap;

use stemson_audit::{Limits, judge};

/// The rules that bytes break, in the order of their discovery; empty if they may ship.
fn rules(bytes: &[u8]) -> Vec<&'static str> {
    judge(bytes, &Limits::default()).faults.iter().map(|fault| fault.rule.as_str()).collect()
}
