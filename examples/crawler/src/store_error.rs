//! Why the database is of no use.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// Why the database is of no use. `Display` is one line that names the file.
#[derive(Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no such file.
    Missing(PathBuf),
    /// The file is another program's, or of another version of this one.
    Foreign(PathBuf),
    /// Another program holds it.
    Locked(PathBuf),
    /// Its lock file is of no use.
    Lock(PathBuf, io::Error),
    /// Everything else.
    Sqlite(PathBuf, rusqlite::Error),
}

impl StoreError {
    pub(crate) fn new(path: &Path, error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked(path.into()),
            Some(ErrorCode::NotADatabase) => Self::Foreign(path.into()),
            _ => Self::Sqlite(path.into(), error),
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(path) => write!(f, "no database at `{}`: crawl first", path.display()),
            Self::Foreign(path) => {
                write!(f, "`{}` is not a database of this crawler", path.display())
            }
            Self::Locked(path) => {
                write!(f, "database `{}` is locked by another program", path.display())
            }
            Self::Lock(path, error) => write!(f, "lock file `{}`: {error}", path.display()),
            Self::Sqlite(path, error) => write!(f, "database `{}`: {error}", path.display()),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Lock(_, error) => Some(error),
            Self::Sqlite(_, error) => Some(error),
            _ => None,
        }
    }
}
