//! Fetches the published data sets and says which are there.

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};
use sd_data::fetch::{self, Presence, Published, Source};
use std::path::PathBuf;

/// Fetches the published data sets.
#[derive(Parser)]
#[command(name = "sd-data", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,

    /// The folder of the data sets.
    #[arg(long, global = true, env = "SD_DATA_DIR", default_value = "data", value_name = "DIR")]
    data_dir: PathBuf,
}

#[derive(Subcommand)]
enum Command {
    /// Puts a data set into the data folder; nothing to do where it is there.
    Fetch {
        /// cifar10, cifar100 or fashion-mnist.
        #[arg(value_parser = published)]
        name: Published,

        /// A folder or an http(s) address that has the files, instead of their official home.
        #[arg(long, value_name = "DIR_OR_URL")]
        from: Option<String>,
    },
    /// Says which data sets are there.
    List,
}

fn published(name: &str) -> Result<Published> {
    match Published::ALL.into_iter().find(|data_set| data_set.name() == name) {
        Some(data_set) => Ok(data_set),
        None => bail!("expected one of {}", Published::ALL.map(Published::name).join(", ")),
    }
}

fn main() -> Result<()> {
    let Arguments { command, data_dir } = Arguments::parse();
    match command {
        Command::Fetch { name, from } => {
            let mut recipe = name.recipe();
            if let Some(from) = from {
                recipe.sources = vec![Source::from_argument(&from)];
            }
            fetch::fetch(&recipe, &data_dir, &mut |line| eprintln!("{line}"))?;
        }
        Command::List => {
            for data_set in Published::ALL {
                let state = match fetch::presence(&data_set.recipe(), &data_dir)? {
                    Presence::Absent => {
                        format!("absent; `cargo xtask data fetch {}` gets it", data_set.name())
                    }
                    Presence::Partly => {
                        format!("in part; `cargo xtask data fetch {}` goes on", data_set.name())
                    }
                    Presence::Complete => "there, checksums right".to_owned(),
                    Presence::Unpacked => "there, unpacked".to_owned(),
                    Presence::Different(path) => {
                        format!("there, but `{}` is not the published file", path.display())
                    }
                };
                println!("{:<14} {state}", data_set.name());
            }
        }
    }
    Ok(())
}
