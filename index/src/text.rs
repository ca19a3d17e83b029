//! Owns the full-text part: a tantivy index of chunks and paths. It is derived and rebuildable.
//!
//! tantivy serves for what it is good at, compressed postings in mapped files and their merging.
//! Its scores are not used: its BM25 statistics count deleted documents, its lengths are rounded
//! to a byte and its ties follow the layout of segments, so that two indexes of one tree would
//! disagree. [`Postings`] are counted over living documents only, and lengths are exact.

use std::path::Path;

use tantivy::postings::Postings as _;
use tantivy::schema::{
    FAST, Field, INDEXED, IndexRecordOption, Schema, TantivyDocument, TextFieldIndexing, TextOptions,
};
use tantivy::tokenizer::{TextAnalyzer, WhitespaceTokenizer};
use tantivy::{DocSet, Index, IndexReader, IndexWriter, ReloadPolicy, TERMINATED, Term};

use crate::IndexError;
use crate::error::text;

/// Marks the document of a file's path among those of its chunks.
const PATH_DOCUMENT: u64 = u64::MAX;
/// Memory for unwritten postings; tantivy flushes a segment when it is used up.
const WRITER_MEMORY: usize = 64 << 20;

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

/// A searchable field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum In {
    Body,
    Names,
    Defined,
    Directories,
    Basename,
}

/// The open full-text index.
pub struct Text {
    index: Index,
    reader: IndexReader,
    fields: Fields,
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
    /// Opens or creates the index in `directory`; an unreadable one is replaced, with the reason.
    pub fn open(directory: &Path) -> Result<(Text, Option<String>), IndexError> {
        let doing = "opening it";
        std::fs::create_dir_all(directory).map_err(|error| IndexError::Directory {
            path: directory.to_owned(),
            reason: error.to_string(),
        })?;
        let (schema, fields) = schema();
        let open = || -> Result<(Index, IndexReader), IndexError> {
            let mapped = tantivy::directory::MmapDirectory::open(directory).map_err(text(doing))?;
            let index = Index::open_or_create(mapped, schema.clone()).map_err(text(doing))?;
            let analyzer = TextAnalyzer::builder(WhitespaceTokenizer::default()).build();
            index.tokenizers().register("tokens", analyzer);
            // Opens every segment, so that a lost file is noticed here.
            let reader =
                index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into().map_err(text(doing))?;
            Ok((index, reader))
        };
        let (opened, rebuilt) = match open() {
            Ok(opened) => (opened, None),
            Err(error) => {
                std::fs::remove_dir_all(directory)
                    .and_then(|()| std::fs::create_dir_all(directory))
                    .map_err(|error| IndexError::Directory {
                        path: directory.to_owned(),
                        reason: error.to_string(),
                    })?;
                (open()?, Some(format!("the full-text part was damaged ({error})")))
            }
        };
        let (index, reader) = opened;
        Ok((Text { index, reader, fields }, rebuilt))
    }

    /// The generation that was committed last; 0 for a new index.
    pub fn generation(&self) -> Result<u64, IndexError> {
        let metas = self.index.load_metas().map_err(text("reading its state"))?;
        Ok(metas.payload.and_then(|payload| payload.parse().ok()).unwrap_or(0))
    }

    /// Begins a change. The caller holds the store's write lock, so that there is one writer.
    pub fn begin_write(&self) -> Result<Change, IndexError> {
        let writer =
            self.index.writer_with_num_threads(1, WRITER_MEMORY).map_err(text("beginning to write"))?;
        Ok(Change { writer, fields: self.fields })
    }

    /// The last committed state.
    pub fn view(&self) -> Result<View, IndexError> {
        let doing = "opening its segments";
        self.reader.reload().map_err(text(doing))?;
        let searcher = self.reader.searcher();
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
        Ok(View { searcher, fields: self.fields, documents })
    }
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
    fields: Fields,
}

impl Change {
    /// Removes every document of a file.
    pub fn remove(&mut self, file: i64) {
        self.writer.delete_term(Term::from_field_u64(self.fields.file, file as u64));
    }

    /// Removes everything.
    pub fn clear(&mut self) -> Result<(), IndexError> {
        self.writer.delete_all_documents().map(drop).map_err(text("clearing it"))
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

    /// Makes the change durable but not yet visible, runs `before`, then makes it visible: one
    /// small file is all that is written after `before` succeeded.
    pub fn commit(
        mut self,
        generation: u64,
        before: impl FnOnce() -> Result<(), IndexError>,
    ) -> Result<(), IndexError> {
        let doing = "committing";
        let mut prepared = self.writer.prepare_commit().map_err(text(doing))?;
        prepared.set_payload(&generation.to_string());
        if let Err(error) = before() {
            prepared.abort().map_err(text(doing))?;
            return Err(error);
        }
        prepared.commit().map_err(text(doing))?;
        self.writer.wait_merging_threads().map_err(text(doing))
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
