//! Owns the way of an archive into the index: one thread unpacks and hashes it, one reads its rows as
//! they pass, this one writes them into the store, and then all cores read the full text. Nothing has
//! happened until the caller commits. It must not know what rows or postings say.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Take, Write as _};
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{Builder, Scope, ScopedJoinHandle};

use rusqlite::Connection;

use super::{Manifest, Measured, Part, failed, refused};
use crate::IndexError;
use crate::rows::{self, Checked, Inserts};
use crate::store::{self, set_meta, version};
use crate::text::Text;

/// Bytes of rows between unpacking and writing, or one row; bounds memory.
const MOST_WAITING: usize = 8 << 20;
/// What is unpacked at a time.
const BUFFER: usize = 1 << 17;

/// Replaces everything in the store by the content of an archive, within the caller's transaction.
/// `tell` hears of bytes done and may stop it.
pub fn import(
    connection: &Connection,
    text: &Text,
    manifest: &Manifest,
    from: impl BufRead + Send,
    mut tell: impl FnMut(u64, u64) -> Result<(), IndexError>,
) -> Result<(), IndexError> {
    let total = manifest.parts.iter().map(|part| part.bytes).sum();
    tell(0, total)?;
    text.sweep(store::meta(connection, "text")?.as_deref());
    take_over(connection, text, manifest, from, |done| tell(done, total))?;
    let list = store::meta(connection, "text")?.unwrap_or_default();
    let files = manifest.parts[1..].iter().map(|part| (part.name.as_str(), part.bytes));
    if !text.lists_exactly(&list, files) {
        return Err(refused("its list of segments does not fit its content"));
    }
    text.verify(&list, store::most_documents(connection)?, || tell(total, total))?;
    set_meta(connection, "version", &version())
}

/// Takes over everything; what is full text is not read yet.
fn take_over(
    connection: &Connection,
    text: &Text,
    manifest: &Manifest,
    from: impl BufRead + Send,
    mut tell: impl FnMut(u64) -> Result<(), IndexError>,
) -> Result<(), IndexError> {
    let (unpacked, to_check) = mpsc::channel();
    let (checked, to_write) = mpsc::channel();
    let (written, credit) = mpsc::channel();
    let (done, news) = mpsc::channel();
    std::thread::scope(|scope| {
        let line = Line { blocks: unpacked, credit, waiting: 0 };
        let unpacking = start(scope, move || unpack(manifest, text.folder(), from, line, &done))?;
        let checking = start(scope, move || check_rows(to_check, &checked))?;
        // Its ends of the channels are dropped when it returns, so that no thread waits for ever.
        let take = move || {
            let mut inserts = Inserts::begin(connection)?;
            for block in to_write {
                inserts.write(&block)?;
                // Nobody counts behind the last block.
                let _ = written.send(block.len());
                news.try_iter().try_for_each(&mut tell)?;
            }
            rows::check(connection, &outcome(checking)?)?;
            news.into_iter().try_for_each(&mut tell)
        };
        let taken = take();
        match outcome(unpacking) {
            // It lost its listeners, who know why.
            Err(IndexError::Cancelled) => taken,
            unpacked => unpacked.and(taken),
        }
    })
}

fn start<'s, T: Send + 's>(
    scope: &'s Scope<'s, '_>,
    work: impl FnOnce() -> T + Send + 's,
) -> Result<ScopedJoinHandle<'s, T>, IndexError> {
    let spawned = Builder::new().spawn_scoped(scope, work);
    spawned.map_err(|error| IndexError::Threads { reason: error.to_string() })
}

fn outcome<T>(thread: ScopedJoinHandle<T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// The way of rows to the thread that writes them.
struct Line {
    blocks: Sender<Vec<u8>>,
    /// Bytes that were written, of each block.
    credit: Receiver<usize>,
    /// Bytes on their way.
    waiting: usize,
}

impl Line {
    /// Waits where too much is on its way; behind a long row, until that is written.
    /// [`IndexError::Cancelled`] when the other end is gone.
    fn put(&mut self, block: Vec<u8>) -> Result<(), IndexError> {
        self.waiting += block.len();
        self.blocks.send(block).map_err(|_| IndexError::Cancelled)?;
        while self.waiting > MOST_WAITING {
            self.waiting -= self.credit.recv().map_err(|_| IndexError::Cancelled)?;
        }
        Ok(())
    }
}

/// Unpacks everything: rows into the line, which ends with the last of them, full text into its
/// folder. `news` hears of bytes done; [`IndexError::Cancelled`] when nobody listens.
fn unpack(
    manifest: &Manifest,
    folder: &Path,
    from: impl BufRead,
    mut line: Line,
    news: &Sender<u64>,
) -> Result<(), IndexError> {
    let tell = |done| news.send(done).map_err(|_| IndexError::Cancelled);
    let mut content = zstd::stream::read::Decoder::with_buffer(from).map_err(torn)?;
    let Some((rows, segments)) = manifest.parts.split_first() else { return Ok(()) };
    let mut done = 0;
    unpack_part(&mut content, rows, |part| {
        rows::cut(&mut BufReader::with_capacity(BUFFER, part), |block| {
            done += block.len() as u64;
            line.put(block)?;
            tell(done)
        })
    })?;
    drop(line);
    for segment in segments {
        unpack_part(&mut content, segment, |part| unpack_segment(&folder.join(&segment.name), part))?;
        done += segment.bytes;
        tell(done)?;
    }
    match content.read(&mut [0]).map_err(torn)? {
        0 => Ok(()),
        _ => Err(refused("it holds more than its manifest says")),
    }
}

/// Lets `take` read one part, which must then be what the manifest says.
fn unpack_part<R: Read>(
    content: &mut R,
    expected: &Part,
    take: impl FnOnce(&mut Measured<Take<&mut R>>) -> Result<(), IndexError>,
) -> Result<(), IndexError> {
    let mut part = Measured::new(content.take(expected.bytes));
    take(&mut part)?;
    if part.part(&expected.name) == *expected {
        return Ok(());
    }
    Err(refused(format!("its part {} is damaged or cut short", expected.name)))
}

/// Hands on what can be read.
fn check_rows(from: Receiver<Vec<u8>>, to: &Sender<Vec<u8>>) -> Result<Checked, IndexError> {
    let mut checked = Checked::default();
    for block in from {
        checked.read(&block)?;
        to.send(block).map_err(|_| IndexError::Cancelled)?;
    }
    Ok(checked)
}

fn torn(_: io::Error) -> IndexError {
    refused("it is damaged or cut short")
}

/// Writes one file of the full text. One that is there already stays: it is of the index that is
/// in use, and names are random enough to mean the same content; the hash of what is read decides.
fn unpack_segment(path: &Path, part: &mut impl Read) -> Result<(), IndexError> {
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(file) => {
            let mut file = BufWriter::with_capacity(BUFFER, file);
            io::copy(part, &mut file).and_then(|_| file.flush()).map_err(torn)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let mut present = BufReader::new(File::open(path).map_err(failed(path))?);
            let (mut ours, mut theirs) = (vec![0; 1 << 16], vec![0; 1 << 16]);
            loop {
                let count = part.read(&mut theirs).map_err(torn)?;
                if count == 0 && present.read(&mut ours[..1]).map_err(failed(path))? == 0 {
                    return Ok(());
                }
                let same = present.read_exact(&mut ours[..count]).is_ok() && ours[..count] == theirs[..count];
                if count == 0 || !same {
                    return Err(refused("it has a segment of ours with other content"));
                }
            }
        }
        Err(error) => Err(failed(path)(error)),
    }
}
