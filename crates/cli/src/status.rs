//! `vtox status`: the cluster in one page.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;
use vtox_auth::Role;
use vtox_service_kit::config::Settings;

use crate::gateway::{Gateway, Target};
use crate::output::outln;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    gateway: Target,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Prints the state of the cluster; the exit code says whether it is healthy.
pub async fn run(arguments: &Arguments, settings: &Settings) -> anyhow::Result<ExitCode> {
    let gateway = Gateway::named(&arguments.gateway, settings, Role::Viewer)?;
    let answer = gateway.get("/api/v1/cluster/status").await?;
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
