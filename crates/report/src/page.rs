//! The page.

use std::fmt::{Arguments, Write};

use vtox_diagnosis::Picture;
use vtox_protocol::{FaultType, MotorProfile, MotorType, Severity, SignalBlock, Status, Verdict};

use crate::chart::svg;
use crate::{Report, Section};

const STYLE: &str = include_str!("page.css");

/// The report as an HTML document that refers to nothing outside itself.
pub fn html(report: &Report<'_>) -> String {
    let mut page = Page(String::new());
    let file = escaped(report.file);
    page.add(format_args!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>Motor diagnosis: {file}</title>\n<style>\n{STYLE}</style></head>\n<body>\n\
         <header><h1>Motor diagnosis</h1><p class=\"file\">{file}</p></header>\n"
    ));
    page.overview(report);
    page.given(report);
    let mut drawn = Vec::new();
    for section in &report.sections {
        page.section(section, &mut drawn);
    }
    page.legend(report);
    page.add(format_args!("</body></html>\n"));
    page.0
}

struct Page(String);

impl Page {
    fn add(&mut self, text: Arguments<'_>) {
        // Writing to a string cannot fail.
        let written = self.0.write_fmt(text);
        debug_assert!(written.is_ok());
    }

    fn overview(&mut self, report: &Report<'_>) {
        self.add(format_args!(
            "<table class=\"overview\"><thead><tr><th>Fault</th><th>Verdict</th><th>Score</th><th>Zone</th>\
             <th>In short</th></tr></thead><tbody>\n"
        ));
        for Section { fault, verdict, .. } in &report.sections {
            let short =
                verdict.advice.as_ref().or(verdict.reason.as_ref()).map(|t| escaped(t)).unwrap_or_default();
            self.add(format_args!(
                "<tr><td><a href=\"#{}\">{}</a></td><td>{}</td><td>{}</td><td>{}</td><td>{short}</td></tr>\n",
                fault.name(),
                title(*fault),
                badge(verdict.status),
                meter(verdict),
                verdict.severity.map_or("-", Severity::name)
            ));
        }
        self.add(format_args!("</tbody></table>\n"));
    }

    fn given(&mut self, report: &Report<'_>) {
        self.add(format_args!("<section class=\"given\"><h2>What was given</h2><div class=\"columns\">\n"));
        let SignalBlock { channels, readings, synchronous, .. } = report.block;
        let mut rows: Vec<[String; 2]> = channels
            .iter()
            .map(|c| {
                let figures = format!(
                    "{} samples at {} Hz, {:.3} s, in {}",
                    c.samples.len(),
                    short(c.rate_hz),
                    c.duration_s(),
                    c.quantity.unit()
                );
                [c.quantity.name().to_owned(), figures]
            })
            .collect();
        if report.blocks > 1 {
            rows.push(["blocks".to_owned(), format!("{}, the charts show the last", report.blocks)]);
        }
        if !synchronous {
            rows.push(["sampling".to_owned(), "channels not at the same instants".to_owned()]);
        }
        self.table("Signals", &rows);
        let rows: Vec<[String; 2]> = readings
            .iter()
            .map(|(quantity, value)| {
                [quantity.name().to_owned(), format!("{} {}", short(*value), quantity.unit())]
            })
            .collect();
        self.table("Readings", &rows);
        self.table("Motor", &motor(report.profile));
        self.add(format_args!("</div></section>\n"));
    }

    fn table(&mut self, caption: &str, rows: &[[String; 2]]) {
        if rows.is_empty() {
            self.add(format_args!(
                "<table><caption>{caption}</caption><tr><td>not given</td></tr></table>\n"
            ));
            return;
        }
        self.add(format_args!("<table><caption>{caption}</caption>"));
        for [name, value] in rows {
            self.add(format_args!("<tr><th>{}</th><td>{}</td></tr>", escaped(name), escaped(value)));
        }
        self.add(format_args!("</table>\n"));
    }

    /// Pictures that other sections have `drawn` are not drawn again.
    fn section<'p>(&mut self, section: &'p Section<'_>, drawn: &mut Vec<&'p Picture>) {
        let Section { fault, verdict, lacking, pictures } = section;
        self.add(format_args!(
            "<section id=\"{}\"><h2>{} <span class=\"alias\">{}</span> {}</h2>\n<p class=\"score\">Score {}{}</p>\n",
            fault.name(),
            title(*fault),
            fault.title(),
            badge(verdict.status),
            meter(verdict),
            verdict.severity.map_or_else(String::new, |z| format!(", zone {}", z.name()))
        ));
        if let Some(advice) = &verdict.advice {
            self.add(format_args!("<p class=\"advice\">{}</p>\n", escaped(advice)));
        }
        if let Some(reason) = &verdict.reason {
            self.add(format_args!("<p class=\"reason\">{}</p>\n", sentence(&escaped(reason))));
        }
        if !lacking.is_empty() {
            let word = if verdict.status.is_evidence() { "More certain with" } else { "Needed" };
            let list: Vec<String> = lacking.iter().map(|text| escaped(text)).collect();
            self.add(format_args!("<p class=\"lacking\">{word}: {}.</p>\n", list.join("; ")));
        }
        self.evidence(verdict);
        for picture in pictures {
            if drawn.contains(&picture) {
                continue;
            }
            drawn.push(picture);
            let title = escaped(&picture.title);
            self.add(format_args!("<figure>{}<figcaption>{title}</figcaption></figure>\n", svg(picture)));
        }
        self.features(verdict);
        self.add(format_args!("</section>\n"));
    }

    fn evidence(&mut self, verdict: &Verdict) {
        if verdict.evidence.is_empty() {
            return;
        }
        self.add(format_args!(
            "<table class=\"evidence\"><caption>Evidence</caption><thead><tr><th>Line</th><th>Expected</th><th>Found</th>\
             <th>Unit</th><th>Over the noise floor</th></tr></thead><tbody>\n"
        ));
        for line in &verdict.evidence {
            let figure = |v: Option<f64>| v.map_or_else(|| "-".to_owned(), short);
            self.add(format_args!(
                "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
                escaped(&line.line),
                figure(line.expected),
                figure(line.found),
                escaped(&line.unit),
                line.above_floor_db.map_or_else(|| "-".to_owned(), |db| format!("{db:.1} dB"))
            ));
        }
        self.add(format_args!("</tbody></table>\n"));
    }

    fn features(&mut self, verdict: &Verdict) {
        if verdict.features.is_empty() {
            return;
        }
        self.add(format_args!("<table class=\"features\"><caption>Measured</caption>"));
        for (name, value) in &verdict.features {
            self.add(format_args!(
                "<tr><th>{}</th><td>{} {}</td></tr>",
                escaped(&name.replace('_', " ")),
                short(*value),
                unit(name)
            ));
        }
        self.add(format_args!("</table>\n"));
    }

    fn legend(&mut self, report: &Report<'_>) {
        let versions: Vec<String> =
            report.sections.iter().map(|s| escaped(&s.verdict.model_version)).collect();
        self.add(format_args!(
            "<footer><p>The score runs from 0 to 1: from 0.3 a warning, from 0.6 a fault. Zones after ISO 20816-1: A as new, \
             B fit for long operation, C for a limited time, D damage. <em>Insufficient data</em> means that nothing is said \
             about the motor, neither good nor bad.</p>\
             <p>Dashed lines in the charts are the places where the fault would show. Detectors: {}.</p></footer>\n",
            versions.join(", ")
        ));
    }
}

const fn title(fault: FaultType) -> &'static str {
    match fault {
        FaultType::TurnFault => "Inter-turn short circuit",
        FaultType::Insulation => "Insulation",
        FaultType::Bearing => "Bearing",
        FaultType::Eccentricity => "Eccentricity",
        FaultType::BrokenBar => "Broken rotor bar",
    }
}

fn badge(status: Status) -> String {
    format!("<span class=\"badge {}\">{}</span>", status.name(), status.name().replace('_', " "))
}

/// The score as a number and a bar; nothing where there is no verdict.
fn meter(verdict: &Verdict) -> String {
    if !verdict.status.is_evidence() {
        return "-".to_owned();
    }
    format!(
        "<span class=\"number\">{:.2}</span><span class=\"meter\"><span class=\"{}\" style=\"width:{:.0}%\"></span></span>",
        verdict.score,
        verdict.status.name(),
        100.0 * verdict.score
    )
}

fn motor(profile: &MotorProfile) -> Vec<[String; 2]> {
    let mut rows = Vec::new();
    let mut row = |name: &str, value: Option<String>| rows.extend(value.map(|v| [name.to_owned(), v]));
    row(
        "type",
        match profile.motor_type {
            MotorType::Induction => Some("induction".to_owned()),
            MotorType::PermanentMagnet => Some("permanent magnet".to_owned()),
            MotorType::Unknown => None,
        },
    );
    let with = |unit: &'static str| move |value: f64| format!("{} {unit}", short(value));
    row("pole pairs", profile.pole_pairs.map(|p| p.to_string()));
    row("rotor bars", profile.rotor_bars.map(|r| r.to_string()));
    row("rated current", profile.rated_current_a.map(with("A")));
    row("rated voltage", profile.rated_voltage_v.map(with("V")));
    row("rated speed", profile.rated_speed_rpm.map(with("r/min")));
    row("rated frequency", profile.rated_frequency_hz.map(with("Hz")));
    row("insulation class", profile.insulation_class_c.map(with("°C")));
    row("winding capacitance", profile.winding_capacitance_f.map(|f| format!("{} nF", short(f * 1e9))));
    row(
        "bearing",
        profile.bearing.map(|b| {
            format!(
                "{} elements of {} mm on {} mm, {}°",
                b.elements,
                short(b.element_diameter_mm),
                short(b.pitch_diameter_mm),
                short(b.contact_angle_deg)
            )
        }),
    );
    rows
}

/// Unit of a feature, which its name ends in.
fn unit(feature: &str) -> &'static str {
    match feature {
        "bearing_characteristic_frequency" => return "Hz",
        "vibration_rms" => return "g",
        _ => {}
    }
    const UNITS: [(&str, &str); 10] = [
        ("_hz", "Hz"),
        ("_rpm", "r/min"),
        ("_db", "dB"),
        ("_mohm", "Mohm"),
        ("_a", "A"),
        ("_v", "V"),
        ("_c", "°C"),
        ("_k", "K"),
        ("_s", "s"),
        ("_years", "years"),
    ];
    UNITS.iter().find(|(suffix, _)| feature.ends_with(suffix)).map_or("", |(_, unit)| unit)
}

/// Four significant digits.
fn short(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let magnitude = value.abs().log10().floor();
    if !(-4.0..7.0).contains(&magnitude) {
        return format!("{value:.3e}");
    }
    let digits = (3.0 - magnitude).max(0.0) as usize;
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    let stop = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{stop}", letters.as_str())
}

/// Text that may stand anywhere in HTML.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}
