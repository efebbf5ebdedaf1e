//! The `data` of a tensor in JSON: nested or flat, of numbers, text or booleans.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};

use super::datatype::Datatype;
use crate::json::Skip;

/// Elements, row-major, and how they were nested.
#[derive(Debug, Default)]
pub(super) struct Data<'de> {
    elements: Elements<'de>,
    /// Lengths of the lists, the outermost first.
    dims: Vec<usize>,
    /// At which depth the elements stand.
    depth: Option<usize>,
    /// Place of the first integer that a double cannot hold.
    inexact: Option<usize>,
}

#[derive(Debug, Default)]
enum Elements<'de> {
    /// So many nulls, and nothing else yet.
    Nulls(usize),
    /// Null is NaN.
    Numbers(Vec<f64>),
    /// Null is empty.
    Texts(Vec<Cow<'de, str>>),
    /// Null is none.
    Flags(Vec<Option<bool>>),
    #[default]
    Empty,
}

/// The elements of a tensor, as its datatype says.
#[derive(Debug)]
pub(crate) enum Values<'de> {
    /// NaN is absent.
    Numbers(Vec<f64>),
    /// Empty is absent.
    Texts(Vec<Cow<'de, str>>),
    /// None is absent.
    Flags(Vec<Option<bool>>),
}

impl<'de> Values<'de> {
    /// Reads the elements from their bytes: packed, least significant byte first; of BYTES each
    /// with its length in 4 bytes before it. The error says which element is wrong, and why.
    pub(crate) fn from_bytes(datatype: Datatype, bytes: &'de [u8]) -> Result<Self, String> {
        let Some(size) = datatype.size() else {
            return texts_from_bytes(bytes).map(Self::Texts);
        };
        if !bytes.len().is_multiple_of(size) {
            return Err(format!(
                "{} bytes are no whole number of {} elements of {size} bytes",
                bytes.len(),
                datatype.name()
            ));
        }
        let elements = bytes.chunks_exact(size);
        if datatype == Datatype::Bool {
            return Ok(Self::Flags(elements.map(|byte| Some(byte != [0])).collect()));
        }
        let numbers = elements.enumerate().map(|(at, element)| {
            datatype
                .read(element)
                .ok_or_else(|| format!("element {at} does not fit a double without loss"))
        });
        numbers.collect::<Result<_, _>>().map(Self::Numbers)
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Numbers(numbers) => numbers.len(),
            Self::Texts(texts) => texts.len(),
            Self::Flags(flags) => flags.len(),
        }
    }
}

fn texts_from_bytes(bytes: &[u8]) -> Result<Vec<Cow<'_, str>>, String> {
    let (mut rest, mut texts) = (bytes, Vec::new());
    while !rest.is_empty() {
        let at = texts.len();
        let element = rest.split_first_chunk::<4>().and_then(|(len, behind)| {
            behind.split_at_checked(usize::try_from(u32::from_le_bytes(*len)).ok()?)
        });
        let Some((text, behind)) = element else {
            return Err(format!("element {at} ends behind the last of {} bytes", bytes.len()));
        };
        let text = std::str::from_utf8(text).map_err(|_| format!("element {at} is no UTF-8"))?;
        texts.push(Cow::Borrowed(text));
        rest = behind;
    }
    Ok(texts)
}

impl<'de> Data<'de> {
    /// Whether the nesting is that of `shape`, or none.
    pub(super) fn has_shape(&self, shape: &[usize]) -> bool {
        self.dims.len() <= 1 || self.dims == shape
    }

    /// How it was nested, for messages.
    pub(super) fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// The elements as `datatype`. The error says which element is wrong, and why.
    pub(super) fn into_values(self, datatype: Datatype) -> Result<Values<'de>, String> {
        let elements = match self.elements {
            Elements::Nulls(n) if datatype == Datatype::Bytes => {
                Elements::Texts(vec![Cow::Borrowed(""); n])
            }
            Elements::Nulls(n) => Elements::Numbers(vec![f64::NAN; n]),
            Elements::Empty => Elements::Numbers(Vec::new()),
            Elements::Texts(texts) if datatype.is_float() => match special_numbers(&texts) {
                Some(numbers) => Elements::Numbers(numbers),
                None => Elements::Texts(texts),
            },
            elements => elements,
        };
        let name = datatype.name();
        match elements {
            Elements::Numbers(numbers) if datatype == Datatype::Bytes && numbers.is_empty() => {
                Ok(Values::Texts(Vec::new()))
            }
            Elements::Texts(texts) if datatype == Datatype::Bytes => Ok(Values::Texts(texts)),
            Elements::Flags(flags) if datatype == Datatype::Bool => Ok(Values::Flags(flags)),
            Elements::Numbers(numbers) if datatype != Datatype::Bytes => {
                if let Some(at) = self.inexact {
                    return Err(format!("element {at} does not fit a double without loss"));
                }
                hold(numbers, datatype)
            }
            Elements::Numbers(_) => Err(format!("`data` holds numbers, {name} takes text")),
            Elements::Texts(_) => Err(format!("`data` holds text, {name} does not")),
            Elements::Flags(_) => Err(format!("`data` holds booleans, {name} does not")),
            Elements::Nulls(_) | Elements::Empty => Ok(Values::Numbers(Vec::new())),
        }
    }

    fn len(&self) -> usize {
        match &self.elements {
            Elements::Empty => 0,
            Elements::Nulls(n) => *n,
            Elements::Numbers(numbers) => numbers.len(),
            Elements::Texts(texts) => texts.len(),
            Elements::Flags(flags) => flags.len(),
        }
    }

    fn push_null(&mut self) {
        match &mut self.elements {
            Elements::Empty => self.elements = Elements::Nulls(1),
            Elements::Nulls(n) => *n += 1,
            Elements::Numbers(numbers) => numbers.push(f64::NAN),
            Elements::Texts(texts) => texts.push(Cow::Borrowed("")),
            Elements::Flags(flags) => flags.push(None),
        }
    }

    fn push_number(&mut self, number: f64) -> Result<(), &'static str> {
        let numbers = match &mut self.elements {
            Elements::Numbers(numbers) => {
                numbers.push(number);
                return Ok(());
            }
            Elements::Empty => Vec::with_capacity(FIRST_NUMBERS),
            Elements::Nulls(n) => vec![f64::NAN; *n],
            Elements::Texts(texts) => special_numbers(texts).ok_or("text")?,
            Elements::Flags(_) => return Err("booleans"),
        };
        self.elements = Elements::Numbers(numbers);
        self.push_number(number)
    }

    fn push_text(&mut self, text: Cow<'de, str>) -> Result<(), &'static str> {
        let texts = match &mut self.elements {
            Elements::Texts(texts) => {
                texts.push(text);
                return Ok(());
            }
            Elements::Empty => Vec::new(),
            Elements::Nulls(n) => vec![Cow::Borrowed(""); *n],
            Elements::Numbers(numbers) => {
                numbers.push(special_number(&text).ok_or("numbers")?);
                return Ok(());
            }
            Elements::Flags(_) => return Err("booleans"),
        };
        self.elements = Elements::Texts(texts);
        self.push_text(text)
    }

    fn push_flag(&mut self, flag: bool) -> Result<(), &'static str> {
        let flags = match &mut self.elements {
            Elements::Flags(flags) => {
                flags.push(Some(flag));
                return Ok(());
            }
            Elements::Empty => Vec::new(),
            Elements::Nulls(n) => vec![None; *n],
            Elements::Numbers(_) => return Err("numbers"),
            Elements::Texts(_) => return Err("text"),
        };
        self.elements = Elements::Flags(flags);
        self.push_flag(flag)
    }
}

/// Numbers for which there is room from the first on: a row of most models.
const FIRST_NUMBERS: usize = 32;

/// A number that JSON can only say as text.
fn special_number(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

fn special_numbers(texts: &[Cow<'_, str>]) -> Option<Vec<f64>> {
    let number = |text: &Cow<'_, str>| {
        if text.is_empty() { Some(f64::NAN) } else { special_number(text) }
    };
    texts.iter().map(number).collect()
}

/// Numbers as elements of `datatype`; null, which is NaN here, is absent in every type.
fn hold<'de>(mut numbers: Vec<f64>, datatype: Datatype) -> Result<Values<'de>, String> {
    for (at, number) in numbers.iter_mut().enumerate().filter(|(_, number)| !number.is_nan()) {
        *number = datatype
            .hold(*number)
            .ok_or_else(|| format!("element {at} is {number}, which is no {}", datatype.name()))?;
    }
    if datatype == Datatype::Bool {
        let flag = |number: f64| (!number.is_nan()).then_some(number != 0.0);
        return Ok(Values::Flags(numbers.into_iter().map(flag).collect()));
    }
    Ok(Values::Numbers(numbers))
}

/// Reads `data` into the elements.
pub(super) struct Read<'d, 'de> {
    pub(super) data: &'d mut Data<'de>,
    pub(super) skip: Skip,
    /// More elements than this are too many.
    pub(super) elements_max: usize,
    /// Lists around this value.
    pub(super) depth: usize,
}

impl<'de> DeserializeSeed<'de> for Read<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Read<'_, 'de> {
    /// Every element stands at the same depth.
    fn element<E: Error>(
        self,
        push: impl FnOnce(&mut Data<'de>) -> Result<(), &'static str>,
    ) -> Result<(), E> {
        if self.depth == 0 {
            return Err(E::custom("`data` is no list"));
        }
        if *self.data.depth.get_or_insert(self.depth) != self.depth {
            return Err(E::custom("`data` has elements at different depths"));
        }
        let at = self.data.len();
        if at >= self.elements_max {
            return Err(E::custom(format_args!("`data` has more than {at} elements")));
        }
        push(self.data)
            .map_err(|others| E::custom(format_args!("element {at} stands among {others}")))
    }

    fn integer<E: Error>(self, number: f64, is_exact: bool) -> Result<(), E> {
        self.element(|data| {
            if !is_exact && data.inexact.is_none() {
                data.inexact = Some(data.len());
            }
            data.push_number(number)
        })
    }
}

impl<'de> Visitor<'de> for Read<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`data` as a list of numbers, texts or booleans")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self { data, skip, elements_max, depth } = self;
        let skip = skip.deeper()?;
        let mut len = 0;
        loop {
            let below = Read { data: &mut *data, skip, elements_max, depth: depth + 1 };
            if seq.next_element_seed(below)?.is_none() {
                break;
            }
            len += 1;
        }
        // Inner lists end first: the outer places are filled when their own list ends.
        if data.dims.len() <= depth {
            data.dims.resize(depth + 1, usize::MAX);
        }
        match data.dims.get_mut(depth) {
            Some(dim) if *dim == usize::MAX => *dim = len,
            Some(dim) if *dim != len => {
                return Err(A::Error::custom(format_args!(
                    "`data` has lists of {dim} and of {len} at the same depth"
                )));
            }
            _ => {}
        }
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.element(|data| {
            data.push_null();
            Ok(())
        })
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<(), E> {
        self.element(|data| data.push_flag(flag))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        let double = number as f64;
        self.integer(double, double as i64 == number && number != i64::MAX)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        let double = number as f64;
        self.integer(double, double as u64 == number && number != u64::MAX)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        self.element(|data| data.push_number(number))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<(), E> {
        self.element(|data| data.push_text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.element(|data| data.push_text(Cow::Owned(text.to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `data` as `datatype`: elements, or what is wrong.
    fn read(json: &str, datatype: Datatype) -> String {
        let mut data = Data::default();
        let read = Read { data: &mut data, skip: Skip { depth: 8 }, elements_max: 9, depth: 0 };
        if let Err(cause) = read.deserialize(&mut serde_json::Deserializer::from_str(json)) {
            return cause.to_string();
        }
        let dims = data.dims.clone();
        match data.into_values(datatype) {
            Ok(Values::Numbers(numbers)) => format!("{dims:?} {numbers:?}"),
            Ok(Values::Texts(texts)) => format!("{dims:?} {texts:?}"),
            Ok(Values::Flags(flags)) => format!("{dims:?} {flags:?}"),
            Err(cause) => cause,
        }
    }

    #[test]
    fn reads_what_a_datatype_allows() {
        use Datatype::{Bool, Bytes, Fp32, Fp64, Int8, Int64, Uint64};
        for (json, datatype, expected) in [
            ("[1, -2.5]", Fp64, "[2] [1.0, -2.5]"),
            ("[[1,2],[3,4],[5,6]]", Fp64, "[3, 2] [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]"),
            ("[]", Fp64, "[0] []"),
            ("[[],[]]", Bytes, "[2, 0] []"),
            ("[0.1]", Fp32, "[1] [0.10000000149011612]"),
            ("[null, 1, \"NaN\"]", Fp64, "[3] [NaN, 1.0, NaN]"),
            ("[\"NaN\", \"-Infinity\", 1]", Fp64, "[3] [NaN, -inf, 1.0]"),
            ("[\"NaN\"]", Bytes, "[1] [\"NaN\"]"),
            ("[\"a\", null, \"\\u00e9\"]", Bytes, "[3] [\"a\", \"\", \"é\"]"),
            ("[true, null, false]", Bool, "[3] [Some(true), None, Some(false)]"),
            ("[1, 0]", Bool, "[2] [Some(true), Some(false)]"),
            ("[null]", Bool, "[1] [None]"),
            ("[2]", Bool, "element 0 is 2, which is no BOOL"),
            ("[1, 300]", Int8, "element 1 is 300, which is no INT8"),
            ("[1.5]", Int64, "element 0 is 1.5, which is no INT64"),
            ("[9007199254740993]", Int64, "element 0 does not fit a double without loss"),
            ("[18446744073709551615]", Uint64, "element 0 does not fit a double without loss"),
            ("[\"1\"]", Fp64, "`data` holds text, FP64 does not"),
            ("[1]", Bytes, "`data` holds numbers, BYTES takes text"),
            ("[true]", Fp64, "`data` holds booleans, FP64 does not"),
        ] {
            assert_eq!(read(json, datatype), expected, "{json}");
        }
    }

    #[test]
    fn bytes_are_read_as_their_datatype_says() {
        use Datatype::{Bf16, Bool, Bytes, Fp16, Fp32, Fp64, Int8, Int16, Int32, Int64};
        use Datatype::{Uint8, Uint16, Uint32, Uint64};
        let numbers = |datatype, bytes: &[u8]| match Values::from_bytes(datatype, bytes) {
            Ok(Values::Numbers(numbers)) => format!("{numbers:?}"),
            Ok(Values::Texts(texts)) => format!("{texts:?}"),
            Ok(Values::Flags(flags)) => format!("{flags:?}"),
            Err(cause) => cause,
        };
        for (datatype, bytes, expected) in [
            (Bool, &[0, 1, 7][..], "[Some(false), Some(true), Some(true)]"),
            (Uint8, &[255], "[255.0]"),
            (Int8, &[255], "[-1.0]"),
            (Uint16, &[0, 1], "[256.0]"),
            (Int16, &[0, 128], "[-32768.0]"),
            (Uint32, &u32::MAX.to_le_bytes(), "[4294967295.0]"),
            (Int32, &(-5_i32).to_le_bytes(), "[-5.0]"),
            (Uint64, &(1_u64 << 40).to_le_bytes(), "[1099511627776.0]"),
            (Uint64, &[255; 8], "element 0 does not fit a double without loss"),
            (Int64, &i64::MIN.to_le_bytes(), "[-9.22337203685477"),
            (Int64, &9_007_199_254_740_993_i64.to_le_bytes(), "element 0 does not fit a double"),
            (Fp16, &[0, 0x3c, 0, 0xc0, 1, 0, 0, 0x7c], "[1.0, -2.0, 5.960464477539063e-8, inf]"),
            (Bf16, &[0x80, 0x3f], "[1.0]"),
            (Fp32, &0.1_f32.to_le_bytes(), "[0.10000000149011612]"),
            (Fp64, &f64::NAN.to_le_bytes(), "[NaN]"),
            (Fp64, &[0; 9], "9 bytes are no whole number of FP64 elements of 8 bytes"),
            (Bytes, &[1, 0, 0, 0, b'a', 0, 0, 0, 0], "[\"a\", \"\"]"),
            (Bytes, &[2, 0, 0, 0, b'a'], "element 0 ends behind the last of 5 bytes"),
            (Bytes, &[1, 0], "element 0 ends behind"),
            (Bytes, &[255, 255, 255, 255, 1], "element 0 ends behind"),
            (Bytes, &[1, 0, 0, 0, 0xff], "element 0 is no UTF-8"),
        ] {
            let found = numbers(datatype, bytes);
            assert!(found.starts_with(expected), "{datatype:?}: {found}");
        }
    }

    #[test]
    fn says_what_is_ragged_or_mixed() {
        for (json, expected) in [
            ("1", "`data` is no list"),
            ("{}", "expected `data` as a list"),
            ("[[1,2],[3]]", "lists of 2 and of 1 at the same depth"),
            ("[1,[2]]", "elements at different depths"),
            ("[1,true]", "element 1 stands among numbers"),
            ("[\"a\",1]", "element 1 stands among text"),
            ("[1,2,3,4,5,6,7,8,9,10]", "more than 9 elements"),
            ("[[[[[[[[[1]]]]]]]]]", "nested too deep"),
        ] {
            let found = read(json, Datatype::Fp64);
            assert!(found.contains(expected), "{json}: {found}");
        }
    }
}
