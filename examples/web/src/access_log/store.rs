//! The database of the access log.

use std::{fs, path::Path, time::UNIX_EPOCH};

use rusqlite::{Connection, params};

use super::enrich::Enriched;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS access (
        came INTEGER NOT NULL, -- microseconds since 1970
        client TEXT,
        request TEXT NOT NULL,
        status INTEGER NOT NULL,
        source TEXT NOT NULL,
        took INTEGER NOT NULL, -- microseconds
        network TEXT NOT NULL,
        result TEXT NOT NULL,
        speed TEXT NOT NULL
    );";

/// The database of the access log.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
}

impl Store {
    /// Opens the database at `path`, or creates it, and the folder that it lies in.
    ///
    /// # Errors
    ///
    /// Those of SQLite, also where the folder cannot be made.
    pub fn open(path: &Path) -> rusqlite::Result<Self> {
        if let Some(folder) = path.parent() {
            // If the folder is still missing, SQLite says so.
            let _ = fs::create_dir_all(folder);
        }
        let connection = Connection::open(path)?;
        // A reader does not hold up the writer, and a commit does not wait for the disk.
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.execute_batch(SCHEMA)?;
        Ok(Self { connection })
    }

    /// Inserts the rows in one transaction: all of them, or none.
    ///
    /// # Errors
    ///
    /// Those of SQLite.
    pub fn insert(&mut self, rows: &[Enriched]) -> rusqlite::Result<Vec<()>> {
        let transaction = self.connection.transaction()?;
        {
            let mut insert = transaction
                .prepare_cached("INSERT INTO access VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?;
            for row in rows {
                let record = &row.record;
                let came = record.came.duration_since(UNIX_EPOCH).unwrap_or_default();
                insert.execute(params![
                    i64::try_from(came.as_micros()).unwrap_or(i64::MAX),
                    record.client.map(|client| client.to_string()),
                    record.request,
                    record.status,
                    record.source,
                    i64::try_from(record.took.as_micros()).unwrap_or(i64::MAX),
                    row.network,
                    row.result,
                    row.speed,
                ])?;
            }
        }
        transaction.commit()?;
        Ok(vec![(); rows.len()])
    }
}
