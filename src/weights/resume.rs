//! One resource to one file, over as many connections as it takes. It must not know models.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use reqwest::{StatusCode, header};
use ring::digest::{Context as Digest, SHA256};

use super::store::hexadecimal;
use crate::provider::innermost;
use crate::sanitize::visible;

/// Further attempts after one that brought nothing.
const IDLE_ATTEMPTS: u32 = 3;

/// How long a server is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Longest silence of a server.
    pub silence: Duration,
    /// Before the first attempt after one that brought nothing; each further wait is twice as long.
    pub first_wait: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience { silence: Duration::from_secs(60), first_wait: Duration::from_millis(500) }
    }
}

/// The client for all of a download, with its patience.
pub(super) struct Client {
    http: reqwest::Client,
    patience: Patience,
}

/// What is to be had, and what it must be.
pub(super) struct Wanted<'a> {
    pub url: &'a str,
    pub bytes: u64,
    /// In hexadecimal digits.
    pub sha256: &'a str,
}

/// Why an attempt ended.
enum Ended {
    /// The connection broke or fell silent: worth another attempt from where it was.
    Broken(anyhow::Error),
    /// The server has something else, or nothing.
    Refused(anyhow::Error),
}

/// Makes `path` the resource: goes on behind the bytes that it has already, and checks length and
/// sha256 of the whole. `told` hears how many bytes are there. A file of the right length with
/// another content is removed.
///
/// # Errors
/// A server that refuses, sends something else, or breaks off several times without bringing
/// anything; a disk that is full.
pub(super) async fn fetch(
    client: &Client,
    wanted: &Wanted<'_>,
    path: &Path,
    told: &mut dyn FnMut(u64),
) -> anyhow::Result<()> {
    let mut file = Growing::open(path, wanted.bytes)?;
    let mut idle = 0;
    while file.length < wanted.bytes {
        told(file.length);
        let before = file.length;
        match attempt(client, wanted, &mut file, told).await {
            Ok(()) => {}
            Err(Ended::Refused(error)) => return Err(error),
            Err(Ended::Broken(error)) => {
                idle = if file.length > before { 0 } else { idle + 1 };
                if idle > IDLE_ATTEMPTS {
                    return Err(error);
                }
                tokio::time::sleep(client.patience.first_wait * (1 << idle.saturating_sub(1))).await;
            }
        }
    }
    told(file.length);
    let got = file.finish()?;
    if got != wanted.sha256 {
        std::fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))?;
        bail!("{} sent another file: its sha256 is {got}, not {}", shown(wanted.url), wanted.sha256);
    }
    Ok(())
}

/// A file that only grows, with the digest of what is in it.
struct Growing {
    file: File,
    digest: Digest,
    length: u64,
    path: std::path::PathBuf,
}

impl Growing {
    fn open(path: &Path, most: u64) -> anyhow::Result<Growing> {
        let opened = OpenOptions::new().read(true).append(true).create(true).open(path);
        let mut file = opened.with_context(|| format!("cannot write {}", path.display()))?;
        let mut growing_length = file.metadata()?.len();
        if growing_length > most {
            file.set_len(0)?;
            growing_length = 0;
        }
        let mut digest = Digest::new(&SHA256);
        let mut buffer = vec![0; 1 << 20];
        loop {
            let read = file.read(&mut buffer).with_context(|| format!("cannot read {}", path.display()))?;
            if read == 0 {
                break;
            }
            digest.update(&buffer[..read]);
        }
        Ok(Growing { file, digest, length: growing_length, path: path.to_owned() })
    }

    fn append(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.file.write_all(bytes).with_context(|| format!("cannot write {}", self.path.display()))?;
        self.digest.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn restart(&mut self) -> anyhow::Result<()> {
        self.file.set_len(0).with_context(|| format!("cannot empty {}", self.path.display()))?;
        self.digest = Digest::new(&SHA256);
        self.length = 0;
        Ok(())
    }

    fn finish(self) -> anyhow::Result<String> {
        self.file.sync_all().with_context(|| format!("cannot write {}", self.path.display()))?;
        Ok(hexadecimal(self.digest))
    }
}

async fn attempt(
    client: &Client,
    wanted: &Wanted<'_>,
    file: &mut Growing,
    told: &mut dyn FnMut(u64),
) -> Result<(), Ended> {
    let url = shown(wanted.url);
    let mut request = client.http.get(wanted.url);
    if file.length > 0 {
        request = request.header(header::RANGE, format!("bytes={}-", file.length));
    }
    let broken = |error: reqwest::Error| {
        let cause = innermost(&error);
        Ended::Broken(anyhow!("{url} does not answer ({})", visible(&cause)))
    };
    let mut answer = request.send().await.map_err(|error| match error.is_redirect() {
        true => {
            Ended::Refused(anyhow!("{url} redirects where it should not ({})", visible(&innermost(&error))))
        }
        false => broken(error),
    })?;
    match answer.status() {
        StatusCode::OK if file.length > 0 => file.restart().map_err(Ended::Refused)?,
        StatusCode::OK => {}
        StatusCode::PARTIAL_CONTENT => {
            let range = answer.headers().get(header::CONTENT_RANGE).and_then(|range| range.to_str().ok());
            let expected = format!("bytes {}-{}/{}", file.length, wanted.bytes - 1, wanted.bytes);
            if range != Some(&expected) {
                let range = range.unwrap_or("no range");
                let error = anyhow!("{url} sends {} where {expected} was asked for", visible(range));
                return Err(Ended::Refused(error));
            }
        }
        status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            return Err(Ended::Broken(anyhow!("{url} answers with status {}", status.as_u16())));
        }
        status => return Err(Ended::Refused(anyhow!("{url} answers with status {}", status.as_u16()))),
    }
    let left = wanted.bytes - file.length;
    if let Some(length) = answer.content_length()
        && length != left
    {
        return Err(Ended::Refused(anyhow!("{url} sends {length} bytes where {left} were expected")));
    }
    loop {
        let chunk = answer.chunk().await.map_err(|error| {
            Ended::Broken(anyhow!(
                "{url} broke off after {} bytes ({})",
                file.length,
                visible(&innermost(&error))
            ))
        })?;
        let Some(chunk) = chunk else { break };
        if file.length + chunk.len() as u64 > wanted.bytes {
            return Err(Ended::Refused(anyhow!(
                "{url} sends more than the {} bytes of the file",
                wanted.bytes
            )));
        }
        file.append(&chunk).map_err(Ended::Refused)?;
        told(file.length);
    }
    match file.length == wanted.bytes {
        true => Ok(()),
        false => Err(Ended::Broken(anyhow!("{url} ended after {} of {} bytes", file.length, wanted.bytes))),
    }
}

impl Client {
    /// Redirects are followed, since hubs answer with the address of a store, but never from https to
    /// http.
    pub(super) fn new(patience: Patience) -> anyhow::Result<Client> {
        crate::provider::install_cryptography();
        let policy = reqwest::redirect::Policy::custom(|attempt| {
            let was_safe = attempt.previous().iter().any(|url| url.scheme() == "https");
            if attempt.previous().len() > 5 {
                attempt.error("more than five times")
            } else if was_safe && attempt.url().scheme() != "https" {
                attempt.error("from https to an unsafe address")
            } else {
                attempt.follow()
            }
        });
        let http = reqwest::Client::builder()
            .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(10))
            .read_timeout(patience.silence)
            .redirect(policy)
            .referer(false)
            .build()
            .context("the HTTP client cannot be set up")?;
        Ok(Client { http, patience })
    }
}

/// The address without what may be secret in it.
fn shown(url: &str) -> String {
    let Ok(mut url) = url::Url::parse(url) else { return "an address that is none".to_owned() };
    // Both fail only where there is nothing to hide.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.to_string()
}

/// Refuses a file that does not fit on the disk.
pub(super) fn ensure_room(folder: &Path, needed: u64) -> anyhow::Result<()> {
    /// What the rest of the machine needs to go on.
    const SPARE: u64 = 200_000_000;
    let free =
        fs4::available_space(folder).with_context(|| format!("cannot look at {}", folder.display()))?;
    ensure!(
        free >= needed.saturating_add(SPARE),
        "{} has {:.1} GB free, and {:.1} GB are needed; make room, or choose another place with --data-dir",
        folder.display(),
        free as f64 / 1e9,
        needed.saturating_add(SPARE) as f64 / 1e9
    );
    Ok(())
}
