//! The line from register to hub to register, tested from the outside and from within.

mod simulator;
mod stories;
mod tidy;
