//! The node as an ordinary client library sees it.

mod common;

use std::time::Duration;

use common::Running;
use zookeeper_client as zk;

async fn connect(server: &Running) -> zk::Client {
    zk::Client::connector()
        .with_session_timeout(Duration::from_secs(20))
        .connect(&server.addr.to_string())
        .await
        .unwrap()
}

fn persistent() -> zk::CreateOptions<'static> {
    zk::CreateMode::Persistent.with_acls(zk::Acls::anyone_all())
}

/// The library sends its credentials right behind the connect request, before any answer.
#[test]
fn credentials_sent_with_the_connect_request_count() {
    let server = Running::start();
    server.block_on(async {
        let owner = zk::Client::connector()
            .with_auth("digest", b"ann:pw")
            .connect(&server.addr.to_string())
            .await
            .unwrap();
        let mine = zk::CreateMode::Persistent.with_acls(zk::Acls::creator_all());
        owner.create("/mine", b"x", &mine).await.unwrap();
        assert_eq!(owner.get_data("/mine").await.unwrap().0, b"x");
        let stranger = connect(&server).await;
        let denied = stranger.get_data("/mine").await;
        assert!(matches!(denied, Err(zk::Error::NoAuth)), "{denied:?}");
        stranger.auth("digest", b"ann:pw").await.unwrap();
        assert_eq!(stranger.get_data("/mine").await.unwrap().0, b"x");
    });
}

#[test]
fn recipes_of_the_client_side_work_as_they_always_did() {
    let server = Running::start();
    server.block_on(async {
        let (first, second) = (connect(&server).await, connect(&server).await);
        first.create("/locks", b"", &persistent()).await.unwrap();
        let ephemeral = zk::CreateMode::EphemeralSequential.with_acls(zk::Acls::anyone_all());
        let (_, mine) = first.create("/locks/n-", b"1", &ephemeral).await.unwrap();
        let (_, theirs) = second.create("/locks/n-", b"2", &ephemeral).await.unwrap();
        assert!(mine.into_i64() < theirs.into_i64());
        let held = format!("/locks/n-{mine}");
        let (_, watcher) = second.check_and_watch_stat(&held).await.unwrap();
        let waiting = watcher.changed();
        drop(first);
        let event = waiting.await;
        assert_eq!(event.event_type, zk::EventType::NodeDeleted);
        assert_eq!(event.path, held);
        assert_eq!(second.list_children("/locks").await.unwrap().len(), 1);
        let mut writer = second.new_multi_writer();
        writer.add_check_version("/locks", 0).unwrap();
        writer.add_create("/made", b"", &persistent()).unwrap();
        writer.commit().await.unwrap();
        assert!(second.check_stat("/made").await.unwrap().is_some());
    });
}
