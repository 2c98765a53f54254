"""The scripts of `saves`: the keys are listed in `scripts`."""

from typing import Final

from chordme_daemon.cluster.link import Script
from chordme_daemon.cluster.scripts import GUARD, KEYS

# room -> what is known of its saves.
SAVED: Final = Script(KEYS + "return {redis.call('HGET', of(ARGV[1], 'saves'), 'saved')}")

# how many -> rooms.
UNSAVED: Final = Script(KEYS + "return redis.call('SRANDMEMBER', P .. 'unsaved', ARGV[1])")

_OWNER: Final = """
local saves, me = of(ARGV[4], 'saves'), node .. ' ' .. session
local function theirs()
  return {'theirs', redis.call('HGET', saves, 'revision')}
end
"""

# room, what is known of its saves, revision: if nothing is known yet.
BEGIN_SAVES: Final = Script(
    KEYS
    + GUARD
    + _OWNER
    + """
if redis.call('HSETNX', saves, 'saved', ARGV[5]) == 1 then
  redis.call('HSET', saves, 'revision', ARGV[6])
end
return {'ok'}
"""
)

# room -> ok and what is known of its saves, or theirs and the revision that is saved.
CLAIM: Final = Script(
    KEYS
    + GUARD
    + _OWNER
    + """
local owner = redis.call('HGET', saves, 'owner')
if owner and owner ~= me then
  local at, its = string.match(owner, '^(%S+) (%S+)$')
  if redis.call('HGET', P .. 'sessions', at) == its then return theirs() end
end
redis.call('HSET', saves, 'owner', me)
redis.call('SADD', P .. 'unsaved', ARGV[4])
return {'ok', redis.call('HGET', saves, 'saved')}
"""
)

# room, what is known of its saves, revision, whether that is all there is to save.
NOTE_SAVED: Final = Script(
    KEYS
    + GUARD
    + _OWNER
    + """
if redis.call('HGET', saves, 'owner') ~= me then return theirs() end
redis.call('HSET', saves, 'saved', ARGV[5], 'revision', ARGV[6])
if ARGV[7] == '1' then redis.call('SREM', P .. 'unsaved', ARGV[4]) end
return {'ok'}
"""
)

# room.
RELEASE: Final = Script(
    KEYS
    + GUARD
    + _OWNER
    + """
if redis.call('HGET', saves, 'owner') == me then redis.call('HDEL', saves, 'owner') end
return {'ok'}
"""
)
