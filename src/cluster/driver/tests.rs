use super::*;
use crate::cluster::{Event, NodeState};
use crate::discovery::{Feed, List, ListConfig, Provider, Running, SelfOnly, Signal};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::sleep;

fn node(name: &str) -> NodeName {
    NodeName::new(name, "h").unwrap()
}

fn nodes(names: &[&str]) -> Vec<NodeName> {
    names.iter().map(|name| node(name)).collect()
}

fn list(names: &[&str]) -> Source {
    let nodes = nodes(names);
    Source::new("list", move || {
        Ok(Box::new(List::new(ListConfig {
            nodes: nodes.clone(),
        })))
    })
}

/// A provider that does what a closure says.
struct Acting<F>(F);

impl<F, R> Provider for Acting<F>
where
    F: FnOnce(Feed) -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    fn kind(&self) -> &'static str {
        "acting"
    }

    fn run(self: Box<Self>, feed: Feed) -> Running {
        Box::pin((self.0)(feed))
    }
}

fn acting<F, R>(act: F) -> Source
where
    F: Fn(Feed) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    Source::new("acting", move || Ok(Box::new(Acting(act.clone()))))
}

struct Ran {
    handle: Handle,
    actions: UnboundedReceiver<Action>,
    task: JoinHandle<()>,
}

fn run(sources: Vec<Source>) -> Ran {
    run_with(Setup::new(Some(node("me"))), sources)
}

fn run_with(setup: Setup, sources: Vec<Source>) -> Ran {
    let (sender, actions) = unbounded_channel();
    let outlet = move |action| {
        let _ = sender.send(action);
    };
    let (driver, handle) = Driver::new(setup, sources, outlet).unwrap();
    let task = tokio::spawn(driver.run());
    Ran {
        handle,
        actions,
        task,
    }
}

impl Ran {
    /// The next action that `pick` wants, those before it dropped.
    async fn next<T>(&mut self, pick: impl Fn(&Action) -> Option<T>) -> T {
        loop {
            let action = self.actions.recv().await.expect("the driver goes on");
            if let Some(picked) = pick(&action) {
                return picked;
            }
        }
    }

    async fn connect(&mut self) -> NodeName {
        self.next(|action| match action {
            Action::Connect(node) => Some(node.clone()),
            _ => None,
        })
        .await
    }

    async fn failure(&mut self) -> String {
        self.next(|action| match action {
            Action::Event(Event::ProviderFailed { error, .. }) => Some(error.clone()),
            _ => None,
        })
        .await
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_provider_names_is_connected_and_a_failure_is_tried_again() {
    let mut ran = run(vec![list(&["me", "a"])]);
    assert_eq!(ran.connect().await, node("a"));
    let error = ConnectError {
        reason: "refused".into(),
        message: "nobody listens".into(),
    };
    ran.handle
        .connect_result(node("a"), Err(error.clone()))
        .unwrap();
    let began = Instant::now();
    assert_eq!(ran.connect().await, node("a"));
    assert!(
        began.elapsed() >= Duration::from_millis(50),
        "it backed off"
    );
    ran.handle.connect_result(node("a"), Ok(())).unwrap();
    ran.handle.up(node("a")).unwrap();
    let status = ran.handle.status().await.unwrap();
    assert_eq!(status.own, Some(node("me")));
    assert_eq!(status.nodes.len(), 1);
    assert_eq!(status.nodes[0].node, node("a"));
    assert!(matches!(status.nodes[0].state, NodeState::Connected { .. }));
    assert_eq!((status.counters.attempts, status.counters.joined), (2, 1));
    assert_eq!(status.providers[0].kind, "list");
    assert_eq!(status.providers[0].nodes, 1);
    assert_eq!(status.providers[0].error, None);

    ran.handle.down(node("a"), None).unwrap();
    assert_eq!(
        ran.connect().await,
        node("a"),
        "a lost node is sought again"
    );
}

#[tokio::test(start_paused = true)]
async fn refresh_has_providers_look_and_ends_backoffs() {
    let looks = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&looks);
    let source = acting(move |mut feed: Feed| {
        let looks = Arc::clone(&seen);
        async move {
            loop {
                looks.fetch_add(1, Ordering::Relaxed);
                feed.tell(Observation::Snapshot(nodes(&["a"]))).await;
                if feed.signal().await == Signal::Stop {
                    return;
                }
            }
        }
    });
    let mut setup = Setup::new(None);
    setup.policy.backoff =
        crate::cluster::Backoff::new(Duration::from_secs(600), Duration::from_secs(600)).unwrap();
    let mut ran = run_with(setup, vec![source]);
    ran.connect().await;
    let error = ConnectError {
        reason: "refused".into(),
        message: "nobody listens".into(),
    };
    ran.handle.connect_result(node("a"), Err(error)).unwrap();
    // The handle's word is taken before the refresh, in whatever order both were heard.
    ran.handle.refresh().unwrap();
    let began = Instant::now();
    ran.connect().await;
    assert!(began.elapsed() < Duration::from_secs(600));
    assert_eq!(looks.load(Ordering::Relaxed), 2);
}

/// What looked and was tried within two looks at the clocks, in one of which the machine slept or did not.
async fn around_a_sleep(reconnect: bool, slept: Duration) -> (u32, usize) {
    let looks = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&looks);
    let source = acting(move |mut feed: Feed| {
        let looks = Arc::clone(&seen);
        async move {
            feed.tell(Observation::Snapshot(nodes(&["a"]))).await;
            while feed.signal().await != Signal::Stop {
                looks.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let mut setup = Setup::new(None);
    setup.policy.reconnect = reconnect;
    setup.policy.backoff =
        crate::cluster::Backoff::new(Duration::from_secs(600), Duration::from_secs(600)).unwrap();
    let (sender, actions) = unbounded_channel();
    let outlet = move |action| {
        let _ = sender.send(action);
    };
    let (mut driver, handle) = Driver::new(setup, vec![source], outlet).unwrap();
    let began = Instant::now();
    driver.clocks = Box::new(move || {
        let monotonic = began.elapsed();
        let asleep = if monotonic > Duration::from_secs(3) {
            slept
        } else {
            Duration::ZERO
        };
        Clocks {
            monotonic,
            wall: Duration::from_secs(1_000) + monotonic + asleep,
        }
    });
    let mut ran = Ran {
        handle,
        actions,
        task: tokio::spawn(driver.run()),
    };
    ran.connect().await;
    let error = ConnectError {
        reason: "refused".into(),
        message: "nobody listens".into(),
    };
    ran.handle.connect_result(node("a"), Err(error)).unwrap();
    sleep(2 * LOOK + Duration::from_secs(1)).await;
    let mut attempts = 0;
    while let Ok(action) = ran.actions.try_recv() {
        attempts += usize::from(matches!(action, Action::Connect(_)));
    }
    (looks.load(Ordering::Relaxed), attempts)
}

#[tokio::test(start_paused = true)]
async fn whoever_wakes_up_looks_and_announces_and_tries_at_once() {
    let hour = Duration::from_secs(3_600);
    assert_eq!(around_a_sleep(true, hour).await, (1, 1));
    assert_eq!(around_a_sleep(false, hour).await, (1, 0));
    assert_eq!(around_a_sleep(true, Duration::ZERO).await, (0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_external_provider_is_spoken_for_by_name() {
    let mut ran = run(vec![list(&[]), Source::external("My.Provider")]);
    let ttl = Duration::from_secs(30);
    let seen = Observation::Seen(node("x"), ttl);
    ran.handle.observe("My.Provider", seen.clone()).unwrap();
    assert_eq!(ran.connect().await, node("x"));
    let provider = ran
        .next(|action| match action {
            Action::Event(Event::Withdrawn { provider, .. }) => Some(*provider),
            _ => None,
        })
        .await;
    assert_eq!(
        provider.index(),
        1,
        "the announcement ran out on tokio's clock"
    );
    for name in ["list", "nobody"] {
        assert_eq!(
            ran.handle.observe(name, seen.clone()),
            Err(DriverError::NotExternal(name.to_owned()))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_panics_shows_its_error_and_comes_back() {
    let panics = Arc::new(AtomicU32::new(0));
    let source = acting(move |mut feed: Feed| {
        let panics = Arc::clone(&panics);
        async move {
            if panics.fetch_add(1, Ordering::Relaxed) < 2 {
                panic!("what now");
            }
            feed.tell(Observation::Snapshot(nodes(&["a"]))).await;
            while feed.signal().await != Signal::Stop {}
        }
    });
    let mut ran = run(vec![source.named("mine"), list(&["b"])]);
    let began = Instant::now();
    let error = ran.failure().await;
    assert!(
        error.contains("mine") && error.contains("what now"),
        "{error}"
    );
    let status = ran.handle.status().await.unwrap();
    assert_eq!(status.providers[0].error, Some(error));
    while ran.connect().await != node("a") {}
    // 1 s after the first panic, 2 s after the second.
    assert_eq!(began.elapsed().as_secs(), 3);
    let status = ran.handle.status().await.unwrap();
    let provider = &status.providers[0];
    assert_eq!((provider.restarts, &provider.error), (2, &None));
    ran.handle.stop();
    ran.task.await.unwrap();
}

/// Counts, and ends when it is asked to look.
struct Counting(Arc<AtomicU32>);

impl crate::discovery::Counts for AtomicU32 {
    fn counts(&self) -> Vec<(&'static str, u64)> {
        vec![("looks", self.load(Ordering::Relaxed).into())]
    }
}

impl Provider for Counting {
    fn kind(&self) -> &'static str {
        "counting"
    }

    fn counters(&self) -> Option<crate::discovery::SharedCounts> {
        Some(self.0.clone())
    }

    fn run(self: Box<Self>, mut feed: Feed) -> Running {
        Box::pin(async move {
            self.0.fetch_add(7, Ordering::Relaxed);
            while feed.signal().await != Signal::Refresh {}
        })
    }
}

#[tokio::test(start_paused = true)]
async fn the_status_shows_what_a_provider_counts_since_it_was_last_started() {
    let made = Arc::new(AtomicU32::new(0));
    let source = Source::new("counting", move || {
        let before = made.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(Counting(Arc::new(AtomicU32::new(before)))))
    });
    let mut ran = run(vec![list(&["a"]), source]);
    ran.connect().await;
    sleep(Duration::from_millis(1)).await;
    let counters = |status: Status| status.providers.into_iter().map(|p| p.counters);
    let first: Vec<_> = counters(ran.handle.status().await.unwrap()).collect();
    assert_eq!(first, [vec![], vec![("looks", 7)]]);
    ran.handle.refresh().unwrap();
    ran.failure().await;
    sleep(Duration::from_secs(2)).await;
    let second: Vec<_> = counters(ran.handle.status().await.unwrap()).collect();
    assert_eq!(second, [vec![], vec![("looks", 8)]]);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_ends_or_cannot_be_made_is_an_error_too() {
    let ends = acting(|_feed| async {}).named("ends");
    let mut ran = run(vec![ends]);
    assert!(ran.failure().await.contains("ends: it ended by itself"));

    let no = Source::new("no", || Err("no socket; ask an administrator".into()));
    let mut ran = run(vec![no]);
    let error = ran.failure().await;
    assert!(error.contains("no socket; ask an administrator"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn stop_waits_for_the_goodbyes_up_to_its_bound() {
    for (goodbye, said) in [(300, true), (3000, false)] {
        let left = Arc::new(AtomicBool::new(false));
        let polite = Arc::clone(&left);
        let source = acting(move |mut feed: Feed| {
            let left = Arc::clone(&polite);
            async move {
                while feed.signal().await != Signal::Stop {}
                // More than the channel holds: the driver has to go on reading.
                for _ in 0..OBSERVATIONS * 3 {
                    feed.tell(Observation::Failed("leaving".into())).await;
                }
                sleep(Duration::from_millis(goodbye)).await;
                left.store(true, Ordering::Relaxed);
            }
        });
        let ran = run(vec![source]);
        ran.handle.status().await.unwrap();
        let began = Instant::now();
        ran.handle.stop();
        // Somebody who asks in the meantime gets an answer too.
        sleep(Duration::from_millis(10)).await;
        let (sender, receiver) = oneshot::channel();
        ran.handle
            .status_with(|status| sender.send(status).unwrap())
            .unwrap();
        ran.handle.stopped().await;
        assert!(receiver.await.is_ok());
        let bound = Duration::from_millis(goodbye).min(Duration::from_secs(1));
        assert_eq!(began.elapsed().as_millis(), bound.as_millis());
        assert_eq!(left.load(Ordering::Relaxed), said);
        assert_eq!(ran.handle.refresh(), Err(DriverError::Stopped));
        assert_eq!(ran.handle.status().await, Err(DriverError::Stopped));
        ran.task.await.unwrap();
        // What did not leave in time does not go on in secret.
        sleep(Duration::from_secs(10)).await;
        assert_eq!(left.load(Ordering::Relaxed), said);
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_stops_the_driver() {
    let ran = run(vec![list(&["a"])]);
    let clone = ran.handle.clone();
    drop(ran.handle);
    assert!(clone.status().await.is_ok());
    drop(clone);
    ran.task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_status_that_was_asked_for_before_the_stop_is_answered() {
    let ran = run(vec![]);
    let (sender, receiver) = oneshot::channel();
    ran.handle
        .status_with(|status| sender.send(status).unwrap())
        .unwrap();
    ran.handle.stop();
    assert!(receiver.await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_outlet_that_panics_leaves_no_handle_hanging() {
    let outlet = |action: Action| panic!("{action:?}");
    let setup = Setup::new(None);
    let (driver, handle) = Driver::new(setup, vec![list(&["a"])], outlet).unwrap();
    let task = tokio::spawn(driver.run());
    handle.stopped().await;
    assert!(task.await.unwrap_err().is_panic());
    assert_eq!(handle.up(node("a")), Err(DriverError::Stopped));
}

#[tokio::test(start_paused = true)]
async fn watching_tells_and_connects_to_nobody() {
    let external = Source::external("x");
    let mut ran = run_with(Setup::watch(), vec![list(&["a"]), external]);
    let observation = Observation::Snapshot(nodes(&["b"]));
    ran.handle.observe("x", observation).unwrap();
    ran.handle
        .observe("x", Observation::Snapshot(vec![]))
        .unwrap();
    ran.handle.status().await.unwrap();
    sleep(Duration::from_secs(3600)).await;
    ran.handle.stop();
    ran.task.await.unwrap();
    let mut seen = Vec::new();
    while let Some(action) = ran.actions.recv().await {
        assert!(!matches!(action, Action::Connect(_)), "{action:?}");
        seen.push(action);
    }
    assert!(!seen.is_empty());
}

#[test]
fn sources_are_few_and_have_names_of_their_own() {
    let make = |sources| Driver::new(Setup::new(None), sources, |_: Action| {}).map(|_| ());
    assert_eq!(
        make(vec![list(&[]), list(&[])]),
        Err(SetupError::SameName("list".into()))
    );
    assert_eq!(make(vec![list(&[]), list(&[]).named("second")]), Ok(()));
    let many = |count: usize| (0..count).map(|i| list(&[]).named(i.to_string())).collect();
    assert_eq!(make(many(64)), Ok(()));
    assert_eq!(make(many(65)), Err(SetupError::TooManyProviders(65)));
}

#[tokio::test(start_paused = true)]
async fn a_look_ends_with_the_last_answer() {
    let partly = acting(|mut feed: Feed| async move {
        sleep(Duration::from_millis(100)).await;
        feed.tell(Observation::Snapshot(nodes(&["b", "c"]))).await;
        sleep(Duration::from_millis(2)).await;
        feed.tell(Observation::Failed("db2 does not answer".into()))
            .await;
        feed.signal().await;
    });
    let sources = [
        list(&["a", "b"]),
        partly,
        Source::new("self", || Ok(Box::new(SelfOnly))),
    ];
    let began = Instant::now();
    let found = look(&sources, Duration::from_secs(5)).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1));
    assert_eq!(found.nodes, nodes(&["a", "b", "c"]).into_iter().collect());
    let failed = ("acting".to_owned(), "db2 does not answer".to_owned());
    assert_eq!(found.failed, [failed]);
    assert_eq!(found.silent, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_look_for_announcements_takes_its_time() {
    let hears = acting(|mut feed: Feed| async move {
        let ttl = Duration::from_secs(9);
        for name in ["a", "b", "c"] {
            sleep(Duration::from_secs(1)).await;
            feed.tell(Observation::Seen(node(name), ttl)).await;
        }
        feed.tell(Observation::Gone(node("b"))).await;
        feed.signal().await;
    });
    let deaf = acting(|mut feed: Feed| async move {
        feed.signal().await;
    });
    let sources = [hears, deaf.named("deaf"), list(&["z"])];
    let began = Instant::now();
    let found = look(&sources, Duration::from_secs(5)).await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 5);
    assert_eq!(found.nodes, nodes(&["a", "c", "z"]).into_iter().collect());
    assert_eq!(found.silent, ["deaf"]);
}

/// The inbox is read while it is filled from many threads, and nothing that counts is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_from_many_threads_all_arrive() {
    let mut setup = Setup::new(None);
    setup.policy.max_nodes = None;
    let joined = Arc::new(Mutex::new(std::collections::HashSet::new()));
    let sink = Arc::clone(&joined);
    let outlet = move |action| {
        if let Action::Event(Event::Joined { node, .. }) = action {
            sink.lock().unwrap().insert(node);
        }
    };
    let (driver, handle) = Driver::new(setup, vec![], outlet).unwrap();
    tokio::spawn(driver.run());
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let handle = handle.clone();
            std::thread::spawn(move || {
                for index in 0..2_000 {
                    handle.up(node(&format!("n{thread}-{index}"))).unwrap();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let status = handle.status().await.unwrap();
    assert_eq!(status.nodes.len(), 8_000);
    assert_eq!(joined.lock().unwrap().len(), 8_000);
}

/// Keeps what it gets, connects to known ports apart.
struct Kept(mpsc::UnboundedSender<(NodeName, Option<u16>)>);

impl Outlet for Kept {
    fn deliver(&mut self, action: Action) {
        if let Action::Connect(node) = action {
            let _ = self.0.send((node, None));
        }
    }

    fn connect(&mut self, node: NodeName, port: u16) {
        let _ = self.0.send((node, Some(port)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_port_that_a_provider_knows_goes_with_the_connect() {
    let source = acting(|feed: Feed| async move {
        feed.tell(Observation::Ports(vec![(node("a"), 9100)])).await;
        feed.tell(Observation::Snapshot(nodes(&["a", "b"]))).await;
        std::future::pending().await
    });
    let (sender, mut connects) = unbounded_channel();
    let setup = Setup::new(Some(node("me")));
    let (driver, handle) = Driver::new(setup, vec![source], Kept(sender)).unwrap();
    tokio::spawn(driver.run());
    let mut got = [
        connects.recv().await.unwrap(),
        connects.recv().await.unwrap(),
    ];
    got.sort();
    assert_eq!(got, [(node("a"), Some(9100)), (node("b"), None)]);
    handle.stop();
}
