//! Drives servers from outside, as their users do: over HTTP, with answers computed beforehand.
//!
//! Knows nothing of a server's inside; what it says of one it has measured.

mod client;
pub mod demo;
pub mod event_loop;
pub mod hot_swap;
pub mod jsonb;
mod load;
pub mod mojo_artifact;
pub mod postgres;
pub mod remote;
pub mod verdict;
