//! An HTTP server, with TLS where asked for, whose answers a test makes while it runs.
//!
//! It runs on a thread of its own, so that tests without tokio can use it, and ends when it is dropped.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::thread;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio_rustls::TlsAcceptor;

/// What a client asked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The path, without the query.
    pub path: String,
    /// Names and values of the query, decoded.
    pub query: Vec<(String, String)>,
    /// The header fields.
    pub headers: HeaderMap,
}

impl Asked {
    /// A value of the query.
    pub fn value(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }

    /// A header field.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// What the server says.
pub enum Said {
    /// A whole answer.
    Whole(Response<Bytes>),
    /// An answer that goes on for as long as there is a sender.
    Stream(mpsc::UnboundedReceiver<Bytes>),
    /// Nothing at all, for ever.
    Silence,
}

/// Answers with a status, header fields and a body.
pub fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Said {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    Said::Whole(response.body(body.into()).expect("an answer"))
}

type Body = UnsyncBoxBody<Bytes, Infallible>;
type Handler = Arc<dyn Fn(&Asked) -> Said + Send + Sync>;

/// A certificate authority of the test's own.
pub struct Authority {
    issuer: rcgen::CertifiedIssuer<'static, rcgen::KeyPair>,
}

impl Authority {
    /// Makes one.
    pub fn new() -> Self {
        let mut params = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "an authority for tests");
        let key = rcgen::KeyPair::generate().expect("a key");
        let issuer = rcgen::CertifiedIssuer::self_signed(params, key).expect("a certificate");
        Self { issuer }
    }

    /// Its certificate, as PEM.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A server's end of TLS with a certificate for this address.
    fn acceptor(&self, address: IpAddr) -> TlsAcceptor {
        let names = vec![address.to_string(), "localhost".to_owned()];
        let params = rcgen::CertificateParams::new(names).expect("parameters");
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let key = rustls::pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("a configuration");
        TlsAcceptor::from(Arc::new(config))
    }
}

/// The server.
pub struct HttpServer {
    address: SocketAddr,
    scheme: &'static str,
    asked: Arc<Mutex<Vec<Asked>>>,
    cut: broadcast::Sender<()>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl HttpServer {
    /// Starts one on loopback.
    pub fn start(
        authority: Option<&Authority>,
        handler: impl Fn(&Asked) -> Said + Send + Sync + 'static,
    ) -> Self {
        Self::start_on(Ipv4Addr::LOCALHOST.into(), authority, handler)
    }

    /// Starts one on an address of this machine.
    pub fn start_on(
        address: IpAddr,
        authority: Option<&Authority>,
        handler: impl Fn(&Asked) -> Said + Send + Sync + 'static,
    ) -> Self {
        let tls = authority.map(|authority| authority.acceptor(address));
        let scheme = if tls.is_some() { "https" } else { "http" };
        let listener = std::net::TcpListener::bind((address, 0)).expect("a port");
        listener.set_nonblocking(true).expect("no waiting");
        let address = listener.local_addr().expect("its address");
        let (stop, stopped) = oneshot::channel();
        let cut = broadcast::Sender::new(1);
        let asked = Arc::default();
        let at_work = AtWork {
            handler: Arc::new(handler),
            asked: Arc::clone(&asked),
            cut: cut.clone(),
            tls,
        };
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("a runtime").block_on(async {
                let listener = TcpListener::from_std(listener).expect("a listener");
                tokio::select! {
                    () = at_work.run(listener) => {}
                    _ = stopped => {}
                }
            });
        });
        Self {
            address,
            scheme,
            asked,
            cut,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Its URL, without a slash at the end.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// What it was asked since the last call.
    pub fn take_asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.asked.lock().expect("what was asked"))
    }

    /// Cuts every connection.
    pub fn cut(&self) {
        // An error means that there is none.
        let _ = self.cut.send(());
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[derive(Clone)]
struct AtWork {
    handler: Handler,
    asked: Arc<Mutex<Vec<Asked>>>,
    cut: broadcast::Sender<()>,
    tls: Option<TlsAcceptor>,
}

impl AtWork {
    async fn run(self, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            let this = self.clone();
            let mut cut = self.cut.subscribe();
            tokio::spawn(async move {
                tokio::select! {
                    () = this.serve(stream) => {}
                    _ = cut.recv() => {}
                }
            });
        }
    }

    async fn serve(self, stream: TcpStream) {
        match &self.tls {
            None => self.http(TokioIo::new(stream)).await,
            Some(tls) => {
                if let Ok(stream) = tls.accept(stream).await {
                    self.http(TokioIo::new(stream)).await;
                }
            }
        }
    }

    async fn http(&self, io: impl hyper::rt::Read + hyper::rt::Write + Unpin) {
        let service = service_fn(|request: Request<Incoming>| async move {
            let uri = request.uri();
            let query = uri.query().unwrap_or_default().as_bytes();
            let asked = Asked {
                path: uri.path().to_owned(),
                query: url::form_urlencoded::parse(query).into_owned().collect(),
                headers: request.headers().clone(),
            };
            self.asked
                .lock()
                .expect("what was asked")
                .push(asked.clone());
            Ok::<_, Infallible>(match (self.handler)(&asked) {
                Said::Whole(response) => response.map(|body| Full::new(body).boxed_unsync()),
                Said::Stream(parts) => Response::new(streamed(parts)),
                Said::Silence => std::future::pending().await,
            })
        });
        // A client that goes away in the middle is no failure of the test's.
        let _ = hyper::server::conn::http1::Builder::new()
            .serve_connection(io, service)
            .await;
    }
}

fn streamed(parts: mpsc::UnboundedReceiver<Bytes>) -> Body {
    let frames = futures::stream::unfold(parts, |mut parts| async {
        let part = parts.recv().await?;
        Some((Ok(Frame::data(part)), parts))
    });
    StreamBody::new(frames).boxed_unsync()
}
