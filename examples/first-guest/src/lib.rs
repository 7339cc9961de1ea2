//! A first guest: `/total` always says how many znodes `/jobs` has. `README.md` has the steps.

use innkeeper_recipe::prelude::*;

/// The binding's `config`.
#[derive(Deserialize)]
struct Config {
    total: String,
}

struct CountJobs;

impl Recipe for CountJobs {
    type Config = Config;

    fn react(config: Config, tx: &mut dyn Transaction, _events: &[Event]) -> Result<()> {
        let jobs = tx.children("/jobs")?.len();
        tx.put(&config.total, jobs.to_string().as_bytes())?;
        Ok(())
    }
}

innkeeper_recipe::recipe!(CountJobs);

#[cfg(test)]
mod tests {
    use innkeeper_guest::testing::Memory;

    use super::*;

    fn react(tree: &mut Memory) {
        let config = Config {
            total: "/total".to_owned(),
        };
        tree.attempt(|tx| CountJobs::react(config, tx, &[Event::Resync]))
            .expect("a reaction");
    }

    #[test]
    fn the_total_follows_the_jobs() {
        let mut tree = Memory::new();
        tree.make("/jobs/a", b"").make("/jobs/b", b"");
        react(&mut tree);
        assert_eq!(tree.data("/total"), Some(b"2".as_slice()));
        tree.remove("/jobs/a");
        react(&mut tree);
        assert_eq!(tree.data("/total"), Some(b"1".as_slice()));
    }

    /// Writing what is already there would be a commit for nothing.
    #[test]
    fn a_total_that_holds_is_not_written_again() {
        let mut tree = Memory::new();
        tree.make("/jobs/a", b"");
        react(&mut tree);
        let writes = tree.writes();
        react(&mut tree);
        assert_eq!(tree.writes(), writes);
    }
}
