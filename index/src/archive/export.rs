//! Owns the writing of an archive. It must not know how one is read.

use std::io::{self, Write};
use std::path::Path;

use super::{MAGIC, Manifest, Measured, ROWS, failed, refused};
use crate::IndexError;
use crate::rows;
use crate::store::{self, version};
use crate::text::Text;

const LEVEL: i32 = 3;

/// Writes an archive to `to`, wholly or not at all. `scratch` is a folder for what is compressed
/// before the manifest is known. The caller holds the write lock.
pub fn export(
    connection: &rusqlite::Connection,
    text: &Text,
    scratch: &Path,
    to: &Path,
) -> Result<Manifest, IndexError> {
    let Some(list) = store::meta(connection, "text")? else {
        return Err(refused("there is no index yet to write one from; update it first"));
    };
    let content = scratch.join("export");
    let result = export_through(connection, text, &list, &content, to);
    // It may not have come to be.
    let _ = std::fs::remove_file(&content);
    result
}

fn export_through(
    connection: &rusqlite::Connection,
    text: &Text,
    list: &str,
    content: &Path,
    to: &Path,
) -> Result<Manifest, IndexError> {
    let failed_content = failed(content);
    let file = std::fs::File::create(content).map_err(&failed_content)?;
    let mut frame =
        zstd::stream::write::Encoder::new(io::BufWriter::new(file), LEVEL).map_err(&failed_content)?;
    let mut part = Measured::new(&mut frame);
    rows::write(connection, &mut part)?;
    let mut parts = vec![part.part(ROWS)];
    for name in text.files(list) {
        let path = text.folder().join(&name);
        let mut source = std::fs::File::open(&path).map_err(failed(&path))?;
        let mut part = Measured::new(&mut frame);
        io::copy(&mut source, &mut part).map_err(&failed_content)?;
        parts.push(part.part(&name));
    }
    frame.finish().and_then(|mut file| file.flush()).map_err(&failed_content)?;
    let commit = store::meta(connection, "git")?.and_then(|state| Some(state.rsplit_once('@')?.1.to_owned()));
    let mut manifest = Manifest {
        version: version(),
        weights: crate::weights::hash(),
        grammars: crate::lang::grammars(),
        commit: commit.filter(|commit| !commit.is_empty()),
        files: store::meta(connection, "files")?.and_then(|files| files.parse().ok()).unwrap_or(0),
        parts,
        total: String::new(),
    };
    manifest.total = manifest.address();
    let partial = to.with_extension("partial");
    let write = || -> io::Result<()> {
        let mut out = io::BufWriter::new(std::fs::File::create(&partial)?);
        out.write_all(MAGIC.as_bytes())?;
        serde_json::to_writer(&mut out, &manifest)?;
        out.write_all(b"\n")?;
        io::copy(&mut std::fs::File::open(content)?, &mut out)?;
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        std::fs::rename(&partial, to)
    };
    if let Err(error) = write() {
        let _ = std::fs::remove_file(&partial);
        return Err(failed(to)(error));
    }
    Ok(manifest)
}
