// An authorizer: while the policy's znode says `frozen`, nothing may be changed.
//
// The binding's config is the path of that znode. Reads pass, and so does everything while the
// znode is absent or says anything else.

import { get as config } from 'innkeeper:guest/config@0.1.0';
import { get } from 'innkeeper:guest/policy@0.1.0';

const CHANGES = new Set(['create', 'delete', 'set-data', 'set-acl']);
let frozen = false;

export function load() {
  const znode = get(JSON.parse(config()));
  frozen = znode !== undefined && String.fromCharCode(...znode.data) === 'frozen';
}

export function decide(request) {
  if (frozen && CHANGES.has(request.operation)) {
    return { tag: 'deny', val: `${request.path} is frozen` };
  }
  return { tag: 'allow' };
}
