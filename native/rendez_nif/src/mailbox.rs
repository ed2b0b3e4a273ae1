//! Messages to the process that a cluster or a look belongs to.

use std::sync::{Mutex, PoisonError};

use rustler::env::SavedTerm;
use rustler::{Encoder, Env, LocalPid, OwnedEnv, Reference, Term};

use crate::atoms;

/// A reference that outlives the call that made it.
pub struct SavedReference {
    env: OwnedEnv,
    term: SavedTerm,
}

impl SavedReference {
    /// Keeps a reference.
    pub fn new(reference: Reference) -> Self {
        let env = OwnedEnv::new();
        let term = env.save(reference);
        Self { env, term }
    }

    /// The reference, in another environment.
    pub fn load<'a>(&self, env: Env<'a>) -> Term<'a> {
        self.env.run(|own| self.term.load(own).in_env(env))
    }
}

/// Sends `{rendez, Tag, Message}` to one process.
///
/// Its messages carry a tag and not the cluster's handle, which a message under way would keep alive.
pub struct Mailbox {
    owner: LocalPid,
    /// An environment belongs to one thread at a time. Only threads of the runtime take the lock.
    inner: Mutex<(OwnedEnv, SavedReference)>,
}

impl Mailbox {
    /// A mailbox of `owner`, whose messages carry `tag`.
    pub fn new(owner: LocalPid, tag: Reference) -> Self {
        Self {
            owner,
            inner: Mutex::new((OwnedEnv::new(), SavedReference::new(tag))),
        }
    }

    /// Sends what `message` makes. Not from a thread of the BEAM: it refuses that with a panic.
    pub fn send<M>(&self, message: M)
    where
        M: for<'a> FnOnce(Env<'a>) -> Term<'a>,
    {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let (env, tag) = &mut *inner;
        // An owner that is gone hears nothing, and its end stops the cluster.
        let _ = env.send_and_clear(&self.owner, |env| {
            (atoms::rendez(), tag.load(env), message(env)).encode(env)
        });
    }
}
