//! Models of the HuggingFace hub, through the hf-hub crate and its cache.
//!
//! What is in the cache is used without asking the hub. All files of a model are
//! taken from one commit: the one that its `config.json` came from. That a model
//! lacks a file is remembered as `huggingface_hub` remembers it, in `.no_exist`.

use super::{
    location::HubId,
    progress::{Download, Progress},
};
use crate::failure::Failure;
use hf_hub::{
    Cache, Repo, RepoType,
    api::sync::{Api, ApiBuilder, ApiError, ApiRepo},
};
use std::path::{Path, PathBuf};

/// Where the hub is, and how it is used.
#[derive(Clone, Debug)]
pub struct HubOptions {
    /// The hub's address, without a slash at its end.
    pub endpoint: String,
    /// The folder that holds `models--org--name` folders.
    pub cache: PathBuf,
    /// Who asks; needed for private and gated models.
    pub token: Option<String>,
    /// Only the cache is consulted.
    pub offline: bool,
    /// How downloads show on stderr.
    pub progress: Progress,
}

impl HubOptions {
    /// As HuggingFace's own tools read them from the environment:
    /// `HF_ENDPOINT`; `HF_HUB_CACHE`, else `hub` in `HF_HOME`, else in
    /// `~/.cache/huggingface`; `HF_TOKEN`, else the file `token` in `HF_HOME`;
    /// `HF_HUB_OFFLINE`.
    pub fn from_env() -> HubOptions {
        HubOptions::from_variables(|name| std::env::var(name).ok())
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> HubOptions {
        let given = |name: &str| variable(name).map(|text| text.trim().to_owned()).filter(|t| !t.is_empty());
        let home = given("HF_HOME").map_or_else(
            || std::env::home_dir().unwrap_or_default().join(".cache").join("huggingface"),
            PathBuf::from,
        );
        let cache = given("HF_HUB_CACHE").map_or_else(|| home.join("hub"), PathBuf::from);
        let saved_token = || std::fs::read_to_string(home.join("token")).ok().map(|t| t.trim().to_owned());
        let on = |name: &str| {
            given(name)
                .is_some_and(|text| matches!(text.to_ascii_lowercase().as_str(), "1" | "on" | "yes" | "true"))
        };
        let endpoint = given("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into());
        HubOptions {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            cache,
            token: given("HF_TOKEN").or_else(saved_token).filter(|token| !token.is_empty()),
            offline: on("HF_HUB_OFFLINE"),
            progress: Progress::for_stderr(),
        }
    }

    fn connect(&self) -> Result<Api, Failure> {
        if !self.endpoint.starts_with("https://") && !self.endpoint.starts_with("http://") {
            return Err(Failure::usage(format!("`{}` is not the address of a hub", self.endpoint))
                .help("set HF_ENDPOINT to an address such as `https://huggingface.co`, or unset it"));
        }
        ApiBuilder::from_cache(Cache::new(self.cache.clone()))
            .with_endpoint(self.endpoint.clone())
            .with_token(self.token.clone())
            .with_retries(3)
            .build()
            .map_err(|error| Failure::outside(format!("the hub cannot be used: {error}")))
    }
}

/// A model on the hub, at one commit.
pub(super) struct HubModel {
    id: HubId,
    options: HubOptions,
    /// The folder of the cache that holds the commit's files.
    snapshot: PathBuf,
}

impl HubModel {
    /// Finds the model by its `config.json`, in the cache or on the hub.
    pub(super) fn open(id: HubId, options: &HubOptions) -> Result<HubModel, Failure> {
        const FIRST: &str = "config.json";
        let cached = Cache::new(options.cache.clone()).repo(repo(&id, &id.revision));
        // A commit has no entry in `refs` where Python fetched it: it is the folder.
        let by_commit = || Some(cached.pointer_path(&id.revision).join(FIRST)).filter(|path| path.exists());
        let config = match cached.get(FIRST).or_else(by_commit) {
            Some(path) => path,
            None if options.offline => return Err(absent_offline(&id, options)),
            None => match download(&id, &id.revision, options, FIRST)? {
                Some(path) => path,
                None => return Err(absent(&id, options)),
            },
        };
        let snapshot = config.parent().map(Path::to_owned).unwrap_or_default();
        Ok(HubModel { id, options: options.clone(), snapshot })
    }

    /// The folder that fetched files are in.
    pub(super) fn snapshot(&self) -> &Path {
        &self.snapshot
    }

    /// The model has this file, by what the cache knows.
    pub(super) fn cached(&self, name: &str) -> Option<PathBuf> {
        Some(self.snapshot.join(name)).filter(|path| path.exists())
    }

    /// A file of the model, fetched if need be; `None` where the model has no such
    /// file, or none in the cache when offline.
    pub(super) fn fetch(&self, name: &str) -> Result<Option<PathBuf>, Failure> {
        if let Some(path) = self.cached(name) {
            return Ok(Some(path));
        }
        let commit = self.snapshot.file_name().map(|name| name.to_string_lossy().into_owned());
        let commit = commit.unwrap_or_else(|| self.id.revision.clone());
        let model = self.snapshot.ancestors().nth(2).unwrap_or(&self.snapshot);
        let missing = model.join(".no_exist").join(&commit).join(name);
        if self.options.offline || missing.exists() {
            return Ok(None);
        }
        let path = download(&self.id, &commit, &self.options, name)?;
        if path.is_none() {
            remember(&missing);
        }
        Ok(path)
    }
}

/// Leaves an empty file. Where that fails, the hub is asked again next time.
fn remember(missing: &Path) {
    if let Some(folder) = missing.parent() {
        let _ = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(missing, b""));
    }
}

fn repo(id: &HubId, revision: &str) -> Repo {
    Repo::with_revision(id.name.clone(), RepoType::Model, revision.to_owned())
}

/// Fetches one file at a revision; `None` where the hub has no such file.
fn download(
    id: &HubId,
    revision: &str,
    options: &HubOptions,
    name: &str,
) -> Result<Option<PathBuf>, Failure> {
    let model: ApiRepo = options.connect()?.repo(repo(id, revision));
    match model.download_with_progress(name, Download::new(options.progress)) {
        Ok(path) => Ok(Some(path)),
        Err(error) if status(&error) == Some(404) => Ok(None),
        Err(error) => Err(refused(id, options, name, &error)),
    }
}

fn status(error: &ApiError) -> Option<u16> {
    match error {
        ApiError::RequestError(error) => match error.as_ref() {
            ureq::Error::StatusCode(status) => Some(*status),
            _ => None,
        },
        ApiError::TooManyRetries(error) => status(error),
        _ => None,
    }
}

fn absent(id: &HubId, options: &HubOptions) -> Failure {
    let endpoint = &options.endpoint;
    Failure::input(format!("{endpoint} has no model {id} with a config.json")).help(format!(
        "check the name and the revision; what the model has is listed at {endpoint}/{}/tree/{}",
        id.name, id.revision
    ))
}

fn absent_offline(id: &HubId, options: &HubOptions) -> Failure {
    Failure::outside(format!(
        "{id} is not in the cache {}, and HF_HUB_OFFLINE is set",
        options.cache.display()
    ))
    .help("unset HF_HUB_OFFLINE to fetch it, or set HF_HOME to the cache that holds it")
}

/// Why the hub did not give a file that it may have.
fn refused(id: &HubId, options: &HubOptions, name: &str, error: &ApiError) -> Failure {
    let endpoint = &options.endpoint;
    match status(error) {
        Some(401) if options.token.is_some() => Failure::input(format!(
            "{endpoint} does not accept the token for {id}"
        ))
        .help("check the model's name, and make the token anew: HF_TOKEN, or the file `token` in HF_HOME"),
        Some(401) => Failure::input(format!("{endpoint} has no public model {id}"))
            .help("check the name; for a private or gated model set HF_TOKEN to a token that may read it"),
        Some(403) => Failure::input(format!("{endpoint} does not let this token read {id}")).help(format!(
            "the model may be gated: accept its terms at {endpoint}/{}, or use another token",
            id.name
        )),
        Some(416) => {
            Failure::outside(format!("an earlier download of {name} of {id} is damaged")).help(format!(
                "delete the `.part` file under {} and try again",
                options.cache.join(repo(id, "main").folder_name()).join("blobs").display()
            ))
        }
        Some(status) => {
            Failure::outside(format!("{endpoint} answered {status} when asked for {name} of {id}"))
                .help("try again later")
        }
        None => Failure::outside(format!("{name} of {id} could not be fetched from {endpoint}: {error}"))
            .help("check the connection; what has arrived is kept, and the next attempt goes on from there"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(variables: &[(&str, &str)]) -> HubOptions {
        let variables: std::collections::HashMap<String, String> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        HubOptions::from_variables(|name| variables.get(name).cloned())
    }

    #[test]
    fn the_environment_is_read_as_huggingface_does() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_str().unwrap();
        std::fs::write(folder.path().join("token"), "hf_saved\n").unwrap();

        let plain = options(&[("HF_HOME", home)]);
        assert_eq!(plain.endpoint, "https://huggingface.co");
        assert_eq!(plain.cache, folder.path().join("hub"));
        assert_eq!(plain.token.as_deref(), Some("hf_saved"));
        assert!(!plain.offline);

        let given = options(&[
            ("HF_HOME", home),
            ("HF_HUB_CACHE", "/cache"),
            ("HF_ENDPOINT", "https://mirror.example/"),
            ("HF_TOKEN", "hf_given"),
            ("HF_HUB_OFFLINE", "1"),
        ]);
        assert_eq!(given.endpoint, "https://mirror.example");
        assert_eq!(given.cache, Path::new("/cache"));
        assert_eq!(given.token.as_deref(), Some("hf_given"));
        assert!(given.offline);
        assert!(!options(&[("HF_HOME", home), ("HF_HUB_OFFLINE", "0")]).offline);
    }
}
