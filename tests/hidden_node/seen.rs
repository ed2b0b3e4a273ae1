//! What a node sees of a connected hidden node: ping, lists of nodes, and the messages of `net_kernel`.

use crate::world::*;

/// Runs in Elixir until it says the value, and fails with the last one.
fn until(iex: &mut Beam, code: &str, value: &str) {
    let start = std::time::Instant::now();
    loop {
        let now = iex.elixir(code);
        if now == value {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{code} is {now}\n{}", iex.log());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_answers_ping_and_is_hidden() {
    if !beam_is_installed("ping from iex") {
        return;
    }
    let epmd = Epmd::start();
    let mut iex = iex("iex@127.0.0.1", &epmd);
    let node = node(RUST, &epmd).await;
    assert_eq!(iex.elixir("Node.ping(:\"nobody@127.0.0.1\")"), ":pang");
    assert_eq!(iex.elixir("Node.ping(:\"rust@127.0.0.1\")"), ":pong");
    assert_eq!(iex.elixir("Node.list()"), "[]");
    assert_eq!(iex.elixir("Node.list(:hidden)"), "[:\"rust@127.0.0.1\"]");
    assert_eq!(iex.elixir("Node.list(:connected)"), "[:\"rust@127.0.0.1\"]");
    assert_eq!(iex.elixir("Node.disconnect(:\"rust@127.0.0.1\")"), "true");
    until(&mut iex, "Node.list(:hidden)", "[]");
    drop(node);
}

#[tokio::test(flavor = "multi_thread")]
async fn monitor_nodes_reports_it_up_and_down() {
    if !beam_is_installed("monitor_nodes") {
        return;
    }
    let epmd = Epmd::start();
    let mut iex = iex("iex@127.0.0.1", &epmd);
    let told = "receive do
        {what, node, info} when what in [:nodeup, :nodedown] ->
          {what, node, info[:node_type], info[:nodedown_reason]}
        after 300_000 -> :late
        end";
    // A process of its own watches, since an answer has to come back before the next question.
    iex.elixir(&format!(
        "Process.register(spawn(fn ->
           :ok = :net_kernel.monitor_nodes(true, [:nodedown_reason, node_type: :all])
           ask = fn ask ->
             receive do
               {{:next, from}} -> send(from, {{:told, {told}}})
             end
             ask.(ask)
           end
           ask.(ask)
         end), :watcher)"
    ));
    let next = "send(:watcher, {:next, self()})
         receive do {:told, told} -> told after 40_000 -> :nothing end";
    for _ in 0..2 {
        let node = node(RUST, &epmd).await;
        node.connect(&name("iex@127.0.0.1")).await.unwrap();
        assert_eq!(
            iex.elixir(next),
            "{:nodeup, :\"rust@127.0.0.1\", :hidden, nil}"
        );
        node.stop().await;
        let down = iex.elixir(next);
        assert!(
            down.starts_with("{:nodedown, :\"rust@127.0.0.1\", :hidden, :connection_closed"),
            "{down}"
        );
    }
}
