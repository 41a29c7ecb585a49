//! `vtox status`: the cluster in one page.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde_json::Value;
use vtox_service_kit::config::Settings;

use crate::output::outln;

#[derive(Args)]
pub struct Arguments {
    /// Where the gateway is.
    #[arg(long, value_name = "URL")]
    gateway: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Prints the state of the cluster; the exit code says whether it is healthy.
pub async fn run(arguments: &Arguments, settings: &Settings) -> anyhow::Result<ExitCode> {
    let gateway =
        arguments.gateway.clone().unwrap_or_else(|| format!("http://127.0.0.1:{}", settings.gateway.port));
    let answer =
        reqwest::Client::new().get(format!("{gateway}/api/v1/cluster/status")).send().await.with_context(
            || format!("no gateway answers at {gateway}; start a cluster with `vtox up` or give --gateway"),
        )?;
    let status = answer.status();
    let answer: Value = answer.json().await.unwrap_or_default();
    anyhow::ensure!(
        status.is_success(),
        "{gateway} answers {status}: {}",
        answer["detail"].as_str().unwrap_or("-")
    );
    let data = &answer["data"];
    if arguments.json {
        outln!("{data}");
    } else {
        print(data);
    }
    Ok(if data["cluster_status"] == "healthy" { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(data: &Value) {
    let text = |v: &Value| v.as_str().unwrap_or("-").to_owned();
    let number = |v: &Value| v.as_f64().unwrap_or(0.0);
    outln!("cluster      {}", text(&data["cluster_status"]));
    let services = &data["service_registry"];
    outln!("services     {} of {} healthy", services["healthy_services"], services["total_services"]);
    let flow = &data["performance_metrics"];
    outln!(
        "throughput   {:.1} msg/s ({}), {:.1} ms, {} waiting",
        number(&flow["throughput"]),
        text(&flow["throughput_source"]),
        number(&flow["latency"]),
        flow["queue_length"]
    );
    outln!(
        "\n{:<28} {:<10} {:>6} {:>6} {:>8} {:>8}  fault types",
        "worker",
        "status",
        "cpu %",
        "mem %",
        "pending",
        "success"
    );
    for worker in data["worker_nodes"].as_array().into_iter().flatten() {
        let faults: Vec<&str> =
            worker["fault_types"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        outln!(
            "{:<28} {:<10} {:>6.1} {:>6.1} {:>8} {:>8.3}  {}",
            text(&worker["id"]),
            text(&worker["status"]),
            number(&worker["cpu_usage"]),
            number(&worker["memory_usage"]),
            worker["pending_messages"].to_string(),
            number(&worker["success_rate"]),
            faults.join(",")
        );
    }
    for alert in data["alerts"].as_array().into_iter().flatten() {
        outln!("\nalert: {}", text(alert));
    }
}
