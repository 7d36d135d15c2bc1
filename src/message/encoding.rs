//! Content-Encoding: opens compressed bodies, never further than the limit.

use std::io::Read;

use flate2::read::MultiGzDecoder;
use flate2::{Decompress, FlushDecompress, Status};

/// How the bytes of a body are packed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Encoding {
    #[default]
    Identity,
    Gzip,
    Deflate,
    Brotli,
    Zstd,
    /// Any other word, or more than one. Such a body travels unopened; a look inside is refused.
    Other(String),
}

#[derive(Debug, Eq, PartialEq)]
pub enum DecodeError {
    /// There is more inside than the limit allows.
    TooLarge,
    Malformed(String),
    Unsupported(String),
}

impl Encoding {
    /// From the value of a Content-Encoding header. One encoding at most: layers are how bombs are built, not how bodies are.
    pub fn parse(header: &str) -> Encoding {
        match &*header.trim().to_ascii_lowercase() {
            "" | "identity" => Encoding::Identity,
            "gzip" | "x-gzip" => Encoding::Gzip,
            "deflate" => Encoding::Deflate,
            "br" => Encoding::Brotli,
            "zstd" => Encoding::Zstd,
            _ => Encoding::Other(header.trim().to_owned()),
        }
    }

    /// The bytes inside, at most `limit` of them. The limit is absolute, because the best ratio of an honest body and
    /// the worst of a bomb overlap.
    pub fn decode(&self, packed: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
        match self {
            Encoding::Identity if packed.len() > limit => Err(DecodeError::TooLarge),
            Encoding::Identity => Ok(packed.to_vec()),
            Encoding::Gzip => read(MultiGzDecoder::new(packed), limit, "gzip"),
            Encoding::Deflate => inflate(packed, limit),
            Encoding::Brotli => read(brotli::Decompressor::new(packed, 4096), limit, "brotli"),
            Encoding::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(packed)
                    .map_err(|error| malformed("zstd", &error))?;
                decoder
                    .window_log_max(ZSTD_WINDOW_LOG)
                    .map_err(|error| malformed("zstd", &error))?;
                read(decoder, limit, "zstd")
            }
            Encoding::Other(name) => Err(DecodeError::Unsupported(format!(
                "a body encoded as `{name}` cannot be looked into"
            ))),
        }
    }
}

/// RFC 9659 lets a body for the web ask for a window of 8 MiB and no more.
const ZSTD_WINDOW_LOG: u32 = 23;

fn read(reader: impl Read, limit: usize, name: &str) -> Result<Vec<u8>, DecodeError> {
    let mut bytes = Vec::new();
    let more_than_limit = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    reader
        .take(more_than_limit)
        .read_to_end(&mut bytes)
        .map_err(|error| malformed(name, &error))?;
    if bytes.len() > limit {
        Err(DecodeError::TooLarge)
    } else {
        Ok(bytes)
    }
}

/// `deflate` means zlib by the book and bare deflate by the habit of some senders; the first two bytes tell. Done by hand,
/// because flate2's reader takes a stream that was cut off for one that has ended.
fn inflate(packed: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
    let zlib = matches!(packed, [first, second, ..] if first & 0x0f == 8 && u16::from_be_bytes([*first, *second]) % 31 == 0);
    let mut inflater = Decompress::new(zlib);
    let mut bytes = Vec::with_capacity(
        packed
            .len()
            .saturating_mul(4)
            .clamp(256, limit.saturating_add(1).max(256)),
    );
    loop {
        let taken = usize::try_from(inflater.total_in()).unwrap_or(usize::MAX);
        let rest = packed.get(taken..).unwrap_or_default();
        let before = (inflater.total_in(), inflater.total_out());
        let status = inflater
            .decompress_vec(rest, &mut bytes, FlushDecompress::None)
            .map_err(|error| malformed("deflate", &error))?;
        if bytes.len() > limit {
            return Err(DecodeError::TooLarge);
        }
        if status == Status::StreamEnd {
            return Ok(bytes);
        }
        if bytes.len() == bytes.capacity() {
            bytes.reserve(bytes.len().max(4096));
        } else if before == (inflater.total_in(), inflater.total_out()) {
            return Err(malformed("deflate", &"the end is missing"));
        }
    }
}

fn malformed(name: &str, error: &dyn std::fmt::Display) -> DecodeError {
    DecodeError::Malformed(format!("the {name} data of the body is broken: {error}"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::time::Instant;

    use super::*;

    const MIB: usize = 1 << 20;

    fn pack(encoding: &Encoding, plain: &[u8]) -> Vec<u8> {
        match encoding {
            Encoding::Gzip => {
                let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                writer.write_all(plain).unwrap();
                writer.finish().unwrap()
            }
            Encoding::Deflate => {
                let mut writer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
                writer.write_all(plain).unwrap();
                writer.finish().unwrap()
            }
            Encoding::Brotli => {
                let mut packed = Vec::new();
                let parameters = brotli::enc::BrotliEncoderParams {
                    quality: 5,
                    ..Default::default()
                };
                brotli::BrotliCompress(&mut &plain[..], &mut packed, &parameters).unwrap();
                packed
            }
            Encoding::Zstd => zstd::encode_all(plain, 3).unwrap(),
            Encoding::Identity | Encoding::Other(_) => plain.to_vec(),
        }
    }

    const PACKED: [Encoding; 4] = [
        Encoding::Gzip,
        Encoding::Deflate,
        Encoding::Brotli,
        Encoding::Zstd,
    ];

    #[test]
    fn each_encoding_opens_what_was_packed() {
        let plain = "a line of a letter\n".repeat(5000).into_bytes();
        for encoding in PACKED {
            assert_eq!(
                encoding.decode(&pack(&encoding, &plain), MIB).unwrap(),
                plain,
                "{encoding:?}"
            );
            assert_eq!(
                encoding.decode(&pack(&encoding, b""), MIB).unwrap(),
                b"",
                "{encoding:?} of nothing"
            );
        }
    }

    #[test]
    fn a_body_of_exactly_the_limit_is_allowed_and_one_more_is_not() {
        let plain = vec![7; 5000];
        for encoding in PACKED {
            let packed = pack(&encoding, &plain);
            assert_eq!(
                encoding.decode(&packed, 5000).unwrap().len(),
                5000,
                "{encoding:?}"
            );
            assert_eq!(
                encoding.decode(&packed, 4999),
                Err(DecodeError::TooLarge),
                "{encoding:?}"
            );
        }
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let zeroes = vec![0; 64 * MIB];
        for encoding in PACKED {
            let packed = pack(&encoding, &zeroes);
            assert!(packed.len() < 100_000);
            let start = Instant::now();
            assert_eq!(
                encoding.decode(&packed, MIB),
                Err(DecodeError::TooLarge),
                "{encoding:?}"
            );
            assert!(start.elapsed().as_millis() < 1000, "{encoding:?}");
        }
    }

    #[test]
    fn a_body_that_is_cut_off_is_refused_at_every_length() {
        let plain = (0..2000u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>();
        for encoding in PACKED {
            let packed = pack(&encoding, &plain);
            for length in 0..packed.len() {
                let cut = encoding.decode(&packed[..length], MIB);
                // Nothing at all is nothing for zstd, whose stream is a list of frames.
                if length == 0 && encoding == Encoding::Zstd {
                    continue;
                }
                assert!(
                    matches!(cut, Err(DecodeError::Malformed(_))),
                    "{encoding:?} cut at {length}: {:?}",
                    cut.map(|b| b.len())
                );
            }
        }
    }

    #[test]
    fn a_wrong_checksum_is_refused() {
        for encoding in [Encoding::Gzip, Encoding::Deflate] {
            let mut packed = pack(&encoding, b"the letter");
            let at = packed.len() - if encoding == Encoding::Gzip { 6 } else { 2 };
            packed[at] ^= 1;
            assert!(
                matches!(encoding.decode(&packed, MIB), Err(DecodeError::Malformed(_))),
                "{encoding:?}"
            );
        }
    }

    #[test]
    fn deflate_without_its_wrapper_is_understood() {
        let mut writer = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        writer.write_all(b"bare").unwrap();
        assert_eq!(
            Encoding::Deflate.decode(&writer.finish().unwrap(), MIB).unwrap(),
            b"bare"
        );
    }

    #[test]
    fn layers_of_encodings_are_not_opened() {
        let layered = Encoding::parse("gzip, gzip, gzip");
        assert_eq!(layered, Encoding::Other("gzip, gzip, gzip".into()));
        assert!(matches!(
            layered.decode(b"x", MIB),
            Err(DecodeError::Unsupported(_))
        ));
    }

    #[test]
    fn the_header_is_read_in_any_case() {
        assert_eq!(Encoding::parse(" GZip "), Encoding::Gzip);
        assert_eq!(Encoding::parse("identity"), Encoding::Identity);
    }
}
