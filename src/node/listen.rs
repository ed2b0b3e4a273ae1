//! Taking connections from other nodes.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::cluster::report::Limit;
use crate::dist::Stream;
use crate::dist::handshake::{self, Lengths, Named, Verdict};
use crate::epmd::waiting::Waiting;

use super::{Shared, lock, table};

/// How many strangers may be in the handshake at once. When one more comes, one has to go: somebody without the
/// cookie can hold no more than this, and keeps nobody out who is quick.
const STRANGERS: usize = 256;
/// The pause after an error that is not about one connection, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// Those who have not proved the cookie yet. What is held of each ends its task when something is sent.
type Strangers = Mutex<Waiting<oneshot::Sender<()>>>;

/// The place of one of them. It is given back when this is dropped.
struct Place {
    strangers: Arc<Strangers>,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.strangers).leave(self.number);
    }
}

/// Gives a stranger a place, and what is ready when it has to make room for another.
fn admit(strangers: &Arc<Strangers>, from: IpAddr) -> (Place, impl Future<Output = ()> + use<>) {
    let (hold, evicted) = oneshot::channel();
    let (number, former) = lock(strangers).enter(from, hold);
    if let Some(former) = former {
        // An error means that it is about to leave by itself.
        let _ = former.send(());
    }
    let place = Place {
        strangers: Arc::clone(strangers),
        number,
    };
    let evicted = async move {
        // One that has left its place can no longer be evicted.
        if evicted.await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    (place, evicted)
}

/// How many strangers that were not let in are told of at once, and how often one more; the rest are counted.
const SINGLE: (u32, Duration) = (5, Duration::from_secs(12));
/// How often that count is told.
const SUM: Duration = Duration::from_secs(60);

/// Tells which connections were not accepted. Anybody can make one, a thousand times a second.
struct Refusals {
    began: Instant,
    single: Limit,
    left_out: u64,
}

impl Refusals {
    /// Whether one more line may come; else it is counted.
    fn may_tell(&mut self) -> bool {
        let may = self.single.take(self.began.elapsed());
        self.left_out += u64::from(!may);
        may
    }

    fn sum_up(&mut self) {
        let count = std::mem::take(&mut self.left_out);
        if count > 0 {
            tracing::info!(
                event = "not_accepted",
                phrase = "connections were not accepted",
                count,
                "{count} more connections were not accepted in the last minute"
            );
        }
    }
}

pub(super) async fn run(listener: TcpListener, shared: Weak<Shared>) {
    let refusals = Arc::new(Mutex::new(Refusals {
        began: Instant::now(),
        single: Limit::new(SINGLE.0, SINGLE.1),
        left_out: 0,
    }));
    let mut sum_at = Instant::now() + SUM;
    let strangers = Arc::new(Mutex::new(Waiting::new(STRANGERS)));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = sleep_until(sum_at) => {
                sum_at = Instant::now() + SUM;
                lock(&refusals).sum_up();
                continue;
            }
        };
        let (stream, from) = match accepted {
            Ok((stream, from)) => (stream, from.ip()),
            Err(error) => {
                if error.kind() != io::ErrorKind::ConnectionAborted {
                    if lock(&refusals).may_tell() {
                        tracing::warn!(event = "not_accepted", "cannot take a connection: {error}");
                    }
                    sleep(PAUSE).await;
                }
                continue;
            }
        };
        let (shared, refusals) = (Weak::clone(&shared), Arc::clone(&refusals));
        let (place, evicted) = admit(&strangers, from);
        tokio::spawn(async move {
            let welcomed = tokio::select! {
                welcomed = welcome(stream, &shared, place) => welcomed,
                () = evicted => {
                    tracing::debug!(%from, "a connection is given up: {STRANGERS} are in the handshake");
                    return;
                }
            };
            if let Err(why) = welcomed {
                if lock(&refusals).may_tell() {
                    tracing::info!(
                        event = "not_accepted",
                        "a connection was not accepted: {why}"
                    );
                } else {
                    tracing::debug!(
                        event = "not_accepted",
                        "a connection was not accepted: {why}"
                    );
                }
            }
        });
    }
}

/// A name that was given to a stranger. Unless it proves the cookie, it has not got it.
struct Given<'a> {
    weak: &'a Weak<Shared>,
    name: Mutex<Option<Named>>,
}

impl Drop for Given<'_> {
    fn drop(&mut self) {
        let name = lock(&self.name).take();
        if let (Some(name), Some(shared)) = (name, self.weak.upgrade()) {
            shared.table.not_taken(name);
        }
    }
}

async fn welcome(stream: TcpStream, weak: &Weak<Shared>, place: Place) -> Result<(), String> {
    let gone = || "this node is stopping".to_owned();
    let (identity, setup_time, tls) = {
        let shared = weak.upgrade().ok_or_else(gone)?;
        let dial = &shared.dial;
        (shared.identity.clone(), dial.setup_time, dial.tls.clone())
    };
    let _ = stream.set_nodelay(true);
    let from = stream.peer_addr().map_err(|error| error.to_string())?;
    let given = Given {
        weak,
        name: Mutex::default(),
    };
    let begun = Mutex::new(table::Origin {
        here: false,
        at: Instant::now(),
        replaces: false,
    });
    let judge = |stranger: &_| {
        let Some(shared) = weak.upgrade() else {
            return Verdict::Refuse;
        };
        let mut begun = lock(&begun);
        begun.at = Instant::now();
        let verdict = shared.table.judge(&shared.identity.name, stranger);
        match &verdict {
            Verdict::Connected => begun.replaces = true,
            Verdict::Name(name) => *lock(&given.name) = Some(name.clone()),
            _ => {}
        }
        verdict
    };
    // Not so if this node made a connection to the peer meanwhile: both sides know of that one.
    let still_wanted = |peer: &crate::dist::Peer| {
        let up = weak
            .upgrade()
            .and_then(|shared| shared.table.up(peer.name.as_str()));
        !up.is_some_and(|up| lock(&begun).crosses(&up))
    };
    let whole = async {
        let (stream, lengths) = match tls {
            None => (Stream::Plain(stream), Lengths::Two),
            Some(tls) => (tls.accept(stream).await?, Lengths::Four),
        };
        let accepted = handshake::accept_if(stream, lengths, &identity, judge, still_wanted).await;
        accepted.map_err(|why| why.to_string())
    };
    let (stream, peer) = match timeout(setup_time, whole).await {
        Ok(accepted) => accepted.map_err(|why| format!("{from}: {why}"))?,
        Err(_) => return Err(format!("{from}: no handshake within {setup_time:?}")),
    };
    // It is a stranger no more, and keeps the name that it was given.
    drop(place);
    lock(&given.name).take();
    let shared = weak.upgrade().ok_or_else(gone)?;
    let begun = *lock(&begun);
    let adopted = table::adopt(&shared, stream, peer, begun).await;
    adopted.map(drop).map_err(|error| error.to_string())
}
