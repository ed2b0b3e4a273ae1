//! A worker in Rust that processes of a BEAM cluster find in a process group, and use without knowing what it
//! is or where it runs. Several may be started; each is a member.
//!
//!     cargo run --example pg_worker -- hasher1@127.0.0.1 COOKIE app@127.0.0.1
//!
//! and in an `iex --name app@127.0.0.1 --cookie COOKIE`:
//!
//!     :pg.start(:pg)
//!     worker = Enum.random(:pg.get_members(:hashers))
//!     send(worker, {self(), "some text"})
//!     flush()
//!     # => {#PID<11543.9.0>, 1565534772893300484}

use rendez::epmd::port_from_env;
use rendez::etf::{Atom, Term};
use rendez::node::Process;
use rendez::{Node, NodeName, Secret};

/// The 64 bits of FNV-1a.
fn fnv(text: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    text.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

/// `{from, text}` is answered with `{worker, hash}`; anything else is not for it.
async fn work(mut process: Process) {
    while let Some(message) = process.receive().await.into_message() {
        let Some([Term::Pid(from), Term::Binary(text)]) = message.as_tuple() else {
            eprintln!("not understood: {message}");
            continue;
        };
        let answer = [process.pid().clone().into(), Term::integer(fnv(text))];
        if let Err(error) = process.send(&**from, Term::Tuple(answer.into())).await {
            eprintln!("the answer is lost: {error}");
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(name), Some(cookie)) = (arguments.next(), arguments.next()) else {
        return Err("usage: pg_worker NAME@HOST COOKIE [PEER@HOST]...".into());
    };
    let node = Node::builder(name.as_str())
        .cookie(Secret::new(cookie.as_str()))
        .epmd_port(port_from_env()?)
        .start()
        .await?;
    // The scope that OTP starts on request (`start_pg`) and that most use.
    let pg = node.pg(Atom::new("pg"))?;
    let hashers = Term::atom("hashers");
    let worker = node.spawn(work);
    pg.join(hashers.clone(), &worker)?;

    // From now on every node that is connected, by whichever side, finds the worker.
    for peer in arguments {
        let peer: NodeName = peer.parse()?;
        node.connect(&peer).await?;
    }
    println!("{} works", node.name());

    // Whoever wants to know who else does this work can follow it.
    let (members, mut events) = pg.monitor(hashers);
    println!("{} in the group", members.len());
    loop {
        tokio::select! {
            Some(event) = events.next() => println!("{:?}: {}", event.kind, event.pids.len()),
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    node.stop().await;
    Ok(())
}
