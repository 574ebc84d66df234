//! The database: pages, their index, and what is left to crawl.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, params};

use crate::record::{Body, Outcome, Record, Target};
pub use crate::resume::Resume;
pub use crate::store_error::StoreError;

/// "TdGt": marks a database as ours.
const APPLICATION_ID: i32 = 0x5464_4774;
/// The version of the schema.
const VERSION: i32 = 1;
/// How long to wait for the database's lock: only another program holds it for longer.
const BUSY: Duration = Duration::from_secs(1);

/// The crawl so far, in one SQLite file.
///
/// A crawl that is killed leaves the database whole: a page, its place in the index and the links
/// that it led to are written in one transaction.
#[derive(Debug)]
pub struct Store {
    pub(crate) connection: Connection,
    pub(crate) path: PathBuf,
    /// Held as long as this may write, so that no other crawl does.
    lock: Option<File>,
}

/// How much there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Pages stored.
    pub pages: u64,
    /// Of these, pages with bytes that did not fit their encoding.
    pub lossy: u64,
    /// Addresses to crawl.
    pub pending: u64,
    /// Addresses accounted for.
    pub accounted: u64,
}

impl Store {
    /// Opens the database at `path` for a crawl, or creates it. As long as this lives, no other
    /// crawl can open it. The lock is that of an empty `.lock` file beside the database, which
    /// stays there.
    ///
    /// # Errors
    ///
    /// See [`StoreError`]. A foreign file is not touched.
    pub fn open(path: &Path) -> Result<Store, StoreError> {
        let mut store = Store::connect(path, OpenFlags::default())?;
        if store.owner()? == Owner::Other {
            return Err(StoreError::Foreign(path.into()));
        }
        store.lock = Some(lock(path)?);
        store.prepare().map_err(|error| store.error(error))?;
        Ok(store)
    }

    /// Opens the database at `path` for a search. It must exist; a crawl may go on meanwhile.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    pub fn open_existing(path: &Path) -> Result<Store, StoreError> {
        if !path.exists() {
            return Err(StoreError::Missing(path.into()));
        }
        let store = Store::connect(path, OpenFlags::default() - OpenFlags::SQLITE_OPEN_CREATE)?;
        match store.owner()? {
            Owner::Us => Ok(store),
            Owner::Nobody => Err(StoreError::Missing(path.into())),
            Owner::Other => Err(StoreError::Foreign(path.into())),
        }
    }

    fn connect(path: &Path, flags: OpenFlags) -> Result<Store, StoreError> {
        let open = || {
            let connection = Connection::open_with_flags(path, flags)?;
            connection.busy_timeout(BUSY)?;
            Ok(connection)
        };
        let connection = open().map_err(|error| StoreError::new(path, error))?;
        Ok(Store { connection, path: path.into(), lock: None })
    }

    /// Returns whose database it is, without writing.
    fn owner(&self) -> Result<Owner, StoreError> {
        let number = |sql| self.connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        let check = || {
            let id = number("PRAGMA application_id")?;
            let version = number("PRAGMA user_version")?;
            let tables = number("SELECT count(*) FROM sqlite_schema")?;
            Ok(match (id, version, tables) {
                (0, 0, 0) => Owner::Nobody,
                _ if (id, version) == (APPLICATION_ID.into(), VERSION.into()) => Owner::Us,
                _ => Owner::Other,
            })
        };
        check().map_err(|error| self.error(error))
    }

    fn prepare(&mut self) -> rusqlite::Result<()> {
        let connection = &mut self.connection;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // A commit survives the death of the program; a power failure may lose the last ones.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update(None, "cache_size", -64 << 10)?;
        connection.pragma_update(None, "wal_autocheckpoint", 16 << 10)?;
        // Takes the lock of a writer, so that a locked database is known before the crawl.
        let transaction = immediate(connection)?;
        let tables: i64 =
            transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        if tables == 0 {
            transaction.execute_batch(include_str!("schema.sql"))?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
        }
        transaction.commit()
    }

    /// Writes what became of a batch of addresses, in one transaction. Returns the number of new
    /// pages: an address that is done with stays as it is.
    ///
    /// # Errors
    ///
    /// See [`StoreError`]. Then nothing of the batch is written.
    pub fn store_batch(&mut self, batch: &[Record]) -> Result<usize, StoreError> {
        let mut write = || {
            let transaction = immediate(&mut self.connection)?;
            let mut stored = 0;
            for record in batch {
                stored += usize::from(write_record(&transaction, record)?);
            }
            transaction.commit()?;
            Ok(stored)
        };
        write().map_err(|error| self.error(error))
    }

    /// Adds addresses to crawl; those already known are left alone.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    pub fn add(&mut self, targets: &[Target]) -> Result<(), StoreError> {
        let mut write = || {
            let transaction = immediate(&mut self.connection)?;
            write_found(&transaction, targets)?;
            transaction.commit()
        };
        write().map_err(|error| self.error(error))
    }

    /// How much there is, of all origins.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    pub fn counts(&self) -> Result<Counts, StoreError> {
        let count = |row: &rusqlite::Row<'_>| {
            let number = |n| row.get::<_, i64>(n).map(i64::unsigned_abs);
            Ok(Counts {
                pages: number(0)?,
                lossy: number(1)?,
                pending: number(2)?,
                accounted: number(3)?,
            })
        };
        let sql = "SELECT (SELECT count(*) FROM pages), (SELECT count(*) FROM pages WHERE lossy),
                          (SELECT count(*) FROM frontier WHERE state = 0),
                          (SELECT count(*) FROM frontier WHERE state = 2)";
        self.connection.query_row(sql, [], count).map_err(|error| self.error(error))
    }

    /// Why an address was accounted for; `None` if it was not.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    pub fn reason(&self, url: &str) -> Result<Option<String>, StoreError> {
        let sql = "SELECT reason FROM frontier WHERE url = ?1 AND state = 2";
        let reason = self.connection.query_row(sql, [url], |row| row.get(0)).optional();
        reason.map_err(|error| self.error(error))
    }

    /// Every address without a page, and why, in the order in which they were met.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    pub fn missing(&self) -> Result<Vec<(String, String)>, StoreError> {
        let read = || {
            let sql =
                "SELECT url, coalesce(reason, 'not crawled yet') FROM frontier WHERE state <> 1
                       ORDER BY id";
            let mut rows = self.connection.prepare(sql)?;
            rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<_>>()
        };
        read().map_err(|error| self.error(error))
    }

    pub(crate) fn error(&self, error: rusqlite::Error) -> StoreError {
        StoreError::new(&self.path, error)
    }
}

/// Whose database it is.
#[derive(Debug, PartialEq, Eq)]
enum Owner {
    Us,
    Other,
    /// It is empty.
    Nobody,
}

/// Locks a file beside the database. The operating system unlocks it when the program ends, however
/// that happens.
fn lock(database: &Path) -> Result<File, StoreError> {
    let mut path = database.as_os_str().to_owned();
    path.push(".lock");
    let path = PathBuf::from(path);
    let file = File::create(&path).map_err(|error| StoreError::Lock(path.clone(), error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked(database.into())),
        Err(TryLockError::Error(error)) => Err(StoreError::Lock(path, error)),
    }
}

/// A transaction that has the writer's lock from its start, so that it cannot fail half-way.
pub(crate) fn immediate(connection: &mut Connection) -> rusqlite::Result<Transaction<'_>> {
    connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
}

/// Writes a record, and returns whether it is a page that was not there.
fn write_record(transaction: &Transaction<'_>, record: &Record) -> rusqlite::Result<bool> {
    let Record { target, outcome, found } = record;
    let (state, reason) = match outcome {
        Outcome::Stored(_) => (1, None),
        Outcome::Accounted(reason) => (2, Some(reason)),
        // The page that led to this address puts it into the frontier, where it stays.
        Outcome::Deferred(_) => return Ok(false),
    };
    let sql = "INSERT INTO frontier (url, depth, state, reason) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (url) DO UPDATE SET state = ?3, reason = ?4 WHERE state = 0";
    let row = params![target.url, target.depth, state, reason];
    let is_new = transaction.prepare_cached(sql)?.execute(row)? > 0;
    write_found(transaction, found)?;
    match outcome {
        Outcome::Stored(body) if is_new => {
            write_body(transaction, &target.url, body).map(|()| true)
        }
        _ => Ok(false),
    }
}

fn write_body(transaction: &Transaction<'_>, url: &str, body: &Body) -> rusqlite::Result<()> {
    let Body { title, description, text, status, bytes, lossy } = body;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (bytes, now) = (bytes.cast_signed(), now.cast_signed());
    let sql = "INSERT INTO pages (url, title, description, text, status, bytes, lossy, fetched_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let row = params![url, title, description, text, status, bytes, lossy, now];
    let id = transaction.prepare_cached(sql)?.insert(row)?;
    let sql = "INSERT INTO pages_index (rowid, title, description, text) VALUES (?1, ?2, ?3, ?4)";
    transaction.prepare_cached(sql)?.execute(params![id, title, description, text])?;
    Ok(())
}

fn write_found(transaction: &Transaction<'_>, found: &[Target]) -> rusqlite::Result<()> {
    let sql = "INSERT OR IGNORE INTO frontier (url, depth) VALUES (?1, ?2)";
    let mut insert = transaction.prepare_cached(sql)?;
    for target in found {
        insert.execute(params![target.url, target.depth])?;
    }
    Ok(())
}
