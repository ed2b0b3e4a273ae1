//! An EPMD, for machines where Erlang is not installed: what `rendez epmd` runs.
//!
//! It does what OTP's `epmd` does for nodes and tools, as the protocol's page and
//! <https://www.erlang.org/doc/apps/erts/epmd_cmd.html> tell it: only processes of the same host register,
//! dump, kill or stop; everyone may ask for names and ports. It differs where that page leaves room: a name
//! with a control character is refused, a request has to arrive as a whole within a bound, and no host can use
//! up all connections.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::codec::{
    AliveResponse, Name, PortResponse, Registration, Request, version_of_refused_alive2,
};
use super::registry::Registry;
use super::waiting::Waiting;

/// The wait after a connection could not be taken: usually file descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a server goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// The TCP port; 0 for any that is free. Default: 4369.
    pub port: u16,
    /// The addresses to listen on; loopback is always added. Empty, the default: all, IPv4 and IPv6.
    pub addresses: Vec<IpAddr>,
    /// Lets processes of this host end the server while nodes are registered (`KILL_REQ`) and have a node
    /// forgotten that is still there (`STOP_REQ`), as `epmd -relaxed_command_check`. Default: no.
    pub relaxed_command_check: bool,
    /// The most nodes that can be registered. Default: 4096.
    pub max_nodes: usize,
    /// The most connections whose request is still to come or to be answered, once for this host's processes and
    /// once for all other hosts. When there are more, the one that has waited longest is closed, of the address
    /// with the most of them, so that a host which opens connections and says nothing shuts out no other.
    /// Default: 256.
    pub max_waiting: usize,
    /// How long a request may take to arrive, and its answer to be taken. Default: 10 s.
    pub request_timeout: Duration,
    /// How long a peer may send nothing before its request is whole, as `epmd -packet_timeout`. Default: `None`,
    /// which is as long as `request_timeout`.
    pub packet_timeout: Option<Duration>,
    /// A pause before each connection is taken, as `epmd -delay_accept`: to see how others bear a busy EPMD.
    /// Default: none.
    pub delay_accept: Duration,
    /// A pause before each answer, as `epmd -delay_write`. Default: none.
    pub delay_write: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            port: super::DEFAULT_PORT,
            addresses: Vec::new(),
            relaxed_command_check: false,
            max_nodes: 4096,
            max_waiting: 256,
            request_timeout: Duration::from_secs(10),
            packet_timeout: None,
            delay_accept: Duration::ZERO,
            delay_write: Duration::ZERO,
        }
    }
}

/// Why the server does not listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Something listens there already.
    #[error(
        "something listens at {0} already, most likely an EPMD; nodes can use that one, or name another \
         port (ERL_EPMD_PORT)"
    )]
    InUse(SocketAddr),
    /// Another reason.
    #[error("cannot listen at {address}: {source}; is that an address of this host?")]
    Failed {
        /// Where it was to listen.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
}

/// Why a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// The future given to [`Server::run`] was ready.
    Shutdown,
    /// A process of this host asked for it (`epmd -kill`).
    Killed,
    /// A part of it panicked, so that it would not hear everybody any more.
    Broken,
}

/// An EPMD that listens.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<TcpListener>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: ServerConfig,
    port: u16,
    /// Dropping what an entry holds closes the connection of its node.
    registry: Mutex<Registry<oneshot::Sender<()>>>,
    /// What an entry holds ends its connection when it is dropped.
    waiting: Mutex<Waiting<oneshot::Sender<()>>>,
    waiting_remote: Mutex<Waiting<oneshot::Sender<()>>>,
    killed: Notify,
}

impl Server {
    /// Begins to listen. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`BindError`] if it cannot listen on one of the addresses. A host without IPv6 is no error.
    pub fn bind(config: ServerConfig) -> Result<Self, BindError> {
        let mut listeners = Vec::new();
        let mut port = config.port;
        for (ip, required) in listen_on(&config.addresses) {
            let address = SocketAddr::new(ip, port);
            match listen(address) {
                Ok(listener) => {
                    port = listener.local_addr().map_or(port, |address| address.port());
                    listeners.push(listener);
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    return Err(BindError::InUse(address));
                }
                Err(source) if required => return Err(BindError::Failed { address, source }),
                Err(error) => {
                    tracing::info!(%address, %error, "EPMD does not listen there");
                }
            }
        }
        let waiting = || Mutex::new(Waiting::new(config.max_waiting));
        Ok(Self {
            listeners,
            shared: Arc::new(Shared {
                port,
                registry: Mutex::new(Registry::new(config.max_nodes)),
                waiting: waiting(),
                waiting_remote: waiting(),
                killed: Notify::new(),
                config,
            }),
        })
    }

    /// The port that it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.shared.port
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners
            .iter()
            .filter_map(|listener| listener.local_addr().ok())
            .collect()
    }

    /// Serves until `shutdown` is ready or a process of this host ends it. The nodes' connections are closed
    /// then; nodes notice and register again with the next EPMD.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Ended {
        let (sender, mut arrivals) = mpsc::channel(1);
        // Both sets end what is in them when they are dropped.
        let mut accepting = JoinSet::new();
        for listener in self.listeners {
            accepting.spawn(accept(
                listener,
                sender.clone(),
                self.shared.config.delay_accept,
            ));
        }
        let mut serving = JoinSet::new();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => return Ended::Shutdown,
                () = self.shared.killed.notified() => return Ended::Killed,
                Some((stream, peer)) = arrivals.recv() => {
                    let local = stream.local_addr().is_ok_and(|here| is_local(here.ip(), peer.ip()));
                    let (admission, evicted) = admit(&self.shared, peer.ip(), local);
                    let shared = Arc::clone(&self.shared);
                    serving.spawn(async move {
                        tokio::select! {
                            () = serve(shared, stream, peer, local, admission) => {}
                            () = evicted => {
                                tracing::debug!(%peer, "closed: too many connections wait");
                            }
                        }
                    });
                }
                // These tasks accept without end. One that ended has panicked, and its address would accept no connection.
                Some(_) = accepting.join_next() => return Ended::Broken,
                Some(_) = serving.join_next() => {}
            }
        }
    }
}

/// The addresses, and whether it is an error if one cannot be listened on.
fn listen_on(given: &[IpAddr]) -> Vec<(IpAddr, bool)> {
    let (v4, v6) = (Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into());
    if given.is_empty() {
        return vec![(v4, true), (v6, false)];
    }
    let mut all: Vec<(IpAddr, bool)> = Vec::new();
    for &ip in given {
        // An address within one that stands for all of its family would be in use.
        let covered = given.contains(if ip.is_ipv4() { &v4 } else { &v6 }) && !ip.is_unspecified();
        if !covered && all.iter().all(|(other, _)| *other != ip) {
            all.push((ip, true));
        }
    }
    for (loopback, every, required) in [
        (Ipv4Addr::LOCALHOST.into(), v4, true),
        (Ipv6Addr::LOCALHOST.into(), v6, false),
    ] {
        if !given.contains(&loopback) && !given.contains(&every) {
            all.push((loopback, required));
        }
    }
    all
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // Connections of an earlier server that still fade away must not keep this one from starting.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // IPv4 has a socket of its own.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    TcpListener::from_std(socket.into())
}

async fn accept(
    listener: TcpListener,
    arrivals: mpsc::Sender<(TcpStream, SocketAddr)>,
    delay: Duration,
) {
    loop {
        if !delay.is_zero() {
            sleep(delay).await;
        }
        match listener.accept().await {
            Ok(arrival) => {
                if arrivals.send(arrival).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "EPMD cannot take a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Whether the peer is a process of this host: by loopback, or from the address that it connected to.
fn is_local(here: IpAddr, peer: IpAddr) -> bool {
    let (here, peer) = (here.to_canonical(), peer.to_canonical());
    peer.is_loopback() || peer == here
}

/// A connection's place among those whose request is under way.
struct Admission {
    shared: Arc<Shared>,
    local: bool,
    number: u64,
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.shared.waiting(self.local).leave(self.number);
    }
}

/// Gives the connection a place, and what is ready when it has to make room for another.
fn admit(
    shared: &Arc<Shared>,
    peer: IpAddr,
    local: bool,
) -> (Admission, impl Future<Output = ()> + use<>) {
    let (hold, mut evicted) = oneshot::channel::<()>();
    let (number, former) = shared.waiting(local).enter(peer, hold);
    if let Some(former) = former {
        let _ = former.send(());
    }
    let admission = Admission {
        shared: Arc::clone(shared),
        local,
        number,
    };
    let evicted = async move {
        // A connection that has left its place can no longer be evicted.
        if (&mut evicted).await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    (admission, evicted)
}

impl Shared {
    fn registry(&self) -> MutexGuard<'_, Registry<oneshot::Sender<()>>> {
        // A panic under the lock would be a bug; the registry is whole between its methods.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self, local: bool) -> MutexGuard<'_, Waiting<oneshot::Sender<()>>> {
        let waiting = match local {
            true => &self.waiting,
            false => &self.waiting_remote,
        };
        waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A registration that lasts as long as this value.
struct Registered {
    shared: Arc<Shared>,
    number: u64,
    name: Name,
}

impl Drop for Registered {
    fn drop(&mut self) {
        if self.shared.registry().unregister(self.number).is_some() {
            tracing::info!(name = %self.name, "unregistered");
        }
    }
}

/// What becomes of a connection after its request.
enum Verdict {
    /// Send this and close.
    Answer(Vec<u8>),
    /// Close.
    Close,
    /// Send this and stay: a node has registered.
    Keep(Vec<u8>, Registered, oneshot::Receiver<()>),
    /// Send this and end the server.
    End(Vec<u8>),
}

async fn serve(
    shared: Arc<Shared>,
    mut stream: TcpStream,
    peer: SocketAddr,
    local: bool,
    admission: Admission,
) {
    let within = shared.config.request_timeout;
    let read = read_request(&mut stream, shared.config.packet_timeout);
    let verdict = match timeout(within, read).await {
        Ok(Ok(body)) => decide_bytes(&shared, &body, peer, local),
        Ok(Err(error)) => {
            tracing::debug!(%peer, %error, "closed: not a request of the EPMD protocol");
            return;
        }
        Err(_) => {
            tracing::debug!(%peer, "closed: no request came within {within:?}");
            return;
        }
    };
    if !shared.config.delay_write.is_zero() {
        sleep(shared.config.delay_write).await;
    }
    let answer = match &verdict {
        Verdict::Answer(answer) | Verdict::Keep(answer, ..) | Verdict::End(answer) => &answer[..],
        Verdict::Close => {
            return;
        }
    };
    let sent = matches!(timeout(within, stream.write_all(answer)).await, Ok(Ok(())));
    match verdict {
        Verdict::Keep(_, registered, mut forgotten) if sent => {
            // A node that is registered no longer waits for anything.
            drop(admission);
            let mut more = [0; 1];
            tokio::select! {
                // The end of the connection, or a byte, of which there is none to come, is the end of it.
                _ = stream.read(&mut more) => {}
                _ = &mut forgotten => {}
            }
            drop(registered);
        }
        Verdict::End(_) => {
            // So that the answer is with the peer before everything is closed.
            let _ = stream.shutdown().await;
            shared.killed.notify_one();
        }
        _ => {}
    }
}

/// The body of a request, each part of which has to come within `silence` after the one before.
async fn read_request(
    stream: &mut (impl AsyncRead + Unpin),
    silence: Option<Duration>,
) -> io::Result<Vec<u8>> {
    let mut header = [0; 2];
    read_exact(stream, &mut header, silence).await?;
    let length = Request::body_length(header)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    let mut body = vec![0; length];
    read_exact(stream, &mut body, silence).await?;
    Ok(body)
}

async fn read_exact(
    stream: &mut (impl AsyncRead + Unpin),
    mut buffer: &mut [u8],
    silence: Option<Duration>,
) -> io::Result<()> {
    while !buffer.is_empty() {
        let read = match silence {
            Some(silence) => timeout(silence, stream.read(buffer)).await??,
            None => stream.read(buffer).await?,
        };
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buffer = &mut buffer[read..];
    }
    Ok(())
}

fn decide_bytes(shared: &Arc<Shared>, body: &[u8], peer: SocketAddr, local: bool) -> Verdict {
    match Request::decode(body) {
        Ok(request) => {
            let verdict = decide(shared, &request, local);
            if matches!(verdict, Verdict::Close) {
                tracing::debug!(%peer, ?request, "closed: not allowed");
            }
            verdict
        }
        Err(error) => {
            tracing::debug!(%peer, %error, "not a request that can be served");
            match version_of_refused_alive2(body).filter(|_| local) {
                Some(version) => {
                    Verdict::Answer(AliveResponse::Refused { result: 1 }.encode(version))
                }
                None => Verdict::Close,
            }
        }
    }
}

fn decide(shared: &Arc<Shared>, request: &Request, local: bool) -> Verdict {
    match request {
        Request::PortPlease2(name) => {
            let found = shared.registry().find(name).cloned();
            // It came within the bounds, so it goes out within them.
            PortResponse(found)
                .encode()
                .map_or(Verdict::Close, Verdict::Answer)
        }
        Request::Names => Verdict::Answer(shared.registry().names(shared.port).encode()),
        _ if !local => Verdict::Close,
        Request::Alive2(registration) => register(shared, registration.clone()),
        Request::Dump => Verdict::Answer(shared.registry().dump(shared.port)),
        Request::Kill => {
            if shared.config.relaxed_command_check || shared.registry().is_empty() {
                Verdict::End(b"OK".to_vec())
            } else {
                Verdict::Answer(b"NO".to_vec())
            }
        }
        Request::Stop(_) if !shared.config.relaxed_command_check => Verdict::Close,
        Request::Stop(name) => {
            let stopped = shared.registry().unregister_name(name).is_some();
            Verdict::Answer(if stopped { b"STOPPED" } else { b"NOEXIST" }.to_vec())
        }
    }
}

fn register(shared: &Arc<Shared>, registration: Registration) -> Verdict {
    let (name, port) = (registration.name.clone(), registration.port);
    let highest_version = registration.highest_version;
    let (hold, forgotten) = oneshot::channel();
    let registered = shared.registry().register(registration, seconds(), hold);
    match registered {
        Ok((number, creation)) => {
            tracing::info!(%name, port, creation, "registered");
            let response = AliveResponse::Registered { creation };
            let registered = Registered {
                shared: Arc::clone(shared),
                number,
                name,
            };
            Verdict::Keep(response.encode(highest_version), registered, forgotten)
        }
        Err(error) => {
            tracing::info!(%name, port, "not registered: {error}");
            Verdict::Answer(AliveResponse::Refused { result: 1 }.encode(highest_version))
        }
    }
}

/// The time as 32 bits of seconds.
#[allow(clippy::cast_possible_truncation)] // The low bits are what differs from one restart to the next.
fn seconds() -> u32 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::epmd::{Client, EpmdError, RegistrationState};
    use crate::ports::free_tcp_port;
    use tokio::task::JoinHandle;

    struct Running {
        port: u16,
        shared: Arc<Shared>,
        task: JoinHandle<Ended>,
    }

    impl Drop for Running {
        fn drop(&mut self) {
            self.task.abort();
        }
    }

    fn loopback() -> ServerConfig {
        ServerConfig {
            port: 0,
            addresses: vec![Ipv4Addr::LOCALHOST.into()],
            ..ServerConfig::default()
        }
    }

    fn start(config: ServerConfig) -> Running {
        let server = Server::bind(config).unwrap();
        Running {
            port: server.port(),
            shared: Arc::clone(&server.shared),
            task: tokio::spawn(server.run(std::future::pending())),
        }
    }

    impl Running {
        fn client(&self) -> Client {
            Client::new("127.0.0.1", self.port)
        }

        async fn raw(&self, request: &[u8]) -> Vec<u8> {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
            stream.write_all(request).await.unwrap();
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            answer
        }

        async fn until_nodes(&self, count: usize) {
            while self.shared.registry().len() != count {
                sleep(Duration::from_millis(5)).await;
            }
        }
    }

    fn node(name: &str) -> Registration {
        Registration::hidden(Name::new(name).unwrap(), 1234)
    }

    #[tokio::test]
    async fn a_node_is_known_until_its_connection_ends() {
        let server = start(loopback());
        let client = server.client();
        assert_eq!(client.names().await.unwrap().nodes, []);
        let registered = client.register(node("a")).await.unwrap();
        assert!(registered.creation().unwrap() > 3);
        let names = client.names().await.unwrap();
        assert_eq!(names.epmd_port, u32::from(server.port));
        assert_eq!(names.nodes, [(Name::new("a").unwrap(), 1234)]);
        let found = client.port_please(&node("a").name).await.unwrap();
        assert_eq!(found, Some(node("a")));
        assert_eq!(client.port_please(&node("b").name).await, Ok(None));
        let taken = client.register(node("a")).await;
        assert!(
            matches!(taken, Err(EpmdError::NameTaken { .. })),
            "{taken:?}"
        );
        drop(registered);
        server.until_nodes(0).await;
        client.register(node("a")).await.unwrap();
    }

    #[tokio::test]
    async fn a_registration_comes_back_with_the_server() {
        let port = free_tcp_port();
        let server = start(ServerConfig { port, ..loopback() });
        let mut registered = server.client().register(node("a")).await.unwrap();
        let creation = registered.creation();
        server.task.abort();
        drop(server);
        let lost = registered.changed().await;
        assert!(matches!(lost, RegistrationState::Lost { .. }), "{lost:?}");
        // The first attempts find nobody.
        sleep(Duration::from_millis(250)).await;
        let server = start(ServerConfig { port, ..loopback() });
        server.until_nodes(1).await;
        registered.registered().await;
        assert_eq!(
            registered.creation(),
            creation,
            "the node is still the same"
        );
        drop(registered);
        server.until_nodes(0).await;
    }

    #[tokio::test]
    async fn a_registration_can_begin_before_its_server() {
        let port = free_tcp_port();
        let client = Client::new("127.0.0.1", port);
        let mut registered = client.keep_registered(node("a"));
        assert_eq!(registered.creation(), None);
        let state = registered.changed().await;
        let RegistrationState::Lost { error, .. } = state else {
            panic!("{state:?}");
        };
        assert!(matches!(error, EpmdError::NotListening { .. }), "{error:?}");
        let server = start(ServerConfig { port, ..loopback() });
        let creation = registered.registered().await;
        assert_eq!(registered.creation(), Some(creation));
        server.until_nodes(1).await;
    }

    #[tokio::test]
    async fn kill_and_stop_are_refused_while_nodes_are_there() {
        let mut server = start(loopback());
        let registered = server.client().register(node("a")).await.unwrap();
        assert_eq!(server.raw(b"\0\x01k").await, b"NO");
        assert_eq!(server.raw(b"\0\x02sa").await, b"");
        assert_eq!(server.client().names().await.unwrap().nodes.len(), 1);
        drop(registered);
        server.until_nodes(0).await;
        assert_eq!(server.raw(b"\0\x01k").await, b"OK");
        assert_eq!((&mut server.task).await.unwrap(), Ended::Killed);
    }

    #[tokio::test]
    async fn relaxed_both_are_allowed() {
        let mut server = start(ServerConfig {
            relaxed_command_check: true,
            ..loopback()
        });
        assert_eq!(server.raw(b"\0\x02sa").await, b"NOEXIST");
        let mut registered = server.client().register(node("a")).await.unwrap();
        assert_eq!(server.raw(b"\0\x02sa").await, b"STOPPED");
        let lost = registered.changed().await;
        assert!(matches!(lost, RegistrationState::Lost { .. }), "{lost:?}");
        registered.registered().await;
        assert_eq!(server.raw(b"\0\x01k").await, b"OK");
        assert_eq!((&mut server.task).await.unwrap(), Ended::Killed);
    }

    #[test]
    fn only_processes_of_this_host_change_anything() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let _guard = runtime.enter();
        let shared = Server::bind(loopback()).unwrap().shared;
        let allowed =
            |request: &Request, local| !matches!(decide(&shared, request, local), Verdict::Close);
        for request in [Request::Alive2(node("a")), Request::Dump, Request::Kill] {
            assert!(!allowed(&request, false), "{request:?}");
            assert!(allowed(&request, true), "{request:?}");
        }
        for request in [Request::Names, Request::PortPlease2(node("a").name)] {
            assert!(allowed(&request, false), "{request:?}");
        }
    }

    #[test]
    fn a_process_of_this_host_is_known_by_its_address() {
        let local = |here: &str, peer: &str| is_local(here.parse().unwrap(), peer.parse().unwrap());
        assert!(local("127.0.0.1", "127.0.0.1"));
        assert!(local("127.0.0.1", "127.3.2.1"));
        assert!(local("::1", "::1"));
        assert!(local("10.0.0.7", "10.0.0.7"));
        assert!(local("::ffff:10.0.0.7", "10.0.0.7"));
        assert!(!local("10.0.0.7", "10.0.0.8"));
        assert!(!local("fdaa::1", "fdaa::2"));
        assert!(!local("10.0.0.7", "128.0.0.1"));
    }

    #[tokio::test]
    async fn what_is_no_request_is_closed() {
        let server = start(ServerConfig {
            request_timeout: Duration::from_secs(2),
            ..loopback()
        });
        for request in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            b"\0\0",
            b"\xff\xffn",
            b"\0\x01?",
            // Half a request, and nothing more.
            b"\0\x09z",
        ] {
            assert_eq!(server.raw(request).await, b"", "{request:?}");
        }
        assert!(server.client().names().await.is_ok());
    }

    #[tokio::test]
    async fn of_the_connections_that_wait_the_oldest_of_the_largest_crowd_makes_room() {
        let server = start(ServerConfig {
            max_waiting: 2,
            ..loopback()
        });
        let registered = server.client().register(node("a")).await.unwrap();
        // Many more than there are places, none of which says anything.
        let mut silent = Vec::new();
        for _ in 0..5 {
            silent.push(connect(&server).await);
        }
        // A newcomer is served, and the first of the silent ones closed.
        assert_eq!(server.client().names().await.unwrap().nodes.len(), 1);
        let mut byte = [0; 1];
        assert_eq!(silent[0].read(&mut byte).await.unwrap_or(0), 0);
        // A registered node takes up no place, and is not closed for anybody.
        server.client().register(node("b")).await.unwrap();
        assert!(server.shared.registry().find(&node("a").name).is_some());
        drop(registered);
    }

    async fn connect(server: &Running) -> TcpStream {
        TcpStream::connect(("127.0.0.1", server.port))
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn a_name_that_is_not_kept_is_refused_in_the_form_of_its_version() {
        let server = start(loopback());
        let request = |version: u8, name: &[u8]| {
            let mut body = vec![b'x', 4, 210, b'M', 0, 0, version, 0, 5, 0, name.len() as u8];
            body.extend(name);
            body.extend([0, 0]);
            [&[0, body.len() as u8][..], &body].concat()
        };
        assert_eq!(server.raw(&request(5, b"a\x1b")).await[..2], *b"y\x01");
        assert_eq!(server.raw(&request(6, &[0xff])).await[..2], *b"v\x01");
        // OTP's epmd closes these two.
        assert_eq!(server.raw(&request(6, b"a\0b")).await, b"");
        assert_eq!(server.raw(&request(6, b"")).await, b"");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_sends_slowly_is_waited_for_and_one_that_is_silent_is_not() {
        let silence = Duration::from_secs(2);
        let (mut peer, mut here) = tokio::io::duplex(16);
        let slow = async {
            for byte in b"\0\x02za" {
                sleep(silence * 3 / 4).await;
                peer.write_all(&[*byte]).await.unwrap();
            }
        };
        let (read, ()) = tokio::join!(read_request(&mut here, Some(silence)), slow);
        assert_eq!(read.unwrap(), b"za");
        for part in [&b""[..], b"\0", b"\0\x09", b"\0\x09z"] {
            let (mut peer, mut here) = tokio::io::duplex(16);
            peer.write_all(part).await.unwrap();
            let read = read_request(&mut here, Some(silence)).await;
            assert_eq!(
                read.unwrap_err().kind(),
                io::ErrorKind::TimedOut,
                "{part:?}"
            );
        }
    }

    #[tokio::test]
    async fn ipv6_and_a_second_server() {
        let probe = std::net::TcpListener::bind("[::1]:0");
        let server = start(loopback());
        let second = Server::bind(ServerConfig {
            port: server.port,
            ..loopback()
        });
        assert!(matches!(second, Err(BindError::InUse(_))), "{second:?}");
        if probe.is_err() {
            // What `eprintln!` prints in a test that passes is kept back.
            let _ = io::Write::write_all(
                &mut io::stderr(),
                b"SKIPPED: EPMD over IPv6: this machine has no IPv6 loopback\n",
            );
            return;
        }
        let client = Client::new("::1", server.port);
        client.register(node("six")).await.unwrap();
    }

    #[test]
    fn loopback_is_always_listened_on() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let ips = |given: &[&str]| -> Vec<String> {
            let given: Vec<IpAddr> = given.iter().map(|text| ip(text)).collect();
            let listened = listen_on(&given);
            listened.iter().map(|(ip, _)| ip.to_string()).collect()
        };
        assert_eq!(ips(&[]), ["0.0.0.0", "::"]);
        assert_eq!(ips(&["10.0.0.7"]), ["10.0.0.7", "127.0.0.1", "::1"]);
        assert_eq!(ips(&["127.0.0.1", "127.0.0.1"]), ["127.0.0.1", "::1"]);
        assert_eq!(ips(&["0.0.0.0", "10.0.0.7"]), ["0.0.0.0", "::1"]);
    }
}
