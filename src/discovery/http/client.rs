//! An HTTP client for small answers: one stack for every source behind an HTTP API.
//!
//! HTTP/1.1 over TCP or TLS (ring, the certificate authorities of the system), connections kept for
//! the next question. A request has one time limit for everything, and a bound on its answer.
//! Redirects are not followed: what a signed request or a token is for, it is not for elsewhere.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::RootCertStore;

/// How long an idle connection is kept. Less than the 60 s after which common servers and load
/// balancers close one, so that a question seldom meets a connection that is just being closed.
const IDLE: Duration = Duration::from_secs(45);

/// What a request may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The time for everything, from the look-up of the host to the last byte of the answer.
    pub timeout: Duration,
    /// The most bytes of an answer's body.
    pub body: usize,
}

/// A client. Its clones share their connections.
#[derive(Clone)]
pub struct Client {
    inner: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// Why there is no certificate authority to trust, if there is none.
    distrust: Option<String>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

impl Client {
    /// A client that trusts the certificate authorities of the system: those in the file or directory
    /// that `SSL_CERT_FILE` or `SSL_CERT_DIR` names, else those where the system keeps them.
    ///
    /// That there are none is told when a server's certificate is refused, not here: `http` needs none.
    #[must_use]
    pub fn new() -> Self {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(found.certs);
        let distrust = (added == 0).then(|| {
            let why: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
            let why = if why.is_empty() {
                String::new()
            } else {
                format!(" ({})", why.join("; "))
            };
            format!(
                "no certificate authority was found on this system{why}: install its ca-certificates, or name a \
                 file of them in SSL_CERT_FILE"
            )
        });
        Self {
            distrust,
            ..Self::trusting(roots)
        }
    }

    /// A client that trusts these certificate authorities and no others.
    #[must_use]
    pub fn trusting(roots: RootCertStore) -> Self {
        let tls = rustls::ClientConfig::builder_with_provider(std::sync::Arc::new(
            rustls::crypto::ring::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .expect("ring has every protocol version that rustls has")
        .with_root_certificates(roots)
        .with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let inner = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(2)
            .build(connector);
        Self {
            inner,
            distrust: None,
        }
    }

    /// Sends a request and reads its whole answer, whatever its status.
    ///
    /// # Errors
    /// [`HttpError`] if there is no whole answer within the limits.
    pub async fn send(
        &self,
        request: Request<Bytes>,
        limits: Limits,
    ) -> Result<Response<Bytes>, HttpError> {
        let place = place(request.uri());
        let error = |kind| HttpError {
            place: place.clone(),
            kind,
        };
        let answer = async {
            let response = self
                .inner
                .request(request.map(Full::new))
                .await
                .map_err(|why| error(self.failure(&why)))?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, limits.body)
                .collect()
                .await
                .map_err(|why| {
                    error(if why.is::<LengthLimitError>() {
                        Failure::TooLong(limits.body)
                    } else {
                        Failure::Broken(causes(why.as_ref()))
                    })
                })?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        match tokio::time::timeout(limits.timeout, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(error(Failure::Timeout(limits.timeout))),
        }
    }

    fn failure(&self, why: &legacy::Error) -> Failure {
        let mut said = causes(why);
        if !why.is_connect() {
            return Failure::Broken(said);
        }
        if let Some(distrust) = &self.distrust
            && said.contains("certificate")
        {
            said = format!("{said}; {distrust}");
        }
        Failure::Connect(said)
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

/// Why there is no answer. Its text names the server, never a path or a query, which may be secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place} {kind}")]
pub struct HttpError {
    /// Scheme, host and port of the server.
    pub place: String,
    /// What happened.
    pub kind: Failure,
}

/// What happened to a request without an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// There is no connection: the host has no address, refuses, or its certificate is not trusted.
    #[error("cannot be connected to: {0}")]
    Connect(String),
    /// The connection ended in the middle, or what came is no HTTP.
    #[error("gave no whole answer: {0}")]
    Broken(String),
    /// It took too long.
    #[error("did not answer within {0:?}")]
    Timeout(Duration),
    /// The answer's body has more bytes than this.
    #[error("answered with more than {0} bytes")]
    TooLong(usize),
}

/// Scheme, host and port, without what may be secret.
fn place(uri: &Uri) -> String {
    let host = uri.host().unwrap_or("?");
    let scheme = uri.scheme_str().unwrap_or("http");
    match uri.port() {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    }
}

/// The innermost causes, which say what happened; those around them only say where.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut inner = error.source();
    let mut said = error.to_string();
    while let Some(cause) = inner {
        said = cause.to_string();
        inner = cause.source();
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    const LIMITS: Limits = Limits {
        timeout: Duration::from_secs(10),
        body: 16,
    };

    /// A server that says `answer` to everything and closes.
    async fn server(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await;
                if answer.is_empty() {
                    std::future::pending::<()>().await;
                }
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        format!("http://{address}/latest?token=hush")
    }

    async fn get(url: &str, limits: Limits) -> Result<Response<Bytes>, HttpError> {
        let request = Request::get(url).body(Bytes::new()).unwrap();
        Client::new().send(request, limits).await
    }

    #[tokio::test]
    async fn an_answer_is_whole_whatever_its_status() {
        let url =
            server("HTTP/1.1 404 Not Found\r\nContent-Length: 16\r\n\r\n0123456789abcdef").await;
        let answer = get(&url, LIMITS).await.unwrap();
        assert_eq!(answer.status(), 404);
        assert_eq!(answer.body().as_ref(), b"0123456789abcdef");
    }

    #[tokio::test]
    async fn what_goes_wrong_is_named_without_the_query() {
        let long = "HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n0123456789abcdefg";
        let cut = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n0123";
        for (answer, part) in [
            (long, "answered with more than 16 bytes"),
            (cut, "gave no whole answer"),
            ("SSH-2.0-OpenSSH_9.2\r\n", "gave no whole answer"),
        ] {
            let url = server(answer).await;
            let error = get(&url, LIMITS).await.unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
            assert!(error.starts_with("http://127.0.0.1:"), "{error}");
            assert!(!error.contains("hush"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_server_that_is_silent_or_not_there_is_told_apart() {
        let silent = server("").await;
        let limits = Limits {
            timeout: Duration::from_millis(50),
            ..LIMITS
        };
        let error = get(&silent, limits).await.unwrap_err();
        assert_eq!(error.kind, Failure::Timeout(limits.timeout));

        // Bound, so that nobody else gets the port, and not listening.
        let bound = tokio::net::TcpSocket::new_v4().unwrap();
        bound.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let gone = format!("http://{}", bound.local_addr().unwrap());
        let error = get(&gone, LIMITS).await.unwrap_err().to_string();
        assert!(error.contains("refused"), "{error}");
    }
}
