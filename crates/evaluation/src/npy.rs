//! Reading `.npy` arrays (format versions 1 to 3), as specified in the docs of `numpy.lib.format`.

/// An array in C order, whatever its order in the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Length of each dimension, slowest first.
    pub shape: Vec<usize>,
    /// Elements, the last index running fastest.
    pub values: Vec<f64>,
}

/// Why a `.npy` file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NpyError {
    /// The magic bytes are missing.
    #[error("not a .npy file: it must begin with \\x93NUMPY; write it with numpy.save")]
    NotNpy,
    /// A version there was not when this was written.
    #[error(".npy format version {0} is not supported; numpy.save writes version 1")]
    Version(u8),
    /// The header does not say what it must.
    #[error("the .npy header is damaged: {0} is missing or malformed; write the file again with numpy.save")]
    Header(&'static str),
    /// An element type that is not read.
    #[error(
        "element type {0:?} is not supported; convert with astype to an integer type, float32 or float64"
    )]
    ElementType(String),
    /// Fewer or more data than the shape asks for.
    #[error(
        "the file holds {found} bytes of data where its shape asks for {expected}; it was cut or appended to"
    )]
    Length {
        /// Bytes after the header.
        found: usize,
        /// Bytes the shape and element type ask for.
        expected: usize,
    },
}

/// Reads an array of integers (8 to 64 bits) or floats (32 or 64 bits) of either byte order, in C or Fortran order.
pub fn read_npy(bytes: &[u8]) -> Result<Array, NpyError> {
    let rest = bytes.strip_prefix(b"\x93NUMPY").ok_or(NpyError::NotNpy)?;
    let (&[major, _minor], rest) = rest.split_first_chunk::<2>().ok_or(NpyError::NotNpy)?;
    let (header_len, rest) = match major {
        1 => {
            let (len, rest) = rest.split_first_chunk::<2>().ok_or(NpyError::Header("its length"))?;
            (usize::from(u16::from_le_bytes(*len)), rest)
        }
        2 | 3 => {
            let (len, rest) = rest.split_first_chunk::<4>().ok_or(NpyError::Header("its length"))?;
            (u32::from_le_bytes(*len) as usize, rest)
        }
        other => return Err(NpyError::Version(other)),
    };
    let (header, data) = rest.split_at_checked(header_len).ok_or(NpyError::Header("its end"))?;
    let header = std::str::from_utf8(header).map_err(|_| NpyError::Header("text"))?;

    let shape = shape(header)?;
    let element_type = entry(header, "descr")?.trim_start_matches('\'');
    let element_type = element_type.split('\'').next().unwrap_or_default();
    let (order, kind) = element_type.split_at_checked(1).unwrap_or_default();
    let elements = Elements { data, shape: &shape, big_endian: order == ">" };
    let values = match (order, kind) {
        ("<" | ">" | "|", "i1") => elements.read(|b| f64::from(i8::from_le_bytes(b))),
        ("<" | ">" | "|", "u1") => elements.read(|b| f64::from(u8::from_le_bytes(b))),
        ("<" | ">", "i2") => elements.read(|b| f64::from(i16::from_le_bytes(b))),
        ("<" | ">", "u2") => elements.read(|b| f64::from(u16::from_le_bytes(b))),
        ("<" | ">", "i4") => elements.read(|b| f64::from(i32::from_le_bytes(b))),
        ("<" | ">", "u4") => elements.read(|b| f64::from(u32::from_le_bytes(b))),
        ("<" | ">", "i8") => elements.read(|b| i64::from_le_bytes(b) as f64),
        ("<" | ">", "u8") => elements.read(|b| u64::from_le_bytes(b) as f64),
        ("<" | ">", "f4") => elements.read(|b| f64::from(f32::from_le_bytes(b))),
        ("<" | ">", "f8") => elements.read(f64::from_le_bytes),
        _ => return Err(NpyError::ElementType(element_type.to_owned())),
    }?;
    let fortran = entry(header, "fortran_order")?.starts_with("True");
    let values = if fortran { in_c_order(&values, &shape) } else { values };
    Ok(Array { shape, values })
}

/// What follows `'key':` in the header, which is the text of a Python dictionary.
fn entry<'a>(header: &'a str, key: &'static str) -> Result<&'a str, NpyError> {
    let quoted = format!("'{key}':");
    let start = header.find(&quoted).ok_or(NpyError::Header(key))? + quoted.len();
    Ok(header[start..].trim_start())
}

fn shape(header: &str) -> Result<Vec<usize>, NpyError> {
    let bad = || NpyError::Header("shape");
    let inner = entry(header, "shape")?.strip_prefix('(').ok_or_else(bad)?;
    let inner = &inner[..inner.find(')').ok_or_else(bad)?];
    let numbers = inner.split(',').map(str::trim).filter(|t| !t.is_empty());
    numbers.map(|t| t.parse().map_err(|_| bad())).collect()
}

struct Elements<'a> {
    data: &'a [u8],
    shape: &'a [usize],
    big_endian: bool,
}

impl Elements<'_> {
    /// The elements, of N bytes each; `convert` takes them with the least significant byte first.
    fn read<const N: usize>(&self, convert: impl Fn([u8; N]) -> f64) -> Result<Vec<f64>, NpyError> {
        let expected = self
            .shape
            .iter()
            .try_fold(N, |bytes, dimension| bytes.checked_mul(*dimension))
            .ok_or(NpyError::Header("shape"))?;
        let (chunks, rest) = self.data.as_chunks::<N>();
        if self.data.len() != expected || !rest.is_empty() {
            return Err(NpyError::Length { found: self.data.len(), expected });
        }
        let ordered = |mut bytes: [u8; N]| {
            if self.big_endian {
                bytes.reverse();
            }
            bytes
        };
        Ok(chunks.iter().map(|c| convert(ordered(*c))).collect())
    }
}

/// Reorders elements whose first index runs fastest.
fn in_c_order(values: &[f64], shape: &[usize]) -> Vec<f64> {
    let mut index = vec![0; shape.len()];
    (0..values.len())
        .map(|_| {
            let at = index.iter().zip(shape).rev().fold(0, |at, (i, length)| at * length + i);
            for (i, length) in index.iter_mut().zip(shape).rev() {
                *i += 1;
                if *i < *length {
                    break;
                }
                *i = 0;
            }
            values[at]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(element_type: &str, order: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '{element_type}', 'fortran_order': {order}, 'shape': {shape}, }}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    #[test]
    fn literal_bytes_are_read() {
        let array = read_npy(&file("<i2", "False", "(2, 2)", &[1, 0, 255, 255, 0, 1, 0, 128])).unwrap();
        assert_eq!(array, Array { shape: vec![2, 2], values: vec![1.0, -1.0, 256.0, -32768.0] });
        let array = read_npy(&file("<f8", "False", "(1,)", &1.5f64.to_le_bytes())).unwrap();
        assert_eq!(array, Array { shape: vec![1], values: vec![1.5] });
        let array = read_npy(&file(">i2", "False", "(2,)", &[1, 0, 255, 254])).unwrap();
        assert_eq!(array.values, [256.0, -2.0]);
        assert_eq!(read_npy(&file("|u1", "False", "(2,)", &[1, 255])).unwrap().values, [1.0, 255.0]);
    }

    #[test]
    fn columns_first_is_turned_round() {
        let array = read_npy(&file("|i1", "True", "(2, 3)", &[1, 2, 3, 4, 5, 6])).unwrap();
        assert_eq!(array, Array { shape: vec![2, 3], values: vec![1.0, 3.0, 5.0, 2.0, 4.0, 6.0] });
        let cube: Vec<u8> = (0..8).collect();
        let array = read_npy(&file("|u1", "True", "(2, 2, 2)", &cube)).unwrap();
        assert_eq!(array.values, [0.0, 4.0, 2.0, 6.0, 1.0, 5.0, 3.0, 7.0]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(read_npy(b"PK\x03\x04"), Err(NpyError::NotNpy));
        assert_eq!(
            read_npy(&file("<i2", "False", "(3,)", &[0, 0])),
            Err(NpyError::Length { found: 2, expected: 6 })
        );
        assert_eq!(
            read_npy(&file("<c8", "False", "(1,)", &[0, 0])),
            Err(NpyError::ElementType("<c8".into()))
        );
        let huge = format!("({}, {})", usize::MAX, usize::MAX);
        assert_eq!(read_npy(&file("<i2", "False", &huge, &[])), Err(NpyError::Header("shape")));
    }

    proptest! {
        #[test]
        fn damaged_files_are_refused_and_never_panic(cut in 0usize..80, flip in 0usize..80, with in any::<u8>()) {
            let mut bytes = file("<f4", "True", "(2, 2)", &[0; 16]);
            let at = flip.min(bytes.len() - 1);
            bytes[at] ^= with;
            bytes.truncate(bytes.len().saturating_sub(cut));
            if let Ok(array) = read_npy(&bytes) {
                prop_assert_eq!(array.values.len(), array.shape.iter().product::<usize>());
            }
        }
    }
}
