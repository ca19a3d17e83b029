//! What a check sees of its owner's environment: a short list, never a secret.
//!
//! The lists are in `environment.toml`. It reads nothing of the process; it is given the variables.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lists {
    pass: Vec<String>,
    secret: Vec<String>,
    homes: BTreeMap<String, String>,
    set: BTreeMap<String, String>,
}

// The file is part of the program; a test reads it.
static LISTS: LazyLock<Lists> = LazyLock::new(|| {
    toml::from_str(include_str!("environment.toml")).expect("the built-in environment.toml is valid")
});

/// Folders that stand in for those of the owner.
#[derive(Debug, Clone, Copy)]
pub struct Folders<'a> {
    /// Kept between the checks of one repository.
    pub cache: &'a Path,
    /// The same for what is checked alone.
    pub build: &'a Path,
    /// Emptied after each check.
    pub temp: &'a Path,
    /// The check's HOME, empty at its start.
    pub home: &'a Path,
    /// What is checked: the copy or the tree.
    pub checked: &'a Path,
}

/// Whether a variable of this name holds a secret, as far as names tell.
pub fn is_secret(name: &str) -> bool {
    let upper = name.to_uppercase();
    LISTS.secret.iter().any(|part| upper.contains(part))
}

/// The variables of a check, by name. `own` are the owner's, `asked` the names that the check asks
/// for; secrets are left out whoever asks.
pub fn visible(
    own: &BTreeMap<String, String>,
    asked: &[String],
    folders: Folders<'_>,
) -> BTreeMap<String, String> {
    let mut seen = BTreeMap::new();
    let named = LISTS.pass.iter().chain(LISTS.homes.keys());
    for name in named {
        if let Some(value) = own.get(name) {
            seen.insert(name.clone(), value.clone());
        }
    }
    if let Some(home) = own.get("HOME").map(Path::new) {
        for (name, place) in &LISTS.homes {
            let folder = home.join(place);
            if !seen.contains_key(name) && folder.is_dir() {
                seen.insert(name.clone(), folder.display().to_string());
            }
        }
    }
    for (name, value) in &LISTS.set {
        seen.insert(name.clone(), fill(value, folders));
    }
    for name in asked.iter().filter(|name| !is_secret(name)) {
        if let Some(value) = own.get(name) {
            seen.insert(name.clone(), value.clone());
        }
    }
    seen
}

fn fill(value: &str, folders: Folders<'_>) -> String {
    let text = |path: &Path| path.display().to_string();
    value
        .replace("{cache}", &text(folders.cache))
        .replace("{build}", &text(folders.build))
        .replace("{temp}", &text(folders.temp))
        .replace("{home}", &text(folders.home))
        .replace("{folder}", &text(folders.checked))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(own: &[(&str, &str)], asked: &[&str]) -> BTreeMap<String, String> {
        let own = own.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let asked: Vec<String> = asked.iter().map(|name| name.to_string()).collect();
        let folders = Folders {
            cache: Path::new("/cache"),
            build: Path::new("/build"),
            temp: Path::new("/temp"),
            home: Path::new("/empty"),
            checked: Path::new("/copy"),
        };
        visible(&own, &asked, folders)
    }

    #[test]
    fn secrets_stay_outside_whoever_asks() {
        let own = [
            ("PATH", "/bin"),
            ("OPENAI_API_KEY", "sk-1"),
            ("GITHUB_TOKEN", "ghp"),
            ("SSH_AUTH_SOCK", "/run/agent"),
            ("COUNTERSIGN_DATA_DIR", "/data"),
            ("DATABASE_URL", "postgres://localhost"),
        ];
        let all: Vec<&str> = own.iter().map(|(name, _)| *name).collect();
        let plain = seen(&own, &[]);
        assert_eq!(plain["PATH"], "/bin");
        assert!(all[1..].iter().all(|name| !plain.contains_key(*name)), "{plain:?}");
        let asked = seen(&own, &["DATABASE_URL", "OPENAI_API_KEY", "GITHUB_TOKEN", "SSH_AUTH_SOCK"]);
        assert_eq!(asked["DATABASE_URL"], "postgres://localhost");
        assert!(["OPENAI_API_KEY", "GITHUB_TOKEN", "SSH_AUTH_SOCK"].iter().all(|n| !asked.contains_key(*n)));
    }

    #[test]
    fn a_check_lives_in_folders_of_its_own() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".cargo")).unwrap();
        let own = home.path().display().to_string();
        let plain =
            seen(&[("HOME", &own), ("CARGO_TARGET_DIR", "/mine"), ("RUSTUP_HOME", "/opt/rustup")], &[]);
        assert_eq!(plain["HOME"], "/empty");
        assert_eq!(plain["CARGO_HOME"], format!("{own}/.cargo"));
        assert_eq!(plain["RUSTUP_HOME"], "/opt/rustup");
        assert_eq!(plain["CARGO_TARGET_DIR"], "/build/target");
        assert_eq!(plain["PYTHONPATH"], "/copy:/copy/src");
        assert!(!plain.contains_key("GOPATH"), "a folder that is not there is not named");
    }
}
