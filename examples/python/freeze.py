"""An authorizer: while the policy's znode says `frozen`, nothing may be changed.

The binding's config is the path of that znode. Reads pass, and so does everything while the znode
is absent or says anything else.
"""

import json

import wit_world
from wit_world.imports import config, policy
from wit_world.imports.authorization import Decision_Allow, Decision_Deny, Operation

CHANGES = {Operation.CREATE, Operation.DELETE, Operation.SET_DATA, Operation.SET_ACL}

# What `load` builds stands in the module: each call makes an object of its own.
frozen = False


class WitWorld(wit_world.WitWorld):
    def load(self):
        global frozen
        znode = policy.get(json.loads(config.get()))
        frozen = znode is not None and znode.data == b"frozen"

    def decide(self, request):
        if frozen and request.operation in CHANGES:
            return Decision_Deny(f"{request.path} is frozen")
        return Decision_Allow()
