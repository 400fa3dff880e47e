//! What was measured, as plain data.

/// One quantity of one server under one load, once for each run.
#[derive(Clone, Debug)]
pub struct Figure {
    pub scenario: &'static str,
    pub load: String,
    pub server: String,
    pub what: &'static str,
    pub unit: &'static str,
    pub values: Vec<f64>,
}

/// All figures of the benchmark so far, in the order they were first measured.
#[derive(Default)]
pub struct Figures {
    pub all: Vec<Figure>,
    /// Runs that came to nothing, and why.
    pub failures: Vec<String>,
}

/// Where a value belongs.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub scenario: &'static str,
    pub load: &'a str,
    pub server: &'a str,
}

impl Figures {
    /// One more run's value.
    pub fn add(&mut self, place: Place, what: &'static str, unit: &'static str, value: f64) {
        let Place {
            scenario,
            load,
            server,
        } = place;
        let known = self.all.iter_mut().find(|figure| {
            figure.scenario == scenario
                && figure.load == load
                && figure.server == server
                && figure.what == what
        });
        match known {
            Some(figure) => figure.values.push(value),
            None => self.all.push(Figure {
                scenario,
                load: load.to_owned(),
                server: server.to_owned(),
                what,
                unit,
                values: vec![value],
            }),
        }
    }

    /// A run that failed is none; the others go on.
    pub fn fail(&mut self, place: Place, error: &anyhow::Error) {
        let failure = format!("{}, {}, {}: {error:#}", place.scenario, place.load, place.server);
        eprintln!("FAILED {failure}");
        // Of an answer's head the first line says it.
        let line = failure.lines().next().unwrap_or_default().to_owned();
        self.failures.push(line);
    }
}
