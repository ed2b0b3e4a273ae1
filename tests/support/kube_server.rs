//! A Kubernetes API server as far as lists and watches of pods and EndpointSlices go.
//!
//! What it says has the shape of a real one's answers: pages, versions, events, bookmarks, `Status` objects.
//! See <https://kubernetes.io/docs/reference/using-api/api-concepts/>.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::web_server::{Asked, Authority, HttpServer, Said, answer};

/// The namespace in which everything is.
pub const NAMESPACE: &str = "prod";

/// The server and its cluster.
pub struct KubeServer {
    /// What clients have to trust.
    pub authority: Authority,
    http: HttpServer,
    state: Arc<Mutex<State>>,
}

struct State {
    token: String,
    version: u64,
    /// Watches from before this version are refused.
    oldest: u64,
    /// By resource and name.
    objects: BTreeMap<(String, String), Value>,
    events: Vec<Event>,
    watches: Vec<Watch>,
    /// What every question is answered with instead.
    failure: Option<(u16, Value)>,
    silent: bool,
    /// The client's role has the verb list, and not the verb watch.
    list_only: bool,
}

#[derive(Clone)]
struct Event {
    version: u64,
    resource: String,
    json: Value,
}

struct Watch {
    resource: String,
    selector: Option<String>,
    events: mpsc::UnboundedSender<Bytes>,
}

impl KubeServer {
    /// Starts one on loopback, with TLS, that takes the token `first`.
    pub fn start() -> Self {
        Self::start_on(Ipv4Addr::LOCALHOST.into())
    }

    /// Starts one on an address of this machine.
    pub fn start_on(address: IpAddr) -> Self {
        let authority = Authority::new();
        let state = Arc::new(Mutex::new(State {
            token: "first".into(),
            version: 1000,
            oldest: 0,
            objects: BTreeMap::new(),
            events: Vec::new(),
            watches: Vec::new(),
            failure: None,
            list_only: false,
            silent: false,
        }));
        let shared = Arc::clone(&state);
        let http = HttpServer::start_on(address, Some(&authority), move |asked| {
            shared.lock().expect("the state").answer(asked)
        });
        Self {
            authority,
            http,
            state,
        }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        self.http.url()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the state")
    }

    /// Creates or changes an object of a resource.
    pub fn put(&self, resource: &str, object: Value) {
        self.state().put(resource, object);
    }

    /// Deletes one.
    pub fn delete(&self, resource: &str, name: &str) {
        self.state().delete(resource, name);
    }

    /// Tells every watch the version, so that it need not start from an older one.
    pub fn bookmark(&self) -> u64 {
        let mut state = self.state();
        state.version += 1;
        let version = state.version;
        for watch in &state.watches {
            let kind = kind(&watch.resource);
            let object = json!({"kind": kind.0, "apiVersion": kind.1, "metadata": {"resourceVersion": version.to_string(), "creationTimestamp": null}});
            let _ = watch
                .events
                .send(line(&json!({"type": "BOOKMARK", "object": object})));
        }
        version
    }

    /// Forgets what came before: watches end, and cannot go on from where they were.
    pub fn compact(&self) {
        let mut state = self.state();
        state.version += 1;
        state.oldest = state.version;
        state.events.clear();
        for watch in state.watches.drain(..) {
            let _ = watch
                .events
                .send(line(&json!({"type": "ERROR", "object": gone()})));
        }
    }

    /// Forgets what came before, and cuts every connection: the client hears of it when it comes back.
    pub fn compact_and_cut(&self) {
        {
            let mut state = self.state();
            state.version += 1;
            state.oldest = state.version;
            state.events.clear();
        }
        self.cut();
    }

    /// Cuts every connection.
    pub fn cut(&self) {
        self.state().watches.clear();
        self.http.cut();
    }

    /// Takes another token from now on, and only that.
    pub fn rotate(&self, token: &str) {
        token.clone_into(&mut self.state().token);
        self.cut();
    }

    /// Answers everything with this status from now on, or not any more.
    pub fn fail(&self, failure: Option<(u16, Value)>) {
        self.state().failure = failure;
        self.cut();
    }

    /// Lets clients list and not watch from now on.
    pub fn forbid_watches(&self) {
        self.state().list_only = true;
    }

    /// Answers nothing from now on, or again.
    pub fn silence(&self, silent: bool) {
        self.state().silent = silent;
        self.cut();
    }

    /// How many watches there are.
    pub fn watches(&self) -> usize {
        let mut state = self.state();
        state.watches.retain(|watch| !watch.events.is_closed());
        state.watches.len()
    }

    /// What it was asked since the last call.
    pub fn take_asked(&self) -> Vec<Asked> {
        self.http.take_asked()
    }
}

/// `kind` and `apiVersion` of a resource.
fn kind(resource: &str) -> (&'static str, &'static str) {
    match resource {
        "pods" => ("Pod", "v1"),
        _ => ("EndpointSlice", "discovery.k8s.io/v1"),
    }
}

fn line(json: &Value) -> Bytes {
    format!("{json}\n").into()
}

fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    })
}

fn gone() -> Value {
    status(410, "Expired", "too old resource version: 5 (1000)")
}

fn selected(object: &Value, selector: Option<&str>) -> bool {
    let Some((label, value)) = selector.and_then(|selector| selector.split_once('=')) else {
        return true;
    };
    object["metadata"]["labels"][label] == value
}

impl State {
    fn put(&mut self, resource: &str, mut object: Value) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        object["metadata"]["namespace"] = NAMESPACE.into();
        let name = object["metadata"]["name"]
            .as_str()
            .expect("a name")
            .to_owned();
        let before = self
            .objects
            .insert((resource.to_owned(), name), object.clone());
        let what = if before.is_some() {
            "MODIFIED"
        } else {
            "ADDED"
        };
        self.tell(resource, what, object);
    }

    fn delete(&mut self, resource: &str, name: &str) {
        let key = (resource.to_owned(), name.to_owned());
        let mut object = self.objects.remove(&key).expect("an object of that name");
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.tell(resource, "DELETED", object);
    }

    fn tell(&mut self, resource: &str, what: &str, mut object: Value) {
        (object["kind"], object["apiVersion"]) = (kind(resource).0.into(), kind(resource).1.into());
        let event = Event {
            version: self.version,
            resource: resource.to_owned(),
            json: json!({"type": what, "object": object}),
        };
        for watch in &self.watches {
            event.send(watch);
        }
        self.events.push(event);
    }

    fn answer(&mut self, asked: &Asked) -> Said {
        if self.silent {
            return Said::Silence;
        }
        let json = |code, body: &Value| {
            answer(
                code,
                &[("content-type", "application/json")],
                body.to_string(),
            )
        };
        if let Some((code, body)) = &self.failure {
            return json(*code, body);
        }
        if asked.header("authorization") != Some(&format!("Bearer {}", self.token)) {
            return json(401, &status(401, "Unauthorized", "Unauthorized"));
        }
        let resource = match asked.path.as_str() {
            "/api/v1/namespaces/prod/pods" => "pods",
            "/apis/discovery.k8s.io/v1/namespaces/prod/endpointslices" => "endpointslices",
            path => {
                return json(
                    404,
                    &status(404, "NotFound", &format!("there is no {path}")),
                );
            }
        };
        if !matches!(asked.value("watch"), Some("true" | "1")) {
            return json(200, &self.list(resource, asked));
        }
        if self.list_only {
            let message = format!(
                "{resource} is forbidden: User \"system:serviceaccount:prod:default\" cannot watch resource \"{resource}\""
            );
            return json(403, &status(403, "Forbidden", &message));
        }
        let from: u64 = asked
            .value("resourceVersion")
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        if from < self.oldest {
            return json(410, &gone());
        }
        let (events, body) = mpsc::unbounded_channel();
        let watch = Watch {
            resource: resource.to_owned(),
            selector: asked.value("labelSelector").map(str::to_owned),
            events,
        };
        for event in self.events.iter().filter(|event| event.version > from) {
            event.send(&watch);
        }
        self.watches.push(watch);
        Said::Stream(body)
    }

    /// A page of a list.
    fn list(&self, resource: &str, asked: &Asked) -> Value {
        let limit: usize = asked
            .value("limit")
            .and_then(|text| text.parse().ok())
            .unwrap_or(usize::MAX);
        let from: usize = asked
            .value("continue")
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        let all: Vec<&Value> = self
            .objects
            .iter()
            .filter(|((of, _), object)| {
                of == resource && selected(object, asked.value("labelSelector"))
            })
            .map(|(_, object)| object)
            .collect();
        let page: Vec<_> = all.iter().skip(from).take(limit).collect();
        let next = from.saturating_add(limit);
        let (kind, version) = kind(resource);
        let mut metadata = json!({"resourceVersion": self.version.to_string()});
        if next < all.len() {
            metadata["continue"] = next.to_string().into();
            metadata["remainingItemCount"] = (all.len() - next).into();
        }
        json!({"kind": format!("{kind}List"), "apiVersion": version, "metadata": metadata, "items": page})
    }
}

impl Event {
    fn send(&self, watch: &Watch) {
        let object = &self.json["object"];
        if self.resource == watch.resource && selected(object, watch.selector.as_deref()) {
            let _ = watch.events.send(line(&self.json));
        }
    }
}

/// A pod of the app `shop` as a real API server tells it, with this name and address.
pub fn pod(name: &str, address: &str, ready: bool) -> Value {
    let text = include_str!("../../src/discovery/kubernetes/testdata/pod.json");
    let mut pod: Value = serde_json::from_str(text).expect("JSON");
    pod["metadata"]["name"] = name.into();
    pod["spec"]["hostname"] = name.into();
    pod["status"]["podIP"] = address.into();
    pod["status"]["podIPs"] = json!([{"ip": address}]);
    let ready = if ready { "True" } else { "False" };
    for condition in pod["status"]["conditions"]
        .as_array_mut()
        .expect("conditions")
    {
        if condition["type"] == "Ready" {
            condition["status"] = ready.into();
        }
    }
    pod
}
