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
    pub(super) listen: SocketAddr,
    /// The ports to choose from, instead of that of `listen`.
    pub(super) ports: Option<RangeInclusive<u16>>,
    /// The host of the node's own EPMD, if it is not this one.
    pub(super) epmd_host: Option<String>,
}

impl Presence {
    pub(super) fn new() -> Self {
        Self {
            registration: Registration::Required,
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
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
        let listener = self.listener(dial).await?;
        if self.registration == Registration::Unlisted {
            return Ok((Some(listener), None));
        }
        let port = listener.local_addr().map_err(|error| StartError::Listen {
            address: self.listen,
            error,
        })?;
        let epmd = Client::new(self.epmd_host(), dial.epmd_port).with_timeout(dial.setup_time);
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

    async fn listener(&self, dial: &DialOptions) -> Result<TcpListener, StartError> {
        // Where EPMD is not asked, all nodes listen on the same port.
        let fixed = match (self.registration, self.listen.port()) {
            (Registration::Unlisted, 0) => dial.port.map(|port| port..=port),
            _ => None,
        };
        let Some(ports) = self.ports.clone().or(fixed) else {
            let listener = TcpListener::bind(self.listen).await;
            return listener.map_err(|error| StartError::Listen {
                address: self.listen,
                error,
            });
        };
        let mut last = io::Error::from(io::ErrorKind::InvalidInput);
        for port in ports.clone() {
            match TcpListener::bind((self.listen.ip(), port)).await {
                Ok(listener) => return Ok(listener),
                Err(error) => last = error,
            }
        }
        Err(StartError::NoFreePort {
            address: self.listen.ip(),
            first: *ports.start(),
            last: *ports.end(),
            error: last,
        })
    }

    /// This host, by the kind of address that the node listens on, as OTP asks its EPMD.
    fn epmd_host(&self) -> String {
        match (&self.epmd_host, self.listen.ip()) {
            (Some(host), _) => host.clone(),
            (None, IpAddr::V4(_)) => Ipv4Addr::LOCALHOST.to_string(),
            (None, IpAddr::V6(_)) => Ipv6Addr::LOCALHOST.to_string(),
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
