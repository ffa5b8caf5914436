//! Configuration: `bonded.toml` and the environment, read once, at the start.
//!
//! Every environment variable that bonded knows is in [`VARIABLES`]; nothing else in the workspace
//! reads the environment. The file is typed as written, then resolved; unknown keys are refused with
//! the nearest known one. Relative paths in the file are relative to the file.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use bonded_model::{Project, toml_text};
use bonded_store::disk;
use serde::{Deserialize, Serialize};

use crate::error::CliError;
use crate::report;
use crate::roots::GivenRoot;

/// Seconds that a second writer waits, where nothing else is said.
pub(crate) const WAIT_SECONDS: u64 = 30;
/// Where `serve` listens, where nothing else is said.
pub(crate) const LISTEN: &str = "127.0.0.1:8080";
/// The configuration file looked for in the working directory.
pub(crate) const CONFIG_FILE: &str = "bonded.toml";
/// A configuration is hand-written; a larger file is a mistake.
const CONFIG_BYTES_MAX: u64 = 1024 * 1024;

/// Every environment variable that is read, with its meaning.
pub(crate) const VARIABLES: [(&str, &str); 11] = [
    ("BONDED_STORE", "the store's directory"),
    ("BONDED_CONFIG", "the configuration file"),
    ("BONDED_STATE", "the directory of what is kept for the user, outside of stores"),
    ("XDG_STATE_HOME", "where `bonded` is that directory, if BONDED_STATE is not set"),
    ("HOME", "where `.local/state/bonded` is that directory, if neither is set"),
    ("AWS_ACCESS_KEY_ID", "credentials for s3:// destinations"),
    ("AWS_SECRET_ACCESS_KEY", "credentials for s3:// destinations"),
    ("AWS_SESSION_TOKEN", "credentials for s3:// destinations"),
    ("AWS_REGION", "region of s3:// destinations without one of their own"),
    ("AWS_ENDPOINT_URL", "endpoint of s3:// destinations without one of their own"),
    ("AWS_ALLOW_HTTP", "`true` lets AWS_ENDPOINT_URL be http://"),
];

/// Those that other programs have set for reasons of their own.
const OPTIONAL: [&str; 2] = ["XDG_STATE_HOME", "HOME"];

/// The program's own file.
pub(crate) fn own_program() -> Result<PathBuf, CliError> {
    std::env::current_exe().map_err(|source| {
        CliError::environment("cannot find this program's own file").because(source)
    })
}

/// A path made absolute from the working directory, without looking at what stands there.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, CliError> {
    std::path::absolute(path).map_err(|source| {
        CliError::environment(format!("cannot make {} absolute", path.display())).because(source)
    })
}

/// The file as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    store: Option<PathBuf>,
    wait_seconds: Option<u64>,
    trusted_root: Option<PathBuf>,
    trusted_roots: Option<Vec<String>>,
    #[serde(default)]
    ingest: WrittenIngest,
    #[serde(default)]
    serve: WrittenServe,
    #[serde(default)]
    projects: BTreeMap<Project, WrittenProject>,
    #[serde(default)]
    destinations: BTreeMap<String, WrittenDestination>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenServe {
    listen: Option<SocketAddr>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenIngest {
    sha512: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenProject {
    policy: PathBuf,
}

/// One `[destinations.NAME]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct WrittenDestination {
    url: String,
    endpoint: Option<String>,
    region: Option<String>,
    path_style: Option<bool>,
    allow_http: Option<bool>,
    #[serde(default = "yes")]
    required: bool,
}

impl WrittenDestination {
    /// Its settings as text, those that are not set left out.
    fn settings(&self) -> Vec<(&'static str, String)> {
        let optional = [
            ("endpoint", self.endpoint.clone()),
            ("region", self.region.clone()),
            ("path_style", self.path_style.map(|value| value.to_string())),
            ("allow_http", self.allow_http.map(|value| value.to_string())),
        ];
        let mut rows = vec![("url", self.url.clone())];
        rows.extend(optional.into_iter().filter_map(|(key, value)| Some((key, value?))));
        rows.push(("required", self.required.to_string()));
        rows
    }
}

fn yes() -> bool {
    true
}

/// A value and where it comes from.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Setting<T> {
    /// The value in force.
    pub(crate) value: T,
    /// `command line`, `BONDED_STORE`, the file's name, or `default`.
    pub(crate) origin: String,
}

/// The configuration in force.
#[derive(Debug)]
pub(crate) struct Config {
    /// The file, if one was read.
    pub(crate) file: Option<PathBuf>,
    /// The store's directory, if any says where.
    pub(crate) store: Option<Setting<PathBuf>>,
    /// Seconds that a second writer waits.
    pub(crate) wait_seconds: Setting<u64>,
    /// Whether `ingest` computes SHA-512 of every artifact.
    pub(crate) ingest_sha512: Setting<bool>,
    /// Where `serve` listens.
    pub(crate) listen: Setting<SocketAddr>,
    /// The trusted roots, if not the embedded one.
    pub(crate) trusted_roots: Option<Setting<Vec<GivenRoot>>>,
    /// Policy file of each project.
    pub(crate) policies: BTreeMap<Project, PathBuf>,
    /// Where something can be kept for the user, if anywhere.
    pub(crate) state: Option<PathBuf>,
    destinations: BTreeMap<String, WrittenDestination>,
    environment: Environment,
}

/// What the environment says, for the variables that are ours to read.
#[derive(Debug, Default)]
struct Environment(BTreeMap<&'static str, String>);

impl Environment {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the environment"
    )]
    fn read() -> Result<Self, CliError> {
        let mut found = BTreeMap::new();
        for (name, _) in VARIABLES {
            match std::env::var(name) {
                Ok(value) if !value.is_empty() => drop(found.insert(name, value)),
                Ok(_) | Err(std::env::VarError::NotPresent) => {}
                // Ours to use where they say something, and not ours to complain about.
                Err(std::env::VarError::NotUnicode(_)) if OPTIONAL.contains(&name) => {}
                // The cause would show the value, which may be a secret.
                Err(std::env::VarError::NotUnicode(_)) => {
                    return Err(CliError::usage(format!(
                        "environment variable {name} is not UTF-8"
                    )));
                }
            }
        }
        Ok(Self(found))
    }

    fn get(&self, name: &'static str) -> Option<String> {
        self.0.get(name).cloned()
    }

    /// A relative XDG_STATE_HOME or HOME counts as none (XDG Base Directory Specification).
    fn state(&self) -> Option<PathBuf> {
        let below = |name, path: &str| {
            let directory = PathBuf::from(self.get(name)?);
            directory.is_absolute().then(|| directory.join(path))
        };
        let own = self.get("BONDED_STATE").map(PathBuf::from);
        own.or_else(|| below("XDG_STATE_HOME", "bonded"))
            .or_else(|| below("HOME", ".local/state/bonded"))
    }
}

impl Config {
    /// Reads environment and file. `file` and `store` come from the command line.
    pub(crate) fn load(file: Option<&Path>, store: Option<&Path>) -> Result<Self, CliError> {
        let environment = Environment::read()?;
        let (path, written) = read_file(file, &environment)?;
        if written.trusted_roots.as_ref().is_some_and(Vec::is_empty) {
            return Err(CliError::usage("trusted_roots in bonded.toml is empty")
                .hint("leave it away to use the embedded public-good root"));
        }
        if written.trusted_root.is_some() && written.trusted_roots.is_some() {
            return Err(CliError::usage("bonded.toml has both trusted_root and trusted_roots")
                .hint("write the one into the list of the other"));
        }
        Ok(resolve(path, written, environment, store))
    }

    /// The store's directory.
    pub(crate) fn store(&self) -> Result<&Path, CliError> {
        self.store.as_ref().map(|setting| setting.value.as_path()).ok_or_else(|| {
            CliError::usage("no store is named").hint(
                "give --store DIR, set BONDED_STORE, or write store = \"DIR\" into bonded.toml",
            )
        })
    }

    /// The destination of that name, or of that URL with settings from the environment.
    pub(crate) fn destination(
        &self,
        name: &str,
    ) -> Result<bonded_mirror::DestinationConfig, CliError> {
        if let Some(written) = self.destinations.get(name) {
            return Ok(self.resolve_destination(name, written));
        }
        if name.contains("://") {
            let plain = WrittenDestination {
                url: name.to_owned(),
                endpoint: None,
                region: None,
                path_style: None,
                allow_http: None,
                required: true,
            };
            return Ok(self.resolve_destination(name, &plain));
        }
        let nearest = toml_text::nearest(name, self.destinations.keys().map(String::as_str));
        let error = CliError::usage(format!("no destination is called {name:?}"));
        Err(match nearest {
            Some(nearest) => error.hint(format!("did you mean {nearest}?")),
            None => error.hint(format!(
                "write [destinations.{name}] with a url into bonded.toml, or give a URL"
            )),
        })
    }

    /// Names of all configured destinations.
    pub(crate) fn destination_names(&self) -> Vec<String> {
        self.destinations.keys().cloned().collect()
    }

    fn resolve_destination(
        &self,
        name: &str,
        written: &WrittenDestination,
    ) -> bonded_mirror::DestinationConfig {
        let variable = |name| self.environment.get(name);
        let endpoint = written.endpoint.clone().or_else(|| variable("AWS_ENDPOINT_URL"));
        // The variable speaks of the endpoint that the environment names, and of no other.
        let from_environment = written.endpoint.is_none() && endpoint.is_some();
        let allowed = from_environment && variable("AWS_ALLOW_HTTP").as_deref() == Some("true");
        bonded_mirror::DestinationConfig {
            name: name.to_owned(),
            url: written.url.clone(),
            required: written.required,
            s3: bonded_mirror::S3Options {
                path_style: written.path_style.unwrap_or(endpoint.is_some()),
                endpoint,
                region: written.region.clone().or_else(|| variable("AWS_REGION")),
                allow_http: written.allow_http.unwrap_or(allowed),
                access_key_id: variable("AWS_ACCESS_KEY_ID"),
                secret_access_key: variable("AWS_SECRET_ACCESS_KEY"),
                session_token: variable("AWS_SESSION_TOKEN"),
            },
        }
    }

    /// Every setting as text, with its origin; secrets only as set or not set.
    pub(crate) fn describe(&self) -> Vec<(String, String, String)> {
        let file =
            self.file.as_ref().map_or_else(|| "default".into(), |path| path.display().to_string());
        let unset = || ("(not set)".to_owned(), "default".to_owned());
        let path = |setting: &Option<Setting<PathBuf>>| {
            setting
                .as_ref()
                .map_or_else(unset, |s| (s.value.display().to_string(), s.origin.clone()))
        };
        let (store, store_origin) = path(&self.store);
        let (roots, roots_origin) = match &self.trusted_roots {
            None => ("embedded public-good root".to_owned(), "default".to_owned()),
            Some(setting) => {
                let roots: Vec<_> = setting.value.iter().map(ToString::to_string).collect();
                (roots.join(", "), setting.origin.clone())
            }
        };
        let mut rows = vec![
            ("store".into(), store, store_origin),
            (
                "wait_seconds".into(),
                self.wait_seconds.value.to_string(),
                self.wait_seconds.origin.clone(),
            ),
            ("trusted_roots".into(), roots, roots_origin),
            (
                "ingest.sha512".into(),
                self.ingest_sha512.value.to_string(),
                self.ingest_sha512.origin.clone(),
            ),
            ("serve.listen".into(), self.listen.value.to_string(), self.listen.origin.clone()),
        ];
        for (project, policy) in &self.policies {
            rows.push((
                format!("projects.{project}.policy"),
                policy.display().to_string(),
                file.clone(),
            ));
        }
        for (name, destination) in &self.destinations {
            rows.extend(
                destination.settings().into_iter().map(|(key, value)| {
                    (format!("destinations.{name}.{key}"), value, file.clone())
                }),
            );
        }
        for (name, _) in VARIABLES {
            let secret = name.contains("KEY") || name.contains("TOKEN");
            let value = match self.environment.get(name) {
                None => "(not set)".to_owned(),
                Some(_) if secret => "(set)".to_owned(),
                Some(value) => value,
            };
            rows.push((name.to_owned(), value, "environment".to_owned()));
        }
        rows
    }
}

fn read_file(
    file: Option<&Path>,
    environment: &Environment,
) -> Result<(Option<PathBuf>, Written), CliError> {
    let named =
        file.map(Path::to_path_buf).or_else(|| environment.get("BONDED_CONFIG").map(PathBuf::from));
    let path = named.clone().unwrap_or_else(|| PathBuf::from(CONFIG_FILE));
    let bytes = match disk::read_file(&path, CONFIG_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(error) if named.is_none() && error.fault() == disk::DiskFault::NotFound => {
            return Ok((None, Written::default()));
        }
        Err(error) => return Err(report::unreadable("configuration", &path, error)),
    };
    let refuse = || {
        CliError::usage(format!("configuration {} is wrong", path.display()))
            .hint("correct it, or name another with --config FILE")
    };
    let text = String::from_utf8(bytes).map_err(|source| refuse().because(source))?;
    let written = toml_text::parse(&text).map_err(|source| refuse().because(source))?;
    Ok((Some(path), written))
}

fn resolve(
    file: Option<PathBuf>,
    written: Written,
    environment: Environment,
    store: Option<&Path>,
) -> Config {
    let origin = file.as_ref().map_or_else(String::new, |path| path.display().to_string());
    let base = file.as_deref().and_then(Path::parent).unwrap_or(Path::new("")).to_path_buf();
    let from_file = |path: PathBuf| Setting { value: base.join(path), origin: origin.clone() };
    let from_variable = environment.get("BONDED_STORE");
    let store = store
        .map(|path| Setting { value: path.to_path_buf(), origin: "command line".into() })
        .or_else(|| {
            from_variable.map(|text| Setting { value: text.into(), origin: "BONDED_STORE".into() })
        })
        .or_else(|| written.store.map(from_file));
    let single =
        written.trusted_root.map(|file| GivenRoot::File { name: None, file: base.join(file) });
    let listed = written
        .trusted_roots
        .map(|texts| texts.iter().map(|text| GivenRoot::parse(text, &base)).collect::<Vec<_>>());
    let roots = listed.or(single.map(|root| vec![root]));
    let trusted_roots = roots.map(|value| Setting { value, origin: origin.clone() });
    let listen = LISTEN.parse().expect("the default address is one");
    let default = |value| Setting { value, origin: "default".into() };
    Config {
        store,
        wait_seconds: written
            .wait_seconds
            .map_or_else(default_wait, |value| Setting { value, origin: origin.clone() }),
        ingest_sha512: match written.ingest.sha512 {
            Some(value) => Setting { value, origin: origin.clone() },
            None => Setting { value: false, origin: "default".into() },
        },
        listen: written
            .serve
            .listen
            .map_or_else(|| default(listen), |value| Setting { value, origin: origin.clone() }),
        trusted_roots,
        policies: written
            .projects
            .into_iter()
            .map(|(name, p)| (name, base.join(p.policy)))
            .collect(),
        destinations: written.destinations,
        state: environment.state(),
        environment,
        file,
    }
}

fn default_wait() -> Setting<u64> {
    Setting { value: WAIT_SECONDS, origin: "default".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> Result<Written, toml_text::TomlError> {
        toml_text::parse(text)
    }

    #[test]
    fn paths_in_the_file_are_relative_to_it() {
        let text = "store = 's'\n[projects.demo]\npolicy = 'p.toml'\n[serve]\nlisten = '[::1]:1'\n";
        let config = resolve(
            Some("/etc/b/bonded.toml".into()),
            written(text).unwrap(),
            Environment::default(),
            None,
        );
        assert_eq!(config.store().unwrap(), Path::new("/etc/b/s"));
        assert_eq!(config.policies.values().next().unwrap(), Path::new("/etc/b/p.toml"));
        assert_eq!((config.listen.value.port(), config.wait_seconds.value), (1, WAIT_SECONDS));
    }

    #[test]
    fn the_command_line_wins_over_environment_and_file() {
        let environment = || Environment([("BONDED_STORE", "e".to_owned())].into());
        let file = || written("store = 'f'").unwrap();
        let with = |environment, store| resolve(Some("b.toml".into()), file(), environment, store);
        assert_eq!(with(environment(), Some(Path::new("c"))).store().unwrap(), Path::new("c"));
        assert_eq!(with(environment(), None).store().unwrap(), Path::new("e"));
        assert_eq!(with(Environment::default(), None).store().unwrap(), Path::new("f"));
        let none = resolve(None, Written::default(), Environment::default(), None);
        assert!(none.store().unwrap_err().to_string().contains("--store DIR"));
    }

    #[test]
    fn the_users_state_has_a_place_of_its_own() {
        let check = |variables: &[(&'static str, &str)], expected: Option<&str>| {
            let pairs = variables.iter().map(|(name, value)| (*name, (*value).to_owned()));
            let state = Environment(pairs.collect()).state();
            assert_eq!(state.as_deref(), expected.map(Path::new), "{variables:?}");
        };
        let (own, xdg) = (("BONDED_STATE", "o"), ("XDG_STATE_HOME", "/x"));
        let home = ("HOME", "/h");
        check(&[own, xdg, home], Some("o"));
        check(&[xdg, home], Some("/x/bonded"));
        check(&[home], Some("/h/.local/state/bonded"));
        check(&[("XDG_STATE_HOME", "x"), home], Some("/h/.local/state/bonded"));
        check(&[("HOME", "h")], None);
        check(&[], None);
    }

    #[test]
    fn misspelt_keys_name_the_nearest() {
        for (text, hint) in [
            ("stoer = 'x'", "store"),
            ("[serve]\nlisen = '127.0.0.1:1'", "listen"),
            ("[ingest]\nsha521 = true", "sha512"),
            ("[projects.demo]\npolcy = 'x'", "policy"),
            ("[destinations.a]\nurl = 'x'\npathstyle = true", "path_style"),
        ] {
            assert_eq!(written(text).unwrap_err().hint.as_deref(), Some(hint), "{text}");
        }
    }

    #[test]
    fn an_unknown_destination_names_the_nearest() {
        let config = resolve(
            None,
            written("[destinations.public]\nurl = 'file:///x'").unwrap(),
            Environment::default(),
            None,
        );
        assert!(
            config.destination("publik").unwrap_err().to_string().contains("did you mean public?")
        );
        assert_eq!(config.destination("public").unwrap().url, "file:///x");
        assert_eq!(config.destination("s3://b/p").unwrap().name, "s3://b/p");
    }
}
