//! Trying addresses: which of them take a TCP connection on a port.
//!
//! Bounded in how many attempts are under way and how many begin in a second. What is tried is given as a
//! function, so that the bounds are tested without a network.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use rustix::io::Errno;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

/// The bounds of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most attempts that are under way at one time.
    pub concurrency: usize,
    /// The most attempts that begin in a second.
    pub rate: u32,
    /// How long an address may take to accept the connection. A network within a building answers in a few
    /// milliseconds.
    pub connect_timeout: Duration,
}

impl Default for Limits {
    /// Half of the 1024 file descriptors that a process has by default, and a /16 within 45 seconds, also where
    /// no address answers.
    fn default() -> Self {
        Self {
            concurrency: 512,
            rate: 1500,
            connect_timeout: Duration::from_millis(300),
        }
    }
}

impl Limits {
    /// How long a scan of that many addresses takes if none answers.
    #[must_use]
    pub fn longest(&self, addresses: u64) -> Duration {
        let addresses = addresses as f64;
        let by_rate = addresses / f64::from(self.rate.max(1));
        let rounds = addresses / self.concurrency.max(1) as f64;
        let by_concurrency = self.connect_timeout.mul_f64(rounds);
        Duration::from_secs_f64(by_rate).max(by_concurrency) + self.connect_timeout
    }
}

/// What happens during a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// This address takes connections.
    Found(IpAddr),
    /// Another address is through, whatever came of it.
    Through,
}

/// What came of a scan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The addresses that take connections.
    pub found: Vec<IpAddr>,
    /// Addresses that could not be tried, for a reason that lies on this machine: nothing is known of them.
    pub untried: u64,
    /// The last such reason.
    pub reason: Option<String>,
}

/// After so many shortages in a row, with nothing else under way, a scan is given up: what is missing is not held
/// by the scan itself.
const STUCK: u32 = 8;

/// The pause after this machine had nothing left, in which attempts end and give back what they use.
const SHORTAGE: Duration = Duration::from_millis(250);

/// How far a scan may fall behind its rate and still catch up.
const BEHIND: Duration = Duration::from_millis(50);

/// Whether something listens: connects and closes.
///
/// # Errors
/// As [`TcpStream::connect`].
pub async fn connect(address: IpAddr, port: u16) -> io::Result<()> {
    TcpStream::connect((address, port)).await.map(drop)
}

/// Tries every address with `probe` and tells each event when it happens.
///
/// When this machine has no file descriptor, port or buffer left, the scan goes on with half as many attempts
/// at one time and comes back to the address. It is given up when even a single attempt finds nothing left.
pub async fn scan<P, F>(
    addresses: impl IntoIterator<Item = IpAddr>,
    limits: Limits,
    probe: P,
    mut tell: impl FnMut(Event),
) -> Report
where
    P: Fn(IpAddr) -> F,
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let mut report = Report::default();
    let mut left = addresses.into_iter();
    let mut again: VecDeque<IpAddr> = VecDeque::new();
    let mut next: Option<IpAddr> = None;
    let mut stuck = 0;
    let mut asking = JoinSet::new();
    let mut concurrency = limits.concurrency.max(1);
    let gap = Duration::from_secs(1) / limits.rate.max(1);
    let mut due = Instant::now();
    loop {
        next = next.or_else(|| again.pop_front()).or_else(|| left.next());
        if next.is_none() && asking.is_empty() {
            return report;
        }
        tokio::select! {
            biased;
            Some(ended) = asking.join_next() => {
                // A probe that panicked would be a bug of ours; its address counts as one that does not answer.
                let Ok((address, result)) = ended else {
                    tell(Event::Through);
                    continue;
                };
                let outcome = outcome(result);
                if let Outcome::Shortage(reason) = outcome {
                    again.push_back(address);
                    if asking.is_empty() {
                        stuck += 1;
                    }
                    if stuck >= STUCK {
                        report.untried += (next.iter().len() + again.len() + left.count()) as u64;
                        report.reason = Some(reason);
                        return report;
                    }
                    concurrency = (asking.len() / 2).clamp(1, concurrency);
                    due = due.max(Instant::now() + SHORTAGE);
                    continue;
                }
                stuck = 0;
                match outcome {
                    Outcome::Listens => {
                        report.found.push(address);
                        tell(Event::Found(address));
                    }
                    Outcome::NoWay(reason) => {
                        report.untried += 1;
                        report.reason = Some(reason);
                    }
                    Outcome::Nothing | Outcome::Shortage(_) => {}
                }
                tell(Event::Through);
            }
            () = sleep_until(due), if next.is_some() && asking.len() < concurrency => {
                if let Some(address) = next.take() {
                    let attempt = timeout(limits.connect_timeout, probe(address));
                    asking.spawn(async move { (address, attempt.await.ok()) });
                }
                due = due.max(Instant::now() - BEHIND.min(gap * 1000)) + gap;
            }
        }
    }
}

enum Outcome {
    Listens,
    /// Nobody, or nothing that listens.
    Nothing,
    /// This machine has nothing left to try it with.
    Shortage(String),
    /// This machine cannot send there.
    NoWay(String),
}

/// `None` is silence.
fn outcome(result: Option<io::Result<()>>) -> Outcome {
    let error = match result {
        Some(Ok(())) => return Outcome::Listens,
        Some(Err(error)) => error,
        None => return Outcome::Nothing,
    };
    match Errno::from_io_error(&error) {
        Some(
            Errno::MFILE
            | Errno::NFILE
            | Errno::NOBUFS
            | Errno::NOMEM
            | Errno::ADDRNOTAVAIL
            | Errno::AGAIN,
        ) => Outcome::Shortage(format!(
            "{error}; lower concurrency or rate, or raise this machine's limits"
        )),
        Some(
            Errno::NETUNREACH | Errno::NETDOWN | Errno::ACCESS | Errno::PERM | Errno::AFNOSUPPORT,
        ) => Outcome::NoWay(format!(
            "{error}; check the route and this machine's firewall"
        )),
        // Refused, reset, or a router that says that the host is not there.
        _ => Outcome::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::super::range::Cidr;
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};
    use tokio::time::sleep;

    fn all(cidr: &str) -> Vec<IpAddr> {
        cidr.parse::<Cidr>().unwrap().hosts().collect()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_16_takes_less_than_a_minute_within_the_default_bounds() {
        let under_way = Arc::new(AtomicUsize::new(0));
        let begun = Arc::new(Mutex::new(Vec::new()));
        let probe = |_| {
            begun.lock().unwrap().push(Instant::now());
            let under_way = Arc::clone(&under_way);
            let now = under_way.fetch_add(1, Ordering::Relaxed) + 1;
            assert!(now <= Limits::default().concurrency, "{now} at once");
            let guard = Guard(under_way);
            async move {
                let _guard = guard;
                std::future::pending().await
            }
        };
        let start = Instant::now();
        let mut through = 0;
        let limits = Limits::default();
        let report = scan(all("10.1.0.0/16"), limits, probe, |_| through += 1).await;
        let took = start.elapsed();
        assert_eq!((report, through), (Report::default(), 65_534));
        assert!(took < Duration::from_secs(60), "{took:?}");
        assert!(
            took <= limits.longest(65_534) + Duration::from_secs(1),
            "{took:?}"
        );
        // In no second more than the rate, and what may be caught up.
        let begun = begun.lock().unwrap();
        let most = limits.rate as usize + limits.rate as usize / 20 + 2;
        for (index, time) in begun.iter().enumerate().skip(most) {
            let before = begun[index - most];
            assert!(
                *time - before >= Duration::from_millis(999),
                "{:?}",
                *time - before
            );
        }
    }

    struct Guard(Arc<AtomicUsize>);

    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_listens_is_told_at_once() {
        let probe = |ip: IpAddr| async move {
            if ip == address("10.0.0.9") {
                return Ok(());
            }
            sleep(Duration::from_secs(1)).await;
            Err(io::ErrorKind::ConnectionRefused.into())
        };
        let start = Instant::now();
        let mut told = None;
        let limits = Limits {
            connect_timeout: Duration::from_secs(5),
            ..Limits::default()
        };
        let report = scan(all("10.0.0.0/24"), limits, probe, |event| {
            if let Event::Found(found) = event {
                told = Some((found, start.elapsed()));
            }
        })
        .await;
        assert_eq!(report.found, [address("10.0.0.9")]);
        let (found, after) = told.unwrap();
        assert_eq!(found, address("10.0.0.9"));
        assert!(after < Duration::from_millis(500), "{after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_machine_with_few_file_descriptors_is_slower_and_misses_nobody() {
        let open = Arc::new(AtomicUsize::new(0));
        let probe = |ip: IpAddr| {
            let open = Arc::clone(&open);
            async move {
                if open.fetch_add(1, Ordering::Relaxed) >= 20 {
                    open.fetch_sub(1, Ordering::Relaxed);
                    return Err(Errno::MFILE.into());
                }
                let _guard = Guard(open);
                sleep(Duration::from_millis(50)).await;
                match ip.to_string().ends_with('7') {
                    true => Ok(()),
                    false => Err(io::ErrorKind::ConnectionRefused.into()),
                }
            }
        };
        let mut through = 0;
        let report = scan(all("10.0.0.0/24"), Limits::default(), probe, |event| {
            through += usize::from(event == Event::Through);
        })
        .await;
        assert_eq!((report.found.len(), report.untried, through), (25, 0, 254));
    }

    #[tokio::test(start_paused = true)]
    async fn what_could_not_be_tried_is_told_apart_from_silence() {
        for (errno, part) in [
            (Errno::MFILE, "lower concurrency"),
            (Errno::NETUNREACH, "route"),
        ] {
            let probe = |_| async move { Err(errno.into()) };
            let report = scan(all("10.0.0.0/29"), Limits::default(), probe, |_| {}).await;
            assert_eq!((report.found.len(), report.untried), (0, 6));
            let reason = report.reason.unwrap();
            assert!(reason.contains(part), "{reason}");
        }
    }
}
