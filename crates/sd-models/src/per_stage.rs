//! A choice for the whole network, or one per stage.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer, StrDeserializer};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Serialize, Serializer};

use crate::{Error, Result};

/// A choice for the whole network, `conv = "dense"`, or a list with one per stage,
/// `conv = ["dense", "dense", "depthwise_separable", "depthwise_separable"]`.
#[derive(Debug, Clone, PartialEq)]
pub enum PerStage<T> {
    /// The same in every stage.
    All(T),
    /// Stage by stage, shallow first.
    Each(Vec<T>),
}

impl<T> PerStage<T> {
    /// The choices as written: one for all stages, or one each.
    pub fn choices(&self) -> &[T] {
        match self {
            Self::All(choice) => std::slice::from_ref(choice),
            Self::Each(list) => list,
        }
    }
}

impl<T: Clone> PerStage<T> {
    /// Returns one choice for each of `stages` stages; `key` names the list in an error.
    ///
    /// # Errors
    /// [`Error::Stages`] if a list has another length.
    pub fn resolve(&self, key: &'static str, stages: usize) -> Result<Vec<T>> {
        match self {
            Self::All(choice) => Ok(vec![choice.clone(); stages]),
            Self::Each(list) if list.len() == stages => Ok(list.clone()),
            Self::Each(list) => Err(Error::Stages { key, found: list.len(), expected: stages }),
        }
    }
}

impl<T: Serialize> Serialize for PerStage<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Self::All(choice) => choice.serialize(serializer),
            Self::Each(list) => list.serialize(serializer),
        }
    }
}

/// Decides by the type of the value, so that an error is the choice's own; an untagged enum would
/// report only that nothing matched.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for PerStage<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct ChoiceVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ChoiceVisitor<T> {
            type Value = PerStage<T>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a choice, or a list with one per stage")
            }

            fn visit_str<E: serde::de::Error>(
                self,
                text: &str,
            ) -> std::result::Result<Self::Value, E> {
                T::deserialize(StrDeserializer::new(text)).map(PerStage::All)
            }

            fn visit_map<A: MapAccess<'de>>(
                self,
                map: A,
            ) -> std::result::Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(PerStage::All)
            }

            fn visit_seq<A: SeqAccess<'de>>(
                self,
                list: A,
            ) -> std::result::Result<Self::Value, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(PerStage::Each)
            }
        }

        deserializer.deserialize_any(ChoiceVisitor(PhantomData))
    }
}

/// The form that [`Deserialize`] reads.
impl<T: JsonSchema> JsonSchema for PerStage<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("{}PerStage", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let choice = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [choice, { "type": "array", "items": choice }] })
    }

    fn inline_schema() -> bool {
        true
    }
}
