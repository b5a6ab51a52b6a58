//! A choice for the whole network, or one per stage.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::IntoDeserializer;
use serde::{Deserialize, Deserializer, Serialize};
use serde_untagged::UntaggedEnumVisitor;

use crate::{Error, Result};

/// A choice for the whole network, `conv = "dense"`, or a list with one per stage,
/// `conv = ["dense", "dense", "depthwise_separable", "depthwise_separable"]`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
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

/// Decides by the type of the value, so that an error is the choice's own; an untagged enum would
/// report only that nothing matched.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for PerStage<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        UntaggedEnumVisitor::new()
            .expecting("a choice, or a list with one per stage")
            .string(|text| T::deserialize(text.into_deserializer()).map(Self::All))
            .map(|map| map.deserialize().map(Self::All))
            .seq(|list| list.deserialize().map(Self::Each))
            .deserialize(deserializer)
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
