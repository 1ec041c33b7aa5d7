//! What the tests, the demo and the benchmarks share: a store of real retail data and a point-of-sale program that rings up
//! sales in it. Neither knows anything of Tillsync.

pub mod pos;
pub mod retail;
