//! Calling functions of other nodes, through the servers that every OTP release has.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::etf::{Atom, Term};
use crate::name::NodeName;

use super::Node;
use super::call::CallError;
use super::received::Dest;

impl Node {
    /// Connects to `peer` if there is no connection, asks it whether it is there, as `net_adm:ping/1` does,
    /// and says how long the question took, connecting left out. `within` bounds each of the two.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn ping(&self, peer: &NodeName, within: Duration) -> Result<Duration, CallError> {
        let connected = timeout(within, self.connect(peer)).await;
        let connection = connected.map_err(|_| CallError::Timeout(within))??;
        let start = Instant::now();
        let own = Term::Atom(self.atom().clone());
        let request = Term::Tuple(vec![Term::atom("is_auth"), own]);
        let kernel = Dest::Remote(Atom::new("net_kernel"), connection.node().clone());
        // Any answer will do: what answers is the peer, and the handshake proved the cookie.
        self.call_server(kernel, request, within).await?;
        Ok(start.elapsed())
    }

    /// Calls `module:function(arguments)` on `peer`, as `rpc:call/5` does: through the `rex` server, which
    /// every OTP release has, in a process of its own there. What it prints goes to the peer's `user`.
    ///
    /// # Errors
    /// See [`CallError`]; [`CallError::BadRpc`] is what `rpc:call` gives as `{badrpc, Reason}`.
    pub async fn call(
        &self,
        peer: &NodeName,
        module: &str,
        function: &str,
        arguments: Vec<Term>,
        within: Duration,
    ) -> Result<Term, CallError> {
        let atom = |name: &str| {
            let atom = Atom::try_from(name);
            atom.map(Term::Atom).map_err(|_| CallError::NameTooLong)
        };
        let request = Term::Tuple(vec![
            Term::atom("call"),
            atom(module)?,
            atom(function)?,
            Term::List(arguments),
            Term::atom("user"),
        ]);
        let rex = Dest::Remote(Atom::new("rex"), super::atom_of(peer));
        match self.call_server(rex, request, within).await? {
            Term::Tuple(mut elements) if matches!(elements.as_slice(), [Term::Atom(word), _] if *word == *"badrpc") => {
                Err(CallError::BadRpc(elements.pop().unwrap_or(Term::NIL)))
            }
            answer => Ok(answer),
        }
    }
}
