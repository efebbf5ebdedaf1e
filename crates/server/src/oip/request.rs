//! The body of an infer request: tensors and what is asked of them.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::data::{Data, Read, Values};
use super::datatype::Datatype;
use crate::error::Refusal;
use crate::json::{self, Flag, Skip, Text};

/// An infer request, its tensors checked against their own shapes and datatypes.
#[derive(Debug, Default)]
pub(super) struct InferRequest<'de> {
    pub(super) id: Option<String>,
    pub(super) strict: bool,
    pub(super) timeout: Option<Duration>,
    pub(super) inputs: Vec<Tensor<'de>>,
    /// Names of the outputs that are wanted; none: all.
    pub(super) outputs: Option<Vec<String>>,
}

/// One input.
#[derive(Debug)]
pub(super) struct Tensor<'de> {
    pub(super) name: Cow<'de, str>,
    pub(super) shape: Vec<usize>,
    pub(super) datatype: Datatype,
    pub(super) values: Values<'de>,
}

impl<'de> InferRequest<'de> {
    /// `elements_max`: elements of a tensor at most.
    pub(super) fn read(
        body: &'de [u8],
        depth_max: usize,
        elements_max: usize,
    ) -> Result<Self, Refusal> {
        json::read(body, Body { skip: Skip { depth: depth_max }, elements_max })
    }
}

/// Implements the two traits of a seed that reads an object or a list.
macro_rules! seed {
    ($name:ident<$value:ty>, $visit:ident: $access:ident, $expecting:literal) => {
        impl<'de> DeserializeSeed<'de> for $name {
            type Value = $value;

            fn deserialize<D: Deserializer<'de>>(
                self,
                deserializer: D,
            ) -> Result<Self::Value, D::Error> {
                deserializer.deserialize_any(self)
            }
        }

        impl<'de> Visitor<'de> for $name {
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
struct Body {
    skip: Skip,
    elements_max: usize,
}

#[derive(Clone, Copy)]
struct Parameters {
    skip: Skip,
}

#[derive(Clone, Copy)]
struct Inputs {
    skip: Skip,
    elements_max: usize,
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

seed!(Body<InferRequest<'de>>, visit_map: MapAccess, "an object {\"inputs\": [tensor, ...]}");
seed!(Parameters<(bool, Option<Duration>)>, visit_map: MapAccess, "`parameters` as an object");
seed!(Inputs<Vec<Tensor<'de>>>, visit_seq: SeqAccess, "`inputs` as a list of tensors");
seed!(Input<Tensor<'de>>, visit_map: MapAccess, "a tensor {name, shape, datatype, data}");
seed!(Shape<Vec<usize>>, visit_seq: SeqAccess, "`shape` as a list of whole numbers");
seed!(Outputs<Vec<String>>, visit_seq: SeqAccess, "`outputs` as a list of objects");
seed!(RequestedOutput<String>, visit_map: MapAccess, "an output {name}");

impl Body {
    fn read<'de, A: MapAccess<'de>>(self, mut map: A) -> Result<InferRequest<'de>, A::Error> {
        let Self { skip, elements_max } = self;
        let skip = skip.deeper()?;
        let mut request = InferRequest::default();
        let mut inputs = None;
        while let Some(key) = map.next_key_seed(Text)? {
            match &*key {
                "id" => {
                    let id = map.next_value_seed(Text);
                    request.id = Some(id.map_err(|e| named("`id`", &e))?.into_owned());
                }
                "parameters" => {
                    (request.strict, request.timeout) = map.next_value_seed(Parameters { skip })?;
                }
                "inputs" if inputs.is_some() => {
                    return Err(A::Error::custom("`inputs` stands twice"));
                }
                "inputs" => inputs = Some(map.next_value_seed(Inputs { skip, elements_max })?),
                "outputs" => request.outputs = Some(map.next_value_seed(Outputs { skip })?),
                _ => map.next_value_seed(skip)?,
            }
        }
        request.inputs =
            inputs.ok_or_else(|| A::Error::custom("`inputs` is missing: a list of tensors"))?;
        Ok(request)
    }
}

/// An error of a part, with the part's name.
fn named<E: Error>(part: &str, cause: &E) -> E {
    E::custom(format_args!("{part}: {cause}"))
}

impl Parameters {
    fn read<'de, A: MapAccess<'de>>(
        self,
        mut map: A,
    ) -> Result<(bool, Option<Duration>), A::Error> {
        let skip = self.skip.deeper()?;
        let (mut strict, mut timeout) = (false, None);
        while let Some(key) = map.next_key_seed(Text)? {
            match &*key {
                "strict" => strict = map.next_value_seed(Flag("parameters.strict"))?,
                "timeout" => {
                    let us: u64 = map
                        .next_value()
                        .map_err(|e: A::Error| named("`parameters.timeout` in microseconds", &e))?;
                    // 0 is as if it were not there.
                    timeout = (us > 0).then(|| Duration::from_micros(us));
                }
                _ => map.next_value_seed(skip)?,
            }
        }
        Ok((strict, timeout))
    }
}

impl Inputs {
    fn read<'de, A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<Tensor<'de>>, A::Error> {
        let Self { skip, elements_max } = self;
        let skip = skip.deeper()?;
        let mut inputs: Vec<Tensor<'de>> = Vec::new();
        loop {
            let input = Input { index: inputs.len(), skip, elements_max };
            match seq.next_element_seed(input)? {
                Some(tensor) => inputs.push(tensor),
                None => return Ok(inputs),
            }
        }
    }
}

impl Input {
    fn read<'de, A: MapAccess<'de>>(self, mut map: A) -> Result<Tensor<'de>, A::Error> {
        let skip = self.skip.deeper()?;
        let (mut name, mut shape, mut datatype, mut data) = (None, None, None, None);
        while let Some(key) = map.next_key_seed(Text)? {
            let spot = spot(name.as_deref(), self.index);
            match &*key {
                "name" => {
                    let text = map.next_value_seed(Text);
                    name = Some(text.map_err(|e| named(&format!("{spot}: `name`"), &e))?);
                }
                "shape" => {
                    let read = map.next_value_seed(Shape);
                    shape = Some(read.map_err(|e| named(&spot, &e))?);
                }
                "datatype" => {
                    let text = map.next_value_seed(Text);
                    let text = text.map_err(|e| named(&format!("{spot}: `datatype`"), &e))?;
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
                    map.next_value_seed(seed).map_err(|e| named(&spot, &e))?;
                    data = Some(read);
                }
                _ => map.next_value_seed(skip)?,
            }
        }
        let spot = spot(name.as_deref(), self.index);
        let missing = |part: &str| A::Error::custom(format_args!("{spot}: `{part}` is missing"));
        let name = name.clone().ok_or_else(|| missing("name"))?;
        let shape = shape.ok_or_else(|| missing("shape"))?;
        let datatype = datatype.ok_or_else(|| missing("datatype"))?;
        let data = data.ok_or_else(|| missing("data"))?;
        check(name, shape, datatype, data)
            .map_err(|cause| A::Error::custom(format_args!("{spot}: {cause}")))
    }
}

/// How an input is called in messages.
fn spot(name: Option<&str>, index: usize) -> String {
    match name {
        Some(name) => format!("input `{}`", name.chars().take(80).collect::<String>()),
        None => format!("inputs[{index}]"),
    }
}

/// Shape, datatype and data must agree.
fn check<'de>(
    name: Cow<'de, str>,
    shape: Vec<usize>,
    datatype: Datatype,
    data: Data<'de>,
) -> Result<Tensor<'de>, String> {
    if !data.has_shape(&shape) {
        return Err(format!("`data` is nested as {:?}, `shape` is {shape:?}", data.dims()));
    }
    let values = data.into_values(datatype)?;
    let holds = shape.iter().try_fold(1_usize, |product, &dim| product.checked_mul(dim));
    if holds != Some(values.len()) {
        let holds = holds.map_or("too many".to_owned(), |holds| holds.to_string());
        return Err(format!(
            "`shape` {shape:?} holds {holds} elements, `data` has {}",
            values.len()
        ));
    }
    Ok(Tensor { name, shape, datatype, values })
}

impl Shape {
    #[expect(clippy::unused_self, reason = "all seeds are called alike")]
    fn read<'de, A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<usize>, A::Error> {
        /// No tensor here has more dimensions than a matrix, but callers may pad with ones.
        const DIMS_MAX: usize = 8;
        let mut shape = Vec::new();
        while let Some(dim) = seq.next_element::<usize>().map_err(|e| named("`shape`", &e))? {
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
    fn read<'de, A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<String>, A::Error> {
        let skip = self.skip.deeper()?;
        let mut outputs = Vec::new();
        while let Some(name) = seq.next_element_seed(RequestedOutput { skip })? {
            outputs.push(name);
        }
        Ok(outputs)
    }
}

impl RequestedOutput {
    fn read<'de, A: MapAccess<'de>>(self, mut map: A) -> Result<String, A::Error> {
        let skip = self.skip.deeper()?;
        let mut name = None;
        while let Some(key) = map.next_key_seed(Text)? {
            match &*key {
                "name" => {
                    let text = map.next_value_seed(Text);
                    name = Some(text.map_err(|e| named("`outputs`: `name`", &e))?.into_owned());
                }
                _ => map.next_value_seed(skip)?,
            }
        }
        name.ok_or_else(|| A::Error::custom("`outputs`: `name` is missing"))
    }
}
