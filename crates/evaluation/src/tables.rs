//! The results as tables, for a terminal and for a Markdown page.

use std::collections::BTreeMap;
use std::fmt;

use vtox_protocol::FaultType;

use crate::evaluation::Evaluation;
use crate::recording::Label;
use crate::scores::Scores;
use crate::simulated::{Curve, Place, SCORE_BINS, SEVERITIES, Sweeps, Tally};

/// A table with a title. Shown aligned; `{:#}` shows it as Markdown.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// What it shows.
    pub title: String,
    /// Header and rows, all of one length.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    fn new<const N: usize>(title: &str, header: [&str; N]) -> Self {
        Self { title: title.to_owned(), rows: vec![header.map(str::to_owned).into()] }
    }

    fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| {
            self.rows.iter().filter_map(|r| r.get(column)).map(|c| c.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.rows.first().map_or(0, Vec::len)).map(width).collect();
        if f.alternate() {
            writeln!(f, "### {}\n", self.title)?;
        } else {
            writeln!(f, "{}", self.title)?;
        }
        for (number, row) in self.rows.iter().enumerate() {
            let cells: Vec<String> = row
                .iter()
                .zip(&widths)
                .enumerate()
                .map(|(column, (cell, width))| match column {
                    0 => format!("{cell:<width$}"),
                    _ => format!("{cell:>width$}"),
                })
                .collect();
            if f.alternate() {
                writeln!(f, "| {} |", cells.join(" | "))?;
                if number == 0 {
                    let rules = widths.iter().enumerate().map(|(column, width)| match column {
                        0 => "-".repeat((*width).max(3)),
                        _ => format!("{}:", "-".repeat((*width).max(3) - 1)),
                    });
                    writeln!(f, "| {} |", rules.collect::<Vec<_>>().join(" | "))?;
                }
            } else {
                writeln!(f, "  {}", cells.join("  ").trim_end())?;
            }
        }
        Ok(())
    }
}

/// All tables of what was evaluated.
pub fn tables(recordings: Option<&Evaluation>, simulated: Option<&Sweeps>) -> Vec<Table> {
    let mut all = Vec::new();
    if let Some(evaluation) = recordings {
        all.extend([
            faults(evaluation),
            summary(evaluation),
            confusion(evaluation),
            parts("Per dataset", "dataset", &evaluation.per_dataset),
            parts("Per machine", "machine", &evaluation.per_machine),
            held_out(evaluation),
        ]);
    }
    if let Some(sweeps) = simulated {
        all.extend([false_alarms(sweeps), moderate(sweeps), counterfeits(sweeps), calibration(sweeps)]);
        all.extend(sweeps.curves.iter().map(|(fault, curves)| curve(*fault, curves)));
    }
    all.retain(|table| table.rows.len() > 1);
    all
}

fn share(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |v| format!("{v:.3}"))
}

const SCORES: [&str; 8] = [
    "with fault",
    "found",
    "without",
    "false alarms",
    "abstained (data suffice)",
    "precision",
    "recall",
    "F1",
];

fn scores(s: &Scores) -> [String; 8] {
    let c = &s.counts;
    [
        c.with_fault.to_string(),
        c.found.to_string(),
        c.without_fault.to_string(),
        c.false_alarms.to_string(),
        format!("{} ({})", s.abstained, c.missed_by_abstaining + c.abstained_wrongly),
        share(s.precision),
        share(s.recall),
        share(s.f1),
    ]
}

fn faults(evaluation: &Evaluation) -> Table {
    let mut table = Table::new("Per fault type", ["fault type"]);
    table.rows[0].extend(SCORES.map(str::to_owned));
    for (fault, s) in &evaluation.per_fault {
        table.row(std::iter::once(fault.name().to_owned()).chain(scores(s)));
    }
    table
}

fn summary(evaluation: &Evaluation) -> Table {
    let Evaluation { means, early_life, .. } = evaluation;
    let mut table = Table::new("Over all", ["figure", "value"]);
    let mut line = |name: &str, value: String| table.row([name.to_owned(), value]);
    line("macro precision", format!("{:.3}", means.precision));
    line("macro recall", format!("{:.3}", means.recall));
    line("macro F1", format!("{:.3}", means.f1));
    line("recordings counted", evaluation.records.iter().filter(|r| r.counted).count().to_string());
    line("recordings listed", evaluation.records.len().to_string());
    line("recordings that could not be read", evaluation.errors.len().to_string());
    line("healthy recordings", evaluation.healthy.to_string());
    line(
        "false alarms per 1,000 healthy recordings",
        format!("{:.0}", evaluation.false_alarms_per_1000_healthy),
    );
    line("abstained, all detectors", evaluation.abstained.to_string());
    line("abstained though the data suffice", evaluation.abstained_wrongly.to_string());
    line("runs to failure", early_life.runs.to_string());
    line(
        "false alarms in their first halves",
        format!("{} of {} verdicts", early_life.false_alarms, early_life.verdicts),
    );
    table
}

fn confusion(evaluation: &Evaluation) -> Table {
    let mut table = Table::new("Confusion: label (down), highest-scored alarm (across)", ["label"]);
    table.rows[0].extend(FaultType::ALL.map(|f| f.name().to_owned()));
    table.rows[0].extend(["no alarm", "abstained", "recordings"].map(str::to_owned));
    for label in Label::ALL {
        let Some(row) = evaluation.confusion.get(&label) else { continue };
        let cell = |n: u32| if n == 0 { "·".to_owned() } else { n.to_string() };
        let taken = FaultType::ALL.map(|f| cell(row.taken_for.get(&f).copied().unwrap_or(0)));
        let rest = [cell(row.quiet), cell(row.abstained), row.recordings.to_string()];
        table.row(std::iter::once(label.name().to_owned()).chain(taken).chain(rest));
    }
    table
}

/// Rows for the fault types that occur or were alarmed about.
fn parts(title: &str, part: &str, of: &BTreeMap<String, BTreeMap<FaultType, Scores>>) -> Table {
    let mut table = Table::new(title, [part, "fault type"]);
    table.rows[0].extend(SCORES.map(str::to_owned));
    for (name, per_fault) in of {
        for (fault, s) in per_fault {
            let c = &s.counts;
            if c.with_fault + c.false_alarms + c.abstained_wrongly > 0 {
                table.row([name.clone(), fault.name().to_owned()].into_iter().chain(scores(s)));
            }
        }
        if per_fault
            .values()
            .all(|s| s.counts.with_fault + s.counts.false_alarms + s.counts.abstained_wrongly == 0)
        {
            let without = per_fault.values().map(|s| s.counts.without_fault).sum::<u32>().to_string();
            let mut cells =
                vec![name.clone(), "none, all quiet".to_owned(), "0".to_owned(), "0".to_owned(), without];
            cells.extend(["0", "-", "-", "-", "-"].map(str::to_owned));
            table.row(cells);
        }
    }
    table
}

fn held_out(evaluation: &Evaluation) -> Table {
    let mut table = Table::new(
        "Thresholds on the score chosen without the machine they judge",
        [
            "fault type",
            "machines",
            "chosen from",
            "to",
            "F1 so",
            "F1 as shipped",
            "lowest faulty",
            "highest sound",
        ],
    );
    for (fault, h) in &evaluation.held_out_machines {
        table.row([
            fault.name().to_owned(),
            h.machines.to_string(),
            format!("{:.2}", h.threshold_min),
            format!("{:.2}", h.threshold_max),
            format!("{:.3}", h.f1),
            format!("{:.3}", h.shipped_f1),
            format!("{:.2}", h.lowest_with_fault),
            format!("{:.2}", h.highest_without_fault),
        ]);
    }
    table
}

fn false_alarms(sweeps: &Sweeps) -> Table {
    let title = format!(
        "Simulated, healthy: {} windows, {} with an alarm",
        sweeps.options.windows, sweeps.false_alarms
    );
    let mut table = Table::new(&title, ["detector", "verdicts", "abstained", "false alarms"]);
    for (fault, t) in &sweeps.healthy {
        table.row([
            fault.name().to_owned(),
            (t.windows - t.abstained).to_string(),
            t.abstained.to_string(),
            t.alarms.to_string(),
        ]);
    }
    table
}

fn percent(t: &Tally) -> String {
    if t.windows == 0 { "-".to_owned() } else { format!("{:.1} %", 100.0 * t.alarm_share()) }
}

fn moderate(sweeps: &Sweeps) -> Table {
    let title = "Simulated, moderate severity: share of windows with an alarm, per detector (across)";
    let mut table = Table::new(title, ["fault", "severity", "voltages", "windows", "abstained"]);
    table.rows[0].extend(FaultType::ALL.map(|f| f.name().to_owned()));
    for row in &sweeps.moderate {
        let own = row.verdicts.get(&row.fault).copied().unwrap_or_default();
        let shares = FaultType::ALL.map(|f| row.verdicts.get(&f).map_or_else(|| "-".to_owned(), percent));
        let first = [
            row.fault.name().to_owned(),
            row.severity.to_string(),
            (if row.voltages { "yes" } else { "no" }).to_owned(),
            own.windows.to_string(),
            own.abstained.to_string(),
        ];
        table.row(first.into_iter().chain(shares));
    }
    table
}

fn counterfeits(sweeps: &Sweeps) -> Table {
    let title = "Simulated, counterfeits on sound machines: windows with an alarm, per detector (across)";
    let mut table = Table::new(title, ["counterfeit", "windows"]);
    table.rows[0].extend(FaultType::ALL.map(|f| f.name().to_owned()));
    for (name, row) in &sweeps.counterfeits {
        let windows = row.values().map(|t| t.windows).max().unwrap_or(0);
        let alarms = FaultType::ALL.map(|f| row.get(&f).map_or(0, |t| t.alarms).to_string());
        table.row([(*name).to_owned(), windows.to_string()].into_iter().chain(alarms));
    }
    table
}

fn calibration(sweeps: &Sweeps) -> Table {
    let title =
        "Simulated, what a score is worth: share with the fault, if every second window had it (windows)";
    let mut table = Table::new(title, ["detector"]);
    let ends = SCORE_BINS.into_iter().skip(1).chain([1.0]);
    table.rows[0].extend(SCORE_BINS.into_iter().zip(ends).map(|(low, high)| format!("{low}-{high}")));
    for (fault, c) in &sweeps.calibration {
        let cells = (0..SCORE_BINS.len()).map(|bin| match c.share_with_fault(bin) {
            Some(share) => format!("{:.0} % ({})", 100.0 * share, c.sound[bin] + c.faulty[bin]),
            None => "-".to_owned(),
        });
        table.row(std::iter::once(fault.name().to_owned()).chain(cells));
    }
    table
}

fn curve(fault: FaultType, curves: &[Curve]) -> Table {
    let title = format!("Simulated, {}: probability of detection", fault.name());
    let mut table = Table::new(&title, ["where"]);
    table.rows[0].extend(SEVERITIES.map(|s| format!("{s:.1}")));
    let places: Vec<_> = {
        let mut all: Vec<_> = curves.iter().flat_map(|c| c.cells.iter().map(|(place, _)| *place)).collect();
        all.sort();
        all.dedup();
        all
    };
    let mut line = |name: String, here: &dyn Fn(&Place) -> bool| {
        let row = curves.iter().map(|c| percent(&c.tally(here)));
        table.row(std::iter::once(name).chain(row));
    };
    line("everywhere".to_owned(), &|_| true);
    let distinct = |of: fn(&Place) -> String| {
        let mut names: Vec<String> = places.iter().map(of).collect();
        names.sort();
        names.dedup();
        names
    };
    type Group = (&'static str, fn(&Place) -> String);
    let groups: [Group; 5] = [
        ("load", |p| p.load.to_owned()),
        ("speed", |p| p.speed.to_owned()),
        ("noise", |p| format!("{} dB", p.noise_db)),
        ("supply", |p| if p.inverter { "inverter".to_owned() } else { "mains".to_owned() }),
        ("voltages", |p| if p.voltages { "measured".to_owned() } else { "not measured".to_owned() }),
    ];
    for (group, of) in groups {
        for name in distinct(of) {
            line(format!("{group} {name}"), &|p| of(p) == name);
        }
    }
    table
}
