//! Checkpoints from the hub, played by a server on this machine: it answers as
//! huggingface.co does, with commit and etag in headers, parts by `Range`, and
//! weights redirected to another address.

#![cfg(test)]

use candle_core::{DType, Device};
use qdqc::{
    checkpoint::{Checkpoint, HubOptions, Progress, Wanted},
    failure::Failure,
};
use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::{Arc, Mutex},
};
use tempfile::TempDir;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const OLD: &str = "fedcba9876543210fedcba9876543210fedcba98";

/// What the played hub has and does.
#[derive(Default)]
struct Played {
    /// Content by commit and file.
    files: HashMap<(&'static str, &'static str), Vec<u8>>,
    /// The commit that `main` is.
    main: &'static str,
    /// Only who has this token is answered.
    token: Option<&'static str>,
    /// Answers every request with this status.
    status: Option<u16>,
    /// How many downloads of weights break off after half of their bytes.
    breaks: usize,
    /// `path range` of each request.
    requests: Vec<String>,
}

struct Hub {
    played: Arc<Mutex<Played>>,
    options: HubOptions,
    _cache: TempDir,
}

impl Hub {
    fn start(played: Played) -> Hub {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let played = Arc::new(Mutex::new(played));
        let (shared, address) = (played.clone(), endpoint.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = answer(stream, &shared, &address);
            }
        });
        let cache = tempfile::tempdir().unwrap();
        let options = HubOptions {
            endpoint,
            cache: cache.path().join("hub"),
            token: None,
            offline: false,
            progress: Progress::Silent,
        };
        Hub { played, options, _cache: cache }
    }

    fn open(&self, id: &str) -> Result<Checkpoint, Failure> {
        Checkpoint::open(id, &self.options)
    }

    fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.played.lock().unwrap().requests)
    }

    fn change(&self, change: impl FnOnce(&mut Played)) {
        change(&mut self.played.lock().unwrap());
    }
}

/// Answers one request and closes the connection.
fn answer(mut stream: TcpStream, played: &Mutex<Played>, endpoint: &str) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        head.push(line.trim().to_owned());
    }
    let header = |name: &str| {
        head.iter().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then(|| value.to_owned())
        })
    };
    let path = head.first().and_then(|line| line.split(' ').nth(1)).unwrap_or("").to_owned();
    let range = header("range").unwrap_or_default();
    let mut played = played.lock().unwrap();
    played.requests.push(format!("{path} {range}"));
    let authorized =
        played.token.is_none_or(|token| header("authorization") == Some(format!("Bearer {token}")));
    let status = played.status.or((!authorized && !path.starts_with("/cdn/")).then_some(401));
    if let Some(status) = status {
        return write!(stream, "HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
    let parts: Vec<&str> = path.split('/').collect();
    let (commit, file) = match parts.as_slice() {
        ["", "org", "name", "resolve", "main", file] => (played.main, *file),
        ["", "org", "name", "resolve", "v1", file] => (OLD, *file),
        ["", "org", "name", "resolve", commit, file] | ["", "cdn", commit, file] => (*commit, *file),
        _ => ("", ""),
    };
    let content =
        played.files.iter().find(|((c, f), _)| (*c, *f) == (commit, file)).map(|(_, data)| data.clone());
    let Some(content) = content else {
        return write!(stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    let common = format!("x-repo-commit: {commit}\r\netag: \"{commit}-{file}\"\r\nConnection: close\r\n");
    let weights = file.ends_with(".safetensors") || file.ends_with(".bin");
    if weights && !path.starts_with("/cdn/") {
        return write!(
            stream,
            "HTTP/1.1 302 Found\r\n{common}x-linked-etag: \"{commit}-{file}\"\r\n\
             Location: {endpoint}/cdn/{commit}/{file}\r\nContent-Length: 0\r\n\r\n"
        );
    }
    let (start, end) =
        range.strip_prefix("bytes=").and_then(|range| range.split_once('-')).unwrap_or(("0", ""));
    let start: usize = start.parse().unwrap_or(0);
    let end = end.parse().map_or(content.len(), |end: usize| end + 1);
    let part = &content[start..end];
    write!(
        stream,
        "HTTP/1.1 206 Partial Content\r\n{common}Content-Range: bytes {start}-{}/{}\r\nContent-Length: {}\r\n\r\n",
        end.max(1) - 1,
        content.len(),
        part.len()
    )?;
    if weights && range.ends_with('-') && played.breaks > 0 {
        played.breaks -= 1;
        return stream.write_all(&part[..part.len() / 2]);
    }
    stream.write_all(part)
}

/// A safetensors file with one f32 tensor `a` of 64 elements, all `value`.
fn weights(value: f32) -> Vec<u8> {
    let data: Vec<u8> = std::iter::repeat_n(value.to_le_bytes(), 64).flatten().collect();
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![64], &data).unwrap();
    safetensors::serialize([("a", view)], None).unwrap()
}

fn model() -> Played {
    let files = [
        ((COMMIT, "config.json"), br#"{"hidden_size": 64}"#.to_vec()),
        ((COMMIT, "vocab.txt"), b"[PAD]\n".to_vec()),
        ((COMMIT, "model.safetensors"), weights(2.0)),
        ((OLD, "config.json"), br#"{"hidden_size": 32}"#.to_vec()),
        ((OLD, "model.safetensors"), weights(1.0)),
    ];
    Played { files: files.into_iter().collect(), main: COMMIT, ..Played::default() }
}

fn first(checkpoint: &Checkpoint) -> Result<f32, Failure> {
    let wanted = Wanted { path: "a".into(), shape: vec![64], ..Wanted::default() };
    let (loaded, _) = checkpoint.load(&[wanted], &Device::Cpu, DType::F32)?;
    Ok(loaded["a"].to_vec1::<f32>().unwrap()[0])
}

fn message(failure: Result<Checkpoint, Failure>) -> (u8, String, String) {
    match failure.err().unwrap() {
        failure @ (Failure::Input(_) | Failure::Outside(_)) => {
            let code = failure.exit_code();
            let (Failure::Input(m) | Failure::Outside(m)) = failure else { unreachable!() };
            (code, m.text, m.help.unwrap_or_default())
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_model_is_fetched_once_and_weights_when_they_are_loaded() {
    let hub = Hub::start(model());
    let checkpoint = hub.open("org/name").unwrap();
    assert_eq!(checkpoint.config.get("hidden_size").unwrap(), 64);
    assert!(checkpoint.file("vocab.txt").is_some());
    assert_eq!(checkpoint.file("tokenizer.json"), None);
    let asked = hub.requests();
    assert!(!asked.iter().any(|request| request.contains("model.safetensors")), "{asked:?}");
    assert_eq!(first(&checkpoint).unwrap(), 2.0);
    assert!(hub.requests().iter().any(|request| request.starts_with("/cdn/")));
    // From here on everything, and what the model lacks, is known from the cache.
    assert_eq!(first(&hub.open("org/name").unwrap()).unwrap(), 2.0);
    assert_eq!(hub.requests(), [""; 0]);
}

#[test]
fn a_revision_is_another_model() {
    let hub = Hub::start(model());
    assert_eq!(first(&hub.open("org/name").unwrap()).unwrap(), 2.0);
    let old = hub.open("org/name@v1").unwrap();
    assert_eq!(old.config.get("hidden_size").unwrap(), 32);
    assert_eq!(first(&old).unwrap(), 1.0);
    assert_eq!(first(&hub.open(&format!("org/name@{OLD}")).unwrap()).unwrap(), 1.0);
}

#[test]
fn all_files_come_from_one_commit() {
    let hub = Hub::start(model());
    let checkpoint = hub.open("org/name").unwrap();
    // `main` moves to another commit between the config and the weights.
    hub.change(|played| played.main = OLD);
    assert_eq!(first(&checkpoint).unwrap(), 2.0);
    assert!(checkpoint.folder().path().unwrap().ends_with(Path::new("snapshots").join(COMMIT)));
}

#[test]
fn shards_and_pickles_are_found_where_there_is_no_better() {
    let index = br#"{"weight_map": {"a": "model-1.safetensors"}}"#.to_vec();
    let mut played = model();
    let single = played.files.remove(&(COMMIT, "model.safetensors")).unwrap();
    played.files.insert((COMMIT, "model.safetensors.index.json"), index);
    played.files.insert((COMMIT, "model-1.safetensors"), single);
    let hub = Hub::start(played);
    assert_eq!(first(&hub.open("org/name").unwrap()).unwrap(), 2.0);
    assert!(!hub.requests().iter().any(|request| request.contains("pytorch_model")));

    let mut played = model();
    played.files.remove(&(COMMIT, "model.safetensors"));
    let hub = Hub::start(played);
    let failure = first(&hub.open("org/name").unwrap()).unwrap_err();
    assert_eq!(failure.exit_code(), 1);
    assert!(failure.to_string().starts_with("org/name has no weights: there is none of"), "{failure}");
}

#[test]
fn what_the_hub_lacks_is_told_with_what_the_disk_lacks() {
    let hub = Hub::start(model());
    let (code, text, help) = message(hub.open("org/other"));
    assert_eq!(code, 1);
    assert!(text.starts_with("there is no folder org/other; as a hub id: http://127.0.0.1"), "{text}");
    assert!(text.ends_with("has no model org/other with a config.json"), "{text}");
    assert!(help.contains("/org/other/tree/main"), "{help}");
    let (code, text, _) = message(hub.open("org/name@v9"));
    assert_eq!(code, 1);
    assert!(text.ends_with("has no model org/name@v9 with a config.json"), "{text}");
}

#[test]
fn tokens_are_sent_and_their_absence_explained() {
    let mut hub = Hub::start(Played { token: Some("hf_good"), ..model() });
    let (code, text, help) = message(hub.open("org/name"));
    assert_eq!(code, 1);
    assert!(text.ends_with("has no public model org/name"), "{text}");
    assert!(help.contains("HF_TOKEN"), "{help}");
    hub.options.token = Some("hf_bad".into());
    let (_, text, _) = message(hub.open("org/name"));
    assert!(text.ends_with("does not accept the token for org/name"), "{text}");
    hub.options.token = Some("hf_good".into());
    assert_eq!(first(&hub.open("org/name").unwrap()).unwrap(), 2.0);
    let gated = Hub::start(Played { status: Some(403), ..model() });
    assert!(message(gated.open("org/name")).2.contains("accept its terms"));
}

#[test]
fn offline_only_the_cache_is_asked() {
    let mut hub = Hub::start(model());
    hub.options.offline = true;
    let (code, text, help) = message(hub.open("org/name"));
    assert_eq!(code, 3);
    assert!(text.contains("as a hub id: org/name is not in the cache"), "{text}");
    assert!(text.ends_with("and HF_HUB_OFFLINE is set"), "{text}");
    assert!(help.contains("unset HF_HUB_OFFLINE"), "{help}");
    assert_eq!(hub.requests(), [""; 0]);

    hub.options.offline = false;
    first(&hub.open("org/name").unwrap()).unwrap();
    hub.requests();
    hub.options.offline = true;
    assert_eq!(first(&hub.open("org/name").unwrap()).unwrap(), 2.0);
    assert_eq!(hub.requests(), [""; 0]);
}

#[test]
fn an_interrupted_download_goes_on_where_it_stopped() {
    let hub = Hub::start(Played { breaks: 1, ..model() });
    let checkpoint = hub.open("org/name").unwrap();
    hub.requests();
    assert_eq!(first(&checkpoint).unwrap(), 2.0);
    let half = weights(2.0).len() / 2;
    let asked = hub.requests();
    assert!(asked.iter().any(|request| request.ends_with(&format!("bytes={half}-"))), "{asked:?}");
}

#[test]
fn a_hub_that_fails_is_not_the_users_fault() {
    let hub = Hub::start(Played { status: Some(503), ..model() });
    let (code, text, _) = message(hub.open("org/name"));
    assert_eq!(code, 3);
    assert!(text.contains("answered 503"), "{text}");

    let mut nowhere = Hub::start(model());
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    nowhere.options.endpoint = format!("http://{free}");
    let (code, text, _) = message(nowhere.open("org/name"));
    assert_eq!(code, 3);
    assert!(text.contains("could not be fetched from"), "{text}");
    nowhere.options.endpoint = "hub".into();
    assert_eq!(nowhere.open("org/name").err().unwrap().exit_code(), 2);
}
