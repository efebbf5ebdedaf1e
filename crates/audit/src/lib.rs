//! What may ship, and what will break: the artifact policy and the rules over a repository.
//!
//! ```no_run
//! use stemson_audit::{Options, audit};
//!
//! let report = audit(&["service".into()], &Options::default())?;
//! for finding in report.open() {
//!     println!("{}:{}: {}: {}", finding.path, finding.line, finding.rule, finding.message);
//! }
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! The way of a run: walk, artifacts by their bytes, texts parsed once into [`Facts`], checks over all
//! facts, suppressions. A rule is a page under `rules/` and a check under `src/rules/`.
//!
//! # Invariants
//!
//! - Nothing that is judged is run, imported, compiled or unpickled.
//! - Any bytes give a judgement, within [`Limits`]; an artifact that reaches a limit is blocked, a text
//!   that does not parse is a remark.
//! - No clock and no network: the day that exceptions are held against comes from the caller.

mod artifacts;
mod baseline;
mod cache;
mod checklist;
mod engine;
mod exceptions;
mod facts;
mod finding;
pub mod import;
pub mod mend;
mod platform;
pub mod python;
pub mod report;
mod review;
mod rule;
mod rules;
mod select;
mod source;
mod suppress;
mod walk;

pub use artifacts::{ArtifactRule, Fault, Judgement, Limits, Use, judge, judge_file, uses};
pub use baseline::Baseline;
pub use checklist::{VIEWS, View, view};
pub use engine::{Options, audit, audit_sources};
pub use exceptions::{Exceptions, ExceptionsError, day};
pub use facts::Facts;
pub use finding::{By, Edit, Finding, Fix, Hop, Remark, Report, Suppression};
pub use review::{Changes, Decision, Review, argument, review};
pub use rule::{Rule, Severity, rule, rules};
pub use select::{Profile, Selection};
pub use source::{Kind, SOURCE_BYTES_MAX, Source, Span};
pub use walk::check;
