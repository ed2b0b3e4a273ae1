//! Why another node could not connect to a peer, as far as that can be seen from here.

use crate::name::NodeName;

use super::dial::{DialOptions, dial};
use super::error::ConnectError;
use super::handshake::Identity;

/// Says why `on_behalf_of` could not connect to `peer`, by going the same way from here: `None` if from here
/// there is a way. A connection that comes about is closed at once; on the peer it was a hidden node's.
///
/// `own` needs the cookie that `on_behalf_of` has. The answer is right as far as both nodes are in the same
/// place: on one host, or on hosts that see the same network.
pub async fn diagnose(
    own: &Identity,
    on_behalf_of: &NodeName,
    peer: &NodeName,
    options: &DialOptions,
) -> Option<ConnectError> {
    if on_behalf_of.is_long() != peer.is_long() {
        return Some(ConnectError::NameKind {
            own: on_behalf_of.clone(),
            peer: peer.clone(),
        });
    }
    dial(own, peer, options, || true).await.err()
}
