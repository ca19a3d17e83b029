//! Owns the step from bytes to text: what is binary, and which encoding a text has.
//! Pure. It must not know paths or storage.

use serde::{Deserialize, Serialize};

/// A NUL within this many first bytes marks a file as binary, as git does.
const BINARY_WINDOW: usize = 8_000;

/// How the bytes of a text file were read. Byte ranges of anything but UTF-8 refer to the decoded
/// text, not to the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    Utf8,
    Utf16Le,
    Utf16Be,
    /// Not valid UTF-8; each byte was read as the character of the same number.
    Latin1,
}

impl Encoding {
    /// The name under which it is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Encoding::Utf8 => "utf-8",
            Encoding::Utf16Le => "utf-16-le",
            Encoding::Utf16Be => "utf-16-be",
            Encoding::Latin1 => "latin-1",
        }
    }
}

/// Text of a file and how it was read, or `None` for a binary file.
pub fn decode(bytes: Vec<u8>) -> Option<(String, Encoding)> {
    if bytes.starts_with(&[0xff, 0xfe]) && bytes.len().is_multiple_of(2) {
        return wide(&bytes[2..], u16::from_le_bytes).map(|text| (text, Encoding::Utf16Le));
    }
    if bytes.starts_with(&[0xfe, 0xff]) && bytes.len().is_multiple_of(2) {
        return wide(&bytes[2..], u16::from_be_bytes).map(|text| (text, Encoding::Utf16Be));
    }
    if bytes.iter().take(BINARY_WINDOW).any(|&byte| byte == 0) {
        return None;
    }
    match String::from_utf8(bytes) {
        Ok(text) => Some((text, Encoding::Utf8)),
        Err(error) => latin1(error.as_bytes()).map(|text| (text, Encoding::Latin1)),
    }
}

fn wide(bytes: &[u8], join: fn([u8; 2]) -> u16) -> Option<String> {
    let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| join([pair[0], pair[1]])).collect();
    String::from_utf16(&units).ok().filter(|text| !text.contains('\0'))
}

/// Latin-1 can read anything, so a text is only taken for it when control characters are rare.
fn latin1(bytes: &[u8]) -> Option<String> {
    let controls =
        bytes.iter().filter(|&&b| b < 0x20 && !matches!(b, b'\t' | b'\n' | b'\r' | 0x0c | 0x1b)).count();
    let unusual = bytes.iter().filter(|&&b| (0x80..0xa0).contains(&b)).count();
    (controls == 0 && unusual * 20 <= bytes.len()).then(|| bytes.iter().map(|&b| b as char).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_told_apart() {
        assert_eq!(decode(b"plain".to_vec()), Some(("plain".into(), Encoding::Utf8)));
        assert_eq!(decode(b"caf\xe9 au lait".to_vec()), Some(("café au lait".into(), Encoding::Latin1)));
        assert_eq!(decode(b"\xff\xfeh\0i\0".to_vec()), Some(("hi".into(), Encoding::Utf16Le)));
        assert_eq!(decode(b"\xfe\xff\0h\0i".to_vec()), Some(("hi".into(), Encoding::Utf16Be)));
        assert_eq!(decode(Vec::new()), Some((String::new(), Encoding::Utf8)));
    }

    #[test]
    fn binary_is_refused() {
        assert_eq!(decode(b"\x7fELF\0\0".to_vec()), None);
        assert_eq!(decode(b"\x89PNG\r\n\x1a\n\xff\xd8\x01\x02".to_vec()), None);
        assert_eq!(decode(b"\xff\xfe\x00\xd8".to_vec()), None, "a lone surrogate is not text");
    }
}
