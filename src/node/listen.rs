//! Taking connections from other nodes.

use std::collections::VecDeque;
use std::io;
use std::sync::Weak;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use crate::dist::Stream;
use crate::dist::handshake::{self, Lengths};

use super::{Shared, table};

/// How many strangers may be in the handshake at once. When one more comes, the one that takes longest has to
/// go: somebody without the cookie can hold no more than this, and keeps nobody out who is quick.
const STRANGERS: usize = 256;
/// The pause after an error that is not about one connection, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

pub(super) async fn run(listener: TcpListener, shared: Weak<Shared>) {
    let mut strangers: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                if error.kind() != io::ErrorKind::ConnectionAborted {
                    tracing::warn!("cannot take a connection: {error}");
                    sleep(PAUSE).await;
                }
                continue;
            }
        };
        if strangers.len() >= STRANGERS {
            strangers.retain(|stranger| !stranger.is_finished());
        }
        if strangers.len() >= STRANGERS
            && let Some(slowest) = strangers.pop_front()
        {
            tracing::debug!("a connection is given up: {STRANGERS} are in the handshake");
            slowest.abort();
        }
        let shared = Weak::clone(&shared);
        let task = tokio::spawn(async move {
            if let Err(why) = welcome(stream, &shared).await {
                tracing::info!("a connection was not accepted: {why}");
            }
        });
        strangers.push_back(task.abort_handle());
    }
}

async fn welcome(stream: TcpStream, weak: &Weak<Shared>) -> Result<(), String> {
    let gone = || "this node is stopping".to_owned();
    let (identity, setup_time, tls) = {
        let shared = weak.upgrade().ok_or_else(gone)?;
        let dial = &shared.dial;
        (shared.identity.clone(), dial.setup_time, dial.tls.clone())
    };
    let _ = stream.set_nodelay(true);
    let from = stream.peer_addr().map_err(|error| error.to_string())?;
    let judge = |stranger: &_| match weak.upgrade() {
        Some(shared) => shared.table.judge(&shared.identity.name, stranger),
        None => handshake::Verdict::Accept,
    };
    let whole = async {
        let (stream, lengths) = match tls {
            None => (Stream::Plain(stream), Lengths::Two),
            Some(tls) => (tls.accept(stream).await?, Lengths::Four),
        };
        let accepted = handshake::accept(stream, lengths, &identity, judge).await;
        accepted.map_err(|why| why.to_string())
    };
    let (stream, peer) = match timeout(setup_time, whole).await {
        Ok(accepted) => accepted.map_err(|why| format!("{from}: {why}"))?,
        Err(_) => return Err(format!("{from}: no handshake within {setup_time:?}")),
    };
    let shared = weak.upgrade().ok_or_else(gone)?;
    let adopted = table::adopt(&shared, stream, peer).await;
    adopted.map(drop).map_err(|error| error.to_string())
}
