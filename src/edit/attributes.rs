//! Extended attributes of a file: a person's own (`user.*`), the superuser's (`trusted.*`), and its access
//! control list. They survive a change of the file as its mode does.
//!
//! Labels that the system sets by itself (`security.*`) are left to it. Linux only; elsewhere a file has
//! none as far as this program knows.

use std::collections::BTreeMap;
use std::io;

use cap_std::fs::File;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Names and values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes(BTreeMap<String, Vec<u8>>);

impl Attributes {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Values in hexadecimal: they are any bytes.
impl Serialize for Attributes {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let hex = |value: &[u8]| value.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        to.collect_map(self.0.iter().map(|(name, value)| (name, hex(value))))
    }
}

impl<'de> Deserialize<'de> for Attributes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let bytes = |hex: &str| {
            let digits = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
            digits.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect::<Option<Vec<u8>>>()
        };
        let read: BTreeMap<String, String> = BTreeMap::deserialize(from)?;
        let read = read.into_iter().map(|(name, hex)| match bytes(&hex) {
            Some(value) => Ok((name, value)),
            None => Err(serde::de::Error::custom(format!("the attribute {name} is not hexadecimal"))),
        });
        Ok(Attributes(read.collect::<Result<_, _>>()?))
    }
}

#[cfg(target_os = "linux")]
fn is_kept(name: &str) -> bool {
    name.starts_with("user.") || name.starts_with("trusted.") || name == "system.posix_acl_access"
}

/// The attributes of an open file that are kept. A file system without attributes has none.
#[cfg(target_os = "linux")]
pub fn of(file: &File) -> io::Result<Attributes> {
    use rustix::io::Errno;

    let mut names = vec![0_u8; 1024];
    let length = loop {
        match rustix::fs::flistxattr(file, &mut names[..]) {
            Ok(length) => break length,
            Err(Errno::RANGE) => names.resize(names.len() * 4, 0),
            Err(Errno::NOTSUP | Errno::NOSYS) => return Ok(Attributes::default()),
            Err(error) => return Err(error.into()),
        }
    };
    let mut attributes = BTreeMap::new();
    for name in names[..length].split(|byte| *byte == 0) {
        let Some(name) = std::str::from_utf8(name).ok().filter(|name| is_kept(name)) else { continue };
        let mut value = vec![0_u8; 256];
        loop {
            match rustix::fs::fgetxattr(file, name, &mut value[..]) {
                Ok(length) => {
                    value.truncate(length);
                    attributes.insert(name.to_owned(), value);
                    break;
                }
                Err(Errno::RANGE) => value.resize(value.len() * 4, 0),
                // Gone since it was listed.
                Err(Errno::NODATA) => break,
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(Attributes(attributes))
}

#[cfg(not(target_os = "linux"))]
pub fn of(_: &File) -> io::Result<Attributes> {
    Ok(Attributes::default())
}

/// Gives a new file these attributes and no others; it may have got some by where it was made.
///
/// # Errors
/// If one cannot be set: a file that would lose its access rules is not written.
#[cfg(target_os = "linux")]
pub fn put(file: &File, wanted: &Attributes) -> io::Result<()> {
    let has = of(file)?;
    for name in has.0.keys().filter(|name| !wanted.0.contains_key(*name)) {
        rustix::fs::fremovexattr(file, name.as_str())?;
    }
    for (name, value) in wanted.0.iter().filter(|(name, value)| has.0.get(*name) != Some(*value)) {
        rustix::fs::fsetxattr(file, name.as_str(), value, rustix::fs::XattrFlags::empty()).map_err(
            |error| {
                let error = io::Error::from(error);
                io::Error::new(error.kind(), format!("the attribute `{name}` cannot be kept: {error}"))
            },
        )?;
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
pub fn put(_: &File, _: &Attributes) -> io::Result<()> {
    Ok(())
}
