//! Locks of the whole cluster, as a program takes them.

use std::time::Duration;

use crate::etf::{Atom, Term};
use crate::node::process::Process;
use crate::node::received::Dest;

use super::tables::LockId;
use super::{Global, NAME};

impl Global {
    /// Does `work` while it holds the lock of `resource` at this node and all visible ones that are connected,
    /// as `global:trans/4` does; `None` if others held it, in the first attempt and in `retries` more.
    /// Between attempts it waits a while at random: up to a quarter of a second, later up to eight seconds.
    ///
    /// Dropping the future gives the lock back.
    ///
    /// ```no_run
    /// # use rendez::node::Global;
    /// # use rendez::etf::Term;
    /// # async fn example(global: &Global) {
    /// let cleaned = global.trans(Term::atom("cleaning"), 0, async { /* ... */ 7 }).await;
    /// println!("{cleaned:?}"); // None while `global:trans({cleaning, self()}, ...)` runs on a BEAM
    /// # }
    /// ```
    pub async fn trans<F: Future>(
        &self,
        resource: impl Into<Term>,
        retries: usize,
        work: F,
    ) -> Option<F::Output> {
        // The nodes monitor who holds a lock: it goes with this process.
        let mut holder = self.node.process();
        let id = LockId {
            resource: resource.into(),
            requester: holder.pid().clone().into(),
        };
        let mut attempt = 0;
        let nodes = loop {
            let nodes = self.all_nodes();
            if self.lock_at(&mut holder, &id, &nodes).await {
                break nodes;
            }
            if attempt == retries {
                return None;
            }
            attempt += 1;
            let at_most = 125 << attempt.min(6);
            let wait = rand::random_range(1..=at_most);
            tokio::time::sleep(Duration::from_millis(wait)).await;
        };
        let output = work.await;
        self.unlock_at(&mut holder, &id, &nodes).await;
        Some(output)
    }

    /// This node and the visible ones, the greatest first: whoever wants the same lock asks there first too, so
    /// that not many hold a part of it.
    fn all_nodes(&self) -> Vec<Atom> {
        let shared = &self.node.0;
        let connections = shared.table.all();
        let visible = connections.iter().filter(|it| it.is_visible());
        let mut nodes: Vec<Atom> = visible.map(|it| it.node().clone()).collect();
        nodes.push(shared.ids.node().clone());
        nodes.sort_by(|a, b| b.as_str().cmp(a.as_str()));
        nodes
    }

    async fn lock_at(&self, holder: &mut Process, id: &LockId, nodes: &[Atom]) -> bool {
        for (place, node) in nodes.iter().enumerate() {
            let request = Term::Tuple(vec![Term::atom("set_lock"), id.to_term()]);
            let server = Dest::Remote(NAME, node.clone());
            let answer = holder.call(server, request, Duration::MAX).await;
            // A node that is gone meanwhile has no say.
            if answer.is_ok_and(|answer| answer != Term::from(true)) {
                self.unlock_at(holder, id, &nodes[..place]).await;
                return false;
            }
        }
        true
    }

    /// Gives the lock back, and waits until it is: who is told that this is done finds it free.
    async fn unlock_at(&self, holder: &mut Process, id: &LockId, nodes: &[Atom]) {
        for node in nodes.iter().rev() {
            let request = Term::Tuple(vec![Term::atom("del_lock"), id.to_term()]);
            let server = Dest::Remote(NAME, node.clone());
            // A node that is gone holds nothing.
            let _ = holder.call(server, request, Duration::MAX).await;
        }
    }
}
