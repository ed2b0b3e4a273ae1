//! `rendez attach`: the sidecar.

use clap::Args;
use rendez::NodeName;
use rendez::cluster::driver::sources;
use rendez::discovery::Context;
use rendez::epmd::port_from_env;
use rendez::sidecar::{AttachOptions, Sidecar, SidecarError, status_signal, stop_signal};

use super::cookie::CookieArgs;
use super::output::Failure;
use super::port::DistPortArgs;
use super::tls::TlsArgs;
use super::via::ViaArgs;

/// Attach to a running node and join it to its peers: the sidecar
///
/// Connects to NODE as a hidden node, finds its peers and has it connect to them. NODE needs no change. When NODE goes
/// away, the sidecar waits until it is back. It ends with SIGTERM, SIGINT or SIGHUP; SIGUSR1 writes its status into the log.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rendez attach shop@10.0.0.7 --via dns --dns-name shop.internal
  rendez attach shop@10.0.0.7 --via multicast --via epmd --hosts localhost
  RENDEZ_VIA=dns RENDEZ_DNS_NAME=shop.internal rendez attach shop@10.0.0.7
  rendez attach shop@10.0.0.7 --via epmd --tls-optfile /etc/shop/ssl_dist.conf
  rendez attach shop@10.0.0.7 --via dns --dns-name shop.internal --dist-port 9100
  rendez attach shop@10.0.0.7 --config /etc/rendez.toml --log-format json")]
pub struct Attach {
    /// The node to attach to, name@host
    node: NodeName,
    /// The name of the hidden node [default: made from NODE's]
    #[arg(long, value_name = "NAME")]
    name: Option<NodeName>,
    #[command(flatten)]
    port: DistPortArgs,
    #[command(flatten)]
    cookie: CookieArgs,
    #[command(flatten)]
    tls: TlsArgs,
    #[command(flatten)]
    via: ViaArgs,
}

impl Attach {
    /// Does it.
    pub async fn run(self) -> Result<(), Failure> {
        let config = self.via.read()?;
        let cookie = self.cookie.find()?;
        let tls = self.tls.find()?;
        let context = Context {
            own: Some(self.node.clone()),
            cookie: Some(cookie.clone()),
        };
        let sources = sources(&config, &context)?;
        let options = AttachOptions {
            name: self.name,
            tls,
            port: self.port.find()?,
            epmd_port: port_from_env().map_err(|error| Failure::words(error.to_string()))?,
            policy: config.policy,
            hidden: config.hidden,
            refresh_interval: config.refresh_interval,
            ..AttachOptions::new(self.node, cookie)
        };
        // Before anything else is started: a signal that comes early is to end it as well.
        let stop = stop_signal()
            .map_err(|error| Failure::failed(format!("cannot wait for signals: {error}")))?;
        let statuses = status_signal()
            .map_err(|error| Failure::failed(format!("cannot wait for signals: {error}")))?;
        let sidecar = Sidecar::start(options, sources).await.map_err(failure)?;
        sidecar.status_on(statuses).run(stop).await.map_err(failure)
    }
}

fn failure(error: SidecarError) -> Failure {
    let reason = match &error {
        SidecarError::Cookie(_) => "cookie",
        _ => "failed",
    };
    Failure::because(reason, error.to_string())
}
