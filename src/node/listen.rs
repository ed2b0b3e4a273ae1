//! Taking connections from other nodes.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::cluster::report::Limit;
use crate::dist::Stream;
use crate::dist::handshake::{self, Lengths, Named, Verdict};

use super::{Shared, lock, table};

/// How many strangers may be in the handshake at once. When one more comes, one has to go: somebody without the
/// cookie can hold no more than this, and keeps nobody out who is quick.
const STRANGERS: usize = 256;
/// The pause after an error that is not about one connection, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// Those who have not proved the cookie yet, in the order in which they came.
#[derive(Debug, Default)]
struct Strangers(VecDeque<Stranger>);

#[derive(Debug)]
struct Stranger {
    from: IpAddr,
    /// Whether it has proved the cookie meanwhile, and is none any more.
    proved: Arc<AtomicBool>,
    task: AbortHandle,
}

impl Strangers {
    /// Adds one. If there are too many, the one goes that takes longest of those from the network address with the
    /// most: whoever opens many connections loses those, and not the connection of somebody else.
    fn add(&mut self, stranger: Stranger) {
        if self.0.len() >= STRANGERS {
            self.0
                .retain(|it| !it.task.is_finished() && !it.proved.load(Ordering::Acquire));
        }
        if self.0.len() >= STRANGERS {
            let mut counts: HashMap<IpAddr, usize> = HashMap::new();
            for stranger in &self.0 {
                *counts.entry(network(stranger.from)).or_default() += 1;
            }
            let most = counts.values().copied().max().unwrap_or(0);
            let slowest = self
                .0
                .iter()
                .position(|it| counts[&network(it.from)] == most);
            if let Some(slowest) = slowest.and_then(|it| self.0.remove(it)) {
                let from = slowest.from;
                tracing::debug!(%from, "a connection is given up: {STRANGERS} are in the handshake");
                slowest.task.abort();
            }
        }
        self.0.push_back(stranger);
    }
}

/// What is counted as one place: a host has all addresses of an IPv6 network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() >> 64 << 64;
            IpAddr::V6(network.into())
        }
        address => address,
    }
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
    let mut strangers = Strangers::default();
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
        let proved = Arc::new(AtomicBool::new(false));
        let proves = Arc::clone(&proved);
        let task = tokio::spawn(async move {
            if let Err(why) = welcome(stream, &shared, &proves).await {
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
        strangers.add(Stranger {
            from,
            proved,
            task: task.abort_handle(),
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

async fn welcome(
    stream: TcpStream,
    weak: &Weak<Shared>,
    proved: &AtomicBool,
) -> Result<(), String> {
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
    proved.store(true, Ordering::Release);
    lock(&given.name).take();
    let shared = weak.upgrade().ok_or_else(gone)?;
    let begun = *lock(&begun);
    let adopted = table::adopt(&shared, stream, peer, begun).await;
    adopted.map(drop).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_opens_many_connections_loses_those_and_not_that_of_another() {
        let mut strangers = Strangers::default();
        let mut tasks = Vec::new();
        let mut add = |from: &str, proved| {
            let task = tokio::spawn(std::future::pending::<()>());
            strangers.add(Stranger {
                from: from.parse().unwrap(),
                proved: Arc::new(AtomicBool::new(proved)),
                task: task.abort_handle(),
            });
            tasks.push(task);
            tasks.len() - 1
        };
        let slow = add("10.0.0.1", false);
        let proved = add("10.0.0.9", true);
        let v6 = add("2001:db8::1", false);
        let many: Vec<_> = (0..2000_u32)
            .map(|number| {
                let from = format!("2001:db8:0:7::{:x}", number % 100);
                add(&from, false)
            })
            .collect();
        for _ in 0..10_000 {
            tokio::task::yield_now().await;
        }
        for kept in [slow, proved, v6, many[1999]] {
            assert!(!tasks[kept].is_finished(), "{kept}");
        }
        let given_up = many.iter().filter(|it| tasks[**it].is_finished()).count();
        // All but the first and the last network have one place each; the one that proved it has none.
        assert_eq!(given_up, 2000 - (STRANGERS - 2));
        assert_eq!(strangers.0.len(), STRANGERS);
    }
}
