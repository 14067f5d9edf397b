//! Rust source with comments and literals blanked out, so that rules look at code only.

/// Masked source: as long as the text it was made of, line for line.
#[derive(Debug)]
pub(crate) struct Masked {
    /// The text with comments, strings and characters replaced by spaces.
    pub(crate) code: String,
    /// For each line, whether it is test code.
    test_lines: Vec<bool>,
}

/// A byte range of the code.
pub(crate) type Span = std::ops::Range<usize>;

impl Masked {
    /// Masks a source file.
    pub(crate) fn new(text: &str) -> Self {
        let code = mask(text);
        let mut test_lines = vec![false; code.lines().count()];
        for (at, _) in code.match_indices("#[cfg(test)]") {
            let end = item_end(&code, at + "#[cfg(test)]".len());
            let (from, to) = (line_index(&code, at), line_index(&code, end));
            for line in test_lines.iter_mut().take(to + 1).skip(from) {
                *line = true;
            }
        }
        Self { code, test_lines }
    }

    /// Line number, from 1, of a byte offset.
    pub(crate) fn line_of(&self, at: usize) -> usize {
        line_index(&self.code, at) + 1
    }

    /// Whether the offset is in a `#[cfg(test)]` item.
    pub(crate) fn is_test(&self, at: usize) -> bool {
        self.test_lines.get(line_index(&self.code, at)).copied().unwrap_or(false)
    }

    /// Lines outside `#[cfg(test)]` items.
    pub(crate) fn product_lines(&self) -> usize {
        self.test_lines.iter().filter(|test| !**test).count()
    }

    /// Offsets of `word` in the code where it is a whole word.
    pub(crate) fn words<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        self.code.match_indices(word).map(|(at, _)| at).filter(move |at| {
            let before = self.code.get(..*at).and_then(|head| head.chars().next_back());
            let after = self.code.get(at + word.len()..).and_then(|tail| tail.chars().next());
            !before.is_some_and(is_word) && !after.is_some_and(is_word)
        })
    }

    /// Functions with a body: their name and the span from `fn` to the closing brace.
    pub(crate) fn functions(&self) -> Vec<(&str, Span)> {
        self.words("fn")
            .filter_map(|at| {
                let rest = self.code.get(at + 2..)?;
                let name = rest.trim_start().split(|c| !is_word(c)).next()?;
                let end = item_end(&self.code, at);
                let has_body = self.code.get(..=end)?.ends_with('}');
                (has_body && !name.is_empty()).then_some((name, at..end))
            })
            .collect()
    }

    /// `#[cfg(test)] mod … { … }`: the spans of test modules written inline.
    pub(crate) fn test_modules(&self) -> Vec<Span> {
        self.code
            .match_indices("#[cfg(test)]")
            .filter_map(|(at, attribute)| {
                let after = at + attribute.len();
                let item = self.code.get(after..)?.trim_start();
                item.starts_with("mod ").then(|| at..item_end(&self.code, after))
            })
            .collect()
    }

    /// Every path that the file imports or writes out, with its offset: `use a::{b, c::d}` gives `a::b` and `a::c::d`.
    pub(crate) fn paths(&self) -> Vec<(String, usize)> {
        let mut paths = Vec::new();
        for at in self.words("use") {
            let Some(rest) = self.code.get(at + 3..) else { continue };
            let tree = rest.split(';').next().unwrap_or_default();
            let dense: String = tree.split_whitespace().collect::<Vec<_>>().join(" ");
            expand(&dense, "", &mut |path| paths.push((path, at)));
        }
        paths.extend(self.written_paths());
        paths
    }

    fn written_paths(&self) -> Vec<(String, usize)> {
        let mut paths = Vec::new();
        let mut start = None;
        for (at, c) in self.code.char_indices().chain([(self.code.len(), ' ')]) {
            match (is_word(c) || c == ':', start) {
                (true, None) => start = Some(at),
                (false, Some(from)) => {
                    let path = self.code.get(from..at).unwrap_or_default();
                    if path.contains("::") {
                        paths.push((path.trim_matches(':').to_owned(), from));
                    }
                    start = None;
                }
                _ => {}
            }
        }
        paths
    }
}

/// Splits a use tree into full paths.
fn expand(tree: &str, prefix: &str, found: &mut impl FnMut(String)) {
    let Some((head, group)) = tree.split_once('{') else {
        for path in tree.split(',').map(|path| path.split(" as ").next().unwrap_or(path).trim()) {
            if !path.is_empty() {
                found(format!("{prefix}{path}"));
            }
        }
        return;
    };
    // What stands before the group: finished paths, and the prefix of the group itself.
    let (finished, own) = head.rsplit_once(',').unwrap_or(("", head));
    expand(finished, prefix, found);
    let close = matching(group, '{', '}').unwrap_or(group.len());
    let inner = format!("{prefix}{}", own.trim());
    expand_list(group.get(..close).unwrap_or_default(), &inner, found);
    if let Some(rest) = group.get(close + 1..) {
        expand(rest, prefix, found);
    }
}

/// Expands the comma-separated members of one group.
fn expand_list(list: &str, prefix: &str, found: &mut impl FnMut(String)) {
    let mut depth = 0_usize;
    let mut start = 0;
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                expand(list.get(start..at).unwrap_or_default(), prefix, found);
                start = at + 1;
            }
            _ => {}
        }
    }
    expand(list.get(start..).unwrap_or_default(), prefix, found);
}

/// Offset in `text`, which begins inside a group, of the delimiter that closes it.
fn matching(text: &str, open: char, close: char) -> Option<usize> {
    let mut depth = 1_usize;
    for (at, c) in text.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close {
            depth -= 1;
            if depth == 0 {
                return Some(at);
            }
        }
    }
    None
}

/// Offset of the last byte of the item that begins at `from`: its `;`, or the brace that closes its body.
fn item_end(code: &str, from: usize) -> usize {
    let mut nesting = 0_usize;
    for (at, c) in code.get(from..).unwrap_or_default().char_indices() {
        match c {
            '(' | '[' => nesting += 1,
            ')' | ']' => nesting = nesting.saturating_sub(1),
            ';' if nesting == 0 => return from + at,
            '{' if nesting == 0 => {
                let body = from + at + 1;
                let rest = code.get(body..).unwrap_or_default();
                return matching(rest, '{', '}').map_or(code.len(), |end| body + end);
            }
            _ => {}
        }
    }
    code.len()
}

fn line_index(code: &str, at: usize) -> usize {
    code.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Replaces comments and literals by spaces.
fn mask(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    let mut after_word = false;
    while let Some(c) = rest.chars().next() {
        let length = literal_or_comment(rest, after_word);
        let (piece, tail) = rest.split_at(length.unwrap_or(c.len_utf8()));
        if length.is_some() {
            let blank = |byte| if byte == b'\n' { '\n' } else { ' ' };
            code.extend(piece.bytes().map(blank));
            after_word = false;
        } else {
            code.push_str(piece);
            after_word = is_word(c);
        }
        rest = tail;
    }
    code
}

/// Length of the comment or literal that `rest` begins with, if it does.
fn literal_or_comment(rest: &str, after_word: bool) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(block_comment(rest));
    }
    if rest.starts_with('"') {
        return Some(quoted(rest, '"'));
    }
    if rest.starts_with('\'') {
        return character(rest);
    }
    if after_word {
        return None;
    }
    let prefix = ["br", "cr", "r", "b", "c"].into_iter().find(|p| rest.starts_with(p))?;
    let tail = rest.get(prefix.len()..)?;
    let hashes = tail.bytes().take_while(|byte| *byte == b'#').count();
    let raw = prefix.ends_with('r') && tail.get(hashes..)?.starts_with('"');
    if raw {
        let close = format!("\"{}", "#".repeat(hashes));
        let body = prefix.len() + hashes + 1;
        let end = rest.get(body..)?.find(&close);
        return Some(end.map_or(rest.len(), |end| body + end + close.len()));
    }
    match tail.chars().next() {
        Some('"') if hashes == 0 => Some(prefix.len() + quoted(tail, '"')),
        Some('\'') if prefix == "b" => character(tail).map(|length| prefix.len() + length),
        _ => None,
    }
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(tail) = rest.get(at..).filter(|tail| !tail.is_empty()) {
        if tail.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if tail.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += tail.chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// Length of a quoted literal with escapes, quotes included.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Length of a character literal; a lifetime is not one.
fn character(rest: &str) -> Option<usize> {
    let mut chars = rest.chars().skip(1);
    match (chars.next()?, chars.next()) {
        ('\\', _) => Some(quoted(rest, '\'')),
        (c, Some('\'')) => Some(2 + c.len_utf8()),
        _ => None,
    }
}
