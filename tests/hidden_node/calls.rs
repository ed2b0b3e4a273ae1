//! Calls as OTP's behaviours make them: a BEAM calls a service in Rust, and the other way round.

use std::time::Duration;

use rendez::etf::{Atom, Term};
use rendez::node::{
    Answer, CallError, Caller, Dest, ExitReason, GenServer, Next, Process, SpawnOptions,
};

use crate::world::*;

/// Adds up. `wait` is answered when the next `{release, Number}` is, `stop` stops.
#[derive(Default)]
struct Sum(i64, Option<Caller>);

impl GenServer for Sum {
    async fn handle_call(&mut self, request: Term, from: Caller, process: &mut Process) -> Answer {
        match request {
            Term::Int(number) => {
                self.0 += number;
                Answer::Reply(Term::Int(self.0))
            }
            Term::Atom(word) if word == *"wait" => {
                self.1 = Some(from);
                Answer::Later
            }
            Term::Tuple(elements) => {
                let waiting = self.1.take().expect("a caller that waits");
                process
                    .reply(&waiting, Term::atom("late"))
                    .await
                    .expect("it is sent");
                Answer::Reply(elements[1].clone())
            }
            Term::Atom(word) if word == *"panic" => panic!("as it was asked to"),
            _ => Answer::Stop(ExitReason(Term::atom("stopped")), Some(Term::atom("bye"))),
        }
    }

    async fn handle_cast(&mut self, request: Term, _: &mut Process) -> Next {
        self.0 += request.as_int().unwrap_or(0);
        Next::Continue
    }
}

async fn sum(node: &rendez::Node) {
    let options = SpawnOptions::new().name(Atom::new("sum"));
    node.serve(options, Sum::default())
        .await
        .expect("it begins");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_answers_gen_server_gen_statem_and_gen_event() {
    if !beam_is_installed("calls") {
        return;
    }
    let epmd = Epmd::start();
    let node = node(RUST, &epmd).await;
    sum(&node).await;
    let mut iex = iex("b@127.0.0.1", &epmd);
    let server = format!("{{:sum, :\"{RUST}\"}}");
    for (code, value) in [
        (format!("GenServer.call({server}, 40)"), "40"),
        (format!("GenServer.cast({server}, 1)"), ":ok"),
        (format!("GenServer.call({server}, 1)"), "42"),
        (format!(":gen_statem.call({server}, 1)"), "43"),
        (format!(":gen_statem.call({server}, 1, 300000)"), "44"),
        (format!(":gen_statem.cast({server}, 1)"), ":ok"),
        (format!(":gen_event.notify({server}, 1)"), ":ok"),
        (format!(":gen_event.sync_notify({server}, 1)"), ":ok"),
        (format!(":gen_event.call({server}, :handler, 3)"), "50"),
        (
            format!(":gen_event.call({server}, :handler, 0, 300000)"),
            "50",
        ),
        (
            format!(
                ":gen_server.send_request({server}, 0) |> :gen_server.receive_response(300000)"
            ),
            "{:reply, 50}",
        ),
        (
            format!("GenServer.multi_call([:\"{RUST}\"], :sum, 0, 300000)"),
            &*format!("{{[\"{RUST}\": 50], []}}"),
        ),
        (
            format!(
                "for _ <- 1..1000, do: GenServer.call({server}, 1)\nGenServer.call({server}, 0)"
            ),
            "1050",
        ),
    ] {
        assert_eq!(iex.elixir(&code), value, "{code}");
    }
}

/// Tells its end to whoever it is for.
struct Watched(tokio::sync::mpsc::UnboundedSender<Term>, i64);

impl GenServer for Watched {
    async fn handle_call(&mut self, request: Term, _: Caller, _: &mut Process) -> Answer {
        self.1 += request.as_int().unwrap_or(0);
        Answer::Reply(Term::Int(self.1))
    }

    async fn handle_cast(&mut self, request: Term, _: &mut Process) -> Next {
        self.1 += request.as_int().unwrap_or(0);
        Next::Continue
    }

    fn state(&self) -> Term {
        Term::Int(self.1)
    }

    async fn terminate(&mut self, reason: &ExitReason, _: &mut Process) {
        let _ = self.0.send(reason.0.clone());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sys_and_gen_server_stop_work_on_a_service_as_on_one_of_a_beam() {
    if !beam_is_installed("sys") {
        return;
    }
    let epmd = Epmd::start();
    let node = node(RUST, &epmd).await;
    let (told, mut ends) = tokio::sync::mpsc::unbounded_channel();
    for name in ["one", "two"] {
        let options = SpawnOptions::new().name(Atom::new(name));
        let server = Watched(told.clone(), 7);
        node.serve(options, server).await.expect("it begins");
    }
    sum(&node).await;
    let mut erl = erl("a@127.0.0.1", &epmd);
    erl.eval(&format!("S = {{one, '{RUST}'}}"));
    for (code, value) in [
        ("sys:get_state(S, 300000)", "7"),
        ("gen_server:call(S, 1, 300000)", "8"),
        ("sys:get_state(S, 300000)", "8"),
        // What observer and the shell show.
        (
            "(fun() -> {status, P, {module, M}, [[], running, P, [], Misc]} = sys:get_status(S, 300000), \
             {M, node(P) =:= element(2, S), hd([V || {data, [{\"State\", V}]} <- Misc])} end)()",
            "{gen_server,true,8}",
        ),
        ("sys:suspend(S, 300000)", "ok"),
        ("sys:suspend(S, 300000)", "ok"),
        ("[gen_server:cast(S, N) || N <- lists:seq(1, 100)]", ""),
        (
            "lists:nth(2, element(4, sys:get_status(S, 300000)))",
            "suspended",
        ),
        // What came meanwhile waits.
        ("sys:get_state(S, 300000)", "8"),
        ("sys:resume(S, 300000)", "ok"),
        ("gen_server:call(S, 0, 300000)", "5058"),
        ("sys:no_debug(S, 300000)", "ok"),
        ("sys:trace(S, false, 300000)", "ok"),
        ("sys:log(S, get, 300000)", "{ok,[]}"),
        ("sys:statistics(S, get, 300000)", "{ok,no_statistics}"),
        ("sys:trace(S, true, 300000)", "unknown_debug"),
        (
            "(fun() -> try sys:replace_state(S, fun(X) -> X end, 300000) catch error:E -> element(1, E) end end)()",
            "callback_failed",
        ),
        (
            "(fun() -> {ok, E} = gen:call(S, system, nonsense, 300000), E end)()",
            "{error,{unknown_system_msg,nonsense}}",
        ),
        (
            "element(1, sys:get_state({sum, element(2, S)}, 300000))",
            "rust",
        ),
        ("gen_server:stop(S, normal, 300000)", "ok"),
        (
            "gen_server:stop({two, element(2, S)}, {shutdown, upgrade}, 300000)",
            "ok",
        ),
        (
            "(fun() -> try gen_server:stop(S, normal, 300000) catch exit:noproc -> gone end end)()",
            "gone",
        ),
    ] {
        let answer = erl.eval(code);
        assert!(value.is_empty() || answer == value, "{code}: {answer}");
    }
    assert_eq!(ends.recv().await, Some(Term::atom("normal")));
    let upgrade = Term::Tuple(vec![Term::atom("shutdown"), Term::atom("upgrade")]);
    assert_eq!(ends.recv().await, Some(upgrade));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_answer_is_dropped_and_nobody_waits_for_who_is_not_there() {
    if !beam_is_installed("late answers") {
        return;
    }
    let epmd = Epmd::start();
    let node = node(RUST, &epmd).await;
    sum(&node).await;
    let mut erl = erl("a@127.0.0.1", &epmd);
    let sum = format!("{{sum, '{RUST}'}}");
    let caught = |request: &str, within: u32| {
        format!(
            "try gen_server:call({sum}, {request}, {within}) catch exit:{{R, _}} -> {{caught, R}} end"
        )
    };
    let late = erl.eval(&format!("(fun() -> {} end)()", caught("wait", 50)));
    assert_eq!(late, "{caught,timeout}");
    // The service sends the late answer first, so it is here when this one is.
    let release = format!("gen_server:call({sum}, {{release, 7}}, 300000)");
    assert_eq!(erl.eval(&release), "7");
    assert_eq!(erl.eval("process_info(self(), messages)"), "{messages,[]}");

    // The cause would be `timeout` if somebody had waited for it.
    let nobody = format!("{{nobody, '{RUST}'}}");
    let asked = format!("try gen_server:call({nobody}, x, 300000) catch exit:{{W, _}} -> W end");
    assert_eq!(erl.eval(&format!("(fun() -> {asked} end)()")), "noproc");
    // It stops with an answer, and is not there after that.
    erl.eval(&format!(
        "Pid = erpc:call('{RUST}', erlang, whereis, [sum], 300000)"
    ));
    assert_eq!(
        erl.eval(&format!("gen_server:call({sum}, stop, 300000)")),
        "bye"
    );
    let dead = "(fun() -> try gen_server:call(Pid, x, 300000) catch exit:{W, _} -> W end end)()";
    let dead = erl.wait_until(dead, PATIENCE, |why| why == "noproc");
    drop(dead);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_panics_ends_and_its_node_goes_on() {
    if !beam_is_installed("a service that panics") {
        return;
    }
    let epmd = Epmd::start();
    let node = node(RUST, &epmd).await;
    sum(&node).await;
    let mut erl = erl("a@127.0.0.1", &epmd);
    let asked = format!(
        "(fun() -> try gen_server:call({{sum, '{RUST}'}}, panic, 300000) catch exit:{{W, _}} -> W end end)()"
    );
    assert_eq!(erl.eval(&asked), "{{panic,<<\"as it was asked to\">>},[]}");
    assert_eq!(erl.eval(&asked), "noproc");
    // That call sent its request after its monitor was answered. What is asked now arrives behind the request, so
    // the service that has the name next does not get it.
    let behind = format!("erpc:call('{RUST}', erlang, whereis, [sum], 300000)");
    assert_eq!(erl.eval(&behind), "undefined");
    sum(&node).await;
    let call = format!("gen_server:call({{sum, '{RUST}'}}, 5, 300000)");
    assert_eq!(erl.eval(&call), "5");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_in_rust_calls_and_casts_to_a_gen_server() {
    if !beam_is_installed("calls of a gen_server") {
        return;
    }
    let epmd = Epmd::start();
    let node = node(RUST, &epmd).await;
    let mut erl = erl("a@127.0.0.1", &epmd);
    crate::messages::compile(
        &mut erl,
        &[
            "-module(sums).",
            "-behaviour(gen_server).",
            "-export([init/1, handle_call/3, handle_cast/2]).",
            "init(N) -> {ok, N}.",
            "handle_call(wait, From, N) -> put(waiting, From), {noreply, N}; \
             handle_call(release, _, N) -> gen_server:reply(get(waiting), late), {reply, N, N}; \
             handle_call(crash, _, _) -> exit(crashed); \
             handle_call(M, _, N) -> {reply, N + M, N + M}.",
            "handle_cast(M, N) -> {noreply, N + M}.",
        ],
    );
    erl.eval("{ok, _} = gen_server:start({local, sums}, sums, 0, [])");
    let a = name("a@127.0.0.1");
    let sums = Dest::registered("sums", &a).unwrap();
    let mut process = node.process();
    process
        .send(process.pid(), Term::atom("earlier"))
        .await
        .unwrap();
    process.cast(&sums, Term::Int(40)).await.unwrap();
    let answer = process.call(&sums, Term::Int(2), PATIENCE).await;
    assert_eq!(answer, Ok(Term::Int(42)));
    let answer = node.call_server(&sums, Term::Int(0), PATIENCE).await;
    assert_eq!(answer, Ok(Term::Int(42)));
    let pid = node
        .whereis_on(&a, "sums", PATIENCE)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        process.call(&pid, Term::Int(0), PATIENCE).await,
        Ok(Term::Int(42))
    );

    // A late answer finds nobody.
    let short = Duration::from_millis(30);
    let answer = process.call(&sums, Term::atom("wait"), short).await;
    assert_eq!(answer, Err(CallError::Timeout(short)));
    // The late answer is sent before the one to this call.
    assert_eq!(
        process.call(&sums, Term::atom("release"), PATIENCE).await,
        Ok(Term::Int(42))
    );
    assert_eq!(process.waiting(), 1, "what came earlier, and nothing else");

    // One that ends, that is not there, whose node is not there.
    let crashed = process.call(&sums, Term::atom("crash"), PATIENCE).await;
    assert_eq!(crashed, Err(CallError::Exited(Term::atom("crashed"))));
    let gone = process.call(&sums, Term::Int(0), PATIENCE).await;
    assert_eq!(gone, Err(CallError::Exited(Term::atom("noproc"))));
    let nowhere = Dest::registered("sums", &name("nobody@127.0.0.1")).unwrap();
    let nowhere = process.call(&nowhere, Term::Int(0), PATIENCE).await;
    assert!(matches!(nowhere, Err(CallError::Connect(_))), "{nowhere:?}");
}
