//! What the scope processes of `pg` tell one another. Pure.
//!
//! OTP 23 to 28 speak what is called version 0 here; OTP 29 says its version, 1, when it discovers
//! somebody, and speaks version 0 with those who said none. A version of 0 crashes on a message that it
//! does not know, so nothing of version 1 is sent to a process that has not spoken it itself.

use crate::etf::{Pid, Term};

/// What a scope process is told by another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// The other exists, and wants to know who is a member here. With the version that it speaks.
    Discover {
        /// The other scope process.
        peer: Pid,
        /// The version of the protocol that it speaks.
        version: Version,
    },
    /// All members on the other's node, instead of what it has said before.
    Sync {
        /// The other scope process.
        peer: Pid,
        /// The version of the protocol that it speaks.
        version: Version,
        /// The members by group, each as often as it joined.
        groups: Vec<(Term, Vec<Pid>)>,
    },
    /// Members joined and left.
    Update {
        /// The other scope process.
        peer: Pid,
        /// What changed, one entry a group.
        changes: Vec<Change>,
    },
}

/// What changed in one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The group.
    pub group: Term,
    /// Who joined; several times if it did so.
    pub joined: Vec<Pid>,
    /// Who left; several times if it did so.
    pub left: Vec<Pid>,
}

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// OTP 23 to 28: `join` and `leave` of one group at a time, `sync` with a list.
    Plain,
    /// OTP 29: `update` and `local_data`.
    Updates,
}

impl Version {
    fn from_term(term: &Term) -> Self {
        match term.as_int() {
            Some(1..) => Self::Updates,
            _ => Self::Plain,
        }
    }
}

impl Message {
    /// Reads a message as it comes into the mailbox of a scope process; `None` if it is not one.
    #[must_use]
    pub fn from_term(term: &Term) -> Option<Self> {
        let fields = term.as_tuple()?;
        let tag = fields.first()?.as_atom()?.as_str();
        match (tag, &fields[1..]) {
            // A cast, of which the message is the content.
            ("$gen_cast", [inner]) if !is_cast(inner) => Self::from_term(inner),
            ("discover", [peer]) => Some(Self::Discover {
                peer: peer.as_pid()?.clone(),
                version: Version::Plain,
            }),
            ("discover", [peer, version]) => Some(Self::Discover {
                peer: peer.as_pid()?.clone(),
                version: Version::from_term(version),
            }),
            ("sync", [peer, groups]) => Some(Self::Sync {
                peer: peer.as_pid()?.clone(),
                version: Version::Plain,
                groups: groups
                    .as_list()?
                    .iter()
                    .map(|group| match group.as_tuple()? {
                        [group, pids] => Some((group.clone(), pids_of(pids)?)),
                        _ => None,
                    })
                    .collect::<Option<_>>()?,
            }),
            ("local_data", [peer, version, Term::Map(groups)]) => Some(Self::Sync {
                peer: peer.as_pid()?.clone(),
                version: Version::from_term(version),
                groups: groups
                    .iter()
                    .map(|(group, pids)| Some((group.clone(), pids_of(pids)?)))
                    .collect::<Option<_>>()?,
            }),
            ("join", [peer, group, pids]) => Some(Self::Update {
                peer: peer.as_pid()?.clone(),
                changes: vec![Change {
                    group: group.clone(),
                    joined: pids_of(pids)?,
                    left: Vec::new(),
                }],
            }),
            ("leave", [peer, pids, groups]) => {
                let left = pids_of(pids)?;
                Some(Self::Update {
                    peer: peer.as_pid()?.clone(),
                    changes: groups
                        .as_list()?
                        .iter()
                        .map(|group| Change {
                            group: group.clone(),
                            joined: Vec::new(),
                            left: left.clone(),
                        })
                        .collect(),
                })
            }
            ("update", [peer, changes]) => Some(Self::Update {
                peer: peer.as_pid()?.clone(),
                changes: changes
                    .as_list()?
                    .iter()
                    .map(|change| match change.as_tuple()? {
                        [group, joined, left] => Some(Change {
                            group: group.clone(),
                            joined: pids_of(joined)?,
                            left: pids_of(left)?,
                        }),
                        _ => None,
                    })
                    .collect::<Option<_>>()?,
            }),
            _ => None,
        }
    }
}

/// Asks a peer who is there. Of one whose version is not known, [`Version::Plain`] is to be supposed.
pub(super) fn discover(me: &Pid, version: Version) -> Term {
    match version {
        Version::Plain => tuple([Term::atom("discover"), me.clone().into()]),
        Version::Updates => tuple([Term::atom("discover"), me.clone().into(), Term::Int(1)]),
    }
}

/// All local members, for a peer of that version.
pub(super) fn sync<'a>(
    me: &Pid,
    version: Version,
    groups: impl Iterator<Item = (&'a Term, &'a [Pid])>,
) -> Term {
    let me = me.clone().into();
    let groups = groups.map(|(group, pids)| (group.clone(), list(pids)));
    let content = match version {
        Version::Plain => tuple([
            Term::atom("sync"),
            me,
            Term::List(groups.map(|(group, pids)| tuple([group, pids])).collect()),
        ]),
        Version::Updates => tuple([
            Term::atom("local_data"),
            me,
            Term::Int(1),
            Term::Map(groups.collect()),
        ]),
    };
    tuple([Term::atom("$gen_cast"), content])
}

/// The messages that tell a peer of that version of changes, in the order in which they are to be sent.
pub(super) fn update(me: &Pid, version: Version, changes: &[Change]) -> Vec<Term> {
    let me: Term = me.clone().into();
    if version == Version::Updates {
        let changes = changes
            .iter()
            .map(|change| {
                tuple([
                    change.group.clone(),
                    list(&change.joined),
                    list(&change.left),
                ])
            })
            .collect();
        return vec![tuple([Term::atom("update"), me, Term::List(changes)])];
    }
    let leaves = changes.iter().filter(|change| !change.left.is_empty());
    let joins = changes.iter().filter(|change| !change.joined.is_empty());
    let leaves = leaves.map(|change| {
        let groups = Term::List(vec![change.group.clone()]);
        tuple([Term::atom("leave"), me.clone(), list(&change.left), groups])
    });
    let joins = joins.map(|change| {
        let (group, pids) = (change.group.clone(), list(&change.joined));
        tuple([Term::atom("join"), me.clone(), group, pids])
    });
    leaves.chain(joins).collect()
}

fn is_cast(term: &Term) -> bool {
    matches!(term.as_tuple(), Some([Term::Atom(tag), ..]) if *tag == "$gen_cast")
}

/// One pid or a list of them.
fn pids_of(term: &Term) -> Option<Vec<Pid>> {
    match term {
        Term::Pid(pid) => Some(vec![(**pid).clone()]),
        Term::List(pids) => pids.iter().map(|pid| pid.as_pid().cloned()).collect(),
        _ => None,
    }
}

fn list(pids: &[Pid]) -> Term {
    Term::List(pids.iter().cloned().map(Term::from).collect())
}

fn tuple<const N: usize>(elements: [Term; N]) -> Term {
    Term::Tuple(elements.into())
}
