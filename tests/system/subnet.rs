//! `via: subnet`: every host of a network is asked for its EPMD.

use std::time::Instant;

use crate::package::{erl, iex, needs_packages, start_with, wait_for_mesh};
use crate::support::{Epmd, Lan, free_tcp_port};

#[test]
#[ignore = needs_packages!()]
fn three_hosts_of_one_network_and_nodes_that_come_later() {
    let Some(lan) = Lan::new(3, "a scan by nodes on three hosts") else {
        return;
    };
    let port = free_tcp_port();
    let environment = format!(
        "[{{via, subnet}}, {{cidr, \"{}/24\"}}, {{interval, <<\"500ms\">>}}, {{rescan_interval, 3}}]",
        lan.address(0)
    );
    let epmds = [1, 2].map(|host| Epmd::start_on(port, &lan.enter(host)));
    let start = Instant::now();
    let mut nodes: Vec<_> = [1u8, 2]
        .map(|host| {
            let options = erl(&format!("shop@{}", lan.address(host))).within(&lan.enter(host));
            start_with(&epmds[usize::from(host) - 1], &options, &environment)
        })
        .into();
    wait_for_mesh(&mut nodes);
    println!(
        "subnet: two hosts joined {:?} after the first was started",
        start.elapsed()
    );

    // Another node on a host that is known, and one on a host that was not there.
    let options = iex(&format!("late@{}", lan.address(2))).within(&lan.enter(2));
    nodes.push(start_with(&epmds[1], &options, &environment));
    let third = Epmd::start_on(port, &lan.enter(3));
    let options = erl(&format!("shop@{}", lan.address(3))).within(&lan.enter(3));
    // It looks for nobody itself: the others have to find it.
    nodes.push(crate::support::Beam::start(&third, &options));
    wait_for_mesh(&mut nodes);
}
