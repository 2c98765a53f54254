"""What is done in Redis at one stroke: each script is one step in the one order of all daemons.

KEYS[1] is the prefix of all keys:

    sessions            hash    node -> its session; what another session sent is not done
    nodes               sorted  node -> when it was last seen, in ms of Redis's clock
    peers               hash    node -> where the others reach it
    password            string  with which the messages in the channels begin
    node:NODE           set     "ROOM KEY" of its members
    rooms:KEY           set     the rooms of a resumable member
    lost                sorted  "ROOM KEY" -> until when it is waited for, in ms
    room:ROOM           channel
    room:ROOM:head      hash    revision, base (before the log's first), saved (the snapshot's),
                                joined, present and said (numbers of joins, of changes of who is
                                there, and of the last note that was kept)
    room:ROOM:log       list    entries
    room:ROOM:snapshot  string
    room:ROOM:answered  hash    author -> the seq of the last operation
    room:ROOM:messages  list    the last notes that were to be kept
    room:ROOM:members   hash    key -> "ORDER NODE MEMBER"
    room:ROOM:users     hash    user -> how many members
    room:ROOM:saves     hash    owner ("NODE SESSION"), saved, revision (of what is saved)
    unsaved             set     the rooms of which something may not be saved yet
    spent               list    when songs were saved last, in us
    rulings             hash    what a ruling is about -> "UNTIL_MS VALUE"; a channel as well
    rate:NAME:KEY       string  when a bucket is full again, in us

All scripts but `READ` and what else only reads begin with ARGV node, session, prefix of messages.
"""

from typing import Final

from chordme_daemon.cluster.interface import KEPT_NOTES
from chordme_daemon.cluster.link import Script

KEYS: Final = """
local P = KEYS[1]
local function of(room, what) return P .. 'room:' .. room .. ':' .. what end
local function number(room, field)
  return tonumber(redis.call('HGET', of(room, 'head'), field) or 0)
end
local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
"""

GUARD: Final = """
local node, session, opening = ARGV[1], ARGV[2], ARGV[3]
if redis.call('HGET', P .. 'sessions', node) ~= session then return {'session'} end
local function say(room, rest) redis.call('PUBLISH', P .. 'room:' .. room, opening .. rest) end
"""

_MEMBERS: Final = """
local function say_present(room, kind, member)
  local users = redis.call('HLEN', of(room, 'users'))
  local change = redis.call('HINCRBY', of(room, 'head'), 'present', 1)
  say(room, kind .. member .. ',' .. users .. ',' .. change .. ']')
end
local function member_of(room, key)
  local found = redis.call('HGET', of(room, 'members'), key)
  if found then return string.match(found, '^(%d+) (%S+) (.*)$') end
end
local function fields_of(member)
  local is_json, fields = pcall(cjson.decode, member)
  return is_json and type(fields) == 'table' and fields or {}
end
local function remove(room, key)
  redis.call('ZREM', P .. 'lost', room .. ' ' .. key)
  local _, at, member = member_of(room, key)
  if not at then return end
  redis.call('HDEL', of(room, 'members'), key)
  redis.call('SREM', P .. 'node:' .. at, room .. ' ' .. key)
  redis.call('SREM', P .. 'rooms:' .. key, room)
  local user = fields_of(member)[2]
  if type(user) == 'string' and redis.call('HINCRBY', of(room, 'users'), user, -1) <= 0 then
    redis.call('HDEL', of(room, 'users'), user)
    say_present(room, '"d",', member)
  end
end
local function lose(room, key, until_ms)
  local _, _, member = member_of(room, key)
  if member and fields_of(member)[5] then
    redis.call('ZADD', P .. 'lost', 'NX', until_ms, room .. ' ' .. key)
  else
    remove(room, key)
  end
end
local function of_each(places, what)
  for _, place in ipairs(places) do
    local room, key = string.match(place, '^(%S+) (.*)$')
    if room then what(room, key) else redis.call('ZREM', P .. 'lost', place) end
  end
end
"""

_ANSWERED: Final = """
-- The last seqs of a snapshot, and of the entries behind it.
local function remember(room, revision, base, first, last)
  redis.call('DEL', of(room, 'answered'))
  for i = first, last, 2 do
    redis.call('HSET', of(room, 'answered'), ARGV[i], ARGV[i + 1])
  end
  for _, entry in ipairs(redis.call('LRANGE', of(room, 'log'), revision - base, -1)) do
    local draft = cjson.decode(entry)
    redis.call('HSET', of(room, 'answered'), draft[1], draft[2])
  end
end
"""

# node, session, where it is reached or nothing, a password -> the password, the node's members.
BEGIN: Final = Script(
    KEYS
    + """
redis.call('HSET', P .. 'sessions', ARGV[1], ARGV[2])
redis.call('ZADD', P .. 'nodes', now_ms(), ARGV[1])
if ARGV[3] ~= '' then redis.call('HSET', P .. 'peers', ARGV[1], ARGV[3]) end
redis.call('SET', P .. 'password', ARGV[4], 'NX')
return {redis.call('GET', P .. 'password'), redis.call('SMEMBERS', P .. 'node:' .. ARGV[1])}
"""
)

# grace in ms; whoever has not left is lost.
END: Final = Script(
    KEYS
    + GUARD
    + _MEMBERS
    + """
local until_ms = now_ms() + ARGV[4]
of_each(redis.call('SMEMBERS', P .. 'node:' .. node), function(room, key)
  lose(room, key, until_ms)
end)
redis.call('HDEL', P .. 'sessions', node)
redis.call('HDEL', P .. 'peers', node)
redis.call('ZREM', P .. 'nodes', node)
return {'ok'}
"""
)

# lease in ms, grace in ms -> the peers: nodes and where they are reached, one behind the other;
# and whether more is due: it is done in parts.
CARE: Final = Script(
    KEYS
    + GUARD
    + _MEMBERS
    + """
local now, at_once = now_ms(), 200
redis.call('ZADD', P .. 'nodes', now, node)
local dead, seen_ms = unpack(redis.call(
  'ZRANGEBYSCORE', P .. 'nodes', '-inf', now - ARGV[4], 'WITHSCORES', 'LIMIT', 0, 1))
if dead then
  redis.call('HDEL', P .. 'sessions', dead)
  redis.call('HDEL', P .. 'peers', dead)
  of_each(redis.call('SPOP', P .. 'node:' .. dead, at_once), function(room, key)
    local _, at = member_of(room, key)
    if at == dead then lose(room, key, seen_ms + ARGV[5]) end
  end)
  if redis.call('EXISTS', P .. 'node:' .. dead) == 0 then redis.call('ZREM', P .. 'nodes', dead) end
end
local gone = redis.call('ZRANGEBYSCORE', P .. 'lost', '-inf', now, 'LIMIT', 0, at_once)
of_each(gone, remove)
return {'ok', redis.call('HGETALL', P .. 'peers'), (dead or #gone == at_once) and 1 or 0}
"""
)

# room, key, user, member, the most users, whether it is said again -> the members, the number of
# the last change of who is there, and whether that is the user's coming.
JOIN: Final = Script(
    KEYS
    + GUARD
    + _MEMBERS
    + """
local room, key, user, member = ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local order, at = member_of(room, key)
if at and at ~= node then
  if ARGV[9] == '1' then return {'moved'} end
  redis.call('SREM', P .. 'node:' .. at, room .. ' ' .. key)
  say(room, '"m",' .. cjson.encode(key) .. ',' .. cjson.encode(node) .. ']')
end
local is_new = false
if not at then
  is_new = redis.call('HEXISTS', of(room, 'users'), user) == 0
  if is_new and redis.call('HLEN', of(room, 'users')) >= tonumber(ARGV[8]) then return {'full'} end
  order = redis.call('HINCRBY', of(room, 'head'), 'joined', 1)
  redis.call('HINCRBY', of(room, 'users'), user, 1)
  if is_new then say_present(room, '"a",', member) end
  if cjson.decode(member)[5] then redis.call('SADD', P .. 'rooms:' .. key, room) end
end
redis.call('HSET', of(room, 'members'), key, order .. ' ' .. node .. ' ' .. member)
redis.call('SADD', P .. 'node:' .. node, room .. ' ' .. key)
redis.call('ZREM', P .. 'lost', room .. ' ' .. key)
return {
  'ok', redis.call('HVALS', of(room, 'members')), number(room, 'present'), is_new and 1 or 0}
"""
)

# room, key, whether it is lost, grace in ms.
LEAVE: Final = Script(
    KEYS
    + GUARD
    + _MEMBERS
    + """
local room, key = ARGV[4], ARGV[5]
local _, at = member_of(room, key)
if at == node then
  if ARGV[6] == '1' then lose(room, key, now_ms() + ARGV[7]) else remove(room, key) end
end
return {'ok'}
"""
)

# key -> rooms and their revisions, one behind the other.
MEMBERSHIPS: Final = Script(
    KEYS
    + """
local found = {}
for _, room in ipairs(redis.call('SMEMBERS', P .. 'rooms:' .. ARGV[1])) do
  table.insert(found, room)
  table.insert(found, number(room, 'revision'))
end
return found
"""
)

# room, head, then of each draft: author, seq, entry -> ok, or what leads from there to the head.
COMMIT: Final = Script(
    KEYS
    + GUARD
    + """
local room, head = ARGV[4], tonumber(ARGV[5])
local log, answered = of(room, 'log'), of(room, 'answered')
local revision, base = number(room, 'revision'), number(room, 'base')
local is_new = revision == head
for i = 6, #ARGV, 3 do
  local last = tonumber(redis.call('HGET', answered, ARGV[i]) or 0)
  is_new = is_new and tonumber(ARGV[i + 1]) > last
end
if not is_new then
  local entries = head < base and {} or redis.call('LRANGE', log, head - base, -1)
  return {'stale', revision, base, entries}
end
for i = 6, #ARGV, 3 do
  revision = revision + 1
  redis.call('RPUSH', log, ARGV[i + 2])
  redis.call('HSET', answered, ARGV[i], ARGV[i + 1])
  say(room, '"e",' .. revision .. ',' .. ARGV[i + 2] .. ']')
end
redis.call('HSET', of(room, 'head'), 'revision', revision)
return {'ok'}
"""
)

# room, revision -> head, base, what came after that revision.
SINCE: Final = Script(
    KEYS
    + """
local room, revision = ARGV[1], tonumber(ARGV[2])
local base = number(room, 'base')
local entries = revision < base and {} or
  redis.call('LRANGE', of(room, 'log'), revision - base, -1)
return {number(room, 'revision'), base, entries}
"""
)

# rooms -> of each its head and the number of its last message; 0 for what is damaged.
HEADS: Final = Script(
    KEYS
    + """
local heads = {}
for i, room in ipairs(ARGV) do
  local found = redis.pcall('HMGET', of(room, 'head'), 'revision', 'said')
  heads[i] = {tonumber(found[1] or 0) or 0, tonumber(found[2] or 0) or 0}
end
return heads
"""
)

# room -> its messages.
MESSAGES: Final = Script(KEYS + "return redis.call('LRANGE', of(ARGV[1], 'messages'), 0, -1)")

# room -> its members, and the number of the last change of who is there.
MEMBERS: Final = Script(
    KEYS
    + """
return {redis.call('HVALS', of(ARGV[1], 'members')), number(ARGV[1], 'present')}
"""
)

# room -> head, base, snapshot, entries, messages.
READ: Final = Script(
    KEYS
    + """
local room = ARGV[1]
return {
  number(room, 'revision'), number(room, 'base'), redis.call('GET', of(room, 'snapshot')),
  redis.call('LRANGE', of(room, 'log'), 0, -1), redis.call('LRANGE', of(room, 'messages'), 0, -1)}
"""
)

# room, note without its end -> its number.
KEEP: Final = Script(
    KEYS
    + GUARD
    + f"""
local room = ARGV[4]
local said = math.max(number(room, 'said') + 1, now_ms())
local note = ARGV[5] .. ',' .. string.format('%d', said) .. ']'
redis.call('HSET', of(room, 'head'), 'said', string.format('%d', said))
redis.call('RPUSH', of(room, 'messages'), note)
redis.call('LTRIM', of(room, 'messages'), -{KEPT_NOTES}, -1)
say(room, '"n",true,' .. note .. ']')
return {{'ok', said}}
"""
)

# room, revision, base, snapshot, then of each author: author, seq.
COMPACT: Final = Script(
    KEYS
    + GUARD
    + _ANSWERED
    + """
local room, revision, base = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local before = number(room, 'base')
if revision <= number(room, 'saved') or revision > number(room, 'revision') then return {'ok'} end
redis.call('SET', of(room, 'snapshot'), ARGV[7])
redis.call('HSET', of(room, 'head'), 'saved', revision)
if base > before then
  redis.call('LTRIM', of(room, 'log'), base - before, -1)
  redis.call('HSET', of(room, 'head'), 'base', base)
end
remember(room, revision, math.max(base, before), 8, #ARGV)
return {'ok'}
"""
)

# room, its head, then the new one, the new base, the snapshot's revision, snapshot, how many
# entries, these, then of each author: author, seq -> ok, or stale when its head is another.
RESTORE: Final = Script(
    KEYS
    + GUARD
    + _ANSWERED
    + """
local room, revision, base, saved, count = ARGV[4], ARGV[6], ARGV[7], ARGV[8], tonumber(ARGV[10])
if number(room, 'revision') ~= tonumber(ARGV[5]) then return {'stale'} end
redis.call('SET', of(room, 'snapshot'), ARGV[9])
redis.call('HSET', of(room, 'head'), 'revision', revision, 'saved', saved, 'base', base)
redis.call('DEL', of(room, 'log'))
for i = 11, 10 + count do redis.call('RPUSH', of(room, 'log'), ARGV[i]) end
remember(room, saved, base, 11 + count, #ARGV)
say(room, '"r"]')
return {'ok'}
"""
)

# bucket, requests, window in us, how many to give back, how many are wanted
# -> for how long to wait for the first, in us, and how many were taken: all of them, as long as
# less than half of the bucket is spent.
SPEND: Final = Script(
    """
local key, cost, window = KEYS[1] .. 'rate:' .. ARGV[1], ARGV[3] / ARGV[2], tonumber(ARGV[3])
local wanted = tonumber(ARGV[5])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local spent = math.max(tonumber(redis.call('GET', key) or 0) - now - ARGV[4] * cost, 0)
spent = math.min(spent, window) -- else a clock that was set back would have all wait that long
local taken = math.min(wanted, spent <= window / 2 and wanted or 1)
local lacking = wanted > 0 and spent + cost - window or 0
if lacking > 0 then taken = 0 end
spent = spent + taken * cost
redis.call('SET', key, string.format('%.3f', now + spent), 'PX', math.ceil(spent / 1000) + 1)
return {math.ceil(math.max(lacking, 0)), taken}
"""
)
