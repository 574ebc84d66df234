//! Finding pages again.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use crate::store::{Store, StoreError};

/// What a search found.
#[derive(Debug, Clone)]
pub struct Hits {
    /// The best ones, best first.
    pub best: Vec<Hit>,
    /// How many there are in all.
    pub total: u64,
    /// How long it took.
    pub time: Duration,
}

/// One page found.
#[derive(Debug, Clone)]
pub struct Hit {
    /// Its title; its address if it has none.
    pub title: String,
    /// Its address.
    pub url: String,
    /// The place in its text, with the words between [`OPEN`] and [`CLOSE`].
    pub snippet: String,
}

/// Before a found word in a snippet. Pages have no control characters here.
pub const OPEN: char = '\u{2}';
/// After a found word.
pub const CLOSE: char = '\u{3}';

const BEST: u32 = 10;

/// A word in the title counts as much as ten in the text, and one in the description as four. With
/// `ORDER BY rank` the index sorts first; with `bm25(…)` it would make a snippet of every hit.
const SQL: &str = "
    SELECT pages.title, pages.url, snippet(pages_index, 2, char(2), char(3), '…', 24)
    FROM pages_index JOIN pages ON pages.id = pages_index.rowid
    WHERE pages_index MATCH ?1 AND rank MATCH 'bm25(10.0, 4.0, 1.0)' ORDER BY rank LIMIT ?2";

impl Store {
    /// Finds the pages with all of `words`, in title, description or text; a word with spaces or
    /// punctuation in it is a phrase.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    pub fn search(&self, words: &[String]) -> Result<Hits, StoreError> {
        let query = query(words);
        let start = Instant::now();
        let find = || {
            let sql = "SELECT count(*) FROM pages_index WHERE pages_index MATCH ?1";
            let total: i64 = self.connection.query_row(sql, [&query], |row| row.get(0))?;
            let mut rows = self.connection.prepare(SQL)?;
            let hits = rows.query_map((&query, BEST), |row| {
                let (title, url): (String, String) = (row.get(0)?, row.get(1)?);
                let title = if title.is_empty() { url.clone() } else { title };
                Ok(Hit { title, url, snippet: row.get(2)? })
            })?;
            Ok((total.unsigned_abs(), hits.collect::<rusqlite::Result<_>>()?))
        };
        let (total, best) = find().map_err(|error| self.error(error))?;
        Ok(Hits { best, total, time: start.elapsed() })
    }
}

impl Hits {
    /// Prints the hits, with the found words in bold if `bold` says so.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn print(&self, out: &mut dyn Write, bold: bool) -> io::Result<()> {
        let (on, off) = if bold { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        for (rank, hit) in self.best.iter().enumerate() {
            let rank = rank + 1;
            writeln!(out, "{rank:>2}. {on}{}{off}", clean(&hit.title, "", ""))?;
            writeln!(out, "    {}", clean(&hit.url, "", ""))?;
            writeln!(out, "    {}", clean(&hit.snippet, on, off))?;
        }
        let plural = if self.total == 1 { "page" } else { "pages" };
        writeln!(out, "{} {plural} in {:.1} ms", self.total, self.time.as_secs_f64() * 1e3)
    }
}

/// Puts each word in quotes, so that nothing in it is query syntax.
fn query(words: &[String]) -> String {
    let quoted = words.iter().map(|word| format!("\"{}\"", word.replace(['"', '\0'], " ")));
    quoted.collect::<Vec<_>>().join(" ")
}

/// Removes control characters: a page must not control the terminal.
fn clean(text: &str, on: &str, off: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            OPEN => clean.push_str(on),
            CLOSE => clean.push_str(off),
            c if c.is_control() => clean.push(' '),
            c => clean.push(c),
        }
    }
    clean
}
