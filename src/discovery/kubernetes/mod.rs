//! Peers are the pods of a Kubernetes cluster, or the endpoints of a service, watched through its API.
//!
//! The list is asked for once; what changes after that the API server tells by itself, so a pod is known
//! as soon as the API server knows of it, and a quiet cluster costs nothing. Resources and their fields:
//! <https://kubernetes.io/docs/reference/kubernetes-api/>, how a watch works:
//! <https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes>.
//!
//! The configuration is there in every build; what acts on it needs the cargo feature `kubernetes`.

mod config;

#[cfg(feature = "kubernetes")]
mod access;
#[cfg(feature = "kubernetes")]
mod failure;
#[cfg(feature = "kubernetes")]
mod naming;
#[cfg(feature = "kubernetes")]
mod objects;
#[cfg(feature = "kubernetes")]
mod watch;

pub use config::{KubernetesConfig, Lookup, Mode};
#[cfg(feature = "kubernetes")]
pub use watch::{Kubernetes, kubernetes};
