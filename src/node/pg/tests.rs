use super::*;
use crate::node::Registration;

async fn node() -> Node {
    let builder = Node::builder("pg@127.0.0.1").cookie("cookie");
    let builder = builder.registration(Registration::None);
    builder.start().await.unwrap()
}

const SCOPE: Atom = Atom::new("stages");

fn group() -> Term {
    Term::atom("rockstars")
}

#[tokio::test]
async fn members_join_leave_and_end() {
    let node = node().await;
    let pg = node.pg(SCOPE).unwrap();
    let (members, mut events) = pg.monitor(group());
    assert!(members.is_empty());
    let (a, b) = (node.process(), node.process());
    pg.join_all(group(), &[a.pid().clone(), b.pid().clone()])
        .unwrap();
    pg.join(Term::atom("others"), a.pid()).unwrap();
    assert_eq!(pg.members(&group()), [a.pid().clone(), b.pid().clone()]);
    assert_eq!(pg.local_members(&group()).len(), 2);
    assert_eq!((pg.groups().len(), pg.local_groups().len()), (2, 2));
    assert!(pg.leave(&group(), b.pid()).unwrap());
    assert!(!pg.leave(&group(), b.pid()).unwrap());
    let gone = a.pid().clone();
    drop(a);
    let expected = [
        (PgEventKind::Join, 2),
        (PgEventKind::Leave, 1),
        (PgEventKind::Leave, 1),
    ];
    for (kind, count) in expected {
        let event = events.next().await.unwrap();
        assert_eq!((event.kind, event.pids.len()), (kind, count), "{event:?}");
        assert_eq!(event.group, group());
    }
    assert!(pg.groups().is_empty());
    // It is dead, and leaves again at once.
    pg.join(group(), &gone).unwrap();
    assert_eq!(events.next().await.unwrap().kind, PgEventKind::Join);
    assert_eq!(events.next().await.unwrap().kind, PgEventKind::Leave);
}

#[tokio::test]
async fn a_scope_is_there_while_somebody_holds_it() {
    let node = node().await;
    let pg = node.pg(SCOPE).unwrap();
    let again = node.pg(SCOPE).unwrap();
    let process = node.process();
    pg.join(group(), process.pid()).unwrap();
    assert_eq!(again.members(&group()).len(), 1, "the same scope");
    assert!(node.whereis(&SCOPE).is_some());
    let (_, mut events) = pg.monitor_scope();
    drop((pg, again));
    assert_eq!(events.next().await, None);
    assert!(node.whereis(&SCOPE).is_none());
    process.register(SCOPE).unwrap();
    assert_eq!(node.pg(SCOPE).unwrap_err(), RegisterError::Taken);
    assert!(
        node.whereis(&SCOPE).is_some(),
        "the process has its name still"
    );
}

#[tokio::test]
async fn a_process_of_another_node_cannot_join_here() {
    let node = node().await;
    let pg = node.pg(SCOPE).unwrap();
    let stranger = Pid {
        node: Atom::new("x@y"),
        ..node.process().pid().clone()
    };
    let error = pg.join(group(), &stranger).unwrap_err();
    assert_eq!(error, NotLocal(stranger));
    assert!(
        error.to_string().contains("does not run on this node"),
        "{error}"
    );
}

#[tokio::test]
async fn who_falls_behind_is_told_the_difference() {
    let node = node().await;
    let pg = node.pg(SCOPE).unwrap();
    let process = node.process();
    let pid = process.pid();
    pg.join(Term::atom("left"), pid).unwrap();
    let (groups, mut events) = pg.monitor_scope();
    assert_eq!(groups.len(), 1);
    for _ in 0..EVENTS {
        pg.join(group(), pid).unwrap();
        pg.leave(&group(), pid).unwrap();
    }
    pg.leave(&Term::atom("left"), pid).unwrap();
    pg.join(group(), pid).unwrap();
    let (first, second) = (events.next().await.unwrap(), events.next().await.unwrap());
    let event = |kind, group| PgEvent {
        group,
        kind,
        pids: vec![pid.clone()],
    };
    assert_eq!(first, event(PgEventKind::Leave, Term::atom("left")));
    assert_eq!(second, event(PgEventKind::Join, group()));
    pg.leave(&group(), pid).unwrap();
    assert_eq!(
        events.next().await.unwrap(),
        event(PgEventKind::Leave, group())
    );
}
