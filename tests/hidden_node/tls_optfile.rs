//! The table "Options for TLS" of `docs/distribution.md`: for each option one file, which a BEAM and a node in Rust read
//! both, and then it is seen whom each of them connects to and lets in.

use std::collections::BTreeSet;

use rcgen::KeyPair;
use rendez::dist::TlsOptions;

use crate::support::authority::{DistAuthority, ENCRYPTED_KEYS, PLAIN_KEY, Papers};
use crate::world::*;

/// What is held against what a BEAM does.
#[derive(Clone, Copy)]
enum Rust {
    /// The same.
    AsOtp,
    /// What OTP does from this release on, before which it does the opposite.
    AsOtpSince(u32),
    /// It does not connect, whatever OTP does; this is said.
    DoesNotConnect(&'static str),
    /// The file is refused; this is said.
    Refuses(&'static str),
}
use Rust::{AsOtp, AsOtpSince, DoesNotConnect, Refuses};

/// One file.
struct Row {
    /// The options that it is about, as the first column of the table has them.
    about: &'static str,
    /// The file that is read, and the file of the node that is met.
    read: String,
    met: String,
    /// Whether the reader, a BEAM, comes to the other one, and is come to; `None` where the row says nothing of it.
    dials: Option<bool>,
    is_dialled: Option<bool>,
    rust: Rust,
}

/// Without sessions that are taken up again: a certificate is not looked at then.
const PEER: &str = "{verify, verify_peer}, {reuse_sessions, false}";
const BOTH: &str = "{verify, verify_peer}, {fail_if_no_peer_cert, true}, {reuse_sessions, false}";
const NONE: &str = "{verify, verify_none}, {reuse_sessions, false}";

fn file(client: &[&str], server: &[&str]) -> String {
    let all = |parts: &[&str]| {
        let parts = parts.iter().filter(|part| !part.is_empty());
        parts.copied().collect::<Vec<_>>().join(", ")
    };
    let (client, server) = (all(client), all(server));
    format!("[{{client, [{client}]}}, {{server, [{server}]}}].")
}

fn files_of(papers: &Papers) -> String {
    let (certificate, key) = (&papers.certificate, &papers.key);
    format!("{{certfile, {certificate:?}}}, {{keyfile, {key:?}}}")
}

/// The text of a term with these bytes.
fn binary(bytes: &[u8]) -> String {
    let bytes: Vec<_> = bytes.iter().map(u8::to_string).collect();
    format!("<<{}>>", bytes.join(","))
}

fn der(pem: &str) -> Vec<u8> {
    use base64::Engine as _;
    let lines = pem.lines().filter(|line| !line.starts_with("-----"));
    let text: String = lines.collect();
    let engine = base64::engine::general_purpose::STANDARD;
    engine.decode(text).expect("base64")
}

fn rows(authority: &DistAuthority, stranger: &DistAuthority) -> Vec<Row> {
    let own = authority.papers("localhost");
    let own_files = files_of(&own);
    let own_files = own_files.as_str();
    let ca = format!("{{cacertfile, {:?}}}", authority.file());
    let ca = ca.as_str();
    let other_host = files_of(&authority.papers("elsewhere.example"));
    let deep = files_of(&authority.papers_of_a_second("deep", "localhost"));
    let old = files_of(&authority.papers_of_version_1("old"));
    let foreign = files_of(&stranger.papers("localhost"));

    let normal = || file(&[own_files, ca, PEER], &[own_files, ca, BOTH]);
    // Whoever shows no certificate is let in too.
    let open = || file(&[own_files, ca, NONE], &[own_files, ca, NONE]);
    let met_with = |files: &str| file(&[files, ca, PEER], &[files, ca, BOTH]);
    let with = |client: &str, server: &str| {
        file(
            &[own_files, ca, PEER, client],
            &[own_files, ca, BOTH, server],
        )
    };
    let same = |options: &str| with(options, options);
    // OTP refuses `reuse_sessions` where TLS 1.3 alone is spoken.
    let tls13 = |options: &str| {
        let options = format!("{{versions, ['tlsv1.3']}}, {options}");
        let (peer, both) = (
            "{verify, verify_peer}",
            "{verify, verify_peer}, {fail_if_no_peer_cert, true}",
        );
        let options = options.trim_end_matches([',', ' ']);
        file(
            &[own_files, ca, peer, options],
            &[own_files, ca, both, options],
        )
    };
    let row = |about, read, met, dials, is_dialled, rust| Row {
        about,
        read,
        met,
        dials,
        is_dialled,
        rust,
    };
    let (yes, no) = (Some(true), Some(false));
    let mut rows = vec![
        row("certfile", normal(), normal(), yes, yes, AsOtp),
        row("cacertfile", normal(), met_with(&foreign), no, no, AsOtp),
        row("verify", open(), met_with(&foreign), yes, yes, AsOtp),
        row(
            "verify",
            open(),
            file(&[&foreign, ca, NONE], &[&foreign, ca, NONE]),
            yes,
            yes,
            AsOtp,
        ),
        // The last of two counts.
        row(
            "verify",
            with("{verify, verify_none}", ""),
            met_with(&other_host),
            yes,
            None,
            AsOtp,
        ),
        row(
            "verify",
            file(&[own_files, ca, NONE, PEER], &[own_files, ca, BOTH]),
            met_with(&other_host),
            no,
            None,
            AsOtp,
        ),
        row(
            "verify",
            same("{verify, 2}"),
            normal(),
            no,
            no,
            Refuses("verify_peer and verify_none are"),
        ),
        // As before OTP 26.
        row(
            "verify",
            file(
                &[own_files, ca, "{reuse_sessions, false}"],
                &[own_files, ca, BOTH],
            ),
            met_with(&other_host),
            no,
            None,
            AsOtpSince(26),
        ),
        row(
            "verify",
            file(&["{secure_renegotiate, true}"], &[own_files]),
            open(),
            None,
            None,
            Refuses("write {cacertfile, File} to have them verified, or {verify, verify_none}"),
        ),
        row(
            "fail_if_no_peer_cert",
            file(
                &[own_files, ca, PEER],
                &[own_files, ca, PEER, "{fail_if_no_peer_cert, false}"],
            ),
            file(&[ca, PEER], &[own_files, ca, NONE]),
            yes,
            yes,
            AsOtp,
        ),
        row(
            "fail_if_no_peer_cert",
            normal(),
            file(&[ca, PEER], &[own_files, ca, NONE]),
            yes,
            no,
            AsOtp,
        ),
        row(
            "fail_if_no_peer_cert",
            file(&[own_files, ca, PEER], &[own_files, ca, PEER]),
            file(&[ca, PEER], &[own_files, ca, NONE]),
            None,
            no,
            AsOtpSince(26),
        ),
        row(
            "fail_if_no_peer_cert",
            file(
                &[own_files, ca, PEER],
                &[own_files, ca, NONE, "{fail_if_no_peer_cert, true}"],
            ),
            normal(),
            None,
            no,
            Refuses("takes {verify, verify_peer}"),
        ),
        row("depth", same("{depth, 0}"), normal(), yes, yes, AsOtp),
        row("depth", same("{depth, 0}"), met_with(&deep), no, no, AsOtp),
        row(
            "depth",
            same("{depth, 1}"),
            met_with(&deep),
            yes,
            yes,
            AsOtp,
        ),
        row("versions", tls13(""), tls13(""), yes, yes, AsOtp),
        row(
            "versions",
            tls13(""),
            same("{versions, ['tlsv1.2']}"),
            no,
            no,
            AsOtp,
        ),
        row(
            "versions",
            same("{versions, ['tlsv1.2', 'tlsv1.1']}"),
            same("{versions, ['tlsv1.2']}"),
            yes,
            yes,
            AsOtp,
        ),
        row(
            "versions",
            same("{versions, ['tlsv1.1']}"),
            normal(),
            None,
            None,
            Refuses("TLS 1.2 and TLS 1.3 are spoken here"),
        ),
    ];
    let ciphers = |name: &str| same(&format!("{{versions, ['tlsv1.2']}}, {{ciphers, {name}}}"));
    let tls12 = |options: &str| same(&format!("{{versions, ['tlsv1.2']}}, {options}"));
    let aes128 = || ciphers("[\"ECDHE-ECDSA-AES128-GCM-SHA256\"]");
    rows.extend([
        row("ciphers", aes128(), aes128(), yes, yes, AsOtp),
        row("ciphers", aes128(), ciphers("\"ECDHE-ECDSA-AES256-GCM-SHA384\""), no, no, AsOtp),
        row(
            "ciphers",
            ciphers("[#{key_exchange => ecdhe_ecdsa, cipher => aes_128_gcm, mac => aead, prf => sha256}]"),
            ciphers("[{ecdhe_ecdsa, aes_128_gcm, aead, sha256}]"),
            yes,
            yes,
            AsOtp,
        ),
        row("ciphers", ciphers("[\"ECDHE-ECDSA-AES256-SHA384\"]"), normal(), None, None, Refuses("ECDHE-RSA-AES128-GCM-SHA256, ")),
        row("supported_groups", tls13("{supported_groups, [secp384r1]}"), tls13("{supported_groups, [secp384r1]}"), yes, yes, AsOtp),
        row("supported_groups", tls13("{supported_groups, [secp384r1]}"), tls13("{supported_groups, [x25519]}"), no, no, AsOtp),
        row("eccs", tls12("{eccs, [secp384r1]}"), tls12("{eccs, [secp384r1]}"), yes, yes, AsOtp),
        row("signature_algs", tls12("{signature_algs, [{sha256, ecdsa}]}"), normal(), yes, None, AsOtp),
        row("signature_algs", tls12("{signature_algs, [{sha256, rsa}]}"), same("{versions, ['tlsv1.2']}"), no, None, AsOtp),
        row("signature_algs", tls13("{signature_algs, [ecdsa_secp256r1_sha256]}"), tls13(""), yes, yes, AsOtp),
        row(
            "signature_algs_cert",
            tls13("{signature_algs_cert, [ecdsa_secp256r1_sha256]}"),
            tls13(""),
            yes,
            yes,
            AsOtp,
        ),
        // OTP before 27 sends the host all the same, and checks it.
        row("server_name_indication", with("{server_name_indication, disable}", ""), met_with(&other_host), yes, None, AsOtpSince(27)),
        row("server_name_indication", with("{server_name_indication, \"elsewhere.example\"}", ""), met_with(&other_host), yes, None, AsOtpSince(27)),
        row("server_name_indication", normal(), met_with(&other_host), no, None, AsOtp),
        row("certificates of version 1", file(&[&old, ca, NONE], &[&old, ca, NONE]), file(&[&old, ca, NONE], &[&old, ca, NONE]), yes, yes, AsOtp),
        row("certificates of version 1", normal(), met_with(&old), no, None, DoesNotConnect("version 1")),
    ]);

    let key = KeyPair::from_pem(PLAIN_KEY).expect("a key");
    let papers = authority.papers_as("locked", &["localhost"], &key);
    for (name, pem) in ENCRYPTED_KEYS {
        let locked = authority.path(&format!("{name}.locked"));
        std::fs::write(&locked, pem).expect("a file");
        let files = format!(
            "{{certfile, {:?}}}, {{keyfile, {locked:?}}}",
            papers.certificate
        );
        let right = format!("{files}, {{password, \"secret\"}}");
        rows.push(row("password", met_with(&right), normal(), yes, yes, AsOtp));
        let wrong = format!("{files}, {{password, \"another\"}}");
        rows.push(row(
            "password",
            met_with(&wrong),
            normal(),
            no,
            no,
            Refuses("cannot be decrypted"),
        ));
    }
    let certificate = std::fs::read_to_string(&own.certificate).expect("a file");
    let key = std::fs::read_to_string(&own.key).expect("a file");
    let (certificate, key) = (binary(&der(&certificate)), binary(&der(&key)));
    let authorities = std::fs::read_to_string(authority.file()).expect("a file");
    let given = format!(
        "{{cert, {certificate}}}, {{key, {{'PrivateKeyInfo', {key}}}}}, {{cacerts, [{}]}}",
        binary(&der(&authorities))
    );
    rows.push(row(
        "cert",
        file(&[&given, PEER], &[&given, BOTH]),
        normal(),
        yes,
        yes,
        AsOtp,
    ));
    let several = format!(
        "{{certs_keys, [#{{certfile => {:?}, keyfile => {:?}}}]}}",
        own.certificate, own.key
    );
    rows.push(row(
        "certs_keys",
        met_with(&several),
        normal(),
        yes,
        yes,
        AsOtp,
    ));

    for (about, option) in [
        ("verify_fun", "{verify_fun, {m, f, s}}"),
        ("crl_check", "{crl_check, true}"),
        ("crl_check", "{crl_check, best_effort}"),
        ("sni_hosts", "{sni_hosts, [{\"a\", []}]}"),
        ("psk_identity", "{psk_identity, \"a\"}"),
        ("anything else", "{hello_world, true}"),
    ] {
        rows.push(row(
            about,
            same(option),
            normal(),
            None,
            None,
            Refuses("it is not supported: "),
        ));
    }
    rows.push(row(
        "anything else",
        same("inet6"),
        normal(),
        None,
        None,
        Refuses("inet6 is no option for TLS"),
    ));
    let ignored = "{secure_renegotiate, true}, {log_level, notice}, {hibernate_after, 1000}, {max_handshake_size, 100000}, \
                   {keep_secrets, false}, {crl_check, false}, {nodelay, true}";
    let server = format!(
        "{ignored}, {{client_renegotiation, false}}, {{honor_cipher_order, true}}, {{honor_ecc_order, true}}"
    );
    rows.push(row(
        "without effect",
        with(ignored, &server),
        normal(),
        yes,
        yes,
        AsOtp,
    ));
    rows
}

/// Has a BEAM do as the file says from now on, without being started again.
fn read(beam: &mut Beam, file: &std::path::Path) {
    let read = format!(
        "sys:replace_state(net_sup, fun(State) -> {{ok, [Options]}} = file:consult({file:?}), \
         ets:delete_all_objects(ssl_dist_opts), ets:insert(ssl_dist_opts, Options), State end), \
         [erlang:disconnect_node(Node) || Node <- nodes(connected)], ok"
    );
    assert_eq!(beam.eval(&read), "ok");
}

fn pings(beam: &mut Beam, node: &str) -> bool {
    beam.wait_until("nodes(connected)", PATIENCE, |nodes| nodes == "[]");
    beam.eval(&format!("net_adm:ping('{node}')")) == "pong"
}

#[tokio::test(flavor = "multi_thread")]
async fn each_option_for_tls_does_what_it_does_for_otp_or_is_refused() {
    if !beam_is_installed("the options for TLS") {
        return;
    }
    let (epmd, authority) = (Epmd::start(), DistAuthority::new("the cluster"));
    let stranger = DistAuthority::new("somebody else");
    let rows = rows(&authority, &stranger);
    let start = |own: &str, options: &str| {
        let path = authority.path(&format!("{own}.conf"));
        std::fs::write(&path, options).expect("a file");
        let path = path.to_str().expect("a path").to_owned();
        let inetrc = authority.inetrc();
        let flags = [
            "-proto_dist",
            "inet_tls",
            "-ssl_dist_optfile",
            &path,
            "-kernel",
            "inetrc",
            &inetrc,
        ];
        Beam::start(&epmd, &BeamOptions::erl(own).flags(flags))
    };
    let mut met = start("met@localhost", &rows[0].met);
    let mut reader = start("reader@localhost", &rows[0].read);
    let release = met.eval("list_to_integer(erlang:system_info(otp_release))");
    let release: u32 = release.parse().expect("a number");
    let (met_file, read_file) = (authority.path("met.conf"), authority.path("read.conf"));
    let mut failures = Vec::new();
    for row in &rows {
        std::fs::write(&met_file, &row.met).expect("a file");
        std::fs::write(&read_file, &row.read).expect("a file");
        read(&mut met, &met_file);
        read(&mut reader, &read_file);
        let otp = [
            row.dials.map(|_| pings(&mut reader, "met@localhost")),
            row.is_dialled.map(|_| {
                read(&mut met, &met_file);
                pings(&mut met, "reader@localhost")
            }),
        ];
        read(&mut met, &met_file);
        let before = matches!(row.rust, AsOtpSince(first) if release < first);
        let wanted = [row.dials, row.is_dialled];
        let of_otp = wanted.map(|it| it.map(|it| it != before));
        let mut fail = |what: String| {
            failures.push(format!(
                "{}: {what}\n  {}\n  {}",
                row.about, row.read, row.met
            ))
        };
        // The version 1 certificate that is verified depends on the release in more ways than that.
        if otp != of_otp && !matches!(row.rust, DoesNotConnect(_)) {
            fail(format!(
                "OTP {release} dials, is dialled: {otp:?}, not {of_otp:?}"
            ));
        }
        let options = TlsOptions::optfile(&read_file).and_then(TlsOptions::build);
        let tls = match (options, row.rust) {
            (Err(error), Refuses(why)) => {
                let text = error.to_string();
                if !text.contains(why) {
                    fail(format!("it is refused, but not with {why:?}: {text}"));
                }
                continue;
            }
            (Ok(_), Refuses(_)) => {
                fail("it is not refused".to_owned());
                continue;
            }
            (Err(error), _) => {
                fail(format!("it is refused: {error}"));
                continue;
            }
            (Ok(tls), _) => tls,
        };
        let node = builder("rust@localhost", &epmd).tls(tls).start().await;
        let node = node.expect("the node starts");
        if let Some(wanted) = row.dials {
            match (node.connect(&name("met@localhost")).await, row.rust) {
                (Err(error), DoesNotConnect(why)) if !error.to_string().contains(why) => {
                    fail(format!("it says {error}, and not {why:?}"));
                }
                (connected, _) if connected.is_ok() != wanted => {
                    fail(format!("a node in Rust dials: {:?}", connected.err()));
                }
                _ => {}
            }
            node.disconnect(&name("met@localhost"));
        }
        if let Some(wanted) = row.is_dialled {
            let connected = pings(&mut met, "rust@localhost");
            if connected != wanted {
                fail(format!("a node in Rust is dialled: {connected}"));
            }
        }
        node.stop().await;
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn the_table_of_options_for_tls_has_each_option_that_is_tried() {
    let text = include_str!("../../docs/distribution.md");
    let table = text
        .lines()
        .skip_while(|line| *line != "### Options for TLS")
        .skip(1)
        .take_while(|line| !line.starts_with('#'));
    let first = |line: &str| {
        Some(
            line.strip_prefix("| ")?
                .split(" | ")
                .next()?
                .replace('`', ""),
        )
    };
    let table: BTreeSet<_> = table.filter_map(first).collect();
    let authority = DistAuthority::new("the cluster");
    let stranger = DistAuthority::new("somebody else");
    for row in rows(&authority, &stranger) {
        let has = |cell: &String| cell.split(", ").any(|option| option == row.about);
        assert!(table.iter().any(has), "no row for {}: {table:?}", row.about);
    }
}
