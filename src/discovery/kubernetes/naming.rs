//! From places to the names of nodes: a pure rule.

use std::collections::HashSet;
use std::net::IpAddr;

use super::config::{KubernetesConfig, Mode};
use super::objects::Place;
use crate::discovery::Context;
use crate::discovery::host_template::{address_in, dashed};
use crate::name::NodeName;

/// How the nodes are called.
#[derive(Debug, Clone)]
pub(super) struct Naming {
    mode: Mode,
    app: String,
    service: Option<String>,
    domain: String,
    ready_only: bool,
    /// Whether IPv6 addresses are wanted; `None` for the first of a pod.
    ipv6: Option<bool>,
}

/// What places come to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// Without order or repetition.
    pub nodes: Vec<NodeName>,
    /// Places that count but that cannot be named in this mode.
    pub unnamed: usize,
}

impl Naming {
    /// Takes what the configuration says, and what the own name does where it says nothing.
    ///
    /// `cluster_domain` is the variable `CLUSTER_DOMAIN`.
    pub fn new(
        config: &KubernetesConfig,
        context: &Context,
        cluster_domain: Option<String>,
    ) -> Result<Self, String> {
        let own = context.own.as_ref();
        let app = config.app_name.clone();
        let app = app
            .or_else(|| own.map(|own| own.name().to_owned()))
            .ok_or("app_name is missing, and there is no own node to take it from; give it")?;
        NodeName::new(&app, "localhost")
            .map_err(|invalid| format!("app_name: {app:?} cannot stand before the @: {invalid}"))?;
        let domain = config.cluster_domain.clone().or(cluster_domain);
        let own_address = own.and_then(|own| address_in(own.host()));
        Ok(Self {
            mode: config.mode,
            app,
            service: config.service_name.clone(),
            domain: domain
                .filter(|domain| !domain.is_empty())
                .unwrap_or_else(|| "cluster.local".into()),
            ready_only: config.ready_only,
            ipv6: config.ipv6.or(own_address.map(|own| own.is_ipv6())),
        })
    }

    /// Names the nodes at these places.
    pub fn names<'a>(&self, places: impl Iterator<Item = &'a Place> + Clone) -> Named {
        let places = places.filter(|place| place.ready || !self.ready_only);
        // Of a dual-stack service there are two slices. Where nobody chose, a node is named once.
        let in_both: HashSet<&str> = places
            .clone()
            .filter(|place| place.addresses[0].is_ipv4())
            .filter_map(|place| place.pod.as_deref())
            .collect();
        let mut named = Named {
            nodes: Vec::new(),
            unnamed: 0,
        };
        for place in places {
            let second = place.addresses[0].is_ipv6()
                && place
                    .pod
                    .as_deref()
                    .is_some_and(|pod| in_both.contains(pod));
            if self.ipv6.is_none() && second {
                continue;
            }
            match self.name(place) {
                Some(node) => named.nodes.push(node),
                None => named.unnamed += 1,
            }
        }
        named.nodes.sort_unstable();
        named.nodes.dedup();
        named
    }

    fn name(&self, place: &Place) -> Option<NodeName> {
        let domain = &self.domain;
        let namespace = &place.namespace;
        let host = match self.mode {
            Mode::Ip => self.address(place)?.to_string(),
            Mode::Dns => {
                let dashed = dashed(self.address(place)?);
                format!("{dashed}.{namespace}.pod.{domain}")
            }
            Mode::Hostname => {
                let host = place.hostname.as_ref()?;
                let service = self.service.as_ref().or(place.service.as_ref())?;
                format!("{host}.{service}.{namespace}.svc.{domain}")
            }
        };
        NodeName::new(&self.app, &host).ok()
    }

    fn address(&self, place: &Place) -> Option<IpAddr> {
        let mut addresses = place.addresses.iter().copied();
        match self.ipv6 {
            None => addresses.next(),
            Some(wanted) => addresses.find(|address| address.is_ipv6() == wanted),
        }
    }

    /// Why none of the places that count could be named, and what helps.
    pub fn trouble(&self, unnamed: usize, what: &str) -> String {
        let why = match self.mode {
            Mode::Hostname => {
                "none of them has a host name and a service, as pods of a StatefulSet with a headless service \
                 have; use such a StatefulSet, or mode ip or dns"
            }
            Mode::Ip | Mode::Dns if self.ipv6 == Some(true) => {
                "none of them has an IPv6 address; set ipv6 to false, or make the cluster dual-stack"
            }
            Mode::Ip | Mode::Dns if self.ipv6 == Some(false) => {
                "none of them has an IPv4 address; set ipv6 to true"
            }
            Mode::Ip | Mode::Dns => {
                "their names would be too long; choose a shorter app_name or cluster_domain"
            }
        };
        format!("{unnamed} {what} match, but {why}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(pod: &str, addresses: &[&str]) -> Place {
        Place {
            pod: Some(pod.into()),
            namespace: "prod".into(),
            addresses: addresses.iter().map(|ip| ip.parse().unwrap()).collect(),
            hostname: Some(pod.into()),
            service: Some("shop-headless".into()),
            ready: true,
        }
    }

    fn naming(own: Option<&str>, config: KubernetesConfig) -> Naming {
        let context = Context {
            own: own.map(|own| own.parse().unwrap()),
            cookie: None,
        };
        Naming::new(&config, &context, None).unwrap()
    }

    fn names(naming: &Naming, places: &[Place]) -> Vec<String> {
        let named = naming.names(places.iter());
        named.nodes.iter().map(ToString::to_string).collect()
    }

    fn app(mode: Mode) -> KubernetesConfig {
        KubernetesConfig {
            app_name: Some("shop".into()),
            mode,
            ..KubernetesConfig::default()
        }
    }

    #[test]
    fn each_mode_has_libclusters_form() {
        let places = [place("shop-0", &["10.1.2.3"])];
        for (mode, expected) in [
            (Mode::Ip, "shop@10.1.2.3"),
            (Mode::Dns, "shop@10-1-2-3.prod.pod.cluster.local"),
            (
                Mode::Hostname,
                "shop@shop-0.shop-headless.prod.svc.cluster.local",
            ),
        ] {
            assert_eq!(names(&naming(None, app(mode)), &places), [expected]);
        }
        let config = KubernetesConfig {
            service_name: Some("peers".into()),
            cluster_domain: Some("corp.example".into()),
            ..app(Mode::Hostname)
        };
        assert_eq!(
            names(&naming(None, config), &places),
            ["shop@shop-0.peers.prod.svc.corp.example"]
        );
    }

    #[test]
    fn the_domain_is_the_environments_unless_said_otherwise() {
        let context = Context {
            own: None,
            cookie: None,
        };
        let from = |config: &KubernetesConfig, variable: Option<&str>| {
            let variable = variable.map(str::to_owned);
            Naming::new(config, &context, variable).unwrap().domain
        };
        let config = app(Mode::Dns);
        assert_eq!(from(&config, None), "cluster.local");
        assert_eq!(from(&config, Some("")), "cluster.local");
        assert_eq!(from(&config, Some("corp.example")), "corp.example");
        let said = KubernetesConfig {
            cluster_domain: Some("said.example".into()),
            ..config
        };
        assert_eq!(from(&said, Some("corp.example")), "said.example");
    }

    #[test]
    fn what_is_not_ready_counts_only_where_all_do() {
        let mut unready = place("shop-1", &["10.1.2.4"]);
        unready.ready = false;
        let places = [place("shop-0", &["10.1.2.3"]), unready];
        assert_eq!(
            names(&naming(None, app(Mode::Ip)), &places),
            ["shop@10.1.2.3"]
        );
        let all = KubernetesConfig {
            ready_only: false,
            ..app(Mode::Ip)
        };
        assert_eq!(
            names(&naming(None, all), &places),
            ["shop@10.1.2.3", "shop@10.1.2.4"]
        );
    }

    #[test]
    fn the_family_is_the_own_ones_or_the_first() {
        let pod = [place("shop-0", &["10.1.2.3", "fd00::3"])];
        let slices = [
            place("shop-0", &["fd00::3"]),
            place("shop-0", &["10.1.2.3"]),
        ];
        for places in [&pod[..], &slices] {
            for (own, ipv6, expected) in [
                (None, None, "shop@10.1.2.3"),
                (Some("shop@fd00::1"), None, "shop@fd00::3"),
                (Some("shop@10.1.2.1"), Some(true), "shop@fd00::3"),
                (Some("shop@host.internal"), None, "shop@10.1.2.3"),
            ] {
                let config = KubernetesConfig {
                    ipv6,
                    ..app(Mode::Ip)
                };
                assert_eq!(names(&naming(own, config), places), [expected]);
            }
        }
        // One that has only the second family is not lost.
        assert_eq!(
            names(
                &naming(None, app(Mode::Dns)),
                &[place("shop-0", &["fd00::3"])]
            ),
            ["shop@fd00--3.prod.pod.cluster.local"]
        );
    }

    #[test]
    fn what_cannot_be_named_is_counted_and_explained() {
        let mut plain = place("shop-7f9c", &["10.1.2.3"]);
        plain.hostname = None;
        let naming = naming(None, app(Mode::Hostname));
        let named = naming.names([plain].iter());
        assert_eq!((named.nodes.len(), named.unnamed), (0, 1));
        assert!(naming.trouble(1, "pods").contains("StatefulSet"));
    }

    #[test]
    fn the_app_is_the_own_one_and_has_to_be_a_name() {
        let context = |own: Option<&str>| Context {
            own: own.map(|own| own.parse().unwrap()),
            cookie: None,
        };
        let none = KubernetesConfig::default();
        assert_eq!(
            Naming::new(&none, &context(Some("web@10.0.0.1")), None)
                .unwrap()
                .app,
            "web"
        );
        let error = Naming::new(&none, &context(None), None).unwrap_err();
        assert!(error.contains("app_name is missing"), "{error}");
        let bad = KubernetesConfig {
            app_name: Some("a b".into()),
            ..none
        };
        let error = Naming::new(&bad, &context(None), None).unwrap_err();
        assert!(error.contains("\"a b\""), "{error}");
    }
}
