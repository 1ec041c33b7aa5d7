//! Stories with real processes and real files: what a shop lives through, told by `tillsync` and `tillsync-hub` alone.

mod errors;
mod line;
mod schemas;
mod support;
mod values;
