//! The program in the README, run.

use std::error::Error;
use std::time::Duration;

use rendez::Node;
use rendez::etf::{Atom, Term};
use rendez::node::Exception;

use crate::support::{Beam, BeamOptions, Epmd, beam_is_installed};

#[tokio::test(flavor = "multi_thread")]
async fn the_program_of_the_readme_does_what_it_says() -> Result<(), Box<dyn Error>> {
    if !beam_is_installed("the README's program") {
        return Ok(());
    }
    let epmd = Epmd::start();
    let options = BeamOptions::iex("app@127.0.0.1").cookie("secret");
    let mut iex = Beam::start(&epmd, &options.flags(["-start_epmd", "false"]));

    let node = Node::builder("rust@127.0.0.1")
        .cookie("secret")
        .epmd_port(epmd.port)
        // :erpc.call(:"rust@127.0.0.1", Prices, :double, [21])
        .function("Elixir.Prices", "double", 1, |_, arguments| async move {
            let price = arguments[0].as_int().ok_or_else(Exception::badarg)?;
            Ok(Term::Int(2 * price))
        })
        .start()
        .await?;

    // send({:echo, :"rust@127.0.0.1"}, {self(), "hello"})
    let echo = node.spawn(|mut process| async move {
        while let Some(message) = process.receive().await.into_message() {
            if let Some([Term::Pid(from), what]) = message.as_tuple() {
                let _ = process.send(&**from, what.clone()).await;
            }
        }
    });
    node.register(Atom::new("echo"), &echo)?;

    let peer = "app@127.0.0.1".parse()?;
    let pid = node
        .call(&peer, "os", "getpid", vec![], Duration::from_secs(5))
        .await?;

    assert_eq!(pid, Term::string(&iex.pid().to_string()));
    let call = ":erpc.call(:\"rust@127.0.0.1\", Prices, :double, [21])";
    assert_eq!(iex.elixir(call), "42");
    let send = "send({:echo, :\"rust@127.0.0.1\"}, {self(), \"hello\"})";
    iex.elixir(send);
    let heard = "receive do heard -> heard after 300_000 -> :late end";
    assert_eq!(iex.elixir(heard), "\"hello\"");
    Ok(())
}

/// What is shown is what is run.
#[test]
fn each_line_of_it_is_here() {
    let words = |text: &str| text.split_whitespace().collect::<String>();
    let here = words(include_str!("readme.rs"));
    let readme = include_str!("../../README.md");
    let (_, program) = readme.split_once("```rust\n").expect("a program in Rust");
    let (program, _) = program.split_once("```").expect("its end");
    let mut rest = here.as_str();
    for line in program.lines().filter(|line| !line.trim().is_empty()) {
        let at = rest.find(&words(line));
        let at = at.unwrap_or_else(|| panic!("not here, or in another order: {line}"));
        rest = &rest[at..];
    }
}
