//! The body of an infer request: tensors and what is asked of them.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::data::{Data, Read, Values};
use super::datatype::Datatype;
use crate::ask::{Ask, Parameter, ReadParameter};
use crate::error::Refusal;
use crate::json::{self, Skip, Text};

/// Outputs that a request may name.
pub(crate) const OUTPUTS_MAX: usize = 1_024;

/// With this begin the parameters of a tensor that lies in the memory of both sides.
pub(crate) const SHARED_MEMORY: &str = "shared_memory_";

/// Nothing of this process' memory is anybody else's.
pub(crate) const NO_SHARED_MEMORY: &str =
    "shared memory is not offered: send the elements in the message";

/// How much a request may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Levels of nesting.
    pub(super) depth: usize,
    /// Inputs.
    pub(super) inputs: usize,
    /// Elements of a tensor.
    pub(super) elements: usize,
}

/// An infer request, its tensors checked against their own shapes and datatypes.
#[derive(Debug, Default)]
pub(crate) struct InferRequest<'de> {
    pub(crate) id: Option<String>,
    pub(crate) terms: Terms,
    pub(crate) inputs: Vec<Tensor<'de>>,
    /// The outputs that are wanted; none: the model's usual ones, and what is asked for.
    pub(crate) outputs: Option<Vec<Wanted>>,
}

/// What the parameters of a request say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) ask: Ask,
    pub(crate) timeout: Option<Duration>,
    /// Whether outputs come as bytes if they do not say it themselves.
    pub(crate) is_binary: bool,
}

/// One input.
#[derive(Debug)]
pub(crate) struct Tensor<'de> {
    pub(crate) name: Cow<'de, str>,
    pub(crate) shape: Vec<usize>,
    pub(crate) datatype: Datatype,
    pub(crate) values: Values<'de>,
}

/// One output that is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    /// Whether it comes as bytes, if that is said.
    pub(crate) is_binary: Option<bool>,
    /// So many classes, the likeliest first, in place of the tensor; 0: the tensor.
    pub(crate) classes: usize,
}

impl Terms {
    /// Takes a parameter; what nobody knows is passed over.
    pub(crate) fn set(&mut self, name: &str, value: &Parameter<'_>) -> Result<(), String> {
        match name {
            "timeout" => {
                let us = value.count("timeout")?;
                // 0 is as if it were not there.
                self.timeout = (us > 0).then(|| Duration::from_micros(us));
            }
            // Nothing waits behind anything else for long enough to be worth an order.
            "priority" => drop(value.count("priority")?),
            "binary_data_output" => self.is_binary = value.flag("binary_data_output")?,
            _ => drop(self.ask.set(name, value)?),
        }
        Ok(())
    }
}

impl<'de> InferRequest<'de> {
    /// `json_bytes`: how many bytes of the body are JSON, the tensors' own being behind them; none:
    /// all.
    pub(super) fn read(
        body: &'de [u8],
        json_bytes: Option<usize>,
        bounds: Bounds,
    ) -> Result<Self, Refusal> {
        let split = body.split_at_checked(json_bytes.unwrap_or(body.len()));
        let (json, bytes) = split.ok_or_else(|| {
            Refusal::BadHeader(format!(
                "{} is {}, but the body has {} bytes",
                json::JSON_BYTES,
                json_bytes.unwrap_or(0),
                body.len()
            ))
        })?;
        json::read(json, Body { skip: Skip { depth: bounds.depth }, bounds, bytes })
    }
}

impl<'de> Tensor<'de> {
    /// A tensor whose elements are bytes. The error says what does not fit.
    pub(crate) fn from_bytes(
        name: Cow<'de, str>,
        shape: Vec<usize>,
        datatype: Datatype,
        bytes: &'de [u8],
    ) -> Result<Self, String> {
        let holds = elements(&shape);
        if let (Some(size), Some(holds)) = (datatype.size(), holds)
            && holds.checked_mul(size) != Some(bytes.len())
        {
            return Err(format!(
                "`shape` {shape:?} of {} takes {holds} x {size} bytes, there are {}",
                datatype.name(),
                bytes.len()
            ));
        }
        Self::new(name, shape, datatype, Values::from_bytes(datatype, bytes)?)
    }

    /// Shape and elements must agree. The error says how they do not.
    pub(crate) fn new(
        name: Cow<'de, str>,
        shape: Vec<usize>,
        datatype: Datatype,
        values: Values<'de>,
    ) -> Result<Self, String> {
        let holds = elements(&shape);
        if holds != Some(values.len()) {
            let holds = holds.map_or("too many".to_owned(), |holds| holds.to_string());
            return Err(format!(
                "`shape` {shape:?} holds {holds} elements, `data` has {}",
                values.len()
            ));
        }
        Ok(Self { name, shape, datatype, values })
    }
}

/// Elements of a shape; none if nobody can count them.
fn elements(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |product, &dim| product.checked_mul(dim))
}

/// Implements the two traits of a seed that reads an object or a list.
macro_rules! seed {
    ($name:ident $([$life:lifetime])?: $value:ty, $visit:ident: $access:ident, $expecting:literal) => {
        impl<'de> DeserializeSeed<'de> for $name$(<$life>)? {
            type Value = $value;

            fn deserialize<D: Deserializer<'de>>(
                self,
                deserializer: D,
            ) -> Result<Self::Value, D::Error> {
                deserializer.deserialize_any(self)
            }
        }

        impl<'de> Visitor<'de> for $name$(<$life>)? {
            type Value = $value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($expecting)
            }

            fn $visit<A: $access<'de>>(self, access: A) -> Result<Self::Value, A::Error> {
                self.read(access)
            }
        }
    };
}

#[derive(Clone, Copy)]
struct Body<'de> {
    skip: Skip,
    bounds: Bounds,
    /// Of the tensors that come as such, behind each other.
    bytes: &'de [u8],
}

#[derive(Clone, Copy)]
struct Parameters {
    skip: Skip,
}

/// Parameters of a tensor.
#[derive(Clone, Copy)]
struct TensorParameters {
    skip: Skip,
}

/// How a tensor comes, or shall come.
#[derive(Default)]
struct Form {
    bytes: Option<usize>,
    is_binary: Option<bool>,
    classes: usize,
}

#[derive(Clone, Copy)]
struct Inputs {
    skip: Skip,
    bounds: Bounds,
}

/// A tensor while it is read.
struct Draft<'de> {
    name: Cow<'de, str>,
    shape: Vec<usize>,
    datatype: Datatype,
    /// None: its elements are so many of the bytes behind the JSON.
    data: Result<Data<'de>, usize>,
}

#[derive(Clone, Copy)]
struct Input {
    index: usize,
    skip: Skip,
    elements_max: usize,
}

#[derive(Clone, Copy)]
struct Shape;

#[derive(Clone, Copy)]
struct Outputs {
    skip: Skip,
}

#[derive(Clone, Copy)]
struct RequestedOutput {
    skip: Skip,
}

seed!(Body ['de]: InferRequest<'de>, visit_map: MapAccess, "an object {\"inputs\": [tensor, ...]}");
seed!(Parameters: Terms, visit_map: MapAccess, "`parameters` as an object");
seed!(TensorParameters: Form, visit_map: MapAccess, "`parameters` as an object");
seed!(Inputs: Vec<Draft<'de>>, visit_seq: SeqAccess, "`inputs` as a list of tensors");
seed!(Input: Draft<'de>, visit_map: MapAccess, "a tensor {name, shape, datatype, data}");
seed!(Shape: Vec<usize>, visit_seq: SeqAccess, "`shape` as a list of whole numbers");
seed!(Outputs: Vec<Wanted>, visit_seq: SeqAccess, "`outputs` as a list of objects");
seed!(RequestedOutput: Wanted, visit_map: MapAccess, "an output {name}");

/// What may be null, as if it were not there: clients that are made from a schema write out whatever
/// they leave open.
struct Maybe<S>(S);

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Maybe<S> {
    type Value = Option<S::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de, S: DeserializeSeed<'de>> Visitor<'de> for Maybe<S> {
    type Value = Option<S::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value or null")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        self.0.deserialize(deserializer).map(Some)
    }
}

impl<'de> Body<'de> {
    fn read<A: MapAccess<'de>>(self, mut map: A) -> Result<InferRequest<'de>, A::Error> {
        let Self { skip, bounds, bytes } = self;
        let skip = skip.deeper()?;
        let mut request = InferRequest::default();
        let mut inputs = None;
        while let Some(key) = map.next_key_seed(Text)? {
            match &*key {
                "id" => {
                    let id = map.next_value_seed(Maybe(Text)).map_err(|e| named("`id`", &e))?;
                    request.id = id.map(Cow::into_owned);
                }
                "parameters" => {
                    let terms = map.next_value_seed(Maybe(Parameters { skip }))?;
                    request.terms = terms.unwrap_or_default();
                }
                "inputs" if inputs.is_some() => {
                    return Err(A::Error::custom("`inputs` stands twice"));
                }
                "inputs" => inputs = Some(map.next_value_seed(Inputs { skip, bounds })?),
                "outputs" => request.outputs = map.next_value_seed(Maybe(Outputs { skip }))?,
                _ => map.next_value_seed(skip)?,
            }
        }
        let inputs =
            inputs.ok_or_else(|| A::Error::custom("`inputs` is missing: a list of tensors"))?;
        request.inputs = finish(inputs, bytes, bounds.elements).map_err(A::Error::custom)?;
        Ok(request)
    }
}

/// The `timeout` that stands near the beginning or the end of a body, where clients put their
/// parameters: a guess, for as long as nobody has read the body.
pub(super) fn peek_timeout(json: &[u8]) -> Option<Duration> {
    const NEAR: usize = 1 << 10;
    const KEY: &[u8] = b"\"timeout\"";
    let (first, last) = (&json[..json.len().min(NEAR)], &json[json.len().saturating_sub(NEAR)..]);
    [first, last].into_iter().find_map(|part| {
        let at = part.windows(KEY.len()).position(|window| window == KEY)?;
        let value = part[at + KEY.len()..].trim_ascii_start().strip_prefix(b":")?;
        let value = value.trim_ascii_start();
        let end = value.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(value.len());
        let us: u64 = std::str::from_utf8(&value[..end]).ok()?.parse().ok()?;
        (us > 0).then(|| Duration::from_micros(us))
    })
}

/// Gives each tensor its elements.
fn finish<'de>(
    inputs: Vec<Draft<'de>>,
    bytes: &'de [u8],
    elements_max: usize,
) -> Result<Vec<Tensor<'de>>, String> {
    let (mut rest, mut tensors) = (bytes, Vec::with_capacity(inputs.len()));
    for draft in inputs {
        let name = draft.name.clone();
        let tensor = match draft.data {
            Ok(data) => with_data(draft.name, draft.shape, draft.datatype, data),
            Err(len) => match rest.split_at_checked(len) {
                None => Err(format!(
                    "`binary_data_size` is {len}, but only {} bytes are left behind the JSON",
                    rest.len()
                )),
                Some(_) if elements(&draft.shape).is_none_or(|holds| holds > elements_max) => {
                    Err(format!("`shape` {:?} has more than {elements_max} elements", draft.shape))
                }
                Some((own, behind)) => {
                    rest = behind;
                    Tensor::from_bytes(draft.name, draft.shape, draft.datatype, own)
                }
            },
        };
        let spot = Spot { name: Some(&*name), index: 0 };
        tensors.push(tensor.map_err(|cause| format!("{spot}: {cause}"))?);
    }
    if rest.is_empty() {
        Ok(tensors)
    } else {
        Err(format!("{} bytes behind the JSON belong to no input (`binary_data_size`)", rest.len()))
    }
}

/// An error of a part, with the part's name.
fn named<E: Error>(part: impl fmt::Display, cause: &E) -> E {
    E::custom(format_args!("{part}: {cause}"))
}

impl Parameters {
    fn read<'de, A: MapAccess<'de>>(self, mut map: A) -> Result<Terms, A::Error> {
        let skip = self.skip.deeper()?;
        let mut terms = Terms::default();
        while let Some(key) = map.next_key_seed(Text)? {
            let value = map.next_value_seed(ReadParameter(skip))?;
            terms
                .set(&key, &value)
                .map_err(|e| A::Error::custom(format_args!("`parameters`: {e}")))?;
        }
        Ok(terms)
    }
}

impl TensorParameters {
    fn read<'de, A: MapAccess<'de>>(self, mut map: A) -> Result<Form, A::Error> {
        let skip = self.skip.deeper()?;
        let mut form = Form::default();
        while let Some(key) = map.next_key_seed(Text)? {
            let value = map.next_value_seed(ReadParameter(skip))?;
            let count = |name| value.count(name).map_err(A::Error::custom);
            let small = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
            match &*key {
                "binary_data_size" => form.bytes = Some(small(count("binary_data_size")?)),
                "classification" => form.classes = small(count("classification")?),
                "binary_data" => {
                    form.is_binary = Some(value.flag("binary_data").map_err(A::Error::custom)?);
                }
                name if name.starts_with(SHARED_MEMORY) => {
                    return Err(A::Error::custom(NO_SHARED_MEMORY));
                }
                _ => {}
            }
        }
        Ok(form)
    }
}

impl Inputs {
    fn read<'de, A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<Draft<'de>>, A::Error> {
        let Self { skip, bounds } = self;
        let skip = skip.deeper()?;
        let mut inputs: Vec<Draft<'de>> = Vec::new();
        loop {
            let input = Input { index: inputs.len(), skip, elements_max: bounds.elements };
            match seq.next_element_seed(input)? {
                None => return Ok(inputs),
                Some(_) if inputs.len() >= bounds.inputs => {
                    return Err(too_many("inputs", bounds.inputs));
                }
                Some(tensor) => inputs.push(tensor),
            }
        }
    }
}

impl Input {
    fn read<'de, A: MapAccess<'de>>(self, mut map: A) -> Result<Draft<'de>, A::Error> {
        let skip = self.skip.deeper()?;
        let (mut name, mut shape, mut datatype, mut data) = (None, None, None, None);
        let mut bytes = None;
        while let Some(key) = map.next_key_seed(Text)? {
            let spot = Spot { name: name.as_deref(), index: self.index };
            match &*key {
                "name" => {
                    let text = map.next_value_seed(Text);
                    name = Some(text.map_err(|e| named(format_args!("{spot}: `name`"), &e))?);
                }
                "shape" => {
                    let read = map.next_value_seed(Shape);
                    shape = Some(read.map_err(|e| named(spot, &e))?);
                }
                "datatype" => {
                    let text = map.next_value_seed(Text);
                    let named = |e| named(format_args!("{spot}: `datatype`"), &e);
                    let text = text.map_err(named)?;
                    datatype = Some(Datatype::parse(&text).ok_or_else(|| {
                        let known = Datatype::names();
                        A::Error::custom(format_args!(
                            "{spot}: `datatype` is `{}`, expected one of {known}",
                            text.chars().take(40).collect::<String>()
                        ))
                    })?);
                }
                "data" => {
                    let mut read = Data::default();
                    let Self { elements_max, .. } = self;
                    let seed = Read { data: &mut read, skip, elements_max, depth: 0 };
                    map.next_value_seed(seed).map_err(|e| named(spot, &e))?;
                    data = Some(read);
                }
                "parameters" => {
                    let form = map.next_value_seed(Maybe(TensorParameters { skip }));
                    bytes = form.map_err(|e| named(spot, &e))?.and_then(|form| form.bytes);
                }
                _ => map.next_value_seed(skip)?,
            }
        }
        let spot = Spot { name: name.as_deref(), index: self.index };
        let missing = |part: &str| A::Error::custom(format_args!("{spot}: `{part}` is missing"));
        let name = name.clone().ok_or_else(|| missing("name"))?;
        let shape = shape.ok_or_else(|| missing("shape"))?;
        let datatype = datatype.ok_or_else(|| missing("datatype"))?;
        let data = match (data, bytes) {
            (Some(data), None) => Ok(data),
            (None, Some(bytes)) => Err(bytes),
            (None, None) => return Err(missing("data")),
            (Some(_), Some(_)) => {
                return Err(A::Error::custom(format_args!(
                    "{spot}: `data` and `binary_data_size` exclude each other"
                )));
            }
        };
        Ok(Draft { name, shape, datatype, data })
    }
}

fn too_many<E: Error>(list: &str, len_max: usize) -> E {
    E::custom(format_args!("`{list}` has more than {len_max} elements"))
}

/// How an input is called in messages; most requests need none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spot<'n> {
    /// None: not known yet.
    pub(crate) name: Option<&'n str>,
    pub(crate) index: usize,
}

impl fmt::Display for Spot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name {
            Some(name) => write!(f, "input `{name:.80}`"),
            None => write!(f, "inputs[{}]", self.index),
        }
    }
}

/// Shape, datatype and data must agree.
fn with_data<'de>(
    name: Cow<'de, str>,
    shape: Vec<usize>,
    datatype: Datatype,
    data: Data<'de>,
) -> Result<Tensor<'de>, String> {
    if !data.has_shape(&shape) {
        return Err(format!("`data` is nested as {:?}, `shape` is {shape:?}", data.dims()));
    }
    let values = data.into_values(datatype)?;
    Tensor::new(name, shape, datatype, values)
}

/// A dimension, with words for who sends another thing.
struct Dim(usize);

impl<'de> Deserialize<'de> for Dim {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_u64(DimVisitor)
    }
}

struct DimVisitor;

impl Visitor<'_> for DimVisitor {
    type Value = Dim;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number from 0 on")
    }

    fn visit_u64<E: Error>(self, dim: u64) -> Result<Dim, E> {
        usize::try_from(dim).map(Dim).map_err(E::custom)
    }
}

impl Shape {
    #[expect(clippy::unused_self, reason = "all seeds are called alike")]
    fn read<'de, A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<usize>, A::Error> {
        /// No tensor here has more dimensions than a matrix, but callers may pad with ones.
        const DIMS_MAX: usize = 8;
        let mut shape = Vec::new();
        while let Some(Dim(dim)) = seq.next_element().map_err(|e| named("`shape`", &e))? {
            if shape.len() == DIMS_MAX {
                return Err(A::Error::custom(format_args!(
                    "`shape` has more than {DIMS_MAX} dimensions"
                )));
            }
            shape.push(dim);
        }
        Ok(shape)
    }
}

impl Outputs {
    fn read<'de, A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<Wanted>, A::Error> {
        let skip = self.skip.deeper()?;
        let mut outputs = Vec::new();
        while let Some(wanted) = seq.next_element_seed(RequestedOutput { skip })? {
            if outputs.len() >= OUTPUTS_MAX {
                return Err(too_many("outputs", OUTPUTS_MAX));
            }
            outputs.push(wanted);
        }
        Ok(outputs)
    }
}

impl RequestedOutput {
    fn read<'de, A: MapAccess<'de>>(self, mut map: A) -> Result<Wanted, A::Error> {
        let skip = self.skip.deeper()?;
        let (mut name, mut form) = (None, Form::default());
        while let Some(key) = map.next_key_seed(Text)? {
            match &*key {
                "name" => {
                    let text = map.next_value_seed(Text);
                    name = Some(text.map_err(|e| named("`outputs`: `name`", &e))?.into_owned());
                }
                "parameters" => {
                    let read = map.next_value_seed(Maybe(TensorParameters { skip }));
                    form = read.map_err(|e| named("`outputs`", &e))?.unwrap_or_default();
                }
                _ => map.next_value_seed(skip)?,
            }
        }
        let name = name.ok_or_else(|| A::Error::custom("`outputs`: `name` is missing"))?;
        Ok(Wanted { name, is_binary: form.is_binary, classes: form.classes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_seen_from_afar() {
        let far = "0,".repeat(40_000);
        for (body, us) in [
            (format!("{{\"parameters\":{{\"timeout\": 2500}},\"inputs\":[{far}"), Some(2_500)),
            (format!("{{\"inputs\":[{far}0],\"parameters\":{{\"timeout\":7}}}}"), Some(7)),
            (format!("{{\"inputs\":[{far}\"timeout\":7,{far}0]}}"), None),
            ("{\"timeout\":0}".to_owned(), None),
            ("{\"timeout\":\"soon\"}".to_owned(), None),
            ("{\"timeout\"".to_owned(), None),
            (String::new(), None),
        ] {
            let expected = us.map(Duration::from_micros);
            assert_eq!(peek_timeout(body.as_bytes()), expected, "{}", body.len());
        }
    }
}
