//! Owns the SQLite database, the truth of the index. It must not know ranking, tantivy or git.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use crate::IndexError;
use crate::error::store;
use crate::symbol::{Chunk, Extracted, Symbol, SymbolKind};

const SCHEMA: &str = include_str!("../schema.sql");

/// Everything an index depends on besides the tree: the schema, the code that fills it and the
/// queries. Another value means another index.
pub fn version() -> String {
    let mut hash = blake3::Hasher::new();
    for part in [
        SCHEMA,
        include_str!("chunk.rs"),
        include_str!("decode.rs"),
        include_str!("extract.rs"),
        include_str!("git.rs"),
        include_str!("lang.rs"),
        include_str!("lang/table.rs"),
        include_str!("markdown.rs"),
        include_str!("symbol.rs"),
        include_str!("text.rs"),
        include_str!("token.rs"),
        include_str!("update.rs"),
    ] {
        hash.update(part.as_bytes());
    }
    for language in crate::lang::all() {
        hash.update(language.name.as_bytes());
        if let crate::lang::Structure::Grammar { query, grammar } = language.structure {
            hash.update(query.as_bytes());
            hash.update(&grammar().abi_version().to_le_bytes());
            hash.update(&grammar().node_kind_count().to_le_bytes());
        }
    }
    format!("{}-{}", env!("CARGO_PKG_VERSION"), &hash.finalize().to_hex()[..16])
}

/// A row of `files`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRow {
    pub id: i64,
    pub path: String,
    pub hash: [u8; 32],
    pub blob: Vec<u8>,
    pub bytes: u64,
    pub lines: u32,
    pub tokens: u64,
    pub chunks: u32,
    pub language: Option<String>,
    pub encoding: String,
    pub syntax_errors: u32,
    pub gave_up: bool,
    /// How the file differs from HEAD: `modified`, `new`, or `None`. Written by [`mark_git_state`].
    pub git: Option<String>,
}

/// A row of `commits`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitRow {
    pub id: Vec<u8>,
    /// Seconds since the epoch, of the committer.
    pub time: i64,
    pub subject: String,
    /// Tokens of the message, separated by spaces.
    pub terms: String,
    /// Path after the commit, and before it where it was renamed.
    pub touched: Vec<(String, Option<String>)>,
}

/// The open database.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    path: PathBuf,
}

impl Store {
    /// Opens or creates the database. A file of another version, or one that is damaged, is
    /// replaced; the returned text says why.
    pub fn open(path: &Path) -> Result<(Store, Option<String>), IndexError> {
        let existed = path.exists();
        match Store::connect(path) {
            Ok(mut opened) => match opened.read_version()? {
                Some(found) if found == version() => Ok((opened, None)),
                Some(_) => {
                    drop(opened);
                    Store::replace(path, "the index was made by another version of the program")
                }
                None => {
                    opened.create()?;
                    Ok((opened, existed.then(|| "the index was incomplete".to_owned())))
                }
            },
            Err(error) if existed && is_damage(&error) => Store::replace(path, "the index was damaged"),
            Err(error) => Err(error),
        }
    }

    /// Begins anew with an empty database.
    pub fn replace(path: &Path, why: &str) -> Result<(Store, Option<String>), IndexError> {
        remove_database(path)?;
        let mut opened = Store::connect(path)?;
        opened.create()?;
        Ok((opened, Some(why.to_owned())))
    }

    fn connect(path: &Path) -> Result<Store, IndexError> {
        let connection = Connection::open(path).map_err(store("opening it"))?;
        connection.busy_timeout(std::time::Duration::from_secs(5)).map_err(store("opening it"))?;
        // The database can be made again from the tree, so that a lost last transaction after a
        // power cut is harmless: NORMAL never damages a WAL database.
        connection
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF;")
            .map_err(store("opening it"))?;
        connection.set_prepared_statement_cache_capacity(64);
        restrict(path)?;
        Ok(Store { connection, path: path.to_owned() })
    }

    fn read_version(&self) -> Result<Option<String>, IndexError> {
        let tables: i64 = self
            .connection
            .query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'meta'", [], |row| row.get(0))
            .map_err(store("reading its version"))?;
        if tables == 0 { Ok(None) } else { self.meta("version") }
    }

    fn create(&mut self) -> Result<(), IndexError> {
        let transaction = self.begin_write()?;
        let exists: i64 = transaction
            .query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'meta'", [], |row| row.get(0))
            .map_err(store("creating it"))?;
        if exists == 0 {
            transaction.execute_batch(SCHEMA).map_err(store("creating it"))?;
        }
        set_meta(&transaction, "version", &version())?;
        set_meta(&transaction, "generation", "0")?;
        transaction.commit().map_err(store("creating it"))
    }

    /// Begins the one write transaction; waits a few seconds for another process.
    pub fn begin_write(&mut self) -> Result<Transaction<'_>, IndexError> {
        let path = self.path.clone();
        self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(|error| {
            match error.sqlite_error_code() {
                Some(rusqlite::ErrorCode::DatabaseBusy) => IndexError::Busy { path },
                _ => store("beginning to write")(error),
            }
        })
    }

    /// The connection, for reading.
    pub fn reader(&self) -> &Connection {
        &self.connection
    }

    /// A value of `meta`.
    pub fn meta(&self, key: &str) -> Result<Option<String>, IndexError> {
        meta(&self.connection, key)
    }
}

/// Whether the file is not, or no longer, a database.
pub fn is_damage(error: &IndexError) -> bool {
    let IndexError::Store { source, .. } = error else { return false };
    matches!(
        source.sqlite_error_code(),
        Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt)
    )
}

fn remove_database(path: &Path) -> Result<(), IndexError> {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match std::fs::remove_file(&name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(IndexError::Directory { path: name.into(), reason: error.to_string() });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Only the owner may read what was indexed.
fn restrict(path: &Path) -> Result<(), IndexError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
            .map_err(|error| IndexError::Directory { path: path.to_owned(), reason: error.to_string() })?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

/// A value of `meta`, within a transaction or without.
pub fn meta(connection: &Connection, key: &str) -> Result<Option<String>, IndexError> {
    connection
        .prepare_cached("SELECT value FROM meta WHERE key = ?")
        .and_then(|mut statement| statement.query_row([key], |row| row.get(0)).optional())
        .map_err(store("reading its state"))
}

/// Sets a value of `meta`.
pub fn set_meta(connection: &Connection, key: &str, value: &str) -> Result<(), IndexError> {
    connection
        .prepare_cached(
            "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        )
        .and_then(|mut statement| statement.execute([key, value]))
        .map(drop)
        .map_err(store("writing its state"))
}

/// All rows of `files` by path.
pub fn files(connection: &Connection) -> Result<Vec<FileRow>, IndexError> {
    let read = || {
        let mut statement = connection.prepare_cached(
            "SELECT id, path, hash, blob, bytes, lines, tokens, chunks, language, encoding, syntax_errors, gave_up, git FROM files ORDER BY path",
        )?;
        let rows = statement.query_map([], |row| {
            Ok(FileRow {
                id: row.get(0)?,
                path: row.get(1)?,
                hash: row.get(2)?,
                blob: row.get(3)?,
                bytes: row.get::<_, i64>(4)? as u64,
                lines: row.get(5)?,
                tokens: row.get::<_, i64>(6)? as u64,
                chunks: row.get(7)?,
                language: row.get(8)?,
                encoding: row.get(9)?,
                syntax_errors: row.get(10)?,
                gave_up: row.get(11)?,
                git: row.get(12)?,
            })
        })?;
        rows.collect::<rusqlite::Result<Vec<_>>>()
    };
    read().map_err(store("reading the files"))
}

/// How many files there are in an encoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodingCount {
    pub name: String,
    pub files: u64,
    /// Files whose parser gave up.
    pub gave_up: u64,
}

/// Counts of files by encoding, by name.
pub fn encodings(connection: &Connection) -> Result<Vec<EncodingCount>, IndexError> {
    let read = || {
        let mut statement = connection.prepare_cached(
            "SELECT encoding, count(*), sum(gave_up) FROM files GROUP BY encoding ORDER BY encoding",
        )?;
        let rows = statement.query_map([], |row| {
            Ok(EncodingCount {
                name: row.get(0)?,
                files: row.get::<_, i64>(1)? as u64,
                gave_up: row.get::<_, i64>(2)? as u64,
            })
        })?;
        rows.collect::<rusqlite::Result<Vec<_>>>()
    };
    read().map_err(store("counting the files"))
}

/// Forgets every file; git state stays.
pub fn clear_files(connection: &Connection) -> Result<(), IndexError> {
    connection
        .execute_batch("DELETE FROM files; DELETE FROM chunks; DELETE FROM symbols; DELETE FROM names; DELETE FROM uses; DELETE FROM imports;")
        .map_err(store("clearing it"))
}

/// Compares every file with the tree of HEAD. Without a HEAD nothing is known of any file.
pub fn mark_git_state(connection: &Connection) -> Result<(), IndexError> {
    connection
        .execute_batch(
            "UPDATE files SET git = CASE
                 WHEN NOT EXISTS (SELECT 1 FROM head) THEN NULL
                 ELSE (SELECT CASE WHEN instr(files.blob, head.blob) > 0 THEN NULL ELSE 'modified' END FROM head WHERE head.path = files.path
                       UNION ALL SELECT 'new' LIMIT 1)
             END",
        )
        .map_err(store("comparing with git"))
}

/// Forgets everything about a file.
pub fn remove_file(connection: &Connection, id: i64) -> Result<(), IndexError> {
    let remove = || -> rusqlite::Result<()> {
        for statement in [
            "DELETE FROM files WHERE id = ?",
            "DELETE FROM chunks WHERE file = ?",
            "DELETE FROM symbols WHERE file = ?",
            "DELETE FROM uses WHERE file = ?",
            "DELETE FROM imports WHERE file = ?",
        ] {
            connection.prepare_cached(statement)?.execute([id])?;
        }
        Ok(())
    };
    remove().map_err(store("removing a file"))
}

/// Writes a file; `names` caches the ids of names within one update.
pub fn insert_file(
    connection: &Connection,
    row: &FileRow,
    extracted: &Extracted,
    names: &mut HashMap<String, i64>,
) -> Result<(), IndexError> {
    let mut insert = || -> rusqlite::Result<()> {
        connection
            .prepare_cached("INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?
            .execute(params![
                row.id,
                row.path,
                row.hash,
                row.blob,
                row.bytes as i64,
                row.lines,
                row.tokens as i64,
                row.chunks,
                row.language,
                row.encoding,
                row.syntax_errors,
                row.gave_up,
                row.git
            ])?;
        let mut statement = connection.prepare_cached("INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?)")?;
        for (ordinal, c) in extracted.chunks.iter().enumerate() {
            statement.execute(params![
                row.id,
                ordinal as i64,
                c.start_line,
                c.end_line,
                c.start_byte,
                c.end_byte
            ])?;
        }
        let mut statement =
            connection.prepare_cached("INSERT INTO symbols VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?;
        for (ordinal, s) in extracted.symbols.iter().enumerate() {
            statement.execute(params![
                row.id,
                ordinal as i64,
                s.name,
                s.kind.name(),
                s.container,
                s.signature,
                s.start_line,
                s.end_line,
                s.start_byte,
                s.end_byte,
                s.doc
            ])?;
        }
        let mut statement = connection.prepare_cached("INSERT INTO imports VALUES (?, ?, ?, ?)")?;
        for (ordinal, import) in extracted.imports.iter().enumerate() {
            statement.execute(params![row.id, ordinal as i64, import.target, import.line])?;
        }
        let mut statement = connection.prepare_cached("INSERT OR IGNORE INTO uses VALUES (?, ?, ?)")?;
        for found in &extracted.references {
            statement.execute(params![name_id(connection, names, &found.name)?, row.id, found.line])?;
        }
        Ok(())
    };
    insert().map_err(store("writing a file"))
}

fn name_id(connection: &Connection, names: &mut HashMap<String, i64>, name: &str) -> rusqlite::Result<i64> {
    if let Some(&id) = names.get(name) {
        return Ok(id);
    }
    let known = connection
        .prepare_cached("SELECT id FROM names WHERE name = ?")?
        .query_row([name], |row| row.get(0))
        .optional()?;
    let id = match known {
        Some(id) => id,
        None => {
            connection.prepare_cached("INSERT INTO names (name) VALUES (?)")?.execute([name])?;
            connection.last_insert_rowid()
        }
    };
    names.insert(name.to_owned(), id);
    Ok(id)
}

/// Chunks of a file, by place.
pub fn chunks(connection: &Connection, file: i64) -> Result<Vec<Chunk>, IndexError> {
    let read = || {
        let mut statement = connection.prepare_cached(
            "SELECT start_line, end_line, start_byte, end_byte FROM chunks WHERE file = ? ORDER BY ordinal",
        )?;
        let rows = statement.query_map([file], |row| {
            Ok(Chunk {
                start_line: row.get(0)?,
                end_line: row.get(1)?,
                start_byte: row.get(2)?,
                end_byte: row.get(3)?,
            })
        })?;
        rows.collect::<rusqlite::Result<Vec<_>>>()
    };
    read().map_err(store("reading chunks"))
}

/// Symbols of a file, by place.
pub fn symbols(connection: &Connection, file: i64) -> Result<Vec<Symbol>, IndexError> {
    let read = || {
        let mut statement = connection.prepare_cached(
            "SELECT name, kind, container, signature, start_line, end_line, start_byte, end_byte, doc FROM symbols WHERE file = ? ORDER BY ordinal",
        )?;
        let rows = statement.query_map([file], |row| {
            Ok(Symbol {
                name: row.get(0)?,
                // Only our own names are ever written; the version would differ otherwise.
                kind: SymbolKind::by_name(&row.get::<_, String>(1)?).unwrap_or(SymbolKind::Function),
                container: row.get(2)?,
                signature: row.get(3)?,
                start_line: row.get(4)?,
                end_line: row.get(5)?,
                start_byte: row.get(6)?,
                end_byte: row.get(7)?,
                doc: row.get(8)?,
            })
        })?;
        rows.collect::<rusqlite::Result<Vec<_>>>()
    };
    read().map_err(store("reading symbols"))
}

/// Imports of a file, by place.
pub fn imports(connection: &Connection, file: i64) -> Result<Vec<crate::symbol::Import>, IndexError> {
    let read = || {
        let mut statement =
            connection.prepare_cached("SELECT target, line FROM imports WHERE file = ? ORDER BY ordinal")?;
        let rows = statement
            .query_map([file], |row| Ok(crate::symbol::Import { target: row.get(0)?, line: row.get(1)? }))?;
        rows.collect::<rusqlite::Result<Vec<_>>>()
    };
    read().map_err(store("reading imports"))
}

/// Where a name is used: path and line, by path then line.
pub fn uses(connection: &Connection, name: &str) -> Result<Vec<(String, u32)>, IndexError> {
    let read = || {
        let mut statement = connection.prepare_cached(
            "SELECT path, line FROM names JOIN uses ON uses.name = names.id JOIN files ON files.id = uses.file WHERE names.name = ? ORDER BY path, line",
        )?;
        let rows = statement.query_map([name], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<rusqlite::Result<Vec<_>>>()
    };
    read().map_err(store("reading references"))
}

/// Replaces the tree of HEAD.
pub fn set_head(connection: &Connection, entries: &[(String, Vec<u8>)]) -> Result<(), IndexError> {
    let write = || -> rusqlite::Result<()> {
        connection.execute("DELETE FROM head", [])?;
        let mut statement = connection.prepare_cached("INSERT OR REPLACE INTO head VALUES (?, ?)")?;
        for (path, blob) in entries {
            statement.execute(params![path, blob])?;
        }
        Ok(())
    };
    write().map_err(store("writing the tree of HEAD"))
}

/// The commits of `history`, newest first.
pub fn history(connection: &Connection) -> Result<Vec<CommitRow>, IndexError> {
    let read = || {
        let mut statement = connection.prepare_cached(
            "SELECT commits.id, time, subject, terms, touched FROM history JOIN commits ON commits.id = history.id ORDER BY position",
        )?;
        let rows = statement.query_map([], |row| {
            let touched: String = row.get(4)?;
            Ok(CommitRow {
                id: row.get(0)?,
                time: row.get(1)?,
                subject: row.get(2)?,
                terms: row.get(3)?,
                touched: serde_json::from_str(&touched).unwrap_or_default(),
            })
        })?;
        rows.collect::<rusqlite::Result<Vec<_>>>()
    };
    read().map_err(store("reading the history"))
}

/// Which of these commits are not in the cache yet.
pub fn unknown_commits(connection: &Connection, ids: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, IndexError> {
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

/// Adds commits to the cache and sets which of all commits are the history, newest first. Cached
/// commits that are no longer part of it are forgotten.
pub fn set_history(connection: &Connection, new: &[CommitRow], order: &[Vec<u8>]) -> Result<(), IndexError> {
    let write = || -> rusqlite::Result<()> {
        let mut statement =
            connection.prepare_cached("INSERT OR REPLACE INTO commits VALUES (?, ?, ?, ?, ?)")?;
        for commit in new {
            // A list of pairs of strings always serializes.
            let touched = serde_json::to_string(&commit.touched).unwrap_or_default();
            statement.execute(params![commit.id, commit.time, commit.subject, commit.terms, touched])?;
        }
        connection.execute("DELETE FROM history", [])?;
        let mut statement = connection.prepare_cached("INSERT INTO history VALUES (?, ?)")?;
        for (position, id) in order.iter().enumerate() {
            statement.execute(params![position as i64, id])?;
        }
        connection.execute("DELETE FROM commits WHERE id NOT IN (SELECT id FROM history)", [])?;
        Ok(())
    };
    write().map_err(store("writing the history"))
}
