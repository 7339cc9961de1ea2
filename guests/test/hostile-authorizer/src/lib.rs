//! Test guest `hostile-authorizer`: an authorizer that misbehaves.
//!
//! Configuration: `{"mode": "loop", "in": "decide", "policy": "/policies/hostile"}`, the modes
//! being those of [`Misbehaviour`], `in` being `load` or `decide` (the default). With
//! `"policy"`, the mode is the text of that znode instead, so that a policy change makes the
//! guest good or bad. Mode `none` allows everything. Mode `reads` reads the policy without end in
//! `load`, all of it that `"scan"` names; in `decide` it reads it once, which only `load` may do.

use innkeeper_authorizer::guest::policy::HostPolicy;
use innkeeper_authorizer::prelude::*;
use test_support::Misbehaviour;

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    mode: Misbehaviour,
    #[serde(default, rename = "in")]
    place: Place,
    policy: Option<String>,
    scan: Option<String>,
}

#[derive(Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Place {
    Load,
    #[default]
    Decide,
}

struct Hostile {
    mode: Misbehaviour,
    place: Place,
}

impl Authorizer for Hostile {
    type Config = Config;

    fn load(config: Config, policy: &dyn Policy) -> Result<Self> {
        let mode = match &config.policy {
            None => config.mode,
            Some(path) => {
                let znode = policy.get(path)?.ok_or("there is no policy")?;
                let text = String::from_utf8_lossy(&znode.data);
                innkeeper_authorizer::guest::parse_config(&format!("{text:?}"))?
            }
        };
        if config.place == Place::Load {
            if mode == Misbehaviour::Reads {
                let prefix = config.scan.as_deref().unwrap_or("/");
                loop {
                    policy.scan(prefix)?;
                }
            }
            mode.act()?;
        }
        Ok(Self {
            mode,
            place: config.place,
        })
    }

    fn decide(&self, _request: &Request) -> Decision {
        if self.place == Place::Decide {
            if self.mode == Misbehaviour::Reads {
                // A trap: only its being refused is of interest.
                let _ = HostPolicy.get("/");
            }
            if let Err(error) = self.mode.act() {
                return Decision::Deny(Some(error.to_string()));
            }
        }
        Decision::Allow
    }
}

innkeeper_authorizer::authorizer!(Hostile);
