//! A body, decompressed.

use std::io::{self, Read};

use brotli_decompressor::Decompressor;
use flate2::bufread::{DeflateDecoder, GzDecoder, ZlibDecoder};
use ruzstd::decoding::StreamingDecoder;

/// The encodings that we ask for. A body may have several, one over the other.
pub(crate) const ACCEPTED: &str = "gzip, deflate, br, zstd";
/// A body with more encodings one over the other comes from an attacker.
const MAX_CODINGS: usize = 4;
/// The largest window of a zstd frame, in bytes, as in browsers (RFC 9659).
const MAX_WINDOW: u64 = 8 << 20;
/// How many bytes one read asks for.
const STEP: u64 = 64 << 10;

/// How a body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It is all there.
    Whole,
    /// There is more than was asked for.
    More,
    /// It breaks off, or is not encoded as its head says.
    Broken,
    /// It is encoded in a way that we do not know.
    Unknown,
}

/// Undoes `codings`, the last one first, and takes at most `limit` bytes out of each. Returns what
/// was decoded, even if it is cut or broken; but nothing if an outer encoding is.
pub(crate) fn decode(body: Vec<u8>, codings: &[String], limit: usize) -> (Vec<u8>, End) {
    if codings.len() > MAX_CODINGS {
        return (Vec::new(), End::Unknown);
    }
    let (mut body, mut end) = (body, End::Whole);
    for coding in codings.iter().rev() {
        match end {
            End::Whole if body.is_empty() => break,
            End::Whole => (body, end) = decode_one(&body, coding, limit),
            End::More | End::Broken | End::Unknown => return (Vec::new(), end),
        }
    }
    (body, end)
}

fn decode_one(body: &[u8], coding: &str, limit: usize) -> (Vec<u8>, End) {
    let mut decoded = Vec::new();
    let end = match coding {
        "gzip" | "x-gzip" => gzip(body, &mut decoded, limit),
        "deflate" if is_zlib(body) => fill(ZlibDecoder::new(body), &mut decoded, limit),
        // Without zlib's header, as many servers send it and browsers read it.
        "deflate" => fill(DeflateDecoder::new(body), &mut decoded, limit),
        "br" => fill(Decompressor::new(body, 4096), &mut decoded, limit),
        "zstd" => zstd(body, &mut decoded, limit),
        _ => End::Unknown,
    };
    (decoded, end)
}

/// Decodes one member after the other, and ignores what follows the last one.
fn gzip(mut body: &[u8], decoded: &mut Vec<u8>, limit: usize) -> End {
    loop {
        let mut member = GzDecoder::new(body);
        let end = fill(&mut member, decoded, limit);
        body = member.into_inner();
        if end != End::Whole || !body.starts_with(b"\x1F\x8B") {
            return end;
        }
    }
}

/// Decodes one frame after the other.
fn zstd(mut body: &[u8], decoded: &mut Vec<u8>, limit: usize) -> End {
    while !body.is_empty() {
        let frame = StreamingDecoder::new_with_max_window_size(&mut body, MAX_WINDOW);
        let Ok(frame) = frame else { return End::Broken };
        let end = fill(frame, decoded, limit);
        if end != End::Whole {
            return end;
        }
    }
    End::Whole
}

fn is_zlib(body: &[u8]) -> bool {
    let [first, second, ..] = *body else { return false };
    first & 0x0F == 8 && u16::from_be_bytes([first, second]).is_multiple_of(31)
}

/// Reads until the end, or until there is more than `limit`. Each read is small, so that a few
/// bytes that swell to very many are noticed in time.
fn fill(mut from: impl Read, to: &mut Vec<u8>, limit: usize) -> End {
    loop {
        match from.by_ref().take(STEP).read_to_end(to) {
            Ok(_) if to.len() > limit => {
                to.truncate(limit);
                return End::More;
            }
            Ok(0) => return End::Whole,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return End::Broken,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    fn gz(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn decoded(body: &[u8], codings: &[&str]) -> (String, End) {
        let codings: Vec<_> = codings.iter().map(|name| (*name).to_owned()).collect();
        let (body, end) = decode(body.to_vec(), &codings, 1000);
        (String::from_utf8(body).unwrap(), end)
    }

    #[test]
    fn every_encoding_that_is_asked_for_is_undone() {
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        zlib.write_all(b"hello").unwrap();
        let mut raw = DeflateEncoder::new(Vec::new(), Compression::fast());
        raw.write_all(b"hello").unwrap();
        let zstd = b"\x28\xb5\x2f\xfd\x04\x58\x29\x00\x00hello\xa3\x6d\x9f\x88";
        let two = [gz(b"hel"), gz(b"lo"), b"rest".to_vec()].concat();
        let table: [(&[u8], &[&str]); 8] = [
            (&gz(b"hello"), &["gzip"]),
            (&two, &["x-gzip"]),
            (&zlib.finish().unwrap(), &["deflate"]),
            (&raw.finish().unwrap(), &["deflate"]),
            (b"\x0b\x02\x80hello\x03", &["br"]),
            (zstd, &["zstd"]),
            (&gz(b"\x0b\x02\x80hello\x03"), &["br", "gzip"]),
            (b"hello", &[]),
        ];
        for (number, (body, codings)) in table.into_iter().enumerate() {
            let got = decoded(body, codings);
            assert_eq!(got, ("hello".to_owned(), End::Whole), "{number}: {codings:?}");
        }
        assert_eq!(decoded(b"", &["gzip"]), (String::new(), End::Whole));
    }

    #[test]
    fn what_is_not_what_it_says_is_no_body() {
        assert_eq!(decoded(b"hello", &["gzip"]).1, End::Broken);
        assert_eq!(decoded(b"hello", &["zstd"]).1, End::Broken);
        assert_eq!(decoded(b"hello", &["compress"]).1, End::Unknown);
        assert_eq!(decoded(b"hello", &["gzip"; 5]).1, End::Unknown);
        let whole = gz(b"hello");
        assert_eq!(decoded(&whole[..whole.len() - 9], &["gzip"]).1, End::Broken);
    }

    #[test]
    fn a_bomb_ends_at_the_limit() {
        let bomb = gz(&gz(&[b'x'; 100 << 10]));
        let (text, end) = decoded(&bomb, &["gzip"; 2]);
        assert_eq!((text.len(), end), (1000, End::More));
        let noise: Vec<u8> =
            (0..5000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let thick = gz(&gz(&gz(&noise)));
        assert_eq!(decoded(&thick, &["gzip"; 3]), (String::new(), End::More));
    }
}
