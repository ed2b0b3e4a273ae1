//! `via: multicast`: announcements on one host, and between hosts that lose a third of them.

use std::time::Instant;

use crate::package::{PATIENCE, erl, iex, needs_packages, start_with, wait_for_mesh};
use crate::support::{Beam, Epmd, Lan, free_tcp_port, free_udp_port};

#[test]
#[ignore = needs_packages!()]
fn five_nodes_share_one_host_and_one_port() {
    let epmd = Epmd::start();
    let environment = format!(
        "[{{via, multicast}}, {{port, {}}}, {{interface, \"127.0.0.1\"}}]",
        free_udp_port()
    );
    let mut nodes: Vec<Beam> = (1..=5)
        .map(|number| {
            let name = format!("node{number}@127.0.0.1");
            let options = if number % 2 == 0 {
                erl(&name)
            } else {
                iex(&name)
            };
            start_with(&epmd, &options, &environment)
        })
        .collect();
    let took = wait_for_mesh(&mut nodes);
    println!("multicast: five nodes whole {took:?} after the last one started");

    // One is killed: the others see it go, and see it again when it is back.
    let gone = nodes.remove(4);
    let name = gone.name.clone();
    drop(gone);
    wait_for_mesh(&mut nodes);
    nodes.push(start_with(&epmd, &iex(&name), &environment));
    let took = wait_for_mesh(&mut nodes);
    println!("multicast: whole again {took:?} after the killed node was back");
}

#[test]
#[ignore = needs_packages!()]
fn another_cookie_is_another_cluster() {
    let epmd = Epmd::start();
    let environment = format!(
        "[{{via, multicast}}, {{port, {}}}, {{interface, \"127.0.0.1\"}}]",
        free_udp_port()
    );
    let mut ours = start_with(&epmd, &erl("ours@127.0.0.1"), &environment);
    let theirs = erl("theirs@127.0.0.1").cookie("another");
    let _theirs = start_with(&epmd, &theirs, &environment);
    let also = start_with(&epmd, &erl("also@127.0.0.1"), &environment);
    // Once the second of ours is in, the stranger had its chance: it was there before.
    ours.wait_for_nodes(&[&also.name.clone()], PATIENCE);
    let atom = "try list_to_existing_atom(\"theirs@127.0.0.1\"), made catch error:badarg -> never_made end";
    assert_eq!(ours.eval(atom), "never_made");
}

#[test]
#[ignore = needs_packages!()]
fn two_hosts_that_lose_30_percent_of_what_they_send() {
    let Some(lan) = Lan::new(2, "multicast between two hosts with 30% loss") else {
        return;
    };
    if let Err(why) = lan.lose(30) {
        crate::support::skip("multicast between two hosts with 30% loss", &why);
        return;
    }
    let port = free_tcp_port();
    let epmds = [1, 2].map(|host| Epmd::start_on(port, &lan.enter(host)));
    let start = Instant::now();
    let mut nodes = [1u8, 2].map(|host| {
        let options = erl(&format!("shop@{}", lan.address(host))).within(&lan.enter(host));
        start_with(
            &epmds[usize::from(host) - 1],
            &options,
            "[{via, multicast}]",
        )
    });
    wait_for_mesh(&mut nodes);
    println!(
        "multicast: two hosts with 30% loss joined {:?} after the first was started",
        start.elapsed()
    );
}
