//! Looking up a host for the BEAM, so that nobody in it waits for the resolver.

use std::time::Duration;

use rendez::host_lookup::{LookupError, host_addresses};
use rustler::{Encoder, Env, LocalPid, Reference, Term};
use std::net::IpAddr;

use crate::mailbox::Mailbox;
use crate::{atoms, runtime};

/// The longest that a lookup takes.
const LONGEST: Duration = Duration::from_secs(60);

/// Looks up `host` for `owner`, who gets `{rendez, Tag, {looked_up, Answer}}` within the time.
///
/// # Errors
/// A sentence for people.
pub fn start<'a>(
    env: Env<'a>,
    owner: LocalPid,
    host: String,
    within_ms: u64,
) -> Result<Reference<'a>, String> {
    let within = Duration::from_millis(within_ms).min(LONGEST);
    let tag = env.make_ref();
    let mailbox = Mailbox::new(owner, tag);
    runtime::runtime()?.spawn(async move {
        let found = host_addresses(&host, within).await;
        mailbox.send(|env| (atoms::looked_up(), answer(env, found)).encode(env));
    });
    Ok(tag)
}

fn answer(env: Env<'_>, found: Result<Vec<IpAddr>, LookupError>) -> Term<'_> {
    match found {
        Ok(addresses) => {
            let addresses: Vec<Term> = addresses.into_iter().map(|ip| address(env, ip)).collect();
            (atoms::ok(), addresses).encode(env)
        }
        Err(LookupError::Timeout(_)) => (atoms::error(), atoms::timeout()).encode(env),
        Err(LookupError::Busy) => (atoms::error(), atoms::busy()).encode(env),
        Err(error) => (atoms::error(), error.to_string()).encode(env),
    }
}

/// An address as `inet:ip_address()`.
fn address(env: Env<'_>, address: IpAddr) -> Term<'_> {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            (a, b, c, d).encode(env)
        }
        IpAddr::V6(v6) => {
            let parts: Vec<Term> = v6.segments().iter().map(|part| part.encode(env)).collect();
            rustler::types::tuple::make_tuple(env, &parts)
        }
    }
}
