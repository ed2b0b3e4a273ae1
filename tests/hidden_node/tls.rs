//! Distribution over TLS, with nodes that were started with `-proto_dist inet_tls`.

use std::time::Duration;

use rendez::NodeName;
use rendez::dist::CloseReason;
use rendez::dist::tls::{Clients, Servers};
use rendez::dist::{ConnectError, Tls, TlsOptions};
use rendez::etf::Term;
use rendez::node::Registration;

use crate::support::authority::{DistAuthority, Papers};
use crate::world::*;

const STRICT: (&str, &str) = (
    "{verify, verify_peer}",
    "{verify, verify_peer}, {fail_if_no_peer_cert, true}",
);
const LOOSE: (&str, &str) = ("{verify, verify_none}", "{verify, verify_none}");

/// A node that speaks TLS.
fn tls_erl(
    own: &str,
    epmd: &Epmd,
    authority: &DistAuthority,
    papers: &Papers,
    (client, server): (&str, &str),
) -> Beam {
    let options = authority.options(papers, client, server);
    let options = options.to_str().expect("a path");
    let options = BeamOptions::erl(own).flags([
        "-start_epmd",
        "false",
        "-proto_dist",
        "inet_tls",
        "-ssl_dist_optfile",
        options,
        "-kernel",
        "inetrc",
        &authority.inetrc(),
    ]);
    Beam::start(epmd, &options)
}

fn trusting(authority: &DistAuthority) -> TlsOptions {
    let options = TlsOptions::new().authorities_file(authority.file());
    options.expect("an authority")
}

fn with(options: TlsOptions, papers: &Papers) -> TlsOptions {
    let options = options.certificate_files(&papers.certificate, &papers.key);
    options.expect("a certificate and its key")
}

async fn tls_node(own: &str, epmd: &Epmd, tls: TlsOptions) -> Node {
    let tls: Tls = tls.build().expect("options that go together");
    let node = builder(own, epmd).tls(tls).start().await;
    node.expect("the node starts")
}

async fn why(node: &Node, peer: &NodeName) -> (ConnectError, String) {
    let error = node.connect(peer).await.expect_err("no connection");
    let text = error.to_string();
    (error, text)
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_connect_with_certificates_that_both_check() {
    if !beam_is_installed("distribution over TLS") {
        return;
    }
    let (epmd, authority) = (Epmd::start(), DistAuthority::new("the cluster"));
    let papers = authority.papers("localhost");
    let mut beam = tls_erl("a@localhost", &epmd, &authority, &papers, STRICT);
    let a = name("a@localhost");
    let node = tls_node("rust@localhost", &epmd, with(trusting(&authority), &papers)).await;

    node.ping(&a, PATIENCE).await.unwrap();
    assert_eq!(beam.eval("nodes(hidden)"), "[rust@localhost]");
    node.disconnect(&a);
    beam.wait_until("nodes(hidden)", PATIENCE, |nodes| nodes == "[]");

    assert_eq!(beam.eval("net_adm:ping(rust@localhost)"), "pong");
    assert_eq!(node.nodes(), std::slice::from_ref(&a));
    // A node that is killed says nothing in TLS before; it is gone as one without TLS is.
    let connection = node.connect(&a).await.unwrap();
    beam.kill();
    let reason = tokio::time::timeout(PATIENCE, connection.closed()).await;
    let reason = reason.expect("the end is noticed");
    assert_eq!(reason, rendez::dist::CloseReason::ByPeer);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_messages_go_both_ways_and_small_ones_between_them() {
    if !beam_is_installed("large messages over TLS") {
        return;
    }
    let (epmd, authority) = (Epmd::start(), DistAuthority::new("the cluster"));
    let papers = authority.papers("localhost");
    let _beam = tls_erl("a@localhost", &epmd, &authority, &papers, STRICT);
    let a = name("a@localhost");
    let node = tls_node("rust@localhost", &epmd, with(trusting(&authority), &papers)).await;
    let bytes: Vec<u8> = (0..8 << 20)
        .map(|n: u32| n.to_le_bytes()[1] ^ 0x5a)
        .collect();
    let large = Term::binary(bytes);
    let calls = (0..8).map(|n| {
        let (node, a, large) = (node.clone(), a.clone(), large.clone());
        tokio::spawn(async move {
            let small = Term::from(i64::from(n));
            let whole = Term::List(vec![large, small]);
            let back = node.call(&a, "lists", "reverse", vec![whole.clone()], PATIENCE);
            let again = node.call(&a, "lists", "reverse", vec![back.await.unwrap()], PATIENCE);
            // The text of 8 MiB helps nobody.
            assert!(
                again.await.unwrap() == whole,
                "what came back is what was sent"
            );
        })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_tls_1_3_a_refused_certificate_is_told_too() {
    if !beam_is_installed("TLS 1.3") {
        return;
    }
    let (epmd, authority) = (Epmd::start(), DistAuthority::new("the cluster"));
    let papers = authority.papers("localhost");
    let versions = "{verify, verify_peer}, {versions, ['tlsv1.3']}";
    let strict = format!("{versions}, {{fail_if_no_peer_cert, true}}");
    let _beam = tls_erl(
        "a@localhost",
        &epmd,
        &authority,
        &papers,
        (versions, &strict),
    );
    let a = name("a@localhost");
    let proper = tls_node("rust@localhost", &epmd, with(trusting(&authority), &papers)).await;
    proper.ping(&a, PATIENCE).await.unwrap();
    let bare = tls_node("bare@localhost", &epmd, trusting(&authority)).await;
    let (error, text) = why(&bare, &a).await;
    assert!(matches!(error, ConnectError::TlsHandshake { .. }), "{text}");
    assert_eq!(error.reason(), "tls");
    assert!(text.contains("fail_if_no_peer_cert"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_certificate_connects_to_one_that_asks_for_none() {
    if !beam_is_installed("TLS without a certificate of one's own") {
        return;
    }
    let (epmd, authority) = (Epmd::start(), DistAuthority::new("the cluster"));
    let papers = authority.papers("localhost");
    let mut beam = tls_erl("a@localhost", &epmd, &authority, &papers, LOOSE);
    let a = name("a@localhost");
    let node = tls_node("rust@localhost", &epmd, trusting(&authority)).await;
    node.ping(&a, PATIENCE).await.unwrap();
    assert_eq!(beam.eval("nodes(hidden)"), "[rust@localhost]");

    // With one that wants a certificate it says so.
    let strict = authority.papers("localhost");
    let mut beam = tls_erl("b@localhost", &epmd, &authority, &strict, STRICT);
    let (error, text) = why(&node, &name("b@localhost")).await;
    assert!(matches!(error, ConnectError::TlsHandshake { .. }), "{text}");
    assert!(text.contains("fail_if_no_peer_cert"), "{text}");
    // And as nobody can connect to it, those who try do not wait for it.
    assert_eq!(beam.eval("net_adm:ping(rust@localhost)"), "pang");
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_do_not_fit_are_refused_with_the_cause() {
    if !beam_is_installed("TLS with certificates that do not fit") {
        return;
    }
    let epmd = Epmd::start();
    let (cluster, stranger) = (
        DistAuthority::new("the cluster"),
        DistAuthority::new("somebody else"),
    );
    let elsewhere = cluster.papers("elsewhere.example");
    let foreign = stranger.papers("localhost");
    let mut beam = tls_erl("a@localhost", &epmd, &cluster, &elsewhere, STRICT);
    let a = name("a@localhost");
    let own = cluster.papers("localhost");

    // A certificate for another host.
    let strict = tls_node("strict@localhost", &epmd, with(trusting(&cluster), &own)).await;
    let (error, text) = why(&strict, &a).await;
    assert!(matches!(error, ConnectError::TlsHandshake { .. }), "{text}");
    assert!(text.contains("elsewhere.example"), "{text}");
    // The same, where the host does not count.
    let options = with(trusting(&cluster), &own).servers(Servers::SignedForAnyHost);
    let any_host = tls_node("any@localhost", &epmd, options).await;
    any_host.ping(&a, PATIENCE).await.unwrap();

    // An authority that is not trusted here, and where nothing is verified.
    let options = with(trusting(&stranger), &own);
    let distrusting = tls_node("distrusting@localhost", &epmd, options).await;
    let (_, text) = why(&distrusting, &a).await;
    assert!(text.contains("UnknownIssuer"), "{text}");
    let options = with(TlsOptions::new(), &own)
        .servers(Servers::Unverified)
        .clients(Clients::Unverified);
    let careless = tls_node("careless@localhost", &epmd, options).await;
    careless.ping(&a, PATIENCE).await.unwrap();

    // A certificate that the BEAM does not trust, in both directions.
    let options = with(TlsOptions::new(), &foreign)
        .servers(Servers::Unverified)
        .clients(Clients::Unverified);
    let distrusted = tls_node("distrusted@localhost", &epmd, options).await;
    let (_, text) = why(&distrusted, &a).await;
    assert!(text.contains("does not trust"), "{text}");
    assert_eq!(beam.eval("net_adm:ping(distrusted@localhost)"), "pang");
    assert_eq!(beam.eval("net_adm:ping(strict@localhost)"), "pong");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_and_without_tls_do_not_meet_and_say_why() {
    if !beam_is_installed("TLS on one side only") {
        return;
    }
    let (epmd, authority) = (Epmd::start(), DistAuthority::new("the cluster"));
    let papers = authority.papers("localhost");
    let mut secure = tls_erl("secure@localhost", &epmd, &authority, &papers, LOOSE);
    let inetrc = authority.inetrc();
    let options = BeamOptions::erl("plain@localhost").flags([
        "-start_epmd",
        "false",
        "-kernel",
        "inetrc",
        &inetrc,
    ]);
    let mut plain = Beam::start(&epmd, &options);
    let node = node("rust@localhost", &epmd).await;
    let (error, text) = why(&node, &name("secure@localhost")).await;
    assert!(matches!(error, ConnectError::Tls { .. }), "{text}");
    assert_eq!(secure.eval("net_adm:ping(rust@localhost)"), "pang");
    assert_eq!(plain.eval("net_adm:ping(rust@localhost)"), "pong");

    let tls = with(trusting(&authority), &papers).build().unwrap();
    let tls_node = builder("tls@localhost", &epmd)
        .tls(tls)
        .registration(Registration::Required)
        .setup_time(std::time::Duration::from_secs(2))
        .start()
        .await
        .unwrap();
    let (_, text) = why(&tls_node, &name("plain@localhost")).await;
    assert!(text.contains("without -proto_dist inet_tls"), "{text}");
    assert_eq!(plain.eval("net_adm:ping(tls@localhost)"), "pang");
    assert_eq!(secure.eval("net_adm:ping(tls@localhost)"), "pong");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_replaced_are_read_again_while_the_node_runs() {
    if !beam_is_installed("certificates that are replaced") {
        return;
    }
    let epmd = Epmd::start();
    let (first, second) = (
        DistAuthority::new("the first"),
        DistAuthority::new("the second"),
    );
    let papers = second.papers("localhost");
    let mut beam = tls_erl("a@localhost", &epmd, &second, &papers, STRICT);
    let a = name("a@localhost");
    let own = first.papers("localhost");
    let options = with(trusting(&first), &own).reread_every(std::time::Duration::ZERO);
    let node = tls_node("rust@localhost", &epmd, options).await;
    let (_, text) = why(&node, &a).await;
    assert!(text.contains("UnknownIssuer"), "{text}");

    // Half of the new files, or a broken one, change nothing.
    std::fs::copy(&papers.certificate, &own.certificate).unwrap();
    let (_, text) = why(&node, &a).await;
    assert!(text.contains("UnknownIssuer"), "{text}");
    std::fs::write(first.file(), "not a certificate").unwrap();
    let (_, text) = why(&node, &a).await;
    assert!(text.contains("UnknownIssuer"), "{text}");

    std::fs::copy(&papers.key, &own.key).unwrap();
    std::fs::copy(second.file(), first.file()).unwrap();
    node.ping(&a, PATIENCE).await.unwrap();
    node.disconnect(&a);
    beam.wait_until("nodes(hidden)", PATIENCE, |nodes| nodes == "[]");
    assert_eq!(beam.eval("net_adm:ping(rust@localhost)"), "pong");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_with_the_address_of_a_node_as_a_dns_name_is_for_that_node() {
    if !beam_is_installed("certificates for addresses") {
        return;
    }
    let (epmd, authority) = (Epmd::start(), DistAuthority::new("the cluster"));
    let key = rcgen::KeyPair::generate().unwrap();
    let papers = authority.papers_as("address", &["127.0.0.1"], &key);
    let mut beam = tls_erl("a@127.0.0.1", &epmd, &authority, &papers, STRICT);
    let a = name("a@127.0.0.1");
    // OTP 25 takes the DNS name alone, OTP 27 and 29 the address alone.
    let both = authority.papers_as("both", &["127.0.0.1", "IP:127.0.0.1"], &key);
    let node = tls_node("rust@127.0.0.1", &epmd, with(trusting(&authority), &both)).await;
    node.ping(&a, PATIENCE).await.unwrap();
    node.disconnect(&a);
    beam.wait_until("nodes(hidden)", PATIENCE, |nodes| nodes == "[]");
    assert_eq!(beam.eval("net_adm:ping('rust@127.0.0.1')"), "pong");

    let papers = authority.papers_as("another", &["127.0.0.2"], &key);
    let _other = tls_erl("b@127.0.0.1", &epmd, &authority, &papers, STRICT);
    let (_, text) = why(&node, &name("b@127.0.0.1")).await;
    assert!(text.contains("127.0.0.2"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_is_stopped_behind_tls_is_gone_after_the_tick_time() {
    if !beam_is_installed("a stopped peer behind TLS") {
        return;
    }
    let tick_time = Duration::from_secs(4);
    let (epmd, authority) = (Epmd::start(), DistAuthority::new("the cluster"));
    let papers = authority.papers("localhost");
    let mut beam = tls_erl("a@localhost", &epmd, &authority, &papers, STRICT);
    beam.eval("net_kernel:set_net_ticktime(4, 0)");
    let tls = with(trusting(&authority), &papers).build();
    let builder = builder("rust@localhost", &epmd).tls(tls.expect("options that go together"));
    let node = builder.tick_time(tick_time).start().await;
    let node = node.expect("the node starts");
    let a = name("a@localhost");
    let connection = node.connect(&a).await.unwrap();
    beam.signal("STOP");
    // More than the sockets and TLS take between them, so that something waits to be written and flushed.
    let to = rendez::node::Dest::registered("nobody", &a).unwrap();
    let sending = tokio::spawn({
        let node = node.clone();
        async move {
            let message = Term::binary(vec![7; 100_000]);
            while node.send(&to, message.clone()).await.is_ok() {}
        }
    });
    let reason = tokio::time::timeout(PATIENCE, connection.closed()).await;
    let reason = reason.expect("the end is noticed");
    beam.signal("CONT");
    assert!(
        matches!(reason, CloseReason::Silent(_) | CloseReason::Stuck(_)),
        "{reason:?}"
    );
    sending.abort();
}
