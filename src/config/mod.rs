//! One configuration for every face: the options of the package, a TOML file, the environment and the
//! flags of the command line become [`Value`]s, and one [table of options](options) says what they mean.
//!
//! ```
//! use rendez::config::{ClusterConfig, Value};
//! let options = Value::Table(vec![
//!     ("via".into(), "dns".into()),
//!     ("dns_nam".into(), "shop.internal".into()),
//! ]);
//! let error = ClusterConfig::from_value(&options).unwrap_err();
//! assert!(error.to_string().contains("did you mean dns_name?"));
//! ```

mod cluster;
mod docs;
mod duration;
mod error;
mod layer;
pub mod options;
mod place;
pub mod schema;
mod section;
#[cfg(test)]
mod tests;
#[cfg(feature = "cli")]
mod toml;
mod value;

pub use cluster::{ClusterConfig, REFRESH_INTERVAL, Via};
pub use docs::options_page;
pub use duration::{duration, show_duration};
pub use error::{ConfigError, Problem};
pub use layer::Layer;
pub use place::{flag, variable, variable_of};
#[cfg(feature = "cli")]
pub use toml::from_toml;
pub use value::Value;
