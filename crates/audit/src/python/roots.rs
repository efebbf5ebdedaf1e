//! Where an event loop enters the repository: routes, middleware, sockets, methods of serving
//! frameworks; and what runs before there are requests.

use std::collections::{HashMap, HashSet, VecDeque};

use super::calls::{Calls, is_cached, runs};
use super::project::Project;
use super::syntax::{Call, Expr, ExprKind, Function};
use super::value::{ClassId, FunctionId, Value};
use crate::source::Span;

/// One way in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// The function that is called.
    pub function: FunctionId,
    /// `POST /predict`, `MLModel.predict`: how messages call it.
    pub what: String,
    /// The route's path, where it is a literal.
    pub route: Option<String>,
    /// Called on the loop although it is no `async def`.
    pub on_loop: bool,
}

/// All ways in.
#[derive(Debug, Default)]
pub struct Roots {
    /// Routes and methods that answer requests, both `def` and `async def`.
    pub requests: Vec<Root>,
    /// What runs before the first request and after the last.
    pub startup: HashSet<FunctionId>,
    /// What a request reaches, by calls of any kind.
    reached: HashMap<FunctionId, Step>,
    /// What runs for every request: not what is cached, or done once under a condition.
    every: HashMap<FunctionId, Step>,
}

/// How a request comes to a function: from which root, and by which call.
#[derive(Debug, Clone, Copy)]
struct Step {
    root: usize,
    from: Option<(FunctionId, Span)>,
}

const METHODS: &[&str] = &[
    "get",
    "post",
    "put",
    "patch",
    "delete",
    "head",
    "options",
    "websocket",
    "route",
    "api_route",
    "websocket_route",
    "middleware",
    "exception_handler",
    "view",
];

const APPS: &[&str] =
    &["app", "api", "router", "application", "routes", "server", "bp", "blueprint"];

impl Roots {
    /// Finds all ways in and what each reaches.
    pub fn new<'a>(project: &Project<'a>, calls: &Calls<'a>) -> Self {
        let mut roots = Self::default();
        for id in calls.functions() {
            roots.decorated(project, id);
            roots.method(project, id);
        }
        for site in calls.all() {
            if let Some(call) = site.call {
                roots.registered(project, site.at, call);
            }
        }
        roots.requests.sort_by_key(|root| root.function);
        roots.requests.dedup_by_key(|root| root.function);
        roots.requests.retain(|root| !roots.startup.contains(&root.function));
        roots.reached = roots.spread(project, calls, false);
        roots.every = roots.spread(project, calls, true);
        roots
    }

    /// The root of a function that a request reaches.
    pub fn root(&self, id: FunctionId) -> Option<&Root> {
        self.requests.get(self.reached.get(&id)?.root)
    }

    /// The root of a function that runs for every request.
    pub fn per_request(&self, id: FunctionId) -> Option<&Root> {
        self.requests.get(self.every.get(&id)?.root)
    }

    /// Whether a framework calls this `def` on its loop.
    pub fn is_on_loop(&self, id: FunctionId) -> bool {
        self.requests.iter().any(|root| root.function == id && root.on_loop)
    }

    /// Whether the root is a route that its framework runs in a pool of threads.
    pub fn uses_threads(&self, id: FunctionId) -> bool {
        self.requests
            .iter()
            .any(|root| root.function == id && !root.on_loop && root.route.is_some())
    }

    /// Calls from the root to a function: caller and place, outermost first.
    pub fn way(&self, id: FunctionId) -> Vec<(FunctionId, Span)> {
        let mut way = Vec::new();
        let mut at = id;
        while let Some(Step { from: Some((caller, span)), .. }) = self.reached.get(&at) {
            way.push((*caller, *span));
            at = *caller;
        }
        way.reverse();
        way
    }

    /// Breadth first, so that each way is a shortest one. `each_time`: only what is neither cached nor
    /// under a condition that makes it happen once.
    fn spread<'a>(
        &self,
        project: &Project<'a>,
        calls: &Calls<'a>,
        each_time: bool,
    ) -> HashMap<FunctionId, Step> {
        let mut reached = HashMap::new();
        let mut open: VecDeque<FunctionId> = VecDeque::new();
        for (root, it) in self.requests.iter().enumerate() {
            reached.insert(it.function, Step { root, from: None });
            open.push_back(it.function);
        }
        while let Some(id) = open.pop_front() {
            let Some(Step { root, .. }) = reached.get(&id).copied() else { continue };
            let mut next: Vec<(FunctionId, Span)> = Vec::new();
            for site in calls.of(id) {
                if !(each_time && site.guarded) {
                    let callees = calls.callees(project, site);
                    next.extend(callees.into_iter().map(|callee| (callee, site.span())));
                }
            }
            // Dependencies run per request, too.
            let span = project.function(id).span;
            next.extend(dependencies(project, id).into_iter().map(|callee| (callee, span)));
            for (callee, span) in next {
                let once = each_time && is_cached(project.function(callee));
                if !once && !reached.contains_key(&callee) && !self.startup.contains(&callee) {
                    reached.insert(callee, Step { root, from: Some((id, span)) });
                    open.push_back(callee);
                }
            }
        }
        reached
    }

    fn request(&mut self, function: FunctionId, what: String, route: Option<String>) {
        self.requests.push(Root { function, what, route, on_loop: false });
    }

    fn decorated(&mut self, project: &Project<'_>, id: FunctionId) {
        let function = project.function(id);
        let around = FunctionId { function: function.parent.unwrap_or(0), ..id };
        for decorator in &function.decorators {
            let (func, call) = match &decorator.kind {
                ExprKind::Call(call) => (&call.func, Some(&**call)),
                _ => (decorator, None),
            };
            // Litestar's decorators stand alone: `@get("/")`.
            if let Some(path) = project.value(around, func).as_ref().and_then(Value::path)
                && path.starts_with("litestar.")
                && let Some(name) = func.last_name().filter(|name| METHODS.contains(name))
            {
                let route = route(call);
                let shown = route.as_deref().unwrap_or("/");
                self.request(id, format!("{} {shown}", verb(name)), route);
            }
            let ExprKind::Attribute(base, name) = &func.kind else { continue };
            let event = call.and_then(|call| call.args.first()).and_then(Expr::text);
            match &**name {
                "on_event" | "listener" if event.is_some_and(is_startup) => {
                    self.startup.insert(id);
                }
                "before_serving"
                | "after_serving"
                | "before_server_start"
                | "after_server_stop"
                | "before_server_stop"
                | "main_process_start" => {
                    self.startup.insert(id);
                }
                name if METHODS.contains(&name) && is_app(project, around, base) => {
                    let route = route(call);
                    let shown = route.as_deref().unwrap_or("");
                    self.request(id, format!("{} {shown}", verb(name)).trim().to_owned(), route);
                }
                _ => {}
            }
        }
        let is_lifespan = function
            .decorators
            .iter()
            .any(|it| it.last_name() == Some("asynccontextmanager"))
            && (function.name.contains("lifespan")
                || function.params.len() == 1
                    && function.params[0]
                        .annotation
                        .as_ref()
                        .and_then(Expr::last_name)
                        .is_some_and(|name| ["FastAPI", "Starlette", "Litestar"].contains(&name)));
        if is_lifespan || matches!(&*function.name, "lifespan" | "on_startup" | "startup") {
            self.startup.insert(id);
        }
    }

    /// Methods that serving frameworks call.
    fn method(&mut self, project: &Project<'_>, id: FunctionId) {
        let function = project.function(id);
        let Some(class) = function.class else { return };
        let class_id = ClassId { module: id.module, class };
        let class = project.class(class_id);
        let name = &*function.name;
        let bases = project.base_names(class_id);
        let inherits = |part: &str| bases.iter().any(|base| base.contains(part));
        let around = FunctionId { module: id.module, function: class.parent };
        let decorated = |part: &str| {
            class.decorators.iter().any(|it| {
                let callee = it.call().map_or(it, |call| &call.func);
                project.path(around, callee).is_some_and(|path| path.contains(part))
            })
        };
        let marked = |part: &str| {
            function.decorators.iter().any(|it| {
                let callee = it.call().map_or(it, |call| &call.func);
                project.path(around, callee).is_some_and(|path| path.ends_with(part))
            })
        };
        let mlserver = inherits("mlserver");
        let starts = (mlserver || inherits("kserve"))
            && matches!(name, "load" | "unload" | "start")
            || name == "setup"
                && (inherits("litserve") || inherits("Predictor") || inherits("Runner"))
            || name == "__init__"
                && (decorated("serve.deployment") || decorated("bentoml.service"));
        if starts {
            self.startup.insert(id);
        }
        let answers = mlserver && matches!(name, "predict" | "predict_stream" | "explain")
            || inherits("kserve")
                && matches!(name, "predict" | "preprocess" | "postprocess" | "explain")
            || decorated("serve.deployment")
                && !name.starts_with("__init")
                && !name.starts_with("reconfigure")
            || marked("bentoml.api")
            || marked("svc.api")
            || marked("serve.batch")
            || inherits("BaseHTTPMiddleware") && name == "dispatch"
            || inherits("HTTPEndpoint") && matches!(name, "get" | "post" | "put" | "delete")
            || inherits("aiohttp.web.View") && matches!(name, "get" | "post" | "put" | "delete")
            || inherits("RequestHandler") && matches!(name, "get" | "post" | "put" | "delete")
            || name == "__call__" && is_asgi(function);
        if answers {
            self.request(id, format!("{}.{name}", class.name), None);
            // KServe calls what is no coroutine where it stands: on the loop.
            if let Some(root) = self.requests.last_mut() {
                root.on_loop = inherits("kserve");
            }
        }
    }

    /// `app.add_api_route("/", f)`, `Route("/", f)`, `FastAPI(lifespan=f)`, ...
    fn registered<'a>(&mut self, project: &Project<'a>, at: FunctionId, call: &'a Call) {
        let Some(name) = call.func.last_name() else { return };
        let function = |value: Option<&'a Expr>| {
            value.and_then(|value| project.value(at, value)).and_then(|it| runs(project, &it))
        };
        match name {
            "add_api_route"
            | "add_route"
            | "add_websocket_route"
            | "add_get"
            | "add_post"
            | "add_put"
            | "add_delete"
            | "Route"
            | "WebSocketRoute"
            | "APIRoute" => {
                let position = usize::from(
                    call.args.len() > 2
                        && call.args[0].text().is_some_and(|text| !text.starts_with('/')),
                );
                let handler = ["endpoint", "handler"].iter().find_map(|name| call.keyword(name));
                if let Some(id) = function(handler.or_else(|| call.args.get(position + 1))) {
                    let route = call.args.get(position).and_then(Expr::text).map(str::to_owned);
                    let shown = route.as_deref().unwrap_or("");
                    self.request(id, format!("route {shown}").trim().to_owned(), route);
                }
            }
            "get" | "post" | "put" | "delete" if call.args.len() > 1 => {
                let is_web = project.value(at, &call.func);
                if is_web
                    .as_ref()
                    .and_then(Value::path)
                    .is_some_and(|it| it.starts_with("aiohttp.web."))
                    && let Some(id) = function(call.args.get(1))
                {
                    let route = call.args[0].text().map(str::to_owned);
                    self.request(
                        id,
                        format!("{} {}", verb(name), route.as_deref().unwrap_or("")),
                        route,
                    );
                }
            }
            "add_event_handler" => {
                self.startup.extend(function(call.args.get(1)));
            }
            "append" => {
                if let ExprKind::Attribute(base, _) = &call.func.kind
                    && matches!(
                        base.last_name(),
                        Some("on_startup" | "on_cleanup" | "cleanup_ctx" | "on_shutdown")
                    )
                {
                    self.startup.extend(function(call.args.first()));
                }
            }
            "FastAPI" | "Starlette" | "Litestar" | "Application" => {
                for name in ["lifespan", "on_startup", "on_shutdown"] {
                    let Some(value) = call.keyword(name) else { continue };
                    let parts = match &value.kind {
                        ExprKind::List(parts) => parts.as_slice(),
                        _ => std::slice::from_ref(value),
                    };
                    self.startup.extend(parts.iter().filter_map(|part| function(Some(part))));
                }
            }
            _ => {}
        }
    }
}

/// Functions that `Depends` names in the parameters of `id`.
fn dependencies(project: &Project<'_>, id: FunctionId) -> Vec<FunctionId> {
    let function = project.function(id);
    let around = FunctionId { function: function.parent.unwrap_or(0), ..id };
    let mut found = Vec::new();
    for param in &function.params {
        for expr in param.default.iter().chain(&param.annotation) {
            expr.walk(&mut |inner| {
                let Some(call) = inner.call() else { return };
                if matches!(call.func.last_name(), Some("Depends" | "Security"))
                    && let Some(value) = call.args.first().and_then(|it| project.value(around, it))
                {
                    found.extend(runs(project, &value));
                }
            });
        }
    }
    found
}

fn is_startup(event: &str) -> bool {
    ["startup", "shutdown", "server_start", "server_stop", "process_start"]
        .iter()
        .any(|it| event.contains(it))
}

fn is_app<'a>(project: &Project<'a>, at: FunctionId, base: &'a Expr) -> bool {
    match project.value(at, base) {
        Some(Value::External(path)) => [
            "FastAPI",
            "Router",
            "Starlette",
            "Sanic",
            "Blueprint",
            "Quart",
            "RouteTableDef",
            "Litestar",
            "Robyn",
            "NinjaAPI",
            "app",
        ]
        .iter()
        .any(|it| path.contains(it)),
        Some(_) => true,
        None => base.last_name().is_some_and(|name| {
            let name = name.to_ascii_lowercase();
            APPS.iter().any(|it| name == *it || name.ends_with(&format!("_{it}")))
        }),
    }
}

fn verb(name: &str) -> String {
    match name {
        "get" | "post" | "put" | "patch" | "delete" | "head" | "options" => {
            name.to_ascii_uppercase()
        }
        "api_route" => "route".to_owned(),
        name => name.replace('_', " "),
    }
}

fn route(call: Option<&Call>) -> Option<String> {
    let call = call?;
    call.argument("path", 0).and_then(Expr::text).map(str::to_owned)
}

fn is_asgi(function: &Function) -> bool {
    function.is_async && function.params.len() == 4 && &*function.params[1].name == "scope"
}
