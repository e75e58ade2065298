//! Reads a Python pickle as data.
//!
//! A pickle is a program for a stack machine. This machine builds plain data and
//! runs nothing: a class is two names, a call is a note of what would have been
//! called with what. Objects live in one list and refer to each other by place,
//! so a pickle can make at most as many objects as it has bytes, however it
//! copies and nests them.
//!
//! Opcodes: CPython's `Lib/pickletools.py`; those that `torch.save` and
//! `pickle.dumps` of protocols 2 to 5 write for a state dict.

use std::collections::HashMap;

/// Opcodes that a pickle may have: for a state dict, some fifty for each tensor.
const MOST_STEPS: usize = 1 << 22;

/// An object of a pickle: its place in [`Pickle`].
pub(super) type Id = usize;

/// A value, as far as a state dict needs it.
#[derive(Debug)]
pub(super) enum Object<'a> {
    /// A whole number; true and false are 1 and 0.
    Integer(i64),
    Text(&'a str),
    /// A class or function, by module and name.
    Global(&'a str, &'a str),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// What a call would have made: callable and arguments.
    Call(Id, Id),
    /// An object outside the pickle, by its key: for torch, a storage.
    Persistent(Id),
    /// None, a float, bytes: nothing that a state dict's tensors are made of.
    Other,
}

/// A pickle, read.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    objects: Vec<Object<'a>>,
    /// The object that the pickle is of.
    pub(super) root: Id,
    /// Bytes that it took.
    pub(super) length: usize,
}

impl<'a> Pickle<'a> {
    /// Reads the pickle that `bytes` start with.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Pickle<'a>, String> {
        let mut machine = Machine { rest: bytes, ..Machine::default() };
        for _ in 0..MOST_STEPS {
            let at = bytes.len() - machine.rest.len();
            let root = machine.step().map_err(|problem| format!("byte {at} of the pickle: {problem}"))?;
            if let Some(root) = root {
                let length = bytes.len() - machine.rest.len();
                return Ok(Pickle { objects: machine.objects, root, length });
            }
        }
        Err("the pickle is far longer than that of a state dict".into())
    }

    pub(super) fn get(&self, id: Id) -> &Object<'a> {
        self.objects.get(id).unwrap_or(&Object::Other)
    }

    pub(super) fn objects(&self) -> impl Iterator<Item = &Object<'a>> {
        self.objects.iter()
    }

    pub(super) fn text(&self, id: Id) -> Option<&'a str> {
        match self.get(id) {
            Object::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn size(&self, id: Id) -> Option<usize> {
        match self.get(id) {
            Object::Integer(value) => usize::try_from(*value).ok(),
            _ => None,
        }
    }

    /// The elements of a tuple or list.
    pub(super) fn elements(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Object::Tuple(elements) | Object::List(elements) => Some(elements),
            _ => None,
        }
    }

    pub(super) fn sizes(&self, id: Id) -> Option<Vec<usize>> {
        self.elements(id)?.iter().map(|id| self.size(*id)).collect()
    }
}

#[derive(Default)]
struct Machine<'a> {
    rest: &'a [u8],
    objects: Vec<Object<'a>>,
    stack: Vec<Id>,
    /// Heights of the stack at each mark.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    /// Runs one opcode; the root object at STOP.
    fn step(&mut self) -> Result<Option<Id>, String> {
        let [opcode] = self.array()?;
        match opcode {
            b'.' => return self.pop().map(Some),
            0x80 => drop(self.take(1)?), // PROTO
            0x95 => drop(self.take(8)?), // FRAME
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),                   // POP
            b'1' => drop(self.pop_to_mark()?),           // POP_MARK
            b'2' => self.stack.push(self.top()?),        // DUP
            b'N' => self.push(Object::Other),            // NONE
            0x88 => self.push(Object::Integer(1)),       // NEWTRUE
            0x89 => self.push(Object::Integer(0)),       // NEWFALSE
            0x8f => self.push(Object::List(Vec::new())), // EMPTY_SET
            b'J' | b'K' | b'M' | 0x8a | 0x8b => self.integer(opcode)?,
            b'G' => self.skip(8)?, // BINFLOAT
            b'X' | 0x8c | 0x8d | b'T' | b'U' | b'B' | b'C' | 0x8e => self.string(opcode)?,
            b')' => self.push(Object::Tuple(Vec::new())),
            b']' => self.push(Object::List(Vec::new())),
            b'}' => self.push(Object::Dict(Vec::new())),
            b't' => self.collect(Object::Tuple)?,
            b'l' => self.collect(Object::List)?,
            b'd' => self.dict()?,
            0x85..=0x87 => self.tuple(usize::from(opcode - 0x84))?,
            b'a' | b'e' | 0x90 | b's' | b'u' => self.extend(opcode)?,
            b'c' | 0x93 => self.global(opcode)?,
            b'R' | 0x81 => self.call()?, // REDUCE, NEWOBJ
            b'b' => drop(self.pop()?),   // BUILD: an object's attributes
            b'Q' => {
                let key = self.pop()?;
                self.push(Object::Persistent(key));
            }
            b'q' | b'r' | 0x94 | b'h' | b'j' => self.memoize(opcode)?,
            other => return Err(format!("opcode {other:#04x} has no place in a state dict")),
        }
        Ok(None)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or("it ends too early")?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or("it ends too early")?;
        self.rest = rest;
        Ok(*taken)
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let end = self.rest.iter().position(|byte| *byte == b'\n').ok_or("it ends too early")?;
        let line = self.take(end)?;
        self.take(1)?;
        std::str::from_utf8(line).map_err(|_| "a name is not UTF-8".into())
    }

    /// A length as the file gives it, in `N` bytes.
    fn length<const N: usize>(&mut self) -> Result<usize, String> {
        let mut wide = [0u8; 8];
        for (to, from) in wide.iter_mut().zip(self.array::<N>()?) {
            *to = from;
        }
        usize::try_from(u64::from_le_bytes(wide)).map_err(|_| "it ends too early".into())
    }

    fn push(&mut self, object: Object<'a>) {
        self.stack.push(self.objects.len());
        self.objects.push(object);
    }

    fn skip(&mut self, length: usize) -> Result<(), String> {
        self.take(length)?;
        self.push(Object::Other);
        Ok(())
    }

    fn top(&self) -> Result<Id, String> {
        self.stack.last().copied().ok_or_else(|| "its stack is empty".into())
    }

    fn pop(&mut self) -> Result<Id, String> {
        self.stack.pop().ok_or_else(|| "its stack is empty".into())
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or("there is no mark")?;
        if mark > self.stack.len() {
            return Err("its stack is empty".into());
        }
        Ok(self.stack.split_off(mark))
    }

    fn integer(&mut self, opcode: u8) -> Result<(), String> {
        let value = match opcode {
            b'J' => i64::from(i32::from_le_bytes(self.array()?)),
            b'K' => i64::from(u8::from_le_bytes(self.array()?)),
            b'M' => i64::from(u16::from_le_bytes(self.array()?)),
            _ => {
                // LONG1 and LONG4: two's complement of as many bytes as said.
                let length = if opcode == 0x8a { self.length::<1>()? } else { self.length::<4>()? };
                let bytes = self.take(length)?;
                let Some(value) = long(bytes) else {
                    self.push(Object::Other);
                    return Ok(());
                };
                value
            }
        };
        self.push(Object::Integer(value));
        Ok(())
    }

    fn string(&mut self, opcode: u8) -> Result<(), String> {
        let length = match opcode {
            0x8c | b'U' | b'C' => self.length::<1>()?,
            0x8d | 0x8e => self.length::<8>()?,
            _ => self.length::<4>()?,
        };
        let bytes = self.take(length)?;
        let text = std::str::from_utf8(bytes);
        self.push(text.map_or(Object::Other, Object::Text));
        Ok(())
    }

    fn collect(&mut self, make: impl Fn(Vec<Id>) -> Object<'a>) -> Result<(), String> {
        let elements = self.pop_to_mark()?;
        self.push(make(elements));
        Ok(())
    }

    fn dict(&mut self) -> Result<(), String> {
        let entries = pairs(&self.pop_to_mark()?)?;
        self.push(Object::Dict(entries));
        Ok(())
    }

    fn tuple(&mut self, length: usize) -> Result<(), String> {
        let start = self.stack.len().checked_sub(length).ok_or("its stack is empty")?;
        let elements = self.stack.split_off(start);
        self.push(Object::Tuple(elements));
        Ok(())
    }

    /// APPEND, APPENDS, ADDITEMS, SETITEM, SETITEMS.
    fn extend(&mut self, opcode: u8) -> Result<(), String> {
        let added = match opcode {
            b'a' => vec![self.pop()?],
            b's' => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            _ => self.pop_to_mark()?,
        };
        let target = self.top()?;
        match (opcode, self.objects.get_mut(target)) {
            (b'a' | b'e' | 0x90, Some(Object::List(elements))) => elements.extend(added),
            (b's' | b'u', Some(Object::Dict(entries))) => entries.extend(pairs(&added)?),
            // Filling an object of an unknown class: of no interest, and no harm.
            (_, Some(Object::Call(..))) => {}
            _ => return Err("it fills what is neither list nor dict".into()),
        }
        Ok(())
    }

    fn global(&mut self, opcode: u8) -> Result<(), String> {
        let (module, name) = if opcode == b'c' {
            (self.line()?, self.line()?)
        } else {
            let (name, module) = (self.pop()?, self.pop()?);
            match (self.objects.get(module), self.objects.get(name)) {
                (Some(Object::Text(module)), Some(Object::Text(name))) => (*module, *name),
                _ => return Err("a class has no name".into()),
            }
        };
        self.push(Object::Global(module, name));
        Ok(())
    }

    /// A call is noted, not made. An ordered dict starts empty.
    fn call(&mut self) -> Result<(), String> {
        let arguments = self.pop()?;
        let callable = self.pop()?;
        let object = match self.objects.get(callable) {
            Some(Object::Global("collections", "OrderedDict" | "defaultdict")) => Object::Dict(Vec::new()),
            _ => Object::Call(callable, arguments),
        };
        self.push(object);
        Ok(())
    }

    fn memoize(&mut self, opcode: u8) -> Result<(), String> {
        let key = match opcode {
            b'q' | b'h' => u32::from(u8::from_le_bytes(self.array()?)),
            b'r' | b'j' => u32::from_le_bytes(self.array()?),
            _ => u32::try_from(self.memo.len()).map_err(|_| "its memo is full")?,
        };
        if matches!(opcode, b'h' | b'j') {
            let id = self.memo.get(&key).ok_or_else(|| format!("there is nothing in memo {key}"))?;
            self.stack.push(*id);
        } else {
            self.memo.insert(key, self.top()?);
        }
        Ok(())
    }
}

fn pairs(flat: &[Id]) -> Result<Vec<(Id, Id)>, String> {
    match flat.as_chunks::<2>() {
        (pairs, []) => Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect()),
        _ => Err("a key has no value".into()),
    }
}

/// A two's complement number of any length; `None` beyond 64 bits.
fn long(bytes: &[u8]) -> Option<i64> {
    let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut wide = if negative { [0xff; 8] } else { [0; 8] };
    if bytes.len() > wide.len() {
        return None;
    }
    wide.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    Some(i64::from_le_bytes(wide))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_every_length() {
        for (bytes, expected) in [
            (&b"\x80\x02K\x07."[..], 7),
            (b"\x80\x02M\xe8\x03.", 1000),
            (b"\x80\x02J\xff\xff\xff\xff.", -1),
            (b"\x80\x02\x8a\x00.", 0),
            (b"\x80\x02\x8a\x02\x00\x80.", -32768),
            (b"\x80\x02\x8a\x05\x00\x00\x00\x00\x01.", 1 << 32),
        ] {
            let pickle = Pickle::read(bytes).unwrap();
            assert!(matches!(pickle.get(pickle.root), Object::Integer(value) if *value == expected));
            assert_eq!(pickle.length, bytes.len());
        }
    }

    #[test]
    fn protocol_4_names_classes_by_text() {
        let bytes = b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94\x8c\x06system\x94\x93)R.";
        let pickle = Pickle::read(bytes).unwrap();
        let Object::Call(callable, _) = pickle.get(pickle.root) else { panic!("a call, noted") };
        assert!(matches!(pickle.get(*callable), Object::Global("os", "system")));
    }

    #[test]
    fn copies_cost_their_bytes_only() {
        // [[[... x, x], ...]]: each level holds the one below twice.
        let mut bytes = b"\x80\x02]q\x00".to_vec();
        for _ in 0..100_000 {
            bytes.extend(b"h\x00\x86q\x00");
        }
        bytes.push(b'.');
        assert!(Pickle::read(&bytes).unwrap().objects.len() <= bytes.len());
    }

    #[test]
    fn broken_pickles_are_refused() {
        assert!(Pickle::read(&b")".repeat(MOST_STEPS + 1)).is_err());
        for bytes in [
            &b""[..],
            b".",
            b"\x80\x02",
            b"t.",
            b"(0t.",
            b"K\x01a.",
            b"]K\x01s.",
            b"}(K\x01u.",
            b"h\x05.",
            b"X\xff\xff\xff\xff.",
            b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff.",
            b"\x8b\xff\xff\xff\xff.",
            b"cos\nsystem",
            b"\x86.",
            b"P12\n.",
        ] {
            assert!(Pickle::read(bytes).is_err(), "{bytes:?}");
        }
    }
}
