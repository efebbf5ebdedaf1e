//! `stemson calculate-memory-split`: a container's memory between the JVM's heap and the rest.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use stemson_cluster::{
    Bytes, Cgroup, Choice, Complexity, Governs, Impossible, JVM_BYTES, NATIVE_MARGIN, Request,
    Split, Style, TreeMethod, Workload, choose, containers, parse_limit,
};
use stemson_validate::verdict::Verdict as Dialectic;

use crate::failure::{Failure, Verdict};
use crate::output_file::OutputFile;
use crate::terminal::{Format, thousands};

/// Splits a container's memory limit between the JVM's heap and what H2O takes beside it.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("limit").required(true), after_help = "Examples:
  stemson calculate-memory-split --container-limit 64g --model-complexity high --output jvm-args.env
  stemson calculate-memory-split --manifest k8s.yaml --rows 400000 --cols 100 --depth 14 --tree-method hist
  stemson calculate-memory-split --cgroup --style percentage

As a script: python scripts/calculate_memory_split.py --container-limit 64g --model-complexity high --output jvm-args.env

The heap is 65 % of the limit (`high` 60 %, `low` 70 %): to the nearest GiB from 8 GiB up, else down to
a MiB. With --rows and --cols it is lowered to what XGBoost's native memory leaves, and the report says
which of both rules decided. `g` is GiB, as for the JVM and Docker; `G` is 10^9, as for Kubernetes.

Exit code 1: the limit does not hold what is needed; nothing is written then.")]
pub(crate) struct Arguments {
    /// The limit itself: 64g, 64Gi, 1500M, 128974848
    #[arg(long, value_name = "SIZE", group = "limit")]
    container_limit: Option<String>,
    /// A Kubernetes manifest of one or more documents; - reads standard input
    #[arg(long, value_name = "FILE", group = "limit")]
    manifest: Option<PathBuf>,
    /// A control group, version 1 or 2; without PATH the one that this process is in
    #[arg(long, value_name = "PATH", group = "limit", num_args = 0..=1, default_missing_value = OWN_CGROUP)]
    cgroup: Option<PathBuf>,
    /// Which container of the manifest; by default the one that looks like H2O, else the largest
    #[arg(long, value_name = "NAME", requires = "manifest")]
    container: Option<String>,
    /// How deep the trees are: decides the share of the heap
    #[arg(long, value_enum, default_value_t = ComplexityWord::Medium, value_name = "WORD")]
    model_complexity: ComplexityWord,
    /// Rows of the training frame
    #[arg(long, value_name = "N", requires = "cols", value_parser = clap::value_parser!(u64).range(1..))]
    rows: Option<u64>,
    /// Columns, after one-hot encoding
    #[arg(long, value_name = "N", requires = "rows", value_parser = clap::value_parser!(u64).range(1..))]
    cols: Option<u64>,
    /// `max_depth` of XGBoost; 0 is no bound [default: 6]
    #[arg(long, value_name = "N", requires = "rows")]
    depth: Option<u32>,
    /// `max_bins` of XGBoost [default: 256]
    #[arg(long, value_name = "N", requires = "rows", value_parser = clap::value_parser!(u32).range(2..))]
    max_bins: Option<u32>,
    /// `min_rows` of XGBoost [default: 1]
    #[arg(long, value_name = "N", requires = "rows", value_parser = above_zero)]
    min_rows: Option<f64>,
    /// `tree_method` of XGBoost; auto is exact below 4,194,304 rows on one node, else approx [default: auto]
    #[arg(long, value_enum, value_name = "WORD", requires = "rows")]
    tree_method: Option<MethodWord>,
    /// Members of the H2O cluster [default: the manifest's replicas, else 1]
    #[arg(long, value_name = "N", requires = "rows", value_parser = clap::value_parser!(u32).range(1..))]
    nodes: Option<u32>,
    /// Memory of other processes in the same container (Python, an agent)
    #[arg(long, value_name = "SIZE", default_value = "0")]
    other_processes: String,
    /// Sizes (-Xms, -Xmx) or percentages of the limit (`MaxRAMPercentage`)
    #[arg(long, value_enum, default_value_t = StyleWord::Size, value_name = "WORD")]
    style: StyleWord,
    /// Write `JAVA_TOOL_OPTIONS` to this file
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Text for people, JSON for scripts
    #[arg(long, value_enum, default_value_t = Format::Text, value_name = "WORD")]
    format: Format,
}

/// Stands for the group of this process.
const OWN_CGROUP: &str = "/proc/self/cgroup";

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ComplexityWord {
    Low,
    Medium,
    High,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum MethodWord {
    Auto,
    Exact,
    Approx,
    Hist,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum StyleWord {
    #[value(alias = "xmx")]
    Size,
    Percentage,
}

fn above_zero(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number.is_finite() => Ok(number),
        _ => Err("expected a number above zero".to_owned()),
    }
}

/// Where the limit comes from.
struct Limit {
    bytes: u64,
    source: String,
    choice: Option<Choice>,
    warnings: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Verdict, Failure> {
    let limit = limit(arguments)?;
    let other_bytes = parse_limit(&arguments.other_processes)
        .map_err(|cause| Failure::input("--other-processes").because(&cause))?;
    let complexity = match arguments.model_complexity {
        ComplexityWord::Low => Complexity::Low,
        ComplexityWord::Medium => Complexity::Medium,
        ComplexityWord::High => Complexity::High,
    };
    let style = match arguments.style {
        StyleWord::Size => Style::Size,
        StyleWord::Percentage => Style::Percentage,
    };
    let workload = workload(arguments, limit.choice.as_ref());
    let request = Request { limit_bytes: limit.bytes, complexity, workload, other_bytes, style };
    let split = request.split();
    if let (Ok(split), Some(file)) = (&split, &arguments.output) {
        write(file, &split.environment())?;
    }
    let report = Report::new(request, split, limit, arguments.output.as_deref());
    let text = match arguments.format {
        Format::Text => report.render(),
        Format::Json => format!("{:#}\n", report.to_json()),
    };
    io::stdout().lock().write_all(text.as_bytes()).map_err(|cause| Failure::stdout(&cause))?;
    Ok(if report.split.is_ok() { Verdict::Good } else { Verdict::Bad })
}

fn limit(arguments: &Arguments) -> Result<Limit, Failure> {
    if let Some(text) = &arguments.container_limit {
        let bytes = parse_limit(text).map_err(|cause| {
            Failure::input("--container-limit").because(&cause).hint("write 64g or 64Gi")
        })?;
        return Ok(Limit {
            bytes,
            source: "--container-limit".to_owned(),
            choice: None,
            warnings: Vec::new(),
        });
    }
    match (&arguments.manifest, &arguments.cgroup) {
        (Some(file), _) => manifest(file, arguments.container.as_deref()),
        (None, path) => cgroup(path.as_deref().unwrap_or(Path::new(OWN_CGROUP))),
    }
}

fn manifest(file: &Path, container: Option<&str>) -> Result<Limit, Failure> {
    let read = if file == Path::new("-") {
        let mut text = String::new();
        io::stdin().lock().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(file)
    };
    let shown = file.display();
    let text =
        read.map_err(|cause| Failure::input(format!("cannot read {shown}")).because(&cause))?;
    let choice = containers(&text).and_then(|all| choose(&all, container)).map_err(|cause| {
        let failure = Failure::input(format!("{shown} gives no memory limit")).because(&cause);
        match cause {
            stemson_cluster::ManifestError::Yaml(_) => {
                failure.hint("a Helm chart is no manifest yet: render it by `helm template`")
            }
            stemson_cluster::ManifestError::Unknown { .. } => {
                failure.hint("--container takes one of these names")
            }
            stemson_cluster::ManifestError::NoLimit { .. } => {
                failure.hint("set resources.limits.memory there, or give --container-limit")
            }
            _ => failure,
        }
    })?;
    let it = &choice.container;
    let written = it.limit.as_deref().unwrap_or_default();
    let source =
        format!("{shown}: {}, container `{}` ({}), {written}", it.owner, it.name, choice.why);
    Ok(Limit { bytes: choice.limit_bytes, source, choice: Some(choice), warnings: Vec::new() })
}

fn cgroup(path: &Path) -> Result<Limit, Failure> {
    let read = if path == Path::new(OWN_CGROUP) { Cgroup::own() } else { Cgroup::read(path) };
    let group =
        read.map_err(|cause| Failure::input("--cgroup gives no memory limit").because(&cause))?;
    let shown = group.file.display();
    let Some(bytes) = group.limit_bytes else {
        return Err(Failure::input(format!(
            "{shown}: the memory is unlimited, so there is nothing to split"
        ))
        .hint("limit the container, or give --container-limit with the memory that it may take"));
    };
    let warning = group.high_bytes.map(|high| {
        format!(
            "memory.high is {}, below the limit: at that size the kernel slows the container down",
            Bytes(high)
        )
    });
    let source = format!("{shown}, version {}", group.version);
    Ok(Limit { bytes, source, choice: None, warnings: warning.into_iter().collect() })
}

fn workload(arguments: &Arguments, choice: Option<&Choice>) -> Option<Workload> {
    let tree_method = match arguments.tree_method.unwrap_or(MethodWord::Auto) {
        MethodWord::Auto => TreeMethod::Auto,
        MethodWord::Exact => TreeMethod::Exact,
        MethodWord::Approx => TreeMethod::Approx,
        MethodWord::Hist => TreeMethod::Hist,
    };
    Some(Workload {
        rows: arguments.rows?,
        columns: arguments.cols?,
        depth: arguments.depth.unwrap_or(6),
        max_bins: arguments.max_bins.unwrap_or(256),
        min_rows: arguments.min_rows.unwrap_or(1.0),
        tree_method,
        nodes: arguments.nodes.or(choice.map(|it| it.container.replicas)).unwrap_or(1),
    })
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    let written = OutputFile::create(file).and_then(|mut output| {
        output.write_all(text.as_bytes())?;
        output.finish()
    });
    written
        .map_err(|cause| Failure::input(format!("cannot write {}", file.display())).because(&cause))
}

/// What is told of a split, or of why there is none.
struct Report<'a> {
    request: Request,
    split: Result<Split, Impossible>,
    limit: Limit,
    warnings: Vec<String>,
    output: Option<&'a Path>,
}

impl<'a> Report<'a> {
    fn new(
        request: Request,
        split: Result<Split, Impossible>,
        limit: Limit,
        output: Option<&'a Path>,
    ) -> Self {
        let mut warnings = limit.warnings.clone();
        if let Ok(split) = &split {
            warnings.extend(request.warnings(split));
            warnings.extend(limit.choice.iter().flat_map(|it| it.warnings(split.heap_bytes)));
        }
        Self { request, split, limit, warnings, output }
    }

    fn render(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            text.extend([&format!("{name:<11} "), value.as_str(), "\n"]);
        };
        line(
            "limit",
            format!(
                "{} ({} bytes), {}",
                Bytes(self.limit.bytes),
                thousands(self.limit.bytes),
                self.limit.source
            ),
        );
        if let Some(workload) = &self.request.workload {
            line(
                "native",
                format!("{} for {}", Bytes(workload.native_bytes()), describe(workload)),
            );
        }
        match &self.split {
            Ok(split) => {
                line("heap", format!("{}: {}", Bytes(split.heap_bytes), governs(split)));
                line(
                    "beside it",
                    format!(
                        "{} for XGBoost, the JVM itself, Python and the kernel",
                        Bytes(split.rest_bytes())
                    ),
                );
                line("arguments", split.environment().trim_end().to_owned());
                if let Some(file) = self.output {
                    line("written", file.display().to_string());
                }
            }
            Err(cause) => line("impossible", cause.to_string()),
        }
        for warning in &self.warnings {
            line("warning", warning.clone());
        }
        format!("{text}\n{}", self.verdict())
    }

    /// Keys may be added, none goes away.
    fn to_json(&self) -> Value {
        let native = self.request.workload.map(|it| {
            json!({
                "native_bytes": it.native_bytes(), "frame_bytes": it.frame_bytes(),
                "rows": it.rows, "cols": it.columns, "depth": it.depth, "max_bins": it.max_bins,
                "min_rows": it.min_rows, "tree_method": it.method().as_str(), "nodes": it.nodes,
            })
        });
        let split = self.split.as_ref().ok();
        let container = self.limit.choice.as_ref().map(|it| {
            json!({ "owner": it.container.owner, "name": it.container.name, "chosen": it.why })
        });
        json!({
            "possible": split.is_some(),
            "limit_bytes": self.limit.bytes,
            "limit_source": self.limit.source,
            "container": container,
            "model_complexity": self.request.complexity.as_str(),
            "fraction": self.request.complexity.percent() as f64 / 100.0,
            "workload": native,
            "jvm_overhead_bytes": JVM_BYTES,
            "other_bytes": self.request.other_bytes,
            "heap_bytes": split.map(|it| it.heap_bytes),
            "heap": split.map(Split::heap),
            "rest_bytes": split.map(Split::rest_bytes),
            "heap_by_fraction_bytes": split.map(|it| it.heap_by_fraction_bytes),
            "heap_by_native_bytes": split.map(|it| it.heap_by_native_bytes),
            "governed_by": split.map(|it| it.governs.as_str()),
            "java_tool_options": split.map(Split::jvm_arguments),
            "needed_bytes": self.split.as_ref().err().map(|it| it.needed_bytes),
            "warnings": self.warnings,
            "verdict": self.verdict().to_json(),
        })
    }

    fn verdict(&self) -> Dialectic {
        let limit = Bytes(self.limit.bytes);
        let percent = self.request.complexity.percent();
        let thesis = format!(
            "{percent} % of {limit} for the heap leaves XGBoost, Python and the kernel {} % of the container.",
            100 - percent
        );
        let antithesis = match (&self.request.workload, self.split.as_ref()) {
            (None, _) => "Nothing is known of the training (--rows, --cols): histograms of deep trees can take more than any share leaves.".to_owned(),
            (Some(workload), _) => format!(
                "{} takes {} of native memory by the model, {} with its margin, and the JVM {} beside its heap.",
                describe(workload),
                Bytes(workload.native_bytes()),
                Bytes((workload.native_bytes() as f64 * NATIVE_MARGIN) as u64),
                Bytes(JVM_BYTES),
            ),
        };
        let synthesis = match &self.split {
            Ok(split) => format!(
                "Start the JVM with {}: {} stay beside the heap, decided by the {}.",
                split.jvm_arguments(),
                Bytes(split.rest_bytes()),
                if split.governs == Governs::Fraction { "fraction" } else { "native model" },
            ),
            Err(cause) => format!(
                "{limit} cannot hold it: give the container at least {} MiB, or make the trees shallower, the bins fewer, the columns less.",
                thousands(cause.needed_bytes.div_ceil(1 << 20))
            ),
        };
        Dialectic { good: self.split.is_ok(), thesis, antithesis, synthesis }
    }
}

/// Which of both rules decided, with the figure of the other.
fn governs(split: &Split) -> String {
    let percent = split.complexity.percent();
    match split.governs {
        Governs::Fraction => format!(
            "the fraction governs, {percent} % of the limit; what is needed beside it would allow {}",
            Bytes(split.heap_by_native_bytes)
        ),
        Governs::NativeModel => format!(
            "the native model governs; the fraction, {percent} % of the limit, would be {}",
            Bytes(split.heap_by_fraction_bytes)
        ),
    }
}

fn describe(workload: &Workload) -> String {
    let Workload { rows, columns, depth, max_bins, tree_method, nodes, .. } = workload;
    let auto = if *tree_method == TreeMethod::Auto { " (auto)" } else { "" };
    let nodes = if *nodes > 1 { format!(" on each of {nodes} nodes") } else { String::new() };
    format!(
        "XGBoost {}{auto}, {} rows x {} columns, depth {depth}, {max_bins} bins{nodes}",
        workload.method().as_str(),
        thousands(*rows),
        thousands(*columns),
    )
}
