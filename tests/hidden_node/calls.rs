//! Calls as OTP's behaviours make them: a BEAM calls a service in Rust, and the other way round.

use std::time::{Duration, Instant};

use rendez::etf::{Atom, Term};
use rendez::node::{
    Answer, CallError, Caller, Dest, ExitReason, GenServer, Next, Process, SpawnOptions,
};

use crate::world::*;

/// Adds up; `{sleep, Ms}` answers late, `stop` stops.
#[derive(Default)]
struct Sum(i64);

impl GenServer for Sum {
    async fn handle_call(&mut self, request: Term, from: Caller, process: &mut Process) -> Answer {
        match request {
            Term::Int(number) => {
                self.0 += number;
                Answer::Reply(Term::Int(self.0))
            }
            Term::Tuple(elements) => {
                let ms = elements[1].as_int().and_then(|ms| u64::try_from(ms).ok());
                tokio::time::sleep(Duration::from_millis(ms.unwrap_or(0))).await;
                process
                    .reply(&from, Term::atom("late"))
                    .await
                    .expect("it is sent");
                Answer::Later
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
        (format!(":gen_statem.call({server}, 1, 30000)"), "44"),
        (format!(":gen_statem.cast({server}, 1)"), ":ok"),
        (format!(":gen_event.notify({server}, 1)"), ":ok"),
        (format!(":gen_event.sync_notify({server}, 1)"), ":ok"),
        (format!(":gen_event.call({server}, :handler, 3)"), "50"),
        (
            format!(":gen_event.call({server}, :handler, 0, 30000)"),
            "50",
        ),
        (
            format!(":gen_server.send_request({server}, 0) |> :gen_server.receive_response(30000)"),
            "{:reply, 50}",
        ),
        (
            format!("GenServer.multi_call([:\"{RUST}\"], :sum, 0, 30000)"),
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
    let late = erl.eval(&format!("(fun() -> {} end)()", caught("{sleep, 300}", 50)));
    assert_eq!(late, "{caught,timeout}");
    // The service answers in order: after this, the late answer has been sent.
    assert_eq!(erl.eval(&format!("gen_server:call({sum}, 7, 30000)")), "7");
    assert_eq!(erl.eval("process_info(self(), messages)"), "{messages,[]}");

    let start = Instant::now();
    let nobody = format!("{{nobody, '{RUST}'}}");
    let asked = format!("try gen_server:call({nobody}, x, 30000) catch exit:{{W, _}} -> W end");
    assert_eq!(erl.eval(&format!("(fun() -> {asked} end)()")), "noproc");
    // It stops with an answer, and is not there after that.
    erl.eval(&format!(
        "Pid = erpc:call('{RUST}', erlang, whereis, [sum], 30000)"
    ));
    assert_eq!(
        erl.eval(&format!("gen_server:call({sum}, stop, 30000)")),
        "bye"
    );
    let dead = "(fun() -> try gen_server:call(Pid, x, 30000) catch exit:{W, _} -> W end end)()";
    let dead = erl.wait_until(dead, PATIENCE, |why| why == "noproc");
    drop(dead);
    assert!(
        start.elapsed() < Duration::from_secs(30),
        "somebody waited for a timeout"
    );
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
        "(fun() -> try gen_server:call({{sum, '{RUST}'}}, panic, 30000) catch exit:{{W, _}} -> W end end)()"
    );
    assert_eq!(erl.eval(&asked), "{{panic,<<\"as it was asked to\">>},[]}");
    assert_eq!(erl.eval(&asked), "noproc");
    sum(&node).await;
    let call = format!("gen_server:call({{sum, '{RUST}'}}, 5, 30000)");
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
            "handle_call({late, Ms}, From, N) -> \
                timer:apply_after(Ms, gen_server, reply, [From, late]), {noreply, N}; \
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
    let late = Term::Tuple(vec![Term::atom("late"), Term::Int(150)]);
    let answer = process.call(&sums, late, short).await;
    assert_eq!(answer, Err(CallError::Timeout(short)));
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(
        process.call(&sums, Term::Int(0), PATIENCE).await,
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
