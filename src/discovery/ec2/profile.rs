//! The files that the tools for AWS share: `~/.aws/credentials` and `~/.aws/config`.
//! <https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html>

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::path::Path;

use super::credentials::Credentials;
use super::environment::Environment;
use super::sts::Role;
use crate::secret::Secret;

/// The most that is read of a file.
const MOST: u64 = 1 << 20;

/// The settings of one profile, from both files.
///
/// It has no `Debug`: keys are in it.
pub(super) struct Profile {
    /// Its name.
    pub name: String,
    /// Whether the user named it, by `AWS_PROFILE`.
    pub named: bool,
    settings: HashMap<String, String>,
}

impl Profile {
    /// Reads the profile that `AWS_PROFILE` names, or `default`; empty if no file has it.
    ///
    /// # Errors
    /// A sentence for the user if a file is there and cannot be read.
    pub fn read(environment: &Environment) -> Result<Self, String> {
        let given = environment.get("AWS_PROFILE");
        let named = given.is_some();
        Self::of(
            environment,
            given.unwrap_or_else(|| "default".into()),
            named,
        )
    }

    /// Reads this profile. `named`: the user named it.
    fn of(environment: &Environment, name: String, named: bool) -> Result<Self, String> {
        let mut settings = HashMap::new();
        // What the credentials file says goes over what the other says.
        for (variable, default, prefix) in [
            ("AWS_CONFIG_FILE", ".aws/config", "profile "),
            ("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials", ""),
        ] {
            let Some(path) = environment.file(variable, default) else {
                continue;
            };
            let Some(text) = read(&path)? else { continue };
            let sections = [format!("{prefix}{name}"), name.clone()];
            // `[name]` in the configuration file is a profile only if it is `default`.
            let sections = match name == "default" || prefix.is_empty() {
                true => &sections[..],
                false => &sections[..1],
            };
            settings.extend(section(&text, sections));
        }
        Ok(Self {
            name,
            named,
            settings,
        })
    }

    /// A setting, if it is there and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.settings
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    fn keys(&self) -> Option<Credentials> {
        Some(Credentials {
            key_id: self.get("aws_access_key_id")?.to_owned(),
            secret: Secret::new(self.get("aws_secret_access_key")?),
            token: self.get("aws_session_token").map(Secret::new),
            expires: None,
            source: format!("the profile {}", self.name),
        })
    }

    /// What is said where keys are needed.
    fn without_keys(&self, is_source: bool) -> String {
        let name = &self.name;
        let whose = match is_source {
            true => "a source_profile names",
            false => "AWS_PROFILE names",
        };
        if self.settings.is_empty() {
            return format!(
                "no file has the profile {name}, which {whose}: see ~/.aws/credentials and ~/.aws/config"
            );
        }
        format!(
            "the profile {name}, which {whose}, has no aws_access_key_id and aws_secret_access_key, and no role_arn; single \
             sign-on and credential processes are not supported: put what `aws configure export-credentials --format env` \
             prints into the environment"
        )
    }
}

/// How credentials come of a profile: with those of `base` each of the roles is assumed, one after the other.
pub(super) struct Plan {
    pub base: Base,
    pub roles: Vec<Role>,
}

/// Where the first credentials are.
pub(super) enum Base {
    /// In a profile.
    Keys(Credentials),
    /// With STS, for the token in this file.
    WebIdentity(Role, String),
    /// `credential_source = Environment`
    Environment,
    /// `credential_source = EcsContainer`
    Container,
    /// `credential_source = Ec2InstanceMetadata`
    Instance,
}

/// The credentials of the profile. `None` if the profile has none and was not named by the user.
/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-assume-role-credentials.html>
///
/// # Errors
/// A sentence for the user.
pub(super) fn plan(environment: &Environment) -> Result<Option<Plan>, String> {
    let mut profile = Profile::read(environment)?;
    let mut roles = Vec::new();
    let mut seen = HashSet::new();
    let base = loop {
        let name = profile.name.clone();
        if !seen.insert(name.clone()) {
            return Err(format!(
                "the profile {name} is its own source_profile, by way of others"
            ));
        }
        let Some(arn) = profile.get("role_arn") else {
            match profile.keys() {
                Some(keys) => break Base::Keys(keys),
                None if !profile.named && roles.is_empty() => return Ok(None),
                None => return Err(profile.without_keys(!roles.is_empty())),
            }
        };
        if profile.get("mfa_serial").is_some() {
            return Err(format!(
                "the profile {name} wants a code of mfa_serial, which only a person has: use a role without it"
            ));
        }
        let mut role = Role::new(arn, profile.get("role_session_name").map(str::to_owned));
        role.external_id = profile.get("external_id").map(Secret::new);
        role.duration = profile.get("duration_seconds").map(str::to_owned);
        if let Some(file) = profile.get("web_identity_token_file") {
            break Base::WebIdentity(role, file.to_owned());
        }
        roles.push(role);
        match (
            profile.get("source_profile"),
            profile.get("credential_source"),
        ) {
            (Some(source), _) if source == name => match profile.keys() {
                Some(keys) => break Base::Keys(keys),
                None => return Err(profile.without_keys(true)),
            },
            (Some(source), _) => {
                let source = source.to_owned();
                profile = Profile::of(environment, source, true)?;
            }
            (None, Some("Environment")) => break Base::Environment,
            (None, Some("EcsContainer")) => break Base::Container,
            (None, Some("Ec2InstanceMetadata")) => break Base::Instance,
            (None, Some(other)) => {
                return Err(format!(
                    "the profile {name}: credential_source takes Environment, EcsContainer or Ec2InstanceMetadata; got \
                     {other:?}"
                ));
            }
            (None, None) => {
                return Err(format!(
                    "the profile {name} has a role_arn and says not by what it is assumed: give source_profile, \
                     credential_source or web_identity_token_file"
                ));
            }
        }
    };
    roles.reverse();
    Ok(Some(Plan { base, roles }))
}

fn read(path: &Path) -> Result<Option<String>, String> {
    let refused = |why: std::io::Error| format!("{} cannot be read: {why}", path.display());
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(why) => return Err(refused(why)),
    };
    let mut text = String::new();
    file.take(MOST).read_to_string(&mut text).map_err(refused)?;
    Ok(Some(text))
}

/// The settings under one of these headings.
fn section(text: &str, headings: &[String]) -> HashMap<String, String> {
    let mut inside = false;
    let mut settings = HashMap::new();
    for line in text.lines() {
        // A line that is set in belongs to a setting with parts, of which none is needed here.
        if line.starts_with([' ', '\t', '#', ';']) {
            continue;
        }
        if let Some(rest) = line.strip_prefix('[') {
            let heading = rest.split(']').next().unwrap_or_default();
            let heading = heading.split_whitespace().collect::<Vec<_>>().join(" ");
            inside = headings.contains(&heading);
        } else if inside && let Some((name, value)) = line.split_once('=') {
            let comment = [" #", " ;", "\t#", "\t;"]
                .iter()
                .filter_map(|mark| value.find(mark))
                .min();
            let value = &value[..comment.unwrap_or(value.len())];
            settings.insert(name.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(dir: &Path, profile: Option<&str>) -> Environment {
        let mut table = HashMap::from([("HOME".to_owned(), dir.display().to_string())]);
        table.extend(profile.map(|name| ("AWS_PROFILE".to_owned(), name.to_owned())));
        Environment::Table(table)
    }

    #[test]
    fn a_profile_is_read_from_both_files() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(".aws")).unwrap();
        let config = "\
            [default]\nregion = eu-west-1 # near\n\
            [profile  shop]\nregion=eu-central-1\ns3 =\n  region = nowhere\naws_access_key_id = old\n\
            [shop]\nregion = not-a-profile\n";
        let keys = "; keys\n[shop]\nAWS_ACCESS_KEY_ID = new\naws_secret_access_key=a=b#c\n\n[other]\naws_access_key_id = x\n";
        std::fs::write(dir.path().join(".aws/config"), config).unwrap();
        std::fs::write(dir.path().join(".aws/credentials"), keys).unwrap();

        let shop = Profile::read(&environment(dir.path(), Some("shop"))).unwrap();
        assert!(shop.named);
        assert_eq!(shop.get("region"), Some("eu-central-1"));
        assert_eq!(shop.get("aws_access_key_id"), Some("new"));
        assert_eq!(shop.get("aws_secret_access_key"), Some("a=b#c"));
        assert_eq!(shop.get("s3"), None);

        let default = Profile::read(&environment(dir.path(), None)).unwrap();
        assert_eq!(default.get("region"), Some("eu-west-1"));
        assert_eq!(default.get("aws_access_key_id"), None);

        let missing = Profile::read(&environment(dir.path(), Some("none"))).unwrap();
        assert!(missing.settings.is_empty());
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join(".aws/credentials")).unwrap();
        let error = Profile::read(&environment(dir.path(), None)).err().unwrap();
        assert!(error.contains(".aws/credentials cannot be read"), "{error}");
    }
}
