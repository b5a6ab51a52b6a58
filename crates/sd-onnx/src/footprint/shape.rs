//! Shapes of the outputs of the operators that exported networks use.

use std::collections::HashMap;

use super::{Constant, describe};
use crate::proto::{AttributeProto, NodeProto};
use crate::{Error, Result};

/// Largest kernel, stride, padding and scale along an axis.
const MAX_WINDOW: usize = 4_096;

/// Returns the shapes of a node's outputs; `None` if it does not accept the shapes of its inputs.
///
/// # Errors
/// [`Error::Operator`] if they cannot be computed in advance.
pub fn infer(
    node: &NodeProto,
    inputs: &[&[usize]],
    constants: &HashMap<String, Constant>,
) -> Result<Option<Vec<Vec<usize>>>> {
    let unknown = || Error::Operator { node: describe(node) };
    let [first, ..] = inputs else { return Err(unknown()) };
    let operator = Operator { node, first, inputs, constants };
    if node.op_type == "Split" {
        return Ok(operator.split());
    }
    if node.output.len() != 1 {
        return Err(unknown());
    }
    let output = match node.op_type.as_str() {
        "Relu" | "Sigmoid" | "Sqrt" | "HardSwish" | "Cast" | "Clip" | "BatchNormalization"
        | "QuantizeLinear" | "DequantizeLinear" => Some(first.to_vec()),
        "Add" | "Sub" | "Mul" | "Div" | "Mean" => broadcast(inputs),
        "Conv" | "ConvInteger" | "ConvTranspose" | "MaxPool" | "AveragePool" => {
            let window = Window::of(node).ok_or_else(unknown)?;
            match node.op_type.as_str() {
                "ConvTranspose" => operator.transposed_convolution(&window),
                "MaxPool" | "AveragePool" => operator.pool(&window),
                _ => operator.convolution(&window),
            }
        }
        "GlobalAveragePool" => match **first {
            [images, channels, ..] if first.len() > 2 => {
                let ones = std::iter::repeat_n(1, first.len() - 2);
                Some([images, channels].into_iter().chain(ones).collect())
            }
            _ => None,
        },
        "Gemm" | "MatMul" => operator.product(),
        "Flatten" => operator.flatten(),
        "Transpose" => operator.transpose(),
        "Reshape" => operator.reshape(),
        "Expand" => operator.longs(1).and_then(to_sizes).and_then(|to| broadcast(&[first, &to])),
        "Concat" => operator.concat(),
        "Slice" => operator.slice(),
        "Pad" => operator.pad(),
        "Resize" => operator.resize(),
        "ReduceMean" | "ReduceMax" => operator.reduce(),
        _ => return Err(unknown()),
    };
    Ok(output.filter(|shape| !shape.contains(&0)).map(|shape| vec![shape]))
}

struct Operator<'a> {
    node: &'a NodeProto,
    first: &'a [usize],
    inputs: &'a [&'a [usize]],
    constants: &'a HashMap<String, Constant>,
}

impl Operator<'_> {
    fn constant(&self, input: usize) -> Option<&Constant> {
        self.constants.get(self.node.input.get(input)?)
    }

    fn longs(&self, input: usize) -> Option<&[i64]> {
        let constant = self.constant(input)?;
        (Some(constant.longs.len()) == count(&constant.shape)).then_some(&constant.longs)
    }

    fn int(&self, name: &str, default: i64) -> i64 {
        find(self.node, name).and_then(|attribute| attribute.i).unwrap_or(default)
    }

    fn ints(&self, name: &str) -> Option<&[i64]> {
        find(self.node, name).map(|attribute| &attribute.ints[..])
    }

    /// An axis, which counts from the end if negative.
    fn axis(&self, axis: i64) -> Option<usize> {
        let count = self.first.len();
        let axis = if axis < 0 { axis.checked_add(count as i64)? } else { axis };
        usize::try_from(axis).ok().filter(|&axis| axis < count)
    }

    fn convolution(&self, window: &Window) -> Option<Vec<usize>> {
        let &[images, channels, height, width] = self.first else { return None };
        let &&[outputs, depth, rows, columns] = self.inputs.get(1)? else { return None };
        let groups = usize::try_from(self.int("group", 1)).ok().filter(|&groups| groups > 0)?;
        let fits = depth.checked_mul(groups) == Some(channels)
            && outputs.is_multiple_of(groups)
            && window.kernel.is_none_or(|kernel| kernel == [rows, columns]);
        let [height, width] =
            window.output_size([height, width], [rows, columns]).filter(|_| fits)?;
        Some(vec![images, outputs, height, width])
    }

    fn transposed_convolution(&self, window: &Window) -> Option<Vec<usize>> {
        let &[images, channels, height, width] = self.first else { return None };
        let &&[inputs, outputs, rows, columns] = self.inputs.get(1)? else { return None };
        let is_plain = self.int("group", 1) == 1
            && find(self.node, "output_padding").is_none()
            && find(self.node, "output_shape").is_none();
        if !is_plain || inputs != channels || rows.max(columns) > MAX_WINDOW {
            return None;
        }
        let size = |axis: usize, size: usize, kernel: usize| {
            let all =
                size.checked_sub(1)?.checked_mul(window.strides[axis])?.checked_add(kernel)?;
            all.checked_sub((window.pads[axis] + window.pads[axis + 2]) as usize)
        };
        Some(vec![images, outputs, size(0, height, rows)?, size(1, width, columns)?])
    }

    fn pool(&self, window: &Window) -> Option<Vec<usize>> {
        let &[images, channels, height, width] = self.first else { return None };
        let [height, width] = window.output_size([height, width], window.kernel?)?;
        Some(vec![images, channels, height, width])
    }

    fn product(&self) -> Option<Vec<usize>> {
        let (&[rows, depth], &&[height, width]) = (self.first, self.inputs.get(1)?) else {
            return None;
        };
        let is_transposed = self.int("transB", 0) == 1;
        let [inputs, outputs] = if is_transposed { [width, height] } else { [height, width] };
        (self.int("transA", 0) == 0 && inputs == depth).then(|| vec![rows, outputs])
    }

    fn flatten(&self) -> Option<Vec<usize>> {
        let axis = usize::try_from(self.int("axis", 1)).ok()?;
        let (rows, columns) = self.first.split_at_checked(axis)?;
        Some(vec![count(rows)?, count(columns)?])
    }

    fn transpose(&self) -> Option<Vec<usize>> {
        let axes = self.ints("perm")?.iter().map(|&axis| self.axis(axis));
        let axes = axes.collect::<Option<Vec<_>>>()?;
        let mut sorted = axes.clone();
        sorted.sort_unstable();
        let is_permutation = sorted.into_iter().eq(0..self.first.len());
        is_permutation.then(|| axes.iter().map(|&axis| self.first[axis]).collect())
    }

    fn reshape(&self) -> Option<Vec<usize>> {
        let all = count(self.first)?;
        let (mut rest, mut shape) = (None, Vec::new());
        for (axis, &side) in self.longs(1)?.iter().enumerate() {
            match side {
                0 => shape.push(*self.first.get(axis)?),
                -1 if rest.is_none() => {
                    rest = Some(axis);
                    shape.push(1);
                }
                _ => shape.push(usize::try_from(side).ok()?),
            }
        }
        if let Some(axis) = rest {
            shape[axis] = all.checked_div(count(&shape)?)?;
        }
        (count(&shape)? == all).then_some(shape)
    }

    fn concat(&self) -> Option<Vec<usize>> {
        let axis = self.axis(self.int("axis", 0))?;
        let mut shape = self.first.to_vec();
        for other in &self.inputs[1..] {
            let fits = other.len() == shape.len()
                && (0..shape.len())
                    .all(|other_axis| other_axis == axis || other[other_axis] == shape[other_axis]);
            shape[axis] = shape[axis].checked_add(*other.get(axis).filter(|_| fits)?)?;
        }
        Some(shape)
    }

    fn slice(&self) -> Option<Vec<usize>> {
        let (starts, ends, axes) = (self.longs(1)?, self.longs(2)?, self.longs(3)?);
        if [starts.len(), ends.len()] != [axes.len(); 2] || self.node.input.len() > 4 {
            return None;
        }
        let mut shape = self.first.to_vec();
        for ((&start, &end), &axis) in starts.iter().zip(ends).zip(axes) {
            let axis = self.axis(axis)?;
            let size = i64::try_from(self.first[axis]).ok()?;
            let place = |at: i64| if at < 0 { at.saturating_add(size) } else { at }.clamp(0, size);
            shape[axis] = usize::try_from(place(end) - place(start)).ok()?;
        }
        Some(shape)
    }

    fn split(&self) -> Option<Vec<Vec<usize>>> {
        let axis = self.axis(self.int("axis", 0))?;
        let sizes = to_sizes(self.longs(1)?)?;
        let sum = sizes.iter().try_fold(0usize, |sum, &size| sum.checked_add(size));
        if sizes.len() != self.node.output.len() || sum != Some(self.first[axis]) {
            return None;
        }
        let part = |size| {
            let mut shape = self.first.to_vec();
            shape[axis] = size;
            shape
        };
        (!sizes.contains(&0)).then(|| sizes.into_iter().map(part).collect())
    }

    fn pad(&self) -> Option<Vec<usize>> {
        let pads = to_sizes(self.longs(1)?)?;
        let axes = self.first.len();
        if pads.len() != 2 * axes || self.node.input.len() > 3 {
            return None;
        }
        let side =
            |axis: usize| self.first[axis].checked_add(pads[axis])?.checked_add(pads[axis + axes]);
        (0..axes).map(side).collect()
    }

    fn resize(&self) -> Option<Vec<usize>> {
        let scales = &self.constant(2)?.floats;
        if scales.len() != self.first.len() || self.node.input.len() > 3 {
            return None;
        }
        let side = |(&side, &scale): (&usize, &f32)| {
            let is_valid = scale > 0.0 && scale <= MAX_WINDOW as f32;
            // Rounded down; a runtime may round up.
            is_valid.then_some((side as f32 * scale) as usize)
        };
        self.first.iter().zip(scales).map(side).collect()
    }

    fn reduce(&self) -> Option<Vec<usize>> {
        if self.int("keepdims", 1) != 1 || self.inputs.len() != 1 {
            return None;
        }
        let mut shape = self.first.to_vec();
        match self.ints("axes") {
            Some(axes) => {
                for &axis in axes {
                    shape[self.axis(axis)?] = 1;
                }
            }
            None => shape.fill(1),
        }
        Some(shape)
    }
}

/// The window of a convolution or of pooling.
pub struct Window {
    /// Rows and columns, if the node has them.
    pub kernel: Option<[usize; 2]>,
    pub strides: [usize; 2],
    /// Above, left, below and right.
    pub pads: [u64; 4],
}

impl Window {
    /// The window of a node; `None` with dilation, rounding up or automatic padding, which exported
    /// networks do not use, or sizes out of range.
    pub fn of(node: &NodeProto) -> Option<Self> {
        let is = |name: &str, plain: &dyn Fn(&AttributeProto) -> bool| {
            find(node, name).is_none_or(plain)
        };
        let is_plain = find(node, "auto_pad").is_none()
            && is("ceil_mode", &|attribute| attribute.i.unwrap_or_default() == 0)
            && is("dilations", &|attribute| attribute.ints.iter().all(|&dilation| dilation == 1));
        Some(Self {
            kernel: match find(node, "kernel_shape") {
                Some(attribute) => Some(sizes(&attribute.ints, 1..=MAX_WINDOW)?),
                None => None,
            },
            strides: match find(node, "strides") {
                Some(attribute) if !attribute.ints.is_empty() => {
                    sizes(&attribute.ints, 1..=MAX_WINDOW)?
                }
                _ => [1; 2],
            },
            pads: match find(node, "pads") {
                Some(attribute) if !attribute.ints.is_empty() => {
                    sizes(&attribute.ints, 0..=MAX_WINDOW)?.map(|pad: usize| pad as u64)
                }
                _ => [0; 4],
            },
        })
        .filter(|_| is_plain)
    }

    /// Rows and columns of the output; `None` if the kernel is larger than the padded input.
    fn output_size(&self, size: [usize; 2], kernel: [usize; 2]) -> Option<[usize; 2]> {
        let along = |axis: usize| {
            let pads = (self.pads[axis] + self.pads[axis + 2]) as usize;
            let padded = size[axis].checked_add(pads)?;
            let is_valid = (1..=MAX_WINDOW).contains(&kernel[axis]);
            Some(padded.checked_sub(kernel[axis]).filter(|_| is_valid)? / self.strides[axis] + 1)
        };
        Some([along(0)?, along(1)?])
    }
}

fn find<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

/// As many sizes, all within `range`.
fn sizes<const COUNT: usize>(
    values: &[i64],
    range: std::ops::RangeInclusive<usize>,
) -> Option<[usize; COUNT]> {
    let sizes: [usize; COUNT] = to_sizes(values)?.try_into().ok()?;
    sizes.iter().all(|size| range.contains(size)).then_some(sizes)
}

fn to_sizes(values: &[i64]) -> Option<Vec<usize>> {
    values.iter().map(|&value| usize::try_from(value).ok()).collect()
}

fn count(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |product, &side| product.checked_mul(side))
}

/// The common shape of values of which axes of size 1 are repeated, aligned at the last axis.
fn broadcast(inputs: &[&[usize]]) -> Option<Vec<usize>> {
    let axes = inputs.iter().map(|shape| shape.len()).max()?;
    let mut common = vec![1; axes];
    for shape in inputs {
        let first = axes - shape.len();
        for (side, &other) in common[first..].iter_mut().zip(*shape) {
            match (*side, other) {
                (1, _) => *side = other,
                (_, 1) => {}
                (side, other) if side == other => {}
                _ => return None,
            }
        }
    }
    Some(common)
}
