//! Attributes of a node.

use sd_onnx::proto::AttributeProto;

use crate::kernel::window::Window;

/// Attributes of a node, by name.
pub struct Attributes<'a>(pub &'a [AttributeProto]);

impl Attributes<'_> {
    fn find(&self, name: &str) -> Option<&AttributeProto> {
        self.0.iter().find(|attribute| attribute.name == name)
    }

    /// An integer, or `default` if the attribute is missing.
    pub fn int(&self, name: &str, default: i64) -> i64 {
        self.find(name).and_then(|attribute| attribute.i).unwrap_or(default)
    }

    /// A list of integers, empty if the attribute is missing.
    pub fn ints(&self, name: &str) -> &[i64] {
        self.find(name).map_or(&[], |attribute| &attribute.ints)
    }

    /// The window of a pooling node.
    pub fn pooling_window(&self) -> Option<Window> {
        let &[rows, columns] = self.ints("kernel_shape") else { return None };
        self.window([usize::try_from(rows).ok()?, usize::try_from(columns).ok()?])
    }

    /// The window with this kernel size; `None` with dilation, rounding up or automatic padding.
    pub fn window(&self, kernel: [usize; 2]) -> Option<Window> {
        let known = ["kernel_shape", "strides", "pads", "group", "count_include_pad", "dilations"];
        let all_known = self.0.iter().all(|attribute| known.contains(&attribute.name.as_str()));
        let is_dense = self.ints("dilations").iter().all(|&dilation| dilation == 1);
        let sizes = |name, default: usize, count: usize| match self.ints(name) {
            [] => Some(vec![default; count]),
            sizes if sizes.len() == count => {
                sizes.iter().map(|&size| usize::try_from(size).ok()).collect()
            }
            _ => None,
        };
        let (strides, pads) = (sizes("strides", 1, 2)?, sizes("pads", 0, 4)?);
        let window = Window {
            kernel,
            stride: [strides[0], strides[1]],
            pad_before: [pads[0], pads[1]],
            pad_after: [pads[2], pads[3]],
        };
        (all_known && is_dense && window.is_valid()).then_some(window)
    }
}
