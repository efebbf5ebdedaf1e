//! Explanations of a row's answer: the leaf in each tree, the answer after each group of trees, the
//! contribution of each column.
//!
//! | | `leaf_paths`, `leaf_ids` | `staged` | `contributions` |
//! | --- | --- | --- | --- |
//! | gbm, drf | yes, ids from MOJO 1.30 on, paths from 1.20 on | yes | regression, two classes; from 1.20 on |
//! | isolationforest, upliftdrf | yes | yes | no |
//! | xgboost | trees, not gblinear | no | regression, two classes; not gblinear |
//! | glm | no | no | regression, two classes (ours: genmodel has none) |
//!
//! Contributions and their bias add up to the margin: for GBM what goes into the inverse link,
//! without the row's offset; for DRF the answer (two classes: the second one's probability); for
//! XGBoost what goes into the objective, with the base score even where an offset takes its place;
//! for GLM the linear predictor, in which the row's offset is a term of its own, called as its column.
//! genmodel's exceptions are ours: trees of a single leaf contribute nothing, not even to the bias;
//! dart's weights are passed over; a DRF of two classes spreads a 1 over the variables of its
//! importance table and the bias, which only adds up if these are the ones that do something.
//! Sources: `ContributionsPredictor`, `DrfMojoModel.ContributionsPredictorDRF`,
//! `ContributionComposer`.

use std::ops::Range;

use crate::batch::{LeafAssignment, Options};
use crate::details::VariableImportance;
use crate::head::Head;
use crate::schema::{Column, Kind, Role, Schema};
use crate::scorer::{Algorithm, Scorer};
use crate::tree::shap;
use crate::xgboost::{self, XGBoost};

/// Which explanations a model has: the names of their numbers, or the reason why there are none.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Offers {
    /// Names of [`crate::Batch::contributions`].
    pub contributions: Result<Vec<String>, String>,
    /// Names of [`crate::Batch::leaf_paths`].
    pub leaf_paths: Result<Vec<String>, String>,
    /// Names of [`crate::Batch::leaf_ids`].
    pub leaf_ids: Result<Vec<String>, String>,
    /// Names of [`crate::Batch::staged`].
    pub staged: Result<Vec<String>, String>,
    /// Names of [`crate::Batch::distances`].
    pub distances: Result<Vec<String>, String>,
    /// Names of calibrated probabilities.
    pub calibrated: Result<Vec<String>, String>,
}

/// What one model can explain.
#[derive(Debug)]
pub(crate) struct Explainer {
    contributions: Result<Contributions, String>,
    leaf_paths: Result<(), String>,
    leaf_ids: Result<(), String>,
    staged: Result<(), String>,
}

#[derive(Debug)]
struct Contributions {
    /// Columns of the raw row, and how many contributions each has.
    columns: Vec<(String, usize)>,
    /// The margin of no tree.
    init: f32,
    /// What becomes of sums that are not 0: `share + sum / divisor`.
    average: Option<(f32, f32)>,
    /// Whether the row's offset is the last column.
    has_offset: bool,
}

impl Contributions {
    /// The bias included.
    fn len(&self) -> usize {
        self.columns.iter().map(|(_, n)| n).sum::<usize>() + 1
    }
}

impl Explainer {
    /// `names`: columns of the raw row.
    pub(crate) fn new(
        scorer: &Scorer,
        head: &Head,
        names: &[String],
        schema: &Schema,
        importances: &[VariableImportance],
    ) -> Self {
        let (leaf_paths, leaf_ids, staged) = match &scorer.algorithm {
            Algorithm::XGBoost(xgboost) => {
                let trees = xgboost.tree_names().map(|_| ());
                (trees.clone(), trees, Err("XGBoost has no staged answers".to_owned()))
            }
            algorithm => match scorer.forest() {
                Some((forest, _)) => {
                    let paths = if head.mojo_version < 1.2 {
                        let version = head.mojo_version;
                        Err(format!(
                            "leaf paths need MOJO version 1.20 or later, this one is {version:.2}"
                        ))
                    } else if !forest.is_whole() {
                        Err("a class has no trees: training did not see it".to_owned())
                    } else {
                        Ok(())
                    };
                    let ids = paths.clone().and_then(|()| forest.leaf_ids());
                    (paths, ids, stages_fit(forest.groups().saturating_mul(forest.classes())))
                }
                None => {
                    let reason = format!("a model of {} has no trees", algorithm.name());
                    (Err(reason.clone()), Err(reason.clone()), Err(reason))
                }
            },
        };
        let contributions = contributions(scorer, head, names, schema, importances);
        Self { contributions, leaf_paths, leaf_ids, staged }
    }

    pub(crate) fn offers_contributions(&self) -> Result<(), String> {
        self.offered().map(|_| ())
    }

    pub(crate) fn offers_leaf_paths(&self) -> Result<(), String> {
        self.leaf_paths.clone()
    }

    pub(crate) fn offers_leaf_ids(&self) -> Result<(), String> {
        self.leaf_ids.clone()
    }

    pub(crate) fn offers_staged(&self) -> Result<(), String> {
        self.staged.clone()
    }

    pub(crate) fn contribution_names(&self, schema: &Schema) -> Result<Vec<String>, String> {
        let mut names = Vec::new();
        // By place: of two columns of one name each has its own levels.
        for (place, (column, n)) in self.offered()?.columns.iter().enumerate() {
            match schema.columns().get(place) {
                Some(Column { levels, .. }) if *n > 1 => {
                    names.extend(levels.iter().map(|level| format!("{column}.{level}")));
                    names.push(format!("{column}.missing(NA)"));
                }
                _ => names.push(column.clone()),
            }
        }
        names.push(BIAS.to_owned());
        Ok(names)
    }

    pub(crate) fn compact_names(&self) -> Result<Vec<String>, String> {
        let columns = self.offered()?.columns.iter().map(|(name, _)| name.clone());
        Ok(columns.chain([BIAS.to_owned()]).collect())
    }

    pub(crate) fn compact(&self, contributions: &[f32]) -> Vec<f32> {
        let columns = self.offered().map(|offered| offered.columns.as_slice()).unwrap_or_default();
        let mut rest = contributions;
        let mut sums = Vec::with_capacity(columns.len() + 1);
        for (_, n) in columns {
            let (column, others) = rest.split_at(*n);
            sums.push(column.iter().fold(0.0, |sum, x| sum + x));
            rest = others;
        }
        assert_eq!(rest.len(), 1, "the bias is left");
        sums.extend(rest);
        sums
    }

    fn offered(&self) -> Result<&Contributions, String> {
        self.contributions.as_ref().map_err(Clone::clone)
    }

    /// What of the options this model can do.
    pub(crate) fn plan(&self, scorer: &Scorer, options: Options) -> Plan {
        let contributions = self.contributions.as_ref().map_or(0, Contributions::len);
        let trees = match options.leaf_assignment {
            Some(LeafAssignment::Paths) => self.leaf_paths.is_ok(),
            Some(LeafAssignment::Ids) => self.leaf_ids.is_ok(),
            None => false,
        };
        let stages = scorer.forest().map_or(0, |(f, _)| f.groups() * f.classes());
        Plan {
            contributions: if options.contributions { contributions } else { 0 },
            trees: if trees { scorer.algorithm.trees().unwrap_or(0) } else { 0 },
            leaves: options.leaf_assignment,
            stages: if options.staged && self.staged.is_ok() { stages } else { 0 },
        }
    }

    /// Contributions of more rows, those without an answer included: what they have in common is
    /// computed once.
    ///
    /// `raw`: row-major, rows x columns; `offsets`: one per row.
    pub(crate) fn contribute(
        &self,
        scorer: &Scorer,
        raw: &[f64],
        offsets: &[f64],
        out: &mut Explanations,
        scratch: &mut xgboost::Scratch,
    ) {
        let len = out.plan.contributions;
        let Some(offered) = self.contributions.as_ref().ok().filter(|_| len > 0) else { return };
        let (start, width) = (out.contributions.len(), scorer.width);
        out.contributions.resize(start + raw.len() / width * len, 0.0);
        let phi = &mut out.contributions[start..];
        phi.iter_mut().skip(len - 1).step_by(len).for_each(|bias| *bias = offered.init);
        match (&scorer.algorithm, scorer.forest()) {
            (Algorithm::XGBoost(xgboost), _) => {
                xgboost.contribute(raw, width, phi, len, scratch, &mut out.shap);
            }
            (_, Some((forest, _))) => forest.contribute(raw, width, phi, len, &mut out.shap),
            (Algorithm::Glm(glm), _) => {
                let rows = raw.chunks_exact(width).zip(phi.chunks_exact_mut(len));
                rows.for_each(|(raw, phi)| glm.contribute(raw, phi));
            }
            _ => {}
        }
        if offered.has_offset {
            for (phi, &offset) in phi.chunks_exact_mut(len).zip(offsets) {
                phi.swap(len - 2, len - 1);
                phi[len - 2] = offset as f32;
            }
        }
        if let Some((share, divisor)) = offered.average {
            for sum in phi.iter_mut().filter(|sum| **sum != 0.0) {
                *sum = share + *sum / divisor;
            }
        }
    }

    /// Leaves and stages of one more row; `None` is a row without an answer, which gets a place only.
    pub(crate) fn explain(
        scorer: &Scorer,
        raw: Option<&[f64]>,
        out: &mut Explanations,
        scratch: &mut xgboost::Scratch,
    ) {
        let plan = out.plan;
        let Some(raw) = raw else {
            out.skip();
            return;
        };
        if plan.trees > 0 {
            out.assign(scorer, raw, scratch);
        }
        if let (Some((forest, first)), 1..) = (scorer.forest(), plan.stages) {
            let (stages, mut preds) = (&mut out.stages, vec![0.0; scorer.preds_len]);
            forest.stages(raw, |sums| {
                preds.fill(0.0);
                preds[first..][..sums.len()].copy_from_slice(sums);
                scorer.unify(&mut preds, 0.0);
                stages.extend_from_slice(&preds[first..][..sums.len()]);
            });
        }
    }
}

/// Numbers of a row's staged answers. Classes without trees have them too, and their number comes
/// from the file.
const STAGES_MAX: usize = 1 << 24;

fn stages_fit(stages: usize) -> Result<(), String> {
    if stages <= STAGES_MAX {
        return Ok(());
    }
    Err(format!("a row's staged answers would be {stages} numbers, at most {STAGES_MAX}"))
}

/// Name of the last contribution.
const BIAS: &str = "BiasTerm";

pub(crate) fn tree_names(scorer: &Scorer) -> Vec<String> {
    match &scorer.algorithm {
        Algorithm::XGBoost(xgboost) => xgboost.tree_names().unwrap_or_default(),
        _ => scorer.forest().map(|(f, _)| f.tree_names()).unwrap_or_default(),
    }
}

pub(crate) fn stage_names(scorer: &Scorer) -> Vec<String> {
    scorer.forest().map(|(forest, _)| forest.stage_names()).unwrap_or_default()
}

fn contributions(
    scorer: &Scorer,
    head: &Head,
    names: &[String],
    schema: &Schema,
    importances: &[VariableImportance],
) -> Result<Contributions, String> {
    let algorithm = &scorer.algorithm;
    if let Algorithm::Glm(glm) = algorithm {
        glm.explains()?;
        let offset = schema.offset().map(|place| (schema.columns()[place].name.clone(), 1));
        let has_offset = offset.is_some();
        let columns = names.iter().map(|name| (name.clone(), 1)).chain(offset).collect();
        return Ok(Contributions { columns, init: 0.0, average: None, has_offset });
    }
    if !matches!(algorithm, Algorithm::Gbm(_) | Algorithm::Drf(_) | Algorithm::XGBoost(_)) {
        return Err(format!(
            "contributions are for gbm, drf, xgboost and glm, not {}",
            algorithm.name()
        ));
    }
    if head.n_classes > 2 {
        return Err(format!("contributions are for one margin, here are {}", head.n_classes));
    }
    let plain = || names.iter().map(|name| (name.clone(), 1)).collect();
    match algorithm {
        Algorithm::XGBoost(xgboost) => {
            xgboost.explains()?;
            let columns = one_hot_columns(xgboost, names, schema)?;
            let init = xgboost.base_margin();
            Ok(Contributions { columns, init, average: None, has_offset: false })
        }
        Algorithm::Drf(drf) if drf.double_trees => {
            Err("contributions are for one tree per group, this DRF has two \
                 (binomial_double_trees)"
                .to_owned())
        }
        Algorithm::Drf(drf) => {
            drf.forest.explains()?;
            let groups = drf.forest.groups() as f32;
            let average = if head.n_classes == 1 {
                (0.0, groups)
            } else {
                if importances.is_empty() {
                    return Err(
                        "the MOJO does not hold its variable importances, whose number the \
                                contributions of a DRF of two classes depend on"
                            .to_owned(),
                    );
                }
                let used = importances.iter().filter(|v| v.relative != 0.0).count();
                (1.0 / (used + 1) as f32, -groups)
            };
            let average = Some(average);
            Ok(Contributions { columns: plain(), init: 0.0, average, has_offset: false })
        }
        Algorithm::Gbm(gbm) if gbm.forest.classes() != 1 => {
            Err("contributions are for one tree per group".to_owned())
        }
        Algorithm::Gbm(gbm) => {
            gbm.forest.explains()?;
            let init = gbm.init as f32;
            Ok(Contributions { columns: plain(), init, average: None, has_offset: false })
        }
        _ => Err("contributions are for gbm, drf, xgboost and glm".to_owned()),
    }
}

/// A categorical column has a contribution for each level, and one for missing values.
fn one_hot_columns(
    xgboost: &XGBoost,
    names: &[String],
    schema: &Schema,
) -> Result<Vec<(String, usize)>, String> {
    let features = schema.columns().iter().filter(|column| column.role == Role::Feature);
    let own: Vec<(String, usize)> = features
        .map(|column| {
            let levels = if column.kind == Kind::Categorical { column.levels.len() } else { 0 };
            (column.name.clone(), levels + 1)
        })
        .collect();
    let is_same = own.iter().map(|(name, _)| name).eq(names)
        && own.iter().map(|(_, n)| *n).eq(xgboost.blocks());
    if is_same {
        Ok(own)
    } else {
        Err("the booster's columns are not the model's levels: they have no names".to_owned())
    }
}

/// How many numbers a row gets; 0 where nothing is asked or offered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    contributions: usize,
    trees: usize,
    leaves: Option<LeafAssignment>,
    stages: usize,
}

/// Explanations of the rows of a batch, row-major.
#[derive(Debug, Default)]
pub(crate) struct Explanations {
    plan: Plan,
    contributions: Vec<f32>,
    /// Letters of all paths.
    letters: String,
    /// Where the next path starts.
    start: usize,
    paths: Vec<Option<Range<usize>>>,
    ids: Vec<i32>,
    stages: Vec<f64>,
    shap: shap::Scratch,
}

impl Explanations {
    pub(crate) fn new(plan: Plan) -> Self {
        Self { plan, ..Self::default() }
    }

    /// Whether there is nothing to explain.
    pub(crate) fn is_idle(&self) -> bool {
        let Plan { contributions, trees, stages, .. } = self.plan;
        contributions + trees + stages == 0
    }

    pub(crate) fn clear(&mut self) {
        self.contributions.clear();
        self.letters.clear();
        self.start = 0;
        self.paths.clear();
        self.ids.clear();
        self.stages.clear();
    }

    fn skip(&mut self) {
        let Plan { trees, stages, leaves, .. } = self.plan;
        self.stages.resize(self.stages.len() + stages, f64::NAN);
        match leaves {
            Some(LeafAssignment::Paths) => self.paths.resize(self.paths.len() + trees, None),
            Some(LeafAssignment::Ids) => self.ids.resize(self.ids.len() + trees, -1),
            None => {}
        }
    }

    fn assign(&mut self, scorer: &Scorer, raw: &[f64], scratch: &mut xgboost::Scratch) {
        let wants_paths = self.plan.leaves == Some(LeafAssignment::Paths);
        let step = |out: &mut Self, right| {
            if wants_paths {
                out.letters.push(if right { 'R' } else { 'L' });
            }
        };
        let end = |out: &mut Self, id| {
            if wants_paths {
                out.paths.push(Some(out.start..out.letters.len()));
                out.start = out.letters.len();
            } else {
                out.ids.push(id);
            }
        };
        if let Algorithm::XGBoost(xgboost) = &scorer.algorithm {
            xgboost.leaves(raw, scratch, self, step, end);
        }
        for leaf in scorer.forest().into_iter().flat_map(|(f, _)| f.leaves(raw)) {
            match leaf.path {
                Some(bits) => {
                    (0..bits.ilog2()).for_each(|i| step(self, bits >> i & 1 != 0));
                    end(self, leaf.id);
                }
                None if wants_paths => self.paths.push(None),
                None => self.ids.push(leaf.id),
            }
        }
    }

    /// The numbers of each row: contributions, stages; and its trees by path, by id.
    pub(crate) fn lens(&self) -> (usize, usize, [usize; 2]) {
        let Plan { contributions, trees, stages, leaves } = self.plan;
        let leaves = match leaves {
            Some(LeafAssignment::Paths) => [trees, 0],
            Some(LeafAssignment::Ids) => [0, trees],
            None => [0, 0],
        };
        (contributions, stages, leaves)
    }

    /// Adds a row that somebody else has explained; all slices as long as [`Explanations::lens`]
    /// says.
    pub(crate) fn push<'a>(
        &mut self,
        contributions: impl Iterator<Item = f32>,
        stages: impl Iterator<Item = f64>,
        ids: impl Iterator<Item = i32>,
        paths: impl Iterator<Item = Option<&'a str>>,
    ) {
        self.contributions.extend(contributions);
        self.stages.extend(stages);
        self.ids.extend(ids);
        for path in paths {
            self.letters.push_str(path.unwrap_or_default());
            self.paths.push(path.map(|_| self.start..self.letters.len()));
            self.start = self.letters.len();
        }
    }

    pub(crate) fn contributions(&self, row: usize) -> Option<&[f32]> {
        slice(&self.contributions, self.plan.contributions, row)
    }

    pub(crate) fn stages(&self, row: usize) -> Option<&[f64]> {
        slice(&self.stages, self.plan.stages, row)
    }

    pub(crate) fn leaf_ids(&self, row: usize) -> Option<&[i32]> {
        slice(&self.ids, self.plan.trees, row)
    }

    pub(crate) fn leaf_paths(&self, row: usize) -> Option<LeafPaths<'_>> {
        let paths = slice(&self.paths, self.plan.trees, row)?;
        Some(LeafPaths { letters: &self.letters, paths })
    }
}

fn slice<T>(all: &[T], len: usize, row: usize) -> Option<&[T]> {
    let start = row.checked_mul(len)?;
    all.get(start..start.checked_add(len)?).filter(|slice| !slice.is_empty())
}

/// The path to a leaf in each tree, `L` and `R` from the root; `None` where genmodel gives none, as
/// the path has more than 63 steps (or 62 and 63 that go right from the 53rd on).
#[derive(Debug, Clone)]
pub struct LeafPaths<'a> {
    letters: &'a str,
    paths: &'a [Option<Range<usize>>],
}

impl<'a> Iterator for LeafPaths<'a> {
    type Item = Option<&'a str>;

    fn next(&mut self) -> Option<Self::Item> {
        let (first, rest) = self.paths.split_first()?;
        self.paths = rest;
        Some(first.as_ref().and_then(|path| self.letters.get(path.clone())))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.paths.len(), Some(self.paths.len()))
    }
}

impl ExactSizeIterator for LeafPaths<'_> {}

/// Places of the contributions that matter most, then that of the bias.
///
/// `contributions`: one row's, the bias last. `top`, `bottom`: how many of the largest and of the
/// smallest to take, `None` for all; the smallest come last, the smallest of all first among them.
/// `by_magnitude`: compare without the sign. If `top` and `bottom` together are all there are, or
/// either is `None` beside the other, all come, the largest first; with `bottom` alone the smallest
/// first. Equal ones keep the order of the columns, but from the bottom.
///
/// Source: `ContributionComposer`, `ArrayUtils.sort`.
pub fn rank_contributions(
    contributions: &[f32],
    top: Option<usize>,
    bottom: Option<usize>,
    by_magnitude: bool,
) -> Vec<usize> {
    let len = contributions.len();
    let key = |place: usize| {
        let x = contributions[place];
        if by_magnitude { x.abs() } else { x }
    };
    let sorted = |sign: f32| {
        let mut places: Vec<usize> = (0..len).collect();
        sort(&mut places[..len.saturating_sub(1)], |place| key(place) * sign);
        places
    };
    let first = |mut places: Vec<usize>, n: Option<usize>| {
        if let Some(n) = n.filter(|n| *n < len) {
            let bias = places[len - 1];
            places.truncate(n);
            places.push(bias);
        }
        places
    };
    match (top, bottom) {
        (top, Some(0)) if top != Some(0) => first(sorted(-1.0), top),
        (Some(0), bottom) if bottom != Some(0) => first(sorted(1.0), bottom),
        (Some(top), Some(bottom)) if top.saturating_add(bottom) < len => {
            let places = sorted(-1.0);
            let mut last = places[len - 1 - bottom..len - 1].to_vec();
            for i in 0..bottom / 2 {
                // Equal ones stay where they are.
                if contributions[last[i]] != contributions[last[bottom - 1 - i]] {
                    last.swap(i, bottom - 1 - i);
                }
            }
            [&places[..top], &last, &places[len - 1..]].concat()
        }
        _ => sorted(-1.0),
    }
}

/// Up to 500 places by insertion, for which NaN is never larger; more by Java's order of floats.
fn sort(places: &mut [usize], key: impl Fn(usize) -> f32) {
    if places.len() < 500 {
        for i in 0..places.len() {
            let mut j = i;
            while j > 0 && key(places[j - 1]) > key(places[j]) {
                places.swap(j, j - 1);
                j -= 1;
            }
        }
        return;
    }
    // `Float.compare`: -0.0 is below 0.0, all NaN are one and above infinity.
    let canonical = |x: f32| if x.is_nan() { f32::NAN } else { x };
    places.sort_by(|&a, &b| canonical(key(a)).total_cmp(&canonical(key(b))));
}

#[cfg(test)]
mod tests {
    use super::*;

    type Ask = (Option<usize>, Option<usize>, bool);

    #[test]
    fn ranks_as_genmodels_composer() {
        let row = [1.0, -5.0, 3.0, 3.0, 0.0, 100.0];
        let table: [(Ask, &[usize]); 11] = [
            ((Some(2), Some(0), false), &[2, 3, 5]),
            ((Some(2), Some(0), true), &[1, 2, 5]),
            ((Some(0), Some(2), false), &[1, 4, 5]),
            ((Some(0), Some(0), false), &[5]),
            ((Some(1), Some(2), false), &[2, 1, 4, 5]),
            ((Some(3), Some(3), false), &[2, 3, 0, 4, 1, 5]),
            ((None, Some(0), false), &[2, 3, 0, 4, 1, 5]),
            ((Some(0), None, false), &[1, 4, 0, 2, 3, 5]),
            ((Some(9), Some(0), false), &[2, 3, 0, 4, 1, 5]),
            ((Some(5), Some(0), false), &[2, 3, 0, 4, 1, 5]),
            ((None, None, true), &[1, 2, 3, 0, 4, 5]),
        ];
        for ((top, bottom, by_magnitude), expected) in table {
            let found = rank_contributions(&row, top, bottom, by_magnitude);
            assert_eq!(found, expected, "{top:?} {bottom:?} {by_magnitude}");
        }
        // Both 3.0 at the bottom: they keep their order.
        assert_eq!(
            rank_contributions(&[3.0, 3.0, 4.0, 9.0], Some(1), Some(2), false),
            [2, 0, 1, 3]
        );
        assert!(rank_contributions(&[], Some(1), Some(0), false).is_empty());
    }

    #[test]
    fn long_rows_are_sorted_in_javas_order_of_floats() {
        let mut row = vec![1.0; 600];
        (row[7], row[8], row[9]) = (-0.0, 0.0, f32::NAN);
        let found = rank_contributions(&row, Some(0), Some(2), false);
        assert_eq!(found, [7, 8, 599]);
        assert_eq!(rank_contributions(&row, Some(0), None, false)[598], 9);
    }
}
