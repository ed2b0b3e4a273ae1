//! Looking up the addresses of hosts with the resolver of the system, so that nobody waits for it for long.
//!
//! `getaddrinfo` knows what the machine's other programs know (DNS, /etc/hosts, whatever nsswitch.conf says), and
//! it blocks: for 10 seconds and more where the name servers are silent. So each lookup has a thread of its own,
//! of which there is one a host however many ask for it, and the caller has a time limit. What comes later than
//! that is kept for a moment: the next attempt finds it.

use std::collections::HashMap;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::timeout;

/// How many hosts are looked up at one time at most, each in a thread of its own.
const MAX_LOOKUPS: usize = 256;
/// The stack of such a thread. The C library needs a few tens of KiB of it.
const STACK_BYTES: usize = 512 * 1024;
/// A lookup that took longer than this may have an answer that nobody waited for any more.
const LATE: Duration = Duration::from_secs(1);
/// How long such an answer is kept.
const KEPT: Duration = Duration::from_secs(30);

/// Why a host has no addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// The resolver says that there are none, or why it cannot tell.
    #[error("{0}")]
    Failed(String),
    /// The resolver did not answer in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// Too many lookups wait for an answer already.
    #[error("{MAX_LOOKUPS} other lookups wait for an answer")]
    Busy,
}

/// The addresses of `host` in the order of the resolver, or of the address that `host` is.
///
/// It must be called within a tokio runtime.
///
/// # Errors
/// [`LookupError`]. A lookup that timed out goes on; a later call for the same host waits for the same one.
pub async fn host_addresses(host: &str, within: Duration) -> Result<Vec<IpAddr>, LookupError> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    let mut answer = match begin(host)? {
        Lookup::Done { answer, .. } => return answer.map_err(LookupError::Failed),
        Lookup::UnderWay(answer) => answer,
    };
    match timeout(within, answer.wait_for(Option::is_some)).await {
        Ok(Ok(answer)) => match &*answer {
            Some(Ok(addresses)) => Ok(addresses.clone()),
            Some(Err(why)) => Err(LookupError::Failed(why.clone())),
            None => Err(LookupError::Timeout(within)),
        },
        Ok(Err(_)) => Err(LookupError::Failed("the lookup broke off".into())),
        Err(_) => Err(LookupError::Timeout(within)),
    }
}

type Answer = Result<Vec<IpAddr>, String>;

enum Lookup {
    UnderWay(watch::Receiver<Option<Answer>>),
    /// It took so long that whoever asked may be gone.
    Done {
        answer: Answer,
        at: Instant,
    },
}

static LOOKUPS: LazyLock<Mutex<HashMap<String, Lookup>>> = LazyLock::new(Mutex::default);

/// Only map operations run under the lock, so a poisoned one is as good as any.
fn lookups() -> MutexGuard<'static, HashMap<String, Lookup>> {
    LOOKUPS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Joins the lookup of the host that is under way, takes a late answer, or begins a new lookup.
fn begin(host: &str) -> Result<Lookup, LookupError> {
    let mut lookups = lookups();
    lookups.retain(|_, lookup| !matches!(lookup, Lookup::Done { at, .. } if at.elapsed() > KEPT));
    match lookups.get(host) {
        Some(Lookup::UnderWay(answer)) => return Ok(Lookup::UnderWay(answer.clone())),
        Some(Lookup::Done { .. }) => {
            if let Some(done) = lookups.remove(host) {
                return Ok(done);
            }
        }
        None => {}
    }
    let running = lookups.values();
    let running = running.filter(|lookup| matches!(lookup, Lookup::UnderWay(_)));
    if running.count() >= MAX_LOOKUPS {
        return Err(LookupError::Busy);
    }
    let (sender, receiver) = watch::channel(None);
    let name = host.to_owned();
    let thread = std::thread::Builder::new()
        .name("rendez-lookup".into())
        .stack_size(STACK_BYTES)
        .spawn(move || look_up(&name, &sender));
    if let Err(error) = thread {
        return Err(LookupError::Failed(format!(
            "no thread can be started to look it up: {error}"
        )));
    }
    // The thread cannot have ended its entry yet: that takes the lock.
    lookups.insert(host.to_owned(), Lookup::UnderWay(receiver.clone()));
    Ok(Lookup::UnderWay(receiver))
}

/// Asks the resolver, tells those who wait, and ends the entry.
fn look_up(host: &str, waiting: &watch::Sender<Option<Answer>>) {
    let began = Instant::now();
    let answer = match (host, 0).to_socket_addrs() {
        Ok(found) => {
            let mut addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
            addresses.dedup();
            Ok(addresses)
        }
        Err(error) => {
            let error = error.to_string();
            let said = error.rsplit_once("information: ").map(|(_, said)| said);
            Err(said.unwrap_or(&error).to_owned())
        }
    };
    let mut lookups = lookups();
    if began.elapsed() >= LATE {
        let done = Lookup::Done {
            answer: answer.clone(),
            at: Instant::now(),
        };
        lookups.insert(host.to_owned(), done);
    } else {
        lookups.remove(host);
    }
    drop(lookups);
    waiting.send_replace(Some(answer));
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn an_address_is_its_own_answer() {
        for address in ["127.0.0.1", "::1"] {
            let found = host_addresses(address, Duration::ZERO).await;
            assert_eq!(found, Ok(vec![address.parse().unwrap()]));
        }
    }

    #[tokio::test]
    async fn a_host_of_the_hosts_file_is_found() {
        let found = host_addresses("localhost", PATIENCE).await.unwrap();
        assert!(found.iter().any(IpAddr::is_loopback), "{found:?}");
        assert!(
            !lookups().contains_key("localhost"),
            "nothing is left of it"
        );
    }

    #[tokio::test]
    async fn what_is_not_a_host_is_said() {
        let found = host_addresses("not a host", PATIENCE).await;
        assert!(matches!(found, Err(LookupError::Failed(_))), "{found:?}");
    }

    #[tokio::test]
    async fn a_lookup_under_way_is_joined_and_a_late_answer_is_taken_once() {
        let (sender, receiver) = watch::channel(None);
        lookups().insert("slow.test".into(), Lookup::UnderWay(receiver));
        let short = Duration::from_millis(1);
        let found = host_addresses("slow.test", short).await;
        assert_eq!(found, Err(LookupError::Timeout(short)));
        let address: IpAddr = "10.0.0.7".parse().unwrap();
        sender.send_replace(Some(Ok(vec![address])));
        assert_eq!(
            host_addresses("slow.test", PATIENCE).await,
            Ok(vec![address])
        );

        let done = Lookup::Done {
            answer: Ok(vec![address]),
            at: Instant::now(),
        };
        lookups().insert("late.test".into(), done);
        assert_eq!(
            host_addresses("late.test", PATIENCE).await,
            Ok(vec![address])
        );
        assert!(!lookups().contains_key("late.test"));
    }
}
