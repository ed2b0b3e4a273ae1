//! Peers are the containers of a service of Rancher 1, from its metadata.
//! <https://rancher.com/docs/rancher/v1.6/en/rancher-services/metadata-service/>

mod config;
#[cfg(feature = "rancher")]
mod provider;

pub use config::RancherConfig;
#[cfg(feature = "rancher")]
pub use provider::{Rancher, rancher};
