//! Owns the compact form in which the store keeps what it knows about one file: three columns of
//! bytes instead of thousands of rows, since they are only ever wanted by file. Pure. It must not
//! know the database.

use std::cell::RefCell;

use serde::{Deserialize, Serialize};

use crate::symbol::{Chunk, Import, Symbol, Use};

/// zstd's quickest: what is read and written all the time.
const LEVEL: i32 = 1;
/// What is known about one file takes less.
const LARGEST: usize = 128 << 20;

/// Bytes that are not of this form.
#[derive(Debug, thiserror::Error)]
#[error("what is stored about a file is damaged")]
pub struct Damaged;

/// Lines and bytes of each chunk: chunks follow each other without gap, so that lengths say all.
pub fn pack_chunks(chunks: &[Chunk]) -> Vec<u8> {
    let lengths: Vec<(u32, u32)> =
        chunks.iter().map(|c| (c.end_line + 1 - c.start_line, c.end_byte - c.start_byte)).collect();
    pack(&lengths)
}

/// The opposite of [`pack_chunks`].
pub fn unpack_chunks(bytes: &[u8]) -> Result<Vec<Chunk>, Damaged> {
    let lengths: Vec<(u32, u32)> = unpack(bytes)?;
    let (mut line, mut byte) = (1u32, 0u32);
    let chunk = |(lines, bytes): (u32, u32)| {
        let (start_line, start_byte) = (line, byte);
        line = line.checked_add(lines).filter(|_| lines > 0).ok_or(Damaged)?;
        byte = byte.checked_add(bytes).ok_or(Damaged)?;
        Ok(Chunk { start_line, end_line: line - 1, start_byte, end_byte: byte })
    };
    lengths.into_iter().map(chunk).collect()
}

/// Symbols in order.
pub fn pack_symbols(symbols: &[Symbol]) -> Vec<u8> {
    squeeze(&pack(symbols))
}

/// The opposite of [`pack_symbols`].
pub fn unpack_symbols(bytes: &[u8]) -> Result<Vec<Symbol>, Damaged> {
    unpack(&unsqueeze(bytes)?)
}

/// Imports in order.
pub fn pack_imports(imports: &[Import]) -> Vec<u8> {
    pack(imports)
}

/// The opposite of [`pack_imports`].
pub fn unpack_imports(bytes: &[u8]) -> Result<Vec<Import>, Damaged> {
    unpack(bytes)
}

/// One name: its [`name_key`] and the lines on which it stands, each as the distance from the one
/// before.
type Lines = (u32, Vec<u32>);

/// References, sorted by name and line, by the keys of their names: the text itself says the name,
/// so that a few bits are enough to find the lines on which to look.
pub fn pack_uses(uses: &[Use]) -> Vec<u8> {
    let mut names: Vec<Lines> = Vec::new();
    let mut at = 0;
    while let Some(first) = uses.get(at) {
        let count = uses[at..].iter().take_while(|found| found.name == first.name).count();
        let mut before = 0;
        let lines = uses[at..at + count].iter().map(|found| {
            let distance = found.line.saturating_sub(before);
            before = found.line;
            distance
        });
        names.push((name_key(&first.name), lines.collect()));
        at += count;
    }
    squeeze(&pack(&names))
}

/// Lines on which a name of this key stands; another name may have the same key.
pub fn lines_of(bytes: &[u8], key: u32) -> Result<Vec<u32>, Damaged> {
    let names: Vec<Lines> = unpack(&unsqueeze(bytes)?)?;
    let mut lines = Vec::new();
    for (_, distances) in names.iter().filter(|(found, _)| *found == key) {
        let mut line = 0u32;
        for distance in distances {
            line = line.checked_add(*distance).ok_or(Damaged)?;
            lines.push(line);
        }
    }
    lines.sort_unstable();
    lines.dedup();
    Ok(lines)
}

/// 21 bits of the name's hash: they fit into three bytes, and two names of one file seldom share them.
pub fn name_key(name: &str) -> u32 {
    // FNV-1a: short input, no adversary that a check against the text would not stop.
    let hash =
        name.bytes().fold(0x811c_9dc5u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    (hash ^ (hash >> 21)) & 0x1f_ffff
}

thread_local! {
    /// Contexts keep their tables from one file to the next: making them takes longer than most files do.
    static COMPRESSOR: RefCell<Option<zstd::bulk::Compressor<'static>>> =
        RefCell::new(zstd::bulk::Compressor::new(LEVEL).ok());
    static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> =
        RefCell::new(zstd::bulk::Decompressor::new().ok());
}

/// The length of `bytes` and their compressed form; signatures repeat their names, and headers hold
/// tens of thousands of much the same.
fn squeeze(bytes: &[u8]) -> Vec<u8> {
    let mut out = (bytes.len() as u32).to_le_bytes().to_vec();
    let frame = COMPRESSOR.with_borrow_mut(|compressor| compressor.as_mut()?.compress(bytes).ok());
    // Compressing memory into memory does not fail; an empty frame would be found out as damage.
    out.extend(frame.unwrap_or_default());
    out
}

/// The opposite of [`squeeze`]. A length that is a lie costs nothing.
fn unsqueeze(bytes: &[u8]) -> Result<Vec<u8>, Damaged> {
    let (length, frame) = bytes.split_first_chunk::<4>().ok_or(Damaged)?;
    let length = u32::from_le_bytes(*length) as usize;
    if length > LARGEST {
        return Err(Damaged);
    }
    let plain = DECOMPRESSOR.with_borrow_mut(|context| context.as_mut()?.decompress(frame, length).ok());
    let plain = plain.ok_or(Damaged)?;
    if plain.len() == length { Ok(plain) } else { Err(Damaged) }
}

/// Any plain value as bytes.
pub(crate) fn pack<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    // Plain data always serializes.
    postcard::to_allocvec(value).unwrap_or_default()
}

/// The opposite of [`pack`].
pub(crate) fn unpack<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Damaged> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        _ => Err(Damaged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::partition;
    use crate::line::Lines;
    use crate::symbol::SymbolKind;

    #[test]
    fn what_goes_in_comes_out() {
        let text = "a\nb\n\nc\n".repeat(50);
        let chunks = partition(&Lines::new(&text), &[3, 90]);
        assert_eq!(unpack_chunks(&pack_chunks(&chunks)).unwrap(), chunks);
        assert!(unpack_chunks(&pack_chunks(&[])).unwrap().is_empty());
        let symbols = vec![Symbol {
            name: "größe".into(),
            kind: SymbolKind::Method,
            container: Some("A".into()),
            signature: "fn größe()".into(),
            start_line: 3,
            end_line: 900,
            start_byte: 70_000,
            end_byte: 80_000,
            doc: String::new(),
        }];
        assert_eq!(unpack_symbols(&pack_symbols(&symbols)).unwrap(), symbols);
    }

    #[test]
    fn lines_are_found_by_name() {
        let used = |name: &str, line| Use { name: name.into(), line };
        let packed = pack_uses(&[used("a", 3), used("a", 4), used("a", 900), used("b", 4)]);
        assert_eq!(lines_of(&packed, name_key("a")).unwrap(), [3, 4, 900]);
        assert_eq!(lines_of(&packed, name_key("b")).unwrap(), [4]);
        assert!(lines_of(&packed, name_key("c")).unwrap().is_empty());
    }

    proptest::proptest! {
        /// A store may be damaged or foreign; reading it must neither panic nor exhaust memory.
        #[test]
        fn any_bytes_can_be_read(bytes in proptest::collection::vec(0u8..=255, 0..200)) {
            let _ = unpack_chunks(&bytes);
            let _ = unpack_symbols(&bytes);
            let _ = unpack_imports(&bytes);
            let _ = lines_of(&bytes, 7);
        }
    }
}
