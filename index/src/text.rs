//! Owns the full-text part: a tantivy index of chunks and paths. It is derived and rebuildable.
//! Which segments belong to it is for the store to say, in whose transaction it changes.
//!
//! tantivy serves for what it is good at, compressed postings in mapped files and their merging.
//! Its scores are not used: its BM25 statistics count deleted documents, its lengths are rounded
//! to a byte and its ties follow the layout of segments, so that two indexes of one tree would
//! disagree. [`Postings`] are counted over living documents only, and lengths are exact.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tantivy::indexer::{LogMergePolicy, NoMergePolicy};
use tantivy::postings::Postings as _;
use tantivy::schema::{
    FAST, Field, INDEXED, IndexRecordOption, Schema, TantivyDocument, TextFieldIndexing, TextOptions,
};
use tantivy::tokenizer::{TextAnalyzer, WhitespaceTokenizer};
use tantivy::{DocSet, Index, IndexWriter, ReloadPolicy, TERMINATED, Term};

use crate::IndexError;
use crate::directory::Segments;
use crate::error::text;

mod verify;

/// Marks the document of a file's path among those of its chunks.
const PATH_DOCUMENT: u64 = u64::MAX;
/// Memory for unwritten postings; tantivy flushes a segment when it is used up. A query asks every
/// segment for every term, so that a large update makes few large ones.
const LARGE_MEMORY: usize = 256 << 20;
const SMALL_MEMORY: usize = 16 << 20;
/// Files from which on an update is large.
const LARGE_UPDATE: usize = 500;
/// Segments with more documents are left alone until half of them are gone: merging them takes
/// longer than the update that would cause it may.
const LARGE_SEGMENT: usize = 20_000;
const MOST_REMOVED: f32 = 0.5;

/// What can be looked up.
#[derive(Debug, Clone, Copy)]
struct Fields {
    file: Field,
    ordinal: Field,
    length: Field,
    /// Search tokens of a chunk.
    body: Field,
    /// Search tokens of the names that a chunk defines.
    names: Field,
    /// The names that a chunk defines, as written.
    defined: Field,
    /// Search tokens of the path's directories.
    directories: Field,
    /// Search tokens of the file name.
    basename: Field,
}

impl Fields {
    fn searchable(self) -> [Field; 5] {
        [self.body, self.names, self.defined, self.directories, self.basename]
    }
}

/// A searchable field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum In {
    Body,
    Names,
    Defined,
    Directories,
    Basename,
}

/// The folder of a full-text index.
pub struct Text {
    folder: PathBuf,
}

/// What the store keeps of the full-text part.
#[derive(Debug, Serialize, Deserialize)]
struct List {
    /// tantivy's list of segments.
    segments: String,
    /// Files of these segments with their lengths, by name: one that was lost or cut short, by a
    /// crash of the machine too, is noticed.
    files: BTreeMap<String, u64>,
}

/// One document to be written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChunkText {
    pub tokens: String,
    pub length: u64,
    pub names: String,
    pub defined: String,
}

/// Where each document of a searcher belongs. Addresses are positions in these vectors; they
/// differ between two indexes of one tree and must not decide anything.
#[derive(Debug, Default)]
pub struct Documents {
    pub file: Vec<i64>,
    pub ordinal: Vec<u32>,
    pub length: Vec<u32>,
    /// First address of each segment.
    bases: Vec<u32>,
}

/// One occurrence: the document's address and how often the term stands in it.
pub type Posting = (u32, u32);

/// A consistent view of the index at one commit.
pub struct View {
    searcher: tantivy::Searcher,
    fields: Fields,
    pub documents: Documents,
}

impl Text {
    /// Uses or creates the folder.
    pub fn open(folder: &Path) -> Result<Text, IndexError> {
        std::fs::create_dir_all(folder)
            .map_err(|error| IndexError::Directory { path: folder.to_owned(), reason: error.to_string() })?;
        Ok(Text { folder: folder.to_owned() })
    }

    /// Where the segments are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether there is anything at all, of this index or left behind.
    pub fn has_files(&self) -> bool {
        std::fs::read_dir(&self.folder).is_ok_and(|mut entries| entries.next().is_some())
    }

    /// Whether every file of the list is there in its full length.
    pub fn is_whole(&self, list: Option<&str>) -> bool {
        let Some(list) = list else { return true };
        read_list(list).is_some_and(|list| {
            list.files.iter().all(|(name, bytes)| {
                std::fs::metadata(self.folder.join(name)).is_ok_and(|found| found.len() == *bytes)
            })
        })
    }

    /// Names of the files of a list.
    pub fn files(&self, list: &str) -> Vec<String> {
        read_list(list).map(|list| list.files.into_keys().collect()).unwrap_or_default()
    }

    /// Whether a list names these files with these lengths, and no other.
    pub fn lists_exactly<'a>(&self, list: &str, files: impl Iterator<Item = (&'a str, u64)>) -> bool {
        let files: BTreeMap<&str, u64> = files.collect();
        read_list(list).is_some_and(|list| {
            list.files.len() == files.len()
                && list.files.iter().all(|(name, bytes)| files.get(name.as_str()) == Some(bytes))
        })
    }

    /// Removes the files that the list does not name. The caller holds the store's write lock.
    pub fn sweep(&self, list: Option<&str>) {
        let living = list.and_then(read_list).map(|list| list.files).unwrap_or_default();
        crate::directory::sweep(&self.folder, &living.into_keys().collect());
    }

    fn index(&self, list: Option<&str>) -> tantivy::Result<(Index, Segments, Fields)> {
        let (schema, fields) = schema();
        let list = list.and_then(read_list).map(|list| list.segments);
        let segments = Segments::open(&self.folder, list.as_deref())?;
        let index = Index::open_or_create(segments.clone(), schema)?;
        let analyzer = TextAnalyzer::builder(WhitespaceTokenizer::default()).build();
        index.tokenizers().register("tokens", analyzer);
        Ok((index, segments, fields))
    }

    /// Begins a change to the index of this list that will write about `expected` files. The
    /// caller holds the store's write lock, so that there is one writer.
    pub fn begin_write(&self, list: Option<&str>, expected: usize) -> Result<Change, IndexError> {
        let doing = "beginning to write";
        let (index, segments, fields) = self.index(list).map_err(text(doing))?;
        let is_large = expected >= LARGE_UPDATE;
        let memory = if is_large { LARGE_MEMORY } else { SMALL_MEMORY };
        let writer: IndexWriter = index.writer_with_num_threads(1, memory).map_err(text(doing))?;
        if is_large {
            writer.set_merge_policy(Box::new(NoMergePolicy));
        } else {
            let mut policy = LogMergePolicy::default();
            policy.set_max_docs_before_merge(LARGE_SEGMENT);
            policy.set_del_docs_ratio_before_merge(MOST_REMOVED);
            writer.set_merge_policy(Box::new(policy));
        }
        Ok(Change { writer, segments, fields })
    }

    /// The state that a list describes.
    pub fn view(&self, list: Option<&str>) -> Result<View, IndexError> {
        let doing = "opening its segments";
        let (index, _, fields) = self.index(list).map_err(text(doing))?;
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).num_warming_threads(0);
        let reader: tantivy::IndexReader = reader.try_into().map_err(text(doing))?;
        let searcher = reader.searcher();
        let mut documents = Documents::default();
        for segment in searcher.segment_readers() {
            documents.bases.push(documents.file.len() as u32);
            let column = |name| segment.fast_fields().u64(name).map(|column| column.first_or_default_col(0));
            let (file, ordinal, length) = (
                column("file").map_err(text(doing))?,
                column("ordinal").map_err(text(doing))?,
                column("length").map_err(text(doing))?,
            );
            for document in 0..segment.max_doc() {
                documents.file.push(file.get_val(document) as i64);
                documents.ordinal.push(ordinal.get_val(document).min(u64::from(u32::MAX)) as u32);
                documents.length.push(length.get_val(document).min(u64::from(u32::MAX)) as u32);
            }
        }
        Ok(View { searcher, fields, documents })
    }
}

fn read_list(list: &str) -> Option<List> {
    serde_json::from_str(list).ok()
}

impl View {
    /// Where a term stands, living documents only, in no meaningful order.
    pub fn postings(&self, place: In, term: &str) -> Result<Vec<Posting>, IndexError> {
        let doing = "looking up a term";
        let (field, option) = match place {
            In::Body => (self.fields.body, IndexRecordOption::WithFreqs),
            In::Names => (self.fields.names, IndexRecordOption::Basic),
            In::Defined => (self.fields.defined, IndexRecordOption::Basic),
            In::Directories => (self.fields.directories, IndexRecordOption::Basic),
            In::Basename => (self.fields.basename, IndexRecordOption::Basic),
        };
        let term = Term::from_field_text(field, term);
        let mut found = Vec::new();
        for (segment, base) in self.searcher.segment_readers().iter().zip(&self.documents.bases) {
            let inverted = segment.inverted_index(field).map_err(text(doing))?;
            let Some(mut postings) = inverted.read_postings(&term, option).map_err(text(doing))? else {
                continue;
            };
            let alive = segment.alive_bitset();
            let mut document = postings.doc();
            while document != TERMINATED {
                if alive.is_none_or(|alive| alive.is_alive(document)) {
                    found.push((base + document, postings.term_freq()));
                }
                document = postings.advance();
            }
        }
        Ok(found)
    }
}

/// Documents being added and removed, not yet visible.
pub struct Change {
    writer: IndexWriter,
    segments: Segments,
    fields: Fields,
}

impl Change {
    /// Removes every document of a file.
    pub fn remove(&mut self, file: i64) {
        self.writer.delete_term(Term::from_field_u64(self.fields.file, file as u64));
    }

    /// Adds a file: its path and its chunks in order.
    pub fn add(&mut self, file: i64, path: &str, chunks: Vec<ChunkText>) -> Result<(), IndexError> {
        let fields = self.fields;
        let (directories, basename) = path.rsplit_once('/').unwrap_or(("", path));
        let mut document = TantivyDocument::default();
        document.add_u64(fields.file, file as u64);
        document.add_u64(fields.ordinal, PATH_DOCUMENT);
        for (field, part) in [(fields.directories, directories), (fields.basename, basename)] {
            let mut tokens = String::new();
            crate::token::append_tokens(part, &mut tokens);
            document.add_text(field, tokens);
        }
        self.push(document)?;
        for (ordinal, chunk) in chunks.into_iter().enumerate() {
            let mut document = TantivyDocument::default();
            document.add_u64(fields.file, file as u64);
            document.add_u64(fields.ordinal, ordinal as u64);
            document.add_u64(fields.length, chunk.length);
            document.add_text(fields.body, chunk.tokens);
            document.add_text(fields.names, chunk.names);
            document.add_text(fields.defined, chunk.defined);
            self.push(document)?;
        }
        Ok(())
    }

    fn push(&mut self, document: TantivyDocument) -> Result<(), IndexError> {
        self.writer.add_document(document).map(drop).map_err(text("adding a file"))
    }

    /// Writes everything and waits for merges; answers the list for the store to commit, until
    /// when nothing has changed for anyone.
    pub fn finish(mut self) -> Result<String, IndexError> {
        let doing = "writing its segments";
        self.writer.commit().map_err(text(doing))?;
        self.writer.wait_merging_threads().map_err(text(doing))?;
        let segments = self.segments.list().unwrap_or_default();
        let files = self.segments.files(&segments).map_err(text(doing))?;
        serde_json::to_string(&List { segments, files }).map_err(text(doing))
    }
}

fn schema() -> (Schema, Fields) {
    let mut builder = Schema::builder();
    let tokens = |option| {
        let indexing = TextFieldIndexing::default()
            .set_tokenizer("tokens")
            .set_index_option(option)
            .set_fieldnorms(false);
        TextOptions::default().set_indexing_options(indexing)
    };
    let counted = tokens(IndexRecordOption::WithFreqs);
    let plain = tokens(IndexRecordOption::Basic);
    let fields = Fields {
        file: builder.add_u64_field("file", FAST | INDEXED),
        ordinal: builder.add_u64_field("ordinal", FAST),
        length: builder.add_u64_field("length", FAST),
        body: builder.add_text_field("body", counted),
        names: builder.add_text_field("names", plain.clone()),
        defined: builder.add_text_field("defined", plain.clone()),
        directories: builder.add_text_field("directories", plain.clone()),
        basename: builder.add_text_field("basename", plain),
    };
    (builder.build(), fields)
}
