//! What there is to crawl on this machine.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::bundle;

/// A set of files that the loopback server offers.
///
/// Every file has one address, so a crawl meets it once. Its other addresses redirect there: that
/// of its directory if it is an `index.html`, and any with a query, with needless percent-encoding
/// or slashes, or through a symbolic link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Site {
    /// A directory, as an absolute path without links in it.
    Directory(PathBuf),
    /// The pages that come with the program.
    Bundled,
}

/// What the site has under an address.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// A file: its bytes and its content type.
    File(Cow<'static, [u8]>, &'static str),
    /// It is under another path.
    Redirect(String),
    /// Nothing.
    Nothing,
}

impl Site {
    /// The directory asked for; else the Rust documentation that rustup installed; else the bundled
    /// pages.
    ///
    /// # Errors
    ///
    /// The directory asked for cannot be read or has no HTML in it, in one line.
    pub fn find(directory: Option<&Path>) -> Result<Site, String> {
        if let Some(directory) = directory {
            return Site::directory(directory);
        }
        let documentation = rust_documentation().and_then(|path| Site::directory(&path).ok());
        Ok(documentation.unwrap_or(Site::Bundled))
    }

    fn directory(path: &Path) -> Result<Site, String> {
        let shown = path.display();
        let root = path.canonicalize().map_err(|error| format!("site `{shown}`: {error}"))?;
        if !root.is_dir() {
            return Err(format!("site `{shown}` is not a directory"));
        }
        let site = Site::Directory(root);
        if site.starts().is_empty() {
            return Err(format!("site `{shown}` has no HTML in it"));
        }
        Ok(site)
    }

    /// Returns a name that stays the same from run to run, unlike the port.
    pub fn name(&self) -> String {
        match self {
            Site::Directory(root) => root.display().to_string(),
            Site::Bundled => "bundled pages".to_owned(),
        }
    }

    /// Returns the paths to start from, encoded: `/index.html`, or else that of every HTML file.
    pub fn starts(&self) -> Vec<String> {
        let Site::Directory(root) = self else { return vec!["/index.html".to_owned()] };
        if root.join("index.html").is_file() {
            return vec!["/index.html".to_owned()];
        }
        let mut found = Vec::new();
        collect_html(root, "", &mut found);
        found.sort();
        found
    }

    /// What is under `path` (as in the request line: percent-encoded, absolute).
    pub fn get(&self, path: &str, has_query: bool) -> Found {
        let Some(relative) = decode(path) else { return Found::Nothing };
        let Some(file) = self.file(&relative).or_else(|| self.file(&relative.join(INDEX))) else {
            return Found::Nothing;
        };
        let Some(own) = address(&file) else { return Found::Nothing };
        if own != path || has_query {
            return Found::Redirect(own);
        }
        match self.read(&file) {
            Some(bytes) => Found::File(bytes, content_type(&file)),
            None => Found::Nothing,
        }
    }

    /// Returns the file's one path from the root, without symbolic links.
    fn file(&self, relative: &Path) -> Option<PathBuf> {
        match self {
            Site::Bundled => {
                let plain: PathBuf = relative.components().collect();
                bundle::file(plain.to_str()?).map(|_| plain)
            }
            Site::Directory(root) => {
                let real = inside(root, relative)?;
                real.strip_prefix(root).ok().map(Path::to_owned)
            }
        }
    }

    fn read(&self, file: &Path) -> Option<Cow<'static, [u8]>> {
        match self {
            Site::Bundled => bundle::file(file.to_str()?).map(Cow::Borrowed),
            Site::Directory(root) => fs::read(root.join(file)).ok().map(Cow::Owned),
        }
    }
}

const INDEX: &str = "index.html";

/// The address of a file, by its path from the root.
fn address(file: &Path) -> Option<String> {
    let mut address = String::new();
    for part in file.components() {
        address.push('/');
        address.extend(utf8_percent_encode(part.as_os_str().to_str()?, IN_NAMES));
    }
    Some(address)
}

/// Where rustup put the documentation of the active toolchain.
fn rust_documentation() -> Option<PathBuf> {
    let output = Command::new("rustc").args(["--print", "sysroot"]).output().ok()?;
    let sysroot = String::from_utf8(output.stdout).ok()?;
    let path = Path::new(sysroot.trim_end()).join("share/doc/rust/html");
    path.join("index.html").is_file().then_some(path)
}

/// Returns the path below the root; `None` if it has parts such as `..`, which may lead out of it.
fn decode(path: &str) -> Option<PathBuf> {
    let decoded = percent_decode_str(path).decode_utf8().ok()?;
    if decoded.contains('\0') {
        return None;
    }
    let relative = PathBuf::from(decoded.trim_start_matches('/'));
    let is_plain = |part| matches!(part, Component::Normal(_));
    relative.components().all(is_plain).then_some(relative)
}

/// Returns the file's real path; `None` if it is no file, or if a symbolic link leads out of the
/// root.
fn inside(root: &Path, relative: &Path) -> Option<PathBuf> {
    let real = root.join(relative).canonicalize().ok()?;
    (real.starts_with(root) && real.is_file()).then_some(real)
}

fn collect_html(directory: &Path, prefix: &str, found: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let (Ok(kind), Ok(name)) = (entry.file_type(), entry.file_name().into_string()) else {
            continue;
        };
        let path = format!("{prefix}/{}", utf8_percent_encode(&name, IN_NAMES));
        if kind.is_dir() {
            collect_html(&entry.path(), &path, found);
        } else if content_type(Path::new(&name)) == HTML && !kind.is_symlink() {
            found.push(path);
        }
    }
}

/// What is encoded in a file name: all but what stands for itself in an address (RFC 3986, 3.3).
const IN_NAMES: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

const HTML: &str = "text/html";

fn content_type(path: &Path) -> &'static str {
    match path.extension().and_then(OsStr::to_str).unwrap_or_default() {
        "html" | "htm" => HTML,
        "css" => "text/css",
        "js" => "text/javascript",
        "json" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "txt" | "md" => "text/plain",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    }
}
