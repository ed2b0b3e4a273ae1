//! The `kubernetes` provider against an API server of the test's own, over TLS.
#![cfg(feature = "cli")]

mod support;

use std::path::PathBuf;
use std::time::Duration;

use rendez::cluster::ProviderId;
use rendez::discovery::kubernetes::{KubernetesConfig, Lookup, Mode, kubernetes};
use rendez::discovery::{Context, Observation, Observed, Provider, SignalSender, feed};
use serde_json::json;
use support::kube_server::{KubeServer, NAMESPACE, pod};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Far more than anything here needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// The directory that Kubernetes gives a pod.
struct Account(TempDir);

impl Account {
    fn new(server: &KubeServer) -> Self {
        let account = Self(tempfile::tempdir().unwrap());
        account.write("ca.crt", &server.authority.pem());
        account.write("namespace", NAMESPACE);
        account.write("token", "first");
        account
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    fn config(&self, server: &KubeServer) -> KubernetesConfig {
        KubernetesConfig {
            selector: "app=shop".into(),
            app_name: Some("shop".into()),
            service_account: Some(self.0.path().to_owned()),
            api_server: Some(server.url().into()),
            ..KubernetesConfig::default()
        }
    }
}

/// The provider at work.
struct AtWork {
    observations: mpsc::Receiver<Observed>,
    signals: SignalSender,
    task: JoinHandle<()>,
}

impl AtWork {
    fn start(config: &KubernetesConfig) -> Self {
        let context = Context {
            own: None,
            cookie: None,
        };
        let provider = Box::new(kubernetes(config, &context).unwrap());
        let (sender, observations) = mpsc::channel(64);
        let signals = SignalSender::new();
        let feed = feed(ProviderId::new(0).unwrap(), sender, &signals);
        let task = tokio::spawn(provider.run(feed));
        Self {
            observations,
            signals,
            task,
        }
    }

    async fn next(&mut self) -> Observation {
        let next = timeout(PATIENCE, self.observations.recv()).await;
        next.expect("an observation in time")
            .expect("one more")
            .observation
    }

    /// Waits for a snapshot of these hosts. Whatever is told before has to be a snapshot too, none of it empty.
    async fn hosts(&mut self, expected: &[&str]) {
        loop {
            match self.next().await {
                Observation::Snapshot(nodes) => {
                    let hosts: Vec<_> = nodes.iter().map(|node| node.host()).collect();
                    if hosts == expected {
                        return;
                    }
                    assert!(!hosts.is_empty(), "{expected:?}");
                }
                other => panic!("{other:?}, before {expected:?}"),
            }
        }
    }

    /// Waits for a failure, before which nothing else may be told, and gives its words.
    async fn failure(&mut self) -> String {
        match self.next().await {
            Observation::Failed(why) => why,
            other => panic!("{other:?} instead of a failure"),
        }
    }

    /// Passes over failures, up to a snapshot of these hosts.
    async fn recovered(&mut self, expected: &[&str]) {
        loop {
            match self.next().await {
                Observation::Failed(_) => {}
                Observation::Snapshot(nodes) => {
                    let hosts: Vec<_> = nodes.iter().map(|node| node.host()).collect();
                    assert_eq!(hosts, expected);
                    return;
                }
                other => panic!("{other:?}"),
            }
        }
    }

    async fn stop(self) {
        self.signals.stop();
        timeout(PATIENCE, self.task).await.unwrap().unwrap();
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, wait)
        .await
        .unwrap_or_else(|_| panic!("{what}"));
}

/// Lists among what the server was asked, and the versions that watches were to start from.
fn lists_and_watches(server: &KubeServer) -> (usize, Vec<String>) {
    let asked = server.take_asked();
    let (watches, lists): (Vec<_>, Vec<_>) =
        asked.iter().partition(|one| one.value("watch").is_some());
    let versions = watches
        .iter()
        .map(|one| one.value("resourceVersion").unwrap_or("?").to_owned());
    (lists.len(), versions.collect())
}

#[tokio::test]
async fn pods_come_become_ready_and_go_without_a_question() {
    let server = KubeServer::start();
    let account = Account::new(&server);
    server.put("pods", pod("shop-0", "10.244.1.7", true));
    let mut other = pod("till-0", "10.244.9.9", true);
    other["metadata"]["labels"]["app"] = "till".into();
    server.put("pods", other);
    let mut provider = AtWork::start(&account.config(&server));
    provider.hosts(&["10.244.1.7"]).await;
    until("a watch", || server.watches() == 1).await;
    server.take_asked();

    server.put("pods", pod("shop-1", "10.244.1.8", false));
    server.put("pods", pod("shop-1", "10.244.1.8", true));
    provider.hosts(&["10.244.1.7", "10.244.1.8"]).await;
    server.put("pods", pod("shop-0", "10.244.1.7", false));
    provider.hosts(&["10.244.1.8"]).await;
    server.put("pods", pod("shop-0", "10.244.1.7", true));
    provider.hosts(&["10.244.1.7", "10.244.1.8"]).await;
    server.delete("pods", "shop-1");
    provider.hosts(&["10.244.1.7"]).await;
    assert_eq!(lists_and_watches(&server), (0, vec![]), "it watches");
    // That nobody is left is an answer too.
    server.delete("pods", "shop-0");
    assert_eq!(provider.next().await, Observation::Snapshot(vec![]));

    server.put("pods", pod("shop-0", "10.244.1.7", true));
    provider.hosts(&["10.244.1.7"]).await;
    provider.signals.refresh();
    until("a list for a refresh", || lists_and_watches(&server).0 == 1).await;
    provider.stop().await;
}

#[tokio::test]
async fn many_pods_come_in_pages_and_in_every_mode() {
    let server = KubeServer::start();
    let account = Account::new(&server);
    for index in 0..250 {
        server.put(
            "pods",
            pod(
                &format!("shop-{index:03}"),
                &format!("10.1.0.{index}"),
                true,
            ),
        );
    }
    for (mode, first) in [
        (Mode::Ip, "10.1.0.0"),
        (Mode::Dns, "10-1-0-0.prod.pod.cluster.local"),
        (
            Mode::Hostname,
            "shop-000.shop-headless.prod.svc.cluster.local",
        ),
    ] {
        let config = KubernetesConfig {
            mode,
            ..account.config(&server)
        };
        let mut provider = AtWork::start(&config);
        match provider.next().await {
            Observation::Snapshot(nodes) => {
                assert_eq!(nodes.len(), 250);
                assert!(
                    nodes.iter().any(|node| node.host() == first),
                    "{mode:?}: {nodes:?}"
                );
            }
            other => panic!("{other:?}"),
        }
        let (lists, _) = lists_and_watches(&server);
        assert_eq!(lists, 3, "pages of a hundred");
        provider.stop().await;
    }
}

#[tokio::test]
async fn a_watch_that_is_cut_goes_on_where_it_was() {
    let server = KubeServer::start();
    let account = Account::new(&server);
    server.put("pods", pod("shop-0", "10.244.1.7", true));
    let mut provider = AtWork::start(&account.config(&server));
    provider.hosts(&["10.244.1.7"]).await;
    until("a watch", || server.watches() == 1).await;
    let mut went_on = Vec::new();
    // A bookmark that is not on its way when the connection is cut is lost; so each round gives it more time.
    for round in 1..=20 {
        until("a watch", || server.watches() == 1).await;
        server.take_asked();
        let version = server.bookmark().to_string();
        tokio::time::sleep(Duration::from_millis(20) * round).await;
        server.cut();
        server.put("pods", pod("shop-1", "10.244.1.8", true));
        provider.hosts(&["10.244.1.7", "10.244.1.8"]).await;
        let (lists, watches) = lists_and_watches(&server);
        assert_eq!((lists, watches.len()), (0, 1), "{watches:?}");
        if watches == [version.as_str()] {
            provider.stop().await;
            return;
        }
        went_on.push((version, watches));
        server.delete("pods", "shop-1");
        provider.hosts(&["10.244.1.7"]).await;
    }
    panic!("no watch went on from its bookmark: {went_on:?}");
}

#[tokio::test]
async fn a_version_that_is_gone_means_a_new_list_and_no_failure() {
    let server = KubeServer::start();
    let account = Account::new(&server);
    server.put("pods", pod("shop-0", "10.244.1.7", true));
    let mut provider = AtWork::start(&account.config(&server));
    provider.hosts(&["10.244.1.7"]).await;
    until("a watch", || server.watches() == 1).await;

    // The watch says so itself.
    server.take_asked();
    server.compact();
    server.put("pods", pod("shop-1", "10.244.1.8", true));
    provider.hosts(&["10.244.1.7", "10.244.1.8"]).await;
    until("a watch", || server.watches() == 1).await;
    assert_eq!(lists_and_watches(&server).0, 1);

    // It is said in place of a watch, after the connection was lost; one pod went meanwhile.
    server.compact_and_cut();
    server.delete("pods", "shop-0");
    server.compact_and_cut();
    provider.hosts(&["10.244.1.8"]).await;
    assert!(lists_and_watches(&server).0 >= 1);
    provider.stop().await;
}

#[tokio::test]
async fn a_new_token_is_taken_from_its_file_when_the_old_one_is_refused() {
    let server = KubeServer::start();
    let account = Account::new(&server);
    server.put("pods", pod("shop-0", "10.244.1.7", true));
    let mut provider = AtWork::start(&account.config(&server));
    provider.hosts(&["10.244.1.7"]).await;
    until("a watch", || server.watches() == 1).await;

    server.rotate("second");
    let why = provider.failure().await;
    assert!(why.contains("does not know who asks"), "{why}");
    assert!(!why.contains("first") && !why.contains("second"), "{why}");
    server.put("pods", pod("shop-1", "10.244.1.8", true));
    account.write("token", "second");
    provider.recovered(&["10.244.1.7", "10.244.1.8"]).await;
    provider.stop().await;
}

#[tokio::test]
async fn an_api_server_that_fails_or_is_silent_changes_nothing_and_is_explained() {
    let server = KubeServer::start();
    let account = Account::new(&server);
    server.put("pods", pod("shop-0", "10.244.1.7", true));
    let config = KubernetesConfig {
        timeout: Duration::from_secs(3),
        watch_timeout: Duration::from_secs(2),
        ..account.config(&server)
    };
    let mut provider = AtWork::start(&config);
    provider.hosts(&["10.244.1.7"]).await;

    server.fail(Some((
        500,
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "etcdserver: leader changed", "reason": "InternalError", "code": 500
        }),
    )));
    let why = provider.failure().await;
    assert!(why.contains("etcdserver: leader changed"), "{why}");
    server.fail(None);
    provider.recovered(&["10.244.1.7"]).await;

    server.silence(true);
    let why = provider.failure().await;
    assert!(why.contains("Kubernetes API"), "{why}");
    let why = provider.failure().await;
    assert!(why.contains("does not answer within 3s"), "{why}");
    server.silence(false);
    provider.recovered(&["10.244.1.7"]).await;

    // It goes away for good.
    drop(server);
    while !provider.failure().await.contains("refused") {}
    provider.stop().await;
}

#[tokio::test]
async fn slices_need_a_role_of_their_own() {
    let server = KubeServer::start();
    let account = Account::new(&server);
    let text = include_str!("../src/discovery/kubernetes/testdata/slice.json");
    server.put("endpointslices", serde_json::from_str(text).unwrap());
    server.fail(Some((403, json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Forbidden",
        "message": "endpointslices.discovery.k8s.io is forbidden: User \"system:serviceaccount:prod:shop\" cannot list",
        "code": 403
    }))));
    let config = KubernetesConfig {
        lookup: Lookup::EndpointSlices,
        ..account.config(&server)
    };
    let mut provider = AtWork::start(&config);
    let why = provider.failure().await;
    assert!(
        why.contains("verbs list and watch on endpointslices"),
        "{why}"
    );
    server.fail(None);
    provider.recovered(&["10.244.1.7", "10.244.3.1"]).await;
    provider.stop().await;

    // The names that only StatefulSets have; all endpoints, ready or not, and one of three has such a name.
    let config = KubernetesConfig {
        mode: Mode::Hostname,
        ready_only: false,
        ..config
    };
    let mut provider = AtWork::start(&config);
    provider
        .hosts(&["shop-0.shop-headless.prod.svc.cluster.local"])
        .await;
    provider.stop().await;
}

#[tokio::test]
async fn a_server_with_a_strange_certificate_is_not_told_the_token() {
    let server = KubeServer::start();
    let account = Account::new(&server);
    account.write("ca.crt", &KubeServer::start().authority.pem());
    let mut provider = AtWork::start(&account.config(&server));
    let why = provider.failure().await;
    assert!(why.to_lowercase().contains("certificate"), "{why}");
    assert!(server.take_asked().is_empty());
    provider.stop().await;
}

#[tokio::test]
async fn a_kubeconfig_says_it_all() {
    let server = KubeServer::start();
    server.put("pods", pod("shop-0", "10.244.1.7", true));
    let directory = tempfile::tempdir().unwrap();
    let path: PathBuf = directory.path().join("config");
    std::fs::write(directory.path().join("ca.pem"), server.authority.pem()).unwrap();
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: there\n\
         clusters:\n- name: there\n  cluster:\n    server: {url}\n    certificate-authority: ca.pem\n\
         users:\n- name: me\n  user:\n    token: first\n\
         contexts:\n- name: there\n  context: {{cluster: there, user: me, namespace: {NAMESPACE}}}\n\
         - name: elsewhere\n  context: {{cluster: there, user: me, namespace: empty}}\n",
        url = server.url()
    );
    std::fs::write(&path, text).unwrap();
    let config = KubernetesConfig {
        selector: "app=shop".into(),
        app_name: Some("shop".into()),
        kubeconfig: Some(path),
        ..KubernetesConfig::default()
    };
    let mut provider = AtWork::start(&config);
    provider.hosts(&["10.244.1.7"]).await;
    provider.stop().await;

    let elsewhere = KubernetesConfig {
        context: Some("elsewhere".into()),
        ..config.clone()
    };
    let mut provider = AtWork::start(&elsewhere);
    let why = provider.failure().await;
    assert!(why.contains("/namespaces/empty/"), "{why}");
    provider.stop().await;

    let nowhere = KubernetesConfig {
        context: Some("nowhere".into()),
        ..config
    };
    let mut provider = AtWork::start(&nowhere);
    let why = provider.failure().await;
    assert!(why.contains("nowhere"), "{why}");
    provider.stop().await;
}

#[tokio::test]
async fn a_role_that_may_list_and_not_watch_is_told_of_once_and_pods_are_found_by_listing() {
    let server = KubeServer::start();
    server.forbid_watches();
    let account = Account::new(&server);
    server.put("pods", pod("shop-0", "10.244.1.7", true));
    let mut provider = AtWork::start(&account.config(&server));
    provider.hosts(&["10.244.1.7"]).await;
    match provider.next().await {
        Observation::Notice(told) => {
            assert!(told.contains("verb watch on pods"), "{told}");
        }
        other => panic!("{other:?} instead of a notice"),
    }
    server.put("pods", pod("shop-1", "10.244.1.8", true));
    // Nothing else is told on the way, neither failure nor recovery.
    provider.hosts(&["10.244.1.7", "10.244.1.8"]).await;
    server.delete("pods", "shop-0");
    provider.hosts(&["10.244.1.8"]).await;
    until("it goes on listing", || lists_and_watches(&server).0 > 2).await;
    assert!(provider.observations.try_recv().is_err());
    provider.stop().await;
}
