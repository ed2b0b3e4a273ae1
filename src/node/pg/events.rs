//! Following who joins and leaves.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

use futures::Stream;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::etf::{Pid, Term};

use super::Scope;
use super::state::{PgEvent, PgEventKind, State, without};

/// Those who join and leave the groups of a scope, or one group, as they do it: what `pg:monitor/2` and
/// `pg:monitor_scope/1` send.
#[derive(Debug)]
pub struct PgEvents {
    scope: Weak<Scope>,
    group: Option<Term>,
    receiver: broadcast::Receiver<Arc<PgEvent>>,
    /// The members as the reader has been told of them, by which one that fell behind finds back.
    told: HashMap<Term, Vec<Pid>>,
    /// What it found out then.
    caught_up: VecDeque<PgEvent>,
}

impl PgEvents {
    pub(super) fn new(
        scope: &Arc<Scope>,
        state: &State,
        group: Option<Term>,
        receiver: broadcast::Receiver<Arc<PgEvent>>,
    ) -> Self {
        let told = members(state, group.as_ref());
        Self {
            scope: Arc::downgrade(scope),
            group,
            receiver,
            told,
            caught_up: VecDeque::new(),
        }
    }

    /// The next event; `None` once nobody holds the scope any more, or its node. Cancel-safe.
    ///
    /// A reader that falls more than 4,096 events behind is told the difference between what it was told
    /// last and what is, instead of every step on the way.
    pub async fn next(&mut self) -> Option<PgEvent> {
        loop {
            if let Some(event) = self.caught_up.pop_front() {
                return Some(event);
            }
            match self.receiver.recv().await {
                Ok(event) => {
                    if self
                        .group
                        .as_ref()
                        .is_none_or(|group| *group == event.group)
                    {
                        self.note(&event);
                        return Some((*event).clone());
                    }
                }
                Err(RecvError::Lagged(_)) => self.catch_up(),
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// The events as a stream.
    pub fn into_stream(self) -> impl Stream<Item = PgEvent> + Send {
        futures::stream::unfold(self, async |mut events| {
            let event = events.next().await?;
            Some((event, events))
        })
    }

    fn note(&mut self, event: &PgEvent) {
        let pids = self.told.entry(event.group.clone()).or_default();
        match event.kind {
            PgEventKind::Join => pids.extend(event.pids.iter().cloned()),
            PgEventKind::Leave => *pids = without(pids, &event.pids),
        }
        if pids.is_empty() {
            self.told.remove(&event.group);
        }
    }

    fn catch_up(&mut self) {
        let Some(scope) = self.scope.upgrade() else {
            return;
        };
        let (now, receiver) = scope
            .with_state(|state, events| (members(state, self.group.as_ref()), events.subscribe()));
        self.receiver = receiver;
        let none = Vec::new();
        for (group, pids) in &self.told {
            let left = without(pids, now.get(group).unwrap_or(&none));
            self.caught_up
                .extend(change(group, PgEventKind::Leave, left));
        }
        for (group, pids) in &now {
            let joined = without(pids, self.told.get(group).unwrap_or(&none));
            self.caught_up
                .extend(change(group, PgEventKind::Join, joined));
        }
        self.told = now;
    }
}

fn change(group: &Term, kind: PgEventKind, pids: Vec<Pid>) -> Option<PgEvent> {
    let group = group.clone();
    (!pids.is_empty()).then_some(PgEvent { group, kind, pids })
}

fn members(state: &State, group: Option<&Term>) -> HashMap<Term, Vec<Pid>> {
    let of = |group: &Term| (group.clone(), state.members(group).to_vec());
    match group {
        Some(group) if state.members(group).is_empty() => HashMap::new(),
        Some(group) => HashMap::from([of(group)]),
        None => state.groups().map(of).collect(),
    }
}
