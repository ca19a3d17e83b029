//! Owns what becomes of the rows of an archive: what is checked of each on its way, what of all of
//! them, and the writing. It must not know the archive around them.

use std::collections::HashMap;

use rusqlite::{CachedStatement, Connection, ErrorCode, params_from_iter};

use super::{Cell, Item, STATES, TABLES, damaged, items};
use crate::IndexError;
use crate::error::store;
use crate::packed;
use crate::store::set_meta;

/// What has been read of the rows so far.
#[derive(Debug, Default)]
pub struct Checked {
    /// Chunks of each file, by id.
    chunks: HashMap<i64, usize>,
}

impl Checked {
    /// Reads a block once, as queries will: what is packed can be unpacked.
    pub fn read(&mut self, block: &[u8]) -> Result<(), IndexError> {
        for item in items(block) {
            match item? {
                Item::State(key, _) if !STATES.contains(&key) => return Err(damaged()),
                Item::State(..) => {}
                Item::Row(table, cells) => match (TABLES[usize::from(table)].0, &cells[..]) {
                    ("details", cells) => self.read_details(cells)?,
                    ("seen", [_, stamp @ .., _, _]) if !stamp.iter().all(|c| matches!(c, Cell::Null)) => {
                        return Err(damaged());
                    }
                    _ => {}
                },
            }
        }
        Ok(())
    }

    fn read_details(&mut self, cells: &[Cell]) -> Result<(), IndexError> {
        let [
            Cell::Integer(file),
            Cell::Blob(chunks),
            Cell::Blob(symbols),
            Cell::Blob(imports),
            Cell::Blob(uses),
        ] = cells
        else {
            return Err(damaged());
        };
        let count = packed::unpack_chunks(chunks).map_err(|_| refused("its chunks are damaged"))?.len();
        let is_whole = packed::unpack_symbols(symbols).is_ok()
            && packed::unpack_imports(imports).is_ok()
            && packed::lines_of(uses, 0).is_ok();
        if !is_whole {
            return Err(refused("what it says of a file is damaged"));
        }
        self.chunks.insert(*file, count);
        Ok(())
    }
}

/// The writing of rows.
pub struct Inserts<'c> {
    connection: &'c Connection,
    /// In the order of [`TABLES`].
    statements: Vec<CachedStatement<'c>>,
}

impl<'c> Inserts<'c> {
    /// Removes everything that travels.
    pub fn begin(connection: &'c Connection) -> Result<Inserts<'c>, IndexError> {
        let writing = store(WRITING);
        crate::store::clear_files(connection)?;
        connection
            .execute_batch("DELETE FROM head; DELETE FROM commits; DELETE FROM past;")
            .map_err(&writing)?;
        for key in STATES {
            connection.execute("DELETE FROM meta WHERE key = ?", [key]).map_err(&writing)?;
        }
        let insert = |(name, _, columns): (&str, &str, usize)| {
            connection.prepare_cached(&format!("INSERT INTO {name} VALUES (?{})", ", ?".repeat(columns - 1)))
        };
        let statements = TABLES.into_iter().map(insert).collect::<rusqlite::Result<_>>().map_err(&writing)?;
        Ok(Inserts { connection, statements })
    }

    /// Writes a block that was [`Checked`].
    pub fn write(&mut self, block: &[u8]) -> Result<(), IndexError> {
        for item in items(block) {
            match item? {
                Item::State(key, value) => set_meta(self.connection, key, value)?,
                Item::Row(table, cells) => {
                    let insert = self.statements.get_mut(usize::from(table)).ok_or_else(damaged)?;
                    insert.execute(params_from_iter(cells)).map_err(|error| {
                        match error.sqlite_error_code() {
                            // Two rows of one key, NULL where there must be a value: not ours.
                            Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch) => damaged(),
                            _ => store(WRITING)(error),
                        }
                    })?;
                }
            }
        }
        Ok(())
    }
}

const WRITING: &str = "taking over the rows of an archive";

fn refused(reason: &str) -> IndexError {
    IndexError::Archive { reason: reason.to_owned() }
}

/// Reads all files, when all rows are written: each path stays below the root and is one that an
/// update will look at, and the tables fit each other.
pub fn check(connection: &Connection, checked: &Checked) -> Result<(), IndexError> {
    let files =
        crate::store::files(connection).map_err(|_| refused("its files are not described as files are"))?;
    for file in &files {
        if !crate::walk::is_usable(&file.path) {
            return Err(refused("it names a file that cannot be below a root"));
        }
        if checked.chunks.get(&file.id) != Some(&(file.chunks as usize)) {
            return Err(refused("what it says of a file is damaged"));
        }
    }
    let unseen: i64 = connection
        .query_row(
            "SELECT (SELECT count(*) FROM files LEFT JOIN seen ON seen.path = files.path AND seen.file = files.id WHERE seen.path IS NULL)
                  + (SELECT abs((SELECT count(*) FROM files) - (SELECT count(*) FROM seen WHERE file IS NOT NULL)))",
            [],
            |row| row.get(0),
        )
        .map_err(store("checking an archive"))?;
    let is_whole = unseen == 0 && checked.chunks.len() == files.len();
    if !is_whole || crate::past::read(connection).is_err() {
        return Err(refused("its tables do not fit each other"));
    }
    Ok(())
}
