//! Text: whether bytes are some, and pickles that hide in it as base64.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use memchr::memmem;

use super::pickle::{self, Pickle};

/// No control characters but those of layout, or UTF-16 with its mark.
pub(super) fn is_text(head: &[u8]) -> bool {
    if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
        return true;
    }
    !head.iter().any(|byte| *byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c))
}

/// Shorter pickles hold nothing but a number.
const BASE64_MIN: usize = 16;

/// A pickle of protocol 2 or later that stands in the text, whole, as base64.
///
/// `80 02` to `80 05` become `gAI` to `gAX`; what follows must walk to its very end.
pub(super) fn base64_pickle(text: &[u8]) -> Option<Pickle> {
    let mut done = 0;
    memmem::find_iter(text, b"gA").find_map(|at| {
        let starts = at >= done && at.checked_sub(1).is_none_or(|before| !is_base64(text[before]));
        if !starts || !matches!(text.get(at + 2), Some(b'I'..=b'X')) {
            return None;
        }
        let rest = &text[at..];
        let line = rest.iter().take_while(|byte| is_base64(**byte)).count();
        let block =
            rest.iter().take_while(|byte| is_base64(**byte) || b"\r\n".contains(byte)).count();
        done = at + line;
        [line, block].into_iter().find_map(|length| {
            let letters: Vec<u8> =
                rest[..length].iter().filter(|byte| is_base64(**byte)).copied().collect();
            if letters.len() < BASE64_MIN {
                return None;
            }
            let bytes = ENGINE.decode(letters).ok()?;
            pickle::examine(&bytes).filter(|found| !found.broken)
        })
    })
}

const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/=".contains(&byte)
}
