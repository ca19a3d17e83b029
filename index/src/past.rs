//! Owns the form in which git history is kept: what each commit says and touches, which never
//! changes, and from it one compact whole for queries, with files under the names that they have
//! now. It must not read git or score anything.

use std::collections::{BTreeMap, HashMap, HashSet};

use rusqlite::{Connection, OptionalExtension};
use serde::{Deserialize, Serialize};

use crate::IndexError;
use crate::error::store;
use crate::packed::{pack, unpack};

/// What a commit says and touches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// Seconds since the epoch, of the committer.
    pub time: i64,
    pub subject: String,
    pub terms: Terms,
    /// Path after the commit, and before it where it was renamed.
    pub touched: Vec<(String, Option<String>)>,
}

/// The tokens of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// How many, each time counted.
    pub length: u32,
    /// Key and occurrences of each, by key.
    pub counts: Vec<(u64, u32)>,
}

impl Terms {
    /// Of tokens that are separated by spaces.
    pub fn of(tokens: &str) -> Terms {
        let mut counts: BTreeMap<u64, u32> = BTreeMap::new();
        let mut length = 0;
        for token in tokens.split_ascii_whitespace() {
            *counts.entry(term_key(token)).or_default() += 1;
            length += 1;
        }
        Terms { length, counts: counts.into_iter().collect() }
    }
}

/// 35 bits of the token's hash, which are five bytes when stored. Among the hundred thousand tokens
/// of a long history some two will share one; neither gains more than a word would.
pub fn term_key(token: &str) -> u64 {
    let hash = blake3::hash(token.as_bytes());
    hash.as_bytes()[..5].iter().fold(0, |key, byte| key << 8 | u64::from(*byte)) >> 5
}

/// The history as a query reads it, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// Names that files have now, or had last.
    pub paths: Vec<String>,
    pub commits: Vec<Resolved>,
}

/// A commit whose files are known under the names that they have now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    pub time: i64,
    pub subject: String,
    pub terms: Terms,
    /// Positions in [`Past::paths`], in no order; as many as the commit touched.
    pub touched: Vec<u32>,
}

impl Past {
    /// Walks from the newest commit to the oldest and calls each path by the name it has now.
    fn of(commits: Vec<Commit>) -> Past {
        let mut past = Past::default();
        let mut now: HashMap<String, String> = HashMap::new();
        let mut known: HashMap<String, u32> = HashMap::new();
        for commit in commits {
            let mut touched = Vec::with_capacity(commit.touched.len());
            let mut renamed = Vec::new();
            for (path, before) in commit.touched {
                let path = now.get(&path).cloned().unwrap_or(path);
                touched.push(*known.entry(path.clone()).or_insert_with(|| {
                    past.paths.push(path.clone());
                    past.paths.len() as u32 - 1
                }));
                if let Some(before) = before {
                    renamed.push((before, path));
                }
            }
            now.extend(renamed);
            let Commit { time, subject, terms, .. } = commit;
            past.commits.push(Resolved { time, subject, terms, touched });
        }
        past
    }
}

/// The history of the last update.
pub fn read(connection: &Connection) -> Result<Past, IndexError> {
    let read = || {
        let mut statement = connection.prepare_cached("SELECT content FROM past")?;
        let mut rows = statement.query([])?;
        let Some(row) = rows.next()? else { return Ok(Past::default()) };
        unpack(row.get_ref(0)?.as_blob()?).map_err(damaged)
    };
    read().map_err(store("reading the history"))
}

fn damaged(damage: crate::packed::Damaged) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Blob, Box::new(damage))
}

/// Which of these commits are not in the cache yet.
pub fn unknown(connection: &Connection, ids: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, IndexError> {
    let read = || -> rusqlite::Result<Vec<Vec<u8>>> {
        let mut statement = connection.prepare_cached("SELECT 1 FROM commits WHERE id = ?")?;
        let mut unknown = Vec::new();
        for id in ids {
            if !statement.exists([id])? {
                unknown.push(id.clone());
            }
        }
        Ok(unknown)
    };
    read().map_err(store("reading the history"))
}

/// Adds a commit to the cache.
pub fn add(connection: &Connection, id: &[u8], commit: &Commit) -> Result<(), IndexError> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO commits VALUES (?, ?)")
        .and_then(|mut statement| statement.execute((id, pack(commit))))
        .map(drop)
        .map_err(store("writing the history"))
}

/// Sets which cached commits are the history, newest first; others are forgotten.
pub fn set(connection: &Connection, order: &[Vec<u8>]) -> Result<(), IndexError> {
    let write = || -> rusqlite::Result<()> {
        let mut statement = connection.prepare_cached("SELECT content FROM commits WHERE id = ?")?;
        let mut commits = Vec::with_capacity(order.len());
        for id in order {
            let content: Option<Vec<u8>> = statement.query_row([id], |row| row.get(0)).optional()?;
            if let Some(content) = content {
                commits.push(unpack(&content).map_err(damaged)?);
            }
        }
        connection.execute("DELETE FROM past", [])?;
        connection.execute("INSERT INTO past VALUES (?)", [pack(&Past::of(commits))])?;
        let wanted: HashSet<&[u8]> = order.iter().map(Vec::as_slice).collect();
        let mut statement = connection.prepare_cached("SELECT id FROM commits")?;
        let cached: Vec<Vec<u8>> =
            statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        let mut statement = connection.prepare_cached("DELETE FROM commits WHERE id = ?")?;
        for id in cached.iter().filter(|id| !wanted.contains(id.as_slice())) {
            statement.execute([id])?;
        }
        Ok(())
    };
    write().map_err(store("writing the history"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_called_as_they_are_now() {
        let commit = |touched: &[(&str, Option<&str>)]| Commit {
            time: 0,
            subject: String::new(),
            terms: Terms::of("fix pars fix"),
            touched: touched.iter().map(|(a, b)| ((*a).into(), b.map(str::to_owned))).collect(),
        };
        let past = Past::of(vec![
            commit(&[("c", Some("b"))]),
            commit(&[("b", Some("a")), ("x", None)]),
            commit(&[("a", None)]),
        ]);
        assert_eq!(past.paths, ["c", "x"]);
        let touched: Vec<_> = past.commits.iter().map(|commit| commit.touched.clone()).collect();
        assert_eq!(touched, [vec![0], vec![0, 1], vec![0]]);
        assert_eq!(past.commits[0].terms.length, 3);
        assert!(past.commits[0].terms.counts.contains(&(term_key("fix"), 2)));
    }
}
