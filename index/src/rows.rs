//! Owns the rows of the store as a stream: how an archive carries them, and what is checked when they
//! come back. They travel as plain values and not as a database, which could hold programs.

use std::io::{Read, Write};

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, ErrorCode};
use serde::{Deserialize, Serialize};

use crate::IndexError;
use crate::error::store;
use crate::packed::{pack, unpack};
use crate::store::set_meta;

/// A row holds at most the symbols of one file or the whole history.
const LARGEST_ROW: usize = 256 << 20;
/// Bytes between two reports.
const REPORT: u64 = 4 << 20;

/// The tables that travel. What the file system said of the files stays where it was said.
const TABLES: [(&str, &str, usize); 6] = [
    ("files", "SELECT * FROM files ORDER BY id", 15),
    ("details", "SELECT * FROM details ORDER BY file", 5),
    ("seen", "SELECT path, NULL, NULL, NULL, NULL, skipped, file FROM seen ORDER BY path", 7),
    ("head", "SELECT path, blob FROM head ORDER BY path", 2),
    ("commits", "SELECT id, content FROM commits ORDER BY id", 2),
    ("past", "SELECT content FROM past", 1),
];
/// Entries of `meta` that travel.
const STATES: [&str; 6] = ["attributes", "files", "git", "git_note", "skipped", "text"];

#[derive(Serialize, Deserialize)]
enum Cell {
    Null,
    Integer(i64),
    Text(String),
    Blob(Vec<u8>),
}

/// One thing of the stream.
#[derive(Serialize, Deserialize)]
enum Item {
    State(String, String),
    /// Position in [`TABLES`] and the values.
    Row(u8, Vec<Cell>),
}

/// Writes everything that travels.
pub fn write(connection: &Connection, to: &mut impl Write) -> Result<(), IndexError> {
    let unwritten =
        |error: std::io::Error| IndexError::Archive { reason: format!("it cannot be written: {error}") };
    let mut put = |item: &Item| {
        let bytes = pack(item);
        to.write_all(&(bytes.len() as u32).to_le_bytes())
            .and_then(|()| to.write_all(&bytes))
            .map_err(unwritten)
    };
    for key in STATES {
        if let Some(value) = crate::store::meta(connection, key)? {
            put(&Item::State(key.to_owned(), value))?;
        }
    }
    for (table, (_, select, columns)) in TABLES.iter().enumerate() {
        let reading = store("reading it for an archive");
        let mut statement = connection.prepare(select).map_err(&reading)?;
        let mut rows = statement.query([]).map_err(&reading)?;
        while let Some(row) = rows.next().map_err(&reading)? {
            let cells = (0..*columns).map(|at| {
                Ok(match row.get_ref(at)? {
                    ValueRef::Integer(value) => Cell::Integer(value),
                    ValueRef::Text(value) => Cell::Text(String::from_utf8_lossy(value).into_owned()),
                    ValueRef::Blob(value) => Cell::Blob(value.to_owned()),
                    // No column holds a real number.
                    ValueRef::Null | ValueRef::Real(_) => Cell::Null,
                })
            });
            let cells = cells.collect::<rusqlite::Result<Vec<_>>>().map_err(&reading)?;
            put(&Item::Row(table as u8, cells))?;
        }
    }
    Ok(())
}

/// Replaces everything that travels by what the stream holds. `tell` hears of bytes done.
pub fn read(
    connection: &Connection,
    from: &mut impl Read,
    mut tell: impl FnMut(u64) -> Result<(), IndexError>,
) -> Result<(), IndexError> {
    let damaged = || IndexError::Archive { reason: "its rows are damaged or cut short".to_owned() };
    let writing = store("taking over the rows of an archive");
    crate::store::clear_files(connection)?;
    connection.execute_batch("DELETE FROM head; DELETE FROM commits; DELETE FROM past;").map_err(&writing)?;
    for key in STATES {
        connection.execute("DELETE FROM meta WHERE key = ?", [key]).map_err(&writing)?;
    }
    let (mut done, mut told) = (0u64, 0u64);
    let mut bytes = Vec::new();
    loop {
        let mut length = [0u8; 4];
        match from.read(&mut length[..1]) {
            Ok(0) => return check(connection),
            Ok(_) => from.read_exact(&mut length[1..]).map_err(|_| damaged())?,
            Err(_) => return Err(damaged()),
        }
        let length = u32::from_le_bytes(length) as usize;
        if length > LARGEST_ROW {
            return Err(damaged());
        }
        bytes.clear();
        // Grows with what is there, not with what is promised.
        let read = from.by_ref().take(length as u64).read_to_end(&mut bytes).map_err(|_| damaged())?;
        if read != length {
            return Err(damaged());
        }
        done += 4 + length as u64;
        if done - told >= REPORT {
            told = done;
            tell(done)?;
        }
        match unpack(&bytes).map_err(|_| damaged())? {
            Item::State(key, value) if STATES.contains(&key.as_str()) => set_meta(connection, &key, &value)?,
            Item::State(..) => return Err(damaged()),
            Item::Row(table, cells) => {
                let (name, _, columns) = *TABLES.get(usize::from(table)).ok_or_else(damaged)?;
                if cells.len() != columns
                    || (name == "seen" && !cells[1..5].iter().all(|c| matches!(c, Cell::Null)))
                {
                    return Err(damaged());
                }
                let sql = format!("INSERT INTO {name} VALUES (?{})", ", ?".repeat(columns - 1));
                let values = cells.into_iter().map(|cell| match cell {
                    Cell::Null => Value::Null,
                    Cell::Integer(value) => Value::Integer(value),
                    Cell::Text(value) => Value::Text(value),
                    Cell::Blob(value) => Value::Blob(value),
                });
                connection
                    .prepare_cached(&sql)
                    .and_then(|mut statement| statement.execute(rusqlite::params_from_iter(values)))
                    .map_err(|error| match error.sqlite_error_code() {
                        // Two rows of one key, NULL where there must be a value: not ours.
                        Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch) => damaged(),
                        _ => writing(error),
                    })?;
            }
        }
    }
}

/// Reads everything once, as queries will: each path stays below the root and is one that an update
/// will look at, and what is packed can be unpacked.
fn check(connection: &Connection) -> Result<(), IndexError> {
    let refused = |reason: &str| IndexError::Archive { reason: reason.to_owned() };
    let files =
        crate::store::files(connection).map_err(|_| refused("its files are not described as files are"))?;
    for file in &files {
        if !crate::walk::is_usable(&file.path) {
            return Err(refused("it names a file that cannot be below a root"));
        }
        let id = file.id;
        let chunks = crate::store::chunks(connection, id).map_err(|_| refused("its chunks are damaged"))?;
        let is_whole = chunks.len() == file.chunks as usize
            && crate::store::symbols(connection, id).is_ok()
            && crate::store::imports(connection, id).is_ok()
            && crate::store::lines_of_use(connection, id, 0).is_ok();
        if !is_whole {
            return Err(refused("what it says of a file is damaged"));
        }
    }
    let unseen: i64 = connection
        .query_row(
            "SELECT (SELECT count(*) FROM files LEFT JOIN seen ON seen.path = files.path AND seen.file = files.id WHERE seen.path IS NULL)
                  + (SELECT abs((SELECT count(*) FROM files) - (SELECT count(*) FROM seen WHERE file IS NOT NULL)))
                  + (SELECT abs((SELECT count(*) FROM files) - (SELECT count(*) FROM details)))",
            [],
            |row| row.get(0),
        )
        .map_err(store("checking an archive"))?;
    if unseen != 0 || crate::past::read(connection).is_err() {
        return Err(refused("its tables do not fit each other"));
    }
    Ok(())
}
