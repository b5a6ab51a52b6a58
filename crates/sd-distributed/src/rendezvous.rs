//! The place of a process in a job, from the environment that launchers set.

use crate::error::{Error, Result};

/// The place of a process among the processes of a job, and where they meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendezvous {
    /// Rank of this process, from 0.
    pub rank: usize,
    /// Number of processes.
    pub world_size: usize,
    /// Rank among the processes of this machine, from 0.
    pub local_rank: usize,
    /// Number of processes on this machine, if it is known.
    pub local_world_size: Option<usize>,
    /// Address of rank 0.
    pub address: String,
    /// Port of rank 0's store.
    pub port: u16,
    /// The store that the launcher serves in place of rank 0, if it does.
    pub launcher_store: Option<LauncherStore>,
}

/// A store that `torchrun` serves for its processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LauncherStore {
    /// Prefix of the keys of this start of the job.
    pub prefix: String,
}

impl Rendezvous {
    /// Reads `RANK`, `WORLD_SIZE`, `LOCAL_RANK`, `LOCAL_WORLD_SIZE`, `MASTER_ADDR` and `MASTER_PORT`.
    /// `None` for a process on its own: without these variables, or with a world size of 1.
    ///
    /// # Errors
    /// [`Error::Variable`] if one is missing, no number, or out of range.
    pub fn from_environment() -> Result<Option<Self>> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    /// See [`from_environment`](Self::from_environment); `value` looks a variable up.
    ///
    /// # Errors
    /// As above.
    pub fn from_variables(value: impl Fn(&str) -> Option<String>) -> Result<Option<Self>> {
        if value("RANK").is_none() && value("WORLD_SIZE").is_none() {
            return Ok(None);
        }
        let required = |variable| {
            let expected = "a number: RANK and WORLD_SIZE belong together, see docs/scale.md";
            value(variable).ok_or_else(|| invalid(variable, None, expected))
        };
        let world_size = number("WORLD_SIZE", &required("WORLD_SIZE")?, 1..=usize::MAX)?;
        let rank = number("RANK", &required("RANK")?, 0..=world_size - 1)?;
        if world_size == 1 {
            return Ok(None);
        }
        let local = |variable: &'static str, range| {
            value(variable).map(|text| number(variable, &text, range)).transpose()
        };
        let local_world_size = local("LOCAL_WORLD_SIZE", 1..=world_size)?;
        let local_rank = local("LOCAL_RANK", 0..=local_world_size.unwrap_or(world_size) - 1)?;
        let address = value("MASTER_ADDR").filter(|address| !address.is_empty());
        let address = address
            .ok_or_else(|| invalid("MASTER_ADDR", None, "the address of the machine of rank 0"))?;
        const PORT: &str = "a free port on the machine of rank 0, the same for all processes";
        let port = value("MASTER_PORT").ok_or_else(|| invalid("MASTER_PORT", None, PORT))?;
        let port = number("MASTER_PORT", &port, 1..=usize::from(u16::MAX))? as u16;
        let launcher_store = (value("TORCHELASTIC_USE_AGENT_STORE").as_deref() == Some("True"))
            .then(|| {
                let start = value("TORCHELASTIC_RESTART_COUNT").unwrap_or_else(|| "0".to_owned());
                LauncherStore { prefix: format!("sd-train/{start}/") }
            });
        Ok(Some(Self {
            rank,
            world_size,
            local_rank: local_rank.unwrap_or(0),
            local_world_size,
            address,
            port,
            launcher_store,
        }))
    }
}

fn number(
    variable: &'static str,
    text: &str,
    range: std::ops::RangeInclusive<usize>,
) -> Result<usize> {
    let found = text.trim().parse().ok().filter(|number| range.contains(number));
    found.ok_or_else(|| {
        let expected = match (range.start(), range.end()) {
            (least, &usize::MAX) => format!("a number of at least {least}"),
            (least, most) => format!("a number from {least} to {most}"),
        };
        invalid(variable, Some(text), expected)
    })
}

fn invalid(variable: &'static str, found: Option<&str>, expected: impl Into<String>) -> Error {
    let found = found.map_or_else(|| "not set".to_owned(), |text| format!("`{text}`"));
    Error::Variable { variable, found, expected: expected.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: [(&str, &str); 5] = [
        ("RANK", "1"),
        ("WORLD_SIZE", "2"),
        ("LOCAL_RANK", "1"),
        ("MASTER_ADDR", "127.0.0.1"),
        ("MASTER_PORT", "29500"),
    ];

    /// With these changes of the variables of the second of two processes; an empty value unsets one.
    fn changed(changes: &[(&str, &str)]) -> Result<Option<Rendezvous>> {
        Rendezvous::from_variables(|name| {
            let mut all = changes.iter().chain(&TWO);
            let (_, value) = all.find(|(variable, _)| *variable == name)?;
            (!value.is_empty()).then(|| (*value).to_owned())
        })
    }

    #[test]
    fn a_process_finds_its_place() {
        let found = changed(&[]).unwrap().unwrap();
        assert_eq!((found.rank, found.world_size, found.local_rank), (1, 2, 1));
        assert_eq!((found.address.as_str(), found.port), ("127.0.0.1", 29500));
        assert_eq!((found.local_world_size, found.launcher_store), (None, None));
        let of_torchrun =
            [("TORCHELASTIC_USE_AGENT_STORE", "True"), ("TORCHELASTIC_RESTART_COUNT", "3")];
        let store = changed(&of_torchrun).unwrap().unwrap().launcher_store.unwrap();
        assert_eq!(store.prefix, "sd-train/3/");
    }

    #[test]
    fn a_process_on_its_own_needs_nothing() {
        assert_eq!(Rendezvous::from_variables(|_| None).unwrap(), None);
        assert_eq!(
            changed(&[("RANK", "0"), ("WORLD_SIZE", "1"), ("MASTER_ADDR", "")]).unwrap(),
            None
        );
    }

    #[test]
    fn wrong_variables_are_named() {
        for (change, message) in [
            (("WORLD_SIZE", ""), "WORLD_SIZE is not set, expected a number: RANK and WORLD_SIZE"),
            (("RANK", ""), "RANK is not set, expected a number: RANK and WORLD_SIZE"),
            (("RANK", "2"), "RANK is `2`, expected a number from 0 to 1"),
            (("RANK", "first"), "RANK is `first`, expected a number from 0 to 1"),
            (("WORLD_SIZE", "0"), "WORLD_SIZE is `0`, expected a number of at least 1"),
            (("LOCAL_RANK", "2"), "LOCAL_RANK is `2`, expected a number from 0 to 1"),
            (("MASTER_ADDR", ""), "MASTER_ADDR is not set, expected the address"),
            (("MASTER_PORT", ""), "MASTER_PORT is not set, expected a free port"),
            (("MASTER_PORT", "70000"), "MASTER_PORT is `70000`, expected a number from 1 to 65535"),
        ] {
            let found = changed(&[change]).unwrap_err().to_string();
            assert!(found.starts_with(&format!("the environment variable {message}")), "{found}");
        }
    }
}
