//! `/openapi.json`, and `/docs`: the routes as they are, the models as they are now.
//!
//! Each listener describes its own routes. `api/openapi.json` and `api/openapi-admin.json` are the
//! same without models.

mod bodies;
mod model;
mod page;
mod routes;
mod schemas;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value, json};

use crate::auth::Caller;
use crate::context::Context;
use crate::error::Refusal;
use crate::json;
pub(crate) use page::page;
use routes::{ROUTES, Route, Scope};

/// The listener that a route is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Inference,
    Admin,
}

/// What names a model.
const NAME: &str = "^[A-Za-z0-9._-]{1,128}$";

/// What names a revision.
const VERSION: &str = "^([0-9]{1,19}|stable|canary|shadow|[0-9a-fA-F]{12,64})$";

/// `GET /openapi.json` of the inference listener.
pub(crate) async fn inference(
    State(context): State<Arc<Context>>,
    request: Request,
) -> Result<Response, Refusal> {
    let caller = Caller::of(request.extensions());
    show(move || {
        let mut document = Document::new(Door::Inference, context.auth.is_on());
        for deployment in context.deployments.all() {
            let name = deployment.name().as_str();
            if caller.sees(name) {
                model::describe(
                    &mut document,
                    name,
                    &deployment.current(),
                    context.models.shown(name),
                );
                document.models.push(name.to_owned());
            }
        }
        document.render()
    })
    .await
}

/// `GET /openapi.json` of the admin listener.
pub(crate) async fn admin(
    State(context): State<Arc<Context>>,
    request: Request,
) -> Result<Response, Refusal> {
    let caller = Caller::of(request.extensions());
    show(move || {
        let mut document = Document::new(Door::Admin, context.auth.is_on());
        let deployments = context.deployments.all();
        let names = deployments.iter().map(|it| it.name().as_str());
        document.models.extend(names.filter(|name| caller.sees(name)).map(str::to_owned));
        document.render()
    })
    .await
}

/// Many models with many columns take longer than the reactor may.
async fn show(render: impl FnOnce() -> Value + Send + 'static) -> Result<Response, Refusal> {
    let rendered = tokio::task::spawn_blocking(move || render().to_string()).await;
    let rendered = rendered.map_err(|_| Refusal::Panicked)?;
    Ok(json::response(StatusCode::OK, rendered.into()))
}

/// A description under way.
struct Document {
    door: Door,
    /// Whether callers must be known.
    asks_keys: bool,
    paths: Map<String, Value>,
    schemas: Map<String, Value>,
    /// Names of those that answer.
    models: Vec<String>,
}

impl Document {
    /// With the routes that serve all models.
    fn new(door: Door, asks_keys: bool) -> Self {
        let mut paths = Map::new();
        for route in routes_of(door) {
            let path = paths.entry(route.path).or_insert_with(|| json!({}));
            path[route.method] = operation(&Described::of_all_models(route), asks_keys);
        }
        Self { door, asks_keys, paths, schemas: schemas::all(), models: Vec::new() }
    }

    fn render(self) -> Value {
        let mut components = json!({
            "schemas": self.schemas,
            "parameters": bodies::parameters(),
            "headers": bodies::headers(),
            "responses": bodies::refusals(),
        });
        for (name, parameter) in path_parameters(&self.models) {
            components["parameters"][name] = parameter;
        }
        let mut tags: Vec<&str> = Vec::new();
        let models = self.models.iter().filter(|_| self.door == Door::Inference);
        for tag in models.map(String::as_str).chain(routes_of(self.door).map(|route| route.tag)) {
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        let mut document = json!({
            "openapi": "3.1.0",
            "info": {
                "title": match self.door {
                    Door::Inference => "Stemson",
                    Door::Admin => "Stemson, administration",
                },
                "version": env!("CARGO_PKG_VERSION"),
                "summary": "Serves H2O MOJO models",
                "description": ABOUT,
                "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            },
            "servers": [{ "url": "/" }],
            "tags": tags.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>(),
            "paths": self.paths,
            "components": components,
        });
        if self.asks_keys {
            document["security"] = json!([{ "bearer": [] }, { "key": [] }]);
            document["components"]["securitySchemes"] = json!({
                "bearer": { "type": "http", "scheme": "bearer",
                    "description": "A key of keys.toml, or a token (JWT)" },
                "key": { "type": "apiKey", "in": "header", "name": "X-API-Key",
                    "description": "A key of keys.toml" },
            });
        }
        document
    }
}

const ABOUT: &str = "Bodies without or with an unknown content type are read as JSON. Predictions take \
    bodies in gzip and deflate (`Content-Encoding`) and answer so where `Accept-Encoding` says it. \
    Another method than the described ones is 405 with `Allow`; a path that is not here is 404. \
    HEAD is answered wherever GET is";

/// A route as it is to be shown.
struct Described {
    route: &'static Route,
    parameters: Vec<&'static str>,
    /// The one model that it is shown for.
    model: Option<String>,
    /// Schemas of body and answer in place of those that serve all models.
    takes: Option<String>,
    gives: Option<String>,
}

impl Described {
    fn of_all_models(route: &'static Route) -> Self {
        let parameters = route.parameters.to_vec();
        Self { route, parameters, model: None, takes: None, gives: None }
    }
}

fn routes_of(door: Door) -> impl Iterator<Item = &'static Route> {
    ROUTES.iter().filter(move |route| route.door.is_none_or(|own| own == door))
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

/// The parameters of paths, for `components/parameters`. `models`: that answer now.
fn path_parameters(models: &[String]) -> Vec<(&'static str, Value)> {
    let version = |name: &str| {
        json!({ "name": name, "in": "path", "required": true,
            "description": "A number, `stable`, `canary`, `shadow`, or 12 or more digits of the digest",
            "schema": { "type": "string", "pattern": VERSION, "examples": ["1"] } })
    };
    let mut model = json!({ "name": "model", "in": "path", "required": true,
        "schema": { "type": "string", "pattern": NAME } });
    if !models.is_empty() {
        model["schema"]["examples"] = models.into();
    }
    vec![("ModelName", model), ("Version", version("version")), ("Revision", version("revision"))]
}

/// The description of a route.
fn operation(described: &Described, asks_keys: bool) -> Value {
    let Described { route, parameters, model, takes, gives } = described;
    let in_path = [("{model}", "ModelName"), ("{version}", "Version"), ("{revision}", "Revision")];
    // The path of one model names it.
    let in_path =
        in_path.into_iter().filter(|(part, _)| model.is_none() && route.path.contains(part));
    let parameters: Vec<Value> = in_path
        .map(|(_, name)| name)
        .chain(parameters.iter().copied())
        .map(|name| json!({ "$ref": format!("#/components/parameters/{name}") }))
        .collect();
    let mut operation = json!({
        "tags": [route.tag],
        "summary": route.summary,
        "operationId": operation_id(route),
        "responses": bodies::responses(route, gives.as_deref(), asks_keys),
    });
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(body) = route.takes.describe(takes.as_deref()) {
        operation["requestBody"] = body;
    }
    let scope = match route.scope {
        Scope::Nobody => None,
        Scope::Metrics => Some("read"),
        Scope::Read => Some("read or predict"),
        Scope::Predict => Some("predict"),
        Scope::Admin => Some("admin"),
    };
    if let Some(scope) = scope {
        // The admin listener asks the same of everybody.
        let is_admin = route.door == Some(Door::Admin);
        operation["x-scope"] = if is_admin { "admin" } else { scope }.into();
    }
    match route.scope {
        _ if !asks_keys => {}
        Scope::Nobody => operation["security"] = json!([]),
        Scope::Metrics => operation["security"] = json!([{}, { "bearer": [] }, { "key": [] }]),
        _ => {}
    }
    operation
}

/// The method and the words of the path.
fn operation_id(route: &Route) -> String {
    let words = route.path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty());
    let slash = route.path.ends_with('/').then_some("root");
    let words: Vec<&str> = std::iter::once(route.method).chain(words).chain(slash).collect();
    words.join("_")
}

#[cfg(test)]
mod tests;
