//! The provider itself.

use std::fmt;

use bytes::Bytes;
use http::header::ACCEPT;
use http::{Request, StatusCode, Uri};
use serde::Deserialize;

use super::RancherConfig;
use crate::discovery::Context;
use crate::discovery::address::plain;
use crate::discovery::app_name::app_name;
use crate::discovery::http::client::{Client, Limits};
use crate::discovery::polling::{Answer, Poll, PollError, Polling};
use crate::name::NodeName;

/// The first version of the metadata in which a service holds its containers and not only their names.
const VERSION: &str = "2015-12-19";

/// The most bytes of an answer. A container is about one thousand.
const MOST: usize = 16 << 20;

/// Makes the provider.
///
/// # Errors
/// A sentence for the user if a name or the endpoint cannot be one, or there is no `app_name`.
pub fn rancher(config: &RancherConfig, context: &Context) -> Result<Polling<Rancher>, String> {
    Ok(Polling::new(Rancher::new(config, context)?, config.interval).keeping(config.keep_for))
}

/// Asks Rancher's metadata; see [`rancher`].
pub struct Rancher {
    url: Uri,
    /// What is asked for, in words.
    what: String,
    app: String,
    client: Client,
    limits: Limits,
}

/// The URL may hold a secret.
impl fmt::Debug for Rancher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rancher")
            .field("what", &self.what)
            .field("app", &self.app)
            .finish_non_exhaustive()
    }
}

impl Rancher {
    fn new(config: &RancherConfig, context: &Context) -> Result<Self, String> {
        for (option, name) in [("service", &config.service), ("stack", &config.stack)] {
            if let Some(name) = name
                && !name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
            {
                return Err(format!(
                    "{option}: {name:?} is no name of Rancher's: they have letters, digits, `-`, `_` and `.`"
                ));
            }
        }
        let (path, what) = match (&config.stack, &config.service) {
            (None, None) => ("self/service".into(), "the own container's service".into()),
            (None, Some(service)) => (
                format!("self/stack/services/{service}"),
                format!("the service {service} of the own container's stack"),
            ),
            (Some(stack), Some(service)) => (
                format!("stacks/{stack}/services/{service}"),
                format!("the service {service} of the stack {stack}"),
            ),
            (Some(_), None) => {
                return Err("stack needs service beside it: which of the stack's services?".into());
            }
        };
        let base = config.endpoint.trim_end_matches('/');
        let url = format!("{base}/{VERSION}/{path}");
        let refused = |why: String| {
            format!(
                "endpoint: {:?} is no URL ({why}); one is written http://rancher-metadata",
                config.endpoint
            )
        };
        let url: Uri = url.parse().map_err(|why| refused(format!("{why}")))?;
        if !matches!(url.scheme_str(), Some("http" | "https")) {
            return Err(refused("it has to begin with http:// or https://".into()));
        }
        if url.authority().is_some_and(|it| it.as_str().contains('@')) {
            return Err(
                "endpoint holds a user or password, for which Rancher's metadata has no use".into(),
            );
        }
        Ok(Self {
            url,
            what,
            app: app_name(config.app_name.as_deref(), context)?,
            client: Client::new(),
            limits: Limits {
                timeout: config.timeout,
                body: MOST,
            },
        })
    }

    async fn look(&self) -> Result<Vec<NodeName>, String> {
        let request = Request::get(&self.url)
            .header(ACCEPT, "application/json")
            .body(Bytes::new())
            .map_err(|why| why.to_string())?;
        let answer = self
            .client
            .send(request, self.limits)
            .await
            .map_err(|why| {
                format!(
                    "Rancher's metadata: {why}; it is there in containers on Rancher's network, or with the label \
                     io.rancher.container.dns=true"
                )
            })?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => {
                return Err(format!(
                    "Rancher's metadata does not know {}: see the options service and stack",
                    self.what
                ));
            }
            status => return Err(format!("Rancher's metadata answers {status}")),
        }
        let service: Service = serde_json::from_slice(answer.body()).map_err(|why| {
            format!("what Rancher's metadata answers is no service with containers ({why})")
        })?;
        let hosts = service.containers.iter().filter_map(Container::host);
        Ok(hosts
            .filter_map(|host| NodeName::new(&self.app, &plain(host)).ok())
            .collect())
    }
}

impl Poll for Rancher {
    fn kind(&self) -> &'static str {
        "rancher"
    }

    async fn poll(&mut self) -> Result<Answer, PollError> {
        let nodes = self.look().await.map_err(PollError)?;
        Ok(Answer::new(nodes, None))
    }
}

/// A service. Containers are not optional: some other document must not read as "there are none".
#[derive(Deserialize)]
struct Service {
    containers: Vec<Container>,
}

#[derive(Deserialize)]
struct Container {
    primary_ip: Option<String>,
    #[serde(default)]
    ips: Option<Vec<String>>,
    state: Option<String>,
}

impl Container {
    /// Its address, if it has one yet and has not ended.
    fn host(&self) -> Option<&str> {
        const ENDED: [&str; 6] = [
            "stopping", "stopped", "removing", "removed", "purging", "purged",
        ];
        if self
            .state
            .as_deref()
            .is_some_and(|state| ENDED.contains(&state))
        {
            return None;
        }
        let first = self.ips.iter().flatten().next();
        self.primary_ip
            .as_deref()
            .or(first.map(String::as_str))
            .filter(|host| !host.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> Context {
        Context {
            own: Some("shop@10.42.0.1".parse().unwrap()),
            cookie: None,
        }
    }

    fn url(service: Option<&str>, stack: Option<&str>) -> Result<String, String> {
        let config = RancherConfig {
            service: service.map(Into::into),
            stack: stack.map(Into::into),
            ..RancherConfig::default()
        };
        Rancher::new(&config, &context()).map(|rancher| rancher.url.to_string())
    }

    #[test]
    fn the_service_is_the_own_one_or_the_one_named() {
        let path = |service, stack| {
            let url = url(service, stack).unwrap();
            url.strip_prefix("http://rancher-metadata/2015-12-19/")
                .unwrap()
                .to_owned()
        };
        assert_eq!(path(None, None), "self/service");
        assert_eq!(path(Some("web"), None), "self/stack/services/web");
        assert_eq!(path(Some("web"), Some("shop")), "stacks/shop/services/web");
    }

    #[test]
    fn what_cannot_be_asked_for_is_refused_with_the_option_s_name() {
        for (service, stack, part) in [
            (None, Some("shop"), "stack needs service"),
            (Some("../hosts"), None, "service: \"../hosts\""),
            (Some("web"), Some("a b"), "stack: \"a b\""),
        ] {
            let error = url(service, stack).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
        for endpoint in ["", "rancher-metadata", "ftp://x", "http://a b"] {
            let config = RancherConfig {
                endpoint: endpoint.into(),
                ..RancherConfig::default()
            };
            let error = Rancher::new(&config, &context()).unwrap_err();
            assert!(error.starts_with("endpoint"), "{endpoint}: {error}");
        }
    }

    #[test]
    fn containers_that_have_ended_or_have_no_address_yet_are_left_out() {
        let service: Service = serde_json::from_str(
            r#"{"name": "web", "containers": [
                {"name": "a", "primary_ip": "10.42.0.1", "ips": ["10.42.0.9"], "state": "running"},
                {"name": "b", "primary_ip": null, "ips": ["10.42.0.2", "10.42.0.3"]},
                {"name": "c", "primary_ip": "10.42.0.4", "state": "stopped"},
                {"name": "d", "primary_ip": null, "ips": null, "state": "starting"},
                {"name": "e", "primary_ip": "", "ips": []}
            ]}"#,
        )
        .unwrap();
        let hosts: Vec<_> = service
            .containers
            .iter()
            .filter_map(Container::host)
            .collect();
        assert_eq!(hosts, ["10.42.0.1", "10.42.0.2"]);
        // An older version names its containers only; anything else is no service.
        for text in [
            r#"{"containers": ["a"]}"#,
            r#"{"name": "web"}"#,
            "null",
            "[]",
        ] {
            assert!(serde_json::from_str::<Service>(text).is_err(), "{text}");
        }
    }
}
