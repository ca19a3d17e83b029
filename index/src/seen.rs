//! Owns the memory of what the tree looked like at the last update: one row for each file that was
//! seen, with what the file system said of it, so that an unchanged file need not be read again.
//! Content still decides; this only says where looking at it can be spared. It must not know
//! languages or ranking.

use std::fs::Metadata;
use std::path::Path;

use rusqlite::{Connection, params};

use crate::IndexError;
use crate::error::store;
use crate::walk::SkipReason;

/// Some file systems keep times to two seconds only: a file that changed this shortly before it
/// was looked at may change once more without a trace.
const COARSEST_CLOCK: i64 = 2_000_000_000;

/// What the file system says of a file. The time of change cannot be set by programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    pub bytes: u64,
    /// Nanoseconds since the epoch.
    pub modified: i64,
    pub changed: i64,
    pub inode: u64,
}

impl Stamp {
    /// `None` where the file system keeps no time.
    pub fn of(metadata: &Metadata) -> Option<Stamp> {
        let modified = nanoseconds(metadata)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            let changed = metadata.ctime().checked_mul(1_000_000_000)?.checked_add(metadata.ctime_nsec())?;
            Some(Stamp { bytes: metadata.len(), modified, changed, inode: metadata.ino() })
        }
        #[cfg(not(unix))]
        Some(Stamp { bytes: metadata.len(), modified, changed: 0, inode: 0 })
    }

    /// Whether a file with this stamp that is read at `now` or later cannot change behind it: git's
    /// rule for entries that are as young as the index itself.
    pub fn is_settled(&self, now: i64) -> bool {
        self.modified.max(self.changed).saturating_add(COARSEST_CLOCK) < now
    }
}

fn nanoseconds(metadata: &Metadata) -> Option<i64> {
    let since = metadata.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_nanos()).ok()
}

/// The time by the clock that stamps files, in nanoseconds since the epoch: that of a file which is
/// written for it. 0, at which nothing is settled, where there is none.
pub fn now(store_dir: &Path) -> i64 {
    let marker = store_dir.join("now");
    let written = std::fs::write(&marker, b"\n").and_then(|()| std::fs::metadata(&marker));
    written.ok().as_ref().and_then(nanoseconds).unwrap_or(0)
}

/// What was known of one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub path: String,
    /// `None`: it has to be read to be known.
    pub stamp: Option<Stamp>,
    /// Why it is not in the index.
    pub skipped: Option<SkipReason>,
    /// Id of its row in `files`, when it is.
    pub file: Option<i64>,
}

/// Everything that was seen at or below one of these paths, or everything; by path.
pub fn all(connection: &Connection, scope: Option<&[String]>) -> Result<Vec<Seen>, IndexError> {
    const COLUMNS: &str = "SELECT path, bytes, modified, changed, inode, skipped, file FROM seen";
    let row = |row: &rusqlite::Row| {
        let bytes: Option<i64> = row.get(1)?;
        let stamp = match bytes {
            None => None,
            Some(bytes) => Some(Stamp {
                bytes: bytes as u64,
                modified: row.get(2)?,
                changed: row.get(3)?,
                inode: row.get::<_, i64>(4)? as u64,
            }),
        };
        let skipped = row.get::<_, Option<String>>(5)?.as_deref().and_then(SkipReason::by_name);
        Ok(Seen { path: row.get(0)?, stamp, skipped, file: row.get(6)? })
    };
    let read = || -> rusqlite::Result<Vec<Seen>> {
        let Some(scope) = scope else {
            let mut statement = connection.prepare_cached(&format!("{COLUMNS} ORDER BY path"))?;
            return statement.query_map([], row)?.collect();
        };
        // '0' is the character after '/'.
        let sql = format!("{COLUMNS} WHERE path = ?1 OR (path > ?1 || '/' AND path < ?1 || '0')");
        let mut statement = connection.prepare_cached(&sql)?;
        let mut seen = Vec::new();
        for path in scope {
            for found in statement.query_map([path], row)? {
                seen.push(found?);
            }
        }
        seen.sort_by(|a, b| a.path.cmp(&b.path));
        seen.dedup_by(|a, b| a.path == b.path);
        Ok(seen)
    };
    read().map_err(store("reading what was seen"))
}

/// Remembers one path.
pub fn put(connection: &Connection, seen: &Seen) -> Result<(), IndexError> {
    let stamp = seen.stamp;
    connection
        .prepare_cached("INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?, ?, ?, ?)")
        .and_then(|mut statement| {
            statement.execute(params![
                seen.path,
                stamp.map(|stamp| stamp.bytes as i64),
                stamp.map(|stamp| stamp.modified),
                stamp.map(|stamp| stamp.changed),
                stamp.map(|stamp| stamp.inode as i64),
                seen.skipped.map(SkipReason::name),
                seen.file,
            ])
        })
        .map(drop)
        .map_err(store("writing what was seen"))
}

/// Forgets one path.
pub fn remove(connection: &Connection, path: &str) -> Result<(), IndexError> {
    connection
        .prepare_cached("DELETE FROM seen WHERE path = ?")
        .and_then(|mut statement| statement.execute([path]))
        .map(drop)
        .map_err(store("writing what was seen"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_young_file_is_not_settled() {
        let stamp = Stamp { bytes: 1, modified: 10_000_000_000, changed: 10_000_000_000, inode: 1 };
        assert!(!stamp.is_settled(0), "no clock");
        assert!(!stamp.is_settled(10_000_000_000));
        assert!(!stamp.is_settled(12_000_000_000));
        assert!(stamp.is_settled(12_000_000_001));
        let copied_back = Stamp { modified: 0, ..stamp };
        assert!(!copied_back.is_settled(11_000_000_000), "the time of change counts too");
    }
}
