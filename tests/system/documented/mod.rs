//! Every block of configuration in README and docs/ is started from the text itself.
//!
//! A block that belongs to no kind below fails the test, so that none is left out unseen. All runs on a network
//! that leads nowhere.

mod blocks;
mod kubernetes;
mod shell;

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::package::iex;
use crate::support::authority::DistAuthority;
use crate::support::{Beam, Epmd, Lan, beam_is_installed, free_tcp_port};
use blocks::{Block, blocks};

/// The pages for users. The others describe formats and have no configuration.
const PAGES: [&str; 4] = [
    "README.md",
    "docs/providers.md",
    "docs/options.md",
    "docs/dialects.md",
];

/// What a block is, and so how it is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Elixir's config files.
    Config,
    /// What may stand after `config :rendez, `, one a line.
    ConfigLines,
    /// A term of `sys.config`.
    Terms,
    /// Children of a supervisor.
    Children,
    /// Calls in a node where a cluster runs.
    Calls,
    /// Lines for a shell that begin with `rendez`.
    Commands,
    /// A script that is sourced before a release starts.
    Script,
    /// A file for `--config`.
    Toml,
    /// A file of the `file` provider.
    Peers,
    /// A file of the `hosts_file` provider.
    Hosts,
    /// Objects for the API of Kubernetes.
    Objects,
    /// The environment of a container.
    Environment,
    /// A policy for AWS.
    Policy,
    /// Tried by another test: `make` and `cargo install` by CI, the Rust block by `tests/hidden_node/readme.rs`,
    /// the dependency by `scripts/test_package`, OTP's flags by `tests/system/dns.rs`.
    Elsewhere,
}

fn kind(block: &Block) -> Option<Kind> {
    let text = block.text.as_str();
    let any_line = |begins: &[&str]| {
        text.lines()
            .any(|line| begins.iter().any(|begin| line.starts_with(begin)))
    };
    Some(match block.language.as_str() {
        "elixir" | "indented" if any_line(&["config :rendez"]) => Kind::Config,
        "elixir" if text.starts_with("children = ") => Kind::Children,
        "elixir" if text.starts_with("Rendez.") => Kind::Calls,
        "elixir" if text.contains("{:rendez, path: ") => Kind::Elsewhere,
        "erlang" | "indented" if any_line(&["[{rendez, [", "{rendez, ["]) => Kind::Terms,
        "erlang" if text.starts_with("%% hosts") => Kind::Hosts,
        "rust" => Kind::Elsewhere,
        "sh" => Kind::Script,
        "yaml" if text.starts_with("apiVersion:") => Kind::Objects,
        "yaml" if text.starts_with("env:") => Kind::Environment,
        "json" => Kind::Policy,
        "" if text.contains('@') => Kind::Peers,
        "indented" if any_line(&["rendez ", "RENDEZ_"]) => Kind::Commands,
        "indented" if text.starts_with("via: ") => Kind::ConfigLines,
        "indented" if text.starts_with("[via.") => Kind::Toml,
        "indented" if any_line(&["make ", "-start_epmd "]) => Kind::Elsewhere,
        _ => return None,
    })
}

fn documented() -> Vec<(Kind, Block)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for page in PAGES {
        let markdown = std::fs::read_to_string(root.join(page)).expect("a page");
        for block in blocks(page, &markdown) {
            let kind = kind(&block).unwrap_or_else(|| {
                panic!("{}: no test tries this block:\n{}", block.place, block.text)
            });
            found.push((kind, block));
        }
    }
    found
}

/// The blocks of one kind; there has to be one, or the kind is dead.
fn of(kind: Kind) -> Vec<Block> {
    let found: Vec<_> = documented()
        .into_iter()
        .filter_map(|(found, block)| (found == kind).then_some(block))
        .collect();
    assert!(!found.is_empty(), "no block is a {kind:?}");
    found
}

#[test]
#[ignore = "needs the built packages: run scripts/test system"]
fn every_elixir_and_erlang_block_starts() {
    let what = "the blocks of the docs in a node";
    if !beam_is_installed(what) {
        return;
    }
    if std::env::var_os("RENDEZ_TEST_BEAM").is_some() {
        crate::support::skip(what, "the library with every provider is not in the chroot");
        return;
    }
    let Some(lan) = Lan::new(1, what) else {
        return;
    };
    let epmd = Epmd::start_on(free_tcp_port(), &lan.enter(1));
    // The library has every provider: `build_library` in scripts/test.
    let options = iex(&format!("myapp@{}", lan.address(1))).within(&lan.enter(1));
    let mut node = Beam::start(&epmd, &options);
    // The levels of what fails to find anybody are no matter here.
    node.eval("logger:set_primary_config(level, error)");
    node.elixir(include_str!("boot.exs"));
    // The Erlang module that the docs call `my_peers`.
    node.eval(
        "Form = fun(Text) -> {ok, Tokens, _} = erl_scan:string(Text), {ok, Form} = erl_parse:parse_form(Tokens), Form end, \
         {ok, my_peers, Code} = compile:forms([Form(Text) || Text <- [\"-module(my_peers).\", \
         \"-export([init/1, peers/1]).\", \"init(_) -> {ok, nil}.\", \"peers(State) -> {ok, [], State}.\"]]), \
         code:load_binary(my_peers, \"my_peers\", Code)",
    );
    let authority = DistAuthority::new("the docs");

    let mut wrong = Vec::new();
    let mut try_it = |function: &str, place: &str, text: &str| {
        let text = text.replace("/etc/myapp/ca.pem", &authority.file().display().to_string());
        let encoded = STANDARD.encode(&text);
        let answer = node.elixir(&format!(
            "try do Documented.{function}(\"{encoded}\") rescue error -> {{:raised, Exception.message(error)}} end"
        ));
        let may_be_off = text.contains("ignore") || text.contains("nil");
        let right = match answer.as_str() {
            ":ok" => true,
            "{:ok, :off}" => may_be_off,
            "{:ok, 0}" => false,
            other => other.starts_with("{:ok, "),
        };
        if !right {
            wrong.push(format!("{place}: {answer}\n{text}"));
        }
    };
    for block in of(Kind::Config) {
        try_it("config", &block.place, &block.text);
    }
    for block in of(Kind::ConfigLines) {
        for line in block.text.lines() {
            try_it("config", &block.place, &format!("config :rendez, {line}"));
        }
    }
    for block in of(Kind::Terms) {
        // A comment stands before some, and the full stop of the file after them.
        let text = block.text.trim_end_matches('.');
        try_it("terms", &block.place, text);
    }
    for block in of(Kind::Children) {
        try_it("children", &block.place, &block.text);
    }
    for block in of(Kind::Calls) {
        try_it("calls", &block.place, &block.text);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
