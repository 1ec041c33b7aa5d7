//! A small shop made of processes: a hub, registers with their agents, point-of-sale programs. The demo and the benchmarks
//! run in it; everything is started, watched and ended by its process id.

mod folder;
mod hub;
mod pos;
mod process;
mod register;
mod status;

pub use folder::Folder;
pub use hub::Hub;
pub use pos::{Pos, PosTotals};
pub use process::{interruptible, pause, wait_until};
pub use register::{Host, Register};
pub use status::Status;
