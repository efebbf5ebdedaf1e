//! RuleFit: rules from trees, each tree a categorical column of a linear model.
//!
//! Of the rules of a tree (`num_rules_M<depth>T<tree>`, rules `<depth>_<tree>_<k>`) the last one
//! that a row fulfils is the level of the tree's column; none is missing. With more than two
//! classes a tree has one column per class, and a rule belongs to the classes whose name its
//! variable ends with: levels `1` and `11` collide, and a class without rules is refused for every
//! row. Both are genmodel's answers; the second is also a warning at load.
//!
//! The linear model sees the rules' columns, then (`model_type` 1) the raw row; with `model_type`
//! 0 the raw row alone. Source: `RuleFitMojoReader`, `MojoRuleEnsemble`, `RuleFitMojoModel`.

use crate::error::{LoadError, RowError, RowErrorKind};
use crate::head::Head;
use crate::reader::Reader;
use crate::scorer::{Scorer, Scratch};
use crate::submodels::{Submodel, Submodels};

#[derive(Debug)]
pub(crate) struct RuleFit {
    linear: Box<Scorer>,
    /// One column per tree, or per tree and class.
    columns: Vec<RuleColumn>,
    /// The linear model also sees the raw row.
    with_row: bool,
    /// Place in the linear model's row of each column of the made row.
    places: Vec<usize>,
}

/// The rules that decide a column's level; `None`: the class has none.
type RuleColumn = Option<Vec<Rule>>;

#[derive(Debug)]
struct Rule {
    conditions: Vec<Condition>,
    /// Level of the column, NaN where the linear model does not have it.
    level: f64,
}

#[derive(Debug)]
struct Condition {
    column: usize,
    test: Test,
    takes_missing: bool,
}

#[derive(Debug)]
enum Test {
    Below(f64),
    From(f64),
    In(Vec<i32>),
    Never,
}

impl RuleFit {
    pub(crate) fn read(reader: &Reader<'_, '_>, head: &Head) -> Result<Self, LoadError> {
        let ini = reader.ini();
        let linear = Submodels::read(reader)?.take(reader, "linear_model")?;
        let (with_rules, with_row) = match ini.usize("model_type")? {
            0 => (false, true),
            1 => (true, true),
            _ => (true, false),
        };
        let mut columns = Vec::new();
        if with_rules {
            for depth in 0..ini.usize("depth")? {
                for tree in 0..ini.usize("ntrees")? {
                    columns.extend(read_tree(reader, head, &linear, depth, tree)?);
                }
            }
        }
        if columns.iter().any(Option::is_none) {
            reader.warn(
                "rulefit_class_without_rules",
                "a class has no rules in some tree: genmodel refuses every row".to_owned(),
            );
        }
        let made = columns.len() + if with_row { head.n_features } else { 0 };
        let places = places(reader, &linear, made)?;
        let expected = head.n_classes + usize::from(head.n_classes > 1);
        if linear.scorer.preds_len != expected {
            return Err(LoadError::BadValue {
                key: "linear_model".to_owned(),
                found: format!("a model with {} answers", linear.scorer.preds_len),
                expected: format!("{expected}, as the rules have"),
            });
        }
        Ok(Self { linear: Box::new(linear.scorer), columns, with_row, places })
    }

    pub(crate) fn is_exact(&self) -> bool {
        self.linear.algorithm.is_exact()
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let rules = self.columns.iter().flatten().map(Vec::len).sum::<usize>();
        self.linear.algorithm.memory_bytes() + rules * 3 * size_of::<Condition>()
    }

    pub(crate) fn score(
        &self,
        raw: &[f64],
        preds: &mut [f64],
        scratch: &mut Scratch,
    ) -> Result<(), RowError> {
        let mut made = Vec::with_capacity(self.columns.len() + raw.len());
        for column in &self.columns {
            let rules = column.as_ref().ok_or_else(|| RowError {
                kind: RowErrorKind::Model,
                column: None,
                message: "a class of the response has no rules".to_owned(),
            })?;
            let last = rules.iter().rev().find(|rule| rule.holds(raw));
            made.push(last.map_or(f64::NAN, |rule| rule.level));
        }
        if self.with_row {
            made.extend_from_slice(raw);
        }
        let mut row = vec![0.0; self.linear.width];
        for (&place, value) in self.places.iter().zip(made) {
            row[place] = value;
        }
        self.linear.score_row(&row, 0.0, preds, scratch)
    }
}

impl Rule {
    fn holds(&self, raw: &[f64]) -> bool {
        self.conditions.iter().all(|condition| {
            let value = raw[condition.column];
            if value.is_nan() {
                return condition.takes_missing;
            }
            match &condition.test {
                Test::Below(threshold) => value < *threshold,
                Test::From(threshold) => value >= *threshold,
                Test::In(levels) => levels.iter().any(|&level| f64::from(level) == value),
                Test::Never => false,
            }
        })
    }
}

/// Where each column of the made row goes: `linear_names_i` in the linear model.
fn places(
    reader: &Reader<'_, '_>,
    linear: &Submodel,
    made: usize,
) -> Result<Vec<usize>, LoadError> {
    let width = linear.scorer.width;
    if made < width {
        return Err(LoadError::BadValue {
            key: "linear_model".to_owned(),
            found: format!("a model of {width} columns"),
            expected: format!("at most {made}, the rules' columns and the row's"),
        });
    }
    (0..width)
        .map(|i| {
            let key = format!("linear_names_{i}");
            let name = reader.ini().required_text(&key)?;
            linear.features().iter().position(|feature| feature == name).ok_or_else(|| {
                LoadError::BadValue {
                    key,
                    found: crate::ini::shorten(name),
                    expected: "a column of the linear model".to_owned(),
                }
            })
        })
        .collect()
}

/// The columns of a tree.
fn read_tree(
    reader: &Reader<'_, '_>,
    head: &Head,
    linear: &Submodel,
    depth: usize,
    tree: usize,
) -> Result<Vec<RuleColumn>, LoadError> {
    let n_rules = reader.ini().usize(&format!("num_rules_M{depth}T{tree}"))?;
    let classes = head.domains.last().and_then(Option::as_ref).filter(|levels| levels.len() > 2);
    let Some(classes) = classes else {
        let rules = (0..n_rules)
            .map(|k| read_rule(reader, head, linear, &format!("{depth}_{tree}_{k}"), None));
        return Ok(vec![Some(rules.collect::<Result<_, _>>()?)]);
    };
    let mut columns: Vec<RuleColumn> = classes.iter().map(|_| None).collect();
    for k in 0..n_rules {
        let id = format!("{depth}_{tree}_{k}");
        let variable = reader.ini().required_text(&format!("var_name_rule_id_{id}"))?;
        for (class, (column, level)) in columns.iter_mut().zip(classes).enumerate() {
            if variable.ends_with(level.as_str()) {
                let rule = read_rule(reader, head, linear, &id, Some(class))?;
                column.get_or_insert_default().push(rule);
            }
        }
    }
    Ok(columns)
}

fn read_rule(
    reader: &Reader<'_, '_>,
    head: &Head,
    linear: &Submodel,
    id: &str,
    class: Option<usize>,
) -> Result<Rule, LoadError> {
    let ini = reader.ini();
    let n_conditions = ini.usize(&format!("num_conditions_rule_id_{id}"))?;
    let conditions = (0..n_conditions)
        .map(|i| read_condition(reader, head, &format!("{i}_{id}")))
        .collect::<Result<_, _>>()?;
    let key = format!("var_name_rule_id_{id}");
    let variable = ini.required_text(&key)?;
    // `M1T5N18_dog` is a level of the column `M1T5`, of class 3 `M1T5C3`.
    let stem = variable.split_once('N').map(|(stem, _)| stem);
    let column = stem.map(|stem| match class {
        Some(class) => format!("{stem}C{class}"),
        None => stem.to_owned(),
    });
    let domain = column
        .and_then(|column| linear.names.iter().position(|name| *name == column))
        .and_then(|place| linear.domains[place].as_ref());
    let Some(domain) = domain else {
        return Err(LoadError::BadValue {
            key,
            found: crate::ini::shorten(variable),
            expected: "a level of a categorical column of the linear model".to_owned(),
        });
    };
    let level = domain.iter().position(|level| level == variable);
    Ok(Rule { conditions, level: level.map_or(f64::NAN, |level| level as f64) })
}

fn read_condition(
    reader: &Reader<'_, '_>,
    head: &Head,
    id: &str,
) -> Result<Condition, LoadError> {
    let ini = reader.ini();
    let key = format!("feature_index_{id}");
    let column = ini.usize(&key)?;
    if column >= head.n_features {
        return Err(LoadError::BadValue {
            key,
            found: column.to_string(),
            expected: format!("below {}, the number of columns", head.n_features),
        });
    }
    let operator = ini.usize(&format!("operator_{id}"))?;
    let test = if ini.usize(&format!("type_{id}"))? == 0 {
        let n_levels = ini.usize(&format!("cat_treshold_length_{id}"))?;
        let levels = (0..n_levels)
            .map(|i| {
                let level = ini.usize(&format!("cat_treshold_length_{i}_{id}"))?;
                Ok(i32::try_from(level).unwrap_or(i32::MAX))
            })
            .collect::<Result<_, LoadError>>()?;
        Test::In(levels)
    } else {
        let threshold = ini.f64(&format!("num_treshold{id}"))?;
        match operator {
            0 => Test::Below(threshold),
            1 => Test::From(threshold),
            _ => Test::Never,
        }
    };
    let takes_missing = ini.bool_or(&format!("nas_included_{id}"), false)?;
    Ok(Condition { column, test, takes_missing })
}
