//! Taking connections from other nodes.

use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::dist::handshake;

use super::{Shared, table};

/// How many strangers may be in the handshake at once. More are turned away, so that somebody without the
/// cookie can hold no more than this.
const STRANGERS: usize = 64;
/// The pause after an error that is not about one connection, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

pub(super) async fn run(listener: TcpListener, shared: Weak<Shared>) {
    let strangers = Arc::new(Semaphore::new(STRANGERS));
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
        let Ok(permit) = Arc::clone(&strangers).try_acquire_owned() else {
            tracing::debug!("a connection is turned away: {STRANGERS} are in the handshake");
            continue;
        };
        let shared = Weak::clone(&shared);
        tokio::spawn(async move {
            if let Err(why) = welcome(stream, &shared).await {
                tracing::info!("a connection was not accepted: {why}");
            }
            drop(permit);
        });
    }
}

async fn welcome(stream: TcpStream, weak: &Weak<Shared>) -> Result<(), String> {
    let gone = || "this node is stopping".to_owned();
    let (identity, setup_time) = {
        let shared = weak.upgrade().ok_or_else(gone)?;
        (shared.identity.clone(), shared.dial.setup_time)
    };
    let _ = stream.set_nodelay(true);
    let from = stream.peer_addr().map_err(|error| error.to_string())?;
    let judge = |stranger: &_| match weak.upgrade() {
        Some(shared) => shared.table.judge(&shared.identity.name, stranger),
        None => handshake::Verdict::Accept,
    };
    let accepted = timeout(setup_time, handshake::accept(stream, &identity, judge)).await;
    let (stream, peer) = match accepted {
        Ok(accepted) => accepted.map_err(|why| format!("{from}: {why}"))?,
        Err(_) => return Err(format!("{from}: no handshake within {setup_time:?}")),
    };
    let shared = weak.upgrade().ok_or_else(gone)?;
    let adopted = table::adopt(&shared, stream, peer);
    adopted.map(drop).map_err(|error| error.to_string())
}
