//! From the caller's values to the raw row, the `f64`s that an algorithm sees.
//!
//! Source: `RowToRawDataConverter` and the encoders and column mappers of `hex.genmodel.easy`.

use std::collections::HashMap;

use crate::error::{LoadError, RowError, RowErrorKind};
use crate::gam::{Input, Splines};
use crate::ini::parse_i32;
use crate::java::parse_double;
use crate::reader::Reader;
use crate::schema::{Column, Kind, Role, Schema};

/// One value as the caller has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    /// The row has no such key: an empty CSV cell, JSON `null`.
    ///
    /// Some encodings tell absent from missing: one-hot and binary columns are then all NaN.
    Absent,
    /// Text: Java's number grammar in a numeric column, a level in a categorical one.
    Text(&'a str),
    /// A number of JSON or of a tensor. In a categorical column it stands for the level that it
    /// spells, `1` or else `1.0`. NaN is missing.
    Number(f64),
    /// A boolean. In a categorical column it stands for the level that it spells.
    Bool(bool),
    /// The level with this index in [`Column::levels`].
    Level(u32),
    /// genmodel's typed row: a Java `Double`. NaN is missing, and the only one that a categorical
    /// column takes.
    Double(f64),
    /// genmodel's typed row: a type that it refuses, by name.
    Foreign(&'static str),
}

/// How the columns of a model become the raw row.
#[derive(Debug)]
pub(crate) struct Encoder {
    targets: Vec<Target>,
    /// Length of the raw row.
    pub(crate) width: usize,
    smoothing: Option<Smoothing>,
}

/// Columns of a GAM that become splines.
#[derive(Debug)]
struct Smoothing {
    splines: Splines,
    /// Place among the splines' inputs, per column of the schema.
    inputs: Vec<Option<usize>>,
}

#[derive(Debug)]
struct Target {
    /// First place in the raw row.
    at: usize,
    levels: Option<Levels>,
}

#[derive(Debug)]
struct Levels {
    codes: HashMap<String, u32>,
    /// Tried when a level is not known: prefix and suffix around it.
    fallback: Option<(String, &'static str)>,
    code_of_level: Vec<Option<u32>>,
    form: Form,
}

#[derive(Debug)]
enum Form {
    /// One place; the value of each code.
    Values(Vec<f64>),
    /// A place for each level, and one for missing.
    OneHot { levels: usize },
    /// The code + 1 in binary, low bit first; missing is 0.
    Binary { bits: usize },
}

/// What lenient mode turned into a missing value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conversion {
    UnknownLevel,
    InvalidNumber,
}

/// How the model wants its categories (`_genmodel_encoding`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Enum,
    OneHotExplicit,
    Binary,
    EnumLimited,
    Eigen,
    LabelEncoder,
}

impl Encoding {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "AUTO" | "Enum" | "SortByResponse" | "OneHotInternal" => Self::Enum,
            "OneHotExplicit" => Self::OneHotExplicit,
            "Binary" => Self::Binary,
            "EnumLimited" => Self::EnumLimited,
            "Eigen" => Self::Eigen,
            "LabelEncoder" => Self::LabelEncoder,
            _ => return None,
        })
    }
}

/// The columns as they were before the model's encoding: `_orig_names`, `_orig_domain_values`.
pub(crate) struct Original {
    names: Vec<String>,
    domains: Vec<Option<Vec<String>>>,
    projection: Vec<f64>,
}

impl Original {
    pub(crate) fn read(reader: &Reader<'_, '_>) -> Result<Self, LoadError> {
        let ini = reader.ini();
        let too_many = |key: &str, n: usize| LoadError::Limit {
            what: format!("`{key}`"),
            found: n as u64,
            limit: reader.limits().columns_max as u64,
            name: "columns_max",
        };
        let n = ini.usize("_n_orig_names")?;
        let names = reader.lines("_orig_names", n, true)?;
        let n_domains = ini.optional_usize("_n_orig_domain_values")?.unwrap_or(0);
        if n_domains > reader.limits().columns_max {
            return Err(too_many("_n_orig_domain_values", n_domains));
        }
        let mut domains = Vec::new();
        for i in 0..n_domains {
            let n_levels = ini.usize(&format!("_m_orig_domain_values_{i}"))?;
            let entry = format!("_orig_domain_values_{i}");
            domains.push(match n_levels {
                0 => None,
                n => Some(reader.lines(&entry, n, true)?),
            });
        }
        domains.resize(names.len(), None);
        let projection = ini.optional_doubles("_orig_projection_array")?.unwrap_or_default();
        Ok(Self { names, domains, projection })
    }
}

/// What an encoder is made from: the model's own columns.
pub(crate) struct ModelColumns<'a> {
    /// Names of the raw row.
    pub(crate) names: &'a [String],
    /// Domains of the raw row.
    pub(crate) domains: &'a [Option<Vec<String>>],
    pub(crate) response: Option<String>,
    pub(crate) offset: Option<String>,
}

/// The encoder of a model, and the columns it takes.
pub(crate) fn plan(
    columns: &ModelColumns<'_>,
    encoding: Encoding,
    original: Option<Original>,
) -> Result<(Schema, Encoder), LoadError> {
    let width = columns.names.len();
    let (inputs, targets) = match (encoding, original) {
        (Encoding::Enum, _) => enum_targets(columns),
        (_, None) => {
            return Err(LoadError::MissingKey { key: "_n_orig_names".to_owned() });
        }
        (encoding, Some(original)) => original_targets(columns, encoding, original)?,
    };
    let mut inputs = inputs;
    let needed = targets.iter().map(|target| target.at + target.width()).max().unwrap_or(0);
    if needed > width {
        return Err(LoadError::BadValue {
            key: "n_features".to_owned(),
            found: width.to_string(),
            expected: format!("{needed}, the columns after {encoding:?} encoding"),
        });
    }
    if let Some(name) = &columns.offset {
        let offset = Column {
            name: name.clone(),
            role: Role::Offset,
            kind: Kind::Numeric,
            levels: Vec::new(),
        };
        inputs.push(offset);
    }
    let encoder = Encoder { targets, width, smoothing: None };
    Ok((Schema::new(inputs, columns.response.clone()), encoder))
}

/// The encoder of a GAM: the smoothed columns come after the others, unless they are among them.
/// Their splines are no columns of the caller's.
pub(crate) fn plan_smoothed(
    columns: &ModelColumns<'_>,
    splines: Splines,
) -> Result<(Schema, Encoder), LoadError> {
    let given = ModelColumns {
        names: &columns.names[..splines.start()],
        domains: &columns.domains[..splines.start()],
        response: None,
        offset: None,
    };
    let (mut schema_columns, targets) = enum_targets(&given);
    let mut inputs = vec![None; schema_columns.len()];
    for (input, name) in splines.inputs().iter().enumerate() {
        match schema_columns.iter().position(|column| column.name == *name) {
            Some(at) if schema_columns[at].kind == Kind::Numeric => inputs[at] = Some(input),
            Some(_) => {
                return Err(LoadError::BadEntry {
                    entry: "gam_columns_sorted".to_owned(),
                    reason: format!("`{name}` is categorical, expected a numeric column"),
                });
            }
            None => {
                schema_columns.push(column(name, None));
                inputs.push(Some(input));
            }
        }
    }
    if let Some(name) = &columns.offset {
        schema_columns.push(Column { role: Role::Offset, ..column(name, None) });
    }
    let smoothing = Some(Smoothing { splines, inputs });
    let encoder = Encoder { targets, width: columns.names.len(), smoothing };
    Ok((Schema::new(schema_columns, columns.response.clone()), encoder))
}

fn column(name: &str, domain: Option<&Vec<String>>) -> Column {
    Column {
        name: name.to_owned(),
        role: Role::Feature,
        kind: if domain.is_some() { Kind::Categorical } else { Kind::Numeric },
        levels: domain.cloned().unwrap_or_default(),
    }
}

/// The codes of a list of levels; of equal levels the last one counts.
fn codes(levels: &[String]) -> HashMap<String, u32> {
    (0..).zip(levels).map(|(code, level)| (level.clone(), code)).collect()
}

fn enum_targets(columns: &ModelColumns<'_>) -> (Vec<Column>, Vec<Target>) {
    let each = columns.names.iter().zip(columns.domains).enumerate();
    each.map(|(at, (name, domain))| {
        let levels = domain.as_ref().map(|domain| {
            let values = (0..domain.len()).map(|code| code as f64).collect();
            let fallback = Some((format!("{name}."), ""));
            Levels::new(domain, codes(domain), fallback, Form::Values(values))
        });
        (column(name, domain.as_ref()), Target { at, levels })
    })
    .unzip()
}

fn original_targets(
    columns: &ModelColumns<'_>,
    encoding: Encoding,
    original: Original,
) -> Result<(Vec<Column>, Vec<Target>), LoadError> {
    let Original { mut names, mut domains, projection } = original;
    if columns.response.is_some() && names.last() == columns.response.as_ref() {
        names.pop();
        domains.truncate(names.len());
    }
    let is_wide = matches!(encoding, Encoding::OneHotExplicit | Encoding::Binary);
    let mut at = 0;
    let mut places = vec![0; names.len()];
    // Wide encodings put the numeric columns first.
    for categorical in [false, true] {
        for (place, domain) in places.iter_mut().zip(&domains) {
            if domain.is_some() == categorical {
                *place = at;
                at += match (domain, encoding) {
                    (Some(levels), Encoding::OneHotExplicit) => levels.len() + 1,
                    (Some(levels), Encoding::Binary) => bits(levels.len()),
                    _ => 1,
                };
            }
        }
    }
    let mut used = 0;
    let mut inputs = Vec::new();
    let mut targets = Vec::new();
    for (i, (name, domain)) in names.iter().zip(&domains).enumerate() {
        let at = if is_wide { places[i] } else { i };
        let levels = match domain {
            None => None,
            Some(domain) => {
                let model_domain = columns.domains.get(i).and_then(Option::as_ref);
                let rest = projection.get(used..).unwrap_or_default();
                used += domain.len();
                Some(original_levels(encoding, name, domain, model_domain, rest)?)
            }
        };
        inputs.push(column(name, domain.as_ref()));
        targets.push(Target { at, levels });
    }
    Ok((inputs, targets))
}

fn original_levels(
    encoding: Encoding,
    name: &str,
    domain: &[String],
    model_domain: Option<&Vec<String>>,
    projection: &[f64],
) -> Result<Levels, LoadError> {
    let all = codes(domain);
    let (codes, fallback, form) = match encoding {
        Encoding::Enum => {
            let values = (0..domain.len()).map(|code| code as f64).collect();
            (all, None, Form::Values(values))
        }
        Encoding::OneHotExplicit => {
            let levels = all.len();
            (all, None, Form::OneHot { levels })
        }
        Encoding::Binary => (all, None, Form::Binary { bits: bits(domain.len()) }),
        Encoding::LabelEncoder => {
            let value =
                |(code, level): (usize, &String)| parse_i32(level).map_or(code as f64, f64::from);
            (all, None, Form::Values(domain.iter().enumerate().map(value).collect()))
        }
        Encoding::Eigen => {
            let Some(projection) = projection.get(..domain.len()) else {
                return Err(LoadError::BadValue {
                    key: "_orig_projection_array".to_owned(),
                    found: format!("{} numbers left for column `{name}`", projection.len()),
                    expected: format!("{}, one for each of its levels", domain.len()),
                });
            };
            let values = projection.iter().map(|&x| f64::from(x as f32)).collect();
            (all, None, Form::Values(values))
        }
        Encoding::EnumLimited => {
            let Some(kept) = model_domain else {
                return Err(LoadError::BadEntry {
                    entry: "model.ini".to_owned(),
                    reason: format!("[domains] has none for `{name}`, which was limited"),
                });
            };
            let mut limited = self::codes(kept);
            if let Some(other) = limited.get("other").copied() {
                for level in domain {
                    limited.entry(level.clone()).or_insert(other);
                }
                // A caller cannot name the rest by its collective name.
                limited.remove("other");
            }
            let values = (0..kept.len()).map(|code| code as f64).collect();
            (limited, Some((format!("{name}.top_"), "_levels")), Form::Values(values))
        }
    };
    Ok(Levels::new(domain, codes, fallback, form))
}

/// Places of a binary-encoded column: enough for the levels and one code for missing.
fn bits(levels: usize) -> usize {
    1 + levels.max(1).ilog2() as usize
}

impl Levels {
    fn new(
        domain: &[String],
        codes: HashMap<String, u32>,
        fallback: Option<(String, &'static str)>,
        form: Form,
    ) -> Self {
        let mut levels = Self { codes, fallback, code_of_level: Vec::new(), form };
        levels.code_of_level = domain.iter().map(|level| levels.code(level)).collect();
        levels
    }

    fn code(&self, level: &str) -> Option<u32> {
        self.codes.get(level).copied().or_else(|| {
            let (prefix, suffix) = self.fallback.as_ref()?;
            self.codes.get(&format!("{prefix}{level}{suffix}")).copied()
        })
    }

    fn code_of_number(&self, number: f64) -> Option<u32> {
        let whole = (number.trunc() == number && number.abs() < 1e15)
            .then(|| self.code(&format!("{}", number as i64)));
        whole.flatten().or_else(|| self.code(&crate::java::double_to_string(number)))
    }
}

impl Target {
    fn width(&self) -> usize {
        match self.levels.as_ref().map(|levels| &levels.form) {
            Some(Form::OneHot { levels }) => levels + 1,
            Some(Form::Binary { bits }) => *bits,
            Some(Form::Values(_)) | None => 1,
        }
    }

    /// `code`: `None` is missing.
    fn write(&self, levels: &Levels, code: Option<u32>, raw: &mut [f64]) {
        let raw = &mut raw[self.at..];
        match &levels.form {
            Form::Values(values) => raw[0] = code.map_or(f64::NAN, |code| values[code as usize]),
            Form::OneHot { levels } => {
                let hot = code.map_or(*levels, |code| code as usize);
                for (i, place) in raw[..=*levels].iter_mut().enumerate() {
                    *place = if i == hot { 1.0 } else { 0.0 };
                }
            }
            Form::Binary { bits } => {
                let value = code.map_or(0, |code| u64::from(code) + 1);
                for (i, place) in raw[..*bits].iter_mut().enumerate() {
                    *place = ((value >> i) & 1) as f64;
                }
            }
        }
    }
}

impl Encoder {
    /// Writes one cell into the raw row, whose places are NaN before.
    ///
    /// `index`, `name`: the column's place in the schema and its name. Lenient (`strict` false):
    /// what cannot be read is missing, and the conversion says why.
    pub(crate) fn encode(
        &self,
        index: usize,
        name: &str,
        cell: Cell<'_>,
        strict: bool,
        raw: &mut [f64],
    ) -> Result<Option<Conversion>, RowError> {
        let Some(target) = self.targets.get(index) else { return Ok(None) };
        let Some(levels) = &target.levels else {
            let (value, conversion) = number(name, cell, strict)?;
            // Absent stays what it was: NaN.
            if let Some(value) = value {
                raw[target.at] = value;
            }
            return Ok(conversion);
        };
        let code = match cell {
            Cell::Absent => return Ok(None),
            Cell::Text(text) => levels.code(text),
            Cell::Number(number) | Cell::Double(number) if number.is_nan() => {
                target.write(levels, None, raw);
                return Ok(None);
            }
            Cell::Number(number) => levels.code_of_number(number),
            Cell::Bool(flag) => levels.code(if flag { "true" } else { "false" }),
            Cell::Level(level) => levels.code_of_level.get(level as usize).copied().flatten(),
            Cell::Double(_) => return Err(unknown_type(name, "Double", "categorical")),
            Cell::Foreign(type_name) => return Err(unknown_type(name, type_name, "categorical")),
        };
        if code.is_none() && strict {
            return Err(RowError {
                kind: RowErrorKind::UnknownLevel,
                column: Some(name.to_owned()),
                message: format!(
                    "column `{name}`: {} is not one of its {} levels",
                    spell(cell),
                    levels.code_of_level.len()
                ),
            });
        }
        target.write(levels, code, raw);
        Ok(if code.is_none() { Some(Conversion::UnknownLevel) } else { None })
    }
}

impl Encoder {
    /// What a row has for the columns that become splines: nothing yet.
    pub(crate) fn no_inputs(&self) -> Vec<Input> {
        let n = self.smoothing.as_ref().map_or(0, |smoothing| smoothing.splines.inputs().len());
        vec![None; n]
    }

    /// Keeps a cell for [`Encoder::smooth`]. A text that is no number refuses the row in lenient
    /// mode too: genmodel parses these columns a second time.
    pub(crate) fn keep_input(
        &self,
        index: usize,
        name: &str,
        cell: Cell<'_>,
        inputs: &mut [Input],
    ) {
        let smoothing = self.smoothing.as_ref();
        let input = smoothing.and_then(|smoothing| smoothing.inputs.get(index).copied().flatten());
        let Some(input) = input else { return };
        inputs[input] = match cell {
            // genmodel asks its map, which says null for both.
            Cell::Foreign("null") => None,
            cell => match number(name, cell, true) {
                Ok((number, _)) => number.map(Ok),
                Err(error) => Some(Err(error)),
            },
        };
    }

    /// Fills the places of a GAM's splines.
    pub(crate) fn smooth(&self, inputs: &[Input], raw: &mut [f64]) -> Result<(), RowError> {
        match &self.smoothing {
            Some(smoothing) => smoothing.splines.expand(inputs, raw),
            None => Ok(()),
        }
    }
}

/// A cell of a numeric column: the number (`None`: absent), and whether it was converted.
pub(crate) fn number(
    name: &str,
    cell: Cell<'_>,
    strict: bool,
) -> Result<(Option<f64>, Option<Conversion>), RowError> {
    let parsed = match cell {
        Cell::Absent => return Ok((None, None)),
        Cell::Text(text) => parse_double(text),
        Cell::Number(value) | Cell::Double(value) => Some(value),
        Cell::Level(level) => Some(f64::from(level)),
        Cell::Bool(_) => None,
        Cell::Foreign(type_name) => return Err(unknown_type(name, type_name, "numeric")),
    };
    match parsed {
        Some(value) => Ok((Some(value), None)),
        None if strict => Err(RowError {
            kind: RowErrorKind::InvalidNumber,
            column: Some(name.to_owned()),
            message: format!("column `{name}`: {} is not a number", spell(cell)),
        }),
        None => Ok((Some(f64::NAN), Some(Conversion::InvalidNumber))),
    }
}

fn unknown_type(name: &str, found: &str, kind: &str) -> RowError {
    let takes = if kind == "numeric" { "a number or text" } else { "text or NaN" };
    RowError {
        kind: RowErrorKind::UnknownType,
        column: Some(name.to_owned()),
        message: format!("column `{name}` is {kind} and takes {takes}, found {found}"),
    }
}

/// The cell as it would be typed, for messages.
fn spell(cell: Cell<'_>) -> String {
    match cell {
        Cell::Text(text) => format!("`{}`", crate::ini::shorten(text)),
        Cell::Number(number) | Cell::Double(number) => format!("`{number}`"),
        Cell::Bool(flag) => format!("`{flag}`"),
        Cell::Level(level) => format!("level {level}"),
        Cell::Absent => "nothing".to_owned(),
        Cell::Foreign(type_name) => type_name.to_owned(),
    }
}
