//! A `ModelInferRequest`, read where it lies: its tensors are slices of the message.

use std::borrow::Cow;
use std::time::Duration;

use super::wire::{Fields, Malformed, Value};
use crate::ask::Parameter;
use crate::error::Refusal;
use crate::oip::{
    self, Datatype, InferRequest, NO_SHARED_MEMORY, SHARED_MEMORY, Spot, Tensor, Terms, Values,
    Wanted,
};
use crate::rows::Rows;

/// Fields of the message, by number.
mod field {
    pub(super) const MODEL_NAME: u32 = 1;
    pub(super) const MODEL_VERSION: u32 = 2;
    pub(super) const ID: u32 = 3;
    pub(super) const PARAMETERS: u32 = 4;
    pub(super) const INPUTS: u32 = 5;
    pub(super) const OUTPUTS: u32 = 6;
    pub(super) const RAW_INPUT_CONTENTS: u32 = 7;
}

/// The fields of `InferTensorContents`, by number.
const CONTENTS: [&str; 9] = [
    "",
    "bool_contents",
    "int_contents",
    "int64_contents",
    "uint_contents",
    "uint64_contents",
    "fp32_contents",
    "fp64_contents",
    "bytes_contents",
];

/// Bytes of a name, a version or an id.
const TEXT_BYTES_MAX: usize = 4 << 10;

/// Dimensions of a shape at most.
const DIMS_MAX: usize = 8;

/// Which model a request is for, and how the caller calls it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) model: String,
    /// Empty: the current one.
    pub(super) version: String,
    /// Empty: none.
    pub(super) id: String,
}

/// What a message asks, and in which form.
#[derive(Debug)]
pub(super) struct Decoded<'m> {
    pub(super) target: Target,
    pub(super) request: InferRequest<'m>,
    /// Whether the inputs came as bytes.
    pub(super) is_raw: bool,
}

/// A tensor before its elements are known.
#[derive(Debug, Default)]
struct Draft<'m> {
    name: &'m str,
    datatype: &'m str,
    shape: Vec<usize>,
    contents: Option<&'m [u8]>,
}

impl From<Malformed> for String {
    fn from(Malformed(why): Malformed) -> Self {
        why.to_owned()
    }
}

impl From<Malformed> for Refusal {
    fn from(Malformed(why): Malformed) -> Self {
        Self::BadField(format!("the message is no ModelInferRequest: {why}"))
    }
}

/// Fields of a message at most.
const FIELDS_MAX: usize = 1 << 16;

fn too_many_fields() -> Refusal {
    Refusal::BadField(format!("the message has more than {FIELDS_MAX} fields"))
}

impl Target {
    /// Reads over the tensors. `is_all`: whether that is the whole message; else the name must
    /// stand in it.
    pub(super) fn read(beginning: &[u8], is_all: bool) -> Result<Self, Refusal> {
        let mut target = Self::default();
        for (n, field) in Fields::new(beginning).enumerate() {
            match field {
                Ok(_) if n >= FIELDS_MAX => return Err(too_many_fields()),
                Ok((number, value)) => {
                    target.take(number, value)?;
                }
                // It was cut within a field.
                Err(_) if !is_all => break,
                Err(malformed) => return Err(malformed.into()),
            }
        }
        if target.model.is_empty() {
            return Err(Refusal::BadField(if is_all {
                "`model_name` is missing".to_owned()
            } else {
                "`model_name` is missing, or behind the tensors of a compressed message".to_owned()
            }));
        }
        Ok(target)
    }

    /// Takes a field of the message, if it is one of the target's.
    fn take(&mut self, number: u32, value: Value<'_>) -> Result<bool, Refusal> {
        let (name, place) = match number {
            field::MODEL_NAME => ("model_name", &mut self.model),
            field::MODEL_VERSION => ("model_version", &mut self.version),
            field::ID => ("id", &mut self.id),
            _ => return Ok(false),
        };
        if value.bytes()?.len() > TEXT_BYTES_MAX {
            let why = format!("`{name}` is longer than {TEXT_BYTES_MAX} bytes");
            return Err(Refusal::BadField(why));
        }
        value.text()?.clone_into(place);
        Ok(true)
    }
}

/// The time that a message allows; none too where anything is wrong with it. Takes as long as
/// [`Target::read`].
pub(super) fn timeout(message: &[u8]) -> Option<Duration> {
    let mut terms = Terms::default();
    for (number, value) in Fields::new(message).map_while(Result::ok) {
        if number == field::PARAMETERS {
            let (name, value) = parameter(value.bytes().ok()?).ok()?;
            terms.set(name, &value).ok()?;
        }
    }
    terms.timeout
}

/// Reads a message. `rows`: of the model that it is for.
pub(super) fn read<'m>(message: &'m [u8], rows: &Rows) -> Result<Decoded<'m>, Refusal> {
    let mut target = Target::default();
    let mut terms = Terms::default();
    let (mut drafts, mut raws, mut outputs) = (Vec::new(), Vec::new(), Vec::new());
    let inputs_max = oip::inputs_max(rows);
    for (n, field) in Fields::new(message).enumerate() {
        let (number, value) = field?;
        if n >= FIELDS_MAX {
            return Err(too_many_fields());
        }
        if target.take(number, value)? {
            continue;
        }
        match number {
            field::PARAMETERS => {
                let (name, value) = parameter(value.bytes()?)?;
                let set = terms.set(name, &value);
                set.map_err(|cause| Refusal::BadField(format!("`parameters`: {cause}")))?;
            }
            field::INPUTS => drafts.push(draft(value.bytes()?, drafts.len())?),
            field::OUTPUTS => outputs.push(wanted(value.bytes()?)?),
            field::RAW_INPUT_CONTENTS => raws.push(value.bytes()?),
            _ => {}
        }
        for (name, len, len_max) in [
            ("inputs", drafts.len(), inputs_max),
            ("raw_input_contents", raws.len(), inputs_max),
            ("outputs", outputs.len(), oip::OUTPUTS_MAX),
        ] {
            if len > len_max {
                let message = format!("`{name}` has more than {len_max} elements");
                return Err(Refusal::BadField(message));
            }
        }
    }
    let is_raw = !raws.is_empty();
    if is_raw && raws.len() != drafts.len() {
        return Err(Refusal::BadField(format!(
            "`raw_input_contents` has {} elements, `inputs` {}: if one input is there, all must be",
            raws.len(),
            drafts.len()
        )));
    }
    let mut inputs = Vec::with_capacity(drafts.len());
    for (index, draft) in drafts.into_iter().enumerate() {
        let spot = spot(draft.name, index);
        let tensor = finish(draft, raws.get(index).copied(), rows);
        inputs.push(tensor.map_err(|cause| Refusal::BadField(format!("{spot}: {cause}")))?);
    }
    let request =
        InferRequest { id: None, terms, inputs, outputs: (!outputs.is_empty()).then_some(outputs) };
    Ok(Decoded { target, request, is_raw })
}

/// How an input is called in messages.
fn spot(name: &str, index: usize) -> Spot<'_> {
    Spot { name: Some(name).filter(|name| !name.is_empty()), index }
}

/// An entry of `parameters`.
fn parameter(entry: &[u8]) -> Result<(&str, Parameter<'_>), Malformed> {
    let (mut name, mut found) = ("", Parameter::Null);
    for field in Fields::new(entry) {
        match field? {
            (1, key) => name = key.text()?,
            (2, value) => {
                for choice in Fields::new(value.bytes()?) {
                    found = match choice? {
                        (1, flag) => Parameter::Bool(flag.varint()? != 0),
                        (2, number) => Parameter::Whole((number.varint()? as i64).into()),
                        (3, text) => Parameter::Text(Cow::Borrowed(text.text()?)),
                        (4, Value::Fixed64(number)) => {
                            Parameter::Number(f64::from_le_bytes(number))
                        }
                        (5, number) => Parameter::Whole(number.varint()?.into()),
                        _ => continue,
                    };
                }
            }
            _ => {}
        }
    }
    Ok((name, found))
}

fn no_shared_memory(name: &str) -> Result<(), Refusal> {
    if name.starts_with(SHARED_MEMORY) {
        return Err(Refusal::NotOffered(NO_SHARED_MEMORY.to_owned()));
    }
    Ok(())
}

fn draft(message: &[u8], index: usize) -> Result<Draft<'_>, Refusal> {
    let mut draft = Draft::default();
    for field in Fields::new(message) {
        match field? {
            (1, name) => draft.name = name.text()?,
            (2, datatype) => draft.datatype = datatype.text()?,
            (3, dims) => {
                let shape = &mut draft.shape;
                let read = dims.each_varint(|dim| push_dim(shape, dim as i64));
                let spot = spot(draft.name, index);
                read.map_err(|cause| Refusal::BadField(format!("{spot}: {cause}")))?;
            }
            (4, entry) => no_shared_memory(parameter(entry.bytes()?)?.0)?,
            (5, contents) => {
                let contents = contents.bytes()?;
                if draft.contents.replace(contents).is_some() {
                    let spot = spot(draft.name, index);
                    return Err(Refusal::BadField(format!("{spot}: `contents` stands twice")));
                }
            }
            _ => {}
        }
    }
    Ok(draft)
}

fn push_dim(shape: &mut Vec<usize>, dim: i64) -> Result<(), String> {
    let len = usize::try_from(dim).map_err(|_| format!("`shape` has {dim}, expected 0 or more"))?;
    if shape.len() == DIMS_MAX {
        return Err(format!("`shape` has more than {DIMS_MAX} dimensions"));
    }
    shape.push(len);
    Ok(())
}

fn wanted(message: &[u8]) -> Result<Wanted, Refusal> {
    let mut wanted = Wanted::default();
    for field in Fields::new(message) {
        match field? {
            (1, name) => name.text()?.clone_into(&mut wanted.name),
            (2, entry) => {
                let (name, value) = parameter(entry.bytes()?)?;
                no_shared_memory(name)?;
                if name == "classification" {
                    let count = value.count(name);
                    let count =
                        count.map_err(|cause| Refusal::BadField(format!("`outputs`: {cause}")))?;
                    wanted.classes = usize::try_from(count).unwrap_or(usize::MAX);
                }
            }
            _ => {}
        }
    }
    if wanted.name.is_empty() {
        return Err(Refusal::BadField("`outputs`: `name` is missing".to_owned()));
    }
    Ok(wanted)
}

/// Gives a tensor its elements: `raw` ones, or those of its contents.
fn finish<'m>(draft: Draft<'m>, raw: Option<&'m [u8]>, rows: &Rows) -> Result<Tensor<'m>, String> {
    if draft.name.is_empty() {
        return Err("`name` is missing".to_owned());
    }
    let datatype = Datatype::parse(draft.datatype).ok_or_else(|| {
        format!(
            "`datatype` is `{}`, expected one of {}",
            draft.datatype.chars().take(40).collect::<String>(),
            Datatype::names()
        )
    })?;
    let mut elements_max = oip::elements_max(rows);
    if datatype == Datatype::Bytes {
        // No layout has more than one text for each row and column.
        elements_max = elements_max.min(rows.limits().rows_max.saturating_add(1));
    }
    let holds = draft.shape.iter().try_fold(1_usize, |product, &dim| product.checked_mul(dim));
    if holds.is_none_or(|holds| holds > elements_max) {
        return Err(format!("`shape` {:?} has more than {elements_max} elements", draft.shape));
    }
    let name = Cow::Borrowed(draft.name);
    match (raw, draft.contents) {
        (Some(_), Some(contents)) if !contents.is_empty() => {
            Err("`contents` and `raw_input_contents` exclude each other".to_owned())
        }
        (Some(bytes), _) => {
            if datatype == Datatype::Bytes && !has_texts_within(bytes, elements_max) {
                return Err(format!("there are more than {elements_max} elements"));
            }
            Tensor::from_bytes(name, draft.shape, datatype, bytes)
        }
        (None, contents) => {
            let values = values(contents.unwrap_or_default(), datatype, elements_max)?;
            Tensor::new(name, draft.shape, datatype, values)
        }
    }
}

/// Whether so many texts at most stand here, each behind its length.
fn has_texts_within(mut bytes: &[u8], texts_max: usize) -> bool {
    let mut texts = 0;
    while let Some((len, rest)) = bytes.split_first_chunk() {
        texts += 1;
        let len = usize::try_from(u32::from_le_bytes(*len)).unwrap_or(usize::MAX);
        bytes = rest.get(len..).unwrap_or_default();
        if texts > texts_max {
            return false;
        }
    }
    true
}

/// The field of `InferTensorContents` for a datatype; none: its elements come as bytes only.
fn contents_of(datatype: Datatype) -> Option<u32> {
    match datatype {
        Datatype::Bool => Some(1),
        Datatype::Int8 | Datatype::Int16 | Datatype::Int32 => Some(2),
        Datatype::Int64 => Some(3),
        Datatype::Uint8 | Datatype::Uint16 | Datatype::Uint32 => Some(4),
        Datatype::Uint64 => Some(5),
        Datatype::Fp32 => Some(6),
        Datatype::Fp64 => Some(7),
        Datatype::Bytes => Some(8),
        Datatype::Fp16 | Datatype::Bf16 => None,
    }
}

/// Elements as they are read.
#[derive(Default)]
struct Elements<'m> {
    numbers: Vec<f64>,
    flags: Vec<Option<bool>>,
    texts: Vec<Cow<'m, str>>,
    len_max: usize,
}

impl<'m> Elements<'m> {
    /// Whether so many more are welcome.
    fn has_room(&self, more: usize) -> Result<(), String> {
        let len = self.numbers.len() + self.flags.len() + self.texts.len();
        let fits = len.saturating_add(more) <= self.len_max;
        fits.then_some(()).ok_or_else(|| format!("more than {} elements", self.len_max))
    }

    fn push_number(&mut self, number: Option<f64>, datatype: Datatype) -> Result<(), String> {
        self.has_room(1)?;
        let at = self.numbers.len();
        let number = number.ok_or_else(|| match datatype {
            Datatype::Int64 | Datatype::Uint64 => {
                format!("element {at} does not fit a double without loss")
            }
            _ => format!("element {at} is no {}", datatype.name()),
        })?;
        self.numbers.push(number);
        Ok(())
    }

    fn read(&mut self, value: Value<'m>, datatype: Datatype) -> Result<(), String> {
        match datatype {
            Datatype::Bool => value.each_varint(|number| {
                self.has_room(1)?;
                self.flags.push(Some(number != 0));
                Ok(())
            }),
            Datatype::Int8 | Datatype::Int16 | Datatype::Int32 => {
                // Negative ones are written with 64 bits.
                value.each_varint(|n| self.push_number(datatype.hold((n as i32).into()), datatype))
            }
            Datatype::Uint8 | Datatype::Uint16 | Datatype::Uint32 => {
                value.each_varint(|n| self.push_number(datatype.hold((n as u32).into()), datatype))
            }
            Datatype::Int64 | Datatype::Uint64 => {
                value.each_varint(|n| self.push_number(datatype.read(&n.to_le_bytes()), datatype))
            }
            Datatype::Fp32 => {
                let floats = value.floats()?;
                self.has_room(floats.len())?;
                self.numbers.extend(floats.iter().map(|n| f64::from(f32::from_le_bytes(*n))));
                Ok(())
            }
            Datatype::Fp64 => {
                let doubles = value.doubles()?;
                self.has_room(doubles.len())?;
                self.numbers.extend(doubles.iter().map(|n| f64::from_le_bytes(*n)));
                Ok(())
            }
            Datatype::Bytes => {
                self.has_room(1)?;
                let at = self.texts.len();
                let text = std::str::from_utf8(value.bytes()?);
                let text = text.map_err(|_| format!("element {at} is no UTF-8"))?;
                self.texts.push(Cow::Borrowed(text));
                Ok(())
            }
            Datatype::Fp16 | Datatype::Bf16 => Ok(()),
        }
    }
}

/// The elements of `contents`.
fn values(contents: &[u8], datatype: Datatype, elements_max: usize) -> Result<Values<'_>, String> {
    let name = datatype.name();
    let mut elements = Elements { len_max: elements_max, ..Elements::default() };
    for field in Fields::new(contents) {
        let (number, value) = field?;
        let Some(given) = CONTENTS.get(number as usize).filter(|_| number > 0) else {
            continue;
        };
        match contents_of(datatype) {
            Some(expected) if expected == number => elements.read(value, datatype)?,
            Some(expected) => {
                let expected = CONTENTS[expected as usize];
                return Err(format!("`contents` has {given}, {name} stands in {expected}"));
            }
            None => {
                return Err(format!("{name} has no field in `contents`: send raw_input_contents"));
            }
        }
    }
    Ok(match datatype {
        Datatype::Bool => Values::Flags(elements.flags),
        Datatype::Bytes => Values::Texts(elements.texts),
        _ => Values::Numbers(elements.numbers),
    })
}
