//! Asks an application at a steady rate, and counts what each route answered.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Serialize;

use super::requests::Planned;
use crate::client::Client;

/// Requests under way at most. A loop that stands still must not find a hundred waiting when it goes
/// on: their sum would look like another block.
const IN_FLIGHT_MAX: usize = 16;
/// Longer than this no answer is waited for.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// What a route answered.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Answered {
    /// Number of answers by status code.
    pub statuses: BTreeMap<u16, usize>,
    /// Requests without an answer.
    pub failed: usize,
}

impl Answered {
    /// Whether it ever did what it is for.
    pub fn worked(&self) -> bool {
        self.statuses.keys().any(|status| *status < 400)
    }
}

/// Asks each request once, one after the other: what is done once only is done then.
pub(super) fn warm_up(address: SocketAddr, planned: &[Planned]) -> std::io::Result<()> {
    let runtime = runtime()?;
    runtime.block_on(async {
        let mut client = None;
        for request in planned {
            // Whether it works is counted later.
            ask(&mut client, address, request).await;
        }
    });
    Ok(())
}

/// Asks all in turn, `per_second` of them, for this long. Open loop: a request is due at its time.
pub(super) fn drive(
    address: SocketAddr,
    planned: &[Planned],
    per_second: u32,
    time: Duration,
) -> std::io::Result<BTreeMap<String, Answered>> {
    let runtime = runtime()?;
    let mut routes: BTreeMap<String, Answered> =
        planned.iter().map(|request| (request.route.clone(), Answered::default())).collect();
    let (planned, next): (Arc<[Planned]>, _) = (planned.into(), Arc::new(AtomicU32::new(0)));
    let began = Instant::now();
    runtime.block_on(async {
        let connection = |_| {
            let (planned, next) = (Arc::clone(&planned), Arc::clone(&next));
            tokio::spawn(async move {
                let (mut client, mut answers) = (None, Vec::new());
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let due = Duration::from_secs(1) * number / per_second;
                    if due >= time || began.elapsed() >= time {
                        return answers;
                    }
                    tokio::time::sleep_until((began + due).into()).await;
                    let place = number as usize % planned.len();
                    answers.push((place, ask(&mut client, address, &planned[place]).await));
                }
            })
        };
        let connections: Vec<_> = (0..IN_FLIGHT_MAX).map(connection).collect();
        for connection in connections {
            for (place, status) in connection.await.unwrap_or_default() {
                let route = routes.entry(planned[place].route.clone()).or_default();
                match status {
                    Some(status) => *route.statuses.entry(status).or_default() += 1,
                    None => route.failed += 1,
                }
            }
        }
    });
    Ok(routes)
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

async fn ask(client: &mut Option<Client>, address: SocketAddr, request: &Planned) -> Option<u16> {
    let answer = async {
        let mut open = match client.take() {
            Some(open) => open,
            None => Client::connect(address).await.ok()?,
        };
        let body = Bytes::from(request.body.clone().unwrap_or_default());
        let method = request.method.parse().ok()?;
        let answer = open.send(method, &request.path, &request.headers, body).await.ok()?;
        *client = Some(open);
        Some(answer.status.as_u16())
    };
    tokio::time::timeout(ANSWER_MAX, answer).await.ok().flatten()
}
