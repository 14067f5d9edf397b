//! What a request says, read once; and the one form of it that is decided on and forwarded.

use bailiwick_api::ProblemCode;
use bailiwick_core::outcome::Outcome;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, header};
use serde_json::{Map, Value};

use super::argument::{ArgumentConfig, Body, Kind, Place, shadow};
use super::body::{Walk, normalise};
use super::canonical::Breaks;
use super::operation::{BodyUse, Operation};
use super::template::PathValue;
use super::{Undeclared, canonical, headers};
use crate::json;
use crate::stop::Stop;

/// What a request says, before any operation looks at it.
pub(super) struct Told<'a> {
    path: Vec<PathValue>,
    query: Vec<(String, String)>,
    headers: &'a HeaderMap,
    body: Said,
}

/// What the body says.
enum Said {
    /// It streams through and nothing looks at it.
    Streams,
    Nothing,
    Json(Value),
    Form(Vec<(String, String)>),
}

/// A request as it is decided on and forwarded.
pub(super) struct Read {
    pub(super) arguments: Map<String, Value>,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    /// `None` when it streams through.
    pub(super) body: Option<Bytes>,
}

impl<'a> Told<'a> {
    /// Reads a request; the body as operations of its path and method read it.
    pub(super) fn read(
        parts: &'a Parts,
        path: Vec<PathValue>,
        body: Option<Bytes>,
        used: BodyUse,
        media: &[String],
    ) -> Result<Self, Stop> {
        let query = canonical::pairs(parts.uri.query().unwrap_or_default(), Breaks::Refused)?;
        let headers = &parts.headers;
        let body = Said::read(headers, body.unwrap_or_default(), used, media)?;
        Ok(Self { path, query, headers, body })
    }

    /// Whether a fixed argument says what it has to.
    pub(super) fn says(&self, argument: &ArgumentConfig, steps: &[String]) -> bool {
        let Some(wanted) = argument.value.as_deref() else { return true };
        let among = |pairs: &[(String, String)]| {
            let mut said = pairs.iter().filter(|(name, _)| *name == argument.name).peekable();
            let fits = |text: &str| argument.read(text).is_ok_and(|(_, text)| text == wanted);
            said.peek().is_some() && said.all(|(_, text)| fits(text))
        };
        match (argument.place, &self.body) {
            (Place::Path, _) => {
                self.path.iter().any(|it| it.name == argument.name && it.text == wanted)
            }
            (Place::Query, _) => among(&self.query),
            (Place::Header, _) => {
                let mut said = self.headers.get_all(argument.name.as_str()).iter().peekable();
                said.peek().is_some() && said.all(|value| value == wanted)
            }
            (Place::Body, Said::Form(pairs)) => among(pairs),
            (Place::Body, Said::Json(value)) => {
                let found = steps.iter().try_fold(value, |value, step| value.get(step));
                found.and_then(Value::as_str) == Some(wanted)
            }
            (Place::Body, Said::Nothing | Said::Streams) => false,
        }
    }
}

impl Said {
    fn read(
        headers: &HeaderMap,
        body: Bytes,
        used: BodyUse,
        media: &[String],
    ) -> Result<Self, Stop> {
        if used == BodyUse::Opaque {
            require_opaque(headers, media)?;
            return Ok(Self::Streams);
        }
        let coded = headers.get_all(header::CONTENT_ENCODING).iter().any(|it| it != "identity");
        if coded {
            let detail = "a body that is read may not be compressed: leave Content-Encoding out";
            return Err(Stop::new(ProblemCode::UnsupportedMediaType, detail));
        }
        if body.is_empty() {
            return Ok(Self::Nothing);
        }
        match used {
            BodyUse::Json => {
                require_media(headers, "application/json", true)?;
                let mut value = json::read(&body)?;
                normalise(&mut value)?;
                Ok(Self::Json(value))
            }
            BodyUse::Form => {
                require_media(headers, "application/x-www-form-urlencoded", false)?;
                let text = std::str::from_utf8(&body)
                    .map_err(|_| Stop::new(Outcome::Malformed, "the form is not UTF-8"))?;
                Ok(Self::Form(canonical::pairs(text, Breaks::Allowed)?))
            }
            BodyUse::None | BodyUse::Opaque => {
                Err(Stop::new(Outcome::Malformed, "this operation takes no body"))
            }
        }
    }
}

impl Operation {
    /// Reads everything the request says, and refuses what is not declared.
    pub(super) fn read(&self, told: Told<'_>, api: &super::HttpAdapter) -> Result<Read, Stop> {
        let mut seen = Seen::new(&self.shadows);
        let Told { path, query, headers: said, body } = told;
        let path = self.read_path(path, &mut seen)?;
        let query = self.read_pairs(query, Place::Query, api.undeclared, &mut seen)?;
        let mut headers = headers::going_on(said, &api.passed);
        self.read_headers(said, &mut headers, &mut seen)?;
        let body = self.read_body(body, &mut headers, api.undeclared, &mut seen)?;
        self.require_all(&seen)?;
        Ok(Read { arguments: seen.arguments, path, query, headers, body })
    }

    fn declared(&self, name: &str, place: Place) -> Option<&ArgumentConfig> {
        self.arguments
            .iter()
            .map(|(argument, _)| argument)
            .find(|it| it.place == place && it.name == name && it.pointer.is_none())
    }

    fn at(&self, place: Place) -> impl Iterator<Item = &ArgumentConfig> {
        self.arguments.iter().map(|(it, _)| it).filter(move |it| it.place == place)
    }

    fn read_path(&self, parameters: Vec<PathValue>, seen: &mut Seen) -> Result<String, Stop> {
        let mut texts = Vec::with_capacity(parameters.len());
        for PathValue { name, text, tail, slash } in parameters {
            let plain = ArgumentConfig::plain(&name, Place::Path, Kind::String);
            let declared = self.declared(&name, Place::Path).unwrap_or(&plain);
            // A tail's own slashes join its segments; another could not be told from them.
            if slash && (tail || !declared.slash) {
                let detail = format!("an encoded slash may not stand in `{name}`");
                return Err(Stop::new(Outcome::Malformed, detail));
            }
            let (value, text) = declared.read(&text)?;
            seen.put(declared.key(), value)?;
            texts.push(text);
        }
        Ok(self.template.fill(&texts))
    }

    /// Reads a query or a form; gives its canonical text.
    fn read_pairs(
        &self,
        pairs: Vec<(String, String)>,
        place: Place,
        undeclared: Undeclared,
        seen: &mut Seen,
    ) -> Result<String, Stop> {
        let mut forwarded = Vec::with_capacity(pairs.len());
        for (name, text) in pairs {
            let plain = ArgumentConfig::plain(&name, place, Kind::String);
            let declared = match (self.declared(&name, place), undeclared) {
                (Some(declared), _) => declared,
                (None, Undeclared::Pass) => {
                    seen.require_new(&name)?;
                    &plain
                }
                (None, Undeclared::Refuse) => return Err(not_declared(&name)),
            };
            let (value, text) = declared.read(&text)?;
            if declared.list {
                seen.add(declared.key(), value);
            } else {
                seen.put(declared.key(), value)?;
            }
            forwarded.push((name, text));
        }
        for argument in self.at(place).filter(|it| !seen.knows(it.key())).collect::<Vec<_>>() {
            let (Some(value), Some(text)) = (&argument.default, argument.default_text()) else {
                continue;
            };
            let value =
                if argument.list { Value::Array(vec![value.clone()]) } else { value.clone() };
            seen.put(argument.key(), value)?;
            forwarded.push((argument.name.clone(), text));
        }
        Ok(canonical::query(forwarded.iter().map(|(n, v)| (n.as_str(), v.as_str()))))
    }

    fn read_headers(
        &self,
        said: &HeaderMap,
        kept: &mut HeaderMap,
        seen: &mut Seen,
    ) -> Result<(), Stop> {
        for argument in self.at(Place::Header) {
            let Ok(name) = headers::usable(&argument.name) else { continue };
            let mut values = said.get_all(&name).iter();
            let (value, text) = match (values.next(), argument.default_text()) {
                (Some(value), _) => {
                    let text = value.to_str().ok().filter(|_| values.next().is_none());
                    let Some(text) = text else {
                        let detail =
                            format!("header `{}` comes twice, or is not plain text", argument.name);
                        return Err(Stop::new(Outcome::Malformed, detail));
                    };
                    argument.read(text)?
                }
                (None, Some(text)) => argument.read(&text)?,
                (None, None) => continue,
            };
            seen.put(argument.key(), value)?;
            headers::set(kept, &name, &text);
        }
        Ok(())
    }

    fn read_body(
        &self,
        said: Said,
        headers: &mut HeaderMap,
        undeclared: Undeclared,
        seen: &mut Seen,
    ) -> Result<Option<Bytes>, Stop> {
        let came = !matches!(said, Said::Nothing);
        let said = match (said, self.body) {
            (Said::Streams, _) => return Ok(None),
            // Nothing is said, so that only defaults are.
            (Said::Nothing, BodyUse::Json) => Said::Json(Value::Object(Map::new())),
            (Said::Nothing, BodyUse::Form) => Said::Form(Vec::new()),
            (said, _) => said,
        };
        headers.remove(header::CONTENT_ENCODING);
        // It describes bytes that are written anew.
        headers.remove("content-digest");
        headers.remove("content-md5");
        let (text, media) = match said {
            Said::Form(pairs) => {
                let form = self.read_pairs(pairs, Place::Body, undeclared, seen)?;
                (form, HeaderValue::from_static("application/x-www-form-urlencoded"))
            }
            Said::Json(mut value) => {
                self.read_json(&mut value, undeclared, seen)?;
                let said = came || value.as_object().is_none_or(|members| !members.is_empty());
                let text = if said { value.to_string() } else { String::new() };
                (text, json_media(headers))
            }
            Said::Nothing | Said::Streams => (String::new(), HeaderValue::from_static("")),
        };
        if text.is_empty() {
            headers.remove(header::CONTENT_TYPE);
        } else {
            headers.insert(header::CONTENT_TYPE, media);
        }
        Ok(Some(Bytes::from(text)))
    }

    fn read_json(
        &self,
        value: &mut Value,
        undeclared: Undeclared,
        seen: &mut Seen,
    ) -> Result<(), Stop> {
        if let Some(members) = value.as_object_mut() {
            for argument in self.at(Place::Body).filter(|it| it.pointer.is_none()) {
                if let Some(default) = &argument.default
                    && members.get(&argument.name).is_none_or(Value::is_null)
                {
                    members.insert(argument.name.clone(), default.clone());
                }
            }
        }
        let live: Vec<_> = self
            .arguments
            .iter()
            .filter(|(argument, _)| argument.place == Place::Body)
            .map(|(argument, steps)| (argument, steps.as_slice()))
            .collect();
        Walk { undeclared, seen }.read(value, &live)
    }

    fn require_all(&self, seen: &Seen) -> Result<(), Stop> {
        let missing =
            |it: &&ArgumentConfig| (it.required || it.value.is_some()) && !seen.knows(it.key());
        match self.arguments.iter().map(|(it, _)| it).find(missing) {
            None => Ok(()),
            Some(argument) => {
                let detail = format!("`{}` is required", argument.name);
                Err(Stop::new(Outcome::Malformed, detail))
            }
        }
    }
}

/// The arguments by key, each once.
pub(super) struct Seen<'a> {
    arguments: Map<String, Value>,
    /// What generous upstreams take for a declared argument.
    shadows: &'a [String],
}

impl<'a> Seen<'a> {
    fn new(shadows: &'a [String]) -> Self {
        Self { arguments: Map::new(), shadows }
    }

    /// Whether it is given, and not as nothing.
    fn knows(&self, key: &str) -> bool {
        self.arguments.get(key).is_some_and(|value| !value.is_null())
    }

    pub(super) fn put(&mut self, key: &str, value: Value) -> Result<(), Stop> {
        if self.arguments.insert(key.to_owned(), value).is_none() {
            return Ok(());
        }
        let detail = format!("`{}` is said twice", shown(key));
        Err(Stop::new(Outcome::DuplicateMember, detail))
    }

    /// A list is given, perhaps with nothing in it.
    pub(super) fn begin(&mut self, key: &str) {
        self.arguments.entry(key.to_owned()).or_insert_with(|| Value::Array(Vec::new()));
    }

    /// One more member of a list.
    pub(super) fn add(&mut self, key: &str, value: Value) {
        self.begin(key);
        if let Some(Value::Array(list)) = self.arguments.get_mut(key) {
            list.push(value);
        }
    }

    /// Refuses what goes on undeclared when somebody may take it for what is declared, or for
    /// another request.
    pub(super) fn require_new(&self, name: &str) -> Result<(), Stop> {
        let ours = ["sensitivity", "calls"].contains(&name);
        if ours || headers::overrides(name) || self.shadows.contains(&shadow(name)) {
            let detail = format!(
                "`{}` would be taken for a declared argument or for another request",
                shown(name)
            );
            return Err(Stop::new(Outcome::Malformed, detail));
        }
        Ok(())
    }
}

fn shown(name: &str) -> String {
    name.chars().take(64).collect()
}

pub(super) fn not_declared(name: &str) -> Stop {
    let detail = format!(
        "`{}` is not declared by this operation; declare it, or set `undeclared = \"pass\"`",
        shown(name)
    );
    Stop::new(Outcome::Malformed, detail)
}

/// The one media type of a request, without its parameters.
fn media_type(headers: &HeaderMap) -> Option<(String, Vec<String>)> {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let said = values.next()?.to_str().ok()?;
    if values.next().is_some() {
        return None;
    }
    let mut parts = said.split(';').map(|part| part.trim().to_ascii_lowercase());
    Some((parts.next()?, parts.collect()))
}

fn is_json(media: &str) -> bool {
    let token = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    media == "application/json"
        || media.strip_prefix("application/").is_some_and(|it| it.ends_with("+json") && token(it))
}

fn require_media(headers: &HeaderMap, media: &str, suffix: bool) -> Result<(), Stop> {
    let fits = media_type(headers).is_some_and(|(said, parameters)| {
        let utf8 = parameters.iter().all(|it| {
            let (name, value) = it.split_once('=').unwrap_or((it, ""));
            name.trim() != "charset" || value.trim().trim_matches('"') == "utf-8"
        });
        (said == media || (suffix && is_json(&said))) && utf8
    });
    if fits {
        return Ok(());
    }
    let detail = format!("the body has to be {media} in UTF-8");
    Err(Stop::new(ProblemCode::UnsupportedMediaType, detail))
}

/// A body that nothing looks at is of a kind that is declared, and never one that could be read.
fn require_opaque(headers: &HeaderMap, media: &[String]) -> Result<(), Stop> {
    let said = media_type(headers);
    let several = headers.get_all(header::CONTENT_TYPE).iter().count() > 1;
    let fits = match &said {
        None => media.is_empty() && !headers.contains_key(header::CONTENT_TYPE),
        Some((said, _)) if media.is_empty() => said != "application/x-www-form-urlencoded",
        Some((said, _)) => media.iter().any(|it| it == said),
    };
    if fits && !several {
        return Ok(());
    }
    let detail = "this operation takes no such body: see its `media`";
    Err(Stop::new(ProblemCode::UnsupportedMediaType, detail))
}

/// The media type that goes on with a JSON body: the one that came, in its plain form.
fn json_media(headers: &HeaderMap) -> HeaderValue {
    let plain = HeaderValue::from_static("application/json");
    let said = media_type(headers).map(|(said, _)| said).filter(|said| is_json(said));
    said.and_then(|said| HeaderValue::from_str(&said).ok()).unwrap_or(plain)
}

/// Whether a body in its canonical form says what the body that came said, to whoever reads it.
pub(crate) fn says_the_same(came: &[u8], canonical: &[u8]) -> bool {
    if came == canonical {
        return true;
    }
    let read = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).ok();
    match (read(came), read(canonical)) {
        (Some(came), Some(canonical)) => came == canonical,
        (None, None) => {
            let text = |bytes| std::str::from_utf8(bytes).ok();
            matches!((text(came), text(canonical)), (Some(a), Some(b)) if canonical::same_pairs(a, b))
        }
        _ => false,
    }
}

/// The kind of body that arguments may stand in.
pub(super) fn argument_body(used: BodyUse) -> Option<Body> {
    match used {
        BodyUse::Json => Some(Body::Json),
        BodyUse::Form => Some(Body::Form),
        BodyUse::None | BodyUse::Opaque => None,
    }
}
