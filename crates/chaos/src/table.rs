//! What came of each fault.

use vtox_ledger::Balance;

/// What came of one fault.
pub struct Row {
    /// Its name.
    pub fault: String,
    /// How it ended.
    pub end: End,
}

/// How a fault ended.
pub enum End {
    /// The cluster was put to the test.
    Run(Box<Tested>),
    /// It cannot be made here; why.
    Skipped(String),
    /// The run itself broke down; why.
    Broken(String),
}

/// What the ledger says, and what is asked.
pub struct Tested {
    /// What the ledger says.
    pub balance: Balance,
    /// Longest gap that is allowed, ms.
    pub gap_limit_ms: u64,
    /// Results are expected to be lost: the control that shows that the loss would be seen.
    pub must_lose: bool,
    /// Results may be taken back with the primary they were on, and come again.
    pub may_vanish: bool,
    /// What was seen beside the messages and must not be.
    pub complaints: Vec<String>,
}

impl Tested {
    fn complaints(&self) -> Vec<String> {
        let b = &self.balance;
        let mut complaints = self.complaints.clone();
        if self.must_lose {
            if b.lost == 0 {
                complaints.push("nothing was lost: the control shows nothing".to_owned());
            }
            return complaints;
        }
        let mut zero = |what: &str, n: u64| {
            if n > 0 {
                complaints.push(format!("{what}: {n}"));
            }
        };
        zero("lost", b.lost);
        zero("duplicates", b.duplicates);
        zero("out of order", b.out_of_order);
        zero("wrong", b.wrong);
        zero("without a send", b.without_send);
        zero("of an owner after its successor", b.two_owners);
        if !self.may_vanish {
            zero("seen live and gone in the end", b.vanished);
        }
        zero("not compared with the detector", b.expected - b.compared.min(b.expected));
        complaints.extend(b.counters.iter().cloned());
        if b.accepted == 0 {
            complaints.push("nothing was accepted".to_owned());
        }
        if b.longest_gap_ms > self.gap_limit_ms {
            complaints.push(format!("a gap of {} ms, over {} ms", b.longest_gap_ms, self.gap_limit_ms));
        }
        complaints
    }
}

impl Row {
    /// Whether the promise held.
    pub fn holds(&self) -> bool {
        match &self.end {
            End::Run(tested) => tested.complaints().is_empty(),
            End::Skipped(_) | End::Broken(_) => false,
        }
    }

    /// Whether it was not run.
    pub fn is_skipped(&self) -> bool {
        matches!(self.end, End::Skipped(_))
    }

    fn cells(&self) -> [String; 8] {
        let first = self.fault.clone();
        match &self.end {
            End::Run(tested) => {
                let b = &tested.balance;
                let verdict = match (self.holds(), tested.must_lose) {
                    (true, false) => "holds",
                    (true, true) => "loses, as it must",
                    (false, _) => "FAILS",
                };
                let columns =
                    [b.accepted, b.lost, b.duplicates, b.out_of_order, b.wrong].map(|n| n.to_string());
                let [accepted, lost, duplicates, out_of_order, wrong] = columns;
                let gap = format!("{:.2}", b.longest_gap_ms as f64 / 1_000.0);
                [first, accepted, lost, duplicates, out_of_order, wrong, gap, verdict.to_owned()]
            }
            End::Skipped(_) | End::Broken(_) => {
                let verdict = if self.is_skipped() { "skipped" } else { "FAILS" };
                let [a, b, c, d, e, f] = std::array::from_fn(|_| "-".to_owned());
                [first, a, b, c, d, e, f, verdict.to_owned()]
            }
        }
    }

    /// What is wrong, or why it was not run.
    pub fn notes(&self) -> Vec<String> {
        match &self.end {
            End::Run(tested) if !self.holds() => {
                tested.complaints().into_iter().chain(tested.balance.examples.iter().cloned()).collect()
            }
            End::Run(_) => Vec::new(),
            End::Skipped(why) | End::Broken(why) => vec![why.clone()],
        }
    }
}

/// The table, and below it what is wrong.
pub fn render(rows: &[Row]) -> String {
    let head = ["fault", "accepted", "lost", "duplicates", "out of order", "wrong", "longest gap s", ""];
    let cells: Vec<[String; 8]> =
        std::iter::once(head.map(str::to_owned)).chain(rows.iter().map(Row::cells)).collect();
    let widths: [usize; 8] =
        std::array::from_fn(|n| cells.iter().map(|row| row[n].chars().count()).max().unwrap_or(0));
    let mut text = String::new();
    for row in &cells {
        let line: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(line.join(" | ").trim_end());
        text.push('\n');
    }
    for row in rows {
        for note in row.notes() {
            text.push_str(&format!("{}: {note}\n", row.fault));
        }
    }
    let held = rows.iter().filter(|r| r.holds()).count();
    let skipped = rows.iter().filter(|r| r.is_skipped()).count();
    let failed = rows.len() - held - skipped;
    text.push_str(&format!("{held} held, {failed} failed, {skipped} skipped"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(balance: Balance, must_lose: bool) -> Row {
        let tested =
            Tested { balance, gap_limit_ms: 3_000, must_lose, may_vanish: false, complaints: Vec::new() };
        Row { fault: "worker killed".into(), end: End::Run(Box::new(tested)) }
    }

    fn sound() -> Balance {
        Balance {
            accepted: 10,
            expected: 50,
            results: 50,
            compared: 50,
            longest_gap_ms: 2_000,
            ..Balance::default()
        }
    }

    #[test]
    fn every_violation_fails_the_row() {
        assert!(row(sound(), false).holds());
        let broken: [fn(&mut Balance); 10] = [
            |b| b.vanished = 1,
            |b| b.lost = 1,
            |b| b.duplicates = 1,
            |b| b.out_of_order = 1,
            |b| b.wrong = 1,
            |b| b.without_send = 1,
            |b| b.two_owners = 1,
            |b| b.compared = 49,
            |b| b.longest_gap_ms = 3_001,
            |b| b.counters.push("lag".into()),
        ];
        for break_it in broken {
            let mut balance = sound();
            break_it(&mut balance);
            let row = row(balance, false);
            assert!(!row.holds() && !row.notes().is_empty());
        }
        assert!(!row(Balance::default(), false).holds(), "nothing was accepted");
    }

    #[test]
    fn a_control_must_lose() {
        assert!(!row(sound(), true).holds());
        assert!(row(Balance { lost: 1, ..sound() }, true).holds());
    }
}
