//! Asking a node whether it is there.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::etf::{Atom, Term};
use crate::name::NodeName;

use super::call::CallError;
use super::received::Dest;
use super::{Node, atom_of};

impl Node {
    /// Connects to `peer` if there is no connection, asks it whether it is there, as `net_adm:ping/1` does (a node is there for itself),
    /// and says how long the question took, connecting left out. `within` bounds each of the two.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn ping(&self, peer: &NodeName, within: Duration) -> Result<Duration, CallError> {
        if peer != self.name() {
            let connected = timeout(within, self.connect(peer)).await;
            connected.map_err(|_| CallError::Timeout(within))??;
        }
        let start = Instant::now();
        let own = Term::Atom(self.atom().clone());
        let request = Term::Tuple(vec![Term::atom("is_auth"), own]);
        let kernel = Dest::Remote(Atom::new("net_kernel"), atom_of(peer));
        // Any answer will do: what answers is the peer, and the handshake proved the cookie.
        self.call_server(kernel, request, within).await?;
        Ok(start.elapsed())
    }
}
