//! Asking an EPMD, and being registered with one.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::codec::{
    AliveResponse, CodecError, DEFAULT_PORT, MAX_ALIVE_RESPONSE, MAX_PORT_RESPONSE, Name, Names,
    NamesDecoder, PortResponse, Registration, Request,
};
use crate::happy_eyeballs;
use crate::host_lookup::host_addresses;

/// How long a question to EPMD may take, connecting included, where nothing else is said.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// The wait before the first attempt to register again, and the longest.
const REGISTER_BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Why EPMD could not be asked or did not do what was asked: the cause and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EpmdError {
    /// The host has no address.
    #[error("cannot resolve host {host}: {reason}; check the name, DNS and /etc/hosts")]
    Resolve {
        /// The host that was asked for.
        host: String,
        /// What the resolver said.
        reason: String,
    },
    /// The host is there, and refuses connections to that port.
    #[error(
        "nothing listens at {endpoint}; is a node running there, or `epmd -daemon`? \
         (ERL_EPMD_PORT names another port than 4369)"
    )]
    NotListening {
        /// `host:port`.
        endpoint: String,
    },
    /// No connection, for another reason than refusal.
    #[error("cannot reach EPMD at {endpoint}: {reason}; check the route and the firewall")]
    Unreachable {
        /// `host:port`.
        endpoint: String,
        /// What the operating system said.
        reason: String,
    },
    /// It took too long.
    #[error("EPMD at {endpoint} did not answer within {within:?}; is a firewall in between?")]
    Timeout {
        /// `host:port`, and the addresses that were tried if the host is a name.
        endpoint: String,
        /// How long was waited.
        within: Duration,
    },
    /// The connection ended before EPMD had answered.
    #[error(
        "EPMD at {endpoint} closed the connection without an answer; \
         it only lets nodes register from its own host"
    )]
    Closed {
        /// `host:port`.
        endpoint: String,
    },
    /// EPMD refused to register the name.
    #[error(
        "EPMD at {endpoint} refuses the name {name}: most likely a node of that name runs on this \
         host already; stop it or choose another name"
    )]
    NameTaken {
        /// The name that was to be registered.
        name: Name,
        /// `host:port`.
        endpoint: String,
    },
    /// What listens there does not speak as EPMD does.
    #[error("what listens at {endpoint} does not answer as EPMD does: {why}")]
    Malformed {
        /// `host:port`.
        endpoint: String,
        /// What is wrong.
        why: CodecError,
    },
    /// The request cannot be written.
    #[error("the request cannot be sent to EPMD: {0}")]
    Request(CodecError),
    /// `ERL_EPMD_PORT` is no port.
    #[error("ERL_EPMD_PORT is {0:?}, which is no port; it takes a number from 1 to 65535")]
    PortVariable(String),
}

/// The port that `ERL_EPMD_PORT` names, or [`DEFAULT_PORT`] if it is unset or empty.
///
/// # Errors
/// [`EpmdError::PortVariable`] if it is no port.
pub fn port_from_env() -> Result<u16, EpmdError> {
    match std::env::var_os("ERL_EPMD_PORT") {
        Some(text) if !text.is_empty() => text
            .to_str()
            .and_then(|text| text.trim().parse().ok())
            .filter(|&port| port != 0)
            .ok_or_else(|| EpmdError::PortVariable(text.to_string_lossy().into_owned())),
        _ => Ok(DEFAULT_PORT),
    }
}

/// Asks the EPMD of one host. Each question has a connection of its own, as EPMD wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    host: String,
    port: u16,
    timeout: Duration,
    /// The addresses of the host, if they are known already.
    addresses: Option<Vec<IpAddr>>,
}

impl Client {
    /// A client for the EPMD at `host`, a name, an IPv4 or an IPv6 address (in brackets or not).
    /// The port is usually [`port_from_env`].
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        let host = host.into();
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        Self {
            host: bare.map_or(host.clone(), str::to_owned),
            port,
            timeout: DEFAULT_TIMEOUT,
            addresses: None,
        }
    }

    /// Bounds each question, from resolving the host to the end of the answer.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Does not look the host up: these are its addresses, in the order in which they are tried.
    #[must_use]
    pub fn with_addresses(mut self, addresses: Vec<IpAddr>) -> Self {
        self.addresses = Some(addresses);
        self
    }

    /// The bound of each question.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// `host:port`, as the errors write it.
    #[must_use]
    pub fn endpoint(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Who is registered.
    ///
    /// # Errors
    /// [`EpmdError`]; an answer that was cut off is one.
    pub async fn names(&self) -> Result<Names, EpmdError> {
        self.within(async |addresses| {
            let mut stream = self.ask(addresses, &Request::Names).await?;
            let mut decoder = NamesDecoder::new();
            let mut chunk = [0; 4096];
            loop {
                match stream.read(&mut chunk).await {
                    Ok(0) => break,
                    Ok(length) => decoder.push(&chunk[..length]).map_err(self.malformed())?,
                    Err(error) => return Err(self.broken(&error)),
                }
            }
            decoder.finish().map_err(|why| match why {
                // Even an EPMD without nodes says its port.
                CodecError::CutOff => EpmdError::Closed {
                    endpoint: self.endpoint(),
                },
                why => self.malformed()(why),
            })
        })
        .await
    }

    /// The node that is registered under a name, or `None` if none is.
    ///
    /// # Errors
    /// [`EpmdError`].
    pub async fn port_please(&self, name: &Name) -> Result<Option<Registration>, EpmdError> {
        let answered = self.port_please_at(name).await;
        answered.map(|(registration, _)| registration)
    }

    /// The same, and the address at which EPMD answered.
    pub(crate) async fn port_please_at(
        &self,
        name: &Name,
    ) -> Result<(Option<Registration>, Option<IpAddr>), EpmdError> {
        let request = Request::PortPlease2(name.clone());
        self.within(async |addresses| {
            let mut stream = self.ask(addresses, &request).await?;
            let at = stream.peer_addr().ok().map(|address| address.ip());
            let response = self
                .answer(&mut stream, MAX_PORT_RESPONSE, PortResponse::decode)
                .await?;
            Ok((response.0, at))
        })
        .await
    }

    /// Registers a node, for as long as the guard lives. When EPMD goes away the guard registers
    /// again as soon as it is back.
    ///
    /// # Errors
    /// [`EpmdError`] if the first attempt fails; [`Client::keep_registered`] would go on trying.
    pub async fn register(&self, registration: Registration) -> Result<Registered, EpmdError> {
        let (stream, creation) = self.alive(&registration).await?;
        Ok(Registered::spawn(
            self.clone(),
            registration,
            Some((stream, creation)),
        ))
    }

    /// As [`Client::register`], but returns at once and keeps trying from the first attempt on. Must
    /// be called within a tokio runtime.
    #[must_use]
    pub fn keep_registered(&self, registration: Registration) -> Registered {
        Registered::spawn(self.clone(), registration, None)
    }

    /// Makes one attempt to register: the connection that holds the registration, and the creation.
    async fn alive(&self, registration: &Registration) -> Result<(TcpStream, u32), EpmdError> {
        let request = Request::Alive2(registration.clone());
        self.within(async |addresses| {
            let mut stream = self.ask(addresses, &request).await?;
            match self
                .answer(&mut stream, MAX_ALIVE_RESPONSE, AliveResponse::decode)
                .await?
            {
                AliveResponse::Registered { creation } => Ok((stream, creation)),
                AliveResponse::Refused { .. } => Err(EpmdError::NameTaken {
                    name: registration.name.clone(),
                    endpoint: self.endpoint(),
                }),
            }
        })
        .await
    }

    /// Looks the host up and does the work with its addresses, both within the time limit.
    async fn within<T>(
        &self,
        work: impl AsyncFnOnce(&[SocketAddr]) -> Result<T, EpmdError>,
    ) -> Result<T, EpmdError> {
        let began = Instant::now();
        let addresses = self.resolve().await?;
        let left = self.timeout.saturating_sub(began.elapsed());
        timeout(left, work(&addresses))
            .await
            .unwrap_or_else(|_| Err(self.too_slow(&addresses)))
    }

    async fn resolve(&self) -> Result<Vec<SocketAddr>, EpmdError> {
        let unresolved = |reason: String| EpmdError::Resolve {
            host: self.host.clone(),
            reason,
        };
        let found = match &self.addresses {
            Some(addresses) => addresses.clone(),
            None => host_addresses(&self.host, self.timeout)
                .await
                .map_err(|error| unresolved(error.to_string()))?,
        };
        if found.is_empty() {
            return Err(unresolved("it has no address".into()));
        }
        let endpoint = |address| SocketAddr::new(address, self.port);
        Ok(found.into_iter().map(endpoint).collect())
    }

    /// Connects and sends a request.
    async fn ask(
        &self,
        addresses: &[SocketAddr],
        request: &Request,
    ) -> Result<TcpStream, EpmdError> {
        let packet = request.encode().map_err(EpmdError::Request)?;
        let connected = happy_eyeballs::connect(addresses).await;
        let mut stream = connected.map_err(|failed| self.unconnected(&failed, addresses))?;
        // An answer is one small packet, and so is the question.
        let _ = stream.set_nodelay(true);
        match stream.write_all(&packet).await {
            Ok(()) => Ok(stream),
            Err(error) => Err(self.broken(&error)),
        }
    }

    /// Reads until `decode` has an answer, at most `most` bytes.
    async fn answer<T>(
        &self,
        stream: &mut TcpStream,
        most: usize,
        decode: impl Fn(&[u8]) -> Result<Option<T>, CodecError>,
    ) -> Result<T, EpmdError> {
        let mut bytes = Vec::new();
        let mut chunk = [0; 512];
        loop {
            match stream.read(&mut chunk).await {
                Ok(0) => {
                    return Err(EpmdError::Closed {
                        endpoint: self.endpoint(),
                    });
                }
                Ok(length) => bytes.extend(&chunk[..length]),
                Err(error) => return Err(self.broken(&error)),
            }
            if let Some(answer) = decode(&bytes).map_err(self.malformed())? {
                return Ok(answer);
            }
            if bytes.len() >= most {
                return Err(self.malformed()(CodecError::TooLong));
            }
        }
    }

    fn unconnected(
        &self,
        failed: &happy_eyeballs::Unconnected,
        addresses: &[SocketAddr],
    ) -> EpmdError {
        let endpoint = self.endpoint();
        match failed.main().map(|(_, error)| error.kind()) {
            Some(io::ErrorKind::ConnectionRefused) => EpmdError::NotListening { endpoint },
            Some(io::ErrorKind::TimedOut) => self.too_slow(addresses),
            _ => EpmdError::Unreachable {
                endpoint,
                reason: failed.to_string(),
            },
        }
    }

    fn too_slow(&self, addresses: &[SocketAddr]) -> EpmdError {
        let endpoint = self.endpoint();
        let literal = self.host.parse::<IpAddr>().is_ok();
        EpmdError::Timeout {
            endpoint: match literal {
                true => endpoint,
                false => format!("{endpoint} ({})", happy_eyeballs::list(addresses)),
            },
            within: self.timeout,
        }
    }

    fn broken(&self, error: &io::Error) -> EpmdError {
        let endpoint = self.endpoint();
        match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                EpmdError::Closed { endpoint }
            }
            _ => EpmdError::Unreachable {
                endpoint,
                reason: error.to_string(),
            },
        }
    }

    fn malformed(&self) -> impl Fn(CodecError) -> EpmdError {
        |why| EpmdError::Malformed {
            endpoint: self.endpoint(),
            why,
        }
    }
}

/// How it stands with a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistrationState {
    /// The first attempt has not ended yet.
    Pending,
    /// EPMD knows the node.
    Registered {
        /// What EPMD gave this time. It differs after EPMD was restarted; see
        /// [`Registered::creation`].
        creation: u32,
    },
    /// EPMD does not know the node: the connection to it was lost, or it could not be asked.
    Lost {
        /// Why.
        error: EpmdError,
        /// When the next attempt comes, from the moment of this state on.
        retry_in: Duration,
    },
}

/// A registration that lasts as long as this value: dropping it closes the connection to EPMD, by which
/// EPMD forgets the node.
#[derive(Debug)]
pub struct Registered {
    state: watch::Receiver<RegistrationState>,
    creation: watch::Receiver<Option<u32>>,
    leaving: Arc<Notify>,
    keeper: JoinHandle<()>,
}

impl Registered {
    fn spawn(client: Client, registration: Registration, first: Option<(TcpStream, u32)>) -> Self {
        let creation = first.as_ref().map(|(_, creation)| *creation);
        let (state_sender, state) = watch::channel(match creation {
            Some(creation) => RegistrationState::Registered { creation },
            None => RegistrationState::Pending,
        });
        let (creation_sender, creation) = watch::channel(creation);
        let leaving = Arc::new(Notify::new());
        let left = Arc::clone(&leaving);
        let keeper = tokio::spawn(async move {
            let mut held = first;
            tokio::select! {
                biased;
                () = left.notified() => {}
                () = keep(client, registration, &mut held, state_sender, creation_sender) => {}
            }
            if let Some((mut stream, _)) = held {
                // EPMD forgets the node when it reads this end, and closes its side after that.
                if stream.shutdown().await.is_ok() {
                    until_closed(&mut stream).await;
                }
            }
        });
        Self {
            state,
            creation,
            leaving,
            keeper,
        }
    }

    /// The creation of this life of the node: the one of the first registration, `None` before that.
    ///
    /// It stays when EPMD is restarted and gives another: pids and references made so far carry it, and
    /// OTP's nodes keep theirs as well.
    #[must_use]
    pub fn creation(&self) -> Option<u32> {
        *self.creation.borrow()
    }

    /// Ends the registration, and waits until EPMD has forgotten the node, but no longer than `within`. After that
    /// the name can be registered again at once.
    pub async fn leave(mut self, within: Duration) {
        self.leaving.notify_one();
        // An EPMD that does not answer forgets the node when it reads the end of the connection.
        let _ = timeout(within, &mut self.keeper).await;
    }

    /// How it stands now.
    #[must_use]
    pub fn state(&self) -> RegistrationState {
        self.state.borrow().clone()
    }

    /// Waits until the state changes, and says it. Cancel-safe. States that pass between two calls are
    /// not told one by one.
    pub async fn changed(&mut self) -> RegistrationState {
        if self.state.changed().await.is_err() {
            // The task ends only with this value.
            std::future::pending::<()>().await;
        }
        self.state.borrow_and_update().clone()
    }

    /// Waits until EPMD knows the node, and says its creation. Cancel-safe.
    pub async fn registered(&mut self) -> u32 {
        loop {
            if let RegistrationState::Registered { creation } = self.state() {
                return self.creation().unwrap_or(creation);
            }
            self.changed().await;
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

/// Holds the connection; registers again whenever it was lost.
async fn keep(
    client: Client,
    registration: Registration,
    held: &mut Option<(TcpStream, u32)>,
    state: watch::Sender<RegistrationState>,
    first_creation: watch::Sender<Option<u32>>,
) {
    let (mut backoff, longest) = REGISTER_BACKOFF;
    // The last error that was told.
    let mut told: Option<String> = None;
    loop {
        let attempt = match held.take() {
            Some(held) => Ok(held),
            None => client.alive(&registration).await,
        };
        let error = match attempt {
            Ok((stream, creation)) => {
                first_creation.send_if_modified(|first| {
                    let news = first.is_none();
                    first.get_or_insert(creation);
                    news
                });
                let registered = RegistrationState::Registered { creation };
                // The guard may begin with this state; that is no change then.
                state.send_if_modified(|state| {
                    let news = *state != registered;
                    *state = registered;
                    news
                });
                backoff = REGISTER_BACKOFF.0;
                if told.take().is_some() {
                    tracing::info!(
                        event = "epmd_registered", name = %registration.name, "registered with EPMD again"
                    );
                }
                until_closed(&mut held.insert((stream, creation)).0).await;
                *held = None;
                EpmdError::Closed {
                    endpoint: client.endpoint(),
                }
            }
            Err(error) => error,
        };
        // An EPMD that stays away is told of once.
        let text = error.to_string();
        if told.as_ref() == Some(&text) {
            tracing::debug!(
                event = "epmd_not_registered", name = %registration.name, retry_in = ?backoff,
                "still not registered with EPMD: {text}"
            );
        } else {
            tracing::warn!(
                event = "epmd_not_registered", name = %registration.name, retry_in = ?backoff,
                "not registered with EPMD: {text}; it is tried again until it is"
            );
            told = Some(text);
        }
        state.send_replace(RegistrationState::Lost {
            error,
            retry_in: backoff,
        });
        sleep(backoff).await;
        backoff = (backoff * 2).min(longest);
    }
}

/// Waits for the end of a connection on which nothing more is expected.
async fn until_closed(stream: &mut TcpStream) {
    let mut nothing = [0; 64];
    while let Ok(1..) = stream.read(&mut nothing).await {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn client(port: u16) -> Client {
        Client::new("127.0.0.1", port).with_timeout(Duration::from_secs(10))
    }

    /// A name with a label of more than 63 characters: no name server is asked for it.
    fn unresolvable() -> String {
        format!("{}.invalid", "x".repeat(64))
    }

    /// Something that answers every connection with the same bytes and then closes it.
    async fn says(bytes: &'static [u8]) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 64];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(bytes).await;
            }
        });
        port
    }

    #[tokio::test]
    async fn errors_name_the_cause() {
        // Bound, so that nobody else gets the port, and not listening.
        let silent = tokio::net::TcpSocket::new_v4().unwrap();
        silent.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let port = silent.local_addr().unwrap().port();
        let endpoint = format!("127.0.0.1:{port}");
        let error = client(port).names().await.unwrap_err();
        assert_eq!(error, EpmdError::NotListening { endpoint });
        assert!(error.to_string().contains("epmd -daemon"));

        let error = Client::new(unresolvable(), port).names().await;
        assert!(matches!(error, Err(EpmdError::Resolve { .. })), "{error:?}");

        let port = says(b"HTTP/1.1 400 Bad Request\r\n").await;
        let error = client(port).port_please(&name("a")).await.unwrap_err();
        assert!(matches!(error, EpmdError::Malformed { .. }), "{error:?}");

        for cut in [&b""[..], b"\0\0\x11\x11name a at po"] {
            let error = client(says(cut).await).names().await.unwrap_err();
            assert!(matches!(error, EpmdError::Closed { .. }), "{error:?}");
        }

        let port = says(b"v\x01\0\0\0c").await;
        let error = client(port)
            .register(Registration::hidden(name("a"), 1))
            .await
            .unwrap_err();
        assert!(matches!(error, EpmdError::NameTaken { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn silence_ends_in_a_timeout() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let within = Duration::from_millis(50);
        let error = client(port).with_timeout(within).names().await.unwrap_err();
        let endpoint = format!("127.0.0.1:{port}");
        assert_eq!(error, EpmdError::Timeout { endpoint, within });
    }

    #[tokio::test]
    async fn an_endless_answer_is_cut_short() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move { while stream.write_all(&[b'w'; 4096]).await.is_ok() {} });
            }
        });
        let error = client(port).names().await.unwrap_err();
        let why = CodecError::TooLong;
        let endpoint = format!("127.0.0.1:{port}");
        assert_eq!(error, EpmdError::Malformed { endpoint, why });
    }

    #[test]
    fn ipv6_hosts_may_have_brackets() {
        assert_eq!(Client::new("[::1]", 1).endpoint(), "[::1]:1");
        assert_eq!(Client::new("::1", 1), Client::new("[::1]", 1));
        assert_eq!(Client::new("db1", 4369).endpoint(), "db1:4369");
    }
}
