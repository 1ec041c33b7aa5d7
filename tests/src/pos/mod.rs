//! A point-of-sale program that knows nothing of Tillsync: its own connection, its own habits, no patience beyond the busy
//! timeout it was told to use.

mod receipt;
mod tally;
mod till;

pub use receipt::{Receipt, Receipts};
pub use tally::Tally;
pub use till::{Till, TillOptions, keys_of};
