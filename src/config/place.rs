//! How a user would write an option in the place where the others stand, for messages.

/// Where options stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a tree of values, under this path: an Erlang term, a TOML file. The path is empty at the top.
    Tree(String),
    /// On the command line.
    Flags,
    /// In the environment; with the provider's name if they are meant for one.
    Environment(Option<&'static str>),
}

impl Place {
    /// Whether the options of the cluster can stand here too.
    pub fn is_top(&self) -> bool {
        !matches!(self, Self::Tree(path) if !path.is_empty())
    }

    /// The option of that name in this place.
    pub fn of(&self, name: &str) -> String {
        match self {
            Self::Tree(path) if path.is_empty() => name.to_owned(),
            Self::Tree(path) => format!("{path}.{name}"),
            Self::Flags => flag(name),
            Self::Environment(None) => variable(name),
            Self::Environment(Some(provider)) => variable_of(provider, name),
        }
    }
}

/// The flag of an option: `--dns-name`.
#[must_use]
pub fn flag(name: &str) -> String {
    format!("--{}", name.replace('_', "-"))
}

/// The variable of an option: `RENDEZ_DNS_NAME`.
#[must_use]
pub fn variable(name: &str) -> String {
    format!("RENDEZ_{}", name.to_uppercase())
}

/// The variable of an option that is meant for one provider: `RENDEZ_DNS__INTERVAL`.
#[must_use]
pub fn variable_of(provider: &str, name: &str) -> String {
    format!(
        "RENDEZ_{}__{}",
        provider.to_uppercase(),
        name.to_uppercase()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_has_its_spelling() {
        for (place, written) in [
            (Place::Tree(String::new()), "dns_name"),
            (Place::Tree("via.dns".into()), "via.dns.dns_name"),
            (Place::Flags, "--dns-name"),
            (Place::Environment(None), "RENDEZ_DNS_NAME"),
            (Place::Environment(Some("dns")), "RENDEZ_DNS__DNS_NAME"),
        ] {
            assert_eq!(place.of("dns_name"), written);
        }
    }
}
