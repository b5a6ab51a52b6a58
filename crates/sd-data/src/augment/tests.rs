use super::*;
use crate::random;

#[test]
fn changes_depend_only_on_the_stream() {
    for shape in [ImageShape::new(3, 16, 16), ImageShape::new(1, 16, 19)] {
        let source: Vec<u8> = (0..shape.values()).map(|i| (i * 41 % 251) as u8).collect();
        let tables = vec![std::array::from_fn(|byte| byte as f32 - 100.0); shape.channels];
        let mut scratch = Scratch::new(shape);
        for one in AugmentConfig::examples() {
            one.get().check("data.augment[0]", shape).unwrap();
            let mut augmented = |sample| {
                let mut canvas = Canvas::new(&source, &mut scratch);
                one.get().apply(&mut random::of_sample(0, 0, sample), &mut canvas);
                let mut target = vec![f32::NAN; shape.values()];
                canvas.write(&tables, &mut target);
                target
            };
            let first = augmented(0);
            let others: Vec<_> = (1..64).map(&mut augmented).collect();
            assert!(others.iter().any(|other| *other != first), "{one:?} changes nothing");
            // The result does not depend on what other images left in the scratch memory.
            assert_eq!(augmented(0), first, "{one:?}");
        }
    }
}

#[test]
fn only_erasures_follow_an_erasure() {
    let flip = AugmentConfig::Flip(FlipConfig { probability: 0.5 });
    let erasing = AugmentConfig::RandomErasing(RandomErasingConfig::default());
    let cutout = AugmentConfig::Cutout(CutoutConfig { side: 4 });
    let shape = ImageShape::new(3, 8, 8);
    check_all(&[flip.clone(), erasing.clone(), cutout.clone()], shape).unwrap();
    assert_eq!(
        check_all(&[erasing, cutout, flip], shape).unwrap_err().to_string(),
        "`data.augment[2]` is after an erasure, `data.augment[1]`, expected `random_erasing` \
         and `cutout` at the end of the list: they set values after normalisation"
    );
}

#[derive(Debug, Deserialize, Serialize)]
struct Holder {
    augment: Vec<AugmentConfig>,
}

fn read(text: &str) -> std::result::Result<Vec<AugmentConfig>, toml::de::Error> {
    toml::from_str(text).map(|Holder { augment }| augment)
}

#[test]
fn reads_the_documented_toml() {
    assert_eq!(
        read("augment = [{ pad_crop = { padding = 4 } }, { flip = {} }]").unwrap(),
        [
            AugmentConfig::PadCrop(PadCropConfig { padding: 4 }),
            AugmentConfig::Flip(FlipConfig { probability: 0.5 }),
        ]
    );
    assert_eq!(
        read(
            "augment = [{ random_resized_crop = {} }, { auto_augment = { policy = 'imagenet' } }, { rand_augment = {} }, \
             { trivial_augment_wide = {} }, { color_jitter = { hue = 0.1 } }, \
             { random_erasing = {} }, { cutout = { side = 16 } }]"
        )
        .unwrap(),
        [
            AugmentConfig::RandomResizedCrop(RandomResizedCropConfig {
                scale: [0.08, 1.0],
                ratio: [3.0 / 4.0, 4.0 / 3.0],
            }),
            AugmentConfig::AutoAugment(AutoAugmentConfig {
                policy: AutoAugmentPolicy::Imagenet,
                fill: 0
            }),
            AugmentConfig::RandAugment(RandAugmentConfig {
                num_ops: 2,
                magnitude: 9,
                num_magnitude_bins: 31,
                fill: 0,
            }),
            AugmentConfig::TrivialAugmentWide(TrivialAugmentWideConfig {
                num_magnitude_bins: 31,
                fill: 0,
            }),
            AugmentConfig::ColorJitter(ColorJitterConfig {
                brightness: 0.0,
                contrast: 0.0,
                saturation: 0.0,
                hue: 0.1,
            }),
            AugmentConfig::RandomErasing(RandomErasingConfig {
                probability: 0.5,
                scale: [0.02, 0.33],
                ratio: [0.3, 3.3],
            }),
            AugmentConfig::Cutout(CutoutConfig { side: 16 }),
        ]
    );
    for wrong in [
        "{ flip = { chance = 0.1 } }",
        "{ rotate = {} }",
        "{ auto_augment = {} }",
        "{ auto_augment = { policy = 'svhn' } }",
        "{ auto_augment = { policy = 'cifar10', fill = 256 } }",
        "{ rand_augment = { ops = 1 } }",
        "{ trivial_augment_wide = { magnitude = 1 } }",
        "{ color_jitter = { colour = 1.0 } }",
        "{ random_erasing = { value = 0 } }",
        "{ cutout = {} }",
    ] {
        assert!(read(&format!("augment = [{wrong}]")).is_err(), "{wrong}");
    }
}

#[test]
fn every_example_reads_back_from_toml() {
    let augment = AugmentConfig::examples();
    let text = toml::to_string(&Holder { augment: augment.clone() }).unwrap();
    assert_eq!(read(&text).unwrap(), augment);
}
