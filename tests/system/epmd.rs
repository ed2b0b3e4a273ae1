//! `via: epmd`: whoever is registered on a host.

use crate::package::{erl, iex, needs_packages, start_with, wait_for_mesh};
use crate::support::Epmd;

#[test]
#[ignore = needs_packages!()]
fn nodes_on_one_host_find_each_other_by_its_epmd() {
    let epmd = Epmd::start();
    let environment = "[{via, epmd}, {hosts, [\"127.0.0.1\"]}, {interval, <<\"500ms\">>}]";
    let mut nodes = [
        start_with(&epmd, &erl("red@127.0.0.1"), environment),
        start_with(&epmd, &iex("green@127.0.0.1"), environment),
        start_with(&epmd, &erl("blue@127.0.0.1"), environment),
    ];
    wait_for_mesh(&mut nodes);
}
