//! What pages of results are made of: medians with their spread, tables in Markdown, the machine.

use std::fs;

/// The same thing, measured several times.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    pub fn add(&mut self, sample: f64) {
        self.0.push(sample);
    }

    pub fn extend(&mut self, samples: impl IntoIterator<Item = f64>) {
        self.0.extend(samples);
    }

    /// The middle one, or the mean of the middle two; 0 if there are none.
    pub fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        match sorted.len() {
            0 => 0.0,
            n if n % 2 == 1 => sorted[n / 2],
            n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
        }
    }

    /// Those of one figure.
    pub fn of(samples: &[f64]) -> Self {
        Self(samples.to_vec())
    }

    /// The greatest; NaN if there are none.
    pub fn greatest(&self) -> f64 {
        self.0.iter().copied().fold(f64::NAN, f64::max)
    }

    /// `0.94 (0.91–0.97)`: the median, and the least and greatest if there are several.
    pub fn with_spread(&self, write: impl Fn(f64) -> String) -> String {
        let least = self.0.iter().copied().fold(f64::INFINITY, f64::min);
        match self.0.len() {
            0 => "–".to_owned(),
            _ if least >= self.greatest() => write(least),
            _ => format!(
                "{} ({}–{})",
                write(self.median()),
                write(least),
                write(self.greatest())
            ),
        }
    }
}

/// One table of results.
pub struct Table {
    title: String,
    /// What was done, and in which unit the figures are.
    note: String,
    head: Vec<String>,
    rows: Vec<Vec<String>>,
    /// Columns from this one on have figures and are aligned to the right.
    figures_from: usize,
}

impl Table {
    pub fn new<T: Into<String>>(title: &str, note: &str, head: impl IntoIterator<Item = T>) -> Self {
        Self {
            title: title.to_owned(),
            note: note.to_owned(),
            head: head.into_iter().map(Into::into).collect(),
            rows: Vec::new(),
            figures_from: usize::MAX,
        }
    }

    /// The same with figures, aligned to the right, from this column on.
    pub fn figures_from(mut self, column: usize) -> Self {
        self.figures_from = column;
        self
    }

    pub fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// The table in Markdown, its columns aligned for those who read it as it is.
    pub fn markdown(&self) -> String {
        let width = |column: usize| {
            let cells = self
                .rows
                .iter()
                .chain([&self.head])
                .filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        let line = |cells: &[String]| {
            let cells = cells.iter().zip(&widths).enumerate();
            let cells = cells.map(|(column, (cell, &width))| match column < self.figures_from {
                true => format!(" {cell:<width$} |"),
                false => format!(" {cell:>width$} |"),
            });
            format!("|{}\n", cells.collect::<String>())
        };
        let rule = widths
            .iter()
            .enumerate()
            .map(|(column, &width)| match column < self.figures_from {
                true => "-".repeat(width),
                false => format!("{}:", "-".repeat(width.max(2) - 1)),
            });
        let rule: Vec<String> = rule.collect();
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        let table = format!("{}{}{rows}", line(&self.head), line(&rule));
        match self.note.as_str() {
            "" => format!("## {}\n\n{table}", self.title),
            note => format!("## {}\n\n{note}\n\n{table}", self.title),
        }
    }
}

/// How this program was built.
pub fn build() -> &'static str {
    if cfg!(debug_assertions) {
        "debug: no fair figures"
    } else {
        "release"
    }
}

/// Processor, cores, memory, kernel, as Linux tells them.
pub fn machine() -> String {
    let field = |file: &str, name: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_default();
        line.split_once(':')
            .map_or("?", |(_, value)| value.trim())
            .to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kilobytes: f64 = field("/proc/meminfo", "MemTotal")
        .trim_end_matches(" kB")
        .parse()
        .unwrap_or(0.0);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{} cores of {}, {:.0} GiB, Linux {}",
        cores,
        field("/proc/cpuinfo", "model name"),
        kilobytes / 1024.0 / 1024.0,
        kernel.trim()
    )
}

/// The load average over a minute.
pub fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("?").to_owned()
}

/// Two digits behind the point, as ratios are written.
pub fn ratio(value: f64) -> String {
    format!("{value:.2}")
}

/// A whole number with commas.
pub fn whole(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes as MiB.
pub fn mebibytes(bytes: f64) -> String {
    format!("{:.1}", bytes / 1024.0 / 1024.0)
}

/// Three digits that mean something, with commas if there are more before the point.
pub fn sensible(value: f64) -> String {
    match value.abs() {
        size if size.is_nan() => "–".to_owned(),
        size if size >= 99.5 || size == 0.0 => whole(value),
        size if size >= 9.95 => format!("{value:.1}"),
        size if size >= 0.995 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
