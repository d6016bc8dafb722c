"""The operations of the Redis store as Lua scripts, each of which is atomic.

Keys of a session: `turns`, a list of turns as JSON, and `about`, a hash with `generation`, `secret`, `first` (how many
turns were dropped before the list's first), `summary` and `summarized`.  The number of a turn is `first` plus its place
in the list, counted from 1.  Sessions of earlier versions, without `first` and `generation`, are valid.

For all sessions: `oviya:sessions`, a sorted set of names by the time of their last turn; `oviya:sessions:bytes`, a hash
with the bytes of each session's turns, and `oviya:sessions:total`, their sum.
"""

from __future__ import annotations

from services.gateway.memory.store import EMPTY_S, RETRY_WINDOW, TOMBSTONE_S

INDEX, BYTES, TOTAL = "oviya:sessions", "oviya:sessions:bytes", "oviya:sessions:total"
PREFIX = "oviya:session:"
DELETED_NAME, DELETED_GENERATION = "oviya:deleted:name:", "oviya:deleted:generation:"
MOST_A_PRUNE = 1000
"""Sessions that one run of PRUNE deletes; a script blocks all other clients of Redis."""

CLAIM = f"""
-- KEYS: about, turns, deleted name.  ARGV: generation, secret, since.
local about = redis.call('HMGET', KEYS[1], 'generation', 'secret')
if about[1] then return about end
if redis.call('EXISTS', KEYS[1], KEYS[2]) == 0 then
  local at = redis.call('HGET', KEYS[3], 'at')
  if at and tonumber(at) >= tonumber(ARGV[3]) then return {{}} end
  redis.call('HSET', KEYS[1], 'generation', ARGV[1], 'secret', ARGV[2])
  redis.call('EXPIRE', KEYS[1], {round(EMPTY_S)})
else
  redis.call('HSET', KEYS[1], 'generation', ARGV[1], 'secret', ARGV[2])
  local left = redis.call('TTL', KEYS[2])
  if left > 0 then redis.call('EXPIRE', KEYS[1], left) end
end
return {{ARGV[1], ARGV[2]}}
"""

LOAD = """
-- KEYS: about, turns.  ARGV: after (empty: what the summary covers), limit (0: all).
if redis.call('EXISTS', KEYS[1], KEYS[2]) == 0 then return false end
local about = redis.call('HMGET', KEYS[1], 'generation', 'secret', 'first', 'summary', 'summarized')
local first, summarized = tonumber(about[3] or 0), tonumber(about[5] or 0)
local start = math.max((ARGV[1] == '' and summarized or tonumber(ARGV[1])) - first, 0)
local stop = ARGV[2] == '0' and -1 or start + tonumber(ARGV[2]) - 1
return {about[1] or '', about[2] or '', first + start, about[4] or '', summarized,
        redis.call('LRANGE', KEYS[2], start, stop)}
"""

APPEND = f"""
-- KEYS: about, turns, deleted generation, index, bytes, total.
-- ARGV: generation, secret, turn, uid, at, keep_s, max_turns, max_sessions, max_bytes, name, last.
local known = redis.call('HGET', KEYS[1], 'generation')
if known ~= ARGV[1] then
  if redis.call('EXISTS', KEYS[3]) == 1 then return {{'deleted', 0, 0, 0}} end
  if redis.call('EXISTS', KEYS[1], KEYS[2]) > 0 then return {{'taken', 0, 0, 0}} end
  redis.call('HSET', KEYS[1], 'generation', ARGV[1], 'secret', ARGV[2], 'first', ARGV[11])
end
local first = tonumber(redis.call('HGET', KEYS[1], 'first') or 0)
local newest = redis.call('LRANGE', KEYS[2], -{RETRY_WINDOW}, -1)
for place = #newest, 1, -1 do
  if string.find(newest[place], ARGV[4], 1, true) then
    return {{'kept', first + redis.call('LLEN', KEYS[2]) - #newest + place, 0, 0}}
  end
end
local size = #ARGV[3]
if #newest == 0 then  -- what the name held before has expired
  redis.call('DECRBY', KEYS[6], tonumber(redis.call('HGET', KEYS[5], ARGV[10]) or 0))
  redis.call('HDEL', KEYS[5], ARGV[10])
elseif not redis.call('HGET', KEYS[5], ARGV[10]) then  -- an earlier version kept it
  for _, turn in ipairs(redis.call('LRANGE', KEYS[2], 0, -1)) do size = size + #turn end
end
local length = redis.call('RPUSH', KEYS[2], ARGV[3])
local number, dropped = first + length, 0
local most = tonumber(ARGV[7])
if most > 0 and length > most then
  dropped = length - most
  for _, turn in ipairs(redis.call('LRANGE', KEYS[2], 0, dropped - 1)) do size = size - #turn end
  redis.call('LTRIM', KEYS[2], dropped, -1)
  redis.call('HSET', KEYS[1], 'first', first + dropped)
end
if tonumber(ARGV[6]) > 0 then
  redis.call('EXPIRE', KEYS[1], ARGV[6])
  redis.call('EXPIRE', KEYS[2], ARGV[6])
else
  redis.call('PERSIST', KEYS[1])
end
redis.call('ZADD', KEYS[4], 'GT', ARGV[5], ARGV[10])
redis.call('HINCRBY', KEYS[5], ARGV[10], size)
local total, count = redis.call('INCRBY', KEYS[6], size), redis.call('ZCARD', KEYS[4])
local full = 0
if tonumber(ARGV[8]) > 0 and count > tonumber(ARGV[8]) then full = 1 end
if tonumber(ARGV[9]) > 0 and count > 1 and total > tonumber(ARGV[9]) then full = 1 end
return {{'kept', number, dropped, full}}
"""

SET_SUMMARY = """
-- KEYS: about.  ARGV: generation, summary, summarized.
if redis.call('HGET', KEYS[1], 'generation') ~= ARGV[1] then return 0 end
if tonumber(redis.call('HGET', KEYS[1], 'summarized') or 0) >= tonumber(ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], 'summary', ARGV[2], 'summarized', ARGV[3])
return 1
"""

_FORGET = """
local function forget(index, bytes, total, name, about, turns)
  redis.call('DEL', about, turns)
  redis.call('DECRBY', total, tonumber(redis.call('HGET', bytes, name) or 0))
  redis.call('HDEL', bytes, name)
  redis.call('ZREM', index, name)
end
"""

DELETE = f"""
-- KEYS: about, turns, deleted generation, deleted name, index, bytes, total.  ARGV: generation, secret, now, name.
{_FORGET}
if redis.call('HGET', KEYS[1], 'generation') ~= ARGV[1] then return -1 end
local turns = redis.call('LLEN', KEYS[2])
forget(KEYS[5], KEYS[6], KEYS[7], ARGV[4], KEYS[1], KEYS[2])
redis.call('SET', KEYS[3], '1', 'EX', {round(TOMBSTONE_S)})
redis.call('HSET', KEYS[4], 'at', ARGV[3], 'secret', ARGV[2])
redis.call('EXPIRE', KEYS[4], {round(TOMBSTONE_S)})
return turns
"""

PRUNE = f"""
-- KEYS: index, bytes, total.  ARGV: oldest time that is kept (empty: any), max_sessions, max_bytes.
{_FORGET}
local function drop(name)
  forget(KEYS[1], KEYS[2], KEYS[3], name, '{PREFIX}' .. name .. ':about', '{PREFIX}' .. name .. ':turns')
end
local expired, dropped = 0, 0
if ARGV[1] ~= '' then
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[1], 'LIMIT', 0, {MOST_A_PRUNE})) do
    drop(name)
    expired = expired + 1
  end
end
local sessions, bytes = tonumber(ARGV[2]), tonumber(ARGV[3])
while dropped < {MOST_A_PRUNE} do
  local count = redis.call('ZCARD', KEYS[1])
  local total = tonumber(redis.call('GET', KEYS[3]) or 0)
  if not ((sessions > 0 and count > sessions) or (bytes > 0 and count > 1 and total > bytes)) then break end
  drop(redis.call('ZRANGE', KEYS[1], 0, 0)[1])
  dropped = dropped + 1
end
return {{expired, dropped}}
"""
