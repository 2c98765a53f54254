"""The scripts of `saves`: the keys are listed in `scripts`."""

from typing import Final

from chordme_daemon.cluster.link import Script
from chordme_daemon.cluster.scripts import GUARD, KEYS

# room -> what is known of its saves.
SAVED: Final = Script(KEYS + "return {redis.call('HGET', of(ARGV[1], 'saves'), 'saved')}")

# -> rooms.
UNSAVED: Final = Script("return redis.call('SMEMBERS', KEYS[1] .. 'unsaved')")

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
if redis.call('HEXISTS', saves, 'saved') == 0 then
  redis.call('HSET', saves, 'saved', ARGV[5], 'revision', ARGV[6])
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
local saved = redis.call('HGET', saves, 'saved')
-- Of a song that is only just being loaded there is nothing to save.
if saved then redis.call('SADD', P .. 'unsaved', ARGV[4]) end
return {'ok', saved}
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
redis.call(ARGV[7] == '1' and 'SREM' or 'SADD', P .. 'unsaved', ARGV[4])
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

# how many, in how many us: take a save; us to wait until there is one, 0 if there was.
SPEND_SAVE: Final = Script(
    """
local key, count, per = KEYS[1] .. 'spent', tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now, gone = time[1] * 1000000 + time[2], 0
local spent = redis.call('LRANGE', key, 0, -1)
for _, at in ipairs(spent) do
  -- What is to come was before a clock was set back.
  if tonumber(at) > now - per and tonumber(at) <= now then break end
  gone = gone + 1
end
redis.call('LTRIM', key, gone, -1)
if #spent - gone >= count then return spent[gone + 1] + per - now end
redis.call('RPUSH', key, string.format('%.0f', now))
return 0
"""
)
