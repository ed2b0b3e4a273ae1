//! From a configuration to a provider.

use super::multicast::Multicast;
use super::multicast::dialects::Announcements;
use super::subnet::Subnet;
use super::{Context, External, List, Provider, SelfOnly, command, dns, epmd, file, hosts_file};
use crate::config::{ConfigError, Problem, Via};

/// Makes the provider that `via` describes, for the node in `context`.
///
/// # Errors
/// [`ConfigError`] for what only the context shows: there is no cookie to authenticate announcements
/// with, or no own name to take `app_name` from.
pub fn build(via: &Via, context: &Context) -> Result<Box<dyn Provider>, ConfigError> {
    let refused = |message: String| {
        ConfigError::from(Problem::Other {
            at: match via {
                Via::Dialect(_) => "via.multicast".to_owned(),
                other => format!("via.{}", other.name()),
            },
            message,
        })
    };
    Ok(match via {
        Via::SelfOnly => Box::new(SelfOnly),
        Via::List(config) => Box::new(List::new(config.clone())),
        Via::Epmd(config) => Box::new(epmd::epmd(config, context).map_err(refused)?),
        Via::HostsFile(config) => {
            Box::new(hosts_file::hosts_file(config, context).map_err(refused)?)
        }
        Via::Subnet(config) => Box::new(Subnet::new(config, context).map_err(refused)?),
        Via::File(config) => Box::new(file(config)),
        Via::Command(config) => Box::new(command(config).map_err(refused)?),
        #[cfg(feature = "http")]
        Via::Http(config) => Box::new(super::http::http(config).map_err(refused)?),
        #[cfg(not(feature = "http"))]
        Via::Http(_) => return Err(refused(left_out("http"))),
        #[cfg(feature = "kubernetes")]
        Via::Kubernetes(config) => {
            Box::new(super::kubernetes::kubernetes(config, context).map_err(refused)?)
        }
        #[cfg(not(feature = "kubernetes"))]
        Via::Kubernetes(_) => return Err(refused(left_out("kubernetes"))),
        #[cfg(feature = "ec2")]
        Via::Ec2(config) => Box::new(super::ec2::ec2(config, context).map_err(refused)?),
        #[cfg(not(feature = "ec2"))]
        Via::Ec2(_) => return Err(refused(left_out("ec2"))),
        #[cfg(feature = "rancher")]
        Via::Rancher(config) => {
            Box::new(super::rancher::rancher(config, context).map_err(refused)?)
        }
        #[cfg(not(feature = "rancher"))]
        Via::Rancher(_) => return Err(refused(left_out("rancher"))),
        Via::External(_) => Box::new(External),
        Via::Dns(config) => {
            dns::provider(config, context).map_err(|invalid| refused(invalid.to_string()))?
        }
        Via::Dialect(config) => Box::new(
            Announcements::new(config.clone(), context)
                .map_err(|invalid| refused(invalid.to_string()))?,
        ),
        Via::Multicast(config) => Box::new(
            Multicast::new(config.clone(), context)
                .map_err(|invalid| refused(invalid.to_string()))?,
        ),
    })
}

/// What a user of a build without a provider is told.
#[cfg(not(all(
    feature = "ec2",
    feature = "http",
    feature = "kubernetes",
    feature = "rancher"
)))]
fn left_out(feature: &str) -> String {
    format!(
        "this build of Rendez is without it. The package builds it in where config.exs says \
         `config :rendez, features: [:{feature}]` or the environment RENDEZ_NIF_FEATURES={feature}; then run \
         `mix deps.compile rendez --force`, or compile again with rebar3. The crate has it with the cargo \
         feature {feature}. The sidecar, `rendez attach`, has it always"
    )
}
