//! Random networks that the engine supports.

use libfuzzer_sys::arbitrary::{Result, Unstructured};
use sd_onnx::proto::{AttributeProto, ElementType, GraphProto, NodeProto, TensorProto};
use sd_onnx::{Graph, int, ints};

use crate::reference::Map;

/// Maximum number of products of an operation on all images, which keeps a run short.
const PRODUCTS: usize = 1 << 14;
/// The same of one run in 32: enough for the fast algorithm for 3×3 on 16 channels.
const MANY_PRODUCTS: usize = 1 << 17;

#[derive(Clone, Copy)]
pub struct Window {
    pub kernel: [usize; 2],
    pub strides: [usize; 2],
    /// Above, left, below and right.
    pub pads: [usize; 4],
}

pub enum Operation {
    Convolution {
        window: Window,
        outputs: usize,
        groups: usize,
        weights: Vec<f32>,
        bias: Vec<f32>,
    },
    Int8Convolution {
        window: Window,
        outputs: usize,
        scale: f32,
        zero_point: u8,
        weights: Vec<f32>,
        factor: Vec<f32>,
        offset: Vec<f32>,
    },
    MaxPool(Window),
    AveragePool(Window),
    GlobalAverage,
    Relu,
    Sigmoid,
    Add,
    Multiply,
    Mean,
    Transpose,
    Flatten,
    Linear {
        outputs: usize,
        weights: Vec<f32>,
        bias: Vec<f32>,
    },
}

pub struct Generator {
    /// Images, channels, rows and columns.
    pub input: [usize; 4],
    max_products: usize,
    /// Operations, with the numbers of their inputs; the input of the network is 0.
    steps: Vec<(Operation, Vec<usize>)>,
    outputs: Vec<usize>,
}

/// Multiples of 1/8 between −2 and 2, from a seed, so that inputs stay short.
pub fn numbers(bytes: &mut Unstructured, count: usize) -> Result<Vec<f32>> {
    let mut state = u32::from(bytes.arbitrary::<u16>()?) * 2 + 1;
    let number = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 27) as f32 / 8.0 - 2.0
    };
    Ok((0..count).map(number).collect())
}

fn channels(bytes: &mut Unstructured) -> Result<usize> {
    bytes.choose(&[1, 2, 3, 4, 5, 8, 15, 16, 17, 31, 32, 33, 48]).copied()
}

impl Generator {
    pub fn network(bytes: &mut Unstructured) -> Result<Self> {
        let max_products = if bytes.ratio(1, 32)? { MANY_PRODUCTS } else { PRODUCTS };
        let images = if bytes.ratio(1, 4)? { bytes.int_in_range(0..=9)? } else { 1 };
        let input = [channels(bytes)?, bytes.int_in_range(1..=12)?, bytes.int_in_range(1..=12)?];
        let images = images.min(max_products / input.iter().product::<usize>());
        let [channels, height, width] = input;
        let input = [images, channels, height, width];
        let mut generator = Self { input, max_products, steps: Vec::new(), outputs: Vec::new() };
        // A batch without images tells the shapes.
        let mut values = vec![Map::new(vec![0, channels, height, width], vec![])];
        for _ in 0..bytes.int_in_range(1..=6)? {
            let inputs = generator.inputs(bytes, values.len())?;
            let shape = values[inputs[0]].shape.clone();
            let Some((operation, count)) = generator.operation(bytes, &shape)? else { continue };
            let inputs = inputs[..count].to_vec();
            let maps: Vec<&Map> = inputs.iter().map(|&input| &values[input]).collect();
            let Some(output) = operation.run(&maps) else { continue };
            values.push(output);
            generator.steps.push((operation, inputs));
        }
        let last = generator.steps.len();
        // An input of the network cannot be its output.
        generator.outputs = if last == 0 { vec![] } else { vec![last] };
        if last > 1 && bytes.arbitrary()? {
            generator.outputs.push(bytes.int_in_range(1..=last - 1)?);
        }
        Ok(generator)
    }

    /// The latest value first, then any.
    fn inputs(&self, bytes: &mut Unstructured, values: usize) -> Result<[usize; 3]> {
        let first = if bytes.ratio(3, 4)? { values - 1 } else { bytes.choose_index(values)? };
        Ok([first, bytes.choose_index(values)?, bytes.choose_index(values)?])
    }

    /// An operation on a value of this shape, and the number of its inputs.
    fn operation(
        &self,
        bytes: &mut Unstructured,
        shape: &[usize],
    ) -> Result<Option<(Operation, usize)>> {
        let max_products = self.max_products / self.input[0].max(1);
        let positions: usize = shape[2..].iter().product();
        let is_vector = shape.len() == 2;
        let kind = bytes.int_in_range(0..=11)?;
        Ok(Some(match kind {
            0 | 1 if !is_vector => {
                let window = window(bytes)?;
                let taps = window.kernel[0] * window.kernel[1];
                let divisors: Vec<_> =
                    (1..=shape[1]).filter(|n| shape[1].is_multiple_of(*n)).collect();
                // Dense and depthwise ones are not rarer than others.
                let groups = match bytes.int_in_range(0..=2)? {
                    0 => 1,
                    1 => shape[1],
                    _ => *bytes.choose(&divisors)?,
                };
                let outputs = match bytes.arbitrary()? {
                    true => groups,
                    false => channels(bytes)?.next_multiple_of(groups),
                };
                let depth = shape[1] / groups;
                if outputs * depth * taps * positions > max_products {
                    return Ok(None);
                }
                let weights = numbers(bytes, outputs * depth * taps)?;
                let bias = numbers(bytes, outputs)?;
                if kind == 1 && groups == 1 {
                    let weights = weights.iter().map(|weight| (weight * 63.0).round()).collect();
                    let (scale, zero_point) =
                        (*bytes.choose(&[0.125, 0.03, 2.0])?, bytes.arbitrary()?);
                    let factor = bias.iter().map(|bias| bias / 64.0).collect();
                    let offset = bias;
                    let operation = Operation::Int8Convolution {
                        window,
                        outputs,
                        scale,
                        zero_point,
                        weights,
                        factor,
                        offset,
                    };
                    return Ok(Some((operation, 1)));
                }
                (Operation::Convolution { window, outputs, groups, weights, bias }, 1)
            }
            2 if !is_vector => (Operation::MaxPool(window(bytes)?), 1),
            3 if !is_vector => (Operation::AveragePool(window(bytes)?), 1),
            4 if !is_vector => (Operation::GlobalAverage, 1),
            5 => (Operation::Relu, 1),
            6 => (Operation::Sigmoid, 1),
            7 => (Operation::Add, 2),
            8 => (Operation::Multiply, 2),
            9 => (Operation::Mean, bytes.int_in_range(1..=3)?),
            10 if !is_vector => (Operation::Transpose, 1),
            11 if !is_vector => (Operation::Flatten, 1),
            _ if is_vector => {
                let outputs = channels(bytes)?;
                if outputs * shape[1] > max_products {
                    return Ok(None);
                }
                let weights = numbers(bytes, outputs * shape[1])?;
                (Operation::Linear { outputs, weights, bias: numbers(bytes, outputs)? }, 1)
            }
            _ => return Ok(None),
        }))
    }

    /// Runs the naive loops.
    pub fn run(&self, input: Map) -> Option<Vec<Map>> {
        let mut values = vec![input];
        for (operation, inputs) in &self.steps {
            let inputs: Vec<&Map> = inputs.iter().map(|&input| &values[input]).collect();
            let output = operation.run(&inputs)?;
            values.push(output);
        }
        Some(self.outputs.iter().map(|&output| values[output].clone()).collect())
    }

    pub fn graph(&self) -> GraphProto {
        let mut graph = Graph::new("fuzz");
        let [_, sides @ ..] = self.input.map(|side| side as i64);
        graph.input("v0", &sides);
        let mut graph = graph.finish();
        for (index, (operation, inputs)) in self.steps.iter().enumerate() {
            let inputs = inputs.iter().map(|input| format!("v{input}")).collect();
            operation.add(&mut graph, inputs, format!("v{}", index + 1));
        }
        for output in &self.outputs {
            let mut named = graph.input[0].clone();
            named.name = format!("v{output}");
            graph.output.push(named);
        }
        graph
    }
}

fn window(bytes: &mut Unstructured) -> Result<Window> {
    let mut kernel = [bytes.int_in_range(1..=5)?, bytes.int_in_range(1..=5)?];
    let mut strides = [bytes.int_in_range(1..=3)?, bytes.int_in_range(1..=3)?];
    // What is usual has algorithms of its own.
    if bytes.ratio(1, 3)? {
        (kernel, strides) = ([3, 3], [1, 1]);
    }
    let mut pads = [0; 4];
    for (side, pad) in pads.iter_mut().enumerate() {
        *pad = bytes.int_in_range(0..=kernel[side % 2] - 1)?;
    }
    Ok(Window { kernel, strides, pads })
}

impl Window {
    fn attributes(&self) -> Vec<AttributeProto> {
        let list = |sides: &[usize]| sides.iter().map(|&side| side as i64).collect::<Vec<_>>();
        vec![
            ints("kernel_shape", &list(&self.kernel)),
            ints("strides", &list(&self.strides)),
            ints("pads", &list(&self.pads)),
        ]
    }
}

impl Operation {
    /// Adds its nodes and weights to a graph.
    fn add(&self, graph: &mut GraphProto, mut inputs: Vec<String>, output: String) {
        let taps = |window: &Window| window.kernel[0] * window.kernel[1];
        let kernel = |window: &Window, outputs: usize, weights: &[f32]| {
            let depth = weights.len() / outputs / taps(window);
            [outputs, depth, window.kernel[0], window.kernel[1]].map(|side| side as i64)
        };
        let mut weight = |part: &str, tensor: TensorProto| {
            let name = format!("{output}_{part}");
            graph.initializer.push(TensorProto { name: name.clone(), ..tensor });
            name
        };
        let floats = |dims: &[i64], values: &[f32]| TensorProto::floats("", dims, values);
        let (operator, attributes) = match self {
            Self::Convolution { window, outputs, groups, weights, bias } => {
                inputs.push(weight("w", floats(&kernel(window, *outputs, weights), weights)));
                inputs.push(weight("b", floats(&[bias.len() as i64], bias)));
                ("Conv", [window.attributes(), vec![int("group", *groups as i64)]].concat())
            }
            Self::Int8Convolution {
                window,
                outputs,
                scale,
                zero_point,
                weights,
                factor,
                offset,
            } => {
                let bytes = weights.iter().map(|&weight| weight as i8 as u8).collect();
                let dims = kernel(window, *outputs, weights);
                let channels = [1, *outputs as i64, 1, 1];
                let zero = || TensorProto::new("", &[], ElementType::Uint8, vec![*zero_point]);
                let w = weight("w", TensorProto::new("", &dims, ElementType::Int8, bytes));
                let [scale, zero] = [weight("s", floats(&[], &[*scale])), weight("z", zero())];
                let factor = weight("f", floats(&channels, factor));
                let offset = weight("o", floats(&channels, offset));
                let parts = ["q", "i", "c", "m"].map(|part| format!("{output}_{part}"));
                let [quantized, sums, cast, scaled] = &parts;
                let steps: [(&str, Vec<&String>, &String, Vec<AttributeProto>); 5] = [
                    ("QuantizeLinear", vec![&inputs[0], &scale, &zero], quantized, vec![]),
                    ("ConvInteger", vec![quantized, &w, &zero], sums, window.attributes()),
                    ("Cast", vec![sums], cast, vec![int("to", 1)]),
                    ("Mul", vec![cast, &factor], scaled, vec![]),
                    ("Add", vec![scaled, &offset], &output, vec![]),
                ];
                for (operator, inputs, output, attributes) in steps {
                    let inputs = inputs.into_iter().cloned().collect();
                    graph.node.push(node(operator, inputs, output.clone(), attributes));
                }
                return;
            }
            Self::MaxPool(window) => ("MaxPool", window.attributes()),
            Self::AveragePool(window) => {
                let counted = vec![int("count_include_pad", 1)];
                ("AveragePool", [window.attributes(), counted].concat())
            }
            Self::GlobalAverage => ("GlobalAveragePool", vec![]),
            Self::Relu => ("Relu", vec![]),
            Self::Sigmoid => ("Sigmoid", vec![]),
            Self::Add => ("Add", vec![]),
            Self::Multiply => ("Mul", vec![]),
            Self::Mean => ("Mean", vec![]),
            Self::Transpose => ("Transpose", vec![ints("perm", &[0, 2, 1, 3])]),
            Self::Flatten => ("Flatten", vec![int("axis", 1)]),
            Self::Linear { outputs, weights, bias } => {
                let dims = [*outputs as i64, (weights.len() / outputs) as i64];
                inputs.push(weight("w", floats(&dims, weights)));
                inputs.push(weight("b", floats(&dims[..1], bias)));
                ("Gemm", vec![int("transB", 1)])
            }
        };
        graph.node.push(node(operator, inputs, output, attributes));
    }
}

fn node(
    operator: &str,
    input: Vec<String>,
    output: String,
    attribute: Vec<AttributeProto>,
) -> NodeProto {
    let name = format!("{output}_node");
    NodeProto { input, output: vec![output], name, op_type: operator.to_owned(), attribute }
}
