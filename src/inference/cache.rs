//! What attention remembers of every token: keys and values of each layer, in half precision.
//!
//! Keys lie in blocks of 16 places with the places innermost, so that scores of 16 places are computed at
//! once; values lie place by place. Memory that no token has used yet costs nothing: the system gives it out
//! when it is first written.

use crate::error::Error;
use crate::half::to_f16;
use crate::kernel::LANES;
use memmap2::MmapMut;

pub struct Cache {
    /// Places, a multiple of [`LANES`].
    places: usize,
    heads: usize,
    head_size: usize,
    /// `[layer][key or value][head][places * head size]`
    memory: MmapMut,
}

impl Cache {
    /// Bytes for a context of so many tokens.
    pub fn bytes(layers: usize, heads: usize, head_size: usize, context: usize) -> u64 {
        let places = context.next_multiple_of(LANES) as u64;
        [heads as u64, head_size as u64, 2 * 2]
            .into_iter()
            .fold(layers as u64, u64::saturating_mul)
            .saturating_mul(places)
    }

    pub fn new(layers: usize, heads: usize, head_size: usize, context: usize) -> Result<Self, Error> {
        let bytes = Self::bytes(layers, heads, head_size, context);
        let memory = usize::try_from(bytes)
            .map_err(|_| std::io::ErrorKind::OutOfMemory.into())
            .and_then(|bytes| MmapMut::map_anon(bytes.max(1)))
            .map_err(|source| Error::Memory { context, bytes, source })?;
        Ok(Cache { places: context.next_multiple_of(LANES), heads, head_size, memory })
    }

    /// Numbers of all heads' keys, or values, of a layer.
    fn part(&self) -> usize {
        self.heads * self.places * self.head_size
    }

    fn numbers(&self) -> &[u16] {
        // SAFETY: a mapping begins at a page, so it is aligned; any bits are a u16.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr().cast(), self.memory.len() / 2) }
    }

    fn numbers_mut(&mut self) -> &mut [u16] {
        // SAFETY: as above, and `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_mut_ptr().cast(), self.memory.len() / 2) }
    }

    /// The keys of one head: `[block of places][head size][LANES]`.
    pub fn keys(&self, layer: usize, head: usize) -> &[u16] {
        let one = self.places * self.head_size;
        &self.numbers()[layer * 2 * self.part() + head * one..][..one]
    }

    /// The values of one head: `[place][head size]`.
    pub fn values(&self, layer: usize, head: usize) -> &[u16] {
        let one = self.places * self.head_size;
        &self.numbers()[(layer * 2 + 1) * self.part() + head * one..][..one]
    }

    /// Puts away the keys and values of one token, `[head][head size]` each.
    pub fn put(&mut self, layer: usize, place: usize, keys: &[f32], values: &[f32]) {
        let (size, one, part) = (self.head_size, self.places * self.head_size, self.part());
        let layer = &mut self.numbers_mut()[layer * 2 * part..][..2 * part];
        let (all_keys, all_values) = layer.split_at_mut(part);
        for (head, (key, value)) in keys.chunks_exact(size).zip(values.chunks_exact(size)).enumerate() {
            let block = &mut all_keys[head * one + place / LANES * LANES * size..][..LANES * size];
            for (lanes, key) in block.chunks_exact_mut(LANES).zip(key) {
                lanes[place % LANES] = to_f16(*key);
            }
            for (bits, value) in all_values[head * one + place * size..].iter_mut().zip(value) {
                *bits = to_f16(*value);
            }
        }
    }
}
