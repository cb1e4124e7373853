//! The architecture of the house.
