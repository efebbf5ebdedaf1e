//! Bodies of requests: taken piece by piece, within a limit each, and all of them together within a
//! budget of memory.
//!
//! A body that is there in one piece, as most are, is neither copied nor counted.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Body as _;
use stemson_serving::ShedReason;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::context::Context;
use crate::error::Refusal;
use crate::pace::TooSlow;

/// What bodies are counted in: so much, or a multiple of it.
const STEP_BYTES: usize = 16 << 10;

/// Taken in advance, whatever a head claims.
const RESERVE_BYTES_MAX: usize = 64 << 20;

/// When those may come back for whose bodies there is no memory.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Memory that the bodies that are on their way share. Clones share the same.
#[derive(Debug, Clone)]
pub(crate) struct Budget(Arc<Semaphore>);

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new((bytes / STEP_BYTES).clamp(1, Semaphore::MAX_PERMITS))))
    }

    /// Whether so much is left now.
    fn has(&self, bytes: u64) -> bool {
        bytes.div_ceil(STEP_BYTES as u64) <= self.0.available_permits() as u64
    }

    fn take(&self, steps: usize) -> Result<OwnedSemaphorePermit, Refusal> {
        let taken = u32::try_from(steps)
            .ok()
            .and_then(|steps| Arc::clone(&self.0).try_acquire_many_owned(steps).ok());
        taken.ok_or_else(exhausted)
    }
}

fn exhausted() -> Refusal {
    Refusal::Shed { retry_after: RETRY_AFTER, reason: ShedReason::Memory }
}

/// A body that grows within a budget, and stays counted until its last byte is let go.
#[derive(Debug)]
pub(crate) struct Growing {
    bytes: Vec<u8>,
    /// None: without one.
    budget: Option<Budget>,
    taken: Option<OwnedSemaphorePermit>,
}

/// The bytes, and what they took of the budget.
struct Counted {
    bytes: Vec<u8>,
    _taken: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Growing {
    pub(crate) fn new(budget: Option<Budget>) -> Self {
        Self { bytes: Vec::new(), budget, taken: None }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// So long it will become, they say: then it need not move while it grows. Of memory that is
    /// only promised the system gives nothing.
    pub(crate) fn expect(&mut self, bytes: usize) {
        let more = bytes.min(RESERVE_BYTES_MAX).saturating_sub(self.bytes.len());
        // Where there is none, it grows as it comes.
        drop(self.bytes.try_reserve_exact(more));
    }

    pub(crate) fn push(&mut self, data: &[u8]) -> Result<(), Refusal> {
        if let Some(budget) = &self.budget {
            let steps = (self.bytes.len() + data.len()).div_ceil(STEP_BYTES);
            let has = self.taken.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
            if steps > has {
                let more = budget.take(steps - has)?;
                match &mut self.taken {
                    Some(taken) => taken.merge(more),
                    none => *none = Some(more),
                }
            }
        }
        self.bytes.extend_from_slice(data);
        Ok(())
    }

    /// What has come so far; it begins anew.
    pub(crate) fn take(&mut self) -> Bytes {
        let (bytes, taken) = (std::mem::take(&mut self.bytes), self.taken.take());
        Bytes::from_owner(Counted { bytes, _taken: taken })
    }
}

/// The whole body of a request, within its limit. Not counted: for those who administer.
pub(crate) async fn whole(
    request: Request,
    bytes_max: u64,
    limit: &'static str,
) -> Result<Bytes, Refusal> {
    let (parts, body) = request.into_parts();
    read(&parts.headers, body, bytes_max, limit, None).await
}

/// An artifact that is sent, within its limit and the budget of those. Before its turn, so that who
/// sends slowly keeps nobody waiting.
pub(crate) async fn artifact(
    context: &Context,
    request: Request,
    bytes_max: u64,
) -> Result<Bytes, Refusal> {
    let (parts, body) = request.into_parts();
    read(&parts.headers, body, bytes_max, "artifact_mib", Some(&context.uploads)).await
}

/// The whole body, within its limit and the budget.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: Body,
    bytes_max: u64,
    limit: &'static str,
    budget: Option<&Budget>,
) -> Result<Bytes, Refusal> {
    let too_large = || Refusal::BodyTooLarge { bytes_max, limit };
    let length = content_length(headers);
    if length.is_some_and(|length| length > bytes_max) {
        return Err(too_large());
    }
    let mut body = Limited::new(body, usize::try_from(bytes_max).unwrap_or(usize::MAX));
    let mut grown = Growing::new(budget.cloned());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|cause| match too_slow(&*cause) {
            _ if cause.is::<LengthLimitError>() => too_large(),
            Some(late) => Refusal::BodyTooSlow(late.to_string()),
            None => Refusal::BodyIncomplete(cause.to_string()),
        })?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if grown.is_empty() {
            if body.is_end_stream() {
                return Ok(data);
            }
            if let Some(length) = length {
                if budget.is_some_and(|budget| !budget.has(length)) {
                    return Err(exhausted());
                }
                grown.expect(usize::try_from(length).unwrap_or(usize::MAX));
            }
        }
        grown.push(&data)?;
    }
    Ok(grown.take())
}

/// How long the body will be, where its head says so.
pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Whether the caller was too slow, wrapped as it may be.
fn too_slow<'c>(cause: &'c (dyn std::error::Error + 'static)) -> Option<&'c TooSlow> {
    std::iter::successors(Some(cause), |cause| cause.source())
        .find_map(|cause| cause.downcast_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn taken(chunks: &[&'static [u8]], budget: &Budget) -> Result<Bytes, &'static str> {
        let chunks: Vec<_> = chunks.iter().map(|chunk| Ok::<_, std::io::Error>(*chunk)).collect();
        let body = Body::from_stream(futures_util::stream::iter(chunks));
        let read = read(&HeaderMap::new(), body, 1 << 20, "body_mib", Some(budget)).await;
        read.map_err(|refusal| refusal.status().1)
    }

    #[tokio::test]
    async fn bodies_share_a_budget_until_they_are_let_go() {
        const PIECE: &[u8] = &[7; STEP_BYTES];
        let budget = Budget::new(4 * STEP_BYTES);
        let first = taken(&[PIECE, PIECE, &[1]], &budget).await.expect("three steps of four");
        assert_eq!((first.len(), first[0], first[first.len() - 1]), (2 * STEP_BYTES + 1, 7, 1));
        assert_eq!(taken(&[PIECE, &[1]], &budget).await, Err("no_capacity"));
        let part = first.slice(..1);
        drop(first);
        assert_eq!(taken(&[PIECE, &[1]], &budget).await, Err("no_capacity"), "a part holds it");
        drop(part);
        assert!(taken(&[PIECE, &[1]], &budget).await.is_ok());
        assert!(budget.has(4 * STEP_BYTES as u64), "nothing is taken any more");
    }

    #[tokio::test]
    async fn a_body_keeps_its_limit() {
        let budget = Budget::new(64 << 20);
        let whole = || Body::from(vec![7; 11]);
        for (bytes_max, expected) in [(11, Ok(11)), (10, Err("body_too_large"))] {
            let read = read(&HeaderMap::new(), whole(), bytes_max, "body_mib", Some(&budget)).await;
            assert_eq!(read.map(|body| body.len()).map_err(|e| e.status().1), expected);
        }
    }
}
