//! Owns the SQLite database, the truth of the index. It must not know ranking, tantivy or git.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use crate::IndexError;
use crate::error::store;
use crate::origin::Origin;
use crate::packed;
use crate::symbol::{Chunk, Extracted, Import, Symbol};

/// How long an update waits for that of another process.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);
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
        include_str!("file.rs"),
        include_str!("git.rs"),
        include_str!("guard.rs"),
        include_str!("lang.rs"),
        include_str!("lang/table.rs"),
        include_str!("markdown.rs"),
        include_str!("origin.rs"),
        include_str!("../origins.toml"),
        include_str!("packed.rs"),
        include_str!("parse.rs"),
        include_str!("past.rs"),
        include_str!("seen.rs"),
        include_str!("symbol.rs"),
        include_str!("text.rs"),
        include_str!("token.rs"),
        include_str!("update.rs"),
        include_str!("writer.rs"),
        include_str!("yaml.rs"),
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
    /// Bytes that are indexed, from the first.
    pub indexed: u64,
    /// What the text says of where the file comes from.
    pub origin: Option<Origin>,
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
        connection.busy_timeout(PATIENCE).map_err(store("opening it"))?;
        // The database can be made again from the tree, so that a lost last transaction after a
        // power cut is harmless: NORMAL never damages a WAL database.
        connection
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF; PRAGMA cache_size = -65536; PRAGMA journal_size_limit = 16777216;")
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

    /// Does `work` under the write lock, unless another process has it. Nothing is written.
    pub fn if_free(&mut self, work: impl FnOnce(&Connection)) {
        if self.connection.busy_timeout(std::time::Duration::ZERO).is_ok()
            && let Ok(transaction) =
                self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
        {
            work(&transaction);
        }
        // It was settable before.
        let _ = self.connection.busy_timeout(PATIENCE);
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
    let is_unreadable = matches!(source, rusqlite::Error::FromSqlConversionFailure(..));
    is_unreadable
        || matches!(
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
            "SELECT id, path, hash, blob, bytes, lines, tokens, chunks, language, encoding, syntax_errors, gave_up, git, indexed, origin FROM files ORDER BY path",
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
                indexed: row.get::<_, i64>(13)? as u64,
                origin: row.get::<_, Option<String>>(14)?.as_deref().and_then(Origin::stored),
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
    /// Files of which only the beginning is indexed.
    pub heads: u64,
}

/// Counts by encoding, by name, of the files that are not UTF-8, whose parser gave up, or that are
/// indexed in part.
pub fn unusual(connection: &Connection) -> Result<Vec<EncodingCount>, IndexError> {
    let read = || {
        let mut statement = connection.prepare_cached(
            "SELECT encoding, count(*), sum(gave_up), sum(indexed < bytes) FROM files
             WHERE encoding <> 'utf-8' OR gave_up <> 0 OR indexed < bytes
             GROUP BY encoding ORDER BY encoding",
        )?;
        let rows = statement.query_map([], |row| {
            Ok(EncodingCount {
                name: row.get(0)?,
                files: row.get::<_, i64>(1)? as u64,
                gave_up: row.get::<_, i64>(2)? as u64,
                heads: row.get::<_, i64>(3)? as u64,
            })
        })?;
        rows.collect::<rusqlite::Result<Vec<_>>>()
    };
    read().map_err(store("counting the files"))
}

/// Forgets every file; git state stays.
pub fn clear_files(connection: &Connection) -> Result<(), IndexError> {
    connection
        .execute_batch(
            "DELETE FROM files; DELETE FROM details; DELETE FROM seen; DELETE FROM meta WHERE key = 'text';",
        )
        .map_err(store("clearing it"))
}

/// Compares files with the tree of HEAD: those of these ids, or all. Without a HEAD nothing is
/// known of any file.
pub fn mark_git_state(connection: &Connection, only: Option<&[i64]>) -> Result<(), IndexError> {
    const STATE: &str = "CASE
        WHEN NOT EXISTS (SELECT 1 FROM head) OR length(files.blob) = 0 THEN NULL
        ELSE (SELECT CASE WHEN instr(files.blob, head.blob) > 0 THEN NULL ELSE 'modified' END FROM head WHERE head.path = files.path
              UNION ALL SELECT 'new' LIMIT 1)
    END";
    let mark = || -> rusqlite::Result<()> {
        let Some(ids) = only else {
            let sql = format!("UPDATE files SET git = {STATE} WHERE git IS NOT {STATE}");
            return connection.execute(&sql, []).map(drop);
        };
        let mut statement =
            connection.prepare_cached(&format!("UPDATE files SET git = {STATE} WHERE id = ?"))?;
        ids.iter().try_for_each(|id| statement.execute([id]).map(drop))
    };
    mark().map_err(store("comparing with git"))
}

/// An id that no file has, greater than all.
pub fn next_file_id(connection: &Connection) -> Result<i64, IndexError> {
    connection
        .query_row("SELECT coalesce(max(id), 0) + 1 FROM files", [], |row| row.get(0))
        .map_err(store("reading the files"))
}

/// How many documents the full text may have, removed ones counted: those of all files, and as many
/// again as rewriting every file some times leaves behind.
pub fn most_documents(connection: &Connection) -> Result<u64, IndexError> {
    connection
        .query_row("SELECT coalesce(sum(chunks), 0) + count(*) FROM files", [], |row| row.get::<_, i64>(0))
        .map(|documents| (documents as u64).saturating_mul(8).saturating_add(1_000_000))
        .map_err(store("reading the files"))
}

/// The hash of a file's content.
pub fn hash(connection: &Connection, id: i64) -> Result<Option<[u8; 32]>, IndexError> {
    connection
        .prepare_cached("SELECT hash FROM files WHERE id = ?")
        .and_then(|mut statement| statement.query_row([id], |row| row.get(0)).optional())
        .map_err(store("reading the files"))
}

/// Forgets everything about a file.
pub fn remove_file(connection: &Connection, id: i64) -> Result<(), IndexError> {
    let remove = || -> rusqlite::Result<()> {
        for statement in ["DELETE FROM files WHERE id = ?", "DELETE FROM details WHERE file = ?"] {
            connection.prepare_cached(statement)?.execute([id])?;
        }
        Ok(())
    };
    remove().map_err(store("removing a file"))
}

/// Writes a file.
pub fn insert_file(connection: &Connection, row: &FileRow, extracted: &Extracted) -> Result<(), IndexError> {
    let insert = || -> rusqlite::Result<()> {
        connection
            .prepare_cached("INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?
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
                row.git,
                row.indexed as i64,
                row.origin.as_ref().map(Origin::to_stored),
            ])?;
        connection.prepare_cached("INSERT INTO details VALUES (?, ?, ?, ?, ?)")?.execute(params![
            row.id,
            packed::pack_chunks(&extracted.chunks),
            packed::pack_symbols(&extracted.symbols),
            packed::pack_imports(&extracted.imports),
            packed::pack_uses(&extracted.references),
        ])?;
        Ok(())
    };
    insert().map_err(store("writing a file"))
}

/// One column of `details`, unpacked; the default for a file that is not there.
fn detail<T: Default>(
    connection: &Connection,
    column: &str,
    file: i64,
    unpack: impl Fn(&[u8]) -> Result<T, packed::Damaged>,
) -> Result<T, IndexError> {
    let read = || {
        let sql = format!("SELECT {column} FROM details WHERE file = ?");
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query([file])?;
        let Some(row) = rows.next()? else { return Ok(T::default()) };
        unpack(row.get_ref(0)?.as_blob()?).map_err(|damage| {
            rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Blob, Box::new(damage))
        })
    };
    read().map_err(store("reading what is known about a file"))
}

/// Chunks of a file, by place.
pub fn chunks(connection: &Connection, file: i64) -> Result<Vec<Chunk>, IndexError> {
    detail(connection, "chunks", file, packed::unpack_chunks)
}

/// Symbols of a file, by place.
pub fn symbols(connection: &Connection, file: i64) -> Result<Vec<Symbol>, IndexError> {
    detail(connection, "symbols", file, packed::unpack_symbols)
}

/// Imports of a file, by place.
pub fn imports(connection: &Connection, file: i64) -> Result<Vec<Import>, IndexError> {
    detail(connection, "imports", file, packed::unpack_imports)
}

/// Lines of a file on which a name of this key is used, ascending. Whether it is the name, the text
/// tells.
pub fn lines_of_use(connection: &Connection, file: i64, key: u32) -> Result<Vec<u32>, IndexError> {
    detail(connection, "uses", file, |bytes| packed::lines_of(bytes, key))
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
