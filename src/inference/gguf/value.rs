//! Metadata values; strings and arrays as ranges of the file.

use super::reader::Reader;
use crate::error::Error;
use std::ops::Range;

/// One metadata value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Whole(u64),
    Negative(i64),
    Float(f64),
    Bool(bool),
    Text(Range<usize>),
    Array(Array),
}

/// An array of scalars or strings, still in the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    kind: u32,
    len: usize,
    bytes: Range<usize>,
}

const STRING: u32 = 8;
const ARRAY: u32 = 9;

/// Bytes of a scalar of ggml's kind.
fn width(kind: u32) -> Option<usize> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

fn scalar(kind: u32, bytes: &[u8]) -> Value {
    let mut wide = [0; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    let whole = u64::from_le_bytes(wide);
    let signed = |value: i64| u64::try_from(value).map_or(Value::Negative(value), Value::Whole);
    match kind {
        1 => signed(i64::from(whole as u8 as i8)),
        3 => signed(i64::from(whole as u16 as i16)),
        5 => signed(i64::from(whole as u32 as i32)),
        11 => signed(whole as i64),
        6 => Value::Float(f64::from(f32::from_bits(whole as u32))),
        12 => Value::Float(f64::from_bits(whole)),
        7 => Value::Bool(whole != 0),
        _ => Value::Whole(whole),
    }
}

impl Value {
    pub(super) fn read(reader: &mut Reader) -> Result<Self, Error> {
        match reader.u32()? {
            STRING => Ok(Value::Text(reader.string()?)),
            ARRAY => {
                let kind = reader.u32()?;
                let length = reader.u64()?;
                let len = usize::try_from(length).unwrap_or(usize::MAX);
                let start = reader.position();
                if kind == STRING {
                    // Each has at least its length, so that this ends with the file at the latest.
                    for _ in 0..len {
                        reader.string()?;
                    }
                } else {
                    let width = width(kind)
                        .ok_or_else(|| Error::damaged(format!("an array of the unknown type {kind}")))?;
                    reader.range(len.saturating_mul(width))?;
                }
                Ok(Value::Array(Array { kind, len, bytes: start..reader.position() }))
            }
            kind => {
                let width = width(kind).ok_or_else(|| Error::damaged(format!("the unknown type {kind}")))?;
                Ok(scalar(kind, reader.bytes(width)?))
            }
        }
    }

    pub fn whole(&self) -> Option<u64> {
        if let Value::Whole(value) = self { Some(*value) } else { None }
    }

    pub fn float(&self) -> Option<f64> {
        if let Value::Float(value) = self { Some(*value) } else { None }
    }

    pub fn bool(&self) -> Option<bool> {
        if let Value::Bool(value) = self { Some(*value) } else { None }
    }

    pub fn array(&self) -> Option<&Array> {
        if let Value::Array(array) = self { Some(array) } else { None }
    }

    /// The text, if it is one and is UTF-8. `file` is the file that this was read from.
    pub fn text<'a>(&self, file: &'a [u8]) -> Option<&'a str> {
        let Value::Text(range) = self else { return None };
        std::str::from_utf8(&file[range.clone()]).ok()
    }
}

impl Array {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Its strings; nothing if it is no array of strings.
    pub fn strings<'a>(&self, file: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = if self.kind == STRING { &file[self.bytes.clone()] } else { &[][..] };
        std::iter::from_fn(move || {
            let (length, after) = rest.split_first_chunk::<8>()?;
            // Walked once when the file was read, so the lengths are right.
            let (string, after) = after.split_at(u64::from_le_bytes(*length) as usize);
            rest = after;
            Some(string)
        })
    }

    /// Its scalars; nothing if it is an array of strings.
    pub fn scalars<'a>(&'a self, file: &'a [u8]) -> impl Iterator<Item = Value> + 'a {
        let width = width(self.kind);
        let bytes = if width.is_some() { &file[self.bytes.clone()] } else { &[][..] };
        bytes.chunks_exact(width.unwrap_or(1)).map(|bytes| scalar(self.kind, bytes))
    }
}
