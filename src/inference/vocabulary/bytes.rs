//! The letters that GPT-2 and its descendants write bytes with.

/// The byte that a letter stands for: printable bytes stand for themselves, the others for the letters from
/// U+0100 on, in order.
fn byte_of(letter: char) -> Option<u8> {
    let code = u32::from(letter);
    match code {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => Some(code as u8),
        0x100..=0x120 => Some((code - 0x100) as u8),
        0x121..=0x142 => Some((code - 0x121 + 0x7f) as u8),
        0x143 => Some(0xad),
        _ => None,
    }
}

/// Appends the bytes of a token. A letter that stands for no byte stands for itself.
pub fn decode(stored: &[u8], out: &mut Vec<u8>) {
    for chunk in stored.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match byte_of(letter) {
                Some(byte) => out.push(byte),
                None => out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        out.extend_from_slice(chunk.invalid());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_one_letter() {
        let mut bytes: Vec<u8> = (0..0x200).filter_map(char::from_u32).filter_map(byte_of).collect();
        bytes.sort_unstable();
        assert_eq!(bytes, (0..=255).collect::<Vec<u8>>());
        let mut out = Vec::new();
        decode("Ġa".as_bytes(), &mut out);
        decode("ĊéÃ©€".as_bytes(), &mut out);
        assert_eq!(out, [&b" a\n\xe9\xc3\xa9"[..], "€".as_bytes()].concat());
    }
}
