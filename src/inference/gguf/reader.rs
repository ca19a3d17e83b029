//! A cursor over bytes that never reads past their end.

use crate::error::Error;
use std::ops::Range;

pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, position: 0 }
    }

    pub fn position(&self) -> usize {
        self.position
    }

    /// The next `length` bytes as a range of the file.
    pub fn range(&mut self, length: usize) -> Result<Range<usize>, Error> {
        let end = self.position.checked_add(length).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(|| {
            Error::damaged(format!("it ends inside its directory, at byte {}", self.position))
        })?;
        let range = self.position..end;
        self.position = end;
        Ok(range)
    }

    pub fn bytes(&mut self, length: usize) -> Result<&'a [u8], Error> {
        let range = self.range(length)?;
        Ok(&self.bytes[range])
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        Ok(self.bytes(N)?.try_into().expect("as many bytes as asked for"))
    }

    pub fn u32(&mut self) -> Result<u32, Error> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, Error> {
        self.array().map(u64::from_le_bytes)
    }

    /// A number of things, refused above `most`.
    pub fn count(&mut self, most: u64, of: &str) -> Result<u64, Error> {
        let count = self.u64()?;
        if count > most {
            return Err(Error::damaged(format!("it claims to have {count} {of}")));
        }
        Ok(count)
    }

    /// A string: its length as u64, then its bytes.
    pub fn string(&mut self) -> Result<Range<usize>, Error> {
        let length = self.u64()?;
        self.range(usize::try_from(length).unwrap_or(usize::MAX))
    }

    /// A key or the name of a tensor.
    pub fn name(&mut self, longest: usize) -> Result<String, Error> {
        let at = self.position;
        let range = self.string()?;
        if range.len() > longest {
            return Err(Error::damaged(format!("the name at byte {at} has {} bytes", range.len())));
        }
        String::from_utf8(self.bytes[range].to_vec())
            .map_err(|_| Error::damaged(format!("the name at byte {at} is no UTF-8")))
    }
}
