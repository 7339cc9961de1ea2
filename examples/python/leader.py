"""A recipe: of all candidates the longest-standing one is the leader.

A candidate is an ephemeral znode below <root>/candidates that a client made. The leader's name
stands in <root>/leader, which is ephemeral on the leader's own session: it goes when the leader
goes, and the next reaction names another.
"""

import json

import wit_world
from componentize_py_types import Err
from wit_world.imports import config, log, transaction
from wit_world.imports.transaction import CreateOptions


class WitWorld(wit_world.WitWorld):
    def react(self, events):
        root = json.loads(config.get())
        candidates, leader = f"{root}/candidates", f"{root}/leader"
        if transaction.exists(leader) is not None:
            return
        paths = [f"{candidates}/{name}" for name in transaction.children(candidates)]
        standing = [
            znode
            for znode in transaction.get_many(paths)
            if znode is not None and znode.stat.ephemeral_owner != 0
        ]
        if not standing:
            print(f"nobody stands below {candidates}")
            return
        chosen = min(standing, key=lambda znode: znode.stat.czxid)
        session = transaction.owner(chosen.path)
        if session is None:
            # Cannot be: it was an ephemeral a moment ago, in the same view of the tree.
            raise Err(f"{chosen.path} has no owner")
        name = chosen.path.rsplit("/", 1)[1]
        transaction.create(leader, name.encode(), CreateOptions(None, session, False))
        log.log(log.Level.INFO, f"{name} leads now")
