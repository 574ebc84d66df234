//! `web` serves; `web drill` shows what the guard is good for.

use std::{env, error::Error, process::ExitCode};

use web::{drill, server::Server, settings::Settings, web::Guarding};

const USAGE: &str = "\
web [--settings FILE]                    serves; its page is the first address that it prints
web drill [--short] [--write]            the same troubles with the guard and without, and a table;
                                         --write renews the table and the charts of README.md
";

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_target(false).init();
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("web: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode, Box<dyn Error + Send + Sync>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match arguments.as_slice() {
        [] => runtime.block_on(serve(Settings::default())),
        ["--settings", file] => runtime.block_on(serve(Settings::read(file)?)),
        ["drill", options @ ..] if options.iter().all(|o| ["--short", "--write"].contains(o)) => {
            let plan = drill::Plan { is_short: options.contains(&"--short") };
            let report = runtime.block_on(drill::run(plan))?;
            print!("{report}");
            if options.contains(&"--write") {
                report.write()?;
            }
            Ok(if report.faults().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        _ => {
            eprint!("{USAGE}");
            Ok(ExitCode::from(2))
        }
    }
}

/// Serves until Ctrl-C.
async fn serve(settings: Settings) -> Result<ExitCode, Box<dyn Error + Send + Sync>> {
    let log = settings.log.database.display().to_string();
    let server = Server::start(settings, Guarding::On).await?;
    server.web().load.set_factor(1);
    println!("page      http://{}/", server.address());
    println!("metrics   http://{}/metrics", server.address());
    println!("settings  http://{}/settings, token {}", server.address(), server.token().as_str());
    tokio::signal::ctrl_c().await?;
    let records = server.shutdown().await?;
    println!("{records} requests are in {log}");
    Ok(ExitCode::SUCCESS)
}
