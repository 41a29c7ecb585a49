//! `vtox user`: people who may log in.

use std::io::{IsTerminal, Write, stdin};
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use serde_json::json;
use vtox_auth::{Role, Store, TAKES_EFFECT, User, UserName, hash_password};
use vtox_service_kit::clock;
use vtox_service_kit::config::Settings;

use crate::connect::connect;
use crate::output::outln;

#[derive(Args)]
pub struct Arguments {
    /// Redis of the cluster.
    #[arg(long, global = true, value_name = "URL")]
    redis: Option<String>,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Add a person. The password is asked for, or read from standard input.
    Add {
        /// Name to log in with.
        name: UserName,
        /// viewer, operator or admin.
        #[arg(long)]
        role: Role,
        /// Change role and password of a person who is there; their tokens are refused from then on.
        #[arg(long)]
        replace: bool,
    },
    /// Remove a person; their tokens are refused from then on.
    Remove {
        /// Name of the person.
        name: UserName,
    },
    /// Show who may log in.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Does what is asked.
pub async fn run(arguments: &Arguments, settings: &Settings) -> anyhow::Result<ExitCode> {
    let store = Store::new(connect(arguments.redis.as_deref(), settings).await?);
    match &arguments.action {
        Action::Add { name, role, replace } => add(&store, name, *role, *replace).await?,
        Action::Remove { name } => {
            ensure!(
                store.remove_user(name).await?,
                "there is no {name}; `vtox user list` shows who is there"
            );
            tokio::time::sleep(TAKES_EFFECT).await;
            outln!("{name} can no longer log in");
        }
        Action::List { json } => list(&store, *json).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn add(store: &Store, name: &UserName, role: Role, replace: bool) -> anyhow::Result<()> {
    if role == Role::Vehicle {
        bail!(
            "a person is a viewer, operator or admin; a vehicle gets a key by `vtox token issue --role vehicle --vehicle ID`"
        );
    }
    let password = hash_password(&read_password()?)?;
    let user = User { password, role, changed: clock::epoch_ms() / 1_000 };
    let done = store.add_user(name, &user, replace).await?;
    ensure!(done, "{name} is there already; add --replace to change role and password");
    tokio::time::sleep(TAKES_EFFECT).await;
    outln!("{name} can log in as {role}");
    Ok(())
}

async fn list(store: &Store, as_json: bool) -> anyhow::Result<()> {
    let mut users: Vec<(String, User)> = store.load().await?.users.into_iter().collect();
    users.sort_by(|(a, _), (b, _)| a.cmp(b));
    if as_json {
        let users: Vec<_> =
            users.iter().map(|(name, user)| json!({ "name": name, "role": user.role })).collect();
        outln!("{}", json!(users));
        return Ok(());
    }
    if users.is_empty() {
        outln!("nobody can log in; `vtox user add NAME --role ROLE` adds a person");
    }
    for (name, user) in users {
        outln!("{name:<24} {}", user.role);
    }
    Ok(())
}

/// Asks for a password twice where somebody types, and reads one line otherwise.
fn read_password() -> anyhow::Result<String> {
    if !stdin().is_terminal() {
        return line();
    }
    let password = hidden("Password: ")?;
    ensure!(hidden("Again: ")? == password, "the two passwords differ");
    Ok(password)
}

fn hidden(question: &str) -> anyhow::Result<String> {
    eprint!("{question}");
    std::io::stderr().flush()?;
    let shown = tcgetattr(stdin())?;
    let mut silent = shown.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    tcsetattr(stdin(), OptionalActions::Flush, &silent)?;
    let answer = line();
    tcsetattr(stdin(), OptionalActions::Flush, &shown)?;
    eprintln!();
    answer
}

fn line() -> anyhow::Result<String> {
    let mut line = String::new();
    stdin().read_line(&mut line).context("the password cannot be read")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
