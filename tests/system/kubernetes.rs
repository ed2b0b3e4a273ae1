//! `via: kubernetes` and `via: http`: hosts whose nodes are plain, a sidecar beside one of them, and a server that
//! stands in for the API.

use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::package::wait_for_mesh;
use crate::support::cli::Running;
use crate::support::kube_server::{KubeServer, NAMESPACE, pod};
use crate::support::web_server::{HttpServer, answer};
use crate::support::{Beam, BeamOptions, Epmd, Lan, beam_is_installed, free_tcp_port};

/// Plain nodes called `shop`, one a host, with the EPMD of each.
fn nodes(lan: &Lan) -> (Vec<Epmd>, Vec<Beam>, u16) {
    let port = free_tcp_port();
    let epmds: Vec<_> = [1, 2, 3]
        .map(|host| Epmd::start_on(port, &lan.enter(host)))
        .into();
    let nodes = [1u8, 2, 3].map(|host| {
        let options =
            BeamOptions::erl(&format!("shop@{}", lan.address(host))).within(&lan.enter(host));
        Beam::start(&epmds[usize::from(host) - 1], &options)
    });
    (epmds, nodes.into(), port)
}

/// A sidecar of the first host's node, with these words.
fn attach(lan: &Lan, epmd_port: u16, words: &[&str]) -> Running {
    let [program, words_before @ ..] = lan.enter(1);
    let mut command = Command::new(program);
    command
        .args(words_before)
        .arg(env!("CARGO_BIN_EXE_rendez"))
        .args(["attach", &format!("shop@{}", lan.address(1))])
        .args(words)
        .env("HOME", "/nonexistent")
        .env("RENDEZ_COOKIE", "rendez-tests")
        .env("ERL_EPMD_PORT", epmd_port.to_string())
        .env_remove("KUBECONFIG")
        .stdin(Stdio::null());
    Running::start(&mut command)
}

#[test]
fn pods_are_joined_as_the_api_server_tells_of_them() {
    if !beam_is_installed("kubernetes between three hosts") {
        return;
    }
    let Some(lan) = Lan::new(3, "kubernetes between three hosts") else {
        return;
    };
    let machine: IpAddr = lan.machine().parse().expect("an address");
    let server = KubeServer::start_on(machine);
    let account = tempfile::tempdir().expect("a directory");
    for (name, text) in [
        ("ca.crt", server.authority.pem()),
        ("namespace", NAMESPACE.to_owned()),
        ("token", "first".to_owned()),
    ] {
        std::fs::write(account.path().join(name), text).expect("a file");
    }
    let put = |host: u8, ready| {
        server.put(
            "pods",
            pod(&format!("shop-{host}"), &lan.address(host), ready),
        )
    };
    put(1, true);
    put(2, true);
    put(3, false);
    let (_epmds, mut nodes, port) = nodes(&lan);
    let directory = account.path().to_str().expect("a path");
    let url = server.url();
    let _sidecar = attach(
        &lan,
        port,
        &[
            "--via",
            "kubernetes",
            "--selector",
            "app=shop",
            "--service-account",
            directory,
            "--api-server",
            &url,
        ],
    );
    let took = wait_for_mesh(&mut nodes[..2]);
    println!("kubernetes: two hosts whole {took:?} after the sidecar started");
    assert_eq!(nodes[0].nodes().len(), 1, "the third is not ready");

    // The token is another one by then, and the third pod becomes ready.
    server.rotate("second");
    std::fs::write(account.path().join("token"), "second").expect("a file");
    put(3, true);
    let took = wait_for_mesh(&mut nodes);
    println!(
        "kubernetes: three hosts whole {took:?} after the token changed and the third became ready"
    );
}

#[test]
fn the_names_behind_a_url_are_joined_as_they_appear() {
    if !beam_is_installed("http between three hosts") {
        return;
    }
    let Some(lan) = Lan::new(3, "http between three hosts") else {
        return;
    };
    let machine: IpAddr = lan.machine().parse().expect("an address");
    let names = Arc::new(Mutex::new(format!("[\"shop@{}\"]", lan.address(2))));
    let said = Arc::clone(&names);
    let server = HttpServer::start_on(machine, None, move |asked| {
        match (asked.path.as_str(), asked.header("authorization")) {
            ("/shop", Some("Bearer hush")) => answer(200, &[], said.lock().expect("names").clone()),
            _ => answer(401, &[], ""),
        }
    });
    let (_epmds, mut nodes, port) = nodes(&lan);
    let url = server.url() + "/shop";
    let _sidecar = attach(
        &lan,
        port,
        &["--via", "http", "--url", &url, "--token", "hush"],
    );
    wait_for_mesh(&mut nodes[..2]);
    let both = [2, 3]
        .map(|host| format!("shop@{}", lan.address(host)))
        .join("\n");
    *names.lock().expect("names") = both;
    let took = wait_for_mesh(&mut nodes);
    println!("http: three hosts whole {took:?} after the third was named");
}
