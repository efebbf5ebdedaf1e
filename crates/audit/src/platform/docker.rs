//! Dockerfiles: stages, instructions and their words, with places.
//!
//! The grammar of `BuildKit`'s front end as far as rules need it: escape directive, continued lines with
//! comments between, here-documents, JSON forms, flags, `ARG` and `ENV` substitution. Any text is read;
//! what is no instruction is kept as one of an unknown name.

use crate::platform::at::At;

/// A Dockerfile.
#[derive(Debug, Default)]
pub(crate) struct Dockerfile {
    /// In order; the last is what is built unless a target is named.
    pub(crate) stages: Vec<Stage>,
    /// `ARG name=default` before the first `FROM`.
    arguments: Vec<(String, Option<String>)>,
}

/// From one `FROM` to the next.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) at: At,
    /// The image or earlier stage, arguments filled in where they have a default.
    pub(crate) base: String,
    /// After `AS`, in small letters as `BuildKit` compares.
    pub(crate) name: Option<String>,
    pub(crate) instructions: Vec<Instruction>,
}

/// One instruction.
#[derive(Debug)]
pub(crate) struct Instruction {
    pub(crate) at: At,
    /// In capital letters.
    pub(crate) name: String,
    /// `--from=builder` as `("from", "builder")`.
    pub(crate) flags: Vec<(String, String)>,
    /// What follows, continued lines joined by a blank.
    pub(crate) text: String,
    /// The words of the JSON form.
    pub(crate) json: Option<Vec<String>>,
    /// Bodies of here-documents.
    pub(crate) heredocs: Vec<String>,
}

impl Instruction {
    pub(crate) fn flag(&self, name: &str) -> Option<&str> {
        self.flags.iter().find(|(flag, _)| flag == name).map(|(_, value)| value.as_str())
    }

    /// Words: of the JSON form, else cut at blanks outside of quotes.
    pub(crate) fn words(&self) -> Vec<String> {
        self.json.clone().unwrap_or_else(|| words(&self.text))
    }

    /// Sources of a `COPY` or `ADD`, without its target.
    pub(crate) fn sources(&self) -> Vec<String> {
        let mut words = self.words();
        words.pop();
        words.retain(|word| !word.starts_with("<<"));
        words
    }

    /// All that a shell runs: the text, the words of the JSON form, here-documents.
    pub(crate) fn script(&self) -> String {
        let mut script = match &self.json {
            Some(words) => words.join(" "),
            None => self.text.clone(),
        };
        for body in &self.heredocs {
            script.push('\n');
            script.push_str(body);
        }
        script
    }
}

impl Dockerfile {
    /// The stages that the last one is built upon by `FROM`, itself first.
    pub(crate) fn shipped(&self) -> Vec<&Stage> {
        let Some(last) = self.stages.len().checked_sub(1) else { return Vec::new() };
        self.lineage(last)
    }

    /// A stage and those it is built upon.
    pub(crate) fn lineage(&self, index: usize) -> Vec<&Stage> {
        let mut found = Vec::new();
        let mut at = Some(index);
        while let Some(index) = at {
            let stage = &self.stages[index];
            found.push(stage);
            // Only earlier stages count, so this ends.
            at = self.stages[..index]
                .iter()
                .rposition(|it| it.name.as_deref() == Some(&stage.base.to_lowercase()));
        }
        found
    }

    /// `ENV` of a stage and those below it, the latest first: name, value, place.
    pub(crate) fn environment(&self, index: usize) -> Vec<(String, String, At)> {
        let mut found = Vec::new();
        for stage in self.lineage(index) {
            for it in stage.instructions.iter().rev().filter(|it| it.name == "ENV") {
                found.extend(
                    pairs(&it.text).into_iter().rev().map(|(name, value)| (name, value, it.at)),
                );
            }
        }
        found
    }
}

/// Reads a Dockerfile.
pub(crate) fn parse(text: &str) -> Dockerfile {
    let mut file = Dockerfile::default();
    for (at, line, heredocs) in logical_lines(text) {
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((&line, ""));
        let name = name.to_ascii_uppercase();
        let (flags, rest) = flags(rest.trim());
        let json = rest.starts_with('[').then(|| serde_json::from_str(rest).ok()).flatten();
        let instruction = Instruction { at, name, flags, text: rest.to_owned(), json, heredocs };
        match (instruction.name.as_str(), file.stages.last_mut()) {
            ("FROM", _) => {
                let stage = from(&file, &instruction);
                file.stages.push(stage);
            }
            (_, Some(stage)) => stage.instructions.push(instruction),
            ("ARG", None) => {
                for word in words(rest) {
                    let (name, value) = word
                        .split_once('=')
                        .map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
                    let value = value.map(|value| substitute(value, &file.arguments));
                    file.arguments.push((name.to_owned(), value));
                }
            }
            _ => {}
        }
    }
    file
}

fn from(file: &Dockerfile, instruction: &Instruction) -> Stage {
    let words = words(&instruction.text);
    let base = words.first().map(String::as_str).unwrap_or_default();
    let is_named = words.get(1).is_some_and(|word| word.eq_ignore_ascii_case("as"));
    Stage {
        at: instruction.at,
        base: substitute(base, &file.arguments),
        name: words.get(2).filter(|_| is_named).map(|name| name.to_lowercase()),
        instructions: Vec::new(),
    }
}

/// Lines without comments, continued ones joined, and the here-documents that follow.
fn logical_lines(text: &str) -> Vec<(At, String, Vec<String>)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let escape = escape(text);
    let mut found = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let trimmed = line.trim_start();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        let at = At::new(number + 1, line.len() - trimmed.len() + 1);
        let mut joined = trimmed.trim_end().to_owned();
        while joined.ends_with(escape) {
            joined.pop();
            // Comments and empty lines between continued ones do not end them.
            let mut others = lines.by_ref().map(|(_, next)| next.trim());
            let Some(next) = others.find(|next| !next.is_empty() && !next.starts_with('#')) else {
                break;
            };
            if !joined.ends_with(' ') {
                joined.push(' ');
            }
            joined.push_str(next);
        }
        let mut heredocs = Vec::new();
        for (mark, tabs) in heredoc_marks(&joined) {
            let mut body = String::new();
            for (_, next) in lines.by_ref() {
                let line = if tabs { next.trim_start_matches('\t') } else { next };
                if line.trim_end_matches('\r') == mark {
                    break;
                }
                body.push_str(line);
                body.push('\n');
            }
            heredocs.push(body);
        }
        found.push((at, joined, heredocs));
    }
    found
}

/// The directive `# escape=` at the top.
fn escape(text: &str) -> char {
    let directives = text.lines().take_while(|line| line.starts_with('#'));
    let values = directives
        .filter_map(|line| line[1..].trim().strip_prefix("escape")?.trim().strip_prefix('='));
    values
        .last()
        .and_then(|value| value.trim().chars().next())
        .filter(|c| *c == '`')
        .unwrap_or('\\')
}

/// Names after `<<`, and whether leading tabs go (`<<-`). Only where `BuildKit` knows them.
fn heredoc_marks(line: &str) -> Vec<(String, bool)> {
    let name = line.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
    if !matches!(name.as_str(), "RUN" | "COPY" | "ADD") {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (at, _) in line.match_indices("<<") {
        let rest = &line[at + 2..];
        // `<<<` is a here-string, `1 << 2` is arithmetic.
        if rest.starts_with('<')
            || line[..at].ends_with('<')
            || !line[..at].ends_with(char::is_whitespace)
        {
            continue;
        }
        let (rest, tabs) = rest.strip_prefix('-').map_or((rest, false), |rest| (rest, true));
        let rest = rest.trim_start_matches(['"', '\'']);
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        if end > 0 && !rest.starts_with(|c: char| c.is_ascii_digit()) {
            found.push((rest[..end].to_owned(), tabs));
        }
    }
    found
}

fn flags(mut text: &str) -> (Vec<(String, String)>, &str) {
    let mut found = Vec::new();
    while let Some(rest) = text.strip_prefix("--") {
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let (name, value) = rest[..end].split_once('=').unwrap_or((&rest[..end], ""));
        found.push((name.to_ascii_lowercase(), value.to_owned()));
        text = rest[end..].trim_start();
    }
    (found, text)
}

/// Words between blanks; quotes hold them together and go.
pub(crate) fn words(text: &str) -> Vec<String> {
    let (mut found, mut word, mut open) = (Vec::new(), String::new(), false);
    let mut quote = None;
    let mut letters = text.chars();
    while let Some(c) = letters.next() {
        match (quote, c) {
            (Some(mark), c) if c == mark => quote = None,
            (None, '"' | '\'') => (quote, open) = (Some(c), true),
            (Some('"') | None, '\\') => word.extend(letters.next()),
            (None, c) if c.is_whitespace() => {
                if open {
                    found.push(std::mem::take(&mut word));
                }
                open = false;
            }
            (_, c) => {
                word.push(c);
                open = true;
            }
        }
    }
    if open {
        found.push(word);
    }
    found
}

/// `NAME=value` pairs of `ENV` and `ARG`; also the old `ENV NAME value`.
pub(crate) fn pairs(text: &str) -> Vec<(String, String)> {
    let words = words(text);
    match words.split_first() {
        Some((name, rest)) if !name.contains('=') && !rest.is_empty() => {
            vec![(name.clone(), rest.join(" "))]
        }
        _ => words
            .iter()
            .filter_map(|it| it.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    }
}

/// Fills `$NAME`, `${NAME}`, `${NAME:-other}` and `${NAME:+other}` in; what is not known stays.
fn substitute(text: &str, arguments: &[(String, Option<String>)]) -> String {
    let known = |name: &str| {
        arguments.iter().rev().find(|(it, _)| it == name).and_then(|(_, value)| value.clone())
    };
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let (expression, end) = match after
            .strip_prefix('{')
            .and_then(|it| it.find('}').map(|end| (&it[..end], end + 2)))
        {
            Some(found) => found,
            None => {
                let end =
                    after.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(after.len());
                (&after[..end], end)
            }
        };
        let name_end = expression.find([':', '-', '+']).unwrap_or(expression.len());
        let (name, other) = expression.split_at(name_end);
        let value = match (known(name), other.trim_start_matches(':')) {
            (Some(_), other) if other.starts_with('+') => other[1..].to_owned(),
            (Some(value), _) => value,
            (None, other) if other.starts_with('-') => other[1..].to_owned(),
            (None, other) if other.starts_with('+') => String::new(),
            (None, _) => rest[at..=at + end].to_owned(),
        };
        out.push_str(&value);
        rest = &after[end..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: &str = r#"# syntax=docker/dockerfile:1
ARG VERSION=3.46.0.11
ARG BASE=python:3.11-slim
FROM ${BASE} AS Builder
RUN apt-get update && \
    # a comment between
    apt-get install -y \

      gcc
COPY --chown=1000:1000 --link ["a file.txt", "/srv/"]
FROM h2oai/h2o-open-source-k8s:$VERSION
COPY --from=builder /out /srv/
RUN <<EOF
pip install h2o
EOF
ENV A=1 B="two words" \
    C=3
ENV OLD style value
FROM builder
CMD ["java", "-Xmx4g"]
"#;

    #[test]
    fn reads_stages_and_instructions() {
        let file = parse(MANY);
        let stages: Vec<_> = file
            .stages
            .iter()
            .map(|it| (it.base.as_str(), it.name.as_deref(), it.at.line))
            .collect();
        assert_eq!(
            stages,
            [
                ("python:3.11-slim", Some("builder"), 4),
                ("h2oai/h2o-open-source-k8s:3.46.0.11", None, 11),
                ("builder", None, 19)
            ]
        );
        let run = &file.stages[0].instructions[0];
        assert_eq!(run.text, "apt-get update &&  apt-get install -y  gcc".replace("  ", " "));
        let copy = &file.stages[0].instructions[1];
        assert_eq!((copy.at.line, copy.sources()), (10, vec!["a file.txt".to_owned()]));
        assert_eq!(copy.flag("chown"), Some("1000:1000"));
        assert_eq!(file.stages[1].instructions[0].flag("from"), Some("builder"));
        assert_eq!(file.stages[1].instructions[1].script().trim_end(), "<<EOF\npip install h2o");
        assert_eq!(file.stages[2].instructions[0].words(), ["java", "-Xmx4g"]);
        assert_eq!(file.shipped().len(), 2);
        let env: Vec<_> = file.environment(1).into_iter().map(|it| (it.0, it.1)).collect();
        let expected = [("OLD", "style value"), ("C", "3"), ("B", "two words"), ("A", "1")];
        assert_eq!(env, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn fills_arguments_in() {
        for (text, expected) in [
            ("a:$X", "a:1"),
            ("${X}b", "1b"),
            ("${Y:-2}", "2"),
            ("${Y-2}", "2"),
            ("${X:+3}", "3"),
            ("${Y:+3}", ""),
            ("$Y", "$Y"),
            ("${Z}$", "${Z}$"),
            ("${", "${"),
        ] {
            assert_eq!(
                substitute(text, &[("X".to_owned(), Some("1".to_owned()))]),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn any_text_is_fine() {
        for text in [
            "",
            "\\",
            "FROM",
            "RUN <<EOF",
            "FROM a AS",
            "COPY",
            "# escape=`\nFROM a `\n b",
            "RUN \\\n",
            "ENV",
            "\u{feff}FROM x",
        ] {
            parse(text);
        }
    }
}
