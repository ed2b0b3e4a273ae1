//! The `http` provider against a server of the test's own.
#![cfg(feature = "cli")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rendez::Secret;
use rendez::cluster::ProviderId;
use rendez::discovery::http::{HttpConfig, http};
use rendez::discovery::{Observation, Observed, Provider, SignalSender, feed};
use support::web_server::{Authority, HttpServer, Said, answer};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Far more than anything here needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// The provider at work; it ends when this is dropped.
struct AtWork {
    observations: mpsc::Receiver<Observed>,
    signals: SignalSender,
}

impl AtWork {
    fn start(config: &HttpConfig) -> Self {
        let provider = Box::new(http(config).unwrap());
        let (sender, observations) = mpsc::channel(1);
        let signals = SignalSender::new();
        let feed = feed(ProviderId::new(0).unwrap(), sender, &signals);
        tokio::spawn(provider.run(feed));
        Self {
            observations,
            signals,
        }
    }

    async fn next(&mut self) -> Observation {
        let next = timeout(PATIENCE, self.observations.recv()).await;
        next.expect("an observation in time")
            .expect("one more")
            .observation
    }

    async fn names(&mut self) -> Vec<String> {
        match self.next().await {
            Observation::Snapshot(nodes) => nodes.iter().map(ToString::to_string).collect(),
            other => panic!("{other:?} instead of names"),
        }
    }

    async fn failure(&mut self) -> String {
        match self.next().await {
            Observation::Failed(why) => why,
            other => panic!("{other:?} instead of a failure"),
        }
    }
}

fn config(url: impl Into<String>) -> HttpConfig {
    HttpConfig {
        timeout: Duration::from_secs(10),
        ..HttpConfig::new(url)
    }
}

#[tokio::test]
async fn an_answer_is_confirmed_by_its_tag_and_replaced_by_another() {
    let now = Arc::new(Mutex::new(("\"one\"", "a@10.0.0.1\nb@10.0.0.2\n")));
    let said = Arc::clone(&now);
    let server = HttpServer::start(None, move |asked| {
        let (tag, body) = *said.lock().unwrap();
        if asked.header("if-none-match") == Some(tag) {
            return answer(304, &[("etag", tag)], "");
        }
        answer(200, &[("etag", tag)], body)
    });
    let mut provider = AtWork::start(&config(server.url() + "/peers?app=shop"));
    assert_eq!(provider.names().await, ["a@10.0.0.1", "b@10.0.0.2"]);
    assert_eq!(provider.names().await, ["a@10.0.0.1", "b@10.0.0.2"]);
    let asked = server.take_asked();
    assert_eq!(asked[0].header("if-none-match"), None);
    assert_eq!(asked[1].header("if-none-match"), Some("\"one\""));
    assert_eq!(
        (asked[1].path.as_str(), asked[1].value("app")),
        ("/peers", Some("shop"))
    );

    *now.lock().unwrap() = ("\"two\"", r#"{"nodes": ["c@10.0.0.3"]}"#);
    loop {
        let names = provider.names().await;
        if names == ["c@10.0.0.3"] {
            break;
        }
        assert_eq!(names, ["a@10.0.0.1", "b@10.0.0.2"]);
    }
    *now.lock().unwrap() = ("\"three\"", "[]");
    while provider.names().await != Vec::<String>::new() {}
}

#[tokio::test]
async fn a_server_that_wants_a_rest_gets_it() {
    // When it was asked.
    let times = Arc::new(Mutex::new(Vec::new()));
    let asked = Arc::clone(&times);
    let server = HttpServer::start(None, move |_| {
        let mut asked = asked.lock().unwrap();
        asked.push(Instant::now());
        match asked.len() {
            1 => answer(503, &[("retry-after", "3")], "busy"),
            _ => answer(200, &[], "a@10.0.0.1"),
        }
    });
    let mut provider = AtWork::start(&config(server.url()));
    let why = provider.failure().await;
    assert!(
        why.contains("503") && why.contains("left alone for 3s"),
        "{why}"
    );
    // Nor does a wish of ours change that.
    provider.signals.refresh();
    assert_eq!(provider.names().await, ["a@10.0.0.1"]);
    let times = times.lock().unwrap();
    let rest = times[1] - times[0];
    assert!(rest >= Duration::from_secs(3), "{rest:?}");
}

/// A status, header fields, a body, and a part of what has to be said of them.
type Wrong = (
    u16,
    &'static [(&'static str, &'static str)],
    &'static str,
    &'static str,
);

#[tokio::test]
async fn what_is_no_list_of_names_is_a_failure_and_removes_nobody() {
    let answers: &[Wrong] = &[
        (200, &[], "", "say []"),
        (200, &[], "<html>Log in</html>", "holds no names"),
        (200, &[], "[\"a@10.0.0.1\", 5]", "JSON array of strings"),
        (204, &[], "", "204"),
        (304, &[], "", "304"),
        (401, &[], "a@10.0.0.1", "look at token and header"),
        (404, &[], "a@10.0.0.1", "look at the path of url"),
        (500, &[], "a@10.0.0.1", "500"),
        (302, &[], "", "to nowhere"),
        (302, &[("location", "/loop")], "", "more than 5 times"),
    ];
    for (status, headers, body, part) in answers {
        let server = HttpServer::start(None, move |_| answer(*status, headers, *body));
        let why = AtWork::start(&config(server.url() + "/peers?key=hush"))
            .failure()
            .await;
        assert!(why.contains(part), "{status}: {why}");
        assert!(
            why.contains("http://127.0.0.1:") && !why.contains("hush"),
            "{why}"
        );
    }
    let server = HttpServer::start(None, |_| answer(200, &[], "a@10.0.0.1\n".repeat(100_000)));
    let why = AtWork::start(&config(server.url())).failure().await;
    assert!(why.contains("more than"), "{why}");

    let server = HttpServer::start(None, |_| Said::Silence);
    let mut config = config(server.url());
    config.timeout = Duration::from_millis(100);
    let why = AtWork::start(&config).failure().await;
    assert!(why.contains("did not answer within"), "{why}");
}

#[tokio::test]
async fn secrets_go_over_tls_to_the_own_server_and_no_other() {
    let authority = Authority::new();
    let elsewhere = HttpServer::start(Some(&authority), |_| answer(200, &[], "a@10.0.0.1"));
    let target = elsewhere.url() + "/list";
    let server = HttpServer::start(Some(&authority), move |asked| match asked.path.as_str() {
        "/first" => answer(301, &[("location", "second")], ""),
        _ => answer(307, &[("location", &target)], ""),
    });
    let directory = tempfile::tempdir().unwrap();
    let cacert = directory.path().join("ca.pem");
    std::fs::write(&cacert, authority.pem()).unwrap();
    let config = HttpConfig {
        token: Some(Secret::new("hush")),
        header: Some(Secret::new("X-Key: quiet")),
        cacert: Some(cacert),
        ..config(server.url() + "/first")
    };
    assert_eq!(AtWork::start(&config).names().await, ["a@10.0.0.1"]);
    let secrets = |server: &HttpServer| -> Vec<_> {
        let asked = server.take_asked();
        let text = |value: Option<&str>| value.map(str::to_owned);
        asked
            .iter()
            .map(|one| {
                (
                    one.path.clone(),
                    text(one.header("authorization")),
                    text(one.header("x-key")),
                )
            })
            .collect()
    };
    let both = |path: &str| {
        (
            path.to_owned(),
            Some("Bearer hush".to_owned()),
            Some("quiet".to_owned()),
        )
    };
    assert_eq!(secrets(&server)[..2], [both("/first"), both("/second")]);
    assert_eq!(secrets(&elsewhere)[0], ("/list".to_owned(), None, None));

    // Without the authority nobody is told anything.
    let config = HttpConfig {
        cacert: None,
        ..config
    };
    let why = AtWork::start(&config).failure().await;
    assert!(why.contains("certificate"), "{why}");
    assert_eq!(secrets(&server), []);
}
