//! The orders of a process: what the driver tells it when it starts it.

/// The variable with the process's orders: its number, its run, its port, its folder, the secret,
/// the feature level that it supports, and the ports at which it finds the voters.
pub const ORDERS: &str = "INNKEEPER_REPLICA";

#[derive(Clone)]
pub struct Orders {
    pub id: u64,
    pub run: u64,
    pub port: u16,
    pub folder: String,
    pub secret: String,
    pub feature_level: u32,
    pub voters: Vec<(u64, u16)>,
}

impl Orders {
    /// The orders as the value of the variable.
    pub fn text(&self) -> String {
        let voters: Vec<_> = self
            .voters
            .iter()
            .map(|(id, port)| format!("{id}={port}"))
            .collect();
        let Self {
            id,
            run,
            port,
            folder,
            secret,
            feature_level,
            ..
        } = self;
        format!(
            "{id}|{run}|{port}|{folder}|{secret}|{feature_level}|{}",
            voters.join(",")
        )
    }

    /// What [`Orders::text`] has written.
    pub fn read(text: &str) -> Self {
        let parts: Vec<_> = text.split('|').collect();
        let voters = parts[6].split(',').map(|voter| {
            let (id, port) = voter.split_once('=').expect("a number and a port");
            (id.parse().unwrap(), port.parse().unwrap())
        });
        Self {
            id: parts[0].parse().unwrap(),
            run: parts[1].parse().unwrap(),
            port: parts[2].parse().unwrap(),
            folder: parts[3].to_owned(),
            secret: parts[4].to_owned(),
            feature_level: parts[5].parse().unwrap(),
            voters: voters.collect(),
        }
    }
}
