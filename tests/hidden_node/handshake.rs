//! What real nodes agree on with the hidden node before they are connected.

use rendez::dist::{ConnectError, DialOptions, Flags, Identity, cookie, dial_for_name};
use rendez::{Node, Secret};

use crate::world::*;

/// An `erl` whose cookie is an atom of these characters, whatever locale it runs in.
fn with_cookie(own: &str, epmd: &Epmd, characters: &[u8]) -> Beam {
    let options = BeamOptions::erl(own).flags(["-start_epmd", "false"]);
    let mut beam = Beam::start(epmd, &options);
    let set = format!("erlang:set_cookie(list_to_atom({characters:?}))");
    assert_eq!(beam.eval(&set), "true");
    beam
}

#[tokio::test(flavor = "multi_thread")]
async fn any_bytes_make_a_cookie() {
    if !beam_is_installed("a cookie with characters beyond ASCII") {
        return;
    }
    let epmd = Epmd::start();
    let mut beam = with_cookie("a@127.0.0.1", &epmd, &[0xf6, b' ', 0xff, 1]);
    let a = name("a@127.0.0.1");
    let text = cookie::from_text("ö ÿ\u{1}", "the test").unwrap();
    for (own, cookie) in [
        ("text@127.0.0.1", text),
        ("bytes@127.0.0.1", Secret::new([0xf6, b' ', 0xff, 1])),
    ] {
        let node = Node::builder(own).cookie(cookie).epmd_port(epmd.port);
        let node = node.start().await.unwrap();
        node.ping(&a, PATIENCE).await.unwrap();
        node.disconnect(&a);
        beam.wait_until("nodes(hidden)", PATIENCE, |nodes| nodes == "[]");
        assert_eq!(beam.eval(&format!("net_adm:ping('{own}')")), "pong");
    }
    // The same text as UTF-8 is another cookie.
    let utf8 = Secret::new("ö ÿ\u{1}");
    let node = Node::builder("utf8@127.0.0.1")
        .cookie(utf8)
        .epmd_port(epmd.port);
    let error = node.start().await.unwrap().connect(&a).await.unwrap_err();
    assert!(matches!(error, ConnectError::Cookie { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_beam_gives_a_name_to_who_asks_for_one() {
    if !beam_is_installed("a name from a BEAM") {
        return;
    }
    let epmd = Epmd::start();
    let mut beam = erl("a@127.0.0.1", &epmd);
    let nobody = Identity::new(name("undefined@127.0.0.1"), 0, Secret::new(COOKIE));
    let options = DialOptions {
        epmd_port: epmd.port,
        ..DialOptions::default()
    };
    let asked = dial_for_name(&nobody, &name("a@127.0.0.1"), &options).await;
    let (stream, peer, named) = asked.unwrap();
    assert_eq!(named.name.host(), "127.0.0.1");
    assert!(peer.flags.contains(Flags::NAME_ME) && peer.hidden);
    beam.wait_until("nodes(hidden)", PATIENCE, |nodes| {
        nodes.trim_matches(['[', ']', '\'']) == named.name.as_str()
    });
    drop(stream);
    beam.wait_until("nodes(hidden)", PATIENCE, |nodes| nodes == "[]");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_beam_without_a_name_is_given_one() {
    if !beam_is_installed("a BEAM without a name") {
        return;
    }
    let epmd = Epmd::start();
    let node = node(RUST, &epmd).await;
    let dynamic = || {
        let options = BeamOptions::erl("undefined@127.0.0.1");
        let options = options.flags(["-start_epmd", "false"]);
        Beam::start(&epmd, &options)
    };
    let mut given = Vec::new();
    for _ in 0..2 {
        let mut beam = dynamic();
        assert_eq!(beam.eval("node()"), "nonode@nohost");
        assert_eq!(
            beam.eval("net_kernel:connect_node('rust@127.0.0.1')"),
            "true"
        );
        let own = beam.eval("node()").trim_matches('\'').to_owned();
        assert!(own.ends_with("@127.0.0.1"), "{own}");
        assert_eq!(beam.eval("nodes(hidden)"), "['rust@127.0.0.1']");
        assert_eq!(beam.eval("net_adm:ping('rust@127.0.0.1')"), "pong");
        assert_eq!(node.nodes(), [name(&own)]);
        let creation = beam.eval("erts_internal:get_creation()");
        given.push((own, creation));
        beam.kill();
        while !node.nodes().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
    // The same name, so that no other node has to learn another atom, and another creation.
    assert_eq!(given[0].0, given[1].0);
    assert_ne!(given[0].1, given[1].1);
}
