//! `via: ec2` and `via: rancher` through the sidecar: stand-ins for the APIs, and real nodes that need no package.
//!
//! On one host the nodes cannot all be called alike, so each has a tag, or a service, of its own.

#[path = "../support/aws.rs"]
#[allow(dead_code)]
mod aws;
#[path = "../support/http_server.rs"]
#[allow(dead_code)]
mod http_server;

use std::sync::{Arc, Mutex};

use aws::{Aws, Key, running};
use http_server::{HttpServer, Reply};

use crate::package::PATIENCE;
use crate::support::cli::{Running, rendez};
use crate::support::{Beam, BeamOptions, Epmd, beam_is_installed};

const NAMES: [&str; 3] = ["a@127.0.0.1", "b@127.0.0.1", "c@127.0.0.1"];

/// Attached to the first node, with a secret in no argument.
fn attach(epmd: &Epmd, words: &[&str]) -> std::process::Command {
    let mut command = rendez();
    command
        .args(["attach", NAMES[0]])
        .args(words)
        .env("RENDEZ_COOKIE", "rendez-tests")
        .env("ERL_EPMD_PORT", epmd.port.to_string());
    command
}

#[test]
fn instances_that_ec2_names_are_joined_with_the_credentials_of_the_instance_s_role() {
    if !beam_is_installed("the sidecar joins what EC2 names") {
        return;
    }
    let aws = Aws::start();
    let role = Key::new("ASIAROLE", "role/secret", Some("role+token=="));
    aws.state().keys = vec![role.clone()];
    aws.state().role = Some(role);
    aws.state().instances = vec![running("127.0.0.1", [("role", "b")])];
    let epmd = Epmd::start();
    let [mut a, mut b, mut c] = NAMES.map(|name| {
        Beam::start(
            &epmd,
            &BeamOptions::erl(name).flags(["-connect_all", "false"]),
        )
    });
    let words = [
        "--via",
        "ec2",
        "--tags",
        "role=b",
        "--app-name",
        "b",
        "--interval",
        "500ms", //
        "--via",
        "ec2",
        "--tags",
        "role=c",
        "--app-name",
        "c",
        "--interval",
        "500ms",
    ];
    let _sidecar = Running::start(
        attach(&epmd, &words)
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", aws.url())
            .env("AWS_ENDPOINT_URL_EC2", aws.url()),
    );
    a.wait_for_nodes(&NAMES[1..2], PATIENCE);
    b.wait_for_nodes(&NAMES[..1], PATIENCE);
    assert!(c.nodes().is_empty());

    // An instance appears; then EC2 refuses, which takes nobody away.
    let mut instances = aws.state().instances.clone();
    instances.push(running("127.0.0.1", [("role", "c")]));
    aws.state().instances = instances;
    a.wait_for_nodes(&NAMES[1..], PATIENCE);
    let asked = aws.state().asked;
    aws.state().refuse = vec![(500, "InternalError"); 6];
    while aws.state().asked < asked + 6 {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(a.nodes(), &NAMES[1..]);
    assert_eq!(aws.state().complaints, [""; 0]);
}

#[test]
fn containers_that_rancher_s_metadata_names_are_joined() {
    if !beam_is_installed("the sidecar joins what Rancher names") {
        return;
    }
    let b_runs = Arc::new(Mutex::new(false));
    let told = Arc::clone(&b_runs);
    let metadata = HttpServer::start(move |request| {
        let state = if *told.lock().unwrap() {
            "running"
        } else {
            "stopped"
        };
        let json = request.header("accept") == Some("application/json");
        match request.target.as_str() {
            "/2015-12-19/stacks/shop/services/b" if json => Reply::ok(format!(
                r#"{{"name": "b", "containers": [{{"name": "b-1", "primary_ip": "127.0.0.1", "state": "{state}"}}]}}"#
            )),
            "/2015-12-19/self/service" if json => Reply::ok(
                r#"{"name": "c", "containers": [{"primary_ip": null, "ips": ["127.0.0.1"]}, {"primary_ip": null}]}"#,
            ),
            _ => Reply::new(404, "Not found"),
        }
    });
    let epmd = Epmd::start();
    let [mut a, _b, _c] = NAMES.map(|name| {
        Beam::start(
            &epmd,
            &BeamOptions::erl(name).flags(["-connect_all", "false"]),
        )
    });
    let url = metadata.url();
    let words = [
        "--via",
        "rancher",
        "--endpoint",
        &url,
        "--stack",
        "shop",
        "--service",
        "b",
        "--app-name",
        "b", //
        "--interval",
        "500ms", //
        "--via",
        "rancher",
        "--endpoint",
        &url,
        "--app-name",
        "c",
    ];
    let _sidecar = Running::start(&mut attach(&epmd, &words));
    a.wait_for_nodes(&NAMES[2..], PATIENCE);
    *b_runs.lock().unwrap() = true;
    a.wait_for_nodes(&NAMES[1..], PATIENCE);
}
