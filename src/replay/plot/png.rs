//! A picture as PNG, with the letters of old screens: no font has to be found on the machine.

use font8x8::legacy::BASIC_LEGACY;
use miniz_oxide::deflate::compress_to_vec_zlib;

use super::{CHARACTER, Canvas, Colour};

/// Pixels a point.
const SCALE: f64 = 2.0;
/// What a PNG begins with.
const SIGNATURE: [u8; 8] = *b"\x89PNG\r\n\x1a\n";
/// A letter has so many dots each way.
const LETTER: usize = 8;

/// Pixels in rows from the top, three bytes each.
pub(super) struct Bitmap {
    width: usize,
    pixels: Vec<u8>,
}

impl Bitmap {
    pub(super) fn new(width: f64, height: f64) -> Self {
        let (width, height) = ((width * SCALE) as usize, (height * SCALE) as usize);
        Self { width, pixels: vec![255; width * height * 3] }
    }

    fn height(&self) -> usize {
        self.pixels.len() / 3 / self.width.max(1)
    }

    pub(super) fn finish(self) -> Vec<u8> {
        let row = self.width * 3;
        // Each row begins with its filter, and 0 is none.
        let rows: Vec<u8> = self.pixels.chunks(row.max(1)).flat_map(|row| [&[0], row].concat()).collect();
        let mut header = [0; 13];
        header[..4].copy_from_slice(&(self.width as u32).to_be_bytes());
        header[4..8].copy_from_slice(&(self.height() as u32).to_be_bytes());
        header[8..10].copy_from_slice(&[8, 2]); // bits a colour; red, green and blue
        let mut bytes = SIGNATURE.to_vec();
        chunk(&mut bytes, *b"IHDR", &header);
        chunk(&mut bytes, *b"IDAT", &compress_to_vec_zlib(&rows, 6));
        chunk(&mut bytes, *b"IEND", &[]);
        bytes
    }

    /// Mixes a colour in; `part` is how much of the pixel it covers.
    fn blend(&mut self, x: usize, y: usize, colour: Colour, part: f64) {
        if x >= self.width || y >= self.height() {
            return;
        }
        let at = (y * self.width + x) * 3;
        for (pixel, colour) in self.pixels[at..at + 3].iter_mut().zip(colour) {
            *pixel = (f64::from(*pixel) * (1.0 - part) + f64::from(colour) * part).round() as u8;
        }
    }
}

impl Canvas for Bitmap {
    fn rectangle(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), colour: Colour) {
        let pixel = |points: f64| (points * SCALE).round().max(0.0) as usize;
        for row in pixel(y)..pixel(y + height) {
            for column in pixel(x)..pixel(x + width) {
                self.blend(column, row, colour, 1.0);
            }
        }
    }

    fn dot(&mut self, (x, y): (f64, f64), radius: f64, colour: Colour) {
        let (x, y, radius) = (x * SCALE, y * SCALE, radius * SCALE);
        let span = |middle: f64| (middle - radius - 1.0).max(0.0) as usize..=(middle + radius + 1.0) as usize;
        for row in span(y) {
            for column in span(x) {
                let distance = (column as f64 + 0.5 - x).hypot(row as f64 + 0.5 - y);
                self.blend(column, row, colour, (radius + 0.5 - distance).clamp(0.0, 1.0));
            }
        }
    }

    fn text(&mut self, (x, y): (f64, f64), text: &str, colour: Colour) {
        let dot = CHARACTER / LETTER as f64;
        let left = x - text.len() as f64 * CHARACTER / 2.0;
        for (at, letter) in text.bytes().enumerate() {
            let glyph = BASIC_LEGACY.get(usize::from(letter)).copied().unwrap_or_default();
            for (row, bits) in glyph.into_iter().enumerate() {
                for column in (0..LETTER).filter(|column| bits >> column & 1 == 1) {
                    let corner = (left + (at * LETTER + column) as f64 * dot, y + (row as f64 - 4.0) * dot);
                    self.rectangle(corner, (dot, dot), colour);
                }
            }
        }
    }
}

/// Appends a chunk. Shape: length, kind, what is in it, and the check of the latter two. Source: PNG, third edition, 5.3.
fn chunk(bytes: &mut Vec<u8>, kind: [u8; 4], within: &[u8]) {
    bytes.extend((within.len() as u32).to_be_bytes());
    let checked = bytes.len();
    bytes.extend(kind);
    bytes.extend(within);
    let check = crc32(&bytes[checked..]);
    bytes.extend(check.to_be_bytes());
}

/// Source: PNG, third edition, 5.5.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

/// Width and height, and the pixels, of what was written.
#[cfg(test)]
pub(super) fn decoded(bytes: &[u8]) -> ((u32, u32), Vec<u8>) {
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    let (width, height) = (number(16), number(20));
    let length = number(33) as usize;
    assert_eq!(&bytes[37..41], b"IDAT");
    let rows = miniz_oxide::inflate::decompress_to_vec_zlib(&bytes[41..41 + length]).unwrap();
    assert_eq!(rows.len(), height as usize * (width as usize * 3 + 1));
    ((width, height), rows.chunks(width as usize * 3 + 1).flat_map(|row| row[1..].to_vec()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_chunk_has_the_check_that_every_png_ends_with() {
        let mut bytes = Vec::new();
        chunk(&mut bytes, *b"IEND", &[]);
        assert_eq!(bytes, hex::decode("0000000049454e44ae426082").unwrap());
    }
}
