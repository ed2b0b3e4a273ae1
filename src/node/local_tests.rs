//! Processes among themselves, on one node.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::etf::{Atom, Term};

use super::call::CallError;
use super::*;

const PATIENCE: Duration = Duration::from_secs(60);

async fn node() -> Node {
    Node::builder("local@127.0.0.1")
        .cookie("c")
        .registration(Registration::None)
        .start()
        .await
        .unwrap()
}

fn atom(name: &'static str) -> Term {
    Term::atom(name)
}

/// Ends in its own time; the reason is what it is sent first.
async fn obedient(mut process: Process) -> Term {
    loop {
        if let Received::Message(reason) = process.receive().await {
            return reason;
        }
    }
}

async fn next(process: &mut Process) -> Received {
    process
        .receive_timeout(PATIENCE)
        .await
        .expect("something comes")
}

#[tokio::test]
async fn who_has_much_to_say_lets_others_run() {
    let node = node().await;
    let (own, other) = (node.process(), node.process());
    let others = tokio::spawn(async {});
    for i in 0..1000 {
        own.send(other.pid(), Term::Int(i)).await.unwrap();
    }
    assert!(others.is_finished(), "it has had its turn");
}

#[tokio::test]
async fn messages_arrive_in_order_by_pid_name_and_alias() {
    let node = node().await;
    let mut own = node.process();
    own.register(Atom::new("own")).unwrap();
    let (pid, alias) = (own.pid().clone(), own.alias());
    let by_alias = alias.clone();
    node.spawn(move |process| async move {
        for i in 0..1000 {
            let to = match i % 3 {
                0 => Dest::Pid(pid.clone()),
                1 => Dest::Name(Atom::new("own")),
                _ => Dest::Alias(by_alias.clone()),
            };
            process.send(to, Term::Int(i)).await.unwrap();
        }
    });
    for i in 0..1000 {
        assert_eq!(next(&mut own).await, Received::Message(Term::Int(i)));
    }
    assert!(own.unalias(&alias));
    own.send(alias, atom("late")).await.unwrap();
    own.send(Atom::new("nobody"), atom("lost")).await.unwrap();
    own.send(Atom::new("own"), atom("here")).await.unwrap();
    assert_eq!(next(&mut own).await, Received::Message(atom("here")));
}

#[tokio::test]
async fn a_selective_receive_leaves_the_rest_in_its_order() {
    let node = node().await;
    let mut own = node.process();
    for i in 0..5 {
        own.send(own.pid(), Term::Int(i)).await.unwrap();
    }
    let is = |wanted| move |received: &Received| *received == Received::Message(Term::Int(wanted));
    assert!(own.select(Some(PATIENCE), is(3)).await.is_some());
    let none = own.select(Some(Duration::from_millis(10)), is(3)).await;
    assert_eq!(none, None);
    let waiting = own.waiting();
    assert_eq!(waiting, 4);
    for i in [0, 1, 2, 4] {
        assert_eq!(next(&mut own).await, Received::Message(Term::Int(i)));
    }
    let late = own.receive_timeout(Duration::from_millis(10)).await;
    assert_eq!(late, None);
}

#[tokio::test]
async fn a_monitor_tells_how_a_process_ended() {
    let node = node().await;
    let mut own = node.process();
    let (pid, reference) = own.spawn_monitor(obedient);
    own.send(&pid, atom("done")).await.unwrap();
    let down = Received::Down {
        reference,
        process: Monitored::Pid(pid.clone()),
        reason: atom("done"),
    };
    assert_eq!(next(&mut own).await, down);
    assert!(!node.is_alive(&pid));

    // Not there, by pid and by name.
    let nobody = (Atom::new("nobody"), own.pid().node.clone());
    for process in [Monitored::Pid(pid), nobody.into()] {
        let reference = own.monitor(process.clone()).await;
        let reason = atom("noproc");
        let down = Received::Down {
            reference,
            process,
            reason,
        };
        assert_eq!(next(&mut own).await, down);
    }
    // Taken back, before and after the end.
    let pid = node.spawn(obedient);
    let (before, after) = (own.monitor(&pid).await, own.monitor(&pid).await);
    own.demonitor(&before);
    own.send(&pid, atom("done")).await.unwrap();
    while node.is_alive(&pid) {
        tokio::task::yield_now().await;
    }
    own.demonitor(&after);
    own.send(own.pid(), atom("next")).await.unwrap();
    assert_eq!(next(&mut own).await, Received::Message(atom("next")));
    // On a node that there is no way to.
    let elsewhere = (Atom::new("x"), Atom::new("no@way"));
    own.monitor(elsewhere).await;
    let down = next(&mut own).await;
    assert!(matches!(&down, Received::Down { reason, .. } if *reason == atom("noconnection")));
}

#[tokio::test]
async fn linked_processes_end_together_unless_they_trap_exits() {
    let node = node().await;
    let mut own = node.process();
    own.trap_exit(true);
    let pid = own.spawn_link(obedient);
    let (other, _) = own.spawn_monitor(move |process| async move {
        process.link(&pid).await;
        process.send(&pid, atom("crash")).await.unwrap();
        obedient(process).await
    });
    let mut reasons = Vec::new();
    for _ in 0..2 {
        match next(&mut own).await {
            Received::Exit { reason, .. } => reasons.push(reason),
            Received::Down {
                process, reason, ..
            } => {
                assert_eq!(process, Monitored::Pid(other.clone()));
                reasons.push(reason);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(reasons, [atom("crash"), atom("crash")]);

    // A link taken back is no link; `normal` ends nobody.
    own.trap_exit(false);
    let (one, two) = (own.spawn_link(obedient), own.spawn_link(obedient));
    own.unlink(&one);
    own.send(&one, atom("crash")).await.unwrap();
    own.send(&two, atom("normal")).await.unwrap();
    while node.is_alive(&one) || node.is_alive(&two) {
        tokio::task::yield_now().await;
    }
    assert!(node.is_alive(own.pid()));
    // One that is not there says so at once.
    own.link(&two).await;
    let ended = Received::Ended {
        reason: atom("noproc"),
    };
    assert_eq!(next(&mut own).await, ended);
    assert_eq!(next(&mut own).await, ended, "and again");
    assert!(!node.is_alive(own.pid()));
}

#[tokio::test]
async fn an_exit_signal_ends_whom_it_is_for_and_kill_anyone() {
    let node = node().await;
    let own = &mut node.process();
    for (trap, reason, expected) in [
        (false, "stop", Some("stop")),
        (false, "kill", Some("killed")),
        (true, "kill", Some("killed")),
        (true, "stop", None),
        (false, "normal", None),
    ] {
        let options = if trap {
            SpawnOptions::new().trap_exit()
        } else {
            SpawnOptions::new()
        };
        let pid = node.spawn_with(options, obedient).unwrap();
        let reference = own.monitor(&pid).await;
        own.exit(&pid, atom(reason)).await;
        own.send(&pid, atom("told")).await.unwrap();
        let Received::Down {
            reference: of,
            reason: ended,
            ..
        } = next(own).await
        else {
            panic!("no end");
        };
        assert_eq!(
            (of, ended),
            (reference, atom(expected.unwrap_or("told"))),
            "{trap} {reason}"
        );
    }
}

#[tokio::test]
async fn a_panic_is_an_exit_reason() {
    let node = node().await;
    let mut own = node.process();
    let (_, _) = own.spawn_monitor(|_| async {
        if true {
            panic!("no {}", 7);
        }
    });
    let Received::Down { reason, .. } = next(&mut own).await else {
        panic!("no end");
    };
    let error = Term::Tuple(vec![atom("panic"), Term::binary("no 7")]);
    assert_eq!(reason, Term::Tuple(vec![error, Term::NIL]));
}

#[tokio::test]
async fn a_name_belongs_to_one_process_and_goes_with_it() {
    let node = node().await;
    // Those that every node has.
    let before = node.processes();
    let name = Atom::new("it");
    let one = node.process();
    one.register(name.clone()).unwrap();
    assert_eq!(node.whereis(&name), Some(one.pid().clone()));
    let two = node.process();
    assert_eq!(two.register(name.clone()), Err(RegisterError::Taken));
    let taken = node.spawn_with(SpawnOptions::new().name(name.clone()), obedient);
    assert_eq!(taken, Err(RegisterError::Taken));
    drop(one);
    assert_eq!(node.whereis(&name), None);
    two.register(name.clone()).unwrap();
    assert!(node.unregister(&name));
    assert!(!node.unregister(&name));
    drop(two);
    assert_eq!(node.processes(), before);
}

#[tokio::test]
async fn a_full_mailbox_ends_the_process_or_refuses() {
    let node = node().await;
    let mut own = node.process();
    let bound = |when_full| MailboxBound {
        messages: 3,
        when_full,
        ..MailboxBound::default()
    };
    let mut refusing = node.process_with(bound(WhenFull::Refuse));
    let ending = node.process_with(bound(WhenFull::End));
    let reference = own.monitor(ending.pid()).await;
    for i in 0..5 {
        own.send(refusing.pid(), Term::Int(i)).await.unwrap();
        own.send(ending.pid(), Term::Int(i)).await.unwrap();
    }
    assert_eq!((refusing.waiting(), refusing.refused()), (3, 2));
    for i in 0..3 {
        assert_eq!(next(&mut refusing).await, Received::Message(Term::Int(i)));
    }
    own.send(refusing.pid(), atom("room")).await.unwrap();
    assert_eq!(next(&mut refusing).await, Received::Message(atom("room")));
    let Received::Down {
        reference: of,
        reason,
        ..
    } = next(&mut own).await
    else {
        panic!("no end");
    };
    assert_eq!((of, reason), (reference, atom("mailbox_full")));
}

struct Counter(i64);

impl GenServer for Counter {
    async fn handle_call(&mut self, request: Term, from: Caller, process: &mut Process) -> Answer {
        match request {
            Term::Int(by) => {
                self.0 += by;
                Answer::Reply(Term::Int(self.0))
            }
            Term::Atom(word) if word == *"later" => {
                process.reply(&from, atom("now")).await.unwrap();
                Answer::Later
            }
            Term::Atom(word) if word == *"never" => Answer::Later,
            Term::Atom(word) if word == *"panic" => panic!("as asked"),
            _ => Answer::Stop(ExitReason(atom("stopped")), Some(atom("bye"))),
        }
    }

    async fn handle_cast(&mut self, request: Term, _: &mut Process) -> Next {
        self.0 += request.as_int().unwrap_or(0);
        Next::Continue
    }
}

#[tokio::test]
async fn a_service_is_called_and_cast_to() {
    let node = node().await;
    let name = Atom::new("counter");
    let options = || SpawnOptions::new().name(name.clone());
    let pid = node.serve(options(), Counter(40)).await.unwrap();
    let mut own = node.process();
    let call = async |own: &mut Process, request| own.call(name.clone(), request, PATIENCE).await;
    own.send(own.pid(), atom("earlier")).await.unwrap();
    assert_eq!(call(&mut own, Term::Int(2)).await, Ok(Term::Int(42)));
    own.cast(&pid, Term::Int(8)).await.unwrap();
    assert_eq!(call(&mut own, Term::Int(0)).await, Ok(Term::Int(50)));
    assert_eq!(call(&mut own, atom("later")).await, Ok(atom("now")));
    let short = Duration::from_millis(20);
    let never = own.call(&pid, atom("never"), short).await;
    assert_eq!(never, Err(CallError::Timeout(short)));
    assert_eq!(call(&mut own, atom("stop")).await, Ok(atom("bye")));
    while node.is_alive(&pid) {
        tokio::task::yield_now().await;
    }
    let gone = Err(CallError::Exited(atom("noproc")));
    assert_eq!(call(&mut own, Term::Int(0)).await, gone);
    node.serve(options(), Counter(0)).await.unwrap();
    let panicked = call(&mut own, atom("panic")).await;
    assert!(
        matches!(panicked, Err(CallError::Exited(Term::Tuple(_)))),
        "{panicked:?}"
    );
    // What came before is still there, and nothing of the calls is.
    assert_eq!(next(&mut own).await, Received::Message(atom("earlier")));
    assert_eq!(own.waiting(), 0);
    let quiet = own.receive_timeout(Duration::from_millis(5)).await;
    assert_eq!(quiet, None);
}

/// An EPMD that refuses a name so many times, and that takes its time to notice that a node has gone. It counts the
/// nodes that it knows.
async fn slow_epmd(refusals: usize) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let known = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&known);
    tokio::spawn(async move {
        for number in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let refused = u8::from(number < refusals);
            let mut bytes = [0; 256];
            let _ = stream.read(&mut bytes).await;
            stream.write_all(&[118, refused, 0, 0, 0, 9]).await.unwrap();
            if refused == 1 {
                continue;
            }
            counted.fetch_add(1, Ordering::SeqCst);
            while let Ok(1..) = stream.read(&mut bytes).await {}
            tokio::time::sleep(Duration::from_millis(20)).await;
            counted.fetch_sub(1, Ordering::SeqCst);
        }
    });
    (port, known)
}

async fn registered(epmd_port: u16) -> Node {
    let builder = Node::builder("registered@127.0.0.1").cookie("c");
    let builder = builder.listen("127.0.0.1:0".parse().unwrap());
    builder.epmd_port(epmd_port).start().await.unwrap()
}

#[tokio::test]
async fn a_node_that_has_stopped_is_forgotten_by_epmd() {
    let (epmd, known) = slow_epmd(0).await;
    for _ in 0..3 {
        let node = registered(epmd).await;
        assert_eq!(known.load(Ordering::SeqCst), 1);
        node.stop().await;
        assert_eq!(known.load(Ordering::SeqCst), 0, "its name is free again");
    }
}

#[tokio::test]
async fn a_node_starts_although_epmd_has_not_noticed_the_end_of_the_one_before() {
    let (epmd, _) = slow_epmd(3).await;
    registered(epmd).await.stop().await;
}
