//! Differences between two configurations.

use std::collections::BTreeSet;
use std::fmt;

use toml::{Table, Value};

/// A key whose value changed. Displayed as "`train.epochs = 3` then,
/// `train.epochs = 5` now".
#[derive(Debug, PartialEq)]
pub struct Difference {
    /// Such as `train.epochs`.
    pub key: String,
    /// `None` if the key was missing.
    pub then: Option<Value>,
    /// `None` if the key is missing.
    pub now: Option<Value>,
}

/// Returns the first key, in alphabetical order, whose values differ.
pub fn first_difference(then: &Table, now: &Table) -> Option<Difference> {
    let keys: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
    keys.into_iter().find_map(|key| match (then.get(key), now.get(key)) {
        (then, now) if then == now => None,
        (Some(Value::Table(then)), Some(Value::Table(now))) => {
            let inner = first_difference(then, now)?;
            Some(Difference { key: format!("{key}.{}", inner.key), ..inner })
        }
        (then, now) => {
            Some(Difference { key: key.clone(), then: then.cloned(), now: now.cloned() })
        }
    })
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let side = |value: &Option<Value>| match value {
            Some(value) => format!("`{} = {value}`", self.key),
            None => format!("no `{}`", self.key),
        };
        write!(f, "{} then, {} now", side(&self.then), side(&self.now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(then: &str, now: &str) -> Option<String> {
        let difference = first_difference(&then.parse().unwrap(), &now.parse().unwrap());
        difference.map(|difference| difference.to_string())
    }

    #[test]
    fn the_key_and_both_values_are_named() {
        let then = "[a]\nb = 1\nc = { d = [1, 2] }";
        assert_eq!(between(then, "a = { c = { d = [1, 2] }, b = 1 }"), None);
        assert_eq!(
            between(then, "[a]\nb = 1\nc = { d = [1, 3] }").unwrap(),
            "`a.c.d = [1, 2]` then, `a.c.d = [1, 3]` now"
        );
        assert_eq!(between(then, "[a]\nc = 'e'").unwrap(), "`a.b = 1` then, no `a.b` now");
        assert_eq!(
            between("a = 'e'", "[a.e]\nf = true").unwrap(),
            "`a = \"e\"` then, `a = { e = { f = true } }` now"
        );
    }
}
