//! The crate through its public face.

mod corpus;
mod load;
