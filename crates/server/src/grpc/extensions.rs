//! The calls of the protocol's extensions: repository, statistics, settings.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::messages::model_repository_parameter::ParameterChoice;
use super::messages::repository_index_response::ModelIndex;
use super::messages::{
    InferBatchStatistics, InferStatistics, LogSettingsRequest, LogSettingsResponse, MemoryUsage,
    ModelStatistics, ModelStatisticsRequest, ModelStatisticsResponse, RepositoryIndexRequest,
    RepositoryIndexResponse, RepositoryModelLoadRequest, RepositoryModelLoadResponse,
    RepositoryModelUnloadRequest, RepositoryModelUnloadResponse, StatisticDuration,
    TraceSettingRequest, TraceSettingResponse, log_settings_request, log_settings_response,
    trace_setting_request, trace_setting_response,
};
use super::service::View;
use crate::error::Refusal;
use crate::repository::{self, LoadParameters};
use crate::settings;
use crate::statistics::{self, BatchStats, InferenceStats, ModelStats, Spent};

impl View<'_> {
    pub(super) fn index(self, asked: &RepositoryIndexRequest) -> RepositoryIndexResponse {
        let entries = repository::index(self.context, asked.ready, self.caller).into_iter();
        let models = entries.map(|entry| ModelIndex {
            name: entry.name,
            version: entry.version,
            state: entry.state.to_owned(),
            reason: entry.reason.to_owned(),
        });
        RepositoryIndexResponse { models: models.collect() }
    }

    /// `by`: who, for the log of revisions.
    pub(super) async fn load(
        self,
        asked: RepositoryModelLoadRequest,
        by: String,
    ) -> Result<RepositoryModelLoadResponse, Refusal> {
        self.caller.check_model(&asked.model_name)?;
        let mut read = LoadParameters::default();
        for (name, value) in asked.parameters {
            match (name.strip_prefix("file:"), value.parameter_choice) {
                (Some(file), Some(ParameterChoice::BytesParam(bytes))) => {
                    repository::take_file(&mut read, file, bytes)?;
                }
                (Some(_), _) => {
                    let why = format!("`parameters`: `{name}` as bytes (bytes_param)");
                    return Err(Refusal::BadField(why));
                }
                (None, Some(ParameterChoice::StringParam(config))) if name == "config" => {
                    read.config = Some(config);
                }
                (None, _) if name == "config" => {
                    let why = "`parameters`: `config` must be a text (string_param)";
                    return Err(Refusal::BadField(why.to_owned()));
                }
                (None, _) => {}
            }
        }
        repository::load(self.context, &asked.model_name, read, by).await?;
        Ok(RepositoryModelLoadResponse {})
    }

    /// `unload_dependents` is read over: no model depends on another.
    pub(super) fn unload(
        self,
        asked: &RepositoryModelUnloadRequest,
    ) -> Result<RepositoryModelUnloadResponse, Refusal> {
        self.caller.check_model(&asked.model_name)?;
        repository::unload(self.context, &asked.model_name)?;
        Ok(RepositoryModelUnloadResponse {})
    }

    pub(super) fn statistics(
        self,
        asked: &ModelStatisticsRequest,
    ) -> Result<ModelStatisticsResponse, Refusal> {
        let [model, version] =
            [&asked.name, &asked.version].map(|text| Some(&**text).filter(|text| !text.is_empty()));
        if let Some(model) = model {
            self.caller.check_model(model)?;
        }
        let stats = statistics::of(self.context, model, version)?.into_iter();
        let seen = stats.filter(|stats| self.caller.sees(&stats.name));
        Ok(ModelStatisticsResponse { model_stats: seen.map(Into::into).collect() })
    }

    /// Shows trace settings, those that are named changed before.
    pub(super) fn trace(self, asked: TraceSettingRequest) -> Result<TraceSettingResponse, Refusal> {
        let model = Some(&*asked.model_name).filter(|name| !name.is_empty());
        if let Some(model) = model {
            self.caller.check_model(model)?;
            self.context.deployment(model)?;
        }
        let shown = if asked.settings.is_empty() {
            self.context.settings.trace(model)
        } else {
            self.context.auth.check_admin(self.caller)?;
            self.context
                .set_trace(model, &asked.settings.into_iter().map(trace_change).collect())?
        };
        let texts = |value: Value| match value {
            Value::Array(values) => values.iter().map(text).collect(),
            one => vec![text(&one)],
        };
        let shown = shown.into_iter().map(|(name, value)| {
            (name, trace_setting_response::SettingValue { value: texts(value) })
        });
        Ok(TraceSettingResponse { settings: shown.collect() })
    }

    /// Shows log settings, those that are named changed before.
    pub(super) fn log(self, asked: LogSettingsRequest) -> Result<LogSettingsResponse, Refusal> {
        use log_settings_response::setting_value::ParameterChoice;
        let shown = if asked.settings.is_empty() {
            settings::show_log()
        } else {
            self.context.auth.check_admin(self.caller)?;
            settings::set_log(&asked.settings.into_iter().map(log_change).collect::<Map<_, _>>())?
        };
        let shown = shown.into_iter().map(|(name, value)| {
            let choice = match &value {
                Value::Bool(flag) => ParameterChoice::BoolParam(*flag),
                Value::Number(number) => {
                    let number = number.as_u64().and_then(|number| u32::try_from(number).ok());
                    ParameterChoice::Uint32Param(number.unwrap_or(u32::MAX))
                }
                other => ParameterChoice::StringParam(text(other)),
            };
            (name, log_settings_response::SettingValue { parameter_choice: Some(choice) })
        });
        Ok(LogSettingsResponse { settings: shown.collect() })
    }
}

/// No value is null; levels are a list, everything else is one value.
fn trace_change((name, setting): (String, trace_setting_request::SettingValue)) -> (String, Value) {
    let value = match <[String; 1]>::try_from(setting.value) {
        Ok([only]) => Value::String(only),
        Err(values) if values.is_empty() => Value::Null,
        Err(values) => values.into(),
    };
    (name, value)
}

fn log_change((name, setting): (String, log_settings_request::SettingValue)) -> (String, Value) {
    use log_settings_request::setting_value::ParameterChoice;
    let value = match setting.parameter_choice {
        Some(ParameterChoice::BoolParam(flag)) => flag.into(),
        Some(ParameterChoice::Uint32Param(number)) => number.into(),
        Some(ParameterChoice::StringParam(text)) => text.into(),
        None => Value::Null,
    };
    (name, value)
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl From<Spent> for StatisticDuration {
    fn from(Spent { count, ns }: Spent) -> Self {
        Self { count, ns }
    }
}

impl From<InferenceStats> for InferStatistics {
    fn from(stats: InferenceStats) -> Self {
        Self {
            success: Some(stats.success.into()),
            fail: Some(stats.fail.into()),
            queue: Some(stats.queue.into()),
            compute_input: Some(stats.compute_input.into()),
            compute_infer: Some(stats.compute_infer.into()),
            compute_output: Some(stats.compute_output.into()),
            cache_hit: Some(stats.cache_hit.into()),
            cache_miss: Some(stats.cache_miss.into()),
        }
    }
}

impl From<BatchStats> for InferBatchStatistics {
    fn from(stats: BatchStats) -> Self {
        Self {
            batch_size: stats.batch_size,
            compute_input: Some(stats.compute_input.into()),
            compute_infer: Some(stats.compute_infer.into()),
            compute_output: Some(stats.compute_output.into()),
        }
    }
}

impl From<ModelStats> for ModelStatistics {
    fn from(stats: ModelStats) -> Self {
        let usage = |usage: statistics::MemoryUsage| MemoryUsage {
            r#type: usage.kind.to_owned(),
            id: usage.id,
            byte_size: usage.byte_size,
        };
        Self {
            name: stats.name,
            version: stats.version,
            last_inference: stats.last_inference,
            inference_count: stats.inference_count,
            execution_count: stats.execution_count,
            inference_stats: Some(stats.inference_stats.into()),
            batch_stats: stats.batch_stats.into_iter().map(Into::into).collect(),
            memory_usage: stats.memory_usage.into_iter().map(usage).collect(),
            // For models that answer a request more than once, which none does.
            response_stats: BTreeMap::new(),
        }
    }
}
