//! Families of interchangeable parts: attentions, convolutions, exits, data sets, objectives.
//!
//! A family is a trait, and an enum that a configuration file names a variant of. [`variants!`]
//! writes the enum from a list, so that a new variant is one file and one line of that list (plus
//! its `mod` line). Every other part of the family (reading and writing it as TOML, the JSON
//! schema, the tests over [`Examples`]) follows from the list.
//!
//! ```
//! mod shapes {
//!     use sd_variants::{Examples, variants};
//!     use serde::Deserialize;
//!
//!     pub trait Shape {
//!         fn area(&self) -> f64;
//!     }
//!
//!     mod point {
//!         pub struct Point;
//!
//!         impl super::Shape for Point {
//!             fn area(&self) -> f64 {
//!                 0.0
//!             }
//!         }
//!     }
//!
//!     mod square {
//!         #[derive(serde::Deserialize)]
//!         pub struct Square {
//!             pub side: f64,
//!         }
//!
//!         impl super::Shape for Square {
//!             fn area(&self) -> f64 {
//!                 self.side * self.side
//!             }
//!         }
//!
//!         impl super::Examples for Square {
//!             fn examples() -> Vec<Self> {
//!                 vec![Self { side: 2.0 }]
//!             }
//!         }
//!     }
//!
//!     variants! {
//!         #[derive(Deserialize)]
//!         #[serde(rename_all = "snake_case")]
//!         pub enum ShapeConfig: Shape {
//!             // Without values: `shape = "point"`.
//!             Point = point::Point,
//!             // With values: `shape = { square = { side = 3.0 } }`.
//!             Square(square::Square),
//!         }
//!     }
//! }
//!
//! let table: toml::Table = "shape = { square = { side = 3.0 } }".parse()?;
//! let shape: shapes::ShapeConfig = table["shape"].clone().try_into()?;
//! assert_eq!(shape.get().area(), 9.0);
//! assert_eq!(shapes::ShapeConfig::examples().len(), 2);
//! # Ok::<(), toml::de::Error>(())
//! ```

/// Values of one variant for tests and tables of costs. If a type has a default, that is its example.
pub trait Examples: Sized {
    /// At least one value; by convention the first is what the source (paper, code) uses.
    fn examples() -> Vec<Self>;
}

impl<T: Default> Examples for T {
    fn examples() -> Vec<Self> {
        vec![Self::default()]
    }
}

/// Writes the enum of a family of variants.
///
/// A variant without values names a unit struct that implements the family's trait; its description
/// for the JSON schema stands in the list. A variant with values names the struct that holds them;
/// that struct implements the family's trait and [`Examples`], is re-exported, and its documentation
/// describes the variant.
///
/// The enum has two methods: `get`, the variant as `&dyn Trait`, and `examples`, the examples of
/// all variants in the order of the list.
#[macro_export]
macro_rules! variants {
    (
        $(#[$attribute:meta])*
        $visibility:vis enum $name:ident: $family:ident {
            $(
                $(#[$description:meta])*
                $variant:ident $(= $unit_module:ident::$unit:ident)? $(($module:ident::$config:ident))?
                $(,)? $(;)?
            )*
        }
    ) => {
        $($($visibility use $module::$config;)?)*

        $(#[$attribute])*
        #[allow(missing_docs, reason = "the variant's struct has the documentation")]
        $visibility enum $name {
            $($(#[$description])* $variant $(($module::$config))?,)*
        }

        impl $name {
            /// The variant, by what all variants have in common.
            $visibility fn get(&self) -> &(dyn $family + 'static) {
                match self {
                    $(
                        $(Self::$variant => &$unit_module::$unit,)?
                        $(Self::$variant(config) => config as &$module::$config,)?
                    )*
                }
            }

            /// Examples of every variant, for tests that hold for all and for tables of costs.
            $visibility fn examples() -> Vec<Self> {
                let mut examples = Vec::new();
                $(
                    $(examples.extend([$unit_module::$unit].map(|_| Self::$variant));)?
                    $(
                        let configs = <$module::$config as $crate::Examples>::examples();
                        examples.extend(configs.into_iter().map(Self::$variant));
                    )?
                )*
                examples
            }
        }
    };
}
