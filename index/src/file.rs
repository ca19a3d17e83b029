//! Owns the step from a path to bytes: whole files up to a limit, of larger ones the beginning. It
//! must not know languages or storage.

use std::io::Read as _;
use std::path::Path;

/// Larger files are generated or data more often than not, and would crowd out everything else: only
/// their first [`HEAD_BYTES`] are indexed.
pub const LARGEST_FILE: u64 = 1024 * 1024;
/// How much of a larger file is indexed, up to the end of a line.
pub const HEAD_BYTES: u64 = 256 * 1024;

/// What was read of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The whole file, or its beginning up to the end of a line.
    pub bytes: Vec<u8>,
    /// Size of the whole file, in bytes.
    pub size: u64,
    /// blake3 of the whole file; of a larger one of its beginning and its size.
    pub hash: [u8; 32],
}

impl Content {
    /// Reads a regular file, or `None`. What was listed may have been replaced since: a pipe must
    /// not block us, a link must not be followed.
    pub fn read(path: &Path) -> Option<Content> {
        if !std::fs::symlink_metadata(path).ok()?.is_file() {
            return None;
        }
        let file = std::fs::File::open(path).ok()?;
        let size = file.metadata().ok()?.len();
        let limit = if size > LARGEST_FILE { HEAD_BYTES } else { LARGEST_FILE };
        let mut bytes = Vec::with_capacity(size.min(limit) as usize);
        file.take(limit).read_to_end(&mut bytes).ok()?;
        if size <= LARGEST_FILE {
            // The file may have grown or shrunk since its size was asked.
            let hash = *blake3::hash(&bytes).as_bytes();
            return Some(Content { size: bytes.len() as u64, bytes, hash });
        }
        bytes.truncate(end_of_last_line(&bytes));
        let hash = *blake3::Hasher::new().update(&bytes).update(&size.to_le_bytes()).finalize().as_bytes();
        Some(Content { bytes, size, hash })
    }

    /// Whether the file is larger than what was read of it.
    pub fn is_head(&self) -> bool {
        (self.bytes.len() as u64) < self.size
    }
}

/// Where to cut the beginning of a text: behind a line feed, which in UTF-16 has two bytes, or else
/// where a character of UTF-8 ends.
fn end_of_last_line(bytes: &[u8]) -> usize {
    let whole = match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => bytes.len(),
    };
    let Some(feed) = bytes[..whole].iter().rposition(|&byte| byte == b'\n') else { return whole & !1 };
    let is_wide_little = feed % 2 == 0 && bytes.get(feed + 1) == Some(&0);
    feed + if is_wide_little { 2 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_with_a_line() {
        assert_eq!(end_of_last_line(b"ab\ncd"), 3);
        assert_eq!(end_of_last_line(b"a\0\n\0b\0"), 4);
        assert_eq!(end_of_last_line(b"\0a\0\n\0b"), 4);
        assert_eq!(end_of_last_line("aabé".as_bytes()), 4, "cut to an even number of bytes");
        assert_eq!(end_of_last_line(&"abé".as_bytes()[..3]), 2);
        assert_eq!(end_of_last_line(b""), 0);
    }
}
