//! YAML as nodes that know their places, through anchors, in several documents.
//!
//! Never fails: a document that is no YAML is told as a fault, the next one is read again.

use std::collections::HashMap;
use std::sync::Arc;

use granit_parser::{Event, Parser, ScalarStyle, Span};

use crate::platform::at::At;

/// Nodes that one text may bring forth, aliases opened up: what a page of aliases can ask for.
const NODES_MAX: usize = 200_000;

/// What stands in a text of one or more documents.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    pub(crate) roots: Vec<Node>,
    /// Where a document breaks off, and why.
    pub(crate) faults: Vec<(At, String)>,
}

/// A value and where it stands; an alias stands where it is used, its content where it is written.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) at: At,
    pub(crate) value: Value,
}

#[derive(Debug, Clone)]
pub(crate) enum Value {
    Scalar { text: Arc<str>, plain: bool },
    List(Arc<[Node]>),
    Map(Arc<[(Node, Node)]>),
}

/// Stands in a scalar for what only a renderer of templates could tell.
pub(crate) const UNKNOWN: char = '\u{e000}';

impl Node {
    /// The value of a key of a map, also by way of `<<`.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|(_, value)| value)
    }

    /// A key of a map and its value.
    pub(crate) fn entry(&self, key: &str) -> Option<(&Node, &Node)> {
        let Value::Map(entries) = &self.value else { return None };
        // The last of equal keys, as readers do.
        let own = entries.iter().rev().find(|(name, _)| name.raw() == Some(key));
        if let Some((name, value)) = own {
            return Some((name, value));
        }
        let merged = entries.iter().filter(|(name, _)| name.raw() == Some("<<"));
        merged.flat_map(|(_, value)| value.items_or_self()).find_map(|it| it.entry(key))
    }

    /// What lies behind several keys.
    pub(crate) fn path(&self, keys: &[&str]) -> Option<&Node> {
        keys.iter().try_fold(self, |node, key| node.get(key))
    }

    /// A scalar whose value is known; null is none.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { plain: true, text } if is_null(text) => None,
            Value::Scalar { text, .. } if text.contains(UNKNOWN) => None,
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// A scalar as it is written, unknown parts and all.
    pub(crate) fn raw(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { plain: true, text } if is_null(text))
    }

    /// Whether a template decides what stands here.
    pub(crate) fn is_unknown(&self) -> bool {
        self.raw().is_some_and(|text| text.contains(UNKNOWN))
    }

    pub(crate) fn boolean(&self) -> Option<bool> {
        match self.text()? {
            "true" | "True" | "TRUE" | "yes" | "on" => Some(true),
            "false" | "False" | "FALSE" | "no" | "off" => Some(false),
            _ => None,
        }
    }

    pub(crate) fn number(&self) -> Option<u64> {
        self.text()?.trim().parse().ok()
    }

    pub(crate) fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    pub(crate) fn entries(&self) -> &[(Node, Node)] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    fn items_or_self(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => std::slice::from_ref(self),
        }
    }

    fn size(&self) -> usize {
        match &self.value {
            Value::Scalar { .. } => 1,
            Value::List(items) => 1 + items.iter().map(Node::size).sum::<usize>(),
            Value::Map(entries) => {
                1 + entries.iter().map(|(key, value)| key.size() + value.size()).sum::<usize>()
            }
        }
    }
}

fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// Reads all documents of a text.
pub(crate) fn parse(text: &str) -> Documents {
    let mut documents = Documents::default();
    let mut parser = Parser::new_from_str(text);
    let mut builder = Builder::default();
    loop {
        match parser.next_event() {
            None => break,
            Some(Ok((event, span))) => {
                if !builder.take(event, &span, &mut documents) {
                    documents.faults.push((place(&span), "too many nodes".to_owned()));
                    break;
                }
            }
            Some(Err(cause)) => {
                let marker = cause.marker();
                documents.faults.push((At::new(marker.line(), marker.col() + 1), cause.info()));
                builder.abandon();
                if !matches!(parser.proceed_next_document(), Ok(true)) {
                    break;
                }
            }
        }
    }
    documents
}

fn place(span: &Span) -> At {
    At::new(span.start.line(), span.start.col() + 1)
}

/// A list or map that is still open: where, its anchor, its parts so far.
struct Open {
    at: At,
    anchor: usize,
    is_map: bool,
    parts: Vec<Node>,
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
}

impl Builder {
    /// Whether there is room for more.
    fn take(&mut self, event: Event<'_>, span: &Span, documents: &mut Documents) -> bool {
        let at = place(span);
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let plain = style == ScalarStyle::Plain;
                let value = Value::Scalar { text: Arc::from(&*text), plain };
                self.put(Node { at, value }, anchor, documents);
            }
            Event::SequenceStart(_, anchor, _) => {
                self.open.push(Open { at, anchor, is_map: false, parts: Vec::new() });
            }
            Event::MappingStart(_, anchor, _) => {
                self.open.push(Open { at, anchor, is_map: true, parts: Vec::new() });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.open.pop() {
                    let anchor = open.anchor;
                    self.put(open.close(), anchor, documents);
                }
            }
            Event::Alias(id) => {
                if let Some((node, size)) = self.anchors.get(&id) {
                    self.nodes += size;
                    let node = Node { at, value: node.value.clone() };
                    self.put(node, 0, documents);
                }
            }
            Event::DocumentEnd => self.abandon(),
            _ => {}
        }
        self.nodes <= NODES_MAX
    }

    fn put(&mut self, node: Node, anchor: usize, documents: &mut Documents) {
        self.nodes += 1;
        if anchor > 0 {
            let size = node.size();
            self.anchors.insert(anchor, (node.clone(), size));
        }
        match self.open.last_mut() {
            Some(open) => open.parts.push(node),
            None => documents.roots.push(node),
        }
    }

    fn abandon(&mut self) {
        self.open.clear();
        self.anchors.clear();
    }
}

impl Open {
    fn close(self) -> Node {
        let value = if self.is_map {
            let mut entries = Vec::with_capacity(self.parts.len() / 2);
            let mut parts = self.parts.into_iter();
            while let (Some(key), Some(value)) = (parts.next(), parts.next()) {
                entries.push((key, value));
            }
            Value::Map(entries.into())
        } else {
            Value::List(self.parts.into())
        };
        Node { at: self.at, value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(text: &str) -> Node {
        let mut documents = parse(text);
        assert!(documents.faults.is_empty(), "{:?}", documents.faults);
        documents.roots.remove(0)
    }

    #[test]
    fn finds_places_through_anchors_and_merges() {
        let root = only("a: &x\n  k: 1\nb: *x\nc:\n  <<: *x\n  l: '2'\nd: [3, {e: 4}]\n");
        assert_eq!(root.path(&["a", "k"]).unwrap().at, At::new(2, 6));
        assert_eq!(root.get("b").unwrap().at, At::new(3, 4));
        assert_eq!(root.path(&["b", "k"]).unwrap().at, At::new(2, 6));
        assert_eq!(root.path(&["c", "k"]).unwrap().text(), Some("1"));
        assert_eq!(root.path(&["c", "l"]).unwrap().number(), Some(2));
        assert_eq!(root.get("d").unwrap().items()[1].get("e").unwrap().at, At::new(7, 12));
    }

    #[test]
    fn a_broken_document_does_not_hide_the_next() {
        let documents = parse("a: 1\n---\nb: [\n---\nc: 3\n");
        let keys: Vec<_> =
            documents.roots.iter().flat_map(Node::entries).map(|it| it.0.raw().unwrap()).collect();
        assert_eq!(keys, ["a", "c"]);
        assert_eq!(documents.faults.len(), 1);
    }

    #[test]
    fn nulls_and_booleans() {
        let root = only("a:\nb: ~\nc: ''\nd: yes\ne: 'no'\n");
        assert!(root.get("a").unwrap().is_null() && root.get("b").unwrap().is_null());
        assert_eq!(root.get("c").unwrap().text(), Some(""));
        assert_eq!(root.get("d").unwrap().boolean(), Some(true));
    }

    #[test]
    fn aliases_cannot_ask_for_more_than_the_bound() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..30 {
            let uses = vec![format!("*a{}", level - 1); 10].join(", ");
            text +=
                &["a", &level.to_string(), ": &a", &level.to_string(), " [", &uses, "]\n"].concat();
        }
        assert_eq!(parse(&text).faults.len(), 1);
    }
}
