//! The machine on which a report was made.

use std::{fmt, fs, thread};

/// The machine, the compiler and the rivals' versions, for the head of a report.
#[derive(Debug)]
pub struct Machine {
    cpu: String,
    cores: usize,
    load: String,
}

impl Machine {
    /// Looks at the machine.
    pub fn look() -> Self {
        let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Self {
            cpu: model
                .map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.to_owned()),
            cores: thread::available_parallelism().map_or(1, usize::from),
            load: fs::read_to_string("/proc/loadavg").unwrap_or_default(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, {} cores, {}", self.cpu, self.cores, env!("RUSTC_VERSION"))?;
        // If other programs run, two threads contend for only a part of the time.
        writeln!(
            f,
            "load: {} (should be below 1 at the start)",
            self.load.split(' ').next().unwrap_or("unknown")
        )?;
        let mut column = usize::MAX;
        for rival in env!("RIVALS").split(", ") {
            // Lines of at most 100 columns.
            if column > 100 - rival.len() - 2 {
                write!(f, "{}", if column == usize::MAX { "rivals: " } else { ",\n        " })?;
                column = 8;
            } else {
                write!(f, ", ")?;
                column += 2;
            }
            write!(f, "{rival}")?;
            column += rival.len();
        }
        Ok(())
    }
}
