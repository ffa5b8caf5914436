//! Where releases go: `file:///directory` and `s3://bucket/prefix`.
//!
//! A configuration is parsed and checked once, here; nothing is asked of the destination yet.
//! Credentials come with the configuration: this crate reads no environment.

use std::fmt;
use std::sync::Arc;

use object_store::ClientOptions;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use url::Url;

use crate::backend::{Answer, Backend, Chunks};
use crate::error::MirrorError;
use crate::limits::{CONNECT_TIMEOUT, READ_TIMEOUT, REQUEST_TIMEOUT};
use crate::objects::{Objects, Place};
use crate::retry::RetryPolicy;

/// A destination as configured.
#[derive(Clone, Debug)]
pub struct DestinationConfig {
    /// What people and plans call it.
    pub name: String,
    /// `file:///directory` or `s3://bucket/prefix`.
    pub url: String,
    /// How to talk to an S3 bucket; of no meaning for directories.
    pub s3: S3Options,
    /// Whether markers wait, everywhere, until this destination has everything.
    pub required: bool,
}

/// How to talk to an S3 bucket.
#[derive(Clone)]
pub struct S3Options {
    /// `https://host:port` of a server that is not AWS.
    pub endpoint: Option<String>,
    /// The region; `us-east-1` if not given, which servers that are not AWS ignore.
    pub region: Option<String>,
    /// Whether the bucket's name stands in the path (`true`) or in the host name.
    pub path_style: bool,
    /// Whether an `http://` endpoint is accepted.
    pub allow_http: bool,
    /// The access key; without one, requests are not signed.
    pub access_key_id: Option<String>,
    /// The secret that belongs to the access key.
    pub secret_access_key: Option<String>,
    /// The token of a temporary access key.
    pub session_token: Option<String>,
}

impl Default for S3Options {
    fn default() -> Self {
        Self {
            endpoint: None,
            region: None,
            path_style: true,
            allow_http: false,
            access_key_id: None,
            secret_access_key: None,
            session_token: None,
        }
    }
}

impl fmt::Debug for S3Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = |value: &Option<String>| value.as_ref().map(|_| "(hidden)");
        f.debug_struct("S3Options")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("path_style", &self.path_style)
            .field("allow_http", &self.allow_http)
            .field("access_key_id", &self.access_key_id)
            .field("secret_access_key", &secret(&self.secret_access_key))
            .field("session_token", &secret(&self.session_token))
            .finish()
    }
}

/// Why a configuration names no destination.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The text is no URL.
    #[error(
        "destination {name}: {url:?} is no URL such as file:///directory or s3://bucket/prefix"
    )]
    Url {
        /// The destination.
        name: String,
        /// As configured.
        url: String,
        /// What the parser says.
        #[source]
        source: url::ParseError,
    },
    /// The URL is of a kind that cannot be written to, or has parts that mean nothing here.
    #[error("destination {name}: {url:?} {reason}")]
    Form {
        /// The destination.
        name: String,
        /// As configured.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The options for S3 contradict each other.
    #[error("destination {name}: {reason}")]
    Options {
        /// The destination.
        name: String,
        /// What is wrong with them.
        reason: &'static str,
    },
    /// The client refuses the options.
    #[error("destination {name}: the client refuses the configuration")]
    Client {
        /// The destination.
        name: String,
        /// What it says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Whether a destination is this machine or another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locality {
    /// A directory of this machine.
    Local,
    /// A server.
    Remote,
}

/// A destination that can be talked to.
///
/// What is written there goes through a plan of verified releases; nobody gets at the rest:
///
/// ```compile_fail,E0624
/// async fn write(destination: &bonded_mirror::Destination) {
///     let _backend = destination.backend();
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Destination {
    name: String,
    url: String,
    identity: String,
    locality: Locality,
    required: bool,
    watched: bool,
    backend: Arc<dyn Backend>,
}

impl Destination {
    /// A destination as configured, with the default [`RetryPolicy`].
    ///
    /// # Errors
    /// [`MirrorError::Config`] if the URL or the options make no sense. Nothing is asked of the destination.
    pub fn open(config: &DestinationConfig) -> Result<Self, MirrorError> {
        Self::open_with(config, RetryPolicy::default())
    }

    /// A destination as configured, with its own policy for repeating requests.
    ///
    /// # Errors
    /// As [`Destination::open`].
    pub fn open_with(config: &DestinationConfig, retry: RetryPolicy) -> Result<Self, MirrorError> {
        let url = parse_url(config)?;
        let (locality, objects) = match url.scheme() {
            "file" => (Locality::Local, directory(config, &url)?),
            "s3" => (Locality::Remote, bucket(config, &url, retry)?),
            _ => return Err(form(config, "is neither file:// nor s3://").into()),
        };
        let endpoint = match (&config.s3.endpoint, locality) {
            (Some(endpoint), Locality::Remote) => format!(" at {endpoint}"),
            _ => String::new(),
        };
        Ok(Self {
            name: config.name.clone(),
            url: config.url.clone(),
            identity: format!("{}{endpoint}", config.url.trim_end_matches('/')),
            locality,
            required: config.required,
            watched: false,
            backend: Arc::new(objects),
        })
    }

    /// A destination over some other backend; its URL is the configuration's, unparsed.
    pub fn with_backend(config: &DestinationConfig, backend: Arc<dyn Backend>) -> Self {
        Self {
            name: config.name.clone(),
            url: config.url.clone(),
            identity: config.url.clone(),
            locality: Locality::Remote,
            required: config.required,
            watched: false,
            backend,
        }
    }

    /// The same destination, only looked at: nothing is written there, and if it is required markers
    /// elsewhere wait for what it lists.
    #[must_use]
    pub fn watched(self) -> Self {
        Self { watched: true, ..self }
    }

    /// The same destination as one that is written to.
    pub(crate) fn written(self) -> Self {
        Self { watched: false, ..self }
    }

    /// What people and plans call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its URL as configured.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether markers wait for it.
    pub fn is_required(&self) -> bool {
        self.required
    }

    /// Whether it is only looked at.
    pub fn is_watched(&self) -> bool {
        self.watched
    }

    /// Whether it is this machine or another one.
    pub fn locality(&self) -> Locality {
        self.locality
    }

    /// The bytes of one object, as they are there and checked by nobody; none if it does not exist. For
    /// those who check them, as `fsck` does.
    pub fn read<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Box<dyn Chunks>>> {
        self.backend.read(key)
    }

    /// What holds its objects. Whoever has it can write without a verdict, so it stays in here.
    pub(crate) fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    /// URL and endpoint: the same text means the same objects, whatever the name.
    pub(crate) fn identity(&self) -> &str {
        &self.identity
    }
}

fn form(config: &DestinationConfig, reason: &'static str) -> ConfigError {
    ConfigError::Form { name: config.name.clone(), url: config.url.clone(), reason }
}

fn options(config: &DestinationConfig, reason: &'static str) -> ConfigError {
    ConfigError::Options { name: config.name.clone(), reason }
}

fn parse_url(config: &DestinationConfig) -> Result<Url, ConfigError> {
    let url = Url::parse(&config.url).map_err(|source| ConfigError::Url {
        name: config.name.clone(),
        url: config.url.clone(),
        source,
    })?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(form(config, "has a query or a fragment"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(form(config, "has credentials in it"));
    }
    if url.port().is_some() {
        return Err(form(config, "has a port; the server's address goes into the endpoint"));
    }
    Ok(url)
}

fn directory(config: &DestinationConfig, url: &Url) -> Result<Objects, ConfigError> {
    let path = match url.to_file_path() {
        Ok(path) => path,
        Err(()) => return Err(form(config, "names another machine; expected file:///directory")),
    };
    let prefix = path.to_str().map(|path| path.trim_matches('/').to_owned());
    let prefix = prefix.ok_or_else(|| form(config, "is not UTF-8"))?;
    if prefix.is_empty() {
        return Err(form(config, "is the root of the file system"));
    }
    let store = Arc::new(LocalFileSystem::new().with_fsync(true));
    Ok(Objects { place: Place::Directory, store, prefix })
}

fn bucket(
    config: &DestinationConfig,
    url: &Url,
    retry: RetryPolicy,
) -> Result<Objects, ConfigError> {
    let name = url.host_str().ok_or_else(|| form(config, "names no bucket"))?;
    let prefix = url.path().trim_matches('/').to_owned();
    if prefix.contains('%') {
        return Err(form(config, "has characters in its prefix that URLs encode"));
    }
    let builder = with_credentials(builder(config, name, retry)?, config)?;
    let store = builder.build().map_err(|error| ConfigError::Client {
        name: config.name.clone(),
        source: Box::new(error),
    })?;
    Ok(Objects { place: Place::Bucket, store: Arc::new(store), prefix })
}

fn builder(
    config: &DestinationConfig,
    bucket: &str,
    retry: RetryPolicy,
) -> Result<AmazonS3Builder, ConfigError> {
    let s3 = &config.s3;
    let http = s3.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
    if http && !s3.allow_http {
        return Err(options(config, "the endpoint is http:// and allow_http is not set"));
    }
    let client = ClientOptions::new()
        .with_allow_http(s3.allow_http)
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_read_timeout(READ_TIMEOUT)
        .with_timeout(REQUEST_TIMEOUT);
    let builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(s3.region.as_deref().unwrap_or("us-east-1"))
        .with_virtual_hosted_style_request(!s3.path_style)
        .with_client_options(client)
        .with_retry(retry.to_config());
    Ok(match &s3.endpoint {
        Some(endpoint) => builder.with_endpoint(endpoint),
        None => builder,
    })
}

/// Without keys the requests go out unsigned; the client would otherwise look for keys on its own,
/// in the metadata service of a cloud.
fn with_credentials(
    builder: AmazonS3Builder,
    config: &DestinationConfig,
) -> Result<AmazonS3Builder, ConfigError> {
    let s3 = &config.s3;
    let builder = match (&s3.access_key_id, &s3.secret_access_key) {
        (Some(id), Some(secret)) => builder.with_access_key_id(id).with_secret_access_key(secret),
        (None, None) if s3.session_token.is_none() => return Ok(builder.with_skip_signature(true)),
        _ => return Err(options(config, "the access key needs its id and its secret")),
    };
    Ok(match &s3.session_token {
        Some(token) => builder.with_token(token),
        None => builder,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(url: &str, s3: S3Options) -> DestinationConfig {
        DestinationConfig { name: "there".into(), url: url.into(), s3, required: true }
    }

    #[test]
    fn good_configurations_open_without_asking_anybody() {
        let endpoint = S3Options {
            endpoint: Some("https://s3.invalid:9000".into()),
            access_key_id: Some("id".into()),
            secret_access_key: Some("secret".into()),
            session_token: Some("token".into()),
            ..S3Options::default()
        };
        for (url, s3, locality, identity) in [
            ("file:///srv/mirror/", S3Options::default(), Locality::Local, "file:///srv/mirror"),
            ("s3://bucket", S3Options::default(), Locality::Remote, "s3://bucket"),
            (
                "s3://bucket/a/b",
                endpoint,
                Locality::Remote,
                "s3://bucket/a/b at https://s3.invalid:9000",
            ),
        ] {
            let destination = Destination::open(&config(url, s3)).unwrap();
            assert_eq!(destination.locality(), locality);
            assert_eq!(destination.identity(), identity);
        }
    }

    #[test]
    fn bad_configurations_say_what_is_wrong() {
        let http = S3Options { endpoint: Some("http://127.0.0.1:1".into()), ..Default::default() };
        let half = S3Options { access_key_id: Some("id".into()), ..Default::default() };
        let token = S3Options { session_token: Some("token".into()), ..Default::default() };
        for (url, s3, message) in [
            ("/srv/mirror", S3Options::default(), "is no URL"),
            ("ftp://host/x", S3Options::default(), "neither file:// nor s3://"),
            ("file://host/x", S3Options::default(), "another machine"),
            ("file:///", S3Options::default(), "root of the file system"),
            ("file:///x?y", S3Options::default(), "a query"),
            ("s3://id:secret@bucket", S3Options::default(), "credentials"),
            ("s3://bucket:9000/x", S3Options::default(), "a port"),
            ("s3:///x", S3Options::default(), "names no bucket"),
            ("s3://bucket/a%20b", S3Options::default(), "URLs encode"),
            ("s3://bucket", http, "allow_http is not set"),
            ("s3://bucket", half, "its id and its secret"),
            ("s3://bucket", token, "its id and its secret"),
        ] {
            let error = Destination::open(&config(url, s3)).unwrap_err().to_string();
            assert!(error.contains(message), "{url}: {error}");
            assert!(error.starts_with("destination there: "), "{error}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let s3 = S3Options {
            secret_access_key: Some("hush".into()),
            session_token: Some("hush".into()),
            ..S3Options::default()
        };
        assert!(!format!("{:?}", config("s3://bucket", s3)).contains("hush"));
    }
}
