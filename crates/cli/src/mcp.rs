//! `stemson mcp`: the auditor for agents, by the Model Context Protocol on standard input and output.
//!
//! A tool is a command of this binary, run as a process of its own with JSON as its form: an agent gets
//! what a person gets, and what breaks off breaks alone. All that knows `rmcp` is in this file.

use std::process::Stdio;
use std::sync::Arc;

use clap::Args;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation,
    JsonObject, ListResourcesResult, ListToolsResult, PaginatedRequestParams,
    ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult, Resource,
    ResourceContents, ServerCapabilities, ServerConfig, Tool, ToolAnnotations,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler, ServiceExt};
use serde_json::{Value, json};
use stemson_audit::{VIEWS, rules, view};

use crate::failure::{Failure, Verdict};

/// Serves the auditor to an agent, by the Model Context Protocol on standard input and output.
///
/// Tools: audit, explain, review, `check_artifact`, inspect, `memory_split`. Resources: the pages of all
/// rules (`stemson://rules/ID`) and the checklists (`stemson://checklists/VIEW`). Nothing is written, and
/// nothing leaves the machine.
#[derive(Debug, Args)]
#[command(after_help = "Example, in the configuration of a client:
  {\"mcpServers\": {\"stemson\": {\"command\": \"stemson\", \"args\": [\"mcp\"]}}}")]
pub(crate) struct Arguments {}

/// A tool: a command, and how arguments become its flags.
struct Command {
    name: &'static str,
    does: &'static str,
    line: &'static [&'static str],
    parameters: &'static [Parameter],
}

struct Parameter {
    name: &'static str,
    means: &'static str,
    kind: Kind,
    /// Empty: it stands for itself, after all flags.
    flag: &'static str,
    required: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Texts,
    Number,
}

const fn parameter(
    name: &'static str,
    kind: Kind,
    flag: &'static str,
    required: bool,
    means: &'static str,
) -> Parameter {
    Parameter { name, means, kind, flag, required }
}

const COMMANDS: &[Command] = &[
    Command {
        name: "audit",
        does: "Audits folders and files: forbidden artifacts, blocking calls, schemas, images, H2O manifests. Findings with place, chain and rule.",
        line: &["check", "--format", "json"],
        parameters: &[parameter(
            "paths",
            Kind::Texts,
            "",
            false,
            "Folders and files; the working directory by default",
        )],
    },
    Command {
        name: "explain",
        does: "What a rule is about: thesis, antithesis, synthesis, evidence, examples that are found and that are not, and the fix.",
        line: &["explain", "--format", "json"],
        parameters: &[parameter(
            "rule",
            Kind::Text,
            "",
            true,
            "The rule's id, as a finding names it",
        )],
    },
    Command {
        name: "review",
        does: "The verdict over a change: reject, accept_with_conditions or accept, with reasons on changed lines.",
        line: &["review", "--format", "json"],
        parameters: &[
            parameter(
                "diff",
                Kind::Text,
                "--diff",
                false,
                "What the working tree is compared with: a branch, a commit; HEAD by default",
            ),
            parameter("patch", Kind::Text, "--pr", false, "A patch file instead"),
        ],
    },
    Command {
        name: "check_artifact",
        does: "Whether a file may ship: MOJOs only, decided by content (pickles, POJOs, H2O binary models and damaged MOJOs are blocked).",
        line: &["check", "--format", "json"],
        parameters: &[parameter("path", Kind::Text, "", true, "The file")],
    },
    Command {
        name: "inspect",
        does: "What a MOJO is, takes and answers: algorithm, columns, levels, thresholds, versions.",
        line: &["inspect", "--format", "json"],
        parameters: &[parameter("path", Kind::Text, "", true, "A MOJO zip file")],
    },
    Command {
        name: "memory_split",
        does: "Splits a container's memory between H2O's heap and native memory, from a limit or a Kubernetes manifest.",
        line: &["calculate-memory-split", "--format", "json"],
        parameters: &[
            parameter(
                "container_limit",
                Kind::Text,
                "--container-limit",
                false,
                "The limit: 64g, 64Gi",
            ),
            parameter(
                "manifest",
                Kind::Text,
                "--manifest",
                false,
                "A manifest that states the limit, instead",
            ),
            parameter("rows", Kind::Number, "--rows", false, "Rows of the training frame"),
            parameter("cols", Kind::Number, "--cols", false, "Columns, after one-hot encoding"),
            parameter("depth", Kind::Number, "--depth", false, "max_depth of XGBoost"),
            parameter(
                "tree_method",
                Kind::Text,
                "--tree-method",
                false,
                "auto, exact, approx or hist",
            ),
        ],
    },
];

impl Command {
    fn tool(&self) -> Tool {
        let mut properties = JsonObject::new();
        for it in self.parameters {
            let mut schema = match it.kind {
                Kind::Text => json!({"type": "string"}),
                Kind::Texts => json!({"type": "array", "items": {"type": "string"}}),
                Kind::Number => json!({"type": "integer", "minimum": 0}),
            };
            schema["description"] = json!(it.means);
            properties.insert(it.name.to_owned(), schema);
        }
        let required: Vec<&str> =
            self.parameters.iter().filter(|it| it.required).map(|it| it.name).collect();
        let mut schema = JsonObject::new();
        schema.insert("type".to_owned(), json!("object"));
        schema.insert("properties".to_owned(), Value::Object(properties));
        schema.insert("required".to_owned(), json!(required));
        schema.insert("additionalProperties".to_owned(), json!(false));
        Tool::new(self.name, self.does, Arc::new(schema))
            .with_annotations(ToolAnnotations::new().read_only(true))
    }

    /// The command line that arguments make; says what is wrong with them.
    fn arguments(&self, given: &JsonObject) -> Result<Vec<String>, String> {
        if let Some(name) =
            given.keys().find(|name| self.parameters.iter().all(|it| it.name != *name))
        {
            let known: Vec<&str> = self.parameters.iter().map(|it| it.name).collect();
            return Err(format!(
                "`{name}` is no argument of {}: it takes {}",
                self.name,
                known.join(", ")
            ));
        }
        let mut line: Vec<String> = self.line.iter().map(|it| (*it).to_owned()).collect();
        let mut own = Vec::new();
        for it in self.parameters {
            let expected = || {
                format!(
                    "`{}` of {} is {}, expected {}",
                    it.name, self.name, given[it.name], it.means
                )
            };
            let values: Vec<String> = match (given.get(it.name), it.kind) {
                (None | Some(Value::Null), _) if it.required => {
                    return Err(format!("{} needs `{}`: {}", self.name, it.name, it.means));
                }
                (None | Some(Value::Null), _) => continue,
                (Some(Value::String(text)), Kind::Text) => vec![text.clone()],
                (Some(Value::Number(number)), Kind::Number) => vec![number.to_string()],
                (Some(Value::Array(items)), Kind::Texts) => items
                    .iter()
                    .map(|item| item.as_str().map(str::to_owned))
                    .collect::<Option<_>>()
                    .ok_or_else(expected)?,
                _ => return Err(expected()),
            };
            if it.flag.is_empty() {
                own.extend(values);
            } else {
                // One word, so that no value passes for a flag.
                line.extend(values.into_iter().map(|value| format!("{}={value}", it.flag)));
            }
        }
        line.push("--".to_owned());
        line.extend(own);
        Ok(line)
    }

    /// Runs it. A bad verdict is an answer; what could not be done is an error of the tool.
    async fn run(&self, given: &JsonObject) -> CallToolResult {
        let failed = |text: String| CallToolResult::error(vec![ContentBlock::text(text)]);
        let line = match self.arguments(given) {
            Ok(line) => line,
            Err(why) => return failed(why),
        };
        let program = match std::env::current_exe() {
            Ok(program) => program,
            Err(cause) => return failed(format!("cannot find this binary: {cause}")),
        };
        let output = tokio::process::Command::new(program)
            .args(line)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await;
        match output {
            Ok(output) if output.status.code().is_some_and(|code| code < 2) => {
                match serde_json::from_slice(&output.stdout) {
                    Ok(value @ Value::Object(_)) => CallToolResult::structured(value),
                    _ => CallToolResult::success(vec![ContentBlock::text(
                        String::from_utf8_lossy(&output.stdout).into_owned(),
                    )]),
                }
            }
            Ok(output) => failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(cause) => failed(format!("cannot start {}: {cause}", self.name)),
        }
    }
}

struct Server;

const RULES: &str = "stemson://rules/";
const CHECKLISTS: &str = "stemson://checklists/";

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().enable_resources().build();
        ServerConfig::new(capabilities).with_server_info(Implementation::new("stemson", env!("CARGO_PKG_VERSION"))).with_instructions(
            "Audits MLOps platforms (FastAPI, H2O, Mage, PostgreSQL, Redis, Docker, Kubernetes). Begin with `review` on a change or `audit` \
             on a repository, then `explain` the rules that are found; every finding names its rule, place and chain.",
        )
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(COMMANDS.iter().map(Command::tool).collect()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let Some(command) = COMMANDS.iter().find(|it| it.name == request.name) else {
            let known: Vec<&str> = COMMANDS.iter().map(|it| it.name).collect();
            return Err(ErrorData::invalid_params(
                format!("no tool is called `{}`: there are {}", request.name, known.join(", ")),
                None,
            ));
        };
        Ok(command.run(&request.arguments.unwrap_or_default()).await.into())
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let checklists = VIEWS.iter().map(|view| {
            Resource::new(format!("{CHECKLISTS}{}", view.name), format!("checklist {}", view.name))
                .with_description(format!("Checklist of the {} view", view.name))
                .with_mime_type("text/markdown")
        });
        let pages = rules().iter().map(|rule| {
            Resource::new(format!("{RULES}{}", rule.id), rule.id)
                .with_title(rule.title)
                .with_description(format!("{}, {}", rule.story, rule.severity.as_str()))
                .with_mime_type("text/markdown")
        });
        Ok(ListResourcesResult::with_all_items(checklists.chain(pages).collect()))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let uri = request.uri;
        let text = if let Some(id) = uri.strip_prefix(RULES) {
            stemson_audit::rule(id)
                .map(|rule| format!("# {}: {}\n{}", rule.id, rule.title, rule.body))
        } else {
            uri.strip_prefix(CHECKLISTS).and_then(view).map(|view| view.render(None))
        };
        let Some(text) = text else {
            return Err(ErrorData::resource_not_found(
                format!("no resource is called `{uri}`"),
                None,
            ));
        };
        let contents = ResourceContents::text(text, uri).with_mime_type("text/markdown");
        Ok(ReadResourceResult::new(vec![contents]).into())
    }
}

pub(crate) fn run(_: &Arguments) -> Result<Verdict, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|cause| Failure::outside("cannot start the event loop").because(&cause))?;
    let ended = runtime.block_on(async {
        let service = Server
            .serve(rmcp::transport::stdio())
            .await
            .map_err(|cause| Failure::input("the client does not speak MCP").because(&cause))?;
        service
            .waiting()
            .await
            .map_err(|cause| Failure::outside("the server broke off").because(&cause))
    });
    // Standard input is read on a thread that waits for more; nothing is to be waited for here.
    runtime.shutdown_background();
    ended.map(|_| Verdict::Good)
}
