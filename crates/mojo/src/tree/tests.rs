//! Damage in what only explanations need: the model answers as before and says what it lacks.

#[path = "../archive/forge.rs"]
#[expect(
    clippy::duplicate_mod,
    dead_code,
    reason = "stands alone to be included by tests; these need a part of it"
)]
mod forge;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use forge::{Forge, Forged};

use crate::archive::Archive;
use crate::{Batch, Cell, LeafAssignment, Limits, LoadOptions, Model, Offers, Options};

type Entries = BTreeMap<String, Vec<u8>>;

fn entries(id: &str) -> Entries {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpora/mojo");
    #[expect(clippy::disallowed_methods, reason = "the corpus lies in files")]
    let bytes = std::fs::read(root.join(id).join("model.zip")).unwrap();
    let archive = Archive::open(&bytes, &Limits::default()).unwrap();
    archive.names().map(|name| (name.to_owned(), archive.read(name).unwrap())).collect()
}

fn load(entries: &Entries) -> Option<Arc<Model>> {
    let forged = entries.iter().map(|(name, data)| Forged::stored(name, data));
    Model::load(&Forge::of(forged).bytes(), &LoadOptions::default()).ok().map(Arc::new)
}

/// Everything that there is about some rows.
#[derive(Debug, PartialEq)]
struct Told {
    preds: Vec<f64>,
    contributions: Option<Vec<f32>>,
    staged: Option<Vec<f64>>,
    ids: Option<Vec<i32>>,
    offers: Offers,
}

fn explain(model: &Arc<Model>) -> Vec<Told> {
    let leaf_assignment = Some(LeafAssignment::Ids);
    let options =
        Options { contributions: true, staged: true, leaf_assignment, ..Options::default() };
    let mut batch = Batch::new(Arc::clone(model), options);
    let width = model.schema().columns().len();
    for cell in [Cell::Absent, Cell::Level(1), Cell::Level(u32::MAX), Cell::Number(0.3)] {
        batch.push(&vec![cell; width]);
    }
    batch.score();
    (0..batch.len())
        .map(|row| Told {
            preds: batch.preds(row).to_vec(),
            contributions: batch.contributions(row).map(<[f32]>::to_vec),
            staged: batch.staged(row).map(<[f64]>::to_vec),
            ids: batch.leaf_ids(row).map(<[i32]>::to_vec),
            offers: model.offers(),
        })
        .collect()
}

const AUX: &str = "trees/t00_003_aux.bin";

#[test]
fn a_damaged_aux_entry_costs_the_explanations_only() {
    let whole = entries("gbm_bernoulli");
    let aux = &whole[AUX];
    let told = explain(&load(&whole).unwrap());
    let mut wrong_node = aux.clone();
    wrong_node[40] ^= 1;
    let table = [
        (None, "is missing"),
        (Some(Vec::new()), "damaged at byte 0: 40 more bytes expected"),
        (Some(aux[..aux.len() - 1].to_vec()), "more bytes expected"),
        (Some([aux.as_slice(), &[0]].concat()), "1 bytes more than the tree has splits"),
        (Some(wrong_node), "damaged at byte 40: a record of node"),
    ];
    for (entry, reason) in table {
        let mut damaged = whole.clone();
        match entry {
            Some(entry) => damaged.insert(AUX.to_owned(), entry),
            None => damaged.remove(AUX),
        };
        let model = load(&damaged).unwrap();
        let offers = model.offers();
        for offer in [offers.contributions, offers.leaf_ids] {
            let found = offer.unwrap_err();
            assert!(found.contains(reason) && found.contains(AUX), "{reason}: {found}");
        }
        let warnings: Vec<&str> = model.warnings().iter().map(|warning| warning.kind).collect();
        assert_eq!(warnings, ["bad_aux"]);
        for (found, told) in explain(&model).iter().zip(&told) {
            assert_eq!((&found.preds, &found.staged), (&told.preds, &told.staged));
            assert_eq!((&found.contributions, &found.ids), (&None, &None));
        }
    }
}

#[test]
fn version_1_20_has_contributions_and_no_ids() {
    let mut old = entries("gbm_bernoulli@3.20.0.8");
    let now = explain(&load(&old).unwrap());
    let ini = String::from_utf8(old["model.ini"].clone()).unwrap();
    let ini = ini.replace("mojo_version = 1.30", "mojo_version = 1.20");
    old.insert("model.ini".to_owned(), ini.into_bytes());
    let model = load(&old).unwrap();
    assert_eq!(model.mojo_version(), "1.20");
    let reason = model.offers().leaf_ids.unwrap_err();
    assert_eq!(reason, "leaf ids need MOJO version 1.30 or later, this one is 1.20");
    for (then, now) in explain(&model).iter().zip(&now) {
        assert_eq!((&then.preds, &then.contributions), (&now.preds, &now.contributions));
        assert_eq!((&then.offers.leaf_paths, &then.ids), (&now.offers.leaf_paths, &None));
    }
}

#[test]
fn the_deepest_tree_with_contributions_is_512_levels_deep() {
    // A chain of splits of the first column, `x < 0` to the right child.
    let chain = |levels: usize| {
        let (mut tree, mut aux) = (Vec::new(), Vec::new());
        for level in 0..levels {
            let is_last = level + 1 == levels;
            // Left child a leaf; the right one too, at the end.
            tree.push(0x30 | if is_last { 0x40 } else { 0 });
            tree.extend([0, 0, 3]);
            tree.extend(0.0_f32.to_le_bytes());
            tree.extend(1.0_f32.to_le_bytes());
            let number = i32::try_from(2 * level).unwrap();
            aux.extend([number, 0].map(i32::to_le_bytes).concat());
            let rest = (levels - level) as f32;
            aux.extend([1.0, rest, 0.0, 0.0, 0.0, 0.0].map(f32::to_le_bytes).concat());
            aux.extend([number + 1, number + 2].map(i32::to_le_bytes).concat());
        }
        tree.extend(2.0_f32.to_le_bytes());
        (tree, aux)
    };
    let mut deep = entries("gbm_numeric");
    for (levels, has_contributions) in [(512, true), (513, false)] {
        let (tree, aux) = chain(levels);
        deep.insert("trees/t00_003.bin".to_owned(), tree);
        deep.insert(AUX.to_owned(), aux);
        let model = load(&deep).unwrap();
        let offer = model.offers().contributions;
        assert_eq!(offer.is_ok(), has_contributions, "{offer:?}");
        assert_eq!(model.warnings(), []);
        assert_eq!(explain(&model)[0].contributions.is_some(), has_contributions);
        // Numbers of 0 and more go to the end: too long for genmodel's paths.
        assert_eq!(explain(&model)[3].ids.as_ref().unwrap()[3], -1);
    }
}

#[test]
fn own_node_weights_of_xgboost_take_the_place_of_hessians() {
    let mut model = entries("xgb_bernoulli");
    let plain = explain(&load(&model).unwrap());
    let mut try_out = |ints: &[i32], weights: &[f64]| {
        let ints = ints.iter().flat_map(|x| x.to_le_bytes());
        let weights = weights.iter().flat_map(|x| x.to_le_bytes());
        model.insert("auxNodeWeights".to_owned(), ints.chain(weights).collect());
        load(&model).unwrap()
    };
    // The root of the first tree becomes a weight that no child has a share of.
    let heavy = explain(&try_out(&[1, 1], &[1e30]));
    for (plain, heavy) in plain.iter().zip(&heavy) {
        let (before, after) =
            (plain.contributions.as_ref().unwrap(), heavy.contributions.as_ref().unwrap());
        assert_eq!(plain.preds, heavy.preds);
        assert_ne!(before.last(), after.last());
        let sum = |parts: &[f32]| parts.iter().map(|&part| f64::from(part)).sum::<f64>();
        assert!((sum(before) - sum(after)).abs() < 1e-4);
    }
    for (ints, reason) in [
        (&[1, 100_000][..], "damaged at byte 8"),
        (&[-1], "damaged at byte 4: -1 trees"),
        (&[], "damaged at byte 0"),
    ] {
        let offer = try_out(ints, &[]).offers().contributions;
        assert!(offer.as_ref().is_err_and(|found| found.contains(reason)), "{offer:?}");
    }
    let offer = try_out(&[1, 1_000], &[1.0; 1_000]).offers().contributions;
    assert!(offer.unwrap_err().starts_with("`auxNodeWeights` has 1000 nodes for "));
}

#[test]
fn flipped_bits_never_take_explanations_down() {
    for id in ["gbm_bernoulli", "drf_bin", "xgb_bernoulli", "isofor", "uplift", "extisofor"] {
        let whole = entries(id);
        let names: Vec<&String> = whole
            .keys()
            .filter(|name| name.contains("trees/") || name.contains("booster"))
            .collect();
        let mut random = 1_u64;
        let mut draw = |n: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            usize::try_from(random >> 33).unwrap() % n
        };
        let mut loaded = 0;
        for _ in 0..150 {
            let mut damaged = whole.clone();
            for _ in 0..=draw(3) {
                let bytes = damaged.get_mut(names[draw(names.len())]).unwrap();
                let at = draw(bytes.len());
                bytes[at] ^= 1 << draw(8);
            }
            if let Some(model) = load(&damaged) {
                loaded += 1;
                let told = explain(&model);
                assert!(
                    told.iter()
                        .all(|told| told.contributions.is_some()
                            == told.offers.contributions.is_ok())
                );
            }
        }
        assert!(loaded > 5, "{id}: {loaded} of 150 loaded");
    }
}

/// A model with flipped bits is another model: all kernels must agree on it, and read nothing that
/// is not there.
#[test]
fn kernels_agree_on_whatever_loads() {
    for id in ["gbm_bernoulli", "gbm_multi", "drf_bin", "isofor", "uplift"] {
        let whole = entries(id);
        let names: Vec<&String> =
            whole.keys().filter(|name| name.contains("trees/") && !name.contains("_aux")).collect();
        let mut random = 1_u64;
        let mut draw = |n: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            usize::try_from(random >> 33).unwrap() % n
        };
        let mut loaded = 0;
        for seed in 0..60 {
            let mut damaged = whole.clone();
            for _ in 0..=draw(6) {
                let bytes = damaged.get_mut(names[draw(names.len())]).unwrap();
                let at = draw(bytes.len());
                bytes[at] ^= 1 << draw(8);
            }
            if let Some(model) = load(&damaged) {
                loaded += 1;
                let (forest, _) = model.scorer.forest().unwrap();
                super::kernel::tests::agree(forest, seed);
            }
        }
        assert!(loaded > 5, "{id}: {loaded} of 60 loaded");
    }
}
