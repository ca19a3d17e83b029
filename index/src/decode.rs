//! Owns the step from bytes to text: what is binary, and which encoding a text has. Pure, and the
//! same for the same bytes. It must not know paths or storage.

use encoding_rs::{Encoding, GB18030, GBK, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// A NUL within this many first bytes marks a file as binary, as git does.
const BINARY_WINDOW: usize = 8_000;
/// Bytes that the detector is shown: more do not change its mind.
const DETECTOR_WINDOW: usize = 64 * 1024;
/// UTF-16 without a mark is taken for it when of this many units at least nine tenths are ASCII.
const FEWEST_UNITS: usize = 8;

/// Text of a file and the name of its encoding as the WHATWG writes it, in lower case; or `None`
/// for a binary file. Byte ranges of anything but `utf-8` refer to the text, not to the file. A byte
/// order mark is no part of the text, except in UTF-8, where ranges stay those of the file.
pub fn decode(bytes: Vec<u8>) -> Option<(String, String)> {
    let encoding = match Encoding::for_bom(&bytes) {
        Some((encoding, _)) if encoding != UTF_8 => encoding,
        _ => match unmarked_wide(&bytes) {
            Some(encoding) => encoding,
            None if bytes.iter().take(BINARY_WINDOW).any(|&byte| byte == 0) => return None,
            None => match String::from_utf8(bytes) {
                Ok(text) => return Some((text, name(UTF_8))),
                Err(error) => return legacy(error.as_bytes()),
            },
        },
    };
    let (text, has_errors) = encoding.decode_with_bom_removal(&bytes);
    (!has_errors && !text.contains('\0')).then(|| (text.into_owned(), name(encoding)))
}

fn name(encoding: &'static Encoding) -> String {
    encoding.name().to_ascii_lowercase()
}

/// UTF-16 without a byte order mark, where ASCII makes it evident: every other byte is NUL.
fn unmarked_wide(bytes: &[u8]) -> Option<&'static Encoding> {
    let units = || bytes[..bytes.len().min(BINARY_WINDOW) & !1].chunks_exact(2);
    if !bytes.len().is_multiple_of(2) || units().len() < FEWEST_UNITS {
        return None;
    }
    let is_text = |byte: u8| matches!(byte, b'\t' | b'\n' | b'\r' | 0x20..=0x7e);
    let count = |low: usize| units().filter(|unit| unit[1 - low] == 0 && is_text(unit[low])).count();
    let enough = |count: usize| count * 10 >= units().len() * 9;
    if enough(count(0)) {
        Some(UTF_16LE)
    } else if enough(count(1)) {
        Some(UTF_16BE)
    } else {
        None
    }
}

/// Text of an encoding from before Unicode, by how well each one explains it.
fn legacy(bytes: &[u8]) -> Option<(String, String)> {
    let window = &bytes[..bytes.len().min(DETECTOR_WINDOW)];
    let mut detector = chardetng::EncodingDetector::new(chardetng::Iso2022JpDetection::Deny);
    detector.feed(window, window.len() == bytes.len());
    let guess = detector.guess(None, chardetng::Utf8Detection::Deny);
    // GB18030 reads all that GBK does, and more.
    let guess = if guess == GBK { GB18030 } else { guess };
    [guess, WINDOWS_1252].into_iter().find_map(|encoding| {
        let (text, has_errors) = encoding.decode_without_bom_handling(bytes);
        (!has_errors && looks_like_text(&text)).then(|| (text.into_owned(), name(encoding)))
    })
}

/// The old encodings of single bytes can read anything, so a text is only taken for one when it has
/// no control characters, and more letters and marks of ASCII than others.
fn looks_like_text(text: &str) -> bool {
    let is_control = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{c}' | '\u{1b}');
    !text.chars().any(is_control)
}
