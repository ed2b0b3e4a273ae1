//! The sockets: one for each group to listen with, one for each group and link to send with.
//!
//! All are shareable: any number of nodes, and of other programs that share too, use the same group and
//! port on one host. The links are looked at again and again, since interfaces come and go.

use std::collections::HashMap;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::task::Poll;

use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use super::codec::MAX_DATAGRAM;
use super::config::{InterfaceChoice, MulticastConfig};
use super::interfaces::{self, Link};

/// What the kernel is asked to hold for us while we are busy: some 1,500 of the longest announcements.
/// It grants what its limit allows (`net.core.rmem_max` on Linux).
const RECEIVE_BUFFER: usize = 2 << 20;

/// How many datagrams are taken from one socket before anything else has its turn.
const BATCH: usize = 64;

/// All sockets of a provider.
#[derive(Debug)]
pub(super) struct Sockets {
    plan: Plan,
    listeners: Vec<Listener>,
    senders: HashMap<(SocketAddr, Link), std::net::UdpSocket>,
}

/// Where to send and to listen.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// The groups, or with `broadcast` broadcast addresses, and their ports.
    pub groups: Vec<SocketAddr>,
    /// Whether to broadcast instead.
    pub broadcast: bool,
    /// The IPv4 TTL, the IPv6 hop limit.
    pub ttl: u8,
    /// The interfaces that the user chose.
    pub choices: Vec<InterfaceChoice>,
    /// Whether to stay on the loopback where nothing was chosen.
    pub loopback_only: bool,
    /// The options that say which groups, for messages.
    pub option: &'static str,
}

impl Plan {
    /// What native announcements need.
    pub fn native(config: &MulticastConfig, loopback_only: bool) -> Self {
        let at = |&group: &IpAddr| SocketAddr::new(group, config.port);
        Self {
            groups: config.multicast_addr.iter().map(at).collect(),
            broadcast: false,
            ttl: config.ttl,
            choices: config.interface.clone(),
            loopback_only,
            option: "multicast_addr` or `port",
        }
    }
}

/// Listens to one group.
#[derive(Debug)]
struct Listener {
    group: SocketAddr,
    socket: UdpSocket,
    joined: Vec<Link>,
}

/// What a look at the interfaces came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scan {
    /// There is a link that was not there before.
    pub new_links: bool,
    /// What does not work as asked for, and the remedy.
    pub problem: Option<String>,
}

/// What became of an announcement's copies.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// So many went.
    pub went: u64,
    /// So many did not.
    pub failed: u64,
    /// Why the last of them did not.
    pub why: Option<io::Error>,
}

impl Sent {
    /// Why nothing went, for people.
    pub fn trouble(self) -> String {
        match self.why {
            Some(error) => format!(
                "announcements are not sent: {error}; see that the interface is up, or choose another `interface`"
            ),
            None => "announcements are not sent: there is no interface to send them by".to_owned(),
        }
    }
}

impl Sockets {
    /// Prepares; opens nothing before the first [`Sockets::scan`].
    pub fn new(mut plan: Plan) -> Self {
        plan.groups.sort_unstable();
        plan.groups.dedup();
        Self {
            plan,
            listeners: Vec::new(),
            senders: HashMap::new(),
        }
    }

    /// Looks at the interfaces, and opens and closes what that asks for. Needs a tokio runtime.
    pub fn scan(&mut self) -> Scan {
        let present = match interfaces::present() {
            Ok(present) => present,
            Err(error) => {
                return Scan {
                    new_links: false,
                    problem: Some(format!("cannot list the network interfaces: {error}")),
                };
            }
        };
        let (links, missing) =
            interfaces::choose(&present, &self.plan.choices, self.plan.loopback_only);
        let missing: Vec<String> = missing.into_iter().map(ToString::to_string).collect();
        let mut problems = Problems::default();
        let new_links = self.open(&links, &mut problems);
        Scan {
            new_links,
            problem: self.problem(&present, &missing, &problems),
        }
    }

    /// Makes sockets and memberships fit `links`. Answers whether there is a new way to send.
    fn open(&mut self, links: &[Link], problems: &mut Problems) -> bool {
        let fits = |group: SocketAddr, link: &Link| group.is_ipv4() == link.addr.is_ipv4();
        self.senders
            .retain(|(group, link), _| links.contains(link) && fits(*group, link));
        let mut new = false;
        let broadcast = self.plan.broadcast;
        for &group in &self.plan.groups {
            let links: Vec<&Link> = links.iter().filter(|link| fits(group, link)).collect();
            if links.is_empty() {
                continue;
            }
            if !self.listeners.iter().any(|known| known.group == group) {
                match listen(group, broadcast) {
                    Ok(socket) => self.listeners.push(Listener {
                        group,
                        socket,
                        joined: Vec::new(),
                    }),
                    Err(error) => problems.bind = Some((group, error)),
                }
            }
            let Some(listener) = self.listeners.iter_mut().find(|l| l.group == group) else {
                continue;
            };
            if !broadcast {
                listener.follow(&links, problems);
            }
            for link in links {
                let key = (group, link.clone());
                if self.senders.contains_key(&key) {
                    continue;
                }
                match sender(group, broadcast, self.plan.ttl, link) {
                    Ok(socket) => {
                        self.senders.insert(key, socket);
                        new = true;
                    }
                    // As for IPv6 on the loopback, which by default has no route for multicast.
                    Err(error) => {
                        tracing::debug!(%group, interface = link.name, %error, "cannot announce here");
                        problems.send = Some((group, link.name.clone(), error));
                    }
                }
            }
        }
        new
    }

    fn problem(&self, present: &[Link], missing: &[String], problems: &Problems) -> Option<String> {
        let option = self.plan.option;
        if let Some((group, error)) = &problems.bind {
            let remedy = match error.kind() {
                ErrorKind::AddrInUse => {
                    "another program holds the port and does not share it; stop it, or set another port by"
                }
                ErrorKind::PermissionDenied => {
                    "the system does not permit it; set a port above 1023 by"
                }
                _ => "set another group or port by",
            };
            return Some(format!(
                "cannot listen to {} on UDP port {}: {error}: {remedy} `{option}` on all nodes",
                group.ip(),
                group.port()
            ));
        }
        let mut names: Vec<&str> = present.iter().map(|link| link.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let names = names.join(", ");
        if !missing.is_empty() {
            return Some(format!(
                "`interface`: {} is not there, or is down or cannot multicast; there are {names}. It is used \
                 as soon as it is there",
                missing.join(", ")
            ));
        }
        if let Some((group, name, error)) = &problems.join {
            return Some(format!(
                "cannot join {} on {name}: {error}; if there are many interfaces, choose with `interface`",
                group.ip()
            ));
        }
        if !self.senders.is_empty() {
            return None;
        }
        if let Some((group, name, error)) = &problems.send {
            return Some(format!(
                "cannot announce to {} on {name}: {error}; choose another `interface` or `{option}`",
                group.ip()
            ));
        }
        Some(format!(
            "there is no interface with an address of the family of {}; there are {names}: choose another \
             `interface` or `{option}`",
            self.plan
                .groups
                .iter()
                .map(|group| group.ip().to_string())
                .collect::<Vec<_>>()
                .join(", ")
        ))
    }

    /// Sends to every group on every link.
    pub fn send(&self, datagram: &[u8]) -> Sent {
        let mut sent = Sent::default();
        for ((group, link), socket) in &self.senders {
            match socket.send(datagram) {
                Ok(_) => sent.went += 1,
                Err(error) => {
                    tracing::debug!(%group, interface = link.name, %error, "an announcement was not sent");
                    sent.failed += 1;
                    sent.why = Some(error);
                }
            }
        }
        sent
    }

    /// Waits until there is something to read. Cancel-safe.
    pub async fn readable(&self) {
        poll_fn(|cx| {
            let mut ready = Poll::Pending;
            for listener in &self.listeners {
                if listener.socket.poll_recv_ready(cx).is_ready() {
                    ready = Poll::Ready(());
                }
            }
            ready
        })
        .await;
    }

    /// Hands out what there is to read, a bounded number of datagrams from each socket in turn.
    pub fn read(&self, mut take: impl FnMut(IpAddr, &[u8])) {
        // One byte more than the longest, so that a longer one is seen to be longer.
        let mut buffer = [0; MAX_DATAGRAM + 1];
        for listener in &self.listeners {
            for _ in 0..BATCH {
                match listener.socket.try_recv_from(&mut buffer) {
                    Ok((length, source)) => take(source.ip(), &buffer[..length]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    // Windows tells so of a datagram that is longer than the buffer; others of what
                    // became of one sent before. Neither ends the listening.
                    Err(error) => tracing::debug!(%error, "a datagram was not read"),
                }
            }
        }
    }
}

/// What went wrong in a look, the last of each kind.
#[derive(Debug, Default)]
struct Problems {
    bind: Option<(SocketAddr, io::Error)>,
    join: Option<(SocketAddr, String, io::Error)>,
    send: Option<(SocketAddr, String, io::Error)>,
}

impl Listener {
    /// Is in the group on each of `links`, and on no other.
    fn follow(&mut self, links: &[&Link], problems: &mut Problems) {
        let socket = socket2::SockRef::from(&self.socket);
        let group = self.group;
        self.joined.retain(|link| {
            let stays = links.contains(&link);
            if !stays {
                // The membership went with the interface; where it did not, it is left.
                let _ = match group.ip() {
                    IpAddr::V4(group) => socket.leave_multicast_v4_n(&group, &by_index(link)),
                    IpAddr::V6(group) => socket.leave_multicast_v6(&group, link.index),
                };
            }
            stays
        });
        for &link in links {
            if self.joined.contains(link) {
                continue;
            }
            let result = match group.ip() {
                IpAddr::V4(group) => socket.join_multicast_v4_n(&group, &by_index(link)),
                IpAddr::V6(group) => socket.join_multicast_v6(&group, link.index),
            };
            match result {
                Ok(()) => self.joined.push(link.clone()),
                // Already in: the interface changed its address.
                Err(error) if error.kind() == ErrorKind::AddrInUse => {
                    self.joined.push(link.clone());
                }
                Err(error) => problems.join = Some((group, link.name.clone(), error)),
            }
        }
    }
}

fn by_index(link: &Link) -> InterfaceIndexOrAddress {
    InterfaceIndexOrAddress::Index(link.index)
}

fn udp(group: SocketAddr) -> io::Result<Socket> {
    let domain = if group.is_ipv4() {
        Domain::IPV4
    } else {
        Domain::IPV6
    };
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    if group.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// A socket that can join `group`, and hears nothing that it did not join; or one that hears broadcasts.
fn listen(group: SocketAddr, broadcast: bool) -> io::Result<UdpSocket> {
    let socket = udp(group)?;
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    if let Err(error) = socket.set_recv_buffer_size(RECEIVE_BUFFER) {
        tracing::debug!(%error, "the receive buffer stays at its default");
    }
    let any = match group.ip() {
        // Linux otherwise hands out what any program of the host has joined.
        IpAddr::V4(_) => {
            #[cfg(target_os = "linux")]
            socket.set_multicast_all_v4(false)?;
            IpAddr::V4(Ipv4Addr::UNSPECIFIED)
        }
        IpAddr::V6(_) => {
            #[cfg(target_os = "linux")]
            socket.set_multicast_all_v6(false)?;
            IpAddr::V6(Ipv6Addr::UNSPECIFIED)
        }
    };
    // Bound to the group, no unicast datagram comes in; but Windows does not know that, and for a
    // link-local IPv6 group it would be one socket for each link.
    let addr = if cfg!(unix) && group.is_ipv4() && !broadcast {
        group.ip()
    } else {
        any
    };
    socket.bind(&SocketAddr::new(addr, group.port()).into())?;
    UdpSocket::from_std(socket.into())
}

/// A socket that sends to `group` by `link`, a copy to the host itself included.
fn sender(
    group: SocketAddr,
    broadcast: bool,
    ttl: u8,
    link: &Link,
) -> io::Result<std::net::UdpSocket> {
    let socket = udp(group)?;
    let to = match (group.ip(), link.addr) {
        (IpAddr::V4(_), IpAddr::V4(addr)) if broadcast => {
            socket.set_broadcast(true)?;
            // By this Linux knows the interface that a broadcast leaves by.
            socket.bind(&SocketAddr::new(addr.into(), 0).into())?;
            group
        }
        (IpAddr::V4(_), IpAddr::V4(addr)) => {
            socket.set_multicast_if_v4(&addr)?;
            socket.set_multicast_ttl_v4(ttl.into())?;
            socket.set_multicast_loop_v4(true)?;
            socket.bind(&SocketAddr::new(addr.into(), 0).into())?;
            group
        }
        (IpAddr::V6(ip), _) => {
            socket.set_multicast_if_v6(link.index)?;
            socket.set_multicast_hops_v6(ttl.into())?;
            socket.set_multicast_loop_v6(true)?;
            SocketAddrV6::new(ip, group.port(), 0, link.index).into()
        }
        (IpAddr::V4(_), IpAddr::V6(_)) => return Err(ErrorKind::AddrNotAvailable.into()),
    };
    // Sends nothing yet; finds out whether there is a route.
    socket.connect(&to.into())?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::free_udp_port;

    fn config(group: IpAddr, port: u16, interface: &str) -> MulticastConfig {
        MulticastConfig {
            multicast_addr: vec![group],
            port,
            interface: vec![interface.parse().unwrap()],
            ..MulticastConfig::default()
        }
    }

    const GROUP: IpAddr = IpAddr::V4(super::super::GROUP_V4);

    #[tokio::test]
    async fn three_share_a_port_and_each_hears_all() {
        let config = config(GROUP, free_udp_port(), "127.0.0.1");
        let mut all: Vec<_> = (0..3)
            .map(|_| Sockets::new(Plan::native(&config, false)))
            .collect();
        for sockets in &mut all {
            let scan = sockets.scan();
            assert_eq!((scan.new_links, scan.problem), (true, None));
            assert_eq!(
                sockets.scan(),
                Scan::default(),
                "a second look finds nothing new"
            );
        }
        let sent = all[0].send(b"hello");
        assert_eq!((sent.went, sent.failed), (1, 0));
        for sockets in &all {
            sockets.readable().await;
            let mut heard = Vec::new();
            sockets.read(|source, bytes| heard.push((source, bytes.to_vec())));
            assert_eq!(heard, [([127, 0, 0, 1].into(), b"hello".to_vec())]);
        }
    }

    #[tokio::test]
    async fn what_is_too_long_is_seen_to_be() {
        let config = config(GROUP, free_udp_port(), "127.0.0.1");
        let mut sockets = Sockets::new(Plan::native(&config, false));
        sockets.scan();
        sockets.send(&[7; 9000]);
        sockets.readable().await;
        sockets.read(|_, bytes| assert_eq!(bytes.len(), MAX_DATAGRAM + 1));
    }

    #[tokio::test]
    async fn a_port_that_is_not_shared_is_told_with_a_remedy() {
        let port = free_udp_port();
        let taken = std::net::UdpSocket::bind(("0.0.0.0", port)).unwrap();
        let mut sockets = Sockets::new(Plan::native(&config(GROUP, port, "127.0.0.1"), false));
        let problem = sockets.scan().problem.unwrap();
        assert!(problem.contains(&format!("UDP port {port}")), "{problem}");
        assert!(problem.contains("does not share it"), "{problem}");
        drop(taken);
        let scan = sockets.scan();
        assert_eq!(
            (scan.new_links, scan.problem),
            (true, None),
            "it is tried again"
        );
    }

    #[tokio::test]
    async fn an_interface_that_is_not_there_is_told() {
        let mut sockets = Sockets::new(Plan::native(
            &config(GROUP, free_udp_port(), "nosuch0"),
            false,
        ));
        let problem = sockets.scan().problem.unwrap();
        assert!(problem.contains("nosuch0 is not there"), "{problem}");
        assert!(problem.contains("there are "), "{problem}");
        assert_eq!(sockets.send(b"x").went, 0);
    }

    #[tokio::test]
    async fn a_family_that_the_interface_lacks_is_told() {
        let v6 = super::super::GROUP_V6.into();
        let mut sockets = Sockets::new(Plan::native(
            &config(v6, free_udp_port(), "127.0.0.1"),
            false,
        ));
        let problem = sockets.scan().problem.unwrap();
        assert!(problem.contains("family"), "{problem}");
    }
}
