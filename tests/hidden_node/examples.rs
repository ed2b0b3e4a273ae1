//! The programs of `examples/`, used from BEAMs.

use std::time::Duration;

use crate::world::*;

#[test]
fn a_gen_server_calls_a_service_in_rust_which_is_there_again_after_a_crash() {
    if !beam_is_installed("the example gen_server_service") {
        return;
    }
    let epmd = Epmd::start();
    let mut iex = iex("app@127.0.0.1", &epmd);
    let start = || {
        let arguments = ["search@127.0.0.1", COOKIE];
        let mut example = Example::start("gen_server_service", &arguments, epmd.port);
        assert_eq!(example.line(), "search@127.0.0.1 serves `search`");
        example
    };
    let mut example = start();
    // A user's own server, which asks ours.
    iex.elixir(
        "defmodule Shop do
           use GenServer
           @search {:search, :\"search@127.0.0.1\"}
           def init(nil), do: {:ok, nil}
           def handle_call({:new, id, text}, _from, nil) do
             {:reply, GenServer.cast(@search, {:add, id, text}), nil}
           end
           def handle_call({:look, words}, _from, nil) do
             {:reply, GenServer.call(@search, {:find, words}), nil}
           end
         end
         {:ok, pid} = GenServer.start(Shop, nil, name: Shop)
         is_pid(pid)",
    );
    for (id, text) in [
        (1, "The quick brown fox"),
        (2, "a quick answer"),
        (3, "žluťoučký kůň"),
    ] {
        let new = format!("GenServer.call(Shop, {{:new, {id}, {text:?}}})");
        assert_eq!(iex.elixir(&new), ":ok");
    }
    let mut look = |words: &str| iex.elixir(&format!("GenServer.call(Shop, {{:look, {words:?}}})"));
    assert_eq!(look("quick"), "{:ok, [1, 2]}");
    assert_eq!(look("fox quick"), "{:ok, [1]}");
    assert_eq!(look("kůň"), "{:ok, [3]}");
    assert_eq!(look("slow"), "{:ok, []}");

    // The whole program crashes; whoever waits for it is told, and the next one is another.
    let monitor = "ref = Process.monitor({:search, :\"search@127.0.0.1\"}); Process.put(:ref, ref); is_reference(ref)";
    assert_eq!(iex.elixir(monitor), "true");
    example.end("KILL");
    let down = "ref = Process.get(:ref); receive do {:DOWN, ^ref, _, _, why} -> why after 300_000 -> :late end";
    assert_eq!(iex.elixir(down), ":noconnection");
    example = start();
    iex.wait_until(
        "net_adm:ping('search@127.0.0.1')",
        Duration::from_secs(30),
        |pong| pong == "pong",
    );
    assert_eq!(
        iex.elixir("GenServer.call({:search, :\"search@127.0.0.1\"}, {:find, \"fox\"})"),
        "{:ok, []}"
    );
    // A request that the service does not understand ends it, and it alone.
    iex.elixir("GenServer.cast({:search, :\"search@127.0.0.1\"}, :nonsense)");
    iex.wait_until(
        "element(1, element(2, catch gen_server:call({search, 'search@127.0.0.1'}, {find, <<\"fox\">>})))",
        Duration::from_secs(30),
        |why| why == "noproc",
    );
    assert_eq!(iex.eval("net_adm:ping('search@127.0.0.1')"), "pong");
    assert!(example.end("INT").success());
}
