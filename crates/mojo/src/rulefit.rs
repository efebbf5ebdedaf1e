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

use std::collections::HashMap;

use crate::error::{LoadError, RowError, RowErrorKind};
use crate::head::Head;
use crate::reader::Reader;
use crate::scorer::{Scorer, Scratch};
use crate::submodels::{Submodel, Submodels, first_places};

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
            let (depths, trees) = (ini.usize("depth")?, ini.usize("ntrees")?);
            let mut rules = RuleReader::new(reader, head, &linear);
            // Each tree needs a key: a claim of more trees than there are ends at the first one.
            for depth in 0..if trees == 0 { 0 } else { depths } {
                for tree in 0..trees {
                    columns.extend(rules.tree(depth, tree)?);
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
        let linear = Box::new(linear.answering(head, "linear_model")?);
        Ok(Self { linear, columns, with_row, places })
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
        let mut row = std::mem::take(&mut scratch.point);
        row.clear();
        row.resize(self.linear.width, 0.0);
        let made = self.columns.iter().map(|column| {
            let rules = column.as_ref().ok_or_else(|| RowError {
                kind: RowErrorKind::Model,
                column: None,
                message: "a class of the response has no rules".to_owned(),
            })?;
            let last = rules.iter().rev().find(|rule| rule.holds(raw));
            Ok(last.map_or(f64::NAN, |rule| rule.level))
        });
        let own = if self.with_row { raw } else { &[] };
        let made = made.chain(own.iter().map(|&value| Ok(value))).enumerate();
        let filled = made.map(|(i, value)| {
            let value = value?;
            // The linear model may have no use for the last ones.
            if let Some(&place) = self.places.get(i) {
                row[place] = value;
            }
            Ok(())
        });
        let scored = filled
            .collect::<Result<(), _>>()
            .and_then(|()| self.linear.score_row(&row, 0.0, preds, scratch));
        scratch.point = row;
        scored
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
            linear.place_of_feature(name).ok_or_else(|| LoadError::BadValue {
                key,
                found: crate::ini::shorten(name),
                expected: "a column of the linear model".to_owned(),
            })
        })
        .collect()
}

/// Reads trees, one after the other.
struct RuleReader<'a, 'r> {
    reader: &'a Reader<'a, 'r>,
    head: &'a Head,
    linear: &'a Submodel,
    /// Code of each level, for the columns of the linear model that a rule was met for.
    codes: HashMap<usize, HashMap<&'a str, usize>>,
    /// Columns, rules, conditions and levels that may still be kept: a rule can belong to every
    /// class, and so take more room than the file.
    left: usize,
}

impl<'a, 'r> RuleReader<'a, 'r> {
    fn new(reader: &'a Reader<'a, 'r>, head: &'a Head, linear: &'a Submodel) -> Self {
        let left = reader.limits().columns_max;
        Self { reader, head, linear, codes: HashMap::new(), left }
    }

    fn keep(&mut self, n: usize) -> Result<(), LoadError> {
        let limit = self.reader.limits().columns_max;
        self.left = self.left.checked_sub(n).ok_or_else(|| LoadError::Limit {
            what: "the number of rules with their conditions, class by class,".to_owned(),
            found: (limit as u64).saturating_add(n as u64),
            limit: limit as u64,
            name: "columns_max",
        })?;
        Ok(())
    }

    /// The columns of a tree.
    fn tree(&mut self, depth: usize, tree: usize) -> Result<Vec<RuleColumn>, LoadError> {
        let (reader, head) = (self.reader, self.head);
        let n_rules = reader.ini().usize(&format!("num_rules_M{depth}T{tree}"))?;
        let classes =
            head.domains.last().and_then(Option::as_ref).filter(|levels| levels.len() > 2);
        self.keep(classes.map_or(1, Vec::len))?;
        let Some(classes) = classes else {
            let rules = (0..n_rules).map(|k| self.rule(&format!("{depth}_{tree}_{k}"), None));
            return Ok(vec![Some(rules.collect::<Result<_, _>>()?)]);
        };
        let mut columns: Vec<RuleColumn> = classes.iter().map(|_| None).collect();
        for k in 0..n_rules {
            let id = format!("{depth}_{tree}_{k}");
            let variable = reader.ini().required_text(&format!("var_name_rule_id_{id}"))?;
            for (class, (column, level)) in columns.iter_mut().zip(classes).enumerate() {
                if variable.ends_with(level.as_str()) {
                    let rule = self.rule(&id, Some(class))?;
                    column.get_or_insert_default().push(rule);
                }
            }
        }
        Ok(columns)
    }

    fn rule(&mut self, id: &str, class: Option<usize>) -> Result<Rule, LoadError> {
        let ini = self.reader.ini();
        let n_conditions = ini.usize(&format!("num_conditions_rule_id_{id}"))?;
        self.keep(1)?;
        let conditions = (0..n_conditions)
            .map(|i| self.condition(&format!("{i}_{id}")))
            .collect::<Result<_, _>>()?;
        let key = format!("var_name_rule_id_{id}");
        let variable = ini.required_text(&key)?;
        // `M1T5N18_dog` is a level of the column `M1T5`, of class 3 `M1T5C3`.
        let stem = variable.split_once('N').map(|(stem, _)| stem);
        let column = stem.map(|stem| match class {
            Some(class) => format!("{stem}C{class}"),
            None => stem.to_owned(),
        });
        let linear = self.linear;
        let domain = column
            .and_then(|column| linear.place_of(&column))
            .and_then(|place| Some((place, linear.domains.get(place)?.as_ref()?)));
        let Some((place, domain)) = domain else {
            return Err(LoadError::BadValue {
                key,
                found: crate::ini::shorten(variable),
                expected: "a level of a categorical column of the linear model".to_owned(),
            });
        };
        let codes = self.codes.entry(place).or_insert_with(|| first_places(domain));
        let level = codes.get(variable).copied();
        Ok(Rule { conditions, level: level.map_or(f64::NAN, |level| level as f64) })
    }

    fn condition(&mut self, id: &str) -> Result<Condition, LoadError> {
        let ini = self.reader.ini();
        let key = format!("feature_index_{id}");
        let column = ini.usize(&key)?;
        if column >= self.head.n_features {
            return Err(LoadError::BadValue {
                key,
                found: column.to_string(),
                expected: format!("below {}, the number of columns", self.head.n_features),
            });
        }
        self.keep(1)?;
        let operator = ini.usize(&format!("operator_{id}"))?;
        let test = if ini.usize(&format!("type_{id}"))? == 0 {
            let n_levels = ini.usize(&format!("cat_treshold_length_{id}"))?;
            let levels = (0..n_levels)
                .map(|i| {
                    self.keep(1)?;
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
}
