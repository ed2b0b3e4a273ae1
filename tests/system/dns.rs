//! `via: dns`: a real DNS server whose answers change while real nodes run.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use hickory_server::proto::op::ResponseCode;

use crate::package::{PATIENCE, erl, iex, needs_packages, start_with, wait_for_mesh};
use crate::support::dns_server::{DnsServer, Reply, Transport};
use crate::support::{Beam, Epmd, Lan, free_tcp_port};

const A: &str = "a@127.0.0.1";
const B: &str = "b@127.0.0.1";
const C: &str = "c@127.0.0.1";

/// One name a node: on one host the nodes cannot all be called alike.
fn environment(server: &DnsServer) -> String {
    format!(
        "[{{via, dns}}, {{dns_name, [{{\"a\", \"a.test.\"}}, {{\"b\", \"b.test.\"}}, {{\"c\", \"c.test.\"}}]}}, \
         {{nameservers, [\"{}\"]}}]",
        server.address()
    )
}

fn here() -> Reply {
    Reply::addresses(["127.0.0.1"])
}

/// Watches that nothing is cut for `span`.
fn stays_connected(nodes: &mut [Beam], span: Duration) {
    let start = Instant::now();
    while start.elapsed() < span {
        wait_for_mesh(nodes);
        for node in &mut *nodes {
            assert_eq!(
                node.eval("receive {nodedown, N} -> N after 0 -> none end"),
                "none"
            );
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
#[ignore = needs_packages!()]
fn a_name_appears_one_disappears_and_the_server_fails() {
    let epmd = Epmd::start();
    let server = DnsServer::start();
    server.set("a.test", here());
    server.set("b.test", here());
    let environment = environment(&server);
    let mut nodes = vec![
        start_with(&epmd, &erl(A), &environment),
        start_with(&epmd, &iex(B), &environment),
    ];
    wait_for_mesh(&mut nodes);

    // A node that looks nobody up itself is found by the others, once DNS has its name.
    nodes.push(Beam::start(&epmd, &erl(C)));
    let appeared = Instant::now();
    server.set("c.test", here());
    wait_for_mesh(&mut nodes);
    let took = appeared.elapsed();
    println!("dns: connected {took:?} after the name appeared");
    // The promise is 1.5 s: the answers' TTL of 1 s and a connect, with half a second for a busy machine.
    assert!(took < Duration::from_millis(1500), "{took:?}");

    for node in &mut nodes {
        node.eval("net_kernel:monitor_nodes(true)");
    }
    server.set("c.test", Reply::NoData);
    stays_connected(&mut nodes, Duration::from_secs(4));
    server.set("c.test", Reply::NoName);
    stays_connected(&mut nodes, Duration::from_secs(4));

    server.take_questions();
    for name in ["a.test", "b.test", "c.test"] {
        server.set(name, Reply::Error(ResponseCode::ServFail));
    }
    stays_connected(&mut nodes, Duration::from_secs(10));
    assert!(
        !server.take_questions().is_empty(),
        "it was asked meanwhile"
    );
    let errors = nodes[0]
        .eval("[maps:get(message, P, none) || P <- maps:get(providers, rendez:status(rendez))]");
    assert!(errors.contains("SERVFAIL"), "{errors}");
}

#[test]
#[ignore = needs_packages!()]
fn hosts_of_one_headless_service_with_nothing_but_its_name() {
    let Some(lan) = Lan::new(3, "dns between three hosts") else {
        return;
    };
    let machine: IpAddr = lan.machine().parse().expect("an address");
    let server = DnsServer::start_with(machine, Transport::Both);
    let addresses = [1, 2, 3].map(|host| lan.address(host));
    server.set(
        "shop.internal",
        Reply::addresses(addresses.iter().map(String::as_str)),
    );

    let port = free_tcp_port();
    let epmds = [1, 2, 3].map(|host| Epmd::start_on(port, &lan.enter(host)));
    let environment = format!(
        "[{{via, dns}}, {{dns_name, \"shop.internal\"}}, {{nameservers, [\"{}\"]}}]",
        server.address()
    );
    let mut nodes = [1u8, 2, 3].map(|host| {
        let options = erl(&format!("shop@{}", lan.address(host))).within(&lan.enter(host));
        start_with(&epmds[usize::from(host) - 1], &options, &environment)
    });
    let took = wait_for_mesh(&mut nodes);
    println!("dns: three hosts whole {took:?} after the last one started");

    // The host that vanishes from the network comes back to a cluster that still wants it.
    lan.plug(3, false);
    let [one, two, _] = &mut nodes;
    one.eval("net_kernel:disconnect(hd([N || N <- nodes(), string:find(atom_to_list(N), \".3\", trailing) =/= nomatch]))");
    two.wait_until("length(nodes()) >= 1", PATIENCE, |value| value == "true");
    lan.plug(3, true);
    wait_for_mesh(&mut nodes);
}
