//! A choice for the whole network, or one per stage.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer, StrDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::Error;

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

    /// Another choice in place of each.
    #[must_use]
    pub(crate) fn map(&self, change: impl Fn(&T) -> T) -> Self {
        match self {
            Self::All(choice) => Self::All(change(choice)),
            Self::Each(list) => Self::Each(list.iter().map(change).collect()),
        }
    }
}

impl<T: Clone> PerStage<T> {
    /// Returns one choice for each of `stages` stages; `key` names the list in an error.
    ///
    /// # Errors
    /// [`Error::Stages`] if a list has another length.
    pub fn resolve(&self, key: &'static str, stages: usize) -> crate::Result<Vec<T>> {
        match self {
            Self::All(choice) => Ok(vec![choice.clone(); stages]),
            Self::Each(list) if list.len() == stages => Ok(list.clone()),
            Self::Each(list) => Err(Error::Stages { key, found: list.len(), expected: stages }),
        }
    }
}

/// Decides by the type of the value, so that an error is the choice's own, with its position; an
/// untagged enum would report only that nothing matched.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for PerStage<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ChoiceVisitor(PhantomData))
    }
}

struct ChoiceVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ChoiceVisitor<T> {
    type Value = PerStage<T>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a choice, or a list with one per stage")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        T::deserialize(StrDeserializer::new(text)).map(PerStage::All)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(PerStage::All)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list)).map(PerStage::Each)
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

#[cfg(test)]
mod tests {
    use super::*;
    use sd_layers::ConvConfig;

    fn parsed(value: &str) -> Result<PerStage<ConvConfig>, String> {
        #[derive(Deserialize)]
        struct Table {
            conv: PerStage<ConvConfig>,
        }
        let table: Result<Table, _> = toml::from_str(&format!("conv = {value}"));
        table.map(|table| table.conv).map_err(|error| error.to_string())
    }

    #[test]
    fn an_error_names_the_choices_value_and_where_it_stands() {
        for (value, column, message) in [
            ("'dens'", 8, "unknown variant `dens`, expected one of `dense`, `grouped`"),
            ("3", 8, "invalid type: integer `3`, expected a choice, or a list with one per stage"),
            ("{ grouped = { group = 8 } }", 22, "unknown field `group`, expected `groups`"),
            ("{ grouped = { groups = 'a' } }", 31, "invalid type: string \"a\", expected i64"),
            ("['dense', 'dens']", 18, "unknown variant `dens`"),
        ] {
            let error = parsed(value).unwrap_err();
            assert!(error.contains(&format!("line 1, column {column}\n")), "{error}");
            assert!(error.contains(message), "{error}");
        }
        assert_eq!(parsed("'dense'"), Ok(PerStage::All(ConvConfig::Dense)));
        assert_eq!(parsed("['dense']"), Ok(PerStage::Each(vec![ConvConfig::Dense])));
    }
}
