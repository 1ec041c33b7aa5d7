//! What the commands say. Who reads it may go early, as in `tillsync status | head -1`: the rest is then for nobody, and the
//! command goes on to its end as if it had been read.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};

/// Prints a line to stdout, like `println!`; the error when it can be written to nowhere, a full disk say.
macro_rules! say {
    ($($text:tt)*) => { $crate::cli::say::line(format_args!($($text)*)) };
}

/// Prints a line to stderr, like `eprintln!`. When that fails nobody is left to be told.
macro_rules! complain {
    ($($text:tt)*) => { $crate::cli::say::complaint(format_args!($($text)*)) };
}

pub(crate) use {complain, say};

pub fn line(text: Arguments<'_>) -> io::Result<()> {
    heard(writeln!(io::stdout(), "{text}"))
}

pub fn complaint(text: Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{text}");
}

fn heard(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
