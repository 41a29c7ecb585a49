//! `vtox explain`: why a unit is where it is, as the leading coordinator sees it.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use vtox_connection::ConnectionManager;
use vtox_protocol::keys::{LEADER, TERM};
use vtox_registry::{Lease, Registry};
use vtox_service_kit::config::Settings;

use crate::connect::connect;
use crate::gateway::public_cas;
use crate::http::Http;
use crate::output::outln;

/// How long the leader's answer may take.
const LIMIT: Duration = Duration::from_secs(30);

#[derive(Args)]
pub struct Arguments {
    /// `FAULTS/PARTITION`, such as `bearing/7`; without one the units are listed.
    unit: Option<String>,
    /// Redis of the cluster.
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Asks the leader and prints its answer.
pub async fn run(arguments: &Arguments, settings: &Settings) -> anyhow::Result<ExitCode> {
    let leader = leader(connect(arguments.redis.as_deref(), settings).await?).await?;
    let mut url = format!("{leader}/explain");
    if let Some(unit) = &arguments.unit {
        url += &format!("?unit={}", utf8_percent_encode(unit, NON_ALPHANUMERIC));
    }
    let answer = Http::new(public_cas()?).get(&url, LIMIT).await;
    let answer = answer.with_context(|| format!("the leader at {leader} does not answer"))?;
    let status = answer.status();
    let answer: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    if !status.is_success() {
        let detail = answer["detail"].as_str().unwrap_or("-").replace("/explain", "`vtox explain`");
        bail!("{leader} answers {status}: {detail}");
    }
    match &arguments.unit {
        _ if arguments.json => outln!("{answer}"),
        None => {
            for unit in answer["units"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                outln!("{unit}");
            }
        }
        Some(_) => print(&answer),
    }
    Ok(ExitCode::SUCCESS)
}

/// Where the leading coordinator is.
async fn leader(connection: ConnectionManager) -> anyhow::Result<String> {
    let holder = Lease::new(connection.clone(), LEADER, TERM)
        .holder()
        .await?
        .context("no coordinator leads; is one running? `vtox status` shows the services")?;
    // A candidate is its service's id and the run it is in.
    let id = holder.id.rsplit_once('/').map_or(holder.id.as_str(), |(id, _)| id);
    let members = Registry::new(connection).members().await?;
    let record = members
        .services
        .get(id)
        .with_context(|| format!("the leader {id} is not in the registry; try again in a second"))?;
    Ok(format!("http://{}:{}", record.host, record.port))
}

fn print(why: &Value) {
    let text = |v: &Value| v.as_str().unwrap_or("-").to_owned();
    outln!("unit      {}", text(&why["unit"]));
    outln!("owner     {}", text(&why["owner"]));
    outln!("load      {:.2} messages/s x fault types", why["load"].as_f64().unwrap_or(0.0));
    let now_ms = why["now_ms"].as_u64().unwrap_or(0);
    let decision = &why["decision"];
    if let Some(at_ms) = decision["at_ms"].as_u64() {
        outln!(
            "placed    {:.0} s ago, {}, from {}",
            now_ms.saturating_sub(at_ms) as f64 / 1_000.0,
            text(&decision["reason"]),
            decision["from"].as_str().unwrap_or("nobody")
        );
    } else {
        outln!("placed    before this leader");
    }
    if let Some(until_ms) = why["resting_until_ms"].as_u64() {
        outln!("rests     {:.0} s more", until_ms.saturating_sub(now_ms) as f64 / 1_000.0);
    }
    outln!(
        "\n{:<24} {:<13} {:>6} {:>6} {:>6} {:>7} {:>8} {:>8} {:>6} {:>6}",
        "worker",
        "standing",
        "score",
        "health",
        "speed",
        "weight",
        "target",
        "load",
        "fill",
        "with"
    );
    let figure = |v: &Value, digits: usize| {
        v.as_f64().map_or_else(|| "-".to_owned(), |number| format!("{number:.digits$}"))
    };
    for candidate in why["candidates"].as_array().into_iter().flatten() {
        let worker = text(&candidate["worker"]);
        outln!(
            "{worker:<24} {:<13} {:>6} {:>6} {:>6} {:>7} {:>8} {:>8} {:>6} {:>6}",
            text(&candidate["standing"]),
            figure(&why["scores"][&worker]["total"], 3),
            figure(&candidate["health"], 2),
            figure(&why["capacities"][&worker]["speed"], 2),
            figure(&candidate["weight"], 3),
            figure(&candidate["target"], 1),
            figure(&candidate["load"], 1),
            figure(&candidate["fill"], 3),
            figure(&candidate["fill_with_unit"], 3)
        );
    }
}
