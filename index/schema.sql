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
    git TEXT                            -- against HEAD: 'modified', 'new', or NULL
);

CREATE TABLE chunks (
    file INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    start_line INTEGER NOT NULL, end_line INTEGER NOT NULL,     -- 1-based, inclusive
    start_byte INTEGER NOT NULL, end_byte INTEGER NOT NULL,     -- half-open
    PRIMARY KEY (file, ordinal)
) WITHOUT ROWID;

CREATE TABLE symbols (
    file INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    container TEXT,
    signature TEXT NOT NULL,
    start_line INTEGER NOT NULL, end_line INTEGER NOT NULL,
    start_byte INTEGER NOT NULL, end_byte INTEGER NOT NULL,
    doc TEXT NOT NULL,
    PRIMARY KEY (file, ordinal)
) WITHOUT ROWID;

CREATE TABLE names (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);

CREATE TABLE uses (                     -- references: a name on a line
    name INTEGER NOT NULL, file INTEGER NOT NULL, line INTEGER NOT NULL,
    PRIMARY KEY (name, file, line)
) WITHOUT ROWID;
CREATE INDEX uses_by_file ON uses (file);

CREATE TABLE imports (
    file INTEGER NOT NULL, ordinal INTEGER NOT NULL,
    target TEXT NOT NULL, line INTEGER NOT NULL,
    PRIMARY KEY (file, ordinal)
) WITHOUT ROWID;

CREATE TABLE head (path TEXT PRIMARY KEY, blob BLOB NOT NULL) WITHOUT ROWID;    -- tree of HEAD

CREATE TABLE commits (                  -- cache: what a commit says and touches never changes
    id BLOB PRIMARY KEY,
    time INTEGER NOT NULL,              -- seconds since the epoch, of the committer
    subject TEXT NOT NULL,
    terms TEXT NOT NULL,                -- tokens of the message
    touched TEXT NOT NULL               -- JSON: [[path, path before or null], ...]
) WITHOUT ROWID;

CREATE TABLE history (position INTEGER PRIMARY KEY, id BLOB NOT NULL);          -- reachable from HEAD, newest first
