"""kazoo's recipes, each with several clients that really contend."""

import threading
import time

import pytest
from kazoo.exceptions import CancelledError, LockTimeout
from kazoo.protocol.states import EventType
from kazoo.recipe.cache import TreeCache, TreeEvent
from kazoo.recipe.watchers import PatientChildrenWatch

from waiting import SECONDS, Events, Task


def test_lock_is_held_by_one_at_a_time(connect, zk, base):
    inside, most = 0, 0
    order = []
    guard = threading.Lock()

    def work(client, name):
        nonlocal inside, most
        for _ in range(5):
            with client.Lock(f"{base}/lock", name):
                with guard:
                    inside += 1
                    most = max(most, inside)
                # A round trip under the lock gives the others their chance to be wrong.
                client.exists(base)
                with guard:
                    inside -= 1
                    order.append(name)

    tasks = [Task(work, connect(), str(number)) for number in range(4)]
    for task in tasks:
        task.result(60)
    assert most == 1
    assert len(order) == 20
    assert zk.get_children(f"{base}/lock") == []


def test_lock_passes_on_when_its_holder_dies(connect, wire, base):
    import wire as w

    # The holder is a bare connection in the form of kazoo's lock, so that it can die.
    waiter = connect()
    lock = waiter.Lock(f"{base}/lock", "waiter")
    waiter.ensure_path(f"{base}/lock")
    holder = wire(False)
    holder.connect(timeout_ms=1)
    assert holder.call(w.CREATE, w.create(f"{base}/lock/dead__lock__", b"dead", flags=3))[1] == 0
    with pytest.raises(LockTimeout):
        lock.acquire(timeout=0.2)
    assert lock.acquire(blocking=False) is False
    task = Task(lock.acquire)
    holder.close()
    assert task.result(60) is True
    assert lock.contenders() == ["waiter"]
    lock.release()


def test_lock_waiters_come_in_order_and_can_be_cancelled(connect, base):
    clients = [connect() for _ in range(3)]
    locks = [client.Lock(f"{base}/lock", str(number)) for number, client in enumerate(clients)]
    assert locks[0].acquire()
    joined = Events()
    clients[0].ChildrenWatch(f"{base}/lock")(joined)
    second = Task(locks[1].acquire)
    joined.until(lambda children: len(children) == 2)
    third = Task(locks[2].acquire)
    joined.until(lambda children: len(children) == 3)
    assert locks[0].contenders() == ["0", "1", "2"]
    locks[1].cancel()
    with pytest.raises(CancelledError):
        second.result()
    locks[0].release()
    assert third.result() is True
    locks[2].release()


def test_readers_share_and_writers_do_not(connect, base):
    a, b, c = connect(), connect(), connect()
    read_a, read_b = a.ReadLock(f"{base}/rw"), b.ReadLock(f"{base}/rw")
    write = c.WriteLock(f"{base}/rw")
    assert read_a.acquire(timeout=SECONDS) and read_b.acquire(timeout=SECONDS)
    assert write.acquire(blocking=False) is False
    read_a.release()
    task = Task(write.acquire)
    read_b.release()
    assert task.result() is True
    assert a.ReadLock(f"{base}/rw").acquire(blocking=False) is False
    write.release()


def test_semaphore(connect, base):
    clients = [connect() for _ in range(3)]
    leases = [client.Semaphore(f"{base}/s", max_leases=2) for client in clients]
    assert leases[0].acquire() and leases[1].acquire()
    assert leases[2].acquire(blocking=False) is False
    task = Task(leases[2].acquire)
    leases[0].release()
    assert task.result() is True
    for lease in leases[1:]:
        lease.release()


def test_election_is_won_by_each_in_turn(connect, base):
    clients = [connect() for _ in range(3)]
    won = Events()
    resign = [threading.Event() for _ in clients]
    elections = [client.Election(f"{base}/election", str(number)) for number, client in enumerate(clients)]

    def lead(number):
        won(number)
        assert resign[number].wait(SECONDS)

    tasks = [Task(election.run, lead, number) for number, election in enumerate(elections)]
    leaders = []
    for _ in clients:
        leaders.append(won.next())
        assert won.empty()  # one leader at a time
        assert elections[0].contenders()[0] == str(leaders[-1])
        resign[leaders[-1]].set()
    for task in tasks:
        task.result()
    assert sorted(leaders) == [0, 1, 2]


def test_counter_loses_no_step(connect, base):
    clients = [connect() for _ in range(3)]

    def add(client):
        counter = client.Counter(f"{base}/counter")
        for _ in range(10):
            counter += 1

    for task in [Task(add, client) for client in clients]:
        task.result(60)
    counter = clients[0].Counter(f"{base}/counter")
    assert counter.value == 30
    counter -= 7
    assert counter.value == 23


def test_barrier(connect, base):
    keeper, waiter = connect(), connect()
    barrier = keeper.Barrier(f"{base}/barrier")
    barrier.create()
    assert waiter.Barrier(f"{base}/barrier").wait(timeout=0.1) is False
    task = Task(waiter.Barrier(f"{base}/barrier").wait)
    assert barrier.remove() is True
    assert task.result() is True
    assert barrier.remove() is False


def test_double_barrier_enters_and_leaves_together(connect, base):
    clients = [connect() for _ in range(3)]
    entered = Events()

    def cross(client):
        barrier = client.DoubleBarrier(f"{base}/double", 3)
        barrier.enter()
        assert barrier.participating
        entered("in")
        barrier.leave()
        entered("out")

    tasks = [Task(cross, client) for client in clients[:2]]
    clients[2].ensure_path(f"{base}/double")
    present = Events()
    clients[2].ChildrenWatch(f"{base}/double")(present)
    present.until(lambda children: len(children) == 2)
    assert entered.empty()
    tasks.append(Task(cross, clients[2]))
    for task in tasks:
        task.result()
    said = [entered.next() for _ in range(6)]
    assert said.count("in") == said.count("out") == 3


def test_queue_gives_each_entry_to_one(connect, base):
    clients = [connect() for _ in range(3)]
    queue = clients[0].Queue(f"{base}/queue")
    queue.put(b"last", priority=200)
    for number in range(30):
        queue.put(str(number).encode())
    queue.put(b"first", priority=1)
    assert len(queue) == 32
    assert queue.get() == b"first"

    def drain(client):
        mine = client.Queue(f"{base}/queue")
        taken = []
        while (entry := mine.get()) is not None:
            taken.append(entry)
        return taken

    tasks = [Task(drain, client) for client in clients]
    taken = [entry for task in tasks for entry in task.result(60)]
    assert sorted(taken) == sorted([str(number).encode() for number in range(30)] + [b"last"])


def test_locking_queue_gives_back_what_was_not_consumed(connect, base):
    a, b = connect(), connect()
    mine, theirs = a.LockingQueue(f"{base}/queue"), b.LockingQueue(f"{base}/queue")
    mine.put_all([b"one", b"two"])
    assert mine.get(timeout=SECONDS) == b"one"
    assert theirs.get(timeout=SECONDS) == b"two"
    assert theirs.consume() is True
    assert theirs.get(timeout=0.1) is None
    task = Task(theirs.get)
    a.stop()  # its lock was an ephemeral
    assert task.result() == b"one"
    assert theirs.consume() is True
    assert len(theirs) == 0


def test_set_partitioner_shares_the_set(connect, base):
    clients = [connect() for _ in range(3)]
    whole = tuple(f"shard-{number}" for number in range(7))

    def settle(partitioners):
        """Drives the state machines until all own a part of one and the same division."""
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            for partitioner in partitioners:
                if partitioner.failed:
                    raise AssertionError("a partitioner failed")
                if partitioner.release:
                    partitioner.release_set()
                elif partitioner.allocating:
                    partitioner.wait_for_acquire(0.05)
                else:
                    # Set when it is told of a change in the party.
                    partitioner.state_change_event.wait(0.02)
            if all(partitioner.acquired for partitioner in partitioners):
                parts = [set(partitioner) for partitioner in partitioners]
                if set().union(*parts) == set(whole) and sum(map(len, parts)) == len(whole):
                    return parts
        raise AssertionError("the partitioners never agreed")

    partitioners = [
        client.SetPartitioner(f"{base}/set", whole, identifier=str(number), time_boundary=0.1)
        for number, client in enumerate(clients)
    ]
    parts = settle(partitioners)
    assert sorted(map(len, parts)) == [2, 2, 3]
    partitioners.pop().finish()
    parts = settle(partitioners)
    assert sorted(map(len, parts)) == [3, 4]
    for partitioner in partitioners:
        partitioner.finish()


def test_party(connect, base):
    a, b = connect(), connect()
    party = a.Party(f"{base}/party", "ann")
    party.join()
    b.Party(f"{base}/party", "bob").join()
    assert sorted(party) == ["ann", "bob"]
    b.stop()
    a.sync(base)
    assert list(party) == ["ann"]
    shallow = a.ShallowParty(f"{base}/shallow", "ann")
    shallow.join()
    assert list(shallow) == ["ann"]
    shallow.leave()
    assert len(shallow) == 0


def test_data_watch_follows_a_znode_through_its_life(zk, connect, base):
    path = f"{base}/a"
    seen = Events()

    @zk.DataWatch(path)
    def watch(data, stat, event):
        seen(data, stat.version if stat else None, event.type if event else None)

    other = connect()
    assert seen.next() == (None, None, None)
    other.create(path, b"0")
    assert seen.next() == (b"0", 0, EventType.CREATED)
    for count in range(1, 20):
        other.set(path, str(count).encode())
        data, version, kind = seen.next()
        assert (data, version, kind) == (str(count).encode(), count, EventType.CHANGED)
    other.delete(path)
    assert seen.next() == (None, None, EventType.DELETED)
    other.create(path, b"again")
    assert seen.next() == (b"again", 0, EventType.CREATED)


def test_children_watch_ends_with_the_truth(zk, connect, base):
    """Changes may be merged, but the last call shows the last state."""
    seen = Events()
    zk.ChildrenWatch(base)(seen)
    assert seen.next() == []
    other = connect()
    for count in range(50):
        other.create_async(f"{base}/{count}")
    other.sync(base)
    seen.until(lambda children: len(children) == 50)
    for count in range(0, 50, 2):
        other.delete(f"{base}/{count}")
    seen.until(lambda children: sorted(children, key=int) == [str(odd) for odd in range(1, 50, 2)])


def test_patient_children_watch(zk, base):
    zk.create(f"{base}/a")
    children, changed = PatientChildrenWatch(zk, base, time_boundary=0.1).start().get(timeout=SECONDS)
    assert children == ["a"]
    assert not changed.ready()
    zk.create(f"{base}/b")
    assert changed.get(timeout=SECONDS) is None or changed.ready()


def test_tree_cache_mirrors_a_subtree(zk, connect, base):
    zk.create(f"{base}/a/b", b"1", makepath=True)
    cache = TreeCache(zk, base)
    seen = Events()
    cache.listen(seen)
    cache.start()
    try:
        seen.until(lambda event: event.event_type == TreeEvent.INITIALIZED)
        assert cache.get_data(f"{base}/a/b").data == b"1"
        other = connect()
        other.set(f"{base}/a/b", b"2")
        seen.until(lambda event: event.event_type == TreeEvent.NODE_UPDATED and event.event_data.data == b"2")
        other.create(f"{base}/a/c", b"3")
        seen.until(lambda event: event.event_type == TreeEvent.NODE_ADDED and event.event_data.path == f"{base}/a/c")
        assert cache.get_children(f"{base}/a") == {"b", "c"}
        other.delete(f"{base}/a/b")
        seen.until(lambda event: event.event_type == TreeEvent.NODE_REMOVED)
        assert cache.get_children(f"{base}/a") == {"c"}
    finally:
        cache.close()


def test_lease(zk, connect, base):
    from datetime import timedelta

    hour = timedelta(hours=1)
    other = connect()
    assert zk.NonBlockingLease(f"{base}/lease", hour, identifier="ann")
    assert not other.NonBlockingLease(f"{base}/lease", hour, identifier="bob")
    assert zk.NonBlockingLease(f"{base}/lease", hour, identifier="ann")
