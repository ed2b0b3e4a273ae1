//! What can be said about a Kubernetes cluster.

use std::path::PathBuf;
use std::time::Duration;

use crate::secret::SecretUrl;

/// Which pods are peers, how their nodes are called, and how the API is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubernetesConfig {
    /// A label selector, as `kubectl get pods -l` takes it.
    pub selector: String,
    /// The namespace; `None` for the own one: the service account's, or that of the kubeconfig's context.
    pub namespace: Option<String>,
    /// What is looked at.
    pub lookup: Lookup,
    /// What stands after the `@` of the nodes.
    pub mode: Mode,
    /// What stands before the `@` of the nodes; `None` for the own name's part.
    pub app_name: Option<String>,
    /// For [`Mode::Hostname`]: the headless service; `None` for what the API says, the pod's `subdomain`
    /// or the service that the slice belongs to.
    pub service_name: Option<String>,
    /// For [`Mode::Hostname`] and [`Mode::Dns`]: the cluster's domain; `None` for the variable
    /// `CLUSTER_DOMAIN`, else `cluster.local`.
    pub cluster_domain: Option<String>,
    /// Whether only what is ready counts.
    pub ready_only: bool,
    /// Whether nodes are named by IPv6 addresses; `None` for the family of the own node's host if that is
    /// an address, otherwise a pod's first address.
    pub ipv6: Option<bool>,
    /// A kubeconfig file; `None` for `KUBECONFIG`, `~/.kube/config` or, without these, the service account.
    pub kubeconfig: Option<PathBuf>,
    /// The context within the kubeconfig; `None` for its current one.
    pub context: Option<String>,
    /// The directory with `token`, `ca.crt` and `namespace`; `None` for where Kubernetes puts it. If it is
    /// given, no kubeconfig is looked for.
    pub service_account: Option<PathBuf>,
    /// The URL of the API server; `None` for what the kubeconfig or the pod's environment says.
    pub api_server: Option<SecretUrl>,
    /// How long the API server may take to connect and to answer a list.
    pub timeout: Duration,
    /// How long a watch lasts before it is asked for anew; at most 295 s. A connection that died without
    /// a word is noticed a few seconds after this.
    pub watch_timeout: Duration,
}

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// Pods.
    Pods,
    /// The EndpointSlices of services.
    EndpointSlices,
}

/// What stands after the `@` of the nodes; libcluster's modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The address: `app@10.1.2.3`.
    Ip,
    /// The name of a StatefulSet's pod: `app@app-0.service.namespace.svc.cluster.local`.
    Hostname,
    /// The name that DNS has for any pod: `app@10-1-2-3.namespace.pod.cluster.local`.
    Dns,
}

impl Default for KubernetesConfig {
    fn default() -> Self {
        Self {
            selector: String::new(),
            namespace: None,
            lookup: Lookup::Pods,
            mode: Mode::Ip,
            app_name: None,
            service_name: None,
            cluster_domain: None,
            ready_only: true,
            ipv6: None,
            kubeconfig: None,
            context: None,
            service_account: None,
            api_server: None,
            timeout: Duration::from_secs(10),
            watch_timeout: Duration::from_secs(290),
        }
    }
}
