//! The line from register to hub to register, tested from the outside and from within.

mod crash_loop;
mod decoders;
mod matrix;
mod simulator;
mod stories;
mod tidy;
mod twins;
