//! `docs/options.md`, written from the table of options.

use std::fmt::Write as _;

use super::options::{CLUSTER, PROVIDERS};
use super::place::{flag, variable};
use super::schema::{Default, Opt};

const HEAD: &str = "\
# Options

<!-- Written from src/config/options.rs. `UPDATE_DOCS=1 cargo test --lib config::docs` writes it again. -->

The same options hold for every face of Rendez. Their names are these:

| where | how `dns_name` is written |
| --- | --- |
| Elixir | `config :rendez, via: :dns, dns_name: \"myapp.internal\"` |
| Erlang | `{rendez, [{via, dns}, {dns_name, \"myapp.internal\"}]}` |
| a TOML file (`rendez --config FILE`) | `via = \"dns\"` and `dns_name = \"myapp.internal\"` |
| the environment of the command | `RENDEZ_VIA=dns` and `RENDEZ_DNS_NAME=myapp.internal` |
| the command line | `--via dns --dns-name myapp.internal` |

## Naming providers

`via` names where peers come from: one provider, several, or modules of your own. All of these are taken:

    via: :dns, dns_name: \"myapp.internal\"
    via: [dns: [dns_name: \"myapp.internal\"], multicast: []]
    via: [:multicast, {:dns, dns_name: \"myapp.internal\"}]
    via: {:dns, %{dns_name: \"myapp.internal\"}}
    via: [MyApp.Peers, :multicast]
    via: Rendez.Via.Dns, dns_name: \"myapp.internal\"

`Rendez.Via.Dns` is the module that stands for `dns` in the package; every provider has one.

With one provider its options may stand beside `via`. With several each has its own, since `interval` beside two
providers could be meant for either. In a TOML file the same is written with tables:

    [via.dns]
    dns_name = \"myapp.internal\"

    [via.multicast]
    port = 45900

## The command: flags, environment, file

A flag goes over a variable, and a variable over the file. The first of them that names providers decides which there
are; of each option the first value counts.

- On the command line options stand after the `--via` that they are for. With a single `--via` their order does not
  matter. A flag that takes several values can be repeated, or its values separated by commas.
- In the environment `RENDEZ_VIA` names the providers, commas between them, and `RENDEZ_` with an option's name in
  capitals gives its value. If several of the providers take the option, put the one that it is meant for and two
  underscores before it: `RENDEZ_DNS__INTERVAL`. An empty variable is one that is not set. A variable that is no option
  is warned about. Those that Kubernetes and Docker set for a service called `rendez` are left alone.

## Values

- A span of time is a number of seconds, or text with a unit: `0.25`, `\"250ms\"`, `\"5s\"`, `\"2m\"`, `\"1h\"`; at most a year.
- Where text is taken, an atom and an Erlang string are too. An IP address may be a tuple, `{239, 1, 1, 1}`.
- A list may be text with commas: `\"a@10.0.0.1,b@10.0.0.2\"`.
- A name to look up may say what its nodes are called: `{app_name, dns_name}`; in TOML `{ app = \"dns.name\" }`, as text
  `app@dns.name`.
- `{disconnect, 30000}`, in Elixir `{:disconnect, 30_000}`, is `on_removed = [\"disconnect\", 30000]` in TOML. As text it is
  `disconnect:30s`, and there the unit has to be said.
- `nil` and `undefined` leave an option at its default. Where a provider needs the option, they and the atom `ignore`
  turn the provider off, and so they do in place of a provider's options (`via: [dns: :ignore]`); without any provider
  left no cluster starts, and the command ends with an error. `via: :ignore` and `via: nil` say the same. An empty text
  is rejected there.

A configuration that is off is refused as a whole, with every problem at once: which option, what it takes, what it
got, and the nearest right spelling. What a secret got is never shown.
";

/// The text of `docs/options.md`.
#[must_use]
pub fn options_page() -> String {
    let mut page = HEAD.to_owned();
    page.push_str("\n## Providers\n");
    for group in PROVIDERS {
        let aliases: Vec<_> = group
            .aliases
            .iter()
            .map(|alias| format!("`{}`", alias.trim_start_matches("Elixir.")))
            .collect();
        // Writing to a String cannot fail.
        let _ = write!(page, "\n### `{}`\n\n{}", group.name, group.doc);
        if !aliases.is_empty() {
            let _ = write!(page, " Also taken: {}.", aliases.join(", "));
        }
        page.push('\n');
        table(&mut page, group.options);
    }
    page.push_str("\n## The cluster\n\nThese stand beside `via`, whatever the providers are.\n");
    table(&mut page, CLUSTER);
    page
}

fn table(page: &mut String, options: &[Opt]) {
    if options.is_empty() {
        return;
    }
    page.push_str("\n| option | takes | default | example |\n| --- | --- | --- | --- |\n");
    for option in options {
        let default = match option.default {
            Default::Value(text) => format!("`{text}`"),
            Default::Words(words) => words.to_owned(),
            Default::Required => "none, it is needed".to_owned(),
        };
        let _ = writeln!(
            page,
            "| `{}`<br>`{}`<br>`{}` | {} | {default} | `{}` |",
            option.name,
            flag(option.name),
            variable(option.name),
            option.takes.words(),
            option.example,
        );
    }
    page.push('\n');
    for option in options {
        let _ = writeln!(page, "- `{}`: {}", option.name, option.doc);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_in_step_with_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/options.md");
        let page = options_page();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, &page).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == page,
            "docs/options.md is behind src/config/options.rs; \
             `UPDATE_DOCS=1 cargo test --lib config::docs` writes it again"
        );
    }
}
