//! What the `rancher` provider can be told.

use std::time::Duration;

use crate::discovery::polling::KEEP_FOR;
use crate::secret::SecretUrl;

/// Which containers are peers, and what their nodes are called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RancherConfig {
    /// The service; `None`: the own container's.
    pub service: Option<String>,
    /// The stack that the service is in; `None`: the own container's.
    pub stack: Option<String>,
    /// What stands before the `@` of the nodes; `None`: as in the own node's name.
    pub app_name: Option<String>,
    /// The URL of the metadata.
    pub endpoint: SecretUrl,
    /// The longest time between two looks.
    pub interval: Duration,
    /// How long a name is kept that the answers leave out. Default: [`KEEP_FOR`].
    pub keep_for: Duration,
    /// How long one request may take.
    pub timeout: Duration,
}

impl Default for RancherConfig {
    fn default() -> Self {
        Self {
            service: None,
            stack: None,
            app_name: None,
            endpoint: "http://rancher-metadata".into(),
            interval: Duration::from_secs(5),
            keep_for: KEEP_FOR,
            timeout: Duration::from_secs(2),
        }
    }
}
