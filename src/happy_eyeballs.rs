//! Connecting to whichever address of a host answers first, as RFC 8305 ("Happy Eyeballs") has it.
//!
//! The addresses are tried one after the other, the next one as soon as one failed or was silent for a moment, so that
//! a host is reached in time although its first address leads nowhere. Attempts go on beside later ones.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How much later the next address is tried while the one before has not answered, as RFC 8305 recommends.
const NEXT_ADDRESS: Duration = Duration::from_millis(250);

/// What became of each address, in the order in which they failed.
#[derive(Debug)]
pub(crate) struct Unconnected(Vec<(SocketAddr, io::Error)>);

impl Unconnected {
    /// The failure that says most: a refusal says more than an address family that has no route.
    pub(crate) fn main(&self) -> Option<&(SocketAddr, io::Error)> {
        let refusal = |failure: &&(SocketAddr, io::Error)| {
            failure.1.kind() == io::ErrorKind::ConnectionRefused
        };
        self.0.iter().find(refusal).or(self.0.first())
    }
}

/// Each address with what the operating system said of it.
impl fmt::Display for Unconnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            // The caller's message names the only address.
            [(_, error)] => write!(f, "{error}"),
            failures => {
                for (number, (address, error)) in failures.iter().enumerate() {
                    let separator = if number == 0 { "" } else { "; " };
                    write!(f, "{separator}{address}: {error}")?;
                }
                Ok(())
            }
        }
    }
}

/// Connects to the first of the addresses that answers.
///
/// # Errors
/// Every address failed. It has no time limit of its own.
pub(crate) async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, Unconnected> {
    let mut addresses = addresses.iter().copied();
    let mut attempts = JoinSet::new();
    let mut failures = Vec::new();
    loop {
        if let Some(address) = addresses.next() {
            attempts.spawn(async move { (address, TcpStream::connect(address).await) });
        } else if attempts.is_empty() {
            return Err(Unconnected(failures));
        }
        let outcome = if addresses.len() == 0 {
            attempts.join_next().await
        } else {
            // Silence is not a failure: this attempt continues beside the next one.
            timeout(NEXT_ADDRESS, attempts.join_next())
                .await
                .unwrap_or(None)
        };
        match outcome {
            Some(Ok((_, Ok(stream)))) => return Ok(stream),
            Some(Ok((address, Err(error)))) => failures.push((address, error)),
            Some(Err(_)) | None => {}
        }
    }
}

/// Addresses as an error names them.
pub(crate) fn list(addresses: &[SocketAddr]) -> String {
    let addresses: Vec<_> = addresses.iter().map(SocketAddr::to_string).collect();
    addresses.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn the_address_that_answers_is_taken_and_all_failures_are_named() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let answers = listener.local_addr().unwrap();
        // Bound, so that nobody else gets the port, and not listening.
        let closed = tokio::net::TcpSocket::new_v4().unwrap();
        closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let refuses = closed.local_addr().unwrap();
        let stream = connect(&[refuses, answers]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), answers);

        let failed = connect(&[refuses]).await.unwrap_err();
        assert_eq!(failed.main().unwrap().0, refuses);
        assert!(!failed.to_string().contains("127.0.0.1"), "{failed}");
        let port = refuses.port();
        let other = SocketAddr::from(([127, 0, 0, 9], port));
        let failed = connect(&[refuses, other]).await.unwrap_err();
        let text = failed.to_string();
        assert!(text.contains(&format!("127.0.0.1:{port}: ")), "{text}");
        assert!(text.contains(&format!("127.0.0.9:{port}: ")), "{text}");
        let nothing = connect(&[]).await.unwrap_err();
        assert!(nothing.main().is_none());
    }
}
