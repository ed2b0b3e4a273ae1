//! Of pods and EndpointSlices what names nodes, and nothing else.
//!
//! A pod as the API tells it is often ten kilobytes and more. What is not a field here is passed over
//! while it is read and never held. Lists may be `null` where they are empty, as Go writes them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use kube::Resource;
use kube::api::ObjectMeta;
use kube::core::NamespaceResourceScope;
use serde::Deserialize;

/// Which service an EndpointSlice belongs to.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// Where a node may be: a pod, or a pod as one of its addresses stands in a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The pod's name, by which the two addresses of one pod in two slices are known to be one node's.
    pub pod: Option<String>,
    pub namespace: String,
    /// At least one, the pod's own first choice first.
    pub addresses: Vec<IpAddr>,
    pub hostname: Option<String>,
    /// The service under which DNS has the host name.
    pub service: Option<String>,
    pub ready: bool,
}

/// What can be watched.
pub(super) trait Object:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + std::fmt::Debug
    + for<'de> Deserialize<'de>
    + Send
    + 'static
{
    /// What a message calls several of them, and RBAC the resource.
    const PLURAL: &'static str;

    /// Where nodes may be according to this one. What is on its way out is left out.
    fn into_places(self) -> Vec<Place>;
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawMeta {
    name: Option<String>,
    namespace: Option<String>,
    resource_version: Option<String>,
    deletion_timestamp: Option<serde::de::IgnoredAny>,
    labels: Option<BTreeMap<String, String>>,
}

impl RawMeta {
    /// The part that the watch needs to go on after it was lost.
    fn kept(&self) -> ObjectMeta {
        ObjectMeta {
            name: self.name.clone(),
            namespace: self.namespace.clone(),
            resource_version: self.resource_version.clone(),
            ..ObjectMeta::default()
        }
    }
}

/// A pod.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "RawPod")]
pub(super) struct Pod {
    meta: ObjectMeta,
    place: Option<Place>,
}

#[derive(Deserialize)]
struct RawPod {
    metadata: RawMeta,
    spec: Option<RawPodSpec>,
    status: Option<RawPodStatus>,
}

#[derive(Deserialize, Default)]
struct RawPodSpec {
    hostname: Option<String>,
    subdomain: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct RawPodStatus {
    phase: Option<String>,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    #[serde(rename = "podIPs")]
    pod_ips: Option<Vec<RawIp>>,
    conditions: Option<Vec<RawCondition>>,
}

#[derive(Deserialize)]
struct RawIp {
    ip: Option<String>,
}

#[derive(Deserialize)]
struct RawCondition {
    r#type: String,
    status: String,
}

/// An address; an IPv4-mapped one is the IPv4 address.
fn address(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

impl From<RawPod> for Pod {
    fn from(raw: RawPod) -> Self {
        let spec = raw.spec.unwrap_or_default();
        let status = raw.status.unwrap_or_default();
        let several = status.pod_ips.unwrap_or_default();
        let mut addresses: Vec<IpAddr> = several
            .into_iter()
            .filter_map(|one| address(&one.ip?))
            .collect();
        if addresses.is_empty() {
            addresses.extend(status.pod_ip.and_then(|ip| address(&ip)));
        }
        // A pod that has ended keeps its address in its status, and another may have it by now.
        let ended = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
        let leaving = raw.metadata.deletion_timestamp.is_some();
        let ready = status.conditions.unwrap_or_default();
        let ready = ready
            .iter()
            .any(|condition| condition.r#type == "Ready" && condition.status == "True");
        let place = (!ended && !leaving && !addresses.is_empty()).then(|| Place {
            pod: raw.metadata.name.clone(),
            namespace: raw.metadata.namespace.clone().unwrap_or_default(),
            addresses,
            hostname: spec.hostname,
            service: spec.subdomain,
            ready,
        });
        Self {
            meta: raw.metadata.kept(),
            place,
        }
    }
}

impl Object for Pod {
    const PLURAL: &'static str = "pods";

    fn into_places(self) -> Vec<Place> {
        self.place.into_iter().collect()
    }
}

/// An EndpointSlice: a part of a service's endpoints, all of one family.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "RawSlice")]
pub(super) struct EndpointSlice {
    meta: ObjectMeta,
    places: Vec<Place>,
}

#[derive(Deserialize)]
struct RawSlice {
    metadata: RawMeta,
    endpoints: Option<Vec<RawEndpoint>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawEndpoint {
    addresses: Option<Vec<String>>,
    conditions: Option<RawConditions>,
    hostname: Option<String>,
    target_ref: Option<RawTarget>,
}

#[derive(Deserialize, Default)]
struct RawConditions {
    ready: Option<bool>,
    terminating: Option<bool>,
}

#[derive(Deserialize)]
struct RawTarget {
    name: Option<String>,
    namespace: Option<String>,
}

impl From<RawSlice> for EndpointSlice {
    fn from(raw: RawSlice) -> Self {
        let meta = &raw.metadata;
        let service = meta.labels.as_ref();
        let service = service
            .and_then(|labels| labels.get(SERVICE_LABEL))
            .cloned();
        let own_namespace = meta.namespace.clone().unwrap_or_default();
        let places = raw
            .endpoints
            .unwrap_or_default()
            .into_iter()
            .filter_map(|endpoint| {
                let conditions = endpoint.conditions.unwrap_or_default();
                // Of several addresses the API says that they are interchangeable, and that clients may
                // take the first alone. A host name (address type FQDN) is no pod.
                let first = endpoint.addresses.unwrap_or_default().into_iter().next();
                let address = address(&first?)?;
                let (pod, namespace) = endpoint
                    .target_ref
                    .map_or((None, None), |target| (target.name, target.namespace));
                (conditions.terminating != Some(true)).then(|| Place {
                    pod,
                    namespace: namespace.unwrap_or_else(|| own_namespace.clone()),
                    addresses: vec![address],
                    hostname: endpoint.hostname,
                    service: service.clone(),
                    // What is not known counts as ready: the API says so.
                    ready: conditions.ready != Some(false),
                })
            })
            .collect();
        Self {
            meta: meta.kept(),
            places,
        }
    }
}

impl Object for EndpointSlice {
    const PLURAL: &'static str = "endpointslices";

    fn into_places(self) -> Vec<Place> {
        self.places
    }
}

/// Tells the `kube` crate where the API has the resource.
macro_rules! resource {
    ($object:ty, $group:literal, $kind:literal) => {
        impl Resource for $object {
            type DynamicType = ();
            type Scope = NamespaceResourceScope;

            fn kind((): &()) -> Cow<'_, str> {
                $kind.into()
            }

            fn group((): &()) -> Cow<'_, str> {
                $group.into()
            }

            fn version((): &()) -> Cow<'_, str> {
                "v1".into()
            }

            fn plural((): &()) -> Cow<'_, str> {
                <Self as Object>::PLURAL.into()
            }

            fn meta(&self) -> &ObjectMeta {
                &self.meta
            }

            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.meta
            }
        }
    };
}

resource!(Pod, "", "Pod");
resource!(EndpointSlice, "discovery.k8s.io", "EndpointSlice");

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(json: serde_json::Value) -> Vec<Place> {
        serde_json::from_value::<Pod>(json).unwrap().into_places()
    }

    fn slice(json: serde_json::Value) -> Vec<Place> {
        serde_json::from_value::<EndpointSlice>(json)
            .unwrap()
            .into_places()
    }

    #[test]
    fn a_pod_is_read_as_the_api_tells_it() {
        let json = serde_json::from_str(include_str!("testdata/pod.json")).unwrap();
        assert_eq!(
            pod(json),
            [Place {
                pod: Some("shop-0".into()),
                namespace: "prod".into(),
                addresses: vec![
                    "10.244.1.7".parse().unwrap(),
                    "fd00:10:244:1::7".parse().unwrap()
                ],
                hostname: Some("shop-0".into()),
                service: Some("shop-headless".into()),
                ready: true,
            }]
        );
    }

    #[test]
    fn pods_that_have_ended_or_leave_are_no_places() {
        let with = |change: fn(&mut serde_json::Value)| {
            let mut json = serde_json::from_str(include_str!("testdata/pod.json")).unwrap();
            change(&mut json);
            pod(json)
        };
        assert_eq!(with(|pod| pod["status"]["phase"] = "Failed".into()), []);
        assert_eq!(with(|pod| pod["status"]["phase"] = "Succeeded".into()), []);
        let leaving = |pod: &mut serde_json::Value| {
            pod["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z".into();
        };
        assert_eq!(with(leaving), []);
        let without_address = |pod: &mut serde_json::Value| {
            pod["status"]["podIP"] = serde_json::Value::Null;
            pod["status"]["podIPs"] = serde_json::Value::Null;
        };
        assert_eq!(with(without_address), []);
        let alone = with(|pod| pod["status"]["podIPs"] = serde_json::Value::Null);
        assert_eq!(
            alone[0].addresses,
            ["10.244.1.7".parse::<IpAddr>().unwrap()]
        );
        let unready = with(|pod| pod["status"]["conditions"] = serde_json::Value::Null);
        assert!(!unready[0].ready);
    }

    #[test]
    fn a_slice_is_read_as_the_api_tells_it() {
        let json = serde_json::from_str(include_str!("testdata/slice.json")).unwrap();
        let places = slice(json);
        let seen: Vec<_> = places
            .iter()
            .map(|place| {
                (
                    place.addresses[0].to_string(),
                    place.hostname.as_deref(),
                    place.ready,
                )
            })
            .collect();
        // The third is terminating.
        assert_eq!(
            seen,
            [
                ("10.244.1.7".to_owned(), Some("shop-0"), true),
                ("10.244.2.9".to_owned(), None, false),
                ("10.244.3.1".to_owned(), None, true),
            ]
        );
        assert_eq!(places[0].service.as_deref(), Some("shop-headless"));
        assert_eq!(places[0].pod.as_deref(), Some("shop-0"));
        assert_eq!(
            places[2].namespace, "prod",
            "the slice's own without a target"
        );
    }

    #[test]
    fn what_is_missing_or_null_is_nothing() {
        for endpoints in [
            serde_json::json!(null),
            serde_json::json!([]),
            serde_json::json!([{"addresses": null}]),
            serde_json::json!([{"addresses": ["db.example.com"]}]),
        ] {
            assert_eq!(
                slice(serde_json::json!({"metadata": {}, "endpoints": endpoints})),
                []
            );
        }
        assert_eq!(pod(serde_json::json!({"metadata": {}})), []);
    }
}
