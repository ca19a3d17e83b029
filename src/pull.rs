//! Owns the way of an archive from a place on the network to a file. What it fetches is not trusted
//! and not read here; the index checks it. It must not know the index.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use futures::StreamExt as _;
use object_store::ObjectStoreExt as _;
use tokio::io::AsyncWriteExt as _;
use url::Url;

/// A server that sends more than this sends something else.
const LARGEST_ARCHIVE: u64 = 16 << 30;
/// Longest silence of a server.
const SILENCE: Duration = Duration::from_secs(60);

/// Fetches `url` to the file `to`, which must not exist. `settings` are those of the cloud's own
/// tools, such as `aws_region`; `progress` hears of bytes done and in all.
///
/// # Errors
/// An address of an unknown kind, a server that refuses, stays silent or sends too much.
pub async fn fetch(
    url: &str,
    settings: &[(String, String)],
    to: &Path,
    mut progress: impl FnMut(u64, u64),
) -> anyhow::Result<()> {
    crate::provider::install_cryptography();
    let url = Url::parse(url).with_context(|| format!("{url:?} is not an address"))?;
    let shown = shown(&url);
    let is_plain = url.scheme() == "http";
    let options = settings
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        // A large archive takes longer than half a minute; silence is watched here.
        .chain([("timeout", "1day")])
        // Whoever writes http:// means it.
        .chain(is_plain.then_some(("allow_http", "true")));
    let (store, path) = object_store::parse_url_opts(&url, options)
        .with_context(|| format!("{shown} is not an address that can be pulled from"))?;
    let answer = tokio::time::timeout(SILENCE, store.get(&path)).await;
    let answer = answer.with_context(|| format!("{shown} does not answer"))?;
    let answer = answer.with_context(|| format!("cannot pull {shown}"))?;
    let size = answer.meta.size;
    ensure!(size <= LARGEST_ARCHIVE, "{shown} has {size} bytes, which no archive of an index has");
    let mut file = tokio::fs::File::create_new(to).await?;
    let mut stream = answer.into_stream();
    let mut done = 0u64;
    loop {
        let next = tokio::time::timeout(SILENCE, stream.next()).await;
        let Some(bytes) = next.with_context(|| format!("{shown} has fallen silent"))? else { break };
        let bytes = bytes.with_context(|| format!("{shown} broke off after {done} bytes"))?;
        done += bytes.len() as u64;
        if done > LARGEST_ARCHIVE {
            bail!("{shown} sends more bytes than any archive of an index has");
        }
        file.write_all(&bytes).await.with_context(|| format!("cannot write {}", to.display()))?;
        progress(done, size);
    }
    file.flush().await.with_context(|| format!("cannot write {}", to.display()))
}

/// The address without what may be secret in it.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // Both fail only where there is nothing to hide.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let url = Url::parse("https://me:secret@host/a/index?sig=secret#secret").unwrap();
        assert_eq!(shown(&url), "https://host/a/index");
    }
}
