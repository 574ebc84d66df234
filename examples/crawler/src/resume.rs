//! Where a crawl stands.

use crate::harvest::MOVED;
use crate::record::Target;
use crate::store::{Store, StoreError};

/// What is known of some origins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resume {
    /// Addresses that are done with.
    pub visited: Vec<String>,
    /// Addresses to crawl, in the order in which they were met.
    pub pending: Vec<Target>,
}

/// SQL for the addresses of the origin `?1` (`http://host:port`): in ASCII '0' follows '/'.
const OF_ORIGIN: &str = "url >= ?1 || '/' AND url < ?1 || '0'";

impl Store {
    /// Where the crawl of these origins (`http://host:port`) stands.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    pub fn resume(&self, origins: &[String]) -> Result<Resume, StoreError> {
        let read = || {
            let mut resume = Resume::default();
            let sql = "SELECT url, depth, state FROM frontier";
            let mut rows =
                self.connection.prepare(&format!("{sql} WHERE {OF_ORIGIN} ORDER BY id"))?;
            for origin in origins {
                let mut rows = rows.query([origin])?;
                while let Some(row) = rows.next()? {
                    let url: String = row.get(0)?;
                    match row.get(2)? {
                        0 => resume.pending.push(Target::new(url, row.get(1)?)),
                        _ => resume.visited.push(url),
                    }
                }
            }
            Ok(resume)
        };
        read().map_err(|error| self.error(error))
    }

    /// Returns these origins, and those that their starts were found to redirect to.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    pub fn followed(&self, origins: &[String]) -> Result<Vec<String>, StoreError> {
        let read = || {
            let mut origins = origins.to_vec();
            let sql = "SELECT reason FROM frontier WHERE state = 2 AND depth = 0";
            let mut rows = self.connection.prepare(&format!("{sql} AND {OF_ORIGIN}"))?;
            let mut next = 0;
            while let Some(origin) = origins.get(next) {
                let reasons = rows.query_map([origin], |row| row.get::<_, String>(0))?;
                let reasons = reasons.collect::<Result<Vec<_>, _>>()?;
                for to in reasons.iter().filter_map(|reason| reason.strip_prefix(MOVED)) {
                    if !origins.iter().any(|known| known == to) {
                        origins.push(to.to_owned());
                    }
                }
                next += 1;
            }
            Ok(origins)
        };
        read().map_err(|error| self.error(error))
    }

    /// How many addresses of these origins are left to crawl.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    pub fn pending(&self, origins: &[String]) -> Result<u64, StoreError> {
        let read = || {
            let sql = "SELECT count(*) FROM frontier WHERE state = 0";
            let mut rows = self.connection.prepare(&format!("{sql} AND {OF_ORIGIN}"))?;
            let count = |origin| rows.query_row([origin], |row| row.get::<_, i64>(0));
            let counts = origins.iter().map(count).collect::<rusqlite::Result<Vec<_>>>()?;
            Ok(counts.into_iter().map(i64::unsigned_abs).sum())
        };
        read().map_err(|error| self.error(error))
    }
}
