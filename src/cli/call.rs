//! `rendez call`: a function call on a node.

use std::time::Duration;

use clap::Args;
use rendez::NodeName;
use rendez::etf::Term;

use super::output::{Failure, Output};
use super::peer::{self, PeerArgs};
use super::term_json;

/// Call a function on a node and print what it returns
///
/// Arguments and result are written as in Erlang. Elixir's module My.Mod is the atom 'Elixir.My.Mod'; as MODULE,
/// Elixir.My.Mod will do.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rendez call shop@10.0.0.7 erlang nodes
  rendez call shop@10.0.0.7 lists reverse '[1,2,{x,\"y\"}]'
  rendez call shop@10.0.0.7 Elixir.Enum sum '[1,2,3]' --json

With --json the result is JSON: atoms and text become strings (true, false, nil, undefined and null what they are
in JSON), lists and tuples arrays, maps objects; everything else is its Erlang text.")]
pub struct Call {
    /// The node, name@host
    node: NodeName,
    /// The module
    module: String,
    /// The function
    function: String,
    /// The arguments, each an Erlang term
    #[arg(value_name = "TERM", allow_negative_numbers = true)]
    arguments: Vec<String>,
    /// How long connecting and the answer may take together
    #[arg(long, value_name = "SPAN", default_value = "15s", value_parser = peer::span)]
    timeout: Duration,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    peer: PeerArgs,
}

impl Call {
    /// Does it.
    pub async fn run(self, output: &Output) -> Result<(), Failure> {
        let arguments = self
            .arguments
            .iter()
            .enumerate()
            .map(|(index, text)| {
                text.parse::<Term>().map_err(|error| {
                    Failure::words(format!("argument {} is no Erlang term: {error}", index + 1))
                })
            })
            .collect::<Result<_, _>>()?;
        for name in [&self.module, &self.function] {
            if name.chars().count() > 255 {
                return Err(Failure::words(
                    "the name of a module or a function has at most 255 characters",
                ));
            }
        }
        let node = self.peer.start(&self.node, self.timeout).await?;
        let answered = node
            .call(
                &self.node,
                &self.module,
                &self.function,
                arguments,
                self.timeout,
            )
            .await;
        node.stop().await;
        let result = answered.map_err(peer::failure)?;
        if output.is_json() {
            output.json(&term_json::json(&result, &self.node))
        } else {
            output.line(&result.shown_at(self.node.as_str()).to_string())
        }
    }
}
