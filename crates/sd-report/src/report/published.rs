//! Published results of small networks on CIFAR-100.
//!
//! All were trained from scratch with crops and flips, for 200 epochs or more. CondenseNet's figures
//! are also in its authors' repository.

use crate::record::Cost;

/// A published network.
#[derive(Debug, Clone, Copy)]
pub(super) struct Published {
    pub(super) name: &'static str,
    /// Year of the paper that describes the network or its training.
    pub(super) year: u16,
    pub(super) params: u64,
    /// `None` if the source does not count them.
    pub(super) macs: Option<u64>,
    /// Test top-1, as a fraction.
    pub(super) top1: f64,
    /// Source of the numbers.
    pub(super) source: &'static str,
}

/// Their data set, as named in records.
pub(super) const DATASET: &str = "cifar100";

const DENSENET: &str = "Huang et al., CVPR 2017, arXiv 1608.06993";
const CONDENSENET: &str = "Huang et al., CVPR 2018, arXiv 1711.09224";
const CIFAR_MODELS: &str = "github.com/chenyaofo/pytorch-cifar-models";
const BYOT: &str = "Zhang et al., ICCV 2019, arXiv 1905.08094";

/// Its paper counts no costs: these are those of the same network in this project.
const RESNET18: Cost = Cost { params: 11_220_132, macs: 555_468_800 };

pub(super) const PUBLISHED: [Published; 10] = [
    of("ResNet-20", 2016, 280_000, Some(40_820_000), 0.6883, CIFAR_MODELS),
    of("ResNet-56", 2016, 860_000, Some(125_750_000), 0.7263, CIFAR_MODELS),
    of("ShuffleNetV2 × 0.5", 2018, 440_000, Some(10_990_000), 0.6782, CIFAR_MODELS),
    of("ShuffleNetV2 × 1", 2018, 1_360_000, Some(45_090_000), 0.7239, CIFAR_MODELS),
    of("MobileNetV2 × 0.5", 2018, 820_000, Some(28_080_000), 0.7088, CIFAR_MODELS),
    of("MobileNetV2 × 1", 2018, 2_350_000, Some(88_090_000), 0.7420, CIFAR_MODELS),
    of("CondenseNet-86", 2018, 520_000, Some(65_800_000), 0.7636, CONDENSENET),
    of("DenseNet-BC-100-12", 2017, 800_000, None, 0.7773, DENSENET),
    of("ResNet-18", 2016, RESNET18.params, Some(RESNET18.macs), 0.7709, BYOT),
    of("ResNet-18, BYOT", 2019, RESNET18.params, Some(RESNET18.macs), 0.7864, BYOT),
];

const fn of(
    name: &'static str,
    year: u16,
    params: u64,
    macs: Option<u64>,
    top1: f64,
    source: &'static str,
) -> Published {
    Published { name, year, params, macs, top1, source }
}

/// The mark in a figure of the network with this index.
pub(super) fn letter(index: usize) -> char {
    char::from(b'A' + index as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_and_whole_counts() {
        for network in PUBLISHED {
            assert!((0.5..0.9).contains(&network.top1), "{network:?}");
            assert!(network.params > 100_000 && network.macs.is_none_or(|macs| macs > 1_000_000));
        }
        assert_eq!((letter(0), letter(9)), ('A', 'J'));
    }
}
