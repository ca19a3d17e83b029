-- The truth of the index. Everything here follows from the tree, its git objects and this version
-- of the program, and can be deleted at any time.

CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE files (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL UNIQUE,          -- relative to the root, with '/'
    hash BLOB NOT NULL,                 -- blake3 of the bytes
    blob BLOB NOT NULL,                 -- git's id of the bytes, and of the bytes with LF for CRLF if different
    bytes INTEGER NOT NULL,
    lines INTEGER NOT NULL,
    tokens INTEGER NOT NULL,            -- search tokens, the length for BM25
    chunks INTEGER NOT NULL,
    language TEXT,                      -- NULL: plain text
    encoding TEXT NOT NULL,
    syntax_errors INTEGER NOT NULL,
    gave_up INTEGER NOT NULL,           -- 1: the parser did not finish, chunked as plain text
    git TEXT,                           -- against HEAD: 'modified', 'new', or NULL
    indexed INTEGER NOT NULL,           -- bytes that were read: all, or the first of a large file
    origin TEXT                         -- what the text says of where it comes from: see origin.rs
);

CREATE INDEX files_unusual ON files (encoding, gave_up, indexed, bytes)
    WHERE encoding <> 'utf-8' OR gave_up <> 0 OR indexed < bytes;

CREATE TABLE details (                  -- what is known about one file, packed: see packed.rs
    file INTEGER PRIMARY KEY,
    chunks BLOB NOT NULL,
    symbols BLOB NOT NULL,
    imports BLOB NOT NULL,
    uses BLOB NOT NULL                  -- references: a name on a line
);

CREATE TABLE seen (                     -- what the file system said of each path: see seen.rs
    path TEXT PRIMARY KEY,
    bytes INTEGER, modified INTEGER, changed INTEGER, inode INTEGER,    -- NULL: read it again
    skipped TEXT,                       -- why it is not in the index
    file INTEGER                        -- in files, when it is
) WITHOUT ROWID;

CREATE TABLE head (path TEXT PRIMARY KEY, blob BLOB NOT NULL) WITHOUT ROWID;    -- tree of HEAD

CREATE TABLE commits (                  -- cache: what a commit says and touches never changes
    id BLOB PRIMARY KEY,
    content BLOB NOT NULL               -- see past.rs
) WITHOUT ROWID;

CREATE TABLE past (content BLOB NOT NULL);      -- one row: the history as a query reads it, see past.rs
