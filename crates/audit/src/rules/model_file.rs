//! LE-DEV-01, 02 and 03 in Python: pickles and POJOs that are written or read, a JVM in the request's
//! way.

use super::event_loop::{hop, shown, sink_of};
use super::{Findings, is_test};
use crate::finding::Hop;
use crate::python::syntax::{Call, ExprKind};
use crate::python::{Blocks, FunctionId, Program, Site};
use crate::rule::Severity;

const LOADS: &[&str] = &[
    "joblib.load",
    "pickle.load",
    "cloudpickle.load",
    "dill.load",
    "pandas.read_pickle",
    "sklearn.externals.joblib.load",
    "pickle.Unpickler().load",
];

const LOADS_BYTES: &[&str] = &["pickle.loads", "cloudpickle.loads", "dill.loads"];

const DUMPS: &[&str] = &["joblib.dump", "pickle.dump", "cloudpickle.dump", "dill.dump"];

const POJO: &[&str] = &["h2o.download_pojo", "h2o.save_model"];

fn index(program: &Program<'_>, id: FunctionId) -> usize {
    program.project.module(id.module).source
}

/// Sites outside of tests, with the way into the library or the method's name.
fn sites<'a, 'p>(program: &'p Program<'a>) -> impl Iterator<Item = (&'p Site<'a>, &'a Call)> {
    program.calls.all().filter_map(|site| {
        let path = &program.project.source(site.at.module).path;
        site.call.filter(|_| !is_test(path)).map(|call| (site, call))
    })
}

/// Whether anything there says that a model is meant, and not some other value: the line, the
/// function's name, the file's.
fn is_model(program: &Program<'_>, site: &Site<'_>) -> bool {
    let source = program.project.source(site.at.module);
    let lines = source.line_of(site.span().start)..=source.line_of(site.span().end);
    let near = lines.map(|line| source.line(line)).collect::<Vec<_>>().join(" ");
    let text = format!("{} {} {near}", source.name(), program.project.label(site.at));
    let text = text.to_ascii_lowercase();
    let words = [
        "model",
        "clf",
        "classif",
        "regress",
        "estimator",
        "pipe",
        "predict",
        "ensemble",
        "explainer",
        "encoder",
        "scaler",
        "booster",
        "forest",
        "vectorizer",
        "transformer",
        "train",
        "weights",
    ];
    words.iter().any(|word| text.contains(word))
}

/// Pickles that are read.
pub(super) fn pickle_load(program: &Program<'_>, findings: &mut Findings<'_>) {
    for (site, call) in sites(program) {
        let Some(path) = site.path() else { continue };
        let is_true = |name: &str| {
            call.keyword(name).is_some_and(|it| matches!(it.kind, ExprKind::Bool(true)))
        };
        let fault = match path {
            _ if LOADS.contains(&path) && is_model(program, site) => Some(Severity::Error),
            _ if LOADS.contains(&path) => Some(Severity::Warning),
            _ if LOADS_BYTES.contains(&path) => Some(Severity::Warning),
            "numpy.load" if is_true("allow_pickle") => Some(Severity::Error),
            "torch.load"
                if call
                    .keyword("weights_only")
                    .is_some_and(|it| matches!(it.kind, ExprKind::Bool(false))) =>
            {
                Some(Severity::Error)
            }
            _ => None,
        };
        let Some(severity) = fault else { continue };
        let source = program.project.source(site.at.module);
        let called = shown(source.slice(site.span()));
        let message = format!("`{called}` runs whatever code the file holds: only MOJOs may ship");
        findings.add("pickle_load", index(program, site.at), site.span(), message).severity =
            severity;
    }
}

/// Models that are written as pickles.
pub(super) fn pickle_export(program: &Program<'_>, findings: &mut Findings<'_>) {
    for (site, _) in sites(program) {
        let Some(path) = site.path().filter(|path| DUMPS.contains(path)) else { continue };
        let model = is_model(program, site);
        let what = if model {
            "a model as a pickle: export a MOJO"
        } else {
            "a pickle: say which format instead"
        };
        let message = format!("`{path}` writes {what}; loading it runs whatever code it holds");
        let finding = findings.add("pickle_export", index(program, site.at), site.span(), message);
        if !model {
            finding.severity = Severity::Warning;
        }
    }
}

/// POJOs and binary models of H2O that are written.
pub(super) fn pojo_export(program: &Program<'_>, findings: &mut Findings<'_>) {
    for (site, call) in sites(program) {
        let method = call.func.last_name().unwrap_or("");
        let what = match site.path() {
            Some(path) if POJO.contains(&path) => path.rsplit('.').next().unwrap_or(path),
            _ if method == "download_pojo" => "download_pojo",
            _ => continue,
        };
        // A checkpoint beside the MOJO is how one goes on training.
        let beside = program.project.module(site.at.module).functions.len();
        let exports = (0..beside).any(|function| {
            let sites = program.calls.of(FunctionId { function, ..site.at });
            sites
                .iter()
                .filter_map(|it| it.call)
                .any(|call| matches!(call.func.last_name(), Some("download_mojo" | "save_mojo")))
        });
        if what == "save_model" && exports {
            continue;
        }
        let message = if what == "save_model" {
            "`h2o.save_model` writes what only a cluster of the same version reads: export a MOJO"
                .to_owned()
        } else {
            "a POJO must be compiled where it runs and needs a JVM: export a MOJO".to_owned()
        };
        findings.add("pojo_export", index(program, site.at), site.span(), message);
    }
}

/// A JVM, or a cluster of JVMs, between a request and its answer.
pub(super) fn jvm_in_request(program: &Program<'_>, findings: &mut Findings<'_>) {
    for (site, _) in sites(program) {
        let Some(found) = sink_of(program, site) else { continue };
        let (rule, does) = match found.blocks {
            Blocks::Java => ("mojo_predict_java", "writes a CSV file and starts a JVM"),
            Blocks::H2o => ("h2o_in_request", "asks an H2O cluster"),
            _ => continue,
        };
        let Some(root) = program.roots.root(site.at) else { continue };
        let source = program.project.source(site.at.module);
        let called = shown(source.slice(site.span()));
        let message = format!("`{}` {does} for every request: `{called}`", root.what);
        let chain = chain(program, site);
        findings.add(rule, index(program, site.at), site.span(), message).chain = chain;
    }
}

fn chain(program: &Program<'_>, site: &Site<'_>) -> Vec<Hop> {
    let project = &program.project;
    let mut hops = Vec::new();
    if let Some(root) = program.roots.root(site.at) {
        let span = project.function(root.function).span;
        hops.push(hop(program, root.function, span, format!("{} enters here", root.what)));
    }
    for (caller, span) in program.roots.way(site.at).into_iter().chain([(site.at, site.span())]) {
        let called = shown(project.source(caller.module).slice(span));
        hops.push(hop(program, caller, span, format!("{} calls {called}", project.label(caller))));
    }
    hops
}
