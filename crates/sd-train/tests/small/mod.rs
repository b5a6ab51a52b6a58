//! Changes of the small experiment that give many short steps: many places to be killed at.

/// Four epochs of 12 steps, each `KEY=VALUE` as on the command line.
pub const SMALL: &[&str] = &[
    "name=small",
    "seed=5",
    "data.dataset={ synthetic = { classes = 4, train = 128, test = 16, channels = 1, height = 32, width = 32, seed = 0 } }",
    "data.validation={ fraction = 0.25, seed = 0 }",
    "data.augment=[{ pad_crop = { padding = 2 } }]",
    "model.exits.after=[2]",
    "train.epochs=4",
    "train.batch_size=8",
];
