//! From the caller's values to the raw row, the `f64`s that an algorithm sees.
//!
//! Source: `RowToRawDataConverter` and the encoders and column mappers of `hex.genmodel.easy`.

use crate::error::{LoadError, RowError, RowErrorKind};
use crate::gam::{Input, Splines};
use crate::head::check_names;
use crate::ini::parse_i32;
use crate::java::parse_double;
use crate::levels::{Form, Levels, Lookup, bits, codes};
use crate::reader::Reader;
use crate::schema::{Column, Kind, Role, Schema};
use crate::submodels::first_places;

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
    /// One per column of the schema.
    slots: Vec<Slot>,
    /// Length of the raw row.
    pub(crate) width: usize,
    splines: Option<Splines>,
}

/// Where the cells of a column go; `at`: (first) place in the raw row.
#[derive(Debug)]
pub(crate) enum Slot {
    Number {
        at: usize,
    },
    Levels {
        at: usize,
        levels: Levels,
    },
    /// A numeric column of a GAM that becomes splines; it may be a column of the raw row as well.
    Smoothed {
        at: Option<usize>,
        input: usize,
    },
    Offset,
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
        check_names(&names, &domains)?;
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
    let (mut inputs, mut slots) = match (encoding, original) {
        (Encoding::Enum, _) => enum_slots(columns),
        (_, None) => {
            return Err(LoadError::MissingKey { key: "_n_orig_names".to_owned() });
        }
        (encoding, Some(original)) => original_slots(columns, encoding, original)?,
    };
    let needed = slots.iter().map(Slot::end).max().unwrap_or(0);
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
        slots.push(Slot::Offset);
    }
    let encoder = Encoder { slots, width, splines: None };
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
    let (mut schema_columns, mut slots) = enum_slots(&given);
    let places = first_places(given.names);
    for (input, name) in splines.inputs().iter().enumerate() {
        match places.get(name.as_str()).copied() {
            Some(at) if schema_columns[at].kind == Kind::Numeric => {
                slots[at] = Slot::Smoothed { at: Some(at), input };
            }
            Some(_) => {
                return Err(LoadError::BadEntry {
                    entry: "gam_columns_sorted".to_owned(),
                    reason: format!("`{name}` is categorical, expected a numeric column"),
                });
            }
            None => {
                schema_columns.push(column(name, None));
                slots.push(Slot::Smoothed { at: None, input });
            }
        }
    }
    if let Some(name) = &columns.offset {
        schema_columns.push(Column { role: Role::Offset, ..column(name, None) });
        slots.push(Slot::Offset);
    }
    let encoder = Encoder { slots, width: columns.names.len(), splines: Some(splines) };
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

fn enum_slots(columns: &ModelColumns<'_>) -> (Vec<Column>, Vec<Slot>) {
    let each = columns.names.iter().zip(columns.domains).enumerate();
    each.map(|(at, (name, domain))| {
        let levels = domain.as_ref().map(|domain| {
            let values = (0..domain.len()).map(|code| code as f64).collect();
            let fallback = Some((format!("{name}."), ""));
            Levels::new(domain, codes(domain), fallback, Form::Values(values))
        });
        (column(name, domain.as_ref()), Slot::new(at, levels))
    })
    .unzip()
}

fn original_slots(
    columns: &ModelColumns<'_>,
    encoding: Encoding,
    original: Original,
) -> Result<(Vec<Column>, Vec<Slot>), LoadError> {
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
    let mut slots = Vec::new();
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
        slots.push(Slot::new(at, levels));
    }
    Ok((inputs, slots))
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
                    limited.entry(level.as_str().into()).or_insert(other);
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

impl Slot {
    fn new(at: usize, levels: Option<Levels>) -> Self {
        match levels {
            None => Self::Number { at },
            Some(levels) => Self::Levels { at, levels },
        }
    }

    /// The place behind its last one in the raw row.
    fn end(&self) -> usize {
        match self {
            Self::Number { at } => at + 1,
            Self::Levels { at, levels } => at + levels.width(),
            Self::Smoothed { at, .. } => at.map_or(0, |at| at + 1),
            Self::Offset => 0,
        }
    }
}

impl Encoder {
    /// One per column of the schema.
    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// How many cells of a row become splines.
    pub(crate) fn spline_inputs(&self) -> usize {
        self.splines.as_ref().map_or(0, |splines| splines.inputs().len())
    }

    /// Fills the places of a GAM's splines from [`spline_input`] of each of its columns.
    pub(crate) fn smooth(&self, inputs: &[Input], raw: &mut [f64]) -> Result<(), RowError> {
        self.splines.as_ref().map_or(Ok(()), |splines| splines.expand(inputs, raw))
    }
}

/// What a cell is to a spline. A text that is no number refuses the row in lenient mode too:
/// genmodel parses these columns a second time.
pub(crate) fn spline_input(name: &str, cell: Cell<'_>) -> Input {
    match cell {
        // genmodel asks its map, which says null for both.
        Cell::Foreign("null") => None,
        cell => match number(name, cell, true) {
            Ok((number, _)) => number.map(Ok),
            Err(error) => Some(Err(error)),
        },
    }
}

/// Writes a cell of a categorical column; `raw` starts at the column's place.
///
/// Lenient (`strict` false): an unknown level is missing, and the conversion says so.
pub(crate) fn level(
    levels: &Levels,
    name: &str,
    cell: Cell<'_>,
    strict: bool,
    raw: &mut [f64],
) -> Result<Option<Conversion>, RowError> {
    let code = match levels.look_up(cell) {
        Lookup::Absent => return Ok(None),
        Lookup::Missing => None,
        Lookup::Code(code) => Some(code),
        Lookup::Unknown if strict => {
            return Err(RowError {
                kind: RowErrorKind::UnknownLevel,
                column: Some(name.to_owned()),
                message: format!(
                    "column `{name}`: {} is not one of its {} levels",
                    spell(cell),
                    levels.len()
                ),
            });
        }
        Lookup::Unknown => {
            levels.write(None, raw);
            return Ok(Some(Conversion::UnknownLevel));
        }
        Lookup::Foreign(type_name) => return Err(unknown_type(name, type_name, "categorical")),
    };
    levels.write(code, raw);
    Ok(None)
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
