//! Mage projects: pipelines as `metadata.yaml` declares them, blocks and their files.
//!
//! Source: `Pipeline.__load_from_config_file` and `Block` of mage-ai (2026-08): which keys are read.

use crate::platform::at::At;
use crate::platform::yaml::Node;

/// Folders of block code, and the type whose code lies there.
pub(crate) const FOLDERS: [(&str, &str); 9] = [
    ("data_loaders", "data_loader"),
    ("transformers", "transformer"),
    ("data_exporters", "data_exporter"),
    ("custom", "custom"),
    ("sensors", "sensor"),
    ("scratchpads", "scratchpad"),
    ("callbacks", "callback"),
    ("conditionals", "conditional"),
    ("extensions", "extension"),
];

/// A pipeline.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) uuid: String,
    /// `python`, `streaming`, `integration`, `pyspark`.
    pub(crate) kind: String,
    pub(crate) blocks: Vec<Block>,
    pub(crate) root: Node,
}

/// A block as a pipeline uses it.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) uuid: String,
    pub(crate) kind: String,
    pub(crate) language: String,
    pub(crate) upstream: Vec<String>,
    pub(crate) downstream: Vec<String>,
    pub(crate) at: At,
    pub(crate) node: Node,
}

impl Block {
    /// Whether each item that it yields becomes a run of the blocks after it.
    pub(crate) fn is_dynamic(&self) -> bool {
        let Some(dynamic) = self.node.path(&["configuration", "dynamic"]) else { return false };
        dynamic.boolean() == Some(true) || !dynamic.entries().is_empty()
    }

    /// Where its code lies below the project, as far as the pipeline says it.
    pub(crate) fn file(&self) -> Option<String> {
        let stated = self.node.path(&["configuration", "file_source", "path"]).and_then(Node::text);
        if let Some(path) = stated {
            return Some(path.trim_start_matches("./").to_owned());
        }
        let folder = FOLDERS.iter().find(|(_, kind)| *kind == self.kind)?.0;
        let end = match self.language.as_str() {
            "python" => "py",
            "sql" => "sql",
            "r" => "r",
            "yaml" => "yaml",
            _ => return None,
        };
        Some(format!("{folder}/{}.{end}", self.uuid))
    }
}

/// The pipeline that a `metadata.yaml` declares; `None` if it declares none.
pub(crate) fn pipeline(root: &Node) -> Option<Pipeline> {
    let blocks = root.get("blocks")?;
    let uuid = root.get("uuid").or(root.get("name")).and_then(Node::text)?;
    let kind = root.get("type").and_then(Node::text).unwrap_or("python");
    Some(Pipeline {
        uuid: uuid.to_owned(),
        kind: kind.to_owned(),
        blocks: blocks.items().iter().filter_map(block).collect(),
        root: root.clone(),
    })
}

fn block(node: &Node) -> Option<Block> {
    let uuid = node.get("uuid")?;
    let text = |key| node.get(key).and_then(Node::text);
    let list = |key| -> Vec<String> {
        let items = node.get(key).into_iter().flat_map(Node::items);
        items.filter_map(Node::text).map(str::to_owned).collect()
    };
    Some(Block {
        uuid: uuid.text()?.to_owned(),
        kind: text("type").unwrap_or_default().to_owned(),
        // Blocks of old projects do not say it.
        language: text("language").unwrap_or("python").to_owned(),
        upstream: list("upstream_blocks"),
        downstream: list("downstream_blocks"),
        at: uuid.at,
        node: node.clone(),
    })
}

/// Keys of `concurrency_config` that Mage takes; another one stops its scheduler with a `TypeError`.
pub(crate) const CONCURRENCY_KEYS: [&str; 4] = [
    "block_run_limit",
    "pipeline_run_limit",
    "pipeline_run_limit_all_triggers",
    "on_pipeline_run_limit_reached",
];

/// The folder of a path that makes it a block's file: folder, project root, rest.
pub(crate) fn block_folder(path: &str) -> Option<(&'static str, &str)> {
    FOLDERS.iter().find_map(|(folder, _)| {
        if let Some(rest) = path.strip_prefix(folder).filter(|rest| rest.starts_with('/')) {
            return Some((*folder, &path[..path.len() - rest.len() - folder.len()]));
        }
        let inner = ["/", folder, "/"].concat();
        path.rfind(&inner).map(|at| (*folder, &path[..=at]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIPELINE: &str = "blocks:\n- configuration:\n    dynamic: true\n  downstream_blocks: [b]\n  language: python\n  type: data_loader\n  upstream_blocks: []\n  uuid: a\n- type: transformer\n  uuid: b\n  upstream_blocks: [a]\n  configuration: {file_source: {path: custom/shared/b.py}}\nname: p\ntype: python\nuuid: p\n";

    #[test]
    fn reads_a_pipeline() {
        let pipeline = pipeline(&crate::platform::yaml::parse(PIPELINE).roots[0]).unwrap();
        let [a, b] = &pipeline.blocks[..] else { panic!("two blocks") };
        assert!(a.is_dynamic() && !b.is_dynamic());
        assert_eq!(
            (a.file().unwrap().as_str(), b.file().unwrap().as_str()),
            ("data_loaders/a.py", "custom/shared/b.py")
        );
        assert_eq!((a.at, &b.upstream[..]), (At::new(8, 9), &["a".to_owned()][..]));
    }

    #[test]
    fn finds_the_project_of_a_file() {
        assert_eq!(block_folder("data_loaders/a.py"), Some(("data_loaders", "")));
        assert_eq!(block_folder("x/y/custom/s/a.py"), Some(("custom", "x/y/")));
        assert_eq!(block_folder("x/customs/a.py"), None);
    }
}
