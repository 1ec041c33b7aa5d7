//! What the fuzz targets call. `seeds.rs` beside this file is for the ordinary tests.

pub mod decoders;
