//! The environment variables that the tools for AWS share.
//! <https://docs.aws.amazon.com/sdkref/latest/guide/environment-variables.html>

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;

/// Where variables are looked up.
#[derive(Clone)]
pub(super) enum Environment {
    /// In the process, as it was started: what a BEAM sets by `os:putenv` is not seen.
    Process,
    /// In a table, for tests.
    #[cfg_attr(not(test), allow(dead_code))]
    Table(HashMap<String, String>),
}

// Keys and tokens may be in it.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment(..)")
    }
}

impl Environment {
    /// The variable, if it is set and not empty.
    pub fn get(&self, name: &str) -> Option<String> {
        let value = match self {
            Self::Process => std::env::var(name).ok(),
            Self::Table(table) => table.get(name).cloned(),
        };
        value
            .map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty())
    }

    /// The first of these that is set.
    pub fn first(&self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| self.get(name))
    }

    /// The file that `variable` names, else `default` in the home directory.
    pub fn file(&self, variable: &str, default: &str) -> Option<PathBuf> {
        match self.get(variable) {
            Some(path) => Some(path.into()),
            None => Some(PathBuf::from(self.get("HOME")?).join(default)),
        }
    }
}
