//! Peers are the EC2 instances with some tags.
//!
//! One question in signed HTTP, `DescribeInstances`, asked page by page; an answer counts only when it
//! is whole. Credentials and region come from where every tool for AWS finds them.

#[cfg(feature = "ec2")]
mod answer;
mod config;
#[cfg(feature = "ec2")]
mod credentials;
#[cfg(feature = "ec2")]
mod environment;
#[cfg(feature = "ec2")]
mod failure;
#[cfg(feature = "ec2")]
mod metadata;
#[cfg(feature = "ec2")]
mod profile;
#[cfg(feature = "ec2")]
mod provider;
#[cfg(feature = "ec2")]
mod request;
#[cfg(feature = "ec2")]
mod sts;
#[cfg(all(test, feature = "ec2"))]
mod tests;

pub use config::{Ec2Config, Filter, HostType};
#[cfg(feature = "ec2")]
pub use provider::{Ec2, ec2};
