//! `via: dns`: a real DNS server whose answers change while real nodes run.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use hickory_server::proto::op::ResponseCode;

use crate::package::{PATIENCE, erl, iex, needs_packages, start_with, wait_for_mesh};
use crate::support::dns_server::{DnsServer, Reply, Transport};
use crate::support::{Beam, BeamOptions, Epmd, Lan, free_tcp_port};

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
    println!(
        "dns: connected {:?} after the name appeared",
        appeared.elapsed()
    );

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

/// A folder with a file that tells OTP's resolver these hosts and nothing else.
fn hosts_of_otp(hosts: &[(&str, &str)]) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("inetrc");
    let mut text = "{lookup, [file]}.\n{file, hosts, \"/dev/null\"}.\n".to_owned();
    // Of several entries for one address the last one would count.
    let addresses: BTreeSet<_> = hosts.iter().map(|(_, address)| address).collect();
    for address in addresses {
        let names = hosts.iter().filter(|(_, other)| other == address);
        let names: Vec<_> = names.map(|(name, _)| format!("{name:?}")).collect();
        let (address, names) = (address.replace('.', ","), names.join(", "));
        text.push_str(&format!("{{host, {{{address}}}, [{names}]}}.\n"));
    }
    std::fs::write(&file, text).expect("it can be written");
    let path = file.to_str().expect("a plain path").to_owned();
    (folder, path)
}

#[test]
#[ignore = needs_packages!()]
fn stateful_hosts_by_services_and_by_the_names_of_addresses() {
    let Some(lan) = Lan::new(3, "dns: services and names between three hosts") else {
        return;
    };
    let machine: IpAddr = lan.machine().parse().expect("an address");
    let server = DnsServer::start_with(machine, Transport::Both);
    let names = ["shop-0.shop.test", "shop-1.shop.test", "shop-2.shop.test"];
    let addresses = [1, 2, 3].map(|host| lan.address(host));
    let hosts: Vec<_> = names
        .into_iter()
        .zip(addresses.iter().map(String::as_str))
        .collect();
    let (_folder, inetrc) = hosts_of_otp(&hosts);
    // Two are services; the third has an address behind the same name, and a name behind the address.
    let services = [(names[0], 4369), (names[1], 4369)];
    server.set_for("shop.test", "SRV", Reply::services(services));
    server.set_for("shop.test", "A", Reply::addresses([addresses[2].as_str()]));
    let mut parts: Vec<_> = addresses[2].split('.').collect();
    parts.reverse();
    let reverse = format!("{}.in-addr.arpa", parts.join("."));
    server.set(&reverse, Reply::names([names[2]]));

    let port = free_tcp_port();
    let epmds = [1, 2, 3].map(|host| Epmd::start_on(port, &lan.enter(host)));
    let environment = format!(
        "[{{via, dns}}, {{dns_name, \"shop.test.\"}}, {{record_type, [ip, srv]}}, {{host_type, hostname}}, \
         {{nameservers, [\"{}\"]}}]",
        server.address()
    );
    let mut nodes = [1u8, 2, 3].map(|host| {
        let index = usize::from(host) - 1;
        let options = erl(&format!("shop@{}", names[index]))
            .env("ERL_INETRC", &inetrc)
            .within(&lan.enter(host));
        start_with(&epmds[index], &options, &environment)
    });
    let took = wait_for_mesh(&mut nodes);
    println!("dns: three stateful hosts whole {took:?} after the last one started");
}

#[test]
#[ignore = needs_packages!()]
fn services_name_the_ports_of_nodes_without_epmd() {
    let names = ["one.shop.test", "two.shop.test", "three.shop.test"];
    let (_folder, inetrc) = hosts_of_otp(&names.map(|name| (name, "127.0.0.1")));
    let ports = [free_tcp_port(), free_tcp_port(), free_tcp_port()];
    let server = DnsServer::start();
    server.set(
        "_erl._tcp.shop.test",
        Reply::services(names.into_iter().zip(ports)),
    );
    let environment = format!(
        "[{{via, dns}}, {{dns_name, \"_erl._tcp.shop.test.\"}}, {{record_type, srv}}, {{host_type, hostname}}, \
         {{nameservers, [\"{}\"]}}]",
        server.address()
    );
    // Nobody listens there: three nodes called `shop` could not even register with one EPMD.
    let nobody = Epmd::elsewhere(free_tcp_port());
    let node = |index: usize, flags: bool| -> BeamOptions {
        let port = ports[index].to_string();
        let mut options = erl(&format!("shop@{}", names[index]))
            .env("ERL_INETRC", &inetrc)
            .flags(["-start_epmd", "false"])
            .flags(["-kernel", "inet_dist_listen_min", &port])
            .flags(["inet_dist_listen_max", &port]);
        if flags {
            options = options.flags(["-epmd_module", "rendez_epmd"]);
        }
        options
    };
    let mut nodes = [0, 1, 2].map(|index| start_with(&nobody, &node(index, true), &environment));
    let took = wait_for_mesh(&mut nodes);
    println!("dns: three nodes without EPMD whole {took:?} after the last one started");
    // By its number: what knows the name `localhost` is not the same everywhere, and not asked here.
    for node in &mut nodes {
        assert_eq!(node.eval("erl_epmd:names({127,0,0,1})"), "{error,address}");
    }

    // A distribution of one's own gets the port too.
    let [one, ..] = &mut nodes;
    let told = one.eval(
        "{ok, Server} = application:get_env(rendez, nameservers), \
         Self = self(), \
         Forms = [{attribute, 1, module, told_dist}, \
                  {attribute, 1, export, [{init, 1}, {members, 1}, {connect, 2}, {connect, 3}, {disconnect, 2}]}, \
                  {function, 1, init, 1, [{clause, 1, [{var, 1, '_'}], [], [{tuple, 1, [{atom, 1, ok}, {atom, 1, told}]}]}]}, \
                  {function, 1, members, 1, [{clause, 1, [{var, 1, '_'}], [], [{nil, 1}]}]}, \
                  {function, 1, connect, 2, [{clause, 1, [{var, 1, '_'}, {var, 1, '_'}], [], [{atom, 1, ok}]}]}, \
                  {function, 1, connect, 3, [{clause, 1, [{var, 1, 'N'}, {var, 1, 'I'}, {var, 1, '_'}], [], \
                      [{op, 1, '!', {atom, 1, told}, {tuple, 1, [{var, 1, 'N'}, {var, 1, 'I'}]}}, {atom, 1, ok}]}]}, \
                  {function, 1, disconnect, 2, [{clause, 1, [{var, 1, '_'}, {var, 1, '_'}], [], [{atom, 1, ok}]}]}], \
         {ok, told_dist, Beam} = compile:forms(Forms), \
         {module, told_dist} = code:load_binary(told_dist, [], Beam), \
         register(told, Self), \
         {ok, _} = rendez:start_link([{name, other}, {dist, told_dist}, \
             {via, [{dns, [{dns_name, \"_erl._tcp.shop.test.\"}, {record_type, srv}, {host_type, hostname}, \
                           {nameservers, Server}]}]}]), \
         lists:sort([receive {N, #{port := P}} -> {N, P} after 300000 -> none end || _ <- [1, 2]])",
    );
    let mut expected = [1, 2].map(|index| format!("{{'shop@{}',{}}}", names[index], ports[index]));
    expected.sort();
    assert_eq!(told, format!("[{}]", expected.join(",")));
}
