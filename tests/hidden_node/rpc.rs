//! `rpc`, `erpc` and their like, from BEAMs to functions of a Rust node, and from a Rust node to BEAMs.
//!
//! What a call says that fails is compared with what it says about a second BEAM, word for word.

use std::time::Duration;

use rendez::etf::{Atom, Term};
use rendez::node::{Builder, Context, Exception, RpcError};

use crate::world::*;

/// Functions under names that a BEAM has too, so that the same expression can be asked of both.
pub fn offering(own: &str, epmd: &Epmd) -> Builder {
    let throw = |_: Context, mut arguments: Vec<Term>| async move {
        Err(Exception::Throw(arguments.remove(0)))
    };
    let exit = |_: Context, mut arguments: Vec<Term>| async move {
        Err(Exception::Exit(arguments.remove(0)))
    };
    let error = |_: Context, mut arguments: Vec<Term>| async move {
        Err(Exception::error(arguments.remove(0)))
    };
    builder(own, epmd)
        .function("erlang", "throw", 1, throw)
        .function("erlang", "exit", 1, exit)
        .function("erlang", "error", 1, error)
        .function("erlang", "hd", 1, |_, arguments| async move {
            let list = arguments[0].as_list().ok_or_else(Exception::badarg)?;
            list.first().cloned().ok_or_else(Exception::badarg)
        })
        .function("erlang", "send", 2, |context, arguments| async move {
            let [Term::Pid(to), message] = arguments.as_slice() else {
                return Err(Exception::badarg());
            };
            let sent = context.process.send(&**to, message.clone()).await;
            sent.map_err(|why| Exception::error(Term::binary(why.to_string())))?;
            Ok(message.clone())
        })
        .function("erlang", "self", 0, |context, _| async move {
            Ok(context.process.pid().clone().into())
        })
        .function("timer", "sleep", 1, |_, arguments| async move {
            let millis = arguments[0].as_int().unwrap_or(0).unsigned_abs();
            tokio::time::sleep(Duration::from_millis(millis)).await;
            Ok(Term::atom("ok"))
        })
        .function("m", "panic", 0, |_, _| async { panic!("all is lost") })
}

/// Asks both nodes, and fails where they differ.
pub fn same(beam: &mut Beam, expressions: &[&str]) {
    for expression in expressions {
        let mut ask = |node: &str| {
            // In a fun, so that the names of variables are free again for the next.
            let expression = expression.replace("NODE", node);
            let fresh = "process_flag(trap_exit, false), \
                         (fun Flush() -> receive _ -> Flush() after 0 -> ok end end)()";
            let answer = beam.eval(&format!("{fresh}, (fun() -> {expression} end)()"));
            answer.replace("b@127.0.0.1", RUST)
        };
        let expected = ask("'b@127.0.0.1'");
        assert_eq!(ask("'rust@127.0.0.1'"), expected, "{expression}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rpc_says_what_it_says_of_a_beam() {
    if !beam_is_installed("rpc") {
        return;
    }
    let epmd = Epmd::start();
    let (mut a, _b) = (erl("a@127.0.0.1", &epmd), erl("b@127.0.0.1", &epmd));
    let _node = offering(RUST, &epmd).start().await.unwrap();
    same(
        &mut a,
        &[
            "rpc:call(NODE, erlang, hd, [[1, 2]])",
            "rpc:call(NODE, erlang, hd, [[{a, #{b => <<1:3>>}, 1.5, \"x\", self()}]])",
            "rpc:call(NODE, erlang, hd, [[1, 2]], 300000)",
            "rpc:block_call(NODE, erlang, hd, [[1, 2]])",
            "rpc:call(NODE, erlang, throw, [ball])",
            "rpc:block_call(NODE, erlang, throw, [ball])",
            "rpc:call(NODE, erlang, exit, [bye])",
            "rpc:block_call(NODE, erlang, exit, [bye])",
            "{badrpc, {'EXIT', {oops, [_ | _]}}} = rpc:call(NODE, erlang, error, [oops]), ok",
            "{badrpc, {'EXIT', {oops, [_ | _]}}} = rpc:block_call(NODE, erlang, error, [oops]), ok",
            "rpc:call(NODE, nomod, nofun, [1, two])",
            "rpc:block_call(NODE, nomod, nofun, [1, two])",
            "rpc:call(NODE, lists, nofun, [])",
            "rpc:call(NODE, timer, sleep, [60000], 50)",
            "rpc:block_call(NODE, timer, sleep, [3000], 20)",
            "rpc:call(NODE, erlang, apply, [erlang, hd, [[7]]])",
            "rpc:call(NODE, erlang, apply, [fun erlang:hd/1, [[7]]])",
            "rpc:yield(rpc:async_call(NODE, erlang, hd, [[8]]))",
            "rpc:yield(rpc:async_call(NODE, nomod, nofun, []))",
            "rpc:nb_yield(rpc:async_call(NODE, erlang, hd, [[8]]), 300000)",
            "rpc:multicall([NODE, NODE], erlang, hd, [[9]])",
            "rpc:multicall([NODE, 'gone@127.0.0.1'], nomod, nofun, [])",
            "rpc:multicall([NODE], timer, sleep, [60000], 50)",
            "rpc:parallel_eval([])",
            "rpc:cast(NODE, erlang, send, [self(), hello]), receive hello -> got after 300000 -> late end",
            "rpc:cast(NODE, nomod, nofun, [])",
            "rpc:sbcast([NODE], nobody_is_called_this, hello)",
            "rpc:server_call(NODE, rex, rex, {sbcast, nobody_is_called_this, hello})",
            "rpc:server_call(NODE, nobody_is_called_this, rex, hello)",
            "rpc:abcast([NODE], nobody_is_called_this, hello)",
            "rpc:eval_everywhere([NODE], nomod, nofun, [])",
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn erpc_raises_what_it_raises_for_a_beam() {
    if !beam_is_installed("erpc") {
        return;
    }
    let epmd = Epmd::start();
    let (mut a, _b) = (erl("a@127.0.0.1", &epmd), erl("b@127.0.0.1", &epmd));
    let _node = offering(RUST, &epmd).start().await.unwrap();
    same(
        &mut a,
        &[
            "erpc:call(NODE, erlang, hd, [[1, 2]])",
            "erpc:call(NODE, erlang, hd, [[1, 2]], 300000)",
            "catch erpc:call(NODE, erlang, throw, [ball])",
            "catch erpc:call(NODE, erlang, exit, [bye])",
            "try erpc:call(NODE, nomod, nofun, [1, two]) catch C:R -> {C, R} end",
            "try erpc:call(NODE, erlang, hd, [1, 2]) catch C:R -> {C, R} end",
            "try erpc:call(NODE, erlang, error, [oops]) catch error:{exception, R, [_ | _]} -> R end",
            "try erpc:call(NODE, timer, sleep, [60000], 50) catch C:R -> {C, R} end",
            "try erpc:call(NODE, erlang, apply, [notafun, []]) catch C:{_, R, _} -> {C, R} end",
            "erpc:cast(NODE, erlang, send, [self(), hello]), receive hello -> got after 300000 -> late end",
            "erpc:cast(NODE, nomod, nofun, [])",
            "erpc:receive_response(erpc:send_request(NODE, erlang, hd, [[3]]), 300000)",
            "Req = erpc:send_request(NODE, erlang, hd, [[3]]), V = erpc:wait_response(Req, 300000), V",
            "erpc:multicall([NODE, NODE], erlang, hd, [[4]])",
            "erpc:multicall([NODE, 'gone@127.0.0.1'], nomod, nofun, [], 300000)",
            "erpc:multicast([NODE], erlang, send, [self(), all]), receive all -> got after 300000 -> late end",
            // A reply as large as this does not fit the buffers on its way.
            "byte_size(erpc:call(NODE, erlang, hd, [[binary:copy(<<7>>, 40000000)]]))",
        ],
    );
    // A fun of a module that only its own node has.
    let fun = "try erpc:call('rust@127.0.0.1', fun() -> ok end) catch C6:{exception, R6, [{F, [], []}]} \
               when is_function(F) -> {C6, R6} end";
    assert_eq!(a.eval(fun), "{error,undef}");
    let panic = "try erpc:call('rust@127.0.0.1', m, panic, []) catch C:R -> {C, R} end";
    assert_eq!(
        a.eval(panic),
        "{error,{exception,{panic,<<\"all is lost\">>},[{m,panic,0,[]}]}}"
    );
    // The node lives.
    assert_eq!(a.eval("net_adm:ping('rust@127.0.0.1')"), "pong");
    // From Elixir.
    let elixir = ":erpc.call(:\"rust@127.0.0.1\", :erlang, :hd, [[%{a: 1}]])";
    let mut iex = iex("iex@127.0.0.1", &epmd);
    assert_eq!(iex.elixir(elixir), "%{a: 1}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_calls_at_once_get_each_their_own_answer_both_ways() {
    if !beam_is_installed("many calls at once") {
        return;
    }
    let epmd = Epmd::start();
    let mut a = erl("a@127.0.0.1", &epmd);
    let node = offering(RUST, &epmd).start().await.unwrap();
    let many = "Rs = [{N, erpc:send_request('rust@127.0.0.1', erlang, hd, [[N]])} || N <- lists:seq(1, 2000)],
                [N || {N, R} <- Rs, erpc:receive_response(R, 60000) =/= N]";
    assert_eq!(a.eval(&many.replace('\n', " ")), "[]");
    let peer = name(&a.name);
    let calls = (0..2000).map(|number: i64| {
        let (node, peer) = (node.clone(), peer.clone());
        tokio::spawn(async move {
            let arguments = vec![Term::Int(-number)];
            let answer = node.rpc(&peer, "erlang", "abs", arguments, PATIENCE).await;
            (number, answer)
        })
    });
    for call in calls.collect::<Vec<_>>() {
        let (number, answer) = call.await.unwrap();
        assert_eq!(answer.unwrap(), Term::Int(number));
    }
}

/// Says so when it is dropped.
struct Dropped(tokio::sync::mpsc::UnboundedSender<String>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send("dropped".into());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_dies_or_gives_up_ends_nothing() {
    if !beam_is_installed("a caller that dies") {
        return;
    }
    let epmd = Epmd::start();
    let mut a = erl("a@127.0.0.1", &epmd);
    let (go, mut gone) = tokio::sync::mpsc::unbounded_channel();
    // How many functions may come to their end.
    let ends = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let may_end = ends.clone();
    let node = offering(RUST, &epmd)
        .function("m", "slow", 1, move |context, arguments| {
            let (go, may_end) = (go.clone(), may_end.clone());
            async move {
                let pid = context.process.pid().clone();
                let _ = go.send(format!("began {}", arguments[0]));
                if arguments[0] == Term::Int(6) {
                    // Never ends by itself.
                    let _dropped = Dropped(go);
                    tokio::time::sleep(PATIENCE * 60).await;
                    return Ok(pid.into());
                }
                may_end.acquire().await.expect("it stays open").forget();
                let _ = go.send(format!("ended {}", arguments[0]));
                Ok(pid.into())
            }
        })
        .start()
        .await
        .unwrap();
    // What is called, and what ends the caller once the function has begun: one is killed, others give up.
    for (number, (call, end)) in [
        (
            "P = spawn(fun() -> erpc:call('rust@127.0.0.1', m, slow, [1]) end)",
            "exit(P, kill)",
        ),
        ("catch erpc:call('rust@127.0.0.1', m, slow, [2], 20)", "ok"),
        ("catch rpc:call('rust@127.0.0.1', m, slow, [3], 20)", "ok"),
        (
            "catch rpc:block_call('rust@127.0.0.1', m, slow, [4], 20)",
            "ok",
        ),
        ("erpc:cast('rust@127.0.0.1', m, slow, [5])", "ok"),
    ]
    .into_iter()
    .enumerate()
    {
        a.eval(call);
        let began = tokio::time::timeout(PATIENCE, gone.recv()).await.unwrap();
        assert_eq!(began.unwrap(), format!("began {}", number + 1));
        a.eval(end);
        ends.add_permits(1);
        let ended = tokio::time::timeout(PATIENCE, gone.recv()).await.unwrap();
        assert_eq!(ended.unwrap(), format!("ended {}", number + 1));
    }
    // A process that is spawned with a link ends with its parent, in the middle of its function.
    a.eval("Q = spawn(fun() -> spawn_link('rust@127.0.0.1', m, slow, [6]), receive end_now -> exit(bye) end end)");
    let began = tokio::time::timeout(PATIENCE, gone.recv()).await.unwrap();
    assert_eq!(began.unwrap(), "began 6");
    a.eval("Q ! end_now");
    let ended = tokio::time::timeout(PATIENCE, gone.recv()).await.unwrap();
    assert_eq!(ended.unwrap(), "dropped");
    assert_eq!(a.eval("net_adm:ping('rust@127.0.0.1')"), "pong");
    drop(node);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rust_node_calls_functions_of_a_beam() {
    if !beam_is_installed("rpc from Rust") {
        return;
    }
    let epmd = Epmd::start();
    let mut a = erl("a@127.0.0.1", &epmd);
    let (say, mut printed) = tokio::sync::mpsc::unbounded_channel();
    let node = builder(RUST, &epmd)
        .printed(move |from, text| {
            let _ = say.send(format!("{} {text}", from.node.as_str()));
        })
        .start()
        .await
        .unwrap();
    let peer = name(&a.name);
    let within =
        |within: Duration, module: &'static str, function: &'static str, arguments: &str| {
            let arguments: Term = arguments.parse().unwrap();
            let arguments = arguments.as_list().unwrap().to_vec();
            let (node, peer) = (node.clone(), peer.clone());
            async move { node.rpc(&peer, module, function, arguments, within).await }
        };
    let rpc = |module, function, arguments| within(PATIENCE, module, function, arguments);

    let same = "{a,#{b=>[1.5,<<1,2>>]},\"text\"}";
    let arguments = format!("[[{same}]]");
    let answer = rpc("erlang", "hd", &arguments).await.unwrap();
    assert_eq!(answer, same.parse().unwrap());
    assert_eq!(a.eval("nodes(hidden)"), "['rust@127.0.0.1']");

    let raised = |answer: Result<Term, RpcError>| match answer {
        Err(RpcError::Raised(exception)) => exception,
        other => panic!("{other:?}"),
    };
    let thrown = raised(rpc("erlang", "throw", "[ball]").await);
    assert_eq!(thrown, Exception::Throw(Term::atom("ball")));
    let exited = raised(rpc("erlang", "exit", "[bye]").await);
    assert_eq!(exited, Exception::Exit(Term::atom("bye")));
    let Exception::Error { reason, stack } = raised(rpc("erlang", "error", "[oops]").await) else {
        panic!("an error");
    };
    assert_eq!(reason, Term::atom("oops"));
    assert!(!stack.is_empty());
    let undef = raised(rpc("nomod", "nofun", "[1]").await);
    let expected = Exception::undef(
        Term::atom("nomod"),
        Term::atom("nofun"),
        Term::List(vec![Term::Int(1)]),
    );
    assert_eq!(undef, expected);

    // Killed from outside.
    let sleeping = rpc("timer", "sleep", "[50000]");
    let sleeping = tokio::spawn(sleeping);
    let killed = "[exit(P, kill) || P <- processes(), \
                  process_info(P, current_function) =:= {current_function, {timer, sleep, 1}}]";
    a.wait_until(killed, PATIENCE, |value| value == "[true]");
    let signal = sleeping.await.unwrap();
    assert_eq!(signal, Err(RpcError::Signal(Term::atom("killed"))));

    let late = within(Duration::from_millis(50), "timer", "sleep", "[60000]").await;
    assert_eq!(late, Err(RpcError::Timeout(Duration::from_millis(50))));
    // The function goes on, and its process is not kept for an answer that nobody waits for.
    let watched = "[process_info(P, monitored_by) || P <- processes(), \
                   process_info(P, current_function) =:= {current_function, {timer, sleep, 1}}]";
    a.wait_until(watched, PATIENCE, |value| value == "[{monitored_by,[]}]");
    // What a function prints comes here, and nobody waits for it to be read.
    let text = "[\"~p is ~ts~n\",[it,<<\"fine\">>]]";
    assert_eq!(rpc("io", "format", text).await, Ok(Term::atom("ok")));
    assert_eq!(
        rpc("io", "get_line", "[\"?\"]").await,
        Ok(Term::atom("eof"))
    );
    assert_eq!(
        rpc("io", "put_chars", "[[104,<<\"i\">>]]").await,
        Ok(Term::atom("ok"))
    );

    assert_eq!(printed.recv().await.unwrap(), "a@127.0.0.1 it is fine\n");
    assert_eq!(printed.recv().await.unwrap(), "a@127.0.0.1 hi");

    let leads: Term = rpc("erlang", "group_leader", "[]").await.unwrap();
    assert_eq!(leads.as_pid().unwrap().node, Atom::new(RUST));

    a.eval("true = register(listener, self())");
    node.rpc_cast(
        &peer,
        "erlang",
        "send",
        vec![Term::atom("listener"), Term::Int(9)],
    )
    .await
    .unwrap();
    assert_eq!(a.eval("receive 9 -> nine after 300000 -> late end"), "nine");
    let listener = node.whereis_on(&peer, "listener", PATIENCE).await.unwrap();
    assert_eq!(listener.unwrap().node, Atom::new("a@127.0.0.1"));
    let nobody = node.whereis_on(&peer, "nobody", PATIENCE).await;
    assert_eq!(nobody, Ok(None));

    // The connection ends under a call, and then there is nobody.
    let halted = rpc("erlang", "halt", "[]").await;
    let lost = RpcError::Lost {
        node: Atom::new("a@127.0.0.1"),
        reason: Some(rendez::dist::CloseReason::ByPeer),
    };
    assert_eq!(halted, Err(lost));
    let nobody = rpc("erlang", "node", "[]").await;
    assert!(matches!(nobody, Err(RpcError::Connect(_))), "{nobody:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_function_prints_appears_at_its_caller() {
    if !beam_is_installed("what a function prints") {
        return;
    }
    let epmd = Epmd::start();
    let mut a = erl("a@127.0.0.1", &epmd);
    let _node = offering(RUST, &epmd)
        .function("m", "print", 1, |mut context, arguments| async move {
            let text = format!("it says {}\n", arguments[0]);
            Ok(context.print(&text).await.into())
        })
        .start()
        .await
        .unwrap();
    for call in [
        "erpc:call('rust@127.0.0.1', m, print, [1])",
        "rpc:call('rust@127.0.0.1', m, print, [2])",
        "rpc:block_call('rust@127.0.0.1', m, print, [3])",
    ] {
        assert_eq!(a.eval(call), "true");
    }
    // A group leader that ends leaves nobody waiting.
    let gone = "(fun() -> Own = group_leader(), Gone = spawn(fun() -> ok end), group_leader(Gone, self()),
                 Said = erpc:call('rust@127.0.0.1', m, print, [4]), group_leader(Own, self()), Said end)()";
    assert_eq!(a.eval(&gone.replace('\n', " ")), "false");
    let log = a.log();
    for number in 1..=3 {
        assert!(log.contains(&format!("it says {number}\n")), "{log}");
    }
}

/// `ei_rpc` of libei, which `erl_call` is made of, has a way of its own to ask `rex`.
#[tokio::test(flavor = "multi_thread")]
async fn a_c_node_calls_functions() {
    let folders = std::fs::read_dir("/usr/lib/erlang/lib")
        .into_iter()
        .flatten();
    let found = folders
        .flatten()
        .map(|folder| folder.path().join("bin/erl_call"))
        .find(|program| program.is_file());
    let Some(program) = found else {
        crate::support::skip(
            "erl_call",
            "it is not installed (apt: erlang-src, erlang-dev)",
        );
        return;
    };
    if !beam_is_installed("erl_call") {
        return;
    }
    let epmd = Epmd::start();
    let _node = offering(RUST, &epmd).start().await.unwrap();
    let call = |what: &'static str| {
        let (program, port) = (program.clone(), epmd.port);
        tokio::task::spawn_blocking(move || {
            // It waits for ever by itself.
            let done = std::process::Command::new("timeout")
                .arg("60")
                .arg(program)
                .args(["-n", RUST, "-c", COOKIE, "-a", what])
                .env("ERL_EPMD_PORT", port.to_string())
                .output()
                .expect("erl_call runs");
            String::from_utf8_lossy(&done.stdout).into_owned()
        })
    };
    assert_eq!(call("erlang hd [[one,two]]").await.unwrap(), "one");
    assert_eq!(
        call("nomod nofun []").await.unwrap(),
        "{badrpc, {'EXIT', {undef, [{nomod, nofun, [], []}]}}}"
    );
}
