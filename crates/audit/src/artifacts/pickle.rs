//! Python pickles: walked opcode by opcode, as the unpickler would, and never run.
//!
//! A pickle has no magic before protocol 2, and many a file begins with a byte that is an opcode. So
//! the walk keeps the stack: an opcode that the unpickler would refuse ends it. It does not end at
//! the first STOP, because torch and `pickle.dump` put streams behind each other; nor does damage
//! excuse what was called before it, because the unpickler has done it by then.
//!
//! Source: `pickletools` and `pickle.py` of Python 3.13 (protocols 0 to 5).

use std::collections::HashMap;

use super::dangerous;

/// Values on the stack, and in the memo, at most: a pickler writes lists in thousands.
const STACK_MAX: usize = 4 << 20;
/// Globals that are kept for the report.
const GLOBALS_MAX: usize = 1_000;
/// Texts that may be half of a name. Longer ones name nothing.
const NAME_BYTES_MAX: usize = 512;

/// What a pickle is, where bytes are one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pickle {
    /// Protocol that it states, or 0.
    pub(super) protocol: u8,
    /// The first name that does harm when called, or that is put together while loading.
    pub(super) code: Option<String>,
    /// How many names it imports; not above [`GLOBALS_MAX`].
    pub(super) imports: usize,
    /// The walk ended before the bytes did.
    pub(super) broken: bool,
}

/// The pickle that `bytes` are, if they are one.
pub(super) fn examine(bytes: &[u8]) -> Option<Pickle> {
    let seen = walk_all(bytes);
    let protocol = protocol(bytes);
    if !is_pickle(bytes, &seen, protocol.is_some()) {
        return None;
    }
    let harmful = seen.globals.iter().find(|(module, name)| dangerous::is(module, name));
    let code = harmful.map(|(module, name)| format!("{module}.{name}"));
    Some(Pickle {
        protocol: protocol.unwrap_or(0),
        code: code
            .or_else(|| seen.computed.then(|| "a name put together while loading".to_owned())),
        imports: seen.globals.len(),
        broken: !seen.exact,
    })
}

/// Whether more bytes could make a pickle of what begins so.
pub(super) fn may_begin(head: &[u8]) -> bool {
    let seen = walk_all(head);
    seen.truncated || is_pickle(head, &seen, protocol(head).is_some())
}

fn protocol(bytes: &[u8]) -> Option<u8> {
    match bytes {
        [0x80, protocol @ 0..=5, ..] => Some(*protocol),
        _ => None,
    }
}

fn is_pickle(bytes: &[u8], seen: &Seen, has_magic: bool) -> bool {
    let tells = seen.container || seen.called || !seen.globals.is_empty() || seen.computed;
    if has_magic {
        // `80 04 95` and a length that can be: eleven bytes that nothing else begins with.
        let framed = bytes.get(2) == Some(&0x95) && bytes.get(8..11) == Some(&[0; 3]);
        let imports = seen.called || !seen.globals.is_empty() || seen.computed;
        return seen.exact
            || imports
            || (framed && seen.opcodes > 1)
            || (seen.stops > 0 && tells)
            || (seen.truncated && seen.opcodes > 3);
    }
    let harmful = || seen.globals.iter().any(|(module, name)| dangerous::is(module, name));
    (seen.exact && tells) || (seen.stops > 0 && seen.called) || (seen.called && harmful())
}

/// What all streams of a file showed together.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a thing that was seen")]
struct Seen {
    globals: Vec<(String, String)>,
    /// A global whose name was not a text of the stream.
    computed: bool,
    called: bool,
    container: bool,
    opcodes: usize,
    stops: usize,
    /// The last stream was sound as far as it went.
    truncated: bool,
    /// The last stream ended with the bytes, blanks apart.
    exact: bool,
}

fn walk_all(bytes: &[u8]) -> Seen {
    let mut seen = Seen::default();
    let mut rest = bytes;
    while !rest.is_empty() {
        let mut walk = Walk { rest, ..Walk::default() };
        match walk.run(&mut seen) {
            Ok(()) => {
                seen.stops += 1;
                rest = walk.rest;
                seen.exact = rest.iter().all(u8::is_ascii_whitespace);
                if seen.exact {
                    break;
                }
            }
            Err(Broken::Truncated) => {
                seen.truncated = true;
                break;
            }
            Err(Broken::Refused) => break,
        }
    }
    seen
}

/// A value on the stack: only what can become a name is of interest.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Value<'a> {
    Plain,
    Text(&'a [u8]),
    /// What GLOBAL and its like push.
    Callable,
}

enum Broken {
    /// The unpickler would refuse it here.
    Refused,
    /// The bytes end.
    Truncated,
}

type Step<T = ()> = Result<T, Broken>;

#[derive(Default)]
struct Walk<'a> {
    rest: &'a [u8],
    stack: Vec<Value<'a>>,
    /// Height of the stack at each MARK.
    marks: Vec<usize>,
    memo: HashMap<u64, Value<'a>>,
}

impl<'a> Walk<'a> {
    /// To STOP.
    fn run(&mut self, seen: &mut Seen) -> Step {
        loop {
            let opcode = self.take(1)?[0];
            if opcode == b'.' {
                return self.pop().map(|_| ());
            }
            self.step(opcode, seen)?;
            seen.opcodes += 1;
            if self.stack.len() + self.marks.len() + self.memo.len() > STACK_MAX {
                return Err(Broken::Refused);
            }
        }
    }

    fn step(&mut self, opcode: u8, seen: &mut Seen) -> Step {
        match opcode {
            0x80 => self.take(1).and_then(|p| ensure(p[0] <= 5)),
            0x95 => self.take(8).map(|_| ()),
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            b'0' => self.pop_or_mark(),
            b'1' => self.pop_mark().map(|_| ()),
            b'2' => self.top().map(|top| self.stack.push(top)),
            b'N' | 0x88 | 0x89 | 0x97 => self.push(Value::Plain),
            0x98 => self.top().map(|_| ()),
            b'J' => self.fixed(4),
            b'K' => self.fixed(1),
            b'M' => self.fixed(2),
            b'G' => self.fixed(8),
            b'I' | b'F' | b'L' => self.number_line(opcode),
            b'S' | b'V' | b'P' => self.text_line(opcode),
            b'T' | b'X' | b'B' | 0x8b => self.counted(4, opcode),
            b'U' | b'C' | 0x8c | 0x8a => self.counted(1, opcode),
            0x8d | 0x8e | 0x96 => self.counted(8, opcode),
            b'}' | b']' | b')' | 0x8f => {
                seen.container = true;
                self.push(Value::Plain)
            }
            b'd' | b'l' | b't' | 0x91 => {
                seen.container = true;
                self.pop_mark()?;
                self.push(Value::Plain)
            }
            0x85..=0x87 => {
                seen.container = true;
                self.pops(usize::from(opcode - 0x84))?;
                self.push(Value::Plain)
            }
            b'a' => self.pop().and_then(|_| self.top().map(|_| ())),
            b's' => self.pops(2).and_then(|()| self.top().map(|_| ())),
            b'e' | b'u' | 0x90 => self.pop_mark().and_then(|_| self.top().map(|_| ())),
            b'b' => self.pop().and_then(|_| self.top().map(|_| ())),
            b'Q' => self.pop().and_then(|_| self.push(Value::Plain)),
            b'g' | b'h' | b'j' => self.get(opcode),
            b'p' | b'q' | b'r' | 0x94 => self.put(opcode),
            b'c' | b'i' | 0x93 | 0x82..=0x84 => self.import(opcode, seen),
            b'R' | 0x81 | 0x92 | b'o' => self.call(opcode, seen),
            _ => Err(Broken::Refused),
        }
    }

    fn import(&mut self, opcode: u8, seen: &mut Seen) -> Step {
        match opcode {
            b'c' | b'i' => {
                let (module, name) = (self.line()?, self.line()?);
                ensure(is_dotted(module) && is_dotted(name))?;
                note(seen, module, name);
                if opcode == b'c' {
                    return self.push(Value::Callable);
                }
                self.pop_mark()?;
                seen.called = true;
                self.push(Value::Plain)
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (module, name) {
                    (Value::Text(module), Value::Text(name)) => note(seen, module, name),
                    _ => seen.computed = true,
                }
                self.push(Value::Callable)
            }
            // A number of `copyreg`'s registry stands for a name.
            extension => {
                self.take(1 << (extension - 0x82))?;
                self.push(Value::Callable)
            }
        }
    }

    fn call(&mut self, opcode: u8, seen: &mut Seen) -> Step {
        let callee = match opcode {
            b'o' => self.pop_mark()?,
            0x92 => self.pops(2).and_then(|()| self.pop().map(Some))?,
            _ => self.pops(1).and_then(|()| self.pop().map(Some))?,
        };
        seen.called |=
            callee.is_some() && !seen.globals.is_empty() || callee == Some(Value::Callable);
        self.push(Value::Plain)
    }

    fn get(&mut self, opcode: u8) -> Step {
        let key = self.key(opcode, [b'g', b'h', b'j'])?;
        let value = *self.memo.get(&key).ok_or(Broken::Refused)?;
        self.push(value)
    }

    fn put(&mut self, opcode: u8) -> Step {
        let key = match opcode {
            0x94 => self.memo.len() as u64,
            _ => self.key(opcode, [b'p', b'q', b'r'])?,
        };
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    /// A place in the memo: as text, in one byte, or in four.
    fn key(&mut self, opcode: u8, [text, short, _]: [u8; 3]) -> Step<u64> {
        if opcode == text {
            let line = self.line()?;
            let digits = std::str::from_utf8(line).ok().and_then(|line| line.trim().parse().ok());
            return digits.ok_or(Broken::Refused);
        }
        self.unsigned(if opcode == short { 1 } else { 4 })
    }

    fn number_line(&mut self, opcode: u8) -> Step {
        let line = self.line()?.trim_ascii();
        let fits = |byte: &u8| match opcode {
            b'F' => byte.is_ascii_digit() || b"+-.eEinfa".contains(byte),
            b'I' => byte.is_ascii_digit() || b"+-".contains(byte),
            _ => byte.is_ascii_digit() || b"+-L".contains(byte),
        };
        ensure(!line.is_empty() && line.len() <= 10_000_000 && line.iter().all(fits))?;
        self.push(Value::Plain)
    }

    fn text_line(&mut self, opcode: u8) -> Step {
        let line = self.line()?;
        let text = match (opcode, line.trim_ascii()) {
            (b'S', [b'\'', text @ .., b'\''] | [b'"', text @ .., b'"']) => text,
            (b'S', _) => return Err(Broken::Refused),
            _ => line,
        };
        self.push(if opcode == b'P' { Value::Plain } else { name(text) })
    }

    /// Bytes behind their own number.
    fn counted(&mut self, width: usize, opcode: u8) -> Step {
        let count = self.unsigned(width)?;
        let bytes = self.take(usize::try_from(count).map_err(|_| Broken::Truncated)?)?;
        let is_text = matches!(opcode, b'T' | b'X' | b'U' | 0x8c | 0x8d);
        self.push(if is_text { name(bytes) } else { Value::Plain })
    }

    fn unsigned(&mut self, width: usize) -> Step<u64> {
        let bytes = self.take(width)?;
        Ok(bytes.iter().rev().fold(0, |sum, &byte| (sum << 8) | u64::from(byte)))
    }

    fn fixed(&mut self, width: usize) -> Step {
        self.take(width)?;
        self.push(Value::Plain)
    }

    fn take(&mut self, count: usize) -> Step<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Broken::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn line(&mut self) -> Step<&'a [u8]> {
        let end = memchr::memchr(b'\n', self.rest).ok_or(Broken::Truncated)?;
        let line = self.take(end)?;
        self.take(1)?;
        Ok(line.strip_suffix(b"\r").unwrap_or(line))
    }

    #[expect(clippy::unnecessary_wraps, reason = "most opcodes end with it")]
    fn push(&mut self, value: Value<'a>) -> Step {
        self.stack.push(value);
        Ok(())
    }

    /// What lies below the last MARK is out of reach.
    fn top(&self) -> Step<Value<'a>> {
        let floor = self.marks.last().copied().unwrap_or(0);
        ensure(self.stack.len() > floor)?;
        self.stack.last().copied().ok_or(Broken::Refused)
    }

    fn pop(&mut self) -> Step<Value<'a>> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pops(&mut self, count: usize) -> Step {
        (0..count).try_for_each(|_| self.pop().map(|_| ()))
    }

    /// POP takes away a MARK, too, if nothing is above it.
    fn pop_or_mark(&mut self) -> Step {
        if self.marks.last() == Some(&self.stack.len()) {
            self.marks.pop();
            return Ok(());
        }
        self.pop().map(|_| ())
    }

    /// All down to the last MARK; the lowest of them.
    fn pop_mark(&mut self) -> Step<Option<Value<'a>>> {
        let mark = self.marks.pop().ok_or(Broken::Refused)?;
        let lowest = self.stack.get(mark).copied();
        self.stack.truncate(mark);
        Ok(lowest)
    }
}

fn ensure(holds: bool) -> Step {
    if holds { Ok(()) } else { Err(Broken::Refused) }
}

fn name(text: &[u8]) -> Value<'_> {
    if text.len() <= NAME_BYTES_MAX { Value::Text(text) } else { Value::Plain }
}

fn note(seen: &mut Seen, module: &[u8], name: &[u8]) {
    if seen.globals.len() < GLOBALS_MAX {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let found = (text(&unescape(module)), text(&unescape(name)));
        // What was put aside as dangerous must not fall victim to a thousand harmless names.
        seen.globals.push(found);
    } else if let (Ok(module), Ok(name)) = (std::str::from_utf8(module), std::str::from_utf8(name))
        && dangerous::is(module, name)
    {
        seen.globals[0] = (module.to_owned(), name.to_owned());
    }
}

/// `\x6f\163` and `\u006f` as the letters that the unpickler makes of them.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        let digits = |from: usize, count: usize, radix: u32| {
            let text = std::str::from_utf8(after.get(from..from + count)?).ok()?;
            u8::try_from(u32::from_str_radix(text, radix).ok()?).ok()
        };
        let found = match (first, after.first()) {
            (b'\\', Some(b'x')) => digits(1, 2, 16).map(|byte| (byte, 4)),
            (b'\\', Some(b'u')) => digits(1, 4, 16).map(|byte| (byte, 6)),
            (b'\\', Some(b'U')) => digits(1, 8, 16).map(|byte| (byte, 10)),
            (b'\\', Some(b'0'..=b'7')) => digits(0, 3, 8).map(|byte| (byte, 4)),
            _ => None,
        };
        let (byte, length) = found.unwrap_or((first, 1));
        plain.push(byte);
        rest = rest.get(length..).unwrap_or_default();
    }
    plain
}

/// `package.module` or `Class.method`: what stands in a GLOBAL and hardly in a text by chance.
fn is_dotted(name: &[u8]) -> bool {
    let letter = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80;
    let part = |part: &[u8]| {
        part.first().is_some_and(|first| !first.is_ascii_digit()) && part.iter().all(letter)
            || part == b"<lambda>"
            || part == b"<locals>"
    };
    name.len() <= NAME_BYTES_MAX && name.split(|byte| *byte == b'.').all(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `-`: no pickle; `pickle`; or the name that makes it `pickle_code`.
    #[track_caller]
    fn check(bytes: &[u8], expected: &str) {
        let found = examine(bytes);
        let found = found.map_or("-".to_owned(), |it| it.code.unwrap_or("pickle".to_owned()));
        assert_eq!(found, expected, "{}", String::from_utf8_lossy(bytes));
    }

    #[test]
    fn all_protocols() {
        check(b"cos\nsystem\n(S'true'\ntR.", "os.system");
        check(b"(S'true'\nios\nsystem\n.", "os.system");
        check(b"(cos\nsystem\nS'true'\no.", "os.system");
        check(b"\x80\x02cposix\nsystem\nU\x04true\x85R.", "posix.system");
        check(b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.", "os.system");
        check(b"(dp0\nS'a'\np1\nI1\ns.", "pickle");
        check(b"(lp0\n.", "pickle");
        check(b"\x80\x03K\x01.", "pickle");
        check(b"\x80\x04\x95\x05\0\0\0\0\0\0\0]\x94(K\x01", "pickle");
    }

    #[test]
    fn names_in_disguise() {
        check(b"S'\\x6fs'\nS'syst\\145m'\n\x93(tR.", "os.system");
        check(b"\x80\x04\x8c\x02os\x940h\0\x8c\x06system\x93)R.", "os.system");
        let computed = b"\x80\x04cbuiltins\nstr\n\x8c\x02os\x85R\x8c\x06system\x93)R.";
        check(computed, "a name put together while loading");
        check(b"N0\x80\x02cos\nsystem\n)R.", "os.system");
    }

    #[test]
    fn damage_excuses_nothing() {
        check(b"\x80\x02cos\nsystem\nU\x04true\x85R\xff\xff\xff", "os.system");
        check(b"cos\nsystem\n(S'true'\ntR\xff\xff", "os.system");
        check(b"\x80\x02\x8a\x02\x01\x02.\x80\x02cos\nsystem\n)R.rest", "os.system");
    }

    #[test]
    fn other_files_are_none() {
        check(b"", "-");
        check(b"croniter/__init__.py,sha256=abc,123\ncroniter/a.py,,\n", "-");
        check(b"cat\ndog\n.hidden\nfish\n", "-");
        check(b"I1\n.", "-");
        check(b"N.", "-");
        check(b"K\x01.and so on", "-");
        check(b"\x80\x02K\x01.\x13\x37\x00\x00", "-");
        check(b"}\n.gitignore", "-");
        check(&vec![b'N'; 100_000], "-");
        check(b"import os\nos.system('true')\n", "-");
    }
}
