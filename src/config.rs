//! Flags, environment and the user's file, resolved to one [`Config`].
//!
//! The only reader of the environment. It starts nothing. A flag wins over an environment variable,
//! that over the file, that over the default. Nothing here is ever read from the repository.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail, ensure};
use serde::Deserialize;

use crate::check::declare::Declared;
use crate::check::run::{Limits, Variables};
use crate::check::{Check, Runner, Source};
use crate::cli::{GlobalFlags, ProviderName, RequestFlags, ServerFlags};
use crate::disk::{self, RepositoryData};
use crate::provider::preset::{self, Preset};
use crate::rules::{self, Authority, Mode, Rules, Written};
use crate::turn::Tries;
use crate::weights::{self, Manifest, Store, Weights};

/// Evidence tokens of a request unless set otherwise: beyond it, small models lose more by length
/// than they gain by content.
const DEFAULT_EVIDENCE_TOKENS: u32 = 4000;

/// The variable by which a detached run learns which job it is.
pub const JOB: &str = "COUNTERSIGN_JOB";

/// Everything that commands need to know, resolved.
#[derive(Debug, Clone)]
pub struct Config {
    /// Canonical path of the repository.
    pub root: PathBuf,
    /// Our own files about that repository.
    pub data: RepositoryData,
    /// Folder with the user's own `roles/` and `prompts/`, if it exists.
    pub config_dir: PathBuf,
    pub model: ModelChoice,
    /// The mode, and the owner's rules. A repository's own are added where it is worked on.
    pub authority: Authority,
    /// Folder with what was measured about models.
    pub measurements: PathBuf,
    /// Tokens of evidence in a pack.
    pub evidence_tokens: u32,
    /// How much time is spent on quality.
    pub tries: Tries,
    /// The owner's editor and its arguments, `VISUAL` or `EDITOR`; empty when neither is set.
    pub editor: Vec<String>,
    /// The job that this process runs, if it was started by `run --detach`.
    pub job: Option<String>,
    /// Colours for people: stderr is a terminal and `NO_COLOR` is not set.
    pub color: bool,
    /// Checks that the owner declared, for every repository.
    pub checks: Vec<Check>,
    /// What runs checks of this repository.
    pub runner: Runner,
    /// What the variables of the clouds' own tools say, for pulling an archive.
    pub cloud: CloudSettings,
}

/// Names in lower case, and values that do not show in logs.
#[derive(Clone, Default)]
pub struct CloudSettings(pub Vec<(String, String)>);

impl std::fmt::Debug for CloudSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// Which model to use. What is `None` is found out from what runs on this machine.
#[derive(Debug, Clone, Default)]
pub struct ModelChoice {
    pub provider: Option<ProviderName>,
    pub url: Option<String>,
    pub model: Option<String>,
    pub api_key: Option<ApiKey>,
    pub window: Option<u32>,
    pub script: Option<PathBuf>,
    /// Where to write the answers to.
    pub record: Option<PathBuf>,
    /// A hosted service, instead of a server's kind and address.
    pub preset: Option<Preset>,
    pub for_roles: RoleModels,
    /// Ollama's own variable for the type of its cache, `OLLAMA_KV_CACHE_TYPE`.
    pub cache_type: Option<String>,
    /// Where Ollama listens, from `OLLAMA_HOST`.
    pub ollama_host: Option<String>,
    /// Model files of our own.
    pub weights: Weights,
}

/// Other models for single roles; `None` is the model of all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoleModels {
    pub architect: Option<String>,
    pub explorer: Option<String>,
    pub coder: Option<String>,
}

/// A key that does not show in logs.
#[derive(Clone)]
pub struct ApiKey(pub String);

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

/// `config.toml` in the configuration folder.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    provider: Option<ProviderName>,
    url: Option<String>,
    model: Option<String>,
    api_key_env: Option<String>,
    window: Option<u32>,
    /// That compute a model in this process.
    threads: Option<usize>,
    preset: Option<String>,
    architect_model: Option<String>,
    explorer_model: Option<String>,
    coder_model: Option<String>,
    evidence_tokens: Option<u32>,
    mode: Option<Mode>,
    #[serde(default)]
    rules: Vec<Written>,
    candidates: Option<u32>,
    repairs: Option<u32>,
    #[serde(default)]
    checks: Vec<Declared>,
}

/// The variables that are read, in one place so that tests need not touch the process.
#[derive(Debug, Default)]
pub struct Environment {
    variables: std::collections::HashMap<String, String>,
    pub stderr_is_terminal: bool,
}

impl Environment {
    /// The environment of this process.
    pub fn of_process() -> Environment {
        Environment {
            variables: std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
            stderr_is_terminal: std::io::IsTerminal::is_terminal(&std::io::stderr()),
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn cloud(&self) -> CloudSettings {
        let is_cloud =
            |name: &str| ["AWS_", "GOOGLE_", "AZURE_"].iter().any(|prefix| name.starts_with(prefix));
        let settings = self.variables.iter().filter(|(name, value)| is_cloud(name) && !value.is_empty());
        let mut settings: Vec<_> =
            settings.map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
        settings.sort();
        CloudSettings(settings)
    }

    fn folder(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from)
    }
}

impl Config {
    /// The same with the mode of a flag, if there is one.
    pub fn in_mode(mut self, mode: Option<Mode>) -> Config {
        self.authority.mode = mode.unwrap_or(self.authority.mode);
        self
    }

    /// How far to go without asking here: the owner's word, with what the repository tightens.
    pub fn tightened(&self) -> Authority {
        let rules = self.authority.rules.clone().tightened(rules::disk::repository(&self.root));
        Authority { mode: self.authority.mode, rules }
    }

    /// The same for another repository, with its own folder for our files.
    ///
    /// # Errors
    /// When our folder for it cannot be made.
    pub fn elsewhere(&self, root: &Path, data_dir: &Path) -> anyhow::Result<Config> {
        let data = RepositoryData::open(data_dir, root)?;
        let paces = Default::default();
        let mut runner =
            Runner { root: root.to_owned(), folder: data.checks(), paces, ..self.runner.clone() };
        runner.hidden.push(data_dir.to_owned());
        Ok(Config { root: root.to_owned(), data, runner, job: None, ..self.clone() })
    }

    /// Resolves the configuration for one command. Without `flags` the command uses no model, and
    /// what is set up for one, such as the variable of a key, need not be there.
    ///
    /// # Errors
    /// A root that is not a folder, an unreadable or mistaken `config.toml`, flags that contradict
    /// each other. All are mistakes of use: exit code 2.
    pub fn resolve(
        global: &GlobalFlags,
        flags: Option<&RequestFlags>,
        environment: &Environment,
    ) -> anyhow::Result<Config> {
        let root = global.root.clone().unwrap_or_else(|| PathBuf::from("."));
        let root = root
            .canonicalize()
            .with_context(|| format!("cannot find the folder {}; choose one with --root", root.display()))?;
        ensure!(root.is_dir(), "{} is not a folder; choose one with --root", root.display());
        let places = directories::ProjectDirs::from("", "", "countersign");
        let data_dir = global
            .data_dir
            .clone()
            .or_else(|| environment.folder("COUNTERSIGN_DATA_DIR"))
            .or_else(|| places.as_ref().map(|places| places.data_local_dir().to_owned()))
            .context("this machine has no home folder; say where to keep data with --data-dir")?;
        let config_dir = environment
            .folder("COUNTERSIGN_CONFIG_DIR")
            .or_else(|| places.as_ref().map(|places| places.config_dir().to_owned()))
            .unwrap_or_else(|| data_dir.clone());
        let data_dir = absolute_outside(&data_dir, &root)?;
        let path = config_dir.join("config.toml");
        let mut file = read_file(&path)?;
        let own = rules::written::owner(std::mem::take(&mut file.rules));
        let own = own.map_err(|problem| anyhow!("in {}: {problem}", path.display()))?;
        let mode = file.mode.unwrap_or_default();
        let color = environment.stderr_is_terminal && environment.get("NO_COLOR").is_none();
        let evidence_tokens = file.evidence_tokens.unwrap_or(DEFAULT_EVIDENCE_TOKENS);
        ensure!(evidence_tokens >= 100, "evidence_tokens must be at least 100");
        let usual = Tries::default();
        let tries = Tries {
            candidates: file.candidates.unwrap_or(usual.candidates),
            repairs: file.repairs.unwrap_or(usual.repairs),
        };
        ensure!((1..=16).contains(&tries.candidates), "candidates must be between 1 and 16");
        ensure!(tries.repairs <= 8, "repairs must be at most 8");
        let editor = environment.get("VISUAL").or_else(|| environment.get("EDITOR")).unwrap_or_default();
        let editor = shlex::split(editor).context("VISUAL or EDITOR has an open quote")?;
        let checks = file.checks.iter().map(|declared| declared.check(Source::Configuration));
        let checks = checks.collect::<anyhow::Result<_>>().context("in config.toml")?;
        let data = RepositoryData::open(&data_dir, &root)?;
        let runner = Runner {
            program: std::env::current_exe().context("cannot find this program itself")?,
            root: root.clone(),
            folder: data.checks(),
            hidden: vec![data_dir.clone(), config_dir.clone()],
            variables: Variables(environment.variables.clone().into_iter().collect()),
            limits: Limits::of_machine(),
            paces: Default::default(),
            #[cfg(unix)]
            tried: Default::default(),
        };
        Ok(Config {
            data,
            measurements: data_dir.join("models"),
            root,
            model: match flags {
                Some(flags) => {
                    let weights = weights(&data_dir, &config_dir, file.threads, environment)?;
                    model_choice(flags, file, &config_dir, environment, weights)?
                }
                None => ModelChoice::default(),
            },
            config_dir,
            authority: Authority { mode, rules: Rules::of_owner(own) },
            evidence_tokens,
            tries,
            editor,
            job: environment.get(JOB).map(str::to_owned),
            color,
            checks,
            runner,
            cloud: environment.cloud(),
        })
    }

    /// A folder of the user's configuration, if it exists.
    pub fn own(&self, name: &str) -> Option<PathBuf> {
        Some(self.config_dir.join(name)).filter(|folder| folder.is_dir())
    }
}

/// The text of a `config.toml` with another model in it; everything else stays as it is written.
///
/// # Errors
/// A file that is not valid before, or would not be after.
pub fn set_model(text: &str, model: &str) -> anyhow::Result<String> {
    toml::from_str::<File>(text).context("config.toml is not valid")?;
    // A string of JSON is a string of TOML too.
    let line = format!("model = {}", serde_json::Value::from(model));
    let is_model = |line: &str| line.split_once('=').is_some_and(|(name, _)| name.trim() == "model");
    let after = match text.lines().any(is_model) {
        true => text
            .lines()
            .map(|old| if is_model(old) { line.as_str() } else { old })
            .collect::<Vec<_>>()
            .join("\n"),
        // Before everything else: what follows a table's head belongs to the table.
        false => format!("{line}\n{text}").trim_end().to_owned(),
    } + "\n";
    let read: File = toml::from_str(&after).context("config.toml would not be valid any more")?;
    ensure!(
        read.model.as_deref() == Some(model),
        "config.toml has a form in which the model cannot be replaced"
    );
    Ok(after)
}

/// Our data must not lie in the repository: it would be indexed, and a repository could bring it.
fn absolute_outside(data_dir: &Path, root: &Path) -> anyhow::Result<PathBuf> {
    disk::private_folder(data_dir)?;
    let data_dir = data_dir.canonicalize().with_context(|| format!("cannot find {}", data_dir.display()))?;
    ensure!(
        !data_dir.starts_with(root),
        "the data directory {} lies inside the repository {}; choose another with --data-dir",
        data_dir.display(),
        root.display()
    );
    Ok(data_dir)
}

fn read_file(path: &Path) -> anyhow::Result<File> {
    match std::fs::read_to_string(path) {
        Ok(text) => toml::from_str(&text).with_context(|| format!("in {}", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(File::default()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// The hosted service that is asked for: by flag, or by the file unless a flag names another server.
fn preset(flags: &RequestFlags, file: &File, config_dir: &Path) -> anyhow::Result<Option<Preset>> {
    let ServerFlags { provider, url, preset, .. } = &flags.all.server;
    let elsewhere = provider.is_some() || url.is_some() || flags.all.script.is_some();
    let Some(name) = preset.as_ref().or(file.preset.as_ref().filter(|_| !elsewhere)) else {
        return Ok(None);
    };
    let path = config_dir.join("presets.toml");
    let own = optional(&path)?;
    let mut all = preset::all(own.as_deref()).with_context(|| format!("in {}", path.display()))?;
    match all.remove(name) {
        Some(preset) => Ok(Some(preset)),
        None => {
            let known: Vec<&str> = all.keys().map(String::as_str).collect();
            bail!("there is no preset {name:?}; known are {}", known.join(", "))
        }
    }
}

fn model_choice(
    flags: &RequestFlags,
    file: File,
    config_dir: &Path,
    environment: &Environment,
    weights: Weights,
) -> anyhow::Result<ModelChoice> {
    let preset = preset(flags, &file, config_dir)?;
    let (all, server) = (&flags.all, &flags.all.server);
    let provider = match (server.provider, &all.script) {
        (None, Some(_)) => Some(ProviderName::Scripted),
        (Some(ProviderName::Scripted), None) => bail!("--provider scripted needs --script FILE"),
        (
            Some(
                ProviderName::Ollama
                | ProviderName::Openai
                | ProviderName::Anthropic
                | ProviderName::Embedded,
            ),
            Some(_),
        ) => {
            bail!("--script goes with --provider scripted only")
        }
        (named, _) => named.or(file.provider),
    };
    ensure!(
        provider != Some(ProviderName::Embedded) || server.url.is_none(),
        "--provider embedded runs in this process and has no --url"
    );
    ensure!(
        provider != Some(ProviderName::Scripted) || all.script.is_some(),
        "the provider \"scripted\" needs --script FILE"
    );
    let named = server.api_key_env.as_deref().or(file.api_key_env.as_deref());
    let key_name = named.or(preset.as_ref().and_then(|preset| preset.key_env.as_deref()));
    // A model in this process needs neither the address nor the key of a server.
    let embedded = provider == Some(ProviderName::Embedded);
    let api_key = match key_name.filter(|_| !embedded) {
        None => None,
        Some(name) => Some(ApiKey(
            environment
                .get(name)
                .with_context(|| format!("the variable {name}, which should hold the API key, is not set"))?
                .to_owned(),
        )),
    };
    let window = all.window.or(file.window);
    ensure!(
        window.is_none_or(|window| window >= 1024),
        "a window of fewer than 1,024 tokens is too small to work with"
    );
    Ok(ModelChoice {
        provider,
        url: server.url.clone().or(file.url.filter(|_| server.preset.is_none() && !embedded)),
        model: all.model.clone().or(file.model),
        api_key,
        window,
        script: all.script.clone(),
        record: flags.record.clone(),
        preset,
        for_roles: RoleModels {
            architect: flags.architect_model.clone().or(file.architect_model),
            explorer: flags.explorer_model.clone().or(file.explorer_model),
            coder: flags.coder_model.clone().or(file.coder_model),
        },
        cache_type: environment.get("OLLAMA_KV_CACHE_TYPE").map(str::to_owned),
        ollama_host: environment.get("OLLAMA_HOST").map(str::to_owned),
        weights,
    })
}

/// Model files of our own, shared by all repositories.
fn weights(
    data_dir: &Path,
    config_dir: &Path,
    threads: Option<usize>,
    environment: &Environment,
) -> anyhow::Result<Weights> {
    let path = config_dir.join("models.toml");
    let own = optional(&path)?;
    ensure!(threads.is_none_or(|threads| (1..=512).contains(&threads)), "threads must be between 1 and 512");
    Ok(Weights {
        manifest: Manifest::load(own.as_deref()).with_context(|| format!("in {}", path.display()))?,
        store: Store::in_folder(&data_dir.join("weights")),
        hub: environment.get("HF_ENDPOINT").unwrap_or(weights::fetch::HUB).to_owned(),
        threads,
    })
}

/// The text of a file that need not be there.
fn optional(path: &Path) -> anyhow::Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::ModelFlags;

    fn resolve(
        file: &str,
        flags: impl Into<RequestFlags>,
        variables: &[(&str, &str)],
    ) -> anyhow::Result<Config> {
        let folder = tempfile::tempdir()?;
        let root = folder.path().join("root");
        let config = folder.path().join("config");
        std::fs::create_dir_all(&root)?;
        std::fs::create_dir_all(&config)?;
        std::fs::write(config.join("config.toml"), file)?;
        let mut environment = Environment::default();
        for (name, value) in variables {
            environment.variables.insert((*name).into(), (*value).into());
        }
        environment.variables.insert("COUNTERSIGN_CONFIG_DIR".into(), config.display().to_string());
        let global = GlobalFlags { root: Some(root), data_dir: Some(folder.path().join("data")) };
        Config::resolve(&global, Some(&flags.into()), &environment)
    }

    fn fails(file: &str, flags: impl Into<RequestFlags>, expected: &str) {
        let error = format!("{:#}", resolve(file, flags, &[]).unwrap_err());
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn a_flag_wins_over_the_file() {
        let flags = ModelFlags { model: Some("flag".into()), ..ModelFlags::default() };
        let config = resolve("model = \"file\"\nwindow = 4096", flags, &[]).unwrap();
        assert_eq!(config.model.model.as_deref(), Some("flag"));
        assert_eq!(config.model.window, Some(4096));
    }

    #[test]
    fn a_key_is_read_by_name_and_never_shown() {
        let config =
            resolve("api_key_env = \"KEY\"", ModelFlags::default(), &[("KEY", "sk-secret")]).unwrap();
        assert_eq!(config.model.api_key.as_ref().unwrap().0, "sk-secret");
        assert!(!format!("{config:?}").contains("sk-secret"));
        fails("api_key_env = \"KEY\"", ModelFlags::default(), "KEY");
    }

    #[test]
    fn another_model_leaves_the_rest_of_the_file_alone() {
        assert_eq!(set_model("", "a:7b").unwrap(), "model = \"a:7b\"\n");
        let file = "# mine\nwindow = 4096\nmodel = 'old' # why\n";
        assert_eq!(set_model(file, "n\"ew").unwrap(), "# mine\nwindow = 4096\nmodel = \"n\\\"ew\"\n");
        assert!(set_model("modle = 1", "a").is_err());
        let strange = "model = \"\"\"\nold\"\"\"\n";
        assert!(set_model(strange, "a").is_err(), "a form that lines do not show");
    }

    #[test]
    fn a_preset_brings_its_key_and_an_unknown_one_is_named() {
        let preset = |name: &str| ServerFlags { preset: Some(name.into()), ..ServerFlags::default() };
        let config = resolve("", preset("mistral"), &[("MISTRAL_API_KEY", "k")]).unwrap();
        assert_eq!(config.model.api_key.as_ref().unwrap().0, "k");
        assert_eq!(config.model.preset.unwrap().name, "Mistral");
        fails("", preset("mistral"), "MISTRAL_API_KEY");
        fails("", preset("nowhere"), "known are anthropic, deepseek");
        // A server that is named on the command line wins over the file's preset.
        let url = ServerFlags { url: Some("http://127.0.0.1:1".into()), ..ServerFlags::default() };
        assert!(resolve("preset = \"groq\"", url, &[]).unwrap().model.preset.is_none());
    }

    #[test]
    fn mistakes_are_named() {
        fails("modle = \"x\"", ModelFlags::default(), "unknown field `modle`");
        fails("window = 100", ModelFlags::default(), "too small");
        fails("mode = \"yolo\"", ModelFlags::default(), "unknown variant `yolo`");
        fails("[[rules]]\nverdict = \"allow\"", ModelFlags::default(), "rule 1: it has neither");
        let shell = "[[rules]]\nverdict = \"allow\"\nrun = \"git status && x\"";
        fails(shell, ModelFlags::default(), "not a line for a shell");
        let scripted = ServerFlags { provider: Some(ProviderName::Scripted), ..ServerFlags::default() };
        fails("", scripted, "--script FILE");
        let embedded = ServerFlags {
            provider: Some(ProviderName::Embedded),
            url: Some("http://127.0.0.1:1".into()),
            ..ServerFlags::default()
        };
        fails("", embedded, "has no --url");
        fails("threads = 0", ModelFlags::default(), "threads must be");
    }

    #[test]
    fn data_never_lies_in_the_repository() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let global = GlobalFlags { root: Some(root.clone()), data_dir: Some(root.join(".data")) };
        let error = Config::resolve(&global, None, &Environment::default()).unwrap_err();
        assert!(error.to_string().contains("inside the repository"), "{error}");
    }
}
