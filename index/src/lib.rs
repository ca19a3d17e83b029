//! A deterministic index of a repository: files, symbols, full text and git history, and from them
//! ranked evidence for a request, with the reasons written down.
//!
//! It knows files and text. It must not know models, roles, async, terminals, the environment or
//! the clock: the same tree and request give the same bytes.
//!
//! ```
//! use std::ops::ControlFlow;
//! use countersign_index::{Budget, Index, Request};
//!
//! # let root = tempfile::tempdir()?;
//! # let data = tempfile::tempdir()?;
//! # std::fs::write(root.path().join("parser.rs"), "/// Reads one line.\npub fn parse_line() {}\n")?;
//! let mut index = Index::open(root.path(), &data.path().join("index"))?;
//! index.update(&mut |_progress| ControlFlow::Continue(()))?;
//! let request = Request { text: "make parse_line accept an empty line".into(), tags: vec![] };
//! let context = index.context(&request, Budget { tokens: 4_000 })?;
//! assert_eq!(context.pack.snippets[0].path, "parser.rs");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

pub mod extract;
pub mod lang;
pub mod symbol;

mod archive;
mod attributes;
mod boilerplate;
mod checkout;
mod chunk;
mod decode;
mod directory;
mod error;
mod explain;
mod file;
mod git;
mod guard;
mod highlight;
mod history;
mod kind;
mod ledger;
mod line;
mod look;
mod markdown;
mod mention;
mod origin;
mod pack;
mod packed;
mod parse;
mod past;
mod query;
mod rank;
mod resolve;
mod rows;
mod seen;
mod snapshot;
mod store;
mod text;
mod together;
mod token;
mod update;
mod upkeep;
mod walk;
mod weights;
mod writer;
mod yaml;

pub use archive::{Manifest, Part};
pub use checkout::{Checkout, Switched};
pub use chunk::LONGEST_CHUNK;
pub use error::IndexError;
pub use explain::{Explanation, Place};
pub use file::{HEAD_BYTES, LARGEST_FILE};
pub use highlight::{Token, TokenKind, highlight};
pub use kind::FileKind;
pub use ledger::{Candidate, Ledger, RequestTerm, Rule, RulePoints, Verdict};
pub use origin::{Origin, OriginKind};
pub use pack::{Pack, Snippet, TailEntry, tokens};
pub use parse::{SyntaxErrors, syntax_errors};
pub use store::version;
pub use symbol::{Symbol, SymbolKind};
pub use update::{Phase, Progress, UpdateReport};
pub use walk::SkipReason;
pub use weights::Weights;

use pack::Material;
use snapshot::{Slot, Snapshot};
use store::Store;
use text::Text;

/// Tagged files that may give snippets; the tag of a large directory means no more of them.
const MOST_TAGGED: usize = 200;

/// An open index of one repository.
pub struct Index {
    root: PathBuf,
    store_dir: PathBuf,
    store: Store,
    text: Text,
    weights: Weights,
    /// Why opening had to begin anew; told by the next update.
    rebuilt: Option<String>,
    snapshot: Mutex<Option<Arc<Snapshot>>>,
}

/// What evidence is wanted for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// In its owner's words; of more than 256 KiB the beginning counts.
    pub text: String,
    /// Paths of files or directories that must be in the pack.
    pub tags: Vec<String>,
}

/// How large the pack may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// A token is four bytes, rounded up for each snippet.
    pub tokens: u32,
}

/// The evidence and the reasons for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Context {
    pub pack: Pack,
    pub ledger: Ledger,
}

/// A use of a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    pub path: String,
    /// 1-based.
    pub line: u32,
    /// The line, trimmed, at most 200 characters.
    pub text: String,
}

/// Something that a file asks for from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// As written.
    pub target: String,
    /// 1-based.
    pub line: u32,
    /// Files of the tree that it means, by path; none for libraries, and where names alone do not
    /// tell.
    pub files: Vec<String>,
}

/// A passage that resembles a search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hit {
    pub path: String,
    /// First and last line, 1-based, inclusive.
    pub start_line: u32,
    pub end_line: u32,
    pub text: String,
    pub score: f64,
}

/// What is known of a file as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileInfo {
    pub path: String,
    pub bytes: u64,
    pub lines: u32,
    /// `None`: indexed as plain text.
    pub language: Option<String>,
    pub kind: FileKind,
    /// Where it comes from, when it is not written here by hand.
    pub origin: Option<Origin>,
    /// How many of its bytes are indexed: all, or the first of a file over [`LARGEST_FILE`].
    pub indexed: u64,
    /// Byte ranges of any other than `utf-8` refer to the decoded text.
    pub encoding: String,
    pub syntax_errors: u32,
    /// The parser gave up on it; it is indexed as plain text.
    pub gave_up: bool,
    /// Against HEAD: `modified`, `new`, or `None`.
    pub git: Option<String>,
    /// blake3 of the bytes, in hexadecimal.
    pub hash: String,
}

impl Index {
    /// Opens the index of `root` in `store_dir`, creating it as needed, readable by its owner only.
    /// It holds nothing until [`Index::update`].
    ///
    /// # Errors
    /// When the root is not a directory, or the store cannot be used.
    pub fn open(root: &Path, store_dir: &Path) -> Result<Index, IndexError> {
        let unusable = |reason: String| IndexError::Root { path: root.to_owned(), reason };
        let root = root.canonicalize().map_err(|error| unusable(error.to_string()))?;
        if !root.is_dir() {
            return Err(unusable("it is not a directory".to_owned()));
        }
        create_private(store_dir)?;
        let store_dir = store_dir.canonicalize().map_err(|error| IndexError::Directory {
            path: store_dir.to_owned(),
            reason: error.to_string(),
        })?;
        let (store, rebuilt) = Store::open(&store_dir.join("index.sqlite"))?;
        let text = Text::open(&store_dir.join("text"))?;
        let is_orphaned = store.meta("text")?.is_none() && text.has_files();
        Ok(Index {
            root,
            store_dir,
            store,
            text,
            weights: Weights::built_in()?,
            rebuilt: rebuilt.or_else(|| is_orphaned.then(|| "the index was incomplete".to_owned())),
            snapshot: Mutex::new(None),
        })
    }

    /// The directory that is indexed, canonical.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Ranks by other weights than the built-in ones. They are not part of the store: the next
    /// index that opens it ranks by its own.
    pub fn set_weights(&mut self, weights: Weights) {
        self.weights = weights;
    }

    /// Ranks the evidence for a request and packs it into a budget.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn context(&self, request: &Request, budget: Budget) -> Result<Context, IndexError> {
        let snapshot = self.snapshot()?;
        let query = query::analyse(&request.text, &self.weights.query);
        let ranking = rank::rank(&snapshot, &query, &request.tags, &self.weights)?;
        let (material, changed) = self.material(&snapshot, &ranking)?;
        let connection = self.store.reader();
        let definitions = |slot: Slot| {
            let symbols = store::symbols(connection, snapshot.files[slot].row.id);
            symbols.map(|symbols| pack::top_names(&symbols)).unwrap_or_default()
        };
        let path = |slot: Slot| snapshot.files[slot].row.path.clone();
        let pack = pack::pack(&ranking, &material, path, definitions, budget.tokens, &self.weights.pack);
        let ledger = ledger::write(&snapshot, ranking, &pack, &changed);
        Ok(Context { pack, ledger })
    }

    /// What a file defines, outer before inner.
    ///
    /// ```
    /// # use std::ops::ControlFlow;
    /// use countersign_index::Index;
    ///
    /// # let root = tempfile::tempdir()?;
    /// # let data = tempfile::tempdir()?;
    /// # std::fs::write(root.path().join("a.py"), "class Reader:\n    def read_line(self):\n        pass\n")?;
    /// # std::fs::write(root.path().join("b.py"), "def main():\n    Reader().read_line()\n")?;
    /// # let mut index = Index::open(root.path(), &data.path().join("index"))?;
    /// # index.update(&mut |_| ControlFlow::Continue(()))?;
    /// let names: Vec<_> = index.outline("a.py")?.into_iter().map(|symbol| symbol.name).collect();
    /// assert_eq!(names, ["Reader", "read_line"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`IndexError::UnknownPath`] when the path is not in the index.
    pub fn outline(&self, path: &str) -> Result<Vec<Symbol>, IndexError> {
        let snapshot = self.snapshot()?;
        let slot = snapshot.slot(path).ok_or_else(|| IndexError::UnknownPath { path: path.to_owned() })?;
        store::symbols(self.store.reader(), snapshot.files[slot].row.id)
    }

    /// What a file imports, in order, as written, and which files of the tree that means, as far as
    /// names alone tell it.
    ///
    /// # Errors
    /// [`IndexError::UnknownPath`] when the path is not in the index.
    pub fn imports(&self, path: &str) -> Result<Vec<Imported>, IndexError> {
        let snapshot = self.snapshot()?;
        let slot = snapshot.slot(path).ok_or_else(|| IndexError::UnknownPath { path: path.to_owned() })?;
        let imports = store::imports(self.store.reader(), snapshot.files[slot].row.id)?;
        let paths = resolve::Paths::new(snapshot.files.iter().map(|file| file.row.path.as_str()));
        let language = snapshot.files[slot].row.language.as_deref().unwrap_or_default();
        let resolved = imports.into_iter().map(|import| {
            let files = resolve::resolve(language, path, &import.target, &paths);
            Imported {
                files: files.into_iter().filter(|file| *file != path).map(str::to_owned).collect(),
                target: import.target,
                line: import.line,
            }
        });
        Ok(resolved.collect())
    }

    /// Where a name is used, by path and line. Files that changed since the last update are left
    /// out: their lines are elsewhere now.
    ///
    /// ```
    /// # use std::ops::ControlFlow;
    /// use countersign_index::Index;
    ///
    /// # let root = tempfile::tempdir()?;
    /// # let data = tempfile::tempdir()?;
    /// # std::fs::write(root.path().join("a.py"), "class Reader:\n    def read_line(self):\n        pass\n")?;
    /// # std::fs::write(root.path().join("b.py"), "def main():\n    Reader().read_line()\n")?;
    /// # let mut index = Index::open(root.path(), &data.path().join("index"))?;
    /// # index.update(&mut |_| ControlFlow::Continue(()))?;
    /// let uses = index.references("read_line")?;
    /// assert_eq!((uses[0].path.as_str(), uses[0].line), ("b.py", 2));
    /// assert_eq!(uses[0].text, "Reader().read_line()");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn references(&self, name: &str) -> Result<Vec<Reference>, IndexError> {
        let snapshot = self.snapshot()?;
        let (key, first_line) = (packed::name_key(name), name.lines().next().unwrap_or_default());
        let mut references = Vec::new();
        for slot in rank::holding(&snapshot, name)? {
            let lines = store::lines_of_use(self.store.reader(), snapshot.files[slot].row.id, key)?;
            if lines.is_empty() {
                continue;
            }
            let Some(source) = self.source(&snapshot, slot) else { continue };
            let text = line::Lines::new(&source);
            // Another name may have the same key; the line tells.
            let lines = lines.into_iter().filter(|line| text.text(*line).contains(first_line));
            references.extend(lines.map(|line| Reference {
                path: snapshot.files[slot].row.path.clone(),
                line,
                text: text.text(line).trim().chars().take(200).collect(),
            }));
        }
        Ok(references)
    }

    /// The passages that resemble a text most, best first; ties by path and line.
    ///
    /// ```
    /// # use std::ops::ControlFlow;
    /// use countersign_index::Index;
    ///
    /// # let root = tempfile::tempdir()?;
    /// # let data = tempfile::tempdir()?;
    /// # std::fs::write(root.path().join("a.py"), "class Reader:\n    def read_line(self):\n        pass\n")?;
    /// # std::fs::write(root.path().join("b.py"), "def main():\n    Reader().read_line()\n")?;
    /// # let mut index = Index::open(root.path(), &data.path().join("index"))?;
    /// # index.update(&mut |_| ControlFlow::Continue(()))?;
    /// let hits = index.search("read a line", 1)?;
    /// assert!(hits[0].text.contains("read_line"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn search(&self, text: &str, limit: usize) -> Result<Vec<Hit>, IndexError> {
        let snapshot = self.snapshot()?;
        let query = query::analyse(text, &self.weights.query);
        let ranking = rank::rank(&snapshot, &query, &[], &self.weights)?;
        let mut best: Vec<(f64, Slot, u32)> = ranking
            .files
            .iter()
            .flat_map(|file| file.chunks.iter().map(|(ordinal, score)| (*score, file.slot, *ordinal)))
            .collect();
        best.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        let mut hits = Vec::new();
        let mut open: BTreeMap<Slot, Option<Material>> = BTreeMap::new();
        for (score, slot, ordinal) in best {
            if hits.len() == limit {
                break;
            }
            let material = match open.entry(slot) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(empty) => empty.insert(self.read_material(&snapshot, slot)?),
            };
            let Some(material) = material else { continue };
            let Some(chunk) = material.chunks.get(ordinal as usize) else { continue };
            hits.push(Hit {
                path: snapshot.files[slot].row.path.clone(),
                start_line: chunk.start_line,
                end_line: chunk.end_line,
                text: material.source[chunk.start_byte as usize..chunk.end_byte as usize].to_owned(),
                score,
            });
        }
        Ok(hits)
    }

    /// Every indexed file, by path.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn files(&self) -> Result<Vec<FileInfo>, IndexError> {
        let snapshot = self.snapshot()?;
        let info = |file: &snapshot::File| FileInfo {
            path: file.row.path.clone(),
            bytes: file.row.bytes,
            lines: file.row.lines,
            language: file.row.language.clone(),
            kind: file.kind,
            origin: file.origin.clone(),
            indexed: file.row.indexed,
            encoding: file.row.encoding.clone(),
            syntax_errors: file.row.syntax_errors,
            gave_up: file.row.gave_up,
            git: file.row.git.clone(),
            hash: file.row.hash.iter().map(|byte| format!("{byte:02x}")).collect(),
        };
        Ok(snapshot.files.iter().map(info).collect())
    }

    /// The current generation, from memory when it is still the one on the disk.
    fn snapshot(&self) -> Result<Arc<Snapshot>, IndexError> {
        let generation = self.store.meta("generation")?.unwrap_or_default();
        // A panic elsewhere leaves at worst an old snapshot, which the generation unmasks.
        let mut held = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(snapshot) = held.as_ref().filter(|snapshot| snapshot.generation == generation) {
            return Ok(snapshot.clone());
        }
        let fresh = Arc::new(Snapshot::read(&self.store, &self.text)?);
        *held = Some(fresh.clone());
        Ok(fresh)
    }

    /// Text, chunks and symbols of the files that may give snippets; and the slots of those that
    /// cannot because they changed since the last update.
    fn material(
        &self,
        snapshot: &Snapshot,
        ranking: &rank::Ranking,
    ) -> Result<(BTreeMap<Slot, Material>, Vec<Slot>), IndexError> {
        let mut material = BTreeMap::new();
        let mut changed = Vec::new();
        for (rank, ranked) in ranking.files.iter().enumerate() {
            if rank >= self.weights.pack.files && (!ranked.is_tagged || rank >= MOST_TAGGED) {
                break;
            }
            match self.read_material(snapshot, ranked.slot)? {
                Some(found) => drop(material.insert(ranked.slot, found)),
                None => changed.push(ranked.slot),
            }
        }
        Ok((material, changed))
    }

    fn read_material(&self, snapshot: &Snapshot, slot: Slot) -> Result<Option<Material>, IndexError> {
        let Some(source) = self.source(snapshot, slot) else { return Ok(None) };
        let (reader, id) = (self.store.reader(), snapshot.files[slot].row.id);
        let (chunks, symbols) = (store::chunks(reader, id)?, store::symbols(reader, id)?);
        // An index that came from elsewhere may say anything of a text.
        let fits = |start: u32, end: u32| source.get(start as usize..end as usize).is_some();
        let is_sound = chunks.iter().all(|chunk| fits(chunk.start_byte, chunk.end_byte))
            && symbols.iter().all(|symbol| fits(symbol.start_byte, symbol.end_byte));
        Ok(is_sound.then_some(Material { source, chunks, symbols }))
    }

    /// The text of a file if it still is what was indexed.
    fn source(&self, snapshot: &Snapshot, slot: Slot) -> Option<String> {
        let row = &snapshot.files[slot].row;
        let content = file::Content::read(&self.root.join(&row.path))?;
        (content.hash == row.hash).then(|| decode::decode(content.bytes)).flatten().map(|(text, _)| text)
    }
}

/// Creates a directory that only its owner may enter.
fn create_private(directory: &Path) -> Result<(), IndexError> {
    let failed = |error: std::io::Error| IndexError::Directory {
        path: directory.to_owned(),
        reason: error.to_string(),
    };
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
        builder.mode(0o700);
        builder.create(directory).map_err(failed)?;
        std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700)).map_err(failed)?;
    }
    #[cfg(not(unix))]
    builder.create(directory).map_err(failed)?;
    Ok(())
}
