//! What an H2O cluster says of itself at `/3/Cloud`.

use std::net::ToSocketAddrs as _;
use std::time::Duration;

use serde_json::Value;

use super::ArtifactError;
use crate::client::Client;

/// How long the cluster may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) struct Cloud {
    pub(super) version: String,
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) healthy: bool,
}

pub(super) fn read(url: &str) -> Result<Cloud, ArtifactError> {
    let failed = |why: String| ArtifactError::Outside(format!("cluster {url}: {why}"));
    let rest = url
        .strip_prefix("http://")
        .ok_or_else(|| failed("expected an address such as http://host:54321".to_owned()))?;
    let (host, context) = rest.split_once('/').unwrap_or((rest, ""));
    let host = if host.contains(':') { host.to_owned() } else { format!("{host}:54321") };
    let address = host.to_socket_addrs().map_err(|cause| failed(cause.to_string()))?.next();
    let address = address.ok_or_else(|| failed("the name has no address".to_owned()))?;
    let path = match context.trim_end_matches('/') {
        "" => "/3/Cloud".to_owned(),
        context => format!("/{context}/3/Cloud"),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|cause| failed(cause.to_string()))?;
    let answer = runtime.block_on(async {
        let ask = async {
            let mut client = Client::connect(address).await?;
            client.get(&path).await
        };
        tokio::time::timeout(TIMEOUT, ask).await
    });
    let answer = answer
        .map_err(|_| failed(format!("no answer within {} s", TIMEOUT.as_secs())))?
        .map_err(|cause| failed(cause.to_string()))?;
    if !answer.status.is_success() {
        return Err(failed(format!("`{path}` answers {}", answer.status)));
    }
    let cloud: Value = serde_json::from_slice(&answer.body)
        .map_err(|cause| failed(format!("`{path}` is not JSON: {cause}")))?;
    let version = cloud["version"].as_str();
    let version = version.ok_or_else(|| failed(format!("`{path}` states no version")))?;
    Ok(Cloud {
        version: version.to_owned(),
        name: cloud["cloud_name"].as_str().unwrap_or("unnamed").to_owned(),
        size: cloud["cloud_size"].as_u64().unwrap_or(0),
        healthy: cloud["cloud_healthy"].as_bool().unwrap_or(false),
    })
}
