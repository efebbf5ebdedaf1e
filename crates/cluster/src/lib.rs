//! H2O clusters in containers: splits a container's memory limit between the JVM's heap and the rest.
//!
//! Reads what it is told to (manifests, cgroup files) and calculates; starts nothing, talks to nobody,
//! writes nothing. Bytes are counted in `u64`; `g` of the JVM and of containers is GiB.

mod cgroup;
mod manifest;
mod native;
mod quantity;
mod split;

pub use cgroup::{Cgroup, CgroupError};
pub use manifest::{Choice, Container, ManifestError, choose, containers};
pub use native::{AUTO_EXACT_ROWS_BELOW, TreeMethod, Workload};
pub use quantity::{Bytes, QuantityError, parse_kubernetes, parse_limit};
pub use split::{
    Complexity, Governs, HEAP_BYTES_MIN, Impossible, JVM_BYTES, NATIVE_MARGIN, Request, Split,
    Style,
};
