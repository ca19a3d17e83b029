//! Owns the rows of the store as a stream: how an archive carries them. They travel as plain values
//! and not as a database, which could hold programs. It must not know threads or the archive around it.

use std::borrow::Cow;
use std::io::{Read, Write};

use rusqlite::Connection;
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use serde::{Deserialize, Serialize};

use crate::IndexError;
use crate::error::store;
use crate::packed::{pack, unpack};

mod take;

pub use take::{Checked, Inserts, check};

/// A row holds at most the symbols of one file or the whole history.
const LARGEST_ROW: usize = 256 << 20;
/// About so many bytes of rows are handed on together.
const BLOCK: usize = 1 << 20;

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
enum Cell<'a> {
    Null,
    Integer(i64),
    #[serde(borrow)]
    Text(Cow<'a, str>),
    Blob(&'a [u8]),
}

impl ToSql for Cell<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Cell::Null => ValueRef::Null,
            Cell::Integer(value) => ValueRef::Integer(*value),
            Cell::Text(value) => ValueRef::Text(value.as_bytes()),
            Cell::Blob(value) => ValueRef::Blob(value),
        }))
    }
}

/// One thing of the stream.
#[derive(Serialize, Deserialize)]
enum Item<'a> {
    State(&'a str, &'a str),
    /// Position in [`TABLES`] and the values.
    Row(u8, #[serde(borrow)] Vec<Cell<'a>>),
}

impl Item<'_> {
    /// Reads one. A row has as many values as its table has columns, or it is refused before they
    /// take memory: tag, table and number of values are one byte each.
    fn read(bytes: &[u8]) -> Result<Item<'_>, IndexError> {
        let is_ours = match bytes {
            [0, ..] => true,
            [1, table, values, ..] => {
                TABLES.get(usize::from(*table)).is_some_and(|(.., columns)| *columns == usize::from(*values))
            }
            _ => false,
        };
        if is_ours { unpack(bytes).map_err(|_| damaged()) } else { Err(damaged()) }
    }
}

fn damaged() -> IndexError {
    IndexError::Archive { reason: "its rows are damaged or cut short".to_owned() }
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
            put(&Item::State(key, &value))?;
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
                    ValueRef::Text(value) => Cell::Text(String::from_utf8_lossy(value)),
                    ValueRef::Blob(value) => Cell::Blob(value),
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

/// Cuts the stream into blocks of whole rows.
pub fn cut(
    from: &mut impl Read,
    mut put: impl FnMut(Vec<u8>) -> Result<(), IndexError>,
) -> Result<(), IndexError> {
    let mut block = Vec::with_capacity(BLOCK);
    loop {
        let mut length = [0u8; 4];
        match from.read(&mut length[..1]) {
            Ok(0) => return put(block),
            Ok(_) => from.read_exact(&mut length[1..]).map_err(|_| damaged())?,
            Err(_) => return Err(damaged()),
        }
        let row = u32::from_le_bytes(length) as usize;
        if row > LARGEST_ROW {
            return Err(damaged());
        }
        if !block.is_empty() && block.len() + row > BLOCK {
            put(std::mem::replace(&mut block, Vec::with_capacity(BLOCK)))?;
        }
        block.extend(length);
        // Grows with what is there, not with what is promised.
        if from.by_ref().take(row as u64).read_to_end(&mut block).map_err(|_| damaged())? != row {
            return Err(damaged());
        }
    }
}

/// What a block of [`cut`] holds, in order.
fn items(block: &[u8]) -> impl Iterator<Item = Result<Item<'_>, IndexError>> {
    let mut rest = block;
    std::iter::from_fn(move || {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let (row, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        rest = after;
        Some(Item::read(row))
    })
}
