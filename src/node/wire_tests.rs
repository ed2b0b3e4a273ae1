//! A node and its peers, over TCP and without a handshake. Some of the peers are nodes too, others say whatever a
//! test has them say.

use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

use crate::dist::channel::{self, ChannelOptions, Incoming, Receiver, Sender};
use crate::dist::control::{Control, Process as Named};
use crate::dist::{Flags, Stream};
use crate::etf::Term;

use super::call::CallError;
use super::table::Origin;
use super::*;

const PATIENCE: Duration = Duration::from_secs(60);
/// What may wait of a connection in the tests.
const UNRECEIVED: usize = 64 * 1024;

fn atom(name: &'static str) -> Term {
    Term::atom(name)
}

fn tuple<const N: usize>(elements: [Term; N]) -> Term {
    Term::Tuple(elements.into())
}

fn name(text: &str) -> NodeName {
    text.parse().unwrap()
}

fn builder(name: &str) -> Builder {
    Node::builder(name)
        .cookie("c")
        .registration(Registration::None)
}

async fn node(name: &str) -> Node {
    builder(name).start().await.unwrap()
}

/// A node that listens to its peers until 64 KiB wait, and, if something is waited for, until `at_most` do.
async fn listener(at_most: usize) -> Node {
    let limits = Limits {
        unreceived: UNRECEIVED,
        unreceived_at_most: at_most,
        ..Limits::default()
    };
    let builder = builder("own@127.0.0.1").limits(limits);
    builder.start().await.unwrap()
}

async fn streams() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (one, other) = tokio::join!(TcpStream::connect(address), listener.accept());
    (one.unwrap(), other.unwrap().0)
}

fn peer(name: &NodeName) -> Peer {
    Peer {
        name: name.clone(),
        creation: Some(1),
        hidden: true,
        flags: Flags::claimed(false),
    }
}

async fn adopt(node: &Node, stream: TcpStream, peer: Peer) -> Connection {
    let begun = Origin {
        here: false,
        at: Instant::now(),
        replaces: false,
    };
    adopt_as(node, stream, peer, begun).await
}

async fn adopt_as(node: &Node, stream: TcpStream, peer: Peer, begun: Origin) -> Connection {
    let adopted = table::adopt(&node.0, Stream::Plain(stream), peer, begun).await;
    adopted.unwrap()
}

/// Connects two nodes.
async fn connect(one: &Node, other: &Node) {
    let (near, far) = streams().await;
    adopt(one, near, peer(other.name())).await;
    adopt(other, far, peer(one.name())).await;
}

/// A peer that says what it is told to.
struct Raw {
    node: Atom,
    sender: Sender,
    receiver: Receiver,
}

impl Raw {
    async fn of(node: &Node, text: &str) -> Self {
        let (near, far) = streams().await;
        adopt(node, near, peer(&name(text))).await;
        let options = ChannelOptions {
            flags: Flags::claimed(false),
            ..ChannelOptions::default()
        };
        let (sender, receiver) = channel::open_tcp(far, options);
        Self {
            node: Atom::try_from(text).unwrap(),
            sender,
            receiver,
        }
    }

    fn pid(&self, id: u32) -> Pid {
        Pid {
            node: self.node.clone(),
            id,
            serial: 0,
            creation: 1,
        }
    }

    async fn say(&self, control: Control, payload: Option<Term>) {
        self.sender.send(&control, payload.as_ref()).await.unwrap();
    }

    async fn send(&self, to: &Pid, message: Term) {
        let (from, to) = (self.pid(1), to.clone());
        self.say(Control::SendSender { from, to }, Some(message))
            .await;
    }

    /// Sends so many messages of 10,000 bytes.
    async fn flood(&self, to: &Pid, count: usize) {
        for _ in 0..count {
            self.send(to, Term::binary(vec![7; 10_000])).await;
        }
    }

    async fn hear(&mut self) -> Incoming {
        let heard = timeout(PATIENCE, self.receiver.next()).await;
        heard.expect("something comes").unwrap()
    }

    /// Tells that one of its processes ended.
    async fn down(&self, from: Pid, to: &Pid, reference: &Reference, reason: Term) {
        let control = Control::PayloadMonitorExit {
            from: Named::Pid(from),
            to: to.clone(),
            reference: reference.clone(),
        };
        self.say(control, Some(reason)).await;
    }
}

async fn next(process: &mut Process) -> Received {
    let received = process.receive_timeout(PATIENCE).await;
    received.expect("something comes")
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let waiting = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect(what);
}

/// How much of what the peer sent waits.
fn unreceived(node: &Node, peer: &Raw) -> usize {
    let connection = node.connection(&name(peer.node.as_str())).unwrap();
    connection.gate().used()
}

/// Hears the call of a `gen_server`, and says who asks.
async fn hear_call(peer: &mut Raw) -> Term {
    loop {
        let Incoming { payload, .. } = peer.hear().await;
        let Some(Term::Tuple(call)) = payload else {
            continue;
        };
        if call[0] == atom("$gen_call") {
            return call[1].clone();
        }
    }
}

/// Answers the call of a `gen_server`.
async fn answer(peer: &Raw, caller: &Term, answer: Term) {
    let [_, tag] = caller.as_tuple().unwrap() else {
        panic!("{caller}");
    };
    let Term::ImproperList(alias) = tag else {
        panic!("{tag}");
    };
    let Term::Reference(alias) = &alias.tail else {
        panic!("{tag}");
    };
    let (from, alias) = (peer.pid(1), (**alias).clone());
    let control = Control::AliasSend { from, alias };
    peer.say(control, Some(tuple([tag.clone(), answer]))).await;
}

#[tokio::test]
async fn a_process_that_is_flooded_gets_the_answer_to_its_call() {
    let node = listener(64 << 20).await;
    let mut loud = Raw::of(&node, "loud@127.0.0.1").await;
    let mut process = node.process();
    loud.flood(process.pid(), 50).await;
    until("the first of it comes", || {
        unreceived(&node, &loud) >= UNRECEIVED
    })
    .await;
    let server = Dest::registered("server", &name("loud@127.0.0.1")).unwrap();
    let answering = async {
        let caller = hear_call(&mut loud).await;
        answer(&loud, &caller, atom("answer")).await;
    };
    let calling = process.call(server, atom("question"), PATIENCE);
    let (answer, ()) = tokio::join!(calling, answering);
    assert_eq!(answer, Ok(atom("answer")));
    for _ in 0..50 {
        assert!(matches!(next(&mut process).await, Received::Message(_)));
    }
    assert_eq!(unreceived(&node, &loud), 0);
}

#[tokio::test]
async fn the_end_of_a_process_is_told_although_another_receives_too_slowly() {
    let node = listener(64 << 20).await;
    let loud = Raw::of(&node, "loud@127.0.0.1").await;
    let (slow, mut other) = (node.process(), node.process());
    let reference = other.monitor(loud.pid(3)).await;
    loud.flood(slow.pid(), 50).await;
    let boom = atom("boom");
    loud.down(loud.pid(3), other.pid(), &reference, boom).await;
    assert!(matches!(next(&mut other).await, Received::Down { .. }));
}

#[tokio::test]
async fn what_is_waited_for_opens_the_way_for_so_much_and_no_more() {
    let (at_most, message) = (4 * UNRECEIVED, 11_000);
    let node = listener(at_most).await;
    let loud = Raw::of(&node, "loud@127.0.0.1").await;
    let (mut slow, other) = (node.process(), node.process());
    other.monitor(loud.pid(3)).await;
    let (pid, sender) = (slow.pid().clone(), loud.sender.clone());
    let flooding = tokio::spawn({
        let from = loud.pid(1);
        async move {
            for _ in 0..500 {
                let control = Control::SendSender {
                    from: from.clone(),
                    to: pid.clone(),
                };
                let payload = Term::binary(vec![7; 10_000]);
                sender.send(&control, Some(&payload)).await.unwrap();
            }
        }
    });
    until("so much comes", || unreceived(&node, &loud) >= at_most).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
        assert!(unreceived(&node, &loud) <= at_most + message);
    }
    // Nothing is lost.
    for _ in 0..500 {
        assert!(matches!(next(&mut slow).await, Received::Message(_)));
    }
    flooding.await.unwrap();
}

#[tokio::test]
async fn a_process_with_a_bound_in_bytes_holds_up_nobody() {
    let node = listener(UNRECEIVED).await;
    let loud = Raw::of(&node, "loud@127.0.0.1").await;
    let bound = MailboxBound {
        bytes: UNRECEIVED / 2,
        when_full: WhenFull::Refuse,
        ..MailboxBound::default()
    };
    let (mut slow, mut other) = (node.process_with(bound), node.process());
    loud.flood(slow.pid(), 50).await;
    loud.send(other.pid(), atom("hello")).await;
    assert_eq!(next(&mut other).await, Received::Message(atom("hello")));
    assert!((40..50).contains(&slow.refused()), "{}", slow.refused());
    // What was taken makes room.
    for _ in 0..50 - slow.refused() {
        assert!(matches!(next(&mut slow).await, Received::Message(_)));
    }
    loud.send(slow.pid(), atom("again")).await;
    assert_eq!(next(&mut slow).await, Received::Message(atom("again")));
}

#[tokio::test]
async fn a_connection_that_a_process_here_holds_up_for_ever_ends_and_says_why() {
    let limits = Limits {
        unreceived: UNRECEIVED,
        unreceived_at_most: UNRECEIVED,
        ..Limits::default()
    };
    let builder = builder("own@127.0.0.1").limits(limits);
    let node = builder.tick_time(Duration::from_millis(200)).start();
    let node = node.await.unwrap();
    let mut loud = Raw::of(&node, "loud@127.0.0.1").await;
    let mut process = node.process();
    loud.flood(process.pid(), 50).await;
    until("the first of it comes", || {
        unreceived(&node, &loud) >= UNRECEIVED
    })
    .await;
    let server = Dest::registered("server", &name("loud@127.0.0.1")).unwrap();
    let calling = process.call(server, atom("question"), PATIENCE);
    let (answer, _) = tokio::join!(calling, loud.receiver.next());
    let Err(
        error @ CallError::NodeDown {
            reason: Some(CloseReason::Unreceived { .. }),
            ..
        },
    ) = answer
    else {
        panic!("{answer:?}");
    };
    assert!(
        error
            .to_string()
            .contains("a process here receives too slowly"),
        "{error}"
    );
}

#[tokio::test]
async fn exit_signals_that_nobody_receives_hold_up_their_sender() {
    let node = listener(UNRECEIVED).await;
    let loud = Raw::of(&node, "loud@127.0.0.1").await;
    let mut process = node.process();
    process.trap_exit(true);
    let (from, to) = (loud.pid(1), process.pid().clone());
    let mut references = Vec::new();
    for _ in 0..100 {
        references.push(process.monitor(loud.pid(1)).await);
    }
    let sender = loud.sender.clone();
    let sending = tokio::spawn(async move {
        let large = || Some(Term::binary(vec![7; 100_000]));
        for reference in references {
            let (from, to) = (from.clone(), to.clone());
            let exit = Control::PayloadExit2 {
                from: from.clone(),
                to: to.clone(),
            };
            sender.send(&exit, large().as_ref()).await.unwrap();
            let from = Named::Pid(from);
            let down = Control::PayloadMonitorExit {
                from,
                to,
                reference,
            };
            sender.send(&down, large().as_ref()).await.unwrap();
        }
    });
    until("the first of it comes", || {
        unreceived(&node, &loud) >= UNRECEIVED
    })
    .await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
        assert!(unreceived(&node, &loud) <= UNRECEIVED + 110_000);
    }
    // None is lost.
    for _ in 0..100 {
        assert!(matches!(next(&mut process).await, Received::Exit { .. }));
        assert!(matches!(next(&mut process).await, Received::Down { .. }));
    }
    sending.await.unwrap();
}

#[tokio::test]
async fn functions_that_would_hold_too_much_are_refused() {
    let limits = Limits {
        arguments: 150_000,
        ..Limits::default()
    };
    let node = builder("own@127.0.0.1").limits(limits);
    let node = node.function("m", "keep", 1, |mut context: Context, _| async move {
        context.process.receive().await;
        Ok(Term::NIL)
    });
    let node = node.start().await.unwrap();
    let mut asking = Raw::of(&node, "asking@127.0.0.1").await;
    let mut ask = async |number: u32| {
        let control = Control::SpawnRequest {
            id: Reference {
                node: asking.node.clone(),
                creation: 1,
                id: vec![number, 0, 0],
            },
            from: asking.pid(1),
            leader: asking.pid(1),
            module: Atom::new("m"),
            function: Atom::new("keep"),
            arity: 1,
            options: vec![],
        };
        let arguments = Term::List(vec![Term::binary(vec![7; 100_000])]);
        asking.say(control, Some(arguments)).await;
        match asking.hear().await.control {
            Control::SpawnReply { result, .. } => result,
            other => panic!("{other:?}"),
        }
    };
    let first = ask(1).await;
    assert_eq!(ask(2).await, atom("system_limit"));
    let first = first.as_pid().unwrap().clone();
    node.send(&first, atom("end")).await.unwrap();
    until("it ends", || !node.is_alive(&first)).await;
    until("its slot is free", || node.0.slots.left() == 65_536).await;
    assert!(ask(3).await.as_pid().is_some());
}

#[tokio::test]
async fn only_the_node_that_was_asked_answers() {
    let node = node("own@127.0.0.1").await;
    let (mut asked, other) = (
        Raw::of(&node, "asked@127.0.0.1").await,
        Raw::of(&node, "other@127.0.0.1").await,
    );
    let mut process = node.process();
    let said = async |process: &mut Process| {
        other.send(process.pid(), atom("said")).await;
        assert_eq!(next(process).await, Received::Message(atom("said")));
    };
    // The answer to a call.
    let asked_name = name("asked@127.0.0.1");
    let calling = tokio::spawn({
        let (node, asked) = (node.clone(), asked_name.clone());
        async move { node.rpc(&asked, "m", "f", vec![], PATIENCE).await }
    });
    let Incoming {
        control: Control::SpawnRequest { id, from, .. },
        payload: Some(Term::List(arguments)),
        ..
    } = asked.hear().await
    else {
        panic!("no request");
    };
    let returned = |value| tuple([arguments[0].clone(), atom("return"), value]);
    let forged = returned(atom("forged"));
    other.down(other.pid(1), &from, &id, forged).await;
    let started = |pid: Pid| Control::SpawnReply {
        id: id.clone(),
        to: from.clone(),
        flags: 2,
        result: pid.into(),
    };
    other.say(started(other.pid(1)), None).await;
    said(&mut process).await;
    assert!(!calling.is_finished());
    asked.say(started(asked.pid(1)), None).await;
    asked
        .down(asked.pid(1), &from, &id, returned(atom("true")))
        .await;
    assert_eq!(calling.await.unwrap(), Ok(atom("true")));

    // A process that was started.
    let starting = tokio::spawn({
        let (node, asked) = (node.clone(), asked_name.clone());
        async move { node.spawn_on(&asked, "m", "f", vec![]).await }
    });
    let Control::SpawnRequest { id, from, .. } = asked.hear().await.control else {
        panic!("no request");
    };
    let reply = |pid: Pid| Control::SpawnReply {
        id: id.clone(),
        to: from.clone(),
        flags: 0,
        result: pid.into(),
    };
    other.say(reply(other.pid(1)), None).await;
    said(&mut process).await;
    assert!(!starting.is_finished());
    asked.say(reply(asked.pid(7)), None).await;
    assert_eq!(starting.await.unwrap().unwrap(), asked.pid(7));

    // The alias of a monitor.
    let alias = process.monitor_alias(asked.pid(1)).await;
    other
        .down(other.pid(1), process.pid(), &alias, atom("forged"))
        .await;
    said(&mut process).await;
    let control = Control::AliasSend {
        from: asked.pid(1),
        alias,
    };
    asked.say(control, Some(atom("answer"))).await;
    assert_eq!(next(&mut process).await, Received::Message(atom("answer")));
}

#[tokio::test]
async fn a_fault_of_this_node_ends_one_connection_and_the_next_can_be_made() {
    let node = node("own@127.0.0.1").await;
    let mut events = node.subscribe();
    for _ in 0..2 {
        let peer = Raw::of(&node, "peer@127.0.0.1").await;
        let mut process = node.process();
        let reference = process.monitor(peer.pid(1)).await;
        let control = Control::RegSend {
            from: peer.pid(1),
            to: Atom::new("a fault of this node"),
        };
        peer.say(control, Some(Term::NIL)).await;
        let down = next(&mut process).await;
        assert!(
            matches!(&down, Received::Down { reference: of, reason, .. }
                if *of == reference && *reason == atom("noconnection")),
            "{down:?}"
        );
        assert!(matches!(events.recv().await, Ok(NodeEvent::Up(_))));
        let down = timeout(PATIENCE, events.recv()).await.unwrap();
        assert!(
            matches!(down, Ok(NodeEvent::Down(_, CloseReason::Broken(_)))),
            "{down:?}"
        );
    }
    for _ in 0..2 {
        let connected = timeout(PATIENCE, node.connect(&name("fault@127.0.0.1"))).await;
        let connected = connected.expect("nobody waits for ever");
        assert!(matches!(connected, Err(ConnectError::Handshake { .. })));
    }
    timeout(PATIENCE, node.stop()).await.expect("it stops");
}

#[tokio::test]
async fn a_process_that_is_spawned_with_a_link_to_another_node_is_linked_on_both() {
    let (here, there) = (node("here@127.0.0.1").await, node("there@127.0.0.1").await);
    connect(&here, &there).await;
    let mut parent = there.process();
    parent.trap_exit(true);
    let child = |process: Process| async move {
        let mut process = process;
        process.receive().await;
        atom("done")
    };
    let linked = {
        let parent = parent.pid().clone();
        move || SpawnOptions::new().link(parent.clone())
    };
    let pid = here.spawn_with(linked(), child).unwrap();
    here.send(&pid, atom("end")).await.unwrap();
    let exit = Received::Exit {
        from: pid,
        reason: atom("done"),
    };
    assert_eq!(next(&mut parent).await, exit);
    let pid = here.spawn_with(linked(), child).unwrap();
    // The link is there, as its parent is told of what comes after it.
    let told = Received::Message(atom("told"));
    here.send(parent.pid(), atom("told")).await.unwrap();
    assert_eq!(next(&mut parent).await, told);
    drop(parent);
    // An end that is `normal` ends nobody.
    assert!(here.is_alive(&pid));
    let mut parent = there.process();
    let pid = {
        let options = SpawnOptions::new().link(parent.pid().clone());
        here.spawn_with(options, child).unwrap()
    };
    here.send(parent.pid(), atom("told")).await.unwrap();
    assert_eq!(next(&mut parent).await, told);
    let killer = there.process();
    killer.exit(parent.pid(), atom("crash")).await;
    until("its child ends", || !here.is_alive(&pid)).await;
    // To a node that there is no way to.
    let nobody = Pid {
        node: Atom::new("no@way"),
        ..pid
    };
    let options = SpawnOptions::new().link(nobody);
    let pid = here.spawn_with(options, child).unwrap();
    until("it ends", || !here.is_alive(&pid)).await;
}

#[tokio::test]
async fn after_an_answer_through_an_alias_its_monitor_says_nothing() {
    let node = node("own@127.0.0.1").await;
    let mut asked = Raw::of(&node, "asked@127.0.0.1").await;
    let mut process = node.process();
    let alias = process.monitor_alias(asked.pid(1)).await;
    assert!(matches!(
        asked.hear().await.control,
        Control::Monitor { .. }
    ));
    let (from, to) = (asked.pid(1), alias.clone());
    let control = Control::AliasSend { from, alias: to };
    asked.say(control, Some(atom("answer"))).await;
    assert_eq!(next(&mut process).await, Received::Message(atom("answer")));
    let Control::Demonitor { reference, .. } = asked.hear().await.control else {
        panic!("the monitor is there still");
    };
    assert_eq!(reference, alias);
    asked
        .down(asked.pid(1), process.pid(), &alias, atom("late"))
        .await;
    asked.send(process.pid(), atom("next")).await;
    assert_eq!(next(&mut process).await, Received::Message(atom("next")));
    // The same on one node.
    let server = node.spawn(|mut server| async move {
        if let Some(Term::Reference(alias)) = server.receive().await.into_message() {
            server.send(*alias, atom("answer")).await.unwrap();
        }
    });
    let alias = process.monitor_alias(&server).await;
    process.send(&server, Term::from(alias)).await.unwrap();
    assert_eq!(next(&mut process).await, Received::Message(atom("answer")));
    until("it ends", || !node.is_alive(&server)).await;
    process.send(process.pid(), atom("next")).await.unwrap();
    assert_eq!(next(&mut process).await, Received::Message(atom("next")));
}

/// Has a process ask for a linked one until the request is out, and then give up.
async fn give_up(process: &Process, asked: &mut Raw) -> (Reference, Pid) {
    let peer = name("asked@127.0.0.1");
    let starting = process.spawn_link_on(&peer, "m", "f", vec![]);
    tokio::select! {
        started = starting => panic!("{started:?}"),
        heard = asked.hear() => match heard.control {
            Control::SpawnRequest { id, from, .. } => (id, from),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_process_that_was_given_up_before_it_was_there_is_abandoned() {
    let node = node("own@127.0.0.1").await;
    let mut asked = Raw::of(&node, "asked@127.0.0.1").await;
    let mut process = node.process();
    let (id, to) = give_up(&process, &mut asked).await;
    let child = asked.pid(5);
    let reply = |id, to| Control::SpawnReply {
        id,
        to,
        flags: 1,
        result: child.clone().into(),
    };
    asked.say(reply(id, to), None).await;
    let Incoming {
        control, payload, ..
    } = asked.hear().await;
    let (from, to) = (process.pid().clone(), child.clone());
    assert_eq!(control, Control::PayloadExit { from, to });
    assert_eq!(payload, Some(atom("abandoned")));
    // What becomes of it concerns nobody.
    let (from, to) = (child.clone(), process.pid().clone());
    asked
        .say(Control::PayloadExit { from, to }, Some(atom("boom")))
        .await;
    asked.send(process.pid(), atom("alive")).await;
    assert_eq!(next(&mut process).await, Received::Message(atom("alive")));

    // The reply has come, and is given up before it is looked at.
    let peer = name("asked@127.0.0.1");
    {
        let starting = process.spawn_link_on(&peer, "m", "f", vec![]);
        let mut starting = std::pin::pin!(starting);
        let (id, to) = tokio::select! {
            started = &mut starting => panic!("{started:?}"),
            heard = asked.hear() => match heard.control {
                Control::SpawnRequest { id, from, .. } => (id, from),
                other => panic!("{other:?}"),
            }
        };
        asked.say(reply(id, to.clone()), None).await;
        let entry = node.0.process(&to).unwrap();
        let linked = || entry.relate(|it| it.is_linked(&child)) == Some(true);
        until("the reply comes", linked).await;
    }
    let Incoming { payload, .. } = asked.hear().await;
    assert_eq!(payload, Some(atom("abandoned")));
    assert!(node.is_alive(process.pid()));
}

#[tokio::test]
async fn rex_and_its_like_outlive_whoever_kills_them() {
    let node = builder("own@127.0.0.1").visible();
    let node = node.start().await.unwrap();
    let pg = node.pg(Atom::new("scope")).unwrap();
    let other = Raw::of(&node, "other@127.0.0.1").await;
    let mut killer = node.process();
    for service in ["rex", "net_kernel", "global_name_server", "scope"] {
        let service = node.whereis(&Atom::new(service)).unwrap();
        for reason in ["kill", "shutdown", "normal"] {
            killer.exit(&service, atom(reason)).await;
            let (from, to) = (other.pid(1), service.clone());
            let control = Control::PayloadExit2 { from, to };
            other.say(control, Some(atom(reason))).await;
        }
        other.send(killer.pid(), atom("said")).await;
        assert_eq!(next(&mut killer).await, Received::Message(atom("said")));
        assert!(node.is_alive(&service));
    }
    let request = tuple([atom("is_auth"), atom("a@b")]);
    let answer = killer
        .call(Atom::new("net_kernel"), request, PATIENCE)
        .await;
    assert_eq!(answer, Ok(atom("yes")));
    pg.join(atom("group"), killer.pid()).unwrap();
    assert_eq!(pg.members(&atom("group")), [killer.pid().clone()]);
    timeout(PATIENCE, node.stop()).await.expect("it stops");
}

#[tokio::test]
async fn a_process_that_has_ended_leaves_no_alias_and_no_monitor() {
    let node = node("own@127.0.0.1").await;
    let mut peer = Raw::of(&node, "peer@127.0.0.1").await;
    let process = node.process();
    let (from, to) = (peer.pid(1), process.pid().clone());
    let kill = Control::PayloadExit2 { from, to };
    peer.say(kill, Some(atom("kill"))).await;
    until("it ends", || !node.is_alive(process.pid())).await;
    let before = node.0.related.len();
    let _alias = process.alias();
    process.monitor_alias(peer.pid(1)).await;
    process.link(&peer.pid(1)).await;
    assert_eq!(node.0.registry.alias_count(), 0);
    assert_eq!(node.0.related.len(), before);
    // And the peer was asked for nothing.
    let told = node.process();
    told.send(&peer.pid(1), atom("told")).await.unwrap();
    assert_eq!(peer.hear().await.payload, Some(atom("told")));
}

#[tokio::test]
async fn the_end_of_a_connection_concerns_those_who_had_to_do_with_the_peer() {
    let node = node("own@127.0.0.1").await;
    let peer = Raw::of(&node, "peer@127.0.0.1").await;
    let far = Raw::of(&node, "far@127.0.0.1").await;
    let before = node.0.related.len();
    let others: Vec<_> = (0..1000).map(|_| node.process()).collect();
    for other in &others[..500] {
        other.monitor(far.pid(1)).await;
    }
    let mut process = node.process();
    process.monitor(peer.pid(1)).await;
    assert_eq!(node.0.related.len(), before + 501);
    assert_eq!(node.0.related.some(&peer.node, 9).len(), 1);
    drop(peer);
    assert!(matches!(next(&mut process).await, Received::Down { .. }));
    drop(others);
    assert_eq!(node.0.related.len(), before, "who ended is forgotten too");
}

#[tokio::test]
async fn of_two_connections_that_crossed_both_sides_keep_the_same() {
    for (own_name, peer_name, keeps_own) in [("b", "a", true), ("b", "c", false)] {
        let node = node(&format!("{own_name}@127.0.0.1")).await;
        let peer = peer(&name(&format!("{peer_name}@127.0.0.1")));
        for own_is_first in [true, false] {
            let at = Instant::now();
            let begun = |here| Origin {
                here,
                at,
                replaces: false,
            };
            let (one, _far) = streams().await;
            let first = adopt_as(&node, one, peer.clone(), begun(own_is_first)).await;
            let (other, _far) = streams().await;
            let second = adopt_as(&node, other, peer.clone(), begun(!own_is_first)).await;
            let kept = node.connection(&peer.name).unwrap();
            assert!(kept.is(&second), "who connected has what there is");
            assert_eq!(kept.begun_here(), keeps_own);
            assert_eq!(first.is_closed(), own_is_first != keeps_own);
            // One that knew of the other takes its place, whoever has the greater name.
            let (later, _far) = streams().await;
            let knows = Origin {
                here: !keeps_own,
                at,
                replaces: true,
            };
            let last = adopt_as(&node, later, peer.clone(), knows).await;
            assert!(kept.is_closed() && !last.is_closed());
            node.disconnect(&peer.name);
            last.settled().await;
        }
    }
}

#[tokio::test]
async fn a_connection_that_was_handed_out_outlives_an_attempt_that_crossed_it() {
    use crate::dist::handshake;
    for peer_name in ["a@127.0.0.1", "z@127.0.0.1"] {
        let node = node("m@127.0.0.1").await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let welcoming = tokio::spawn(super::listen::run(listener, Arc::downgrade(&node.0)));
        let mut events = node.subscribe();
        // The peer connects; before it answers the challenge, this node has connected to it.
        let identity = crate::dist::Identity::new(name(peer_name), 4, crate::Secret::new("c"));
        let stream = TcpStream::connect(address).await.unwrap();
        let own = name("m@127.0.0.1");
        let (held, hold) = held(stream);
        let handshake = tokio::spawn({
            async move {
                let lengths = handshake::Lengths::Two;
                let version = handshake::Version::V6;
                handshake::connect(held, lengths, &identity, &own, version, || true).await
            }
        });
        hold.reached.notified().await;
        let (near, _far) = streams().await;
        let begun = Origin {
            here: true,
            at: Instant::now(),
            replaces: false,
        };
        let first = adopt_as(&node, near, peer(&name(peer_name)), begun).await;
        hold.go.notify_one();
        let refused = timeout(PATIENCE, handshake).await.unwrap().unwrap();
        assert!(refused.is_err(), "it is not let in a second time");
        assert!(!first.is_closed());
        assert!(matches!(events.recv().await, Ok(NodeEvent::Up(_))));
        assert!(events.try_recv().is_err(), "one came, and none went");
        welcoming.abort();
    }
}

/// Holds the second packet of a handshake back: the answer to the challenge.
struct Hold {
    reached: Notify,
    go: Notify,
}

/// A stream whose second write waits.
fn held(mut stream: TcpStream) -> (tokio::io::DuplexStream, Arc<Hold>) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let hold = Arc::new(Hold {
        reached: Notify::new(),
        go: Notify::new(),
    });
    let holding = Arc::clone(&hold);
    let (ours, mut theirs) = tokio::io::duplex(4096);
    tokio::spawn(async move {
        let mut writes = 0;
        let (mut out, mut back) = ([0; 1024], [0; 1024]);
        loop {
            tokio::select! {
                read = theirs.read(&mut out) => {
                    let Ok(count @ 1..) = read else { return };
                    writes += 1;
                    if writes == 2 {
                        holding.reached.notify_one();
                        holding.go.notified().await;
                    }
                    if stream.write_all(&out[..count]).await.is_err() {
                        return;
                    }
                }
                read = stream.read(&mut back) => {
                    let Ok(count @ 1..) = read else { return };
                    if theirs.write_all(&back[..count]).await.is_err() {
                        return;
                    }
                }
            }
        }
    });
    (ours, hold)
}

#[tokio::test]
async fn a_node_with_the_name_of_this_one_is_not_let_in() {
    use crate::dist::handshake;
    let node = node("own@127.0.0.1").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let welcoming = tokio::spawn(super::listen::run(listener, Arc::downgrade(&node.0)));
    let own = name("own@127.0.0.1");
    let identity = crate::dist::Identity::new(own.clone(), 4, crate::Secret::new("c"));
    let stream = TcpStream::connect(address).await.unwrap();
    let (lengths, version) = (handshake::Lengths::Two, handshake::Version::V6);
    let refused = handshake::connect(stream, lengths, &identity, &own, version, || true).await;
    assert!(
        matches!(refused, Err(ConnectError::NotAllowed { .. })),
        "{refused:?}"
    );
    assert_eq!(node.nodes(), []);
    welcoming.abort();
}

#[tokio::test]
async fn a_node_is_a_place_for_itself() {
    let node = builder("own@127.0.0.1").function("m", "twice", 1, |_, arguments| async move {
        match &arguments[0] {
            Term::Int(number) => Ok(Term::Int(2 * number)),
            _ => Err(Exception::badarg()),
        }
    });
    let node = node.function("m", "sleep", 0, |_, _| std::future::pending());
    let node = node.start().await.unwrap();
    let own = node.name().clone();
    node.ping(&own, PATIENCE).await.unwrap();
    let twice = |argument| node.rpc(&own, "m", "twice", vec![argument], PATIENCE);
    assert_eq!(twice(Term::Int(21)).await, Ok(Term::Int(42)));
    assert!(matches!(twice(Term::NIL).await, Err(RpcError::Raised(_))));
    let called = node.call(&own, "erlang", "node", vec![], PATIENCE).await;
    assert_eq!(called, Ok(Term::Atom(node.atom().clone())));
    let nobody = node.call(&own, "no", "function", vec![], PATIENCE).await;
    assert!(matches!(nobody, Err(CallError::BadRpc(_))), "{nobody:?}");
    node.rpc_cast(&own, "m", "twice", vec![]).await.unwrap();
    let mut process = node.process();
    let (pid, reference) = process
        .spawn_monitor_on(&own, "m", "sleep", vec![])
        .await
        .unwrap();
    process.exit(&pid, atom("kill")).await;
    let down = Received::Down {
        reference,
        process: Monitored::Pid(pid),
        reason: atom("killed"),
    };
    assert_eq!(next(&mut process).await, down);
    let pid = process
        .spawn_link_on(&own, "m", "sleep", vec![])
        .await
        .unwrap();
    process.exit(&pid, atom("boom")).await;
    let reason = atom("boom");
    assert_eq!(next(&mut process).await, Received::Ended { reason });
}

#[tokio::test]
async fn a_node_that_was_dropped_stops_whoever_holds_what_is_its() {
    let node = builder("own@127.0.0.1").visible().start().await.unwrap();
    let (pg, global) = (node.pg(Atom::new("pg")).unwrap(), node.global());
    let (mut process, pid) = (node.process(), node.process().pid().clone());
    let peer = Raw::of(&node, "peer@127.0.0.1").await;
    let kept = process.node().clone();
    drop(node);
    let ended = next(&mut process).await;
    assert!(matches!(ended, Received::Ended { .. }), "{ended:?}");
    let mut receiver = peer.receiver;
    let closed = timeout(PATIENCE, receiver.next()).await.unwrap();
    assert_eq!(closed.err(), Some(CloseReason::ByPeer));
    drop((pg, global));
    // And what is sent to its processes says so.
    let sent = kept.send(&pid, atom("late")).await;
    assert_eq!(sent, Err(SendFailed::Stopped));
    // Whoever overlooks the end does not take a whole processor.
    let began = std::time::Instant::now();
    for _ in 0..3 {
        process.receive().await;
    }
    assert!(began.elapsed() >= Duration::from_millis(30));
}

#[tokio::test]
async fn options_that_no_node_can_have_are_refused() {
    let limits = |change: fn(&mut Limits)| {
        let mut limits = Limits::default();
        change(&mut limits);
        builder("own@127.0.0.1").limits(limits)
    };
    let own = || builder("own@127.0.0.1");
    for (wrong, option) in [
        (own().tick_time(Duration::ZERO), "tick_time"),
        (own().tick_time(Duration::MAX), "tick_time"),
        (own().max_message(0), "max_message"),
        (own().high_water(0), "high_water"),
        (limits(|it| it.unreceived = 0), "limits.unreceived"),
        (
            limits(|it| it.mailbox.messages = 0),
            "limits.mailbox.messages",
        ),
    ] {
        let error = wrong.start().await.unwrap_err().to_string();
        assert!(error.starts_with(option), "{error}");
    }
    // A peer may say anything of its own.
    let node = node("own@127.0.0.1").await;
    let mut peer = Raw::of(&node, "peer@127.0.0.1").await;
    let connection = node.connections().remove(0);
    connection.set_tick_time(Duration::from_secs(1 << 62));
    connection.set_tick_time(Duration::ZERO);
    node.send(&peer.pid(1), atom("told")).await.unwrap();
    assert_eq!(peer.hear().await.payload, Some(atom("told")));
}

#[tokio::test]
async fn a_monitor_by_a_name_that_was_given_up_is_taken_back() {
    let node = node("own@127.0.0.1").await;
    let peer = Raw::of(&node, "peer@127.0.0.1").await;
    let (process, mut told) = (node.process(), node.process());
    let before = node.0.related.len();
    let name = Atom::new("name");
    process.register(name.clone()).unwrap();
    let reference = |number| Reference {
        node: peer.node.clone(),
        creation: 1,
        id: vec![number, 0, 0],
    };
    let (to, from) = (Named::Name(name.clone()), peer.pid(1));
    for number in 0..3 {
        let (from, to, reference) = (from.clone(), to.clone(), reference(number));
        peer.say(
            Control::Monitor {
                from,
                to,
                reference,
            },
            None,
        )
        .await;
    }
    let watchers = || process.entry.relate(|it| it.len()) == Some(3);
    until("it is monitored", watchers).await;
    assert_eq!(node.0.related.len(), before + 4);
    node.unregister(&name);
    let reference = reference(1);
    peer.say(
        Control::Demonitor {
            from,
            to,
            reference,
        },
        None,
    )
    .await;
    peer.send(told.pid(), atom("said")).await;
    next(&mut told).await;
    assert_eq!(process.entry.relate(|it| it.len()), Some(2));
    assert_eq!(node.0.related.len(), before + 3);
    drop(process);
    assert_eq!(node.0.related.len(), before, "nothing is left of it");
}

#[tokio::test]
async fn what_is_for_a_process_of_another_node_ends_the_connection() {
    let node = node("own@127.0.0.1").await;
    let mut peer = Raw::of(&node, "peer@127.0.0.1").await;
    let elsewhere = Pid {
        node: Atom::new("third@127.0.0.1"),
        ..peer.pid(1)
    };
    let (from, to) = (peer.pid(1), elsewhere);
    peer.say(Control::Link { from, to }, None).await;
    let closed = timeout(PATIENCE, peer.receiver.next()).await.unwrap();
    assert_eq!(closed.err(), Some(CloseReason::ByPeer));
}
