//! Printing to a standard output that may be closed, as by `vtox tail | head`.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write};

/// Writes a line; ends the process when nobody reads any more.
pub fn line(text: Arguments<'_>) {
    let written = writeln!(std::io::stdout().lock(), "{text}");
    if let Err(error) = written
        && error.kind() == ErrorKind::BrokenPipe
    {
        std::process::exit(0);
    }
}

/// `println!` without its panic.
macro_rules! outln {
    ($($part:tt)*) => { $crate::output::line(format_args!($($part)*)) };
}
pub(crate) use outln;
