//! The JSON documents of a group, as its operators and members write them.

use innkeeper_recipe::prelude::*;
use serde_json::value::RawValue;

/// `<group>/config`.
#[derive(Deserialize)]
pub(crate) struct GroupConfig {
    /// The name of an assignor's binding.
    pub(crate) strategy: Option<String>,
    /// What that assignor is given, as it stands.
    pub(crate) options: Option<Box<RawValue>>,
}

/// `<group>/resources`.
#[derive(Deserialize)]
pub(crate) struct Resources {
    pub(crate) topics: Vec<TopicResources>,
}

/// One topic of `<group>/resources`.
#[derive(Deserialize)]
pub(crate) struct TopicResources {
    pub(crate) name: String,
    pub(crate) partitions: u32,
    /// What each of its partitions weighs.
    pub(crate) weight: Option<u32>,
}

/// `<group>/members/<id>`.
#[derive(Default, Deserialize)]
pub(crate) struct MemberDocument {
    /// The topics that it takes; none for all.
    pub(crate) topics: Option<Vec<String>>,
    pub(crate) rack: Option<String>,
    pub(crate) capacity: Option<u64>,
}

impl MemberDocument {
    /// Parses a member's data, of which nothing means: all topics.
    pub(crate) fn parse(data: &[u8]) -> Result<Self> {
        if data.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        Ok(serde_json::from_slice(data)?)
    }
}

impl Resources {
    /// Parses the resources and checks that they can be numbered.
    pub(crate) fn parse(data: &[u8]) -> Result<Self> {
        let resources: Self = serde_json::from_slice(data)?;
        let mut names: Vec<&str> = resources.topics.iter().map(|t| t.name.as_str()).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::new(format!("topic {} stands there twice", twice[0])));
        }
        resources
            .topics
            .iter()
            .try_fold(0_u32, |sum, topic| sum.checked_add(topic.partitions))
            .filter(|&sum| sum < NONE)
            .ok_or("there are more partitions than can be numbered")?;
        Ok(resources)
    }

    /// The topics of a request.
    pub(crate) fn topics(&self) -> Vec<Topic> {
        let mut next = 0;
        let number = |topic: &TopicResources| {
            let first = next;
            next += topic.partitions;
            Topic {
                name: topic.name.clone(),
                first,
                count: topic.partitions,
            }
        };
        self.topics.iter().map(number).collect()
    }

    /// The weights of a request, if any topic has one.
    pub(crate) fn weights(&self) -> Option<Vec<u32>> {
        self.topics
            .iter()
            .any(|topic| topic.weight.is_some())
            .then(|| {
                let weights = self.topics.iter().map(|topic| {
                    std::iter::repeat_n(topic.weight.unwrap_or(1), topic.partitions as usize)
                });
                weights.flatten().collect()
            })
    }
}
