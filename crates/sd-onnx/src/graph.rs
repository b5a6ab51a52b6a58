//! Construction of graphs.

use std::collections::HashMap;

use crate::proto::{
    AttributeProto, Dimension, ElementType, GraphProto, NodeProto, TensorProto, TensorShapeProto,
    TensorTypeProto, TypeProto, ValueInfoProto,
};

/// A value of a graph: an input, a weight, or a node's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value(String);

impl Value {
    /// Stands for an omitted optional input.
    pub fn none() -> Self {
        Self(String::new())
    }

    /// Its name in the file.
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// Builds a graph node by node, in execution order.
///
/// The first axis of every input and output is the batch, which stays symbolic.
#[derive(Debug, Default)]
pub struct Graph {
    proto: GraphProto,
    /// Prefix of new names.
    scope: String,
    named: HashMap<String, usize>,
}

impl Graph {
    /// An empty graph.
    pub fn new(name: &str) -> Self {
        let proto = GraphProto { name: name.to_owned(), ..GraphProto::default() };
        Self { proto, ..Self::default() }
    }

    /// Starts a part of the network: the names of new values start with `scope` and a dot. A value of
    /// the part then has the same name in every graph that has the part.
    pub fn enter(&mut self, scope: &str) {
        self.scope = format!("{scope}.");
    }

    /// Adds an `f32` input `[N, sides…]`.
    pub fn input(&mut self, name: &str, sides: &[i64]) -> Value {
        self.proto.input.push(float_batch(name, sides));
        Value(name.to_owned())
    }

    /// Adds an `f32` initializer, whose name starts with `role` after the scope.
    ///
    /// # Panics
    /// If `values` does not fill `dims`.
    pub fn weight(&mut self, role: &str, dims: &[i64], values: &[f32]) -> Value {
        let name = self.fresh(role);
        self.proto.initializer.push(TensorProto::floats(&name, dims, values));
        Value(name)
    }

    /// Adds an `i64` vector as an initializer, such as a shape.
    pub fn longs(&mut self, role: &str, values: &[i64]) -> Value {
        let name = self.fresh(role);
        self.proto.initializer.push(TensorProto::longs(&name, values));
        Value(name)
    }

    /// Adds a node and returns its output.
    pub fn node(
        &mut self,
        operator: &str,
        inputs: &[&Value],
        attribute: Vec<AttributeProto>,
    ) -> Value {
        let name = self.fresh(operator);
        let inputs: Vec<&str> = inputs.iter().map(|value| value.name()).collect();
        self.proto.node.push(NodeProto::new(operator, &inputs, &name, attribute));
        Value(name)
    }

    /// Renames the value to `name`, makes it an output `[N, sides…]`, and returns it.
    pub fn output(&mut self, value: &Value, name: &str, sides: &[i64]) -> Value {
        self.proto.output.push(float_batch(name, sides));
        self.rename(value, name)
    }

    /// Renames the output of a node to `name`, and returns it.
    pub fn rename(&mut self, value: &Value, name: &str) -> Value {
        for node in &mut self.proto.node {
            for known in node.input.iter_mut().chain(&mut node.output) {
                if *known == value.0 {
                    name.clone_into(known);
                }
            }
        }
        Value(name.to_owned())
    }

    /// Returns the graph.
    pub fn finish(self) -> GraphProto {
        self.proto
    }

    fn fresh(&mut self, role: &str) -> String {
        let name = format!("{}{}", self.scope, role.to_lowercase());
        let count = self.named.entry(name.clone()).or_default();
        *count += 1;
        format!("{name}_{count}")
    }
}

/// The name of a value without its scope, see [`Graph::enter`].
pub fn without_scope(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

fn float_batch(name: &str, sides: &[i64]) -> ValueInfoProto {
    let batch = Dimension { dim_value: None, dim_param: Some("batch".to_owned()) };
    let side = |&side| Dimension { dim_value: Some(side), dim_param: None };
    let dim = [batch].into_iter().chain(sides.iter().map(side)).collect();
    let tensor = TensorTypeProto {
        elem_type: ElementType::Float as i32,
        shape: Some(TensorShapeProto { dim }),
    };
    ValueInfoProto { name: name.to_owned(), r#type: Some(TypeProto { tensor_type: Some(tensor) }) }
}

impl NodeProto {
    /// A node with the output `output`.
    pub(crate) fn new(
        operator: &str,
        inputs: &[&str],
        output: &str,
        attribute: Vec<AttributeProto>,
    ) -> Self {
        Self {
            input: inputs.iter().map(|&name| name.to_owned()).collect(),
            output: vec![output.to_owned()],
            // Unlike the value's: in rten, nodes and values share a namespace.
            name: format!("{output}_node"),
            op_type: operator.to_owned(),
            attribute,
        }
    }
}

/// An attribute without a value yet.
fn attribute(name: &str, r#type: i32) -> AttributeProto {
    AttributeProto { name: name.to_owned(), r#type, ..AttributeProto::default() }
}

/// A float attribute.
pub fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { f: Some(value), ..attribute(name, AttributeProto::FLOAT) }
}

/// An integer attribute.
pub fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { i: Some(value), ..attribute(name, AttributeProto::INT) }
}

/// A string attribute.
pub fn string(name: &str, value: &str) -> AttributeProto {
    AttributeProto { s: Some(value.to_owned()), ..attribute(name, AttributeProto::STRING) }
}

/// An attribute that is a list of integers.
pub fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { ints: values.to_vec(), ..attribute(name, AttributeProto::INTS) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_is_renamed_wherever_it_is_used() {
        let mut graph = Graph::new("two");
        let input = graph.input("images", &[1]);
        let first = graph.node("Relu", &[&input], vec![]);
        let second = graph.node("Relu", &[&first], vec![]);
        assert_eq!((first.name(), second.name()), ("relu_1", "relu_2"));
        let map = graph.output(&first, "map", &[1]);
        graph.output(&second, "logits", &[1]);
        let proto = graph.finish();
        assert_eq!(map.name(), "map");
        assert_eq!(proto.node[0].output, ["map"]);
        assert_eq!(proto.node[1].input, ["map"]);
        assert_eq!(proto.node[1].output, ["logits"]);
        let shape = proto.output[0].r#type.clone().unwrap().tensor_type.unwrap().shape.unwrap();
        assert_eq!(shape.dim[0].dim_param.as_deref(), Some("batch"));
        assert_eq!(shape.dim[1].dim_value, Some(1));
    }

    #[test]
    fn a_value_has_the_same_name_in_every_graph_with_its_part() {
        let last = |parts: &[&str]| {
            let mut graph = Graph::new("parts");
            let mut value = graph.input("images", &[1]);
            for part in parts {
                graph.enter(part);
                for _ in 0..2 {
                    value = graph.node("Relu", &[&value], vec![]);
                }
            }
            value
        };
        assert_eq!(last(&["stem", "stage1"]).name(), "stage1.relu_2");
        assert_eq!(last(&["stage1"]), last(&["stem", "exit1", "stage1"]));
        assert_eq!(without_scope("stage1.relu_2"), "relu_2");
        assert_eq!(without_scope("relu_2"), "relu_2");
    }
}
