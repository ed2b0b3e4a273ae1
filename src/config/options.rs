//! The table of options: the only place that knows which there are.
//!
//! What a user types, an error says, `--help` shows and `docs/options.md` lists comes from here.

use super::schema::Default::{Required, Value, Words};
use super::schema::{Group, Opt, Takes};

/// The option of every provider that is asked again and again.
const KEEP_FOR: Opt = Opt {
    name: "keep_for",
    takes: Takes::SpanOrZero,
    default: Value("30s"),
    doc: "How long a name is kept that the answers leave out. It goes after it was also missing from three complete answers in a row, and never while the source fails. 0 is for a source whose answers are always whole.",
    example: "2m",
};

/// The providers that `via` takes.
pub const PROVIDERS: &[Group] = &[
    Group {
        name: "self",
        aliases: &["Elixir.Peerage.Via.Self"],
        doc: "No one else: the node stays alone. For a first try.",
        options: &[],
    },
    Group {
        name: "list",
        aliases: &["Elixir.Peerage.Via.List"],
        doc: "The names given in the configuration.",
        options: &[Opt {
            name: "node_list",
            takes: Takes::Nodes,
            default: Required,
            doc: "The nodes of the cluster. The own name may be among them.",
            example: "myapp1@10.0.0.1,myapp2@10.0.0.2",
        }],
    },
    Group {
        name: "dns",
        aliases: &["Elixir.Peerage.Via.Dns"],
        doc: "The addresses behind DNS names, such as a headless service's.",
        options: &[
            Opt {
                name: "dns_name",
                takes: Takes::DnsNames,
                default: Required,
                doc: "The names to look up. As text, a pair is written app_name@dns_name.",
                example: "myapp.internal",
            },
            Opt {
                name: "app_name",
                takes: Takes::Text,
                default: Words("the own name's part before the @"),
                doc: "What stands before the @ of the nodes behind the names.",
                example: "myapp",
            },
            Opt {
                name: "record_type",
                takes: Takes::Choices(&["ip", "srv"]),
                default: Value("ip"),
                doc: "The records to ask for, all at once: ip is A and AAAA, srv is SRV, each of whose targets is a host.",
                example: "srv",
            },
            Opt {
                name: "host_type",
                takes: Takes::Choice(&["ip", "hostname"]),
                default: Value("ip"),
                doc: "What stands after the @ of the nodes: ip is the address, hostname is the target of an SRV record or the name that an address has (PTR).",
                example: "hostname",
            },
            Opt {
                name: "host_template",
                takes: Takes::Text,
                default: Words(
                    "what host_type says; the first label of a host name if the own node has a short name (-sname)",
                ),
                doc: "What stands after the @ of the nodes, made of what was found: {ip}, {ip-dashed} (10-1-2-3), {label} (the host name up to its first dot), {host}.",
                example: "{ip-dashed}.prod.pod.cluster.local",
            },
            Opt {
                name: "ipv6",
                takes: Takes::Flag,
                default: Words(
                    "the family of the own node's host if that is an address, otherwise both",
                ),
                doc: "Whether the nodes are named by IPv6 addresses (true: only AAAA is asked for) or by IPv4 addresses (false: only A).",
                example: "true",
            },
            Opt {
                name: "nameservers",
                takes: Takes::Nameservers,
                default: Words("the system's"),
                doc: "The name servers to ask instead of the system's.",
                example: "10.0.0.2,10.0.0.3:5353",
            },
            Opt {
                name: "lookup_timeout",
                takes: Takes::Span,
                default: Value("3s"),
                doc: "How long the lookup of one name may take, with all its retries.",
                example: "500ms",
            },
            Opt {
                name: "interval",
                takes: Takes::Span,
                default: Value("5s"),
                doc: "The longest time between two lookups. They come sooner when the answer's TTL is shorter or the cluster changes.",
                example: "10",
            },
            KEEP_FOR,
        ],
    },
    Group {
        name: "multicast",
        aliases: &["udp", "Elixir.Peerage.Via.Udp"],
        doc: "Authenticated announcements to a multicast group.",
        options: &[
            Opt {
                name: "multicast_addr",
                takes: Takes::Addresses,
                default: Value("239.255.82.68,ff12::d24e:445a"),
                doc: "The groups, IPv4 and IPv6; all are announced to and listened to.",
                example: "239.255.1.1",
            },
            Opt {
                name: "port",
                takes: Takes::Count {
                    min: 1,
                    max: 65_535,
                },
                default: Value("45911"),
                doc: "The UDP port, the same on every node.",
                example: "45900",
            },
            Opt {
                name: "interface",
                takes: Takes::Interfaces,
                default: Words(
                    "every one that is up and can multicast; the loopback alone if the own host is a loopback address",
                ),
                doc: "The network interfaces to use.",
                example: "eth0,10.0.0.7",
            },
            Opt {
                name: "ttl",
                takes: Takes::Count { min: 1, max: 255 },
                default: Value("1"),
                doc: "How many routers an announcement may pass, plus one; 1 stays on the link.",
                example: "2",
            },
            Opt {
                name: "secret",
                takes: Takes::Secret,
                default: Words("the cookie"),
                doc: "What authenticates announcements, the same on every node.",
                example: "a long random text",
            },
            Opt {
                name: "cluster",
                takes: Takes::Text,
                default: Words("a cluster without a name"),
                doc: "Keeps clusters apart that share groups, port and secret.",
                example: "shop",
            },
            Opt {
                name: "interval",
                takes: Takes::Span,
                default: Value("5s"),
                doc: "The time between two announcements of a node in a small group, from 0.1 s to 1 hour; it grows with the group.",
                example: "2s",
            },
            Opt {
                name: "dialects",
                takes: Takes::Choices(&[
                    "native",
                    "libcluster",
                    "peerage",
                    "nodefinder",
                    "gossip_cluster",
                ]),
                default: Value("native"),
                doc: "How announcements are written and read: our own way, and that of other libraries, each in a group of its own, so that a fleet can move over node by node. interface and ttl hold for all.",
                example: "native,libcluster",
            },
            Opt {
                name: "libcluster_group",
                takes: Takes::Endpoints { port: 45_892 },
                default: Words(
                    "233.252.1.32:45892, or 255.255.255.255:45892 with libcluster_broadcast_only",
                ),
                doc: "libcluster's multicast_addr and port.",
                example: "233.252.1.99:45000",
            },
            Opt {
                name: "libcluster_secret",
                takes: Takes::Secret,
                default: Words("none: its announcements are plain, and anyone can forge them"),
                doc: "libcluster's secret.",
                example: "somepassword",
            },
            Opt {
                name: "libcluster_broadcast_only",
                takes: Takes::Flag,
                default: Value("false"),
                doc: "libcluster's broadcast_only: broadcasts are sent to the address of libcluster_group instead of multicasts.",
                example: "true",
            },
            Opt {
                name: "peerage_group",
                takes: Takes::Endpoints { port: 45_900 },
                default: Value("230.1.1.1:45900"),
                doc: "Peerage's multicast_addr and port.",
                example: "230.1.1.99:45900",
            },
            Opt {
                name: "nodefinder_group",
                takes: Takes::Endpoints { port: 4475 },
                default: Value("224.0.0.1:4475"),
                doc: "nodefinder's address and port.",
                example: "239.1.1.1:4475",
            },
            Opt {
                name: "nodefinder_hidden",
                takes: Takes::Flag,
                default: Value("false"),
                doc: "Tells nodefinder's nodes to make hidden connections, and connects to those that ask for them. For nodes started with -hidden.",
                example: "true",
            },
            Opt {
                name: "gossip_cluster_group",
                takes: Takes::Endpoints { port: 8888 },
                default: Value("233.252.1.32:45892,233.252.1.0:8888"),
                doc: "GossipCluster's mcast_address and port.",
                example: "233.252.1.0:8888",
            },
        ],
    },
    Group {
        name: "epmd",
        aliases: &[],
        doc: "The nodes that are registered with EPMD on some hosts.",
        options: &[
            Opt {
                name: "hosts",
                takes: Takes::Texts,
                default: Value("localhost"),
                doc: "The names or addresses of the hosts. localhost is the own host, by the name that the own node has for it.",
                example: "localhost,10.0.0.8",
            },
            Opt {
                name: "port",
                takes: Takes::Count {
                    min: 1,
                    max: 65_535,
                },
                default: Words("ERL_EPMD_PORT, else 4369"),
                doc: "The port of EPMD on those hosts.",
                example: "4369",
            },
            Opt {
                name: "interval",
                takes: Takes::Span,
                default: Value("5s"),
                doc: "The longest time between two looks.",
                example: "10",
            },
            KEEP_FOR,
            Opt {
                name: "timeout",
                takes: Takes::Span,
                default: Value("2s"),
                doc: "How long a host may take to answer one question.",
                example: "500ms",
            },
        ],
    },
    Group {
        name: "hosts_file",
        aliases: &[],
        doc: "The nodes on the hosts that a file like OTP's .hosts.erlang names, and those that it names itself.",
        options: &[
            Opt {
                name: "hosts_file",
                takes: Takes::Path,
                default: Words(
                    ".hosts.erlang in the working directory, the home directory or OTP's, the first that there is",
                ),
                doc: "The file: quoted names of hosts or nodes, a full stop after each. It is read again when it changes.",
                example: "/etc/rendez/hosts.erlang",
            },
            Opt {
                name: "port",
                takes: Takes::Count {
                    min: 1,
                    max: 65_535,
                },
                default: Words("ERL_EPMD_PORT, else 4369"),
                doc: "The port of EPMD on those hosts.",
                example: "4369",
            },
            Opt {
                name: "interval",
                takes: Takes::Span,
                default: Value("5s"),
                doc: "The longest time between two looks, at the file and at the hosts.",
                example: "10",
            },
            KEEP_FOR,
            Opt {
                name: "timeout",
                takes: Takes::Span,
                default: Value("2s"),
                doc: "How long a host may take to answer one question.",
                example: "500ms",
            },
        ],
    },
    Group {
        name: "subnet",
        aliases: &[],
        doc: "The nodes that are registered with EPMD on any host of some networks.",
        options: &[
            Opt {
                name: "cidr",
                takes: Takes::Cidrs,
                default: Required,
                doc: "The networks, together at most 65536 addresses.",
                example: "10.0.0.0/24",
            },
            Opt {
                name: "port",
                takes: Takes::Count {
                    min: 1,
                    max: 65_535,
                },
                default: Words("ERL_EPMD_PORT, else 4369"),
                doc: "The port of EPMD on those hosts.",
                example: "4369",
            },
            Opt {
                name: "interval",
                takes: Takes::Span,
                default: Value("5s"),
                doc: "The time between two looks at the hosts that were found.",
                example: "10",
            },
            KEEP_FOR,
            Opt {
                name: "timeout",
                takes: Takes::Span,
                default: Value("2s"),
                doc: "How long EPMD on such a host may take to answer one question.",
                example: "500ms",
            },
            Opt {
                name: "rescan_interval",
                takes: Takes::Span,
                default: Value("10m"),
                doc: "The time between the end of a scan of the whole range and the next.",
                example: "1h",
            },
            Opt {
                name: "concurrency",
                takes: Takes::Count {
                    min: 1,
                    max: MAX_CONNECTING,
                },
                default: Value("512"),
                doc: "How many addresses a scan tries at one time; each takes a file descriptor.",
                example: "64",
            },
            Opt {
                name: "rate",
                takes: Takes::Count {
                    min: 1,
                    max: 1_000_000,
                },
                default: Value("1500"),
                doc: "How many addresses a scan begins to try in a second.",
                example: "200",
            },
            Opt {
                name: "connect_timeout",
                takes: Takes::Span,
                default: Value("300ms"),
                doc: "How long an address may take to accept a connection.",
                example: "1s",
            },
        ],
    },
    Group {
        name: "file",
        aliases: &[],
        doc: "The names in a file.",
        options: &[
            Opt {
                name: "path",
                takes: Takes::Path,
                default: Required,
                doc: "The file: a name a line, comments after #, or a JSON array of names. It is read again when it changes.",
                example: "/etc/rendez/peers",
            },
            Opt {
                name: "interval",
                takes: Takes::Span,
                default: Value("1s"),
                doc: "The longest time between two looks at the file.",
                example: "250ms",
            },
        ],
    },
    Group {
        name: "command",
        aliases: &[],
        doc: "The names that a program prints.",
        options: &[
            Opt {
                name: "command",
                takes: Takes::Command,
                default: Required,
                doc: "The program, which prints a name a line or a JSON array of names and ends with status 0. No shell runs it.",
                example: "/usr/local/bin/peers --zone a",
            },
            Opt {
                name: "interval",
                takes: Takes::Span,
                default: Value("10s"),
                doc: "The longest time between two runs. At first and after a change they come sooner.",
                example: "30s",
            },
            KEEP_FOR,
            Opt {
                name: "timeout",
                takes: Takes::Span,
                default: Value("5s"),
                doc: "How long a run may take. Then the program is killed, with all that it started.",
                example: "20s",
            },
        ],
    },
    Group {
        name: "http",
        aliases: &[],
        doc: "The names that a URL gives. The NIF has it only where it was built with the feature http.",
        options: &[
            Opt {
                name: "url",
                takes: Takes::Url,
                default: Required,
                doc: "The URL: https or http. It gives a name a line, a JSON array of names, or a JSON object with such an array as nodes.",
                example: "https://peers.internal/myapp",
            },
            Opt {
                name: "token",
                takes: Takes::Secret,
                default: Words("none is sent"),
                doc: "A token that is sent as Authorization: Bearer, never to another server that the first redirects to.",
                example: "a long random text",
            },
            Opt {
                name: "header",
                takes: Takes::Secret,
                default: Words("none is sent"),
                doc: "A header field of the request, name and value, never sent to another server that the first redirects to.",
                example: "X-Api-Key: a long random text",
            },
            Opt {
                name: "cacert",
                takes: Takes::Path,
                default: Words("the certificate authorities of the system"),
                doc: "A PEM file of the certificate authorities to trust instead of the system's.",
                example: "/etc/rendez/ca.pem",
            },
            Opt {
                name: "timeout",
                takes: Takes::Span,
                default: Value("5s"),
                doc: "How long an answer may take, redirects and all.",
                example: "2s",
            },
            Opt {
                name: "interval",
                takes: Takes::Span,
                default: Value("5s"),
                doc: "The longest time between two questions, unless the server asks for a longer one by Retry-After.",
                example: "10",
            },
            KEEP_FOR,
        ],
    },
    Group {
        name: "kubernetes",
        aliases: &[],
        doc: "The pods of a Kubernetes cluster, or the endpoints of its services, watched through the API. The NIF has it only where it was built with the feature kubernetes.",
        options: &[
            Opt {
                name: "selector",
                takes: Takes::Text,
                default: Required,
                doc: "Which pods or EndpointSlices: a label selector, as kubectl get -l takes it.",
                example: "app=myapp",
            },
            Opt {
                name: "namespace",
                takes: Takes::Text,
                default: Words(
                    "the own one: the service account's, or that of the kubeconfig's context",
                ),
                doc: "The namespace that they are in.",
                example: "production",
            },
            Opt {
                name: "lookup",
                takes: Takes::Choice(&["pods", "endpoint_slices"]),
                default: Value("pods"),
                doc: "What is watched: pods, or the EndpointSlices of services, which have the service's labels.",
                example: "endpoint_slices",
            },
            Opt {
                name: "mode",
                takes: Takes::Choice(&["ip", "hostname", "dns"]),
                default: Value("ip"),
                doc: "What stands after the @ of the nodes: ip is the pod's address, hostname its name under a headless service (myapp-0.myapp.production.svc.cluster.local), dns the name that every pod has (10-1-2-3.production.pod.cluster.local).",
                example: "hostname",
            },
            Opt {
                name: "app_name",
                takes: Takes::Text,
                default: Words("the own name's part before the @"),
                doc: "What stands before the @ of the nodes.",
                example: "myapp",
            },
            Opt {
                name: "service_name",
                takes: Takes::Text,
                default: Words("what the API says: the pod's subdomain, or the slice's service"),
                doc: "The headless service, for the mode hostname.",
                example: "myapp-headless",
            },
            Opt {
                name: "cluster_domain",
                takes: Takes::Text,
                default: Words("the variable CLUSTER_DOMAIN, else cluster.local"),
                doc: "The domain of the Kubernetes cluster, for the modes hostname and dns.",
                example: "cluster.local",
            },
            Opt {
                name: "ready_only",
                takes: Takes::Flag,
                default: Value("true"),
                doc: "Whether only pods count that are ready. What is terminating or has ended never counts.",
                example: "false",
            },
            Opt {
                name: "ipv6",
                takes: Takes::Flag,
                default: Words(
                    "the family of the own node's host if that is an address, otherwise a pod's first address",
                ),
                doc: "Whether the nodes are named by IPv6 addresses (true) or by IPv4 addresses (false).",
                example: "true",
            },
            Opt {
                name: "kubeconfig",
                takes: Takes::Path,
                default: Words(
                    "KUBECONFIG, else ~/.kube/config if there is one, else the service account of the own pod",
                ),
                doc: "The file that says how the API is reached.",
                example: "/etc/rendez/kubeconfig",
            },
            Opt {
                name: "context",
                takes: Takes::Text,
                default: Words("the kubeconfig's current one"),
                doc: "The context within the kubeconfig.",
                example: "staging",
            },
            Opt {
                name: "service_account",
                takes: Takes::Path,
                default: Words("where Kubernetes puts it in every pod"),
                doc: "The directory with token, ca.crt and namespace; if it is given, no kubeconfig is looked for. The files are read again when they change.",
                example: "/var/run/secrets/kubernetes.io/serviceaccount",
            },
            Opt {
                name: "api_server",
                takes: Takes::Url,
                default: Words("what the kubeconfig or the pod's environment says"),
                doc: "The URL of the API server.",
                example: "https://kubernetes.default.svc",
            },
            Opt {
                name: "timeout",
                takes: Takes::Span,
                default: Value("10s"),
                doc: "How long the API server may take to connect and to answer.",
                example: "5s",
            },
            Opt {
                name: "watch_timeout",
                takes: Takes::Span,
                default: Value("290s"),
                doc: "How long a watch lasts before it is asked for anew, at most 294 s. A connection that died without a word is noticed a few seconds after this.",
                example: "60s",
            },
        ],
    },
    Group {
        name: "ec2",
        aliases: &[],
        doc: "EC2 instances by tag. The NIF has it only where it was built with the feature ec2.",
        options: &[
            Opt {
                name: "tags",
                takes: Takes::Pairs,
                default: Words("none; at least one of tags, own_tags and filters is needed"),
                doc: "Tags that the instances have, all of them; of several values of one tag any. One without a value has to be there, whatever its value. * and ? stand for any characters and for one.",
                example: "cluster=shop,beam",
            },
            Opt {
                name: "own_tags",
                takes: Takes::Texts,
                default: Words("none"),
                doc: "Names of tags of which the instances have the same value as the own instance, whatever that is. For machines that do not know what their group is called.",
                example: "aws:autoscaling:groupName",
            },
            Opt {
                name: "filters",
                takes: Takes::Pairs,
                default: Words("instance-state-name=running"),
                doc: "Filters of EC2's DescribeInstances: instance.group-name for a security group, vpc-id, availability-zone.",
                example: "instance.group-name=beam",
            },
            Opt {
                name: "region",
                takes: Takes::Text,
                default: Words(
                    "AWS_REGION, AWS_DEFAULT_REGION, that of the profile, or the own instance's, in this order",
                ),
                doc: "The region of the instances.",
                example: "eu-central-1",
            },
            Opt {
                name: "app_name",
                takes: Takes::Text,
                default: Words("the own name's part before the @"),
                doc: "What stands before the @ of the nodes.",
                example: "myapp",
            },
            Opt {
                name: "host_type",
                takes: Takes::Choice(&["ip", "hostname", "public_ip", "ipv6"]),
                default: Value("ip"),
                doc: "What stands after the @ of the nodes: ip is the private address, hostname the private DNS name (its first label among nodes with short names).",
                example: "hostname",
            },
            Opt {
                name: "endpoint",
                takes: Takes::Url,
                default: Words(
                    "AWS_ENDPOINT_URL_EC2, AWS_ENDPOINT_URL, or the region's, in this order",
                ),
                doc: "The URL of the API, for a private endpoint or a stand-in.",
                example: "https://vpce-1a2b.ec2.eu-central-1.vpce.amazonaws.com",
            },
            Opt {
                name: "interval",
                takes: Takes::Span,
                default: Value("15s"),
                doc: "The longest time between two looks. EC2 limits how often an account may ask: the larger the cluster, the longer it should be.",
                example: "1m",
            },
            KEEP_FOR,
            Opt {
                name: "timeout",
                takes: Takes::Span,
                default: Value("5s"),
                doc: "How long one request may take.",
                example: "10s",
            },
        ],
    },
    Group {
        name: "rancher",
        aliases: &[],
        doc: "The containers of a Rancher 1 service, from Rancher's metadata. The NIF has it only where it was built with the feature rancher.",
        options: &[
            Opt {
                name: "service",
                takes: Takes::Text,
                default: Words("the own container's"),
                doc: "The service whose containers are peers.",
                example: "myapp",
            },
            Opt {
                name: "stack",
                takes: Takes::Text,
                default: Words("the own container's"),
                doc: "The stack that the service is in; it needs service beside it.",
                example: "shop",
            },
            Opt {
                name: "app_name",
                takes: Takes::Text,
                default: Words("the own name's part before the @"),
                doc: "What stands before the @ of the nodes.",
                example: "myapp",
            },
            Opt {
                name: "endpoint",
                takes: Takes::Url,
                default: Value("http://rancher-metadata"),
                doc: "Where Rancher's metadata is.",
                example: "http://169.254.169.250",
            },
            Opt {
                name: "interval",
                takes: Takes::Span,
                default: Value("5s"),
                doc: "The longest time between two looks.",
                example: "10s",
            },
            KEEP_FOR,
            Opt {
                name: "timeout",
                takes: Takes::Span,
                default: Value("2s"),
                doc: "How long one request may take.",
                example: "5s",
            },
        ],
    },
];

/// The provider that a word after `via` names: its name, an alias, or its module in the package, as
/// `Elixir.Rendez.Via.HostsFile` for `hosts_file`.
#[must_use]
pub fn group_of(word: &str) -> Option<&'static Group> {
    let by_word = |word: &str| {
        PROVIDERS
            .iter()
            .find(|group| group.name == word || group.aliases.contains(&word))
    };
    match word.strip_prefix("Elixir.Rendez.Via.") {
        Some(module) => by_word(&snake_case(module)?),
        None => by_word(word),
    }
}

/// `HostsFile` as `hosts_file`; `None` for what is no name of a module's last part.
fn snake_case(module: &str) -> Option<String> {
    let mut snake = String::with_capacity(module.len() + 4);
    for (at, c) in module.chars().enumerate() {
        match c {
            'A'..='Z' => {
                if at > 0 {
                    snake.push('_');
                }
                snake.push(c.to_ascii_lowercase());
            }
            'a'..='z' | '0'..='9' if at > 0 => snake.push(c),
            _ => return None,
        }
    }
    Some(snake)
}

/// The names of the options whose values are not secret. A name that several providers use is in the list only if none of
/// these options [is secret](Takes::is_secret).
///
/// Whether an option is secret follows from the kind of value it takes, and is defined nowhere else.
pub fn public() -> impl Iterator<Item = &'static str> {
    let all = || {
        let of_providers = PROVIDERS.iter().flat_map(|group| group.options);
        of_providers.chain(CLUSTER)
    };
    let is_public = move |name| {
        all()
            .filter(|option| option.name == name)
            .all(|option| !option.takes.is_secret())
    };
    let names: std::collections::BTreeSet<_> = all().map(|option| option.name).collect();
    names.into_iter().filter(move |name| is_public(*name))
}

/// The options of the cluster, which stand beside `via`.
pub const CLUSTER: &[Opt] = &[
    Opt {
        name: "accept",
        takes: Takes::Patterns,
        default: Words("every node"),
        doc: "Which of the found nodes to connect to: those whose whole name one of the patterns matches.",
        example: "myapp-*@*,admin@10.0.0.1",
    },
    Opt {
        name: "max_nodes",
        takes: Takes::CountOrInfinity { min: 0 },
        default: Value("10000"),
        doc: "A fuse: while this many nodes are known, no further one is taken in.",
        example: "200",
    },
    Opt {
        name: "max_new_nodes",
        takes: Takes::CountOrInfinity { min: 1 },
        default: Value("1000"),
        doc: "How many nodes that were never seen before are let in each hour; ten times as many at once. Each name that is connected to stays in the atom table of the BEAM for ever, so this bounds what a source gone wild can do to it.",
        example: "5000",
    },
    Opt {
        name: "max_connecting",
        takes: Takes::Count {
            min: 0,
            max: MAX_CONNECTING,
        },
        default: Value("256"),
        doc: "The most attempts to connect that are under way at one time; with 0 nodes are found but not connected. An attempt may only wait for an answer of the DNS or of a silent host, so that a small number lets dead peers delay live ones.",
        example: "8",
    },
    Opt {
        name: "connect",
        takes: Takes::Choice(&["visible", "hidden"]),
        default: Value("visible"),
        doc: "The kind of the connections that are made: visible ones, by which nodes() and global know the peer, or hidden ones, which only nodes(hidden) shows and which join no peer's peers. For OTP's distribution.",
        example: "hidden",
    },
    Opt {
        name: "on_removed",
        takes: Takes::Removal,
        default: Value("keep"),
        doc: "What becomes of the connection to a node that no provider names any longer. keep: it stays for as long as the node lives. disconnect: after the grace the node is asked to leave, as soon as no node that stays names it, so that no other connection is harmed (docs/leaving.md). It is not connected again before a provider names it anew.",
        example: "disconnect:30s",
    },
    Opt {
        name: "refresh_interval_ms",
        takes: Takes::CountOrInfinity { min: 100 },
        default: Value("5000"),
        doc: "How often, in milliseconds, the connected nodes are compared with what the distribution says of them, so that a lost notice does no lasting harm. infinity turns reconnection off: a node whose connection was lost or could not be made is not tried again until it is sighted anew or a refresh is asked for.",
        example: "infinity",
    },
    Opt {
        name: "backoff_min",
        takes: Takes::Span,
        default: Value("100ms"),
        doc: "The shortest pause before a node that could not be connected is tried again. The longest pause doubles with every failure.",
        example: "1s",
    },
    Opt {
        name: "backoff_max",
        takes: Takes::Span,
        default: Value("30s"),
        doc: "What the pause never grows above.",
        example: "2m",
    },
    Opt {
        name: "reconnect_jitter",
        takes: Takes::SpanOrZero,
        default: Value("1s"),
        doc: "A node whose connection was lost is tried again after a random time between half of this and this. With less than a second, a node that slept may be connected to again before it has seen that its other connections are lost, and OTP's global may then cut healthy ones.",
        example: "3s",
    },
    Opt {
        name: "stable_after",
        takes: Takes::SpanOrZero,
        default: Value("5s"),
        doc: "A connection that is lost sooner than this counts as a failed attempt.",
        example: "10s",
    },
    Opt {
        name: "attempt_timeout",
        takes: Takes::Span,
        default: Value("150s"),
        doc: "After this time an attempt that has not come to its end is given up. It has to be longer than the node's net_setuptime.",
        example: "60s",
    },
];

/// No machine has more ports than this to connect from.
const MAX_CONNECTING: u64 = 65_535;
