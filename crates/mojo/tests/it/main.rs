//! The crate through its public face.

mod asked;
mod corpus;
mod hostile;
mod load;
