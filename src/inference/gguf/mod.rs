//! The container: metadata by key, and where each tensor lies in the file.
//!
//! Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>, versions 2 and 3, little-endian.
//! Every length is checked against the bytes that are there before anything is allocated for it, and arrays
//! stay where they lie in the file until somebody walks them. Knows no architecture and no tokenizer.

mod reader;
mod value;

use crate::error::Error;
use crate::format::Format;
use reader::Reader;
use std::collections::BTreeMap;
use std::ops::Range;
pub use value::{Array, Value};

/// More keys or tensors than any model has; a file that claims more is refused.
const MOST_ENTRIES: u64 = 1 << 16;
/// ggml's own limit is 64 bytes for the name of a tensor.
const LONGEST_NAME: usize = 256;

/// Where a tensor lies. `shape[0]` is the length of a row, as ggml has it; at most four dimensions.
#[derive(Debug, Clone)]
pub struct Place {
    pub format: Format,
    pub shape: Vec<usize>,
    /// Bytes of the file, inside it and of just the length that shape and format ask for.
    pub bytes: Range<usize>,
}

/// The directory of a GGUF file; the bytes of the file stay with the caller.
#[derive(Debug)]
pub struct Gguf {
    values: BTreeMap<String, Value>,
    tensors: BTreeMap<String, Place>,
    /// A tensor in a storage type that is not known, and ggml's number of that type.
    strange: Option<(String, u32)>,
}

impl Gguf {
    /// Reads the directory out of the bytes of a whole file.
    pub fn parse(file: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(file);
        if reader.bytes(4)? != b"GGUF" {
            return Err(Error::damaged("it does not begin with the letters GGUF"));
        }
        match reader.u32()? {
            2 | 3 => {}
            version if version.swap_bytes() <= 3 => {
                return Err(Error::unsupported("it is a big-endian GGUF file"));
            }
            version => return Err(Error::unsupported(format!("GGUF version {version}; 2 and 3 are known"))),
        }
        let tensor_count = reader.count(MOST_ENTRIES, "tensors")?;
        let value_count = reader.count(MOST_ENTRIES, "metadata keys")?;
        let mut values = BTreeMap::new();
        for _ in 0..value_count {
            let key = reader.name(LONGEST_NAME)?;
            let value = Value::read(&mut reader)
                .map_err(|error| Error::damaged(format!("metadata key {key:?}: {error}")))?;
            if values.insert(key.clone(), value).is_some() {
                return Err(Error::damaged(format!("metadata key {key:?} is there twice")));
            }
        }
        let mut found = Vec::new();
        for _ in 0..tensor_count {
            found.push(Found::read(&mut reader)?);
        }
        let alignment = match values.get("general.alignment") {
            None => 32,
            Some(value) => {
                value.whole().filter(|n| n.is_power_of_two() && *n <= 1 << 20).ok_or_else(|| {
                    Error::damaged("general.alignment is no power of two up to 1048576".to_owned())
                })? as usize
            }
        };
        let data = reader
            .position()
            .checked_next_multiple_of(alignment)
            .ok_or_else(|| Error::damaged("its directory has no end"))?;
        let mut tensors = BTreeMap::new();
        let mut strange = None;
        for tensor in found {
            let Some(format) = Format::from_ggml(tensor.kind) else {
                strange = Some((tensor.name, tensor.kind));
                continue;
            };
            let place = tensor.place(format, data, alignment, file.len())?;
            if tensors.insert(tensor.name.clone(), place).is_some() {
                return Err(Error::damaged(format!("tensor {:?} is there twice", tensor.name)));
            }
        }
        Ok(Gguf { values, tensors, strange })
    }

    pub fn value(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    pub fn tensor(&self, name: &str) -> Option<&Place> {
        self.tensors.get(name)
    }

    /// A tensor in a storage type that is not known, and ggml's number of that type.
    pub fn strange(&self) -> Option<(&str, u32)> {
        self.strange.as_ref().map(|(name, kind)| (name.as_str(), *kind))
    }

    pub fn tensors(&self) -> impl Iterator<Item = (&str, &Place)> {
        self.tensors.iter().map(|(name, place)| (name.as_str(), place))
    }
}

/// A tensor as the directory states it.
struct Found {
    name: String,
    shape: Vec<usize>,
    kind: u32,
    offset: u64,
}

impl Found {
    fn read(reader: &mut Reader) -> Result<Self, Error> {
        let name = reader.name(LONGEST_NAME)?;
        let dimensions = reader.u32()?;
        if !(1..=4).contains(&dimensions) {
            return Err(Error::damaged(format!("tensor {name:?} has {dimensions} dimensions")));
        }
        let mut shape = Vec::new();
        for _ in 0..dimensions {
            let length = reader.u64()?;
            shape.push(
                usize::try_from(length)
                    .ok()
                    .filter(|n| (1..=1 << 40).contains(n))
                    .ok_or_else(|| Error::damaged(format!("tensor {name:?} has a side of {length}")))?,
            );
        }
        Ok(Found { name, shape, kind: reader.u32()?, offset: reader.u64()? })
    }

    fn place(&self, format: Format, data: usize, alignment: usize, file: usize) -> Result<Place, Error> {
        let Found { name, shape, offset, .. } = self;
        let elements = shape.iter().try_fold(1usize, |product, side| product.checked_mul(*side));
        let length = elements
            .filter(|_| shape[0].is_multiple_of(format.block_len()))
            .and_then(|n| (n / format.block_len()).checked_mul(format.block_bytes()))
            .ok_or_else(|| Error::damaged(format!("tensor {name:?} cannot have the shape {shape:?}")))?;
        let start = usize::try_from(*offset).ok().filter(|offset| offset.is_multiple_of(alignment));
        let bytes = start
            .and_then(|offset| data.checked_add(offset))
            .and_then(|start| Some(start..start.checked_add(length)?))
            .filter(|bytes| bytes.end <= file)
            .ok_or_else(|| {
                Error::damaged(format!("tensor {name:?} lies outside of the file; is the file whole?"))
            })?;
        Ok(Place { format, shape: shape.clone(), bytes })
    }
}
