//! Watches a BEAM cluster: connects to the nodes that it is given, keeps trying, and says who comes and goes,
//! and why.
//!
//!     cargo run --example monitor_nodes -- watcher@127.0.0.1 COOKIE app1@127.0.0.1 app2@127.0.0.1

use std::time::Duration;

use rendez::epmd::port_from_env;
use rendez::node::NodeEvent;
use rendez::{Node, NodeName, Secret};

/// Connects to a peer whenever there is no connection. What fails is tried again: it may come up later.
async fn keep_connected(node: Node, peer: NodeName) {
    let mut told = None;
    loop {
        let failed = node
            .connect(&peer)
            .await
            .err()
            .map(|error| error.to_string());
        if failed.is_some() && failed != told {
            println!(
                "{peer} cannot be reached: {}",
                failed.as_deref().unwrap_or_default()
            );
        }
        told = failed;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(name), Some(cookie)) = (arguments.next(), arguments.next()) else {
        return Err("usage: monitor_nodes NAME@HOST COOKIE PEER@HOST...".into());
    };
    let node = Node::builder(name.as_str())
        .cookie(Secret::new(cookie.as_str()))
        .epmd_port(port_from_env()?)
        .start()
        .await?;
    // Before anybody is connected, so that nobody is missed.
    let mut events = node.monitor_nodes();
    println!("{} watches", node.name());
    for peer in arguments {
        tokio::spawn(keep_connected(node.clone(), peer.parse()?));
    }
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            _ = tokio::signal::ctrl_c() => None,
        };
        match event {
            Some(NodeEvent::Up(peer)) => {
                let kind = if peer.hidden { "hidden" } else { "visible" };
                println!("{} is up, a {kind} node", peer.name);
            }
            Some(NodeEvent::Down(peer, reason)) => println!("{} is down: {reason}", peer.name),
            None => break,
        }
    }
    node.stop().await;
    Ok(())
}
