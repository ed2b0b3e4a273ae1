//! What the tests here share: nodes of both kinds, made in one line.

use std::time::Duration;

pub use rendez::Node;
use rendez::node::Builder;
use rendez::{NodeName, Secret};

pub use crate::support::{Beam, BeamOptions, Epmd, Example, Lan, beam_is_installed, free_tcp_port};

/// Far more than anything here needs on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(300);
/// The cookie of all.
pub const COOKIE: &str = "rendez-tests";
/// What most tests call the node that they are about.
pub const RUST: &str = "rust@127.0.0.1";

/// A name that a test wrote.
pub fn name(text: &str) -> NodeName {
    text.parse().expect("a node name")
}

/// A node with the cookie of all, to be registered with the test's EPMD.
pub fn builder(own: &str, epmd: &Epmd) -> Builder {
    Node::builder(own)
        .cookie(Secret::new(COOKIE))
        .epmd_port(epmd.port)
}

/// The node, started. An earlier one of its name may have ended a moment ago.
pub async fn node(own: &str, epmd: &Epmd) -> Node {
    epmd.wait_until_forgotten(own);
    builder(own, epmd).start().await.expect("the node starts")
}

/// An `erl -name NAME`, which starts no EPMD of its own.
pub fn erl(own: &str, epmd: &Epmd) -> Beam {
    let options = BeamOptions::erl(own).flags(["-start_epmd", "false"]);
    Beam::start(epmd, &options)
}

/// An `iex --name NAME`.
pub fn iex(own: &str, epmd: &Epmd) -> Beam {
    let options = BeamOptions::iex(own).flags(["-start_epmd", "false"]);
    Beam::start(epmd, &options)
}
