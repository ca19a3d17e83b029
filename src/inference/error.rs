//! What can go wrong, in words that name the file's own terms.

/// Why a model cannot be opened or run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read at all.
    #[error("{path}: {source}")]
    File { path: String, source: std::io::Error },
    /// The file is no GGUF file, or not a whole one. The text says what is wrong and where.
    #[error("this is not a usable GGUF file: {0}")]
    Damaged(String),
    /// The file is sound, but needs something that is not built in.
    #[error("this model cannot be run here: {0}")]
    Unsupported(String),
    /// The cache cannot hold so many tokens.
    #[error("{needed} tokens do not fit into a context of {context}")]
    ContextFull { needed: usize, context: usize },
    /// A token that the vocabulary does not have.
    #[error("token {token} is not one of the model's {vocabulary}")]
    UnknownToken { token: u32, vocabulary: usize },
    /// The system refused memory for the cache.
    #[error("no memory for a context of {context} tokens ({bytes} bytes): {source}")]
    Memory { context: usize, bytes: u64, source: std::io::Error },
}

impl Error {
    pub(crate) fn damaged(text: impl Into<String>) -> Self {
        Error::Damaged(text.into())
    }
    pub(crate) fn unsupported(text: impl Into<String>) -> Self {
        Error::Unsupported(text.into())
    }
}
