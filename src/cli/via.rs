//! The flags that say where peers come from, made from the table of options.
//!
//! Options stand after the `--via` that they are for; with one `--via` their order does not matter.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, value_parser};
use rendez::config::options::{CLUSTER, PROVIDERS};
use rendez::config::schema::{Default as Unless, Group, Opt, Takes};
use rendez::config::{ClusterConfig, Layer, Value, Via, flag, from_toml};

use super::logging::variable;
use super::output::Failure;

/// The help of flags, shown before those of each provider.
const SOURCES: &str = "Where peers come from";

/// A provider's word and the options given to it.
type Given = (String, Vec<(String, Value)>);

/// The flags that say where peers come from.
#[derive(Debug)]
pub struct ViaArgs {
    config: Option<PathBuf>,
    providers: Vec<Given>,
    others: Vec<(String, Value)>,
    shows_a_secret: Option<&'static str>,
}

impl ViaArgs {
    /// The configuration: these flags over the environment over the file.
    pub fn read(self) -> Result<ClusterConfig, Failure> {
        if let Some(name) = self.shows_a_secret {
            tracing::warn!(
                "{} shows the secret to everyone who runs `ps`; {} does not",
                flag(name),
                rendez::config::variable(name)
            );
        }
        let mut layers = vec![Layer::from_flags(self.providers, self.others)];
        let text = |text: OsString| text.into_string().ok();
        let variables =
            std::env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?)));
        let (environment, unknown) = Layer::from_environment(variables);
        for problem in unknown {
            tracing::warn!("{problem}");
        }
        layers.push(environment);
        let file = self
            .config
            .or_else(|| variable("RENDEZ_CONFIG").map(PathBuf::from));
        if let Some(file) = file {
            let shown = file.display().to_string();
            let text = fs::read_to_string(&file).map_err(|error| {
                Failure::words(format!("cannot read the configuration {shown}: {error}"))
            })?;
            let tree =
                from_toml(&text, &shown).map_err(|problem| Failure::words(problem.to_string()))?;
            layers.push(Layer::from_value(&tree).of_file(&shown));
        }
        let config = ClusterConfig::from_layers(layers)?;
        if config.via.is_empty() {
            return Err(Failure::words(format!(
                "{}, so that there is nobody to look for; name a provider with --via",
                config.off.join(" and ")
            )));
        }
        for why in &config.off {
            tracing::warn!("{why}, so that this provider is left out");
        }
        let module = config
            .via
            .iter()
            .find(|via| matches!(via, Via::External(_)));
        module.map_or(Ok(()), |via| {
            Err(Failure::words(format!(
                "{} is a module, which only the package can run, inside the BEAM; name another provider",
                via.name()
            )))
        })?;
        Ok(config)
    }
}

impl Args for ViaArgs {
    fn augment_args(command: Command) -> Command {
        let words: Vec<_> = PROVIDERS.iter().map(|group| group.name).collect();
        let list: String = PROVIDERS
            .iter()
            .map(|group| format!("\n  {:<10} {}", group.name, group.doc))
            .collect();
        let mut command = command
            .arg(
                Arg::new("via")
                    .long("via")
                    .value_name("PROVIDER")
                    .action(ArgAction::Append)
                    .help(format!("A provider: {}. Several add up [env: RENDEZ_VIA]", words.join(", ")))
                    .long_help(format!(
                        "A provider. Several add up; the options of each stand after its --via. [env: RENDEZ_VIA]\n{list}\n"
                    ))
                    .help_heading(SOURCES),
            )
            .arg(
                Arg::new("config")
                    .long("config")
                    .value_name("FILE")
                    .value_parser(value_parser!(PathBuf))
                    .help("A TOML file with the same options. Flags go over variables, and variables over the file [env: RENDEZ_CONFIG]")
                    .help_heading(SOURCES),
            );
        for option in every_option() {
            command = command.arg(arg(option));
        }
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// Every option once, though several providers may take one of that name.
fn every_option() -> Vec<&'static Opt> {
    let mut options: Vec<&'static Opt> = Vec::new();
    for option in PROVIDERS
        .iter()
        .flat_map(|group| group.options)
        .chain(CLUSTER)
    {
        if options.iter().all(|other| other.name != option.name) {
            options.push(option);
        }
    }
    options
}

fn owners(option: &Opt) -> Vec<&'static Group> {
    let takes = |group: &&Group| group.option(option.name).is_some();
    PROVIDERS.iter().filter(takes).collect()
}

fn arg(option: &'static Opt) -> Arg {
    let owners = owners(option);
    let heading = match owners.as_slice() {
        [] => "What is done with them".to_owned(),
        [group] => format!("Options of {}", group.name),
        _ => "Options of several".to_owned(),
    };
    let about = |option: &Opt| {
        let default = match option.default {
            Unless::Value(text) => format!(" [default: {text}]"),
            Unless::Words(words) => format!(" [default: {words}]"),
            Unless::Required => String::new(),
        };
        format!("{}{default}", option.doc)
    };
    let help = match owners.as_slice() {
        [] | [_] => about(option),
        several => several
            .iter()
            .filter_map(|group| {
                Some(format!(
                    "{}: {}",
                    group.name,
                    about(group.option(option.name)?)
                ))
            })
            .collect::<Vec<_>>()
            .join("\n"),
    };
    let mut arg = Arg::new(option.name)
        .long(option.name.replace('_', "-"))
        .value_name(option.takes.placeholder())
        .action(ArgAction::Append)
        // A value may be negative or begin with a dash; it is ours to refuse.
        .allow_hyphen_values(true)
        .long_help(format!(
            "{help}\nIt takes {}, for example {}",
            option.takes.words(),
            option.example
        ))
        .help(help)
        .help_heading(heading);
    if option.takes == Takes::Flag {
        arg = arg
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true");
    }
    arg
}

impl FromArgMatches for ViaArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let vias: Vec<(usize, String)> = occurrences(matches, "via");
        let mut providers: Vec<Given> = vias
            .iter()
            .map(|(_, word)| (word.clone(), Vec::new()))
            .collect();
        let mut others: Vec<(String, Value)> = Vec::new();
        let mut shows_a_secret = None;
        for option in every_option() {
            let is_cluster = owners(option).is_empty();
            for (at, text) in occurrences(matches, option.name) {
                if option.takes == Takes::Secret {
                    shows_a_secret = Some(option.name);
                }
                // The --via that it stands after, or the only one.
                let owner = match vias.iter().rposition(|(via, _)| *via < at) {
                    _ if is_cluster => None,
                    None if providers.len() == 1 => Some(0),
                    owner => owner,
                };
                let given = match owner {
                    Some(index) => &mut providers[index].1,
                    None => &mut others,
                };
                match given.iter_mut().find(|(name, _)| name == option.name) {
                    Some((_, Value::Text(before))) if option.takes.several() => {
                        *before = format!("{before},{text}");
                    }
                    _ => given.push((option.name.to_owned(), text.into())),
                }
            }
        }
        Ok(Self {
            config: matches.get_one("config").cloned(),
            providers,
            others,
            shows_a_secret,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The values of a flag, and where on the command line each stands.
fn occurrences(matches: &ArgMatches, name: &str) -> Vec<(usize, String)> {
    if matches.value_source(name) != Some(ValueSource::CommandLine) {
        return Vec::new();
    }
    let places = matches.indices_of(name).into_iter().flatten();
    let values = matches
        .get_many::<String>(name)
        .into_iter()
        .flatten()
        .cloned();
    places.zip(values).collect()
}
