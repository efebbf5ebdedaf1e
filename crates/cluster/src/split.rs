//! The split itself: how much of a limit the heap gets, and which rule decided it.

use crate::native::Workload;
use crate::quantity::Bytes;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// What the JVM takes beside its heap: code, threads, its collector, H2O's own buffers. Measured:
/// 95 to 280 MiB.
pub const JVM_BYTES: u64 = 300 * MIB;

/// The native model is multiplied by this: at its worst it was 4 % below what was measured.
pub const NATIVE_MARGIN: f64 = 1.05;

/// No heap below this is proposed: H2O 3.46 starts with 32 MiB, and has room for data with twice that.
pub const HEAP_BYTES_MIN: u64 = 64 * MIB;

/// H2O's own advice: a heap of four times the data.
const FRAMES_PER_HEAP: u64 = 4;

/// From here on a heap is said in whole GiB.
const WHOLE_GIB_FROM: u64 = 8 * GIB;

/// How deep the trees are, in the specification's words; decides the share of the heap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Complexity {
    /// 70 % heap: linear models, shallow trees.
    Low,
    /// 65 % heap.
    Medium,
    /// 60 % heap: XGBoost deeper than 8.
    High,
}

impl Complexity {
    /// Heap in hundredths of the limit.
    pub fn percent(self) -> u64 {
        match self {
            Self::Low => 70,
            Self::Medium => 65,
            Self::High => 60,
        }
    }

    /// The word: `low`, `medium`, `high`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// How the JVM is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `-Xms42g -Xmx42g`.
    Size,
    /// `-XX:InitialRAMPercentage=65.0 -XX:MaxRAMPercentage=65.0`: follows a limit that changes.
    Percentage,
}

/// What is to be split, and for what.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    /// Memory of the container.
    pub limit_bytes: u64,
    /// Which share the heap gets.
    pub complexity: Complexity,
    /// The training that must fit, where it is known.
    pub workload: Option<Workload>,
    /// Memory of other processes in the same container.
    pub other_bytes: u64,
    /// How the JVM is told.
    pub style: Style,
}

/// Which rule decided the heap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Governs {
    /// The share of the limit.
    Fraction,
    /// What XGBoost, the JVM and other processes take beside the heap.
    NativeModel,
}

impl Governs {
    /// The word: `fraction`, `native_model`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fraction => "fraction",
            Self::NativeModel => "native_model",
        }
    }
}

/// A limit, split.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Split {
    /// What was split.
    pub limit_bytes: u64,
    /// Which share the heap gets.
    pub complexity: Complexity,
    /// The heap by the share alone, rounded.
    pub heap_by_fraction_bytes: u64,
    /// The largest heap beside what else is needed.
    pub heap_by_native_bytes: u64,
    /// The heap: the smaller of both.
    pub heap_bytes: u64,
    /// Which of both it is.
    pub governs: Governs,
    /// What XGBoost is expected to take, without margin; `None` where the workload is unknown.
    pub native_bytes: Option<u64>,
    /// What the JVM is told.
    pub style: Style,
}

/// The limit does not hold what is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a limit of {} does not hold it: {} for the JVM itself, {} for XGBoost, {} for other processes and at \
     least {} of heap are {}",
    Bytes(*limit_bytes), Bytes(JVM_BYTES), Bytes(*native_bytes), Bytes(*other_bytes),
    Bytes(HEAP_BYTES_MIN), Bytes(*needed_bytes)
)]
pub struct Impossible {
    /// What was to be split.
    pub limit_bytes: u64,
    /// What XGBoost is expected to take, with margin; 0 where the workload is unknown.
    pub native_bytes: u64,
    /// Other processes.
    pub other_bytes: u64,
    /// All of it with the smallest heap: the least limit that is possible.
    pub needed_bytes: u64,
}

impl Request {
    /// Splits the limit.
    pub fn split(&self) -> Result<Split, Impossible> {
        let native_bytes = self.workload.map(|workload| workload.native_bytes());
        let margined = (native_bytes.unwrap_or(0) as f64 * NATIVE_MARGIN).ceil() as u64;
        let beside = JVM_BYTES.saturating_add(margined).saturating_add(self.other_bytes);
        let needed_bytes = beside.saturating_add(HEAP_BYTES_MIN);
        if needed_bytes > self.limit_bytes {
            return Err(Impossible {
                limit_bytes: self.limit_bytes,
                native_bytes: margined,
                other_bytes: self.other_bytes,
                needed_bytes,
            });
        }
        let by_fraction = fraction(self.limit_bytes, self.complexity.percent());
        let by_native = self.limit_bytes - beside;
        let heap_by_fraction_bytes = round(by_fraction);
        let heap_by_native_bytes = floor(by_native);
        let governs = if heap_by_fraction_bytes <= by_native {
            Governs::Fraction
        } else {
            Governs::NativeModel
        };
        let heap_bytes = match governs {
            Governs::Fraction => heap_by_fraction_bytes,
            Governs::NativeModel => heap_by_native_bytes,
        };
        Ok(Split {
            limit_bytes: self.limit_bytes,
            complexity: self.complexity,
            heap_by_fraction_bytes,
            heap_by_native_bytes,
            heap_bytes,
            governs,
            native_bytes,
            style: self.style,
        })
    }

    /// What a reader of the split should know.
    pub fn warnings(&self, split: &Split) -> Vec<String> {
        let mut warnings = Vec::new();
        let Some(workload) = &self.workload else {
            return warnings;
        };
        let (heap, frame) = (split.heap_bytes, workload.frame_bytes());
        if heap < frame.saturating_mul(FRAMES_PER_HEAP) {
            warnings.push(format!(
                "the heap of {} is below {FRAMES_PER_HEAP} times the frame ({} at 8 bytes a cell): H2O will spill to disk or run out of \
                 memory; raise the limit, or spread the rows over more nodes",
                Bytes(heap),
                Bytes(frame),
            ));
        }
        warnings
    }
}

impl Split {
    /// What is left of the limit beside the heap.
    pub fn rest_bytes(&self) -> u64 {
        self.limit_bytes - self.heap_bytes
    }

    /// The heap as the JVM reads it: `42g`, `2662m`.
    pub fn heap(&self) -> String {
        if self.heap_bytes.is_multiple_of(GIB) {
            format!("{}g", self.heap_bytes / GIB)
        } else {
            format!("{}m", self.heap_bytes / MIB)
        }
    }

    /// The JVM's arguments.
    pub fn jvm_arguments(&self) -> String {
        match self.style {
            Style::Size => format!("-Xms{0} -Xmx{0}", self.heap()),
            Style::Percentage => {
                let percent = self.percentage();
                format!("-XX:InitialRAMPercentage={percent} -XX:MaxRAMPercentage={percent}")
            }
        }
    }

    /// The line of an environment file.
    pub fn environment(&self) -> String {
        format!("JAVA_TOOL_OPTIONS=\"{}\"\n", self.jvm_arguments())
    }

    /// Percent of the limit, in tenths: the share as it is, or less where more is needed beside it.
    /// Older JVMs insist on the point.
    fn percentage(&self) -> String {
        let by_native =
            u128::from(self.heap_by_native_bytes) * 1_000 / u128::from(self.limit_bytes.max(1));
        let tenths = by_native.min(u128::from(self.complexity.percent()) * 10);
        format!("{}.{}", tenths / 10, tenths % 10)
    }
}

fn fraction(limit_bytes: u64, percent: u64) -> u64 {
    (u128::from(limit_bytes) * u128::from(percent) / 100) as u64
}

/// To the nearest GiB from 8 GiB up, else down to a MiB.
fn round(bytes: u64) -> u64 {
    if bytes >= WHOLE_GIB_FROM { (bytes + GIB / 2) / GIB * GIB } else { bytes / MIB * MIB }
}

/// Down, in the same steps: a bound that is rounded up is none.
fn floor(bytes: u64) -> u64 {
    if bytes >= WHOLE_GIB_FROM { bytes / GIB * GIB } else { bytes / MIB * MIB }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::native::TreeMethod;
    use crate::parse_limit;

    fn request(limit_bytes: u64, complexity: Complexity) -> Request {
        Request { limit_bytes, complexity, workload: None, other_bytes: 0, style: Style::Size }
    }

    fn hist(rows: u64, columns: u64, depth: u32) -> Workload {
        Workload {
            rows,
            columns,
            depth,
            max_bins: 256,
            min_rows: 1.0,
            tree_method: TreeMethod::Hist,
            nodes: 1,
        }
    }

    #[test]
    fn the_heap_is_a_share_of_the_limit() {
        for (limit, complexity, heap) in [
            ("64g", Complexity::Medium, "42g"),
            ("64g", Complexity::High, "38g"),
            ("64g", Complexity::Low, "45g"),
            ("64G", Complexity::Medium, "39g"),
            ("4g", Complexity::Medium, "2662m"),
            ("12g", Complexity::Medium, "7987m"),
            ("13g", Complexity::Medium, "8g"),
            ("20g", Complexity::Medium, "13g"),
            ("10g", Complexity::Low, "7g"),
            ("1g", Complexity::Medium, "665m"),
            // Here the JVM itself needs more than the share leaves.
            ("512m", Complexity::Medium, "212m"),
            ("364m", Complexity::Medium, "64m"),
        ] {
            let split = request(parse_limit(limit).unwrap(), complexity).split().unwrap();
            assert_eq!(split.heap(), heap, "{limit}");
            assert_eq!(
                split.environment(),
                format!("JAVA_TOOL_OPTIONS=\"-Xms{heap} -Xmx{heap}\"\n")
            );
        }
    }

    #[test]
    fn percentages_follow_the_limit() {
        let options = |limit, workload| {
            let request = request(parse_limit(limit).unwrap(), Complexity::Medium);
            let split = Request { workload, style: Style::Percentage, ..request }.split();
            split.unwrap().jvm_arguments()
        };
        for limit in ["64g", "4g"] {
            assert_eq!(
                options(limit, None),
                "-XX:InitialRAMPercentage=65.0 -XX:MaxRAMPercentage=65.0"
            );
        }
        let deep = Some(hist(400_000, 100, 14));
        assert_eq!(options("16g", deep), "-XX:InitialRAMPercentage=44.6 -XX:MaxRAMPercentage=44.6");
    }

    #[test]
    fn deep_trees_over_many_columns_lower_it() {
        let limit = 16 * GIB;
        let shallow =
            Request { workload: Some(hist(400_000, 100, 6)), ..request(limit, Complexity::Medium) };
        let split = shallow.split().unwrap();
        assert_eq!((split.governs, split.heap().as_str()), (Governs::Fraction, "10g"));
        let deep = Request { workload: Some(hist(400_000, 100, 14)), ..shallow };
        let split = deep.split().unwrap();
        // Nodes: the smaller of 1.2 * 2^14 = 19,660.8 and 400,000 / 10.
        assert_eq!(split.native_bytes, Some((64 << 20) + 640_000_000 + 8_053_063_680));
        assert_eq!((split.governs, split.heap().as_str()), (Governs::NativeModel, "7311m"));
    }

    #[test]
    fn what_does_not_fit_says_its_numbers() {
        let deep = Request {
            workload: Some(hist(400_000, 100, 14)),
            ..request(8 * GIB, Complexity::High)
        };
        let error = deep.split().unwrap_err();
        let text = error.to_string();
        for words in ["a limit of 8 GiB", "300 MiB for the JVM", "64 MiB of heap"] {
            assert!(text.contains(words), "{text}");
        }
        let enough = Request { limit_bytes: error.needed_bytes, ..deep };
        assert!(enough.split().is_ok());
        assert!(Request { limit_bytes: error.needed_bytes - 1, ..deep }.split().is_err());
        for limit in [0, 1, 363 * MIB] {
            assert!(request(limit, Complexity::Medium).split().is_err(), "{limit}");
        }
    }

    #[test]
    fn warns_where_the_frame_is_large() {
        let warnings = |rows| {
            let request = Request {
                workload: Some(hist(rows, 100, 6)),
                ..request(16 * GIB, Complexity::Medium)
            };
            request.warnings(&request.split().unwrap()).len()
        };
        assert_eq!((warnings(1_000_000), warnings(3_000_000), warnings(4_000_000)), (0, 0, 1));
    }

    proptest! {
        /// Heap, native memory with its margin, the JVM and other processes fit, whatever was asked.
        #[test]
        fn what_is_proposed_fits(
            limit in 0_u64..1 << 44, percent in 0_usize..3, rows in 1_u64..1 << 32, columns in 1_u64..10_000,
            depth in 0_u32..40, other in 0_u64..1 << 34
        ) {
            let complexity = [Complexity::Low, Complexity::Medium, Complexity::High][percent];
            let request = Request { workload: Some(hist(rows, columns, depth)), other_bytes: other, ..request(limit, complexity) };
            match request.split() {
                Ok(split) => {
                    let native = (split.native_bytes.unwrap() as f64 * NATIVE_MARGIN) as u64;
                    prop_assert!(split.heap_bytes + native + JVM_BYTES + other <= limit);
                    prop_assert!(split.heap_bytes >= HEAP_BYTES_MIN || split.governs == Governs::Fraction);
                    prop_assert!(split.heap_bytes <= split.heap_by_fraction_bytes);
                    prop_assert_eq!(parse_limit(&split.heap()), Ok(split.heap_bytes));
                }
                Err(refused) => prop_assert!(refused.needed_bytes > limit),
            }
        }

        /// A larger limit never gives a smaller heap, and the share is off by at most half a GiB.
        #[test]
        fn the_heap_grows_with_the_limit(limit in 1_u64 << 30..1 << 44, more in 0_u64..1 << 36) {
            let heap = |limit| request(limit, Complexity::Medium).split().unwrap().heap_bytes;
            prop_assert!(heap(limit + more) >= heap(limit));
            prop_assert!(heap(limit).abs_diff(fraction(limit, 65)) <= GIB / 2);
        }
    }
}
