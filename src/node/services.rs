//! The processes that every node has because others count on them: `net_kernel`, `rex`, and one that takes
//! what is printed by the processes that this node starts elsewhere.
//!
//! What takes one of them time gets a process of its own.

use std::sync::{Arc, Weak};

use crate::etf::{Pid, Term};

use super::agent::{Agent, QUESTIONS};
use super::call::{Caller, Request};
use super::erpc::Apply;
use super::exception::Exception;
use super::functions::{Context, Functions};
use super::received::{Dest, ExitReason, Received, SendFailed};
use super::rex::{self, Note};
use super::{Shared, SpawnOptions, io, kernel};

/// The services, which end with the node.
#[derive(Debug)]
pub(super) struct Services {
    _named: [Agent; 2],
    output: Agent,
}

impl Services {
    /// Begins the services of a node.
    pub(super) fn begin(shared: &Arc<Shared>) -> Self {
        let named = |name, handler: fn(&Arc<Shared>, Received, usize)| {
            let agent = Agent::begin(shared, QUESTIONS, handler);
            // The names are new like the node.
            let _ = agent.register(shared, name);
            agent
        };
        Self {
            _named: [
                named(kernel::NAME, answer_net_kernel),
                named(rex::NAME, answer_rex),
            ],
            output: Agent::begin(shared, QUESTIONS, take_output),
        }
    }
}

fn answer_net_kernel(shared: &Arc<Shared>, received: Received, bytes: usize) {
    let Request::Call { from, request } = Request::of(received) else {
        return;
    };
    match kernel::Spawn::read(request) {
        Ok(spawn) => spawn_as_before_23(shared, from, spawn, bytes),
        Err(request) => {
            let answer = kernel::answer(shared, &request);
            shared.reply(&from, answer);
        }
    }
}

/// The process itself links to the caller and tells it its pid: the caller knows no other way.
fn spawn_as_before_23(shared: &Arc<Shared>, from: Caller, spawn: kernel::Spawn, bytes: usize) {
    let Some(slot) = shared.slots.take(bytes) else {
        let limit = Term::Tuple(vec![Term::atom("system_limit"), Term::NIL]);
        return shared.reply(&from, rex::exit(limit));
    };
    let caller = from.pid.clone();
    let weak = Arc::downgrade(shared);
    let work = move |functions: Functions, context: Context| async move {
        if spawn.link {
            context.process.link(&from.pid).await;
        }
        if let Some(shared) = weak.upgrade() {
            shared.reply(&from, context.process.pid().clone().into());
        }
        let outcome = functions.run(context, spawn.apply).await;
        outcome.map_or_else(
            |raised| ExitReason(raised.into_exit_reason()),
            |_| ExitReason::NORMAL,
        )
    };
    shared.begin_function(slot, SpawnOptions::new(), Some(caller), None, work);
}

fn answer_rex(shared: &Arc<Shared>, received: Received, bytes: usize) {
    match Request::of(received) {
        Request::Call { from, request } => match rex::Request::read(request) {
            Ok(rex::Request::Call(apply, leader)) => {
                shared.answer_later(from, (apply, bytes), leader, None);
            }
            Ok(rex::Request::BlockCall(apply, leader)) => {
                let turn = Arc::clone(&shared.block_calls);
                shared.answer_later(from, (apply, bytes), leader, Some(turn));
            }
            // `rex` itself leaves these without an answer, for ever.
            Ok(rex::Request::Cast(..)) | Err(_) => {
                shared.reply(&from, rex::badrpc(Term::atom("notsup")));
            }
        },
        Request::Cast(request) => {
            if let Ok(rex::Request::Cast(apply, leader)) = rex::Request::read(request)
                && let Some(slot) = shared.slots.take(bytes)
            {
                let work = move |functions: Functions, context| async move {
                    // Its outcome interests nobody.
                    let _ = functions.run(context, apply).await;
                    ExitReason::NORMAL
                };
                shared.begin_function(slot, SpawnOptions::new(), None, leader, work);
            }
        }
        Request::Other(Received::Message(message)) => {
            if let Some(note) = Note::read(message) {
                note_rex(shared, note, bytes);
            }
        }
        _ => {}
    }
}

fn note_rex(shared: &Arc<Shared>, note: Note, bytes: usize) {
    let own = || Term::Atom(shared.ids.node().clone());
    let tell = |to: Pid, message: [Term; 3]| {
        shared.tell(&Dest::Pid(to), Term::Tuple(message.into()));
    };
    match note {
        // The answer to a C node carries no tag but the name.
        Note::Call(from, apply) => {
            let (pid, tag) = (from, rex::NAME.into());
            shared.answer_later(Caller { pid, tag }, (apply, bytes), None, None);
        }
        Note::Features(from) => {
            let features = Term::List(vec![Term::atom("erpc")]);
            tell(from, [Term::atom("features_reply"), own(), features]);
        }
        Note::Sbcast(from, name, message) => {
            let answer = if shared.registry.whereis(&name).is_some() {
                shared.tell(&Dest::Name(name), message);
                own()
            } else {
                Term::Tuple(vec![Term::atom("nonexisting_name"), name.into()])
            };
            tell(from, [rex::NAME.into(), own(), answer]);
        }
        Note::Send(from, name, message) => {
            if shared.registry.whereis(&name).is_some() {
                let message = Term::Tuple(vec![from.into(), message]);
                shared.tell(&Dest::Name(name), message);
            } else {
                let answer = Term::Tuple(vec![Term::atom("nonexisting_name"), name.into()]);
                tell(from, [rex::NAME.into(), own(), answer]);
            }
        }
    }
}

fn take_output(shared: &Arc<Shared>, received: Received, _: usize) {
    let Received::Message(message) = received else {
        return;
    };
    let Some(request) = io::Request::read(message) else {
        return;
    };
    let (printed, from, answer) = request.answer();
    shared.printed.take(&from, &printed);
    shared.tell(&Dest::Pid(from), answer);
}

impl Shared {
    /// A message that the node itself sends: over the connection that there is, without waiting.
    pub(super) fn signal_message(&self, to: &Dest, message: Term) -> Result<(), SendFailed> {
        let Some(node) = self.elsewhere(to) else {
            return self.deliver_here(to, message);
        };
        let gone = || SendFailed::NotConnected(node.clone());
        let link = self.link_up(node).ok_or_else(gone)?;
        match Self::control(&link, &self.own, to) {
            Some(control) if !link.signal(&control, Some(&message)) => Err(gone()),
            _ => Ok(()),
        }
    }

    /// The group leader of what this node starts elsewhere.
    pub(super) fn leader(&self) -> Pid {
        let services = self.services.get();
        services.map_or_else(|| self.own.clone(), |it| it.output.pid().clone())
    }

    pub(super) fn reply(&self, to: &Caller, answer: Term) {
        let message = Term::Tuple(vec![to.tag.clone(), answer]);
        self.tell(&to.dest(), message);
    }

    /// Runs a function for `rex`, and answers with its outcome.
    fn answer_later(
        self: &Arc<Self>,
        from: Caller,
        (apply, bytes): (Apply, usize),
        leader: Option<Pid>,
        turn: Option<Arc<tokio::sync::Mutex<()>>>,
    ) {
        let Some(slot) = self.slots.take(bytes) else {
            let limit = rex::badrpc(rex::exit(Term::atom("system_limit")));
            return self.reply(&from, limit);
        };
        let caller = from.pid.clone();
        // Answers for a process that is killed, whose code would never come to it.
        let mut owed = Owed(Some((Arc::downgrade(self), from)));
        let work = move |functions: Functions, context| async move {
            let _turn = match &turn {
                Some(turn) => Some(turn.lock().await),
                None => None,
            };
            let outcome = functions.run(context, apply).await;
            let answer = rex::answer(outcome);
            if let Some((shared, to)) = owed.0.take()
                && let Some(shared) = shared.upgrade()
            {
                let message = Term::Tuple(vec![to.tag.clone(), answer]);
                let sent = shared.send(&shared.own, &to.dest(), message).await;
                // The caller may have gone meanwhile, and its node with it: then nobody is to be told.
                if let Err(SendFailed::Unsendable(why)) = sent {
                    shared.reply(&to, rex::answer(Err(Exception::unsendable(&why))));
                }
            }
            ExitReason::NORMAL
        };
        self.begin_function(slot, SpawnOptions::new(), Some(caller), leader, work);
    }
}

/// An answer that somebody waits for.
struct Owed(Option<(Weak<Shared>, Caller)>);

impl Drop for Owed {
    fn drop(&mut self) {
        if let Some((shared, to)) = self.0.take()
            && let Some(shared) = shared.upgrade()
        {
            let killed = rex::badrpc(rex::exit(Term::atom("killed")));
            shared.reply(&to, killed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Exception, Node, Process};
    use super::*;
    use crate::etf::Atom;

    const PATIENCE: Duration = Duration::from_secs(30);

    async fn node() -> Node {
        Node::builder("services@127.0.0.1")
            .cookie("cookie")
            .registration(super::super::Registration::None)
            .function("m", "double", 1, |_, arguments| async move {
                let number = arguments[0].as_int().ok_or_else(Exception::badarg)?;
                Ok(Term::Int(2 * number))
            })
            .function("m", "fail", 0, |_, _| async { panic!("oh") })
            .function("m", "sleep", 0, |_, _| async {
                std::future::pending::<()>().await;
                Ok(Term::NIL)
            })
            .function("m", "pid", 0, |context: Context, _| async move {
                Ok(context.process.pid().clone().into())
            })
            .functions_at_once(2)
            .start()
            .await
            .unwrap()
    }

    fn tuple<const N: usize>(elements: [Term; N]) -> Term {
        Term::Tuple(elements.into())
    }

    async fn rex(node: &Node, function: &'static str, arguments: Vec<Term>) -> Term {
        let request = rex::call(Atom::new("m"), Atom::new(function), arguments);
        let answer = node.call_server(rex::NAME, request, PATIENCE).await;
        answer.unwrap()
    }

    async fn message(process: &mut Process) -> Term {
        let received = process.receive_timeout(PATIENCE).await.unwrap();
        received.into_message().unwrap()
    }

    #[tokio::test]
    async fn net_kernel_answers_whatever_it_is_asked() {
        let node = node().await;
        let ask = |request| node.call_server(kernel::NAME, request, PATIENCE);
        let ping = tuple([Term::atom("is_auth"), Term::atom("a@b")]);
        assert_eq!(ask(ping).await.unwrap(), Term::atom("yes"));
        assert_eq!(
            ask(Term::atom("ticktime")).await.unwrap(),
            Term::Int(60_000)
        );
        let unknown = ask(Term::atom("fly")).await.unwrap();
        assert_eq!(unknown, tuple([Term::atom("error"), Term::atom("notsup")]));
        let spawn = ["spawn", "m", "pid"].map(Term::atom);
        let spawn = Term::Tuple([&spawn[..], &[Term::NIL, Term::NIL]].concat());
        assert!(ask(spawn).await.unwrap().as_pid().is_some());
    }

    #[tokio::test]
    async fn rex_runs_what_is_offered_and_tells_what_came_of_it() {
        let node = node().await;
        assert_eq!(
            rex(&node, "double", vec![Term::Int(21)]).await,
            Term::Int(42)
        );
        for (function, arguments, reason) in [
            (
                "double",
                vec![Term::NIL],
                "{badrpc,{'EXIT',{badarg,[{m,double,1,[]}]}}}",
            ),
            (
                "double",
                vec![],
                "{badrpc,{'EXIT',{undef,[{m,double,[],[]}]}}}",
            ),
            (
                "fail",
                vec![],
                r#"{badrpc,{'EXIT',{{panic,<<"oh">>},[{m,fail,0,[]}]}}}"#,
            ),
        ] {
            assert_eq!(rex(&node, function, arguments).await.to_string(), reason);
        }
    }

    #[tokio::test]
    async fn one_function_too_many_is_refused_and_one_that_ended_makes_room() {
        let node = node().await;
        let sleep = rex::call(Atom::new("m"), Atom::new("sleep"), vec![]);
        let call = || {
            let (node, sleep) = (node.clone(), sleep.clone());
            tokio::spawn(async move { node.call_server(rex::NAME, sleep, PATIENCE).await })
        };
        let before = node.0.registry.all();
        let known = |pid: &Pid| before.iter().any(|it| it.pid == *pid);
        let (first, second) = (call(), call());
        while node.0.slots.left() > 0 {
            tokio::task::yield_now().await;
        }
        let refused = rex(&node, "double", vec![Term::Int(1)]).await;
        assert_eq!(refused.to_string(), "{badrpc,{'EXIT',system_limit}}");
        // Killed, each still answers.
        let killer = node.process();
        for entry in node.0.registry.all() {
            if entry.spawned && !known(&entry.pid) {
                killer.exit(&entry.pid, Term::atom("kill")).await;
            }
        }
        for call in [first, second] {
            let answer = call.await.unwrap().unwrap();
            assert_eq!(answer.to_string(), "{badrpc,{'EXIT',killed}}");
        }
        assert_eq!(rex(&node, "double", vec![Term::Int(1)]).await, Term::Int(2));
    }

    #[tokio::test]
    async fn a_c_node_asks_rex_in_its_own_way() {
        let node = node().await;
        let mut own = node.process();
        own.register(Atom::new("shop")).unwrap();
        let from = || Term::from(own.pid().clone());
        let call = rex::call(Atom::new("m"), Atom::new("double"), vec![Term::Int(4)]);
        let features = Term::atom("features_request");
        let of = |what, name| tuple([Term::atom(what), Term::atom(name), Term::Int(7)]);
        let asked = [
            call,
            features,
            of("sbcast", "none"),
            of("sbcast", "shop"),
            of("send", "shop"),
        ];
        let asked = asked.map(|request| tuple([from(), request]));
        for request in asked {
            own.send(rex::NAME, request).await.unwrap();
        }
        let mut came = Vec::new();
        for _ in 0..6 {
            came.push(
                message(&mut own)
                    .await
                    .shown_at("services@127.0.0.1")
                    .to_string(),
            );
        }
        let pid = Term::from(own.pid().clone());
        let pid = pid.shown_at("services@127.0.0.1").to_string();
        let mut expected = [
            "{rex,8}".to_owned(),
            "{features_reply,'services@127.0.0.1',[erpc]}".to_owned(),
            "{rex,'services@127.0.0.1',{nonexisting_name,none}}".to_owned(),
            "7".to_owned(),
            "{rex,'services@127.0.0.1','services@127.0.0.1'}".to_owned(),
            format!("{{{pid},7}}"),
        ];
        came.sort();
        expected.sort();
        assert_eq!(came, expected);
    }

    #[tokio::test]
    async fn services_do_not_keep_a_node() {
        let node = node().await;
        let weak = Arc::downgrade(&node.0);
        drop(node);
        assert!(weak.upgrade().is_none());
    }
}
