//! The name of a sidecar's hidden node.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use tokio::net::lookup_host;

use crate::name::NodeName;

/// How much of the attached node's name is kept, so that the whole stays a node name.
const KEPT: usize = 200;

/// A name for the hidden node that attaches to `target`: `rendez-NAME-PID-RANDOM@HOST`.
///
/// `NAME` tells whose sidecar it is. The process id and a random number tell two sidecars of one node apart: in
/// containers every process id is 1. A host of this machine tells apart those on different machines: the host of `target` if that is this machine; else, for a
/// long name, the address from which `target` is reached, and for a short one this machine's name.
pub async fn own_name(target: &NodeName) -> NodeName {
    let name: String = target.name().chars().take(KEPT).collect();
    let random: u32 = rand::random();
    let name = format!("rendez-{name}-{}-{random:08x}", std::process::id());
    let host = match away(target.host()).await {
        Some(from) if target.is_long() => from.to_string(),
        Some(_) => machine_name().unwrap_or_else(|| target.host().to_owned()),
        None => target.host().to_owned(),
    };
    // The host of a node name can stand in a node name.
    NodeName::new(&name, &host)
        .or_else(|_| NodeName::new(&name, target.host()))
        .unwrap_or_else(|_| target.clone())
}

/// The address from which `host` is reached, if `host` is another machine. `None` also if it does not resolve.
async fn away(host: &str) -> Option<IpAddr> {
    let address = lookup_host((host, 9)).await.ok()?.next()?;
    // Only an address of this machine can be bound.
    if UdpSocket::bind((address.ip(), 0)).is_ok() {
        return None;
    }
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => ([0; 4], 0).into(),
        SocketAddr::V6(_) => ([0; 16], 0).into(),
    };
    // Connecting a UDP socket chooses its address and sends nothing.
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(address).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// This machine's name up to its first dot.
fn machine_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = name.or_else(|| std::env::var("HOSTNAME").ok())?;
    let name = name.trim().split('.').next()?;
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_name_says_whose_sidecar_it_is_and_keeps_its_kind() {
        let pid = std::process::id();
        for (target, own) in [
            ("shop@127.0.0.1", format!("rendez-shop-{pid}-")),
            ("shop@localhost", format!("rendez-shop-{pid}-")),
        ] {
            let target: NodeName = target.parse().unwrap();
            let own_name = own_name(&target).await;
            assert!(own_name.as_str().starts_with(&own), "{own_name}");
            assert_eq!(own_name.host(), target.host());
        }
        let long = format!("{}@127.0.0.1", "x".repeat(245));
        let own = own_name(&long.parse().unwrap()).await;
        assert!(own.as_str().contains(&format!("-{pid}-")), "{own}");
        assert!(own.as_str().ends_with("@127.0.0.1"), "{own}");
    }

    #[tokio::test]
    async fn two_sidecars_with_one_process_id_have_two_names() {
        let target: NodeName = "shop@127.0.0.1".parse().unwrap();
        assert_ne!(own_name(&target).await, own_name(&target).await);
    }

    #[tokio::test]
    async fn a_name_for_another_machine_is_of_this_one() {
        // An address for documentation (RFC 5737), which no machine has.
        let target: NodeName = "shop@192.0.2.1".parse().unwrap();
        let own = own_name(&target).await;
        assert!(own.is_long());
        // Without any route there is nothing better than the target's own host.
        let routed = away("192.0.2.1").await.is_some();
        assert_eq!(own.host() != target.host(), routed, "{own}");
    }
}
