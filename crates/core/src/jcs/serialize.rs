//! Writing any value in RFC 8785 form, straight to bytes: no tree in between.
//!
//! Members of an object that come in order are written where they stand, which is so for structs whose
//! fields are declared in order; others are put in order when the object ends.

use serde::Serialize;
use serde::ser::{self, Impossible};
use serde_json::Number;

use super::{JcsError, write};
use crate::limits::JSON_DEPTH_MAX;

/// Bytes that most of what is written here fits in.
const USUAL_BYTES: usize = 1024;

/// The RFC 8785 bytes of a value.
pub(super) fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, JcsError> {
    let mut writer = Writer { out: Vec::with_capacity(USUAL_BYTES), ..Writer::default() };
    value.serialize(&mut writer)?;
    Ok(writer.out)
}

/// The text so far, and the members of the objects that are open.
#[derive(Default)]
struct Writer {
    out: Vec<u8>,
    depth: usize,
    members: Vec<Member>,
    /// Names of the members, one behind the other.
    names: String,
}

/// One member of an open object.
#[derive(Clone, Copy)]
struct Member {
    /// Where its name is in `names`.
    name: (usize, usize),
    /// Where it begins in `out`, without the comma.
    begin: usize,
}

/// An open array or object, and whether it is the value of an enum's variant.
struct Open<'a> {
    writer: &'a mut Writer,
    /// Members of the objects around it, and bytes of their names.
    outer: (usize, usize),
    /// Where its first byte is.
    begin: usize,
    in_order: bool,
    variant: bool,
}

impl ser::Error for JcsError {
    fn custom<T: std::fmt::Display>(_: T) -> Self {
        Self::Malformed
    }
}

impl Writer {
    fn text(&mut self, text: &[u8]) {
        self.out.extend_from_slice(text);
    }

    fn whole(&mut self, number: impl Into<Number>) -> Result<(), JcsError> {
        write::number(&number.into(), &mut self.out)
    }

    fn open(&mut self, bracket: u8, variant: Option<&str>) -> Open<'_> {
        if let Some(name) = variant {
            self.depth += 1;
            self.out.push(b'{');
            write::string(name, &mut self.out);
            self.out.push(b':');
        }
        self.depth += 1;
        let begin = self.out.len();
        self.out.push(bracket);
        let outer = (self.members.len(), self.names.len());
        Open { writer: self, outer, begin, in_order: true, variant: variant.is_some() }
    }

    /// Something within an array or object.
    fn inner<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), JcsError> {
        if self.depth > JSON_DEPTH_MAX {
            return Err(JcsError::Malformed);
        }
        value.serialize(self)
    }

    fn name(&self, member: Member) -> &str {
        let (begin, end) = member.name;
        self.names.get(begin..end).unwrap_or_default()
    }

    /// How two names compare by their UTF-16 code units. UTF-8 orders alike but beyond U+D7FF.
    fn compare(&self, a: Member, b: Member) -> std::cmp::Ordering {
        let (a, b) = (self.name(a), self.name(b));
        if a.is_ascii() && b.is_ascii() {
            return a.cmp(b);
        }
        a.encode_utf16().cmp(b.encode_utf16())
    }
}

impl Open<'_> {
    fn item<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), JcsError> {
        if self.writer.out.len() > self.begin + 1 {
            self.writer.out.push(b',');
        }
        self.writer.inner(item)
    }

    fn name(&mut self, name: &str) {
        let writer = &mut *self.writer;
        let (first, _) = self.outer;
        if writer.members.len() > first {
            writer.out.push(b',');
        }
        let from = writer.names.len();
        writer.names.push_str(name);
        let member = Member { name: (from, writer.names.len()), begin: writer.out.len() };
        if let Some(last) = writer.members.get(first..).and_then(<[Member]>::last)
            && writer.compare(*last, member).is_ge()
        {
            self.in_order = false;
        }
        writer.members.push(member);
        write::string(name, &mut writer.out);
        writer.out.push(b':');
    }

    fn close(self, bracket: u8) -> Result<(), JcsError> {
        let Self { writer, outer: (members, names), begin, in_order, variant } = self;
        if !in_order {
            writer.sort(members, begin)?;
        }
        writer.members.truncate(members);
        writer.names.truncate(names);
        writer.out.push(bracket);
        writer.depth -= 1;
        if variant {
            writer.out.push(b'}');
            writer.depth -= 1;
        }
        Ok(())
    }
}

impl Writer {
    /// Puts the members of the object at `begin` in order.
    fn sort(&mut self, first: usize, begin: usize) -> Result<(), JcsError> {
        let members = self.members.get(first..).unwrap_or_default();
        let ends = members.iter().skip(1).map(|next| next.begin - 1).chain([self.out.len()]);
        let mut spans: Vec<(Member, usize)> = members.iter().copied().zip(ends).collect();
        spans.sort_by(|(a, _), (b, _)| self.compare(*a, *b));
        let mut sorted = Vec::with_capacity(self.out.len().saturating_sub(begin));
        for (at, (member, end)) in spans.iter().enumerate() {
            let twice = at.checked_sub(1).and_then(|before| spans.get(before));
            if twice.is_some_and(|(before, _)| self.name(*before) == self.name(*member)) {
                return Err(JcsError::DuplicateMember);
            }
            if at > 0 {
                sorted.push(b',');
            }
            sorted.extend_from_slice(self.out.get(member.begin..*end).unwrap_or_default());
        }
        self.out.truncate(begin + 1);
        self.out.extend(sorted);
        Ok(())
    }
}

impl<'a> ser::Serializer for &'a mut Writer {
    type Ok = ();
    type Error = JcsError;
    type SerializeSeq = Open<'a>;
    type SerializeTuple = Open<'a>;
    type SerializeTupleStruct = Open<'a>;
    type SerializeTupleVariant = Open<'a>;
    type SerializeMap = Open<'a>;
    type SerializeStruct = Open<'a>;
    type SerializeStructVariant = Open<'a>;

    fn serialize_bool(self, value: bool) -> Result<(), JcsError> {
        self.text(if value { b"true" } else { b"false" });
        Ok(())
    }

    fn serialize_i8(self, value: i8) -> Result<(), JcsError> {
        self.whole(value)
    }

    fn serialize_i16(self, value: i16) -> Result<(), JcsError> {
        self.whole(value)
    }

    fn serialize_i32(self, value: i32) -> Result<(), JcsError> {
        self.whole(value)
    }

    fn serialize_i64(self, value: i64) -> Result<(), JcsError> {
        self.whole(value)
    }

    fn serialize_u8(self, value: u8) -> Result<(), JcsError> {
        self.whole(value)
    }

    fn serialize_u16(self, value: u16) -> Result<(), JcsError> {
        self.whole(value)
    }

    fn serialize_u32(self, value: u32) -> Result<(), JcsError> {
        self.whole(value)
    }

    fn serialize_u64(self, value: u64) -> Result<(), JcsError> {
        self.whole(value)
    }

    fn serialize_f32(self, value: f32) -> Result<(), JcsError> {
        self.serialize_f64(f64::from(value))
    }

    fn serialize_f64(self, value: f64) -> Result<(), JcsError> {
        self.whole(Number::from_f64(value).ok_or(JcsError::NonFinite)?)
    }

    fn serialize_char(self, value: char) -> Result<(), JcsError> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), JcsError> {
        write::string(value, &mut self.out);
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), JcsError> {
        value.serialize(self)
    }

    fn serialize_none(self) -> Result<(), JcsError> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), JcsError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), JcsError> {
        self.text(b"null");
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), JcsError> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), JcsError> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), JcsError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), JcsError> {
        let mut open = self.open(b'{', None);
        open.name(variant);
        open.writer.inner(value)?;
        open.close(b'}')
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Open<'a>, JcsError> {
        Ok(self.open(b'[', None))
    }

    fn serialize_tuple(self, _: usize) -> Result<Open<'a>, JcsError> {
        Ok(self.open(b'[', None))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Open<'a>, JcsError> {
        Ok(self.open(b'[', None))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Open<'a>, JcsError> {
        Ok(self.open(b'[', Some(variant)))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Open<'a>, JcsError> {
        Ok(self.open(b'{', None))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Open<'a>, JcsError> {
        Ok(self.open(b'{', None))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Open<'a>, JcsError> {
        Ok(self.open(b'{', Some(variant)))
    }

    fn is_human_readable(&self) -> bool {
        true
    }
}

macro_rules! items {
    ($($of:ident $method:ident,)+) => {
        $(impl ser::$of for Open<'_> {
            type Ok = ();
            type Error = JcsError;

            fn $method<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), JcsError> {
                self.item(item)
            }

            fn end(self) -> Result<(), JcsError> {
                self.close(b']')
            }
        })+
    };
}

items! {
    SerializeSeq serialize_element,
    SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field,
}

macro_rules! fields {
    ($($of:ident,)+) => {
        $(impl ser::$of for Open<'_> {
            type Ok = ();
            type Error = JcsError;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), JcsError> {
                self.name(name);
                self.writer.inner(value)
            }

            fn end(self) -> Result<(), JcsError> {
                self.close(b'}')
            }
        })+
    };
}

fields! { SerializeStruct, SerializeStructVariant, }

impl ser::SerializeMap for Open<'_> {
    type Ok = ();
    type Error = JcsError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), JcsError> {
        key.serialize(Name(self))
    }

    fn serialize_entry<K: Serialize + ?Sized, V: Serialize + ?Sized>(
        &mut self,
        key: &K,
        value: &V,
    ) -> Result<(), JcsError> {
        self.serialize_key(key)?;
        self.serialize_value(value)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), JcsError> {
        self.writer.inner(value)
    }

    fn end(self) -> Result<(), JcsError> {
        self.close(b'}')
    }
}

/// The name of a member: text, and nothing else.
struct Name<'a, 'b>(&'a mut Open<'b>);

macro_rules! no_name {
    ($($method:ident $of:ty,)+) => {
        $(fn $method(self, _: $of) -> Result<(), JcsError> {
            Err(JcsError::Malformed)
        })+
    };
}

impl ser::Serializer for Name<'_, '_> {
    type Ok = ();
    type Error = JcsError;
    type SerializeSeq = Impossible<(), JcsError>;
    type SerializeTuple = Impossible<(), JcsError>;
    type SerializeTupleStruct = Impossible<(), JcsError>;
    type SerializeTupleVariant = Impossible<(), JcsError>;
    type SerializeMap = Impossible<(), JcsError>;
    type SerializeStruct = Impossible<(), JcsError>;
    type SerializeStructVariant = Impossible<(), JcsError>;

    no_name! {
        serialize_bool bool,
        serialize_i8 i8,
        serialize_i16 i16,
        serialize_i32 i32,
        serialize_i64 i64,
        serialize_u8 u8,
        serialize_u16 u16,
        serialize_u32 u32,
        serialize_u64 u64,
        serialize_f32 f32,
        serialize_f64 f64,
        serialize_bytes &[u8],
        serialize_unit_struct &'static str,
    }

    fn serialize_char(self, value: char) -> Result<(), JcsError> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), JcsError> {
        self.0.name(value);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), JcsError> {
        Err(JcsError::Malformed)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), JcsError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), JcsError> {
        Err(JcsError::Malformed)
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), JcsError> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), JcsError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), JcsError> {
        Err(JcsError::Malformed)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, JcsError> {
        Err(JcsError::Malformed)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, JcsError> {
        Err(JcsError::Malformed)
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleStruct, JcsError> {
        Err(JcsError::Malformed)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, JcsError> {
        Err(JcsError::Malformed)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, JcsError> {
        Err(JcsError::Malformed)
    }

    fn serialize_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStruct, JcsError> {
        Err(JcsError::Malformed)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, JcsError> {
        Err(JcsError::Malformed)
    }
}
