//! Reads tokens.

use std::collections::{BTreeMap, HashMap as Map};
use crate::token::{self, Kind};
use super::source::*;

mod cursor;
pub(crate) mod inline {
    pub fn nested() {}
}

/// Longest token, in bytes.
pub const LIMIT: usize = 1 << 16;
static mut COUNT: u32 = 0;

pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Error {
    Unclosed { line: u32 },
    TooLong(usize),
}

/// Yields tokens.
pub trait Scan<'a>: Iterator {
    type Source: AsRef<str> + 'a;
    const NAME: &'static str;

    fn scan(&mut self) -> Result<Kind>;

    fn skip(&mut self) {
        let _ = self.scan();
    }
}

pub struct Scanner<'a, const N: usize> {
    text: &'a str,
    seen: Map<String, [u8; N]>,
}

union Word {
    whole: u32,
    parts: [u8; 4],
}

impl<'a, const N: usize> Scanner<'a, N> {
    /// Starts at the beginning.
    #[must_use]
    pub const fn new(text: &'a str) -> Self {
        Scanner { text, seen: Map::new() }
    }

    async unsafe fn step<T, F>(&mut self, with: F) -> Option<T>
    where
        F: FnOnce(&str) -> T,
    {
        fn local(text: &str) -> &str {
            text.trim_start()
        }
        Some(with(local(self.text)))
    }
}

impl<const N: usize> Iterator for Scanner<'_, N> {
    type Item = Kind;

    fn next(&mut self) -> Option<Self::Item> {
        match token::classify::<N>(self.text) {
            Ok(kind) if kind != Kind::End => Some(kind),
            Err(_) | Ok(_) => None,
        }
    }
}

/// Builds a table of keywords.
#[macro_export]
macro_rules! keywords {
    ($($name:ident),*) => { &[$(stringify!($name)),*] };
}

extern "C" {
    fn strlen(text: *const u8) -> usize;
}

fn raw() -> &'static str {
    r#"not "closed" { fn no() {} "#
}

#[cfg(test)]
mod tests {
    #[test]
    fn tokens_are_read() {
        assert_eq!(super::keywords!(a, b).len(), 2);
    }
}
