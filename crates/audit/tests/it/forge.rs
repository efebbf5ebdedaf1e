//! Zip archives that may lie: those that the runtime's reader is tested with.

#[allow(dead_code, unreachable_pub, reason = "other tests need the rest")]
#[path = "../../../mojo/src/archive/forge.rs"]
mod made;

pub(crate) use made::{Forge, Forged};
