//! `vtox tail`: results as dashboards get them.

use std::process::ExitCode;

use clap::Args;
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use vtox_auth::Role;
use vtox_service_kit::config::Settings;

use crate::gateway::{Gateway, Target};
use crate::output::outln;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    gateway: Target,
    /// Only this vehicle; may be given several times.
    #[arg(long, value_name = "ID")]
    vehicle: Vec<String>,
    /// Only this fault type; may be given several times.
    #[arg(long, value_name = "FAULT")]
    fault: Vec<String>,
    /// Print the frames as they come.
    #[arg(long)]
    json: bool,
    /// Stop after so many frames.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

/// Prints frames until the gateway closes, enough were printed, or Ctrl-C.
pub async fn run(arguments: Arguments, settings: &Settings) -> anyhow::Result<ExitCode> {
    let gateway = Gateway::named(&arguments.gateway, settings, Role::Viewer)?;
    let mut socket = gateway.websocket("/ws/frontend").await?;
    if !(arguments.vehicle.is_empty() && arguments.fault.is_empty()) {
        let subscribe =
            json!({"type": "subscribe", "vehicles": arguments.vehicle, "fault_types": arguments.fault});
        socket.send(Message::text(subscribe.to_string())).await?;
    }
    let mut printed = 0;
    while arguments.count.is_none_or(|count| printed < count) {
        let message = tokio::select! {
            message = socket.next() => message,
            _ = tokio::signal::ctrl_c() => break,
        };
        let Some(message) = message else { break };
        let Message::Text(text) = message? else { continue };
        let frame: Value = serde_json::from_str(&text)?;
        if frame.get("vehicle_id").is_none() {
            continue;
        }
        printed += 1;
        if arguments.json {
            outln!("{text}");
        } else {
            print(&frame);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print(frame: &Value) {
    let text = |key: &str| frame[key].as_str().unwrap_or("-").to_owned();
    if frame["message_type"] == "health_assessment" {
        let score = frame["health_score"].as_f64().map_or_else(|| "-".to_owned(), |s| format!("{s:.1}"));
        outln!("{}  health       {:<18} {score}", text("vehicle_id"), text("overall_status"));
        return;
    }
    outln!(
        "{}  {:<12} {:<18} {:.3}  {}",
        text("vehicle_id"),
        text("fault_type"),
        text("status"),
        frame["score"].as_f64().unwrap_or(0.0),
        frame["advice"].as_str().or(frame["reason"].as_str()).unwrap_or("")
    );
}
