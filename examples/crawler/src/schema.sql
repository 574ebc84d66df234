-- A page that was read and kept.
CREATE TABLE pages (
    id          INTEGER PRIMARY KEY,
    url         TEXT    NOT NULL UNIQUE,
    title       TEXT    NOT NULL,
    description TEXT    NOT NULL,
    text        TEXT    NOT NULL,
    status      INTEGER NOT NULL,
    bytes       INTEGER NOT NULL,   -- of the body, decompressed
    lossy       INTEGER NOT NULL,   -- 1: some bytes did not fit its encoding
    fetched_at  INTEGER NOT NULL    -- seconds since 1970
) STRICT;

-- The index over `pages`, which alone holds the text. `try_lock` is one word.
CREATE VIRTUAL TABLE pages_index USING fts5 (
    title, description, text,
    content = 'pages', content_rowid = 'id', tokenize = 'unicode61 tokenchars _'
);

-- Every address met. It leaves state 0 in the transaction that writes what became of it.
CREATE TABLE frontier (
    id     INTEGER PRIMARY KEY,     -- the order in which they were met
    url    TEXT    NOT NULL UNIQUE,
    depth  INTEGER NOT NULL,        -- links from a start
    state  INTEGER NOT NULL DEFAULT 0 CHECK (state IN (0, 1, 2)),  -- pending, stored, accounted for
    reason TEXT CHECK ((state = 2) = (reason IS NOT NULL))
) STRICT;

CREATE INDEX frontier_pending ON frontier (id) WHERE state = 0;

-- Sites of this machine and the address that their pages have in this database.
CREATE TABLE sites (
    id     INTEGER PRIMARY KEY,
    name   TEXT NOT NULL UNIQUE,
    origin TEXT NOT NULL UNIQUE
) STRICT;
