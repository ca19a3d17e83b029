//! Owns the archive: an index as one file that another machine can take over. It trusts nothing in
//! it: what is written, how much and under which names follows from checks, not from the archive.
//! It must not know where an archive comes from.
//!
//! An archive is a line of magic, the manifest as one line of JSON, and one zstd frame with the
//! parts in the manifest's order: the rows of the store, then the files of the full text. Nothing of
//! the machine that made it is inside, neither paths above the root nor times.

use std::io::{self, BufRead, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::IndexError;
use crate::store::version;

mod export;
mod import;

pub use export::export;
pub use import::import;

const MAGIC: &str = "countersign-index archive 1\n";
/// A manifest names some hundreds of files at most.
const LONGEST_MANIFEST: u64 = 1 << 20;
/// What an archive may hold when it is unpacked, in all and in proportion to its own size: zstd
/// could make a terabyte of a megabyte.
const LARGEST_CONTENT: u64 = 64 << 30;
const MOST_EXPANSION: u64 = 64;
/// Content that needs no proportion.
const SMALL_CONTENT: u64 = 64 << 20;
const ROWS: &str = "rows";

/// What an archive says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Of the program that wrote it: schema, extraction, queries and grammars. Only the same one
    /// can read it.
    pub version: String,
    /// blake3 of the weights for ranking; ranking always uses the reader's own.
    pub weights: String,
    /// Languages with the versions of their grammars.
    pub grammars: Vec<String>,
    /// The commit that HEAD named, in hexadecimal.
    pub commit: Option<String>,
    /// Indexed files.
    pub files: u64,
    pub parts: Vec<Part>,
    /// blake3 of everything above, which holds the hashes of the content: the archive's address.
    pub total: String,
}

/// One part of the content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    pub name: String,
    pub bytes: u64,
    pub blake3: String,
}

impl Manifest {
    fn address(&self) -> String {
        let unsigned = Manifest { total: String::new(), ..self.clone() };
        // Plain data always serializes.
        blake3::hash(&serde_json::to_vec(&unsigned).unwrap_or_default()).to_hex().to_string()
    }

    /// Checks what can be known before the content is read. `size` is that of the archive.
    fn check(&self, size: u64) -> Result<(), IndexError> {
        if self.total != self.address() {
            return Err(refused("its manifest does not have the hash that it claims"));
        }
        if self.version != version() {
            return Err(refused(format!(
                "it was made by version {} and this program needs {}; build the index here, or use the program that made it",
                self.version.escape_default(),
                version()
            )));
        }
        let names_are_ours = self.parts.iter().enumerate().all(|(at, part)| match at {
            0 => part.name == ROWS,
            _ => is_segment_file(&part.name) && !self.parts[..at].iter().any(|other| other.name == part.name),
        });
        if self.parts.is_empty() || !names_are_ours {
            return Err(refused("it holds files that are not of an index"));
        }
        let content = self.parts.iter().try_fold(0u64, |sum, part| sum.checked_add(part.bytes));
        let most = SMALL_CONTENT.max(size.saturating_mul(MOST_EXPANSION)).min(LARGEST_CONTENT);
        if content.is_none_or(|content| content > most) {
            return Err(refused("it would unpack to more than an archive of its size can hold"));
        }
        Ok(())
    }
}

/// `<32 hexadecimal digits>[.<digits>].<letters>`: no path, no other file.
fn is_segment_file(name: &str) -> bool {
    let mut pieces = name.split('.');
    let id = pieces.next().unwrap_or_default();
    let rest: Vec<&str> = pieces.collect();
    let is_digits =
        |text: &str| !text.is_empty() && text.len() < 20 && text.bytes().all(|b| b.is_ascii_digit());
    let is_letters =
        |text: &str| (1..=12).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase());
    id.len() == 32
        && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        && match rest[..] {
            [extension] => is_letters(extension),
            [stamp, extension] => is_digits(stamp) && is_letters(extension),
            _ => false,
        }
}

fn refused(reason: impl Into<String>) -> IndexError {
    IndexError::Archive { reason: reason.into() }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> IndexError {
    let path = path.to_owned();
    move |error| IndexError::Directory { path: path.clone(), reason: error.to_string() }
}

/// Hashes and counts what passes through.
struct Measured<S> {
    inner: S,
    hash: blake3::Hasher,
    bytes: u64,
}

impl<S> Measured<S> {
    fn new(inner: S) -> Measured<S> {
        Measured { inner, hash: blake3::Hasher::new(), bytes: 0 }
    }

    fn part(&self, name: &str) -> Part {
        let blake3 = self.hash.finalize().to_hex().to_string();
        Part { name: name.to_owned(), bytes: self.bytes, blake3 }
    }

    fn pass(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
    }
}

impl<W: Write> Write for Measured<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.pass(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<R: Read> Read for Measured<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        self.pass(&into[..count]);
        Ok(count)
    }
}

/// Reads magic and manifest, and checks what they say. `size` is the size of the archive.
pub fn read_manifest(from: &mut impl BufRead, size: u64) -> Result<Manifest, IndexError> {
    let mut magic = vec![0; MAGIC.len()];
    let is_ours = from.read_exact(&mut magic).is_ok() && magic == MAGIC.as_bytes();
    if !is_ours {
        return Err(refused("it is not an archive of an index, or of a later form"));
    }
    let mut line = Vec::new();
    let read = from.by_ref().take(LONGEST_MANIFEST).read_until(b'\n', &mut line);
    let manifest = read.ok().and_then(|_| serde_json::from_slice::<Manifest>(&line).ok());
    let manifest = manifest.ok_or_else(|| refused("its manifest cannot be read"))?;
    manifest.check(size)?;
    Ok(manifest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_segments_have_names() {
        let id = "0123456789abcdef0123456789abcdef";
        for good in [format!("{id}.idx"), format!("{id}.12.del"), format!("{id}.fieldnorm")] {
            assert!(is_segment_file(&good), "{good}");
        }
        let bad = [
            "rows".to_owned(),
            id.to_owned(),
            format!("../{id}.idx"),
            format!("/{id}.idx"),
            format!("{id}./idx"),
            format!("{id}.x/../../y"),
            format!("{id}.idx\0"),
            format!("{id}..idx"),
            format!("{id}.1.2.del"),
            "meta.json".to_owned(),
            "C:\\x.idx".to_owned(),
        ];
        for bad in bad {
            assert!(!is_segment_file(&bad), "{bad:?}");
        }
    }

    fn manifest(parts: Vec<Part>) -> Manifest {
        let mut manifest = Manifest {
            version: version(),
            weights: String::new(),
            grammars: Vec::new(),
            commit: None,
            files: 1,
            parts,
            total: String::new(),
        };
        manifest.total = manifest.address();
        manifest
    }

    #[test]
    fn a_manifest_cannot_promise_too_much() {
        let rows = |bytes| Part { name: ROWS.into(), bytes, blake3: String::new() };
        assert!(manifest(vec![rows(1000)]).check(100).is_ok());
        assert!(manifest(vec![rows(1 << 30)]).check(100).is_err());
        assert!(
            manifest(vec![rows(u64::MAX), Part { name: format!("{}.idx", "a".repeat(32)), ..rows(2) }])
                .check(u64::MAX)
                .is_err()
        );
        assert!(manifest(vec![rows(LARGEST_CONTENT + 1)]).check(u64::MAX).is_err());
        assert!(manifest(Vec::new()).check(100).is_err());
        assert!(manifest(vec![rows(1), rows(1)]).check(100).is_err());
        let mut forged = manifest(vec![rows(1000)]);
        forged.files = 2;
        assert!(forged.check(100).is_err(), "the total covers every field");
    }
}
