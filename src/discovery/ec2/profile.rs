//! The files that the tools for AWS share: `~/.aws/credentials` and `~/.aws/config`.
//! <https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html>

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use super::environment::Environment;

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
        let name = given.unwrap_or_else(|| "default".into());
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

    /// Whether no file has it.
    pub fn is_empty(&self) -> bool {
        self.settings.is_empty()
    }
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
        assert!(missing.is_empty());
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join(".aws/credentials")).unwrap();
        let error = Profile::read(&environment(dir.path(), None)).err().unwrap();
        assert!(error.contains(".aws/credentials cannot be read"), "{error}");
    }
}
