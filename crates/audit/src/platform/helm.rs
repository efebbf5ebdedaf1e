//! Helm templates as the YAML they mostly come out as, line for line, without Helm.
//!
//! Looks up `.Values`, takes the branch that the default values take, and follows `toYaml`, `default`
//! and `quote`. What it cannot tell becomes a scalar with [`UNKNOWN`] in it, equal where the
//! expression is equal. Every line stays where it is, so that places hold. Any text is fine.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::platform::yaml::{Node, UNKNOWN, Value};

/// What templates may ask for.
#[derive(Debug, Default, Clone)]
pub(crate) struct Chart {
    /// `values.yaml`.
    pub(crate) values: Option<Node>,
    /// `Chart.yaml`.
    pub(crate) chart: Option<Node>,
}

/// Renders one template.
pub(crate) fn render(template: &str, chart: &Chart) -> String {
    let mut page = Page {
        chart,
        out: String::with_capacity(template.len()),
        frames: Vec::new(),
        variables: HashMap::new(),
    };
    let mut rest = template;
    while let Some(start) = rest.find("{{") {
        page.text(&rest[..start]);
        let body = &rest[start + 2..];
        // A comment may hold braces.
        let comment = body.trim_start_matches(['-', ' ']).starts_with("/*");
        let end = if comment {
            body.find("*/").and_then(|at| body[at..].find("}}").map(|end| at + end))
        } else {
            body.find("}}")
        };
        let end = end.unwrap_or(body.len());
        let after = body.get(end + 2..).unwrap_or_default();
        let ends_line = after.trim_start_matches([' ', '\t', '\r']).starts_with('\n')
            || after.trim().is_empty();
        let action = &body[..end];
        page.action(action, ends_line);
        let breaks = action.bytes().filter(|byte| *byte == b'\n').count();
        page.out.extend(std::iter::repeat_n('\n', breaks));
        rest = after;
    }
    page.text(rest);
    page.out
}

/// A block that is open.
struct Frame {
    /// Whether what stands in it is written.
    active: bool,
    /// Whether an earlier branch was taken.
    taken: bool,
    outer_active: bool,
    dot: Option<Node>,
}

struct Page<'a> {
    chart: &'a Chart,
    out: String,
    frames: Vec<Frame>,
    variables: HashMap<String, Option<Node>>,
}

impl Page<'_> {
    fn active(&self) -> bool {
        self.frames.last().is_none_or(|frame| frame.active)
    }

    fn text(&mut self, text: &str) {
        if self.active() {
            self.out.push_str(text);
        } else {
            self.out.extend(text.chars().filter(|c| *c == '\n'));
        }
    }

    fn action(&mut self, action: &str, ends_line: bool) {
        let action = action.trim().trim_start_matches('-').trim_end_matches('-').trim();
        let (word, rest) = action.split_once(char::is_whitespace).unwrap_or((action, ""));
        match word {
            "if" | "with" | "range" => self.open(word, rest),
            "define" | "block" => self.push(false, true, None),
            "else" => self.branch(rest),
            "end" => {
                self.frames.pop();
            }
            "template" | "break" | "continue" | "" => {}
            _ if action.starts_with("/*") => {}
            _ if action.starts_with('$') && action.contains('=') && !action.contains("==") => {
                self.assign(action);
            }
            _ if self.active() => self.write(action, ends_line),
            _ => {}
        }
    }

    fn push(&mut self, active: bool, taken: bool, dot: Option<Node>) {
        let outer_active = self.active();
        self.frames.push(Frame { active: outer_active && active, taken, outer_active, dot });
    }

    fn open(&mut self, word: &str, rest: &str) {
        let (names, expression) = rest.split_once(":=").unwrap_or(("", rest));
        let value = self.evaluate(expression);
        let holds = value.as_ref().is_none_or(is_true);
        let dot = match word {
            "with" => value,
            "range" => value.as_ref().and_then(first),
            _ => self.dot(),
        };
        let mut names = names.split(',').map(str::trim).filter(|name| name.starts_with('$')).rev();
        if let Some(name) = names.next() {
            self.variables.insert(name.to_owned(), dot.clone());
        }
        for name in names {
            self.variables.insert(name.to_owned(), None);
        }
        self.push(holds, holds, dot);
    }

    fn branch(&mut self, rest: &str) {
        let condition = rest.trim().strip_prefix("if").or(rest.trim().strip_prefix("with"));
        let holds = condition.is_none_or(|it| self.evaluate(it).as_ref().is_none_or(is_true));
        if let Some(frame) = self.frames.last_mut() {
            frame.active = frame.outer_active && !frame.taken && holds;
            frame.taken |= holds;
        }
    }

    fn assign(&mut self, action: &str) {
        if let Some((name, expression)) = action.split_once('=') {
            let value = self.evaluate(expression);
            self.variables.insert(name.trim_end_matches(':').trim().to_owned(), value);
        }
    }

    fn dot(&self) -> Option<Node> {
        self.frames.last().and_then(|frame| frame.dot.clone())
    }

    /// Writes what an expression comes out as.
    fn write(&mut self, action: &str, ends_line: bool) {
        let line = self.out.rfind('\n').map_or(0, |at| at + 1);
        let alone = self.out[line..].trim().is_empty() && ends_line;
        let indent = indentation(action);
        let value = self.evaluate(action);
        if let Some(indent) = indent.filter(|_| alone) {
            self.out.truncate(line);
            self.out.extend(std::iter::repeat_n(' ', indent.min(200)));
        }
        match value {
            Some(Node { value: Value::Scalar { text, .. }, .. }) => {
                // More than one line would move all that follows.
                self.out.push_str(&text.replace('\n', " "));
            }
            Some(node) => {
                if !alone {
                    self.out.push(' ');
                }
                flow(&node, &mut self.out);
            }
            // Some part of a map, most likely.
            None if alone && (indent.is_some() || action.starts_with("include")) => {
                let _ = write!(self.out, "\"{}\": \"{UNKNOWN}\"", unknown(action));
            }
            None if alone => {}
            None => self.out.push_str(&unknown(action)),
        }
    }

    /// The value of a pipeline; `None` where it cannot be told.
    fn evaluate(&self, expression: &str) -> Option<Node> {
        let mut stages = split(expression, '|').into_iter();
        let mut value = self.call(stages.next()?, None);
        for stage in stages {
            value = self.call(stage, Some(value));
        }
        value
    }

    /// A call or an operand; `piped` is the last argument.
    #[expect(clippy::option_option, reason = "an argument that is there, and cannot be told")]
    fn call(&self, text: &str, piped: Option<Option<Node>>) -> Option<Node> {
        let words = words(text);
        let (first, others) = words.split_first()?;
        if others.is_empty() && piped.is_none() {
            return self.operand(first);
        }
        let mut arguments: Vec<Option<Node>> =
            others.iter().map(|word| self.operand(word)).collect();
        arguments.extend(piped);
        apply(first, &arguments)
    }

    fn operand(&self, word: &str) -> Option<Node> {
        if let Some(inner) = word.strip_prefix('(') {
            return self.evaluate(inner.strip_suffix(')').unwrap_or(inner));
        }
        if let Some(text) = word.strip_prefix(['"', '`']) {
            return Some(scalar(text.strip_suffix(['"', '`']).unwrap_or(text), false));
        }
        let word = word.strip_prefix('$').filter(|it| it.starts_with('.')).unwrap_or(word);
        if let Some(path) = word.strip_prefix(".Values") {
            return Some(look_up(self.chart.values.as_ref()?, path));
        }
        if let Some(path) = word.strip_prefix(".Chart.") {
            // Its fields begin with capital letters, those of the file do not.
            let mut letters = path.chars();
            let key: String = letters.next()?.to_lowercase().chain(letters).collect();
            return self.chart.chart.as_ref()?.get(&key).cloned();
        }
        if word == "." {
            return self.dot();
        }
        if word.starts_with('$') {
            let (name, path) = word.split_once('.').unwrap_or((word, ""));
            let value = self.variables.get(name)?.as_ref()?;
            return if path.is_empty() { Some(value.clone()) } else { Some(look_up(value, path)) };
        }
        if let Some(path) = word.strip_prefix('.') {
            return Some(look_up(&self.dot()?, path));
        }
        let literal = matches!(word, "true" | "false") || word.parse::<f64>().is_ok();
        literal.then(|| scalar(word, true))
    }
}

/// What stands behind a path; where nothing does, what templates take for nothing.
fn look_up(root: &Node, path: &str) -> Node {
    let mut node = root;
    for key in path.split('.').filter(|key| !key.is_empty()) {
        match node.get(key) {
            Some(next) => node = next,
            // Nothing: false, and empty.
            None => return scalar("", true),
        }
    }
    node.clone()
}

fn apply(function: &str, arguments: &[Option<Node>]) -> Option<Node> {
    let last = arguments.last().cloned().flatten();
    match function {
        "toYaml" | "nindent" | "indent" | "tpl" | "int" | "int64" | "toString" | "trim"
        | "float64" | "required" | "fromYaml" => {
            if function == "tpl" {
                arguments.first().cloned().flatten()
            } else {
                last
            }
        }
        "quote" | "squote" => last.map(|node| match node.raw() {
            Some(text) => scalar(&["\"", text, "\""].concat(), false),
            None => node,
        }),
        "default" => match last {
            Some(value) if is_true(&value) => Some(value),
            Some(_) => arguments.first().cloned().flatten(),
            None => None,
        },
        "not" => last.map(|value| truth(!is_true(&value))),
        "and" => {
            let all: Option<Vec<bool>> =
                arguments.iter().map(|it| it.as_ref().map(is_true)).collect();
            let some_false = arguments.iter().flatten().any(|it| !is_true(it));
            if some_false { Some(truth(false)) } else { all.map(|_| truth(true)) }
        }
        "or" => {
            arguments.iter().find(|it| it.as_ref().is_none_or(is_true)).cloned().unwrap_or(last)
        }
        "eq" | "ne" => {
            let [Some(left), Some(right)] = arguments else { return None };
            Some(truth((left.raw() == right.raw()) == (function == "eq")))
        }
        _ => None,
    }
}

fn scalar(text: &str, plain: bool) -> Node {
    Node {
        at: crate::platform::at::At::default(),
        value: Value::Scalar { text: text.into(), plain },
    }
}

fn truth(value: bool) -> Node {
    scalar(if value { "true" } else { "false" }, true)
}

fn first(node: &Node) -> Option<Node> {
    node.items().first().or(node.entries().first().map(|(_, value)| value)).cloned()
}

/// As templates see it: nothing, zero and what is empty is false.
fn is_true(node: &Node) -> bool {
    match &node.value {
        Value::Scalar { text, plain } => {
            !(node.is_null() || text.is_empty() || (*plain && matches!(&**text, "false" | "0")))
        }
        Value::List(items) => !items.is_empty(),
        Value::Map(entries) => !entries.is_empty(),
    }
}

/// How far `nindent` or `indent` moves its text.
fn indentation(action: &str) -> Option<usize> {
    let mut words = action.split([' ', '|', ')']).filter(|word| !word.is_empty());
    words.find(|word| matches!(*word, "nindent" | "indent"))?;
    words.next()?.parse().ok()
}

/// A scalar that stands for an expression: equal for equal ones.
fn unknown(expression: &str) -> String {
    let pipeline = split(expression, '|');
    let kept = pipeline.first().copied().unwrap_or_default();
    let kept = kept.trim().strip_prefix("include").unwrap_or(kept);
    let mut text = String::from(UNKNOWN);
    text.extend(
        kept.trim_end_matches([' ', '.', '$'])
            .chars()
            .filter(|c| c.is_alphanumeric() || "._-".contains(*c)),
    );
    text
}

/// A node on one line.
fn flow(node: &Node, out: &mut String) {
    match &node.value {
        Value::Scalar { text, plain: true } => {
            out.push_str(if node.is_null() { "null" } else { text });
        }
        Value::Scalar { text, .. } => {
            out.push('"');
            for c in text.chars() {
                match c {
                    '"' | '\\' => out.extend(['\\', c]),
                    '\n' => out.push_str("\\n"),
                    c => out.push(c),
                }
            }
            out.push('"');
        }
        Value::List(items) => {
            out.push('[');
            for item in items.iter() {
                flow(item, out);
                out.push_str(", ");
            }
            out.push(']');
        }
        Value::Map(entries) => {
            out.push('{');
            for (key, value) in entries.iter() {
                flow(key, out);
                out.push_str(": ");
                flow(value, out);
                out.push_str(", ");
            }
            out.push('}');
        }
    }
}

/// Parts between separators that stand outside of quotes and parentheses.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut start) = (Vec::new(), 0);
    let (mut depth, mut quote) = (0_usize, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '`') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') => depth = depth.saturating_sub(1),
            (None, c) if c == separator && depth == 0 => {
                parts.push(&text[start..at]);
                start = at + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn words(text: &str) -> Vec<&str> {
    split(text.trim(), ' ').into_iter().map(str::trim).filter(|word| !word.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(template: &str, values: &str, expected: &str) {
        let values = crate::platform::yaml::parse(values).roots.pop();
        let rendered = render(template, &Chart { values, chart: None });
        assert_eq!(rendered.replace(UNKNOWN, "?"), expected, "{template}");
        let breaks = |text: &str| text.matches('\n').count();
        assert_eq!(breaks(&rendered), breaks(template));
    }

    #[test]
    fn looks_values_up() {
        check("a: {{ .Values.x.y }}", "x: {y: 3}", "a: 3");
        check("a: {{ .Values.x | default \"z\" | quote }}", "x:", "a: \"z\"");
        check("a: '{{ .Values.n }}'", "n: 3", "a: '3'");
        check("a: {{ include \"c.name\" . }}-x", "", "a: ?c.name-x");
        check("a: {{ .Release.Name }}", "", "a: ?.Release.Name");
    }

    #[test]
    fn takes_the_branch_that_the_values_take() {
        let template = "{{- if .Values.on }}\na: 1\n{{- else }}\na: 2\n{{- end }}";
        check(template, "on: true", "\na: 1\n\n\n");
        check(template, "on: false", "\n\n\na: 2\n");
        check("{{ if .Capabilities.x }}\na: 1\n{{ else }}\na: 2\n{{ end }}", "", "\na: 1\n\n\n");
        check("{{- define \"x\" }}\na: 1\n{{- end }}\nb: 2", "", "\n\n\nb: 2");
    }

    #[test]
    fn writes_maps_on_one_line() {
        let values = "r: {limits: {memory: 4Gi}}\ne: {}";
        check(
            "r:\n  {{- toYaml .Values.r | nindent 2 }}",
            values,
            "r:\n  {limits: {memory: 4Gi, }, }",
        );
        check(
            "{{- with .Values.r }}\nr:\n  {{- toYaml . | nindent 4 }}\n{{- end }}",
            values,
            "\nr:\n    {limits: {memory: 4Gi, }, }\n",
        );
        check(
            "{{- with .Values.e }}\nr:\n  {{- toYaml . | nindent 4 }}\n{{- end }}",
            values,
            "\n\n\n",
        );
        check(
            "l:\n  {{- include \"c.labels\" . | nindent 4 }}",
            "",
            "l:\n    \"?c.labels\": \"?\"",
        );
    }

    #[test]
    fn any_text_is_fine() {
        for text in [
            "{{",
            "{{ end }}{{ else }}x",
            "{{ if }}",
            "{{/* }} */}}a",
            "{{ \"",
            "}} {{ ( }}",
            "{{ $x := }}{{ $x }}",
        ] {
            render(text, &Chart::default());
        }
    }
}
