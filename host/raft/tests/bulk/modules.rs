//! Modules that are fetched from the nodes that store them.

use bytes::Bytes;
use innkeeper_raft::ModuleStore;
use innkeeper_runtime::{Simulated, World};

use crate::common::group::{eventually, same_everywhere, started, write};
use crate::scene::start;

#[test]
fn a_module_is_fetched_from_a_node_that_stores_it() {
    World::run(17, async |world| {
        let start = start();
        let members = started(&world, &start);
        write(&world, &members, 1..20).await;
        same_everywhere(&world, &members).await;
        let at = |place: usize| members[place].replica().expect("it runs");
        let module = Bytes::from(vec![7_u8; 300_000]);
        let digest = at(2).modules().put(module.clone()).await.unwrap();
        let most = 1 << 20;

        let (first, other) = (at(0), at(1));
        let both = futures_util::join!(
            first.fetch_module(digest, most),
            other.fetch_module(digest, most)
        );
        assert!(both.0.is_ok() && both.1.is_ok(), "{both:?}");
        assert_eq!(first.modules().get(digest).await.unwrap(), Some(module));
        // It is durable, and nobody need be asked again.
        members[1].cut_power();
        members[2].kill();
        members[1].start(&start);
        let is_back = || members[1].replica().is_some();
        eventually(&world, "it is back", is_back).await;
        assert!(at(1).fetch_module(digest, most).await.is_ok());

        // What no node gives is told with what each said.
        let unknown = ModuleStore::<Simulated>::digest(b"nobody has this");
        let error = at(1).fetch_module(unknown, most).await.unwrap_err();
        let sentence = error.to_string();
        assert!(sentence.contains("node 1 does not store it"), "{sentence}");
        assert!(sentence.contains("node 3"), "{sentence}");
        let large = at(0).modules().put(vec![1_u8; 5000].into()).await.unwrap();
        let error = at(1).fetch_module(large, 4999).await.unwrap_err();
        let sentence = error.to_string();
        assert!(sentence.contains("takes 4999 at most"), "{sentence}");
        assert!(at(1).fetch_module(large, 5000).await.is_ok());
    });
}
