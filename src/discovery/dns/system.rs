//! The system's part: name servers, search domains and hosts, read again when they change.

use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hickory_resolver::Hosts;
use hickory_resolver::config::{ResolverConfig, ResolverOpts};
use hickory_resolver::proto::rr::Name;

use super::config::{DnsConfig, SystemFiles};
use super::servers::Servers;

/// Where names are looked up, kept up to date.
///
/// The files are small and read from memory most of the time, so they are read where they are needed
/// and not on a thread of their own.
pub(super) struct System {
    files: SystemFiles,
    given: Vec<SocketAddr>,
    /// The port of the servers in the resolver configuration.
    port: u16,
    timeout: Duration,
    servers: Option<Current>,
    hosts: Option<(Stamp, Arc<Hosts>)>,
}

/// The servers in use and what they were made of.
struct Current {
    stamp: Stamp,
    setup: Setup,
    servers: Arc<Servers>,
}

/// Whom to ask and how.
#[derive(PartialEq, Eq)]
struct Setup {
    found: Found,
    /// Where the servers come from, unless the user gave them.
    origin: Option<String>,
}

impl Setup {
    fn servers(&self, timeout: Duration) -> Result<Servers, String> {
        let Found {
            servers,
            search,
            ndots,
            use_vc,
        } = &self.found;
        Servers::new(servers, self.origin.as_deref(), *use_vc, timeout)
            .map(|servers| servers.searching(search.clone(), *ndots))
    }
}

/// What tells two states of a file apart; `None` while it cannot be seen.
type Stamp = Option<(SystemTime, u64, u64)>;

fn stamp(path: &Path) -> Stamp {
    let meta = fs::metadata(path).ok()?;
    #[cfg(unix)]
    let inode = std::os::unix::fs::MetadataExt::ino(&meta);
    #[cfg(not(unix))]
    let inode = 0;
    Some((meta.modified().ok()?, meta.len(), inode))
}

impl System {
    pub fn new(config: &DnsConfig) -> Self {
        Self {
            files: config.files.clone(),
            given: config.nameservers.clone(),
            port: DnsConfig::PORT,
            timeout: config.lookup_timeout,
            servers: None,
            hosts: None,
        }
    }

    /// The servers to ask now. A resolver configuration that could not be read, as it may be missing while
    /// a machine starts, is tried every time. The servers stay the same, with their open connections and what
    /// is known of their speed, until the configuration says something else.
    ///
    /// # Errors
    /// Why no resolver could be made of the configuration.
    pub fn servers(&mut self) -> Result<Arc<Servers>, String> {
        let stamp = stamp(&self.files.resolv_conf);
        if let Some(current) = &self.servers
            && stamp.is_some()
            && current.stamp == stamp
        {
            return Ok(current.servers.clone());
        }
        let (setup, read) = self.read_setup();
        let stamp = stamp.filter(|_| read);
        match &mut self.servers {
            Some(current) if current.setup == setup => {
                current.stamp = stamp;
                Ok(current.servers.clone())
            }
            _ => {
                let servers = Arc::new(setup.servers(self.timeout)?);
                self.servers = Some(Current {
                    stamp,
                    setup,
                    servers: servers.clone(),
                });
                Ok(servers)
            }
        }
    }

    /// Whom to ask and how, and whether the configuration could be read.
    fn read_setup(&self) -> (Setup, bool) {
        let path = self.files.resolv_conf.display();
        let (mut found, origin, read) = match read(&self.files.resolv_conf) {
            Ok(found) => (found, format!("from {path}"), true),
            // resolv.conf(5): without one, the name server of the own machine is asked.
            Err(error) => {
                let origin = format!("asked because {path} cannot be read: {error}");
                (Found::default(), origin, false)
            }
        };
        let origin = if !self.given.is_empty() {
            found.servers.clone_from(&self.given);
            None
        } else {
            if found.servers.is_empty() {
                let own = IpAddr::V4(Ipv4Addr::LOCALHOST);
                found.servers.push(SocketAddr::new(own, DnsConfig::PORT));
            }
            for server in &mut found.servers {
                server.set_port(self.port);
            }
            Some(origin)
        };
        (Setup { found, origin }, read)
    }

    /// Whether the hosts file says who the peers are: not if the user chose the name servers.
    pub fn hosts_file(&self) -> Option<&Path> {
        self.given.is_empty().then_some(self.files.hosts.as_path())
    }

    /// Asks the system's name servers at this port.
    #[cfg(test)]
    pub fn set_port(&mut self, port: u16) {
        self.port = port;
    }

    /// The hosts as they are now; none if the file is missing.
    pub fn hosts(&mut self) -> Arc<Hosts> {
        let stamp = stamp(&self.files.hosts);
        match &self.hosts {
            Some((seen, hosts)) if *seen == stamp => hosts.clone(),
            _ => {
                let mut hosts = Hosts::default();
                if let Err(error) =
                    File::open(&self.files.hosts).and_then(|file| hosts.read_hosts_conf(file))
                {
                    let path = self.files.hosts.display();
                    tracing::debug!("{path} cannot be read and is left out: {error}");
                }
                let hosts = Arc::new(hosts);
                self.hosts = Some((stamp, hosts.clone()));
                hosts
            }
        }
    }
}

/// Whether an address is one of this machine's. The kernel lets nobody bind to another machine's.
pub(super) fn is_local(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

/// What the system's configuration says.
#[derive(PartialEq, Eq)]
struct Found {
    servers: Vec<SocketAddr>,
    search: Vec<Name>,
    ndots: usize,
    /// Whether to ask by TCP from the start: `options use-vc`.
    use_vc: bool,
}

impl Default for Found {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            search: Vec::new(),
            ndots: 1,
            use_vc: false,
        }
    }
}

impl From<(ResolverConfig, ResolverOpts)> for Found {
    fn from((config, options): (ResolverConfig, ResolverOpts)) -> Self {
        let (domain, search, servers) = config.into_parts();
        let servers = servers
            .iter()
            .map(|server| SocketAddr::new(server.ip, DnsConfig::PORT))
            .collect();
        Self {
            servers,
            // resolv.conf(5): the own domain is searched only if nothing else is said.
            search: if search.is_empty() {
                domain.into_iter().collect()
            } else {
                search
            },
            ndots: options.ndots,
            use_vc: false,
        }
    }
}

#[cfg(all(unix, not(any(target_os = "android", target_vendor = "apple"))))]
fn read(path: &Path) -> io::Result<Found> {
    use hickory_resolver::system_conf::parse_resolv_conf;

    let mut text = fs::read(path)?;
    let use_vc = says_use_vc(&text);
    let found = parse_resolv_conf(&text).or_else(|_| {
        // hickory refuses a file without a name server, whose search domains hold nevertheless.
        text.extend_from_slice(b"\nnameserver 127.0.0.1\n");
        parse_resolv_conf(&text)
    });
    let found =
        found.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
    Ok(Found {
        use_vc,
        ..found.into()
    })
}

/// hickory reads the option over.
#[cfg(all(unix, not(any(target_os = "android", target_vendor = "apple"))))]
fn says_use_vc(resolv_conf: &[u8]) -> bool {
    String::from_utf8_lossy(resolv_conf).lines().any(|line| {
        let mut words = line.split_whitespace();
        words.next() == Some("options") && words.any(|word| matches!(word, "use-vc" | "usevc"))
    })
}

#[cfg(not(all(unix, not(any(target_os = "android", target_vendor = "apple")))))]
fn read(_path: &Path) -> io::Result<Found> {
    hickory_resolver::system_conf::read_system_conf()
        .map(Found::from)
        .map_err(|error| io::Error::other(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system(folder: &Path) -> System {
        System::new(&DnsConfig {
            files: SystemFiles {
                resolv_conf: folder.join("resolv.conf"),
                hosts: folder.join("hosts"),
            },
            ..DnsConfig::new(["a.test".into()])
        })
    }

    #[tokio::test]
    async fn the_configuration_is_read_again_when_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("resolv.conf");
        let mut system = system(folder.path());

        let missing = system.servers().unwrap();
        assert!(Arc::ptr_eq(&missing, &system.servers().unwrap()));
        assert!(missing.asked().starts_with("127.0.0.1:53 (asked because "));

        fs::write(
            &path,
            "nameserver 10.0.0.1\nsearch a.test\noptions ndots:3\n",
        )
        .unwrap();
        let first = system.servers().unwrap();
        assert!(
            first.asked().starts_with("10.0.0.1:53 (from "),
            "{}",
            first.asked()
        );
        let name: Name = "x.y.z".parse().unwrap();
        let tried: Vec<_> = first
            .candidates(&name)
            .iter()
            .map(Name::to_string)
            .collect();
        assert_eq!(tried, ["x.y.z.a.test.", "x.y.z."]);

        assert!(Arc::ptr_eq(&first, &system.servers().unwrap()));
        fs::write(&path, "nameserver 10.0.0.1\nnameserver fdaa::53\n").unwrap();
        assert!(
            system
                .servers()
                .unwrap()
                .asked()
                .starts_with("10.0.0.1:53, [fdaa::53]:53 (")
        );
    }

    #[tokio::test]
    async fn a_configuration_without_servers_still_has_its_search_domains() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("resolv.conf"), "search a.test\n").unwrap();
        let servers = system(folder.path()).servers().unwrap();
        assert!(servers.asked().starts_with("127.0.0.1:53 (from "));
        let tried = servers.candidates(&"x".parse().unwrap());
        assert_eq!(tried[0].to_string(), "x.a.test.");
    }
}
