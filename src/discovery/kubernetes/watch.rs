//! The provider: lists once, watches, and finds its way back after whatever went wrong.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;

use futures::{FutureExt, Stream, StreamExt};
use kube::Api;
use kube::runtime::watcher::{self, Event};
use tokio::time::{Instant, sleep, timeout};

use super::access::{Access, access};
use super::config::{KubernetesConfig, Lookup};
use super::failure::{Trouble, Verdict, verdict};
use super::naming::Naming;
use super::objects::{EndpointSlice, Object, Place, Pod};
use crate::discovery::polling::{Outcome, Pace, jitter};
use crate::discovery::{Context, Feed, Observation, Provider, Running, Signal};
use crate::name::NodeName;

/// The longest pause between two attempts to reach the API, unless the server asks for a longer one.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A watch that held this long was a good one: what fails after it, fails for the first time.
const STEADY: Duration = Duration::from_secs(10);

/// The longest pause between two lists where the role does not let us watch.
const LIST_AGAIN: Duration = Duration::from_secs(5);

/// Objects in one answer. A pod can be tens of kilobytes, and an answer is held whole while it is read.
const PAGE: u32 = 100;

/// The API server ends a watch by itself before this; the crate refuses more.
const LONGEST_WATCH: Duration = Duration::from_secs(294);

/// Makes the provider.
///
/// # Errors
/// A sentence for the user if there is no `app_name` to be had or it is none, or if the selector is empty,
/// which would take in every pod of the namespace.
pub fn kubernetes(config: &KubernetesConfig, context: &Context) -> Result<Kubernetes, String> {
    if config.selector.trim().is_empty() {
        return Err(
            "selector is empty, which would make every pod a peer; give one such as app=myapp"
                .into(),
        );
    }
    let naming = Naming::new(config, context, std::env::var("CLUSTER_DOMAIN").ok())?;
    Ok(Kubernetes {
        config: config.clone(),
        naming,
    })
}

/// Watches the API of a Kubernetes cluster; see [`kubernetes`].
#[derive(Debug)]
pub struct Kubernetes {
    config: KubernetesConfig,
    naming: Naming,
}

impl Provider for Kubernetes {
    fn kind(&self) -> &'static str {
        "kubernetes"
    }

    fn run(self: Box<Self>, feed: Feed) -> Running {
        let watch = Watch {
            config: self.config,
            naming: self.naming,
            access: None,
            changes: None,
            put_by: None,
            known: Known::default(),
            told: None,
            failing: false,
            broke: None,
            pace: Pace::new(LONGEST_PAUSE),
            lists: Pace::new(LIST_AGAIN),
            changed: false,
            noticed: false,
        };
        Box::pin(watch.run(feed))
    }
}

/// What the watch says of one object: its name, and where nodes may be according to it.
enum Change {
    /// A list begins.
    Begins,
    /// An object of the list.
    Listed(String, Vec<Place>),
    /// The list is whole.
    Whole,
    /// An object is new or other than it was.
    Put(String, Vec<Place>),
    /// An object is gone.
    Gone(String),
}

type Changes = Pin<Box<dyn Stream<Item = Result<Change, watcher::Error>> + Send>>;

fn changes<K: Object>(access: &Access, config: watcher::Config) -> Changes {
    let api: Api<K> = Api::namespaced(access.client.clone(), &access.namespace);
    let parts = |object: K| {
        let name = object.meta().name.clone().unwrap_or_default();
        (name, object.into_places())
    };
    let stream = watcher::watcher(api, config).map(move |event| {
        Ok(match event? {
            Event::Init => Change::Begins,
            Event::InitApply(object) => {
                let (name, places) = parts(object);
                Change::Listed(name, places)
            }
            Event::InitDone => Change::Whole,
            Event::Apply(object) => {
                let (name, places) = parts(object);
                Change::Put(name, places)
            }
            Event::Delete(object) => Change::Gone(parts(object).0),
        })
    });
    Box::pin(stream)
}

/// The objects that the API has told of.
#[derive(Default)]
struct Known {
    objects: BTreeMap<String, Vec<Place>>,
    /// A list that is not whole yet. What was known before holds until it is.
    listing: Option<BTreeMap<String, Vec<Place>>>,
    /// Since when there is a whole list, and a watch that goes on from it.
    whole_since: Option<Instant>,
}

impl Known {
    /// Whether what is known is a whole answer now.
    fn take(&mut self, change: Change) -> bool {
        match change {
            Change::Begins => {
                self.listing = Some(BTreeMap::new());
            }
            Change::Listed(name, places) => {
                self.listing.get_or_insert_default().insert(name, places);
            }
            Change::Whole => {
                self.objects = self.listing.take().unwrap_or_default();
                self.whole_since = Some(Instant::now());
            }
            Change::Put(name, places) => {
                self.objects.insert(name, places);
            }
            Change::Gone(name) => {
                self.objects.remove(&name);
            }
        }
        self.listing.is_none()
    }

    fn settled(&self) -> bool {
        self.listing.is_none() && self.whole_since.is_some()
    }

    /// Everything will be listed anew.
    fn unsettle(&mut self) {
        self.listing = None;
        self.whole_since = None;
    }
}

struct Watch {
    config: KubernetesConfig,
    naming: Naming,
    access: Option<Access>,
    changes: Option<Changes>,
    /// An error that came right after a change.
    put_by: Option<watcher::Error>,
    known: Known,
    told: Option<Vec<NodeName>>,
    failing: bool,
    /// When a connection broke last.
    broke: Option<Instant>,
    pace: Pace,
    /// The pace of lists where there is no watch.
    lists: Pace,
    /// Something was told since the last of these lists.
    changed: bool,
    /// It was told that there is no watch.
    noticed: bool,
}

/// Why the next change did not come.
enum Interrupted {
    /// The watch goes on by itself, after a pause.
    Pause,
    /// It has to be made anew.
    Anew,
    /// There is a list, and the role does not let us watch what becomes of it: a sentence for the user.
    Listed(String),
    /// A connection broke. Once that means nothing.
    Broken(Trouble),
    /// The API cannot be asked.
    Failed(Trouble),
}

impl Watch {
    async fn run(mut self, mut feed: Feed) {
        loop {
            let next = tokio::select! {
                next = self.next() => next,
                signal = feed.signal() => match signal {
                    Signal::Stop => return,
                    Signal::Refresh => {
                        self.quicken();
                        self.anew();
                        continue;
                    }
                },
            };
            let pause = match next {
                Ok(change) => {
                    self.take(change, &feed).await;
                    continue;
                }
                Err(interrupted) => self.interrupted(interrupted, &feed).await,
            };
            tokio::select! {
                () = sleep(pause) => {}
                signal = feed.signal() => match signal {
                    Signal::Stop => return,
                    Signal::Refresh => {
                        self.quicken();
                        self.anew();
                    }
                },
            }
        }
    }

    fn quicken(&mut self) {
        self.pace.quicken();
        self.lists.quicken();
    }

    /// Makes the next step begin with a list.
    fn anew(&mut self) {
        self.changes = None;
        self.put_by = None;
        self.known.unsettle();
    }

    fn what(&self) -> &'static str {
        match self.config.lookup {
            Lookup::Pods => Pod::PLURAL,
            Lookup::EndpointSlices => EndpointSlice::PLURAL,
        }
    }

    /// The next change; whatever has to be there for it is made.
    async fn next(&mut self) -> Result<Change, Interrupted> {
        if self.access.is_none() {
            self.access = Some(access(&self.config).await.map_err(Interrupted::Failed)?);
        }
        let Some(access) = &self.access else {
            return Err(Interrupted::Anew);
        };
        let changes = self.changes.get_or_insert_with(|| {
            let config = watcher::Config::default()
                .labels(&self.config.selector)
                .page_size(PAGE)
                .timeout(watch_seconds(self.config.watch_timeout));
            match self.config.lookup {
                Lookup::Pods => changes::<Pod>(access, config),
                Lookup::EndpointSlices => changes::<EndpointSlice>(access, config),
            }
        });
        let item = if let Some(error) = self.put_by.take() {
            Some(Err(error))
        } else if self.known.settled() {
            changes.next().await
        } else {
            // A watch may be silent for as long as it likes, a list may not.
            let within = self.config.timeout;
            timeout(within, changes.next()).await.map_err(|_| {
                Interrupted::Failed(Trouble::plain(format!(
                    "the Kubernetes API does not answer within {within:?}; is it reachable from here, and is timeout long enough?"
                )))
            })?
        };
        match item {
            Some(Ok(change)) => Ok(change),
            Some(Err(error)) => match verdict(&error, self.what(), &access.namespace) {
                Verdict::GoesOn => {
                    tracing::debug!(error = %error, "the watch of the Kubernetes API was interrupted");
                    Err(Interrupted::Pause)
                }
                Verdict::ListAnew => Err(Interrupted::Anew),
                Verdict::MayNotWatch(why) => Err(Interrupted::Listed(why)),
                Verdict::Breaks(trouble) => Err(Interrupted::Broken(trouble)),
                Verdict::Fails(trouble) => Err(Interrupted::Failed(trouble)),
            },
            // It has no end; if it had, another would have to be made.
            None => Err(Interrupted::Anew),
        }
    }

    /// Does what an interruption asks for, and says how long to wait before going on.
    async fn interrupted(&mut self, interrupted: Interrupted, feed: &Feed) -> Duration {
        if self
            .known
            .whole_since
            .is_some_and(|since| since.elapsed() > STEADY)
        {
            self.pace.quicken();
            self.known.whole_since = Some(Instant::now());
        }
        let pause = jitter(self.pace.next(Outcome::Failed), rand::random());
        let broke_before = self.broke.is_some_and(|at| at.elapsed() < STEADY);
        match interrupted {
            Interrupted::Pause => pause,
            Interrupted::Broken(_) if !broke_before => {
                self.broke = Some(Instant::now());
                pause
            }
            Interrupted::Anew => {
                self.anew();
                pause
            }
            Interrupted::Listed(why) => {
                self.anew();
                if !self.noticed {
                    self.noticed = true;
                    feed.tell(Observation::Notice(why)).await;
                }
                self.pace.quicken();
                let changed = std::mem::take(&mut self.changed);
                let listed = Outcome::Answered { changed, ttl: None };
                jitter(self.lists.next(listed), rand::random())
            }
            Interrupted::Broken(trouble) | Interrupted::Failed(trouble) => {
                self.anew();
                // A new client reads token, certificates and kubeconfig anew.
                self.access = None;
                self.failing = true;
                feed.tell(Observation::Failed(trouble.message)).await;
                pause.max(trouble.rest.unwrap_or_default())
            }
        }
    }

    /// The next change if it is there already. An error is kept for [`Watch::next`].
    fn at_hand(&mut self) -> Option<Change> {
        if self.put_by.is_some() {
            return None;
        }
        match self.changes.as_mut()?.next().now_or_never()?? {
            Ok(change) => Some(change),
            Err(error) => {
                self.put_by = Some(error);
                None
            }
        }
    }

    /// Takes in a change, and those that are there already, and tells what has come of them.
    async fn take(&mut self, change: Change, feed: &Feed) {
        let mut whole = self.known.take(change);
        // Many pods change at once when a deployment does.
        while let Some(more) = self.at_hand() {
            whole = self.known.take(more);
        }
        if !whole {
            return;
        }
        let places = self.known.objects.values().flatten();
        let named = self.naming.names(places);
        if named.nodes.is_empty() && named.unnamed > 0 {
            // That nobody can be named does not say that nobody is there.
            let trouble = self.naming.trouble(named.unnamed, self.what());
            self.failing = true;
            feed.tell(Observation::Failed(trouble)).await;
        } else if self.failing || self.told.as_ref() != Some(&named.nodes) {
            self.failing = false;
            self.changed = true;
            self.told = Some(named.nodes.clone());
            feed.tell(Observation::Snapshot(named.nodes)).await;
        }
    }
}

fn watch_seconds(span: Duration) -> u32 {
    let seconds = span.min(LONGEST_WATCH).as_secs().max(1);
    u32::try_from(seconds).unwrap_or(u32::MAX)
}
