// A recipe: of all candidates the longest-standing one is the leader.
//
// A candidate is an ephemeral znode below <root>/candidates that a client made. The leader's name
// stands in <root>/leader, which is ephemeral on the leader's own session: it goes when the
// leader goes, and the next reaction names another.

import { get as config } from 'innkeeper:guest/config@0.1.0';
import { log } from 'innkeeper:guest/log@0.1.0';
import { children, create, exists, getMany, owner } from 'innkeeper:guest/transaction@0.1.0';

// QuickJS has no TextEncoder.
const bytes = (text) =>
  Uint8Array.from(unescape(encodeURIComponent(text)), (character) => character.charCodeAt(0));

export function react(events) {
  const root = JSON.parse(config());
  const candidates = `${root}/candidates`;
  const leader = `${root}/leader`;
  if (exists(leader)) return;
  const paths = children(candidates).map((name) => `${candidates}/${name}`);
  const standing = getMany(paths).filter((znode) => znode && znode.stat.ephemeralOwner !== 0n);
  if (standing.length === 0) {
    log('info', `nobody stands below ${candidates}`);
    return;
  }
  const chosen = standing.reduce((a, b) => (a.stat.czxid < b.stat.czxid ? a : b));
  const name = chosen.path.slice(candidates.length + 1);
  create(leader, bytes(name), {
    ephemeral: owner(chosen.path),
    sequential: false,
  });
  log('info', `${name} leads now`);
}
