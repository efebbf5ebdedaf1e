//! Protobuf as it lies in a message: fields one after another, read where they are, and written.
//!
//! For the messages that carry tensors. Reading keeps nothing, so a message cannot make more of
//! itself in memory than it is.

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(pub(super) &'static str);

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value<'m> {
    Varint(u64),
    Fixed64([u8; 8]),
    /// Text, bytes, a message, or packed numbers.
    Bytes(&'m [u8]),
    Fixed32([u8; 4]),
}

/// The fields of a message in their order: number and value. Ends with the first that is none.
#[derive(Debug, Clone)]
pub(crate) struct Fields<'m> {
    rest: &'m [u8],
}

impl<'m> Fields<'m> {
    pub(crate) fn new(message: &'m [u8]) -> Self {
        Self { rest: message }
    }

    fn field(&mut self) -> Result<(u32, Value<'m>), Malformed> {
        let key = varint(&mut self.rest)?;
        let number = u32::try_from(key >> 3).ok().filter(|number| *number > 0);
        let number = number.ok_or(Malformed("a field has no number"))?;
        let value = match key & 7 {
            0 => Value::Varint(varint(&mut self.rest)?),
            1 => Value::Fixed64(take(&mut self.rest)?),
            2 => {
                let len = varint(&mut self.rest)?;
                let len = usize::try_from(len).unwrap_or(usize::MAX);
                let split = self.rest.split_at_checked(len);
                let (value, rest) = split.ok_or(Malformed("a field reaches beyond the end"))?;
                self.rest = rest;
                Value::Bytes(value)
            }
            5 => Value::Fixed32(take(&mut self.rest)?),
            _ => return Err(Malformed("a field is of a type that proto3 does not have")),
        };
        Ok((number, value))
    }
}

impl<'m> Iterator for Fields<'m> {
    type Item = Result<(u32, Value<'m>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

impl<'m> Value<'m> {
    pub(crate) fn bytes(self) -> Result<&'m [u8], Malformed> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(Malformed("a field is a number where text or a message was expected")),
        }
    }

    pub(crate) fn text(self) -> Result<&'m str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed("a text is no UTF-8"))
    }

    pub(crate) fn varint(self) -> Result<u64, Malformed> {
        match self {
            Self::Varint(number) => Ok(number),
            _ => Err(Malformed("a field is no whole number where one was expected")),
        }
    }

    /// Gives each of the whole numbers of a repeated field, packed or not.
    pub(crate) fn each_varint<E: From<Malformed>>(
        self,
        mut each: impl FnMut(u64) -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            Self::Varint(number) => each(number),
            Self::Bytes(mut packed) => {
                while !packed.is_empty() {
                    each(varint(&mut packed)?)?;
                }
                Ok(())
            }
            _ => Err(Malformed("a field is no whole number where one was expected").into()),
        }
    }

    /// The numbers of a repeated field of doubles, packed or not, as their bytes.
    pub(crate) fn doubles(&self) -> Result<&[[u8; 8]], Malformed> {
        match self {
            Self::Fixed64(number) => Ok(std::slice::from_ref(number)),
            Self::Bytes(packed) => whole(packed.as_chunks()),
            _ => Err(Malformed("a field holds no doubles where they were expected")),
        }
    }

    /// The same, of floats.
    pub(crate) fn floats(&self) -> Result<&[[u8; 4]], Malformed> {
        match self {
            Self::Fixed32(number) => Ok(std::slice::from_ref(number)),
            Self::Bytes(packed) => whole(packed.as_chunks()),
            _ => Err(Malformed("a field holds no floats where they were expected")),
        }
    }
}

fn whole<'m, T>((numbers, rest): (&'m [T], &'m [u8])) -> Result<&'m [T], Malformed> {
    rest.is_empty().then_some(numbers).ok_or(Malformed("packed numbers end within one"))
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Malformed> {
    let (number, behind) =
        rest.split_first_chunk().ok_or(Malformed("a number reaches beyond the end"))?;
    *rest = behind;
    Ok(*number)
}

fn varint(rest: &mut &[u8]) -> Result<u64, Malformed> {
    let mut number = 0;
    for (at, &byte) in rest.iter().enumerate().take(10) {
        let bits = u64::from(byte & 0x7f);
        if at == 9 && bits > 1 {
            break;
        }
        number |= bits << (7 * at);
        if byte & 0x80 == 0 {
            *rest = &rest[at + 1..];
            return Ok(number);
        }
    }
    Err(Malformed(if rest.len() < 10 {
        "a number reaches beyond the end"
    } else {
        "a number has more than 64 bits"
    }))
}

/// Writes a whole number, 7 bits to a byte.
pub(super) fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Writes a field of a number.
pub(super) fn put_number(out: &mut Vec<u8>, field: u32, number: u64) {
    put_varint(out, u64::from(field) << 3);
    put_varint(out, number);
}

/// Writes a field of bytes.
pub(super) fn put_bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    put_varint(out, u64::from(field) << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Writes a field whose bytes `write` appends: text, a message, packed numbers.
pub(super) fn put_nested(out: &mut Vec<u8>, field: u32, write: impl FnOnce(&mut Vec<u8>)) {
    put_varint(out, u64::from(field) << 3 | 2);
    let begin = out.len();
    write(out);
    let end = out.len();
    // Its length is known now, and stands before it.
    put_varint(out, (end - begin) as u64);
    let length_bytes = out.len() - end;
    out[begin..].rotate_right(length_bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(message: &[u8]) -> Result<Vec<(u32, Value<'_>)>, &'static str> {
        Fields::new(message).collect::<Result<_, _>>().map_err(|Malformed(why)| why)
    }

    #[test]
    fn fields_are_read_where_they_lie() {
        let mut message = Vec::new();
        put_number(&mut message, 1, u64::MAX);
        put_bytes(&mut message, 2, b"ab");
        put_bytes(&mut message, 1 << 20, b"");
        message.extend_from_slice(&[3 << 3 | 1, 1, 2, 3, 4, 5, 6, 7, 8, 4 << 3 | 5, 1, 2, 3, 4]);
        let expected = vec![
            (1, Value::Varint(u64::MAX)),
            (2, Value::Bytes(b"ab")),
            (1 << 20, Value::Bytes(b"")),
            (3, Value::Fixed64([1, 2, 3, 4, 5, 6, 7, 8])),
            (4, Value::Fixed32([1, 2, 3, 4])),
        ];
        assert_eq!(read(&message), Ok(expected));
        assert_eq!(read(b""), Ok(Vec::new()));
    }

    #[test]
    fn what_is_nested_has_its_length_before_it() {
        for len in [0, 1, 127, 128, 20_000] {
            let mut nested = vec![7];
            put_nested(&mut nested, 3, |out| out.resize(1 + 1 + len, 5));
            let mut whole = vec![7];
            put_bytes(&mut whole, 3, &vec![5; len]);
            assert_eq!(nested, whole, "{len}");
        }
    }

    #[test]
    fn what_is_no_message_is_said() {
        for (message, why) in [
            (&[0x08][..], "a number reaches beyond the end"),
            (&[0x08, 0x80], "a number reaches beyond the end"),
            (&[0x80; 10], "a number has more than 64 bits"),
            (&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2], "64 bits"),
            (&[0x02, 0], "no number"),
            (&[0x0a, 5, 1], "beyond the end"),
            (&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], "beyond the end"),
            (&[0x09, 1, 2], "beyond the end"),
            (&[0x0b], "proto3"),
            (&[0x0f], "proto3"),
        ] {
            let found = read(message).expect_err("no message");
            assert!(found.contains(why), "{message:?}: {found}");
        }
    }

    #[test]
    fn repeated_numbers_are_packed_or_not() {
        let numbers = |value: Value<'_>| {
            let mut numbers = Vec::new();
            let read = value.each_varint(|number| {
                numbers.push(number);
                Ok::<(), Malformed>(())
            });
            read.map(|()| numbers)
        };
        assert_eq!(numbers(Value::Varint(7)), Ok(vec![7]));
        assert_eq!(numbers(Value::Bytes(&[7, 0x80, 1])), Ok(vec![7, 128]));
        assert!(numbers(Value::Bytes(&[0x80])).is_err());
        assert!(numbers(Value::Fixed32([0; 4])).is_err());
        assert_eq!(Value::Bytes(&[0; 16]).doubles().map(<[_]>::len), Ok(2));
        assert_eq!(Value::Fixed64([0; 8]).doubles().map(<[_]>::len), Ok(1));
        assert!(Value::Bytes(&[0; 15]).doubles().is_err());
        assert_eq!(Value::Bytes(&[0; 8]).floats().map(<[_]>::len), Ok(2));
        assert!(Value::Varint(1).floats().is_err());
    }
}
