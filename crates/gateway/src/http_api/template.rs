//! Templates of the configuration: paths of operations, and ids of resources.

use std::fmt;

use serde_json::{Map, Value};

use super::argument::id_text;

/// One part of a path's template.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    /// `{name}`: one segment.
    Parameter(String),
    /// `{name+}`: the rest of the path, at least one segment.
    Tail(String),
}

/// The path of an operation, such as `/contacts/{id}` or `/files/{path+}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PathTemplate {
    segments: Vec<Segment>,
    /// Whether the upstream wants a slash at the end.
    slash: bool,
}

/// A path parameter of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PathValue {
    pub(super) name: String,
    /// Its text; a tail's segments are joined by slashes.
    pub(super) text: String,
    /// Whether it is the rest of the path.
    pub(super) tail: bool,
    /// Whether a slash that was encoded stands in a segment of it.
    pub(super) slash: bool,
}

impl PathTemplate {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix('/').ok_or("the path does not begin with `/`")?;
        let mut segments = Vec::new();
        for part in rest.split('/').filter(|part| !part.is_empty()) {
            if let Some(Segment::Tail(name)) = segments.last() {
                return Err(format!("`{{{name}+}}` is the rest of the path: nothing follows it"));
            }
            segments.push(Segment::parse(part)?);
        }
        let slash = !segments.is_empty() && text.ends_with('/');
        let mut names: Vec<&str> = segments.iter().filter_map(Segment::name).collect();
        names.sort_unstable();
        if let Some([name, _]) = names.windows(2).find(|pair| pair.first() == pair.last()) {
            return Err(format!("the path has two parameters called `{name}`"));
        }
        Ok(Self { segments, slash })
    }

    /// The names of its parameters, and whether each is the rest of the path.
    pub(super) fn names(&self) -> impl Iterator<Item = (&str, bool)> {
        self.segments
            .iter()
            .filter_map(|segment| Some((segment.name()?, matches!(segment, Segment::Tail(_)))))
    }

    /// The parameters of a path that fits.
    pub(super) fn fits(&self, path: &[String]) -> Option<Vec<PathValue>> {
        let tail = matches!(self.segments.last(), Some(Segment::Tail(_)));
        let enough =
            path.len() == self.segments.len() || (tail && path.len() > self.segments.len());
        if !enough {
            return None;
        }
        let mut values = Vec::new();
        for (at, expected) in self.segments.iter().enumerate() {
            let found = path.get(at)?;
            let (name, text, tail) = match expected {
                Segment::Literal(text) if text == found => continue,
                Segment::Literal(_) => return None,
                Segment::Parameter(name) => (name, found.clone(), false),
                Segment::Tail(name) => (name, path.get(at..)?.join("/"), true),
            };
            let of_it =
                path.get(at..).unwrap_or_default().iter().take(if tail { path.len() } else { 1 });
            let slash = of_it.into_iter().any(|segment| segment.contains('/'));
            values.push(PathValue { name: name.clone(), text, tail, slash });
        }
        Some(values)
    }

    /// Whether an upstream that does not tell upper from lower case takes a path for this one.
    pub(super) fn fits_loosely(&self, path: &[String]) -> bool {
        let alike = |(at, expected): (usize, &Segment)| match (expected, path.get(at)) {
            (Segment::Literal(text), Some(found)) => text.to_lowercase() == found.to_lowercase(),
            (_, found) => found.is_some(),
        };
        let tail = matches!(self.segments.last(), Some(Segment::Tail(_)));
        (tail || path.len() == self.segments.len()) && self.segments.iter().enumerate().all(alike)
    }

    /// The path with these texts for its parameters, in their order.
    pub(super) fn fill<'a>(&'a self, texts: &'a [String]) -> String {
        let mut texts = texts.iter();
        let segments = self.segments.iter().flat_map(|segment| -> Vec<&str> {
            match segment {
                Segment::Literal(text) => vec![text.as_str()],
                Segment::Parameter(_) => texts.next().map(String::as_str).into_iter().collect(),
                Segment::Tail(_) => {
                    texts.next().map(|text| text.split('/').collect()).unwrap_or_default()
                }
            }
        });
        let mut path = super::canonical::path(segments);
        if self.slash {
            path.push('/');
        }
        path
    }

    /// Whether two templates match the same paths.
    pub(super) fn same_as(&self, other: &Self) -> bool {
        let alike = |(a, b): (&Segment, &Segment)| match (a, b) {
            (Segment::Literal(a), Segment::Literal(b)) => a == b,
            _ => std::mem::discriminant(a) == std::mem::discriminant(b),
        };
        self.segments.len() == other.segments.len()
            && self.segments.iter().zip(&other.segments).all(alike)
    }

    /// Literal segments come before parameters, and those before the rest of a path:
    /// `/contacts/me` is not a contact called me.
    pub(super) fn rank(&self) -> Vec<u8> {
        let of = |segment: &Segment| match segment {
            Segment::Literal(_) => 0,
            Segment::Parameter(_) => 1,
            Segment::Tail(_) => 2,
        };
        self.segments.iter().map(of).collect()
    }
}

impl Segment {
    fn parse(part: &str) -> Result<Self, String> {
        let odd = || format!("`{part}` is neither a plain segment nor a {{parameter}}");
        if let Some(name) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            let (name, tail) = match name.strip_suffix('+') {
                Some(name) => (name, true),
                None => (name, false),
            };
            if name.is_empty() || name.contains(['{', '}']) {
                return Err(odd());
            }
            let name = name.to_owned();
            return Ok(if tail { Self::Tail(name) } else { Self::Parameter(name) });
        }
        if part == "." || part == ".." || part.contains(['{', '}', '%', '?', '#', ';', '\\']) {
            return Err(odd());
        }
        // It is compared with what a request's path is once it is canonical.
        let plain = super::canonical::named(part).map_err(|_| odd())?;
        Ok(Self::Literal(plain))
    }

    fn name(&self) -> Option<&str> {
        match self {
            Self::Literal(_) => None,
            Self::Parameter(name) | Self::Tail(name) => Some(name),
        }
    }
}

impl fmt::Display for PathTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            match segment {
                Segment::Literal(text) => write!(f, "/{text}")?,
                Segment::Parameter(name) => write!(f, "/{{{name}}}")?,
                Segment::Tail(name) => write!(f, "/{{{name}+}}")?,
            }
        }
        if self.slash || self.segments.is_empty() { f.write_str("/") } else { Ok(()) }
    }
}

/// The id of what an operation touches: text with arguments in braces, such as `contact/{id}`.
#[derive(Clone, Debug)]
pub(super) struct IdTemplate(Vec<IdPart>);

#[derive(Clone, Debug)]
enum IdPart {
    Text(String),
    Argument { key: String, slashes: bool },
}

impl IdTemplate {
    /// `known` are the keys of the operation's arguments, and whether a slash within one is part of
    /// its name.
    pub(super) fn parse(text: &str, known: &[(String, bool)]) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (key, after) = after
                .split_once('}')
                .ok_or_else(|| format!("`{text}` has a brace that is not closed"))?;
            let Some((key, slashes)) = known.iter().find(|(known, _)| known == key) else {
                return Err(format!("the resource `{text}` names `{key}`, which is no argument"));
            };
            parts.push(IdPart::Text(before.to_owned()));
            parts.push(IdPart::Argument { key: key.clone(), slashes: *slashes });
            rest = after;
        }
        if text.is_empty() || rest.contains('}') {
            return Err(format!("`{text}` is no template of an id"));
        }
        parts.push(IdPart::Text(rest.to_owned()));
        Ok(Self(parts))
    }

    /// The id; none when an argument that it is made of is not given as one plain value.
    pub(super) fn fill(&self, arguments: &Map<String, Value>) -> Option<String> {
        let mut id = String::new();
        for part in &self.0 {
            match part {
                IdPart::Text(text) => id.push_str(text),
                IdPart::Argument { key, slashes } => {
                    id.push_str(&id_text(arguments.get(key)?, *slashes)?);
                }
            }
        }
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn path(text: &str) -> Vec<String> {
        text.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect()
    }

    #[rstest]
    #[case("/a/{b}", "/a/x", Some(&["x"][..]))]
    #[case("/a/{b}", "/a/x/y", None)]
    #[case("/a/{b}", "/a", None)]
    #[case("/a/{b+}", "/a/x/y", Some(&["x/y"][..]))]
    #[case("/a/{b+}", "/a", None)]
    #[case("/{a}/c/{b+}", "/x/c/y", Some(&["x", "y"][..]))]
    #[case("/", "/", Some(&[][..]))]
    fn a_path_fits_or_does_not(
        #[case] template: &str,
        #[case] found: &str,
        #[case] values: Option<&[&str]>,
    ) {
        let template = PathTemplate::parse(template).unwrap();
        let fits = template.fits(&path(found));
        let texts: Option<Vec<String>> = fits.map(|it| it.into_iter().map(|it| it.text).collect());
        assert_eq!(
            texts.as_deref(),
            values.map(|it| it.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>()).as_deref()
        );
        if let Some(texts) = texts {
            assert_eq!(template.fill(&texts), found, "what was read is what is written");
        }
    }

    #[rstest]
    #[case("a", "does not begin")]
    #[case("/{a", "neither")]
    #[case("/{}", "neither")]
    #[case("/{a+}/b", "nothing follows")]
    #[case("/{a}/{a}", "two parameters")]
    #[case("/a;v=1", "neither")]
    #[case("/%61", "neither")]
    #[case("/..", "neither")]
    fn a_template_that_cannot_match_is_a_fault(#[case] text: &str, #[case] why: &str) {
        assert!(PathTemplate::parse(text).unwrap_err().contains(why));
    }

    #[test]
    fn case_alone_does_not_make_another_path() {
        let loosely = |template: &str, found: &str| {
            PathTemplate::parse(template).unwrap().fits_loosely(&path(found))
        };
        assert!(
            loosely("/a/me", "/A/ME") && loosely("/a/{b}", "/A/x") && loosely("/a/{b+}", "/A/x/y")
        );
        assert!(!loosely("/a/me", "/a/mee") && !loosely("/a/{b}", "/a") && !loosely("/a", "/a/b"));
    }

    #[test]
    fn a_slash_at_the_end_is_the_upstreams() {
        let template = PathTemplate::parse("/a/{b}/").unwrap();
        assert_eq!(template.fill(&["x".to_owned()]), "/a/x/");
        assert!(template.same_as(&PathTemplate::parse("/a/{c}").unwrap()));
    }

    #[test]
    fn an_argument_cannot_pretend_to_be_another_part_of_the_id() {
        let known = [("a".to_owned(), false), ("b".to_owned(), false), ("rest".to_owned(), true)];
        let id = |template: &str, arguments: Value| {
            IdTemplate::parse(template, &known).unwrap().fill(arguments.as_object().unwrap())
        };
        assert_eq!(id("x/{a}/{b}", json!({"a": "1", "b": 2})).unwrap(), "x/1/2");
        assert_eq!(id("x/{a}/{b}", json!({"a": "{b}", "b": "2"})).unwrap(), "x/{b}/2");
        let one = id("x/{a}/{b}", json!({"a": "1/2", "b": "3"}));
        let other = id("x/{a}/{b}", json!({"a": "1", "b": "2/3"}));
        assert_ne!(one, other);
        assert_ne!(id("{a}", json!({"a": "1/2"})), id("{a}", json!({"a": "1%2F2"})));
        assert_eq!(id("f/{rest}", json!({"rest": "a/b"})).unwrap(), "f/a/b");
        assert_eq!(id("{a}", json!({})), None);
        assert_eq!(id("{a}", json!({"a": ["1"]})), None);
        for wrong in ["{c}", "{a", "a}", ""] {
            assert!(IdTemplate::parse(wrong, &known).is_err(), "{wrong}");
        }
    }
}
