"""Forests that all engines score: grown from a fixed seed, written in each engine's format.

    forests.py FOLDER NAME

grows the forest NAME into FOLDER: `rows.f64` (20,000 rows, 32 columns of f32 values, 6 of them 5 % NaN, as little-endian doubles),
`model.zip` (a MOJO), `twice.zip` (one with every tree twice), `xgboost.json`, `lightgbm.txt`, `model.onnx`, and by compilers
`lleaves.o` and `tl2cgen.so`, where they finish in bearable time. Every format holds the same trees:

    left if x < threshold (f32), NaN to the side that the node names; answer = f64 sum of f32 leaves in tree order.
"""

import json
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np

COLUMNS, MISSING = 32, range(0, 12, 2)
ROWS_TRAIN, ROWS_FOREST, ROWS = 40_000, 27_000, 20_000
# name: trees, depth, leaves of a tree at most (None: what depth and rows allow); xgb: for XGBoost alone
SHAPES = {"gbm_100_d6": (100, 6, 62), "gbm_500_d8": (500, 8, 160), "rf_50_d20": (50, 20, None),
          "xgb_300_d8": (300, 8, 105)}
# Compilers of trees need minutes for more nodes than this.
NODES_LLEAVES, NODES_TL2CGEN = 50_000, 400_000


class Tree:
    """Nodes as columns; node 0 is the root, -1 the child of a leaf; `value` is the leaf's."""

    def __init__(self, left, right, column, threshold, na_left, value, rows):
        self.left, self.right, self.column = left, right, column
        self.threshold, self.na_left, self.value, self.rows = threshold, na_left, value, rows

    def is_leaf(self, node):
        return self.left[node] < 0


def draw(seed, n):
    """Normal, uniform and rounded columns, and a target with interactions."""
    random = np.random.default_rng(seed)
    x = random.standard_normal((n, COLUMNS))
    x[:, 8:16] = random.random((n, 8))
    x[:, 24:32] = np.round(x[:, 24:32] * 20) / 20
    y = x[:, 0] * x[:, 1] + np.sin(2 * x[:, 2]) + 2 * x[:, 8] * (x[:, 3] > 0) + np.abs(x[:, 24])
    y += (x @ np.linspace(0.1, 0.3, COLUMNS)) / 3 + 0.5 * random.standard_normal(n)
    for column in MISSING:
        x[random.random(n) < 0.05, column] = np.nan
    return x.astype(np.float32), y


def above(threshold):
    """The smallest f32 above: `x <= threshold` is `x < above` for every f32 `x`.

    A split of missing values from the rest has an infinite threshold, which not every format can say: the largest f32 does it
    for all rows that are drawn.
    """
    largest = np.finfo(np.float32).max
    near = np.clip(threshold, -largest, largest).astype(np.float32)
    with np.errstate(over="ignore"):
        up = np.nextafter(near, np.float32(np.inf), dtype=np.float32)
    return np.minimum(np.where(near > threshold, near, up), largest)


def grow(name):
    trees, depth, leaves = SHAPES[name]
    x, y = draw(1, ROWS_TRAIN)
    if leaves is None:
        from sklearn.ensemble import RandomForestRegressor
        forest = RandomForestRegressor(
            trees, max_depth=depth, max_features=0.33, random_state=1)
        forest.fit(x[:ROWS_FOREST], y[:ROWS_FOREST])
        return [from_sklearn(tree.tree_, trees) for tree in forest.estimators_]
    import lightgbm
    params = {
        "objective": "regression", "num_leaves": leaves, "max_depth": depth, "learning_rate": 0.1,
        "max_bin": 2047, "min_data_in_leaf": 3, "seed": 1, "deterministic": True,
        "force_row_wise": True, "num_threads": 1, "boost_from_average": False, "verbose": -1,
    }
    booster = lightgbm.train(params, lightgbm.Dataset(x, y), trees)
    return [from_lightgbm(tree["tree_structure"]) for tree in booster.dump_model()["tree_info"]]


def from_sklearn(tree, trees):
    return Tree(tree.children_left, tree.children_right, tree.feature, above(tree.threshold),
                tree.missing_go_to_left.astype(bool), (tree.value[:, 0, 0] / trees).astype(np.float32),
                tree.n_node_samples)


def from_lightgbm(root):
    nodes, todo = [], [root]
    number = {id(root): 0}
    while todo:
        node = todo.pop()
        nodes.append(node)
        for side in ("right_child", "left_child"):
            if side in node:
                todo.append(node[side])
    number = {id(node): at for at, node in enumerate(nodes)}
    split = ["left_child" in node for node in nodes]

    def column(name, leaf, dtype):
        return np.array([node[name] if s else leaf(node) for node, s in zip(nodes, split)], dtype)

    def child(side):
        return np.array([number[id(node[side])] if s else -1 for node, s in zip(nodes, split)])

    return Tree(child("left_child"), child("right_child"), column("split_feature", lambda _: 0, int),
                above(column("threshold", lambda _: 0.0, np.float64)),
                column("default_left", lambda _: False, bool),
                np.array([node.get("leaf_value", 0.0) for node in nodes], np.float32),
                column("internal_count", lambda node: node.get("leaf_count", 0), int))


# ---- MOJO ----------------------------------------------------------------------------------------

def mojo_tree(tree):
    """Bytes of the tree, and of what its nodes weigh: H2O's own format 1.40."""
    aux = []

    def record(node):
        left, right = tree.left[node], tree.right[node]
        aux.append(struct.pack("<iiffffffii", node, 0, tree.rows[left], tree.rows[right],
                               0, 0, 0, 0, left, right))

    def subtree(node):
        record(node)
        left, right = tree.left[node], tree.right[node]
        kind, sized = 0, b""
        if tree.is_leaf(left):
            kind, below = 0x30, struct.pack("<f", tree.value[left])
        else:
            below = subtree(left)
            size = max(1, (len(below).bit_length() + 7) // 8)
            kind, sized = size - 1, len(below).to_bytes(size, "little")
        if tree.is_leaf(right):
            kind |= 0xC0
            beside = struct.pack("<f", tree.value[right])
        else:
            beside = subtree(right)
        head = struct.pack("<BHBf", kind, tree.column[node], 2 if tree.na_left[node] else 3,
                           tree.threshold[node])
        return head + sized + below + beside

    return subtree(0), b"".join(aux)


def write_mojo(path, trees):
    names = [f"x{i:02}" for i in range(COLUMNS)]
    ini = f"""[info]
h2o_version = 3.46.0.11
mojo_version = 1.40
license = Apache License Version 2.0
algo = gbm
algorithm = Gradient Boosting Machine
endianness = LITTLE_ENDIAN
category = Regression
uuid = 1
supervised = true
n_features = {COLUMNS}
n_classes = 1
n_columns = {COLUMNS + 1}
n_domains = 0
balance_classes = false
default_threshold = 0.5
prior_class_distrib = null
model_class_distrib = null
timestamp = 2026-11-26T00:00:00.000Z
escape_domain_values = true
n_trees = {len(trees)}
n_trees_per_class = 1
_genmodel_encoding = AUTO
distribution = gaussian
link_function = identity
init_f = 0.0

[columns]
""" + "\n".join(names + ["y"]) + "\n\n[domains]\n"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("model.ini", ini)
        for at, tree in enumerate(trees):
            code, aux = mojo_tree(tree)
            out.writestr(f"trees/t00_{at:03}.bin", code)
            out.writestr(f"trees/t00_{at:03}_aux.bin", aux)


# ---- peers ---------------------------------------------------------------------------------------

def pairs(tree):
    """Nodes by level, the children of a node beside each other: XGBoost walks `left + !(x < t)`."""
    order = [0]
    for node in order:
        if not tree.is_leaf(node):
            order += [tree.left[node], tree.right[node]]
    return np.array(order)


def write_xgboost(path, trees):
    import xgboost
    x, y = draw(1, 500)
    seed = xgboost.train({"base_score": 0.0, "max_depth": 1, "objective": "reg:squarederror"},
                         xgboost.DMatrix(x, y), 1)
    model = json.loads(seed.save_raw("json"))
    booster = model["learner"]["gradient_booster"]["model"]
    pattern = booster["trees"][0]
    booster["trees"] = [xgboost_tree(pattern, tree, at) for at, tree in enumerate(trees)]
    booster["tree_info"] = [0] * len(trees)
    booster["iteration_indptr"] = list(range(len(trees) + 1))
    booster["gbtree_model_param"]["num_trees"] = str(len(trees))
    path.write_text(json.dumps(model))


def xgboost_tree(pattern, tree, at):
    order = pairs(tree)
    place = np.zeros(len(order), int)
    place[order] = np.arange(len(order))
    leaf = np.array([tree.is_leaf(node) for node in order])
    left = np.where(leaf, -1, place[tree.left[order]])
    right = np.where(leaf, -1, place[tree.right[order]])
    parents = np.full(len(order), 2**31 - 1)
    parents[left[~leaf]] = parents[right[~leaf]] = np.arange(len(order))[~leaf]
    condition = np.where(leaf, tree.value[order], tree.threshold[order])
    zeros = [0.0] * len(order)
    return pattern | {
        "id": at, "left_children": left.tolist(), "right_children": right.tolist(),
        "parents": parents.tolist(),
        "split_indices": np.where(leaf, 0, tree.column[order]).tolist(),
        "split_conditions": [float(value) for value in condition],
        "default_left": (tree.na_left[order] & ~leaf).astype(int).tolist(),
        "split_type": [0] * len(order), "base_weights": [float(v) for v in tree.value[order]],
        "loss_changes": zeros, "sum_hessian": [float(rows) for rows in tree.rows[order]],
        "tree_param": pattern["tree_param"] | {"num_nodes": str(len(order))},
    }


def write_lightgbm(path, trees):
    names = " ".join(f"x{i:02}" for i in range(COLUMNS))
    infos = " ".join(["[-1e9:1e9]"] * COLUMNS)
    text = [f"tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\n"
            f"max_feature_idx={COLUMNS - 1}\nobjective=regression\nfeature_names={names}\n"
            f"feature_infos={infos}\n"]
    text += [lightgbm_tree(at, tree) for at, tree in enumerate(trees)]
    text.append("end of trees\n\nfeature_importances:\n\nparameters:\nend of parameters\n\n"
                "pandas_categorical:[]\n")
    path.write_text("\n".join(text))


def lightgbm_tree(at, tree):
    nodes = range(len(tree.left))
    leaf = np.array([tree.is_leaf(node) for node in nodes])
    number = np.where(leaf, -np.cumsum(leaf), np.cumsum(~leaf) - 1)  # leaf i is called ~i
    splits, leaves = np.flatnonzero(~leaf), np.flatnonzero(leaf)
    # `x <= t`: the next f32 below.
    threshold = np.nextafter(tree.threshold[splits], np.float32(-np.inf)).astype(float)
    has_na = np.isin(tree.column[splits], list(MISSING))
    decision = np.where(tree.na_left[splits], 2, 0) + np.where(has_na, 8, 0)

    def row(name, values):
        return f"{name}=" + " ".join(repr(value) for value in np.asarray(values).tolist())

    zeros = np.zeros(len(splits), int)
    return "\n".join([
        f"Tree={at}", f"num_leaves={len(leaves)}", "num_cat=0",
        row("split_feature", tree.column[splits]), row("split_gain", zeros),
        row("threshold", threshold), row("decision_type", decision),
        row("left_child", number[tree.left[splits]]), row("right_child", number[tree.right[splits]]),
        row("leaf_value", tree.value[leaves].astype(float)), row("leaf_weight", tree.rows[leaves]),
        row("leaf_count", tree.rows[leaves]), row("internal_value", zeros),
        row("internal_weight", tree.rows[splits]), row("internal_count", tree.rows[splits]),
        "is_linear=0", "shrinkage=1", "", ""])


def write_onnx(path, trees):
    from onnx import TensorProto, helper
    fields = {name: [] for name in ("treeids", "nodeids", "featureids", "values", "modes",
                                    "truenodeids", "falsenodeids", "missing_value_tracks_true")}
    target = {name: [] for name in ("treeids", "nodeids", "ids", "weights")}
    for at, tree in enumerate(trees):
        for node in range(len(tree.left)):
            leaf = tree.is_leaf(node)
            values = (at, node, 0 if leaf else int(tree.column[node]),
                      0.0 if leaf else float(tree.threshold[node]), "LEAF" if leaf else "BRANCH_LT",
                      0 if leaf else int(tree.left[node]), 0 if leaf else int(tree.right[node]),
                      int(tree.na_left[node] and not leaf))
            for field, value in zip(fields.values(), values):
                field.append(value)
            if leaf:
                for field, value in zip(target.values(), (at, node, 0, float(tree.value[node]))):
                    field.append(value)
    node = helper.make_node(
        "TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", n_targets=1,
        **{f"nodes_{name}": values for name, values in fields.items()},
        **{f"target_{name}": values for name, values in target.items()})
    graph = helper.make_graph(
        [node], "forest",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, COLUMNS])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])])
    opsets = [helper.make_opsetid("", 15), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    path.write_bytes(model.SerializeToString())


def compile_lleaves(path, folder):
    import lleaves
    # It counts trees by a line that LightGBM does without.
    text = (folder / "lightgbm.txt").read_text()
    sizes = " ".join(["0"] * text.count("Tree="))
    copy = folder / "lleaves.txt"
    copy.write_text(text.replace("feature_infos", f"tree_sizes={sizes}\nfeature_infos", 1))
    lleaves.Model(model_file=copy).compile(cache=path)


def compile_tl2cgen(path, folder):
    import tl2cgen
    import treelite
    model = treelite.frontend.load_xgboost_model(folder / "xgboost.json")
    # Long files of generated code take gcc minutes at -O3.
    options = [] if "100" in folder.name else ["-O1"]
    tl2cgen.export_lib(model, toolchain="gcc", libpath=path, options=options, verbose=False,
                       params={"quantize": 1, "parallel_comp": 8})


def attempt(path, write, *arguments):
    """A format whose library is missing, or does not like the forest, is left out."""
    if path.exists():
        return
    try:
        write(path, *arguments)
    except Exception as why:  # whatever a library throws
        print(f"{path.name} is left out: {type(why).__name__}: {why}", file=sys.stderr)


def main():
    folder, name = Path(sys.argv[1]), sys.argv[2]
    folder.mkdir(parents=True, exist_ok=True)
    trees = grow(name)
    nodes = sum(len(tree.left) for tree in trees)
    write_mojo(folder / "model.zip", trees)
    attempt(folder / "xgboost.json", write_xgboost, trees)
    if not name.startswith("xgb"):
        write_mojo(folder / "twice.zip", trees + trees)
        attempt(folder / "lightgbm.txt", write_lightgbm, trees)
        attempt(folder / "model.onnx", write_onnx, trees)
        if nodes <= NODES_LLEAVES:
            attempt(folder / "lleaves.o", compile_lleaves, folder)
        if nodes <= NODES_TL2CGEN:
            attempt(folder / "tl2cgen.so", compile_tl2cgen, folder)
    draw(2, ROWS)[0].astype("<f8").tofile(folder / "rows.f64")
    leaves = (nodes + len(trees)) // 2
    (folder / "shape.txt").write_text(f"{len(trees)} {nodes} {leaves}\n")


if __name__ == "__main__":
    main()
