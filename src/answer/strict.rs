//! From a JSON value to a type without serde's leniencies.
//!
//! serde reads a struct from a list by position, and drops unknown fields without a word. The first
//! would give a model's list of words a meaning that it never had; the second has to be known when two
//! readings are weighed. This file must not know where the value came from.

use std::cell::Cell;

use serde::de::value::StringDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, VariantAccess, Visitor,
};
use serde_json::{Error, Value};

/// A value that fits, and what it took.
pub(super) struct Fit<T> {
    pub(super) value: T,
    /// How many of its fields the type does not know.
    pub(super) ignored: usize,
    /// Names of repairs of its shape.
    pub(super) repairs: Vec<&'static str>,
}

/// Why a value does not fit, and where.
#[derive(Debug, Clone)]
pub(super) struct Misfit {
    pub(super) place: String,
    pub(super) problem: String,
}

/// How exact a value has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    Exact,
    /// A word in other case, null for a field that may be left out, and one object where a list is
    /// wanted have one meaning each.
    Mended,
}

/// What was noticed while a value was read.
#[derive(Default)]
struct Notes {
    ignored: Cell<usize>,
    word: Cell<bool>,
    null: Cell<bool>,
    single: Cell<bool>,
}

pub(super) fn read<T: DeserializeOwned>(value: &Value) -> Result<Fit<T>, Misfit> {
    let misfit = match read_as(value, Reading::Exact) {
        Ok(fit) => return Ok(fit),
        Err(misfit) => misfit,
    };
    // The first message is about what was written, so it is the one to send back.
    read_as(value, Reading::Mended).map_err(|_| misfit)
}

fn read_as<T: DeserializeOwned>(value: &Value, reading: Reading) -> Result<Fit<T>, Misfit> {
    let notes = Notes::default();
    match serde_path_to_error::deserialize(Strict { value, notes: &notes, reading }) {
        Ok(value) => {
            let repairs = [
                (&notes.word, "other case of a word"),
                (&notes.null, "null instead of nothing"),
                (&notes.single, "one object instead of a list"),
            ];
            let repairs = repairs.iter().filter(|(seen, _)| seen.get()).map(|(_, name)| *name).collect();
            Ok(Fit { value, ignored: notes.ignored.get(), repairs })
        }
        Err(error) => {
            let path = error.path().to_string();
            let place = if path == "." { "the top level".to_owned() } else { format!("`{path}`") };
            Err(Misfit { place: cut(&place, 120), problem: cut(&error.inner().to_string(), 300) })
        }
    }
}

fn cut(text: &str, limit: usize) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match text.char_indices().nth(limit) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

#[derive(Clone, Copy)]
struct Strict<'value> {
    value: &'value Value,
    notes: &'value Notes,
    reading: Reading,
}

impl<'value> Strict<'value> {
    fn of(&self, value: &'value Value) -> Strict<'value> {
        Strict { value, notes: self.notes, reading: self.reading }
    }

    fn unexpected<T>(&self, visitor: &dyn de::Expected) -> Result<T, Error> {
        let found = match self.value {
            Value::Null => Unexpected::Unit,
            Value::Bool(value) => Unexpected::Bool(*value),
            Value::Number(_) => Unexpected::Other("number"),
            Value::String(text) => Unexpected::Str(text),
            Value::Array(_) => Unexpected::Seq,
            Value::Object(_) => Unexpected::Map,
        };
        Err(de::Error::invalid_type(found, visitor))
    }
}

macro_rules! as_it_is {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.deserialize_any(visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for Strict<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(number) => number.deserialize_any(visitor),
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Array(items) => visitor.visit_seq(Items { left: items, of: self }),
            Value::Object(fields) => {
                visitor.visit_map(Fields { left: fields.iter(), next: None, of: self, nulls: true })
            }
        }
    }

    as_it_is! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32
        deserialize_f64 deserialize_char deserialize_str deserialize_string deserialize_bytes
        deserialize_byte_buf deserialize_unit deserialize_identifier
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.reading == Reading::Mended && self.value.is_object() {
            self.notes.single.set(true);
            return visitor.visit_seq(Items { left: std::slice::from_ref(self.value), of: self });
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.value.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_any(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_any(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_any(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.value.is_object() { self.deserialize_any(visitor) } else { self.unexpected(&visitor) }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.value {
            Value::Object(fields) if self.reading == Reading::Mended => {
                visitor.visit_map(Fields { left: fields.iter(), next: None, of: self, nulls: false })
            }
            _ => self.deserialize_map(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.value {
            Value::String(name) if self.reading == Reading::Mended && !variants.contains(&name.as_str()) => {
                let mut meant = variants.iter().filter(|variant| plain(variant) == plain(name));
                match (meant.next(), meant.next()) {
                    (Some(one), None) => {
                        self.notes.word.set(true);
                        visitor.visit_enum((*one).into_deserializer())
                    }
                    _ => visitor.visit_enum(name.as_str().into_deserializer()),
                }
            }
            Value::String(name) => visitor.visit_enum(name.as_str().into_deserializer()),
            Value::Object(fields) => match fields.iter().next() {
                Some((name, value)) if fields.len() == 1 => {
                    visitor.visit_enum(Variant { name, value: self.of(value) })
                }
                _ => Err(de::Error::invalid_value(Unexpected::Map, &"an object with exactly one field")),
            },
            _ => self.unexpected(&visitor),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.notes.ignored.set(self.notes.ignored.get() + 1);
        visitor.visit_unit()
    }
}

struct Items<'value> {
    left: &'value [Value],
    of: Strict<'value>,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some((first, left)) = self.left.split_first() else { return Ok(None) };
        self.left = left;
        seed.deserialize(self.of.of(first)).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left.len())
    }
}

struct Fields<'value> {
    left: serde_json::map::Iter<'value>,
    next: Option<&'value Value>,
    of: Strict<'value>,
    /// Whether fields that are null are given; a struct may take them for left out.
    nulls: bool,
}

/// A word without what people write differently.
fn plain(word: &str) -> String {
    word.trim().to_ascii_lowercase().replace(['-', ' '], "_")
}

impl<'de> MapAccess<'de> for Fields<'de> {
    type Error = Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some((name, value)) = self.left.next() else { return Ok(None) };
        if value.is_null() && !self.nulls {
            self.of.notes.null.set(true);
            return self.next_key_seed(seed);
        }
        self.next = Some(value);
        let name: StringDeserializer<Error> = name.clone().into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        match self.next.take() {
            Some(value) => seed.deserialize(self.of.of(value)),
            None => Err(de::Error::custom("a value was asked for before its name")),
        }
    }
}

struct Variant<'value> {
    name: &'value str,
    value: Strict<'value>,
}

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = Error;
    type Variant = Strict<'de>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Strict<'de>), Error> {
        let name: StringDeserializer<Error> = self.name.to_owned().into_deserializer();
        Ok((seed.deserialize(name)?, self.value))
    }
}

impl<'de> VariantAccess<'de> for Strict<'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        if self.value.is_null() { Ok(()) } else { self.unexpected(&"nothing beside the variant's name") }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Error> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_tuple(length, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }
}
