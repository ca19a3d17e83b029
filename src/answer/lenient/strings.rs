//! Strings as models write them: quotes of every kind, Python's forms, line ends and escapes within.

use super::*;

impl Parser<'_> {
    pub(super) fn string(&mut self) -> Result<String, Failure> {
        let rest = &self.text[self.at..];
        for triple in ["\"\"\"", "'''"] {
            if rest.starts_with(triple) {
                self.repairs |= PYTHON_STRING;
                self.at += triple.len();
                return self.string_until(triple);
            }
        }
        match self.take() {
            Some('\'') => {
                self.repairs |= SINGLE;
                self.string_until("'")
            }
            Some('“') => {
                self.repairs |= CURLY;
                self.string_until("”")
            }
            Some('„') => {
                self.repairs |= CURLY;
                self.string_until("“")
            }
            Some('`') if !rest.starts_with("```") => {
                self.repairs |= BACKTICK;
                let string = self.string_until("`")?;
                match string.contains("${") {
                    // What JavaScript would put there is not for us to know.
                    true => self.fail_as(FailureKind::Wrong, "a string has a placeholder inside"),
                    false => Ok(string),
                }
            }
            Some('"') => self.string_until("\""),
            _ => self.fail_as(FailureKind::Wrong, "a string is missing"),
        }
    }

    /// The rest of a string whose opening mark was read.
    pub(super) fn string_until(&mut self, end: &str) -> Result<String, Failure> {
        let mut string = String::new();
        loop {
            if self.text[self.at..].starts_with(end) {
                self.at += end.len();
                return Ok(string);
            }
            match self.take() {
                None => return self.fail("a string is not closed"),
                Some('\\') => self.escape(&mut string)?,
                Some(c @ ('\n' | '\r' | '\t')) => {
                    if end.len() == 1 && end != "`" {
                        self.repairs |= RAW_LINE;
                    }
                    string.push(c);
                }
                Some(c) if c < ' ' => {
                    return self.fail_as(FailureKind::Wrong, "a control character is inside a string");
                }
                Some(c) => string.push(c),
            }
        }
    }

    /// Python's `r"\d+"`, whose backslashes are text.
    pub(super) fn raw_string(&mut self) -> Result<String, Failure> {
        self.repairs |= PYTHON_STRING;
        // The prefix, and a quote of one byte.
        let start = self.at + 2;
        let quote = self.text.as_bytes()[self.at + 1];
        let mut escaped = false;
        for (at, byte) in self.text.bytes().enumerate().skip(start) {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'\n' => break,
                _ if byte == quote => {
                    self.at = at + 1;
                    return Ok(self.text[start..at].to_owned());
                }
                _ => {}
            }
        }
        self.at = self.text.len();
        self.fail("a string is not closed")
    }

    /// The letters, digits and underscores that begin here.
    pub(super) fn word_at(&self) -> String {
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        rest[..end].to_owned()
    }

    fn escape(&mut self, string: &mut String) -> Result<(), Failure> {
        let plain = match self.take() {
            None => return self.fail("a string is not closed"),
            Some(c @ ('"' | '\\' | '/')) => c,
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => self.code_point()?,
            Some('\'') => {
                self.repairs |= NEEDLESS;
                '\''
            }
            // `\x41` is a character in Python and an error in JSON: two readings.
            Some('x') if self.text[self.at..].bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2 => {
                return self.fail_as(FailureKind::Wrong, "`\\x` is no escape in JSON");
            }
            // At the end of the text it is not known yet what follows.
            Some('x') if self.text.len() - self.at < 2 => {
                return self.fail_as(FailureKind::Cut, "an escape is cut");
            }
            Some(c) if c.is_ascii_control() => {
                return self.fail_as(FailureKind::Wrong, "a backslash stands at the end of a line");
            }
            // `\d`, `\.`: a pattern whose backslash was not doubled. There is no other reading.
            Some(c) => {
                self.repairs |= UNKNOWN;
                string.push('\\');
                c
            }
        };
        string.push(plain);
        Ok(())
    }

    fn code_point(&mut self) -> Result<char, Failure> {
        let first = self.code_unit()?;
        let point = match first {
            0xd800..=0xdbff if self.text[self.at..].starts_with("\\u") => {
                self.at += 2;
                let second = self.code_unit()?;
                if !(0xdc00..=0xdfff).contains(&second) {
                    return self.fail_as(FailureKind::Wrong, "`\\u` gives half a character");
                }
                0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
            }
            other => other,
        };
        match char::from_u32(point) {
            Some(c) => Ok(c),
            // Half a character, perhaps because the other half was cut off.
            None => self.fail("`\\u` gives half a character"),
        }
    }

    fn code_unit(&mut self) -> Result<u32, Failure> {
        let mut unit = 0;
        for _ in 0..4 {
            match self.peek().and_then(|c| c.to_digit(16)) {
                Some(digit) => unit = unit * 16 + digit,
                None => return self.fail("`\\u` needs four hexadecimal digits"),
            }
            self.at += 1;
        }
        Ok(unit)
    }
}
