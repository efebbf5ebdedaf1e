//! `GET /docs`: the description for people, on one page that needs no network.

use std::sync::LazyLock;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};

/// The page. It reads the description that lies beside it, with the caller's key where one is asked
/// for; of itself it says nothing of the models.
const PAGE: &str = include_str!("docs.html");

/// Nothing but the page's own style and script, known by their digests; requests to this server only.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let source = |tag: &str| {
        let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
        let inside = PAGE.split_once(&open).and_then(|(_, rest)| rest.split_once(&close));
        let inside = inside.map_or("", |(inside, _)| inside);
        format!("'sha256-{}'", STANDARD.encode(digest(&SHA256, inside.as_bytes())))
    };
    let policy = format!(
        "default-src 'none'; style-src {}; script-src {}; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        source("style"),
        source("script")
    );
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

/// `GET /docs`.
pub(crate) async fn page() -> Response {
    let mut response = Response::new(Body::from(PAGE));
    let headers = response.headers_mut();
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, html);
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY.clone());
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_brings_all_that_it_needs() {
        let policy = POLICY.to_str().expect("text");
        assert!(policy.matches("'sha256-").count() == 2 && !policy.contains("unsafe"), "{policy}");
        for elsewhere in ["http://", "https://", "src=", "@import", "url(", " style=", " onclick="]
        {
            assert!(!PAGE.contains(elsewhere), "{elsewhere}");
        }
    }
}
