//! The `dns` provider against a DNS server on loopback.
#![cfg(feature = "discovery")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use hickory_server::proto::op::ResponseCode;
use rendez::NodeName;
use rendez::cluster::ProviderId;
use rendez::discovery::dns::{self, DnsConfig, DnsName, HostType, RecordType, SystemFiles};
use rendez::discovery::polling::Answer;
use rendez::discovery::{Context, Observation, Observed, SignalSender, feed};
use support::dns_server::{DnsServer, Reply, Transport};
use support::free_udp_port;
use tempfile::TempDir;
use tokio::sync::mpsc;

/// Far more than anything here takes.
const LONG: Duration = Duration::from_secs(300);

fn node_on(host: &str) -> Context {
    Context {
        own: Some(NodeName::new("shop", host).unwrap()),
        cookie: None,
    }
}

fn ipv4_node() -> Context {
    node_on("10.0.0.1")
}

/// Asks these servers and none of the machine's, whose hosts and search domains are left out too.
fn asking<N: Into<DnsName>>(
    servers: &[SocketAddr],
    names: impl IntoIterator<Item = N>,
) -> DnsConfig {
    DnsConfig {
        nameservers: servers.to_vec(),
        files: SystemFiles {
            resolv_conf: "no such file".into(),
            hosts: "no such file".into(),
        },
        ..DnsConfig::new(names.into_iter().map(Into::into))
    }
}

fn texts(nodes: &[NodeName]) -> BTreeSet<&str> {
    nodes.iter().map(NodeName::as_str).collect()
}

fn set<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeSet<&'a str> {
    names.into_iter().collect()
}

/// A lookup that is expected to be whole.
async fn whole(config: &DnsConfig, context: &Context) -> Answer {
    let answer = dns::resolve(config, context).await.unwrap();
    assert_eq!(answer.trouble, None);
    answer
}

/// The text of a lookup's failure.
async fn failure(config: &DnsConfig) -> String {
    dns::resolve(config, &ipv4_node())
        .await
        .expect_err("the lookup fails")
        .0
}

fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{text:?} does not say {part:?}");
    }
}

#[tokio::test]
async fn each_address_is_a_node_of_the_own_name() {
    let server = DnsServer::start();
    server.set("shop.test", Reply::addresses(["10.0.0.8", "10.0.0.7"]));
    server.set_ttl(7);
    let config = asking(&[server.address()], ["shop.test"]);
    let answer = whole(&config, &ipv4_node()).await;
    assert_eq!(
        texts(&answer.nodes),
        set(["shop@10.0.0.7", "shop@10.0.0.8"])
    );
    assert_eq!(answer.ttl, Some(Duration::from_secs(7)));
    let types: Vec<_> = server
        .take_questions()
        .into_iter()
        .map(|question| question.record_type)
        .collect();
    assert_eq!(
        types,
        ["A"],
        "a node with an IPv4 address has peers with IPv4 addresses"
    );
}

#[tokio::test]
async fn the_own_host_and_the_option_choose_the_family() {
    let server = DnsServer::start();
    server.set("shop.test", Reply::addresses(["10.0.0.7", "fdaa::3"]));
    let v4 = set(["shop@10.0.0.7"]);
    let v6 = set(["shop@fdaa::3"]);
    let both = set(["shop@10.0.0.7", "shop@fdaa::3"]);
    for (ipv6, host, expected) in [
        (None, "10.0.0.1", &v4),
        (None, "fdaa::1", &v6),
        (None, "a.example.org", &both),
        (Some(true), "10.0.0.1", &v6),
        (Some(false), "fdaa::1", &v4),
    ] {
        let config = DnsConfig {
            ipv6,
            ..asking(&[server.address()], ["shop.test"])
        };
        let answer = whole(&config, &node_on(host)).await;
        assert_eq!(&texts(&answer.nodes), expected, "{ipv6:?} on {host}");
    }
}

#[tokio::test]
async fn pairs_give_each_name_its_nodes_name() {
    let server = DnsServer::start();
    server.set("a.test", Reply::addresses(["10.0.0.1"]));
    server.set("b.test", Reply::addresses(["10.0.0.1", "10.0.0.2"]));
    let names: [DnsName; 3] = [
        "a.test".into(),
        ("stock", "b.test").into(),
        ("mail", "10.9.9.9").into(),
    ];
    let config = asking(&[server.address()], names);
    let answer = whole(&config, &ipv4_node()).await;
    assert_eq!(
        texts(&answer.nodes),
        set([
            "shop@10.0.0.1",
            "stock@10.0.0.1",
            "stock@10.0.0.2",
            "mail@10.9.9.9"
        ])
    );
}

#[tokio::test]
async fn a_thousand_addresses_arrive_whole_by_tcp() {
    let server = DnsServer::start();
    let addresses: Vec<IpAddr> = (0..1000u32)
        .map(|i| Ipv4Addr::from_bits(0x0a00_0000 + i).into())
        .collect();
    server.set("shop.test", Reply::Addresses(addresses.clone()));
    let config = asking(&[server.address()], ["shop.test"]);
    let answer = whole(&config, &node_on("10.255.0.1")).await;
    let expected: BTreeSet<_> = addresses.iter().map(|ip| format!("shop@{ip}")).collect();
    assert_eq!(
        texts(&answer.nodes),
        expected.iter().map(String::as_str).collect()
    );
    assert!(
        server
            .take_questions()
            .iter()
            .any(|question| question.tcp && question.record_type == "A")
    );
}

#[tokio::test]
async fn a_long_answer_without_tcp_says_what_to_open() {
    let server = DnsServer::start_with(Ipv4Addr::LOCALHOST.into(), Transport::UdpOnly);
    let addresses = (0..1000u32).map(|i| Ipv4Addr::from_bits(0x0a00_0000 + i).into());
    server.set("shop.test", Reply::Addresses(addresses.collect()));
    let config = asking(&[server.address()], ["shop.test"]);
    assert_says(
        &failure(&config).await,
        &["shop.test", &server.address().to_string(), "TCP"],
    );
}

#[tokio::test]
async fn aliases_are_followed_and_useless_addresses_left_out() {
    let server = DnsServer::start();
    server.set("alias.test", Reply::Alias("shop.test".into()));
    server.set(
        "shop.test",
        Reply::addresses([
            "10.0.0.7",
            "10.0.0.7",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "fe80::1",
            "fdaa::3",
            "::",
        ]),
    );
    let config = asking(&[server.address()], ["alias.test"]);
    let answer = whole(&config, &node_on("a.example.org")).await;
    assert_eq!(texts(&answer.nodes), set(["shop@10.0.0.7", "shop@fdaa::3"]));
}

#[tokio::test]
async fn an_empty_answer_is_nobody_and_every_failure_has_a_name_of_its_own() {
    let server = DnsServer::start();
    server.set("empty.test", Reply::NoData);
    server.set("broken.test", Reply::Error(ResponseCode::ServFail));
    server.set("refused.test", Reply::Error(ResponseCode::Refused));
    server.set("odd.test", Reply::Error(ResponseCode::NotImp));
    server.set("silent.test", Reply::Silence);
    let config = |name: &str| DnsConfig {
        lookup_timeout: match name {
            "silent.test" => Duration::from_millis(600),
            _ => LONG,
        },
        ..asking(&[server.address()], [name])
    };
    assert_eq!(
        whole(&config("empty.test"), &ipv4_node()).await.nodes,
        vec![]
    );
    let address = server.address().to_string();
    for (name, parts) in [
        ("nobody.test", ["NXDOMAIN", "dns_name"]),
        ("broken.test", ["SERVFAIL", "log"]),
        ("refused.test", ["REFUSED", "nameservers"]),
        ("odd.test", ["ot Implemented", "name server"]),
        (
            "silent.test",
            ["no answer", "within 0.6 s: check that the name server runs"],
        ),
    ] {
        let text = failure(&config(name)).await;
        assert_says(&text, &[name, &address, parts[0], parts[1]]);
    }
}

#[tokio::test]
async fn a_socket_that_says_nothing_and_a_port_where_nobody_listens_are_failures() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let closed = SocketAddr::from((Ipv4Addr::LOCALHOST, free_udp_port()));
    for server in [silent.local_addr().unwrap(), closed] {
        let config = DnsConfig {
            lookup_timeout: Duration::from_millis(500),
            ..asking(&[server], ["shop.test"])
        };
        let text = failure(&config).await;
        assert_says(
            &text,
            &["shop.test", &server.to_string(), "name server runs"],
        );
    }
}

#[tokio::test]
async fn a_lost_datagram_is_sent_again() {
    let server = DnsServer::start();
    server.set("shop.test", Reply::addresses(["10.0.0.7"]));
    server.lose(1);
    let config = asking(&[server.address()], ["shop.test"]);
    assert_eq!(whole(&config, &ipv4_node()).await.nodes.len(), 1);
    assert!(server.take_questions().len() >= 2);
}

#[tokio::test]
async fn one_good_server_of_several_is_enough() {
    for reply in [
        Reply::Error(ResponseCode::ServFail),
        Reply::Error(ResponseCode::Refused),
        Reply::Silence,
    ] {
        let bad = DnsServer::start();
        bad.set("shop.test", reply.clone());
        let good = DnsServer::start();
        good.set("shop.test", Reply::addresses(["10.0.0.7"]));
        // So that the bad one answers first.
        good.set_delay(Duration::from_millis(50));
        for servers in [
            [bad.address(), good.address()],
            [good.address(), bad.address()],
        ] {
            let answer = whole(&asking(&servers, ["shop.test"]), &ipv4_node()).await;
            assert_eq!(texts(&answer.nodes), set(["shop@10.0.0.7"]), "{reply:?}");
        }
    }
}

#[tokio::test]
async fn a_name_server_can_have_an_ipv6_address() {
    if UdpSocket::bind("[::1]:0").is_err() {
        println!("skipped: this machine has no IPv6 loopback address");
        return;
    }
    let server = DnsServer::start_with("::1".parse().unwrap(), Transport::Both);
    server.set("shop.test", Reply::addresses(["fdaa::7"]));
    let config = asking(&[server.address()], ["shop.test"]);
    let answer = whole(&config, &node_on("fdaa::1")).await;
    assert_eq!(texts(&answer.nodes), set(["shop@fdaa::7"]));
}

#[tokio::test]
async fn one_family_that_fails_does_not_hold_back_the_other() {
    let server = DnsServer::start();
    server.set("shop.test", Reply::addresses(["10.0.0.7", "fdaa::3"]));
    let config = asking(&[server.address()], ["shop.test"]);
    let context = node_on("a.example.org");
    for (reply, part) in [
        (Reply::Error(ResponseCode::ServFail), "SERVFAIL"),
        (Reply::Silence, "no answer"),
    ] {
        server.set_for("shop.test", "AAAA", reply);
        let answer = dns::resolve(&config, &context).await.unwrap();
        assert_eq!(texts(&answer.nodes), set(["shop@10.0.0.7"]));
        let trouble = answer.trouble.expect("the AAAA records are not known").0;
        assert_says(&trouble, &["AAAA records of shop.test", part]);
    }
    // Some servers deny the name where it has none of the records: RFC 4074, section 4.2.
    server.set_for("shop.test", "AAAA", Reply::NoName);
    assert_eq!(
        texts(&whole(&config, &context).await.nodes),
        set(["shop@10.0.0.7"])
    );
}

/// A folder with a resolver configuration and a hosts file.
struct Files(TempDir);

impl Files {
    fn new(resolv_conf: &str, hosts: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("resolv.conf"), resolv_conf).unwrap();
        fs::write(folder.path().join("hosts"), hosts).unwrap();
        Self(folder)
    }

    fn paths(&self) -> SystemFiles {
        SystemFiles {
            resolv_conf: self.0.path().join("resolv.conf"),
            hosts: self.0.path().join("hosts"),
        }
    }
}

#[tokio::test]
async fn search_domains_are_tried_in_their_order() {
    let server = DnsServer::start();
    server.set("shop.two.test", Reply::addresses(["10.0.0.7"]));
    server.set("shop", Reply::addresses(["10.0.0.9"]));
    let files = Files::new("search one.test two.test\n", "");
    let config = |name: &str| DnsConfig {
        files: files.paths(),
        ..asking(&[server.address()], [name])
    };
    let answer = whole(&config("shop"), &ipv4_node()).await;
    assert_eq!(texts(&answer.nodes), set(["shop@10.0.0.7"]));
    let asked: Vec<_> = server
        .take_questions()
        .into_iter()
        .map(|question| question.name)
        .collect();
    assert_eq!(asked, ["shop.one.test.", "shop.two.test."]);
    let answer = whole(&config("shop."), &ipv4_node()).await;
    assert_eq!(
        texts(&answer.nodes),
        set(["shop@10.0.0.9"]),
        "a dot at the end means: only this name"
    );
}

#[tokio::test]
async fn a_search_domain_that_fails_counts_more_than_one_that_denies() {
    let server = DnsServer::start();
    server.set("shop.one.test", Reply::Error(ResponseCode::ServFail));
    let files = Files::new("search one.test two.test\n", "");
    let config = DnsConfig {
        files: files.paths(),
        ..asking(&[server.address()], ["shop"])
    };
    assert_says(&failure(&config).await, &["SERVFAIL"]);
}

#[tokio::test]
async fn an_entry_in_the_hosts_file_does_not_hide_a_service_from_given_name_servers() {
    // As `docker compose` with `hostname: web` writes it into the container of the service web.
    let server = DnsServer::start();
    server.set("web", Reply::addresses(["10.0.0.1", "10.0.0.2"]));
    let files = Files::new("", "10.0.0.1 web\n10.0.0.9 web\n");
    let config = DnsConfig {
        files: files.paths(),
        ..asking(&[server.address()], ["web"])
    };
    let answer = whole(&config, &ipv4_node()).await;
    assert_eq!(
        texts(&answer.nodes),
        set(["shop@10.0.0.1", "shop@10.0.0.2"])
    );
    assert_eq!(answer.notices, vec![]);
}

#[tokio::test]
async fn records_under_another_name_count_and_are_told() {
    let server = DnsServer::start();
    server.set("real.test", Reply::addresses(["10.0.0.7", "fdaa::7"]));
    server.set_for(
        "real.test",
        "SRV",
        Reply::services([("web-0.test", 9100), ("web-1.test", 9100)]),
    );
    server.set("shop.test", Reply::Rewritten("real.test".into()));
    let both = node_on("a.example.org");
    let config = asking(&[server.address()], ["shop.test"]);
    let answer = whole(&config, &both).await;
    assert_eq!(texts(&answer.nodes), set(["shop@10.0.0.7", "shop@fdaa::7"]));
    let [notice] = &answer.notices[..] else {
        panic!("{:?}", answer.notices);
    };
    assert_says(&notice.text, &["shop.test", "is about real.test"]);

    let hosts = DnsConfig {
        host_type: HostType::Hostname,
        ..services(&server, "shop.test")
    };
    let answer = whole(&hosts, &both).await;
    assert_eq!(
        texts(&answer.nodes),
        set(["shop@web-0.test", "shop@web-1.test"])
    );

    // Names of addresses, and the addresses of many targets.
    server.set(
        "7.0.0.10.in-addr.arpa",
        Reply::Rewritten("names.test".into()),
    );
    server.set("names.test", Reply::names(["web-7.test"]));
    let names = DnsConfig {
        host_type: HostType::Hostname,
        ..asking(&[server.address()], ["10.0.0.7"])
    };
    let answer = whole(&names, &both).await;
    assert_eq!(texts(&answer.nodes), set(["shop@web-7.test"]));
    let targets: Vec<_> = (0..20).map(|i| format!("web-{i}.test")).collect();
    for (i, target) in targets.iter().enumerate() {
        server.set(
            &format!("r{i}.test"),
            Reply::addresses([&*format!("10.1.0.{i}")]),
        );
        server.set(target, Reply::Rewritten(format!("r{i}.test")));
    }
    server.set(
        "many.test",
        Reply::services(targets.iter().map(|target| (target.as_str(), 9100))),
    );
    let answer = whole(&services(&server, "many.test"), &ipv4_node()).await;
    assert_eq!(answer.nodes.len(), 20);
}

#[tokio::test]
async fn an_alias_that_leads_nowhere_is_a_failure() {
    let server = DnsServer::start();
    server.set("shop.test", Reply::Alias("gone.test".into()));
    let config = asking(&[server.address()], ["shop.test"]);
    assert_says(&failure(&config).await, &["shop.test", "NXDOMAIN"]);
    server.set("gone.test", Reply::Error(ResponseCode::Refused));
    assert_says(&failure(&config).await, &["shop.test", "REFUSED"]);
}

#[tokio::test]
async fn an_ipv4_mapped_address_is_the_ipv4_address() {
    let server = DnsServer::start();
    server.set(
        "mix.test",
        Reply::addresses(["10.1.0.1", "::ffff:10.1.0.1"]),
    );
    let config = asking(&[server.address()], ["mix.test", "::ffff:10.1.0.2"]);
    let answer = whole(&config, &node_on("a.example.org")).await;
    assert_eq!(
        texts(&answer.nodes),
        set(["shop@10.1.0.1", "shop@10.1.0.2"])
    );
    let answer = whole(&config, &node_on("::ffff:10.1.0.3")).await;
    assert_eq!(
        texts(&answer.nodes),
        set(["shop@10.1.0.1", "shop@10.1.0.2"])
    );
}

#[tokio::test]
async fn of_several_names_of_an_address_the_one_that_fits_is_taken_and_told() {
    let server = DnsServer::start();
    server.set("web.test", Reply::addresses(["10.244.0.6", "10.244.0.7"]));
    for (last, names) in [
        (6, ["10-244-0-6.web.svc.test", "web-0.web-nodes.svc.test"]),
        (7, ["web-1.admin.svc.test", "web-1.web-nodes.svc.test"]),
    ] {
        let reverse = format!("{last}.0.244.10.in-addr.arpa");
        server.set(&reverse, Reply::names(names));
    }
    let config = DnsConfig {
        host_type: HostType::Hostname,
        ..asking(&[server.address()], ["web.test"])
    };
    let own = node_on("web-2.web-nodes.svc.test");
    let answer = whole(&config, &own).await;
    assert_eq!(
        texts(&answer.nodes),
        set([
            "shop@web-0.web-nodes.svc.test",
            "shop@web-1.web-nodes.svc.test"
        ])
    );
    let [notice] = &answer.notices[..] else {
        panic!("{:?}", answer.notices);
    };
    assert_says(
        &notice.text,
        &[
            "10.244.0.6",
            "10-244-0-6.web.svc.test",
            "1 other addresses have",
        ],
    );
}

#[tokio::test]
async fn a_node_with_a_short_name_has_peers_with_short_names() {
    let server = DnsServer::start();
    server.set(
        "_app._tcp.nodes.test",
        Reply::services([("web-0.nodes.test", 9100), ("WEB-0.nodes.test", 9100)]),
    );
    let config = DnsConfig {
        host_type: HostType::Hostname,
        ..services(&server, "_app._tcp.nodes.test")
    };
    let answer = whole(&config, &node_on("web-1")).await;
    assert_eq!(texts(&answer.nodes), set(["shop@web-0"]));
    assert_eq!(ports(&answer), [("shop@web-0".to_owned(), 9100)].into());
    let answer = whole(&config, &node_on("web-1.nodes.test")).await;
    assert_eq!(texts(&answer.nodes), set(["shop@web-0.nodes.test"]));
}

#[tokio::test]
async fn a_template_says_what_stands_after_the_at() {
    let server = DnsServer::start();
    server.set("shop.test", Reply::addresses(["10.1.2.3", "fdaa::3"]));
    server.set("srv.test", Reply::services([("web-0.nodes.test", 9100)]));
    server.set("web-0.nodes.test", Reply::addresses(["10.1.2.4"]));
    let addresses = asking(&[server.address()], ["shop.test"]);
    let services = services(&server, "srv.test");
    for (config, template, expected) in [
        (
            &addresses,
            "{ip-dashed}.prod.pod.cluster.local",
            &["shop@10-1-2-3.prod.pod.cluster.local"][..],
        ),
        (
            &services,
            "{label}-{ip-dashed}.example.org",
            &["shop@web-0-10-1-2-4.example.org"],
        ),
        (&services, "{host}", &["shop@web-0.nodes.test"]),
    ] {
        let config = DnsConfig {
            host_template: Some(template.into()),
            ..config.clone()
        };
        let answer = whole(&config, &ipv4_node()).await;
        assert_eq!(texts(&answer.nodes), set(expected.iter().copied()));
    }
}

#[tokio::test]
async fn localhost_needs_neither_a_server_nor_a_hosts_file() {
    // As in Peerage's smallest example, with the machine's own files and without.
    let context = node_on("127.0.0.1");
    let system = DnsConfig::new(["localhost".into()]);
    let bare = asking(&["127.0.0.1:9".parse().unwrap()], ["localhost"]);
    for config in [system, bare] {
        let answer = whole(&config, &context).await;
        assert_eq!(texts(&answer.nodes), set(["shop@127.0.0.1"]));
    }
}

/// Services instead of addresses.
fn services(server: &DnsServer, name: &str) -> DnsConfig {
    DnsConfig {
        record_type: vec![RecordType::Srv],
        ..asking(&[server.address()], [name])
    }
}

fn ports(answer: &Answer) -> BTreeSet<(String, u16)> {
    let ports = answer.ports.iter();
    ports
        .map(|(node, port)| (node.to_string(), *port))
        .collect()
}

fn asked(server: &DnsServer, record_type: &str) -> BTreeSet<String> {
    let questions = server.take_questions().into_iter();
    let of_type = questions.filter(|question| question.record_type == record_type);
    of_type.map(|question| question.name).collect()
}

#[tokio::test]
async fn the_targets_of_services_are_host_names_or_resolved() {
    let server = DnsServer::start();
    server.set(
        "_erl._tcp.shop.test",
        Reply::services([("shop-0.shop.test", 9100), ("shop-1.shop.test", 4369)]),
    );
    server.set(
        "shop-0.shop.test",
        Reply::addresses(["10.0.0.7", "fdaa::7"]),
    );
    server.set(
        "shop-1.shop.test",
        Reply::addresses(["10.0.0.8", "fdaa::8"]),
    );
    let names = DnsConfig {
        host_type: HostType::Hostname,
        ..services(&server, "_erl._tcp.shop.test")
    };
    let answer = whole(&names, &ipv4_node()).await;
    assert_eq!(
        texts(&answer.nodes),
        set(["shop@shop-0.shop.test", "shop@shop-1.shop.test"])
    );
    // EPMD's port says nothing about the node's.
    assert_eq!(
        ports(&answer),
        [("shop@shop-0.shop.test".to_owned(), 9100)].into()
    );
    assert_eq!(server.take_questions().len(), 1, "nothing but the services");

    let addresses = services(&server, "_erl._tcp.shop.test");
    let answer = whole(&addresses, &ipv4_node()).await;
    assert_eq!(
        texts(&answer.nodes),
        set(["shop@10.0.0.7", "shop@10.0.0.8"])
    );
    assert_eq!(ports(&answer), [("shop@10.0.0.7".to_owned(), 9100)].into());
    let answer = whole(&addresses, &node_on("fdaa::1")).await;
    assert_eq!(texts(&answer.nodes), set(["shop@fdaa::7", "shop@fdaa::8"]));
    assert_eq!(ports(&answer), [("shop@fdaa::7".to_owned(), 9100)].into());
}

#[tokio::test]
async fn addresses_that_come_along_are_not_asked_for() {
    let server = DnsServer::start();
    server.add_addresses();
    server.set(
        "shop.test",
        Reply::services([("a.test", 1), ("b.test", 2), ("c.test", 3)]),
    );
    server.set("a.test", Reply::addresses(["10.0.0.1", "10.0.0.11"]));
    server.set("b.test", Reply::addresses(["10.0.0.2", "fdaa::2"]));
    // An alias is not added, so this one has to be asked for.
    server.set("c.test", Reply::Alias("d.test".into()));
    server.set("d.test", Reply::addresses(["10.0.0.3"]));
    let answer = whole(&services(&server, "shop.test"), &ipv4_node()).await;
    assert_eq!(
        texts(&answer.nodes),
        set([
            "shop@10.0.0.1",
            "shop@10.0.0.11",
            "shop@10.0.0.2",
            "shop@10.0.0.3"
        ])
    );
    assert_eq!(asked(&server, "A"), ["c.test.".to_owned()].into());
}

#[tokio::test]
async fn an_alias_of_services_is_followed() {
    let server = DnsServer::start();
    server.set("alias.test", Reply::Alias("shop.test".into()));
    server.set("shop.test", Reply::services([("a.test", 1), ("b.test", 2)]));
    let config = DnsConfig {
        host_type: HostType::Hostname,
        ..services(&server, "alias.test")
    };
    let answer = whole(&config, &ipv4_node()).await;
    assert_eq!(texts(&answer.nodes), set(["shop@a.test", "shop@b.test"]));
}

#[tokio::test]
async fn no_service_is_nobody_and_two_ports_for_one_node_are_none() {
    let server = DnsServer::start();
    server.set("none.test", Reply::services([(".", 0)]));
    server.set("empty.test", Reply::addresses(["10.0.0.1"]));
    for name in ["none.test", "empty.test"] {
        let answer = whole(&services(&server, name), &ipv4_node()).await;
        assert_eq!(answer.nodes, vec![], "{name}");
    }
    server.set(
        "two.test",
        Reply::services([("a.test", 1), ("a.test", 2), ("b.test", 0)]),
    );
    let config = DnsConfig {
        host_type: HostType::Hostname,
        ..services(&server, "two.test")
    };
    let answer = whole(&config, &ipv4_node()).await;
    assert_eq!(texts(&answer.nodes), set(["shop@a.test", "shop@b.test"]));
    assert_eq!(ports(&answer), [].into());
}

#[tokio::test]
async fn several_types_of_record_are_asked_for_at_once() {
    let server = DnsServer::start();
    server.set_for("shop.test", "A", Reply::addresses(["10.0.0.1"]));
    server.set_for("shop.test", "SRV", Reply::services([("b.test", 9100)]));
    server.set("b.test", Reply::addresses(["10.0.0.2"]));
    server.set_delay(Duration::from_millis(50));
    let config = DnsConfig {
        record_type: vec![RecordType::Srv, RecordType::Ip],
        ..asking(&[server.address()], ["shop.test"])
    };
    let both = set(["shop@10.0.0.1", "shop@10.0.0.2"]);
    assert_eq!(texts(&whole(&config, &ipv4_node()).await.nodes), both);
    assert_eq!(server.most_at_once(), 2);
    // What one type has shows that the name exists, whatever the server says about the other.
    server.set_for("shop.test", "SRV", Reply::NoName);
    let answer = whole(&config, &ipv4_node()).await;
    assert_eq!(texts(&answer.nodes), set(["shop@10.0.0.1"]));
    server.set_for("shop.test", "A", Reply::NoName);
    assert_says(&failure(&config).await, &["shop.test", "NXDOMAIN"]);
    // An address stands for itself and has no services.
    let config = DnsConfig {
        record_type: vec![RecordType::Srv, RecordType::Ip],
        ..asking(&[server.address()], ["10.0.0.9"])
    };
    let answer = whole(&config, &ipv4_node()).await;
    assert_eq!(texts(&answer.nodes), set(["shop@10.0.0.9"]));
}

#[tokio::test]
async fn addresses_are_looked_up_the_other_way_round() {
    let server = DnsServer::start();
    server.set("shop.test", Reply::addresses(["10.0.0.7", "10.0.0.8"]));
    server.set(
        "7.0.0.10.in-addr.arpa",
        Reply::names(["shop-0.shop.test", "other.test"]),
    );
    server.set(
        "8.0.0.10.in-addr.arpa",
        Reply::Alias("8.cut.0.0.10.in-addr.arpa".into()),
    );
    server.set(
        "8.cut.0.0.10.in-addr.arpa",
        Reply::names(["shop-1.shop.test"]),
    );
    server.set(
        "9.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.a.a.d.f.ip6.arpa",
        Reply::names(["six.test"]),
    );
    let files = Files::new("", "10.0.0.9 from-the-file.test\n");
    let config = |names: &[&str]| DnsConfig {
        host_type: HostType::Hostname,
        files: files.paths(),
        ..asking(&[server.address()], names.iter().copied())
    };
    let answer = whole(&config(&["shop.test"]), &ipv4_node()).await;
    assert_eq!(
        texts(&answer.nodes),
        set(["shop@shop-0.shop.test", "shop@shop-1.shop.test"])
    );
    let answer = whole(&config(&["10.0.0.9", "fdaa::9"]), &ipv4_node()).await;
    assert_eq!(
        texts(&answer.nodes),
        set(["shop@from-the-file.test", "shop@six.test"])
    );
    // An address without a name is told, and the others count.
    server.set("8.0.0.10.in-addr.arpa", Reply::NoName);
    let answer = dns::resolve(&config(&["shop.test"]), &ipv4_node())
        .await
        .unwrap();
    assert_eq!(texts(&answer.nodes), set(["shop@shop-0.shop.test"]));
    assert_says(
        &answer.trouble.expect("one has no name").0,
        &["shop.test", "10.0.0.8", "8.0.0.10.in-addr.arpa", "NXDOMAIN"],
    );
}

/// A name with a thousand services.
fn thousand(server: &DnsServer) -> BTreeSet<String> {
    let targets: Vec<_> = (0..1000).map(|i| (format!("n{i}.test"), 9100)).collect();
    for (i, (target, _)) in (0u32..).zip(&targets) {
        let address = Ipv4Addr::from_bits(0x0a00_0000 + i);
        server.set(target, Reply::Addresses(vec![address.into()]));
    }
    server.set("shop.test", Reply::Services(targets));
    (0..1000u32)
        .map(|i| format!("shop@{}", Ipv4Addr::from_bits(0x0a00_0000 + i)))
        .collect()
}

#[tokio::test]
async fn a_thousand_targets_are_resolved_side_by_side() {
    let server = DnsServer::start();
    let expected = thousand(&server);
    let delay = Duration::from_millis(300);
    server.set_delay(delay);
    let config = DnsConfig {
        lookup_timeout: LONG,
        ..services(&server, "shop.test")
    };
    let start = Instant::now();
    let answer = whole(&config, &node_on("10.255.0.1")).await;
    let took = start.elapsed();
    assert_eq!(
        texts(&answer.nodes),
        expected.iter().map(String::as_str).collect()
    );
    assert_eq!(answer.ports.len(), 1000);
    println!(
        "{took:?} with a delay of {delay:?} for each answer; {} questions at once",
        server.most_at_once()
    );
    // One after the other that would be 1. On a busy machine the first answers come before the last questions.
    assert!(server.most_at_once() > 100, "{}", server.most_at_once());
}

#[tokio::test]
async fn a_thousand_targets_are_found_although_datagrams_are_lost_and_a_server_is_dead() {
    let dead = UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = DnsServer::start();
    let expected = thousand(&server);
    server.set("n7.test", Reply::Alias("elsewhere.test".into()));
    server.set("elsewhere.test", Reply::addresses(["10.0.0.7"]));
    server.lose_of(100, "A");
    let config = DnsConfig {
        nameservers: vec![dead.local_addr().unwrap(), server.address()],
        lookup_timeout: LONG,
        ..services(&server, "shop.test")
    };
    let answer = whole(&config, &node_on("10.255.0.1")).await;
    assert_eq!(
        texts(&answer.nodes),
        expected.iter().map(String::as_str).collect()
    );
}

#[tokio::test]
async fn targets_are_asked_for_again_when_their_time_is_over_and_kept_when_they_fail() {
    let server = DnsServer::start();
    server.set(
        "shop.test",
        Reply::services([("a.test", 9100), ("b.test", 9100)]),
    );
    server.set("a.test", Reply::addresses(["10.0.0.1"]));
    server.set("b.test", Reply::addresses(["10.0.0.2"]));
    let config = DnsConfig {
        interval: Duration::from_secs(1),
        ..services(&server, "shop.test")
    };
    let mut running = Running::start(&config);
    match running.next().await {
        Observation::Ports(ports) => assert_eq!(ports.len(), 2),
        other => panic!("the ports come before the nodes: {other:?}"),
    }
    running.until(&["shop@10.0.0.1", "shop@10.0.0.2"]).await;
    server.set("a.test", Reply::addresses(["10.0.0.3"]));
    running.until(&["shop@10.0.0.2", "shop@10.0.0.3"]).await;
    for reply in [Reply::Error(ResponseCode::ServFail), Reply::NoName] {
        server.set("b.test", reply);
        server.set("a.test", Reply::addresses(["10.0.0.4"]));
        running.until(&["shop@10.0.0.2", "shop@10.0.0.4"]).await;
        loop {
            match running.next().await {
                Observation::Failed(text) => {
                    assert_says(&text, &["shop.test leads to 1", "b.test"]);
                    break;
                }
                Observation::Snapshot(names) => {
                    assert!(texts(&names).contains("shop@10.0.0.2"), "{names:?}");
                }
                Observation::Ports(_) => {}
                other => panic!("{other:?}"),
            }
        }
        server.set("a.test", Reply::addresses(["10.0.0.3"]));
        running.until(&["shop@10.0.0.2", "shop@10.0.0.3"]).await;
    }
    // No longer a target, it is gone.
    server.set("shop.test", Reply::services([("a.test", 9100)]));
    running.until(&["shop@10.0.0.3"]).await;
}

#[tokio::test]
async fn a_server_from_before_edns_is_asked_without_it() {
    let server = DnsServer::start();
    server.refuse_edns();
    thousand(&server);
    server.set("plain.test", Reply::addresses(["10.0.0.7"]));
    let config = asking(&[server.address()], ["plain.test"]);
    let answer = whole(&config, &ipv4_node()).await;
    assert_eq!(texts(&answer.nodes), set(["shop@10.0.0.7"]));
    let answer = whole(&services(&server, "shop.test"), &ipv4_node()).await;
    assert_eq!(answer.nodes.len(), 1000);
}

#[tokio::test]
async fn use_vc_asks_by_tcp_from_the_start() {
    let server = DnsServer::start();
    thousand(&server);
    let files = Files::new("options ndots:2 use-vc\n", "");
    let config = DnsConfig {
        files: files.paths(),
        lookup_timeout: LONG,
        ..services(&server, "shop.test.")
    };
    let answer = whole(&config, &ipv4_node()).await;
    assert_eq!(answer.nodes.len(), 1000);
    assert!(server.take_questions().iter().all(|question| question.tcp));
}

/// The provider at work.
struct Running {
    observed: mpsc::Receiver<Observed>,
    signals: SignalSender,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    fn start(config: &DnsConfig) -> Self {
        let provider = dns::provider(config, &ipv4_node()).unwrap();
        assert_eq!(provider.kind(), "dns");
        let (sender, observed) = mpsc::channel(256);
        let signals = SignalSender::new();
        let feed = feed(ProviderId::new(0).unwrap(), sender, &signals);
        Self {
            observed,
            signals,
            task: tokio::spawn(provider.run(feed)),
        }
    }

    async fn next(&mut self) -> Observation {
        tokio::time::timeout(LONG, self.observed.recv())
            .await
            .expect("the provider says something")
            .expect("the provider runs")
            .observation
    }

    /// Waits for a snapshot of exactly these nodes. Returns what was said before it.
    async fn until(&mut self, nodes: &[&str]) -> Vec<Observation> {
        let mut before = Vec::new();
        let deadline = Instant::now() + LONG;
        loop {
            assert!(
                Instant::now() < deadline,
                "no snapshot {nodes:?}: {before:?}"
            );
            match self.next().await {
                Observation::Snapshot(names) if texts(&names) == set(nodes.iter().copied()) => {
                    return before;
                }
                other => before.push(other),
            }
        }
    }
}

#[tokio::test]
async fn names_that_come_and_go_are_seen_while_their_time_to_live_is_short() {
    let server = DnsServer::start();
    server.set("shop.test", Reply::addresses(["10.0.0.7"]));
    let config = DnsConfig {
        // Much longer than this test waits: what is seen is seen because of the time to live.
        interval: Duration::from_secs(3600),
        ..asking(&[server.address()], ["shop.test"])
    };
    let mut running = Running::start(&config);
    running.until(&["shop@10.0.0.7"]).await;
    // Until the pace is the steady one.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let changed = Instant::now();
    server.set("shop.test", Reply::addresses(["10.0.0.7", "10.0.0.8"]));
    running.until(&["shop@10.0.0.7", "shop@10.0.0.8"]).await;
    println!("seen after {:?}", changed.elapsed());
    server.set("shop.test", Reply::addresses(["10.0.0.8"]));
    running.until(&["shop@10.0.0.8"]).await;
    running.signals.stop();
    running.task.await.unwrap();
}

#[tokio::test]
async fn a_forming_cluster_looks_before_the_time_to_live_is_over() {
    let server = DnsServer::start();
    server.set_ttl(3600);
    server.set("shop.test", Reply::addresses(["10.0.0.7"]));
    let config = DnsConfig {
        interval: Duration::from_secs(3600),
        ..asking(&[server.address()], ["shop.test"])
    };
    let mut running = Running::start(&config);
    running.until(&["shop@10.0.0.7"]).await;
    server.set("shop.test", Reply::addresses(["10.0.0.7", "10.0.0.8"]));
    running.until(&["shop@10.0.0.7", "shop@10.0.0.8"]).await;
}

#[tokio::test]
async fn a_server_that_fails_for_a_while_removes_nothing() {
    let server = DnsServer::start();
    let here = || Reply::addresses(["10.0.0.7", "10.0.0.8"]);
    server.set("shop.test", here());
    let config = DnsConfig {
        interval: Duration::from_secs(1),
        lookup_timeout: Duration::from_secs(2),
        ..asking(&[server.address()], ["shop.test"])
    };
    let nodes = ["shop@10.0.0.7", "shop@10.0.0.8"];
    let mut running = Running::start(&config);
    running.until(&nodes).await;
    for reply in [
        Reply::Error(ResponseCode::ServFail),
        Reply::Error(ResponseCode::Refused),
        Reply::NoName,
        Reply::Silence,
    ] {
        server.set("shop.test", reply.clone());
        // Until the failure is told, there may be further answers from before it, but no other.
        let mut failures = 0;
        while failures < 2 {
            match running.next().await {
                Observation::Failed(_) => failures += 1,
                Observation::Snapshot(names) => {
                    assert_eq!(texts(&names), set(nodes), "{reply:?}");
                    assert_eq!(failures, 0, "{reply:?}: an answer in the midst of failures");
                }
                other => panic!("{other:?}"),
            }
        }
        server.set("shop.test", here());
        for said in running.until(&nodes).await {
            assert!(
                matches!(said, Observation::Failed(_)),
                "{reply:?}: {said:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_name_that_fails_keeps_its_nodes_while_the_others_change() {
    let server = DnsServer::start();
    server.set("a.test", Reply::addresses(["10.0.0.1"]));
    server.set("b.test", Reply::addresses(["10.0.0.2"]));
    let config = DnsConfig {
        interval: Duration::from_secs(1),
        ..asking(&[server.address()], ["a.test", "b.test"])
    };
    let mut running = Running::start(&config);
    running.until(&["shop@10.0.0.1", "shop@10.0.0.2"]).await;
    for (reply, part) in [
        (Reply::Error(ResponseCode::ServFail), "SERVFAIL"),
        (Reply::Silence, "no answer"),
    ] {
        server.set("b.test", reply);
        server.set("a.test", Reply::addresses(["10.0.0.1", "10.0.0.3"]));
        running
            .until(&["shop@10.0.0.1", "shop@10.0.0.2", "shop@10.0.0.3"])
            .await;
        let deadline = Instant::now() + LONG;
        loop {
            assert!(Instant::now() < deadline, "{part:?} is not told");
            match running.next().await {
                Observation::Failed(text) => {
                    assert_says(&text, &["b.test"]);
                    assert!(!text.contains("a.test"), "{text:?}");
                    // What was told before can be the failure of the round before.
                    if text.contains(part) {
                        break;
                    }
                }
                Observation::Snapshot(names) => {
                    assert!(texts(&names).contains("shop@10.0.0.2"), "{names:?}");
                }
                other => panic!("{other:?}"),
            }
        }
        server.set("a.test", Reply::addresses(["10.0.0.1"]));
        running.until(&["shop@10.0.0.1", "shop@10.0.0.2"]).await;
    }
    server.set("b.test", Reply::NoData);
    running.until(&["shop@10.0.0.1"]).await;
}

#[tokio::test]
async fn a_name_that_has_been_found_is_not_taken_over_by_another_search_domain() {
    let server = DnsServer::start();
    server.set("shop.one.test", Reply::addresses(["10.0.0.1"]));
    server.set("shop.two.test", Reply::addresses(["10.0.0.2"]));
    let files = Files::new("search one.test two.test\n", "");
    let config = DnsConfig {
        files: files.paths(),
        ..asking(&[server.address()], ["shop"])
    };
    let mut running = Running::start(&config);
    running.until(&["shop@10.0.0.1"]).await;
    server.set("shop.one.test", Reply::Error(ResponseCode::ServFail));
    loop {
        match running.next().await {
            Observation::Failed(text) => break assert_says(&text, &["SERVFAIL"]),
            Observation::Snapshot(names) => assert_eq!(texts(&names), set(["shop@10.0.0.1"])),
            other => panic!("{other:?}"),
        }
    }
    // Gone for good, the next one counts.
    server.set("shop.one.test", Reply::NoName);
    running.until(&["shop@10.0.0.2"]).await;
}

#[tokio::test]
async fn a_slow_name_does_not_hold_back_the_others() {
    let server = DnsServer::start();
    server.set("slow.test", Reply::Silence);
    server.set("quick.test", Reply::addresses(["10.0.0.1"]));
    let config = DnsConfig {
        lookup_timeout: LONG * 10,
        interval: Duration::from_secs(1),
        ..asking(&[server.address()], ["slow.test", "quick.test"])
    };
    let mut running = Running::start(&config);
    running.until(&["shop@10.0.0.1"]).await;
    server.set("quick.test", Reply::addresses(["10.0.0.2"]));
    for said in running.until(&["shop@10.0.0.2"]).await {
        if let Observation::Failed(text) = said {
            assert_says(&text, &["slow.test: no answer yet"]);
        }
    }
}

#[tokio::test]
async fn a_refresh_looks_at_once() {
    let server = DnsServer::start();
    server.set_ttl(3600);
    server.set("shop.test", Reply::addresses(["10.0.0.7"]));
    let config = DnsConfig {
        interval: Duration::from_secs(3600),
        ..asking(&[server.address()], ["shop.test"])
    };
    let mut running = Running::start(&config);
    running.until(&["shop@10.0.0.7"]).await;
    // By then every wait is longer than a second.
    tokio::time::sleep(Duration::from_secs(4)).await;
    while running.observed.try_recv().is_ok() {}
    server.set("shop.test", Reply::addresses(["10.0.0.8"]));
    let asked = Instant::now();
    running.signals.refresh();
    running.until(&["shop@10.0.0.8"]).await;
    println!("looked after {:?}", asked.elapsed());
}
