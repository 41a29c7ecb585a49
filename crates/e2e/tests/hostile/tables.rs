//! Tables and forms of diagnosis on demand.

use super::case::Case;
use super::case::Expected::{self, Refused, Unparsed};

const TASKS: &str = "/api/v1/cluster/tasks";
const BEARING: &str = "/api/v1/diagnosis-stream/diagnosis/bearing";
const FORM: &str = "multipart/form-data; boundary=x";

fn part(disposition: &str, content: &str) -> String {
    format!("--x\r\ncontent-disposition: form-data; {disposition}\r\n\r\n{content}\r\n")
}

fn file(content: &str) -> String {
    format!("{}--x--\r\n", part("name=\"file\"; filename=\"a.csv\"", content))
}

pub fn cases() -> Vec<Case> {
    let table = |what, body: String, expected| Case::post(what, TASKS, body, expected).kind("text/csv");
    let form = |what, body: String, expected| Case::post(what, BEARING, body, expected).kind(FORM);
    let syntax = || Refused(400, "undecodable_block");
    let block = || Refused(422, "invalid_block");
    let body = || Refused(400, "invalid_body");
    let parameter = || Refused(422, "invalid_parameter");
    let no_coordinator: fn() -> Expected = || Refused(503, "no_coordinator");
    let million = "1,".repeat(1_000_000);
    vec![
        table("an empty table", String::new(), block()),
        table("a quote that never closes", format!("Ia,Ib\n1,\"{}", "2\n".repeat(2_000_000)), syntax()),
        table("a header of 10^6 columns", format!("{}Ia\n1\n", "Ia,".repeat(1_000_000)), block()),
        table("a header of 8 MB", "x".repeat(8_000_000), block()),
        table("a row of 10^6 fields", format!("Ia,Ib\n{million}\n"), syntax()),
        table("a cell of 4 MB", format!("Ia,Ib\n1,{}\n", "9x".repeat(2_000_000)), syntax()),
        table("2 x 10^6 rows of nothing", format!("Ia\n{}", "\"\"\n".repeat(2_000_000)), syntax()),
        table("4 x 10^6 cells and a few", format!("Ia\n{}", "1\n".repeat(4_000_001)), block()),
        table("NUL", "Ia\n\0\n".to_owned(), syntax()),
        table("NaN", "Ia\nNaN\n".to_owned(), syntax()),
        table("UTF-16", "I\0a\0\n\x001\0\n\0".to_owned(), syntax()),
        // What is good but for the lack of workers here: a file larger than other frameworks' default of 2 MB.
        form(
            "a file of 3 MB",
            file(&format!("Ia\n{}", "1.23456\n".repeat(375_000))),
            Refused(422, "invalid_block"),
        ),
        form(
            "a form without an end",
            "--x\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\n\r\nIa\n1"
                .to_owned(),
            body(),
        ),
        form("a form that never begins", "Ia\n1\n".to_owned(), body()),
        form("nothing", String::new(), body()),
        form("10^5 fields", format!("{}--x--\r\n", part("name=\"n\"", "1").repeat(100_000)), parameter()),
        form(
            "a field without a name",
            format!("{}{}", part("filename=\"a.csv\"", "Ia\n1\n"), "--x--\r\n"),
            parameter(),
        ),
        form(
            "a name of 1 MB",
            format!("{}--x--\r\n", part(&format!("name=\"{}\"", "n".repeat(1 << 20)), "1")),
            parameter(),
        ),
        form(
            "a head without an end",
            format!("--x\r\ncontent-disposition: form-data; name=\"{}", "n".repeat(4 << 20)),
            body(),
        ),
        form(
            "a rate of words",
            format!("{}{}", part("name=\"sampling_rate\"", &"w".repeat(1 << 20)), file("Ia\n1\n")),
            parameter(),
        ),
        form(
            "a motor of 10^5 lists",
            format!("{}{}", part("name=\"motor\"", &"[".repeat(100_000)), file("Ia\n1\n")),
            parameter(),
        ),
        form("a file that is no table", file("\0\x01\x02"), block()),
        form("no boundary", file("Ia\n1\n"), body()).kind("multipart/form-data"),
        form("an empty boundary", file("Ia\n1\n"), body()).kind("multipart/form-data; boundary="),
        form("a boundary of 10 kB", file("Ia\n1\n"), body())
            .kind(&format!("multipart/form-data; boundary={}", "x".repeat(10_000))),
        form("a boundary of another form", file("Ia\n1\n"), body()).kind("multipart/form-data; boundary=y"),
        form("a boundary that is not text", file("Ia\n1\n"), Unparsed(&[400]))
            .kind("multipart/form-data; boundary=\"\t\u{1}\""),
        form("a spreadsheet", part("name=\"file\"; filename=\"a.xlsx\"", "PK"), syntax()),
        Case::post("an image", TASKS, "GIF89a", Refused(415, "unsupported_media_type")).kind("image/gif"),
        Case::post("10^5 lists for a task", TASKS, "[".repeat(100_000), Refused(400, "invalid_json")),
        Case::post(
            "2^32-1 channels for a task",
            TASKS,
            b"\x82\xa1v\x01\xa8channels\xdd\xff\xff\xff\xff",
            syntax(),
        )
        .kind("application/msgpack"),
        Case::post(
            "fault types nobody knows",
            &format!("{TASKS}?fault_type={}", "x,".repeat(5_000)),
            super::case::GOOD,
            parameter(),
        ),
        Case::post("a file that is good", TASKS, "Ia\n1\n", no_coordinator()).kind("text/csv"),
    ]
}
