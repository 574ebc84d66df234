//! Keeping the pages of a local site under one address while its port changes from run to run.

use rusqlite::{OptionalExtension, Transaction, params};

use crate::store::{Store, StoreError, immediate};

impl Store {
    /// Says that the site `name` is at `origin` (`http://host:port`) in this run. Its stored
    /// addresses move there from its origin in the run before.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    pub fn settle(&mut self, name: &str, origin: &str) -> Result<(), StoreError> {
        let mut write = || {
            let transaction = immediate(&mut self.connection)?;
            make_room(&transaction, name, origin)?;
            let sql = "SELECT origin FROM sites WHERE name = ?1";
            let before = transaction.query_row(sql, [name], |row| row.get::<_, String>(0));
            if let Some(before) = before.optional()? {
                rename(&transaction, &before, origin)?;
            }
            let sql = "INSERT INTO sites (name, origin) VALUES (?1, ?2)
                       ON CONFLICT (name) DO UPDATE SET origin = ?2";
            transaction.execute(sql, [name, origin])?;
            transaction.commit()
        };
        write().map_err(|error| self.error(error))
    }
}

/// Makes room for `name` at `origin`. Another site may have had this port in an earlier run: its
/// pages go to an origin that no site has, until that site is crawled again.
fn make_room(transaction: &Transaction<'_>, name: &str, origin: &str) -> rusqlite::Result<()> {
    let sql = "SELECT id FROM sites WHERE origin = ?1 AND name <> ?2";
    let other = transaction.query_row(sql, [origin, name], |row| row.get::<_, i64>(0));
    let Some(id) = other.optional()? else { return Ok(()) };
    let parked = format!("http://site-{id}.invalid");
    rename(transaction, origin, &parked)?;
    transaction.execute("UPDATE sites SET origin = ?1 WHERE id = ?2", params![parked, id])?;
    Ok(())
}

fn rename(transaction: &Transaction<'_>, from: &str, to: &str) -> rusqlite::Result<()> {
    if from == to {
        return Ok(());
    }
    for table in ["pages", "frontier"] {
        // In ASCII '0' follows '/', so this is every address that begins with `from` and a slash.
        let sql = format!(
            "UPDATE {table} SET url = ?2 || substr(url, length(?1) + 1)
             WHERE url >= ?1 || '/' AND url < ?1 || '0'"
        );
        transaction.execute(&sql, [from, to])?;
    }
    Ok(())
}
