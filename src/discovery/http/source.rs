//! Asks for the names behind a URL.

use std::fmt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{
    ACCEPT, AUTHORIZATION, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, LAST_MODIFIED, LOCATION, USER_AGENT,
};
use http::{Request, Response, StatusCode};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::time::{Instant, sleep_until};
use url::Url;

use super::client::{Client, Limits};
use super::config::HttpConfig;
use super::wait::retry_after;
use crate::discovery::names;
use crate::discovery::polling::{Answer, Poll, PollError, Polling};
use crate::name::NodeName;

/// Redirects that are followed in a row; more is a loop.
const REDIRECTS: usize = 5;

/// Makes the provider.
///
/// The answer is a name a line, a JSON array of names, or a JSON object with such an array as `nodes`; see
/// [`names::read`]. Anything else is a failure, an empty answer too: the names that were known before stand.
///
/// # Errors
/// A sentence for the user if `url`, `header` or `token` is none, or `cacert` cannot be read.
pub fn http(config: &HttpConfig) -> Result<Polling<NamesAtUrl>, String> {
    Ok(Polling::new(NamesAtUrl::new(config)?, config.interval).keeping(config.keep_for))
}

/// Asks for names at a URL; see [`http()`].
pub struct NamesAtUrl {
    url: Url,
    /// What tells the server who asks; for its own origin only.
    secrets: HeaderMap,
    timeout: Duration,
    /// Made when it is first needed: the system's authorities are worth half a megabyte.
    client: Option<Client>,
    /// The last answer that the server can be asked to confirm.
    held: Option<Held>,
    /// The server wants to be left alone until then.
    rest_until: Option<Instant>,
}

/// An answer, and by what the server knows it.
struct Held {
    /// Where it came from in the end.
    url: Url,
    etag: Option<HeaderValue>,
    modified: Option<HeaderValue>,
    nodes: Vec<NodeName>,
}

/// Path and query of the URL may be secret.
impl fmt::Debug for NamesAtUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamesAtUrl")
            .field("server", &place(&self.url))
            .finish_non_exhaustive()
    }
}

impl NamesAtUrl {
    fn new(config: &HttpConfig) -> Result<Self, String> {
        let url = Url::parse(&config.url).map_err(|error| format!("url is no URL: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!(
                "url: {}: is no scheme of HTTP; use https or http",
                url.scheme()
            ));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(
                "url holds a user or password, which would be shown; give it as header, \"Authorization: Basic ...\""
                    .into(),
            );
        }
        let client = config.cacert.as_deref().map(trusting).transpose()?;
        Ok(Self {
            url,
            secrets: secrets(config)?,
            timeout: config.timeout,
            client,
            held: None,
            rest_until: None,
        })
    }

    async fn client(&mut self) -> Client {
        if let Some(client) = &self.client {
            return client.clone();
        }
        // It reads many files.
        let made = tokio::task::spawn_blocking(Client::new).await;
        let client = made.unwrap_or_else(|_| Client::trusting(RootCertStore::empty()));
        self.client.insert(client).clone()
    }

    fn request(&self, url: &Url) -> Result<Request<Bytes>, PollError> {
        let mut request = Request::get(url.as_str())
            .body(Bytes::new())
            .map_err(|error| PollError(format!("{} cannot be asked: {error}", place(url))))?;
        let headers = request.headers_mut();
        if url.origin() == self.url.origin() {
            headers.extend(self.secrets.clone());
        }
        headers.insert(
            ACCEPT,
            HeaderValue::from_static("application/json, text/plain;q=0.9, */*;q=0.1"),
        );
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("rendez/", env!("CARGO_PKG_VERSION"))),
        );
        if let Some(held) = self.held.as_ref().filter(|held| held.url == *url) {
            if let Some(etag) = &held.etag {
                headers.insert(IF_NONE_MATCH, etag.clone());
            }
            if let Some(modified) = &held.modified {
                headers.insert(IF_MODIFIED_SINCE, modified.clone());
            }
        }
        Ok(request)
    }

    /// The answer at the end of all redirects, and where that was.
    async fn fetch(&mut self) -> Result<(Url, Response<Bytes>), PollError> {
        let deadline = Instant::now() + self.timeout;
        let mut url = self.url.clone();
        for _ in 0..=REDIRECTS {
            let request = self.request(&url)?;
            let limits = Limits {
                timeout: deadline.saturating_duration_since(Instant::now()),
                body: names::MAX_BYTES,
            };
            let client = self.client().await;
            let response = client.send(request, limits).await;
            let response = response.map_err(|error| PollError(error.to_string()))?;
            match redirect(&url, &response)? {
                Some(next) => url = next,
                None => return Ok((url, response)),
            }
        }
        Err(PollError(format!(
            "{} redirects more than {REDIRECTS} times; give the URL at which the names are",
            place(&self.url)
        )))
    }

    fn take(&mut self, url: Url, response: &Response<Bytes>) -> Result<Vec<NodeName>, PollError> {
        let place = place(&url);
        match (response.status(), &self.held) {
            (StatusCode::NOT_MODIFIED, Some(held)) if held.url == url => {
                return Ok(held.nodes.clone());
            }
            (StatusCode::OK, _) => {}
            (status, _) => return Err(PollError(refused(&place, status))),
        }
        let body = response.body();
        if body.trim_ascii().is_empty() {
            // Servers that are not what they should be say this; it must not read as "everyone has left".
            return Err(PollError(format!(
                "{place} answered with nothing; where there are no nodes it has to say []"
            )));
        }
        let nodes = names::read(body)
            .map_err(|error| PollError(format!("what {place} answered holds no names: {error}")))?;
        let field = |name| response.headers().get(name).cloned();
        self.held = Some(Held {
            url,
            etag: field(ETAG),
            modified: field(LAST_MODIFIED),
            nodes: nodes.clone(),
        });
        Ok(nodes)
    }
}

impl Poll for NamesAtUrl {
    fn kind(&self) -> &'static str {
        "http"
    }

    async fn poll(&mut self) -> Result<Answer, PollError> {
        if let Some(until) = self.rest_until {
            sleep_until(until).await;
            self.rest_until = None;
        }
        let (url, response) = self.fetch().await?;
        let rest = match response.status() {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                retry_after(response.headers(), SystemTime::now())
            }
            _ => None,
        };
        self.rest_until = rest.map(|rest| Instant::now() + rest);
        let taken = self.take(url, &response);
        match (taken, rest) {
            (Ok(nodes), _) => Ok(Answer::new(nodes, None)),
            (Err(PollError(why)), Some(rest)) => Err(PollError(format!(
                "{why}; it wants to be left alone for {rest:?}"
            ))),
            (Err(error), None) => Err(error),
        }
    }
}

/// Where the answer points to, if elsewhere.
fn redirect(from: &Url, response: &Response<Bytes>) -> Result<Option<Url>, PollError> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let bad = |why: &str| {
        PollError(format!(
            "{} redirects {why}; give the URL at which the names are",
            place(from)
        ))
    };
    let location = response
        .headers()
        .get(LOCATION)
        .and_then(|value| value.to_str().ok());
    let next = location.and_then(|location| from.join(location).ok());
    let next = next.ok_or_else(|| bad("to nowhere"))?;
    match (from.scheme(), next.scheme()) {
        ("http", "http" | "https") | ("https", "https") => Ok(Some(next)),
        ("https", "http") => Err(bad(
            "from https to http, which anybody can change on its way",
        )),
        _ => Err(bad("to something that is not HTTP")),
    }
}

fn refused(place: &str, status: StatusCode) -> String {
    let remedy = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "; look at token and header",
        StatusCode::NOT_FOUND | StatusCode::GONE => "; look at the path of url",
        _ => "",
    };
    format!("{place} answered {status}{remedy}")
}

/// Scheme, host and port, without what may be secret.
fn place(url: &Url) -> String {
    url.origin().ascii_serialization()
}

fn secrets(config: &HttpConfig) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    let secret = |bytes: &[u8], of: &str| {
        let mut value = HeaderValue::from_bytes(bytes)
            .map_err(|_| format!("{of} holds characters that no header field can have"))?;
        value.set_sensitive(true);
        Ok::<_, String>(value)
    };
    if let Some(header) = &config.header {
        let bytes = header.expose();
        let colon = bytes.iter().position(|&byte| byte == b':');
        let (name, value) =
            bytes.split_at(colon.ok_or("header has no colon; write it as \"Name: value\"")?);
        let name = HeaderName::from_bytes(name.trim_ascii())
            .map_err(|_| "header has no name before its colon; write it as \"Name: value\"")?;
        headers.insert(name, secret(value[1..].trim_ascii(), "header")?);
    }
    if let Some(token) = &config.token {
        // Whoever reads it from a file has the end of the line too.
        let value = [b"Bearer ", token.expose().trim_ascii()].concat();
        headers.insert(AUTHORIZATION, secret(&value, "token")?);
    }
    Ok(headers)
}

fn trusting(path: &Path) -> Result<Client, String> {
    let bad = |why: String| {
        format!(
            "cacert: {}: {why}; it has to be a PEM file of certificates",
            path.display()
        )
    };
    let pem = std::fs::read(path).map_err(|error| bad(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| bad(error.to_string()))?;
        roots
            .add(certificate)
            .map_err(|error| bad(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(bad("there is no certificate in it".into()));
    }
    Ok(Client::trusting(roots))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn refusal(config: &HttpConfig) -> String {
        NamesAtUrl::new(config).unwrap_err()
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_remedy() {
        for (url, part) in [
            ("peers.internal/nodes", "no URL"),
            ("ftp://peers.internal/nodes", "use https or http"),
            ("https://me:hush@peers.internal/", "give it as header"),
        ] {
            let why = refusal(&HttpConfig::new(url));
            assert!(why.contains(part) && !why.contains("hush"), "{why}");
        }
        for header in ["hush", ": hush", "X Key: hush", "X-Key: hush\u{7}"] {
            let config = HttpConfig {
                header: Some(Secret::new(header)),
                ..HttpConfig::new("https://peers.internal/")
            };
            let why = refusal(&config);
            assert!(why.starts_with("header ") && !why.contains("hush"), "{why}");
        }
        let config = HttpConfig {
            token: Some(Secret::new("a\nb")),
            ..HttpConfig::new("https://peers.internal/")
        };
        assert!(
            refusal(&config).starts_with("token "),
            "{}",
            refusal(&config)
        );
        let config = HttpConfig {
            cacert: Some("/nonexistent/ca.pem".into()),
            ..HttpConfig::new("https://peers.internal/")
        };
        assert!(refusal(&config).contains("/nonexistent/ca.pem"));
    }

    #[test]
    fn secrets_are_for_the_own_origin_and_never_shown() {
        let config = HttpConfig {
            token: Some(Secret::new("hush\n")),
            header: Some(Secret::new("X-Key:  quiet ")),
            ..HttpConfig::new("https://peers.internal/hush/nodes?key=quiet")
        };
        let source = NamesAtUrl::new(&config).unwrap();
        let shown = format!("{source:?} {config:?}");
        assert!(
            !shown.contains("hush") && !shown.contains("quiet"),
            "{shown}"
        );
        let sent = |url: &str| {
            let request = source.request(&url.parse().unwrap()).unwrap();
            let text = |name: &str| Some(request.headers().get(name)?.to_str().unwrap().to_owned());
            (text("authorization"), text("x-key"))
        };
        let both = (Some("Bearer hush".to_owned()), Some("quiet".to_owned()));
        assert_eq!(sent("https://peers.internal/elsewhere"), both);
        for other in [
            "http://peers.internal/nodes",
            "https://peers.internal:8443/nodes",
            "https://evil.example/nodes",
        ] {
            assert_eq!(sent(other), (None, None), "{other}");
        }
    }

    #[test]
    fn redirects_go_on_but_never_down() {
        let to = |from: &str, location: &str| {
            let response = Response::builder()
                .status(302)
                .header(LOCATION, location)
                .body(Bytes::new())
                .unwrap();
            redirect(&from.parse().unwrap(), &response)
                .map(|url| url.map(String::from))
                .map_err(|error| error.0)
        };
        assert_eq!(to("http://a/x/y", "z"), Ok(Some("http://a/x/z".into())));
        assert_eq!(
            to("http://a/x", "https://b/"),
            Ok(Some("https://b/".into()))
        );
        assert!(
            to("https://a/x", "http://a/x")
                .unwrap_err()
                .contains("from https to http")
        );
        assert!(
            to("https://a/x", "file:///etc/passwd")
                .unwrap_err()
                .contains("not HTTP")
        );
        assert!(
            to("https://a/x", "http://[")
                .unwrap_err()
                .contains("nowhere")
        );
    }
}
