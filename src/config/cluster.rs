//! A cluster's configuration, read from [`Layer`]s.

use std::time::Duration;

use super::duration::LONGEST;
use super::error::{ConfigError, Problem};
use super::layer::{Chosen, Kind, Layer, Merged, elsewhere, merge, via_takes};
use super::options::{CLUSTER, PROVIDERS};
use super::section::Section;
use super::value::Value;
use crate::cluster::{Accept, Backoff, Policy, ProviderId};
use crate::discovery::dns::{DnsConfig, DnsName, HostType, RecordType};
use crate::discovery::ec2::{self, Ec2Config, Filter};
use crate::discovery::epmd::EpmdConfig;
use crate::discovery::hosts_file::HostsFileConfig;
use crate::discovery::http::HttpConfig;
use crate::discovery::kubernetes::{KubernetesConfig, Lookup, Mode};
use crate::discovery::multicast::MulticastConfig;
use crate::discovery::multicast::dialects::{Dialect, DialectConfig};
use crate::discovery::rancher::RancherConfig;
use crate::discovery::subnet::SubnetConfig;
use crate::discovery::{CommandConfig, FileConfig, ListConfig};

/// [`ClusterConfig::refresh_interval`] unless configured, which is gen_cluster's too.
pub const REFRESH_INTERVAL: Duration = Duration::from_secs(5);

/// Where peers come from and what is done with them.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterConfig {
    /// The providers, in their configured order, at most [`ProviderId::MAX`]. None if the configuration says
    /// that there is to be no cluster; then [`off`](Self::off) says why.
    pub via: Vec<Via>,
    /// Providers that are left out because an option that they need, or all of their options, is `nil` or `:ignore`, each
    /// in the user's words: `via.dns.dns_name is :ignore`.
    pub off: Vec<String>,
    /// What is done with the peers.
    pub policy: Policy,
    /// Whether the connections to peers are hidden ones. Default: visible ones.
    pub hidden: bool,
    /// How often whoever drives the engine compares what it knows of connections with what the distribution
    /// says. It goes on where [`Policy::reconnect`] is off. Default: 5 s.
    pub refresh_interval: Duration,
}

/// A source of peers and its options.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Via {
    /// No one else.
    SelfOnly,
    /// The names given in the configuration.
    List(ListConfig),
    /// Addresses behind DNS names.
    Dns(DnsConfig),
    /// Announcements to a multicast group.
    Multicast(MulticastConfig),
    /// Announcements as another library makes them: one of the `dialects` of `multicast`.
    Dialect(DialectConfig),
    /// The nodes that are registered with EPMD on some hosts.
    Epmd(EpmdConfig),
    /// The nodes on the hosts of a `.hosts.erlang`, and those that it names.
    HostsFile(HostsFileConfig),
    /// The nodes that are registered with EPMD on any host of some networks.
    Subnet(SubnetConfig),
    /// The names in a file.
    File(FileConfig),
    /// The names that a program prints.
    Command(CommandConfig),
    /// The names behind a URL.
    Http(HttpConfig),
    /// The pods of a Kubernetes cluster.
    Kubernetes(KubernetesConfig),
    /// EC2 instances by tag.
    Ec2(Ec2Config),
    /// The containers that Rancher's metadata names.
    Rancher(RancherConfig),
    /// A module of the user's, by name, which the BEAM runs.
    External(String),
}

impl Via {
    /// The word after `via`, that of a dialect, or the module's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::External(module) => module,
            known => known.kind(),
        }
    }

    /// The word after `via`, or of one of the `dialects` of `multicast`; `external` for a module.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::SelfOnly => "self",
            Self::List(_) => "list",
            Self::Dns(_) => "dns",
            Self::Multicast(_) => "multicast",
            Self::Dialect(config) => config.dialect.name(),
            Self::Epmd(_) => "epmd",
            Self::HostsFile(_) => "hosts_file",
            Self::Subnet(_) => "subnet",
            Self::File(_) => "file",
            Self::Command(_) => "command",
            Self::Http(_) => "http",
            Self::Kubernetes(_) => "kubernetes",
            Self::Ec2(_) => "ec2",
            Self::Rancher(_) => "rancher",
            Self::External(_) => "external",
        }
    }
}

impl ClusterConfig {
    /// Reads the options of a cluster, given by name: `[via: :dns, dns_name: "myapp.internal"]` in any of
    /// the forms that `docs/options.md` lists.
    ///
    /// # Errors
    /// [`ConfigError`] with every problem at once.
    pub fn from_value(options: &Value) -> Result<Self, ConfigError> {
        Self::from_layers(vec![Layer::from_value(options)])
    }

    /// Reads the options of a cluster from several sources, the one that counts most first. The first that
    /// names providers decides which there are; of each option the first value counts.
    ///
    /// # Errors
    /// [`ConfigError`] with every problem at once.
    pub fn from_layers(layers: Vec<Layer>) -> Result<Self, ConfigError> {
        let Merged {
            chosen,
            mut off,
            cluster,
            place,
            mut problems,
        } = merge(layers);
        if chosen.is_empty() && problems.is_empty() && off.is_empty() {
            problems.push(Problem::Missing {
                at: place.of("via"),
                takes: via_takes(&place),
                example: "dns".into(),
            });
        }
        let mut via = Vec::with_capacity(chosen.len());
        for one in chosen {
            via.extend(provider(one, &mut problems, &mut off));
        }
        if via.len() > ProviderId::MAX {
            problems.push(Problem::Other {
                at: place.of("via"),
                message: format!(
                    "it names {} providers; a cluster has at most {}",
                    via.len(),
                    ProviderId::MAX
                ),
            });
        }
        let mut section = Section::new("the cluster", &place, CLUSTER, cluster, |_| None);
        let mut policy = policy(&mut section);
        for via in &mut via {
            if let Via::Dialect(config) = via {
                config.accept = policy.accept.clone();
            }
        }
        let mut refresh_interval = REFRESH_INTERVAL;
        match section.count_or_infinity("refresh_interval_ms") {
            Some(None) => policy.reconnect = false,
            Some(Some(millis)) => {
                refresh_interval = Duration::from_millis(millis);
                if refresh_interval > LONGEST {
                    let message = "a year is the most; infinity turns reconnection off";
                    section.problem("refresh_interval_ms", message.into());
                }
            }
            None => {}
        }
        let hidden = section.choice("connect") == Some("hidden");
        problems.extend(section.into_problems());
        ConfigError::from_problems(problems)?;
        Ok(Self {
            via,
            off,
            policy,
            hidden,
            refresh_interval,
        })
    }
}

/// What was chosen; more than one for `multicast` in several dialects.
///
/// One that needs what was given as nothing is left out, and why goes into `off`.
fn provider(chosen: Chosen, problems: &mut Vec<Problem>, off: &mut Vec<String>) -> Vec<Via> {
    let name = match chosen.kind {
        Kind::External(module) => return vec![Via::External(module)],
        Kind::Known(name) => name,
    };
    let Some(group) = PROVIDERS.iter().find(|group| group.name == name) else {
        return Vec::new();
    };
    let mut section = Section::new(
        name,
        &chosen.place,
        group.options,
        chosen.entries,
        elsewhere,
    );
    let via = match name {
        "self" => Some(Via::SelfOnly),
        "list" => Some(Via::List(ListConfig {
            nodes: section.nodes("node_list").unwrap_or_default(),
        })),
        "dns" => Some(Via::Dns(dns(&mut section))),
        "multicast" => {
            let several = multicast(&mut section);
            problems.extend(section.into_problems());
            return several;
        }
        "epmd" => Some(Via::Epmd(epmd(&mut section))),
        "hosts_file" => Some(Via::HostsFile(hosts_file(&mut section))),
        "subnet" => Some(Via::Subnet(subnet(&mut section))),
        "file" => Some(Via::File(file(&mut section))),
        "command" => Some(Via::Command(command(&mut section))),
        "http" => Some(Via::Http(http(&mut section))),
        "kubernetes" => Some(Via::Kubernetes(kubernetes(&mut section))),
        "ec2" => Some(Via::Ec2(ec2(&mut section))),
        "rancher" => Some(Via::Rancher(rancher(&mut section))),
        _ => None,
    };
    debug_assert!(
        via.is_some(),
        "{name} is in the table of options but is not read"
    );
    let turned_off = section.off();
    problems.extend(section.into_problems());
    if let Some(why) = turned_off {
        off.push(why);
        return Vec::new();
    }
    via.into_iter().collect()
}

fn dns(section: &mut Section) -> DnsConfig {
    let names = section.dns_names("dns_name").unwrap_or_default();
    let names = names
        .into_iter()
        .map(|(app_name, dns_name)| DnsName { app_name, dns_name });
    let mut config = DnsConfig::new(names);
    config.app_name = section.text("app_name");
    if let Some(words) = section.choices("record_type") {
        let record_types = words.iter().map(|word| match *word {
            "srv" => RecordType::Srv,
            _ => RecordType::Ip,
        });
        config.record_type = record_types.collect();
    }
    if section.choice("host_type") == Some("hostname") {
        config.host_type = HostType::Hostname;
    }
    config.host_template = section.text("host_template");
    config.ipv6 = section.flag("ipv6");
    set(&mut config.nameservers, section.nameservers("nameservers"));
    set(&mut config.lookup_timeout, section.span("lookup_timeout"));
    set(&mut config.interval, section.span("interval"));
    set(&mut config.keep_for, section.span("keep_for"));
    config
}

/// The options of each dialect, and its word.
const DIALECT_OPTIONS: &[(&str, &[&str])] = &[
    (
        "libcluster",
        &[
            "libcluster_group",
            "libcluster_secret",
            "libcluster_broadcast_only",
        ],
    ),
    ("peerage", &["peerage_group"]),
    ("nodefinder", &["nodefinder_group", "nodefinder_hidden"]),
    ("gossip_cluster", &["gossip_cluster_group"]),
];

fn multicast(section: &mut Section) -> Vec<Via> {
    let native = native(section);
    let words = section.choices("dialects").unwrap_or(vec!["native"]);
    for (dialect, options) in DIALECT_OPTIONS {
        for option in *options {
            if !words.contains(dialect) && section.is_given(option) {
                let message = format!("it says nothing unless {dialect} is among the dialects");
                section.problem(option, message);
            }
        }
    }
    let foreign: Vec<Dialect> = [
        Dialect::Libcluster {
            secret: section.secret("libcluster_secret"),
            broadcast_only: section.flag("libcluster_broadcast_only").unwrap_or(false),
        },
        Dialect::Peerage,
        Dialect::Nodefinder {
            hidden: section.flag("nodefinder_hidden").unwrap_or(false),
        },
        Dialect::GossipCluster,
    ]
    .into();
    let mut via = Vec::new();
    if words.contains(&"native") {
        via.push(Via::Multicast(native.clone()));
    }
    for dialect in foreign {
        let given = section.endpoints(dialect.group_option());
        if !words.contains(&dialect.name()) {
            continue;
        }
        let mut config = DialectConfig::new(dialect);
        set(&mut config.groups, given);
        config.interface.clone_from(&native.interface);
        config.ttl = native.ttl;
        via.push(Via::Dialect(config));
    }
    via
}

fn native(section: &mut Section) -> MulticastConfig {
    let mut config = MulticastConfig::default();
    set(
        &mut config.multicast_addr,
        section.addresses("multicast_addr"),
    );
    set(&mut config.port, section.count("port"));
    set(&mut config.interface, section.interfaces("interface"));
    set(&mut config.ttl, section.count("ttl"));
    config.secret = section.secret("secret");
    config.cluster = section.text("cluster");
    set(&mut config.interval, section.span("interval"));
    config
}

fn epmd(section: &mut Section) -> EpmdConfig {
    let mut config = EpmdConfig::default();
    set(&mut config.hosts, section.texts("hosts"));
    config.port = section.count("port");
    set(&mut config.interval, section.span("interval"));
    set(&mut config.keep_for, section.span("keep_for"));
    set(&mut config.timeout, section.span("timeout"));
    config
}

fn hosts_file(section: &mut Section) -> HostsFileConfig {
    let mut config = HostsFileConfig {
        hosts_file: section.path("hosts_file"),
        port: section.count("port"),
        ..HostsFileConfig::default()
    };
    set(&mut config.interval, section.span("interval"));
    set(&mut config.keep_for, section.span("keep_for"));
    set(&mut config.timeout, section.span("timeout"));
    config
}

fn subnet(section: &mut Section) -> SubnetConfig {
    let mut config = SubnetConfig::new(section.cidrs("cidr").unwrap_or_default());
    config.port = section.count("port");
    set(&mut config.interval, section.span("interval"));
    set(&mut config.keep_for, section.span("keep_for"));
    set(&mut config.timeout, section.span("timeout"));
    set(&mut config.rescan_interval, section.span("rescan_interval"));
    set(&mut config.limits.concurrency, section.count("concurrency"));
    set(&mut config.limits.rate, section.count("rate"));
    set(
        &mut config.limits.connect_timeout,
        section.span("connect_timeout"),
    );
    config
}

fn file(section: &mut Section) -> FileConfig {
    let mut config = FileConfig::new(section.path("path").unwrap_or_default());
    set(&mut config.interval, section.span("interval"));
    config
}

fn command(section: &mut Section) -> CommandConfig {
    let mut config = CommandConfig::new(section.command("command").unwrap_or_default());
    set(&mut config.interval, section.span("interval"));
    set(&mut config.keep_for, section.span("keep_for"));
    set(&mut config.timeout, section.span("timeout"));
    config
}

fn http(section: &mut Section) -> HttpConfig {
    let mut config = HttpConfig::new(section.url("url").unwrap_or_default());
    config.token = section.secret("token");
    config.header = section.secret("header");
    config.cacert = section.path("cacert");
    set(&mut config.timeout, section.span("timeout"));
    set(&mut config.interval, section.span("interval"));
    set(&mut config.keep_for, section.span("keep_for"));
    config
}

fn kubernetes(section: &mut Section) -> KubernetesConfig {
    let mut config = KubernetesConfig {
        selector: section.text("selector").unwrap_or_default(),
        namespace: section.text("namespace"),
        app_name: section.text("app_name"),
        service_name: section.text("service_name"),
        cluster_domain: section.text("cluster_domain"),
        ipv6: section.flag("ipv6"),
        kubeconfig: section.path("kubeconfig"),
        context: section.text("context"),
        service_account: section.path("service_account"),
        api_server: section.url("api_server"),
        ..KubernetesConfig::default()
    };
    config.lookup = match section.choice("lookup") {
        Some("endpoint_slices") => Lookup::EndpointSlices,
        _ => Lookup::Pods,
    };
    config.mode = match section.choice("mode") {
        Some("hostname") => Mode::Hostname,
        Some("dns") => Mode::Dns,
        _ => Mode::Ip,
    };
    set(&mut config.ready_only, section.flag("ready_only"));
    set(&mut config.timeout, section.span("timeout"));
    set(&mut config.watch_timeout, section.span("watch_timeout"));
    config
}

fn ec2(section: &mut Section) -> Ec2Config {
    let filters = |pairs: Option<Vec<(String, Vec<String>)>>| {
        let pairs = pairs.unwrap_or_default().into_iter();
        pairs
            .map(|(name, values)| Filter { name, values })
            .collect()
    };
    let mut config = Ec2Config {
        region: section.text("region"),
        tags: filters(section.pairs("tags")),
        own_tags: section.texts("own_tags").unwrap_or_default(),
        filters: filters(section.pairs("filters")),
        app_name: section.text("app_name"),
        endpoint: section.url("endpoint"),
        ..Ec2Config::default()
    };
    config.host_type = match section.choice("host_type") {
        Some("hostname") => ec2::HostType::Hostname,
        Some("public_ip") => ec2::HostType::PublicIp,
        Some("ipv6") => ec2::HostType::Ipv6,
        _ => ec2::HostType::Ip,
    };
    set(&mut config.interval, section.span("interval"));
    set(&mut config.keep_for, section.span("keep_for"));
    set(&mut config.timeout, section.span("timeout"));
    config
}

fn rancher(section: &mut Section) -> RancherConfig {
    let mut config = RancherConfig {
        service: section.text("service"),
        stack: section.text("stack"),
        app_name: section.text("app_name"),
        ..RancherConfig::default()
    };
    set(&mut config.endpoint, section.url("endpoint"));
    set(&mut config.interval, section.span("interval"));
    set(&mut config.keep_for, section.span("keep_for"));
    set(&mut config.timeout, section.span("timeout"));
    config
}

fn policy(section: &mut Section) -> Policy {
    let mut policy = Policy::default();
    set(
        &mut policy.accept,
        section.patterns("accept").map(Accept::from),
    );
    set(
        &mut policy.max_nodes,
        section.count_or_infinity("max_nodes"),
    );
    set(
        &mut policy.max_new_nodes,
        section.count_or_infinity("max_new_nodes"),
    );
    set(&mut policy.max_connecting, section.count("max_connecting"));
    set(&mut policy.on_removed, section.removal("on_removed"));
    let min = section.span("backoff_min").unwrap_or(policy.backoff.min());
    let max = section.span("backoff_max").unwrap_or(policy.backoff.max());
    match Backoff::new(min, max) {
        Ok(backoff) => policy.backoff = backoff,
        Err(why) => section.problem("backoff_min", why.to_string()),
    }
    set(
        &mut policy.reconnect_jitter,
        section.span("reconnect_jitter"),
    );
    set(&mut policy.stable_after, section.span("stable_after"));
    set(&mut policy.attempt_timeout, section.span("attempt_timeout"));
    policy
}

fn set<T>(field: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *field = given;
    }
}
