//! Every route, once: what it is for, what it takes, what it answers. A test holds the routers to
//! this list.

use super::Door;
use super::bodies::{Gives, Takes};

/// What callers need where keys are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Nothing: anybody may ask.
    Nobody,
    /// Nothing on listeners of this machine, else `read`.
    Metrics,
    /// `read` or `predict`.
    Read,
    Predict,
    Admin,
}

/// A method of a path.
#[derive(Debug, Clone, Copy)]
pub(super) struct Route {
    /// None: on both listeners.
    pub(super) door: Option<Door>,
    /// In lower case.
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) tag: &'static str,
    pub(super) scope: Scope,
    /// One line.
    pub(super) summary: &'static str,
    pub(super) takes: Takes,
    pub(super) gives: Gives,
    /// Statuses of refusals, beside those that its path, body and scope bring.
    pub(super) errors: &'static [u16],
    /// Names of parameters in query and headers: `components/parameters`.
    pub(super) parameters: &'static [&'static str],
}

const fn route(
    door: Option<Door>,
    method: &'static str,
    path: &'static str,
    tag: &'static str,
    summary: &'static str,
) -> Route {
    Route {
        door,
        method,
        path,
        tag,
        scope: Scope::Read,
        summary,
        takes: Takes::Nothing,
        gives: Gives::Json("Nothing"),
        errors: &[],
        parameters: &[],
    }
}

const fn get(path: &'static str, tag: &'static str, summary: &'static str) -> Route {
    route(Some(Door::Inference), "get", path, tag, summary)
}

const fn post(path: &'static str, tag: &'static str, summary: &'static str) -> Route {
    route(Some(Door::Inference), "post", path, tag, summary)
}

/// A route of the admin listener, which needs the scope `admin`, whatever it does.
const fn admin(method: &'static str, path: &'static str, summary: &'static str) -> Route {
    route(Some(Door::Admin), method, path, MODELS, summary).needs(Scope::Admin)
}

const fn both(path: &'static str, summary: &'static str) -> Route {
    route(None, "get", path, SERVER, summary)
}

impl Route {
    const fn takes(self, takes: Takes) -> Self {
        Self { takes, ..self }
    }

    /// A JSON answer of this schema.
    const fn gives(self, schema: &'static str) -> Self {
        self.answers(Gives::Json(schema))
    }

    const fn answers(self, gives: Gives) -> Self {
        Self { gives, ..self }
    }

    const fn needs(self, scope: Scope) -> Self {
        Self { scope, ..self }
    }

    const fn fails(self, errors: &'static [u16]) -> Self {
        Self { errors, ..self }
    }

    const fn with(self, parameters: &'static [&'static str]) -> Self {
        Self { parameters, ..self }
    }

    /// A prediction by one object per row.
    const fn predicts(self, takes: Takes) -> Self {
        self.takes(takes).needs(Scope::Predict).fails(&[422, 503, 504]).with(ROW_OPTIONS)
    }

    /// A prediction by tensors.
    const fn infers(self) -> Self {
        self.takes(Takes::Infer)
            .answers(Gives::Tensors)
            .needs(Scope::Predict)
            .fails(&[503, 504])
            .with(&["RequestTimeout"])
    }

    /// A change that an artifact comes with, or may.
    const fn brings(self, takes: Takes) -> Self {
        self.takes(takes).gives("Changed").fails(&[403, 409, 507])
    }
}

const ROWS: &str = "Rows";
const OIP: &str = "Open Inference Protocol";
const REPOSITORY: &str = "Repository";
const PLATFORMS: &str = "Platforms";
const SERVER: &str = "Server";
const MODELS: &str = "Models";

/// Options in the query, for bodies that have no room for them, where the model is one. A body's own
/// outweigh them.
const INVOCATION_OPTIONS: &[&str] = &[
    "Model",
    "TargetModel",
    "RequestTimeout",
    "Strict",
    "Contributions",
    "LeafAssignment",
    "Staged",
    "Distances",
    "Calibrated",
    "Reconstruct",
    "RowIndex",
];

/// The same where the path names the model.
const ROW_OPTIONS: &[&str] = INVOCATION_OPTIONS.split_at(2).1;

/// The routes, by tag.
pub(super) const ROUTES: &[Route] = &[
    post("/v1/models/{model}:predict", ROWS, "Predict, one object per row")
        .predicts(Takes::Rows)
        .gives("RowAnswer"),
    post("/v1/models/{model}:explain", ROWS, "Predict, and say what each column contributed")
        .predicts(Takes::Rows)
        .gives("ExplainedRowAnswer"),
    get("/v1/models", ROWS, "The names of all models").gives("ModelNames"),
    get("/v1/models/{model}", ROWS, "Which revision of a model answers")
        .gives("ModelState")
        .fails(&[503]),
    post("/invocations", PLATFORMS, "Predict, as MLflow and SageMaker call it")
        .predicts(Takes::Invocation)
        .with(INVOCATION_OPTIONS)
        .answers(Gives::Predictions)
        .fails(&[404, 422, 503, 504]),
    get("/ping", PLATFORMS, "New requests are welcome, as SageMaker asks it")
        .gives("Ready")
        .needs(Scope::Nobody)
        .fails(&[503]),
    get("/v2", OIP, "Name, version and extensions of the server").gives("ServerMetadata"),
    get("/v2/", OIP, "The same, as the protocol's own description spells it")
        .gives("ServerMetadata"),
    get("/v2/health/live", OIP, "The process runs").gives("Live").needs(Scope::Nobody),
    get("/v2/health/ready", OIP, "New requests are welcome")
        .gives("Ready")
        .needs(Scope::Nobody)
        .fails(&[503]),
    get("/v2/models/{model}", OIP, "Inputs and outputs of a model").gives("ModelMetadata"),
    get("/v2/models/{model}/ready", OIP, "A model answers").gives("ModelReady").fails(&[503]),
    post("/v2/models/{model}/infer", OIP, "Predict, with tensors").infers(),
    get("/v2/models/{model}/versions/{version}", OIP, "Inputs and outputs of a revision")
        .gives("ModelMetadata"),
    get("/v2/models/{model}/versions/{version}/ready", OIP, "A revision answers")
        .gives("ModelReady")
        .fails(&[503]),
    post("/v2/models/{model}/versions/{version}/infer", OIP, "Predict with a revision").infers(),
    get("/v2/models/{model}/config", OIP, "A model as Triton describes it").gives("ModelConfig"),
    get("/v2/models/{model}/versions/{version}/config", OIP, "A revision as Triton describes it")
        .gives("ModelConfig"),
    get("/v2/models/stats", OIP, "What was asked of all models").gives("Statistics"),
    get("/v2/models/{model}/stats", OIP, "What was asked of a model").gives("Statistics"),
    get("/v2/models/{model}/versions/{version}/stats", OIP, "What was asked of a revision")
        .gives("Statistics"),
    get("/v2/trace/setting", OIP, "Which requests are traced").gives("TraceSettings"),
    post("/v2/trace/setting", OIP, "Change which requests are traced")
        .takes(Takes::Optional("TraceSettingsChange"))
        .gives("TraceSettings")
        .needs(Scope::Admin),
    get("/v2/models/{model}/trace/setting", OIP, "Which requests of a model are traced")
        .gives("TraceSettings"),
    post("/v2/models/{model}/trace/setting", OIP, "Change which requests of a model are traced")
        .takes(Takes::Optional("ModelTraceSettingsChange"))
        .gives("TraceSettings")
        .needs(Scope::Admin),
    get("/v2/logging", OIP, "What is logged").gives("LogSettings"),
    post("/v2/logging", OIP, "Change what is logged")
        .takes(Takes::Optional("LogSettingsChange"))
        .gives("LogSettings")
        .needs(Scope::Admin),
    post("/v2/repository/index", REPOSITORY, "The models that are known")
        .takes(Takes::Optional("IndexRequest"))
        .gives("Index"),
    post("/v2/repository/models/{model}/load", REPOSITORY, "Load a model")
        .takes(Takes::Optional("LoadRequest"))
        .needs(Scope::Admin)
        .fails(&[409, 507]),
    post("/v2/repository/models/{model}/unload", REPOSITORY, "Take a model out of service")
        .takes(Takes::Optional("UnloadRequest"))
        .needs(Scope::Admin),
    get("/", SERVER, "The process runs, in the words of KServe V1")
        .gives("Alive")
        .needs(Scope::Nobody),
    admin("get", "/admin/models", "What answers, and what stands beside it").gives("AdminModels"),
    admin("post", "/admin/models/{model}/swap", "Put another artifact in a model's place")
        .brings(Takes::Artifact)
        .with(&["AllowSchemaChange"]),
    admin("post", "/admin/models/{model}/rollback", "Go back to a revision")
        .brings(Takes::Optional("RollbackRequest")),
    admin("get", "/admin/models/{model}/canary", "What both arms have answered so far")
        .gives("Rollout")
        .fails(&[409]),
    admin("post", "/admin/models/{model}/canary", "Give another artifact a share of the requests")
        .brings(Takes::Artifact)
        .with(&["Share", "AllowSchemaChange"]),
    admin("post", "/admin/models/{model}/canary/promote", "Make the canary current")
        .brings(Takes::Nothing),
    admin("post", "/admin/models/{model}/canary/abort", "End the canary").brings(Takes::Nothing),
    admin("post", "/admin/models/{model}/shadow", "Have another artifact asked too")
        .brings(Takes::Artifact)
        .with(&["AllowSchemaChange"]),
    admin("post", "/admin/models/{model}/shadow/stop", "Ask it no longer").brings(Takes::Nothing),
    admin("get", "/admin/models/{model}/revisions", "What answered, and since when")
        .gives("Revisions"),
    admin("get", "/admin/models/{model}/revisions/{revision}/artifact", "The bytes of a revision")
        .answers(Gives::Artifact)
        .fails(&[409, 507]),
    admin("post", "/admin/reload", "Read the configuration, keys and certificates again")
        .gives("Reloaded")
        .fails(&[409]),
    admin("get", "/admin/log", "What is logged").gives("LogLevel"),
    admin("post", "/admin/log", "Change what is logged")
        .takes(Takes::Needed("LogLevel"))
        .gives("LogLevel"),
    both("/healthz", "The process runs").gives("Live").needs(Scope::Nobody),
    both("/readyz", "New requests are welcome").gives("Ready").needs(Scope::Nobody).fails(&[503]),
    both("/metrics", "What is counted, for Prometheus")
        .answers(Gives::Metrics)
        .needs(Scope::Metrics),
    both("/openapi.json", "This description").gives("Description"),
    both("/docs", "This description, for people").answers(Gives::Page).needs(Scope::Nobody),
];
