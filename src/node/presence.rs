//! Where others find a node: the port that it listens on, and EPMD, which tells it to them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use crate::dist::DialOptions;
use crate::epmd::codec::{Name, Registration as EpmdEntry};
use crate::epmd::{Client, EpmdError, Registered};
use crate::name::NodeName;

use super::builder::{Registration, StartError};

/// For how long a name that EPMD says is taken may still be that of an earlier life of the node.
const EARLIER_LIFE: Duration = Duration::from_secs(1);
/// The pause between two attempts to register.
const RETRY: Duration = Duration::from_millis(50);

/// Where a node is to listen, and who is to know.
#[derive(Debug, Clone)]
pub(super) struct Presence {
    pub(super) registration: Registration,
    /// `None` is any port, on all addresses of the kind that the node's name has.
    pub(super) listen: Option<SocketAddr>,
    /// The ports to choose from, instead of that of `listen`.
    pub(super) ports: Option<RangeInclusive<u16>>,
    /// The host of the node's own EPMD, if it is not this one.
    pub(super) epmd_host: Option<String>,
}

impl Presence {
    pub(super) fn new() -> Self {
        Self {
            registration: Registration::Required,
            listen: None,
            ports: None,
            epmd_host: None,
        }
    }

    /// Listens and registers, as far as it is to.
    pub(super) async fn begin(
        &self,
        name: &NodeName,
        visible: bool,
        dial: &DialOptions,
    ) -> Result<(Option<TcpListener>, Option<Registered>), StartError> {
        if self.registration == Registration::None {
            return Ok((None, None));
        }
        let address = self.address(name);
        let listener = self.listener(address, dial).await?;
        if self.registration == Registration::Unlisted {
            return Ok((Some(listener), None));
        }
        let port = listener
            .local_addr()
            .map_err(|error| StartError::Listen { address, error })?;
        let epmd = self
            .epmd(address, dial.epmd_port)
            .with_timeout(dial.setup_time);
        let failed = |error| StartError::Epmd {
            name: name.clone(),
            error,
        };
        let short = Name::new(name.name()).map_err(|error| failed(EpmdError::Request(error)))?;
        let mut entry = if visible {
            EpmdEntry::visible(short, port.port())
        } else {
            EpmdEntry::hidden(short, port.port())
        };
        // Nodes before OTP 23 are let in as well.
        entry.lowest_version = 5;
        match register(&epmd, &entry).await {
            Ok(registered) => Ok((Some(listener), Some(registered))),
            Err(error) if self.registration == Registration::Required => Err(failed(error)),
            Err(_) => Ok((Some(listener), Some(epmd.keep_registered(entry)))),
        }
    }

    /// A node that is named by an IPv6 address is looked for there, as one of OTP is that was started with
    /// `-proto_dist inet6_tcp`. Where the system has it so (Linux has), `[::]` takes IPv4 too.
    fn address(&self, name: &NodeName) -> SocketAddr {
        let host = name.host().trim_matches(['[', ']']);
        let any = match host.parse::<Ipv6Addr>() {
            Ok(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
            Err(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        };
        self.listen.unwrap_or(SocketAddr::new(any, 0))
    }

    async fn listener(
        &self,
        listen: SocketAddr,
        dial: &DialOptions,
    ) -> Result<TcpListener, StartError> {
        // Where EPMD is not asked, all nodes listen on the same port.
        let fixed = match (self.registration, listen.port()) {
            (Registration::Unlisted, 0) => dial.port.map(|port| port..=port),
            _ => None,
        };
        let Some(ports) = self.ports.clone().or(fixed) else {
            let listener = TcpListener::bind(listen).await;
            return listener.map_err(|error| StartError::Listen {
                address: listen,
                error,
            });
        };
        let mut last = io::Error::from(io::ErrorKind::InvalidInput);
        for port in ports.clone() {
            match TcpListener::bind((listen.ip(), port)).await {
                Ok(listener) => return Ok(listener),
                Err(error) => last = error,
            }
        }
        Err(StartError::NoFreePort {
            address: listen.ip(),
            first: *ports.start(),
            last: *ports.end(),
            error: last,
        })
    }

    /// The EPMD of this host, asked by the kind of address that the node listens on, as OTP asks its own. One that
    /// listens on IPv4 alone is found as well.
    fn epmd(&self, listen: SocketAddr, port: u16) -> Client {
        match (&self.epmd_host, listen.ip()) {
            (Some(host), _) => Client::new(host, port),
            (None, IpAddr::V4(_)) => Client::new(Ipv4Addr::LOCALHOST.to_string(), port),
            (None, IpAddr::V6(_)) => Client::new(Ipv6Addr::LOCALHOST.to_string(), port)
                .with_addresses(vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()]),
        }
    }
}

/// Registers the node. The name may still be that of an earlier life of the node, which EPMD is about to notice
/// the end of: it is asked again for a while.
async fn register(epmd: &Client, entry: &EpmdEntry) -> Result<Registered, EpmdError> {
    let until = Instant::now() + EARLIER_LIFE;
    loop {
        match epmd.register(entry.clone()).await {
            Err(EpmdError::NameTaken { .. }) if Instant::now() < until => sleep(RETRY).await,
            result => return result,
        }
    }
}
