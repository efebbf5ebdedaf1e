//! What may ship: the artifact policy. Only MOJOs do; files are judged by content, never by name.
//!
//! ```no_run
//! use stemson_audit::{Limits, check};
//!
//! let report = check(&["models".into()], &Limits::default(), 0)?;
//! for finding in report.open() {
//!     println!("{}: {}: {}", finding.path, finding.rule, finding.message);
//! }
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Invariants
//!
//! - Nothing that is judged is run, compiled or unpickled.
//! - Any bytes give a judgement, within [`Limits`]; what reaches a limit is blocked, and told which.
//! - No clock and no network: the day that exceptions are held against comes from the caller.

mod artifacts;
mod exceptions;
mod finding;
pub mod report;
mod walk;

pub use artifacts::{Fault, Judgement, Limits, Use, judge, judge_file, uses};
pub use exceptions::{Exceptions, ExceptionsError, day};
pub use finding::{Finding, Report, Rule, Suppression};
pub use walk::check;
